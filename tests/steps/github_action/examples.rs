//! The example workflows, run by nektos/act as a user has them who changed only the names. Stand-ins replace what needs
//! GitHub itself or a toolchain from the network: logins, metadata, attestations, and Rust for musl.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::runner::{Runner, root};
use crate::support::registry::Registry;
use crate::support::{Style, assert_image, client, images};

/// An action that only returns outputs and prints its inputs.
const STAND_IN: &str = r#"
name: Stand-in
description: Says what it was given.
inputs:
  images: {description: Names}
  subject-name: {description: A name}
  subject-digest: {description: A digest}
outputs:
  tags: {description: Tags, value: "${{ steps.meta.outputs.tags }}"}
  labels: {description: Labels, value: "${{ steps.meta.outputs.labels }}"}
  annotations: {description: Annotations, value: "${{ steps.meta.outputs.annotations }}"}
runs:
  using: composite
  steps:
    - id: meta
      shell: bash
      env:
        IMAGES: ${{ inputs.images }}
        NAME: ${{ inputs.subject-name }}
        DIGEST: ${{ inputs.subject-digest }}
      run: |
        echo "given $NAME@$DIGEST"
        {
          printf 'tags<<END\n%s:1.2.3\n%s:1.2\nEND\n' "$IMAGES" "$IMAGES"
          printf 'labels<<END\norg.opencontainers.image.title=app\norg.opencontainers.image.description=%s\nEND\n' "It's \"it\""
          printf 'annotations<<END\nmanifest:org.opencontainers.image.title=app\nEND\n'
        } >>"$GITHUB_OUTPUT"
"#;

/// A musl compiler that writes programs with only a header, for the requested platforms.
const CARGO: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
    if [ "$1" = --target ]; then
        case $2 in aarch64-*) machine='\267\000' ;; *) machine='\076\000' ;; esac
        mkdir -p "target/$2/release"
        printf '\177ELF\002\001\001\000\000\000\000\000\000\000\000\000\002\000'"$machine"'\001\000\000\000%040d' 0 >"target/$2/release/app"
        chmod +x "target/$2/release/app"
    fi
    shift
done
"#;

struct Tried {
    registry: Registry,
    log: String,
}

/// Runs an example against a registry of our own, after `prepare`, which gets the commit, has filled both; `None` if
/// act is missing.
fn tried(name: &str, event: &str, prepare: impl FnOnce(&Runner, &Registry, &str), words: &[&str]) -> Option<Tried> {
    let registry = Registry::inside();
    let runner = Runner::new();
    let workflow = fs::read_to_string(root().join("github-action/examples").join(name)).unwrap();
    // act's schema doesn't know this permission yet.
    let workflow: String = workflow
        .lines()
        .filter(|line| !line.contains("artifact-metadata:"))
        .fold(String::new(), |text, line| text + line + "\n");
    let workflow = workflow.replace("ghcr.io/org", &registry.at("org"));
    let folder = runner.write("stand-in/action.yml", STAND_IN).parent().unwrap().to_owned();
    let stand_ins: Vec<(&str, PathBuf)> = workflow
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: ")?.split(' ').next())
        .map(|action| (action, if action == "org/imgstep@v1" { runner.path("action") } else { folder.clone() }))
        .collect();
    runner.write(&format!("repository/.github/workflows/{name}"), &workflow);
    let commit = runner.commit()?;
    prepare(&runner, &registry, &commit);
    let program = format!("IMGSTEP_BIN={}", env!("CARGO_BIN_EXE_imgstep"));
    let run = runner.act(event, name, &stand_ins, &[words, &["--env", &program]].concat())?.ended(0);
    Some(Tried { registry, log: run.stdout })
}

fn json_of(registry: &Registry, path: &str) -> Value {
    let accept = [("Accept", images::ACCEPT)];
    serde_json::from_slice(&client::request("GET", &registry.url(path), &accept, b"").body).unwrap()
}

