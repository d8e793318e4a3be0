//! `imgstep index`: one file for each topic.

mod again;
mod assembling;
mod formats;
mod from;
mod refusals;
mod results;
mod sources;

use serde_json::Value;

use crate::support::step::{Run, Step};
use crate::support::{Image, Registry, Style, assert_complete, images, imgstep};

/// `imgstep index IMAGE... --to DESTINATION`.
fn index<W: AsRef<str>>(images: &[W], destination: &str) -> Step {
    let words = ["index"].into_iter().chain(images.iter().map(AsRef::as_ref));
    imgstep(words.chain(["--to", destination]).collect::<Vec<_>>())
}

/// An image for one platform, with its own layers.
fn image_for(style: Style, platform: &str, seed: u64) -> Image {
    images::image_of(style, platform, images::layers(style, seed, 2, 700))
}

/// The index that a tag points to: well formed, complete, and the one that the step printed.
fn written(run: &Run, registry: &Registry, repository: &str, tag: &str) -> Value {
    let answer = registry.manifest(repository, tag);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let digest = images::sha256(&answer.body);
    assert!(run.stdout.trim_end().ends_with(&format!("/{repository}@{digest}")), "{digest}: {}", run.stdout);
    assert_complete(registry, repository, &digest);
    let index: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.header("content-type"), index["mediaType"].as_str());
    assert_eq!(index["schemaVersion"], 2);
    index
}

/// The platforms in the descriptors of an index's children, `-` for an attestation.
fn platforms(index: &Value) -> Vec<String> {
    let text = |platform: &Value| {
        let mut text = format!("{}/{}", platform["os"].as_str().unwrap(), platform["architecture"].as_str().unwrap());
        for (joint, name) in [("/", "variant"), (":", "os.version")] {
            if let Some(value) = platform[name].as_str() {
                text = format!("{text}{joint}{value}");
            }
        }
        if text == "unknown/unknown" { "-".to_owned() } else { text }
    };
    index["manifests"].as_array().unwrap().iter().map(|child| text(&child["platform"])).collect()
}

/// The digests of an index's children.
fn digests(index: &Value) -> Vec<&str> {
    index["manifests"].as_array().unwrap().iter().map(|child| child["digest"].as_str().unwrap()).collect()
}
