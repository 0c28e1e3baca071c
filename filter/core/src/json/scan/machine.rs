//! The state machine of the scanner.

use super::{Found, MAX_NUMBER, MAX_TEXT, Shape, Value, span};
use crate::{json::word::Word, usage::estimate};

/// Deepest nesting that is followed. Real bodies stay below twenty; past it the document counts as malformed, so that a body of
/// nothing but brackets costs no more than a few kilobytes.
const MAX_DEPTH: usize = 512;

/// Longest key or number that is looked at as a whole: longer ones are taken piece by piece.
const MAX_WHOLE: usize = 32;

const fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

/// Where the first quote or backslash stands, unless that is farther than a key is looked at as a whole.
fn end_of_key(bytes: &[u8]) -> Option<usize> {
    let (words, tail) = bytes.get(..MAX_WHOLE).unwrap_or(bytes).as_chunks::<8>();
    for (nth, word) in words.iter().enumerate() {
        let word = Word::new(*word);
        if let Some(place) = word.equal(b'"').or(word.equal(b'\\')).first() {
            return Some((nth * 8).saturating_add(place));
        }
    }
    let place = tail.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some((words.len() * 8).saturating_add(place))
}

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// One whole value.
    Complete,
    /// The beginning of a value.
    Incomplete,
    /// Nothing but white space.
    Empty,
    /// Not JSON.
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value must follow.
    Value,
    /// After `[`: a value or `]`.
    FirstItem,
    /// After `{`: a key or `}`.
    FirstKey,
    /// After `,` in an object.
    Key,
    Colon,
    /// A comma or the closing bracket.
    Next,
    Text,
    /// After a backslash.
    Escape,
    /// In `\uXXXX`: digits still to come, and what they say so far.
    Unicode(u8, u16),
    Number,
    /// In `true`, `false` or `null`: what is still to come.
    Literal(&'static [u8]),
    Done,
    Broken,
}

/// An object or array that is open.
#[derive(Clone, Copy, Debug)]
struct Frame {
    shape: Option<&'static Shape>,
    is_object: bool,
    members: u64,
    start: u64,
}

/// What is kept of the text or number that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    Nothing,
    /// Its first bytes, and how long it is.
    Head,
    /// What it weighs, and how long it is.
    Weight,
}

impl Keep {
    /// What is kept of a value of that shape.
    fn of(shape: Option<&Shape>) -> Self {
        match shape.and_then(|shape| shape.field) {
            None => Self::Nothing,
            Some(field) if field.is_weighed() => Self::Weight,
            Some(_) => Self::Head,
        }
    }
}

/// Picks the values of one [`Shape`] out of a document that comes in pieces.
///
/// Memory: a frame of 40 bytes for each open bracket, at most 512 of them, and one text or number of at most 256 bytes.
/// A key that stands twice is picked twice; the last one is what a parser would keep.
#[derive(Debug)]
pub struct Scanner {
    root: &'static Shape,
    stack: Vec<Frame>,
    state: State,
    /// Bytes consumed.
    offset: u64,
    /// The shape of the value that comes or passes.
    shape: Option<&'static Shape>,
    /// Whether the text that passes is a key.
    is_key: bool,
    keep: Keep,
    /// Where the value that passes began.
    start: u64,
    kept: Vec<u8>,
    text_bytes: u64,
    text_chars: u64,
    text_weight: u64,
    /// The first half of a surrogate pair.
    high: Option<u16>,
    literal: Value<'static>,
}

impl Scanner {
    /// A scanner at the start of a document.
    #[must_use]
    pub const fn new(root: &'static Shape) -> Self {
        Self {
            root,
            stack: Vec::new(),
            state: State::Value,
            offset: 0,
            shape: Some(root),
            is_key: false,
            keep: Keep::Nothing,
            start: 0,
            kept: Vec::new(),
            text_bytes: 0,
            text_chars: 0,
            text_weight: 0,
            high: None,
            literal: Value::Null,
        }
    }

    /// Back to the start of a document; what was allocated stays.
    pub fn reset(&mut self) {
        self.stack.clear();
        self.kept.clear();
        self.state = State::Value;
        self.offset = 0;
        self.shape = Some(self.root);
        self.is_key = false;
    }

