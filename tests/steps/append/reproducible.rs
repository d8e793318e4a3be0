//! Only the input determines the bytes, and memory doesn't grow with any size.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{append, digest, programs};
use crate::support::{Folder, images, imgstep_under, registries};

/// The same tree, created in this order, with these times.
fn tree(reversed: bool, seconds: u64) -> Folder {
    let folder = Folder::new();
    let mut names = ["a/z", "a-b", "a.c", "b/deep/er", "large"];
    if reversed {
        names.reverse();
    }
    for name in names {
        let content = if name == "large" { images::noise(3, 3_000_000) } else { name.as_bytes().to_vec() };
        let path = folder.write(&format!("tree/{name}"), content);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
    }
    folder
}

/// The digest from a shell that runs these settings before the step.
fn made(tree: &Folder, settings: &str, zone: &str, home: &Path) -> String {
    let to = format!("oci:{}", tree.join("out").display());
    let layer = format!("{}=/opt/app", tree.join("tree").display());
    let shell = format!("{settings}; exec \"$@\"");
    let run = imgstep_under(&["sh", "-c", &shell, "sh"], ["append", "scratch", "--to", &to, "--layer", &layer])
        .args(["--platform", "linux/amd64", "linux/arm64", "--workdir", "/opt"])
        .env("TZ", zone)
        .env("LC_ALL", zone)
        .env("HOME", home)
        .in_folder(home)
        .run()
        .ended(0);
    digest(&run)
}

#[test]
fn umask_time_zone_cores_order_and_times_make_no_difference() {
    let (one, other) = (tree(false, 1_000_000_000), tree(true, 1_700_000_000));
    // Modes as another umask would have made them: only the executable bit counts.
    fs::set_permissions(other.join("tree/a-b"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(other.join("tree/b"), fs::Permissions::from_mode(0o700)).unwrap();
    let first = made(&one, "umask 022", "C", one.path());
    let second = made(
        &other,
        "umask 077; command -v taskset >/dev/null && taskset -pc 0 $$ >/dev/null",
        "Asia/Tokyo",
        other.path(),
    );
    assert_eq!(first, second);
}

/// If this fails, images get new digests: that is a breaking change, to be listed in CHANGELOG.md.
#[test]
fn golden_images() {
    let (folder, layers) = programs();
    let to = format!("oci:{}", folder.join("out").display());
    let golden = |words: &[&str]| {
        let entrypoint = ["--entrypoint", r#"["/app"]"#, "--env", "A=1", "--label", "a=b", "--annotation", "c=d"];
        digest(&append("scratch", &to).args(&layers).args(entrypoint).args(words).run().ended(0))
    };
    assert_eq!(golden(&[]), "sha256:f9dc1f2a19f7f3e86ebba3363ce3c8eb5c3d034dada7df052101be3eb911f5b5");
    assert_eq!(
        golden(&["--compression", "zstd"]),
        "sha256:f5deca828fb650438b548afb932eedcfc1979f878e0df2abd68579413647fd78"
    );
}

#[test]
fn a_layer_of_any_size_is_made_in_64_megabytes() {
    // A debug build takes more memory for itself.
    let limit = if cfg!(debug_assertions) { 76_000_000 } else { 64_000_000 };
    let folder = Folder::new();
    let mut tar = Vec::new();
    let noise = images::noise(5, 40_000_000);
    (0..5).for_each(|_| tar.extend_from_slice(&noise));
    let layer = format!("{}=/large", folder.write("large", tar).display());
    for registry in registries() {
        for how in ["gzip:1", "zstd:1", "none"] {
            let step = append("scratch", &registry.at(&format!("{}:v1", how.replace(':', "-"))))
                .args(["--layer", &layer, "--platform", "linux/amd64", "--compression", how])
                .start();
            let peak = step.peak_memory();
            step.wait().ended(0);
            let peak = peak.join().unwrap();
            assert!(peak < limit, "{how}: {peak} bytes");
        }
    }
}
