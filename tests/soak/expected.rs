//! What a step must produce: the image of a run without faults, checked in detail before anything is compared with it.

use std::collections::BTreeSet;
use std::io::Read as _;

use serde_json::Value;

use crate::cases::Case;
use crate::run::StoredImage;
use crate::storage::Storage;
use crate::support::Image;
use crate::support::images::sha256;
use crate::world::World;

/// A result.
#[derive(Debug, Clone)]
pub struct Expected {
    pub digest: String,
    /// Its manifests: no others may ever be written.
    pub manifests: BTreeSet<String>,
}

impl Expected {
    /// The result of a run without faults. If it isn't what was asked for, that is a bug in imgstep or in the soak
    /// test.
    pub fn of(case: Case, digest: &str, kept: &StoredImage, world: &World) -> Self {
        let storage = kept.storage();
        storage.check(&kept.repository, digest).unwrap();
        let index = json(storage, digest);
        let children: Vec<String> = list(&index, "manifests").map(|child| text(child, "digest").to_owned()).collect();
        match case {
            Case::Promote | Case::PromoteLarge | Case::PromoteWithin => {
                assert_eq!(digest, world.promoted(case).digest());
            }
            Case::Index => {
                // Each once; the order is imgstep's.
                let parts: BTreeSet<&str> = world.images.parts.iter().map(Image::digest).collect();
                assert_eq!(children.iter().map(String::as_str).collect::<BTreeSet<_>>(), parts);
                assert_eq!(children.len(), parts.len());
            }
            Case::Append | Case::AppendStreamed => appended(case, &children, storage, world),
        }
        let manifests = children.into_iter().chain([digest.to_owned()]).collect();
        Self { digest: digest.to_owned(), manifests }
    }

    /// An image that is promoted.
    pub fn image(image: &Image) -> Self {
        let manifests = image.manifests.iter().map(|manifest| manifest.digest.clone()).collect();
        Self { digest: image.digest().to_owned(), manifests }
    }
}

/// Asserts that each platform has the base's layers and one more, with the files.
fn appended(case: Case, children: &[String], storage: &Storage, world: &World) {
    let base = &world.images.app;
    let platforms: Vec<&_> = base.manifests.iter().filter(|manifest| manifest.digest != base.digest()).collect();
    assert_eq!(children.len(), platforms.len());
    for (child, before) in children.iter().zip(platforms) {
        let (manifest, before) = (json(storage, child), serde_json::from_slice::<Value>(&before.bytes).unwrap());
        let (layers, below) = (manifest["layers"].as_array().unwrap(), before["layers"].as_array().unwrap());
        assert_eq!(&layers[..below.len()], &below[..]);
        assert_eq!(layers.len(), below.len() + 1);
        let config = json(storage, text(&manifest["config"], "digest"));
        let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        assert_eq!(diff_ids.len(), layers.len());
        let packed = storage.checked(text(&layers[below.len()], "digest")).unwrap();
        let mut tar = vec![];
        flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut tar).unwrap();
        assert_eq!(diff_ids.last().and_then(Value::as_str), Some(sha256(&tar).as_str()));
        for file in world.files(case) {
            // Files start at blocks of 512 bytes.
            let blocks = (0..tar.len()).step_by(512);
            assert!(blocks.into_iter().any(|at| tar[at..].starts_with(&file)), "a file is not in the layer");
        }
    }
}

fn json(storage: &Storage, digest: &str) -> Value {
    serde_json::from_slice(&storage.checked(digest).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
