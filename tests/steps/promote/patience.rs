//! Slow or silent peers: nothing blocks a step forever, and nothing delays its end.

use std::time::{Duration, Instant};

use super::promote;
use crate::support::{Action, Proxy, assert_image, images, pairs, registries, rule};

/// Far more than it takes, and far less than it used to take.
const SOON: Duration = Duration::from_secs(25);

#[test]
fn a_silent_registry_times_out() {
    for registry in registries() {
        let proxy = Proxy::before(&registry).with(rule("", "/app/", Action::Silence));
        let begun = Instant::now();
        let step = || promote(&proxy.at("app:v1"), &proxy.at("copy:v1"));
        step().args(["--timeout", "2s"]).run().failed(6, &["not done within 2s", "--timeout"]);
        step().env("IMGSTEP_TIMEOUT", "1s").run().failed(6, &["not done within 1s"]);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
}

#[test]
fn a_timeout_does_not_hit_a_quick_step_and_nonsense_is_refused() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1")).args(["--timeout", "1h30m"]).run().ended(0);
        assert_image(&destination, "app", "v1", &image);
    }
    promote("localhost:1/a:v1", "localhost:1/b:v1").args(["--timeout", "soon"]).run().failed(2, &[]);
}

#[test]
fn uploads_are_cancelled_after_the_timeout() {
    let (old, new) = (images::image(1, 1, 100), images::image(2, 1, 200_000));
    for (source, destination) in pairs() {
        new.push(&source, "app", "v1");
        old.push(&destination, "app", "v1");
        let stall = Action::StallAnswer(100_000, Duration::from_secs(40));
        let reading = Proxy::before(&source).with(rule("GET", &format!("/blobs/{}", new.blobs[0].digest), stall));
        let writing = Proxy::before(&destination);
        promote(&reading.at("app:v1"), &writing.at("app:v1")).args(["--timeout", "3s"]).run().failed(6, &["3s"]);
        assert!(writing.count("DELETE", "/blobs/uploads/") > 0, "{:#?}", writing.lines());
        assert_image(&destination, "app", "v1", &old);
    }
}

#[test]
fn a_registry_without_cancellation_does_not_delay_the_end() {
    let image = images::image(1, 1, 100_000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        for answer in [Action::too_many("60"), Action::answer(503), Action::Silence] {
            let writing = Proxy::before(&destination);
            writing.add(rule("PUT", "/blobs/uploads/", Action::error(400, "SIZE_INVALID", "no")));
            writing.add(rule("DELETE", "/blobs/uploads/", answer));
            let begun = Instant::now();
            promote(&source.at("app:v1"), &writing.at("app:v1")).run().failed(1, &["400", "SIZE_INVALID"]);
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            let cancelled = writing.matching("DELETE", "/blobs/uploads/");
            let mut sessions: Vec<&str> = cancelled.iter().map(|seen| seen.target.split('?').next().unwrap()).collect();
            sessions.sort_unstable();
            sessions.dedup();
            assert_eq!(sessions.len(), cancelled.len(), "each is cancelled once: {:#?}", writing.lines());
        }
    }
}

#[test]
fn server_errors_at_mounts_cost_two_attempts() {
    let image = images::image(1, 2, 1000);
    for registry in registries() {
        image.push(&registry, "team/app", "v1");
        let proxy = Proxy::before(&registry).with(rule("POST", "mount=", Action::answer(500)));
        promote(&proxy.at("team/app:v1"), &proxy.at("prod/app:v1")).run().ended(0);
        assert_image(&registry, "prod/app", "v1", &image);
        for blob in &image.blobs {
            let mounts = proxy.count("POST", &format!("mount={}", blob.digest));
            assert!(mounts <= 2, "{mounts}: {:#?}", proxy.lines());
        }
    }
}
