//! Writes several files or none: all are complete as temporary files before the first is renamed.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::stdout;
use crate::atomic_file;
use crate::error::Error;
use crate::workspace;

/// A file with its content.
pub(super) struct FileContent {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// How to write a path.
enum WriteRoute {
    /// Standard output under one of its names. It isn't reopened: that would start at the beginning of the file, and
    /// later output would overwrite what was written.
    Stdout,
    /// Standard error, likewise.
    Stderr,
    /// By a temporary file in the same folder, renamed afterwards.
    Replace(PathBuf),
    /// In place: a device, a pipe, a dangling link.
    InPlace,
}

/// A file being written.
struct Staged<'a> {
    content: &'a FileContent,
    route: WriteRoute,
    /// The temporary file, while it exists.
    temporary: Option<NamedTempFile>,
    /// Whether the path was modified.
    touched: bool,
}

/// Checks whether `path` can be written, without changing anything.
///
/// # Errors
///
/// `ErrorKind::File` naming `path`.
pub(super) fn preflight(path: &Path) -> Result<(), Error> {
    let probe = || match route(path)? {
        WriteRoute::Stdout | WriteRoute::Stderr => Ok(()),
        WriteRoute::Replace(target) => match create_temporary(&target) {
            Ok(temporary) => temporary.close(),
            Err(error) if is_refusal(&error) && target.exists() => {
                OpenOptions::new().write(true).open(&target).map(drop)
            }
            Err(error) => Err(error),
        },
        // Opening a pipe waits for its reader.
        WriteRoute::InPlace if is_pipe(path) => Ok(()),
        WriteRoute::InPlace if path.exists() => OpenOptions::new().write(true).open(path).map(drop),
        WriteRoute::InPlace => Err(io::Error::new(ErrorKind::NotFound, "it is a link to a file that does not exist")),
    };
    probe().map_err(Error::file("write", path))
}

/// Writes all files or none: after a failure, no temporary file and no file of this run is left.
///
/// # Errors
///
/// `ErrorKind::File` naming the file.
pub(super) fn write_all(contents: &[FileContent]) -> Result<(), Error> {
    let mut staged = Vec::new();
    let result = stage(contents, &mut staged).and_then(|()| commit(&mut staged));
    if result.is_err() {
        staged.iter_mut().for_each(undo);
    }
    result
}

/// Undoes what [`write_all`] wrote, as far as possible.
pub(super) fn withdraw(path: &Path) {
    if matches!(route(path), Ok(WriteRoute::Replace(target)) if fs::remove_file(&target).is_ok()) {
        return;
    }
    if is_regular(path) && !is_descriptor(path) {
        let _ = OpenOptions::new().write(true).truncate(true).open(path);
    }
}

/// Appends `text` to a file that others write too.
///
/// # Errors
///
/// `ErrorKind::File` if `file` can't be written.
pub(super) fn append(file: &Path, text: &str) -> Result<(), Error> {
    let write = || OpenOptions::new().append(true).create(true).open(file)?.write_all(text.as_bytes());
    write().map_err(Error::file("write", file))
}

fn stage<'a>(contents: &'a [FileContent], staged: &mut Vec<Staged<'a>>) -> Result<(), Error> {
    for content in contents {
        let route = route(&content.path).map_err(Error::file("write", &content.path))?;
        staged.push(Staged { content, route, temporary: None, touched: false });
        // Only once it is on the list, so that it is undone if this fails.
        if let Some(staged) = staged.last_mut() {
            staged.prepare().map_err(Error::file("write", &content.path))?;
        }
    }
    Ok(())
}

/// What can't be undone comes last.
fn commit(staged: &mut [Staged]) -> Result<(), Error> {
    let rank = |staged: &Staged| match staged.route {
        WriteRoute::InPlace => 0,
        WriteRoute::Replace(_) => 1,
        WriteRoute::Stdout | WriteRoute::Stderr => 2,
    };
    staged.sort_by_key(rank);
    for file in staged {
        file.put().map_err(Error::file("write", &file.content.path))?;
    }
    Ok(())
}

