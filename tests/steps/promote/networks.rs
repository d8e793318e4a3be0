//! Networks and registries that refuse: proxies, reported retries, similar tags, unsupported media types.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use super::{line, promote};
use crate::support::{
    Action, Options, Proxy, Registry, assert_image, basic, distribution, images, imgstep, login, registries, rule,
};

/// A proxy that answers every request for a tunnel with this status line; returns its address.
fn proxy_that_says(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|count| count == 1) {
                head.push(byte[0]);
            }
            let _ = client.write_all(answer.as_bytes());
        }
    });
    address
}

fn through(variable: &str, proxy: &str) -> crate::support::step::Run {
    promote("registry.example:7443/app:v1", "registry.example:7443/copy:v1").env(variable, proxy).run()
}

#[test]
fn a_proxy_is_named_with_its_variable_and_what_it_said() {
    let forbidden = proxy_that_says("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let run = through("HTTPS_PROXY", &format!("http://{forbidden}")).failed(
        1,
        &[
            &format!("the proxy {forbidden} (HTTPS_PROXY) answered 403 Forbidden to CONNECT registry.example:7443"),
            "NO_PROXY=registry.example",
        ],
    );
    assert!(!run.stderr.contains("trying again"), "{}", run.stderr);

    let locked = proxy_that_says("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    through("ALL_PROXY", &format!("http://{locked}"))
        .failed(1, &[&format!("{locked} (ALL_PROXY) answered 407"), "USER:PASSWORD@PROXY"]);
    let run = through("https_proxy", &format!("http://me:hidden-word@{locked}"))
        .failed(1, &["(https_proxy) answered 407", "rejects the user and password"]);
    assert!(!run.stderr.contains("hidden-word"), "{}", run.stderr);
}

#[test]
fn a_proxy_that_is_not_there_or_speaks_something_else_is_named() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    promote("registry.example/app:v1", "registry.example/copy:v1")
        .env("HTTPS_PROXY", format!("http://{dead}"))
        .args(["--retries", "0"])
        .run()
        .failed(6, &[&format!("the proxy {dead} (HTTPS_PROXY) can't be reached"), "NO_PROXY=registry.example"]);
    through("ALL_PROXY", "socks5://127.0.0.1:1080").failed(1, &["127.0.0.1:1080 (ALL_PROXY)", "socks5://", "NO_PROXY"]);
}

#[test]
fn attempts_are_reported_from_the_second_on() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let step = |words: &[&str]| promote(&format!("{dead}/app:v1"), &format!("{dead}/copy:v1")).args(words).run();
    let run = step(&["--retries", "3"]).failed(6, &[&format!("{dead} refused the connection")]);
    let told = format!("{dead} refused the connection, trying again (2 of 3)");
    assert!(run.stderr.lines().any(|line| line == told), "{}", run.stderr);
    assert!(!run.stderr.contains("(1 of 3)"), "{}", run.stderr);
    assert!(!step(&["--retries", "3", "--quiet"]).ended(6).stderr.contains("trying again"));
}

#[test]
fn a_missing_tag_gets_suggestions() {
    let image = images::image(1, 1, 100);
    for registry in registries() {
        for tag in ["v1.2.3", "v1.2.4", "stable"] {
            image.push(&registry, "org/app", tag);
        }
        let digest = |name: &str| imgstep(["digest", &registry.at(name)]).run();
        digest("org/app:v1.2.5").failed(5, &["404 Not Found", "similar tags are v1.2.4, v1.2.3"]);
        digest("org/app").failed(5, &["org/app:latest", "a name without a tag means latest", "stable"]);
        digest("org/ap:v1").failed(5, &["the repository org/ap does not exist there"]);
        // It makes no difference that the tag list can't be read.
        let proxy = Proxy::before(&registry).with(rule("GET", "/tags/list", Action::answer(403)));
        imgstep(["digest", &proxy.at("org/app:v1.2.5")])
            .run()
            .failed(5, &["404 Not Found", "check the name and the tag"]);
    }
    let run = imgstep(["digest", "no-such-host.invalid/app:v1", "--retries", "0"]).run();
    run.failed(6, &["there is no address for the name no-such-host.invalid"]);
}

