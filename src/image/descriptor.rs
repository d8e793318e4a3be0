//! Descriptors: the type, size and digest of content (image specification, descriptor.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::media_type;
use super::platform::Platform;

/// The parsed view of a descriptor. What is written to a registry is never made from this view but from the original
/// bytes or JSON, so that no field is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of the content.
    #[serde(default)]
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size: u64,
    /// Other URLs of the content (foreign layers).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub urls: Vec<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    /// The platform, for children of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// Go writes `null` for an empty list or map.
pub(crate) fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// The annotation by which BuildKit's attestation manifests say what they are.
const ATTESTATION_TYPE: &str = "vnd.docker.reference.type";
/// The annotation that names the image an attestation manifest speaks of.
const ATTESTATION_SUBJECT: &str = "vnd.docker.reference.digest";

impl Descriptor {
    /// A descriptor of a blob or manifest with nothing but its three needed fields.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// What it takes to bring the content: without annotations and platform, which may be large, and are somebody else's.
    #[must_use]
    pub fn lean(self) -> Self {
        Self { urls: self.urls, ..Self::new(self.media_type, self.digest, self.size) }
    }

    /// Whether this is a foreign layer, whose content is left where its URLs point. One that has none is nowhere else,
    /// whatever its type.
    pub fn is_foreign(&self) -> bool {
        media_type::is_foreign_layer(&self.media_type) && !self.urls.is_empty()
    }

    /// If this child of an index is an attestation manifest of BuildKit: the digest of the image it speaks of.
    pub fn attestation_of(&self) -> Option<&str> {
        self.annotations.get(ATTESTATION_TYPE).filter(|kind| *kind == "attestation-manifest")?;
        self.annotations.get(ATTESTATION_SUBJECT).map(String::as_str)
    }

    /// Whether this child of an index is an attestation manifest of BuildKit.
    pub fn is_attestation(&self) -> bool {
        self.annotations.get(ATTESTATION_TYPE).is_some_and(|kind| kind == "attestation-manifest")
    }
}
