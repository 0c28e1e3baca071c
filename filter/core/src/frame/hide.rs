//! Hides the usage chunk that we asked for and the client did not.
//!
//! Exactly the event whose `choices` is `[]` and whose `usage` is an object goes; every other byte passes as it came. An event is held
//! only while it may still be that one.

use super::sse::{SseFramer, SseSink};
use crate::json::scan::{Field, Found, Scanner, Shape, Value};

/// Longest event that is held undecided, in bytes. Usage chunks have some hundreds.
const MAX_HELD: usize = 16 * 1024;

static CHOICE: Shape = Shape::object(&[]).and(Field::Message);
static CHOICES: Shape = Shape::array(&CHOICE).and(Field::ChoicesArray);
static USAGE: Shape = Shape::object(&[]).and(Field::Usage);
static CHUNK: Shape = Shape::object(&[("choices", &CHOICES), ("usage", &USAGE)]);

/// Removes usage chunks from a stream of server-sent events.
///
/// Memory: one undecided event of at most 16 KiB; and while a piece passes from which something is cut, a copy of both.
#[derive(Debug)]
pub struct UsageChunkHider {
    framer: SseFramer,
    watch: Watch,
    held: Vec<u8>,
}

/// What is known of the event that passes.
#[derive(Debug)]
struct Watch {
    scanner: Scanner,
    no_choices: bool,
    has_usage: bool,
    /// It cannot be the one.
    passes: bool,
    /// Runs of events that ended in the piece: where the run ends, and whether its events are hidden. A piece of nothing but line ends
    /// is one run.
    ends: Vec<(usize, bool)>,
}

impl SseSink for Watch {
    fn data(&mut self, bytes: &[u8]) {
        if self.passes {
            return;
        }
        let Self { scanner, no_choices, has_usage, passes, .. } = self;
        scanner.push(bytes, &mut |found: Found<'_>| match (found.field, found.value) {
            (Field::ChoicesArray, Value::ArrayEnd(count)) => *no_choices = count == 0,
            (Field::Message, _) => *passes = true,
            (Field::Usage, Value::ObjectStart) => *has_usage = true,
            _ => {}
        });
        self.passes |= self.scanner.is_broken();
    }

    fn event_name(&mut self, _name: &[u8]) {}

    fn end_of_event(&mut self, end: usize, has_data: bool) {
        let is_it = has_data && !self.passes && self.no_choices && self.has_usage && self.scanner.is_complete();
        match self.ends.last_mut() {
            Some((last, hidden)) if *hidden == is_it => *last = end,
            _ => self.ends.push((end, is_it)),
        }
        self.next_event();
    }
}

impl Watch {
    fn next_event(&mut self) {
        self.scanner.reset();
        self.no_choices = false;
        self.has_usage = false;
        self.passes = false;
    }
}

impl Default for UsageChunkHider {
    fn default() -> Self {
        Self::new()
    }
}

