//! What limits decided and settled, against the reference.

use meterr_core::{
    effect::{LocalReply, Verdict},
    exchange::Exchange,
    host::{Host, NoProperties},
    time::Timestamp,
};
use serde_json::Value;

use super::{
    reference::{Claim, EPOCH_SECS, Unit, When},
    store::Shared,
    stream::{Step, Stream, run_request},
    traffic::Request,
    world::{Deferred, Ran, Worker, World},
};

/// Requests that are tried at the end of a run.
const PROBES: usize = 40;

/// A request that was tried where nobody else acts.
struct Tried {
    refusal: Option<LocalReply>,
    event: Value,
}

impl Tried {
    fn limit(&self, id: &str) -> Option<&Value> {
        limit(&self.event, id)
    }
}

fn limit<'e>(event: &'e Value, id: &str) -> Option<&'e Value> {
    event["data"]["limits"].as_array()?.iter().find(|entry| entry["id"] == id)
}

impl World {
    /// Tries a request up to its decision, and lets it go: on a copy of the store, or where nothing was ever held and no more is learned
    /// than this.
    fn attempt(&self, alone: Option<&Shared>, request: &Request, steps: &[Step], at: u64) -> Tried {
        let is_alone = alone.is_some();
        let store = &alone.map_or_else(|| self.store.copy_of_limits(), Shared::copy_of_learned);
        let mut service = self.triers[usize::from(is_alone)].borrow_mut();
        service.forget_learned();
        let mut exchange = Exchange::default();
        let mut effects = Vec::new();
        let mut refusal = None;
        for step in steps.iter().chain([&Step::Done("downstream_remote_disconnect")]) {
            let mut host =
                Host { store, properties: &NoProperties, now: Timestamp::from_millis(at), effects: &mut effects };
            if let Verdict::Reply(reply) = run_request(&mut exchange, request, step, &mut service, &mut host) {
                refusal = Some(reply);
            }
        }
        let event = effects.iter().find_map(|effect| match effect {
            meterr_core::effect::Effect::SetFilterState("meterr", bytes) => serde_json::from_slice(bytes).ok(),
            _ => None,
        });
        Tried { refusal, event: event.unwrap_or_default() }
    }

    /// What a request wants of each limit that counts it: what it is held for where nothing else is. And whether a limit would never
    /// take it.
    fn claims(&self, request: &Request, steps: &[Step], learned: &Shared) -> (Vec<Claim>, bool) {
        let tried = self.attempt(Some(learned), request, steps, self.now.get());
        let mut claims = Vec::new();
        for (rule, spec) in self.scene.rules.iter().enumerate() {
            let told = tried.limit(spec.id);
            self.law(
                "a limit applies where it is configured",
                match (spec.applies(&request.subject), told) {
                    (true, None) => Err(format!("{} does not count {:?}", spec.id, request.subject)),
                    (false, Some(_)) => Err(format!("{} counts {:?}", spec.id, request.subject)),
                    _ => Ok(()),
                },
            );
            if let Some(told) = told {
                let held = told["held"].as_u64().unwrap_or(0);
                claims.push(Claim { rule, amount: spec.amount(&request.subject), held });
            }
        }
        (claims, tried.refusal.is_some())
    }

    /// Limits have decided.
    pub(super) fn decided(&self, stream: &mut Stream, step: &Step, refusal: Option<&LocalReply>, ran: &Ran) {
        let Some(when) = ran.when else { return };
        if *step == Step::Overdue {
            stream.request.subject.model = "unknown";
        }
        let (claims, never) = self.claims(&stream.request, &stream.before, &ran.learned);
        let subject = stream.request.subject.clone();
        let is_exact = ran.is_whole && ran.is_clean;
        let fits = if never { Some(false) } else { self.reference.borrow().fits(&claims, &subject, when.now) };
        if is_exact && let Some(fits) = fits {
            self.tally.borrow_mut().decisions += 1;
            self.law(
                "admission",
                if fits == refusal.is_none() {
                    Ok(())
                } else {
                    Err(format!("fits: {fits}, refused: {refusal:?}, {claims:?} of {subject:?} at {when:?}"))
                },
            );
        }
        stream.admitted = Some(refusal.is_none());
        stream.admitted_at = when.now;
        let mut reference = self.reference.borrow_mut();
        match refusal {
            // What a request holds that a limit would never take, where that limit's record cannot be read, was not found out.
            None if never => {
                stream.odd = claims;
                reference.doubt(&stream.odd, &subject, when);
            }
            None => {
                let taken = |claim: &Claim| {
                    let id = self.scene.rules[claim.rule].id;
                    ran.decisions.iter().any(|(limit, decision)| limit == id && *decision == "admitted")
                };
                stream.claims = claims.into_iter().filter(taken).collect();
                reference.admit(stream.id, &stream.claims, &subject, when);
            }
            Some(reply) => {
                self.tally.borrow_mut().refused += 1;
                stream.expected = claims
                    .iter()
                    .filter(|_| is_exact)
                    .filter_map(|claim| {
                        Some((self.scene.rules[claim.rule].id, reference.remaining(claim, &subject, when.now)?))
                    })
                    .collect();
                if ran.is_clean {
                    reference.glance(&claims, &subject, when);
                } else {
                    reference.doubt(&claims, &subject, when);
                }
                drop(reference);
                // Whoever could not read what was learned expected something else than those will who try again.
                let (again, _) = self.claims(&stream.request, &stream.before, &self.store.copy_of_learned());
                if is_exact && !never && claims == again {
                    self.judge_wait(stream, reply, when.now);
                }
            }
        }
    }

