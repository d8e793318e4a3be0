//! What is changed in a config, and what is kept.

use serde_json::{Value, json};

use super::{config, manifest, mutate};
use crate::support::{Image, Style, assert_complete, images, imgstep, other_tool, pairs, registries};

/// An image whose config has a bit of everything, and an unknown field.
fn rich() -> Image {
    let fields = json!({
        "x-first": [1], "architecture": "arm", "os": "linux", "variant": "v7", "created": "2020-01-01T00:00:00Z",
        "config": {
            "Env": ["PATH=/bin", "OLD=1", "GONE=x"], "Cmd": ["sh"], "Labels": {"b": "1", "a": "2", "gone": "3"},
            "Healthcheck": {"Test": ["CMD", "true"]}, "x-strange": null,
        },
        "history": [{"created_by": "base"}],
    });
    images::image_with(Style::Oci, fields, images::layers(Style::Oci, 1, 2, 600))
}

#[test]
fn everything_given_is_changed_and_the_rest_keeps_its_order() {
    let image = rich();
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let run = mutate(&source.at("app:v1"), &destination.at("app:v2"))
            .args(["--entrypoint", r#"["/app","-v"]"#, "--env", "OLD=a=b c", "NEW=", "--unset-env", "GONE"])
            .args(["--label", "a=x y", "c=", "--unset-label", "gone", "--user", "65532:65532", "--workdir", "/work"])
            .args(["--expose", "8080", "53/udp", "--volume", "/data", "--stop-signal", "SIGINT"])
            .args(["--created", "1714979289"])
            .run()
            .ended(0);
        let digest = images::sha256(&destination.manifest_bytes("app", "v2"));
        assert_eq!(run.stdout, format!("{}@{digest}\n", destination.at("app")));
        assert_complete(&destination, "app", &digest);
        let rootfs: Value = serde_json::from_str(&config(&source, "app", "v1")).unwrap();
        let expected = format!(
            r#"{{"x-first":[1],"architecture":"arm","os":"linux","variant":"v7","created":"2024-05-06T07:08:09Z","config":{{"Env":["PATH=/bin","OLD=a=b c","NEW="],"Labels":{{"b":"1","a":"x y","c":""}},"Healthcheck":{{"Test":["CMD","true"]}},"x-strange":null,"Entrypoint":["/app","-v"],"ExposedPorts":{{"8080/tcp":{{}},"53/udp":{{}}}},"Volumes":{{"/data":{{}}}},"User":"65532:65532","WorkingDir":"/work","StopSignal":"SIGINT"}},"history":[{{"created_by":"base"}}],"rootfs":{}}}"#,
            rootfs["rootfs"]
        );
        assert_eq!(config(&destination, "app", "v2"), expected);
        let (before, after) = (manifest(&source, "app", "v1"), manifest(&destination, "app", "v2"));
        assert_eq!(after["layers"], before["layers"]);
        assert_eq!(after["config"]["mediaType"], images::OCI_CONFIG);
    }
}

#[test]
fn the_cmd_goes_with_the_entrypoint_unless_it_is_kept_or_given() {
    let image = rich();
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let cmd = |tag: &str, words: &[&str]| {
            let to = registry.at(&format!("app:{tag}"));
            mutate(&registry.at("app:v1"), &to).args(["--entrypoint", r#"["/a"]"#]).args(words).run().ended(0);
            let config: Value = serde_json::from_str(&config(&registry, "app", tag)).unwrap();
            config["config"]["Cmd"].to_string()
        };
        assert_eq!(cmd("gone", &[]), "null");
        assert_eq!(cmd("kept", &["--keep-cmd"]), r#"["sh"]"#);
        assert_eq!(cmd("given", &["--cmd", r#"["-x","--y"]"#]), r#"["-x","--y"]"#);
    }
}

#[test]
fn docker_images_stay_docker_images() {
    let image = images::index(Style::Docker, 1, 2, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        mutate(&registry.at("app:v1"), &registry.at("app:v2")).args(["--label", "a=b"]).run().ended(0);
        let index = manifest(&registry, "app", "v2");
        assert_eq!(index["mediaType"], images::DOCKER_LIST);
        for child in index["manifests"].as_array().unwrap() {
            let child = manifest(&registry, "app", child["digest"].as_str().unwrap());
            assert_eq!(child["mediaType"], images::DOCKER_MANIFEST);
            assert_eq!(child["config"]["mediaType"], images::DOCKER_CONFIG);
        }
    }
}

#[test]
fn without_changes_the_digest_stays() {
    let (image, index) = (rich(), images::attested(1));
    for (source, destination) in pairs() {
        image.push(&source, "app", "image");
        index.push(&source, "app", "index");
        let same: [&[&str]; 3] = [
            &[],
            &["--unset-env", "NO_SUCH", "--unset-label", "none", "--unset-annotation", "none"],
            &["--entrypoint=", "--env", "--label", "", "--annotation=", "--created="],
        ];
        for words in same {
            for (tag, image) in [("image", &image), ("index", &index)] {
                mutate(&source.at(&format!("app:{tag}")), &destination.at(&format!("app:{tag}")))
                    .args(words)
                    .run()
                    .printed(&[format!("{}@{}", destination.at("app"), image.digest())]);
                crate::support::assert_image(&destination, "app", tag, image);
            }
        }
        mutate(&source.at("app:image"), &destination.at("app:image"))
            .args(["--env", "OLD=1", "--label", "a=2", "--created", "2020-01-01T00:00:00Z", "--cmd", r#"["sh"]"#])
            .run()
            .printed(&[format!("{}@{}", destination.at("app"), image.digest())]);
    }
}

#[test]
fn usage_errors_end_with_2() {
    let wrong: [(&[&str], &str); 8] = [
        (&["--entrypoint", "/app -v"], "JSON array"),
        (&["--cmd", r#"{"a":1}"#], "JSON array"),
        (&["--env", "NOVALUE"], "--env"),
        (&["--label", "=x"], "--label"),
        (&["--expose", "http"], "--expose"),
        (&["--created", "yesterday"], "--created"),
        (&["--stop-signal", "not one"], "--stop-signal"),
        (&["--platform", "linux"], "linux"),
    ];
    for (words, told) in wrong {
        mutate("localhost:1/a", "localhost:1/b").args(words).run().failed(2, &[told]);
    }
    imgstep(["mutate", "localhost:1/a"]).run().failed(2, &["no destination"]);
    imgstep(["mutate", "--to", "localhost:1/a"]).run().ended(2);
}

#[test]
fn an_artifact_has_no_config_to_change() {
    for registry in registries() {
        let layers = images::layers(Style::Oci, 1, 1, 300);
        let mut image = images::image_of(Style::Oci, "linux/amd64", layers);
        let text = String::from_utf8(image.root().bytes.clone()).unwrap();
        let text = text.replace(images::OCI_CONFIG, "application/vnd.example.config");
        *image.manifests.last_mut().unwrap() = images::Content::new(images::OCI_MANIFEST, text.into_bytes());
        image.push(&registry, "app", "v1");
        mutate(&registry.at("app:v1"), &registry.at("app:v2")).args(["--label", "a=b"]).run().failed(3, &["artifact"]);
        mutate(&registry.at("app:v1"), &registry.at("app:v2")).args(["--annotation", "a=b"]).run().ended(0);
        assert_eq!(manifest(&registry, "app", "v2")["annotations"]["a"], "b");
    }
}

#[test]
fn other_tools_accept_it() {
    for registry in registries() {
        let parts = ["linux/amd64", "linux/arm64"]
            .map(|on| (images::well_formed(images::platform(on)), json!({"platform": images::platform(on)})));
        images::index_of(Style::Oci, parts.into()).push(&registry, "app", "v1");
        mutate(&registry.at("app:v1"), &registry.at("app:v2"))
            .args(["--env", "A=b", "--annotation", "c=d", "--user", "1000"])
            .run()
            .ended(0);
        other_tool(&["crane", "validate", "--insecure", "--remote", &registry.at("app:v2")]);
        let config =
            other_tool(&["crane", "config", "--insecure", "--platform", "linux/arm64", &registry.at("app:v2")]);
        if let Some(config) = config {
            let config: Value = serde_json::from_str(&config).unwrap();
            assert_eq!(config["config"]["User"], "1000");
            assert_eq!(config["architecture"], "arm64");
        }
    }
}
