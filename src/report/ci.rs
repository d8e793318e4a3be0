//! CI systems: the table of all of them, detection, and the one that gets outputs.

mod azure;
mod bitbucket;
mod buildkite;
mod circleci;
mod drone;
mod gitea;
pub(crate) mod github;
mod gitlab;
mod jenkins;
mod system;
mod woodpecker;

use std::rc::Rc;

pub(crate) use self::system::{CiSystem, Variable};
use self::system::{OutputWriter, Outputs};
use super::console::Console;
use super::failure::FailedStep;
use super::inspection::Inspection;
use super::level::LogStyle;
use super::results::ResultFile;
use super::subject::ReportSubject;
use crate::error::Error;

/// Every system. The first match wins: Gitea sets GitHub's variables too.
pub(crate) const ALL: [&CiSystem; 10] = [
    &gitea::SYSTEM,
    &github::SYSTEM,
    &gitlab::SYSTEM,
    &azure::SYSTEM,
    &buildkite::SYSTEM,
    &circleci::SYSTEM,
    &bitbucket::SYSTEM,
    &woodpecker::SYSTEM,
    &drone::SYSTEM,
    &jenkins::SYSTEM,
];

/// The value of `--ci`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// Outputs if the environment of a system says where, and the marks of its log.
    #[default]
    Auto,
    /// No outputs and no marks.
    None,
    /// This system's outputs and marks.
    System(&'static CiSystem),
}

/// The CI system that the step runs in, and the one that gets its outputs.
#[derive(Debug, Clone, Default)]
pub struct Ci {
    /// The system whose log stderr goes to, if known.
    pub system: Option<&'static CiSystem>,
    outputs: Option<Rc<dyn OutputWriter>>,
}

/// The systems that `--ci` accepts by name.
pub(crate) fn choices() -> impl Iterator<Item = &'static CiSystem> {
    ALL.into_iter().filter(|system| system.opener().is_some())
}

/// The choice for `--ci NAME`.
pub(crate) fn named(name: &str) -> Option<Choice> {
    match name {
        "auto" => Some(Choice::Auto),
        "none" => Some(Choice::None),
        _ => choices().find(|system| system.name == name).map(Choice::System),
    }
}

/// The system that set this environment.
pub(crate) fn detect(variable: Variable) -> Option<&'static CiSystem> {
    let is_set =
        |name: &&str| variable(name).is_some_and(|value| !value.is_empty() && !value.eq_ignore_ascii_case("false"));
    ALL.into_iter().find(|system| system.detect.iter().any(is_set))
}

/// How the log of `system` marks lines.
pub(crate) fn log_style(system: Option<&CiSystem>) -> LogStyle {
    system.map_or(LogStyle::PLAIN, |system| system.log)
}

impl Ci {
    /// Applies `choice` in this environment.
    ///
    /// # Errors
    ///
    /// `ErrorKind::Usage` for a system whose outputs have no destination in this environment.
    pub fn new(choice: Choice, variable: Variable) -> Result<Self, Error> {
        let detected = detect(variable);
        match choice {
            Choice::None => Ok(Self::default()),
            Choice::Auto => {
                let find = |system: &CiSystem| match system.outputs {
                    Outputs::Unasked { find, .. } => find(variable),
                    Outputs::None | Outputs::Of(_) | Outputs::Own(_) => None,
                };
                Ok(Self { system: detected, outputs: ALL.into_iter().find_map(find) })
            }
            Choice::System(asked) => {
                let outputs = asked.opener().map(|open| open(variable)).transpose()?;
                // A system that uses the outputs of another, and is chosen by that one's name, keeps its own log.
                let is_kin = |system: &&CiSystem| matches!(system.outputs, Outputs::Of(other) if other == asked);
                Ok(Self { system: detected.filter(is_kin).or(Some(asked)), outputs })
            }
        }
    }

    /// Whether anything besides a log is written for it.
    pub fn has_outputs(&self) -> bool {
        self.outputs.is_some()
    }

