//! The same resources give the same bundle, regardless of who lists them, where and when.

use std::time::{Duration, SystemTime};

use super::{bundle, resource, three};
use crate::support::Folder;

fn digest(folder: &Folder, files: &[&str], environment: &[(&str, &str)]) -> String {
    let mut step = bundle(folder, files, "oci:out");
    for (name, value) in environment {
        step = step.env(name, value);
    }
    let line = step.run().ended(0).stdout;
    line.trim().rsplit('@').next().unwrap().to_owned()
}

#[test]
fn order_files_time_and_line_ends_make_no_difference() {
    let first = digest(&three(), &["tasks.yaml", "more"], &[]);
    let environment = [("TZ", "Asia/Tokyo"), ("SOURCE_DATE_EPOCH", "1700000000"), ("LC_ALL", "C")];
    assert_eq!(digest(&three(), &["more/pipeline.yml", "tasks.yaml"], &environment), first);
    let other = Folder::new();
    for (name, kind, resource_name) in [("z.yml", "Pipeline", "all"), ("a.yaml", "Task", "build")] {
        let text = resource(kind, resource_name).replace('\n', "\r\n");
        let path = other.write(name, format!("\u{feff}{text}"));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        std::fs::File::open(path).unwrap().set_modified(time).unwrap();
    }
    other.write("b.yaml", format!("---\r\n{}---\r\n", resource("StepAction", "build").replace('\n', "\r\n")));
    assert_eq!(digest(&other, &["."], &[]), first);
}

/// If this fails, bundles get new digests: that is a breaking change, to be listed in CHANGELOG.md.
#[test]
fn the_digest_has_not_changed() {
    let expected = "sha256:276c5e225347148ffcdea3dd1b287d82ca37fd085b0b60cbf62c1dd5818fbae9";
    assert_eq!(digest(&three(), &["tasks.yaml", "more"], &[]), expected);
}

#[test]
fn annotations_of_the_ci_system_are_added_on_request() {
    let folder = three();
    let environment = [
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_REPOSITORY", "org/tasks"),
        ("GITHUB_SHA", "abc"),
        ("GITHUB_REF_TYPE", "tag"),
        ("GITHUB_REF_NAME", "v1"),
    ];
    let plain = digest(&folder, &["tasks.yaml"], &[]);
    assert_eq!(digest(&folder, &["tasks.yaml"], &environment), plain);
    let mut step = bundle(&folder, &["tasks.yaml"], "oci:told:v1").args([
        "--annotate-from-ci",
        "--annotation",
        "org.opencontainers.image.version=1.0.0",
    ]);
    for (name, value) in environment {
        step = step.env(name, value);
    }
    step.run().ended(0);
    let inspected = crate::support::imgstep(["inspect", "oci:told:v1", "--output", "json"]);
    let report = inspected.in_folder(folder.path()).run().ended(0).json();
    let annotations = &report["annotations"];
    assert_eq!(annotations["org.opencontainers.image.source"], "https://github.com/org/tasks");
    assert_eq!(annotations["org.opencontainers.image.revision"], "abc");
    assert_eq!(annotations["org.opencontainers.image.version"], "1.0.0", "what is said counts more");
}
