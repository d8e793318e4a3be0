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
    /// The source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceReport>,
    /// The base that the result was built on, for steps that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<SourceReport>,
    /// The digest of the result (if destinations differ because one was skipped, that of the first).
    pub digest: Digest,
    /// The media type of the result.
    pub media_type: String,
    /// The size of the result's manifest in bytes.
    pub size: u64,
    /// The platforms of the result, in its order; none for an artifact.
    pub platforms: Vec<PlatformImage>,
    /// The children of the result if it is an index, in its order, attestation manifests included.
    pub images: Vec<Digest>,
    /// The resources of a bundle, in the order of its layers; empty for other steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<BundledResource>,
    /// The destinations, in the order of the command line.
    pub destinations: Vec<DestinationReport>,
    /// Sums over all destinations.
    pub totals: Totals,
    /// Warnings for the user, one line each.
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
    /// The digest that it pointed to when it was read.
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
    /// The bytes of its config and layers; `None` if its manifest wasn't read because it already existed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A resource in a Tekton bundle.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BundledResource {
    /// Its API version: `tekton.dev/v1`.
    pub api_version: String,
    /// The kind: `Task`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The digest of its layer.
    pub digest: Digest,
}

/// The report of a destination.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationReport {
    /// The reference in full: `registry/repository:tag` or `oci:DIR:tag`.
    pub reference: String,
    /// The reference without tag and digest: `registry/repository` or `oci:DIR`.
    pub name: String,
    /// The tags that point to the result now, the destination's own first; empty if it was written by digest alone.
    pub tags: Vec<String>,
    /// The digest that these tags point to now.
    pub digest: Digest,
    /// `name@digest`.
    #[serde(rename = "ref")]
    pub pinned: String,
    /// What was done.
    pub state: DestinationState,
    /// The previous digests of the tags that were moved: the way back. (In a dry run: the current digests of those that
    /// would be moved.)
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<Previous>,
    /// Every manifest that was processed, children before parents.
    pub manifests: Vec<ManifestTransfer>,
    /// Every blob that was processed, each once.
    pub blobs: Vec<BlobTransfer>,
}

/// A tag that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// The tag.
    pub tag: String,
    /// The digest that it pointed to before.
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
    /// The tag existed with another digest and was kept (`--if-exists skip`).
    Skipped,
    /// A dry run: it would be written.
    Planned,
}

/// The report of a manifest.
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

/// The report of a blob.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobTransfer {
    /// The digest.
    pub digest: Digest,
    /// The media type.
    pub media_type: String,
    /// The size in bytes.
    pub size: u64,
    /// What was done (in a dry run: what would be done).
    pub action: Action,
    /// The seconds it took, from the first request for it to the last answer.
    pub seconds: f64,
}

/// What is done with a piece of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It already existed at the destination.
    Present,
    /// The registry mounted it from another of its repositories.
    Mounted,
    /// Its bytes were sent.
    Sent,
    /// A foreign layer, which stays at its URLs.
    Foreign,
}

/// Sums over all destinations.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// HTTP requests, including those to token services (in a dry run: an estimate for the real run).
    pub requests: u64,
    /// Bytes of blobs and manifests that were sent.
    pub sent_bytes: u64,
    /// Bytes of blobs that were mounted.
    pub mounted_bytes: u64,
    /// Bytes of blobs that already existed.
    pub present_bytes: u64,
    /// Seconds from start to end.
    pub seconds: f64,
}
