//! `imgstep tag IMAGE TAG...`: adds tags to an image.

use crate::support::{Proxy, Style, assert_image, images, imgstep, registries};

#[test]
fn an_image_gets_additional_tags() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let proxy = Proxy::before(&registry);
        imgstep(["tag", &proxy.at("app:v1"), "v1.2", "latest"]).run().printed(&[format!(
            "{}@{}",
            proxy.at("app"),
            image.digest()
        )]);
        for tag in ["v1", "v1.2", "latest"] {
            assert_image(&registry, "app", tag, &image);
        }
        let writes: Vec<String> = proxy.writes().iter().map(|seen| seen.target.clone()).collect();
        let mut writes: Vec<&str> = writes.iter().map(|target| target.rsplit('/').next().unwrap()).collect();
        writes.sort_unstable();
        assert_eq!(writes, ["latest", "v1.2"], "only the tags are written, and no child is looked at");
        assert!(proxy.log().len() <= 6, "{:#?}", proxy.lines());
    }
}

#[test]
fn an_image_named_by_digest_gets_a_tag() {
    let image = images::image(1, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        imgstep(["tag", &format!("{}@{}", registry.at("app"), image.digest()), "v2"]).run().ended(0);
        assert_image(&registry, "app", "v2", &image);
    }
}

#[test]
fn a_tag_moves_unless_that_is_forbidden() {
    let (old, new) = (images::image(1, 1, 500), images::image(2, 1, 500));
    for registry in registries() {
        new.push(&registry, "app", "new");
        old.push(&registry, "app", "prod");
        imgstep(["tag", &registry.at("app:new"), "prod", "--if-exists", "fail"])
            .run()
            .failed(3, &["prod", old.digest()]);
        assert_image(&registry, "app", "prod", &old);
        imgstep(["tag", &registry.at("app:new"), "prod"]).run().ended(0);
        assert_image(&registry, "app", "prod", &new);
    }
}

#[test]
fn an_existing_tag_is_not_rewritten() {
    let image = images::image(1, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        image.push(&registry, "app", "v2");
        let proxy = Proxy::before(&registry);
        imgstep(["tag", &proxy.at("app:v1"), "v2"]).run().printed(&[format!("{}@{}", proxy.at("app"), image.digest())]);
        assert!(proxy.writes().is_empty(), "{:#?}", proxy.lines());
    }
}

#[test]
fn a_missing_tag_and_an_invalid_tag_are_distinguished() {
    for registry in registries() {
        imgstep(["tag", &registry.at("app:none"), "v1"]).run().failed(5, &["app:none"]);
        imgstep(["tag", &registry.at("app:v1"), "not a tag"]).run().failed(2, &["not a tag"]);
        imgstep(["tag", &registry.at("app:v1")]).run().ended(2);
    }
}
