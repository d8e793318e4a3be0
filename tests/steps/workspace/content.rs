//! Which files of a folder go into its layer, and what is reported about them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::{layers, workspace};
use crate::support::docker::docker;
use crate::support::{Folder, Registry, client, registries};

/// The names of files in the only layer that a step wrote.
fn files(registry: &Registry) -> Vec<String> {
    let image: serde_json::Value = serde_json::from_slice(&registry.manifest_bytes("app", "v1")).unwrap();
    let url = registry.url(&format!("app/blobs/{}", image["layers"][0]["digest"].as_str().unwrap()));
    let folder = Folder::new();
    let path = folder.write("layer", client::expect(200, "GET", &url, &[], b"").body);
    let output = Command::new("tar").arg("-tf").arg(&path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_dockerignore_is_used_if_there_is_no_imgstepignore() {
    let folder = Folder::new();
    for name in
        ["index.js", "node_modules/a/x", "app/node_modules/b", "docs/keep.md", "docs/other.md", ".env", "Dockerfile"]
    {
        folder.write(&format!("work/{name}"), name);
    }
    folder.write("work/.dockerignore", "# not for the image\n/node_modules\n.env\ndocs\n!docs/keep.md\n");
    for registry in registries() {
        layers(&folder, &registry, &["."]).run().ended(0);
        let expected = [
            ".dockerignore",
            "Dockerfile",
            "app/",
            "app/node_modules/",
            "app/node_modules/b",
            "docs/",
            "docs/keep.md",
            "index.js",
        ];
        assert_eq!(files(&registry), expected);
        layers(&folder, &registry, &[".", "--exclude", "node_modules", "Dockerfile", ".dockerignore"]).run().ended(0);
        assert_eq!(files(&registry), ["app/", "docs/", "docs/keep.md", "index.js"]);
        folder.write("work/.imgstepignore", "docs\napp\n.dockerignore\n");
        layers(&folder, &registry, &["."]).run().ended(0);
        assert_eq!(
            files(&registry),
            [".env", "Dockerfile", "index.js", "node_modules/", "node_modules/a/", "node_modules/a/x"]
        );
        fs::remove_file(folder.join("work/.imgstepignore")).unwrap();
    }
    folder.write("work/.dockerignore", "a\n[b\n");
    layers(&folder, &registries()[0], &["."]).run().failed(2, &[".dockerignore", "`[b` is not a pattern"]);
}

#[test]
fn pattern_files_are_limited_in_size_and_stay_in_the_workspace() {
    let registry = &registries()[0];
    for name in [".imgstepignore", ".dockerignore"] {
        let refused = |target: &str, part: &str| {
            let folder = workspace();
            folder.link(target, name);
            let run = layers(&folder, registry, &["."]).run().failed(1, &["read ", name, part]);
            assert!(!run.stderr.contains("topsecret"), "{}", run.stderr);
        };
        refused("/dev/zero", "leads to /dev/zero, out of ");
        refused("../credentials/.dockerconfigjson", "leads to ../credentials");
        let folder = workspace();
        assert!(Command::new("mkfifo").arg(folder.work().join(name)).status().unwrap().success());
        layers(&folder, registry, &["."]).run().failed(1, &["a named pipe"]);
        let folder = workspace();
        fs::File::create(folder.work().join(name)).unwrap().set_len(2 << 20).unwrap();
        layers(&folder, registry, &["."]).run().failed(1, &["more than 1048576 bytes"]);
    }
}

#[test]
fn secrets_that_go_into_a_layer_are_reported_by_name() {
    let folder = workspace();
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMII";
    for (name, content) in [
        (".git/HEAD", "ref: refs/heads/main"),
        (".git/id_rsa", "in .git anyway"),
        (".env", "A=b"),
        (".env.example", "A="),
        ("ssh/id_ed25519", key),
        ("ssh/id_ed25519.pub", "ssh-ed25519 AAAA"),
        ("tls/server.pem", key),
        ("tls/ca.pem", "-----BEGIN CERTIFICATE-----"),
        ("tls/server.key", key),
        ("tls/archive.key", "-----BEGIN PGP PUBLIC KEY BLOCK-----"),
    ] {
        folder.write(&format!("work/{name}"), content);
    }
    for registry in registries() {
        let run = layers(&folder, &registry, &["."]).run().ended(0);
        let warnings: Vec<_> = run.stderr.lines().filter(|line| line.contains("warning")).collect();
        assert_eq!(warnings.len(), 1, "{}", run.stderr);
        assert!(warnings[0].contains(".env, .git, ssh/id_ed25519 and 2 more"), "{}", run.stderr);
        let run = layers(&folder, &registry, &[".", "--exclude", ".git", ".env", "ssh", "*.key", "server.pem"])
            .run()
            .ended(0);
        assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    }
}

#[test]
fn files_of_a_folder_that_a_layer_omits_are_reported() {
    let folder = workspace();
    let program = folder.write("work/bin/ping", "#!/bin/sh");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let registry = &registries()[0];
    let flags = rustix::fs::XattrFlags::empty();
    // Not every file system of a temporary folder supports them.
    let has_attributes = rustix::fs::setxattr(&program, "user.note", b"x", flags).is_ok();
    let step = |layer: &str| layers(&folder, registry, &[layer]).run().ended(0).stderr;
    let told = step("bin=/bin");
    assert!(told.contains("warning: the layer bin leaves out "), "{told}");
    assert!(
        told.contains("set-uid or set-gid bits (ping); mode=keep keeps the bits; a tar as the layer keeps all"),
        "{told}"
    );
    let kept = step("bin=/bin,mode=keep");
    assert!(!kept.contains("set-uid"), "{kept}");
    assert_eq!(kept.contains("extended attributes (ping)"), has_attributes, "{kept}");
    assert!(!step("app").contains("warning"));
}

/// The names in a tar below `root`, without their parent folders.
fn names(tar: &[u8], root: &str) -> Vec<String> {
    let folder = Folder::new();
    let path = folder.write("tar", tar);
    let output = Command::new("tar").arg("-tf").arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(root)).map(str::to_owned).collect();
    names.retain(|name| !name.is_empty());
    names.sort();
    names
}

#[test]
fn docker_build_includes_the_same_files() {
    let Some(docker) = docker() else { return };
    let folder = Folder::new();
    let dockerfile = folder.write("Dockerfile", "FROM scratch\nCOPY . /x/\nCMD [\"none\"]\n").display().to_string();
    for name in [
        "a",
        "ab",
        "b",
        "foo",
        "xfoo",
        "x.md",
        "README.md",
        "README-secret.md",
        "a.b",
        "axb",
        "b1y",
        "b1x",
        "sp ace",
        "#a",
        "!b",
        "*",
        "dir/a",
        "dir/foo",
        "dir/xfoo",
        "dir/sub/foo",
        "dir/sub/x.md",
        "dir/sub/deep/a",
        "foo.d/a",
        "foo.d/b/c",
        "src/a",
        "src/b/c",
        "docs/keep.md",
        "docs/other",
        "docs/sub/keep.md",
        "node_modules/x",
        "dir/node_modules/x",
    ] {
        folder.write(&format!("work/{name}"), name);
    }
    let work = folder.join("work").display().to_string();
    let registry = &registries()[0];
    // No patterns with stars that include again: BuildKit applies them below folders, and the builder here doesn't.
    for text in [
        "# nothing",
        "*/a*",
        "*/*/a*\n?",
        "**/*.md\n!README*.md\nREADME-secret.md",
        "README-secret.md\n!README*.md",
        "node_modules/",
        "**/node_modules",
        "*\n!src",
        "docs\n!docs/keep.md",
        "docs/**\n!docs/sub",
        "/dir/sub/../foo\n./src/\n/../b",
        "**foo\n**/sub/**",
        "dir/**/foo\nsrc**",
        "[a-b]1[^x]\na.b\n[!a]",
        "  sp ace  \n\\#a\n\\*\n! xfoo",
        "**",
        "*.d\n!foo.d/b",
        "dir\n!dir/sub/x.md\n!dir/sub/deep",
    ] {
        folder.write("work/.dockerignore", text);
        docker.output(&["build", "--quiet", "--tag", "imgstep-ignored", "--file", &dockerfile, &work]);
        let by_docker = names(&docker.tar("imgstep-ignored", "linux/amd64", "/x"), "x/");
        layers(&folder, registry, &["."]).run().ended(0);
        let mut ours = files(registry);
        ours.sort();
        assert_eq!(ours, by_docker, "{text:?}");
    }
    docker.output(&["image", "rm", "--force", "imgstep-ignored"]);
}
