//! Server-sent events, and hiding one of them.

use meterr_core::frame::{
    hide::UsageChunkHider,
    sse::{MAX_NAME, SseFramer, SseSink},
};

use crate::{cut::Cut, tree::Tree};

/// An event that has data.
#[derive(Debug, PartialEq)]
struct Event {
    name: Vec<u8>,
    data: Vec<u8>,
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    events: Vec<Event>,
    /// Where blocks end, from the start of the stream; those that end with the stream are left out.
    ends: Vec<usize>,
}

#[derive(Default)]
struct Collect {
    seen: Seen,
    open: Vec<u8>,
    name: Vec<u8>,
    before: usize,
    is_over: bool,
}

impl SseSink for Collect {
    fn data(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
    }

    fn event_name(&mut self, name: &[u8]) {
        assert!(name.len() <= MAX_NAME);
        self.name = name.to_vec();
    }

    fn end_of_event(&mut self, end: usize, has_data: bool) {
        let (name, data) = (core::mem::take(&mut self.name), core::mem::take(&mut self.open));
        if has_data {
            self.seen.events.push(Event { name, data });
        } else {
            assert!(data.is_empty(), "data, and none is told of");
        }
        if !self.is_over {
            self.seen.ends.push(self.before + end);
        }
    }
}

fn frame(pieces: &[&[u8]]) -> Seen {
    let (mut framer, mut sink) = (SseFramer::default(), Collect::default());
    for piece in pieces {
        framer.push(piece, &mut sink);
        sink.before += piece.len();
        assert!(sink.seen.ends.last().is_none_or(|end| *end <= sink.before), "an event ends where nothing is yet");
    }
    sink.is_over = true;
    framer.finish(&mut sink);
    sink.seen
}

/// Lines with what ends them, as the HTML standard says: LF, CR LF or CR.
fn lines(mut bytes: &[u8]) -> Vec<(&[u8], usize)> {
    let all = bytes.len();
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        let len = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
        let ending = if bytes[len..].starts_with(b"\r\n") { 2 } else { usize::from(len < bytes.len()) };
        let (line, rest) = (&bytes[..len], &bytes[len + ending..]);
        lines.push((line, all - rest.len()));
        bytes = rest;
    }
    lines
}

/// The plain reading of a whole stream: its blocks, each with its event if it has data, and where it ends.
fn reference(bytes: &[u8]) -> Vec<(Option<Event>, usize)> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let begin = if bytes.starts_with(MARK) { MARK.len() } else { 0 };
    let (mut blocks, mut name, mut data) = (Vec::new(), Vec::new(), None::<Vec<u8>>);
    let event = |name: &mut Vec<u8>, data: &mut Option<Vec<u8>>| {
        let name = core::mem::take(name);
        data.take().map(|data| Event { name, data })
    };
    for (line, end) in lines(&bytes[begin..]) {
        if line.is_empty() {
            blocks.push((event(&mut name, &mut data), begin + end));
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => name = value[..value.len().min(MAX_NAME)].to_vec(),
            b"data" => match &mut data {
                None => data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            _ => {}
        }
    }
    // An event without its empty line counts: several servers leave the last one out.
    if data.is_some() {
        blocks.push((event(&mut name, &mut data), bytes.len()));
    }
    blocks
}

/// Any bytes as server-sent events: as the plain reading has them, however they are cut.
pub fn sse(data: &[u8]) {
    let (cut, bytes) = Cut::take(data);
    let whole = frame(&[bytes]);
    assert_eq!(frame(&cut.pieces(bytes)).events, whole.events, "cut otherwise");
    let reference = reference(bytes);
    // A CR at the very end may still be followed by its LF: then the event ends later.
    let told: Vec<usize> = whole.ends.iter().copied().filter(|end| *end < bytes.len()).collect();
    let ends: Vec<usize> = reference.iter().map(|(_, end)| *end).filter(|end| *end < bytes.len()).collect();
    assert_eq!(told, ends, "where events end");
    let events: Vec<Event> = reference.into_iter().filter_map(|(event, _)| event).collect();
    assert_eq!(whole.events, events, "the plain reading");
}

fn hidden(pieces: &[&[u8]]) -> Vec<u8> {
    let mut hider = UsageChunkHider::new();
    let mut all = Vec::new();
    for piece in pieces {
        let mut out = Vec::new();
        if hider.push(piece, &mut out) {
            all.append(&mut out);
        } else {
            assert!(out.is_empty(), "the piece goes on as it is, and yet something was written");
            all.extend_from_slice(piece);
        }
    }
    hider.finish(&mut all);
    all
}

/// Any bytes through the filter that hides the usage chunk: exactly that event goes, however the stream is cut.
pub fn hide(data: &[u8]) {
    /// Beyond what the hider holds, it matters how a stream is cut.
    const MOST: usize = 16 * 1024;
    let (cut, bytes) = Cut::take(data);
    let bytes = &bytes[..bytes.len().min(MOST)];
    let whole = hidden(&[bytes]);
    assert_eq!(hidden(&cut.pieces(bytes)), whole, "cut otherwise");
    let (mut left, mut from, mut is_sure) = (Vec::new(), 0, true);
    for (event, end) in reference(bytes) {
        let is_usage = match event.map(|event| Tree::parse(&event.data)) {
            None => false,
            Some(Some(chunk)) if !chunk.has_doubles() => {
                let no_choices = matches!(chunk.get("choices"), Some(Tree::Array(items)) if items.is_empty());
                no_choices && matches!(chunk.get("usage"), Some(Tree::Object(_)))
            }
            // The scanner forgives what a strict parser does not.
            Some(_) => {
                is_sure = false;
                false
            }
        };
        if !is_usage {
            left.extend_from_slice(&bytes[from..end]);
        }
        from = end;
    }
    left.extend_from_slice(&bytes[from..]);
    if is_sure {
        assert_eq!(whole, left, "what is left");
    }
}
