//! What goes into a layer: a folder's tree or a file, in an order and with metadata that no machine decides. It is walked
//! folder by folder, so that memory holds the names of the folders on the way and not those of all files.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
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

/// Takes entries, one after the other.
pub type Each<'a> = dyn FnMut(Entry) -> Result<()> + 'a;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A folder.
    Folder,
    /// A file on disk, and its size in bytes when it was looked at.
    File(PathBuf, u64),
    /// A file that is in memory; a whiteout is an empty one.
    Bytes(Vec<u8>),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// Another name of a path in this layer.
    Hardlink(Vec<u8>),
}

/// Files on disk that become a layer, and what a walk must know beside the layer's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The folder or file, and where it goes.
    pub spec: LayerSpec,
    /// The patterns of `--exclude`.
    pub exclude: Vec<String>,
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

/// Hands every entry of a layer to `each`: folders before what is in them, names in the order of their bytes.
///
/// # Errors
/// A file that can't be read, or that can't stand in a layer; those of `each`.
pub fn walk(files: &Files, each: &mut Each<'_>) -> Result<()> {
    let spec = &files.spec;
    let metadata = fs::metadata(&spec.path).map_err(Error::file("read", &spec.path))?;
    let mut walk = Walk { files, links: HashMap::new(), each };
    let path = destination(spec, metadata.is_dir());
    walk.parents(&path)?;
    if metadata.is_dir() {
        return walk.tree(&path, &metadata);
    }
    let entry = walk.entry(path, &spec.path, &metadata)?;
    (walk.each)(entry)
}

/// Where a folder, or a file, goes in the image: without slashes at its ends, empty for the root.
pub fn destination(spec: &LayerSpec, is_folder: bool) -> Vec<u8> {
    let own = spec.path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    match &spec.dest {
        Some(Dest { path, is_folder: into }) if is_folder || !into => path.as_bytes().to_vec(),
        Some(Dest { path, .. }) => join(path.as_bytes(), own),
        None if is_folder => Vec::new(),
        None => own.to_vec(),
    }
}

