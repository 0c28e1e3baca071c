//! A realtime connection: one exchange that becomes a WebSocket, and one event for each response on it. Both of `OpenAI`'s are of one kind,
//! Realtime and the WebSocket mode of Responses.
//!
//! Several responses may be under way at once. Each is settled when it ends, those that never do when the connection does. Transcriptions of
//! the input are told in one message each, and settled with it. The connection itself leaves an event only if it has none of them, if the
//! seconds of the whole session are what is paid for, or if a part of it could not be read: then nobody knows what else was consumed.

use super::{
    Ended,
    open::Open,
    settle::{Settled, States},
};
use crate::{
    dialect::{About, Operation, REALTIME_TRANSCRIPTION, about},
    event::{Outcome, Part},
    frame::websocket::{Framer, Item, Sender},
    head::Headers,
    host::Host,
    limit::{Charge, Reservation},
    metric::Metric,
    price::PicoUsd,
    request::RequestFacts,
    service::Service,
    store::SharedStore,
    time::Timestamp,
    usage::{
        Flag, Flags, Usage, UsageStatus,
        meter::{
            Snapshot,
            message::{Message, MessageMeter, PCM_RATE},
        },
    },
};

/// Most responses under way that are followed. Of one that begins past it only the end is seen, which is what tells its usage.
const MAX_UNDER_WAY: usize = 64;

/// Most bytes of events that are kept for filter state: some 180 responses. Further ones are delivered, and counted as missing there. A VM has
/// a gigabyte for all of its connections.
const MAX_STATE: usize = 1 << 18;

/// A connection that has become a WebSocket.
#[derive(Debug)]
pub(super) struct Connection {
    open: Box<Open>,
    /// What limits of concurrent requests gave for as long as the connection lasts.
    slots: Option<Reservation>,
    operation: &'static Operation,
    client: Direction,
    server: Direction,
    /// Whoever closed first.
    closed: Option<Sender>,
    /// When the request of the whole connection began, went on and was answered.
    times: [Option<Timestamp>; 3],
    session: Session,
    under_way: Vec<Response>,
    /// When the client asked for the response that has not begun yet.
    asked: Option<Timestamp>,
    /// The last thing that the server said is an error. Most of them concern one message of the client's and nothing else.
    is_failing: bool,
    /// What of the connection could not be read.
    unread: Flags,
    responses: u64,
    transcriptions: u64,
    sum: Sum,
}

#[derive(Debug)]
struct Direction {
    framer: Framer,
    messages: MessageMeter,
}

/// What the server says of its settings.
#[derive(Debug)]
struct Session {
    model: Option<String>,
    transcription_model: Option<String>,
    /// Bytes of a millisecond of its audio.
    audio_rate: u64,
    /// Seconds that the session took so far, if that is what is paid for: a plain decimal.
    seconds: Option<String>,
}

/// A response under way.
#[derive(Debug)]
struct Response {
    started: Timestamp,
    asked: Option<Timestamp>,
    /// Bytes of a millisecond of its audio.
    audio_rate: u64,
    snapshot: Snapshot,
}

impl Direction {
    fn new(sender: Sender, may_compress: bool, operation: &'static Operation) -> Self {
        let shape = if sender == Sender::Client { operation.request } else { operation.record };
        Self { framer: Framer::new(sender, may_compress), messages: MessageMeter::new(operation, shape) }
    }
}

impl Connection {
    /// After the upgrade, under these response headers.
    pub(super) fn new(mut open: Box<Open>, headers: &Headers<'_>) -> Self {
        // No extension was offered. A server that takes one all the same may mean any message by it.
        let may_compress = headers.get("sec-websocket-extensions").is_some();
        let operation = open.operation;
        open.facts = RequestFacts::known(operation, open.facts.model.take());
        (open.scan, open.meter) = (None, None);
        Self {
            times: [Some(open.started), open.released, open.answered],
            session: Session { model: None, transcription_model: None, audio_rate: PCM_RATE, seconds: None },
            operation,
            client: Direction::new(Sender::Client, may_compress, operation),
            server: Direction::new(Sender::Server, may_compress, operation),
            slots: open.reservation.as_mut().and_then(Reservation::take_slots),
            open,
            closed: None,
            under_way: Vec::new(),
            asked: None,
            is_failing: false,
            unread: Flags::NONE,
            responses: 0,
            transcriptions: 0,
            sum: Sum::default(),
        }
    }

