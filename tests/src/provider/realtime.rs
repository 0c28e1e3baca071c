//! A server of `OpenAI` Realtime, and of Responses in its WebSocket mode: it answers each `response.create` as told in that message's `metadata`, which real ones keep for the client.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::{Request, Response, body::Incoming, header::HeaderMap};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        handshake::derive_accept_key,
        protocol::{
            Role,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

use super::{State, check, words};
use crate::{
    server::{Body, Connection, full},
    tap::Tap,
};

/// How one response goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Script {
    /// All input tokens.
    input: u64,
    /// All output tokens.
    output: u64,
    /// Of the input, those of audio.
    input_audio: u64,
    /// Of the input, those read from the cache.
    cached: u64,
    /// Of those, the ones of audio.
    cached_audio: u64,
    /// Of the output, those of audio.
    output_audio: u64,
    /// Its deltas.
    deltas: usize,
    /// Sends each message in frames of so many bytes, with a ping after each; 0 sends it in one.
    fragment: usize,
    /// How it ends.
    status: String,
    /// Tells a transcription of the input first, of so many input tokens.
    transcription: Option<u64>,
    /// Goes silent after the deltas.
    stall: bool,
    /// Ends the connection after the deltas.
    cut: bool,
    /// Sends these bytes as they are after the deltas, whatever they mean.
    raw: Vec<u8>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            input: 12,
            output: 34,
            input_audio: 0,
            cached: 0,
            cached_audio: 0,
            output_audio: 0,
            deltas: 3,
            fragment: 0,
            status: "completed".to_owned(),
            transcription: None,
            stall: false,
            cut: false,
            raw: Vec::new(),
        }
    }
}

impl Script {
    fn of(message: &Value) -> Result<Self, String> {
        let told = [&message["response"]["metadata"]["test"], &message["metadata"]["test"]];
        let told = told.iter().find_map(|told| told.as_str()).unwrap_or("{}");
        serde_json::from_str(told).map_err(|problem| format!("metadata.test: {problem}"))
    }

    /// The message that ends a response, in Realtime's words or in those of Responses.
    fn end(&self, id: &str, is_realtime: bool) -> Value {
        let output = json!([{ "type": "message", "content": [{ "type": "output_text", "text": "Hello there" }] }]);
        if is_realtime {
            let ended = json!({ "object": "realtime.response", "id": id, "status": self.status, "status_details": null,
                "output": output, "usage": self.usage() });
            return json!({ "type": "response.done", "response": ended });
        }
        let usage = json!({ "input_tokens": self.input, "input_tokens_details": { "cached_tokens": self.cached },
            "output_tokens": self.output, "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": self.input + self.output });
        let ended = json!({ "object": "response", "id": id, "model": "gpt-4o-mini-2024-07-18", "status": self.status, "error": null,
            "output": output, "usage": usage });
        json!({ "type": "response.completed", "response": ended })
    }

    fn usage(&self) -> Value {
        json!({ "total_tokens": self.input + self.output, "input_tokens": self.input, "output_tokens": self.output,
            "input_token_details": { "text_tokens": self.input - self.input_audio, "audio_tokens": self.input_audio,
                "image_tokens": 0, "cached_tokens": self.cached,
                "cached_tokens_details": { "text_tokens": self.cached - self.cached_audio, "audio_tokens": self.cached_audio,
                    "image_tokens": 0 } },
            "output_token_details": { "text_tokens": self.output - self.output_audio, "audio_tokens": self.output_audio } })
    }
}

/// What is wrong with the request for an upgrade.
fn complaints(headers: &HeaderMap) -> Vec<String> {
    let mut complaints = check::headers(headers, words::Dialect::OpenAi);
    if headers.contains_key("sec-websocket-extensions") {
        complaints.push("an extension is offered, which the filter cannot read".to_owned());
    }
    if headers.get("sec-websocket-version").is_none_or(|version| version != "13") {
        complaints.push("no version of the protocol".to_owned());
    }
    complaints
}

