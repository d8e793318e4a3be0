//! Blobs on their way from one source to all destinations that lack them, each once however many images share it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::blob_source::BlobSource;
use super::destination::{Destination, Prepared};
use super::generated::GeneratedBlobs;
use super::options::CopyOptions;
use super::present::{ContentKind, PresentContent, absent};
use super::read_attempts::ReadAttempts;
use super::relay::{RelayJob, RelayTarget, relay};
use crate::error::Result;
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::registry::ConnectionKind;
use crate::registry::repository::{HostPermits, Permit, Repository};
use crate::report::outcome::Action;
use crate::report::progress::Progress;

/// The largest blob that is captured in memory, in bytes.
const CAPTURE_LIMIT: u64 = 1024 * 1024;

/// A copy of blobs.
///
/// Blobs can be sent before the guards approved a result: a blob that no manifest points to is invisible.
pub(crate) struct BlobCopy<'a> {
    source: BlobSource<'a>,
    /// Blobs that don't come from the source, since the step generated them.
    generated: Option<&'a GeneratedBlobs>,
    pub(super) options: CopyOptions,
    progress: &'a Progress,
    capture: Option<Capture>,
    pub(super) present: PresentContent,
}

/// A small blob, and its bytes as they pass by.
struct Capture {
    digest: Digest,
    bytes: Mutex<Vec<u8>>,
}

/// What was done with a blob at a destination, and how long it took.
struct BlobResult {
    destination: Arc<Destination>,
    action: Action,
    time: Duration,
}

impl<'a> BlobCopy<'a> {
    /// A copy of blobs from `source`.
    pub(crate) fn new(source: BlobSource<'a>, options: CopyOptions, progress: &'a Progress) -> Self {
        Self { source, generated: None, options, progress, capture: None, present: PresentContent::default() }
    }

    pub(super) fn generate(&mut self, blobs: &'a GeneratedBlobs) {
        self.generated = Some(blobs);
    }

    pub(super) fn capture(&mut self, blob: &Descriptor) {
        self.capture =
            (blob.size <= CAPTURE_LIMIT).then(|| Capture { digest: blob.digest.clone(), bytes: Mutex::default() });
    }

    pub(super) fn captured(self) -> Option<Vec<u8>> {
        let Capture { digest, bytes } = self.capture?;
        let bytes = bytes.into_inner().unwrap_or_else(PoisonError::into_inner);
        (digest.same_algorithm_of(&bytes) == digest).then_some(bytes)
    }

    /// Takes for granted that these blobs are at these destinations, since the step sent them there itself.
    #[must_use]
    pub(crate) fn with_present(self, blobs: &[(Digest, Arc<Destination>)]) -> Self {
        for (digest, destination) in blobs {
            // Nobody else holds the lock before the copy has begun.
            if let Ok(mut present) = self.present.at(ContentKind::Blob, digest).try_lock() {
                present.insert(destination.id);
            }
        }
        self
    }

    /// Opens connections for about `blobs` blobs to each new destination, and for `generated` more requests for what the
    /// step generates. Where something of the image exists already, little may have to be sent.
    pub(crate) async fn expect(&self, blobs: usize, generated: usize, destinations: &[Arc<Destination>]) {
        if self.options.dry_run {
            return;
        }
        let mut reads_source = false;
        for destination in destinations.iter().filter(|destination| destination.is_new()) {
            reads_source |= blobs > 0 && !destination.can_mount();
            destination.expect(blobs + generated).await;
        }
        if let (true, BlobSource::Store(source)) = (reads_source, self.source) {
            source.expect_requests(blobs, ConnectionKind::Dedicated).await;
        }
    }

    /// Copies blobs to those destinations that lack them, the largest first.
    ///
    /// # Errors
    /// Content that the source lacks or that doesn't match its digest; a destination that refuses.
    pub(crate) async fn blobs(&self, mut blobs: Vec<Descriptor>, destinations: &[Arc<Destination>]) -> Result<()> {
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        let mut seen = HashSet::new();
        blobs.retain(|blob| seen.insert(blob.digest.clone()));
        try_join_all(blobs.iter().map(|blob| self.blob(blob, destinations))).await.map(drop)
    }

    async fn blob(&self, blob: &Descriptor, destinations: &[Arc<Destination>]) -> Result<()> {
        if blob.is_foreign() && !self.options.include_foreign {
            for destination in destinations {
                destination.log.blob(blob, Action::Foreign, Duration::ZERO);
            }
            return Ok(());
        }
        let present = self.present.at(ContentKind::Blob, &blob.digest);
        let mut present = present.lock().await;
        let pending = absent(destinations, &present);
        if pending.is_empty() {
            return Ok(());
        }
        let results = if self.options.dry_run {
            self.plan_blob(blob, &pending).await?
        } else {
            self.copy_blob(blob, &pending).await?
        };
        for BlobResult { destination, action, time } in results {
            destination.log.blob(blob, action, time);
        }
        present.extend(pending.iter().map(|destination| destination.id));
        Ok(())
    }

