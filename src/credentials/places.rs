//! Which files hold credentials, in the order in which they are asked.

use std::path::{Path, PathBuf};

/// The environment variables that matter, read once.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `DOCKER_CONFIG`: a folder with a `config.json`.
    pub docker_config: Option<PathBuf>,
    /// `REGISTRY_AUTH_FILE`: a file, as for podman and skopeo.
    pub registry_auth_file: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process.
    pub fn from_process() -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            docker_config: path("DOCKER_CONFIG"),
            registry_auth_file: path("REGISTRY_AUTH_FILE"),
            home: path("HOME"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
        }
    }
}

/// The names that a credentials file has in a folder: Docker's, Kubernetes' two kinds of secret, podman's. The last is
/// what a folder of Tekton's (`$(credentials.path)`) holds.
const NAMES: [&str; 5] = ["config.json", ".dockerconfigjson", ".dockercfg", "auth.json", ".docker/config.json"];

/// All files that may hold credentials, the first to be asked first: those of `--auth-dir`, then those of the
/// environment.
pub fn files(auth_dirs: &[PathBuf], environment: &Environment) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for place in auth_dirs {
        if place.is_file() {
            files.push(place.clone());
        } else {
            files.extend(NAMES.iter().map(|name| place.join(name)));
        }
    }
    match (&environment.docker_config, &environment.home) {
        (Some(folder), _) => files.push(folder.join("config.json")),
        (None, Some(home)) if environment.registry_auth_file.is_none() => files.push(home.join(".docker/config.json")),
        (None, _) => {}
    }
    files.extend(environment.registry_auth_file.clone());
    if let (None, Some(_), Some(home)) =
        (&environment.docker_config, &environment.registry_auth_file, &environment.home)
    {
        files.push(home.join(".docker/config.json"));
    }
    files.extend(environment.xdg_runtime_dir.iter().map(|folder| folder.join("containers/auth.json")));
    files.extend(environment.home.iter().map(|home| home.join(".config/containers/auth.json")));
    files
}

/// A path for a person: the home folder is not spelled out.
pub fn shown(path: &Path, environment: &Environment) -> String {
    let short = environment.home.as_ref().and_then(|home| path.strip_prefix(home).ok());
    match short {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_files() {
        let environment = Environment {
            docker_config: None,
            registry_auth_file: Some("/a/auth".into()),
            home: Some("/home/u".into()),
            xdg_runtime_dir: Some("/run/u".into()),
        };
        let all: Vec<String> =
            files(&["/creds".into()], &environment).iter().map(|file| file.display().to_string()).collect();
        assert_eq!(
            all,
            [
                "/creds/config.json",
                "/creds/.dockerconfigjson",
                "/creds/.dockercfg",
                "/creds/auth.json",
                "/creds/.docker/config.json",
                "/a/auth",
                "/home/u/.docker/config.json",
                "/run/u/containers/auth.json",
                "/home/u/.config/containers/auth.json",
            ]
        );
        let set = Environment { docker_config: Some("/d".into()), home: Some("/h".into()), ..Environment::default() };
        let all: Vec<PathBuf> = files(&[], &set);
        assert_eq!(all, [PathBuf::from("/d/config.json"), PathBuf::from("/h/.config/containers/auth.json")]);
        assert_eq!(shown(Path::new("/h/.docker/config.json"), &set), "~/.docker/config.json");
    }
}
