//! `tag`: lets more tags name an image in its own repository. One read, and one write for each tag.

use super::context::Context;
use super::promote::{self, IfExists, Request};
use crate::error::Result;
use crate::image::reference::Reference;
use crate::report::outcome::Outcome;

/// Carries it out: a promotion within one repository.
///
/// # Errors
/// As [`promote::run`].
pub async fn run(context: &Context, image: &Reference, tags: &[String], if_exists: IfExists) -> Result<Outcome> {
    let tagged = tags.iter().map(|tag| match image.clone() {
        Reference::Registry(mut reference) => {
            reference.tag = Some(tag.clone());
            reference.digest = None;
            Reference::Registry(reference)
        }
        Reference::Layout(mut reference) => {
            reference.tag = Some(tag.clone());
            reference.digest = None;
            Reference::Layout(reference)
        }
    });
    let request = Request {
        source: image.clone(),
        destinations: tagged.collect(),
        tags: Vec::new(),
        platforms: Vec::new(),
        if_exists,
        expect_digest: None,
        check_tag: false,
        repair: false,
        include_foreign: false,
        dry_run: false,
        remarks: Vec::new(),
    };
    let mut outcome = promote::run(context, &request).await?;
    outcome.step = "tag";
    Ok(outcome)
}
