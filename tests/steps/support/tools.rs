//! Third-party tools whose results must agree with ours.

use std::process::Command;

pub use super::missing::{missing, missing_optional};

/// Runs a third-party tool, if it is installed.
pub fn other_tool(words: &[&str]) -> Option<String> {
    let output = Command::new("timeout").arg("60").args(words).output().ok()?;
    if output.status.code() == Some(127) {
        missing_optional(words[0], "its result is not compared");
        return None;
    }
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program is on the PATH.
pub fn is_here(program: &str) -> bool {
    let looked = Command::new("sh").args(["-c", "command -v \"$0\" >/dev/null", program]).status();
    looked.is_ok_and(|status| status.success())
}

/// Whether a tool that Debian has or can install is here. Under `CI=true` it must be.
pub fn debian_tool(program: &str) -> bool {
    let is_here = Command::new(program).arg("--version").output().is_ok();
    if !is_here {
        missing(program, "its result is not compared");
    }
    is_here
}

/// Whether the tests run as root, who can read everything.
pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}
