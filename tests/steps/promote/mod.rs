//! `imgstep promote`: one file for each topic.

mod again;
mod credentials;
mod destinations;
mod dry_run;
mod exit_status;
mod failures;
mod faults;
mod growth;
mod guards;
mod http2;
mod kinds_of_images;
mod layouts;
mod lies;
mod list;
mod manifests;
mod mounts;
mod nested;
mod networks;
mod odd;
mod patience;
mod platforms;
mod previous;
mod progress;
mod ranges;
mod results;
mod signals;
mod tls;
mod tokens;
mod uploads;

use crate::support::step::Step;
use crate::support::{Image, imgstep};

/// `imgstep promote SOURCE DESTINATION`.
fn promote(source: &str, destination: &str) -> Step {
    imgstep(["promote", source, destination])
}

/// The line that a step prints for an image written to `host/repository`.
fn line(name: &str, image: &Image) -> String {
    format!("{name}@{}", image.digest())
}
