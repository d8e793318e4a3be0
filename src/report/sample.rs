//! Outcomes for the tests of this module.

use super::failure::Reason;
use super::list::{ListFailure, ListLine, ListOutcome};
use super::outcome::{
    Action, BlobTransfer, BundledResource, DestinationReport, DestinationState, ManifestTransfer, Outcome,
    PlatformImage, Previous, SourceReport, Totals,
};
use super::subject::{ReportSubject, StepVerb};
use crate::image::digest::Digest;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The step that most samples are of.
pub const PROMOTE: StepVerb = StepVerb { name: "promote", done: "promoted", same: "promoted" };

/// `outcome` as one of [`PROMOTE`].
pub fn subject(outcome: &Outcome) -> ReportSubject<'_> {
    ReportSubject::image(PROMOTE, outcome)
}

/// A bundle of one task.
pub fn bundled() -> Outcome {
    let task = BundledResource {
        api_version: "tekton.dev/v1".into(),
        kind: "Task".into(),
        name: "build".into(),
        digest: digest("task"),
    };
    Outcome {
        step: "bundle",
        source: None,
        media_type: MANIFEST.into(),
        platforms: Vec::new(),
        images: Vec::new(),
        resources: vec![task],
        ..single()
    }
}

/// A digest that is the same on every run.
pub fn digest(seed: &str) -> Digest {
    Digest::of(seed.as_bytes())
}

/// An index of two platforms and an attestation, promoted to two destinations.
pub fn promoted() -> Outcome {
    let second = DestinationReport {
        state: DestinationState::Unchanged,
        manifests: Vec::new(),
        blobs: vec![blob("layer 0", 200_000, Action::Present)],
        ..destination("mirror.example/app", &["v1"])
    };
    Outcome {
        schema_version: 1,
        step: "promote",
        dry_run: false,
        source: Some(source("ghcr.io/org/build", "main")),
        base: None,
        digest: digest("index"),
        media_type: INDEX.into(),
        size: 1234,
        platforms: vec![
            PlatformImage { platform: "linux/amd64".into(), digest: digest("amd64"), size: Some(60_000_000) },
            PlatformImage { platform: "linux/arm64/v8".into(), digest: digest("arm64"), size: None },
        ],
        images: vec![digest("amd64"), digest("arm64"), digest("attestation")],
        resources: Vec::new(),
        destinations: vec![destination("registry.example/team/app", &["v1", "latest"]), second],
        totals: Totals {
            requests: 42,
            sent_bytes: 120_502_468,
            mounted_bytes: 2_000_000,
            present_bytes: 500_000,
            seconds: 3.21,
        },
        warnings: Vec::new(),
    }
}

/// A single image, promoted to one destination.
pub fn single() -> Outcome {
    let mut outcome = promoted();
    outcome.media_type = MANIFEST.into();
    outcome.platforms.truncate(1);
    outcome.images.clear();
    outcome.destinations.truncate(1);
    outcome
}

/// [`promoted`] and [`single`], and a line between them that failed.
pub fn list() -> ListOutcome {
    let line = ListLine {
        line: 7,
        source: "ghcr.io/org/gone:main".into(),
        destinations: vec!["registry.example/team/gone:v1".into()],
    };
    ListOutcome {
        schema_version: 1,
        step: "promote",
        dry_run: false,
        reports: vec![promoted(), single()],
        failed: vec![ListFailure::new(line, missing())],
        totals: Totals { requests: 99, seconds: 9.0, ..Totals::default() },
    }
}

fn missing() -> Reason {
    Reason {
        kind: "sourceMissing",
        guard: None,
        status: 5,
        message: "ghcr.io/org/gone:main does not exist".into(),
        hint: None,
        reference: Some("ghcr.io/org/gone:main".into()),
    }
}

/// What a step read: `name:tag`, with the digest of [`promoted`].
pub fn source(name: &str, tag: &str) -> SourceReport {
    SourceReport {
        reference: format!("{name}:{tag}"),
        name: name.into(),
        digest: digest("index"),
        media_type: INDEX.into(),
    }
}

fn destination(name: &str, tags: &[&str]) -> DestinationReport {
    DestinationReport {
        reference: format!("{name}:{}", tags[0]),
        name: name.into(),
        tags: tags.iter().map(ToString::to_string).collect(),
        digest: digest("index"),
        pinned: format!("{name}@{}", digest("index")),
        state: DestinationState::Written,
        previous: Vec::new(),
        manifests: vec![
            ManifestTransfer { digest: digest("amd64"), media_type: MANIFEST.into(), size: 1234, action: Action::Sent },
            ManifestTransfer { digest: digest("index"), media_type: INDEX.into(), size: 1234, action: Action::Sent },
        ],
        blobs: vec![
            blob("layer 1", 100_000_000, Action::Sent),
            blob("layer 2", 20_500_000, Action::Sent),
            blob("layer 3", 2_000_000, Action::Mounted),
            blob("layer 4", 300_000, Action::Present),
        ],
    }
}

/// A tag that named another image before.
pub fn previous(tag: &str) -> Previous {
    Previous { tag: tag.into(), digest: digest("old") }
}

/// A layer of which `action` became.
pub fn blob(seed: &str, size: u64, action: Action) -> BlobTransfer {
    BlobTransfer { digest: digest(seed), media_type: LAYER.into(), size, action, seconds: 0.5 }
}
