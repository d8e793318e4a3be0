//! `docs/ci/azure-pipelines.md`, `buildkite.md` and `circleci.md`, run as their agents run them.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::pages::block;
use super::pipeline::{COMMIT, Pipeline, expanded, lines, variables};
use super::{azure_agent, buildkite_agent};
use crate::support::tools::{is_here, missing};
use crate::support::yaml;

/// Whether a release can be downloaded here.
fn can_download() -> bool {
    let can = is_here("curl") && is_here("bash");
    if !can {
        missing("curl or bash", "the examples that download imgstep are not run");
    }
    can
}

/// The text with `$(step.variable)` replaced by earlier steps' variables; unknown ones are kept.
fn with_macros(text: &str, known: &BTreeMap<String, String>) -> String {
    known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value))
}

#[test]
fn azure_passes_outputs_on_within_a_job_and_to_the_next() {
    if !can_download() {
        return;
    }
    let pipeline = Pipeline::new();
    let documents = yaml::documents(&pipeline.named(&block("azure-pipelines", "azure-pipelines.yml")));
    let mut outputs: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut log = String::new();
    for job in documents[0]["jobs"].as_array().unwrap() {
        let name = job["job"].as_str().unwrap();
        let mut known = BTreeMap::new();
        for (variable, text) in job["variables"].as_object().into_iter().flatten() {
            let before = job["dependsOn"].as_str().unwrap();
            let path = text.as_str().unwrap().strip_prefix(&format!("$[ dependencies.{before}.outputs['")).unwrap();
            let value = &outputs[before][path.strip_suffix("'] ]").unwrap()];
            known.insert(variable.clone(), value.clone());
        }
        // Every job has its own machine.
        let _ = fs::remove_dir_all(pipeline.path("workspace"));
        fs::create_dir_all(pipeline.path("workspace")).unwrap();
        let mut environment = variables([("TF_BUILD", "True"), ("BUILD_SOURCEVERSION", COMMIT)]);
        for step in job["steps"].as_array().unwrap() {
            if step["task"] == "Docker@2" {
                assert_eq!(
                    (&step["inputs"]["command"], step["inputs"]["containerRegistry"].is_string()),
                    (&"login".into(), true)
                );
                let file = pipeline.write("temp/docker/config.json", &pipeline.logins());
                environment.insert("DOCKER_CONFIG".to_owned(), file.parent().unwrap().display().to_string());
                continue;
            }
            let mut own = environment.clone();
            for (name, text) in step["env"].as_object().into_iter().flatten() {
                own.insert(name.clone(), with_macros(text.as_str().unwrap(), &known));
            }
            let script = with_macros(step["bash"].as_str().unwrap(), &known);
            let run = pipeline.on_machine(&["bash", "--noprofile", "--norc", "-c"], &script, &own).ended(0);
            // The task joins both.
            let (set, issues) = azure_agent(&(run.stderr.clone() + &run.stdout));
            assert!(issues.is_empty(), "{issues:?}");
            for (variable, value) in set {
                let step = step["name"].as_str().expect("a step with outputs has a name");
                known.insert(format!("{step}.{variable}"), value);
            }
            log.push_str(&run.stdout);
        }
        outputs.insert(name.to_owned(), known);
    }
    pipeline.assert_promoted(&["v1", "stable"]);
    assert!(log.ends_with(&format!("to be deployed - {}\n", pipeline.promoted())), "{log}");
}

