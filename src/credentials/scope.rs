//! What a key of a credentials file covers: a registry's host, or a path below it.

use crate::image::reference::{DOCKER_HUB, normal_registry};
use crate::text::printable;

/// The key under which credential helpers and most files keep the login for Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A parsed key of `auths` or `credHelpers`: `host`, `host:port`, `host/path` or a URL (containers-auth.json(5); URLs
/// are what `docker login` has written since its first versions).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    /// In lower case, without its port; Docker Hub's names are all `docker.io`.
    host: String,
    /// `None` for the default port of the key's scheme.
    port: Option<u16>,
    /// Whether the key is an `http://` URL.
    plain: bool,
    /// The components of the path that repositories must start with.
    path: Vec<String>,
}

/// A repository that needs a login.
#[derive(Debug, Clone)]
pub(crate) struct CredentialTarget {
    /// The registry, with the repository as its path.
    scope: Scope,
    /// The name of the server for credential helpers.
    server: String,
}

impl Scope {
    /// Parses a key. Any text is a key; one that isn't a host never matches.
    pub(crate) fn parse(key: &str) -> Self {
        let key = key.trim();
        let (scheme, rest) = match key.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, key),
        };
        let plain = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("http"));
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path_text) = rest.split_once('/').unwrap_or((rest, ""));
        // A URL may contain a login before the host. It isn't used, and must not be printed.
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = split_port(authority);
        let host = normal_registry(host);
        let port = port.filter(|port| *port != if plain { 80 } else { 443 });
        let mut path: Vec<String> = path_text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        // `https://host/v2/` is where the API is, not a namespace called v2; a bare `host/v2` is a namespace.
        let names_api = scheme.is_some() || path_text.ends_with('/') || host == DOCKER_HUB;
        if names_api && matches!(path.first().map(String::as_str), Some("v1" | "v2")) {
            path.remove(0);
        }
        Self { host, port, plain, path }
    }

    /// The number of components of the path by which `self` covers `target`; `None` if it doesn't.
    pub(crate) fn covers(&self, target: &CredentialTarget) -> Option<usize> {
        let wanted = &target.scope;
        // A login written for `http://host` is good for the host on either scheme's port, and only such a key is good
        // for port 80 of a host: a login for TLS must not be sent in plain text.
        let same_port = self.port == wanted.port || (self.plain && self.port.is_none() && wanted.port == Some(80));
        (self.host == wanted.host && same_port && wanted.path.starts_with(&self.path)).then_some(self.path.len())
    }

    /// The key as it is printed in errors.
    pub(crate) fn printable(&self) -> String {
        let mut text = self.host.clone();
        if let Some(port) = self.port {
            text = format!("{text}:{port}");
        }
        for part in &self.path {
            text = format!("{text}/{part}");
        }
        printable(&text, 200)
    }
}

impl CredentialTarget {
    /// `repository` at `registry`, both as users write them.
    pub(crate) fn new(registry: &str, repository: &str) -> Self {
        let mut scope = Scope::parse(registry);
        scope.path = repository.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let server = if scope.host == DOCKER_HUB { DOCKER_HUB_KEY.to_owned() } else { registry.to_ascii_lowercase() };
        Self { scope, server }
    }

    /// What credential helpers are asked for: the host and port, or for Docker Hub `https://index.docker.io/v1/`.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }
}

