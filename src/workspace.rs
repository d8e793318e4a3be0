//! Files that a user names, opened so that no link leads out of where their path starts: what is in a workspace was
//! often written by others, and must not decide what else is read on this machine.
//!
//! A path in the working directory may use links that stay in the working directory. On any other path, a link must
//! stay in its own folder: `current -> releases/7`, and `/tmp -> private/tmp` on macOS. Links are followed here, name
//! by name with the folders held open, and never by the system, so that a link that changes meanwhile leads nowhere
//! else.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, readlinkat, statat};

use crate::text::printable;

/// How many links are followed on a path, as in Linux.
const LINKS_LIMIT: usize = 40;

/// A folder that is only passed through.
#[cfg(any(target_os = "linux", target_os = "android"))]
const THROUGH: OFlags = OFlags::PATH;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const THROUGH: OFlags = OFlags::RDONLY;

/// A link leads elsewhere.
#[derive(Debug, thiserror::Error)]
#[error(
    "the link {link} leads to {target}, out of {folder}; name what it stands for itself, or put a copy in its place"
)]
struct LeadsOut {
    link: String,
    target: String,
    folder: String,
}

/// A file or folder that was opened.
#[derive(Debug)]
pub(crate) struct Found {
    /// It, for reading.
    pub file: File,
    /// Its metadata.
    pub metadata: Metadata,
    /// Its path without links.
    pub path: PathBuf,
}

/// A folder, held open.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl From<Found> for Folder {
    fn from(found: Found) -> Self {
        Self { fd: found.file.into(), path: found.path }
    }
}

/// Where a path ends: in this folder, under this name; without a name, it is the folder itself.
struct End {
    folder: Folder,
    name: Option<OsString>,
}

/// Opens the file or folder that a user named.
///
/// # Errors
/// It doesn't exist, may not be read, is neither a file nor a folder, or a link leads out of where the path starts.
pub(crate) fn find(path: &Path) -> io::Result<Found> {
    follow(path)?.open()
}

/// The named pipe that a user named, to be opened by its reader; `None` if it is something else.
///
/// # Errors
/// It doesn't exist, or a link leads out of where the path starts.
pub(crate) fn pipe(path: &Path) -> io::Result<Option<PathBuf>> {
    let end = follow(path)?;
    Ok(end.is(FileType::Fifo)?.then(|| end.path()))
}

/// Opens a file that a user named for reading.
///
/// # Errors
/// Those of [`find`]; it is a folder.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // What a shell opened, as `<(command)`, is a file of its own.
    if is_descriptor(path) { File::open(path) } else { find(path)?.into_file() }
}

/// Reads a file that a user named: at most `limit` bytes.
///
/// # Errors
/// Those of [`open`]; it is larger.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    bounded(open(path)?, limit)
}

/// Reads a file of the machine, which systems link to across folders; in the working directory, as [`read`].
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_linked(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if is_descriptor(path) || in_working_directory(path).is_some() {
        return read(path, limit);
    }
    read(&path.canonicalize()?, limit)
}

/// Checks that no link leads out of the working directory on a path in it that will be written, and may not exist yet.
///
/// # Errors
/// One does.
pub(crate) fn stays(path: &Path) -> io::Result<()> {
    let Some((here, inside)) = in_working_directory(path) else { return Ok(()) };
    match here.follow(&inside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map(drop),
    }
}

/// The folder that a user named, to work in; in the working directory, no link leads out of that.
///
/// # Errors
/// It doesn't exist, or isn't a folder.
pub(crate) fn folder(path: &Path) -> io::Result<Folder> {
    match in_working_directory(path) {
        Some((here, inside)) => here.follow(&inside)?.into_folder(),
        None => Folder::open(path),
    }
}

/// As [`folder`], but creates it if it doesn't exist.
///
/// # Errors
/// As [`folder`]; it can't be created.
pub(crate) fn make_folder(path: &Path) -> io::Result<Folder> {
    for above in path.ancestors().filter(|above| !above.as_os_str().is_empty()) {
        match folder(above) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    fs::create_dir_all(path)?;
    folder(path)
}

/// Reads `from` to its end: at most `limit` bytes.
///
/// # Errors
/// It can't be read, or is larger.
pub(crate) fn bounded(from: impl io::Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes, which is the limit")));
    }
    Ok(bytes)
}