#[test]
fn buildkite_passes_outputs_on_to_the_next_step() {
    if !can_download() {
        return;
    }
    let pipeline = Pipeline::new();
    let document = yaml::document(&block("buildkite", ".buildkite/pipeline.yml"));
    let script = pipeline.named(&block("buildkite", ".buildkite/imgstep.sh"));
    buildkite_agent(pipeline.folder());
    pipeline.write("secrets/DOCKER_AUTH_CONFIG", &pipeline.logins());
    let environment = variables([("BUILDKITE", "true"), ("BUILDKITE_COMMIT", COMMIT)]);
    let mut ran = 0;
    for step in document["steps"].as_array().unwrap() {
        let Some(command) = step.get("command") else {
            assert_eq!(step, "wait");
            continue;
        };
        let _ = fs::remove_dir_all(pipeline.path("workspace"));
        pipeline.write("workspace/.buildkite/imgstep.sh", &script);
        // Uploading the pipeline replaces variables; a step runs the result.
        let command = expanded(&pipeline.named(&lines(command)), &environment);
        let run = pipeline.on_machine(&["bash", "-e", "-c"], &command, &environment).ended(0);
        assert!(run.stdout.ends_with(&format!("{}\n", pipeline.promoted())), "{}", run.stdout);
        ran += 1;
    }
    assert_eq!(ran, 2);
    pipeline.assert_promoted(&["v1", "stable"]);
    assert_eq!(fs::read_dir(pipeline.path("annotations")).unwrap().count(), 1);
}

/// The steps of a job, with reusable commands expanded.
fn circleci_steps(document: &Value, steps: &Value) -> Vec<Value> {
    let step = |step: &Value| match step {
        Value::String(name) => circleci_steps(document, &document["commands"][name]["steps"]),
        other => vec![other.clone()],
    };
    steps.as_array().unwrap().iter().flat_map(step).collect()
}

#[test]
fn circleci_passes_outputs_on_within_a_job_and_through_the_workspace() {
    if !can_download() {
        return;
    }
    let pipeline = Pipeline::new();
    let documents = yaml::documents(&pipeline.named(&block("circleci", ".circleci/config.yml")));
    let document = &documents[0];
    let mut log = String::new();
    for entry in document["workflows"]["release"]["jobs"].as_array().unwrap() {
        let (name, settings) = entry.as_object().unwrap().iter().next().unwrap();
        for file in ["workspace", "bash-env"] {
            let path = pipeline.path(file);
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        }
        fs::create_dir_all(pipeline.path("workspace")).unwrap();
        let bash_env = pipeline.path("bash-env");
        let mut environment =
            variables([("CIRCLECI", "true"), ("CIRCLE_SHA1", COMMIT), ("BASH_ENV", bash_env.to_str().unwrap())]);
        if settings["context"] == "registry" {
            environment.insert("DOCKER_AUTH_CONFIG".to_owned(), pipeline.logins());
        }
        for step in circleci_steps(document, &document["jobs"][name]["steps"]) {
            let (kind, about) = step.as_object().unwrap().iter().next().unwrap();
            match kind.as_str() {
                "run" => {
                    let command = about.as_str().or(about["command"].as_str()).unwrap();
                    let run = pipeline.on_machine(&["bash", "-eo", "pipefail", "-c"], command, &environment).ended(0);
                    log.push_str(&run.stdout);
                }
                "persist_to_workspace" => {
                    for file in about["paths"].as_array().unwrap() {
                        let file = file.as_str().unwrap();
                        let kept = fs::read_to_string(pipeline.path("workspace").join(file)).unwrap();
                        pipeline.write(&format!("kept/{file}"), &kept);
                    }
                }
                "attach_workspace" => {
                    assert_eq!(settings["requires"], serde_json::json!(["publish"]));
                    for file in fs::read_dir(pipeline.path("kept")).unwrap().map(|file| file.unwrap()) {
                        fs::copy(file.path(), pipeline.path("workspace").join(file.file_name())).unwrap();
                    }
                }
                other => panic!("{other} is not tested"),
            }
        }
    }
    pipeline.assert_promoted(&["v1", "stable"]);
    assert!(log.ends_with(&format!("to be deployed, {}\n", pipeline.promoted())), "{log}");
}

#[test]
fn a_release_with_another_checksum_is_not_run() {
    if !can_download() {
        return;
    }
    let pipeline = Pipeline::new();
    let script = pipeline.named(&block("shell", "install.sh"));
    let sum = script.split("echo \"").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let script = script.replace(&sum, &"1".repeat(64));
    let run = pipeline.on_machine(&["sh", "-c"], &script, &BTreeMap::new()).ended(1);
    assert!(run.stdout.contains("FAILED"), "{}", run.stdout);
    assert!(!pipeline.path("workspace/bin/imgstep").exists());
}