/// The platforms of an index, and the config of each image.
fn platforms(registry: &Registry, tag: &str) -> Vec<(String, Value)> {
    let index = json_of(registry, &format!("org/app/manifests/{tag}"));
    let children = index["manifests"].as_array().unwrap().iter().map(|child| {
        let manifest = json_of(registry, &format!("org/app/manifests/{}", child["digest"].as_str().unwrap()));
        let config = json_of(registry, &format!("org/app/blobs/{}", manifest["config"]["digest"].as_str().unwrap()));
        (config["architecture"].as_str().unwrap().to_owned(), config["config"].clone())
    });
    children.collect()
}

#[test]
fn promote_on_release() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    let fill = |_: &Runner, registry: &Registry, commit: &str| image.push(registry, "org/app", commit);
    let Some(tried) = tried("promote-on-release.yml", "release", fill, &[]) else { return };
    for tag in ["1.2.3", "1.2"] {
        assert_image(&tried.registry, "org/app", tag, &image);
    }
    assert!(
        tried.log.contains(&format!("Released {}@{}", tried.registry.at("org/app"), image.digest())),
        "{}",
        tried.log
    );
    assert!(tried.log.contains("Summary - ### Promoted `"), "{}", tried.log);
}

#[test]
fn append_and_attest() {
    let prepare = |runner: &Runner, _: &Registry, _: &str| {
        for (name, text) in [("cargo", CARGO), ("rustup", "#!/bin/sh\n")] {
            let program = runner.write(&format!("bin/{name}"), text);
            fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}", runner.path("bin").display(), std::env::var("PATH").unwrap());
        runner.write("repository/.env", format!("PATH={path}\n"));
    };
    let Some(tried) = tried("append-and-attest.yml", "push", prepare, &[]) else { return };
    let digest = tried.registry.manifest("org/app", "1.2").header("docker-content-digest").unwrap().to_owned();
    let attested = format!("given {}@{digest}", tried.registry.at("org/app"));
    assert!(tried.log.contains(&attested), "{attested}: {}", tried.log);
    let found = platforms(&tried.registry, "1.2.3");
    assert_eq!(found.iter().map(|(architecture, _)| architecture.as_str()).collect::<Vec<_>>(), ["amd64", "arm64"]);
    for (_, config) in found {
        assert_eq!(config["Entrypoint"], json!(["/app"]));
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(config["Labels"]["org.opencontainers.image.description"], "It's \"it\"");
    }
    let index = json_of(&tried.registry, "org/app/manifests/1.2.3");
    assert_eq!(index["annotations"], json!({"org.opencontainers.image.title": "app"}));
}

#[test]
fn build_on_many_runners_and_join_once() {
    if super::runner::tool("go").is_none() {
        return;
    }
    let prepare = |runner: &Runner, _: &Registry, _: &str| {
        runner.write("repository/go.mod", "module app\n\ngo 1.19\n");
        runner.write("repository/main.go", "package main\n\nfunc main() { println(\"hello\") }\n");
    };
    let asked = std::process::Command::new("go").args(["env", "GOCACHE"]).output().unwrap();
    let cache = format!("--env=GOCACHE={}", String::from_utf8(asked.stdout).unwrap().trim());
    let words = [cache.as_str(), "--env=GOFLAGS=-buildvcs=false"];
    let Some(tried) = tried("build-many-join-once.yml", "push", prepare, &words) else { return };
    let found = platforms(&tried.registry, "main");
    assert_eq!(found.iter().map(|(architecture, _)| architecture.as_str()).collect::<Vec<_>>(), ["amd64", "arm64"]);
    let index = json_of(&tried.registry, "org/app/manifests/main");
    let revision = index["annotations"]["org.opencontainers.image.revision"].as_str().unwrap();
    assert!(tried.registry.has_manifest("org/app", revision), "{revision}");
}
