//! Crashes on demand, for tests of what survives one. Only in builds with the feature `crash-for-tests`, which is never released.
//!
//! The request header `x-crash-for-tests` names the callback that is to end the VM, and with `:memory` behind it how: by taking memory until
//! there is none, rather than by a panic.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::abi::{self, Map};

static AT_TICK: AtomicBool = AtomicBool::new(false);

/// Ends the VM if the current stream asks for it in this callback.
pub(crate) fn at(callback: &str) {
    let Some(told) = abi::header(Map::Request, "x-crash-for-tests") else { return };
    if told == b"tick" {
        AT_TICK.store(true, Ordering::Relaxed);
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
