//! The environment in which an example runs: registries for its names, a release to download, a workspace, and the
//! tools that the system would have.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use crate::support::registry::Auth;
use crate::support::step::Run;
use crate::support::tools::{is_here, missing};
use crate::support::{Folder, Image, Options, Registry, Style, distribution, images, logins};

/// The commit being built.
pub const COMMIT: &str = "8f3e1c9a7d2b4056e1f0a9c8b7d6e5f403122314";
/// The user with write access to the destination.
pub const USER: (&str, &str) = ("alice", "s3cret-of-alice");

/// What the names in an example are replaced with.
pub struct Pipeline {
    /// `ghcr.io/org/app` and Docker Hub.
    pub source: Registry,
    /// `registry.example`, which requires a login if distribution is installed.
    pub destination: Registry,
    /// The image in `ghcr.io/org/app` under the commit, `main` and `v1`.
    pub image: Image,
    folder: Folder,
}

impl Pipeline {
    pub fn new() -> Self {
        let source = Registry::inside();
        let options = Options { auth: Auth::Basic, ..Options::default() };
        let destination = distribution(&options).unwrap_or_else(Registry::inside);
        let image = images::index(Style::Oci, 1, 2, 1, 500);
        for tag in [COMMIT, "main"] {
            image.push(&source, "org/app", tag);
        }
        images::index(Style::Oci, 2, 2, 1, 500).push(&source, "nginx", "1.29-alpine");
        let folder = Folder::new();
        for name in ["home", "workspace", "image", "release"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        let this = Self { source, destination, image, folder };
        this.make_release();
        this
    }

    /// A release archive whose program is a link to the binary under test.
    fn make_release(&self) {
        let start = format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_imgstep"));
        self.folder.write_program("release/imgstep", &start);
        self.folder.write_program("image/imgstep", &start);
        let mut tar = Command::new("tar");
        tar.args(["-czf", "imgstep-1.0.0-linux-amd64.tar.gz", "imgstep"]).current_dir(self.folder.join("release"));
        assert!(tar.status().unwrap().success());
    }

    /// The text with other names, and nothing else changed: hosts, the release, and its archive's checksum.
    pub fn named(&self, text: &str) -> String {
        let release = self.folder.join("release");
        let archive = std::fs::read(release.join("imgstep-1.0.0-linux-amd64.tar.gz")).unwrap();
        let sum = images::sha256(&archive);
        text.replace(
            "https://github.com/org/imgstep/releases/download/v1.0.0",
            &format!("file://{}", release.display()),
        )
        .replace(&"0".repeat(64), sum.strip_prefix("sha256:").unwrap())
        .replace("ghcr.io/org/app", &self.source.at("org/app"))
        .replace("nginx:1.29-alpine", &self.source.at("nginx:1.29-alpine"))
        .replace("registry.example", &self.destination.host)
    }

    /// The content of a `config.json`.
    pub fn logins(&self) -> String {
        logins(&[(&self.destination.host, USER.0, USER.1)]).to_string()
    }

    /// A folder or file in this environment.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        self.folder.write(name, text)
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Runs a script as on a machine with Debian's tools, without imgstep.
    pub fn on_machine(&self, shell: &[&str], script: &str, environment: &BTreeMap<String, String>) -> Run {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.folder.path().display());
        self.start(shell, script, environment, &path)
    }

    /// Runs a script as in the image with a shell: only BusyBox and imgstep are on the PATH.
    pub fn in_image(&self, script: &str, environment: &BTreeMap<String, String>) -> Run {
        let tools = self.folder.join("image");
        if !is_here("busybox") {
            missing("busybox", "sh replaces the shell of the image");
            let path = format!("{}:/usr/bin:/bin", tools.display());
            return self.start(&["/bin/sh", "-e", "-c"], script, environment, &path);
        }
        if !tools.join("sh").exists() {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let place = std::env::split_paths(&path).map(|folder| folder.join("busybox")).find(|path| path.exists());
            let place = place.unwrap();
            assert!(Command::new(&place).args(["--install", "-s"]).arg(&tools).status().unwrap().success());
        }
        let shell = tools.join("sh");
        self.start(&[shell.to_str().unwrap(), "-e", "-c"], script, environment, tools.to_str().unwrap())
    }

    fn start(&self, shell: &[&str], script: &str, environment: &BTreeMap<String, String>, path: &str) -> Run {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg(script).env_clear();
        command.env("HOME", self.folder.join("home")).env("PATH", path).envs(environment);
        command.current_dir(self.folder.join("workspace"));
        finished(command)
    }

    /// Asserts that `registry.example/org/app` has the image under these tags.
    #[track_caller]
    pub fn assert_promoted(&self, tags: &[&str]) {
        for tag in tags {
            let found = self.destination.manifest("org/app", tag);
            assert_eq!((found.status, images::sha256(&found.body).as_str()), (200, self.image.digest()), "{tag}");
        }
    }

    /// `registry.example/org/app@sha256:…` of the image.
    pub fn promoted(&self) -> String {
        format!("{}@{}", self.destination.at("org/app"), self.image.digest())
    }
}

/// Runs the program itself, as in the image without a shell: `/imgstep`, with only these environment variables.
pub fn in_plain_image(words: &[String], environment: &BTreeMap<String, String>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgstep"));
    command.args(words).env_clear().envs(environment).current_dir("/");
    finished(command)
}

fn finished(mut command: Command) -> Run {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Run {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// An environment from pairs.
pub fn variables<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The text with `$NAME` and `${NAME}` replaced if the name is known, and `$$` by `$`.
pub fn expanded(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        out.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let inside = rest.strip_prefix('{').unwrap_or(rest);
        let length = inside.find(|one: char| !one.is_ascii_alphanumeric() && one != '_').unwrap_or(inside.len());
        let Some(value) = known.get(&inside[..length]) else {
            out.push('$');
            continue;
        };
        out.push_str(value);
        rest = if inside.len() < rest.len() { inside[length..].strip_prefix('}').unwrap() } else { &inside[length..] };
    }
    out + rest
}

/// The lines of a list of commands, or the single command.
pub fn lines(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(one) => one.clone(),
        serde_json::Value::Array(many) => many.iter().map(|one| one.as_str().unwrap()).collect::<Vec<_>>().join("\n"),
        other => panic!("no commands: {other}"),
    }
}
