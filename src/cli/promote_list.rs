//! `promote --list`: parses the lines of a file into requests, and runs them.

use std::collections::HashMap;
use std::path::Path;

use super::args::{self, list};
use super::promote::{PromoteArgs, untagged};
use super::references::reference;
use crate::error::{Error, Result};
use crate::image::reference::{DEFAULT_TAG, Reference};
use crate::report::list::ListLine;
use crate::report::list_reporter::ListReporter;
use crate::report::stdout::OutputFormat;
use crate::report::subject::StepVerb;
use crate::steps::context::Context;
use crate::steps::promote::Request;
use crate::steps::promote_list::{self, ListEntry};
use crate::transfer::destination::TagTarget;
use crate::workspace;

/// Maximum size of a list, in bytes: about a hundred thousand lines.
const LIST_LIMIT: u64 = 16 * 1024 * 1024;

/// Reads and checks the lines of `--list`; `None` without that option.
///
/// # Errors
/// Other arguments that only apply to a single image, or an invalid line (`ErrorKind::Usage`); a file that can't be
/// read.
pub fn lines(args: &PromoteArgs) -> Result<Option<Vec<ListEntry>>> {
    let given = list(&args.line);
    let text = match (&args.list, given.is_empty()) {
        (None, true) => return Ok(None),
        (Some(_), false) => {
            return Err(Error::usage("--list can't be combined with --line"));
        }
        (Some(file), true) => read(file),
        (None, false) => Ok(given.join("\n")),
    };
    let tags = check_words(args)?;
    let lines = parse(args, &text?, &tags)?;
    check_apart(&lines)?;
    Ok(Some(lines))
}

/// The tags for each destination, unless other arguments only apply to a single image.
fn check_words(args: &PromoteArgs) -> Result<Vec<String>> {
    let given = |words: &[String]| !list(words).is_empty();
    for (word, is_given) in [
        ("SOURCE", given(args.source.as_slice())),
        ("DESTINATION", given(&args.destination)),
        ("--to", given(&args.writing.to)),
        ("--expect-digest", given(args.expect_digest.as_slice())),
    ] {
        if is_given {
            return Err(Error::usage(format!("{word} can't be combined with --list")));
        }
    }
    let (destinations, tags) = args::destinations(&[], &args.writing.tags)?;
    match destinations.first() {
        Some(one) => {
            Err(Error::usage(format!("--tags: {one} is a destination; with --list, only plain tags are allowed")))
        }
        None => Ok(tags),
    }
}

fn read(file: &str) -> Result<String> {
    let bytes = if file == "-" {
        workspace::bounded(std::io::stdin().lock(), LIST_LIMIT).map_err(Error::file("read", "standard input"))
    } else {
        workspace::read(Path::new(file), LIST_LIMIT).map_err(Error::file("read", file))
    };
    String::from_utf8(bytes?).map_err(|_| Error::usage(format!("--list: `{file}` is not UTF-8")))
}

fn parse(args: &PromoteArgs, text: &str, tags: &[String]) -> Result<Vec<ListEntry>> {
    // Some Windows editors write a byte order mark first.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (1..)
        .zip(text.lines().map(str::trim))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| parse_line(args, number, line, tags).map_err(|error| in_line(number, error)))
        .collect()
}

fn parse_line(args: &PromoteArgs, number: usize, line: &str, tags: &[String]) -> Result<ListEntry> {
    let mut words = line.split_whitespace();
    let source = reference("SOURCE", words.next().unwrap_or_default())?;
    let words: Vec<&str> = words.collect();
    let remarks = words.iter().filter_map(|word| untagged(&source, word)).collect();
    let destinations: Vec<Reference> =
        words.into_iter().map(|word| reference("DESTINATION", word)).collect::<Result<_>>()?;
    if destinations.is_empty() {
        return Err(Error::usage(format!("{source} has no destination")).with_hint("write SOURCE DESTINATION"));
    }
    let request = args.request_for(source, destinations, tags.to_vec())?;
    Ok(ListEntry { number, request: Request { remarks, ..request } })
}

fn in_line(number: usize, error: Error) -> Error {
    error.in_option(format_args!("--list, line {number}"))
}

/// Lines run concurrently: two of them must not write the same tag.
fn check_apart(lines: &[ListEntry]) -> Result<()> {
    let mut writers: HashMap<(String, String), &ListEntry> = HashMap::new();
    for line in lines {
        for spec in line.request.write.specs() {
            let name = spec.reference.name();
            for tag in spec.tags.iter().filter_map(TagTarget::tag) {
                let writer = *writers.entry((name.clone(), tag.to_owned())).or_insert(line);
                if writer.request.source != line.request.source {
                    let reason = format!("it writes {name}:{tag}, and so does line {} from elsewhere", writer.number);
                    return Err(in_line(line.number, Error::usage(reason)));
                }
            }
        }
    }
    for line in lines {
        let source = &line.request.source;
        // Content with a digest is the same, whichever line writes it.
        if source.digest().is_some() {
            continue;
        }
        let key = (source.name(), source.tag().unwrap_or(DEFAULT_TAG).to_owned());
        if let Some(writer) = writers.get(&key).filter(|writer| writer.request.source != *source) {
            let error = Error::usage(format!("it reads {source}, which line {} writes", writer.number));
            return Err(in_line(line.number, error.with_hint("put it into another list, for later")));
        }
    }
    Ok(())
}

/// Promotes all of them. Returns the reporter with all results.
pub async fn promote(
    context: &Context,
    verb: StepVerb,
    lines: &[ListEntry],
    dry_run: bool,
    format: OutputFormat,
) -> ListReporter {
    if lines.is_empty() {
        context
            .console
            .warn("--list names no image, so that nothing was promoted: was it written by a command that failed?");
    }
    let named = lines.iter().map(|line| ListLine {
        line: line.number,
        source: line.request.source.to_string(),
        destinations: line.request.write.destinations.iter().map(ToString::to_string).collect(),
    });
    let mut teller = ListReporter::new(verb, dry_run, named.collect(), format, &context.console);
    promote_list::run(context, lines, |position, result| teller.ended(position, result)).await;
    teller
}
