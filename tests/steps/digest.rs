//! `imgstep digest IMAGE`: the digest that a tag points to.

use crate::support::{Folder, Proxy, Style, images, imgstep, layout, registries, rule, schema1};

#[test]
fn a_digest_is_one_line_and_one_request() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let proxy = Proxy::before(&registry);
        imgstep(["digest", &proxy.at("app:v1")]).run().printed(&[image.digest().to_owned()]);
        assert_eq!(proxy.log().len(), 1, "{:#?}", proxy.lines());
        assert_eq!(proxy.count("HEAD", "/manifests/v1"), 1);
    }
}

#[test]
fn without_a_digest_header_the_bytes_are_read() {
    let image = images::image(1, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let silent = crate::support::Action::AnswerHeader("Docker-Content-Digest", None);
        let proxy = Proxy::before(&registry).with(rule("", "/manifests/", silent));
        imgstep(["digest", &proxy.at("app:v1")]).run().printed(&[image.digest().to_owned()]);
    }
}

#[test]
fn a_platform_has_a_digest_of_its_own() {
    let image = images::index(Style::Oci, 1, 3, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        imgstep(["digest", &registry.at("app:v1"), "--platform", "linux/arm64"])
            .run()
            .printed(&[image.manifests[1].digest.clone()]);
        imgstep(["digest", &registry.at("app:v1"), "--platform", "plan9/386"])
            .run()
            .failed(3, &["plan9/386", "linux/arm64"]);
    }
}

#[test]
fn a_signed_schema_1_manifest_is_identified_by_its_payload() {
    let image = schema1::image(1, "app", "v1");
    for registry in registries() {
        image.push(&registry, "app", "v1");
        imgstep(["digest", &registry.at("app:v1")]).run().printed(&[image.digest().to_owned()]);
    }
}

#[test]
fn an_image_in_a_layout_has_one_too() {
    let image = images::image(1, 1, 500);
    let folder = Folder::new();
    layout::write(folder.path(), &[("v1", &image)]);
    imgstep(["digest", &format!("oci:{}:v1", folder.path().display())]).run().printed(&[image.digest().to_owned()]);
}

#[test]
fn what_is_missing_ends_with_5() {
    for registry in registries() {
        imgstep(["digest", &registry.at("app:none")]).run().failed(5, &["app:none"]);
    }
}
