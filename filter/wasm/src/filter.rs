//! The contexts of one VM: root contexts, each with its [`Service`], and streams, each with its [`Exchange`].

use hashbrown::HashMap;
use meterr_core::{
    effect::{Effect, Verdict},
    exchange::{Exchange, StreamEnd},
    head::Headers,
    host::Host,
    service::Service,
    time::Timestamp,
};

use crate::{
    abi::{self, Buffer, Map},
    drive::{self, Driver},
    metrics::Metrics,
    properties::StreamProperties,
    store::SharedData,
};

/// Which half of an exchange a callback is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Request,
    Response,
}

#[derive(Debug, Default)]
pub(crate) struct Filter {
    roots: HashMap<u32, Root>,
    streams: HashMap<u32, Stream>,
    metrics: Metrics,
    effects: Vec<Effect>,
    /// Whether the log has the word of bodies that do not come.
    has_warned: bool,
}

/// State is kept per root context: during a listener update two of them live in one VM.
#[derive(Debug)]
pub(crate) struct Root {
    service: Service,
    /// The core's token for each callout under way, by the host's.
    pub(crate) callouts: HashMap<u32, u64>,
    pub(crate) tick_ms: u32,
}

#[derive(Debug)]
struct Stream {
    root: u32,
    exchange: Exchange,
    /// How much of each body was handed to the core while Envoy buffers it: its size is the running total then.
    read: [usize; 2],
    /// Since when the request is held without a sign of its body.
    held_since: Option<Timestamp>,
    /// The time of its last callback that asked the clock.
    now: Timestamp,
}

/// Most bytes that are read of the collector's answer.
const MAX_ANSWER: usize = 65_536;

/// How long a held request may go without a body callback before it is let go: longer than any client takes to send what it
/// announced, shorter than its own time-out.
const WATCHDOG_MS: u64 = 2_000;

impl Filter {
    pub(crate) fn on_context_create(&mut self, context: u32, parent: u32) {
        if parent != 0 {
            let stream = Stream {
                root: parent,
                exchange: Exchange::default(),
                read: [0; 2],
                held_since: None,
                now: Timestamp::default(),
            };
            self.streams.insert(context, stream);
        }
    }

    /// Whether the configuration is accepted. A pure function of the configuration: it also runs in VMs that never see traffic.
    pub(crate) fn on_configure(&mut self, root: u32) -> bool {
        let text = abi::buffer(Buffer::Configuration, 0, usize::MAX >> 1).unwrap_or_default();
        let node = ["xds\0node\0id", "node\0id"]
            .iter()
            .find_map(|path| abi::property(path).ok().filter(|id| !id.is_empty()))
            .and_then(|id| String::from_utf8(id).ok())
            .or_else(|| std::env::var("METERR_NODE_ID").ok());
        match Service::configure(&text, node.as_deref(), seed(), &|name| std::env::var(name).ok()) {
            Ok(service) => {
                let tick_ms = service.idle_tick_ms();
                drive::tick(tick_ms);
                self.roots.insert(root, Root { service, callouts: HashMap::new(), tick_ms });
                true
            }
            Err(problems) => {
                abi::log(4, &format!("meterr: configuration refused:\n{problems}"));
                false
            }
        }
    }

    pub(crate) fn on_headers(&mut self, id: u32, part: Part, end: bool) -> u32 {
        let Ok(map) = abi::headers(if part == Part::Request { Map::Request } else { Map::Response }) else { return 0 };
        let headers = Headers::new(abi::pairs(&map));
        self.stream(id, |exchange, service, host| match part {
            Part::Request => exchange.on_request_headers(&headers, end, service, host),
            Part::Response => exchange.on_response_headers(&headers, end, service, host),
        })
    }

