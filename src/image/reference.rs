//! References: names of images in registries and in OCI layouts.
//!
//! Grammar: distribution specification, "Pulling manifests", and the conventions of Docker's short names.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::digest::Digest;
use super::reference_mistakes;

/// The tag of a reference without tag and digest.
pub(crate) const DEFAULT_TAG: &str = "latest";
/// The registry of short names.
pub(crate) const DOCKER_HUB: &str = "docker.io";
/// The host of [`DOCKER_HUB`]'s API.
const DOCKER_HUB_API: &str = "registry-1.docker.io";
/// The maximum length of a repository's name in bytes.
const REPOSITORY_LIMIT: usize = 255;

/// The name of an image in a registry or in an OCI layout on disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `[registry/]repository[:tag][@digest]`.
    Registry(RegistryReference),
    /// `oci:DIR[:tag][@digest]`.
    Layout(LayoutReference),
}

/// A reference in a registry. With neither tag nor digest, the tag is `latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistryReference {
    /// The registry as users write it, with its port: `docker.io`, `localhost:5000`.
    pub registry: String,
    /// The repository: `library/alpine`.
    pub repository: String,
    /// The tag.
    pub tag: Option<String>,
    /// The digest; it takes precedence over the tag.
    pub digest: Option<Digest>,
}

/// A reference in an OCI image layout (image specification, image-layout.md).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayoutReference {
    /// The folder of the layout.
    pub directory: PathBuf,
    /// The value of the annotation `org.opencontainers.image.ref.name`. Without it, the layout's only image, or
    /// `latest`.
    pub tag: Option<String>,
    /// The digest; it takes precedence over the tag.
    pub digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ReferenceError {
    text: String,
    reason: String,
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        match text.strip_prefix("oci:") {
            // `oci:5000/x` can't be a registry called `oci`: the prefix means a layout.
            Some(rest) => parse_layout(text, rest).map(Self::Layout),
            // The prefix of skopeo and buildah for registries.
            None => text.strip_prefix("docker://").unwrap_or(text).parse().map(Self::Registry),
        }
    }
}

fn fail(text: &str, reason: impl Into<String>) -> ReferenceError {
    ReferenceError { text: crate::text::printable(text, 300), reason: reason.into() }
}

fn split_digest<'a>(text: &str, rest: &'a str) -> Result<(&'a str, Option<Digest>), ReferenceError> {
    match rest.split_once('@') {
        None => Ok((rest, None)),
        Some((name, digest)) => {
            let digest = digest.parse().map_err(|error: super::digest::DigestError| fail(text, error.to_string()))?;
            Ok((name, Some(digest)))
        }
    }
}

fn parse_layout(text: &str, rest: &str) -> Result<LayoutReference, ReferenceError> {
    // A folder's name may contain an `@`; only what looks like a digest after the last one is a digest.
    let (name, digest) = match rest.rsplit_once('@') {
        Some((_, digest)) if digest.contains(':') && !digest.contains('/') => {
            let digest: Digest =
                digest.parse().map_err(|error: super::digest::DigestError| fail(text, error.to_string()))?;
            (&rest[..rest.len() - digest.as_str().len() - 1], Some(digest))
        }
        _ => (rest, None),
    };
    let (directory, tag) = match name.rsplit_once(':') {
        Some((directory, tag)) if is_tag(tag) => (directory, Some(tag.to_owned())),
        Some((_, tag)) if !tag.contains('/') => {
            return Err(fail(text, format!("`{}` is not a tag; write oci:DIR:TAG", crate::text::printable(tag, 128))));
        }
        _ => (name, None),
    };
    if directory.is_empty() {
        return Err(fail(text, "it names no folder; write oci:DIR[:TAG]"));
    }
    if directory.contains('\0') {
        return Err(fail(text, "a folder's name has no NUL byte"));
    }
    Ok(LayoutReference { directory: PathBuf::from(directory), tag, digest })
}

impl FromStr for RegistryReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(fail(text, "it is empty"));
        }
        if let Some(reason) = reference_mistakes::what_was_meant(text) {
            return Err(fail(text, reason));
        }
        let (name, digest) = split_digest(text, text)?;
        // A colon after the last slash starts a tag; before it, a port.
        let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match name[path_start..].find(':') {
            Some(colon) => (&name[..path_start + colon], Some(&name[path_start + colon + 1..])),
            None => (name, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(fail(
                text,
                format!(
                    "`{}` is not a tag: letters, digits, `_`, `.`, `-`, at most 128, not first `.` or `-`",
                    crate::text::printable(tag, 140)
                ),
            ));
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if looks_like_registry(first) => {
                check_reads_back(text, first)?;
                (normal_registry(first), rest.to_owned())
            }
            _ => (DOCKER_HUB.to_owned(), name.to_owned()),
        };
        check_registry(text, &registry)?;
        let repository = if registry == DOCKER_HUB && !repository.contains('/') && !repository.is_empty() {
            format!("library/{repository}")
        } else {
            repository
        };
        check_repository(text, &repository)?;
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some(DEFAULT_TAG.to_owned()),
        };
        Ok(Self { registry, repository, tag, digest })
    }
}

