//! Stores content in memory, as the chunks that arrived from the network.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::image::digest::Digest;

/// The stored content.
#[derive(Debug, Default)]
pub(super) struct Memory {
    contents: HashMap<Digest, Arc<[Bytes]>>,
}

impl Memory {
    /// Stores content.
    pub(super) fn keep(&mut self, digest: &Digest, chunks: Vec<Bytes>) {
        self.contents.insert(digest.clone(), chunks.into());
    }

    /// The content, shared rather than copied.
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<[Bytes]>> {
        self.contents.get(digest).cloned()
    }

    /// Removes content. Downloads in progress continue.
    pub(super) fn forget(&mut self, digest: &Digest) {
        self.contents.remove(digest);
    }
}
