//! Probable mistakes are refused or get a warning, with what was probably meant.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use super::{AMD64, append, manifest, program};
use crate::support::images::Content;
use crate::support::step::Run;
use crate::support::{Folder, Registry, Style, images, imgstep, registries};

#[test]
fn an_unknown_attribute_is_never_part_of_a_path() {
    let folder = Folder::new();
    let path = folder.write("server.js", "x").display().to_string();
    let to = format!("oci:{}", folder.join("out").display());
    let wrong = |end: &str, part: &str| {
        append("scratch", &to).args(["--layer", &format!("{path}=/srv/server.js{end}")]).run().failed(2, &[part]);
    };
    wrong(",platfrom=linux/arm64", "did you mean `platform=linux/arm64`");
    wrong(",arch=arm64", "did you mean `platform=linux/arm64`");
    wrong(",chown=1000:1000", "did you mean `owner=1000:1000`");
    wrong(",chmod=0755", "did you mean `mode=0755`");
    wrong(";mode=0755", "write `,mode=…`");
    wrong(",x.js", r"a comma in a path is written `\,`");
    assert!(!folder.join("out").exists());
    // Spaces after a comma are ignored, and a literal comma can be escaped.
    for registry in registries() {
        append("scratch", &registry.at("app:v1"))
            .args(["--layer", &format!(r"{path}=/srv/a\,b.js, mode=0755 , platform=linux/amd64")])
            .run()
            .ended(0);
        let image = manifest(&registry, "app", "v1");
        let layer = super::blob(&registry, "app", &image["layers"][0]["digest"]);
        let listed = super::listed(&layer);
        assert_eq!(listed.last().unwrap(), "-rwxr-xr-x 0/0 1 1970-01-01 00:00 srv/a,b.js");
    }
}

#[test]
fn syntax_of_docker_and_promote_is_answered_with_ours() {
    let folder = Folder::new();
    let path = folder.write("server.js", "x").display().to_string();
    let to = format!("oci:{}", folder.join("out").display());
    append("scratch", &to)
        .args(["--platform", "linux/amd64", "--layer", &format!("{path}:/srv/x")])
        .run()
        .failed(2, &["server.js:/srv/x does not exist; docker's `a:b` is `a=b` here: write `", "server.js=/srv/x`"]);
    let missing = append("scratch", &to).args(["--layer", "nofile", "--platform", "linux/amd64"]).run();
    missing.failed(1, &["nofile does not exist"]);
    let run = imgstep(["append", "scratch", &to, "--layer", &path]).run().ended(2);
    assert!(run.stderr.contains("pass the destination with `--to"), "{}", run.stderr);
    // Without a given platform, scratch takes it from the programs.
    let app = folder.write("app", program(AMD64, "x")).display().to_string();
    append("scratch", &to)
        .args(["--layer", &format!("{app}=/app")])
        .run()
        .failed(2, &["app is a linux/amd64 binary; add `,platform=linux/amd64`"]);
    append("scratch", &to).args(["--layer", "nofile"]).run().failed(1, &["nofile does not exist"]);
    append("scratch", &to).args(["--layer", &path]).run().failed(2, &["no platform given for scratch; add"]);
    assert!(!folder.join("out").exists());
}

#[test]
fn dropped_platforms_are_named() {
    let base = images::index(Style::Oci, 1, 3, 1, 300);
    let folder = Folder::new();
    let path = folder.write("f", "x").display().to_string();
    let (for_all, for_one) = (format!("{path}=/srv/a"), format!("{path}=/srv/b,platform=linux/amd64"));
    for registry in registries() {
        base.push(&registry, "base", "v1");
        let step = || append(&registry.at("base:v1"), &registry.at("app:v1")).args(["--layer", &for_one]);
        let lost = |run: &Run| run.stderr.contains("left out of the result: linux/arm64");
        let run = step().arg(&for_all).run().ended(0);
        assert!(lost(&run), "{}", run.stderr);
        for words in [&[&for_all[..], "--platform", "linux/amd64"][..], &[]] {
            let run = step().args(words).run().ended(0);
            assert!(!lost(&run), "{words:?}: {}", run.stderr);
        }
    }
}

