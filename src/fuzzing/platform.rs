//! Platforms, as people write them.

use super::assert_one_line;
use crate::image::platform::Platform;

/// What is accepted is printed as what it was read as, and answers itself.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let platform = match text.parse::<Platform>() {
        Ok(platform) => platform,
        Err(error) => return assert_one_line(&error),
    };
    assert!(platform.is_same(&platform));
    assert!(platform.answers(&platform).is_some());
    // Long words are cut where they are shown.
    if text.len() <= 64 {
        assert_eq!(platform.to_string().parse::<Platform>(), Ok(platform), "{text:?}");
    }
}
