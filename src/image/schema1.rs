//! Docker schema 1 manifests: copied as they are; only their digest and their layers are read.
//!
//! Source: Docker's "Image Manifest Version 2, Schema 1". A signed manifest's digest is that of its payload: the bytes
//! without the signatures, reconstructed from the first signature's protected header.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::digest::Digest;
use super::manifest_json;
use crate::error::Error;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schema1 {
    schema_version: u64,
    fs_layers: Vec<FsLayer>,
    #[serde(default)]
    signatures: Option<Vec<Signature>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FsLayer {
    blob_sum: Digest,
}

#[derive(Deserialize)]
struct Signature {
    protected: String,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Protected {
    format_length: usize,
    format_tail: String,
}

/// What JSON allows between tokens.
const BLANKS: [u8; 4] = *b" \t\r\n";

fn malformed(reason: &str) -> Error {
    Error::malformed("Docker schema 1 manifest", crate::text::printable(reason, 200))
}

fn parse(bytes: &[u8]) -> Result<Schema1, Error> {
    let manifest: Schema1 =
        serde_json::from_slice(bytes).map_err(|error| malformed(&manifest_json::words(&error, bytes)))?;
    if manifest.schema_version == 1 { Ok(manifest) } else { Err(malformed("its `schemaVersion` is not 1")) }
}

fn decoded(text: &str) -> Result<Vec<u8>, Error> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed("its signature is not base64"))
}

/// The bytes that the digest of a schema 1 manifest covers.
///
/// Nobody has verified the protected header that defines them. They only count if they are a schema 1 manifest
/// themselves, and if the signed one only adds signatures: then both have the same content.
///
/// # Errors
/// The bytes aren't a schema 1 manifest, or a signature's protected header doesn't fit them.
pub fn payload(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    read(bytes).map(|(payload, _)| payload)
}

/// The digests of the layers, each once.
///
/// # Errors
/// As [`payload`], from which they are read.
pub fn layers(bytes: &[u8]) -> Result<Vec<Digest>, Error> {
    let mut seen = HashSet::new();
    let (_, payload) = read(bytes)?;
    Ok(payload.fs_layers.into_iter().map(|layer| layer.blob_sum).filter(|layer| seen.insert(layer.clone())).collect())
}

/// The payload, as bytes and parsed.
fn read(bytes: &[u8]) -> Result<(Cow<'_, [u8]>, Schema1), Error> {
    let whole = parse(bytes)?;
    let Some(signatures) = whole.signatures.as_deref() else { return Ok((bytes.into(), whole)) };
    let protected = protected(signatures)?;
    let tail = decoded(&protected.format_tail)?;
    let (head, rest) = bytes
        .split_at_checked(protected.format_length)
        .ok_or_else(|| malformed("its signature speaks of more bytes than there are"))?;
    let payload = [head, &tail].concat();
    let signed = parse(&payload)?;
    if signed.signatures.is_some() || !is_end(&tail) || !is_signatures(rest) {
        return Err(malformed("it holds more than what was signed and the signatures"));
    }
    Ok((payload.into(), signed))
}

/// What all signatures contain about the signed bytes.
fn protected(signatures: &[Signature]) -> Result<Protected, Error> {
    let read = |signature: &Signature| -> Result<Protected, Error> {
        serde_json::from_slice(&decoded(&signature.protected)?).map_err(|error| malformed(&error.to_string()))
    };
    let mut all = signatures.iter().map(read);
    let first = all.next().unwrap_or_else(|| Err(malformed("its list of signatures is empty")))?;
    for other in all {
        if other? != first {
            return Err(malformed("its signatures speak of different bytes"));
        }
    }
    Ok(first)
}

fn is_blank(byte: u8) -> bool {
    BLANKS.contains(&byte)
}

