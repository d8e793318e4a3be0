//! A reverse proxy in front of a registry: it records every request and injects faults by rule.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::registry::Registry;
use super::rules::{Action, Rule, holds};
use super::wire::{Body, Head, Tap, answer_head, copy_body, drain_body, header};

/// One request and its response.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub method: String,
    /// The path with its query; colons and slashes are decoded, however the client wrote them.
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// The status that the client saw; 0 if there was none, or none yet.
    pub status: u16,
    /// Bytes of the request's body.
    pub sent: u64,
    /// Bytes of the response's body.
    pub received: u64,
    /// The number of the connection it arrived on.
    pub connection: usize,
    /// Whether a rule matched it.
    pub met: bool,
    /// Whether it is still in progress.
    open: bool,
}

impl Exchange {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Whether the method is `method` (any if empty) and the target matches `path` (see [`Rule::path`]).
    pub fn is(&self, method: &str, path: &str) -> bool {
        (method.is_empty() || self.method == method) && holds(&self.target, path)
    }

    /// Whether the request changes something in the registry.
    pub fn writes(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD")
    }
}

/// The proxy. To clients, its address is a registry's host.
pub struct Proxy {
    pub host: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    state: Mutex<State>,
    stopped: AtomicBool,
    connections: AtomicUsize,
}

type Decide = Box<dyn FnMut(&str, &str) -> Vec<Action> + Send>;

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    /// Decides what else is done to a request, by method and target.
    decide: Option<Decide>,
    log: Vec<Exchange>,
    /// The requests in progress, and the highest number at once.
    now: usize,
    most: usize,
}

impl Proxy {
    pub fn before(registry: &Registry) -> Self {
        Self::to(&registry.host)
    }

