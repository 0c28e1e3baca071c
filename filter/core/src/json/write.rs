//! A writer for the flat JSON objects of events.

use super::word::Word;

/// A JSON object that grows member by member. Names and values may hold anything.
#[derive(Debug)]
pub struct Object {
    out: Vec<u8>,
    is_empty: bool,
}

impl Object {
    /// An empty object with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        out.push(b'{');
        Self { out, is_empty: true }
    }

    #[inline]
    fn comma(&mut self) {
        if !core::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
    }

    /// Names that stand in the code are plain words: nothing in them is to be escaped.
    fn name(&mut self, name: &'static str) {
        if core::mem::take(&mut self.is_empty) {
            self.out.push(b'"');
        } else {
            self.out.extend_from_slice(b",\"");
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A text.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        text(&mut self.out, value);
    }

    /// A name that somebody else has given, such as a label's.
    fn label(&mut self, name: &str) {
        self.comma();
        text(&mut self.out, name);
        self.out.push(b':');
    }

    /// A text under a name that somebody else has given.
    pub fn labelled(&mut self, name: &str, value: &str) {
        self.label(name);
        text(&mut self.out, value);
    }

    /// A text, unless it is unknown.
    pub fn maybe_text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// An integer.
    pub fn number(&mut self, name: &'static str, value: impl Into<i128>) {
        self.name(name);
        let value = value.into();
        match u64::try_from(value) {
            // Not by the detour over numbers of 128 bits, which WebAssembly does not have.
            Ok(value) => self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
            Err(_) => self.out.extend_from_slice(value.to_string().as_bytes()),
        }
    }

    /// An integer, unless it is unknown.
    pub fn maybe_number(&mut self, name: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    /// A value that is JSON already, under a name that somebody else has given.
    pub fn labelled_json(&mut self, name: &str, value: &[u8]) {
        self.label(name);
        self.out.extend_from_slice(value);
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &'static str, value: bool) {
        self.name(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// An object, written in place.
    pub fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Self)) {
        self.name(name);
        self.within(write);
    }

    /// An array of objects, written in place.
    pub fn array(&mut self, name: &'static str, write: impl FnOnce(&mut Elements<'_>)) {
        self.name(name);
        self.out.push(b'[');
        self.is_empty = true;
        write(&mut Elements(self));
        self.out.push(b']');
        self.is_empty = false;
    }

    fn within(&mut self, write: impl FnOnce(&mut Self)) {
        self.out.push(b'{');
        self.is_empty = true;
        write(self);
        self.out.push(b'}');
        self.is_empty = false;
    }

    /// A value that is JSON already.
    pub fn json(&mut self, name: &'static str, value: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(value);
    }

    /// The finished object.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

/// The objects of an array that grows.
#[derive(Debug)]
pub struct Elements<'o>(&'o mut Object);

impl Elements<'_> {
    /// One more.
    pub fn object(&mut self, write: impl FnOnce(&mut Object)) {
        self.0.comma();
        self.0.within(write);
    }
}

/// An array of values that are JSON already.
#[must_use]
pub fn array(values: &[Vec<u8>]) -> Vec<u8> {
    let bytes = values.iter().fold(2_usize, |sum, value| sum.saturating_add(value.len()).saturating_add(1));
    let mut out = Vec::with_capacity(bytes);
    out.push(b'[');
    for (nth, value) in values.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        out.extend_from_slice(value);
    }
    out.push(b']');
    out
}

fn text(out: &mut Vec<u8>, value: &str) {
    if is_plain(value.as_bytes()) {
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
        return;
    }
    let before = out.len();
    // Writing a text to memory cannot fail; should it, an empty text keeps the JSON whole.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"\"\"");
    }
}

/// Whether nothing in a text is to be escaped. Looked at without a way out in between; the last bytes are looked at together with some
/// before them, so that none is left over.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let special = |bytes: &[u8; 8]| {
        let word = Word::new(*bytes);
        word.below(b' ').or(word.equal(b'"')).or(word.equal(b'\\'))
    };
    match text.last_chunk::<8>() {
        Some(last) => !text.as_chunks::<8>().0.iter().fold(special(last), |any, bytes| any.or(special(bytes))).is_any(),
        None => !text.iter().any(|byte| matches!(byte, ..b' ' | b'"' | b'\\')),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Any text, also where its only special letter is one of the first, one of the last or one between.
        #[test]
        fn as_serde_writes_it(mut value in ".{0,70}", at in 0_usize..80, letter in "[\u{0}-\u{22}\\\\]") {
            for _ in 0..2 {
                let mut out = Vec::new();
                text(&mut out, &value);
                prop_assert_eq!(out, serde_json::to_vec(&value).expect("JSON"));
                let at = value.char_indices().nth(at).map_or(value.len(), |(at, _)| at);
                value.insert_str(at, &letter);
            }
        }
    }

    #[test]
    fn ok_every_kind_of_member() {
        let mut object = Object::with_capacity(64);
        object.text("a", "q\"\n\u{1}é");
        object.maybe_text("none", None);
        object.number("b", -5_i64);
        object.flag("c", true);
        object.json("d", b"[1]");
        object.labelled("e\"\\\n", "\t");
        let parsed: serde_json::Value = serde_json::from_slice(&object.finish()).expect("JSON");
        assert_eq!(parsed, serde_json::json!({ "a": "q\"\n\u{1}é", "b": -5, "c": true, "d": [1], "e\"\\\n": "\t" }));
        assert_eq!(Object::with_capacity(0).finish(), b"{}");
        let mut nested = Object::with_capacity(0);
        nested.object("a", |_| {});
        nested.array("b", |list| [1, 2].iter().for_each(|number| list.object(|object| object.number("n", *number))));
        nested.array("c", |_| {});
        nested.flag("d", true);
        assert_eq!(nested.finish(), br#"{"a":{},"b":[{"n":1},{"n":2}],"c":[],"d":true}"#);
        assert_eq!(array(&[]), b"[]");
        assert_eq!(array(&[b"1".to_vec(), b"{}".to_vec()]), b"[1,{}]");
        let mut numbers = Object::with_capacity(0);
        numbers.number("a", 0);
        numbers.number("b", 1_234_567_890);
        numbers.number("c", u64::MAX);
        numbers.number("d", i128::from(u64::MAX) + 1);
        numbers.number("e", i64::MIN);
        let text =
            format!(r#"{{"a":0,"b":1234567890,"c":{},"d":{},"e":{}}}"#, u64::MAX, i128::from(u64::MAX) + 1, i64::MIN);
        assert_eq!(numbers.finish(), text.as_bytes());
    }
}
