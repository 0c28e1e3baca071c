//! Reads a response as it passes: encoding, framing, dialect, counters.

mod hosted;
pub mod iteration;
pub mod message;
mod repeat;
mod snapshot;

pub use snapshot::{Counters, Snapshot};

use repeat::{Repeats, Texts};
use snapshot::Class;

use core::ops::Range;

use super::{Flag, Flags, Usage, UsageStatus, check, estimate::Estimate, number};
use crate::{
    dialect::{Counting, Operation},
    frame::{
        base64_member::Base64Member,
        eventstream::{EventFramer, EventSink},
        inflate::{Encoding, InflateError, Inflater},
        sse::{self, SseFramer, SseSink},
    },
    head::Headers,
    json::scan::{End, Field, MAX_TEXT, Scanner, Value},
    time::Timestamp,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// The first byte will tell.
    Undecided,
    /// One document.
    Json,
    /// One document after another.
    Documents,
    Sse,
    /// An AWS event stream.
    Events,
    /// Not ours to read.
    Opaque,
}

/// Reads one response.
///
/// Memory: that of the scanner, the framer and, for a compressed body, the inflater.
#[derive(Debug)]
pub struct Meter {
    framing: Framing,
    is_stream: bool,
    is_plain: bool,
    inflater: Option<Inflater>,
    framer: SseFramer,
    events: EventFramer,
    records: Records,
    repeats: Repeats,
    is_finished: bool,
}

/// Takes records apart.
#[derive(Debug)]
struct Records {
    operation: &'static Operation,
    scanner: Scanner,
    now: Timestamp,
    snapshot: Snapshot,
    /// First bytes of the record's data, to know the end marker.
    head: Vec<u8>,
    kind: Vec<u8>,
    has_output_count: bool,
    /// The event is none of those that are read.
    is_skipped: bool,
    /// The vendor's record in an event's payload.
    wrapped: Base64Member,
    class: Class,
    /// Where the text of the event stands in its document, and how many texts it has.
    text: (Range<u64>, u32),
    /// Events that ended since it was last looked.
    ended: u32,
}

impl Meter {
    /// At the start of a body under these response headers.
    #[must_use]
    #[inline(never)]
    pub fn new(
        operation: &'static Operation,
        status: u32,
        content_type: &[u8],
        content_encoding: Option<&[u8]>,
    ) -> Self {
        let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |name: &[u8]| media_type.eq_ignore_ascii_case(name);
        let is_sse = is(b"text/event-stream");
        let is_events = is(b"application/vnd.amazon.eventstream");
        // Ollama; Cohere's first version; others.
        let lines =
            [&b"application/x-ndjson"[..], b"application/ndjson", b"application/stream+json", b"application/jsonl"];
        let is_documents = lines.into_iter().any(is);
        let is_stream = is_sse || is_events || is_documents;
        let binary = [&b"audio/"[..], b"image/", b"video/"];
        let is_binary = binary.iter().any(|kind| media_type.len() > kind.len() && media_type.starts_with(kind));
        let encoding = content_encoding.map_or(Some(Encoding::Identity), Encoding::from_header);
        let service_tier = operation.service_tier.map(str::to_owned);
        let mut snapshot = Snapshot { status, is_stream, service_tier, ..Snapshot::default() };
        if encoding.is_none() {
            snapshot.unreadable = true;
            snapshot.flags.insert(Flag::UnreadableEncoding);
        }
        Self {
            framing: match () {
                () if is_sse => Framing::Sse,
                () if is_events => Framing::Events,
                () if is_documents => Framing::Documents,
                () if is_binary => Framing::Opaque,
                // Servers say text/plain or nothing for JSON, and JSON for streams: the first byte knows better.
                () => Framing::Undecided,
            },
            is_stream,
            is_plain: encoding == Some(Encoding::Identity),
            inflater: encoding.map(Inflater::new),
            framer: SseFramer::default(),
            events: EventFramer::default(),
            records: Records {
                operation,
                scanner: Scanner::new(if is_stream { operation.record } else { operation.reply }),
                now: Timestamp::default(),
                snapshot,
                head: Vec::new(),
                kind: Vec::new(),
                has_output_count: false,
                is_skipped: false,
                wrapped: Base64Member::default(),
                class: Class::default(),
                text: (0..0, 0),
                ended: 0,
            },
            repeats: Repeats::default(),
            is_finished: false,
        }
    }

