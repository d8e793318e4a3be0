//! Layers too large to keep in memory: sent while they are built, or not sent at all.

use super::{AMD64, append, digest, program};
use crate::support::{Action, Folder, Proxy, Registry, assert_complete, images, registries, rule, rules::Rule};

/// A folder whose compressed layer has 40 MB, and the command that appends it.
fn large(seed: u64) -> (Folder, [String; 6]) {
    let folder = Folder::new();
    let path = folder.write("large", images::noise(seed, 40_000_000));
    let words = ["--layer", &path.display().to_string(), "--platform", "linux/amd64", "--compression", "gzip:1"];
    let words = words.map(str::to_owned);
    (folder, words)
}

fn seen(proxy: &Proxy) -> Vec<String> {
    let short = |seen: &crate::support::proxy::Exchange| {
        let path = seen.target.split(['?', '_']).next().unwrap().trim_start_matches("/v2/app/");
        let path = if path.starts_with("blobs/uploads/") { "blobs/uploads/" } else { path };
        format!("{} {path} {}", seen.method, seen.status)
    };
    proxy.log().iter().map(short).collect()
}

#[test]
fn a_large_layer_is_compressed_once_while_it_is_sent() {
    let (folder, words) = large(1);
    let elsewhere = format!("oci:{}", folder.join("out").display());
    let expected = digest(&append("scratch", &elsewhere).args(&words).run().ended(0));
    for registry in registries() {
        let proxy = Proxy::before(&registry);
        let run = append("scratch", &proxy.at("app:v1")).args(&words).run().ended(0);
        assert_eq!(digest(&run), expected, "the same as in a layout");
        assert_complete(&registry, "app", &expected);
        assert_eq!(
            seen(&proxy)[..5],
            [
                "HEAD manifests/v1 404",
                "GET tags/list 404",
                "POST blobs/uploads/ 202",
                "PATCH blobs/uploads/ 202",
                "PUT blobs/uploads/ 201",
            ],
            "{:#?}",
            proxy.lines()
        );
        assert_eq!(proxy.count("PATCH", ""), 1);
        assert!(run.stderr.contains("2 blobs sent (40."), "{}", run.stderr);
    }
}

#[test]
fn a_large_layer_of_an_existing_image_is_not_sent() {
    let (_folder, words) = large(2);
    for registry in registries() {
        append("scratch", &registry.at("app:v1.0.1")).args(&words).run().ended(0);
        let proxy = Proxy::before(&registry);
        // Under the same name, and as another version with the same layer below a new one.
        append("scratch", &proxy.at("app:v1.0.1")).args(&words).run().ended(0);
        assert!(proxy.writes().is_empty(), "{:#?}", proxy.lines());
        append("scratch", &proxy.at("app:v1.0.2")).args(&words).args(["--label", "a=b"]).run().ended(0);
        assert_eq!(proxy.count("PATCH", ""), 0, "{:#?}", proxy.lines());
        assert!(proxy.uploaded_bytes() < 10_000, "{:#?}", proxy.lines());
    }
}

#[test]
fn a_large_layer_that_changed_is_sent_while_it_is_made() {
    let (_old, old) = large(3);
    let (_new, new) = large(4);
    for registry in registries() {
        append("scratch", &registry.at("app:v1")).args(&old).run().ended(0);
        let proxy = Proxy::before(&registry);
        let run = append("scratch", &proxy.at("app:v1")).args(&new).run().ended(0);
        assert_complete(&registry, "app", &digest(&run));
        assert_eq!(proxy.count("PATCH", ""), 1, "{:#?}", proxy.lines());
    }
}

/// Appends a large layer through a proxy with these rules.
fn arrives(rules: &[Rule]) -> Vec<(Proxy, Registry)> {
    let (_folder, words) = large(5);
    let arrive = |registry: Registry| {
        let proxy = Proxy::before(&registry);
        proxy.add_all(rules);
        let run = append("scratch", &proxy.at("app:v1")).args(&words).run().ended(0);
        assert_complete(&registry, "app", &digest(&run));
        assert!(!proxy.met().is_empty(), "no rule met a request");
        assert!(run.stderr.contains("the layer is made once more"), "{}", run.stderr);
        (proxy, registry)
    };
    registries().into_iter().map(arrive).collect()
}

#[test]
fn a_registry_without_streaming_uploads_gets_the_layer_another_way() {
    arrives(&[rule("PATCH", "/blobs/uploads/", Action::error(411, "SIZE_INVALID", "say how long it is"))]);
}

#[test]
fn a_broken_stream_is_retried() {
    arrives(&[rule("PATCH", "/blobs/uploads/", Action::CutRequest(9_000_000)).times(1)]);
}

#[test]
fn an_upload_lost_before_its_commit_is_restarted() {
    let gone = Action::error(404, "BLOB_UPLOAD_UNKNOWN", "never heard of it");
    arrives(&[rule("PUT", "/blobs/uploads/", gone).times(1)]);
}

#[test]
fn a_failing_guard_leaves_no_upload_open() {
    let (folder, _) = large(6);
    let wrong = folder.write("app", program(AMD64, "x")).display().to_string();
    let words = ["--layer", &folder.join("large").display().to_string(), &wrong].map(str::to_owned);
    for registry in registries() {
        let proxy = Proxy::before(&registry);
        let step = || append("scratch", &proxy.at("app:v1")).args(&words).args(["--compression", "gzip:1"]);
        std::fs::set_permissions(&wrong, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        step().args(["--platform", "linux/arm64"]).run().failed(3, &["linux/amd64"]);
        assert!(proxy.uploaded().is_empty(), "{:#?}", proxy.lines());
        assert_eq!(proxy.count("POST", ""), proxy.count("DELETE", "/blobs/uploads/"), "{:#?}", proxy.lines());
        // If a tag exists and must be kept, nothing is started at all.
        images::image(1, 1, 300).push(&registry, "app", "v1");
        proxy.reset();
        step().args(["--platform", "linux/amd64", "--if-exists", "fail"]).run().failed(3, &["already points to"]);
        assert!(proxy.writes().is_empty(), "{:#?}", proxy.lines());
    }
}

#[test]
fn a_plan_for_a_large_layer_sends_nothing() {
    let (_folder, words) = large(7);
    for registry in registries() {
        let proxy = Proxy::before(&registry);
        let plan = append("scratch", &proxy.at("app:v1")).args(&words).arg("--dry-run").run().ended(0);
        assert!(proxy.writes().is_empty(), "{:#?}", proxy.lines());
        let done = append("scratch", &proxy.at("app:v1")).args(&words).run().ended(0);
        assert_eq!(digest(&plan), digest(&done));
    }
}

#[test]
fn several_destinations_get_one_stream() {
    let (folder, words) = large(8);
    for registry in registries() {
        let proxy = Proxy::before(&registry);
        let layout = format!("oci:{}:v1", folder.join("out").display());
        let run = append("scratch", &proxy.at("app:v1"))
            .args(&words)
            .args(["--to", &proxy.at("other:v1"), &layout])
            .run()
            .ended(0);
        assert_eq!(run.stdout.lines().count(), 3);
        assert_complete(&registry, "app", &digest(&run));
        assert_complete(&registry, "other", &digest(&run));
        assert_eq!(proxy.count("PATCH", ""), 2, "{:#?}", proxy.lines());
        let again = append("scratch", &layout).args(&words).run().ended(0);
        assert_eq!(digest(&again), digest(&run));
        assert!(again.stderr.contains("no blobs to send"), "{}", again.stderr);
    }
}
