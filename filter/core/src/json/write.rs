//! A writer for the flat JSON objects of events.

/// A JSON object that grows member by member. Names are ours and need no escape; values may hold anything.
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

    fn name(&mut self, name: &str) {
        if !core::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        text(&mut self.out, name);
        self.out.push(b':');
    }

    /// A text.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        text(&mut self.out, value);
    }

    /// A text, unless it is unknown.
    pub fn maybe_text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// An integer.
    pub fn number(&mut self, name: &str, value: impl Into<i128>) {
        self.name(name);
        self.out.extend_from_slice(value.into().to_string().as_bytes());
    }

    /// An integer, unless it is unknown.
    pub fn maybe_number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A value that is JSON already.
    pub fn json(&mut self, name: &str, value: &[u8]) {
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

fn text(out: &mut Vec<u8>, value: &str) {
    let before = out.len();
    // Writing a text to memory cannot fail; should it, an empty text keeps the JSON whole.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"\"\"");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_every_kind_of_member() {
        let mut object = Object::with_capacity(64);
        object.text("a", "q\"\n\u{1}é");
        object.maybe_text("none", None);
        object.number("b", -5_i64);
        object.flag("c", true);
        object.json("d", b"[1]");
        let parsed: serde_json::Value = serde_json::from_slice(&object.finish()).expect("JSON");
        assert_eq!(parsed, serde_json::json!({ "a": "q\"\n\u{1}é", "b": -5, "c": true, "d": [1] }));
        assert_eq!(Object::with_capacity(0).finish(), b"{}");
    }
}
