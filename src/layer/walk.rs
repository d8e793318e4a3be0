//! What goes into a layer: a folder's tree or a file, in an order and with metadata that no machine decides.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::ignore::{IGNORE_FILE, Patterns};
use super::spec::{Dest, LayerSpec, Mode};
use crate::error::{Error, Result, printable};

/// An entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path in the image, without slashes at its ends.
    pub path: Vec<u8>,
    /// What it is.
    pub content: Content,
    /// The permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u64, u64),
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A folder.
    Folder,
    /// A file on disk, and its size in bytes when it was looked at.
    File(PathBuf, u64),
    /// An empty file: a whiteout.
    Empty,
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// Another name of a path in this layer.
    Hardlink(Vec<u8>),
}

/// What a walk must know beside the layer's own words.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The patterns of `--exclude`.
    pub exclude: &'a [String],
    /// There is nothing below: folders that every base has must be made too.
    pub is_scratch: bool,
    /// The image is for Windows.
    pub is_windows: bool,
}

/// Folders that every base has, some as symbolic links (`bin` into `usr`) or with modes of their own. An entry of ours
/// would put another in their place; files go through them.
const STANDARD: [&str; 38] = [
    "bin",
    "boot",
    "dev",
    "etc",
    "home",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "media",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "sbin",
    "srv",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/include",
    "usr/lib",
    "usr/lib32",
    "usr/lib64",
    "usr/local",
    "usr/local/bin",
    "usr/local/lib",
    "usr/sbin",
    "usr/share",
    "var",
    "var/cache",
    "var/lib",
    "var/lock",
    "var/log",
    "var/run",
    "var/spool",
    "var/tmp",
];

/// All entries of a layer, sorted bytewise by path, so that folders stand before what is in them.
///
/// # Errors
/// A file that can't be read, or that can't stand in a layer.
pub fn entries(spec: &LayerSpec, surroundings: &Surroundings<'_>) -> Result<Vec<Entry>> {
    let metadata = fs::metadata(&spec.path).map_err(Error::file("read", &spec.path))?;
    let mut walk = Walk { spec, found: BTreeMap::new(), links: HashMap::new() };
    if metadata.is_dir() {
        let root = spec.dest.as_ref().map(|dest| dest.path.clone()).unwrap_or_default();
        if !root.is_empty() {
            walk.add(root.as_bytes().to_vec(), &spec.path, &metadata)?;
        }
        walk.tree(root.as_bytes(), &patterns(&spec.path, surroundings.exclude)?)?;
    } else {
        let own = spec.path.file_name().map(OsStr::as_bytes).unwrap_or_default();
        let path = match &spec.dest {
            Some(Dest { path, is_folder: false }) => path.as_bytes().to_vec(),
            Some(Dest { path, .. }) => join(path.as_bytes(), own),
            None => own.to_vec(),
        };
        walk.add(path, &spec.path, &metadata)?;
    }
    Ok(walk.finish(surroundings))
}

