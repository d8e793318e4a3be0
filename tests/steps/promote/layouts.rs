//! OCI layouts on disk as sources and destinations, like registries.

use super::{line, promote};
use crate::support::{Folder, Image, Proxy, Style, assert_image, images, imgstep, layout, pairs, registries};

fn oci(folder: &Folder, name: &str) -> String {
    format!("oci:{}", folder.join(name).display())
}

#[test]
fn from_a_layout_to_a_registry() {
    let image = images::nested(1);
    for registry in registries() {
        let folder = Folder::new();
        layout::write(&folder.join("out"), &[("v1", &image)]);
        promote(&format!("{}:v1", oci(&folder, "out")), &registry.at("app:v1"))
            .run()
            .printed(&[line(&registry.at("app"), &image)]);
        assert_image(&registry, "app", "v1", &image);
    }
}

#[test]
fn the_only_image_of_a_layout_needs_no_name() {
    let image = images::image(1, 1, 100);
    for registry in registries() {
        let folder = Folder::new();
        layout::write(&folder.join("out"), &[("whatever", &image)]);
        promote(&oci(&folder, "out"), &registry.at("app:v1")).run().printed(&[line(&registry.at("app"), &image)]);
    }
}

#[test]
fn from_a_registry_to_a_layout() {
    let image = images::index(Style::Docker, 1, 3, 2, 1000);
    for registry in registries() {
        let folder = Folder::new();
        image.push(&registry, "app", "v1");
        let out = oci(&folder, "new/out");
        promote(&registry.at("app:v1"), &format!("{out}:v1")).run().printed(&[line(&out, &image)]);
        layout::assert_image(&folder.join("new/out"), "v1", &image);
    }
}

#[test]
fn from_a_layout_to_a_layout() {
    let (one, two): (Image, Image) = (images::attested(1), images::image(2, 2, 500));
    let folder = Folder::new();
    layout::write(&folder.join("from"), &[("one", &one), ("two", &two)]);
    let (from, to) = (oci(&folder, "from"), oci(&folder, "to"));
    promote(&format!("{from}:one"), &format!("{to}:first")).run().printed(&[line(&to, &one)]);
    promote(&format!("{from}:two"), &format!("{to}:second")).run().printed(&[line(&to, &two)]);
    layout::assert_image(&folder.join("to"), "first", &one);
    layout::assert_image(&folder.join("to"), "second", &two);
}

#[test]
fn a_name_in_a_layout_moves_like_a_tag() {
    let (old, new) = (images::image(1, 1, 500), images::image(2, 1, 500));
    let folder = Folder::new();
    layout::write(&folder.join("from"), &[("v1", &new)]);
    layout::write(&folder.join("to"), &[("v1", &old), ("other", &old)]);
    let (from, to) = (format!("{}:v1", oci(&folder, "from")), format!("{}:v1", oci(&folder, "to")));
    promote(&from, &to).args(["--if-exists", "fail"]).run().failed(3, &[old.digest()]);
    layout::assert_image(&folder.join("to"), "v1", &old);
    promote(&from, &to).run().printed(&[line(&oci(&folder, "to"), &new)]);
    layout::assert_image(&folder.join("to"), "v1", &new);
    layout::assert_image(&folder.join("to"), "other", &old);
}

#[test]
fn a_second_run_reads_no_blob() {
    let image = images::image(1, 2, 1000);
    for registry in registries() {
        let folder = Folder::new();
        image.push(&registry, "app", "v1");
        let proxy = Proxy::before(&registry);
        let run = || promote(&proxy.at("app:v1"), &format!("{}:v1", oci(&folder, "out"))).run();
        run().printed(&[line(&oci(&folder, "out"), &image)]);
        proxy.reset();
        run().printed(&[line(&oci(&folder, "out"), &image)]);
        assert_eq!(proxy.log().len(), 1, "{:#?}", proxy.lines());
    }
}

#[test]
fn to_a_registry_and_a_layout_at_once() {
    let image = images::image(1, 3, 1000);
    for (source, destination) in pairs() {
        let folder = Folder::new();
        image.push(&source, "app", "v1");
        let reading = Proxy::before(&source);
        let out = oci(&folder, "out");
        promote(&reading.at("app:v1"), &destination.at("app:v1"))
            .args(["--to", &format!("{out}:v1"), "--tags", "also"])
            .run()
            .printed(&[line(&destination.at("app"), &image), line(&out, &image)]);
        assert_image(&destination, "app", "also", &image);
        layout::assert_image(&folder.join("out"), "v1", &image);
        layout::assert_image(&folder.join("out"), "also", &image);
        assert_eq!(reading.downloaded().len(), image.blobs.len());
    }
}

