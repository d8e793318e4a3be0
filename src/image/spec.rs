//! New documents, written with the types of the image specification: descriptors, indexes, manifests, configs.
//!
//! Documents that others wrote never pass through these types, which keep neither unknown fields nor the order of
//! fields. Their maps are unordered, so annotations are sorted here.

use std::collections::BTreeMap;

use oci_spec::image::{
    self as oci, Arch, History, ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType, Os,
    RootFsBuilder, SCHEMA_VERSION,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::descriptor::Descriptor;
use super::digest::Digest;
use super::platform::Platform;
use crate::error::{Error, Result};

/// The bytes of an index of these children.
pub(crate) fn index(media_type: &str, children: &[Descriptor]) -> Result<Vec<u8>> {
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(media_type)
        .manifests(children.iter().map(typed).collect::<Result<Vec<_>>>()?)
        .build();
    bytes(&index.map_err(Error::internal)?)
}

/// The bytes of an image manifest.
pub(crate) fn manifest(
    media_type: &str,
    config: &Descriptor,
    layers: &[Descriptor],
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(media_type)
        .config(typed(config)?)
        .layers(layers.iter().map(typed).collect::<Result<Vec<_>>>()?)
        .build();
    let mut manifest = manifest.map_err(Error::internal)?;
    if !annotations.is_empty() {
        manifest.set_annotations(Some(annotations.clone().into_iter().collect()));
    }
    bytes(&manifest)
}

/// The config of an image of these layers, without settings for running it.
pub(crate) fn config(platform: &Platform, diff_ids: &[Digest]) -> Result<Map<String, Value>> {
    let diff_ids: Vec<String> = diff_ids.iter().map(ToString::to_string).collect();
    let config = ImageConfigurationBuilder::default()
        .architecture(Arch::Other(platform.architecture.clone()))
        .os(Os::Other(platform.os.clone()))
        .config(oci::Config::default())
        .rootfs(RootFsBuilder::default().diff_ids(diff_ids).build().map_err(Error::internal)?)
        .build();
    let mut config = config.map_err(Error::internal)?;
    config.set_variant(platform.variant.clone());
    let mut fields = object(&config)?;
    if let Some(version) = &platform.os_version {
        // The type puts it before the variant. Here it stays where it has always been: it decides the digest.
        let place = fields.keys().position(|name| name == "config").unwrap_or(fields.len());
        fields.shift_insert(place, "os.version".to_owned(), version.as_str().into());
    }
    Ok(fields)
}

/// An entry of a config's history, about a layer.
pub(crate) fn history(created: Option<&str>, created_by: Option<&str>, comment: Option<&str>) -> Result<Value> {
    let mut line = History::default();
    line.set_created(created.map(str::to_owned));
    line.set_created_by(created_by.map(str::to_owned));
    line.set_comment(comment.map(str::to_owned));
    object(&line).map(Value::Object)
}

/// A descriptor as manifests and indexes contain it.
pub(crate) fn descriptor(descriptor: &Descriptor) -> Result<Value> {
    object(&typed(descriptor)?).map(Value::Object)
}

/// A platform as an index contains it.
pub(crate) fn platform(platform: &Platform) -> Result<Value> {
    let fields = serde_json::to_value(typed_platform(platform)).map_err(Error::internal)?;
    Ok(fields.as_object().cloned().map(specified).map_or(fields, Value::Object))
}

fn typed(descriptor: &Descriptor) -> Result<oci::Descriptor> {
    let digest: oci::Digest = descriptor.digest.as_str().parse().map_err(Error::internal)?;
    let mut typed = oci::Descriptor::new(descriptor.media_type.as_str().into(), descriptor.size, digest);
    if !descriptor.urls.is_empty() {
        typed.set_urls(Some(descriptor.urls.clone()));
    }
    if !descriptor.annotations.is_empty() {
        typed.set_annotations(Some(descriptor.annotations.clone().into_iter().collect()));
    }
    typed.set_platform(descriptor.platform.as_ref().map(typed_platform));
    typed.set_artifact_type(descriptor.artifact_type.as_deref().map(MediaType::from));
    Ok(typed)
}

fn typed_platform(platform: &Platform) -> oci::Platform {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let features = Some(platform.os_features.clone()).filter(|features| !features.is_empty());
    let mut typed = oci::Platform::default();
    // Not by `From`, which takes `armbe` for another architecture.
    typed.set_architecture(Arch::Other(platform.architecture.clone()));
    typed.set_os(Os::Other(platform.os.clone()));
    typed.set_os_version(filled(&platform.os_version));
    typed.set_os_features(features);
    typed.set_variant(filled(&platform.variant));
    typed
}

fn bytes(document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(&object(document)?).map_err(Error::internal)
}

/// The fields of a document, in the order of its specification.
fn object(document: &impl Serialize) -> Result<Map<String, Value>> {
    match serde_json::to_value(document).map_err(Error::internal)? {
        Value::Object(fields) => Ok(tidied(fields)),
        other => Err(Error::bug(format!("{other} is not an object"))),
    }
}

fn tidied(fields: Map<String, Value>) -> Map<String, Value> {
    let field = |(name, value): (String, Value)| match (name.as_str(), value) {
        ("annotations", Value::Object(mut annotations)) => {
            annotations.sort_keys();
            (name, Value::Object(annotations))
        }
        ("platform", Value::Object(platform)) => (name, Value::Object(specified(platform))),
        (_, Value::Object(inner)) => (name, Value::Object(tidied(inner))),
        (_, Value::Array(list)) => (name, list.into_iter().map(tidied_member).collect()),
        (_, value) => (name, value),
    };
    fields.into_iter().map(field).collect()
}

fn tidied_member(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(tidied(fields)),
        other => other,
    }
}

