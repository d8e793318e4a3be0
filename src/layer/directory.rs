//! Lists a folder on disk for a layer: which names to include, and what each one is. Never follows links, so a file
//! that is swapped for one in the meantime leads nowhere.
//!
//! A mounted ConfigMap or Secret presents its files as links through `..data` into a folder with a timestamp in its
//! name. A layer gets just the files, and so the same bytes in every Pod.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::dockerignore::Trail;
use super::exclusions::{Exclusion, Exclusions};
use super::walk::{LayerEntry, join};
use crate::error::{Error, Result};
use crate::text::printable;
use crate::workspace::{Folder, Found};

/// The link that a mounted volume points to its current folder with.
const DATA: &str = "..data";

/// A folder during the walk.
pub(super) struct Directory {
    /// Its path on disk, for errors.
    pub from: PathBuf,
    /// Its path relative to the layer's folder, for patterns.
    pub inside: Vec<u8>,
    /// Its own entry, pending until something below it is included.
    pub on_the_way: Option<LayerEntry>,
    folder: Folder,
    /// The folder that `..data` points to.
    volume: Option<Folder>,
    /// The names still to visit.
    names: std::vec::IntoIter<DirectoryChild>,
}

/// A name in a folder.
pub(super) struct DirectoryChild {
    /// It.
    pub name: OsString,
    /// Include it only if something below is included.
    pub is_on_the_way: bool,
    /// The pattern state for paths below it.
    pub trail: Trail,
    kind: FileType,
    /// In a mounted volume: its path below `..data`.
    through: Option<PathBuf>,
}

/// What a name refers to.
pub(super) enum DiskNode {
    /// A folder or a file.
    Found(Found),
    /// A symbolic link and its target.
    Link(Vec<u8>),
}

impl Directory {
    /// Opens a folder and lists the names that the patterns include, in byte order.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn read(
        folder: Folder,
        from: PathBuf,
        inside: Vec<u8>,
        ignored: &Exclusions,
        trail: &[bool],
    ) -> Result<Self> {
        let mut listed = folder.list().map_err(Error::file("read the folder", &from))?;
        let volume = volume(&folder, &listed);
        if volume.is_some() {
            listed.retain(|(name, _)| !name.as_bytes().starts_with(b".."));
        }
        let mut names = Vec::new();
        for (name, kind) in listed {
            let (kind, through) = match &volume {
                Some(volume) if kind == FileType::Symlink => in_volume(&folder, volume, &name),
                _ => (kind, None),
            };
            let path = join(&inside, name.as_bytes());
            let (verdict, trail) = ignored.judge(&path, kind == FileType::Directory, trail);
            if verdict != Exclusion::Out {
                names.push(DirectoryChild {
                    name,
                    is_on_the_way: verdict == Exclusion::OnTheWay,
                    trail,
                    kind,
                    through,
                });
            }
        }
        names.sort_unstable_by(|one, other| one.name.as_bytes().cmp(other.name.as_bytes()));
        Ok(Self { from, inside, on_the_way: None, folder, volume, names: names.into_iter() })
    }

    /// The next name.
    pub(super) fn next(&mut self) -> Option<DirectoryChild> {
        self.names.next()
    }

    /// Whether all names have been visited.
    pub(super) fn is_empty(&self) -> bool {
        self.names.len() == 0
    }

    /// Opens what a name refers to.
    ///
    /// # Errors
    /// It can't be read, or a layer can't hold it.
    pub(super) fn open(&self, child: &DirectoryChild) -> Result<DiskNode> {
        let from = self.from.join(&child.name);
        let refuse = |what: &str| {
            let name = printable(&from.to_string_lossy(), 300);
            let error = Error::layer_input(format!("{name} is {what}, which a layer can't contain"));
            Err(error.with_hint("leave it out with --exclude"))
        };
        let found = match (child.kind, &self.volume, &child.through) {
            (_, Some(volume), Some(through)) => volume.find(through),
            (FileType::Symlink, ..) => {
                return self.folder.link(&child.name).map(DiskNode::Link).map_err(Error::file("read the link", from));
            }
            (FileType::RegularFile | FileType::Directory, ..) => self.folder.open_in(&child.name),
            (FileType::Socket, ..) => return refuse("a socket"),
            (FileType::Fifo, ..) => return refuse("a named pipe"),
            _ => return refuse("a device"),
        };
        found.map(DiskNode::Found).map_err(Error::file("read", from))
    }
}

/// The target of `..data` if a folder is a mounted volume: a link to a sibling folder.
fn volume(folder: &Folder, listed: &[(OsString, FileType)]) -> Option<Folder> {
    listed.iter().find(|(name, kind)| name == DATA && *kind == FileType::Symlink)?;
    let target = folder.link(OsStr::new(DATA)).ok()?;
    let is_beside = target.starts_with(b"..") && target.len() > 2 && !target.contains(&b'/');
    let found = folder.open_in(OsStr::from_bytes(&target)).ok().filter(|found| is_beside && found.metadata.is_dir())?;
    Some(found.into())
}

/// What a link in a volume refers to, if it leads through `..data`.
fn in_volume(folder: &Folder, volume: &Folder, name: &OsStr) -> (FileType, Option<PathBuf>) {
    let target = folder.link(name).unwrap_or_default();
    let Ok(through) = Path::new(OsStr::from_bytes(&target)).strip_prefix(DATA) else {
        return (FileType::Symlink, None);
    };
    match volume.find(through) {
        Ok(found) => {
            let kind = if found.metadata.is_dir() { FileType::Directory } else { FileType::RegularFile };
            (kind, Some(through.to_owned()))
        }
        Err(_) => (FileType::Symlink, None),
    }
}
