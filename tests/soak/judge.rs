//! The verdict on a run, from the files of the registry's storage and what the step left behind. imgstep itself isn't
//! asked.

use std::fmt::Write as _;

use crate::expected::Expected;
use crate::plan::{Plan, Signal};
use crate::run::EndedStep;
use crate::storage::Storage;
use crate::support::proxy::Exchange;

/// The outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Exit status 0, and every tag points to the right, complete image.
    Right,
    /// A clean failure: one line of error, no output, no result, and the tags are unchanged.
    Failed,
    /// A failure, and a tag was moved by a request whose response was lost.
    Ambiguous,
    /// A failure, and some of several tags were moved, each by a request that got its response.
    Partly,
    /// Stopped by a signal; each tag still points to its old image.
    Ended,
    /// Stopped by a signal; a tag points to the right, complete image.
    EndedLate,
    Wrong,
    Hang,
    Crash,
}

impl Outcome {
    pub const ALL: [Self; 9] = [
        Self::Right,
        Self::Failed,
        Self::Ambiguous,
        Self::Partly,
        Self::Ended,
        Self::EndedLate,
        Self::Wrong,
        Self::Hang,
        Self::Crash,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Failed => "failed cleanly",
            Self::Ambiguous => "tag moved, answer lost",
            Self::Partly => "some of the tags",
            Self::Ended => "ended by signal",
            Self::EndedLate => "the same, tag moved",
            Self::Wrong => "WRONG",
            Self::Hang => "HANG",
            Self::Crash => "CRASH",
        }
    }

    pub fn is_right(self) -> bool {
        matches!(self, Self::Right)
    }

    /// Whether imgstep must never do this.
    pub fn is_wrong(self) -> bool {
        matches!(self, Self::Wrong | Self::Hang | Self::Crash)
    }
}

/// An outcome, the reason, and everything that was observed.
pub struct Verdict {
    pub outcome: Outcome,
    pub reason: String,
    pub evidence: String,
}

/// What is judged.
pub struct RunRecord<'a> {
    pub plan: &'a Plan,
    /// The expected result of each step.
    pub expected: &'a [Expected],
    /// The digest that all tags pointed to before.
    pub old: &'a str,
    pub storage: &'a Storage,
    pub repository: &'a str,
    /// The requests to the destination.
    pub log: Vec<Exchange>,
    /// The requests to a source in another registry.
    pub source_log: Vec<Exchange>,
}

/// The verdict on one step, or the worst verdict on several concurrent ones.
pub fn judge(record: &RunRecord, ended: &[EndedStep]) -> Verdict {
    let of_step = |step: &EndedStep, expected: &Expected| match record.verdict(step, expected) {
        Ok(outcome) => (outcome, last_line(&step.stderr)),
        Err((outcome, reason)) => (outcome, reason),
    };
    let mut verdicts: Vec<_> =
        ended.iter().zip(record.expected).map(|(step, expected)| of_step(step, expected)).collect();
    if let Err(reason) = record.storage_is_good() {
        verdicts.push((Outcome::Wrong, reason));
    }
    let (outcome, reason) = verdicts.into_iter().max_by_key(|(outcome, _)| *outcome).unwrap();
    Verdict { outcome, reason, evidence: record.evidence(ended) }
}

type Judged = Result<Outcome, (Outcome, String)>;

