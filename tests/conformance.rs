//! The official conformance suite of the OCI distribution specification, run against the registry in the binary.
//!
//! The suite is a Go program: if `go` is on the PATH, one version of it, pinned by checksums, is built under `target`
//! and run in memory and in a folder, by the rules of specification 1.1 and of its successor. All four categories are
//! on: pull, push, content discovery, content management.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the suite's summary is for whoever runs the test")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

#[expect(dead_code, reason = "a Debian's Go may be too old, which is no failure")]
#[path = "steps/support/missing.rs"]
mod missing;

/// The suite's package.
const PACKAGE: &str = "github.com/opencontainers/distribution-spec/conformance";
/// A module that depends only on the suite, with the checksums of all dependencies.
const GO_MOD: &str = "\
module conformance-run

go 1.24.0

tool github.com/opencontainers/distribution-spec/conformance

require (
	github.com/goccy/go-yaml v1.18.0 // indirect
	github.com/opencontainers/distribution-spec/conformance v0.0.0-20260831232431-97274622c111 // indirect
	github.com/opencontainers/distribution-spec/specs-go v0.0.0-20240926185104-8376368dd8aa // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
)
";
const GO_SUM: &str = "\
github.com/goccy/go-yaml v1.18.0 h1:8W7wMFS12Pcas7KU+VVkaiCng+kG8QiFeFwzFb+rwuw=
github.com/goccy/go-yaml v1.18.0/go.mod h1:XBurs7gK8ATbW4ZPGKgcbrY1Br56PdM69F7LkFRi1kA=
github.com/opencontainers/distribution-spec/conformance v0.0.0-20260831232431-97274622c111 h1:ppZPU0CrEPzyJhVggYwUIZrqh0w2lIT0esw+9ABNPA4=
github.com/opencontainers/distribution-spec/conformance v0.0.0-20260831232431-97274622c111/go.mod h1:3VJqdDrgz3dFdGbErNWoChcfbGpHDllEHdwJ4yi6rJk=
github.com/opencontainers/distribution-spec/specs-go v0.0.0-20240926185104-8376368dd8aa h1:CUcrPKAP0lYp3xAHghAYBR6rFI+BaW0nWAvhHwjLQYM=
github.com/opencontainers/distribution-spec/specs-go v0.0.0-20240926185104-8376368dd8aa/go.mod h1:Va0IMqkjv62YSEytL4sgxrkiD9IzU0T0bX/ZZEtMnSQ=
github.com/opencontainers/go-digest v1.0.0 h1:apOUWs51W5PlhuyGyz9FCeeBIOUDA/6nW8Oi/yOhh5U=
github.com/opencontainers/go-digest v1.0.0/go.mod h1:0JzlMkj0TRzQZfJkVvzbP0HBR3IKzErnv2BNG4W4MAM=
github.com/opencontainers/image-spec v1.1.1 h1:y0fUlFfIZhPF1W537XOLg0/fcx6zcHCJwooC2xJA040=
github.com/opencontainers/image-spec v1.1.1/go.mod h1:qpqAh3Dmcf36wStyyWU+kCeDgrGnAve2nCC8+7h8Q0M=
";
/// What is skipped on purpose. A mount without `from` looks only in the repository itself, which the specification
/// leaves to the registry; the suite then notes that the blob had to be uploaded.
const SKIPPED: [&str; 2] = [
    "OCI Conformance Test/sha256 blobs/mount anonymous/blob-mount-anonymous: Skip",
    "OCI Conformance Test/sha512 blobs/mount anonymous/blob-mount-anonymous: Skip",
];
/// What isn't part of specification 1.1, only of its successor.
const LATER: [&str; 2] = [
    "OCI Conformance Test/sha256 blobs/post cancel/blob-post-cancel: Disabled",
    "OCI Conformance Test/sha512 blobs/post cancel/blob-post-cancel: Disabled",
];
/// With fewer tests than this, the suite would have left a category out.
const AT_LEAST: u32 = 800;

