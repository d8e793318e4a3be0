//! `imgstep github-action`: the entry point of the action in `action.yml`. Its inputs are in the environment, untouched
//! by any shell; here they become the arguments of a step.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use clap::Command;

use super::Step;
use super::args::variable;
use super::step::StepSpec;
use crate::error::{Error, Result};
use crate::text::printable;

/// The argument in `action.yml`.
const WORD: &str = "github-action";
/// The step that adds imgstep to the PATH, for the job's own scripts.
pub const SETUP: &str = "setup";

/// The options that aren't inputs, and why.
pub const NO_INPUTS: [(&str, &str); 4] = [
    ("help", "is for people at a terminal"),
    ("version", "is for people at a terminal"),
    ("no_trunc", "is for people at a terminal"),
    ("ci", "the action is GitHub's: it says `--ci github` itself"),
];

/// What the inputs request.
#[derive(Debug, PartialEq, Eq)]
pub enum ActionCommand {
    /// A step, by the first arguments of its command line; the others are in the environment.
    Step(Vec<String>),
    /// Add imgstep to the PATH.
    Setup,
}

/// Whether these are the arguments in `action.yml`.
pub fn is_action_invocation(words: &[impl AsRef<std::ffi::OsStr>]) -> bool {
    matches!(words, [_, word] if word.as_ref() == WORD)
}

/// The commands of the steps.
pub fn steps(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|step| spec(step.get_name()).is_some())
}

fn spec(name: &str) -> Option<&'static StepSpec> {
    Step::SPECS.iter().find(|spec| spec.verb.name == name)
}

/// The names of a step's inputs: those of its options and positional arguments.
pub fn inputs(step: &Command) -> impl Iterator<Item = String> {
    let ids = step.get_arguments().map(|argument| argument.get_id().as_str());
    ids.filter(|id| !NO_INPUTS.iter().any(|(no, _)| no == id)).map(|id| id.replace('_', "-"))
}

/// Resolves the request. Checks that the step has every given input and that none is missing, because the runner checks
/// neither.
///
/// # Errors
/// Names the input (`ErrorKind::Usage`).
pub fn asked(command: &Command, value_of: &dyn Fn(&str) -> Option<String>) -> Result<ActionCommand> {
    let value = |input: &str| value_of(&variable(input)).filter(|value| !value.trim().is_empty());
    let known = || {
        let names: Vec<&str> = steps(command).map(Command::get_name).chain([SETUP]).collect();
        names.join(", ")
    };
    let Some(name) = value("step") else {
        return Err(Error::usage("no step").with_hint(format!("set `step:` under `with:` to one of {}", known())));
    };
    let name = name.trim();
    let step = steps(command).find(|step| step.get_name() == name);
    if step.is_none() && name != SETUP {
        let name = printable(name, 80);
        return Err(Error::usage(format!("step: unknown step `{name}`")).with_hint(format!("use one of {}", known())));
    }
    let own: Vec<String> = step.map(|step| inputs(step).collect()).unwrap_or_default();
    for owner in steps(command) {
        if let Some(stray) = inputs(owner).find(|input| !own.contains(input) && value(input).is_some()) {
            let has = if own.is_empty() { String::new() } else { format!("; `{name}` has {}", own.join(", ")) };
            let owner = owner.get_name();
            let error =
                Error::usage(format!("{stray}: the step `{name}` has no such input, it is an input of `{owner}`"));
            return Err(error.with_hint(format!("remove it{has}")));
        }
    }
    let Some(step) = step else { return Ok(ActionCommand::Setup) };
    let is_given = |input: &str| {
        let lines = value(input).unwrap_or_default();
        // Plain tags need `to`; a full reference doesn't.
        if input == "tags" && name != "tag" { lines.contains('/') } else { !lines.is_empty() }
    };
    let required = step.get_arguments().filter(|argument| argument.is_required_set());
    let required = required.map(|argument| argument.get_id().as_str()).find(|input| !is_given(input));
    let needs = spec(name).map_or(&[][..], |spec| spec.needs);
    let needed = needs.iter().find(|inputs| !inputs.iter().any(|input| is_given(input)));
    let needed = needed.and_then(|inputs| inputs.first().copied());
    if let Some(input) = required.or(needed) {
        let error = Error::usage(format!("{input}: the step `{name}` requires this input"));
        return Err(error.with_hint(format!("set `{input}:` under `with:`, next to `step: {name}`")));
    }
    // Takes precedence over the environment of the whole job.
    let ci = step.get_arguments().any(|argument| argument.get_id() == "ci").then_some("--ci=github");
    Ok(ActionCommand::Step(["imgstep", name].into_iter().chain(ci).map(str::to_owned).collect()))
}

