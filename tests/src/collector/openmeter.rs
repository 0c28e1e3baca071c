//! OpenMeter's ingest API as it documents itself, as strict as its first version: the content type to the byte, 204 for what it takes, 400 with a
//! problem (RFC 7807) at the first fault. It keeps each event once by source and id, also those of a batch that came before its fault.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::HeaderMap};
use meterr_core::time::Timestamp;
use serde_json::{Value, json};

use crate::server::{Body, Connection, Handler, Server, full};

/// Where events are posted.
pub const PATH: &str = "/api/v1/events";

/// A running stand-in.
#[derive(Debug)]
pub struct OpenMeter {
    server: Server,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    token: String,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By source and id.
    events: BTreeMap<(String, String), Value>,
    duplicates: u64,
    /// What was wrong with each POST that was refused.
    problems: Vec<String>,
    /// Batches and single events that were taken.
    posts: [u64; 2],
    refused_subject: Option<String>,
}

impl OpenMeter {
    /// Starts on that loopback port, 0 for any, and takes only what bears that token.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn start(port: u16, token: &str) -> Result<Self> {
        let state = Arc::new(State { token: token.to_owned(), kept: Mutex::default() });
        Ok(Self { server: Server::start(port, Arc::clone(&state))?, state })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.state.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, events of this subject are faults.
    pub fn refuse_subject(&self, subject: &str) {
        self.kept().refused_subject = Some(subject.to_owned());
    }

    /// The events that it has, each once.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.kept().events.values().cloned().collect()
    }

    /// Events that it had already when they came.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.kept().duplicates
    }

    /// Batches and single events that it took.
    #[must_use]
    pub fn posts(&self) -> [u64; 2] {
        self.kept().posts
    }

    /// What was wrong with each POST that it refused.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.kept().problems.clone()
    }

    /// What a meter with aggregation `SUM` says: of that property of `data`, a number or a numeric text, grouped by another, over all events of
    /// that type.
    #[must_use]
    pub fn sum(&self, kind: &str, property: &str, group_by: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for event in self.kept().events.values().filter(|event| event["type"] == kind) {
            let value = &event["data"][property];
            let value = value.as_f64().or_else(|| value.as_str()?.parse().ok());
            if let Some(value) = value {
                // What is no scalar groups as an empty text.
                let group = event["data"][group_by].as_str().unwrap_or_default().to_owned();
                *sums.entry(group).or_insert(0.0) += value;
            }
        }
        sums
    }
}

impl Handler for State {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Connection) -> io::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let bearer = format!("Bearer {}", self.token);
        let answer = match (head.uri.path(), &head.method) {
            (PATH, &Method::POST) if header(&head.headers, "authorization") != Some(&bearer) => {
                problem(StatusCode::UNAUTHORIZED, "the token is not valid")
            }
            (PATH, &Method::POST) => {
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                match kept.ingest(&head.headers, &body) {
                    Ok(()) => {
                        let mut empty = Response::new(full(""));
                        *empty.status_mut() = StatusCode::NO_CONTENT;
                        empty
                    }
                    Err(fault) => {
                        kept.problems.push(fault.clone());
                        problem(StatusCode::BAD_REQUEST, &fault)
                    }
                }
            }
            (PATH, _) => problem(StatusCode::METHOD_NOT_ALLOWED, "events are posted"),
            _ => problem(StatusCode::NOT_FOUND, "there is no such page"),
        };
        Ok(answer)
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    let (value, None) = (all.next()?, all.next()) else { return None };
    value.to_str().ok()
}

fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    let response = Response::builder().status(status).header("content-type", "application/problem+json");
    response.body(full(body.to_string())).unwrap_or_else(|_| Response::new(full("")))
}

impl Kept {
    fn ingest(&mut self, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        if headers.contains_key("content-encoding") {
            return Err("the body is compressed".to_owned());
        }
        let kind = header(headers, "content-type");
        let parsed = serde_json::from_slice::<Value>(body).map_err(|error| format!("no JSON: {error}"))?;
        let is_batch = match (kind, &parsed) {
            (Some("application/cloudevents+json"), Value::Object(_)) => false,
            (Some("application/cloudevents-batch+json"), Value::Array(_)) => true,
            (Some("application/json"), Value::Object(_) | Value::Array(_)) => parsed.is_array(),
            (kind, _) => return Err(format!("content type {kind:?} does not go with this body")),
        };
        let events = if let Value::Array(events) = parsed { events } else { vec![parsed] };
        for event in events {
            let names = check(&event)?;
            if self.refused_subject.as_ref().is_some_and(|subject| event["subject"] == **subject) {
                return Err(format!("the subject of {} is refused", names.1));
            }
            self.duplicates += u64::from(self.events.insert(names, event).is_some());
        }
        self.posts[usize::from(!is_batch)] += 1;
        Ok(())
    }
}

