//! One blob on its way: read once, hashed, and sent to every destination that wants it, in memory that doesn't grow
//! with the blob. A destination that fails goes on by itself where its registry got to.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::feed::{Feed, Line, body, feed};
use super::layout::Layout;
use super::store::{Reader, Store};
use super::verified::{Checkpoints, Verified};
use crate::error::{Error, Result};
use crate::image::descriptor::Descriptor;
use crate::registry::Pulled;
use crate::registry::repository::{Repository, Room};
use crate::registry::retry;
use crate::registry::uploads::{Begun, Part, Session};
use crate::report::progress::Item;

/// Where a blob is to go.
pub enum Target<'a> {
    /// An upload that has been begun.
    Upload(&'a Repository, Session),
    /// A file of a layout.
    File(&'a Layout),
}

/// What is sent, and from where.
pub struct Cargo<'a> {
    /// The source.
    pub source: &'a Store,
    /// The blob; its size is true.
    pub blob: &'a Descriptor,
    /// Told of every piece.
    pub item: &'a Item,
    /// How often a destination may fail for a passing reason.
    pub retries: u32,
    /// The blob itself, if it was made by the step and is in memory: then the source is not asked.
    pub made: Option<&'a Bytes>,
    /// Where to keep a copy of the bytes that pass by.
    pub kept: Option<&'a std::sync::Mutex<Vec<u8>>>,
}

impl Cargo<'_> {
    /// A reader of what is in memory.
    fn made(&self) -> Option<Reader> {
        self.made.map(|bytes| Reader::Made(Some(bytes.clone())))
    }
}

/// Sends a blob to all `targets`. The source is read once for all of them, as long as none fails.
///
/// # Errors
/// The source can't be read or isn't what it should be; a destination refused the blob, or failed too often.
pub async fn relay(cargo: &Cargo<'_>, opened: Option<Reader>, targets: Vec<Target<'_>>) -> Result<()> {
    let checkpoints = Checkpoints::default();
    let opened = opened.or_else(|| cargo.made());
    let mut verified = Verified::open(cargo.source, cargo.blob, 0, opened, &checkpoints).await?;
    let (lines, feeds): (Vec<_>, Vec<_>) = targets.iter().map(|_| feed()).unzip();
    let sending = join_all(targets.into_iter().zip(feeds).map(|(target, feed)| first_try(cargo, target, feed)));
    let feeding = feed_all(&mut verified, lines, cargo);
    let (fed, sent) = tokio::join!(feeding, sending);
    let mut failed = Vec::new();
    for result in sent {
        match result {
            Ok(()) => {}
            Err(Failed::ForGood(error)) => {
                // When the source failed, each destination failed too; the source's words say why.
                fed?;
                return Err(error);
            }
            Err(Failed::Upload(repository, session, error)) => failed.push((repository, session, error)),
        }
    }
    fed?;
    for result in join_all(failed.into_iter().map(|(repository, session, error)| {
        let checkpoints = &checkpoints;
        async move { send_again(cargo, repository, session, error, checkpoints).await }
    }))
    .await
    {
        result?;
    }
    Ok(())
}

enum Failed<'a> {
    ForGood(Error),
    Upload(&'a Repository, Session, Error),
}

/// Hands every piece to every destination that still listens, at the pace of the slowest.
async fn feed_all(verified: &mut Verified<'_>, lines: Vec<Line>, cargo: &Cargo<'_>) -> Result<()> {
    let mut lines: Vec<Option<Line>> = lines.into_iter().map(Some).collect();
    while let Some(piece) = verified.next().await? {
        cargo.item.advance(piece.len() as u64);
        if let Some(kept) = cargo.kept {
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece);
        }
        for slot in &mut lines {
            if let Some(line) = slot
                && !line.send(piece.clone()).await
            {
                *slot = None;
            }
        }
        if lines.iter().all(Option::is_none) {
            return Ok(());
        }
    }
    Ok(())
}

async fn first_try<'a>(cargo: &Cargo<'_>, target: Target<'a>, feed: Feed) -> std::result::Result<(), Failed<'a>> {
    match target {
        Target::File(layout) => write_file(cargo, layout, feed).await.map_err(Failed::ForGood),
        Target::Upload(repository, mut session) => {
            let result = send(cargo, repository, &mut session, 0, feed).await;
            result.map_err(|error| Failed::Upload(repository, session, error))
        }
    }
}

async fn write_file(cargo: &Cargo<'_>, layout: &Layout, mut feed: Feed) -> Result<()> {
    let mut writer = layout.create_blob(&cargo.blob.digest).await?;
    let mut written = 0;
    while let Some(piece) = feed.next().await {
        writer.write(&piece).await?;
        written += piece.len() as u64;
    }
    if written < cargo.blob.size {
        return Err(Error::Other(format!("the source ended after {written} of {} bytes", cargo.blob.size)));
    }
    writer.commit().await
}

