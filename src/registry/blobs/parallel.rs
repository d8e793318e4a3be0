//! One large blob fetched by several requests at once, for registries that throttle each connection, or have something in
//! front of them that does (RFC 9110, section 14). The parts are returned in order; memory is bounded for all blobs
//! together.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::AbortHandle;

use super::connection::RangeReader;
use super::throughput::rate;
use crate::image::digest::Digest;
use crate::registry::repository::Repository;

/// The size of a part in bytes: many times what a round trip costs.
const PART: u64 = 8 * 1024 * 1024;
/// The size of the pieces in which a part waits for its turn, in bytes. The pieces that a connection returns would each
/// keep the whole buffer that they were read into.
const PIECE: usize = 512 * 1024;
/// How many parts of one blob are fetched at once.
const CONNECTIONS: usize = 8;
/// How many bytes of a blob must be left for parts to be worth it.
const WORTH: u64 = 64 * 1024 * 1024;
/// How many bytes the first connection still reads while the first part shows whether ranges are supported.
const OVERLAP: u64 = 16 * 1024 * 1024;
/// After this time several connections must have been faster than one by a third.
const TRIAL: Duration = Duration::from_secs(2);

/// Fetches parts of a blob.
pub(super) struct ParallelFetch {
    repository: Repository,
    digest: Digest,
    /// The first byte of the first part; the first connection reads what is before.
    start: u64,
    parts: VecDeque<RangePart>,
    /// The first byte of the next part to fetch.
    next: u64,
    size: u64,
    /// Whether the registry supports ranges, once the first part was answered.
    ranges: Arc<OnceLock<bool>>,
    /// The rate of one connection alone, in bytes per second.
    alone: u64,
    /// When the first bytes of parts were returned.
    since: Option<Instant>,
    returned: u64,
    was_judged: bool,
}

struct RangePart {
    pieces: mpsc::UnboundedReceiver<Bytes>,
    left: u64,
    task: AbortHandle,
    _memory: OwnedSemaphorePermit,
}

impl Drop for RangePart {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ParallelFetch {
    /// Starts to fetch parts of the blob that `reader` reads, if its connection seems throttled and the host has few other
    /// requests.
    pub(super) fn start(reader: &mut RangeReader) -> Option<Self> {
        let alone = reader.throughput().throttled_rate()?;
        let (repository, size) = (reader.repository(), reader.size());
        let start = reader.offset().checked_add(OVERLAP)?;
        if size.checked_sub(start)? < WORTH || repository.host().requests_under_way() > 2 {
            return None;
        }
        let mut fetch = Self {
            repository: repository.clone(),
            digest: reader.digest().clone(),
            start,
            parts: VecDeque::new(),
            next: start,
            size,
            ranges: Arc::new(OnceLock::new()),
            alone,
            since: None,
            returned: 0,
            was_judged: false,
        };
        fetch.fill();
        Some(fetch)
    }

    /// The first byte of the first part.
    pub(super) fn first_byte(&self) -> u64 {
        self.start
    }

    /// Whether the registry supports ranges; `None` while that is unknown.
    pub(super) fn supports_ranges(&self) -> Option<bool> {
        self.ranges.get().copied()
    }

    /// Starts as many more parts as there are permits and memory for.
    pub(super) fn fill(&mut self) {
        // The first request finds out whether ranges are supported at all.
        let wanted = if self.supports_ranges().is_none() { 1 } else { CONNECTIONS };
        while self.next < self.size && self.parts.iter().filter(|part| !part.task.is_finished()).count() < wanted {
            let Some(memory) = self.repository.client.memory_for_part() else { return };
            let Some(permit) = self.repository.host().try_permit() else { return };
            let end = self.size.min(self.next + PART);
            let (sender, pieces) = mpsc::unbounded_channel();
            let reader = RangeReader::part(self.repository.clone(), self.digest.clone(), self.next, end, permit);
            let task = tokio::spawn(fetch(reader, sender, Arc::clone(&self.ranges))).abort_handle();
            let left = end - self.next;
            self.parts.push_back(RangePart { pieces, left, task, _memory: memory });
            self.next = end;
        }
    }

    /// The next bytes, in order; `None` at the end, or if one connection has to continue: a part failed, or parts are no
    /// faster.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.fill();
        let since = *self.since.get_or_insert_with(Instant::now);
        if !self.was_judged && since.elapsed() > TRIAL {
            self.was_judged = true;
            if rate(self.returned, since.elapsed()) < self.alone + self.alone / 3 {
                return None;
            }
        }
        let part = self.parts.front_mut()?;
        let piece = part.pieces.recv().await?;
        self.returned += piece.len() as u64;
        part.left = part.left.saturating_sub(piece.len() as u64);
        if part.left == 0 {
            self.parts.pop_front();
        }
        Some(piece)
    }
}

/// Fetches a part into `pieces`, which end early if it fails.
async fn fetch(mut reader: RangeReader, pieces: mpsc::UnboundedSender<Bytes>, ranges: Arc<OnceLock<bool>>) {
    let opened = reader.open_part().await;
    let _ = ranges.set(opened.is_ok());
    if opened.is_err() {
        return;
    }
    let mut buffer = BytesMut::new();
    while let Ok(next) = reader.next().await {
        let Some(mut piece) = next else {
            if !buffer.is_empty() {
                let _ = pieces.send(buffer.freeze());
            }
            return;
        };
        while !piece.is_empty() {
            if buffer.capacity() == 0 {
                buffer.reserve(PIECE);
            }
            let fitting = piece.split_to(piece.len().min(PIECE - buffer.len()));
            buffer.extend_from_slice(&fitting);
            if buffer.len() == PIECE && pieces.send(std::mem::take(&mut buffer).freeze()).is_err() {
                return;
            }
        }
    }
}
