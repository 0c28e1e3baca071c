//! The same with the vector instructions of WebAssembly: sixteen bytes at a time, four times over while there are so many, of which quotes
//! and backslashes are found and all are weighed by their class.

use core::{
    arch::wasm32::{
        u8x16, u8x16_add, u8x16_bitmask, u8x16_eq, u8x16_splat, u8x16_swizzle, u16x8_add, u16x8_extadd_pairwise_u8x16,
        u16x8_shr, u16x8_splat, u32x4_extadd_pairwise_u16x8, u32x4_extract_lane, v128, v128_and, v128_or,
    },
    hint::black_box,
};

use super::{Span, characters, narrow, unescaped};
use crate::usage::estimate::{
    self,
    classes::{self, LANES, UNIT},
    weight_of,
};

/// From so many bytes on it is worth loading the tables.
pub(super) const WORTH: usize = 64;

/// Bytes that are looked at together while the text is long.
const MANY: usize = 4 * LANES;
/// From so many bytes on. An event of a stream has fewer, and its text ends soon.
const WORTH_MANY: usize = 512;

/// Blocks after which the sums of 16 bits are emptied: two bytes of at most 255 units go into each.
const MOST: usize = 124;

/// The tables in registers.
struct Tables {
    by_high: v128,
    by_low: v128,
    first: v128,
    second: v128,
    nibble: v128,
    quote: v128,
    backslash: v128,
}

impl Tables {
    fn load() -> Self {
        // Constants would be built anew for each block, from two numbers of 64 bits.
        let tables = black_box(&classes::TABLES);
        Self {
            by_high: load(&tables.by_high),
            by_low: load(&tables.by_low),
            first: load(&tables.first),
            second: load(&tables.second),
            nibble: load(black_box(&[15; LANES])),
            quote: load(black_box(&[b'"'; LANES])),
            backslash: load(black_box(&[b'\\'; LANES])),
        }
    }

    /// Where quotes and backslashes are, a bit for each byte.
    fn stops(&self, block: v128) -> u16 {
        u8x16_bitmask(v128_or(u8x16_eq(block, self.quote), u8x16_eq(block, self.backslash)))
    }

    /// What each byte of ASCII weighs, in units.
    fn weights(&self, block: v128) -> v128 {
        let halves = |bytes| (v128_and(u16x8_shr(bytes, 4), self.nibble), v128_and(bytes, self.nibble));
        let (high, low) = halves(block);
        let class = v128_and(u8x16_swizzle(self.by_high, high), u8x16_swizzle(self.by_low, low));
        let (high, low) = halves(class);
        u8x16_add(u8x16_swizzle(self.first, low), u8x16_swizzle(self.second, high))
    }
}

fn load(bytes: &[u8; LANES]) -> v128 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
    u8x16(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
}

/// The sum of eight numbers of 16 bits, of units, as a weight.
fn sum(units: v128) -> u64 {
    let four = u32x4_extadd_pairwise_u16x8(units);
    let lanes = [
        u32x4_extract_lane::<0>(four),
        u32x4_extract_lane::<1>(four),
        u32x4_extract_lane::<2>(four),
        u32x4_extract_lane::<3>(four),
    ];
    lanes.into_iter().map(u64::from).sum::<u64>().saturating_mul(UNIT)
}

/// What escapes of one letter do to the sums.
#[derive(Clone, Copy, Default)]
struct Escapes {
    count: u64,
    /// Added to what the bytes weigh as they stand in the document. Modulo 2^64: it comes before what it is taken off from.
    weight: u64,
    /// Up to where bytes belong to an escape that was seen.
    done: usize,
}

impl Escapes {
    /// Those at `stops`, which are quotes and backslashes counted from `at`; or where the text ends or something else must go on.
    #[inline]
    fn pass(mut self, mut stops: u64, at: usize, bytes: &[u8]) -> Result<Self, (Self, usize)> {
        while stops != 0 {
            let place = at.saturating_add(stops.trailing_zeros() as usize);
            stops &= stops.wrapping_sub(1);
            if place < self.done {
                continue;
            }
            let [b'\\', letter, ..] = bytes.get(place..).unwrap_or_default() else { return Err((self, place)) };
            let Some(byte) = unescaped(*letter) else { return Err((self, place)) };
            self.done = place.saturating_add(2);
            self.count = self.count.saturating_add(1);
            let stands = weight_of(b'\\').wrapping_add(weight_of(*letter));
            self.weight = self.weight.wrapping_add(weight_of(byte)).wrapping_sub(stands);
        }
        Ok(self)
    }
}

