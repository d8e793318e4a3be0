//! `tag`: adds tags to an image in its own repository. One read, and one write for each tag.

use super::context::Context;
use super::destinations::{IfExists, WriteRequest};
use super::promote::{self, Request};
use crate::error::Result;
use crate::image::reference::Reference;
use crate::report::outcome::Outcome;

/// Carries it out: a promotion within one repository.
///
/// # Errors
/// As [`promote::run`].
pub(crate) async fn run(context: &Context, image: &Reference, tags: &[String], if_exists: IfExists) -> Result<Outcome> {
    let destinations = tags.iter().map(|tag| with_tag(image, tag)).collect();
    let request = Request {
        source: image.clone(),
        write: WriteRequest { destinations, tags: Vec::new(), if_exists, dry_run: false },
        platforms: Vec::new(),
        expect_digest: None,
        check_tag: false,
        repair: false,
        include_foreign: false,
        remarks: Vec::new(),
    };
    let outcome = promote::run(context, &request).await?;
    Ok(Outcome { step: "tag", ..outcome })
}

fn with_tag(image: &Reference, tag: &str) -> Reference {
    let mut tagged = image.clone();
    let (own_tag, digest) = match &mut tagged {
        Reference::Registry(reference) => (&mut reference.tag, &mut reference.digest),
        Reference::Layout(reference) => (&mut reference.tag, &mut reference.digest),
    };
    *own_tag = Some(tag.to_owned());
    *digest = None;
    tagged
}
