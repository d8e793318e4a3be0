//! Indexes with unusual children: whatever is an image by its content is changed, and nothing else is reported as
//! changed.

use serde_json::{Value, json};

use super::{manifest, mutate};
use crate::support::images::Content;
use crate::support::{Folder, Image, Registry, Style, images, imgstep, layout};

/// An index of the image without a media type in its children's descriptors.
fn without_types(image: &Image) -> Image {
    let mut index: Value = serde_json::from_slice(&image.root().bytes).unwrap();
    for child in index["manifests"].as_array_mut().unwrap() {
        child.as_object_mut().unwrap().shift_remove("mediaType");
    }
    let mut image = image.clone();
    *image.manifests.last_mut().unwrap() = Content::json(images::OCI_INDEX, &index);
    image
}

/// The labels of every image in an index.
fn labels(registry: &Registry, repository: &str, tag: &str) -> Vec<Value> {
    let index = manifest(registry, repository, tag);
    let children = index["manifests"].as_array().unwrap().iter();
    let label = |child: &Value| {
        let text = super::config(registry, repository, child["digest"].as_str().unwrap());
        serde_json::from_str::<Value>(&text).unwrap()["config"]["Labels"].clone()
    };
    children.map(label).collect()
}

#[test]
fn a_child_without_a_type_is_an_image_by_its_bytes() {
    let image = without_types(&images::index(Style::Oci, 1, 2, 1, 500));
    let registry = Registry::inside();
    image.push(&registry, "app", "v1");
    mutate(&registry.at("app:v1"), &registry.at("app:v2")).args(["--label", "a=b"]).run().ended(0);
    assert_eq!(labels(&registry, "app", "v2"), [json!({"a": "b"}), json!({"a": "b"})]);
    // `index` treats it as an image, too.
    imgstep(["index", &registry.at("app:v1"), "--to", &registry.at("app:v3")]).run().ended(0);
    let children = manifest(&registry, "app", "v3")["manifests"].clone();
    assert!(children.as_array().unwrap().iter().all(|child| child["mediaType"] == images::OCI_MANIFEST), "{children}");
}

#[test]
fn an_index_without_an_image_is_refused() {
    let registry = Registry::inside();
    let mut artifact = images::image(1, 1, 100);
    let mut fields: Value = serde_json::from_slice(&artifact.root().bytes).unwrap();
    fields["config"]["mediaType"] = json!("application/vnd.example.config");
    *artifact.manifests.last_mut().unwrap() = Content::json(images::OCI_MANIFEST, &fields);
    let artifacts = images::index_of(Style::Oci, vec![(artifact, json!({}))]);
    let empty = images::index(Style::Oci, 1, 0, 0, 0);
    // BuildKit's cache lists layers and a config of its own.
    let layer = images::layers(Style::Oci, 3, 1, 200).remove(0);
    let cache = Content::new("application/vnd.buildkit.cacheconfig.v0", b"{}".to_vec());
    let index = json!({"schemaVersion": 2, "mediaType": images::OCI_INDEX, "manifests": [layer.descriptor(), cache.descriptor()]});
    let cache = Image {
        blobs: vec![layer, cache],
        manifests: vec![Content::json(images::OCI_INDEX, &index)],
        ..Image::default()
    };
    for (tag, image) in [("artifacts", &artifacts), ("empty", &empty), ("cache", &cache)] {
        image.push(&registry, "app", tag);
        mutate(&registry.at(&format!("app:{tag}")), &registry.at("app:new"))
            .args(["--label", "a=b"])
            .run()
            .failed(3, &["contains no image that could be changed", tag]);
        assert!(!registry.has_manifest("app", "new"));
        // Its own annotations can be changed.
        mutate(&registry.at(&format!("app:{tag}")), &registry.at(&format!("app:annotated-{tag}")))
            .args(["--annotation", "a=b", "--annotate", "index"])
            .run()
            .ended(0);
    }
}

#[test]
fn unchanged_content_is_not_reported_as_changed() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    let registry = Registry::inside();
    image.push(&registry, "app", "v1");
    let label =
        |from: &str, to: &str| mutate(&registry.at(from), &registry.at(to)).args(["--label", "a=b"]).run().ended(0);
    let first = label("app:v1", "app:v2");
    assert!(first.stderr.contains("changed ") && !first.stderr.contains("unchanged"), "{}", first.stderr);
    let second = label("app:v2", "other:v2");
    assert!(second.stderr.contains("unchanged: ") && !second.stderr.contains(" changed"), "{}", second.stderr);
    assert_eq!(registry.manifest_bytes("app", "v2"), registry.manifest_bytes("other", "v2"));
}

#[test]
fn faults_of_the_old_manifest_are_not_copied() {
    let mut image = images::image(1, 2, 300);
    let mut fields: Value = serde_json::from_slice(&image.root().bytes).unwrap();
    fields["schemaVersion"] = json!("2");
    fields["layers"][0]["data"] = json!("bm90IHRoZSBsYXllcg==");
    *image.manifests.last_mut().unwrap() = Content::json(images::OCI_MANIFEST, &fields);
    let folder = Folder::new();
    layout::write(&folder.join("from"), &[("v1", &image)]);
    let from = format!("oci:{}:v1", folder.join("from").display());
    let registry = Registry::inside();
    let file = folder.write("file", "content");
    mutate(&from, &registry.at("app:mutated")).args(["--label", "a=b"]).run().ended(0);
    let words = ["append", &from, "--to", &registry.at("app:appended"), "--layer", &format!("{}=/f", file.display())];
    imgstep(words).run().ended(0);
    for tag in ["mutated", "appended"] {
        let written = manifest(&registry, "app", tag);
        assert_eq!(written["schemaVersion"], 2, "{tag}");
        assert_eq!(written["layers"][0]["data"], Value::Null, "{tag}");
    }
    // What is copied unchanged keeps every byte.
    imgstep(["promote", &from, &registry.at("app:moved")]).run().ended(0);
    assert_eq!(registry.manifest_bytes("app", "moved"), image.root().bytes);
}
