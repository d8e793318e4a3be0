//! TLS: which authorities a step trusts, and when it uses plain HTTP.

use super::{line, promote};
use crate::support::certificates::Certificate;
use crate::support::relay::Relay;
use crate::support::tools::missing_optional;
use crate::support::{Folder, Image, Kind, Options, Registry, assert_image, distribution, images, registries};

struct Secure {
    registry: Registry,
    certificate: Certificate,
    image: Image,
}

/// A TLS registry with an unknown authority.
fn secure() -> Option<Secure> {
    let certificate = Certificate::new();
    let registry = distribution(&Options { tls: Some(certificate.clone()), ..Options::default() })?;
    let image = images::image(1, 2, 1000);
    image.push(&registry, "app", "v1");
    Some(Secure { registry, certificate, image })
}

#[test]
fn an_unknown_authority_is_refused() {
    let Some(Secure { registry, .. }) = secure() else { return };
    // A retry can't help, so there is none.
    let relay = Relay::before(&registry);
    promote(&relay.at("app:v1"), &relay.at("copy:v1")).run().failed(1, &[&relay.host, "certificate"]);
    assert!(relay.connections() <= 3, "{}", relay.connections());
    assert!(!registry.has_manifest("copy", "v1"));
}

#[test]
fn ways_to_trust_an_unknown_authority_are_suggested() {
    let Some(Secure { registry, .. }) = secure() else { return };
    let insecure = format!("--insecure-registry {}", registry.host);
    promote(&registry.at("app:v1"), &registry.at("copy:v1"))
        .run()
        .failed(1, &["not signed by a trusted authority", "--ca-file", "SSL_CERT_FILE", &insecure]);
}

#[test]
fn a_self_signed_certificate_is_trusted_if_it_is_given() {
    let image = images::image(1, 2, 1000);
    let serve = |names: &[&str], is_valid| {
        let certificate = Certificate::self_signed(names, is_valid);
        let registry = distribution(&Options { tls: Some(certificate.clone()), ..Options::default() })?;
        image.push(&registry, "app", "v1");
        Some((registry, certificate))
    };
    let folder = Folder::new();
    let Some((registry, certificate)) = serve(&["127.0.0.1", "localhost"], true) else { return };
    let file = folder.write("own.pem", &certificate.pem);
    let step = |registry: &Registry| promote(&registry.at("app:v1"), &registry.at("copy:v1"));
    step(&registry).args(["--ca-file"]).arg(&file).run().printed(&[line(&registry.at("copy"), &image)]);
    assert_image(&registry, "copy", "v1", &image);
    let another = folder.write("another.pem", Certificate::self_signed(&["127.0.0.1"], true).pem);
    step(&registry).args(["--ca-file"]).arg(&another).run().failed(1, &["certificate", "--ca-file"]);

    // Its name and validity are still checked.
    let Some((elsewhere, certificate)) = serve(&["registry.example"], true) else { return };
    let file = folder.write("elsewhere.pem", &certificate.pem);
    step(&elsewhere).args(["--ca-file"]).arg(&file).run().failed(1, &["for another name"]);
    let Some((expired, certificate)) = serve(&["127.0.0.1"], false) else { return };
    let file = folder.write("expired.pem", &certificate.pem);
    step(&expired).args(["--ca-file"]).arg(&file).run().failed(1, &["expired or not valid yet"]);
}

#[test]
fn an_authority_in_a_folder_is_trusted() {
    let Some(Secure { registry, certificate, image }) = secure() else { return };
    let folder = Folder::new();
    folder.write("ca.crt", &certificate.authority_pem);
    folder.write("readme.txt", "not a certificate");
    promote(&registry.at("app:v1"), &registry.at("copy:v1"))
        .args(["--ca-dir"])
        .args([folder.path()])
        .run()
        .printed(&[line(&registry.at("copy"), &image)]);
    assert_image(&registry, "copy", "v1", &image);
}

