//! The outputs of an append.

use serde_json::Value;

use super::{append, digest, programs};
use crate::support::{Folder, Proxy, images, registries};

#[test]
fn results_with_a_base_and_without() {
    let base = images::image(1, 1, 300);
    let (_folder, layers) = programs();
    let folder = Folder::new();
    let file = |key: &str| format!("{key}={}", folder.join(key).display());
    for registry in registries() {
        base.push(&registry, "base", "v1");
        let run = append(&registry.at("base:v1"), &registry.at("app:v1"))
            .args(["--layer", &layers[1], "--tags", "v2", "--result", &file("base"), &file("digest"), &file("tags")])
            .run()
            .ended(0);
        assert_eq!(folder.read("digest").unwrap(), digest(&run));
        let told: Value = serde_json::from_str(&folder.read("base").unwrap()).unwrap();
        assert_eq!(told["digest"], base.digest());
        assert_eq!(folder.read("tags").unwrap(), format!("{},{}", registry.at("app:v1"), registry.at("app:v2")));
        std::fs::remove_file(folder.join("base")).unwrap();
        append("scratch", &registry.at("both:v1"))
            .args(&layers)
            .args(["--result", &file("base"), &file("images")])
            .run()
            .ended(0);
        assert_eq!(folder.read("images").unwrap().split(',').count(), 2);
        assert_eq!(folder.read("base"), None, "scratch is no image");
    }
}

#[test]
fn a_plan_writes_nothing_and_names_the_digest() {
    let (_folder, layers) = programs();
    for registry in registries() {
        let proxy = Proxy::before(&registry);
        let step = || append("scratch", &proxy.at("app:v1")).args(&layers);
        let plan = step().args(["--dry-run", "--output", "json"]).run().ended(0).json();
        assert!(proxy.writes().is_empty(), "{:#?}", proxy.lines());
        assert_eq!(plan["dryRun"], true);
        assert_eq!(plan["step"], "append");
        assert_eq!(plan["digest"], digest(&step().run().ended(0)));
    }
}
