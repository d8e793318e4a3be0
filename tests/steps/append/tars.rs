//! Tars made by other tools: from files and pipes, plain and compressed, and broken in many ways.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{append, blob, config, digest, listed, manifest};
use crate::support::{Folder, Proxy, Registry, assert_complete, images, registries};

/// A tar of a small tree, compressed by `tar` with this option.
fn tar(folder: &Folder, flag: &str, name: &str) -> PathBuf {
    folder.write("tree/a", "a");
    folder.write("tree/b/c", vec![b'c'; 100_000]);
    let path = folder.join(name);
    let mut command = Command::new("tar");
    // Built twice, it is the same tar, whatever the time.
    command.args(["--sort=name", "--mtime=@0", flag, "-cf"]).arg(&path).arg("-C").arg(folder.join("tree")).arg(".");
    let status = command.status();
    assert!(status.unwrap().success());
    path
}

/// A tar larger than what is kept in memory, as a file.
fn large_tar(folder: &Folder) -> PathBuf {
    folder.write("tree/large", images::noise(9, 40_000_000));
    tar(folder, "--no-acls", "large.tar")
}

const ON: [&str; 2] = ["--platform", "linux/amd64"];

#[test]
fn a_tar_is_accepted_plain_or_compressed_and_under_any_name_from_a_pipe() {
    let folder = Folder::new();
    let forms = [("--no-acls", "t.tar"), ("--gzip", "t.tar.gz"), ("--zstd", "t.tar.zst")];
    for registry in registries() {
        for (flag, name) in forms {
            let path = tar(&folder, flag, name);
            let from_file = append("scratch", &registry.at("file:v1"))
                .args(["--layer", &path.display().to_string()])
                .args(ON)
                .run()
                .ended(0);
            let from_pipe = append("scratch", &registry.at("pipe:v1"))
                .args(["--layer", "-"])
                .args(ON)
                .stdin(File::open(&path).unwrap())
                .run()
                .ended(0);
            assert_eq!(digest(&from_file), digest(&from_pipe), "{name}");
            assert_complete(&registry, "pipe", &digest(&from_pipe));
            let image = manifest(&registry, "pipe", "v1");
            let layer = blob(&registry, "pipe", &image["layers"][0]["digest"]);
            assert_eq!(listed(&layer).len(), 4, "{name}");
            if name != "t.tar" {
                assert!(layer == std::fs::read(&path).unwrap(), "{name}: as it is");
            }
        }
    }
}

#[test]
fn layers_keep_their_order_and_show_their_compression() {
    let folder = Folder::new();
    let paths = [("--no-acls", "t.tar"), ("--gzip", "t.tar.gz"), ("--zstd", "t.tar.zst")]
        .map(|(flag, name)| tar(&folder, flag, name).display().to_string());
    for registry in registries() {
        append("scratch", &registry.at("app:v1")).arg("--layer").args(&paths).args(ON).run().ended(0);
        let image = manifest(&registry, "app", "v1");
        let types: Vec<_> = (0..3).map(|at| image["layers"][at]["mediaType"].as_str().unwrap()).collect();
        let of = |end: &str| format!("application/vnd.oci.image.layer.v1.tar+{end}");
        assert_eq!(types, [of("gzip"), of("gzip"), of("zstd")]);
        let config = config(&registry, "app", &image);
        let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        assert!(diff_ids.iter().all(|diff_id| *diff_id == diff_ids[0]), "the same tar: {diff_ids:?}");
        // With zstd on request, and refused if the result's format doesn't support it.
        append("scratch", &registry.at("app:v2"))
            .args(["--layer", &paths[0], "--compression", "zstd:6"])
            .args(ON)
            .run()
            .ended(0);
        assert_eq!(manifest(&registry, "app", "v2")["layers"][0]["mediaType"], of("zstd"));
        append("scratch", &registry.at("app:v3"))
            .args(["--layer", &paths[2], "--format", "docker"])
            .args(ON)
            .run()
            .failed(2, &["zstd", "--format oci"]);
    }
}

#[test]
fn a_large_tar_from_a_pipe_is_sent_as_it_comes() {
    let folder = Folder::new();
    let path = large_tar(&folder);
    for registry in registries() {
        let proxy = Proxy::before(&registry);
        let pipe = || Command::new("cat").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
        let step = |to: &str| append("scratch", to).args(["--layer", "-", "--compression", "gzip:1"]).args(ON);
        let mut cat = pipe();
        let run = step(&proxy.at("app:v1")).stdin(cat.stdout.take().unwrap()).run().ended(0);
        cat.wait().unwrap();
        assert_complete(&registry, "app", &digest(&run));
        assert_eq!(proxy.count("PATCH", ""), 1, "{:#?}", proxy.lines());
        let from_file = append("scratch", &format!("oci:{}", folder.join("out").display()))
            .args(["--layer", &path.display().to_string(), "--compression", "gzip:1"])
            .args(ON)
            .run()
            .ended(0);
        assert_eq!(digest(&from_file), digest(&run));
        // A pipe can't be read twice: a failure is reported, with a way to avoid it.
        proxy.add(crate::support::rule("PATCH", "", crate::support::Action::answer(403)));
        let mut cat = pipe();
        let refused = step(&proxy.at("app:v2")).stdin(cat.stdout.take().unwrap()).run();
        cat.wait().unwrap();
        refused.failed(4, &["403"]);
        assert!(!registry.has_manifest("app", "v2"));
    }
}

