//! `imgstep registry serve`: its words.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;

use crate::serve::ServeOptions;

/// A registry, for trials and tests.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum RegistryCommand {
    /// Serves an OCI registry, in memory or from a folder.
    Serve(ServeArgs),
}

/// Serves an OCI registry, in memory or from a folder.
///
/// With a COMMAND it is served while the command runs, which finds it as `$IMGSTEP_REGISTRY`; the exit status is the
/// command's. Without one it is served until `SIGINT` or `SIGTERM`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  imgstep registry serve
  imgstep registry serve --address 0.0.0.0:5000 --storage ./images
  imgstep registry serve -- \\
    sh -c 'imgstep promote alpine $IMGSTEP_REGISTRY/alpine'")]
pub struct ServeArgs {
    /// Where to listen, `host:port`, or a port alone; port 0 takes one that is free [default: 127.0.0.1:5000, or 127.0.0.1:0 with a
    /// COMMAND].
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// The folder that keeps everything, made if there is none; without it, everything is kept in memory.
    #[arg(long, value_name = "DIR")]
    pub storage: Option<OsString>,
    /// Refuse every write.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        hide_default_value = true,
        hide_possible_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub read_only: bool,
    /// A command to run beside the registry, with its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

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
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn parse(words: &[&str]) -> ServeArgs {
        Cli::try_parse_from([&["x"], words].concat()).unwrap().serve
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
        assert!(Cli::try_parse_from(["x", "--read-only=maybe"]).is_err());
    }

    #[test]
    fn the_command_may_have_options_of_its_own() {
        let args = parse(&["--read-only", "--", "sh", "-c", "--address"]);
        assert_eq!(args.command, ["sh", "-c", "--address"]);
        assert!(args.read_only && args.address.is_none());
    }
}
