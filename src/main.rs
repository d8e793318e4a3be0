//! The binary: one subcommand for now.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use imgstep::cli::registry::RegistryCommand;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// A registry, for trials and tests.
    #[command(subcommand)]
    Registry(RegistryCommand),
}

fn main() -> ExitCode {
    let Command::Registry(RegistryCommand::Serve(args)) = Cli::parse().command;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string(), 1),
    };
    match runtime.block_on(imgstep::serve::run(args.options(), &args.command)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => fail(&error.to_string(), error.exit_status() as u8),
    }
}

fn fail(message: &str, status: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::from(status)
}
