//! Which destinations are known to have which content. What several parts of an image need is brought there once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::destination::{Destination, DestinationId};
use crate::image::digest::Digest;
use crate::lock::lock;

/// What a registry takes content for. The same bytes can be a manifest and a blob, which are two things to a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ContentKind {
    /// A manifest.
    Manifest,
    /// A blob.
    Blob,
}

/// For each content that was met, the destinations that have it now. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct PresentContent(Arc<Mutex<HashMap<(ContentKind, Digest), PresentAt>>>);

/// The destinations that have a content. Whoever needs it too waits for the lock while it is brought there.
pub(super) type PresentAt = Arc<tokio::sync::Mutex<HashSet<DestinationId>>>;

impl PresentContent {
    /// The destinations that have `digest`.
    pub(super) fn at(&self, kind: ContentKind, digest: &Digest) -> PresentAt {
        let mut present = lock(&self.0);
        Arc::clone(present.entry((kind, digest.clone())).or_default())
    }
}

/// The destinations that are not `present` yet.
pub(super) fn absent(destinations: &[Arc<Destination>], present: &HashSet<DestinationId>) -> Vec<Arc<Destination>> {
    destinations.iter().filter(|destination| !present.contains(&destination.id)).cloned().collect()
}
