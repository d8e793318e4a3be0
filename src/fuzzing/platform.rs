//! Platforms, as users write them.

use super::assert_one_line;
use crate::image::platform::Platform;

/// An accepted platform parses to itself when printed, and matches itself.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let platform = match text.parse::<Platform>() {
        Ok(platform) => platform,
        Err(error) => return assert_one_line(&error),
    };
    assert!(platform.is_same(&platform));
    assert!(platform.satisfies(&platform).is_some());
    // Long values are truncated in messages.
    if text.len() <= 64 {
        assert_eq!(platform.to_string().parse::<Platform>(), Ok(platform), "{text:?}");
    }
}
