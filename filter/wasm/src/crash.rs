//! Crashes on demand, for tests of what survives one. Only in builds with the feature `crash-for-tests`, which is never released.
//!
//! The request header `x-crash-for-tests` names the callback that is to end the VM, and with `:memory` behind it how: by taking memory until
//! there is none, rather than by a panic. `settled` is the end of the callback `log`. `tick` and `callout` are the next ones of the VM, and
//! `store:N` is before the Nth operation on shared data from then on, whatever callback it is in: between two operations that belong together.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::abi::{self, Map};

static AT_TICK: AtomicBool = AtomicBool::new(false);
static AT_CALLOUT: AtomicBool = AtomicBool::new(false);
/// Operations on shared data until the end; 0 is none.
static STORE_LEFT: AtomicU32 = AtomicU32::new(0);

/// Ends the VM if the current stream asks for it in this callback.
pub(crate) fn at(callback: &str) {
    let Some(told) = abi::header(Map::Request, "x-crash-for-tests") else { return };
    match told.as_slice() {
        b"tick" => AT_TICK.store(true, Ordering::Relaxed),
        b"callout" => AT_CALLOUT.store(true, Ordering::Relaxed),
        _ => {}
    }
    if callback == "request_headers"
        && let Some(count) = told.strip_prefix(b"store:").and_then(|count| str::from_utf8(count).ok()?.parse().ok())
    {
        STORE_LEFT.store(count, Ordering::Relaxed);
    }
    if told == callback.as_bytes() {
        end();
    }
    if told.strip_suffix(b":memory") == Some(callback.as_bytes()) {
        exhaust();
    }
}

/// Ends the VM if a stream has asked for it at the next tick.
pub(crate) fn at_tick() {
    if AT_TICK.load(Ordering::Relaxed) {
        end();
    }
}

/// Ends the VM if a stream has asked for it at the next answer to a callout.
pub(crate) fn at_callout() {
    if AT_CALLOUT.load(Ordering::Relaxed) {
        end();
    }
}

/// Ends the VM if a stream has asked for it at this operation on shared data.
pub(crate) fn at_store() {
    let left = STORE_LEFT.load(Ordering::Relaxed);
    STORE_LEFT.store(left.saturating_sub(1), Ordering::Relaxed);
    if left == 1 {
        end();
    }
}

#[expect(clippy::panic, reason = "what this is for")]
fn end() -> ! {
    panic!("as told")
}

fn exhaust() {
    let mut all = Vec::new();
    loop {
        all.push(vec![1_u8; 16 << 20]);
        core::hint::black_box(&all);
    }
}