#[test]
fn an_unsupported_media_type_is_named_with_alternatives() {
    let image = images::image(1, 1, 100);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let refusal = Action::error(415, "MANIFEST_INVALID", "manifest invalid");
        let proxy = Proxy::before(&registry).with(rule("PUT", "/copy/manifests/", refusal));
        let kind = &image.root().media_type;
        promote(&registry.at("app:v1"), &proxy.at("copy:v1")).run().failed(1, &["415", &format!("sent as {kind}")]);
    }
}

#[test]
fn refused_layer_urls_are_final() {
    let image = images::image(1, 1, 100);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let refusal = Action::error(500, "UNKNOWN", "invalid URL on layer");
        let proxy = Proxy::before(&registry).with(rule("PUT", "/copy/manifests/", refusal));
        promote(&registry.at("app:v1"), &proxy.at("copy:v1")).run().failed(1, &["foreign layers", "urls.allow"]);
        assert_eq!(proxy.count("PUT", "/copy/manifests/v1"), 1, "{:#?}", proxy.lines());
    }
}

/// What distribution 2.8 answers is `UNKNOWN` and, for each such layer, `MANIFEST_BLOB_UNKNOWN`, with status 500.
#[test]
fn layer_urls_that_distribution_refuses_are_explained_at_once() {
    let image = images::with_foreign_layer(1);
    let Some(registry) = distribution(&Options { refuses_urls: true, ..Options::default() }) else { return };
    let source = Registry::inside();
    image.push(&source, "app", "v1");
    source.put_blob("app", &image.foreign[0]);
    let proxy = Proxy::before(&registry);
    for words in [&[][..], &["--include-foreign"]] {
        let run = promote(&source.at("app:v1"), &proxy.at("app:v1")).args(words).run();
        run.failed(1, &["500", "foreign layers", "validation.manifests.urls.allow"]);
    }
    assert_eq!(proxy.count("PUT", "/app/manifests/v1"), 2, "{:#?}", proxy.lines());
}

#[test]
fn credentials_that_a_registry_echoes_are_not_printed() {
    let image = images::image(1, 1, 100);
    let (user, password) = ("alice-of-echo", "s3cr3t+Pass/word");
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let echo = format!("you sent Basic {} which is {user}:{password}", basic(user, password));
        let headers = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
        let answer = |status, body: &str| Action::Answer { status, headers: headers.clone(), body: body.into() };
        for refusal in [Action::error(403, "DENIED", &echo), answer(400, &echo)] {
            let proxy = Proxy::before(&registry).with(rule("PUT", "/copy/manifests/", refusal));
            for words in [&["--output", "json"][..], &["--verbose"]] {
                let run = promote(&registry.at("app:v1"), &proxy.at("copy:v1"))
                    .args(words)
                    .docker_config(&login(&proxy.host, user, password))
                    .run();
                assert_ne!(run.status, 0);
                let all = format!("{}{}", run.stdout, run.stderr);
                assert!(all.contains("you sent Basic ***"), "{all}");
                for secret in [password, &basic(user, password)] {
                    assert!(!all.contains(secret.trim_end_matches('=')), "{all}");
                }
            }
        }
    }
}

#[test]
fn unprintable_characters_are_escaped_in_json() {
    let image = images::image(1, 1, 100);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        imgstep(["mutate", &registry.at("app:v1"), "--to", &registry.at("odd:v1")])
            .args(["--annotation", "org.example.odd=a\u{202e}b\u{2028}c\u{200b}##teamcity[x]"])
            .run()
            .ended(0);
        let run = imgstep(["inspect", &registry.at("odd:v1"), "--output", "json"]).run().ended(0);
        for bad in ["\u{202e}", "\u{2028}", "\u{200b}", "##teamcity"] {
            assert!(!run.stdout.contains(bad), "{}", run.stdout);
        }
        assert!(run.json().to_string().contains("a\u{202e}b\u{2028}c\u{200b}##teamcity[x]"), "{}", run.stdout);
        let text = imgstep(["inspect", &registry.at("odd:v1")]).run().ended(0);
        assert!(text.stdout.contains("# #teamcity") && !text.stdout.contains('\u{200b}'), "{}", text.stdout);
        assert_image(&registry, "app", "v1", &image);
        promote(&registry.at("app:v1"), &registry.at("copy:v1")).run().printed(&[line(&registry.at("copy"), &image)]);
    }
}