#[test]
fn a_layout_or_a_name_in_it_that_is_missing_ends_with_5() {
    let folder = Folder::new();
    let nowhere = oci(&folder, "nowhere");
    let out = oci(&folder, "out");
    promote(&format!("{nowhere}:v1"), &out).run().failed(5, &[&nowhere]);
    layout::write(&folder.join("from"), &[("v1", &images::image(1, 1, 100))]);
    promote(&format!("{}:v2", oci(&folder, "from")), &out).run().failed(5, &["v2"]);
    assert!(!folder.join("out").exists(), "nothing was begun");
}

#[test]
fn a_corrupt_file_of_a_layout_is_refused() {
    let image = images::image(1, 2, 1000);
    for registry in registries() {
        let folder = Folder::new();
        layout::write(&folder.join("out"), &[("v1", &image)]);
        let blob = &image.blobs[0];
        let mut bytes = blob.bytes.clone();
        bytes[500] ^= 1;
        folder.write(&format!("out/blobs/sha256/{}", blob.digest.trim_start_matches("sha256:")), bytes);
        promote(&format!("{}:v1", oci(&folder, "out")), &registry.at("app:v1")).run().failed(1, &[&blob.digest]);
        assert!(!registry.has_manifest("app", "v1"));
    }
}

#[test]
fn a_folder_that_cannot_be_written_ends_with_1() {
    let image = images::image(1, 1, 100);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        // Nobody, not even root, can create a folder there.
        imgstep(["promote", &registry.at("app:v1"), "oci:/proc/no-such-folder:v1"])
            .run()
            .failed(1, &["/proc/no-such-folder"]);
    }
}

/// An image in a layout, with a wrong `size` in one layer's descriptor.
fn layout_that_lies(folder: &Folder, size: u64) -> (Image, String) {
    let mut image = images::image(1, 2, 500);
    let mut root: serde_json::Value = serde_json::from_slice(&image.root().bytes).unwrap();
    for layer in root["layers"].as_array_mut().unwrap() {
        layer["size"] = size.into();
    }
    let lying = images::Content::json(&image.root().media_type.clone(), &root);
    *image.manifests.last_mut().unwrap() = lying;
    layout::write(&folder.join("from"), &[("v1", &image)]);
    let victim = root["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    (image, victim)
}

#[test]
fn a_blob_with_declared_size_0_is_not_written_as_an_empty_file() {
    let folder = Folder::new();
    let (_, victim) = layout_that_lies(&folder, 0);
    for _ in 0..2 {
        // Both layers' descriptors are wrong; which one is detected first is open.
        let run = promote(&format!("{}:v1", oci(&folder, "from")), &oci(&folder, "to")).run();
        run.failed(1, &["its descriptor says that it has 0 bytes"]);
        assert!(!folder.join("to/blobs/sha256").join(&victim).exists());
    }
}

#[test]
fn absurd_sizes_do_not_panic() {
    let folder = Folder::new();
    layout_that_lies(&folder, u64::MAX - 3);
    for registry in registries() {
        promote(&format!("{}:v1", oci(&folder, "from")), &registry.at("app:v1")).args(["--dry-run"]).run().ended(0);
        imgstep(["inspect", &format!("{}:v1", oci(&folder, "from"))]).run().ended(0);
        let run = promote(&format!("{}:v1", oci(&folder, "from")), &registry.at("app:v1")).run();
        run.failed(1, &["shorter"]);
    }
}

#[test]
fn a_broken_manifest_of_a_layout_is_repaired() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for registry in registries() {
        let folder = Folder::new();
        image.push(&registry, "app", "v1");
        let out = format!("{}:v1", oci(&folder, "out"));
        promote(&registry.at("app:v1"), &out).run().ended(0);
        for manifest in &image.manifests {
            let file = folder.join("out/blobs/sha256").join(manifest.digest.trim_start_matches("sha256:"));
            std::fs::write(&file, &manifest.bytes[1..]).unwrap();
            promote(&registry.at("app:v1"), &out)
                .args(["--repair"])
                .run()
                .printed(&[line(&oci(&folder, "out"), &image)]);
            layout::assert_image(&folder.join("out"), "v1", &image);
        }
    }
}
