//! The values of a report for later steps: one table, from which result files, CI outputs, the action and the
//! documentation follow.

use std::fmt::Write as _;

use serde_json::json;

use self::Channel::{GitHub, Output, ResultFile};
use super::json;
use super::outcome::{DestinationReport, Outcome, SourceReport};
use super::subject::{ReportScope, ReportSubject};
use crate::error::Error;

/// One value of a report.
#[derive(Debug, Clone, Copy)]
pub struct ReportValue {
    /// Its name, as in `--result NAME=FILE`.
    pub name: &'static str,
    /// Its description in `docs/report.md` and for the action's output.
    pub meaning: &'static str,
    /// Which reports have it.
    pub of: Of,
    /// The channels it is written to.
    pub channels: &'static [Channel],
    /// Its environment variable in later steps, and its position among them. It must not be the variable of an option,
    /// or the next step would read it as its own.
    pub variable: Option<(u8, &'static str)>,
    /// Whether a dry run has it. Most values don't show that nothing was written.
    pub in_plan: bool,
    /// Returns the elements of a list, or the single value.
    render: fn(ReportSubject) -> Result<Vec<String>, Error>,
}

/// Which reports have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Reports of one image.
    Image,
    /// Reports with a source.
    Source,
    /// Reports with a base.
    Base,
    /// All reports, including those of lists.
    Any,
}

/// A channel by which later steps read a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// `--result NAME=FILE`.
    ResultFile,
    /// An output of a CI system with named single-line outputs.
    Output,
    /// An output of GitHub Actions, possibly multi-line.
    GitHub,
}

/// The input of a step, which some values need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inputs {
    /// One image, reported as `source`.
    pub source: bool,
    /// An image, reported as `base`.
    pub base: bool,
}

impl Inputs {
    /// A step without a single source image.
    pub const NONE: Self = Self { source: false, base: false };
    /// A step with a source.
    pub const SOURCE: Self = Self { source: true, base: false };
    /// A step with a base.
    pub const BASE: Self = Self { source: false, base: true };
}

/// Every value, in the order that users see.
pub const VALUES: [ReportValue; 10] = [
    ReportValue {
        name: "digest",
        meaning: "`sha256:…`, the digest of the result",
        of: Of::Image,
        channels: &[ResultFile, Output, GitHub],
        variable: Some((1, "IMGSTEP_DIGEST")),
        in_plan: false,
        render: |subject| subject.outcome().map(|outcome| vec![outcome.digest.to_string()]),
    },
    ReportValue {
        name: "name",
        meaning: "`registry/repository` of the first destination, without a tag, as `actions/attest` expects it for `subject-name`",
        of: Of::Image,
        channels: &[Output, GitHub],
        variable: Some((4, "IMGSTEP_NAME")),
        in_plan: false,
        render: |subject| subject.outcome().map(|outcome| vec![name(outcome).to_owned()]),
    },
    ReportValue {
        name: "ref",
        meaning: "`registry/repository@sha256:…` of the first destination",
        of: Of::Image,
        channels: &[ResultFile, Output, GitHub],
        variable: Some((2, "IMGSTEP_REF")),
        in_plan: false,
        render: |subject| subject.outcome().map(|outcome| vec![pinned(outcome)]),
    },
    ReportValue {
        name: "url",
        meaning: "`registry/repository:tag` of the first destination, never a digest; without a tag if none was written",
        of: Of::Image,
        channels: &[ResultFile, Output],
        variable: Some((3, "IMGSTEP_URL")),
        in_plan: false,
        render: |subject| subject.outcome().map(|outcome| vec![url(outcome)]),
    },
    ReportValue {
        name: "images",
        meaning: "the children of an index, `registry/repository@sha256:…,…`; for a single image, the image itself",
        of: Of::Any,
        channels: &[ResultFile, Output, GitHub],
        variable: Some((5, "IMGSTEP_IMAGE_REFS")),
        in_plan: false,
        render: |subject| Ok(images(subject)),
    },
    ReportValue {
        name: "tags",
        meaning: "every tag that points to the result, as full references separated by commas (one per line in an output on GitHub)",
        of: Of::Any,
        channels: &[ResultFile, Output, GitHub],
        variable: None,
        in_plan: false,
        render: |subject| Ok(subject.destinations().flat_map(tags).collect()),
    },
    ReportValue {
        name: "source",
        meaning: "what was read, `{\"uri\":\"registry/repository\",\"digest\":\"sha256:…\"}`: the form of a result `…ARTIFACT_INPUTS` for Tekton Chains",
        of: Of::Source,
        channels: &[ResultFile],
        variable: None,
        in_plan: false,
        render: |subject| input("source", subject.outcome()?.source.as_ref()),
    },
    ReportValue {
        name: "base",
        meaning: "the base image in the same form, for steps that have one",
        of: Of::Base,
        channels: &[ResultFile],
        variable: None,
        in_plan: false,
        render: |subject| input("base", subject.outcome()?.base.as_ref()),
    },
    ReportValue {
        name: "json",
        meaning: "the whole report, one JSON object",
        of: Of::Any,
        channels: &[ResultFile, GitHub],
        variable: None,
        in_plan: true,
        render: |subject| json::render(&subject).map(|json| vec![json]),
    },
    DOTENV,
];

