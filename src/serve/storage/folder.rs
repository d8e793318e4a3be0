//! Stores content and catalog in a folder, so that they survive a restart.
//!
//! The layout, which a person can read and an ordinary tool can copy:
//!
//! ```text
//! STORAGE/
//!   imgstep-registry                          says what this folder is, and is locked while it is served
//!   blobs/sha256/<hex>                        content of blobs and manifests, shared by all repositories
//!   repositories/<name>/
//!     _blobs/sha256/<hex>                     the repository holds this blob; the file says its size
//!     _manifests/sha256/<hex>                 the repository holds this manifest; the file is JSON: its media type and
//!                                             size, and for a referrer its subject, type and annotations
//!     _tags/<tag>                             the file says the digest that the tag names
//!   uploads/                                  what is not finished; emptied at every start
//! ```
//!
//! `sha512` stands beside `sha256` where it is used. No part of a repository's name can begin with `_`, so that names and
//! our own folders never meet. Every path is made of a name, tag or digest that was parsed, never of a client's words.
//!
//! Every file is written under `uploads/` and then renamed, content before the entries that speak of it and tags last;
//! it is removed in the opposite order. Whenever the process dies, each entry is there whole or not at all, and what it
//! speaks of is there too. Nothing is forced to the disk, so that a power failure may lose the last seconds: an entry
//! whose content is missing or has another size is then left out at the next start.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::catalog::{Catalog, Record};
use super::writer::{FinishedBytes, TemporaryFile};
use crate::atomic_file;
use crate::error::Error;
use crate::image::digest::{Algorithm, Digest};
use crate::image::reference::{is_repository, is_tag};
use crate::text::printable;
use crate::workspace;

/// The file that says what the folder is.
const MARK: &str = "imgstep-registry";
/// What it says.
const MARK_TEXT: &str = "imgstep registry storage, version 1\n";
/// An entry is never larger: a record holds at most the annotations of a manifest of 4 MiB, escaped.
const ENTRY_LIMIT: u64 = 32 * 1024 * 1024;

/// An open storage folder.
#[derive(Debug)]
pub(super) struct StorageFolder {
    root: PathBuf,
    /// Locked while it is open.
    _mark: File,
}

/// The result of opening a folder.
pub(super) struct OpenedFolder {
    /// The folder.
    pub folder: StorageFolder,
    /// Its catalog.
    pub catalog: Catalog,
    /// How many entries were skipped because they can't be read or their content is missing.
    pub left_out: usize,
}

