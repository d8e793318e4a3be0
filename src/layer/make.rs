//! A layer being made: files become a tar, the tar is compressed, both are hashed on the way. What was made once can be
//! made again, byte for byte, so that nothing need be kept.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::binary::{self, Binary};
use super::compress::{Compression, compress, stopped};
use super::tarball::{self, Header, Kind};
use super::tarfile::{Form, Inspector, malformed};
use super::walk::{Content, Entry};
use crate::error::{Error, Result, printable};
use crate::image::digest::{Algorithm, Digest, Hasher};

/// Files are read in pieces of this many bytes.
const PIECE: usize = 256 * 1024;

/// What a layer is made of, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// What is in it.
    pub source: Source,
    /// How it is compressed. A tar that is compressed already stays as it is.
    pub compression: Compression,
    /// The time that all entries get, in seconds since 1970.
    pub mtime: u64,
    /// It is for Windows.
    pub windows: bool,
    /// How many threads compress it; the bytes don't depend on it.
    pub threads: usize,
}

/// What is in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// These entries.
    Entries(Vec<Entry>),
    /// What a tar holds.
    Tar(PathBuf, Form),
}

/// What is known of a layer once it was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
    /// The digest of the tar, uncompressed.
    pub diff_id: Digest,
    /// Whether its bytes are gzip's; else they are a plain tar.
    pub is_gzip: bool,
    /// The programs in it.
    pub findings: Findings,
    /// Its bytes, if they are few.
    pub kept: Option<Vec<Bytes>>,
}

/// The programs in a layer: for each kind one file, the first.
#[derive(Debug, Clone, Default)]
pub struct Findings(BTreeMap<String, (String, Binary)>);

impl Findings {
    /// Notes a file that can be executed, by its first bytes.
    pub fn look_at(&mut self, name: &str, head: &[u8]) {
        if let Some(binary) = binary::recognise(head) {
            self.0.entry(format!("{} {binary}", binary.format)).or_insert_with(|| (name.to_owned(), binary));
        }
    }

    /// The files and what they are.
    pub fn all(&self) -> impl Iterator<Item = &(String, Binary)> {
        self.0.values()
    }
}

impl Recipe {
    /// Makes the layer once. Its bytes are kept if they are no more than `keep`; otherwise they are only hashed.
    ///
    /// # Errors
    /// A file can't be read, or changed meanwhile; a tar that is not well formed.
    pub fn make(&self, keep: u64) -> Result<Made> {
        let mut findings = Findings::default();
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let (mut size, mut kept) = (0, Some(Vec::new()));
        let diff_id = self.pour(Some(&mut findings), |piece: Bytes| {
            hasher.update(&piece);
            size += piece.len() as u64;
            if size > keep {
                kept = None;
            } else if let Some(kept) = &mut kept {
                kept.push(piece);
            }
            Ok(())
        })?;
        let is_gzip = match &self.source {
            Source::Tar(_, Form::Gzip) => true,
            _ => self.compression != Compression::None,
        };
        Ok(Made { digest: hasher.finish(), size, diff_id, is_gzip, findings, kept })
    }

    /// Makes the layer and hands its bytes to `sink`; the digest of the tar. `findings` takes the programs in it.
    ///
    /// # Errors
    /// As [`Self::make`], and those of `sink`.
    pub fn pour(&self, findings: Option<&mut Findings>, sink: impl FnMut(Bytes) -> Result<()>) -> Result<Digest> {
        let mut unwanted = Findings::default();
        let findings = findings.unwrap_or(&mut unwanted);
        match &self.source {
            Source::Tar(path, Form::Gzip) => unpacked(path, findings, sink),
            Source::Tar(path, Form::Plain) => {
                let produce = |to: &mut dyn Write| plain(path, findings, to);
                compress(self.compression, self.threads, produce, sink)
            }
            Source::Entries(entries) => {
                let produce = |to: &mut dyn Write| self.archive(entries, findings, to);
                compress(self.compression, self.threads, produce, sink)
            }
        }
    }

