//! YAML files with the resources of a bundle.

use std::collections::BTreeMap;

use super::assert_one_line;
use crate::steps::bundle::build::build;
use crate::steps::bundle::resources::resources_of;

/// Whatever can be read can be built, and each resource is a slice of the input.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = text.replace("\r\n", "\n");
    let resources = match resources_of("file.yaml", &text) {
        Ok(resources) => resources,
        Err(error) => return assert_one_line(&error),
    };
    for resource in &resources {
        assert!(text.contains(&resource.text));
    }
    // Building a layer takes longer than reading one, so do it only now and then.
    if text.len() % 64 == 0 && resources.len() <= 4 {
        let bundle = build(&resources, &BTreeMap::new()).expect("what was read can be built");
        assert_eq!(bundle.resources.len(), resources.len());
    }
}
