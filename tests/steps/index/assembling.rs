//! Which children an index gets, in which order, and what their descriptors contain.

use serde_json::json;

use super::{digests, image_for, index, platforms, written};
use crate::support::{Folder, Image, Registry, Style, images, other_tool, pairs, registries};

/// Three images in three repositories.
fn push_three(registry: &Registry) -> Vec<Image> {
    let all = ["linux/arm64", "linux/amd64", "linux/arm/v7"].iter().enumerate();
    let all: Vec<Image> = all.map(|(number, on)| image_for(Style::Oci, on, number as u64 + 1)).collect();
    for (number, image) in all.iter().enumerate() {
        image.push(registry, &format!("build/job{number}"), "v1");
    }
    all
}

#[test]
fn images_of_several_repositories_become_one_index() {
    for (source, destination) in pairs() {
        let all = push_three(&source);
        let names: Vec<String> = (0..3).map(|number| source.at(&format!("build/job{number}:v1"))).collect();
        let run = index(&names, &destination.at("app:v1"))
            .args(["--tags", "latest", "--annotation", "b=2", "a=1=1"])
            .run()
            .ended(0);
        let index = written(&run, &destination, "app", "v1");
        assert_eq!(platforms(&index), ["linux/amd64", "linux/arm/v7", "linux/arm64"]);
        assert_eq!(digests(&index), [all[1].digest(), all[2].digest(), all[0].digest()]);
        assert_eq!(index["mediaType"], images::OCI_INDEX);
        assert_eq!(index["annotations"].to_string(), r#"{"a":"1=1","b":"2"}"#);
        assert_eq!(destination.manifest_bytes("app", "latest"), destination.manifest_bytes("app", "v1"));
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
    }
}

#[test]
fn the_digest_does_not_depend_on_the_order_of_arguments() {
    for registry in registries() {
        push_three(&registry);
        let names: Vec<String> = (0..3).map(|number| registry.at(&format!("build/job{number}:v1"))).collect();
        let mut lines = Vec::new();
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let names: Vec<&String> = order.iter().map(|position| &names[*position]).collect();
            let run = index(&names, &registry.at("app:v1")).args(["--annotation", "x=1", "--annotation", "a=2"]).run();
            lines.push(run.ended(0).stdout);
        }
        assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
    }
}

#[test]
fn the_platform_fields_of_a_config_are_kept() {
    let fields = [
        json!({"architecture": "amd64", "os": "windows", "os.version": "10.0.17763.1", "os.features": ["win32k"]}),
        json!({"architecture": "amd64", "os": "windows", "os.version": "10.0.20348.2", "variant": ""}),
        json!({"architecture": "arm", "os": "linux", "variant": "v6", "os.features": null}),
    ];
    for registry in registries() {
        let mut names = Vec::new();
        for (number, fields) in fields.iter().enumerate() {
            let layers = images::layers(Style::Oci, number as u64 + 1, 1, 300);
            images::image_with(Style::Oci, fields.clone(), layers).push(&registry, "app", &format!("part{number}"));
            names.push(registry.at(&format!("app:part{number}")));
        }
        let run = index(&names, &registry.at("app:v1")).run().ended(0);
        let index = written(&run, &registry, "app", "v1");
        let told: Vec<String> =
            index["manifests"].as_array().unwrap().iter().map(|child| child["platform"].to_string()).collect();
        assert_eq!(
            told,
            [
                r#"{"architecture":"arm","os":"linux","variant":"v6"}"#,
                r#"{"architecture":"amd64","os":"windows","os.version":"10.0.17763.1","os.features":["win32k"]}"#,
                r#"{"architecture":"amd64","os":"windows","os.version":"10.0.20348.2"}"#,
            ]
        );
    }
}

#[test]
fn an_index_contributes_its_children_with_their_attestations() {
    // Two platforms with attestations in an inner index, next to another image.
    let nested = images::nested(1);
    let other = image_for(Style::Oci, "linux/s390x", 7);
    for (source, destination) in pairs() {
        nested.push(&source, "build/app", "v1");
        other.push(&source, "build/other", "v1");
        let names = [source.at("build/other:v1"), source.at("build/app:v1")];
        let run = index(&names, &destination.at("app:v1")).run().ended(0);
        let index = written(&run, &destination, "app", "v1");
        assert_eq!(platforms(&index), ["linux/amd64", "linux/arm/v7", "linux/arm64", "linux/s390x", "-", "-"]);
        let attested = images::attested(1);
        let about = |position: usize| {
            index["manifests"][position]["annotations"]["vnd.docker.reference.digest"].as_str().unwrap().to_owned()
        };
        assert_eq!([about(4), about(5)], [attested.manifests[0].digest.clone(), attested.manifests[2].digest.clone()]);
    }
}

