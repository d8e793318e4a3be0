//! Ignore patterns, and paths to match against them.

use super::assert_one_line;
use crate::layer::dockerignore::DockerPatterns;
use crate::layer::ignore::Patterns;

/// Patterns up to the first NUL, then paths, one a line. Matching must be fast: the fuzzer and the tests watch the
/// time.
pub fn run(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else { return };
    let patterns = match Patterns::parse(text) {
        Ok(patterns) => patterns,
        Err(error) => return assert_one_line(&error),
    };
    let docker = DockerPatterns::parse(text).map_err(|error| assert_one_line(&error)).ok();
    for path in bytes.get(end + 1..).unwrap_or_default().split(|byte| *byte == b'\n').take(16) {
        if let Some(docker) = &docker {
            let _ = (docker.exclude(path, &[]), docker.take_in_below(path));
        }
        let folder = patterns.decide(path, true);
        let file = patterns.decide(path, false);
        // Only patterns with a trailing slash distinguish folders from files.
        assert!(folder == file || text.contains('/'), "{text:?}");
    }
}
