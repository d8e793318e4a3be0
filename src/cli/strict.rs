//! `--strict=NAME,…`: the first argument of a Tekton Task, which lists the options that it writes, so that no element
//! of an array param can become one.
//!
//! Tekton passes each element of an array as a separate argument, and one that begins with `-` would be parsed as an
//! option. The Task's own arguments are literals that no param can remove. So it is enough to compare: if the arguments
//! that begin with `-` are exactly those that the Task writes, in order, then every other argument is a value. An end
//! mark for lists wouldn't work: Tekton and the kubelet expand `$(…)` in values from params, even the uid of the
//! TaskRun.

use crate::error::{Error, Result};
use crate::text::printable;

const STRICT: &str = "--strict";

/// The param of an option; it has the option's name, except for these.
pub fn param_of(option: &str) -> &str {
    if option == "line" { "list" } else { option }
}

/// Whether `--strict` is in the only position where it has an effect.
pub fn is_action_invocation(words: &[String]) -> bool {
    words.get(2).is_some_and(|word| word.starts_with(STRICT))
}

/// Removes `--strict=NAME,…` if it is the first argument after the step, and checks that the arguments which start with
/// `-` are the options that it names, in their order, and then one `--`.
///
/// # Errors
/// Another argument begins with `-`, or one of these is missing (`ErrorKind::Usage`).
pub fn checked(mut words: Vec<String>) -> Result<Vec<String>> {
    let Some(names) = words.get(2).and_then(|word| word.strip_prefix(STRICT)) else { return Ok(words) };
    let Some(names) = names.strip_prefix('=') else {
        return Err(Error::usage("--strict: write it as --strict=NAME,… with the options that follow"));
    };
    check(names, &words[3..])?;
    words.remove(2);
    Ok(words)
}

fn check(names: &str, words: &[String]) -> Result<()> {
    let names = names.split(',').filter(|name| !name.is_empty());
    let mut expected = names.chain([""]);
    let mut seen: Vec<&str> = Vec::new();
    for word in words.iter().filter(|word| word.starts_with('-')) {
        let next = expected.next();
        if !next.is_some_and(|name| is_option(word, name)) {
            return Err(refused(word, &seen));
        }
        seen.extend(next);
    }
    expected
        .next()
        .map_or(Ok(()), |missing| Err(Error::usage(format!("--strict lists `--{missing}`, but the option is missing"))))
}

/// Whether an argument is this option, by its long name: `--name` or `--name=…`; without a name, `--`.
fn is_option(word: &str, name: &str) -> bool {
    let rest = word.strip_prefix("--").and_then(|rest| rest.strip_prefix(name));
    rest.is_some_and(|rest| rest.is_empty() || (!name.is_empty() && rest.starts_with('=')))
}

/// Names the list that contains the refused argument. If a value imitates the Task's own option, it was accepted as
/// that, and the refused one is the Task's.
fn refused(word: &str, seen: &[&str]) -> Error {
    let word = printable(word, 60);
    let list = match seen {
        [before @ .., last] if is_option(&word, last) => before.last(),
        _ => seen.last(),
    };
    Error::usage(match list {
        Some(&"") | None => format!("`{word}` is a value: it can't begin with `-`"),
        Some(option) => {
            format!("`{word}` is an element of the param `{}`: a value here can't begin with `-`", param_of(option))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str) -> std::result::Result<String, String> {
        let words = words.split(' ').map(|word| word.replace('_', " ")).collect();
        checked(words).map(|words| words.join(" ")).map_err(|error| error.one_line())
    }

    #[test]
    fn what_the_task_writes_passes() {
        let words = "--to a b --tags --platform x --jobs=3 --result=a=b --result=c=d --";
        let strict = "--strict=to,tags,platform,jobs,result,result";
        assert_eq!(check(&format!("imgstep promote {strict} {words} src")), Ok(format!("imgstep promote {words} src")));
        assert_eq!(check("imgstep tag --strict= --"), Ok("imgstep tag --".to_owned()));
        // Nothing changes without it.
        assert_eq!(check("imgstep promote a b -v --strict=to"), Ok("imgstep promote a b -v --strict=to".to_owned()));
        assert_eq!(check("imgstep"), Ok("imgstep".to_owned()));
    }

    #[test]
    fn an_element_that_begins_with_a_dash_is_refused_and_its_param_named() {
        for (element, param) in [
            ("--layer=/creds=/c", "tags"),
            ("--to=evil", "tags"),
            ("--to", "tags"),
            ("-t", "tags"),
            ("-tevil", "tags"),
            ("-", "tags"),
            ("--", "tags"),
            ("---", "tags"),
            ("--=", "tags"),
            ("-h", "tags"),
            ("--help", "tags"),
            ("--version", "tags"),
            ("--strict=to", "tags"),
            // It imitates the next option.
            ("--platform", "tags"),
            ("--platform=linux/amd64", "tags"),
            ("--platforms", "tags"),
        ] {
            let words =
                format!("x promote --strict=to,tags,platform,jobs --to a --tags v1 {element} --platform --jobs=3 -- s");
            let error = check(&words).unwrap_err();
            assert!(error.contains(&format!("an element of the param `{param}`: a value")), "{element}: {error}");
            assert!(error.contains(&format!("`{element}`")) || element.starts_with("--platform"), "{element}: {error}");
        }
    }

    #[test]
    fn no_element_ends_the_options_early() {
        let strict = "x promote --strict=to,jobs,result --to";
        let forged = "--jobs=1 --result=json=/etc/x -- evil/src evil/dst";
        let error = check(&format!("{strict} {forged} --jobs=64 --result=digest=/r -- src")).unwrap_err();
        assert!(error.contains("`--jobs=64` is a value: it can't begin with `-`"), "{error}");
        let error = check("x promote --strict=to --to a -- -s").unwrap_err();
        assert!(error.contains("`-s` is a value"), "{error}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = check("x promote --strict=to,jobs --to a --jobs=1 src").unwrap_err();
        assert!(error.contains("--strict lists `--`"), "{error}");
        let error = check("x promote --strict=to,jobs --to a").unwrap_err();
        assert!(error.contains("--strict lists `--jobs`"), "{error}");
        let error = check("x promote --strict --to a").unwrap_err();
        assert!(error.contains("write it as --strict=NAME"), "{error}");
    }

    #[test]
    fn values_may_hold_anything_else() {
        let words = "x promote --strict=to --to _--jobs=1 $(context.taskRun.uid) a\n--b –x help -- s";
        assert!(check(words).is_ok());
    }
}
