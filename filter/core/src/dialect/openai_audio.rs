//! `openai.audio`: transcription. Its request is a form; its usage is tokens or, for whisper-1, seconds.
//!
//! Source: openai-python `types/audio/transcription*.py`; Mistral's transcriptions tell usage as its chat does.

use super::{
    DialectId, Operation, Streams,
    common::*,
    openai_chat::{ERROR, INPUT_DETAILS},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&TRANSCRIPTIONS];

static TRANSCRIPTIONS: Operation = Operation {
    dialect: DialectId::OpenAiAudio,
    name: "transcription",
    endpoint: "/v1/audio/transcriptions",
    paths: &["audio/transcriptions"],
    detect: true,
    streams: Streams::ByReply,
    request: &REQUEST,
    reply: &REPLY,
    record: &RECORD,
    end_marker: Some(b"[DONE]"),
    end_records: &["transcript.text.done", "transcription.done"],
    ..Operation::BASE
};

/// Mistral takes JSON too.
static REQUEST: Shape = Shape::object(&[("model", &MODEL)]);

// So spelled here, without an `s`.
static AUDIO_DETAILS: Shape = Shape::object(&[("audio_tokens", &INPUT_AUDIO)]);
static USAGE: Shape = Shape::object(&[
    ("input_tokens", &INPUT),
    ("output_tokens", &OUTPUT),
    ("total_tokens", &TOTAL),
    ("input_token_details", &AUDIO_DETAILS),
    ("seconds", &SECONDS),
    // Mistral.
    ("prompt_tokens", &INPUT),
    ("completion_tokens", &OUTPUT),
    ("prompt_tokens_details", &INPUT_DETAILS),
    ("prompt_audio_seconds", &SECONDS),
])
.and(Field::Usage);

static REPLY: Shape = Shape::object(&[
    ("model", &RESPONSE_MODEL),
    ("text", &OUTPUT_TEXT),
    // Without a usage, the length of what was heard.
    ("duration", &SECONDS),
    ("usage", &USAGE),
    ("error", &ERROR),
]);
static RECORD: Shape = Shape::object(&[
    ("type", &RECORD_TYPE),
    ("model", &RESPONSE_MODEL),
    ("delta", &OUTPUT_TEXT),
    ("usage", &USAGE),
    ("error", &ERROR),
]);
