//! The fields of a `multipart/form-data` body (RFC 7578, RFC 2046 section 5.1), read as it passes.

use crate::json::scan::MAX_TEXT;

/// Takes what the reader finds.
pub trait FormSink {
    /// A field that is no file, whole.
    fn field(&mut self, name: &[u8], value: FormValue<'_>);
    /// A file begins; what is in it is not looked at.
    fn file(&mut self);
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormValue<'a> {
    /// Its first [`MAX_TEXT`] bytes.
    pub head: &'a [u8],
    /// Length in bytes.
    pub bytes: u64,
    /// How many of those are not ASCII.
    pub non_ascii: u64,
    /// Length in characters, if it is UTF-8.
    pub chars: u64,
}

/// Longest header line of a part that is kept, in bytes; longer ones are cut.
const MAX_LINE: usize = 512;
/// Longest boundary, in bytes. RFC 2046 allows 70; some clients take longer ones.
const MAX_BOUNDARY: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first part.
    Preamble,
    /// After a boundary: so many dashes have come, the rest of the line is skipped.
    Boundary(u8),
    /// In the header lines of a part.
    Headers,
    /// In its value.
    Value,
    /// The last boundary has come.
    Done,
}

/// Reads a form that comes in pieces of any size.
///
/// Memory: the boundary, one header line of at most 512 bytes, one name, and the first 256 bytes of one value.
#[derive(Debug)]
pub struct Form {
    /// What stands before each part: a line break, two dashes, the boundary.
    delimiter: Vec<u8>,
    /// How many bytes of it have just come.
    seen: usize,
    state: State,
    line: Vec<u8>,
    name: Option<Vec<u8>>,
    is_file: bool,
    head: Vec<u8>,
    bytes: u64,
    non_ascii: u64,
    chars: u64,
}

impl Form {
    /// At the start of a body of that `content-type`; `None` if it is no form or names no boundary.
    #[must_use]
    pub fn from_content_type(content_type: &[u8]) -> Option<Self> {
        let (media_type, parameters) = content_type.split_at(content_type.iter().position(|byte| *byte == b';')?);
        if !media_type.trim_ascii().eq_ignore_ascii_case(b"multipart/form-data") {
            return None;
        }
        let boundary = parameter(parameters, b"boundary")?;
        if boundary.is_empty() || boundary.len() > MAX_BOUNDARY || boundary.contains(&b'\r') {
            return None;
        }
        Some(Self {
            delimiter: [b"\r\n--", &*boundary].concat(),
            // The first boundary may stand at the very beginning.
            seen: 2,
            state: State::Preamble,
            line: Vec::new(),
            name: None,
            is_file: false,
            head: Vec::new(),
            bytes: 0,
            non_ascii: 0,
            chars: 0,
        })
    }

