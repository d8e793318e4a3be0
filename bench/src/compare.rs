//! Runs a job: in each scenario, all tools in turn, each from the same state, each result checked once.

use anyhow::Result;

use std::thread;
use std::time::Duration;

use crate::files::Files;
use crate::jobs::{Job, Scenario};
use crate::measure::{Environment, Run, median};
use crate::profile::{self, Profile};
use crate::test_bed::{Counts, TestBed};
use crate::tools::{InstalledTool, Tool, ToolCommand, commands};
use crate::work::{Locations, Work};

/// Runs of a command that takes a millisecond.
const STARTS: usize = 100;
/// Seconds. A tool that takes longer isn't run with a longer round trip.
const TOO_SLOW: f64 = 7.0;

/// The result of one command in a scenario.
#[derive(Debug)]
pub struct Outcome {
    pub command: ToolCommand,
    /// All timed runs; empty if the command failed.
    pub runs: Vec<Run>,
    /// Counts of the first run.
    pub counts: Counts,
    /// The size of the new layer.
    pub layer: Option<u64>,
    pub failure: Option<String>,
}

#[derive(Debug)]
pub struct ScenarioResult {
    pub scenario: Scenario,
    pub outcomes: Vec<Outcome>,
    /// Tools that weren't run, and why.
    pub skipped: Vec<(&'static str, String)>,
    /// Where imgstep's time goes, or why that isn't known; only in some scenarios.
    pub profile: Option<Result<Profile, String>>,
}

#[derive(Debug)]
pub struct JobResult {
    pub job: Job,
    pub measured: Vec<ScenarioResult>,
    /// Scenarios that could not be set up, and why.
    pub left_out: Vec<(String, String)>,
}

impl Outcome {
    pub fn wall(&self) -> f64 {
        median(&self.runs.iter().map(|run| run.wall).collect::<Vec<_>>())
    }

    pub fn cpu(&self) -> f64 {
        median(&self.runs.iter().map(|run| run.cpu).collect::<Vec<_>>())
    }

    /// In bytes; NaN if unknown.
    pub fn memory(&self) -> f64 {
        median(&self.runs.iter().filter_map(|run| run.memory).map(|bytes| bytes as f64).collect::<Vec<_>>())
    }

    pub fn done(&self) -> bool {
        self.failure.is_none() && !self.runs.is_empty()
    }
}

impl ScenarioResult {
    pub fn of(&self, label: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.done() && outcome.command.label == label)
    }

    /// The first row of a tool.
    pub fn of_tool(&self, name: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.done() && outcome.command.tool.name() == name)
    }
}

/// Why a tool isn't run in a scenario that it supports: it was slow with a shorter round trip.
fn skip_reason(scenario: &Scenario, tool: Tool, earlier: &[ScenarioResult]) -> Option<String> {
    if !scenario.tools.contains(&tool) {
        return Some("it was left out to save time".to_owned());
    }
    let same = earlier.iter().filter(|measured| {
        let one = &measured.scenario;
        one.work == scenario.work && one.link.tls == scenario.link.tls && one.link.round_trip < scenario.link.round_trip
    });
    let mut slow = same.filter_map(|measured| Some((measured, measured.of_tool(tool.name())?.wall())));
    let (measured, wall) = slow.rfind(|(_, wall)| *wall > TOO_SLOW)?;
    Some(format!("it took {wall:.1} s at {}, and was not tried at a larger distance", measured.scenario.label))
}

/// What running a job needs.
#[derive(Debug)]
pub struct Bench<'a> {
    pub test_bed: &'a TestBed,
    pub files: &'a Files,
    pub environment: &'a Environment,
    pub tools: &'a [InstalledTool],
    pub runs: usize,
}

