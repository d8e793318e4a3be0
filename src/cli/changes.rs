//! Options that change an image: its config and its annotations.

use clap::Args;

use super::args::{annotation, pair};
use super::platform_value::{PlatformValue, scoped};
use crate::error::Error;
use crate::image::config::{Changes, port};
use crate::image::overrides::{PlatformChanges, PlatformOverride};
use crate::image::platform::Platform;
use crate::text::printable;
use crate::time::{is_rfc3339, rfc3339};

/// Options that change an image.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// Program to run, as a JSON array (`["/app","-v"]`) or one word (`/app`)
    ///
    /// An existing cmd is removed unless --cmd or --keep-cmd is given.
    ///
    /// The value of this option and of the others in this group can start with platforms in brackets:
    /// `[linux/arm64,linux/arm/v7]VALUE` applies only to these platforms, and overrides a value for all platforms.
    /// Options that take one value can be repeated: once for all platforms, and once for each platform.
    #[arg(long, value_name = "JSON", help_heading = "Image options")]
    pub entrypoint: Vec<String>,
    /// Arguments after the entrypoint, as a JSON array or one word
    #[arg(long, value_name = "JSON", help_heading = "Image options")]
    pub cmd: Vec<String>,
    /// Keep the cmd when the entrypoint is set, on every platform
    #[arg(long, value_name = "BOOL", help_heading = "Image options", hide_short_help = true)]
    pub keep_cmd: bool,
    /// Environment variables to set
    ///
    /// Existing variables keep their position, new ones are appended.
    #[arg(long, value_name = "KEY=VALUE", num_args = 0.., help_heading = "Image options")]
    pub env: Vec<String>,
    /// Environment variables to remove
    #[arg(long, value_name = "KEY", num_args = 0.., help_heading = "Image options", hide_short_help = true)]
    pub unset_env: Vec<String>,
    /// Labels to set
    #[arg(long, value_name = "KEY=VALUE", num_args = 0.., help_heading = "Image options")]
    pub label: Vec<String>,
    /// Labels to remove
    #[arg(long, value_name = "KEY", num_args = 0.., help_heading = "Image options", hide_short_help = true)]
    pub unset_label: Vec<String>,
    /// Annotations to set
    ///
    /// An annotation for one platform is written to the manifest of its image, not to the index.
    #[arg(long, value_name = "KEY=VALUE", num_args = 0.., help_heading = "Image options")]
    pub annotation: Vec<String>,
    /// Annotations to remove
    #[arg(long, value_name = "KEY", num_args = 0.., help_heading = "Image options", hide_short_help = true)]
    pub unset_annotation: Vec<String>,
    /// User to run as: `name[:group]` or `uid[:gid]`
    #[arg(long, value_name = "USER", help_heading = "Image options")]
    pub user: Vec<String>,
    /// Working directory of the program
    #[arg(long, value_name = "PATH", help_heading = "Image options")]
    pub workdir: Vec<String>,
    /// Ports that the program listens on: `8080`, `8080/tcp`, `53/udp`
    #[arg(long, value_name = "PORT", num_args = 0.., help_heading = "Image options", hide_short_help = true)]
    pub expose: Vec<String>,
    /// Paths that are volumes
    #[arg(long, value_name = "PATH", num_args = 0.., help_heading = "Image options", hide_short_help = true)]
    pub volume: Vec<String>,
    /// Signal that stops the program: `SIGTERM`, or a number
    #[arg(long, value_name = "SIGNAL", help_heading = "Image options", hide_short_help = true)]
    pub stop_signal: Vec<String>,
    /// Creation time: `2024-05-06T07:08:09Z` (RFC 3339), or seconds since 1970
    #[arg(long, value_name = "TIME", help_heading = "Image options", hide_short_help = true)]
    pub created: Vec<String>,
}

/// A change to an image.
type Change = fn(&mut Changes, &str) -> Result<(), Error>;

