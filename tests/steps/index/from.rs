//! `--from`: changes to an existing index.

use serde_json::Value;

use super::{image_for, platforms, written};
use crate::support::images::Content;
use crate::support::step::Step;
use crate::support::{Image, Registry, Style, assert_image, images, imgstep, registries};

/// `imgstep index --from app:v1 --to app:v2`.
fn changed(registry: &Registry) -> Step {
    imgstep(["index", "--from", &registry.at("app:v1"), "--to", &registry.at("app:v2")])
}

/// Two platforms with attestations; the index has an annotation and an unknown field.
fn marked() -> Image {
    let mut image = images::attested(1);
    let mut value: Value = serde_json::from_slice(&image.root().bytes).unwrap();
    value["x-strange"] = 1.into();
    value["annotations"] = serde_json::json!({"com.example": "kept"});
    *image.manifests.last_mut().unwrap() = Content::json(images::OCI_INDEX, &value);
    image
}

#[test]
fn an_image_is_added_and_every_field_stays() {
    let (marked, more) = (marked(), image_for(Style::Oci, "linux/s390x", 8));
    for registry in registries() {
        marked.push(&registry, "app", "v1");
        more.push(&registry, "more", "v1");
        let run = changed(&registry).args(["--add", &registry.at("more:v1"), "--annotation", "b=c"]).run().ended(0);
        let index = written(&run, &registry, "app", "v2");
        assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64", "linux/s390x", "-", "-"]);
        assert_eq!(index["x-strange"], 1);
        assert_eq!(index["annotations"].to_string(), r#"{"com.example":"kept","b":"c"}"#);
        let as_words =
            imgstep(["index", &registry.at("more:v1"), "--from", &registry.at("app:v1"), "-t", &registry.at("app:v3")])
                .args(["--annotation", "b=c"])
                .run();
        assert_eq!(as_words.ended(0).stdout, run.stdout);
    }
}

#[test]
fn a_platform_goes_with_its_attestation() {
    let marked = marked();
    for registry in registries() {
        marked.push(&registry, "app", "v1");
        let run = changed(&registry).args(["--remove", "linux/arm64"]).run().ended(0);
        let index = written(&run, &registry, "app", "v2");
        assert_eq!(platforms(&index), ["linux/amd64", "-"]);
        let by_digest = changed(&registry).args(["--remove", &marked.manifests[2].digest]).run().ended(0);
        assert_eq!(by_digest.stdout, run.stdout);
        changed(&registry).args(["--remove", "linux/arm64", "linux/amd64"]).run().failed(3, &["no image is left"]);
    }
}

#[test]
fn removing_what_is_already_removed_is_no_error() {
    let marked = marked();
    for registry in registries() {
        marked.push(&registry, "app", "v1");
        let words =
            ["index", "--from", &registry.at("app:v1"), "--to", &registry.at("app:v1"), "--remove", "linux/arm64"];
        let first = imgstep(words).run().ended(0);
        let second = imgstep(words).run().ended(0);
        assert_eq!(first.stdout, second.stdout);
        assert!(second.stderr.contains("the index has no linux/arm64"), "{}", second.stderr);
    }
}

#[test]
fn an_image_replaces_another() {
    let (marked, new) = (marked(), image_for(Style::Oci, "linux/arm64", 8));
    for registry in registries() {
        marked.push(&registry, "app", "v1");
        new.push(&registry, "fixed", "arm64");
        changed(&registry).args(["--add", &registry.at("fixed:arm64")]).run().failed(3, &["linux/arm64", "--replace"]);
        let run = changed(&registry).args(["--replace", &registry.at("fixed:arm64")]).run().ended(0);
        let index = written(&run, &registry, "app", "v2");
        assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64", "-"]);
        assert_eq!(index["manifests"][1]["digest"], new.digest());
        // Once more, on the result: it already exists.
        let again = imgstep(["index", "--from", &registry.at("app:v2"), "--to", &registry.at("app:v2")])
            .args(["--replace", &registry.at("fixed:arm64")])
            .run();
        assert_eq!(again.ended(0).stdout, run.stdout);
    }
}

#[test]
fn without_changes_the_bytes_stay() {
    let marked = marked();
    for registry in registries() {
        marked.push(&registry, "app", "v1");
        changed(&registry).run().printed(&[format!("{}@{}", registry.at("app"), marked.digest())]);
        assert_image(&registry, "app", "v2", &marked);
    }
}

#[test]
fn a_single_image_is_not_an_index_to_start_from() {
    let image = image_for(Style::Oci, "linux/amd64", 1);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        changed(&registry).run().failed(3, &["--from", "is not an index"]);
    }
}
