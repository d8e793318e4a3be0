//! Content that a step made itself, as a source: configs in memory, and layers that are made again while they are sent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::layer::recipe::Recipe;

/// Blobs by digest.
#[derive(Default)]
pub struct GeneratedBlobs(HashMap<Digest, GeneratedBlob>);

/// How a blob's bytes are had.
pub enum GeneratedBlob {
    /// They are in memory.
    Buffered(Vec<Bytes>),
    /// They are made whenever they are read.
    Layer(Arc<Recipe>),
}

/// A blob being read.
pub enum GeneratedReader {
    /// Pieces in memory.
    Buffered(VecDeque<Bytes>),
    /// Pieces from the thread that makes them; when nobody takes them any more, it ends.
    Layer(mpsc::Receiver<Result<Bytes>>),
}

impl GeneratedBlobs {
    /// Adds a blob.
    pub fn add(&mut self, digest: Digest, content: GeneratedBlob) {
        self.0.insert(digest, content);
    }

    /// Whether a blob is there.
    pub fn has(&self, digest: &Digest) -> bool {
        self.0.contains_key(digest)
    }

    /// Begins to read a blob at byte `offset`.
    ///
    /// # Errors
    /// There is no such blob.
    pub fn open(&self, digest: &Digest, offset: u64) -> Result<GeneratedReader> {
        match self.0.get(digest) {
            Some(GeneratedBlob::Buffered(pieces)) => {
                let mut skip = offset;
                Ok(GeneratedReader::Buffered(pieces.iter().filter_map(|piece| behind(&mut skip, piece)).collect()))
            }
            Some(GeneratedBlob::Layer(recipe)) => Ok(GeneratedReader::Layer(make(Arc::clone(recipe), offset))),
            None => Err(Error::bug(format!("{digest} was not made by this step"))),
        }
    }
}

/// What is left of a piece when `skip` bytes are dropped.
fn behind(skip: &mut u64, piece: &Bytes) -> Option<Bytes> {
    let dropped = usize::try_from(*skip).unwrap_or(usize::MAX).min(piece.len());
    *skip -= dropped as u64;
    (dropped < piece.len()).then(|| piece.slice(dropped..))
}

/// Makes a layer on threads of its own.
fn make(recipe: Arc<Recipe>, offset: u64) -> mpsc::Receiver<Result<Bytes>> {
    let (sender, pieces) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut skip = offset;
        let poured = recipe.stream_to(|piece| match behind(&mut skip, &piece) {
            Some(piece) => sender.blocking_send(Ok(piece)).map_err(|_| crate::layer::compress::stopped()),
            None => Ok(()),
        });
        if let Err(error) = poured {
            // If nobody listens, nobody wants to know.
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
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Buffered(pieces) => Ok(pieces.pop_front()),
            Self::Layer(pieces) => pieces.recv().await.transpose(),
        }
    }
}