    /// Takes the counters and the terms of service that response headers tell. What the body says later wins.
    #[must_use]
    pub fn with_headers(mut self, headers: &Headers<'_>) -> Self {
        for (name, field) in self.records.operation.header_counters {
            let value = headers.get(name).map(<[u8]>::trim_ascii);
            if let Some(count) = value.and_then(|value| number::counter(Value::Number(value))) {
                self.records.snapshot.count(*field, count);
            }
        }
        // Bedrock's, where the body is the vendor's own: botocore 1.44 bedrock-runtime, `InvokeModelResponse`.
        let text = |name| headers.text(name).filter(|text| text.len() <= MAX_TEXT).map(str::to_owned);
        let snapshot = &mut self.records.snapshot;
        snapshot.service_tier = text("x-amzn-bedrock-service-tier").or(snapshot.service_tier.take());
        snapshot.speed = text("x-amzn-bedrock-performanceconfig-latency");
        self
    }

    /// Whether the headers announce a stream.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Whether the headers announce server-sent events.
    #[must_use]
    pub fn is_sse(&self) -> bool {
        self.framing == Framing::Sse
    }

    /// Whether the body is not compressed.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Whether the model has written something.
    #[must_use]
    pub const fn has_output(&self) -> bool {
        self.records.snapshot.first_output.is_some()
    }

    /// Takes the next piece if it is nothing but events that repeat the one before, text apart; else it is to be pushed. When it came makes
    /// no difference.
    pub fn repeats(&mut self, piece: &[u8]) -> bool {
        let Some((texts, [])) = self.repeats.leading(piece) else { return false };
        self.repeated(texts);
        true
    }

    fn repeated(&mut self, Texts { weight, bytes }: Texts) {
        let snapshot = &mut self.records.snapshot;
        snapshot.text = snapshot.text.saturating_add(weight);
        snapshot.text_bytes = snapshot.text_bytes.saturating_add(bytes);
    }

    /// Takes the next piece of the body as it passes. Events that come together are taken one by one: fast models and slow networks make
    /// pieces of many, and those repeat each other as well.
    pub fn push(&mut self, mut bytes: &[u8], now: Timestamp) {
        loop {
            if let Some((texts, rest)) = self.repeats.leading(bytes) {
                self.repeated(texts);
                bytes = rest;
            }
            let Some((event, rest)) = self.first_of_several(bytes) else { break };
            self.push_one(event, now);
            bytes = rest;
        }
        self.push_one(bytes, now);
    }

