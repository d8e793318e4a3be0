//! References, as users and lists write them.

use url::Url;

use super::{assert_harmless, assert_one_line};
use crate::image::reference::{Reference, is_repository, is_tag};
use crate::text::printable;

/// An accepted reference parses to itself when printed, and gives the right URL.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert_harmless(&printable(text, 200));
    let reference = match text.parse::<Reference>() {
        Ok(reference) => reference,
        Err(error) => return assert_one_line(&error),
    };
    let shown = reference.to_string();
    assert_eq!(shown.parse::<Reference>().as_ref(), Ok(&reference), "{text:?} is printed as {shown:?}");
    let Reference::Registry(reference) = reference else { return };
    assert!(is_repository(&reference.repository));
    assert!(reference.tag.as_deref().is_none_or(is_tag));
    let path = format!("/v2/{}/manifests/{}", reference.repository, reference.tag_or_digest());
    // Some hosts are valid in references but not in URLs, such as `a.2`.
    let Ok(url) = Url::parse(&format!("https://{}{path}", reference.api_host())) else { return };
    assert_eq!(url.path(), path);
    assert_eq!((url.query(), url.fragment(), url.username(), url.password()), (None, None, "", None));
}
