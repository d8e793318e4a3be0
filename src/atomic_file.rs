//! Files that appear under their name whole or not at all: written under a temporary name on the same file system, then
//! renamed.
//!
//! A temporary file is removed when it is dropped. Only a process that is killed leaves one behind.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// The random characters of a temporary name.
const RANDOM: usize = 16;

/// Creates a temporary file in `folder`, with a random name after `prefix`. `persist` gives it its name.
///
/// It has the permissions of any new file, those that the umask leaves: what becomes of it is for others to read.
pub(crate) fn create_in(folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    // Not `tempfile_in`, whose files are for their owner alone, and whose errors name the temporary file.
    let create = |path: &Path| File::options().read(true).write(true).create_new(true).open(path);
    Builder::new().prefix(prefix).suffix(".tmp").rand_bytes(RANDOM).make_in(folder, create)
}

/// Writes `bytes` to `path`, by a temporary file in `folder`.
pub(crate) fn write(path: &Path, folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create_in(folder, "")?;
    file.as_file_mut().write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        fs::read_dir(folder).unwrap().map(name).collect()
    }

    #[test]
    fn a_file_has_the_permissions_of_any_other_and_replaces_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, atomic) = (folder.path().join("plain"), folder.path().join("atomic"));
        fs::write(&plain, "x").unwrap();
        fs::write(&atomic, "before").unwrap();
        write(&atomic, folder.path(), b"after").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&atomic), mode(&plain));
        assert_eq!(fs::read_to_string(&atomic).unwrap(), "after");
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[test]
    fn what_does_not_get_its_name_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("taken")).unwrap();
        write(&folder.path().join("taken"), folder.path(), b"x").unwrap_err();
        drop(create_in(folder.path(), ".x").unwrap());
        assert_eq!(names(folder.path()), ["taken"]);
        let missing = create_in(&folder.path().join("missing"), "").unwrap_err();
        assert_eq!(missing.to_string(), io::Error::from_raw_os_error(2).to_string(), "and no temporary name");
    }
}
