//! Bearer tokens: requested from the token service that a registry names, once for each login and set of scopes.
//!
//! Distribution's token specification (GET) and OAuth2 token specification (POST; RFC 6749, section 6).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::basic::basic;
use crate::credentials::Login;
use crate::error::{Error, ErrorKind};
use crate::lock::lock;
use crate::registry::error::error_of;
use crate::registry::host::Host;
use crate::registry::http::location::{redacted, same_origin};
use crate::registry::http::retry::{Budget, FailureKind, temporary_failure};
use crate::registry::http::{ConnectionKind, HttpRequest, HttpResponse, Transport};
use crate::text::printable;

/// The largest answer of a token service, in bytes.
const ANSWER_LIMIT: u64 = 1024 * 1024;
/// How long a token without `expires_in` is valid (token specification).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// The client in an OAuth2 request.
const CLIENT_ID: &str = "imgstep";

/// What a token is issued for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    pub(super) login: Login,
    /// The URL of the token service.
    pub(super) realm: String,
    pub(super) service: Option<String>,
    /// The destination's scope first, then others.
    pub(super) scopes: Vec<String>,
}

/// The tokens for a host.
#[derive(Default)]
pub(super) struct Tokens(std::sync::Mutex<HashMap<TokenKey, Slot>>);

/// A token; whoever needs it while it is fetched waits for the lock.
type Slot = Arc<Mutex<Option<Token>>>;

struct Token {
    header: HeaderValue,
    renew_at: Instant,
}

