//! The step's outputs: result files, GitHub's outputs, the report.

use serde_json::{Value, json};

use super::{line, promote};
use crate::support::step::Step;
use crate::support::{Folder, Image, Registry, Style, images, json_schema, pairs, registries};

/// Adds `--result KEY=folder/KEY`.
fn with_result(step: Step, folder: &Folder, key: &str) -> Step {
    step.args(["--result", &format!("{key}={}", folder.join(key).display())])
}

const KEYS: [&str; 7] = ["digest", "url", "ref", "images", "source", "json", "dotenv"];

fn with_all_results(mut step: Step, folder: &Folder) -> Step {
    for key in KEYS {
        step = with_result(step, folder, key);
    }
    step
}

#[test]
fn every_result_is_exact_and_has_no_newline() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let folder = Folder::new();
        let name = destination.at("copy");
        with_all_results(promote(&source.at("app:v1"), &destination.at("copy:v1")), &folder)
            .run()
            .printed(&[line(&name, &image)]);
        let read = |key: &str| folder.read(key).unwrap_or_else(|| panic!("{key} was not written"));
        assert_eq!(read("digest"), image.digest());
        assert_eq!(read("url"), format!("{name}:v1"));
        assert_eq!(read("ref"), line(&name, &image));
        let children: Vec<String> =
            image.manifests[..2].iter().map(|child| format!("{name}@{}", child.digest)).collect();
        assert_eq!(read("images"), children.join(","));
        let named: Value = serde_json::from_str(&read("source")).unwrap();
        assert_eq!(named, json!({"uri": source.at("app"), "digest": image.digest()}));
        json_schema::assert_valid("docs/report.schema.json", &serde_json::from_str(&read("json")).unwrap());
        let dotenv = read("dotenv");
        assert!(dotenv.lines().any(|one| one == format!("IMGSTEP_DIGEST={}", image.digest())), "{dotenv}");
    }
}

#[test]
fn an_empty_file_name_disables_a_result() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--result", "digest=", "--result", "url="])
            .run()
            .printed(&[line(&destination.at("app"), &image)]);
    }
}

#[test]
fn an_unknown_result_key_is_a_usage_error() {
    promote("localhost:1/a", "localhost:1/b").args(["--result", "digests=/tmp/x"]).run().failed(2, &["digests"]);
    promote("localhost:1/a", "localhost:1/b").args(["--result", "digest"]).run().failed(2, &["digest"]);
}

#[test]
fn a_failing_step_writes_no_result() {
    let image = images::image(1, 1, 100);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        image.push(&registry, "there", "v1");
        let folder = Folder::new();
        let output = folder.write("github-output", "");
        with_all_results(promote(&registry.at("app:no-such"), &registry.at("copy:v1")), &folder)
            .env("GITHUB_OUTPUT", &output)
            .run()
            .failed(5, &["app:no-such"]);
        for key in KEYS {
            assert_eq!(folder.read(key), None, "{key}");
        }
        assert_eq!(folder.read("github-output").unwrap(), "");
    }
}

#[test]
fn a_full_disk_for_a_result_ends_with_1_and_names_the_file() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--result", "digest=/dev/full"])
            .run()
            .failed(1, &["/dev/full"]);
    }
}

#[test]
fn results_in_a_missing_folder_end_with_1() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--result", "digest=/no/such/folder/digest"])
            .run()
            .failed(1, &["/no/such/folder/digest"]);
    }
}

#[test]
fn results_are_the_same_on_a_second_run() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let folder = Folder::new();
        let run = || {
            let mut step = promote(&source.at("app:v1"), &destination.at("copy:v1"));
            for key in ["digest", "url", "ref", "images", "source"] {
                step = with_result(step, &folder, key);
            }
            step.run().ended(0);
            ["digest", "url", "ref", "images", "source"].map(|key| folder.read(key))
        };
        assert_eq!(run(), run());
    }
}

#[test]
fn a_skipped_destination_gives_its_existing_digest() {
    let (old, new) = (images::image(1, 1, 100), images::image(2, 1, 100));
    for (source, destination) in pairs() {
        new.push(&source, "app", "v1");
        old.push(&destination, "app", "v1");
        let folder = Folder::new();
        let step = promote(&source.at("app:v1"), &destination.at("app:v1")).args(["--if-exists", "skip"]);
        with_result(with_result(step, &folder, "digest"), &folder, "ref").run().ended(0);
        assert_eq!(folder.read("digest").as_deref(), Some(old.digest()));
        assert_eq!(folder.read("ref").unwrap(), line(&destination.at("app"), &old));
    }
}

