//! Uploads: every way a registry may handle them, and every place they can break.

use super::{line, promote};
use crate::support::{Action, Image, Proxy, Registry, Style, assert_image, images, pairs, rule, rules::Rule};

/// Copies into a registry behind a proxy with these rules.
fn arrives(image: &Image, rules: &[Rule]) -> Vec<Proxy> {
    let copy = |(source, destination): (Registry, Registry)| {
        image.push(&source, "app", "v1");
        let writing = Proxy::before(&destination);
        writing.add_all(rules);
        promote(&source.at("app:v1"), &writing.at("copy:v1")).run().printed(&[line(&writing.at("copy"), image)]);
        assert_image(&destination, "copy", "v1", image);
        assert!(!writing.met().is_empty(), "no rule met a request");
        writing
    };
    pairs().into_iter().map(copy).collect()
}

#[test]
fn one_request_opens_an_upload_and_one_ends_it() {
    let image = images::image(1, 3, 100_000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("copy:v1")).run().ended(0);
        assert_eq!(writing.count("PATCH", ""), 0, "{:#?}", writing.lines());
        assert_eq!(writing.count("POST", "/blobs/uploads/"), 4, "{:#?}", writing.lines());
        assert_eq!(writing.count("PUT", "/blobs/uploads/"), 4, "{:#?}", writing.lines());
        assert_eq!(writing.uploaded_bytes(), (image.size() - image.root().bytes.len()) as u64);
    }
}

#[test]
fn a_broken_upload_is_resumed_or_restarted() {
    let image = images::image(1, 2, 500_000);
    arrives(&image, &[rule("PUT", "/blobs/uploads/", Action::CutRequest(200_000)).times(2)]);
}

#[test]
fn a_lost_upload_session_is_restarted() {
    let image = images::image(1, 2, 50_000);
    let gone = Action::error(404, "BLOB_UPLOAD_UNKNOWN", "never heard of it");
    arrives(&image, &[rule("PUT", "/blobs/uploads/", gone).times(1)]);
}

#[test]
fn a_limit_on_the_request_size_is_handled_with_chunks() {
    let image = images::image(1, 2, 12_000_000);
    for writing in arrives(&image, &[rule("", "/blobs/uploads/", Action::LimitBody(9_000_000))]) {
        assert!(writing.count("PATCH", "/blobs/uploads/") >= 2, "{:#?}", writing.lines());
        let kept = writing.matching("PATCH", "/blobs/uploads/").into_iter().filter(|seen| seen.status != 413);
        assert!(kept.into_iter().all(|seen| seen.sent <= 9_000_000));
    }
}

#[test]
fn a_minimum_for_chunks_is_respected() {
    let image = images::image(1, 1, 9_000_000);
    let rules = [
        rule("POST", "/blobs/uploads/", Action::AnswerHeader("OCI-Chunk-Min-Length", Some("6000000".to_owned()))),
        rule("PUT", "/blobs/uploads/", Action::LimitBody(8_000_000)),
    ];
    for writing in arrives(&image, &rules) {
        let patches = writing.matching("PATCH", "/blobs/uploads/");
        // All except the last have the requested size.
        let small = patches.iter().filter(|seen| seen.sent < 6_000_000).count();
        assert!(!patches.is_empty() && small <= 1, "{:?}", patches.iter().map(|seen| seen.sent).collect::<Vec<_>>());
    }
}

#[test]
fn a_location_may_be_a_path_or_a_url() {
    let image = images::index(Style::Oci, 1, 2, 1, 1000);
    arrives(&image, &[rule("POST", "/blobs/uploads/", Action::Location { host: None })]);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let writing = Proxy::before(&destination);
        let absolute = Action::Location { host: Some(writing.host.clone()) };
        writing.add(rule("POST", "/blobs/uploads/", absolute));
        promote(&source.at("app:v1"), &writing.at("copy:v1")).run().printed(&[line(&writing.at("copy"), &image)]);
        assert_image(&destination, "copy", "v1", &image);
    }
}

#[test]
fn an_upload_may_go_to_another_host_without_the_login() {
    let image = images::image(1, 1, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let (writing, storage) = (Proxy::before(&destination), Proxy::before(&destination));
        let elsewhere = Action::Location { host: Some(storage.host.clone()) };
        writing.add(rule("POST", "/blobs/uploads/", elsewhere));
        // The registry needs no login, but the first response makes the client send its credentials.
        let challenge = Action::Answer {
            status: 401,
            headers: vec![("WWW-Authenticate".to_owned(), "Basic realm=\"test\"".to_owned())],
            body: vec![],
        };
        writing.add(rule("", "/copy/", challenge).times(1));
        promote(&source.at("app:v1"), &writing.at("copy:v1"))
            .docker_config(&crate::support::login(&writing.host, "alice", "pw"))
            .run()
            .printed(&[line(&writing.at("copy"), &image)]);
        assert_eq!(storage.count("PUT", "/blobs/uploads/"), image.blobs.len());
        assert!(storage.log().iter().all(|seen| seen.header("authorization").is_none()));
        assert!(writing.log().iter().any(|seen| seen.header("authorization").is_some()));
    }
}

