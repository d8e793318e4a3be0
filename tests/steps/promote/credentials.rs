//! Credentials: where they are found, to whom they are sent, and that they are never printed.

use serde_json::json;

use super::{line, promote};
use crate::support::registry::{Auth, BASIC_LOGINS};
use crate::support::{
    Action, Folder, Options, Proxy, Registry, assert_image, auth_folder, basic, distribution, images, login, logins,
    rule,
};

const ALICE: (&str, &str) = (BASIC_LOGINS[0].0, BASIC_LOGINS[0].1);
const BOB: (&str, &str) = (BASIC_LOGINS[1].0, BASIC_LOGINS[1].1);

/// A registry that requires a login, with an image in it.
fn locked(image: &images::Image) -> Option<Registry> {
    let registry = distribution(&Options { auth: Auth::Basic, ..Options::default() })?;
    image.push(&registry, "app", "v1");
    Some(registry)
}

#[test]
fn a_login_in_the_home_folder_is_used() {
    let image = images::image(1, 2, 1000);
    let Some(registry) = locked(&image) else { return };
    promote(&registry.at("app:v1"), &registry.at("copy:v1"))
        .docker_config(&login(&registry.host, ALICE.0, ALICE.1))
        .run()
        .printed(&[line(&registry.at("copy"), &image)]);
    assert_image(&registry, "copy", "v1", &image);
}

#[test]
fn no_login_and_a_wrong_login_end_with_4() {
    let image = images::image(1, 1, 100);
    let Some(registry) = locked(&image) else { return };
    promote(&registry.at("app:v1"), &registry.at("copy:v1")).run().failed(4, &[&registry.host, "401", "--auth-dir"]);
    promote(&registry.at("app:v1"), &registry.at("copy:v1"))
        .docker_config(&login(&registry.host, ALICE.0, "wrong-pass"))
        .run()
        .failed(4, &[&registry.host, "401"]);
    assert!(!registry.has_manifest("copy", "v1"));
}

#[test]
fn credentials_are_found_in_every_location() {
    let image = images::image(1, 1, 100);
    let Some(registry) = locked(&image) else { return };
    let config = login(&registry.host, ALICE.0, ALICE.1);
    let dockercfg = &config["auths"];
    let folder = Folder::new();
    folder.write("a/config.json", config.to_string());
    folder.write("b/.dockerconfigjson", config.to_string());
    folder.write("c/.dockercfg", dockercfg.to_string());
    folder.write("d/auth.json", config.to_string());
    folder.write("e/containers/auth.json", config.to_string());
    folder.write("nothing/readme", "no login here");
    let step = || promote(&registry.at("app:v1"), &registry.at("copy:v1"));
    let expected = [line(&registry.at("copy"), &image)];
    for name in ["a", "b", "c", "d"] {
        step().args(["--auth-dir"]).args([folder.join(name)]).run().printed(&expected);
    }
    step().args(["--auth-dir"]).args([folder.join("nothing"), folder.join("a")]).run().printed(&expected);
    step().env("DOCKER_CONFIG", folder.join("a")).run().printed(&expected);
    step().env("REGISTRY_AUTH_FILE", folder.join("d/auth.json")).run().printed(&expected);
    step().env("XDG_RUNTIME_DIR", folder.join("e")).run().printed(&expected);
    step().env("IMGSTEP_AUTH_DIR", folder.join("a")).run().printed(&expected);
    step().args(["--auth-dir"]).args([folder.join("nothing")]).run().failed(4, &["401"]);
}

