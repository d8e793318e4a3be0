//! Hostile or broken clients.

use std::io::{Read as _, Write as _};

use imgstep::image::digest::Digest;

use crate::client::{Folder, INDEX, Reply, Server};

#[test]
fn names_cannot_leave_the_storage() {
    for (server, folder) in Server::both() {
        let digest = server.push_blob("app", b"content");
        let before = folder.as_ref().map(|folder| folder.files("."));
        for name in
            ["..", "../..", "app/../../x", "%2e%2e", "app%2f..%2f..%2fx", "App", "_blobs", "app/_tags", "a//b", "."]
        {
            server.get(&format!("/v2/{name}/blobs/{digest}")).refused(400, "NAME_INVALID");
            server.get(&format!("/v2/{name}/tags/list")).refused(400, "NAME_INVALID");
            server.send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"").refused(400, "NAME_INVALID");
            server.put_manifest(name, "v1", INDEX, "{}").refused(400, "NAME_INVALID");
            // `from` is only looked up, and there is no such repository.
            let mount = format!("/v2/app/blobs/uploads/?mount={}&from={name}", Digest::of(b"other"));
            server.send("POST", &mount, &[], b"").expect(202);
        }
        for digest in ["sha256:..", "sha256:..%00", "md5:00", "sha256:AB", "x"] {
            server.get(&format!("/v2/app/blobs/{digest}")).refused(400, "DIGEST_INVALID");
            server.send("DELETE", &format!("/v2/app/blobs/{digest}"), &[], b"").refused(400, "DIGEST_INVALID");
            server.get(&format!("/v2/app/referrers/{digest}")).refused(400, "DIGEST_INVALID");
            server
                .send("POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), &[], b"x")
                .refused(400, "DIGEST_INVALID");
        }
        for tag in ["..", ".hidden", "-x", "a%20b", "a%00", &"x".repeat(129)] {
            server.get(&format!("/v2/app/manifests/{tag}")).refused(404, "MANIFEST_UNKNOWN");
            server
                .put_manifest("app", tag, INDEX, r#"{"schemaVersion":2,"manifests":[]}"#)
                .refused(400, "MANIFEST_INVALID");
        }
        for upload in ["..", "..%2f..%2fimgstep-registry", "entry-1"] {
            server.send("PATCH", &format!("/v2/app/blobs/uploads/{upload}"), &[], b"x").expect(404);
        }
        assert_eq!(folder.as_ref().map(|folder| folder.files(".")), before, "something was written");
    }
}

#[test]
fn bytes_that_do_not_match_their_descriptor_are_refused() {
    for (server, folder) in Server::both() {
        let promised = Digest::of(b"promised");
        server
            .send("POST", &format!("/v2/app/blobs/uploads/?digest={promised}"), &[], b"sent")
            .refused(400, "DIGEST_INVALID");
        let upload = server.begin("app");
        server.send("PUT", &format!("{upload}?digest={promised}"), &[], b"sent").refused(400, "DIGEST_INVALID");
        server.get(&upload).refused(404, "BLOB_UPLOAD_UNKNOWN");
        server.get(&format!("/v2/app/blobs/{promised}")).refused(404, "BLOB_UNKNOWN");
        server.get(&format!("/v2/app/blobs/{}", Digest::of(b"sent"))).refused(404, "BLOB_UNKNOWN");
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        server.put_manifest("app", promised.as_str(), INDEX, index).refused(400, "DIGEST_INVALID");
        server.get(&format!("/v2/app/manifests/{promised}")).expect(404);
        if let Some(folder) = folder {
            assert!(folder.files("blobs").is_empty() && folder.files("uploads").is_empty(), "{:?}", folder.files("."));
        }
    }
}

#[test]
fn a_manifest_may_have_4_mib() {
    let server = Server::start(&[]);
    let index = |length: usize| {
        let empty = r#"{"schemaVersion":2,"manifests":[],"annotations":{"x":""}}"#;
        empty.replace(r#""x":"""#, &format!(r#""x":"{}""#, "y".repeat(length - empty.len())))
    };
    server.put_manifest("app", "large", INDEX, &index(4 * 1024 * 1024)).expect(201);
    server.put_manifest("app", "larger", INDEX, &index(4 * 1024 * 1024 + 1)).refused(413, "MANIFEST_INVALID");
    server.get("/v2/app/manifests/larger").expect(404);
    // The same, without an announced length.
    let mut stream = server.connect();
    stream
        .write_all(b"PUT /v2/app/manifests/larger HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let chunk = [format!("{:x}\r\n", 1 << 20).as_bytes(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    for _ in 0..5 {
        let _ = stream.write_all(&chunk);
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Reply::parse(&answer).refused(413, "MANIFEST_INVALID");
}

#[test]
fn heads_are_bounded() {
    let server = Server::start(&[]);
    server.get(&format!("/v2/app/manifests/{}", "x".repeat(20_000))).refused(414, "UNSUPPORTED");
    server.send("GET", "/v2/", &[("X-Large", &"x".repeat(200_000))], b"").expect(431);
    let many: Vec<(String, &str)> = (0..500).map(|number| (format!("X-{number}"), "x")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    server.send("GET", "/v2/", &many, b"").expect(431);
    server.get("/v2/").expect(200);
}

#[test]
fn what_the_api_does_not_have() {
    let server = Server::start(&[]);
    for path in ["/", "/v1/", "/v2/app", "/v2/app/unknown/x", "/v2/app/manifests/"] {
        server.get(path).expect(404);
    }
    let reply = server.send("PATCH", "/v2/app/manifests/v1", &[], b"x").refused(405, "UNSUPPORTED");
    assert_eq!(reply.header("allow"), "GET, HEAD, PUT, DELETE");
    server.send("POST", "/v2/app/tags/list", &[], b"").refused(405, "UNSUPPORTED");
    server.get("/v2/app/blobs/uploads/").refused(405, "UNSUPPORTED");
    server.get("/v2/app/tags/list").refused(404, "NAME_UNKNOWN");
    server.get("/v2/app/manifests/v1").refused(404, "NAME_UNKNOWN");
}

#[test]
fn invalid_http_does_no_harm() {
    let server = Server::start(&[]);
    for rubbish in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..], b"\r\n\r\n\r\n", b"GET /v2/\x00 HTTP/9.9\r\n\r\n", b"PUT"]
    {
        let mut stream = server.connect();
        stream.write_all(rubbish).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    server.get("/v2/").expect(200);
}

#[test]
fn read_only_refuses_every_write() {
    let folder = Folder::new();
    let writer = Server::start(&["--storage", folder.text()]);
    let (digest, json) = writer.push_image("app", "v1", "layer");
    drop(writer);
    let before = folder.files(".");
    let server = Server::start(&["--storage", folder.text(), "--read-only"]);
    let config = Digest::of(b"{}");
    for (method, path) in [
        ("POST", "/v2/app/blobs/uploads/".to_owned()),
        ("POST", format!("/v2/app/blobs/uploads/?digest={config}")),
        ("POST", format!("/v2/app/blobs/uploads/?mount={config}&from=app")),
        ("PATCH", "/v2/app/blobs/uploads/x".to_owned()),
        ("PUT", "/v2/app/blobs/uploads/x".to_owned()),
        ("PUT", "/v2/app/manifests/v2".to_owned()),
        ("DELETE", "/v2/app/manifests/v1".to_owned()),
        ("DELETE", format!("/v2/app/manifests/{digest}")),
        ("DELETE", format!("/v2/app/blobs/{config}")),
    ] {
        server.send(method, &path, &[], b"").refused(405, "UNSUPPORTED");
    }
    assert_eq!(server.get("/v2/app/manifests/v1").expect(200).text(), json);
    assert_eq!(server.get(&format!("/v2/app/blobs/{config}")).expect(200).text(), "{}");
    assert_eq!(folder.files("."), before);
}
