//! Inspects tars of others as a stream: whether they are well formed, and what they contain.

use std::path::Path;

use tar::EntryType;

use super::binary;
use super::scan::LayerScan;
use super::tar_writer::BLOCK;
use super::walk;
use crate::error::{Error, Result};
use crate::text::printable;

/// Maximum size of long names and PAX records, in bytes.
const RECORDS_LIMIT: u64 = 1024 * 1024;
/// Maximum size of a file, in bytes: more than any file system allows, and sums don't overflow.
const SIZE_LIMIT: u64 = i64::MAX as u64 - BLOCK as u64;
/// The offsets of GNU's flag that a sparse file's map continues in another block, in the header and in such a block
/// (GNU tar's manual, "Old GNU format").
const MAP_FOLLOWS: usize = 482;
const MAP_GOES_ON: usize = 504;

/// Whether a file is a tar by its name.
pub(crate) fn is_named_tar(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"].iter().any(|end| name.ends_with(end))
}

/// A push-style inspector of an uncompressed tar.
pub(crate) struct TarInspector<'a> {
    /// Its name in errors.
    what: &'a str,
    findings: &'a mut LayerScan,
    state: InspectorState,
    /// The bytes of a header, of records, or of the start of a file.
    kept: Vec<u8>,
    /// The records for the next entry.
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    /// An executable file: its name for messages, and its raw name.
    program: Option<(String, Vec<u8>)>,
    entry: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InspectorState {
    Header,
    /// In an entry's content: the bytes left, the padding after them, and the type of the entry.
    Data(u64, u64, EntryType),
    /// In the map of a sparse file, which continues after its header; `size` bytes of content follow.
    Map(u64),
    /// After one zero block: a second one ends the archive.
    Zeros,
    End,
}

impl<'a> TarInspector<'a> {
    /// Inspects the tar that errors call `what`.
    pub(crate) fn new(what: &'a str, findings: &'a mut LayerScan) -> Self {
        let (name, target, size, program) = (None, None, None, None);
        let (state, kept, entry) = (InspectorState::Header, Vec::new(), String::new());
        Self { what, findings, state, kept, name, target, size, program, entry }
    }

