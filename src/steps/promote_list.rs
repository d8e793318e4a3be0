//! `promote --list`: many promotions, a few at a time, over the same connections, with the same tokens and under the same
//! limits. One that fails does not stop the others.

use futures_util::StreamExt as _;
use futures_util::stream;

use super::context::Context;
use super::promote::{self, Request};
use crate::error::Result;
use crate::report::outcome::Outcome;

/// So many images are worked on at once. Most of an image's time is waiting for answers, one after the other, and a small
/// image has about four requests under way: so many images fill the usual room of a host.
const IMAGES_AT_ONCE: usize = 16;

/// A line of a list: an image, and its number there.
#[derive(Debug, Clone)]
pub struct ListEntry {
    /// Its number, from 1.
    pub number: usize,
    /// What it asks for.
    pub request: Request,
}

/// Carries all of `lines` out. `ended` hears of each when it has ended, by its position among them.
pub async fn run(context: &Context, lines: &[ListEntry], mut ended: impl FnMut(usize, Result<Outcome>)) {
    let promotions = lines.iter().enumerate().map(|(position, line)| async move {
        let context = context.of_one();
        (position, promote::run(&context, &line.request).await)
    });
    let mut under_way = stream::iter(promotions).buffer_unordered(IMAGES_AT_ONCE);
    while let Some((position, result)) = under_way.next().await {
        ended(position, result);
    }
}
