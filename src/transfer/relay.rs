//! One blob on its way: read once, hashed, and sent to every destination that wants it, in memory that doesn't grow
//! with the blob. A destination that fails goes on by itself where its registry got to.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::layout::Layout;
use super::pieces::{PieceReceiver, PieceSender, body, piece_channel};
use super::read_attempts::ReadAttempts;
use super::store::{Store, StoreReader};
use super::verified::Verified;
use crate::error::registry::RegistryError;
use crate::error::{Error, ErrorKind, Result};
use crate::image::descriptor::Descriptor;
use crate::registry::UploadCounter;
use crate::registry::repository::{Permit, Repository};
use crate::registry::retry::{Budget, FailureKind};
use crate::registry::uploads::{UploadChunk, UploadSession, UploadStart};
use crate::report::progress::Item;

/// Where a blob is to go.
pub enum RelayTarget<'a> {
    /// An upload that has been begun.
    Upload(&'a Repository, UploadSession),
    /// A file of a layout.
    File(&'a Layout),
}

/// What is sent, and from where.
pub struct RelayJob<'a> {
    /// The source.
    pub source: &'a Store,
    /// The blob; its size is true.
    pub blob: &'a Descriptor,
    /// Told of every piece.
    pub item: &'a Item,
    /// How often a destination may fail for a passing reason.
    pub retries: u32,
    /// What all readings of it have in common.
    pub readings: &'a ReadAttempts,
    /// The blob itself, if it was made by the step and is in memory: then the source is not asked.
    pub made: Option<&'a Bytes>,
    /// Where to keep a copy of the bytes that pass by.
    pub kept: Option<&'a std::sync::Mutex<Vec<u8>>>,
}

impl RelayJob<'_> {
    /// A reader of what is in memory.
    fn made(&self) -> Option<StoreReader> {
        self.made.map(|bytes| StoreReader::Generated(Some(bytes.clone())))
    }
}

/// Sends a blob to all `targets`. The source is read once for all of them, as long as none fails and its bytes are right.
///
/// # Errors
/// The source can't be read or isn't what it should be, however often it is read; a destination refused the blob, or
/// failed too often.
pub async fn relay(cargo: &RelayJob<'_>, opened: Option<StoreReader>, targets: Vec<RelayTarget<'_>>) -> Result<()> {
    let mut opened = opened.or_else(|| cargo.made());
    let mut targets = targets;
    let (fed, sent) = loop {
        let mut verified = match Verified::open(cargo.source, cargo.blob, 0, opened.take(), cargo.readings).await {
            Err(error) if cargo.readings.once_more(&error) => continue,
            result => result?,
        };
        let (lines, feeds): (Vec<_>, Vec<_>) = targets.iter().map(|_| piece_channel()).unzip();
        let sending = join_all(targets.into_iter().zip(feeds).map(|(target, feed)| first_try(cargo, target, feed)));
        let (fed, sent) = tokio::join!(feed_all(&mut verified, lines, cargo), sending);
        match fed {
            // No destination had the last bytes: none has completed anything.
            Err(error) if cargo.readings.once_more(&error) => targets = begin_anew(cargo, sent).await?,
            fed => break (fed, sent),
        }
    };
    let mut failed = Vec::new();
    for result in sent {
        match result {
            Ok(()) => {}
            Err(FailedTarget::File(_, error)) => {
                // When the source failed, each destination failed too; the source's words say why.
                fed?;
                return Err(error);
            }
            Err(FailedTarget::Upload(repository, session, error)) => failed.push((repository, session, error)),
        }
    }
    fed?;
    let again = failed.into_iter().map(|(repository, session, error)| send_again(cargo, repository, session, error));
    join_all(again).await.into_iter().collect()
}

