//! Each Task and StepAction in a Pod: as an unknown user, with a read-only root.

use serde_json::{Value, json};

use crate::support::images::ACCEPT;
use crate::support::tekton::{REGISTRY, cluster, results, task_run};
use crate::support::{Folder, Registry, Style, assert_complete, assert_image, client, images, registries};

/// What a Task's `tests/run.yaml` creates in a registry.
fn run_yaml(registry: &Registry, step: &str) -> Option<Value> {
    let report = cluster()
        .file(&format!("tasks/task/imgstep-{step}/tests/run.yaml"))
        .replace(REGISTRY, &registry.host)
        .run_one()?;
    assert_eq!(report["succeeded"], true, "{report:#}");
    let runs = report["taskRuns"].as_array().unwrap();
    for run in runs {
        let step = &run["steps"][0];
        assert!(step["user"].as_u64().unwrap() >= 1_000_000, "{step}");
        assert!(!step["log"].as_str().unwrap().contains("error"), "{step}");
    }
    Some(runs.last().unwrap()["results"].clone())
}

#[test]
fn the_run_of_every_task() {
    for registry in registries() {
        let Some(promoted) = run_yaml(&registry, "promote") else { return };
        let digest = promoted["IMAGE_DIGEST"].as_str().unwrap();
        for tag in ["v1.0.0", "v1.0", "v1"] {
            assert_eq!(registry.manifest("release/app", tag).header("docker-content-digest"), Some(digest));
        }
        assert_complete(&registry, "release/app", digest);
        assert_eq!(
            promoted,
            json!({
                "IMAGE_URL": registry.at("release/app:v1.0.0"),
                "IMAGE_DIGEST": digest,
                "IMAGE_REF": registry.at(&format!("release/app@{digest}")),
                "SOURCE_ARTIFACT_INPUTS": {"uri": registry.at("staging/app"), "digest": digest},
            })
        );

        let appended = run_yaml(&registry, "append").unwrap();
        let append = registry.at(&format!("staging/app@{digest}"));
        assert_eq!(appended["IMAGE_REF"], append);
        assert_eq!(appended["IMAGES"], append);
        assert_eq!(appended.get("BASE_ARTIFACT_INPUTS"), None, "scratch is no input");

        let index = run_yaml(&registry, "index").unwrap();
        assert_complete(&registry, "staging/app", index["IMAGE_DIGEST"].as_str().unwrap());
        let children: Vec<&str> = index["IMAGES"].as_str().unwrap().split(',').collect();
        assert_eq!(children.len(), 2);
        assert!(children.iter().all(|child| child.starts_with(&registry.at("staging/app@sha256:"))), "{children:?}");

        let mutated = run_yaml(&registry, "mutate").unwrap();
        assert_eq!(mutated["SOURCE_ARTIFACT_INPUTS"]["digest"], digest);
        assert_ne!(mutated["IMAGE_DIGEST"], digest);
        assert_complete(&registry, "staging/app", mutated["IMAGE_DIGEST"].as_str().unwrap());

        let tagged = run_yaml(&registry, "tag").unwrap();
        assert_eq!(tagged["IMAGE_DIGEST"], digest);
        assert!(registry.has_manifest("staging/app", "stable"));
    }
}

#[test]
fn a_pod_here_is_as_narrow_as_a_cluster_would_have_it() {
    let script = "#!/bin/sh
        whoami || echo nobody knows me
        grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status
        for place in / /usr /tmp /workspace/in $(credentials.path) /tekton/home /tekton/results; do
            touch $place/x 2>&1 && echo wrote $place
        done
        readlink /workspace/in/hello.txt
        [ -e /root ] || echo no root";
    let run = json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "narrow"},
        "spec": {
            "workspaces": [{"name": "in", "configMap": {"name": "files"}}],
            "taskSpec": {
                "workspaces": [{"name": "in", "readOnly": true}],
                "steps": [{
                    "name": "look", "image": "machine.example/any:v1", "script": script,
                    "securityContext": {"readOnlyRootFilesystem": true, "runAsNonRoot": true},
                }],
            },
        },
    });
    let files = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"},
                       "data": {"hello.txt": "hello"}});
    let Some(report) = cluster().object(files).object(run).run_one() else { return };
    results(&report);
    let log = report["steps"][0]["log"].as_str().unwrap();
    let has = |text: &str| assert!(log.contains(text), "no {text} in {log}");
    has("nobody knows me");
    has("CapEff:\t0000000000000000");
    has("NoNewPrivs:\t1");
    has("no root");
    has("..data/hello.txt");
    let wrote: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("wrote ")).collect();
    assert_eq!(wrote, ["/tekton/creds", "/tekton/home", "/tekton/results"], "{log}");
    assert!(log.matches("Read-only file system").count() == 4, "{log}");
}

