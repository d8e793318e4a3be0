//! Parses layer options: `PATH[=DEST][,platform=os/arch[/variant]][,mode=0755][,owner=UID:GID]`. Write a comma within
//! PATH or DEST as `\,`.

use std::path::PathBuf;
use std::str::FromStr;

use crate::image::platform::Platform;
use crate::text::printable;

/// A layer as requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerSpec {
    /// A folder, a file or a tar.
    pub path: PathBuf,
    /// Its destination in the image, without leading and trailing slashes. `None` if not given.
    pub dest: Option<Dest>,
    /// The platform it is for; all platforms if `None`.
    pub platform: Option<Platform>,
    /// The mode of its files.
    pub mode: FileMode,
    /// User and group of everything in it.
    pub owner: (u64, u64),
}

/// A place in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dest {
    /// The path, without leading or trailing slash; empty for the root.
    pub path: String,
    /// It was given with a trailing slash: a file is put into it under its own name.
    pub is_folder: bool,
}

/// The file modes in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileMode {
    /// 0755 for folders and files that are executable by their owner, 0644 for the rest.
    Normal,
    /// The modes on disk.
    Keep,
    /// This mode for files; folders as in [`FileMode::Normal`].
    Fixed(u32),
}

/// Why a layer option is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a layer: {reason}")]
pub(crate) struct SpecError {
    text: String,
    reason: String,
}

impl FromStr for LayerSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let fail = |reason: String| SpecError { text: printable(text, 300), reason };
        let mut parts = parts(text).into_iter();
        let place = parts.next().unwrap_or_default();
        let mut spec = Self { path: PathBuf::new(), dest: None, platform: None, mode: FileMode::Normal, owner: (0, 0) };
        for part in parts {
            let (name, value) = part.split_once('=').map_or((part.as_str(), None), |(name, value)| (name, Some(value)));
            match (name.trim(), value.map(str::trim)) {
                ("platform", Some(value)) => {
                    spec.platform = Some(value.parse().map_err(|error| fail(format!("{error}")))?);
                }
                ("mode", Some("keep")) => spec.mode = FileMode::Keep,
                ("mode", Some(value)) => {
                    spec.mode = FileMode::Fixed(mode(value).ok_or_else(|| {
                        fail(format!("mode={} is neither octal, such as 0755, nor keep", printable(value, 40)))
                    })?);
                }
                ("owner", Some(value)) => {
                    spec.owner = owner(value).ok_or_else(|| {
                        fail(format!(
                            "owner={} is not UID:GID in numbers; names mean nothing outside the image",
                            printable(value, 40)
                        ))
                    })?;
                }
                (name, value) => return Err(fail(unknown(name, value))),
            }
        }
        let (path, dest) = match place.split_once('=') {
            Some((path, dest)) if dest.starts_with(' ') => (path.trim_end(), Some(dest.trim())),
            Some((path, dest)) => (path, Some(dest)),
            None => (place.as_str(), None),
        };
        if path.is_empty() {
            return Err(fail("it names no file or folder; write PATH[=DEST]".to_owned()));
        }
        if let Some(attribute) = swallowed(&place) {
            return Err(fail(format!("attributes are set apart by commas: write `,{attribute}=…`")));
        }
        spec.path = PathBuf::from(path);
        spec.dest = dest.filter(|dest| !dest.is_empty()).map(destination).transpose().map_err(fail)?;
        Ok(spec)
    }
}

/// The attributes of a layer option.
const ATTRIBUTES: [&str; 3] = ["platform", "mode", "owner"];
/// Their names in other tools, above all in Docker.
const ELSEWHERE: [(&str, &str); 13] = [
    ("arch", "platform"),
    ("architecture", "platform"),
    ("platforms", "platform"),
    ("chmod", "mode"),
    ("perm", "mode"),
    ("perms", "mode"),
    ("permissions", "mode"),
    ("chown", "owner"),
    ("uid", "owner"),
    ("gid", "owner"),
    ("user", "owner"),
    ("group", "owner"),
    ("own", "owner"),
];

