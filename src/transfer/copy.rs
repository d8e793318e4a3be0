//! The graph of an image on its way: what each destination lacks is brought there, children before parents, each blob
//! once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::destination::{Destination, Prepared};
use super::manifest_limits::{ManifestTotals, check_nesting};
use super::options::CopyOptions;
use super::read_attempts::ReadAttempts;
use super::relay::{RelayJob, RelayTarget, relay};
use super::store::Store;
use crate::error::{Error, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, Manifest};
use crate::image::manifest_json;
use crate::image::media_type::{self, Kind};
use crate::registry::ConnectionKind;
use crate::registry::host::Host;
use crate::registry::manifests::Presence;
use crate::registry::repository::Permit;
use crate::report::outcome::Action;
use crate::report::progress::Progress;
use crate::text::printable;

/// About so many blobs an image has, its config among them.
const BLOBS_OF_AN_IMAGE: usize = 7;

/// Of so many manifests of unknown types we warn.
const WARNINGS_LIMIT: usize = 20;
/// A blob that is kept in memory as it passes by is no larger, in bytes.
const KEEP_LIMIT: u64 = 1024 * 1024;

/// A copy under way.
pub struct Copy<'a> {
    source: &'a Store,
    destinations: &'a [Destination],
    options: CopyOptions,
    progress: &'a Progress,
    /// A small blob whose bytes are kept as they pass by, and those bytes.
    keep: Option<(Digest, Mutex<Vec<u8>>)>,
    /// Manifests that need not be read: the step has read them, or made them.
    known: HashMap<Digest, Manifest>,
    /// Manifests that the step has read from the source, so that they are certainly there.
    read: HashSet<Digest>,
    /// Blobs that the step made.
    made: HashMap<Digest, Bytes>,
    /// For each content that was met: which destinations have it now. The same bytes may be a manifest and a blob,
    /// which are two things to a registry.
    placed: Arc<Mutex<HashMap<(ContentKind, Digest), Placed>>>,
    tally: ManifestTotals,
    /// Manifests of types that nobody knows, whose content was left behind.
    unknown: Mutex<Vec<String>>,
}

/// The destinations that have a content; whoever needs it too waits on the lock while it is brought there.
type Placed = Arc<tokio::sync::Mutex<HashSet<usize>>>;

/// What content is to the registry that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ContentKind {
    Manifest,
    Blob,
}

type BoxedWalk<'w> = Pin<Box<dyn Future<Output = Result<()>> + 'w>>;

impl<'a> Copy<'a> {
    /// A copy from `source` to all `destinations`.
    pub fn new(
        source: &'a Store,
        destinations: &'a [Destination],
        options: CopyOptions,
        progress: &'a Progress,
    ) -> Self {
        let (known, read, made, placed) = (HashMap::new(), HashSet::new(), HashMap::new(), Arc::default());
        let (tally, unknown) = (ManifestTotals::default(), Mutex::default());
        Self { source, destinations, options, progress, keep: None, known, read, made, placed, tally, unknown }
    }

    /// Works beside `other`, which brings parts of the same result from another source to the same places in the same
    /// order: what both need is brought once.
    #[must_use]
    pub fn beside(mut self, other: &Self) -> Self {
        self.placed = Arc::clone(&other.placed);
        self
    }

    /// Takes these manifests as they are, instead of asking the source for them.
    #[must_use]
    pub fn knowing(mut self, manifests: impl IntoIterator<Item = Manifest>) -> Self {
        self.known.extend(manifests.into_iter().map(|manifest| (manifest.digest.clone(), manifest)));
        self
    }

    /// Takes it that these manifests are in the source, and so in a destination that is the same place.
    #[must_use]
    pub fn having_read(mut self, manifests: impl IntoIterator<Item = Digest>) -> Self {
        self.read.extend(manifests);
        self
    }

