//! Whole Pipelines: the machine's Go replaces the image that builds.

use serde_json::{Value, json};

use crate::support::tekton::{cluster, results};
use crate::support::{Folder, Registry, Style, assert_complete, assert_image, client, images};

const PROGRAM: &str = "package main\n\nfunc main() { println(\"hello\") }\n";

fn pipeline_run(name: &str, params: &Value, workspaces: &Value) -> Value {
    let params: Vec<Value> =
        params.as_object().unwrap().iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": name},
        "spec": {"pipelineRef": {"name": format!("imgstep-{name}")}, "params": params, "workspaces": workspaces},
    })
}

/// Sources in a world-writable folder, as in a volume.
fn sources() -> Folder {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    folder.write("source/go.mod", "module hello\n\ngo 1.21\n");
    folder.write("source/main.go", PROGRAM);
    std::fs::set_permissions(folder.join("source"), std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

#[test]
fn a_go_program_is_built_appended_joined_and_promoted() {
    let registry = Registry::inside();
    let folder = sources();
    let params = json!({"repository": registry.at("staging"), "version": "v1", "release": registry.at("release")});
    let source = json!([{"name": "source", "persistentVolumeClaim": {"claimName": "source"}}]);
    let go = cluster()
        .file("tasks/pipeline/go.yaml")
        .object(pipeline_run("go", &params, &source))
        .claim("source", &folder.join("source"))
        .run_one();
    let Some(report) = go else { return };
    let release = results(&report);
    let digest = release["IMAGE_DIGEST"].as_str().unwrap();
    assert_eq!(release["IMAGE_URL"], registry.at("release:v1"));
    assert_complete(&registry, "release", digest);
    let index: Value = serde_json::from_slice(&registry.manifest_bytes("release", "latest")).unwrap();
    let platforms: Vec<&Value> =
        index["manifests"].as_array().unwrap().iter().map(|child| &child["platform"]).collect();
    assert_eq!(platforms.len(), 2, "{index:#}");
    assert_eq!(*platforms[1], json!({"os": "linux", "architecture": "arm64"}));

    // The same with one TaskRun per platform and with the StepAction next to the build step. It is built already.
    let params = json!({"repository": registry.at("matrix"), "version": "v1"});
    let with_logins = json!([source[0], {"name": "credentials", "secret": {"secretName": "login"}}]);
    let report = cluster()
        .file("tasks/pipeline/matrix.yaml")
        .replace("go build", "cat /workspace/credentials/config.json && echo sees logins; true || go build")
        .object(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"},
                       "stringData": {"config.json": "{\"auths\": {}}"}}))
        .object(pipeline_run("matrix", &params, &with_logins))
        .claim("source", &folder.join("source"))
        .run_one()
        .unwrap();
    let matrix = results(&report);
    for run in report["taskRuns"].as_array().unwrap() {
        let log = run["steps"][0]["log"].as_str().unwrap();
        assert!(!log.contains("sees logins"), "{log}");
    }
    assert_complete(&registry, "matrix", matrix["IMAGE_DIGEST"].as_str().unwrap());
    assert_eq!(matrix["IMAGES"].as_str().unwrap().split(',').count(), 2);
}

/// Runs the Pipeline for a language whose image isn't here: the build's output is already in the folder.
fn with_built(language: &str, build: &str, files: &[&str], params: &Value) -> Option<(Registry, Value)> {
    let registry = Registry::inside();
    images::index(Style::Oci, 1, 2, 1, 100).push(&registry, "base", "v1");
    let folder = Folder::new();
    for file in files {
        folder.write_program(&format!("source/{file}"), format!("contents of {file}"));
    }
    let mut all = params.clone();
    all["repository"] = json!(registry.at("staging"));
    all["release"] = json!(registry.at("release"));
    all["version"] = json!("v1");
    all["base"] = json!(registry.at("base:v1"));
    let source = json!([{"name": "source", "persistentVolumeClaim": {"claimName": "source"}}]);
    let report = cluster()
        .file(&format!("tasks/pipeline/{language}.yaml"))
        .replace(build, &format!("exit 0; {build}"))
        .object(pipeline_run(language, &all, &source))
        .claim("source", &folder.join("source"))
        .run_one()?;
    let digest = results(&report)["IMAGE_DIGEST"].as_str().unwrap().to_owned();
    assert_complete(&registry, "release", &digest);
    assert_eq!(registry.manifest("staging", "v1").header("docker-content-digest"), Some(digest.as_str()));
    let index: Value = serde_json::from_slice(&registry.manifest_bytes("release", "v1")).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    let child = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest: Value = serde_json::from_slice(&registry.manifest_bytes("release", child)).unwrap();
    let digest = manifest["config"]["digest"].as_str().unwrap();
    let url = registry.url(&format!("release/blobs/{digest}"));
    let config = serde_json::from_slice(&client::request("GET", &url, &[], b"").body).unwrap();
    Some((registry, config))
}

#[test]
fn a_rust_program_that_was_built_is_appended_joined_and_promoted() {
    let files = ["out/amd64/app", "out/arm64/app"];
    let Some((_registry, config)) = with_built("rust", "cp -r /usr", &files, &json!({"program": "app"})) else {
        return;
    };
    assert_eq!(config["config"]["Entrypoint"], json!(["/app"]));
    assert_eq!(config["config"]["User"], "65532:65532");
}

#[test]
fn a_node_program_whose_dependencies_are_there_is_appended_joined_and_promoted() {
    let files = ["node_modules/a/index.js", "node_modules/.package-lock.json", "src/main.mjs"];
    let Some((_registry, config)) = with_built("node", "npm ci", &files, &json!({"main": "main.mjs"})) else { return };
    assert_eq!(config["config"]["Entrypoint"], json!(["node", "main.mjs"]));
    assert_eq!(config["config"]["WorkingDir"], "/srv/app");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
}

#[test]
fn many_images_are_promoted_by_a_matrix() {
    let (from, to) = (Registry::inside(), Registry::inside());
    let names = ["app:v1", "team/web:v2", "base:3"];
    let made: Vec<images::Image> = (1..).map(|seed| images::index(Style::Oci, seed, 2, 1, 100)).take(3).collect();
    for (name, image) in names.iter().zip(&made) {
        let (repository, tag) = name.split_once(':').unwrap();
        image.push(&from, repository, tag);
    }
    let params = json!({"images": names, "from": from.host, "to": to.at("mirror")});
    let run = pipeline_run("promote-many", &params, &json!([]));
    let Some(report) = cluster().file("tasks/pipeline/promote-many.yaml").object(run).run_one() else { return };
    assert_eq!(report["succeeded"], true, "{report:#}");
    for ((name, image), run) in names.iter().zip(&made).zip(report["taskRuns"].as_array().unwrap()) {
        let repository = name.split_once(':').unwrap().0;
        assert_eq!(run["results"]["IMAGE_REF"], to.at(&format!("mirror/{repository}@{}", image.digest())));
    }
    for (name, image) in names.iter().zip(&made) {
        let (repository, tag) = name.split_once(':').unwrap();
        assert_image(&to, &format!("mirror/{repository}"), tag, image);
    }
}
