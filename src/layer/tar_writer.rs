//! Writes tar archives: ustar headers, and PAX records only for what doesn't fit into a header (POSIX.1-2017, pax).
//!
//! The library encodes both. Their contents and order are decided here, because a layer's digest depends on them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// Tar's block size, in bytes.
pub const BLOCK: usize = 512;
/// The end of an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// The largest size that fits into a header's eleven octal digits.
const SIZE_LIMIT: u64 = 0o777_7777_7777;
/// The largest user or group that fits into a header's seven octal digits.
const OWNER_LIMIT: u64 = 0o777_7777;
/// A security descriptor that lets users run the files of a Windows layer: owner and group are the built-in users
/// (Microsoft's self-relative binary form, in base64).
const WINDOWS_DESCRIPTOR: &[u8] = b"AQAAgBQAAAAkAAAAAAAAAAAAAAABAgAAAAAABSAAAAAhAgAAAQIAAAAAAAUgAAAAIQIAAA==";

/// The type of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryType<'a> {
    /// A folder.
    Folder,
    /// A file, whose bytes follow.
    File,
    /// A symbolic link to this target.
    Symlink(&'a [u8]),
    /// A hard link to this path in the archive.
    Hardlink(&'a [u8]),
}

/// The header of an entry.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// The path, without leading or trailing slash.
    pub path: &'a [u8],
    /// What it is.
    pub kind: EntryType<'a>,
    /// The permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u64, u64),
    /// The size of a file in bytes; 0 for other types.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Whether it is for Windows.
    pub windows: bool,
}

/// The padding after a file of this size.
pub fn padding(size: u64) -> &'static [u8] {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    &END[..(BLOCK - over) % BLOCK]
}

/// The blocks before an entry's content.
pub fn header(entry: &Header<'_>) -> Vec<u8> {
    let mut path = entry.path.to_vec();
    if entry.kind == EntryType::Folder {
        path.push(b'/');
    }
    let (target, kind) = match entry.kind {
        EntryType::File => (&b""[..], tar::EntryType::Regular),
        EntryType::Hardlink(target) => (target, tar::EntryType::Link),
        EntryType::Symlink(target) => (target, tar::EntryType::Symlink),
        EntryType::Folder => (&b""[..], tar::EntryType::Directory),
    };
    let mut own = block(entry, kind, entry.size);
    let mut records: Vec<(&str, &[u8])> = Vec::new();
    let (owner, group) = (entry.owner.0.to_string(), entry.owner.1.to_string());
    let (mtime, size) = (entry.mtime.to_string(), entry.size.to_string());
    if entry.windows {
        records.push(("MSWINDOWS.rawsd", WINDOWS_DESCRIPTOR));
    }
    if entry.owner.1 > OWNER_LIMIT {
        records.push(("gid", group.as_bytes()));
    }
    if own.set_link_name_literal(target).is_err() {
        own.as_old_mut().linkname = beginning(target);
        records.push(("linkpath", target));
    }
    if entry.mtime > SIZE_LIMIT {
        records.push(("mtime", mtime.as_bytes()));
    }
    if own.set_path(OsStr::from_bytes(&path)).is_err() {
        name(&mut own, &path);
        records.push(("path", &path));
    }
    if entry.size > SIZE_LIMIT {
        records.push(("size", size.as_bytes()));
    }
    if entry.owner.0 > OWNER_LIMIT {
        records.push(("uid", owner.as_bytes()));
    }
    seal(&mut own);
    let mut out = extended(entry, records);
    out.extend(own.as_bytes());
    out
}

/// The header of these records and the records; empty if there are none.
fn extended(entry: &Header<'_>, records: Vec<(&str, &[u8])>) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    // Writing to a vector can't fail.
    let _ = archive.append_pax_extensions(records);
    let mut out = std::mem::take(archive.get_mut());
    // The library's own header has neither a name nor a mode.
    if let Some(written) = out.get_mut(..BLOCK) {
        let size = tar::Header::from_byte_slice(written).entry_size().unwrap_or_default();
        let mut header = block(&Header { mode: 0o644, owner: (0, 0), ..*entry }, tar::EntryType::XHeader, size);
        name(&mut header, b"PaxHeaders/entry");
        seal(&mut header);
        written.copy_from_slice(header.as_bytes());
    }
    out
}

/// A header without name, link and checksum. A number that doesn't fit, and is in a record instead, is 0.
fn block(entry: &Header<'_>, kind: tar::EntryType, size: u64) -> tar::Header {
    let within = |value: u64, limit: u64| if value > limit { 0 } else { value };
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(entry.mode & 0o7777);
    header.set_uid(within(entry.owner.0, OWNER_LIMIT));
    header.set_gid(within(entry.owner.1, OWNER_LIMIT));
    header.set_size(within(size, SIZE_LIMIT));
    header.set_mtime(within(entry.mtime, SIZE_LIMIT));
    // These fail only in headers of another format.
    let _ = header.set_device_major(0);
    let _ = header.set_device_minor(0);
    header
}

