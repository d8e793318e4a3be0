//! What became of a list of images, as data: the report of each that was done, and why the others failed. Its JSON form
//! is in `docs/report.schema.json` too.

use anyhow::Context as _;
use serde::Serialize;

use super::failure::Reason;
use super::outcome::{DestinationReport, DestinationState, Outcome, Totals};
use super::summary::costs_over;
use super::{human, values};
use crate::error::Error;

/// So many lines that failed are named by the last line of a step; each was told when it failed.
const NAMED_LINES: usize = 20;

/// The report of a step that worked through a list of images.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListOutcome {
    /// The version of the schema: 1.
    pub schema_version: u32,
    /// The step's name, such as `promote`.
    pub step: &'static str,
    /// Whether this is a plan and nothing was written.
    pub dry_run: bool,
    /// The reports of the lines that were done, in the order of the list.
    pub reports: Vec<Outcome>,
    /// The lines that failed, in the order of the list.
    pub failed: Vec<ListFailure>,
    /// Sums over the whole list.
    pub totals: Totals,
}

/// A line of a list, for people to find it by.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListLine {
    /// Its number in the list, from 1.
    pub line: usize,
    /// What it reads: the reference in full.
    pub source: String,
    /// What it writes: the references in full.
    pub destinations: Vec<String>,
}

/// A line that failed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListFailure {
    /// Which it is.
    #[serde(flatten)]
    pub line: ListLine,
    /// Why.
    pub error: Reason,
}

impl ListOutcome {
    /// The destinations of all images that were done.
    pub(super) fn destinations(&self) -> impl Iterator<Item = &DestinationReport> + Clone {
        self.reports.iter().flat_map(|report| &report.destinations)
    }

    /// Each destination by name and digest, as stdout has it.
    pub(super) fn refs(&self) -> Vec<String> {
        self.destinations().map(|destination| destination.pinned.clone()).collect()
    }

    /// Every tag that names an image of the list now, in full.
    pub(super) fn tags(&self) -> Vec<String> {
        self.reports.iter().flat_map(values::tags).collect()
    }

    /// The whole report on one line.
    ///
    /// # Errors
    ///
    /// `ErrorKind::Internal`, should the report hold what JSON can't express.
    pub(super) fn json(&self) -> Result<String, Error> {
        Ok(serde_json::to_string(self).context("the report can't be written as JSON")?)
    }

    /// The same without what became of each manifest and blob, which most of a long report is.
    pub(super) fn without_contents(&self) -> Self {
        let mut short = self.clone();
        for destination in short.reports.iter_mut().flat_map(|report| &mut report.destinations) {
            destination.manifests.clear();
            destination.blobs.clear();
        }
        short
    }

    /// `198 of 200 images`.
    pub(super) fn count(&self) -> String {
        let (done, all) = (self.reports.len(), self.reports.len() + self.failed.len());
        if done == all { human::count(all, "image") } else { format!("{done} of {}", human::count(all, "image")) }
    }
}

/// One line such as `promoted 198 of 200 images (150 unchanged): 96 blobs sent (120.5 MB), in 3.2 s; line 7 failed`.
pub(super) fn summary(list: &ListOutcome) -> String {
    let unchanged = list.reports.iter().filter(|report| is_unchanged(report)).count();
    let unchanged = if unchanged > 0 { format!(" ({unchanged} unchanged)") } else { String::new() };
    let (count, costs) = (list.count(), costs_over(list.destinations(), list.dry_run));
    let failed = failed(list);
    if list.dry_run {
        let (step, requests) = (list.step, list.totals.requests);
        return format!(
            "would {step} {count}{unchanged}: {costs}, about {requests} requests; nothing was written{failed}"
        );
    }
    let seconds = human::seconds(list.totals.seconds);
    format!("promoted {count}{unchanged}: {costs}, in {seconds}{failed}")
}

fn is_unchanged(report: &Outcome) -> bool {
    report.destinations.iter().all(|destination| destination.state == DestinationState::Unchanged)
}

fn failed(list: &ListOutcome) -> String {
    let numbers: Vec<String> =
        list.failed.iter().take(NAMED_LINES).map(|failure| failure.line.line.to_string()).collect();
    match (numbers.as_slice(), list.failed.len().saturating_sub(NAMED_LINES)) {
        ([], _) => String::new(),
        ([one], _) => format!("; line {one} failed"),
        (some, 0) => format!("; the lines {} failed", some.join(", ")),
        (some, more) => format!("; the lines {} and {more} more failed", some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_list_is_told_in_one_line() {
        let mut list = sample::list();
        assert_eq!(
            summary(&list),
            "promoted 2 of 3 images: 4 blobs sent (241.0 MB), 2 mounted, 3 already there, in 9.0 s; line 7 failed"
        );
        let failure = list.failed.remove(0);
        list.reports.remove(1);
        list.reports[0].destinations.remove(0);
        assert_eq!(summary(&list), "promoted 1 image (1 unchanged): 1 blob already there, in 9.0 s");
        list.dry_run = true;
        assert_eq!(
            summary(&list),
            "would promote 1 image (1 unchanged): 1 blob already there (200.0 kB), about 99 requests; nothing was written"
        );
        list.failed = vec![failure; 23];
        let told = summary(&list);
        assert!(told.contains("would promote 1 of 24 images") && told.ends_with(", 7 and 3 more failed"), "{told}");
    }

    #[test]
    fn a_short_report_has_everything_but_contents() {
        let list = sample::list();
        let (whole, short) = (list.json().unwrap(), list.without_contents());
        let holds_contents = |json: &str| json.contains(r#""blobs":[{"#) || json.contains(r#""manifests":[{"#);
        assert!(holds_contents(&whole) && !holds_contents(&short.json().unwrap()));
        assert_eq!((short.refs(), short.tags()), (list.refs(), list.tags()));
        assert_eq!(short.refs().len(), 3);
    }
}
