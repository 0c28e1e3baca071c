//! Events and heartbeats as CloudEvents 1.0 JSON objects.

use super::{BackpressureState, UsageEvent};
use crate::{
    backpressure,
    delivery::Refusals,
    json::write::Object,
    limit::{Alert, LimitState, Subject, Unit, spec::Dimension},
    price::PicoUsd,
    time::Timestamp,
};

/// Version of the event's `data`.
const SCHEMA: u64 = 1;

/// Room for a usual event, in bytes.
const USUAL: usize = 2_048;

/// A usage event as JSON. `numbered` is its writer and `seq`; one that is told of only in a summary has none.
#[must_use]
pub fn encode(event: &UsageEvent, source: &str, numbered: Option<(u64, u64)>) -> Vec<u8> {
    let about = ("ai.meterr.usage.v1", event.tenant.as_str());
    envelope(USUAL, about, (&event.id_text(), event.time), source, numbered, |data| self::data(event, data))
}

/// An event of that kind about that subject, with what `write` says, who wrote it if it is numbered, and the version of all that.
fn envelope(
    room: usize,
    (kind, subject): (&str, &str),
    (id, time): (&str, Timestamp),
    source: &str,
    numbered: Option<(u64, u64)>,
    write: impl FnOnce(&mut Object),
) -> Vec<u8> {
    let mut out = Object::with_capacity(room);
    out.text("specversion", "1.0");
    out.text("id", id);
    out.text("source", source);
    out.text("type", kind);
    out.text("subject", subject);
    out.text("time", &time.rfc3339());
    out.text("datacontenttype", "application/json");
    out.object("data", |data| {
        write(data);
        if let Some((writer, seq)) = numbered {
            data.text("writer", &hex(writer));
            data.number("seq", seq);
        }
        data.number("schema", SCHEMA);
    });
    out.finish()
}

fn data(event: &UsageEvent, data: &mut Object) {
    data.text("tenant", &event.tenant);
    data.maybe_text("user", event.user.as_deref());
    data.maybe_text("key_id", event.key_id.as_deref());
    if !event.labels.is_empty() {
        data.object("labels", |labels| event.labels.iter().for_each(|(name, value)| labels.labelled(name, value)));
    }
    data.text("provider", &event.provider);
    data.text("dialect", event.dialect);
    data.text("operation", event.operation);
    data.text("endpoint", event.endpoint);
    data.maybe_text("request_model", event.request_model.as_deref());
    data.maybe_text("response_model", event.response_model.as_deref());
    data.maybe_text("response_id", event.response_id.as_deref());
    data.maybe_text("service_tier", event.service_tier.as_deref());
    if let Some(stream) = event.stream {
        data.flag("stream", stream);
    }
    data.maybe_text("finish_reason", event.finish_reason.as_deref());
    data.maybe_number("status", event.status.map(u64::from));
    data.text("outcome", event.outcome.code());
    data.maybe_text("reason", event.reason);
    usage(event, data);
    cost(event, data);
    data.flag("billable", event.billable);
    if !event.limits.is_empty() || event.backpressure.is_some() {
        data.array("limits", |list| {
            event.backpressure.iter().for_each(|state| list.object(|entry| backpressure(state, entry)));
            let mut reset = (0, String::new());
            event.limits.iter().for_each(|state| list.object(|entry| limit(state, &mut reset, entry)));
        });
    }
    data.maybe_number("queue_ms", event.queue_ms);
    data.number("duration_ms", event.duration_ms);
    data.maybe_number("ttft_ms", event.ttft_ms);
    data.maybe_number("upstream_ms", event.upstream_ms);
    data.maybe_text("request_id", event.request_id.as_deref());
    data.maybe_text("trace_id", event.trace_id.as_deref());
    data.maybe_text("span_id", event.span_id.as_deref());
}

