//! Credential files: Docker's `config.json`, its old form, and `auth.json`.

use super::{assert_harmless, first_line};
use crate::credentials::config_file::{Candidate, ConfigFile};
use crate::credentials::scope::{CredentialTarget, Scope};

/// The first line is `registry repository`, the rest a file. A login found for a host must belong to a key that names
/// that host.
pub fn run(bytes: &[u8]) {
    let (wanted, file) = first_line(bytes);
    let Ok(wanted) = std::str::from_utf8(wanted) else { return };
    let (registry, repository) = wanted.split_once(' ').unwrap_or((wanted, "library/app"));
    let target = CredentialTarget::new(registry, repository);
    key(registry, wanted);
    let config = match ConfigFile::parse(file) {
        Ok(config) => config,
        Err(reason) => return assert_harmless(&reason),
    };
    for candidate in config.candidates(&target) {
        if let Candidate::Broken(reason) = candidate {
            assert_harmless(&reason);
        }
    }
    // JSON escapes can spell any letter differently.
    let text = String::from_utf8_lossy(file).to_ascii_lowercase();
    let other = CredentialTarget::new("ghcr.io", "org/app");
    let has_login = config.candidates(&other).iter().any(|candidate| matches!(candidate, Candidate::Login(_)));
    assert!(!has_login || text.contains("ghcr.io") || text.contains('\\'), "{text}");
}

/// A key that covers a host must name it.
fn key(key: &str, wanted: &str) {
    let scope = Scope::parse(key);
    assert_harmless(&scope.printable());
    if scope.covers(&CredentialTarget::new("ghcr.io", "org/app")).is_some() {
        assert!(key.to_ascii_lowercase().contains("ghcr.io"), "{wanted:?}");
    }
}