/// The variables as the lines of a file.
pub const DOTENV: ReportValue = ReportValue {
    name: "dotenv",
    meaning: "lines `IMGSTEP_DIGEST=`, `IMGSTEP_REF=`, `IMGSTEP_URL=`, `IMGSTEP_NAME=`, `IMGSTEP_IMAGE_REFS=` (as `images`), as GitLab's `artifacts:reports:dotenv` reads them",
    of: Of::Image,
    channels: &[ResultFile],
    variable: None,
    in_plan: false,
    render: |subject| dotenv(&variables(subject)?).map(|lines| vec![lines]),
};

impl PartialEq for ReportValue {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ReportValue {}

impl ReportValue {
    /// Whether a step with these inputs reports it, for a list of images or for one.
    pub fn is_given(&self, inputs: Inputs, is_list: bool) -> bool {
        match self.of {
            Of::Any => true,
            Of::Image => !is_list,
            Of::Source => !is_list && inputs.source,
            Of::Base => !is_list && inputs.base,
        }
    }

    /// The value on one line; lists are separated by commas.
    ///
    /// # Errors
    ///
    /// The report doesn't have it, or it can't be written.
    pub(super) fn text(&self, subject: ReportSubject) -> Result<String, Error> {
        self.elements(subject).map(|elements| elements.join(","))
    }

    /// The elements of a list, or the single value.
    ///
    /// # Errors
    ///
    /// As [`ReportValue::text`].
    pub(super) fn elements(&self, subject: ReportSubject) -> Result<Vec<String>, Error> {
        (self.render)(subject)
    }
}

/// The values for `channel`. Empty for a list that failed in part; just the report in a dry run.
pub(super) fn due(channel: Channel, subject: ReportSubject) -> impl Iterator<Item = &'static ReportValue> {
    VALUES.iter().filter(move |value| value.channels.contains(&channel) && is_due(value, subject))
}

/// Whether `subject` has this value for later steps.
pub(super) fn is_due(value: &ReportValue, subject: ReportSubject) -> bool {
    let is_list = matches!(subject.scope, ReportScope::List(_));
    let is_complete = subject.failed().is_empty();
    is_complete && (value.in_plan || !subject.is_plan()) && (!is_list || value.of == Of::Any)
}

/// The outputs for systems with named single-line outputs.
///
/// # Errors
///
/// A value can't be written.
pub(super) fn outputs(subject: ReportSubject) -> Result<Vec<(&'static str, String)>, Error> {
    due(Channel::Output, subject).map(|value| Ok((value.name, value.text(subject)?))).collect()
}

/// The outputs for systems that pass environment variables on.
///
/// # Errors
///
/// As [`outputs`].
pub(super) fn variables(subject: ReportSubject) -> Result<Vec<(&'static str, String)>, Error> {
    let due = VALUES.iter().filter(|value| is_due(value, subject));
    let mut variables: Vec<_> = due.filter_map(|value| Some((value.variable?, value))).collect();
    variables.sort_by_key(|(variable, _)| *variable);
    variables.into_iter().map(|((_, name), value)| Ok((name, value.text(subject)?))).collect()
}

