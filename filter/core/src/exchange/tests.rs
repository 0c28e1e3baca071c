mod jobs;
mod queue;

use proptest::prelude::*;
use serde_json::{Value, json};

mod encodings;
mod holds;

use super::*;
use crate::{
    effect::LocalReply,
    host::NoProperties,
    store::{MemoryStore, SharedStore, StoreError, Version},
    time::Timestamp,
};

mod backpressure;
mod no_room;
mod refusals;

/// A store that counts how often it is asked, by the first letters of the key.
#[derive(Debug, Default)]
struct CountingStore {
    inner: MemoryStore,
    asked: core::cell::RefCell<Vec<Vec<u8>>>,
}

impl CountingStore {
    fn asked(&self, prefix: &[u8]) -> usize {
        self.asked.borrow().iter().filter(|key| key.starts_with(prefix)).count()
    }

    fn note(&self, key: &[u8]) {
        self.asked.borrow_mut().push(key.to_vec());
    }
}

impl SharedStore for CountingStore {
    fn read(&self, key: &[u8]) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.note(key);
        self.inner.read(key)
    }

    fn swap(&self, key: &[u8], value: &[u8], version: Version) -> Result<(), StoreError> {
        self.note(key);
        self.inner.swap(key, value, version)
    }

    fn create(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.note(key);
        self.inner.create(key, value)
    }

    fn write(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.note(key);
        self.inner.write(key, value)
    }
}

/// One worker with one service, a store of its own and a clock that moves a millisecond with each callback.
pub(super) struct World {
    service: Service,
    store: CountingStore,
    now: Timestamp,
    pub(super) effects: Vec<Effect>,
}

const BASE: u64 = 1_790_000_000;
const KEY: &str = "sk-planted-secret-0123456789";
const PROMPT: &str = "planted prompt about a whale";

impl World {
    pub(super) fn new(limits: &Value) -> Self {
        Self::of(&json!({
            "header_hold": true,
            "identity": { "tenant": [{ "from": "header", "name": "x-tenant" }, { "from": "constant", "value": "acme" }] },
            "limits": limits,
            "sink": { "cluster": "collector" },
        }))
    }

    fn of(config: &Value) -> Self {
        let service = Service::configure(config.to_string().as_bytes(), Some("node-1"), 7, &|_| None).expect("valid");
        Self { service, store: CountingStore::default(), now: Timestamp::from_secs(BASE), effects: Vec::new() }
    }

    pub(super) fn step<T>(&mut self, run: impl FnOnce(&mut Service, &mut Host<'_>) -> T) -> T {
        self.now = self.now.plus_millis(1);
        run(
            &mut self.service,
            &mut Host { store: &self.store, properties: &NoProperties, now: self.now, effects: &mut self.effects },
        )
    }

    fn request(&mut self, exchange: &mut Exchange, more: &[(&str, &str)], body: &Value) -> Verdict {
        let body = body.to_string();
        let length = body.len().to_string();
        let bearer = format!("Bearer {KEY}");
        let mut headers = vec![
            (":method", "POST"),
            (":authority", "api.openai.com"),
            (":path", "/v1/chat/completions"),
            ("content-type", "application/json"),
            ("authorization", &*bearer),
            ("content-length", &*length),
            ("accept-encoding", "gzip, deflate, br"),
        ];
        headers.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
        headers.extend_from_slice(more);
        let headers = view(&headers);
        match self.step(|service, host| exchange.on_request_headers(&headers, false, service, host)) {
            Verdict::Reply(reply) => Verdict::Reply(reply),
            Verdict::Continue | Verdict::Pause => {
                self.step(|service, host| exchange.on_request_body(body.as_bytes(), true, service, host))
            }
        }
    }

    fn response(&mut self, exchange: &mut Exchange, headers: &[(&str, &str)]) {
        let headers = view(headers);
        let verdict = self.step(|service, host| exchange.on_response_headers(&headers, false, service, host));
        assert_eq!(verdict, Verdict::Continue);
    }

    fn body(&mut self, exchange: &mut Exchange, body: &str, end: bool) {
        let verdict = self.step(|service, host| exchange.on_response_body(body.as_bytes(), end, service, host));
        assert_eq!(verdict, Verdict::Continue);
    }

    pub(super) fn done(&mut self, exchange: &mut Exchange, details: &str) {
        let end = StreamEnd { code_details: Some(details.to_owned()), response_flags: None };
        self.step(|service, host| exchange.on_done(&end, service, host));
    }

    fn events(&self) -> Vec<Value> {
        let event = |effect: &Effect| match effect {
            Effect::SetFilterState("meterr", bytes) => Some(serde_json::from_slice(bytes).expect("an event is JSON")),
            _ => None,
        };
        self.effects.iter().filter_map(event).collect()
    }

    /// The filter state that later filters see under that key.
    fn state(&self, wanted: &str) -> Option<String> {
        self.effects.iter().rev().find_map(|effect| written(effect, wanted))
    }

    fn data(&self) -> Value {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "one exchange, one event");
        events.remove(0)["data"].take()
    }
}