#[test]
fn an_upload_without_a_location_is_a_clear_error() {
    let image = images::image(1, 1, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let writing =
            Proxy::before(&destination).with(rule("POST", "/blobs/uploads/", Action::AnswerHeader("Location", None)));
        promote(&source.at("app:v1"), &writing.at("copy:v1")).run().failed(1, &["Location"]);
        assert!(!destination.has_manifest("copy", "v1"));
    }
}

#[test]
fn manifests_need_no_location_in_the_response() {
    let image = images::image(1, 1, 1000);
    arrives(&image, &[rule("PUT", "/manifests/", Action::AnswerHeader("Location", None))]);
}

#[test]
fn a_failed_step_cancels_its_upload() {
    let image = images::image(1, 1, 100_000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let reading = Proxy::before(&source).with(rule("GET", "/blobs/", Action::Corrupt(10)));
        let writing = Proxy::before(&destination);
        promote(&reading.at("app:v1"), &writing.at("copy:v1")).args(["--retries", "0"]).run().failed(1, &["sha256:"]);
        assert!(writing.uploaded().is_empty(), "{:#?}", writing.lines());
        let opened = writing.matching("POST", "/blobs/uploads/").iter().filter(|seen| seen.status == 202).count();
        let cancelled = writing.count("DELETE", "/blobs/uploads/");
        assert!(opened == 0 || cancelled > 0, "{opened} opened, {cancelled} cancelled: {:#?}", writing.lines());
    }
}

#[test]
fn blobs_that_are_too_large_at_once_do_not_make_the_chunks_smaller_for_each_other() {
    let image = images::image(1, 12, 1_200_000);
    for writing in arrives(&image, &[rule("", "/blobs/uploads/", Action::LimitBody(1_000_000))]) {
        let patches = writing.matching("PATCH", "/blobs/uploads/");
        let smallest = patches.iter().map(|seen| seen.sent).min();
        assert!(smallest >= Some(500_000), "one halving is enough: {smallest:?}");
    }
}

#[test]
fn an_absurd_minimum_for_chunks_is_an_error_and_no_panic() {
    let image = images::image(1, 1, 50_000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let huge = Some(u64::MAX.to_string());
        let writing = Proxy::before(&destination)
            .with(rule("POST", "/blobs/uploads/", Action::AnswerHeader("OCI-Chunk-Min-Length", huge)))
            .with(rule("", "/blobs/uploads/", Action::LimitBody(8_000)));
        promote(&source.at("app:v1"), &writing.at("copy:v1")).run().failed(1, &["413"]);
        assert!(!destination.has_manifest("copy", "v1"));
    }
}

#[test]
fn a_range_that_no_upload_can_have_is_no_place_to_go_on() {
    let image = images::image(1, 1, 500_000);
    let huge = Action::AnswerHeader("Range", Some(format!("0-{}", u64::MAX)));
    let broken = rule("PUT", "/blobs/uploads/", Action::CutRequest(200_000)).times(1);
    arrives(&image, &[broken, rule("GET", "/blobs/uploads/", huge)]);
}

/// A host that refuses before it has read the body, reads no more, and leaves the connection open.
fn host_that_stops_reading() -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = client.read(&mut [0; 4096]);
                let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
                std::thread::sleep(std::time::Duration::from_secs(100));
            });
        }
    });
    host
}

#[test]
fn a_refusal_in_mid_upload_ends_it_though_nobody_reads_on() {
    let image = images::image(1, 1, 30_000_000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let elsewhere = Action::Location { host: Some(host_that_stops_reading()) };
        let writing = Proxy::before(&destination).with(rule("POST", "/blobs/uploads/", elsewhere));
        promote(&source.at("app:v1"), &writing.at("copy:v1")).run().failed(4, &["403"]);
    }
}

#[test]
fn an_upload_host_that_requests_a_login_gets_none() {
    let image = images::image(1, 1, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let token = Action::Answer { status: 200, headers: vec![], body: br#"{"token":"t"}"#.to_vec() };
        let thief = Proxy::before(&destination).with(rule("", "/token", token));
        let challenge = |realm: &str| Action::Answer {
            status: 401,
            headers: vec![("WWW-Authenticate".to_owned(), format!("Bearer realm=\"http://{realm}/token\""))],
            body: vec![],
        };
        let storage = Proxy::before(&destination).with(rule("", "/blobs/uploads/", challenge(&thief.host)));
        let elsewhere = Action::Location { host: Some(storage.host.clone()) };
        let writing = Proxy::before(&destination).with(rule("POST", "/blobs/uploads/", elsewhere));
        promote(&source.at("app:v1"), &writing.at("copy:v1"))
            .args(["--retries", "1"])
            .docker_config(&crate::support::login(&writing.host, "alice", "pw"))
            .run()
            .failed(4, &["401"]);
        assert!(storage.log().len() > 1, "{:#?}", storage.lines());
        assert!(thief.log().is_empty(), "{:#?}", thief.log());
    }
}
