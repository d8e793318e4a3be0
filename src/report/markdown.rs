//! The job summary on a workflow run's page, in GitHub's markdown.

use std::fmt::Write as _;

use super::failure::{self, FailedStep};
use super::human;
use super::inspection::Inspection;
use super::list::ListOutcome;
use super::outcome::{DestinationReport, DestinationState, Outcome};
use super::subject::{ReportScope, ReportSubject, StepVerb};
use super::summary::{Count, TransferTally, headline, plan_word, spoken_of};
use super::tree::{self, Width};
use crate::text::printable;

/// Maximum length of a foreign text, in characters.
const TEXT_LIMIT: usize = 1000;
/// The note that the rest is omitted.
const CUT: &str = "\n*The rest is left out: a job summary has a limit.*\n";

/// Summarises `subject` in at most `room` bytes.
pub(super) fn render(subject: ReportSubject, room: usize) -> String {
    let text = match subject.scope {
        ReportScope::Image(outcome) => render_image(subject, outcome),
        ReportScope::List(list) => render_list(subject, list),
    };
    cut(text, room)
}

fn render_image(subject: ReportSubject, outcome: &Outcome) -> String {
    let mut text = heading(subject.verb, outcome);
    destinations(&mut text, outcome);
    platforms(&mut text, outcome);
    resources(&mut text, outcome);
    costs(&mut text, subject);
    warnings(&mut text, outcome);
    plan(&mut text, outcome);
    text
}

/// One table of all images; it comes last, so that the limit cuts it first.
fn render_list(subject: ReportSubject, list: &ListOutcome) -> String {
    let done = if list.dry_run {
        format!("Nothing written, a plan: {}", subject.verb.name)
    } else {
        capital(subject.verb.done)
    };
    let mut text = format!("### {done} {}\n\n", list.count());
    if !list.failed.is_empty() {
        text.push_str("| Line | From | It failed |\n|--:|---|---|\n");
        for failure in &list.failed {
            let (line, source) = (failure.line.line, code(&failure.line.source));
            let _ = writeln!(text, "| {line} | {source} | {} |", prose(&failure.error));
        }
        text.push('\n');
    }
    costs(&mut text, subject);
    if list.reports.is_empty() {
        return text;
    }
    text.push_str("\n| From | Name | Digest | |\n|---|---|---|---|\n");
    for report in &list.reports {
        let source = report.source.as_ref().map(|source| code(&source.reference)).unwrap_or_default();
        for destination in &report.destinations {
            let names: Vec<String> = names(destination).iter().map(|name| code(name)).collect();
            let (digest, state) = (code(destination.digest.as_str()), state(destination.state));
            let _ = writeln!(text, "| {source} | {} | {digest} | {state} |", names.join("<br>"));
        }
    }
    text
}

/// Summarises a failed step in at most `room` bytes: the reason, its request, and the meaning of the exit status.
pub(super) fn render_failed(failed: &FailedStep, room: usize) -> String {
    let asked = &failed.asked;
    let mut text = match &asked.step {
        Some(step) => format!("### {} failed\n\n", code(step)),
        None => "### imgstep failed\n\n".to_owned(),
    };
    let _ = writeln!(text, "> [!CAUTION]\n> {}\n", prose(&failed.error.message));
    if let Some(hint) = &failed.error.hint {
        let _ = writeln!(text, "Hint: {}\n", prose(hint));
    }
    let from = asked.source.iter().map(|source| ("From", source));
    let to = asked.destinations.iter().map(|destination| ("To", destination));
    let words: Vec<String> = from.chain(to).map(|(what, word)| format!("{what} {}", code(word))).collect();
    if !words.is_empty() {
        let _ = writeln!(text, "{}\n", words.join("<br>"));
    }
    let status = failed.error.status;
    let _ = writeln!(text, "Exit status {status}: {}.", failure::meaning(status));
    cut(text, room)
}

/// The content of an image in at most `room` bytes: the tree as on stdout.
pub(super) fn render_inspection(inspection: &Inspection, room: usize) -> String {
    let heading = format!("### {}\n\n", code(&inspection.reference));
    let tree = tree::tree(inspection, Width::Whole);
    // Longer than any in a foreign text.
    let fence = "`".repeat(tree.split(|letter| letter != '`').map(str::len).max().unwrap_or(0).max(2) + 1);
    let tree = cut(tree, room.saturating_sub(heading.len() + 2 * fence.len() + 8));
    let text = format!("{heading}{fence}text\n{tree}{fence}\n");
    if tree.is_empty() || text.len() > room { String::new() } else { text }
}

