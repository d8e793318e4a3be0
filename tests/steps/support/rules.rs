//! Faults as plain data: which requests of a proxy they meet, and what is done to them.

use std::time::Duration;

/// One fault: `rule("PUT", "/blobs/uploads/", Action::answer(503)).times(2)`.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The method; empty for any.
    pub method: &'static str,
    /// What the path with its query holds; a `*` stands for anything, so that `/app/*mount=` needs both in this order.
    pub path: String,
    /// So many matching requests pass first.
    pub skip: usize,
    /// So many matching requests are met by the fault.
    pub times: usize,
    pub action: Action,
}

/// What is done to a request or to its answer.
#[derive(Debug, Clone)]
pub enum Action {
    /// The proxy answers itself; the registry sees nothing.
    Answer { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// Bodies larger than this are answered with 413 before they are read, as a proxy with a limit does.
    LimitBody(u64),
    /// The answer is this status, while the body is still being sent: a token that died, a lock, a full disk.
    RefuseBody(u16),
    /// The line breaks before the registry hears of the request.
    Reset,
    /// The request is heard, and no answer ever comes.
    Silence,
    /// The line breaks after so many bytes of the request's body; the registry gets no more either.
    CutRequest(u64),
    /// The byte at this offset of the request's body is changed.
    CorruptRequest(u64),
    /// The line breaks after so many bytes of the answer's body.
    CutAnswer(u64),
    /// The registry does what it is asked, but the line breaks before its answer.
    LoseAnswer,
    /// The registry does what it is asked, but the answer is this status.
    AnswerStatus(u16),
    /// The connection seems to be kept after the answer; it is closed when the next request comes on it.
    CloseKept,
    /// The byte at this offset of the answer's body is changed.
    Corrupt(u64),
    /// The answer's body ends after so many bytes, in good order: its Content-Length says so too.
    Shorten(u64),
    /// The request waits this long.
    Stall(Duration),
    /// The answer's body waits this long before its byte at the offset.
    StallAnswer(u64, Duration),
    /// The answer's body comes no faster than so many bytes a second.
    HoldAnswer(u64),
    /// The answer's body comes a byte at a time, each after a wait.
    Trickle(Duration),
    /// The request goes on with another field, or without it where there is no value.
    RequestHeader(&'static str, Option<String>),
    /// The answer comes with another field, or without it where there is no value.
    AnswerHeader(&'static str, Option<String>),
    /// The request goes on without its query: a mount becomes the beginning of an upload.
    DropQuery,
    /// The answer's `Location` becomes a path, or a URL where a host is given.
    Location { host: Option<String> },
    /// The client is sent to the same path at another host.
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

    /// The action if the rule meets this request; counts it.
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

    /// A status with a registry's error body.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
        Self::Answer {
            status,
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    /// 200 with a page for people: a portal that wants a login, an ingress without a backend.
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

/// What servers write into `Retry-After` that is to be borne: no wait, a short one, a moment that is past, nonsense.
pub const RETRY_AFTERS: [&str; 8] = ["0", "1", " 1 ", "Sun, 06 Nov 1994 08:49:37 GMT", "-1", "1.5", "soon", ""];

/// Whether `text` holds the parts of `pattern` between its `*`, in their order.
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
fn a_rule_counts_what_it_meets() {
    let mut second = rule("PUT", "/app/*digest=", Action::answer(500)).skip(1).times(1);
    assert!(second.meet("GET", "/v2/app/x?digest=").is_none());
    assert!(second.meet("PUT", "/v2/app/x?digest=").is_none(), "the first passes");
    assert!(second.meet("PUT", "/v2/app/x?digest=").is_some());
    assert!(second.meet("PUT", "/v2/app/x?digest=").is_none(), "once only");
    assert!(!holds("digest=/app/", "/app/*digest="));
}
