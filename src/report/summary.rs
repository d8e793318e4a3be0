//! The last line of a step: what was done, to what, and at what cost.

use super::human;
use super::outcome::{Action, DestinationReport, DestinationState, Outcome, Previous};
use super::subject::{ReportScope, ReportSubject, StepVerb};
use crate::image::digest::Digest;

/// Maximum number of tags in a line; the report has them all.
const NAMED_TAGS: usize = 5;
/// Maximum number of failed lines in the summary; each was printed when it failed.
const NAMED_LINES: usize = 20;

/// Blobs of all destinations by what was done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TransferTally {
    pub(super) sent: Count,
    pub(super) mounted: Count,
    pub(super) present: Count,
    pub(super) foreign: Count,
    /// Manifests that were sent.
    pub(super) manifests: usize,
}

/// A number of blobs and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    pub(super) blobs: usize,
    pub(super) bytes: u64,
}

impl TransferTally {
    /// Counts over all destinations of `subject`.
    pub(super) fn of(subject: ReportSubject) -> Self {
        let destinations = subject.destinations();
        let mut tally = Self::default();
        for blob in destinations.clone().flat_map(|destination| &destination.blobs) {
            let count = match blob.action {
                Action::Sent => &mut tally.sent,
                Action::Mounted => &mut tally.mounted,
                Action::Present => &mut tally.present,
                Action::Foreign => &mut tally.foreign,
            };
            count.blobs += 1;
            count.bytes = count.bytes.saturating_add(blob.size);
        }
        let manifests = destinations.flat_map(|destination| &destination.manifests);
        tally.manifests = manifests.filter(|manifest| manifest.action == Action::Sent).count();
        tally
    }
}

/// One line such as `promoted ghcr.io/org/app:v1 (8 platforms): 40 blobs sent (120.5 MB), 8 mounted, 4 already there,
/// in 3.2 s`, or `promoted 198 of 200 images (150 unchanged): 96 blobs sent (120.5 MB), in 3.2 s; line 7 failed`.
pub(super) fn summary(subject: ReportSubject) -> String {
    let (done, what) = match subject.scope {
        ReportScope::Image(outcome) => {
            let headline = headline(subject.verb, outcome);
            if common_state(outcome) == Some(DestinationState::Skipped) {
                return format!("{headline} {}, which points to another image", name(outcome));
            }
            (headline, format!("{}{}", name(outcome), contents(outcome)))
        }
        ReportScope::List(list) => {
            let unchanged = list.reports.iter().filter(|report| is_unchanged(report)).count();
            let unchanged = if unchanged > 0 { format!(" ({unchanged} unchanged)") } else { String::new() };
            (subject.verb.done.to_owned(), format!("{}{unchanged}", list.count()))
        }
    };
    let (costs, failed, totals) = (costs(subject), failed_lines(subject), subject.totals());
    if subject.is_plan() {
        let (step, requests) = (subject.verb.name, totals.requests);
        return format!("would {step} {what}: {costs}, about {requests} requests; nothing was written{failed}");
    }
    format!("{done} {what}: {costs}, in {}{failed}", human::seconds(totals.seconds))
}

/// The size of a result: ` (8 platforms)`.
fn contents(outcome: &Outcome) -> String {
    match (outcome.platforms.len(), outcome.resources.len()) {
        (0, 0) => String::new(),
        (0, number) => format!(" ({})", human::count(number, "resource")),
        (number, _) => format!(" ({})", human::count(number, "platform")),
    }
}

fn is_unchanged(report: &Outcome) -> bool {
    report.destinations.iter().all(|destination| destination.state == DestinationState::Unchanged)
}

fn failed_lines(subject: ReportSubject) -> String {
    let failed = subject.failed();
    let numbers: Vec<String> = failed.iter().take(NAMED_LINES).map(|failure| failure.line.line.to_string()).collect();
    match (numbers.as_slice(), failed.len().saturating_sub(NAMED_LINES)) {
        ([], _) => String::new(),
        ([one], _) => format!("; line {one} failed"),
        (some, 0) => format!("; the lines {} failed", some.join(", ")),
        (some, more) => format!("; the lines {} and {more} more failed", some.join(", ")),
    }
}

/// What a dry run would do with each blob, one line each, the largest first.
pub(super) fn plan(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for destination in outcome.destinations.iter().filter(|_| outcome.dry_run) {
        let mut blobs: Vec<_> = destination.blobs.iter().collect();
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        for blob in blobs {
            let (what, bytes) = (plan_word(blob.action), human::bytes(blob.size));
            lines.push(format!("{what} {} ({bytes}) in {}", blob.digest, destination.name));
        }
    }
    lines
}

pub(super) fn plan_word(action: Action) -> &'static str {
    match action {
        Action::Sent => "would send",
        Action::Mounted => "would mount",
        Action::Present => "would skip",
        Action::Foreign => "would skip foreign layer",
    }
}

