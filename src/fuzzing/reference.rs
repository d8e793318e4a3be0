//! References, as people and lists write them.

use url::Url;

use super::{assert_harmless, assert_one_line};
use crate::error::printable;
use crate::image::reference::{Reference, is_repository, is_tag};

/// What is accepted is printed as what it was read as, and makes the URL that it should.
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
    // A host can be one to the grammar of references and none to that of URLs, such as `a.2`.
    let Ok(url) = Url::parse(&format!("https://{}{path}", reference.api_host())) else { return };
    assert_eq!(url.path(), path);
    assert_eq!((url.query(), url.fragment(), url.username(), url.password()), (None, None, "", None));
}
