//! Tests of the files' formats and of which entry wins.

use super::*;

fn basic(username: &str, password: &str) -> Login {
    Login::Basic { username: username.to_owned(), password: Secret::new(password) }
}

fn identity(username: &str, token: &str) -> Login {
    Login::IdentityToken { username: username.to_owned(), token: Secret::new(token) }
}

fn entry(json: &str) -> AuthEntry {
    parse_entry(&serde_json::from_str(json).unwrap())
}

fn auth(text: &str) -> AuthEntry {
    parse_entry(&serde_json::json!({ "auth": text }))
}

/// The candidates as words: `login USER`, `helper NAME`, `broken REASON`.
fn candidates(json: &str, registry: &str, repository: &str) -> Vec<String> {
    let file = ConfigFile::parse(json.as_bytes()).unwrap();
    let words = |candidate: &Candidate<'_>| match candidate {
        Candidate::Login(Login::Basic { username, .. }) => format!("login {username}"),
        Candidate::Login(other) => format!("{other:?}"),
        Candidate::Helper(name) => format!("helper {name}"),
        Candidate::Broken(reason) => format!("broken {reason}"),
    };
    file.candidates(&CredentialTarget::new(registry, repository)).iter().map(words).collect()
}

#[test]
fn auth_is_user_and_password() {
    assert_eq!(auth("dXNlcjpwYXNz"), AuthEntry::Login(basic("user", "pass")));
    // user:pa:ss:
    assert_eq!(auth("dXNlcjpwYTpzczo="), AuthEntry::Login(basic("user", "pa:ss:")));
    // Missing padding, trailing bits, blanks and line ends inside.
    assert_eq!(auth("dXNlcjpwYTpzczo"), AuthEntry::Login(basic("user", "pa:ss:")));
    assert_eq!(auth(" dXNl\ncjpw\r\nYXNz\n"), AuthEntry::Login(basic("user", "pass")));
    // user:pass, then a line end, then NULs.
    assert_eq!(auth("dXNlcjpwYXNzCg=="), AuthEntry::Login(basic("user", "pass")));
    assert_eq!(auth("dXNlcjpwYXNzAAAA"), AuthEntry::Login(basic("user", "pass")));
    // `user:` and `:pass` are logins, `:` is none.
    assert_eq!(auth("dXNlcjo="), AuthEntry::Login(basic("user", "")));
    assert_eq!(auth("OnBhc3M="), AuthEntry::Login(basic("", "pass")));
    assert_eq!(auth("Og=="), AuthEntry::Empty);
    assert_eq!(auth(""), AuthEntry::Empty);
    assert_eq!(auth(" "), AuthEntry::Empty);
}