/// What is written to filter state under that key, if that is what the effect does.
pub(super) fn written(effect: &Effect, key: &str) -> Option<String> {
    match effect {
        Effect::SetFilterState(name, bytes) if *name == key => Some(String::from_utf8_lossy(bytes).into_owned()),
        Effect::SetFilterStateNumber(name, number) if *name == key => Some(number.to_string()),
        _ => None,
    }
}

pub(super) fn view<'a>(headers: &[(&'a str, &'a str)]) -> Headers<'a> {
    Headers::new(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect())
}

fn chat(stream: bool) -> Value {
    json!({ "model": "gpt-4o-mini", "stream": stream, "messages": [{ "role": "user", "content": PROMPT }] })
}

const REPLY: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,
"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":34,
"total_tokens":46,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":10}}}"#;
const JSON: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/json")];
const SSE: &[(&str, &str)] = &[(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")];
const DELTA: &str = "data: {\"id\":\"c\",\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello world\"},\
    \"finish_reason\":null}],\"usage\":null}\n\n";
const LAST: &str =
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n";
const USAGE: &str = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":9,\"total_tokens\":16}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

pub(super) fn tpm(amount: u64, reserve: &str) -> Value {
    json!([{ "id": "tpm", "per": ["tenant"], "unit": "tokens", "amount": amount, "reserve": reserve,
             "notify_at": [], "window": { "kind": "fixed", "per": "minute" } }])
}

#[test]
fn ok_a_reply_becomes_one_event() {
    let (mut world, mut exchange) = (World::new(&json!([])), Exchange::default());
    assert_eq!(world.request(&mut exchange, &[("x-request-id", "r-1")], &chat(false)), Verdict::Continue);
    world.response(&mut exchange, JSON);
    world.body(&mut exchange, REPLY, true);
    world.done(&mut exchange, "via_upstream");
    let data = world.data();
    let expected = json!({
        "tenant": "acme", "provider": "openai", "dialect": "openai.chat", "operation": "chat", "request_id": "r-1",
        "request_model": "gpt-4o-mini", "response_model": "gpt-4o-mini-2024-07-18", "stream": false, "status": 200,
        "outcome": "completed", "usage_status": "reported", "input_tokens": 12, "output_tokens": 34, "total_tokens": 46,
        "cache_read_tokens": 4, "input_uncached_tokens": 8, "reasoning_tokens": 10, "finish_reason": "stop",
        "billable": true, "seq": 1, "schema": 1,
        // 8 × 0.15 + 4 × 0.075 + 34 × 0.60 USD per million
        "cost_usd": "0.0000219", "cost_status": "priced",
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&data[name], value, "{name}");
    }
}

#[test]
fn ok_the_usage_chunk_is_asked_for_and_hidden() {
    let (mut world, mut exchange) = (World::new(&json!([])), Exchange::default());
    assert_eq!(world.request(&mut exchange, &[], &chat(true)), Verdict::Continue);
    let splice = world.effects.iter().find_map(|effect| match effect {
        Effect::SpliceRequestBody(splice) => Some(splice.clone()),
        _ => None,
    });
    let sent: Value =
        serde_json::from_slice(&splice.expect("a splice").apply(chat(true).to_string().as_bytes())).expect("JSON");
    assert_eq!(sent["stream_options"], json!({ "include_usage": true }));
    let length =
        Effect::SetRequestHeader("content-length".into(), sent.to_string().len().to_string().into_bytes().into());
    assert!(world.effects.contains(&length), "{:?}", world.effects);
    world.response(&mut exchange, SSE);
    let whole = [DELTA, LAST, USAGE, DONE].concat();
    world.body(&mut exchange, &whole, true);
    assert!(world.effects.contains(&Effect::ReplaceResponseChunk([DELTA, LAST, DONE].concat().into_bytes())));
    let data = world.data();
    assert_eq!((&data["input_tokens"], &data["output_tokens"]), (&json!(7), &json!(9)));
    assert_eq!(data["outcome"], "completed");
}

#[test]
fn ok_an_aborted_stream_settles_with_an_estimate() {
    let (mut world, mut exchange) = (World::new(&tpm(1_000, "worst_case")), Exchange::default());
    let mut body = chat(true);
    body["max_tokens"] = json!(100);
    assert_eq!(world.request(&mut exchange, &[], &body), Verdict::Continue);
    world.response(&mut exchange, SSE);
    world.body(&mut exchange, DELTA, false);
    world.done(&mut exchange, "downstream_remote_disconnect");
    let data = world.data();
    assert_eq!((&data["outcome"], &data["usage_status"]), (&json!("client_aborted"), &json!("estimated")));
    assert!(data["output_tokens"].as_u64().expect("estimated") >= 2, "{data}");
    let limit = &data["limits"][0];
    assert!(limit["held"].as_u64() > limit["settled"].as_u64(), "the surplus of the hold is given back: {limit}");
    assert_eq!(limit["remaining"], json!(1_000 - limit["settled"].as_i64().expect("settled")));
}

#[test]
fn ok_who_cut_a_stream_is_told() {
    for (details, outcome, reason) in [
        ("downstream_remote_disconnect", "client_aborted", "client_disconnect"),
        ("http2.remote_reset", "client_aborted", "client_disconnect"),
        ("downstream_local_disconnect(filter_chain_is_being_removed)", "client_aborted", "proxy_disconnect"),
        ("upstream_reset_after_response_started{protocol_error}", "upstream_reset", "upstream_disconnect"),
    ] {
        let (mut world, mut exchange) = (World::new(&json!([])), Exchange::default());
        assert_eq!(world.request(&mut exchange, &[], &chat(true)), Verdict::Continue);
        world.response(&mut exchange, SSE);
        world.body(&mut exchange, DELTA, false);
        world.done(&mut exchange, details);
        let data = world.data();
        assert_eq!((&data["outcome"], &data["reason"]), (&json!(outcome), &json!(reason)), "{details}");
    }
}

#[test]
fn ok_a_client_that_leaves_after_the_last_record_has_completed() {
    let (mut world, mut exchange) = (World::new(&json!([])), Exchange::default());
    assert_eq!(world.request(&mut exchange, &[], &chat(true)), Verdict::Continue);
    world.response(&mut exchange, SSE);
    world.body(&mut exchange, &[DELTA, LAST, USAGE, DONE].concat(), false);
    world.done(&mut exchange, "downstream_remote_disconnect");
    assert_eq!(world.data()["outcome"], "completed");
}

#[test]
fn ok_a_refusal_is_an_event_and_charges_nothing() {
    let (mut world, mut exchange) = (World::new(&tpm(40, "expected")), Exchange::default());
    assert_eq!(world.request(&mut exchange, &[], &chat(false)), Verdict::Continue, "clamped to the amount");
    let mut second = Exchange::default();
    let Verdict::Reply(LocalReply { status, headers, body, .. }) = world.request(&mut second, &[], &chat(false)) else {
        panic!("the limit is full");
    };
    assert_eq!(status, 429);
    assert!(headers.iter().any(|(name, _)| name == "retry-after"), "{headers:?}");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains("tpm")), "{body}");
    world.response(&mut second, &[(":status", "429"), ("content-type", "application/json")]);
    world.done(&mut second, "meterr_limit");
    let data = world.data();
    assert_eq!(
        (&data["outcome"], &data["billable"], &data["status"]),
        (&json!("rejected"), &json!(false), &json!(429))
    );
    assert_eq!(data["usage_status"], "none");
}