#[test]
fn step_actions_pass_results_to_each_other() {
    let registry = Registry::inside();
    let step = |name: &str, params: &Value| {
        let params: Vec<Value> =
            params.as_object().unwrap().iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        json!({"name": name, "ref": {"name": format!("imgstep-{name}")}, "params": params})
    };
    let run = json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "all"},
        "spec": {
            "workspaces": [{"name": "files", "configMap": {"name": "files"}}],
            "taskSpec": {
                "workspaces": [{"name": "files"}],
                "results": [
                    {"name": "IMAGE_DIGEST", "value": "$(steps.promote.results.IMAGE_DIGEST)"},
                    {"name": "SOURCE_ARTIFACT_INPUTS", "type": "object", "properties": {"uri": {}, "digest": {}},
                     "value": "$(steps.promote.results.SOURCE_ARTIFACT_INPUTS)"},
                    {"name": "IMAGES", "value": "$(steps.index.results.IMAGES)"},
                ],
                "steps": [
                    step("append", &json!({
                        "source-path": "$(workspaces.files.path)", "base": "scratch", "to": [registry.at("app:amd64")],
                        "layer": ["hello.txt=/hello.txt,platform=linux/amd64"],
                    })),
                    step("mutate", &json!({
                        "image": "$(steps.append.results.IMAGE_REF)", "to": [registry.at("app:labelled")],
                        "label": ["a=b c"], "cmd": "[\"-v\",\"--\"]",
                    })),
                    step("index", &json!({
                        "images": ["$(steps.mutate.results.IMAGE_REF)"], "to": [registry.at("app:v1")],
                    })),
                    step("promote", &json!({
                        "source": "$(steps.index.results.IMAGE_REF)", "to": [registry.at("release:v1")],
                    })),
                    step("tag", &json!({
                        "image": "$(steps.promote.results.IMAGE_REF)", "tags": ["stable"],
                    })),
                ],
            },
        },
    });
    let files = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"},
                       "data": {"hello.txt": "hello"}});
    let Some(report) = cluster().object(files).object(run).run_one() else { return };
    let results = results(&report);
    let digest = results["IMAGE_DIGEST"].as_str().unwrap();
    assert_complete(&registry, "release", digest);
    assert_eq!(registry.manifest("release", "stable").header("docker-content-digest"), Some(digest));
    assert_eq!(results["SOURCE_ARTIFACT_INPUTS"], json!({"uri": registry.at("app"), "digest": digest}));
    assert!(results["IMAGES"].as_str().unwrap().starts_with(&registry.at("app@sha256:")));
}

/// An index of this many platforms.
fn many(count: u64) -> images::Image {
    let children = (0..count).map(|number| {
        let on = format!("linux/cpu{number}");
        (images::image_of(Style::Oci, &on, images::layers(Style::Oci, number, 1, 10)), images::platform(&on))
    });
    images::index_of(Style::Oci, children.collect())
}

#[test]
fn too_long_results_fail_the_step_and_name_the_limit() {
    let registry = Registry::inside();
    let image = many(45);
    image.push(&registry, "many", "v1");
    let params = json!({"images": [registry.at("many:v1")], "to": [registry.at("index:v1")]});
    let Some(report) = cluster().object(task_run("index", &params, &json!([]))).run_one() else { return };
    assert_eq!(report["succeeded"], false, "{report:#}");
    assert_eq!(report.get("results"), None, "{report:#}");
    let step = &report["steps"][0];
    assert_eq!(step["exitCode"], 1, "{step:#}");
    let log = step["log"].as_str().unwrap();
    assert!(
        log.contains("too long for Tekton")
            && log.contains("the limit is 4096")
            && log.contains("the longest, `images`"),
        "{log}"
    );
    assert!(registry.has_manifest("index", "v1"), "what was written stays");

    // The longest results that fit are written in full: Tekton's termination message is as long as was calculated.
    let image = many(38);
    image.push(&registry, "many", "v2");
    let params = json!({"images": [registry.at("many:v2")], "to": [registry.at("index:v2")]});
    let report = cluster().object(task_run("index", &params, &json!([]))).run_one().unwrap();
    let images = results(&report)["IMAGES"].as_str().unwrap();
    assert_eq!(images.split(',').count(), 38);
    assert!(report["steps"][0]["termination"].as_str().unwrap().len() > images.len());
}

