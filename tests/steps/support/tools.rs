//! Tools of other people, who have to agree with us.

use std::process::Command;

/// Runs a tool of somebody else's, if it is on this machine.
pub fn other_tool(words: &[&str]) -> Option<String> {
    let output = Command::new("timeout").arg("60").args(words).output().ok()?;
    if output.status.code() == Some(127) {
        eprintln!("{} is not installed: the test runs without it", words[0]);
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

/// Something is not on this machine: what that means is said, and is a failure under `CI=true`.
pub fn left_out(what: &str, consequence: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what}: not here");
    eprintln!("{what}: not here: {consequence}");
}

/// Whether a tool that every Debian has or can install is here. Where CI=true, it must be.
pub fn debian_tool(program: &str) -> bool {
    let is_here = Command::new(program).arg("--version").output().is_ok();
    assert!(is_here || std::env::var("CI").as_deref() != Ok("true"), "{program} is not installed");
    if !is_here {
        eprintln!("{program} is not installed: the test runs without it");
    }
    is_here
}

/// Whether the tests run as root, who may read everything.
pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}
