//! Reads request bodies, with time limits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use super::answer::{Code, Refusal};

/// How long a client may pause in the middle of a body.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long to drain an unwanted body.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);
/// How many bytes of it to drain. Closing a connection with unread data may reset it before the client has read the
/// response.
const DRAIN_LIMIT: u64 = 64 * 1024 * 1024;

/// A body being received.
pub(super) struct RequestBody {
    incoming: Incoming,
    /// The client waits for `100 Continue`, which is sent when the body is first read.
    client_waits: bool,
}

impl RequestBody {
    /// The body of a request with these headers.
    pub(super) fn new(incoming: Incoming, headers: &HeaderMap) -> Self {
        Self { incoming, client_waits: headers.contains_key(http::header::EXPECT) }
    }

    /// Bytes left, if the client sent a length.
    pub(super) fn length(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        self.client_waits = false;
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.incoming.frame()).await.map_err(|_| {
                Refusal::new(StatusCode::REQUEST_TIMEOUT, Code::BlobUploadInvalid, "nothing came for too long")
            })?;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    // Trailers are ignored.
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(error)) => {
                    let message = format!("the body broke off: {error}");
                    return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::SizeInvalid, message));
                }
            }
        }
    }

    /// The whole body, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// `413` for a larger one.
    pub(super) async fn whole(&mut self, limit: usize) -> Result<Bytes, Refusal> {
        let too_large = || {
            let message = format!("a manifest may have {limit} bytes");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ManifestInvalid, message)
        };
        if self.length().is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let mut all = BytesMut::new();
        while let Some(bytes) = self.next().await? {
            if all.len() + bytes.len() > limit {
                return Err(too_large());
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    /// Drains the rest of a rejected body, so that the client reads the response and the connection can be reused.
    /// `false` if there is too much.
    pub(super) async fn drain(&mut self) -> bool {
        if self.incoming.is_end_stream() {
            return true;
        }
        if self.client_waits || self.length().is_some_and(|length| length > DRAIN_LIMIT) {
            return false;
        }
        let drained = async {
            let mut seen = 0;
            while let Ok(Some(bytes)) = self.next().await {
                seen += bytes.len() as u64;
                if seen > DRAIN_LIMIT {
                    return false;
                }
            }
            self.incoming.is_end_stream()
        };
        tokio::time::timeout(DRAIN_PATIENCE, drained).await.unwrap_or(false)
    }
}
