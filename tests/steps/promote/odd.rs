//! Unusual or incomplete images, and the errors for them.

use serde_json::{Value, json};

use super::{line, promote};
use crate::support::images::Content;
use crate::support::{Action, Options};
use crate::support::{
    Folder, Image, Proxy, Registry, Style, assert_image, distribution, images, imgstep, layout, rule,
};

/// `image` with changed fields in its root manifest, in a layout; returns its reference there.
fn written(folder: &Folder, image: &Image, change: impl FnOnce(&mut Value)) -> (Image, String) {
    let mut fields: Value = serde_json::from_slice(&image.root().bytes).unwrap();
    change(&mut fields);
    let mut image = image.clone();
    let media_type = image.root().media_type.clone();
    *image.manifests.last_mut().unwrap() = Content::json(&media_type, &fields);
    layout::write(&folder.join("from"), &[("v1", &image)]);
    (image, format!("oci:{}:v1", folder.join("from").display()))
}

#[test]
fn uncopied_content_of_an_unknown_manifest_type_gets_a_warning() {
    let thing = Content::new("application/vnd.example.thing", b"content".to_vec());
    let root = json!({"schemaVersion": 7, "things": [thing.descriptor()]});
    let root = Content::json("application/vnd.example.strange", &root);
    let image = Image { blobs: vec![thing.clone()], manifests: vec![root], ..Image::default() };
    let (source, destination) = (Registry::inside(), Registry::inside());
    image.push(&source, "app", "v1");
    let run = promote(&source.at("app:v1"), &destination.at("copy:v1")).run();
    let run = run.printed(&[line(&destination.at("copy"), &image)]);
    assert!(run.stderr.contains("application/vnd.example.strange") && run.stderr.contains("is not"), "{}", run.stderr);
    assert!(!destination.has_blob("copy", &thing.digest));
    // An index without children is complete.
    images::unknown_manifest(1).push(&source, "app", "v2");
    let run = promote(&source.at("app:v2"), &destination.at("copy:v2")).run().ended(0);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
}

#[test]
fn an_index_whose_list_is_null_is_an_empty_one() {
    let folder = Folder::new();
    let empty = images::index(Style::Oci, 1, 0, 0, 0);
    let (image, from) = written(&folder, &empty, |fields| fields["manifests"] = Value::Null);
    let destination = Registry::inside();
    promote(&from, &destination.at("copy:v1")).run().printed(&[line(&destination.at("copy"), &image)]);
    assert_image(&destination, "copy", "v1", &image);
    let (_, from) = written(&folder, &empty, |fields| drop(fields.as_object_mut().unwrap().remove("manifests")));
    promote(&from, &destination.at("copy:v2")).run().failed(1, &["without `manifests`"]);
}

#[test]
fn invalid_sizes_are_reported_plainly() {
    let folder = Folder::new();
    let image = images::image(1, 1, 500);
    let layer = image.blobs.iter().find(|blob| blob.media_type == images::OCI_LAYER).unwrap().digest.clone();
    let destination = Registry::inside();
    let to = destination.at("copy:v1");
    for (size, said) in [
        (json!(-1), "the size of sha256:"),
        (json!(1.5), "which is not a number of bytes"),
        (json!("500"), "which is not a number of bytes"),
        (json!(0), "its descriptor says that it has 0 bytes"),
    ] {
        let (_, from) = written(&folder, &image, |fields| fields["layers"][0]["size"] = size.clone());
        let run = promote(&from, &to).run().failed(1, &[said, &layer]);
        assert!(!run.stderr.contains("column"), "{size}: {}", run.stderr);
        assert!(!destination.has_manifest("copy", "v1"), "{size}");
    }
}