    /// Whether the whole form has come.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next piece.
    pub fn push(&mut self, mut bytes: &[u8], sink: &mut impl FormSink) {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.state {
                State::Done => return,
                State::Preamble | State::Value => {
                    bytes = self.value(bytes, sink);
                    continue;
                }
                State::Boundary(dashes) => match byte {
                    b'\n' => {
                        self.state = State::Headers;
                        self.name = None;
                        self.is_file = false;
                        self.line.clear();
                    }
                    b'-' if dashes == 1 => self.state = State::Done,
                    b'-' if dashes == 0 => self.state = State::Boundary(1),
                    // Two dashes end the form only where they follow at once.
                    _ => self.state = State::Boundary(2),
                },
                State::Headers if byte == b'\n' => self.header(sink),
                State::Headers => {
                    if self.line.len() < MAX_LINE {
                        self.line.push(byte);
                    }
                }
            }
            bytes = rest;
        }
    }

    /// Takes bytes up to the next place that may be a boundary, and gives back those after.
    ///
    /// The delimiter has one carriage return, at its start: what looked like one and is none can be one again only from there.
    fn value<'b>(&mut self, bytes: &'b [u8], sink: &mut impl FormSink) -> &'b [u8] {
        if self.seen == 0 {
            let plain = bytes.iter().position(|byte| *byte == b'\r').unwrap_or(bytes.len());
            let (run, rest) = bytes.split_at_checked(plain).unwrap_or((bytes, &[]));
            self.keep(run);
            self.seen = usize::from(!rest.is_empty());
            return rest.get(1..).unwrap_or_default();
        }
        let Some((byte, rest)) = bytes.split_first() else { return bytes };
        if self.delimiter.get(self.seen) != Some(byte) {
            let seen = core::mem::take(&mut self.seen);
            let delimiter = core::mem::take(&mut self.delimiter);
            self.keep(delimiter.get(..seen).unwrap_or_default());
            self.delimiter = delimiter;
            return bytes;
        }
        self.seen = self.seen.saturating_add(1);
        if self.seen == self.delimiter.len() {
            self.end_of_part(sink);
            self.seen = 0;
            self.state = State::Boundary(0);
        }
        rest
    }

    fn keep(&mut self, run: &[u8]) {
        if self.state != State::Value || self.is_file {
            return;
        }
        let room = MAX_TEXT.saturating_sub(self.head.len());
        self.head.extend_from_slice(run.get(..room).unwrap_or(run));
        let count = |wanted: fn(&u8) -> bool| run.iter().filter(|byte| wanted(byte)).count() as u64;
        self.bytes = self.bytes.saturating_add(run.len() as u64);
        self.non_ascii = self.non_ascii.saturating_add(count(|byte| !byte.is_ascii()));
        self.chars = self.chars.saturating_add(count(|byte| byte & 0xc0 != 0x80));
    }

    fn end_of_part(&mut self, sink: &mut impl FormSink) {
        if self.state == State::Value
            && !self.is_file
            && let Some(name) = self.name.take()
        {
            let Self { head, bytes, non_ascii, chars, .. } = &*self;
            sink.field(&name, FormValue { head, bytes: *bytes, non_ascii: *non_ascii, chars: *chars });
        }
        self.head.clear();
        (self.bytes, self.non_ascii, self.chars) = (0, 0, 0);
    }

    /// A header line ended; an empty one ends them all.
    fn header(&mut self, sink: &mut impl FormSink) {
        let line = core::mem::take(&mut self.line);
        let text = line.trim_ascii_end();
        if text.is_empty() {
            self.state = State::Value;
            if self.is_file {
                sink.file();
            }
        } else if let Some(at) = text.iter().position(|byte| *byte == b':')
            && let Some((name, value)) = text.split_at_checked(at)
            && name.eq_ignore_ascii_case(b"content-disposition")
        {
            self.name = parameter(value, b"name");
            self.is_file = parameter(value, b"filename").or_else(|| parameter(value, b"filename*")).is_some();
        }
        self.line = line;
        self.line.clear();
    }
}

