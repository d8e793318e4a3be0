//! `promote --list`: many promotions, a few at a time, with the same connections, tokens and limits. One that fails doesn't
//! stop the others.

use futures_util::StreamExt as _;
use futures_util::stream;

use super::context::Context;
use super::promote::{self, Request};
use crate::error::Result;
use crate::report::outcome::Outcome;

/// Maximum number of images at once. An image mostly waits for one answer after another, and a small one has about four
/// requests under way: this many images reach the usual limit of a host.
const IMAGES_AT_ONCE: usize = 16;

/// A line of a list: an image, and its number there.
#[derive(Debug, Clone)]
pub struct ListEntry {
    /// The number of the line, from 1.
    pub number: usize,
    /// The promotion.
    pub request: Request,
}

/// Carries out all `entries`. Calls `ended` when one has ended, with its index.
pub(crate) async fn run(context: &Context, entries: &[ListEntry], mut ended: impl FnMut(usize, Result<Outcome>)) {
    let promotions = entries.iter().enumerate().map(|(index, entry)| async move {
        let context = context.for_one_image();
        (index, promote::run(&context, &entry.request).await)
    });
    let mut under_way = stream::iter(promotions).buffer_unordered(IMAGES_AT_ONCE);
    while let Some((index, result)) = under_way.next().await {
        ended(index, result);
    }
}
