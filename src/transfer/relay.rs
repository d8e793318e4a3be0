//! One blob on its way: read once, hashed, and sent to every destination that lacks it, in memory that doesn't grow
//! with the blob. A destination that fails resumes by itself from where its registry got to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::blob_source::{BlobSource, SourceReader};
use super::layout::Layout;
use super::pieces::{PieceReceiver, PieceSenders, body, piece_channel, piece_channels};
use super::read_attempts::ReadAttempts;
use super::verified::Verified;
use crate::error::registry::RegistryError;
use crate::error::{Error, ErrorKind, Result};
use crate::image::descriptor::Descriptor;
use crate::lock::lock;
use crate::registry::UploadCounter;
use crate::registry::repository::{HostPermits, Repository};
use crate::registry::retry::{Budget, FailureKind};
use crate::registry::uploads::{UploadChunk, UploadSession, UploadStart};
use crate::report::progress::Item;

/// Where a blob is sent.
pub(super) enum RelayTarget<'a> {
    /// An open upload.
    Upload(&'a Repository, UploadSession),
    /// A file of a layout.
    File(&'a Layout),
}

/// What is sent, and from where.
pub(super) struct RelayJob<'a> {
    /// The source.
    pub(super) source: BlobSource<'a>,
    /// The blob. Its size is known to be right.
    pub(super) blob: &'a Descriptor,
    /// Shows its progress.
    pub(super) item: &'a Item,
    /// Maximum number of transient failures of each destination.
    pub(super) retries: u32,
    /// The permits for all requests.
    pub(super) permits: &'a HostPermits,
    /// Shared by all readers of the blob.
    pub(super) attempts: &'a ReadAttempts,
    /// Where to keep a copy of the bytes that pass by.
    pub(super) capture: Option<&'a std::sync::Mutex<Vec<u8>>>,
}

/// Sends a blob to all `targets`. The source is read once for all of them, as long as none fails and its bytes are right.
///
/// # Errors
/// The source can't be read or isn't what it should be, however often it is read; a destination refused the blob, or
/// failed too often.
pub(super) async fn relay(
    job: &RelayJob<'_>,
    mut opened: Option<SourceReader>,
    mut targets: Vec<RelayTarget<'_>>,
) -> Result<()> {
    let (read, sent) = loop {
        let mut verified = match Verified::open(job.source, job.blob, 0, opened.take(), job.attempts).await {
            Err(error) if job.attempts.once_more(&error) => continue,
            result => result?,
        };
        let (senders, receivers) = piece_channels(targets.len());
        let sending =
            join_all(targets.into_iter().zip(receivers).map(|(target, receiver)| first_try(job, target, receiver)));
        let (read, sent) = tokio::join!(send_all(job, &mut verified, senders), sending);
        match read {
            // No destination got the last bytes, so that none has completed anything.
            Err(error) if job.attempts.once_more(&error) => targets = begin_anew(job, sent).await?,
            read => break (read, sent),
        }
    };
    let mut failed = Vec::new();
    for result in sent {
        match result {
            Ok(()) => {}
            Err(FailedTarget::File(_, error)) => {
                // When the source failed, each destination failed too; the source's error has the reason.
                read?;
                return Err(error);
            }
            Err(FailedTarget::Upload(repository, session, error)) => failed.push((repository, session, error)),
        }
    }
    read?;
    let again = failed.into_iter().map(|(repository, session, error)| send_again(job, repository, session, error));
    join_all(again).await.into_iter().collect()
}

