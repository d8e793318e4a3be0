//! Arguments under Tekton's rules: without a shell, an unwanted option comes with an empty value; and every option can
//! be set in the environment.

use clap::{Arg, ArgAction, Command};

use super::platform_value::json_values;
use super::references::references;
use crate::error::Error;
use crate::image::reference::{Reference, is_tag};

/// The environment variable of an option: `if-exists` is `IMGSTEP_IF_EXISTS`.
pub fn variable(id: &str) -> String {
    format!("IMGSTEP_{}", id.to_ascii_uppercase().replace('-', "_"))
}

/// Lets every argument of every step take its value from its environment variable if that is set and not empty: an
/// option with an empty value counts as not given. Lists have one value per line there, JSON any number of lines; on
/// the command line each argument is one value, whatever it contains.
#[must_use]
pub fn with_environment(command: Command, value_of: &dyn Fn(&str) -> Option<String>) -> Command {
    let mut command = command.mut_args(|arg| {
        let name = arg.get_id().as_str().to_owned();
        if matches!(name.as_str(), "help" | "version" | "command") {
            return arg;
        }
        let Some(value) = value_of(&variable(&name)).filter(|value| !value.trim().is_empty()) else { return arg };
        let is_list = matches!(arg.get_action(), ArgAction::Append);
        let arg = arg.required(false);
        let is_json = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "JSON"));
        if is_list && is_json {
            arg.default_values(json_values(&value))
        } else if is_list {
            let lines: Vec<String> = value.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
            arg.default_values(lines)
        } else {
            // A YAML block scalar ends with a newline.
            arg.default_value(value.trim_end_matches(['\r', '\n']).to_owned())
        }
    });
    let names: Vec<String> = command.get_subcommands().map(|step| step.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |step| with_environment(step, value_of));
    }
    command
}

/// Removes options with an empty value (`--platform=`, `--platform ""`) or an empty list (`--tags` alone), so that they
/// count as not given and the environment applies.
pub fn without_empty_options(command: &Command, words: Vec<String>) -> Vec<String> {
    let mut step = command;
    let mut out: Vec<String> = Vec::new();
    let mut words = words.into_iter().peekable();
    out.extend(words.next());
    while let Some(word) = words.next() {
        if word == "--" {
            out.push(word);
            out.extend(words);
            break;
        }
        if let Some(found) = step.find_subcommand(&word).filter(|_| !word.starts_with('-')) {
            step = found;
            out.push(word);
            continue;
        }
        if let Some(name) = word.strip_prefix("--").and_then(|word| word.strip_suffix('='))
            && option(step, name).is_some()
        {
            continue;
        }
        let named = word.strip_prefix("--").map(|name| option(step, name));
        let short = word.strip_prefix('-').filter(|name| name.chars().count() == 1);
        let Some(arg) = named.flatten().or_else(|| short.and_then(|name| short_option(step, name))) else {
            out.push(word);
            continue;
        };
        if !takes_words(arg) {
            out.push(word);
            continue;
        }
        let mut values = Vec::new();
        let many = arg.get_num_args().is_some_and(|range| range.max_values() > 1);
        while let Some(value) = words.next_if(|next| next.is_empty() || !next.starts_with('-') || is_stdin(next)) {
            values.push(value);
            if !many {
                break;
            }
        }
        let given = values.len();
        values.retain(|value| !value.is_empty());
        // A single-value option without an argument is a mistake that clap explains.
        if !values.is_empty() || (given == 0 && !many) {
            give(&mut out, &word, values);
        }
    }
    out
}

/// `-` for standard input, also with the options of a layer: `-,platform=linux/arm64`.
pub(super) fn is_stdin(word: &str) -> bool {
    word == "-" || word.starts_with("-,")
}

/// An option with its values; a value that looks like an option is attached with `=`, so that it is parsed as a value.
fn give(out: &mut Vec<String>, option: &str, values: Vec<String>) {
    if values.is_empty() {
        out.push(option.to_owned());
        return;
    }
    let mut named = false;
    for value in values {
        if value.starts_with("-,") && option.starts_with("--") {
            out.push(format!("{option}={value}"));
            named = false;
            continue;
        }
        if !std::mem::replace(&mut named, true) {
            out.push(option.to_owned());
        }
        out.push(value);
    }
}

