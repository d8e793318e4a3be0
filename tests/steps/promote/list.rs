//! `promote --list`: many images in one process.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::line;
use crate::support::step::Step;
use crate::support::{
    Action, Folder, Image, Proxy, Registry, Style, assert_image, images, imgstep, json_schema, pairs, registries, rule,
};

/// `imgstep promote --list FILE` with this text in the file.
fn promote_list(folder: &Folder, text: &str) -> Step {
    let file = folder.write("images.txt", text);
    imgstep(["promote", "--list", file.to_str().unwrap()])
}

/// Three images of different kinds, pushed as `a:v1`, `b:v1` and `c:v1`.
fn three(registry: &Registry) -> [Image; 3] {
    let three = [images::image(1, 2, 500), images::index(Style::Docker, 2, 2, 2, 400), images::image(3, 1, 90_000)];
    for (image, name) in three.iter().zip(["a", "b", "c"]) {
        image.push(registry, name, "v1");
    }
    three
}

#[test]
fn every_line_of_a_list_is_promoted_and_answered_in_its_order() {
    for (source, destination) in pairs() {
        let [a, b, c] = three(&source);
        let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
        // The first takes longest, and is still reported first.
        reading.add(rule("GET", "/a/manifests/", Action::Stall(Duration::from_millis(400))).times(1));
        let folder = Folder::new();
        let text = format!(
            "\u{feff}# what is released today\n\n{} {}\r\n\t{}   {} {}\n  # and\n{} {}",
            reading.at("a:v1"),
            writing.at("copy/a:v1"),
            reading.at("b:v1"),
            writing.at("copy/b:v1"),
            writing.at("mirror/b:v2"),
            reading.at("c:v1"),
            writing.at("copy/c:v1"),
        );
        let expected = [
            line(&writing.at("copy/a"), &a),
            line(&writing.at("copy/b"), &b),
            line(&writing.at("mirror/b"), &b),
            line(&writing.at("copy/c"), &c),
        ];
        let run = promote_list(&folder, &text).args(["--tags", "latest"]).run().printed(&expected);
        assert!(run.stderr.trim_end().lines().last().unwrap().starts_with("promoted 3 images: "), "{}", run.stderr);
        for tag in ["v1", "latest"] {
            assert_image(&destination, "copy/a", tag, &a);
            assert_image(&destination, "copy/b", tag, &b);
            assert_image(&destination, "copy/c", tag, &c);
        }
        assert_image(&destination, "mirror/b", "v2", &b);
        assert_eq!(reading.matching("GET", "/b/manifests/v1").len(), 1, "both destinations from one read");

        // Again: one request here and one for each tag there.
        reading.reset();
        writing.reset();
        let again = promote_list(&folder, &text).args(["--tags", "latest"]).run().printed(&expected);
        assert_eq!((reading.log().len(), writing.log().len()), (3, 8), "{:#?}", writing.lines());
        assert!(again.stderr.contains("promoted 3 images (3 unchanged)"), "{}", again.stderr);
    }
}

#[test]
fn a_list_comes_from_standard_input_or_the_environment_too() {
    for registry in registries() {
        let [a, ..] = three(&registry);
        let folder = Folder::new();
        let text = format!("{} {}\n", registry.at("a:v1"), registry.at("copy:v1"));
        let file = folder.write("list", &text);
        let expected = [line(&registry.at("copy"), &a)];
        let input = Stdio::from(std::fs::File::open(&file).unwrap());
        imgstep(["promote", "--list", "-"]).stdin(input).run().printed(&expected);
        imgstep(["promote"]).env("IMGSTEP_LIST", &file).run().printed(&expected);
        // An option with an empty value counts as not given.
        imgstep(["promote", &registry.at("a:v1"), &registry.at("other:v1"), "--list="]).run().ended(0);
        // Empty input is a list too, but hardly one that was meant.
        let run = promote_list(&folder, "# nothing today\n").run().ended(0);
        assert_eq!(run.stdout, "");
        assert!(run.stderr.contains("--list names no image"), "{}", run.stderr);
        assert!(run.stderr.contains("promoted 0 images"), "{}", run.stderr);
    }
}

