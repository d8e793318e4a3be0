//! Whether the program that an image starts is in the image.

use std::os::unix::fs::symlink;
use std::process::Command;

use imgstep::layer::tar_writer::{self, EntryType, Header};

use super::{AMD64, append, program};
use crate::support::{Folder, Proxy, images, registries};

const ON: [&str; 2] = ["--platform", "linux/amd64"];

/// A dynamically linked program for a machine type: one program header, which names this interpreter.
fn dynamic(machine: u8, interpreter: &str) -> Vec<u8> {
    let mut bytes = program(machine, "");
    bytes.resize(64 + 56, 0);
    (bytes[16], bytes[32], bytes[54], bytes[56]) = (3, 64, 56, 1);
    (bytes[64], bytes[64 + 8]) = (3, 120);
    bytes[64 + 32] = u8::try_from(interpreter.len()).unwrap() + 1;
    bytes.extend(interpreter.as_bytes());
    bytes.push(0);
    bytes
}

/// A folder with a program and links to it.
fn tree() -> Folder {
    let folder = Folder::new();
    folder.write_program("tree/usr/bin/app-1.2", program(AMD64, "x"));
    symlink("app-1.2", folder.join("tree/usr/bin/app")).unwrap();
    symlink("usr/bin", folder.join("tree/bin")).unwrap();
    folder
}

