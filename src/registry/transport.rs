//! One HTTP exchange: sent, counted, traced, its redirects followed without credentials, its answer read in bounds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, AsHeaderName, HeaderMap, LOCATION};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::client::Client;
use super::error::{RegistryError, parse_details};
use super::http::{Body, Load, empty_body, whole_body};
use super::location::{redacted, resolve, same_origin};
use crate::error::Error;

/// The first byte of an answer to a request without a long body comes no later.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
/// No silence in the middle of a body is longer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// An upload that doesn't move for so long is given up.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(120);
/// A registry may take long to answer the end of a large upload, since it hashes and moves it first.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(900);
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
pub struct Outgoing {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    pub(super) load: Load,
}

/// An answer whose body has not been read.
pub struct Answer {
    /// The URL that answered, behind redirects.
    pub(super) url: Url,
    response: Response<Incoming>,
    /// The beginning of the body, where it has been read.
    held: Option<Bytes>,
    /// Held until the body has been read or dropped, so that a host's limit counts bodies too.
    permit: Option<OwnedSemaphorePermit>,
    /// Whether a redirect led to it.
    pub(super) redirected: bool,
}

/// Whether a later try may be answered otherwise.
pub fn is_temporary(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Sends `outgoing` and follows redirects of GET and HEAD. `Authorization` is sent to the origin of `outgoing` alone. What
/// an answer to GET carries, if it is little, is read before it counts as an answer: so one that breaks off is asked for
/// again as one that never came.
///
/// # Errors
/// [`Error::Network`] when no answer came; [`Error::Protocol`] for a redirect that may not be followed.
pub(super) async fn send(
    client: &Client,
    outgoing: &Outgoing,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Answer, Error> {
    let mut url = outgoing.url.clone();
    let mut headers = outgoing.headers.clone();
    let mut redirects = 0;
    let mut untaken = 0;
    loop {
        let body = outgoing.body.clone().map_or_else(empty_body, whole_body);
        let silence = async {
            tokio::time::sleep(ANSWER_TIMEOUT).await;
            format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())
        };
        let response = match exchange(client, outgoing, &url, headers.clone(), body, silence).await {
            Err(Failure { is_untaken: true, .. }) if untaken < UNTAKEN_LIMIT => {
                untaken += 1;
                continue;
            }
            result => result?,
        };
        let follow = matches!(outgoing.method, Method::GET | Method::HEAD)
            && matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = response.headers().get(LOCATION).filter(|_| follow) else {
            let mut answer = Answer { url, response, held: None, permit, redirected: redirects > 0 };
            if outgoing.load == Load::Light && outgoing.method == Method::GET {
                answer.hold().await?;
            }
            return Ok(answer);
        };
        redirects += 1;
        let operation = || format!("{} {}", outgoing.method, redacted(&outgoing.url));
        if redirects > REDIRECT_LIMIT {
            return Err(Error::Protocol {
                operation: operation(),
                reason: format!("more than {REDIRECT_LIMIT} redirects"),
            });
        }
        let location = location
            .to_str()
            .map_err(|_| Error::Protocol { operation: operation(), reason: "a redirect to no address".to_owned() })?;
        url = resolve(&url, location)?;
        if !same_origin(&url, &outgoing.url) {
            headers.remove(AUTHORIZATION);
        }
    }
}

/// One request and the head of its answer.
async fn exchange(
    client: &Client,
    Outgoing { method, load, .. }: &Outgoing,
    url: &Url,
    headers: HeaderMap,
    body: Body,
    silence: impl Future<Output = String>,
) -> Result<Response<Incoming>, Failure> {
    let http = client.http(url)?;
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.headers_mut() = headers;
    *request.uri_mut() = uri(url)?;
    client.count_request();
    let start = Instant::now();
    let result = tokio::select! {
        result = http.send(request, *load) => result.map_err(|error| (reason_of(&error), is_untaken(&error))),
        reason = silence => Err((reason, false)),
    };
    let said = || match &result {
        Ok(response) => response.status().as_u16().to_string(),
        Err((reason, _)) => reason.clone(),
    };
    client.trace(|| format!("{method} {} → {} ({} ms)", redacted(url), said(), start.elapsed().as_millis()));
    result.map_err(|(reason, is_untaken)| {
        let error = Error::Network { operation: format!("{method} {}", redacted(url)), reason };
        Failure { error, is_untaken }
    })
}

/// Why no answer came.
struct Failure {
    error: Error,
    /// The server did not begin with it.
    is_untaken: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, is_untaken: false }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
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
pub(super) fn uri(url: &Url) -> Result<Uri, Error> {
    url.as_str()
        .parse()
        .map_err(|_| Error::Protocol { operation: redacted(url), reason: "this is no address of HTTP".to_owned() })
}

/// How far a streamed request body got: shared between the body and whoever watches that it moves.
#[derive(Debug, Default)]
pub struct Pulled(AtomicU64);

impl Pulled {
    /// `bytes` more were taken by the connection.
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The bytes that were taken.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One request whose body is a stream of `length` bytes, or of nobody knows how many, and the head of its answer. It may
/// take as long as it moves.
pub(super) async fn stream(
    client: &Client,
    outgoing: &Outgoing,
    body: Body,
    pulled: &Pulled,
    length: Option<u64>,
) -> Result<Answer, Error> {
    let silence = async {
        let mut seen = pulled.get();
        loop {
            let limit = if length.is_none_or(|length| seen < length) { STALL_TIMEOUT } else { COMMIT_TIMEOUT };
            tokio::time::sleep(limit).await;
            let now = pulled.get();
            if now == seen {
                let whole = length.map(|length| format!(" of {length}")).unwrap_or_default();
                return format!("nothing moved for {} s, {now}{whole} bytes sent", limit.as_secs());
            }
            seen = now;
        }
    };
    let headers = outgoing.headers.clone();
    let response = exchange(client, outgoing, &outgoing.url, headers, body, silence).await?;
    Ok(Answer { url: outgoing.url.clone(), response, held: None, permit: None, redirected: false })
}

/// What a failed exchange says.
fn reason_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut source = Some(error);
    while let Some(cause) = source {
        let words = cause.to_string();
        // The HTTP library's outer errors say nothing that a user could act upon, and causes repeat each other.
        let empty = words.is_empty() || words.starts_with("client error (");
        if !empty && !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        source = cause.source();
    }
    if text.is_empty() {
        text = error.to_string();
    }
    // OpenSSL's habit for a self-signed certificate, and no other client's complaint.
    if text.contains("CaUsedAsEndEntity") {
        text.push_str(" (the registry shows an authority's certificate as its own: it needs one with CA:FALSE)");
    }
    crate::error::printable(&text, 300)
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

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header as text, if it is there and is text.
    pub(super) fn header(&self, name: impl AsHeaderName) -> Option<&str> {
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
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let operation = || format!("GET {}", redacted(&self.url));
        match tokio::time::timeout(IDLE_TIMEOUT, next_data(self.response.body_mut())).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(Error::Network { operation: operation(), reason: reason_of(&error) }),
            Err(_) => Err(Error::Network {
                operation: operation(),
                reason: format!("silence for {} s in mid-body", IDLE_TIMEOUT.as_secs()),
            }),
        }
    }

    /// The whole body, if it has at most `limit` bytes.
    pub(super) async fn bytes(mut self, limit: u64, what: &str) -> Result<Bytes, Error> {
        let too_large = || Error::Malformed {
            what: what.to_owned(),
            reason: format!("it is larger than the limit of {limit} bytes"),
        };
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
    pub(super) async fn discard(mut self) {
        let mut left: usize = 64 * 1024;
        while let Ok(Some(chunk)) = self.chunk().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    }

    /// The registry's error in this answer.
    pub(super) async fn into_error(mut self, operation: String, advice: &str) -> RegistryError {
        let mut body = BytesMut::new();
        while body.len() < ERROR_BODY_LIMIT {
            match self.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(ERROR_BODY_LIMIT - body.len())]),
                _ => break,
            }
        }
        let host = match (self.url.host_str(), self.url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let status = self.response.status().as_u16();
        let advice = (status == 401 && !advice.is_empty()).then(|| advice.to_owned());
        drop(self.permit.take());
        RegistryError { operation, host, status, details: parse_details(&body), advice }
    }
}
