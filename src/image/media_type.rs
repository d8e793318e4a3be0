//! Media types of manifests, configs and layers, and what each kind of content is.
//!
//! OCI's are those of oci-spec, whose enum can stand neither in a constant nor in a pattern: a test in `spec.rs` compares.

/// An OCI image manifest.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI artifact manifest (withdrawn before 1.1, still in use).
pub(crate) const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// A Docker image manifest, schema 2.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A Docker manifest list.
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// A Docker image manifest, schema 1, signed.
pub(crate) const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// A Docker image manifest, schema 1, not signed.
pub(crate) const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// An OCI image config.
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A Docker image config.
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// An OCI layer: a tar.
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// An OCI layer, compressed by gzip.
pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// An OCI layer, compressed by zstd, for which Docker has no type.
pub(crate) const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// An OCI layer that stays at its URLs.
pub(crate) const OCI_FOREIGN_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
/// The same, compressed by gzip.
pub(crate) const OCI_FOREIGN_LAYER_GZIP: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";

/// The `Accept` header of a request for a manifest: every known kind, and any other as it is.
pub(crate) const ACCEPT_MANIFEST: &str = "application/vnd.oci.image.index.v1+json, \
application/vnd.oci.image.manifest.v1+json, \
application/vnd.docker.distribution.manifest.list.v2+json, \
application/vnd.docker.distribution.manifest.v2+json, \
application/vnd.oci.artifact.manifest.v1+json, \
application/vnd.docker.distribution.manifest.v1+prettyjws, \
application/vnd.docker.distribution.manifest.v1+json, \
*/*;q=0.1";

/// What a media type means for its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An index or manifest list: it points to manifests.
    Index,
    /// An image manifest: it points to a config and layers.
    Image,
    /// An OCI artifact manifest: it points to blobs.
    Artifact,
    /// A Docker schema 1 manifest.
    Schema1,
    /// Content that isn't a manifest: a config or a layer.
    Blob,
    /// Unknown.
    Unknown,
}

/// The kind of content with this media type.
pub(crate) fn kind(media_type: &str) -> Kind {
    match media_type {
        OCI_INDEX | DOCKER_LIST => Kind::Index,
        OCI_MANIFEST | DOCKER_MANIFEST => Kind::Image,
        OCI_ARTIFACT => Kind::Artifact,
        DOCKER_SCHEMA1 | DOCKER_SCHEMA1_SIGNED => Kind::Schema1,
        OCI_CONFIG | DOCKER_CONFIG => Kind::Blob,
        other
            if other.starts_with("application/vnd.oci.image.layer.")
                || other.starts_with("application/vnd.docker.image.rootfs.") =>
        {
            Kind::Blob
        }
        // BuildKit's cache manifests list their config in an index.
        other if other.starts_with("application/vnd.buildkit.cacheconfig.") => Kind::Blob,
        _ => Kind::Unknown,
    }
}

/// Whether a layer of this media type stays at its `urls` (image specification, layer.md, "Non-Distributable Layers";
/// Docker's foreign layers).
pub(crate) fn is_foreign_layer(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
}

/// Whether a layer of this media type is a tar, compressed or not: all of OCI's and Docker's are, and their names
/// contain it.
pub(crate) fn is_tar(media_type: &str) -> bool {
    media_type.is_empty() || media_type.contains("tar")
}

/// Whether a config of this media type belongs to an image that runs, so that it has a platform.
pub(crate) fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
}

/// Content types that mean that a server doesn't know.
const VAGUE: [&str; 5] = ["", "application/json", "application/octet-stream", "text/plain", "binary/octet-stream"];

/// Whether `essence` says nothing about the content.
pub(crate) fn is_vague(essence: &str) -> bool {
    VAGUE.contains(&essence)
}

/// A `Content-Type` without its parameters, in lower case.
pub(crate) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        assert_eq!(kind(OCI_INDEX), Kind::Index);
        assert_eq!(kind("application/vnd.oci.image.layer.v1.tar+gzip"), Kind::Blob);
        assert_eq!(kind("application/vnd.example+json"), Kind::Unknown);
        assert!(is_foreign_layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"));
        assert!(!is_foreign_layer("application/vnd.oci.image.layer.v1.tar+gzip"));
        assert_eq!(essence("Application/JSON; charset=utf-8"), "application/json");
    }
}
