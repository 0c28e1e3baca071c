//! What a request says before it is answered.

use crate::{
    dialect::{Operation, Streams},
    effect::Splice,
    frame::{
        inflate::{Encoding, Inflater},
        multipart::{Form, FormSink, FormValue},
    },
    json::scan::{End, Field, Found, Scanner, Value},
    usage::{
        estimate::{self, learned::Shape},
        number,
    },
};

/// Tokens that a chat template may add to a request whatever is in it.
const TEMPLATE_TOKENS: u64 = 64;
/// Tokens that it may add to each message: role and separators are four to eight in the published templates.
const MESSAGE_TOKENS: u64 = 16;
/// Tokens that it may add when there are tools: Anthropic states up to 804 for its tool prompt (docs, "Tool use: pricing").
const TOOLS_TOKENS: u64 = 1_024;

/// What was found in a request's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// Model that the client asked for.
    pub model: Option<String>,
    /// `stream`.
    pub stream: Option<bool>,
    /// Service tier as asked for.
    pub service_tier: Option<String>,
    /// Whether the whole body was read and is JSON or a form.
    pub complete: bool,
    /// Bytes of the body as sent.
    pub body_bytes: u64,
    /// Characters that are to be spoken, once the whole body was read.
    pub characters: Option<u64>,
    /// Bytes of the body, decoded.
    decoded_bytes: u64,
    max_output: Option<u64>,
    choices: Option<u64>,
    messages: u64,
    /// What the text weighs that the model reads: [`estimate::weigh`].
    text: u64,
    /// Tokens that the client counted itself.
    tokens: u64,
    spoken: Option<u64>,
    has_tools: bool,
    is_unbounded: bool,
    place: OptionPlace,
}

/// Where `stream_options` stands in the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OptionPlace {
    /// Past the root's opening bracket.
    root: Option<usize>,
    /// The client's own value makes no sense; the provider will say so.
    is_wrong: bool,
    /// A range that is `null` or another useless value, to be replaced by an object.
    replace: Option<(usize, usize)>,
    /// Past the opening bracket of the object, and whether it has no members.
    object: Option<(usize, bool)>,
    /// Range and value of `include_usage` in it.
    include: Option<(usize, usize, bool)>,
}

impl RequestFacts {
    /// What is known before the body.
    #[must_use]
    pub fn known(operation: &Operation, model: Option<String>) -> Self {
        let stream = match operation.streams {
            Streams::ByBody | Streams::ByReply => None,
            Streams::Unless => Some(true),
            Streams::Always | Streams::WebSocket => Some(true),
            Streams::Never => Some(false),
        };
        Self { model, stream, ..Self::default() }
    }

    /// What the input weighs, in [parts](estimate::PARTS) of a token, as far as it was read.
    #[must_use]
    pub fn input_weight(&self) -> u64 {
        let conversation = if self.messages > 0 { estimate::CONVERSATION } else { 0 };
        let messages = self.messages.saturating_mul(estimate::MESSAGE).saturating_add(conversation);
        self.text.saturating_add(messages).saturating_add(self.tokens.saturating_mul(estimate::PARTS))
    }

