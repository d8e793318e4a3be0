//! One large blob by several requests at once, where a registry, or what is before it, holds each connection to a rate
//! (RFC 9110, section 14). The parts are handed out in order; memory is bounded for all blobs together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::AbortHandle;

use super::reader::BlobReader;
use crate::error::Error;
use crate::image::digest::Digest;
use crate::registry::repository::Repository;

/// A part that is asked for at once, in bytes: many times what a round trip costs.
const PART: u64 = 8 * 1024 * 1024;
/// What of a part waits for its turn is kept in pieces of this size, in bytes. As it comes from a connection each piece
/// would hold on to the whole buffer that it was read into.
const KEPT_PIECE: usize = 512 * 1024;
/// Parts of one blob that are being fetched at once.
const CONNECTIONS: usize = 8;
/// What is left of a blob must be worth it, in bytes.
const WORTH: u64 = 64 * 1024 * 1024;
/// The stream that was begun goes on for so long, while it is found out whether ranges are answered, in bytes.
const OVERLAP: u64 = 16 * 1024 * 1024;
/// A connection that is faster, in bytes a second, is not held back: the processor or the wire is at its end.
const HELD_RATE: u64 = 100_000_000;
/// So long a connection is watched before it is judged.
const WATCHED: Duration = Duration::from_millis(500);
/// After so long several connections must have been faster than one by a third.
const TRIED: Duration = Duration::from_secs(2);

/// How fast one connection is, and whether it is what is waited for.
#[derive(Debug)]
pub(crate) struct Throughput {
    since: Instant,
    bytes: u64,
    waited: Duration,
}

impl Throughput {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), bytes: 0, waited: Duration::ZERO }
    }

    /// `bytes` came after a wait.
    pub(crate) fn observe(&mut self, bytes: usize, waited: Duration) {
        self.bytes += bytes as u64;
        self.waited += waited;
    }

    /// Bytes a second, if the connection was watched for long enough, was what was waited for most of the time, and is
    /// slower than one that nobody holds back. Else it is watched anew.
    fn held(&mut self) -> Option<u64> {
        let time = self.since.elapsed();
        if time < WATCHED {
            return None;
        }
        let rate = rate(self.bytes, time);
        let is_waited_for = self.waited * 10 > time * 7;
        *self = Self::new();
        (is_waited_for && rate < HELD_RATE).then_some(rate)
    }
}

