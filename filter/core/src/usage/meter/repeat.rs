//! Events of a stream that say nothing new but some text: nearly all events of a chat.
//!
//! What an event does to the [`Snapshot`] depends on its bytes and on the snapshot before it. An event that was read and left nothing behind
//! but the weight of its one text will do the same again, whatever that text is: so the events that follow it are compared with it, and of
//! those that are equal but for the text only the text is read. Nothing is taken for granted about what the other members mean.

use super::Snapshot;
use crate::json::scan::span::{self, Span};

/// Longest event that is remembered without its text, in bytes. Usual ones have 200 to 400.
const MAX_FORM: usize = 4_096;

/// What is known of the events that passed.
#[derive(Debug, Default)]
pub(super) enum Repeats {
    /// Nothing that is of use.
    #[default]
    Unknown,
    /// What the last event looks like.
    Seen(Form),
    /// What the last two look like, and what had been said after the last of them.
    Twice(Form, Box<Snapshot>),
    /// What the last events look like, of which the last one changed nothing but its text's weight.
    Proven(Form),
}

/// An event's bytes before its text and from the closing quote on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    before: Box<[u8]>,
    after: Box<[u8]>,
}

/// What texts weigh, and how long they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) weight: u64,
    pub(super) bytes: u64,
}

impl Repeats {
    /// The texts of such events that a piece begins with, and what follows them; `None` if no such event is known.
    pub(super) fn leading<'p>(&self, mut piece: &'p [u8]) -> Option<(Texts, &'p [u8])> {
        let Self::Proven(form) = self else { return None };
        let mut texts = Texts::default();
        while let Some((text, rest)) = form.first(piece) {
            piece = rest;
            texts.weight = texts.weight.saturating_add(text.weight);
            texts.bytes = texts.bytes.saturating_add(text.bytes);
        }
        Some((texts, piece))
    }

    /// A piece was read that was one event, whose only text stands there in its document, and `snapshot` is what has been said since.
    pub(super) fn learn(&mut self, piece: &[u8], text: core::ops::Range<u64>, snapshot: &Snapshot) {
        let Some(form) = Form::of(piece, text) else {
            self.forget();
            return;
        };
        *self = match core::mem::take(self) {
            Self::Seen(seen) if seen == form => Self::Twice(form, Box::new(snapshot.clone())),
            Self::Twice(seen, before) if seen == form && before.differs_in_text_only(snapshot) => Self::Proven(form),
            Self::Twice(seen, _) if seen == form => Self::Twice(form, Box::new(snapshot.clone())),
            Self::Proven(seen) if seen == form => Self::Proven(form),
            Self::Unknown | Self::Seen(_) | Self::Twice(..) | Self::Proven(_) => Self::Seen(form),
        };
    }

    /// Something else was read: what it said may be said again by an event that looked like nothing new before.
    pub(super) fn forget(&mut self) {
        if !matches!(self, Self::Unknown) {
            *self = Self::Unknown;
        }
    }
}

impl Form {
    /// The text of the event that a piece begins with, if it is one of these, and what follows it.
    fn first<'p>(&self, piece: &'p [u8]) -> Option<(Span, &'p [u8])> {
        let rest = after_prefix(piece, &self.before)?;
        let text = span::pass(rest, true);
        Some((text, after_prefix(rest.get(text.len..)?, &self.after)?))
    }

    /// Of an event whose document is on its first line of data, with the text at that place in the document.
    fn of(piece: &[u8], text: core::ops::Range<u64>) -> Option<Self> {
        let data = data_at(piece)?;
        let document = piece.get(data..)?;
        let [start, end] = [text.start, text.end].map(usize::try_from);
        let (start, end) = (start.ok()?, end.ok()?);
        let line = memchr::memchr2(b'\n', b'\r', document)?;
        let is_whole = end < line && span::pass(document.get(start..)?, true).len == end.checked_sub(start)?;
        let is_text = document.get(start.checked_sub(1)?) == Some(&b'"') && document.get(end) == Some(&b'"');
        let before = piece.get(..data.checked_add(start)?)?;
        let after = document.get(end..)?;
        let fits = before.len().saturating_add(after.len()) <= MAX_FORM;
        (is_whole && is_text && fits).then(|| Self { before: before.into(), after: after.into() })
    }
}

/// What follows the prefix, if it stands there. Compared eight bytes at a time: the way that WebAssembly gets by itself is one.
#[inline]
fn after_prefix<'p>(piece: &'p [u8], prefix: &[u8]) -> Option<&'p [u8]> {
    let (begun, rest) = piece.split_at_checked(prefix.len())?;
    let ((begun, begun_end), (prefix, prefix_end)) = (begun.as_chunks::<8>(), prefix.as_chunks::<8>());
    let pairs = begun.iter().zip(prefix).map(|(a, b)| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b));
    (pairs.fold(0, |any, differs| any | differs) == 0 && begun_end == prefix_end).then_some(rest)
}

