//! Unreliable registries: what can be retried is retried, and everything else ends with the right status.

use std::time::{Duration, SystemTime};

use super::{line, promote};
use crate::support::{
    Action, Image, Proxy, Registry, Style, assert_image, images, pairs, registries, rule,
    rules::{RETRY_AFTERS, Rule},
};

/// Copies through both proxies, one of which injects a fault, and asserts that the copy succeeds.
fn is_got_over(image: &Image, reading_rules: &[Rule], writing_rules: &[Rule]) -> Vec<(Proxy, Proxy)> {
    let copy = |(source, destination): (Registry, Registry)| {
        image.push(&source, "app", "v1");
        let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
        reading.add_all(reading_rules);
        writing.add_all(writing_rules);
        promote(&reading.at("app:v1"), &writing.at("copy:v1")).run().printed(&[line(&writing.at("copy"), image)]);
        assert_image(&destination, "copy", "v1", image);
        assert!(!reading.met().is_empty() || !writing.met().is_empty(), "no rule met a request");
        (reading, writing)
    };
    pairs().into_iter().map(copy).collect()
}

fn small() -> Image {
    images::index(Style::Oci, 1, 2, 2, 3000)
}

#[test]
fn server_errors_while_reading_are_retried() {
    let once = |path: &str, status: u16| rule("GET", path, Action::answer(status)).times(1);
    is_got_over(&small(), &[once("/manifests/", 500), once("/blobs/", 503)], &[]);
    is_got_over(&small(), &[rule("", "/manifests/v1", Action::answer(502)).times(1)], &[]);
}

#[test]
fn manifests_that_break_off_in_the_middle_are_read_again() {
    let broken = |path: &str| rule("GET", path, Action::CutAnswer(40)).times(1);
    is_got_over(&small(), &[broken("/manifests/v1"), broken("/manifests/sha256:")], &[]);
}

#[test]
fn server_errors_during_existence_checks_are_retried() {
    is_got_over(&small(), &[], &[rule("HEAD", "/manifests/v1", Action::answer(503)).times(2)]);
}

#[test]
fn server_errors_at_the_start_of_an_upload_are_retried() {
    is_got_over(&small(), &[], &[rule("POST", "/blobs/uploads/", Action::answer(500)).times(2)]);
}

#[test]
fn server_errors_at_the_end_of_an_upload_are_retried() {
    is_got_over(&small(), &[], &[rule("PUT", "/blobs/uploads/", Action::answer(502)).times(2)]);
}

#[test]
fn server_errors_while_manifests_are_written_are_retried() {
    is_got_over(&small(), &[], &[rule("PUT", "/manifests/", Action::answer(503)).times(2)]);
}

#[test]
fn a_gateway_error_without_a_body_is_explained() {
    let html = Action::Answer { status: 504, headers: vec![], body: b"<html>Gateway Time-out</html>".to_vec() };
    is_got_over(&small(), &[], &[rule("PUT", "/manifests/", html).times(1)]);
}

#[test]
fn too_many_requests_are_waited_for_in_seconds() {
    let limited = |method, path: &str| rule(method, path, Action::too_many("1")).times(2);
    is_got_over(&small(), &[limited("GET", "/blobs/")], &[]);
    is_got_over(&small(), &[], &[limited("POST", "/blobs/uploads/"), limited("PUT", "/manifests/")]);
}

#[test]
fn too_many_requests_are_waited_for_until_a_date() {
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    is_got_over(&small(), &[rule("GET", "/blobs/", Action::too_many(&soon)).times(1)], &[]);
    let past = "Wed, 21 Oct 2015 07:28:00 GMT";
    is_got_over(&small(), &[rule("GET", "/manifests/", Action::too_many(past)).times(1)], &[]);
}

#[test]
fn a_nonsensical_retry_after_is_ignored() {
    is_got_over(&small(), &[rule("GET", "/manifests/", Action::too_many("soon")).times(1)], &[]);
}

