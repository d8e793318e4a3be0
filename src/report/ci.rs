//! CI systems: which of them runs us, where its outputs go, and what it is told of an outcome.

mod azure;
mod buildkite;
mod circleci;
mod gitlab;
pub mod log;

use std::ffi::OsString;
use std::path::PathBuf;

use super::console::Console;
use super::failure::FailedStep;
use super::github::{self, CiEnvironment};
use super::inspection::Inspection;
use super::list::ListOutcome;
use super::outcome::Outcome;
use super::results::{ResultFile, ResultKey};
use super::{files, markdown, values};
use crate::error::Error;

/// Looks a variable of the environment up.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// GitHub Actions.
    GitHub,
    /// Gitea or Forgejo Actions: GitHub's files, and a log that shows GitHub's annotations as they are written.
    Gitea,
    /// GitLab CI/CD.
    GitLab,
    /// Azure Pipelines.
    Azure,
    /// Buildkite.
    Buildkite,
    /// CircleCI.
    CircleCi,
}

/// What `--ci` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// GitHub's outputs where the environment names their files, and the marks of whichever log it is.
    #[default]
    Auto,
    /// No outputs and no marks.
    None,
    /// This system's.
    System(System),
}

/// Where outputs go beside result files and stdout.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Outputs {
    #[default]
    Nowhere,
    /// The files of GitHub Actions.
    GitHub(CiEnvironment),
    /// A dotenv file, which is written with the result files.
    GitLab(PathBuf),
    /// Lines on stderr that the agent reads.
    Azure,
    /// The build's meta-data, by the agent's program.
    Buildkite,
    /// A file that the shell of every later step reads first.
    CircleCi(PathBuf),
}

/// The CI system that a step runs in, as far as that is known or asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ci {
    /// Whose log stderr ends in.
    pub system: Option<System>,
    outputs: Outputs,
}

/// The system that set this environment.
pub fn detect(variable: Variable) -> Option<System> {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty() && !value.eq_ignore_ascii_case("false"));
    // Gitea and Forgejo say that they are GitHub, too.
    let systems = [
        ("GITEA_ACTIONS", System::Gitea),
        ("FORGEJO_ACTIONS", System::Gitea),
        ("GITHUB_ACTIONS", System::GitHub),
        ("GITLAB_CI", System::GitLab),
        ("TF_BUILD", System::Azure),
        ("BUILDKITE", System::Buildkite),
        ("CIRCLECI", System::CircleCi),
    ];
    systems.into_iter().find(|(name, _)| is_set(name)).map(|(_, system)| system)
}

impl Ci {
    /// What `choice` means in this environment.
    ///
    /// # Errors
    ///
    /// `ErrorKind::Usage` for a system whose outputs have no place in this environment.
    pub fn new(choice: Choice, variable: Variable) -> Result<Self, Error> {
        let detected = detect(variable);
        let path = |option: &str, name: &str| {
            let value = variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            value.ok_or_else(|| {
                Error::usage(format!("--ci {option}: {name} is not set, so there is nowhere to write outputs"))
                    .with_hint("run the step where it is set, or use --result KEY=FILE instead of --ci")
            })
        };
        let outputs = match choice {
            Choice::None => return Ok(Self::default()),
            Choice::Auto => Outputs::GitHub(CiEnvironment::new(variable)),
            Choice::System(System::GitHub | System::Gitea) => {
                path("github", "GITHUB_OUTPUT")?;
                Outputs::GitHub(CiEnvironment::new(variable))
            }
            Choice::System(System::GitLab) => Outputs::GitLab(path("gitlab", "CI_PROJECT_DIR")?.join(gitlab::FILE)),
            Choice::System(System::Azure) => Outputs::Azure,
            Choice::System(System::Buildkite) => Outputs::Buildkite,
            Choice::System(System::CircleCi) => Outputs::CircleCi(path("circleci", "BASH_ENV")?),
        };
        let system = match choice {
            // Gitea asked for by GitHub's name stays Gitea.
            Choice::System(System::GitHub) if detected == Some(System::Gitea) => detected,
            Choice::System(system) => Some(system),
            _ => detected,
        };
        Ok(Self { system, outputs })
    }

