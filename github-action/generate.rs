//! Writes what of the GitHub Action follows from the options of imgstep: `action.yml`, and in `github-action/README.md`
//! the table of inputs and the example workflows. `make action` writes them; `cargo run --example github-action -- --check`
//! compares.

// A tool of this repository alone: it ends at the first thing that isn't as it should be, and says so on stderr.
#![allow(clippy::print_stderr, clippy::missing_panics_doc)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command, CommandFactory as _};
use imgstep::cli::Cli;
use imgstep::cli::args::variable;
use imgstep::cli::github_action::{SETUP, inputs, steps};

/// The longest line of a description.
const WIDTH: usize = 118;

const HEAD: &str = r"# Written by `make action` out of the options of imgstep. To change it, change those, or github-action/generate.rs.
# How to use it: github-action/README.md.
name: imgstep
description: Promote, append to, index, change, tag and inspect container images by registry calls alone. No daemon, no root.
author: imgstep
branding:
  icon: layers
  color: blue

# Each input is an option or a positional word of the step's command line, by its name; lists have one value per line.
# One that is empty is not given; one that the step doesn't have is an error, and so is one that is missing.
inputs:
";

const OUTPUTS: [(&str, &str); 6] = [
    ("digest", "The digest of what was written: sha256:…"),
    ("name", "Its name, with the registry and without a tag: what actions/attest takes as subject-name."),
    ("ref", "Its name and digest: registry/repository@sha256:…"),
    ("images", "The children of an index by name and digest, with commas between; a single image names itself."),
    ("tags", "Every tag that names it now, in full, one per line."),
    ("json", "The whole report, one JSON object: docs/report.md."),
];

const RUNS: &str = r#"
# The first step brings a verified program, the second starts it. Inputs reach it as environment alone: no shell and no
# expression reads them.
runs:
  using: composite
  steps:
    - id: install
      shell: bash
      run: exec bash --noprofile --norc "$GITHUB_ACTION_PATH/github-action/install.sh"
    - id: run
      shell: bash
      env:
        IMGSTEP_BIN: ${{ steps.install.outputs.bin }}
"#;

/// An input: an option or a positional word, and what it means to which steps.
struct Input {
    name: String,
    is_list: bool,
    is_boolean: bool,
    /// Steps by what their help says.
    meanings: Vec<(String, Vec<String>)>,
}

/// All inputs but `step`, those that every step has at the end.
fn all_inputs(command: &Command) -> Vec<Input> {
    let mut found: Vec<Input> = Vec::new();
    for step in steps(command) {
        for name in inputs(step) {
            let argument = step.get_arguments().find(|own| own.get_id().as_str().replace('_', "-") == name);
            let argument = argument.expect("an input is an argument");
            add(&mut found, name, step.get_name(), argument);
        }
    }
    let all = steps(command).count();
    let is_general = |input: &Input| input.meanings.iter().map(|(_, steps)| steps.len()).sum::<usize>() == all;
    let (general, mut own): (Vec<Input>, Vec<Input>) = found.into_iter().partition(is_general);
    own.extend(general);
    own
}

fn add(found: &mut Vec<Input>, name: String, step: &str, argument: &Arg) {
    // An option whose name on the command line is another than its variable's would be an input of two names.
    assert!(argument.get_long().is_none_or(|long| long == name), "--{name}: its name and its variable differ");
    let position = found.iter().position(|input| input.name == name).unwrap_or_else(|| {
        let is_list = matches!(argument.get_action(), ArgAction::Append);
        let is_boolean = argument.get_value_names().is_some_and(|names| names.iter().any(|name| name == "BOOL"));
        found.push(Input { name, is_list, is_boolean, meanings: Vec::new() });
        found.len() - 1
    });
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let help = as_inputs(&help);
    let meanings = &mut found[position].meanings;
    match meanings.iter_mut().find(|(known, _)| *known == help) {
        Some((_, steps)) => steps.push(step.to_owned()),
        None => meanings.push((help, vec![step.to_owned()])),
    }
}

/// A help text where options are called as inputs are: `to` for --to. clap takes the last full stop away.
fn as_inputs(help: &str) -> String {
    let help = help.replace("`--", "`");
    let words = help.split_whitespace().map(|word| match word.strip_prefix("--") {
        Some(rest) => {
            let end = rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '-').unwrap_or(rest.len());
            format!("`{}`{}", &rest[..end], &rest[end..])
        }
        None => word.to_owned(),
    });
    let text = words.collect::<Vec<_>>().join(" ");
    if text.ends_with(['.', '…']) { text } else { text + "." }
}

