//! The values that results, outputs and stdout have in common, taken from an outcome.

use anyhow::Context as _;
use serde_json::json;

use super::list::ListOutcome;
use super::outcome::{Outcome, SourceReport};
use crate::error::Error;

/// The name of the result without tag and digest: of the first destination, or of the source if nothing is written.
pub(super) fn name(outcome: &Outcome) -> &str {
    match (outcome.destinations.first(), &outcome.source) {
        (Some(destination), _) => &destination.name,
        (None, Some(source)) => &source.name,
        (None, None) => "",
    }
}

/// The name of the result with its first tag and never a digest, as Tekton Chains wants it beside the digest.
pub(super) fn url(outcome: &Outcome) -> String {
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

/// The children of the result by name and digest if it is an index, else the result itself.
pub(super) fn images(outcome: &Outcome) -> Vec<String> {
    if outcome.images.is_empty() {
        return vec![pinned(outcome)];
    }
    outcome.images.iter().map(|digest| format!("{}@{digest}", name(outcome))).collect()
}

/// Every tag that names the result now, in full.
pub(super) fn tags(outcome: &Outcome) -> Vec<String> {
    let full = outcome.destinations.iter().map(|place| place.tags.iter().map(|tag| format!("{}:{tag}", place.name)));
    full.flatten().collect()
}

/// The outputs of systems that know outputs by name, as one line each.
pub(super) fn outputs(outcome: &Outcome) -> Vec<(&'static str, String)> {
    vec![
        ("digest", outcome.digest.to_string()),
        ("name", name(outcome).to_owned()),
        ("ref", pinned(outcome)),
        ("url", url(outcome)),
        ("images", images(outcome).join(",")),
        ("tags", tags(outcome).join(",")),
    ]
}

/// [`outputs`], of a list of images.
pub(super) fn list_outputs(list: &ListOutcome) -> Vec<(&'static str, String)> {
    vec![("images", list.refs().join(",")), ("tags", list.tags().join(","))]
}

/// The names of variables that a step hands on. None of them may be an option's: the next step would take it for its own.
pub const VARIABLES: [&str; 5] = ["IMGSTEP_DIGEST", "IMGSTEP_REF", "IMGSTEP_URL", "IMGSTEP_NAME", "IMGSTEP_IMAGE_REFS"];

/// The outputs of systems that hand on variables of the environment.
pub(super) fn variables(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let values = [
        outcome.digest.to_string(),
        pinned(outcome),
        url(outcome),
        name(outcome).to_owned(),
        images(outcome).join(","),
    ];
    VARIABLES.into_iter().zip(values).collect()
}

/// [`variables`], of a list of images.
pub(super) fn list_variables(list: &ListOutcome) -> Vec<(&'static str, String)> {
    vec![(VARIABLES[4], list.refs().join(","))]
}

/// An input as Tekton Chains reads it from a result named `…ARTIFACT_INPUTS`.
pub(super) fn input(source: &SourceReport) -> String {
    json!({ "uri": source.name, "digest": source.digest.as_str() }).to_string()
}

/// The whole report on one line.
///
/// # Errors
///
/// `ErrorKind::Internal`, should the report hold what JSON can't express.
pub(super) fn report(outcome: &Outcome) -> Result<String, Error> {
    Ok(serde_json::to_string(outcome).context("the report can't be written as JSON")?)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn without_a_destination_the_source_is_named() {
        let mut outcome = sample::promoted();
        outcome.destinations.clear();
        assert_eq!(name(&outcome), "ghcr.io/org/build");
        assert_eq!(url(&outcome), "ghcr.io/org/build");
        assert_eq!(pinned(&outcome), format!("ghcr.io/org/build@{}", outcome.digest));
        assert!(tags(&outcome).is_empty());
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
        assert_eq!(images(&outcome), [pinned(&outcome)]);
    }
}
