//! The `WWW-Authenticate` header: which authorization a registry wants.
//!
//! RFC 9110, section 11; distribution's token specification.

use http::header::{HeaderMap, WWW_AUTHENTICATE};

/// What a registry wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User name and password with each request (RFC 7617).
    Basic,
    /// A token from a token service.
    Bearer {
        /// The URL of the token service.
        realm: String,
        /// The registry's name there.
        service: Option<String>,
        /// The scopes that the refused request needs, separated by spaces.
        scope: Option<String>,
    },
}

/// The challenge to answer: Bearer before Basic, because it was designed for registries.
pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        for challenge in parse(text) {
            match challenge {
                Challenge::Bearer { .. } => return Some(challenge),
                Challenge::Basic => basic = Some(challenge),
            }
        }
    }
    basic
}

/// All challenges in a header that we can answer. A header may contain several, separated by commas.
fn parse(text: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut scheme = String::new();
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let word_end = rest.find(|c: char| c == '=' || c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        let word = &rest[..word_end];
        let after = rest[word_end..].trim_start();
        if let Some(value) = after.strip_prefix('=')
            && !word.is_empty()
        {
            let (value, remaining) = take_value(value.trim_start());
            parameters.push((word.to_ascii_lowercase(), value));
            rest = remaining;
        } else {
            if !word.is_empty() {
                found.extend(challenge(&scheme, &parameters));
                scheme = word.to_ascii_lowercase();
                parameters.clear();
            }
            // A lone `=` is skipped, so that the loop always advances.
            rest = after.strip_prefix('=').unwrap_or(after);
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    found.extend(challenge(&scheme, &parameters));
    found
}

/// A token or a quoted string, and the text after it.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[position + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: get("realm")?,
            service: get("service").filter(|service| !service.is_empty()),
            scope: get("scope").filter(|scope| !scope.is_empty()),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bearer_challenge() {
        let text = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push repository:c:pull",error="invalid_token""#;
        assert_eq!(
            parse(text),
            [Challenge::Bearer {
                realm: "https://auth.docker.io/token".to_owned(),
                service: Some("registry.docker.io".to_owned()),
                scope: Some("repository:a/b:pull,push repository:c:pull".to_owned()),
            }]
        );
    }

    #[test]
    fn several_challenges_and_odd_spelling() {
        let found = parse(r#"Basic realm="a, b", bearer Realm = "https://t/x\"y" , service=s"#);
        assert_eq!(found[0], Challenge::Basic);
        assert!(
            matches!(&found[1], Challenge::Bearer { realm, service: Some(service), .. } if realm == "https://t/x\"y" && service == "s")
        );
        assert!(parse("Negotiate").is_empty());
        assert!(parse("Bearer service=x").is_empty(), "no realm, no challenge");
        assert!(parse("Basic=").is_empty());
    }

    proptest! {
        #[test]
        fn no_header_panics_or_hangs(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn nor_does_one_of_its_own_letters(text in "[Bearer ,=\"\\\\]{0,60}") {
            let _ = parse(&text);
        }
    }
}
