//! What was written can be read: ranges, mounts, manifests and what they refer to, lists, deletion.

use imgstep::image::digest::Digest;

use crate::client::{IMAGE, INDEX, Server, image};

#[test]
fn mounts() {
    for (server, _folder) in Server::both() {
        let digest = server.push_blob("from/here", b"content");
        let mount = |name: &str, rest: &str| {
            server.send("POST", &format!("/v2/{name}/blobs/uploads/?mount={digest}{rest}"), &[], b"")
        };
        let reply = mount("to/there", "&from=from/here").expect(201);
        assert_eq!(reply.header("location"), format!("/v2/to/there/blobs/{digest}"));
        assert_eq!(reply.header("docker-content-digest"), digest.as_str());
        assert_eq!(server.get(&format!("/v2/to/there/blobs/{digest}")).expect(200).text(), "content");
        // From itself: one that exists, and one that doesn't.
        mount("to/there", "&from=to/there").expect(201);
        mount("elsewhere", "&from=elsewhere").expect(202);
        // Without `from`, only the repository itself counts.
        mount("to/there", "").expect(201);
        let reply = mount("elsewhere", "").expect(202);
        server.get(&format!("/v2/elsewhere/blobs/{digest}")).expect(404);
        // A refused mount starts an upload.
        let upload = reply.header("location").to_owned();
        server.send("PUT", &format!("{upload}?digest={digest}"), &[], b"content").expect(201);
        // A mount from a repository without the blob is refused, even if a third repository has it.
        mount("third", "&from=nowhere").expect(202);
        // A mounted blob stays when its first repository deletes it.
        server.send("DELETE", &format!("/v2/from/here/blobs/{digest}"), &[], b"").expect(202);
        server.get(&format!("/v2/from/here/blobs/{digest}")).refused(404, "BLOB_UNKNOWN");
        assert_eq!(server.get(&format!("/v2/to/there/blobs/{digest}")).expect(200).text(), "content");
    }
}

#[test]
fn ranges() {
    let content: Vec<u8> = (0..3_000_017u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    for (server, _folder) in Server::both() {
        let digest = server.push_blob("app", &content);
        let path = format!("/v2/app/blobs/{digest}");
        let whole = server.get(&path).expect(200);
        assert!(whole.body == content);
        assert_eq!(whole.header("accept-ranges"), "bytes");
        let range = |range: &str| server.send("GET", &path, &[("Range", range)], b"");
        for (text, first, last) in [
            ("bytes=0-0", 0, 0),
            ("bytes=1048575-2097152", 1_048_575, 2_097_152),
            ("bytes=2999999-", 2_999_999, 3_000_016),
            ("bytes=-5", 3_000_012, 3_000_016),
            ("bytes=7-99999999", 7, 3_000_016),
        ] {
            let reply = range(text).expect(206);
            assert!(reply.body == content[first..=last], "{text}");
            assert_eq!(reply.header("content-range"), format!("bytes {first}-{last}/3000017"));
            assert_eq!(reply.header("content-length"), (last - first + 1).to_string());
        }
        let reply = range("bytes=3000017-").expect(416);
        assert_eq!(reply.header("content-range"), "bytes */3000017");
        assert!(range("bytes=0-1,5-6").expect(200).body == content, "several ranges are answered with everything");
        let etag = whole.header("etag");
        server.send("GET", &path, &[("Range", "bytes=0-0"), ("If-Range", etag)], b"").expect(206);
        server.send("GET", &path, &[("Range", "bytes=0-0"), ("If-Range", "\"other\"")], b"").expect(200);
        let head = server.send("HEAD", &path, &[], b"").expect(200);
        assert_eq!((head.header("content-length"), head.body.len()), ("3000017", 0));
        assert_eq!(head.header("docker-content-digest"), digest.as_str());
    }
}

#[test]
fn a_manifest_needs_what_it_references() {
    for (server, _folder) in Server::both() {
        let config = server.push_blob("app", b"{}");
        let missing = Digest::of(b"missing");
        let json = image(&config, &missing, 7, "");
        let reply = server.put_manifest("app", "v1", IMAGE, &json).refused(404, "MANIFEST_BLOB_UNKNOWN");
        assert!(reply.text().contains(missing.as_str()));
        server.get("/v2/app/manifests/v1").expect(404);
        // What is in another repository isn't here.
        server.push_blob("other", b"missing");
        server.put_manifest("app", "v1", IMAGE, &json).refused(404, "MANIFEST_BLOB_UNKNOWN");
        server.push_blob("app", b"missing");
        server.put_manifest("app", "v1", IMAGE, &json).expect(201);
        // Children must be manifests, not only blobs.
        let index = |digest: &Digest| {
            format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{IMAGE}","digest":"{digest}","size":1}}]}}"#)
        };
        server.put_manifest("app", "index", INDEX, &index(&config)).refused(404, "MANIFEST_BLOB_UNKNOWN");
        server.put_manifest("app", "index", INDEX, &index(&Digest::of(json.as_bytes()))).expect(201);
        // Foreign layers may be missing.
        let foreign = json
            .replace(Digest::of(b"missing").as_str(), Digest::of(b"foreign").as_str())
            .replace(".layer.v1.tar\"", ".layer.nondistributable.v1.tar\",\"urls\":[\"https://example.com/\"]");
        server.put_manifest("app", "foreign", IMAGE, &foreign).expect(201);
    }
}

#[test]
fn invalid_manifests_are_refused() {
    let server = Server::start(&[]);
    for json in
        ["", "{", "[]", r#"{"schemaVersion":2,"manifests":7}"#, r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#]
    {
        server.put_manifest("app", "v1", INDEX, json).refused(400, "MANIFEST_INVALID");
    }
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
    server.put_manifest("app", "v1", IMAGE, &index).refused(400, "MANIFEST_INVALID");
    for media_type in [r"a\nSet-Cookie: x", r"a\u0000", &"x".repeat(300)] {
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[]}}"#);
        server.put_manifest("app", "v1", "application/json", &index).refused(400, "MANIFEST_INVALID");
    }
    let bad_subject = r#"{"schemaVersion":2,"manifests":[],"subject":{"digest":"sha256:../x"}}"#;
    server.put_manifest("app", "v1", INDEX, bad_subject).refused(400, "MANIFEST_INVALID");
    server.get("/v2/app/tags/list").refused(404, "NAME_UNKNOWN");
}