    /// Waiting as long as was told is enough, and a millisecond less is not.
    fn judge_wait(&self, stream: &Stream, reply: &LocalReply, now: u64) {
        let header = |name: &str| reply.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let attempt = |at: u64| self.attempt(None, &stream.request, &stream.before, at);
        let Some(wait) = header("retry-after-ms").and_then(|ms| ms.parse::<u64>().ok()) else {
            let is_told = header("x-should-retry") == Some("false") && header("retry-after").is_none();
            self.law("retry-after", if is_told { Ok(()) } else { Err(format!("no wait is told: {reply:?}")) });
            return;
        };
        let seconds = wait.div_ceil(1_000).to_string();
        let is_short = if wait <= 60_000 { "true" } else { "false" };
        let mut result = Ok(());
        if header("retry-after") != Some(&seconds) || header("x-should-retry") != Some(is_short) {
            result = Err(format!("the headers disagree: {reply:?}"));
        } else if let Some(refusal) = attempt(now + wait).refusal {
            result = Err(format!("refused again after {wait} ms from {now}: {reply:?} and then {refusal:?}"));
        } else if let Some(less) = wait.checked_sub(1).map(|less| now + less)
            // Holds that expire in between give quota back before the window does.
            && now / 1_000 / EPOCH_SECS == less / 1_000 / EPOCH_SECS
            && attempt(less).refusal.is_none()
        {
            result = Err(format!("admitted a millisecond before the {wait} ms from {now} are over: {reply:?}"));
        }
        self.law("retry-after", result);
        self.tally.borrow_mut().waits += 1;
    }

    /// An exchange has settled.
    pub(super) fn settled(&self, stream: &mut Stream, event: &Value, ran: &Ran, worker: &mut Worker) {
        let Some(when) = ran.when else { return };
        self.tally.borrow_mut().exchanges += 1;
        let data = &event["data"];
        let about = || format!("{data} of {:?}", stream.request.subject);
        let outcomes = stream.outcomes();
        let is_so = outcomes.iter().any(|outcome| data["outcome"] == *outcome);
        self.law("one outcome", if is_so { Ok(()) } else { Err(format!("{outcomes:?} is {}", about())) });
        if let Some((input, output)) = stream.truth() {
            let told = (data["input_tokens"].as_u64(), data["output_tokens"].as_u64(), &data["usage_status"]);
            let is_told = (told.0, told.1) == (Some(input), Some(output)) && told.2 == "reported";
            self.law("usage", if is_told { Ok(()) } else { Err(format!("{input} and {output} are {}", about())) });
        }
        for (id, expected) in &stream.expected {
            let told = limit(event, id).map(|entry| &entry["remaining"]);
            self.tally.borrow_mut().remainders += 1;
            self.law(
                "a refusal leaves no trace",
                if told.is_some_and(|told| told == expected) {
                    Ok(())
                } else {
                    Err(format!("{id} has {expected}: {}", about()))
                },
            );
        }
        let tokens = data["total_tokens"].as_u64().unwrap_or_else(|| self.charged(stream, event));
        let (mut done, mut open) = (Vec::new(), Vec::new());
        for claim in &stream.claims {
            let rule = &self.scene.rules[claim.rule];
            let truth = if rule.unit == Unit::Requests { 1 } else { tokens };
            let entry = limit(event, rule.id).unwrap_or(&Value::Null);
            let is_done = entry["settled"] == truth;
            let is_open = ran.is_deferred && entry["settled"] == 0;
            self.law(
                "settled is what was counted",
                if (is_done || is_open) && entry["held"] == claim.held {
                    Ok(())
                } else {
                    Err(format!("{} held {} and owes {truth}: {}", rule.id, claim.held, about()))
                },
            );
            self.judge_overshoot(stream, claim, data, truth);
            match (is_done, is_open) {
                (true, true) => {
                    self.reference.borrow_mut().doubt(std::slice::from_ref(claim), &stream.request.subject, when);
                }
                (true, false) => done.push(claim.clone()),
                _ => open.push(claim.clone()),
            }
        }
        self.reference.borrow_mut().doubt(&stream.odd, &stream.request.subject, when);
        self.reference.borrow_mut().settle(stream.id, &done, &stream.request.subject, tokens, when);
        if ran.is_whole && ran.is_clean {
            self.judge_remaining(&done, &stream.request, event, when);
        }
        if !open.is_empty() {
            worker.deferred.push(Deferred {
                exchange: stream.id,
                claims: open,
                subject: stream.request.subject.clone(),
                tokens,
                in_doubt: false,
            });
        }
    }

