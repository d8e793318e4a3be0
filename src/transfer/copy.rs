//! An image on its way: walks down from its root manifest, copies what destinations lack, children before parents.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::future::try_join_all;
use tokio::sync::Semaphore;

use super::blob_copy::BlobCopy;
use super::destination::Destination;
use super::destinations::Pending;
use super::generated::GeneratedBlobs;
use super::manifest_limits::{ManifestTotals, check_nesting};
use super::options::CopyOptions;
use super::present::{ContentKind, absent};
use super::store::Store;
use crate::error::{Error, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, Manifest};
use crate::image::manifest_json;
use crate::image::media_type::{self, Kind};
use crate::lock::lock;
use crate::report::outcome::Action;
use crate::report::progress::Progress;
use crate::text::printable;

/// About the number of blobs of an image, config included.
const BLOBS_OF_AN_IMAGE: usize = 7;
/// Maximum number of warnings about manifests of unknown types.
const WARNINGS_LIMIT: usize = 20;

/// A copy of what a manifest points to.
pub(crate) struct Copy<'a> {
    source: &'a Store,
    blobs: BlobCopy<'a>,
    /// Manifests that need not be read from the source, since the step has read or made them.
    known: HashMap<Digest, Manifest>,
    /// Manifests that the step has read from the source, so that they certainly exist there.
    in_source: HashSet<Digest>,
    totals: ManifestTotals,
    /// Manifests of unknown types, whose content was not copied.
    unknown: Mutex<Vec<String>>,
}

type BoxedWalk<'w> = Pin<Box<dyn Future<Output = Result<()>> + 'w>>;

impl<'a> Copy<'a> {
    /// A copy from `source`.
    pub(crate) fn new(source: &'a Store, options: CopyOptions, progress: &'a Progress) -> Self {
        Self {
            source,
            blobs: BlobCopy::new(source.into(), options, progress),
            known: HashMap::new(),
            in_source: HashSet::new(),
            totals: ManifestTotals::default(),
            unknown: Mutex::default(),
        }
    }

    /// Copies content that `other` needs too, from another source to the same destinations, only once.
    #[must_use]
    pub(crate) fn sharing_state_with(mut self, other: &Self) -> Self {
        self.blobs.present = other.blobs.present.clone();
        self
    }

    /// Takes these manifests as they are, instead of reading them from the source.
    #[must_use]
    pub(crate) fn with_known_manifests(mut self, manifests: impl IntoIterator<Item = Manifest>) -> Self {
        self.known.extend(manifests.into_iter().map(|manifest| (manifest.digest.clone(), manifest)));
        self
    }

    /// Takes for granted that these manifests are in the source, and so in a destination that is the same repository.
    #[must_use]
    pub(crate) fn with_source_manifests(mut self, manifests: impl IntoIterator<Item = Digest>) -> Self {
        self.in_source.extend(manifests);
        self
    }

    /// Takes these blobs as the step generated them, instead of reading them from the source.
    #[must_use]
    pub(crate) fn with_generated(mut self, blobs: &'a GeneratedBlobs) -> Self {
        self.blobs.generate(blobs);
        self
    }

    /// Captures the bytes of a small blob as they pass by, so that a step can look into a config without a second
    /// request.
    #[must_use]
    pub(crate) fn capturing(mut self, blob: &Descriptor) -> Self {
        self.blobs.capture(blob);
        self
    }

    /// The bytes that [`Self::capturing`] asked for, if they passed by.
    pub(crate) fn captured(self) -> Option<Vec<u8>> {
        self.blobs.captured()
    }

    /// Copies all that `root` points to. `root` itself is not written: its tags do that, and they come last.
    ///
    /// # Errors
    /// Content that the source lacks or that doesn't match its digest; a destination that refuses.
    pub(crate) async fn content_of(&self, root: &Manifest, destinations: &Pending) -> Result<()> {
        if destinations.is_empty() {
            return Ok(());
        }
        self.children(root, 0, destinations).await
    }

