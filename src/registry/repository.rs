//! A repository of a registry, and how a request to it is authorized, bounded and repeated.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use http::header::HeaderValue;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

pub(super) use super::api_request::ApiRequest;
use super::auth::challenge::{self, Challenge};
use super::auth::token::TokenKey;
use super::client::Client;
use super::host::{Host, Scheme, is_loopback};
use super::http::pool::{Body, ConnectionKind};
use super::http::retry::{self, Budget, FailureKind};
use super::http::transport::{self, HttpRequest, HttpResponse, UploadCounter};
use crate::credentials::{Login, Secret};
use crate::error::registry::RegistryError;
use crate::error::{Error, ErrorKind, TlsTrouble};
use crate::image::reference::RegistryReference;

/// What a step may do in a repository: it asks tokens for no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Pull,
    /// Read and write.
    PullPush,
}

/// A repository. Clones are the same.
#[derive(Clone)]
pub struct Repository {
    pub(super) client: Client,
    pub(super) host: Arc<Host>,
    inner: Arc<Inner>,
}

struct Inner {
    /// The registry as users write it.
    registry: String,
    name: String,
    login: Login,
    /// Where a login was looked for.
    places: String,
    access: Access,
    /// A repository of the same registry to mount blobs from.
    mount_from: Option<String>,
    /// The token service would not let this login read `mount_from`.
    mount_refused: AtomicBool,
    /// Scopes that the registry asked for beyond ours.
    more_scopes: Mutex<Vec<String>>,
}

/// How a request finds room under its host's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// It waits for it.
    Acquire,
    /// The caller holds it.
    Held,
}

impl Client {
    /// The repository of `reference`, to be used with `login`, which was looked for in `places`.
    pub fn repository(
        &self,
        reference: &RegistryReference,
        login: Login,
        places: &str,
        access: Access,
        mount_from: Option<String>,
    ) -> Repository {
        login.conceal();
        Repository {
            client: self.clone(),
            host: self.host(reference.api_host()),
            inner: Arc::new(Inner {
                registry: reference.registry.clone(),
                name: reference.repository.clone(),
                login,
                places: places.to_owned(),
                access,
                mount_from,
                mount_refused: AtomicBool::new(false),
                more_scopes: Mutex::new(Vec::new()),
            }),
        }
    }
}

/// `Authorization: Basic` (RFC 7617).
pub(super) fn basic(username: &str, password: &Secret) -> Result<HeaderValue, Error> {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{}", password.expose()));
    let mut header = HeaderValue::from_str(&format!("Basic {text}"))
        .map_err(|_| Error::credentials("the login can't stand in a header"))?;
    header.set_sensitive(true);
    Ok(header)
}

