//! Layer options: sources, destinations, compression; and ports.

use super::assert_one_line;
use crate::image::config::port;
use crate::layer::compress::Compression;
use crate::layer::spec::{LayerSpec, destination};

/// An accepted path never escapes the image, and a rejection is one line.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<LayerSpec>() {
        Ok(spec) => {
            assert!(!spec.path.as_os_str().is_empty());
            if let Some(dest) = spec.dest {
                inside(&dest.path);
            }
        }
        Err(error) => assert_one_line(&error),
    }
    if let Ok(dest) = destination(text) {
        inside(&dest.path);
    }
    if let Err(error) = text.parse::<Compression>() {
        assert_one_line(&error);
    }
    if let Ok(port) = port(text) {
        let (number, protocol) = port.split_once('/').unwrap_or_default();
        assert!(!number.is_empty() && !protocol.is_empty(), "{port:?}");
    }
}

fn inside(path: &str) {
    assert!(!path.split('/').any(|part| part == ".."), "{path:?}");
    assert!(!path.contains('\0'), "{path:?}");
}
