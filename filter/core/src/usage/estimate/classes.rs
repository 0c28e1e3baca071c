//! The weights of ASCII as tables for vector instructions, which look sixteen values up at once.
//!
//! The upper and the lower half of a byte each have a set of classes; a byte is of the one class that both have, a bit. The upper and the
//! lower half of that bit's byte then have its weight.

use super::WEIGHTS;

/// Bytes in a vector of WebAssembly.
pub(crate) const LANES: usize = 16;
/// All weights of ASCII are multiples of it, and at most 255 of them.
pub(crate) const UNIT: u64 = 5;

const LOWER_A_TO_O: u8 = 1;
const LOWER_P_TO_Z: u8 = 1 << 1;
const UPPER_A_TO_O: u8 = 1 << 2;
const UPPER_P_TO_Z: u8 = 1 << 3;
const DIGIT: u8 = 1 << 4;
const SPACE: u8 = 1 << 5;
const CONTROL: u8 = 1 << 6;
const DELETE: u8 = 1 << 7;

/// What the vector code looks up.
pub(crate) struct Tables {
    /// Classes by the upper half of a byte.
    pub(crate) by_high: [u8; LANES],
    /// Classes by the lower half.
    pub(crate) by_low: [u8; LANES],
    /// Units by the lower half of the class, which is 0 for what has none of the classes and for the other half's.
    pub(crate) first: [u8; LANES],
    /// What the upper half of the class changes about that, modulo 256.
    pub(crate) second: [u8; LANES],
}

#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "for the vector code of WebAssembly"))]
pub(crate) static TABLES: Tables = MADE;

#[expect(clippy::indexing_slicing, reason = "a constant: it would not compile")]
const MADE: Tables = {
    let [mut by_high, mut by_low, mut first, mut second] = [[0; LANES]; 4];
    let mut byte = 0;
    while byte < 128 {
        let class = match byte {
            0x00..=0x1f => CONTROL,
            0x20 => SPACE,
            0x30..=0x39 => DIGIT,
            0x41..=0x4f => UPPER_A_TO_O,
            0x50..=0x5a => UPPER_P_TO_Z,
            0x61..=0x6f => LOWER_A_TO_O,
            0x70..=0x7a => LOWER_P_TO_Z,
            0x7f => DELETE,
            _ => 0,
        };
        by_high[byte >> 4] |= class;
        by_low[byte & 15] |= class;
        byte += 1;
    }
    let other = units(b'!');
    first[0] = other;
    first[LOWER_A_TO_O as usize] = units(b'a');
    first[LOWER_P_TO_Z as usize] = units(b'a');
    first[UPPER_A_TO_O as usize] = units(b'A');
    first[UPPER_P_TO_Z as usize] = units(b'A');
    second[(DIGIT >> 4) as usize] = units(b'0').wrapping_sub(other);
    second[(SPACE >> 4) as usize] = units(b' ').wrapping_sub(other);
    second[(CONTROL >> 4) as usize] = units(0).wrapping_sub(other);
    second[(DELETE >> 4) as usize] = units(0x7f).wrapping_sub(other);
    Tables { by_high, by_low, first, second }
};

#[expect(clippy::cast_possible_truncation, reason = "the proof below compares what comes of it")]
#[expect(clippy::indexing_slicing, reason = "a constant: it would not compile")]
const fn units(byte: u8) -> u8 {
    (WEIGHTS[byte as usize] as u64 / UNIT) as u8
}

/// That the tables say of every byte of ASCII what [`WEIGHTS`] says: else this does not compile.
#[expect(clippy::indexing_slicing, reason = "a constant: it would not compile")]
const _: () = {
    let mut byte = 0;
    while byte < 128 {
        let class = (MADE.by_high[byte >> 4] & MADE.by_low[byte & 15]) as usize;
        let units = MADE.first[class & 15].wrapping_add(MADE.second[class >> 4]);
        assert!(units as u64 * UNIT == WEIGHTS[byte] as u64);
        byte += 1;
    }
};