    fn malformed(&self, reason: &str) -> Error {
        Error::malformed(self.what.to_owned(), reason.to_owned())
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// They aren't a tar, or a path leads out of the image.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            bytes = match self.state {
                InspectorState::End => return Ok(()),
                InspectorState::Header | InspectorState::Map(_) | InspectorState::Zeros => {
                    let (taken, rest) = bytes.split_at(bytes.len().min(BLOCK - self.kept.len()));
                    self.kept.extend_from_slice(taken);
                    if self.kept.len() == BLOCK {
                        let block = std::mem::take(&mut self.kept);
                        self.block(&block)?;
                    }
                    rest
                }
                InspectorState::Data(left, zeros, kind) => self.data(bytes, left, zeros, kind)?,
            };
        }
        Ok(())
    }

    /// Ends the input.
    ///
    /// # Errors
    /// The tar is incomplete.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.state {
            // Some writers omit the zero blocks at the end, or write fewer.
            InspectorState::End | InspectorState::Zeros => Ok(()),
            InspectorState::Header if self.kept.is_empty() && !self.entry.is_empty() => Ok(()),
            _ if self.entry.is_empty() => Err(self.malformed("it is not a tar")),
            _ => Err(self.malformed(&format!("it ends in the middle of {}", self.entry))),
        }
    }

    fn block(&mut self, block: &[u8]) -> Result<()> {
        let is_zero = block.iter().all(|byte| *byte == 0);
        match self.state {
            InspectorState::Map(size) => {
                self.state =
                    if block[MAP_GOES_ON] == 0 { data(size, EntryType::GNUSparse) } else { InspectorState::Map(size) };
                Ok(())
            }
            InspectorState::Zeros if !is_zero => {
                let reason = "it has a single zero block before its end, which readers treat differently";
                Err(self.malformed(reason))
            }
            InspectorState::Zeros => {
                self.state = InspectorState::End;
                Ok(())
            }
            _ if is_zero => {
                self.state = InspectorState::Zeros;
                Ok(())
            }
            _ => self.header(block),
        }
    }

    fn header(&mut self, block: &[u8]) -> Result<()> {
        let header = tar::Header::from_byte_slice(block);
        let fields = header.as_old();
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        if number(&fields.cksum) != Some(sum(block) - sum(&fields.cksum) + 8 * u64::from(b' ')) {
            let reason = if self.entry.is_empty() {
                "it is not a tar".to_owned()
            } else {
                format!("what follows {} is not a header: sizes in it are wrong", self.entry)
            };
            return Err(self.malformed(&reason));
        }
        let kind = header.entry_type();
        let is_records = matches!(
            kind,
            EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink
        );
        let said = number(&fields.size).ok_or_else(|| self.malformed("one of its sizes is not a number"))?;
        let size = if is_records { said } else { self.size.take().unwrap_or(said) };
        if size > SIZE_LIMIT {
            return Err(self.malformed("one of its sizes is not a number"));
        }
        if is_records && size > RECORDS_LIMIT {
            return Err(self.malformed("it has a record of more than a megabyte"));
        }
        if !is_records {
            let name = self.name.take().unwrap_or_else(|| name_of(block));
            let target = self.target.take().unwrap_or_else(|| text(&fields.linkname).to_vec());
            self.entry = printable(&String::from_utf8_lossy(&name), 300);
            // Symbolic links may point anywhere: they are resolved within the image. A hard link names a path in it.
            if leads_upward(&name) || (kind == EntryType::Link && leads_upward(&target)) {
                let what = if leads_upward(&name) { "has" } else { "is a link to a path with" };
                let reason = format!("{} {what} a `..` in it, and could lead out of the image", self.entry);
                return Err(self.malformed(&reason));
            }
            let runs = number(&fields.mode).is_some_and(|mode| mode & 0o111 != 0);
            self.note(kind, &name, &target, runs);
            let is_file = matches!(kind, EntryType::Regular | EntryType::Continuous);
            self.program = (is_file && runs).then(|| (self.entry.clone(), name));
        }
        // Links and devices may have a size, but no content.
        let size = if matches!(kind.as_byte(), b'1'..=b'6') { 0 } else { size };
        let map_follows = kind == EntryType::GNUSparse && block[MAP_FOLLOWS] != 0;
        self.state = if map_follows { InspectorState::Map(size) } else { data(size, kind) };
        Ok(())
    }

    /// Records a file or a link.
    fn note(&mut self, kind: EntryType, name: &[u8], target: &[u8], runs: bool) {
        self.findings.links.extend(walk::through_link(name));
        if kind == EntryType::Regular {
            self.findings.marks.note(name);
        }
        let Some(names) = &mut self.findings.names else { return };
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                names.file(name);
                if runs {
                    names.executable(name, None);
                }
            }
            EntryType::Link => {
                names.file(name);
                names.same_as(name, target);
            }
            EntryType::Symlink => names.link(name, target),
            _ => {}
        }
    }

    fn data<'b>(&mut self, bytes: &'b [u8], left: u64, zeros: u64, kind: EntryType) -> Result<&'b [u8]> {
        let fit = |wanted: u64| usize::try_from(wanted).unwrap_or(usize::MAX).min(bytes.len());
        if left == 0 {
            let taken = fit(zeros);
            let zeros = zeros - taken as u64;
            self.state = if zeros == 0 { InspectorState::Header } else { InspectorState::Data(0, zeros, kind) };
            return Ok(&bytes[taken..]);
        }
        let (taken, rest) = bytes.split_at(fit(left));
        let is_records = matches!(kind, EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink);
        if is_records {
            self.kept.extend_from_slice(taken);
        } else if self.program.is_some() && self.kept.len() < binary::HEADER {
            self.kept.extend_from_slice(&taken[..taken.len().min(binary::HEADER - self.kept.len())]);
        }
        let left = left - taken.len() as u64;
        self.state = if left + zeros == 0 { InspectorState::Header } else { InspectorState::Data(left, zeros, kind) };
        if left == 0 {
            let kept = std::mem::take(&mut self.kept);
            let text = || kept.strip_suffix(b"\0").unwrap_or(&kept).to_vec();
            match kind {
                EntryType::GNULongName => self.name = Some(text()),
                EntryType::GNULongLink => self.target = Some(text()),
                EntryType::XHeader => self.records(&kept)?,
                _ => {
                    if let Some((name, path)) = self.program.take() {
                        self.findings.look_at(&name, &path, &kept, None);
                    }
                }
            }
        }
        Ok(rest)
    }

    /// Reads PAX records. Only these keys decide where the next header is and what it describes.
    ///
    /// The library's reader can't be used: it ends a record at the first newline, and all records at an empty line, so
    /// it would see other names than readers that go by a record's length.
    fn records(&mut self, mut records: &[u8]) -> Result<()> {
        let what = self.what;
        let fail = || Error::malformed(what.to_owned(), "a PAX record in it is not well formed");
        let mut sparse_name = None;
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ').ok_or_else(fail)?;
            let length = std::str::from_utf8(&records[..space]).ok().and_then(|text| text.parse::<usize>().ok());
            let length = length.filter(|length| *length > space + 1 && *length <= records.len()).ok_or_else(fail)?;
            let record = &records[space + 1..length - 1];
            if let Some(path) = record.strip_prefix(b"path=") {
                self.name = Some(path.to_vec());
            } else if let Some(path) = record.strip_prefix(b"GNU.sparse.name=") {
                sparse_name = Some(path.to_vec());
            } else if let Some(target) = record.strip_prefix(b"linkpath=") {
                self.target = Some(target.to_vec());
            } else if let Some(size) = record.strip_prefix(b"size=") {
                let size = std::str::from_utf8(size).ok().and_then(|text| text.parse().ok());
                self.size = Some(size.ok_or_else(fail)?);
            }
            records = &records[length..];
        }
        // GNU's sparse files in PAX have their real name in addition to one for readers that don't know the format.
        if sparse_name.is_some() {
            self.name = sparse_name;
        }
        Ok(())
    }
}

