//! Registries that return wrong data, by accident or not: nothing wrong is passed on, and nothing they send can harm a
//! log.

use super::{line, promote};
use crate::support::{Action, Image, Proxy, Style, images, imgstep, pairs, registries, rule};

/// Asserts that no tag and no manifest was written under `copy`.
fn nothing_is_there(destination: &crate::support::Registry, image: &Image) {
    assert!(!destination.has_manifest("copy", "v1"));
    assert!(!destination.has_manifest("copy", image.digest()));
}

#[test]
fn a_corrupted_blob_is_refused_and_no_tag_is_written() {
    let image = images::index(Style::Oci, 1, 2, 2, 50_000);
    let victim = &image.blobs[1].digest;
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let reading = Proxy::before(&source).with(rule("GET", &format!("/blobs/{victim}"), Action::Corrupt(40_000)));
        let writing = Proxy::before(&destination);
        promote(&reading.at("app:v1"), &writing.at("copy:v1")).run().failed(1, &[victim]);
        nothing_is_there(&destination, &image);
        assert!(!destination.has_blob("copy", victim));
        assert!(!writing.uploaded().contains(victim), "its upload was never completed: {:#?}", writing.lines());
    }
}

#[test]
fn a_corrupted_blob_is_read_again_over_another_connection() {
    let image = images::image(1, 1, 50_000);
    let path = format!("/blobs/{}", image.blobs[0].digest);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        for wrong in [Action::Corrupt(10), Action::Corrupt(49_999), Action::Shorten(1000), Action::html()] {
            let reading = Proxy::before(&source).with(rule("GET", &path, wrong.clone()).times(2));
            let folder = crate::support::Folder::new();
            let layout = format!("oci:{}:v1", folder.join("to").display());
            imgstep(["promote", &reading.at("app:v1"), &destination.at("copy:v1"), &destination.at("b:v1"), &layout])
                .run()
                .ended(0);
            crate::support::assert_image(&destination, "copy", "v1", &image);
            crate::support::assert_image(&destination, "b", "v1", &image);
            crate::support::layout::assert_image(&folder.join("to"), "v1", &image);
            if matches!(wrong, Action::Corrupt(_)) {
                let tries = reading.matching("GET", &path);
                assert_eq!(tries.len(), 3, "{:#?}", reading.lines());
                assert!(tries[1..].iter().all(|seen| seen.header("cache-control") == Some("no-cache")));
                let mut connections: Vec<usize> = tries.iter().map(|seen| seen.connection).collect();
                connections.dedup();
                assert_eq!(connections.len(), 3, "{connections:?}");
            }
            for repository in ["copy", "b"] {
                destination.delete_manifest(repository, image.digest());
                destination.delete_blob(repository, &image.blobs[0].digest);
            }
        }
    }
}

#[test]
fn a_corrupted_manifest_is_read_again() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    let child = format!("/manifests/{}", image.manifests[1].digest);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        for wrong in [Action::Corrupt(40), Action::Shorten(100), Action::html()] {
            let reading = Proxy::before(&source);
            reading.add(rule("GET", "/manifests/v1", wrong.clone()).times(2));
            reading.add(rule("GET", &child, wrong).times(2));
            promote(&reading.at("app:v1"), &destination.at("copy:v1")).args(["--repair"]).run().ended(0);
            crate::support::assert_image(&destination, "copy", "v1", &image);
            assert!(reading.count("GET", "/manifests/v1") == 3 && reading.count("GET", &child) == 3);
        }
    }
}

#[test]
fn bytes_wrong_in_one_way_are_damaged_at_the_source_and_in_several_ways_on_the_network() {
    let image = images::index(Style::Oci, 1, 1, 1, 50_000);
    let paths = [format!("/blobs/{}", image.blobs[0].digest), format!("/manifests/{}", image.manifests[0].digest)];
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        for path in &paths {
            let reading = Proxy::before(&source).with(rule("GET", path, Action::Corrupt(10)));
            let step = || promote(&reading.at("app:v1"), &destination.at("copy:v1"));
            step().run().failed(1, &["read 3 times", "damaged"]);
            reading.reset();
            for skip in 0..3 {
                reading.add(rule("GET", path, Action::Corrupt(10 + skip as u64)).skip(skip).times(1));
            }
            step().run().failed(6, &["read 3 times", "came differently"]);
            nothing_is_there(&destination, &image);
        }
    }
}

