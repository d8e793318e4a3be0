//! A repository of a registry, and how requests to it are authorized, limited and retried.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use http::Method;
use http::header::HeaderValue;

pub(super) use super::api_request::ApiRequest;
pub(crate) use super::auth::Access;
use super::auth::Authorizer;
use super::client::Client;
use super::error::error_of;
use super::host::Host;
pub(crate) use super::host::{HostPermit, HostPermits, Permit};
use super::http::retry::{Budget, is_temporary, retry_after, temporary_failure};
use super::http::{Body, ConnectionKind, HttpResponse, Transport, UploadCounter};
use crate::credentials::Login;
use crate::error::registry::RegistryError;
use crate::error::{Error, ErrorKind};
use crate::image::reference::RegistryReference;

/// How often a request that was answered with 401 is authorized anew.
const RENEWALS: usize = 2;

/// A repository. Clones are the same.
#[derive(Clone)]
pub struct Repository {
    pub(super) client: Client,
    pub(super) host: Arc<Host>,
    authorizer: Arc<Authorizer>,
}

impl Client {
    /// The repository of `reference`, to be used with `login`, which was looked for in `credential_sources`.
    pub fn repository(
        &self,
        reference: &RegistryReference,
        login: Login,
        credential_sources: &str,
        access: Access,
        mount_from: Option<String>,
    ) -> Repository {
        login.conceal();
        let (host, authorization) = self.host(reference.api_host());
        let authorizer = Authorizer {
            registry: reference.registry.clone(),
            repository: reference.repository.clone(),
            login,
            credential_sources: credential_sources.to_owned(),
            access,
            mount_from,
            mount_refused: AtomicBool::new(false),
            more_scopes: Mutex::new(Vec::new()),
            host: authorization,
            retries: self.options().retries,
        };
        Repository { client: self.clone(), host, authorizer: Arc::new(authorizer) }
    }
}

impl Repository {
    /// `registry/repository`.
    pub fn name(&self) -> String {
        self.authorizer.name()
    }

    /// The host that serves it.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The repository of the same registry that blobs may be mounted from, unless that was refused.
    pub fn mount_from(&self) -> Option<&str> {
        self.authorizer.mount_from()
    }

    /// Stops mounting: the registry refused a mount for a reason that applies to all blobs.
    pub(super) fn refuse_mounts(&self) {
        self.authorizer.refuse_mounts();
    }

    /// The name within the registry.
    pub fn path(&self) -> &str {
        &self.authorizer.repository
    }

    pub(super) fn transport(&self) -> &Transport {
        self.client.transport()
    }

    /// Opens connections for about `count` requests, which will be sent at once when the answers that are awaited now have
    /// come: each would otherwise begin with the round trips that open its own.
    pub async fn expect_requests(&self, count: usize, connection: ConnectionKind) {
        if let Ok(origin) = self.host.origin(self.transport()).await {
            self.transport().open_ahead(&origin, connection, || self.host.missing_connections(count));
        }
    }

