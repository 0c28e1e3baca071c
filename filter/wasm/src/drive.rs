//! Carries out what the core asks for. A hostcall that fails is counted and harms nothing.

use hashbrown::HashMap;
use meterr_core::{
    effect::{Effect, Level, LocalReply, Splice, Verdict},
    metric::Metric,
};

use crate::{
    abi::{self, Buffer, Map, Status},
    metrics::Metrics,
};

/// What effects act on, besides the stream that the host has made current.
#[derive(Debug)]
pub(crate) struct Driver<'a> {
    pub(crate) metrics: &'a mut Metrics,
    pub(crate) callouts: &'a mut HashMap<u32, u64>,
    pub(crate) tick_ms: &'a mut u32,
}

impl Driver<'_> {
    /// Carries out one effect; gives back the token of a callout that the host refused.
    #[inline(never)]
    pub(crate) fn apply(&mut self, effect: Effect) -> Option<u64> {
        let done = match effect {
            Effect::SetRequestHeader(name, value) => abi::set_header(Map::Request, &name, &value),
            Effect::RemoveRequestHeader(name) => abi::remove_header(Map::Request, &name),
            Effect::SetResponseHeader(name, value) => abi::set_header(Map::Response, name, value.as_bytes()),
            Effect::RemoveResponseHeader(name) => abi::remove_header(Map::Response, name),
            Effect::SpliceRequestBody(splice) => splice_request(&splice),
            Effect::ReplaceResponseChunk(bytes) => abi::replace_buffer(Buffer::Response, &bytes),
            Effect::SetFilterState(key, value) => abi::set_property(key, &value),
            Effect::SetFilterStateNumber(key, number) => {
                abi::set_property(key, itoa::Buffer::new().format(number).as_bytes())
            }
            Effect::SetHitsAddend(tokens) => hits_addend(tokens),
            Effect::Measure(metric, value) => self.metrics.measure(metric, value),
            Effect::Move(metric, by) => self.metrics.shift(metric, by),
            Effect::Log(level, message) => {
                abi::log(log_level(level), &message);
                Ok(())
            }
            Effect::SetTick(millis) => {
                // Setting it re-arms the timer: done with every request, it would never fire.
                if *self.tick_ms != millis {
                    *self.tick_ms = millis;
                    tick(millis);
                }
                Ok(())
            }
            Effect::Callout(callout) => {
                match abi::call(&callout.cluster, &callout.headers, &callout.body, callout.timeout_ms) {
                    Ok(token) => {
                        self.callouts.insert(token, callout.token);
                        Ok(())
                    }
                    Err(_) => return Some(callout.token),
                }
            }
        };
        if done.is_err() && self.metrics.measure(Metric::Errors("hostcall"), 1).is_err() {
            abi::log(3, "meterr: hostcalls fail");
        }
        None
    }
}

/// Asks for ticks. Never every millisecond: Envoy before 1.41 divides by half of it.
pub(crate) fn tick(millis: u32) {
    if abi::set_tick(millis.max(2)).is_err() {
        abi::log(4, "meterr: the host has no timer; events will not be delivered");
    }
}

/// What the callback returns; a local reply is sent first.
pub(crate) fn verdict(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Continue => 0,
        Verdict::Pause => 1,
        Verdict::Reply(LocalReply { status, headers, body, details }) => {
            if abi::reply(status, details, &body, &headers).is_err() {
                abi::log(4, "meterr: a local reply was refused by the host");
            }
            1
        }
    }
}

fn splice_request(splice: &Splice) -> Result<(), Status> {
    let body = abi::buffer(Buffer::Request, 0, usize::MAX >> 1)?;
    abi::replace_buffer(Buffer::Request, &splice.apply(&body))
}

/// Sets the filter state that Envoy's own rate limit filter reads. The argument is the message
/// `envoy.source.extensions.common.wasm.SetEnvoyFilterStateArguments`: path 1, value 2; each shorter than 128 bytes.
fn hits_addend(tokens: u64) -> Result<(), Status> {
    const PATH: &[u8] = b"envoy.ratelimit.hits_addend";
    let mut digits = itoa::Buffer::new();
    let value = digits.format(tokens);
    let mut argument = Vec::with_capacity(64);
    for (tag, bytes) in [(0x0a, PATH), (0x12, value.as_bytes())] {
        argument.push(tag);
        argument.push(u8::try_from(bytes.len()).unwrap_or(0));
        argument.extend_from_slice(bytes);
    }
    abi::foreign("set_envoy_filter_state", &argument).map(drop)
}

const fn log_level(level: Level) -> u32 {
    match level {
        Level::Debug => 1,
        Level::Info => 2,
        Level::Warn => 3,
        Level::Error => 4,
    }
}
