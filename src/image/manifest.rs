//! Manifests: their bytes, which are what is copied and what the digest covers, and a parsed view.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::descriptor::{Descriptor, null_is_default};
use super::digest::Digest;
use super::manifest_json::{self, Look, Shape};
use super::media_type::{self, Kind};
use super::{schema1, spec};
use crate::error::Error;

/// The manifest size that every registry accepts, in bytes (distribution specification, "Pushing Manifests"). Larger
/// ones are only read if a user allows it.
pub(crate) const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;

/// A manifest of any kind.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The media type.
    pub media_type: String,
    /// The digest of `bytes` (for a signed schema 1 manifest, of its payload).
    pub digest: Digest,
    /// The bytes as they were received.
    pub bytes: Bytes,
    /// What [`Self::content`] returned, shared by clones.
    pub(crate) parsed: Parsed,
}

/// The content of a manifest that was parsed as this kind.
pub(crate) type Parsed = Arc<OnceLock<(Kind, Content)>>;

/// What a manifest points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An index: manifests, and sometimes a blob (BuildKit's cache).
    Index {
        /// The children.
        manifests: Vec<Descriptor>,
    },
    /// An image.
    Image {
        /// The config.
        config: Box<Descriptor>,
        /// The layers, base first.
        layers: Vec<Descriptor>,
    },
    /// An OCI artifact manifest.
    Artifact {
        /// The blobs.
        blobs: Vec<Descriptor>,
    },
    /// A Docker schema 1 manifest: layers by digest, their sizes unknown.
    Schema1 {
        /// The digests of the layers, each once.
        layers: Vec<Digest>,
    },
    /// A manifest of an unknown kind: it is copied as it is, and points to nothing that we know.
    Unknown,
}

#[derive(Deserialize)]
struct View {
    /// `null`, as Go writes an empty list, counts as a list.
    #[serde(default, deserialize_with = "there")]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    blobs: Option<Vec<Descriptor>>,
}

fn there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Descriptor>>, D::Error> {
    null_is_default(deserializer).map(Some)
}

impl Manifest {
    /// A manifest from its bytes and their `Content-Type`. The type in the bytes takes precedence; if there is none in
    /// either, the shape decides.
    ///
    /// # Errors
    /// The bytes aren't a JSON object with `schemaVersion` or `mediaType`; their `mediaType` isn't the type that they
    /// were served with; a schema 1 signature doesn't fit.
    pub fn from_bytes(content_type: &str, bytes: Bytes) -> Result<Self, Error> {
        let none = |reason: String| Error::malformed("not a manifest", reason);
        let said = media_type::essence(content_type);
        let media_type = type_of(&Shape::of(&bytes).map_err(none)?, &said)?;
        let digest = if media_type::kind(&media_type) == Kind::Schema1 {
            Digest::of(&schema1::payload(&bytes)?)
        } else {
            Digest::of(&bytes)
        };
        Ok(Self { media_type, digest, bytes, parsed: Parsed::default() })
    }

