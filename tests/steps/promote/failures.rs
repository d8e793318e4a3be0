//! What programs and CI systems get from a failed step.

use serde_json::{Value, json};

use super::promote;
use crate::support::{Folder, images, imgstep, json_schema, registries};

/// Asserts that stdout is one valid document, and returns it.
fn parsed(stdout: &str) -> Value {
    let document: Value = serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    json_schema::assert_valid("docs/report.schema.json", &document);
    document
}

#[test]
fn a_failure_is_one_json_document_where_json_is_asked_for() {
    let image = images::image(1, 1, 100);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let folder = Folder::new();
        let (source, destination) = (registry.at("app:no-such"), registry.at("copy:v1"));
        let result = format!("json={}", folder.join("result").display());
        let run = promote(&source, &destination).args(["--output", "json", "--result", &result]).run().ended(5);
        let document = parsed(&run.stdout);
        assert_eq!(document["step"], "promote");
        assert_eq!(document["source"], source);
        assert_eq!(document["destinations"], json!([destination]));
        let error = &document["error"];
        assert_eq!(
            (&error["kind"], &error["status"], &error["reference"]),
            (&json!("sourceMissing"), &json!(5), &json!(source))
        );
        let message = error["message"].as_str().unwrap();
        assert!(run.stderr.contains(&format!("error: {message}\n")), "{}", run.stderr);
        assert_eq!(folder.read("result"), None);

        let guarded = promote(&registry.at("app:v1"), &registry.at("copy:v1"))
            .args(["--output=json", "--expect-digest", &format!("sha256:{}", "0".repeat(64))])
            .run()
            .ended(3);
        let error = &parsed(&guarded.stdout)["error"];
        assert_eq!((&error["kind"], &error["guard"]), (&json!("guard"), &json!("digestMismatch")));
        let (message, hint) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
        assert!(guarded.stderr.ends_with(&format!("error: {message}\nhint: {hint}\n")), "{}", guarded.stderr);
        let inspected = imgstep(["inspect", "--output=json", &source]).run().ended(5);
        assert_eq!(parsed(&inspected.stdout)["step"], "inspect");
        promote(&source, &destination).run().failed(5, &["app:no-such"]);
    }
}

#[test]
fn usage_errors_are_reported_as_json_too() {
    let wrong = imgstep(["promote", "a", "b", "--no-such", "--output", "json"]).run().ended(2);
    let document = parsed(&wrong.stdout);
    assert_eq!((&document["step"], &document["error"]["kind"]), (&json!("promote"), &json!("usage")));
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("--no-such") && !message.contains("Usage:") && !message.contains('\n'), "{message}");

    let by_variable = imgstep(["tag", "a"]).env("IMGSTEP_OUTPUT", "json").run().ended(2);
    assert_eq!(parsed(&by_variable.stdout)["error"]["status"], 2);
    let no_step = imgstep(["promotee", "--output=json"]).run().ended(2);
    assert_eq!(parsed(&no_step.stdout).get("step"), None);
    assert_eq!(imgstep(["promote", "--no-such"]).run().ended(2).stdout, "");
}

#[test]
fn a_failed_step_has_a_job_summary() {
    for registry in registries() {
        let folder = Folder::new();
        let (source, destination) = (registry.at("app:no-such"), registry.at("copy:v1"));
        let run = |words: &[&str]| {
            let summary = folder.write("summary", "");
            let output = folder.write("output", "");
            let step = promote(&source, &destination).args(words).env("GITHUB_ACTIONS", "true");
            let step = step.env("GITHUB_OUTPUT", output).env("GITHUB_STEP_SUMMARY", summary);
            let status = step.run().status;
            assert_eq!(folder.read("output").as_deref(), Some(""));
            (status, folder.read("summary").unwrap())
        };
        let (status, summary) = run(&[]);
        assert_eq!(status, 5);
        assert!(summary.starts_with("### `promote` failed\n\n> [!CAUTION]\n"), "{summary}");
        assert!(summary.contains(&format!("From `{source}`<br>To `{destination}`")), "{summary}");
        assert!(summary.ends_with("Exit status 5: the source does not exist.\n"), "{summary}");
        let (status, summary) = run(&["--no-such"]);
        assert_eq!(status, 2);
        assert!(summary.contains("Exit status 2: the command line is wrong."), "{summary}");
        assert_eq!(run(&["--ci", "none"]), (5, String::new()));
    }
}
