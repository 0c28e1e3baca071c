//! One request and its response: the sequence of an exchange, and nothing of the formats in it.
//!
//! Callbacks come in Envoy's order; any of them may be missing. Whatever happens, an exchange of a known operation settles
//! exactly once: at the end of the response, in its trailers or in [`Exchange::on_done`], whichever comes first.

use crate::{
    effect::{Effect, Verdict},
    frame::websocket::Sender,
    head::Headers,
    host::Host,
    identity::credential::is_sigv4,
    metric::Metric,
    provider::route::Route,
    service::Service,
    store::SharedStore,
    time::Timestamp,
};

mod admit;
mod backpressure;
mod estimate;
mod job;
mod limits;
mod open;
mod queue;
mod realtime;
mod respond;
mod settle;
#[cfg(test)]
mod tests;

use crate::event::Outcome;
use open::{Hold, Open, Target};
use realtime::Connection;

/// One request and its response.
#[derive(Debug, Default)]
pub struct Exchange(State);

#[derive(Debug, Default)]
enum State {
    /// No callback yet.
    #[default]
    New,
    /// Not metered, or settled: bytes pass and nothing is read.
    Passing,
    /// Metered and not settled.
    Open(Box<Open>),
    /// Upgraded to a WebSocket: settled response by response.
    Connected(Box<Connection>),
}

/// How a stream ended, as the host tells it in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamEnd {
    /// Envoy's `response.code_details`.
    pub code_details: Option<String>,
    /// Envoy's `response.flags`.
    pub response_flags: Option<u64>,
}

/// How the response came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    /// Its last byte or its trailers passed.
    Whole,
    /// The stream went away before.
    Cut(StreamEnd),
    /// That side closed a WebSocket first.
    Closed(Sender),
}

impl Exchange {
    /// The request's headers. `end` says that no body follows.
    #[inline(never)]
    pub fn on_request_headers(
        &mut self,
        headers: &Headers<'_>,
        end: bool,
        service: &mut Service,
        host: &mut Host<'_>,
    ) -> Verdict {
        for (name, _) in headers.iter() {
            // What a client says under our own names would be taken for ours, here or upstream.
            if name.starts_with(b"x-meterr-") {
                host.effect(Effect::RemoveRequestHeader(String::from_utf8_lossy(name).into_owned().into()));
            }
        }
        let setup = service.setup();
        let method = headers.get(":method").unwrap_or_default();
        let authority = headers.get(":authority").unwrap_or_default();
        let path = headers.get(":path").unwrap_or_default();
        let signed = is_sigv4(headers);
        self.0 = State::Passing;
        let target = match setup.providers.route(method, authority, path, signed) {
            Route::Known { row, operation, rewrite } => Target::known(&row, operation, rewrite),
            Route::Unknown { operation } => Target::unknown(operation),
            Route::Pass => {
                host.count(Metric::Unmetered("unknown_host"));
                return Verdict::Continue;
            }
            Route::NotFound { message } => {
                host.count(Metric::Unmetered("not_found"));
                return Verdict::Reply(admit::not_found(&message));
            }
        };
        open::rewrite(&target, &setup.config.identity, host);
        if target.operation.is_none() {
            host.count(Metric::Unmetered("other_path"));
            return Verdict::Continue;
        }
        let Some(open) = Open::new(target, headers, signed, service, host) else { return Verdict::Continue };
        self.0 = State::Open(Box::new(open));
        self.open(|open| open.on_request_headers(headers, end, service, host))
    }

    /// A piece of the request's body. While the request is held, each piece is given once.
    #[inline(never)]
    pub fn on_request_body(&mut self, body: &[u8], end: bool, service: &mut Service, host: &mut Host<'_>) -> Verdict {
        if let State::Connected(connection) = &mut self.0 {
            connection.on_client(body, host);
        }
        self.open(|open| open.on_request_body(body, end, service, host))
    }

    /// The request's trailers: its body is complete.
    pub fn on_request_trailers(&mut self, service: &mut Service, host: &mut Host<'_>) -> Verdict {
        self.open(|open| open.on_request_body(&[], true, service, host))
    }

    /// A held request whose body does not come is decided with what is known.
    pub fn on_body_overdue(&mut self, service: &mut Service, host: &mut Host<'_>) -> Verdict {
        host.count(Metric::Errors("body_overdue"));
        self.open(|open| open.on_body_overdue(service, host))
    }

