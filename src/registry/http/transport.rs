//! Sends one request: chooses the connection, counts and traces it, follows redirects without credentials.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HeaderMap, LOCATION};
use http::{Method, Request, Response};
use url::Url;

use super::body::{Body, UploadCounter, empty_body, stalled, whole_body};
use super::connect_error::error_of;
use super::connector::Reach;
use super::location::{is_loopback, redacted, resolve, same_origin};
use super::pauses::Pauses;
use super::pool::{Pools, was_reused};
use super::remedies::Hints;
use super::request::{ConnectionKind, HttpRequest, uri};
use super::response::{HttpResponse, ResponseBody};
use super::tls::{self, Trust, Verification};
use crate::error::{Error, ErrorKind};

/// The most redirects that are followed.
const REDIRECT_LIMIT: usize = 6;
/// How often a request that the server did not process is sent again at once.
const UNPROCESSED_LIMIT: usize = 10;

/// Takes a line of text.
pub(crate) type Trace = Arc<dyn Fn(&str) + Send + Sync>;

/// How requests are sent.
#[derive(Clone)]
pub(crate) struct TransportSettings {
    /// Certificate authorities.
    pub(crate) trust: Trust,
    /// Hosts, or hosts with ports, for which plain HTTP and unverified certificates are allowed.
    pub(crate) insecure_registries: Vec<String>,
    /// Takes a line for each request, redacted, when it has been answered.
    pub(crate) trace: Option<Trace>,
    /// How hints are worded.
    pub(crate) hints: Hints,
}

/// What it takes to send requests: connections, counters, and where requests are traced. Clones share all of it.
#[derive(Clone)]
pub(crate) struct Transport {
    shared: Arc<SharedTransport>,
    /// The requests of this clone, if they are counted separately too.
    own_requests: Option<Arc<AtomicU64>>,
}

struct SharedTransport {
    settings: TransportSettings,
    requests: AtomicU64,
    /// How many bodies are being read.
    bodies: Arc<AtomicUsize>,
    pauses: Pauses,
    loopback: OnceLock<Pools>,
    verified: OnceLock<Pools>,
    unverified: OnceLock<Pools>,
}

impl Transport {
    /// A transport without connections.
    pub(crate) fn new(settings: TransportSettings) -> Self {
        let shared = SharedTransport {
            settings,
            requests: AtomicU64::new(0),
            bodies: Arc::default(),
            pauses: Pauses::default(),
            loopback: OnceLock::new(),
            verified: OnceLock::new(),
            unverified: OnceLock::new(),
        };
        Self { shared: Arc::new(shared), own_requests: None }
    }