pub(super) fn option<'a>(step: &'a Command, name: &str) -> Option<&'a Arg> {
    step.get_arguments().find(|arg| arg.get_long() == Some(name))
}

pub(super) fn short_option<'a>(step: &'a Command, name: &str) -> Option<&'a Arg> {
    step.get_arguments().find(|arg| arg.get_short().is_some_and(|short| name.starts_with(short)))
}

/// Whether an option takes its values as separate arguments (unlike `--flag` and `--flag=value`).
pub(super) fn takes_words(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set()
}

/// The non-empty values of a list.
pub fn list(values: &[String]) -> Vec<String> {
    values.iter().map(|value| value.trim()).filter(|value| !value.is_empty()).map(str::to_owned).collect()
}

/// Parses all values of a list.
///
/// # Errors
/// The first invalid value, as a usage error that names the option.
pub fn parse_list<T>(option: &str, values: &[String]) -> Result<Vec<T>, Error>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    list(values).iter().map(|value| value.parse().map_err(|error| Error::usage(format!("{option}: {error}")))).collect()
}

/// The values of `--to` and `--tags`: destinations, and further tags in the repository of each. A full reference among
/// the tags is a destination of its own.
///
/// # Errors
/// A value that isn't a reference or tag (`ErrorKind::Usage`).
pub fn destinations(to: &[String], tags: &[String]) -> Result<(Vec<Reference>, Vec<String>), Error> {
    let mut destinations: Vec<Reference> = references("--to", to)?;
    let mut further = Vec::new();
    // Tags can't contain commas, and other programs separate lists by them.
    for tag in list(tags).iter().flat_map(|word| word.split(',')).map(str::trim).filter(|tag| !tag.is_empty()) {
        let tag = tag.to_owned();
        if is_tag(&tag) {
            further.push(tag);
        } else if tag.contains(['/', ':']) {
            destinations.extend(references("--tags", &[tag])?);
        } else {
            return Err(Error::usage(format!("--tags: `{}` is not a tag", crate::text::printable(&tag, 140))));
        }
    }
    Ok((destinations, further))
}

/// Parses `KEY=VALUE`; the value may be empty and may contain `=`.
///
/// # Errors
/// It has no `=`, or nothing before it (`ErrorKind::Usage`).
pub fn pair(option: &str, word: &str) -> Result<(String, String), Error> {
    match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => {
            let word = crate::text::printable(word, 200);
            Err(Error::usage(format!("{option}: `{word}` is not KEY=VALUE")))
        }
    }
}

