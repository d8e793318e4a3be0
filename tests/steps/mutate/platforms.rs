//! Changes on every platform of an index, or on selected ones.

use serde_json::{Value, json};

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
        // The attestation of the changed image is dropped, with a note; the other one is kept.
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
fn every_platform_of_a_nested_index_counts_whatever_the_step() {
    let image = images::nested(1);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let platforms = |words: &[&str]| {
            let report = crate::support::imgstep(words).args(["--output=json"]).run().ended(0).json();
            let named = report["platforms"].as_array().unwrap().iter().map(|image| image["platform"].clone());
            named.collect::<Vec<_>>()
        };
        let (from, to) = (registry.at("app:v1"), registry.at("copy:v1"));
        let expected = ["linux/amd64", "linux/arm64", "linux/arm/v7"];
        assert_eq!(platforms(&["mutate", &from, "--to", &to, "--label", "a=b"]), expected);
        assert_eq!(platforms(&["promote", &from, &registry.at("other:v1")]), expected);
        assert_eq!(platforms(&["promote", &from, &registry.at("other:v1")]), expected, "unchanged");
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

#[test]
fn a_change_for_one_platform_affects_only_that_one() {
    let image = images::index(Style::Oci, 1, 3, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let run = mutate(&registry.at("app:v1"), &registry.at("app:v2"))
            .args(["--entrypoint", r#"[linux/arm64]["/app-arm64"]"#, "--env", "[linux/arm64]A=1"])
            .args(["--label", "[linux/arm64]a=1", "--annotation", "[linux/arm64]a=1"])
            .args(["--user", "[linux/arm64]1", "--created", "[linux/arm64]0"])
            .run()
            .ended(0);
        let (before, after) = (manifest(&registry, "app", "v1"), manifest(&registry, "app", "v2"));
        let digest = |index: &Value, child: usize| index["manifests"][child]["digest"].as_str().unwrap().to_owned();
        for child in [0, 2] {
            assert_eq!(digest(&before, child), digest(&after, child));
        }
        assert_ne!(digest(&before, 1), digest(&after, 1));
        assert!(after["annotations"].is_null(), "{after}");
        let found: Value = serde_json::from_str(&config(&registry, "app", &digest(&after, 1))).unwrap();
        assert_eq!(found["config"]["Entrypoint"], json!(["/app-arm64"]));
        assert_eq!(found["config"]["Env"], json!(["A=1"]));
        assert_eq!(found["config"]["User"], "1");
        assert_eq!(found["created"], "1970-01-01T00:00:00Z");
        assert_eq!(manifest(&registry, "app", &digest(&after, 1))["annotations"], json!({"a": "1"}));
        assert_complete(&registry, "app", run.stdout.trim().rsplit('@').next().unwrap());
        // Values that it already has: nothing changes.
        let run = mutate(&registry.at("app:v2"), &registry.at("app:v3"))
            .args(["--user", "[linux/arm64]1", "--unset-env", "[linux/amd64]NONE"])
            .run()
            .ended(0);
        assert!(run.stdout.contains(&images::sha256(&registry.manifest_bytes("app", "v2"))), "{}", run.stdout);
    }
}

#[test]
fn a_value_for_a_platform_overrides_one_for_all() {
    let image = images::nested(1);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        mutate(&registry.at("app:v1"), &registry.at("app:v2"))
            .args(["--env", "[linux/arm64,linux/arm]A=arm", "A=all", "--cmd", "[linux/arm64][]", "--cmd", r#"["x"]"#])
            .run()
            .ended(0);
        let outer = manifest(&registry, "app", "v2");
        let inner = manifest(&registry, "app", outer["manifests"][0]["digest"].as_str().unwrap());
        let children = [&inner["manifests"][0], &inner["manifests"][1], &outer["manifests"][1]];
        let expected = [("A=all", json!(["x"])), ("A=arm", json!([])), ("A=arm", json!(["x"]))];
        for (child, (env, cmd)) in children.into_iter().zip(expected) {
            let found: Value =
                serde_json::from_str(&config(&registry, "app", child["digest"].as_str().unwrap())).unwrap();
            assert_eq!(found["config"]["Env"], json!([env]), "{child}");
            assert_eq!(found["config"]["Cmd"], cmd, "{child}");
        }
    }
}

#[test]
fn an_image_listed_for_two_platforms_is_changed_only_for_the_selected_one() {
    let one = images::image(1, 1, 500);
    let on = |name: &str| json!({"platform": images::platform(name)});
    let image = images::index_of(
        Style::Oci,
        vec![(one.clone(), on("linux/amd64")), (one.clone(), on("linux/arm64")), (one.clone(), on("linux/386"))],
    );
    for registry in registries() {
        image.push(&registry, "app", "v1");
        for (words, changed) in [
            (&["--user", "[linux/arm64]1"][..], [false, true, false]),
            (&["--user", "1", "--platform", "linux/amd64,linux/386"], [true, false, true]),
        ] {
            mutate(&registry.at("app:v1"), &registry.at("app:v2")).args(words).run().ended(0);
            let after = manifest(&registry, "app", "v2");
            let is_changed = |child: &Value| child["digest"] != one.digest();
            let found: Vec<bool> = after["manifests"].as_array().unwrap().iter().map(is_changed).collect();
            assert_eq!(found, changed, "{words:?}");
        }
    }
}

#[test]
fn a_platform_that_is_not_there_or_not_chosen_is_no_platform_to_speak_of() {
    let (index, image) = (images::index(Style::Oci, 1, 2, 1, 300), images::image(1, 1, 300));
    for registry in registries() {
        index.push(&registry, "app", "index");
        image.push(&registry, "app", "image");
        let step = |tag: &str, words: &[&str]| {
            mutate(&registry.at(&format!("app:{tag}")), &registry.at("app:v2")).args(words).run()
        };
        let told = ["--env:", "has no image for linux/s390x; available platforms: linux/amd64"];
        step("index", &["--env", "[linux/s390x]A=1"]).failed(3, &told);
        step("image", &["--env", "[linux/s390x]A=1"]).failed(3, &told);
        step("index", &["--user", "1", "--unset-env", "[linux/s390x]A"]).failed(3, &["--unset-env:", "linux/s390x"]);
        step("index", &["--platform", "linux/arm64", "--user", "[linux/amd64]1"])
            .failed(3, &["--user: --platform leaves no image for linux/amd64; available platforms: linux/arm64"]);
        step("index", &["--user", "1", "--user", "2"]).failed(2, &["--user", "twice"]);
        assert!(!registry.has_manifest("app", "v2"));
        step("image", &["--user", "[linux/amd64]1", "--user", "2"]).ended(0);
        assert!(config(&registry, "app", "v2").contains(r#""User":"1""#));
    }
}
