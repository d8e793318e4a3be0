//! The content of an image, as data. Its JSON form is what `inspect --output json` prints; fields are added, never
//! renamed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::image::digest::Digest;

/// The content of an image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// The version of the form: 1.
    pub schema_version: u32,
    /// The reference in full.
    pub reference: String,
    /// `name@digest`.
    #[serde(rename = "ref")]
    pub pinned: String,
    /// The manifest and everything below it.
    #[serde(flatten)]
    pub root: Node,
    /// Its referrers (signatures, SBOMs, attestations); none in a layout.
    pub referrers: Vec<Referrer>,
}

/// A manifest.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The digest.
    pub digest: Digest,
    /// The media type.
    pub media_type: String,
    /// The size of the manifest in bytes.
    pub size: u64,
    /// The platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// If it is an attestation manifest of BuildKit: the digest of the image it describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation_of: Option<String>,
    /// Annotations of the manifest, and of the entry that its index has for it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The config of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<NodePart>,
    /// The layers of an image or the blobs of an artifact, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<NodePart>,
    /// The children of an index, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Node>,
    /// Listed in its index but missing (a sparse index).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
}

/// A blob.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePart {
    /// The digest.
    pub digest: Digest,
    /// The media type.
    pub media_type: String,
    /// The size in bytes (0 where only its registry could tell: schema 1).
    pub size: u64,
    /// A foreign layer, which the registry doesn't store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest that refers to the image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// The digest.
    pub digest: Digest,
    /// The type of the artifact, or else the media type.
    pub artifact_type: String,
    /// The size of its manifest in bytes.
    pub size: u64,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
