//! The built-in registry: serves the OCI distribution specification from memory or from a folder.
//!
//! A request goes `server` ▶ `dispatch` ▶ one of the handlers (`blobs`, `uploads`, `manifests`, `listings`) ▶ `storage`.
//! It shares no code with the client in `crate::registry`, so that each can be tested against the other.

mod answer;
mod blobs;
mod body;
mod command;
mod dispatch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod listings;
mod manifests;
mod range;
mod routes;
mod server;
mod sessions;
mod storage;
mod uploads;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use self::sessions::Sessions;
use self::storage::Storage;
use crate::error::{Error, Result, Signal};
use crate::signals::Signals;

pub use self::server::{Server, start};

/// The default address.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:5000";
/// The default address with a command: any free port.
pub const DEFAULT_ADDRESS_FOR_COMMAND: &str = "127.0.0.1:0";

/// What to serve, and where.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// `host:port`; port 0 picks a free port.
    pub address: Option<String>,
    /// The storage folder; in memory if `None`.
    pub storage: Option<PathBuf>,
    /// Whether to reject all writes.
    pub read_only: bool,
}

/// State shared by the handlers.
struct Registry {
    storage: Storage,
    sessions: Sessions,
    read_only: bool,
}

/// Serves while `command` runs and returns its exit status, 128 + n where signal n ended it. Without a command, prints
/// the address on standard error, serves until `SIGINT` or `SIGTERM`, and returns 130 or 143.
///
/// # Errors
/// An address or a folder that can't be used, or a command that can't be started.
pub async fn run(options: ServeOptions, command: &[OsString]) -> Result<u8> {
    let mut signals = Signals::listen()?;
    let default = if command.is_empty() { DEFAULT_ADDRESS } else { DEFAULT_ADDRESS_FOR_COMMAND };
    let place = match &options.storage {
        Some(folder) => format!("the folder {}", folder.display()),
        None => "memory".to_owned(),
    };
    let is_read_only = options.read_only;
    let read_only = if is_read_only { ", read-only" } else { "" };
    let server =
        start(ServeOptions { address: Some(options.address.unwrap_or_else(|| default.to_owned())), ..options }).await?;
    if server.left_out() > 0 {
        say(&format!("{} damaged entries of {place} are left out", server.left_out()));
    }
    let status = if command.is_empty() {
        say(&format!("serving {} from {place}{read_only}", server.address()));
        if !is_read_only {
            say(&first_command(server.address()));
        }
        match signals.next().await {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    } else {
        command::run(command, server.address(), &mut signals).await?
    };
    server.stop().await;
    Ok(status)
}

/// A first command to try, as another process on this machine would run it.
fn first_command(address: std::net::SocketAddr) -> String {
    let address = match address.ip() {
        ip if ip.is_unspecified() => format!("localhost:{}", address.port()),
        _ => address.to_string(),
    };
    format!("try `imgstep promote alpine:3.20 {address}/alpine:3.20`")
}

/// Prints a line on standard error. A failure to print is no reason to stop.
fn say(line: &str) {
    let line = crate::text::printable(line, 2000);
    let _ = writeln!(std::io::stderr(), "imgstep: {line}");
}

/// The error for an address that can't be bound.
fn bind_error(address: &str, error: std::io::Error) -> Error {
    Error::system(format!("can't listen on {}", crate::text::printable(address, 200)))(error)
}
