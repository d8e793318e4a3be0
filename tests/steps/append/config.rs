//! The options for the image config.

use serde_json::{Value, json};

use super::{append, config, manifest};
use crate::support::{Folder, Registry, Style, assert_complete, images, registries};

/// The manifest and the config of each image of an index.
fn children(registry: &Registry, repository: &str, tag: &str) -> Vec<(Value, Value)> {
    let index = manifest(registry, repository, tag);
    let digests = index["manifests"].as_array().unwrap().iter().map(|child| child["digest"].as_str().unwrap());
    let images = digests.map(|digest| manifest(registry, repository, digest));
    images.map(|image| (image.clone(), config(registry, repository, &image))).collect()
}

/// A file, and the `--layer` value that adds it to an image.
fn some_file() -> (Folder, String) {
    let folder = Folder::new();
    let path = folder.write("f", "x");
    (folder, format!("{}=/opt/f", path.display()))
}

#[test]
fn every_flag_in_one_push() {
    let base = images::image(1, 1, 300);
    let folder = Folder::new();
    folder.write("f", "x");
    let layer = format!("{}=/opt/f", folder.join("f").display());
    for registry in registries() {
        base.push(&registry, "base", "v1");
        append(&registry.at("base:v1"), &registry.at("one:v1"))
            .args(["--layer", &layer, "--cmd", r#"["sh","-c"]"#, "--env", "A=1", "B=2", "--label", "x=1", "y=2"])
            .run()
            .ended(0);
        append(&registry.at("one:v1"), &registry.at("two:v1"))
            .args(["--layer", &layer, "--entrypoint", r#"["/app"]"#, "--env", "A=b=c d", "--unset-env", "B"])
            .args(["--unset-label", "x", "--user", "1000:100", "--workdir", "/work", "--expose", "8080", "53/udp"])
            .args(["--volume", "/data", "--stop-signal", "SIGINT", "--created", "86400"])
            .run()
            .ended(0);
        let image = manifest(&registry, "two", "v1");
        let found = config(&registry, "two", &image);
        assert_eq!(
            found["config"],
            json!({
                "Healthcheck": {"Test": ["CMD", "true"]}, "OnBuild": ["RUN true"], "Env": ["A=b=c d"],
                "Labels": {"y": "2"}, "Entrypoint": ["/app"], "ExposedPorts": {"8080/tcp": {}, "53/udp": {}},
                "Volumes": {"/data": {}}, "User": "1000:100", "WorkingDir": "/work", "StopSignal": "SIGINT",
            })
        );
        assert_eq!(found["created"], "1970-01-02T00:00:00Z");
        append(&registry.at("one:v1"), &registry.at("three:v1"))
            .args(["--layer", &layer, "--entrypoint", r#"["/app"]"#, "--keep-cmd"])
            .run()
            .ended(0);
        let image = manifest(&registry, "three", "v1");
        assert_eq!(config(&registry, "three", &image)["config"]["Cmd"], json!(["sh", "-c"]));
    }
}

#[test]
fn annotations_of_the_ci_system_and_of_the_user() {
    let folder = Folder::new();
    folder.write("f", "x");
    let layer = format!("{}=/f,platform=linux/amd64", folder.join("f").display());
    for registry in registries() {
        append("scratch", &registry.at("app:v1"))
            .args(["--layer", &layer, "--annotate-from-ci", "--annotation", "org.opencontainers.image.version=9"])
            .env("CI_PROJECT_URL", "https://token:secret@git.example/org/app")
            .env("CI_COMMIT_SHA", "abcdef")
            .env("CI_COMMIT_TAG", "v1")
            .run()
            .ended(0);
        assert_eq!(
            manifest(&registry, "app", "v1")["annotations"],
            json!({
                "org.opencontainers.image.source": "https://git.example/org/app",
                "org.opencontainers.image.revision": "abcdef",
                "org.opencontainers.image.version": "9",
            })
        );
    }
}

#[test]
fn every_flag_can_be_for_one_platform_and_overrides_one_for_all() {
    let base = images::index(Style::Oci, 1, 2, 1, 300);
    let (_folder, layer) = some_file();
    for registry in registries() {
        base.push(&registry, "base", "v1");
        append(&registry.at("base:v1"), &registry.at("one:v1"))
            .args(["--layer", &layer, "--env", "A=1", "B=2", "--label", "x=1", "y=2", "--annotation", "p=1", "q=2"])
            .run()
            .ended(0);
        let run = append(&registry.at("one:v1"), &registry.at("two:v1"))
            .args(["--layer", &layer])
            // The one for a single platform comes first: the order makes no difference.
            .args(["--entrypoint", r#"[linux/arm64]["/app-arm64"]"#, "--entrypoint", r#"["/app"]"#])
            .args(["--cmd", r#"["-v"]"#, "--cmd", r#"[linux/arm64] ["-q"]"#])
            .args(["--env", "[linux/arm64]A=arm", "A=all", "[linux/arm64]C=c", "--unset-env", "[linux/arm64]B"])
            .args(["--label", "[linux/arm64]x=arm", "x=all", "--unset-label", "[linux/arm64]y"])
            .args(["--annotation", "[linux/arm64]p=arm", "p=all", "--unset-annotation", "[linux/arm64]q"])
            .args([
                "--user",
                "[linux/arm64]2:2",
                "--user",
                "1:1",
                "--workdir",
                "/all",
                "--workdir",
                "[linux/arm64]/arm",
            ])
            .args(["--expose", "80", "[linux/arm64]81/udp", "--volume", "/all", "[linux/arm64]/arm"])
            .args(["--stop-signal", "[linux/arm64]SIGQUIT", "--stop-signal", "SIGINT"])
            .args(["--created", "[linux/arm64]86400", "--created", "0"])
            .run()
            .ended(0);
        assert_complete(&registry, "two", &super::digest(&run));
        let found = children(&registry, "two", "v1");
        let kept = json!({"Healthcheck": {"Test": ["CMD", "true"]}, "OnBuild": ["RUN true"]});
        let expected = |own: Value| {
            let mut all = kept.clone();
            all.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
            all
        };
        assert_eq!(
            found[0].1["config"],
            expected(json!({
                "Env": ["A=all", "B=2"], "Labels": {"x": "all", "y": "2"}, "Entrypoint": ["/app"], "Cmd": ["-v"],
                "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/all": {}}, "User": "1:1", "WorkingDir": "/all",
                "StopSignal": "SIGINT",
            }))
        );
        assert_eq!(
            found[1].1["config"],
            expected(json!({
                "Env": ["A=arm", "C=c"], "Labels": {"x": "arm"}, "Entrypoint": ["/app-arm64"], "Cmd": ["-q"],
                "ExposedPorts": {"80/tcp": {}, "81/udp": {}}, "Volumes": {"/all": {}, "/arm": {}}, "User": "2:2",
                "WorkingDir": "/arm", "StopSignal": "SIGQUIT",
            }))
        );
        for ((_, config), created) in found.iter().zip(["1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"]) {
            assert_eq!(config["created"], created);
            assert_eq!(config["history"][2]["created"], created);
        }
        // A platform's value is set on its manifest only, not on the index or the descriptor in it.
        let annotated = |value: &Value| [value["annotations"]["p"].clone(), value["annotations"]["q"].clone()];
        let index = manifest(&registry, "two", "v1");
        assert_eq!(annotated(&index), ["all", "2"]);
        assert_eq!(annotated(&found[0].0), ["all", "2"]);
        assert_eq!(annotated(&found[1].0), [json!("arm"), Value::Null]);
        assert!(!index["manifests"].to_string().contains("annotations"), "{index}");
    }
}

#[test]
fn several_platforms_in_brackets_and_the_more_specific_one_wins() {
    let base = images::index(Style::Docker, 1, 4, 1, 300);
    let (_folder, layer) = some_file();
    for registry in registries() {
        base.push(&registry, "base", "v1");
        append(&registry.at("base:v1"), &registry.at("app:v1"))
            .args(["--layer", &layer, "--user=[linux/arm64, linux/arm/v6]1", "--env", "[linux/arm]A=v7"])
            .run()
            .ended(0);
        let found = children(&registry, "app", "v1");
        let each = |name: &str| found.iter().map(|(_, config)| config["config"][name].clone()).collect::<Vec<_>>();
        assert_eq!(each("User"), [Value::Null, json!("1"), Value::Null, json!("1")]);
        // As with --platform, the usual variant is assumed if none is given.
        assert_eq!(each("Env"), [Value::Null, Value::Null, json!(["A=v7"]), Value::Null]);
    }
}

#[test]
fn a_single_image_and_scratch_have_platforms_too() {
    let base = images::image(1, 1, 300);
    let (_folder, layer) = some_file();
    for registry in registries() {
        base.push(&registry, "base", "v1");
        append(&registry.at("base:v1"), &registry.at("app:v1"))
            .args(["--layer", &layer, "--user", "[linux/amd64]1"])
            .run()
            .ended(0);
        let image = manifest(&registry, "app", "v1");
        assert_eq!(config(&registry, "app", &image)["config"]["User"], "1");
        append("scratch", &registry.at("app:v2"))
            .args(["--layer", &layer, "--platform", "linux/amd64,linux/arm/v6", "--user", "[linux/arm/v6]1"])
            .run()
            .ended(0);
        let found = children(&registry, "app", "v2");
        assert_eq!(found[0].1["config"], json!({}));
        assert_eq!(found[1].1["config"], json!({"User": "1"}));
    }
}

#[test]
fn a_platform_that_the_result_does_not_have_ends_with_3() {
    let base = images::index(Style::Oci, 1, 3, 1, 300);
    let (_folder, layer) = some_file();
    for registry in registries() {
        base.push(&registry, "base", "v1");
        let step = || append(&registry.at("base:v1"), &registry.at("app:v1")).args(["--layer", &layer]);
        for (option, value) in [
            ("--entrypoint", r#"["/app"]"#),
            ("--cmd", "[]"),
            ("--env", "A=1"),
            ("--unset-env", "A"),
            ("--label", "a=1"),
            ("--unset-label", "a"),
            ("--annotation", "a=1"),
            ("--unset-annotation", "a"),
            ("--user", "1"),
            ("--workdir", "/w"),
            ("--expose", "80"),
            ("--volume", "/v"),
            ("--stop-signal", "9"),
            ("--created", "0"),
        ] {
            let there =
                "the result has no image for linux/amd46; available platforms: linux/amd64, linux/arm64, linux/arm/v7";
            let word = format!("{option}=[linux/amd64,linux/amd46]{value}");
            step().args([word]).run().failed(3, &[&format!("{option}: {there}")]);
        }
        // The base has it, but it wasn't selected.
        step().args(["--platform", "linux/amd64,linux/arm/v7", "--user", "[linux/arm64]1"]).run().failed(
            3,
            &["--user: the result has no image for linux/arm64; available platforms: linux/amd64, linux/arm/v7"],
        );
        assert!(!registry.has_manifest("app", "v1"));
    }
}

#[test]
fn two_values_for_one_platform_end_with_2() {
    let (folder, layer) = some_file();
    let out = format!("oci:{}", folder.join("out").display());
    let layer = format!("{layer},mode=0755");
    let step = |words: &[&str]| {
        append("scratch", &out).args(["--layer", &layer, "--platform", "linux/amd64,linux/arm64"]).args(words).run()
    };
    for (option, value) in [
        ("--entrypoint", r#"["/opt/f"]"#),
        ("--cmd", "[]"),
        ("--user", "1"),
        ("--workdir", "/w"),
        ("--stop-signal", "9"),
        ("--created", "0"),
    ] {
        let one = |scope: &str| format!("{option}={scope}{value}");
        let arm = one("[linux/arm64]");
        step(&[&one(""), &arm, &one("")]).failed(2, &[option, "twice for all platforms"]);
        step(&[&arm, &one(""), &one("[linux/amd64,linux/aarch64]")]).failed(2, &[option, "twice for linux/arm64"]);
        step(&[&one("[linux/arm64/v8,linux/arm64]")]).failed(2, &[option, "twice for linux/arm64"]);
        step(&[&one(""), &arm, "--dry-run"]).ended(0);
    }
    // An extra space: the second part would apply to every platform.
    step(&["--env", "[linux/arm64]", "A=1"]).failed(2, &["--env: `[linux/arm64]` has no value", "as one argument"]);
    step(&["--entrypoint", "[linux/arm64]/app -v"]).failed(2, &["--entrypoint: `/app -v` is not a JSON array"]);
    step(&["--env", "[linux/arm64]A"]).failed(2, &["--env: `A` is not KEY=VALUE"]);
    step(&["--annotation", "[linux/arm64]a=1", "--format", "docker"]).failed(2, &["--format oci"]);
    assert!(!folder.join("out").exists());
}

#[test]
fn the_environment_has_one_value_a_line_and_json_over_several() {
    let base = images::index(Style::Oci, 1, 2, 1, 300);
    let (_folder, layer) = some_file();
    for registry in registries() {
        base.push(&registry, "base", "v1");
        let step = |tag: &str| append(&registry.at("base:v1"), &registry.at(tag)).args(["--layer", &layer]);
        step("app:v1")
            .env("IMGSTEP_ENTRYPOINT", "[\n  \"/app\",\n  \"-v\"\n]\n")
            .env("IMGSTEP_CMD", "[\"a\"]\n\n[linux/arm64][\n  \"b\"\n]\n")
            .env("IMGSTEP_USER", "1\n[linux/arm64]2\n")
            .env("IMGSTEP_ENV", "A=all\n[linux/arm64]A=arm\nB=[x]")
            .env("IMGSTEP_WORKDIR", "/of/the/environment")
            .args(["--workdir", "/of/the/words"])
            .run()
            .ended(0);
        let found = children(&registry, "app", "v1");
        for ((_, config), (cmd, user, env)) in found.iter().zip([("a", "1", "A=all"), ("b", "2", "A=arm")]) {
            let run = &config["config"];
            assert_eq!(run["Entrypoint"], json!(["/app", "-v"]));
            assert_eq!(run["Cmd"], json!([cmd]));
            assert_eq!(run["User"], user);
            assert_eq!(run["Env"], json!([env, "B=[x]"]));
            assert_eq!(run["WorkingDir"], "/of/the/words");
        }
        step("app:v2").env("IMGSTEP_USER", "1\n2").run().failed(2, &["--user", "twice"]);
        step("app:v2").env("IMGSTEP_CMD", "[\"a\"]\nb c").run().failed(2, &["--cmd: `b c` is not a JSON array"]);
    }
}
