//! Walks a folder tree or a file and yields a layer's entries, in an order and with metadata that don't depend on the
//! machine. Goes folder by folder, so that memory holds the names of the open folders only.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::credential_paths::{CredentialPaths, KnownPaths};
use super::directory::{Directory, DiskNode};
use super::exclusions::Exclusions;
use super::spec::{Dest, FileMode, LayerSpec};
use super::warnings::LayerWarnings;
use crate::error::{Error, Result};
use crate::text::printable;
use crate::workspace::{self, Found};

/// An entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerEntry {
    /// The path in the image, without leading or trailing slash.
    pub path: Vec<u8>,
    /// What it is.
    pub content: EntryContent,
    /// The permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u64, u64),
}

/// Receives entries one by one.
pub(crate) type Each<'a> = dyn FnMut(LayerEntry) -> Result<()> + 'a;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryContent {
    /// A folder.
    Folder,
    /// A file on disk.
    File(OnDisk),
    /// A file in memory; whiteouts are empty files.
    Bytes(Vec<u8>),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A hard link to a path in this layer.
    Hardlink(Vec<u8>),
}

/// A file on disk, open.
#[derive(Debug, Clone)]
pub(crate) struct OnDisk {
    /// Its name in errors.
    pub path: PathBuf,
    /// Its size in bytes when it was opened.
    pub size: u64,
    /// Its bytes.
    pub file: Arc<File>,
}

impl PartialEq for OnDisk {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.size) == (&other.path, other.size)
    }
}

impl Eq for OnDisk {}

/// A tree of files that becomes a layer, and the options that apply to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileTree {
    /// The folder or file, and where it goes.
    pub spec: LayerSpec,
    /// The patterns of `--exclude`.
    pub exclude: Vec<String>,
    /// Paths of credentials, which must not go into a layer.
    pub logins: CredentialPaths,
    /// There are no lower layers, so the standard folders must be created too.
    pub is_scratch: bool,
    /// The image is for Windows.
    pub is_windows: bool,
}

/// Folders that have the same mode and owner in every base that has them. They get an entry with these, whatever the
/// layer's options are, because without an entry the result depends on the unpacker. Docker with overlay2, containerd
/// and Podman create a new folder that hides the base's: Docker with 0755, even where /tmp or /root had another mode.
/// Docker with other drivers (vfs, btrfs, zfs) keeps an existing folder but creates a missing one with 0600, so that
/// only root can reach a program in it; minimal bases have neither /opt nor /usr/local. In ostree bases some of these
/// are links; those are replaced with or without an entry.
const STANDARD: [&str; 24] = [
    "boot",
    "etc",
    "home",
    "media",
    "mnt",
    "opt",
    "root",
    "run",
    "srv",
    "tmp",
    "usr",
    "usr/bin",
    "usr/include",
    "usr/lib",
    "usr/local",
    "usr/local/bin",
    "usr/local/lib",
    "usr/share",
    "var",
    "var/cache",
    "var/lib",
    "var/log",
    "var/spool",
    "var/tmp",
];

/// Paths that are symbolic links in many bases (`bin` to `usr/bin`) and folders in others, and those of the running
/// system. An entry would replace the link by a folder in every unpacker, so they get none.
const UNKNOWN: [&str; 14] = [
    "bin",
    "dev",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "proc",
    "sbin",
    "sys",
    "usr/lib32",
    "usr/lib64",
    "usr/sbin",
    "var/lock",
    "var/run",
];

/// Links found in most bases, and where they lead.
const LINKS: [(&str, &str); 8] = [
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib32", "usr/lib32"),
    ("lib64", "usr/lib64"),
    ("libx32", "usr/libx32"),
    ("sbin", "usr/sbin"),
    ("var/lock", "run/lock"),
    ("var/run", "run"),
];

/// The common link that a path in the image would go through, and where it leads.
pub(crate) fn through_link(path: &[u8]) -> Option<(&'static str, &'static str)> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let is_below = |(link, _): &&(&str, &str)| {
        path.strip_prefix(link.as_bytes()).is_some_and(|rest| rest.len() > 1 && rest.starts_with(b"/"))
    };
    LINKS.iter().find(is_below).copied()
}