/// A destination that failed, and why.
enum FailedTarget<'a> {
    File(&'a Layout, Error),
    Upload(&'a Repository, UploadSession, Error),
}

/// Gives up what wrong bytes went to, and begins again.
async fn begin_anew<'a>(
    cargo: &RelayJob<'_>,
    sent: Vec<std::result::Result<(), FailedTarget<'a>>>,
) -> Result<Vec<RelayTarget<'a>>> {
    cargo.item.restart();
    if let Some(kept) = cargo.kept {
        kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
    let begun = sent.into_iter().filter_map(std::result::Result::err).map(|failed| async move {
        match failed {
            FailedTarget::File(layout, _) => Ok(Some(RelayTarget::File(layout))),
            FailedTarget::Upload(repository, session, _) => {
                let budget = repository.budget();
                let begun = restart(cargo, repository, &session, &budget).await?;
                Ok(begun.map(|session| RelayTarget::Upload(repository, session)))
            }
        }
    });
    let targets: Result<Vec<Option<RelayTarget>>> = join_all(begun).await.into_iter().collect();
    Ok(targets?.into_iter().flatten().collect())
}

/// Another upload in the place of one that is of no more use; `None` where the blob turned out to be there.
async fn restart(
    cargo: &RelayJob<'_>,
    repository: &Repository,
    session: &UploadSession,
    budget: &Budget,
) -> Result<Option<UploadSession>> {
    repository.abandon_upload(session).await;
    Ok(match repository.begin_upload(&cargo.blob.digest, None, Permit::Held, budget).await? {
        UploadStart::Mounted => None,
        UploadStart::Session(session) => Some(session),
    })
}

/// Hands every piece to every destination that still listens, at the pace of the slowest.
async fn feed_all(verified: &mut Verified<'_>, lines: Vec<PieceSender>, cargo: &RelayJob<'_>) -> Result<()> {
    let mut lines: Vec<Option<PieceSender>> = lines.into_iter().map(Some).collect();
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

async fn first_try<'a>(
    cargo: &RelayJob<'_>,
    target: RelayTarget<'a>,
    feed: PieceReceiver,
) -> std::result::Result<(), FailedTarget<'a>> {
    match target {
        RelayTarget::File(layout) => {
            write_file(cargo, layout, feed).await.map_err(|error| FailedTarget::File(layout, error))
        }
        RelayTarget::Upload(repository, mut session) => {
            // What it costs to complete an upload is its own, and what comes after has the budget of `send_again`.
            let result = send(cargo, repository, &mut session, 0, feed, &Budget::new(0)).await;
            result.map_err(|error| FailedTarget::Upload(repository, session, error))
        }
    }
}

async fn write_file(cargo: &RelayJob<'_>, layout: &Layout, mut feed: PieceReceiver) -> Result<()> {
    let mut writer = layout.create_blob(&cargo.blob.digest).await?;
    let mut written = 0;
    while let Some(piece) = feed.next().await {
        writer.write(&piece).await?;
        written += piece.len() as u64;
    }
    if written < cargo.blob.size {
        return Err(Error::bug(format!("the source ended after {written} of {} bytes", cargo.blob.size)));
    }
    writer.commit().await
}

/// Sends the bytes from `offset` on, in one request or in chunks where the host is known to need them.
async fn send(
    cargo: &RelayJob<'_>,
    repository: &Repository,
    session: &mut UploadSession,
    offset: u64,
    mut feed: PieceReceiver,
    budget: &Budget,
) -> Result<()> {
    let size = cargo.blob.size;
    let _open = feed.open.take();
    let feed = Arc::new(Mutex::new(feed));
    let pulled = Arc::new(UploadCounter::default());
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
        let part = UploadChunk { start, end };
        let pulled = Arc::new(UploadCounter::default());
        let body = body(&feed, end - start, &pulled);
        *session = repository.upload_part(session, &cargo.blob.digest, part, body, &pulled).await?;
        start = end;
    }
    repository.complete_upload(session, &cargo.blob.digest, Some(size), budget).await
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

fn remedy(error: &Error, repository: &Repository, session: &UploadSession) -> Remedy {
    match error.kind() {
        ErrorKind::Network { .. } | ErrorKind::Silence { .. } => Remedy::Resume,
        // Of the source; whether it is read once more is asked elsewhere.
        ErrorKind::WrongBytes { .. } => Remedy::Restart,
        ErrorKind::Registry(error) => match error.status {
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
            404 if error.has_code("NAME_UNKNOWN") => Remedy::GiveUp,
            404 => Remedy::Restart,
            400 if error.has_code("DIGEST_INVALID") || error.has_code("BLOB_UPLOAD_INVALID") => Remedy::Restart,
            _ if error.is_temporary() => Remedy::Resume,
            _ => Remedy::GiveUp,
        },
        _ => Remedy::GiveUp,
    }
}