    /// Looks whether a request that waits may go on: to be called on every tick, in the order of [`Exchange::ticket`]. `Continue` resumes the stream.
    pub fn on_turn(&mut self, service: &mut Service, host: &mut Host<'_>) -> Verdict {
        match &mut self.0 {
            State::Open(open) => open.on_turn(service, host),
            State::New | State::Passing | State::Connected(_) => Verdict::Pause,
        }
    }

    /// The number of a request that waits for quota: lower ones came first.
    #[must_use]
    pub fn ticket(&self) -> Option<u64> {
        match &self.0 {
            State::Open(open) => open.waiting.as_ref().map(|waiting| waiting.ticket.number),
            State::New | State::Passing | State::Connected(_) => None,
        }
    }

    /// Whether [`Exchange::on_turn`] may do anything but go on waiting.
    #[must_use]
    pub fn is_on_turn(&self, service: &mut Service, now: Timestamp) -> bool {
        matches!(&self.0, State::Open(open) if open.is_on_turn(service, now))
    }

    /// Keeps what is held for this exchange from expiring: to be called when [`Service::holds_are_due`] says so.
    pub fn renew_holds(&mut self, store: &dyn SharedStore, now: Timestamp) {
        match &mut self.0 {
            State::Open(open) => open.renew_holds(store, now),
            State::Connected(connection) => connection.renew_holds(store, now),
            State::New | State::Passing => {}
        }
    }

    /// The response's headers, be they the provider's, Envoy's own or those of our reply.
    #[inline(never)]
    pub fn on_response_headers(
        &mut self,
        headers: &Headers<'_>,
        end: bool,
        service: &mut Service,
        host: &mut Host<'_>,
    ) -> Verdict {
        let verdict = self.open(|open| open.on_response_headers(headers, end, host));
        if end {
            self.settle(&Ended::Whole, service, host);
        } else if matches!(&self.0, State::Open(open) if open.is_upgraded())
            && let State::Open(open) = core::mem::take(&mut self.0)
        {
            self.0 = State::Connected(Box::new(Connection::new(open, headers)));
        }
        verdict
    }

    /// A piece of the response's body.
    #[inline(never)]
    pub fn on_response_body(&mut self, body: &[u8], end: bool, service: &mut Service, host: &mut Host<'_>) -> Verdict {
        if let State::Connected(connection) = &mut self.0 {
            connection.on_server(body, service, host);
        }
        let verdict = self.open(|open| open.on_response_body(body, end, host));
        if end {
            self.settle(&Ended::Whole, service, host);
        }
        verdict
    }

    /// The response's trailers: its body is complete.
    pub fn on_response_trailers(&mut self, service: &mut Service, host: &mut Host<'_>) -> Verdict {
        self.settle(&Ended::Whole, service, host);
        Verdict::Continue
    }

    /// The stream is over, however it ended.
    pub fn on_done(&mut self, end: &StreamEnd, service: &mut Service, host: &mut Host<'_>) {
        self.settle(&Ended::Cut(end.clone()), service, host);
    }

    /// Whether [`Exchange::on_request_body`] has a use for the bytes.
    #[must_use]
    pub fn wants_request_body(&self) -> bool {
        match &self.0 {
            State::Open(open) => open.wants_request_body(),
            State::Connected(connection) => connection.reads(Sender::Client),
            State::New | State::Passing => false,
        }
    }

    /// Whether [`Exchange::on_response_body`] has a use for the bytes.
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        match &self.0 {
            State::Open(open) => open.wants_response_body(),
            // Its end has to be seen, even of what can no longer be read.
            State::Connected(_) => true,
            State::New | State::Passing => false,
        }
    }

    /// Whether it makes no difference when the next piece of the response's body comes, unless it is the last: asking the clock costs more than
    /// most pieces do.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        matches!(&self.0, State::Open(open) if open.is_timed())
    }

    /// Whether the request is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(&self.0, State::Open(open) if open.hold != Hold::No)
    }

    /// Whether this exchange still has to settle.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.0, State::Open(_) | State::Connected(_))
    }

    fn open(&mut self, run: impl FnOnce(&mut Open) -> Verdict) -> Verdict {
        match &mut self.0 {
            State::Open(open) => run(open),
            State::Connected(_) | State::New | State::Passing => Verdict::Continue,
        }
    }

    fn settle(&mut self, ended: &Ended, service: &mut Service, host: &mut Host<'_>) {
        match core::mem::replace(&mut self.0, State::Passing) {
            State::Open(open) => open.settle(ended, service, host),
            State::Connected(connection) => connection.settle(ended, service, host),
            State::New | State::Passing => {}
        }
    }
}
