//! Runs a job: in each scenario, all tools in turn, each from the same state, each result checked once.

use std::io;
use std::thread;
use std::time::Duration;

use crate::files::Files;
use crate::jobs::{Job, Scenario};
use crate::measure::{Run, Surroundings, median};
use crate::peers::{Contender, Found, Tool, contenders};
use crate::profile::{self, Profile};
use crate::registries::{Lab, Seen};
use crate::work::{Places, Work};

/// Runs of a command that takes a millisecond.
const STARTS: usize = 100;
/// Seconds. A tool that takes longer isn't run with a longer round trip.
const TOO_SLOW: f64 = 7.0;

/// The result of one command in a scenario.
#[derive(Debug)]
pub struct Outcome {
    pub contender: Contender,
    /// All timed runs; empty if the command failed.
    pub runs: Vec<Run>,
    /// Counts of the first run.
    pub seen: Seen,
    /// The size of the new layer.
    pub layer: Option<u64>,
    pub failure: Option<String>,
}

#[derive(Debug)]
pub struct Measured {
    pub scenario: Scenario,
    pub outcomes: Vec<Outcome>,
    /// Tools that weren't run, and why.
    pub unable: Vec<(&'static str, String)>,
    /// Where imgstep's time goes, or why that isn't known; only in some scenarios.
    pub profile: Option<Result<Profile, String>>,
}

#[derive(Debug)]
pub struct JobResult {
    pub job: Job,
    pub measured: Vec<Measured>,
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

impl Measured {
    pub fn of(&self, label: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.done() && outcome.contender.label == label)
    }

    /// The first row of a tool.
    pub fn of_tool(&self, name: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.done() && outcome.contender.tool.name() == name)
    }
}

/// Why a tool isn't run in a scenario that it supports: it was slow with a shorter round trip.
fn spared(scenario: &Scenario, tool: Tool, earlier: &[Measured]) -> Option<String> {
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
    pub lab: &'a Lab,
    pub files: &'a Files,
    pub surroundings: &'a Surroundings,
    pub tools: &'a [Found],
    pub runs: usize,
}

impl Bench<'_> {
    pub fn job(&self, job: &Job) -> JobResult {
        let (mut measured, mut left_out) = (vec![], vec![]);
        for scenario in &job.scenarios {
            if scenario.link.tls && !self.lab.has_tls() {
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

    fn scenario(&self, scenario: &Scenario, budget: f64, earlier: &[Measured]) -> Measured {
        let (mut outcomes, mut unable) = (vec![], vec![]);
        self.lab.set(scenario.link);
        for found in self.tools {
            if let Some(reason) = spared(scenario, found.tool, earlier) {
                unable.push((found.tool.name(), reason));
                continue;
            }
            let places = scenario.work.places(self.lab, self.files, found.tool, scenario.link, true);
            match contenders(found, scenario.work, &places) {
                Ok(all) => outcomes.extend(all.into_iter().map(|contender| self.first(scenario, contender))),
                Err(reason) => unable.push((found.tool.name(), format!("it {reason}"))),
            }
        }
        let rounds = if scenario.work == Work::Version { STARTS } else { self.runs };
        for round in 0..rounds {
            // Each round starts with another tool, so that none always follows the same one.
            for turn in 0..outcomes.len() {
                let at = (round + turn) % outcomes.len();
                self.again(scenario, &mut outcomes[at], rounds, budget);
            }
        }
        for outcome in &outcomes {
            let said = outcome.failure.clone().unwrap_or_else(|| {
                format!("{:.3} s in {} runs, {} requests", outcome.wall(), outcome.runs.len(), outcome.seen.requests())
            });
            eprintln!("    {}: {said}", outcome.contender.label);
        }
        Measured { scenario: scenario.clone(), outcomes, unable, profile: None }
    }

    /// The run that is counted and checked. It is timed too, unless timed runs go without the proxy.
    fn first(&self, scenario: &Scenario, contender: Contender) -> Outcome {
        let mut outcome = Outcome { contender, runs: vec![], seen: Seen::default(), layer: None, failure: None };
        if let Err(error) = self.try_first(scenario, &mut outcome) {
            outcome.failure = Some(error.to_string());
        }
        outcome
    }

    fn try_first(&self, scenario: &Scenario, outcome: &mut Outcome) -> io::Result<()> {
        let work = scenario.work;
        if work == Work::Version {
            return self.surroundings.run_bare(&outcome.contender.words).map(drop);
        }
        work.prepare(self.lab, &outcome.contender)?;
        if work.once_before() {
            self.surroundings.run(&outcome.contender.words)?;
            self.settle()?;
        }
        let before = self.lab.seen()?;
        let run = self.surroundings.run(&outcome.contender.words)?;
        outcome.seen = self.settle()?.since(&before);
        outcome.layer = work.check(self.lab, self.files, &outcome.contender)?;
        if !scenario.link.direct {
            outcome.runs.push(run);
        }
        Ok(())
    }

    fn again(&self, scenario: &Scenario, outcome: &mut Outcome, rounds: usize, budget: f64) {
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

    fn timed(&self, scenario: &Scenario, outcome: &Outcome) -> io::Result<Run> {
        let contender = &outcome.contender;
        if scenario.work == Work::Version {
            return self.surroundings.run_bare(&contender.words);
        }
        scenario.work.prepare(self.lab, contender)?;
        let (_, words) = self.by_its_link(scenario, contender);
        let run = self.surroundings.run(&words)?;
        self.settle()?;
        Ok(run)
    }

    /// Where a command reads and writes in timed runs, and its arguments. Without the proxy these aren't those of the
    /// first run, because the registries have other addresses.
    fn by_its_link(&self, scenario: &Scenario, contender: &Contender) -> (Places<'_>, Vec<String>) {
        let places = scenario.work.places(self.lab, self.files, contender.tool, scenario.link, false);
        let found = self.tools.iter().find(|found| found.tool == contender.tool);
        let all = found.and_then(|found| contenders(found, scenario.work, &places).ok()).unwrap_or_default();
        let same = all.into_iter().find(|one| one.label == contender.label);
        (places, same.map(|one| one.words).unwrap_or_default())
    }

    /// Additional runs, after the timed ones.
    fn profile(&self, scenario: &Scenario, ours: &Outcome) -> io::Result<Profile> {
        let (places, words) = self.by_its_link(scenario, &ours.contender);
        let words = profile::telling(&words);
        let prepare = || {
            self.settle()?;
            scenario.work.prepare(self.lab, &ours.contender)
        };
        let profile = Profile::measure(self.lab, &places, prepare, || self.surroundings.run_told(&words))?;
        self.settle()?;
        Ok(profile)
    }

    /// Waits until the counts no longer change: a request is logged after its response, and connections take time to
    /// close.
    fn settle(&self) -> io::Result<Seen> {
        let mut last = self.lab.seen()?;
        loop {
            thread::sleep(Duration::from_millis(60));
            let now = self.lab.seen()?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
    }
}