fn usage(event: &UsageEvent, data: &mut Object) {
    let usage = &event.usage;
    data.text("usage_status", usage.status.code());
    let counts = [
        ("input_tokens", usage.input),
        ("output_tokens", usage.output),
        ("total_tokens", usage.total()),
        ("input_uncached_tokens", usage.input_uncached),
        ("cache_read_tokens", usage.cache_read),
        ("cache_read_audio_tokens", usage.cache_read_audio),
        ("cache_read_image_tokens", usage.cache_read_image),
        ("cache_write_tokens", usage.cache_write),
        ("cache_write_5m_tokens", usage.cache_write_5m),
        ("cache_write_1h_tokens", usage.cache_write_1h),
        ("input_audio_tokens", usage.input_audio),
        ("input_image_tokens", usage.input_image),
        ("input_video_tokens", usage.input_video),
        ("output_text_tokens", usage.output_text),
        ("reasoning_tokens", usage.reasoning),
        ("output_audio_tokens", usage.output_audio),
        ("output_image_tokens", usage.output_image),
        ("output_video_tokens", usage.output_video),
        ("citation_tokens", usage.citations),
        ("iteration_input_tokens", usage.iteration_input),
        ("iteration_output_tokens", usage.iteration_output),
        ("other_model_input_tokens", usage.other_input),
        ("other_model_output_tokens", usage.other_output),
        ("web_searches", usage.web_searches),
        ("file_searches", usage.file_searches),
        ("pages", usage.pages),
        ("annotated_pages", usage.annotated_pages),
        ("text_messages", usage.text_messages),
        ("search_units", usage.search_units),
        ("images", usage.images),
        ("characters", usage.characters),
    ];
    for (name, count) in counts {
        data.maybe_number(name, count);
    }
    if let Some(seconds) = &usage.audio_seconds {
        data.json("audio_seconds", seconds.as_bytes());
    }
    if !usage.flags.is_empty() {
        data.text("usage_flags", &usage.flags.to_string());
    }
}

fn cost(event: &UsageEvent, data: &mut Object) {
    let cost = &event.cost;
    let mut money = |name: &'static str, amount: Option<PicoUsd>| {
        if let Some(amount) = amount {
            data.text(name, &amount.to_string());
        }
    };
    money("cost_usd", cost.total);
    money("cost_input_usd", cost.input);
    money("cost_output_usd", cost.output);
    money("cost_cache_read_usd", cost.cache_read);
    money("cost_cache_write_usd", cost.cache_write);
    money("cost_other_usd", cost.other);
    data.text("cost_status", cost.status.code());
    data.maybe_text("cost_source", cost.source);
    data.maybe_text("cost_reported_usd", cost.reported.as_deref());
    data.maybe_text("priced_model", cost.priced_model.as_deref());
    data.maybe_text("price_version", cost.price_version.as_deref());
}

/// The provider does not say how much it allows: what is unknown is left out.
fn backpressure(state: &BackpressureState, entry: &mut Object) {
    entry.text("id", backpressure::LIMIT_ID);
    entry.text("unit", Unit::Requests.code());
    entry.number("held", 0);
    entry.number("settled", 0);
    entry.number("remaining", 0);
    entry.text("reset_at", &state.until.rfc3339());
    entry.text("decision", if state.is_rejected { "rejected" } else { "admitted" });
    entry.flag("would_reject", true);
}

/// `reset` is when the limit before resets, in seconds and as a text: windows of one length end together.
fn limit(state: &LimitState, reset: &mut (u64, String), entry: &mut Object) {
    entry.text("id", &state.id);
    entry.text("unit", state.unit.code());
    amounts(state, entry);
    if reset.0 != state.reset_at || reset.1.is_empty() {
        *reset = (state.reset_at, Timestamp::from_secs(state.reset_at).rfc3339());
    }
    entry.text("reset_at", &reset.1);
    entry.text("decision", state.decision);
    if let Some(would_reject) = state.would_reject {
        entry.flag("would_reject", would_reject);
    }
}

/// Amounts of money are texts, all others numbers.
fn amounts(state: &LimitState, entry: &mut Object) {
    let amounts = [
        ("amount", signed(state.amount)),
        ("held", signed(state.held)),
        ("settled", signed(state.settled)),
        ("remaining", state.remaining),
    ];
    for (name, number) in amounts {
        amount(entry, name, state.unit, number);
    }
}