/// Source and id of an event, or its first fault.
fn check(event: &Value) -> Result<(String, String), String> {
    let attributes = event.as_object().ok_or("an event is no object")?;
    for name in attributes.keys() {
        // CloudEvents 1.0, "Naming Conventions".
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(format!("{name} is no name of an attribute"));
        }
    }
    let required = |name: &str| match &event[name] {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        other => Err(format!("{name} is {other}")),
    };
    if required("specversion")? != "1.0" {
        return Err("specversion is not 1.0".to_owned());
    }
    let (source, id) = (required("source")?, required("id")?);
    required("type")?;
    required("subject")?;
    // A URI reference: RFC 3986 knows neither spaces nor controls nor these.
    if source.chars().any(|c| c.is_whitespace() || c.is_control() || "<>\"{}|\\^`".contains(c)) {
        return Err(format!("source {source} is no URI reference"));
    }
    match &event["time"] {
        Value::Null if !attributes.contains_key("time") => {}
        Value::String(time) if is_rfc3339(time) => {}
        other => return Err(format!("time is {other}")),
    }
    match event.get("datacontenttype") {
        None => {}
        Some(kind) if kind == "application/json" => {}
        Some(other) => return Err(format!("datacontenttype is {other}")),
    }
    match event.get("data") {
        Some(Value::Object(_)) => Ok((source, id)),
        other => Err(format!("data is {other:?}")),
    }
}