#[test]
fn a_layer_found_corrupted_when_resuming_is_read_again() {
    let image = images::image(1, 1, 2_000_000);
    let path = format!("/blobs/{}", image.blobs[0].digest);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let reading = Proxy::before(&source).with(rule("GET", &path, Action::Corrupt(1_999_990)).skip(1).times(1));
        let writing = Proxy::before(&destination);
        writing.add(rule("PUT", "/blobs/uploads/", Action::CutRequest(500_000)).times(2));
        promote(&reading.at("app:v1"), &writing.at("copy:v1")).run().ended(0);
        crate::support::assert_image(&destination, "copy", "v1", &image);
    }
}

#[test]
fn a_blob_that_is_too_short_or_too_long_is_refused() {
    let image = images::image(1, 1, 50_000);
    let victim = image.blobs[0].clone();
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let mut longer = victim.bytes.clone();
        longer.push(0);
        let sent = |body| Action::Answer { status: 200, headers: vec![], body };
        let cut = |length| Action::Shorten(length);
        for other in [sent(longer), sent(victim.bytes[..1000].to_vec()), sent(vec![]), cut(0), Action::html()] {
            let reading = Proxy::before(&source).with(rule("GET", &format!("/blobs/{}", victim.digest), other));
            promote(&reading.at("app:v1"), &destination.at("copy:v1")).run().failed(1, &[&victim.digest]);
            nothing_is_there(&destination, &image);
            assert!(!destination.has_blob("copy", &victim.digest));
        }
    }
}

#[test]
fn a_corrupted_manifest_is_refused() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    let child = &image.manifests[1].digest;
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let reading = Proxy::before(&source).with(rule("GET", &format!("/manifests/{child}"), Action::Corrupt(40)));
        promote(&reading.at("app:v1"), &destination.at("copy:v1")).run().failed(1, &[child]);
        nothing_is_there(&destination, &image);
        // A tag's digest comes from the registry's header, and the bytes are checked against it.
        let reading = Proxy::before(&source).with(rule("GET", "/manifests/", Action::Corrupt(40)));
        promote(&reading.at("app:v1"), &destination.at("copy:v1")).run().failed(1, &["sha256:"]);
        nothing_is_there(&destination, &image);
    }
}

#[test]
fn a_wrong_digest_in_the_header_of_a_source_is_refused() {
    let image = images::image(1, 1, 500);
    let wrong = images::sha256(b"something else");
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let lie = Action::AnswerHeader("Docker-Content-Digest", Some(wrong.clone()));
        let reading = Proxy::before(&source).with(rule("", "/manifests/", lie));
        promote(&reading.at("app:v1"), &destination.at("copy:v1")).run().failed(1, &[&wrong]);
        nothing_is_there(&destination, &image);
    }
}

#[test]
fn asked_by_digest_the_bytes_prove_themselves() {
    let image = images::image(1, 1, 500);
    let wrong = images::sha256(b"something else");
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let lie = Action::AnswerHeader("Docker-Content-Digest", Some(wrong.clone()));
        let reading = Proxy::before(&source).with(rule("", "/manifests/", lie));
        let by_digest = reading.at(&format!("app@{}", image.digest()));
        let run =
            promote(&by_digest, &destination.at("copy:v1")).run().printed(&[line(&destination.at("copy"), &image)]);
        assert!(run.stderr.contains("Docker-Content-Digest says") && run.stderr.contains(&wrong), "{}", run.stderr);
        crate::support::assert_image(&destination, "copy", "v1", &image);
    }
}

#[test]
fn a_wrong_digest_in_the_response_to_a_write_is_checked() {
    let image = images::image(1, 1, 500);
    let wrong = images::sha256(b"something else");
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let lie = Action::AnswerHeader("Docker-Content-Digest", Some(wrong.clone()));
        let writing = Proxy::before(&destination).with(rule("PUT", "", lie.clone()));
        let run = promote(&source.at("app:v1"), &writing.at("copy:v1")).run();
        let run = run.printed(&[line(&writing.at("copy"), &image)]);
        assert!(run.stderr.contains(&wrong) && run.stderr.contains("is there"), "{}", run.stderr);
        crate::support::assert_image(&destination, "copy", "v1", &image);
        // Nothing was written at all here.
        let headers = vec![("Docker-Content-Digest".to_owned(), wrong.clone())];
        let swallowed = Action::Answer { status: 201, headers, body: vec![] };
        let writing = Proxy::before(&destination).with(rule("PUT", "/manifests/v2", swallowed));
        promote(&source.at("app:v1"), &writing.at("copy:v2"))
            .run()
            .failed(1, &[&wrong, image.digest(), "v2 does not exist, it was not written"]);
    }
}

#[test]
fn a_missing_digest_header_is_accepted() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let silent = || rule("", "/v2/", Action::AnswerHeader("Docker-Content-Digest", None));
        let (reading, writing) = (Proxy::before(&source).with(silent()), Proxy::before(&destination).with(silent()));
        for _ in 0..2 {
            promote(&reading.at("app:v1"), &writing.at("copy:v1")).run().printed(&[line(&writing.at("copy"), &image)]);
            crate::support::assert_image(&destination, "copy", "v1", &image);
        }
    }
}