    pub(crate) fn on_body(&mut self, id: u32, part: Part, size: usize, end: bool) -> u32 {
        let Some(stream) = self.streams.get_mut(&id) else { return 0 };
        let (wanted, kind, at) = match part {
            Part::Request => (stream.exchange.wants_request_body(), Buffer::Request, 0),
            Part::Response => (stream.exchange.wants_response_body(), Buffer::Response, 1),
        };
        if !wanted {
            stream.held_since = stream.held_since.map(|_| Timestamp(abi::now()));
            return 0;
        }
        let start = stream.read.get(at).copied().unwrap_or(0).min(size);
        let body = if size > start { abi::buffer(kind, start, size - start).unwrap_or_default() } else { Vec::new() };
        let now = match part {
            Part::Response if !end && stream.exchange.is_timed() => stream.now,
            Part::Response | Part::Request => Timestamp(abi::now()),
        };
        stream.held_since = stream.held_since.map(|_| now);
        let action = self.stream_at(id, now, |exchange, service, host| match part {
            Part::Request => exchange.on_request_body(&body, end, service, host),
            Part::Response => exchange.on_response_body(&body, end, service, host),
        });
        if let Some(read) = self.streams.get_mut(&id).and_then(|stream| stream.read.get_mut(at)) {
            *read = if action == 0 { 0 } else { size };
        }
        action
    }

    pub(crate) fn on_trailers(&mut self, id: u32, part: Part) -> u32 {
        self.stream(id, |exchange, service, host| match part {
            Part::Request => exchange.on_request_trailers(service, host),
            Part::Response => exchange.on_response_trailers(service, host),
        })
    }

    /// The end of a stream however it ended; what is written to filter state here still reaches the access log.
    pub(crate) fn on_log(&mut self, id: u32) {
        if !self.streams.get(&id).is_some_and(|stream| stream.exchange.is_open()) {
            return;
        }
        let details = abi::property("response\0code_details").ok().and_then(|text| String::from_utf8(text).ok());
        let flags =
            abi::property("response\0flags").ok().and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        let end = StreamEnd { code_details: details, response_flags: flags };
        self.stream(id, |exchange, service, host| {
            exchange.on_done(&end, service, host);
            Verdict::Continue
        });
    }

    pub(crate) fn on_delete(&mut self, id: u32) {
        self.on_log(id);
        self.streams.remove(&id);
        self.roots.remove(&id);
    }

    pub(crate) fn on_tick(&mut self, root: u32) {
        let now = Timestamp(abi::now());
        self.root(root, Service::on_tick);
        if self.roots.get_mut(&root).is_some_and(|root| root.service.holds_are_due(now)) {
            for stream in self.streams.values_mut().filter(|stream| stream.root == root) {
                stream.exchange.renew_holds(&SharedData, now);
            }
        }
        let silent = |stream: &Stream| {
            let since = stream.held_since.filter(|since| now.millis_since(*since) >= WATCHDOG_MS)?;
            (stream.root == root).then_some(since.0)
        };
        let ids = self.first_to_last(silent);
        if !ids.is_empty() && !self.has_warned {
            self.has_warned = true;
            abi::log(
                3,
                "meterr: a held request sent no body for 2 s. If all do, allow_on_headers_stop_iteration is not true: set header_hold: false",
            );
        }
        for id in &ids {
            self.resume(*id, |exchange, service, host| exchange.on_body_overdue(service, host));
        }
        let acted = self.take_turns(root, now) || !ids.is_empty();
        if acted && abi::set_effective_context(root).is_err() {
            abi::log(1, "meterr: the root context is gone");
        }
    }

    /// The streams that have a place, in its order.
    #[inline(never)]
    fn first_to_last(&self, place: impl Fn(&Stream) -> Option<u64>) -> Vec<u32> {
        let mut placed: Vec<(u64, u32)> =
            self.streams.iter().filter_map(|(id, stream)| Some((place(stream)?, *id))).collect();
        placed.sort_unstable();
        placed.into_iter().map(|(_, id)| id).collect()
    }

    /// Lets requests that wait for quota look whether there is some, first come first served.
    #[inline(never)]
    fn take_turns(&mut self, root: u32, now: Timestamp) -> bool {
        if !self.roots.get(&root).is_some_and(|root| root.service.has_waiting()) {
            return false;
        }
        let mut acted = false;
        for id in self.first_to_last(|stream| stream.exchange.ticket().filter(|_| stream.root == root)) {
            let (Some(stream), Some(root)) = (self.streams.get(&id), self.roots.get_mut(&root)) else { continue };
            if stream.exchange.is_on_turn(&mut root.service, now) {
                acted = true;
                self.resume(id, |exchange, service, host| exchange.on_turn(service, host));
            }
        }
        acted
    }