fn heading(verb: StepVerb, outcome: &Outcome) -> String {
    let done = capital(&headline(verb, outcome));
    let mut text = match spoken_of(outcome) {
        Some(first) => format!("### {done} {}\n\n", code(&first.reference)),
        None => format!("### {done}\n\n"),
    };
    for (what, source) in [("From", &outcome.source), ("On the base", &outcome.base)] {
        if let Some(source) = source {
            let _ = writeln!(text, "{what} {} ({})\n", code(&source.reference), code(source.digest.as_str()));
        }
    }
    text
}

fn destinations(text: &mut String, outcome: &Outcome) {
    if outcome.destinations.is_empty() {
        let _ = writeln!(text, "Digest {}\n", code(outcome.digest.as_str()));
        return;
    }
    text.push_str("| Name | Digest | |\n|---|---|---|\n");
    for destination in &outcome.destinations {
        let names: Vec<String> = names(destination).iter().map(|name| code(name)).collect();
        let digest = code(destination.digest.as_str());
        let _ = writeln!(text, "| {} | {digest} | {} |", names.join("<br>"), state(destination.state));
    }
    text.push('\n');
    previous(text, outcome);
}

/// The tags that were moved, with their previous digests.
fn previous(text: &mut String, outcome: &Outcome) {
    if outcome.destinations.iter().all(|destination| destination.previous.is_empty()) {
        return;
    }
    let before = if outcome.dry_run { "It names now" } else { "It named before" };
    let _ = writeln!(text, "| Moved tag | {before} |\n|---|---|");
    for destination in &outcome.destinations {
        for moved in &destination.previous {
            let name = code(&format!("{}:{}", destination.name, moved.tag));
            let _ = writeln!(text, "| {name} | {} |", code(moved.digest.as_str()));
        }
    }
    text.push('\n');
}

/// Every full name; by digest if there is no tag.
fn names(destination: &DestinationReport) -> Vec<String> {
    if destination.tags.is_empty() {
        return vec![destination.pinned.clone()];
    }
    destination.tags.iter().map(|tag| format!("{}:{tag}", destination.name)).collect()
}

fn state(state: DestinationState) -> &'static str {
    match state {
        DestinationState::Written => "written",
        DestinationState::Unchanged => "unchanged",
        DestinationState::Skipped => "skipped",
        DestinationState::Planned => "would be written",
    }
}

fn platforms(text: &mut String, outcome: &Outcome) {
    if outcome.platforms.is_empty() {
        return;
    }
    // The manifest of an image that already existed wasn't read.
    let sized = outcome.platforms.iter().any(|image| image.size.is_some());
    let (title, line) = if sized { (" Size |", "--:|") } else { ("", "") };
    let _ = writeln!(text, "| Platform | Digest |{title}\n|---|---|{line}");
    for image in &outcome.platforms {
        let size = match image.size {
            Some(size) => format!(" {} |", human::bytes(size)),
            None if sized => " |".to_owned(),
            None => String::new(),
        };
        let _ = writeln!(text, "| {} | {} |{size}", code(&image.platform), code(image.digest.as_str()));
    }
    text.push('\n');
}

fn resources(text: &mut String, outcome: &Outcome) {
    if outcome.resources.is_empty() {
        return;
    }
    text.push_str("| Kind | Name | API version |\n|---|---|---|\n");
    for resource in &outcome.resources {
        let [kind, name, version] = [&resource.kind, &resource.name, &resource.api_version].map(|word| code(word));
        let _ = writeln!(text, "| {kind} | {name} | {version} |");
    }
    text.push('\n');
}

fn costs(text: &mut String, subject: ReportSubject) {
    let (tally, totals, dry_run) = (TransferTally::of(subject), subject.totals(), subject.is_plan());
    let (sent, mounted) = if dry_run {
        ("to send", "to mount from another repository")
    } else {
        ("sent", "mounted from another repository")
    };
    let rows: Vec<(&str, Count)> = [
        (sent, tally.sent),
        (mounted, tally.mounted),
        ("already there", tally.present),
        ("foreign, skipped", tally.foreign),
    ]
    .into_iter()
    .filter(|(_, count)| count.blobs > 0)
    .collect();
    if !rows.is_empty() {
        text.push_str("| Layers and configs | Number | Bytes |\n|---|--:|--:|\n");
        for (what, count) in rows {
            let _ = writeln!(text, "| {what} | {} | {} |", count.blobs, human::bytes(count.bytes));
        }
        text.push('\n');
    }
    let requests = usize::try_from(totals.requests).unwrap_or(usize::MAX);
    let _ = writeln!(
        text,
        "{} {sent}, {}, {}.",
        human::count(tally.manifests, "manifest"),
        human::count(requests, "request"),
        human::seconds(totals.seconds)
    );
}