impl Input {
    /// What it takes, where that is not one value.
    fn form(&self) -> &'static str {
        match (self.is_list, self.is_boolean) {
            (true, _) => " One per line.",
            (_, true) => " `true` or `false`.",
            _ => "",
        }
    }

    /// What it means to whom: every meaning, cut by `of`, with `between` between them.
    fn told(&self, steps: usize, of: fn(&str) -> String, between: &str) -> String {
        let texts = self.meanings.iter().map(|(help, own)| {
            let text = of(help);
            if own.len() == steps { text } else { format!("{}: {text}", own.join(", ")) }
        });
        format!("{}{}", texts.collect::<Vec<_>>().join(between), self.form())
    }
}

/// The text of `action.yml`.
pub fn action() -> String {
    let command = Cli::command();
    let names: Vec<&str> = steps(&command).map(Command::get_name).chain([SETUP]).collect();
    let mut out = HEAD.to_owned();
    let step =
        format!("What is to be done: {}. The last only puts imgstep on the PATH of the job's steps.", names.join(", "));
    let _ = writeln!(out, "  step:\n    description: >-\n{}    required: true", folded(&step, 6));
    let all = all_inputs(&command);
    for input in &all {
        let text = input.told(names.len() - 1, str::to_owned, " ");
        let _ = writeln!(out, "  {}:\n    description: >-\n{}    required: false", input.name, folded(&text, 6));
    }
    out.push_str("\noutputs:\n");
    for (name, description) in OUTPUTS {
        let value = format!("${{{{ steps.run.outputs.{name} }}}}");
        let _ = writeln!(out, "  {name}:\n    description: >-\n{}    value: {value}", folded(description, 6));
    }
    out.push_str(RUNS);
    for name in std::iter::once("step").chain(all.iter().map(|input| input.name.as_str())) {
        let _ = writeln!(out, "        {}: ${{{{ inputs.{name} }}}}", variable(name));
    }
    out.push_str("      run: exec \"$IMGSTEP_BIN\" github-action\n");
    out
}

/// Text as the lines of a folded block of YAML.
fn folded(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && indent + lines[last].chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
        } else {
            let space = if lines[last].is_empty() { "" } else { " " };
            let _ = write!(lines[last], "{space}{word}");
        }
    }
    lines.iter().fold(String::new(), |text, line| format!("{text}{:indent$}{line}\n", ""))
}

/// The first sentence of a help text.
fn sentence(text: &str) -> String {
    let end = text.match_indices(". ").map(|(end, _)| end).find(|end| {
        // Not behind an abbreviation, nor where a list of file names goes on.
        text[end + 2..].starts_with(|next: char| next.is_uppercase() || next == '`')
    });
    text[..end.map_or(text.len(), |end| end + 1)].to_owned()
}

/// The table of inputs, for people.
fn table() -> String {
    let command = Cli::command();
    let count = steps(&command).count();
    let mut out = "| input | what it means |\n|---|---|\n".to_owned();
    for input in all_inputs(&command) {
        let text = input.told(count, sentence, "<br>").replace('|', "\\|");
        let _ = writeln!(out, "| `{}` | {text} |", input.name);
    }
    out
}

/// The text of the README with its generated parts as they should be. Each stands between `<!-- begin NAME -->` and
/// `<!-- end -->`: `inputs`, or a workflow of `examples/`.
pub fn readme(text: &str, examples: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!-- begin ") {
        let (name, after) = after.split_once(" -->\n").expect("`<!-- begin NAME -->` on a line");
        let (_, after) = after.split_once("<!-- end -->").expect("`<!-- end -->` behind `<!-- begin`");
        let part = match examples.get(name) {
            Some(workflow) => format!("```yaml\n{workflow}```\n"),
            None if name == "inputs" => table(),
            None => panic!("there is no example {name}"),
        };
        let _ = write!(out, "{before}<!-- begin {name} -->\n{part}<!-- end -->");
        rest = after;
    }
    out + rest
}

/// The example workflows by their files' names.
pub fn examples(root: &Path) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(root.join("github-action/examples")).expect("the examples can be listed");
    let read = |file: std::fs::DirEntry| {
        let text = std::fs::read_to_string(file.path()).expect("an example can be read");
        (file.file_name().to_string_lossy().into_owned(), text)
    };
    files.map(|file| read(file.expect("the examples can be listed"))).collect()
}

/// The files that are written, and their texts.
pub fn files(root: &Path) -> [(&'static str, String); 2] {
    const README: &str = "github-action/README.md";
    let text = std::fs::read_to_string(root.join(README)).expect("the README can be read");
    [("action.yml", action()), (README, readme(&text, &examples(root)))]
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_check = std::env::args().nth(1).is_some_and(|word| word == "--check");
    let mut status = ExitCode::SUCCESS;
    for (name, text) in files(root) {
        let path = root.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if is_check {
            eprintln!("{name} is not what the options of imgstep say; run `make action`");
            status = ExitCode::FAILURE;
        } else {
            std::fs::write(&path, text).expect("the file can be written");
            eprintln!("{name}: written");
        }
    }
    status
}