#[test]
fn ok_later_filters_see_who_pays_before_the_request_goes_on() {
    let (mut world, mut exchange) = (World::new(&json!([])), Exchange::default());
    assert_eq!(world.request(&mut exchange, &[("x-tenant", "globex")], &chat(false)), Verdict::Continue);
    assert_eq!(
        (world.state("meterr_tenant").as_deref(), world.state("meterr_provider").as_deref()),
        (Some("globex"), Some("openai"))
    );
    assert_eq!(world.state("meterr_charged_input_tokens"), None, "nothing is charged yet");
}

#[test]
fn ok_what_is_charged_outside_is_an_estimate_where_nobody_said() {
    let (mut world, mut exchange) = (World::new(&json!([])), Exchange::default());
    assert_eq!(world.request(&mut exchange, &[], &chat(false)), Verdict::Continue);
    world.response(&mut exchange, &[JSON, &[("content-encoding", "zstd")]].concat());
    world.body(&mut exchange, REPLY, true);
    assert_eq!(world.data()["usage_status"], "missing");
    assert_eq!(world.state("meterr_input_tokens").as_deref(), Some("0"));
    let charged = |key| world.state(key).expect("written").parse::<u64>().expect("a number");
    let [input, output] = ["meterr_charged_input_tokens", "meterr_charged_output_tokens"].map(charged);
    assert!(input > 0, "a request of {PROMPT:?} was sent");
    assert!(world.effects.contains(&Effect::SetHitsAddend(input + output)));
}

