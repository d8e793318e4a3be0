//! Finds the documents of a YAML file: where each begins and ends, and the kind and name of its resource.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use crate::text::printable;

/// What identifies a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceIdentity {
    /// The version of its API: `tekton.dev/v1`.
    pub api_version: String,
    /// The kind: `Task`.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// A document that isn't empty.
#[derive(Debug)]
pub(super) struct Document {
    /// Its first line, counted from 0.
    pub line: usize,
    /// The line after its last.
    pub end: usize,
    /// What identifies it, or why it isn't a resource.
    pub identity: Result<ResourceIdentity, String>,
}

/// What is wrong with a text, and in which line (counted from 1).
#[derive(Debug)]
pub(super) struct InvalidYaml {
    /// The line.
    pub line: usize,
    /// The parser's message.
    pub reason: String,
}

/// The documents of `text`, whose lines end with `\n` alone; empty ones are left out.
///
/// # Errors
/// It isn't valid YAML.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, InvalidYaml> {
    let mut reader = DocumentReader { parser: Parser::new_from_str(text), line: 0 };
    let mut starts: Vec<(usize, Option<Result<ResourceIdentity, String>>)> = Vec::new();
    while let Some((event, span)) = reader.next()? {
        if matches!(event, Event::DocumentStart(_)) {
            starts.push((span.start.line().saturating_sub(1), reader.document()?));
        }
    }
    // Comments before the first document, such as a licence, belong to it.
    if let Some(first) = starts.first_mut() {
        first.0 = 0;
    }
    let ends: Vec<usize> = starts.iter().skip(1).map(|start| start.0).chain([text.lines().count()]).collect();
    let documents = starts.into_iter().zip(ends);
    Ok(documents.filter_map(|((line, found), end)| Some(Document { line, end, identity: found? })).collect())
}

struct DocumentReader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Where the parser is, counted from 1.
    line: usize,
}

/// A value in a mapping.
enum Value {
    /// A text.
    Text(String),
    /// Something else.
    Other(&'static str),
}

/// The fields of a resource.
#[derive(Default)]
struct FoundDocument {
    api_version: Option<Value>,
    kind: Option<Value>,
    has_metadata: bool,
    name: Option<Value>,
    /// A field that exists twice.
    twice: Option<&'static str>,
}

impl<'t> DocumentReader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, InvalidYaml> {
        match self.parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => Ok(None),
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(Some((event, span)))
            }
            Some(Err(error)) => Err(InvalidYaml { line: error.marker().line(), reason: printable(error.info(), 200) }),
        }
    }

    /// The next event inside a document.
    fn within(&mut self) -> Result<Event<'t>, InvalidYaml> {
        let ended = InvalidYaml { line: self.line, reason: "it ends too early".to_owned() };
        Ok(self.next()?.ok_or(ended)?.0)
    }

    /// The resource of a document; `None` if it is empty.
    fn document(&mut self) -> Result<Option<Result<ResourceIdentity, String>>, InvalidYaml> {
        Ok(match self.within()? {
            Event::MappingStart(..) => Some(self.resource()?.identity()),
            Event::Scalar(text, ScalarStyle::Plain, _, None) if is_null(&text) => None,
            other => {
                self.skip(&other)?;
                Some(Err("it is not a YAML mapping".to_owned()))
            }
        })
    }

    fn resource(&mut self) -> Result<FoundDocument, InvalidYaml> {
        let mut found = FoundDocument::default();
        while let Some(key) = self.key()? {
            let twice = match key.as_str() {
                "apiVersion" => found.api_version.replace(self.value()?).map(|_| "apiVersion"),
                "kind" => found.kind.replace(self.value()?).map(|_| "kind"),
                "metadata" => {
                    found.name = self.name(&mut found.twice)?;
                    std::mem::replace(&mut found.has_metadata, true).then_some("metadata")
                }
                _ => {
                    self.value()?;
                    None
                }
            };
            found.twice = found.twice.or(twice);
        }
        Ok(found)
    }

    /// The `name` of a `metadata`.
    fn name(&mut self, twice: &mut Option<&'static str>) -> Result<Option<Value>, InvalidYaml> {
        let first = self.within()?;
        if !matches!(first, Event::MappingStart(..)) {
            self.skip(&first)?;
            return Ok(None);
        }
        let mut name = None;
        while let Some(key) = self.key()? {
            let value = self.value()?;
            if key == "name" && name.replace(value).is_some() {
                twice.get_or_insert("metadata.name");
            }
        }
        Ok(name)
    }

    /// The next key of a mapping, empty if it isn't a string; `None` at the end of the mapping.
    fn key(&mut self) -> Result<Option<String>, InvalidYaml> {
        let event = self.within()?;
        if matches!(event, Event::MappingEnd) {
            return Ok(None);
        }
        Ok(Some(match self.value_of(event)? {
            Value::Text(text) => text,
            Value::Other(_) => String::new(),
        }))
    }

    fn value(&mut self) -> Result<Value, InvalidYaml> {
        let event = self.within()?;
        self.value_of(event)
    }

    fn value_of(&mut self, event: Event<'t>) -> Result<Value, InvalidYaml> {
        Ok(match event {
            Event::Scalar(text, style, _, tag) => match tag {
                Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Value::Text(text.into_owned()),
                Some(_) => Value::Other("a value with a tag"),
                None if style == ScalarStyle::Plain && is_null(&text) => Value::Other("nothing"),
                None if style == ScalarStyle::Plain && is_not_string(&text) => {
                    Value::Other("a number or a truth value, unless it stands in quotes")
                }
                None => Value::Text(text.into_owned()),
            },
            Event::Alias(_) => Value::Other("an alias, which a bundle's reader should not have to follow"),
            other => {
                self.skip(&other)?;
                Value::Other("a mapping or a list")
            }
        })
    }

    /// Reads to the end of the value that began with `first`.
    fn skip(&mut self, first: &Event<'t>) -> Result<(), InvalidYaml> {
        let depth_of = |event: &Event<'t>| match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => 1,
            Event::MappingEnd | Event::SequenceEnd => -1,
            _ => 0,
        };
        let mut depth = depth_of(first);
        while depth > 0 {
            depth += depth_of(&self.within()?);
        }
        Ok(())
    }
}

