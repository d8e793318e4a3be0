//! Whether the program that an image starts with is in it.

use std::os::unix::fs::symlink;

use imgstep::layer::tarball::{self, Header, Kind};

use super::append;
use crate::support::{Folder, registries};

/// A folder with a program, and links that lead to it.
fn tree() -> Folder {
    let folder = Folder::new();
    folder.write("tree/usr/bin/app-1.2", "#!/bin/sh\n");
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
            &["linux/amd64 starts with /app", "in no layer given (looked for: /app)", "--check-entrypoint=false"],
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
fn the_base_is_looked_at_on_request() {
    let folder = tree();
    let layer = folder.join("tree").display().to_string();
    let more = folder.write("more", "x").display().to_string();
    for registry in registries() {
        for how in ["gzip", "zstd", "none"] {
            append("scratch", &registry.at("base:v1"))
                .args(["--layer", &layer, "--platform", "linux/amd64", "linux/arm64", "--compression", how])
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
                .failed(3, &["starts with /bin/other", "in no layer given and not in the base"]);
            step("/bin/app")
                .args(["--check-entrypoint", "--delete", "/usr/bin/app"])
                .run()
                .failed(3, &["starts with /bin/app"]);
            // Nobody asked: the base may hold it.
            step("/bin/other").run().ended(0);
        }
    }
}

/// A tar of symbolic links whose names and targets are as long as they can be.
fn links(count: usize) -> Vec<u8> {
    let mut tar = Vec::new();
    for number in 0..count {
        let path = format!("{number:04000}");
        let kind = Kind::Symlink(path.as_bytes());
        let header =
            Header { path: path.as_bytes(), kind, mode: 0o777, owner: (0, 0), size: 0, mtime: 0, windows: false };
        tar.extend(tarball::header(&header));
    }
    tar.extend(tarball::END);
    tar
}

#[test]
fn a_base_of_more_links_than_memory_should_hold_makes_the_answer_not_known() {
    let folder = Folder::new();
    let hostile = folder.write("hostile.tar", links(10_000)).display().to_string();
    let more = folder.write("more", "x").display().to_string();
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
