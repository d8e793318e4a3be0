//! Finds the interpreter that a program needs: the dynamic linker that an ELF program names (System V ABI,
//! `PT_INTERP`), or the one in a script's first line.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Maximum number of program headers read; no linker writes more.
const HEADERS_LIMIT: usize = 256;
/// Maximum length of a path, in bytes (Linux's `PATH_MAX`).
const PATH_LIMIT: usize = 4096;
/// Bytes of a script's first line that Linux reads (`BINPRM_BUF_SIZE`).
const LINE_LIMIT: usize = 256;
/// The type of the program header that names the interpreter.
const PT_INTERP: u32 = 3;

/// The interpreter of a program.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Interpreter {
    /// Its path in the image.
    pub path: Vec<u8>,
    /// The program is a script rather than a dynamically linked binary.
    pub is_script: bool,
}

/// The interpreter of a program with these first bytes; more is read from `file`, if given.
pub(crate) fn of(head: &[u8], file: Option<&File>) -> Option<Interpreter> {
    if let Some(line) = head.strip_prefix(b"#!") {
        return script(&line[..line.len().min(LINE_LIMIT - 2)]);
    }
    let path = dynamic(&Bytes { head, file })?;
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    (!path.is_empty()).then(|| Interpreter { path: path.to_vec(), is_script: false })
}

fn script(line: &[u8]) -> Option<Interpreter> {
    let line = line.split(|byte| matches!(byte, b'\n' | 0)).next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t'));
    let path = words.find(|word| !word.is_empty())?;
    Some(Interpreter { path: path.to_vec(), is_script: true })
}

/// A file of which `head` has been read.
struct Bytes<'a> {
    head: &'a [u8],
    file: Option<&'a File>,
}

impl Bytes<'_> {
    /// `length` bytes at `offset`, if the file has them.
    fn at(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let start = usize::try_from(offset).ok()?;
        if let Some(found) = self.head.get(start..start.checked_add(length)?) {
            return Some(found.to_vec());
        }
        let mut found = vec![0; length];
        self.file?.read_exact_at(&mut found, offset).ok()?;
        Some(found)
    }
}

/// The contents of the `PT_INTERP` segment.
fn dynamic(bytes: &Bytes<'_>) -> Option<Vec<u8>> {
    let head = bytes.head;
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let (is_64, is_little) = (*head.get(4)? == 2, *head.get(5)? == 1);
    // An integer of `length` bytes.
    let number = |bytes: &[u8], at: usize, length: usize| {
        let field = bytes.get(at..at + length)?;
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        Some(if is_little { field.iter().rev().fold(0, add) } else { field.iter().fold(0, add) })
    };
    // Offsets in the file header of the program headers' position, entry size and count; then of type, offset and size
    // within one.
    let (table, size, count, place) = if is_64 {
        (number(head, 32, 8)?, number(head, 54, 2)?, number(head, 56, 2)?, [(8, 8), (32, 8)])
    } else {
        (number(head, 28, 4)?, number(head, 42, 2)?, number(head, 44, 2)?, [(4, 4), (16, 4)])
    };
    let size = usize::try_from(size).ok().filter(|size| (32..=128).contains(size))?;
    let count = usize::try_from(count).ok()?.min(HEADERS_LIMIT);
    let headers = bytes.at(table, size * count)?;
    let found = headers.chunks_exact(size).find(|header| number(header, 0, 4) == Some(u64::from(PT_INTERP)))?;
    let [offset, length] = place.map(|(at, length)| number(found, at, length));
    let length = usize::try_from(length?).ok().filter(|length| *length <= PATH_LIMIT)?;
    bytes.at(offset?, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 64-bit little-endian program with its interpreter's path at this offset.
    fn elf(path: &str, at: u64) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01\x00".to_vec();
        bytes.resize(64 + 2 * 56, 0);
        (bytes[16], bytes[18], bytes[32], bytes[54], bytes[56]) = (3, 62, 64, 56, 2);
        let header = 64 + 56;
        bytes[header] = 3;
        bytes[header + 8..header + 16].copy_from_slice(&at.to_le_bytes());
        bytes[header + 32..header + 40].copy_from_slice(&(path.len() as u64 + 1).to_le_bytes());
        let at = usize::try_from(at).unwrap();
        bytes.resize(bytes.len().max(at), 0);
        bytes.splice(at.., path.bytes().chain([0]));
        bytes
    }

    fn path(head: &[u8]) -> Option<String> {
        of(head, None).map(|found| String::from_utf8(found.path).unwrap())
    }

    #[test]
    fn programs_and_scripts() {
        assert_eq!(path(&elf("/lib64/ld-linux-x86-64.so.2", 400)).as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(path(&elf("", 400)), None);
        for (script, expected) in [
            ("#!/bin/sh\nexit", Some("/bin/sh")),
            ("#! /usr/bin/env node\n", Some("/usr/bin/env")),
            ("#!\t/bin/sh", Some("/bin/sh")),
            ("#!/bin/sh\r\n", Some("/bin/sh\r")),
            ("#!\n/bin/sh", None),
            ("#!", None),
            ("/bin/sh", None),
        ] {
            assert_eq!(path(script.as_bytes()).as_deref(), expected, "{script:?}");
        }
        // 32-bit, big-endian.
        let mut other = b"\x7fELF\x01\x02\x01\x00".to_vec();
        other.resize(52 + 32, 0);
        (other[31], other[43], other[45]) = (52, 32, 1);
        (other[55], other[59], other[71]) = (3, 84, 7);
        other.extend(b"/lib/ld\0");
        assert_eq!(path(&other).as_deref(), Some("/lib/ld"));
    }

    #[test]
    fn what_lies_behind_the_beginning_is_read_from_the_file() {
        let whole = elf("/lib/ld-musl-x86_64.so.1", 1_000_000);
        let name = std::env::temp_dir().join(format!("imgstep-elf-{:x}", fastrand::u64(..)));
        std::fs::write(&name, &whole).unwrap();
        let file = File::open(&name).unwrap();
        let found = of(&whole[..4096], Some(&file));
        std::fs::remove_file(&name).unwrap();
        assert_eq!(found.unwrap().path, b"/lib/ld-musl-x86_64.so.1");
        assert_eq!(of(&whole[..4096], None), None);
    }

    #[test]
    fn headers_that_lie_are_no_matter() {
        let good = elf("/lib/ld", 300);
        for at in 4..good.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = byte;
                let _ = of(&bad, None);
            }
            let _ = of(&good[..at], None);
        }
        let mut all = good;
        all[6..].fill(0xff);
        assert_eq!(of(&all, None), None);
    }
}
