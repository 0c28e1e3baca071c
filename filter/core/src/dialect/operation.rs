//! One thing that a client can ask for in a dialect, and which one a method and a path mean.

use core::fmt;

use super::{DialectId, ErrorShape};
use crate::{
    json::scan::{Field, Shape},
    path,
};

/// Who pays for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// The caller, by what it used.
    Billed,
    /// Nobody: counting tokens, moderation.
    Free,
    /// Nobody again: a stored response tells its usage each time that it is read.
    Reread,
}

/// Whether a reply is a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// If the request's body says so.
    ByBody,
    /// Unless the request's body says no.
    Unless,
    /// A request header says so: the reply tells.
    ByReply,
    /// The path says so.
    Always,
    /// It never is.
    Never,
    /// The connection becomes a WebSocket: messages both ways, and a response in each of some of them.
    WebSocket,
}

/// What a request has to do with a job: something that is made later, and whose usage is told to whoever reads the result, each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Nothing.
    No,
    /// It starts one if the reply says that it is not done yet.
    Starts,
    /// It reads the job that the path names. The first that is told its usage pays, if the job was started here.
    Tells,
}

/// What the counters on the wire include. The truth table is checked against the provider's own total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Input includes the cache, output includes reasoning (`OpenAI`).
    Inside,
    /// Input leaves out what was read from and written to a cache (Anthropic).
    CacheOutside,
    /// Input includes the cache but not what tools added; output leaves reasoning out (Gemini).
    ThoughtsOutside,
    /// Whatever the vendor says, else what the platform measured; input leaves the cache out (Bedrock).
    Vendor,
    /// What is billed; the cache is counted on another scale (Cohere).
    Billed,
    /// As inside, and a count of zero is left out (Ollama).
    ZeroLeftOut,
    /// There is no output; a total is the input (embeddings, rerank).
    InputOnly,
}

/// One thing that a client can ask for. Pure data; `..` from a constant of the same file, and in the end from [`Operation::BASE`], fills
/// what its siblings share.
pub struct Operation {
    /// Its dialect: the event's `dialect` is that one's name.
    pub dialect: DialectId,
    /// `OpenTelemetry` operation name.
    pub name: &'static str,
    /// The event's `endpoint`: a template, never an id or a query.
    pub endpoint: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// Patterns that the path ends like, since proxies and providers put prefixes of their own before it. `{model}` is the model's
    /// name, `{model+}` the same in all segments that are left, `{id}` is anything; a part after `:` is a verb at the end of the last
    /// segment.
    pub paths: &'static [&'static str],
    /// Whether a host that no row knows is believed to mean it by such a path.
    pub detect: bool,
    /// Who pays.
    pub billing: Billing,
    /// Whether a reply is a stream.
    pub streams: Streams,
    /// What is wanted from the request.
    pub request: &'static Shape,
    /// What is wanted from a whole JSON reply.
    pub reply: &'static Shape,
    /// What is wanted from each record of a stream.
    pub record: &'static Shape,
    /// What its errors look like.
    pub errors: ErrorShape,
    /// Whether streams tell their usage only when `stream_options.include_usage` asks for it.
    pub can_inject: bool,
    /// What its counters include.
    pub counting: Counting,
    /// Types of content parts whose tokens are bounded by their bytes; anything else may stand for more than it holds.
    pub bounded_parts: &'static [&'static str],
    /// Types of tools whose tokens are bounded by their bytes.
    pub bounded_tools: &'static [&'static str],
    /// Data that ends a stream and is no JSON.
    pub end_marker: Option<&'static [u8]>,
    /// Kinds of the record that ends a stream.
    pub end_records: &'static [&'static str],
    /// What each record that ends a stream counts one of.
    pub counted_records: Option<Field>,
    /// Kinds of records that say that something went wrong.
    pub error_records: &'static [&'static str],
    /// Reasons to stop that say so.
    pub error_reasons: &'static [&'static str],
    /// Kind of the record that says the input counters and only a placeholder for the output.
    pub start_record: Option<&'static str>,
    /// Whether the record that says why the model stopped is the last one that matters.
    pub finish_ends: bool,
    /// Response headers that tell counters; what the body says wins.
    pub header_counters: &'static [(&'static str, Field)],
    /// Whether records of an event stream hold their JSON in Base64, as the member `bytes`.
    pub in_base64: bool,
    /// Whether a counter keeps its largest value rather than its last: servers that say 0 in later records.
    pub keeps_largest: bool,
    /// Whether the text of request and reply says how many tokens there were. If not, what nobody tells is missing.
    pub is_estimable: bool,
    /// Whether it has to do with something that is made later.
    pub job: Job,
    /// The service tier, where no reply tells it.
    pub service_tier: Option<&'static str>,
    /// Events whose name begins so tell parts of what others tell as a whole: they are not read.
    pub skipped_events: Option<&'static str>,
    /// Whether a reply may be no document at all: speech, or a transcript as plain text.
    pub may_be_opaque: bool,
}

