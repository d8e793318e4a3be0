//! The `Authorization` header for requests to one repository, learned from the registry's challenges.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http::header::HeaderValue;

use super::basic::basic;
use super::challenge::{self, Challenge};
use super::token::{TokenKey, TokenService, Tokens};
use crate::credentials::Login;
use crate::error::Error;
use crate::lock::lock;
use crate::registry::host::Host;
use crate::registry::http::{HttpRequest, HttpResponse, Transport};

/// What a step does in a repository. It requests tokens for no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Pull,
    /// Read and write.
    PullPush,
}

/// How a host wants requests to be authorized, and the tokens for it; shared by all repositories of the host.
#[derive(Default)]
pub(crate) struct HostAuthorization {
    challenge: Mutex<Option<Challenge>>,
    tokens: Tokens,
}

/// Authorizes requests to one repository.
pub(crate) struct Authorizer {
    /// The registry as users write it.
    pub(crate) registry: String,
    /// The name within the registry.
    pub(crate) repository: String,
    pub(crate) login: Login,
    /// The files and variables in which a login was looked for.
    pub(crate) credential_sources: String,
    pub(crate) access: Access,
    /// A repository of the same registry to mount blobs from.
    pub(crate) mount_from: Option<String>,
    /// Blobs can't be mounted from `mount_from`: the token service doesn't let this login read it, or the registry refused.
    pub(crate) mount_refused: AtomicBool,
    /// Further scopes that the registry asked for.
    pub(crate) more_scopes: Mutex<Vec<String>>,
    pub(crate) host: Arc<HostAuthorization>,
    pub(crate) retries: u32,
}

impl Authorizer {
    /// `registry/repository`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The repository of the same registry that blobs may be mounted from, unless that was refused.
    pub(crate) fn mount_from(&self) -> Option<&str> {
        self.mount_from.as_deref().filter(|_| !self.mount_refused.load(Ordering::Relaxed))
    }

    /// Stops mounting: the registry refused a mount for a reason that applies to all blobs.
    pub(crate) fn refuse_mounts(&self) {
        self.mount_refused.store(true, Ordering::Relaxed);
    }

    /// What to do if the login is missing or refused.
    pub(crate) fn login_hint(&self, transport: &Transport) -> String {
        let login = match &self.login {
            Login::Anonymous => format!("no login for {} was found ({})", self.registry, self.credential_sources),
            _ => format!("the login that was found for {} was refused ({})", self.name(), self.credential_sources),
        };
        match transport.hints().login(&self.registry) {
            Some(hint) => format!("{login}; {hint}"),
            None => login,
        }
    }

    fn scopes(&self) -> Vec<String> {
        let actions = match self.access {
            Access::Pull => "pull",
            Access::PullPush => "pull,push",
        };
        let mut scopes = vec![format!("repository:{}:{actions}", self.repository)];
        if let Some(from) = self.mount_from() {
            scopes.push(format!("repository:{from}:pull"));
        }
        for more in lock(&self.more_scopes).iter() {
            if !scopes.contains(more) {
                scopes.push(more.clone());
            }
        }
        scopes
    }

    /// The header for the next request, as far as the host's challenge is known. A token equal to `refused` is renewed.
    pub(crate) async fn header(
        &self,
        transport: &Transport,
        host: &Host,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Error> {
        if let Login::RegistryToken(token) = &self.login {
            let header = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            return header.map(Some).map_err(|_| Error::credentials("the token can't stand in a header"));
        }
        let challenge = lock(&self.host.challenge).clone();
        match (challenge, &self.login) {
            (None, _) | (Some(Challenge::Basic), Login::Anonymous | Login::RegistryToken(_)) => Ok(None),
            (Some(Challenge::Basic), Login::Basic { username, password }) => basic(username, password).map(Some),
            (Some(Challenge::Basic), Login::IdentityToken { username, token }) => basic(username, token).map(Some),
            (Some(Challenge::Bearer { realm, service, .. }), _) => {
                // Read before: another request may learn of the refusal while this one waits for the same token.
                let with_mount = self.mount_from().is_some();
                match self.token(transport, host, (&realm, &service), refused).await {
                    // Some services refuse everything if one scope is not granted: go on without the mount.
                    Err(error) if with_mount && error.registry().is_some_and(|error| !error.is_temporary()) => {
                        self.refuse_mounts();
                        self.token(transport, host, (&realm, &service), None).await.map(Some)
                    }
                    result => result.map(Some),
                }
            }
        }
    }

    async fn token(
        &self,
        transport: &Transport,
        host: &Host,
        (realm, service): (&str, &Option<String>),
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Error> {
        let (login, realm, service) = (self.login.clone(), realm.to_owned(), service.clone());
        let key = TokenKey { login, realm, service, scopes: self.scopes() };
        let login_hint = self.login_hint(transport);
        let service = TokenService { transport, registry: host, retries: self.retries, login_hint: &login_hint };
        self.host.tokens.get(&service, &key, refused).await
    }

    /// Renews the token that was `sent`, if it was one.
    pub(crate) async fn renew(&self, transport: &Transport, host: &Host, sent: &HeaderValue) -> Result<(), Error> {
        let challenge = lock(&self.host.challenge).clone();
        if let Some(Challenge::Bearer { realm, service, .. }) = challenge {
            self.token(transport, host, (&realm, &service), Some(sent)).await?;
        }
        Ok(())
    }

    /// Learns from a 401 how the next try must be authorized. Returns the response if no other try makes sense.
    pub(crate) async fn handle_unauthorized(
        &self,
        transport: &Transport,
        host: &Host,
        response: HttpResponse,
        sent: Option<&HeaderValue>,
    ) -> Result<(), HttpResponse> {
        let found = match challenge::from_headers(response.headers()) {
            Some(found) => Some(found),
            // Some registries (Google's) send their challenge only at `/v2/`.
            None => challenge_of_base(transport, host).await,
        };
        let Some(found) = found else { return Err(response) };
        let is_useful = match (&found, &self.login) {
            (_, Login::RegistryToken(_)) | (Challenge::Basic, Login::Anonymous) => false,
            (Challenge::Basic, _) => sent.is_none() || *lock(&self.host.challenge) != Some(Challenge::Basic),
            (Challenge::Bearer { .. }, _) => true,
        };
        if !is_useful {
            return Err(response);
        }
        if let Challenge::Bearer { scope: Some(scope), .. } = &found
            && sent.is_some()
        {
            let mut more = lock(&self.more_scopes);
            let own = format!("repository:{}:", self.repository);
            for wanted in scope.split(' ').filter(|wanted| !wanted.starts_with(&own)).take(4) {
                if !more.iter().any(|known| known == wanted) {
                    more.push(wanted.to_owned());
                }
            }
        }
        *lock(&self.host.challenge) = Some(found);
        response.discard().await;
        Ok(())
    }
}

async fn challenge_of_base(transport: &Transport, host: &Host) -> Option<Challenge> {
    let url = host.origin(transport).await.ok()?.join("/v2/").ok()?;
    let response = transport.send(&HttpRequest::get(url)).await.ok()?;
    let found = challenge::from_headers(response.headers());
    response.discard().await;
    found
}