    /// Warnings about content that was not copied, since the types of its manifests are unknown.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let unknown = lock(&self.unknown);
        let warning = |name: &String| {
            format!("imgstep does not know the type of {name}: the manifest is copied, what it names by digest is not")
        };
        unknown.iter().take(WARNINGS_LIMIT).map(warning).collect()
    }

    async fn children(&self, manifest: &Manifest, depth: usize, destinations: &[Arc<Destination>]) -> Result<()> {
        check_nesting(manifest, depth)?;
        let content = manifest.content()?;
        self.totals.count(manifest, &content)?;
        match content {
            Content::Index { manifests } => {
                let manifests: Vec<Descriptor> = manifests.into_iter().map(Descriptor::lean).collect();
                self.blobs.expect(manifests.len().saturating_mul(BLOBS_OF_AN_IMAGE), 0, destinations).await;
                let slots = Semaphore::new(self.blobs.options.jobs.max(1));
                let slots = &slots;
                let walks = manifests.iter().map(|child| async move {
                    let _slot = slots.acquire().await;
                    self.child(child, depth + 1, destinations).await
                });
                try_join_all(walks).await.map(drop)
            }
            Content::Image { config, layers } => {
                let blobs = layers.into_iter().chain([*config]).map(Descriptor::lean).collect();
                self.blobs.blobs(blobs, destinations).await
            }
            Content::Artifact { blobs } => {
                self.blobs.blobs(blobs.into_iter().map(Descriptor::lean).collect(), destinations).await
            }
            Content::Schema1 { layers } => {
                let layers = try_join_all(layers.iter().map(|digest| self.schema1_layer(digest))).await?;
                self.blobs.blobs(layers, destinations).await
            }
            Content::Unknown => {
                self.note_unknown(manifest);
                Ok(())
            }
        }
    }

    /// A child of an index: a manifest; or a blob, if its media type is that of one, or unknown and no manifest exists.
    fn child<'w>(&'w self, child: &'w Descriptor, depth: usize, destinations: &'w [Arc<Destination>]) -> BoxedWalk<'w> {
        Box::pin(async move {
            if media_type::kind(&child.media_type) == Kind::Blob {
                return self.blobs.blobs(vec![child.clone()], destinations).await;
            }
            let present = self.blobs.present.at(ContentKind::Manifest, &child.digest);
            let mut present = present.lock().await;
            let pending = absent(destinations, &present);
            if pending.is_empty() {
                return Ok(());
            }
            let mut memory = self.blobs.options.manifest_memory.reserve(child).await;
            let (missing, manifest) = self.look_up(child, &pending).await?;
            let Some(manifest) = manifest else {
                if media_type::kind(&child.media_type) == Kind::Unknown {
                    drop((present, memory));
                    return self.blobs.blobs(vec![child.clone()], &pending).await;
                }
                return Err(self.sparse_index(child));
            };
            let is_missing = |destination: &Destination| missing.iter().any(|other| other.id == destination.id);
            for destination in pending.iter().filter(|destination| !is_missing(destination)) {
                destination.log.manifest(&manifest, depth, Action::Present);
            }
            if !missing.is_empty() {
                let mut held = None;
                if media_type::kind(&manifest.media_type) == Kind::Index {
                    // What is below it needs memory too.
                    held = Some(self.totals.hold(&manifest)?);
                    memory = None;
                }
                self.children(&manifest, depth, &missing).await?;
                self.put_manifest_to(&missing, &manifest, depth).await?;
                drop((held, memory));
            }
            present.extend(pending.iter().map(|destination| destination.id));
            Ok(())
        })
    }

    /// The destinations that lack a child, and the child itself: asked at once, except where a registry counts each
    /// manifest that is read.
    async fn look_up(
        &self,
        child: &Descriptor,
        destinations: &[Arc<Destination>],
    ) -> Result<(Vec<Arc<Destination>>, Option<Manifest>)> {
        if let Some(manifest) = self.known.get(&child.digest) {
            let missing = self.missing_at(destinations, &child.digest).await?;
            return Ok((missing, Some(self.source.checked_child(manifest.clone(), child)?)));
        }
        tokio::try_join!(self.missing_at(destinations, &child.digest), self.source.child(child))
    }

    /// The destinations that lack a manifest.
    async fn missing_at(&self, destinations: &[Arc<Destination>], digest: &Digest) -> Result<Vec<Arc<Destination>>> {
        if self.blobs.options.repair {
            return Ok(destinations.to_vec());
        }
        let is_in_source = self.in_source.contains(digest);
        let asking = destinations.iter().map(|destination| async move {
            let is_present = (is_in_source && destination.is_source()) || destination.store.has(digest).await?;
            Ok::<_, Error>((!is_present).then(|| Arc::clone(destination)))
        });
        Ok(try_join_all(asking).await?.into_iter().flatten().collect())
    }

    fn sparse_index(&self, child: &Descriptor) -> Error {
        Error::sparse_index(self.source.name(), &child.digest)
            .with_hint("--platform copies only the platforms you name")
    }

    /// Writes a manifest whose content is there.
    async fn put_manifest_to(
        &self,
        destinations: &[Arc<Destination>],
        manifest: &Manifest,
        depth: usize,
    ) -> Result<()> {
        let CopyOptions { repair, dry_run, .. } = self.blobs.options;
        let writes = destinations.iter().map(|destination| async move {
            let mut action = Action::Sent;
            if repair && destination.store.holds_manifest(&manifest.digest).await? {
                action = Action::Present;
            }
            if action == Action::Sent && !dry_run {
                destination.store.put_manifest(manifest).await?;
            }
            destination.log.manifest(manifest, depth, action);
            Ok::<_, Error>(())
        });
        try_join_all(writes).await.map(drop)
    }

    /// A layer of a schema 1 manifest, whose size only its registry knows.
    async fn schema1_layer(&self, digest: &Digest) -> Result<Descriptor> {
        let size = self.source.blob_size(digest).await?.ok_or_else(|| {
            Error::malformed(
                self.source.name(),
                format!("the layer {digest} of its schema 1 manifest is not there, or has no size"),
            )
        })?;
        Ok(Descriptor::new("application/vnd.docker.container.image.rootfs.diff+x-gtar", digest.clone(), size))
    }

    fn note_unknown(&self, manifest: &Manifest) {
        if manifest_json::names_digests(&manifest.bytes) {
            let mut unknown = lock(&self.unknown);
            let name = format!("{} (`{}`)", manifest.digest, printable(&manifest.media_type, 120));
            if !unknown.contains(&name) {
                unknown.push(name);
            }
        }
    }
}
