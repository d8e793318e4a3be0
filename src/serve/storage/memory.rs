//! Content in memory: lists of chunks as they came from the network.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::image::digest::Digest;

/// The content that somebody holds.
#[derive(Debug, Default)]
pub struct Memory {
    contents: HashMap<Digest, Arc<[Bytes]>>,
}

impl Memory {
    /// Keeps content.
    pub fn keep(&mut self, digest: &Digest, chunks: Vec<Bytes>) {
        self.contents.insert(digest.clone(), chunks.into());
    }

    /// The content, shared and not copied.
    pub fn get(&self, digest: &Digest) -> Option<Arc<[Bytes]>> {
        self.contents.get(digest).cloned()
    }

    /// Forgets content. Downloads that are under way go on.
    pub fn forget(&mut self, digest: &Digest) {
        self.contents.remove(digest);
    }
}
