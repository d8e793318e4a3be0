//! Platforms: their syntax, which are the same, and which satisfy a wanted one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A platform (image specification, image-index.md, "platform"), also as a value on the command line:
/// `os/architecture[/variant][:os.version]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// The operating system, as in Go's `GOOS`.
    #[serde(default)]
    pub os: String,
    /// The architecture, as in Go's `GOARCH`.
    #[serde(default)]
    pub architecture: String,
    /// The variant of the architecture, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The version of the operating system (Windows).
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features that the operating system must have (Windows: `win32k`).
    #[serde(
        default,
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "super::descriptor::null_is_default"
    )]
    pub os_features: Vec<String>,
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform: write os/architecture[/variant], such as linux/arm64 or linux/arm/v7")]
pub struct PlatformError(String);

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let fail = || PlatformError(crate::text::printable(text, 80));
        let (path, os_version) = match text.split_once(':') {
            Some((path, version)) if !version.is_empty() => (path, Some(version)),
            Some(_) => return Err(fail()),
            None => (text, None),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let is_word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        };
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(|part| is_word(part)) || !os_version.is_none_or(is_word)
        {
            return Err(fail());
        }
        let (architecture, implied) = match parts[1].to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" => ("amd64".to_owned(), None),
            "aarch64" => ("arm64".to_owned(), None),
            "armhf" => ("arm".to_owned(), Some("v7")),
            "armel" => ("arm".to_owned(), Some("v6")),
            "i386" | "i686" => ("386".to_owned(), None),
            other => (other.to_owned(), None),
        };
        let os = match parts[0].to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let variant = parts.get(2).copied().or(implied).map(str::to_ascii_lowercase);
        Ok(Self { os, architecture, variant, os_version: os_version.map(str::to_owned), os_features: Vec::new() })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may come from a registry.
        let safe = |text: &str| crate::text::printable(text, 64);
        write!(f, "{}/{}", safe(&self.os), safe(&self.architecture))?;
        if let Some(variant) = self.variant.as_deref().filter(|variant| !variant.is_empty()) {
            write!(f, "/{}", safe(variant))?;
        }
        if let Some(version) = self.os_version.as_deref().filter(|version| !version.is_empty()) {
            write!(f, ":{}", safe(version))?;
        }
        Ok(())
    }
}

/// A platform in the form that is equal for all that are the same. The fields are in the order by which platforms are
/// sorted.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlatformKey<'a> {
    /// The operating system.
    pub os: &'a str,
    /// The architecture.
    pub architecture: &'a str,
    /// The variant; the default one if none is given.
    pub variant: &'a str,
    /// The version of the operating system.
    pub os_version: &'a str,
    /// The features of the operating system, sorted.
    pub os_features: Vec<&'a str>,
}

/// How well a platform satisfies a wanted one; the larger, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// Another variant than the default one, which is meant if none is given.
    OtherVariant,
    /// The platform that is wanted.
    Exact,
}

impl Platform {
    /// The variant, in one form for all that mean the same: no variant is `arm64/v8`, `amd64/v1` or `arm/v7`. Source:
    /// containerd's platform normalisation.
    fn canonical_variant(&self) -> &str {
        let variant = self.variant.as_deref().unwrap_or_default();
        match (self.architecture.as_str(), variant) {
            ("arm64", "" | "8") => "v8",
            ("amd64", "") => "v1",
            ("arm", "" | "7") => "v7",
            ("arm", "6") => "v6",
            ("arm", "5") => "v5",
            (_, other) => other,
        }
    }

    /// Whether both are the same platform in an index: the order of features and a default variant make no difference.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// The key by which platforms are sorted and compared.
    pub fn key(&self) -> PlatformKey<'_> {
        let mut os_features: Vec<&str> = self.os_features.iter().map(String::as_str).collect();
        os_features.sort_unstable();
        PlatformKey {
            os: &self.os,
            architecture: &self.architecture,
            variant: self.canonical_variant(),
            os_version: self.os_version.as_deref().unwrap_or_default(),
            os_features,
        }
    }

    /// Whether it is a real platform: an image without operating system or architecture, or for `unknown`, runs
    /// nowhere.
    pub fn is_known(&self) -> bool {
        let known = |word: &str| !word.is_empty() && word != "unknown";
        known(&self.os) && known(&self.architecture)
    }

    /// How well `self`, the platform of an image, satisfies a wanted one. Without a variant, the default one is
    /// wanted, and others are accepted; an OS version also matches its continuation after a dot.
    pub fn satisfies(&self, want: &Self) -> Option<Match> {
        if self.os != want.os || self.architecture != want.architecture {
            return None;
        }
        if let Some(version) = &want.os_version {
            let own = self.os_version.as_deref().unwrap_or_default();
            let rest = own.strip_prefix(version.as_str())?;
            if !rest.is_empty() && !rest.starts_with('.') {
                return None;
            }
        }
        if self.canonical_variant() == want.canonical_variant() {
            Some(Match::Exact)
        } else if want.variant.is_none() {
            Some(Match::OtherVariant)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn written_and_read() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64:10.0.17763.1", "linux/riscv64"] {
            assert_eq!(platform(text).to_string(), text);
        }
        assert_eq!(platform("linux/x86_64").to_string(), "linux/amd64");
        assert_eq!(platform("Linux/aarch64").to_string(), "linux/arm64");
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/amd64:", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_same_platform_written_in_two_ways() {
        assert!(platform("linux/arm64").is_same(&platform("linux/arm64/v8")));
        assert!(!platform("linux/arm/v6").is_same(&platform("linux/arm/v7")));
        assert!(!platform("windows/amd64:10.0.1").is_same(&platform("windows/amd64:10.0.2")));
        let read = |text: &str| serde_json::from_str::<Platform>(text).unwrap();
        let one = read(r#"{"os":"windows","architecture":"amd64","os.features":["b","a"]}"#);
        assert!(one.is_same(&read(r#"{"os":"windows","architecture":"amd64","os.features":["a","b"],"variant":""}"#)));
        assert!(!one.is_same(&read(r#"{"os":"windows","architecture":"amd64","os.features":null}"#)));
        assert!(!read(r#"{"os":"unknown","architecture":"unknown"}"#).is_known());
    }

    #[test]
    fn wanted_platforms_and_those_that_satisfy_them() {
        assert_eq!(platform("linux/arm64/v8").satisfies(&platform("linux/arm64")), Some(Match::Exact));
        assert_eq!(platform("linux/arm64").satisfies(&platform("linux/arm64/v8")), Some(Match::Exact));
        assert_eq!(platform("linux/arm/v7").satisfies(&platform("linux/arm")), Some(Match::Exact));
        assert_eq!(platform("linux/arm/v6").satisfies(&platform("linux/arm")), Some(Match::OtherVariant));
        assert_eq!(platform("linux/arm/v6").satisfies(&platform("linux/arm/v7")), None);
        assert_eq!(platform("linux/amd64").satisfies(&platform("windows/amd64")), None);
        assert_eq!(
            platform("windows/amd64:10.0.17763.1").satisfies(&platform("windows/amd64:10.0.17763")),
            Some(Match::Exact)
        );
        assert_eq!(platform("windows/amd64:10.0.177631").satisfies(&platform("windows/amd64:10.0.17763")), None);
    }
}
