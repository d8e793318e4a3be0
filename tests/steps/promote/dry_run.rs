//! `--dry-run` prints what would be done, and writes nothing.

use super::{line, promote};
use crate::support::{Proxy, Style, images, pairs, registries};

#[test]
fn a_dry_run_asks_and_writes_nothing() {
    let image = images::index(Style::Oci, 1, 2, 2, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
        let run = promote(&reading.at("app:v1"), &writing.at("copy:v1"))
            .args(["--dry-run", "--output", "json"])
            .run()
            .ended(0);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        assert!(reading.downloaded().iter().all(|digest| is_config(&image, digest)), "{:#?}", reading.lines());
        assert!(!destination.has_manifest("copy", "v1"));
        let report = run.json();
        assert_eq!(report["dryRun"], true);
        assert_eq!(report["digest"], image.digest());
        assert_eq!(report["destinations"][0]["state"], "planned");
        let actions = actions(&report["destinations"][0]["blobs"]);
        assert_eq!(actions, vec!["sent"; image.blobs.len()]);
        assert_eq!(report["totals"]["sentBytes"], image.size());
    }
}

fn is_config(image: &images::Image, digest: &str) -> bool {
    image.blobs.iter().any(|blob| blob.digest == digest && blob.media_type == images::OCI_CONFIG)
}

fn actions(list: &serde_json::Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_dry_run_prints_the_line_of_the_real_run() {
    let image = images::image(1, 2, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let step = || promote(&source.at("app:v1"), &destination.at("app:v1"));
        step().args(["--dry-run=true"]).run().printed(&[line(&destination.at("app"), &image)]);
        assert!(!destination.has_manifest("app", "v1"));
        step().args(["--dry-run=false"]).run().printed(&[line(&destination.at("app"), &image)]);
        assert!(destination.has_manifest("app", "v1"));
    }
}

#[test]
fn a_dry_run_distinguishes_existing_from_missing_content() {
    let image = images::image(1, 4, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        for blob in &image.blobs[..2] {
            destination.put_blob("copy", blob);
        }
        let writing = Proxy::before(&destination);
        let run = promote(&source.at("app:v1"), &writing.at("copy:v1"))
            .args(["--dry-run", "--output", "json"])
            .run()
            .ended(0);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        let report = run.json();
        let mut actions = actions(&report["destinations"][0]["blobs"]);
        actions.sort();
        assert_eq!(actions, ["present", "present", "sent", "sent", "sent"]);
        assert_eq!(report["totals"]["presentBytes"], 2000);
    }
}

#[test]
fn a_dry_run_within_a_registry_reports_mounts() {
    let image = images::image(1, 2, 1000);
    for registry in registries() {
        image.push(&registry, "team/app", "v1");
        let proxy = Proxy::before(&registry);
        let run = promote(&proxy.at("team/app:v1"), &proxy.at("prod/app:v1"))
            .args(["--dry-run", "--output", "json"])
            .run()
            .ended(0);
        assert!(proxy.writes().is_empty(), "{:#?}", proxy.lines());
        let report = run.json();
        assert_eq!(actions(&report["destinations"][0]["blobs"]), vec!["mounted"; image.blobs.len()]);
    }
}

#[test]
fn a_dry_run_without_json_reports_on_stderr() {
    let image = images::image(1, 2, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let run = promote(&source.at("app:v1"), &destination.at("app:v1")).args(["--dry-run"]).run().ended(0);
        assert!(run.stderr.contains("would"), "{}", run.stderr);
    }
}

#[test]
fn a_dry_run_finds_that_a_source_is_missing() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let writing = Proxy::before(&destination);
        promote(&source.at("app:no-such"), &writing.at("app:v1")).args(["--dry-run"]).run().failed(5, &["app:no-such"]);
        assert!(writing.writes().is_empty());
    }
}