#[test]
fn conflicting_media_types_of_index_and_child_are_refused_by_every_step() {
    let folder = Folder::new();
    let index = images::index(Style::Oci, 1, 2, 1, 500);
    let change = |fields: &mut Value| fields["manifests"][0]["mediaType"] = json!(images::DOCKER_MANIFEST);
    let (_, from) = written(&folder, &index, change);
    let destination = Registry::inside();
    let to = destination.at("copy:v1");
    let layer = format!("{}=/f", folder.write("file", "content").display());
    let steps: [&[&str]; 5] = [
        &["promote", &from, &to],
        &["append", &from, "--to", &to, "--layer", &layer],
        &["index", &from, "--to", &to, "--format", "oci"],
        &["mutate", &from, "--to", &to, "--label", "a=b"],
        &["inspect", &from],
    ];
    for words in steps {
        let run = imgstep(words).run().ended(1);
        assert!(run.stderr.contains("two faces"), "{words:?}: {}", run.stderr);
        assert!(!destination.has_manifest("copy", "v1"), "{words:?}");
    }
}

#[test]
fn a_layout_that_names_an_image_but_lacks_its_manifest() {
    let folder = Folder::new();
    let image = images::image(1, 1, 500);
    let (_, from) = written(&folder, &image, |_| ());
    let file = image.digest().trim_start_matches("sha256:");
    let path = folder.join("from/blobs/sha256");
    for entry in std::fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == file {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let named = images::sha256(&image.root().bytes);
    promote(&from, &format!("oci:{}:v1", folder.join("to").display()))
        .run()
        .failed(5, &["its index.json lists", &named, "the layout has no such manifest"]);
}

#[test]
fn a_layout_with_a_sha512_image_is_reported_with_both_digests() {
    use sha2::{Digest as _, Sha512};
    let folder = Folder::new();
    let image = images::image(1, 1, 500);
    layout::write(&folder.join("from"), &[("v1", &image)]);
    let value: Vec<String> = Sha512::digest(&image.root().bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let value = value.concat();
    std::fs::create_dir_all(folder.join("from/blobs/sha512")).unwrap();
    std::fs::write(folder.join("from/blobs/sha512").join(&value), &image.root().bytes).unwrap();
    let index = std::fs::read_to_string(folder.join("from/index.json")).unwrap();
    std::fs::write(folder.join("from/index.json"), index.replace(image.digest(), &format!("sha512:{value}"))).unwrap();
    let from = format!("oci:{}:v1", folder.join("from").display());
    for destination in crate::support::registries() {
        let run = promote(&from, &destination.at("copy:v1")).run().printed(&[line(&destination.at("copy"), &image)]);
        assert!(run.stderr.contains(&format!("sha512:{value}")), "{}", run.stderr);
        assert_image(&destination, "copy", "v1", &image);
    }
}

#[test]
fn a_blob_missing_at_the_source_is_reported_as_such() {
    let image = images::image(1, 2, 500);
    let victim = &image.blobs[1].digest;
    let Some(source) = distribution(&Options::default()) else { return };
    let destination = Registry::inside();
    image.push(&source, "app", "v1");
    let gone = Action::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    let reading = Proxy::before(&source).with(rule("GET", &format!("/blobs/{victim}"), gone));
    let run = promote(&reading.at("app:v1"), &destination.at("copy:v1")).run();
    let run = run.failed(1, &["its manifest exists without it", "BLOB_UNKNOWN"]);
    assert!(!run.stderr.contains("created first"), "{}", run.stderr);
}

#[test]
fn a_child_that_append_leaves_out_is_named() {
    let image = images::index_with_unknown_manifest(1);
    let unknown = image.manifests[1].digest.clone();
    let registry = Registry::inside();
    image.push(&registry, "app", "v1");
    let folder = Folder::new();
    let layer = format!("{}=/f", folder.write("file", "content").display());
    let words = ["append", &registry.at("app:v1"), "--to", &registry.at("app:v2"), "--layer", &layer];
    let run = imgstep(words).run().ended(0);
    assert!(run.stderr.contains(&unknown) && run.stderr.contains("not in the result"), "{}", run.stderr);
}
