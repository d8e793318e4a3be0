//! Whether bytes can be a manifest, with messages of our own: not JSON, JSON of another kind, keys that parsers read
//! differently, invalid sizes and digests.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::digest::Digest;
use crate::text::printable;

/// The fields of manifests, indexes and artifacts, of both Docker and OCI.
const OF_MANIFESTS: [&str; 11] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "manifests",
    "config",
    "layers",
    "blobs",
    "subject",
    "annotations",
    "fsLayers",
    "signatures",
];
/// The fields of descriptors.
const OF_DESCRIPTORS: [&str; 8] =
    ["mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"];
/// The fields of platforms.
const OF_PLATFORMS: [&str; 6] = ["architecture", "os", "os.version", "os.features", "variant", "features"];

/// The type of a field's value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Look {
    /// No value.
    #[default]
    Nothing,
    /// A string.
    Text(String),
    /// An integer.
    Number(u64),
    /// A list.
    List,
    /// An object.
    Object,
    /// Anything else.
    Other,
}

/// Just enough of any manifest to tell its kind; unexpected contents are not an error.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// `mediaType`.
    pub media_type: Look,
    /// `schemaVersion`.
    pub schema_version: Look,
    /// `manifests`.
    pub manifests: Look,
    /// `config`.
    pub config: Look,
    /// `layers`.
    pub layers: Look,
    /// `fsLayers`.
    pub fs_layers: Look,
    /// `signatures`.
    pub signatures: Look,
}

impl Shape {
    /// The shape of `bytes`.
    ///
    /// # Errors
    /// Why they aren't a manifest of any kind.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, String> {
        let shape: Self = serde_json::from_slice(bytes).map_err(|error| words(&error, bytes))?;
        if shape.schema_version != Look::Nothing || shape.media_type != Look::Nothing {
            return Ok(shape);
        }
        Err("it has neither `schemaVersion` nor `mediaType`".to_owned())
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                let (mut shape, mut keys) = (Shape::default(), Keys::new(&OF_MANIFESTS));
                while let Some(key) = keys.next(&mut map)? {
                    let place = match &*key {
                        "mediaType" => &mut shape.media_type,
                        "schemaVersion" => &mut shape.schema_version,
                        "manifests" => &mut shape.manifests,
                        "config" => &mut shape.config,
                        "layers" => &mut shape.layers,
                        "fsLayers" => &mut shape.fs_layers,
                        "signatures" => &mut shape.signatures,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *place = map.next_value()?;
                }
                Ok(shape)
            }
        }
        deserializer.deserialize_any(Fields)
    }
}