/// The names of the variables that a step passes on.
pub fn variable_names() -> impl Iterator<Item = &'static str> {
    VALUES.iter().filter_map(|value| Some(value.variable?.1))
}

/// The name of the result without tag and digest: of the first destination, or of the source if nothing is written.
pub(super) fn name(outcome: &Outcome) -> &str {
    match (outcome.destinations.first(), &outcome.source) {
        (Some(destination), _) => &destination.name,
        (None, Some(source)) => &source.name,
        (None, None) => "",
    }
}

/// The name of the result with its first tag, never a digest, as Tekton Chains expects it next to the digest.
fn url(outcome: &Outcome) -> String {
    match outcome.destinations.first().and_then(|destination| destination.tags.first()) {
        Some(tag) => format!("{}:{tag}", name(outcome)),
        None => name(outcome).to_owned(),
    }
}

/// The result by name and digest.
pub(super) fn pinned(outcome: &Outcome) -> String {
    match outcome.destinations.first() {
        Some(destination) => destination.pinned.clone(),
        None => format!("{}@{}", name(outcome), outcome.digest),
    }
}

/// The children of the result by name and digest if it is an index, otherwise the result itself; for a list, each
/// destination.
fn images(subject: ReportSubject) -> Vec<String> {
    match subject.scope {
        ReportScope::Image(outcome) if outcome.images.is_empty() => vec![pinned(outcome)],
        ReportScope::Image(outcome) => {
            outcome.images.iter().map(|digest| format!("{}@{digest}", name(outcome))).collect()
        }
        ReportScope::List(_) => subject.destinations().map(|destination| destination.pinned.clone()).collect(),
    }
}

/// Every full tag of a destination that points to the result now.
fn tags(destination: &DestinationReport) -> impl Iterator<Item = String> {
    destination.tags.iter().map(|tag| format!("{}:{tag}", destination.name))
}

/// An input as Tekton Chains reads it from a result named `…ARTIFACT_INPUTS`.
fn input(key: &str, source: Option<&SourceReport>) -> Result<Vec<String>, Error> {
    let source = source.ok_or_else(|| Error::bug(format!("the step reported no {key}")))?;
    Ok(vec![json!({ "uri": source.name, "digest": source.digest.as_str() }).to_string()])
}

