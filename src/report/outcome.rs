//! What a step did, as data. Its JSON form is `docs/report.schema.json`; fields are added, never renamed.

use serde::Serialize;

use crate::image::digest::Digest;

/// The report of one step.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The version of the schema: 1.
    pub schema_version: u32,
    /// The step's name, such as `promote`.
    pub step: &'static str,
    /// Whether this is a plan and nothing was written.
    pub dry_run: bool,
    /// What was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceReport>,
    /// The base that the result was built on, for steps that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<SourceReport>,
    /// The digest of the result (with several destinations that differ, since one was skipped: of the first).
    pub digest: Digest,
    /// The media type of the result.
    pub media_type: String,
    /// The size of the result's manifest in bytes.
    pub size: u64,
    /// The platforms of the result, in its order; none for an artifact.
    pub platforms: Vec<PlatformImage>,
    /// The children of the result if it is an index, in its order, attestation manifests included.
    pub images: Vec<Digest>,
    /// What a bundle holds, in the order of its layers; none for any other step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<BundledResource>,
    /// What was written where, in the order of the command line.
    pub destinations: Vec<DestinationReport>,
    /// Sums over all destinations.
    pub totals: Totals,
    /// What a user should know, each a line.
    pub warnings: Vec<String>,
}

/// What was read.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceReport {
    /// The reference in full, as it was asked for: `docker.io/library/alpine:latest`.
    pub reference: String,
    /// The reference without tag and digest.
    pub name: String,
    /// The digest that it named when it was read.
    pub digest: Digest,
    /// The media type.
    pub media_type: String,
}

/// An image for one platform.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformImage {
    /// The platform, `os/architecture[/variant]`.
    pub platform: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The bytes of its config and layers; none where its manifest was not read, since it was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A resource in a Tekton bundle.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BundledResource {
    /// The version of the API that it is written by: `tekton.dev/v1`.
    pub api_version: String,
    /// The kind: `Task`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The digest of its layer.
    pub digest: Digest,
}

/// What became of one destination.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationReport {
    /// The reference in full: `registry/repository:tag` or `oci:DIR:tag`.
    pub reference: String,
    /// The reference without tag and digest: `registry/repository` or `oci:DIR`.
    pub name: String,
    /// The tags that name the result now, the destination's own first; empty if it was written by digest alone.
    pub tags: Vec<String>,
    /// The digest that these tags name now.
    pub digest: Digest,
    /// `name@digest`.
    #[serde(rename = "ref")]
    pub pinned: String,
    /// What was done.
    pub state: DestinationState,
    /// What its tags named before, of those that named something else: the way back. (In a plan: what they name now.)
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Previous>,
    /// Every manifest that was looked at, children before parents.
    pub manifests: Vec<ManifestTransfer>,
    /// Every blob that was looked at, each once.
    pub blobs: Vec<BlobTransfer>,
}

/// A tag that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// The tag.
    pub tag: String,
    /// The digest that it named before.
    pub digest: Digest,
}

/// What was done at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DestinationState {
    /// Content or tags were written.
    Written,
    /// Everything was there already.
    Unchanged,
    /// The tag was there with another digest and was left alone (`--if-exists skip`).
    Skipped,
    /// A plan: it would be written.
    Planned,
}

/// What became of a manifest.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestTransfer {
    /// The digest.
    pub digest: Digest,
    /// The media type.
    pub media_type: String,
    /// The size in bytes.
    pub size: u64,
    /// What was done: `sent` or `present`.
    pub action: Action,
}

/// What became of a blob.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobTransfer {
    /// The digest.
    pub digest: Digest,
    /// The media type.
    pub media_type: String,
    /// The size in bytes.
    pub size: u64,
    /// What was done (in a plan: what would be).
    pub action: Action,
    /// The seconds it took, from the first request for it to the last answer.
    pub seconds: f64,
}

/// What is done with one piece of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It was at the destination already.
    Present,
    /// The registry linked it from another of its repositories.
    Mounted,
    /// Its bytes were sent.
    Sent,
    /// A foreign layer, left where its URLs point.
    Foreign,
}

/// Sums over all destinations.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// HTTP requests, those of token services included (in a plan: those that carrying it out would take, about).
    pub requests: u64,
    /// Bytes of blobs and manifests that were sent.
    pub sent_bytes: u64,
    /// Bytes of blobs that were mounted.
    pub mounted_bytes: u64,
    /// Bytes of blobs that were there already.
    pub present_bytes: u64,
    /// Seconds from start to end.
    pub seconds: f64,
}