    /// Takes these blobs out of memory, instead of asking the source for them.
    #[must_use]
    pub fn with_made(mut self, blobs: impl IntoIterator<Item = (Digest, Bytes)>) -> Self {
        self.made.extend(blobs);
        self
    }

    /// Takes it that these blobs are at these destinations, by position, since the step brought them there.
    #[must_use]
    pub fn with_placed(self, blobs: &[(Digest, usize)]) -> Self {
        for (digest, position) in blobs {
            // Nobody else holds the lock before the copy has begun.
            if let Ok(mut placed) = self.placed(ContentKind::Blob, digest).try_lock() {
                placed.insert(*position);
            }
        }
        self
    }

    /// Keeps the bytes of `blob`, if it is small, as they pass by, so that what a step wants to know of a config costs
    /// no second request.
    #[must_use]
    pub fn keeping(mut self, blob: &Descriptor) -> Self {
        self.keep = (blob.size <= KEEP_LIMIT).then(|| (blob.digest.clone(), Mutex::default()));
        self
    }

    /// The bytes that [`Self::keeping`] asked for, if they passed by.
    pub fn kept(self) -> Option<Vec<u8>> {
        let (digest, bytes) = self.keep?;
        let bytes = bytes.into_inner().unwrap_or_else(PoisonError::into_inner);
        (digest.same_algorithm_of(&bytes) == digest).then_some(bytes)
    }

    /// Brings all that `root` points at to those of the destinations, by position, that `wanting` names. `root` itself
    /// is not written: that is what its tags are for, and they come last.
    ///
    /// # Errors
    /// Content that the source lacks or that is not what its digest says; a destination that refuses.
    pub async fn content_of(&self, root: &Manifest, wanting: &[usize]) -> Result<()> {
        if wanting.is_empty() {
            return Ok(());
        }
        self.children(root, 0, wanting).await
    }

    /// Which of the destinations lack a manifest.
    async fn lacking(&self, digest: &Digest, wanting: &[usize]) -> Result<Vec<usize>> {
        if self.options.repair {
            return Ok(wanting.to_vec());
        }
        let is_read = self.read.contains(digest);
        let asked = wanting.iter().map(|&position| async move {
            let destination = &self.destinations[position];
            if destination.is_source && is_read {
                return Ok(None);
            }
            let presence = destination.store.head(digest.as_str()).await?;
            Ok::<_, Error>((!matches!(presence, Presence::Present(_))).then_some(position))
        });
        Ok(try_join_all(asked).await?.into_iter().flatten().collect())
    }

    async fn children(&self, manifest: &Manifest, depth: usize, wanting: &[usize]) -> Result<()> {
        check_nesting(manifest, depth)?;
        let content = manifest.content()?;
        self.tally.count(manifest, &content)?;
        match content {
            Content::Index { manifests } => {
                let manifests: Vec<Descriptor> = manifests.into_iter().map(Descriptor::lean).collect();
                self.expect_children(manifests.len(), wanting).await;
                let room = Semaphore::new(self.options.jobs.max(1));
                let room = &room;
                let walks = manifests.iter().map(|child| async move {
                    let _room = room.acquire().await;
                    self.child(child, depth + 1, wanting).await
                });
                try_join_all(walks).await.map(drop)
            }
            Content::Image { config, layers } => {
                let blobs = layers.into_iter().chain([*config]).map(Descriptor::lean).collect();
                self.blobs(blobs, wanting).await
            }
            Content::Artifact { blobs } => self.blobs(blobs.into_iter().map(Descriptor::lean).collect(), wanting).await,
            Content::Schema1 { layers } => {
                let sized = try_join_all(layers.iter().map(|digest| self.with_size(digest))).await?;
                self.blobs(sized, wanting).await
            }
            Content::Unknown => {
                self.note_unknown(manifest);
                Ok(())
            }
        }
    }

    /// What was not copied, since only the makers of its manifests' types know what it is.
    pub fn warnings(&self) -> Vec<String> {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let warning = |name: &String| {
            format!("imgstep does not know the type of {name}: the manifest is copied, what it names by digest is not")
        };
        unknown.iter().take(WARNINGS_LIMIT).map(warning).collect()
    }