/// What a dry run would do with each blob. Last, since it may be long.
fn plan(text: &mut String, outcome: &Outcome) {
    let blobs = || outcome.destinations.iter().flat_map(|place| place.blobs.iter().map(move |blob| (place, blob)));
    if !outcome.dry_run || blobs().next().is_none() {
        return;
    }
    text.push_str("\n| Blob | Size | | Where |\n|---|--:|---|---|\n");
    let mut rows: Vec<_> = blobs().collect();
    rows.sort_by_key(|(_, blob)| std::cmp::Reverse(blob.size));
    for (place, blob) in rows {
        let (digest, size, what) = (code(blob.digest.as_str()), human::bytes(blob.size), plan_word(blob.action));
        let _ = writeln!(text, "| {digest} | {size} | {what} | {} |", code(&place.name));
    }
}

fn warnings(text: &mut String, outcome: &Outcome) {
    if outcome.warnings.is_empty() {
        return;
    }
    text.push_str("\n> [!WARNING]\n");
    for warning in &outcome.warnings {
        let _ = writeln!(text, "> - {}", prose(warning));
    }
}

/// Foreign text as code. Characters of references are harmless between backticks; all others are written as character
/// references, which markdown doesn't interpret.
fn code(text: &str) -> String {
    let text = printable(text, TEXT_LIMIT);
    let harmless = |character: char| character.is_ascii_alphanumeric() || ".-_/:@+".contains(character);
    if !text.is_empty() && text.chars().all(harmless) {
        format!("`{text}`")
    } else {
        format!("<code>{}</code>", escape(&text, " ./-"))
    }
}

/// Foreign text as prose: it can't create links, mentions, tables or tags.
fn prose(text: &str) -> String {
    escape(&printable(text, TEXT_LIMIT), " .,-/;()=+%?'")
}

/// Escapes every ASCII character, except letters, digits and those in `kept`, as a character reference.
fn escape(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if !character.is_ascii() || character.is_ascii_alphanumeric() || kept.contains(character) {
            out.push(character);
        } else {
            let _ = write!(out, "&#{};", u32::from(character));
        }
    }
    out
}

/// Cuts `text` after a line so that it fits into `room` bytes, with a note; empty if even the note doesn't fit.
fn cut(text: String, room: usize) -> String {
    if text.len() <= room {
        return text;
    }
    let Some(kept) =
        room.checked_sub(CUT.len()).and_then(|room| text.as_bytes()[..room].iter().rposition(|byte| *byte == b'\n'))
    else {
        return String::new();
    };
    format!("{}{CUT}", &text[..=kept])
}

