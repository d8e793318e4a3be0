//! The registry's storage: one catalog, with the bytes in memory or in a folder.
//!
//! The catalog is in memory in both cases, so existence checks never touch the disk. A change is written to the folder
//! first, then to the catalog, under one lock that is never held across an `await`; it is a few small files, which is
//! cheaper than moving the work to another thread. The bytes of blobs are written and read outside that lock.

pub(super) mod catalog;
mod folder;
mod memory;
pub(super) mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use self::catalog::{Catalog, Record};
use self::folder::StorageFolder;
use self::memory::Memory;
use self::writer::{BlobWriter, Finished, FinishedBytes};
use crate::error::Error;
use crate::image::digest::{Algorithm, Digest};
use crate::lock::lock;
use crate::workspace;

/// Maximum size of content that is read whole, in bytes: manifests are smaller, whoever wrote them to the storage.
const WHOLE_LIMIT: u64 = 32 * 1024 * 1024;

/// Everything that is stored.
pub(super) struct Storage {
    state: Mutex<StorageState>,
}

struct StorageState {
    catalog: Catalog,
    place: Backend,
}

enum Backend {
    Memory(Memory),
    Folder(StorageFolder),
}

/// The bytes of a blob or manifest.
pub(super) enum StoredContent {
    /// In memory.
    Chunks(Arc<[Bytes]>),
    /// In a file.
    File(PathBuf),
}

impl StoredContent {
    /// Reads all of it; for content known to be small. `None` if it was deleted in the meantime.
    pub(super) fn read(self) -> io::Result<Option<Bytes>> {
        match self {
            Self::Chunks(chunks) => Ok(Some(match &chunks[..] {
                [one] => one.clone(),
                many => many.concat().into(),
            })),
            Self::File(path) => match open_at(&path, 0)? {
                None => Ok(None),
                Some(file) => workspace::bounded(file, WHOLE_LIMIT).map(|bytes| Some(bytes.into())),
            },
        }
    }
}

/// A manifest from the storage.
pub(super) struct FoundManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its metadata.
    pub record: Arc<Record>,
    /// Its bytes.
    pub content: StoredContent,
}

/// How a request names a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ManifestName {
    /// A tag.
    Tag(String),
    /// A digest.
    Digest(Digest),
}

/// The outcome of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deleted {
    /// Deleted.
    Done,
    /// There was nothing to delete.
    Missing,
    /// The repository doesn't exist.
    NoRepository,
}

impl Storage {
    /// An empty in-memory storage.
    pub(super) fn in_memory() -> Self {
        Self::new(Catalog::default(), Backend::Memory(Memory::default()))
    }

    /// Opens the storage in a folder; also returns how many damaged entries were skipped.
    ///
    /// # Errors
    /// A folder that can't be read or written, holds something else, or is served by another process.
    pub(super) fn in_folder(root: &Path, read_only: bool) -> Result<(Self, usize), Error> {
        let opened = StorageFolder::open(root, read_only)?;
        Ok((Self::new(opened.catalog, Backend::Folder(opened.folder)), opened.left_out))
    }

    fn new(catalog: Catalog, place: Backend) -> Self {
        Self { state: Mutex::new(StorageState { catalog, place }) }
    }