/// Adds the folder of a program to the PATH of later steps: a line in the file named by `GITHUB_PATH`.
///
/// # Errors
/// The file doesn't exist or can't be written, or the program isn't called imgstep.
pub fn set_up(program: &Path, github_path: Option<&Path>) -> Result<()> {
    let Some(file) = github_path else {
        return Err(Error::ci_output("GITHUB_PATH is not set: `step: setup` works only on GitHub's runners"));
    };
    let folder = program.parent().and_then(Path::to_str).filter(|folder| !folder.contains(['\n', '\r']));
    let stem = program.file_stem().and_then(std::ffi::OsStr::to_str);
    let (Some(folder), Some("imgstep")) = (folder, stem) else {
        let program = printable(&program.to_string_lossy(), 200);
        let error = Error::ci_output(format!("IMGSTEP_BIN: `{program}` can't be called as `imgstep`"));
        return Err(error.with_hint("rename it to `imgstep`"));
    };
    let write = || OpenOptions::new().append(true).create(true).open(file)?.write_all(format!("{folder}\n").as_bytes());
    write().map_err(Error::file("write", file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn ask(inputs: &[(&str, &str)]) -> std::result::Result<ActionCommand, String> {
        let value = |name: &str| {
            let (_, value) = inputs.iter().find(|(input, _)| variable(input) == name)?;
            Some((*value).to_owned())
        };
        asked(&crate::cli::Cli::command(), &value).map_err(|error| error.one_line())
    }

    #[test]
    fn only_the_words_of_the_action_are_meant() {
        assert!(is_action_invocation(&["imgstep", "github-action"]));
        assert!(
            !is_action_invocation(&["imgstep", "digest"]) && !is_action_invocation(&["imgstep", "github-action", "x"])
        );
        assert!(!is_action_invocation(&["github-action"]));
    }

    #[test]
    fn a_step_with_what_it_needs() {
        let begins =
            |name: &str, asked: &ActionCommand| matches!(asked, ActionCommand::Step(words) if words[1] == name);
        let step =
            |name: &'static str, given: &[(&str, &str)]| assert!(begins(name, &ask(given).unwrap()), "{given:?}");
        step("promote", &[("step", "promote\n"), ("source", "a"), ("to", "b"), ("layer", " \n")]);
        step("promote", &[("step", "promote"), ("source", "a"), ("tags", "v1\nghcr.io/org/app:v1")]);
        step("index", &[("step", "index"), ("from", "a"), ("to", "b"), ("add", "c")]);
        step("tag", &[("step", "tag"), ("image", "a"), ("tags", "v1")]);
        assert_eq!(ask(&[("step", "setup"), ("source", "")]), Ok(ActionCommand::Setup));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (inputs, missing) in [
            (&[("step", "promote"), ("to", "b")][..], "source"),
            (&[("step", "promote"), ("source", "a"), ("tags", "v1")], "to"),
            (&[("step", "append"), ("base", "scratch"), ("to", "b")], "layer"),
            (&[("step", "append"), ("base", "scratch"), ("layer", "x")], "to"),
            (&[("step", "append"), ("layer", "x"), ("to", "b")], "base"),
            (&[("step", "index"), ("to", "b"), ("add", "c")], "images"),
            (&[("step", "mutate"), ("image", "a")], "to"),
            (&[("step", "tag"), ("image", "a")], "tags"),
            (&[("step", "digest")], "image"),
            (&[("step", "inspect"), ("image", "\n")], "image"),
        ] {
            let error = ask(inputs).unwrap_err();
            assert!(error.contains(&format!("set `{missing}:` under `with:`")), "{inputs:?}: {error}");
        }
        assert!(ask(&[]).unwrap_err().contains("set `step:` under `with:`"));
        assert!(ask(&[("step", "registry")]).unwrap_err().contains("unknown step `registry`; use one of promote, "));
    }

    #[test]
    fn an_input_of_another_step_is_refused() {
        let error = ask(&[("step", "tag"), ("image", "a"), ("tags", "v1"), ("layer", "x")]).unwrap_err();
        assert!(error.contains("layer: the step `tag` has no such input, it is an input of `append`"), "{error}");
        let error = ask(&[("step", "setup"), ("to", "x")]).unwrap_err();
        assert!(error.contains("to: the step `setup` has no such input"), "{error}");
    }
}