/// Where the value of the first data line begins.
fn data_at(piece: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    loop {
        let rest = piece.get(at..)?;
        if let Some(value) = rest.strip_prefix(b"data:") {
            return at.checked_add(b"data:".len() + usize::from(value.first() == Some(&b' ')));
        }
        let line = memchr::memchr(b'\n', rest).filter(|line| *line > 0)?;
        at = at.checked_add(line)?.checked_add(1)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{dialect::DialectId, time::Timestamp, usage::meter::Meter};

    fn chunk(text: &str, more: &str) -> String {
        format!(
            "data: {{\"id\":\"c\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]{more}}}\n\n"
        )
    }

    fn delta(text: &str) -> String {
        format!(
            "event: content_block_delta\r\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\r\n\r\n"
        )
    }

    proptest! {
        /// It is what the standard library does, also where one byte differs.
        #[test]
        fn a_prefix_is_found(piece in prop::collection::vec(any::<u8>(), 0..40), len in 0_usize..45, at in 0_usize..40, by in 0_u8..3) {
            let mut prefix = piece.clone();
            prefix.resize(len, 0);
            if let Some(byte) = prefix.get_mut(at) {
                *byte ^= by;
            }
            prop_assert_eq!(after_prefix(&piece, &prefix), piece.strip_prefix(&prefix[..]));
        }
    }

    /// Pieces as given, and byte by byte, which repeats nothing; how many pieces were not read but for their text.
    fn read(dialect: DialectId, pieces: &[String]) -> (Snapshot, Snapshot, usize) {
        let operation = dialect.operations()[0];
        let meter = || Meter::new(operation, 200, b"text/event-stream", None);
        let (mut whole, mut single, mut repeated) = (meter(), meter(), 0);
        for (nth, piece) in pieces.iter().enumerate() {
            let now = Timestamp(nth as u64 + 1);
            let passed = whole.repeats(piece.as_bytes());
            repeated += usize::from(passed);
            if !passed {
                whole.push(piece.as_bytes(), now);
            }
            piece.as_bytes().chunks(1).for_each(|byte| single.push(byte, now));
        }
        whole.finish();
        single.finish();
        (whole.snapshot(), single.snapshot(), repeated)
    }

    #[test]
    fn ok_the_fourth_of_a_kind_is_not_read_again() {
        for (dialect, event) in [(DialectId::OpenAiChat, chunk("a", "")), (DialectId::AnthropicMessages, delta("a"))] {
            let (whole, single, repeated) = read(dialect, &vec![event; 10]);
            assert_eq!(whole, single);
            assert_eq!((repeated, whole.text_bytes), (7, 10), "{dialect:?}");
        }
    }

    #[test]
    fn ok_events_that_come_together_are_known_too() {
        let (whole, single, repeated) = read(DialectId::OpenAiChat, &vec![chunk("a", "").repeat(5); 4]);
        assert_eq!((&whole, repeated, whole.text_bytes), (&single, 3, 20));
        // Cut in the midst of one: its two parts are read.
        let five = chunk("a", "").repeat(5);
        let (begun, rest) = five.split_at(30);
        let pieces = [five.clone(), begun.to_owned(), rest.to_owned(), five.clone(), five.clone()];
        let (whole, single, repeated) = read(DialectId::OpenAiChat, &pieces);
        assert_eq!((&whole, repeated, whole.text_bytes), (&single, 2, 20));
    }

    #[test]
    fn ok_what_is_said_again_after_something_else_is_read() {
        let (usual, other) = (chunk("a", ""), chunk("a", r#","service_tier":"flex""#));
        let back = chunk("a", r#","service_tier":"auto""#);
        let mut pieces = vec![back.clone(); 6];
        pieces.extend([other, back, usual.clone(), usual]);
        let (whole, single, repeated) = read(DialectId::OpenAiChat, &pieces);
        assert_eq!((whole.service_tier.as_deref(), repeated), (Some("auto"), 3));
        assert_eq!(whole, single);
    }

    #[test]
    fn ok_an_event_that_counts_is_never_taken_for_a_repetition() {
        // Each of these finds the same bytes and leaves something else behind.
        let part = r#"event: x
data: {"type":"response.output_text.delta","delta":"a","response":{"usage":{"input_tokens":1}}}

"#;
        let (whole, single, _) = read(DialectId::OpenAiResponses, &vec![part.to_owned(); 6]);
        assert_eq!(whole, single);
    }

    proptest! {
        /// Any order of events that are nearly alike, several in a piece and now and then cut, with escapes, other keys of the same text and broken
        /// ones.
        #[test]
        fn as_byte_by_byte(
            pieces in prop::collection::vec(
                prop::collection::vec(
                    (0_usize..8, r#"[a-zé ]{0,3}(\\n|\\"|\\u00e9|\\x)?[.0-9]{0,80}"#),
                    1..6,
                ),
                0..16,
            ),
            usual in 0_usize..6,
            cuts in prop::collection::vec(prop_oneof![3 => Just(0_usize), 1 => 1_usize..400], 16),
        ) {
            let event = |(kind, text): &(usize, String)| match if *kind > 5 { usual } else { *kind } {
                0 => chunk(text, ""),
                1 => chunk(text, r#","usage":null"#),
                2 => chunk(text, &format!(r#","service_tier":"{text}""#)),
                3 => chunk(text, r#","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}"#),
                4 => format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\",\"reasoning_content\":\"{text}\"}}}}]}}\n\n"),
                _ => format!(": x\ndata:{{\"choices\":\ndata: [{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"),
            };
            let pieces = pieces.iter().zip(cuts).flat_map(|(events, cut)| {
                let whole: String = events.iter().map(event).collect();
                let cut = if whole.is_char_boundary(cut) { cut } else { 0 };
                let (begun, rest) = whole.split_at(cut.min(whole.len()));
                [begun.to_owned(), rest.to_owned()]
            });
            let pieces: Vec<String> = pieces.collect();
            let (whole, single, _) = read(DialectId::OpenAiChat, &pieces);
            prop_assert_eq!(whole, single);
        }
    }
}