/// The whiteouts that let these paths of the base disappear (image specification, layer.md, "Whiteouts").
pub fn whiteouts(paths: &[String]) -> Vec<Entry> {
    let whiteout = |path: &String| {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let path = join(parent.as_bytes(), format!(".wh.{name}").as_bytes());
        (path.clone(), Entry { path, content: Content::Empty, mode: 0o644, owner: (0, 0) })
    };
    paths.iter().map(whiteout).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// The entries as a layer of Windows has them: below `Files`, with `Hives` beside it.
pub fn for_windows(entries: Vec<Entry>) -> Vec<Entry> {
    let folder = |path: &[u8]| Entry { path: path.to_vec(), content: Content::Folder, mode: 0o755, owner: (0, 0) };
    let below = entries.into_iter().map(|mut entry| {
        entry.path = join(b"Files", &entry.path);
        if let Content::Hardlink(target) = &mut entry.content {
            *target = join(b"Files", target);
        }
        entry
    });
    [folder(b"Files")].into_iter().chain(below).chain([folder(b"Hives")]).collect()
}

fn patterns(folder: &Path, exclude: &[String]) -> Result<Patterns> {
    let file = folder.join(IGNORE_FILE);
    let mut patterns = match fs::read_to_string(&file) {
        Ok(text) => Patterns::parse(&text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Patterns::default(),
        Err(error) => return Err(Error::file("read", file)(error)),
    };
    patterns.add(exclude)?;
    Ok(patterns)
}

fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

struct Walk<'a> {
    spec: &'a LayerSpec,
    found: BTreeMap<Vec<u8>, Entry>,
    /// Files with several names: device and inode, and all paths.
    links: HashMap<(u64, u64), Vec<Vec<u8>>>,
}

impl Walk<'_> {
    /// All below the layer's folder.
    fn tree(&mut self, root: &[u8], patterns: &Patterns) -> Result<()> {
        let mut folders = vec![(self.spec.path.clone(), Vec::new())];
        while let Some((folder, inside)) = folders.pop() {
            let fail = |error| Error::file("read the folder", &folder)(error);
            for child in fs::read_dir(&folder).map_err(fail)? {
                let child = child.map_err(fail)?;
                let name = child.file_name();
                let path = join(&inside, name.as_bytes());
                let metadata = fs::symlink_metadata(child.path()).map_err(Error::file("read", child.path()))?;
                if path == IGNORE_FILE.as_bytes() || patterns.exclude(&path, metadata.is_dir()) {
                    continue;
                }
                self.add(join(root, &path), &child.path(), &metadata)?;
                if metadata.is_dir() {
                    folders.push((child.path(), path));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, path: Vec<u8>, from: &Path, metadata: &Metadata) -> Result<()> {
        let refuse = |what: &str| {
            let name = printable(&from.to_string_lossy(), 300);
            Err(Error::Other(format!("{name} is {what}, which a layer can't hold; leave it out with --exclude")))
        };
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if name.starts_with(b".wh.") {
            return refuse("named like a mark of deletion (.wh.)");
        }
        let kind = metadata.file_type();
        let content = if kind.is_dir() {
            Content::Folder
        } else if kind.is_file() {
            if metadata.nlink() > 1 {
                self.links.entry((metadata.dev(), metadata.ino())).or_default().push(path.clone());
            }
            Content::File(from.to_owned(), metadata.len())
        } else if kind.is_symlink() {
            let target = fs::read_link(from).map_err(Error::file("read the link", from))?;
            Content::Symlink(target.into_os_string().as_bytes().to_vec())
        } else if kind.is_socket() {
            return refuse("a socket");
        } else if kind.is_fifo() {
            return refuse("a named pipe");
        } else {
            return refuse("a device");
        };
        let mode = self.mode(&content, metadata.mode(), &path);
        self.found.insert(path.clone(), Entry { path, content, mode, owner: self.spec.owner });
        Ok(())
    }

    fn mode(&self, content: &Content, on_disk: u32, path: &[u8]) -> u32 {
        match (content, self.spec.mode) {
            // What a link's own mode is, systems don't agree on.
            (Content::Symlink(_), _) => 0o777,
            (_, Mode::Keep) => on_disk & 0o7777,
            (Content::Folder, _) => folder_mode(path),
            (_, Mode::Fixed(mode)) => mode,
            (_, Mode::Normal) if on_disk & 0o100 != 0 => 0o755,
            (_, Mode::Normal) => 0o644,
        }
    }

    fn finish(mut self, surroundings: &Surroundings<'_>) -> Vec<Entry> {
        for mut paths in std::mem::take(&mut self.links).into_values() {
            paths.sort();
            for path in &paths[1..] {
                if let Some(entry) = self.found.get_mut(path) {
                    entry.content = Content::Hardlink(paths[0].clone());
                }
            }
        }
        // Parents of where the layer begins; below it the walk has met them all.
        let mut parents: HashSet<Vec<u8>> = HashSet::new();
        for path in self.found.keys() {
            let cuts = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            parents.extend(cuts.map(|at| path[..at].to_vec()));
        }
        for path in &parents {
            let entry =
                || Entry { path: path.clone(), content: Content::Folder, mode: folder_mode(path), owner: (0, 0) };
            self.found.entry(path.clone()).or_insert_with(entry);
        }
        let base_has_it = |entry: &Entry| {
            let standard = STANDARD.iter().any(|standard| standard.as_bytes() == entry.path);
            standard && parents.contains(&entry.path) && entry.content == Content::Folder
        };
        let leave_out = !surroundings.is_scratch && !surroundings.is_windows;
        self.found.into_values().filter(|entry| !(leave_out && base_has_it(entry))).collect()
    }
}

/// The mode of a folder: some are known to need another than 0755.
fn folder_mode(path: &[u8]) -> u32 {
    match path {
        b"tmp" | b"var/tmp" => 0o1777,
        b"root" => 0o700,
        _ => 0o755,
    }
}