/// Sends the bytes from `offset` on, in one request or in chunks where the host is known to need them.
async fn send(
    cargo: &Cargo<'_>,
    repository: &Repository,
    session: &mut Session,
    offset: u64,
    mut feed: Feed,
) -> Result<()> {
    let size = cargo.blob.size;
    let _open = feed.open.take();
    let feed = Arc::new(Mutex::new(feed));
    let pulled = Arc::new(Pulled::default());
    let chunk = repository.host().chunk_size().map(|chunk| chunk.max(session.chunk_minimum));
    if offset == 0 && chunk.is_none_or(|chunk| size <= chunk) {
        session.body = size;
        let body = body(&feed, size, &pulled);
        return repository.upload_whole(session, &cargo.blob.digest, size, body, &pulled).await;
    }
    let mut start = offset;
    while start < size {
        let end = chunk.map_or(size, |chunk| size.min(start.saturating_add(chunk)));
        session.body = end - start;
        let part = Part { start, end };
        let pulled = Arc::new(Pulled::default());
        let body = body(&feed, end - start, &pulled);
        *session = repository.upload_part(session, &cargo.blob.digest, part, body, &pulled).await?;
        start = end;
    }
    repository.complete_upload(session, &cargo.blob.digest).await
}

/// What an upload's failure calls for.
enum Remedy {
    /// Ask how far it got, and go on from there.
    Resume,
    /// Begin again.
    Restart,
    /// Nothing helps.
    GiveUp,
}

fn remedy(error: &Error, repository: &Repository, session: &Session) -> Remedy {
    match error {
        Error::Network { .. } => Remedy::Resume,
        Error::Registry(error) => match error.status {
            413 => {
                // Of this very body: other blobs may have made the host's chunks smaller since it was begun.
                if repository.host().learn_too_large(session.body, session.chunk_minimum) {
                    Remedy::Resume
                } else {
                    Remedy::GiveUp
                }
            }
            // Of a 401: the token was renewed when its end was seen.
            401 | 416 => Remedy::Resume,
            404 => Remedy::Restart,
            400 if error.has_code("DIGEST_INVALID") || error.has_code("BLOB_UPLOAD_INVALID") => Remedy::Restart,
            _ if error.is_temporary() => Remedy::Resume,
            _ => Remedy::GiveUp,
        },
        _ => Remedy::GiveUp,
    }
}

/// Goes on with an upload that failed, until it is done or has failed too often.
async fn send_again(
    cargo: &Cargo<'_>,
    repository: &Repository,
    mut session: Session,
    mut error: Error,
    checkpoints: &Checkpoints,
) -> Result<()> {
    let mut failures = 0;
    let mut best = 0;
    loop {
        let remedy = remedy(&error, repository, &session);
        let too_large = matches!(&error, Error::Registry(error) if error.status == 413);
        if matches!(remedy, Remedy::GiveUp) || failures >= cargo.retries {
            repository.abandon_upload(&session).await;
            return Err(error);
        }
        if !too_large {
            failures += 1;
            tokio::time::sleep(retry::backoff(failures)).await;
        }
        let found = match remedy {
            Remedy::Resume => repository.upload_offset(&session).await,
            Remedy::Restart | Remedy::GiveUp => None,
        };
        let mut offset = 0;
        if let Some((stored, next)) = found.filter(|(stored, _)| (1..=cargo.blob.size).contains(stored)) {
            (offset, session) = (stored, next);
        } else {
            repository.abandon_upload(&session).await;
            match repository.begin_upload(&cargo.blob.digest, None, Room::Held).await? {
                Begun::Mounted => return Ok(()),
                Begun::Session(begun) => session = begun,
            }
        }
        // A connection that breaks again and again, but further on each time, is borne: it will get there.
        if offset > best {
            best = offset;
            failures = failures.min(1);
        }
        match send_from(cargo, repository, &mut session, offset, checkpoints).await {
            Ok(()) => return Ok(()),
            Err(Attempt::Source(error)) => {
                repository.abandon_upload(&session).await;
                return Err(error);
            }
            Err(Attempt::Destination(again)) => error = again,
        }
    }
}

enum Attempt {
    Source(Error),
    Destination(Error),
}

async fn send_from(
    cargo: &Cargo<'_>,
    repository: &Repository,
    session: &mut Session,
    offset: u64,
    checkpoints: &Checkpoints,
) -> std::result::Result<(), Attempt> {
    if offset == cargo.blob.size && offset > 0 {
        return repository.complete_upload(session, &cargo.blob.digest).await.map_err(Attempt::Destination);
    }
    cargo.item.restart();
    cargo.item.advance(offset);
    let mut verified =
        Verified::open(cargo.source, cargo.blob, offset, cargo.made(), checkpoints).await.map_err(Attempt::Source)?;
    let (line, pieces) = feed();
    let rest = Cargo { kept: None, ..*cargo };
    let feeding = feed_all(&mut verified, vec![line], &rest);
    let (fed, sent) = tokio::join!(feeding, send(cargo, repository, session, offset, pieces));
    fed.map_err(Attempt::Source)?;
    sent.map_err(Attempt::Destination)
}
