//! The bundle itself: a layer for each resource, the config that an image must have, the manifest over them. Nothing in
//! it depends on a machine, a time, or the order in which files were named.

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

/// The resolver's word for it: layers in gzip or plain, never zstd.
const COMPRESSION: Compression = Compression::Gzip(9);
/// Where a layer says what its resource is called.
const NAME: &str = "dev.tekton.image.name";
/// Where it says of which kind that is, in lower case.
const KIND: &str = "dev.tekton.image.kind";
/// Where it says by which version of the API that is written.
const API_VERSION: &str = "dev.tekton.image.apiVersion";

/// A bundle that is to be written.
pub struct Bundle {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its config and layers.
    pub descriptors: Vec<Descriptor>,
    /// Their bytes.
    pub blobs: GeneratedBlobs,
    /// What it holds, in the order of its layers.
    pub resources: Vec<BundledResource>,
}

/// Builds the bundle of these resources, which are in order.
///
/// # Errors
/// None that is known: all was checked before.
pub fn build(resources: &[Resource], annotations: &BTreeMap<String, String>) -> Result<Bundle> {
    let mut blobs = GeneratedBlobs::default();
    let (mut layers, mut told) = (Vec::new(), Vec::new());
    let mut diff_ids = Vec::new();
    for resource in resources {
        let made = layer(resource)?;
        let layer = described(resource, &made);
        diff_ids.push(made.diff_id);
        told.push(BundledResource {
            api_version: resource.identity.api_version.clone(),
            kind: resource.identity.kind.clone(),
            name: resource.identity.name.clone(),
            digest: layer.digest.clone(),
        });
        blobs.add(made.digest, GeneratedBlob::Buffered(made.kept.unwrap_or_default()));
        layers.push(layer);
    }
    // It runs nowhere, and says so. There are registries that take no other config than that of an image.
    let nowhere = Platform { os: "unknown".to_owned(), architecture: "unknown".to_owned(), ..Platform::default() };
    let bytes = Bytes::from(Config::new(&nowhere, &diff_ids)?.to_bytes()?);
    let config = Descriptor::new(Format::Oci.config(), Digest::of(&bytes), bytes.len() as u64);
    blobs.add(config.digest.clone(), GeneratedBlob::Buffered(vec![bytes]));
    let media_type = Format::Oci.manifest();
    let manifest = Manifest::from_bytes(media_type, spec::manifest(media_type, &config, &layers, annotations)?.into())?;
    layers.push(config);
    Ok(Bundle { manifest, descriptors: layers, blobs, resources: told })
}

/// The layer of a resource: one file that is called as the resource is.
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