    /// Splits off the first event, or the rest of one, if more follows.
    fn first_of_several<'b>(&self, bytes: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
        if !self.is_plain || self.framing != Framing::Sse {
            return None;
        }
        let (first, rest) = bytes.split_at_checked(sse::end_of_first(bytes)?)?;
        (!rest.is_empty()).then_some((first, rest))
    }

    /// Takes a piece that is one event, a part of one, or of anything else.
    fn push_one(&mut self, bytes: &[u8], now: Timestamp) {
        let is_between = self.is_plain && self.framing == Framing::Sse && self.framer.is_between();
        self.records.ended = 0;
        self.read(bytes, now);
        let (text, texts) = core::mem::take(&mut self.records.text);
        // The time of the first output is kept: what repeats comes after it.
        if is_between && self.framer.is_between() && self.records.ended == 1 && texts == 1 && self.has_output() {
            self.repeats.learn(bytes, text, &self.records.snapshot);
        } else if !bytes.is_empty() {
            self.repeats.forget();
        }
    }

    fn read(&mut self, bytes: &[u8], now: Timestamp) {
        let Self { framing, inflater, framer, events, records, .. } = self;
        records.now = now;
        let Some(inflate) = inflater else { return };
        let read = inflate.push(bytes, &mut |mut decoded| {
            if *framing == Framing::Undecided {
                // White space before the first byte that tells belongs to nothing, wherever the body is cut.
                decoded = decoded.trim_ascii_start();
                *framing = sniff(decoded);
                if *framing == Framing::Sse && records.operation.may_be_opaque {
                    // A transcript may begin like an event; events are announced as such.
                    *framing = Framing::Opaque;
                }
                if matches!(framing, Framing::Sse | Framing::Events) {
                    records.scanner = Scanner::new(records.operation.record);
                }
            }
            match framing {
                Framing::Json | Framing::Documents => {
                    if records.documents(decoded, *framing == Framing::Documents) {
                        *framing = Framing::Documents;
                    }
                }
                Framing::Sse => framer.push(decoded, records),
                Framing::Events => {
                    if !events.push(decoded, records) {
                        records.unreadable();
                        *framing = Framing::Opaque;
                    }
                }
                Framing::Undecided | Framing::Opaque => {}
            }
        });
        if let Err(error) = read {
            let snapshot = &mut records.snapshot;
            snapshot.unreadable = !snapshot.counters.says_something();
            snapshot.flags.insert(match error {
                InflateError::Malformed => Flag::MalformedBody,
                InflateError::TooLarge => Flag::OutputCapExceeded,
            });
            *inflater = None;
        }
    }

    /// Says that no more comes.
    pub fn finish(&mut self) {
        if core::mem::replace(&mut self.is_finished, true) {
            return;
        }
        match self.framing {
            Framing::Sse => self.framer.finish(&mut self.records),
            Framing::Json => self.records.end_of_json(),
            Framing::Documents => self.records.end_of_record(),
            Framing::Events => {
                if !self.events.is_between() {
                    self.records.snapshot.is_truncated = true;
                    self.records.snapshot.flags.insert(Flag::MalformedBody);
                }
            }
            Framing::Undecided => {}
            Framing::Opaque => self.records.unreadable(),
        }
        let snapshot = &mut self.records.snapshot;
        if snapshot.sums.is_some() {
            snapshot.sum();
            snapshot.counters = snapshot.sums.as_deref().copied().unwrap_or_default();
        }
    }

    /// What the response has said so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.records.snapshot.clone()
    }

    /// What the response has said, at its end.
    #[must_use]
    pub fn into_snapshot(self) -> Snapshot {
        self.records.snapshot
    }
}

/// What a body is by its first byte.
fn sniff(bytes: &[u8]) -> Framing {
    match bytes.first() {
        None => Framing::Undecided,
        Some(b'{' | b'[') => Framing::Json,
        // The length of a message; its checksum will tell.
        Some(0) => Framing::Events,
        Some(b'd' | b'e' | b'i' | b'r' | b':' | 0xef) => Framing::Sse,
        Some(_) => Framing::Opaque,
    }
}

impl SseSink for Records {
    #[inline]
    fn data(&mut self, bytes: &[u8]) {
        if self.is_skipped {
            return;
        }
        let room = 8_usize.saturating_sub(self.head.len());
        self.head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if self.scan(bytes) < bytes.len() {
            // One event, one document: what follows it is none.
            self.snapshot.flags.insert(Flag::MalformedBody);
        }
    }

    fn event_name(&mut self, name: &[u8]) {
        self.is_skipped = self.operation.skipped_events.is_some_and(|prefix| name.starts_with(prefix.as_bytes()));
    }

    #[inline]
    fn end_of_event(&mut self, _end: usize, has_data: bool) {
        if has_data && !core::mem::take(&mut self.is_skipped) {
            if self.operation.end_marker.is_some_and(|marker| self.head.starts_with(marker)) {
                self.snapshot.terminal = true;
            } else {
                self.end_of_record();
            }
        }
        self.head.clear();
        self.scanner.reset();
        self.ended = self.ended.saturating_add(1);
    }
}

impl EventSink for Records {
    fn begin(&mut self, kind: &[u8], is_exception: bool) {
        self.kind.clear();
        self.kind.extend_from_slice(kind.get(..64).unwrap_or(kind));
        self.snapshot.error |= is_exception;
        self.wrapped = Base64Member::default();
    }

    fn payload(&mut self, bytes: &[u8]) {
        if !self.operation.in_base64 {
            self.scan(bytes);
            return;
        }
        let mut wrapped = core::mem::take(&mut self.wrapped);
        wrapped.push(bytes, &mut |decoded| {
            self.scan(decoded);
        });
        self.wrapped = wrapped;
    }

