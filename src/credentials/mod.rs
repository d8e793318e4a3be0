//! Finds a login for a registry's host and a repository.
//!
//! Files are asked in this order, and the first that knows the registry is believed: those of `--auth-dir`;
//! `$DOCKER_CONFIG/config.json`, or else `$REGISTRY_AUTH_FILE` and `~/.docker/config.json`;
//! `$XDG_RUNTIME_DIR/containers/auth.json`; `~/.config/containers/auth.json`. A file that is missing says nothing; one
//! that is broken is an error, since to go on without it would end in a 401 that nobody understands.

mod config_file;
mod helper;
mod places;
mod secret;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::error::Error;
use config_file::{Answer, ConfigFile};

pub use places::Environment;
pub use secret::Secret;

/// A credentials file is no larger, in bytes.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// Where credentials are looked for.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Folders or files, asked before all others.
    pub auth_dirs: Vec<PathBuf>,
    /// The environment.
    pub environment: Environment,
}

/// A way to prove to a registry who we are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Login {
    /// None.
    Anonymous,
    /// A user name and a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that stands for a user, and that the token service changes into others.
    IdentityToken {
        /// The user, where it is told.
        username: String,
        /// The token.
        token: Secret,
    },
    /// A token that is shown to the registry as it is.
    RegistryToken(Secret),
}

/// All logins that there are. Clones share them.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    files: Vec<(String, ConfigFile)>,
    helper_time_limit: Duration,
    /// What helpers said, asked once however many want to know.
    helped: Mutex<HashMap<(String, String), Helped>>,
}

type Helped = Arc<OnceCell<Option<Login>>>;

impl Credentials {
    /// Reads the files.
    ///
    /// # Errors
    /// One that is there and can't be read ([`Error::Credentials`], naming it and what is wrong, never its contents); a
    /// folder of `--auth-dir` that does not exist is not one: Tekton leaves an optional one out.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        Self::load_with(sources, helper::TIME_LIMIT)
    }

    fn load_with(sources: &Sources, helper_time_limit: Duration) -> Result<Self, Error> {
        let mut files = Vec::new();
        for path in places::files(&sources.auth_dirs, &sources.environment) {
            let shown = places::shown(&path, &sources.environment);
            let broken =
                |reason: &str| Error::Credentials(format!("the credentials file {shown} can't be used: {reason}"));
            let text = match read(&path) {
                Ok(text) => text,
                Err(error)
                    if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
                {
                    continue;
                }
                Err(error) => return Err(broken(&error.to_string())),
            };
            let file = ConfigFile::parse(&text).map_err(|reason| broken(&reason))?;
            files.push((shown, file));
        }
        Ok(Self(Arc::new(Inner { files, helper_time_limit, helped: Mutex::new(HashMap::new()) })))
    }

    /// The login for `repository` (`org/app`) at `registry` (`docker.io`, `localhost:5000`).
    ///
    /// # Errors
    /// An entry that can't be read; a helper that fails.
    pub async fn find(&self, registry: &str, repository: &str) -> Result<Login, Error> {
        for (shown, file) in &self.0.files {
            let answer = file.find(registry, repository);
            match answer
                .map_err(|reason| Error::Credentials(format!("the credentials file {shown} can't be used: {reason}")))?
            {
                Answer::Nothing => {}
                Answer::Login(login) => return Ok(login),
                Answer::Helper { name, server } => {
                    if let Some(login) = self.ask_helper(name, server).await? {
                        return Ok(login);
                    }
                }
            }
        }
        Ok(Login::Anonymous)
    }

    async fn ask_helper(&self, name: String, server: String) -> Result<Option<Login>, Error> {
        let cell = {
            let mut helped = self.0.helped.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(helped.entry((name.clone(), server.clone())).or_default())
        };
        cell.get_or_try_init(|| helper::get(&name, &server, self.0.helper_time_limit)).await.cloned()
    }

    /// Where was looked, for the advice behind a 401.
    pub fn places(&self) -> String {
        if self.0.files.is_empty() {
            return "there is no credentials file".to_owned();
        }
        let names: Vec<&str> = self.0.files.iter().map(|(shown, _)| shown.as_str()).collect();
        format!("looked in {}", crate::error::printable(&names.join(", "), 300))
    }
}

fn read(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(FILE_LIMIT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(std::io::Error::other(format!("it is larger than {FILE_LIMIT} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("imgstep-credentials-{:x}", fastrand::u64(..)));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn only(folder: &std::path::Path) -> Sources {
        Sources { auth_dirs: vec![folder.to_owned()], environment: Environment::default() }
    }

    #[test]
    fn the_first_file_that_knows_is_believed() {
        let (one, two) = (folder(), folder());
        std::fs::write(one.join(".dockerconfigjson"), r#"{"auths":{"r.io":{"auth":"dTpw"}}}"#).unwrap();
        std::fs::write(
            two.join("config.json"),
            r#"{"auths":{"r.io/app":{"auth":"dTpxcQ=="},"s.io":{"auth":"dTpxcQ=="}}}"#,
        )
        .unwrap();
        let sources = Sources { auth_dirs: vec![one.clone(), two.clone()], environment: Environment::default() };
        let credentials = Credentials::load(&sources).unwrap();
        let find = |registry: &str| runtime().block_on(credentials.find(registry, "app")).unwrap();
        assert_eq!(find("r.io"), Login::Basic { username: "u".to_owned(), password: Secret::new("p") });
        assert_eq!(find("s.io"), Login::Basic { username: "u".to_owned(), password: Secret::new("qq") });
        assert_eq!(find("t.io"), Login::Anonymous);
        assert!(!format!("{:?}", find("s.io")).contains("qq"));
        std::fs::remove_dir_all(one).unwrap();
        std::fs::remove_dir_all(two).unwrap();
    }

    #[test]
    fn a_missing_file_is_anonymous_and_a_broken_one_is_named() {
        let folder = folder();
        assert!(Credentials::load(&only(&folder.join("none"))).unwrap().places().contains("no credentials file"));
        std::fs::write(folder.join("config.json"), "{ hunter2").unwrap();
        let error = Credentials::load(&only(&folder)).err().unwrap().to_string();
        assert!(error.contains("config.json") && !error.contains("hunter2"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
