//! Server-sent events, by the grammar of the WHATWG HTML standard (section 9.2, "Server-sent events").

/// Takes what the framer finds. Pieces of data come as they pass: nothing is buffered.
pub trait SseSink {
    /// A piece of the event's data. Lines are joined by `\n`, which comes as a piece of its own.
    fn data(&mut self, bytes: &[u8]);
    /// The event's name, whole, cut to [`MAX_NAME`] bytes, as soon as its line ends. Servers write it before the data; it may come after.
    fn event_name(&mut self, name: &[u8]);
    /// An event ended `end` bytes into the pushed piece. Without a data line it means nothing.
    fn end_of_event(&mut self, end: usize, has_data: bool);
}

/// Longest event name that is kept, in bytes; longer than any in use.
pub const MAX_NAME: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the name of a field, of which so many bytes have come.
    Field,
    /// After the colon: one space is skipped.
    Space(Name),
    Value(Name),
    /// In a comment or a field that is not wanted.
    Skip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Data,
    Event,
}

/// Splits a stream into events. Lines may end in LF, CR LF or CR; the stream may be cut anywhere.
///
/// Memory: the name of a field and of an event, at most 64 bytes each.
#[derive(Debug)]
pub struct SseFramer {
    state: State,
    /// The name of the field so far; longer names are none of ours.
    field: Vec<u8>,
    event: Vec<u8>,
    /// Whether the line has no byte yet.
    at_line_start: bool,
    /// The last byte was a CR: a LF that follows belongs to it.
    after_cr: bool,
    /// An empty line ended in CR: the event ends there, or one byte later if that is a LF.
    ends_pending: bool,
    has_data: bool,
    /// How much of the byte order mark has come; past 3, the stream has begun.
    mark: usize,
}

/// Where the first event of a piece has ended: past an empty line, if lines end in LF or CR LF. A piece may begin in the midst of a line.
#[must_use]
pub fn end_of_first(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).map(|at| at.saturating_add(1)).find_map(|at| match bytes.get(at..)? {
        [b'\n', ..] => at.checked_add(1),
        [b'\r', b'\n', ..] => at.checked_add(2),
        _ => None,
    })
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Default for SseFramer {
    fn default() -> Self {
        Self {
            state: State::Field,
            field: Vec::new(),
            event: Vec::new(),
            at_line_start: true,
            after_cr: false,
            ends_pending: false,
            has_data: false,
            mark: 0,
        }
    }
}