#[test]
fn an_image_with_another_digest_than_requested_is_refused() {
    let (meant, other) = (images::image(1, 1, 500), images::image(2, 1, 500));
    for (source, destination) in pairs() {
        meant.push(&source, "app", "v1");
        let swap = Action::Answer {
            status: 200,
            headers: vec![
                ("Content-Type".to_owned(), images::OCI_MANIFEST.to_owned()),
                ("Docker-Content-Digest".to_owned(), meant.digest().to_owned()),
            ],
            body: other.root().bytes.clone(),
        };
        let reading = Proxy::before(&source).with(rule("GET", "/manifests/", swap));
        let by_digest = reading.at(&format!("app@{}", meant.digest()));
        promote(&by_digest, &destination.at("copy:v1")).run().failed(1, &[meant.digest(), other.digest()]);
        nothing_is_there(&destination, &meant);
    }
}

#[test]
fn a_manifest_over_4_mib_is_refused_and_the_limit_can_be_raised() {
    let text = format!("{{\"schemaVersion\":7,\"note\":\"{}\"}}", "x".repeat(5 << 20));
    let large = images::Content::new("application/vnd.example.large+json", text.into_bytes());
    let folder = crate::support::Folder::new();
    let image = Image { manifests: vec![large], ..Image::default() };
    crate::support::layout::write(&folder.join("from"), &[("v1", &image)]);
    let from = format!("oci:{}:v1", folder.join("from").display());
    let to = format!("oci:{}", folder.join("to").display());
    promote(&from, &format!("{to}:v1")).run().failed(1, &["4194304", "--max-manifest-size"]);
    promote(&from, &format!("{to}:v1")).args(["--max-manifest-size", "6000000"]).run().printed(&[line(&to, &image)]);
    crate::support::layout::assert_image(&folder.join("to"), "v1", &image);
}

#[test]
fn an_endless_manifest_is_cut_off() {
    let image = images::image(1, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let endless = Action::Answer {
            status: 200,
            headers: vec![("Content-Type".to_owned(), images::OCI_MANIFEST.to_owned())],
            body: vec![b' '; 6 << 20],
        };
        let reading = Proxy::before(&source).with(rule("GET", "/manifests/", endless));
        promote(&reading.at("app:v1"), &destination.at("copy:v1")).run().failed(1, &["4194304"]);
        nothing_is_there(&destination, &image);
    }
}

#[test]
fn hostile_words_are_escaped() {
    let hostile = "no\n::set-output name=digest::evil\r\n\u{1b}[2J\u{202e}gpj";
    for registry in registries() {
        let json = Action::error(403, "DENIED\n::error::x", hostile);
        let plain = Action::Answer { status: 403, headers: vec![], body: hostile.as_bytes().to_vec() };
        for action in [json, plain] {
            let proxy = Proxy::before(&registry).with(rule("", "/app/", action));
            let run = promote(&proxy.at("app:v1"), &proxy.at("copy:v1")).args(["-v"]).run().failed(4, &["403"]);
            for line in run.stderr.lines() {
                assert!(!line.trim_start().starts_with("::"), "a workflow command: {}", run.stderr);
            }
            let bad = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
            assert!(!run.stderr.contains(bad), "{:?}", run.stderr);
        }
    }
}

#[test]
fn hostile_headers_are_escaped() {
    let image = images::image(1, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let lie = Action::AnswerHeader("Docker-Content-Digest", Some("sha256:\u{9b}2J::set-output".to_owned()));
        let reading = Proxy::before(&source).with(rule("", "/manifests/", lie));
        let run = promote(&reading.at("app:v1"), &destination.at("copy:v1")).args(["-v"]).run();
        assert!(run.stderr.chars().all(|letter| !letter.is_control() || letter == '\n'), "{:?}", run.stderr);
    }
}

#[test]
fn an_index_that_contains_itself_or_too_much_nesting_does_not_hang() {
    // An index can't contain its own digest, but a registry can serve a deep chain of indexes for a child's digest.
    let mut image = images::image(1, 1, 100);
    for _ in 0..40 {
        image = images::index_of(Style::Oci, vec![(image, serde_json::json!({}))]);
    }
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let run = promote(&source.at("app:v1"), &destination.at("copy:v1")).run();
        if run.status == 0 {
            crate::support::assert_image(&destination, "copy", "v1", &image);
        } else {
            run.failed(1, &["sha256:"]);
            nothing_is_there(&destination, &image);
        }
    }
}
