//! `docs/ci/gitlab.md`, run as GitLab's runner runs it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::pages::{block, read};
use super::pipeline::{COMMIT, Pipeline, USER, expanded, lines, variables};
use super::{gitlab_dotenv, value};
use crate::support::step::Run;
use crate::support::yaml;

/// Variables that GitLab sets in every job.
fn predefined(pipeline: &Pipeline) -> BTreeMap<String, String> {
    variables([
        ("GITLAB_CI", "true"),
        ("CI", "true"),
        ("CI_COMMIT_SHA", COMMIT),
        ("CI_COMMIT_TAG", "v1"),
        ("CI_PROJECT_DIR", pipeline.path("workspace").to_str().unwrap()),
        ("CI_REGISTRY", &pipeline.destination.host),
        ("CI_REGISTRY_IMAGE", &pipeline.destination.at("org/app")),
        ("CI_REGISTRY_USER", USER.0),
        ("CI_REGISTRY_PASSWORD", USER.1),
    ])
}

/// A job merged with what it extends.
fn job(document: &Value, name: &str) -> Map<String, Value> {
    let own = document[name].as_object().unwrap_or_else(|| panic!("no job {name}")).clone();
    let mut whole = match own.get("extends") {
        Some(parent) => job(document, parent.as_str().unwrap()),
        None => Map::new(),
    };
    whole.extend(own);
    whole
}

/// Runs a job with the variables from earlier jobs; returns the ones in its dotenv report.
fn run(pipeline: &Pipeline, job: &Map<String, Value>, inherited: &[(String, String)]) -> (Run, Vec<(String, String)>) {
    assert_eq!(job["image"]["name"], "ghcr.io/org/imgstep:v1.0.0-shell");
    assert_eq!(job["image"]["entrypoint"], serde_json::json!([""]), "the runner has to start a shell");
    let mut environment = predefined(pipeline);
    environment.extend(inherited.iter().cloned());
    for (name, text) in job.get("variables").and_then(Value::as_object).into_iter().flatten() {
        environment.insert(name.clone(), expanded(text.as_str().unwrap(), &environment));
    }
    let before = job.get("before_script").map(lines).unwrap_or_default();
    let run = pipeline.in_image(&format!("{before}\n{}", lines(&job["script"])), &environment).ended(0);
    let Some(report) = job.get("artifacts").map(|artifacts| artifacts["reports"]["dotenv"].as_str().unwrap()) else {
        return (run, Vec::new());
    };
    let file = pipeline.path("workspace").join(report);
    let handed = gitlab_dotenv(&std::fs::read_to_string(&file).unwrap());
    // Every job starts with a clean checkout.
    std::fs::remove_file(file).unwrap();
    (run, handed)
}

#[test]
fn jobs_publish_a_folder_and_release_it() {
    let pipeline = Pipeline::new();
    let mut documents = yaml::documents(&pipeline.named(&block("gitlab", ".gitlab-ci.yml")));
    let document = documents.remove(0);
    pipeline.write("workspace/public/index.html", "<p>hello</p>");
    let publish = job(&document, "publish");
    let (first, handed) = run(&pipeline, &publish, &[]);
    let reference = value(&handed, "IMGSTEP_REF").to_owned();
    assert_eq!(first.stdout, format!("{reference}\n"));
    assert_eq!(value(&handed, "IMGSTEP_URL"), pipeline.destination.at(&format!("org/app:{COMMIT}")));
    let release = job(&document, "release");
    assert_eq!(release["needs"], serde_json::json!(["publish"]));
    let (second, _) = run(&pipeline, &release, &handed);
    assert_eq!(second.stdout, first.stdout);
    for tag in [COMMIT, "v1", "latest"] {
        let found = pipeline.destination.manifest("org/app", tag);
        assert!(reference.ends_with(&crate::support::images::sha256(&found.body)), "{tag}");
    }
}

/// The component's jobs with these inputs, interpolated as GitLab does it: in the values of the parsed document.
fn component(name: &str, inputs: &Map<String, Value>) -> Value {
    let mut documents = yaml::documents(&read(&format!("templates/{name}.yml")));
    let spec = documents.remove(0);
    let declared = spec["spec"]["inputs"].as_object().unwrap();
    for name in inputs.keys() {
        assert!(declared.contains_key(name), "the component has no input {name}");
    }
    let mut known = BTreeMap::new();
    for (name, about) in declared {
        let given = inputs.get(name).or_else(|| about.get("default"));
        known.insert(name.clone(), given.unwrap_or_else(|| panic!("the input {name} is required")).as_str().unwrap());
    }
    interpolated(&documents[0], &known)
}

fn interpolated(value: &Value, inputs: &BTreeMap<String, &str>) -> Value {
    let text = |text: &str| {
        inputs.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("$[[ inputs.{name} ]]"), value))
    };
    match value {
        Value::String(one) => Value::String(text(one)),
        Value::Array(many) => many.iter().map(|one| interpolated(one, inputs)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (text(name), interpolated(value, inputs))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

#[test]
fn the_component_promotes_and_passes_outputs_on() {
    let pipeline = Pipeline::new();
    let documents = yaml::documents(&pipeline.named(&block("gitlab", "component/.gitlab-ci.yml")));
    let include = &documents[0]["include"][0];
    assert_eq!(include["component"], "$CI_SERVER_FQDN/org/imgstep/promote@v1.0.0");
    let component = component("promote", include["inputs"].as_object().unwrap());
    let promote = job(&component, "promote");
    assert!(documents[0]["stages"].as_array().unwrap().contains(&promote["stage"]));
    let (_, handed) = run(&pipeline, &promote, &[]);
    assert_eq!(value(&handed, "IMGSTEP_REF"), pipeline.promoted());
    // The job's own variables don't reach the next one, but its report does. The next one logs in with the project's
    // variable.
    let login = ("DOCKER_AUTH_CONFIG".to_owned(), pipeline.logins());
    let handed: Vec<_> = handed.into_iter().chain([login]).collect();
    run(&pipeline, &job(&documents[0], "stable"), &handed);
    pipeline.assert_promoted(&["v1", "v1.2", "v1.2.3", "stable"]);
}

#[test]
fn the_other_components_append_and_join() {
    let pipeline = Pipeline::new();
    pipeline.folder().write_program("workspace/app", "a program");
    let inputs = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), pipeline.named(text).into()))
            .collect::<Map<String, Value>>()
    };
    let mut made = Vec::new();
    for arch in ["amd64", "arm64"] {
        let inputs = inputs(&[
            ("layer", &format!("app=/app,platform=linux/{arch}")),
            ("to", &format!("registry.example/org/made:$CI_COMMIT_SHA-{arch}")),
            ("entrypoint", r#"["/app","it's \"quoted\"; exit 1"]"#),
            ("env", "A=1 2\nB=`exit 1`"),
        ]);
        let append = component("append", &inputs);
        let (_, handed) = run(&pipeline, &job(&append, "append"), &[]);
        made.push(value(&handed, "IMGSTEP_REF").to_owned());
    }
    let inputs = inputs(&[
        ("images", &made.join("\n")),
        ("to", "registry.example/org/joined:v1"),
        ("job", "join"),
        ("tags", "v1.2"),
    ]);
    let (_, handed) = run(&pipeline, &job(&component("index", &inputs), "join"), &[]);
    let joined = pipeline.destination.manifest("org/joined", "v1.2");
    assert!(value(&handed, "IMGSTEP_REF").ends_with(&crate::support::images::sha256(&joined.body)));
    let children = value(&handed, "IMGSTEP_IMAGE_REFS").split(',').count();
    assert_eq!(children, 2);
}
