//! Which files of a folder its `.dockerignore` excludes, as `docker build` reads it (Docker's reference, ".dockerignore
//! file"; moby/patternmatcher): patterns are relative to the folder's root and match everything below too, and `!`
//! includes again, even from an excluded folder.

use super::ignore::{class, in_class};
use crate::error::{Error, Result};
use crate::text::printable;

/// Docker's file. Unlike `.imgstepignore` it becomes part of the layer, unless it excludes itself.
pub(crate) const DOCKERIGNORE: &str = ".dockerignore";

/// Patterns in order; the last one that matches a path, or a folder above it, wins.
#[derive(Debug, Clone, Default)]
pub(crate) struct DockerPatterns(Vec<DockerPattern>);

/// Whether each pattern matches a folder or one of its parents.
pub(crate) type Trail = Vec<bool>;

#[derive(Debug, Clone)]
struct DockerPattern {
    /// `!`: include matches again.
    negated: bool,
    parts: Vec<PatternPart>,
    /// The literal prefix of the pattern, up to the first special character.
    literal: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PatternPart {
    Byte(u8),
    /// `?`: one byte other than a slash.
    One,
    /// `[…]`; negated if false.
    Class(Vec<u8>, bool),
    /// `*`: any number of bytes other than slashes.
    Star,
    /// `**/`, or `**` before anything else: nothing, or anything up to and including a slash.
    Folders,
    /// `**` at the end: anything.
    All,
}

impl DockerPatterns {
    /// Parses a file, one pattern a line.
    ///
    /// # Errors
    /// A line that Docker rejects too.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
        lines.filter(|line| !line.is_empty()).map(parse).collect::<Result<_>>().map(Self)
    }

    /// Whether `path`, relative to the layer's folder, is excluded; and the state for paths below it. `above` is the
    /// state of its parent, empty for the root.
    pub(crate) fn exclude(&self, path: &[u8], above: &[bool]) -> (bool, Trail) {
        let matches = |(at, pattern): (usize, &DockerPattern)| {
            above.get(at).copied().unwrap_or_default() || pattern.matches(path)
        };
        let trail: Trail = self.0.iter().enumerate().map(matches).collect();
        let decides = self.0.iter().zip(&trail).rev().find(|(_, matches)| **matches);
        (decides.is_some_and(|(pattern, _)| !pattern.negated), trail)
    }

    /// Whether a `!` pattern may include something below an excluded folder.
    pub(crate) fn take_in_below(&self, path: &[u8]) -> bool {
        let below = [path, b"/"].concat();
        let may = |pattern: &DockerPattern| {
            let length = below.len().min(pattern.literal.len());
            below[..length] == pattern.literal[..length]
                && (pattern.literal.len() > below.len() || pattern.parts.len() > pattern.literal.len())
        };
        self.0.iter().any(|pattern| pattern.negated && may(pattern))
    }
}

fn parse(line: &str) -> Result<DockerPattern> {
    let wrong = || Error::usage(format!("{DOCKERIGNORE}: `{}` is not a pattern of files", printable(line, 200)));
    let (negated, rest) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
    if rest.is_empty() {
        return Err(wrong());
    }
    let clean = clean(rest);
    let parts = parts(clean.as_bytes()).ok_or_else(wrong)?;
    let bytes = parts.iter().map_while(|part| if let PatternPart::Byte(byte) = part { Some(*byte) } else { None });
    Ok(DockerPattern { negated, literal: bytes.collect(), parts })
}

/// Normalises as Go's `filepath.Clean` does, without the leading slash.
fn clean(pattern: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in pattern.split('/') {
        match word {
            "" | "." => {}
            ".." if words.last().is_some_and(|last| *last != "..") => drop(words.pop()),
            ".." if pattern.starts_with('/') => {}
            word => words.push(word),
        }
    }
    words.join("/")
}

fn parts(mut rest: &[u8]) -> Option<Vec<PatternPart>> {
    // After `**` and literals only, Docker matches a suffix, even one that starts in the middle of a name.
    if let Some(end) = rest.strip_prefix(b"**").filter(|end| !end.is_empty() && end[0] != b'/')
        && !end.iter().any(|byte| b"*?[]\\".contains(byte))
    {
        return Some([PatternPart::All].into_iter().chain(end.iter().map(|byte| PatternPart::Byte(*byte))).collect());
    }
    let mut parts = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        parts.push(match first {
            b'*' if after.first() == Some(&b'*') => {
                rest = &after[1..];
                rest = rest.strip_prefix(b"/").unwrap_or(rest);
                if rest.is_empty() { PatternPart::All } else { PatternPart::Folders }
            }
            b'*' => PatternPart::Star,
            b'?' => PatternPart::One,
            b'\\' => {
                let (escaped, after) = after.split_first()?;
                rest = after;
                PatternPart::Byte(*escaped)
            }
            b'[' => {
                let (members, wanted, end) = class(after)?;
                // Only `^` negates here.
                let (members, wanted) = match after.first() {
                    Some(b'!') => (&after[..end - 1], true),
                    _ => (members, wanted),
                };
                let members = members.to_vec();
                rest = &after[end..];
                PatternPart::Class(members, wanted)
            }
            byte => PatternPart::Byte(*byte),
        });
    }
    Some(parts)
}

