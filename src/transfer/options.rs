//! How a copy is made: what is moved, what is trusted, and how much is under way at once.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::manifest_limits::ManifestMemory;
use crate::image::descriptor::Descriptor;

/// Blobs larger than this are bulk.
const BULK_SIZE: u64 = 4 * 1024 * 1024;
/// So much bulk is under way at once: enough to fill a wire, and a bound on the memory that buffers take.
const BULK_JOBS: usize = 12;

/// Room for bulk, shared by all copies that have a clone of it.
#[derive(Debug, Clone)]
pub struct LargeBlobSlots(Arc<Semaphore>);

impl LargeBlobSlots {
    /// Room for a step that has so many requests under way at once.
    pub fn of_step(jobs: usize) -> Self {
        Self::at_once(BULK_JOBS.min(jobs))
    }

    /// Room for so many at once.
    pub fn at_once(jobs: usize) -> Self {
        Self(Arc::new(Semaphore::new(jobs.max(1))))
    }

    /// Room for a blob, once there is some; a small one needs none.
    pub(super) async fn room_for(&self, blob: &Descriptor) -> Option<SemaphorePermit<'_>> {
        if blob.size > BULK_SIZE { self.0.acquire().await.ok() } else { None }
    }
}

/// How to copy.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// Foreign layers are moved as well, instead of left where their URLs point.
    pub include_foreign: bool,
    /// What is present is not trusted to be complete.
    pub repair: bool,
    /// Nothing is written; the ledgers say what would be.
    pub dry_run: bool,
    /// How often a transfer may fail for a passing reason.
    pub retries: u32,
    /// Manifests of one index that are worked on at once.
    pub jobs: usize,
    /// Room for large blobs.
    pub bulk: LargeBlobSlots,
    /// Room for manifests.
    pub manifests: ManifestMemory,
}
