//! Several destinations and tags, while the source is read once.

use super::{line, promote};
use crate::support::{Proxy, Registry, Style, assert_image, images, imgstep, kinds, pairs};

#[test]
fn several_destinations_are_written_with_one_reading_of_the_source() {
    let image = images::index(Style::Oci, 1, 3, 3, 3000);
    for kind in kinds() {
        let (source, one, two) = (Registry::start(kind), Registry::start(kind), Registry::start(kind));
        image.push(&source, "app", "v1");
        let reading = Proxy::before(&source);
        imgstep(["promote", &reading.at("app:v1"), &one.at("a:v1"), &two.at("b:v2")])
            .args(["--to", &one.at("c/d:v3")])
            .run()
            .printed(&[line(&one.at("a"), &image), line(&two.at("b"), &image), line(&one.at("c/d"), &image)]);
        assert_image(&one, "a", "v1", &image);
        assert_image(&two, "b", "v2", &image);
        assert_image(&one, "c/d", "v3", &image);
        let mut read = reading.downloaded();
        read.sort();
        let mut distinct = read.clone();
        distinct.dedup();
        assert_eq!(read, distinct, "each blob is read once");
        assert_eq!(read.len(), image.blobs.len());
        assert_eq!(reading.count("GET", "/manifests/"), image.manifests.len(), "{:#?}", reading.lines());
    }
}

#[test]
fn tags_are_given_in_every_destination() {
    let image = images::image(1, 2, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
        promote(&reading.at("app:v1"), &writing.at("a:v1"))
            .args(["-t", &writing.at("b:v1"), "--tags", "v1.2", "latest", "--tags=v1.2.3"])
            .run()
            .printed(&[line(&writing.at("a"), &image), line(&writing.at("b"), &image)]);
        for repository in ["a", "b"] {
            for tag in ["v1", "v1.2", "v1.2.3", "latest"] {
                assert_image(&destination, repository, tag, &image);
            }
        }
        assert_eq!(reading.downloaded().len(), image.blobs.len());
        assert_eq!(writing.uploaded_bytes(), uploaded_once_or_mounted(&writing, &image));
    }
}

/// The second repository in a registry may mount from the first, or receive the bytes at the same time.
fn uploaded_once_or_mounted(writing: &Proxy, image: &images::Image) -> u64 {
    let bytes: usize = image.blobs.iter().map(|blob| blob.bytes.len()).sum();
    let bytes = bytes as u64;
    if writing.uploaded_bytes() > bytes { 2 * bytes } else { bytes }
}

#[test]
fn one_destination_that_has_it_already_gets_nothing() {
    let image = images::image(1, 2, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        image.push(&destination, "a", "v1");
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("a:v1"))
            .args(["--to", &writing.at("b:v1")])
            .run()
            .printed(&[line(&writing.at("a"), &image), line(&writing.at("b"), &image)]);
        assert_image(&destination, "b", "v1", &image);
        let to_a = writing.writes().into_iter().filter(|seen| seen.target.starts_with("/v2/a/"));
        assert_eq!(to_a.count(), 0, "{:#?}", writing.lines());
    }
}

#[test]
fn all_destinations_can_be_given_with_to() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        imgstep(["promote", &source.at("app:v1"), "--to", &destination.at("a:v1"), &destination.at("b:v1")])
            .run()
            .printed(&[line(&destination.at("a"), &image), line(&destination.at("b"), &image)]);
    }
}

#[test]
fn the_same_destination_twice_is_written_once() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("a:v1")).args(["--tags", "v1", "v1"]).run().ended(0);
        assert_eq!(writing.count("PUT", "/manifests/v1"), 1, "{:#?}", writing.lines());
    }
}

#[test]
fn a_failing_destination_does_not_spoil_the_others() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let broken = Proxy::before(&destination).with(crate::support::rule(
            "POST",
            "/b/",
            crate::support::Action::error(403, "DENIED", "not here"),
        ));
        promote(&source.at("app:v1"), &broken.at("b:v1"))
            .args(["--to", &broken.at("a:v1")])
            .run()
            .failed(4, &["403", "DENIED"]);
        assert!(!destination.has_manifest("b", "v1"));
        // Whatever happened to the other one, its tag either doesn't exist or points to the complete image.
        if destination.has_manifest("a", "v1") {
            assert_image(&destination, "a", "v1", &image);
        }
    }
}