    /// Sees, before anything is written to a registry, whether the outputs can be written.
    ///
    /// # Errors
    ///
    /// `ErrorKind::File` naming the file, or `ErrorKind::Usage` if the agent's program is missing.
    pub fn preflight(&self) -> Result<(), Error> {
        match &self.outputs {
            Outputs::GitHub(environment) => environment.github_output.as_deref().map_or(Ok(()), files::preflight),
            Outputs::GitLab(file) | Outputs::CircleCi(file) => files::preflight(file),
            Outputs::Buildkite => buildkite::preflight(),
            Outputs::Nowhere | Outputs::Azure => Ok(()),
        }
    }

    /// The outputs that are a file of their own: it is written with the results, all of them or none.
    pub fn result_file(&self) -> Option<ResultFile> {
        match &self.outputs {
            Outputs::GitLab(path) => Some(ResultFile { key: ResultKey::Dotenv, path: path.clone() }),
            _ => None,
        }
    }

    /// Sees whether the outputs of what was done can be told, before the first result is written.
    pub(super) fn check(&self, subject: &ReportSubject) -> Result<(), Error> {
        match &self.outputs {
            Outputs::GitLab(file) if subject.has_outputs() => gitlab::check(file, &subject.variables()),
            Outputs::Azure if subject.has_outputs() => azure::commands(&subject.outputs()).map(drop),
            _ => Ok(()),
        }
    }

