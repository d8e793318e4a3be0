//! What the layers contain, and that only the input determines their bytes.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::{append, blob, digest, listed, manifest};
use crate::support::{Folder, assert_complete, images, registries};

fn tree() -> Folder {
    let folder = Folder::new();
    folder.write("app/bin/run", "#!/bin/sh\n");
    std::fs::set_permissions(folder.join("app/bin/run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder.write("app/lib/data", vec![3; 3_000_000]);
    folder.write("app/lib/.hidden", "x");
    symlink("data", folder.join("app/lib/link")).unwrap();
    std::fs::hard_link(folder.join("app/lib/data"), folder.join("app/same")).unwrap();
    std::fs::create_dir(folder.join("app/empty")).unwrap();
    folder
}

#[test]
fn the_same_input_gives_the_same_digest_anywhere() {
    let (one, other) = (tree(), tree());
    for path in ["app/bin/run", "app/lib/data"] {
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(99_999);
        std::fs::File::open(other.join(path)).unwrap().set_modified(time).unwrap();
    }
    let run = |folder: &Folder, zone: &str| {
        let out = format!("oci:{}:v1", folder.join("out").display());
        let layer = format!("{}=/opt", folder.join("app").display());
        let step = append("scratch", &out).args(["--layer", &layer, "--platform", "linux/amd64"]);
        digest(&step.env("TZ", zone).env("LC_ALL", zone).run().ended(0))
    };
    assert_eq!(run(&one, "Asia/Tokyo"), run(&other, "C"));
    let out = format!("oci:{}:v2", one.join("out").display());
    let layer = format!("{}=/opt", one.join("app").display());
    let step = append("scratch", &out).args(["--layer", &layer, "--platform", "linux/amd64"]);
    let dated = digest(&step.env("SOURCE_DATE_EPOCH", "86400").run().ended(0));
    assert_ne!(dated, run(&one, "C"));
}

#[test]
fn another_tar_reader_finds_what_was_packed() {
    let folder = tree();
    let layer = format!("{},owner=1000:100", folder.path().display());
    for registry in registries() {
        append("scratch", &registry.at("app:v1"))
            .args(["--layer", &layer, "--platform", "linux/amd64", "--exclude", ".hidden"])
            .run()
            .ended(0);
        let image = manifest(&registry, "app", "v1");
        let found = listed(&blob(&registry, "app", &image["layers"][0]["digest"]));
        let time = "1970-01-01 00:00";
        assert_eq!(
            found,
            [
                format!("drwxr-xr-x 1000/100 0 {time} app/"),
                format!("drwxr-xr-x 1000/100 0 {time} app/bin/"),
                format!("-rwxr-xr-x 1000/100 10 {time} app/bin/run"),
                format!("drwxr-xr-x 1000/100 0 {time} app/empty/"),
                format!("drwxr-xr-x 1000/100 0 {time} app/lib/"),
                format!("-rw-r--r-- 1000/100 3000000 {time} app/lib/data"),
                format!("lrwxrwxrwx 1000/100 0 {time} app/lib/link -> data"),
                format!("hrw-r--r-- 1000/100 0 {time} app/same link to app/lib/data"),
            ]
        );
    }
}

#[test]
fn a_path_of_the_base_is_deleted_by_a_whiteout() {
    let base = images::image(1, 1, 500);
    for registry in registries() {
        base.push(&registry, "base", "v1");
        append(&registry.at("base:v1"), &registry.at("app:v1"))
            .args(["--delete", "/etc/motd", "/opt/old/"])
            .run()
            .ended(0);
        let image = manifest(&registry, "app", "v1");
        let layer = blob(&registry, "app", &image["layers"][1]["digest"]);
        let names: Vec<String> =
            listed(&layer).iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
        assert_eq!(names, ["etc/.wh.motd", "opt/.wh.old"]);
        let config = super::config(&registry, "app", &image);
        assert_eq!(config["history"][1]["created_by"], "imgstep append: delete /etc/motd /opt/old");
    }
}

#[test]
fn a_large_layer_that_is_not_compressed_is_read_again_while_it_is_sent() {
    let folder = Folder::new();
    folder.write("large", images::noise(1, 40 * 1024 * 1024));
    let layer = format!("{}=/large", folder.join("large").display());
    for registry in registries() {
        let run = append("scratch", &registry.at("app:v1"))
            .args(["--layer", &layer, "--platform", "linux/amd64", "--compression", "none"])
            .run()
            .ended(0);
        assert_complete(&registry, "app", &digest(&run));
    }
}
