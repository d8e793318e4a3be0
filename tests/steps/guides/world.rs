//! The environment of a guide's commands: registries for its host names, a workspace, and other tools' settings.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::block;
use crate::support::docker::Docker;
use crate::support::registry::Registry;
use crate::support::step::Run;
use crate::support::{Folder, Kind, client, images, imgstep, kinds};

pub struct World {
    /// For `ghcr.io`, `gcr.io` and Docker Hub.
    source: Registry,
    /// For `registry.example` and `mirror.example`.
    destination: Registry,
    folder: Folder,
}

/// The base images that the guides use.
const BASES: [&str; 4] =
    ["node:24-slim", "alpine:3.20", "eclipse-temurin:21-jre", "distroless/static-debian12:nonroot"];

impl World {
    pub fn new() -> Self {
        Self::of(kinds()[0])
    }

    /// With registries of this kind.
    pub fn of(kind: Kind) -> Self {
        let start = || Registry::start(kind);
        let this = Self { source: start(), destination: start(), folder: Folder::new() };
        this.write_files();
        this.push_images();
        this.write_settings();
        this
    }

    fn write_files(&self) {
        for arch in ["amd64", "arm64", "riscv64"] {
            self.folder.write_program(&format!("work/build/{arch}/app"), format!("a program for {arch}\n"));
            self.folder.write(&format!("work/base/{arch}"), format!("a base for {arch}\n"));
        }
        self.folder.write("work/dist/server.js", "console.log('hello')\n");
        self.folder.write("work/node_modules/ms/index.js", "module.exports = 1\n");
        self.folder.write("work/images.txt", self.named("ghcr.io/org/app:main registry.example/org/app:listed\n"));
    }

    fn push_images(&self) {
        let imgstep = |words: String| {
            let words = self.named(&words);
            imgstep(words.split_whitespace()).in_folder(&self.work()).run().ended(0);
        };
        for arch in ["amd64", "arm64", "riscv64"] {
            imgstep(format!(
                "append scratch --to ghcr.io/org/app:main-{arch} --tags v1-{arch} --entrypoint /app \
                 --layer build/{arch}/app=/app,platform=linux/{arch}"
            ));
        }
        let both = "ghcr.io/org/app:main-amd64 ghcr.io/org/app:main-arm64";
        imgstep(format!("index {both} --to ghcr.io/org/app:main"));
        imgstep("index ghcr.io/org/app:main-amd64 --to ghcr.io/org/app:amd64-only".to_owned());
        let base = "base/amd64=/etc/base,platform=linux/amd64 base/arm64=/etc/base,platform=linux/arm64";
        let names = BASES.map(|name| self.source.at(name)).join(" ");
        imgstep(format!("append scratch --layer {base} --to {names}"));
    }

    /// Settings of skopeo, which needs to be told that a registry on loopback uses plain HTTP.
    fn write_settings(&self) {
        let mut registries = String::new();
        for registry in [&self.source, &self.destination] {
            let _ = writeln!(registries, "[[registry]]\nlocation = \"{}\"\ninsecure = true", registry.host);
        }
        self.folder.write("home/.config/containers/registries.conf", registries);
        let policy = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
        self.folder.write("home/.config/containers/policy.json", policy);
    }

    pub fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// Writes an executable that replaces a tool.
    pub fn stand_in(&self, name: &str, script: &str) {
        self.folder.write_program(&format!("bin/{name}"), script);
    }

    /// The text with this environment's registries.
    pub fn named(&self, text: &str) -> String {
        let mut text = text
            .replace("ghcr.io/", &self.source.at(""))
            .replace("gcr.io/", &self.source.at(""))
            .replace("mirror.example/", &self.destination.at("mirror/"))
            .replace("registry.example", &self.destination.host);
        for base in BASES {
            text = text.replace(&format!(" {base}"), &format!(" {}", self.source.at(base)));
        }
        text
    }

    /// Runs a block of a page.
    pub fn run(&self, (page, tool, name): (&str, &str, &str), docker: Option<&Docker>) -> Run {
        let path = if page == "README" { "README.md".to_owned() } else { format!("docs/{page}.md") };
        self.run_script(&self.named(&block(&path, tool, name)), docker)
    }

