//! Uploads: chunked, interrupted and resumed, cancelled, many at once.

use std::io::{Read as _, Write as _};

use imgstep::image::digest::{Algorithm, Digest, Hasher};

use crate::client::{Reply, Server};

fn content(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|number| u8::try_from(number % 241).unwrap() ^ seed).collect()
}

#[test]
fn an_interrupted_chunk_is_resumed() {
    let content = content(2_500_000, 1);
    let digest = Digest::of(&content);
    for (server, _folder) in Server::both() {
        let upload = server.begin("app");
        // The client announces everything, sends a part and disconnects.
        let mut stream = server.connect();
        let head = format!("PATCH {upload} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", content.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&content[..1_700_000]).unwrap();
        drop(stream);
        // The status response comes only after the server has seen the end of that connection.
        let status = server.get(&upload).expect(204);
        let last: usize = status.header("range").strip_prefix("0-").unwrap().parse().unwrap();
        assert!((1..1_700_000).contains(&last), "{last}");
        let chunk = |first: usize, last: usize| {
            let range = format!("{first}-{last}");
            server.send("PATCH", &upload, &[("Content-Range", &range)], &content[first..=last])
        };
        let refused = chunk(last + 2, last + 10).refused(416, "BLOB_UPLOAD_INVALID");
        assert_eq!(refused.header("range"), format!("0-{last}"));
        assert_eq!(refused.header("location"), upload);
        chunk(0, 10).refused(416, "BLOB_UPLOAD_INVALID");
        let accepted = chunk(last + 1, 2_000_000).expect(202);
        assert_eq!(accepted.header("range"), "0-2000000");
        let rest = &content[2_000_001..];
        let end = format!("{upload}?digest={digest}");
        server.send("PUT", &end, &[("Content-Range", "5-2499999")], rest).expect(416);
        server.send("PUT", &end, &[("Content-Range", "2000001-2499999")], rest).expect(201);
        assert!(server.get(&format!("/v2/app/blobs/{digest}")).expect(200).body == content);
        server.get(&upload).refused(404, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[test]
fn content_ranges_that_make_no_sense() {
    let server = Server::start(&[]);
    let upload = server.begin("app");
    let chunk = |range: &str| server.send("PATCH", &upload, &[("Content-Range", range)], b"0123456789");
    for bad in ["x", "9-0", "bytes 0-9/10", "-9", "0-99999999999999999999"] {
        chunk(bad).refused(400, "BLOB_UPLOAD_INVALID");
    }
    chunk("0-8").refused(400, "SIZE_INVALID");
    chunk("0-10").refused(400, "SIZE_INVALID");
    chunk("0-9").expect(202);
    server.send("PUT", &upload, &[], b"").refused(400, "DIGEST_INVALID");
    server.send("PUT", &format!("{upload}?digest={}", Digest::of(b"0123456789")), &[], b"").expect(201);
}

#[test]
fn an_upload_belongs_to_its_repository_and_can_be_cancelled() {
    for (server, folder) in Server::both() {
        let upload = server.begin("app");
        let elsewhere = upload.replace("/v2/app/", "/v2/other/");
        server.send("PATCH", &elsewhere, &[], b"x").refused(404, "BLOB_UPLOAD_UNKNOWN");
        server.send("PATCH", &upload, &[], &content(3_000_000, 2)).expect(202);
        if let Some(folder) = &folder {
            assert_eq!(folder.files("uploads").len(), 1);
        }
        server.send("DELETE", &upload, &[], b"").expect(204);
        server.get(&upload).refused(404, "BLOB_UPLOAD_UNKNOWN");
        if let Some(folder) = &folder {
            assert!(folder.files("uploads").is_empty());
        }
    }
}

#[test]
fn sha512_whether_or_not_it_was_announced() {
    let content = content(2_000_000, 3);
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(&content);
    let digest = hasher.finish();
    for (server, _folder) in Server::both() {
        for query in ["", "?digest-algorithm=sha512"] {
            let reply = server.send("POST", &format!("/v2/app/blobs/uploads/{query}"), &[], b"").expect(202);
            let upload = reply.header("location").to_owned();
            server.send("PATCH", &upload, &[], &content).expect(202);
            server.send("PUT", &format!("{upload}?digest={digest}"), &[], b"").expect(201);
            assert!(server.get(&format!("/v2/app/blobs/{digest}")).expect(200).body == content);
            server.send("DELETE", &format!("/v2/app/blobs/{digest}"), &[], b"").expect(202);
        }
        server.send("POST", "/v2/app/blobs/uploads/?digest-algorithm=md5", &[], b"").refused(400, "DIGEST_INVALID");
    }
}

#[test]
fn a_client_that_expects_100_continue_gets_it_or_a_final_status() {
    let server = Server::start(&[]);
    let digest = Digest::of(b"content");
    let exchange = |path: &str| {
        let mut stream = server.connect();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        if &first == b"HTTP/1.1 100" {
            stream.write_all(b"content").unwrap();
        }
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        (String::from_utf8(first.to_vec()).unwrap(), rest)
    };
    let (first, rest) = exchange(&format!("/v2/app/blobs/uploads/?digest={digest}"));
    assert_eq!(first, "HTTP/1.1 100");
    let rest = String::from_utf8(rest).unwrap();
    Reply::parse(rest.split_once("\r\n\r\n").unwrap().1.as_bytes()).expect(201);
    let (first, _) = exchange("/v2/app/blobs/uploads/?digest=nonsense");
    assert_eq!(first, "HTTP/1.1 400", "there is no use in sending it");
}

#[test]
fn many_at_once() {
    for (server, folder) in Server::both() {
        std::thread::scope(|scope| {
            for thread in 0..24u8 {
                let server = &server;
                scope.spawn(move || {
                    let own = content(300_000 + usize::from(thread), thread);
                    let shared = content(1_200_000, 200);
                    let name = format!("app{}", thread % 5);
                    for bytes in [&own, &shared, &own] {
                        let digest = Digest::of(bytes);
                        let upload = server.begin(&name);
                        server.send("PATCH", &upload, &[], &bytes[..100_000]).expect(202);
                        server.send("PUT", &format!("{upload}?digest={digest}"), &[], &bytes[100_000..]).expect(201);
                        assert!(server.get(&format!("/v2/{name}/blobs/{digest}")).expect(200).body == *bytes);
                    }
                });
            }
        });
        if let Some(folder) = folder {
            assert_eq!(folder.files("blobs").len(), 25, "each content once");
            assert!(folder.files("uploads").is_empty());
        }
    }
}

#[test]
fn one_connection_serves_many_requests() {
    let server = Server::start(&[]);
    let digest = server.push_blob("app", b"content");
    let mut stream = server.connect();
    for _ in 0..100 {
        stream.write_all(format!("GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"content") {
            let mut bytes = [0; 1024];
            let length = stream.read(&mut bytes).unwrap();
            assert_ne!(length, 0, "the connection was closed: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&bytes[..length]);
        }
        Reply::parse(&answer).expect(200);
    }
}
