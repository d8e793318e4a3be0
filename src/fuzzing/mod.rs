//! Fuzz targets (`fuzz/`): for each parser of untrusted input, a function that takes any bytes and panics if an
//! invariant doesn't hold. Not part of the program: built for the fuzzer, and for the tests, which run it on all saved
//! inputs.

use crate::text::printable;

pub mod bundle;
pub mod challenge;
pub mod docker_config;
pub mod headers;
pub mod ignore;
pub mod layer_spec;
pub mod manifest;
pub mod platform;
pub mod reference;
pub mod serve;
pub mod tar;

/// A target and its name in `fuzz/`.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 11] = [
    ("bundle", bundle::run),
    ("challenge", challenge::run),
    ("docker_config", docker_config::run),
    ("headers", headers::run),
    ("ignore", ignore::run),
    ("layer_spec", layer_spec::run),
    ("manifest", manifest::run),
    ("platform", platform::run),
    ("reference", reference::run),
    ("serve", serve::run),
    ("tar", tar::run),
];

/// The bytes before and after the first newline.
fn first_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    end.map_or((bytes, &[]), |end| (&bytes[..end], &bytes[end + 1..]))
}

/// Asserts that a text is harmless to a terminal and to a CI log.
fn assert_harmless(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// Asserts that an error is one harmless line.
fn assert_one_line(error: &impl std::fmt::Display) {
    let text = error.to_string();
    assert!(!text.is_empty());
    assert_eq!(printable(&text, usize::MAX), text);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::TARGETS;

    /// The saved inputs of a target: seeds, and inputs that once failed.
    fn kept(target: &str) -> Vec<std::path::PathBuf> {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let folders = ["seeds", "regressions"].map(|kind| fuzz.join(kind).join(target));
        let files = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        files.map(|entry| entry.path()).collect()
    }

    #[test]
    fn what_the_fuzzer_found_is_found_no_more() {
        for (name, run) in TARGETS {
            let files = kept(name);
            assert!(!files.is_empty(), "fuzz/seeds/{name} is empty");
            for file in files {
                let begun = Instant::now();
                let bytes = fs::read(&file).unwrap();
                assert!(std::panic::catch_unwind(|| run(&bytes)).is_ok(), "{}", file.display());
                // This once took minutes; without optimisation and on a busy machine it takes far less than this.
                assert!(begun.elapsed() < Duration::from_secs(20), "{} took {:?}", file.display(), begun.elapsed());
            }
        }
    }

    #[test]
    fn every_target_is_built_for_the_fuzzer() {
        let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "fuzz/Cargo.toml has no {name}");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    }
}
