//! `imgstep append`: one file for each topic.

mod config;
mod entrypoint;
mod examples;
mod fidelity;
mod folders;
mod guards;
mod images;
mod large;
mod layers;
mod mistakes;
mod reproducible;
mod results;
mod tars;
mod windows;

use std::process::Command;

use serde_json::Value;

use crate::support::registry::Registry;
use crate::support::step::{Run, Step};
use crate::support::tools::missing_optional;
use crate::support::{Folder, client, imgstep};

/// `imgstep append BASE --to DESTINATION`.
fn append(base: &str, to: &str) -> Step {
    imgstep(["append", base, "--to", to])
}

/// An ELF header with this machine type, and some bytes that make it unique.
fn program(machine: u8, text: &str) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\x00".to_vec();
    bytes.resize(64, 0);
    (bytes[16], bytes[18]) = (2, machine);
    bytes.extend(text.as_bytes());
    bytes
}

const AMD64: u8 = 62;
const ARM64: u8 = 183;

/// A folder with one program for each of two platforms, and the arguments that add them to a base.
fn programs() -> (Folder, Vec<String>) {
    let folder = Folder::new();
    let mut words = vec!["--layer".to_owned()];
    for (name, machine) in [("amd64", AMD64), ("arm64", ARM64)] {
        let path = folder.write(name, program(machine, name));
        words.push(format!("{}=/app,platform=linux/{name},mode=0755", path.display()));
    }
    (folder, words)
}

/// The digest that a step printed.
fn digest(run: &Run) -> String {
    run.stdout.trim().rsplit('@').next().unwrap().to_owned()
}

fn manifest(registry: &Registry, repository: &str, reference: &str) -> Value {
    serde_json::from_slice(&registry.manifest_bytes(repository, reference)).unwrap()
}

fn blob(registry: &Registry, repository: &str, digest: &Value) -> Vec<u8> {
    let url = registry.url(&format!("{repository}/blobs/{}", digest.as_str().unwrap()));
    client::expect(200, "GET", &url, &[], b"").body
}

fn config(registry: &Registry, repository: &str, image: &Value) -> Value {
    serde_json::from_slice(&blob(registry, repository, &image["config"]["digest"])).unwrap()
}

/// GNU tar's listing of a layer, one entry per line.
fn listed(bytes: &[u8]) -> Vec<String> {
    let folder = Folder::new();
    let path = folder.write("layer", bytes);
    let output =
        Command::new("tar").args(["--numeric-owner", "--utc", "-tvf"]).arg(&path).env("TZ", "UTC").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Asserts that other clients accept an image as complete, if they are installed.
fn accepted_by_others(registry: &Registry, name: &str) {
    let reference = registry.at(name);
    let docker = format!("docker://{reference}");
    let tries: [(&str, Vec<&str>); 2] = [
        ("crane", vec!["validate", "--insecure", "--remote", &reference]),
        ("skopeo", vec!["inspect", "--tls-verify=false", "--no-tags", &docker]),
    ];
    for (program, words) in tries {
        match Command::new("timeout").args(["60", program]).args(&words).output() {
            // `timeout` exits with 127 if the program doesn't exist.
            Ok(output) if output.status.code() != Some(127) => {
                assert!(output.status.success(), "{program} {reference}: {}", String::from_utf8_lossy(&output.stderr));
            }
            _ => missing_optional(program, "it does not check images"),
        }
    }
}
