//! `[PLATFORM,…]VALUE`: values that apply to the images of some platforms only.

use serde::de::IgnoredAny;

use crate::error::Error;
use crate::image::platform::Platform;
use crate::text::printable;

/// A value and its platforms.
#[derive(Debug, PartialEq, Eq)]
pub struct PlatformValue<'w> {
    /// The platforms whose images it applies to; none means all.
    pub platforms: Vec<Platform>,
    /// The value without the platforms.
    pub value: &'w str,
}

/// Splits the platforms from an argument. The brackets of a JSON array belong to the value.
///
/// # Errors
/// Brackets with anything but platforms, if the value isn't JSON: a platform was probably mistyped, and the value would
/// apply to all. Platforms without a value: an extra space made two arguments of one, and the second would apply to
/// every platform (`ErrorKind::Usage`).
pub fn scoped<'w>(option: &str, word: &'w str) -> Result<PlatformValue<'w>, Error> {
    let scoped = split(word);
    let is_json = matches!(option, "--entrypoint" | "--cmd");
    if scoped.platforms.is_empty() && word.trim_start().starts_with('[') && !is_json {
        let word = printable(word.trim(), 200);
        let error = Error::usage(format!("{option}: `{word}` begins with brackets that contain no platform"));
        return Err(error.with_hint("write [linux/arm64]VALUE"));
    }
    if scoped.platforms.is_empty() || !scoped.value.is_empty() {
        return Ok(scoped);
    }
    let word = printable(word.trim(), 200);
    let error = Error::usage(format!("{option}: `{word}` has no value"));
    Err(error.with_hint(format!("write `{word}VALUE` as one argument")))
}

fn split(word: &str) -> PlatformValue<'_> {
    let whole = PlatformValue { platforms: Vec::new(), value: word };
    let Some((inside, value)) = word.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return whole;
    };
    if inside.starts_with(char::is_whitespace) {
        return whole;
    }
    let platforms: Result<Vec<Platform>, _> = inside.split(',').map(|platform| platform.trim().parse()).collect();
    platforms.map_or(whole, |platforms| PlatformValue { platforms, value: value.trim_start() })
}

/// The values of an environment variable with JSON: one per line, or indented over several lines.
pub fn json_values(text: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut open = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if !open.is_empty() {
            open.push('\n');
        }
        open.push_str(line);
        if serde_json::from_str::<IgnoredAny>(split(&open).value).is_ok() {
            values.push(std::mem::take(&mut open));
        }
    }
    if !open.is_empty() {
        // Not JSON: reported where the values are parsed.
        values.push(open);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(word: &str) -> (String, &str) {
        let PlatformValue { platforms, value } = split(word);
        (platforms.iter().map(Platform::to_string).collect::<Vec<_>>().join(" "), value)
    }

    #[test]
    fn platforms_in_brackets_come_off() {
        for (word, platforms, value) in [
            ("[linux/arm64]KEY=VALUE", "linux/arm64", "KEY=VALUE"),
            (r#"[linux/arm64]["/app-arm64"]"#, "linux/arm64", r#"["/app-arm64"]"#),
            (r#"[linux/arm64] ["/a]b"]"#, "linux/arm64", r#"["/a]b"]"#),
            ("[linux/arm64]A=[x]", "linux/arm64", "A=[x]"),
            ("[linux/arm64,linux/arm/v7]A=1", "linux/arm64 linux/arm/v7", "A=1"),
            ("[linux/arm64, linux/amd64 ]A=1", "linux/arm64 linux/amd64", "A=1"),
            ("  [linux/arm64]A=1 ", "linux/arm64", "A=1 "),
            ("[windows/amd64:10.0.17763.1]ContainerUser", "windows/amd64:10.0.17763.1", "ContainerUser"),
            ("[Linux/x86_64]A=1", "linux/amd64", "A=1"),
            // Only the first pair of brackets counts.
            ("[linux/arm64][linux/amd64]A=1", "linux/arm64", "[linux/amd64]A=1"),
            ("[linux/arm64]]A=1", "linux/arm64", "]A=1"),
            ("[linux/arm64]=", "linux/arm64", "="),
            (r"[windows/amd64]C:\app", "windows/amd64", r"C:\app"),
        ] {
            assert_eq!(parts(word), (platforms.to_owned(), value), "{word}");
        }
    }

    #[test]
    fn any_other_brackets_belong_to_the_value() {
        for word in [
            "",
            "[",
            "]",
            "[]",
            "[ ]",
            r#"["/app","-v"]"#,
            r#"[ "/app" ]"#,
            "[\n\"/app\"\n]",
            r#"["linux/arm64"]"#,
            "[ linux/arm64]A=1",
            "[linux/arm64",
            "linux/arm64]A=1",
            "KEY=[linux/arm64]",
            "[linux]A=1",
            "[linux/]A=1",
            "[/arm64]A=1",
            "[linux/arm64,]A=1",
            "[,linux/arm64]A=1",
            "[linux/arm64;linux/amd64]A=1",
            "[linux/arm64:]A=1",
            "[linux/arm/v7/x]A=1",
            "[linux/a b]A=1",
            "[linux/arm64\0]A=1",
            "[linux/ärm64]A=1",
            "[[linux/arm64]]A=1",
            "［linux/arm64］A=1",
            "[key]=value",
            "[::1]:8080",
            "[0-9]+",
        ] {
            assert_eq!(parts(word), (String::new(), word), "{word}");
        }
    }

    #[test]
    fn platforms_need_a_value() {
        for word in ["[linux/arm64]", "[linux/arm64] ", " [linux/arm64,linux/amd64]"] {
            let error = scoped("--env", word).unwrap_err().one_line();
            assert!(error.contains("--env: `[linux/arm64") && error.contains("no value"), "{error}");
        }
        assert_eq!(scoped("--cmd", "[]").unwrap().value, "[]");
    }

    #[test]
    fn a_platform_that_is_mistyped_is_no_name() {
        for word in ["[arm64]A=1", "[linux/arm64;linux/amd64]A=1", " [", "[]A=1"] {
            let error = scoped("--env", word).unwrap_err().one_line();
            assert!(error.contains("that contain no platform"), "{error}");
        }
        assert_eq!(scoped("--env", "A=[x]").unwrap().value, "A=[x]");
    }

    #[test]
    fn json_in_the_environment_may_go_over_lines() {
        let indented = "[\n  \"/app\",\n\n  \"[linux/arm64]\"\n]\n";
        assert_eq!(json_values(indented), ["[\n  \"/app\",\n  \"[linux/arm64]\"\n]"]);
        assert_eq!(
            json_values("[\"/a\"]\n\n[linux/arm64][\"/b\"]\r\n[linux/arm/v7]\n[\n\"/c\"]"),
            ["[\"/a\"]", "[linux/arm64][\"/b\"]", "[linux/arm/v7]\n[\n\"/c\"]"]
        );
        assert_eq!(json_values("[\"/a\"]\n/b\n[\"/c\"]"), ["[\"/a\"]", "/b\n[\"/c\"]"]);
        assert_eq!(json_values("[\n\"/a\",\n]"), ["[\n\"/a\",\n]"]);
        assert!(json_values(" \n\n").is_empty());
    }
}