    /// Runs a callback of a stream that is held, outside of its own callbacks, and lets it go if the core says so.
    fn resume(&mut self, id: u32, run: impl FnOnce(&mut Exchange, &mut Service, &mut Host<'_>) -> Verdict) {
        if abi::set_effective_context(id).is_err() {
            return;
        }
        let action = self.stream(id, run);
        if action == 0 && abi::resume(abi::Direction::Request).is_err() {
            abi::log(1, "meterr: a held stream could not be resumed: it is gone");
        }
    }

    pub(crate) fn on_callout_response(&mut self, root: u32, token: u32, headers: u32, body: usize) {
        let Some(token) = self.roots.get_mut(&root).and_then(|root| root.callouts.remove(&token)) else { return };
        // A reset has no headers; a time-out and a dead endpoint come as 504 and 503.
        let text = |name| String::from_utf8(abi::header(Map::Callout, name)?).ok();
        let status = if headers == 0 { None } else { text(":status").and_then(|status| status.parse().ok()) };
        let retry_after = if headers == 0 { None } else { text("retry-after") };
        self.root(root, |service, host| {
            if body > 0
                && service.reads_answers()
                && let Ok(body) = abi::buffer(Buffer::Callout, 0, body.min(MAX_ANSWER))
            {
                service.on_answer_body(&body, host);
            }
            service.on_callout_response(token, status, retry_after.as_deref(), host);
        });
    }

    /// The end of a root context: at SIGTERM no callout leaves any more, but log lines do.
    pub(crate) fn on_done(&mut self, id: u32) {
        self.root(id, Service::on_done);
    }

    fn root(&mut self, id: u32, run: impl FnOnce(&mut Service, &mut Host<'_>)) {
        let Some(root) = self.roots.get_mut(&id) else { return };
        let mut effects = core::mem::take(&mut self.effects);
        let now = Timestamp(abi::now());
        let mut host = Host { store: &SharedData, properties: &StreamProperties, now, effects: &mut effects };
        run(&mut root.service, &mut host);
        self.drain(id, effects);
    }

    fn stream(&mut self, id: u32, run: impl FnOnce(&mut Exchange, &mut Service, &mut Host<'_>) -> Verdict) -> u32 {
        self.stream_at(id, Timestamp(abi::now()), run)
    }

    fn stream_at(
        &mut self,
        id: u32,
        now: Timestamp,
        run: impl FnOnce(&mut Exchange, &mut Service, &mut Host<'_>) -> Verdict,
    ) -> u32 {
        let Some(stream) = self.streams.get_mut(&id) else { return 0 };
        stream.now = now;
        let root_id = stream.root;
        let Some(root) = self.roots.get_mut(&root_id) else { return 0 };
        let mut effects = core::mem::take(&mut self.effects);
        let mut host = Host { store: &SharedData, properties: &StreamProperties, now, effects: &mut effects };
        let verdict = run(&mut stream.exchange, &mut root.service, &mut host);
        stream.held_since = if stream.exchange.is_held() { stream.held_since.or(Some(now)) } else { None };
        if effects.is_empty() {
            self.effects = effects;
        } else {
            self.drain(root_id, effects);
        }
        drive::verdict(verdict)
    }

    #[inline(never)]
    fn drain(&mut self, root: u32, mut effects: Vec<Effect>) {
        let Some(root) = self.roots.get_mut(&root) else { return };
        let mut refused = Vec::new();
        for effect in effects.drain(..) {
            let mut driver =
                Driver { metrics: &mut self.metrics, callouts: &mut root.callouts, tick_ms: &mut root.tick_ms };
            if let Some(token) = driver.apply(effect) {
                refused.push(token);
            }
        }
        if !refused.is_empty() {
            // What the host refuses at once is retried on a later tick: the answer holds no new callout.
            let now = Timestamp(abi::now());
            for token in refused {
                let mut host = Host { store: &SharedData, properties: &StreamProperties, now, effects: &mut effects };
                root.service.on_callout_refused(token, &mut host);
            }
            for effect in effects.drain(..) {
                let mut driver =
                    Driver { metrics: &mut self.metrics, callouts: &mut root.callouts, tick_ms: &mut root.tick_ms };
                driver.apply(effect);
            }
        }
        self.effects = effects;
    }
}

/// 64 bits from the host's random source, by way of the standard library's hasher keys.
fn seed() -> u64 {
    use core::hash::{BuildHasher as _, Hasher as _};
    std::hash::RandomState::new().build_hasher().finish()
}
