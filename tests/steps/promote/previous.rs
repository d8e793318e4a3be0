//! The image that a moved tag pointed to before, which is the way back; and that all tags are reported.

use serde_json::json;

use super::{line, promote};
use crate::support::{Folder, Proxy, images, json_schema, pairs};

#[test]
fn a_moved_tag_is_reported_with_its_old_image() {
    let (old, older, new) = (images::image(1, 1, 100), images::image(2, 1, 100), images::image(3, 1, 100));
    for (source, destination) in pairs() {
        new.push(&source, "app", "v2");
        old.push(&destination, "app", "v1");
        older.push(&destination, "app", "stable");
        new.push(&destination, "app", "same");
        let writing = Proxy::before(&destination);
        let step = promote(&source.at("app:v2"), &writing.at("app:v1"));
        let step = step.args(["--tags", "stable", "same", "fresh", "--output", "json"]);
        let run = step.run().ended(0);
        let report = run.json();
        json_schema::assert_valid("docs/report.schema.json", &report);
        assert_eq!(
            report["destinations"][0]["previous"],
            json!([{"tag": "v1", "digest": old.digest()}, {"tag": "stable", "digest": older.digest()}])
        );
        let name = writing.at("app");
        for told in [format!("{name}:v1 was {}\n", old.digest()), format!("{name}:stable was {}\n", older.digest())] {
            assert!(run.stderr.contains(&told), "{}", run.stderr);
        }
        // It cost no extra request: each tag is read once, as before.
        let asked = writing.log().iter().filter(|seen| seen.is("HEAD", "/app/manifests/")).count();
        assert_eq!(asked, 4, "{:#?}", writing.lines());

        let way_back = format!("{name}@{}", old.digest());
        promote(&way_back, &writing.at("app:v1")).run().printed(&[line(&name, &old)]);
    }
}

#[test]
fn unmoved_tags_have_no_previous_image() {
    let (old, new) = (images::image(1, 1, 100), images::image(2, 1, 100));
    for (source, destination) in pairs() {
        new.push(&source, "app", "v2");
        old.push(&destination, "app", "kept");
        for words in [&["--if-exists", "skip"][..], &["--tags", "fresh", "--if-exists", "skip"]] {
            let step = promote(&source.at("app:v2"), &destination.at("app:kept")).args(words);
            let run = step.args(["--output=json"]).run().ended(0);
            assert_eq!(run.json()["destinations"][0].get("previous"), None);
            assert!(!run.stderr.contains(" was sha256:"), "{}", run.stderr);
        }
        let plan = promote(&source.at("app:v2"), &destination.at("app:kept")).args(["--dry-run", "--output=json"]);
        let plan = plan.run().ended(0);
        assert_eq!(plan.json()["destinations"][0]["previous"], json!([{"tag": "kept", "digest": old.digest()}]));
        assert!(plan.stderr.contains(&format!("app:kept is {}\n", old.digest())), "{}", plan.stderr);
    }
}

#[test]
fn a_list_reports_each_moved_tag_with_its_line() {
    let (old, new) = (images::image(1, 1, 100), images::image(2, 1, 100));
    for (source, destination) in pairs() {
        new.push(&source, "app", "v2");
        old.push(&destination, "app", "v1");
        let folder = Folder::new();
        let (from, moved, fresh) = (source.at("app:v2"), destination.at("app:v1"), destination.at("app:new"));
        let list = folder.write("list", format!("{from} {moved}\n{from} {fresh}\n"));
        let run = crate::support::imgstep(["promote", "--list"]).arg(&list).args(["--output=json"]).run().ended(0);
        assert_eq!(run.json()["reports"][0]["destinations"][0]["previous"][0]["digest"], old.digest());
        assert!(run.stderr.contains(&format!("line 1: {moved} was {}\n", old.digest())), "{}", run.stderr);
    }
}

#[test]
fn a_destination_without_a_tag_is_latest_with_a_note() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1.2.3");
        image.push(&source, "app", "latest");
        let (from, to) = (source.at("app:v1.2.3"), destination.at("app"));
        let said = format!("warning: {to} has no tag, so `latest` is written; the source's tag is `v1.2.3`\n");
        let run = promote(&from, &to).run().ended(0);
        assert!(run.stderr.contains(&said), "{}", run.stderr);
        assert!(destination.has_manifest("app", "latest"));
        let folder = Folder::new();
        let list = folder.write("list", format!("{from} {to}\n"));
        let run = crate::support::imgstep(["promote", "--list"]).arg(&list).run().ended(0);
        assert!(run.stderr.contains("warning: line 1: "), "{}", run.stderr);
        for (from, to) in [(source.at("app"), to.clone()), (from.clone(), destination.at("app:latest"))] {
            assert!(!promote(&from, &to).run().ended(0).stderr.contains("warning"));
        }
    }
}

#[test]
fn all_tags_are_reported_the_first_five_by_name() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let name = destination.at("app");
        let run =
            promote(&source.at("app:v1"), &format!("{name}:v1.2.3")).args(["--tags", "v1.2", "v1"]).run().ended(0);
        assert!(run.stderr.contains(&format!("promoted {name}:v1.2.3, v1.2, v1 (1 platform): ")), "{}", run.stderr);
        let many = promote(&source.at("app:v1"), &format!("{name}:a"))
            .args(["--tags", "b", "c", "d", "e", "f", "g"])
            .run()
            .ended(0);
        assert!(many.stderr.contains(&format!("promoted {name}:a, b, c, d, e and 2 more tags (")), "{}", many.stderr);
    }
}
