//! Other readers of a bundle: Tekton's own bundle resolver, and third-party clients.

use super::{bundle, resource, three};
use crate::support::tools::{is_here, missing};
use crate::support::{other_tool, registries};

/// Built by `make test` (tests/setup.sh) from tests/tekton/readbundle: Tekton's code, without any of our bundle code.
const RESOLVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/tekton/readbundle");

#[test]
fn tektons_resolver_finds_every_resource() {
    if !is_here(RESOLVER) {
        return missing("Tekton's bundle resolver", "bundles are only read by the other tests");
    }
    let folder = three();
    for registry in registries() {
        let run = bundle(&folder, &["tasks.yaml", "more"], &registry.at("tasks:v1")).run().ended(0);
        let digest = run.stdout.trim();
        for reference in [registry.at("tasks:v1").as_str(), digest] {
            for (kind, name) in [("task", "build"), ("stepaction", "build"), ("pipeline", "all"), ("Task", "build")] {
                let text = other_tool(&[RESOLVER, reference, kind, name]).unwrap();
                let own = ["Task", "StepAction", "Pipeline"].into_iter().find(|own| own.eq_ignore_ascii_case(kind));
                assert_eq!(text, resource(own.unwrap(), name), "{reference} {kind} {name}");
            }
        }
    }
}

#[test]
fn others_read_and_copy_it() {
    let folder = three();
    for registry in registries() {
        let reference = registry.at("tasks:v1");
        let run = bundle(&folder, &["tasks.yaml", "more"], &reference).run().ended(0);
        let digest = run.stdout.trim().rsplit('@').next().unwrap().to_owned();
        other_tool(&["crane", "validate", "--insecure", "--remote", &reference]);
        other_tool(&["crane", "cp", "--insecure", &reference, &registry.at("crane:v1")]);
        let docker = format!("docker://{reference}");
        let copy = format!("docker://{}", registry.at("skopeo:v1"));
        if let Some(text) = other_tool(&["skopeo", "inspect", "--tls-verify=false", "--no-tags", &docker]) {
            assert!(text.contains(&digest), "{text}");
        }
        let options = ["skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
        let copied = other_tool(&[&options[..], &["--insecure-policy", &docker, &copy]].concat());
        for (repository, is_there) in [("crane", is_here("crane")), ("skopeo", copied.is_some())] {
            if is_there {
                let bytes = registry.manifest_bytes(repository, "v1");
                assert_eq!(crate::support::images::sha256(&bytes), digest, "{repository}");
            }
        }
    }
}
