//! An external processor for Envoy's `ext_proc` filter: gRPC over HTTP/2 with the few messages that it needs, written by hand.

use std::{io, net::SocketAddr, sync::Arc};

use anyhow::Result;
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Frame, Incoming},
};

use crate::server::{Body, Connection, Handler, Server};

/// What it does to what passes.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Request headers that it sets.
    pub headers: Vec<(&'static str, &'static str)>,
    /// What it replaces in request bodies, and by what.
    pub request: Option<(&'static str, &'static str)>,
    /// What it replaces in replies, and by what.
    pub reply: Option<(&'static str, &'static str)>,
    /// Whether it gets bodies whole: then it has to say how long its own are.
    pub buffered: bool,
}

/// A running processor.
#[derive(Debug)]
pub struct Processor(Server);

impl Processor {
    /// Starts on a loopback port.
    ///
    /// # Errors
    /// If there is no port.
    pub fn start(work: Work) -> Result<Self> {
        Ok(Self(Server::start(0, Arc::new(work))?))
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.0.address
    }
}

/// A field of a message: its number, and its bytes if it has a length.
type Field<'m> = (u64, &'m [u8]);

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The fields of a message; those without a length have no bytes here.
fn fields(mut message: &[u8]) -> Vec<Field<'_>> {
    let mut found = Vec::new();
    while let Some(tag) = varint(&mut message) {
        let bytes = match tag & 7 {
            0 => varint(&mut message).map(|_| &[][..]),
            2 => varint(&mut message).and_then(|length| {
                let (bytes, rest) = message.split_at_checked(usize::try_from(length).ok()?)?;
                message = rest;
                Some(bytes)
            }),
            _ => None,
        };
        let Some(bytes) = bytes else { break };
        found.push((tag >> 3, bytes));
    }
    found
}

fn put_varint(into: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        into.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    into.push(u8::try_from(value).unwrap_or_default());
}

/// A field that has a length, as bytes of a message.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    put_varint(&mut made, number << 3 | 2);
    put_varint(&mut made, bytes.len() as u64);
    made.extend(bytes);
    made
}

/// An enumeration's value.
fn choice(number: u64, value: u64) -> Vec<u8> {
    let mut made = Vec::new();
    put_varint(&mut made, number << 3);
    put_varint(&mut made, value);
    made
}

/// One of the headers that a `HeaderMutation` sets.
fn header(name: &str, value: &str) -> Vec<u8> {
    let header = [field(1, name.as_bytes()), field(3, value.as_bytes())].concat();
    // OVERWRITE_IF_EXISTS_OR_ADD
    field(1, &[field(1, &header), choice(3, 2)].concat())
}

impl Work {
    /// The answer to one `ProcessingRequest`, by the numbers of its fields and of those of `ProcessingResponse`.
    fn answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        let (kind, content) = fields(request).into_iter().find(|(number, _)| (2..=7).contains(number))?;
        let common = match kind {
            2 => {
                let set = self.headers.iter().flat_map(|(name, value)| header(name, value));
                field(2, &set.collect::<Vec<u8>>())
            }
            4 => self.replaced(self.request, content),
            5 => self.replaced(self.reply, content),
            _ => Vec::new(),
        };
        let number = match kind {
            2 => 1,
            3 => 2,
            4 => 3,
            5 => 4,
            6 => return Some(field(5, &[])),
            _ => return Some(field(6, &[])),
        };
        Some(field(number, &field(1, &common)))
    }

    /// The mutation of an `HttpBody`, if there is something to replace in it.
    fn replaced(&self, pair: Option<(&str, &str)>, body: &[u8]) -> Vec<u8> {
        let text = fields(body).into_iter().find(|(number, _)| *number == 1).map(|(_, bytes)| bytes);
        let text = text.map(String::from_utf8_lossy).unwrap_or_default();
        let Some((from, to)) = pair.filter(|(from, _)| text.contains(from)) else { return Vec::new() };
        let text = text.replace(from, to);
        let length =
            if self.buffered { field(2, &header("content-length", &text.len().to_string())) } else { Vec::new() };
        [length, field(3, &field(1, text.as_bytes()))].concat()
    }
}

/// The next whole message that has come, without its frame.
fn message(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = usize::try_from(u32::from_be_bytes(buffer.get(1..5)?.try_into().ok()?)).ok()?;
    if buffer.len() < 5 + length {
        return None;
    }
    buffer.advance(5);
    Some(buffer.split_to(length).freeze())
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or_default();
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

impl Handler for Work {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Connection) -> io::Result<Response<Body>> {
        let state = (self, request.into_body(), BytesMut::new(), false);
        let answers = stream::unfold(state, |(work, mut incoming, mut buffer, over)| async move {
            if over {
                return None;
            }
            loop {
                if let Some(request) = message(&mut buffer) {
                    let answer = work.answer(&request).unwrap_or_default();
                    return Some((Ok(Frame::data(framed(&answer))), (work, incoming, buffer, false)));
                }
                match incoming.frame().await {
                    Some(Ok(frame)) => buffer.extend(frame.into_data().unwrap_or_default()),
                    Some(Err(_)) | None => {
                        let trailers = HeaderMap::from_iter([("grpc-status".parse().ok()?, "0".parse().ok()?)]);
                        return Some((Ok(Frame::trailers(trailers)), (work, incoming, buffer, true)));
                    }
                }
            }
        });
        let body = StreamBody::new(answers).boxed_unsync();
        Response::builder().header("content-type", "application/grpc").body(body).map_err(io::Error::other)
    }
}
