//! Pieces of a blob on their way from one reader to all destinations, in bounded memory.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::registry::{Body, UploadCounter, stream_body};

/// Where one destination takes its pieces from.
pub(super) struct PieceReceiver {
    pieces: mpsc::Receiver<Bytes>,
    /// The rest of a piece that was cut at the end of a chunk.
    left: Option<Bytes>,
    /// Held while pieces are taken. A connection that was answered early may keep a body, and with it this receiver, until
    /// the other side reads on or hangs up.
    pub(super) open: Option<oneshot::Sender<()>>,
}

/// The other end of a [`PieceReceiver`].
struct PieceSender {
    pieces: mpsc::Sender<Bytes>,
    /// Resolves when no more pieces are taken.
    ended: oneshot::Receiver<()>,
}

impl PieceSender {
    /// Hands a piece over. Returns whether more are taken.
    async fn send(&mut self, piece: Bytes) -> bool {
        tokio::select! {
            sent = self.pieces.send(piece) => sent.is_ok(),
            _ = &mut self.ended => false,
        }
    }
}

/// The senders of all destinations that still take pieces.
pub(super) struct PieceSenders(Vec<PieceSender>);

impl PieceSenders {
    /// Hands a piece to every destination, at the pace of the slowest. Returns whether any of them takes more.
    pub(super) async fn send(&mut self, piece: &Bytes) -> bool {
        let mut open = Vec::with_capacity(self.0.len());
        for mut sender in self.0.drain(..) {
            if sender.send(piece.clone()).await {
                open.push(sender);
            }
        }
        self.0 = open;
        !self.0.is_empty()
    }
}

/// A receiver for each of `count` destinations, and their other ends.
pub(super) fn piece_channels(count: usize) -> (PieceSenders, Vec<PieceReceiver>) {
    let (senders, receivers) = (0..count).map(|_| channel()).unzip();
    (PieceSenders(senders), receivers)
}

/// A receiver for one destination, and its other end.
pub(super) fn piece_channel() -> (PieceSenders, PieceReceiver) {
    let (sender, receiver) = channel();
    (PieceSenders(vec![sender]), receiver)
}

fn channel() -> (PieceSender, PieceReceiver) {
    // One piece waits while another is written: this keeps both ends busy, and memory small.
    let (sender, pieces) = mpsc::channel(1);
    let (open, ended) = oneshot::channel();
    (PieceSender { pieces: sender, ended }, PieceReceiver { pieces, left: None, open: Some(open) })
}

impl PieceReceiver {
    /// The next piece; `None` when the reader ended.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        match self.left.take() {
            Some(left) => Some(left),
            None => self.pieces.recv().await,
        }
    }
}

/// A request body of exactly `length` bytes. If the pieces end earlier, the body fails, so that the request is aborted and
/// nothing is committed.
pub(super) fn body(receiver: &Arc<Mutex<PieceReceiver>>, length: u64, counter: &Arc<UploadCounter>) -> Body {
    if length == 0 {
        return stream_body(futures_util::stream::empty());
    }
    let state = (Arc::clone(receiver), Arc::clone(counter), length);
    let pieces = futures_util::stream::unfold(state, |(receiver, counter, missing)| async move {
        if missing == 0 {
            return None;
        }
        let piece = {
            let mut receiver = receiver.lock().await;
            counter.set_hungry(true);
            let piece = receiver.next().await;
            counter.set_hungry(false);
            piece.map(|mut piece| {
                let take = piece.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
                let rest = piece.split_off(take);
                receiver.left = Some(rest).filter(|rest| !rest.is_empty());
                piece
            })
        };
        match piece {
            Some(piece) => {
                let missing = missing - piece.len() as u64;
                counter.add(piece.len() as u64);
                Some((Ok(piece), (receiver, counter, missing)))
            }
            None => Some((Err(std::io::Error::other("the source ended early")), (receiver, counter, 0))),
        }
    });
    stream_body(pieces)
}

/// A request body of all pieces, however many there are.
pub(super) fn whole_body(receiver: PieceReceiver, counter: &Arc<UploadCounter>) -> Body {
    let state = (receiver, Arc::clone(counter));
    stream_body(futures_util::stream::unfold(state, |(mut receiver, counter)| async move {
        counter.set_hungry(true);
        let piece = receiver.next().await;
        counter.set_hungry(false);
        let Some(piece) = piece else {
            counter.set_over();
            return None;
        };
        counter.add(piece.len() as u64);
        Some((Ok::<_, std::io::Error>(piece), (receiver, counter)))
    }))
}