impl Staged<'_> {
    /// Writes the temporary file, if there is one.
    fn prepare(&mut self) -> io::Result<()> {
        let WriteRoute::Replace(target) = &self.route else {
            return Ok(());
        };
        let temporary = match create_temporary(target) {
            Ok(created) => created,
            // The folder isn't writable, but the existing file may be.
            Err(error) if is_refusal(&error) && target.exists() => {
                self.route = WriteRoute::InPlace;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        // Kept here, so that it isn't removed before it is renamed.
        let mut file = self.temporary.insert(temporary).as_file();
        file.write_all(&self.content.bytes)?;
        if let Ok(existing) = fs::metadata(target) {
            file.set_permissions(existing.permissions())?;
        }
        // Some file systems report a full disk or a quota only now.
        file.sync_all()
    }

    /// Puts the content in place.
    fn put(&mut self) -> io::Result<()> {
        let (path, bytes) = (&self.content.path, &self.content.bytes);
        match &self.route {
            WriteRoute::Stdout => stdout::write(bytes),
            WriteRoute::Stderr => io::stderr().lock().write_all(bytes),
            WriteRoute::InPlace => {
                self.touched = true;
                write_in_place(path, bytes)
            }
            WriteRoute::Replace(target) => {
                let Some(temporary) = self.temporary.take() else {
                    return Ok(());
                };
                match temporary.persist(target) {
                    Ok(_) => {
                        self.touched = true;
                        Ok(())
                    }
                    // A file that is a mount point can't be replaced.
                    Err(failed) if failed.error.kind() == ErrorKind::ResourceBusy => {
                        self.touched = true;
                        write_in_place(target, bytes)
                    }
                    Err(failed) => Err(failed.error),
                }
            }
        }
    }
}

fn undo(staged: &mut Staged) {
    staged.temporary = None;
    if staged.touched {
        withdraw(&staged.content.path);
    }
}

fn route(path: &Path) -> io::Result<WriteRoute> {
    match path.to_str() {
        Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => return Ok(WriteRoute::Stdout),
        Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => return Ok(WriteRoute::Stderr),
        _ => {}
    }
    workspace::stays(path)?;
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder; name a file in it"))
        }
        // Other open descriptors: their owner expects the bytes there, not in a new file.
        Ok(_) if is_descriptor(path) => Ok(WriteRoute::InPlace),
        // Through links, so that a link remains one.
        Ok(found) if found.is_file() => fs::canonicalize(path).map(WriteRoute::Replace),
        Ok(_) => Ok(WriteRoute::InPlace),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = folder(path);
            if fs::symlink_metadata(path).is_ok() {
                Ok(WriteRoute::InPlace)
            } else if folder.is_dir() {
                Ok(WriteRoute::Replace(path.to_owned()))
            } else {
                let text = format!("the folder {} does not exist", folder.display());
                Err(io::Error::new(ErrorKind::NotFound, text))
            }
        }
        Err(error) => Err(error),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn create_temporary(target: &Path) -> io::Result<NamedTempFile> {
    atomic_file::create_in(folder(target), ".imgstep-")
}

/// Whether a folder isn't writable, though a file in it may be.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if is_regular(path) && !is_descriptor(path) {
        options.truncate(true);
    } else {
        // After what others wrote there.
        options.append(true);
    }
    options.open(path)?.write_all(bytes)
}

/// Whether `path` may refer to an open descriptor.
fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/dev") || path.starts_with("/proc")
}

fn is_regular(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file())
}

/// Whether `path` is a named pipe.
#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