#[test]
fn github_gets_outputs_and_a_summary() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let folder = Folder::new();
        let output = folder.write("output", "earlier=1\n");
        let summary = folder.write("summary", "");
        promote(&source.at("app:v1"), &destination.at("copy:v1"))
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_OUTPUT", &output)
            .env("GITHUB_STEP_SUMMARY", &summary)
            .run()
            .printed(&[line(&destination.at("copy"), &image)]);
        let output = folder.read("output").unwrap();
        assert!(output.starts_with("earlier=1\n"), "{output}");
        let outputs = github_outputs(&output);
        let get = |name: &str| outputs.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        assert_eq!(get("digest"), Some(image.digest()), "{output}");
        assert_eq!(get("name"), Some(destination.at("copy").as_str()));
        assert_eq!(get("ref"), Some(line(&destination.at("copy"), &image).as_str()));
        assert!(get("images").unwrap().contains(&image.manifests[0].digest));
        json_schema::assert_valid("docs/report.schema.json", &serde_json::from_str(get("json").unwrap()).unwrap());
        let summary = folder.read("summary").unwrap();
        assert!(summary.contains(image.digest()) && summary.contains(&destination.at("copy")), "{summary}");
    }
}

/// Parses GitHub's output file: `name=value`, and `name<<END` up to a line `END`.
fn github_outputs(text: &str) -> Vec<(String, String)> {
    let mut outputs = Vec::new();
    let mut lines = text.lines();
    while let Some(one) = lines.next() {
        if let Some((name, end)) = one.split_once("<<") {
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            outputs.push((name.to_owned(), value.join("\n")));
        } else {
            let (name, value) = one.split_once('=').unwrap();
            outputs.push((name.to_owned(), value.to_owned()));
        }
    }
    outputs
}

#[test]
fn the_report_lists_what_happened_to_every_blob() {
    let image = images::index_with_shared_layers(1, 2, 2, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        destination.put_blob("copy", &image.blobs[0]);
        let first = report(&source, &destination);
        json_schema::assert_valid("docs/report.schema.json", &first);
        assert_eq!(first["step"], "promote");
        assert_eq!(first["dryRun"], false);
        assert_eq!(first["digest"], image.digest());
        assert_eq!(first["source"]["reference"], source.at("app:v1"));
        assert_eq!(first["source"]["digest"], image.digest());
        let platforms: Vec<&Value> =
            first["platforms"].as_array().unwrap().iter().map(|entry| &entry["platform"]).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
        let to = &first["destinations"][0];
        assert_eq!(to["state"], "written");
        assert_eq!(to["reference"], destination.at("copy:v1"));
        assert_eq!(to["tags"], json!(["v1"]));
        assert_eq!(to["ref"], line(&destination.at("copy"), &image));
        let count =
            |action: &str| to["blobs"].as_array().unwrap().iter().filter(|blob| blob["action"] == action).count();
        assert_eq!((count("sent"), count("present")), (image.blobs.len() - 1, 1), "{to:#}");
        assert_eq!(to["manifests"].as_array().unwrap().len(), 3);
        let sent = image.size() - image.blobs[0].bytes.len();
        assert_eq!(first["totals"]["sentBytes"], sent);
        let second = report(&source, &destination);
        json_schema::assert_valid("docs/report.schema.json", &second);
        assert_eq!(second["destinations"][0]["state"], "unchanged");
        assert_eq!(second["totals"]["requests"], 2);
        assert_eq!(second["totals"]["sentBytes"], 0);
        assert_eq!(second["digest"], image.digest());
    }
}

fn report(source: &Registry, destination: &Registry) -> Value {
    let step = promote(&source.at("app:v1"), &destination.at("copy:v1"));
    step.args(["--output", "json"]).run().ended(0).json()
}

#[test]
fn the_report_counts_every_request() {
    let image: Image = images::index(Style::Oci, 1, 2, 2, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let (reading, writing) = (crate::support::Proxy::before(&source), crate::support::Proxy::before(&destination));
        let run = promote(&reading.at("app:v1"), &writing.at("copy:v1")).args(["--output=json"]).run().ended(0);
        assert_eq!(run.json()["totals"]["requests"], reading.log().len() + writing.log().len());
    }
}

#[test]
fn quiet_is_quiet() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let run = promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["-q"])
            .run()
            .printed(&[line(&destination.at("app"), &image)]);
        assert_eq!(run.stderr, "");
    }
}