#[test]
fn a_step_that_waits_for_a_pipe_ends_on_a_signal() {
    let mut sleep = Command::new("sleep").arg("50").stdout(Stdio::piped()).spawn().unwrap();
    let folder = Folder::new();
    let to = format!("oci:{}", folder.join("out").display());
    let step = append("scratch", &to).args(["--layer", "-"]).args(ON).stdin(sleep.stdout.take().unwrap()).start();
    std::thread::sleep(std::time::Duration::from_millis(300));
    step.signal("TERM");
    let run = step.wait();
    assert_eq!(run.status, 143, "{}", run.stderr);
    sleep.kill().unwrap();
    sleep.wait().unwrap();
}

/// Asserts that an image with this tar is refused with this message, and that nothing is written.
fn refused(registry: &Registry, folder: &Folder, bytes: &[u8], part: &str) {
    let path = folder.write("broken.tar.gz", bytes);
    let proxy = Proxy::before(registry);
    let step = |layer: &str| append("scratch", &proxy.at("app:v1")).args(["--layer", layer]).args(ON);
    step(&path.display().to_string()).run().failed(1, &["the tar ", "broken.tar.gz", part]);
    step("-").stdin(File::open(&path).unwrap()).run().failed(1, &["the tar from standard input", part]);
    assert!(proxy.uploaded().is_empty(), "{:#?}", proxy.lines());
    assert_eq!(proxy.count("POST", ""), proxy.count("DELETE", "/blobs/uploads/"), "{:#?}", proxy.lines());
    assert!(!registry.has_manifest("app", "v1"));
}

/// The tar with another size in this entry's header, and a matching checksum.
fn with_size(mut tar: Vec<u8>, name: &str, octal: &str) -> Vec<u8> {
    let name = [name.as_bytes(), b"\0"].concat();
    let header = tar.chunks_exact_mut(512).find(|block| block.starts_with(&name)).unwrap();
    header[124..135].copy_from_slice(octal.as_bytes());
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar
}

#[test]
fn tars_with_wrong_sizes_or_escaping_paths_are_refused_and_nothing_is_tagged() {
    let folder = Folder::new();
    let plain = std::fs::read(tar(&folder, "--sort=name", "t.tar")).unwrap();
    let outward = folder.join("outward.tar");
    let status =
        Command::new("tar").args(["-P", "-cf"]).arg(&outward).arg("-C").arg(folder.join("tree/b")).arg("../a").status();
    assert!(status.unwrap().success());
    let outward = std::fs::read(outward).unwrap();
    for registry in registries() {
        refused(&registry, &folder, &with_size(plain.clone(), "./b/c", "00000000777"), "sizes in it are wrong");
        refused(&registry, &folder, &with_size(plain.clone(), "./b/c", "77777777777"), "ends in the middle of");
        refused(&registry, &folder, &outward, "could lead out of the image");
    }
}

#[test]
fn broken_tars_are_refused_and_nothing_is_tagged() {
    let folder = Folder::new();
    let plain = std::fs::read(tar(&folder, "--sort=name", "t.tar")).unwrap();
    let gzip = std::fs::read(tar(&folder, "--gzip", "t.tar.gz")).unwrap();
    let zstd = std::fs::read(tar(&folder, "--zstd", "t.tar.zst")).unwrap();
    let large = std::fs::read(large_tar(&folder)).unwrap();
    for registry in registries() {
        refused(&registry, &folder, b"no tar at all", "it is not a tar");
        for field in [100, 124, 148] {
            let mut marked = plain.clone();
            marked[field] = 0x80;
            refused(&registry, &folder, &marked, "it is not a tar");
        }
        refused(&registry, &folder, b"", "it is not a tar");
        refused(&registry, &folder, &plain[..50_000], "ends in the middle of");
        refused(&registry, &folder, &gzip[..gzip.len() - 20], "gzip: ");
        let mut flipped = gzip.clone();
        flipped[gzip.len() / 2] ^= 0xff;
        refused(&registry, &folder, &flipped, "");
        refused(&registry, &folder, &zstd[..zstd.len() - 20], "zstd: ");
        // One that is found to be broken while it is being sent.
        refused(&registry, &folder, &large[..39_000_000], "ends in the middle of");
    }
}