impl StorageFolder {
    /// Opens a folder, creating it if necessary. A read-only folder needn't be writable.
    ///
    /// # Errors
    /// A folder that holds something else, or that another process serves.
    pub(super) fn open(root: &Path, read_only: bool) -> Result<OpenedFolder, Error> {
        let mark_path = root.join(MARK);
        if !read_only {
            fs::create_dir_all(root).map_err(Error::file("create", root))?;
            if mark_path.symlink_metadata().is_err() {
                create(root, &mark_path)?;
            }
        }
        for part in [MARK, "blobs", "blobs/sha256", "blobs/sha512", "repositories", "uploads"] {
            let part = root.join(part);
            plain(&part).map_err(Error::file("read", &part))?;
        }
        let mark = open_file(&mark_path).map_err(Error::file("read", &mark_path))?;
        let text = workspace::bounded(&mark, ENTRY_LIMIT).map_err(Error::file("read", &mark_path))?;
        if text != MARK_TEXT.as_bytes() {
            return Err(Error::storage(format!("{} is not the storage of this version of imgstep", root.display())));
        }
        let locked = if read_only { mark.try_lock_shared() } else { mark.try_lock() };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::storage(format!("{} is served by another process", root.display())));
            }
            // Not every file system supports locks, and serving works without.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", &mark_path)(error)),
        }
        let folder = Self { root: root.to_owned(), _mark: mark };
        if !read_only {
            for part in ["blobs/sha256", "blobs/sha512", "repositories", "uploads"] {
                let part = root.join(part);
                fs::create_dir_all(&part).map_err(Error::file("create", &part))?;
            }
            folder.empty_uploads().map_err(Error::file("empty", root.join("uploads")))?;
        }
        let mut catalog = Catalog::default();
        let left_out = folder.load(&mut catalog).map_err(Error::file("read", root.join("repositories")))?;
        Ok(OpenedFolder { folder, catalog, left_out })
    }

    fn empty_uploads(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("uploads"))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    /// A file for an unfinished upload.
    pub(super) fn upload(&self) -> TemporaryFile {
        TemporaryFile::new(self.root.join("uploads"))
    }

    /// The path of content.
    pub(super) fn content(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// Stores content under its digest.
    pub(super) fn keep(&self, digest: &Digest, bytes: FinishedBytes) -> io::Result<()> {
        let path = self.content(digest);
        match bytes {
            FinishedBytes::File(file) => file.keep_as(&path),
            FinishedBytes::Chunks(chunks) => self.write(&path, &chunks.concat()),
        }
    }

    /// Removes content.
    pub(super) fn forget(&self, digest: &Digest) -> io::Result<()> {
        remove(&self.content(digest))
    }

    /// Creates the folders of a repository.
    pub(super) fn add_repository(&self, name: &str) -> io::Result<()> {
        let root = self.repository(name);
        for kind in ["_blobs", "_manifests"] {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                fs::create_dir_all(root.join(kind).join(algorithm.name()))?;
            }
        }
        fs::create_dir_all(root.join("_tags"))
    }

    /// Records a blob of a repository.
    pub(super) fn add_blob(&self, name: &str, digest: &Digest, size: u64) -> io::Result<()> {
        self.write(&self.entry(name, "_blobs", digest), format!("{size}\n").as_bytes())
    }

    /// Removes the record of a blob.
    pub(super) fn remove_blob(&self, name: &str, digest: &Digest) -> io::Result<()> {
        remove(&self.entry(name, "_blobs", digest))
    }

    /// Records a manifest of a repository.
    pub(super) fn add_manifest(&self, name: &str, digest: &Digest, record: &Record) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(record)?;
        text.push(b'\n');
        self.write(&self.entry(name, "_manifests", digest), &text)
    }

    /// Removes the record of a manifest.
    pub(super) fn remove_manifest(&self, name: &str, digest: &Digest) -> io::Result<()> {
        remove(&self.entry(name, "_manifests", digest))
    }

    /// Writes a tag.
    pub(super) fn add_tag(&self, name: &str, tag: &str, digest: &Digest) -> io::Result<()> {
        self.write(&self.repository(name).join("_tags").join(tag), format!("{digest}\n").as_bytes())
    }

    /// Removes a tag.
    pub(super) fn remove_tag(&self, name: &str, tag: &str) -> io::Result<()> {
        remove(&self.repository(name).join("_tags").join(tag))
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.root.join("repositories").join(name)
    }

    fn entry(&self, name: &str, kind: &str, digest: &Digest) -> PathBuf {
        self.repository(name).join(kind).join(digest.algorithm().name()).join(digest.hex())
    }

    /// Writes a file whole or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        atomic_file::write(path, &self.root.join("uploads"), bytes)
    }

    /// Reads every entry into the catalog. Returns how many were skipped.
    fn load(&self, catalog: &mut Catalog) -> io::Result<usize> {
        let top = self.root.join("repositories");
        let mut left_out = 0;
        let mut folders = vec![String::new()];
        while let Some(name) = folders.pop() {
            for entry in fs::read_dir(top.join(&name))? {
                let entry = entry?;
                let Some(part) = entry.file_name().to_str().map(str::to_owned) else {
                    continue;
                };
                let path = if name.is_empty() { part.clone() } else { format!("{name}/{part}") };
                plain(&entry.path())?;
                match part.as_str() {
                    "_blobs" | "_manifests" if is_repository(&name) => {
                        left_out += self.load_held(&name, &part, catalog)?;
                    }
                    "_tags" => {}
                    _ if is_repository(&path) && entry.file_type()?.is_dir() => folders.push(path),
                    _ => left_out += 1,
                }
            }
            // Tags last: they are valid only if their manifest is.
            if is_repository(&name) {
                left_out += self.load_tags(&name, catalog)?;
            }
        }
        Ok(left_out)
    }

    fn load_held(&self, name: &str, kind: &str, catalog: &mut Catalog) -> io::Result<usize> {
        let mut left_out = 0;
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let folder = self.repository(name).join(kind).join(algorithm.name());
            plain(&folder)?;
            for file in names_in(&folder)? {
                let Ok(digest) = format!("{}:{file}", algorithm.name()).parse::<Digest>() else {
                    left_out += 1;
                    continue;
                };
                let text = read_entry(&folder.join(&file))?;
                let size = plain(&self.content(&digest))?.filter(Metadata::is_file).map(|metadata| metadata.len());
                if kind == "_blobs" {
                    match text.trim().parse::<u64>() {
                        Ok(said) if Some(said) == size => catalog.add_blob(name, &digest, said),
                        _ => left_out += 1,
                    }
                } else {
                    match serde_json::from_str::<Record>(&text) {
                        Ok(record) if Some(record.size) == size => catalog.add_manifest(name, &digest, record),
                        _ => left_out += 1,
                    }
                }
            }
        }
        Ok(left_out)
    }

    fn load_tags(&self, name: &str, catalog: &mut Catalog) -> io::Result<usize> {
        let folder = self.repository(name).join("_tags");
        plain(&folder)?;
        let mut left_out = 0;
        for tag in names_in(&folder)? {
            let digest = read_entry(&folder.join(&tag))?.trim().parse::<Digest>();
            match digest {
                Ok(digest) if is_tag(&tag) && catalog.manifest(name, &digest).is_some() => {
                    catalog.add_tag(name, &tag, &digest);
                }
                _ => left_out += 1,
            }
        }
        // An empty repository still exists.
        if folder.exists() {
            catalog.repository_or_new(name);
        }
        Ok(left_out)
    }
}

