//! Everything a registry holds arrives complete, byte for byte.

use super::{line, promote};
use crate::support::certificates::Certificate;
use crate::support::{
    Folder, Image, Options, Proxy, Registry, Style, assert_image, distribution, images, pairs, schema1,
};

/// Copies an image between two registries of each kind and checks every byte of it.
fn is_copied_between_all(image: &Image) {
    for (source, destination) in pairs() {
        is_copied(&source, &destination, image);
    }
}

fn is_copied(source: &Registry, destination: &Registry, image: &Image) {
    image.push(source, "team/app", "v1");
    promote(&source.at("team/app:v1"), &destination.at("prod/app:v1"))
        .run()
        .printed(&[line(&destination.at("prod/app"), image)]);
    assert_image(destination, "prod/app", "v1", image);
}

#[test]
fn a_single_image() {
    is_copied_between_all(&images::image(1, 5, 100_000));
}

#[test]
fn an_image_without_layers() {
    is_copied_between_all(&images::image(1, 0, 0));
}

#[test]
fn a_single_docker_image() {
    is_copied_between_all(&images::image_of(Style::Docker, "linux/amd64", images::layers(Style::Docker, 1, 3, 1000)));
}

#[test]
fn an_index_of_8_platforms_with_6_layers_each() {
    is_copied_between_all(&images::index(Style::Oci, 1, 8, 6, 20_000));
}

#[test]
fn a_docker_manifest_list() {
    is_copied_between_all(&images::index(Style::Docker, 1, 4, 2, 1000));
}

#[test]
fn an_index_with_attestations() {
    is_copied_between_all(&images::attested(1));
}

#[test]
fn a_nested_index_with_attestations() {
    is_copied_between_all(&images::nested(1));
}

#[test]
fn an_index_without_manifests() {
    is_copied_between_all(&images::index(Style::Oci, 1, 0, 0, 0));
}

#[test]
fn a_docker_schema_1_image() {
    // Name and tag are part of the signed bytes, and distribution checks that they match.
    let image = schema1::image(1, "team/app", "v1");
    for (source, destination) in pairs() {
        image.push(&source, "team/app", "v1");
        promote(&source.at("team/app:v1"), &destination.at("team/app:v1"))
            .run()
            .printed(&[line(&destination.at("team/app"), &image)]);
        assert_image(&destination, "team/app", "v1", &image);
    }
}

#[test]
fn an_oci_artifact_manifest() {
    // distribution 2.8 doesn't accept these.
    is_copied(&Registry::inside(), &Registry::inside(), &images::artifact(1));
}

#[test]
fn a_manifest_of_an_unknown_kind() {
    is_copied(&Registry::inside(), &Registry::inside(), &images::unknown_manifest(1));
}

#[test]
fn an_index_with_a_manifest_of_an_unknown_kind() {
    is_copied(&Registry::inside(), &Registry::inside(), &images::index_with_unknown_manifest(1));
}

#[test]
fn between_registries_of_different_kinds() {
    let Some(distribution) = distribution(&Options::default()) else { return };
    let inside = Registry::inside();
    is_copied(&distribution, &inside, &images::nested(1));
    is_copied(&inside, &distribution, &images::index(Style::Docker, 2, 3, 2, 1000));
}

#[test]
fn a_layer_larger_than_any_buffer() {
    is_copied_between_all(&images::image(1, 1, 20_000_000));
}

#[test]
fn an_empty_layer() {
    is_copied_between_all(&images::image(1, 1, 0));
}

#[test]
fn layers_shared_by_platforms_are_sent_once() {
    let image = images::index_with_shared_layers(1, 6, 3, 5000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
        promote(&reading.at("app:v1"), &writing.at("copy:v1")).run().printed(&[line(&writing.at("copy"), &image)]);
        assert_image(&destination, "copy", "v1", &image);
        let mut expected: Vec<String> = image.blobs.iter().map(|blob| blob.digest.clone()).collect();
        expected.sort();
        let sorted = |mut digests: Vec<String>| {
            digests.sort();
            digests
        };
        assert_eq!(sorted(reading.downloaded()), expected);
        assert_eq!(sorted(writing.uploaded()), expected);
    }
}

