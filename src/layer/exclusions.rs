//! What to exclude from a folder's layer: its `.imgstepignore` or, if it has none, its `.dockerignore`, plus
//! `--exclude`.

use std::io;
use std::path::Path;

use super::dockerignore::{DOCKERIGNORE, DockerPatterns, Trail};
use super::ignore::{IGNORE_FILE, Patterns};
use crate::error::{Error, Result};
use crate::text::printable;
use crate::workspace::Folder;

/// Maximum size of an ignore file, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// The patterns of a folder.
#[derive(Debug, Default)]
pub(crate) struct Exclusions {
    docker: DockerPatterns,
    own: Patterns,
}

/// What to do with a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exclusion {
    /// Include it.
    In,
    /// Exclude it and everything below.
    Out,
    /// Include it only if something below is included.
    OnTheWay,
}

impl Exclusions {
    /// Reads the patterns in `folder`, called `shown` in errors, and adds those of `--exclude`.
    ///
    /// # Errors
    /// A file that can't be read or is a link out of the folder; an invalid pattern.
    pub(crate) fn of(folder: &Folder, shown: &Path, exclude: &[String]) -> Result<Self> {
        let mut ignored = Self::default();
        if let Some(text) = text(folder, shown, IGNORE_FILE)? {
            ignored.own = Patterns::parse(&text)?;
        } else if let Some(text) = text(folder, shown, DOCKERIGNORE)? {
            ignored.docker = DockerPatterns::parse(&text)?;
        }
        ignored.own.add(exclude)?;
        Ok(ignored)
    }

    /// The verdict on `path`, and the state for paths below it. `above` is the state of its parent.
    pub(crate) fn judge(&self, path: &[u8], is_folder: bool, above: &[bool]) -> (Exclusion, Trail) {
        let (is_out, trail) = self.docker.exclude(path, above);
        let verdict = match self.own.decide(path, is_folder) {
            _ if path == IGNORE_FILE.as_bytes() => Exclusion::Out,
            Some(true) => Exclusion::Out,
            None if is_out && is_folder && self.docker.take_in_below(path) => Exclusion::OnTheWay,
            None if is_out => Exclusion::Out,
            Some(false) | None => Exclusion::In,
        };
        (verdict, trail)
    }
}

fn text(folder: &Folder, shown: &Path, name: &str) -> Result<Option<String>> {
    let path = shown.join(name);
    let bytes = match folder.find(Path::new(name)).and_then(|found| found.read(FILE_LIMIT)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    let wrong = |_| Error::usage(format!("{} is not UTF-8", printable(&path.to_string_lossy(), 300)));
    String::from_utf8(bytes).map(Some).map_err(wrong)
}
