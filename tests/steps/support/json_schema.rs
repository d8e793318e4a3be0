//! The part of JSON Schema needed to validate reports. An unsupported keyword is a failure, so that nothing passes
//! unchecked.

use serde_json::Value;

/// Asserts that `value` matches the schema in this file of the repository.
pub fn assert_valid(schema_file: &str, value: &Value) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(schema_file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut faults = Vec::new();
    check(&schema, &schema, value, "$", &mut faults);
    assert!(faults.is_empty(), "not what {schema_file} says: {faults:#?}\n{value:#}");
}

fn check(root: &Value, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    match schema {
        Value::Bool(true) => return,
        Value::Bool(false) => return faults.push(format!("{place}: nothing may stand here")),
        _ => {}
    }
    for (keyword, rule) in schema.as_object().unwrap() {
        let mut fault = |wrong: bool| {
            if wrong {
                faults.push(format!("{place}: {keyword} {rule}: {value}"));
            }
        };
        match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "format" | "examples" | "default" => {}
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').expect("references stay in the file");
                check(root, root.pointer(pointer).expect("a reference leads somewhere"), value, place, faults);
            }
            "type" => fault(!types(rule).any(|name| is_type(value, name))),
            "const" => fault(value != rule),
            "enum" => fault(!rule.as_array().unwrap().contains(value)),
            "pattern" => fault(value.as_str().is_some_and(|text| !matches_pattern(rule.as_str().unwrap(), text))),
            "minimum" => fault(value.as_f64().is_some_and(|number| number < rule.as_f64().unwrap())),
            "minLength" => fault(value.as_str().is_some_and(|text| (text.len() as u64) < rule.as_u64().unwrap())),
            "minItems" => fault(value.as_array().is_some_and(|list| (list.len() as u64) < rule.as_u64().unwrap())),
            "uniqueItems" => {
                fault(value.as_array().is_some_and(|list| (1..list.len()).any(|n| list[..n].contains(&list[n]))));
            }
            "required" => {
                let names = rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                fault(value.is_object() && names.into_iter().any(|name| value.get(name).is_none()));
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{place}[{number}]"), faults);
                }
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(field) = value.get(name) {
                        check(root, rule, field, &format!("{place}.{name}"), faults);
                    }
                }
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (name, field) in value.as_object().into_iter().flatten() {
                    if !known.is_some_and(|known| known.contains_key(name)) {
                        check(root, rule, field, &format!("{place}.{name}"), faults);
                    }
                }
            }
            "oneOf" => {
                let faults_of = |rule: &Value| {
                    let mut faults = Vec::new();
                    check(root, rule, value, place, &mut faults);
                    faults
                };
                let tries: Vec<Vec<String>> = rule.as_array().unwrap().iter().map(faults_of).collect();
                match tries.iter().filter(|faults| faults.is_empty()).count() {
                    1 => {}
                    0 => faults.extend(tries.into_iter().flatten()),
                    more => faults.push(format!("{place}: {more} forms at once")),
                }
            }
            other => panic!("the keyword {other} is not known to this checker"),
        }
    }
}

fn types(rule: &Value) -> impl Iterator<Item = &str> {
    let list = rule.as_array().map_or_else(|| std::slice::from_ref(rule), Vec::as_slice);
    list.iter().filter_map(Value::as_str)
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the type {other} is not known"),
    }
}

/// The patterns that the schema uses; add new ones here.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    match pattern {
        "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$" => {
            let hex = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("sha512:")).unwrap_or_default();
            matches!(hex.len(), 64 | 128) && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        }
        "^[a-z][a-z-]*$" => {
            text.starts_with(|letter: char| letter.is_ascii_lowercase())
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        }
        "@sha(256|512):[0-9a-f]+$" => text.rsplit_once("@sha").is_some_and(|(_, digest)| {
            let hex = digest.strip_prefix("256:").or_else(|| digest.strip_prefix("512:")).unwrap_or_default();
            !hex.is_empty() && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        }),
        other => panic!("the pattern {other} is not known to this checker"),
    }
}