    /// Tells the system. Of a plan only GitHub's `json` is told, since nothing else says that it is none yet; of a list
    /// that was not done whole, only what people read.
    pub(super) fn tell(&self, subject: &ReportSubject, console: &Console) -> Result<(), Error> {
        match (&self.outputs, subject) {
            (Outputs::GitHub(environment), ReportSubject::Image(outcome)) => {
                github::tell(environment, outcome, console)
            }
            (Outputs::GitHub(environment), ReportSubject::List(list)) => github::tell_list(environment, list, console),
            (Outputs::Azure, _) if subject.has_outputs() => {
                azure::commands(&subject.outputs())?.iter().for_each(|line| console.command(line));
                Ok(())
            }
            (Outputs::CircleCi(file), _) if subject.has_outputs() => circleci::append(file, &subject.variables()),
            (Outputs::Buildkite, _) => {
                if subject.has_outputs() {
                    buildkite::set_meta_data(&subject.outputs())?;
                }
                if !subject.is_plan()
                    && let Err(error) = buildkite::annotate(subject.name(), &subject.markdown(buildkite::SUMMARY_LIMIT))
                {
                    console.warn(&format!("the build has no annotation: {error}"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Tells GitHub's run page that a step failed. That this can't be told is a warning.
    pub(super) fn failed(&self, failed: &FailedStep, console: &Console) {
        if let Outputs::GitHub(CiEnvironment { github_step_summary: Some(file), .. }) = &self.outputs
            && let Err(error) = github::append_failure(file, failed)
        {
            console.warn(&format!("the job summary is missing: {error}"));
        }
    }

    /// Tells GitHub what an image is made of; the others have no outputs for that.
    pub(super) fn inspected(&self, inspection: &Inspection, console: &Console) -> Result<(), Error> {
        match &self.outputs {
            Outputs::GitHub(environment) => github::tell_inspection(environment, inspection, console),
            _ => Ok(()),
        }
    }
}

/// What a CI system is told of.
#[derive(Clone, Copy)]
pub(super) enum ReportSubject<'a> {
    /// A step that worked on one image.
    Image(&'a Outcome),
    /// A step that worked through a list of images.
    List(&'a ListOutcome),
}

impl ReportSubject<'_> {
    fn is_plan(&self) -> bool {
        match self {
            Self::Image(outcome) => outcome.dry_run,
            Self::List(list) => list.dry_run,
        }
    }

    /// Whether there is anything for a later step to read.
    fn has_outputs(&self) -> bool {
        let is_whole = match self {
            Self::Image(_) => true,
            Self::List(list) => list.failed.is_empty(),
        };
        is_whole && !self.is_plan()
    }

    fn outputs(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Image(outcome) => values::outputs(outcome),
            Self::List(list) => values::list_outputs(list),
        }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Image(outcome) => values::variables(outcome),
            Self::List(list) => values::list_variables(list),
        }
    }

    fn markdown(&self, room: usize) -> String {
        match self {
            Self::Image(outcome) => markdown::render(outcome, room),
            Self::List(list) => markdown::render_list(list, room),
        }
    }

    /// What tells it from other steps of a build: where it writes first.
    fn name(&self) -> &str {
        match self {
            Self::Image(outcome) => {
                outcome.destinations.first().map_or(values::name(outcome), |destination| &destination.reference)
            }
            Self::List(list) => list.destinations().next().map_or("a list", |destination| &destination.reference),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ci(choice: Choice, environment: &[(&str, &str)]) -> Result<Ci, Error> {
        let find = |name: &str| environment.iter().find(|(own, _)| *own == name).map(|(_, value)| value.into());
        Ci::new(choice, &find)
    }

    #[test]
    fn systems_are_told_by_their_variables() {
        let system = |environment: &[(&str, &str)]| ci(Choice::Auto, environment).unwrap().system;
        for (environment, expected) in [
            (&[("GITHUB_ACTIONS", "true"), ("CI", "true")][..], Some(System::GitHub)),
            (&[("GITHUB_ACTIONS", "true"), ("GITEA_ACTIONS", "true")], Some(System::Gitea)),
            (&[("GITHUB_ACTIONS", "true"), ("FORGEJO_ACTIONS", "true")], Some(System::Gitea)),
            (&[("GITLAB_CI", "true")], Some(System::GitLab)),
            (&[("TF_BUILD", "True")], Some(System::Azure)),
            (&[("BUILDKITE", "true")], Some(System::Buildkite)),
            (&[("CIRCLECI", "true")], Some(System::CircleCi)),
            (&[("CIRCLECI", "false"), ("GITLAB_CI", ""), ("CI", "woodpecker")], None),
        ] {
            assert_eq!(system(environment), expected, "{environment:?}");
        }
    }

    #[test]
    fn detection_gives_marks_and_no_outputs_but_githubs() {
        let all = [("CIRCLECI", "true"), ("BASH_ENV", "/tmp/env"), ("CI_PROJECT_DIR", "/builds")];
        let found = ci(Choice::Auto, &all).unwrap();
        assert_eq!(found.outputs, Outputs::GitHub(CiEnvironment::default()));
        assert_eq!(found.result_file(), None);
        let found = ci(Choice::Auto, &[("GITHUB_OUTPUT", "/out"), ("GITLAB_CI", "true")]).unwrap();
        assert!(matches!(found.outputs, Outputs::GitHub(files) if files.github_output == Some("/out".into())));
        let none = ci(Choice::None, &[("GITHUB_OUTPUT", "/out"), ("GITHUB_ACTIONS", "true")]).unwrap();
        assert_eq!(none, Ci::default());
    }

    #[test]
    fn what_is_asked_for_must_have_its_place() {
        for (system, variable, option) in [
            (System::GitHub, "GITHUB_OUTPUT", "--ci github: "),
            (System::GitLab, "CI_PROJECT_DIR", "--ci gitlab: "),
            (System::CircleCi, "BASH_ENV", "--ci circleci: "),
        ] {
            let asked = ci(Choice::System(system), &[(variable, "/there")]).unwrap();
            assert_eq!(asked.system, Some(system));
            let error = ci(Choice::System(system), &[(variable, "")]).unwrap_err();
            assert!(matches!(error.kind(), crate::ErrorKind::Usage(_)));
            assert!(error.to_string().starts_with(&format!("{option}{variable} is not set")), "{error}");
        }
        let gitea = ci(Choice::System(System::GitHub), &[("GITHUB_OUTPUT", "/x"), ("GITEA_ACTIONS", "true")]).unwrap();
        assert_eq!(gitea.system, Some(System::Gitea));
        let file = ci(Choice::System(System::GitLab), &[("CI_PROJECT_DIR", "/builds/app")]).unwrap().result_file();
        assert_eq!(file.unwrap().path, PathBuf::from("/builds/app/imgstep.env"));
    }
}
