//! A runner: the folders and variables that a step gets on GitHub, and nektos/act in host mode, which runs whole
//! workflows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::Folder;
use crate::support::step::Run;
use crate::support::tools::{is_here, missing};

/// The root of this repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program that `tests/setup.sh` installed or that is on the PATH; prints what is missing.
pub fn tool(name: &str) -> Option<PathBuf> {
    let installed = ["target/tools/bin", "target/tools/python/bin", "target/tools/node_modules/.bin"]
        .map(|folder| root().join(folder).join(name));
    let found = installed.into_iter().find(|path| path.exists()).or_else(|| is_here(name).then(|| name.into()));
    if found.is_none() {
        missing(name, "the GitHub Action is not tested with it");
    }
    found
}

/// Runs a command to its end, stdout and stderr together as a log shows them.
pub fn run(command: &mut Command) -> Run {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A repository with the action, and a runner's home folder.
pub struct Runner {
    folder: Folder,
}

impl Runner {
    /// With the action from this tree.
    pub fn new() -> Self {
        let runner = Self { folder: Folder::new() };
        for folder in ["repository/.github/workflows", "action", "home", "temp", "cache"] {
            fs::create_dir_all(runner.folder.join(folder)).unwrap();
        }
        for folder in ["repository", "action"] {
            let mut copy = Command::new("cp");
            copy.arg("-R").args([root().join("action.yml"), root().join("github-action")]);
            assert!(copy.arg(runner.folder.join(folder)).status().unwrap().success());
        }
        runner
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.folder.write(name, content)
    }

    /// The text of a file; empty if there is no such file.
    pub fn read(&self, name: &str) -> String {
        self.folder.read(name).unwrap_or_default()
    }

    /// The variables of a runner; from the environment of the tests only PATH is kept.
    fn environment(&self, command: &mut Command) {
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home")).env("RUNNER_TEMP", self.path("temp"));
        command.env("RUNNER_TOOL_CACHE", self.path("cache"));
    }

    /// A run of the installer, whose output `bin` goes to the file `output`.
    pub fn install(&self, variables: &[(&str, &str)]) -> Run {
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc"]).arg(self.path("repository/github-action/install.sh"));
        command.current_dir(self.path("repository"));
        self.environment(&mut command);
        let _ = fs::remove_file(self.path("output"));
        command.env("GITHUB_OUTPUT", self.path("output")).env("RUNNER_OS", "Linux").env("RUNNER_ARCH", "X64");
        run(command.envs(variables.iter().copied()))
    }

    /// Commits everything; returns the commit. `None`, with a note on stderr, if git isn't installed.
    pub fn commit(&self) -> Option<String> {
        let git = tool("git")?;
        let steps: [&[&str]; 4] = [
            &["init", "--quiet"],
            &["add", "--all"],
            &["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message=All"],
            &["rev-parse", "HEAD"],
        ];
        let said = steps.map(|words| {
            let mut command = Command::new(&git);
            self.environment(&mut command);
            run(command.args(words).current_dir(self.path("repository"))).ended(0).stdout
        });
        Some(said[3].trim().to_owned())
    }

    /// A run of a workflow with act, on this machine; `None`, with a note on stderr, if it isn't installed. Third-party
    /// actions are replaced by `stand_ins`, so that no network is needed.
    pub fn act(&self, event: &str, workflow: &str, stand_ins: &[(&str, PathBuf)], words: &[&str]) -> Option<Run> {
        let act = tool("act")?;
        let mut command = Command::new("timeout");
        command.arg("300").arg(act).args([event, "--workflows"]).arg(Path::new(".github/workflows").join(workflow));
        command.args(["--platform", "ubuntu-latest=-self-hosted", "--platform", "ubuntu-24.04-arm=-self-hosted"]);
        for (action, folder) in stand_ins {
            command.arg("--local-repository").arg(format!("{action}={}", folder.display()));
        }
        self.environment(&mut command);
        Some(run(command.args(words).current_dir(self.path("repository"))))
    }
}
