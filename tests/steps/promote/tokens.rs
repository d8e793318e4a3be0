//! Bearer tokens: one for each set of scopes, renewed when they expire, by GET and by POST.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::{line, promote};
use crate::support::token::{Lifetime, TokenRequest};
use crate::support::{
    Action, Image, Options, Proxy, Registry, Style, TokenService, User, assert_image, basic, distribution, images,
    login, logins, rule,
};

const ALL: &[&str] = &["pull", "push"];

fn users() -> Vec<User> {
    vec![
        User { name: "alice", password: "pw-of-alice", identity_token: "id-of-alice", may: vec![("", ALL)] },
        User { name: "reader", password: "pw-of-reader", may: vec![("team/", &["pull"])], ..User::default() },
        User { name: "writer", password: "pw-of-writer", may: vec![("prod/", ALL)], ..User::default() },
        User { may: vec![("public/", &["pull"])], ..User::default() },
    ]
}

/// A registry that requires tokens of this service, with an image in it.
fn registry_of(service: &TokenService, image: &Image) -> Option<Registry> {
    let registry = distribution(&Options { auth: service.auth(), ..Options::default() })?;
    image.push(&registry, "team/app", "v1");
    Some(registry)
}

/// How often each set of scopes was requested with one login.
fn asked(log: &[TokenRequest]) -> BTreeMap<(String, String), usize> {
    let mut count = BTreeMap::new();
    for request in log {
        *count.entry((request.login.clone(), request.scopes.join(" "))).or_default() += 1;
    }
    count
}

#[test]
fn a_token_is_fetched_once_for_each_set_of_scopes() {
    let service = TokenService::start(users());
    let image = images::index(Style::Oci, 1, 4, 6, 500);
    let Some(source) = registry_of(&service, &image) else { return };
    let destination = registry_of(&service, &images::image(9, 1, 10)).unwrap();
    let config = logins(&[(&source.host, "alice", "pw-of-alice"), (&destination.host, "alice", "pw-of-alice")]);
    promote(&source.at("team/app:v1"), &destination.at("prod/app:v1"))
        .docker_config(&config)
        .run()
        .printed(&[line(&destination.at("prod/app"), &image)]);
    assert_image(&destination, "prod/app", "v1", &image);
    let asked = asked(&service.log());
    assert!(asked.values().all(|count| *count == 1), "{asked:#?}");
    assert!(asked.len() <= 3, "pull here, perhaps pull and then push there: {asked:#?}");
    assert!(service.log().iter().all(|request| request.status == 200));
}

#[test]
fn a_refused_kind_of_request_is_not_repeated_for_each_blob() {
    let service = TokenService::start(users());
    let image = images::index(Style::Oci, 1, 4, 6, 500);
    let Some(source) = registry_of(&service, &image) else { return };
    let destination = registry_of(&service, &images::image(9, 1, 10)).unwrap();
    let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
    let config = logins(&[(&reading.host, "alice", "pw-of-alice"), (&writing.host, "alice", "pw-of-alice")]);
    promote(&reading.at("team/app:v1"), &writing.at("prod/app:v1")).docker_config(&config).run().ended(0);
    for proxy in [&reading, &writing] {
        let refused = proxy.log().iter().filter(|seen| seen.status == 401).count();
        assert!(refused <= 2, "{refused} refusals: {:#?}", proxy.lines());
    }
}

#[test]
fn within_one_registry_the_token_lets_mounts_happen() {
    let service = TokenService::start(users());
    let image = images::index(Style::Oci, 1, 2, 2, 1000);
    let Some(registry) = registry_of(&service, &image) else { return };
    let proxy = Proxy::before(&registry);
    promote(&proxy.at("team/app:v1"), &proxy.at("prod/app:v1"))
        .docker_config(&login(&proxy.host, "alice", "pw-of-alice"))
        .run()
        .printed(&[line(&proxy.at("prod/app"), &image)]);
    assert_image(&registry, "prod/app", "v1", &image);
    assert!(proxy.downloaded().is_empty(), "{:#?}", proxy.lines());
    assert_eq!(proxy.uploaded_bytes(), 0, "{:#?}", proxy.lines());
}

#[test]
fn two_accounts_on_one_registry_each_do_their_part() {
    let service = TokenService::start(users());
    let image = images::index(Style::Oci, 1, 2, 2, 1000);
    let Some(registry) = registry_of(&service, &image) else { return };
    // One user may only read team/, the other only write prod/: neither could do it alone.
    let config = logins(&[
        (&registry.at("team"), "reader", "pw-of-reader"),
        (&registry.at("prod"), "writer", "pw-of-writer"),
        (&registry.host, "nobody", "wrong"),
    ]);
    promote(&registry.at("team/app:v1"), &registry.at("prod/app:v1"))
        .docker_config(&config)
        .run()
        .printed(&[line(&registry.at("prod/app"), &image)]);
    assert_image(&registry, "prod/app", "v1", &image);
    assert!(service.log().iter().all(|request| request.status == 200), "{:#?}", service.log());
}

