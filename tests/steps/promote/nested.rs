//! Nested indexes: their number, depth and size are limited.

use std::time::Duration;

use serde_json::{Value, json};

use super::{line, promote};
use crate::support::images::Content;
use crate::support::{Action, Image, Proxy, Registry, Style, assert_image, images, imgstep, rule};

/// An index of `indexes` indexes with `images` images each. Every image's manifest is padded by `size` bytes.
fn nested(outer: u64, inner: u64, size: usize) -> Image {
    let image = |seed: u64| {
        let mut image = images::image(seed, 1, 100);
        let mut fields: Value = serde_json::from_slice(&image.root().bytes).unwrap();
        fields["annotations"] = json!({"com.example.padding": "x".repeat(size)});
        *image.manifests.last_mut().unwrap() = Content::new(images::OCI_MANIFEST, fields.to_string().into_bytes());
        (image, json!({}))
    };
    let index = |number: u64| {
        let images = (0..inner).map(|child| image(number * inner + child)).collect();
        (images::index_of(Style::Oci, images), json!({}))
    };
    images::index_of(Style::Oci, (0..outer).map(index).collect())
}

#[test]
fn memory_does_not_grow_with_the_manifests_of_nested_indexes() {
    let image = nested(8, 8, 2_000_000);
    let (source, destination) = (Registry::inside(), Registry::inside());
    image.push(&source, "app", "v1");
    // All images would be kept in memory while their layers are pending.
    let slow = rule("GET", "/blobs/", Action::Stall(Duration::from_millis(500)));
    let reading = Proxy::before(&source).with(slow);
    let running = promote(&reading.at("app:v1"), &destination.at("copy:v1")).start();
    let peak = running.peak_memory();
    running.wait().printed(&[line(&destination.at("copy"), &image)]);
    let peak = peak.join().unwrap();
    assert!(peak < 100_000_000, "{peak} bytes for 128 MB of manifests");
    assert_image(&destination, "copy", "v1", &image);
}

#[test]
fn an_image_with_too_many_references_is_refused() {
    let registry = Registry::inside();
    let image = images::image(1, 1, 100);
    let child = image.root().descriptor();
    let inner = json!({"schemaVersion": 2, "mediaType": images::OCI_INDEX, "manifests": vec![child; 2600]});
    let distinct = |number: u64| {
        let mut fields = inner.clone();
        fields["annotations"] = json!({"number": number.to_string()});
        let manifests =
            vec![image.manifests[0].clone(), Content::new(images::OCI_INDEX, fields.to_string().into_bytes())];
        (Image { manifests, ..image.clone() }, json!({}))
    };
    let folder = crate::support::Folder::new();
    let layer = format!("{}=/f", folder.write("file", "content").display());
    for (tag, indexes, allowed) in [("few", 3, true), ("many", 4, false)] {
        images::index_of(Style::Oci, (0..indexes).map(distinct).collect()).push(&registry, "app", tag);
        let (from, to) = (registry.at(&format!("app:{tag}")), registry.at(&format!("copy-{tag}:v1")));
        let steps: [&[&str]; 5] = [
            &["promote", &from, &to],
            &["inspect", &from],
            &["mutate", &from, "--to", &to, "--label", "a=b"],
            &["append", &from, "--to", &to, "--layer", &layer],
            &["index", &from, "--to", &to],
        ];
        let steps = if allowed { &steps[..1] } else { &steps[..] };
        for words in steps {
            let run = imgstep(*words).run().ended(i32::from(!allowed));
            assert_eq!(
                run.stderr.contains("names more than 10000 manifests and blobs"),
                !allowed,
                "{words:?}: {}",
                run.stderr
            );
            assert_eq!(registry.has_manifest(&format!("copy-{tag}"), "v1"), allowed, "{words:?}");
        }
    }
}

#[test]
fn six_levels_are_copied_and_forty_are_refused_by_every_step() {
    let deep = |levels: usize| {
        let first = images::index(Style::Oci, 1, 1, 1, 100);
        (1..levels).fold(first, |image, _| images::index_of(Style::Oci, vec![(image, json!({}))]))
    };
    let registry = Registry::inside();
    let (six, forty) = (deep(6), deep(40));
    six.push(&registry, "app", "six");
    forty.push(&registry, "app", "forty");
    promote(&registry.at("app:six"), &registry.at("copy:six")).run().printed(&[line(&registry.at("copy"), &six)]);
    assert_image(&registry, "copy", "six", &six);
    let (from, to) = (registry.at("app:forty"), registry.at("copy:forty"));
    let steps: [&[&str]; 4] = [
        &["promote", &from, &to],
        &["inspect", &from],
        &["mutate", &from, "--to", &to, "--label", "a=b"],
        &["index", &from, "--to", &to],
    ];
    for words in steps {
        let run = imgstep(words).run().ended(1);
        assert!(run.stderr.contains("nested deeper than 8"), "{words:?}: {}", run.stderr);
    }
}