    /// A proxy in front of whatever listens at `upstream`.
    pub fn to(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            state: Mutex::default(),
            stopped: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || serve(&client, &shared));
            }
        });
        Self { host, shared }
    }

    /// `host/name`, a reference through the proxy.
    pub fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    pub fn with(self, rule: Rule) -> Self {
        self.add(rule);
        self
    }

    pub fn add(&self, rule: Rule) {
        self.shared.state().rules.push(rule);
    }

    pub fn add_all(&self, rules: &[Rule]) {
        self.shared.state().rules.extend_from_slice(rules);
    }

    /// Decides what is done to each request when it arrives: for the soak test.
    #[allow(dead_code)]
    pub fn decide_by(&self, decide: impl FnMut(&str, &str) -> Vec<Action> + Send + 'static) {
        self.shared.state().decide = Some(Box::new(decide));
    }

    /// Every request so far, in order of arrival. A client may have its response a moment before the proxy has recorded
    /// its length, so requests that are about to end are waited for.
    pub fn log(&self) -> Vec<Exchange> {
        for _ in 0..100 {
            if self.shared.state().log.iter().all(|exchange| !exchange.open) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.shared.state().log.clone()
    }

    /// Removes all rules and recorded requests.
    pub fn reset(&self) {
        *self.shared.state() = State::default();
    }

    /// The requests whose method is `method` and whose target matches `path`.
    pub fn matching(&self, method: &str, path: &str) -> Vec<Exchange> {
        self.log().into_iter().filter(|exchange| exchange.is(method, path)).collect()
    }

    pub fn count(&self, method: &str, path: &str) -> usize {
        self.matching(method, path).len()
    }

    /// The digests whose upload was completed, in order.
    pub fn uploaded(&self) -> Vec<String> {
        let done = |seen: &Exchange| seen.is("PUT", "/blobs/uploads/*digest=") && seen.status == 201;
        let digest = |seen: &Exchange| {
            let (_, digest) = seen.target.split_once("digest=").unwrap();
            digest.split('&').next().unwrap().to_owned()
        };
        self.log().iter().filter(|seen| done(seen)).map(digest).collect()
    }

    /// The blob bytes that were sent to the registry, including interrupted attempts.
    pub fn uploaded_bytes(&self) -> u64 {
        self.log().iter().filter(|seen| seen.writes() && seen.is("", "/blobs/uploads/")).map(|seen| seen.sent).sum()
    }

    /// The digests of blobs that were downloaded, in order.
    pub fn downloaded(&self) -> Vec<String> {
        let digest = |seen: &Exchange| seen.target.rsplit('/').next().unwrap().to_owned();
        self.log().iter().filter(|seen| seen.is("GET", "/blobs/sha256:")).map(digest).collect()
    }

    /// The requests that change something.
    pub fn writes(&self) -> Vec<Exchange> {
        self.log().into_iter().filter(Exchange::writes).collect()
    }

    /// The requests that a rule matched.
    pub fn met(&self) -> Vec<Exchange> {
        self.log().into_iter().filter(|exchange| exchange.met).collect()
    }

    /// The highest number of requests in progress at once.
    pub fn most_at_once(&self) -> usize {
        self.shared.state().most
    }

    /// Waits until a rule has matched a request; the test fails after a timeout.
    pub fn wait_until_met(&self) {
        let limit = Instant::now() + Duration::from_secs(30);
        while !self.shared.state().log.iter().any(|exchange| exchange.met) {
            assert!(Instant::now() < limit, "no request was met by a rule; seen: {:#?}", self.lines());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The log for an assertion message: `GET /v2/… 200`.
    pub fn lines(&self) -> Vec<String> {
        self.log().iter().map(|seen| format!("{} {} {}", seen.method, seen.target, seen.status)).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // The accepting thread blocks in accept: a last connection wakes it.
        drop(TcpStream::connect(&self.host));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request; returns its number and what to do to it.
    fn record(&self, head: &Head, connection: usize) -> (usize, Vec<Action>) {
        let mut state = self.state();
        let method = head.word(0);
        let target = head.word(1).replace("%3A", ":").replace("%3a", ":").replace("%2F", "/").replace("%2f", "/");
        let mut actions: Vec<Action> = state.rules.iter_mut().filter_map(|rule| rule.meet(method, &target)).collect();
        actions.extend(state.decide.iter_mut().flat_map(|decide| decide(method, &target)));
        state.log.push(Exchange {
            method: method.to_owned(),
            target,
            headers: head.headers.clone(),
            status: 0,
            sent: 0,
            received: 0,
            connection,
            met: !actions.is_empty(),
            open: true,
        });
        state.now += 1;
        state.most = state.most.max(state.now);
        (state.log.len() - 1, actions)
    }

    /// Ends a request. One from before a reset isn't counted.
    fn end(&self, number: usize) {
        let mut state = self.state();
        state.now = state.now.saturating_sub(1);
        if let Some(exchange) = state.log.get_mut(number) {
            exchange.open = false;
        }
    }

    fn note(&self, number: usize, change: impl FnOnce(&mut Exchange)) {
        // There may have been a reset between a request and its response.
        if let Some(exchange) = self.state().log.get_mut(number) {
            change(exchange);
        }
    }
}

/// Serves one connection until either side closes it.
fn serve(client: &TcpStream, shared: &Shared) {
    let _ = client.set_nodelay(true);
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed);
    let mut reader = BufReader::new(client);
    loop {
        let head = match Head::read(&mut reader) {
            Ok(Some(head)) => head,
            Ok(None) => break,
            Err(_) => {
                // A client that starts with TLS gets what a plain-text server answers.
                let _ = answer_head(400, &[], 0).write(&mut &*client);
                break;
            }
        };
        let (number, actions) = shared.record(&head, connection);
        let kept = exchange(client, &mut reader, head, number, &actions, shared);
        shared.end(number);
        if !matches!(kept, Ok(true)) {
            break;
        }
        if actions.iter().any(|action| matches!(action, Action::CloseKept)) {
            let _ = reader.fill_buf();
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// Handles one request and its response; returns whether the connection may serve another.
fn exchange(
    client: &TcpStream,
    reader: &mut BufReader<&TcpStream>,
    mut head: Head,
    number: usize,
    actions: &[Action],
    shared: &Shared,
) -> io::Result<bool> {
    let body = head.request_body();
    for action in actions {
        match action {
            Action::Stall(time) => thread::sleep(*time),
            Action::RequestHeader(name, value) => match value {
                Some(value) => head.set(name, value.as_str()),
                None => head.remove(name),
            },
            Action::DropQuery => head.first = without_query(&head.first),
            Action::LimitBody(limit) if matches!(body, Body::Length(length) if length > *limit) => {
                return refuse_body(client, reader, body, number, (413, shared));
            }
            Action::RefuseBody(status) => return refuse_body(client, reader, body, number, (*status, shared)),
            Action::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
            Action::Silence => {
                // Until the client gives up.
                while reader.read(&mut [0; 16 * 1024])? > 0 {}
                return Ok(false);
            }
            Action::RedirectTo(host) => {
                let location = ("Location".to_owned(), format!("http://{host}{}", head.word(1)));
                return answer(client, reader, &head, number, (307, &[location], b""), shared);
            }
            Action::Answer { status, headers, body } => {
                return answer(client, reader, &head, number, (*status, headers, body), shared);
            }
            _ => {}
        }
    }
    relay(client, reader, &head, number, actions, shared)
}

fn without_query(first: &str) -> String {
    let mut words: Vec<&str> = first.split(' ').collect();
    words[1] = words[1].split('?').next().unwrap_or_default();
    words.join(" ")
}

/// Responds instead of the registry, after reading the whole request.
fn answer(
    client: &TcpStream,
    reader: &mut BufReader<&TcpStream>,
    request: &Head,
    number: usize,
    (status, headers, body): (u16, &[(String, String)], &[u8]),
    shared: &Shared,
) -> io::Result<bool> {
    let mut tap = Tap::default();
    drain_body(request.request_body(), reader, &mut tap)?;
    shared.note(number, |exchange| (exchange.status, exchange.sent) = (status, tap.seen));
    let mut writer = BufWriter::new(client);
    answer_head(status, headers, body.len()).write(&mut writer)?;
    if request.word(0) != "HEAD" {
        writer.write_all(body)?;
    }
    writer.flush()?;
    Ok(true)
}

/// Responds while the body is still being sent, then reads the rest so that the client isn't blocked, and closes.
fn refuse_body(
    client: &TcpStream,
    reader: &mut BufReader<&TcpStream>,
    body: Body,
    number: usize,
    (status, shared): (u16, &Shared),
) -> io::Result<bool> {
    let mut head = answer_head(status, &[], 0);
    head.set("Connection", "close");
    shared.note(number, |exchange| exchange.status = status);
    head.write(&mut &*client)?;
    drain_body(body, reader, &mut Tap::default())?;
    Ok(false)
}

/// Forwards a request to the registry and its response back, both ways at once.
fn relay(
    client: &TcpStream,
    reader: &mut BufReader<&TcpStream>,
    head: &Head,
    number: usize,
    actions: &[Action],
    shared: &Shared,
) -> io::Result<bool> {
    let upstream = TcpStream::connect(&shared.upstream)?;
    upstream.set_nodelay(true)?;
    let mut request = head.clone();
    request.set("Connection", "close");
    request.write(&mut &upstream)?;
    let body = head.request_body();
    thread::scope(|scope| {
        let (upstream, tap) = (&upstream, tap_of_request(actions));
        let sending = (body != Body::None)
            .then(|| scope.spawn(move || pump_request(client, reader, body, tap, upstream, (shared, number))));
        let kept = return_answer(client, head.word(0), number, actions, upstream, shared);
        if kept.is_err() {
            let _ = client.shutdown(Shutdown::Both);
        }
        let sent = sending.is_none_or(|thread| thread.join().unwrap_or(false));
        kept.map(|open| open && sent)
    })
}

fn tap_of_request(actions: &[Action]) -> Tap {
    let mut tap = Tap::default();
    for action in actions {
        match action {
            Action::CutRequest(limit) => tap.cut_after = Some(*limit),
            Action::CorruptRequest(offset) => tap.corrupt_at = Some(*offset),
            _ => {}
        }
    }
    tap
}

/// Forwards a request's body; returns whether all of it arrived. If the registry responded early and closed, it gets no
/// more, but the client's body is still read to its end.
fn pump_request(
    client: &TcpStream,
    reader: &mut BufReader<&TcpStream>,
    body: Body,
    mut tap: Tap,
    mut upstream: &TcpStream,
    (shared, number): (&Shared, usize),
) -> bool {
    let result = copy_body(body, reader, &mut upstream, &mut tap);
    shared.note(number, |exchange| exchange.sent = tap.seen);
    match result {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
            let _ = client.shutdown(Shutdown::Both);
            let _ = upstream.shutdown(Shutdown::Both);
            false
        }
        Err(_) => {
            if let Body::Length(length) = body {
                let _ = drain_body(Body::Length(length.saturating_sub(tap.seen)), reader, &mut Tap::default());
            }
            false
        }
    }
}

/// Reads the registry's response and forwards it; returns whether the client's connection may serve another request.
fn return_answer(
    client: &TcpStream,
    method: &str,
    number: usize,
    actions: &[Action],
    upstream: &TcpStream,
    shared: &Shared,
) -> io::Result<bool> {
    let mut from = BufReader::new(upstream);
    let mut head = Head::read(&mut from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut body = head.answer_body(method);
    head.remove("connection");
    if body == Body::UntilClose {
        head.set("Connection", "close");
    }
    let mut tap = tamper(&mut head, &mut body, actions)?;
    shared.note(number, |exchange| exchange.status = head.status());
    let mut writer = BufWriter::new(client);
    head.write(&mut writer)?;
    writer.flush()?;
    let result = copy_body(body, &mut from, &mut writer, &mut tap);
    shared.note(number, |exchange| exchange.received = tap.seen);
    result.map(|()| body != Body::UntilClose)
}

/// Applies the rules to a response.
fn tamper(head: &mut Head, body: &mut Body, actions: &[Action]) -> io::Result<Tap> {
    let mut tap = Tap::default();
    for action in actions {
        match action {
            Action::LoseAnswer => return Err(io::ErrorKind::ConnectionAborted.into()),
            Action::AnswerStatus(status) => {
                head.first = format!("HTTP/1.1 {status} Answer");
                // A 204 has no length, and whatever replaces it would last until the connection is closed.
                if *body == Body::None && head.header("content-length").is_none() {
                    head.set("Content-Length", "0");
                }
            }
            Action::Shorten(limit) => {
                if let Body::Length(length) = body
                    && limit < length
                {
                    *length = *limit;
                    head.set("Content-Length", limit.to_string());
                }
            }
            Action::Trickle(time) => tap.trickle = Some(*time),
            Action::CutAnswer(limit) => tap.cut_after = Some(*limit),
            Action::Corrupt(offset) => tap.corrupt_at = Some(*offset),
            Action::HoldAnswer(rate) => tap.rate = Some(*rate),
            Action::StallAnswer(offset, time) => tap.stall_at = Some((*offset, *time)),
            Action::AnswerHeader(name, value) => match value {
                Some(value) => head.set(name, value.as_str()),
                None => head.remove(name),
            },
            Action::Location { host } => {
                if let Some(location) = head.header("location").map(str::to_owned) {
                    head.set("Location", relocate(&location, host.as_deref()));
                }
            }
            _ => {}
        }
    }
    Ok(tap)
}

/// A location as a path only, or with a host before it.
fn relocate(location: &str, host: Option<&str>) -> String {
    let path = match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => location,
    };
    host.map_or_else(|| path.to_owned(), |host| format!("http://{host}{path}"))
}
