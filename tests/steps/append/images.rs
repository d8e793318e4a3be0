//! The images that append builds from scratch, from an image and from an index.

use serde_json::json;

use super::{accepted_by_others, append, blob, config, digest, listed, manifest, program, programs};
use crate::support::images::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::support::{Folder, Proxy, Style, assert_complete, images, pairs, registries};

#[test]
fn a_program_for_two_platforms_on_nothing() {
    let (_folder, layers) = programs();
    for registry in registries() {
        let run = append("scratch", &registry.at("app:v1"))
            .args(&layers)
            .args(["--entrypoint", r#"["/app","-v"]"#, "--user", "65532"])
            .run()
            .ended(0);
        assert_complete(&registry, "app", &digest(&run));
        let index = manifest(&registry, "app", "v1");
        assert_eq!(index["mediaType"], OCI_INDEX);
        let children = index["manifests"].as_array().unwrap();
        assert_eq!(children.len(), 2);
        for (child, (architecture, machine)) in children.iter().zip([("amd64", 62), ("arm64", 183)]) {
            assert_eq!(child["platform"], json!({"os": "linux", "architecture": architecture}));
            let image = manifest(&registry, "app", child["digest"].as_str().unwrap());
            assert_eq!(image["layers"].as_array().unwrap().len(), 1);
            let config = config(&registry, "app", &image);
            assert_eq!(config["architecture"], architecture);
            assert_eq!(config["config"], json!({"Entrypoint": ["/app", "-v"], "User": "65532"}));
            assert_eq!(config["created"], "1970-01-01T00:00:00Z");
            assert_eq!(config["history"][0]["created_by"], "imgstep append: file at /app");
            let size = program(machine, architecture).len();
            let layer = blob(&registry, "app", &image["layers"][0]["digest"]);
            assert_eq!(listed(&layer), [format!("-rwxr-xr-x 0/0 {size} 1970-01-01 00:00 app")]);
        }
        accepted_by_others(&registry, "app:v1");
    }
}

#[test]
fn layers_on_an_index_of_eight_platforms_keep_it_an_index() {
    let base = images::index(Style::Oci, 1, 8, 2, 1000);
    let folder = Folder::new();
    folder.write("site/index.html", "hello");
    let layer = format!("{}=/srv/site", folder.join("site").display());
    for (source, destination) in pairs() {
        base.push(&source, "base", "v1");
        let run = append(&source.at("base:v1"), &destination.at("app:v1"))
            .args(["--layer", &layer, "--label", "a=b", "--annotation", "team=x"])
            .run()
            .ended(0);
        assert_complete(&destination, "app", &digest(&run));
        let index = manifest(&destination, "app", "v1");
        let name = source.at("base:v1");
        assert_eq!(
            index["annotations"],
            json!({
                "org.opencontainers.image.base.name": name,
                "org.opencontainers.image.base.digest": base.digest(),
                "team": "x",
            })
        );
        let old: serde_json::Value = serde_json::from_slice(&base.root().bytes).unwrap();
        for (new, old) in index["manifests"].as_array().unwrap().iter().zip(old["manifests"].as_array().unwrap()) {
            assert_eq!(new["platform"], old["platform"]);
            let image = manifest(&destination, "app", new["digest"].as_str().unwrap());
            assert_eq!(image["annotations"]["org.opencontainers.image.base.digest"], old["digest"]);
            assert_eq!(image["layers"].as_array().unwrap().len(), 3);
            let config = config(&destination, "app", &image);
            // Everything that no option changes is kept.
            assert_eq!(config["config"]["Healthcheck"], json!({"Test": ["CMD", "true"]}));
            assert_eq!(config["config"]["Labels"], json!({"a": "b"}));
            assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
            assert_eq!(config["history"].as_array().unwrap().len(), 3);
        }
        assert_eq!(index["manifests"].as_array().unwrap().len(), 8);
    }
}

#[test]
fn layers_that_name_platforms_restrict_the_result_to_those() {
    let base = images::index(Style::Docker, 1, 4, 1, 500);
    let (_folder, layers) = programs();
    for registry in registries() {
        base.push(&registry, "base", "v1");
        append(&registry.at("base:v1"), &registry.at("app:v1")).args(&layers).run().ended(0);
        let index = manifest(&registry, "app", "v1");
        assert_eq!(index["mediaType"], DOCKER_LIST);
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
        assert_eq!(index.get("annotations"), None, "Docker's lists have none");
        let text = index.to_string();
        assert!(!text.contains("vnd.oci."), "{text}");
        let image = manifest(&registry, "app", index["manifests"][1]["digest"].as_str().unwrap());
        assert!(!image.to_string().contains("vnd.oci."), "{image}");
        // One requested platform gives a single image.
        append(&registry.at("base:v1"), &registry.at("app:one"))
            .args(&layers)
            .args(["--platform", "linux/arm64"])
            .run()
            .ended(0);
        assert_eq!(manifest(&registry, "app", "one")["mediaType"], DOCKER_MANIFEST);
    }
}

#[test]
fn the_format_can_be_changed_and_is_never_mixed() {
    let base = images::index(Style::Docker, 1, 2, 2, 500);
    let folder = Folder::new();
    folder.write("f", "x");
    let layer = format!("{}=/opt/f", folder.join("f").display());
    for registry in registries() {
        base.push(&registry, "base", "v1");
        append(&registry.at("base:v1"), &registry.at("app:v1"))
            .args(["--layer", &layer, "--format", "oci"])
            .run()
            .ended(0);
        let index = manifest(&registry, "app", "v1");
        assert_eq!(index["mediaType"], OCI_INDEX);
        let image = manifest(&registry, "app", index["manifests"][0]["digest"].as_str().unwrap());
        assert_eq!(image["mediaType"], OCI_MANIFEST);
        assert!(!format!("{index}{image}").contains("vnd.docker."), "{index} {image}");
        append(&registry.at("app:v1"), &registry.at("back:v1"))
            .args(["--layer", &layer, "--format", "docker"])
            .run()
            .ended(0);
        let index = manifest(&registry, "back", "v1");
        let image = manifest(&registry, "back", index["manifests"][0]["digest"].as_str().unwrap());
        assert!(!format!("{index}{image}").contains("vnd.oci."), "{index} {image}");
    }
}

#[test]
fn a_base_with_mixed_formats_is_converted_to_one() {
    let layers = images::layers(Style::Docker, 1, 2, 500);
    let child = images::image_of(Style::Oci, "linux/amd64", layers.clone());
    let other = images::image_of(Style::Docker, "linux/arm64", layers);
    let on = |name: &str| json!({"platform": images::platform(name)});
    let base = images::index_of(Style::Oci, vec![(child, on("linux/amd64")), (other, on("linux/arm64"))]);
    let folder = Folder::new();
    let layer = format!("{}=/opt/f", folder.write("f", "x").display());
    for registry in registries() {
        base.push(&registry, "base", "v1");
        for (words, strange) in [(&[][..], "vnd.docker."), (&["--format", "docker"], "vnd.oci.")] {
            let run = append(&registry.at("base:v1"), &registry.at("app:v1")).args(["--layer", &layer]).args(words);
            assert_complete(&registry, "app", &digest(&run.run().ended(0)));
            let index = manifest(&registry, "app", "v1");
            for child in index["manifests"].as_array().unwrap() {
                let image = manifest(&registry, "app", child["digest"].as_str().unwrap());
                assert!(!format!("{index}{image}").contains(strange), "{index} {image}");
            }
        }
    }
}

#[test]
fn layers_of_the_base_are_mounted_within_a_registry() {
    let base = images::image(1, 3, 2000);
    let folder = Folder::new();
    folder.write("f", "x");
    let layer = format!("{}=/opt/f", folder.join("f").display());
    for registry in registries() {
        base.push(&registry, "base", "v1");
        let proxy = Proxy::before(&registry);
        let run = append(&proxy.at("base:v1"), &proxy.at("app:v1")).args(["--layer", &layer]).run().ended(0);
        assert_complete(&registry, "app", &digest(&run));
        // The new layer and the new config, nothing else.
        assert_eq!(proxy.uploaded().len(), 2, "{:#?}", proxy.lines());
        assert_eq!(proxy.downloaded().len(), 1, "{:#?}", proxy.lines());
    }
}

#[test]
fn a_second_run_sends_nothing() {
    let base = images::index(Style::Oci, 1, 2, 1, 500);
    let (folder, layers) = programs();
    folder.write("tree/file", vec![5; 100_000]);
    let tree = format!("{}=/opt/tree", folder.join("tree").display());
    for (source, destination) in pairs() {
        base.push(&source, "base", "v1");
        let proxy = Proxy::before(&destination);
        let run = |to: &str| append(&source.at("base:v1"), to).args(&layers).args([&tree]).run().ended(0);
        let first = run(&proxy.at("app:v1"));
        proxy.reset();
        assert_eq!(run(&proxy.at("app:v1")).stdout, first.stdout);
        assert!(proxy.writes().is_empty(), "{:#?}", proxy.lines());
        // Another tag takes one more manifest, and no blob.
        assert_eq!(run(&proxy.at("app:v2")).stdout, first.stdout);
        assert_eq!(proxy.uploaded_bytes(), 0, "{:#?}", proxy.lines());
    }
}

#[test]
fn without_any_registry_through_a_folder() {
    let (folder, layers) = programs();
    let out = format!("oci:{}", folder.join("out").display());
    let run = append("scratch", &format!("{out}:base")).args(&layers).run().ended(0);
    folder.write("more", "x");
    let more = format!("{}=/opt/more", folder.join("more").display());
    let again = append(&format!("{out}:base"), &format!("{out}:v2")).args(["--layer", &more]).run().ended(0);
    assert_ne!(digest(&run), digest(&again));
    for registry in registries() {
        crate::support::imgstep(["promote", &format!("{out}:v2"), &registry.at("app:v2")]).run().ended(0);
        assert_complete(&registry, "app", &digest(&again));
        accepted_by_others(&registry, "app:v2");
        let text = manifest(&registry, "app", "v2").to_string();
        assert!(!text.contains(&*folder.path().to_string_lossy()), "a path of this machine: {text}");
    }
}