/// A destination that failed, and why.
enum FailedTarget<'a> {
    File(&'a Layout, Error),
    Upload(&'a Repository, UploadSession, Error),
}

/// Abandons the uploads that got wrong bytes, and begins new ones.
async fn begin_anew<'a>(
    job: &RelayJob<'_>,
    sent: Vec<std::result::Result<(), FailedTarget<'a>>>,
) -> Result<Vec<RelayTarget<'a>>> {
    job.item.restart();
    if let Some(capture) = job.capture {
        lock(capture).clear();
    }
    let begun = sent.into_iter().filter_map(std::result::Result::err).map(|failed| async move {
        match failed {
            FailedTarget::File(layout, _) => Ok(Some(RelayTarget::File(layout))),
            FailedTarget::Upload(repository, session, _) => {
                let budget = repository.budget();
                let begun = restart(job, repository, &session, &budget).await?;
                Ok(begun.map(|session| RelayTarget::Upload(repository, session)))
            }
        }
    });
    let targets: Result<Vec<Option<RelayTarget>>> = join_all(begun).await.into_iter().collect();
    Ok(targets?.into_iter().flatten().collect())
}

/// Replaces an upload that is of no more use; `None` if the blob turned out to be there.
async fn restart(
    job: &RelayJob<'_>,
    repository: &Repository,
    session: &UploadSession,
    budget: &Budget,
) -> Result<Option<UploadSession>> {
    repository.abandon_upload(session).await;
    Ok(match repository.begin_upload(&job.blob.digest, None, job.permits.of(repository.host()), budget).await? {
        UploadStart::Mounted => None,
        UploadStart::Session(session) => Some(session),
    })
}

/// Hands every piece to every destination that still takes them.
async fn send_all(job: &RelayJob<'_>, verified: &mut Verified<'_>, mut senders: PieceSenders) -> Result<()> {
    while let Some(piece) = verified.next().await? {
        job.item.advance(piece.len() as u64);
        if let Some(capture) = job.capture {
            lock(capture).extend_from_slice(&piece);
        }
        if !senders.send(&piece).await {
            return Ok(());
        }
    }
    Ok(())
}

async fn first_try<'a>(
    job: &RelayJob<'_>,
    target: RelayTarget<'a>,
    receiver: PieceReceiver,
) -> std::result::Result<(), FailedTarget<'a>> {
    match target {
        RelayTarget::File(layout) => {
            write_file(job, layout, receiver).await.map_err(|error| FailedTarget::File(layout, error))
        }
        RelayTarget::Upload(repository, mut session) => {
            // To complete an upload has a budget of its own, and what comes after has that of `send_again`.
            let result = send(job, repository, &mut session, 0, receiver, &Budget::new(0)).await;
            result.map_err(|error| FailedTarget::Upload(repository, session, error))
        }
    }
}

async fn write_file(job: &RelayJob<'_>, layout: &Layout, mut receiver: PieceReceiver) -> Result<()> {
    let mut writer = layout.create_blob(&job.blob.digest).await?;
    let mut written = 0;
    while let Some(piece) = receiver.next().await {
        writer.write(&piece).await?;
        written += piece.len() as u64;
    }
    if written < job.blob.size {
        return Err(Error::bug(format!("the source ended after {written} of {} bytes", job.blob.size)));
    }
    writer.commit().await
}

/// Sends the bytes from `offset` on, in one request, or in chunks if the host is known to need them.
async fn send(
    job: &RelayJob<'_>,
    repository: &Repository,
    session: &mut UploadSession,
    offset: u64,
    mut receiver: PieceReceiver,
    budget: &Budget,
) -> Result<()> {
    let (size, permit) = (job.blob.size, job.permits.of(repository.host()));
    let _open = receiver.open.take();
    let receiver = Arc::new(Mutex::new(receiver));
    let counter = Arc::new(UploadCounter::default());
    let chunk = repository.host().chunk_size().map(|chunk| chunk.max(session.chunk_minimum));
    if offset == 0 && chunk.is_none_or(|chunk| size <= chunk) {
        session.body = size;
        let body = body(&receiver, size, &counter);
        return repository.upload_whole(session, &job.blob.digest, size, body, &counter, permit).await;
    }
    let mut start = offset;
    while start < size {
        let end = chunk.map_or(size, |chunk| size.min(start.saturating_add(chunk)));
        session.body = end - start;
        let chunk_range = UploadChunk { start, end };
        let counter = Arc::new(UploadCounter::default());
        let body = body(&receiver, end - start, &counter);
        *session = repository.upload_part(session, &job.blob.digest, chunk_range, body, &counter, permit).await?;
        start = end;
    }
    repository.complete_upload(session, &job.blob.digest, Some(size), budget, permit).await
}