/// Splits at commas and trims blanks. `\,` is a literal comma, except in a Windows path (`app=C:\bin\,mode=0755`),
/// where the backslash separates folders.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text;
    while let Some(at) = rest.find(',') {
        let before = &rest[..at];
        rest = &rest[at + 1..];
        let Some(part) = parts.last_mut() else { break };
        part.push_str(before);
        if part.ends_with('\\') && !part.split_once('=').is_some_and(|(_, dest)| is_on_drive(dest.trim())) {
            part.pop();
            part.push(',');
        } else {
            parts.push(String::new());
        }
    }
    if let Some(part) = parts.last_mut() {
        part.push_str(rest);
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

fn is_on_drive(dest: &str) -> bool {
    matches!(dest.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
}

/// Explains why a part isn't an attribute, and what was probably meant.
fn unknown(name: &str, value: Option<&str>) -> String {
    let shown = printable(name, 80);
    let Some(value) = value else {
        if name.is_empty() {
            return "a comma has nothing after it".to_owned();
        }
        return match meant(name) {
            Some(attribute) => format!("`{shown}` has no value: write `,{attribute}=…`"),
            None => {
                format!("unknown attribute `{shown}` (platform=, mode=, owner=); a comma in a path is written `\\,`")
            }
        };
    };
    match meant(name) {
        Some(attribute) => {
            let os = if attribute == "platform" && !value.contains('/') { "linux/" } else { "" };
            format!(
                "unknown attribute `{shown}`; did you mean `{attribute}={os}{}` (there are platform=, mode=, owner=)?",
                printable(value, 60)
            )
        }
        None => format!("unknown attribute `{shown}` (platform=, mode=, owner=); a comma in a path is written `\\,`"),
    }
}

/// The attribute that a misspelt name probably means.
fn meant(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let elsewhere = ELSEWHERE.iter().find(|(word, _)| *word == name).map(|(_, attribute)| *attribute);
    let near = || ATTRIBUTES.into_iter().find(|attribute| changes_between(&name, attribute) <= attribute.len() / 3);
    elsewhere.or_else(near)
}

/// The edit distance between two words, counting a swap of neighbours as one edit (Damerau-Levenshtein).
fn changes_between(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().take(20).collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (row, letter) in one.iter().enumerate() {
        let mut costs = vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let changed = rows[row][column] + usize::from(letter != wanted);
            let mut cost = changed.min(rows[row][column + 1] + 1).min(costs[column] + 1);
            let is_swapped = row > 0 && column > 0 && one[row - 1] == *wanted && *letter == other[column - 1];
            if is_swapped {
                cost = cost.min(rows[row - 1][column - 1] + 1);
            }
            costs.push(cost);
        }
        rows.push(costs);
    }
    rows[one.len()][other.len()]
}

/// An attribute that became part of a path because it follows something other than a comma.
fn swallowed(place: &str) -> Option<&'static str> {
    let is_one = |at: usize| {
        let before = place[..at].trim_end_matches(' ');
        let is_behind_blank = before.len() < at && !before.is_empty() && !before.ends_with('=');
        is_behind_blank || before.ends_with([';', '&', '?'])
    };
    ATTRIBUTES.into_iter().find(|attribute| place.match_indices(&format!("{attribute}=")).any(|(at, _)| is_one(at)))
}

fn mode(text: &str) -> Option<u32> {
    let octal = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    u32::from_str_radix(text, 8).ok().filter(|mode| octal && *mode <= 0o7777)
}

fn owner(text: &str) -> Option<(u64, u64)> {
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    Some((u64::from(number(user)?), u64::from(number(group)?)))
}