    fn source_of(&self, blob: &Descriptor) -> BlobSource<'a> {
        match self.generated {
            Some(generated) if generated.has(&blob.digest) => BlobSource::Generated(generated),
            _ => self.source,
        }
    }

    /// Finds out what would be done with a blob.
    async fn plan_blob(&self, blob: &Descriptor, pending: &[Arc<Destination>]) -> Result<Vec<BlobResult>> {
        let is_generated = matches!(self.source_of(blob), BlobSource::Generated(_));
        let planned = pending.iter().map(|destination| async move {
            let start = Instant::now();
            let repair = self.options.repair;
            let is_present = destination.store.has_blob(&blob.digest, Some(blob.size), repair, Permit::Acquire).await?;
            let action = if is_present {
                Action::Present
            } else if destination.can_mount() && !is_generated && !repair {
                Action::Mounted
            } else {
                Action::Sent
            };
            Ok(BlobResult { destination: Arc::clone(destination), action, time: start.elapsed() })
        });
        try_join_all(planned).await
    }

    /// Copies one blob to those of the `pending` destinations that lack it.
    async fn copy_blob(&self, blob: &Descriptor, pending: &[Arc<Destination>]) -> Result<Vec<BlobResult>> {
        let start = Instant::now();
        self.progress.expect(1, blob.size);
        let item = self.progress.start(&blob.digest, blob.size);
        let _slot = self.options.large_blobs.slot_for(blob).await;
        let source = self.source_of(blob);
        let attempts = ReadAttempts::default();
        // For new destinations, the source is opened while they are asked. If one has the blob after all, no more than a
        // buffer was fetched in vain.
        let opens_early = !self.options.repair && pending.iter().all(|to| to.is_new() && !to.can_mount());
        let (permits, prepared, opened) = if opens_early {
            let permits = acquire_permits(source, pending, &attempts).await?;
            let (prepared, reader) =
                tokio::try_join!(self.prepare(blob, pending, Some(&permits)), source.open_blob(blob, 0, &attempts))?;
            (Some(permits), prepared, Some(reader))
        } else {
            (None, self.prepare(blob, pending, None).await?, None)
        };
        let (mut results, mut targets, mut sending) = (Vec::new(), Vec::new(), Vec::new());
        for (destination, prepared) in pending.iter().zip(prepared) {
            let done = |action| BlobResult { destination: Arc::clone(destination), action, time: start.elapsed() };
            match prepared {
                Prepared::Present => results.push(done(Action::Present)),
                Prepared::Mounted => results.push(done(Action::Mounted)),
                Prepared::Upload(repository, session) => {
                    targets.push(RelayTarget::Upload(repository, session));
                    sending.push(Arc::clone(destination));
                }
                Prepared::File(layout) => {
                    targets.push(RelayTarget::File(layout));
                    sending.push(Arc::clone(destination));
                }
            }
        }
        if !targets.is_empty() {
            let permits = match permits {
                Some(permits) => permits,
                None => acquire_permits(source, &sending, &attempts).await?,
            };
            let capture = self.capture.as_ref().filter(|capture| capture.digest == blob.digest);
            let capture = capture.map(|capture| &capture.bytes);
            let (retries, attempts) = (self.options.retries, &attempts);
            relay(
                &RelayJob { source, blob, item: &item, retries, permits: &permits, attempts, capture },
                opened,
                targets,
            )
            .await?;
        }
        let time = start.elapsed();
        results.extend(sending.into_iter().map(|to| BlobResult { destination: to, action: Action::Sent, time }));
        item.finish(summary_of(&results));
        Ok(results)
    }

    async fn prepare<'d>(
        &self,
        blob: &Descriptor,
        pending: &'d [Arc<Destination>],
        permits: Option<&HostPermits>,
    ) -> Result<Vec<Prepared<'d>>> {
        try_join_all(pending.iter().map(|destination| {
            let held = permits.zip(destination.store.repository());
            let permit = held.map_or(Permit::Acquire, |(permits, repository)| permits.of(repository.host()));
            destination.prepare(blob, self.options.repair, permit)
        }))
        .await
    }
}

/// Acquires permits for one request to the source, which `attempts` use, and one to each destination.
async fn acquire_permits(
    source: BlobSource<'_>,
    destinations: &[Arc<Destination>],
    attempts: &ReadAttempts,
) -> Result<HostPermits> {
    let written = destinations.iter().filter_map(|destination| destination.store.repository());
    let repositories = written.chain(source.repository());
    let permits = HostPermits::acquire(repositories.map(Repository::host)).await?;
    attempts.use_permit(source.repository().and_then(|repository| permits.of(repository.host()).held()));
    Ok(permits)
}

/// What the progress shows of a blob that went to several destinations: that it was sent, if it was to any.
fn summary_of(results: &[BlobResult]) -> Action {
    let any = |wanted| results.iter().any(|result| result.action == wanted);
    if any(Action::Sent) {
        Action::Sent
    } else if any(Action::Mounted) {
        Action::Mounted
    } else {
        Action::Present
    }
}