    /// The same transport with a second counter for its own requests.
    #[must_use]
    pub(crate) fn counting_separately(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), own_requests: Some(Arc::default()) }
    }

    /// The number of requests that were sent, including those to token services and to the targets of redirects.
    pub(crate) fn requests(&self) -> u64 {
        self.own_requests.as_deref().unwrap_or(&self.shared.requests).load(Ordering::Relaxed)
    }

    fn count_request(&self) {
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(own) = &self.own_requests {
            own.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The pauses that hosts asked for.
    pub(crate) fn pauses(&self) -> &Pauses {
        &self.shared.pauses
    }

    /// How hints are worded.
    pub(crate) fn hints(&self) -> Hints {
        self.shared.settings.hints
    }

    /// Whether the user allows plain HTTP and unverified certificates for the host of `url`.
    pub(crate) fn is_insecure(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        self.shared.settings.insecure_registries.iter().any(|insecure| match insecure.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => {
                name.eq_ignore_ascii_case(host) && port.parse() == Ok(url.port_or_known_default().unwrap_or_default())
            }
            _ => insecure.eq_ignore_ascii_case(host),
        })
    }

    /// The pools for `url`.
    ///
    /// # Errors
    /// Plain HTTP to a host for which it is not allowed; TLS settings that can't be used.
    fn pools(&self, url: &Url) -> Result<&Pools, Error> {
        let TransportSettings { trust, hints, .. } = &self.shared.settings;
        let insecure = self.is_insecure(url);
        if url.scheme() == "http" && is_loopback(url) {
            return initialized(&self.shared.loopback, || Ok(Pools::new(tls::no_trust()?, Reach::Loopback)));
        }
        if url.scheme() == "http" && !insecure {
            let hint = hints.insecure(url.host_str().unwrap_or_default());
            return Err(Error::protocol(redacted(url), "plain HTTP is used for loopback hosts only").with_hint(hint));
        }
        let (pools, verification) = if insecure {
            (&self.shared.unverified, Verification::None)
        } else {
            (&self.shared.verified, Verification::Full)
        };
        initialized(pools, || Ok(Pools::new(tls::client_config(trust, verification)?, Reach::Anywhere)))
    }

    /// Opens connections to the host of `url` for as many requests as `missing` returns, which are about to be sent and may
    /// need a connection each. Those requests report a failure.
    pub(crate) fn open_ahead(&self, url: &Url, connection: ConnectionKind, missing: impl FnOnce() -> usize) {
        if let (Ok(pools), Ok(uri)) = (self.pools(url), uri(url)) {
            pools.open_ahead(&uri, connection, missing);
        }
    }

    /// Sends a request and follows redirects of `GET` and `HEAD`. `Authorization` only goes to the origin of the request.
    /// The small body of an answer to `GET` is read before the request counts as answered, so that one that breaks off is
    /// retried like one that never came. A request that failed on a reused connection, most likely because the server had
    /// closed it, is sent again at once on a new one.
    ///
    /// # Errors
    /// `ErrorKind::Network` or `ErrorKind::Silence` if no answer came; `ErrorKind::Tls` if none can come;
    /// `ErrorKind::Protocol` for a redirect that must not be followed.
    pub(crate) async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Error> {
        let mut url = request.url.clone();
        let mut headers = request.headers.clone();
        let mut redirects = 0;
        let mut unprocessed = 0;
        let mut connection = request.connection;
        loop {
            let body = request.body.clone().map_or_else(empty_body, whole_body);
            let timeout = async {
                tokio::time::sleep(request.timeout).await;
                (format!("no answer within {} s", request.timeout.as_secs()), request.timeout)
            };
            let head = (&request.method, &url, headers.clone());
            let response = match self.exchange(head, body, connection, timeout).await {
                Err(SendError { was_unprocessed: true, .. }) if unprocessed < UNPROCESSED_LIMIT => {
                    unprocessed += 1;
                    continue;
                }
                Err(SendError { was_reused: true, .. }) if connection != ConnectionKind::Afresh => {
                    connection = ConnectionKind::Afresh;
                    continue;
                }
                result => result?,
            };
            let Some(location) = redirect_of(&request.method, &response) else {
                let mut response = HttpResponse::new(url, redirects > 0, response, &self.shared.bodies);
                if request.connection != ConnectionKind::Dedicated && request.method == Method::GET {
                    response.buffer_small_body().await?;
                }
                return Ok(response);
            };
            redirects += 1;
            let fail =
                |reason: String| Error::protocol(format!("{} {}", request.method, redacted(&request.url)), reason);
            if redirects > REDIRECT_LIMIT {
                return Err(fail(format!("more than {REDIRECT_LIMIT} redirects")));
            }
            let location = location.to_str().map_err(|_| fail("a redirect to an invalid URL".to_owned()))?;
            url = resolve(&url, location)?;
            if !same_origin(&url, &request.url) {
                headers.remove(AUTHORIZATION);
            }
        }
    }

    /// Sends a request once whose body is a stream of `length` bytes, if that is known. It may take as long as it moves.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn stream(
        &self,
        request: &HttpRequest,
        body: Body,
        sent: &UploadCounter,
        length: Option<u64>,
    ) -> Result<HttpResponse, Error> {
        let head = (&request.method, &request.url, request.headers.clone());
        let response = self.exchange(head, body, request.connection, stalled(sent, length)).await?;
        Ok(HttpResponse::new(request.url.clone(), false, response, &self.shared.bodies))
    }

    /// Sends a request and returns the head of its response. `timeout` ends with a reason and the time that passed.
    async fn exchange(
        &self,
        (method, url, headers): (&Method, &Url, HeaderMap),
        body: Body,
        connection: ConnectionKind,
        timeout: impl Future<Output = (String, Duration)>,
    ) -> Result<Response<ResponseBody>, SendError> {
        let pools = self.pools(url)?;
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        *request.headers_mut() = headers;
        *request.uri_mut() = uri(url)?;
        self.count_request();
        let start = Instant::now();
        let operation = || format!("{method} {}", redacted(url));
        let result = tokio::select! {
            result = pools.send(request, connection) => result.map_err(|error| SendError {
                was_unprocessed: was_unprocessed(&*error),
                was_reused: was_reused(&*error),
                error: error_of(operation(), &*error, url, self.shared.settings.hints),
            }),
            (reason, waited) = timeout => {
                Err(Error::from(ErrorKind::Silence { operation: operation(), reason, waited }).into())
            },
        };
        if let Some(trace) = &self.shared.settings.trace {
            let outcome = match &result {
                Ok(response) => response.status().as_u16().to_string(),
                Err(SendError { error, .. }) => match error.kind() {
                    ErrorKind::Network { reason, .. } | ErrorKind::Silence { reason, .. } => reason.clone(),
                    kind => kind.to_string(),
                },
            };
            trace(&format!("{} → {outcome} ({} ms)", operation(), start.elapsed().as_millis()));
        }
        result
    }
}

/// Why no answer came.
struct SendError {
    error: Error,
    /// The server did not process the request.
    was_unprocessed: bool,
    /// The connection had carried answers before.
    was_reused: bool,
}

impl From<Error> for SendError {
    fn from(error: Error) -> Self {
        Self { error, was_unprocessed: false, was_reused: false }
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        error.error
    }
}

/// The `Location` of a redirect that is to be followed.
fn redirect_of<'r>(method: &Method, response: &'r Response<ResponseBody>) -> Option<&'r http::HeaderValue> {
    let follow = matches!(*method, Method::GET | Method::HEAD)
        && matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    response.headers().get(LOCATION).filter(|_| follow)
}

/// Whether the server states that it did not process a request: it closes the connection, as many do after a thousand
/// requests, or has too many requests at once. Such a request can be sent again whatever it is (RFC 9113, section 8.7).
fn was_unprocessed(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let reason = error.reason();
            return error.is_remote()
                && (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)
                    || error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM));
        }
        source = cause.source();
    }
    false
}

fn initialized(cell: &OnceLock<Pools>, make: impl FnOnce() -> Result<Pools, Error>) -> Result<&Pools, Error> {
    if let Some(pools) = cell.get() {
        return Ok(pools);
    }
    let pools = make()?;
    Ok(cell.get_or_init(|| pools))
}