/// Parses `KEY=VALUE` of `--annotation`. A level prefix, as accepted by buildx and written by `docker/metadata-action`
/// (`manifest:KEY=VALUE`, `manifest,index:KEY=VALUE`), is removed: the step decides where annotations go.
///
/// # Errors
/// As for [`pair`], and for a level that no step writes (`ErrorKind::Usage`).
pub fn annotation(word: &str) -> Result<(String, String), Error> {
    const LEVELS: [&str; 4] = ["manifest", "index", "manifest-descriptor", "index-descriptor"];
    let (key, value) = pair("--annotation", word)?;
    let Some((levels, rest)) = key.split_once(':') else { return Ok((key, value)) };
    if !levels.split(',').all(|level| LEVELS.contains(&level)) {
        return Ok((key, value));
    }
    if rest.is_empty() || levels.contains("descriptor") {
        let word = crate::text::printable(word, 200);
        return Err(Error::usage(format!("--annotation: `{word}`: only manifests and indexes can be annotated")));
    }
    Ok((rest.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn cleaned(words: &str) -> String {
        let command = crate::cli::Cli::command();
        let words = words.split(' ').map(|word| if word == "''" { String::new() } else { word.to_owned() }).collect();
        without_empty_options(&command, words).join(" ")
    }

    #[test]
    fn an_option_with_an_empty_value_is_not_given() {
        assert_eq!(cleaned("imgstep promote --platform= a b"), "imgstep promote a b");
        assert_eq!(cleaned("imgstep promote a b --if-exists ''"), "imgstep promote a b");
        assert_eq!(cleaned("imgstep promote a b --tags --platform ''"), "imgstep promote a b");
        assert_eq!(cleaned("imgstep promote a b --tags '' v1 --dry-run="), "imgstep promote a b --tags v1");
        assert_eq!(cleaned("imgstep promote a b --dry-run=false -t ''"), "imgstep promote a b --dry-run=false");
        assert_eq!(cleaned("imgstep promote a b -t c --jobs 3 -v"), "imgstep promote a b -t c --jobs 3 -v");
        assert_eq!(cleaned("imgstep promote '' b --unknown="), "imgstep promote  b --unknown=");
    }

    #[test]
    fn a_layer_from_standard_input_is_no_option() {
        assert_eq!(cleaned("imgstep append b --layer a -"), "imgstep append b --layer a -");
        assert_eq!(
            cleaned("imgstep append b --layer a -,mode=0755 c d --to x"),
            "imgstep append b --layer a --layer=-,mode=0755 --layer c d --to x"
        );
        assert_eq!(cleaned("imgstep append b --layer -,owner=1"), "imgstep append b --layer=-,owner=1");
    }

    #[test]
    fn what_a_step_hands_on_is_no_option_of_the_next() {
        fn variables(command: &Command) -> Vec<String> {
            let own = command.get_arguments().map(|arg| variable(arg.get_id().as_str()));
            own.chain(command.get_subcommands().flat_map(variables)).collect()
        }
        let taken = variables(&crate::cli::Cli::command());
        assert!(taken.contains(&"IMGSTEP_IMAGES".to_owned()) && taken.contains(&"IMGSTEP_CI".to_owned()));
        for name in crate::report::values::variable_names() {
            assert!(!taken.contains(&name.to_owned()), "{name}");
        }
    }

    #[test]
    fn levels_of_annotations_come_off() {
        let key = |word: &str| annotation(word).map(|(key, value)| format!("{key} is {value}"));
        assert_eq!(key("org.example.a=b=c").unwrap(), "org.example.a is b=c");
        assert_eq!(key("manifest:org.example.a=b").unwrap(), "org.example.a is b");
        assert_eq!(key("manifest,index:org.example.a=x:y").unwrap(), "org.example.a is x:y");
        assert_eq!(key("com.example:a=b").unwrap(), "com.example:a is b");
        for bad in ["manifest:=b", "index-descriptor:a=b", "manifest,index-descriptor:a=b", "manifest:a"] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_option_has_its_variable() {
        assert_eq!(variable("if_exists"), "IMGSTEP_IF_EXISTS");
        let environment = |variable: &str| match variable {
            "IMGSTEP_SOURCE" => Some("from".to_owned()),
            "IMGSTEP_TAGS" => Some("v1\n\nv2\n".to_owned()),
            "IMGSTEP_DRY_RUN" => Some("true".to_owned()),
            _ => None,
        };
        let command = with_environment(crate::cli::Cli::command(), &environment);
        let matches = command.clone().get_matches_from(["imgstep", "promote", "--to", "a\nb"]);
        let (_, promote) = matches.subcommand().unwrap();
        let values = |id: &str| promote.get_many::<String>(id).unwrap().cloned().collect::<Vec<_>>();
        assert_eq!(values("source"), ["from"]);
        assert_eq!(values("tags"), ["v1", "v2"]);
        assert_eq!(values("to"), ["a\nb"], "a word is one value");
        assert!(promote.get_flag("dry_run"));
        let given = command.get_matches_from(["imgstep", "promote", "given", "--tags", "v3", "--dry-run=false"]);
        let (_, promote) = given.subcommand().unwrap();
        assert_eq!(promote.get_one::<String>("source").unwrap(), "given");
        assert_eq!(promote.get_many::<String>("tags").unwrap().count(), 1);
        assert!(!promote.get_flag("dry_run"));
    }
}