    /// The size of the bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// A descriptor of this manifest.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest.clone(), self.size())
    }

    /// Whether `digest` is the digest of this manifest.
    pub fn is(&self, digest: &Digest) -> bool {
        // It may be by another algorithm than ours.
        self.digest == *digest || digest.same_algorithm_of(&self.bytes) == *digest
    }

    /// Whether its type is known, so that we know what belongs to it.
    pub fn is_known(&self) -> bool {
        !matches!(media_type::kind(&self.media_type), Kind::Unknown | Kind::Blob)
    }

    /// What the manifest points to.
    ///
    /// # Errors
    /// A manifest of a known kind that doesn't conform to its specification.
    pub fn content(&self) -> Result<Content, Error> {
        let kind = media_type::kind(&self.media_type);
        // Its index may have given it another media type since.
        if let Some((_, content)) = self.parsed.get().filter(|(parsed_as, _)| *parsed_as == kind) {
            return Ok(content.clone());
        }
        let content = self.parse(kind)?;
        let _ = self.parsed.set((kind, content.clone()));
        Ok(content)
    }

    fn parse(&self, kind: Kind) -> Result<Content, Error> {
        if matches!(kind, Kind::Unknown | Kind::Blob) {
            return Ok(Content::Unknown);
        }
        if kind == Kind::Schema1 {
            return Ok(Content::Schema1 { layers: schema1::layers(&self.bytes)? });
        }
        manifest_json::check_descriptors(&self.bytes).map_err(|reason| self.malformed(&reason))?;
        let view: View = serde_json::from_slice(&self.bytes).map_err(|error| self.broken(&error))?;
        // A manifest that some readers take for an index and others for an image is refused (OCI image specification,
        // advisory GHSA-77vh-xpmg-72qh).
        let ambiguous = view.manifests.is_some() && (view.layers.is_some() || view.config.is_some());
        if ambiguous {
            return Err(self.malformed("it has both `manifests` and `layers` or `config`, so that it is an index to one reader and an image to another"));
        }
        match kind {
            Kind::Index => Ok(Content::Index {
                manifests: view.manifests.ok_or_else(|| self.malformed("an index without `manifests`"))?,
            }),
            Kind::Image => Ok(Content::Image {
                config: view.config.ok_or_else(|| self.malformed("an image without `config`")).map(Box::new)?,
                layers: view.layers.unwrap_or_default(),
            }),
            Kind::Artifact => Ok(Content::Artifact { blobs: view.blobs.unwrap_or_default() }),
            Kind::Schema1 | Kind::Unknown | Kind::Blob => Ok(Content::Unknown),
        }
    }

    /// The manifest's own annotations, if it has any that can be read.
    pub fn annotations(&self) -> std::collections::BTreeMap<String, String> {
        #[derive(Deserialize)]
        struct Annotated {
            #[serde(default, deserialize_with = "null_is_default")]
            annotations: std::collections::BTreeMap<String, String>,
        }
        serde_json::from_slice::<Annotated>(&self.bytes).map(|view| view.annotations).unwrap_or_default()
    }

    /// The children of an index as they were written, with every field.
    ///
    /// # Errors
    /// It isn't an index.
    pub fn raw_children(&self) -> Result<Vec<Value>, Error> {
        let mut value: Value = serde_json::from_slice(&self.bytes).map_err(|error| self.broken(&error))?;
        match value.get_mut("manifests").map(Value::take) {
            Some(Value::Array(children)) => Ok(children),
            Some(Value::Null) => Ok(Vec::new()),
            _ => Err(self.malformed("an index without `manifests`")),
        }
    }

    /// The index with other children. Every other field keeps its value and its place.
    ///
    /// # Errors
    /// It isn't an index.
    pub fn with_children(&self, children: Vec<Value>) -> Result<Self, Error> {
        self.edited(|fields| match fields.get_mut("manifests") {
            Some(own) if own.is_array() || own.is_null() => {
                *own = Value::Array(children);
                Ok(())
            }
            _ => Err(self.malformed("an index without `manifests`")),
        })
    }

    /// The image with another config and `layers` on top. Every other field keeps its value and its place.
    ///
    /// # Errors
    /// It isn't an image.
    pub fn with_layers(&self, config: &Descriptor, layers: &[Descriptor]) -> Result<Self, Error> {
        self.edited(|value| {
            let Some(own) = value.get_mut("config").and_then(Value::as_object_mut) else {
                return Err(self.malformed("an image without `config`"));
            };
            describe(own, config);
            let list = value.entry("layers").or_insert(Value::Null);
            if list.is_null() {
                *list = Value::Array(Vec::new());
            }
            let list = list.as_array_mut().ok_or_else(|| self.malformed("`layers` is not a list"))?;
            for layer in layers {
                list.push(spec::descriptor(layer)?);
            }
            Ok(())
        })
    }

    /// The manifest with these annotations, which replace those of the same name; one without a value is removed. If
    /// nothing changes, the bytes stay the same.
    ///
    /// # Errors
    /// It isn't a JSON object, or its `annotations` are not a map.
    pub fn with_annotations(&self, annotations: &[(String, Option<String>)]) -> Result<Self, Error> {
        self.edited(|value| {
            if value.get("annotations").is_none_or(Value::is_null) && annotations.iter().all(|(_, new)| new.is_none()) {
                return Ok(());
            }
            let own = value.entry("annotations").or_insert(Value::Null);
            if own.is_null() {
                *own = Value::Object(Map::new());
            }
            let own = own.as_object_mut().ok_or_else(|| self.malformed("`annotations` is not a map"))?;
            if !own.values().all(Value::is_string) {
                return Err(self.malformed("`annotations` has a value that is not a string"));
            }
            for (name, new) in annotations {
                match new {
                    Some(new) => drop(own.insert(name.clone(), Value::String(new.clone()))),
                    None => drop(own.shift_remove(name)),
                }
            }
            if own.is_empty() {
                value.shift_remove("annotations");
            }
            Ok(())
        })
    }

    /// The manifest with edited fields; the same bytes if nothing changed.
    pub(crate) fn edited(
        &self,
        edit: impl FnOnce(&mut Map<String, Value>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let before: Map<String, Value> = serde_json::from_slice(&self.bytes).map_err(|error| self.broken(&error))?;
        let mut after = before.clone();
        edit(&mut after)?;
        if after == before {
            return Ok(self.clone());
        }
        mend(&mut after);
        let bytes = serde_json::to_vec(&after).map_err(|error| self.broken(&error))?;
        let (media_type, digest) = (self.media_type.clone(), Digest::of(&bytes));
        Ok(Self { media_type, digest, bytes: bytes.into(), parsed: Parsed::default() })
    }

    fn broken(&self, error: &serde_json::Error) -> Error {
        self.malformed(&manifest_json::words(error, &self.bytes))
    }

    fn malformed(&self, reason: &str) -> Error {
        Error::malformed(format!("manifest {}", self.digest), crate::text::printable(reason, 300))
    }
}

