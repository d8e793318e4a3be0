//! Blobs that a step generated itself: configs in memory, and layers that are built again while they are sent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::layer::recipe::Recipe;

/// Blobs by digest.
#[derive(Default)]
pub(crate) struct GeneratedBlobs(HashMap<Digest, GeneratedBlob>);

/// How to get the bytes of a blob.
pub(crate) enum GeneratedBlob {
    /// They are in memory.
    Buffered(Vec<Bytes>),
    /// They are built again whenever they are read.
    Rebuilt(Arc<Recipe>),
}

/// A blob being read.
pub(crate) enum GeneratedReader {
    /// Pieces in memory.
    Buffered(VecDeque<Bytes>),
    /// Pieces from the thread that builds them. It ends when nobody takes them any more.
    Rebuilt(mpsc::Receiver<Result<Bytes>>),
}

impl GeneratedBlobs {
    /// Adds a blob.
    pub(crate) fn add(&mut self, digest: Digest, blob: GeneratedBlob) {
        self.0.insert(digest, blob);
    }

    /// Adds a blob that is in memory.
    pub(crate) fn add_bytes(&mut self, digest: Digest, bytes: Bytes) {
        self.add(digest, GeneratedBlob::Buffered(vec![bytes]));
    }

    /// Adds all `others`.
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether this is one of them.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.0.contains_key(digest)
    }

    /// Begins to read a blob at byte `offset`.
    ///
    /// # Errors
    /// There is no such blob.
    pub(crate) fn open(&self, digest: &Digest, offset: u64) -> Result<GeneratedReader> {
        match self.0.get(digest) {
            Some(GeneratedBlob::Buffered(pieces)) => {
                let mut skip = offset;
                Ok(GeneratedReader::Buffered(pieces.iter().filter_map(|piece| after(&mut skip, piece)).collect()))
            }
            Some(GeneratedBlob::Rebuilt(recipe)) => Ok(GeneratedReader::Rebuilt(build(Arc::clone(recipe), offset))),
            None => Err(Error::bug(format!("{digest} was not made by this step"))),
        }
    }
}

/// A piece without its first `skip` bytes.
fn after(skip: &mut u64, piece: &Bytes) -> Option<Bytes> {
    let dropped = usize::try_from(*skip).unwrap_or(usize::MAX).min(piece.len());
    *skip -= dropped as u64;
    (dropped < piece.len()).then(|| piece.slice(dropped..))
}

/// Builds a layer on threads of its own.
fn build(recipe: Arc<Recipe>, offset: u64) -> mpsc::Receiver<Result<Bytes>> {
    let (sender, pieces) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut skip = offset;
        let streamed = recipe.stream_to(|piece| match after(&mut skip, &piece) {
            Some(piece) => sender.blocking_send(Ok(piece)).map_err(|_| crate::layer::compress::stopped()),
            None => Ok(()),
        });
        if let Err(error) = streamed {
            // Nobody is interested any more if the receiver is gone.
            let _ = sender.blocking_send(Err(error));
        }
    });
    pieces
}

impl GeneratedReader {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// A file of the layer can't be read.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Buffered(pieces) => Ok(pieces.pop_front()),
            Self::Rebuilt(pieces) => pieces.recv().await.transpose(),
        }
    }
}
