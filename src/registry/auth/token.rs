//! Bearer tokens: asked of the token service that a registry names, once for each login and set of scopes.
//!
//! Distribution's token specification (GET) and OAuth2 token specification (POST; RFC 6749, section 6).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::credentials::Login;
use crate::error::{Error, ErrorKind};
use crate::registry::http::retry::{self, Budget, FailureKind};
use crate::registry::http::transport::{self, HttpRequest, HttpResponse};
use crate::registry::repository::{Repository, basic};

/// A token service's answer is no larger.
const ANSWER_LIMIT: u64 = 1024 * 1024;
/// What a token without `expires_in` lives (token specification).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// What we call ourselves in an OAuth2 request.
const CLIENT_ID: &str = "imgstep";

/// What a token was issued for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenKey {
    pub(crate) login: Login,
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    /// Scopes in their order, the destination's first.
    pub(crate) scopes: Vec<String>,
}

/// Where a token is kept; whoever needs it while it is fetched waits on the lock.
pub type TokenSlot = Arc<Mutex<Option<Token>>>;

/// A token and when it should be renewed.
#[derive(Clone)]
pub struct Token {
    pub(crate) header: HeaderValue,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    /// Seconds; what is no whole number is as good as nothing.
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl Repository {
    /// The token for `key`, fetched once however many wait for it. A token equal to `refused` is not given again.
    pub(crate) async fn token(&self, key: &TokenKey, refused: Option<&HeaderValue>) -> Result<HeaderValue, Error> {
        let slot = self.host.token_slot(key);
        let mut held = slot.lock().await;
        if let Some(token) = held.as_ref()
            && token.renew_at > Instant::now()
            && refused != Some(&token.header)
        {
            return Ok(token.header.clone());
        }
        *held = None;
        let token = self.fetch_token(key).await?;
        let header = token.header.clone();
        *held = Some(token);
        Ok(header)
    }

    async fn fetch_token(&self, key: &TokenKey) -> Result<Token, Error> {
        let realm: Url = key.realm.parse().map_err(|_| {
            Error::protocol(
                self.host.authority().to_owned(),
                format!(
                    "it names a token service whose address is none: `{}`",
                    crate::text::printable(&key.realm, 200)
                ),
            )
        })?;
        // A login, or a token that stands for it, is not sent in plain text because a registry said so.
        if self.origin().await?.scheme() == "https" && realm.scheme() != "https" {
            return Err(Error::protocol(
                self.host.authority().to_owned(),
                format!(
                    "it names a token service without TLS (`{}`), which is refused",
                    crate::registry::http::location::redacted(&realm)
                ),
            ));
        }
        // The service's answer counts when it can be read: a page of a proxy, with status 200, is none.
        let budget = self.budget();
        loop {
            let result = match self.ask_for_token(key, &realm, &budget).await {
                Ok(answer) => self.read_token(key, &realm, answer).await,
                Err(error) => return Err(error),
            };
            let Err(error) = &result else { return result };
            let passes = error.is_network() || matches!(error.kind(), ErrorKind::Protocol { .. });
            match budget.fail(FailureKind::Unanswered(error.silence())).filter(|_| passes) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return result,
            }
        }
    }

    async fn ask_for_token(&self, key: &TokenKey, realm: &Url, budget: &Budget) -> Result<HttpResponse, Error> {
        Ok(match &key.login {
            Login::IdentityToken { token, .. } => {
                let form = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
                self.post_token(key, realm, &form, budget).await?
            }
            Login::Basic { username, password } => {
                let answer = self.get_token(key, realm, budget).await?;
                if matches!(answer.status().as_u16(), 404 | 405) {
                    let form =
                        [("grant_type", "password"), ("username", username.as_str()), ("password", password.expose())];
                    self.post_token(key, realm, &form, budget).await?
                } else {
                    answer
                }
            }
            Login::Anonymous | Login::RegistryToken(_) => self.get_token(key, realm, budget).await?,
        })
    }

    async fn read_token(&self, key: &TokenKey, realm: &Url, answer: HttpResponse) -> Result<Token, Error> {
        let operation = format!("token for {}", key.scopes.join(" "));
        if !answer.status().is_success() {
            return Err(answer.into_error(operation, &self.login_hint()).await);
        }
        let asked = Instant::now();
        let body = answer.bytes(ANSWER_LIMIT, &operation).await?;
        let bad = |reason: &str| {
            Error::protocol(
                format!("{operation} from {}", crate::registry::http::location::redacted(realm)),
                reason.to_owned(),
            )
        };
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| bad("the answer is not a token's JSON"))?;
        let text = answer
            .token
            .filter(|token| !token.is_empty())
            .or(answer.access_token)
            .filter(|token| !token.is_empty())
            .ok_or_else(|| bad("the answer holds no token"))?;
        crate::mask::conceal_token(&text);
        let mut header =
            HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| bad("the token can't stand in a header"))?;
        header.set_sensitive(true);
        let life = answer.expires_in.as_u64().filter(|&life| life > 0).map_or(DEFAULT_LIFE, Duration::from_secs);
        // Renewed a little before its end, so that no request arrives with a token that died on the way.
        let margin = (life / 5).min(Duration::from_secs(15));
        let renew_at = asked.checked_add(life.saturating_sub(margin)).unwrap_or(asked + DEFAULT_LIFE);
        Ok(Token { header, renew_at })
    }

    async fn get_token(&self, key: &TokenKey, realm: &Url, budget: &Budget) -> Result<HttpResponse, Error> {
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
        self.ask_token_service(&HttpRequest { headers, ..HttpRequest::question(url) }, budget).await
    }

    async fn post_token(
        &self,
        key: &TokenKey,
        realm: &Url,
        form: &[(&str, &str)],
        budget: &Budget,
    ) -> Result<HttpResponse, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let body = Some(Bytes::from(encoded(key, form)));
        let method = Method::POST;
        self.ask_token_service(&HttpRequest { method, headers, body, ..HttpRequest::question(realm.clone()) }, budget)
            .await
    }

    /// One question to the token service, asked again while it fails for a passing reason.
    async fn ask_token_service(&self, outgoing: &HttpRequest, budget: &Budget) -> Result<HttpResponse, Error> {
        // A pause that the service asks for is its own, and counts with all others.
        let authority = outgoing.url.authority().to_owned();
        loop {
            let result = transport::send(&self.client, outgoing, None).await;
            let (failure, asked) = match &result {
                Ok(answer) if transport::is_temporary(answer.status()) => {
                    (FailureKind::Status(answer.status().as_u16()), retry::retry_after(answer.headers()))
                }
                Err(error) if error.is_network() => (FailureKind::Unanswered(error.silence()), None),
                _ => return result,
            };
            let wait = budget.fail(failure).filter(|_| self.client.pause(&self.client.host(&authority), asked));
            let Some(wait) = wait else { return result };
            tokio::time::sleep(wait.max(asked.unwrap_or_default())).await;
        }
    }
}

/// A form's fields as a request's body (RFC 6749, appendix B).
fn encoded(key: &TokenKey, form: &[(&str, &str)]) -> String {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    body.append_pair("client_id", CLIENT_ID);
    if let Some(service) = &key.service {
        body.append_pair("service", service);
    }
    body.append_pair("scope", &key.scopes.join(" "));
    body.finish()
}