/// The size of an entry's content, padded to whole blocks.
fn data(size: u64, kind: EntryType) -> InspectorState {
    let zeros = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    if size == 0 { InspectorState::Header } else { InspectorState::Data(size, zeros, kind) }
}

fn leads_upward(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|word| word == b"..")
}

/// A field up to its NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The path in a header. The library reads a prefix only if the version is `00`; most readers check the magic alone.
fn name_of(block: &[u8]) -> Vec<u8> {
    let (name, prefix) = (text(&block[..100]), text(&block[345..500]));
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
}

/// A number in octal digits, 0 if there are none, or in GNU's base 256 for large ones, marked by the first bit.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        // The first byte is the mark, however short the field.
        let high = field.len().saturating_sub(8).max(1);
        if field[0] != 0x80 || field[1..high].iter().any(|byte| *byte != 0) {
            return None;
        }
        return Some(field[high..].iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)) & (u64::MAX >> 1));
    }
    let digits = std::str::from_utf8(text(field)).ok()?.trim();
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_octal_and_in_base_256() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"  644 \0\0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"\x80\0\0\0\0\0\x01\x02", Some(0x102)),
            (b"\x80\x01\0\0\0\0\0\0", Some(1 << 48)),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff", Some((1 << 56) - 1)),
            (b"\x80\0\0\0\0\0\0\0\0\0\0\x07", Some(7)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\x07", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"9\0\0\0\0\0\0\0", None),
            (b"\xc3\xa9\0\0\0\0\0\0", None),
        ] {
            assert_eq!(number(field), expected, "{field:?}");
        }
    }
}