#[test]
fn in_memory() {
    conform("memory", &[]);
}

#[test]
fn in_a_folder() {
    let folder = scratch("conformance-storage");
    let _ = fs::remove_dir_all(&folder);
    conform("folder", &["--storage", folder.to_str().unwrap()]);
    let _ = fs::remove_dir_all(&folder);
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The suite's binary, built once; `None` without Go.
fn suite() -> Option<&'static Path> {
    static SUITE: OnceLock<Option<PathBuf>> = OnceLock::new();
    SUITE.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    if !Command::new("go")
        .arg("version")
        .output()
        .is_ok_and(|output| can_build(&String::from_utf8_lossy(&output.stdout)))
    {
        return None;
    }
    let folder = scratch("conformance-suite");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("go.mod"), GO_MOD).unwrap();
    fs::write(folder.join("go.sum"), GO_SUM).unwrap();
    let built = Command::new("go")
        .args(["build", "-buildvcs=false", "-o", "suite", PACKAGE])
        .current_dir(&folder)
        .output()
        .expect("go runs");
    assert!(built.status.success(), "the suite can't be built: {}", String::from_utf8_lossy(&built.stderr));
    Some(folder.join("suite"))
}

/// Whether this Go can build the suite, from `go version`: since 1.21, Go downloads a newer version if a module
/// requires it.
fn can_build(version: &str) -> bool {
    let minor = version.strip_prefix("go version go1.").and_then(|rest| rest.split(['.', ' ']).next());
    minor.and_then(|minor| minor.parse::<u32>().ok()).is_some_and(|minor| minor >= 21)
}

/// A registry; stopped on drop.
struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    fn start(options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_imgstep"))
            .args(["registry", "serve", "--address", "127.0.0.1:0"])
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { process, address }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn conform(mode: &str, options: &[&str]) {
    let Some(suite) = suite() else {
        return missing::missing_optional(
            "Go 1.21 or newer",
            "the conformance suite of the OCI specification is not run",
        );
    };
    for (version, skipped) in [("1.1", &LATER[..]), ("dev", &[])] {
        let registry = Registry::start(options);
        let output = Command::new(suite)
            .env_clear()
            .env("OCI_REGISTRY", &registry.address)
            .env("OCI_TLS", "disabled")
            .env("OCI_VERSION", version)
            .env("OCI_RESULTS_DIR", scratch(&format!("conformance-results-{mode}-{version}")))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{mode}, {version}: the suite was not content: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        check(&format!("{mode}, {version}"), &String::from_utf8_lossy(&output.stdout), skipped);
    }
}

/// Checks the suite's report: nothing failed, and nothing was skipped except what is on the lists.
fn check(run: &str, report: &str, skipped: &[&str]) {
    let tests: Vec<&str> =
        report.lines().map(str::trim).filter(|line| line.starts_with("OCI Conformance Test")).collect();
    let others: BTreeSet<&str> = tests.iter().copied().filter(|line| !line.ends_with(": Pass")).collect();
    let expected: BTreeSet<&str> = SKIPPED.iter().chain(skipped).copied().collect();
    assert_eq!(others, expected, "{run}:\n{report}");
    let counts: Vec<(&str, u32)> = report
        .lines()
        .skip_while(|line| !line.starts_with("OCI Conformance Result"))
        .skip(1)
        .map_while(|line| line.trim().split_once(':'))
        .map(|(name, count)| (name.trim_end_matches('.'), count.trim().parse().unwrap()))
        .collect();
    let count = |name: &str| counts.iter().find(|(other, _)| *other == name).map(|(_, count)| *count);
    assert_eq!((count("FAIL"), count("Error"), count("Skip")), (Some(0), Some(0), Some(2)), "{run}:\n{report}");
    assert!(count("Pass").is_some_and(|count| count >= AT_LEAST), "{run}: too few tests: {counts:?}");
    let result = report.lines().find(|line| line.starts_with("OCI Conformance Result")).unwrap_or_default();
    println!("{run}: {result}: {counts:?}");
}
