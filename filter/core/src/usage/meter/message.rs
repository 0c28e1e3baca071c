//! Reads the messages of a realtime connection, one after another, and puts what they say of a response together.

use super::snapshot::{Class, Snapshot};
use crate::{
    dialect::Operation,
    json::scan::{End, Field, Scanner, Shape, Value},
    time::Timestamp,
    usage::Flag,
};

/// Longest `type` of a message that is kept, in bytes.
const MAX_KIND: usize = 64;

/// What one message says.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Its `type`.
    pub kind: Vec<u8>,
    /// Whatever it says of a response, a session or a transcription.
    pub snapshot: Snapshot,
    /// Model that a client asks for.
    pub request_model: Option<String>,
    /// Model that transcribes the input from here on.
    pub transcription_model: Option<String>,
    /// Bytes that a millisecond of the audio takes that is given from here on.
    pub audio_rate: Option<u64>,
    /// An object that is no JSON to its end: whatever it was to say is lost.
    pub is_malformed: bool,
}

/// Reads the messages of one direction.
///
/// Memory: that of the scanner.
#[derive(Debug)]
pub struct MessageMeter {
    operation: &'static Operation,
    scanner: Scanner,
    message: Message,
    class: Class,
    is_object: Option<bool>,
}

impl MessageMeter {
    /// Before the first message; `shape` is what is wanted from each.
    #[must_use]
    pub fn new(operation: &'static Operation, shape: &'static Shape) -> Self {
        Self {
            operation,
            scanner: Scanner::new(shape),
            message: Message::default(),
            class: Class::default(),
            is_object: None,
        }
    }

    /// Takes bytes of a message.
    pub fn push(&mut self, bytes: &[u8], now: Timestamp) {
        let Self { operation, scanner, message, class, is_object } = self;
        if is_object.is_none() {
            *is_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).map(|byte| *byte == b'{');
        }
        let head = |value: Value<'_>| match value {
            Value::Text { head, .. } => Some(head.to_vec()),
            _ => None,
        };
        let name = |value: Value<'_>| {
            head(value).and_then(|name| String::from_utf8(name).ok()).filter(|name| !name.is_empty())
        };
        scanner.push(bytes, &mut |found| match found.field {
            Field::RecordType => {
                message.kind = head(found.value).unwrap_or_default();
                message.kind.truncate(MAX_KIND);
            }
            Field::RequestModel => message.request_model = name(found.value),
            Field::TranscriptionModel => message.transcription_model = name(found.value),
            Field::AudioFormat => message.audio_rate = head(found.value).map(|format| audio_rate(&format)),
            _ => message.snapshot.take(&found, class, operation, now),
        });
    }

    /// The message is whole.
    pub fn end(&mut self) -> Message {
        let end = self.scanner.finish(&mut |_| {});
        self.scanner.reset();
        self.class = Class::default();
        let mut message = core::mem::take(&mut self.message);
        let is_object = self.is_object.take() == Some(true);
        // Some servers send a word now and then, to keep the connection open: that is no loss.
        message.is_malformed = is_object && end != End::Complete;
        message
    }
}

/// Bytes of a millisecond of audio: 16 bits at 24 kHz (`pcm16`, `audio/pcm`), or 8 bits at 8 kHz (G.711: `g711_ulaw`, `audio/pcma`, …).
fn audio_rate(format: &[u8]) -> u64 {
    if matches!(format, b"pcm16" | b"audio/pcm") { PCM_RATE } else { 8 }
}

/// That of the format that a session has unless told otherwise.
pub const PCM_RATE: u64 = 48;

/// Milliseconds of the model's own audio that a token stands for: developers.openai.com, "Realtime costs".
const MILLIS_PER_AUDIO_TOKEN: u64 = 50;

impl Snapshot {
    /// Takes over what a later message says of the same response.
    pub fn add(&mut self, later: Self) {
        self.error |= later.error;
        self.model = later.model.or(self.model.take());
        self.id = later.id.or(self.id.take());
        self.service_tier = later.service_tier.or(self.service_tier.take());
        self.reported_cost = later.reported_cost.or(self.reported_cost.take());
        self.finish_reason = later.finish_reason.or(self.finish_reason.take());
        self.audio_seconds = later.audio_seconds.or(self.audio_seconds.take());
        self.counters.overwrite(&later.counters);
        self.flags = self.flags.and(later.flags);
    }

