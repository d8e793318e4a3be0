//! Renders reports as JSON: exact for files, and safe to print for stdout.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde::Serialize;

use crate::error::Error;
use crate::text::is_unsafe_to_print;

/// `value` as JSON on one line, without a newline.
///
/// # Errors
///
/// Never for our own types: all their keys are text.
pub(super) fn render(value: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(value).context("the report can't be written as JSON")?)
}

/// `value` as a line for stdout, with its newline.
///
/// # Errors
///
/// As [`render`].
pub(super) fn line(value: &impl Serialize) -> Result<String, Error> {
    render(value).map(|json| printable(&json))
}

/// Escapes JSON so that no log reader finds `##[command]` or `##vso[command]`, which are recognised anywhere in a line.
/// A `#` is always inside a string, where JSON can escape it; so are characters that terminals don't show as they are.
fn printable(json: &str) -> String {
    let json = json.replace("##", "#\\u0023");
    let mut out = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        if is_unsafe_to_print(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_no_commands() {
        let value = serde_json::json!({ "type": "###vso[task.complete]x ##[error]" });
        let text = line(&value).unwrap();
        assert!(!text.contains("##"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