impl Bench<'_> {
    pub fn job(&self, job: &Job) -> JobResult {
        let (mut measured, mut left_out) = (vec![], vec![]);
        for scenario in &job.scenarios {
            if scenario.link.tls && !self.test_bed.has_tls() {
                left_out.push((scenario.label.clone(), "nginx is not here".to_owned()));
                continue;
            }
            eprintln!("bench: {}, {}", job.name, scenario.label);
            let mut one = self.scenario(scenario, job.budget, &measured);
            if job.profiled(scenario)
                && let Some(ours) = one.of_tool("imgstep")
            {
                one.profile = Some(self.profile(scenario, ours).map_err(|error| error.to_string()));
            }
            measured.push(one);
        }
        JobResult { job: job.clone(), measured, left_out }
    }

    fn scenario(&self, scenario: &Scenario, budget: f64, earlier: &[ScenarioResult]) -> ScenarioResult {
        let (mut outcomes, mut skipped) = (vec![], vec![]);
        self.test_bed.set(scenario.link);
        for found in self.tools {
            if let Some(reason) = skip_reason(scenario, found.tool, earlier) {
                skipped.push((found.tool.name(), reason));
                continue;
            }
            let locations = scenario.work.locations(self.test_bed, self.files, found.tool, scenario.link, true);
            match commands(found, scenario.work, &locations) {
                Ok(all) => outcomes.extend(all.into_iter().map(|command| self.first(scenario, command))),
                Err(reason) => skipped.push((found.tool.name(), format!("it {reason}"))),
            }
        }
        let rounds = if scenario.work == Work::Version { STARTS } else { self.runs };
        for round in 0..rounds {
            // Each round starts with another tool, so that none always follows the same one.
            for turn in 0..outcomes.len() {
                let at = (round + turn) % outcomes.len();
                self.repeat(scenario, &mut outcomes[at], rounds, budget);
            }
        }
        for outcome in &outcomes {
            let text = outcome.failure.clone().unwrap_or_else(|| {
                format!(
                    "{:.3} s in {} runs, {} requests",
                    outcome.wall(),
                    outcome.runs.len(),
                    outcome.counts.requests()
                )
            });
            eprintln!("    {}: {text}", outcome.command.label);
        }
        ScenarioResult { scenario: scenario.clone(), outcomes, skipped, profile: None }
    }

    /// The run that is counted and checked. It is timed too, unless timed runs go without the proxy.
    fn first(&self, scenario: &Scenario, command: ToolCommand) -> Outcome {
        let mut outcome = Outcome { command, runs: vec![], counts: Counts::default(), layer: None, failure: None };
        if let Err(error) = self.try_first(scenario, &mut outcome) {
            outcome.failure = Some(error.to_string());
        }
        outcome
    }

    fn try_first(&self, scenario: &Scenario, outcome: &mut Outcome) -> Result<()> {
        let work = scenario.work;
        if work == Work::Version {
            return self.environment.run_directly(&outcome.command.args).map(drop);
        }
        work.prepare(self.test_bed, &outcome.command)?;
        if work.runs_once_before() {
            self.environment.run(&outcome.command.args)?;
            self.settle()?;
        }
        let before = self.test_bed.counts()?;
        let run = self.environment.run(&outcome.command.args)?;
        outcome.counts = self.settle()?.since(&before);
        outcome.layer = work.check(self.test_bed, self.files, &outcome.command)?;
        if !scenario.link.direct {
            outcome.runs.push(run);
        }
        Ok(())
    }

    fn repeat(&self, scenario: &Scenario, outcome: &mut Outcome, rounds: usize, budget: f64) {
        let spent: f64 = outcome.runs.iter().map(|run| run.wall).sum();
        let last = outcome.runs.last().map_or(0.0, |run| run.wall);
        let enough = outcome.runs.len() >= rounds || (!outcome.runs.is_empty() && spent + last > budget);
        if enough || outcome.failure.is_some() {
            return;
        }
        match self.timed(scenario, outcome) {
            Ok(run) => outcome.runs.push(run),
            Err(error) => outcome.failure = Some(error.to_string()),
        }
    }

    fn timed(&self, scenario: &Scenario, outcome: &Outcome) -> Result<Run> {
        let command = &outcome.command;
        if scenario.work == Work::Version {
            return self.environment.run_directly(&command.args);
        }
        scenario.work.prepare(self.test_bed, command)?;
        let (_, args) = self.over_link(scenario, command);
        let run = self.environment.run(&args)?;
        self.settle()?;
        Ok(run)
    }

    /// Where a command reads and writes in timed runs, and its arguments. Without the proxy these aren't those of the
    /// first run, because the registries have other addresses.
    fn over_link(&self, scenario: &Scenario, command: &ToolCommand) -> (Locations<'_>, Vec<String>) {
        let locations = scenario.work.locations(self.test_bed, self.files, command.tool, scenario.link, false);
        let found = self.tools.iter().find(|found| found.tool == command.tool);
        let all = found.and_then(|found| commands(found, scenario.work, &locations).ok()).unwrap_or_default();
        let same = all.into_iter().find(|one| one.label == command.label);
        (locations, same.map(|one| one.args).unwrap_or_default())
    }

    /// Additional runs, after the timed ones.
    fn profile(&self, scenario: &Scenario, ours: &Outcome) -> Result<Profile> {
        let (locations, args) = self.over_link(scenario, &ours.command);
        let args = profile::with_logging(&args);
        let prepare = || {
            self.settle()?;
            scenario.work.prepare(self.test_bed, &ours.command)
        };
        let profile = Profile::measure(self.test_bed, &locations, prepare, || self.environment.run_logged(&args))?;
        self.settle()?;
        Ok(profile)
    }

    /// Waits until the counts no longer change: a request is logged after its response, and connections take time to
    /// close.
    fn settle(&self) -> Result<Counts> {
        let mut last = self.test_bed.counts()?;
        loop {
            thread::sleep(Duration::from_millis(60));
            let now = self.test_bed.counts()?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
    }
}
