//! Login files as `docker login` writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::folder::Folder;

/// The `auth` field for `user:password`.
pub fn basic(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

/// A `config.json` with one login.
pub fn login(place: &str, user: &str, password: &str) -> Value {
    logins(&[(place, user, password)])
}

/// A `config.json` with a login for each host, or host and path.
pub fn logins(entries: &[(&str, &str, &str)]) -> Value {
    let mut config = json!({"auths": {}});
    for (place, user, password) in entries {
        config["auths"][*place] = json!({"auth": basic(user, password)});
    }
    config
}

/// A folder with such a file, for `--auth-dir`.
pub fn auth_folder(config: &Value) -> Folder {
    let folder = Folder::new();
    folder.write("config.json", config.to_string());
    folder
}
