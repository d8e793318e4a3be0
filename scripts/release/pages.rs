//! Writes what a release's archives contain next to the binary: completions for shells, and manual pages.
//!
//!     cargo run --example pages -- FOLDER
//!
//! They are what `imgstep completion` and `imgstep man` print, for packages that install them.

// Only a tool of this repository: it stops at the first error.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use clap_complete::{Generator as _, Shell};
use imgstep::cli::{completion, man};

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("usage: pages FOLDER")?);
    let (completions, pages) = (folder.join("completions"), folder.join("man"));
    for folder in [&completions, &pages] {
        fs::create_dir_all(folder)?;
    }
    for shell in Shell::value_variants() {
        fs::write(completions.join(shell.file_name("imgstep")), completion::script(*shell))?;
    }
    for step in man::names() {
        let name = [&["imgstep".to_owned()], step.as_slice()].concat().join("-");
        fs::write(pages.join(format!("{name}.1")), man::page(&step)?)?;
    }
    Ok(())
}