#[test]
fn ok_what_is_free_is_charged_nowhere() {
    let (mut world, mut exchange) = (World::new(&json!([])), Exchange::default());
    let count = [(":authority", "api.anthropic.com"), (":path", "/v1/messages/count_tokens")];
    assert_eq!(world.request(&mut exchange, &count, &chat(false)), Verdict::Continue);
    assert_eq!(world.state("meterr_tenant"), None, "no budget is asked");
    world.response(&mut exchange, JSON);
    world.body(&mut exchange, r#"{"input_tokens":2095}"#, true);
    assert_eq!(world.data()["billable"], false);
    assert_eq!(world.state("meterr_input_tokens").as_deref(), Some("2095"));
    assert_eq!(world.state("meterr_charged_input_tokens").as_deref(), Some("0"));
    assert!(world.effects.contains(&Effect::SetHitsAddend(0)));
}

#[test]
fn ok_headers_of_ours_and_of_identity_go_no_further() {
    let (mut world, mut exchange) = (World::new(&json!([])), Exchange::default());
    let planted = [("x-meterr-provider", "evil"), ("x-tenant", "beta")];
    assert_eq!(world.request(&mut exchange, &planted, &chat(false)), Verdict::Continue);
    for name in ["x-meterr-provider", "x-tenant"] {
        assert!(world.effects.contains(&Effect::RemoveRequestHeader(name.into())), "{name}");
    }
    world.done(&mut exchange, "downstream_remote_disconnect");
    assert_eq!(world.data()["tenant"], "beta");
}

#[test]
fn ok_other_paths_make_no_event() {
    let (mut world, mut exchange) = (World::new(&json!([])), Exchange::default());
    let headers = view(&[(":method", "GET"), (":authority", "api.openai.com"), (":path", "/v1/models")]);
    let verdict = world.step(|service, host| exchange.on_request_headers(&headers, true, service, host));
    assert_eq!(verdict, Verdict::Continue);
    world.done(&mut exchange, "via_upstream");
    assert!(world.events().is_empty());
    assert!(world.effects.contains(&Effect::Measure(Metric::Unmetered("other_path"), 1)));
}

/// Plays a reply that reports its usage.
fn reported(world: &mut World, body: &Value) {
    let mut exchange = Exchange::default();
    assert_eq!(world.request(&mut exchange, &[], body), Verdict::Continue);
    world.response(&mut exchange, JSON);
    world.body(&mut exchange, REPLY, true);
}

fn held(world: &mut World, body: &Value, more: &[(&str, &str)]) -> u64 {
    world.effects.clear();
    let mut exchange = Exchange::default();
    assert_eq!(world.request(&mut exchange, more, body), Verdict::Continue);
    world.done(&mut exchange, "downstream_remote_disconnect");
    world.data()["limits"][0]["held"].as_u64().expect("a hold")
}

#[test]
fn ok_what_is_usual_is_held_once_enough_was_seen() {
    let mut world = World::new(&tpm(1_000_000, "expected"));
    let mut capped = chat(false);
    capped["max_tokens"] = json!(100);
    let at_first = held(&mut world, &chat(false), &[]);
    assert!((4_096..4_120).contains(&at_first), "{at_first}");
    for _ in 0..15 {
        reported(&mut world, &chat(false));
    }
    assert_eq!(held(&mut world, &chat(false), &[]), at_first, "fifteen are not enough");
    reported(&mut world, &chat(false));
    assert_eq!(held(&mut world, &chat(false), &[]), 34 + 12);
    assert_eq!(held(&mut world, &capped, &[]), 34 + 12, "a cap is not what is usual");
    capped["max_tokens"] = json!(20);
    assert_eq!(held(&mut world, &capped, &[]), 20 + 12, "and never passed");
    capped["n"] = json!(3);
    assert_eq!(held(&mut world, &capped, &[]), 3 * 20 + 12);
    // Whose length is not announced is not held until its body is read.
    for more in [("content-length", "x"), ("upgrade", "h2c")] {
        let unread = held(&mut world, &chat(false), &[more]);
        assert_eq!(unread, 34 + 12, "what such requests usually are");
        let read = |effect: &Effect| matches!(effect, Effect::SetRequestHeader(name, _) if name == "x-meterr-model");
        assert!(!world.effects.iter().any(read), "{more:?}");
    }
}

#[test]
fn ok_a_cut_stream_is_estimated_by_what_was_learned_and_within_its_cap() {
    let mut world = World::new(&json!([]));
    for _ in 0..4 {
        reported(&mut world, &chat(false));
    }
    let mut cut = |cap: Option<u64>| {
        world.effects.clear();
        let mut body = chat(true);
        if let Some(cap) = cap {
            body["max_tokens"] = json!(cap);
        }
        let mut exchange = Exchange::default();
        assert_eq!(world.request(&mut exchange, &[], &body), Verdict::Continue);
        world.response(&mut exchange, SSE);
        world.body(&mut exchange, DELTA, false);
        world.done(&mut exchange, "downstream_remote_disconnect");
        let data = world.data();
        assert_eq!(data["usage_flags"], "output_estimated,input_estimated");
        (data["input_tokens"].as_u64().expect("input"), data["output_tokens"].as_u64().expect("output"))
    };
    assert_eq!(cut(None).0, 12, "as it was reported for the same prompt");
    assert!(cut(None).1 >= 34, "replies of this model have 29 tokens that nobody sees");
    assert_eq!(cut(Some(10)), (12, 10));
}

#[derive(Clone, Debug)]
enum Callback {
    RequestBody(bool),
    RequestTrailers,
    ResponseHeaders(u8, bool),
    ResponseBody(u8, bool),
    ResponseTrailers,
    Overdue,
}

fn callbacks() -> impl Strategy<Value = Vec<Callback>> {
    let one = prop_oneof![
        any::<bool>().prop_map(Callback::RequestBody),
        Just(Callback::RequestTrailers),
        (0..4u8, any::<bool>()).prop_map(|(kind, end)| Callback::ResponseHeaders(kind, end)),
        (0..6u8, any::<bool>()).prop_map(|(piece, end)| Callback::ResponseBody(piece, end)),
        Just(Callback::ResponseTrailers),
        Just(Callback::Overdue),
    ];
    prop::collection::vec(one, 0..12)
}

proptest! {
    /// One outcome: whatever order callbacks come in, an exchange settles once, and nothing secret leaves by another way
    /// than upstream.
    #[test]
    fn one_outcome_and_no_secrets(order in callbacks(), limited in any::<bool>()) {
        let limits = if limited { tpm(100_000, "worst_case") } else { json!([]) };
        let (mut world, mut exchange) = (World::new(&limits), Exchange::default());
        let bearer = format!("Bearer {KEY}");
        let headers = view(&[
            (":method", "POST"), (":authority", "api.openai.com"), (":path", "/v1/chat/completions?key=planted-query"),
            ("authorization", &bearer), ("content-length", "100"),
        ]);
        let _held = world.step(|service, host| exchange.on_request_headers(&headers, false, service, host));
        let body = chat(true).to_string();
        for callback in &order {
            let _verdict = world.step(|service, host| match callback {
                Callback::RequestBody(end) => exchange.on_request_body(body.as_bytes(), *end, service, host),
                Callback::RequestTrailers => exchange.on_request_trailers(service, host),
                Callback::ResponseHeaders(kind, end) => {
                    let headers = match kind {
                        0 => view(JSON),
                        1 => view(SSE),
                        2 => view(&[(":status", "500")]),
                        _ => Headers::default(),
                    };
                    exchange.on_response_headers(&headers, *end, service, host)
                }
                Callback::ResponseBody(piece, end) => {
                    let text = [DELTA, LAST, USAGE, DONE, REPLY, "\u{0}{]"][usize::from(*piece)];
                    exchange.on_response_body(text.as_bytes(), *end, service, host)
                }
                Callback::ResponseTrailers => exchange.on_response_trailers(service, host),
                Callback::Overdue => exchange.on_body_overdue(service, host),
            });
        }
        world.done(&mut exchange, "downstream_remote_disconnect");
        world.done(&mut exchange, "downstream_remote_disconnect");
        prop_assert_eq!(world.events().len(), 1);
        prop_assert!(!exchange.is_open());
        for effect in &world.effects {
            let text = format!("{effect:?}");
            let told = match effect {
                // The bytes of the stream itself are the client's own.
                Effect::ReplaceResponseChunk(_) | Effect::SpliceRequestBody(_) => false,
                Effect::SetFilterState(_, bytes) => {
                    let text = String::from_utf8_lossy(bytes);
                    [KEY, PROMPT, "planted-query", "Hello world"].iter().any(|secret| text.contains(secret))
                }
                _ => [KEY, PROMPT, "planted-query", "Hello world"].iter().any(|secret| text.contains(secret)),
            };
            prop_assert!(!told, "{}", text);
        }
    }
}

#[test]
fn ok_limits_are_charged_with_what_another_model_took() {
    let mut world = World::new(&tpm(1_000_000, "expected"));
    let mut exchange = Exchange::default();
    let _admitted = world.request(
        &mut exchange,
        &[(":path", "/v1/responses")],
        &json!({ "model": "gpt-4o-mini", "input": "Draw." }),
    );
    world.response(&mut exchange, JSON);
    let told = r#"{"model":"gpt-4o-mini","status":"completed","usage":{"input_tokens":7,"output_tokens":5,"total_tokens":12},
        "tool_usage":{"image_gen":{"input_tokens":20,"output_tokens":300,"total_tokens":320}}}"#;
    world.body(&mut exchange, told, true);
    let data = world.data();
    let counts =
        ["total_tokens", "other_model_input_tokens", "other_model_output_tokens"].map(|name| data[name].as_u64());
    assert_eq!(counts, [Some(12), Some(20), Some(300)], "{data}");
    assert_eq!((&data["limits"][0]["settled"], &data["cost_status"]), (&json!(332), &json!("partial")), "{data}");
}
