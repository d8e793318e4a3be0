//! `imgstep completion`: scripts that let a shell complete steps and options.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;

/// Arguments of `completion`.
#[derive(Debug, Clone, Args)]
#[command(before_long_help = EXAMPLES)]
pub struct CompletionArgs {
    /// Shell to print a script for
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  . <(imgstep completion bash)
  imgstep completion zsh >~/.zfunc/_imgstep
  imgstep completion fish >~/.config/fish/completions/imgstep.fish";

/// The script for a shell.
pub fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "imgstep", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
