//! One HTTP exchange: sent, counted, traced, its redirects followed without credentials, its answer read in bounds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, AsHeaderName, HeaderMap, LOCATION};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::connect_error::{error_of, reason_of};
use super::location::{redacted, resolve, same_origin};
use super::minimum_rate::Flow;
use super::pool::{Body, ConnectionKind, empty_body, was_kept, whole_body};
use super::retry;
use crate::error::registry::RegistryError;
use crate::error::{Error, ErrorKind};
use crate::registry::client::Client;
use crate::registry::error::parse_details;

/// The first byte of an answer to a request without a long body comes no later.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// An upload that doesn't move for so long is given up.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(120);
/// So often it is looked whether an upload moves.
const STALL_TICK: Duration = Duration::from_secs(1);
/// What nobody needs of an answer is read for no longer: a new connection costs less.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
/// The words of an error are waited for no longer.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);
/// No chain of redirects is longer.
const REDIRECT_LIMIT: usize = 6;
/// So often a request that the server did not take is sent again at once.
const UNTAKEN_LIMIT: usize = 10;
/// So much of the body of an answer that carries little is read with its head, in bytes.
const HELD_LIMIT: usize = 1024 * 1024;
/// Of an error body no more is read.
const ERROR_BODY_LIMIT: usize = 8 * 1024;

/// A request that can be sent as often as needed.
#[derive(Clone)]
pub struct HttpRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) load: ConnectionKind,
    /// So long an answer is waited for.
    pub(crate) patience: Duration,
}

impl HttpRequest {
    /// A question of which the answer carries little.
    pub(crate) fn question(url: Url) -> Self {
        let patience = ANSWER_TIMEOUT;
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: None, load: ConnectionKind::Shared, patience }
    }
}

/// How long a registry may take to answer the end of an upload of so many bytes. It hashes and moves a large one first,
/// and what is still on its way may need a while on a slow line.
pub(crate) fn commit_limit(bytes: u64) -> Duration {
    Duration::from_secs((120 + bytes / 32_000).min(900))
}

/// An answer whose body has not been read.
pub struct HttpResponse {
    /// The URL that answered, behind redirects.
    pub(crate) url: Url,
    response: Response<Incoming>,
    /// The beginning of the body, where it has been read.
    held: Option<Bytes>,
    /// Held until the body has been read or dropped, so that a host's limit counts bodies too.
    permit: Option<OwnedSemaphorePermit>,
    /// Whether a redirect led to it.
    pub(crate) redirected: bool,
    /// How its body comes.
    flow: Flow,
}

