//! Command-line arguments of `registry serve`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::serve::ServeOptions;

/// Commands of `imgstep registry`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum RegistryCommand {
    /// Serve an OCI registry from memory or from a folder
    ///
    /// With a COMMAND, the registry runs as long as the command, which finds it in $IMGSTEP_REGISTRY; the exit status
    /// is the command's. Without one, it runs until SIGINT or SIGTERM.
    ///
    /// It has no authentication: use it for experiments and tests.
    Serve(ServeArgs),
}

/// Arguments of `registry serve`.
#[derive(Debug, Clone, clap::Args)]
#[command(before_long_help = EXAMPLES)]
pub struct ServeArgs {
    /// Address to listen on: `host:port`, or a port; port 0 picks a free one
    ///
    /// [default: 127.0.0.1:5000, or 127.0.0.1:0 with a COMMAND]
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// Folder to store everything in, created if missing [default: memory]
    #[arg(long, value_name = "DIR")]
    pub storage: Option<OsString>,
    /// Refuse all writes
    #[arg(long, value_name = "BOOL")]
    pub read_only: bool,
    /// Command to run while the registry is up, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  imgstep registry serve
  imgstep registry serve --address 0.0.0.0:5000 --storage ./images
  imgstep registry serve -- \\
    sh -c 'imgstep promote alpine $IMGSTEP_REGISTRY/alpine'";

impl ServeArgs {
    /// What is to be served. An option with an empty value is one not given.
    pub fn options(&self) -> ServeOptions {
        ServeOptions {
            address: self.address.clone().filter(|address| !address.is_empty()).map(|address| with_host(&address)),
            storage: self.storage.as_ref().filter(|storage| !storage.is_empty()).map(PathBuf::from),
            read_only: self.read_only,
        }
    }
}

/// An address to listen on; a port alone (`7006`, `:7006`) is one of this machine's own.
fn with_host(address: &str) -> String {
    let port = address.strip_prefix(':').unwrap_or(address);
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("127.0.0.1:{port}");
    }
    address.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Step};
    use clap::Parser as _;

    fn parse(words: &[&str]) -> ServeArgs {
        match Cli::try_parse_from([&["imgstep", "registry", "serve"], words].concat()).unwrap().step {
            Step::Registry(RegistryCommand::Serve(args)) => args,
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn empty_options_are_not_given() {
        let options = parse(&["--address=", "--storage="]).options();
        assert!(options.address.is_none() && options.storage.is_none() && !options.read_only);
    }

    #[test]
    fn a_port_alone_is_one_of_the_loopback() {
        for (word, address) in [("7006", "127.0.0.1:7006"), (":7006", "127.0.0.1:7006"), ("[::1]:0", "[::1]:0")] {
            assert_eq!(parse(&["--address", word]).options().address.as_deref(), Some(address));
        }
    }

    #[test]
    fn booleans_with_and_without_a_value() {
        assert!(parse(&["--read-only"]).read_only);
        assert!(parse(&["--read-only=true"]).read_only);
        assert!(!parse(&["--read-only=false"]).read_only);
        assert!(Cli::try_parse_from(["imgstep", "registry", "serve", "--read-only=maybe"]).is_err());
    }

    #[test]
    fn the_command_may_have_options_of_its_own() {
        let args = parse(&["--read-only", "--", "sh", "-c", "--address"]);
        assert_eq!(args.command, ["sh", "-c", "--address"]);
        assert!(args.read_only && args.address.is_none());
    }
}