#[test]
fn a_manifest_comes_back_unchanged() {
    for (server, _folder) in Server::both() {
        // Unknown kinds are stored as they are.
        for (tag, media_type, bytes) in [
            ("index", INDEX, "{\n \"schemaVersion\" : 2, \"manifests\":[ ], \"zebra\": 1e2}"),
            ("strange", "application/vnd.example.thing+json", "{\"schemaVersion\": 7.50}\n"),
        ] {
            server.put_manifest("app", tag, media_type, bytes).expect(201);
            let digest = Digest::of(bytes.as_bytes());
            for reference in [tag, digest.as_str()] {
                let reply = server.get(&format!("/v2/app/manifests/{reference}")).expect(200);
                assert_eq!((reply.text().as_str(), reply.header("content-type")), (bytes, media_type));
                assert_eq!(reply.header("docker-content-digest"), digest.as_str());
                let head = server.send("HEAD", &format!("/v2/app/manifests/{reference}"), &[], b"").expect(200);
                assert_eq!((head.header("content-length"), head.body.len()), (bytes.len().to_string().as_str(), 0));
            }
        }
    }
}

#[test]
fn tags_as_parameters_and_in_lists() {
    for (server, _folder) in Server::both() {
        let json = r#"{"schemaVersion":2,"manifests":[]}"#;
        let digest = Digest::of(json.as_bytes());
        let reply = server.put_manifest("app", &format!("{digest}?tag=c&tag=a&tag=B&tag=1.0"), INDEX, json).expect(201);
        assert_eq!(reply.header("oci-tag"), "c, a, B, 1.0");
        server
            .put_manifest("app", &format!("{digest}?tag=ok&tag=..%2fbad"), INDEX, json)
            .refused(400, "MANIFEST_INVALID");
        let list = server.get("/v2/app/tags/list").expect(200);
        assert_eq!(list.text(), r#"{"name":"app","tags":["1.0","B","a","c"]}"#);
        assert_eq!(list.header("link"), "");
        let page = server.get("/v2/app/tags/list?n=3").expect(200);
        assert_eq!(page.json()["tags"], serde_json::json!(["1.0", "B", "a"]));
        assert_eq!(page.header("link"), r#"</v2/app/tags/list?n=3&last=a>; rel="next""#);
        let page = server.get("/v2/app/tags/list?n=3&last=a").expect(200);
        assert_eq!((page.json()["tags"].clone(), page.header("link")), (serde_json::json!(["c"]), ""));
        let none = server.get("/v2/app/tags/list?n=0").expect(200);
        assert_eq!((none.json()["tags"].clone(), none.header("link")), (serde_json::json!([]), ""));
        server.get("/v2/app/tags/list?n=x").expect(400);
        server.send("DELETE", "/v2/app/manifests/B", &[], b"").expect(202);
        server.send("DELETE", "/v2/app/manifests/B", &[], b"").refused(404, "MANIFEST_UNKNOWN");
        server.get(&format!("/v2/app/manifests/{digest}")).expect(200);
        server.send("DELETE", &format!("/v2/app/manifests/{digest}"), &[], b"").expect(202);
        server.get("/v2/app/manifests/a").refused(404, "MANIFEST_UNKNOWN");
        assert_eq!(server.get("/v2/app/tags/list").expect(200).json()["tags"], serde_json::json!([]));
    }
}

#[test]
fn referrers_come_and_go_with_their_manifests() {
    for (server, _folder) in Server::both() {
        let subject = Digest::of(b"a subject that is not there yet");
        let config = server.push_blob("app", b"{}");
        let push = |kind: &str| {
            let more = format!(
                r#""artifactType":"{kind}","annotations":{{"kind":"{kind}"}},"subject":{{"mediaType":"{IMAGE}","digest":"{subject}","size":1}},"#
            );
            let json = image(&config, &config, 2, &more);
            let digest = Digest::of(json.as_bytes());
            let reply = server.put_manifest("app", digest.as_str(), IMAGE, &json).expect(201);
            assert_eq!(reply.header("oci-subject"), subject.as_str());
            digest
        };
        let list = |query: &str| server.get(&format!("/v2/app/referrers/{subject}{query}")).expect(200);
        assert_eq!(list("").json()["manifests"], serde_json::json!([]));
        let sbom = push("application/sbom+json");
        push("application/signature");
        let all = list("");
        assert_eq!(all.header("content-type"), INDEX);
        assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 2);
        // An unencoded plus is still a plus.
        for query in ["?artifactType=application/sbom%2Bjson", "?artifactType=application/sbom+json"] {
            let some = list(query);
            assert_eq!(some.header("oci-filters-applied"), "artifactType");
            let some = some.json()["manifests"].clone();
            assert_eq!(some[0]["digest"], sbom.as_str());
            assert_eq!(some[0]["annotations"]["kind"], "application/sbom+json");
            assert!(some.get(1).is_none());
        }
        server.send("DELETE", &format!("/v2/app/manifests/{sbom}"), &[], b"").expect(202);
        assert_eq!(list("").json()["manifests"].as_array().unwrap().len(), 1);
        assert_eq!(
            server.get(&format!("/v2/other/referrers/{subject}")).expect(200).json()["manifests"],
            serde_json::json!([])
        );
    }
}

#[test]
fn a_signed_schema_1_manifest_is_stored_by_its_payload_digest() {
    let unsigned = "{\n   \"schemaVersion\": 1,\n   \"fsLayers\": []\n}";
    // The protected header says: the first 45 bytes of the text above, without its last two, and then those two.
    let length = unsigned.len() - 2;
    let protected = base64(format!(r#"{{"formatLength":{length},"formatTail":"{}"}}"#, base64("\n}")));
    let signed = format!("{},\n   \"signatures\": [{{\"protected\":\"{protected}\"}}]\n}}", &unsigned[..length]);
    let media_type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for (server, _folder) in Server::both() {
        let reply = server.put_manifest("app", "old", media_type, &signed).expect(201);
        let digest = Digest::of(unsigned.as_bytes());
        assert_eq!(reply.header("docker-content-digest"), digest.as_str());
        let reply = server.get(&format!("/v2/app/manifests/{digest}")).expect(200);
        assert_eq!((reply.text(), reply.header("content-type")), (signed.clone(), media_type));
    }
}

/// Base64 for URLs, without padding.
fn base64(text: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for three in text.as_ref().chunks(3) {
        let bits = three.iter().chain(&[0; 2]).take(3).fold(0u32, |bits, &byte| (bits << 8) | u32::from(byte));
        for digit in 0..=three.len() {
            let index = usize::try_from((bits >> (18 - 6 * digit)) & 63).unwrap();
            out.push(char::from(DIGITS[index]));
        }
    }
    out
}