    fn end(&mut self, is_intact: bool) {
        if !is_intact {
            self.snapshot.flags.insert(Flag::MalformedBody);
        }
        self.end_of_record();
        self.scanner.reset();
    }
}

impl Records {
    fn unreadable(&mut self) {
        self.snapshot.unreadable = !self.snapshot.counters.says_something();
        if !self.operation.may_be_opaque {
            self.snapshot.flags.insert(Flag::MalformedBody);
        }
    }

    /// Takes documents, one after another; `true` if there is more than one.
    fn documents(&mut self, mut bytes: &[u8], mut many: bool) -> bool {
        while !bytes.is_empty() {
            if self.scanner.is_complete() {
                let at = bytes.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != 0x1e);
                let Some(rest) = at.and_then(|at| bytes.get(at..)) else { return many };
                bytes = rest;
                self.end_of_record();
                // What has been read as a whole reply was a record.
                if core::mem::replace(&mut many, true) {
                    self.scanner.reset();
                } else {
                    self.scanner = Scanner::new(self.operation.record);
                }
            }
            let used = self.scan(bytes);
            let Some(rest) = bytes.get(used..) else { return many };
            bytes = rest;
        }
        many
    }

    /// Takes bytes of one document; how many belong to it.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        let Self { scanner, snapshot, kind, now, has_output_count, class, operation, text, .. } = self;
        scanner.push_one(bytes, &mut |found| {
            if found.field == Field::RecordType
                && let Value::Text { head, .. } = found.value
            {
                kind.clear();
                kind.extend_from_slice(head.get(..64).unwrap_or(head));
            }
            if found.field == Field::OutputText && matches!(found.value, Value::Text { .. }) {
                // Without its quotes.
                *text = (found.start.saturating_add(1)..found.end.saturating_sub(1), text.1.saturating_add(1));
            }
            *has_output_count |= found.field == Field::Output && matches!(found.value, Value::Number(_));
            snapshot.take(&found, class, operation, *now);
        })
    }

    fn end_of_record(&mut self) {
        let end = self.scanner.finish(&mut |_| {});
        let is_whole = matches!(end, End::Complete | End::Empty);
        if !is_whole {
            self.snapshot.flags.insert(Flag::MalformedBody);
        }
        self.snapshot.is_truncated = !is_whole;
        self.snapshot.terminal |= core::mem::take(&mut self.snapshot.says_last) && is_whole;
        let kind = core::mem::take(&mut self.kind);
        let is = |name: &str| name.as_bytes() == kind;
        if core::mem::take(&mut self.has_output_count) {
            self.snapshot.is_placeholder = self.operation.start_record.is_some_and(is);
        }
        let is_end = is_whole && self.operation.end_records.iter().copied().any(is);
        self.snapshot.terminal |= is_end;
        if is_end && let Some(field) = self.operation.counted_records {
            let count = self.snapshot.counters.get(field).unwrap_or(0);
            self.snapshot.counters.set(field, count.saturating_add(1));
        }
        self.snapshot.error |= self.operation.error_records.iter().copied().any(is);
    }

    fn end_of_json(&mut self) {
        match self.scanner.finish(&mut |_| {}) {
            End::Complete => {
                self.snapshot.terminal = true;
                let is = |name: &&str| name.as_bytes() == self.kind;
                self.snapshot.error |= self.operation.error_records.iter().any(is);
            }
            End::Malformed => {
                self.snapshot.unreadable = !self.snapshot.counters.says_something();
                self.snapshot.flags.insert(Flag::MalformedBody);
            }
            End::Incomplete => self.snapshot.is_truncated = true,
            End::Empty => {}
        }
    }
}

/// The usage of a request that went out and got no response.
#[must_use]
pub fn estimate_unanswered(estimate: Estimate) -> Usage {
    estimated(estimate, Flags::NONE)
}

fn estimated(estimate: Estimate, flags: Flags) -> Usage {
    let mut usage = Usage { input: estimate.input, output: estimate.output, flags, ..Usage::default() };
    if usage.input.is_some() {
        usage.flags.insert(Flag::InputEstimated);
    }
    if usage.output.is_some() {
        usage.flags.insert(Flag::OutputEstimated);
    }
    usage.status = if usage.input.or(usage.output).is_some() { UsageStatus::Estimated } else { UsageStatus::Missing };
    usage
}

