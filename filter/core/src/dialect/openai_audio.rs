//! `openai.audio`: transcription. Its request is a form; its usage is tokens or, for whisper-1, seconds.
//!
//! Source: openai-python `types/audio/transcription*.py`; Mistral's transcriptions tell usage as its chat does.

use super::{
    Billing, Counting, DialectId, ErrorShape, Operation, Streams,
    openai_chat::{ERROR, INPUT_DETAILS},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&TRANSCRIPTIONS];

static TRANSCRIPTIONS: Operation = Operation {
    dialect: DialectId::OpenAiAudio,
    name: "transcription",
    endpoint: "/v1/audio/transcriptions",
    method: "POST",
    paths: &["audio/transcriptions"],
    detect: true,
    billing: Billing::Billed,
    streams: Streams::ByReply,
    request: &REQUEST,
    reply: &REPLY,
    record: &RECORD,
    errors: ErrorShape::OpenAi,
    can_inject: false,
    counting: Counting::Inside,
    bounded_parts: &[],
    bounded_tools: &[],
    end_marker: Some(b"[DONE]"),
    end_records: &["transcript.text.done", "transcription.done"],
    start_record: None,
    finish_ends: false,
    header_counters: &[],
    in_base64: false,
    keeps_largest: false,
};

static MODEL: Shape = Shape::value(Field::RequestModel);
/// Mistral takes JSON too.
static REQUEST: Shape = Shape::object(&[("model", &MODEL)]);

static INPUT: Shape = Shape::value(Field::Input);
static OUTPUT: Shape = Shape::value(Field::Output);
static TOTAL: Shape = Shape::value(Field::Total);
static INPUT_AUDIO: Shape = Shape::value(Field::InputAudio);
static SECONDS: Shape = Shape::value(Field::AudioSeconds);
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

static RESPONSE_MODEL: Shape = Shape::value(Field::ResponseModel);
static RECORD_TYPE: Shape = Shape::value(Field::RecordType);
static OUTPUT_TEXT: Shape = Shape::value(Field::OutputText);
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