/// The flag of `OpenOptions` with which a link is refused instead of followed.
pub(crate) fn no_follow() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

impl Found {
    /// Reads the file: at most `limit` bytes.
    ///
    /// # Errors
    /// It is a folder, is larger, or can't be read.
    pub(crate) fn read(self, limit: u64) -> io::Result<Vec<u8>> {
        bounded(self.into_file()?, limit)
    }

    /// The file, if it is one.
    ///
    /// # Errors
    /// It is a folder.
    pub(crate) fn into_file(self) -> io::Result<File> {
        if self.metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
        }
        Ok(self.file)
    }
}

impl Folder {
    /// A folder by its path, in which links are followed wherever they lead.
    ///
    /// # Errors
    /// It doesn't exist, or isn't a folder.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let fd = rustix::fs::open(&path, THROUGH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd, path })
    }

    /// The names in it, and their types: a link is a link.
    ///
    /// # Errors
    /// It can't be read.
    pub(crate) fn list(&self) -> io::Result<Vec<(OsString, FileType)>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems only return types for single names.
                FileType::Unknown => kind(self, name)?,
                known => known,
            };
            names.push((name.to_owned(), kind));
        }
        Ok(names)
    }

    /// The target of a link in it.
    ///
    /// # Errors
    /// It isn't a link.
    pub(crate) fn link(&self, name: &OsStr) -> io::Result<Vec<u8>> {
        Ok(readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }

    /// Opens a file or folder in it by its name; links are refused.
    ///
    /// # Errors
    /// As [`find`].
    pub(crate) fn open_in(&self, name: &OsStr) -> io::Result<Found> {
        open_known(&self.fd, name, self.path.join(name))
    }

    /// Opens a file or folder in it; links may lead anywhere in it, but not out of it.
    ///
    /// # Errors
    /// As [`find`].
    pub(crate) fn find(&self, inside: &Path) -> io::Result<Found> {
        self.end(inside)?.open()
    }

    /// The path, without links, of something in it that exists.
    ///
    /// # Errors
    /// It doesn't exist, or a link leads out of this folder.
    pub(crate) fn resolve(&self, inside: &Path) -> io::Result<PathBuf> {
        self.end(inside).map(|end| end.path())
    }

    fn end(&self, inside: &Path) -> io::Result<End> {
        self.try_clone()?.follow(inside)
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, path: self.path.clone() })
    }

    /// Follows a path from here on, through links that stay in this folder.
    fn follow(self, inside: &Path) -> io::Result<End> {
        let floor = self.path.clone();
        let mut way = vec![self];
        let mut words = words(inside);
        let mut links: Vec<(PathBuf, OsString)> = Vec::new();
        while let Some(word) = words.pop() {
            let out = |links: &[(PathBuf, OsString)]| leads_out(links, inside, &floor);
            let Some(here) = way.last() else { return Err(out(&links)) };
            if word == ".." {
                way.pop();
                if way.is_empty() {
                    return Err(out(&links));
                }
                continue;
            }
            let kind = kind(here, &word)?;
            if kind == FileType::Symlink {
                let target = OsString::from_vec(readlinkat(&here.fd, &word, Vec::new())?.into_bytes());
                links.push((here.path.join(&word), target.clone()));
                if links.len() > LINKS_LIMIT {
                    return Err(rustix::io::Errno::LOOP.into());
                }
                let target = Path::new(&target);
                if target.is_absolute() {
                    let inside = target.strip_prefix(&floor).map_err(|_| out(&links))?;
                    way.truncate(1);
                    words.extend(self::words(inside));
                } else {
                    words.extend(self::words(target));
                }
            } else if words.is_empty() {
                return way.pop().map(|folder| End { folder, name: Some(word) }).ok_or_else(|| out(&links));
            } else {
                let below = here.enter(&word)?;
                way.push(below);
            }
        }
        way.pop().map(|folder| End { folder, name: None }).ok_or_else(|| leads_out(&links, inside, &floor))
    }

    fn enter(&self, name: &OsStr) -> io::Result<Self> {
        let flags = THROUGH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path =
            if name == ".." { self.path.parent().unwrap_or(&self.path).to_owned() } else { self.path.join(name) };
        Ok(Self { fd: openat(&self.fd, name, flags, Mode::empty())?, path })
    }
}

