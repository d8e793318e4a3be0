//! Runs the binary in a terminal of its own, as a person sees it.

use std::process::{Command, Stdio};

use super::folder::Folder;
use super::terminal::Terminal;
use super::tools::{is_here, missing, missing_optional};

/// The terminal's size in columns and rows.
pub const SIZE: (usize, usize) = (80, 24);

/// The result: everything that was written, and what is visible at the end.
pub struct Seen {
    pub written: String,
    pub rows: Vec<String>,
}

/// Runs it in a terminal with `script`; `None`, with a note, if that isn't installed.
pub fn on_terminal(words: &[&str]) -> Option<Seen> {
    if !cfg!(target_os = "linux") {
        missing_optional("Linux's `script`", "the terminal output is not tested");
        return None;
    }
    if !is_here("script") {
        missing("script", "the terminal output is not tested");
        return None;
    }
    let folder = Folder::new();
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let output = Command::new("script")
        .args(["-qec", &format!("stty cols 80 rows 24; {} {}", env!("CARGO_BIN_EXE_imgstep"), quoted.join(" "))])
        .arg("/dev/null")
        .env_clear()
        .env("HOME", folder.path())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words:?}: {written}");
    let rows = Terminal::of(&written, SIZE).text();
    Some(Seen { written, rows })
}
