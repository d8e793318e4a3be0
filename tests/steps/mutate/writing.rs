//! What is sent, mounted and tagged; a second run; results.

use serde_json::Value;

use super::{config, manifest, mutate};
use crate::support::{Action, Folder, Proxy, Style, images, imgstep, json_schema, pairs, registries, rule};

#[test]
fn in_its_own_repository_only_configs_and_manifests_are_sent() {
    let image = images::index(Style::Oci, 1, 2, 2, 5000);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let proxy = Proxy::before(&registry);
        mutate(&proxy.at("app:v1"), &proxy.at("app:v1")).args(["--label", "a=b", "--tags", "v2"]).run().ended(0);
        assert_eq!(proxy.uploaded().len(), 2, "{:#?}", proxy.lines());
        let put = proxy.matching("PUT", "/manifests/");
        let names: Vec<&str> = put.iter().map(|seen| seen.target.rsplit('/').next().unwrap()).collect();
        assert!(names[2..].contains(&"v1") && names[2..].contains(&"v2") && names.len() == 4, "{names:?}");
        assert!(proxy.downloaded().iter().all(|digest| {
            image.blobs.iter().any(|blob| blob.digest == *digest && blob.media_type == images::OCI_CONFIG)
        }));
    }
}

#[test]
fn layers_are_mounted_within_a_registry() {
    let image = images::index(Style::Oci, 1, 2, 2, 5000);
    for registry in registries() {
        image.push(&registry, "team/app", "v1");
        let proxy = Proxy::before(&registry);
        mutate(&proxy.at("team/app:v1"), &proxy.at("prod/app:v1")).args(["--user", "1"]).run().ended(0);
        assert_eq!(proxy.uploaded().len(), 2, "{:#?}", proxy.lines());
        crate::support::assert_complete(
            &registry,
            "prod/app",
            &images::sha256(&registry.manifest_bytes("prod/app", "v1")),
        );
    }
}

#[test]
fn a_second_run_sends_nothing_and_answers_the_same() {
    let image = images::index(Style::Oci, 1, 2, 2, 1000);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let writing = Proxy::before(&destination);
        let run = || mutate(&source.at("app:v1"), &writing.at("app:v2")).args(["--env", "A=b"]).run().ended(0).stdout;
        let first = run();
        writing.reset();
        assert_eq!(run(), first);
        assert_eq!(writing.log().len(), 1, "{:#?}", writing.lines());
        // Also for what it wrote itself.
        let again =
            || mutate(&writing.at("app:v2"), &writing.at("app:v2")).args(["--env", "A=b"]).run().ended(0).stdout;
        assert_eq!(again(), first);
    }
}

#[test]
fn a_config_whose_upload_breaks_is_sent_again() {
    let image = images::image(1, 1, 1000);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let proxy = Proxy::before(&registry).with(rule("PUT", "/blobs/uploads/", Action::LoseAnswer).times(1));
        mutate(&proxy.at("app:v1"), &proxy.at("app:v2")).args(["--label", "a=b"]).run().ended(0);
        assert!(config(&registry, "app", "v2").contains(r#""Labels":{"a":"b"}"#));
    }
}

#[test]
fn a_dry_run_prints_the_line_of_the_real_run_and_writes_nothing() {
    let image = images::index(Style::Oci, 1, 2, 2, 1000);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let proxy = Proxy::before(&registry);
        let step = |more: &[&str]| {
            mutate(&proxy.at("app:v1"), &proxy.at("copy:v1")).args(["--label", "a=b"]).args(more).run().ended(0)
        };
        let report = step(&["--dry-run", "--output", "json"]).json();
        assert!(proxy.writes().is_empty(), "{:#?}", proxy.lines());
        let count = |action: &str| {
            let blobs = report["destinations"][0]["blobs"].as_array().unwrap();
            blobs.iter().filter(|blob| blob["action"] == action).count()
        };
        assert_eq!((count("sent"), count("mounted")), (2, 4));
        assert_eq!(step(&["--dry-run"]).stdout, step(&[]).stdout);
    }
}

#[test]
fn an_existing_tag_can_be_kept() {
    let image = images::image(1, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let step = |what: &str| {
            mutate(&registry.at("app:v1"), &registry.at("app:v1")).args(["--user", "1", "--if-exists", what]).run()
        };
        step("fail").failed(3, &["app:v1", image.digest()]);
        step("skip").printed(&[format!("{}@{}", registry.at("app"), image.digest())]);
        crate::support::assert_image(&registry, "app", "v1", &image);
        step("overwrite").ended(0);
        assert_ne!(images::sha256(&registry.manifest_bytes("app", "v1")), image.digest());
    }
}

#[test]
fn layouts_on_both_sides() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for registry in registries() {
        let folder = Folder::new();
        crate::support::layout::write(&folder.join("in"), &[("v1", &image)]);
        let (from, to) =
            (format!("oci:{}:v1", folder.join("in").display()), format!("oci:{}:v2", folder.join("in").display()));
        let run = mutate(&from, &to).args(["--label", "a=b"]).run().ended(0);
        let digest = run.stdout.trim().rsplit_once('@').unwrap().1.to_owned();
        imgstep(["promote", &to, &registry.at("app:v2")]).run().printed(&[format!("{}@{digest}", registry.at("app"))]);
        let first = manifest(&registry, "app", "v2")["manifests"][0]["digest"].as_str().unwrap().to_owned();
        assert!(config(&registry, "app", &first).contains(r#""Labels":{"a":"b"}"#));
    }
}

#[test]
fn what_is_missing_ends_with_5() {
    for registry in registries() {
        mutate(&registry.at("app:none"), &registry.at("app:v1")).args(["--user", "1"]).run().failed(5, &["app:none"]);
    }
}

#[test]
fn results_and_help() {
    let image = images::image(1, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let folder = Folder::new();
        let mut step = mutate(&registry.at("app:v1"), &registry.at("app:v2")).args(["--user", "1"]);
        for key in ["digest", "ref", "source", "json"] {
            step = step.args(["--result", &format!("{key}={}", folder.join(key).display())]);
        }
        let run = step.run().ended(0);
        assert_eq!(format!("{}\n", folder.read("ref").unwrap()), run.stdout);
        assert!(folder.read("source").unwrap().contains(image.digest()));
        let report: Value = serde_json::from_str(&folder.read("json").unwrap()).unwrap();
        json_schema::assert_valid("docs/report.schema.json", &report);
        assert_eq!(
            (report["step"].as_str(), report["platforms"][0]["platform"].as_str()),
            (Some("mutate"), Some("linux/amd64"))
        );
    }
    let help = imgstep(["mutate", "--help"]).run().ended(0).stdout;
    for word in ["Examples:", "--entrypoint", "--annotate", "--unset-env"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}
