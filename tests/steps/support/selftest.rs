//! Tests of the support itself: a fixture that no registry accepts, or a fault that doesn't occur, would prove nothing.

use super::images::{self, Image};
use super::registry::Auth;
use super::*;
use serde_json::json;

#[test]
fn every_registry_takes_and_gives_back_images_of_every_kind() {
    for registry in registries() {
        let mut all = vec![
            ("single", images::image(1, 2, 1000)),
            ("index", images::index(Style::Oci, 2, 3, 2, 500)),
            ("list", images::index(Style::Docker, 3, 2, 2, 500)),
            ("nested", images::nested(4)),
            ("shared", images::index_with_shared_layers(5, 3, 2, 500)),
            ("foreign", images::with_foreign_layer(6)),
            ("schema1", schema1::image(7, "schema1", "v1")),
        ];
        if registry.kind == Kind::Inside {
            all.push(("artifact", images::artifact(8)));
            all.push(("unknown", images::index_with_unknown_manifest(9)));
        }
        for (repository, image) in all {
            image.push(&registry, repository, "v1");
            assert_image(&registry, repository, "v1", &image);
        }
    }
}

#[test]
fn deleted_content_is_gone() {
    for registry in registries() {
        let image = images::index(Style::Oci, 1, 2, 1, 300);
        image.push(&registry, "app", "v1");
        registry.delete_blob("app", &image.blobs[0].digest);
        registry.delete_manifest("app", &image.manifests[0].digest);
        assert!(registry.has_blob("app", &image.blobs[1].digest));
        assert!(registry.has_manifest("app", image.digest()));
    }
}

#[test]
fn the_proxy_records_and_a_rule_breaks_what_it_should() {
    for registry in registries() {
        let image = images::image(1, 1, 100_000);
        image.push(&registry, "app", "v1");
        let layer = &image.blobs[0];
        let proxy = Proxy::before(&registry);
        let url = format!("http://{}/v2/app/blobs/{}", proxy.host, layer.digest);
        let get = |headers: &[(&str, &str)]| client::request("GET", &url, headers, b"");
        assert_eq!(get(&[]).body, layer.bytes);
        assert_eq!(get(&[("Range", "bytes=99990-")]).body, &layer.bytes[99_990..]);
        proxy.add(rule("GET", "/blobs/", Action::answer(503)).times(1));
        assert_eq!(get(&[]).status, 503);
        proxy.add(rule("GET", "/app/*sha256:", Action::Corrupt(70_000)).times(1));
        let corrupt = get(&[]).body;
        assert_eq!(corrupt.iter().zip(&layer.bytes).filter(|(one, other)| one != other).count(), 1);
        proxy.add(rule("GET", "/blobs/", Action::RequestHeader("Range", None)).times(1));
        assert_eq!(get(&[("Range", "bytes=99990-")]).status, 200);
        proxy.add(rule("GET", "/blobs/", Action::RedirectTo("other.invalid".to_owned())).times(1));
        let redirect = get(&[]);
        assert_eq!(
            (redirect.status, redirect.header("location").unwrap().starts_with("http://other.invalid/")),
            (307, true)
        );
        let log = proxy.log();
        assert_eq!(log.iter().map(|seen| seen.status).collect::<Vec<_>>(), [200, 206, 503, 200, 200, 307]);
        assert_eq!(log[0].received, 100_000);
        assert_eq!(proxy.met().len(), 4);
        assert_eq!(proxy.count("GET", "/app/blobs/"), 6);
        assert!(proxy.writes().is_empty());
    }
}

#[test]
fn the_proxy_breaks_connections_and_changes_uploads() {
    for registry in registries() {
        let proxy = Proxy::before(&registry);
        let image = images::image(1, 1, 300_000);
        let through = |reference: &str| format!("http://{}/v2/app/blobs/{reference}", proxy.host);
        proxy.add(rule("POST", "mount=", Action::DropQuery).times(1));
        let begun = client::expect(202, "POST", &through("uploads/?mount=sha256:1&from=x"), &[], b"");
        let location = begun.header("location").unwrap().to_owned();
        let path = location.split_once("/v2/").map_or_else(|| panic!("{location}"), |(_, path)| path.to_owned());
        let joint = if path.contains('?') { '&' } else { '?' };
        let put = format!("http://{}/v2/{path}{joint}digest={}", proxy.host, image.blobs[0].digest);
        proxy.add(rule("PUT", "digest=", Action::CutRequest(1000)).times(1));
        let broken = ureq::put(&put).send(&image.blobs[0].bytes[..]);
        assert!(broken.is_err(), "{broken:?}");
        proxy.add(rule("PUT", "digest=", Action::LimitBody(1000)).times(1));
        assert_eq!(client::request("PUT", &put, &[], &image.blobs[0].bytes).status, 413);
        image.push(&registry, "app", "v1");
        let blob = through(&image.blobs[0].digest);
        proxy.add(rule("GET", "/blobs/", Action::CutAnswer(1000)).times(1));
        let broken = ureq::get(&blob).call().unwrap().body_mut().read_to_vec();
        assert!(broken.is_err());
        proxy.add(rule("GET", "/blobs/", Action::LoseAnswer).times(1));
        assert!(ureq::get(&blob).call().is_err());
        assert_eq!(client::request("GET", &blob, &[], b"").body.len(), 300_000);
        assert_eq!(proxy.writes().iter().map(|seen| seen.status).collect::<Vec<_>>(), [202, 0, 413]);
    }
}