impl FoundDocument {
    fn identity(self) -> Result<ResourceIdentity, String> {
        if let Some(name) = self.twice {
            return Err(format!("`{name}` is there twice"));
        }
        if !self.has_metadata && (self.kind.is_none() || self.api_version.is_none()) {
            return Err("it is not a Kubernetes resource, which has apiVersion, kind and metadata.name".to_owned());
        }
        let identity = ResourceIdentity {
            api_version: field("apiVersion", self.api_version)?,
            kind: field("kind", self.kind)?,
            name: field("metadata.name", self.name)?,
        };
        identity.check()?;
        Ok(identity)
    }
}

fn field(name: &str, value: Option<Value>) -> Result<String, String> {
    match value {
        Some(Value::Text(text)) if !text.is_empty() => Ok(text),
        Some(Value::Other(what)) => Err(format!("its `{name}` is {what}")),
        Some(Value::Text(_)) | None => Err(format!("it has no `{name}`")),
    }
}

impl ResourceIdentity {
    /// Checks that Kubernetes accepts these names, and the resolver the kind.
    fn check(&self) -> Result<(), String> {
        let alphanumeric = |byte: u8| byte.is_ascii_alphanumeric();
        let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let wrong = |field: &str, text: &str, rule: &str| {
            Err(format!("its `{field}` `{}` is not valid in Kubernetes: {rule}", printable(text, 100)))
        };
        let name = self.name.as_bytes();
        let ends = [name.first(), name.last()].into_iter().flatten().all(|byte| lower(*byte));
        if name.len() > 253 || !ends || !name.iter().all(|byte| lower(*byte) || matches!(byte, b'-' | b'.')) {
            return wrong("metadata.name", &self.name, "lower-case letters, digits, `-` and `.`, at most 253");
        }
        let (group, version) = self.api_version.split_once('/').unwrap_or(("v1", &self.api_version));
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| lower(b) || matches!(b, b'-' | b'.'));
        if !is_word(group) || !is_word(version) {
            return wrong("apiVersion", &self.api_version, "group/version, such as tekton.dev/v1");
        }
        if !self.kind.starts_with(|letter: char| letter.is_ascii_uppercase()) || !self.kind.bytes().all(alphanumeric) {
            return wrong("kind", &self.kind, "a word such as Task");
        }
        if self.kind.ends_with(['s', 'S']) {
            return Err(format!(
                "its kind `{}` ends with an s, which Tekton takes for a plural and refuses",
                self.kind
            ));
        }
        Ok(())
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Whether Kubernetes, whose YAML is version 1.1, parses a plain scalar as anything but a string.
fn is_not_string(text: &str) -> bool {
    let truth = ["true", "false", "yes", "no", "on", "off", "y", "n"];
    if truth.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return true;
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return false;
    }
    let plain = text.replace('_', "").to_ascii_lowercase();
    let unsigned = plain.trim_start_matches(['+', '-']);
    let based = ["0x", "0o", "0b"].iter().any(|base| {
        unsigned
            .strip_prefix(base)
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    based || plain.parse::<f64>().is_ok() || matches!(unsigned, ".inf" | ".nan")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let text_of = |found: Document| match found.identity {
            Ok(identity) => format!("{} {} {}", identity.api_version, identity.kind, identity.name),
            Err(reason) => reason,
        };
        documents(text).unwrap().into_iter().map(text_of).collect()
    }

    /// A task whose fields are these.
    fn one(api_version: &str, kind: &str, name: &str) -> String {
        let text =
            format!("apiVersion: {api_version}\nkind: {kind}\nmetadata:\n  labels: {{name: x}}\n  name: {name}\n");
        named(&text).concat()
    }

    #[test]
    fn documents_are_found_where_they_are() {
        let text = "# licence\n---\nkind: A\n---\n# nothing\n---\n{}\n...\n---\n[1, [2]]\n";
        let found: Vec<(usize, usize)> =
            documents(text).unwrap().iter().map(|document| (document.line, document.end)).collect();
        assert_eq!(found, [(0, 3), (5, 8), (8, 10)]);
        assert!(documents("").unwrap().is_empty());
        assert!(documents("# only a comment\n").unwrap().is_empty());
    }

    #[test]
    fn the_names_of_a_resource() {
        let text = "spec: {name: no, metadata: {name: no}}\nmetadata: {name: 'a.b', annotations: {x: [{name: no}]}}\n\
                    \"kind\": Task\napiVersion: tekton.dev/v1\n";
        assert_eq!(named(text), ["tekton.dev/v1 Task a.b"]);
        assert_eq!(named("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"}}"), ["v1 Pod p"]);
        assert_eq!(one("tekton.dev/v1beta1", "StepAction", "\"7\""), "tekton.dev/v1beta1 StepAction 7");
        assert_eq!(one("v1", "Task", "!!str 7"), "v1 Task 7");
    }

    #[test]
    fn what_is_no_resource_says_why() {
        assert_eq!(named("a: 1"), ["it is not a Kubernetes resource, which has apiVersion, kind and metadata.name"]);
        assert_eq!(named("- kind: Task"), ["it is not a YAML mapping"]);
        assert_eq!(named("apiVersion: v1\nkind: Task"), ["it has no `metadata.name`"]);
        assert_eq!(named("apiVersion: v1\nkind: Task\nmetadata: {generateName: a-}"), ["it has no `metadata.name`"]);
        assert_eq!(named("apiVersion: v1\nmetadata: {name: a}"), ["it has no `kind`"]);
        assert_eq!(named("kind: A\nkind: B\nmetadata: {name: a}"), ["`kind` is there twice"]);
        for name in ["7", "1.5", "0x1f", "1_000", "-.inf", "on", "True"] {
            let said = one("v1", "Task", name);
            assert!(said.contains("a number or a truth value"), "{name}: {said}");
        }
        for (name, word) in [("*a", "no YAML"), ("{}", "mapping"), ("~", "nothing"), ("!x a", "tag")] {
            let text = format!("apiVersion: v1\nkind: Task\nmetadata:\n  name: {name}\n");
            let said = match documents(&text) {
                Ok(found) => found.into_iter().map(|document| document.identity.unwrap_err()).collect(),
                Err(error) => format!("no YAML: {}", error.reason),
            };
            assert!(said.contains(word), "{name}: {said}");
        }
        for name in ["Upper", "a_b", "-a", "a/b", "\"a\\nb\"", "ä"] {
            assert!(one("v1", "Task", name).contains("not valid in Kubernetes"), "{name}");
        }
        assert!(one("/v1", "Task", "a").contains("apiVersion"));
        assert!(one("v1", "task", "a").contains("`kind`"));
        assert!(one("v1", "Ingress", "a").contains("plural"));
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        let error = documents("kind: Task\n---\na: b: c\n").unwrap_err();
        assert_eq!(error.line, 3, "{}", error.reason);
        documents("a: [1\n").unwrap_err();
        documents("a: \"x\n").unwrap_err();
        documents("a:\n\tb: 1\n").unwrap_err();
        // Deep nesting takes no stack.
        let deep = "[".repeat(100_000);
        let _ = documents(&deep);
    }

    proptest::proptest! {
        /// Whatever a file holds: an answer, and no panic.
        #[test]
        fn no_text_is_too_strange(text in "(apiVersion|kind|metadata|name|Task|---|[.]{3}|[-:{}\\[\\],&*!|>%@?#'\"\\\\ \n\ta0~]|\\PC){0,60}") {
            if let Ok(found) = documents(&text) {
                for document in found {
                    assert!(document.line < document.end && document.end <= text.lines().count());
                }
            }
        }
    }
}