/// Passes every entry of a layer to `each`: folders before their contents, names in byte order. Returns warnings for
/// the user.
///
/// # Errors
/// A file that can't be read or can't be part of a layer; a link that leads out of the layer's folder; a credential
/// path; errors of `each`.
pub(crate) fn walk(files: &FileTree, each: &mut Each<'_>) -> Result<LayerWarnings> {
    let spec = &files.spec;
    let found = workspace::find(&spec.path).map_err(Error::file("read", &spec.path))?;
    let known = KnownPaths::of(&files.logins);
    known.check_path(&found.path, &spec.path)?;
    let path = destination(spec, found.metadata.is_dir());
    let mut walk = Walk { files, known, links: HashMap::new(), cautions: LayerWarnings::default(), each };
    walk.parents(&path)?;
    if found.metadata.is_dir() {
        walk.tree(&path, found)?;
    } else {
        let entry = walk.entry(path, &spec.path, DiskNode::Found(found))?;
        (walk.each)(entry)?;
    }
    Ok(walk.cautions)
}

/// The destination of a folder or file in the image, without leading or trailing slash; empty for the root.
pub(crate) fn destination(spec: &LayerSpec, is_folder: bool) -> Vec<u8> {
    let own = spec.path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    match &spec.dest {
        Some(Dest { path, is_folder: into }) if is_folder || !into => path.as_bytes().to_vec(),
        Some(Dest { path, .. }) => join(path.as_bytes(), own),
        None if is_folder => Vec::new(),
        None => own.to_vec(),
    }
}

/// Whiteouts that remove these paths of the base (image specification, layer.md, "Whiteouts").
pub(crate) fn whiteouts(paths: &[String]) -> Vec<LayerEntry> {
    let whiteout = |path: &String| {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let path = join(parent.as_bytes(), format!(".wh.{name}").as_bytes());
        (path.clone(), LayerEntry { path, content: EntryContent::Bytes(Vec::new()), mode: 0o644, owner: (0, 0) })
    };
    paths.iter().map(whiteout).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// Converts an entry for a Windows layer: its path moves below `Files`.
pub(crate) fn for_windows(mut entry: LayerEntry) -> LayerEntry {
    entry.path = join(b"Files", &entry.path);
    if let EntryContent::Hardlink(target) = &mut entry.content {
        *target = join(b"Files", target);
    }
    entry
}

/// A folder that doesn't exist on disk.
pub(crate) fn folder(path: &[u8]) -> LayerEntry {
    LayerEntry { path: path.to_vec(), content: EntryContent::Folder, mode: folder_mode(path), owner: (0, 0) }
}

/// Joins a name to its parent; `parent` is empty for the root.
pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

struct Walk<'a> {
    files: &'a FileTree,
    known: KnownPaths,
    /// Files with several names: device and inode, and the name that was seen first.
    links: HashMap<(u64, u64), Vec<u8>>,
    cautions: LayerWarnings,
    each: &'a mut Each<'a>,
}

/// What is known about a folder of the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfBase {
    /// No base has it by convention.
    Not,
    /// Its mode and owner, if it exists.
    Standard,
    /// Unknown: it may be a link.
    Unknown,
}

