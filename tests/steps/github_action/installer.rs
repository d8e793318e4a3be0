//! `install.sh`: what it accepts, what it refuses, and what it prints.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::downloads::Downloads;
use super::runner::Runner;
use crate::support::images::sha256;

const ASSET: &str = "imgstep-1.2.3-linux-amd64.tar.gz";

/// An archive whose program prints a word: in a folder, as some archives have it, or not.
fn archive(runner: &Runner, inside: &str) -> Vec<u8> {
    let program = runner.write(&format!("packed/{inside}"), "#!/bin/sh\necho the program\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let packed = Command::new("tar").args(["-czf", "-", "-C"]).arg(runner.path("packed")).arg(".").output().unwrap();
    assert!(packed.status.success());
    packed.stdout
}

/// A release with one archive, and a checksum for it in the runner's copy of the action.
fn release(runner: &Runner, archive: &[u8]) {
    let sum = sha256(archive);
    let sum = sum.strip_prefix("sha256:").unwrap();
    let other = "0".repeat(64);
    runner.write(
        "repository/github-action/checksums.txt",
        format!("{other}  imgstep-1.2.3-darwin-arm64.tar.gz\n{sum}  {ASSET}\n"),
    );
}

fn released() -> (Runner, Vec<u8>) {
    let runner = Runner::new();
    let archive = archive(&runner, "imgstep");
    release(&runner, &archive);
    (runner, archive)
}

/// The program that the output names.
fn bin(runner: &Runner) -> PathBuf {
    let output = runner.read("output");
    PathBuf::from(output.strip_prefix("bin=").unwrap().strip_suffix('\n').unwrap())
}

fn says(program: &Path) -> Vec<u8> {
    Command::new(program).output().unwrap().stdout
}

/// Asserts that the installer fails with an error that contains `words`, and installs nothing.
fn refused(runner: &Runner, variables: &[(&str, &str)], words: &[&str]) {
    let run = runner.install(variables).ended(1);
    let last = run.stderr.lines().last().unwrap();
    assert!(last.starts_with("::error title=imgstep::"), "{}", run.stderr);
    for word in words {
        assert!(last.contains(word), "{word}: {}", run.stderr);
    }
    assert_eq!(runner.read("output"), "");
}

#[test]
fn the_archive_of_the_release_is_downloaded_once_and_verified_twice() {
    for inside in ["imgstep", "imgstep-1.2.3-linux-amd64/imgstep"] {
        let runner = Runner::new();
        let archive = archive(&runner, inside);
        release(&runner, &archive);
        let server = Downloads::of(ASSET, archive, &[]);
        let first = runner.install(&[("IMGSTEP_DOWNLOAD_URL", &server.base)]).ended(0);
        assert!(first.stderr.contains("imgstep 1.2.3: downloaded and verified"), "{first:?}");
        assert_eq!(says(&bin(&runner)), b"the program\n");
        assert_eq!(server.asked(), [format!("/v1.2.3/{ASSET}")]);

        let second = runner.install(&[("IMGSTEP_DOWNLOAD_URL", &server.base)]).ended(0);
        assert!(second.stderr.contains("from the tool cache"), "{second:?}");
        assert_eq!(says(&bin(&runner)), b"the program\n");
        assert_eq!(server.asked().len(), 1);

        // Another user's job may be able to write there.
        runner.write(&format!("cache/imgstep/1.2.3/amd64/{ASSET}"), "something else");
        let third = runner.install(&[("IMGSTEP_DOWNLOAD_URL", &server.base)]).ended(0);
        assert!(third.stderr.contains("downloaded and verified"), "{third:?}");
        assert_eq!(server.asked().len(), 2);
        runner.install(&[("IMGSTEP_DOWNLOAD_URL", "http://127.0.0.1:1")]).ended(0);
    }
}

#[test]
fn an_unreleased_program_is_not_run() {
    let (runner, mut archive) = released();
    archive.push(0);
    let server = Downloads::of(ASSET, archive, &[]);
    let base = ("IMGSTEP_DOWNLOAD_URL", server.base.as_str());
    refused(&runner, &[base], &["is not what was released", "Nothing of it was run"]);
    let left = Command::new("find").arg(runner.path("temp")).arg(runner.path("cache")).args(["-type", "f"]).output();
    assert_eq!(String::from_utf8(left.unwrap().stdout).unwrap(), "");
}

#[test]
fn transient_errors_are_retried_and_permanent_ones_reported() {
    let (runner, archive) = released();
    let server = Downloads::of(ASSET, archive, &[503, 429]);
    runner.install(&[("IMGSTEP_DOWNLOAD_URL", &server.base)]).ended(0);
    assert_eq!(server.asked().len(), 3);

    let (runner, _) = released();
    let server = Downloads::of("nothing", Vec::new(), &[]);
    let base = ("IMGSTEP_DOWNLOAD_URL", server.base.as_str());
    refused(&runner, &[base], &["can't be downloaded (curl 22, HTTP 404)", "https_proxy", "IMGSTEP_BIN"]);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_proxy_is_asked_where_the_environment_names_one() {
    let (runner, archive) = released();
    let proxy = Downloads::of(ASSET, archive, &[]);
    let url = "http://127.0.0.1:1";
    runner.install(&[("IMGSTEP_DOWNLOAD_URL", url), ("http_proxy", &proxy.base)]).ended(0);
    assert_eq!(proxy.asked(), [format!("{url}/v1.2.3/{ASSET}")]);
}

#[test]
fn without_a_tool_cache_it_works_too() {
    let (runner, archive) = released();
    let server = Downloads::of(ASSET, archive, &[]);
    for cache in ["", "/dev/null/nowhere"] {
        runner.install(&[("IMGSTEP_DOWNLOAD_URL", &server.base), ("RUNNER_TOOL_CACHE", cache)]).ended(0);
        assert_eq!(says(&bin(&runner)), b"the program\n");
    }
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn only_https_leaves_the_machine() {
    let (runner, _) = released();
    for base in
        ["http://mirror.example", "http://127.0.0.1:1@mirror.example", "http://localhost.mirror.example", "file:///x"]
    {
        refused(&runner, &[("IMGSTEP_DOWNLOAD_URL", base)], &[base, "does not begin with https://"]);
    }
}

#[test]
fn a_program_of_ones_own_needs_no_release() {
    let runner = Runner::new();
    archive(&runner, "imgstep");
    let own = runner.path("packed/imgstep");
    runner.install(&[("IMGSTEP_BIN", own.to_str().unwrap())]).ended(0);
    assert_eq!(bin(&runner), own);
    runner.install(&[("IMGSTEP_BIN", "../packed/imgstep"), ("RUNNER_OS", "Windows")]).ended(0);
    assert_eq!(bin(&runner), runner.path("repository/../packed/imgstep"));
    let path = format!("{}:{}", runner.path("packed").display(), std::env::var("PATH").unwrap());
    runner.install(&[("IMGSTEP_BIN", "imgstep"), ("PATH", &path)]).ended(0);
    assert_eq!(bin(&runner), own);
    refused(&runner, &[("IMGSTEP_BIN", "no-such-program")], &["no program `no-such-program` on the PATH"]);
    refused(&runner, &[("IMGSTEP_BIN", "../packed")], &["IMGSTEP_BIN: there is no program at"]);
    refused(&runner, &[("IMGSTEP_BIN", "a\nbin=/bin/evil")], &["a path of several lines is none"]);
    // Quoted text neither ends nor starts a command.
    refused(&runner, &[("IMGSTEP_BIN", "./100%\u{7}::error::x")], &["./100%25\u{7}::error::x"]);
}

#[test]
fn a_commit_without_a_release_suggests_what_to_use() {
    let runner = Runner::new();
    // The state between releases.
    runner.write("repository/github-action/checksums.txt", "# Nothing yet.\n");
    refused(&runner, &[], &["is no release", "uses: org/imgstep@v1", "IMGSTEP_BIN"]);
}

#[test]
fn runners_without_a_release_get_an_error() {
    let (runner, _) = released();
    refused(&runner, &[("RUNNER_OS", "Windows")], &["Windows runners", "Linux or macOS", "IMGSTEP_BIN"]);
    refused(&runner, &[("RUNNER_ARCH", "ARM")], &["for ARM"]);
    refused(&runner, &[("RUNNER_ARCH", "ARM64")], &["no program for linux/arm64"]);
    runner.write("repository/github-action/checksums.txt", format!("1234  {ASSET}\n"));
    refused(&runner, &[], &["checksums.txt is damaged"]);
}
