//! YAML read as data.

use serde::Deserialize as _;
use serde_json::Value;
use yaml_serde::Deserializer;

/// The documents of a text.
pub fn documents(text: &str) -> Vec<Value> {
    let read = |document: Deserializer| {
        // As its own value type, which refuses duplicate keys.
        let value = yaml_serde::Value::deserialize(document).unwrap_or_else(|error| panic!("{error}: {text}"));
        serde_json::to_value(value).unwrap()
    };
    Deserializer::from_str(text).map(read).collect()
}

/// The only document of a text.
pub fn document(text: &str) -> Value {
    let mut documents = documents(text);
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0)
}