    /// Whether the bytes of that side have a use.
    pub(super) fn reads(&self, sender: Sender) -> bool {
        !match sender {
            Sender::Client => self.client.framer.is_broken(),
            Sender::Server => self.server.framer.is_broken(),
        }
    }

    /// Bytes from the client. What it asks is timed; all that counts is said by the server, so that nothing is lost with what cannot be
    /// read here.
    #[inline(never)]
    pub(super) fn on_client(&mut self, bytes: &[u8], host: &Host<'_>) {
        let Self { client: Direction { framer, messages }, closed, asked, open, operation, .. } = self;
        let _broken_is_remembered = framer.push(bytes, &mut |item| match item {
            Item::Text(text) => messages.push(text, host.now),
            Item::EndOfText => {
                let message = messages.end();
                if about(operation, &message.kind) == About::Ask {
                    *asked = Some(host.now);
                    open.facts.model = message.request_model.or(open.facts.model.take());
                }
            }
            Item::Compressed => {}
            Item::Close => *closed = closed.or(Some(Sender::Client)),
        });
    }

    /// Bytes from the server.
    #[inline(never)]
    pub(super) fn on_server(&mut self, bytes: &[u8], service: &mut Service, host: &mut Host<'_>) {
        if !self.reads(Sender::Server) {
            return;
        }
        let idle = Framer::new(Sender::Server, false);
        let mut framer = core::mem::replace(&mut self.server.framer, idle);
        let read = framer.push(bytes, &mut |item| match item {
            Item::Text(text) => self.server.messages.push(text, host.now),
            Item::EndOfText => {
                let message = self.server.messages.end();
                self.on_message(message, service, host);
            }
            Item::Compressed => self.unread.insert(Flag::UnreadableEncoding),
            Item::Close => self.closed = self.closed.or(Some(Sender::Server)),
        });
        self.server.framer = framer;
        if read.is_err() {
            self.unread.insert(Flag::MalformedBody);
        }
    }

    fn on_message(&mut self, message: Message, service: &mut Service, host: &mut Host<'_>) {
        if message.is_malformed {
            self.unread.insert(Flag::MalformedBody);
            return;
        }
        let about = about(self.operation, &message.kind);
        if matches!(about, About::Begin | About::Output { .. } | About::Progress | About::End) {
            self.is_failing = false;
        }
        match about {
            About::Session => {
                let session = &mut self.session;
                session.model = message.snapshot.model.or(session.model.take());
                session.transcription_model = message.transcription_model.or(session.transcription_model.take());
                session.audio_rate = message.audio_rate.unwrap_or(session.audio_rate);
            }
            About::SessionUsage => {
                self.session.seconds = message.snapshot.audio_seconds().map(str::to_owned);
            }
            About::Begin => {
                let mut response = self.response(&message, host);
                response.snapshot.add(message.snapshot);
                if self.under_way.len() < MAX_UNDER_WAY {
                    self.under_way.push(response);
                }
            }
            About::End => {
                let mut response = match self.place(&message) {
                    Some(at) => self.under_way.remove(at),
                    None => self.response(&message, host),
                };
                response.snapshot.add(message.snapshot);
                response.snapshot.terminal = true;
                response.snapshot.error |= response.snapshot.finish_reason.as_deref() == Some("failed");
                self.settle_response(response, &Ended::Whole, service, host);
            }
            About::Transcription => self.settle_transcription(message.snapshot, service, host),
            About::Failure => {
                self.is_failing = true;
                self.asked = None;
            }
            About::Output { is_audio } => {
                if let Some(response) = self.place(&message).and_then(|at| self.under_way.get_mut(at)) {
                    response.snapshot.add_output(&message.snapshot, is_audio.then_some(response.audio_rate));
                }
            }
            About::Ask | About::Progress | About::Other => {}
        }
    }