    /// Checks, before anything is written to a registry, whether the outputs can be written.
    ///
    /// # Errors
    ///
    /// `ErrorKind::File` naming the file, or `ErrorKind::Usage` if the agent's program is missing.
    pub fn preflight(&self) -> Result<(), Error> {
        self.outputs.as_ref().map_or(Ok(()), |outputs| outputs.preflight())
    }

    /// Outputs that are a separate file, which is written together with the results: all or none.
    pub fn result_file(&self) -> Option<ResultFile> {
        self.outputs.as_ref().and_then(|outputs| outputs.result_file())
    }

    /// Checks, before the first result is written, whether the outputs of `subject` can be written.
    pub(super) fn check(&self, subject: ReportSubject) -> Result<(), Error> {
        self.outputs.as_ref().map_or(Ok(()), |outputs| outputs.check(subject))
    }

    /// Writes outputs and a summary. For a list that failed in part, only the summary.
    pub(super) fn write(&self, subject: ReportSubject, console: &Console) -> Result<(), Error> {
        self.outputs.as_ref().map_or(Ok(()), |outputs| outputs.write(subject, console))
    }

    /// Writes a summary of a step that failed. If that can't be written, it is a warning.
    pub(super) fn write_failure(&self, failed: &FailedStep, console: &Console) {
        if let Some(outputs) = &self.outputs {
            outputs.write_failure(failed, console);
        }
    }

    /// Writes what an image is made of.
    pub(super) fn write_inspection(&self, inspection: &Inspection, console: &Console) -> Result<(), Error> {
        self.outputs.as_ref().map_or(Ok(()), |outputs| outputs.write_inspection(inspection, console))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::level::Level;
    use super::*;

    fn ci(choice: Choice, environment: &[(&str, &str)]) -> Result<Ci, Error> {
        let find = |name: &str| environment.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into());
        Ci::new(choice, &find)
    }

