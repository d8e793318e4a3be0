//! The settings of the soak test, from the environment and the arguments of `cargo test`.

use std::str::FromStr;
use std::time::Duration;

use crate::faults::Kind;

/// The number of runs.
pub struct Settings {
    /// The first seed; each run increments it.
    pub seed: u64,
    pub runs: u64,
    /// The fault rate, if it should be the same for every run.
    pub rate: Option<f64>,
    /// The kind of fault, if all runs should have the same.
    pub kind: Option<Kind>,
    /// Concurrent runs.
    pub jobs: usize,
    /// No run is started after this time.
    pub limit: Option<Duration>,
}

impl Settings {
    /// `None` if `cargo test` was called for other tests.
    pub fn read() -> Result<Option<Self>, String> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let named = words.iter().filter(|word| !word.starts_with('-'));
        let (mut any, mut ours) = (false, false);
        for word in named {
            any = true;
            ours |= "soak".contains(word.as_str());
        }
        if words.iter().any(|word| word == "--list") || any && !ours {
            return Ok(None);
        }
        let runs = variable("RUNS")?;
        // In `cargo test` a few hundred are enough, and it must take a minute at most.
        let limit = if runs.is_some() { None } else { Some(45) };
        Ok(Some(Self {
            seed: variable("SEED")?.unwrap_or(1),
            runs: runs.unwrap_or(400),
            rate: variable("RATE")?,
            kind: variable("KIND")?,
            jobs: variable("JOBS")?.unwrap_or_else(|| 4 * std::thread::available_parallelism().map_or(2, usize::from)),
            limit: variable("LIMIT")?.or(limit).map(Duration::from_secs),
        }))
    }
}

/// A setting from the environment; none if the variable is missing or empty.
fn variable<T: FromStr>(name: &str) -> Result<Option<T>, String> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text
            .parse()
            .map(Some)
            .map_err(|_| format!("{name}={text} says nothing here; tests/soak/README.md has what does")),
        _ => Ok(None),
    }
}
