//! Runs the binary under test as a CI system would: with a clean environment and a time limit, capturing all output.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::folder::Folder;

/// Time limit of a step; a longer one hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A command line to run.
pub struct Step {
    command: Command,
    /// `HOME`, and other files that the step needs.
    folder: Folder,
    words: Vec<OsString>,
    input: Option<Stdio>,
}

/// The result of a step.
#[derive(Debug)]
pub struct Run {
    /// The exit status, or 128 plus the signal's number.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A step that is still running.
pub struct Running {
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    words: Vec<OsString>,
    _folder: Folder,
}

/// A run of the binary with these arguments.
pub fn imgstep<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Step {
    imgstep_under(&[], words)
}

/// A run of the binary through another command, such as `["nice", "-n", "5"]`.
pub fn imgstep_under<W: AsRef<OsStr>>(runner: &[&str], words: impl IntoIterator<Item = W>) -> Step {
    let folder = Folder::new();
    let mut binary = PathBuf::from(env!("CARGO_BIN_EXE_imgstep"));
    if !runner.is_empty() {
        // A runner that changes the user may have no access to the repository's folder.
        let copy = folder.join("imgstep");
        fs::copy(&binary, &copy).unwrap();
        binary = copy;
    }
    let mut line = runner.iter().map(OsStr::new).chain([binary.as_os_str()]);
    let mut command = Command::new(line.next().unwrap_or_default());
    command.args(line).env_clear().env("HOME", folder.path());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    Step { command, folder, words: Vec::new(), input: None }.args(words)
}

impl Step {
    pub fn args<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        for word in words {
            self.words.push(word.as_ref().to_owned());
            self.command.arg(word);
        }
        self
    }

    pub fn arg(self, word: impl AsRef<OsStr>) -> Self {
        self.args([word])
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The working directory.
    pub fn in_folder(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// Writes the Docker config file in the step's home.
    pub fn docker_config(self, config: &Value) -> Self {
        self.folder.write(".docker/config.json", config.to_string());
        self
    }

    /// The step's standard input: a file, or the reading end of a pipe.
    pub fn stdin(mut self, from: impl Into<Stdio>) -> Self {
        self.input = Some(from.into());
        self
    }

    pub fn run(self) -> Run {
        self.start().wait()
    }

    pub fn start(mut self) -> Running {
        let input = self.input.unwrap_or_else(Stdio::null);
        self.command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        Running {
            stdout: collect(child.stdout.take().unwrap()),
            stderr: collect(child.stderr.take().unwrap()),
            child,
            words: self.words,
            _folder: self.folder,
        }
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Running {
    /// Sends a signal by name: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(sent.unwrap().success());
    }

    /// Peak memory in bytes until it exits, as counted by Linux; 0 elsewhere.
    pub fn peak_memory(&self) -> JoinHandle<u64> {
        let status = format!("/proc/{}/status", self.child.id());
        thread::spawn(move || {
            let mut peak = 0;
            // A process that has exited no longer has this line.
            while let Some(now) = fs::read_to_string(&status).ok().and_then(|text| high_water_mark(&text)) {
                peak = now;
                thread::sleep(Duration::from_millis(10));
            }
            peak
        })
    }

    pub fn wait(mut self) -> Run {
        let limit = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > limit {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break None;
            }
            thread::sleep(Duration::from_millis(2));
        };
        let stdout = self.stdout.join().unwrap();
        let stderr = self.stderr.join().unwrap();
        let Some(status) = status else {
            panic!("{:?} took longer than {LIMIT:?}\nstdout: {stdout}\nstderr: {stderr}", self.words);
        };
        let status = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap();
        Run { status, stdout, stderr }
    }
}

fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

impl Run {
    /// Asserts the exit status; the failure message has all output.
    #[track_caller]
    pub fn ended(self, status: i32) -> Self {
        assert_eq!(self.status, status, "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Asserts that it succeeded, and that stdout is exactly these lines.
    #[track_caller]
    pub fn printed(self, lines: &[String]) -> Self {
        let run = self.ended(0);
        let mut expected = lines.join("\n");
        expected.push('\n');
        assert_eq!(run.stdout, expected, "\nstderr: {}", run.stderr);
        run
    }

    /// Asserts that it failed with this status and printed nothing on stdout, and that its error, joined with its hint
    /// by a semicolon, contains all of `parts`.
    #[track_caller]
    pub fn failed(self, status: i32, parts: &[&str]) -> Self {
        let run = self.ended(status);
        assert_eq!(run.stdout, "", "\nstderr: {}", run.stderr);
        let lines: Vec<&str> = run.stderr.trim_end().lines().collect();
        let told = match lines.as_slice() {
            [.., error, hint] if hint.starts_with("hint: ") => format!("{error}; {}", &hint["hint: ".len()..]),
            [.., error] => (*error).to_owned(),
            [] => String::new(),
        };
        for part in parts {
            assert!(told.contains(part), "`{part}` is not in the error of: {}", run.stderr);
        }
        run
    }

    /// The JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not JSON: {error}: {}\n{}", self.stdout, self.stderr))
    }
}
