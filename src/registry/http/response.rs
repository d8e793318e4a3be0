//! A response whose body is read in bounds: at a minimum rate, up to a limit.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{AsHeaderName, HeaderMap};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use url::Url;

use super::connect_error::reason_of;
use super::location::redacted;
use super::minimum_rate::BodyRate;
use crate::error::{Error, ErrorKind};

/// How long the rest of a body that nobody needs is read: after that, a new connection costs less.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the body of an error is read.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of the body of an error is read, in bytes.
const ERROR_BODY_LIMIT: usize = 8 * 1024;
/// How much of a small body is read together with its head, in bytes.
const BUFFER_LIMIT: usize = 1024 * 1024;

/// The body of a response.
pub(super) enum ResponseBody {
    /// From one of our own connections.
    Registry(Incoming),
    /// From one of reqwest's.
    Ordinary(reqwest::Body),
}

/// A response whose body has not been read.
pub(crate) struct HttpResponse {
    /// The URL that answered, after redirects.
    pub(crate) url: Url,
    /// Whether a redirect led to it.
    pub(crate) redirected: bool,
    response: Response<ResponseBody>,
    /// The beginning of the body, if it has been read.
    buffered: Option<Bytes>,
    /// Kept until the body has been read or dropped, so that a host's limit of requests covers bodies.
    _permit: Option<Box<dyn Send + Sync>>,
    rate: BodyRate,
}

impl HttpResponse {
    pub(super) fn new(url: Url, redirected: bool, response: Response<ResponseBody>, bodies: &Arc<AtomicUsize>) -> Self {
        Self { url, redirected, response, buffered: None, _permit: None, rate: BodyRate::new(bodies) }
    }

    /// The same response, which keeps `permit` as long as its body.
    pub(crate) fn keeping(self, permit: Option<impl Send + Sync + 'static>) -> Self {
        Self { _permit: permit.map(|permit| Box::new(permit) as Box<dyn Send + Sync>), ..self }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header as text, if it is present and is text.
    pub(crate) fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// The host that answered, with its port.
    pub(crate) fn host(&self) -> String {
        match (self.url.host_str(), self.url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        }
    }

    /// Reads a small body, or the beginning of a large one.
    pub(super) async fn buffer_small_body(&mut self) -> Result<(), Error> {
        let mut buffer = BytesMut::new();
        while buffer.len() < BUFFER_LIMIT {
            match self.chunk().await? {
                Some(chunk) => buffer.extend_from_slice(&chunk),
                None => break,
            }
        }
        self.buffered = Some(buffer.freeze()).filter(|buffer| !buffer.is_empty());
        Ok(())
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(buffered) = self.buffered.take() {
            return Ok(Some(buffered));
        }
        let operation = || format!("GET {}", redacted(&self.url));
        loop {
            let start = Instant::now();
            let next = tokio::time::timeout(self.rate.time_left(), self.response.body_mut().next()).await;
            let bytes =
                next.as_ref().map_or(0, |next| next.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len));
            let rate = self.rate.observe(bytes, start.elapsed());
            match next {
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => {
                    return Err(Error::network(operation(), reason_of(&*error)));
                }
                _ => {}
            }
            if let Err((reason, waited)) = rate {
                return Err(ErrorKind::Silence { operation: operation(), reason, waited }.into());
            }
            if let Ok(Ok(chunk)) = next {
                return Ok(chunk);
            }
        }
    }

    /// The whole body, if it has at most `limit` bytes.
    pub(crate) async fn bytes(mut self, limit: u64, what: &str) -> Result<Bytes, Error> {
        let too_large = || Error::malformed(what, format!("it is larger than the limit of {limit} bytes"));
        let buffered = self.buffered.as_ref().map_or(0, Bytes::len) as u64;
        if self.response.body().exact_size().is_some_and(|length| length.saturating_add(buffered) > limit) {
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

    /// The beginning of the body of an error, as far as it comes in time.
    pub(crate) async fn error_body(&mut self) -> Bytes {
        let mut body = BytesMut::new();
        let reading = async {
            while body.len() < ERROR_BODY_LIMIT
                && let Ok(Some(chunk)) = self.chunk().await
            {
                body.extend_from_slice(&chunk[..chunk.len().min(ERROR_BODY_LIMIT - body.len())]);
            }
        };
        let _ = tokio::time::timeout(ERROR_TIMEOUT, reading).await;
        body.freeze()
    }
}

impl ResponseBody {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
        match self {
            Self::Registry(body) => Ok(next_data(body).await?),
            Self::Ordinary(body) => Ok(next_data(body).await?),
        }
    }

    /// The number of bytes, if it is known.
    fn exact_size(&self) -> Option<u64> {
        match self {
            Self::Registry(body) => body.size_hint().exact(),
            Self::Ordinary(body) => body.size_hint().exact(),
        }
    }
}

/// The next bytes of a body; trailers are ignored.
async fn next_data<B: hyper::body::Body<Data = Bytes> + Unpin>(body: &mut B) -> Result<Option<Bytes>, B::Error> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
