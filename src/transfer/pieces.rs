//! Pieces of a blob on their way from one reader to each of its destinations, in bounded memory.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::registry::{Body, UploadCounter, stream_body};

/// Pieces on their way to one destination.
pub(super) struct PieceReceiver {
    pieces: mpsc::Receiver<Bytes>,
    /// What is left of a piece that was cut at the end of a chunk.
    left: Option<Bytes>,
    /// Held while pieces are taken. A connection that was answered early may keep a body, and with it this feed, for as
    /// long as the other side neither reads on nor hangs up.
    pub(super) open: Option<oneshot::Sender<()>>,
}

/// The other end of a feed.
pub(super) struct PieceSender {
    pieces: mpsc::Sender<Bytes>,
    /// Resolves when no more pieces are taken.
    ended: oneshot::Receiver<()>,
}

impl PieceSender {
    /// Hands a piece over; whether more are taken.
    pub(super) async fn send(&mut self, piece: Bytes) -> bool {
        tokio::select! {
            sent = self.pieces.send(piece) => sent.is_ok(),
            _ = &mut self.ended => false,
        }
    }
}

/// A feed and its other end.
pub(super) fn piece_channel() -> (PieceSender, PieceReceiver) {
    // One piece waits while another is written: enough to keep both ends busy, and all that is held in memory.
    let (sender, pieces) = mpsc::channel(1);
    let (open, ended) = oneshot::channel();
    (PieceSender { pieces: sender, ended }, PieceReceiver { pieces, left: None, open: Some(open) })
}

impl PieceReceiver {
    /// The next piece; `None` where the reader ended.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        match self.left.take() {
            Some(left) => Some(left),
            None => self.pieces.recv().await,
        }
    }
}

/// A request body of exactly `length` bytes out of the feed. If the feed ends before, the body fails, so that the
/// request is broken off and nothing is committed.
pub(super) fn body(feed: &Arc<Mutex<PieceReceiver>>, length: u64, pulled: &Arc<UploadCounter>) -> Body {
    if length == 0 {
        return stream_body(futures_util::stream::empty());
    }
    let state = (Arc::clone(feed), Arc::clone(pulled), length);
    let pieces = futures_util::stream::unfold(state, |(feed, pulled, wanted)| async move {
        if wanted == 0 {
            return None;
        }
        let piece = {
            let mut feed = feed.lock().await;
            pulled.set_hungry(true);
            let piece = feed.next().await;
            pulled.set_hungry(false);
            piece.map(|mut piece| {
                let take = piece.len().min(usize::try_from(wanted).unwrap_or(usize::MAX));
                let rest = piece.split_off(take);
                feed.left = Some(rest).filter(|rest| !rest.is_empty());
                piece
            })
        };
        match piece {
            Some(piece) => {
                let wanted = wanted - piece.len() as u64;
                pulled.add(piece.len() as u64);
                Some((Ok(piece), (feed, pulled, wanted)))
            }
            None => Some((Err(std::io::Error::other("the source ended early")), (feed, pulled, 0))),
        }
    });
    stream_body(pieces)
}

/// A request body of all that comes out of the feed, however much that is.
pub(super) fn whole_body(feed: PieceReceiver, pulled: &Arc<UploadCounter>) -> Body {
    let state = (feed, Arc::clone(pulled));
    stream_body(futures_util::stream::unfold(state, |(mut feed, pulled)| async move {
        pulled.set_hungry(true);
        let piece = feed.next().await;
        pulled.set_hungry(false);
        let Some(piece) = piece else {
            pulled.set_over();
            return None;
        };
        pulled.add(piece.len() as u64);
        Some((Ok::<_, std::io::Error>(piece), (feed, pulled)))
    }))
}
