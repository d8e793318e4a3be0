//! Where images are stored: in a repository of a registry, or in an OCI layout.

use super::destination::TagTarget;
use super::layout::Layout;
use crate::error::{Error, ErrorKind, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::{Algorithm, Digest};
use crate::image::manifest::Manifest;
use crate::image::media_type::{self, Kind};
use crate::registry::ConnectionKind;
use crate::registry::manifests::{ManifestQuery, Presence};
use crate::registry::repository::{Permit, Repository};
use crate::text::printable;

/// A repository or a layout. Steps can read all that is in it; only this module's parent writes manifests and tags.
pub enum Store {
    /// A repository of a registry.
    Registry(Repository),
    /// An OCI layout.
    Layout(Layout),
}

impl Store {
    /// The name without tag and digest.
    pub fn name(&self) -> String {
        match self {
            Self::Registry(repository) => repository.name(),
            Self::Layout(layout) => format!("oci:{}", layout.directory().display()),
        }
    }

    /// Opens connections for about `count` requests that are about to be sent at once.
    pub async fn expect_requests(&self, count: usize, kind: ConnectionKind) {
        if let Self::Registry(repository) = self {
            repository.expect_requests(count, kind).await;
        }
    }

    /// What a tag points to, or whether a digest exists, without reading the manifest.
    ///
    /// # Errors
    /// The registry can't be asked, or the layout can't be read.
    pub async fn head(&self, reference: &str) -> Result<Presence> {
        match self {
            Self::Registry(repository) => repository.head_manifest(reference).await,
            Self::Layout(layout) => {
                let found = match reference.parse::<Digest>() {
                    Ok(digest) => layout.blob_size(&digest)?.map(|size| Descriptor::new("", digest, size)),
                    Err(_) => layout.resolve(Some(reference)).await?,
                };
                Ok(found.map_or(Presence::Absent, |found| Presence::Present(Box::new(found))))
            }
        }
    }

    /// Whether a digest exists, as [`Self::head`] answers it.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub async fn has(&self, digest: &Digest) -> Result<bool> {
        Ok(matches!(self.head(digest.as_str()).await?, Presence::Present(_)))
    }

    /// The manifest with a tag or digest; without a reference, `latest` or the only image of a layout.
    ///
    /// # Errors
    /// It can't be read, or isn't what it should be.
    pub async fn manifest(&self, reference: Option<&str>) -> Result<Option<Manifest>> {
        self.manifest_as(reference, ManifestQuery::default()).await
    }

    /// As [`Self::manifest`], checked against what is known about it before.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn manifest_as(&self, reference: Option<&str>, query: ManifestQuery<'_>) -> Result<Option<Manifest>> {
        match self {
            Self::Registry(repository) => {
                repository.get_manifest(reference.unwrap_or(crate::image::reference::DEFAULT_TAG), query).await
            }
            Self::Layout(layout) => {
                let digest = match reference.map(str::parse::<Digest>) {
                    Some(Ok(digest)) => Some(digest),
                    _ => layout.resolve(reference).await?.map(|descriptor| descriptor.digest),
                };
                match digest {
                    Some(digest) => layout.manifest(&digest, query.child).await,
                    None => Ok(None),
                }
            }
        }
    }

    /// The manifest that an index lists as `child`, under the digest in the index; `None` if it isn't there. Of an unknown
    /// type, a layout may have a blob: then there is no such manifest.
    ///
    /// # Errors
    /// It can't be read, or isn't what its index says.
    pub async fn child(&self, child: &Descriptor) -> Result<Option<Manifest>> {
        let kind = media_type::kind(&child.media_type);
        let query = ManifestQuery { expected: None, child: (kind != Kind::Schema1).then_some(child) };
        let is_not_manifest = |error: &Error| matches!(error.kind(), ErrorKind::NoManifest { .. });
        match self.manifest_as(Some(child.digest.as_str()), query).await {
            Ok(Some(manifest)) => self.checked_child(manifest, child).map(Some),
            Err(error) if matches!(self, Self::Layout(..)) && kind == Kind::Unknown && is_not_manifest(&error) => {
                Ok(None)
            }
            other => other,
        }
    }

    /// A manifest with the digest, and where it has none of its own the type, that its index gives it in `child`.
    ///
    /// # Errors
    /// Its size or its type isn't that in the index.
    pub(super) fn checked_child(&self, mut manifest: Manifest, child: &Descriptor) -> Result<Manifest> {
        let is_schema1 = media_type::kind(&manifest.media_type) == Kind::Schema1
            && media_type::kind(&child.media_type) == Kind::Schema1;
        let mismatch = |reason: String| {
            Error::malformed(format!("manifest {} of {}", child.digest, self.name()), printable(&reason, 400))
        };
        if manifest.size() != child.size && !is_schema1 {
            return Err(mismatch(format!("it has {} bytes, its index says {}", manifest.size(), child.size)));
        }
        let has_type = !child.media_type.is_empty();
        if has_type && !is_schema1 && media_type::essence(&child.media_type) != manifest.media_type {
            if !media_type::is_vague(&manifest.media_type) {
                let (own, listed) = (&manifest.media_type, &child.media_type);
                return Err(mismatch(format!("it has two faces: its index calls it `{listed}`, it is `{own}`")));
            }
            manifest.media_type.clone_from(&child.media_type);
        }
        manifest.digest = child.digest.clone();
        Ok(manifest)
    }

    /// Writes a manifest by its digest, so that a parent can point to it.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) async fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        match self {
            Self::Registry(repository) => repository.put_manifest(manifest.digest.as_str(), manifest).await,
            Self::Layout(layout) => layout.put_manifest(manifest).await,
        }
    }

    /// Writes a manifest and makes `target` point to it.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) async fn tag_manifest(&self, target: &TagTarget, manifest: &Manifest) -> Result<()> {
        let tag = target.tag();
        match self {
            Self::Registry(repository) => {
                // A registry files a tagged manifest by its SHA-256. The digest that we print must exist as well.
                if tag.is_some() && manifest.digest.algorithm() != Algorithm::Sha256 {
                    repository.put_manifest(manifest.digest.as_str(), manifest).await?;
                }
                repository.put_manifest(tag.unwrap_or(manifest.digest.as_str()), manifest).await
            }
            Self::Layout(layout) => {
                layout.put_manifest(manifest).await?;
                layout.tag(tag, manifest).await
            }
        }
    }

    /// Whether a manifest is there: as a registry answers, and by its bytes in a layout, whose index can list a manifest
    /// without a file.
    ///
    /// # Errors
    /// The registry can't be asked.
    pub(super) async fn holds_manifest(&self, digest: &Digest) -> Result<bool> {
        match self {
            Self::Registry(_) => self.has(digest).await,
            Self::Layout(layout) => Ok(matches!(layout.manifest(digest, None).await, Ok(Some(_)))),
        }
    }

    /// Whether a blob is there, with the size it should have. `thorough` reads a layout's file and checks its digest.
    ///
    /// # Errors
    /// The registry can't be asked, or the layout can't be read.
    pub(super) async fn has_blob(
        &self,
        digest: &Digest,
        size: Option<u64>,
        thorough: bool,
        permit: Permit<'_>,
    ) -> Result<bool> {
        let found = match self {
            Self::Registry(repository) => repository.head_blob(digest, permit).await?.map(|presence| presence.size),
            Self::Layout(layout) => layout.blob_size(digest)?.map(Some),
        };
        let Some(found) = found else { return Ok(false) };
        if let (Some(found), Some(size)) = (found, size)
            && found != size
        {
            return Ok(false);
        }
        match self {
            Self::Layout(layout) if thorough => layout.blob_is_whole(digest).await,
            _ => Ok(true),
        }
    }

    /// The size of a blob in bytes; `None` if it isn't there, or if its registry doesn't report it.
    ///
    /// # Errors
    /// The registry can't be asked, or the layout can't be read.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self {
            Self::Registry(repository) => {
                Ok(repository.head_blob(digest, Permit::Acquire).await?.and_then(|presence| presence.size))
            }
            Self::Layout(layout) => layout.blob_size(digest),
        }
    }

    /// The repository, if this is one.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Registry(repository) => Some(repository),
            Self::Layout(_) => None,
        }
    }
}
