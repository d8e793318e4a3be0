//! What all help texts have in common: their layout, and attributes that follow from the kind of an option's value.

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command, ValueHint};

/// Examples stand between usage and options: clap calls the place `before-help`.
pub const TEMPLATE: &str = "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}{all-args}{after-help}";

/// The exit statuses of every step.
pub const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  failed
  2  wrong command line
  3  refused by a guard; nothing was written
  4  credentials were refused
  5  the source doesn't exist
  6  transient registry or network error; retrying may help";

/// Completes the definition of a step, and of those below it.
#[must_use]
pub fn finish(step: Command) -> Command {
    step.help_template(TEMPLATE).mut_args(by_value_name).mut_subcommands(finish)
}

/// `--name`, `--name=true` or `--name=false`; what a shell offers for files and folders.
fn by_value_name(arg: Arg) -> Arg {
    let name = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    match name.as_deref() {
        Some("BOOL") => boolean(arg),
        Some("DIR") => arg.value_hint(ValueHint::DirPath),
        Some("FILE" | "KEY=FILE" | "LAYER") => arg.value_hint(ValueHint::FilePath),
        Some("COMMAND") => arg.value_hint(ValueHint::CommandWithArguments),
        _ => arg,
    }
}

/// An option without a value is true. Without the option it is false, unless its field is an `Option`.
fn boolean(arg: Arg) -> Arg {
    let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
    let arg = if is_flag { arg.action(ArgAction::Set).default_value("false") } else { arg };
    arg.num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .hide_default_value(true)
        .hide_possible_values(true)
        .value_parser(BoolishValueParser::new())
}

/// The whole help of an option or argument as running text, for what is generated from it: pages, params, inputs.
pub fn description(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let paragraphs = help.split("\n\n").map(|paragraph| {
        let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if paragraph.ends_with(['.', ':']) { paragraph } else { paragraph + "." }
    });
    let mut text = paragraphs.collect::<Vec<_>>().join(" ");
    if is_boolean(arg) {
        text.push_str(" `true` or `false`.");
        return text;
    }
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({})", value.get_name(), lower_first(&help.to_string())),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    match values.split_last() {
        Some((last, rest)) if !rest.is_empty() => text + &format!(" One of {} or {last}.", rest.join(", ")),
        _ => text,
    }
}

/// Whether an option is true or false.
pub fn is_boolean(arg: &Arg) -> bool {
    arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "BOOL"))
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().collect::<String>() + letters.as_str())
}