impl ChangeArgs {
    /// Parses the changes: those for every platform and those for some.
    ///
    /// # Errors
    /// A value that isn't a JSON array, pair, port, signal or time, or a second value where only one is allowed
    /// (`ErrorKind::Usage`).
    pub fn changes(&self) -> Result<PlatformChanges, Error> {
        let single: [(&'static str, &[String], Change); 6] = [
            ("--entrypoint", &self.entrypoint, |own, word| put(&mut own.entrypoint, json_array("--entrypoint", word))),
            ("--cmd", &self.cmd, |own, word| put(&mut own.cmd, json_array("--cmd", word))),
            ("--user", &self.user, |own, word| put(&mut own.user, Ok(word.to_owned()))),
            ("--workdir", &self.workdir, |own, word| put(&mut own.workdir, Ok(word.to_owned()))),
            ("--stop-signal", &self.stop_signal, |own, word| put(&mut own.stop_signal, signal(word))),
            ("--created", &self.created, |own, word| put(&mut own.created, time(word))),
        ];
        // Removals come before additions.
        let lists: [(&'static str, &[String], Change); 8] = [
            ("--unset-env", &self.unset_env, |own, word| add(&mut own.env, Ok(gone(word)))),
            ("--env", &self.env, |own, word| add(&mut own.env, set("--env", word))),
            ("--unset-label", &self.unset_label, |own, word| add(&mut own.labels, Ok(gone(word)))),
            ("--label", &self.label, |own, word| add(&mut own.labels, set("--label", word))),
            ("--unset-annotation", &self.unset_annotation, |own, word| add(&mut own.annotations, Ok(gone(word)))),
            ("--annotation", &self.annotation, |own, word| add(&mut own.annotations, annotated(word))),
            ("--expose", &self.expose, |own, word| add(&mut own.expose, exposed(word))),
            ("--volume", &self.volume, |own, word| add(&mut own.volumes, Ok(word.trim().to_owned()))),
        ];
        let mut changes = PlatformChanges::default();
        changes.all.keep_cmd = self.keep_cmd;
        for (option, words, change) in single {
            make(&mut changes, option, words, change)?;
            once_each(option, words)?;
        }
        for (option, words, change) in lists {
            make(&mut changes, option, words, change)?;
        }
        Ok(changes)
    }
}

/// Adds the change of each value, for every image or for those that it names. Values are taken literally: a trailing
/// space may be intended.
fn make(into: &mut PlatformChanges, option: &'static str, words: &[String], change: Change) -> Result<(), Error> {
    for word in words.iter().filter(|word| !word.trim().is_empty()) {
        let PlatformValue { platforms, value } = scoped(option, word)?;
        if platforms.is_empty() {
            change(&mut into.all, value)?;
        }
        for platform in platforms {
            let mut changes = Changes::default();
            change(&mut changes, value)?;
            into.only.push(PlatformOverride { platform, option, changes });
        }
    }
    Ok(())
}

/// Checks that no platform gets two values.
fn once_each(option: &str, words: &[String]) -> Result<(), Error> {
    let mut seen: Vec<Platform> = Vec::new();
    let mut for_all = false;
    for word in words.iter().filter(|word| !word.trim().is_empty()) {
        let platforms = scoped(option, word)?.platforms;
        if platforms.is_empty() && std::mem::replace(&mut for_all, true) {
            let error = Error::usage(format!("{option} is given twice for all platforms"));
            return Err(error.with_hint("use `[PLATFORM]VALUE` for a value of one platform"));
        }
        for platform in platforms {
            if seen.iter().any(|known| known.is_same(&platform)) {
                return Err(Error::usage(format!("{option} is given twice for {platform}")));
            }
            seen.push(platform);
        }
    }
    Ok(())
}

fn put<T>(slot: &mut Option<T>, value: Result<T, Error>) -> Result<(), Error> {
    *slot = Some(value?);
    Ok(())
}

fn add<T>(list: &mut Vec<T>, value: Result<T, Error>) -> Result<(), Error> {
    list.push(value?);
    Ok(())
}

/// A name to remove.
fn gone(word: &str) -> (String, Option<String>) {
    (word.trim().to_owned(), None)
}

/// A name and its new value.
fn set(option: &str, word: &str) -> Result<(String, Option<String>), Error> {
    pair(option, word).map(|(name, value)| (name, Some(value)))
}

fn annotated(word: &str) -> Result<(String, Option<String>), Error> {
    annotation(word).map(|(name, value)| (name, Some(value)))
}

fn exposed(word: &str) -> Result<String, Error> {
    port(word.trim()).map_err(|error| error.in_option("--expose"))
}

/// A list of arguments that may begin with `-`.
fn json_array(option: &str, word: &str) -> Result<Vec<String>, Error> {
    let trimmed = word.trim();
    // A single word, which no shell would split and which can't be part of JSON, is taken literally.
    let is_plain =
        |letter: char| !letter.is_whitespace() && !letter.is_control() && !"[]{}\"'`$&|;<>*?()\\,".contains(letter);
    if !trimmed.is_empty() && trimmed.chars().all(is_plain) {
        return Ok(vec![trimmed.to_owned()]);
    }
    serde_json::from_str(word).map_err(|_| {
        let shown = printable(word, 200);
        let own: Vec<&str> = trimmed.trim_matches(['[', ']']).split([' ', ',', '\'', '"']).collect();
        let own: Vec<&str> = own.into_iter().filter(|part| !part.trim().is_empty()).collect();
        let json = printable(&serde_json::json!(own).to_string(), 300);
        Error::usage(format!("{option}: `{shown}` is not a JSON array of strings"))
            .with_hint(format!("write {option} '{json}'"))
    })
}

fn signal(word: &str) -> Result<String, Error> {
    let is_signal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-');
    if !word.is_empty() && word.bytes().all(is_signal) {
        return Ok(word.to_owned());
    }
    let error = Error::usage(format!("--stop-signal: `{}` is not a signal", printable(word, 80)));
    Err(error.with_hint("use a name such as SIGTERM, or a number"))
}

/// Formats a time as in configs (RFC 3339, section 5.6).
fn time(word: &str) -> Result<String, Error> {
    let word = word.trim();
    if let Ok(seconds) = word.parse::<u64>()
        && let Some(text) = rfc3339(seconds)
    {
        return Ok(text);
    }
    if is_rfc3339(word) {
        return Ok(word.to_owned());
    }
    let shown = printable(word, 80);
    let error = Error::usage(format!("--created: `{shown}` is not a time"));
    Err(error.with_hint("use RFC 3339 such as 2024-05-06T07:08:09Z, or seconds since 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time(" 2024-02-29T23:59:60Z").unwrap(), "2024-02-29T23:59:60Z");
        assert_eq!(time("1714979289").unwrap(), "2024-05-06T07:08:09Z");
        for bad in ["", "now", "2024-05-06", "-1", "253402300800"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn arrays_and_signals() {
        assert_eq!(json_array("--cmd", r#"["-v", ""]"#).unwrap(), ["-v", ""]);
        assert_eq!(json_array("--entrypoint", "/app").unwrap(), ["/app"]);
        assert_eq!(json_array("--cmd", "server").unwrap(), ["server"]);
        for (word, json) in [
            ("node server.js", r#"'["node","server.js"]'"#),
            ("[/app, -v]", r#"'["/app","-v"]'"#),
            ("['/app','-v']", r#"'["/app","-v"]'"#),
            ("/app --name='x'", r#"'["/app","--name=","x"]'"#),
        ] {
            let said = json_array("--cmd", word).unwrap_err().one_line();
            assert!(said.contains("JSON array") && said.contains(json), "{said}");
        }
        assert_eq!(json_array("--cmd", "-v").unwrap(), ["-v"]);
        for word in ["", "{}", "[1]"] {
            assert!(json_array("--cmd", word).is_err(), "{word}");
        }
        assert_eq!(signal("SIGRTMIN+3").unwrap(), "SIGRTMIN+3");
        assert!(signal("SIG TERM").is_err());
    }
}