/// Whether the first part of a name is a registry, decided as Docker's clients do.
fn looks_like_registry(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// A reference that is printed must be read as the same one later. Hosts are written in lower case, and then
/// `REGISTRY/app` would be a repository of Docker Hub, `Oci:5000/app` a folder.
fn check_reads_back(text: &str, host: &str) -> Result<(), ReferenceError> {
    let lower = host.to_ascii_lowercase();
    if lower == "oci" || lower.starts_with("oci:") {
        return Err(fail(text, "a registry can't be called `oci`, since `oci:` begins a folder; give its full name"));
    }
    if !looks_like_registry(&lower) {
        return Err(fail(
            text,
            format!(
                "`{}` is neither a host, which has a dot or a port, nor a repository, which has no capitals",
                crate::text::printable(host, 200)
            ),
        ));
    }
    Ok(())
}

/// A registry's host in its normal form: in lower case, and Docker Hub, which has several names, as `docker.io`.
pub(crate) fn normal_registry(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DOCKER_HUB.to_owned(),
        _ => host,
    }
}

fn check_registry(text: &str, registry: &str) -> Result<(), ReferenceError> {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => {
            let Some((address, after)) = rest.split_once(']') else {
                return Err(fail(text, "the `[` of an IPv6 address is not closed"));
            };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(fail(text, "what stands in `[…]` is not an IPv6 address"));
            }
            match after.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if after.is_empty() => (None, None),
                None => return Err(fail(text, "behind `]` only `:PORT` may stand")),
            }
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        },
    };
    if let Some(port) = port
        && (port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err())
    {
        return Err(fail(text, format!("`{}` is not a port", crate::text::printable(port, 20))));
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if let Some(host) = host
        && (host.len() > 253 || !host.split('.').all(label))
    {
        return Err(fail(text, format!("`{}` is not a host name", crate::text::printable(host, 80))));
    }
    Ok(())
}

fn check_repository(text: &str, repository: &str) -> Result<(), ReferenceError> {
    if repository.is_empty() {
        return Err(fail(text, "it names no repository; write registry/repository[:tag]"));
    }
    if repository.len() > REPOSITORY_LIMIT {
        return Err(fail(text, format!("its repository is longer than {REPOSITORY_LIMIT} characters")));
    }
    if repository.split('/').all(is_path_component) {
        return Ok(());
    }
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(fail(text, "a repository is written in lower case"));
    }
    Err(fail(
        text,
        "a repository is made of lower-case letters and digits, with `.`, `_`, `-` between them and `/` between its parts",
    ))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` (distribution specification).
fn is_path_component(part: &str) -> bool {
    let bytes = part.as_bytes();
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends =
        bytes.first().is_some_and(|&byte| alphanumeric(byte)) && bytes.last().is_some_and(|&byte| alphanumeric(byte));
    ends && part
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution specification).
pub(crate) fn is_tag(tag: &str) -> bool {
    let bytes = tag.as_bytes();
    (1..=128).contains(&bytes.len())
        && (bytes[0].is_ascii_alphanumeric() || bytes[0] == b'_')
        && bytes.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Whether `name` can be a repository (for a server, whose clients may send anything).
pub(crate) fn is_repository(name: &str) -> bool {
    name.len() <= REPOSITORY_LIMIT && name.split('/').all(is_path_component)
}

impl RegistryReference {
    /// The host and port of this registry's API.
    pub fn api_host(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_API } else { &self.registry }
    }

    /// Whether each manifest download counts towards a pull limit, so that a `HEAD` should come first.
    pub fn counts_pulls(&self) -> bool {
        self.registry == DOCKER_HUB
    }

    /// `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What a manifest is requested by: the digest if there is one, otherwise the tag.
    pub fn tag_or_digest(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => DEFAULT_TAG,
        }
    }
}

impl Reference {
    /// The name without tag and digest: `registry/repository` or `oci:DIR`.
    pub fn name(&self) -> String {
        match self {
            Self::Registry(reference) => reference.name(),
            Self::Layout(reference) => format!("oci:{}", reference.directory.display()),
        }
    }

    /// The tag, if it has one.
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Registry(reference) => reference.tag.as_deref(),
            Self::Layout(reference) => reference.tag.as_deref(),
        }
    }

    /// The digest, if it has one.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Registry(reference) => reference.digest.as_ref(),
            Self::Layout(reference) => reference.digest.as_ref(),
        }
    }
}