    /// A response that begins with this message.
    fn response(&mut self, message: &Message, host: &Host<'_>) -> Response {
        let asked = self.asked.take();
        Response {
            started: asked.unwrap_or(host.now),
            asked,
            audio_rate: message.audio_rate.unwrap_or(self.session.audio_rate),
            snapshot: Snapshot::default(),
        }
    }

    /// Which of the responses under way a message is about: that of its id, or the last one where messages have none.
    fn place(&self, message: &Message) -> Option<usize> {
        match &message.snapshot.id {
            None => self.under_way.len().checked_sub(1),
            id => self.under_way.iter().position(|response| response.snapshot.id == *id),
        }
    }

    fn settle_response(&mut self, response: Response, ended: &Ended, service: &mut Service, host: &mut Host<'_>) {
        let Response { started, asked, mut snapshot, .. } = response;
        snapshot.is_stream = true;
        snapshot.model = snapshot.model.or_else(|| self.session.model.clone());
        self.responses = self.responses.saturating_add(1);
        self.open.part = Some(Part::Response(self.responses));
        self.set_times([Some(started), asked, None]);
        // The first response is what the upgrade was admitted for.
        self.charge_later(true, service, host);
        let settled = self.open.conclude(ended, Some(snapshot), service, host);
        self.open.unbounded = false;
        self.sum.add(settled, host);
    }

    fn settle_transcription(&mut self, mut snapshot: Snapshot, service: &mut Service, host: &mut Host<'_>) {
        snapshot.is_stream = true;
        snapshot.terminal = true;
        self.transcriptions = self.transcriptions.saturating_add(1);
        self.open.part = Some(Part::Transcription(self.transcriptions));
        self.set_times([Some(host.now), None, None]);
        let admitted = self.open.reservation.take();
        self.charge_later(false, service, host);
        let model = self.session.transcription_model.clone();
        snapshot.model = snapshot.model.or_else(|| model.clone());
        let model = core::mem::replace(&mut self.open.facts.model, model);
        self.open.operation = &REALTIME_TRANSCRIPTION;
        let settled = self.open.conclude(&Ended::Whole, Some(snapshot), service, host);
        self.open.operation = self.operation;
        self.open.facts.model = model;
        self.open.reservation = admitted;
        self.sum.add(settled, host);
    }

    /// The connection is over.
    #[inline(never)]
    pub(super) fn settle(mut self: Box<Self>, ended: &Ended, service: &mut Service, host: &mut Host<'_>) {
        let ended = match (self.closed, ended) {
            (Some(side), _) => Ended::Closed(side),
            (None, Ended::Whole) => Ended::Closed(Sender::Server),
            (None, other) => other.clone(),
        };
        if self.asked.is_some() {
            // Asked for and not begun, as far as anybody here knows: whether it took anything, nobody says.
            let mut response = self.response(&Message::default(), host);
            response.snapshot.unreadable = true;
            self.under_way.push(response);
        }
        let mut unread = self.unread;
        for mut response in core::mem::take(&mut self.under_way) {
            response.snapshot.error |= self.is_failing;
            for flag in [Flag::UnreadableEncoding, Flag::MalformedBody] {
                if self.unread.contains(flag) {
                    response.snapshot.unreadable(flag);
                }
            }
            // One event that says so is enough.
            unread = Flags::NONE;
            self.settle_response(response, &ended, service, host);
        }
        if self.sum.events == 0 || !unread.is_empty() || self.session.seconds.is_some() {
            self.settle_itself(unread, &ended, service, host);
        } else {
            self.open.settle_limits(Charge::default(), service, host);
        }
        if let Some(slots) = self.slots.take() {
            let settled = slots.settle(Charge::default(), host.store, host.now);
            Open::keep(settled.unsettled, service, host);
        }
        let Self { mut open, sum, .. } = *self;
        open.write_states(sum.states(), host);
    }

