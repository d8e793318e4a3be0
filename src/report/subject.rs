//! The subject of a report: the outcome of one image, or of a list.

use serde::{Serialize, Serializer};

use super::list::{ListFailure, ListOutcome};
use super::outcome::{DestinationReport, Outcome, Totals};
use crate::error::Error;

/// A step's name and verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepVerb {
    /// The name on the command line: `mutate`.
    pub name: &'static str,
    /// The verb before a reference: `changed`.
    pub done: &'static str,
    /// The verb if the result equals the source.
    pub same: &'static str,
}

/// The argument of every writer of results, outputs and summaries.
#[derive(Debug, Clone, Copy)]
pub struct ReportSubject<'a> {
    /// The step.
    pub verb: StepVerb,
    /// Its outcome.
    pub scope: ReportScope<'a>,
}

/// One image, or many.
#[derive(Debug, Clone, Copy)]
pub enum ReportScope<'a> {
    /// A step that worked on one image.
    Image(&'a Outcome),
    /// A step that worked through a list of images.
    List(&'a ListOutcome),
}

impl<'a> ReportSubject<'a> {
    /// The outcome of one image.
    pub fn image(verb: StepVerb, outcome: &'a Outcome) -> Self {
        Self { verb, scope: ReportScope::Image(outcome) }
    }

    /// The outcome of a list.
    pub fn list(verb: StepVerb, list: &'a ListOutcome) -> Self {
        Self { verb, scope: ReportScope::List(list) }
    }

    /// The outcome, if it is one image's.
    ///
    /// # Errors
    ///
    /// `ErrorKind::Internal` for a list, which has no single digest.
    pub(super) fn outcome(self) -> Result<&'a Outcome, Error> {
        match self.scope {
            ReportScope::Image(outcome) => Ok(outcome),
            ReportScope::List(_) => Err(Error::bug("a list has no value of a single image")),
        }
    }

    /// The reports of all images that succeeded.
    pub(super) fn reports(self) -> &'a [Outcome] {
        match self.scope {
            ReportScope::Image(outcome) => std::slice::from_ref(outcome),
            ReportScope::List(list) => &list.reports,
        }
    }

    /// The lines of a list that failed.
    pub(super) fn failed(self) -> &'a [ListFailure] {
        match self.scope {
            ReportScope::Image(_) => &[],
            ReportScope::List(list) => &list.failed,
        }
    }

    /// The destinations of all images that succeeded.
    pub(super) fn destinations(self) -> impl Iterator<Item = &'a DestinationReport> + Clone {
        self.reports().iter().flat_map(|report| &report.destinations)
    }

    /// Whether this is a plan and nothing was written.
    pub(super) fn is_plan(self) -> bool {
        match self.scope {
            ReportScope::Image(outcome) => outcome.dry_run,
            ReportScope::List(list) => list.dry_run,
        }
    }

    /// The sums over everything.
    pub(super) fn totals(self) -> &'a Totals {
        match self.scope {
            ReportScope::Image(outcome) => &outcome.totals,
            ReportScope::List(list) => &list.totals,
        }
    }
}

impl Serialize for ReportSubject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.scope {
            ReportScope::Image(outcome) => outcome.serialize(serializer),
            ReportScope::List(list) => list.serialize(serializer),
        }
    }
}
