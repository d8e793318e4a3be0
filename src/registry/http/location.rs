//! URLs that a registry sends us to: upload sessions and redirects. None is trusted with more than it needs.

use url::{Host, Url};

use crate::error::Error;
use crate::text::printable;

/// Whether two URLs have the same origin: scheme, host and port. Credentials go nowhere else.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Whether a URL's host is this machine, so that plain HTTP is as safe as TLS.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Resolves `location`, relative or absolute, in an answer to `asked`.
///
/// A registry behind a proxy that terminates TLS often gives its own URL with `http`: its host keeps the scheme by
/// which we reached it. Any other way from `https` to plain text is refused.
///
/// # Errors
/// It isn't a URL, isn't HTTP, contains a login, or leaves TLS.
pub(crate) fn resolve(asked: &Url, location: &str) -> Result<Url, Error> {
    let fail = |reason: &str| {
        Error::protocol(
            format!(
                "{} redirected to `{}`",
                redacted(asked),
                printable(location.split('?').next().unwrap_or_default(), 200)
            ),
            reason.to_owned(),
        )
    };
    let mut url = asked.join(location).map_err(|_| fail("not a valid URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(fail("not an HTTP URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fail("refused a URL with a login"));
    }
    if asked.scheme() == "https" && url.scheme() == "http" {
        let own_host = url.host_str() == asked.host_str() && (url.port().is_none() || url.port() == asked.port());
        let port = asked.port();
        if !own_host || url.set_scheme("https").is_err() || url.set_port(port).is_err() {
            return Err(fail("refused to follow a redirect from https to http"));
        }
    }
    url.set_fragment(None);
    Ok(url)
}

/// Query parameters that contain no secret and help the reader of a log.
const PLAIN_PARAMETERS: [&str; 8] = ["mount", "from", "digest", "n", "last", "artifactType", "scope", "service"];

/// A URL for a log or an error: without its login, and with the values of only those query parameters that are known
/// to contain no secret. (Upload sessions and presigned URLs have secrets there.)
pub(crate) fn redacted(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut text = format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default());
    text.push_str(&printable(url.path(), 400));
    for (position, (key, value)) in url.query_pairs().enumerate() {
        text.push(if position == 0 { '?' } else { '&' });
        let shown = if PLAIN_PARAMETERS.contains(&key.as_ref()) { printable(&value, 200) } else { "…".to_owned() };
        text.push_str(&printable(&key, 60));
        text.push('=');
        text.push_str(&shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn locations_are_resolved_against_the_request() {
        let asked = url("https://r.example:8443/v2/a/blobs/uploads/");
        assert_eq!(
            resolve(&asked, "/v2/a/blobs/uploads/1?_state=x").unwrap().as_str(),
            "https://r.example:8443/v2/a/blobs/uploads/1?_state=x"
        );
        assert_eq!(resolve(&asked, "https://s3.example/b?sig=1").unwrap().as_str(), "https://s3.example/b?sig=1");
        assert_eq!(resolve(&asked, "http://r.example/v2/x").unwrap().as_str(), "https://r.example:8443/v2/x");
        assert_eq!(
            resolve(&url("http://localhost:5000/v2/"), "http://localhost:5000/x").unwrap().as_str(),
            "http://localhost:5000/x"
        );
        for bad in [
            "http://other.example/x",
            "ftp://r.example/x",
            "https://user:pw@r.example/x",
            "http://r.example:80:80/",
            "file:///etc/passwd",
        ] {
            assert!(resolve(&asked, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_in_an_address_are_not_shown() {
        let text = redacted(&url("https://u:p@s3.example/b?X-Amz-Signature=secret&digest=sha256:1#f"));
        assert_eq!(text, "https://s3.example/b?X-Amz-Signature=…&digest=sha256:1");
    }

    #[test]
    fn loopback_hosts() {
        for (text, expected) in [
            ("http://localhost:5000/", true),
            ("http://127.0.0.2/", true),
            ("http://[::1]:5000/", true),
            ("http://registry.localhost/", true),
            ("http://10.0.0.1/", false),
            ("http://localhost.example.com/", false),
        ] {
            assert_eq!(is_loopback(&url(text)), expected, "{text}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert!(same_origin(&url("https://a/x"), &url("https://a:443/y")));
        assert!(!same_origin(&url("https://a/x"), &url("http://a/x")));
        assert!(!same_origin(&url("https://a/x"), &url("https://a.b/x")));
    }
}