/// Whether a later try may be answered otherwise.
pub fn is_temporary(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Sends `outgoing` and follows redirects of GET and HEAD. `Authorization` is sent to the origin of `outgoing` alone. What
/// an answer to GET carries, if it is little, is read before it counts as an answer: so one that breaks off is asked for
/// again as one that never came. What failed on a kept connection, most likely because the server had closed it, is sent
/// again at once on a new one.
///
/// # Errors
/// `ErrorKind::Network` or `ErrorKind::Silence` when no answer came; `ErrorKind::Tls` when none can come; `ErrorKind::Protocol` for
/// a redirect that may not be followed.
pub(crate) async fn send(
    client: &Client,
    outgoing: &HttpRequest,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<HttpResponse, Error> {
    let mut url = outgoing.url.clone();
    let mut headers = outgoing.headers.clone();
    let mut redirects = 0;
    let mut untaken = 0;
    let mut load = outgoing.load;
    loop {
        let body = outgoing.body.clone().map_or_else(empty_body, whole_body);
        let silence = async {
            tokio::time::sleep(outgoing.patience).await;
            (format!("no answer within {} s", outgoing.patience.as_secs()), outgoing.patience)
        };
        let response = match exchange(client, (&outgoing.method, load), &url, headers.clone(), body, silence).await {
            Err(SendError { is_untaken: true, .. }) if untaken < UNTAKEN_LIMIT => {
                untaken += 1;
                continue;
            }
            Err(SendError { was_kept: true, .. }) if load != ConnectionKind::Afresh => {
                load = ConnectionKind::Afresh;
                continue;
            }
            result => result?,
        };
        let follow = matches!(outgoing.method, Method::GET | Method::HEAD)
            && matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = response.headers().get(LOCATION).filter(|_| follow) else {
            let redirected = redirects > 0;
            let mut answer = HttpResponse { url, response, held: None, permit, redirected, flow: client.flow() };
            if outgoing.load != ConnectionKind::Dedicated && outgoing.method == Method::GET {
                answer.hold().await?;
            }
            return Ok(answer);
        };
        redirects += 1;
        let operation = || format!("{} {}", outgoing.method, redacted(&outgoing.url));
        if redirects > REDIRECT_LIMIT {
            return Err(Error::protocol(operation(), format!("more than {REDIRECT_LIMIT} redirects")));
        }
        let location = location.to_str().map_err(|_| Error::protocol(operation(), "a redirect to no address"))?;
        url = resolve(&url, location)?;
        if !same_origin(&url, &outgoing.url) {
            headers.remove(AUTHORIZATION);
        }
    }
}

/// One request and the head of its answer.
async fn exchange(
    client: &Client,
    (method, load): (&Method, ConnectionKind),
    url: &Url,
    headers: HeaderMap,
    body: Body,
    silence: impl Future<Output = (String, Duration)>,
) -> Result<Response<Incoming>, SendError> {
    let http = client.http(url)?;
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.headers_mut() = headers;
    *request.uri_mut() = uri(url)?;
    client.count_request();
    let start = Instant::now();
    let operation = || format!("{method} {}", redacted(url));
    let result = tokio::select! {
        result = http.send(request, load) => result.map_err(|error| SendError {
            is_untaken: is_untaken(&error),
            was_kept: was_kept(&error),
            error: error_of(operation(), &error, url, client.options().hints),
        }),
        (reason, waited) = silence => {
            Err(Error::from(ErrorKind::Silence { operation: operation(), reason, waited }).into())
        }
    };
    let said = || match &result {
        Ok(response) => response.status().as_u16().to_string(),
        Err(SendError { error, .. }) => match error.kind() {
            ErrorKind::Network { reason, .. } | ErrorKind::Silence { reason, .. } => reason.clone(),
            kind => kind.to_string(),
        },
    };
    client.trace(|| format!("{} → {} ({} ms)", operation(), said(), start.elapsed().as_millis()));
    result
}

/// Why no answer came.
struct SendError {
    error: Error,
    /// The server did not begin with it.
    is_untaken: bool,
    /// The connection had carried answers before.
    was_kept: bool,
}

impl From<Error> for SendError {
    fn from(error: Error) -> Self {
        Self { error, is_untaken: false, was_kept: false }
    }
}

impl From<SendError> for Error {
    fn from(failure: SendError) -> Self {
        failure.error
    }
}

/// Whether the server says that it took no notice of a request: it had enough of the connection, as many have after a
/// thousand requests, or of requests at once. Such are sent again whatever they ask for (RFC 9113, section 8.7).
fn is_untaken(error: &(dyn std::error::Error + 'static)) -> bool {
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

/// An address as the HTTP library wants it.
pub(crate) fn uri(url: &Url) -> Result<Uri, Error> {
    url.as_str().parse().map_err(|_| Error::protocol(redacted(url), "this is no address of HTTP"))
}

/// How far a streamed request body got: shared between the body and whoever watches that it moves.
#[derive(Debug, Default)]
pub struct UploadCounter {
    bytes: AtomicU64,
    is_hungry: AtomicBool,
    is_over: AtomicBool,
}

impl UploadCounter {
    /// `bytes` more were taken by the connection.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The bytes that were taken.
    pub fn get(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The connection waits for bytes, or has got some: while it waits, it is not the other end that is slow.
    pub fn set_hungry(&self, hungry: bool) {
        self.is_hungry.store(hungry, Ordering::Relaxed);
    }

    /// All bytes were taken.
    pub fn set_over(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn is_hungry(&self) -> bool {
        self.is_hungry.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// One request whose body is a stream of `length` bytes, or of nobody knows how many, and the head of its answer. It may
/// take as long as it moves.
pub(crate) async fn stream(
    client: &Client,
    outgoing: &HttpRequest,
    body: Body,
    pulled: &UploadCounter,
    length: Option<u64>,
) -> Result<HttpResponse, Error> {
    let headers = outgoing.headers.clone();
    let silence = stall(pulled, length);
    let response = exchange(client, (&outgoing.method, outgoing.load), &outgoing.url, headers, body, silence).await?;
    let (url, flow) = (outgoing.url.clone(), client.flow());
    Ok(HttpResponse { url, response, held: None, permit: None, redirected: false, flow })
}

/// Waits until an upload has not moved for too long, or its end has not been answered for too long.
async fn stall(pulled: &UploadCounter, length: Option<u64>) -> (String, Duration) {
    let (mut seen, mut still) = (pulled.get(), Duration::ZERO);
    loop {
        tokio::time::sleep(STALL_TICK).await;
        let now = pulled.get();
        let is_sent = length.map_or_else(|| pulled.is_over(), |length| now >= length);
        if now != seen || !is_sent && pulled.is_hungry() {
            (seen, still) = (now, Duration::ZERO);
            continue;
        }
        still += STALL_TICK;
        if still >= if is_sent { commit_limit(now) } else { STALL_TIMEOUT } {
            let whole = length.map(|length| format!(" of {length}")).unwrap_or_default();
            return (format!("nothing moved for {} s, {now}{whole} bytes sent", still.as_secs()), still);
        }
    }
}

/// The next bytes of a body; trailers say nothing to us.
async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

impl HttpResponse {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header as text, if it is there and is text.
    pub(crate) fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// Reads the body, or the beginning of a large one.
    async fn hold(&mut self) -> Result<(), Error> {
        let mut held = BytesMut::new();
        while held.len() < HELD_LIMIT {
            match self.chunk().await? {
                Some(chunk) => held.extend_from_slice(&chunk),
                None => break,
            }
        }
        self.held = Some(held.freeze()).filter(|held| !held.is_empty());
        Ok(())
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let operation = || format!("GET {}", redacted(&self.url));
        loop {
            let begun = Instant::now();
            let next = tokio::time::timeout(self.flow.patience(), next_data(self.response.body_mut())).await;
            let bytes =
                next.as_ref().map_or(0, |next| next.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len));
            let judged = self.flow.observe(bytes, begun.elapsed());
            match next {
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => {
                    return Err(Error::network(operation(), reason_of(&error)));
                }
                _ => {}
            }
            if let Err((reason, waited)) = judged {
                return Err(Error::from(ErrorKind::Silence { operation: operation(), reason, waited }));
            }
            if let Ok(Ok(chunk)) = next {
                return Ok(chunk);
            }
        }
    }

    /// The whole body, if it has at most `limit` bytes.
    pub(crate) async fn bytes(mut self, limit: u64, what: &str) -> Result<Bytes, Error> {
        let too_large = || Error::malformed(what.to_owned(), format!("it is larger than the limit of {limit} bytes"));
        let held = self.held.as_ref().map_or(0, Bytes::len) as u64;
        if self.response.body().size_hint().exact().is_some_and(|length| length.saturating_add(held) > limit) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Reads the rest of a body that nobody needs, so that its connection can be used again.
    pub(crate) async fn discard(mut self) {
        let mut left: usize = 64 * 1024;
        let reading = async {
            while left > 0
                && let Ok(Some(chunk)) = self.chunk().await
            {
                left = left.saturating_sub(chunk.len());
            }
        };
        let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
    }

    /// The registry's error in this answer.
    pub(crate) async fn into_error(mut self, operation: String, login_hint: &str) -> Error {
        let mut body = BytesMut::new();
        let reading = async {
            while body.len() < ERROR_BODY_LIMIT
                && let Ok(Some(chunk)) = self.chunk().await
            {
                body.extend_from_slice(&chunk[..chunk.len().min(ERROR_BODY_LIMIT - body.len())]);
            }
        };
        let _ = tokio::time::timeout(ERROR_TIMEOUT, reading).await;
        let host = match (self.url.host_str(), self.url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let status = self.response.status().as_u16();
        let pause = retry::retry_after(self.response.headers()).filter(|_| is_temporary(self.response.status()));
        let hint = match pause {
            Some(pause) if !pause.is_zero() => {
                Some(format!("it asks to come back in {}; what was copied is kept", retry::in_words(pause)))
            }
            _ => (status == 401 && !login_hint.is_empty()).then(|| login_hint.to_owned()),
        };
        drop(self.permit.take());
        let details = parse_details(&body);
        let error = Error::from(RegistryError { operation, host, status, details, may_pass: false });
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}
