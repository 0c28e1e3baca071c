//! WebSocket frames.

use meterr_core::frame::websocket::{Framer, Item, Sender};

use crate::cut::Cut;

/// What was found: texts as far as they came, and what else there was to tell.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    texts: Vec<Vec<u8>>,
    open: Vec<u8>,
    compressed: usize,
    closes: usize,
    is_broken: bool,
}

fn read(sender: Sender, may_compress: bool, pieces: &[&[u8]]) -> Seen {
    let (mut framer, mut seen) = (Framer::new(sender, may_compress), Seen::default());
    for piece in pieces {
        let pushed = framer.push(piece, &mut |item| match item {
            Item::Text(bytes) => {
                assert!(!bytes.is_empty() && bytes.len() <= piece.len());
                seen.open.extend_from_slice(bytes);
            }
            Item::EndOfText => seen.texts.push(core::mem::take(&mut seen.open)),
            Item::Compressed => seen.compressed += 1,
            Item::Close => seen.closes += 1,
        });
        assert_eq!(pushed.is_err(), framer.is_broken());
        assert!(!seen.is_broken || pushed.is_err(), "an error is final");
        seen.is_broken = pushed.is_err();
    }
    seen
}

/// A frame (RFC 6455, section 5.2) whose length is written in the shortest way.
fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let flag = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        len @ ..126 => out.push(flag | u8::try_from(len).expect("short")),
        len @ ..65_536 => {
            out.push(flag | 126);
            out.extend_from_slice(&u16::try_from(len).expect("short").to_be_bytes());
        }
        len => {
            out.push(flag | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(mask.as_ref().map_or(&[][..], |mask| mask));
    let turned = mask.unwrap_or_default();
    out.extend(payload.iter().zip(turned.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// Text messages in frames of which the input says the sizes, with pings and binary messages between them; and the texts.
fn built(sender: Sender, mut plan: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut stream, mut texts) = (Vec::new(), Vec::new());
    while let Some(([what, size], rest)) = plan.split_first_chunk::<2>() {
        let (payload, rest) = rest.split_at(usize::from(*size).min(rest.len()));
        plan = rest;
        let mask = (sender == Sender::Client).then_some([*what, *size, 7, 0]);
        if what & 1 != 0 {
            stream.extend(frame(0x82, mask, payload));
        }
        let text = if what & 2 != 0 { payload.repeat(300) } else { payload.to_vec() };
        let (one, two) = text.split_at(text.len() / 2);
        if what & 4 != 0 {
            stream.extend(frame(0x01, mask, one));
            stream.extend(frame(0x89, mask, &payload[..payload.len().min(125)]));
            stream.extend(frame(0x80, mask, two));
        } else {
            stream.extend(frame(0x81, mask, &text));
        }
        texts.push(text);
    }
    (stream, texts)
}

/// Any bytes as the frames of one direction, and any plan of them: however they are cut the same is found, and every text that was sent.
pub fn websocket(data: &[u8]) {
    let (cut, rest) = Cut::take(data);
    let Some((what, bytes)) = rest.split_first() else { return };
    let sender = if what & 1 != 0 { Sender::Client } else { Sender::Server };
    let whole = read(sender, what & 2 != 0, &[bytes]);
    assert_eq!(read(sender, what & 2 != 0, &cut.pieces(bytes)), whole, "cut otherwise");
    let (stream, texts) = built(sender, bytes);
    let found = read(sender, what & 2 != 0, &cut.pieces(&stream));
    assert_eq!((found.texts, found.open, found.is_broken), (texts, Vec::new(), false), "what was sent");
}
