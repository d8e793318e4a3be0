//! What is a manifest and what only claims to be: forged digests, and responses that aren't manifests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{line, promote};
use crate::support::images::Content;
use crate::support::{Action, Folder, Image, Proxy, Registry, assert_image, client, images, layout, rule};

/// A Docker schema 1 manifest whose signature claims that the signed bytes are those of `meant`, but with other layers.
fn forged(meant: &Content, evil: &Content) -> Vec<u8> {
    let protected = json!({"formatLength": 1, "formatTail": URL_SAFE_NO_PAD.encode(&meant.bytes[1..])});
    let protected = URL_SAFE_NO_PAD.encode(protected.to_string());
    let text = json!({
        "schemaVersion": 1, "fsLayers": [{"blobSum": evil.digest}], "signatures": [{"protected": protected}],
    });
    text.to_string().into_bytes()
}

fn answer(media_type: &str, body: &[u8]) -> Action {
    let headers = if media_type.is_empty() { vec![] } else { vec![("Content-Type".to_owned(), media_type.to_owned())] };
    Action::Answer { status: 200, headers, body: body.to_vec() }
}

#[test]
fn a_digest_forged_through_schema_1_is_refused() {
    let (meant, evil) = (images::image(1, 1, 500), images::image(2, 1, 500));
    let (source, destination) = (Registry::inside(), Registry::inside());
    meant.push(&source, "app", "v1");
    evil.push(&source, "app", "evil");
    let forged = forged(meant.root(), &evil.blobs[0]);
    let lie = rule("GET", "/manifests/", answer(images::SCHEMA1, &forged));
    let reading = Proxy::before(&source).with(lie);
    let pinned = reading.at(&format!("app@{}", meant.digest()));
    let run = promote(&pinned, &destination.at("copy:v1")).args(["--expect-digest", meant.digest()]).run();
    run.failed(1, &[meant.digest(), &images::sha256(&forged)]);
    assert!(!destination.has_manifest("copy", "v1"));
    assert!(!destination.has_manifest("copy", meant.digest()));
    assert!(!destination.has_blob("copy", &evil.blobs[0].digest));

    // `registry serve` doesn't accept it under that digest, and an OCI layout doesn't return it.
    let url = source.url(&format!("app/manifests/{}", meant.digest()));
    let answer = client::request("PUT", &url, &[("Content-Type", images::SCHEMA1)], &forged);
    assert_eq!(answer.status, 400, "{}", answer.text());
    let folder = Folder::new();
    layout::write(&folder.join("from"), &[("v1", &meant)]);
    let file = folder.join("from/blobs/sha256").join(meant.digest().trim_start_matches("sha256:"));
    std::fs::write(file, &forged).unwrap();
    let from = format!("oci:{}:v1", folder.join("from").display());
    promote(&from, &destination.at("copy:v1")).run().failed(1, &[meant.digest(), &images::sha256(&forged)]);
    assert!(!destination.has_manifest("copy", "v1"));
}

/// What a portal, a web page, a broken proxy or a failing registry answers with status 200, and the expected error. The
/// index is truncated.
fn no_manifests() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let index = images::index(crate::support::Style::Oci, 1, 2, 1, 100).root().bytes.clone();
    let error = br#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#;
    let html = b"<html><body>Welcome!</body></html>";
    vec![
        ("text/html", html.to_vec(), "text/html, 34 bytes, which is not a manifest: is this a registry?"),
        ("", html.to_vec(), "34 bytes, which is not a manifest"),
        ("application/vnd.example", html.to_vec(), "which is not a manifest"),
        (images::OCI_INDEX, html.to_vec(), "which is not a manifest"),
        (images::OCI_MANIFEST, Vec::new(), "answered with nothing, which is not a manifest: is this a registry?"),
        ("", Vec::new(), "which is not a manifest"),
        ("application/json", index[..index.len() / 2].to_vec(), "it was cut off"),
        ("", index[..index.len() / 2].to_vec(), "it was cut off"),
        ("application/json", error.to_vec(), "it is an error, UNAUTHORIZED: who are you"),
        (images::OCI_INDEX, error.to_vec(), "it is an error, UNAUTHORIZED: who are you"),
        ("application/json", b"{}".to_vec(), "neither `schemaVersion` nor `mediaType`"),
        // Nothing vouches for these bytes.
        ("application/json", br#"{"schemaVersion":7}"#.to_vec(), "no digest vouches for it"),
    ]
}

#[test]
fn invalid_manifests_are_never_promoted() {
    let old = images::image(1, 1, 500);
    for destination in crate::support::registries() {
        old.push(&destination, "copy", "v1");
        for (media_type, body, said) in no_manifests() {
            let source = Proxy::to(&destination.host).with(rule("", "/app/", answer(media_type, &body)));
            let writing = Proxy::before(&destination);
            let from = source.at("app:v1");
            promote(&from, &writing.at("copy:v1")).run().failed(1, &[&from, said]);
            assert!(writing.writes().is_empty(), "nothing is written: {:#?}", writing.lines());
            assert_image(&destination, "copy", "v1", &old);
            let folder = Folder::new();
            let layout = folder.join("to");
            promote(&from, &format!("oci:{}:v1", layout.display())).run().failed(1, &[&from, said]);
            assert!(!layout.exists());
            let digest = format!("digest={}", folder.join("digest").display());
            promote(&from, &writing.at("copy:v1")).args(["--result", &digest]).run().failed(1, &[&from, said]);
            assert!(!folder.join("digest").exists());
        }
    }
}

