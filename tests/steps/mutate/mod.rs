//! `imgstep mutate`: one file for each topic.

mod annotations;
mod config;
mod odd;
mod platforms;
mod writing;

use serde_json::Value;

use crate::support::step::Step;
use crate::support::{Registry, imgstep};

/// `imgstep mutate IMAGE --to DESTINATION`.
fn mutate(image: &str, destination: &str) -> Step {
    imgstep(["mutate", image, "--to", destination])
}

/// A manifest as JSON.
fn manifest(registry: &Registry, repository: &str, reference: &str) -> Value {
    serde_json::from_slice(&registry.manifest_bytes(repository, reference)).unwrap()
}

/// The bytes of an image's config, by tag or digest.
fn config(registry: &Registry, repository: &str, reference: &str) -> String {
    let digest = manifest(registry, repository, reference)["config"]["digest"].as_str().unwrap().to_owned();
    let url = registry.url(&format!("{repository}/blobs/{digest}"));
    crate::support::client::expect(200, "GET", &url, &[], b"").text()
}
