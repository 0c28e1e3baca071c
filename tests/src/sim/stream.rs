//! One exchange of the simulation: which callbacks come, in which order, and how it must end.

use std::collections::VecDeque;

use meterr_core::{
    effect::Verdict,
    exchange::{Exchange, StreamEnd},
    head::Headers,
    host::Host,
    random::Random,
    service::Service,
};

use super::{
    reference::Claim,
    traffic::{Pairs, Reply, Request},
};

/// One callback of an exchange. Ranges count bytes of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The request's headers.
    RequestHeaders,
    /// A piece of the request's body, and whether it is the last.
    RequestBody(usize, usize, bool),
    /// The request's trailers.
    RequestTrailers,
    /// The watchdog lets a held request go.
    Overdue,
    /// The response's headers.
    ResponseHeaders,
    /// A piece of the response's body, and whether it is the last.
    ResponseBody(usize, usize, bool),
    /// The response's trailers.
    ResponseTrailers,
    /// The stream is over; Envoy's details say how.
    Done(&'static str),
}

/// Envoy's `response.code_details` when the client goes away.
const CLIENT_LEFT: &str = "downstream_remote_disconnect";
/// … when the upstream does.
const UPSTREAM_LEFT: &str = "upstream_reset_after_response_started{connection_termination}";

/// An open exchange.
#[derive(Debug)]
pub struct Stream {
    /// Its number in the simulation.
    pub id: u64,
    /// The exchange itself.
    pub exchange: Exchange,
    /// What is asked.
    pub request: Request,
    /// What is answered.
    pub reply: Reply,
    /// Callbacks still to come.
    pub steps: VecDeque<Step>,
    /// Request-side callbacks so far: what a decision is made from.
    pub before: Vec<Step>,
    /// What it took from limits when it was admitted.
    pub claims: Vec<Claim>,
    /// Limits of which it took nobody knows how much.
    pub odd: Vec<Claim>,
    /// Whether limits have decided, and let it pass.
    pub admitted: Option<bool>,
    /// When it was admitted, milliseconds.
    pub admitted_at: u64,
    /// What each limit that refused it had left then, as far as that is known.
    pub expected: Vec<(&'static str, i64)>,
    /// Events that it made.
    pub events: usize,
    /// Response bytes that passed.
    passed: usize,
    answered: bool,
    ended: bool,
    left_by: &'static str,
}

impl Stream {
    /// A new exchange with a fate.
    pub fn new(id: u64, request: Request, random: &mut Random) -> Self {
        let reply = Reply::new(random, &request);
        let below = |random: &mut Random, most: usize| usize::try_from(random.up_to(most as u64)).unwrap_or(0);
        let mut steps = VecDeque::from([Step::RequestHeaders]);
        if random.up_to(39) == 0 {
            steps.push_back(Step::Overdue);
        }
        let cut = below(random, request.body.len());
        let trailers = random.up_to(9) == 0;
        steps.push_back(Step::RequestBody(0, cut, false));
        steps.push_back(Step::RequestBody(cut, request.body.len(), !trailers));
        if trailers {
            steps.push_back(Step::RequestTrailers);
        }
        let mut left_by = "via_upstream";
        let leaves = |random: &mut Random| if random.up_to(1) == 0 { CLIENT_LEFT } else { UPSTREAM_LEFT };
        match random.up_to(19) {
            // Somebody leaves before the response has begun.
            0 => {
                left_by = leaves(random);
                steps.truncate(1 + below(random, steps.len() - 1));
            }
            fate => {
                steps.push_back(Step::ResponseHeaders);
                let len = reply.body.len();
                let stop = if fate < 6 { below(random, len) } else { len };
                // A body that is cut ends in a reset, or, from a server of HTTP/1.0, as if it were whole.
                let resets = fate < 4;
                let trailers = fate == 19;
                let mut from = 0;
                while from < stop {
                    let to = (from + 1 + below(random, 400)).min(stop);
                    steps.push_back(Step::ResponseBody(from, to, to == stop && !resets && !trailers));
                    from = to;
                }
                if resets {
                    left_by = leaves(random);
                } else if trailers || stop == 0 {
                    steps.push_back(Step::ResponseTrailers);
                }
            }
        }
        steps.push_back(Step::Done(left_by));
        if random.up_to(19) == 0 {
            steps.push_back(Step::Done(left_by));
        }
        Self {
            id,
            exchange: Exchange::default(),
            request,
            reply,
            steps,
            before: Vec::new(),
            claims: Vec::new(),
            odd: Vec::new(),
            admitted: None,
            admitted_at: 0,
            expected: Vec::new(),
            events: 0,
            passed: 0,
            answered: false,
            ended: false,
            left_by,
        }
    }

