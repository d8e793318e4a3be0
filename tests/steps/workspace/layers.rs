//! A layer's path never leaves its root folder, and no layer contains credentials.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{layers, workspace};
use crate::support::{Folder, Proxy, Registry, client, registries};

/// The only layer that a step wrote, as listed by GNU tar: the type and path of each entry.
fn listed(registry: &Registry) -> Vec<String> {
    let image: Value = serde_json::from_slice(&registry.manifest_bytes("app", "v1")).unwrap();
    let url = registry.url(&format!("app/blobs/{}", image["layers"][0]["digest"].as_str().unwrap()));
    let folder = Folder::new();
    let path = folder.write("layer", client::expect(200, "GET", &url, &[], b"").body);
    let output = Command::new("tar").arg("-tvf").arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let entry = |line: &str| format!("{}{}", &line[..1], line.split_whitespace().skip(5).collect::<Vec<_>>().join(" "));
    text.lines().map(entry).collect()
}

#[test]
fn a_layer_path_never_leaves_the_workspace() {
    let folder = workspace();
    let (work, outside) = (folder.work().display().to_string(), folder.join("credentials").display().to_string());
    folder.link("../credentials", "src");
    folder.link(&outside, "absolute");
    folder.link("app/../../credentials", "winding");
    folder.link("../credentials/.dockerconfigjson", "app/config.json");
    folder.link("../credentials/.dockerconfigjson", "config.json");
    folder.link("/dev/zero", "x.tar");
    folder.link("/dev/zero", "zero");
    for registry in registries() {
        let proxy = Proxy::before(&registry);
        let refused = |layer: &str, part: &str| {
            let run = crate::support::imgstep(["append", "scratch", "--to", &proxy.at("app:v1")])
                .args(["--platform", "linux/amd64", "--layer", layer])
                .in_folder(&folder.work())
                .run()
                .failed(1, &["read ", part]);
            assert!(!run.stderr.contains("topsecret"), "{}", run.stderr);
        };
        refused("src=/srv/app", "work/src leads to ../credentials, out of ");
        refused("src/", "leads to ../credentials");
        refused("src/.dockerconfigjson=/x", "leads to ../credentials");
        refused("absolute", "work/absolute leads to /");
        refused("winding", "leads to app/../../credentials");
        refused("config.json", "leads to ../credentials/.dockerconfigjson");
        refused("x.tar", "leads to /dev/zero");
        refused("zero=/x", "leads to /dev/zero");
        // A param may well contain $(workspaces.source.path)/src.
        refused(&format!("{work}/src=/srv"), "work/src leads to ../credentials, out of ");
        // And the step may run in another folder.
        let elsewhere = |layer: &str| {
            crate::support::imgstep(["append", "scratch", "--to", &proxy.at("app:v1")])
                .args(["--platform", "linux/amd64", "--layer", layer])
                .in_folder(std::path::Path::new("/"))
        };
        for layer in ["src", "src/.dockerconfigjson", "absolute=/x", "config.json", "x.tar"] {
            elsewhere(&format!("{work}/{layer}")).run().failed(1, &["out of "]);
            elsewhere(&format!("{}/{layer}", &work[1..])).run().failed(1, &["out of "]);
        }
        assert!(proxy.uploaded().is_empty(), "{:#?}", proxy.lines());
        // In a folder that is walked, a link is packed as a link.
        layers(&folder, &registry, &["app=/srv"]).run().ended(0);
        let expected = ["dsrv/", "lsrv/config.json -> ../credentials/.dockerconfigjson", "-srv/index.js"];
        assert_eq!(listed(&registry), expected);
    }
}

#[test]
fn links_that_stay_are_followed() {
    let folder = workspace();
    folder.write("work/releases/7/app", "seven");
    folder.write("work/packages/web/dist/index.html", "x");
    fs::create_dir_all(folder.join("work/site")).unwrap();
    folder.link("releases/7", "current");
    folder.link("../packages/web/dist", "site/dist");
    let work = folder.work().display().to_string();
    for registry in registries() {
        for layer in ["current=/srv", &format!("{work}/current=/srv"), "./current/app=/srv/"] {
            layers(&folder, &registry, &[layer]).run().ended(0);
            assert_eq!(listed(&registry), ["dsrv/", "-srv/app"], "{layer}");
        }
        layers(&folder, &registry, &["site/dist=/srv"]).run().ended(0);
        assert_eq!(listed(&registry), ["dsrv/", "-srv/index.html"]);
        // From another folder, the user's path may go upward.
        let within = folder.join("work/site");
        layers(&folder, &registry, &["../current=/srv"]).in_folder(&within).run().ended(0);
        layers(&folder, &registry, &[&format!("{work}/current=/srv")]).in_folder(&within).run().ended(0);
        layers(&folder, &registry, &[&format!("{work}/site/dist=/srv")])
            .in_folder(&folder.join("credentials"))
            .run()
            .failed(1, &["work/site/dist leads to ../packages/web/dist, out of ", "name what it stands for itself"]);
    }
}