/// Formats lines for GitLab: no quotes, no empty lines; a value ends with its line, is trimmed, and `$` in it starts a
/// variable.
///
/// # Errors
///
/// `ErrorKind::CiOutput` for a value that can't be represented.
pub(super) fn dotenv(variables: &[(&str, String)]) -> Result<String, Error> {
    let mut lines = String::new();
    for (name, value) in variables {
        // The path of a layout may contain anything.
        if value.chars().any(char::is_control) || value.contains('$') || value.trim() != *value {
            return Err(Error::ci_output(format!(
                "the result `dotenv` can't hold {value:?}: the format has no way to write it"
            )));
        }
        let _ = writeln!(lines, "{name}={value}");
    }
    Ok(lines)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::sample;
    use super::*;

    /// The value `name` of an image.
    pub fn value(name: &str, outcome: &Outcome) -> Result<String, Error> {
        named(name).text(sample::subject(outcome))
    }

    pub fn named(name: &str) -> ReportValue {
        *VALUES.iter().find(|value| value.name == name).unwrap()
    }

    #[test]
    fn each_value_has_its_exact_bytes() {
        let outcome = sample::promoted();
        let (index, amd64) = (sample::digest("index"), sample::digest("amd64"));
        let (arm64, attestation) = (sample::digest("arm64"), sample::digest("attestation"));
        let name = "registry.example/team/app";
        let images = format!("{name}@{amd64},{name}@{arm64},{name}@{attestation}");
        let text = |key| value(key, &outcome).unwrap();
        assert_eq!(text("digest"), index.as_str());
        assert_eq!(text("url"), "registry.example/team/app:v1");
        assert_eq!(text("ref"), format!("{name}@{index}"));
        assert_eq!(text("images"), images);
        assert_eq!(text("tags"), format!("{name}:v1,{name}:latest,mirror.example/app:v1"));
        assert_eq!(text("source"), format!(r#"{{"uri":"ghcr.io/org/build","digest":"{index}"}}"#));
        assert_eq!(
            text("dotenv"),
            format!(
                "IMGSTEP_DIGEST={index}\nIMGSTEP_REF={name}@{index}\nIMGSTEP_URL={name}:v1\nIMGSTEP_NAME={name}\n\
                 IMGSTEP_IMAGE_REFS={images}\n"
            )
        );
        assert_eq!(text("json"), serde_json::to_string(&outcome).unwrap());
        value("base", &outcome).unwrap_err();
    }

    #[test]
    fn a_base_is_reported_if_there_is_one() {
        let mut outcome = sample::single();
        outcome.base = Some(sample::source("docker.io/library/alpine", "3.22"));
        let expected = format!(r#"{{"uri":"docker.io/library/alpine","digest":"{}"}}"#, sample::digest("index"));
        assert_eq!(value("base", &outcome).unwrap(), expected);
    }

    #[test]
    fn a_list_has_the_values_of_many_images() {
        let list = sample::list();
        let subject = ReportSubject::list(sample::PROMOTE, &list);
        assert_eq!(named("images").elements(subject).unwrap().len(), 3);
        assert_eq!(outputs(subject).unwrap(), [], "one line failed");
        let mut list = sample::list();
        list.failed.clear();
        let subject = ReportSubject::list(sample::PROMOTE, &list);
        assert_eq!(outputs(subject).unwrap().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["images", "tags"]);
        assert_eq!(variables(subject).unwrap().len(), 1);
        for value in VALUES.iter().filter(|value| !value.is_given(Inputs::SOURCE, true) && value.name != "dotenv") {
            value.text(subject).unwrap_err();
        }
    }

    #[test]
    fn a_line_break_in_a_path_can_not_make_a_variable() {
        let mut outcome = sample::single();
        outcome.destinations[0].name = "oci:dir\nPATH=/evil".into();
        value("dotenv", &outcome).unwrap_err();
    }

    #[test]
    fn without_a_destination_the_source_is_named() {
        let mut outcome = sample::promoted();
        outcome.destinations.clear();
        assert_eq!(name(&outcome), "ghcr.io/org/build");
        assert_eq!(url(&outcome), "ghcr.io/org/build");
        assert_eq!(pinned(&outcome), format!("ghcr.io/org/build@{}", outcome.digest));
        assert_eq!(value("tags", &outcome).unwrap(), "");
    }

    #[test]
    fn without_a_tag_the_url_is_the_name() {
        let mut outcome = sample::promoted();
        outcome.destinations[0].tags.clear();
        assert_eq!(url(&outcome), "registry.example/team/app");
    }

    #[test]
    fn a_single_image_is_its_own_list() {
        let outcome = sample::single();
        assert_eq!(value("images", &outcome).unwrap(), pinned(&outcome));
    }

    #[test]
    fn the_documentation_has_every_value() {
        let page = include_str!("../../docs/report.md");
        let results = VALUES.iter().filter(|value| value.channels.contains(&Channel::ResultFile));
        let rows: Vec<String> = results.map(|value| format!("| `{}` | {} |", value.name, value.meaning)).collect();
        let table = format!("| key | content of the file |\n|---|---|\n{}\n\n", rows.join("\n"));
        assert!(page.contains(&table), "docs/report.md should have this table:\n{table}");
        for value in VALUES.iter().filter(|value| value.channels.contains(&Channel::GitHub)) {
            let section = page.split("## GitHub Actions").nth(1).unwrap();
            assert!(section.contains(&format!("`{}`", value.name)), "docs/report.md, GitHub Actions: {}", value.name);
        }
        for name in variable_names() {
            assert!(DOTENV.meaning.contains(name), "{name}");
        }
    }
}