#[test]
fn a_failing_line_does_not_stop_the_others_and_leaves_no_result() {
    for (source, destination) in pairs() {
        let [a, b, _] = three(&source);
        let folder = Folder::new();
        let text = format!(
            "{} {}\n{} {}\n{} {}\n{} {}\n",
            source.at("a:v1"),
            destination.at("copy/a:v1"),
            source.at("nothing/here:v1"),
            destination.at("copy/nothing:v1"),
            source.at("b:v1"),
            destination.at("copy/b:v1"),
            source.at("c:v1"),
            destination.at("copy/b:v3@sha256:0000000000000000000000000000000000000000000000000000000000000000"),
        );
        let (results, summary) = (folder.join("json"), folder.join("summary"));
        let run = promote_list(&folder, &text)
            .args(["--result", &format!("json={}", results.display())])
            .env("GITHUB_STEP_SUMMARY", &summary)
            .env("GITHUB_OUTPUT", folder.join("output"))
            .run()
            .ended(5);
        let done = [line(&destination.at("copy/a"), &a), line(&destination.at("copy/b"), &b)];
        assert_eq!(run.stdout, done.join("\n") + "\n", "{}", run.stderr);
        assert!(run.stderr.contains("error: line 2: "), "{}", run.stderr);
        assert!(run.stderr.contains("error: line 4: "), "{}", run.stderr);
        let last = run.stderr.trim_end().lines().last().unwrap();
        assert!(last.starts_with("promoted 2 of 4 images: ") && last.ends_with("; the lines 2, 4 failed"), "{last}");
        assert_image(&destination, "copy/a", "v1", &a);
        assert_image(&destination, "copy/b", "v1", &b);
        assert!(!destination.has_manifest("copy/b", "v3") && !destination.has_manifest("copy/nothing", "v1"));
        assert_eq!(folder.read("json"), None);
        assert_eq!(folder.read("output").unwrap_or_default(), "");
        let summary = folder.read("summary").unwrap();
        assert!(summary.starts_with("### Promoted 2 of 4 images") && summary.contains("| 2 | `"), "{summary}");

        let run = promote_list(&folder, &text).args(["--output", "json", "-q"]).run().ended(5);
        let report: Value = run.json();
        json_schema::assert_valid("docs/report.schema.json", &report);
        assert_eq!(report["reports"].as_array().unwrap().len(), 2);
        let failed: Vec<(u64, u64)> = report["failed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["line"].as_u64().unwrap(), one["status"].as_u64().unwrap()))
            .collect();
        assert_eq!(failed, [(2, 5), (4, 3)]);
        let refused = &report["failed"][1]["reason"];
        assert!(report["failed"][1]["error"].as_str().unwrap().starts_with(refused["message"].as_str().unwrap()));
        assert_eq!((&refused["kind"], &refused["guard"]), (&json!("guard"), &json!("digestMismatch")));
    }
}

#[test]
fn errors_in_a_list_are_reported_before_any_request() {
    let registry = Registry::inside();
    let proxy = Proxy::before(&registry);
    let at = |name: &str| proxy.at(name);
    let folder = Folder::new();
    let good = format!("{} {}\n", at("a:v1"), at("b:v1"));
    for (text, parts) in [
        (format!("{good}{}\n", at("c:v1")), ["line 2", "no destination"]),
        (format!("{good}\nlocalhost:1/a//x {}\n", at("c:v1")), ["line 3", "a//x"]),
        (format!("{good}{} not:a:reference\n", at("c:v1")), ["line 2", "not:a:reference"]),
        (format!("{good}{} {}\n", at("c:v1"), at("b:v1")), ["line 2", "so does line 1"]),
        (format!("{good}{} {}\n", at("b:v1"), at("c:v1")), ["line 2", "which line 1 writes"]),
        ("a\0b c\n".to_owned(), ["line 1", "SOURCE"]),
    ] {
        promote_list(&folder, &text).run().failed(2, &parts);
    }
    for (words, part) in [
        (
            &["--expect-digest", "sha256:0000000000000000000000000000000000000000000000000000000000000000"][..],
            "--expect-digest",
        ),
        (&["--to", "localhost:1/x"], "--to"),
        (&["--tags", "localhost:1/x:y"], "--tags"),
        (&["--result", "digest=/dev/null"], "digest"),
        (&["localhost:1/source"], "SOURCE"),
    ] {
        promote_list(&folder, &good).args(words).run().failed(2, &[part]);
    }
    let broken = folder.write("broken", [0xff, 0xfe, b'\n']);
    imgstep(["promote", "--list", broken.to_str().unwrap()]).run().failed(2, &["UTF-8"]);
    imgstep(["promote", "--list", "/nowhere/list"]).run().failed(1, &["/nowhere/list"]);
    imgstep(["promote"]).run().failed(2, &["--list"]);
    assert!(proxy.log().is_empty(), "{:#?}", proxy.lines());
}

#[test]
fn results_and_outputs_of_a_list_name_all_of_it() {
    for registry in registries() {
        let [a, b, _] = three(&registry);
        let folder = Folder::new();
        let name = |repository: &str| registry.at(repository);
        let text = format!("{} {}\n{} {}\n", name("a:v1"), name("x/a:v1"), name("b:v1"), name("x/b:v1"));
        let step = ["images", "tags", "json"].into_iter().fold(promote_list(&folder, &text), |step, key| {
            step.args(["--result", &format!("{key}={}", folder.join(key).display())])
        });
        step.env("GITHUB_OUTPUT", folder.join("output")).run().ended(0);
        let both = [line(&name("x/a"), &a), line(&name("x/b"), &b)].join(",");
        assert_eq!(folder.read("images").unwrap(), both);
        assert_eq!(folder.read("tags").unwrap(), format!("{},{}", name("x/a:v1"), name("x/b:v1")));
        let report: Value = serde_json::from_str(&folder.read("json").unwrap()).unwrap();
        json_schema::assert_valid("docs/report.schema.json", &report);
        let requests = |report: &Value| report["totals"]["requests"].as_u64().unwrap();
        let each: u64 = report["reports"].as_array().unwrap().iter().map(requests).sum();
        assert_eq!(requests(&report), each, "each image counts its own requests: {report:#}");
        let output = folder.read("output").unwrap();
        assert!(output.contains(&both) && output.contains("json<<") && !output.contains("digest<<"), "{output}");
    }
}

#[test]
fn a_list_can_be_planned() {
    for (source, destination) in pairs() {
        three(&source);
        let writing = Proxy::before(&destination);
        let folder = Folder::new();
        let text =
            format!("{} {}\n{} {}\n", source.at("a:v1"), writing.at("a:v1"), source.at("b:v1"), writing.at("b:v1"));
        let run = promote_list(&folder, &text).args(["--dry-run"]).run().ended(0);
        assert!(run.stderr.contains("would promote 2 images: "), "{}", run.stderr);
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
    }
}

#[test]
fn images_of_a_list_wait_for_each_other_only_at_the_limit() {
    let registry = Registry::inside();
    let proxy = Proxy::before(&registry);
    let folder = Folder::new();
    let mut text = String::new();
    for number in 0..8 {
        images::image(number, 3, 200).push(&registry, &format!("a{number}"), "v1");
        let _ = writeln!(text, "{} {}", proxy.at(&format!("a{number}:v1")), proxy.at(&format!("b{number}:v1")));
    }
    proxy.add(rule("GET", "/manifests/", Action::Stall(Duration::from_millis(500))).times(8));
    let started = Instant::now();
    promote_list(&folder, &text).run().ended(0);
    // One after the other would take four seconds for this alone.
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(proxy.most_at_once() > 8, "{}", proxy.most_at_once());

    let (again, limited) = (Proxy::before(&registry), "3");
    let text = text.replace(&proxy.host, &again.host).replace("/b", "/c");
    promote_list(&folder, &text).args(["--jobs", limited]).run().ended(0);
    assert!(again.most_at_once() <= 3, "{} at once", again.most_at_once());
}
