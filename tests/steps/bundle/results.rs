//! The outputs of the step.

use serde_json::Value;

use super::{bundle, three, written};
use crate::support::{Folder, json_schema, registries};

#[test]
fn every_result_is_exact() {
    let files = three();
    for registry in registries() {
        let folder = Folder::new();
        let mut step = bundle(&files, &["tasks.yaml", "more"], &registry.at("tasks:v1")).args(["--tags", "v0"]);
        for key in ["digest", "url", "ref", "images", "json", "dotenv", "tags"] {
            step = step.args(["--result", &format!("{key}={}", folder.join(key).display())]);
        }
        let run = step.run().ended(0);
        written(&run, &registry, "tasks", "v1");
        let name = registry.at("tasks");
        let read = |key: &str| folder.read(key).unwrap_or_else(|| panic!("{key} was not written"));
        assert_eq!(format!("{name}@{}\n", read("digest")), run.stdout);
        assert_eq!(read("url"), format!("{name}:v1"));
        assert_eq!(format!("{}\n", read("ref")), run.stdout);
        assert_eq!(format!("{}\n", read("images")), run.stdout);
        assert_eq!(read("tags"), format!("{name}:v1,{name}:v0"));
        assert!(read("dotenv").contains("IMGSTEP_DIGEST=sha256:"));
        let report: Value = serde_json::from_str(&read("json")).unwrap();
        assert_eq!(report["step"], "bundle");
    }
}

#[test]
fn the_report_lists_the_bundles_content() {
    let files = three();
    for registry in registries() {
        let step = bundle(&files, &["tasks.yaml", "more"], &registry.at("tasks:v1"));
        let report = step.args(["--output", "json"]).run().ended(0).json();
        json_schema::assert_valid("docs/report.schema.json", &report);
        let manifest: Value = serde_json::from_slice(&registry.manifest("tasks", "v1").body).unwrap();
        let resources = report["resources"].as_array().unwrap();
        let told: Vec<&str> = resources.iter().map(|resource| resource["kind"].as_str().unwrap()).collect();
        assert_eq!(told, ["Pipeline", "StepAction", "Task"]);
        for (resource, layer) in resources.iter().zip(manifest["layers"].as_array().unwrap()) {
            assert_eq!(resource["digest"], layer["digest"]);
            assert_eq!(resource["name"], layer["annotations"]["dev.tekton.image.name"]);
            assert_eq!(resource["apiVersion"], layer["annotations"]["dev.tekton.image.apiVersion"]);
        }
        assert_eq!(report["platforms"], Value::Array(Vec::new()));
    }
}

#[test]
fn github_gets_outputs_and_a_summary() {
    let files = three();
    for registry in registries() {
        let folder = Folder::new();
        let (output, summary) = (folder.write("output", ""), folder.write("summary", ""));
        let run = bundle(&files, &["tasks.yaml"], &registry.at("tasks:v1"))
            .env("GITHUB_OUTPUT", output)
            .env("GITHUB_STEP_SUMMARY", summary)
            .run()
            .ended(0);
        let digest = run.stdout.trim().rsplit('@').next().unwrap().to_owned();
        assert!(folder.read("output").unwrap().contains(&digest));
        let summary = folder.read("summary").unwrap();
        assert!(summary.contains("Bundled") && summary.contains("| `Task` | `build` |"), "{summary}");
    }
}

#[test]
fn every_argument_may_come_from_the_environment() {
    let files = three();
    for registry in registries() {
        let run = crate::support::imgstep(["bundle"])
            .in_folder(files.path())
            .env("IMGSTEP_FILES", "tasks.yaml\nmore\n")
            .env("IMGSTEP_TO", registry.at("tasks:v1"))
            .env("IMGSTEP_ANNOTATION", "a=b\nc=d")
            .run()
            .ended(0);
        let manifest = written(&run, &registry, "tasks", "v1");
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 3);
        assert_eq!(manifest["annotations"]["c"], "d");
    }
}