/// An operation and what its path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The operation.
    pub operation: &'static Operation,
    /// The model that the path names.
    pub model: Option<String>,
    /// The last id that the path names.
    pub id: Option<String>,
}

/// What a path names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    model: Option<String>,
    id: Option<String>,
}

/// Where nothing is wanted.
pub(super) static NOTHING: Shape = Shape::object(&[]);

/// Longest name that a path may hold, in bytes.
const MAX_NAME: usize = 512;

/// The first operation of these dialects that this method and path mean.
#[must_use]
pub fn find(dialects: &[DialectId], method: &[u8], path: &[u8]) -> Option<Matched> {
    first(dialects, method, path, |_| true)
}

/// The operation of any dialect that this method and path mean, whatever the host: only by paths that nobody else has.
#[must_use]
pub fn detect(method: &[u8], path: &[u8]) -> Option<Matched> {
    first(DialectId::ALL, method, path, |operation| operation.detect)
}

fn first(dialects: &[DialectId], method: &[u8], path: &[u8], wanted: impl Fn(&Operation) -> bool) -> Option<Matched> {
    let (path, query) = path::split(path);
    let operations = dialects.iter().flat_map(|dialect| dialect.operations());
    operations.filter(|operation| operation.method.as_bytes() == method && wanted(operation)).find_map(|operation| {
        let Names { mut model, id } = operation.paths.iter().find_map(|pattern| matches(pattern, path))?;
        if operation.streams == Streams::WebSocket {
            // There is no body that could name it. Azure's word for it is its deployment.
            let named = |name| text(path::query_value(query?, name)?);
            model = model.or_else(|| named("model")).or_else(|| named("deployment"));
        }
        Some(Matched { operation, model, id })
    })
}

/// Whether a path ends like the pattern; if so, what it names.
///
/// Doubled slashes, a slash at the end and needless percent-encoding are looked through: servers take such paths, and metering must not
/// be got around by them.
fn matches(pattern: &str, path: &[u8]) -> Option<Names> {
    if let Some(stem) = pattern.strip_suffix("/{model+}") {
        return Some(Names { model: Some(model_after(stem, path)?), id: None });
    }
    let mut segments = path.rsplit(|b| *b == b'/').filter(|segment| !segment.is_empty());
    let mut names = Names::default();
    for wanted in pattern.rsplit('/') {
        let segment = segments.next()?;
        match wanted.split_once(':') {
            None if wanted == "{id}" => names.id = names.id.or_else(|| text(path::decoded(segment).collect())),
            None if wanted == "{model}" => names.model = text(path::decoded(segment).collect()),
            None if path::decoded(segment).eq(wanted.bytes()) => {}
            Some((stem, verb)) => {
                let decoded: Vec<u8> = path::decoded(segment).collect();
                let named = decoded.strip_suffix(verb.as_bytes())?.strip_suffix(b":")?;
                match stem {
                    "{model}" => names.model = text(named.to_vec()),
                    "{id}" => {}
                    literal if literal.as_bytes() == named => {}
                    _ => return None,
                }
            }
            None => return None,
        }
    }
    Some(names)
}