/// A tar with these empty files.
fn tar_of(folder: &Folder, name: &str, files: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let from = format!("{name}.d");
    for file in files {
        folder.write(&format!("{from}/{file}"), "{}");
    }
    let status = Command::new("tar").arg("-cf").arg(&path).arg("-C").arg(folder.join(&from)).arg(".").status();
    assert!(status.unwrap().success());
    path
}

#[test]
fn a_saved_image_is_not_a_layer() {
    let folder = Folder::new();
    let docker = tar_of(&folder, "docker.tar", &["manifest.json", "repositories", "abc/layer.tar"]);
    let layout = tar_of(&folder, "layout.tar", &["oci-layout", "index.json", "blobs/sha256/a"]);
    let site = tar_of(&folder, "site.tar", &["manifest.json", "index.html"]);
    for registry in registries() {
        let step = |layer: &str| {
            append("scratch", &registry.at("app:v1")).args(["--layer", layer, "--platform", "linux/amd64"])
        };
        let path = |path: &PathBuf| path.display().to_string();
        step(&path(&docker)).run().failed(3, &["docker.tar is a saved image", "skopeo copy docker-archive:"]);
        step(&path(&layout)).run().failed(3, &["layout.tar is a saved image (an OCI layout)", "append oci:image"]);
        step("-").stdin(File::open(&layout).unwrap()).run().failed(3, &["from standard input is a saved image"]);
        assert!(!registry.has_manifest("app", "v1"));
        step(&path(&site)).run().ended(0);
        // As a file it can be anywhere.
        step(&format!("{}=/images/save.tar", path(&docker))).run().ended(0);
    }
}

#[test]
fn a_result_that_overwrites_its_base_gets_a_warning() {
    let folder = Folder::new();
    let layer = format!("{}=/srv/f", folder.write("f", "x").display());
    let says = |run: &Run| run.stderr.contains("is the base and the destination");
    for registry in registries() {
        images::image(1, 1, 300).push(&registry, "app", "v1");
        let step = |base: &str, to: &str| append(&registry.at(base), &registry.at(to)).args(["--layer", &layer]).run();
        let first = step("app:v1", "app:v2").ended(0);
        assert!(!says(&first), "{}", first.stderr);
        let base = format!("app:v1@{}", images::image(1, 1, 300).digest());
        assert!(!says(&step(&base, "app:v1").ended(0)), "a digest stays");
        let second = step("app:v1", "app:v1").ended(0);
        assert!(says(&second), "{}", second.stderr);
        assert_eq!(manifest(&registry, "app", "v1")["layers"].as_array().unwrap().len(), 3);
    }
}

/// An image as Nydus builds it: its layers aren't tars.
fn of_nydus(on: &str) -> images::Image {
    let blob = Content::new("application/vnd.oci.image.layer.nydus.blob.v1", images::noise(8, 300));
    images::image_of(Style::Oci, on, vec![blob])
}

fn pushed(registry: &Registry, name: &str, children: Vec<(images::Image, serde_json::Value)>) {
    images::index_of(Style::Oci, children).push(registry, name, "v1");
}

#[test]
fn images_that_cannot_take_files_are_reported() {
    let folder = Folder::new();
    let layer = format!("{}=/srv/f", folder.write("f", "x").display());
    let on = |text: &str| json!({"platform": images::platform(text)});
    for registry in registries() {
        let step = |base: &str| append(&registry.at(base), &registry.at("app:v1")).args(["--layer", &layer]).run();
        of_nydus("linux/amd64").push(&registry, "single", "v1");
        step("single:v1").failed(3, &["linux/amd64 has a layer of type application/vnd.oci.image.layer.nydus"]);
        pushed(&registry, "only", vec![(of_nydus("linux/amd64"), on("linux/amd64"))]);
        step("only:v1").failed(3, &["which is not a tar"]);
        assert!(!registry.has_manifest("app", "v1"));
        let children = vec![
            (images::image(1, 1, 300), on("linux/amd64")),
            (
                of_nydus("linux/amd64"),
                json!({"platform": {"os": "linux", "architecture": "amd64", "os.features": ["nydus.remoteimage.v1"]}}),
            ),
        ];
        pushed(&registry, "beside", children);
        let run = step("beside:v1").ended(0);
        assert!(run.stderr.contains("which is not a tar") && run.stderr.contains("it is left out"), "{}", run.stderr);
        let image = manifest(&registry, "app", "v1");
        assert_eq!(image["manifests"].as_array().unwrap().len(), 1, "{image}");
    }
}