    /// Carries out one callback.
    pub fn run(&mut self, step: &Step, service: &mut Service, host: &mut Host<'_>) -> Verdict {
        let Self { exchange, request, reply, .. } = self;
        if matches!(step, Step::RequestHeaders | Step::RequestBody(..) | Step::RequestTrailers | Step::Overdue) {
            self.before.push(step.clone());
        }
        match step {
            Step::ResponseHeaders => {
                self.answered = true;
                exchange.on_response_headers(&view(&reply.headers), false, service, host)
            }
            Step::ResponseBody(from, to, end) => {
                (self.passed, self.ended) = (*to, *end);
                exchange.on_response_body(&reply.body[*from..*to], *end, service, host)
            }
            Step::ResponseTrailers => {
                self.ended = true;
                exchange.on_response_trailers(service, host)
            }
            _ => run_request(exchange, request, step, service, host),
        }
    }

    /// A refusal goes the way of every local reply: through the response callbacks of this same filter.
    pub fn is_refused_with(&mut self, headers: &Pairs, status: u32, body: &[u8], random: &mut Random) {
        self.reply.status = status;
        self.reply.headers = [vec![(":status".to_owned(), status.to_string())], headers.clone()].concat();
        self.reply.body = body.to_vec();
        self.steps.clear();
        if random.up_to(9) > 0 {
            self.steps.push_back(Step::ResponseHeaders);
            self.steps.push_back(Step::ResponseBody(0, self.reply.body.len(), true));
        }
        self.steps.push_back(Step::Done("meterr_limit"));
    }

    /// How it must end, by the contract: the first that holds. A body that ends like a whole one after the model has said why it stopped,
    /// but before the last record, may be taken for whole or not.
    #[must_use]
    pub fn outcomes(&self) -> [&'static str; 2] {
        let passed = |at: Option<usize>| self.answered && at.is_some_and(|at| self.passed >= at);
        match () {
            () if self.admitted == Some(false) => ["rejected"; 2],
            () if self.answered && self.reply.status >= 400 => ["provider_error"; 2],
            () if passed(self.reply.error_at) => ["provider_error"; 2],
            () if passed(self.reply.last_at) => ["completed"; 2],
            () if self.ended && passed(self.reply.stop_at) => ["completed", "upstream_reset"],
            () if !self.ended && self.left_by == CLIENT_LEFT => ["client_aborted"; 2],
            () => ["upstream_reset"; 2],
        }
    }

    /// Input and output tokens, if the provider has said them all.
    #[must_use]
    pub fn truth(&self) -> Option<(u64, u64)> {
        self.reply.truth.filter(|_| self.answered && self.passed == self.reply.body.len() && self.reply.status < 400)
    }
}

/// A request-side callback.
pub fn run_request(
    exchange: &mut Exchange,
    request: &Request,
    step: &Step,
    service: &mut Service,
    host: &mut Host<'_>,
) -> Verdict {
    match step {
        Step::RequestHeaders => exchange.on_request_headers(&view(&request.headers), false, service, host),
        Step::RequestBody(from, to, end) => exchange.on_request_body(&request.body[*from..*to], *end, service, host),
        Step::RequestTrailers => exchange.on_request_trailers(service, host),
        Step::Overdue if exchange.is_held() => exchange.on_body_overdue(service, host),
        Step::Done(details) => {
            let end = StreamEnd { code_details: Some((*details).to_owned()), response_flags: None };
            exchange.on_done(&end, service, host);
            Verdict::Continue
        }
        _ => Verdict::Continue,
    }
}

fn view(headers: &Pairs) -> Headers<'_> {
    Headers::new(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect())
}