/// Corrects faults of the original that must not be written again: a `schemaVersion` that isn't a number, and embedded
/// data that doesn't have its descriptor's digest.
fn mend(fields: &mut Map<String, Value>) {
    if fields.get("schemaVersion").is_some_and(|version| version != 1 && version != 2) {
        fields.insert("schemaVersion".to_owned(), Value::from(2));
    }
    for name in ["config", "layers", "manifests", "blobs", "subject"] {
        let descriptors = match fields.get_mut(name) {
            Some(Value::Array(list)) => list.iter_mut().filter_map(Value::as_object_mut).collect(),
            Some(Value::Object(one)) => vec![one],
            _ => Vec::new(),
        };
        for descriptor in descriptors {
            let is_wrong = descriptor.get("data").is_some_and(|data| !is_content(data, descriptor.get("digest")));
            if is_wrong {
                descriptor.shift_remove("data");
            }
        }
    }
}

/// Whether embedded data has this digest.
fn is_content(data: &Value, digest: Option<&Value>) -> bool {
    let bytes = data.as_str().and_then(|data| STANDARD.decode(data).ok());
    let digest = digest.and_then(Value::as_str).and_then(|digest| digest.parse::<Digest>().ok());
    bytes.zip(digest).is_some_and(|(bytes, digest)| digest.same_algorithm_of(&bytes) == digest)
}

/// Points the fields of a descriptor at other content: media type, digest and size change, and what was about the old
/// content is removed (embedded data, URLs); annotations and platform stay.
pub(crate) fn describe(fields: &mut Map<String, Value>, content: &Descriptor) {
    fields.insert("mediaType".to_owned(), Value::String(content.media_type.clone()));
    fields.insert("digest".to_owned(), Value::String(content.digest.to_string()));
    fields.insert("size".to_owned(), Value::from(content.size));
    for old in ["data", "urls"] {
        fields.shift_remove(old);
    }
}