impl UsageChunkHider {
    /// At the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        let scanner = Scanner::new(&CHUNK);
        let watch = Watch { scanner, no_choices: false, has_usage: false, passes: false, ends: Vec::new() };
        Self { framer: SseFramer::default(), watch, held: Vec::new() }
    }

    /// Takes a piece of the stream. `true` means that what goes on is not the piece itself but what was added to `out`.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> bool {
        // How Envoy says that the stream is over: what is held is still undecided.
        if piece.is_empty() {
            return false;
        }
        let was_passing = self.watch.passes;
        self.framer.push(piece, &mut self.watch);
        let had_held = !self.held.is_empty();
        let hides = self.watch.ends.iter().any(|(_, hidden)| *hidden);
        let open_from = self.watch.ends.last().map_or(0, |(end, _)| *end);
        let tail = piece.get(open_from..).unwrap_or_default();
        if self.held.len().saturating_add(tail.len()) > MAX_HELD {
            self.watch.passes = true;
        }
        let keeps = !tail.is_empty() && !self.watch.passes;
        // An event that was let go in part goes on in full.
        debug_assert!(!(was_passing && had_held));
        if !had_held && !hides && !keeps {
            self.watch.ends.clear();
            return false;
        }
        // Once, since growing would cost the copy twice.
        out.reserve_exact(self.held.len().saturating_add(piece.len()));
        let mut from = 0;
        for (end, hidden) in core::mem::take(&mut self.watch.ends) {
            let held = core::mem::take(&mut self.held);
            if !hidden {
                out.extend_from_slice(&held);
                out.extend_from_slice(piece.get(from..end).unwrap_or_default());
            }
            from = end;
        }
        if keeps {
            self.held.extend_from_slice(tail);
        } else {
            out.append(&mut self.held);
            out.extend_from_slice(tail);
        }
        true
    }

    /// Whether the last event has ended and nothing is held.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.framer.is_between() && self.held.is_empty()
    }

    /// Says that the stream is over; what is held goes to `out` unless it is hidden. `true` if there was anything.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> bool {
        self.framer.finish(&mut self.watch);
        let hidden = self.watch.ends.iter().any(|(_, hidden)| *hidden);
        self.watch.ends.clear();
        let held = core::mem::take(&mut self.held);
        if !hidden {
            out.extend_from_slice(&held);
        }
        !held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: [&str; 8] = [
        "data: {\"choices\":[{\"delta\":{\"content\":\"hi \\\"usage\\\":{}\"}}],\"usage\":null}\n\n",
        "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":1},\"choices\":[]}\r\n\r\n",
        "data: {\"choices\":[],\"prompt_filter_results\":[{}]}\n\n",
        "data: {\"choices\":[],\"usage\":null}\n\n",
        ": keep-alive\n\n",
        "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: [DONE]\n\n",
    ];

    fn hide(text: &[u8], cut: usize) -> Vec<u8> {
        let mut hider = UsageChunkHider::new();
        let mut all = Vec::new();
        for piece in text.chunks(cut.max(1)) {
            let mut out = Vec::new();
            if hider.push(piece, &mut out) {
                all.extend(out);
            } else {
                assert!(out.is_empty());
                all.extend(piece);
            }
        }
        hider.finish(&mut all);
        all
    }

    #[test]
    fn ok_an_unfinished_usage_chunk_is_hidden_at_the_end() {
        assert_eq!(hide(b"data: {\"choices\":[],\"usage\":{}}", 5), b"");
        let (mut hider, mut out) = (UsageChunkHider::new(), Vec::new());
        hider.push(b"data: {\"choices\":[],\"usage\":{}}", &mut out);
        hider.push(b"", &mut out);
        hider.finish(&mut out);
        assert_eq!(out, b"", "nor does an empty piece let it go");
        assert_eq!(
            hide(b"data: {\"choices\":[],\"usage\":{}", 5),
            b"data: {\"choices\":[],\"usage\":{}",
            "no whole JSON"
        );
    }

    #[test]
    fn ok_an_event_beyond_the_bound_is_let_go() {
        let long = format!(
            "data: {{\"choices\":[],\"x\":\"{}\",\"usage\":{{}}}}\n\ndata: [DONE]\n\n",
            "y".repeat(2 * MAX_HELD)
        );
        assert_eq!(hide(long.as_bytes(), 1000), long.as_bytes());
    }

    #[test]
    fn ok_content_is_not_held() {
        let mut hider = UsageChunkHider::new();
        let mut out = Vec::new();
        let piece = b"data: {\"id\":\"x\",\"choices\":[{\"delta\":{\"content\":\"hel";
        assert!(!hider.push(piece, &mut out), "the piece itself goes on");
    }

    #[test]
    fn ok_events_cost_no_memory_of_their_own() {
        let mut hider = UsageChunkHider::new();
        assert!(!hider.push(&b"\n".repeat(100_000), &mut Vec::new()));
        assert!(hider.watch.ends.capacity() < 16, "{}", hider.watch.ends.capacity());
    }

    proptest! {
        /// Transparent: only the usage chunks are missing, however the stream is cut.
        #[test]
        fn transparent(picks in prop::collection::vec(0..EVENTS.len(), 0..10), cut in 1..90_usize) {
            let text: String = picks.iter().map(|pick| EVENTS[*pick]).collect();
            let left: String = picks.iter().filter(|pick| ![1, 2].contains(*pick)).map(|pick| EVENTS[*pick]).collect();
            let seen = String::from_utf8(hide(text.as_bytes(), cut)).expect("UTF-8");
            prop_assert_eq!(seen, left);
        }
    }
}