#[test]
fn content_goes_first_children_before_parents_and_the_tag_last() {
    for (source, destination) in pairs() {
        let image = images::nested(1);
        image.push(&source, "app", "v1");
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("app:v1")).run().ended(0);
        let log = writing.log();
        let puts: Vec<&str> = log
            .iter()
            .filter(|seen| seen.is("PUT", "/manifests/"))
            .map(|seen| seen.target.rsplit('/').next().unwrap())
            .collect();
        let (last, children) = puts.split_last().unwrap();
        assert_eq!(*last, "v1", "{puts:?}");
        let place = |digest: &str| children.iter().position(|put| *put == digest);
        for child in &image.manifests[..image.manifests.len() - 1] {
            assert!(place(&child.digest).is_some(), "{} is missing in {puts:?}", child.digest);
        }
        let inner = image.manifests.iter().position(|child| child.media_type == images::OCI_INDEX).unwrap();
        for child in &image.manifests[..inner] {
            assert!(place(&child.digest) < place(&image.manifests[inner].digest), "{puts:?}");
        }
        let last_blob = log.iter().rposition(|seen| seen.is("", "/blobs/uploads/")).unwrap();
        let tag = log.iter().position(|seen| seen.is("PUT", "/manifests/v1")).unwrap();
        assert!(last_blob < tag, "{:#?}", writing.lines());
    }
}

#[test]
fn a_foreign_layer_is_not_copied() {
    let image = images::with_foreign_layer(1);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1")).run().printed(&[line(&destination.at("app"), &image)]);
        assert_image(&destination, "app", "v1", &image);
        assert!(!destination.has_blob("app", &image.foreign[0].digest));
    }
}

#[test]
fn a_foreign_layer_without_urls_is_copied() {
    let mut image = images::with_foreign_layer(1);
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.root().bytes).unwrap();
    manifest["layers"][0].as_object_mut().unwrap().remove("urls");
    *image.manifests.last_mut().unwrap() = images::Content::json(images::OCI_MANIFEST, &manifest);
    image.blobs.append(&mut image.foreign);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1")).run().printed(&[line(&destination.at("app"), &image)]);
        assert_image(&destination, "app", "v1", &image);
    }
}

#[test]
fn a_foreign_layer_moves_when_asked() {
    let image = images::with_foreign_layer(1);
    for (source, destination) in pairs() {
        source.put_blob("app", &image.foreign[0]);
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--include-foreign"])
            .run()
            .printed(&[line(&destination.at("app"), &image)]);
        assert_image(&destination, "app", "v1", &image);
        assert!(destination.has_blob("app", &image.foreign[0].digest));
    }
}

#[test]
fn a_foreign_layer_that_the_source_lacks_is_fetched_from_its_url() {
    let certificate = Certificate::new();
    let folder = Folder::new();
    let authority = folder.write("ca.pem", &certificate.authority_pem);
    let Some(elsewhere) = distribution(&Options { tls: Some(certificate), ..Options::default() }) else { return };
    for (source, destination) in pairs() {
        let image = images::with_foreign_layer_at(2, |digest| {
            format!("https://{}", elsewhere.at(&format!("v2/layers/blobs/{digest}")))
        });
        elsewhere.put_blob("layers", &image.foreign[0]);
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--include-foreign", "--ca-file"])
            .arg(&authority)
            .run()
            .printed(&[line(&destination.at("app"), &image)]);
        assert_image(&destination, "app", "v1", &image);
        assert!(destination.has_blob("app", &image.foreign[0].digest));
    }
}

#[test]
fn a_url_in_a_manifest_reaches_no_service_of_this_machine() {
    for (source, destination) in pairs() {
        let inside = Proxy::before(&source);
        let image = images::with_foreign_layer_at(2, |digest| {
            format!("http://{}", inside.at(&format!("v2/layers/blobs/{digest}")))
        });
        source.put_blob("layers", &image.foreign[0]);
        image.push(&source, "app", "v1");
        // The first is the registry's own host: that URL would be requested with our credentials.
        for insecure in [inside.host.as_str(), "127.0.0.1", "other.example"] {
            promote(&source.at("app:v1"), &destination.at("app:v1"))
                .args(["--include-foreign", "--insecure-registry", insecure, "--retries", "0"])
                .run()
                .failed(1, &["foreign layer", "only https"]);
        }
        assert!(inside.log().is_empty(), "{:#?}", inside.lines());
    }
}