#[test]
fn no_step_accepts_an_invalid_manifest() {
    let destination = Registry::inside();
    let folder = Folder::new();
    let file = folder.write("file", "content");
    let layer = format!("{}=/file", file.display());
    for (media_type, body, said) in no_manifests() {
        let source = Proxy::to(&destination.host).with(rule("", "/app/", answer(media_type, &body)));
        let (from, to) = (source.at("app:v1"), destination.at("copy:v1"));
        let list = folder.write("list", format!("{from} {to}\n"));
        let steps: [&[&str]; 8] = [
            &["promote", "--list", list.to_str().unwrap()],
            &["append", &from, "--to", &to, "--layer", &layer],
            &["index", &from, "--to", &to],
            &["index", "--from", &from, "--to", &to],
            &["mutate", &from, "--to", &to, "--label", "a=b"],
            &["inspect", &from],
            &["tag", &from, "v2"],
            &["digest", &from],
        ];
        for words in steps {
            // `digest` prints the digest of any manifest, even if nothing vouches for its type.
            if words[0] == "digest" && said.contains("vouches") {
                continue;
            }
            let run = crate::support::imgstep(words).run().ended(1);
            assert!(run.stderr.contains(said), "{words:?}: {}", run.stderr);
            assert!(!destination.has_manifest("copy", "v1"), "{words:?}");
        }
    }
}

#[test]
fn neither_registry_serve_nor_a_layout_accepts_invalid_json() {
    let registry = Registry::inside();
    let folder = Folder::new();
    for (media_type, body, said) in no_manifests() {
        let content = Content::new(if media_type.is_empty() { "text/plain" } else { media_type }, body);
        if said.contains("vouches") {
            continue;
        }
        let url = registry.url("app/manifests/v1");
        let answer = client::request("PUT", &url, &[("Content-Type", &content.media_type)], &content.bytes);
        assert_eq!(answer.status, 400, "{media_type}: {}", answer.text());
        assert!(answer.text().contains("MANIFEST_INVALID"), "{}", answer.text());
        layout::write(&folder.join("from"), &[("v1", &Image { manifests: vec![content], ..Image::default() })]);
        let from = format!("oci:{}:v1", folder.join("from").display());
        promote(&from, &registry.at("copy:v1")).run().failed(1, &["manifest"]);
        assert!(!registry.has_manifest("copy", "v1"));
    }
}

#[test]
fn a_manifest_of_an_unknown_type_needs_a_digest_in_the_reference() {
    let image = images::unknown_manifest(1);
    let (source, destination) = (Registry::inside(), Registry::inside());
    image.push(&source, "app", "v1");
    let silent = rule("", "/manifests/", Action::AnswerHeader("Docker-Content-Digest", None));
    let reading = Proxy::before(&source).with(silent);
    let to = destination.at("copy:v1");
    promote(&reading.at("app:v1"), &to).run().failed(1, &[&format!("app@{}", image.digest())]);
    assert!(!destination.has_manifest("copy", "v1"));
    let expected = line(&destination.at("copy"), &image);
    let vouched = ["--expect-digest", image.digest()];
    promote(&reading.at("app:v1"), &to).args(vouched).run().printed(std::slice::from_ref(&expected));
    promote(&reading.at(&format!("app@{}", image.digest())), &destination.at("copy:v2"))
        .run()
        .printed(std::slice::from_ref(&expected));
    promote(&source.at("app:v1"), &destination.at("copy:v3")).run().printed(&[expected]);
    let other = images::sha256(b"another");
    promote(&reading.at("app:v1"), &to).args(["--expect-digest", &other]).run().ended(1);
}

#[test]
fn ambiguous_keys_and_types_are_refused() {
    let image = images::image(1, 1, 500);
    let (source, destination) = (Registry::inside(), Registry::inside());
    image.push(&source, "app", "v1");
    let folder = Folder::new();
    let layer = format!("{}=/file", folder.write("file", "content").display());
    let text = String::from_utf8(image.root().bytes.clone()).unwrap();
    let layers = text.replacen('{', "{\n  \"Layers\": [],", 1);
    let cases = [
        (images::OCI_MANIFEST, layers.as_str(), "`Layers`"),
        (images::OCI_INDEX, text.as_str(), "two faces"),
        (images::DOCKER_MANIFEST, text.as_str(), "two faces"),
    ];
    for (media_type, text, said) in cases {
        let lie = rule("GET", "/manifests/v1", answer(media_type, text.as_bytes()));
        let reading = Proxy::before(&source).with(lie);
        let (from, to) = (reading.at("app:v1"), destination.at("copy:v1"));
        let steps: [&[&str]; 6] = [
            &["promote", &from, &to],
            &["append", &from, "--to", &to, "--layer", &layer],
            &["index", &from, "--to", &to],
            &["mutate", &from, "--to", &to, "--label", "a=b"],
            &["inspect", &from],
            &["tag", &from, "v2"],
        ];
        for words in steps {
            let run = crate::support::imgstep(words).run().ended(1);
            assert!(run.stderr.contains(said), "{words:?}: {}", run.stderr);
        }
        assert!(!destination.has_manifest("copy", "v1"));
        let headers = [("Content-Type", media_type)];
        let put = client::request("PUT", &source.url("app/manifests/v3"), &headers, text.as_bytes());
        assert_eq!(put.status, 400, "{said}: {}", put.text());
    }
}
