//! README: what it shows is run.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use serde_json::json;

use super::world::World;
use super::{block, read};
use crate::support::docker::docker;
use crate::support::images;
use crate::support::tools::{is_here, missing};

/// The blocks, as the common test of the guides expects them.
const STEPS: [(&str, &str, &str); 3] =
    [("README", "imgstep", "promote"), ("README", "imgstep", "append"), ("README", "imgstep", "index")];

#[test]
fn the_steps_of_readme_work() {
    let world = World::new();
    let digest = world.digest("ghcr.io/org/app:main");
    for (_, tool, name) in STEPS {
        let script = block("README.md", tool, name).replace("sha256:…", &digest);
        world.run_script(&world.named(&script), None);
    }
    for tag in ["ghcr.io/org/app:v1.2.3", "registry.example/app:v1", "registry.example/org/app:listed"] {
        assert_eq!(world.digest(tag), digest, "{tag}");
    }
    assert_eq!(world.platforms("ghcr.io/org/web:v1"), ["amd64", "arm64"]);
    assert_eq!(world.platforms("ghcr.io/org/app:stable"), ["amd64", "arm64", "riscv64"]);
    assert_eq!(world.config("ghcr.io/org/app:v1-labelled")["Labels"], json!({"org.example.team": "core"}));
}

/// A `cat` that needs nothing from its image.
const CAT: &str = r#"#include <stdio.h>
int main(int count, char **words) {
    FILE *file = count == 2 ? fopen(words[1], "r") : 0;
    if (!file) return 1;
    for (int byte; (byte = fgetc(file)) != EOF;) putchar(byte);
    return 0;
}
"#;

#[test]
fn the_first_session_ends_with_a_container() {
    let _: (&str, &str, &str) = ("README", "imgstep", "first-session");
    let Some(docker) = docker() else { return };
    let world = World::new();
    fs::write(world.work().join("cat.c"), CAT).unwrap();
    let made = Command::new("cc").args(["-static", "-o", "cat", "cat.c"]).current_dir(world.work()).status();
    if !made.is_ok_and(|status| status.success()) {
        return missing("a C compiler with a static library", "the first session of README is not run");
    }
    let machine = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let base = format!(
        "imgstep append scratch --to ghcr.io/library/alpine --layer base/amd64=/etc/a,platform=linux/amd64 \
         base/arm64=/etc/a,platform=linux/arm64 cat=/bin/cat,platform=linux/{machine}"
    );
    world.run_script(&world.named(&base), None);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let session = block("README.md", "imgstep", "first-session")
        .replace("registry serve", &format!("registry serve --address {port}"))
        .replace("localhost:5000", &format!("localhost:{port}"))
        .replace(" alpine ", &format!(" {} ", world.named("ghcr.io/library/alpine")))
        .replace("docker run", "docker run --network none");
    let script = format!("trap 'kill $!' EXIT\n{session}");
    let run = world.run_script(&script, Some(docker));
    docker.output(&["image", "rm", "--force", &format!("localhost:{port}/hello")]);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{run:?}");
    assert!(lines[0].starts_with(&format!("localhost:{port}/hello@sha256:")), "{}", lines[0]);
    assert_eq!(lines[1], "Hello from a new layer");
    assert!(read("README.md").contains("the last prints `Hello from a new layer`"));
}

#[test]
fn a_release_is_downloaded_checked_and_unpacked() {
    let _: (&str, &str, &str) = ("README", "imgstep", "install");
    if !is_here("curl") {
        return missing("curl", "the download in README is not run");
    }
    let world = World::new();
    let archive = "imgstep-1.0.0-linux-amd64.tar.gz";
    world.stand_in("sudo", "#!/bin/sh\nexec \"$@\"\n");
    let pack = format!("mkdir release there\ncd release\necho program >imgstep\ntar -czf {archive} imgstep\n");
    world.run_script(&pack, None);
    let release = world.work().join("release");
    let sum = images::sha256(&fs::read(release.join(archive)).unwrap());
    let sum = sum.strip_prefix("sha256:").unwrap();
    let other = "0".repeat(64);
    fs::write(release.join("checksums.txt"), format!("{sum}  {archive}\n{other}  another.tar.gz\n")).unwrap();
    let script = block("README.md", "imgstep", "install")
        .replace("https://github.com/org/imgstep/releases/download/v1.0.0", &format!("file://{}", release.display()))
        .replace("/usr/local/bin", "there");
    let run = world.run_script(&script, None);
    assert_eq!(run.stdout, format!("{archive}: OK\n"));
    assert_eq!(world.read("there/imgstep").unwrap(), "program\n");
}

#[test]
fn the_plot_shows_the_measurements() {
    if !is_here("python3") {
        return missing("python3", "README's plot is not compared with bench/RESULTS.md");
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/overview.py");
    let output = Command::new("python3").args([script, "--check"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
