//! Faults as plain data: which requests of a proxy they match, and what happens to those.

use std::time::Duration;

/// One fault: `rule("PUT", "/blobs/uploads/", Action::answer(503)).times(2)`.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The method; empty matches any.
    pub method: &'static str,
    /// What the path with its query contains; a `*` matches anything, so `/app/*mount=` needs both parts in this order.
    pub path: String,
    /// Matching requests that pass before the fault applies.
    pub skip: usize,
    /// Matching requests that the fault applies to.
    pub times: usize,
    pub action: Action,
}

/// What is done to a request or to its response.
#[derive(Debug, Clone)]
pub enum Action {
    /// The proxy responds itself; the registry sees nothing.
    Answer { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// Bodies larger than this get a 413 before they are read, as from a proxy with a limit.
    LimitBody(u64),
    /// Responds with this status while the body is still being sent: an expired token, a lock, a full disk.
    RefuseBody(u16),
    /// The connection breaks before the registry receives the request.
    Reset,
    /// The request is read, and never answered.
    Silence,
    /// The connection breaks after this many bytes of the request's body; the registry gets no more either.
    CutRequest(u64),
    /// Changes the byte at this offset of the request's body.
    CorruptRequest(u64),
    /// The connection breaks after this many bytes of the response's body.
    CutAnswer(u64),
    /// The registry handles the request, but the connection breaks before its response.
    LoseAnswer,
    /// The registry handles the request, but the client gets this status.
    AnswerStatus(u16),
    /// The connection seems to be kept alive after the response, but is closed when the next request arrives.
    CloseKept,
    /// Changes the byte at this offset of the response's body.
    Corrupt(u64),
    /// The response's body ends cleanly after this many bytes: its Content-Length matches.
    Shorten(u64),
    /// The request is delayed by this long.
    Stall(Duration),
    /// The response's body pauses this long before the byte at this offset.
    StallAnswer(u64, Duration),
    /// The response's body is limited to this many bytes per second.
    HoldAnswer(u64),
    /// The response's body arrives one byte at a time, with this pause before each.
    Trickle(Duration),
    /// The request is forwarded with this field changed, or removed if there is no value.
    RequestHeader(&'static str, Option<String>),
    /// The response is returned with this field changed, or removed if there is no value.
    AnswerHeader(&'static str, Option<String>),
    /// The request is forwarded without its query: a mount becomes the start of an upload.
    DropQuery,
    /// The response's `Location` becomes a path, or a URL if a host is given.
    Location { host: Option<String> },
    /// The client is redirected to the same path on another host.
    RedirectTo(String),
}

pub fn rule(method: &'static str, path: &str, action: Action) -> Rule {
    Rule { method, path: path.to_owned(), skip: 0, times: usize::MAX, action }
}

impl Rule {
    pub fn skip(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// The action, if the rule matches this request; counts the match.
    pub fn meet(&mut self, method: &str, target: &str) -> Option<Action> {
        if !(self.method.is_empty() || self.method == method) || !holds(target, &self.path) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.checked_sub(1)?;
        Some(self.action.clone())
    }
}

impl Action {
    /// A bare status, with an error body as registries send it.
    pub fn answer(status: u16) -> Self {
        Self::error(status, "FAULT", "injected by the test")
    }

    /// A status with a registry error body.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
        Self::Answer {
            status,
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    /// 200 with an HTML page: a login portal, or an ingress without a backend.
    pub fn html() -> Self {
        Self::Answer {
            status: 200,
            headers: vec![("Content-Type".to_owned(), "text/html; charset=utf-8".to_owned())],
            body: b"<!doctype html><html><body>Please sign in</body></html>".to_vec(),
        }
    }

    /// 429 with the given `Retry-After`.
    pub fn too_many(retry_after: &str) -> Self {
        Self::Answer {
            status: 429,
            headers: vec![("Retry-After".to_owned(), retry_after.to_owned())],
            body: br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#.to_vec(),
        }
    }
}

/// Values of `Retry-After` that must not do harm: no wait, a short one, a time in the past, nonsense.
pub const RETRY_AFTERS: [&str; 8] = ["0", "1", " 1 ", "Sun, 06 Nov 1994 08:49:37 GMT", "-1", "1.5", "soon", ""];

/// Whether `text` contains the parts of `pattern` between its `*`, in order.
pub fn holds(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(position) => {
            rest = &rest[position + part.len()..];
            true
        }
        None => false,
    })
}

#[test]
fn a_rule_counts_its_matches() {
    let mut second = rule("PUT", "/app/*digest=", Action::answer(500)).skip(1).times(1);
    assert!(second.meet("GET", "/v2/app/x?digest=").is_none());
    assert!(second.meet("PUT", "/v2/app/x?digest=").is_none(), "the first passes");
    assert!(second.meet("PUT", "/v2/app/x?digest=").is_some());
    assert!(second.meet("PUT", "/v2/app/x?digest=").is_none(), "once only");
    assert!(!holds("digest=/app/", "/app/*digest="));
}