/// The verb before a reference: `promoted`.
pub(super) fn headline(verb: StepVerb, outcome: &Outcome) -> String {
    match common_state(outcome) {
        _ if outcome.dry_run => format!("nothing written, a plan: {}", verb.name),
        Some(DestinationState::Unchanged) => "unchanged:".to_owned(),
        Some(DestinationState::Skipped) => "skipped:".to_owned(),
        _ if is_as_read(outcome) => verb.same.to_owned(),
        _ => verb.done.to_owned(),
    }
}

fn is_as_read(outcome: &Outcome) -> bool {
    outcome.source.as_ref().is_some_and(|source| source.digest == outcome.digest)
}

/// The destination to name: the first where something is written, otherwise the first.
pub(super) fn spoken_of(outcome: &Outcome) -> Option<&DestinationReport> {
    let written =
        |place: &&DestinationReport| matches!(place.state, DestinationState::Written | DestinationState::Planned);
    outcome.destinations.iter().find(written).or(outcome.destinations.first())
}

/// The tags that were moved, one line for all that pointed to the same digest: `registry.example/app:v1, v1.2 was
/// sha256:…`. The full digest is needed to move them back.
pub(super) fn moved(outcome: &Outcome) -> Vec<String> {
    let verb = if outcome.dry_run { "is" } else { "was" };
    let mut lines = Vec::new();
    for destination in &outcome.destinations {
        let mut told: Vec<&Digest> = Vec::new();
        for Previous { digest, .. } in &destination.previous {
            if told.contains(&digest) {
                continue;
            }
            told.push(digest);
            let same = destination.previous.iter().filter(|other| other.digest == *digest);
            let tags: Vec<&str> = same.map(|moved| moved.tag.as_str()).collect();
            lines.push(format!("{}:{} {verb} {digest}", destination.name, named(&tags)));
        }
    }
    lines
}

/// Some tags by name, and how many more there are.
fn named(tags: &[&str]) -> String {
    let first = tags.iter().take(NAMED_TAGS).copied().collect::<Vec<_>>().join(", ");
    match tags.len().saturating_sub(NAMED_TAGS) {
        0 => first,
        more => format!("{first} and {}", human::count(more, "more tag")),
    }
}

/// A reference with all tags, and how many more destinations there are.
fn name(outcome: &Outcome) -> String {
    let first = match (spoken_of(outcome), &outcome.source) {
        (Some(destination), _) => in_full(destination),
        (None, Some(source)) => source.reference.clone(),
        (None, None) => outcome.digest.to_string(),
    };
    match outcome.destinations.len() {
        0 | 1 => first,
        number => format!("{first} and {}", human::count(number - 1, "other destination")),
    }
}

fn in_full(destination: &DestinationReport) -> String {
    let tags: Vec<&str> = destination.tags.iter().map(String::as_str).collect();
    // One that was also written by digest is named by that.
    if tags.is_empty() || !destination.reference.ends_with(&format!(":{}", tags[0])) {
        let tags = if tags.is_empty() { String::new() } else { format!(", {}", named(&tags)) };
        return format!("{}{tags}", destination.reference);
    }
    format!("{}:{}", destination.name, named(&tags))
}

/// The state of the destinations if it is the same for all.
fn common_state(outcome: &Outcome) -> Option<DestinationState> {
    let first = outcome.destinations.first()?.state;
    outcome.destinations.iter().all(|destination| destination.state == first).then_some(first)
}

