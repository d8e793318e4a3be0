//! On every platform of an index, or on those chosen.

use serde_json::Value;

use super::{config, manifest, mutate};
use crate::support::{Style, assert_complete, images, registries};

#[test]
fn every_platform_is_changed_and_keeps_its_descriptor() {
    let image = images::index(Style::Oci, 1, 4, 2, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let run = mutate(&registry.at("app:v1"), &registry.at("app:v2")).args(["--label", "a=b"]).run().ended(0);
        let (before, after) = (manifest(&registry, "app", "v1"), manifest(&registry, "app", "v2"));
        for (old, new) in before["manifests"].as_array().unwrap().iter().zip(after["manifests"].as_array().unwrap()) {
            assert_eq!(old["platform"], new["platform"]);
            assert_ne!(old["digest"], new["digest"]);
            let config: Value =
                serde_json::from_str(&config(&registry, "app", new["digest"].as_str().unwrap())).unwrap();
            assert_eq!(config["config"]["Labels"]["a"], "b");
            assert_eq!(config["architecture"], new["platform"]["architecture"]);
        }
        let digest = images::sha256(&registry.manifest_bytes("app", "v2"));
        assert_eq!(run.stdout, format!("{}@{digest}\n", registry.at("app")));
        assert_eq!(assert_complete(&registry, "app", &digest).manifests.len(), 5);
    }
}

#[test]
fn those_not_chosen_stay_as_they_are() {
    let image = images::nested(1);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let run = mutate(&registry.at("app:v1"), &registry.at("app:v2"))
            .args(["--platform", "linux/arm64", "--env", "A=b"])
            .run()
            .ended(0);
        // The attestation of what changed is left out, and that is said; the other one stays.
        assert!(run.stderr.contains("was left out"), "{}", run.stderr);
        let outer = manifest(&registry, "app", "v2");
        assert_eq!(outer["manifests"][0]["annotations"]["com.example.inner"], "yes");
        assert_eq!(outer["manifests"][1]["digest"], manifest(&registry, "app", "v1")["manifests"][1]["digest"]);
        let inner = manifest(&registry, "app", outer["manifests"][0]["digest"].as_str().unwrap());
        let attested = images::attested(1);
        let digests: Vec<&str> =
            inner["manifests"].as_array().unwrap().iter().map(|child| child["digest"].as_str().unwrap()).collect();
        assert_eq!(digests[..2], [attested.manifests[0].digest.as_str(), attested.manifests[1].digest.as_str()]);
        assert_eq!(digests.len(), 3);
        assert!(config(&registry, "app", digests[2]).contains(r#""Env":["A=b"]"#));
        assert_complete(&registry, "app", &images::sha256(&registry.manifest_bytes("app", "v2")));
    }
}

#[test]
fn a_platform_that_is_not_there_ends_with_3() {
    let (index, image) = (images::index(Style::Oci, 1, 2, 1, 300), images::image(1, 1, 300));
    for registry in registries() {
        index.push(&registry, "app", "index");
        image.push(&registry, "app", "image");
        for tag in ["index", "image"] {
            mutate(&registry.at(&format!("app:{tag}")), &registry.at("app:v2"))
                .args(["--platform", "linux/s390x", "--env", "A=b"])
                .run()
                .failed(3, &["linux/s390x", "linux/amd64"]);
        }
        assert!(!registry.has_manifest("app", "v2"));
        mutate(&registry.at("app:image"), &registry.at("app:v2"))
            .args(["--platform", "linux/amd64", "--env", "A=b"])
            .run()
            .ended(0);
    }
}
