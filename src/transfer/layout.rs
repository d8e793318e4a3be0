//! An OCI image layout on disk, as a source and as a destination (image specification, image-layout.md).

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use oci_spec::image::ANNOTATION_REF_NAME;
use serde_json::Value;
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::atomic_file;
use crate::error::{Error, ErrorKind, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::{Algorithm, Digest};
use crate::image::manifest::Manifest;
use crate::image::manifest_json::Shape;
use crate::image::media_type::OCI_INDEX;
use crate::image::reference::DEFAULT_TAG;
use crate::image::spec;
use crate::workspace::{self, Found};

/// Size of the pieces in which files are read, in bytes.
const PIECE: usize = 256 * 1024;
/// The content of `oci-layout`.
const LAYOUT_FILE: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// Maximum size of `index.json`, in bytes.
const INDEX_LIMIT: u64 = 64 * 1024 * 1024;

/// A layout's folder. It is created when something is first written to it.
#[derive(Debug, Clone)]
pub struct Layout {
    directory: PathBuf,
    /// The largest manifest that is read, in bytes.
    manifest_limit: u64,
}

impl Layout {
    /// The layout in `directory`, which need not exist yet. No manifest of more than `manifest_limit` bytes is read.
    pub fn new(directory: impl Into<PathBuf>, manifest_limit: u64) -> Self {
        Self { directory: directory.into(), manifest_limit }
    }

    /// The folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Opens a file of the layout. Links can lead anywhere in its folder, but not out of it: a layout in a workspace may come
    /// from somebody else.
    fn open(&self, inside: &Path) -> std::io::Result<Found> {
        workspace::folder(&self.directory)?.find(inside)
    }

    /// The folder of its blobs, which is created if it doesn't exist.
    fn blobs_folder(&self, algorithm: Algorithm) -> std::io::Result<PathBuf> {
        let (folder, inside) = (workspace::make_folder(&self.directory)?, Path::new("blobs").join(algorithm.name()));
        match folder.resolve(&inside) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => return other,
        }
        std::fs::create_dir_all(self.directory.join(&inside))?;
        folder.resolve(&inside)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(blob_inside(digest))
    }

    async fn read_limited(&self, inside: &Path, limit: u64) -> Result<Option<Bytes>> {
        let path = self.directory.join(inside);
        let fail = |error| Error::file("read", &path)(error);
        let file = match self.open(inside).and_then(Found::into_file) {
            Ok(file) => File::from_std(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).await.map_err(fail)?;
        if bytes.len() as u64 > limit {
            let reason = format!("it is larger than the limit of {limit} bytes");
            let error = Error::malformed(path.display().to_string(), reason);
            return Err(error.with_hint("--max-manifest-size allows more"));
        }
        Ok(Some(bytes.into()))
    }

    /// The raw `index.json`; none if there is no layout yet.
    async fn entries(&self) -> Result<Option<Value>> {
        let Some(bytes) = self.read_limited(Path::new("index.json"), INDEX_LIMIT).await? else { return Ok(None) };
        let index: Value =
            serde_json::from_slice(&bytes).map_err(|error| self.malformed("index.json", &error.to_string()))?;
        if !index.get("manifests").is_some_and(Value::is_array) {
            return Err(self.malformed("index.json", "it has no list `manifests`"));
        }
        Ok(Some(index))
    }

    fn malformed(&self, file: &str, reason: &str) -> Error {
        Error::malformed(self.directory.join(file).display().to_string(), reason.to_owned())
    }

    /// The descriptor of `tag`; without a tag, that of the only image, or of `latest`.
    ///
    /// # Errors
    /// The layout can't be read, or has several images, none of which is `latest`, and no tag is given.
    pub async fn resolve(&self, tag: Option<&str>) -> Result<Option<Descriptor>> {
        let Some(index) = self.entries().await? else { return Ok(None) };
        let descriptors: Vec<Descriptor> = serde_json::from_value(index["manifests"].clone())
            .map_err(|error| self.malformed("index.json", &error.to_string()))?;
        let named = |tag: &str| descriptors.iter().find(|entry| tag_of(entry) == Some(tag)).cloned();
        if let Some(tag) = tag {
            return Ok(named(tag));
        }
        if let [only] = descriptors.as_slice() {
            return Ok(Some(only.clone()));
        }
        match named(DEFAULT_TAG) {
            Some(latest) => Ok(Some(latest)),
            None if descriptors.is_empty() => Ok(None),
            None => {
                let tags: Vec<&str> = descriptors.iter().filter_map(tag_of).collect();
                let (path, tags) = (self.directory.display(), crate::text::printable(&tags.join(", "), 300));
                let error = Error::usage(format!("oci:{path} contains {} images", descriptors.len()));
                Err(error.with_hint(format!("name one as oci:{path}:TAG; there are: {tags}")))
            }
        }
    }

    /// The manifest with this digest, if it exists; `child` is its descriptor in its index.
    ///
    /// # Errors
    /// A file that can't be read, is larger than the limit or than it should be, is no manifest
    /// (`ErrorKind::NoManifest`), or doesn't have its digest.
    pub async fn manifest(&self, digest: &Digest, child: Option<&Descriptor>) -> Result<Option<Manifest>> {
        let path = self.blob_path(digest);
        if let (Some(child), Some(size)) = (child, self.blob_size(digest)?)
            && size != child.size
        {
            let reason = format!("it has {size} bytes, its index says {}", child.size);
            return Err(Error::malformed(path.display().to_string(), reason));
        }
        let Some(bytes) = self.read_limited(&blob_inside(digest), self.manifest_limit).await? else { return Ok(None) };
        let index = self.entries().await?;
        let entry = index.as_ref().and_then(|index| {
            index["manifests"].as_array()?.iter().find(|entry| entry["digest"] == digest.as_str())?["mediaType"]
                .as_str()
        });
        let mismatch = |actual| {
            let what = path.display().to_string();
            Err(ErrorKind::DigestMismatch { what, expected: digest.clone(), actual }.into())
        };
        let said = child.map(|child| child.media_type.as_str()).or(entry).unwrap_or_default();
        let manifest = match Manifest::from_bytes(said, bytes.clone()) {
            Ok(manifest) => manifest,
            Err(_) if digest.same_algorithm_of(&bytes) != *digest => return mismatch(digest.same_algorithm_of(&bytes)),
            Err(error) => {
                if let Err(reason) = Shape::of(&bytes) {
                    let (what, answer) = (path.display().to_string(), format!("{} bytes", bytes.len()));
                    return Err(ErrorKind::NoManifest { what, answer, reason }.into());
                }
                return Err(Error::malformed(path.display().to_string(), error.to_string()));
            }
        };
        if !manifest.is(digest) {
            return mismatch(manifest.digest);
        }
        Ok(Some(manifest))
    }

    /// The size of a blob in bytes; `None` if it doesn't exist.
    ///
    /// # Errors
    /// The file system can't tell.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob_path(digest);
        match self.open(&blob_inside(digest)) {
            Ok(found) if found.metadata.is_file() => Ok(Some(found.metadata.len())),
            Ok(_) => Err(self.malformed(&format!("blobs/{digest}"), "it is not a file")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("look at", path)(error)),
        }
    }

    /// Whether a blob is complete: reads every byte of it.
    ///
    /// # Errors
    /// It can't be read.
    pub async fn blob_is_whole(&self, digest: &Digest) -> Result<bool> {
        let mut hasher = crate::image::digest::Hasher::new(digest.algorithm());
        let mut reader = self.open_blob(digest, 0).await?;
        while let Some(piece) = reader.next().await? {
            hasher.update(&piece);
        }
        Ok(hasher.finish() == *digest)
    }

    /// Begins to read a blob at byte `offset`.
    ///
    /// # Errors
    /// It doesn't exist, or can't be read.
    pub async fn open_blob(&self, digest: &Digest, offset: u64) -> Result<FileReader> {
        let path = self.blob_path(digest);
        let found = self.open(&blob_inside(digest)).and_then(Found::into_file);
        let mut file = File::from_std(found.map_err(Error::file("read", &path))?);
        if offset > 0 {
            file.seek(std::io::SeekFrom::Start(offset)).await.map_err(Error::file("read", &path))?;
        }
        Ok(FileReader { file, path })
    }

    /// Begins to write a blob, under a temporary name until it is complete.
    ///
    /// # Errors
    /// The file can't be created.
    pub async fn create_blob(&self, digest: &Digest) -> Result<FileWriter> {
        self.create_temporary(digest.algorithm(), &digest.hex()[..16], self.blob_path(digest)).await
    }

    /// Begins to write a blob that is still being made.
    ///
    /// # Errors
    /// The file can't be created.
    pub async fn create_unnamed_blob(&self) -> Result<FileWriter> {
        self.create_temporary(Algorithm::Sha256, "layer", self.directory.clone()).await
    }

    /// Commits a blob under its digest.
    ///
    /// # Errors
    /// What was written did not reach the file, or it can't be renamed.
    pub async fn commit_unnamed_blob(&self, writer: FileWriter, digest: &Digest) -> Result<()> {
        FileWriter { path: self.blob_path(digest), ..writer }.commit().await
    }

    async fn create_temporary(&self, algorithm: Algorithm, name: &str, path: PathBuf) -> Result<FileWriter> {
        let folder = self.directory.join("blobs").join(algorithm.name());
        let folder = self.blobs_folder(algorithm).map_err(Error::file("make the folder", &folder))?;
        FileWriter::create(folder, format!(".{name}."), path).await
    }

    /// Writes a manifest's bytes as a blob.
    ///
    /// # Errors
    /// They can't be written.
    pub async fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        let mut writer = self.create_blob(&manifest.digest).await?;
        writer.write(&manifest.bytes).await?;
        writer.commit().await
    }

    /// Makes `tag` point to `manifest`, whose bytes are there. Other entries stay as they are. Two imgsteps that write to one
    /// layout take turns.
    ///
    /// # Errors
    /// The layout's files can't be read or written.
    pub async fn tag(&self, tag: Option<&str>, manifest: &Manifest) -> Result<()> {
        workspace::make_folder(&self.directory).map_err(Error::file("make the folder", &self.directory))?;
        let _turn = self.turn().await?;
        let mut index = match self.entries().await? {
            Some(index) => index,
            None => serde_json::from_slice(&spec::index(OCI_INDEX, &[])?)
                .map_err(|error| self.malformed("index.json", &error.to_string()))?,
        };
        let mut descriptor = manifest.descriptor();
        if let Some(tag) = tag {
            descriptor.annotations.insert(ANNOTATION_REF_NAME.to_owned(), tag.to_owned());
        }
        let entry = spec::descriptor(&descriptor)?;
        if let Some(entries) = index["manifests"].as_array_mut() {
            let same = |old: &Value| match tag {
                Some(tag) => old["annotations"][ANNOTATION_REF_NAME] == tag,
                None => old["digest"] == manifest.digest.as_str(),
            };
            match entries.iter_mut().find(|old| same(old)) {
                Some(_) if tag.is_none() => {}
                Some(old) => *old = entry,
                None => entries.push(entry),
            }
        }
        let bytes = serde_json::to_vec(&index).map_err(|error| self.malformed("index.json", &error.to_string()))?;
        let path = self.directory.join("index.json");
        let mut writer = FileWriter::create(self.directory.clone(), ".index.json.".to_owned(), path).await?;
        writer.write(&bytes).await?;
        writer.commit().await
    }

    /// Creates `oci-layout` if it is missing, and locks it until the result is dropped.
    async fn turn(&self) -> Result<std::fs::File> {
        let path = self.directory.join("oci-layout");
        let fail = |error| Error::file("write", &path)(error);
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            return Err(fail(std::io::Error::other("it is a link, or no file; a layout has a file of this name")));
        }
        let mut options = std::fs::File::options();
        options.read(true).append(true).create(true).custom_flags(workspace::no_follow());
        let file = options.open(&path).map_err(fail)?;
        let made = blocking(move || {
            // Some network file systems have no locks. Then we go on without.
            let _ = file.lock();
            if file.metadata()?.len() == 0 {
                (&file).write_all(LAYOUT_FILE)?;
            }
            Ok(file)
        });
        made.await?.map_err(fail)
    }
}