impl SseFramer {
    /// Takes the next piece.
    pub fn push(&mut self, bytes: &[u8], sink: &mut impl SseSink) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.mark < BYTE_ORDER_MARK.len() && self.is_mark(byte) {
                at += 1;
                continue;
            }
            if core::mem::take(&mut self.ends_pending) {
                let end = if byte == b'\n' { at + 1 } else { at };
                self.end(end, sink);
                if byte == b'\n' {
                    self.after_cr = false;
                    at = end;
                    continue;
                }
            }
            if core::mem::take(&mut self.after_cr) && byte == b'\n' {
                at += 1;
                continue;
            }
            if matches!(byte, b'\n' | b'\r') {
                at += 1;
                self.line_end(byte, at, sink);
                continue;
            }
            at = self.line(bytes, at, byte, sink);
        }
    }

    /// Says that the stream is over. An event without its empty line still counts: several servers leave the last one out.
    pub fn finish(&mut self, sink: &mut impl SseSink) {
        if core::mem::take(&mut self.ends_pending) {
            self.end(0, sink);
        }
        if !self.at_line_start {
            self.line_end(b'\n', 0, sink);
        }
        if self.has_data || !self.event.is_empty() {
            self.end(0, sink);
        }
    }

    /// Whether the last event, if there was one, has ended and nothing of the next has come.
    #[must_use]
    #[inline]
    pub fn is_between(&self) -> bool {
        let is_line_end = self.ends_pending || self.after_cr;
        (self.mark == 0 || self.mark == BYTE_ORDER_MARK.len())
            && self.at_line_start
            && !is_line_end
            && !self.has_data
            && self.event.is_empty()
    }

    /// Whether the byte belongs to a byte order mark at the start of the stream.
    #[inline]
    fn is_mark(&mut self, byte: u8) -> bool {
        if BYTE_ORDER_MARK.get(self.mark) == Some(&byte) {
            self.mark += 1;
            return true;
        }
        // What only began like a mark is the beginning of a line.
        let begun = BYTE_ORDER_MARK.get(..self.mark).unwrap_or_default();
        self.at_line_start &= begun.is_empty();
        self.field.extend_from_slice(begun);
        self.mark = BYTE_ORDER_MARK.len();
        false
    }

    /// Takes bytes within a line, from `at`; gives back where it stopped.
    fn line(&mut self, bytes: &[u8], at: usize, byte: u8, sink: &mut impl SseSink) -> usize {
        let begins = core::mem::take(&mut self.at_line_start);
        // As nearly all lines begin, unless one is cut there.
        if begins && self.field.is_empty() && bytes.get(at..).is_some_and(|rest| rest.starts_with(b"data: ")) {
            self.state = State::Space(Name::Data);
            self.begin_value(sink);
            self.state = State::Value(Name::Data);
            return at + b"data: ".len();
        }
        match self.state {
            State::Field if byte == b':' => {
                self.state = match self.field.as_slice() {
                    b"data" => State::Space(Name::Data),
                    b"event" => State::Space(Name::Event),
                    _ => State::Skip,
                };
                self.begin_value(sink);
                at + 1
            }
            State::Field => {
                if self.field.len() < MAX_NAME {
                    self.field.push(byte);
                }
                at + 1
            }
            State::Space(name) => {
                self.state = State::Value(name);
                if byte == b' ' { at + 1 } else { at }
            }
            State::Value(_) | State::Skip => {
                let rest = bytes.get(at..).unwrap_or_default();
                let len = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                let run = rest.get(..len).unwrap_or_default();
                match self.state {
                    State::Value(Name::Data) => sink.data(run),
                    State::Value(Name::Event) => {
                        let room = MAX_NAME.saturating_sub(self.event.len());
                        self.event.extend_from_slice(run.get(..room).unwrap_or(run));
                    }
                    _ => {}
                }
                at + len
            }
        }
    }

    fn begin_value(&mut self, sink: &mut impl SseSink) {
        match self.state {
            State::Space(Name::Data) if core::mem::replace(&mut self.has_data, true) => {
                sink.data(b"\n");
            }
            State::Space(Name::Event) => self.event.clear(),
            _ => {}
        }
    }

    fn line_end(&mut self, byte: u8, at: usize, sink: &mut impl SseSink) {
        self.after_cr = byte == b'\r';
        if self.at_line_start {
            if self.after_cr {
                self.ends_pending = true;
            } else {
                self.end(at, sink);
            }
            return;
        }
        // A field without a colon has the empty value.
        let name = match (self.state, self.field.as_slice()) {
            (State::Field, b"data") => Some(Name::Data),
            (State::Field, b"event") => Some(Name::Event),
            _ => None,
        };
        if let Some(name) = name {
            self.state = State::Space(name);
            self.begin_value(sink);
        }
        if matches!(self.state, State::Space(Name::Event) | State::Value(Name::Event)) {
            sink.event_name(&self.event);
        }
        self.state = State::Field;
        self.field.clear();
        self.at_line_start = true;
    }

    fn end(&mut self, at: usize, sink: &mut impl SseSink) {
        self.event.clear();
        sink.end_of_event(at, core::mem::take(&mut self.has_data));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Collect {
        open: Vec<u8>,
        name: Vec<u8>,
        events: Vec<(String, String, bool)>,
        ends: Vec<usize>,
    }

    impl SseSink for Collect {
        fn data(&mut self, bytes: &[u8]) {
            self.open.extend_from_slice(bytes);
        }
        fn event_name(&mut self, name: &[u8]) {
            self.name = name.to_vec();
        }
        fn end_of_event(&mut self, end: usize, has_data: bool) {
            let text = |bytes: &mut Vec<u8>| String::from_utf8_lossy(&core::mem::take(bytes)).into_owned();
            self.events.push((text(&mut self.name), text(&mut self.open), has_data));
            self.ends.push(end);
        }
    }

    fn frame(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let (mut framer, mut sink) = (SseFramer::default(), Collect::default());
        for piece in pieces {
            framer.push(piece, &mut sink);
        }
        framer.finish(&mut sink);
        sink.events.into_iter().filter(|(_, _, has)| *has).map(|(name, data, _)| (name, data)).collect()
    }

    #[test]
    fn ok_the_first_event_of_several() {
        let ends = [
            ("", None),
            ("a", None),
            ("a\n", None),
            ("a\n\n", Some(3)),
            ("a\r\n\r\nb", Some(5)),
            ("\n\nb\n\n", Some(2)),
        ];
        for (bytes, end) in ends {
            assert_eq!(end_of_first(bytes.as_bytes()), end, "{bytes:?}");
        }
        assert_eq!(end_of_first(b"a\nb\n\nc"), Some(5));
        assert_eq!(end_of_first(b"a\r\rb\n\r"), None, "left to the framer");
    }

    #[test]
    fn ok_lines_names_and_comments() {
        let text = "\u{feff}: hi\nevent: a\ndata: 1\ndata:2\nid: 7\n\ndata\n\n: OPENROUTER PROCESSING\n\ndata:  x\r\n\r\ndata: cr\r\rdata: end";
        let pair = |name: &str, data: &str| (name.to_owned(), data.to_owned());
        assert_eq!(
            frame(&[text.as_bytes()]),
            [pair("a", "1\n2"), pair("", ""), pair("", " x"), pair("", "cr"), pair("", "end")]
        );
    }

    #[test]
    fn ok_an_event_ends_after_all_of_its_line_end() {
        let (mut framer, mut sink) = (SseFramer::default(), Collect::default());
        framer.push(b"data: 1\r\n\r\ndata: 2\n\n", &mut sink);
        assert_eq!(sink.ends, [11, 20]);
        let (mut framer, mut sink) = (SseFramer::default(), Collect::default());
        framer.push(b"data: 1\r\n\r", &mut sink);
        assert!(sink.ends.is_empty());
        framer.push(b"\ndata: 2", &mut sink);
        assert_eq!(sink.ends, [1]);
    }

    #[test]
    fn ok_a_field_without_a_colon_has_the_empty_value() {
        assert_eq!(frame(&[b"event: a\nevent\ndata\n\n"]), [(String::new(), String::new())]);
    }

    #[test]
    fn ok_half_a_byte_order_mark_is_none() {
        assert_eq!(frame(&[b"\xef\xbbdata: 1\n\n"]), []);
        let (mut framer, mut sink) = (SseFramer::default(), Collect::default());
        framer.push(b"\xef\n\n", &mut sink);
        assert_eq!(sink.ends, [3], "the first line is not empty");
    }

    proptest! {
        /// Cut anywhere: how a stream is cut changes nothing.
        #[test]
        fn cut_anywhere(lines in prop::collection::vec("(data|event|id|:|x)?:? ?[a\r\n]{0,3}", 0..12), at in any::<prop::sample::Index>()) {
            let text = lines.concat();
            let whole = frame(&[text.as_bytes()]);
            let (a, b) = text.as_bytes().split_at(at.index(text.len() + 1));
            prop_assert_eq!(&frame(&[a, b]), &whole);
            let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            prop_assert_eq!(&frame(&single), &whole);
        }
    }
}