    /// A request for `/v2/<repository>/<path>`.
    ///
    /// # Errors
    /// A name that a URL can't contain; the host's scheme can't be found out.
    pub(super) async fn request(
        &self,
        method: Method,
        path: &str,
        operation: String,
    ) -> Result<ApiRequest<'static>, Error> {
        let origin = self.host.origin(self.transport()).await?;
        let url = origin
            .join(&format!("/v2/{}/{path}", self.path()))
            .map_err(|_| Error::usage(format!("`{}` can't be part of a URL", self.name())))?;
        Ok(ApiRequest::new(method, url, operation, origin))
    }

    /// How often what failed temporarily is retried.
    pub fn retries(&self) -> u32 {
        self.client.options().retries
    }

    /// How much may fail in one piece of work here.
    pub fn budget(&self) -> Budget {
        Budget::new(self.retries())
    }

    /// Sends a request that can be repeated, until it is answered with something that another try would not change.
    ///
    /// # Errors
    /// `ErrorKind::Network`, `ErrorKind::Silence` or `ErrorKind::Registry` if all tries failed temporarily. The caller
    /// judges any other answer.
    pub(super) async fn send(&self, request: ApiRequest<'_>) -> Result<HttpResponse, Error> {
        self.send_within(request, &self.budget()).await
    }

    /// As [`Self::send`], with a budget that other requests may share.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) async fn send_within(
        &self,
        mut request: ApiRequest<'_>,
        budget: &Budget,
    ) -> Result<HttpResponse, Error> {
        let transport = self.transport();
        let mut renewals = 0;
        let mut refused: Option<HeaderValue> = None;
        loop {
            let (permit, authorization) = self.prepare(&request, refused.as_ref()).await?;
            let result = transport.send(&request.to_http(authorization.as_ref())).await;
            let result = result.map(|response| response.keeping(permit));
            if request.url.scheme() == "http" && self.host.probe_tls(transport, &result).await && request.use_tls() {
                continue;
            }
            if result.is_ok() {
                self.host.learn_answer();
            }
            let Some((failure, retry_after)) = temporary_failure(&result) else {
                let response = result?;
                if response.status() != 401 || response.redirected || !request.is_own() || renewals == RENEWALS {
                    return Ok(response);
                }
                renewals += 1;
                let sent = authorization.as_ref();
                match self.authorizer.handle_unauthorized(transport, &self.host, response, sent).await {
                    Ok(()) => refused = authorization,
                    Err(response) => return Ok(response),
                }
                continue;
            };
            let (error, reason) = match result {
                Ok(response) => {
                    let reason = format!("{} answered {}", self.host.authority(), response.status());
                    (request.explained(self.error(response, &request.operation).await), reason)
                }
                Err(error) => {
                    let reason = self.reason(&error);
                    (self.unanswered(error, &request.operation), reason)
                }
            };
            // Some registries answer with a server error what will never succeed.
            let may_pass = error.registry().is_none_or(RegistryError::is_temporary);
            let wait = budget.next(failure).filter(|_| may_pass);
            let Some(wait) = wait.filter(|_| transport.pauses().pause(self.host.authority(), retry_after)) else {
                return Err(error);
            };
            self.note_retry(budget, &reason);
            tokio::time::sleep(wait.max(retry_after.unwrap_or_default())).await;
        }
    }

    /// Sends a request once whose body is a stream of `length` bytes, if that is known.
    ///
    /// # Errors
    /// No answer came. The caller judges any answer.
    pub(super) async fn send_stream(
        &self,
        request: ApiRequest<'_>,
        body: Body,
        sent: &UploadCounter,
        length: Option<u64>,
    ) -> Result<HttpResponse, Error> {
        let transport = self.transport();
        let (_permit, authorization) = self.prepare(&request, None).await?;
        let response = transport
            .stream(&request.to_http(authorization.as_ref()), body, sent, length)
            .await
            .map_err(|error| self.unanswered(error, &request.operation))?;
        if is_temporary(response.status().as_u16()) {
            // A pause that is too long has no effect here: the next answer decides.
            transport.pauses().pause(self.host.authority(), retry_after(response.headers()));
        }
        if let Some(authorization) = authorization.filter(|_| response.status() == 401 && request.is_own()) {
            // The token expired on the way. The next try needs another, and the caller can start it.
            self.authorizer.renew(transport, &self.host, &authorization).await?;
        }
        Ok(response)
    }

    /// Sends a request once, without waiting for a pause, and ignores the answer.
    pub(super) async fn send_and_forget(&self, request: ApiRequest<'_>) {
        let transport = self.transport();
        let authorization = self.authorizer.header(transport, &self.host, None).await.ok().flatten();
        if let Ok(response) = transport.send(&request.to_http(authorization.as_ref())).await {
            response.discard().await;
        }
    }

    /// What a request needs before it is sent: a permit, the end of a pause, and its authorization.
    async fn prepare(
        &self,
        request: &ApiRequest<'_>,
        refused: Option<&HeaderValue>,
    ) -> Result<(Option<HostPermit>, Option<HeaderValue>), Error> {
        // The permit first: a request that waited for it long must see a pause that was asked for meanwhile, and a token
        // that expired.
        let permit = match request.permit {
            Permit::Acquire => Some(self.host.permits(1).await?),
            Permit::Held(_) => None,
        };
        self.transport().pauses().wait(self.host.authority()).await;
        let authorization = self.authorizer.header(self.transport(), &self.host, refused).await?;
        Ok((permit, authorization))
    }

    /// Notes that something is retried.
    pub(super) fn note_retry(&self, budget: &Budget, reason: &str) {
        self.client.note_retry(&self.host, budget.failures(), reason);
    }

    /// The reason of a network error, for such a note.
    pub(super) fn reason(&self, error: &Error) -> String {
        let host = self.host.authority();
        match error.kind() {
            ErrorKind::Network { reason, .. } | ErrorKind::Silence { reason, .. } if reason.contains(host) => {
                reason.clone()
            }
            ErrorKind::Network { reason, .. } | ErrorKind::Silence { reason, .. } => format!("{host}: {reason}"),
            _ => error.to_string(),
        }
    }

    /// A network error with the operation that failed in addition to the URL, and what to do.
    pub(super) fn unanswered(&self, error: Error, operation: &str) -> Error {
        if !error.is_network() {
            return error;
        }
        let hint = if self.host.has_answered() {
            "the registry has answered before, so something in between may cut long connections; run the same command \
             again, completed uploads are kept"
        } else {
            "check the name of the registry and the network, then run the same command again"
        };
        let named = |url: String| {
            // The rest of an upload's URL only has a meaning for the registry.
            let url = url.split_once("/blobs/uploads/").map_or(url.as_str(), |(before, _)| before);
            format!("{operation} of {} ({url})", self.name())
        };
        // A hint about a proxy is more precise.
        let error = if error.hint().is_none() { error.with_hint(hint) } else { error };
        error.map_kind(|kind| match kind {
            ErrorKind::Network { operation, reason } => ErrorKind::Network { operation: named(operation), reason },
            ErrorKind::Silence { operation, reason, waited } => {
                ErrorKind::Silence { operation: named(operation), reason, waited }
            }
            other => other,
        })
    }

    /// The error that a response means.
    pub(super) async fn error(&self, response: HttpResponse, operation: &str) -> Error {
        let login_hint = self.authorizer.login_hint(self.transport());
        error_of(response, format!("{operation} of {}", self.name()), &login_hint).await
    }
}
