//! Builds a layer: writes files as a tar, compresses it, and hashes both on the way. A layer of files can be built
//! again, byte for byte, so nothing has to be kept; a tar from a pipe can be read only once.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::binary;
use super::compress::{Compression, compress, stopped};
use super::decompress::{self, Decompressor};
use super::image_archive;
use super::scan::LayerScan;
use super::tar_inspector::TarInspector;
use super::tar_writer::{self, EntryType, Header};
use super::walk::{self, Each, EntryContent, FileTree, LayerEntry, OnDisk};
use crate::error::{Error, GuardKind, Result};
use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::format::LayerCompression;
use crate::text::printable;
use crate::workspace;

/// Read size for files, in bytes.
const PIECE: usize = 256 * 1024;

/// What a layer is built from, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// What is in it.
    pub source: LayerSource,
    /// How to compress it. A compressed tar stays as it is.
    pub compression: Compression,
    /// The modification time of all entries, in seconds since 1970.
    pub mtime: u64,
    /// Whether it is for Windows: its files are below `Files`, with security descriptors.
    pub windows: bool,
    /// How many threads compress it; the output doesn't depend on it.
    pub threads: usize,
}

/// What is in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LayerSource {
    /// A folder or a file.
    Files(Box<FileTree>),
    /// These entries.
    Entries(Vec<LayerEntry>),
    /// The contents of a tar.
    Tar(TarOrigin),
}

/// The source of a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TarOrigin {
    /// A file or a named pipe.
    Path(PathBuf),
    /// Standard input.
    Stdin,
}

/// A layer that was built.
#[derive(Debug, Clone)]
pub(crate) struct BuiltLayer {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
    /// The digest of the tar, uncompressed.
    pub diff_id: Digest,
    /// How it is compressed.
    pub packing: LayerCompression,
    /// What it was found to contain.
    pub findings: LayerScan,
    /// Its bytes, if few.
    pub kept: Option<Vec<Bytes>>,
}

/// How to build a layer.
pub(crate) struct BuildOptions<'a> {
    /// Keep its bytes up to this size.
    pub keep: u64,
    /// Whether to collect the names of its files.
    pub with_names: bool,
    /// Receives the bytes in order, from the first one, once they exceed `keep`; returns false to stop.
    pub overflow: &'a mut dyn FnMut(Bytes) -> bool,
}

/// The result of streaming a layer.
struct StreamedLayer {
    diff_id: Digest,
    packing: LayerCompression,
}

impl Recipe {
    /// Builds the layer.
    ///
    /// # Errors
    /// A file can't be read, or changed while it was read; a malformed tar.
    pub(crate) fn make(&self, making: &mut BuildOptions<'_>) -> Result<BuiltLayer> {
        let mut findings = LayerScan::new(making.with_names);
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let (mut size, mut kept, mut is_taken) = (0, Some(Vec::new()), true);
        let poured = self.stream_with(&mut findings, &mut |piece: Bytes| {
            hasher.update(&piece);
            size += piece.len() as u64;
            if size <= making.keep
                && let Some(kept) = &mut kept
            {
                kept.push(piece);
                return Ok(());
            }
            for piece in kept.take().into_iter().flatten().chain([piece]) {
                is_taken = is_taken && (making.overflow)(piece);
            }
            Ok(())
        })?;
        let StreamedLayer { diff_id, packing } = poured;
        Ok(BuiltLayer { digest: hasher.finish(), size, diff_id, packing, findings, kept })
    }

    /// Builds the layer again and passes its bytes to `sink`.
    ///
    /// # Errors
    /// As for [`Self::make`], and errors of `sink`.
    pub(crate) fn stream_to(&self, mut sink: impl FnMut(Bytes) -> Result<()>) -> Result<()> {
        self.stream_with(&mut LayerScan::default(), &mut sink).map(drop)
    }

