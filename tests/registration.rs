//! A step is registered once, and what belongs to it outside of `src` is there, or left out for a reason.

use std::path::Path;

use imgstep::cli::Step;

/// Steps without a Tekton Task, and why.
const NO_TASK: [(&str, &str); 3] = [
    ("bundle", "a bundle is written by who releases Tasks, not within a pipeline"),
    ("digest", "the results of the Task that wrote the image have the digest"),
    ("inspect", "it is for people"),
];

/// Steps without a GitLab component, and why.
const NO_COMPONENT: [(&str, &str); 5] = [
    ("mutate", "one line in a job's script does it"),
    ("bundle", "Tekton's bundles are not released from GitLab's catalogue"),
    ("tag", "one line in a job's script does it"),
    ("digest", "a component's job can't hand on what it printed"),
    ("inspect", "it is for people"),
];

fn names() -> impl Iterator<Item = &'static str> {
    Step::SPECS.iter().map(|spec| spec.verb.name)
}

fn exists(path: &str) -> bool {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()
}

#[test]
fn every_step_has_tests_and_a_page() {
    for name in names() {
        let has_tests = exists(&format!("tests/steps/{name}")) || exists(&format!("tests/steps/{name}.rs"));
        assert!(has_tests, "tests/steps has no tests of `{name}`");
        assert!(exists(&format!("docs/steps/{name}.md")), "docs/steps has no page of `{name}`: run `make pages`");
        let readme = include_str!("../README.md");
        assert!(readme.contains(&format!("`{name}`")), "README.md doesn't mention `{name}`");
    }
}

#[test]
fn every_step_has_a_task_and_a_component_or_a_reason() {
    for (what, path, exceptions) in [
        ("a Task", (|name| format!("tasks/task/imgstep-{name}")) as fn(&str) -> String, &NO_TASK[..]),
        ("a GitLab component", |name| format!("templates/{name}.yml"), &NO_COMPONENT[..]),
    ] {
        for name in names() {
            let is_left_out = exceptions.iter().any(|(left_out, reason)| *left_out == name && !reason.is_empty());
            assert_ne!(exists(&path(name)), is_left_out, "`{name}`: has it {what}, or a reason in this file why not?");
        }
        assert!(exceptions.iter().all(|(left_out, _)| names().any(|name| name == *left_out)), "{what}: no such step");
    }
}
