//! A second run, an interrupted first one, and content that a registry lost.

use super::{line, promote};
use crate::support::{Proxy, Style, assert_image, images, pairs};

#[test]
fn a_second_run_takes_two_requests_and_answers_the_same() {
    let image = images::index(Style::Oci, 1, 4, 3, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
        let run = || promote(&reading.at("app:v1"), &writing.at("copy:v1")).run();
        let expected = [line(&writing.at("copy"), &image)];
        run().printed(&expected);
        reading.reset();
        writing.reset();
        run().printed(&expected);
        let asked = reading.log();
        assert_eq!(asked.len(), 1, "{:#?}", reading.lines());
        assert!(asked[0].is("", "/app/manifests/v1") && !asked[0].writes());
        let looked = writing.log();
        assert_eq!(looked.len(), 1, "{:#?}", writing.lines());
        assert!(looked[0].is("HEAD", "/copy/manifests/v1"), "{:#?}", writing.lines());
    }
}

#[test]
fn a_second_run_only_adds_a_new_tag() {
    let image = images::index(Style::Oci, 1, 3, 2, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("app:v1")).run().ended(0);
        writing.reset();
        promote(&source.at("app:v1"), &writing.at("app:v1"))
            .args(["--tags", "v1.2"])
            .run()
            .printed(&[line(&writing.at("app"), &image)]);
        assert_image(&destination, "app", "v1.2", &image);
        let writes: Vec<String> = writing.writes().iter().map(|seen| seen.target.clone()).collect();
        assert_eq!(writes, ["/v2/app/manifests/v1.2"]);
    }
}

#[test]
fn an_unfinished_earlier_run_is_completed() {
    let image = images::index(Style::Oci, 1, 3, 4, 2000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        // The first platform exists with its manifest, and so does one layer of the second.
        let child = &image.manifests[0];
        for blob in &image.blobs[..6] {
            destination.put_blob("copy", blob);
        }
        destination.put_manifest("copy", &child.digest, child);
        let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
        promote(&reading.at("app:v1"), &writing.at("copy:v1")).run().printed(&[line(&writing.at("copy"), &image)]);
        assert_image(&destination, "copy", "v1", &image);
        let mut uploaded = writing.uploaded();
        uploaded.sort();
        let mut missing: Vec<&str> = image.blobs[6..].iter().map(|blob| blob.digest.as_str()).collect();
        missing.sort_unstable();
        assert_eq!(uploaded, missing);
        let bytes: usize = image.blobs[6..].iter().map(|blob| blob.bytes.len()).sum();
        assert_eq!(writing.uploaded_bytes(), bytes as u64);
        let present = &image.blobs[0].digest;
        assert!(!reading.downloaded().contains(present), "{:#?}", reading.lines());
    }
}

#[test]
fn a_tag_that_points_to_another_image_is_moved() {
    let (old, new) = (images::image(1, 2, 500), images::image(2, 2, 500));
    for (source, destination) in pairs() {
        new.push(&source, "app", "v1");
        old.push(&destination, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1")).run().printed(&[line(&destination.at("app"), &new)]);
        assert_image(&destination, "app", "v1", &new);
    }
}

#[test]
fn repair_sends_a_blob_that_the_destination_lost() {
    let image = images::index(Style::Oci, 1, 2, 2, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        image.push(&destination, "app", "v1");
        let lost = &image.blobs[1].digest;
        destination.delete_blob("app", lost);
        let writing = Proxy::before(&destination);
        let expected = [line(&writing.at("app"), &image)];
        promote(&source.at("app:v1"), &writing.at("app:v1")).run().printed(&expected);
        assert!(writing.writes().is_empty(), "a tag that is there is trusted: {:#?}", writing.lines());
        promote(&source.at("app:v1"), &writing.at("app:v1")).args(["--repair"]).run().printed(&expected);
        assert_eq!(writing.uploaded(), [lost.as_str()]);
        assert_image(&destination, "app", "v1", &image);
    }
}

#[test]
fn repair_sends_a_child_manifest_that_the_destination_lost() {
    let image = images::index(Style::Oci, 1, 3, 2, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        image.push(&destination, "app", "v1");
        let lost = &image.manifests[1].digest;
        destination.delete_manifest("app", lost);
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("app:v1"))
            .args(["--repair"])
            .run()
            .printed(&[line(&writing.at("app"), &image)]);
        assert!(writing.uploaded().is_empty(), "{:#?}", writing.lines());
        assert!(writing.count("PUT", &format!("/manifests/{lost}")) == 1, "{:#?}", writing.lines());
        assert_image(&destination, "app", "v1", &image);
    }
}

#[test]
fn repair_of_what_is_whole_sends_nothing() {
    let image = images::nested(1);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        image.push(&destination, "app", "v1");
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("app:v1"))
            .args(["--repair"])
            .run()
            .printed(&[line(&writing.at("app"), &image)]);
        assert_eq!(writing.uploaded_bytes(), 0, "{:#?}", writing.lines());
        assert_eq!(writing.count("PUT", "/manifests/"), 0, "{:#?}", writing.lines());
    }
}
