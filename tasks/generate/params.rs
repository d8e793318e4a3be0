//! The params of a Task: the options of its step, read from the command line's own definition.

use clap::builder::ValueRange;
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use imgstep::cli::{Cli, help};

use crate::steps::{EXCEPTIONS, Step};

/// One param.
pub struct Param {
    pub name: String,
    /// The option, which has the same name unless a terminal needs another one.
    pub option: String,
    pub description: String,
    pub default: Default,
    /// How its value is passed to the binary.
    pub way: Way,
}

/// A param's type and default value.
pub enum Default {
    /// A string.
    Text(String),
    /// An array, empty by default.
    List,
    /// A required string.
    RequiredText,
    /// A required array.
    RequiredList,
}

/// How a value is passed to the binary, so that it can never become an option.
#[derive(PartialEq, Eq)]
pub enum Way {
    /// `--name=VALUE`; nothing if empty.
    Option,
    /// `--name VALUE VALUE…`; nothing if there are none.
    ListOption,
    /// `IMGSTEP_NAME=VALUE`: several lines are several values, for options that take one for each platform.
    Environment,
    /// After `--`.
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

/// The name of an option or argument.
pub fn name(arg: &Arg) -> String {
    arg.get_long().map_or_else(|| arg.get_id().as_str().replace('_', "-"), str::to_owned)
}

/// The params of a step: required ones first, then the rest in the order of `--help`.
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
    Param { description: own.unwrap_or_else(|| description(arg, &way)), name, option, default, way }
}

fn description(arg: &Arg, way: &Way) -> String {
    // An option that can be repeated becomes a param with several lines.
    const REPEATED: &str =
        " Options that take one value can be repeated: once for all platforms, and once for each platform.";
    let text = help::description(arg).replace(REPEATED, "");
    if *way == Way::Environment {
        return text + " One value for all platforms, and one `[os/arch]VALUE` per line for single platforms.";
    }
    text
}