/// All that follows the first place where the stem stands.
fn model_after(stem: &str, path: &[u8]) -> Option<String> {
    let segments: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|segment| !segment.is_empty()).collect();
    let stem: Vec<&str> = stem.split('/').collect();
    let is_stem =
        |at: &[&[u8]]| at.iter().zip(&stem).all(|(segment, wanted)| path::decoded(segment).eq(wanted.bytes()));
    let at = segments.windows(stem.len()).position(is_stem)?;
    let model: Vec<Vec<u8>> =
        segments.get(at.checked_add(stem.len())?..)?.iter().map(|segment| path::decoded(segment).collect()).collect();
    text(model.join(&b'/'))
}

fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty() && text.len() <= MAX_NAME)
}

impl Operation {
    /// What most operations are: posted, billed, in `OpenAI`'s shapes. Each says at least its dialect, its name, its endpoint and paths,
    /// and what it picks.
    pub(super) const BASE: Self = Self {
        dialect: DialectId::OpenAiChat,
        name: "chat",
        endpoint: "/",
        method: "POST",
        paths: &[],
        detect: false,
        billing: Billing::Billed,
        streams: Streams::Never,
        request: &NOTHING,
        reply: &NOTHING,
        record: &NOTHING,
        errors: ErrorShape::OpenAi,
        can_inject: false,
        counting: Counting::Inside,
        bounded_parts: &[],
        bounded_tools: &[],
        end_marker: None,
        end_records: &[],
        counted_records: None,
        error_records: &[],
        error_reasons: &[],
        start_record: None,
        finish_ends: false,
        header_counters: &[],
        in_base64: false,
        keeps_largest: false,
        is_estimable: true,
        job: Job::No,
        service_tier: None,
        skipped_events: None,
        may_be_opaque: false,
    };

    /// The event's `dialect`.
    #[must_use]
    pub const fn dialect_name(&self) -> &'static str {
        self.dialect.name()
    }

    /// Whether the caller pays for it.
    #[must_use]
    pub fn is_billed(&self) -> bool {
        self.billing == Billing::Billed
    }
}

/// There is one of each: an operation is known by its dialect, its method and its paths.
impl PartialEq for Operation {
    fn eq(&self, other: &Self) -> bool {
        (self.dialect, self.method, self.paths) == (other.dialect, other.method, other.paths)
    }
}

impl Eq for Operation {}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.dialect.name(), self.method, self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_and_err_patterns() {
        let model = |pattern: &str, path: &str| matches(pattern, path.as_bytes()).map(|names| names.model);
        let id = |pattern: &str, path: &str| matches(pattern, path.as_bytes()).and_then(|names| names.id);
        assert_eq!(model("chat/completions", "/v1//ch%61t/completions/"), Some(None));
        assert_eq!(model("chat/completions", "/completions"), None);
        assert_eq!(
            model("{model}:generateContent", "/v1beta/models/gemini-2.5%3AgenerateContent"),
            Some(Some("gemini-2.5".into()))
        );
        assert_eq!(model("models/{model}:generateContent", "/v1/models/a:b:generateContent"), Some(Some("a:b".into())));
        assert_eq!(model("{model}:generateContent", "/v1/models/a:streamGenerateContent"), None);
        assert_eq!(model("model/{model}/invoke", "/model/arn%3Aaws%2Fx/invoke"), Some(Some("arn:aws/x".into())));
        assert_eq!(model("responses/{id}", "/v1/responses/resp_1"), Some(None));
        assert_eq!(model("responses/{id}", "/v1/responses"), None);
        assert_eq!(id("responses/{id}/cancel", "/v1/responses/resp_1/cancel").as_deref(), Some("resp_1"));
        assert_eq!(id("threads/{id}/runs/{id}", "/v1/threads/a/runs/b").as_deref(), Some("b"), "the last one");
        let run = "/client/v4/accounts/a/ai/run/%40cf/meta//llama-3.1-8b-instruct";
        assert_eq!(model("ai/run/{model+}", run), Some(Some("@cf/meta/llama-3.1-8b-instruct".into())));
        assert_eq!(model("ai/run/{model+}", "/client/v4/accounts/a/ai/run/"), None);
        assert_eq!(model("ai/run/{model+}", "/ai"), None);
        assert_eq!(model("{model}/invoke", "/%ff/invoke"), Some(None), "no text, no name");
    }
}
