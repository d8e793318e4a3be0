//! `imgstep inspect IMAGE`: what an image contains.

use crate::support::on_terminal::on_terminal;
use crate::support::{Folder, Style, images, imgstep, json_schema, layout, registries};

#[test]
fn an_index_is_shown_as_a_tree() {
    let image = images::attested(1);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let run = imgstep(["inspect", &registry.at("app:v1")]).run().ended(0);
        let shown = &run.stdout;
        for part in [image.digest(), "linux/amd64", "linux/arm64", images::OCI_INDEX] {
            assert!(shown.contains(part), "{part} is not in:\n{shown}");
        }
        for layer in image.blobs.iter().filter(|blob| blob.media_type == images::OCI_LAYER) {
            assert!(shown.contains(&layer.digest["sha256:".len()..19]), "{} is not in:\n{shown}", layer.digest);
        }
        assert!(shown.to_lowercase().contains("attestation"), "{shown}");
    }
}

#[test]
fn on_a_terminal_no_line_of_it_breaks() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let reference = registry.at("app:v1");
        let layer = &image.blobs[0].digest;
        let whole = imgstep(["inspect", &reference]).run().ended(0).stdout;
        assert!(whole.contains(layer), "{whole}");
        let Some(seen) = on_terminal(&["inspect", &reference]) else { return };
        assert!(seen.rows.iter().all(|row| row.chars().count() < 80), "{:#?}", seen.rows);
        assert_eq!(seen.rows.len(), whole.lines().count(), "{:#?}", seen.rows);
        assert!(seen.written.contains(image.digest()) && !seen.written.contains(layer), "{}", seen.written);
        assert!(seen.written.contains(&layer[..19]), "{}", seen.written);
        let all = on_terminal(&["inspect", "--no-trunc", &reference]).unwrap();
        assert_eq!(all.written.replace("\r\n", "\n"), whole);
    }
}

#[test]
fn annotations_of_layers_are_shown() {
    let folder = Folder::new();
    folder.write("task.yaml", "apiVersion: tekton.dev/v1\nkind: Task\nmetadata:\n  name: build\nspec: {}\n");
    for registry in registries() {
        let bundle = registry.at("tasks:v1");
        imgstep(["bundle", "task.yaml", "--to", &bundle]).in_folder(folder.path()).run().ended(0);
        let run = imgstep(["inspect", &bundle]).run().ended(0);
        assert!(run.stdout.contains("dev.tekton.image.name: build\n"), "{}", run.stdout);
        let json = imgstep(["inspect", &bundle, "--output=json"]).run().ended(0).json();
        assert_eq!(json["layers"][0]["annotations"]["dev.tekton.image.kind"], "task");
    }
}

#[test]
fn github_shows_the_tree_at_the_runs_page() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let folder = Folder::new();
        let reference = registry.at("app:v1");
        let step = imgstep(["inspect", &reference]).env("GITHUB_STEP_SUMMARY", folder.join("summary"));
        let tree = step.run().ended(0).stdout;
        assert_eq!(folder.read("summary").unwrap(), format!("### `{reference}`\n\n```text\n{tree}```\n"));
    }
}

#[test]
fn a_missing_folder_is_not_a_layout() {
    imgstep(["inspect", "oci:no-such"]).run().failed(5, &["oci:no-such", "there is no folder no-such"]);
}

#[test]
fn the_json_of_an_image_can_be_read_by_programs() {
    let image = images::index(Style::Oci, 1, 2, 2, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let run = imgstep(["inspect", &registry.at("app:v1"), "--output", "json"]).run().ended(0);
        let shown = run.json();
        let text = shown.to_string();
        for content in image.manifests.iter().chain(&image.blobs) {
            assert!(text.contains(&content.digest), "{} is not in {shown:#}", content.digest);
        }
    }
}

#[test]
fn untrusted_annotations_cannot_harm_a_terminal() {
    let image = images::image(1, 1, 100);
    let hostile = serde_json::json!({"annotations": {"title": "\u{1b}[2J\n::error::x\u{202e}"}});
    let index = images::index_of(Style::Oci, vec![(image, hostile)]);
    for registry in registries() {
        index.push(&registry, "app", "v1");
        let run = imgstep(["inspect", &registry.at("app:v1")]).run().ended(0);
        let bad = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
        assert!(!run.stdout.contains(bad), "{:?}", run.stdout);
        assert!(run.stdout.lines().all(|line| !line.trim_start().starts_with("::")), "{}", run.stdout);
    }
}

#[test]
fn every_image_can_be_inspected() {
    let folder = Folder::new();
    let all = [
        ("image", images::image(1, 2, 500)),
        ("list", images::index(Style::Docker, 2, 2, 1, 500)),
        ("nested", images::nested(3)),
        ("artifact", images::artifact(4)),
        ("unknown", images::unknown_manifest(5)),
        ("mixed", images::index_with_unknown_manifest(6)),
        ("foreign", images::with_foreign_layer(7)),
        ("schema1", crate::support::schema1::image(8, "app", "schema1")),
    ];
    let named: Vec<(&str, &images::Image)> = all.iter().map(|(name, image)| (*name, image)).collect();
    layout::write(folder.path(), &named);
    for (name, image) in &all {
        let reference = format!("oci:{}:{name}", folder.path().display());
        let run = imgstep(["inspect", &reference]).run().ended(0);
        assert!(run.stdout.contains(image.digest()), "{name}: {}", run.stdout);
        let run = imgstep(["inspect", &reference, "--output", "json"]).run().ended(0);
        assert!(run.json().to_string().contains(image.digest()), "{name}: {}", run.stdout);
    }
}

#[test]
fn what_is_missing_ends_with_5() {
    for registry in registries() {
        imgstep(["inspect", &registry.at("app:none")]).run().failed(5, &["app:none"]);
    }
}

#[test]
fn the_checker_of_schemas_finds_faults() {
    let folder = Folder::new();
    let schema =
        r#"{"type":"object","required":["a"],"properties":{"a":{"type":"integer"}},"additionalProperties":false}"#;
    let file = folder.write("schema.json", schema).display().to_string();
    json_schema::assert_valid(&file, &serde_json::json!({"a": 1}));
    for bad in [serde_json::json!({}), serde_json::json!({"a": "1"}), serde_json::json!({"a": 1, "b": 2})] {
        let caught = std::panic::catch_unwind(|| json_schema::assert_valid(&file, &bad));
        assert!(caught.is_err(), "{bad}");
    }
}
