//! The program: words in, an exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    imgstep::app::main(std::env::args_os())
}