fn tag_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(ANNOTATION_REF_NAME).map(String::as_str)
}

/// The path of a blob within the layout's folder.
fn blob_inside(digest: &Digest) -> PathBuf {
    Path::new("blobs").join(digest.algorithm().name()).join(digest.hex())
}

/// A blob's file being read.
pub struct FileReader {
    file: File,
    path: PathBuf,
}

impl FileReader {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The file can't be read.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = self.file.read_buf(&mut piece).await.map_err(Error::file("read", &self.path))?;
        Ok((read > 0).then(|| piece.freeze()))
    }

    /// The error of a file that is shorter than it should be.
    pub(super) fn too_short(&self, size: u64) -> Error {
        Error::malformed(self.path.display().to_string(), format!("it is shorter than its {size} bytes"))
    }
}

/// A file being written, which gets its name when it is complete.
pub struct FileWriter {
    file: File,
    temporary: TempPath,
    path: PathBuf,
}

impl FileWriter {
    /// Begins a file in `folder` that is to become `path`; until then its name begins with `prefix`.
    async fn create(folder: PathBuf, prefix: String, path: PathBuf) -> Result<Self> {
        let fail = Error::file("write", &path);
        let created = blocking(move || atomic_file::create_in(&folder, &prefix)).await?.map_err(fail)?;
        let (file, temporary) = created.into_parts();
        Ok(Self { file: File::from_std(file), temporary, path })
    }

    /// Writes more bytes.
    ///
    /// # Errors
    /// The write fails.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).await.map_err(Error::file("write", &self.path))
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// What was written did not reach the file, or it can't be renamed.
    pub async fn commit(mut self) -> Result<()> {
        self.file.flush().await.map_err(Error::file("write", &self.path))?;
        let (temporary, path) = (self.temporary, self.path.clone());
        let named = blocking(move || temporary.persist(path)).await?;
        named.map_err(|failed| Error::file("write", self.path)(failed.error))
    }
}

/// Work that waits for the file system, on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await.context("a thread for the file system failed")?)
}
