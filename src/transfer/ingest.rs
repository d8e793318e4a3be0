//! Blobs that are sent while they are still being made. Their digest is only known with their last byte, so that they are
//! committed later: until then, nobody sees them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::destination::Destination;
use super::destinations::Pending;
use super::layout::{FileWriter, Layout};
use super::pieces::{PieceReceiver, PieceSenders, piece_channels, whole_body};
use super::store::Store;
use crate::error::Result;
use crate::image::digest::Digest;
use crate::registry::UploadCounter;
use crate::registry::repository::{Permit, Repository};
use crate::registry::uploads::UploadSession;
use crate::report::progress::Item;

/// All bytes of a blob at a destination, not committed under a digest yet. If it is dropped, the blob doesn't come into
/// being.
pub(crate) struct UncommittedBlob {
    destination: Arc<Destination>,
    ingest: Ingest,
}

enum Ingest {
    /// An upload that has all bytes.
    Upload(Repository, UploadSession),
    /// A temporary file.
    File(Layout, FileWriter),
}

impl UncommittedBlob {
    /// Commits it, if the guards approved its destination; abandons it otherwise. Returns the destination that has it.
    ///
    /// # Errors
    /// The bytes at the destination don't have this digest, or the upload was forgotten meanwhile.
    pub(crate) async fn commit(self, digest: &Digest, approved: &Pending) -> Result<Option<Arc<Destination>>> {
        let Self { destination, ingest } = self;
        match ingest {
            Ingest::Upload(repository, session) if !approved.contains(&destination) => {
                repository.abandon_upload(&session).await;
                return Ok(None);
            }
            Ingest::File(..) if !approved.contains(&destination) => return Ok(None),
            Ingest::Upload(repository, session) => {
                repository.complete_upload(&session, digest, None, &repository.budget(), Permit::Acquire).await?;
            }
            Ingest::File(layout, writer) => layout.commit_unnamed_blob(writer, digest).await?,
        }
        Ok(Some(destination))
    }
}

/// Sends `first` and then all `pieces` to each destination, at the pace of the slowest. Returns what became of each, in
/// the same order. When all have failed, no more pieces are taken.
pub(crate) async fn ingest(
    destinations: &[Arc<Destination>],
    first: Bytes,
    pieces: mpsc::Receiver<Bytes>,
    item: &Item,
) -> Vec<Result<UncommittedBlob>> {
    let (senders, receivers) = piece_channels(destinations.len());
    let sending = join_all(destinations.iter().zip(receivers).map(|(destination, receiver)| async move {
        let ingest = ingest_at(&destination.store, receiver).await?;
        Ok(UncommittedBlob { destination: Arc::clone(destination), ingest })
    }));
    let (sent, ()) = tokio::join!(sending, send_all(first, pieces, senders, item));
    sent
}

async fn send_all(first: Bytes, mut pieces: mpsc::Receiver<Bytes>, mut senders: PieceSenders, item: &Item) {
    let mut next = Some(first);
    while let Some(piece) = next {
        item.grow(piece.len() as u64);
        item.advance(piece.len() as u64);
        if !senders.send(&piece).await {
            return;
        }
        next = pieces.recv().await;
    }
}

async fn ingest_at(store: &Store, mut receiver: PieceReceiver) -> Result<Ingest> {
    match store {
        Store::Registry(repository) => {
            // Held until there is an answer: then the other end knows that no more is taken.
            let _open = receiver.open.take();
            let permit = repository.host().permits(1).await?;
            let session = repository.begin_unnamed_upload(Permit::Held(&permit)).await?;
            let counter = Arc::new(UploadCounter::default());
            let body = whole_body(receiver, &counter);
            match repository.upload_stream(&session, body, &counter, Permit::Held(&permit)).await {
                Ok(session) => Ok(Ingest::Upload(repository.clone(), session)),
                Err(error) => {
                    repository.abandon_upload(&session).await;
                    Err(error)
                }
            }
        }
        Store::Layout(layout) => {
            let mut writer = layout.create_unnamed_blob().await?;
            while let Some(piece) = receiver.next().await {
                writer.write(&piece).await?;
            }
            Ok(Ingest::File(layout.clone(), writer))
        }
    }
}