    fn settle_itself(&mut self, unread: Flags, ended: &Ended, service: &mut Service, host: &mut Host<'_>) {
        let mut snapshot = Snapshot::default();
        snapshot.terminal = self.closed.is_some() || !unread.is_empty();
        snapshot.error = self.is_failing && self.sum.events == 0;
        snapshot.is_stream = true;
        snapshot.model = self.session.model.take();
        let mut usage = Usage { flags: unread, audio_seconds: self.session.seconds.take(), ..Usage::default() };
        usage.status = match (&usage.audio_seconds, unread.is_empty()) {
            (_, false) => UsageStatus::Missing,
            (Some(_), true) => UsageStatus::Reported,
            (None, true) => UsageStatus::None,
        };
        self.open.part = None;
        self.open.limits.clear();
        self.set_times(self.times);
        let outcome = self.open.outcome(ended, Some(&snapshot));
        let settled = self.open.conclude_as(outcome, usage, Some(snapshot), service, host);
        self.sum.add(settled, host);
    }

    fn set_times(&mut self, [started, released, answered]: [Option<Timestamp>; 3]) {
        self.open.started = started.unwrap_or(self.open.started);
        (self.open.released, self.open.answered) = (released, answered);
    }

    pub(super) fn renew_holds(&mut self, store: &dyn SharedStore, now: Timestamp) {
        self.open.renew_holds(store, now);
        if let Some(slots) = &mut self.slots {
            slots.renew(store, now);
        }
    }

    /// Charges what comes now to the limits that the upgrade passed, unless its own reservation is still there to be settled.
    fn charge_later(&mut self, is_request: bool, service: &mut Service, host: &mut Host<'_>) {
        if self.open.reservation.is_none() {
            let limits = &self.open.setup.limits;
            let mut reservation = limits.charge_later(&self.open.subject(), is_request, host.store, host.now);
            self.open.alert(reservation.take_alerts(), service, host);
            self.open.limits = reservation.states().to_vec();
            self.open.reservation = Some(reservation);
        }
    }
}

/// What the events of a connection come to, for filter state.
#[derive(Debug, Default)]
struct Sum {
    events: u64,
    states: States,
    /// The least sure status so far.
    status: UsageStatus,
    outcome: Option<Outcome>,
}

impl Sum {
    fn add(&mut self, settled: Settled, host: &mut Host<'_>) {
        self.events = self.events.saturating_add(1);
        let (status, outcome) = (settled.event.usage.status, settled.event.outcome);
        let one = States::of(settled);
        if rank(status) > rank(self.status) {
            self.status = status;
        }
        self.outcome = Some(outcome);
        let sum = &mut self.states;
        let both = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        };
        sum.input = both(sum.input, one.input);
        sum.output = both(sum.output, one.output);
        sum.total = both(sum.total, one.total);
        sum.charged = sum.charged.plus(one.charged);
        if let Some(cost) = one.cost {
            sum.cost = Some(PicoUsd(sum.cost.unwrap_or_default().0.saturating_add(cost.0)));
        }
        if sum.model.is_empty() {
            sum.model = one.model;
        }
        if sum.bytes.len().saturating_add(one.bytes.len()) > MAX_STATE {
            host.count(Metric::Errors("filter_state_full"));
            return;
        }
        sum.bytes.push(if sum.bytes.is_empty() { b'[' } else { b',' });
        sum.bytes.extend_from_slice(&one.bytes);
    }

    fn states(self) -> States {
        let mut states = self.states;
        states.outcome = self.outcome.map_or("", Outcome::code);
        states.usage_status = self.status.code();
        if states.bytes.is_empty() {
            states.bytes.push(b'[');
        }
        states.bytes.push(b']');
        states
    }
}

/// How unsure a status is.
const fn rank(status: UsageStatus) -> u8 {
    match status {
        UsageStatus::None => 0,
        UsageStatus::Reported => 1,
        UsageStatus::Partial => 2,
        UsageStatus::Estimated => 3,
        UsageStatus::Missing => 4,
    }
}

#[cfg(test)]
mod tests;
