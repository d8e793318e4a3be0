//! The folders and files that credentials are read from: none of them may become part of a layer, whatever path leads
//! to it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, GuardKind, Result};
use crate::text::printable;

/// Where Kubernetes and Tekton mount credentials and tokens in every container.
const MOUNTS: [&str; 3] = ["/tekton/creds", "/tekton/creds-secrets", "/var/run/secrets"];

/// The credential paths, as options and environment name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CredentialPaths {
    /// Folders and everything in them.
    pub folders: Vec<PathBuf>,
    /// Files.
    pub files: Vec<PathBuf>,
}

/// The paths that exist, by device and inode, since a file can have several paths.
#[derive(Debug)]
pub(crate) struct KnownPaths(Vec<((u64, u64), PathBuf)>);

impl KnownPaths {
    /// Looks up which of `logins` exist.
    ///
    /// A folder that contains the working directory, as with `DOCKER_CONFIG=$PWD`, holds the user's work too: only its
    /// credential files are refused.
    pub(crate) fn of(logins: &CredentialPaths) -> Self {
        let here = std::env::current_dir().unwrap_or_default();
        let around: Vec<_> =
            here.ancestors().filter_map(|folder| fs::metadata(folder).ok()).map(|it| id(&it)).collect();
        let look = |path: &Path| fs::metadata(path).ok().map(|found| (id(&found), path.to_owned()));
        let folders = MOUNTS.iter().map(Path::new).chain(logins.folders.iter().map(PathBuf::as_path));
        let folders = folders.filter_map(look).filter(|(id, _)| !around.contains(id));
        Self(folders.chain(logins.files.iter().filter_map(|path| look(path))).collect())
    }

    /// Refuses a path that is one of them or lies below one. `path` must be free of links.
    ///
    /// # Errors
    /// `ErrorKind::Guard` that names both.
    pub(crate) fn check_path(&self, path: &Path, shown: &Path) -> Result<()> {
        let found = path.ancestors().filter_map(|above| fs::metadata(above).ok());
        found.into_iter().try_for_each(|metadata| self.check(&metadata, shown))
    }

    /// Refuses a folder or file that is one of them.
    ///
    /// # Errors
    /// `ErrorKind::Guard` that names it.
    pub(crate) fn check(&self, found: &Metadata, shown: &Path) -> Result<()> {
        let Some((_, path)) = self.0.iter().find(|(known, _)| *known == id(found)) else { return Ok(()) };
        let name = |path: &Path| printable(&path.to_string_lossy(), 300);
        let text =
            format!("{} would put credentials into a layer: imgstep reads its own from {}", name(shown), name(path));
        let hint = "leave it out with --exclude, or use a folder without it";
        Err(Error::guard(GuardKind::LoginsInLayer, text).with_hint(hint))
    }
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}
