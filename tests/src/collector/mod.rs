//! A small but honest collector: takes CloudEvents batches, keeps each event once in SQLite, reports gaps and usage.
//!
//! `POST /v1/events`, `POST /v1/missing` (for `scripts/reconcile`), `GET /v1/usage`, `GET /v1/gaps`, `GET /v1/events`, `GET /v1/stats`; `PUT /mode` makes it misbehave.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

pub mod openmeter;
mod store;

pub use store::Store;

use crate::server::{Body, Connection, Handler, Server, full};

/// How the collector misbehaves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mode {
    /// How it answers a batch:
    ///
    /// - `ok`, or nothing: it keeps the events and says so.
    /// - a status: it keeps nothing, and says that.
    /// - `reset`: it keeps nothing, and resets the connection once it has read the batch; `reset_mid_body` as soon as it has some of it.
    /// - `accept_then_reset`: it keeps the events, and nobody is told; `reset_mid_answer` tells half.
    /// - `wrong_content`: it keeps the events, and its answer's body is not what its headers say.
    /// - `no_http`: it keeps nothing, and its answer is no HTTP.
    /// - `stall`: it keeps nothing, and does not answer.
    pub mode: String,
    /// Seconds in `retry-after`.
    pub retry_after: Option<u64>,
    /// Milliseconds until it answers.
    pub delay_ms: u64,
}

/// A running collector. What it keeps stays in its file.
#[derive(Debug)]
pub struct Collector {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    store: Mutex<Store>,
    mode: Mutex<Mode>,
    complaints: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Collector {
    /// Starts on that loopback port, 0 for any, and goes on with what the file holds.
    ///
    /// # Errors
    /// If the port is taken or the file is no database.
    pub fn start(port: u16, file: &Path) -> Result<Self> {
        let state = Arc::new(State {
            store: Mutex::new(Store::open(file)?),
            mode: Mutex::default(),
            complaints: Mutex::default(),
        });
        Ok(Self { server: Server::start(port, Arc::clone(&state))?, state })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Misbehaves from now on, or behaves again.
    pub fn set_mode(&self, mode: Mode) {
        *lock(&self.state.mode) = mode;
    }

    /// What came that is no event as the contract has it.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        lock(&self.state.complaints).clone()
    }

    /// Runs a query on what is kept.
    pub fn with_store<T>(&self, run: impl FnOnce(&Store) -> T) -> T {
        run(&lock(&self.state.store))
    }
}

impl Handler for State {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, connection: Connection) -> io::Result<Response<Body>> {
        let (head, mut body) = request.into_parts();
        if head.method == Method::POST && head.uri.path() == "/v1/events" && lock(&self.mode).mode == "reset_mid_body" {
            let _some = body.frame().await;
            return reset(&connection);
        }
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let query = head.uri.query().unwrap_or_default().to_owned();
        match (&head.method, head.uri.path()) {
            (&Method::POST, "/v1/events") => {
                let mode = lock(&self.mode).clone();
                tokio::time::sleep(Duration::from_millis(mode.delay_ms)).await;
                match mode.mode.as_str() {
                    "reset" => return reset(&connection),
                    "stall" => {
                        tokio::time::sleep(Duration::from_secs(3_600)).await;
                        return Err(io::Error::other("stalled as told"));
                    }
                    "accept_then_reset" => {
                        let _kept = self.take(&head, &body);
                        return reset(&connection);
                    }
                    "reset_mid_answer" => {
                        let _kept = self.take(&head, &body);
                        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"new\"");
                        return reset(&connection);
                    }
                    "no_http" => {
                        connection.write(b"220 mail.example ESMTP\r\n");
                        return reset(&connection);
                    }
                    "wrong_content" => {
                        let _kept = self.take(&head, &body);
                        let mut response = Response::new(full("<html>It works!</html>"));
                        let headers = response.headers_mut();
                        headers.insert("content-type", HeaderValue::from_static("application/json"));
                        headers.insert("content-encoding", HeaderValue::from_static("gzip"));
                        return Ok(response);
                    }
                    "" | "ok" => {}
                    status => {
                        let status = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
                        let mut response =
                            answer(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &json!({ "error": "as told" }));
                        if let Some(secs) = mode.retry_after {
                            response.headers_mut().insert("retry-after", HeaderValue::from(secs));
                        }
                        return Ok(response);
                    }
                }
                Ok(match self.take(&head, &body) {
                    Ok(new) => answer(StatusCode::OK, &json!({ "new": new })),
                    Err(complaint) => {
                        lock(&self.complaints).push(complaint.clone());
                        answer(StatusCode::BAD_REQUEST, &json!({ "error": complaint }))
                    }
                })
            }
            (&Method::POST, "/v1/missing") => Ok(match serde_json::from_slice::<Vec<[String; 2]>>(&body) {
                Ok(names) => match lock(&self.store).missing(&names) {
                    Ok(missing) => answer(StatusCode::OK, &json!(missing)),
                    Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.to_string() })),
                },
                Err(error) => answer(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() })),
            }),
            (&Method::PUT, "/mode") => Ok(match serde_json::from_slice(&body) {
                Ok(mode) => {
                    *lock(&self.mode) = mode;
                    answer(StatusCode::OK, &json!({}))
                }
                Err(error) => answer(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() })),
            }),
            (&Method::GET, path) => {
                let store = lock(&self.store);
                let found = match path {
                    "/v1/usage" => store.usage(&query),
                    "/v1/gaps" => store.gaps(),
                    "/v1/events" => store.events(&query),
                    "/v1/stats" => store.stats(),
                    _ => return Ok(answer(StatusCode::NOT_FOUND, &json!({ "error": "no such page" }))),
                };
                Ok(match found {
                    Ok(value) => answer(StatusCode::OK, &value),
                    Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.to_string() })),
                })
            }
            _ => Ok(answer(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "no such method" }))),
        }
    }
}

fn reset(connection: &Connection) -> io::Result<Response<Body>> {
    connection.reset_on_close();
    Err(io::Error::other("reset as told"))
}

fn answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

impl State {
    /// Keeps a batch; how many of its events are new, or what is wrong with it.
    fn take(&self, head: &hyper::http::request::Parts, body: &[u8]) -> Result<usize, String> {
        let kind = head.headers.get("content-type").map(HeaderValue::as_bytes);
        if kind != Some(b"application/cloudevents-batch+json") {
            return Err(format!("content-type is {kind:?}"));
        }
        let events: Vec<Value> = serde_json::from_slice(body).map_err(|error| format!("no JSON array: {error}"))?;
        for event in &events {
            for name in ["specversion", "id", "source", "type", "subject", "time", "datacontenttype"] {
                if !event[name].is_string() {
                    return Err(format!("{name} is missing in {event}"));
                }
            }
            if !event["data"].is_object() || contains_null(&event["data"]) {
                return Err(format!("data is no object without nulls in {event}"));
            }
        }
        lock(&self.store).insert(&events).map_err(|error| error.to_string())
    }
}

fn contains_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(contains_null),
        Value::Object(members) => members.values().any(contains_null),
        _ => false,
    }
}
