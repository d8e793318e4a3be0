//! The outcome of all runs: counts by kind of trouble and by case.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::judge::{Outcome, Verdict};
use crate::plan::Plan;
use crate::settings::Settings;

/// The counts.
#[derive(Default)]
pub struct Table {
    by_trouble: BTreeMap<String, Line>,
    by_case: BTreeMap<String, Line>,
    /// Runs that had to succeed but didn't.
    missed: usize,
    all: Line,
}

/// The outcomes of some of the runs.
#[derive(Default)]
struct Line {
    outcomes: BTreeMap<Outcome, usize>,
    times: Vec<Duration>,
}

impl Table {
    pub fn add(&mut self, plan: &Plan, verdict: &Verdict, time: Duration) {
        let lines = [
            self.by_trouble.entry(plan.line()).or_default(),
            self.by_case.entry(plan.case.name().to_owned()).or_default(),
            &mut self.all,
        ];
        for line in lines {
            *line.outcomes.entry(verdict.outcome).or_default() += 1;
            line.times.push(time);
        }
        self.missed += usize::from(plan.must_succeed() && !verdict.outcome.is_right());
    }

    pub fn runs(&self) -> usize {
        self.all.times.len()
    }

    /// Whether no run had an outcome that must never occur, and every run succeeded that had to.
    pub fn is_good(&self) -> bool {
        self.missed == 0 && !self.all.outcomes.keys().any(|outcome| outcome.is_wrong())
    }

    pub fn text(&self, settings: &Settings, time: Duration) -> String {
        let runs = self.runs();
        let mut text = format!(
            "\nsoak: {runs} runs from seed {}, {} at a time, in {} s{}\n\n",
            settings.seed,
            settings.jobs,
            time.as_secs(),
            if (runs as u64) < settings.runs { format!(" (of {}: time was up)", settings.runs) } else { String::new() },
        );
        self.part(&mut text, "what happened", &self.by_trouble);
        self.part(&mut text, "step", &self.by_case);
        let _ = if self.is_good() {
            writeln!(text, "no wrong state; every run whose faults pass, at most 10 % of them, succeeded")
        } else {
            writeln!(text, "NOT GOOD: see the seeds above ({} runs should have succeeded)", self.missed)
        };
        text
    }

    fn part(&self, text: &mut String, name: &str, lines: &BTreeMap<String, Line>) {
        let heads: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.name()).collect();
        let _ = writeln!(text, "| {name} | runs | {} | median s | p99 s |", heads.join(" | "));
        let _ = writeln!(text, "|---|{}", "--:|".repeat(heads.len() + 3));
        for (name, line) in lines {
            let _ = writeln!(text, "{}", line.text(name));
        }
        let _ = writeln!(text, "{}\n", self.all.text("**all**"));
    }
}

impl Line {
    fn text(&self, name: &str) -> String {
        let mut times = self.times.clone();
        times.sort();
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
        let seconds = |share| at(share).map_or(0.0, Duration::as_secs_f64);
        let counts: Vec<String> =
            Outcome::ALL.iter().map(|outcome| self.outcomes.get(outcome).unwrap_or(&0).to_string()).collect();
        format!("| {name} | {} | {} | {:.1} | {:.1} |", times.len(), counts.join(" | "), seconds(50), seconds(99))
    }
}

/// Saves what was observed in a run; returns where.
pub fn keep(plan: &Plan, verdict: &Verdict) -> PathBuf {
    let path = folder().join(format!("seed-{}.txt", plan.seed));
    let text = format!("{plan}\n{}: {}\n\n{}", verdict.outcome.name(), verdict.reason, verdict.evidence);
    fs::write(&path, text).unwrap();
    path
}

/// Saves the tables.
pub fn write(text: &str) {
    fs::write(folder().join("RESULTS.md"), text).unwrap();
}

fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("soak");
    fs::create_dir_all(&folder).unwrap();
    folder
}
