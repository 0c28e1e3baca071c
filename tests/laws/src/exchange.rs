//! Whole exchanges.

use meterr_core::{
    dialect::{DialectId, Operation},
    effect::{Effect, LocalReply, Verdict},
    exchange::{Exchange, StreamEnd},
    head::Headers,
    host::{Host, NoProperties},
    service::Service,
    store::MemoryStore,
    time::Timestamp,
};
use serde_json::{Map, Value, json};

use crate::{cut::Cut, json::operations, tree::Tree};

/// Headers by name.
pub(crate) type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

/// One exchange as a client and a provider make it.
pub(crate) struct Plan<'a> {
    pub(crate) request: Pairs<'a>,
    pub(crate) request_body: &'a [u8],
    pub(crate) response: Pairs<'a>,
    pub(crate) response_body: &'a [u8],
    /// Whether the stream goes away after the last piece rather than end.
    pub(crate) is_cut: bool,
    pub(crate) header_hold: bool,
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// The data of the only event, without what differs from one run to the next; nothing if it is not metered.
    pub(crate) data: Option<Map<String, Value>>,
    /// The request's body as the provider gets it.
    upstream: Vec<u8>,
    /// The response's body as the client gets it.
    downstream: Vec<u8>,
    refusal: Option<LocalReply>,
}

const VOLATILE: [&str; 5] = ["writer", "seq", "duration_ms", "upstream_ms", "ttft_ms"];

fn service(header_hold: bool) -> Service {
    let extra: Vec<Value> = DialectId::ALL
        .iter()
        .map(|id| {
            let name = id.name().replace('.', "-");
            json!({ "id": name, "hosts": [format!("{name}.test")], "dialects": [id.name()], "inject_include_usage": true })
        })
        .collect();
    let config = json!({
        "identity": { "tenant": [{ "from": "header", "name": "x-tenant" }, { "from": "credential" }] },
        "providers": { "extra": extra },
        "limits": [{ "id": "tpm", "per": ["tenant", "model"], "unit": "tokens", "amount": 100_000, "reserve": "worst_case",
                     "window": { "kind": "fixed", "per": "minute" } }],
        "sink": { "cluster": "collector" },
        "tags": { "response_headers": if header_hold { "usage" } else { "limits" } },
        "header_hold": header_hold,
    });
    Service::configure(config.to_string().as_bytes(), Some("node"), 7, &|_| None).expect("a valid configuration")
}

impl Plan<'_> {
    /// Runs it with both bodies cut like that.
    pub(crate) fn run(&self, cut: Option<&Cut>) -> Outcome {
        let pieces = |body| cut.map_or_else(|| vec![body], |cut| cut.pieces(body));
        let mut world =
            World { service: service(self.header_hold), store: MemoryStore::default(), now: 0, effects: Vec::new() };
        let mut exchange = Exchange::default();
        let request = Headers::new(self.request.clone());
        let has_body = !self.request_body.is_empty();
        let (mut upstream, mut downstream, mut refusal) = (Vec::new(), Vec::new(), None);
        let mut verdict = world.step(|service, host| exchange.on_request_headers(&request, !has_body, service, host));
        if has_body {
            let pieces = pieces(self.request_body);
            for (nth, piece) in pieces.iter().enumerate() {
                if matches!(verdict, Verdict::Reply(_)) {
                    break;
                }
                let end = nth + 1 == pieces.len();
                if exchange.wants_request_body() {
                    verdict = world.step(|service, host| exchange.on_request_body(piece, end, service, host));
                }
                upstream.extend_from_slice(piece);
            }
        }
        if let Verdict::Reply(reply) = verdict {
            refusal = Some(reply);
        }
        for effect in &world.effects {
            if let Effect::SpliceRequestBody(splice) = effect {
                upstream = splice.apply(&upstream);
            }
        }
        let response = Headers::new(self.response.clone());
        let _verdict = world.step(|service, host| exchange.on_response_headers(&response, false, service, host));
        let pieces = pieces(self.response_body);
        for (nth, piece) in pieces.iter().enumerate() {
            let (end, before) = (nth + 1 == pieces.len() && !self.is_cut, world.effects.len());
            if exchange.wants_response_body() {
                let _verdict = world.step(|service, host| exchange.on_response_body(piece, end, service, host));
            }
            let replaced = world.effects[before..].iter().find_map(|effect| match effect {
                Effect::ReplaceResponseChunk(bytes) => Some(bytes.as_slice()),
                _ => None,
            });
            downstream.extend_from_slice(replaced.unwrap_or(piece));
        }
        let end = StreamEnd { code_details: Some("downstream_remote_disconnect".to_owned()), response_flags: None };
        for _ in 0..2 {
            world.step(|service, host| exchange.on_done(&end, service, host));
        }
        assert!(!exchange.is_open());
        Outcome { data: world.data(), upstream, downstream, refusal }
    }
}

