//! Every help text as it is printed. Its examples can be pasted, and do what they promise.

use std::collections::BTreeMap;

use clap::{Command, CommandFactory as _, FromArgMatches as _};
use imgstep::cli::{Cli, Step, parse};

use crate::support::imgstep;
use crate::support::snapshot::assert_snapshots;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Every step as arguments: `registry serve` is two.
fn steps() -> Vec<(String, Command)> {
    let steps =
        |command: &Command| command.get_subcommands().map(|step| (step.get_name().to_owned(), step.clone())).collect();
    let all: Vec<(String, Command)> = steps(&Cli::command());
    all.into_iter()
        .flat_map(|(name, step)| if step.has_subcommands() { steps(&step) } else { vec![(name, step)] })
        .collect()
}

/// Everything below `Examples:`, up to the next heading.
fn block(help: &str) -> String {
    let Some((_, examples)) = help.split_once("Examples:\n") else { return String::new() };
    let is_example = |line: &&str| line.is_empty() || line.starts_with(' ');
    examples.lines().take_while(is_example).fold(String::new(), |text, line| text + line + "\n")
}

/// The lines of the examples as a shell gets them, in a terminal of this width.
fn examples(step: &Command, width: usize) -> Vec<String> {
    let help = step.clone().term_width(width).max_term_width(width).render_long_help().to_string();
    let examples = block(&help);
    let mut lines: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in examples.lines() {
        let is_command = line.starts_with("    ") || (line.starts_with("  imgstep ") && !goes_on);
        let (text, more) = match line.trim_end().strip_suffix('\\') {
            Some(text) => (text.trim(), true),
            None => (line.trim(), line.ends_with('|')),
        };
        match lines.last_mut().filter(|_| goes_on) {
            Some(last) => *last = format!("{last} {text}"),
            None if is_command => lines.push(text.to_owned()),
            None => {}
        }
        goes_on = more;
    }
    lines.retain(|line| line.contains("imgstep "));
    lines
}

/// The words of a line, split at spaces and unquoted.
pub fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    assert!(!quoted, "{line}");
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn examples_keep_their_lines_on_narrow_and_on_wide_terminals() {
    let mut seen = 0;
    for (name, step) in steps() {
        let whole = examples(&step, 1000);
        for width in [80, 100] {
            assert_eq!(examples(&step, width), whole, "{name} at {width} columns");
        }
        let help = step.clone().term_width(1000).max_term_width(1000).render_long_help().to_string();
        for line in block(&help).lines() {
            assert!(line.chars().count() < 80, "{name}: {line}");
        }
        seen += whole.len();
    }
    assert!(seen >= 25, "{seen}");
}

#[test]
fn every_example_means_something() {
    for (name, step) in steps() {
        let lines = examples(&step, 80);
        assert!(!lines.is_empty(), "{name} has no examples");
        for line in lines {
            let command =
                line.split(" | ").find(|part| part.trim().starts_with("imgstep ")).unwrap_or_else(|| panic!("{line}"));
            let command = command.split(" >").next().unwrap_or_default();
            let words = words(&command.replace("sha256:…", DIGEST));
            let matches = parse::matches(words, &|_| None);
            let matches = matches.unwrap_or_else(|wrong| panic!("{line}: {wrong:?}"));
            let request = match Cli::from_arg_matches(&matches).unwrap().step {
                Step::Promote(args) if args.list.is_some() => Ok(()),
                step => step.check(),
            };
            request.unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}

/// The words of every command: none for imgstep itself, then `promote`, …, `registry serve`.
fn commands() -> Vec<Vec<String>> {
    fn below(command: &Command, words: &[String], all: &mut Vec<Vec<String>>) {
        all.push(words.to_vec());
        for step in command.get_subcommands() {
            below(step, &[words, &[step.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    below(&Cli::command(), &[], &mut all);
    all
}

#[test]
fn snapshot_of_every_help() {
    let mut texts = BTreeMap::new();
    for words in commands() {
        let name = [&["imgstep".to_owned()], words.as_slice()].concat().join("-");
        let mut text = String::new();
        for flag in ["-h", "--help"] {
            let run = imgstep(words.iter().map(String::as_str).chain([flag])).run().ended(0);
            assert_eq!(run.stderr, "");
            let line = [&["imgstep".to_owned()], words.as_slice(), &[flag.to_owned()]].concat().join(" ");
            // What an editor would take away at the end of a line.
            let printed: String = run.stdout.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
            text = text + "$ " + &line + "\n" + &printed + "\n";
        }
        texts.insert(name, text.trim_end().to_owned() + "\n");
    }
    assert_snapshots("help", &texts);
}

#[test]
fn no_help_is_wider_than_a_page() {
    for words in commands() {
        for flag in ["-h", "--help"] {
            let run = imgstep(words.iter().map(String::as_str).chain([flag])).run().ended(0);
            for line in run.stdout.lines() {
                assert!(line.chars().count() <= 100, "{words:?}: {line}");
            }
        }
    }
}

#[test]
fn the_first_line_of_every_option_stands_by_itself() {
    let mut wrong = Vec::new();
    for (step, command) in steps() {
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            if help.is_empty() || help.chars().count() > 80 || help.ends_with('.') || help.contains('\n') {
                wrong.push(format!("{step} {}: {help}", argument.get_id()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