pub(super) fn pass(bytes: &[u8], weighs: bool) -> Span {
    let tables = Tables::load();
    let (mut weight, mut chars) = (0_u64, 0_u64);
    let (mut units, mut in_units) = (u16x8_splat(0), 0);
    let (mut at, mut escapes) = (0_usize, Escapes::default());
    // Many at a time, as a processor cannot foresee how many stops a block has: one such surprise for four blocks.
    let many = if bytes.len() >= WORTH_MANY { bytes.as_chunks::<MANY>().0 } else { &[] };
    for many in many {
        let [a, b, c, d] = [0, 1, 2, 3].map(|nth| many.as_chunks::<LANES>().0.get(nth).map_or(u8x16_splat(0), load));
        let [low, mid, high, top] = [a, b, c, d].map(|vector| u64::from(tables.stops(vector)));
        let Ok(passed) = escapes.pass(low | mid << 16 | high << 32 | top << 48, at, bytes) else { break };
        escapes = passed;
        if weighs {
            if u8x16_bitmask(v128_or(v128_or(a, b), v128_or(c, d))) == 0 {
                for vector in [a, b, c, d] {
                    units = u16x8_add(units, u16x8_extadd_pairwise_u8x16(tables.weights(vector)));
                }
                in_units += MANY / LANES;
                if in_units >= MOST {
                    weight = weight.wrapping_add(sum(units));
                    (units, in_units) = (u16x8_splat(0), 0);
                }
                chars = chars.saturating_add(MANY as u64);
            } else {
                weight = weight.wrapping_add(estimate::weigh(many));
                chars = chars.saturating_add(characters(many));
            }
        }
        at = at.saturating_add(MANY);
    }
    weight = weight.wrapping_add(sum(units));
    // What is left has too few blocks for the sums of 16 bits to overflow: the end of the text is within the next four, or all are fewer than 32.
    units = u16x8_splat(0);
    let mut end = None;
    for block in bytes.get(at..).unwrap_or_default().as_chunks::<LANES>().0 {
        let vector = load(block);
        match escapes.pass(tables.stops(vector).into(), at, bytes) {
            Ok(passed) => escapes = passed,
            Err((passed, place)) => {
                escapes = passed;
                end = Some(place);
                break;
            }
        }
        if weighs {
            if u8x16_bitmask(vector) == 0 {
                units = u16x8_add(units, u16x8_extadd_pairwise_u8x16(tables.weights(vector)));
                chars = chars.saturating_add(LANES as u64);
            } else {
                weight = weight.wrapping_add(estimate::weigh(block));
                chars = chars.saturating_add(characters(block));
            }
        }
        at = at.saturating_add(LANES);
    }
    weight = weight.wrapping_add(sum(units)).wrapping_add(escapes.weight);
    let (done, escapes) = (escapes.done, escapes.count);
    let span = |len: usize, chars: u64, weight: u64| Span {
        len,
        bytes: (len as u64).saturating_sub(escapes),
        chars: if weighs { chars.saturating_sub(escapes) } else { 0 },
        weight: if weighs { weight } else { 0 },
    };
    if let Some(end) = end {
        let begun = bytes.get(at..end).unwrap_or_default();
        return span(end, chars.saturating_add(characters(begun)), weight.wrapping_add(estimate::weigh(begun)));
    }
    // The letter of an escape may be the first byte after the last block.
    let from = done.max(at);
    let letter = bytes.get(at..from).unwrap_or_default();
    let seen = span(from, chars.saturating_add(letter.len() as u64), weight.wrapping_add(estimate::weigh(letter)));
    let rest = narrow(bytes.get(from..).unwrap_or_default(), weighs);
    Span {
        len: seen.len.saturating_add(rest.len),
        bytes: seen.bytes.saturating_add(rest.bytes),
        chars: seen.chars.saturating_add(rest.chars),
        weight: seen.weight.saturating_add(rest.weight),
    }
}
