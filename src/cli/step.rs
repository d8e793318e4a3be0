//! What makes a step: its arguments implement `StepArgs`, and everything else follows from that.

use super::args::list;
use super::common::{CommonArgs, ResultArgs, WriteArgs};
use crate::error::Result;
use crate::report::inspection::Inspection;
use crate::report::list_reporter::ListReporter;
use crate::report::outcome::Outcome;
use crate::report::results::{self, ResultFile};
use crate::report::subject::StepVerb;
use crate::report::values::Inputs;
use crate::steps::context::Context;

/// What is known of a step before its command line is read.
#[derive(Debug, Clone, Copy)]
pub struct StepSpec {
    /// Its name, and how it says what it did.
    pub verb: StepVerb,
    /// What it reads and reports, which some result keys need.
    pub inputs: Inputs,
    /// Arguments of which the step needs one from each group, although none of them is required by itself. The first of a
    /// group is what the GitHub Action names if all are missing.
    pub needs: &'static [&'static [&'static str]],
}

/// The arguments of a step.
pub(crate) trait StepArgs {
    /// What is known of the step.
    const SPEC: StepSpec;

    /// What the step is asked to do, once its arguments are checked.
    type Request;

    /// Options of all steps.
    fn common(&self) -> &CommonArgs;

    /// Where results go; none for a step that has no results.
    fn results(&self) -> Option<&ResultArgs>;

    /// Where and how it writes; none for a step that writes to no destination.
    fn writes(&self) -> Option<&WriteArgs>;

    /// The image that it reads, as the user wrote it.
    fn source(&self) -> Option<&str>;

    /// What it writes, as the user wrote it.
    fn destinations(&self) -> Vec<String> {
        self.writes().map(|writes| list(&writes.to)).unwrap_or_default()
    }

    /// The result files. A key that the step can't give is an error before anything is read.
    ///
    /// # Errors
    /// A value that is not `KEY=FILE`, or a key that this step doesn't have (`ErrorKind::Usage`).
    fn result_files(&self) -> Result<Vec<ResultFile>> {
        self.result_files_with(Self::SPEC.inputs)
    }

    /// The result files of a step with other inputs than its usual ones.
    ///
    /// # Errors
    /// As [`StepArgs::result_files`].
    fn result_files_with(&self, inputs: Inputs) -> Result<Vec<ResultFile>> {
        let given = self.results().map(|results| list(&results.result)).unwrap_or_default();
        results::parse(&given, |value| value.is_given(inputs, false))
    }

    /// The request that the arguments mean.
    ///
    /// # Errors
    /// An invalid argument, or one that is missing (`ErrorKind::Usage`).
    fn request(&self) -> Result<Self::Request>;

    /// Runs the step.
    ///
    /// # Errors
    /// Those of the step.
    async fn run(context: &Context, request: &Self::Request) -> Result<StepOutput>;
}

/// What a step has to report.
pub(crate) enum StepOutput {
    /// What it wrote.
    Outcome(Box<Outcome>),
    /// What it looked up.
    Query(Box<Outcome>),
    /// What an image is made of, and whether lines are kept whole on a terminal.
    Inspection(Box<Inspection>, bool),
    /// What became of a list of images.
    List(Box<ListReporter>),
}

impl From<Outcome> for StepOutput {
    fn from(outcome: Outcome) -> Self {
        Self::Outcome(Box::new(outcome))
    }
}

/// What is asked of a step, whichever it is.
pub(crate) struct StepOptions<'a> {
    pub(crate) verb: StepVerb,
    pub(crate) common: &'a CommonArgs,
    pub(crate) results: Option<&'a ResultArgs>,
    pub(crate) writes: Option<&'a WriteArgs>,
    pub(crate) source: Option<&'a str>,
    pub(crate) destinations: Vec<String>,
}

impl<'a> StepOptions<'a> {
    pub(super) fn of<A: StepArgs>(args: &'a A) -> Self {
        Self {
            verb: A::SPEC.verb,
            common: args.common(),
            results: args.results(),
            writes: args.writes(),
            source: args.source().filter(|source| !source.is_empty()),
            destinations: args.destinations(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use crate::cli::github_action::inputs;
    use crate::cli::{Cli, Step};

    #[test]
    fn every_spec_is_a_step_and_needs_arguments_that_it_has() {
        let command = Cli::command();
        for spec in Step::SPECS {
            let name = spec.verb.name;
            let step = command.find_subcommand(name).unwrap_or_else(|| panic!("there is no step `{name}`"));
            for needed in spec.needs.iter().copied().flatten() {
                assert!(inputs(step).any(|own| own == *needed), "{name}: {needed}");
            }
        }
    }
}