#[test]
fn a_broken_download_resumes() {
    let image = images::image(1, 1, 400_000);
    let layer = &image.blobs[0].digest;
    let broken = rule("GET", &format!("/blobs/{layer}"), Action::CutAnswer(150_000)).times(2);
    for (reading, _) in is_got_over(&image, &[broken], &[]) {
        let tries = reading.matching("GET", &format!("/blobs/{layer}"));
        assert_eq!(tries.len(), 3, "{:#?}", reading.lines());
        assert_eq!(tries[0].header("range"), None);
        for again in &tries[1..] {
            let range = again.header("range").expect("a Range");
            assert!(range.starts_with("bytes=") && range != "bytes=0-", "{range}");
            assert_eq!(again.status, 206);
        }
    }
}

#[test]
fn a_source_that_ignores_ranges_is_read_again() {
    let image = images::image(1, 1, 400_000);
    let path = format!("/blobs/{}", image.blobs[0].digest);
    let rules = [
        rule("GET", &path, Action::CutAnswer(150_000)).times(1),
        rule("GET", &path, Action::RequestHeader("Range", None)),
    ];
    for (reading, _) in is_got_over(&image, &rules, &[]) {
        let tries = reading.matching("GET", &path);
        assert!(tries.len() >= 2 && tries.iter().all(|seen| seen.status == 200), "{:#?}", reading.lines());
    }
}

#[test]
fn a_connection_that_breaks_before_the_response_is_reopened() {
    let lost = |method, path: &str| rule(method, path, Action::LoseAnswer).times(1);
    is_got_over(&small(), &[lost("GET", "/manifests/"), lost("GET", "/blobs/")], &[]);
    is_got_over(&small(), &[], &[lost("HEAD", "/manifests/v1"), lost("POST", "/blobs/uploads/")]);
    is_got_over(&small(), &[], &[lost("PUT", "/manifests/")]);
}

#[test]
fn an_upload_whose_confirmation_was_lost_is_found_complete_or_repeated() {
    is_got_over(&small(), &[], &[rule("PUT", "/blobs/uploads/", Action::LoseAnswer).times(1)]);
}

#[test]
fn a_registry_that_stays_broken_ends_with_6() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let writing = Proxy::before(&destination).with(rule("PUT", "/manifests/", Action::answer(503)));
        promote(&source.at("app:v1"), &writing.at("app:v1"))
            .args(["--retries", "1"])
            .run()
            .failed(6, &[&writing.host, "503"]);
        assert_eq!(writing.count("PUT", "/manifests/"), 2, "one try and one retry: {:#?}", writing.lines());
        assert!(!destination.has_manifest("app", "v1"));
    }
}

#[test]
fn without_retries_nothing_is_repeated() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let reading = Proxy::before(&source).with(rule("GET", "/blobs/", Action::answer(500)));
        promote(&reading.at("app:v1"), &destination.at("app:v1"))
            .args(["--retries", "0", "--jobs", "1"])
            .run()
            .failed(6, &["500"]);
        let mut asked = reading.downloaded();
        asked.sort();
        let count = asked.len();
        asked.dedup();
        assert_eq!(asked.len(), count, "{:#?}", reading.lines());
    }
}

#[test]
fn permanent_errors_are_not_retried() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let refused = Action::error(400, "MANIFEST_INVALID", "not this one");
        let writing = Proxy::before(&destination).with(rule("PUT", "/manifests/", refused));
        promote(&source.at("app:v1"), &writing.at("app:v1"))
            .run()
            .failed(1, &["400", "MANIFEST_INVALID", "not this one"]);
        assert_eq!(writing.count("PUT", "/manifests/"), 1, "{:#?}", writing.lines());
    }
}

#[test]
fn a_host_that_refuses_connections_ends_with_6() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    promote(&format!("{free}/app:v1"), &format!("{free}/copy:v1")).args(["--retries", "1"]).run().failed(6, &[&free]);
}

#[test]
fn a_missing_blob_at_the_source_is_an_error() {
    let image = images::image(1, 2, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let lost = &image.blobs[1].digest;
        source.delete_blob("app", lost);
        let run = promote(&source.at("app:v1"), &destination.at("app:v1")).run();
        assert!(run.status != 0 && run.stderr.contains(lost.as_str()), "{run:?}");
        assert_eq!(run.stdout, "");
        assert!(!destination.has_manifest("app", "v1"));
    }
}