#[test]
fn distribution_accepts_the_services_tokens_and_refuses_others() {
    let service = TokenService::start(vec![
        User { name: "alice", password: "pw", identity_token: "id-1", may: vec![("app", &["pull", "push"])] },
        User::default(),
    ]);
    let options = Options { auth: service.auth(), ..Options::default() };
    let Some(registry) = distribution(&options) else { return };
    let image = images::image(1, 1, 100);
    image.push(&registry, "app", "v1");
    let url = format!("http://{}/v2/app/manifests/v1", registry.host);
    let refused = client::expect(401, "GET", &url, &[], b"");
    let challenge = refused.header("www-authenticate").unwrap().to_owned();
    assert!(challenge.contains(&service.realm) && challenge.contains("scope=\"repository:app:pull\""), "{challenge}");
    let wish = format!("{}?service={}&scope=repository:app:pull,push", service.realm, registry::SERVICE);
    let login = format!("Basic {}", basic("alice", "pw"));
    let get = |status, authorization: &str| {
        client::expect(status, "GET", &url, &[("Accept", images::ACCEPT), ("Authorization", authorization)], b"");
    };
    let token = |headers: &[(&str, &str)]| {
        let answer = client::expect(200, "GET", &wish, headers, b"");
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        format!("Bearer {}", answer["token"].as_str().unwrap())
    };
    get(200, &token(&[("Authorization", &login)]));
    get(401, &token(&[]));
    get(401, &format!("Bearer {}", service.expired_token()));
    let wrong = format!("Basic {}", basic("alice", "wrong"));
    client::expect(401, "GET", &wish, &[("Authorization", &wrong)], b"");
    let form = |grant: &str| {
        let common = format!("service={}&client_id=x&scope=repository:app:pull", registry::SERVICE);
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = client::expect(200, "POST", &service.realm, &headers, format!("{grant}&{common}").as_bytes());
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        format!("Bearer {}", answer["access_token"].as_str().unwrap())
    };
    get(200, &form("grant_type=refresh_token&refresh_token=id-1"));
    get(200, &form("grant_type=password&username=alice&password=pw"));
    assert_eq!(service.log().len(), 5);
    assert_eq!(service.log()[0].scopes, ["repository:app:pull,push"]);
}

#[test]
fn distribution_with_basic_auth_with_tls_and_read_only() {
    let certificate = certificates::Certificate::new();
    let Some(basic_one) = distribution(&Options { auth: Auth::Basic, ..Options::default() }) else { return };
    let url = format!("http://{}/v2/", basic_one.host);
    client::expect(401, "GET", &url, &[], b"");
    for (user, password, _) in registry::BASIC_LOGINS {
        let login = format!("Basic {}", basic(user, password));
        client::expect(200, "GET", &url, &[("Authorization", &login)], b"");
    }
    let tls = distribution(&Options { tls: Some(certificate), ..Options::default() }).unwrap();
    // Go answers plain HTTP on a TLS port with 400.
    client::expect(400, "GET", &format!("http://{}/v2/", tls.host), &[], b"");
    let read_only = distribution(&Options { read_only: true, ..Options::default() }).unwrap();
    images::image(1, 1, 10).push(&read_only, "app", "v1");
    client::expect(
        200,
        "GET",
        &format!("http://{}/v2/app/manifests/v1", read_only.host),
        &[("Accept", images::ACCEPT)],
        b"",
    );
    client::expect(405, "POST", &format!("http://{}/v2/app/blobs/uploads/", read_only.host), &[], b"");
}

#[test]
fn a_handwritten_layout_is_complete() {
    let folder = Folder::new();
    let image: Image = images::nested(3);
    layout::write(folder.path(), &[("v1", &image)]);
    layout::assert_image(folder.path(), "v1", &image);
}

#[test]
fn fixtures_are_the_same_on_every_run() {
    assert_eq!(images::index(Style::Oci, 1, 2, 2, 100).manifests, images::index(Style::Oci, 1, 2, 2, 100).manifests);
    assert_ne!(images::image(1, 1, 100).digest(), images::image(2, 1, 100).digest());
    assert_eq!(images::index(Style::Oci, 1, 8, 6, 10).blobs.len(), 8 * 7);
    assert_eq!(images::index_with_shared_layers(1, 4, 2, 10).blobs.len(), 2 + 4 * 2);
    assert_eq!(json!({"b": 1, "a": 2}).to_string(), r#"{"b":1,"a":2}"#, "JSON keeps the order of its fields");
}
