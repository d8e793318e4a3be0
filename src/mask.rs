//! Keeps our own logins out of what is printed: a registry, a proxy or a token service may send them back in its words.
//!
//! There is one list for the whole process, since every text of others passes [`crate::text::printable`], wherever it
//! comes from.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What stands where a secret stood.
const MASK: &str = "***";
/// Anything shorter is found in words that mean something else.
const SHORTEST: usize = 5;
/// So many tokens of services are kept: older ones are no longer sent to anybody.
const TOKENS: usize = 64;

struct Known {
    /// What logins are made of, in each form that it is sent in; the longest first.
    logins: Vec<String>,
    tokens: VecDeque<String>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known { logins: Vec::new(), tokens: VecDeque::new() });

fn known() -> MutexGuard<'static, Known> {
    // Nothing in here can panic half-way through a change.
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Never prints `secret` from now on, nor what it looks like in a header, an address, a form or JSON, together with
/// `username` or alone.
pub fn conceal(username: &str, secret: &str) {
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

/// Never prints a token that a service gave.
pub fn conceal_token(token: &str) {
    let mut known = known();
    if token.len() < SHORTEST || known.tokens.iter().any(|known| known == token) {
        return;
    }
    if known.tokens.len() == TOKENS {
        known.tokens.pop_front();
    }
    known.tokens.push_back(token.to_owned());
}

/// `text` without any of them.
pub fn masked(text: &str) -> Cow<'_, str> {
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