    /// Whether what has come so far is not JSON. Nothing more will be picked.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Whether a whole value has come.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next piece and gives what it completes to `found`, in the order of the document. Anything but white space after the
    /// document is no JSON.
    pub fn push(&mut self, bytes: &[u8], found: &mut impl FnMut(Found<'_>)) {
        if self.push_one(bytes, found) < bytes.len() {
            self.state = State::Broken;
        }
    }

    /// As [`Self::push`], but stops where the document ends and another begins; how many bytes were taken.
    pub fn push_one(&mut self, bytes: &[u8], found: &mut impl FnMut(Found<'_>)) -> usize {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if self.state == State::Text {
                rest = self.text(rest, found);
                continue;
            }
            if let Some(after) = self.whole(rest, found) {
                rest = after;
                continue;
            }
            if self.state == State::Done && !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                break;
            }
            if let State::Literal(wanted) = self.state
                && let Some(after) = rest.strip_prefix(wanted)
            {
                // Seldom is one cut in two.
                self.offset = self.offset.saturating_add(wanted.len() as u64);
                self.emit(self.literal, self.start, self.offset, found);
                self.after_value();
                rest = after;
                continue;
            }
            let again = self.step(byte, found);
            if self.state == State::Broken {
                return bytes.len();
            }
            if !again {
                self.offset = self.offset.saturating_add(1);
                rest = after;
            }
        }
        bytes.len() - rest.len()
    }

    /// Takes a key or a number that is whole in these bytes, as nearly all are, without keeping it: the bytes after it. What it does is what
    /// comes of taking it byte by byte.
    #[inline]
    fn whole<'b>(&mut self, bytes: &'b [u8], found: &mut impl FnMut(Found<'_>)) -> Option<&'b [u8]> {
        match (self.state, bytes) {
            (State::FirstKey | State::Key, [b'"', after @ ..]) => self.whole_key(after),
            (State::Value | State::FirstItem, [b'-' | b'0'..=b'9', ..]) => self.whole_number(bytes, found),
            _ => None,
        }
    }

    fn whole_key<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let end = end_of_key(bytes)?;
        let (key, [b'"', rest @ ..]) = bytes.split_at_checked(end)? else { return None };
        let frame = self.stack.last_mut()?;
        frame.members = frame.members.saturating_add(1);
        self.shape = frame.shape.and_then(|shape| shape.member(key));
        self.offset = self.offset.saturating_add(key.len() as u64).saturating_add(2);
        let [b':', rest @ ..] = rest else {
            self.state = State::Colon;
            return Some(rest);
        };
        self.offset = self.offset.saturating_add(1);
        self.state = State::Value;
        Some(rest)
    }

    fn whole_number<'b>(&mut self, bytes: &'b [u8], found: &mut impl FnMut(Found<'_>)) -> Option<&'b [u8]> {
        let end = bytes.iter().take(MAX_WHOLE).position(|byte| !is_of_number(*byte))?;
        let (number, rest) = bytes.split_at_checked(end)?;
        self.begin_value();
        self.offset = self.offset.saturating_add(number.len() as u64);
        self.emit(Value::Number(number), self.start, self.offset, found);
        self.after_value();
        Some(rest)
    }

    /// Says that no more bytes come.
    pub fn finish(&mut self, found: &mut impl FnMut(Found<'_>)) -> End {
        if self.state == State::Number && self.stack.is_empty() {
            self.number(found);
        }
        match self.state {
            State::Done => End::Complete,
            State::Broken => End::Malformed,
            State::Value if self.stack.is_empty() => End::Empty,
            _ => End::Incomplete,
        }
    }

    /// Takes one byte outside of a text; `true` if the byte only ended a number and must be looked at again.
    fn step(&mut self, byte: u8, found: &mut impl FnMut(Found<'_>)) -> bool {
        match self.state {
            State::Number => {
                if is_of_number(byte) {
                    if self.keep != Keep::Nothing && self.kept.len() < MAX_NUMBER {
                        self.kept.push(byte);
                    }
                } else {
                    self.number(found);
                    return true;
                }
            }
            State::Literal(rest) => self.literal(rest, byte, found),
            State::Escape => self.escape(byte),
            State::Unicode(left, code) => self.unicode(left, code, byte),
            State::Text | State::Broken => {}
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => {}
            State::Value => self.value(byte, found),
            State::FirstItem if byte == b']' => self.close(false, found),
            State::FirstItem => self.value(byte, found),
            State::FirstKey if byte == b'}' => self.close(true, found),
            State::FirstKey | State::Key if byte == b'"' => {
                self.is_key = true;
                let has_members = |shape: &&Shape| !shape.members.is_empty();
                let is_kept = self.stack.last().and_then(|frame| frame.shape).as_ref().is_some_and(has_members);
                self.open_text(if is_kept { Keep::Head } else { Keep::Nothing });
            }
            State::Colon if byte == b':' => self.state = State::Value,
            State::Next => match (byte, self.stack.last().map(|frame| frame.is_object)) {
                (b',', Some(true)) => self.state = State::Key,
                (b',', Some(false)) => {
                    self.shape = self.stack.last().and_then(|frame| frame.shape?.items);
                    self.state = State::Value;
                }
                (b'}', Some(true)) => self.close(true, found),
                (b']', Some(false)) => self.close(false, found),
                _ => self.state = State::Broken,
            },
            State::FirstKey | State::Key | State::Colon | State::Done => self.state = State::Broken,
        }
        false
    }

    fn begin_value(&mut self) {
        self.start = self.offset;
        if let Some(frame) = self.stack.last_mut()
            && !frame.is_object
        {
            frame.members = frame.members.saturating_add(1);
        }
    }

    fn value(&mut self, byte: u8, found: &mut impl FnMut(Found<'_>)) {
        self.begin_value();
        let mut literal = |value, rest| {
            self.literal = value;
            self.state = State::Literal(rest);
        };
        match byte {
            b'{' => self.open(true, found),
            b'[' => self.open(false, found),
            b'"' => {
                self.is_key = false;
                self.open_text(Keep::of(self.shape));
            }
            b't' => literal(Value::Bool(true), b"rue"),
            b'f' => literal(Value::Bool(false), b"alse"),
            b'n' => literal(Value::Null, b"ull"),
            b'-' | b'0'..=b'9' => {
                self.state = State::Number;
                self.kept.clear();
                self.keep = Keep::of(self.shape);
                if self.keep != Keep::Nothing {
                    self.kept.push(byte);
                }
            }
            _ => self.state = State::Broken,
        }
    }

    #[inline]
    fn open(&mut self, is_object: bool, found: &mut impl FnMut(Found<'_>)) {
        if self.stack.len() >= MAX_DEPTH {
            self.state = State::Broken;
            return;
        }
        let value = if is_object { Value::ObjectStart } else { Value::ArrayStart };
        self.emit(value, self.start, self.offset.saturating_add(1), found);
        self.stack.push(Frame { shape: self.shape, is_object, members: 0, start: self.start });
        self.shape = if is_object { None } else { self.shape.and_then(|shape| shape.items) };
        self.state = if is_object { State::FirstKey } else { State::FirstItem };
    }

    fn close(&mut self, is_object: bool, found: &mut impl FnMut(Found<'_>)) {
        let Some(frame) = self.stack.pop() else {
            self.state = State::Broken;
            return;
        };
        self.shape = frame.shape;
        let value = if is_object { Value::ObjectEnd(frame.members) } else { Value::ArrayEnd(frame.members) };
        self.emit(value, frame.start, self.offset.saturating_add(1), found);
        self.after_value();
    }

    fn after_value(&mut self) {
        self.state = if self.stack.is_empty() { State::Done } else { State::Next };
    }

    fn emit(&self, value: Value<'_>, start: u64, end: u64, found: &mut impl FnMut(Found<'_>)) {
        if let Some(field) = self.shape.and_then(|shape| shape.field) {
            found(Found { field, value, start, end });
        }
    }

    fn number(&mut self, found: &mut impl FnMut(Found<'_>)) {
        if self.keep != Keep::Nothing {
            self.emit(Value::Number(&self.kept), self.start, self.offset, found);
        }
        self.after_value();
    }

    fn literal(&mut self, rest: &'static [u8], byte: u8, found: &mut impl FnMut(Found<'_>)) {
        match rest.split_first() {
            Some((wanted, rest)) if *wanted == byte => {
                self.state = State::Literal(rest);
                if rest.is_empty() {
                    self.emit(self.literal, self.start, self.offset.saturating_add(1), found);
                    self.after_value();
                }
            }
            _ => self.state = State::Broken,
        }
    }

    fn open_text(&mut self, keep: Keep) {
        self.keep = keep;
        self.kept.clear();
        self.text_bytes = 0;
        self.text_chars = 0;
        self.text_weight = 0;
        self.high = None;
        self.state = State::Text;
    }

    /// Takes bytes of a text up to its end or an escape, and gives back those after.
    fn text<'b>(&mut self, bytes: &'b [u8], found: &mut impl FnMut(Found<'_>)) -> &'b [u8] {
        let passed = if self.keep == Keep::Head { self.head(bytes) } else { self.span(bytes) };
        self.offset = self.offset.saturating_add(passed as u64);
        let rest = bytes.get(passed..).unwrap_or_default();
        let Some((&byte, rest)) = rest.split_first() else { return rest };
        if byte == b'\\' {
            self.state = State::Escape;
        } else {
            self.lone_surrogate();
            self.close_text(found);
        }
        self.offset = self.offset.saturating_add(1);
        rest
    }

    /// Keeps plain bytes up to the next escape or the end of the text; how many there were.
    fn head(&mut self, bytes: &[u8]) -> usize {
        let plain = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        if plain > 0 {
            self.lone_surrogate();
            self.keep(bytes.get(..plain).unwrap_or(bytes));
        }
        plain
    }

    /// Passes bytes that are weighed or not wanted at all, and the escapes that mean one letter; how many there were.
    #[inline]
    fn span(&mut self, bytes: &[u8]) -> usize {
        if self.high.is_some() {
            match bytes.first() {
                // Its second half may follow.
                None | Some(b'\\') => return 0,
                Some(_) => self.lone_surrogate(),
            }
        }
        let span = span::pass(bytes, self.keep == Keep::Weight);
        self.text_bytes = self.text_bytes.saturating_add(span.bytes);
        self.text_chars = self.text_chars.saturating_add(span.chars);
        self.text_weight = self.text_weight.saturating_add(span.weight);
        span.len
    }

    fn keep(&mut self, run: &[u8]) {
        match self.keep {
            Keep::Nothing => return,
            Keep::Head => {
                let room = MAX_TEXT.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(run.get(..room).unwrap_or(run));
            }
            Keep::Weight => {
                self.text_chars = self.text_chars.saturating_add(span::characters(run));
                self.text_weight = self.text_weight.saturating_add(estimate::weigh(run));
            }
        }
        self.text_bytes = self.text_bytes.saturating_add(run.len() as u64);
    }

    /// Half of a surrogate pair stands for nothing: it reads as the replacement character.
    fn lone_surrogate(&mut self) {
        if self.high.take().is_some() {
            self.keep("\u{fffd}".as_bytes());
        }
    }

    fn close_text(&mut self, found: &mut impl FnMut(Found<'_>)) {
        if self.is_key {
            let shape = self.stack.last_mut().and_then(|frame| {
                frame.members = frame.members.saturating_add(1);
                frame.shape
            });
            let key = &self.kept;
            let is_whole = self.text_bytes == key.len() as u64;
            self.shape = shape.filter(|_| self.keep == Keep::Head && is_whole).and_then(|shape| shape.member(key));
            self.state = State::Colon;
            return;
        }
        if self.keep != Keep::Nothing {
            let value = Value::Text {
                head: &self.kept,
                bytes: self.text_bytes,
                chars: self.text_chars,
                weight: self.text_weight,
            };
            self.emit(value, self.start, self.offset.saturating_add(1), found);
        }
        self.after_value();
    }

    fn escape(&mut self, byte: u8) {
        if byte == b'u' {
            self.state = State::Unicode(4, 0);
            return;
        }
        let Some(plain) = span::unescaped(byte) else {
            self.state = State::Broken;
            return;
        };
        self.lone_surrogate();
        self.keep(&[plain]);
        self.state = State::Text;
    }

    fn unicode(&mut self, left: u8, code: u16, byte: u8) {
        let Some(digit) = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok()) else {
            self.state = State::Broken;
            return;
        };
        let code = code << 4 | digit;
        if left > 1 {
            self.state = State::Unicode(left.saturating_sub(1), code);
            return;
        }
        self.state = State::Text;
        let mut utf8 = [0; 4];
        match (self.high.take(), code) {
            (Some(high), 0xdc00..=0xdfff) => {
                let pair = 0x1_0000 + ((u32::from(high) & 0x3ff) << 10 | u32::from(code) & 0x3ff);
                let c = char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER);
                self.keep(c.encode_utf8(&mut utf8).as_bytes());
            }
            (before, _) => {
                if before.is_some() {
                    self.keep("\u{fffd}".as_bytes());
                }
                if matches!(code, 0xd800..=0xdbff) {
                    self.high = Some(code);
                } else {
                    let c = char::from_u32(u32::from(code)).unwrap_or(char::REPLACEMENT_CHARACTER);
                    self.keep(c.encode_utf8(&mut utf8).as_bytes());
                }
            }
        }
    }
}
