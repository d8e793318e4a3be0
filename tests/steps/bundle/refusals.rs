//! What is refused with exit status 2, by name, and before any request to a registry.

use super::{bundle, resource};
use crate::support::{Folder, Proxy, Registry};

#[test]
fn invalid_resources_are_reported_with_their_line() {
    let task = resource("Task", "build");
    let registry = Registry::inside();
    let asked = Proxy::before(&registry);
    let cases: [(String, &[&str]); 12] = [
        (format!("{task}---\nkind: Task\n"), &["bad.yaml:8", "apiVersion, kind and metadata.name"]),
        ("apiVersion: tekton.dev/v1\nkind: Task\n".into(), &["bad.yaml:1", "`metadata.name`"]),
        ("apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {generateName: a-}\n".into(), &["no `metadata.name`"]),
        ("kind: Task\nmetadata: {name: a}\n".into(), &["no `apiVersion`"]),
        ("apiVersion: tekton.dev/v1\nmetadata: {name: a}\n".into(), &["no `kind`"]),
        (task.replace("name: build", "name: 7"), &["bad.yaml:1", "quotes"]),
        (task.replace("name: build", "name: Build"), &["`Build`", "lower-case"]),
        (format!("{task}---\n- a\n- b\n"), &["bad.yaml:8", "not a YAML mapping"]),
        (format!("{task}---\na: b: c\n"), &["bad.yaml:9", "not valid YAML"]),
        (format!("{task}---\na: [\n"), &["bad.yaml:", "not valid YAML"]),
        ("# nothing but a comment\n---\n".into(), &["bad.yaml", "no resource"]),
        ("kind: \"\u{1b}[31m\"\napiVersion: v1\nmetadata: {name: a}\n".into(), &["bad.yaml:1"]),
    ];
    for (text, parts) in cases {
        let folder = Folder::new();
        folder.write("bad.yaml", &text);
        folder.write("good.yaml", resource("Task", "good"));
        let run = bundle(&folder, &["good.yaml", "bad.yaml"], &asked.at("tasks:v1")).run();
        assert!(!run.stderr.contains('\u{1b}'), "{text}");
        run.failed(2, parts);
    }
    let folder = Folder::new();
    folder.write("bad.yaml", b"\xff\xfe\x00");
    bundle(&folder, &["bad.yaml"], &asked.at("tasks:v1")).run().failed(2, &["bad.yaml", "UTF-8"]);
    bundle(&folder, &["missing.yaml"], &asked.at("tasks:v1")).run().failed(1, &["missing.yaml"]);
    std::fs::create_dir(folder.join("empty")).unwrap();
    bundle(&folder, &["empty"], &asked.at("tasks:v1")).run().failed(2, &["empty", ".yaml"]);
    assert!(asked.log().is_empty(), "{:#?}", asked.lines());
}

#[test]
fn more_than_tekton_reads_are_counted() {
    let folder = Folder::new();
    let tasks: Vec<String> = (0..21).map(|number| resource("Task", &format!("t{number}"))).collect();
    folder.write("tasks.yaml", tasks.join("---\n"));
    let parts = ["21 resources", "at most 20", "several bundles"];
    bundle(&folder, &["tasks.yaml"], "localhost:1/tasks:v1").run().failed(2, &parts);
}

#[test]
fn duplicates_of_kind_and_name_are_reported_with_their_files() {
    let folder = Folder::new();
    folder.write("a.yaml", resource("Task", "build"));
    // The resolver uses kind and name; a different API version doesn't make it a different resource.
    folder.write("b.yaml", resource("Task", "build").replace("tekton.dev/v1", "tekton.dev/v1beta1"));
    let parts = ["Task `build`", "a.yaml:1", "b.yaml:1", "leave one out"];
    bundle(&folder, &["a.yaml", "b.yaml"], "localhost:1/tasks:v1").run().failed(2, &parts);
    bundle(&folder, &["a.yaml", "a.yaml"], "localhost:1/tasks:v1").run().failed(2, &["a.yaml:1"]);
}

#[test]
fn a_kind_that_the_resolver_takes_for_a_plural_is_refused() {
    let folder = Folder::new();
    folder.write("a.yaml", "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\n");
    bundle(&folder, &["a.yaml"], "localhost:1/tasks:v1").run().failed(2, &["`Ingress`", "plural"]);
}

#[test]
fn kinds_other_than_tektons_get_a_warning() {
    let folder = Folder::new();
    folder.write("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    let run = bundle(&folder, &["a.yaml"], "oci:out").run().ended(0);
    assert!(run.stderr.contains("warning: the ConfigMap `a` in a.yaml:1"), "{}", run.stderr);
}

#[test]
fn missing_arguments_are_named() {
    let folder = Folder::new();
    folder.write("a.yaml", resource("Task", "build"));
    bundle(&folder, &[], "localhost:1/tasks:v1").run().failed(2, &["no file", "imgstep bundle FILE"]);
    bundle(&folder, &["a.yaml"], "").run().failed(2, &["no destination"]);
    bundle(&folder, &["a.yaml"], "localhost:1/tasks:v1").args(["--annotation", "x"]).run().failed(2, &["KEY=VALUE"]);
    bundle(&folder, &["a.yaml"], "localhost:1/tasks:v1")
        .args(["--result", "source=x"])
        .run()
        .failed(2, &["no result `source`"]);
}
