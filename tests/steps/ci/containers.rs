//! `docs/ci/argo-workflows.md`, `cloud-build.md` and `woodpecker.md`: every step is a container.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::pages::block;
use super::pipeline::{COMMIT, Pipeline, expanded, in_plain_image, lines, variables};
use crate::support::yaml;

const IMAGE: &str = "ghcr.io/org/imgstep:v1.0.0";

fn named<'v>(list: &'v Value, name: &str) -> &'v Value {
    let found = list.as_array().unwrap().iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// The text with `{{name}}` replaced by its value.
fn filled(text: &str, known: &BTreeMap<String, String>) -> String {
    let text =
        known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value));
    assert!(!text.contains("{{"), "{text}");
    text
}

#[test]
fn argo_passes_on_an_output_parameter() {
    let pipeline = Pipeline::new();
    let documents = yaml::documents(&pipeline.named(&block("argo-workflows", "workflow.yaml")));
    let spec = &documents[0]["spec"];
    // What `kubectl create secret docker-registry` creates, mounted.
    pipeline.write("logins/.dockerconfigjson", &pipeline.logins());
    fs::create_dir_all(pipeline.path("results")).unwrap();
    let mounts = BTreeMap::from([("results", pipeline.path("results")), ("logins", pipeline.path("logins"))]);
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for parameter in spec["arguments"]["parameters"].as_array().unwrap() {
        let name = parameter["name"].as_str().unwrap();
        known.insert(format!("workflow.parameters.{name}"), parameter["value"].as_str().unwrap().to_owned());
    }
    let main = named(&spec["templates"], spec["entrypoint"].as_str().unwrap());
    for step in main["steps"].as_array().unwrap().iter().flat_map(|group| group.as_array().unwrap()) {
        let template = named(&spec["templates"], step["template"].as_str().unwrap());
        let mut own = known.clone();
        for parameter in template["inputs"]["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let given = named(&step["arguments"]["parameters"], name)["value"].as_str().unwrap();
            own.insert(format!("inputs.parameters.{name}"), filled(given, &known));
        }
        let container = &template["container"];
        assert_eq!((&container["image"], &container["command"]), (&IMAGE.into(), &serde_json::json!(["/imgstep"])));
        // The mount path of a volume is another folder here.
        let mounted = |text: &str| {
            container["volumeMounts"].as_array().unwrap().iter().fold(text.to_owned(), |text, mount| {
                let name = mount["name"].as_str().unwrap();
                assert!(spec["volumes"].as_array().unwrap().iter().any(|volume| volume["name"] == name));
                text.replace(mount["mountPath"].as_str().unwrap(), mounts[name].to_str().unwrap())
            })
        };
        let words: Vec<String> = container["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| mounted(&filled(word.as_str().unwrap(), &own)))
            .collect();
        let environment = variables([("ARGO_CONTAINER_NAME", "main")]);
        let run = in_plain_image(&words, &environment).printed(&[pipeline.promoted()]);
        let step = step["name"].as_str().unwrap();
        known.insert(format!("steps.{step}.outputs.result"), run.stdout.trim_end().to_owned());
        for parameter in template["outputs"]["parameters"].as_array().into_iter().flatten() {
            let value = fs::read_to_string(mounted(parameter["valueFrom"]["path"].as_str().unwrap())).unwrap();
            known.insert(format!("steps.{step}.outputs.parameters.{}", parameter["name"].as_str().unwrap()), value);
        }
    }
    assert_eq!(known["steps.promote.outputs.parameters.ref"], known["steps.promote.outputs.result"]);
    pipeline.assert_promoted(&["v1", "stable"]);
}

#[test]
fn cloud_build_passes_outputs_on_in_its_workspace() {
    let pipeline = Pipeline::new();
    // Substitutions come first; they only know the build's own names.
    let substitutions = variables([("COMMIT_SHA", "main"), ("PROJECT_ID", "project")]);
    let documents = yaml::documents(&pipeline.named(&block("cloud-build", "cloudbuild.yaml")));
    let document = &documents[0];
    let secret = &document["availableSecrets"]["secretManager"][0];
    let path = expanded(secret["versionName"].as_str().unwrap(), &substitutions);
    assert_eq!(path, "projects/project/secrets/registry-logins/versions/latest");
    let workspace = pipeline.path("workspace");
    let here = |text: &str| text.replace("/workspace", workspace.to_str().unwrap());
    for step in document["steps"].as_array().unwrap() {
        assert_eq!(step["name"], format!("{IMAGE}-shell"));
        let mut environment = variables([]);
        for name in step["secretEnv"].as_array().unwrap() {
            assert_eq!(*name, secret["env"]);
            environment.insert(name.as_str().unwrap().to_owned(), pipeline.logins());
        }
        let run = if let Some(script) = step["script"].as_str() {
            pipeline.in_image(&here(script), &environment)
        } else {
            assert_eq!(step["entrypoint"], "imgstep");
            let args = step["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
            let words: Vec<String> = args.map(|word| here(&expanded(word, &substitutions))).collect();
            in_plain_image(&words, &environment)
        };
        run.printed(&[pipeline.promoted()]);
    }
    pipeline.assert_promoted(&["v1", "stable"]);
}

#[test]
fn woodpecker_passes_outputs_on_in_its_workspace() {
    let pipeline = Pipeline::new();
    let documents = yaml::documents(&pipeline.named(&block("woodpecker", ".woodpecker.yaml")));
    let built_in = variables([("CI", "woodpecker"), ("CI_COMMIT_SHA", COMMIT), ("CI_COMMIT_TAG", "v1")]);
    for step in documents[0]["steps"].as_array().unwrap() {
        assert_eq!(step["image"], format!("{IMAGE}-shell"));
        let commands = lines(&step["commands"]);
        assert!(!commands.contains("${"), "Woodpecker would replace it: {commands}");
        let mut environment = built_in.clone();
        for (name, value) in step["environment"].as_object().unwrap() {
            assert_eq!(value["from_secret"], "registry_logins");
            environment.insert(name.clone(), pipeline.logins());
        }
        pipeline.in_image(&commands, &environment).printed(&[pipeline.promoted()]);
    }
    pipeline.assert_promoted(&["v1", "stable"]);
}