/// The whiteouts that let these paths of the base disappear (image specification, layer.md, "Whiteouts").
pub fn whiteouts(paths: &[String]) -> Vec<Entry> {
    let whiteout = |path: &String| {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let path = join(parent.as_bytes(), format!(".wh.{name}").as_bytes());
        (path.clone(), Entry { path, content: Content::Bytes(Vec::new()), mode: 0o644, owner: (0, 0) })
    };
    paths.iter().map(whiteout).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// An entry as a layer of Windows has it: below `Files`.
pub fn for_windows(mut entry: Entry) -> Entry {
    entry.path = join(b"Files", &entry.path);
    if let Content::Hardlink(target) = &mut entry.content {
        *target = join(b"Files", target);
    }
    entry
}

/// A folder that nobody has on disk.
pub fn folder(path: &[u8]) -> Entry {
    Entry { path: path.to_vec(), content: Content::Folder, mode: folder_mode(path), owner: (0, 0) }
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
    files: &'a Files,
    /// Files with several names: device and inode, and the name that was met first.
    links: HashMap<(u64, u64), Vec<u8>>,
    each: &'a mut Each<'a>,
}

/// A folder that is being walked.
struct Level {
    /// Where it is on disk.
    from: PathBuf,
    /// Its path from the layer's folder on, by which patterns know it.
    inside: Vec<u8>,
    /// The names in it that are still to be visited.
    names: std::vec::IntoIter<OsString>,
}

impl Walk<'_> {
    /// The folders above where the layer begins, as far as the base may lack them.
    fn parents(&mut self, path: &[u8]) -> Result<()> {
        for (cut, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            if !self.base_has(&path[..cut]) {
                (self.each)(folder(&path[..cut]))?;
            }
        }
        Ok(())
    }

    /// The layer's folder, which goes to `root`, and all below it.
    fn tree(&mut self, root: &[u8], metadata: &Metadata) -> Result<()> {
        let spec = &self.files.spec;
        let patterns = patterns(&spec.path, &self.files.exclude)?;
        let top = level(spec.path.clone(), Vec::new(), &patterns)?;
        if !root.is_empty() {
            self.folder(root.to_vec(), &spec.path, metadata, &top)?;
        }
        let mut levels = vec![top];
        while let Some(current) = levels.last_mut() {
            let Some(name) = current.names.next() else {
                levels.pop();
                continue;
            };
            let (from, inside) = (current.from.join(&name), join(&current.inside, name.as_bytes()));
            let metadata = fs::symlink_metadata(&from).map_err(Error::file("read", &from))?;
            let path = join(root, &inside);
            if metadata.is_dir() {
                let below = level(from.clone(), inside, &patterns)?;
                self.folder(path, &from, &metadata, &below)?;
                levels.push(below);
            } else {
                let entry = self.entry(path, &from, &metadata)?;
                (self.each)(entry)?;
            }
        }
        Ok(())
    }

    /// A folder, unless the base has it and it is only on the way to something else.
    fn folder(&mut self, path: Vec<u8>, from: &Path, metadata: &Metadata, level: &Level) -> Result<()> {
        if level.names.len() > 0 && self.base_has(&path) {
            return Ok(());
        }
        let entry = self.entry(path, from, metadata)?;
        (self.each)(entry)
    }

    fn base_has(&self, path: &[u8]) -> bool {
        let leave_out = !self.files.is_scratch && !self.files.is_windows;
        leave_out && STANDARD.iter().any(|standard| standard.as_bytes() == path)
    }

    fn entry(&mut self, path: Vec<u8>, from: &Path, metadata: &Metadata) -> Result<Entry> {
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
            self.file(&path, from, metadata)
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
        Ok(Entry { path, content, mode, owner: self.files.spec.owner })
    }

    /// A file, or a link to the name under which it was met before.
    fn file(&mut self, path: &[u8], from: &Path, metadata: &Metadata) -> Content {
        if metadata.nlink() > 1 {
            let key = (metadata.dev(), metadata.ino());
            if let Some(first) = self.links.get(&key) {
                return Content::Hardlink(first.clone());
            }
            self.links.insert(key, path.to_vec());
        }
        Content::File(from.to_owned(), metadata.len())
    }

    fn mode(&self, content: &Content, on_disk: u32, path: &[u8]) -> u32 {
        match (content, self.files.spec.mode) {
            // What a link's own mode is, systems don't agree on.
            (Content::Symlink(_), _) => 0o777,
            (_, Mode::Keep) => on_disk & 0o7777,
            (Content::Folder, _) => folder_mode(path),
            (_, Mode::Fixed(mode)) => mode,
            (_, Mode::Normal) if on_disk & 0o100 != 0 => 0o755,
            (_, Mode::Normal) => 0o644,
        }
    }
}

/// A folder with the names in it that patterns let in, in the order of their bytes.
fn level(from: PathBuf, inside: Vec<u8>, patterns: &Patterns) -> Result<Level> {
    let fail = |error| Error::file("read the folder", &from)(error);
    let mut names = Vec::new();
    for child in fs::read_dir(&from).map_err(fail)? {
        let child = child.map_err(fail)?;
        let name = child.file_name();
        let path = join(&inside, name.as_bytes());
        let kind = child.file_type().map_err(Error::file("read", child.path()))?;
        if path != IGNORE_FILE.as_bytes() && !patterns.exclude(&path, kind.is_dir()) {
            names.push(name);
        }
    }
    names.sort_unstable_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    Ok(Level { from, inside, names: names.into_iter() })
}

/// The mode of a folder: some are known to need another than 0755.
fn folder_mode(path: &[u8]) -> u32 {
    match path {
        b"tmp" | b"var/tmp" => 0o1777,
        b"root" => 0o700,
        _ => 0o755,
    }
}
