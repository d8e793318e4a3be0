//! What a user says of a layer: `PATH[=DEST][,platform=os/arch[/variant]][,mode=0755][,owner=UID:GID]`.

use std::path::PathBuf;
use std::str::FromStr;

use crate::error::printable;
use crate::image::platform::Platform;

/// A layer as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSpec {
    /// A folder, a file or a tar.
    pub path: PathBuf,
    /// Where it goes in the image; its words without slashes around them. `None` where nothing was said.
    pub dest: Option<Dest>,
    /// The platform it is for; every platform if none.
    pub platform: Option<Platform>,
    /// The mode of its files.
    pub mode: Mode,
    /// User and group of all that is in it.
    pub owner: (u64, u64),
}

/// A place in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dest {
    /// The path from the root, without a slash at its ends; empty for the root.
    pub path: String,
    /// It was written with a slash at its end: a file goes into it under its own name.
    pub is_folder: bool,
}

/// What modes the files of a layer get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// 0755 for folders and for what its owner may execute, 0644 for all else.
    Normal,
    /// Those they have on disk.
    Keep,
    /// This one for files; folders as [`Mode::Normal`].
    Fixed(u32),
}

/// Why a text is not a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a layer: {reason}")]
pub struct SpecError {
    text: String,
    reason: String,
}

impl FromStr for LayerSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let fail = |reason: String| SpecError { text: printable(text, 300), reason };
        let mut parts = text.split(',');
        let mut place = parts.next().unwrap_or_default().to_owned();
        let mut spec = Self { path: PathBuf::new(), dest: None, platform: None, mode: Mode::Normal, owner: (0, 0) };
        for part in parts {
            let option = part.split_once('=');
            match option {
                Some(("platform", value)) => {
                    spec.platform = Some(value.parse().map_err(|error| fail(format!("{error}")))?);
                }
                Some(("mode", "keep")) => spec.mode = Mode::Keep,
                Some(("mode", value)) => {
                    spec.mode = Mode::Fixed(mode(value).ok_or_else(|| {
                        fail(format!("mode={} is neither octal, such as 0755, nor keep", printable(value, 40)))
                    })?);
                }
                Some(("owner", value)) => {
                    spec.owner = owner(value).ok_or_else(|| {
                        fail(format!(
                            "owner={} is not UID:GID in numbers; names mean nothing outside the image",
                            printable(value, 40)
                        ))
                    })?;
                }
                // A comma in the name of a file.
                _ if spec.platform.is_none() && spec.mode == Mode::Normal && spec.owner == (0, 0) => {
                    place.push(',');
                    place.push_str(part);
                }
                _ => {
                    let part = printable(part, 80);
                    return Err(fail(format!("`{part}` is none of platform=, mode=, owner=")));
                }
            }
        }
        let (path, dest) = match place.split_once('=') {
            Some((path, dest)) => (path, Some(dest)),
            None => (place.as_str(), None),
        };
        if path.is_empty() {
            return Err(fail("it names no file or folder; write PATH[=DEST]".to_owned()));
        }
        spec.path = PathBuf::from(path);
        spec.dest = dest.filter(|dest| !dest.is_empty()).map(destination).transpose().map_err(fail)?;
        Ok(spec)
    }
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

/// A path in the image, normalised; of Windows, one on its drive `C:`.
///
/// # Errors
/// It has a `..`, which could lead out of where it seems to be; or another drive.
pub fn destination(text: &str) -> Result<Dest, String> {
    let windows = match text.as_bytes() {
        [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic() => {
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
        assert_eq!((full.mode, full.owner), (Mode::Fixed(0o755), (1000, 100)));
        assert_eq!(spec("a=/b//./c/").dest, Some(Dest { path: "b/c".into(), is_folder: true }));
        assert_eq!(spec(r"a=C:\app\bin\").dest, Some(Dest { path: "app/bin".into(), is_folder: true }));
        assert_eq!(spec("a=c:/app").dest, Some(Dest { path: "app".into(), is_folder: false }));
        assert_eq!(spec("a=/").dest, Some(Dest { path: String::new(), is_folder: true }));
        assert_eq!(spec("a,b.txt=/c").path.to_str(), Some("a,b.txt"));
        assert_eq!(spec("a,mode=keep").mode, Mode::Keep);
        assert_eq!(spec("a,owner=7").owner, (7, 7));
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
