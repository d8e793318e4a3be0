//! Tar archives as we write them: ustar headers, and PAX records only where a header has no room (POSIX.1-2017, pax).

/// Tar's unit, in bytes.
pub const BLOCK: usize = 512;
/// What ends an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// The largest size that a header's eleven octal digits hold.
const SIZE_LIMIT: u64 = 0o777_7777_7777;
/// The largest user or group that a header's seven octal digits hold.
const OWNER_LIMIT: u64 = 0o777_7777;
/// A security descriptor by which users may run what a layer of Windows holds: owner and group are the built-in users
/// (Microsoft's self-relative binary form, in base64).
const WINDOWS_DESCRIPTOR: &[u8] = b"AQAAgBQAAAAkAAAAAAAAAAAAAAABAgAAAAAABSAAAAAhAgAAAQIAAAAAAAUgAAAAIQIAAA==";

/// What stands in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryType<'a> {
    /// A folder.
    Folder,
    /// A file, whose bytes follow.
    File,
    /// A symbolic link to this target.
    Symlink(&'a [u8]),
    /// Another name of this path in the archive.
    Hardlink(&'a [u8]),
}

/// One entry.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// The path, without slashes at its ends.
    pub path: &'a [u8],
    /// What it is.
    pub kind: EntryType<'a>,
    /// The permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u64, u64),
    /// The size of a file in bytes; 0 for all else.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// It is for Windows.
    pub windows: bool,
}

/// The zeros that follow a file of this size.
pub fn padding(size: u64) -> &'static [u8] {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    &END[..(BLOCK - over) % BLOCK]
}

/// The blocks that stand before an entry's bytes.
pub fn header(entry: &Header<'_>) -> Vec<u8> {
    let mut path = entry.path.to_vec();
    if entry.kind == EntryType::Folder {
        path.push(b'/');
    }
    let (target, flag) = match entry.kind {
        EntryType::File => (&b""[..], b'0'),
        EntryType::Hardlink(target) => (target, b'1'),
        EntryType::Symlink(target) => (target, b'2'),
        EntryType::Folder => (&b""[..], b'5'),
    };
    let mut records = Vec::new();
    if entry.windows {
        record(&mut records, "MSWINDOWS.rawsd", WINDOWS_DESCRIPTOR);
    }
    if entry.owner.1 > OWNER_LIMIT {
        record(&mut records, "gid", entry.owner.1.to_string().as_bytes());
    }
    if target.len() > 100 {
        record(&mut records, "linkpath", target);
    }
    if entry.mtime > SIZE_LIMIT {
        record(&mut records, "mtime", entry.mtime.to_string().as_bytes());
    }
    let split = split(&path);
    if split.is_none() {
        record(&mut records, "path", &path);
    }
    if entry.size > SIZE_LIMIT {
        record(&mut records, "size", entry.size.to_string().as_bytes());
    }
    if entry.owner.0 > OWNER_LIMIT {
        record(&mut records, "uid", entry.owner.0.to_string().as_bytes());
    }
    let mut out = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let size = records.len() as u64;
        let fields = Fields { prefix: b"", name: b"PaxHeaders/entry", target: b"", flag: b'x', size };
        out.extend(block(&Header { mode: 0o644, owner: (0, 0), ..*entry }, &fields));
        out.extend(&records);
        out.extend(padding(size));
    }
    // What a record says better is cut off here.
    let (prefix, name) = split.unwrap_or((b"", &path[..path.len().min(100)]));
    let target = &target[..target.len().min(100)];
    out.extend(block(entry, &Fields { prefix, name, target, flag, size: entry.size }));
    out
}

/// A path as prefix and name, where it fits: at most 155 and 100 bytes, with a slash between that is left out.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    // The name may itself end with a slash: the cut is before that.
    let cut = (0..path.len() - 1).rev().find(|at| path[*at] == b'/' && *at <= 155)?;
    let (prefix, name) = (&path[..cut], &path[cut + 1..]);
    (name.len() <= 100 && !prefix.is_empty()).then_some((prefix, name))
}

/// A PAX record: its own length in decimal digits, a space, `key=value`, a line's end.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend(format!("{length} {key}=").as_bytes());
    out.extend(value);
    out.push(b'\n');
}

struct Fields<'a> {
    prefix: &'a [u8],
    name: &'a [u8],
    target: &'a [u8],
    flag: u8,
    size: u64,
}

fn block(entry: &Header<'_>, fields: &Fields<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let octal = |value: u64, digits: usize, limit: u64| {
        let value = if value > limit { 0 } else { value };
        format!("{value:0digits$o}").into_bytes()
    };
    put(0, fields.name);
    put(100, &octal(u64::from(entry.mode & 0o7777), 7, OWNER_LIMIT));
    put(108, &octal(entry.owner.0, 7, OWNER_LIMIT));
    put(116, &octal(entry.owner.1, 7, OWNER_LIMIT));
    put(124, &octal(fields.size, 11, SIZE_LIMIT));
    put(136, &octal(entry.mtime, 11, SIZE_LIMIT));
    put(148, b"        ");
    put(156, &[fields.flag]);
    put(157, fields.target);
    put(257, b"ustar\x0000");
    put(329, b"0000000");
    put(337, b"0000000");
    put(345, fields.prefix);
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
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

    #[test]
    fn zeros_fill_the_last_block() {
        assert_eq!([0, 1, 511, 512, 513].map(|size| padding(size).len()), [0, 511, 1, 0, 511]);
    }
}
