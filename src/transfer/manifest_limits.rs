//! Limits on manifests: on their bytes in memory, for all levels of nesting together, and on the number of their
//! descriptors. Without them, a registry or an image's author would decide on both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};
use crate::image::descriptor::Descriptor;
use crate::image::manifest::{Content, Manifest};

/// Maximum depth of indexes in indexes: real ones are nested once or twice.
pub(crate) const NESTING_LIMIT: usize = 8;
/// Maximum number of descriptors in all manifests of an image together: real ones have some hundreds.
pub(crate) const DESCRIPTOR_LIMIT: u64 = 10_000;
/// Maximum size of the indexes of an image that are held while their children are copied, together, in bytes.
const INDEXES_LIMIT: u64 = 16 * 1024 * 1024;
/// Maximum size of the manifests that a step keeps to show or change an image, together, in bytes.
const KEPT_LIMIT: u64 = 64 * 1024 * 1024;
/// Bytes of other manifests in memory at once; more wait.
const MEMORY: usize = 48 * 1024 * 1024;
/// What a manifest takes in addition to its bytes.
const EACH: usize = 16 * 1024;

/// Memory for manifests, shared by all copies that have a clone.
#[derive(Debug, Clone)]
pub struct ManifestMemory(Arc<Semaphore>);

impl Default for ManifestMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MEMORY)))
    }
}

impl ManifestMemory {
    /// Waits for memory for a manifest that is about to be read. To avoid a deadlock, an index gives it back before its
    /// children are read.
    pub(super) async fn reserve(&self, child: &Descriptor) -> Option<OwnedSemaphorePermit> {
        let size = usize::try_from(child.size).unwrap_or(MEMORY).saturating_add(EACH).min(MEMORY);
        Arc::clone(&self.0).acquire_many_owned(u32::try_from(size).unwrap_or(u32::MAX)).await.ok()
    }
}

/// The totals of one image's manifests so far.
#[derive(Debug, Default)]
pub(crate) struct ManifestTotals {
    descriptors: AtomicU64,
    /// The bytes of indexes that are held.
    indexes: AtomicU64,
    /// The bytes of manifests that the step keeps.
    kept: AtomicU64,
}

impl ManifestTotals {
    /// Counts the descriptors of a manifest.
    ///
    /// # Errors
    /// The image has too many.
    pub(crate) fn count(&self, manifest: &Manifest, content: &Content) -> Result<()> {
        let named = match content {
            Content::Index { manifests } => manifests.len(),
            Content::Image { layers, .. } => layers.len() + 1,
            Content::Artifact { blobs } => blobs.len(),
            Content::Schema1 { layers } => layers.len(),
            Content::Unknown => 0,
        };
        let named = named as u64;
        if self.descriptors.fetch_add(named, Ordering::Relaxed).saturating_add(named) > DESCRIPTOR_LIMIT {
            let reason = format!(
                "with it the image names more than {DESCRIPTOR_LIMIT} manifests and blobs in all, which is the limit"
            );
            return Err(Error::malformed(format!("manifest {}", manifest.digest), reason));
        }
        Ok(())
    }

    /// Counts a manifest that the step keeps, before it is read.
    ///
    /// # Errors
    /// The manifests that are kept are too large together.
    pub(crate) fn keep(&self, child: &Descriptor) -> Result<()> {
        let size = child.size.min(KEPT_LIMIT + 1);
        if self.kept.fetch_add(size, Ordering::Relaxed).saturating_add(size) > KEPT_LIMIT {
            let reason = format!("with it the manifests of the image have more than {KEPT_LIMIT} bytes");
            return Err(Error::malformed(format!("manifest {}", child.digest), reason));
        }
        Ok(())
    }

    /// Holds an index until the result is dropped.
    ///
    /// # Errors
    /// The indexes that are held are too large together. To wait for memory would be to wait for oneself.
    pub(crate) fn hold(&self, index: &Manifest) -> Result<HeldIndex<'_>> {
        let size = index.size();
        let held = HeldIndex { totals: self, size };
        if self.indexes.fetch_add(size, Ordering::Relaxed).saturating_add(size) > INDEXES_LIMIT {
            let reason = format!("with it the indexes of the image have more than {INDEXES_LIMIT} bytes");
            return Err(Error::malformed(format!("manifest {}", index.digest), reason));
        }
        Ok(held)
    }
}

/// An index that is held.
#[derive(Debug)]
pub(crate) struct HeldIndex<'a> {
    totals: &'a ManifestTotals,
    size: u64,
}

impl Drop for HeldIndex<'_> {
    fn drop(&mut self) {
        self.totals.indexes.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// Checks how deep an index is nested.
///
/// # Errors
/// Deeper than real ones are.
pub(crate) fn check_nesting(manifest: &Manifest, depth: usize) -> Result<()> {
    if depth <= NESTING_LIMIT {
        return Ok(());
    }
    let reason = format!("indexes are nested deeper than {NESTING_LIMIT}");
    Err(Error::malformed(format!("manifest {}", manifest.digest), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_in_all_is_bounded() {
        let digest = crate::image::digest::Digest::of(b"");
        let text = br#"{"schemaVersion":2,"manifests":[]}"#;
        let index = Manifest::from_bytes("", text.as_slice().into()).unwrap();
        let child = Descriptor::new("", digest, 1);
        let content = Content::Index { manifests: vec![child; 5_000] };
        let totals = ManifestTotals::default();
        assert!(totals.count(&index, &content).is_ok());
        assert!(totals.count(&index, &content).is_ok());
        assert!(totals.count(&index, &Content::Index { manifests: Vec::new() }).is_ok());
        assert!(totals.count(&index, &content).unwrap_err().to_string().contains("10000 manifests and blobs"));
    }

    #[test]
    fn an_index_is_held_as_long_as_it_is_needed() {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[],"x":"{}"}}"#, "x".repeat(9 << 20));
        let index = Manifest::from_bytes("", text.into_bytes().into()).unwrap();
        let totals = ManifestTotals::default();
        let first = totals.hold(&index).unwrap();
        assert!(totals.hold(&index).unwrap_err().to_string().contains("16777216 bytes"));
        drop(first);
        assert!(totals.hold(&index).is_ok());
    }
}
