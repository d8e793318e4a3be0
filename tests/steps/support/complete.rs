//! Verifies that an image is complete: fetches everything with plain requests and hashes every byte.

use std::collections::BTreeSet;

use serde_json::Value;

use super::client;
use super::images::{Content, Image, SCHEMA1, sha256};
use super::registry::Registry;
use super::schema1;

/// What a walk found.
#[derive(Debug, Default)]
pub struct Found {
    pub manifests: BTreeSet<String>,
    pub blobs: BTreeSet<String>,
}

/// Walks everything below a manifest in a registry, except foreign layers.
pub fn assert_complete(registry: &Registry, repository: &str, digest: &str) -> Found {
    let mut found = Found::default();
    walk(registry, repository, digest, &mut found);
    found
}

/// Asserts that `reference` points to exactly this image, byte for byte, with all its parts.
pub fn assert_image(registry: &Registry, repository: &str, reference: &str, image: &Image) {
    let answer = registry.manifest(repository, reference);
    let place = format!("{}/{repository} {reference}", registry.host);
    assert_eq!(answer.status, 200, "{place}: {}", answer.text());
    assert!(same_manifest(&answer.body, image.root()), "{place}: other bytes: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some(image.root().media_type.as_str()), "{place}");
    let found = assert_complete(registry, repository, image.digest());
    for manifest in &image.manifests {
        assert!(found.manifests.contains(&manifest.digest), "{place}: manifest {} was not found", manifest.digest);
        let bytes = registry.manifest_bytes(repository, &manifest.digest);
        assert!(same_manifest(&bytes, manifest), "{place}: manifest {} has other bytes", manifest.digest);
    }
    for blob in &image.blobs {
        assert!(found.blobs.contains(&blob.digest), "{place}: blob {} was not found", blob.digest);
    }
}

/// distribution drops the signature of a schema 1 manifest and signs again, so only the signed bytes are compared.
fn same_manifest(bytes: &[u8], manifest: &Content) -> bool {
    if manifest.media_type == SCHEMA1 {
        manifest_digest(bytes, true) == manifest.digest
    } else {
        bytes == manifest.bytes
    }
}

fn manifest_digest(bytes: &[u8], signed: bool) -> String {
    if signed { sha256(&schema1::payload(bytes)) } else { sha256(bytes) }
}

fn walk(registry: &Registry, repository: &str, digest: &str, found: &mut Found) {
    if !found.manifests.insert(digest.to_owned()) {
        return;
    }
    let answer = registry.manifest(repository, digest);
    let place = format!("{}/{repository} {digest}", registry.host);
    assert_eq!(answer.status, 200, "{place}: {}", answer.text());
    let signed = answer.header("content-type") == Some(SCHEMA1);
    assert_eq!(manifest_digest(&answer.body, signed), digest, "{place}");
    let Ok(manifest) = serde_json::from_slice::<Value>(&answer.body) else { return };
    for child in list(&manifest, "manifests") {
        walk(registry, repository, text(child, "digest"), found);
    }
    let config = manifest.get("config").filter(|config| config.is_object());
    for blob in config.into_iter().chain(list(&manifest, "layers")).chain(list(&manifest, "blobs")) {
        if blob.get("urls").is_none() {
            check_blob(registry, repository, text(blob, "digest"), found);
        }
    }
    for layer in list(&manifest, "fsLayers") {
        check_blob(registry, repository, text(layer, "blobSum"), found);
    }
}

fn check_blob(registry: &Registry, repository: &str, digest: &str, found: &mut Found) {
    if !found.blobs.insert(digest.to_owned()) {
        return;
    }
    let answer = client::request("GET", &registry.url(&format!("{repository}/blobs/{digest}")), &[], b"");
    assert_eq!(answer.status, 200, "{}/{repository} {digest}: {}", registry.host, answer.text());
    assert_eq!(sha256(&answer.body), digest, "{}/{repository}: corrupt", registry.host);
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