/// Removes the port from a host; a colon inside the brackets of an IPv6 address doesn't start one.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(key: &str, registry: &str, repository: &str) -> Option<usize> {
        Scope::parse(key).covers(&CredentialTarget::new(registry, repository))
    }

    #[test]
    fn hosts_and_urls() {
        for key in [
            "ghcr.io",
            "GHCR.io",
            "ghcr.io/",
            "https://ghcr.io",
            "https://ghcr.io/",
            "https://ghcr.io/v1/",
            "https://ghcr.io/v2",
            "https://ghcr.io/v2/",
            "ghcr.io/v2/",
            "http://ghcr.io",
            "https://user:word@ghcr.io/v2/?a=b",
        ] {
            assert_eq!(covers(key, "ghcr.io", "org/app"), Some(0), "{key}");
        }
        for key in ["", "gcr.io", "ghcr.io.example", "x.ghcr.io", "https://", "ghcr.io:5000", "ghcr.io/v2"] {
            assert_eq!(covers(key, "ghcr.io", "org/app"), None, "{key}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(covers("host:5000", "host:5000", "app"), Some(0));
        assert_eq!(covers("https://host:5000/v2/", "host:5000", "app"), Some(0));
        assert_eq!(covers("host:5000", "host", "app"), None);
        assert_eq!(covers("host", "host:5000", "app"), None);
        assert_eq!(covers("host:5000", "host:5001", "app"), None);
        assert_eq!(covers("[::1]:5000", "[::1]:5000", "app"), Some(0));
        assert_eq!(covers("[::1]", "[::1]:5000", "app"), None);
        // The default port may be written or not, on either side.
        assert_eq!(covers("host:443", "host", "app"), Some(0));
        assert_eq!(covers("host", "host:443", "app"), Some(0));
        assert_eq!(covers("https://host:443/", "host", "app"), Some(0));
        assert_eq!(covers("http://host:80/", "host", "app"), Some(0));
        assert_eq!(covers("http://host", "host:80", "app"), Some(0));
        assert_eq!(covers("host:80", "host:80", "app"), Some(0));
        // A login for TLS is never sent to port 80.
        assert_eq!(covers("host", "host:80", "app"), None);
        assert_eq!(covers("https://host", "host:80", "app"), None);
    }

    #[test]
    fn paths_match_by_component() {
        assert_eq!(covers("host/org", "host", "org/app"), Some(1));
        assert_eq!(covers("host/org/", "host", "org/app"), Some(1));
        assert_eq!(covers("https://host/org", "host", "org/app"), Some(1));
        assert_eq!(covers("https://host/v2/org", "host", "org/app"), Some(1));
        assert_eq!(covers("host/org/app", "host", "org/app"), Some(2));
        assert_eq!(covers("host/org/app", "host", "org/app/web"), Some(2));
        assert_eq!(covers("host:5000/org", "host:5000", "org/app"), Some(1));
        assert_eq!(covers("host/v2", "host", "v2/app"), Some(1));
        assert_eq!(covers("host/org", "host", "organisation/app"), None);
        assert_eq!(covers("host/org/app", "host", "org/application"), None);
        assert_eq!(covers("host/org/app/x", "host", "org/app"), None);
        assert_eq!(covers("host/app", "host", "org/app"), None);
    }

    #[test]
    fn docker_hub_has_many_names() {
        let names = [
            "docker.io",
            "index.docker.io",
            "registry-1.docker.io",
            "https://index.docker.io/v1/",
            "registry.hub.docker.com",
        ];
        for key in names.into_iter().chain(["index.docker.io/v1", "https://registry-1.docker.io/v2/"]) {
            for registry in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
                assert_eq!(covers(key, registry, "library/alpine"), Some(0), "{key} for {registry}");
            }
            assert_eq!(covers(key, "ghcr.io", "library/alpine"), None, "{key}");
        }
        assert_eq!(covers("docker.io/org", "docker.io", "org/app"), Some(1));
        // Docker keeps its own tokens under such keys: they aren't logins for a repository.
        assert_eq!(covers("https://index.docker.io/v1/access-token", "docker.io", "library/alpine"), None);
    }

    #[test]
    fn helpers_are_asked_for_the_host() {
        assert_eq!(CredentialTarget::new("ghcr.io", "org/app").server(), "ghcr.io");
        assert_eq!(CredentialTarget::new("LocalHost:5000", "org/app").server(), "localhost:5000");
        assert_eq!(CredentialTarget::new("docker.io", "library/alpine").server(), "https://index.docker.io/v1/");
        assert_eq!(CredentialTarget::new("index.docker.io", "library/alpine").server(), "https://index.docker.io/v1/");
    }

    #[test]
    fn keys_are_printed_without_a_login() {
        assert_eq!(Scope::parse("https://user:word@Host:5000/v2/org\n").printable(), "host:5000/org");
        assert_eq!(Scope::parse("a\nb").printable(), "a\\nb");
    }
}