    /// Takes over what a message gives of the response's output. `audio_rate` says that it is audio in Base64, and how many bytes a
    /// millisecond of it takes.
    pub fn add_output(&mut self, delta: &Self, audio_rate: Option<u64>) {
        self.first_output = self.first_output.or(delta.first_output);
        match audio_rate {
            None => {
                self.text_ascii = self.text_ascii.saturating_add(delta.text_ascii);
                self.text_non_ascii = self.text_non_ascii.saturating_add(delta.text_non_ascii);
            }
            Some(rate) => {
                let bytes = delta.text_ascii.saturating_div(4).saturating_mul(3);
                self.audio_micros =
                    self.audio_micros.saturating_add(bytes.saturating_mul(1_000).checked_div(rate).unwrap_or(0));
            }
        }
    }

    /// Tokens that the audio given so far is, by its length.
    pub(super) const fn audio_tokens(&self) -> u64 {
        self.audio_micros.div_ceil(1_000 * MILLIS_PER_AUDIO_TOKEN)
    }

    /// Says that a part of what it stands for could not be read.
    pub fn unreadable(&mut self, flag: Flag) {
        self.unreadable = !self.counters.says_something();
        self.flags.insert(flag);
    }

    /// Seconds of audio that the session has taken so far: a plain decimal.
    #[must_use]
    pub fn audio_seconds(&self) -> Option<&str> {
        self.audio_seconds.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::DialectId;

    fn read(pieces: &[&str]) -> Message {
        let operation = DialectId::OpenAiRealtime.operations()[0];
        let mut meter = MessageMeter::new(operation, operation.record);
        // What came before leaves nothing behind.
        meter
            .push(br#"{"type":"response.done","response":{"id":"old","usage":{"input_tokens":1"#, Timestamp::default());
        assert!(meter.end().is_malformed);
        for piece in pieces {
            meter.push(piece.as_bytes(), Timestamp::default());
        }
        meter.end()
    }

    #[test]
    fn ok_a_session_says_its_models_and_its_format() {
        let message = read(&[
            r#"{"type":"session.updated","session":{"type":"realtime","model":"gpt-realtime","audio":{"input":{"format":"#,
            r#"{"type":"audio/pcm"},"transcription":{"model":"whisper-1"}},"output":{"format":{"type":"audio/pcmu"}}}}}"#,
        ]);
        assert_eq!((message.kind.as_slice(), message.is_malformed), (&b"session.updated"[..], false));
        assert_eq!(message.snapshot.model.as_deref(), Some("gpt-realtime"));
        assert_eq!((message.transcription_model.as_deref(), message.audio_rate), (Some("whisper-1"), Some(8)));
        let beta = read(&[r#"{"type":"session.created","session":{"model":"gpt-4o-realtime-preview",
            "output_audio_format":"pcm16","input_audio_transcription":{"model":"gpt-4o-transcribe"}}}"#]);
        let told = (beta.transcription_model.as_deref(), beta.audio_rate);
        assert_eq!(told, (Some("gpt-4o-transcribe"), Some(PCM_RATE)));
    }

    #[test]
    fn ok_words_are_no_loss_and_broken_objects_are() {
        assert!(!read(&["ping"]).is_malformed && !read(&[""]).is_malformed);
        assert!(read(&["{\"type\":\"response.done\",\"response\":}"]).is_malformed);
        assert!(read(&["{\"type\":\"response.done\"} x"]).is_malformed);
    }

    #[test]
    fn ok_output_is_text_or_audio_by_its_length() {
        let mut response = Snapshot::default();
        let delta = read(&[r#"{"type":"response.output_text.delta","response_id":"r","delta":"Héllo"}"#]);
        response.add_output(&delta.snapshot, None);
        assert_eq!((response.text_ascii, response.text_non_ascii, response.audio_tokens()), (4, 2, 0));
        // A second of 16 bits at 24 kHz is 48,000 bytes, 64,000 digits of Base64, twenty tokens.
        let text = format!(r#"{{"type":"response.output_audio.delta","delta":"{}"}}"#, "A".repeat(64_000));
        let delta = read(&[&text]);
        response.add_output(&delta.snapshot, Some(PCM_RATE));
        assert_eq!((response.text_ascii, response.audio_tokens()), (4, 20));
        response.add_output(&delta.snapshot, Some(0));
        assert_eq!(response.audio_tokens(), 20, "no format, no length");
    }
}
