//! `openai.realtime`: `OpenAI` Realtime over a WebSocket. After the upgrade both sides send JSON messages; each response tells its usage in
//! the message that ends it.
//!
//! Source: openai-python 3.54, `types/realtime/*`, and the names of the beta before it; developers.openai.com, "Realtime costs": a session
//! costs nothing of itself, each response does, and transcribing the input is billed apart, by the transcription model. Azure speaks it
//! below `/openai/realtime` (the model is `deployment` in the query) and `/openai/v1/realtime`.

use super::{DialectId, Operation, Streams, common::*, openai_chat::ERROR};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&CONNECTION];

/// A connection, and each response on it.
static CONNECTION: Operation = REALTIME;

/// What a transcription of the input on such a connection is: another model does it, and is paid for it.
pub(crate) static TRANSCRIPTION: Operation = Operation {
    name: "transcription",
    end_records: &["conversation.item.input_audio_transcription.completed"],
    ..REALTIME
};

const REALTIME: Operation = Operation {
    dialect: DialectId::OpenAiRealtime,
    name: "chat",
    endpoint: "/v1/realtime",
    method: "GET",
    paths: &["v1/realtime", "openai/realtime"],
    detect: true,
    streams: Streams::WebSocket,
    request: &CLIENT_MESSAGE,
    reply: &REFUSED,
    record: &SERVER_MESSAGE,
    end_records: &["response.done"],
    ..Operation::BASE
};

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The client asks for a response.
    Ask,
    /// The session's settings, as the server has them.
    Session,
    /// What the session has used so far, where it is paid for as a whole.
    SessionUsage,
    /// A response begins.
    Begin,
    /// A piece of its output: text, or audio in Base64.
    Output {
        /// Whether it is audio.
        is_audio: bool,
    },
    /// Something else of it.
    Progress,
    /// It has ended, and this is its usage.
    End,
    /// A transcription of the input has ended, well or not.
    Transcription,
    /// Something went wrong, mostly with one message of the client's.
    Failure,
    /// Nothing that matters here.
    Other,
}

/// What a message of that `type` is about, on a connection of this operation.
pub(crate) fn about(operation: &Operation, kind: &[u8]) -> About {
    match kind {
        b"response.create" => About::Ask,
        b"session.created" | b"session.updated" => About::Session,
        // The beta's own kind of session.
        b"transcription_session.created" | b"transcription_session.updated" => About::Session,
        b"session.usage.updated" => About::SessionUsage,
        b"response.created" => About::Begin,
        b"response.output_audio.delta" | b"response.audio.delta" => About::Output { is_audio: true },
        b"conversation.item.input_audio_transcription.completed"
        | b"conversation.item.input_audio_transcription.failed" => About::Transcription,
        b"error" => About::Failure,
        _ if operation.end_records.iter().any(|end| end.as_bytes() == kind) => About::End,
        _ if kind.starts_with(b"response.") && kind.ends_with(b".delta") => About::Output { is_audio: false },
        _ if kind.starts_with(b"response.") => About::Progress,
        _ => About::Other,
    }
}

static CLIENT_MESSAGE: Shape = Shape::object(&[("type", &RECORD_TYPE)]);

/// An upgrade that was refused.
static REFUSED: Shape = Shape::object(&[("error", &ERROR)]);

// So spelled here, without an `s`.
static CACHE_READ_AUDIO: Shape = Shape::value(Field::CacheReadAudio);
static CACHE_READ_IMAGE: Shape = Shape::value(Field::CacheReadImage);
static CACHED_DETAILS: Shape =
    Shape::object(&[("audio_tokens", &CACHE_READ_AUDIO), ("image_tokens", &CACHE_READ_IMAGE)]);
static INPUT_DETAILS: Shape = Shape::object(&[
    ("cached_tokens", &CACHE_READ),
    ("cached_tokens_details", &CACHED_DETAILS),
    ("audio_tokens", &INPUT_AUDIO),
    ("image_tokens", &INPUT_IMAGE),
]);
static OUTPUT_DETAILS: Shape = Shape::object(&[("text_tokens", &OUTPUT_TEXT_TOKENS), ("audio_tokens", &OUTPUT_AUDIO)]);
static USAGE: Shape = Shape::object(&[
    ("input_tokens", &INPUT),
    ("output_tokens", &OUTPUT),
    ("total_tokens", &TOTAL),
    ("input_token_details", &INPUT_DETAILS),
    ("output_token_details", &OUTPUT_DETAILS),
    // A transcription by duration, and a session of the kind that is billed so: its seconds are those since it began.
    ("seconds", &SECONDS),
])
.and(Field::Usage);

static AUDIO_FORMAT: Shape = Shape::value(Field::AudioFormat);
static TRANSCRIPTION_MODEL: Shape = Shape::value(Field::TranscriptionModel);
static STATUS_DETAILS: Shape = Shape::object(&[("reason", &FINISH_REASON), ("error", &ERROR)]);
// The beta said `output_audio_format`, a word; it is `audio.output.format`, an object, since.
static FORMAT: Shape = Shape::object(&[("type", &AUDIO_FORMAT)]);
static OUTPUT_SIDE: Shape = Shape::object(&[("format", &FORMAT)]);
static RESPONSE_AUDIO: Shape = Shape::object(&[("output", &OUTPUT_SIDE)]);
static RESPONSE: Shape = Shape::object(&[
    ("id", &RESPONSE_ID),
    ("model", &RESPONSE_MODEL),
    ("status", &STATUS),
    ("status_details", &STATUS_DETAILS),
    ("audio", &RESPONSE_AUDIO),
    ("output_audio_format", &AUDIO_FORMAT),
    ("usage", &USAGE),
]);
static INPUT_TRANSCRIPTION: Shape = Shape::object(&[("model", &TRANSCRIPTION_MODEL)]);
static INPUT_SIDE: Shape = Shape::object(&[("transcription", &INPUT_TRANSCRIPTION)]);
static SESSION_AUDIO: Shape = Shape::object(&[("input", &INPUT_SIDE), ("output", &OUTPUT_SIDE)]);
static SESSION: Shape = Shape::object(&[
    ("model", &RESPONSE_MODEL),
    ("audio", &SESSION_AUDIO),
    ("output_audio_format", &AUDIO_FORMAT),
    ("input_audio_transcription", &INPUT_TRANSCRIPTION),
]);
static SERVER_MESSAGE: Shape = Shape::object(&[
    ("type", &RECORD_TYPE),
    ("response_id", &RESPONSE_ID),
    ("response", &RESPONSE),
    // Text, a transcript, arguments, or audio in Base64: the type says which.
    ("delta", &OUTPUT_TEXT),
    ("session", &SESSION),
    ("usage", &USAGE),
    ("error", &ERROR),
]);
