//! A token service that issues real JSON Web Tokens, which distribution verifies, by GET and by POST.

use std::io::{BufReader, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::certificates::Certificate;
use super::registry::{Auth, ISSUER, SERVICE};
use super::wire::{Head, Tap, answer_head, copy_body};

/// A user and what they may do.
#[derive(Debug, Clone, Default)]
pub struct User {
    /// Empty for anonymous access.
    pub name: &'static str,
    pub password: &'static str,
    /// What `docker login` stores instead of a password; it is exchanged by POST.
    pub identity_token: &'static str,
    /// Repository prefixes, and the actions allowed below each.
    pub may: Vec<(&'static str, &'static [&'static str])>,
}

/// One request for a token.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    pub method: String,
    /// The requested scopes, sorted.
    pub scopes: Vec<String>,
    /// The user of Basic authentication, or the `grant_type` of a POST.
    pub login: String,
    pub status: u16,
}

/// The service's configuration.
#[derive(Debug, Clone)]
pub struct Lifetime {
    /// The lifetime in seconds that the response states (`expires_in`).
    pub stated: i64,
    /// The real lifetime in seconds. distribution allows 60 more, so -58 means 2.
    pub actual: i64,
    /// Tokens that get this lifetime; later ones live for 300 seconds.
    pub tokens: usize,
}

pub struct TokenService {
    pub realm: String,
    certificate: Certificate,
    shared: Arc<Mutex<State>>,
}

struct State {
    users: Vec<User>,
    lifetime: Lifetime,
    /// Whether POST gets a 404, as from some services.
    get_only: bool,
    log: Vec<TokenRequest>,
}

impl TokenService {
    pub fn start(users: Vec<User>) -> Self {
        Self::with_lifetime(users, Lifetime { stated: 300, actual: 300, tokens: 0 })
    }

    pub fn with_lifetime(users: Vec<User>, lifetime: Lifetime) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let realm = format!("http://{}/token", listener.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(State { users, lifetime, get_only: false, log: Vec::new() }));
        let certificate = Certificate::new();
        let (state, signer) = (Arc::clone(&shared), certificate.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (state, signer) = (Arc::clone(&state), signer.clone());
                thread::spawn(move || serve(&client, &state, &signer));
            }
        });
        Self { realm, certificate, shared }
    }

    /// The options that make a registry trust this service.
    pub fn auth(&self) -> Auth {
        Auth::Token { realm: self.realm.clone(), certificate: self.certificate.clone() }
    }

    pub fn refuse_post(&self) {
        lock(&self.shared).get_only = true;
    }

    pub fn log(&self) -> Vec<TokenRequest> {
        lock(&self.shared).log.clone()
    }

    /// A token that expired long ago.
    pub fn expired_token(&self) -> String {
        sign(&self.certificate, "nobody", &json!([]), -3600)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(client: &TcpStream, state: &Mutex<State>, signer: &Certificate) {
    let mut reader = BufReader::new(client);
    while let Ok(Some(head)) = Head::read(&mut reader) {
        let mut body = Vec::new();
        if copy_body(head.request_body(), &mut reader, &mut body, &mut Tap::default()).is_err() {
            return;
        }
        let (status, answer) = decide(&head, &String::from_utf8_lossy(&body), state, signer);
        let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
        let mut writer = BufWriter::new(client);
        let written = answer_head(status, &headers, answer.len())
            .write(&mut writer)
            .and_then(|()| writer.write_all(answer.as_bytes()))
            .and_then(|()| writer.flush());
        if written.is_err() {
            return;
        }
    }
}

/// The response to one request: a token, or 401.
fn decide(head: &Head, body: &str, state: &Mutex<State>, signer: &Certificate) -> (u16, String) {
    let method = head.word(0).to_owned();
    let query = head.word(1).split_once('?').map_or("", |(_, query)| query);
    let form = parse(if method == "POST" { body } else { query });
    let value = |name: &str| form.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    // A scope may be repeated, and may contain several separated by spaces.
    let mut scopes: Vec<String> = form
        .iter()
        .filter(|(name, _)| name == "scope")
        .flat_map(|(_, value)| value.split(' ').map(str::to_owned))
        .filter(|scope| !scope.is_empty())
        .collect();
    scopes.sort();
    let mut state = lock(state);
    let (login, user) = if method == "POST" {
        (value("grant_type").unwrap_or_default().to_owned(), user_of_form(&state.users, &value))
    } else {
        user_of_basic(&state.users, head.header("authorization"))
    };
    let user = user.filter(|_| value("service") == Some(SERVICE));
    let answer = if method == "POST" && state.get_only {
        (404, "{}".to_owned())
    } else {
        match user {
            Some(user) => {
                let lifetime = next_lifetime(&mut state.lifetime);
                (200, issue(&user, &scopes, &lifetime, &method, signer))
            }
            None => (401, json!({"details": "who are you?"}).to_string()),
        }
    };
    state.log.push(TokenRequest { method, scopes, login, status: answer.0 });
    answer
}

fn next_lifetime(lifetime: &mut Lifetime) -> Lifetime {
    if lifetime.tokens == 0 {
        return Lifetime { stated: 300, actual: 300, tokens: 0 };
    }
    lifetime.tokens -= 1;
    lifetime.clone()
}

fn user_of_form<'a>(users: &[User], value: &impl Fn(&str) -> Option<&'a str>) -> Option<User> {
    let known = |test: &dyn Fn(&&User) -> bool| users.iter().find(test).cloned();
    match value("grant_type")? {
        "refresh_token" => {
            let token = value("refresh_token")?;
            known(&|user| !user.identity_token.is_empty() && user.identity_token == token)
        }
        "password" => {
            let (name, password) = (value("username")?, value("password")?);
            known(&|user| !user.password.is_empty() && user.name == name && user.password == password)
        }
        _ => None,
    }
}

