//! The action's files: the generated ones are current, and the validators find nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use clap::CommandFactory as _;
use imgstep::cli::Cli;
use imgstep::cli::args::variable;
use imgstep::cli::github_action::{inputs, steps};

use super::runner::{Runner, root, run, tool};
use crate::support::yaml;

#[allow(dead_code)]
#[path = "../../../github-action/generate.rs"]
mod generate;

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

fn workflows() -> Vec<PathBuf> {
    let folders = [".github/workflows", "github-action/examples"].map(|folder| root().join(folder));
    let mut files: Vec<PathBuf> =
        folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    files
}

#[test]
fn action_and_readme_match_the_options() {
    for (name, text) in generate::files(root()) {
        assert!(read(name) == text, "{name} is not what the options of imgstep say; run `make action`");
    }
}

#[test]
fn every_option_of_every_step_is_an_input_and_nothing_else_is() {
    let action = yaml::document(&read("action.yml"));
    let named: BTreeSet<&str> = action["inputs"].as_object().unwrap().keys().map(String::as_str).collect();
    let command = Cli::command();
    let mut expected: BTreeSet<String> = steps(&command).flat_map(inputs).collect();
    expected.insert("step".to_owned());
    assert_eq!(named, expected.iter().map(String::as_str).collect());
    let steps = action["runs"]["steps"].as_array().unwrap();
    let given = steps.iter().filter_map(|step| step["env"].as_object()).flatten();
    let given: BTreeSet<(String, String)> =
        given.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
    let given: BTreeSet<_> = given.into_iter().filter(|(_, value)| value.contains("inputs.")).collect();
    assert_eq!(given, expected.iter().map(|name| (variable(name), format!("${{{{ inputs.{name} }}}}"))).collect());
}

#[test]
fn no_script_of_the_action_holds_an_expression_and_no_action_is_nested() {
    let action = yaml::document(&read("action.yml"));
    let steps = action["runs"]["steps"].as_array().unwrap();
    let scripts: Vec<&str> = steps.iter().map(|step| step["run"].as_str().unwrap()).collect();
    assert_eq!(
        scripts,
        [
            r#"exec bash --noprofile --norc "$GITHUB_ACTION_PATH/github-action/install.sh""#,
            r#"exec "$IMGSTEP_BIN" github-action"#
        ]
    );
    assert!(steps.iter().all(|step| step.get("uses").is_none()));
}

#[test]
fn the_readme_shows_every_example() {
    let readme = read("github-action/README.md");
    for (name, workflow) in generate::examples(root()) {
        assert!(readme.contains(&format!("```yaml\n{workflow}```\n")), "{name}");
    }
}

#[test]
fn the_schemas_hold() {
    let Some(check) = tool("check-jsonschema") else { return };
    let checked = |schema: &str, files: &[PathBuf]| {
        let mut command = Command::new(&check);
        run(command
            .args(["--builtin-schema", schema])
            .args(files)
            .env("PYTHONPATH", root().join("target/tools/python")))
        .ended(0);
    };
    checked("vendor.github-actions", &[root().join("action.yml")]);
    checked("vendor.github-workflows", &workflows());
}

/// Its schema doesn't know the permission for attestations yet, and it treats every `action.yml` as an action, even a
/// workflow.
#[test]
fn action_validator_finds_nothing() {
    let Some(validator) = tool("action-validator") else { return };
    for file in ["action.yml", "github-action/examples/promote-on-release.yml", ".github/workflows/ci.yml"] {
        run(Command::new(&validator).arg(file).current_dir(root())).ended(0);
    }
}

#[test]
fn actionlint_finds_nothing() {
    let Some(actionlint) = tool("actionlint") else { return };
    // Its check of scripts depends on what else is installed.
    run(Command::new(actionlint).args(["-shellcheck=", "-pyflakes="]).args(workflows()).current_dir(root())).ended(0);
}

/// As workflows in the action's own repository: there actionlint knows its inputs and outputs.
#[test]
fn the_examples_use_the_actions_inputs_and_outputs() {
    let Some(actionlint) = tool("actionlint") else { return };
    let lint = |from: &str, to: &str| {
        let runner = Runner::new();
        for (name, workflow) in generate::examples(root()) {
            let workflow = workflow.replace("uses: org/imgstep@v1", "uses: ./").replace(from, to);
            runner.write(&format!("repository/.github/workflows/{name}"), workflow);
        }
        runner.commit()?;
        let mut command = Command::new(&actionlint);
        Some(run(command.args(["-shellcheck=", "-pyflakes="]).current_dir(runner.path("repository"))))
    };
    let Some(as_it_is) = lint("-", "-") else { return };
    as_it_is.ended(0);
    for (right, wrong) in [("layer: app", "layers: app"), ("promote.outputs.ref", "promote.outputs.reference")] {
        let found = lint(right, wrong).unwrap().ended(1);
        assert!(found.stdout.contains("is not defined"), "{found:?}");
    }
}

#[test]
fn zizmor_finds_nothing() {
    let Some(zizmor) = tool("zizmor") else { return };
    let mut command = Command::new(zizmor);
    command.args([
        "--offline",
        "--persona=auditor",
        "--no-progress",
        "--color=never",
        "--config",
        ".github/zizmor.yml",
        "action.yml",
    ]);
    let found = run(command.args(workflows()).current_dir(root())).ended(0);
    assert!(found.stdout.starts_with("No findings to report."), "{found:?}");
}

#[test]
fn shellcheck_finds_nothing() {
    let Some(shellcheck) = tool("shellcheck") else { return };
    let scripts = ["install.sh", "self-test.sh"].map(|name| root().join("github-action").join(name));
    run(Command::new(shellcheck).args(scripts)).ended(0);
}