fn write_suffix(f: &mut fmt::Formatter<'_>, tag: Option<&str>, digest: Option<&Digest>) -> fmt::Result {
    if let Some(tag) = tag {
        write!(f, ":{tag}")?;
    }
    if let Some(digest) = digest {
        write!(f, "@{digest}")?;
    }
    Ok(())
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        write_suffix(f, self.tag.as_deref(), self.digest.as_ref())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        write_suffix(f, self.tag(), self.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printed(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_are_docker_hub() {
        assert_eq!(printed("alpine"), "docker.io/library/alpine:latest");
        assert_eq!(printed("alpine:3.20"), "docker.io/library/alpine:3.20");
        assert_eq!(printed("org/app"), "docker.io/org/app:latest");
        assert_eq!(printed("docker.io/alpine"), "docker.io/library/alpine:latest");
        assert_eq!(printed("index.docker.io/library/alpine"), "docker.io/library/alpine:latest");
        let alpine: RegistryReference = "alpine".parse().unwrap();
        assert_eq!(alpine.api_host(), "registry-1.docker.io");
    }

    #[test]
    fn registries_ports_tags_and_digests() {
        assert_eq!(printed("localhost/app"), "localhost/app:latest");
        assert_eq!(printed("localhost:5000/app"), "localhost:5000/app:latest");
        assert_eq!(printed("localhost:5000/a/b/c:v1"), "localhost:5000/a/b/c:v1");
        assert_eq!(printed("[::1]:5000/app:v1"), "[::1]:5000/app:v1");
        assert_eq!(printed("GHCR.io/org/app"), "ghcr.io/org/app:latest");
        assert_eq!(printed(&format!("ghcr.io/org/app@{DIGEST}")), format!("ghcr.io/org/app@{DIGEST}"));
        let both: RegistryReference = format!("ghcr.io/org/app:v1@{DIGEST}").parse().unwrap();
        assert_eq!(both.tag_or_digest(), DIGEST);
        assert_eq!(both.tag.as_deref(), Some("v1"));
    }

    #[test]
    fn layouts() {
        assert_eq!(printed("oci:out"), "oci:out");
        assert_eq!(printed("oci:/tmp/a.b/out:v1"), "oci:/tmp/a.b/out:v1");
        assert_eq!(printed(&format!("oci:out@{DIGEST}")), format!("oci:out@{DIGEST}"));
        assert_eq!(printed("oci:user@host/out:v1"), "oci:user@host/out:v1");
        for bad in ["oci:", "oci::v1", "oci:out:", "oci:out:bad tag", "oci:out@sha256:12"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_that_would_be_read_as_something_else_is_refused() {
        for bad in ["REGISTRY/app", "Oci:5000/a", "OCI/a", "Oci:5000/a/b:v1"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
        assert_eq!(printed("Registry:5000/app"), "registry:5000/app:latest");
        assert_eq!(printed("LOCALHOST/app"), "localhost/app:latest");
    }

    #[test]
    fn what_other_programs_write_before_a_name_is_taken() {
        assert_eq!(printed("docker://alpine:3.20"), "docker.io/library/alpine:3.20");
        assert_eq!(printed("docker://localhost:5000/app"), "localhost:5000/app:latest");
        assert!("docker://".parse::<Reference>().is_err());
    }

    #[test]
    fn errors_say_what_to_write() {
        let message = |text: &str| text.parse::<Reference>().unwrap_err().to_string();
        assert!(message("https://ghcr.io/org/app").contains("write `ghcr.io/org/app`"));
        assert!(message("ghcr.io/Org/app").contains("lower case"));
        assert!(message("app:").contains("not a tag"));
        assert!(message("localhost:99999/app").contains("not a port"));
        assert!(message("ghcr.io/").contains("no repository"));
        assert!(message("app@sha256:1").contains("length"));
        assert!(message("app\n::error::x").contains("\\n"));
    }

    proptest! {
        #[test]
        fn no_input_panics(text in ".{0,200}") {
            let _ = text.parse::<Reference>();
        }

        #[test]
        fn what_is_printed_is_read_as_the_same_whatever_the_host(
            host in "[A-Za-z0-9.:_-]{0,8}|[Oo][Cc][Ii]|[Dd]ir|LOCALHOST|(index\\.)?[Dd]ocker\\.[Ii]o",
            port in "(:[0-9]{1,6})?",
            rest in "/[A-Za-z0-9._/-]{1,12}(:[A-Za-z0-9._-]{1,6})?",
        ) {
            if let Ok(reference) = format!("{host}{port}{rest}").parse::<Reference>() {
                let printed = reference.to_string();
                prop_assert_eq!(printed.parse::<Reference>(), Ok(reference), "{}", printed);
            }
        }

        #[test]
        fn what_is_printed_is_read_as_the_same(text in "(oci:)?(localhost:[0-9]{1,5}/|[a-z]{1,5}\\.[a-z]{2}/|\\[::1\\]/)?[a-z0-9./_-]{1,30}(:[A-Za-z0-9._-]{1,20})?(@sha256:[0-9a-f]{64})?") {
            if let Ok(reference) = text.parse::<Reference>() {
                let printed = reference.to_string();
                prop_assert_eq!(printed.parse::<Reference>().unwrap(), reference);
            }
        }
    }
}
