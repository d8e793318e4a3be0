//! Docker schema 1 manifests: copied as they are; only their digest and their layers need a look inside.
//!
//! Source: Docker's "Image Manifest Version 2, Schema 1". A signed manifest's digest is that of its payload: the bytes
//! without the signatures, put together from the first signature's protected header.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::digest::Digest;
use crate::error::Error;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schema1 {
    #[serde(default)]
    fs_layers: Vec<FsLayer>,
    #[serde(default)]
    signatures: Vec<Signature>,
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Protected {
    format_length: usize,
    format_tail: String,
}

fn malformed(reason: &str) -> Error {
    Error::Malformed { what: "Docker schema 1 manifest".to_owned(), reason: crate::error::printable(reason, 200) }
}

fn parse(bytes: &[u8]) -> Result<Schema1, Error> {
    serde_json::from_slice(bytes).map_err(|error| malformed(&error.to_string()))
}

/// The bytes that the digest of a schema 1 manifest is computed over.
///
/// # Errors
/// A signature whose protected header does not fit the bytes.
pub fn payload(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let Some(signature) = parse(bytes)?.signatures.into_iter().next() else {
        return Ok(bytes.to_vec());
    };
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed("its signature is not base64"));
    let protected: Protected =
        serde_json::from_slice(&decode(&signature.protected)?).map_err(|error| malformed(&error.to_string()))?;
    let head = bytes
        .get(..protected.format_length)
        .ok_or_else(|| malformed("its signature speaks of more bytes than there are"))?;
    let mut payload = head.to_vec();
    payload.extend(decode(&protected.format_tail)?);
    Ok(payload)
}

/// The digests of the layers, each once.
///
/// # Errors
/// Bytes that are not a schema 1 manifest.
pub fn layers(bytes: &[u8]) -> Result<Vec<Digest>, Error> {
    let mut layers: Vec<Digest> = Vec::new();
    for layer in parse(bytes)?.fs_layers {
        if !layers.contains(&layer.blob_sum) {
            layers.push(layer.blob_sum);
        }
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_the_manifest_before_it_was_signed() {
        let unsigned = "{\n   \"schemaVersion\": 1,\n   \"fsLayers\": []\n}";
        let length = unsigned.len() - 2;
        let protected = URL_SAFE_NO_PAD
            .encode(format!(r#"{{"formatLength":{length},"formatTail":"{}"}}"#, URL_SAFE_NO_PAD.encode("\n}")));
        let signed = format!("{},\n   \"signatures\": [{{\"protected\":\"{protected}\"}}]\n}}", &unsigned[..length]);
        assert_eq!(payload(signed.as_bytes()).unwrap(), unsigned.as_bytes());
        assert_eq!(payload(unsigned.as_bytes()).unwrap(), unsigned.as_bytes());
        let lying = signed.replace(&protected, &URL_SAFE_NO_PAD.encode(r#"{"formatLength":999999,"formatTail":""}"#));
        assert!(payload(lying.as_bytes()).is_err());
    }
}
