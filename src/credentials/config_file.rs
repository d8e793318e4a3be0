//! Parses a credentials file: Docker's `config.json`, its old `.dockercfg`, and `auth.json`.
//!
//! Pure: no file and no process is touched here. Errors contain keys and fields of the file, and never their values.

use std::cmp::Reverse;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::Login;
use super::scope::{CredentialTarget, Scope};
use super::secret::Secret;

/// The user name that marks the password as an identity token (docker-credential-helpers, "Development").
const TOKEN_USERNAME: &str = "<token>";

/// Base64 as scripts write it: with or without padding.
const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The contents of a credentials file.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigFile {
    /// `auths`, in the file's order.
    auths: Vec<(Scope, AuthEntry)>,
    /// `credHelpers`: the helper of each host; an empty name means none, not even the store.
    helpers: Vec<(Scope, String)>,
    /// `credsStore`: the helper of all other hosts.
    store: Option<String>,
}

/// An entry of `auths`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AuthEntry {
    /// It is empty: the store has the login.
    Empty,
    /// It contains a login.
    Login(Login),
    /// It can't be read, and why. It only fails for those who need it: a broken entry of another host is no reason to
    /// stop.
    Broken(String),
}

/// Where a login for a target may come from, according to one file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Candidate<'a> {
    /// The file contains it.
    Login(&'a Login),
    /// The file contains something that can't be used, for this reason.
    Broken(String),
    /// The helper `docker-credential-NAME` may have it.
    Helper(&'a str),
}

impl ConfigFile {
    /// Parses a file's bytes. An empty file contains nothing.
    ///
    /// # Errors
    /// Text that follows the file's name, without any of its contents.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        // Editors on Windows start a file with a byte order mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii();
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        // The parser's own message isn't used: it may quote the contents.
        let root: Value = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is not valid JSON (line {}, column {})", error.line(), error.column()))?;
        let Value::Object(root) = root else {
            return Err("it is not a JSON object".to_owned());
        };
        let is_current = ["auths", "credHelpers", "credsStore"].iter().any(|name| field(&root, name).is_some());
        if !is_current {
            return Ok(Self { auths: old_entries(&root), ..Self::default() });
        }
        let auths = object_field(&root, "auths")?
            .map(|auths| auths.iter().map(|(key, entry)| (Scope::parse(key), parse_entry(entry))).collect())
            .unwrap_or_default();
        let mut helpers = Vec::new();
        for (key, name) in object_field(&root, "credHelpers")?.into_iter().flatten() {
            let scope = Scope::parse(key);
            let Value::String(name) = name else {
                return Err(format!("credHelpers: what stands for {} is not a text", scope.printable()));
            };
            helpers.push((scope, name.clone()));
        }
        let store = text_field(&root, "credsStore")?.filter(|name| !name.is_empty()).map(str::to_owned);
        Ok(Self { auths, helpers, store })
    }

    /// Where a login for `target` may come from, best first: the longest path wins. Among paths of equal length, a
    /// host's own helper comes before an entry with a login, and that before an empty entry, which means the store.
    /// The store is last, and isn't used if the host has a helper of its own.
    pub(crate) fn candidates(&self, target: &CredentialTarget) -> Vec<Candidate<'_>> {
        let own_helper = self
            .helpers
            .iter()
            .filter_map(|(scope, name)| Some((scope.covers(target)?, name.as_str())))
            // Among several of equal length, the first.
            .min_by_key(|(length, _)| Reverse(*length));
        let store = if own_helper.is_some() { None } else { self.store.as_deref() };
        let mut ranked: Vec<(Reverse<usize>, u8, Candidate<'_>)> = Vec::new();
        if let Some((length, name)) = own_helper.filter(|(_, name)| !name.is_empty()) {
            ranked.push((Reverse(length), 0, Candidate::Helper(name)));
        }
        for (scope, entry) in &self.auths {
            let Some(length) = scope.covers(target) else { continue };
            let (rank, candidate) = match (entry, store) {
                (AuthEntry::Login(login), _) => (1, Candidate::Login(login)),
                (AuthEntry::Broken(reason), _) => (2, Candidate::Broken(format!("{}: {reason}", scope.printable()))),
                (AuthEntry::Empty, Some(name)) => (3, Candidate::Helper(name)),
                (AuthEntry::Empty, None) => continue,
            };
            ranked.push((Reverse(length), rank, candidate));
        }
        // Stable: equal candidates keep the file's order.
        ranked.sort_by_key(|(length, rank, _)| (*length, *rank));
        let mut candidates: Vec<_> = ranked.into_iter().map(|(_, _, candidate)| candidate).collect();
        candidates.extend(store.map(Candidate::Helper));
        candidates.dedup();
        candidates
    }
}

