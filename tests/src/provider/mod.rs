//! A model provider on loopback that speaks `openai.chat` and `anthropic.messages`, strictly: whatever a real one would not expect is
//! a complaint, and fails the test. It can be told how to answer in the request header `x-test`.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Value, json};

mod behaviour;
mod body;
mod check;
mod pack;
mod realtime;
mod words;

pub use behaviour::Behaviour;
pub use pack::Packing;

use crate::server::{Body, Connection, Handler, Server, full};

/// Most exchanges whose bytes are remembered.
const MAX_REMEMBERED: usize = 512;

/// A running provider.
#[derive(Debug)]
pub struct Provider {
    server: Server,
    state: Arc<State>,
}

/// What the provider remembers.
#[derive(Debug, Default)]
struct State {
    complaints: Mutex<Vec<String>>,
    exchanges: Mutex<Exchanges>,
}

#[derive(Debug, Default)]
struct Exchanges {
    count: u64,
    /// The `x-request-id` of each, of all there ever were.
    ledger: Vec<String>,
    order: VecDeque<String>,
    heads: HashMap<String, HeaderMap>,
    received: HashMap<String, Bytes>,
    sent: HashMap<String, Bytes>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Provider {
    /// Starts on that loopback port; 0 takes any.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn start(port: u16) -> Result<Self> {
        let state = Arc::new(State::default());
        Ok(Self { server: Server::start(port, Arc::clone(&state))?, state })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// What it did not expect so far.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        lock(&self.state.complaints).clone()
    }

    /// Exchanges so far.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        lock(&self.state.exchanges).count
    }

    /// The `x-request-id` of all exchanges so far, in order: what a provider would bill.
    #[must_use]
    pub fn ledger(&self) -> Vec<String> {
        lock(&self.state.exchanges).ledger.clone()
    }

    /// The headers that came with the exchange of that `x-stand-in-id`.
    #[must_use]
    pub fn head(&self, id: &str) -> Option<HeaderMap> {
        lock(&self.state.exchanges).heads.get(id).cloned()
    }

    /// The body that came with the exchange of that `x-stand-in-id`.
    #[must_use]
    pub fn received(&self, id: &str) -> Option<Bytes> {
        lock(&self.state.exchanges).received.get(id).cloned()
    }

    /// The body that was to be sent in it, before compression.
    #[must_use]
    pub fn sent(&self, id: &str) -> Option<Bytes> {
        lock(&self.state.exchanges).sent.get(id).cloned()
    }
}

impl State {
    fn remember(&self, head: HeaderMap, received: Bytes, sent: Bytes) -> String {
        let mut exchanges = lock(&self.exchanges);
        exchanges.count += 1;
        let request = head.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        exchanges.ledger.push(request.to_owned());
        let id = exchanges.count.to_string();
        exchanges.order.push_back(id.clone());
        exchanges.heads.insert(id.clone(), head);
        exchanges.received.insert(id.clone(), received);
        exchanges.sent.insert(id.clone(), sent);
        if exchanges.order.len() > MAX_REMEMBERED
            && let Some(oldest) = exchanges.order.pop_front()
        {
            exchanges.heads.remove(&oldest);
            exchanges.received.remove(&oldest);
            exchanges.sent.remove(&oldest);
        }
        id
    }

    /// Replaces what is remembered of an exchange that went on after its headers.
    fn update(&self, id: &str, received: Bytes, sent: Bytes) {
        let mut exchanges = lock(&self.exchanges);
        exchanges.received.insert(id.to_owned(), received);
        exchanges.sent.insert(id.to_owned(), sent);
    }

    fn complain(&self, complaint: String) {
        lock(&self.complaints).push(complaint);
    }
}

impl Handler for State {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, connection: Connection) -> io::Result<Response<Body>> {
        let speaks_messages = |path: &str| path.ends_with("/v1/realtime") || path.ends_with("/v1/responses");
        if speaks_messages(request.uri().path()) && request.headers().contains_key("upgrade") {
            return realtime::answer(&self, request, connection);
        }
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if path == "/healthz" {
            return Ok(Response::new(full("ok")));
        }
        let Some(dialect) = words::Dialect::of(&head.method, &path) else {
            self.complain(format!("{} {path}: no such operation", head.method));
            return Ok(error(StatusCode::NOT_FOUND, words::Dialect::OpenAi, "no such operation"));
        };
        let behaviour = match head.headers.get("x-test").map(|told| serde_json::from_slice(told.as_bytes())) {
            None => Behaviour::default(),
            Some(Ok(behaviour)) => behaviour,
            Some(Err(problem)) => {
                self.complain(format!("x-test: {problem}"));
                Behaviour::default()
            }
        };
        for complaint in check::headers(&head.headers, dialect) {
            self.complain(format!("{path}: {complaint}"));
        }
        let asked: Value = match check::decoded(&head.headers, &body).and_then(|body| check::body(&body, dialect)) {
            Ok(asked) => asked,
            Err(complaint) => {
                self.complain(format!("{path}: {complaint}"));
                return Ok(error(StatusCode::BAD_REQUEST, dialect, &complaint));
            }
        };
        if let Some(status) = behaviour.status.and_then(|status| StatusCode::from_u16(status).ok()) {
            let mut response = error(status, dialect, "as told");
            if let Some(told) = &behaviour.error {
                *response.body_mut() = full(told.to_string());
            }
            for (name, value) in &behaviour.headers {
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
                response.headers_mut().insert(name, HeaderValue::from_str(value).map_err(io::Error::other)?);
            }
            self.remember(head.headers, body, Bytes::new());
            return Ok(response);
        }
        let mut reply = words::reply(dialect, &asked, &behaviour);
        if behaviour.pad_bytes > 0 {
            // White space before JSON means nothing.
            reply.insert(0, " ".repeat(behaviour.pad_bytes));
        }
        let id = self.remember(head.headers, body, Bytes::from(reply.concat()));
        tokio::time::sleep(behaviour.delay()).await;
        let is_stream = asked["stream"] == true;
        let mut response = Response::builder()
            .header("content-type", if is_stream { "text/event-stream; charset=utf-8" } else { "application/json" })
            .header("x-stand-in-id", &id)
            .header("x-request-id", format!("req_{id}"));
        for (name, value) in &behaviour.headers {
            response = response.header(name, value);
        }
        if let Some(encoding) = behaviour.content_encoding() {
            response = response.header("content-encoding", encoding);
        }
        let (body, length) = body::make(reply, is_stream, behaviour, connection);
        if let Some(length) = length {
            response = response.header("content-length", length);
        }
        response.body(body).map_err(io::Error::other)
    }
}

fn error(status: StatusCode, dialect: words::Dialect, message: &str) -> Response<Body> {
    let value = match dialect {
        words::Dialect::OpenAi => {
            json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": null } })
        }
        words::Dialect::Anthropic => {
            json!({ "type": "error", "error": { "type": "invalid_request_error", "message": message } })
        }
    };
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}