impl End {
    fn is(&self, wanted: FileType) -> io::Result<bool> {
        self.name.as_ref().map_or(Ok(false), |name| Ok(kind(&self.folder, name)? == wanted))
    }

    fn path(&self) -> PathBuf {
        self.name.as_ref().map_or_else(|| self.folder.path.clone(), |name| self.folder.path.join(name))
    }

    fn into_folder(self) -> io::Result<Folder> {
        match &self.name {
            None => Ok(self.folder),
            Some(name) => self.folder.enter(name),
        }
    }

    /// Opens it, if it is a file or a folder: opening a pipe would wait for its writer, and devices have no end.
    fn open(self) -> io::Result<Found> {
        let path = self.path();
        let name = self.name.as_deref().unwrap_or(OsStr::new("."));
        let what = match kind(&self.folder, name)? {
            FileType::RegularFile | FileType::Directory => return open_known(&self.folder.fd, name, path),
            FileType::Symlink => "a link",
            FileType::Fifo => "a named pipe",
            FileType::Socket => "a socket",
            _ => "a device",
        };
        Err(io::Error::other(format!("it is {what}, and no file")))
    }
}

/// Opens what was a file or a folder a moment ago; a link isn't followed. If it has become a pipe, its writer isn't
/// waited for.
fn open_known(folder: &OwnedFd, name: &OsStr, path: PathBuf) -> io::Result<Found> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(io::Error::other("it is no file any more"));
    }
    Ok(Found { file, metadata, path })
}

fn kind(folder: &Folder, name: &OsStr) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode))
}

fn leads_out(links: &[(PathBuf, OsString)], inside: &Path, floor: &Path) -> io::Error {
    let shown = |path: &Path| printable(&path.to_string_lossy(), 300);
    // The first is the one on the user's path.
    let (link, target) = links.first().map_or((inside, Path::new("..")), |(link, to)| (link.as_path(), Path::new(to)));
    io::Error::other(LeadsOut { link: shown(link), target: shown(target), folder: shown(floor) })
}

/// Follows a path from its start.
fn follow(path: &Path) -> io::Result<End> {
    if path.as_os_str().is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    if let Some((folder, inside)) = in_working_directory(path) {
        return folder.follow(&inside);
    }
    let mut here = Folder::open(Path::new(if path.is_absolute() { "/" } else { "." }))?;
    let mut words = words(path);
    while let Some(word) = words.pop() {
        if word == ".." {
            here = here.enter(&word)?;
            continue;
        }
        let end = here.follow(Path::new(&word))?;
        if words.is_empty() {
            return Ok(end);
        }
        here = end.into_folder()?;
    }
    Ok(End { folder: here, name: None })
}

/// The working directory and the rest of the path, if the path as it is written is in it. The root contains
/// everything, so it doesn't count.
fn in_working_directory(path: &Path) -> Option<(Folder, PathBuf)> {
    let folder = Folder::open(Path::new(".")).ok().filter(|folder| folder.path != Path::new("/"))?;
    let inside = if path.is_absolute() {
        // The shell's own name for it may contain links.
        let named = env::var_os("PWD").map(PathBuf::from).filter(|named| is_same(named, &folder.path));
        let inside = path.strip_prefix(&folder.path).ok();
        inside.or_else(|| path.strip_prefix(named.as_deref()?).ok())?
    } else {
        path
    };
    let mut depth = 0_usize;
    for part in inside.components() {
        match part {
            Component::ParentDir => depth = depth.checked_sub(1)?,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
    }
    Some((folder, inside.to_owned()))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    one.is_absolute() && identity(one).is_some_and(|id| Some(id) == identity(other))
}

/// The names in a path, the last first.
fn words(path: &Path) -> Vec<OsString> {
    let word = |part: Component| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    };
    path.components().rev().filter_map(word).collect()
}

/// Whether a path is a file descriptor that this process was started with.
fn is_descriptor(path: &Path) -> bool {
    let is_number = |name: &OsStr| name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
    path == Path::new("/dev/stdin")
        || ["/dev/fd", "/proc/self/fd"].iter().any(|folder| path.parent() == Some(Path::new(folder)))
            && path.file_name().is_some_and(is_number)
}

#[cfg(test)]
mod tests;
