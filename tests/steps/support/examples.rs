//! Runs the scripts of `examples/` as a user would.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::folder::Folder;
use super::step::Run;
use super::tools::{is_here, missing};

/// The folder with the examples.
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Tools that `make test` installs outside the system's packages.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools")
}

/// A script with the tools, caches and settings of the user who runs the tests, and with the binary under test. It has
/// ten minutes, because it may download.
fn script(path: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["600", "sh"]).arg(path).args(words).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        // Variables that would change the build, or that would make the step write outputs for the CI system that runs
        // the tests.
        if ["GITHUB_", "IMGSTEP_", "CARGO_BUILD_"].iter().any(|start| name.starts_with(start)) {
            command.env_remove(name);
        }
    }
    for name in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "SOURCE_DATE_EPOCH"] {
        command.env_remove(name);
    }
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:{}", tools().join("bin").display()));
    command.env("IMGSTEP", env!("CARGO_BIN_EXE_imgstep"));
    // Deno has its own list of trusted authorities; the user who runs the tests may need another one to reach npm.
    command.env("DENO_TLS_CA_STORE", "mozilla,system");
    command
}

fn run(mut command: Command) -> Run {
    let output = command.output().unwrap();
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Builds an example's image with its script, in a fresh copy of its folder.
pub fn make(example: &str, base: &str, to: &str) -> Run {
    let folder = Folder::new();
    let copied = Command::new("cp").arg("-R").arg(examples().join(example)).arg(folder.path()).status();
    assert!(copied.unwrap().success());
    let copy = folder.join(example);
    // Leave out what a user has built in place.
    for built in ["out", "target", "node_modules", "src/node_modules"] {
        let _ = fs::remove_dir_all(copy.join(built));
    }
    let mut command = script(&copy.join("image.sh"), &[base, to]);
    if let Some(rustc) = other_rustc().filter(|_| example == "rust") {
        command.env("RUSTC", rustc);
    }
    run(command).ended(0)
}

/// The base image of an example as `oci:DIR:NAME`, built by `examples/base/image.sh` if it doesn't exist yet; `None`,
/// with a note on stderr, if it can't be built.
pub fn base(name: &str) -> Option<String> {
    static MADE: Mutex<Option<HashMap<String, bool>>> = Mutex::new(None);
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples");
    let layout = format!("oci:{}:{name}", work.join("bases").display());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let there = *made.get_or_insert_default().entry(name.to_owned()).or_insert_with(|| make_base(name, &work, &layout));
    if !there {
        missing(&format!("the packages of the base `{name}`"), "its examples are not tested");
    }
    there.then_some(layout)
}

fn make_base(name: &str, work: &Path, layout: &str) -> bool {
    let scripts = examples().join("base");
    let stamp = work.join(format!("{name}.made-by"));
    let text = ["image.sh", "packages.sh"].map(|script| fs::read_to_string(scripts.join(script)).unwrap()).concat();
    if fs::read_to_string(&stamp).is_ok_and(|made_by| made_by == text) {
        return true;
    }
    fs::create_dir_all(work).unwrap();
    let mut command = script(&scripts.join("image.sh"), &[name, layout]);
    command.env("WORK", work);
    let made = run(command);
    if made.status != 0 {
        eprintln!("examples/base/image.sh {name}: {}{}", made.stdout, made.stderr);
        return false;
    }
    fs::write(stamp, text).unwrap();
    true
}

/// Whether this machine has the tools that an example is built with; prints what is missing.
pub fn can_build(example: &str, programs: &[&str]) -> bool {
    let on_path = |program: &&str| is_here(program) || tools().join("bin").join(program).exists();
    if let Some(program) = programs.iter().find(|program| !on_path(program)) {
        missing(program, &format!("the example for {example} is not tested"));
        return false;
    }
    if example == "python"
        && !Command::new("python3").args(["-m", "pip", "--version"]).output().unwrap().status.success()
    {
        missing("pip", "the example for python is not tested");
        return false;
    }
    if example == "rust" && !has_other_std() && other_rustc().is_none() {
        missing("Rust's std for the other architecture", "the example for rust is not tested");
        return false;
    }
    true
}

/// Whether the installed Rust can compile for both platforms of the examples.
fn has_other_std() -> bool {
    let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", &format!("{other}-unknown-linux-gnu")])
        .output()
        .unwrap();
    // The path alone proves nothing: it is printed for targets that aren't installed, too.
    fs::read_dir(String::from_utf8_lossy(&asked.stdout).trim()).is_ok_and(|mut files| files.next().is_some())
}

/// A cross compiler, for machines where `tests/setup.sh` had to install Debian's Rust.
fn other_rustc() -> Option<PathBuf> {
    Some(tools().join("rust/rustc")).filter(|path| path.exists())
}
