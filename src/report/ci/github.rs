//! GitHub Actions: outputs, the job summary and annotations.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::system::{self, CiSystem, OutputWriter, Outputs, SourceVariables, Variable};
use crate::error::Error;
use crate::report::console::Console;
use crate::report::failure::FailedStep;
use crate::report::inspection::Inspection;
use crate::report::level::{GROUP_TITLE, Level, LogStyle};
use crate::report::outcome::Outcome;
use crate::report::results::ResultFile;
use crate::report::subject::{ReportScope, ReportSubject};
use crate::report::values::{self, Channel};
use crate::report::{files, json, markdown};

/// GitHub Actions.
pub(crate) const SYSTEM: CiSystem = CiSystem {
    name: "github",
    help: "$GITHUB_OUTPUT, on Gitea and Forgejo too",
    detect: &["GITHUB_ACTIONS"],
    debug: Some(("RUNNER_DEBUG", "1")),
    source_variables: Some(SourceVariables {
        address: &["GITHUB_SERVER_URL", "GITHUB_REPOSITORY"],
        commit: "GITHUB_SHA",
        tag: "GITHUB_REF_NAME",
        tag_if: Some(("GITHUB_REF_TYPE", "tag")),
        needs_commit: false,
    }),
    log: LogStyle { mark: |level, text| annotation(level, "imgstep", text), one_text: true, group: Some(group) },
    outputs: Outputs::Unasked {
        open: |variable| {
            system::place("github", "GITHUB_OUTPUT", variable)?;
            Ok(Rc::new(GithubFiles::new(variable)))
        },
        find: |variable| {
            let files = GithubFiles::new(variable);
            if files.output.is_none() && files.summary.is_none() { None } else { Some(Rc::new(files)) }
        },
    },
};

/// Maximum size of a step's summary, in bytes.
const SUMMARY_LIMIT: usize = 1024 * 1024;
/// Maximum size of a list's outputs, in UTF-16 units: GitHub accepts 1 MB from a job, measured this way.
const OUTPUTS_LIMIT: usize = 500_000;
/// The list that is written with one element per line.
const ON_LINES: &str = "tags";

/// The files that the runner reads after a step. We append to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct GithubFiles {
    /// `GITHUB_OUTPUT`.
    output: Option<PathBuf>,
    /// `GITHUB_STEP_SUMMARY`.
    summary: Option<PathBuf>,
}

/// An output that was shortened or omitted.
type Shortened = (&'static str, &'static str);

impl GithubFiles {
    fn new(variable: Variable) -> Self {
        Self { output: system::path("GITHUB_OUTPUT", variable), summary: system::path("GITHUB_STEP_SUMMARY", variable) }
    }

    /// Appends what `render` returns for the remaining bytes to the job summary. A failure is a warning.
    fn append_summary(&self, console: &Console, render: impl FnOnce(usize) -> String) {
        if let Some(file) = &self.summary
            && let Err(error) = files::append(file, &render(summary_room(file)))
        {
            console.warn(&format!("the job summary is missing: {error}"));
        }
    }
}

impl OutputWriter for GithubFiles {
    fn preflight(&self) -> Result<(), Error> {
        self.output.as_deref().map_or(Ok(()), files::preflight)
    }

    fn result_file(&self) -> Option<ResultFile> {
        None
    }

    fn check(&self, _: ReportSubject) -> Result<(), Error> {
        Ok(())
    }

    fn write(&self, subject: ReportSubject, console: &Console) -> Result<(), Error> {
        if let Some(file) = self.output.as_ref().filter(|_| subject.failed().is_empty()) {
            let (text, shortened) = outputs(subject, delimiter)?;
            files::append(file, &text)?;
            for (output, what) in shortened {
                console.warn(&format!(
                    "the output `{output}` {what}: GitHub takes 1 MB; --result writes it whole to a file"
                ));
            }
        }
        self.append_summary(console, |room| markdown::render(subject, room));
        Ok(())
    }

    fn write_failure(&self, failed: &FailedStep, console: &Console) {
        self.append_summary(console, |room| markdown::render_failed(failed, room));
    }

    fn write_inspection(&self, inspection: &Inspection, console: &Console) -> Result<(), Error> {
        if let Some(file) = &self.output {
            files::append(file, &inspection_outputs(inspection)?)?;
        }
        self.append_summary(console, |room| markdown::render_inspection(inspection, room));
        Ok(())
    }
}

/// The lines that start and end a collapsed group.
pub(super) fn group(_: usize) -> (String, String) {
    (format!("::group::{GROUP_TITLE}"), "::endgroup::".to_owned())
}

