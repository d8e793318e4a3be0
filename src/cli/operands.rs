//! Operands after a list: `-t DESTINATION SOURCE` works as users of `docker build`, `crane` and `skopeo` expect,
//! although `-t` takes any number of arguments. Ambiguous command lines are refused.

use std::path::Path;

use clap::{Arg, Command};

use super::args::{is_stdin, option, short_option, takes_words};
use crate::error::{Error, Result};
use crate::image::platform::Platform;
use crate::image::reference::{Reference, is_tag};
use crate::text::printable;

/// A part of a command line after the step.
enum ArgPart {
    /// An argument that no option took.
    Operand(String),
    /// An option that takes many arguments, as written, with its value name.
    List { option: String, kind: String, values: Vec<String> },
    /// Anything else: an option with one value or none.
    Other(Vec<String>),
    /// `--` and what follows.
    Behind(Vec<String>),
}

/// One way to read a command line: the list that gives arguments back, and how many.
#[derive(Clone, Copy)]
struct OperandReader {
    list: usize,
    taken: usize,
    /// Whether it takes an argument that looks like a value of the list.
    strained: bool,
}

/// If operands are missing, takes the last arguments of a list back, as few as complete the command. An operand from
/// the environment isn't missing.
///
/// # Errors
/// It can be read in two ways, or in none (`ErrorKind::Usage`).
pub fn taken_back(command: &Command, words: Vec<String>) -> Result<Vec<String>> {
    let Some(step) = words.get(1).and_then(|name| command.find_subcommand(name)) else { return Ok(words) };
    let asks = |word: &String| matches!(word.as_str(), "-h" | "--help" | "-V" | "--version");
    let in_environment = |arg: &Arg| !arg.get_default_values().is_empty();
    if words.iter().any(asks) || step.get_positionals().any(in_environment) {
        return Ok(words);
    }
    let mut parts = parts(step, &words[2..]);
    let Some(wanted) = wanted(step, &parts) else { return Ok(words) };
    let given = given(&parts);
    let lists: Vec<&ArgPart> =
        parts.iter().filter(|part| values_of(part).is_some_and(|list| !list.is_empty())).collect();
    if given >= wanted.least || lists.is_empty() {
        return Ok(words);
    }
    let readings = readings(step, &parts, given, &wanted);
    let chosen = match readings.as_slice() {
        [] => return Err(missing(step, &lists, given)),
        [one] => *one,
        // An index has any number of images, but seldom two names.
        [first, .., last] if step.get_name() == "index" && all_of_to(&parts, &readings) => {
            OperandReader { taken: last.taken, ..*first }
        }
        [first, .., last] => return Err(ambiguous(step, &parts, *first, *last)),
    };
    let operands = taken(&mut parts, chosen);
    let mut out: Vec<String> = words[..2].to_vec();
    out.extend(operands);
    for part in parts {
        match part {
            ArgPart::Operand(_) => {}
            ArgPart::List { option, values, .. } => out.extend(std::iter::once(option).chain(values)),
            ArgPart::Other(words) => out.extend(words),
            ArgPart::Behind(words) => out.extend(std::iter::once("--".to_owned()).chain(words)),
        }
    }
    Ok(out)
}

fn parts(step: &Command, words: &[String]) -> Vec<ArgPart> {
    let mut parts = Vec::new();
    let mut words = words.iter().cloned().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            parts.push(ArgPart::Behind(words.by_ref().collect()));
            break;
        }
        let named = word.strip_prefix("--").and_then(|name| option(step, name));
        let short = word.strip_prefix('-').filter(|name| name.chars().count() == 1);
        let arg = named.or_else(|| short.and_then(|name| short_option(step, name))).filter(|arg| takes_words(arg));
        let is_value = |next: &String| !next.starts_with('-') || is_stdin(next);
        match arg {
            Some(arg) if arg.get_num_args().is_some_and(|range| range.max_values() > 1) => {
                let kind = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
                let values = std::iter::from_fn(|| words.next_if(is_value)).collect();
                parts.push(ArgPart::List { option: word, kind: kind.unwrap_or_default(), values });
            }
            Some(_) => parts.push(ArgPart::Other(std::iter::once(word).chain(words.next_if(is_value)).collect())),
            None if word.starts_with('-') && !is_stdin(&word) => parts.push(ArgPart::Other(vec![word])),
            None => parts.push(ArgPart::Operand(word)),
        }
    }
    parts
}