    fn state(&self) -> MutexGuard<'_, StorageState> {
        // A panic elsewhere leaves consistent maps: each change is one insertion or removal.
        lock(&self.state)
    }

    /// The digests of all content.
    #[cfg(any(test, fuzzing))]
    pub fn everything(&self) -> Vec<(Digest, StoredContent)> {
        let inner = self.state();
        let held = inner.catalog.held().cloned();
        held.filter_map(|digest| Some((digest.clone(), inner.place.content(&digest)?))).collect()
    }

    /// Reads the catalog.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Catalog) -> T) -> T {
        look(&self.state().catalog)
    }

    /// Starts receiving a blob.
    pub(super) fn writer(&self, algorithm: Algorithm) -> BlobWriter {
        let file = match &self.state().place {
            Backend::Memory(_) => None,
            Backend::Folder(folder) => Some(folder.upload()),
        };
        BlobWriter::new(algorithm, file)
    }

    /// A blob's size and bytes.
    pub(super) fn blob(&self, name: &str, digest: &Digest) -> Option<(u64, StoredContent)> {
        let state = self.state();
        let size = state.catalog.blob(name, digest)?;
        Some((size, state.place.content(digest)?))
    }

    /// Adds a received blob to a repository.
    pub(super) fn add_blob(&self, name: &str, finished: Finished) -> io::Result<()> {
        let mut state = self.state();
        state.keep(&finished.digest, finished.bytes)?;
        state.add_blob(name, &finished.digest, finished.size)
    }

    /// Adds a blob of repository `from` to repository `name`. `false` if `from` doesn't have it.
    pub(super) fn mount(&self, name: &str, from: &str, digest: &Digest) -> io::Result<bool> {
        let mut state = self.state();
        let Some(size) = state.catalog.blob(from, digest) else {
            return Ok(false);
        };
        if from != name {
            state.add_blob(name, digest, size)?;
        }
        Ok(true)
    }

    /// Removes a blob from a repository.
    pub(super) fn delete_blob(&self, name: &str, digest: &Digest) -> io::Result<Deleted> {
        let mut state = self.state();
        if state.catalog.repository(name).is_none() {
            return Ok(Deleted::NoRepository);
        }
        if state.catalog.blob(name, digest).is_none() {
            return Ok(Deleted::Missing);
        }
        if let Backend::Folder(folder) = &state.place {
            folder.remove_blob(name, digest)?;
        }
        if state.catalog.remove_blob(name, digest) {
            state.place.forget(digest)?;
        }
        Ok(Deleted::Done)
    }

    /// A manifest by tag or digest.
    pub(super) fn manifest(&self, name: &str, named: &ManifestName) -> Option<FoundManifest> {
        let state = self.state();
        let repository = state.catalog.repository(name)?;
        let digest = match named {
            ManifestName::Tag(tag) => repository.tags.get(tag)?,
            ManifestName::Digest(digest) => digest,
        };
        let record = repository.manifests.get(digest)?.clone();
        Some(FoundManifest { digest: digest.clone(), record, content: state.place.content(digest)? })
    }

    /// Adds a manifest and its tags to a repository.
    pub(super) fn add_manifest(
        &self,
        name: &str,
        digest: &Digest,
        bytes: Bytes,
        record: Record,
        tags: &[String],
    ) -> io::Result<()> {
        let mut guard = self.state();
        let state = &mut *guard;
        state.keep(digest, FinishedBytes::Chunks(vec![bytes]))?;
        state.make_repository(name)?;
        if state.catalog.manifest(name, digest).is_none_or(|known| **known != record) {
            if let Backend::Folder(folder) = &mut state.place {
                folder.add_manifest(name, digest, &record)?;
            }
            state.catalog.add_manifest(name, digest, record);
        }
        for tag in tags {
            if let Backend::Folder(folder) = &mut state.place {
                folder.add_tag(name, tag, digest)?;
            }
            state.catalog.add_tag(name, tag, digest);
        }
        Ok(())
    }

    /// Removes a tag, or a manifest and all its tags, from a repository.
    pub(super) fn delete_manifest(&self, name: &str, named: &ManifestName) -> io::Result<Deleted> {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(repository) = state.catalog.repository(name) else {
            return Ok(Deleted::NoRepository);
        };
        match named {
            ManifestName::Tag(tag) => {
                if !repository.tags.contains_key(tag) {
                    return Ok(Deleted::Missing);
                }
                if let Backend::Folder(folder) = &state.place {
                    folder.remove_tag(name, tag)?;
                }
                state.catalog.remove_tag(name, tag);
            }
            ManifestName::Digest(digest) => {
                if !repository.manifests.contains_key(digest) {
                    return Ok(Deleted::Missing);
                }
                if let Backend::Folder(folder) = &state.place {
                    for tag in repository.tags_of(digest) {
                        folder.remove_tag(name, &tag)?;
                    }
                    folder.remove_manifest(name, digest)?;
                }
                if state.catalog.remove_manifest(name, digest) {
                    state.place.forget(digest)?;
                }
            }
        }
        Ok(Deleted::Done)
    }
}

impl StorageState {
    /// Stores content, unless it is already stored.
    fn keep(&mut self, digest: &Digest, bytes: FinishedBytes) -> io::Result<()> {
        if self.catalog.is_held(digest) {
            return Ok(());
        }
        match (&mut self.place, bytes) {
            (Backend::Folder(folder), bytes) => folder.keep(digest, bytes),
            (Backend::Memory(memory), FinishedBytes::Chunks(chunks)) => {
                memory.keep(digest, chunks);
                Ok(())
            }
            (Backend::Memory(_), FinishedBytes::File(_)) => Err(io::Error::other("a file in a storage in memory")),
        }
    }

    fn make_repository(&mut self, name: &str) -> io::Result<()> {
        if self.catalog.repository(name).is_none() {
            if let Backend::Folder(folder) = &self.place {
                folder.add_repository(name)?;
            }
            self.catalog.repository_or_new(name);
        }
        Ok(())
    }

    fn add_blob(&mut self, name: &str, digest: &Digest, size: u64) -> io::Result<()> {
        self.make_repository(name)?;
        if self.catalog.blob(name, digest).is_none() {
            if let Backend::Folder(folder) = &mut self.place {
                folder.add_blob(name, digest, size)?;
            }
            self.catalog.add_blob(name, digest, size);
        }
        Ok(())
    }
}

impl Backend {
    fn content(&self, digest: &Digest) -> Option<StoredContent> {
        match self {
            Self::Memory(memory) => memory.get(digest).map(StoredContent::Chunks),
            Self::Folder(folder) => Some(StoredContent::File(folder.content(digest))),
        }
    }

    fn forget(&mut self, digest: &Digest) -> io::Result<()> {
        match self {
            Self::Memory(memory) => {
                memory.forget(digest);
                Ok(())
            }
            Self::Folder(folder) => folder.forget(digest),
        }
    }
}

/// Opens a file at an offset. `None` if it was deleted in the meantime.
pub(super) fn open_at(path: &Path, offset: u64) -> io::Result<Option<File>> {
    use std::io::{Seek as _, SeekFrom};
    let mut file = match folder::open_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if offset > 0 {
        file.seek(SeekFrom::Start(offset))?;
    }
    Ok(Some(file))
}