struct World {
    service: Service,
    store: MemoryStore,
    now: u64,
    effects: Vec<Effect>,
}

impl World {
    fn step<T>(&mut self, run: impl FnOnce(&mut Service, &mut Host<'_>) -> T) -> T {
        self.now += 1;
        let now = Timestamp::from_secs(1_790_000_000).plus_millis(self.now);
        run(
            &mut self.service,
            &mut Host { store: &self.store, properties: &NoProperties, now, effects: &mut self.effects },
        )
    }

    /// The data of the only event.
    fn data(&self) -> Option<Map<String, Value>> {
        let mut events = self.effects.iter().filter_map(|effect| match effect {
            Effect::SetFilterState("meterr", bytes) => Some(bytes),
            _ => None,
        });
        let event = events.next()?;
        assert!(events.next().is_none(), "one exchange, one event");
        let mut event: Value = serde_json::from_slice(event).expect("an event is JSON");
        let Value::Object(mut data) = event["data"].take() else { panic!("an event has data") };
        check(&data);
        data.retain(|name, _| !VOLATILE.contains(&name.as_str()));
        Some(data)
    }
}

/// What holds for the data of every event.
fn check(data: &Map<String, Value>) {
    for (name, value) in data {
        match name.as_str() {
            "labels" => assert!(value.is_object()),
            "limits" => assert!(value.is_array()),
            _ if name.ends_with("_tokens") || name.ends_with("_ms") => assert!(value.is_u64(), "{name}: {value}"),
            _ => assert!(!value.is_null() && !value.is_object() && !value.is_array(), "{name}: {value}"),
        }
        if name.starts_with("cost_") && name.ends_with("_usd") {
            let text = value.as_str().expect("money is a text");
            assert!(text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{name}: {text}");
        }
    }
    let count = |name: &str| data.get(name).and_then(Value::as_u64);
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    if let (Some(input), Some(output), Some(total)) =
        (count("input_tokens"), count("output_tokens"), count("total_tokens"))
    {
        assert_eq!(total, input.saturating_add(output), "{data:?}");
    }
    if let (Some(input), Some(uncached)) = (count("input_tokens"), count("input_uncached_tokens")) {
        let cached = count("cache_read_tokens").unwrap_or(0).saturating_add(count("cache_write_tokens").unwrap_or(0));
        assert_eq!(input, uncached.saturating_add(cached), "{data:?}");
    }
    // What is part of a count is no more than that count, or the event says so.
    if !["cache_other_scale", "total_mismatch"].iter().any(|flag| text("usage_flags").contains(flag)) {
        for (part, whole) in [
            ("cache_read_tokens", "input_tokens"),
            ("cache_write_tokens", "input_tokens"),
            ("reasoning_tokens", "output_tokens"),
        ] {
            assert!(count(whole).is_none_or(|whole| count(part).unwrap_or(0) <= whole), "{part}: {data:?}");
        }
    }
    let outcomes = ["rejected", "provider_error", "completed", "client_aborted", "upstream_reset"];
    assert!(outcomes.contains(&text("outcome")), "{data:?}");
    assert_eq!(text("outcome") == "completed", !data.contains_key("reason"), "{data:?}");
    if ["none", "missing"].contains(&text("usage_status")) {
        assert_eq!((count("input_tokens"), count("output_tokens")), (None, None), "{data:?}");
    }
    if text("cost_status") == "unpriced" {
        assert!(!data.contains_key("cost_usd"), "{data:?}");
    }
}

/// What holds for the request's body that goes upstream: it is the client's own, or that and nothing more than the usage option.
fn spliced(sent: &[u8], got: &[u8], is_signed: bool) {
    if sent == got {
        return;
    }
    assert!(!is_signed, "a signed request is never changed");
    let Some(tree) = Tree::parse(sent) else { return };
    if tree.has_doubles() {
        return;
    }
    let mut sent: Value = serde_json::from_slice(sent).expect("JSON");
    let got: Value =
        serde_json::from_slice(got).unwrap_or_else(|error| panic!("what goes upstream is no JSON: {error}"));
    let options = sent.as_object_mut().expect("an object").entry("stream_options").or_insert(json!({}));
    if options.is_null() {
        *options = json!({});
    }
    options["include_usage"] = json!(true);
    assert_eq!(got, sent, "only the option is added");
}

const STATUS: [&str; 6] = ["200", "200", "200", "429", "500", "x"];
const TYPES: [&str; 8] = [
    "application/json",
    "text/event-stream",
    "application/x-ndjson",
    "application/vnd.amazon.eventstream",
    "text/plain",
    "",
    "audio/mpeg",
    "text/event-stream; charset=utf-8",
];
const ENCODINGS: [Option<&str>; 8] =
    [None, None, None, None, Some("gzip"), Some("deflate"), Some("br"), Some("identity")];

/// How many bytes of an input say what the exchange is.
pub(crate) const PLAN: usize = 6;

/// A path that means the operation.
pub(crate) fn path(operation: &Operation) -> String {
    format!("/v1/{}", operation.paths[0].replace("{model}", "m").replace("{id}", "x"))
}

/// Any bytes as the bodies of an exchange of any dialect: one event that adds up, and the same however they are cut; the bodies pass as
/// they are but for what meterr says that it changes.
pub fn exchange(data: &[u8]) {
    let (cut, rest) = Cut::take(data);
    let Some(([pick, kind, status, what, len @ ..], rest)) = rest.split_first_chunk::<PLAN>() else { return };
    let all: Vec<_> = operations().collect();
    let operation = all[usize::from(*pick) % all.len()];
    let (request_body, response_body) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
    let (host, path) = (format!("{}.test", operation.dialect_name().replace('.', "-")), path(operation));
    let length = request_body.len().to_string();
    let mut request: Pairs<'_> = vec![
        (b":method", operation.method.as_bytes()),
        (b":authority", host.as_bytes()),
        (b":path", path.as_bytes()),
        (b"content-length", length.as_bytes()),
    ];
    let is_signed = what & 1 != 0;
    if is_signed {
        request.push((b"authorization", b"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/bedrock/aws4_request"));
    }
    if what & 2 != 0 {
        request.push((b"content-encoding", b"gzip"));
    }
    let mut response: Pairs<'_> = vec![
        (b":status", STATUS[usize::from(*status) % STATUS.len()].as_bytes()),
        (b"content-type", TYPES[usize::from(kind & 7)].as_bytes()),
    ];
    let encoding = ENCODINGS[usize::from(kind >> 3 & 7)];
    if let Some(encoding) = encoding {
        response.push((b"content-encoding", encoding.as_bytes()));
    }
    let plan =
        Plan { request, request_body, response, response_body, is_cut: what & 4 != 0, header_hold: what & 8 != 0 };
    let whole = plan.run(None);
    assert!(whole.data.is_some(), "{operation:?} is not metered");
    let other = plan.run(Some(&cut));
    if encoding.is_none() && what & 2 == 0 {
        assert_eq!(other, whole, "cut otherwise");
    } else {
        // How much of a broken compressed body is decoded depends on where it is cut.
        assert_eq!(
            (other.upstream, other.downstream),
            (whole.upstream.clone(), whole.downstream.clone()),
            "cut otherwise"
        );
    }
    if whole.refusal.is_none() {
        spliced(request_body, &whole.upstream, is_signed);
    }
    if whole.upstream == request_body {
        assert_eq!(whole.downstream, response_body, "nothing was asked for, and something was hidden");
    }
}
