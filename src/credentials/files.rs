//! Which files credentials are read from, and in which order.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::config_file::ConfigFile;
use super::secret::Secret;
use crate::error::Error;
use crate::text::printable;

/// The files that are read in a folder of `--auth-dir`, in this order: Docker's, the key of a Kubernetes secret of
/// type `dockerconfigjson`, that of type `dockercfg`, Podman's, and what Tekton writes below `$(credentials.path)`.
const FILES_OF_A_FOLDER: [&str; 5] =
    ["config.json", ".dockerconfigjson", ".dockercfg", "auth.json", ".docker/config.json"];

/// The largest credentials file in bytes: 4 MiB, thousands of logins.
const FILE_LIMIT: u64 = 4 << 20;

/// Where credentials are looked for.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--auth-dir`, in order; the first match wins.
    pub auth_dirs: Vec<PathBuf>,
    /// The environment.
    pub environment: Environment,
}

/// The relevant environment variables. The default is an empty environment.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `DOCKER_AUTH_CONFIG`: the contents of a `config.json`, as in GitLab's jobs.
    pub docker_auth_config: Option<Secret>,
    /// `DOCKER_CONFIG`: the folder of Docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// `REGISTRY_AUTH_FILE`: Podman's and Skopeo's `auth.json`.
    pub registry_auth_file: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`; `/run/containers/UID` if it isn't set.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
    /// The user's ID, for Podman's file if `XDG_RUNTIME_DIR` isn't set; `None` if it is unknown.
    pub user_id: Option<u32>,
}

impl Sources {
    /// The folders that only contain logins, whether they exist or not.
    pub fn folders(&self) -> Vec<PathBuf> {
        let own = self.environment.home.as_ref().map(|home| home.join(".docker"));
        let docker = self.environment.docker_config.clone();
        self.auth_dirs.iter().cloned().chain(docker).chain(own).collect()
    }

    /// The files that contain logins, whether they exist or not.
    pub fn files(&self) -> Vec<PathBuf> {
        let in_folders =
            self.auth_dirs.iter().flat_map(|folder| FILES_OF_A_FOLDER.iter().map(|name| folder.join(name)));
        in_folders.chain(places_of(&self.environment).into_iter().map(|place| place.path)).collect()
    }
}

impl Environment {
    /// Reads the variables of this process. An empty variable counts as not set.
    pub fn from_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            docker_auth_config: text("DOCKER_AUTH_CONFIG").map(Secret::new),
            docker_config: path("DOCKER_CONFIG"),
            registry_auth_file: path("REGISTRY_AUTH_FILE"),
            home: path("HOME"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
            xdg_config_home: path("XDG_CONFIG_HOME"),
            user_id: user_id(),
        }
    }
}

/// The ID of the user that this process runs as.
#[cfg(target_os = "linux")]
fn user_id() -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").ok().map(|process| process.uid())
}

/// Podman only uses a path with the user's ID on Linux.
#[cfg(not(target_os = "linux"))]
fn user_id() -> Option<u32> {
    None
}

/// What was read, and from where.
#[derive(Debug, Default)]
pub(super) struct FoundFiles {
    /// Each file's name in errors and its contents, in order of precedence.
    pub files: Vec<(String, ConfigFile)>,
    /// The files that don't exist, or that this user may not read, in the same order.
    pub absent: Vec<String>,
}

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CredentialFile {
    path: PathBuf,
    /// Whether the user named it. Any other file that may not be read is ignored: in a container, the home may be
    /// another user's.
    named: bool,
}

/// Reads all files that exist.
///
/// # Errors
/// `ErrorKind::Credentials` with the file that exists and can't be used.
pub(super) fn read(sources: &Sources) -> Result<FoundFiles, Error> {
    let mut found = FoundFiles::default();
    let mut looked_at: Vec<PathBuf> = Vec::new();
    for path in &sources.auth_dirs {
        read_auth_dir(path, &mut looked_at, &mut found)?;
    }
    if let Some(text) = &sources.environment.docker_auth_config {
        let name = "$DOCKER_AUTH_CONFIG".to_owned();
        let file = ConfigFile::parse(text.expose().as_bytes()).map_err(|reason| broken(&name, &reason))?;
        found.files.push((name, file));
    }
    for place in places_of(&sources.environment) {
        read_place(&place, &mut looked_at, &mut found)?;
    }
    Ok(found)
}

/// Reads a path of `--auth-dir`: the files of a folder, or the path itself.
fn read_auth_dir(path: &Path, looked_at: &mut Vec<PathBuf>, found: &mut FoundFiles) -> Result<(), Error> {
    if !path.is_dir() {
        return read_place(&CredentialFile { path: path.to_owned(), named: true }, looked_at, found);
    }
    if looked_at.iter().any(|known| known == path) {
        return Ok(());
    }
    looked_at.push(path.to_owned());
    let (files_before, absent_before) = (found.files.len(), found.absent.len());
    for name in FILES_OF_A_FOLDER {
        read_place(&CredentialFile { path: path.join(name), named: true }, looked_at, found)?;
    }
    // No folder has all of these files: those that are missing aren't worth a mention.
    found.absent.truncate(absent_before);
    if found.files.len() == files_before {
        let names = FILES_OF_A_FOLDER.join(", ");
        found.absent.push(format!("any of {names} in {}", shown(path)));
    }
    Ok(())
}

/// The files that the environment points to, in order of precedence.
fn places_of(environment: &Environment) -> Vec<CredentialFile> {
    let mut places = Vec::new();
    let mut add = |path: Option<PathBuf>, named| places.extend(path.map(|path| CredentialFile { path, named }));
    let home = environment.home.as_deref();
    add(environment.docker_config.as_ref().map(|folder| folder.join("config.json")), true);
    add(environment.registry_auth_file.clone(), true);
    if environment.docker_config.is_none() {
        add(home.map(|home| home.join(".docker/config.json")), false);
    }
    let runtime = match (&environment.xdg_runtime_dir, environment.user_id) {
        (Some(folder), _) => Some(folder.join("containers/auth.json")),
        (None, Some(user)) => Some(PathBuf::from(format!("/run/containers/{user}/auth.json"))),
        (None, None) => None,
    };
    add(runtime, false);
    let configuration = environment.xdg_config_home.clone().or_else(|| home.map(|home| home.join(".config")));
    add(configuration.map(|folder| folder.join("containers/auth.json")), false);
    places
}

fn read_place(place: &CredentialFile, looked_at: &mut Vec<PathBuf>, found: &mut FoundFiles) -> Result<(), Error> {
    if looked_at.contains(&place.path) {
        return Ok(());
    }
    looked_at.push(place.path.clone());
    take(place, read_bounded(&place.path), found)
}

/// Adds the result of reading a file.
fn take(place: &CredentialFile, read: std::io::Result<Vec<u8>>, found: &mut FoundFiles) -> Result<(), Error> {
    let name = shown(&place.path);
    match read {
        Ok(bytes) if bytes.len() as u64 > FILE_LIMIT => {
            Err(broken(&name, &format!("it is larger than {} MiB", FILE_LIMIT >> 20)))
        }
        Ok(bytes) => {
            let file = ConfigFile::parse(&bytes).map_err(|reason| broken(&name, &reason))?;
            found.files.push((name, file));
            Ok(())
        }
        Err(error) if is_absence(&error) => {
            found.absent.push(name);
            Ok(())
        }
        Err(error) if !place.named && error.kind() == std::io::ErrorKind::PermissionDenied => {
            found.absent.push(format!("{name}, where permission was denied"));
            Ok(())
        }
        Err(error) => Err(broken(&name, &format!("it can't be read: {error}"))),
    }
}

/// Reads a file, or one byte more than the limit. It may be a pipe, as in `--auth-dir <(command)`.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the file doesn't exist.
fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy(), 300)
}

fn broken(name: &str, reason: &str) -> Error {
    Error::credentials(format!("the credentials in {name} can't be used: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestFolder, config};
    use super::*;

    fn names(sources: &Sources) -> Vec<String> {
        read(sources).unwrap().files.into_iter().map(|(name, _)| name).collect()
    }

    fn only(path: PathBuf) -> Sources {
        Sources { auth_dirs: vec![path], environment: Environment::default() }
    }

    #[test]
    fn every_file_of_a_folder() {
        let folder = TestFolder::new();
        for name in FILES_OF_A_FOLDER {
            folder.write(name, &config("host", "user"));
        }
        folder.write("other.json", "not looked at");
        let expected: Vec<String> =
            FILES_OF_A_FOLDER.iter().map(|name| folder.path(name).display().to_string()).collect();
        assert_eq!(names(&only(folder.path(""))), expected);
        for name in FILES_OF_A_FOLDER {
            let folder = TestFolder::new();
            folder.write(name, &config("host", "user"));
            assert_eq!(names(&only(folder.path(""))).len(), 1, "{name}");
        }
    }

    #[test]
    fn a_path_may_be_a_file_of_any_name() {
        let folder = TestFolder::new();
        folder.write("robot.txt", &config("host", "user"));
        assert_eq!(names(&only(folder.path("robot.txt"))), [folder.path("robot.txt").display().to_string()]);
    }

    #[test]
    fn order_of_the_environment() {
        let environment = Environment {
            docker_config: Some("/docker".into()),
            registry_auth_file: Some("/podman.json".into()),
            home: Some("/home/me".into()),
            xdg_runtime_dir: Some("/run/user/5".into()),
            user_id: Some(5),
            ..Environment::default()
        };
        let paths = |environment: &Environment| -> Vec<String> {
            places_of(environment).iter().map(|place| place.path.display().to_string()).collect()
        };
        assert_eq!(
            paths(&environment),
            [
                "/docker/config.json",
                "/podman.json",
                "/run/user/5/containers/auth.json",
                "/home/me/.config/containers/auth.json"
            ]
        );
        let environment = Environment {
            docker_config: None,
            registry_auth_file: None,
            xdg_runtime_dir: None,
            xdg_config_home: Some("/etc/me".into()),
            ..environment
        };
        assert_eq!(
            paths(&environment),
            ["/home/me/.docker/config.json", "/run/containers/5/auth.json", "/etc/me/containers/auth.json"]
        );
        assert_eq!(paths(&Environment::default()), [""; 0]);
    }

    #[test]
    fn folders_come_first_then_the_variable_then_files() {
        let folder = TestFolder::new();
        folder.write("a/config.json", "{}");
        folder.write("b/config.json", "{}");
        folder.write("home/.docker/config.json", "{}");
        let sources = Sources {
            auth_dirs: vec![folder.path("b"), folder.path("a"), folder.path("b")],
            environment: Environment {
                docker_auth_config: Some(Secret::new("{}")),
                home: Some(folder.path("home")),
                ..Environment::default()
            },
        };
        let path = |name| folder.path(name).display().to_string();
        assert_eq!(
            names(&sources),
            [
                path("b/config.json"),
                path("a/config.json"),
                "$DOCKER_AUTH_CONFIG".into(),
                path("home/.docker/config.json")
            ]
        );
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let folder = TestFolder::new();
        folder.write("file", "{}");
        let sources = Sources {
            auth_dirs: vec![folder.path("missing"), folder.path("file/config.json")],
            environment: Environment { docker_config: Some(folder.path("no")), ..Environment::default() },
        };
        let found = read(&sources).unwrap();
        assert!(found.files.is_empty());
        let path = |name| folder.path(name).display().to_string();
        assert_eq!(found.absent, [path("missing"), path("file/config.json"), path("no/config.json")]);
    }

    #[test]
    fn what_was_not_named_may_be_out_of_reach() {
        let folder = TestFolder::new();
        let place = |named| CredentialFile { path: folder.path("home/.docker/config.json"), named };
        let denied = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let mut found = FoundFiles::default();
        take(&place(false), Err(denied()), &mut found).unwrap();
        assert!(found.absent[0].ends_with("permission was denied"), "{:?}", found.absent);
        assert!(take(&place(true), Err(denied()), &mut found).is_err());
        assert!(take(&place(false), Err(std::io::ErrorKind::IsADirectory.into()), &mut found).is_err());
    }

    #[test]
    fn a_broken_file_is_named_and_not_quoted() {
        let folder = TestFolder::new();
        folder.write("config.json", "{\"auths\": hunter2}");
        let message = read(&only(folder.path(""))).unwrap_err().to_string();
        assert!(message.contains(&folder.path("config.json").display().to_string()), "{message}");
        assert!(message.contains("line 1") && !message.contains("hunter2"), "{message}");

        let environment = Environment { docker_auth_config: Some(Secret::new("hunter2")), ..Environment::default() };
        assert!(!format!("{environment:?}").contains("hunter2"));
        let message = read(&Sources { auth_dirs: vec![], environment }).unwrap_err().to_string();
        assert!(message.contains("$DOCKER_AUTH_CONFIG") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    fn a_folder_in_place_of_a_file_and_a_huge_file_are_broken() {
        let folder = TestFolder::new();
        folder.write("config.json/x", "");
        let error = read(&only(folder.path(""))).unwrap_err();
        assert!(matches!(error.kind(), crate::ErrorKind::Credentials(_)), "{error}");

        let huge = std::fs::File::create(folder.path("huge")).unwrap();
        huge.set_len(FILE_LIMIT + 1).unwrap();
        let message = read(&only(folder.path("huge"))).unwrap_err().to_string();
        assert!(message.contains("larger than 4 MiB"), "{message}");
    }
}
