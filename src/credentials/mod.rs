//! Finds the login for a registry and repository.
//!
//! Logins are looked for in this order. The first file with a match wins, even over a longer match in a later one:
//!
//! 1. each `--auth-dir`, in the order given: a file, or a folder with any of `config.json`, `.dockerconfigjson`,
//!    `.dockercfg`, `auth.json` and `.docker/config.json`, in this order;
//! 2. the contents of `$DOCKER_AUTH_CONFIG`;
//! 3. `$DOCKER_CONFIG/config.json`;
//! 4. `$REGISTRY_AUTH_FILE`;
//! 5. `~/.docker/config.json`, unless `DOCKER_CONFIG` is set;
//! 6. `$XDG_RUNTIME_DIR/containers/auth.json`; if the variable is not set, `/run/containers/UID/auth.json`;
//! 7. `$XDG_CONFIG_HOME/containers/auth.json`; if the variable is not set, `~/.config/containers/auth.json`.
//!
//! Within a file, the longest path that covers the repository wins. Among paths of equal length, the host's own helper
//! in `credHelpers` comes before a login in `auths`, and `credsStore` comes last. A helper that doesn't know the host
//! passes to the next candidate; one that fails ends the search.
//!
//! Formats: Docker's `config.json` and the older `.dockercfg`, containers-auth.json(5).

pub(crate) mod config_file;
mod files;
mod helper;
pub(crate) mod scope;
mod secret;
#[cfg(test)]
mod testing;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use self::config_file::Candidate;
pub(crate) use self::files::{Environment, Sources};
use self::scope::CredentialTarget;
pub(crate) use self::secret::Secret;
use crate::error::Error;
use crate::lock::lock;
use crate::mask;

/// How to authenticate to a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Login {
    /// Anonymously.
    Anonymous,
    /// With a user name and password, for Basic authentication and for token services.
    Basic {
        /// The user name.
        username: String,
        /// The password, or what the registry accepts as one.
        password: Secret,
    },
    /// With a refresh token, to be exchanged at the token service (distribution, "OAuth2 Token Authentication").
    IdentityToken {
        /// The user name next to it; often empty.
        username: String,
        /// The token.
        token: Secret,
    },
    /// With a bearer token that is sent to the registry as it is.
    RegistryToken(Secret),
}

impl Login {
    /// Removes the login from everything that is printed from now on.
    pub fn conceal(&self) {
        match self {
            Self::Anonymous => {}
            Self::Basic { username, password: secret } | Self::IdentityToken { username, token: secret } => {
                mask::conceal(username, secret.expose());
            }
            Self::RegistryToken(token) => mask::conceal("", token.expose()),
        }
    }
}

/// All credentials of this process. Cheap to clone.
#[derive(Clone)]
pub struct Credentials {
    inner: Arc<SharedCredentials>,
}

struct SharedCredentials {
    found: files::FoundFiles,
    settings: helper::HelperSettings,
    /// The reply of each helper for each server, if it has come.
    answers: Mutex<HashMap<Question, Arc<OnceCell<Answer>>>>,
}

/// A helper's name and the server that it is asked about.
type Question = (String, String);
/// A helper's reply. A failure is kept too, because asking again would take as long and fail again.
type Answer = Result<Option<Login>, String>;

impl Credentials {
    /// Reads the files. A missing file is ignored. An entry that can't be read only fails for its own repositories, in
    /// [`Credentials::find`].
    ///
    /// # Errors
    /// `ErrorKind::Credentials` with the file that can't be used and what is wrong with it, never its contents.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        Self::load_with(sources, helper::HelperSettings::default())
    }

    fn load_with(sources: &Sources, settings: helper::HelperSettings) -> Result<Self, Error> {
        let found = files::read(sources)?;
        Ok(Self { inner: Arc::new(SharedCredentials { found, settings, answers: Mutex::default() }) })
    }

    /// The login for `repository` (such as `org/app`) at `registry`, as users write it (`docker.io`, `ghcr.io`,
    /// `localhost:5000`). Each helper runs once per registry and process, however many callers wait. Must be called in
    /// a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// `ErrorKind::Credentials` if the entry for the repository can't be read, or if a helper fails, doesn't exist, or
    /// doesn't reply within 30 seconds.
    pub async fn find(&self, registry: &str, repository: &str) -> Result<Login, Error> {
        let target = CredentialTarget::new(registry, repository);
        for (name, file) in &self.inner.found.files {
            for candidate in file.candidates(&target) {
                let answer = match candidate {
                    Candidate::Login(login) => Ok(Some(login.clone())),
                    Candidate::Broken(reason) => Err(reason),
                    Candidate::Helper(program) => self.ask(program, target.server()).await,
                };
                match answer {
                    Ok(Some(login)) => return Ok(login),
                    Ok(None) => {}
                    Err(reason) => {
                        return Err(Error::credentials(format!("the credentials in {name} can't be used: {reason}")));
                    }
                }
            }
        }
        Ok(Login::Anonymous)
    }

    /// Asks a helper, or waits for the reply to another caller's question.
    async fn ask(&self, program: &str, server: &str) -> Answer {
        let question = (program.to_owned(), server.to_owned());
        let cell = {
            // The lock is only held for this look-up, which can't leave the map half changed.
            let mut answers = lock(&self.inner.answers);
            Arc::clone(answers.entry(question).or_default())
        };
        cell.get_or_init(|| helper::ask(program, server, &self.inner.settings)).await.clone()
    }

    /// Where logins were looked for, as a clause for the hint of a 401: the files that exist, or that there are none
    /// and where they would have been found.
    pub fn places(&self) -> String {
        let found = &self.inner.found;
        if !found.files.is_empty() {
            let names: Vec<&str> = found.files.iter().map(|(name, _)| name.as_str()).collect();
            return format!("looked in {}", names.join(", "));
        }
        if found.absent.is_empty() {
            return "there is no credentials file".to_owned();
        }
        format!("there is no credentials file; looked for {}", found.absent.join("; "))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.places()).finish()
    }
}

#[cfg(test)]
mod tests;
