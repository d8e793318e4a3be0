//! Builds the bundle: a layer for each resource, the config that an image needs, and the manifest. Nothing in it depends on
//! the machine, the time, or the order of the files.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::resources::Resource;
use crate::error::Result;
use crate::image::config::Config;
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::format::Format;
use crate::image::manifest::Manifest;
use crate::image::platform::Platform;
use crate::image::spec;
use crate::layer::compress::Compression;
use crate::layer::recipe::{self as layer, BuildOptions, LayerSource, Recipe};
use crate::layer::walk::{self, LayerEntry};
use crate::report::outcome::BundledResource;
use crate::transfer::generated::{GeneratedBlob, GeneratedBlobs};

/// Tekton's resolver reads layers in gzip or without compression, but not in zstd.
const COMPRESSION: Compression = Compression::Gzip(9);
/// The annotation with the name of a layer's resource.
const NAME: &str = "dev.tekton.image.name";
/// The annotation with its kind, in lower case.
const KIND: &str = "dev.tekton.image.kind";
/// The annotation with the version of its API.
const API_VERSION: &str = "dev.tekton.image.apiVersion";

/// A bundle.
pub(crate) struct Bundle {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its config and layers.
    pub descriptors: Vec<Descriptor>,
    /// Their bytes.
    pub blobs: GeneratedBlobs,
    /// Its resources, in the order of its layers.
    pub resources: Vec<BundledResource>,
}

/// Builds the bundle of these resources, which are sorted.
///
/// # Errors
/// Only internal ones: the resources were checked before.
pub(crate) fn build(resources: &[Resource], annotations: &BTreeMap<String, String>) -> Result<Bundle> {
    let mut blobs = GeneratedBlobs::default();
    let (mut layers, mut bundled) = (Vec::new(), Vec::new());
    let mut diff_ids = Vec::new();
    for resource in resources {
        let made = layer(resource)?;
        let layer = described(resource, &made);
        diff_ids.push(made.diff_id);
        bundled.push(BundledResource {
            api_version: resource.identity.api_version.clone(),
            kind: resource.identity.kind.clone(),
            name: resource.identity.name.clone(),
            digest: layer.digest.clone(),
        });
        blobs.add(made.digest, GeneratedBlob::Buffered(made.kept.unwrap_or_default()));
        layers.push(layer);
    }
    // It can't run anywhere, and its platform says so. Some registries accept no config but that of an image.
    let nowhere = Platform { os: "unknown".to_owned(), architecture: "unknown".to_owned(), ..Platform::default() };
    let bytes = Bytes::from(Config::new(&nowhere, &diff_ids)?.to_bytes()?);
    let config = Descriptor::new(Format::Oci.config(), Digest::of(&bytes), bytes.len() as u64);
    blobs.add(config.digest.clone(), GeneratedBlob::Buffered(vec![bytes]));
    let media_type = Format::Oci.manifest();
    let manifest = Manifest::from_bytes(media_type, spec::manifest(media_type, &config, &layers, annotations)?.into())?;
    layers.push(config);
    Ok(Bundle { manifest, descriptors: layers, blobs, resources: bundled })
}

/// The layer of a resource: one file with the resource's name.
fn layer(resource: &Resource) -> Result<layer::BuiltLayer> {
    let entry = LayerEntry {
        path: resource.identity.name.clone().into_bytes(),
        content: walk::EntryContent::Bytes(resource.text.clone().into_bytes()),
        mode: 0o644,
        owner: (0, 0),
    };
    let source = LayerSource::Entries(vec![entry]);
    let recipe = Recipe { source, compression: COMPRESSION, mtime: 0, windows: false, threads: 1 };
    recipe.make(&mut BuildOptions { keep: u64::MAX, with_names: false, overflow: &mut |_| false })
}

fn described(resource: &Resource, made: &layer::BuiltLayer) -> Descriptor {
    let identity = &resource.identity;
    let media_type = Format::Oci.layer_of(made.packing).unwrap_or_default();
    let mut layer = Descriptor::new(media_type, made.digest.clone(), made.size);
    layer.annotations = BTreeMap::from([
        (NAME.to_owned(), identity.name.clone()),
        (KIND.to_owned(), identity.kind.to_ascii_lowercase()),
        (API_VERSION.to_owned(), identity.api_version.clone()),
    ]);
    layer
}
