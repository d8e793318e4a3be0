//! A second run, `--if-exists`, `--dry-run`, and the order of writes.

use super::{image_for, index, written};
use crate::support::{Action, Image, Proxy, Registry, Style, pairs, registries, rule};

fn push_two(registry: &Registry) -> [Image; 2] {
    let two = [image_for(Style::Oci, "linux/amd64", 1), image_for(Style::Oci, "linux/arm64", 2)];
    two[0].push(registry, "amd", "v1");
    two[1].push(registry, "arm", "v1");
    two
}

#[test]
fn a_second_run_sends_nothing_and_answers_the_same() {
    for (source, destination) in pairs() {
        push_two(&source);
        let writing = Proxy::before(&destination);
        let run =
            || index(&[source.at("amd:v1"), source.at("arm:v1")], &writing.at("app:v1")).args(["--tags", "x"]).run();
        let first = run().ended(0).stdout;
        writing.reset();
        assert_eq!(run().ended(0).stdout, first);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        assert_eq!(writing.log().len(), 2, "one look at each tag: {:#?}", writing.lines());
    }
}

#[test]
fn children_come_before_the_index_and_tags_come_last() {
    for (source, destination) in pairs() {
        let two = push_two(&source);
        let writing = Proxy::before(&destination);
        index(&[source.at("amd:v1"), source.at("arm:v1")], &writing.at("app:v1")).args(["--tags", "x"]).run().ended(0);
        let put = writing.matching("PUT", "/manifests/");
        let names: Vec<&str> = put.iter().map(|seen| seen.target.rsplit('/').next().unwrap()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(two.iter().all(|image| names[..2].contains(&image.digest())), "{names:?}");
        assert!(names[2..].contains(&"v1") && names[2..].contains(&"x"), "{names:?}");
        assert_eq!(writing.uploaded().len(), 6, "{:#?}", writing.lines());
    }
}

#[test]
fn a_child_that_cannot_be_read_leaves_the_tag_unchanged() {
    for (source, destination) in pairs() {
        let two = push_two(&source);
        source.delete_blob("arm", &two[1].blobs[0].digest);
        index(&[source.at("amd:v1"), source.at("arm:v1")], &destination.at("app:v1")).run().failed(1, &[]);
        assert!(!destination.has_manifest("app", "v1"));
    }
}

#[test]
fn an_existing_tag_can_be_kept() {
    for registry in registries() {
        let two = push_two(&registry);
        two[0].push(&registry, "app", "v1");
        let step = |what: &str| {
            index(&[registry.at("amd:v1"), registry.at("arm:v1")], &registry.at("app:v1"))
                .args(["--if-exists", what])
                .run()
        };
        step("fail").failed(3, &["app:v1", two[0].digest()]);
        step("skip").printed(&[format!("{}@{}", registry.at("app"), two[0].digest())]);
        crate::support::assert_image(&registry, "app", "v1", &two[0]);
        let run = step("overwrite").ended(0);
        written(&run, &registry, "app", "v1");
        assert_eq!(step("fail").ended(0).stdout, run.stdout);
    }
}

#[test]
fn a_dry_run_prints_the_line_of_the_real_run_and_writes_nothing() {
    for (source, destination) in pairs() {
        push_two(&source);
        let writing = Proxy::before(&destination);
        let step = |more: &[&str]| {
            index(&[source.at("amd:v1"), source.at("arm:v1")], &writing.at("app:v1")).args(more).run().ended(0)
        };
        let plan = step(&["--dry-run"]);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        assert!(plan.stderr.contains("would send"), "{}", plan.stderr);
        let report = step(&["--dry-run", "--output", "json"]).json();
        assert_eq!(report["destinations"][0]["state"], "planned");
        assert_eq!(report["destinations"][0]["blobs"].as_array().unwrap().len(), 6);
        assert_eq!(step(&[]).stdout, plan.stdout);
    }
}

#[test]
fn a_destination_that_refuses_is_named() {
    for (source, destination) in pairs() {
        push_two(&source);
        let writing =
            Proxy::before(&destination).with(rule("PUT", "/manifests/v1", Action::error(403, "DENIED", "not today")));
        index(&[source.at("amd:v1"), source.at("arm:v1")], &writing.at("app:v1")).run().failed(4, &["not today"]);
    }
}