/// What to do about a failed upload.
enum Remedy {
    /// Ask how far it got, and continue from there.
    Resume,
    /// Begin again.
    Restart,
    /// Nothing helps.
    GiveUp,
}

fn remedy(error: &Error, repository: &Repository, session: &UploadSession) -> Remedy {
    match error.kind() {
        ErrorKind::Network { .. } | ErrorKind::Silence { .. } => Remedy::Resume,
        // The source's: whether it is read again is decided elsewhere.
        ErrorKind::WrongBytes { .. } => Remedy::Restart,
        ErrorKind::Registry(error) => match error.status {
            413 => {
                // About this very body: other blobs may have made the host's chunks smaller since it began.
                if repository.host().learn_too_large(session.body, session.chunk_minimum) {
                    Remedy::Resume
                } else {
                    Remedy::GiveUp
                }
            }
            // After a 401, the token has been renewed by now.
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

/// Continues a failed upload until it is complete or has failed too often. All its requests share one budget.
async fn send_again(
    job: &RelayJob<'_>,
    repository: &Repository,
    mut session: UploadSession,
    mut error: Error,
) -> Result<()> {
    let budget = Budget::new(job.retries);
    loop {
        let too_large = error.registry().is_some_and(|error| error.status == 413);
        let remedy = remedy(&error, repository, &session);
        let wait = match remedy {
            Remedy::GiveUp => None,
            _ if too_large => Some(Duration::ZERO),
            _ => budget.next(failure_of(&error)),
        };
        // The upload is cancelled with all others when the step ends.
        let Some(wait) = wait else { return Err(explained(error)) };
        tokio::time::sleep(wait).await;
        let found = match remedy {
            Remedy::Resume => repository.upload_offset(&session, &budget, job.permits.of(repository.host())).await,
            Remedy::Restart | Remedy::GiveUp => None,
        };
        let mut offset = 0;
        if let Some((stored, next)) = found.filter(|(stored, _)| (1..=job.blob.size).contains(stored)) {
            (offset, session) = (stored, next);
        } else {
            let Some(begun) = restart(job, repository, &session, &budget).await? else { return Ok(()) };
            session = begun;
        }
        session.afresh = true;
        budget.progress(offset, job.blob.size);
        match Box::pin(send_from(job, repository, &mut session, offset, &budget)).await {
            Ok(()) => return Ok(()),
            Err(AttemptError::Source(error)) if !job.attempts.once_more(&error) => return Err(error),
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

/// The last error of an upload, with what it means after all attempts.
fn explained(error: Error) -> Error {
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
    job: &RelayJob<'_>,
    repository: &Repository,
    session: &mut UploadSession,
    offset: u64,
    budget: &Budget,
) -> std::result::Result<(), AttemptError> {
    let (size, digest) = (job.blob.size, &job.blob.digest);
    if offset == size && offset > 0 {
        let permit = job.permits.of(repository.host());
        let completed = repository.complete_upload(session, digest, Some(size), budget, permit).await;
        return completed.map_err(AttemptError::Destination);
    }
    job.item.restart();
    job.item.advance(offset);
    let mut verified =
        Verified::open(job.source, job.blob, offset, None, job.attempts).await.map_err(AttemptError::Source)?;
    let (senders, receiver) = piece_channel();
    let rest = RelayJob { capture: None, ..*job };
    let (read, sent) =
        tokio::join!(send_all(&rest, &mut verified, senders), send(job, repository, session, offset, receiver, budget));
    read.map_err(AttemptError::Source)?;
    sent.map_err(AttemptError::Destination)
}