    /// Tokens that limits were charged with where input and output are not both known.
    fn charged(&self, stream: &Stream, event: &Value) -> u64 {
        let of_tokens = stream.claims.iter().filter(|claim| self.scene.rules[claim.rule].unit == Unit::Tokens);
        let settled = of_tokens.filter_map(|claim| limit(event, self.scene.rules[claim.rule].id)?["settled"].as_u64());
        settled.max().unwrap_or(0)
    }

    fn judge_remaining(&self, claims: &[Claim], request: &Request, event: &Value, when: When) {
        for claim in claims {
            let rule = &self.scene.rules[claim.rule];
            let Some(expected) = self.reference.borrow().remaining(claim, &request.subject, when.now) else { continue };
            self.tally.borrow_mut().remainders += 1;
            let told = limit(event, rule.id).map(|entry| &entry["remaining"]);
            self.law(
                "conservation",
                if told.is_some_and(|told| told == expected) {
                    Ok(())
                } else {
                    Err(format!("{} has {expected} at {when:?}: {event} of {:?}", rule.id, request.subject))
                },
            );
        }
    }

    /// Under `worst_case` no window takes more than its amount, and no exchange more than its hold; requests never do.
    fn judge_overshoot(&self, stream: &Stream, claim: &Claim, data: &Value, truth: u64) {
        let rule = &self.scene.rules[claim.rule];
        let is_bounded = !data["usage_flags"].as_str().is_some_and(|flags| flags.contains("unbounded"));
        if rule.unit == Unit::Tokens && (rule.reserve != "worst_case" || !is_bounded) {
            return;
        }
        let epoch = |ms: u64| ms / 1_000 / EPOCH_SECS;
        let may_have_expired = epoch(self.latest.get()) >= epoch(stream.admitted_at) + 2;
        let charged = self.reference.borrow_mut().charge(
            stream.id,
            claim,
            &stream.request.subject,
            truth,
            rule.unit == Unit::Tokens && may_have_expired,
        );
        self.law(
            "no overshoot",
            if truth <= claim.held {
                charged.map_err(|seen| format!("{seen}: {data}"))
            } else {
                Err(format!("{} held {} for {truth}: {data}", rule.id, claim.held))
            },
        );
    }

    /// A tick has tried again what the store did not take.
    pub(super) fn retried(&self, worker: &mut Worker, ran: &Ran) {
        let Some(when) = ran.when else { return };
        let mut reference = self.reference.borrow_mut();
        for deferred in &mut worker.deferred {
            if ran.is_clean && !deferred.in_doubt {
                reference.settle(deferred.exchange, &deferred.claims, &deferred.subject, deferred.tokens, when);
            } else {
                reference.doubt(&deferred.claims, &deferred.subject, when);
                deferred.in_doubt = true;
            }
        }
        if ran.is_clean {
            worker.deferred.clear();
        }
    }

    /// Tries requests of all sorts on copies of the store: each counter must say what the reference says.
    pub(super) fn judge_all(&self, law: &'static str) {
        for _ in 0..PROBES {
            let request = self.with_random(|random| Request::probe(random, self.scene.header_hold));
            let steps = [Step::RequestHeaders, Step::RequestBody(0, request.body.len(), true)];
            let (claims, never) = self.claims(&request, &steps, &self.store);
            let now = self.now.get();
            let tried = self.attempt(None, &request, &steps, now);
            let mut reference = self.reference.borrow().clone();
            let when = When { now, until: now };
            if let Some(fits) = reference.fits(&claims, &request.subject, now).filter(|_| !never) {
                let agrees = fits == tried.refusal.is_none();
                self.law(law, if agrees { Ok(()) } else { Err(format!("fits: {fits}, {:?}", tried.event)) });
            }
            if tried.refusal.is_none() {
                let entries = claims.iter().filter_map(|claim| tried.limit(self.scene.rules[claim.rule].id));
                let tokens =
                    entries.filter(|entry| entry["unit"] == "tokens").find_map(|entry| entry["settled"].as_u64());
                reference.admit(0, &claims, &request.subject, when);
                reference.settle(0, &claims, &request.subject, tokens.unwrap_or(0), when);
            }
            for claim in &claims {
                let rule = &self.scene.rules[claim.rule];
                let Some(expected) = reference.remaining(claim, &request.subject, now) else { continue };
                self.tally.borrow_mut().remainders += 1;
                let told = tried.limit(rule.id).map(|entry| &entry["remaining"]);
                let agrees = told.is_some_and(|told| told == expected);
                let seen = || format!("{} has {expected}: {} of {:?}", rule.id, tried.event, request.subject);
                self.law(law, if agrees { Ok(()) } else { Err(seen()) });
            }
        }
    }
}