/// Puts as much of a path into a header as fits.
fn name(header: &mut tar::Header, path: &[u8]) {
    header.as_old_mut().name = beginning(path);
    // A failed attempt to split the path may have left its beginning here.
    if let Some(header) = header.as_ustar_mut() {
        header.prefix = [0; 155];
    }
}

/// The first bytes, padded with zeros.
fn beginning<const SIZE: usize>(bytes: &[u8]) -> [u8; SIZE] {
    let mut field = [0; SIZE];
    let length = bytes.len().min(SIZE);
    field[..length].copy_from_slice(&bytes[..length]);
    field
}

/// Sets the checksum as most writers do: six digits, a NUL and a space. The library writes seven digits.
fn seal(header: &mut tar::Header) {
    header.set_cksum();
    let sum = header.cksum().unwrap_or_default();
    header.as_old_mut().cksum.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &[u8]) -> Header<'_> {
        Header { path, kind: EntryType::File, mode: 0o644, owner: (0, 0), size: 0, mtime: 0, windows: false }
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn records_only_where_there_is_no_room() {
        assert_eq!(header(&file(b"a/b")).len(), BLOCK);
        let long = [vec![b'd'; 120], b"/".to_vec(), vec![b'n'; 90]].concat();
        assert_eq!(header(&file(&long)).len(), BLOCK, "prefix and name");
        let longer = vec![b'n'; 200];
        let blocks = header(&file(&longer));
        assert_eq!(blocks.len(), 3 * BLOCK);
        assert!(text(&blocks[BLOCK..]).starts_with(&format!("210 path={}\n", "n".repeat(200))));
        let large = Header { size: 9 << 30, ..file(b"large") };
        assert!(text(&header(&large)[BLOCK..]).starts_with("19 size=9663676416\n"));
        assert_eq!(header(&Header { size: SIZE_LIMIT, ..file(b"large") }).len(), BLOCK);
        let target = vec![b't'; 101];
        let link = Header { kind: EntryType::Symlink(&target), ..file(b"link") };
        assert!(text(&header(&link)[BLOCK..]).starts_with(&format!("115 linkpath={}\n", "t".repeat(101))));
        assert!(
            text(&header(&Header { owner: (3_000_000, 1), ..file(b"x") })[BLOCK..]).starts_with("15 uid=3000000\n")
        );
    }

    #[test]
    fn a_folder_ends_with_a_slash_and_a_name_need_not_be_utf_8() {
        let folder = header(&Header { kind: EntryType::Folder, mode: 0o755, ..file(b"a\xff") });
        assert!(folder.starts_with(b"a\xff/\0"));
        assert_eq!(folder[156], b'5');
        assert_eq!(&folder[100..107], b"0000755");
    }

    /// A path, the target of a link, the owner, a size and a mode.
    type Read = (Vec<u8>, Option<Vec<u8>>, (u64, u64), u64, u32);

    /// An entry as read by the library.
    fn read(entry: &Header<'_>) -> Read {
        let blocks = header(entry);
        let mut archive = tar::Archive::new(&blocks[..]);
        let read = archive.entries().unwrap().next().unwrap().unwrap();
        let link = read.link_name_bytes().map(std::borrow::Cow::into_owned);
        let own = read.header();
        (
            read.path_bytes().into_owned(),
            link,
            (own.uid().unwrap(), own.gid().unwrap()),
            read.size(),
            own.mode().unwrap(),
        )
    }

    #[test]
    fn others_read_what_is_written() {
        let (name, long) = (vec![b'n'; 100], [&[b'd'; 155][..], b"/", &[b'n'; 100]].concat());
        let longer = [&[b'd'; 156][..], b"/n"].concat();
        for path in [&b"a"[..], b"a\xff\n", &name, &long, &longer] {
            assert_eq!(read(&file(path)), (path.to_vec(), None, (0, 0), 0, 0o644));
        }
        let link = Header { kind: EntryType::Symlink(&longer), mode: 0o777, ..file(&longer) };
        assert_eq!(read(&link), (longer.clone(), Some(longer.clone()), (0, 0), 0, 0o777));
        let large = Header { size: 9 << 30, owner: (1 << 30, 7), mtime: 1 << 34, mode: 0o4755, ..file(b"x") };
        assert_eq!(read(&large), (b"x".to_vec(), None, (1 << 30, 7), 9 << 30, 0o4755));
        // This reader only fails on a name that contains a newline and doesn't fit into a header.
        let two_lines = [&[b'd'; 156][..], b"\n"].concat();
        assert_ne!(read(&file(&two_lines)).0, two_lines);
    }

    #[test]
    fn zeros_fill_the_last_block() {
        assert_eq!([0, 1, 511, 512, 513].map(|size| padding(size).len()), [0, 511, 1, 0, 511]);
    }
}
