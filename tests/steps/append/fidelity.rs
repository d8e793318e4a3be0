//! What is pushed comes back as it was: content, modes and links, as read by third-party tools.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{append, blob, manifest};
use crate::support::tree::{self, Tree};
use crate::support::{Folder, Registry, debian_tool, images, is_root, other_tool, registries};

/// The time of every file.
const EPOCH: i64 = 1_700_000_000;

/// A folder with everything that a layer can contain.
fn everything() -> Folder {
    let folder = Folder::new();
    let root = folder.join("tree");
    let at = |name: &[u8]| root.join(OsStr::from_bytes(name));
    let write = |name: &[u8], content: &[u8], mode: u32| {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), content).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    write(b"plain", b"plain", 0o644);
    write(b"nothing", b"", 0o600);
    write(b"block", &[b'b'; 512], 0o640);
    write(b"large", &images::noise(1, 3_000_000), 0o444);
    write(b"bin/run", b"#!/bin/sh\n", 0o755);
    write(b"bin/as-root", b"\x7f", 0o4755);
    write(b"bin/as-group", b"\x7f", 0o2711);
    // Names: the longest that a system allows, lengths around what a header has room for, and invalid UTF-8.
    write(&[b'n'; 255], b"long", 0o644);
    write(&[b'h'; 100], b"a hundred", 0o644);
    write(&[b'i'; 101], b"one more", 0o644);
    write(&[&[b'p'; 155][..], b"/", &[b'q'; 100]].concat(), b"prefix and name", 0o644);
    write(&[&[b'p'; 156][..], b"/", &[b'q'; 100]].concat(), b"a record", 0o644);
    let deep = [[b'd'; 200].as_slice(); 6].join(&b'/');
    write(&[&deep, &b"/file"[..]].concat(), b"deep", 0o644);
    write(b"not-\xff-text/\xfe\x80", b"bytes", 0o644);
    write(&[b'\xe9'; 200], b"bytes", 0o644);
    write("\u{fc}ml\u{e4}ut/\u{65e5}\u{672c}".as_bytes(), b"text", 0o644);
    write(b"a\nline\tand \\ \"quotes\" '=,%", b"odd", 0o644);
    write(b"-dash", b"odd", 0o644);
    // Folders: empty, and with various modes.
    for (name, mode) in [(&b"empty"[..], 0o755), (b"private", 0o700), (b"sticky", 0o1777), (b"read-only", 0o555)] {
        fs::create_dir(at(name)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    // Links: inside, to the outside, to nowhere, and longer than a header has room for.
    symlink("bin", at(b"link-to-folder")).unwrap();
    symlink("../plain", at(b"bin/link")).unwrap();
    symlink("/etc/hostname", at(b"absolute")).unwrap();
    symlink("no/where", at(b"dangling")).unwrap();
    symlink("t/".repeat(200), at(b"long-target")).unwrap();
    symlink(OsStr::from_bytes(b"\xff\xfe"), at(b"target-no-text")).unwrap();
    fs::hard_link(at(b"plain"), at(b"bin/same-as-plain")).unwrap();
    fs::hard_link(at(b"plain"), at(b"zz-same-as-plain")).unwrap();
    fs::hard_link(at(&[&deep, &b"/file"[..]].concat()), at(b"same-as-deep")).unwrap();
    fs::hard_link(at(b"bin/as-root"), at(b"bin/same-as-root")).unwrap();
    let sparse = fs::File::create(at(b"sparse")).unwrap();
    sparse.set_len(9_000_000).unwrap();
    sparse.write_all_at(b"in the middle", 5_000_000).unwrap();
    folder
}

/// An image's layer, unpacked by GNU tar.
fn by_tar(registry: &Registry, name: &str, folder: &Folder) -> PathBuf {
    let image = manifest(registry, name, "v1");
    let layer = folder.write(&format!("{name}.layer"), blob(registry, name, &image["layers"][0]["digest"]));
    let into = folder.join(&format!("{name}-by-tar"));
    fs::create_dir(&into).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--preserve-permissions", "--numeric-owner", "--delay-directory-restore", "--file"]);
    let output = tar.arg(layer).arg("--directory").arg(&into).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    into
}

/// An image, fetched by skopeo and unpacked by umoci, if they are installed.
fn by_umoci(registry: &Registry, name: &str, folder: &Folder) -> Option<PathBuf> {
    if !debian_tool("skopeo") || !debian_tool("umoci") {
        return None;
    }
    let source = format!("docker://{}", registry.at(&format!("{name}:v1")));
    let layout = format!("{}:v1", folder.join(&format!("{name}.oci")).display());
    let policy = folder.write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    // umoci doesn't support zstd, so skopeo converts those layers.
    other_tool(&[
        "skopeo",
        "--policy",
        &policy.display().to_string(),
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        "--dest-compress",
        "--dest-compress-format=gzip",
        &source,
        &format!("oci:{layout}"),
    ])?;
    let into = folder.join(&format!("{name}-by-umoci"));
    let path = into.display().to_string();
    let rootless: &[&str] = if is_root() { &[] } else { &["--rootless"] };
    other_tool(&[&["umoci", "raw", "unpack", "--image", &layout], rootless, &[&path]].concat())?;
    Some(into)
}

/// Appends `tree` with these arguments, pushes to `registry`, and compares what other tools unpack.
fn check(registry: &Registry, name: &str, tree: &Path, options: &str, words: &[&str]) {
    let folder = Folder::new();
    let before = tree::read(tree);
    append("scratch", &registry.at(&format!("{name}:v1")))
        .args(["--platform", "linux/amd64", "--layer", &format!("{}{options}", tree.display())])
        .args(words)
        .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
        .run()
        .ended(0);
    assert!(tree::differences(&before, &tree::read(tree)).is_empty(), "what is appended is only read");
    // Only root can change a file's owner; without root, the files belong to the user who runs the tests.
    let own = std::os::unix::fs::MetadataExt::uid(&fs::metadata(folder.path()).unwrap());
    let own_group = std::os::unix::fs::MetadataExt::gid(&fs::metadata(folder.path()).unwrap());
    let owner = match (is_root(), options.contains("owner=")) {
        (true, true) => (1234, 5678),
        (true, false) => (0, 0),
        (false, _) => (own, own_group),
    };
    let expected = tree::as_promised(before, options.contains("mode=keep"), owner, EPOCH);
    let same = |found: &Tree, by: &str| {
        let differences = tree::differences(&expected, found);
        assert!(differences.is_empty(), "{name} {options} {words:?} by {by}: {differences:#?}");
    };
    same(&tree::read(&by_tar(registry, name, &folder)), "tar");
    if let Some(path) = by_umoci(registry, name, &folder) {
        same(&tree::read(&path), "umoci");
    }
}

#[test]
fn a_tree_with_everything_comes_back_unchanged() {
    let folder = everything();
    let tree = folder.join("tree");
    for registry in registries() {
        check(&registry, "normal", &tree, "", &[]);
        check(&registry, "kept", &tree, ",mode=keep", &[]);
        check(&registry, "owned", &tree, ",mode=keep,owner=1234:5678", &["--compression", "none"]);
        if debian_tool("zstd") {
            check(&registry, "zstd", &tree, ",owner=1234:5678", &["--compression", "zstd"]);
        }
    }
}

#[test]
fn a_layer_without_platform_is_the_same_blob_for_every_platform() {
    let folder = everything();
    let layer = format!("{}=/opt", folder.join("tree").display());
    for registry in registries() {
        append("scratch", &registry.at("app:v1"))
            .args(["--platform", "linux/amd64", "linux/arm64", "linux/riscv64", "--layer", &layer])
            .run()
            .ended(0);
        let index = manifest(&registry, "app", "v1");
        let layers = index["manifests"].as_array().unwrap().iter().map(|child| {
            let image = manifest(&registry, "app", child["digest"].as_str().unwrap());
            image["layers"].to_string()
        });
        let layers: std::collections::HashSet<String> = layers.collect();
        assert_eq!(layers.len(), 1, "{layers:?}");
    }
}

#[test]
fn several_thousand_files_are_all_there() {
    let folder = Folder::new();
    for number in 0..3000 {
        folder.write(&format!("tree/{}/{number}", number % 7), number.to_string());
    }
    for registry in registries() {
        check(&registry, "many", &folder.join("tree"), "", &["--compression", "gzip:1"]);
    }
}

#[test]
fn excluded_files_are_left_out_and_all_others_are_there() {
    let folder = Folder::new();
    for name in ["keep", "a/keep.log", "a/drop.log", "node_modules/x/y", "b/node_modules/z", "secret/key", "secret/pub"]
    {
        folder.write(&format!("tree/{name}"), name);
    }
    folder.write("tree/.imgstepignore", "# as git has it\n*.log\n!keep.log\nnode_modules/\n");
    // Below the root it is an ordinary file.
    folder.write("tree/b/.imgstepignore", "*\n");
    let layer = folder.join("tree").display().to_string();
    for registry in registries() {
        append("scratch", &registry.at("app:v1"))
            .args(["--platform", "linux/amd64", "--layer", &layer, "--exclude", "/secret/*", "!/secret/pub"])
            .run()
            .ended(0);
        let found = tree::read(&by_tar(&registry, "app", &folder));
        let found: Vec<_> = found.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        assert_eq!(found, ["a", "a/keep.log", "b", "b/.imgstepignore", "keep", "secret", "secret/pub"]);
        fs::remove_dir_all(folder.join("app-by-tar")).unwrap();
    }
}