    fn note_unknown(&self, manifest: &Manifest) {
        if manifest_json::names_digests(&manifest.bytes) {
            let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
            let name = format!("{} (`{}`)", manifest.digest, printable(&manifest.media_type, 120));
            if !unknown.contains(&name) {
                unknown.push(name);
            }
        }
    }

    /// Opens connections for what the children of an index consist of, while they are being read. To a place that has
    /// something of the image already, perhaps little need be sent.
    async fn expect_children(&self, children: usize, wanting: &[usize]) {
        if self.options.dry_run {
            return;
        }
        let new = wanting.iter().map(|&position| &self.destinations[position]).filter(|place| place.is_new);
        let mut needs_source = false;
        let blobs = children.saturating_mul(BLOBS_OF_AN_IMAGE);
        for store in new.map(|place| &place.store) {
            let mounts = store.repository().is_some_and(|repository| repository.mount_from().is_some());
            needs_source |= !mounts;
            store.expect_requests(blobs, if mounts { ConnectionKind::Shared } else { ConnectionKind::Dedicated }).await;
        }
        if needs_source {
            self.source.expect_requests(blobs, ConnectionKind::Dedicated).await;
        }
    }

    /// A child of an index: a manifest, or a blob where its media type says so or nobody knows it as a manifest.
    fn child<'w>(&'w self, child: &'w Descriptor, depth: usize, wanting: &'w [usize]) -> BoxedWalk<'w> {
        Box::pin(async move {
            if media_type::kind(&child.media_type) == Kind::Blob {
                return self.blobs(vec![child.clone()], wanting).await;
            }
            let placed = self.placed(ContentKind::Manifest, &child.digest);
            let mut placed = placed.lock().await;
            let wanting: Vec<usize> = wanting.iter().copied().filter(|position| !placed.contains(position)).collect();
            if wanting.is_empty() {
                return Ok(());
            }
            let mut room = self.options.manifests.room_for(child).await;
            let (lacking, manifest) = self.look_up(child, &wanting).await?;
            let Some(manifest) = manifest else {
                if media_type::kind(&child.media_type) == Kind::Unknown {
                    drop((placed, room));
                    return self.blobs(vec![child.clone()], &wanting).await;
                }
                return Err(self.incomplete(child));
            };
            for position in wanting.iter().filter(|position| !lacking.contains(position)) {
                self.destinations[*position].ledger.manifest(&manifest, depth, Action::Present);
            }
            if !lacking.is_empty() {
                let mut held = None;
                if media_type::kind(&manifest.media_type) == Kind::Index {
                    // What is below it needs room too.
                    held = Some(self.tally.hold(&manifest)?);
                    room = None;
                }
                self.children(&manifest, depth, &lacking).await?;
                self.commit(&manifest, depth, &lacking).await?;
                drop((held, room));
            }
            placed.extend(wanting);
            Ok(())
        })
    }

    /// Which destinations lack a child, and the child itself: asked at once, except where each manifest that is read
    /// counts against a limit.
    async fn look_up(&self, child: &Descriptor, wanting: &[usize]) -> Result<(Vec<usize>, Option<Manifest>)> {
        if let Some(manifest) = self.known.get(&child.digest) {
            return Ok((
                self.lacking(&child.digest, wanting).await?,
                Some(self.source.described(manifest.clone(), child)?),
            ));
        }
        tokio::try_join!(self.lacking(&child.digest, wanting), self.source.child(child))
    }

    fn incomplete(&self, child: &Descriptor) -> Error {
        Error::sparse_index(self.source.name(), &child.digest)
            .with_hint("--platform copies only the platforms you name")
    }

    /// Writes a manifest whose content is there.
    async fn commit(&self, manifest: &Manifest, depth: usize, lacking: &[usize]) -> Result<()> {
        let written = lacking.iter().map(|&position| async move {
            let destination = &self.destinations[position];
            let mut action = Action::Sent;
            if self.options.repair && destination.store.holds_manifest(&manifest.digest).await? {
                action = Action::Present;
            }
            if action == Action::Sent && !self.options.dry_run {
                destination.store.put_manifest(manifest).await?;
            }
            destination.ledger.manifest(manifest, depth, action);
            Ok::<_, Error>(())
        });
        try_join_all(written).await.map(drop)
    }

    /// A layer of a schema 1 manifest, whose size only its registry knows.
    async fn with_size(&self, digest: &Digest) -> Result<Descriptor> {
        let size = match self.source {
            Store::Registry(repository) => {
                repository.head_blob(digest, Permit::Acquire).await?.and_then(|presence| presence.size)
            }
            Store::Layout(layout, _) => layout.blob_size(digest)?,
            Store::Generated(_) => None,
        };
        let size = size.ok_or_else(|| {
            Error::malformed(
                self.source.name(),
                format!("the layer {digest} of its schema 1 manifest is not there, or has no size"),
            )
        })?;
        Ok(Descriptor::new("application/vnd.docker.container.image.rootfs.diff+x-gtar", digest.clone(), size))
    }

    fn placed(&self, role: ContentKind, digest: &Digest) -> Placed {
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(placed.entry((role, digest.clone())).or_default())
    }

    /// Brings blobs to those of the destinations, by position, that lack them, the largest first.
    ///
    /// # Errors
    /// As [`Self::content_of`].
    pub async fn blobs(&self, mut blobs: Vec<Descriptor>, wanting: &[usize]) -> Result<()> {
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        let mut seen = HashSet::new();
        blobs.retain(|blob| seen.insert(blob.digest.clone()));
        try_join_all(blobs.iter().map(|blob| self.blob(blob, wanting))).await.map(drop)
    }

    async fn blob(&self, blob: &Descriptor, wanting: &[usize]) -> Result<()> {
        if blob.is_foreign() && !self.options.include_foreign {
            for &position in wanting {
                self.destinations[position].ledger.blob(blob, Action::Foreign, std::time::Duration::ZERO);
            }
            return Ok(());
        }
        let placed = self.placed(ContentKind::Blob, &blob.digest);
        let mut placed = placed.lock().await;
        let wanting: Vec<usize> = wanting.iter().copied().filter(|position| !placed.contains(position)).collect();
        if wanting.is_empty() {
            return Ok(());
        }
        let done =
            if self.options.dry_run { self.plan(blob, &wanting).await? } else { self.bring(blob, &wanting).await? };
        for (position, action, time) in done {
            self.destinations[position].ledger.blob(blob, action, time);
        }
        placed.extend(wanting);
        Ok(())
    }

    /// What would be done with a blob.
    async fn plan(&self, blob: &Descriptor, wanting: &[usize]) -> Result<Vec<Done>> {
        let planned = wanting.iter().map(|&position| async move {
            let destination = &self.destinations[position];
            let start = Instant::now();
            let there =
                destination.store.has_blob(&blob.digest, Some(blob.size), self.options.repair, Permit::Acquire).await?;
            let mounts = destination.store.repository().is_some_and(|repository| repository.mount_from().is_some())
                && !self.made.contains_key(&blob.digest);
            let action = match (there, mounts && !self.options.repair) {
                (true, _) => Action::Present,
                (false, true) => Action::Mounted,
                (false, false) => Action::Sent,
            };
            Ok::<_, Error>((position, action, start.elapsed()))
        });
        try_join_all(planned).await
    }

    /// Brings one blob to all destinations in `wanting` that lack it.
    async fn bring(&self, blob: &Descriptor, wanting: &[usize]) -> Result<Vec<Done>> {
        let start = Instant::now();
        self.progress.expect(1, blob.size);
        let item = self.progress.start(&blob.digest, blob.size);
        let _bulk = self.options.bulk.room_for(blob).await;
        // To a new place, the source is opened while the destinations are asked: what is fetched for nothing, when one
        // has the blob after all, is a buffer's worth.
        let made = self.made.get(&blob.digest);
        let early = made.is_none()
            && wanting.iter().all(|&position| {
                let destination = &self.destinations[position];
                destination.is_new
                    && destination.store.repository().is_none_or(|repository| repository.mount_from().is_none())
            })
            && !self.options.repair;
        let mut permits = Vec::new();
        let mut opened = None;
        let readings = ReadAttempts::default();
        let prepared = if early {
            permits = self.permits(wanting).await?;
            let preparing = try_join_all(wanting.iter().map(|&position| self.prepare(position, blob, Permit::Held)));
            let (prepared, reader) = tokio::try_join!(preparing, self.source.open_blob(blob, 0, &readings))?;
            opened = Some(reader);
            prepared
        } else {
            try_join_all(wanting.iter().map(|&position| self.prepare(position, blob, Permit::Acquire))).await?
        };
        let mut done = Vec::new();
        let mut targets = Vec::new();
        let mut sending = Vec::new();
        for (&position, prepared) in wanting.iter().zip(prepared) {
            match prepared {
                Prepared::Present => done.push((position, Action::Present, start.elapsed())),
                Prepared::Mounted => done.push((position, Action::Mounted, start.elapsed())),
                Prepared::Upload(repository, session) => {
                    targets.push(RelayTarget::Upload(repository, session));
                    sending.push(position);
                }
                Prepared::File(layout) => {
                    targets.push(RelayTarget::File(layout));
                    sending.push(position);
                }
            }
        }
        if !targets.is_empty() {
            if permits.is_empty() {
                permits = self.permits(&sending).await?;
            }
            let kept = self.keep.as_ref().filter(|(digest, _)| *digest == blob.digest).map(|(_, bytes)| bytes);
            let (source, retries, readings) = (self.source, self.options.retries, &readings);
            let cargo = RelayJob { source, blob, item: &item, retries, readings, made, kept };
            relay(&cargo, opened, targets).await?;
        }
        drop(permits);
        done.extend(sending.iter().map(|&position| (position, Action::Sent, start.elapsed())));
        item.finish(summary_of(&done));
        Ok(done)
    }

    async fn prepare(&self, position: usize, blob: &Descriptor, room: Permit) -> Result<Prepared<'_>> {
        self.destinations[position].prepare(blob, self.options.repair, room).await
    }

    /// Room for one request to the source and one to each destination, taken host by host in one order, and all of a
    /// host at once, so that two transfers never wait for each other.
    async fn permits(&self, destinations: &[usize]) -> Result<Vec<OwnedSemaphorePermit>> {
        let stores = destinations.iter().map(|&position| &self.destinations[position].store).chain([self.source]);
        let mut hosts: BTreeMap<&str, (&Arc<Host>, u32)> = BTreeMap::new();
        for repository in stores.filter_map(Store::repository) {
            let host = repository.host();
            hosts.entry(host.authority()).or_insert((host, 0)).1 += 1;
        }
        let mut permits = Vec::new();
        for (host, requests) in hosts.into_values() {
            permits.push(host.permits(requests).await?);
        }
        Ok(permits)
    }
}

type Done = (usize, Action, std::time::Duration);

/// What to say of a blob that went to several destinations: that it was sent, if it was to any.
fn summary_of(done: &[Done]) -> Action {
    let any = |wanted| done.iter().any(|(_, action, _)| *action == wanted);
    if any(Action::Sent) {
        Action::Sent
    } else if any(Action::Mounted) {
        Action::Mounted
    } else {
        Action::Present
    }
}

/// Asks all destinations what a tag names there.
///
/// # Errors
/// One of them can't be asked.
pub async fn heads(stores: impl Iterator<Item = (&Store, &str)>) -> Result<Vec<Presence>> {
    join_all(stores.map(|(store, tag)| store.head(tag))).await.into_iter().collect()
}
