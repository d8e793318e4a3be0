//! The params of a Task: the options of its step, read from the command line's own definition.

use clap::builder::ValueRange;
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use imgstep::cli::Cli;

use crate::steps::{EXCEPTIONS, Step};

/// One param.
pub struct Param {
    pub name: String,
    /// The option, which has the same name but where one word says it better to people at a terminal.
    pub option: String,
    pub description: String,
    pub default: Default,
    /// How its value reaches the binary.
    pub way: Way,
}

/// A param's type, and its value where none is given.
pub enum Default {
    /// A string.
    Text(String),
    /// An array: of none.
    List,
    /// A string that must be given.
    RequiredText,
    /// An array that must be given.
    RequiredList,
}

/// How a value reaches the binary, so that it is a value whatever is in it.
#[derive(PartialEq, Eq)]
pub enum Way {
    /// `--name=VALUE`; nothing if empty.
    Option,
    /// `--name VALUE VALUE…`; nothing if there are none.
    ListOption,
    /// `IMGSTEP_NAME=VALUE`: several lines are several values, as for options that take one for each platform.
    Environment,
    /// Behind `--`.
    Word,
}

impl Param {
    pub fn is_list(&self) -> bool {
        matches!(self.default, Default::List | Default::RequiredList)
    }
}

/// The command of a step.
pub fn command(step: &Step) -> Command {
    let command = Cli::command();
    command.find_subcommand(step.name).unwrap_or_else(|| panic!("there is no step `{}`", step.name)).clone()
}

/// The name of an option, or of a word on the command line.
pub fn name(arg: &Arg) -> String {
    arg.get_long().map_or_else(|| arg.get_id().as_str().replace('_', "-"), str::to_owned)
}

/// The params of a step: what must be given first, then the rest as `--help` has it.
pub fn of(step: &Step) -> Vec<Param> {
    let command = command(step);
    let is_exception = |name: &str| EXCEPTIONS.iter().chain(step.exceptions).any(|(option, _)| *option == name);
    let mut params: Vec<Param> = command
        .get_arguments()
        .filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
        .filter(|arg| !is_exception(&name(arg)))
        .map(|arg| param(arg, step))
        .collect();
    params.sort_by_key(|param| {
        let place = step.required.iter().position(|required| *required == param.name);
        place.unwrap_or(if param.way == Way::Word { step.required.len() } else { usize::MAX })
    });
    params
}

fn param(arg: &Arg, step: &Step) -> Param {
    let option = name(arg);
    let name = imgstep::cli::strict::param_of(&option).to_owned();
    let many = arg.get_num_args().is_some_and(|range: ValueRange| range.max_values() > 1)
        || (arg.is_positional() && matches!(arg.get_action(), ArgAction::Append));
    let is_bool = arg.is_require_equals_set() && !many;
    let is_required = step.required.contains(&name.as_str());
    let default = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).next();
    let default = match (many, is_required) {
        (true, true) => Default::RequiredList,
        (true, false) => Default::List,
        (false, true) => Default::RequiredText,
        (false, false) => Default::Text(default.unwrap_or_default()),
    };
    let way = match arg.get_action() {
        _ if arg.is_positional() => Way::Word,
        ArgAction::Append if many => Way::ListOption,
        ArgAction::Append => Way::Environment,
        _ => Way::Option,
    };
    let own = step.descriptions.iter().find(|(of, _)| *of == name).map(|(_, text)| (*text).to_owned());
    Param { description: own.unwrap_or_else(|| description(arg, is_bool, &way)), name, option, default, way }
}

fn description(arg: &Arg, is_bool: bool, way: &Way) -> String {
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
    // The command line speaks of options; here they are params.
    text = text.replace("each behind its own `--entrypoint`", "each on a line of its own").replace('\n', " ");
    if !text.ends_with('.') {
        text.push('.');
    }
    let possible: Vec<String> = if is_bool {
        vec!["true".to_owned(), "false".to_owned()]
    } else {
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
    };
    if !possible.is_empty() {
        text = format!("{text} One of: {}.", possible.join(", "));
    }
    if *way == Way::Environment {
        text.push_str(" One value for all platforms; further lines, `[os/arch]VALUE`, for some.");
    }
    text
}
