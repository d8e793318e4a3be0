//! What all readers of one blob share: how far its bytes are hashed, how often it may fail, what was wrong.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::{Error, ErrorKind};
use crate::image::digest::Hasher;
use crate::lock::lock;
use crate::registry::BlobRead;
use crate::registry::repository::{HostPermit, Repository};
use crate::registry::retry::Budget;

/// Bytes between two saved states of the hasher. A reader that begins in the middle (for an upload that is resumed) neither
/// hashes nor fetches from the start.
const CHECKPOINT_DISTANCE: u64 = 16 * 1024 * 1024;
/// Maximum number of times that a blob is read if wrong bytes come.
const READS: usize = 3;

/// Shared by all readers of one blob. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct ReadAttempts(Arc<Mutex<AttemptState>>);

#[derive(Default)]
struct AttemptState {
    /// Hasher states by the number of bytes that they have seen.
    checkpoints: Vec<(u64, Hasher)>,
    /// The budget of retries that all reads share, once one has begun.
    budget: Option<Budget>,
    /// Maximum number of reads if wrong bytes come.
    limit: usize,
    /// What came instead of the right bytes, for each read.
    found: Vec<String>,
    /// The permit for all reads. Without one, each acquires its own.
    permit: Option<HostPermit>,
}

impl ReadAttempts {
    fn state(&self) -> MutexGuard<'_, AttemptState> {
        lock(&self.0)
    }

    /// The next read from `repository`.
    pub(super) fn next(&self, repository: &Repository) -> BlobRead {
        let mut state = self.state();
        state.limit = READS.min(repository.retries() as usize + 1);
        let budget = state.budget.get_or_insert_with(|| repository.budget()).clone();
        BlobRead { budget, afresh: !state.found.is_empty(), permit: state.permit.clone() }
    }

    /// Lets all reads use `permit`.
    pub(super) fn use_permit(&self, permit: Option<HostPermit>) {
        self.state().permit = permit;
    }

    /// Saves the hasher's state after `bytes` bytes, if the last one is far enough behind.
    pub(super) fn add(&self, bytes: u64, hasher: &Hasher) {
        let mut state = self.state();
        let last = state.checkpoints.last().map_or(0, |(last, _)| *last);
        if bytes >= last + CHECKPOINT_DISTANCE {
            state.checkpoints.push((bytes, hasher.clone()));
        }
    }

    /// The last saved state of the hasher at or before `offset`.
    pub(super) fn before(&self, offset: u64) -> Option<(u64, Hasher)> {
        self.state().checkpoints.iter().rev().find(|(at, _)| *at <= offset).cloned()
    }

    /// Records what came instead of the right bytes, and forgets all that was hashed. Returns everything recorded so far.
    pub(super) fn came_wrong(&self, found: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut state = self.state();
        state.checkpoints.clear();
        state.found.extend(found);
        state.found.clone()
    }

    /// Whether wrong bytes came, and may be read once more.
    pub(crate) fn once_more(&self, error: &Error) -> bool {
        let state = self.state();
        matches!(error.kind(), ErrorKind::WrongBytes { .. }) && state.found.len() < state.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Algorithm;

    #[test]
    fn states_are_kept_at_a_distance_and_forgotten_when_bytes_were_wrong() {
        let (attempts, hasher) = (ReadAttempts::default(), Hasher::new(Algorithm::Sha256));
        for bytes in [1, CHECKPOINT_DISTANCE, CHECKPOINT_DISTANCE + 1, 2 * CHECKPOINT_DISTANCE] {
            attempts.add(bytes, &hasher);
        }
        let at = |offset| attempts.before(offset).map(|(at, _)| at);
        assert_eq!(at(CHECKPOINT_DISTANCE - 1), None);
        assert_eq!(at(2 * CHECKPOINT_DISTANCE - 1), Some(CHECKPOINT_DISTANCE));
        assert_eq!(attempts.came_wrong(["one".to_owned()]), ["one"]);
        assert_eq!(at(u64::MAX), None);
        assert_eq!(attempts.came_wrong(["two".to_owned()]), ["one", "two"]);
    }
}
