//! `--platform`: one gives that image, several give a new index, a missing one is named.

use serde_json::Value;

use super::{line, promote};
use crate::support::{Proxy, Style, assert_complete, assert_image, images, pairs};

#[test]
fn one_platform_gives_that_image() {
    let index = images::index(Style::Oci, 1, 4, 2, 1000);
    for (source, destination) in pairs() {
        index.push(&source, "app", "v1");
        let arm = &index.manifests[1];
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("app:v1"))
            .args(["--platform", "linux/arm64"])
            .run()
            .printed(&[format!("{}@{}", writing.at("app"), arm.digest)]);
        assert_eq!(destination.manifest_bytes("app", "v1"), arm.bytes);
        assert_complete(&destination, "app", &arm.digest);
        assert_eq!(writing.uploaded().len(), 3, "two layers and a config: {:#?}", writing.lines());
    }
}

#[test]
fn several_platforms_give_a_new_index_of_only_these() {
    for style in [Style::Oci, Style::Docker] {
        let index = images::index(style, 1, 5, 2, 1000);
        let expected = images::index_with_only(&index, &[0, 2]);
        for (source, destination) in pairs() {
            index.push(&source, "app", "v1");
            let run = promote(&source.at("app:v1"), &destination.at("app:v1"))
                .args(["--platform", "linux/amd64", "linux/arm/v7"])
                .run()
                .ended(0);
            let answer = destination.manifest("app", "v1");
            assert_eq!(answer.header("content-type"), Some(index.root().media_type.as_str()));
            let written: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(written, expected, "the children keep their order and every field");
            let digest = images::sha256(&answer.body);
            assert_eq!(run.stdout, format!("{}@{digest}\n", destination.at("app")));
            assert!(run.stderr.contains("digest"), "that it has changed is said: {}", run.stderr);
            let found = assert_complete(&destination, "app", &digest);
            assert_eq!((found.manifests.len(), found.blobs.len()), (3, 6));
            assert!(!destination.has_manifest("app", &index.manifests[1].digest));
        }
    }
}

#[test]
fn all_platforms_by_name_are_the_index_itself() {
    let index = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        index.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--platform", "linux/amd64", "--platform", "linux/arm64"])
            .run()
            .printed(&[line(&destination.at("app"), &index)]);
        assert_image(&destination, "app", "v1", &index);
    }
}

#[test]
fn the_usual_variant_can_be_omitted() {
    let index = images::index(Style::Oci, 1, 4, 1, 500);
    for (source, destination) in pairs() {
        index.push(&source, "app", "v1");
        for (wish, child) in [("linux/arm", 2), ("linux/arm/v6", 3), ("linux/arm64/v8", 1), ("linux/x86_64", 0)] {
            promote(&source.at("app:v1"), &destination.at("app:v1"))
                .args(["--platform", wish])
                .run()
                .printed(&[format!("{}@{}", destination.at("app"), index.manifests[child].digest)]);
        }
    }
}

#[test]
fn a_missing_platform_ends_with_3_and_lists_what_there_is() {
    let index = images::attested(1);
    for (source, destination) in pairs() {
        index.push(&source, "app", "v1");
        let writing = Proxy::before(&destination);
        let run = promote(&source.at("app:v1"), &writing.at("app:v1"))
            .args(["--platform", "linux/amd64", "windows/amd64"])
            .run()
            .failed(3, &["windows/amd64", "linux/amd64", "linux/arm64"]);
        assert!(!run.stderr.contains("unknown/unknown"), "attestations are no platform: {}", run.stderr);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
    }
}

#[test]
fn a_single_image_has_the_platform_of_its_config() {
    let image = images::image(1, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--platform", "linux/amd64"])
            .run()
            .printed(&[line(&destination.at("app"), &image)]);
        promote(&source.at("app:v1"), &destination.at("app:v2"))
            .args(["--platform", "linux/s390x"])
            .run()
            .failed(3, &["linux/s390x", "linux/amd64"]);
        assert!(!destination.has_manifest("app", "v2"));
    }
}

#[test]
fn a_platform_of_a_nested_index_is_found() {
    let index = images::nested(1);
    for (source, destination) in pairs() {
        index.push(&source, "app", "v1");
        let arm64 = &images::attested(1).manifests[2];
        promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--platform", "linux/arm64"])
            .run()
            .printed(&[format!("{}@{}", destination.at("app"), arm64.digest)]);
        assert_complete(&destination, "app", &arm64.digest);
    }
}
