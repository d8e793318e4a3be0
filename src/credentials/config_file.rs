//! One credentials file: what it says of a registry and repository. Pure: text in, an answer out.
//!
//! Formats: Docker's `config.json` (also as Kubernetes' `.dockerconfigjson`), its older `.dockercfg`, and
//! containers-auth.json(5), whose keys may hold a path.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use super::{Login, Secret};
use crate::image::descriptor::null_is_default;

/// The key under which Docker keeps the login of its own registry.
pub const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A credentials file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigFile {
    #[serde(default, deserialize_with = "null_is_default")]
    auths: BTreeMap<String, Entry>,
    #[serde(default, deserialize_with = "null_is_default")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_default")]
    creds_store: String,
}

/// A login as it stands in a file.
#[derive(Debug, Default, Deserialize)]
struct Entry {
    #[serde(default, deserialize_with = "null_is_default")]
    auth: Option<Secret>,
    #[serde(default, deserialize_with = "null_is_default")]
    username: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    password: Option<Secret>,
    #[serde(default, deserialize_with = "null_is_default")]
    identitytoken: Option<Secret>,
    #[serde(default, deserialize_with = "null_is_default")]
    registrytoken: Option<Secret>,
}

/// What a file says of a repository.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Nothing,
    /// This login.
    Login(Login),
    /// Ask this helper (`docker-credential-<name>`) about this server.
    Helper {
        /// The helper's name.
        name: String,
        /// What it knows the registry by.
        server: String,
    },
}

impl ConfigFile {
    /// Reads a file's text: `config.json` with `auths`, or the older form whose hosts stand at the top.
    ///
    /// # Errors
    /// What is wrong with it, without any of its contents.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let fail = |error: &serde_json::Error| {
            // serde's words may quote a value; its place and kind don't.
            let kind = if error.is_data() { "a value has the wrong type" } else { "it is not JSON" };
            format!("{kind} (line {}, column {})", error.line(), error.column())
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|error| fail(&error))?;
        let Some(object) = value.as_object() else { return Err("it is not a JSON object".to_owned()) };
        let old_form = !object.is_empty()
            && !object.contains_key("auths")
            && object.values().all(|entry| entry.get("auth").is_some() || entry.get("username").is_some());
        if old_form {
            let auths = serde_json::from_slice(text).map_err(|error| fail(&error))?;
            return Ok(Self { auths, ..Self::default() });
        }
        serde_json::from_slice(text).map_err(|error| fail(&error))
    }

    /// What this file says of `repository` at `registry`: the entry with the longest path that leads to it; a helper for
    /// just this registry before one for all; an entry that is empty sends on to those.
    ///
    /// # Errors
    /// An entry that can't be read, named by its key.
    pub fn find(&self, registry: &str, repository: &str) -> Result<Answer, String> {
        let mut matches: Vec<(usize, &String, &Entry)> = self
            .auths
            .iter()
            .filter_map(|(key, entry)| Some((matched_path(key, registry, repository)?, key, entry)))
            .collect();
        matches.sort_by_key(|(length, ..)| std::cmp::Reverse(*length));
        let helper =
            self.cred_helpers.iter().filter_map(|(key, name)| Some((matched_path(key, registry, repository)?, name)));
        let helper = helper.max_by_key(|(length, _)| *length).map(|(_, name)| name);
        // An entry for a path is meant for just these repositories, whatever a helper knows of the host.
        if helper.is_some() {
            matches.retain(|(length, ..)| *length > 0);
        }
        for (_, key, entry) in &matches {
            if let Some(login) = entry
                .login()
                .map_err(|reason| format!("its entry for `{}` {reason}", crate::error::printable(key, 200)))?
            {
                return Ok(Answer::Login(login));
            }
        }
        let server = match matches.first() {
            Some((_, key, _)) => (*key).clone(),
            None if is_docker_hub(registry) => DOCKER_HUB_KEY.to_owned(),
            None => registry.to_owned(),
        };
        match helper.map(String::as_str).or(Some(self.creds_store.as_str())).filter(|name| !name.is_empty()) {
            Some(name) => Ok(Answer::Helper { name: name.to_owned(), server }),
            None => Ok(Answer::Nothing),
        }
    }
}

impl Entry {
    fn login(&self) -> Result<Option<Login>, String> {
        let (mut username, mut password) = (self.username.clone().unwrap_or_default(), self.password.clone());
        if let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) {
            let (user, word) = decode(auth.expose()).ok_or("has an `auth` that is not base64 of user:password")?;
            username = user;
            password = Some(Secret::new(word));
        }
        if let Some(token) = self.identitytoken.clone().filter(|token| !token.is_empty()) {
            return Ok(Some(Login::IdentityToken { username, token }));
        }
        if let Some(token) = self.registrytoken.clone().filter(|token| !token.is_empty()) {
            return Ok(Some(Login::RegistryToken(token)));
        }
        Ok(match password {
            Some(password) if !username.is_empty() => Some(Login::Basic { username, password }),
            _ => None,
        })
    }
}

/// User and password out of base64, whose padding may be missing and whose text may end in NULs (old Docker versions).
fn decode(auth: &str) -> Option<(String, String)> {
    let auth = auth.trim();
    let bytes = STANDARD.decode(auth).or_else(|_| STANDARD_NO_PAD.decode(auth.trim_end_matches('='))).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.trim_end_matches(['\0', '\n', '\r']).to_owned()))
}

/// Whether a registry, in any of its spellings, is Docker Hub.
pub fn is_docker_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com")
}