fn user_of_basic(users: &[User], authorization: Option<&str>) -> (String, Option<User>) {
    let Some(authorization) = authorization else {
        // Anyone may request a token; what it permits is checked separately.
        let anonymous = users.iter().find(|user| user.name.is_empty()).cloned().unwrap_or_default();
        return (String::new(), Some(anonymous));
    };
    let decoded = authorization.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let decoded = String::from_utf8_lossy(&decoded).into_owned();
    let (name, password) = decoded.split_once(':').unwrap_or_default();
    let user = users.iter().find(|user| user.name == name && !name.is_empty() && user.password == password);
    (name.to_owned(), user.cloned())
}

fn issue(user: &User, scopes: &[String], lifetime: &Lifetime, method: &str, signer: &Certificate) -> String {
    let access: Vec<_> = scopes.iter().filter_map(|scope| granted(user, scope)).collect();
    let token = sign(signer, user.name, &json!(access), lifetime.actual);
    // The OAuth2 response uses another field name.
    let name = if method == "POST" { "access_token" } else { "token" };
    json!({name: token, "expires_in": lifetime.stated, "issued_at": httpdate_rfc3339()}).to_string()
}

/// The part of a scope that the user is allowed: `repository:NAME:pull,push`.
fn granted(user: &User, scope: &str) -> Option<serde_json::Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let allowed = user.may.iter().filter(|(prefix, _)| name.starts_with(prefix)).flat_map(|(_, actions)| *actions);
    let allowed: Vec<&str> = allowed.copied().collect();
    let actions: Vec<&str> = actions.split(',').filter(|action| allowed.contains(action)).collect();
    Some(json!({"type": kind, "name": name, "actions": actions}))
}

fn sign(signer: &Certificate, subject: &str, access: &serde_json::Value, lifetime: i64) -> String {
    let now = seconds_now();
    let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&signer.der)]});
    let begin = now - 7200;
    let claims = json!({
        "iss": ISSUER, "sub": subject, "aud": SERVICE, "exp": now + lifetime, "nbf": begin, "iat": begin,
        "jti": format!("{:016x}", fastrand::u64(..)), "access": access,
    });
    let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(&header), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn seconds_now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(elapsed.as_secs()).unwrap()
}

/// The time in the format of token services, to the second.
fn httpdate_rfc3339() -> String {
    let days_and_time = httpdate::HttpDate::from(SystemTime::now()).to_string();
    let words: Vec<&str> = days_and_time.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == words[2]).unwrap() + 1;
    format!("{}-{month:02}-{}T{}Z", words[3], words[1], words[4])
}

/// The key-value pairs of a query or form.
fn parse(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}
