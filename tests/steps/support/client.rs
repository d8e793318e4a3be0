//! Raw HTTP requests to a registry, for fixtures and for checks independent of the binary under test.

use std::sync::OnceLock;
use std::time::Duration;

use super::wire::header;

/// A response with any status.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn agent() -> &'static ureq::Agent {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(60)))
            // Registries come and go on the same ports: a connection kept from an earlier one would break.
            .max_idle_connections(0)
            .proxy(None)
            .build()
            .into()
    })
}

/// Sends one request. Any status is accepted; panics if there is no response.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let mut builder = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let sent = if matches!(method, "GET" | "HEAD" | "DELETE") {
        builder.body(()).map(|request| agent().run(request))
    } else {
        builder.body(body).map(|request| agent().run(request))
    };
    let mut answer = sent.unwrap().unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    Response {
        status: answer.status().as_u16(),
        headers: headers.collect(),
        body: answer.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap(),
    }
}

/// Sends one request that must get `status`.
pub fn expect(status: u16, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let answer = request(method, url, headers, body);
    assert_eq!(answer.status, status, "{method} {url}: {}", answer.text());
    answer
}
