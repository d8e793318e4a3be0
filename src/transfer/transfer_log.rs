//! What was done with each manifest and blob at one destination, for the report.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, Manifest};
use crate::lock::lock;
use crate::report::outcome::{Action, BlobTransfer, ManifestTransfer};

/// What was done at one destination. Each digest counts once. The order is by depth (children before parents), then by
/// digest, so that two runs have the same report.
#[derive(Default)]
pub(crate) struct TransferLog {
    manifests: Mutex<BTreeMap<(std::cmp::Reverse<usize>, Digest), ManifestTransfer>>,
    blobs: Mutex<BTreeMap<Digest, BlobTransfer>>,
    /// The sizes of images in bytes.
    sizes: Mutex<BTreeMap<Digest, u64>>,
    /// The children of indexes in an index.
    nested: Mutex<BTreeMap<Digest, Vec<Descriptor>>>,
}

impl TransferLog {
    /// Logs a manifest at `depth` below the root (the root is 0).
    pub(crate) fn manifest(&self, manifest: &Manifest, depth: usize, action: Action) {
        let transfer = ManifestTransfer {
            digest: manifest.digest.clone(),
            media_type: manifest.media_type.clone(),
            size: manifest.size(),
            action,
        };
        match manifest.content() {
            Ok(Content::Image { config, layers }) => {
                let parts = layers.iter().chain([&*config]);
                let size = parts.map(|part| part.size).fold(0, u64::saturating_add);
                lock(&self.sizes).insert(manifest.digest.clone(), size);
            }
            Ok(Content::Index { manifests }) if depth > 0 => {
                let mut nested = lock(&self.nested);
                // No more than what its platform needs: the rest may be large.
                let children = manifests.into_iter().filter(|child| !child.is_attestation());
                let lean = |child: Descriptor| Descriptor { platform: child.platform.clone(), ..child.lean() };
                nested.insert(manifest.digest.clone(), children.map(lean).collect());
            }
            _ => {}
        }
        let mut manifests = lock(&self.manifests);
        manifests.insert((std::cmp::Reverse(depth), manifest.digest.clone()), transfer);
    }

    /// Logs a blob.
    pub(crate) fn blob(&self, blob: &Descriptor, action: Action, time: Duration) {
        let transfer = BlobTransfer {
            digest: blob.digest.clone(),
            media_type: blob.media_type.clone(),
            size: blob.size,
            action,
            seconds: (time.as_secs_f64() * 1000.0).round() / 1000.0,
        };
        let mut blobs = lock(&self.blobs);
        blobs.entry(blob.digest.clone()).or_insert(transfer);
    }

    /// All manifests.
    pub(crate) fn manifests(&self) -> Vec<ManifestTransfer> {
        lock(&self.manifests).values().cloned().collect()
    }

    /// The size of an image's config and layers in bytes, if its manifest was logged.
    pub(crate) fn size_of(&self, image: &Digest) -> Option<u64> {
        lock(&self.sizes).get(image).copied()
    }

    /// The children of an index in an index, if it was logged.
    pub(crate) fn children_of(&self, index: &Digest) -> Option<Vec<Descriptor>> {
        lock(&self.nested).get(index).cloned()
    }

    /// All blobs.
    pub(crate) fn blobs(&self) -> Vec<BlobTransfer> {
        lock(&self.blobs).values().cloned().collect()
    }
}
