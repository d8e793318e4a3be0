//! OCI's and Docker's formats: the children's format decides, and `--format` converts.

use serde_json::Value;

use super::{digests, image_for, index, platforms, written};
use crate::support::{Style, images, registries};

#[test]
fn images_of_dockers_types_become_a_list_of_dockers_type() {
    for registry in registries() {
        for (tag, on) in [("amd", "linux/amd64"), ("arm", "linux/arm64")] {
            image_for(Style::Docker, on, 1).push(&registry, "app", tag);
        }
        let run = index(&[registry.at("app:amd"), registry.at("app:arm")], &registry.at("app:v1")).run().ended(0);
        let index = written(&run, &registry, "app", "v1");
        assert_eq!(index["mediaType"], images::DOCKER_LIST);
        assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64"]);
    }
}

#[test]
fn images_of_the_other_format_are_converted() {
    let (oci, docker) = (image_for(Style::Oci, "linux/amd64", 1), image_for(Style::Docker, "linux/arm64", 2));
    for registry in registries() {
        oci.push(&registry, "oci", "v1");
        docker.push(&registry, "docker", "v1");
        let names = [registry.at("oci:v1"), registry.at("docker:v1")];
        for (format, list, manifest, config, layer) in [
            ("oci", images::OCI_INDEX, images::OCI_MANIFEST, images::OCI_CONFIG, images::OCI_LAYER),
            ("docker", images::DOCKER_LIST, images::DOCKER_MANIFEST, images::DOCKER_CONFIG, images::DOCKER_LAYER),
        ] {
            let tag = format!("as-{format}");
            let step = || index(&names, &registry.at(&format!("app:{tag}"))).args(["--format", format]).run().ended(0);
            let run = step();
            assert!(run.stderr.contains("was converted"), "{}", run.stderr);
            let index = written(&run, &registry, "app", &tag);
            assert_eq!(index["mediaType"], list);
            assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64"]);
            for (digest, original) in digests(&index).iter().zip([&oci, &docker]) {
                let child: Value = serde_json::from_slice(&registry.manifest_bytes("app", digest)).unwrap();
                let before: Value = serde_json::from_slice(&original.root().bytes).unwrap();
                assert_eq!(child["mediaType"], manifest);
                assert_eq!(child["config"]["mediaType"], config);
                assert_eq!(child["config"]["digest"], before["config"]["digest"], "the config is the same");
                for (one, other) in child["layers"].as_array().unwrap().iter().zip(before["layers"].as_array().unwrap())
                {
                    assert_eq!(one["mediaType"], layer);
                    assert_eq!(one["digest"], other["digest"]);
                }
            }
            assert_eq!(step().stdout, run.stdout);
        }
    }
}

#[test]
fn a_whole_index_changes_its_types() {
    let docker = images::index(Style::Docker, 1, 2, 2, 600);
    for registry in registries() {
        docker.push(&registry, "app", "docker");
        let run = index::<&str>(&[], &registry.at("app:oci"))
            .args(["--from", &registry.at("app:docker"), "--format", "oci", "--annotation", "a=b"])
            .run()
            .ended(0);
        let index = written(&run, &registry, "app", "oci");
        assert_eq!(index["mediaType"], images::OCI_INDEX);
        assert!(index["manifests"].as_array().unwrap().iter().all(|child| child["mediaType"] == images::OCI_MANIFEST));
        assert_eq!(index["annotations"]["a"], "b");
    }
}

#[test]
fn what_cannot_be_converted_is_reported() {
    let attested = images::attested(1);
    let mut zstd = images::layers(Style::Oci, 5, 1, 300);
    zstd[0].media_type = "application/vnd.oci.image.layer.v1.tar+zstd".to_owned();
    let zstd = images::image_of(Style::Oci, "linux/amd64", zstd);
    for registry in registries() {
        attested.push(&registry, "app", "attested");
        zstd.push(&registry, "app", "zstd");
        let step =
            |name: &str| index(&[registry.at(name)], &registry.at("app:docker")).args(["--format", "docker"]).run();
        step("app:attested").failed(3, &["attestation", "--remove"]);
        step("app:zstd").failed(3, &[zstd.digest(), "zstd", "Docker"]);
        assert!(!registry.has_manifest("app", "docker"));
    }
}
