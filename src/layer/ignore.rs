//! Which files of a folder to exclude from its layer: `.gitignore` patterns from `.imgstepignore` and `--exclude`.

use crate::error::{Error, Result};
use crate::text::printable;

/// The file in a layer's folder that holds patterns, one a line. It is excluded as well.
pub(crate) const IGNORE_FILE: &str = ".imgstepignore";

/// Patterns in order; the last one that matches a path wins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patterns(Vec<Pattern>);

#[derive(Debug, Clone)]
struct Pattern {
    /// `!`: include matches again.
    negated: bool,
    /// A trailing slash: folders only.
    folders_only: bool,
    /// The components between slashes; `**` matches any number of them.
    words: Vec<Vec<u8>>,
}

impl Patterns {
    /// Parses a file, one pattern a line; blank lines and lines starting with `#` are ignored.
    ///
    /// # Errors
    /// An unclosed bracket.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(|line| line.trim_end().trim_start_matches('\u{feff}'));
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(parse).collect::<Result<_>>().map(Self)
    }

    /// Adds the patterns of `--exclude`.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn add(&mut self, patterns: &[String]) -> Result<()> {
        for pattern in patterns {
            self.0.push(parse(pattern)?);
        }
        Ok(())
    }

    /// Whether `path`, relative to the layer's folder, is excluded; `None` if no pattern matches. Never called for
    /// paths below an excluded folder.
    pub(crate) fn decide(&self, path: &[u8], is_folder: bool) -> Option<bool> {
        let words: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let decides = |pattern: &&Pattern| (is_folder || !pattern.folders_only) && matches(&pattern.words, &words);
        self.0.iter().rev().find(decides).map(|pattern| !pattern.negated)
    }
}

fn parse(line: &str) -> Result<Pattern> {
    let (negated, rest) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
    let rest = rest.strip_prefix('\\').filter(|rest| rest.starts_with(['#', '!'])).unwrap_or(rest);
    let folders_only = rest.ends_with('/');
    let rest = rest.trim_end_matches('/');
    // A slash in the middle anchors the pattern to the folder's root, as in git; otherwise it matches at any depth.
    let anchored = rest.contains('/');
    let mut words: Vec<Vec<u8>> =
        rest.trim_start_matches('/').split('/').map(|word| word.as_bytes().to_vec()).collect();
    if words.iter().any(|word| word.is_empty() || has_open_bracket(word)) {
        return Err(Error::usage(format!("`{}` is not a pattern of files", printable(line, 200))));
    }
    if !anchored {
        words.insert(0, b"**".to_vec());
    }
    Ok(Pattern { negated, folders_only, words })
}

fn has_open_bracket(word: &[u8]) -> bool {
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'\\' => after.get(1..).unwrap_or_default(),
            b'[' => match class(after) {
                Some((_, _, end)) => &after[end..],
                None => return true,
            },
            _ => after,
        };
    }
    false
}

/// Matches the components of a path; as with stars within a component, only the last `**` needs to backtrack, by one
/// component.
fn matches(pattern: &[Vec<u8>], path: &[&[u8]]) -> bool {
    let (mut p, mut w) = (0, 0);
    let mut any: Option<(usize, usize)> = None;
    loop {
        let goes_on = match pattern.get(p) {
            // At the end it matches everything below, but not the folder itself.
            Some(word) if word == b"**" && p + 1 == pattern.len() => return w < path.len(),
            Some(word) if word == b"**" => {
                any = Some((p + 1, w));
                p += 1;
                continue;
            }
            None if w == path.len() => return true,
            Some(word) => path.get(w).is_some_and(|part| word_matches(word, part)),
            None => false,
        };
        match any {
            _ if goes_on => (p, w) = (p + 1, w + 1),
            Some((after, from)) if from < path.len() => {
                any = Some((after, from + 1));
                (p, w) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

/// The members of a bracket expression after `[`, whether it is negated, and where it ends.
pub(super) fn class(rest: &[u8]) -> Option<(&[u8], bool, usize)> {
    let negated = matches!(rest.first(), Some(b'!' | b'^'));
    let start = usize::from(negated);
    // A `]` right at the start is a member.
    let length = rest.get(start + 1..)?.iter().position(|byte| *byte == b']')? + 1;
    Some((&rest[start..start + length], !negated, start + length + 1))
}

pub(super) fn in_class(members: &[u8], byte: u8) -> bool {
    let mut at = 0;
    while at < members.len() {
        if at + 2 < members.len() && members[at + 1] == b'-' {
            if (members[at]..=members[at + 2]).contains(&byte) {
                return true;
            }
            at += 3;
        } else {
            if members[at] == byte {
                return true;
            }
            at += 1;
        }
    }
    false
}

/// Matches one component; only the last star needs to backtrack, by one byte.
fn word_matches(pattern: &[u8], word: &[u8]) -> bool {
    let (mut p, mut w) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, w));
                p += 1;
                continue;
            }
            None if w == word.len() => return true,
            Some(_) if w == word.len() => None,
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p + 1..])
                .filter(|(members, wanted, _)| in_class(members, word[w]) == *wanted)
                .map(|(_, _, end)| end + 1),
            Some(b'\\') if pattern.get(p + 1) == Some(&word[w]) => Some(2),
            Some(byte) if *byte == word[w] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(step), _) => {
                p += step;
                w += 1;
            }
            (None, Some((after, from))) if from < word.len() => {
                star = Some((after, from + 1));
                (p, w) = (after, from + 1);
            }
            (None, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(patterns: &str, path: &str) -> bool {
        let patterns = Patterns::parse(patterns).unwrap();
        patterns.decide(path.trim_end_matches('/').as_bytes(), path.ends_with('/')).unwrap_or_default()
    }

    #[test]
    fn as_git_has_it() {
        for (patterns, path, expected) in [
            ("*.log", "a/b/x.log", true),
            ("*.log", "x.logs", false),
            ("/x", "x", true),
            ("/x", "a/x", false),
            ("a/b", "a/b", true),
            ("a/b", "c/a/b", false),
            ("node_modules/", "a/node_modules/", true),
            ("node_modules/", "a/node_modules", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**", "a/", false),
            ("a/**", "a/x", true),
            ("**/t", "x/y/t", true),
            ("**/a/**", "a", false),
            ("**/a/**", "b/a/a", true),
            ("a/**/**/b", "a/b", true),
            ("a/**/b/**/c", "a/b/x/b/y/c", true),
            ("a/**/b/**/c", "a/x/c/y/b", false),
            ("**/b/c/**/d", "b/b/c/c/d", true),
            ("?a[0-9].[!x]", "ba7.y", true),
            ("?a[0-9].[!x]", "ba7.x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*.log\n!keep.log", "keep.log", false),
            ("# nothing\n\n", "x", false),
            ("\\#x", "#x", true),
        ] {
            assert_eq!(excluded(patterns, path), expected, "{patterns:?} {path}");
        }
        assert!(Patterns::parse("a[b").is_err());
    }

    #[test]
    fn many_stars_take_no_time() {
        let (stars, deep) = ("**/a/".repeat(40), "a/".repeat(1000));
        assert!(!excluded(&format!("{stars}b"), &format!("{deep}c")));
        assert!(excluded(&format!("{stars}c"), &format!("{deep}c")));
        assert!(!excluded(&"*a".repeat(100), &format!("{}b", "a".repeat(255))));
    }
}
