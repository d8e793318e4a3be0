//! The result of a list of images, as data: the report of each that succeeded, and why the others failed. Its JSON form
//! is in `docs/report.schema.json` too.

use serde::Serialize;

use super::failure::Reason;
use super::human;
use super::outcome::{Outcome, Totals};

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
    /// The reports of the lines that succeeded, in the order of the list.
    pub reports: Vec<Outcome>,
    /// The lines that failed, in the order of the list.
    pub failed: Vec<ListFailure>,
    /// Sums over the whole list.
    pub totals: Totals,
}

/// Identifies a line of a list.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListLine {
    /// Its number in the list, from 1.
    pub line: usize,
    /// The full reference that it reads.
    pub source: String,
    /// The full references that it writes.
    pub destinations: Vec<String>,
}

/// A line that failed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListFailure {
    /// Which it is.
    #[serde(flatten)]
    pub line: ListLine,
    /// Why it failed, in one line.
    pub error: String,
    /// The exit status that this error has.
    pub status: u8,
    /// Why it failed, in parts.
    pub reason: Reason,
}

impl ListFailure {
    /// The failure of `line`.
    pub(super) fn new(line: ListLine, reason: Reason) -> Self {
        Self { line, error: reason.one_line(), status: reason.status, reason }
    }
}

impl ListOutcome {
    /// The report without the entries for each manifest and blob, which take most of its space.
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

#[cfg(test)]
mod tests {
    use super::super::{json, sample};

    #[test]
    fn a_short_report_has_everything_but_contents() {
        let list = sample::list();
        let (whole, short) = (json::render(&list).unwrap(), list.without_contents());
        let holds_contents = |json: &str| json.contains(r#""blobs":[{"#) || json.contains(r#""manifests":[{"#);
        assert!(holds_contents(&whole) && !holds_contents(&json::render(&short).unwrap()));
        assert_eq!(short.reports.len(), list.reports.len());
    }
}
