//! Every exit status with its simplest cause, and what the last line of output says.

use super::{line, promote};
use crate::support::{Action, Kind, Proxy, Registry, images, kinds, pairs, registries, rule};

#[test]
fn done_is_0() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1")).run().printed(&[line(&destination.at("app"), &image)]);
    }
}

#[test]
fn a_read_only_registry_is_1_and_says_what_it_is() {
    let image = images::image(1, 1, 100);
    for kind in kinds() {
        let source = Registry::start(kind);
        image.push(&source, "app", "v1");
        let destination = Registry::read_only(kind, |_| {});
        let run = promote(&source.at("app:v1"), &destination.at("app:v1"))
            .run()
            .failed(1, &[&destination.host, "405", "read-only"]);
        assert!(run.stderr.contains("error"), "{}", run.stderr);
        assert!(!destination.has_manifest("app", "v1"));
    }
}

#[test]
fn a_read_only_registry_that_has_it_already_needs_no_writing() {
    let image = images::image(1, 1, 100);
    for kind in kinds() {
        let source = Registry::start(kind);
        image.push(&source, "app", "v1");
        let destination = Registry::read_only(kind, |open| image.push(open, "app", "v1"));
        promote(&source.at("app:v1"), &destination.at("app:v1")).run().printed(&[line(&destination.at("app"), &image)]);
    }
}

#[test]
fn nonsense_is_2() {
    promote("Not A Reference", "localhost:1/app").run().failed(2, &["Not A Reference"]);
}

#[test]
fn a_guard_is_3() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        promote(&source.at("app:v1"), &destination.at("app:v1"))
            .args(["--expect-digest", &images::sha256(b"other")])
            .run()
            .failed(3, &[image.digest()]);
    }
}

#[test]
fn refused_credentials_are_4() {
    for registry in registries() {
        let proxy = Proxy::before(&registry).with(rule(
            "",
            "/app/",
            Action::error(403, "DENIED", "requested access is denied"),
        ));
        promote(&proxy.at("app:v1"), &proxy.at("copy:v1"))
            .run()
            .failed(4, &[&proxy.host, "403", "requested access is denied"]);
    }
}

#[test]
fn a_missing_source_is_5() {
    for (source, destination) in pairs() {
        images::image(1, 1, 100).push(&source, "app", "v1");
        let writing = Proxy::before(&destination);
        let missing = source.at(&format!("app@{}", images::sha256(b"nothing")));
        for name in [source.at("app:no-such-tag"), source.at("no/such/repository:v1"), missing] {
            promote(&name, &writing.at("app:v1")).run().failed(5, &[&name]);
        }
        assert!(writing.writes().is_empty(), "{:#?}", writing.lines());
    }
}

#[test]
fn a_registry_in_trouble_is_6() {
    for registry in registries() {
        let proxy = Proxy::before(&registry).with(rule("", "/app/", Action::answer(503)));
        promote(&proxy.at("app:v1"), &proxy.at("copy:v1"))
            .args(["--retries", "0"])
            .run()
            .failed(6, &[&proxy.host, "503"]);
    }
}

#[test]
fn too_many_requests_for_too_long_are_6() {
    for registry in registries() {
        let proxy = Proxy::before(&registry).with(rule("", "/app/", Action::too_many("1")));
        promote(&proxy.at("app:v1"), &proxy.at("copy:v1")).args(["--retries", "1"]).run().failed(6, &["429"]);
    }
}

#[test]
fn a_missing_repository_at_the_destination_is_not_a_missing_source() {
    let image = images::image(1, 1, 100);
    for kind in kinds() {
        let (source, destination) = (Registry::start(kind), Registry::start(Kind::Inside));
        image.push(&source, "app", "v1");
        // Some registries require the repository to be created first.
        let unknown = Action::error(404, "NAME_UNKNOWN", "create it first");
        let writing = Proxy::before(&destination).with(rule("", "/copy/", unknown));
        promote(&source.at("app:v1"), &writing.at("copy:v1")).run().failed(1, &["404", "create it first"]);
    }
}