/// Switches protocols, and speaks the other one from there on.
pub(super) fn answer(
    state: &Arc<State>,
    request: Request<Incoming>,
    connection: Connection,
) -> io::Result<Response<Body>> {
    let headers = request.headers();
    for complaint in complaints(headers) {
        state.complain(format!("{}: {complaint}", request.uri().path()));
    }
    let accept = derive_accept_key(headers.get("sec-websocket-key").map(|key| key.as_bytes()).unwrap_or_default());
    let id = state.remember(headers.clone(), Bytes::new(), Bytes::new());
    let model = request.uri().query().and_then(|query| query.strip_prefix("model=")).map(str::to_owned);
    let response = Response::builder()
        .status(101)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", accept)
        .header("x-stand-in-id", &id);
    let state = Arc::clone(state);
    tokio::spawn(async move {
        let upgraded = match hyper::upgrade::on(request).await {
            Ok(upgraded) => upgraded,
            Err(problem) => return state.complain(format!("no upgrade: {problem}")),
        };
        let (tap, watch) = Tap::new(TokioIo::new(upgraded));
        let mut socket = WebSocketStream::from_raw_socket(tap, Role::Server, None).await;
        let ended = serve(&mut socket, &state, model.as_deref()).await;
        let traffic = watch.traffic();
        state.update(&id, traffic.read.into(), traffic.written.into());
        if ended.is_err() {
            connection.reset_on_close();
        }
    });
    response.body(full("")).map_err(io::Error::other)
}

/// Until either side ends the connection. An error resets it.
/// A `model` is that of a realtime session.
async fn serve<S>(socket: &mut WebSocketStream<S>, state: &State, model: Option<&str>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let session = json!({ "type": "session.created", "session": { "type": "realtime", "model": model,
        "audio": { "input": { "transcription": { "model": "gpt-4o-mini-transcribe" } },
            "output": { "format": { "type": "audio/pcm", "rate": 24000 } } } } });
    if model.is_some() {
        send(socket, &session, 0).await?;
    }
    let mut count = 0;
    while let Some(message) = socket.next().await {
        let text = match message {
            Ok(Message::Text(text)) => text,
            Ok(_) => continue,
            // The client has gone.
            Err(_) => return Ok(()),
        };
        let asked: Value = serde_json::from_str(&text).unwrap_or_default();
        if asked["type"] != "response.create" {
            continue;
        }
        count += 1;
        match Script::of(&asked) {
            Ok(script) => respond(socket, count, &script, model.is_some()).await?,
            Err(problem) => state.complain(problem),
        }
    }
    Ok(())
}

async fn respond<S>(socket: &mut WebSocketStream<S>, nth: u64, script: &Script, is_realtime: bool) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let id = format!("resp_{nth}");
    if let Some(input) = script.transcription {
        let usage = json!({ "type": "tokens", "total_tokens": input + 5, "input_tokens": input, "output_tokens": 5,
            "input_token_details": { "text_tokens": 0, "audio_tokens": input } });
        let kind = "conversation.item.input_audio_transcription.completed";
        let told =
            json!({ "type": kind, "item_id": "item", "content_index": 0, "transcript": "Hello.", "usage": usage });
        send(socket, &told, script.fragment).await?;
    }
    let begun =
        json!({ "object": "realtime.response", "id": id, "status": "in_progress", "output": [], "usage": null });
    send(socket, &json!({ "type": "response.created", "response": begun }), script.fragment).await?;
    for delta in 0..script.deltas {
        let mut delta = json!({ "type": "response.output_text.delta", "item_id": "item", "delta": words::word(delta) });
        if is_realtime {
            delta["response_id"] = json!(id);
        }
        send(socket, &delta, script.fragment).await?;
    }
    if !script.raw.is_empty() {
        socket.get_mut().write_all(&script.raw).await?;
        socket.get_mut().flush().await?;
    }
    if script.cut {
        return Err(Error::ConnectionClosed);
    }
    if script.stall {
        return Ok(());
    }
    send(socket, &script.end(&id, is_realtime), script.fragment).await
}

/// Sends a message, in frames of so many bytes if that is not zero.
async fn send<S>(socket: &mut WebSocketStream<S>, message: &Value, fragment: usize) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let text = message.to_string();
    if fragment == 0 {
        return socket.send(Message::Text(Utf8Bytes::from(text))).await;
    }
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(fragment).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let data = if at == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(Bytes::copy_from_slice(piece), OpCode::Data(data), at + 1 == pieces.len());
        socket.send(Message::Frame(frame)).await?;
        socket.send(Message::Ping(Bytes::from_static(b"still there?"))).await?;
    }
    Ok(())
}