#[test]
fn where_a_sidecar_reads_results_there_is_no_limit_of_4096_bytes() {
    let registry = Registry::inside();
    let image = many(45);
    image.push(&registry, "many", "v1");
    let params = json!({"images": [registry.at("many:v1")], "to": [registry.at("index:v1")]});
    let run = cluster().object(task_run("index", &params, &json!([]))).results_from("sidecar-logs");
    let Some(report) = run.run_one() else { return };
    let step = &report["steps"][0];
    assert_eq!(step["exitCode"], 0, "{report:#}");
    assert!(!step["log"].as_str().unwrap().contains("too long"), "{step}");
    assert!(registry.has_manifest("index", "v1"));
}

#[test]
fn many_images_are_one_list_of_the_task() {
    let (from, to) = (Registry::inside(), Registry::inside());
    let made: Vec<images::Image> = (1..4).map(|seed| images::image(seed, 1, 100)).collect();
    let lines = made.iter().enumerate().map(|(at, image)| {
        image.push(&from, &format!("app{at}"), "v1");
        format!("{} {}", from.at(&format!("app{at}:v1")), to.at(&format!("team/app{at}:v1")))
    });
    let params = json!({"list": lines.collect::<Vec<_>>(), "tags": ["stable"]});
    let Some(report) = cluster().object(task_run("promote", &params, &json!([]))).run_one() else { return };
    assert_eq!(report["succeeded"], true, "{report:#}");
    assert_eq!(report.get("results"), None, "{report:#}");
    for (at, image) in made.iter().enumerate() {
        for tag in ["v1", "stable"] {
            assert_image(&to, &format!("team/app{at}"), tag, image);
        }
    }
}

#[test]
fn a_value_is_a_value_whatever_is_in_it() {
    let registry = Registry::inside();
    let image = images::image(1, 1, 100);
    image.push(&registry, "app", "v1");
    for (source, expected) in
        [("--dry-run", "it can't begin with `-`"), ("$(cat /etc/passwd)", "SOURCE"), ("", "SOURCE")]
    {
        let params = json!({"source": source, "to": [registry.at("copy:v1")]});
        let Some(report) = cluster().object(task_run("promote", &params, &json!([]))).run_one() else { return };
        let step = &report["steps"][0];
        assert_eq!(step["exitCode"], 2, "{step:#}");
        assert!(step["log"].as_str().unwrap().contains(expected), "{step:#}");
    }
    assert!(!registry.has_manifest("copy", "v1"));
}

#[test]
fn a_layout_in_a_workspace_is_written_and_read() {
    let registry = Registry::inside();
    let image = images::index(Style::Oci, 1, 2, 2, 1000);
    image.push(&registry, "app", "v1");
    let folder = Folder::new();
    let claim = folder.join("claim");
    std::fs::create_dir(&claim).unwrap();
    open(&claim);
    let workspaces = json!([{"name": "layouts", "persistentVolumeClaim": {"claimName": "build"}}]);
    let out = task_run("promote", &json!({"source": registry.at("app:v1"), "to": ["oci:image:v1"]}), &workspaces);
    let back = task_run("promote", &json!({"source": "oci:image:v1", "to": [registry.at("copy:v1")]}), &workspaces);
    for run in [out, back] {
        let Some(report) = cluster().object(run).claim("build", &claim).run_one() else { return };
        // The second run is another user, as in another namespace.
        assert_eq!(results(&report)["IMAGE_DIGEST"], image.digest());
    }
    assert_image(&registry, "copy", "v1", &image);
}

