//! Tests skipped on this machine. Cargo counts such a test as passed, so each of them records it in a file that
//! `tests/run.sh` prints after the last test.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::thread;

/// Records that something is missing on this machine, and what that means. Under `CI=true` it is a failure.
#[track_caller]
pub fn missing(what: &str, consequence: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{what}: missing: {consequence}");
    missing_optional(what, consequence);
}

/// The same, for what no test may require of a machine: never a failure.
pub fn missing_optional(what: &str, consequence: &str) {
    eprintln!("{what}: missing: {consequence}");
    let Some(file) = env::var_os("SKIPPED_TESTS").filter(|file| !file.is_empty()) else { return };
    // Each test has its own thread, named after it.
    let thread = thread::current();
    let line = format!("{}: {what}: missing: {consequence}\n", thread.name().unwrap_or("a test"));
    // One write, because other tests write too.
    OpenOptions::new().append(true).create(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
}
