//! The formats of images, OCI's and Docker's, and conversion between them.
//!
//! OCI image specification, manifest.md and media-types.md, "Compatibility Matrix"; Docker image manifest, schema 2.

use serde_json::{Map, Value};

use super::manifest::Manifest;
use super::media_type::{
    DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, OCI_ARTIFACT, OCI_CONFIG, OCI_FOREIGN_LAYER, OCI_FOREIGN_LAYER_GZIP,
    OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use crate::error::{Error, GuardKind, Result};
use crate::text::printable;

/// A format: a family of media types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// OCI.
    Oci,
    /// Docker, schema 2.
    Docker,
}

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayerCompression {
    /// It isn't.
    Plain,
    /// With gzip.
    Gzip,
    /// With zstd.
    Zstd,
}

/// The media types of layers in both formats. Docker has no type for zstd.
const LAYERS: [(&str, &str); 5] = [
    (OCI_LAYER_GZIP, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    (OCI_LAYER, "application/vnd.docker.image.rootfs.diff.tar"),
    (OCI_LAYER, "application/vnd.docker.image.rootfs.layer.v1.tar"),
    (OCI_FOREIGN_LAYER_GZIP, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
    (OCI_FOREIGN_LAYER, "application/vnd.docker.image.rootfs.foreign.diff.tar"),
];

impl Format {
    /// The format of a manifest of this type; `None` if it is in neither.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            OCI_MANIFEST | OCI_INDEX | OCI_ARTIFACT => Some(Self::Oci),
            DOCKER_MANIFEST | DOCKER_LIST => Some(Self::Docker),
            _ => None,
        }
    }

    /// The format's name for users.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Oci => "OCI",
            Self::Docker => "Docker",
        }
    }

    /// The media type of an index.
    pub(crate) fn index(self) -> &'static str {
        match self {
            Self::Oci => OCI_INDEX,
            Self::Docker => DOCKER_LIST,
        }
    }

    /// The media type of an image manifest.
    pub(crate) fn manifest(self) -> &'static str {
        match self {
            Self::Oci => OCI_MANIFEST,
            Self::Docker => DOCKER_MANIFEST,
        }
    }

    /// The media type of an image's config.
    pub(crate) fn config(self) -> &'static str {
        match self {
            Self::Oci => OCI_CONFIG,
            Self::Docker => DOCKER_CONFIG,
        }
    }

    /// The media type of a layer; `None` for zstd in Docker's format.
    pub(crate) fn layer_of(self, packing: LayerCompression) -> Option<&'static str> {
        let (oci, docker) = match packing {
            LayerCompression::Gzip => LAYERS[0],
            LayerCompression::Plain => LAYERS[1],
            LayerCompression::Zstd => return (self == Self::Oci).then_some(OCI_LAYER_ZSTD),
        };
        Some(match self {
            Self::Oci => oci,
            Self::Docker => docker,
        })
    }

    /// The media type of a layer in this format.
    fn layer(self, media_type: &str) -> Option<&'static str> {
        let known = LAYERS.iter().find(|(oci, docker)| [*oci, *docker].contains(&media_type))?;
        Some(match self {
            Self::Oci => known.0,
            Self::Docker => known.1,
        })
    }
}

/// The image manifest in `format`: the same config and layers with other media types, every other field in its place.
/// Its digest changes.
///
/// # Errors
/// It has something that the other format can't express (`ErrorKind::Guard`).
pub(crate) fn converted(manifest: &Manifest, format: Format) -> Result<Manifest> {
    if Format::of(&manifest.media_type) == Some(format) { Ok(manifest.clone()) } else { throughout(manifest, format) }
}

