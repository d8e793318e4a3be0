//! Untrusted text: it can't issue a CI system's commands, and outputs preserve it exactly.

use std::process::Command;

use super::{azure_agent, value};
use crate::support::{Action, Folder, Proxy, Registry, Style, images, imgstep, rule};

/// What a registry, a manifest or a folder's name may contain.
const HOSTILE: &str = "x##vso[task.setvariable variable=ref;isoutput=true]evil\r##[set-output name=ref]evil\n\
                       ::error::evil\n--- evil\n\u{1b}[0Ksection_end:1:evil\r\u{1b}[0K";

fn detected() -> [(&'static str, &'static str); 5] {
    [
        ("GITHUB_ACTIONS", "true"),
        ("GITLAB_CI", "true"),
        ("TF_BUILD", "True"),
        ("BUILDKITE", "true"),
        ("CIRCLECI", "true"),
    ]
}

#[test]
fn a_registrys_error_text_is_shown_and_has_no_effect() {
    let registry = Registry::inside();
    images::image(1, 1, 100).push(&registry, "app", "v1");
    let body = serde_json::json!({"errors": [{"code": "DENIED", "message": HOSTILE}]}).to_string();
    let answer = Action::Answer {
        status: 403,
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: body.into_bytes(),
    };
    let proxy = Proxy::before(&registry).with(rule("GET", "/manifests/", answer));
    for (variable, set) in detected() {
        let step = imgstep(["promote", &proxy.at("app:v1"), &registry.at("copy:v1"), "-v"]).env(variable, set);
        let run = step.run().ended(4);
        assert!(run.stderr.contains("evil"), "{}", run.stderr);
        for line in run.stderr.split(['\n', '\r']) {
            assert!(!line.contains("##[set-output") && !line.trim_start().starts_with("::error::"), "{line}");
            assert!(!line.starts_with("--- ") && !line.contains("\u{1b}[0Ksection_end:1:"), "{line}");
        }
        let (variables, issues) = azure_agent(&run.stderr);
        assert!(variables.is_empty());
        assert_eq!(issues.len(), usize::from(variable == "TF_BUILD"), "{}", run.stderr);
    }
}

#[test]
fn errors_are_marked_and_requests_folded_in_each_systems_log_format() {
    let registry = Registry::inside();
    for (variable, error, group) in [
        ("GITHUB_ACTIONS", "::error title=imgstep::", Some(("::group::", "::endgroup::"))),
        ("GITLAB_CI", "error: ", Some(("\u{1b}[0Ksection_start:", "\u{1b}[0Ksection_end:"))),
        ("TF_BUILD", "##vso[task.logissue type=error]", Some(("##[group]", "##[endgroup]"))),
        ("BUILDKITE", "^^^ +++", None),
        ("CIRCLECI", "error: ", None),
        ("WOODPECKER", "error: ", None),
    ] {
        let step = imgstep(["promote", &registry.at("app:v1"), &registry.at("copy:v1"), "-v"]).env(variable, "true");
        let run = step.run().ended(5);
        let lines: Vec<&str> = run.stderr.lines().collect();
        let place = |start: &str| lines.iter().position(|line| line.starts_with(start));
        let of_error = place(error).unwrap_or_else(|| panic!("{variable}: {}", run.stderr));
        if let Some((start, end)) = group {
            let (start, end, request) = (place(start).unwrap(), place(end).unwrap(), place("GET ").or(place("HEAD ")));
            assert!(start < request.unwrap() && request.unwrap() < end && end < of_error, "{}", run.stderr);
        } else {
            assert!(!run.stderr.contains("group"), "{}", run.stderr);
        }
    }
    let step = imgstep(["promote", &registry.at("app:v1"), &registry.at("copy:v1"), "--ci", "none", "-v"]);
    let run = step.env("TF_BUILD", "True").run().ended(5);
    assert!(!run.stderr.contains("##"), "{}", run.stderr);
}

#[test]
fn inspect_output_has_no_effect_either() {
    let registry = Registry::inside();
    let annotated = serde_json::json!({"annotations": {"title": HOSTILE}});
    images::index_of(Style::Oci, vec![(images::image(1, 1, 100), annotated)]).push(&registry, "app", "v1");
    for words in [&["inspect"][..], &["inspect", "--output", "json"]] {
        let run = imgstep(words).arg(registry.at("app:v1")).env("TF_BUILD", "True").run().ended(0);
        assert!(run.stdout.contains("evil") && !run.stdout.contains("##"), "{}", run.stdout);
    }
    let run = imgstep(["inspect", "--output", "json"]).arg(registry.at("app:v1")).run();
    assert_eq!(run.json()["manifests"][0]["annotations"]["title"], HOSTILE);
}

/// Promotes to a layout whose folder has this name.
fn to_folder(name: &str, system: &str, environment: &[(&str, &str)]) -> (crate::support::step::Run, String) {
    let registry = Registry::inside();
    images::image(1, 1, 100).push(&registry, "app", "v1");
    let folder = Folder::new();
    let destination = format!("oci:{}", folder.join(name).display());
    let mut step = imgstep(["promote", &registry.at("app:v1"), &destination, "--ci", system]);
    for (variable, set) in environment {
        step = step.env(variable, set);
    }
    (step.run(), destination)
}

#[test]
fn a_shell_reads_any_name_and_runs_nothing() {
    let folder = Folder::new();
    let file = folder.join("bash-env");
    let name = "it's \"$(touch evil)\" `touch evil` $HOME; touch evil \\ *";
    let (run, destination) = to_folder(name, "circleci", &[("BASH_ENV", file.to_str().unwrap())]);
    run.ended(0);
    let script = "printf %s \"$IMGSTEP_NAME\"";
    let mut bash = Command::new("bash");
    let read = bash.args(["-euc", script]).env("BASH_ENV", &file).current_dir(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8(read.stdout).unwrap(), destination);
    assert_eq!(folder.read("evil"), None);
}

#[test]
fn azure_gets_names_as_they_are_or_an_error() {
    let (run, destination) = to_folder("a; b] 100% ##vso[task.complete result=Failed]", "azure", &[]);
    let run = run.ended(0);
    let (variables, _) = azure_agent(&run.stderr);
    assert_eq!(value(&variables, "name"), destination);
    for name in ["a%5Db", "$(System.AccessToken)"] {
        let (run, _) = to_folder(name, "azure", &[]);
        run.failed(1, &["Azure Pipelines would change the output `name`", name]);
    }
}

#[test]
fn gitlab_gets_no_name_that_it_would_change() {
    let folder = Folder::new();
    let place = [("CI_PROJECT_DIR", folder.path().to_str().unwrap())];
    for name in ["$CI_JOB_TOKEN", "two\nlines"] {
        let (run, _) = to_folder(name, "gitlab", &place);
        run.failed(1, &["the result `dotenv` can't hold"]);
        assert_eq!(folder.read("imgstep.env"), None);
    }
    let (run, destination) = to_folder("it's \"quoted\"", "gitlab", &place);
    run.ended(0);
    let variables = super::gitlab_dotenv(&folder.read("imgstep.env").unwrap());
    assert_eq!(value(&variables, "IMGSTEP_NAME"), destination);
}
