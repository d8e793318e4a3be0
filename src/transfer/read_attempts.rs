//! What all readings of one blob have in common: how far its bytes have been hashed, what may fail, what was wrong.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind};
use crate::image::digest::Hasher;
use crate::registry::BlobRead;
use crate::registry::repository::Repository;
use crate::registry::retry::Budget;

/// The state of the hasher is kept each time so many bytes have passed, so that a reader that begins in the middle (an
/// upload that is resumed) need not hash, nor fetch, from the start.
const CHECKPOINT_DISTANCE: u64 = 16 * 1024 * 1024;
/// Wrong bytes are read so often in all, before they are final.
const READINGS: usize = 3;

/// Shared by all readers of one blob. Clones are the same.
#[derive(Clone, Default)]
pub struct ReadAttempts(Arc<Mutex<AttemptState>>);

#[derive(Default)]
struct AttemptState {
    /// Hasher states by the number of bytes that they have seen.
    checkpoints: Vec<(u64, Hasher)>,
    /// What all readings may fail together, once one has begun.
    budget: Option<Budget>,
    /// How often it may be read when it comes wrong.
    limit: usize,
    /// What came instead of the right bytes, at each reading.
    found: Vec<String>,
}

impl ReadAttempts {
    fn state(&self) -> MutexGuard<'_, AttemptState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is read next from `repository`.
    pub(super) fn next(&self, repository: &Repository) -> BlobRead {
        let mut state = self.state();
        state.limit = READINGS.min(repository.retries() as usize + 1);
        let budget = state.budget.get_or_insert_with(|| repository.budget()).clone();
        BlobRead { budget, afresh: !state.found.is_empty() }
    }

    /// `bytes` were hashed.
    pub(super) fn add(&self, bytes: u64, hasher: &Hasher) {
        let mut state = self.state();
        let last = state.checkpoints.last().map_or(0, |(last, _)| *last);
        if bytes >= last + CHECKPOINT_DISTANCE {
            state.checkpoints.push((bytes, hasher.clone()));
        }
    }

    /// The last state of the hasher at or before `offset`.
    pub(super) fn before(&self, offset: u64) -> Option<(u64, Hasher)> {
        self.state().checkpoints.iter().rev().find(|(at, _)| *at <= offset).cloned()
    }

    /// This came instead of the right bytes: nothing that was learnt of them is to be trusted. What came so far.
    pub(super) fn came_wrong(&self, found: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut state = self.state();
        state.checkpoints.clear();
        state.found.extend(found);
        state.found.clone()
    }

    /// Whether `error` says that wrong bytes came, which are to be read once more.
    pub fn once_more(&self, error: &Error) -> bool {
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
        let (readings, hasher) = (ReadAttempts::default(), Hasher::new(Algorithm::Sha256));
        for bytes in [1, CHECKPOINT_DISTANCE, CHECKPOINT_DISTANCE + 1, 2 * CHECKPOINT_DISTANCE] {
            readings.add(bytes, &hasher);
        }
        let at = |offset| readings.before(offset).map(|(at, _)| at);
        assert_eq!(at(CHECKPOINT_DISTANCE - 1), None);
        assert_eq!(at(2 * CHECKPOINT_DISTANCE - 1), Some(CHECKPOINT_DISTANCE));
        assert_eq!(readings.came_wrong(["one".to_owned()]), ["one"]);
        assert_eq!(at(u64::MAX), None);
        assert_eq!(readings.came_wrong(["two".to_owned()]), ["one", "two"]);
    }
}
