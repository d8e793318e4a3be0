//! Annotations: on the index, on the manifests, on both.

use serde_json::Value;

use super::{manifest, mutate};
use crate::support::{Registry, Style, images, registries};

/// The annotations of the index and of its children.
fn annotations(registry: &Registry, tag: &str) -> (Value, Vec<Value>) {
    let index = manifest(registry, "app", tag);
    let children = index["manifests"].as_array().unwrap().iter();
    let children = children.map(|child| manifest(registry, "app", child["digest"].as_str().unwrap()));
    (index["annotations"].clone(), children.map(|child| child["annotations"].clone()).collect())
}

#[test]
fn they_stand_where_they_are_wanted() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        for (place, on_index, on_manifests) in
            [("index", true, false), ("manifests", false, true), ("both", true, true), ("", true, true)]
        {
            let run = mutate(&registry.at("app:v1"), &registry.at("app:v2"))
                .args(["--annotation", "a=1", "b=x=y", "--annotate", place])
                .run()
                .ended(0);
            let (index, children) = annotations(&registry, "v2");
            let expected = |is: bool| if is { r#"{"a":"1","b":"x=y"}"# } else { "null" };
            assert_eq!(index.to_string(), expected(on_index), "{place}");
            assert!(
                children.iter().map(Value::to_string).all(|child| child == expected(on_manifests)),
                "{place}: {children:?}"
            );
            let digest = images::sha256(&registry.manifest_bytes("app", "v2"));
            assert!(run.stdout.contains(&digest));
            crate::support::assert_complete(&registry, "app", &digest);
        }
    }
}

#[test]
fn they_are_taken_out_again() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        mutate(&registry.at("app:v1"), &registry.at("app:v2")).args(["--annotation", "a=1", "b=2"]).run().ended(0);
        mutate(&registry.at("app:v2"), &registry.at("app:v3")).args(["--unset-annotation", "a"]).run().ended(0);
        let (index, children) = annotations(&registry, "v3");
        assert_eq!(index.to_string(), r#"{"b":"2"}"#);
        assert!(children.iter().map(Value::to_string).all(|child| child == r#"{"b":"2"}"#));
        mutate(&registry.at("app:v3"), &registry.at("app:v4")).args(["--unset-annotation", "b"]).run().ended(0);
        assert!(annotations(&registry, "v4").0.is_null());
    }
}

#[test]
fn a_single_image_has_them_on_its_manifest() {
    let image = images::image(1, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let step = |place: &str| {
            mutate(&registry.at("app:v1"), &registry.at("app:v2"))
                .args(["--annotation", "a=1", "--annotate", place])
                .run()
        };
        step("both").ended(0);
        assert_eq!(manifest(&registry, "app", "v2")["annotations"]["a"], "1");
        step("index").failed(3, &["single image"]);
    }
}

#[test]
fn dockers_format_has_no_annotations() {
    let image = images::index(Style::Docker, 1, 2, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        mutate(&registry.at("app:v1"), &registry.at("app:v2"))
            .args(["--annotation", "a=1"])
            .run()
            .failed(3, &["no annotations", "--label"]);
        mutate(&registry.at("app:v1"), &registry.at("app:v2"))
            .args(["--annotation", "[linux/arm64]a=1"])
            .run()
            .failed(3, &["no annotations", "--label"]);
        assert!(!registry.has_manifest("app", "v2"));
    }
}

#[test]
fn annotations_for_a_platform_go_to_its_manifest_wherever_the_others_go() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        for (place, on_index, on_first, on_second) in [
            ("index", r#"{"a":"all"}"#, "null", r#"{"a":"arm"}"#),
            ("manifests", "null", r#"{"a":"all"}"#, r#"{"a":"arm"}"#),
            ("both", r#"{"a":"all"}"#, r#"{"a":"all"}"#, r#"{"a":"arm"}"#),
        ] {
            mutate(&registry.at("app:v1"), &registry.at("app:v2"))
                .args(["--annotation", "[linux/arm64]a=arm", "a=all", "--annotate", place])
                .run()
                .ended(0);
            let (index, children) = annotations(&registry, "v2");
            assert_eq!(index.to_string(), on_index, "{place}");
            assert_eq!([children[0].to_string(), children[1].to_string()], [on_first, on_second], "{place}");
        }
        mutate(&registry.at("app:v2"), &registry.at("app:v3"))
            .args(["--unset-annotation", "[linux/amd64]a"])
            .run()
            .ended(0);
        let (index, children) = annotations(&registry, "v3");
        assert_eq!([index["a"].clone(), children[1]["a"].clone()], ["all", "arm"]);
        assert!(children[0].is_null());
    }
}
