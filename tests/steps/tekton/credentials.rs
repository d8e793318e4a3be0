//! Where a Task finds its credentials and its authorities.

use serde_json::{Value, json};

use crate::support::certificates::Certificate;
use crate::support::registry::{Auth, BASIC_LOGINS};
use crate::support::tekton::{cluster, results, task_run};
use crate::support::{Folder, Options, Registry, assert_image, distribution, images, login};

fn secret(name: &str, kind: &str, key: &str, content: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind,
           "data": {key: base64(content)}})
}

fn base64(content: &Value) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(content.to_string())
}

fn account(field: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"},
           field: [{"name": "login"}]})
}

/// A registry that requires a login, and the arguments that promote within it.
fn locked() -> Option<(Registry, images::Image, Value)> {
    let registry = distribution(&Options { auth: Auth::Basic, ..Options::default() })?;
    let image = images::image(1, 2, 1000);
    image.push(&registry, "app", "v1");
    let login = login(&registry.host, BASIC_LOGINS[0].0, BASIC_LOGINS[0].1);
    Some((registry, image, login))
}

fn promote(registry: &Registry, tag: &str, workspaces: &Value) -> Value {
    let params = json!({"source": registry.at("app:v1"), "to": [registry.at(&format!("copy:{tag}"))]});
    task_run("promote", &params, workspaces)
}

#[test]
fn a_workspace_with_either_key_provides_credentials() {
    let Some((registry, image, login)) = locked() else { return };
    let workspaces = json!([{"name": "credentials", "secret": {"secretName": "login"}}]);
    for (kind, key, tag) in
        [("Opaque", "config.json", "v1"), ("kubernetes.io/dockerconfigjson", ".dockerconfigjson", "v2")]
    {
        let run = promote(&registry, tag, &workspaces);
        let Some(report) = cluster().object(secret("login", kind, key, &login)).object(run).run_one() else { return };
        assert_eq!(results(&report)["IMAGE_DIGEST"], image.digest());
        assert_image(&registry, "copy", tag, &image);
    }
}

#[test]
fn the_secrets_of_the_service_account_provide_credentials() {
    let Some((registry, image, login)) = locked() else { return };
    let secret = secret("login", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", &login);
    let run = promote(&registry, "v1", &json!([]));
    let Some(report) = cluster().object(secret).object(account("secrets")).object(run).run_one() else { return };
    assert_eq!(results(&report)["IMAGE_DIGEST"], image.digest());
    assert_image(&registry, "copy", "v1", &image);
}

#[test]
fn image_pull_secrets_are_not_seen_and_the_error_says_so() {
    let Some((registry, _, login)) = locked() else { return };
    let secret = secret("login", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", &login);
    let run = promote(&registry, "v1", &json!([]));
    let Some(report) = cluster().object(secret).object(account("imagePullSecrets")).object(run).run_one() else {
        return;
    };
    assert_eq!(report["succeeded"], false);
    let step = &report["steps"][0];
    assert_eq!(step["exitCode"], 4, "{step:#}");
    let log = step["log"].as_str().unwrap();
    assert!(
        log.contains("401") && log.contains("don't use imagePullSecrets") && log.contains("`credentials`"),
        "{log}"
    );
    assert!(!registry.has_manifest("copy", "v1"));
}

#[test]
fn a_config_map_holds_authorities() {
    let certificate = Certificate::new();
    let options = Options { tls: Some(certificate.clone()), ..Options::default() };
    let Some(registry) = distribution(&options) else { return };
    let image = images::image(1, 2, 1000);
    image.push(&registry, "app", "v1");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"},
                     "data": {"ca.crt": certificate.authority_pem}});
    let workspaces = json!([{"name": "ca-bundle", "configMap": {"name": "ca"}}]);
    let run = promote(&registry, "v1", &workspaces);
    let Some(report) = cluster().object(map).object(run).run_one() else { return };
    assert_eq!(results(&report)["IMAGE_DIGEST"], image.digest());
    assert_image(&registry, "copy", "v1", &image);
}

#[test]
fn a_link_in_the_sources_leaks_no_credentials() {
    let registry = Registry::inside();
    let logins = secret("login", "Opaque", "config.json", &json!({"auths": {}}));
    for (tag, target) in [("v1", "/workspace/credentials"), ("v2", "../credentials"), ("v3", "..")] {
        let sources = Folder::new();
        sources.write("source/main.mjs", "a program");
        std::os::unix::fs::symlink(target, sources.join("source/src")).unwrap();
        let params = json!({"base": "scratch", "platform": ["linux/amd64"], "layer": ["src=/srv/app"],
                            "to": [registry.at(&format!("app:{tag}"))]});
        let workspaces = json!([
            {"name": "source", "persistentVolumeClaim": {"claimName": "source"}},
            {"name": "credentials", "secret": {"secretName": "login"}},
        ]);
        let run = task_run("append", &params, &workspaces);
        let run = cluster().object(logins.clone()).object(run).claim("source", &sources.join("source"));
        let Some(report) = run.run_one() else { return };
        let step = &report["steps"][0];
        let log = step["log"].as_str().unwrap();
        assert_eq!(step["exitCode"], 1, "{step:#}");
        assert!(log.contains(&format!("leads to {target}, out of /workspace/source")), "{log}");
        assert!(!registry.has_manifest("app", tag));
    }
}