impl DockerPattern {
    /// Walks the path once, tracking every position in the pattern that could match.
    fn matches(&self, path: &[u8]) -> bool {
        if self.literal.len() == self.parts.len() {
            return self.literal == path;
        }
        if !path.starts_with(&self.literal) {
            return false;
        }
        let parts = &self.parts[self.literal.len()..];
        let mut at = vec![false; parts.len() + 1];
        enter(parts, &mut at, 0);
        for byte in &path[self.literal.len()..] {
            let mut next = vec![false; parts.len() + 1];
            for (place, part) in parts.iter().enumerate().filter(|(place, _)| at[*place]) {
                let (stays, goes_on) = match part {
                    PatternPart::Byte(own) => (false, own == byte),
                    PatternPart::One => (false, *byte != b'/'),
                    PatternPart::Class(members, wanted) => {
                        (false, *byte != b'/' && in_class(members, *byte) == *wanted)
                    }
                    PatternPart::Star => (*byte != b'/', false),
                    PatternPart::Folders => (true, *byte == b'/'),
                    PatternPart::All => (true, false),
                };
                if stays {
                    // Don't restart: the component ends before the next part begins.
                    next[place] = true;
                    if *part != PatternPart::Folders {
                        enter(parts, &mut next, place);
                    }
                }
                if goes_on {
                    enter(parts, &mut next, place + 1);
                }
            }
            at = next;
        }
        at[parts.len()]
    }
}

/// Adds a position, and those after parts that can match nothing.
fn enter(parts: &[PatternPart], at: &mut [bool], mut place: usize) {
    loop {
        at[place] = true;
        match parts.get(place) {
            Some(PatternPart::Star | PatternPart::Folders | PatternPart::All) => place += 1,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(patterns: &str, path: &str) -> bool {
        let patterns = DockerPatterns::parse(patterns).unwrap();
        let (mut above, mut excluded) = (Trail::new(), false);
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            (excluded, above) = patterns.exclude(&path.as_bytes()[..end], &above);
        }
        excluded
    }

    /// The examples from Docker's reference, and cases that moby tests.
    #[test]
    fn as_docker_has_it() {
        for (patterns, path, expected) in [
            ("# comment\n*/temp*", "somedir/temporary.txt", true),
            ("*/temp*", "somedir/temp/x", true),
            ("*/temp*", "temporary.txt", false),
            ("*/*/temp*", "somedir/subdir/temporary.txt", true),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("**/*.go", "a.go", true),
            ("**/*.go", "a/b/c.go", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
            ("*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false),
            // Relative to the root, unlike `.gitignore`.
            ("*.log", "x.log", true),
            ("*.log", "a/x.log", false),
            ("node_modules", "node_modules/x/y", true),
            ("node_modules", "a/node_modules/x", false),
            ("/node_modules/", "node_modules/x", true),
            ("node_modules/", "node_modules", true),
            // Included again from an excluded folder.
            ("*\n!src", "src/a/b", false),
            ("*\n!src", "other", true),
            ("docs\n!docs/README.md", "docs/README.md", false),
            ("docs\n!docs/README.md", "docs/x", true),
            ("  a b  ", "a b", true),
            ("! a\n", "a", false),
            ("./a//b/../c/", "a/c", true),
            ("../a", "a", false),
            (" #a", "#a", true),
            ("#a", "#a", false),
            ("\\#a", "#a", true),
            ("\u{feff}a", "a", true),
            ("a\r\nb\r\n", "b", true),
            ("**", "a/b", true),
            ("**/", "a", true),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a**", "ab/c", true),
            ("**/foo", "foo", true),
            ("**/foo", "x/foo", true),
            ("**/foo", "xfoo", false),
            ("**foo", "xfoo", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a**/b", "ax/b", true),
            ("**/foo/**", "x/foo/y", true),
            ("[a-c]?[^x]", "b1y", true),
            ("[a-c]?[^x]", "b1x", false),
            ("[!a]", "!", true),
            ("[!a]", "b", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a.b", "axb", false),
            ("A", "a", false),
        ] {
            assert_eq!(excluded(patterns, path), expected, "{patterns:?} {path}");
        }
        for bad in ["[a", "!", "a\\"] {
            assert!(DockerPatterns::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn where_something_may_be_taken_in_below() {
        let below =
            |patterns: &str, path: &str| DockerPatterns::parse(patterns).unwrap().take_in_below(path.as_bytes());
        assert!(below("!docs/a/b", "docs"));
        assert!(below("!docs/a/b", "docs/a"));
        assert!(below("!**/x", "docs"));
        assert!(below("!d*/x", "docs"));
        assert!(!below("!docs/a", "doc"));
        assert!(!below("!docs", "docs"));
        assert!(!below("docs/a", "docs"));
        assert!(!below("!src/*", "docs"));
    }

    #[test]
    fn many_stars_take_no_time() {
        let (stars, deep) = ("**/a/".repeat(200), "a/".repeat(1000));
        let patterns = DockerPatterns::parse(&format!("{stars}b")).unwrap();
        assert!(!patterns.exclude(format!("{deep}c").as_bytes(), &[]).0);
    }
}