/// Marks an empty folder as a storage folder.
fn create(root: &Path, mark: &Path) -> Result<(), Error> {
    let mut entries = fs::read_dir(root).map_err(Error::file("read", root))?;
    if entries.next().is_some() {
        let error = Error::storage(format!("{} contains something that imgstep did not write", root.display()));
        return Err(error.with_hint("use an empty folder, or one that doesn't exist yet"));
    }
    fs::write(mark, MARK_TEXT).map_err(Error::file("write", mark))
}

/// Removes a file; it's fine if it doesn't exist.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The UTF-8 names in a folder; none if the folder doesn't exist.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().to_str().map(str::to_owned));
    }
    Ok(names)
}

/// The text of an entry; empty, and so skipped, if it isn't a regular file, isn't UTF-8, or is larger than any that we
/// write.
fn read_entry(path: &Path) -> io::Result<String> {
    if plain(path)?.is_none_or(|metadata| !metadata.is_file() || metadata.len() > ENTRY_LIMIT) {
        return Ok(String::new());
    }
    Ok(String::from_utf8(workspace::bounded(open_file(path)?, ENTRY_LIMIT)?).unwrap_or_default())
}

/// The metadata of a file or folder; `None` if it doesn't exist. Links are refused: we never write any, and one that
/// came, say, with a source repository would make us serve, overwrite or delete files elsewhere.
fn plain(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            let path = printable(&path.to_string_lossy(), 300);
            Err(io::Error::other(format!(
                "{path} is a link, and a storage has none; put what it stands for in its place"
            )))
        }
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a file without following links.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(workspace::no_follow()).open(path)
}