fn values_of(part: &ArgPart) -> Option<&Vec<String>> {
    if let ArgPart::List { values, .. } = part { Some(values) } else { None }
}

fn given(parts: &[ArgPart]) -> usize {
    let count = |part: &ArgPart| match part {
        ArgPart::Operand(_) => 1,
        ArgPart::Behind(words) => words.len(),
        ArgPart::List { .. } | ArgPart::Other(_) => 0,
    };
    parts.iter().map(count).sum()
}

/// The number of operands.
struct WantedOperands {
    least: usize,
    is_open: bool,
}

/// The operands that the step needs; `None` if options replace them, or if it isn't a step.
fn wanted(step: &Command, parts: &[ArgPart]) -> Option<WantedOperands> {
    let in_environment = |name: &str| option(step, name).is_some_and(|arg| !arg.get_default_values().is_empty());
    let written = |part: &ArgPart, names: &[&str]| match part {
        ArgPart::List { option, values, .. } => names.contains(&option.as_str()) && !values.is_empty(),
        ArgPart::Other(words) => words.first().is_some_and(|word| {
            names
                .iter()
                .any(|name| word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
        }),
        ArgPart::Operand(_) | ArgPart::Behind(_) => false,
    };
    let has = |names: &[&str]| {
        parts.iter().any(|part| written(part, names))
            || names.iter().any(|name| in_environment(name.trim_start_matches('-')))
    };
    let to = || has(&["--to"]) || parts.iter().any(|part| written(part, &["-t"]) || is_short_to(part));
    let (least, is_open) = match step.get_name() {
        "append" | "mutate" | "digest" | "inspect" => (1, false),
        "tag" => (2, true),
        "index" if !has(&["--from"]) => (1, true),
        "bundle" => (1, true),
        "promote" if !has(&["--list", "--line"]) => {
            // A full reference among the tags is a destination too; the first one may also be the source.
            let by_tags = given(parts) > 0 && parts.iter().any(has_full_tag);
            (if to() || by_tags { 1 } else { 2 }, true)
        }
        _ => return None,
    };
    Some(WantedOperands { least, is_open })
}

/// `-tDESTINATION`.
fn is_short_to(part: &ArgPart) -> bool {
    matches!(part, ArgPart::Other(words) if words.first().is_some_and(|word| word.starts_with("-t") && word.len() > 2))
}

fn has_full_tag(part: &ArgPart) -> bool {
    matches!(part, ArgPart::List { option, values, .. } if option == "--tags" && values.iter().any(|tag| tag.contains(['/', ':'])))
}

/// Every reading that completes the command: each list keeps at least one argument, and all arguments look right.
fn readings(step: &Command, parts: &[ArgPart], given: usize, wanted: &WantedOperands) -> Vec<OperandReader> {
    let fewest = wanted.least - given;
    let mut found = Vec::new();
    for (list, part) in parts.iter().enumerate() {
        let ArgPart::List { kind, values, .. } = part else { continue };
        let most = if wanted.is_open { values.len().saturating_sub(1) } else { fewest };
        for taken in (fewest..=most).take_while(|taken| *taken < values.len()) {
            let (kept, operands) = values.split_at(values.len() - taken);
            let extra = &operands[..taken - fewest];
            if kept.iter().enumerate().all(|(at, word)| may_stay(kind, word, at == 0))
                && are_operands(step, kind, operands, given)
                && !extra.iter().any(|word| belongs(kind, word))
            {
                let strained = operands.iter().any(|word| belongs(kind, word));
                found.push(OperandReader { list, taken, strained });
            }
        }
    }
    if found.iter().any(|reading| !reading.strained) {
        found.retain(|reading| !reading.strained);
    }
    found
}

/// Whether an argument can be a value of this kind.
fn may_stay(kind: &str, word: &str, is_first: bool) -> bool {
    match kind {
        "TAG" => word.contains(['/', ':']) || word.split(',').all(is_tag),
        "DESTINATION" | "IMAGE" => word.parse::<Reference>().is_ok(),
        "PLATFORM" => word.split(',').all(|one| one.parse::<Platform>().is_ok()),
        "HOST" => !word.contains('/'),
        "DIR" | "FILE" => is_first || Path::new(word).exists(),
        _ if kind.contains('=') => word.contains('='),
        _ => true,
    }
}

/// Whether an argument is more likely a value of this kind than an operand.
fn belongs(kind: &str, word: &str) -> bool {
    match kind {
        "TAG" => word.split(',').all(is_tag),
        "HOST" => !word.contains('/'),
        "PLATFORM" => {
            let system = word.split('/').next().unwrap_or_default();
            ["linux", "windows", "darwin", "freebsd", "wasip1"].contains(&system.to_ascii_lowercase().as_str())
        }
        _ => false,
    }
}

fn are_operands(step: &Command, kind: &str, words: &[String], given: usize) -> bool {
    // A file that exists is meant for the option.
    let is_path = |word: &str| matches!(kind, "LAYER" | "PATH" | "DIR" | "FILE") && Path::new(word).exists();
    words.iter().enumerate().all(|(at, word)| match step.get_name() {
        "bundle" => is_stdin(word) || Path::new(word).exists(),
        "tag" if at + given > 0 => is_tag(word),
        _ => word == "scratch" || (word.parse::<Reference>().is_ok() && !is_path(word)),
    })
}

fn all_of_to(parts: &[ArgPart], readings: &[OperandReader]) -> bool {
    let is_to =
        |reading: &OperandReader| matches!(&parts[reading.list], ArgPart::List { kind, .. } if kind == "DESTINATION");
    readings.iter().all(|reading| is_to(reading) && reading.list == readings[0].list)
}

/// Removes the arguments of a reading from their list, and returns the operands in order.
fn taken(parts: &mut [ArgPart], reading: OperandReader) -> Vec<String> {
    let mut operands = Vec::new();
    for (at, part) in parts.iter_mut().enumerate() {
        match part {
            ArgPart::Operand(word) => operands.push(word.clone()),
            ArgPart::List { values, .. } if at == reading.list => {
                operands.extend(values.split_off(values.len() - reading.taken));
            }
            ArgPart::List { .. } | ArgPart::Other(_) | ArgPart::Behind(_) => {}
        }
    }
    operands
}

/// The names of a step's operands, as in its usage.
fn usage(step: &Command) -> String {
    let names = step.get_positionals().map(|arg| {
        let name = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default();
        let many = matches!(arg.get_action(), clap::ArgAction::Append);
        if many { format!("{name}...") } else { name }
    });
    names.collect::<Vec<_>>().join(" ")
}

fn missing(step: &Command, lists: &[&ArgPart], given: usize) -> Error {
    let name = step.get_name();
    let names = usage(step);
    let absent = names.split(' ').nth(given).unwrap_or(&names).trim_end_matches("...").to_lowercase();
    let took = lists.iter().filter_map(|part| {
        let ArgPart::List { option, values, .. } = part else { return None };
        let words: Vec<String> = values.iter().map(|word| format!("`{}`", printable(word, 80))).collect();
        Some(format!("{option} took {}", words.join(", ")))
    });
    let took = took.collect::<Vec<_>>().join("; ");
    Error::usage(format!("no {absent}: {took}, since a list takes every argument up to the next option"))
        .with_hint(format!("write `imgstep {name} {names} [OPTIONS]`"))
}

fn ambiguous(step: &Command, parts: &[ArgPart], first: OperandReader, last: OperandReader) -> Error {
    let name = step.get_name();
    let way = |reading: OperandReader| {
        let ArgPart::List { option, values, .. } = &parts[reading.list] else { return String::new() };
        let (kept, operands) = values.split_at(values.len() - reading.taken);
        printable(&format!("imgstep {name} {} {option} {}", operands.join(" "), kept.join(" ")), 300)
    };
    Error::usage("the arguments can be read in two ways").with_hint(format!(
        "put those that belong to no option first: `{}` or `{}`",
        way(first),
        way(last)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::cli::args::without_empty_options;
    use clap::CommandFactory as _;
    use proptest::prelude::*;

    fn read(words: &str) -> std::result::Result<String, String> {
        let command = Cli::command();
        let words = format!("imgstep {words}").split(' ').map(str::to_owned).collect();
        let words = taken_back(&command, without_empty_options(&command, words)).map_err(|error| error.one_line())?;
        Ok(words[1..].join(" "))
    }

    #[test]
    fn operands_may_follow_options() {
        for (words, meant) in [
            ("promote -t reg/a:1 src/a:1", "promote src/a:1 -t reg/a:1"),
            ("promote -t reg/a:1 -t mirror/a:1 src/a:1", "promote src/a:1 -t reg/a:1 -t mirror/a:1"),
            ("promote -t reg/a:1 --tags v1 src/a:1", "promote src/a:1 -t reg/a:1 --tags v1"),
            ("promote -t reg/a:1 alpine --tags v1 v2", "promote alpine -t reg/a:1 --tags v1 v2"),
            ("promote --tags v2 src/a:1 reg/a:1", "promote src/a:1 reg/a:1 --tags v2"),
            ("promote --tags v1,v2 src/a:1 reg/a:1", "promote src/a:1 reg/a:1 --tags v1,v2"),
            ("promote --tags v2 alpine reg/alpine", "promote alpine reg/alpine --tags v2"),
            ("promote --tags v1 v2 src/a:1 reg/a:1", "promote src/a:1 reg/a:1 --tags v1 v2"),
            (
                "promote --platform linux/amd64 linux/arm64 alpine:3 reg/b:3",
                "promote alpine:3 reg/b:3 --platform linux/amd64 linux/arm64",
            ),
            (
                "promote --insecure-registry h:5000 h:5000/a h:5000/b",
                "promote h:5000/a h:5000/b --insecure-registry h:5000",
            ),
            ("promote --ca-file no-such-file src/a:1 reg/a:1", "promote src/a:1 reg/a:1 --ca-file no-such-file"),
            ("append --layer a=/a scratch -t reg/a:1", "append scratch --layer a=/a -t reg/a:1"),
            ("append -t reg/a:1 scratch --layer a=/a b=/b", "append scratch -t reg/a:1 --layer a=/a b=/b"),
            ("append --layer a=/a b=/b -t reg/a:1 alpine", "append alpine --layer a=/a b=/b -t reg/a:1"),
            ("mutate --label a=b c=d app:1 -t reg/a:1", "mutate app:1 --label a=b c=d -t reg/a:1"),
            ("inspect --ca-file f app:1", "inspect app:1 --ca-file f"),
            ("digest --insecure-registry h alpine", "digest alpine --insecure-registry h"),
            ("tag --result digest=f app:1 v9", "tag app:1 v9 --result digest=f"),
            ("tag --result digest=f app:1 v9 v10", "tag app:1 v9 v10 --result digest=f"),
            ("tag app:1 --result digest=f v9", "tag app:1 v9 --result digest=f"),
            ("index -t reg/a:1 a/b:1 a/b:2", "index a/b:1 a/b:2 -t reg/a:1"),
            ("index -t reg/a:1 a/b:1 a/b:2 --tags v1", "index a/b:1 a/b:2 -t reg/a:1 --tags v1"),
            ("bundle -t reg/a:1 Cargo.toml", "bundle Cargo.toml -t reg/a:1"),
        ] {
            assert_eq!(read(words).as_deref(), Ok(meant), "{words}");
        }
    }

    #[test]
    fn what_is_whole_stays() {
        for words in [
            "promote a b -t c d --tags v1 v2",
            "promote a --tags v1 reg/a:1",
            "promote a -t b c",
            "promote --list f --tags v1 v2 v3",
            "promote -t b c -- a",
            "promote -t b c --help",
            "index --from a --add b c -t d",
            "tag a b --result digest=f",
            "registry serve --address a",
            "no-such-step -t a b",
            "promote",
        ] {
            assert_eq!(read(words).as_deref(), Ok(words));
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (words, one, other) in [
            ("promote -t reg/x a/b c/d", "promote c/d -t reg/x a/b", "promote a/b c/d -t reg/x"),
            (
                "promote --tags v1 reg/x:y a/b c/d",
                "promote a/b c/d --tags v1 reg/x:y",
                "promote reg/x:y a/b c/d --tags v1",
            ),
            ("append --layer a b -t reg/x reg/y", "append b --layer a", "append reg/y -t reg/x"),
            ("index --tags v1 a/b:1 a/b:2 -t reg/x:1", "index a/b:2 --tags v1 a/b:1", "index a/b:1 a/b:2 --tags v1"),
        ] {
            let error = read(words).unwrap_err();
            assert!(error.contains(one) && error.contains(other) && error.contains("two ways"), "{words}: {error}");
        }
    }

    #[test]
    fn what_is_missing_is_told_with_who_took_it() {
        for (words, expected) in [
            ("promote -t reg/a:1", "no source: -t took `reg/a:1`, since a list takes every argument"),
            ("promote a --tags v1", "no destination: --tags took `v1`,"),
            ("append --layer a=/a -t reg/a:1", "no base: --layer took `a=/a`; -t took `reg/a:1`,"),
            // An existing file is a layer.
            ("append --layer a=/a Cargo.toml -t reg/a:1", "no base: --layer took `a=/a`, `Cargo.toml`;"),
            ("inspect --ca-file f", "no image: --ca-file took `f`,"),
            ("tag app:1 --result digest=f", "no tag: --result took `digest=f`,"),
        ] {
            let error = read(words).unwrap_err();
            assert!(error.starts_with(expected) && error.contains("write `imgstep "), "{words}: {error}");
        }
    }

    fn sorted(words: &str) -> Vec<&str> {
        let mut words: Vec<&str> = words.split(' ').collect();
        words.sort_unstable();
        words
    }

    proptest! {
        #[test]
        fn no_word_is_lost_or_made_and_each_list_keeps_one(
            step in prop::sample::select(vec!["promote", "append", "mutate", "index", "tag", "digest", "inspect"]),
            words in prop::collection::vec(prop::sample::select(vec![
                "-t", "--to", "--tags", "--platform", "--result", "--ca-file", "--insecure-registry", "-q", "--jobs", "--",
                "a/b:1", "c/d", "v1", "latest", "linux/amd64", "k=v", "digest=f", "scratch", "h:5000", "--quiet=true",
            ]), 0..9),
        ) {
            let line = std::iter::once(step).chain(words).collect::<Vec<_>>().join(" ");
            let command = Cli::command();
            let before = format!("imgstep {line}").split(' ').map(str::to_owned).collect();
            let before = without_empty_options(&command, before)[1..].join(" ");
            if let Ok(after) = read(&line) {
                prop_assert_eq!(sorted(&after), sorted(&before));
                // A second pass changes nothing.
                prop_assert_eq!(read(&after), Ok(after.clone()));
            }
        }

        #[test]
        fn operands_in_front_are_never_touched(
            tags in prop::collection::vec("[a-z0-9/:=]{1,8}", 0..5), to in prop::collection::vec("[a-z0-9/:=]{1,8}", 0..5),
        ) {
            let line = format!("promote src/a reg/a --tags {} -t {}", tags.join(" "), to.join(" "));
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            let command = Cli::command();
            let words = format!("imgstep {line}").split(' ').map(str::to_owned).collect();
            prop_assert_eq!(read(&line), Ok(without_empty_options(&command, words)[1..].join(" ")));
        }
    }
}