#[test]
fn a_broken_login_file_is_named() {
    let image = images::image(1, 1, 100);
    let Some(registry) = locked(&image) else { return };
    let folder = Folder::new();
    let file = folder.write("config.json", r#"{"auths": "s3cret"#);
    let run = promote(&registry.at("app:v1"), &registry.at("copy:v1"))
        .args(["--auth-dir"])
        .args([folder.path()])
        .run()
        .failed(1, &[&file.display().to_string()]);
    assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
}

#[test]
fn source_and_destination_have_separate_credentials() {
    let image = images::image(1, 2, 1000);
    let (Some(source), Some(destination)) = (locked(&image), locked(&image)) else { return };
    let config = logins(&[(&source.host, ALICE.0, ALICE.1), (&destination.host, BOB.0, BOB.1)]);
    let folder = auth_folder(&config);
    let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
    let through = logins(&[(&reading.host, ALICE.0, ALICE.1), (&writing.host, BOB.0, BOB.1)]);
    promote(&reading.at("app:v1"), &writing.at("copy:v1"))
        .docker_config(&through)
        .run()
        .printed(&[line(&writing.at("copy"), &image)]);
    let shown = |proxy: &Proxy| {
        let mut shown: Vec<String> =
            proxy.log().iter().filter_map(|seen| seen.header("authorization").map(str::to_owned)).collect();
        shown.dedup();
        shown
    };
    assert_eq!(shown(&reading), [format!("Basic {}", basic(ALICE.0, ALICE.1))]);
    assert_eq!(shown(&writing), [format!("Basic {}", basic(BOB.0, BOB.1))]);
    promote(&source.at("app:v1"), &destination.at("again:v1"))
        .args(["--auth-dir"])
        .args([folder.path()])
        .run()
        .printed(&[line(&destination.at("again"), &image)]);
}

#[test]
fn source_credentials_are_not_sent_to_the_destination() {
    let image = images::image(1, 2, 1000);
    let Some(registry) = locked(&image) else { return };
    let folder = auth_folder(&login(&registry.host, ALICE.0, ALICE.1));
    promote(&registry.at("app:v1"), &registry.at("copy:v1"))
        .args(["--source-auth-dir"])
        .args([folder.path()])
        .run()
        .failed(4, &["401"]);
    assert!(!registry.has_manifest("copy", "v1"));
    promote(&registry.at("app:v1"), &registry.at("copy:v1"))
        .docker_config(&login(&registry.host, BOB.0, BOB.1))
        .args(["--source-auth-dir"])
        .args([folder.path()])
        .run()
        .printed(&[line(&registry.at("copy"), &image)]);
}

#[test]
fn a_credential_helper_is_asked() {
    let image = images::image(1, 1, 100);
    let Some(registry) = locked(&image) else { return };
    let folder = Folder::new();
    let script = format!(
        "#!/bin/sh\nread host\necho \"$1 $host\" >> {}\necho '{{\"Username\":\"{}\",\"Secret\":\"{}\"}}'\n",
        folder.join("asked").display(),
        ALICE.0,
        ALICE.1
    );
    let helper = folder.write("docker-credential-story", script);
    make_executable(&helper);
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let step = || promote(&registry.at("app:v1"), &registry.at("copy:v1")).env("PATH", &path);
    let expected = [line(&registry.at("copy"), &image)];
    step().docker_config(&json!({"credHelpers": {registry.host.as_str(): "story"}})).run().printed(&expected);
    step().docker_config(&json!({"credsStore": "story"})).run().printed(&expected);
    let asked = folder.read("asked").unwrap();
    assert!(asked.lines().all(|line| line == format!("get {}", registry.host)), "{asked}");
    step()
        .docker_config(&json!({"credHelpers": {registry.host.as_str(): "no-such-helper"}}))
        .run()
        .failed(1, &["docker-credential-no-such-helper"]);
}

fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_redirect_never_sees_the_login() {
    let image = images::image(1, 2, 50_000);
    let Some(source) = locked(&image) else { return };
    let destination = Registry::start(crate::support::Kind::Distribution);
    // The storage behind the registry needs no login: it is the back door.
    let storage = Proxy::to(&source.back);
    let reading = Proxy::before(&source).with(rule("GET", "/blobs/", Action::RedirectTo(storage.host.clone())));
    promote(&reading.at("app:v1"), &destination.at("copy:v1"))
        .docker_config(&login(&reading.host, ALICE.0, ALICE.1))
        .run()
        .printed(&[line(&destination.at("copy"), &image)]);
    assert_image(&destination, "copy", "v1", &image);
    let redirected = storage.log();
    assert_eq!(redirected.len(), image.blobs.len());
    for seen in redirected {
        assert_eq!(seen.header("authorization"), None, "{}", seen.target);
    }
}

#[test]
fn a_redirected_download_that_breaks_goes_on() {
    let image = images::image(1, 1, 300_000);
    let Some(source) = locked(&image) else { return };
    let destination = Registry::start(crate::support::Kind::Distribution);
    let storage = Proxy::to(&source.back).with(rule("GET", "/blobs/", Action::CutAnswer(100_000)).times(1));
    let reading = Proxy::before(&source).with(rule("GET", "/blobs/", Action::RedirectTo(storage.host.clone())));
    promote(&reading.at("app:v1"), &destination.at("copy:v1"))
        .docker_config(&login(&reading.host, ALICE.0, ALICE.1))
        .run()
        .printed(&[line(&destination.at("copy"), &image)]);
    assert!(storage.log().iter().all(|seen| seen.header("authorization").is_none()));
}

#[test]
fn credentials_are_never_printed() {
    let image = images::image(1, 2, 1000);
    let Some(registry) = locked(&image) else { return };
    for (password, status) in [(ALICE.1, 0), ("wrong-but-s3cret", 4)] {
        let run = promote(&registry.at("app:v1"), &registry.at("copy:v1"))
            .docker_config(&login(&registry.host, ALICE.0, password))
            .args(["-v", "--output", "json"])
            .run()
            .ended(status);
        // If two requests are refused at once, the first refusal ends the step.
        assert!(run.stderr.contains("/manifests/v1 → "), "-v shows requests: {}", run.stderr);
        let said = format!("{}{}", run.stdout, run.stderr);
        for secret in [password, &basic(ALICE.0, password)] {
            assert!(!said.contains(secret), "{secret} is in: {said}");
        }
    }
}

#[test]
fn credentials_of_another_registry_are_not_sent() {
    let image = images::image(1, 1, 100);
    let Some(registry) = locked(&image) else { return };
    let proxy = Proxy::before(&registry);
    promote(&proxy.at("app:v1"), &proxy.at("copy:v1"))
        .docker_config(&login(&registry.host, ALICE.0, ALICE.1))
        .run()
        .failed(4, &["401"]);
    assert!(proxy.log().iter().all(|seen| seen.header("authorization").is_none()));
}
