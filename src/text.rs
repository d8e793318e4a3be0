//! Text of others, made safe to print.

use std::error::Error as StdError;

/// Text from a registry, made safe for a terminal and for a CI log: our own logins are masked, should it hold them, and it
/// is [`escaped`].
pub(crate) fn printable(text: &str, limit: usize) -> String {
    escaped(&crate::mask::masked(text), limit)
}

/// Control characters are escaped, so that a text can neither move a cursor nor speak a workflow command on a line of its
/// own; the commands that GitHub's runner, Azure's agent and TeamCity read anywhere in a line are broken; and it is cut
/// after `limit` characters.
pub(crate) fn escaped(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == limit {
            out.push('…');
            break;
        }
        if is_unsafe_to_print(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    without_commands(out)
}

/// `##[command]`, `##vso[command]` and `##teamcity[command]` count anywhere in a line.
fn without_commands(text: String) -> String {
    if !text.contains("##") {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut characters = text.chars().peekable();
    let mut before = None;
    while let Some(character) = characters.next() {
        let begins = characters.peek().is_some_and(|next| next.is_alphanumeric() || *next == '[');
        if character == '#' && before == Some('#') && begins {
            out.push(' ');
        }
        out.push(character);
        before = Some(character);
    }
    out
}

/// Control characters, line separators, and what turns the direction of text or can't be seen.
pub(crate) fn is_unsafe_to_print(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// What an error and its causes say, joined by colons, each text once.
pub(crate) fn joined<'e>(causes: impl Iterator<Item = &'e (dyn StdError + 'static)>) -> String {
    let mut text = String::new();
    for cause in causes {
        let words = cause.to_string();
        // A library that prints its cause in its own text would repeat it.
        if !words.is_empty() && !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_registry_stays_on_its_line() {
        assert_eq!(printable("denied\n::set-output name=x::y", 100), "denied\\n::set-output name=x::y");
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c", 100), "a\\u{1b}[2Jb\\u{202e}c");
        assert_eq!(printable("a ##vso[task.complete]b", 100), "a # #vso[task.complete]b");
        assert_eq!(printable("###[error]", 100), "## #[error]");
        assert_eq!(printable("a ##teamcity[buildStatus]", 100), "a # #teamcity[buildStatus]");
        assert_eq!(printable("## Heading, #1, ##", 100), "## Heading, #1, ##");
        assert_eq!(printable("a\u{200b}b\u{ad}c\u{61c}d\u{e0041}", 100), "a\\u{200b}b\\u{ad}c\\u{61c}d\\u{e0041}");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("café ✓", 100), "café ✓");
    }
}
