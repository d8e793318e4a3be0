//! `--ci`, and the pages of `docs/ci`: the outputs for each CI system, and what its next step reads.

mod containers;
mod gitlab;
mod hosted;
mod outputs;
mod pages;
mod pipeline;
mod scripts;
mod texts;

use std::fs;
use std::path::Path;

use crate::support::Folder;
use crate::support::step::Step;

/// A stand-in for Buildkite's agent: metadata goes to files in the folder `meta-data`, annotations to `annotations`.
fn buildkite_agent(folder: &Folder) {
    fs::create_dir_all(folder.join("meta-data")).unwrap();
    fs::create_dir_all(folder.join("annotations")).unwrap();
    let script = r#"#!/bin/sh
set -eu
folder=$(dirname "$0")
case "$1 ${2:-}" in
"--version ") echo "buildkite-agent version 3.99.0" ;;
"meta-data set")
    [ -n "$4" ] || { echo "fatal: value cannot be empty" >&2; exit 1; }
    printf %s "$4" >"$folder/meta-data/$3"
    ;;
"meta-data get") cat "$folder/meta-data/$3" ;;
"secret get") cat "$folder/secrets/$3" ;;
"annotate "*)
    while [ "$1" != --context ]; do shift; done
    cat >"$folder/annotations/$2"
    ;;
*) echo "unknown: $*" >&2; exit 1 ;;
esac
"#;
    folder.write_program("buildkite-agent", script);
}

/// The step with this folder first in its PATH.
fn with_path(step: Step, folder: &Path) -> Step {
    let path = std::env::var("PATH").unwrap_or_default();
    step.env("PATH", format!("{}:{path}", folder.display()))
}

/// What Azure's agent makes of a step's output: the output variables, and the errors and warnings that it shows. A
/// command counts anywhere in a line, which is then not part of the log, and the four escapes are decoded.
fn azure_agent(log: &str) -> (Vec<(String, String)>, Vec<String>) {
    let mut variables = Vec::new();
    let mut issues = Vec::new();
    for line in log.split(['\n', '\r']) {
        let Some(start) = line.find("##vso[") else { continue };
        let (head, data) = line[start + "##vso[".len()..].split_once(']').unwrap();
        let data = data.replace("%3B", ";").replace("%0D", "\r").replace("%0A", "\n").replace("%5D", "]");
        let (command, properties) = head.split_once(' ').unwrap_or((head, ""));
        let property = |name: &str| {
            let found = properties.split(';').find_map(|one| one.strip_prefix(&format!("{name}=")));
            found.map(str::to_owned)
        };
        match command {
            "task.setvariable" => {
                assert_eq!(property("isoutput").as_deref(), Some("true"), "{line}");
                variables.push((property("variable").unwrap(), data));
            }
            "task.logissue" => issues.push(format!("{}: {data}", property("type").unwrap())),
            other => panic!("{other} was asked of the agent: {line}"),
        }
    }
    (variables, issues)
}

/// The variables that GitLab reads from a dotenv report, by its rules: every line has a `=`, spaces around a value are
/// trimmed, and a file over 5 KB is too large.
fn gitlab_dotenv(text: &str) -> Vec<(String, String)> {
    assert!(text.len() < 5120, "GitLab refuses a file of {} bytes", text.len());
    let variable = |line: &str| {
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("GitLab refuses the line {line:?}"));
        assert!(name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_'), "{name}");
        (name.trim().to_owned(), value.trim().to_owned())
    };
    text.lines().map(variable).collect()
}

/// The value of a name in a list of pairs.
#[track_caller]
fn value<'p>(pairs: &'p [(String, String)], name: &str) -> &'p str {
    let found = pairs.iter().find(|(own, _)| own == name);
    found.map_or_else(|| panic!("no {name} in {pairs:?}"), |(_, value)| value.as_str())
}