/// A workflow command that shows `message` on the run's page: `::error title=…::…`, without a newline at its end.
///
/// `title` and `message` may contain anything; characters that would end the command are escaped as the runner expects.
/// The runner reads commands from stdout and stderr; ours go to stderr, since stdout is for the step's result alone.
fn annotation(level: Level, title: &str, message: &str) -> String {
    let name = level.name();
    let title = escape(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{name} title={title}::{}", escape(message))
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The outputs of `subject` as text, as far as GitHub accepts them, and what was shortened. The outputs of one image
/// always fit.
fn outputs(subject: ReportSubject, delimiter: impl FnMut() -> String) -> Result<(String, Vec<Shortened>), Error> {
    let mut values: Vec<_> = values::due(Channel::GitHub, subject).collect();
    let room = match subject.scope {
        ReportScope::Image(_) => {
            values.sort_by_key(|value| !value.in_plan);
            usize::MAX
        }
        // The report comes last and gets the remaining space.
        ReportScope::List(_) => OUTPUTS_LIMIT,
    };
    let mut forms = Vec::new();
    for value in values {
        let separator = if value.name == ON_LINES { "\n" } else { "," };
        let mut texts = vec![value.elements(subject)?.join(separator)];
        if let (ReportScope::List(list), true) = (subject.scope, value.in_plan) {
            texts.push(json::render(&list.without_contents())?);
        }
        forms.push((value.name, texts));
    }
    Ok(fitting(forms, room, delimiter))
}

/// A random delimiter.
fn delimiter() -> String {
    format!("ghadelimiter_{:032x}", fastrand::u128(..))
}

/// Each output in the first of its forms that fits, and the ones that had to be shortened.
fn fitting(
    outputs: Vec<(&'static str, Vec<String>)>,
    mut room: usize,
    mut delimiter: impl FnMut() -> String,
) -> (String, Vec<Shortened>) {
    let (mut text, mut cut) = (String::new(), Vec::new());
    for (key, forms) in outputs {
        let length = |form: &String| form.encode_utf16().count();
        match forms.iter().enumerate().find(|(_, form)| length(form) <= room) {
            Some((position, form)) => {
                room -= length(form);
                text.push_str(&output(key, form, &mut delimiter));
                if position > 0 {
                    cut.push((key, "has no `manifests` and `blobs`"));
                }
            }
            None => cut.push((key, "is left out")),
        }
    }
    (text, cut)
}

fn summary_room(file: &Path) -> usize {
    let there = std::fs::metadata(file).map_or(0, |found| found.len());
    SUMMARY_LIMIT.saturating_sub(usize::try_from(there).unwrap_or(usize::MAX))
}

/// The outputs `json`, `digest`, `name` and `ref` of an inspection.
fn inspection_outputs(inspection: &Inspection) -> Result<String, Error> {
    let name = inspection.pinned.split_once('@').map_or("", |(name, _)| name);
    let outputs = [
        ("json", json::line(inspection)?.trim_end()),
        ("digest", inspection.root.digest.as_str()),
        ("name", name),
        ("ref", &inspection.pinned),
    ]
    .map(|(key, value)| output(key, value, &mut delimiter));
    Ok(outputs.concat())
}

/// Declares what was written to GitHub's runner, one `oci://registry/repository@sha256:…` per line. An image in a
/// layout on disk has no such name.
///
/// # Errors
///
/// `ErrorKind::File` if `file` can't be written.
pub(crate) fn append_artifacts(file: &Path, outcome: &Outcome) -> Result<(), Error> {
    if outcome.dry_run {
        return Ok(());
    }
    let mut lines = String::new();
    for destination in outcome.destinations.iter().filter(|destination| !destination.pinned.starts_with("oci:")) {
        let _ = writeln!(lines, "oci://{}", destination.pinned);
    }
    files::append(file, &lines)
}

/// An output in the multi-line form. The value ends at a line with the delimiter, so a value that contains it could
/// start an output of its own.
fn output(key: &str, value: &str, delimiter: &mut impl FnMut() -> String) -> String {
    let mut chosen = delimiter();
    while value.contains(&chosen) {
        chosen = delimiter();
    }
    format!("{key}<<{chosen}\n{value}\n{chosen}\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::report::console::Verbosity;
    use crate::report::console::tests::captured;
    use crate::report::files::tests::Folder;
    use crate::report::sample::{self, subject};

    #[test]
    fn annotations_end_where_they_should() {
        assert_eq!(
            annotation(Level::Error, "imgstep: promote, 100%", "denied: 50%\r\n::set-output name=x::y, z"),
            "::error title=imgstep%3A promote%2C 100%25::denied: 50%25%0D%0A::set-output name=x::y, z"
        );
        assert_eq!(annotation(Level::Warning, "imgstep", "a, b: c"), "::warning title=imgstep::a, b: c");
    }

    #[test]
    fn outputs_have_their_values() {
        let outcome = sample::promoted();
        let (text, _) = outputs(subject(&outcome), || "END".into()).unwrap();
        let name = "registry.example/team/app";
        let index = sample::digest("index");
        let children = ["amd64", "arm64", "attestation"].map(|seed| format!("{name}@{}", sample::digest(seed)));
        assert_eq!(
            text,
            format!(
                "json<<END\n{}\nEND\ndigest<<END\n{index}\nEND\nname<<END\n{name}\nEND\nref<<END\n{name}@{index}\nEND\n\
                 images<<END\n{}\nEND\ntags<<END\n{name}:v1\n{name}:latest\nmirror.example/app:v1\nEND\n",
                serde_json::to_string(&outcome).unwrap(),
                children.join(",")
            )
        );
    }

    #[test]
    fn a_plan_has_its_report_alone() {
        let mut outcome = sample::promoted();
        outcome.dry_run = true;
        let (text, _) = outputs(subject(&outcome), || "END".into()).unwrap();
        assert!(text.starts_with("json<<END\n") && !text.contains("digest<<"), "{text}");
    }

    #[test]
    fn outputs_of_a_list_have_the_first_form_that_fits() {
        let forms = || {
            let text = |length| "x".repeat(length);
            vec![("images", vec![text(10)]), ("tags", vec![text(50)]), ("json", vec![text(100), text(20)])]
        };
        let keys = |text: &str| text.lines().filter_map(|line| line.strip_suffix("<<E")).collect::<Vec<_>>().join(" ");
        let (text, cut) = fitting(forms(), 160, || "E".into());
        assert_eq!((keys(&text), cut.len()), ("images tags json".to_owned(), 0));
        let (text, cut) = fitting(forms(), 80, || "E".into());
        assert_eq!(keys(&text), "images tags json");
        assert_eq!(cut, [("json", "has no `manifests` and `blobs`")]);
        let (text, cut) = fitting(forms(), 40, || "E".into());
        assert_eq!(keys(&text), "images json");
        assert_eq!(cut, [("tags", "is left out"), ("json", "has no `manifests` and `blobs`")]);
        let (text, cut) = fitting(forms(), 9, || "E".into());
        assert_eq!((text.as_str(), cut.len()), ("", 3));
    }

    #[test]
    fn images_in_registries_are_declared_as_artifacts() {
        let folder = Folder::new();
        let file = folder.path("artifacts");
        let mut outcome = sample::promoted();
        let digest = outcome.digest.clone();
        outcome.destinations.push(outcome.destinations[0].clone());
        outcome.destinations[2].pinned = format!("oci:build@{digest}");
        outcome.dry_run = true;
        append_artifacts(&file, &outcome).unwrap();
        assert!(folder.names().is_empty());
        outcome.dry_run = false;
        append_artifacts(&file, &outcome).unwrap();
        let expected = format!("oci://registry.example/team/app@{digest}\noci://mirror.example/app@{digest}\n");
        assert_eq!(fs::read_to_string(file).unwrap(), expected);
    }

    #[test]
    fn a_value_can_not_hold_its_delimiter() {
        let mut delimiters = ["A", "B", "C"].into_iter().map(String::from);
        let text = output("x", "1\nA\ny<<B", &mut || delimiters.next().unwrap());
        assert_eq!(text, "x<<C\n1\nA\ny<<B\nC\n");
    }

    fn write(output: Option<PathBuf>, summary: Option<PathBuf>) -> (Result<(), Error>, String) {
        let (console, said) = captured(Verbosity::Normal, LogStyle::PLAIN);
        let result = GithubFiles { output, summary }.write(subject(&sample::promoted()), &console);
        (result, said.text())
    }

    #[test]
    fn files_are_appended_to() {
        let folder = Folder::new();
        let (output, summary) = (folder.path("output"), folder.path("summary"));
        fs::write(&output, "before=1\n").unwrap();
        write(Some(output.clone()), Some(summary.clone())).0.unwrap();
        let text = fs::read_to_string(&output).unwrap();
        assert!(text.starts_with("before=1\njson<<ghadelimiter_"), "{text}");
        assert!(fs::read_to_string(&summary).unwrap().starts_with("### Promoted "));
        let error = write(Some(folder.path("missing/output")), None).0.unwrap_err();
        assert!(matches!(error.kind(), crate::ErrorKind::File { action: "write", .. }));
    }

    #[test]
    fn a_summary_stays_under_the_limit_with_what_is_there() {
        let folder = Folder::new();
        let summary = folder.path("summary");
        fs::write(&summary, "x".repeat(SUMMARY_LIMIT - 500)).unwrap();
        write(None, Some(summary.clone())).0.unwrap();
        let length = fs::read(&summary).unwrap().len();
        assert!(length > SUMMARY_LIMIT - 500 && length <= SUMMARY_LIMIT, "{length}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_an_error() {
        write(Some("/dev/full".into()), None).0.unwrap_err();
    }
}
