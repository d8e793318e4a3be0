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
