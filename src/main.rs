//! The program: words in, an exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    imgstep::cli::run::main(std::env::args_os())
}