#[test]
fn a_slow_start_is_waited_for() {
    is_got_over(&small(), &[rule("", "/manifests/v1", Action::Stall(Duration::from_secs(1))).times(1)], &[]);
}

#[test]
fn a_pause_holds_for_requests_that_waited_for_their_turn() {
    let image = images::image(1, 5, 500);
    for registry in registries() {
        image.push(&registry, "team/app", "v1");
        let proxy = Proxy::before(&registry).with(rule("POST", "mount=", Action::too_many("1")).times(3));
        let start = std::time::Instant::now();
        promote(&proxy.at("team/app:v1"), &proxy.at("prod/app:v1")).args(["--jobs", "1"]).run().ended(0);
        // Three refusals, each followed by a pause of one second for all requests.
        assert!(start.elapsed() >= std::time::Duration::from_millis(2900), "{:?}", start.elapsed());
    }
}

#[test]
fn every_harmless_retry_after_is_accepted() {
    for text in RETRY_AFTERS {
        let told = |method, path: &str| rule(method, path, Action::too_many(text)).times(1);
        is_got_over(
            &small(),
            &[told("GET", "/blobs/")],
            &[told("POST", "/blobs/uploads/"), told("PUT", "/manifests/")],
        );
    }
}

#[test]
fn a_connection_reset_before_the_request_is_read_is_reopened() {
    let reset = |method, path: &str| rule(method, path, Action::Reset).times(1);
    let (reading, writing) = (["/manifests/", "/blobs/"], ["/blobs/uploads/", "/manifests/"]);
    is_got_over(&small(), &reading.map(|path| reset("GET", path)), &writing.map(|path| reset("PUT", path)));
    is_got_over(&small(), &[], &[reset("POST", "/blobs/uploads/"), reset("HEAD", "/manifests/")]);
}

#[test]
fn corrupted_bytes_are_sent_again() {
    is_got_over(&small(), &[], &[rule("PUT", "/blobs/uploads/", Action::CorruptRequest(20)).times(2)]);
}

#[test]
fn a_write_that_succeeded_despite_an_error_response_is_detected() {
    for path in ["/blobs/uploads/", "/manifests/sha256:", "/manifests/v1"] {
        is_got_over(&small(), &[], &[rule("PUT", path, Action::AnswerStatus(502)).times(2)]);
    }
    is_got_over(&small(), &[], &[rule("POST", "/blobs/uploads/", Action::AnswerStatus(504)).times(2)]);
}

#[test]
fn an_upload_refused_halfway_is_resumed() {
    let image = images::image(1, 1, 2_000_000);
    for status in [401, 500, 503] {
        is_got_over(&image, &[], &[rule("PUT", "/blobs/uploads/", Action::RefuseBody(status)).times(1)]);
    }
}

#[test]
fn bytes_that_arrive_one_by_one_are_waited_for() {
    let slow = Action::Trickle(Duration::from_millis(1));
    is_got_over(&images::image(1, 1, 300), &[rule("GET", "/manifests/v1", slow)], &[]);
}

#[test]
fn a_step_that_waits_for_a_silent_registry_ends_on_a_signal() {
    for registry in registries() {
        let proxy = Proxy::before(&registry).with(rule("", "/app/", Action::Silence));
        let running = promote(&proxy.at("app:v1"), &proxy.at("copy:v1")).start();
        proxy.wait_until_met();
        running.signal("TERM");
        running.wait().failed(143, &["SIGTERM"]);
    }
}

#[test]
fn closed_keep_alive_connections_are_not_failures() {
    let image = small();
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let kept = |method| rule(method, "/v2/", Action::CloseKept);
        let reading = Proxy::before(&source).with(kept("GET"));
        let writing = Proxy::before(&destination).with(kept("HEAD")).with(kept("POST")).with(kept("PUT"));
        // A streamed upload can't be resent at once: it is resumed, which counts as a retry.
        promote(&reading.at("app:v1"), &writing.at("copy:v1")).args(["--retries", "1"]).run().ended(0);
        assert_image(&destination, "copy", "v1", &image);
        writing.reset();
        writing.add(kept("HEAD"));
        promote(&reading.at("app:v1"), &writing.at("copy:v1")).args(["--retries", "0"]).run().ended(0);
    }
}

