//! The flags of the config.

use serde_json::json;

use super::{append, config, manifest};
use crate::support::{Folder, images, registries};

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