/// The length of the path in `key` if the key leads to `repository` at `registry`: 0 for the host alone.
fn matched_path(key: &str, registry: &str, repository: &str) -> Option<usize> {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let was_url = bare.is_some();
    let (host, path) = bare.unwrap_or(key).split_once('/').unwrap_or((bare.unwrap_or(key), ""));
    let same_host = without_default_port(host).eq_ignore_ascii_case(without_default_port(registry))
        || (is_docker_hub(&host.to_ascii_lowercase()) && is_docker_hub(registry));
    if !same_host {
        return None;
    }
    let path = path.trim_matches('/');
    // The API's version at the end of a URL is no part of a repository's name.
    if path.is_empty() || (was_url && matches!(path, "v1" | "v2")) {
        return Some(0);
    }
    let rest = repository.strip_prefix(path)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(path.len())
}

fn without_default_port(host: &str) -> &str {
    host.strip_suffix(":443").unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> ConfigFile {
        ConfigFile::parse(text.as_bytes()).unwrap()
    }

    fn basic(username: &str, password: &str) -> Answer {
        Answer::Login(Login::Basic { username: username.to_owned(), password: Secret::new(password) })
    }

    #[test]
    fn the_longest_path_wins_component_by_component() {
        let config = file(
            r#"{"auths":{"ghcr.io":{"username":"h","password":"1"},"ghcr.io/org":{"username":"o","password":"2"},
            "ghcr.io/org/app":{"username":"a","password":"3"}}}"#,
        );
        assert_eq!(config.find("ghcr.io", "org/app").unwrap(), basic("a", "3"));
        assert_eq!(config.find("ghcr.io", "org/app/web").unwrap(), basic("a", "3"));
        assert_eq!(config.find("ghcr.io", "org/application").unwrap(), basic("o", "2"));
        assert_eq!(config.find("ghcr.io", "organisation/app").unwrap(), basic("h", "1"));
        assert_eq!(config.find("quay.io", "org/app").unwrap(), Answer::Nothing);
    }

    #[test]
    fn every_spelling_of_a_host() {
        for key in ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "https://registry-1.docker.io/v2/"] {
            let config = file(&format!(r#"{{"auths":{{"{key}":{{"auth":"dTpw"}}}}}}"#));
            assert_eq!(config.find("docker.io", "library/alpine").unwrap(), basic("u", "p"), "{key}");
        }
        for key in ["https://r.example", "http://r.example/v2/", "r.example:443", "R.example/"] {
            let config = file(&format!(r#"{{"auths":{{"{key}":{{"auth":"dTpw"}}}}}}"#));
            assert_eq!(config.find("r.example", "app").unwrap(), basic("u", "p"), "{key}");
        }
        let config = file(r#"{"auths":{"localhost:5000":{"auth":"dTpw"}}}"#);
        assert_eq!(config.find("localhost:5001", "app").unwrap(), Answer::Nothing);
    }

    #[test]
    fn every_kind_of_entry() {
        let find = |entry: &str| file(&format!(r#"{{"auths":{{"r.io":{entry}}}}}"#)).find("r.io", "app");
        let auth = |text: &str| format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(text));
        assert_eq!(find(&auth("user:pass:word")).unwrap(), basic("user", "pass:word"));
        assert_eq!(find(&auth("u:p\0\0")).unwrap(), basic("u", "p"));
        assert_eq!(find(r#"{"auth":"dTpwcA"}"#).unwrap(), basic("u", "pp"), "no padding");
        assert_eq!(find(r#"{"auth":null,"username":"u","password":"p","email":"x"}"#).unwrap(), basic("u", "p"));
        let token = Login::IdentityToken { username: "u".to_owned(), token: Secret::new("t") };
        assert_eq!(find(r#"{"auth":"dTo=","identitytoken":"t"}"#).unwrap(), Answer::Login(token));
        assert_eq!(find(r#"{"registrytoken":"t"}"#).unwrap(), Answer::Login(Login::RegistryToken(Secret::new("t"))));
        assert_eq!(find("{}").unwrap(), Answer::Nothing);
        let error = find(r#"{"auth":"!!!secret"}"#).unwrap_err();
        assert!(error.contains("r.io") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn helpers_of_a_host_and_of_all() {
        let config = file(
            r#"{"auths":{"r.io":{},"other.io":{"auth":"dTpw"},"ecr.io/team":{"auth":"dTpw"}},"credHelpers":{"ecr.io":"ecr-login"},"credsStore":"desktop"}"#,
        );
        let helper = |name: &str, server: &str| Answer::Helper { name: name.to_owned(), server: server.to_owned() };
        assert_eq!(config.find("ecr.io", "app").unwrap(), helper("ecr-login", "ecr.io"));
        assert_eq!(config.find("ecr.io", "team/app").unwrap(), basic("u", "p"));
        assert_eq!(config.find("r.io", "app").unwrap(), helper("desktop", "r.io"));
        assert_eq!(config.find("docker.io", "a/b").unwrap(), helper("desktop", DOCKER_HUB_KEY));
        assert_eq!(config.find("other.io", "app").unwrap(), basic("u", "p"));
    }

    #[test]
    fn the_old_form_and_broken_files() {
        assert_eq!(
            file(r#"{"https://r.io/v1/":{"auth":"dTpw","email":""}}"#).find("r.io", "a").unwrap(),
            basic("u", "p")
        );
        assert_eq!(file("").find("r.io", "a").unwrap(), Answer::Nothing);
        assert_eq!(file("{}").find("r.io", "a").unwrap(), Answer::Nothing);
        for broken in ["{", "[]", r#"{"auths":{"r.io":"hunter2"}}"#, r#"{"auths":[]}"#] {
            let error = ConfigFile::parse(broken.as_bytes()).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
