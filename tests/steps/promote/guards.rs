//! Guards: what the user rules out isn't done, and nothing at all is written.

use super::{line, promote};
use crate::support::{Action, Image, Proxy, Registry, assert_image, images, pairs, registries, rule};

/// A new image at the source, and an old one under the same tag at the destination.
fn old_and_new() -> Vec<(Registry, Registry, Image, Image)> {
    let (old, new) = (images::image(1, 2, 500), images::image(2, 2, 500));
    let prepare = |(source, destination): (Registry, Registry)| {
        new.push(&source, "app", "v1");
        old.push(&destination, "app", "v1");
        (source, destination, old.clone(), new.clone())
    };
    pairs().into_iter().map(prepare).collect()
}

#[test]
fn if_exists_fail_keeps_the_tag_and_ends_with_3() {
    for (source, destination, old, _) in old_and_new() {
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("app:v1"))
            .args(["--if-exists", "fail"])
            .run()
            .failed(3, &[&writing.at("app:v1"), old.digest(), "--if-exists overwrite"]);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        assert_image(&destination, "app", "v1", &old);
    }
}

#[test]
fn if_exists_skip_keeps_the_tag_and_reports_its_image() {
    for (source, destination, old, _) in old_and_new() {
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("app:v1"))
            .args(["--if-exists", "skip"])
            .run()
            .printed(&[line(&writing.at("app"), &old)]);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        assert_image(&destination, "app", "v1", &old);
    }
}

#[test]
fn if_exists_overwrite_moves_the_tag() {
    for (source, destination, _, new) in old_and_new() {
        promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--if-exists=overwrite"])
            .run()
            .printed(&[line(&destination.at("app"), &new)]);
        assert_image(&destination, "app", "v1", &new);
    }
}

#[test]
fn if_exists_matters_only_where_something_else_exists() {
    let image = images::image(1, 2, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        for wish in ["fail", "fail", "skip"] {
            promote(&source.at("app:v1"), &destination.at("app:v1"))
                .args(["--if-exists", wish])
                .run()
                .printed(&[line(&destination.at("app"), &image)]);
            assert_image(&destination, "app", "v1", &image);
        }
    }
}

#[test]
fn one_guarded_destination_of_two_stops_both() {
    for (source, destination, old, _) in old_and_new() {
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("other:v1"))
            .args(["--to", &writing.at("app:v1"), "--if-exists", "fail"])
            .run()
            .failed(3, &[&writing.at("app:v1")]);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        assert!(!destination.has_manifest("other", "v1"));
        assert_image(&destination, "app", "v1", &old);
    }
}

#[test]
fn a_guarded_additional_tag_stops_the_step() {
    for (source, destination, old, _) in old_and_new() {
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("app:v2"))
            .args(["--tags", "v1", "--if-exists", "fail"])
            .run()
            .failed(3, &["v1"]);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        assert_image(&destination, "app", "v1", &old);
    }
}

#[test]
fn an_expected_digest_that_matches_lets_the_step_continue() {
    for (source, destination, _, new) in old_and_new() {
        promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--expect-digest", new.digest()])
            .run()
            .printed(&[line(&destination.at("app"), &new)]);
        assert_image(&destination, "app", "v1", &new);
    }
}

#[test]
fn an_expected_digest_that_differs_ends_with_3() {
    for (source, destination, old, new) in old_and_new() {
        let writing = Proxy::before(&destination);
        promote(&source.at("app:v1"), &writing.at("app:v1"))
            .args(["--expect-digest", old.digest()])
            .run()
            .failed(3, &[old.digest(), new.digest()]);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        assert_image(&destination, "app", "v1", &old);
    }
}

#[test]
fn a_tag_with_a_digest_is_checked_on_request() {
    let (one, other) = (images::image(1, 1, 500), images::image(2, 1, 500));
    for (source, destination) in pairs() {
        one.push(&source, "app", "v1");
        other.push(&source, "app", "v2");
        let named = |tag: &str| format!("{}@{}", source.at(&format!("app:{tag}")), one.digest());
        promote(&named("v1"), &destination.at("app:v1"))
            .args(["--check-tag"])
            .run()
            .printed(&[line(&destination.at("app"), &one)]);
        promote(&named("v2"), &destination.at("app:v2"))
            .args(["--check-tag"])
            .run()
            .failed(3, &[one.digest(), other.digest()]);
        assert!(!destination.has_manifest("app", "v2"));
        promote(&named("v2"), &destination.at("app:v2")).run().printed(&[line(&destination.at("app"), &one)]);
    }
}

#[test]
fn a_digest_after_any_repository_name_is_a_guard() {
    for (source, destination, old, new) in old_and_new() {
        let writing = Proxy::before(&destination);
        for second in [format!("app@{}", old.digest()), format!("app:v2@{}", old.digest())] {
            promote(&source.at("app:v1"), &writing.at("app:v1"))
                .args([writing.at(&second)])
                .run()
                .failed(3, &[old.digest(), new.digest()]);
        }
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
        assert_image(&destination, "app", "v1", &old);
    }
}

#[test]
fn reports_about_skipped_tags_leave_out_the_written_tag() {
    for (source, destination, old, new) in old_and_new() {
        let run = promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--tags", "v2", "--if-exists", "skip", "--output", "json"])
            .run()
            .ended(0);
        assert_image(&destination, "app", "v1", &old);
        assert_image(&destination, "app", "v2", &new);
        let told = &run.json()["destinations"][0];
        assert_eq!(told["reference"], destination.at("app:v2"), "v1 names another image");
        assert_eq!(told["tags"], serde_json::json!(["v2"]));
    }
}

#[test]
fn a_missing_source_is_reported_before_a_refusing_destination() {
    for source in registries() {
        let destination = Proxy::before(&source).with(rule("HEAD", "/manifests/", Action::answer(401)));
        let run = promote(&source.at("app:no-such"), &destination.at("copy:v1")).args(["--retries", "0"]).run();
        run.failed(5, &["app:no-such"]);
    }
}
