//! Runs a command next to the registry, and handles the signals that end both.

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use tokio::process::Command;

use crate::error::{Error, Result, Signal};
use crate::signals::Signals;
use crate::text::printable;

/// The environment variable with the registry's `host:port` for the command.
pub(super) const ADDRESS_VARIABLE: &str = "IMGSTEP_REGISTRY";

/// Runs a command until it exits, forwarding signals to it.
///
/// # Errors
/// The command can't be started.
pub(super) async fn run(command: &[OsString], address: SocketAddr, signals: &mut Signals) -> Result<u8> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::usage("there is no command to run"));
    };
    let name = printable(&program.to_string_lossy(), 200);
    let mut child = Command::new(program)
        .args(arguments)
        .env(ADDRESS_VARIABLE, reachable(address).to_string())
        .kill_on_drop(true)
        .spawn()
        .map_err(Error::system(format!("can't run `{name}`")))?;
    // Empty once the command has been reaped, so that no signal can reach another process with the same PID.
    let pid = child.id();
    loop {
        tokio::select! {
            ended = child.wait() => {
                return ended.map(exit_status).map_err(Error::system(format!("can't wait for `{name}`")));
            }
            signal = signals.next() => pass_on(pid, signal),
        }
    }
}

/// Sends a signal to the command. If it has just exited, that is fine.
fn pass_on(pid: Option<u32>, signal: Signal) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    let signal = match signal {
        Signal::Interrupt => rustix::process::Signal::INT,
        Signal::Terminate => rustix::process::Signal::TERM,
    };
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The exit status as shells report it.
fn exit_status(status: ExitStatus) -> u8 {
    let status = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    status.and_then(|status| u8::try_from(status).ok()).unwrap_or(1)
}

/// The address for local clients of a server that listens on every address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_a_shell() {
        assert_eq!(exit_status(ExitStatus::from_raw(0)), 0);
        assert_eq!(exit_status(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_status(ExitStatus::from_raw(15)), 143);
    }

    #[test]
    fn every_address_is_reached_by_loopback() {
        let reach = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(reach("[::]:80"), "[::1]:80");
        assert_eq!(reach("10.0.0.1:80"), "10.0.0.1:80");
    }
}
