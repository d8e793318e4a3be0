//! What is refused, and with which status; nothing is written then.

use std::time::Duration;

use super::{AMD64, append, program, programs};
use crate::support::{Action, Folder, Proxy, Style, images, imgstep_under, is_root, pairs, registries, rule};

#[test]
fn a_program_for_another_architecture_ends_with_3() {
    let folder = Folder::new();
    let path = folder.write("app", program(AMD64, "x")).display().to_string();
    let layer = format!("{path}=/app,mode=0755");
    for registry in registries() {
        let step = || append("scratch", &registry.at("app:v1")).args(["--platform", "linux/arm64", "linux/amd64"]);
        step()
            .args(["--layer", &layer])
            .run()
            .failed(3, &[&path, "is a linux/amd64 binary (ELF)", "the image is linux/arm64", "platform=linux/amd64"]);
        assert!(!registry.has_manifest("app", "v1"));
        step().args(["--layer", &layer, "--allow-foreign-binaries"]).run().ended(0);
        // What can't be run isn't a program.
        step().args(["--layer", &format!("{path}=/data,mode=0644")]).run().ended(0);
    }
}

#[test]
fn a_platform_that_the_base_lacks_ends_with_3() {
    let base = images::index(Style::Oci, 1, 1, 1, 300);
    let (_folder, layers) = programs();
    for registry in registries() {
        base.push(&registry, "base", "v1");
        append(&registry.at("base:v1"), &registry.at("app:v1"))
            .args(&layers)
            .run()
            .failed(3, &["has no image for linux/arm64; available platforms: linux/amd64"]);
        append(&registry.at("nobase:v1"), &registry.at("app:v1")).args(&layers).run().failed(5, &["nobase:v1"]);
        assert!(!registry.has_manifest("app", "v1"));
    }
}

#[test]
fn a_broken_base_leaves_no_tag_and_nothing_is_sent_before_all_guards_pass() {
    let base = images::index(Style::Oci, 1, 2, 3, 5000);
    let (_folder, layers) = programs();
    for (source, destination) in pairs() {
        base.push(&source, "base", "v1");
        let (layers_of_base, configs): (Vec<_>, Vec<_>) =
            base.blobs.iter().partition(|blob| !blob.media_type.contains("config"));
        for config in &configs {
            source.delete_blob("base", &config.digest);
        }
        // Long enough for the layers to be sent while the configs are still awaited.
        let stalls = configs.iter().map(|config| rule("GET", &config.digest, Action::Stall(Duration::from_secs(3))));
        let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
        reading.add_all(&stalls.collect::<Vec<_>>());
        let step = || append(&reading.at("base:v1"), &writing.at("app:v1")).args(&layers);
        // Nothing is moved that a guard could still refuse.
        step().arg("--check-entrypoint").run().failed(1, &["404 Not Found"]);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        step().run().failed(1, &["404 Not Found"]);
        assert_eq!(writing.uploaded().len(), layers_of_base.len(), "{:#?}", writing.lines());
        assert_eq!(writing.count("PUT", "/manifests/"), 0, "{:#?}", writing.lines());
        assert!(!destination.has_manifest("app", "v1"));
    }
}

#[test]
fn an_existing_tag_is_kept_on_request() {
    let other = images::image(7, 1, 300);
    let (_folder, layers) = programs();
    for registry in registries() {
        other.push(&registry, "app", "v1");
        let step = |what: &str| append("scratch", &registry.at("app:v1")).args(&layers).args(["--if-exists", what]);
        step("fail").run().failed(3, &[other.digest()]);
        step("skip").run().ended(0);
        assert_eq!(registry.manifest_bytes("app", "v1"), other.root().bytes);
        step("overwrite").run().ended(0);
        assert_ne!(registry.manifest_bytes("app", "v1"), other.root().bytes);
    }
}

#[test]
fn usage_errors_end_with_2() {
    let (folder, layers) = programs();
    let out = format!("oci:{}", folder.join("out").display());
    let layer = layers[1].clone();
    let wrong = |words: &[&str], part: &str| {
        append("scratch", &out).args(words).run().failed(2, &[part]);
    };
    wrong(&[], "nothing to append");
    wrong(&["--layer", "x=/../y"], "`..`");
    wrong(&["--layer", "x", "--delete", "/y"], "scratch has nothing to delete");
    wrong(&["--layer", &layer, "--compression", "xz"], "gzip, zstd");
    wrong(&["--layer", &layer, "--compression", "zstd:20"], "1 to 19");
    wrong(&["--layer", &layer, "--compression", "zstd", "--format", "docker"], "--format oci");
    wrong(&["--layer=-=/x,platform=linux/amd64"], "standard input");
    wrong(&["--layer", "-,platform=linux/amd64", "-"], "given twice");
    wrong(&["--layer", &layer, "--entrypoint", "/app -v"], "JSON array");
    wrong(&["--layer", &layer, "--env", "x"], "KEY=VALUE");
    wrong(&["--layer", &layer, "--expose", "http"], "is not a port");
    wrong(&["--layer", &layer, "--created", "today"], "is not a time");
    wrong(&["--layer", &layer, "--annotation", "a=b", "--format", "docker"], "--format oci");
    wrong(&["--layer", &folder.join("amd64").display().to_string()], "no platform given for scratch");
    append("scratch", &out).args(["--layer", "/nowhere/at/all,platform=linux/amd64"]).run().failed(1, &["/nowhere"]);
    assert!(!folder.join("out").exists());
}

#[test]
fn an_unreadable_file_is_named_and_nothing_is_tagged() {
    let folder = Folder::new();
    let path = folder.write("tree/secret", "x");
    folder.write("tree/open", "x");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    // Root can read everything, so another user runs the step.
    let runner: &[&str] =
        if is_root() { &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] } else { &[] };
    for registry in registries() {
        let proxy = Proxy::before(&registry);
        let layer = folder.join("tree").display().to_string();
        imgstep_under(runner, ["append", "scratch", "--to", &proxy.at("app:v1"), "--layer", &layer])
            .args(["--platform", "linux/amd64"])
            .run()
            .failed(1, &["read ", "tree/secret: Permission denied"]);
        assert!(proxy.writes().is_empty(), "{:#?}", proxy.lines());
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_is_named_and_nothing_is_tagged() {
    let folder = Folder::new();
    let path = folder.write("log", images::noise(1, 20_000_000));
    for registry in registries() {
        let proxy = Proxy::before(&registry);
        let result = folder.join("digest");
        let step = append("scratch", &proxy.at("app:v1"))
            .args(["--layer", &path.display().to_string(), "--platform", "linux/amd64"])
            .args(["--result", &format!("digest={}", result.display())])
            .start();
        let (ended, writing) = std::sync::mpsc::channel::<()>();
        let log = path.clone();
        let writer = std::thread::spawn(move || {
            let mut file = std::fs::File::options().append(true).open(log).unwrap();
            while writing.recv_timeout(std::time::Duration::from_millis(1)).is_err() {
                std::io::Write::write_all(&mut file, b"one more line\n").unwrap();
            }
        });
        let run = step.wait();
        ended.send(()).unwrap();
        writer.join().unwrap();
        run.failed(1, &["log grew while it was read"]);
        assert!(!registry.has_manifest("app", "v1"));
        assert!(!result.exists());
        assert!(proxy.uploaded().is_empty(), "{:#?}", proxy.lines());
    }
}