impl Repository {
    /// `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.inner.registry, self.inner.name)
    }

    /// The host that serves it.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The repository of the same registry that blobs may be mounted from, unless the token service said no.
    pub fn mount_from(&self) -> Option<&str> {
        self.inner.mount_from.as_deref().filter(|_| !self.inner.mount_refused.load(Ordering::Relaxed))
    }

    /// No more mounts are tried: the registry refused one for a reason that holds for all.
    pub(super) fn refuse_mounts(&self) {
        self.inner.mount_refused.store(true, Ordering::Relaxed);
    }

    /// The name within the registry.
    pub fn path(&self) -> &str {
        &self.inner.name
    }

    /// What to do about a login that was refused, or that there is none.
    pub(super) fn login_hint(&self) -> String {
        let login = match &self.inner.login {
            Login::Anonymous => format!("no login for {} was found ({})", self.inner.registry, self.inner.places),
            _ => format!("the login that was found for {} was refused ({})", self.name(), self.inner.places),
        };
        match self.client.options().hints.login(&self.inner.registry) {
            Some(hint) => format!("{login}; {hint}"),
            None => login,
        }
    }

    /// The base address of the host, `scheme://host/`.
    ///
    /// # Errors
    /// A host name that no address can hold.
    pub(super) async fn origin(&self) -> Result<Url, Error> {
        if self.host.wants_tls.get() == Some(&true) {
            return self.address(Scheme::Https, "");
        }
        let scheme = *self.host.scheme.get_or_try_init(|| self.find_scheme()).await?;
        self.address(scheme, "")
    }

    /// Opens connections for about so many requests, which are known to be sent at once when the answers that are awaited
    /// now have come: each would otherwise begin with the round trip that opens its own.
    pub async fn expect_requests(&self, count: usize, load: ConnectionKind) {
        if let Ok(origin) = self.origin().await {
            self.client.open_ahead(&origin, load, || self.host.lacks_connections(count));
        }
    }

    fn address(&self, scheme: Scheme, path: &str) -> Result<Url, Error> {
        let text = format!("{}://{}/{path}", scheme.name(), self.host.authority());
        text.parse().map_err(|_| Error::usage(format!("`{}` is not a registry's host", self.host.authority())))
    }

    /// Loopback hosts are spoken to in plain HTTP until one turns out to want TLS ([`Self::turns_out_tls`]); a host of
    /// `--insecure-registry` is tried with TLS first; all others speak TLS.
    async fn find_scheme(&self) -> Result<Scheme, Error> {
        let url = self.address(Scheme::Https, "v2/")?;
        if is_loopback(&url) {
            return Ok(Scheme::Http);
        }
        if !self.client.is_insecure(&url) || self.answers(url).await.is_ok() {
            return Ok(Scheme::Https);
        }
        Ok(Scheme::Http)
    }

    async fn answers(&self, url: Url) -> Result<(), Error> {
        transport::send(&self.client, &HttpRequest::question(url), None).await?.discard().await;
        Ok(())
    }

    /// Whether a loopback host that refused a plain request wants TLS; asked once. Servers that speak TLS answer plain
    /// text with 400 or hang up, so that no extra request is needed where plain HTTP is right.
    async fn turns_out_tls(&self, result: &Result<HttpResponse, Error>) -> bool {
        let refused = match result {
            Ok(answer) => answer.status() == 400,
            Err(error) => matches!(error.kind(), ErrorKind::Network { .. }),
        };
        let plain = self.host.scheme.get() == Some(&Scheme::Http);
        let Some(url) = self.address(Scheme::Https, "v2/").ok().filter(|url| refused && plain && is_loopback(url))
        else {
            return false;
        };
        let found = self.host.wants_tls.get_or_init(|| async {
            match self.answers(url).await.as_ref().map_err(Error::kind) {
                Err(
                    ErrorKind::Network { .. }
                    | ErrorKind::Silence { .. }
                    | ErrorKind::Tls { trouble: TlsTrouble::NoTls, .. },
                ) => false,
                // If not well, it does speak TLS: the next request will tell what is wrong with its certificate.
                Ok(()) | Err(_) => true,
            }
        });
        *found.await
    }

    /// An address below `/v2/<repository>/`.
    pub(super) async fn url(&self, path: &str) -> Result<Url, Error> {
        let origin = self.origin().await?;
        origin
            .join(&format!("/v2/{}/{path}", self.inner.name))
            .map_err(|_| Error::usage(format!("`{}` can't be part of an address", self.name())))
    }

    fn scopes(&self) -> Vec<String> {
        let actions = match self.inner.access {
            Access::Pull => "pull",
            Access::PullPush => "pull,push",
        };
        let mut scopes = vec![format!("repository:{}:{actions}", self.inner.name)];
        if let Some(from) = self.mount_from() {
            scopes.push(format!("repository:{from}:pull"));
        }
        for more in self.inner.more_scopes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if !scopes.contains(more) {
                scopes.push(more.clone());
            }
        }
        scopes
    }

    /// The `Authorization` header for the next request, as far as the host's wishes are known.
    async fn authorization(&self, refused: Option<&HeaderValue>) -> Result<Option<HeaderValue>, Error> {
        if let Login::RegistryToken(token) = &self.inner.login {
            let header = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            return header.map(Some).map_err(|_| Error::credentials("the token can't stand in a header"));
        }
        match (self.host.challenge(), &self.inner.login) {
            (None, _) | (Some(Challenge::Basic), Login::Anonymous | Login::RegistryToken(_)) => Ok(None),
            (Some(Challenge::Basic), Login::Basic { username, password }) => basic(username, password).map(Some),
            (Some(Challenge::Basic), Login::IdentityToken { username, token }) => basic(username, token).map(Some),
            (Some(Challenge::Bearer { realm, service, .. }), login) => {
                let login = login.clone();
                // Asked before: another request may learn of the refusal while this one waits for the same token.
                let with_mount = self.mount_from().is_some();
                let mut key = TokenKey { login, realm, service, scopes: self.scopes() };
                match self.token(&key, refused).await {
                    // Some services refuse the whole when one scope is not granted: go on without the mount.
                    Err(error) if with_mount && error.registry().is_some_and(|error| !error.is_temporary()) => {
                        self.inner.mount_refused.store(true, Ordering::Relaxed);
                        key.scopes = self.scopes();
                        self.token(&key, None).await.map(Some)
                    }
                    result => result.map(Some),
                }
            }
        }
    }

    /// Learns from a 401 how to ask better.
    ///
    /// Returns whether another try makes sense.
    async fn learn(&self, answer: HttpResponse, sent: Option<&HeaderValue>) -> Result<bool, HttpResponse> {
        let found = match challenge::from_headers(answer.headers()) {
            Some(found) => Some(found),
            // Some registries (Google's) show their challenge at `/v2/` alone.
            None => self.challenge_of_base().await,
        };
        let Some(found) = found else { return Err(answer) };
        let useful = match (&found, &self.inner.login) {
            (_, Login::RegistryToken(_)) | (Challenge::Basic, Login::Anonymous) => false,
            (Challenge::Basic, _) => sent.is_none() || self.host.challenge() != Some(Challenge::Basic),
            (Challenge::Bearer { .. }, _) => true,
        };
        if !useful {
            return Err(answer);
        }
        if let Challenge::Bearer { scope: Some(scope), .. } = &found
            && sent.is_some()
        {
            let mut more = self.inner.more_scopes.lock().unwrap_or_else(PoisonError::into_inner);
            let own = format!("repository:{}:", self.inner.name);
            for wanted in scope.split(' ').filter(|wanted| !wanted.starts_with(&own)).take(4) {
                if !more.iter().any(|known| known == wanted) {
                    more.push(wanted.to_owned());
                }
            }
        }
        self.host.learn_challenge(found);
        answer.discard().await;
        Ok(true)
    }

    async fn challenge_of_base(&self) -> Option<Challenge> {
        let url = self.origin().await.ok()?.join("/v2/").ok()?;
        let answer = transport::send(&self.client, &HttpRequest::question(url), None).await.ok()?;
        let found = challenge::from_headers(answer.headers());
        answer.discard().await;
        found
    }

    /// Sends a request that can be repeated, until it is answered with something that another try would not change.
    ///
    /// # Errors
    /// `ErrorKind::Network`, `ErrorKind::Silence` or `ErrorKind::Registry` when all tries failed for a passing reason. Any other
    /// answer, good or bad, is the caller's to judge.
    pub(super) async fn call(&self, call: ApiRequest<'_>) -> Result<HttpResponse, Error> {
        self.call_within(call, &self.budget()).await
    }

    /// How often what failed for a passing reason is tried again.
    pub fn retries(&self) -> u32 {
        self.client.options().retries
    }

    /// What one piece of work here may fail.
    pub fn budget(&self) -> Budget {
        Budget::new(self.retries())
    }

    /// As [`Self::call`], with a budget that other requests may share.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) async fn call_within(&self, call: ApiRequest<'_>, budget: &Budget) -> Result<HttpResponse, Error> {
        self.call_patiently(call, budget, transport::ANSWER_TIMEOUT).await
    }

    /// As [`Self::call_within`], for what may take longer to be answered.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) async fn call_patiently(
        &self,
        mut call: ApiRequest<'_>,
        budget: &Budget,
        patience: Duration,
    ) -> Result<HttpResponse, Error> {
        let mut renewals = 0;
        let mut refused: Option<HeaderValue> = None;
        loop {
            // Room first: whoever waited for it long shall see a pause, and a token's end, that came meanwhile.
            let room = self.room(&call.room).await?;
            self.host.wait_for_pause().await;
            let authorization = self.authorization(refused.as_ref()).await?;
            let outgoing = HttpRequest { patience, ..call.outgoing(authorization.as_ref()) };
            let result = transport::send(&self.client, &outgoing, room).await;
            if call.url.scheme() == "http" && self.turns_out_tls(&result).await && call.use_tls() {
                continue;
            }
            if result.is_ok() {
                self.host.learn_answer();
            }
            let wait = match result {
                Ok(answer) if answer.status() == 401 && !answer.redirected && call.is_own() && renewals < 2 => {
                    renewals += 1;
                    match self.learn(answer, authorization.as_ref()).await {
                        Ok(_) => {
                            refused = authorization;
                            continue;
                        }
                        Err(answer) => return Ok(answer),
                    }
                }
                Ok(answer) if transport::is_temporary(answer.status()) => {
                    let (status, asked) = (answer.status(), retry::retry_after(answer.headers()));
                    let error = self.error(answer, &call.operation).await;
                    // Some call by a server error what they will never take.
                    let may_pass = error.registry().is_some_and(RegistryError::is_temporary);
                    let wait = budget.fail(FailureKind::Status(status.as_u16())).filter(|_| may_pass);
                    let Some(wait) = wait.filter(|_| self.client.pause(&self.host, asked)) else { return Err(error) };
                    self.client.tell_retry(&self.host, budget.failures(), &self.answered(status));
                    wait.max(asked.unwrap_or_default())
                }
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_network() => match budget.fail(FailureKind::Unanswered(error.silence())) {
                    Some(wait) => {
                        self.client.tell_retry(&self.host, budget.failures(), &self.broke(&error));
                        wait
                    }
                    None => return Err(self.unanswered(error, &call.operation)),
                },
                Err(error) => return Err(error),
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends a request whose body is a stream of `length` bytes, if that is known, once. The authorization is made fresh before.
    ///
    /// # Errors
    /// No answer came. Any answer, good or bad, is the caller's to judge.
    pub(super) async fn call_with_stream(
        &self,
        call: ApiRequest<'_>,
        body: Body,
        pulled: &UploadCounter,
        length: Option<u64>,
    ) -> Result<HttpResponse, Error> {
        let _room = self.room(&call.room).await?;
        self.host.wait_for_pause().await;
        let authorization = self.authorization(None).await?;
        let outgoing = call.outgoing(authorization.as_ref());
        let answer = transport::stream(&self.client, &outgoing, body, pulled, length)
            .await
            .map_err(|error| self.unanswered(error, &call.operation))?;
        let asked = retry::retry_after(answer.headers()).filter(|_| transport::is_temporary(answer.status()));
        // One that is too long is not listened to: the next answer will tell.
        self.client.pause(&self.host, asked);
        if answer.status() == 401 && call.is_own() {
            // The token died on the way. The next try needs another, and the caller knows how to begin again.
            if let (Some(sent), Some(Challenge::Bearer { realm, service, .. })) =
                (&authorization, self.host.challenge())
            {
                let key = TokenKey { login: self.inner.login.clone(), realm, service, scopes: self.scopes() };
                self.token(&key, Some(sent)).await?;
            }
        }
        Ok(answer)
    }

    /// Asks for something once, without listening to any pause, and doesn't care for the answer.
    pub(super) async fn mention(&self, call: ApiRequest<'_>) {
        let authorization = self.authorization(None).await.ok().flatten();
        if let Ok(answer) = transport::send(&self.client, &call.outgoing(authorization.as_ref()), None).await {
            answer.discard().await;
        }
    }

    async fn room(&self, room: &Permit) -> Result<Option<OwnedSemaphorePermit>, Error> {
        match room {
            Permit::Acquire => self.host.permits(1).await.map(Some),
            Permit::Held => Ok(None),
        }
    }

    fn answered(&self, status: http::StatusCode) -> String {
        format!("{} answered {status}", self.host.authority())
    }

    /// What an error of the network says, for a line of a log.
    pub(super) fn broke(&self, error: &Error) -> String {
        let host = self.host.authority();
        match error.kind() {
            ErrorKind::Network { reason, .. } | ErrorKind::Silence { reason, .. } if reason.contains(host) => {
                reason.clone()
            }
            ErrorKind::Network { reason, .. } | ErrorKind::Silence { reason, .. } => format!("{host}: {reason}"),
            _ => error.to_string(),
        }
    }

    /// An error of the network told by what we wanted, not only by the address.
    pub(super) fn unanswered(&self, error: Error, operation: &str) -> Error {
        if !error.is_network() {
            return error;
        }
        let hint = if self.host.has_answered() {
            "the registry has answered before: something in between may break long or many connections; run the same \
             command again, what was copied is kept"
        } else {
            "check the name of the registry and the network, then run the same command again"
        };
        let named = |address: String| {
            // The rest of an upload's address is of no meaning to anybody but the registry.
            let address = address.split_once("/blobs/uploads/").map_or(address.as_str(), |(before, _)| before);
            format!("{operation} of {} ({address})", self.name())
        };
        // What is known of a proxy says more.
        let error = if error.hint().is_none() { error.with_hint(hint) } else { error };
        error.map_kind(|kind| match kind {
            ErrorKind::Network { operation, reason } => ErrorKind::Network { operation: named(operation), reason },
            ErrorKind::Silence { operation, reason, waited } => {
                ErrorKind::Silence { operation: named(operation), reason, waited }
            }
            other => other,
        })
    }

    /// The error that an answer means.
    pub(super) async fn error(&self, answer: HttpResponse, operation: &str) -> Error {
        answer.into_error(format!("{operation} of {}", self.name()), &self.login_hint()).await
    }
}
