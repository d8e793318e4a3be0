//! How a line is marked in the log of each CI system: what went wrong, and requests that are folded away.

use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use super::System;
use super::azure;
use crate::report::github::{self, Level};

/// `text` as what went wrong, or what a user should know. `text` may hold anything that the console has made safe.
pub fn marked(system: Option<System>, level: Level, text: &str) -> String {
    let plain = match level {
        Level::Warning => format!("warning: {text}"),
        Level::Error => format!("error: {text}"),
    };
    match (system, level) {
        (Some(System::GitHub), _) => github::annotation(level, "imgstep", text),
        (Some(System::Azure), _) => azure::issue(level, text),
        // Opens the group that the line stands in, which is folded otherwise.
        (Some(System::Buildkite), Level::Error) => format!("^^^ +++\n{plain}"),
        _ => plain,
    }
}

/// What went wrong, and what to do about it.
pub fn failure(system: Option<System>, text: &str, hint: Option<&str>) -> String {
    match (system, hint) {
        // An annotation is one text.
        (Some(System::GitHub | System::Azure), Some(hint)) => marked(system, Level::Error, &format!("{text}; {hint}")),
        (_, Some(hint)) => format!("{}\nhint: {hint}", marked(system, Level::Error, text)),
        (_, None) => marked(system, Level::Error, text),
    }
}

/// The lines that begin and end the `number`th group of this process, where a log knows groups that end.
pub fn group(system: Option<System>, number: usize) -> Option<(String, String)> {
    const TITLE: &str = "imgstep: requests";
    match system? {
        System::GitHub | System::Gitea => Some((format!("::group::{TITLE}"), "::endgroup::".to_owned())),
        System::Azure => Some((format!("##[group]{TITLE}"), "##[endgroup]".to_owned())),
        System::GitLab => {
            let name = format!("imgstep_{}_{number}", process::id());
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            let mark = |what: &str| format!("\u{1b}[0Ksection_{what}\r\u{1b}[0K");
            let start = mark(&format!("start:{now}:{name}[collapsed=true]"));
            Some((format!("{start}{TITLE}"), mark(&format!("end:{now}:{name}"))))
        }
        // A group of Buildkite's ends where the next begins: it would swallow what follows the requests.
        System::Buildkite | System::CircleCi => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_log_has_its_marks() {
        let error = |system| marked(system, Level::Error, "50% of a; b]\nc");
        assert_eq!(error(None), "error: 50% of a; b]\nc");
        assert_eq!(error(Some(System::GitHub)), "::error title=imgstep::50%25 of a; b]%0Ac");
        assert_eq!(error(Some(System::Gitea)), error(None));
        assert_eq!(error(Some(System::GitLab)), error(None));
        assert_eq!(error(Some(System::Azure)), "##vso[task.logissue type=error]50% of a%3B b%5D%0Ac");
        assert_eq!(error(Some(System::Buildkite)), "^^^ +++\nerror: 50% of a; b]\nc");
        assert_eq!(marked(Some(System::Buildkite), Level::Warning, "x"), "warning: x");
        assert_eq!(marked(Some(System::Azure), Level::Warning, "x"), "##vso[task.logissue type=warning]x");
    }

    #[test]
    fn a_hint_has_a_line_of_its_own_where_there_are_lines() {
        let failure = |system| failure(system, "no tag", Some("name one"));
        assert_eq!(failure(None), "error: no tag\nhint: name one");
        assert_eq!(failure(Some(System::GitLab)), failure(None));
        assert_eq!(failure(Some(System::GitHub)), "::error title=imgstep::no tag; name one");
        assert_eq!(failure(Some(System::Azure)), "##vso[task.logissue type=error]no tag%3B name one");
    }

    #[test]
    fn groups_end() {
        let (start, end) = group(Some(System::GitLab), 2).unwrap();
        let name = start.split(':').nth(2).unwrap().split('[').next().unwrap().to_owned();
        assert!(start.starts_with("\u{1b}[0Ksection_start:") && start.ends_with("\r\u{1b}[0Kimgstep: requests"));
        assert!(end.starts_with("\u{1b}[0Ksection_end:") && end.contains(&format!(":{name}\r")), "{end:?}");
        assert_eq!(group(Some(System::Azure), 1).unwrap().1, "##[endgroup]");
        assert_eq!(group(Some(System::Buildkite), 1), None);
        assert_eq!(group(None, 1), None);
    }
}
