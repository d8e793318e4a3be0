//! What stays out of a folder's layer: by its `.imgstepignore` or, where there is none, its `.dockerignore`, and by
//! `--exclude`.

use std::io;
use std::path::Path;

use super::dockerignore::{DOCKERIGNORE, DockerPatterns, Trail};
use super::ignore::{IGNORE_FILE, Patterns};
use crate::error::{Error, Result, printable};
use crate::workspace::Folder;

/// No file of patterns is larger, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// The patterns of a folder.
#[derive(Debug, Default)]
pub struct Exclusions {
    docker: DockerPatterns,
    own: Patterns,
}

/// What becomes of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes into the layer.
    In,
    /// It stays out, and all that is below.
    Out,
    /// It goes in if something below does.
    OnTheWay,
}

impl Exclusions {
    /// The patterns that lie in `folder`, which errors know by the path `shown`, and those of `--exclude`.
    ///
    /// # Errors
    /// A file that can't be read or is a link out of the folder; a pattern that makes no sense.
    pub fn of(folder: &Folder, shown: &Path, exclude: &[String]) -> Result<Self> {
        let mut ignored = Self::default();
        if let Some(text) = text(folder, shown, IGNORE_FILE)? {
            ignored.own = Patterns::parse(&text)?;
        } else if let Some(text) = text(folder, shown, DOCKERIGNORE)? {
            ignored.docker = DockerPatterns::parse(&text)?;
        }
        ignored.own.add(exclude)?;
        Ok(ignored)
    }

    /// What becomes of `path`, and what is to be known for what is below it. `above` is that of its folder.
    pub fn judge(&self, path: &[u8], is_folder: bool, above: &[bool]) -> (Verdict, Trail) {
        let (is_out, trail) = self.docker.exclude(path, above);
        let verdict = match self.own.decide(path, is_folder) {
            _ if path == IGNORE_FILE.as_bytes() => Verdict::Out,
            Some(true) => Verdict::Out,
            None if is_out && is_folder && self.docker.take_in_below(path) => Verdict::OnTheWay,
            None if is_out => Verdict::Out,
            Some(false) | None => Verdict::In,
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
    let wrong = |_| Error::Usage(format!("{} is not UTF-8", printable(&path.to_string_lossy(), 300)));
    String::from_utf8(bytes).map(Some).map_err(wrong)
}
