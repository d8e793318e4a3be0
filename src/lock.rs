//! Locks whose data no panic leaves half-changed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks without regard to a panic elsewhere.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