/// Normalises a path in the image; on Windows, a path on drive `C:`.
///
/// # Errors
/// It contains `..`, which could escape the folder it appears to be in; or names another drive.
pub(crate) fn destination(text: &str) -> Result<Dest, String> {
    let windows = match text.as_bytes() {
        [drive, ..] if is_on_drive(text) => {
            if !drive.eq_ignore_ascii_case(&b'c') {
                return Err(format!("`{}` is on a drive that no image has; write C:\\…", printable(text, 200)));
            }
            text[2..].replace('\\', "/")
        }
        _ => String::new(),
    };
    let text = if windows.is_empty() { text } else { &windows };
    let words: Vec<&str> = text.split('/').filter(|word| !word.is_empty() && *word != ".").collect();
    if words.contains(&"..") {
        return Err(format!("`{}` has a `..` in it", printable(text, 200)));
    }
    if text.contains('\0') {
        return Err("a path can't hold a NUL".to_owned());
    }
    Ok(Dest { path: words.join("/"), is_folder: text.ends_with('/') || words.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> LayerSpec {
        text.parse().unwrap()
    }

    #[test]
    fn written_and_read() {
        let plain = spec("dist");
        assert_eq!((plain.path.to_str(), plain.dest, plain.platform), (Some("dist"), None, None));
        let full = spec("out/app-arm64=/usr/local/bin/app,platform=linux/arm64,mode=0755,owner=1000:100");
        assert_eq!(full.dest, Some(Dest { path: "usr/local/bin/app".into(), is_folder: false }));
        assert_eq!(full.platform.unwrap().to_string(), "linux/arm64");
        assert_eq!((full.mode, full.owner), (FileMode::Fixed(0o755), (1000, 100)));
        assert_eq!(spec("a=/b//./c/").dest, Some(Dest { path: "b/c".into(), is_folder: true }));
        assert_eq!(spec(r"a=C:\app\bin\").dest, Some(Dest { path: "app/bin".into(), is_folder: true }));
        assert_eq!(spec("a=c:/app").dest, Some(Dest { path: "app".into(), is_folder: false }));
        assert_eq!(spec("a=/").dest, Some(Dest { path: String::new(), is_folder: true }));
        assert_eq!(spec("a,mode=keep").mode, FileMode::Keep);
        assert_eq!(spec("a,owner=7").owner, (7, 7));
    }

    #[test]
    fn commas_and_blanks() {
        let dest = |text: &str| spec(text).dest.unwrap().path;
        assert_eq!(spec(r"a\,b.txt=/c").path.to_str(), Some("a,b.txt"));
        assert_eq!(dest(r"a=/c\,d\,,mode=0755"), "c,d,");
        assert_eq!(dest(r"a=/c\,mode=0755"), "c,mode=0755");
        assert_eq!(spec(r"a\b=/c").path.to_str(), Some(r"a\b"), "any other backslash is one");
        let windows = spec(r"a=C:\bin\,platform=windows/amd64");
        assert_eq!((windows.dest.unwrap().path.as_str(), windows.platform.is_some()), ("bin", true));
        let blanks = spec(" a = /b , mode = 0755 , owner= 1:2 ");
        assert_eq!(blanks.path.to_str(), Some("a"));
        assert_eq!(
            (blanks.dest.unwrap().path.as_str(), blanks.mode, blanks.owner),
            ("b", FileMode::Fixed(0o755), (1, 2))
        );
    }

    #[test]
    fn an_attribute_that_there_is_not_is_told_with_the_one_that_was_meant() {
        for (text, part) in [
            ("a=/b,platfrom=linux/arm64", "unknown attribute `platfrom`; did you mean `platform=linux/arm64`"),
            ("a=/b,Platform=linux/arm64", "did you mean `platform=linux/arm64`"),
            ("a=/b,arch=arm64", "did you mean `platform=linux/arm64`"),
            ("a=/b,chown=1000:1000", "did you mean `owner=1000:1000`"),
            ("a=/b, chmod=755", "did you mean `mode=755`"),
            ("a=/b,moed=0755", "did you mean `mode=0755`"),
            ("a=/b,ownre=1", "did you mean `owner=1`"),
            ("a=/b,mode", "`mode` has no value: write `,mode=…`"),
            (
                "a=/b,colour=red",
                r"unknown attribute `colour` (platform=, mode=, owner=); a comma in a path is written `\,`",
            ),
            ("a,b.txt=/c", r"is written `\,`"),
            ("a,b", r"is written `\,`"),
            ("a=/b,", "a comma has nothing after it"),
            ("a=/b,,mode=0755", "a comma has nothing after it"),
            ("a=/b;mode=0755", "set apart by commas: write `,mode=…`"),
            ("a=/b; owner=1", "set apart by commas: write `,owner=…`"),
            ("a=/b mode=0755", "set apart by commas"),
            ("a;platform=linux/arm64", "set apart by commas"),
        ] {
            let error = text.parse::<LayerSpec>().expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            "=x",
            "a=/../x",
            r"a=C:\..\x",
            r"a=D:\x",
            "a,mode=9",
            "a,mode=",
            "a,owner=root",
            "a,owner=1:2,x=y",
            "a,platform=linux",
            "a,mode=77777",
        ] {
            assert!(bad.parse::<LayerSpec>().is_err(), "{bad}");
        }
    }
}
