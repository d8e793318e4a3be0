//! HTTP/2, if a registry supports it: one connection for all small requests, and separate connections for blobs.

use super::{line, promote};
use crate::support::certificates::Certificate;
use crate::support::http2_frontend::{Frontend, Refusals};
use crate::support::registry::LoggedRequest;
use crate::support::relay::Relay;
use crate::support::step::Step;
use crate::support::{Folder, Image, Options, Registry, Style, assert_image, distribution, images};

/// Larger than what counts as small.
const LAYER: usize = 200_000;

struct Secure {
    registry: Registry,
    /// Contains its authority's certificate.
    folder: Folder,
}

fn secure(only_http_1: bool) -> Option<Secure> {
    let certificate = Certificate::new();
    let options = Options { tls: Some(certificate.clone()), only_http_1, ..Options::default() };
    let registry = distribution(&options)?;
    let folder = Folder::new();
    folder.write("ca.pem", &certificate.authority_pem);
    Some(Secure { registry, folder })
}

fn trusting(step: Step, registries: &[&Secure]) -> Step {
    registries.iter().fold(step, |step, secure| step.args(["--ca-dir"]).args([secure.folder.path()]))
}

fn image() -> Image {
    images::index(Style::Oci, 1, 4, 3, LAYER)
}

/// A promotion from one registry to another.
fn copied(only_http_1: bool) -> Option<(Secure, Secure, Image)> {
    let (source, destination) = (secure(only_http_1)?, secure(only_http_1)?);
    let image = image();
    image.push(&source.registry, "app", "v1");
    trusting(promote(&source.registry.at("app:v1"), &destination.registry.at("copy:v1")), &[&source, &destination])
        .run()
        .printed(&[line(&destination.registry.at("copy"), &image)]);
    assert_image(&destination.registry, "copy", "v1", &image);
    Some((source, destination, image))
}

/// Whether a request downloaded or uploaded a layer.
fn carried_layer(request: &LoggedRequest, image: &Image) -> bool {
    let layers = image.blobs.iter().filter(|blob| blob.bytes.len() >= LAYER);
    match request.method.as_str() {
        "GET" => layers.into_iter().any(|layer| request.target.ends_with(&layer.digest)),
        "PUT" => layers
            .into_iter()
            .any(|layer| request.target.replace("%3A", ":").contains(&format!("digest={}", layer.digest))),
        _ => false,
    }
}

#[test]
fn small_requests_share_http_2_and_layers_get_their_own_connections() {
    let Some((source, destination, image)) = copied(false) else { return };
    for (secure, layers) in [(&source, "GET"), (&destination, "PUT")] {
        let log = secure.registry.access_log();
        let (heavy, light): (Vec<&LoggedRequest>, Vec<_>) =
            log.iter().partition(|request| carried_layer(request, &image));
        assert_eq!(heavy.len(), 12, "{log:#?}");
        assert!(heavy.iter().all(|request| request.method == layers && request.protocol == "HTTP/1.1"), "{heavy:#?}");
        assert!(light.len() > 8 && light.iter().all(|request| request.protocol == "HTTP/2.0"), "{light:#?}");
    }
}

#[test]
fn within_one_registry_a_promotion_takes_a_connection_or_two() {
    let Some(one) = secure(false) else { return };
    let image = image();
    image.push(&one.registry, "team/app", "v1");
    let relay = Relay::before(&one.registry);
    trusting(promote(&relay.at("team/app:v1"), &relay.at("prod/app:v1")), &[&one])
        .run()
        .printed(&[line(&relay.at("prod/app"), &image)]);
    assert_image(&one.registry, "prod/app", "v1", &image);
    // The first two requests are sent at once, when the registry's protocol isn't known yet, after the one that found
    // out that it uses TLS.
    assert!((1..=3).contains(&relay.connections()), "{}", relay.connections());
}

#[test]
fn a_registry_with_only_http_1_over_tls_works() {
    let Some((source, destination, _)) = copied(true) else { return };
    for secure in [&source, &destination] {
        let log = secure.registry.access_log();
        assert!(log.iter().all(|request| request.protocol == "HTTP/1.1"), "{log:#?}");
    }
}

#[test]
fn a_broken_shared_connection_is_reopened_and_nothing_is_lost() {
    let Some(one) = secure(false) else { return };
    let image = images::index(Style::Oci, 2, 6, 3, 1000);
    image.push(&one.registry, "team/app", "v1");
    let mut broken = 0;
    for limit in [2500, 3000, 3500, 4000, 5000, 6000, 7000, 9000] {
        let relay = Relay::breaking(&one.registry, limit);
        let repository = format!("prod/after-{limit}");
        trusting(promote(&relay.at("team/app:v1"), &relay.at(&format!("{repository}:v1"))), &[&one])
            .run()
            .printed(&[line(&relay.at(&repository), &image)]);
        assert_image(&one.registry, &repository, "v1", &image);
        broken += usize::from(relay.broke());
    }
    assert!(broken >= 6, "only {broken} connections were broken off");
}

/// A promotion through a frontend that supports only HTTP/2, of an image with small blobs only.
fn through(refusals: Refusals) -> Option<Frontend> {
    let registry = distribution(&Options::default())?;
    let image = images::index(Style::Oci, 3, 6, 3, 1000);
    image.push(&registry, "team/app", "v1");
    let certificate = Certificate::new();
    let folder = Folder::new();
    folder.write("ca.pem", &certificate.authority_pem);
    let frontend = Frontend::before(&registry, &certificate, refusals);
    promote(&frontend.at("team/app:v1"), &frontend.at("prod/app:v1"))
        .args(["--retries", "0", "--ca-dir"])
        .args([folder.path()])
        .run()
        .printed(&[line(&frontend.at("prod/app"), &image)]);
    assert_image(&registry, "prod/app", "v1", &image);
    Some(frontend)
}

#[test]
fn a_request_that_was_not_processed_is_resent_and_does_not_count_as_a_retry() {
    let Some(frontend) = through(Refusals::FirstAttempts) else { return };
    assert!(frontend.refused() > 30, "{}", frontend.refused());
}

#[test]
fn a_server_that_limits_a_connection_gets_another_one() {
    let Some(frontend) = through(Refusals::After(7)) else { return };
    assert!(frontend.connections() > 3, "{}", frontend.connections());
}
