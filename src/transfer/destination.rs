//! One destination of a step: a repository or a layout, the tags it gets, and the cheapest way to get a blob there.

use std::sync::Arc;

use super::layout::Layout;
use super::store::Store;
use super::transfer_log::TransferLog;
use crate::error::Result;
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::reference::{DEFAULT_TAG, Reference};
use crate::registry::ConnectionKind;
use crate::registry::host::SelfMount;
use crate::registry::manifests::Presence;
use crate::registry::repository::{Permit, Repository};
use crate::registry::uploads::{UploadSession, UploadStart};

/// What a step is asked to write to one repository or layout.
#[derive(Debug, Clone)]
pub struct DestinationSpec {
    /// The repository or layout, by the first reference to it.
    pub reference: Reference,
    /// The references with a digest: the result must have it.
    pub pinned: Vec<Reference>,
    /// The tags to write.
    pub tags: Vec<TagTarget>,
}

/// How the result can be found at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagTarget {
    /// By this tag.
    Tag(String),
    /// By its digest alone.
    DigestOnly,
}

/// A tag of a destination, and what it points to before the step writes it.
#[derive(Debug)]
pub(crate) struct Tag {
    /// The tag.
    pub target: TagTarget,
    /// What it points to.
    pub current: Presence,
}

/// A repository or layout that a step writes to.
pub(crate) struct Destination {
    pub(super) id: DestinationId,
    /// The repository or layout, by the first reference to it.
    pub reference: Reference,
    /// The references with a digest: the result must have it.
    pub(super) pinned: Vec<Reference>,
    /// The tags to write, in the order of the command line.
    pub tags: Arc<[Tag]>,
    pub(super) store: Store,
    /// The name of the source that blobs are mounted from.
    pub(super) source: String,
    /// What was done here.
    pub log: Arc<TransferLog>,
}

/// Identifies a destination within its step, whichever source it was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DestinationId(pub(super) usize);

/// How a destination gets a blob.
pub(super) enum Prepared<'a> {
    /// It has it already.
    Present,
    /// Its registry linked it from the source's repository.
    Mounted,
    /// By this upload.
    Upload(&'a Repository, UploadSession),
    /// As a file of this layout.
    File(&'a Layout),
}

impl DestinationSpec {
    /// The repositories and layouts of `destinations`, each once, with its own tags and the `further` ones.
    pub fn merge(destinations: &[Reference], further: &[String]) -> Vec<Self> {
        let mut specs: Vec<Self> = Vec::new();
        for reference in destinations {
            let name = reference.name();
            let found = specs.iter().position(|spec| spec.reference.name() == name).unwrap_or_else(|| {
                specs.push(Self { reference: reference.clone(), pinned: Vec::new(), tags: Vec::new() });
                specs.len() - 1
            });
            let spec = &mut specs[found];
            spec.pinned.extend(reference.digest().map(|_| reference.clone()));
            spec.add(TagTarget::of(reference));
        }
        for spec in &mut specs {
            for tag in further {
                spec.add(TagTarget::Tag(tag.clone()));
            }
        }
        specs
    }

    fn add(&mut self, tag: TagTarget) {
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
    }
}

impl TagTarget {
    fn of(reference: &Reference) -> Self {
        match (reference.tag(), reference) {
            (Some(tag), _) => Self::Tag(tag.to_owned()),
            (None, Reference::Layout(layout)) if layout.digest.is_none() => Self::Tag(DEFAULT_TAG.to_owned()),
            (None, _) => Self::DigestOnly,
        }
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Tag(tag) => Some(tag),
            Self::DigestOnly => None,
        }
    }
}

impl Tag {
    /// Whether it points to `manifest` already.
    pub(crate) fn points_to(&self, manifest: &Manifest) -> bool {
        matches!(&self.current, Presence::Present(current) if manifest.is(&current.digest))
    }
}

impl Destination {
    /// The name without tag and digest.
    pub(crate) fn name(&self) -> String {
        self.reference.name()
    }

