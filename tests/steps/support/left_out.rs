//! What tests leave out on this machine. Cargo counts such a test as passed, so each of them says so in a file, which
//! `tests/run.sh` shows behind the last test.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::thread;

/// Something is not on this machine: what that means is told. It is a failure under `CI=true`.
#[track_caller]
pub fn left_out(what: &str, consequence: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{what}: not here: {consequence}");
    told(what, consequence);
}

/// The same, for what no test may ask of a machine: never a failure.
pub fn told(what: &str, consequence: &str) {
    eprintln!("{what}: not here: {consequence}");
    let Some(file) = env::var_os("LEFT_OUT").filter(|file| !file.is_empty()) else { return };
    // Each test has a thread of its own, by its name.
    let thread = thread::current();
    let line = format!("{}: {what}: not here: {consequence}\n", thread.name().unwrap_or("a test"));
    // One write, since other tests write too.
    OpenOptions::new().append(true).create(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
}