/// Makes a folder world-writable, as a volume is for the group of its Pods.
fn open(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}

#[test]
fn every_sample_works_once_its_names_are_changed() {
    let registry = Registry::inside();
    let amd64 = images::image_of(Style::Oci, "linux/amd64", images::layers(Style::Oci, 1, 1, 100));
    let arm64 = images::image_of(Style::Oci, "linux/arm64", images::layers(Style::Oci, 2, 1, 100));
    amd64.push(&registry, "org/app", "v1-amd64");
    arm64.push(&registry, "org/app", "v1-arm64");
    let index = images::index_of(
        Style::Oci,
        vec![(amd64, images::platform("linux/amd64")), (arm64, images::platform("linux/arm64"))],
    );
    for tag in ["main", "v1", "v1.2.3"] {
        index.push(&registry, "org/app", tag);
    }
    let build = Folder::new();
    build.write_program("claim/build/amd64/app", "a program");
    build.write_program("claim/build/arm64/app", "another");
    let login = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry-login"},
                       "stringData": {".dockerconfigjson": "{\"auths\": {}}"}});
    for (sample, step) in [
        ("append/samples/program", "append"),
        ("index/samples/join", "index"),
        ("mutate/samples/labels", "mutate"),
        ("promote/samples/release", "promote"),
        ("tag/samples/stable", "tag"),
    ] {
        let run = cluster()
            .file(&format!("tasks/task/imgstep-{sample}.yaml"))
            .object(login.clone())
            .claim("build", &build.join("claim"))
            .replace("ghcr.io/org", &registry.at("org"))
            .replace("registry.example", &registry.host);
        let Some(report) = run.run_one() else { return };
        let digest = results(&report)["IMAGE_DIGEST"].as_str().unwrap_or_else(|| panic!("{step}: {report:#}"));
        let repository = if step == "promote" { "app" } else { "org/app" };
        assert_complete(&registry, repository, digest);
    }
    assert!(registry.has_manifest("app", "v1.2") && registry.has_manifest("org/app", "stable"));
    // The param with several lines: one value for all platforms, one for some.
    let index: Value = serde_json::from_slice(&registry.manifest_bytes("org/app", "v1-labelled")).unwrap();
    let entrypoints: Vec<Value> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|child| {
            let get = |path: String| client::request("GET", &registry.url(&path), &[("Accept", ACCEPT)], b"").body;
            let digest = child["digest"].as_str().unwrap();
            let manifest: Value = serde_json::from_slice(&get(format!("org/app/manifests/{digest}"))).unwrap();
            let digest = manifest["config"]["digest"].as_str().unwrap();
            let config: Value = serde_json::from_slice(&get(format!("org/app/blobs/{digest}"))).unwrap();
            config["config"]["Entrypoint"].clone()
        })
        .collect();
    assert_eq!(entrypoints, [json!(["/app"]), json!(["/app", "--small"])]);
}

#[test]
fn the_base_is_an_input_and_a_dry_run_has_no_results() {
    let registry = Registry::inside();
    let base = images::index(Style::Oci, 1, 2, 1, 100);
    base.push(&registry, "base", "v1");
    let files = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"},
                       "data": {"hello.txt": "hello"}});
    let workspaces = json!([{"name": "source", "configMap": {"name": "files"}}]);
    let append = |dry_run: &str, to: &str| {
        let params = json!({"base": registry.at("base:v1"), "to": [registry.at(to)], "dry-run": dry_run,
                            "layer": ["hello.txt=/hello.txt"], "retries": ""});
        cluster().object(files.clone()).object(task_run("append", &params, &workspaces)).run_one()
    };
    let Some(report) = append("false", "app:v1") else { return };
    let done = results(&report);
    assert_eq!(done["BASE_ARTIFACT_INPUTS"], json!({"uri": registry.at("base"), "digest": base.digest()}));
    assert_eq!(done["IMAGES"].as_str().unwrap().split(',').count(), 2);
    assert_complete(&registry, "app", done["IMAGE_DIGEST"].as_str().unwrap());
    let report = append("true", "other:v1").unwrap();
    assert_eq!(report["succeeded"], true, "{report:#}");
    assert_eq!(report.get("results"), None, "{report:#}");
    assert!(!registry.has_manifest("other", "v1"));
}