/// What was done, or would be done in a dry run.
fn costs(subject: ReportSubject) -> String {
    let (tally, dry_run) = (TransferTally::of(subject), subject.is_plan());
    let (sent, mounted) = if dry_run { ("to send", "to mount") } else { ("sent", "mounted") };
    let mut parts = Vec::new();
    if tally.sent.blobs > 0 {
        let bytes = human::bytes(tally.sent.bytes);
        parts.push(format!("{} {sent} ({bytes})", human::count(tally.sent.blobs, "blob")));
    }
    for (count, what) in
        [(tally.mounted, mounted), (tally.present, "already there"), (tally.foreign, "foreign, skipped")]
    {
        if count.blobs > 0 {
            // The noun appears once, after the first number.
            let number = if parts.is_empty() { human::count(count.blobs, "blob") } else { count.blobs.to_string() };
            let bytes = if dry_run { format!(" ({})", human::bytes(count.bytes)) } else { String::new() };
            parts.push(format!("{number} {what}{bytes}"));
        }
    }
    if parts.is_empty() {
        parts.push("no blobs to send".to_owned());
    }
    let skipped = subject.destinations().filter(|destination| destination.state == DestinationState::Skipped).count();
    if skipped > 0 {
        parts.push(format!("{} skipped", human::count(skipped, "destination")));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn image(outcome: &Outcome) -> String {
        summary(sample::subject(outcome))
    }

    #[test]
    fn a_promotion_is_told_in_one_line() {
        let mut outcome = sample::promoted();
        assert_eq!(
            image(&outcome),
            "promoted registry.example/team/app:v1, latest and 1 other destination (2 platforms): 2 blobs sent (120.5 MB), \
             1 mounted, 2 already there, in 3.2 s"
        );
        outcome.destinations.truncate(1);
        assert_eq!(
            image(&outcome),
            "promoted registry.example/team/app:v1, latest (2 platforms): 2 blobs sent (120.5 MB), 1 mounted, 1 already there, \
             in 3.2 s"
        );
    }

    #[test]
    fn what_did_not_happen_is_not_claimed() {
        let mut outcome = sample::single();
        outcome.destinations[0].state = DestinationState::Planned;
        outcome.dry_run = true;
        assert_eq!(
            image(&outcome),
            "would promote registry.example/team/app:v1, latest (1 platform): 2 blobs to send (120.5 MB), 1 to mount (2.0 MB), \
             1 already there (300.0 kB), about 42 requests; nothing was written"
        );

        outcome.dry_run = false;
        outcome.destinations[0].state = DestinationState::Unchanged;
        outcome.destinations[0].blobs.retain(|blob| blob.action == Action::Present);
        assert_eq!(
            image(&outcome),
            "unchanged: registry.example/team/app:v1, latest (1 platform): 1 blob already there, in 3.2 s"
        );

        outcome.destinations[0].blobs.clear();
        outcome.platforms.clear();
        assert_eq!(image(&outcome), "unchanged: registry.example/team/app:v1, latest: no blobs to send, in 3.2 s");

        outcome.destinations[0].state = DestinationState::Skipped;
        assert_eq!(image(&outcome), "skipped: registry.example/team/app:v1, latest, which points to another image");
    }

    #[test]
    fn moved_tags_are_told_with_what_they_named() {
        let mut outcome = sample::promoted();
        let other = Previous { tag: "latest".into(), digest: sample::digest("older") };
        outcome.destinations[0].previous = vec![sample::previous("v1"), other, sample::previous("v1.2")];
        let (old, older) = (sample::digest("old"), sample::digest("older"));
        let name = "registry.example/team/app";
        assert_eq!(moved(&outcome), [format!("{name}:v1, v1.2 was {old}"), format!("{name}:latest was {older}")]);
        outcome.dry_run = true;
        outcome.destinations[0].previous.truncate(1);
        assert_eq!(moved(&outcome), [format!("{name}:v1 is {old}")]);
    }

    #[test]
    fn many_tags_are_counted_behind_the_first_five() {
        let mut outcome = sample::single();
        outcome.destinations[0].tags = (1..=6).map(|number| format!("t{number}")).collect();
        outcome.destinations[0].reference = "registry.example/team/app:t1".into();
        assert!(image(&outcome).starts_with("promoted registry.example/team/app:t1, t2, t3, t4, t5 and 1 more tag (1"));
        let pinned = outcome.destinations[0].pinned.clone();
        outcome.destinations[0].reference.clone_from(&pinned);
        outcome.destinations[0].tags.truncate(2);
        assert!(image(&outcome).starts_with(&format!("promoted {pinned}, t1, t2 (1 platform)")));
    }

    #[test]
    fn the_destination_that_was_written_is_spoken_of() {
        let mut outcome = sample::promoted();
        outcome.destinations[0].state = DestinationState::Skipped;
        outcome.destinations[0].blobs.clear();
        outcome.destinations[1].state = DestinationState::Written;
        assert_eq!(
            image(&outcome),
            "promoted mirror.example/app:v1 and 1 other destination (2 platforms): 1 blob already there, \
             1 destination skipped, in 3.2 s"
        );
    }

    #[test]
    fn a_list_is_told_in_one_line() {
        let summary = |list: &super::super::list::ListOutcome| summary(ReportSubject::list(sample::PROMOTE, list));
        let mut list = sample::list();
        assert_eq!(
            summary(&list),
            "promoted 2 of 3 images: 4 blobs sent (241.0 MB), 2 mounted, 3 already there, in 9.0 s; line 7 failed"
        );
        let failure = list.failed.remove(0);
        list.reports.remove(1);
        list.reports[0].destinations.remove(0);
        assert_eq!(summary(&list), "promoted 1 image (1 unchanged): 1 blob already there, in 9.0 s");
        list.dry_run = true;
        assert_eq!(
            summary(&list),
            "would promote 1 image (1 unchanged): 1 blob already there (200.0 kB), about 99 requests; nothing was written"
        );
        list.failed = vec![failure; 23];
        let told = summary(&list);
        assert!(told.contains("would promote 1 of 24 images") && told.ends_with(", 7 and 3 more failed"), "{told}");
    }

    #[test]
    fn a_step_that_changed_nothing_says_so() {
        let outcome = sample::single();
        let mutate = StepVerb { name: "mutate", done: "changed", same: "unchanged:" };
        assert!(summary(ReportSubject::image(mutate, &outcome)).starts_with("unchanged: registry.example/"));
        let mut changed = outcome;
        changed.digest = sample::digest("another");
        assert!(summary(ReportSubject::image(mutate, &changed)).starts_with("changed registry.example/"));
    }
}
