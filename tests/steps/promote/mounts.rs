//! Within one registry, nothing is sent that the registry can mount, and every refusal is handled.

use super::{line, promote};
use crate::support::{Action, Image, Proxy, Style, assert_image, images, pairs, registries, rule};

#[test]
fn between_repositories_of_one_registry_no_blob_moves() {
    let image = images::index(Style::Oci, 1, 3, 3, 2000);
    for registry in registries() {
        image.push(&registry, "team/app", "v1");
        let proxy = Proxy::before(&registry);
        promote(&proxy.at("team/app:v1"), &proxy.at("prod/app:v1"))
            .run()
            .printed(&[line(&proxy.at("prod/app"), &image)]);
        assert_image(&registry, "prod/app", "v1", &image);
        assert!(proxy.downloaded().is_empty(), "{:#?}", proxy.lines());
        assert_eq!(proxy.uploaded_bytes(), 0, "{:#?}", proxy.lines());
        assert_eq!(proxy.count("PUT", "/blobs/"), 0, "{:#?}", proxy.lines());
        for blob in &image.blobs {
            let mounts = proxy.matching("POST", &format!("/v2/prod/app/blobs/uploads/*{}", blob.digest));
            assert_eq!(mounts.len(), 1, "{:#?}", proxy.lines());
            assert!(mounts[0].target.contains("from=team/app"), "{}", mounts[0].target);
        }
    }
}

/// Copies within one registry that answers mounts as the rule says.
fn falls_back(image: &Image, action: &Action) {
    for registry in registries() {
        image.push(&registry, "team/app", "v1");
        let proxy = Proxy::before(&registry).with(rule("POST", "/prod/app/*mount=", action.clone()));
        promote(&proxy.at("team/app:v1"), &proxy.at("prod/app:v1"))
            .run()
            .printed(&[line(&proxy.at("prod/app"), image)]);
        assert_image(&registry, "prod/app", "v1", image);
        assert!(!proxy.met().is_empty());
        assert_eq!(proxy.uploaded().len(), image.blobs.len(), "{:#?}", proxy.lines());
    }
}

fn small() -> Image {
    images::index(Style::Oci, 1, 2, 2, 1000)
}

#[test]
fn a_mount_that_becomes_an_upload_is_an_upload() {
    falls_back(&small(), &Action::DropQuery);
}

#[test]
fn a_mount_refused_with_400_becomes_an_upload() {
    falls_back(&small(), &Action::error(400, "NAME_INVALID", "no mounts here"));
}

#[test]
fn a_mount_refused_with_401_becomes_an_upload() {
    falls_back(&small(), &Action::error(401, "UNAUTHORIZED", "not from there"));
}

#[test]
fn a_mount_refused_with_403_becomes_an_upload() {
    falls_back(&small(), &Action::error(403, "DENIED", "not from there"));
}

#[test]
fn a_mount_refused_with_404_becomes_an_upload() {
    falls_back(&small(), &Action::error(404, "BLOB_UNKNOWN", "never seen"));
}

#[test]
fn a_mount_refused_with_405_becomes_an_upload() {
    falls_back(&small(), &Action::error(405, "UNSUPPORTED", "mount"));
}

#[test]
fn another_registry_is_never_asked_to_mount_from_a_repository_it_does_not_have() {
    let image = images::index(Style::Oci, 1, 2, 2, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "team/app", "v1");
        let writing = Proxy::before(&destination);
        promote(&source.at("team/app:v1"), &writing.at("prod/app:v1")).run().ended(0);
        for asked in writing.matching("POST", "from=") {
            assert!(asked.target.contains("from=prod/app"), "{}", asked.target);
        }
    }
}

#[test]
fn a_registry_without_mounts_gets_each_blob_only_once() {
    let image = small();
    for (source, destination) in pairs() {
        image.push(&source, "team/app", "v1");
        let writing = Proxy::before(&destination).with(rule("POST", "mount=", Action::answer(400)));
        promote(&source.at("team/app:v1"), &writing.at("prod/app:v1"))
            .run()
            .printed(&[line(&writing.at("prod/app"), &image)]);
        assert_image(&destination, "prod/app", "v1", &image);
        assert_eq!(writing.uploaded().len(), image.blobs.len(), "{:#?}", writing.lines());
    }
}

#[test]
fn a_mount_that_fails_with_a_server_error_becomes_an_upload() {
    let image = small();
    for registry in registries() {
        image.push(&registry, "team/app", "v1");
        let proxy = Proxy::before(&registry).with(rule("POST", "mount=", Action::answer(500)));
        let run = promote(&proxy.at("team/app:v1"), &proxy.at("prod/app:v1")).args(["--retries", "1"]).run();
        run.printed(&[line(&proxy.at("prod/app"), &image)]);
        assert_image(&registry, "prod/app", "v1", &image);
    }
    for (source, destination) in pairs() {
        image.push(&source, "team/app", "v1");
        let writing = Proxy::before(&destination).with(rule("POST", "mount=", Action::answer(500)));
        let run = promote(&source.at("team/app:v1"), &writing.at("prod/app:v1")).args(["--retries", "1"]).run();
        run.printed(&[line(&writing.at("prod/app"), &image)]);
        assert_image(&destination, "prod/app", "v1", &image);
    }
}

#[test]
fn a_token_service_that_refuses_the_mount_is_handled_for_several_tags_at_once() {
    let image = small();
    for registry in registries() {
        image.push(&registry, "team/app", "v1");
        let given = Action::Answer { status: 200, headers: vec![], body: br#"{"token":"t"}"#.to_vec() };
        // Its first rule applies to all requests that name the source as well as the destination.
        let service = Proxy::before(&registry)
            .with(rule("GET", "/token*prod/app*team/app", Action::answer(403)))
            .with(rule("GET", "/token", given));
        let challenge = Action::Answer {
            status: 401,
            headers: vec![("WWW-Authenticate".to_owned(), format!("Bearer realm=\"http://{}/token\"", service.host))],
            body: vec![],
        };
        // Twice: even if one request matched all of them, it would still succeed.
        let proxy = Proxy::before(&registry).with(rule("HEAD", "/prod/app/", challenge).times(2));
        promote(&proxy.at("team/app:v1"), &proxy.at("prod/app:v1"))
            .args(["--tags", "v2", "v3"])
            .run()
            .printed(&[line(&proxy.at("prod/app"), &image)]);
        assert_image(&registry, "prod/app", "v3", &image);
    }
}
