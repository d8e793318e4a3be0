//! A request as data: it can be sent as often as needed.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use url::Url;

use super::location::redacted;
use crate::error::Error;

/// How long the first byte of an answer may take, if the request has no long body.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Which connection a request is sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionKind {
    /// One that many requests share, if the server supports HTTP/2: for questions, manifests and small blobs.
    Shared,
    /// One that this request has for itself: for blobs. HTTP/2's windows would limit an upload to about 64 kB per round
    /// trip, and a single connection would limit all uploads together.
    Dedicated,
    /// One of reqwest's: for small requests to hosts that are not registries.
    Ordinary,
    /// A new one that is not reused: the last connection was closed, or its bytes were wrong.
    Afresh,
}

impl ConnectionKind {
    /// The connection for a request whose body has `bytes` bytes (`None` if unknown). All that are sent at once must fit
    /// into the initial HTTP/2 window of 64 KiB (RFC 9113, section 6.9.2).
    pub fn of_request(bytes: Option<u64>) -> Self {
        if bytes.is_some_and(|bytes| bytes <= 8 * 1024) { Self::Shared } else { Self::Dedicated }
    }

    /// The connection for an answer whose body has `bytes` bytes.
    pub fn of_answer(bytes: u64) -> Self {
        if bytes <= 64 * 1024 { Self::Shared } else { Self::Dedicated }
    }
}

/// A request.
#[derive(Clone)]
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) connection: ConnectionKind,
    /// How long the first byte of the answer may take.
    pub(crate) timeout: Duration,
}

impl HttpRequest {
    /// A `GET` with a short answer.
    pub(crate) fn get(url: Url) -> Self {
        let (method, headers) = (Method::GET, HeaderMap::new());
        Self { method, url, headers, body: None, connection: ConnectionKind::Shared, timeout: ANSWER_TIMEOUT }
    }
}

/// A URL in the form that the HTTP library takes.
pub(super) fn uri(url: &Url) -> Result<Uri, Error> {
    url.as_str().parse().map_err(|_| Error::protocol(redacted(url), "not a valid HTTP URL"))
}