fn amount(entry: &mut Object, name: &'static str, unit: Unit, number: i64) {
    if unit == Unit::Usd { entry.text(name, &unit.show(number)) } else { entry.number(name, number) }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// That a counter has passed a part of its amount, as JSON.
#[must_use]
pub fn alert(
    alert: &Alert,
    of: &Subject<'_>,
    (id, time): (uuid::Uuid, Timestamp),
    source: &str,
    numbered: (u64, u64),
) -> Vec<u8> {
    let Alert { state, per, part, used } = alert;
    let about = ("ai.meterr.limit.v1", &*state.id);
    envelope(640, about, (&id.to_string(), time), source, Some(numbered), |data| {
        data.text("limit", &state.id);
        data.text("unit", state.unit.code());
        amount(data, "amount", state.unit, signed(state.amount));
        data.text("threshold", &millionths(*part));
        amount(data, "used", state.unit, signed(*used));
        amount(data, "remaining", state.unit, state.remaining);
        data.text("reset_at", &Timestamp::from_secs(state.reset_at).rfc3339());
        let mut labels = Vec::new();
        for dimension in per.iter() {
            let value = of.value(dimension);
            match dimension {
                Dimension::Tenant => data.text("tenant", value),
                Dimension::User => data.text("user", value),
                Dimension::Key => data.text("key_id", value),
                Dimension::Provider => data.text("provider", value),
                Dimension::Model => data.text("request_model", value),
                Dimension::Label(name) => labels.push((name, value)),
            }
        }
        if !labels.is_empty() {
            data.object("labels", |object| labels.iter().for_each(|(name, value)| object.labelled(name, value)));
        }
    })
}

/// How often requests were refused in a minute, as JSON.
#[must_use]
pub fn refusals(group: &Refusals, (id, time): (uuid::Uuid, Timestamp), source: &str, numbered: (u64, u64)) -> Vec<u8> {
    let about = ("ai.meterr.rejected.v1", &*group.tenant);
    envelope(640, about, (&id.to_string(), time), source, Some(numbered), |data| {
        data.text("tenant", &group.tenant);
        data.text("provider", &group.provider);
        data.text("outcome", "rejected");
        data.text("reason", &group.reason);
        data.maybe_text("limit", Some(&*group.limit).filter(|limit| !limit.is_empty()));
        data.number("count", group.count);
        data.text("first_at", &group.first.rfc3339());
        data.text("last_at", &group.last.rfc3339());
        data.flag("billable", false);
    })
}

/// Millionths as a plain decimal.
fn millionths(number: u64) -> String {
    PicoUsd(u128::from(number) * 1_000_000).to_string()
}

/// What a writer says of itself now and then: how a collector knows that nothing is missing at the end.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    /// Its own id.
    pub id: uuid::Uuid,
    /// When.
    pub time: Timestamp,
    /// Who.
    pub writer: u64,
    /// The last sequence number given.
    pub last_seq: u64,
    /// Events taken over.
    pub accepted: u64,
    /// Events that the collector has.
    pub delivered: u64,
    /// Events that it will never take.
    pub dead_lettered: u64,
    /// Events that were dropped because the queue was full.
    pub dropped: u64,
    /// Events on their way.
    pub queued: u64,
}

/// A heartbeat as JSON.
#[must_use]
pub fn heartbeat(beat: &Heartbeat, source: &str) -> Vec<u8> {
    let about = ("ai.meterr.heartbeat.v1", &*hex(beat.writer));
    envelope(512, about, (&beat.id.to_string(), beat.time), source, Some((beat.writer, beat.last_seq)), |data| {
        data.number("accepted", beat.accepted);
        data.number("delivered", beat.delivered);
        data.number("dead_lettered", beat.dead_lettered);
        data.number("dropped", beat.dropped);
        data.number("queued", beat.queued);
    })
}

fn hex(writer: u64) -> String {
    format!("{writer:016x}")
}