/// A platform with the specification's field names. oci-spec 0.10 calls these two differently, and reads them so.
fn specified(platform: Map<String, Value>) -> Map<String, Value> {
    let field = |(name, value): (String, Value)| match name.as_str() {
        "os_version" => ("os.version".to_owned(), value),
        "os_features" => ("os.features".to_owned(), value),
        _ => (name, value),
    };
    platform.into_iter().map(field).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use oci_spec::image::ToDockerV2S2 as _;

    use super::*;
    use crate::image::media_type::{self, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

    /// Checks that a document contains what the specification's types know, and nothing else.
    pub fn assert_specified<T: Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) {
        let typed: T = serde_json::from_slice(bytes).unwrap();
        let (again, before): (Value, Value) =
            (serde_json::to_value(typed).unwrap(), serde_json::from_slice(bytes).unwrap());
        assert_eq!(again, before);
    }

    #[test]
    fn media_types_are_the_specifications() {
        for (own, theirs) in [
            (OCI_MANIFEST, MediaType::ImageManifest),
            (OCI_INDEX, MediaType::ImageIndex),
            (media_type::OCI_ARTIFACT, MediaType::ArtifactManifest),
            (media_type::OCI_CONFIG, MediaType::ImageConfig),
            (media_type::OCI_LAYER, MediaType::ImageLayer),
            (media_type::OCI_LAYER_GZIP, MediaType::ImageLayerGzip),
            (media_type::OCI_LAYER_ZSTD, MediaType::ImageLayerZstd),
            (media_type::OCI_FOREIGN_LAYER, MediaType::ImageLayerNonDistributable),
            (media_type::OCI_FOREIGN_LAYER_GZIP, MediaType::ImageLayerNonDistributableGzip),
        ] {
            assert_eq!(own, theirs.as_ref());
        }
        for (own, theirs) in [
            (DOCKER_MANIFEST, MediaType::ImageManifest),
            (media_type::DOCKER_LIST, MediaType::ImageIndex),
            (media_type::DOCKER_CONFIG, MediaType::ImageConfig),
        ] {
            assert_eq!(Ok(own), theirs.to_docker_v2s2());
        }
    }

    #[test]
    fn documents_are_in_the_order_of_the_specification_and_maps_in_that_of_their_names() {
        let digest = Digest::of(b"x");
        let annotations: BTreeMap<String, String> =
            (0..20).map(|number| (format!("k{number:02}"), String::new())).collect();
        let mut layer = Descriptor::new(media_type::OCI_LAYER_GZIP, digest.clone(), 1);
        layer.annotations.clone_from(&annotations);
        let config = Descriptor::new(media_type::OCI_CONFIG, digest.clone(), 2);
        let bytes = manifest(OCI_MANIFEST, &config, &[layer], &annotations).unwrap();
        let sorted = serde_json::to_string(&annotations).unwrap();
        let expected = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"{}","digest":"{digest}","size":2}},"layers":[{{"mediaType":"{}","digest":"{digest}","size":1,"annotations":{sorted}}}],"annotations":{sorted}}}"#,
            media_type::OCI_CONFIG,
            media_type::OCI_LAYER_GZIP,
        );
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        assert_specified::<oci::ImageManifest>(&bytes);
    }

    #[test]
    fn platforms_have_the_names_of_the_specification() {
        let mut child = Descriptor::new(OCI_MANIFEST, Digest::of(b"x"), 1);
        child.platform = Some("windows/armbe/v7:10.0".parse().unwrap());
        if let Some(platform) = &mut child.platform {
            platform.os_features = vec!["win32k".to_owned()];
        }
        let bytes = index(OCI_INDEX, &[child.clone()]).unwrap();
        let expected = r#""platform":{"architecture":"armbe","os":"windows","os.version":"10.0","os.features":["win32k"],"variant":"v7"}"#;
        assert!(String::from_utf8(bytes.clone()).unwrap().contains(expected), "{}", String::from_utf8_lossy(&bytes));
        // When the type knows these names, `specified` and this can be removed.
        let read: oci::ImageIndex = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read.manifests()[0].platform().as_ref().unwrap().os_version(), &None);
        // And the architecture can be read with it.
        assert_eq!(Arch::from("armbe").to_string(), "arm64be");
        assert_eq!(descriptor(&child).unwrap()["platform"]["os.version"], "10.0");
    }

    #[test]
    fn a_config_says_its_platform_and_its_layers() {
        let platform = "windows/arm/v7:10.0".parse().unwrap();
        let fields = config(&platform, &[Digest::of(b"x")]).unwrap();
        let expected = format!(
            r#"{{"architecture":"arm","os":"windows","variant":"v7","os.version":"10.0","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            Digest::of(b"x")
        );
        assert_eq!(serde_json::to_string(&fields).unwrap(), expected);
        assert_specified::<oci::ImageConfiguration>(expected.as_bytes());
    }
}