    pub fn run_script(&self, script: &str, docker: Option<&Docker>) -> Run {
        let imgstep = format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_imgstep"));
        self.folder.write_program("bin/imgstep", imgstep);
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("timeout");
        command.args(["120", "sh", "-euc", script]).env_clear().current_dir(self.work());
        command.env("HOME", self.folder.join("home"));
        command.env("PATH", format!("{}:{path}", self.folder.join("bin").display()));
        if let Some(host) = docker.and_then(Docker::host) {
            command.env("DOCKER_HOST", host);
        }
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let run = Run {
            status: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        assert_eq!(run.status, 0, "{script}\nstdout: {}\nstderr: {}", run.stdout, run.stderr);
        run
    }

    fn split(&self, reference: &str) -> (&Registry, String, String) {
        let (registry, rest) = match reference.split_once('/').unwrap() {
            ("ghcr.io", rest) => (&self.source, rest),
            (_, rest) => (&self.destination, rest),
        };
        let (repository, tag) = rest.rsplit_once(':').unwrap();
        (registry, repository.to_owned(), tag.to_owned())
    }

    /// The digest that a tag points to.
    #[track_caller]
    pub fn digest(&self, reference: &str) -> String {
        let (registry, repository, tag) = self.split(reference);
        images::sha256(&registry.manifest_bytes(&repository, &tag))
    }

    #[track_caller]
    pub fn manifest(&self, reference: &str) -> Value {
        let (registry, repository, tag) = self.split(reference);
        serde_json::from_slice(&registry.manifest_bytes(&repository, &tag)).unwrap()
    }

    /// The images of an index with platform and digest; empty if it isn't an index.
    #[track_caller]
    pub fn children(&self, reference: &str) -> Vec<(String, String)> {
        let index = self.manifest(reference);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let children = index["manifests"].as_array().into_iter().flatten();
        let mut children: Vec<(String, String)> =
            children.map(|child| (text(&child["platform"]["architecture"]), text(&child["digest"]))).collect();
        children.sort();
        children
    }

    #[track_caller]
    pub fn platforms(&self, reference: &str) -> Vec<String> {
        self.children(reference).into_iter().map(|(platform, _)| platform).collect()
    }

    /// The image for amd64: the tag itself, or a child of its index.
    fn image(&self, reference: &str) -> (&Registry, String, Value) {
        let (registry, repository, tag) = self.split(reference);
        let children = self.children(reference);
        // Of what an engine on another machine has built, its own platform.
        let child = children.iter().find(|(platform, _)| platform == "amd64").or(children.first()).cloned();
        let wanted = child.map_or(tag, |(_, digest)| digest);
        let manifest = serde_json::from_slice(&registry.manifest_bytes(&repository, &wanted)).unwrap();
        (registry, repository, manifest)
    }

    /// What a container of the amd64 image is started with.
    #[track_caller]
    pub fn config(&self, reference: &str) -> Value {
        let (registry, repository, manifest) = self.image(reference);
        let config: Value =
            serde_json::from_slice(&blob(registry, &repository, &manifest["config"]["digest"])).unwrap();
        let mut kept = serde_json::Map::new();
        for field in ["Entrypoint", "Cmd", "Env", "WorkingDir", "User", "Labels"] {
            let mut value = config["config"][field].clone();
            if let Some(variables) = value.as_array_mut() {
                // Docker's builder writes out the engines' default.
                variables.retain(|one| !one.as_str().unwrap_or_default().starts_with("PATH="));
            }
            let is_empty = value.is_null() || value == "" || value == serde_json::json!({});
            if !is_empty {
                kept.insert(field.to_owned(), value);
            }
        }
        kept.into()
    }

    /// The files in the topmost layer of the amd64 image.
    #[track_caller]
    pub fn top_files(&self, reference: &str) -> Vec<String> {
        let (registry, repository, manifest) = self.image(reference);
        let layer = manifest["layers"].as_array().unwrap().last().unwrap();
        let path = self.folder.write("layer.tar.gz", blob(registry, &repository, &layer["digest"]));
        let output = Command::new("tar").arg("-tzf").arg(path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|name| !name.ends_with('/')).map(|name| name.trim_start_matches("./").to_owned()).collect()
    }

    pub fn read(&self, name: &str) -> Option<String> {
        self.folder.read(&format!("work/{name}"))
    }

    /// Removes this environment's images from an engine.
    pub fn clear(&self, docker: &Docker) {
        let listed = docker.output(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
        for name in String::from_utf8(listed).unwrap().lines() {
            if [&self.source, &self.destination].iter().any(|registry| name.starts_with(&registry.host)) {
                docker.output(&["image", "rm", "--force", name]);
            }
        }
    }
}

fn blob(registry: &Registry, repository: &str, digest: &Value) -> Vec<u8> {
    let url = registry.url(&format!("{repository}/blobs/{}", digest.as_str().unwrap()));
    client::expect(200, "GET", &url, &[], b"").body
}