    /// The digest of the uncompressed tar, which takes much less time than compressing it.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub(crate) fn diff_id(&self) -> Result<Digest> {
        let plain = Self { compression: Compression::None, ..self.clone() };
        plain.stream_with(&mut LayerScan::default(), &mut |_| Ok(())).map(|poured| poured.diff_id)
    }

    /// Whether building it is too slow to do twice, because it has to be compressed.
    pub(crate) fn is_costly(&self) -> bool {
        let is_packed = match &self.source {
            LayerSource::Tar(origin) => origin.packing().is_some_and(|packing| packing != LayerCompression::Plain),
            LayerSource::Files(_) | LayerSource::Entries(_) => false,
        };
        self.compression != Compression::None && !is_packed
    }

    /// Whether it can be built again: a tar from a pipe can't.
    pub(crate) fn is_repeatable(&self) -> bool {
        match &self.source {
            LayerSource::Files(_) | LayerSource::Entries(_) => true,
            LayerSource::Tar(origin) => origin.is_repeatable(),
        }
    }

    fn stream_with(
        &self,
        findings: &mut LayerScan,
        sink: &mut dyn FnMut(Bytes) -> Result<()>,
    ) -> Result<StreamedLayer> {
        let archive: &mut (dyn FnMut(&mut dyn Write) -> Result<()> + Send) = match &self.source {
            LayerSource::Tar(origin) => return self.stream_tar(origin, findings, sink),
            LayerSource::Files(files) => &mut |to| {
                let mut archive = TarBuilder { recipe: self, findings: &mut *findings, to };
                archive.findings.cautions = archive.all(|each| walk::walk(files, each))?;
                Ok(())
            },
            LayerSource::Entries(entries) => &mut |to| {
                let mut archive = TarBuilder { recipe: self, findings: &mut *findings, to };
                archive.all(|each| entries.iter().cloned().try_for_each(each))
            },
        };
        let diff_id = compress(self.compression, self.threads, archive, sink)?;
        Ok(StreamedLayer { diff_id, packing: packing_of(self.compression) })
    }

    fn stream_tar(
        &self,
        origin: &TarOrigin,
        findings: &mut LayerScan,
        sink: &mut dyn FnMut(Bytes) -> Result<()>,
    ) -> Result<StreamedLayer> {
        let what = origin.what();
        let mut reader = origin.open()?;
        let mut first = vec![0; PIECE];
        let length = fill(&mut reader, &mut first).map_err(origin.failed())?;
        first.truncate(length);
        let packing = decompress::packing(&first);
        let mut inspector = TarInspector::new(&what, findings);
        let mut pieces = Pieces { reader, origin, first: Some(first) };
        if packing == LayerCompression::Plain {
            let produce = |to: &mut dyn Write| {
                let mut piece = Vec::new();
                while pieces.next(&mut piece)? {
                    inspector.push(&piece)?;
                    to.write_all(&piece).map_err(|_| stopped())?;
                }
                inspector.finish()
            };
            let diff_id = compress(self.compression, self.threads, produce, sink)?;
            refuse_image(origin, findings)?;
            return Ok(StreamedLayer { diff_id, packing: packing_of(self.compression) });
        }
        // The bytes are passed on as they are, and decompressed separately to be hashed and inspected.
        let mut unpacker = Decompressor::new(packing, what.clone())?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut look = |plain: &[u8]| {
            hasher.update(plain);
            inspector.push(plain)
        };
        let mut piece = Vec::new();
        while pieces.next(&mut piece)? {
            unpacker.push(&piece, &mut look)?;
            sink(Bytes::copy_from_slice(&piece))?;
        }
        unpacker.finish(&mut look)?;
        inspector.finish()?;
        refuse_image(origin, findings)?;
        Ok(StreamedLayer { diff_id: hasher.finish(), packing })
    }
}

/// Refuses a saved image: as a layer, it would add files that nothing in a container reads.
fn refuse_image(origin: &TarOrigin, findings: &LayerScan) -> Result<()> {
    let Some(archive) = findings.marks.archive() else { return Ok(()) };
    let file = match origin {
        TarOrigin::Path(path) => printable(&path.to_string_lossy(), 300),
        TarOrigin::Stdin => "IMAGE.tar".to_owned(),
    };
    let (form, way) = match archive {
        image_archive::SavedImage::Oci => ("an OCI layout", format!("`mkdir image && tar -xf {file} -C image`")),
        image_archive::SavedImage::Docker => {
            ("of `docker save`", format!("`skopeo copy docker-archive:{file} oci:image`"))
        }
    };
    let text = format!("{} is a saved image ({form}), not a layer", origin.what());
    let hint =
        format!("{way}, then use `imgstep append oci:image` to build on it, or `imgstep promote oci:image` to push it");
    Err(Error::guard(GuardKind::SavedImage, text).with_hint(hint))
}

fn packing_of(compression: Compression) -> LayerCompression {
    match compression {
        Compression::None => LayerCompression::Plain,
        Compression::Gzip(_) => LayerCompression::Gzip,
        Compression::Zstd(_) => LayerCompression::Zstd,
    }
}

impl TarOrigin {
    /// A file by its name; `-` is standard input.
    pub(crate) fn new(path: &Path) -> Self {
        if path == Path::new("-") { Self::Stdin } else { Self::Path(path.to_owned()) }
    }

    /// Its name in errors.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Path(path) => format!("the tar {}", printable(&path.to_string_lossy(), 300)),
            Self::Stdin => "the tar from standard input".to_owned(),
        }
    }

    /// How it is compressed; unknown if it can be read only once.
    fn packing(&self) -> Option<LayerCompression> {
        if !self.is_repeatable() {
            return None;
        }
        let mut head = [0; 4];
        let length = fill(&mut self.open().ok()?, &mut head).ok()?;
        Some(decompress::packing(&head[..length]))
    }

    fn is_repeatable(&self) -> bool {
        match self {
            Self::Path(path) => !matches!(workspace::pipe(path), Ok(Some(_))),
            Self::Stdin => false,
        }
    }

    fn open(&self) -> Result<Box<dyn Read + Send>> {
        match self {
            Self::Path(path) => {
                // Opening a pipe waits for its writer.
                let open = || workspace::pipe(path)?.map_or_else(|| workspace::open(path), File::open);
                Ok(Box::new(open().map_err(Error::file("read", path))?))
            }
            Self::Stdin => Ok(Box::new(io::stdin())),
        }
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> Error {
        let name = match self {
            Self::Path(path) => path.as_path(),
            Self::Stdin => Path::new("standard input"),
        };
        Error::file("read", name)
    }
}

