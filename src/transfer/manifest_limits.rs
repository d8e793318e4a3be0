//! What manifests may take: one bound on their bytes in memory, for all levels of nesting together, and one on what they
//! name in all. A registry, or an image's author, decides on both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};
use crate::image::descriptor::Descriptor;
use crate::image::manifest::{Content, Manifest};

/// Indexes in indexes deeper than this are refused: real ones are nested once or twice.
pub const NESTING_LIMIT: usize = 8;
/// All manifests of an image together name no more manifests and blobs: real ones name some hundreds.
pub const DESCRIPTOR_LIMIT: u64 = 10_000;
/// The indexes of an image that are held while what they name is brought are no larger together, in bytes.
const INDEXES_LIMIT: u64 = 16 * 1024 * 1024;
/// A step that keeps all manifests of an image, to look at them or to change them, keeps no more bytes of them.
const KEPT_LIMIT: u64 = 64 * 1024 * 1024;
/// So many bytes of other manifests are in memory at once; more wait.
const ROOM: usize = 48 * 1024 * 1024;
/// What a manifest takes beside its bytes.
const EACH: usize = 16 * 1024;

/// Room for the manifests of images, shared by all copies that have a clone of it.
#[derive(Debug, Clone)]
pub struct ManifestMemory(Arc<Semaphore>);

impl Default for ManifestMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM)))
    }
}

impl ManifestMemory {
    /// Room for a manifest that is to be read, once there is some. Whoever has it waits for nobody who wants some: it is
    /// given back before the children of an index are looked at.
    pub(super) async fn room_for(&self, child: &Descriptor) -> Option<OwnedSemaphorePermit> {
        let size = usize::try_from(child.size).unwrap_or(ROOM).saturating_add(EACH).min(ROOM);
        Arc::clone(&self.0).acquire_many_owned(u32::try_from(size).unwrap_or(u32::MAX)).await.ok()
    }
}

/// What one image's manifests have come to so far.
#[derive(Debug, Default)]
pub struct ManifestTotals {
    descriptors: AtomicU64,
    /// The bytes of indexes that are held.
    indexes: AtomicU64,
    /// The bytes of manifests that are kept.
    kept: AtomicU64,
}

impl ManifestTotals {
    /// Counts what a manifest names.
    ///
    /// # Errors
    /// With it the image names too much.
    pub fn count(&self, manifest: &Manifest, content: &Content) -> Result<()> {
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

    /// Counts a manifest that is to be read and kept, before it is read.
    ///
    /// # Errors
    /// With it the manifests that are kept are too large together.
    pub fn keep(&self, child: &Descriptor) -> Result<()> {
        let size = child.size.min(KEPT_LIMIT + 1);
        if self.kept.fetch_add(size, Ordering::Relaxed).saturating_add(size) > KEPT_LIMIT {
            let reason = format!("with it the manifests of the image have more than {KEPT_LIMIT} bytes");
            return Err(Error::malformed(format!("manifest {}", child.digest), reason));
        }
        Ok(())
    }

    /// Holds an index until the answer is dropped.
    ///
    /// # Errors
    /// The indexes that are held are too large together. To wait would be to wait for oneself.
    pub fn hold(&self, index: &Manifest) -> Result<HeldIndex<'_>> {
        let size = index.size();
        let held = HeldIndex { tally: self, size };
        if self.indexes.fetch_add(size, Ordering::Relaxed).saturating_add(size) > INDEXES_LIMIT {
            let reason = format!("with it the indexes of the image have more than {INDEXES_LIMIT} bytes");
            return Err(Error::malformed(format!("manifest {}", index.digest), reason));
        }
        Ok(held)
    }
}

/// An index that is held.
#[derive(Debug)]
pub struct HeldIndex<'a> {
    tally: &'a ManifestTotals,
    size: u64,
}

impl Drop for HeldIndex<'_> {
    fn drop(&mut self) {
        self.tally.indexes.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// Checks how deep an index is nested.
///
/// # Errors
/// Deeper than anybody builds them.
pub fn check_nesting(manifest: &Manifest, depth: usize) -> Result<()> {
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
        let tally = ManifestTotals::default();
        assert!(tally.count(&index, &content).is_ok());
        assert!(tally.count(&index, &content).is_ok());
        assert!(tally.count(&index, &Content::Index { manifests: Vec::new() }).is_ok());
        assert!(tally.count(&index, &content).unwrap_err().to_string().contains("10000 manifests and blobs"));
    }

    #[test]
    fn an_index_is_held_as_long_as_it_is_needed() {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[],"x":"{}"}}"#, "x".repeat(9 << 20));
        let index = Manifest::from_bytes("", text.into_bytes().into()).unwrap();
        let tally = ManifestTotals::default();
        let first = tally.hold(&index).unwrap();
        assert!(tally.hold(&index).unwrap_err().to_string().contains("16777216 bytes"));
        drop(first);
        assert!(tally.hold(&index).is_ok());
    }
}