/// The entries of the old format, which has hosts at the top level. Nothing is taken from another program's file.
fn old_entries(root: &Map<String, Value>) -> Vec<(Scope, AuthEntry)> {
    let is_entry = |value: &Value| {
        value.as_object().is_some_and(|entry| {
            ["auth", "username", "identitytoken", "registrytoken"].iter().any(|name| field(entry, name).is_some())
        })
    };
    root.iter()
        .filter(|(_, value)| is_entry(value))
        .map(|(key, value)| (Scope::parse(key), parse_entry(value)))
        .collect()
}

fn parse_entry(value: &Value) -> AuthEntry {
    match value {
        Value::Null => AuthEntry::Empty,
        Value::Object(entry) => match entry_login(entry) {
            Ok(Some(login)) => AuthEntry::Login(login),
            Ok(None) => AuthEntry::Empty,
            Err(reason) => AuthEntry::Broken(reason),
        },
        _ => AuthEntry::Broken("the entry is not an object".to_owned()),
    }
}

/// The login in an entry. The most specific kind wins: a registry token, an identity token, a password.
fn entry_login(entry: &Map<String, Value>) -> Result<Option<Login>, String> {
    let text = |name| text_field(entry, name).map(Option::unwrap_or_default);
    let registry_token = text("registrytoken")?;
    if !registry_token.is_empty() {
        return Ok(Some(Login::RegistryToken(Secret::new(registry_token))));
    }
    let auth = text("auth")?;
    let (username, password) = if auth.trim().is_empty() {
        (text("username")?.to_owned(), Secret::new(text("password")?))
    } else {
        decode_auth(auth)?
    };
    let identity_token = text("identitytoken")?;
    if !identity_token.is_empty() {
        return Ok(Some(identity_login(username, identity_token)));
    }
    Ok(password_login(username, password))
}

/// What a user name and a password mean together; `None` if both are empty.
pub(crate) fn password_login(username: String, password: Secret) -> Option<Login> {
    if username.is_empty() && password.expose().is_empty() {
        None
    } else if username == TOKEN_USERNAME {
        Some(identity_login(username, password.expose()))
    } else {
        Some(Login::Basic { username, password })
    }
}

fn identity_login(username: String, token: &str) -> Login {
    let username = if username == TOKEN_USERNAME { String::new() } else { username };
    Login::IdentityToken { username, token: Secret::new(token) }
}

/// Decodes `auth`: base64 of `user:password`, where the password may contain colons.
fn decode_auth(auth: &str) -> Result<(String, Secret), String> {
    // `base64` breaks long lines, and they are pasted as they are.
    let compact: String = auth.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let bytes = LENIENT_BASE64.decode(compact).map_err(|_| "auth is not base64".to_owned())?;
    let text = String::from_utf8(bytes).map_err(|_| "auth is not the base64 of a text".to_owned())?;
    // Old versions of Docker padded with NULs; `echo user:password | base64` adds a line end.
    let text = text.trim_end_matches(['\0', '\r', '\n']);
    let (username, password) =
        text.split_once(':').ok_or_else(|| "auth is not the base64 of `user:password`".to_owned())?;
    Ok((username.to_owned(), Secret::new(password)))
}

/// A field by its name in any case, as Docker itself reads it.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn text_field<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match field(object, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} is not a text")),
    }
}

fn object_field<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, String> {
    match field(object, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(inner)) => Ok(Some(inner)),
        Some(_) => Err(format!("{name} is not an object")),
    }
}

#[cfg(test)]
mod tests;