    /// What kind of request it is to the estimate.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        match (self.is_unbounded, self.has_tools) {
            (true, _) => Shape::More,
            (false, true) => Shape::Tools,
            (false, false) => Shape::Plain,
        }
    }

    /// Choices that the request asks for, at least one.
    #[must_use]
    pub fn choices(&self) -> u64 {
        self.choices.unwrap_or(1).max(1)
    }

    /// The most input tokens that the request can be, or `None` if its bytes do not bound them.
    ///
    /// A token is at least one byte of text, and no text is longer decoded than it is in JSON.
    #[must_use]
    pub fn input_bound(&self) -> Option<u64> {
        if !self.complete || self.is_unbounded {
            return None;
        }
        let tools = if self.has_tools { TOOLS_TOKENS } else { 0 };
        let template =
            TEMPLATE_TOKENS.saturating_add(self.messages.saturating_mul(MESSAGE_TOKENS)).saturating_add(tools);
        Some(self.decoded_bytes.saturating_add(template))
    }

    /// The most output tokens that the request allows: its own cap times its choices.
    #[must_use]
    pub fn output_bound(&self) -> Option<u64> {
        Some(self.max_output?.saturating_mul(self.choices()))
    }

    /// The change that asks a stream for its usage; `None` if it asks already, is no stream or cannot be changed.
    #[must_use]
    pub fn include_usage_splice(&self) -> Option<Splice> {
        let place = self.place;
        if !self.complete || self.stream != Some(true) || place.is_wrong {
            return None;
        }
        match (place.include, place.object, place.replace) {
            (Some((_, _, true)), _, _) => None,
            (Some((start, end, false)), _, _) => Some(Splice { start, end, with: "true" }),
            (None, Some((at, true)), _) => Some(Splice { start: at, end: at, with: r#""include_usage":true"# }),
            (None, Some((at, false)), _) => Some(Splice { start: at, end: at, with: r#""include_usage":true,"# }),
            (None, None, Some((start, end))) => Some(Splice { start, end, with: r#"{"include_usage":true}"# }),
            // A stream has at least the member `stream`, so that a comma is right.
            (None, None, None) => {
                let at = place.root?;
                Some(Splice { start: at, end: at, with: r#""stream_options":{"include_usage":true},"# })
            }
        }
    }

    fn take(&mut self, found: &Found<'_>, operation: &Operation) {
        let text = |value: Value<'_>| match value {
            Value::Text { head, .. } => core::str::from_utf8(head).ok().map(str::to_owned),
            _ => None,
        };
        match found.field {
            Field::RequestModel => {
                self.model = text(found.value).filter(|model| !model.is_empty()).or_else(|| self.model.take());
            }
            Field::RequestTier => self.service_tier = text(found.value),
            Field::Stream => {
                if let (Value::Bool(stream), Streams::ByBody | Streams::Unless) = (found.value, operation.streams) {
                    self.stream = Some(stream);
                }
            }
            Field::StreamOptions => self.stream_options(found),
            Field::IncludeUsage => {
                let is_true = found.value == Value::Bool(true);
                if !matches!(found.value, Value::ObjectStart | Value::ArrayStart) {
                    self.place.include = range(found).map(|(start, end)| (start, end, is_true));
                }
            }
            Field::MaxOutputTokens => {
                if let Some(Ok(cap)) = number::counter(found.value) {
                    self.max_output = Some(self.max_output.map_or(cap, |other| other.max(cap)));
                }
            }
            Field::Choices => {
                if let Some(Ok(choices)) = number::counter(found.value) {
                    self.choices = Some(choices);
                }
            }
            Field::Message if found.value == Value::ObjectStart => {
                self.messages = self.messages.saturating_add(1);
            }
            Field::InputText | Field::SpokenText => {
                if let Value::Text { chars, weight, .. } = found.value {
                    if found.field == Field::SpokenText {
                        self.spoken = Some(chars);
                    }
                    self.text = self.text.saturating_add(weight);
                }
            }
            Field::InputJson => {
                if let Value::ObjectEnd(_) | Value::ArrayEnd(_) = found.value {
                    let weight = found.end.saturating_sub(found.start).saturating_mul(estimate::JSON_BYTE);
                    self.text = self.text.saturating_add(weight);
                }
                self.has_tools = true;
            }
            Field::InputToken => {
                if matches!(found.value, Value::Number(_)) {
                    self.tokens = self.tokens.saturating_add(1);
                }
            }
            Field::PartType => self.is_unbounded |= !is_one_of(found.value, operation.bounded_parts),
            Field::ToolType => self.is_unbounded |= !is_one_of(found.value, operation.bounded_tools),
            Field::Unboundable => self.is_unbounded |= found.value != Value::Null,
            _ => {}
        }
    }

    /// The last `stream_options` is the one that servers read: it forgets what an earlier one said.
    fn stream_options(&mut self, found: &Found<'_>) {
        match found.value {
            Value::ObjectStart => {
                self.place.include = None;
                self.place.replace = None;
                self.place.object = usize::try_from(found.end).ok().map(|at| (at, true));
            }
            Value::ObjectEnd(members) => {
                self.place.object = self.place.object.map(|(at, _)| (at, members == 0));
            }
            Value::Null => {
                self.place.include = None;
                self.place.object = None;
                self.place.replace = range(found);
            }
            _ => self.place.is_wrong = true,
        }
    }
}

fn range(found: &Found<'_>) -> Option<(usize, usize)> {
    Some((usize::try_from(found.start).ok()?, usize::try_from(found.end).ok()?))
}

#[inline]
fn is_one_of(value: Value<'_>, names: &[&str]) -> bool {
    matches!(value, Value::Text { head, .. } if names.iter().any(|name| name.as_bytes() == head))
}

/// Reads a request's body as it passes.
///
/// Memory: that of the scanner and, for a compressed body, of the inflater.
#[derive(Debug)]
pub struct RequestScan {
    operation: &'static Operation,
    scanner: Scanner,
    /// Reads the body in the scanner's place, if it is a form.
    form: Option<Form>,
    inflater: Option<Inflater>,
    is_plain: bool,
    facts: RequestFacts,
}

/// Takes the fields of a form for what members of that name mean in JSON.
struct Fields<'a> {
    operation: &'static Operation,
    facts: &'a mut RequestFacts,
}

impl FormSink for Fields<'_> {
    fn field(&mut self, name: &[u8], value: FormValue<'_>) {
        let name = name.strip_suffix(b"[]").unwrap_or(name);
        let Some(field) = self.operation.request.member(name).and_then(|shape| shape.field) else { return };
        let FormValue { head, bytes, chars, weight } = value;
        let value = match field {
            Field::Stream => Value::Bool(matches!(head, b"true" | b"True" | b"1")),
            Field::MaxOutputTokens | Field::Choices => Value::Number(head),
            _ => Value::Text { head, bytes, chars, weight },
        };
        self.facts.take(&Found { field, value, start: 0, end: 0 }, self.operation);
    }

    fn file(&mut self) {
        self.facts.is_unbounded = true;
    }
}

impl RequestScan {
    /// At the start of a body with that `content-encoding`. `model` is the one that the path names, if it does.
    #[must_use]
    #[inline(never)]
    pub fn new(operation: &'static Operation, model: Option<String>, content_encoding: Option<&[u8]>) -> Self {
        let encoding = content_encoding.map_or(Some(Encoding::Identity), Encoding::from_header);
        Self {
            operation,
            scanner: Scanner::new(operation.request),
            form: None,
            inflater: encoding.map(Inflater::new),
            is_plain: encoding == Some(Encoding::Identity),
            facts: RequestFacts::known(operation, model),
        }
    }

    /// The same for a body of that `content-type`, which may be a form.
    #[must_use]
    pub fn with_content_type(mut self, content_type: &[u8]) -> Self {
        self.form = Form::from_content_type(content_type);
        self
    }

    /// Takes the next piece.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { operation, scanner, form, inflater, facts, .. } = self;
        facts.body_bytes = facts.body_bytes.saturating_add(bytes.len() as u64);
        let Some(inflate) = inflater else { return };
        let read = inflate.push(bytes, &mut |decoded| {
            if let Some(form) = form {
                facts.decoded_bytes = facts.decoded_bytes.saturating_add(decoded.len() as u64);
                form.push(decoded, &mut Fields { operation, facts });
                return;
            }
            if facts.place.root.is_none() {
                let at = memchr::memchr(b'{', decoded);
                let before = usize::try_from(facts.decoded_bytes).unwrap_or(usize::MAX);
                facts.place.root = at.map(|at| at.saturating_add(before).saturating_add(1));
            }
            facts.decoded_bytes = facts.decoded_bytes.saturating_add(decoded.len() as u64);
            scanner.push(decoded, &mut |found| facts.take(&found, operation));
        });
        if read.is_err() {
            *inflater = None;
        }
    }

    /// What was found. An end that comes too early leaves what is known so far.
    #[must_use]
    pub fn finish(&mut self) -> RequestFacts {
        let Self { operation, scanner, form, facts, .. } = self;
        let is_whole = match form {
            Some(form) => form.is_complete(),
            None => scanner.finish(&mut |found| facts.take(&found, operation)) == End::Complete,
        };
        facts.complete = is_whole && self.inflater.is_some();
        facts.characters = facts.spoken.filter(|_| facts.complete);
        if !self.is_plain {
            // Offsets in the decoded body say nothing of the encoded one.
            facts.place = OptionPlace { is_wrong: true, ..OptionPlace::default() };
        }
        facts.clone()
    }
}

#[cfg(test)]
mod tests;