    fn system(name: &str) -> &'static CiSystem {
        ALL.into_iter().find(|system| system.name == name).unwrap()
    }

    #[test]
    fn systems_are_detected_by_their_variables() {
        let name =
            |environment: &[(&str, &str)]| ci(Choice::Auto, environment).unwrap().system.map(|system| system.name);
        for (environment, expected) in [
            (&[("GITHUB_ACTIONS", "true"), ("CI", "true")][..], Some("github")),
            (&[("GITHUB_ACTIONS", "true"), ("GITEA_ACTIONS", "true")], Some("gitea")),
            (&[("GITHUB_ACTIONS", "true"), ("FORGEJO_ACTIONS", "true")], Some("gitea")),
            (&[("GITLAB_CI", "true")], Some("gitlab")),
            (&[("TF_BUILD", "True")], Some("azure")),
            (&[("BUILDKITE", "true")], Some("buildkite")),
            (&[("CIRCLECI", "true")], Some("circleci")),
            (&[("CIRCLECI", "false"), ("GITLAB_CI", ""), ("CI", "woodpecker")], None),
        ] {
            assert_eq!(name(environment), expected, "{environment:?}");
        }
    }

    #[test]
    fn detection_gives_marks_and_no_outputs_but_githubs() {
        let all = [("CIRCLECI", "true"), ("BASH_ENV", "/tmp/env"), ("CI_PROJECT_DIR", "/builds")];
        let found = ci(Choice::Auto, &all).unwrap();
        assert!(!found.has_outputs() && found.result_file().is_none());
        let found = ci(Choice::Auto, &[("GITHUB_OUTPUT", "/out"), ("GITLAB_CI", "true")]).unwrap();
        assert!(format!("{:?}", found.outputs).contains("/out"), "{found:?}");
        let none = ci(Choice::None, &[("GITHUB_OUTPUT", "/out"), ("GITHUB_ACTIONS", "true")]).unwrap();
        assert!(!none.has_outputs() && none.system.is_none());
    }

    #[test]
    fn a_system_asked_for_must_have_a_place_for_outputs() {
        for (name, variable) in [("github", "GITHUB_OUTPUT"), ("gitlab", "CI_PROJECT_DIR"), ("circleci", "BASH_ENV")] {
            let choice = named(name).unwrap();
            let asked = ci(choice, &[(variable, "/there")]).unwrap();
            assert_eq!(asked.system, Some(system(name)));
            let error = ci(choice, &[(variable, "")]).unwrap_err();
            assert!(matches!(error.kind(), crate::ErrorKind::Usage(_)));
            assert!(error.to_string().starts_with(&format!("--ci {name}: {variable} is not set")), "{error}");
        }
        let gitea = [("GITHUB_OUTPUT", "/x"), ("GITEA_ACTIONS", "true")];
        assert_eq!(ci(named("github").unwrap(), &gitea).unwrap().system, Some(system("gitea")));
        assert_eq!(ci(named("azure").unwrap(), &gitea).unwrap().system, Some(system("azure")));
        let file = ci(named("gitlab").unwrap(), &[("CI_PROJECT_DIR", "/builds/app")]).unwrap().result_file();
        assert_eq!(file.unwrap().path, PathBuf::from("/builds/app/imgstep.env"));
    }

    #[test]
    fn each_log_has_its_marks() {
        let mark = |name: &str, level, text| (system(name).log.mark)(level, text);
        let error = |name| mark(name, Level::Error, "50% of a; b]\nc");
        assert_eq!((LogStyle::PLAIN.mark)(Level::Error, "x"), "error: x");
        assert_eq!(error("github"), "::error title=imgstep::50%25 of a; b]%0Ac");
        assert_eq!(error("gitea"), "error: 50% of a; b]\nc");
        assert_eq!(error("gitlab"), error("gitea"));
        assert_eq!(error("azure"), "##vso[task.logissue type=error]50% of a%3B b%5D%0Ac");
        assert_eq!(error("buildkite"), "^^^ +++\nerror: 50% of a; b]\nc");
        assert_eq!(mark("buildkite", Level::Warning, "x"), "warning: x");
        assert_eq!(mark("azure", Level::Warning, "x"), "##vso[task.logissue type=warning]x");
    }

    #[test]
    fn a_hint_has_a_line_of_its_own_where_there_are_lines() {
        let failure = |name| system(name).log.failure("no tag", Some("name one"));
        assert_eq!(LogStyle::PLAIN.failure("no tag", Some("name one")), "error: no tag\nhint: name one");
        assert_eq!(failure("gitlab"), "error: no tag\nhint: name one");
        assert_eq!(failure("github"), "::error title=imgstep::no tag; name one");
        assert_eq!(failure("azure"), "##vso[task.logissue type=error]no tag%3B name one");
    }

    #[test]
    fn groups_end() {
        let group = |name: &str, number| system(name).log.group.map(|group| group(number));
        let (start, end) = group("gitlab", 2).unwrap();
        let name = start.split(':').nth(2).unwrap().split('[').next().unwrap().to_owned();
        assert!(start.starts_with("\u{1b}[0Ksection_start:") && start.ends_with("\r\u{1b}[0Kimgstep: requests"));
        assert!(end.starts_with("\u{1b}[0Ksection_end:") && end.contains(&format!(":{name}\r")), "{end:?}");
        assert_eq!(group("azure", 1).unwrap().1, "##[endgroup]");
        assert_eq!(group("gitea", 1), group("github", 1));
        assert_eq!(group("buildkite", 1), None);
        assert!(LogStyle::PLAIN.group.is_none());
    }

    #[test]
    fn the_documentation_has_every_system() {
        let page = include_str!("../../docs/report.md");
        let section = page.split("| `--ci` |").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let rows: Vec<&str> = rows.map(|(name, _)| name.split(' ').next().unwrap()).collect();
        let expected: Vec<&str> = choices().map(|system| system.name).chain(["auto", "none"]).collect();
        assert_eq!(rows, expected, "the table of docs/report.md");
        let detected: Vec<String> =
            ALL.iter().flat_map(|system| system.detect).map(|name| format!("`{name}`")).collect();
        let (last, others) = detected.split_last().unwrap();
        let sentence = format!("`auto` checks {} and {last}, in", others.join(", "));
        assert!(page.replace('\n', " ").contains(&sentence), "docs/report.md should say: {sentence}");
    }
}