/// The parameter of that name in `…; name=value; other="quoted \" value"`.
fn parameter(header: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = header.iter().copied().skip_while(|byte| *byte != b';').peekable();
    // Each turn begins with a semicolon.
    while bytes.next().is_some() {
        let (mut name, mut value) = (Vec::new(), Vec::new());
        while let Some(byte) = bytes.next_if(|byte| !matches!(byte, b'=' | b';')) {
            name.push(byte);
        }
        let has_value = bytes.next_if_eq(&b'=').is_some();
        while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
        if bytes.next_if_eq(&b'"').is_some() {
            while let Some(byte) = bytes.next_if(|byte| *byte != b'"') {
                // Browsers write a quote as %22 and leave backslashes alone; others escape both.
                let escaped = bytes.next_if(|next| byte == b'\\' && matches!(next, b'"' | b'\\'));
                value.push(escaped.unwrap_or(byte));
            }
        }
        while let Some(byte) = bytes.next_if(|byte| !matches!(byte, b';' | b'"')) {
            value.push(byte);
        }
        while bytes.next_if(|byte| *byte != b';').is_some() {}
        if has_value && name.trim_ascii().eq_ignore_ascii_case(wanted) {
            return Some(value.trim_ascii_end().to_vec());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Found(Vec<(String, String, u64, u64)>, usize);

    impl FormSink for Found {
        fn field(&mut self, name: &[u8], value: FormValue<'_>) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.0.push((text(name), text(value.head), value.bytes, value.chars));
        }

        fn file(&mut self) {
            self.1 += 1;
        }
    }

    fn read(content_type: &str, pieces: &[&[u8]]) -> Option<(Found, bool)> {
        let (mut form, mut found) = (Form::from_content_type(content_type.as_bytes())?, Found::default());
        for piece in pieces {
            form.push(piece, &mut found);
        }
        Some((found, form.is_complete()))
    }

    const TYPE: &str = "multipart/form-data; boundary=\"-x;y\"";
    const BODY: &[u8] = b"preamble\r\n---x;y\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n---x;y  \r\n\
        content-disposition: form-data; name=\"file\"; filename=\"a\\\"; name=b.wav\"\r\nContent-Type: audio/wav\r\n\r\n\
        RIFF\r\n---x;\r\r\n--\r\n---x\r\n\xff\xfe\r\n---x;y\r\nContent-Disposition: form-data; filename*=UTF-8''n; name=other\r\n\r\nx\r\n---x;y\r\n\
        Content-Disposition: form-data; name=prompt\r\nX: 1\r\n\r\n\xc3\xa9\r\n--\r\n\r\n---x;y\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n\r\n---x;y--\r\n---x;y\r\n\
        Content-Disposition: form-data; name=\"late\"\r\n\r\nx\r\n---x;y--";

    #[test]
    fn ok_fields_are_told_and_files_are_not_looked_at() {
        let (found, complete) = read(TYPE, &[BODY]).expect("a form");
        let field = |name: &str, value: &str, chars| (name.to_owned(), value.to_owned(), value.len() as u64, chars);
        let fields = vec![field("model", "whisper-1", 9), field("prompt", "é\r\n--\r\n", 7), field("n", "", 0)];
        assert_eq!((found, complete), (Found(fields, 2), true));
    }

    #[test]
    fn ok_and_err_content_types() {
        for good in [
            "multipart/form-data; boundary=abc",
            "Multipart/Form-Data ;charset=utf-8; BOUNDARY=\"abc\"",
            "multipart/form-data; x; boundary=abc ;y=z",
        ] {
            let body = b"--abc\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n--abc--";
            assert_eq!(
                read(good, &[body]).map(|(found, complete)| (found.0.len(), complete)),
                Some((1, true)),
                "{good}"
            );
        }
        for bad in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=a",
            "application/json",
            "",
        ] {
            assert!(Form::from_content_type(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn ok_cut_anywhere(step in 1..60_usize, stop in any::<prop::sample::Index>()) {
            let whole = read(TYPE, &[BODY]).expect("a form");
            let pieces: Vec<&[u8]> = BODY.chunks(step).collect();
            prop_assert_eq!(read(TYPE, &pieces).expect("a form"), whole);
            let (part, _) = read(TYPE, &[BODY.split_at(stop.index(BODY.len())).0]).expect("a form");
            prop_assert!(part.0.len() <= 3);
        }

        /// Whatever comes, memory stays bounded and nothing panics.
        #[test]
        fn ok_anything(bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'a'), Just(b':'), Just(b';'), Just(b'"'), any::<u8>()], 0..600), kind in "[-;=\"\\\\a-z /]{0,60}") {
            let _form = Form::from_content_type(kind.as_bytes());
            let mut form = Form::from_content_type(b"multipart/form-data; boundary=a").expect("a form");
            form.push(&bytes, &mut Found::default());
            form.push(&bytes, &mut Found::default());
            prop_assert!(form.line.len() <= MAX_LINE && form.head.len() <= MAX_TEXT);
        }
    }
}
