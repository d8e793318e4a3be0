//! `imgstep man`: manual pages, in the language of man(7).

use std::io;

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;

use super::{Cli, help};
use crate::error::{Error, Result};
use crate::text::printable;

/// Arguments of `man`.
#[derive(Debug, Clone, Args)]
#[command(before_long_help = EXAMPLES)]
pub struct ManArgs {
    /// Step, such as `promote` or `registry serve`
    ///
    /// Without a step, the page is that of imgstep itself.
    #[arg(value_name = "STEP")]
    pub step: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  imgstep man | man -l -
  imgstep man promote | man -l -
  imgstep man registry serve >imgstep-registry-serve.1";

/// The page of a step, or of imgstep itself if `step` is empty.
///
/// # Errors
/// There is no such step (`ErrorKind::Usage`).
pub fn page(step: &[String]) -> Result<String> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut found = &command;
    for name in step {
        found = found.find_subcommand(name).ok_or_else(|| unknown(found, name))?;
    }
    render(found).map_err(Error::system("render the page"))
}

/// The names of all pages: none for imgstep itself, then those of its steps.
pub fn names() -> Vec<Vec<String>> {
    fn below(command: &Command, name: &[String], names: &mut Vec<Vec<String>>) {
        names.push(name.to_vec());
        for step in command.get_subcommands() {
            below(step, &[name, &[step.get_name().to_owned()]].concat(), names);
        }
    }
    let mut names = Vec::new();
    below(&Cli::command(), &[], &mut names);
    names
}

fn unknown(command: &Command, name: &str) -> Error {
    let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    let name = printable(name, 60);
    if names.is_empty() {
        return Error::usage(format!("`{}` has no step `{name}`", command.get_name()));
    }
    Error::usage(format!("there is no step `{name}`; write one of {}", names.join(", ")))
}

fn render(command: &Command) -> io::Result<String> {
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if let Some(examples) = command.get_before_long_help() {
        literal("EXAMPLES", &examples.to_string(), &mut page);
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    man.render_options_section(&mut page)?;
    literal("EXIT STATUS", help::EXIT_STATUS, &mut page);
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// A section whose lines stay as they are; the first one, its heading in a help text, is left out.
fn literal(title: &str, text: &str, page: &mut Vec<u8>) {
    let mut section = format!(".SH {}\n.nf\n", title.replace(' ', "\\ "));
    for line in text.lines().skip(1) {
        // A dot or an apostrophe at its beginning would make a line a command.
        let line = line.strip_prefix("  ").unwrap_or(line).replace('\\', "\\e").replace('-', "\\-");
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        section.push_str(guard);
        section.push_str(&line);
        section.push('\n');
    }
    section.push_str(".fi\n");
    page.extend(section.into_bytes());
}