/// Bytes a second.
fn rate(bytes: u64, time: Duration) -> u64 {
    bytes.saturating_mul(1000) / u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Whether a registry answers ranges, as far as is known.
const UNKNOWN: u8 = 0;
const ANSWERED: u8 = 1;
const REFUSED: u8 = 2;

/// Parts of a blob on their way.
pub(crate) struct ParallelFetch {
    /// The first byte that comes by parts; what is before comes by the stream that was begun.
    pub(crate) begin: u64,
    parts: VecDeque<RangePart>,
    /// The first byte that nobody asked for yet.
    next: u64,
    size: u64,
    answers: Arc<AtomicU8>,
    /// Bytes a second of one connection alone.
    alone: u64,
    /// When the parts began to be handed out.
    since: Option<Instant>,
    taken: u64,
    judged: bool,
}

struct RangePart {
    pieces: mpsc::UnboundedReceiver<Result<Bytes, Error>>,
    left: u64,
    fetching: AbortHandle,
    _room: OwnedSemaphorePermit,
    _request: OwnedSemaphorePermit,
}

impl Drop for RangePart {
    fn drop(&mut self) {
        self.fetching.abort();
    }
}

/// What the parts say.
pub(crate) enum Next {
    /// The next bytes.
    Piece(Bytes),
    /// They end here, or are of no more use: the blob is to be read on by one connection.
    Over,
}

impl ParallelFetch {
    /// Begins to fetch parts of a blob of `size` bytes of which `offset` were read, if its connection seems to be held
    /// back and few others are under way.
    pub(crate) fn begin(
        repository: &Repository,
        digest: &Digest,
        pace: &mut Throughput,
        offset: u64,
        size: u64,
    ) -> Option<Self> {
        let alone = pace.held()?;
        let begin = offset.checked_add(OVERLAP)?;
        if size.checked_sub(begin)? < WORTH || repository.host().requests_under_way() > 2 {
            return None;
        }
        let mut ahead = Self {
            begin,
            parts: VecDeque::new(),
            next: begin,
            size,
            answers: Arc::new(AtomicU8::new(UNKNOWN)),
            alone,
            since: None,
            taken: 0,
            judged: false,
        };
        ahead.fill(repository, digest);
        Some(ahead)
    }

    /// Whether ranges are answered; `None` while that is not known.
    pub(crate) fn answered(&self) -> Option<bool> {
        match self.answers.load(Ordering::Relaxed) {
            ANSWERED => Some(true),
            REFUSED => Some(false),
            _ => None,
        }
    }

    /// Asks for as many further parts as there is room for.
    pub(crate) fn fill(&mut self, repository: &Repository, digest: &Digest) {
        // One request finds out whether ranges are answered at all.
        let wanted = if self.answered().is_none() { 1 } else { CONNECTIONS };
        while self.next < self.size && self.parts.iter().filter(|part| !part.fetching.is_finished()).count() < wanted {
            let Some(room) = repository.client.memory_for_part() else { return };
            let Some(request) = repository.host().try_permit() else { return };
            let end = self.size.min(self.next + PART);
            let (sender, pieces) = mpsc::unbounded_channel();
            let reader = BlobReader::part(repository.clone(), digest.clone(), self.next, end);
            let fetching = tokio::spawn(fetch(reader, sender, Arc::clone(&self.answers))).abort_handle();
            let left = end - self.next;
            self.parts.push_back(RangePart { pieces, left, fetching, _room: room, _request: request });
            self.next = end;
        }
    }

    /// The next bytes, in order.
    pub(crate) async fn next(&mut self, repository: &Repository, digest: &Digest) -> Next {
        self.fill(repository, digest);
        let begun = *self.since.get_or_insert_with(Instant::now);
        if !self.judged && begun.elapsed() > TRIED {
            self.judged = true;
            if rate(self.taken, begun.elapsed()) < self.alone + self.alone / 3 {
                return Next::Over;
            }
        }
        let Some(part) = self.parts.front_mut() else { return Next::Over };
        let Some(Ok(piece)) = part.pieces.recv().await else { return Next::Over };
        self.taken += piece.len() as u64;
        part.left = part.left.saturating_sub(piece.len() as u64);
        if part.left == 0 {
            self.parts.pop_front();
        }
        Next::Piece(piece)
    }
}

async fn fetch(mut reader: BlobReader, pieces: mpsc::UnboundedSender<Result<Bytes, Error>>, answers: Arc<AtomicU8>) {
    let opened = reader.open_part().await;
    let found = if opened.is_ok() { ANSWERED } else { REFUSED };
    let _ = answers.compare_exchange(UNKNOWN, found, Ordering::Relaxed, Ordering::Relaxed);
    if let Err(error) = opened {
        let _ = pieces.send(Err(error));
        return;
    }
    let mut kept = BytesMut::new();
    loop {
        match reader.next().await {
            Ok(Some(mut piece)) => {
                while !piece.is_empty() {
                    if kept.capacity() == 0 {
                        kept.reserve(KEPT_PIECE);
                    }
                    let fitting = piece.split_to(piece.len().min(KEPT_PIECE - kept.len()));
                    kept.extend_from_slice(&fitting);
                    if kept.len() == KEPT_PIECE && pieces.send(Ok(std::mem::take(&mut kept).freeze())).is_err() {
                        return;
                    }
                }
            }
            Ok(None) => {
                if !kept.is_empty() {
                    let _ = pieces.send(Ok(kept.freeze()));
                }
                return;
            }
            Err(error) => {
                let _ = pieces.send(Err(error));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(bytes: u64, seconds: f64, waited: f64) -> Throughput {
        let since = Instant::now().checked_sub(Duration::from_secs_f64(seconds)).unwrap();
        Throughput { since, bytes, waited: Duration::from_secs_f64(waited) }
    }

    #[test]
    fn a_connection_is_held_back_if_it_is_waited_for_and_slow() {
        let rate = pace(50_000_000, 1.0, 0.9).held().unwrap();
        assert!((40_000_000..=50_000_000).contains(&rate), "{rate}");
        assert_eq!(pace(5_000_000, 0.1, 0.1).held(), None, "too early to say");
        assert_eq!(pace(200_000_000, 1.0, 0.9).held(), None, "as fast as any");
        assert_eq!(pace(50_000_000, 1.0, 0.3).held(), None, "others are waited for");
        let mut watched = pace(200_000_000, 1.0, 0.9);
        watched.held();
        assert_eq!(watched.bytes, 0, "it is watched anew");
    }
}