#[test]
fn on_scratch_the_program_must_be_in_a_layer() {
    let folder = tree();
    let layer = folder.join("tree").display().to_string();
    for registry in registries() {
        let step = || append("scratch", &registry.at("app:v1")).args(["--layer", &layer, "--platform", "linux/amd64"]);
        step().args(["--entrypoint", r#"["/app"]"#]).run().failed(
            3,
            &[
                "linux/amd64 starts with /app",
                "in none of the given layers (looked for: /app)",
                "--check-entrypoint=false",
            ],
        );
        assert!(!registry.has_manifest("app", "v1"));
        step().args(["--entrypoint", r#"["/app"]"#, "--check-entrypoint=false"]).run().ended(0);
        for good in ["/usr/bin/app-1.2", "/usr/bin/app", "/bin/app", "app"] {
            step().args(["--entrypoint", &format!(r#"["{good}"]"#)]).run().ended(0);
        }
        step().args(["--cmd", r#"["./app"]"#, "--workdir", "/bin"]).run().ended(0);
        step().args(["--cmd", r#"["app"]"#, "--env", "PATH=/sbin"]).run().failed(3, &["looked for: /sbin/app"]);
        step().run().ended(0);
    }
}

#[test]
fn the_base_is_checked_on_request() {
    let folder = tree();
    let layer = folder.join("tree").display().to_string();
    let more = folder.write_program("more", b"x").display().to_string();
    for registry in registries() {
        for how in ["gzip", "zstd", "none"] {
            append("scratch", &registry.at("base:v1"))
                .args(["--layer", &layer, "--platform", "linux/amd64", "linux/arm64", "--compression", how])
                .arg("--allow-foreign-binaries")
                .run()
                .ended(0);
            let step = |program: &str| {
                append(&registry.at("base:v1"), &registry.at("app:v1")).args([
                    "--layer",
                    &format!("{more}=/opt/more"),
                    "--entrypoint",
                    &format!(r#"["{program}"]"#),
                ])
            };
            step("/bin/app").arg("--check-entrypoint").run().ended(0);
            step("app").arg("--check-entrypoint").run().ended(0);
            step("/opt/more").arg("--check-entrypoint").run().ended(0);
            step("/bin/other")
                .arg("--check-entrypoint")
                .run()
                .failed(3, &["starts with /bin/other", "in none of the given layers and not in the base"]);
            step("/bin/app")
                .args(["--check-entrypoint", "--delete", "/usr/bin/app"])
                .run()
                .failed(3, &["starts with /bin/app"]);
            // Nothing asked for a check: the base may contain it.
            step("/bin/other").run().ended(0);
        }
    }
}

/// A tar of symbolic links whose names and targets have the maximum length.
fn links(count: usize) -> Vec<u8> {
    let mut tar = Vec::new();
    for number in 0..count {
        let path = format!("{number:04000}");
        let kind = EntryType::Symlink(path.as_bytes());
        let header =
            Header { path: path.as_bytes(), kind, mode: 0o777, owner: (0, 0), size: 0, mtime: 0, windows: false };
        tar.extend(tar_writer::header(&header));
    }
    tar.extend(tar_writer::END);
    tar
}

#[test]
fn a_base_with_too_many_links_makes_the_check_inconclusive() {
    let folder = Folder::new();
    let hostile = folder.write("hostile.tar", links(10_000)).display().to_string();
    let more = folder.write_program("more", b"x").display().to_string();
    for registry in registries() {
        append("scratch", &registry.at("base:v1"))
            .args(["--layer", &hostile, "--platform", "linux/amd64"])
            .run()
            .ended(0);
        let step = append(&registry.at("base:v1"), &registry.at("app:v1")).args([
            "--layer",
            &format!("{more}=/opt/more"),
            "--check-entrypoint",
            "--entrypoint",
            r#"["/bin/app"]"#,
        ]);
        let run = step.run().ended(0);
        let told = "holds more files or links than are looked through: whether it holds /bin/app is not known";
        assert!(run.stderr.contains(told), "{}", run.stderr);
    }
}

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

#[test]
fn a_program_that_needs_what_is_not_there_is_refused_and_the_ways_out_are_named() {
    let folder = Folder::new();
    let app = folder.write_program("greet", dynamic(AMD64, LOADER)).display().to_string();
    let script = folder.write_program("run", b"#! /usr/bin/env node\n").display().to_string();
    let loader = folder.write_program("ld.so", program(AMD64, "ld")).display().to_string();
    let data = folder.write("data", "x").display().to_string();
    for registry in registries() {
        let step = |base: &str, program: &str, layers: &[String]| {
            append(base, &registry.at("app:v1"))
                .args(["--entrypoint", &format!(r#"["{program}"]"#), "--layer"])
                .args(layers)
        };
        let scratch = |program: &str, layers: &[String]| step("scratch", program, layers).args(ON);
        let (greet, run) = (format!("{app}=/greet"), format!("{script}=/run"));
        let dynamically =
            ["/greet is linked dynamically", LOADER, "musl target", "+crt-static", "CGO_ENABLED=0", "glibc"];
        scratch("/greet", std::slice::from_ref(&greet)).run().failed(3, &dynamically);
        scratch("/run", std::slice::from_ref(&run)).run().failed(3, &["/run is a script for /usr/bin/env"]);
        assert!(!registry.has_manifest("app", "v1"));
        scratch("/greet", std::slice::from_ref(&greet)).arg("--check-entrypoint=false").run().ended(0);
        scratch("/greet", &[greet.clone(), format!("{loader}={LOADER}")]).run().ended(0);
        // A file that nobody can execute isn't a program.
        scratch("/greet", &[greet.clone(), format!("{loader}={LOADER},mode=0644")]).run().failed(3, &[LOADER]);
        // A tar gives the same result.
        let tar = folder.join("greet.tar");
        let status = Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(folder.path()).arg("greet").status();
        assert!(status.unwrap().success());
        scratch("/greet", &[tar.display().to_string()]).run().failed(3, &dynamically);

        // On a base, on request: the base's links are followed.
        let base = |name: &str, layers: &[String]| {
            append("scratch", &registry.at(name)).arg("--layer").args(layers).args(ON).run().ended(0);
        };
        base("without:v1", &[format!("{data}=/etc/data")]);
        let lib = Folder::new();
        lib.write_program("usr/lib64/ld-linux-x86-64.so.2", program(AMD64, "ld"));
        symlink("usr/lib64", lib.join("lib64")).unwrap();
        base("with:v1", &[lib.path().display().to_string()]);
        let on = |base: &str| step(&registry.at(base), "/greet", std::slice::from_ref(&greet));
        on("without:v1").run().ended(0);
        on("without:v1").arg("--check-entrypoint").run().failed(3, &["and not in the base", LOADER]);
        on("with:v1").arg("--check-entrypoint").run().ended(0);
        // The base's own program may lack its interpreter too.
        base("dynamic:v1", &[format!("{app}=/greet"), format!("{loader}={LOADER}")]);
        append(&registry.at("dynamic:v1"), &registry.at("app:v2"))
            .args(["--delete", LOADER, "--cmd", r#"["/greet"]"#, "--check-entrypoint"])
            .run()
            .failed(3, &["/greet is linked dynamically"]);
    }
}

#[test]
fn a_program_that_nobody_may_execute_is_refused_on_any_base() {
    let folder = Folder::new();
    let app = folder.write("app", program(AMD64, "x")).display().to_string();
    for registry in registries() {
        images::image(1, 1, 300).push(&registry, "base", "v1");
        for (app_at, base) in [("one", "scratch".to_owned()), ("two", registry.at("base:v1"))] {
            let proxy = Proxy::before(&registry);
            let step = |end: &str, program: &str| {
                append(&base, &proxy.at(&format!("{app_at}:v1")))
                    .args(["--layer", &format!("{app}=/usr/local/bin/app{end}"), "--entrypoint"])
                    .arg(format!(r#"["{program}"]"#))
                    .args(ON)
            };
            let words = ["/usr/local/bin/app is not executable", "`,mode=0755`"];
            step("", "/usr/local/bin/app").run().failed(3, &words);
            assert!(proxy.writes().is_empty(), "{:#?}", proxy.lines());
            step("", "app").run().failed(3, &words);
            assert!(!registry.has_manifest(app_at, "v1"));
            step("", "app").arg("--check-entrypoint=false").run().ended(0);
            step(",mode=0755", "app").run().ended(0);
            step(",mode=0755", "/usr/local/bin/app").run().ended(0);
        }
    }
}