/// Goes on with an upload that failed, until it is done or has failed too often. Whatever is asked of the registry for it
/// has one budget.
async fn send_again(
    cargo: &RelayJob<'_>,
    repository: &Repository,
    mut session: UploadSession,
    mut error: Error,
) -> Result<()> {
    let budget = Budget::new(cargo.retries);
    loop {
        let too_large = error.registry().is_some_and(|error| error.status == 413);
        let remedy = remedy(&error, repository, &session);
        let wait = match remedy {
            Remedy::GiveUp => None,
            _ if too_large => Some(Duration::ZERO),
            _ => budget.next(failure_of(&error)),
        };
        // What is left of the upload is cancelled with all others when the step ends.
        let Some(wait) = wait else { return Err(told(error)) };
        tokio::time::sleep(wait).await;
        let found = match remedy {
            Remedy::Resume => repository.upload_offset(&session, &budget).await,
            Remedy::Restart | Remedy::GiveUp => None,
        };
        let mut offset = 0;
        if let Some((stored, next)) = found.filter(|(stored, _)| (1..=cargo.blob.size).contains(stored)) {
            (offset, session) = (stored, next);
        } else {
            let Some(begun) = restart(cargo, repository, &session, &budget).await? else { return Ok(()) };
            session = begun;
        }
        session.afresh = true;
        budget.progress(offset, cargo.blob.size);
        match send_from(cargo, repository, &mut session, offset, &budget).await {
            Ok(()) => return Ok(()),
            Err(AttemptError::Source(error)) if !cargo.readings.once_more(&error) => return Err(error),
            Err(AttemptError::Source(again) | AttemptError::Destination(again)) => error = again,
        }
    }
}

fn failure_of(error: &Error) -> FailureKind {
    match error.registry() {
        Some(answer) => FailureKind::Status(answer.status),
        None => FailureKind::Unanswered(error.silence()),
    }
}

/// The last error of an upload, with what it means after so many tries.
fn told(error: Error) -> Error {
    if !error.registry().is_some_and(|error| error.status == 404 && !error.has_code("NAME_UNKNOWN")) {
        return error;
    }
    let may_pass = |kind| match kind {
        ErrorKind::Registry(error) => ErrorKind::Registry(Box::new(RegistryError { may_pass: true, ..*error })),
        other => other,
    };
    error.map_kind(may_pass).with_hint(
        "the upload was forgotten each time, though the registry had begun it: perhaps several nodes serve it that do not \
         share their uploads, or a proxy does not keep to one of them",
    )
}

enum AttemptError {
    Source(Error),
    Destination(Error),
}

async fn send_from(
    cargo: &RelayJob<'_>,
    repository: &Repository,
    session: &mut UploadSession,
    offset: u64,
    budget: &Budget,
) -> std::result::Result<(), AttemptError> {
    let (size, digest) = (cargo.blob.size, &cargo.blob.digest);
    if offset == size && offset > 0 {
        let completed = repository.complete_upload(session, digest, Some(size), budget).await;
        return completed.map_err(AttemptError::Destination);
    }
    cargo.item.restart();
    cargo.item.advance(offset);
    let mut verified = Verified::open(cargo.source, cargo.blob, offset, cargo.made(), cargo.readings)
        .await
        .map_err(AttemptError::Source)?;
    let (line, pieces) = piece_channel();
    let rest = RelayJob { kept: None, ..*cargo };
    let feeding = feed_all(&mut verified, vec![line], &rest);
    let (fed, sent) = tokio::join!(feeding, send(cargo, repository, session, offset, pieces, budget));
    fed.map_err(AttemptError::Source)?;
    sent.map_err(AttemptError::Destination)
}
