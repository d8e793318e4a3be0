//! A signed Docker schema 1 manifest as Docker 1.9 pushed it; distribution verifies the signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::certificates::Certificate;
use super::images::{Content, DOCKER_LAYER, Image, SCHEMA1, noise, sha256};

/// An image with three layers, two of them identical. Name and tag are part of the signed bytes.
pub fn image(seed: u64, repository: &str, tag: &str) -> Image {
    let first = Content::new(DOCKER_LAYER, noise(seed, 700));
    let second = Content::new(DOCKER_LAYER, noise(seed + 1, 900));
    let payload = json!({
        "schemaVersion": 1,
        "name": repository,
        "tag": tag,
        "architecture": "amd64",
        "fsLayers": [{"blobSum": second.digest}, {"blobSum": first.digest}, {"blobSum": first.digest}],
        "history": [
            {"v1Compatibility": r#"{"id":"c","parent":"b","created":"2015-01-01T00:00:00Z"}"#},
            {"v1Compatibility": r#"{"id":"b","parent":"a","created":"2015-01-01T00:00:00Z"}"#},
            {"v1Compatibility": r#"{"id":"a","created":"2015-01-01T00:00:00Z"}"#},
        ],
    });
    let payload = format!("{payload:#}");
    let manifest = Content {
        media_type: SCHEMA1.to_owned(),
        // The digest of a signed manifest is computed from the signed bytes.
        digest: sha256(payload.as_bytes()),
        bytes: sign(&payload).into_bytes(),
    };
    Image { blobs: vec![first, second], manifests: vec![manifest], ..Image::default() }
}

/// Adds a JSON Web Signature to a JSON object in libtrust's "pretty" form: the protected header records where the
/// signed bytes were split.
fn sign(payload: &str) -> String {
    let key = Certificate::new();
    let (x, y) = key.point();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let tail = "\n}";
    let length = payload.len() - tail.len();
    let protected = json!({
        "formatLength": length, "formatTail": encode(tail.as_bytes()), "time": "2015-01-01T00:00:00Z",
    });
    let protected = encode(protected.to_string().as_bytes());
    let message = format!("{protected}.{}", encode(payload.as_bytes()));
    let signature = encode(&key.sign(message.as_bytes()));
    let jwk = json!({
        "crv": "P-256", "kid": fingerprint(&x, &y), "kty": "EC", "x": encode(&x), "y": encode(&y),
    });
    let signatures = json!([{"header": {"jwk": jwk, "alg": "ES256"}, "signature": signature, "protected": protected}]);
    format!("{},\n   \"signatures\": {signatures}\n}}", &payload[..length])
}

/// Extracts the signed bytes from a signed manifest.
pub fn payload(signed: &[u8]) -> Vec<u8> {
    let manifest: Value = serde_json::from_slice(signed).unwrap();
    let decode = |value: &Value| URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap();
    let protected: Value = serde_json::from_slice(&decode(&manifest["signatures"][0]["protected"])).unwrap();
    let mut payload = signed[..usize::try_from(protected["formatLength"].as_u64().unwrap()).unwrap()].to_vec();
    payload.extend(decode(&protected["formatTail"]));
    payload
}

/// libtrust's key ID: the first 30 bytes of the SHA-256 of the key's DER form, in base32, in groups of four.
fn fingerprint(x: &[u8], y: &[u8]) -> String {
    use sha2::Digest as _;
    // SubjectPublicKeyInfo of a P-256 key: everything before the point is constant.
    let mut der = vec![
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];
    der.extend_from_slice(x);
    der.extend_from_slice(y);
    let hash = sha2::Sha256::digest(&der);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut letters = Vec::new();
    for group in hash[..30].chunks(5) {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let letter = |place: u32| char::from(alphabet[usize::try_from(bits >> (place * 5) & 31).unwrap()]);
        letters.extend((0..8).rev().map(letter));
    }
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(":")
}