#[test]
fn an_authority_in_a_file_is_trusted() {
    let Some(Secure { registry, certificate, image }) = secure() else { return };
    let folder = Folder::new();
    let file = folder.write("authority.pem", &certificate.authority_pem);
    let step = || promote(&registry.at("app:v1"), &registry.at("copy:v1"));
    let expected = [line(&registry.at("copy"), &image)];
    step().args(["--ca-file"]).args([&file]).run().printed(&expected);
    step().env("SSL_CERT_FILE", &file).run().printed(&expected);
    step().env("IMGSTEP_CA_FILE", &file).run().printed(&expected);
}

#[test]
fn a_ca_file_that_is_missing_or_holds_no_certificate_is_named() {
    let Some(Secure { registry, .. }) = secure() else { return };
    let folder = Folder::new();
    let empty = folder.write("empty.pem", "no certificate here");
    for file in [empty, folder.join("no-such.pem")] {
        let run = promote(&registry.at("app:v1"), &registry.at("copy:v1")).args(["--ca-file"]).args([&file]).run();
        assert!(matches!(run.status, 1 | 2), "{run:?}");
        assert!(run.stderr.contains(&file.display().to_string()), "{}", run.stderr);
    }
}

#[test]
fn an_insecure_registry_may_have_any_certificate() {
    let Some(Secure { registry, image, .. }) = secure() else { return };
    promote(&registry.at("app:v1"), &registry.at("copy:v1"))
        .args(["--insecure-registry", &registry.host])
        .run()
        .printed(&[line(&registry.at("copy"), &image)]);
    promote(&registry.at("app:v1"), &registry.at("copy:v1"))
        .args(["--insecure-registry", "other.example:5000", "--retries", "0"])
        .run()
        .failed(1, &[&registry.host]);
}

#[test]
fn from_a_plain_registry_to_a_secure_one() {
    let Some(Secure { registry, certificate, image }) = secure() else { return };
    let plain = Registry::start(Kind::Distribution);
    image.push(&plain, "app", "v1");
    let folder = Folder::new();
    folder.write("ca.pem", &certificate.authority_pem);
    promote(&plain.at("app:v1"), &registry.at("copy:v1"))
        .env("IMGSTEP_CA_DIR", folder.path())
        .run()
        .printed(&[line(&registry.at("copy"), &image)]);
    assert_image(&registry, "copy", "v1", &image);
}

/// A name of this machine that is neither `localhost` nor an address, if `/etc/hosts` has one.
fn alias() -> Option<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
    let names = hosts.lines().filter_map(|line| {
        let words: Vec<&str> = line.split('#').next()?.split_whitespace().collect();
        (words.first() == Some(&"127.0.0.1"))
            .then(|| words[1..].iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    });
    names.flatten().find(|name| !name.contains("localhost") && !name.contains(char::is_uppercase))
}

#[test]
fn plain_http_is_only_for_loopback_and_insecure_registries() {
    let Some(alias) = alias() else {
        return missing_optional(
            "a further name for 127.0.0.1 in /etc/hosts",
            "the refusal of plain HTTP is not tested",
        );
    };
    let image = images::image(1, 1, 100);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let port = registry.host.rsplit(':').next().unwrap();
        let named = format!("{alias}:{port}");
        let step = || promote(&format!("{named}/app:v1"), &format!("{named}/copy:v1"));
        let begun = std::time::Instant::now();
        step().args(["--retries", "20"]).run().failed(1, &[&named]);
        assert!(begun.elapsed().as_secs() < 20, "it is not tried again");
        assert!(!registry.has_manifest("copy", "v1"));
        step().args(["--insecure-registry", &named]).run().printed(&[line(&format!("{named}/copy"), &image)]);
        assert_image(&registry, "copy", "v1", &image);
    }
}

#[test]
fn localhost_is_reached_over_plain_http() {
    let image = images::image(1, 1, 100);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let port = registry.host.rsplit(':').next().unwrap();
        let named = format!("localhost:{port}");
        promote(&format!("{named}/app:v1"), &format!("{named}/copy:v1"))
            .run()
            .printed(&[line(&format!("{named}/copy"), &image)]);
    }
}
