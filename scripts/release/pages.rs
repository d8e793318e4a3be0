//! Writes what a release's archives hold beside the program: completions for shells, and manual pages.
//!
//!     cargo run --example pages -- FOLDER
//!
//! It is no part of the program, which users download for each job.

// A tool of this repository alone: it ends at the first thing that isn't as it should be.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate_to};

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("pages FOLDER"));
    let (completions, man) = (folder.join("completions"), folder.join("man"));
    for folder in [&completions, &man] {
        fs::create_dir_all(folder).unwrap();
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut imgstep::cli::Cli::command(), "imgstep", &completions).unwrap();
    }
    let mut command = imgstep::cli::Cli::command().disable_help_subcommand(true);
    command.build();
    pages(&command, "imgstep", &man);
}

/// A page for a command, and one for each below it: imgstep.1, imgstep-promote.1, imgstep-registry-serve.1.
fn pages(command: &Command, name: &str, folder: &Path) {
    let named = command.clone().name(name.to_owned()).display_name(name.to_owned());
    let mut page = Vec::new();
    clap_mangen::Man::new(named).render(&mut page).unwrap();
    fs::write(folder.join(format!("{name}.1")), page).unwrap();
    for step in command.get_subcommands().filter(|step| step.get_name() != "help") {
        pages(step, &format!("{name}-{}", step.get_name()), folder);
    }
}