/// Reads a file in pieces, of which the first was read before.
struct Pieces<'a> {
    reader: Box<dyn Read + Send>,
    origin: &'a TarOrigin,
    first: Option<Vec<u8>>,
}

impl Pieces<'_> {
    /// Reads the next piece into `piece`; false at the end.
    fn next(&mut self, piece: &mut Vec<u8>) -> Result<bool> {
        if let Some(first) = self.first.take() {
            *piece = first;
            return Ok(!piece.is_empty());
        }
        piece.resize(PIECE, 0);
        let length = fill(&mut self.reader, piece).map_err(self.origin.failed())?;
        piece.truncate(length);
        Ok(length > 0)
    }
}

/// A tar being written.
struct TarBuilder<'a> {
    recipe: &'a Recipe,
    findings: &'a mut LayerScan,
    to: &'a mut dyn Write,
}

impl TarBuilder<'_> {
    /// Writes all entries that `walk` yields, and the end of the archive.
    fn all<T>(&mut self, walk: impl FnOnce(&mut Each<'_>) -> Result<T>) -> Result<T> {
        let windows = self.recipe.windows;
        if windows {
            self.entry(&walk::folder(b"Files"))?;
        }
        let answer = walk(&mut |entry| {
            self.findings.links.extend(walk::through_link(&entry.path));
            if let (Some(names), false) = (&mut self.findings.names, windows) {
                match &entry.content {
                    EntryContent::Folder => {}
                    EntryContent::Symlink(target) => names.link(&entry.path, target),
                    EntryContent::File(..) | EntryContent::Bytes(_) => names.file(&entry.path),
                    EntryContent::Hardlink(target) => {
                        names.file(&entry.path);
                        names.same_as(&entry.path, target);
                    }
                }
            }
            self.entry(&if windows { walk::for_windows(entry) } else { entry })
        })?;
        if windows {
            self.entry(&walk::folder(b"Hives"))?;
        }
        self.to.write_all(&tar_writer::END).map_err(|_| stopped())?;
        Ok(answer)
    }

    fn entry(&mut self, entry: &LayerEntry) -> Result<()> {
        let (kind, size) = match &entry.content {
            EntryContent::Folder => (EntryType::Folder, 0),
            EntryContent::File(found) => (EntryType::File, found.size),
            EntryContent::Bytes(bytes) => (EntryType::File, bytes.len() as u64),
            EntryContent::Symlink(target) => (EntryType::Symlink(target), 0),
            EntryContent::Hardlink(target) => (EntryType::Hardlink(target), 0),
        };
        let header = Header {
            path: &entry.path,
            kind,
            mode: entry.mode,
            owner: entry.owner,
            size,
            mtime: self.recipe.mtime,
            windows: self.recipe.windows,
        };
        self.to.write_all(&tar_writer::header(&header)).map_err(|_| stopped())?;
        if let EntryContent::Bytes(bytes) = &entry.content {
            let parts = [bytes.as_slice(), tar_writer::padding(size)];
            return parts.into_iter().try_for_each(|part| self.to.write_all(part)).map_err(|_| stopped());
        }
        let EntryContent::File(found) = &entry.content else { return Ok(()) };
        // Windows recognises programs by name, not by mode.
        let name = (entry.mode & 0o111 != 0 || self.recipe.windows).then(|| found.path.to_string_lossy());
        file(found, self.to, |head, file| {
            if let Some(name) = &name {
                self.findings.look_at(&printable(name, 300), &entry.path, head, Some(file));
            }
        })
    }
}

/// Writes the bytes of a file, exactly as many as its header says, and the padding after them. `look` receives the
/// first ones.
fn file(found: &OnDisk, to: &mut dyn Write, look: impl FnOnce(&[u8], &File)) -> Result<()> {
    let OnDisk { path: from, size, file } = found;
    let (size, mut file) = (*size, FromStart { file, offset: 0 });
    let mut buffer = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE).saturating_add(1))];
    let (mut read, mut look) = (0, Some(look));
    loop {
        // Filled as far as possible, so that what is inspected doesn't depend on the file system's read sizes.
        let length = fill(&mut file, &mut buffer).map_err(Error::file("read", from))?;
        if let Some(look) = look.take() {
            look(&buffer[..length.min(binary::HEADER)], &found.file);
        }
        read += length as u64;
        if read > size || (length == 0 && read < size) {
            let name = printable(&from.to_string_lossy(), 300);
            let how = if read > size { "grew" } else { "shrank" };
            return Err(Error::layer_input(format!("{name} {how} while it was read; it had {size} bytes before")));
        }
        if length == 0 {
            break;
        }
        to.write_all(&buffer[..length]).map_err(|_| stopped())?;
    }
    to.write_all(tar_writer::padding(size)).map_err(|_| stopped())
}

/// Reads a file from its start, however often it was read before.
struct FromStart<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}

fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