#[test]
fn a_tag_written_without_a_response_is_found_written() {
    let image = small();
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        for lost in [Action::LoseAnswer, Action::AnswerStatus(503)] {
            let writing = Proxy::before(&destination).with(rule("PUT", "/manifests/v1", lost));
            let run = promote(&source.at("app:v1"), &writing.at("copy:v1")).args(["--retries", "1"]).run();
            let run = run.printed(&[line(&writing.at("copy"), &image)]);
            assert!(run.stderr.contains("but it is done"), "{}", run.stderr);
            assert_image(&destination, "copy", "v1", &image);
            destination.delete_manifest("copy", image.digest());
        }
    }
}

#[test]
fn a_tag_that_could_not_be_written_is_reported_as_unchanged() {
    let (old, new) = (images::image(1, 1, 100), images::image(2, 1, 100));
    for (source, destination) in pairs() {
        new.push(&source, "app", "v1");
        old.push(&destination, "copy", "v1");
        let writing = Proxy::before(&destination).with(rule("PUT", "/manifests/v1", Action::Reset));
        promote(&source.at("app:v1"), &writing.at("copy:v1"))
            .args(["--retries", "1"])
            .run()
            .failed(6, &[&format!("v1 now points to {}", old.digest()), "has answered before"]);
        assert_image(&destination, "copy", "v1", &old);
    }
}

#[test]
fn one_retry_budget_covers_all_requests_for_a_blob() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let writing = Proxy::before(&destination);
        for method in ["PUT", "GET"] {
            writing.add(rule(method, "/blobs/uploads/", Action::answer(503)));
        }
        promote(&source.at("app:v1"), &writing.at("copy:v1")).args(["--retries", "2"]).run().failed(6, &["503"]);
        // A blob and a config: the first attempt of each, and two more of either.
        let tries = writing.count("PUT", "/blobs/uploads/") + writing.count("GET", "/blobs/uploads/");
        assert!(tries <= 8, "{tries}: {:#?}", writing.lines());
    }
}

#[test]
fn a_pause_that_nobody_waits_for_is_told() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let reading = Proxy::before(&source).with(rule("GET", "/manifests/", Action::too_many("99999")));
        promote(&reading.at("app:v1"), &destination.at("copy:v1")).run().failed(6, &["429", "27 h 46 min"]);
        assert_eq!(reading.count("GET", ""), 1);
    }
}

#[test]
fn permanent_refusals_are_reported_with_a_hint() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        for (number, (path, status, code, exit, word)) in [
            ("/manifests/v1", 409, "CONFLICT", 1, "immutable"),
            ("/blobs/uploads/", 507, "UNKNOWN", 1, "no space left"),
            ("/blobs/uploads/", 404, "BLOB_UPLOAD_UNKNOWN", 6, "forgotten"),
            ("/blobs/uploads/", 404, "NAME_UNKNOWN", 1, "created first"),
        ]
        .into_iter()
        .enumerate()
        {
            let writing = Proxy::before(&destination).with(rule("PUT", path, Action::error(status, code, "no")));
            promote(&source.at("app:v1"), &writing.at(&format!("copy{number}:v1")))
                .args(["--retries", "1"])
                .run()
                .failed(exit, &[&status.to_string(), word]);
        }
        let gone = Action::error(404, "BLOB_UNKNOWN", "no");
        let reading = Proxy::before(&source).with(rule("GET", "/blobs/", gone));
        promote(&reading.at("app:v1"), &destination.at("copy:v1")).run().failed(1, &["404", "the source is damaged"]);
        let writing = Proxy::before(&destination).with(rule("PUT", "/blobs/uploads/", Action::Reset));
        let run = promote(&source.at("app:v1"), &writing.at("copy:v1")).args(["--retries", "1"]).run();
        let run = run.failed(6, &["PUT blob ", &writing.at("copy"), "has answered before"]);
        assert!(!run.stderr.contains("_state"), "{}", run.stderr);
    }
}
