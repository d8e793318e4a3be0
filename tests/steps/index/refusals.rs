//! What is refused: with the reason and the way to override it, and nothing is written.

use serde_json::json;

use super::{image_for, index};
use crate::support::{Image, Proxy, Style, images, imgstep, registries};

/// Asserts that an index of these images is refused with status 3 and this message, and that nothing was written.
fn refused(all: &[&Image], words: &[&str]) {
    for registry in registries() {
        let mut names = Vec::new();
        for (number, image) in all.iter().enumerate() {
            image.push(&registry, "build", &format!("part{number}"));
            names.push(registry.at(&format!("build:part{number}")));
        }
        let proxy = Proxy::before(&registry);
        index(&names, &proxy.at("app:v1")).run().failed(3, words);
        assert!(proxy.writes().is_empty(), "{:#?}", proxy.lines());
    }
}

#[test]
fn two_images_for_one_platform() {
    let (one, other) = (image_for(Style::Oci, "linux/arm64", 1), image_for(Style::Oci, "linux/arm64/v8", 2));
    refused(
        &[&one, &other],
        &["linux/arm64", "build:part0", "build:part1", one.digest(), other.digest(), "--platform-of"],
    );
}

#[test]
fn an_image_in_an_index_and_another_next_to_it() {
    let both = images::index(Style::Oci, 1, 2, 1, 500);
    refused(&[&both, &image_for(Style::Oci, "linux/amd64", 9)], &["linux/amd64", "--replace"]);
}

#[test]
fn an_image_without_a_platform() {
    let silent = images::image_with(Style::Oci, json!({}), images::layers(Style::Oci, 3, 1, 300));
    refused(&[&image_for(Style::Oci, "linux/amd64", 1), &silent], &["no platform", "--platform-of", silent.digest()]);
}

#[test]
fn docker_and_oci_mixed() {
    let (oci, docker) = (image_for(Style::Oci, "linux/amd64", 1), image_for(Style::Docker, "linux/arm64", 2));
    refused(&[&oci, &docker], &["Docker", "OCI", "--format"]);
}

#[test]
fn annotations_on_a_list_that_cannot_have_them() {
    let docker = image_for(Style::Docker, "linux/arm64", 2);
    for registry in registries() {
        docker.push(&registry, "app", "arm");
        index(&[registry.at("app:arm")], &registry.at("app:v1"))
            .args(["--annotation", "a=b"])
            .run()
            .failed(3, &["no annotations", "--format oci"]);
        assert!(!registry.has_manifest("app", "v1"));
    }
}

#[test]
fn what_is_missing_ends_with_5() {
    let image = image_for(Style::Oci, "linux/amd64", 1);
    for registry in registries() {
        image.push(&registry, "app", "amd");
        index(&[registry.at("app:amd"), registry.at("app:none")], &registry.at("app:v1"))
            .run()
            .failed(5, &["app:none"]);
        assert!(!registry.has_manifest("app", "v1"));
    }
}

#[test]
fn usage_errors_end_with_2() {
    let wrong: [(&[&str], &str); 9] = [
        (&["--to", "localhost:1/b"], "no image"),
        (&["localhost:1/a"], "no destination"),
        (&["localhost:1/a", "--to", "localhost:1/b", "--add", "localhost:1/c"], "--from"),
        (&["localhost:1/a", "--to", "localhost:1/b", "--replace", "localhost:1/c"], "--from"),
        (&["localhost:1/a", "--to", "localhost:1/b", "--remove", "linux"], "--remove"),
        (&["localhost:1/a", "--to", "localhost:1/b", "--platform-of", "linux/amd64"], "--platform-of"),
        (&["localhost:1/a", "--to", "localhost:1/b", "--platform-of", "localhost:1/a=linux"], "linux"),
        (&["localhost:1/a", "--to", "localhost:1/b", "--annotation", "novalue"], "KEY=VALUE"),
        (&["localhost:1/a", "--to", "localhost:1/b", "--result", "source=x"], "source"),
    ];
    for (words, told) in wrong {
        imgstep(["index"]).args(words).run().failed(2, &[told]);
    }
}

#[test]
fn a_platform_of_what_is_not_there_ends_with_2() {
    let both = images::index(Style::Oci, 1, 2, 1, 500);
    for registry in registries() {
        both.push(&registry, "app", "both");
        let step =
            |of: &str| index(&[registry.at("app:both")], &registry.at("app:v1")).args(["--platform-of", of]).run();
        step(&format!("{}=linux/386", registry.at("app:other"))).failed(2, &["not one of the images"]);
        step(&format!("{}=linux/386", registry.at("app:both"))).failed(2, &["is an index", "digest"]);
        let child = format!("{}@{}=linux/386", registry.at("app"), both.manifests[0].digest);
        step(&child).ended(0);
    }
}
