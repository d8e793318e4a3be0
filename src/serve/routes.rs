//! Parses request paths and queries into routes of the distribution API.
//!
//! Pure: nothing here touches the storage. Distribution specification, "Endpoints".

use percent_encoding::percent_decode_str;

use crate::image::reference::is_repository;

/// The route of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`: is this a registry? (end-1)
    Ping,
    /// `/v2/<name>/blobs/<digest>` (end-2, end-10).
    Blob {
        /// The repository.
        name: String,
        /// The digest, unparsed.
        digest: String,
    },
    /// `/v2/<name>/blobs/uploads/` (end-4, end-11).
    Uploads {
        /// The repository.
        name: String,
    },
    /// `/v2/<name>/blobs/uploads/<id>` (end-5, end-6, end-13, end-14).
    Upload {
        /// The repository.
        name: String,
        /// The session's id.
        id: String,
    },
    /// `/v2/<name>/manifests/<tag-or-digest>` (end-3, end-7, end-9).
    Manifest {
        /// The repository.
        name: String,
        /// The tag or digest, unparsed.
        reference: String,
    },
    /// `/v2/<name>/tags/list` (end-8).
    Tags {
        /// The repository.
        name: String,
    },
    /// `/v2/<name>/referrers/<digest>` (end-12).
    Referrers {
        /// The repository.
        name: String,
        /// What should be a digest.
        digest: String,
    },
}

/// Why a path isn't a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteError {
    /// The API has no such path.
    NoSuchPath,
    /// The path matches, but its repository name is invalid.
    BadName,
}

/// Parses a request's path, still percent-encoded.
///
/// A repository name may contain any of the API's own words (`a/blobs/b`), so a path is parsed from its end.
///
/// # Errors
/// A path that isn't part of the API, or an invalid repository name, such as `..`.
pub(super) fn parse(path: &str) -> Result<Route, RouteError> {
    let path = percent_decode(path).ok_or(RouteError::NoSuchPath)?;
    let rest = path.strip_prefix("/v2").ok_or(RouteError::NoSuchPath)?;
    if rest.is_empty() || rest == "/" {
        return Ok(Route::Ping);
    }
    let rest = rest.strip_prefix('/').ok_or(RouteError::NoSuchPath)?;
    let (before, last) = rest.rsplit_once('/').ok_or(RouteError::NoSuchPath)?;
    if let Some(name) = before.strip_suffix("/blobs/uploads") {
        let name = repository(name)?;
        return Ok(if last.is_empty() { Route::Uploads { name } } else { Route::Upload { name, id: last.to_owned() } });
    }
    let (name, kind) = before.rsplit_once('/').ok_or(RouteError::NoSuchPath)?;
    match (kind, last) {
        (_, "") => Err(RouteError::NoSuchPath),
        // Some clients omit the trailing slash.
        ("blobs", "uploads") => Ok(Route::Uploads { name: repository(name)? }),
        ("blobs", digest) => Ok(Route::Blob { name: repository(name)?, digest: digest.to_owned() }),
        ("manifests", reference) => Ok(Route::Manifest { name: repository(name)?, reference: reference.to_owned() }),
        ("tags", "list") => Ok(Route::Tags { name: repository(name)? }),
        ("referrers", digest) => Ok(Route::Referrers { name: repository(name)?, digest: digest.to_owned() }),
        _ => Err(RouteError::NoSuchPath),
    }
}

fn repository(name: &str) -> Result<String, RouteError> {
    if is_repository(name) { Ok(name.to_owned()) } else { Err(RouteError::BadName) }
}

/// The parameters of a query.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d`. A `+` stays a `+`: no parameter of the API can hold a space, but media types hold a plus, and
    /// not every client encodes it. Invalid parameters are ignored.
    pub(super) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((percent_decode(key)?, percent_decode(value)?))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter, in order.
    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// `%41` as `A`. `None` where a percent sign is followed by something else, or the result is not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let is_escape =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    // The library leaves what is no escape as it is.
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn every_endpoint() {
        assert_eq!(parse("/v2/"), Ok(Route::Ping));
        assert_eq!(parse("/v2"), Ok(Route::Ping));
        assert_eq!(parse("/v2/a/b/blobs/x"), Ok(Route::Blob { name: name("a/b"), digest: name("x") }));
        assert_eq!(parse("/v2/a/blobs/uploads/"), Ok(Route::Uploads { name: name("a") }));
        assert_eq!(parse("/v2/a/blobs/uploads"), Ok(Route::Uploads { name: name("a") }));
        assert_eq!(parse("/v2/a/blobs/uploads/1"), Ok(Route::Upload { name: name("a"), id: name("1") }));
        assert_eq!(parse("/v2/a/manifests/v1"), Ok(Route::Manifest { name: name("a"), reference: name("v1") }));
        assert_eq!(parse("/v2/a/tags/list"), Ok(Route::Tags { name: name("a") }));
        assert_eq!(parse("/v2/a/referrers/x"), Ok(Route::Referrers { name: name("a"), digest: name("x") }));
    }

    #[test]
    fn a_repository_may_be_called_as_the_api_is() {
        assert_eq!(
            parse("/v2/a/blobs/uploads/b/manifests/v1"),
            Ok(Route::Manifest { name: name("a/blobs/uploads/b"), reference: name("v1") })
        );
        assert_eq!(
            parse("/v2/manifests/blobs/manifests/v1"),
            Ok(Route::Manifest { name: name("manifests/blobs"), reference: name("v1") })
        );
        assert_eq!(parse("/v2/tags/tags/list"), Ok(Route::Tags { name: name("tags") }));
    }

    #[test]
    fn an_encoded_path_is_the_same_path() {
        assert_eq!(parse("/v2/a/blobs/sha256%3Aab"), Ok(Route::Blob { name: name("a"), digest: name("sha256:ab") }));
        for bad in ["/v2/a/manifests/%", "/v2/a/manifests/%zz", "/v2/a/manifests/%ff"] {
            assert_eq!(parse(bad), Err(RouteError::NoSuchPath), "{bad}");
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for bad in [
            "/v2/../manifests/v1",
            "/v2/a/../../b/manifests/v1",
            "/v2/a%2f..%2f..%2fetc/manifests/v1",
            "/v2//manifests/v1",
            "/v2/_blobs/manifests/v1",
            "/v2/A/manifests/v1",
            "/v2/a%00/manifests/v1",
        ] {
            assert_eq!(parse(bad), Err(RouteError::BadName), "{bad}");
        }
        for bad in
            ["/", "", "/v1/", "/v2x", "/v2/a", "/v2/a/b", "/v2/a/manifests/", "/v2/a/tags/other", "/v2/tags/list"]
        {
            assert_eq!(parse(bad), Err(RouteError::NoSuchPath), "{bad}");
        }
    }

    #[test]
    fn queries() {
        let query = Query::parse("tag=a&tag=b%20c&artifactType=application/x+json&empty&bad=%f");
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(query.get("artifactType"), Some("application/x+json"));
        assert_eq!(query.get("empty"), Some(""));
        assert_eq!(query.get("bad"), None);
    }

    proptest! {
        #[test]
        fn no_input_panics(path in "/v2/.{0,80}", query in ".{0,80}") {
            let _ = parse(&path);
            let _ = Query::parse(&query);
        }
    }
}