#[test]
fn mounts_of_kubernetes_give_their_files_and_the_same_digest_in_every_pod() {
    let mut digests = Vec::new();
    let registry = &registries()[0];
    for day in ["..2026_11_29_03_00_00.1", "..2027_01_01_00_00_00.2"] {
        let folder = workspace();
        folder.write(&format!("work/config/{day}/app.conf"), "conf");
        folder.write(&format!("work/config/{day}/certs/ca.pem"), "ca");
        folder.link(day, "config/..data");
        folder.link("..data/app.conf", "config/app.conf");
        folder.link("..data/certs", "config/certs");
        let run = layers(&folder, registry, &["config=/etc/app"]).run().ended(0);
        let expected = ["detc/", "detc/app/", "-etc/app/app.conf", "detc/app/certs/", "-etc/app/certs/ca.pem"];
        assert_eq!(listed(registry), expected);
        digests.push(run.stdout);
        layers(&folder, registry, &["config/app.conf=/etc/"]).run().ended(0);
        assert_eq!(listed(registry), ["detc/", "-etc/app.conf"]);
        // Patterns are applied to what the volume shows.
        layers(&folder, registry, &["config=/c", "--exclude", "certs/"]).run().ended(0);
        assert_eq!(listed(registry), ["dc/", "-c/app.conf"]);
    }
    assert_eq!(digests[0], digests[1]);
    // A link that only looks like a mount leads nowhere else.
    let folder = workspace();
    fs::create_dir_all(folder.join("work/config")).unwrap();
    folder.link("../../credentials", "config/..data");
    folder.link("..data/.dockerconfigjson", "config/x");
    layers(&folder, registry, &["config=/c"]).run().ended(0);
    assert_eq!(listed(registry), ["dc/", "lc/..data -> ../../credentials", "lc/x -> ..data/.dockerconfigjson"]);
}

#[test]
fn no_layer_contains_credentials() {
    let folder = workspace();
    folder.write("work/creds/config.json", "{}");
    folder.write("work/home/.docker/config.json", "{}");
    for registry in registries() {
        let step = |words: &[&str]| layers(&folder, &registry, words);
        let refused = |words: &[&str], part: &str| {
            step(words).run().failed(3, &["would put credentials into a layer", part, "--exclude"]);
        };
        refused(&[".", "--auth-dir", "creds"], "./creds would");
        refused(&["creds=/c", "--source-auth-dir", "creds"], "imgstep reads its own from creds");
        refused(&["creds/config.json=/c", "--auth-dir", "creds"], "creds");
        refused(&["creds=/c", "--auth-dir", "creds/config.json"], "creds/config.json");
        step(&[".", "--auth-dir", "creds", "--exclude", "creds"]).run().ended(0);
        step(&["app", "--auth-dir", "creds"]).run().ended(0);
        let home = folder.join("work/home");
        step(&["home"]).env("HOME", &home).run().failed(3, &["home/.docker would put credentials"]);
        step(&["."]).env("DOCKER_CONFIG", folder.join("work/creds")).run().failed(3, &["./creds would"]);
        step(&["."]).env("REGISTRY_AUTH_FILE", folder.join("work/creds/config.json")).run().failed(3, &["config.json"]);
        // If the credentials are in the workspace, as in some pipelines, only they are excluded.
        folder.write("work/config.json", "{}");
        let among = || step(&["app=/srv"]).env("DOCKER_CONFIG", folder.work());
        among().run().ended(0);
        step(&["."]).env("DOCKER_CONFIG", folder.work()).run().failed(3, &["./config.json would"]);
        step(&[".", "--exclude", "/config.json"]).env("DOCKER_CONFIG", folder.work()).run().ended(0);
        fs::remove_file(folder.join("work/config.json")).unwrap();
    }
}