    /// The reference that a tag has here; by `digest` where there is no tag.
    pub(crate) fn named(&self, target: &TagTarget, digest: &Digest) -> String {
        match target {
            TagTarget::Tag(tag) => format!("{}:{tag}", self.name()),
            TagTarget::DigestOnly => format!("{}@{digest}", self.name()),
        }
    }

    /// The repository or layout, to read what is there.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Whether none of its tags exists. Then most likely nothing of the image is there.
    pub(crate) fn is_new(&self) -> bool {
        self.tags.iter().all(|tag| tag.current == Presence::Absent)
    }

    /// Whether it is the source's own repository, which has all content already.
    pub(crate) fn is_source(&self) -> bool {
        self.name() == self.source
    }

    /// Whether all its tags point to `manifest` already.
    pub(crate) fn points_to(&self, manifest: &Manifest) -> bool {
        self.tags.iter().all(|tag| tag.points_to(manifest))
    }

    /// Whether its registry can mount blobs of the source.
    pub(super) fn can_mount(&self) -> bool {
        self.store.repository().is_some_and(|repository| repository.mount_from().is_some())
    }

    /// Opens connections for about `requests` requests. Mounts are short and share a connection.
    pub(super) async fn expect(&self, requests: usize) {
        let kind = if self.can_mount() { ConnectionKind::Shared } else { ConnectionKind::Dedicated };
        self.store.expect_requests(requests, kind).await;
    }

    /// Finds out whether `blob` must be sent, in as few round trips as the registry allows: a mount asks whether the
    /// blob is there (or elsewhere in the registry) and begins the upload if not, all in one.
    ///
    /// `repair` trusts no earlier answer: it looks for the blob itself, and sends it without a mount, which would only
    /// link again what is broken.
    ///
    /// # Errors
    /// The destination can't be asked, or refuses an upload.
    pub(super) async fn prepare(&self, blob: &Descriptor, repair: bool, permit: Permit<'_>) -> Result<Prepared<'_>> {
        let repository = match &self.store {
            Store::Registry(repository) => repository,
            Store::Layout(layout) => {
                let is_present = self.store.has_blob(&blob.digest, Some(blob.size), repair, permit).await?;
                return Ok(if is_present { Prepared::Present } else { Prepared::File(layout) });
            }
        };
        if repair {
            if self.store.has_blob(&blob.digest, Some(blob.size), repair, permit).await? {
                return Ok(Prepared::Present);
            }
            return begin(repository, blob, None, permit).await;
        }
        let mount_from = repository.mount_from().map(str::to_owned);
        if let Some(from) = mount_from {
            let prepared = begin(repository, blob, Some(&from), permit).await?;
            return self.unless_present(prepared, blob, permit).await;
        }
        if repository.host().self_mount() == SelfMount::Refused {
            if self.store.has_blob(&blob.digest, Some(blob.size), false, permit).await? {
                return Ok(Prepared::Present);
            }
            return begin(repository, blob, None, permit).await;
        }
        match begin(repository, blob, Some(repository.path()), permit).await? {
            Prepared::Mounted => Ok(Prepared::Present),
            prepared if repository.host().self_mount() == SelfMount::Answered => Ok(prepared),
            prepared => self.unless_present(prepared, blob, permit).await,
        }
    }

    /// Cancels an upload if the blob is there after all: registries may decline a mount for any reason.
    async fn unless_present<'a>(
        &'a self,
        prepared: Prepared<'a>,
        blob: &Descriptor,
        permit: Permit<'_>,
    ) -> Result<Prepared<'a>> {
        let Prepared::Upload(repository, session) = prepared else { return Ok(prepared) };
        if self.store.has_blob(&blob.digest, Some(blob.size), false, permit).await? {
            repository.abandon_upload(&session).await;
            return Ok(Prepared::Present);
        }
        Ok(Prepared::Upload(repository, session))
    }
}

async fn begin<'a>(
    repository: &'a Repository,
    blob: &Descriptor,
    from: Option<&str>,
    permit: Permit<'_>,
) -> Result<Prepared<'a>> {
    Ok(match repository.begin_upload(&blob.digest, from, permit, &repository.budget()).await? {
        UploadStart::Mounted => Prepared::Mounted,
        UploadStart::Session(session) => Prepared::Upload(repository, session),
    })
}