impl Walk<'_> {
    /// Creates the parent folders of the layer's destination that the base may lack.
    fn parents(&mut self, path: &[u8]) -> Result<()> {
        for (cut, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            if self.of_base(&path[..cut]) != OfBase::Unknown {
                (self.each)(folder(&path[..cut]))?;
            }
        }
        Ok(())
    }

    /// Walks the layer's folder, whose destination is `root`.
    fn tree(&mut self, root: &[u8], found: Found) -> Result<()> {
        let spec = &self.files.spec;
        let own = self.folder_entry(root.to_vec(), &spec.path, &found.metadata);
        let folder = found.into();
        let ignored = Exclusions::of(&folder, &spec.path, &self.files.exclude)?;
        let top = Directory::read(folder, spec.path.clone(), Vec::new(), &ignored, &[])?;
        if !root.is_empty() {
            self.folder(own?, &top)?;
        }
        let mut levels = vec![top];
        while let Some(current) = levels.last_mut() {
            let Some(child) = current.next() else {
                levels.pop();
                continue;
            };
            let (from, inside) = (current.from.join(&child.name), join(&current.inside, child.name.as_bytes()));
            let node = current.open(&child)?;
            let path = join(root, &inside);
            if !child.is_on_the_way {
                levels.iter_mut().try_for_each(|level| self.on_the_way(level))?;
            }
            if let DiskNode::Found(found) = &node {
                self.known.check(&found.metadata, &from)?;
                if !child.is_on_the_way {
                    self.cautions.look_at(&inside, found, spec.mode == FileMode::Keep);
                }
            }
            match node {
                DiskNode::Found(found) if found.metadata.is_dir() => {
                    let entry = self.folder_entry(path, &from, &found.metadata)?;
                    let mut below = Directory::read(found.into(), from, inside, &ignored, &child.trail)?;
                    if child.is_on_the_way {
                        below.on_the_way = Some(entry);
                    } else {
                        self.folder(entry, &below)?;
                    }
                    levels.push(below);
                }
                node => {
                    let entry = self.entry(path, &from, node)?;
                    (self.each)(entry)?;
                }
            }
        }
        Ok(())
    }

    /// Emits an excluded folder because something below it is included.
    fn on_the_way(&mut self, level: &mut Directory) -> Result<()> {
        level.on_the_way.take().map_or(Ok(()), |entry| self.passed(entry))
    }

    fn folder(&mut self, entry: LayerEntry, level: &Directory) -> Result<()> {
        if level.is_empty() { (self.each)(entry) } else { self.passed(entry) }
    }

    /// Emits a parent folder with the base's mode and owner, as far as they are known.
    fn passed(&mut self, entry: LayerEntry) -> Result<()> {
        match self.of_base(&entry.path) {
            OfBase::Unknown => Ok(()),
            OfBase::Standard => (self.each)(folder(&entry.path)),
            OfBase::Not => (self.each)(entry),
        }
    }

    fn of_base(&self, path: &[u8]) -> OfBase {
        let is_one = |folders: &[&str]| folders.iter().any(|folder| folder.as_bytes() == path);
        if self.files.is_scratch || self.files.is_windows {
            OfBase::Not
        } else if is_one(&UNKNOWN) {
            OfBase::Unknown
        } else if is_one(&STANDARD) {
            OfBase::Standard
        } else {
            OfBase::Not
        }
    }

    fn folder_entry(&self, path: Vec<u8>, from: &Path, metadata: &Metadata) -> Result<LayerEntry> {
        check_name(&path, from)?;
        let mode = self.mode(&EntryContent::Folder, metadata.mode(), &path);
        Ok(LayerEntry { path, content: EntryContent::Folder, mode, owner: self.files.spec.owner })
    }

    /// Emits a file or a link.
    fn entry(&mut self, path: Vec<u8>, from: &Path, node: DiskNode) -> Result<LayerEntry> {
        check_name(&path, from)?;
        let (content, on_disk) = match node {
            DiskNode::Link(target) => (EntryContent::Symlink(target), 0),
            DiskNode::Found(found) => {
                let mode = found.metadata.mode();
                (self.file(&path, from, found), mode)
            }
        };
        let mode = self.mode(&content, on_disk, &path);
        Ok(LayerEntry { path, content, mode, owner: self.files.spec.owner })
    }

    /// Emits a file, or a hard link to the name under which it was seen before.
    fn file(&mut self, path: &[u8], from: &Path, found: Found) -> EntryContent {
        let metadata = found.metadata;
        if metadata.nlink() > 1 {
            let key = (metadata.dev(), metadata.ino());
            if let Some(first) = self.links.get(&key) {
                return EntryContent::Hardlink(first.clone());
            }
            self.links.insert(key, path.to_vec());
        }
        EntryContent::File(OnDisk { path: from.to_owned(), size: metadata.len(), file: Arc::new(found.file) })
    }

    fn mode(&self, content: &EntryContent, on_disk: u32, path: &[u8]) -> u32 {
        match (content, self.files.spec.mode) {
            // Systems disagree about the mode of a link.
            (EntryContent::Symlink(_), _) => 0o777,
            (_, FileMode::Keep) => on_disk & 0o7777,
            (EntryContent::Folder, _) => folder_mode(path),
            (_, FileMode::Fixed(mode)) => mode,
            (_, FileMode::Normal) if on_disk & 0o100 != 0 => 0o755,
            (_, FileMode::Normal) => 0o644,
        }
    }
}

fn check_name(path: &[u8], from: &Path) -> Result<()> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if !name.starts_with(b".wh.") {
        return Ok(());
    }
    let name = printable(&from.to_string_lossy(), 300);
    let error = Error::layer_input(format!("{name} is named like a whiteout (.wh.), which a layer can't contain"));
    Err(error.with_hint("leave it out with --exclude"))
}

/// The mode of a folder: some are known to need something other than 0755.
fn folder_mode(path: &[u8]) -> u32 {
    match path {
        b"tmp" | b"var/tmp" => 0o1777,
        b"root" => 0o700,
        _ => 0o755,
    }
}
