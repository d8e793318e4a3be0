//! Keeps our own logins out of everything that is printed: a registry, a proxy or a token service may return them in a
//! message.
//!
//! There is one list for the whole process, because every untrusted text passes [`crate::text::printable`].

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::lock::lock;

/// Replaces a secret.
const MASK: &str = "***";
/// The minimum length of a secret: anything shorter also occurs in ordinary words.
const SHORTEST: usize = 5;
/// How many tokens are kept: older ones are no longer in use.
const TOKENS: usize = 64;

struct KnownSecrets {
    /// The secrets, in each form that they are sent in; the longest first.
    logins: Vec<String>,
    tokens: VecDeque<String>,
}

static KNOWN: Mutex<KnownSecrets> = Mutex::new(KnownSecrets { logins: Vec::new(), tokens: VecDeque::new() });

fn known() -> MutexGuard<'static, KnownSecrets> {
    // Nothing in here can panic during a change.
    lock(&KNOWN)
}

/// Never prints `secret` from now on, alone or together with `username`, in any form that it has in headers, URLs,
/// forms and JSON.
pub(crate) fn conceal(username: &str, secret: &str) {
    let pair = format!("{username}:{secret}");
    let json = serde_json::Value::from(secret).to_string();
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let forms = [
        secret.to_owned(),
        json.trim_matches('"').to_owned(),
        encoded.replace('+', "%20"),
        encoded,
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        STANDARD_NO_PAD.encode(&pair),
        URL_SAFE_NO_PAD.encode(&pair),
    ];
    let mut known = known();
    for form in forms {
        if form.len() >= SHORTEST && !known.logins.contains(&form) {
            known.logins.push(form);
        }
    }
    known.logins.sort_by_key(|form| std::cmp::Reverse(form.len()));
}

/// Never prints a token of a token service.
pub(crate) fn conceal_token(token: &str) {
    let mut known = known();
    if token.len() < SHORTEST || known.tokens.iter().any(|known| known == token) {
        return;
    }
    if known.tokens.len() == TOKENS {
        known.tokens.pop_front();
    }
    known.tokens.push_back(token.to_owned());
}

/// `text` without any secrets.
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    let known = known();
    let mut text = Cow::Borrowed(text);
    for secret in known.tokens.iter().chain(&known.logins) {
        if text.contains(secret.as_str()) {
            text = Cow::Owned(text.replace(secret.as_str(), MASK));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_masked_in_each_form() {
        conceal("tester-of-mask", "s3cr3t \"+/Pass");
        let base64 = base64::engine::general_purpose::STANDARD.encode("tester-of-mask:s3cr3t \"+/Pass");
        for text in [
            "s3cr3t \"+/Pass",
            "s3cr3t \\\"+/Pass",
            "s3cr3t+%22%2B%2FPass",
            "s3cr3t%20%22%2B%2FPass",
            base64.trim_end_matches('='),
        ] {
            assert_eq!(masked(&format!("you sent {text}, really")), "you sent ***, really", "{text}");
        }
        assert!(!masked(&format!("Basic {base64}")).contains("czNj"));
    }

    #[test]
    fn tokens_are_masked_and_the_oldest_forgotten() {
        for number in 0..=TOKENS {
            conceal_token(&format!("token-of-mask-{number:03}"));
        }
        assert_eq!(masked("Bearer token-of-mask-064"), "Bearer ***");
        assert_eq!(masked("Bearer token-of-mask-000"), "Bearer token-of-mask-000");
        conceal_token("abc");
        assert_eq!(masked("abc"), "abc");
    }
}