fn capital(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::failure::FailedRequest;
    use super::super::sample;
    use super::*;
    use crate::error::{Error, ErrorKind};

    #[test]
    fn a_person_finds_everything() {
        let (index, amd64, arm64) = (sample::digest("index"), sample::digest("amd64"), sample::digest("arm64"));
        let mut outcome = sample::promoted();
        outcome.warnings.push("the source's tag moved <meanwhile>".into());
        let expected = format!(
            "### Promoted `registry.example/team/app:v1`

From `ghcr.io/org/build:main` (`{index}`)

| Name | Digest | |
|---|---|---|
| `registry.example/team/app:v1`<br>`registry.example/team/app:latest` | `{index}` | written |
| `mirror.example/app:v1` | `{index}` | unchanged |

| Platform | Digest | Size |
|---|---|--:|
| `linux/amd64` | `{amd64}` | 60.0 MB |
| `linux/arm64/v8` | `{arm64}` | |

| Layers and configs | Number | Bytes |
|---|--:|--:|
| sent | 2 | 120.5 MB |
| mounted from another repository | 1 | 2.0 MB |
| already there | 2 | 500.0 kB |

2 manifests sent, 42 requests, 3.2 s.

> [!WARNING]
> - the source's tag moved &#60;meanwhile&#62;
"
        );
        assert_eq!(render(sample::subject(&outcome), usize::MAX), expected);
    }

    #[test]
    fn a_list_is_one_table_and_what_failed_comes_first() {
        let index = sample::digest("index");
        let expected = format!(
            "### Promoted 2 of 3 images

| Line | From | It failed |
|--:|---|---|
| 7 | `ghcr.io/org/gone:main` | ghcr.io/org/gone&#58;main does not exist |

| Layers and configs | Number | Bytes |
|---|--:|--:|
| sent | 4 | 241.0 MB |
| mounted from another repository | 2 | 4.0 MB |
| already there | 3 | 800.0 kB |

4 manifests sent, 99 requests, 9.0 s.

| From | Name | Digest | |
|---|---|---|---|
| `ghcr.io/org/build:main` | `registry.example/team/app:v1`<br>`registry.example/team/app:latest` | `{index}` | written |
| `ghcr.io/org/build:main` | `mirror.example/app:v1` | `{index}` | unchanged |
| `ghcr.io/org/build:main` | `registry.example/team/app:v1`<br>`registry.example/team/app:latest` | `{index}` | written |
"
        );
        let list = sample::list();
        assert_eq!(render(ReportSubject::list(sample::PROMOTE, &list), usize::MAX), expected);
        let short = render(ReportSubject::list(sample::PROMOTE, &list), expected.len() - 1);
        assert!(short.ends_with(CUT) && short.contains("| unchanged |"), "{short}");
    }

    #[test]
    fn what_a_bundle_holds_is_told() {
        let verb = StepVerb { name: "bundle", done: "bundled", same: "bundled" };
        let text = render(ReportSubject::image(verb, &sample::bundled()), usize::MAX);
        assert!(text.starts_with("### Bundled `registry.example/team/app:v1`\n"), "{text}");
        let table = "| Kind | Name | API version |\n|---|---|---|\n| `Task` | `build` | `tekton.dev/v1` |\n\n";
        assert!(text.contains(table), "{text}");
        assert!(!text.contains("| Platform |"), "{text}");
    }

    #[test]
    fn a_plan_is_not_told_as_done() {
        let mut outcome = sample::single();
        outcome.dry_run = true;
        outcome.destinations[0].state = DestinationState::Planned;
        let text = render(sample::subject(&outcome), usize::MAX);
        assert!(text.starts_with("### Nothing written, a plan: promote `registry.example/team/app:v1`\n"), "{text}");
        assert!(text.contains("| would be written |"), "{text}");
        let blob = sample::digest("layer 1");
        assert!(
            text.contains(&format!("| `{blob}` | 100.0 MB | would send | `registry.example/team/app` |\n")),
            "{text}"
        );
        assert!(text.contains("\n| to send | 2 |") && text.contains("2 manifests to send"), "{text}");
        assert!(!text.contains("Promoted"), "{text}");
    }

    #[test]
    fn the_way_back_is_told() {
        let mut outcome = sample::promoted();
        assert!(!render(sample::subject(&outcome), usize::MAX).contains("before"));
        outcome.destinations[0].previous = vec![sample::previous("v1")];
        let row = format!("\n| `registry.example/team/app:v1` | `{}` |\n", sample::digest("old"));
        let text = render(sample::subject(&outcome), usize::MAX);
        assert!(text.contains("| Moved tag | It named before |\n") && text.contains(&row), "{text}");
    }

    #[test]
    fn a_failure_says_what_was_asked_and_why_it_was_not_done() {
        let error = ErrorKind::SourceMissing { reference: "r.example/app:v1".into(), answer: "<404>".into() };
        let error = Error::from(error).with_hint("name|another");
        let asked = FailedRequest {
            step: Some("promote".into()),
            source: Some("r.example/app:v1".into()),
            destinations: vec!["r.example/copy:v1".into(), "a|b".into()],
        };
        let failed = FailedStep::new(asked, &error);
        assert_eq!(
            render_failed(&failed, usize::MAX),
            "### `promote` failed

> [!CAUTION]
> r.example/app&#58;v1 does not exist&#58; &#60;404&#62;

Hint: name&#124;another

From `r.example/app:v1`<br>To `r.example/copy:v1`<br>To <code>a&#124;b</code>

Exit status 5: the source does not exist.
"
        );
        let unknown = FailedStep::usage(FailedRequest::default(), "no such step");
        assert!(
            render_failed(&unknown, usize::MAX).starts_with("### imgstep failed\n\n> [!CAUTION]\n> no such step\n")
        );
    }

    #[test]
    fn text_of_others_stays_text() {
        assert_eq!(code("linux/amd64"), "`linux/amd64`");
        assert_eq!(code("a|b`c\n<img src=x>"), "<code>a&#124;b&#96;c&#92;n&#60;img src&#61;x&#62;</code>");
        assert_eq!(code(""), "<code></code>");
        assert_eq!(prose("[x](https://e.example) @all #1"), "&#91;x&#93;(https&#58;//e.example) &#64;all &#35;1");
        let mut outcome = sample::single();
        outcome.platforms[0].platform = "linux | <script>".into();
        assert!(
            render(sample::subject(&outcome), usize::MAX).contains("| <code>linux &#124; &#60;script&#62;</code> |")
        );
    }

    #[test]
    fn a_long_summary_ends_behind_a_line() {
        let outcome = sample::promoted();
        let whole = render(sample::subject(&outcome), usize::MAX);
        assert_eq!(render(sample::subject(&outcome), whole.len()), whole);
        let short = render(sample::subject(&outcome), whole.len() - 1);
        assert!(short.len() < whole.len());
        let kept = short.strip_suffix(CUT).unwrap();
        assert!(kept.ends_with('\n') && whole.starts_with(kept) && kept.len() > 100, "{short}");
        assert_eq!(render(sample::subject(&outcome), 10), "");
    }
}
