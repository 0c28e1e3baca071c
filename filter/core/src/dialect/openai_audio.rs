//! `openai.audio`: transcription, translation and speech. Requests to hear are forms; their usage is tokens or, for whisper-1, seconds.
//! Speech is billed by the characters of the request, or by tokens, which only a stream of events tells.
//!
//! Sources: openai-python `types/audio/transcription*.py`, `types/audio/speech_create_params.py`, openai-openapi `SpeechAudioDoneEvent`;
//! Mistral's transcriptions tell usage as its chat does.

use super::{
    DialectId, Operation, Streams,
    common::*,
    openai_chat::{ERROR, INPUT_DETAILS},
};
use crate::json::scan::{Field, Shape};

pub(super) static OPERATIONS: &[&Operation] = &[&TRANSCRIPTIONS, &TRANSLATIONS, &SPEECH];

static TRANSCRIPTIONS: Operation = HEARD;

/// Tells no usage; its verbose form tells how long the audio is.
static TRANSLATIONS: Operation = Operation {
    name: "translation",
    endpoint: "/v1/audio/translations",
    paths: &["deployments/{model}/audio/translations", "audio/translations"],
    ..HEARD
};

static SPEECH: Operation = Operation {
    name: "speech",
    endpoint: "/v1/audio/speech",
    paths: &["deployments/{model}/audio/speech", "audio/speech"],
    streams: Streams::ByReply,
    request: &SPOKEN,
    end_records: &["speech.audio.done"],
    ..HEARD
};

const HEARD: Operation = Operation {
    dialect: DialectId::OpenAiAudio,
    name: "transcription",
    endpoint: "/v1/audio/transcriptions",
    paths: &["deployments/{model}/audio/transcriptions", "audio/transcriptions"],
    detect: true,
    streams: Streams::ByBody,
    request: &REQUEST,
    reply: &REPLY,
    record: &RECORD,
    end_marker: Some(b"[DONE]"),
    end_records: &["transcript.text.done", "transcription.done"],
    is_estimable: false,
    may_be_opaque: true,
    ..Operation::BASE
};

/// The fields of a form, or members: Mistral takes JSON too.
static REQUEST: Shape = Shape::object(&[("model", &MODEL), ("stream", &STREAM), ("prompt", &INPUT_TEXT)]);
static SPOKEN: Shape = Shape::object(&[("model", &MODEL), ("input", &SPOKEN_TEXT), ("instructions", &INPUT_TEXT)]);

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
    ("duration", &DURATION),
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