#[test]
fn urls_of_ordinary_layers_are_not_requested() {
    let certificate = Certificate::new();
    let folder = Folder::new();
    let authority = folder.write("ca.pem", &certificate.authority_pem);
    let Some(elsewhere) = distribution(&Options { tls: Some(certificate), ..Options::default() }) else { return };
    let mut image = images::image(3, 1, 500);
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.root().bytes).unwrap();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    let position = image.blobs.iter().position(|blob| blob.digest == digest).unwrap();
    let layer = image.blobs.remove(position);
    elsewhere.put_blob("layers", &layer);
    let url = format!("https://{}", elsewhere.at(&format!("v2/layers/blobs/{}", layer.digest)));
    for blob in manifest["layers"].as_array_mut().unwrap() {
        blob["urls"] = serde_json::json!([url]);
    }
    let manifest = images::Content::json(images::OCI_MANIFEST, &manifest);
    let (source, destination) = (Registry::inside(), Registry::inside());
    source.put_blob("app", &layer);
    for blob in &image.blobs {
        source.put_blob("app", blob);
    }
    source.put_manifest("app", "v1", &manifest);
    source.delete_blob("app", &layer.digest);
    promote(&source.at("app:v1"), &destination.at("app:v1"))
        .args(["--include-foreign", "--retries", "0", "--ca-file"])
        .arg(&authority)
        .run()
        .failed(1, &[]);
    let asked = elsewhere.access_log();
    assert!(asked.iter().all(|seen| seen.method != "GET"), "{asked:#?}");
}

#[test]
fn a_source_by_digest_and_a_destination_without_a_tag() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let by_digest = format!("{}@{}", source.at("app"), image.digest());
        promote(&by_digest, &destination.at("app")).run().printed(&[line(&destination.at("app"), &image)]);
        assert_image(&destination, "app", "latest", &image);
        let by_both = format!("{}@{}", source.at("app:no-such-tag"), image.digest());
        promote(&by_both, &destination.at("app:v2")).run().printed(&[line(&destination.at("app"), &image)]);
        assert_image(&destination, "app", "v2", &image);
    }
}

#[test]
fn a_source_without_a_tag_is_the_latest() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "latest");
        promote(&source.at("app"), &destination.at("app:v1")).run().printed(&[line(&destination.at("app"), &image)]);
        assert_image(&destination, "app", "v1", &image);
    }
}

#[test]
fn a_manifest_without_a_media_type_of_its_own() {
    let typed = images::image(1, 1, 100);
    let mut manifest: serde_json::Value = serde_json::from_slice(&typed.root().bytes).unwrap();
    manifest.as_object_mut().unwrap().shift_remove("mediaType");
    let bare = images::Content::json(images::OCI_MANIFEST, &manifest);
    is_copied_between_all(&Image { manifests: vec![bare], ..typed });
}

#[test]
fn the_same_repository_under_another_tag() {
    for kind in crate::support::kinds() {
        let registry = Registry::start(kind);
        let image = images::index(Style::Oci, 1, 2, 2, 1000);
        image.push(&registry, "app", "v1");
        let proxy = Proxy::before(&registry);
        promote(&proxy.at("app:v1"), &proxy.at("app:prod")).run().printed(&[line(&proxy.at("app"), &image)]);
        assert_image(&registry, "app", "prod", &image);
        assert_eq!(proxy.uploaded_bytes(), 0, "{:#?}", proxy.lines());
        assert!(proxy.downloaded().is_empty(), "{:#?}", proxy.lines());
    }
}

#[test]
fn a_manifest_that_is_another_images_layer_too_is_both() {
    let first = images::image(1, 1, 500);
    let mut layer = first.root().clone();
    layer.media_type = "application/vnd.example.manifest".to_owned();
    let second = images::image_of(Style::Oci, "linux/arm64", vec![layer]);
    let image = images::index_of(Style::Oci, vec![(first, serde_json::json!({})), (second, serde_json::json!({}))]);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("copy:v1"))
            .run()
            .printed(&[line(&destination.at("copy"), &image)]);
        assert_image(&destination, "copy", "v1", &image);
    }
}

#[test]
fn an_image_addressed_by_sha512_keeps_that_digest_at_the_destination() {
    use sha2::{Digest as _, Sha512};
    let image = images::image(1, 1, 500);
    let (source, destination) = (Registry::inside(), Registry::inside());
    image.push(&source, "app", "v1");
    let value: Vec<String> = Sha512::digest(&image.root().bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("sha512:{}", value.concat());
    source.put_manifest("app", &name, image.root());
    promote(&source.at(&format!("app@{name}")), &destination.at("copy:v1"))
        .run()
        .printed(&[destination.at(&format!("copy@{name}"))]);
    assert!(destination.has_manifest("copy", &name), "the name that was printed is there");
    assert_image(&destination, "copy", "v1", &image);
}