    fn archive(&self, entries: &[Entry], findings: &mut Findings, to: &mut dyn Write) -> Result<()> {
        for entry in entries {
            let (kind, size) = match &entry.content {
                Content::Folder => (Kind::Folder, 0),
                Content::File(_, size) => (Kind::File, *size),
                Content::Empty => (Kind::File, 0),
                Content::Symlink(target) => (Kind::Symlink(target), 0),
                Content::Hardlink(target) => (Kind::Hardlink(target), 0),
            };
            let header = Header {
                path: &entry.path,
                kind,
                mode: entry.mode,
                owner: entry.owner,
                size,
                mtime: self.mtime,
                windows: self.windows,
            };
            to.write_all(&tarball::header(&header)).map_err(|_| stopped())?;
            if let Content::File(from, size) = &entry.content {
                let name = (entry.mode & 0o111 != 0).then(|| from.to_string_lossy());
                file(from, *size, to, |head| {
                    if let Some(name) = &name {
                        findings.look_at(&printable(name, 300), head);
                    }
                })?;
            }
        }
        to.write_all(&tarball::END).map_err(|_| stopped())
    }
}

/// The bytes of a file, exactly as many as its header says, and the zeros behind them. `look` is shown the beginning.
fn file(from: &Path, size: u64, to: &mut dyn Write, look: impl FnOnce(&[u8])) -> Result<()> {
    let mut file = File::open(from).map_err(Error::file("read", from))?;
    let mut buffer = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE).saturating_add(1))];
    let (mut read, mut look) = (0, Some(look));
    loop {
        // Filled as far as it goes, so that what is looked at doesn't depend on how a file system answers.
        let length = fill(&mut file, &mut buffer).map_err(Error::file("read", from))?;
        if let Some(look) = look.take() {
            look(&buffer[..length.min(binary::HEADER)]);
        }
        read += length as u64;
        if read > size || (length == 0 && read < size) {
            let name = printable(&from.to_string_lossy(), 300);
            let how = if read > size { "grew" } else { "shrank" };
            return Err(Error::Other(format!("{name} {how} while it was read; it had {size} bytes before")));
        }
        if length == 0 {
            break;
        }
        to.write_all(&buffer[..length]).map_err(|_| stopped())?;
    }
    to.write_all(tarball::padding(size)).map_err(|_| stopped())
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

/// A tar that is not compressed.
fn plain(path: &Path, findings: &mut Findings, to: &mut dyn Write) -> Result<()> {
    let mut inspector = Inspector::new(path, findings);
    let mut file = File::open(path).map_err(Error::file("read", path))?;
    let mut buffer = vec![0; PIECE];
    loop {
        let length = fill(&mut file, &mut buffer).map_err(Error::file("read", path))?;
        if length == 0 {
            return inspector.finish();
        }
        inspector.push(&buffer[..length])?;
        to.write_all(&buffer[..length]).map_err(|_| stopped())?;
    }
}

/// A tar by gzip: its bytes go on as they are, and are unpacked beside to be hashed and looked at.
fn unpacked(path: &Path, findings: &mut Findings, sink: impl FnMut(Bytes) -> Result<()>) -> Result<Digest> {
    let file = File::open(path).map_err(Error::file("read", path))?;
    let mut decoder = MultiGzDecoder::new(Tee { file, sink, failed: None });
    let mut inspector = Inspector::new(path, findings);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; PIECE];
    loop {
        let length = match fill(&mut decoder, &mut buffer) {
            Ok(length) => length,
            Err(error) => {
                let failed = decoder.get_mut().failed.take();
                return Err(failed.unwrap_or_else(|| malformed(path, &format!("gzip: {error}"))));
            }
        };
        if length == 0 {
            inspector.finish()?;
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..length]);
        inspector.push(&buffer[..length])?;
    }
}

/// Hands on what is read.
struct Tee<S> {
    file: File,
    sink: S,
    failed: Option<Error>,
}

impl<S: FnMut(Bytes) -> Result<()>> Read for Tee<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        if length > 0
            && let Err(error) = (self.sink)(Bytes::copy_from_slice(&buffer[..length]))
        {
            self.failed = Some(error);
            return Err(io::Error::other("not wanted"));
        }
        Ok(length)
    }
}