/// As [`converted`], but also converts a config and layers in the other format if the manifest itself is in `format`:
/// some tools mix them.
///
/// # Errors
/// As [`converted`].
pub(crate) fn throughout(manifest: &Manifest, format: Format) -> Result<Manifest> {
    let is_other = Format::of(&manifest.media_type) != Some(format);
    let cannot = |reason: &str| Err(Error::guard(GuardKind::UnsupportedByFormat, cannot(manifest, format, reason)));
    if !matches!(manifest.media_type.as_str(), OCI_MANIFEST | DOCKER_MANIFEST) {
        return cannot("it isn't an image manifest");
    }
    let mut fields: Map<String, Value> = match serde_json::from_slice(&manifest.bytes) {
        Ok(fields) => fields,
        Err(error) => return cannot(&error.to_string()),
    };
    if let Some(reason) = lost(&fields, format).filter(|_| is_other) {
        return cannot(&reason);
    }
    let config = fields.get_mut("config").and_then(Value::as_object_mut);
    match config {
        Some(config) if [OCI_CONFIG, DOCKER_CONFIG].contains(&type_of(config)) => {
            config.insert("mediaType".to_owned(), format.config().into());
        }
        Some(config) => return cannot(&format!("its config is of type `{}`, not an image config", type_of(config))),
        None => return cannot("it has no config"),
    }
    for layer in fields.get_mut("layers").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(layer) = layer.as_object_mut() else { return cannot("a layer isn't a descriptor") };
        match format.layer(type_of(layer)) {
            Some(new) => drop(layer.insert("mediaType".to_owned(), new.into())),
            // A type of the same format, such as zstd, or an unknown one.
            None if !is_other => {}
            None => return cannot(&format!("a layer is of type `{}`", type_of(layer))),
        }
    }
    if is_other {
        fields.insert("mediaType".to_owned(), format.manifest().into());
    }
    match serde_json::to_vec(&fields) {
        Ok(bytes) => Manifest::from_bytes(format.manifest(), bytes.into()),
        Err(error) => cannot(&error.to_string()),
    }
}

/// The first field of a manifest or index that `format` can't express.
pub(crate) fn lost(fields: &Map<String, Value>, format: Format) -> Option<String> {
    let says = |name: &str, fields: &Map<String, Value>| {
        fields.get(name).is_some_and(|value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty()))
    };
    if format == Format::Oci {
        return None;
    }
    if let Some(name) = ["annotations", "subject", "artifactType"].into_iter().find(|name| says(name, fields)) {
        return Some(format!("Docker's manifests have no `{name}`"));
    }
    let layers = fields.get("layers").and_then(Value::as_array).into_iter().flatten();
    let annotated = layers.filter_map(Value::as_object).any(|layer| says("annotations", layer));
    annotated.then(|| "Docker's layers have no `annotations`".to_owned())
}

fn cannot(manifest: &Manifest, format: Format, reason: &str) -> String {
    format!("{} can't be converted to {}'s format: {}", manifest.digest, format.name(), printable(reason, 200))
}

fn type_of(fields: &Map<String, Value>) -> &str {
    fields.get("mediaType").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn manifest(media_type: &str, config: &str, layer: &str, more: &str) -> Manifest {
        let text = format!(
            r#"{{"zebra":1,"schemaVersion":2,"mediaType":"{media_type}","config":{{"mediaType":"{config}","digest":"{D}","size":2}},"layers":[{{"mediaType":"{layer}","digest":"{D}","size":1,"urls":["u"]}}]{more}}}"#
        );
        Manifest::from_bytes(media_type, text.into_bytes().into()).unwrap()
    }

    #[test]
    fn there_and_back() {
        let docker = manifest(DOCKER_MANIFEST, DOCKER_CONFIG, LAYERS[3].1, "");
        let oci = converted(&docker, Format::Oci).unwrap();
        assert_eq!(oci.bytes, manifest(OCI_MANIFEST, OCI_CONFIG, LAYERS[3].0, "").bytes);
        assert_eq!(converted(&oci, Format::Docker).unwrap().digest, docker.digest);
        assert_eq!(converted(&oci, Format::Oci).unwrap().digest, oci.digest);
    }

    #[test]
    fn what_is_mixed_is_so_no_more() {
        let mixed = manifest(OCI_MANIFEST, DOCKER_CONFIG, LAYERS[0].1, "");
        assert_eq!(converted(&mixed, Format::Oci).unwrap().digest, mixed.digest);
        let uniform = manifest(OCI_MANIFEST, OCI_CONFIG, LAYERS[0].0, "");
        assert_eq!(throughout(&mixed, Format::Oci).unwrap().bytes, uniform.bytes);
        let zstd = manifest(OCI_MANIFEST, OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd", "");
        assert_eq!(throughout(&zstd, Format::Oci).unwrap().bytes, zstd.bytes);
    }

    #[test]
    fn what_docker_has_no_words_for() {
        let why = |layer: &str, config: &str, more: &str| {
            converted(&manifest(OCI_MANIFEST, config, layer, more), Format::Docker).unwrap_err().to_string()
        };
        assert!(why("application/vnd.oci.image.layer.v1.tar+zstd", OCI_CONFIG, "").contains("tar+zstd"));
        assert!(why(LAYERS[0].0, OCI_CONFIG, r#","annotations":{"a":"b"}"#).contains("`annotations`"));
        assert!(why(LAYERS[0].0, OCI_CONFIG, r#","subject":{}, "artifactType":"x""#).contains("`artifactType`"));
        assert!(why(LAYERS[0].0, "application/x", "").contains("not an image config"));
    }
}