/// The usage of a response. `cut` says that it ended before its time; `estimate` is asked where the provider's own counts do not do.
#[must_use]
#[inline(never)]
pub fn settle_usage(
    operation: &Operation,
    provider: &str,
    snapshot: &Snapshot,
    cut: bool,
    characters: Option<u64>,
    estimate: &mut dyn FnMut() -> Estimate,
) -> Usage {
    let failed = snapshot.status >= 400 || (snapshot.error && snapshot.text == 0 && snapshot.first_output.is_none());
    // Beside an error, zero says that nothing was consumed (MiniMax tells a total of zero).
    if !snapshot.counters.says_something() || (failed && snapshot.counters.are_zero()) {
        return if failed || !operation.is_billed() {
            Usage { flags: snapshot.flags, ..Usage::default() }
        } else if characters.is_some() || snapshot.seconds().is_some() {
            let audio_seconds = snapshot.seconds();
            Usage {
                status: UsageStatus::Reported,
                flags: snapshot.flags,
                audio_seconds,
                characters,
                ..Usage::default()
            }
        } else if snapshot.unreadable
            || !operation.is_estimable
            // A stream that is cut tells nothing of how it would have ended.
            || (snapshot.is_deferred && (snapshot.terminal || !snapshot.is_stream))
            || snapshot.has_bad_seconds
            || snapshot.counters.says_nonsense()
        {
            Usage { status: UsageStatus::Missing, flags: snapshot.flags, ..Usage::default() }
        } else {
            estimated(estimate(), snapshot.flags)
        };
    }
    let mut usage = check::usage(operation, provider, &snapshot.counters);
    usage.flags = usage.flags.and(snapshot.flags);
    usage.audio_seconds = snapshot.seconds();
    usage.characters = usage.characters.or(characters);
    // Where the provider has not counted them.
    let counted = |count: u64| Some(count).filter(|count| *count > 0);
    usage.web_searches = usage.web_searches.or_else(|| counted(snapshot.hosted.web_searches));
    usage.file_searches = usage.file_searches.or_else(|| counted(snapshot.hosted.file_searches));
    let (beside, beside_output) = snapshot.iterations.beside_headline().unzip();
    usage.iteration_input = beside;
    usage.iteration_output = beside_output;
    usage.other_input = snapshot.other_input.filter(|tokens| *tokens > 0);
    usage.other_output = snapshot.other_output.filter(|tokens| *tokens > 0);
    usage.status = UsageStatus::Reported;
    let is_final = snapshot.is_finished() && !snapshot.is_placeholder && usage.output.is_some();
    if !is_final && (cut || snapshot.error || snapshot.is_placeholder) {
        let estimate = estimate();
        usage.status = UsageStatus::Partial;
        if let Some(tokens) = estimate.output {
            usage.output = usage.output.max(Some(tokens)).max(usage.reasoning);
            usage.flags.insert(Flag::OutputEstimated);
        }
        if let (None, Some(tokens)) = (usage.input, estimate.input) {
            check::estimated_input(&mut usage, tokens);
        }
    } else if operation.is_billed() && usage.says_nothing() {
        // A server that knows how to say it and says that it was nothing.
        let has_content =
            if operation.counting == Counting::InputOnly { estimate().input.is_some() } else { snapshot.text > 0 };
        if has_content {
            usage = Usage { status: UsageStatus::Missing, flags: usage.flags, ..Usage::default() };
            usage.flags.insert(Flag::ZeroUsage);
        }
    }
    // What was said and is no number stays unknown: neither reported nor estimated.
    if usage.flags.contains(Flag::BadNumber) && usage.total().is_none() && !counts_no_tokens(&usage) {
        let nothing = usage.input.or(usage.output).is_none();
        usage.status = if nothing { UsageStatus::Missing } else { UsageStatus::Partial };
    }
    usage
}

/// Whether it is known how much of something other than tokens was consumed.
fn counts_no_tokens(usage: &Usage) -> bool {
    usage.input.or(usage.output).is_none()
        && (usage.search_units.or(usage.images).or(usage.pages).or(usage.characters).is_some()
            || usage.audio_seconds.is_some())
}

#[cfg(test)]
mod tests;
