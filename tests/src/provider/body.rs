//! How the provider's body goes out: whole or in pieces, compressed, cut, stalled.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{HeaderMap, body::Frame, header::HeaderValue};

use super::Behaviour;
use crate::server::{Body, Connection, full};

/// What happens next.
enum Step {
    Send(Bytes),
    Wait(Duration),
    Trailers,
    Stall,
    Cut,
}

/// The body, and its length if it is announced.
pub(super) fn make(
    pieces: Vec<String>,
    is_stream: bool,
    behaviour: Behaviour,
    connection: Connection,
) -> (Body, Option<usize>) {
    let pieces = encode(pieces, &behaviour);
    let total: usize = pieces.iter().map(Bytes::len).sum();
    let plain = behaviour.cut_after_bytes.is_none()
        && behaviour.reset_after_bytes.is_none()
        && behaviour.stall_after_bytes.is_none()
        && !behaviour.trailers
        && behaviour.rechunk == 0;
    if !is_stream && plain {
        return (full(pieces.concat()), Some(total));
    }
    let steps = steps(pieces, is_stream, &behaviour);
    let body = stream::iter(steps).then(move |step| {
        let connection = connection.clone();
        let resets = behaviour.reset_after_bytes.is_some();
        async move {
            match step {
                Step::Send(bytes) => Some(Ok(Frame::data(bytes))),
                Step::Wait(time) => {
                    tokio::time::sleep(time).await;
                    None
                }
                Step::Trailers => {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("x-trailer", HeaderValue::from_static("yes"));
                    Some(Ok(Frame::trailers(trailers)))
                }
                Step::Stall => std::future::pending().await,
                Step::Cut => {
                    // What was sent before goes out before the end does.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    if resets {
                        connection.reset_on_close();
                    }
                    Some(Err(io::Error::other("cut as told")))
                }
            }
        }
    });
    (StreamBody::new(body.filter_map(|frame| async { frame })).boxed_unsync(), None)
}

fn steps(pieces: Vec<Bytes>, is_stream: bool, behaviour: &Behaviour) -> Vec<Step> {
    let stops = [behaviour.cut_after_bytes, behaviour.reset_after_bytes, behaviour.stall_after_bytes];
    let mut left = stops.into_iter().flatten().min().unwrap_or(usize::MAX);
    let mut steps = Vec::new();
    for mut piece in pieces {
        if is_stream && behaviour.delay_ms > 0 {
            steps.push(Step::Wait(behaviour.delay()));
        }
        while !piece.is_empty() && left > 0 {
            let size = if behaviour.rechunk > 0 { behaviour.rechunk } else { piece.len() };
            let part = piece.split_to(size.min(piece.len()).min(left));
            left -= part.len();
            steps.push(Step::Send(part));
        }
    }
    if behaviour.stall_after_bytes.is_some() {
        steps.push(Step::Stall);
    } else if behaviour.cut_after_bytes.is_some() || behaviour.reset_after_bytes.is_some() {
        steps.push(Step::Cut);
    } else if behaviour.trailers {
        steps.push(Step::Trailers);
    }
    steps
}

/// Compresses piece by piece, as a server does that streams.
fn encode(pieces: Vec<String>, behaviour: &Behaviour) -> Vec<Bytes> {
    let Some(packing) = behaviour.packing() else { return pieces.into_iter().map(Bytes::from).collect() };
    // Writing to memory does not fail; if it did, the test would miss its body.
    packing.pack(&pieces).unwrap_or_default()
}