/// Elsewhere, pipes are not files.
#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A folder for one test, removed at its end.
    pub struct Folder(pub PathBuf);

    impl Folder {
        pub fn new() -> Self {
            let path = std::env::temp_dir().join(format!("imgstep-test-{:016x}", fastrand::u64(..)));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        pub fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        /// The names in it, sorted.
        pub fn names(&self) -> Vec<String> {
            let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
            let mut names: Vec<String> = fs::read_dir(&self.0).unwrap().map(name).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn content(path: impl Into<PathBuf>, text: &str) -> FileContent {
        FileContent { path: path.into(), bytes: text.into() }
    }

    #[test]
    fn files_are_written_exactly_and_nothing_else_stays() {
        let folder = Folder::new();
        fs::write(folder.path("old"), "what was here before").unwrap();
        write_all(&[content(folder.path("new"), "one"), content(folder.path("old"), "two")]).unwrap();
        assert_eq!(fs::read_to_string(folder.path("new")).unwrap(), "one");
        assert_eq!(fs::read_to_string(folder.path("old")).unwrap(), "two");
        assert_eq!(folder.names(), ["new", "old"]);
    }

    #[test]
    fn a_missing_folder_leaves_no_other_file() {
        let folder = Folder::new();
        let missing = folder.path("missing/file");
        let error = write_all(&[content(folder.path("new"), "one"), content(&missing, "two")]).unwrap_err();
        let expected =
            format!("write {}: the folder {} does not exist", missing.display(), folder.path("missing").display());
        assert_eq!(error.to_string(), expected);
        assert!(folder.names().is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let folder = Folder::new();
        fs::write(folder.path("old"), "before").unwrap();
        let files = [content(folder.path("new"), "one"), content("/dev/full", "two"), content(folder.path("old"), "x")];
        let error = write_all(&files).unwrap_err().to_string();
        assert!(error.starts_with("write /dev/full: No space left on device"), "{error}");
        assert_eq!(folder.names(), ["old"]);
        assert_eq!(fs::read_to_string(folder.path("old")).unwrap(), "before");
        write_all(&[content("/dev/null", "gone")]).unwrap();
    }

    #[test]
    fn a_name_that_is_lost_at_the_last_moment_undoes_the_others() {
        let folder = Folder::new();
        let files = [content(folder.path("first"), "one"), content(folder.path("second"), "two")];
        let mut staged = Vec::new();
        stage(&files, &mut staged).unwrap();
        fs::create_dir(folder.path("second")).unwrap();
        let error = commit(&mut staged).unwrap_err().to_string();
        staged.iter_mut().for_each(undo);
        assert!(error.starts_with(&format!("write {}: ", folder.path("second").display())), "{error}");
        assert_eq!(folder.names(), ["second"]);
    }

    #[test]
    #[cfg(unix)]
    fn links_stay_links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = Folder::new();
        fs::write(folder.path("file"), "before").unwrap();
        fs::set_permissions(folder.path("file"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("file", folder.path("link")).unwrap();
        write_all(&[content(folder.path("link"), "after")]).unwrap();
        assert!(fs::symlink_metadata(folder.path("link")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(folder.path("file")).unwrap(), "after");
        assert_eq!(fs::metadata(folder.path("file")).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    #[cfg(unix)]
    fn a_file_in_a_folder_that_takes_no_other_is_written_in_place() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let path = folder.path("file");
        fs::write(&path, "much longer before").unwrap();
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o555)).unwrap();
        preflight(&path).unwrap();
        let unwritable = create_temporary(&path).is_err();
        write_all(&[content(&path, "after")]).unwrap();
        let refused = preflight(&folder.path("other"));
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        // Root ignores permissions.
        assert_eq!(refused.is_err(), unwritable);
        withdraw(&path);
        assert!(folder.names().is_empty());
    }

    #[test]
    fn preflight_leaves_everything_as_it_is() {
        let folder = Folder::new();
        fs::write(folder.path("old"), "before").unwrap();
        preflight(&folder.path("old")).unwrap();
        preflight(&folder.path("new")).unwrap();
        assert_eq!(fs::read_to_string(folder.path("old")).unwrap(), "before");
        assert_eq!(folder.names(), ["old"]);
        let error = preflight(&folder.0).unwrap_err().to_string();
        assert!(error.ends_with("it is a folder; name a file in it"), "{error}");
        preflight(&folder.path("missing/file")).unwrap_err();
        preflight(&folder.path("old/file")).unwrap_err();
    }

    #[test]
    fn what_was_written_can_be_withdrawn() {
        let folder = Folder::new();
        write_all(&[content(folder.path("new"), "one")]).unwrap();
        withdraw(&folder.path("new"));
        withdraw(&folder.path("never"));
        assert!(folder.names().is_empty());
    }
}