impl RunRecord<'_> {
    fn verdict(&self, step: &EndedStep, expected: &Expected) -> Judged {
        let wrong = |reason: &str| Err((Outcome::Wrong, reason.to_owned()));
        let Some(status) = step.status else {
            return Err((Outcome::Hang, "it did not end".to_owned()));
        };
        if step.stderr.contains("panicked at") || !is_known(status, step.signalled) {
            return Err((Outcome::Crash, format!("exit status {status}: {}", last_line(&step.stderr))));
        }
        if let Some(digest) = &step.digest
            && *digest != expected.digest
        {
            return wrong(&format!("the result file says {digest}, not {}", expected.digest));
        }
        let moved: Vec<bool> = self.plan.tags.iter().map(|tag| self.names(tag, &expected.digest)).collect();
        if status == 0 {
            return self.done(step, expected, &moved);
        }
        if step.digest.is_some() || step.json.is_some() {
            // Results are written after all tags: a later kill finds them.
            if step.signalled.is_none() || !self.is_race() && !moved.iter().all(|moved| *moved) {
                return wrong("there are result files, and it failed");
            }
        }
        if step.signalled.is_some() {
            return Ok(if moved.contains(&true) { Outcome::EndedLate } else { Outcome::Ended });
        }
        let errors = step.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        if errors != 1 {
            return wrong(&format!("{errors} lines say what the error is"));
        }
        if !step.stdout.is_empty() {
            return wrong("it failed, and there is something on stdout");
        }
        self.failed(&moved)
    }

    /// Exit status 0.
    fn done(&self, step: &EndedStep, expected: &Expected, moved: &[bool]) -> Judged {
        let wrong = |reason: String| Err((Outcome::Wrong, reason));
        // In a race, the other one may have come later: `storage_is_good` has checked what the tags point to.
        if !self.is_race()
            && let Some(position) = moved.iter().position(|moved| !moved)
        {
            let tag = self.plan.tags[position];
            return wrong(format!("exit status 0, and {tag} names {:?}", self.storage.tag(self.repository, tag)));
        }
        if step.digest.is_none() {
            return wrong("exit status 0, and no result file".to_owned());
        }
        if !step.json.as_ref().is_some_and(|json| json.contains(&expected.digest)) {
            return wrong("exit status 0, and the report does not name the digest".to_owned());
        }
        if step.stdout.is_empty() || !step.stdout.lines().all(|line| line.ends_with(&expected.digest)) {
            return wrong(format!("stdout is {:?}", step.stdout));
        }
        Ok(Outcome::Right)
    }

    /// A step that failed by itself: what happened to the tags?
    fn failed(&self, moved: &[bool]) -> Judged {
        let moved: Vec<&str> =
            self.plan.tags.iter().zip(moved).filter(|(_, moved)| **moved).map(|(tag, _)| *tag).collect();
        if moved.is_empty() || self.is_race() {
            return Ok(Outcome::Failed);
        }
        let answered = |tag: &&str| {
            let path = format!("/manifests/{tag}");
            self.log
                .iter()
                .any(|seen| seen.method == "PUT" && seen.target.ends_with(&path) && seen.status == 201 && !seen.met)
        };
        if !moved.iter().all(answered) {
            return Ok(Outcome::Ambiguous);
        }
        if moved.len() < self.plan.tags.len() {
            return Ok(Outcome::Partly);
        }
        Err((Outcome::Wrong, "it failed, though every tag was written and answered".to_owned()))
    }

    /// Asserts that every tag points to what it pointed to before or to a complete image, and that nothing else was
    /// ever written there.
    fn storage_is_good(&self) -> Result<(), String> {
        for tag in &self.plan.tags {
            let named = self.storage.tag(self.repository, tag).ok_or_else(|| format!("{tag} is gone"))?;
            if named != self.old && !self.expected.iter().any(|expected| expected.digest == named) {
                return Err(format!("{tag} names {named}"));
            }
            self.storage.check(self.repository, &named).map_err(|reason| format!("{tag}: {reason}"))?;
            for put in self.storage.was_put(self.repository, tag) {
                if put != self.old && !self.expected.iter().any(|expected| expected.manifests.contains(&put)) {
                    return Err(format!("{put} was put under {tag}, or beside it"));
                }
            }
        }
        Ok(())
    }

    fn names(&self, tag: &str, digest: &str) -> bool {
        self.storage.tag(self.repository, tag).as_deref() == Some(digest)
    }

    fn is_race(&self) -> bool {
        self.expected.len() > 1
    }

    fn evidence(&self, ended: &[EndedStep]) -> String {
        let mut text = String::new();
        for step in ended {
            let _ = writeln!(text, "{step:#?}\n{}", step.stderr);
        }
        for (name, log) in [("destination", &self.log), ("source", &self.source_log)] {
            let _ = writeln!(text, "\nrequests to the {name}:");
            for seen in log {
                let met = if seen.met { " (met by a fault)" } else { "" };
                let _ = writeln!(text, "{} {} {}{met}", seen.method, seen.target, seen.status);
            }
        }
        text
    }
}

/// 1 to 6 are documented; the others belong to the signal that we sent.
fn is_known(status: i32, signalled: Option<Signal>) -> bool {
    let own = match signalled {
        Some(Signal::Kill) => status == 137,
        Some(Signal::Terminate) => status == 143,
        Some(Signal::Interrupt) => status == 130,
        None => false,
    };
    own || (0..=6).contains(&status)
}

fn last_line(text: &str) -> String {
    text.lines().rfind(|line| !line.is_empty() && !line.starts_with("hint: ")).unwrap_or_default().to_owned()
}
