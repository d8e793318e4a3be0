//! Options of a copy: what is copied, what is trusted, and how much is under way at once.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::manifest_limits::ManifestMemory;
use crate::image::descriptor::Descriptor;

/// Size in bytes from which on a blob is large.
const LARGE_SIZE: u64 = 4 * 1024 * 1024;
/// Maximum number of large blobs under way at once: enough to fill a wire, and a bound on the memory for buffers.
const LARGE_JOBS: usize = 12;

/// Slots for large blobs, shared by all copies that have a clone.
#[derive(Debug, Clone)]
pub struct LargeBlobSlots(Arc<Semaphore>);

impl LargeBlobSlots {
    /// Slots for a step with `jobs` requests under way at once.
    pub fn of_step(jobs: usize) -> Self {
        Self::at_once(LARGE_JOBS.min(jobs))
    }

    /// Slots for `jobs` blobs at once.
    pub fn at_once(jobs: usize) -> Self {
        Self(Arc::new(Semaphore::new(jobs.max(1))))
    }

    /// Waits for a slot for a blob. A small one needs none.
    pub(super) async fn slot_for(&self, blob: &Descriptor) -> Option<SemaphorePermit<'_>> {
        if blob.size > LARGE_SIZE { self.0.acquire().await.ok() } else { None }
    }
}

/// Options of a copy.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// Foreign layers are copied too, instead of left at their URLs.
    pub include_foreign: bool,
    /// What exists isn't trusted to be complete.
    pub repair: bool,
    /// Nothing is written. The logs have what would be.
    pub dry_run: bool,
    /// Maximum number of transient failures of a transfer.
    pub retries: u32,
    /// Maximum number of manifests of one index that are copied at once.
    pub jobs: usize,
    /// Slots for large blobs.
    pub large_blobs: LargeBlobSlots,
    /// Memory for manifests.
    pub manifest_memory: ManifestMemory,
}
