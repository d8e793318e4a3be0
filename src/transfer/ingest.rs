//! A blob that is sent while it is still being made. Its digest is known when its last byte is, so that it is only then
//! asked for: until it is committed, nothing of it can be seen.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::layout::{FileWriter, Layout};
use super::pieces::{PieceReceiver, PieceSender, piece_channel, whole_body};
use super::store::Store;
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::registry::UploadCounter;
use crate::registry::repository::{Permit, Repository};
use crate::registry::uploads::UploadSession;
use crate::report::progress::Item;

/// A blob that lies at a destination whole, and has no name there yet. Dropped, it comes to nothing.
pub enum UncommittedBlob {
    /// An upload that has all bytes.
    Upload(Repository, UploadSession),
    /// A temporary file.
    File(Layout, FileWriter),
}

impl UncommittedBlob {
    /// Gives it its name, if the destination finds the digest in the bytes that it has.
    ///
    /// # Errors
    /// It doesn't, or the upload was forgotten meanwhile.
    pub async fn commit(self, digest: &Digest) -> Result<()> {
        match self {
            Self::Upload(repository, session) => {
                repository.complete_upload(&session, digest, None, &repository.budget()).await
            }
            Self::File(layout, writer) => layout.commit_unnamed_blob(writer, digest).await,
        }
    }

    /// Gives it up.
    pub async fn abandon(self) {
        if let Self::Upload(repository, session) = self {
            repository.abandon_upload(&session).await;
        }
    }
}

/// Sends `first` and then all `pieces` to each of `stores`, at the pace of the slowest; what became of each, in the same
/// order. When all have failed, no more pieces are taken.
pub async fn stream(
    stores: &[&Store],
    first: Bytes,
    pieces: mpsc::Receiver<Bytes>,
    item: &Item,
) -> Vec<Result<UncommittedBlob>> {
    let (lines, feeds): (Vec<_>, Vec<_>) = stores.iter().map(|_| piece_channel()).unzip();
    let sending = join_all(stores.iter().zip(feeds).map(|(store, feed)| send(store, feed)));
    let (sent, ()) = tokio::join!(sending, hand_out(first, pieces, lines, item));
    sent
}

async fn hand_out(first: Bytes, mut pieces: mpsc::Receiver<Bytes>, lines: Vec<PieceSender>, item: &Item) {
    let mut lines: Vec<Option<PieceSender>> = lines.into_iter().map(Some).collect();
    let mut next = Some(first);
    while let Some(piece) = next {
        item.grow(piece.len() as u64);
        item.advance(piece.len() as u64);
        for slot in &mut lines {
            if let Some(line) = slot
                && !line.send(piece.clone()).await
            {
                *slot = None;
            }
        }
        if lines.iter().all(Option::is_none) {
            return;
        }
        next = pieces.recv().await;
    }
}

async fn send(store: &Store, mut feed: PieceReceiver) -> Result<UncommittedBlob> {
    match store {
        Store::Registry(repository) => {
            // Held until an answer came: it tells the other end that no more is taken.
            let _open = feed.open.take();
            let _room = repository.host().permits(1).await?;
            let session = repository.begin_unnamed_upload(Permit::Held).await?;
            let pulled = Arc::new(UploadCounter::default());
            let body = whole_body(feed, &pulled);
            match repository.upload_stream(&session, body, &pulled).await {
                Ok(session) => Ok(UncommittedBlob::Upload(repository.clone(), session)),
                Err(error) => {
                    repository.abandon_upload(&session).await;
                    Err(error)
                }
            }
        }
        Store::Layout(layout, _) => {
            let mut writer = layout.create_unnamed_blob().await?;
            while let Some(piece) = feed.next().await {
                writer.write(&piece).await?;
            }
            Ok(UncommittedBlob::File(layout.clone(), writer))
        }
        Store::Generated(_) => Err(Error::bug("what a step made is not a destination")),
    }
}