#[test]
fn a_public_source_needs_no_login() {
    let service = TokenService::start(users());
    let image = images::image(1, 2, 1000);
    let Some(source) = registry_of(&service, &image) else { return };
    image.push(&source, "public/app", "v1");
    let destination = Registry::start(crate::support::Kind::Distribution);
    promote(&source.at("public/app:v1"), &destination.at("app:v1"))
        .run()
        .printed(&[line(&destination.at("app"), &image)]);
    promote(&source.at("team/app:v1"), &destination.at("secret:v1")).run().failed(4, &[&source.host, "401"]);
}

#[test]
fn credentials_without_write_access_end_with_4() {
    let service = TokenService::start(users());
    let image = images::image(1, 2, 1000);
    let Some(registry) = registry_of(&service, &image) else { return };
    let run = promote(&registry.at("team/app:v1"), &registry.at("team/copy:v1"))
        .docker_config(&login(&registry.host, "reader", "pw-of-reader"))
        .args(["-v"])
        .run()
        .failed(4, &[&registry.host, "401"]);
    assert!(!run.stderr.contains("pw-of-reader") && !run.stderr.contains("eyJ"), "{}", run.stderr);
    assert!(!registry.has_manifest("team/copy", "v1"));
}

#[test]
fn a_wrong_password_at_the_token_service_ends_with_4() {
    let service = TokenService::start(users());
    let image = images::image(1, 1, 100);
    let Some(registry) = registry_of(&service, &image) else { return };
    let service_host = service.realm.trim_start_matches("http://").trim_end_matches("/token").to_owned();
    let run = promote(&registry.at("team/app:v1"), &registry.at("prod/app:v1"))
        .docker_config(&login(&registry.host, "alice", "pw-that-is-wrong"))
        .args(["-v"])
        .run()
        .failed(4, &[&service_host, "401"]);
    assert!(!run.stderr.contains("pw-that-is-wrong"), "{}", run.stderr);
    assert!(!run.stderr.contains(&basic("alice", "pw-that-is-wrong")), "{}", run.stderr);
}

#[test]
fn an_identity_token_is_exchanged_by_post() {
    let service = TokenService::start(users());
    let image = images::image(1, 3, 1000);
    let Some(registry) = registry_of(&service, &image) else { return };
    let config = json!({"auths": {registry.host.as_str(): {"identitytoken": "id-of-alice"}}});
    let run = promote(&registry.at("team/app:v1"), &registry.at("prod/app:v1"))
        .docker_config(&config)
        .args(["-v"])
        .run()
        .printed(&[line(&registry.at("prod/app"), &image)]);
    assert_image(&registry, "prod/app", "v1", &image);
    let log = service.log();
    assert!(!log.is_empty());
    assert!(log.iter().all(|request| request.method == "POST" && request.login == "refresh_token"), "{log:#?}");
    assert!(!run.stderr.contains("id-of-alice") && !run.stderr.contains("eyJ"), "{}", run.stderr);
}

#[test]
fn an_identity_token_that_was_revoked_ends_with_4() {
    let service = TokenService::start(users());
    let image = images::image(1, 1, 100);
    let Some(registry) = registry_of(&service, &image) else { return };
    let config = json!({"auths": {registry.host.as_str(): {"identitytoken": "id-of-nobody"}}});
    let run = promote(&registry.at("team/app:v1"), &registry.at("prod/app:v1"))
        .docker_config(&config)
        .run()
        .failed(4, &["401"]);
    assert!(!run.stderr.contains("id-of-nobody"), "{}", run.stderr);
}

#[test]
fn a_service_without_post_gets_a_get() {
    let service = TokenService::start(users());
    service.refuse_post();
    let image = images::image(1, 1, 100);
    let Some(registry) = registry_of(&service, &image) else { return };
    promote(&registry.at("team/app:v1"), &registry.at("prod/app:v1"))
        .docker_config(&login(&registry.host, "alice", "pw-of-alice"))
        .run()
        .printed(&[line(&registry.at("prod/app"), &image)]);
}

#[test]
fn a_token_that_expires_during_a_copy_is_renewed() {
    // The registry accepts the first tokens for only two more seconds, although the response says 300.
    let lifetime = Lifetime { stated: 300, actual: -58, tokens: 3 };
    let service = TokenService::with_lifetime(users(), lifetime);
    let image = images::image(1, 6, 2000);
    let Some(source) = registry_of(&service, &image) else { return };
    let destination = registry_of(&service, &images::image(9, 1, 10)).unwrap();
    let stalled = rule("PUT", "/blobs/uploads/", Action::Stall(Duration::from_secs(4))).times(1);
    let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination).with(stalled));
    let config = logins(&[(&reading.host, "alice", "pw-of-alice"), (&writing.host, "alice", "pw-of-alice")]);
    promote(&reading.at("team/app:v1"), &writing.at("prod/app:v1"))
        .docker_config(&config)
        .run()
        .printed(&[line(&writing.at("prod/app"), &image)]);
    assert_image(&destination, "prod/app", "v1", &image);
    let refused_with_token = |proxy: &Proxy| {
        let log = proxy.log();
        log.iter().filter(|seen| seen.status == 401 && seen.header("authorization").is_some()).count()
    };
    assert!(refused_with_token(&writing) > 0, "the registry itself refused a token: {:#?}", writing.lines());
}