#[test]
fn duplicates_by_digest_are_one() {
    let index_of_two = images::index(Style::Oci, 1, 2, 1, 500);
    let single = image_for(Style::Oci, "linux/s390x", 7);
    for registry in registries() {
        index_of_two.push(&registry, "app", "two");
        single.push(&registry, "app", "one");
        single.push(&registry, "elsewhere", "same");
        let by_digest = format!("{}@{}", registry.at("app"), index_of_two.manifests[0].digest);
        let names = [
            registry.at("app:one"),
            registry.at("app:two"),
            registry.at("elsewhere:same"),
            by_digest,
            registry.at("app:two"),
        ];
        let run = index(&names, &registry.at("app:v1")).run().ended(0);
        let index = written(&run, &registry, "app", "v1");
        assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64", "linux/s390x"]);
    }
}

#[test]
fn a_single_image_is_an_index_of_one_unless_it_may_be_passed_on() {
    let image = image_for(Style::Oci, "linux/amd64", 1);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let run = index(&[source.at("app:v1")], &destination.at("app:v1")).run().ended(0);
        let one = written(&run, &destination, "app", "v1");
        assert_eq!(digests(&one), [image.digest()]);
        index(&[source.at("app:v1")], &destination.at("app:single"))
            .args(["--allow-single"])
            .run()
            .printed(&[format!("{}@{}", destination.at("app"), image.digest())]);
        crate::support::assert_image(&destination, "app", "single", &image);
        index(&[source.at("app:v1")], &destination.at("app:other"))
            .args(["--allow-single", "--annotation", "a=b"])
            .run()
            .failed(3, &["--annotation", "--allow-single"]);
        assert!(!destination.has_manifest("app", "other"));
    }
}

#[test]
fn the_user_knows_the_platform_better() {
    let (wrong, right) = (image_for(Style::Oci, "linux/amd64", 1), image_for(Style::Oci, "linux/amd64", 2));
    let silent = images::image_with(Style::Oci, json!({}), images::layers(Style::Oci, 3, 1, 300));
    for registry in registries() {
        wrong.push(&registry, "app", "riscv");
        right.push(&registry, "app", "amd64");
        silent.push(&registry, "app", "silent");
        let names = [registry.at("app:riscv"), registry.at("app:amd64"), registry.at("app:silent")];
        let run = index(&names, &registry.at("app:v1"))
            .args(["--platform-of", &format!("{}=linux/riscv64", names[0])])
            .args(["--platform-of", &format!("{}=linux/arm/v6", silent.digest())])
            .run()
            .ended(0);
        let index = written(&run, &registry, "app", "v1");
        assert_eq!(platforms(&index), ["linux/amd64", "linux/arm/v6", "linux/riscv64"]);
    }
}

#[test]
fn other_tools_accept_the_index() {
    for (source, destination) in pairs() {
        for (number, on) in ["linux/arm64", "linux/amd64"].iter().enumerate() {
            let mut fields = images::platform(on);
            fields["author"] = json!(format!("job {number}"));
            images::well_formed(fields).push(&source, "build", &format!("j{number}"));
        }
        let names = [source.at("build:j0"), source.at("build:j1")];
        let run = index(&names, &destination.at("app:v1")).run().ended(0);
        let reference = destination.at("app:v1");
        let folder = Folder::new();
        let policy = folder.write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
        let policy = policy.display().to_string();
        let raw = other_tool(&[
            "skopeo",
            "--policy",
            &policy,
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{reference}"),
        ]);
        if let Some(raw) = raw {
            assert_eq!(raw.as_bytes(), destination.manifest_bytes("app", "v1"));
        }
        other_tool(&["crane", "validate", "--insecure", "--remote", &reference]);
        if let Some(digest) = other_tool(&["crane", "digest", "--insecure", &reference]) {
            assert_eq!(run.stdout.trim(), format!("{}@{}", destination.at("app"), digest.trim()));
        }
    }
}