/// As Go's `time.RFC3339` reads it: digits, `T` and `Z` where they belong, and a date that there is.
fn is_rfc3339(time: &str) -> bool {
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else { return false };
    let zone = rest.strip_prefix('.').map_or(rest, |fraction| fraction.trim_start_matches('0'));
    let has_fraction = rest.len() > zone.len() + 1;
    // The 30th of February is read as another day.
    let day = &time[..10];
    let is_day = Timestamp::from_rfc3339(&format!("{day}T00:00:00Z")).is_some_and(|at| at.rfc3339().starts_with(day));
    matches!(zone, "Z" | "+00:00" | "-00:00")
        && (has_fraction || rest.len() == zone.len())
        && is_day
        && Timestamp::from_rfc3339(time).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_times() {
        for time in ["2027-01-15T08:00:00Z", "2027-01-15T08:00:00.1+02:00", "2027-01-15T08:00:00.123456789-05:30"] {
            assert!(is_rfc3339(time), "{time}");
        }
        for time in [
            "2027-01-15 08:00:00Z",
            "2027-01-15T08:00:00",
            "2027-01-15T08:00:00.Z",
            "2027-02-30T08:00:00Z",
            "2027-1-15T08:00:00Z",
            "2027-01-15t08:00:00z",
        ] {
            assert!(!is_rfc3339(time), "{time}");
        }
    }

    fn event() -> Value {
        json!({ "specversion": "1.0", "id": "1", "source": "urn:x", "type": "t", "subject": "s", "time": "2027-01-15T08:00:00.123Z",
                "datacontenttype": "application/json", "data": { "model": "m", "tokens": 3, "cost": "0.5" } })
    }

    fn posted(server: &OpenMeter, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let client = reqwest::blocking::Client::new();
        let request = client.post(format!("http://{}{PATH}", server.address()));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.body(body.to_owned()).send().expect("an answer");
        (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().expect("a body")).unwrap_or_default())
    }

    const TOKEN: (&str, &str) = ("authorization", "Bearer om-test");
    const ONE: &str = "application/cloudevents+json";
    const BATCH: &str = "application/cloudevents-batch+json";

    #[test]
    fn ok_what_is_right_is_taken_once_and_summed() {
        let server = OpenMeter::start(0, "om-test").expect("a port");
        let mut other = event();
        other["id"] = json!("2");
        let without = |name: &str| {
            let mut event = event();
            event.as_object_mut().expect("an object").remove(name);
            event
        };
        assert_eq!(posted(&server, &[TOKEN, ("content-type", ONE)], &event().to_string()).0, 204);
        let both = json!([event(), other]).to_string();
        for kind in [BATCH, "application/json"] {
            assert_eq!(posted(&server, &[TOKEN, ("content-type", kind)], &both), (204, Value::Null));
        }
        for optional in ["time", "datacontenttype"] {
            assert_eq!(posted(&server, &[TOKEN, ("content-type", ONE)], &without(optional).to_string()).0, 204);
        }
        assert_eq!((server.events().len(), server.duplicates(), server.posts()), (2, 5, [2, 3]));
        assert_eq!(server.sum("t", "tokens", "model"), BTreeMap::from([("m".to_owned(), 6.0)]));
        assert_eq!(server.sum("t", "cost", "model")["m"], 1.0);
        assert!(server.sum("t", "model", "model").is_empty() && server.sum("u", "tokens", "model").is_empty());
        assert_eq!(server.problems(), Vec::<String>::new());
    }

    #[test]
    fn err_each_fault_is_refused() {
        let server = OpenMeter::start(0, "om-test").expect("a port");
        let mut faults = Vec::new();
        let with = |name: &str, value: Value| {
            let mut event = event();
            event[name] = value;
            event
        };
        for name in ["specversion", "id", "source", "type", "subject", "data"] {
            let mut event = event();
            event.as_object_mut().expect("an object").remove(name);
            faults.push(event);
            faults.push(with(name, Value::Null));
            faults.push(with(name, json!("")));
            faults.push(with(name, json!(1)));
        }
        faults.extend([
            with("specversion", json!("0.3")),
            with("source", json!("urn:a b")),
            with("time", json!("yesterday")),
            with("time", json!("2027-01-15 08:00:00")),
            with("time", json!(1_800_000_000)),
            with("time", Value::Null),
            with("datacontenttype", json!("text/plain")),
            with("data", json!([1])),
            with("dataContentType", json!("application/json")),
            json!([]),
            json!("event"),
        ]);
        for fault in &faults {
            let (status, problem) = posted(&server, &[TOKEN, ("content-type", ONE)], &fault.to_string());
            assert_eq!((status, &problem["status"]), (400, &json!(400)), "{fault}");
            assert!(problem["detail"].is_string() && problem["title"] == "Bad Request", "{problem}");
            let batch = json!([fault]).to_string();
            assert_eq!(posted(&server, &[TOKEN, ("content-type", BATCH)], &batch).0, 400, "{batch}");
        }
        let (one, both) = (event().to_string(), json!([event()]).to_string());
        for (kind, body) in [
            ("application/cloudevents-batch+json; charset=utf-8", &both),
            ("application/cloudevents-batch+JSON", &both),
            ("application/x-ndjson", &one),
            (BATCH, &one),
            (ONE, &both),
            (BATCH, &both[..both.len() - 1].to_owned()),
        ] {
            assert_eq!(posted(&server, &[TOKEN, ("content-type", kind)], body).0, 400, "{kind}: {body}");
        }
        assert_eq!(posted(&server, &[TOKEN], &both).0, 400);
        assert_eq!(posted(&server, &[TOKEN, ("content-type", BATCH), ("content-encoding", "gzip")], &both).0, 400);
        assert_eq!(posted(&server, &[("content-type", BATCH)], &both).0, 401);
        assert_eq!(posted(&server, &[("authorization", "Bearer other"), ("content-type", BATCH)], &both).0, 401);
        assert_eq!(server.problems().len(), 2 * faults.len() + 8);
        assert!(server.events().is_empty());
    }

    #[test]
    fn err_what_came_before_the_fault_stays() {
        let server = OpenMeter::start(0, "om-test").expect("a port");
        let named = |id: &str, subject: &str| {
            let mut event = event();
            (event["id"], event["subject"]) = (json!(id), json!(subject));
            event
        };
        server.refuse_subject("bad");
        let batch = json!([named("1", "s"), named("2", "bad"), named("3", "s")]).to_string();
        assert_eq!(posted(&server, &[TOKEN, ("content-type", BATCH)], &batch).0, 400);
        assert_eq!((server.events().len(), server.posts()), (1, [0, 0]));
        assert_eq!(server.events()[0]["id"], "1");
    }
}