#[test]
fn broken_entries_say_why_and_nothing_else() {
    let broken = |entry: AuthEntry| match entry {
        AuthEntry::Broken(reason) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(broken(auth("hunter2!")), "auth is not base64");
    assert_eq!(broken(auth("aHVudGVyMg==")), "auth is not the base64 of `user:password`");
    assert_eq!(broken(auth("//79/A==")), "auth is not the base64 of a text");
    assert_eq!(broken(entry(r#"{"auth": 5}"#)), "auth is not a text");
    assert_eq!(broken(entry(r#"{"username": "u", "password": {}}"#)), "password is not a text");
    assert_eq!(broken(entry(r#""hunter2""#)), "the entry is not an object");
}

#[test]
fn fields_of_an_entry() {
    assert_eq!(entry(r#"{"username": "u", "password": "p"}"#), AuthEntry::Login(basic("u", "p")));
    // `auth` wins over the pair, as in Docker.
    assert_eq!(
        entry(r#"{"username": "u", "password": "p", "auth": "dXNlcjpwYXNz"}"#),
        AuthEntry::Login(basic("user", "pass"))
    );
    assert_eq!(entry(r#"{"identitytoken": "t"}"#), AuthEntry::Login(identity("", "t")));
    assert_eq!(entry(r#"{"IdentityToken": "t"}"#), AuthEntry::Login(identity("", "t")));
    assert_eq!(entry(r#"{"identitytoken": "t", "username": "<token>"}"#), AuthEntry::Login(identity("", "t")));
    assert_eq!(entry(r#"{"identitytoken": "t", "username": "u"}"#), AuthEntry::Login(identity("u", "t")));
    // `user:` beside the token, as Azure writes it.
    assert_eq!(entry(r#"{"auth": "dXNlcjo=", "identitytoken": "t"}"#), AuthEntry::Login(identity("user", "t")));
    assert_eq!(entry(r#"{"username": "<token>", "password": "t"}"#), AuthEntry::Login(identity("", "t")));
    // `<token>:t`
    assert_eq!(entry(r#"{"auth": "PHRva2VuPjp0"}"#), AuthEntry::Login(identity("", "t")));
    assert_eq!(entry(r#"{"registrytoken": "r"}"#), AuthEntry::Login(Login::RegistryToken(Secret::new("r"))));
    assert_eq!(
        entry(r#"{"registrytoken": "r", "identitytoken": "t", "auth": "dXNlcjpwYXNz"}"#),
        AuthEntry::Login(Login::RegistryToken(Secret::new("r")))
    );
    for empty in ["{}", "null", r#"{"email": "a@b.example"}"#, r#"{"auth": null, "username": "", "password": ""}"#] {
        assert_eq!(entry(empty), AuthEntry::Empty, "{empty}");
    }
}

#[test]
fn the_longest_path_wins_wherever_it_stands() {
    let json = r#"{"auths": {
        "host/org": {"username": "org", "password": "p"},
        "host": {"username": "host", "password": "p"},
        "https://host/v2/": {"username": "url", "password": "p"},
        "host/org/app": {"username": "app", "password": "p"},
        "other": {"username": "other", "password": "p"}
    }}"#;
    assert_eq!(candidates(json, "host", "org/app"), ["login app", "login org", "login host", "login url"]);
    assert_eq!(candidates(json, "host", "org/x")[0], "login org");
    assert_eq!(candidates(json, "host", "organisation/x")[0], "login host");
    assert_eq!(candidates(json, "other", "org/app"), ["login other"]);
    assert_eq!(candidates(json, "third", "org/app"), [""; 0]);
}

#[test]
fn helpers_and_the_store() {
    let json = r#"{
        "auths": {"empty": {}, "full": {"username": "u", "password": "p"}, "own/org": {"username": "org", "password": "p"},
                  "own": {"username": "own", "password": "p"}, "none": {}, "mixed/org": {}, "mixed": {"username": "m", "password": "p"}},
        "credHelpers": {"own": "first", "none": ""},
        "credsStore": "store"
    }"#;
    assert_eq!(candidates(json, "unknown", "app"), ["helper store"]);
    assert_eq!(candidates(json, "empty", "app"), ["helper store"]);
    assert_eq!(candidates(json, "full", "app"), ["login u", "helper store"]);
    // A host's helper goes before its entry, and the store is not asked; a longer path goes before both.
    assert_eq!(candidates(json, "own", "app"), ["helper first", "login own"]);
    assert_eq!(candidates(json, "own", "org/app"), ["login org", "helper first", "login own"]);
    // An empty name switches the store off for a host.
    assert_eq!(candidates(json, "none", "app"), [""; 0]);
    // An empty entry asks the store at its place in the order.
    assert_eq!(candidates(json, "mixed", "org/app"), ["helper store", "login m", "helper store"]);
    assert_eq!(candidates(json, "mixed", "app"), ["login m", "helper store"]);
}

#[test]
fn the_most_specific_helper_wins() {
    let json = r#"{"credHelpers": {"host": "wide", "host/org": "narrow", "https://index.docker.io/v1/": "hub"}}"#;
    assert_eq!(candidates(json, "host", "org/app"), ["helper narrow"]);
    assert_eq!(candidates(json, "host", "app"), ["helper wide"]);
    assert_eq!(candidates(json, "docker.io", "library/alpine"), ["helper hub"]);
}

#[test]
fn an_empty_entry_without_a_store_is_nothing() {
    assert_eq!(candidates(r#"{"auths": {"host": {}}}"#, "host", "app"), [""; 0]);
    let json = r#"{"auths": {"host": {}, "https://host": {"username": "u", "password": "p"}}}"#;
    assert_eq!(candidates(json, "host", "app"), ["login u"]);
}

#[test]
fn a_broken_entry_hurts_its_own_host_only() {
    let json = r#"{"auths": {"host": {"auth": "hunter2!"}, "good": {"username": "u", "password": "p"}}}"#;
    assert_eq!(candidates(json, "host", "app"), ["broken host: auth is not base64"]);
    assert_eq!(candidates(json, "good", "app"), ["login u"]);
}

#[test]
fn the_old_format() {
    let json = r#"{"https://index.docker.io/v1/": {"auth": "dXNlcjpwYXNz", "email": "a@b.example"}, "ghcr.io": {"auth": "dXNlcjpwYXNz"}}"#;
    assert_eq!(candidates(json, "docker.io", "library/alpine"), ["login user"]);
    assert_eq!(candidates(json, "ghcr.io", "org/app"), ["login user"]);
    // Settings of the current format without logins are no hosts.
    let json =
        r#"{"HttpHeaders": {"User-Agent": "x"}, "proxies": {"default": {"httpProxy": "http://p"}}, "detachKeys": "a"}"#;
    assert!(ConfigFile::parse(json.as_bytes()).unwrap().auths.is_empty());
}

#[test]
fn files_that_hold_nothing() {
    for json in ["", " \n", "{}", r#"{"auths": {}}"#, r#"{"auths": null, "credHelpers": null, "credsStore": null}"#] {
        assert_eq!(candidates(json, "host", "app"), [""; 0], "{json}");
    }
    assert_eq!(candidates(r#"{"auths": {}, "credsStore": ""}"#, "host", "app"), [""; 0]);
    assert_eq!(
        candidates("\u{feff}{\"auths\": {\"host\": {\"username\": \"u\", \"password\": \"p\"}}}", "host", "app"),
        ["login u"]
    );
}

#[test]
fn broken_files_say_where_and_not_what() {
    let reason = |json: &str| ConfigFile::parse(json.as_bytes()).unwrap_err();
    assert_eq!(reason("{\"auths\":\n {hunter2"), "it is not valid JSON (line 2, column 3)");
    assert_eq!(reason("hunter2"), "it is not valid JSON (line 1, column 1)");
    assert_eq!(reason(r#"["hunter2"]"#), "it is not a JSON object");
    assert_eq!(reason(r#"{"auths": "hunter2"}"#), "auths is not an object");
    assert_eq!(reason(r#"{"credHelpers": []}"#), "credHelpers is not an object");
    assert_eq!(reason(r#"{"credHelpers": {"host": 7}}"#), "credHelpers: what stands for host is not a text");
    assert_eq!(reason(r#"{"credsStore": ["hunter2"]}"#), "credsStore is not a text");
}