/// The media type of a manifest of this shape that was served as `said`.
fn type_of(shape: &Shape, said: &str) -> Result<String, Error> {
    if shape.schema_version == Look::Number(1) && shape.fs_layers == Look::List {
        let is_signed = shape.signatures == Look::List;
        return Ok((if is_signed { media_type::DOCKER_SCHEMA1_SIGNED } else { media_type::DOCKER_SCHEMA1 }).to_owned());
    }
    let is_vague = media_type::is_vague(said);
    if let Look::Text(own) = &shape.media_type
        && !own.is_empty()
        && own.is_ascii()
    {
        let own = media_type::essence(own);
        if own == said || is_vague {
            return Ok(own);
        }
        let (own, said) = (crate::text::printable(&own, 120), crate::text::printable(said, 120));
        let what = "this manifest has two faces".to_owned();
        return Err(Error::malformed(what, format!("it came as `{said}`, but its `mediaType` is `{own}`")));
    }
    if !is_vague {
        return Ok(said.to_owned());
    }
    if shape.schema_version == Look::Number(2) && shape.manifests == Look::List {
        return Ok(media_type::OCI_INDEX.to_owned());
    }
    if shape.schema_version == Look::Number(2) && (shape.layers == Look::List || shape.config == Look::Object) {
        return Ok(media_type::OCI_MANIFEST.to_owned());
    }
    Ok(if said.is_empty() { "application/octet-stream".to_owned() } else { said.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(content_type: &str, json: &str) -> Manifest {
        Manifest::from_bytes(content_type, Bytes::copy_from_slice(json.as_bytes())).unwrap()
    }

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_kind_comes_from_the_bytes_then_the_header_then_the_shape() {
        let own = manifest(
            "application/json",
            &format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::DOCKER_LIST),
        );
        assert_eq!(own.media_type, media_type::DOCKER_LIST);
        let header =
            manifest("application/vnd.oci.image.index.v1+json; charset=utf-8", r#"{"schemaVersion":2,"manifests":[]}"#);
        assert_eq!(header.media_type, media_type::OCI_INDEX);
        assert_eq!(
            manifest("text/plain", r#"{"schemaVersion":2,"config":{},"layers":[]}"#).media_type,
            media_type::OCI_MANIFEST
        );
        let unknown = manifest("application/vnd.example", r#"{"schemaVersion":7}"#);
        assert_eq!(unknown.content().unwrap(), Content::Unknown);
        assert_eq!(unknown.digest, Digest::of(br#"{"schemaVersion":7}"#));
    }

    #[test]
    fn a_type_that_the_bytes_contradict_is_refused() {
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::OCI_INDEX);
        let came_as = |said: &str| Manifest::from_bytes(said, Bytes::copy_from_slice(index.as_bytes()));
        for said in ["", "text/plain; charset=utf-8", media_type::OCI_INDEX] {
            assert_eq!(came_as(said).unwrap().media_type, media_type::OCI_INDEX);
        }
        for said in [media_type::OCI_MANIFEST, media_type::DOCKER_LIST, "text/html"] {
            assert!(came_as(said).unwrap_err().to_string().contains("two faces"), "{said}");
        }
    }

    #[test]
    fn a_manifest_with_two_faces_is_refused() {
        let two = manifest(
            media_type::OCI_INDEX,
            &format!(
                r#"{{"schemaVersion":2,"manifests":[],"config":{{"mediaType":"x","digest":"{D}","size":0}},"layers":[]}}"#
            ),
        );
        assert!(two.content().unwrap_err().to_string().contains("both"));
    }

    #[test]
    fn null_lists_and_bad_sizes() {
        let image = manifest(
            media_type::OCI_MANIFEST,
            &format!(
                r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{D}","size":0,"annotations":null}},"layers":null}}"#
            ),
        );
        assert!(matches!(image.content().unwrap(), Content::Image { layers, .. } if layers.is_empty()));
        let negative = manifest(
            media_type::OCI_MANIFEST,
            &format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{D}","size":-1}},"layers":[]}}"#),
        );
        assert!(negative.content().is_err());
    }

    #[test]
    fn some_children_keep_every_field() {
        let index = manifest(
            media_type::OCI_INDEX,
            &format!(
                r#"{{"zebra":1,"schemaVersion":2,"manifests":[{{"digest":"{D}","size":1,"strange":[1]}},{{"digest":"{D}","size":2}}],"annotations":{{"b":"1","a":"2"}}}}"#
            ),
        );
        let mut children = index.raw_children().unwrap();
        children.truncate(1);
        let some = index.with_children(children).unwrap();
        assert_eq!(
            std::str::from_utf8(&some.bytes).unwrap(),
            format!(
                r#"{{"zebra":1,"schemaVersion":2,"manifests":[{{"digest":"{D}","size":1,"strange":[1]}}],"annotations":{{"b":"1","a":"2"}}}}"#
            )
        );
    }

    #[test]
    fn an_edited_image_keeps_every_other_field() {
        let image = manifest(
            media_type::OCI_MANIFEST,
            &format!(
                r#"{{"zebra":1,"schemaVersion":2,"config":{{"mediaType":"c","digest":"{D}","size":2,"data":"e30=","annotations":{{"k":"v"}}}},"layers":[{{"digest":"{D}","size":1,"strange":[1]}}],"subject":null}}"#
            ),
        );
        let digest = Digest::of(b"new");
        let more = [Descriptor::new("l", digest.clone(), 7)];
        let edited = image.with_layers(&Descriptor::new("c", digest.clone(), 3), &more).unwrap();
        let edited =
            edited.with_annotations(&[("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)]).unwrap();
        assert_eq!(
            std::str::from_utf8(&edited.bytes).unwrap(),
            format!(
                r#"{{"zebra":1,"schemaVersion":2,"config":{{"mediaType":"c","digest":"{digest}","size":3,"annotations":{{"k":"v"}}}},"layers":[{{"digest":"{D}","size":1,"strange":[1]}},{{"mediaType":"l","digest":"{digest}","size":7}}],"subject":null,"annotations":{{"a":"1"}}}}"#
            )
        );
        assert_eq!(image.with_annotations(&[("b".to_owned(), None)]).unwrap().digest, image.digest);
        let bare = edited.with_annotations(&[("a".to_owned(), None)]).unwrap();
        assert!(!std::str::from_utf8(&bare.bytes).unwrap().contains(r#""annotations":{}"#));
    }
}
