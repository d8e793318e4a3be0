//! A place that images are read from and written to: a repository of a registry, or an OCI layout.

use bytes::Bytes;

use super::generated::{GeneratedBlobs, GeneratedReader};
use super::layout::{FileReader, Layout};
use super::read_attempts::ReadAttempts;
use crate::error::{Error, ErrorKind, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::{Algorithm, Digest};
use crate::image::manifest::Manifest;
use crate::image::media_type::{self, Kind};
use crate::registry::BlobReader;
use crate::registry::ConnectionKind;
use crate::registry::manifests::{ManifestQuery, Presence};
use crate::registry::repository::{Permit, Repository};
use crate::text::printable;

/// A source or a destination.
pub enum Store {
    /// A repository of a registry.
    Registry(Repository),
    /// An OCI layout, and the largest manifest that is read from it, in bytes.
    Layout(Layout, u64),
    /// What the step made itself: blobs alone, and to be read alone.
    Generated(GeneratedBlobs),
}

/// A blob being read; its bytes are not checked yet.
pub enum StoreReader {
    /// From a registry.
    Registry(Box<BlobReader>),
    /// From a file.
    File(FileReader),
    /// From layers and configs that the step made.
    Layer(GeneratedReader),
    /// Out of memory: what a step made. `None` once it was handed out.
    Generated(Option<Bytes>),
}

impl Store {
    /// The name without tag and digest.
    pub fn name(&self) -> String {
        match self {
            Self::Registry(repository) => repository.name(),
            Self::Layout(layout, _) => format!("oci:{}", layout.directory().display()),
            Self::Generated(_) => "what was made here".to_owned(),
        }
    }

    /// Opens connections for about so many requests that are about to be sent at once.
    pub async fn expect_requests(&self, count: usize, load: ConnectionKind) {
        if let Self::Registry(repository) = self {
            repository.expect_requests(count, load).await;
        }
    }

    /// What a tag or digest names there, without reading it.
    ///
    /// # Errors
    /// The place can't be asked.
    pub async fn head(&self, reference: &str) -> Result<Presence> {
        match self {
            Self::Registry(repository) => repository.head_manifest(reference).await,
            Self::Layout(layout, _) => {
                let found = match reference.parse::<Digest>() {
                    Ok(digest) => layout.blob_size(&digest)?.map(|size| Descriptor::new("", digest, size)),
                    Err(_) => layout.resolve(Some(reference)).await?,
                };
                Ok(found.map_or(Presence::Absent, |found| Presence::Present(Box::new(found))))
            }
            Self::Generated(_) => Ok(Presence::Absent),
        }
    }

    /// The manifest that a tag or digest names; without a reference, the one that a layout means by itself.
    ///
    /// # Errors
    /// It can't be read, or is not what it should be.
    pub async fn manifest(&self, reference: Option<&str>) -> Result<Option<Manifest>> {
        self.manifest_as(reference, ManifestQuery::default()).await
    }

    /// As [`Self::manifest`], with what is known of it before.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub async fn manifest_as(&self, reference: Option<&str>, asked: ManifestQuery<'_>) -> Result<Option<Manifest>> {
        match self {
            Self::Registry(repository) => {
                repository.get_manifest(reference.unwrap_or(crate::image::reference::DEFAULT_TAG), asked).await
            }
            Self::Layout(layout, limit) => {
                let digest = match reference.map(str::parse::<Digest>) {
                    Some(Ok(digest)) => Some(digest),
                    _ => layout.resolve(reference).await?.map(|descriptor| descriptor.digest),
                };
                match digest {
                    Some(digest) => layout.manifest(&digest, *limit, asked.child).await,
                    None => Ok(None),
                }
            }
            Self::Generated(_) => Ok(None),
        }
    }

    /// The manifest that an index names as `child`, under the digest by which it does; `None` if it is not there. What a
    /// layout has under a type that nobody knows may be a blob: then there is no such manifest.
    ///
    /// # Errors
    /// It can't be read, or is not what its index says.
    pub async fn child(&self, child: &Descriptor) -> Result<Option<Manifest>> {
        let kind = media_type::kind(&child.media_type);
        let asked = ManifestQuery { expected: None, child: (kind != Kind::Schema1).then_some(child) };
        let is_no_manifest = |error: &Error| matches!(error.kind(), ErrorKind::NoManifest { .. });
        match self.manifest_as(Some(child.digest.as_str()), asked).await {
            Ok(Some(manifest)) => self.described(manifest, child).map(Some),
            Err(error) if matches!(self, Self::Layout(..)) && kind == Kind::Unknown && is_no_manifest(&error) => {
                Ok(None)
            }
            other => other,
        }
    }

    /// A manifest under the digest, and if need be the type, by which its index names it as `child`.
    ///
    /// # Errors
    /// It has another size or another type than its index says.
    pub(super) fn described(&self, mut manifest: Manifest, child: &Descriptor) -> Result<Manifest> {
        let (own, said) = (media_type::kind(&manifest.media_type), media_type::kind(&child.media_type));
        let is_schema1 = own == Kind::Schema1 && said == Kind::Schema1;
        let other = |reason: String| {
            Error::malformed(format!("manifest {} of {}", child.digest, self.name()), printable(&reason, 400))
        };
        if manifest.size() != child.size && !is_schema1 {
            return Err(other(format!("it has {} bytes, its index says {}", manifest.size(), child.size)));
        }
        let is_told = !child.media_type.is_empty();
        if is_told && !is_schema1 && media_type::essence(&child.media_type) != manifest.media_type {
            if !media_type::is_vague(&manifest.media_type) {
                let (own, said) = (&manifest.media_type, &child.media_type);
                return Err(other(format!("it has two faces: its index calls it `{said}`, it is `{own}`")));
            }
            manifest.media_type.clone_from(&child.media_type);
        }
        manifest.digest = child.digest.clone();
        Ok(manifest)
    }

    /// Writes a manifest by its digest, so that a parent may point at it.
    ///
    /// # Errors
    /// It can't be written.
    pub async fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        match self {
            Self::Registry(repository) => repository.put_manifest(manifest.digest.as_str(), manifest).await,
            Self::Layout(layout, _) => layout.put_manifest(manifest).await,
            Self::Generated(_) => Err(self.read_only()),
        }
    }

    /// Writes a manifest and lets `tag` name it; without a tag, by its digest.
    ///
    /// # Errors
    /// It can't be written.
    pub async fn tag_manifest(&self, tag: Option<&str>, manifest: &Manifest) -> Result<()> {
        match self {
            Self::Registry(repository) => {
                // Under a tag a registry files it by SHA-256: the name that we print must be there as well.
                if tag.is_some() && manifest.digest.algorithm() != Algorithm::Sha256 {
                    repository.put_manifest(manifest.digest.as_str(), manifest).await?;
                }
                repository.put_manifest(tag.unwrap_or(manifest.digest.as_str()), manifest).await
            }
            Self::Layout(layout, _) => {
                layout.put_manifest(manifest).await?;
                layout.tag(tag, manifest).await
            }
            Self::Generated(_) => Err(self.read_only()),
        }
    }

    /// Whether a manifest is there: by a registry's word, and by its bytes in a layout, whose index says nothing of them.
    ///
    /// # Errors
    /// The registry can't be asked.
    pub async fn holds_manifest(&self, digest: &Digest) -> Result<bool> {
        match self {
            Self::Registry(repository) => {
                Ok(matches!(repository.head_manifest(digest.as_str()).await?, Presence::Present(_)))
            }
            Self::Layout(layout, limit) => Ok(matches!(layout.manifest(digest, *limit, None).await, Ok(Some(_)))),
            Self::Generated(_) => Ok(false),
        }
    }

    /// Whether a blob is there, and with the size it should have. `thorough` trusts a layout's file by its bytes alone.
    ///
    /// # Errors
    /// The place can't be asked.
    pub async fn has_blob(&self, digest: &Digest, size: Option<u64>, thorough: bool, room: Permit) -> Result<bool> {
        let found = match self {
            Self::Registry(repository) => repository.head_blob(digest, room).await?.map(|presence| presence.size),
            Self::Layout(layout, _) => layout.blob_size(digest)?.map(Some),
            Self::Generated(made) => made.has(digest).then_some(None),
        };
        let Some(found) = found else { return Ok(false) };
        if let (Some(found), Some(size)) = (found, size)
            && found != size
        {
            return Ok(false);
        }
        match self {
            Self::Layout(layout, _) if thorough => layout.blob_is_whole(digest).await,
            _ => Ok(true),
        }
    }

    /// Begins to read a blob at byte `offset`.
    ///
    /// # Errors
    /// It is not there, or can't be read.
    pub async fn open_blob(&self, blob: &Descriptor, offset: u64, readings: &ReadAttempts) -> Result<StoreReader> {
        match self {
            Self::Registry(repository) => {
                let reading = readings.next(repository);
                repository.open_blob(blob, offset, &reading).await.map(|reader| StoreReader::Registry(Box::new(reader)))
            }
            Self::Layout(layout, _) => layout.open_blob(&blob.digest, offset).await.map(StoreReader::File),
            Self::Generated(made) => made.open(&blob.digest, offset).map(StoreReader::Layer),
        }
    }

    /// The repository, if this is a registry's.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Registry(repository) => Some(repository),
            Self::Layout(..) | Self::Generated(_) => None,
        }
    }

    fn read_only(&self) -> Error {
        Error::bug(format!("nothing can be written to {}", self.name()))
    }
}

impl StoreReader {
    /// The next piece; `None` where the sender ended.
    ///
    /// # Errors
    /// It can't be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Registry(reader) => reader.next().await,
            Self::File(reader) => reader.next().await,
            Self::Layer(reader) => reader.next().await,
            Self::Generated(bytes) => Ok(bytes.take().filter(|bytes| !bytes.is_empty())),
        }
    }

    /// The sender ended before the `size` bytes that were to come: goes on, or fails.
    pub(super) async fn ended_early(&mut self, size: u64) -> Result<()> {
        match self {
            Self::Registry(reader) => reader.ended_early().await,
            Self::File(reader) => Err(reader.too_short(size)),
            Self::Layer(_) => Err(Error::layer_input(format!(
                "a layer came out shorter than its {size} bytes: one of its files changed"
            ))),
            Self::Generated(_) => Err(Error::bug(format!("what was made has fewer than its {size} bytes"))),
        }
    }
}