impl<'de> Deserialize<'de> for Look {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Look;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E>(self) -> Result<Look, E> {
                Ok(Look::Nothing)
            }
            fn visit_str<E>(self, text: &str) -> Result<Look, E> {
                Ok(Look::Text(text.to_owned()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Look, E> {
                Ok(Look::Number(number))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Look, E> {
                Ok(Look::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Look, E> {
                Ok(Look::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Look, E> {
                Ok(Look::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Look, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Look::List)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Look, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Look::Object)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Reads the keys of an object: each known one at most once, and none that differs from a known one only in case,
/// because Go's parser takes it for that.
struct Keys {
    known: &'static [&'static str],
    seen: Vec<&'static str>,
}

impl Keys {
    fn new(known: &'static [&'static str]) -> Self {
        Self { known, seen: Vec::new() }
    }

    fn next<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
        let Some(Key(key)) = map.next_key()? else { return Ok(None) };
        if let Some(known) = self.known.iter().find(|known| is_same_but_for_case(known, &key)) {
            if *known != key {
                let key = printable(&key, 40);
                return Err(A::Error::custom(format!(
                    "its field `{key}` is `{known}` to some readers, and not to others"
                )));
            }
            if self.seen.contains(known) {
                return Err(A::Error::custom(format!("it has the field `{known}` twice")));
            }
            self.seen.push(known);
        }
        Ok(Some(key))
    }
}

/// A key, borrowed if possible.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Go's parser treats the long s and the Kelvin sign as the letters that they come from.
fn is_same_but_for_case(known: &str, key: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    known.len() <= key.len() && known.chars().map(fold).eq(key.chars().map(fold))
}

/// Checks every descriptor of a manifest of a known kind.
///
/// # Errors
/// What is wrong with the first one that isn't a descriptor, or that parsers read differently.
pub(crate) fn check_descriptors(bytes: &[u8]) -> Result<(), String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    JsonLevel::Manifest.deserialize(&mut deserializer).map_err(|error| words(&error, bytes))
}

/// Whether bytes of an unknown kind contain digests of other content.
pub(crate) fn names_digests(bytes: &[u8]) -> bool {
    let names = |prefix: &[u8], digits: usize| {
        let is_digest = |at: usize| {
            let value = bytes.get(at + prefix.len()..at + prefix.len() + digits);
            value.is_some_and(|value| value.iter().all(u8::is_ascii_hexdigit))
        };
        bytes.windows(prefix.len()).enumerate().any(|(at, window)| window == prefix && is_digest(at))
    };
    names(b"sha256:", 64) || names(b"sha512:", 128)
}

/// The position in a manifest.
#[derive(Clone, Copy)]
enum JsonLevel {
    Manifest,
    /// A list of descriptors, or one, in this field.
    Descriptors(&'static str),
    Descriptor(&'static str),
    Platform,
}

impl<'de> DeserializeSeed<'de> for JsonLevel {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonLevel {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manifest | Self::Platform => "an object",
            Self::Descriptors(_) => "a list",
            Self::Descriptor(_) => "a descriptor",
        })
    }

    /// `null`: what Go writes for nothing.
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        match self {
            Self::Descriptor(field) if field != "config" && field != "subject" => {
                Err(E::custom(format!("an entry of its `{field}` is null")))
            }
            _ => Ok(()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self::Descriptors(field) = self else {
            return Err(A::Error::custom("it has a list where an object should be"));
        };
        while list.next_element_seed(Self::Descriptor(field))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match self {
            Self::Manifest => {
                let mut keys = Keys::new(&OF_MANIFESTS);
                while let Some(key) = keys.next(&mut map)? {
                    match &*key {
                        "manifests" => map.next_value_seed(Self::Descriptors("manifests"))?,
                        "layers" => map.next_value_seed(Self::Descriptors("layers"))?,
                        "blobs" => map.next_value_seed(Self::Descriptors("blobs"))?,
                        "config" => map.next_value_seed(Self::Descriptor("config"))?,
                        "subject" => map.next_value_seed(Self::Descriptor("subject"))?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(())
            }
            Self::Descriptors(field) => Err(A::Error::custom(format!("its `{field}` is not a list"))),
            Self::Descriptor(field) => descriptor(field, &mut map),
            Self::Platform => {
                let mut keys = Keys::new(&OF_PLATFORMS);
                while keys.next(&mut map)?.is_some() {
                    map.next_value::<IgnoredAny>()?;
                }
                Ok(())
            }
        }
    }
}

fn descriptor<'de, A: MapAccess<'de>>(field: &str, map: &mut A) -> Result<(), A::Error> {
    let (mut keys, mut digest, mut size) = (Keys::new(&OF_DESCRIPTORS), None, None);
    while let Some(key) = keys.next(map)? {
        match &*key {
            "digest" => digest = Some(map.next_value::<serde_json::Value>()?),
            "size" => size = Some(map.next_value::<serde_json::Value>()?),
            "platform" => map.next_value_seed(JsonLevel::Platform)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    let entry = if matches!(field, "config" | "subject") {
        format!("its `{field}`")
    } else {
        format!("an entry of its `{field}`")
    };
    let Some(digest) = digest.as_ref().and_then(serde_json::Value::as_str) else {
        return Err(A::Error::custom(format!("{entry} has no digest")));
    };
    digest.parse::<Digest>().map_err(|error| A::Error::custom(format!("{entry}: {error}")))?;
    let digest = printable(digest, 80);
    match size {
        Some(serde_json::Value::Number(number)) if number.is_u64() => Ok(()),
        Some(other) => {
            let said = printable(&other.to_string(), 40);
            Err(A::Error::custom(format!("the size of {digest} in it is {said}, which is not a number of bytes")))
        }
        None => Err(A::Error::custom(format!("{digest} has no size in it"))),
    }
}

/// What is wrong with `bytes`, for which a parser returned `error`.
pub(crate) fn words(error: &serde_json::Error, bytes: &[u8]) -> String {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return "it is empty".to_owned();
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return "it begins with a byte order mark (BOM), which JSON does not allow".to_owned();
    }
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return "it is not a JSON object".to_owned();
    }
    if error.is_data() {
        // Our own text comes before the parser's.
        let message = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        return printable(message.strip_suffix(&place).unwrap_or(&message), 300);
    }
    if error.is_eof() {
        return format!("its JSON ends in the middle, after {} bytes: it was cut off", bytes.len());
    }
    let place = format!("line {}, column {}", error.line(), error.column());
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => format!("something follows behind its JSON, at {place}"),
        _ => format!("its JSON is broken at {place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn what_is_no_manifest_is_told_in_plain_words() {
        let why = |text: &str| Shape::of(text.as_bytes()).unwrap_err();
        assert_eq!(why(""), "it is empty");
        assert_eq!(why(" \n"), "it is empty");
        assert_eq!(why("<html></html>"), "it is not a JSON object");
        assert_eq!(why("[1]"), "it is not a JSON object");
        assert_eq!(why("null"), "it is not a JSON object");
        assert_eq!(why("\u{feff}{}"), "it begins with a byte order mark (BOM), which JSON does not allow");
        assert_eq!(why(r#"{"schemaVersion":2,"#), "its JSON ends in the middle, after 19 bytes: it was cut off");
        assert_eq!(why(r#"{"schemaVersion":2}x"#), "something follows behind its JSON, at line 1, column 20");
        assert_eq!(why(r#"{"schemaVersion"=2}"#), "its JSON is broken at line 1, column 17");
        assert_eq!(why("{}"), "it has neither `schemaVersion` nor `mediaType`");
    }

    #[test]
    fn keys_that_two_readers_read_in_two_ways_are_refused() {
        let why = |text: &str| Shape::of(text.as_bytes()).unwrap_err();
        for key in ["Layers", "LAYERS", "layer\u{17f}", "layer\\u017f", "\\u004cayers"] {
            assert!(
                why(&format!(r#"{{"schemaVersion":2,"layers":[],"{key}":[]}}"#)).contains("`layers` to some"),
                "{key}"
            );
        }
        assert!(why(r#"{"schemaVersion":2,"layers":[],"layers":[]}"#).contains("the field `layers` twice"));
        assert!(Shape::of(r#"{"schemaVersion":2,"x":1,"X":2,"layered":3}"#.as_bytes()).is_ok());
        let why = |text: &str| check_descriptors(text.as_bytes()).unwrap_err();
        assert!(
            why(&format!(r#"{{"layers":[{{"digest":"{D}","size":1,"Digest":"{D}"}}]}}"#)).contains("`digest` to some")
        );
        let platform = r#""platform":{"os":"linux","OS":"windows"}"#;
        assert!(why(&format!(r#"{{"manifests":[{{"digest":"{D}","size":1,{platform}}}]}}"#)).contains("`os` to some"));
    }

    #[test]
    fn sizes_and_digests_that_are_none() {
        let why = |fields: &str| check_descriptors(format!(r#"{{"layers":[{{{fields}}}]}}"#).as_bytes()).unwrap_err();
        for size in ["-1", "1.5", "\"108\"", "1180591620717411303424", "null"] {
            let text = why(&format!(r#""digest":"{D}","size":{size}"#));
            assert!(text.starts_with(&format!("the size of {D} in it is")) && !text.contains("column"), "{text}");
        }
        assert_eq!(why(&format!(r#""digest":"{D}""#)), format!("{D} has no size in it"));
        assert_eq!(why(r#""size":1"#), "an entry of its `layers` has no digest");
        assert!(why(r#""size":1,"digest":"sha256:../..""#).contains("is not a digest"));
        assert!(check_descriptors(br#"{"layers":null,"manifests":null,"config":null}"#).is_ok());
        assert!(check_descriptors(br#"{"layers":{}}"#).unwrap_err().contains("`layers` is not a list"));
    }
}
