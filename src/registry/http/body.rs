//! Bodies of requests, and how far a streamed one got.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStream, TryStreamExt as _};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Frame;

/// An upload that doesn't move for this long is given up.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(120);
/// How often an upload is checked for movement.
const STALL_TICK: Duration = Duration::from_secs(1);

/// A request's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A body without bytes.
pub(super) fn empty_body() -> Body {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of these bytes.
pub(super) fn whole_body(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A body of the pieces of a stream.
pub(crate) fn stream_body(pieces: impl TryStream<Ok = Bytes, Error = std::io::Error> + Send + 'static) -> Body {
    http_body_util::StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
}

/// How many bytes of a streamed body the connection has taken: shared by the body and whoever watches that it moves.
#[derive(Debug, Default)]
pub struct UploadCounter {
    bytes: AtomicU64,
    is_hungry: AtomicBool,
    is_over: AtomicBool,
}

impl UploadCounter {
    /// Counts `bytes` that the connection took.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The bytes that the connection took.
    pub fn get(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Sets whether the connection waits for bytes. While it does, it isn't the other end that is slow.
    pub fn set_hungry(&self, hungry: bool) {
        self.is_hungry.store(hungry, Ordering::Relaxed);
    }

    /// The connection took all bytes.
    pub fn set_over(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// How long a registry may take to answer the end of an upload of `bytes` bytes. It hashes and moves a large blob first,
/// and on a slow line the last bytes take a while to arrive.
pub(crate) fn commit_limit(bytes: u64) -> Duration {
    Duration::from_secs((120 + bytes / 32_000).min(900))
}

/// Waits until an upload of `length` bytes, if that is known, has stalled, or its end has not been answered for too long.
/// Returns the reason and the time that passed.
pub(super) async fn stalled(sent: &UploadCounter, length: Option<u64>) -> (String, Duration) {
    let (mut seen, mut still) = (sent.get(), Duration::ZERO);
    loop {
        tokio::time::sleep(STALL_TICK).await;
        let now = sent.get();
        let is_sent = length.map_or_else(|| sent.is_over.load(Ordering::Relaxed), |length| now >= length);
        if now != seen || !is_sent && sent.is_hungry.load(Ordering::Relaxed) {
            (seen, still) = (now, Duration::ZERO);
            continue;
        }
        still += STALL_TICK;
        if still >= if is_sent { commit_limit(now) } else { STALL_TIMEOUT } {
            let whole = length.map(|length| format!(" of {length}")).unwrap_or_default();
            return (format!("upload stalled for {} s ({now}{whole} bytes sent)", still.as_secs()), still);
        }
    }
}