fn without_blanks(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_blank(*byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(*byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// Whether this is the end of an object and nothing else.
fn is_end(bytes: &[u8]) -> bool {
    without_blanks(bytes) == b"}"
}

/// Whether this is one more member, `signatures`, and the end of an object.
fn is_signatures(rest: &[u8]) -> bool {
    let Some(member) = without_blanks(rest).strip_prefix(b",") else { return false };
    let Some(value) = without_blanks(member).strip_prefix(b"\"signatures\"") else { return false };
    let Some(value) = without_blanks(value).strip_prefix(b":") else { return false };
    let mut values = serde_json::Deserializer::from_slice(value).into_iter::<Vec<IgnoredAny>>();
    matches!(values.next(), Some(Ok(_))) && value.get(values.byte_offset()..).is_some_and(is_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signed form of `payload`: `head` bytes of it, the signatures, and its tail.
    fn signed(payload: &str, head: usize) -> String {
        let tail = URL_SAFE_NO_PAD.encode(&payload[head..]);
        let protected = URL_SAFE_NO_PAD.encode(format!(r#"{{"formatLength":{head},"formatTail":"{tail}"}}"#));
        format!("{},\n   \"signatures\": [{{\"protected\":\"{protected}\"}}]\n}}", &payload[..head])
    }

    const UNSIGNED: &str = "{\n   \"schemaVersion\": 1,\n   \"fsLayers\": []\n}";

    #[test]
    fn the_payload_is_the_manifest_before_it_was_signed() {
        let signed = signed(UNSIGNED, UNSIGNED.len() - 2);
        assert_eq!(*payload(signed.as_bytes()).unwrap(), *UNSIGNED.as_bytes());
        assert_eq!(*payload(UNSIGNED.as_bytes()).unwrap(), *UNSIGNED.as_bytes());
    }

    #[test]
    fn what_the_signatures_do_not_cover_is_refused() {
        let right = signed(UNSIGNED, UNSIGNED.len() - 2);
        let evil = format!(r#"{{"blobSum":"{}"}}"#, Digest::of(b"evil"));
        let forged = |payload: &str, head: usize| {
            let tail = URL_SAFE_NO_PAD.encode(&payload[head..]);
            let protected = URL_SAFE_NO_PAD.encode(format!(r#"{{"formatLength":{head},"formatTail":"{tail}"}}"#));
            format!(r#"{{"schemaVersion":1,"fsLayers":[{evil}],"signatures":[{{"protected":"{protected}"}}]}}"#)
        };
        let other = r#"{"schemaVersion":2,"layers":[]}"#;
        let twice = format!("{},\"signatures\":[]}}", right.trim_end_matches("\n}"));
        let wrong = [
            // The payload is the image that was asked for, the layers aren't.
            forged(other, 1),
            forged(UNSIGNED, 1),
            forged(UNSIGNED, UNSIGNED.len() - 2),
            // More than one member, members after the signatures, signatures in the payload.
            twice,
            right.replace("\n}", ", \"fsLayers\": []\n}"),
            right.replace("]\n}", "], \"name\": \"x\"\n}"),
            right.replace(",\n   \"signatures\"", ", \"name\": \"x\", \"signatures\""),
            signed(&right, right.len() - 2),
            signed(UNSIGNED, 1),
            format!("{right} {{}}"),
            signed(UNSIGNED, UNSIGNED.len()),
            UNSIGNED.replace(": 1", ": 2"),
            UNSIGNED.replace("fsLayers", "layers"),
            UNSIGNED.replace("[]", "[],\"signatures\":[]"),
        ];
        for text in wrong {
            assert!(payload(text.as_bytes()).is_err(), "{text}");
            assert!(layers(text.as_bytes()).is_err(), "{text}");
        }
        let long = URL_SAFE_NO_PAD.encode(r#"{"formatLength":999999,"formatTail":""}"#);
        let long = format!(r#"{{"schemaVersion":1,"fsLayers":[],"signatures":[{{"protected":"{long}"}}]}}"#);
        assert!(payload(long.as_bytes()).unwrap_err().to_string().contains("more bytes than there are"));
    }
}