#[test]
fn a_token_with_a_known_lifetime_is_renewed_before_it_expires() {
    let lifetime = Lifetime { stated: 2, actual: -58, tokens: 3 };
    let service = TokenService::with_lifetime(users(), lifetime);
    let image = images::image(1, 6, 2000);
    let Some(registry) = registry_of(&service, &image) else { return };
    let proxy = Proxy::before(&registry).with(rule("GET", "/blobs/", Action::Stall(Duration::from_secs(4))).times(1));
    let destination = Registry::start(crate::support::Kind::Distribution);
    promote(&proxy.at("team/app:v1"), &destination.at("app:v1"))
        .args(["--jobs", "1"])
        .docker_config(&login(&proxy.host, "alice", "pw-of-alice"))
        .run()
        .printed(&[line(&destination.at("app"), &image)]);
    assert_image(&destination, "app", "v1", &image);
    assert!(service.log().len() >= 2, "{:#?}", service.log());
}

#[test]
fn a_401_during_a_copy_renews_the_token_for_any_request() {
    let image = images::image(1, 3, 2000);
    let kinds_of_requests = [
        ("GET", "/team/app/blobs/"),
        ("GET", "/team/app/manifests/"),
        ("POST", "/prod/app/blobs/uploads/"),
        ("PUT", "/prod/app/blobs/uploads/"),
        ("PUT", "/prod/app/manifests/"),
    ];
    for (method, path) in kinds_of_requests {
        let service = TokenService::start(users());
        let Some(source) = registry_of(&service, &image) else { return };
        let destination = registry_of(&service, &images::image(9, 1, 10)).unwrap();
        let expired = || {
            let header = format!("Bearer {}", service.expired_token());
            rule(method, path, Action::RequestHeader("Authorization", Some(header))).times(1)
        };
        let (reading, writing) = (Proxy::before(&source).with(expired()), Proxy::before(&destination).with(expired()));
        let config = logins(&[(&reading.host, "alice", "pw-of-alice"), (&writing.host, "alice", "pw-of-alice")]);
        promote(&reading.at("team/app:v1"), &writing.at("prod/app:v1"))
            .docker_config(&config)
            .run()
            .printed(&[line(&writing.at("prod/app"), &image)]);
        assert_image(&destination, "prod/app", "v1", &image);
        let met: Vec<u16> = reading.met().iter().chain(&writing.met()).map(|seen| seen.status).collect();
        assert_eq!(met, [401], "{method} {path}");
    }
}

#[test]
fn a_page_in_the_place_of_a_token_is_no_answer() {
    let mut service = TokenService::start(users());
    let (_, rest) = service.realm.split_once("://").unwrap();
    let front = Proxy::to(rest.split('/').next().unwrap()).with(rule("", "/token", Action::html()).times(2));
    service.realm = format!("http://{}/token", front.host);
    let image = images::image(1, 2, 2000);
    let Some(registry) = registry_of(&service, &image) else { return };
    promote(&registry.at("team/app:v1"), &registry.at("prod/app:v1"))
        .docker_config(&login(&registry.host, "alice", "pw-of-alice"))
        .run()
        .printed(&[line(&registry.at("prod/app"), &image)]);
    assert!(front.met().len() >= 2, "{:#?}", front.lines());
}

#[test]
fn a_registry_that_refuses_every_token_is_not_retried_forever() {
    let service = TokenService::start(users());
    let image = images::image(1, 2, 2000);
    let Some(registry) = registry_of(&service, &image) else { return };
    let expired = format!("Bearer {}", service.expired_token());
    let proxy = Proxy::before(&registry).with(rule("", "/v2/", Action::RequestHeader("Authorization", Some(expired))));
    promote(&proxy.at("team/app:v1"), &proxy.at("prod/app:v1"))
        .docker_config(&login(&proxy.host, "alice", "pw-of-alice"))
        .run()
        .failed(4, &["401"]);
    assert!(proxy.log().len() < 12, "{:#?}", proxy.lines());
}

#[test]
fn a_token_with_an_absurd_lifetime_is_still_used() {
    let image = images::image(1, 1, 100);
    for registry in crate::support::registries() {
        image.push(&registry, "app", "v1");
        let body = br#"{"token":"t","expires_in":"300","issued_at":null}"#.to_vec();
        let service =
            Proxy::before(&registry).with(rule("GET", "/token", Action::Answer { status: 200, headers: vec![], body }));
        let challenge = Action::Answer {
            status: 401,
            headers: vec![("WWW-Authenticate".to_owned(), format!("Bearer realm=\"http://{}/token\"", service.host))],
            body: vec![],
        };
        let reading = Proxy::before(&registry).with(rule("GET", "/app/", challenge).times(1));
        promote(&reading.at("app:v1"), &registry.at("copy:v1")).run().printed(&[line(&registry.at("copy"), &image)]);
    }
}