/// How a registry's token service is reached.
pub(super) struct TokenService<'a> {
    pub(super) transport: &'a Transport,
    pub(super) registry: &'a Host,
    pub(super) retries: u32,
    /// What to do if the service refuses the login.
    pub(super) login_hint: &'a str,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    /// Seconds; anything but a whole number is ignored.
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl Tokens {
    /// The token for `key`, fetched once however many wait for it. A token equal to `refused` is not returned again.
    pub(super) async fn get(
        &self,
        service: &TokenService<'_>,
        key: &TokenKey,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Error> {
        let slot = Arc::clone(lock(&self.0).entry(key.clone()).or_default());
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref()
            && token.renew_at > Instant::now()
            && refused != Some(&token.header)
        {
            return Ok(token.header.clone());
        }
        *slot = None;
        let token = service.fetch(key).await?;
        let header = token.header.clone();
        *slot = Some(token);
        Ok(header)
    }
}

impl TokenService<'_> {
    async fn fetch(&self, key: &TokenKey) -> Result<Token, Error> {
        let fail = |reason: String| Error::protocol(self.registry.authority(), reason);
        let realm: Url = key
            .realm
            .parse()
            .map_err(|_| fail(format!("invalid token service URL: `{}`", printable(&key.realm, 200))))?;
        // A login, or a token that stands for it, is not sent in plain text because a registry asked for it.
        if self.registry.origin(self.transport).await?.scheme() == "https" && realm.scheme() != "https" {
            return Err(fail(format!("refused to use a token service without TLS: `{}`", redacted(&realm))));
        }
        // The answer counts when it can be read: a proxy's page with status 200 is not one.
        let budget = Budget::new(self.retries);
        loop {
            let result = match self.request(key, &realm, &budget).await {
                Ok(response) => self.read_token(key, &realm, response).await,
                Err(error) => return Err(error),
            };
            let Err(error) = &result else { return result };
            let is_temporary = error.is_network() || matches!(error.kind(), ErrorKind::Protocol { .. });
            match budget.next(FailureKind::Unanswered(error.silence())).filter(|_| is_temporary) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return result,
            }
        }
    }

    async fn request(&self, key: &TokenKey, realm: &Url, budget: &Budget) -> Result<HttpResponse, Error> {
        match &key.login {
            Login::IdentityToken { token, .. } => {
                let form = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
                self.send(&post(key, realm, &form), budget).await
            }
            Login::Basic { username, password } => {
                let response = self.send(&get(key, realm)?, budget).await?;
                if !matches!(response.status().as_u16(), 404 | 405) {
                    return Ok(response);
                }
                let form =
                    [("grant_type", "password"), ("username", username.as_str()), ("password", password.expose())];
                self.send(&post(key, realm, &form), budget).await
            }
            Login::Anonymous | Login::RegistryToken(_) => self.send(&get(key, realm)?, budget).await,
        }
    }

    /// Sends a request to the token service, again while it fails temporarily. The service's pauses are its own, and
    /// count with all others.
    async fn send(&self, request: &HttpRequest, budget: &Budget) -> Result<HttpResponse, Error> {
        let registry = self.registry.origin(self.transport).await?;
        // On the registry's own host a connection is open; another would cost two round trips more over TLS.
        let is_registry = same_origin(&request.url, &registry);
        let connection = if is_registry { ConnectionKind::Shared } else { ConnectionKind::Ordinary };
        let request = HttpRequest { connection, ..request.clone() };
        loop {
            let result = self.transport.send(&request).await;
            let Some((failure, retry_after)) = temporary_failure(&result) else { return result };
            let pauses = self.transport.pauses();
            let wait = budget.next(failure).filter(|_| pauses.pause(request.url.authority(), retry_after));
            let Some(wait) = wait else { return result };
            tokio::time::sleep(wait.max(retry_after.unwrap_or_default())).await;
        }
    }

    async fn read_token(&self, key: &TokenKey, realm: &Url, response: HttpResponse) -> Result<Token, Error> {
        let operation = format!("token for {}", key.scopes.join(" "));
        if !response.status().is_success() {
            return Err(error_of(response, operation, self.login_hint).await);
        }
        let received = Instant::now();
        let body = response.bytes(ANSWER_LIMIT, &operation).await?;
        let fail = |reason: &str| Error::protocol(format!("{operation} from {}", redacted(realm)), reason);
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| fail("the answer is not a token's JSON"))?;
        let text = answer
            .token
            .filter(|token| !token.is_empty())
            .or(answer.access_token)
            .filter(|token| !token.is_empty())
            .ok_or_else(|| fail("the answer contains no token"))?;
        crate::mask::conceal_token(&text);
        let mut header = HeaderValue::from_str(&format!("Bearer {text}"))
            .map_err(|_| fail("the token contains characters that a header can't"))?;
        header.set_sensitive(true);
        let life = answer.expires_in.as_u64().filter(|&life| life > 0).map_or(DEFAULT_LIFE, Duration::from_secs);
        // Renewed a little before it expires, so that no request arrives with a token that expired on the way.
        let margin = (life / 5).min(Duration::from_secs(15));
        let renew_at = received.checked_add(life.saturating_sub(margin)).unwrap_or(received + DEFAULT_LIFE);
        Ok(Token { header, renew_at })
    }
}

fn get(key: &TokenKey, realm: &Url) -> Result<HttpRequest, Error> {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &key.service {
            query.append_pair("service", service);
        }
        for scope in &key.scopes {
            query.append_pair("scope", scope);
        }
    }
    let mut headers = HeaderMap::new();
    if let Login::Basic { username, password } = &key.login {
        headers.insert(AUTHORIZATION, basic(username, password)?);
    }
    Ok(HttpRequest { headers, ..HttpRequest::get(url) })
}

/// A form as a request (RFC 6749, appendix B).
fn post(key: &TokenKey, realm: &Url, form: &[(&str, &str)]) -> HttpRequest {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    body.append_pair("client_id", CLIENT_ID);
    if let Some(service) = &key.service {
        body.append_pair("service", service);
    }
    body.append_pair("scope", &key.scopes.join(" "));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let body = Some(Bytes::from(body.finish()));
    HttpRequest { method: Method::POST, headers, body, ..HttpRequest::get(realm.clone()) }
}
