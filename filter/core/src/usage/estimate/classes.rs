//! The weights as tables for vector instructions, which look sixteen values up at once.
//!
//! The upper half of a byte has a class, and the exceptions from it; the lower half has all classes, and the exceptions that it is of. What both
//! have is the class of the byte, or something past all classes if it is an exception.

use super::WEIGHTS;

/// Bytes in a vector of WebAssembly.
pub(crate) const LANES: usize = 16;
/// All weights of ASCII are multiples of it, and at most 255 of them.
pub(crate) const UNIT: u64 = 5;
/// The same of the bytes that begin a longer character.
pub(crate) const LEAD_UNIT: u64 = 50;

/// Where the classes are kept, 0 for what is no ASCII.
const CLASS: u8 = 0x0f;
const CONTROL: u8 = 1;
const SPACE: u8 = 2;
const DIGIT: u8 = 3;
const UPPER: u8 = 4;
const LOWER: u8 = 5;

/// Exceptions, by the lower half: with any of them, a byte is just another character.
const NOT_0: u8 = 0x10;
const IS_0: u8 = 0x20;
const PAST_9: u8 = 0x40;
const PAST_10: u8 = 0x80;

/// What the vector code looks up.
pub(crate) struct Tables {
    /// Class and exceptions by the upper half of a byte.
    pub(crate) by_high: [u8; LANES],
    /// Exceptions by the lower half.
    pub(crate) by_low: [u8; LANES],
    /// Units by the class, which are 0 past all classes: less those of another character, modulo 256.
    pub(crate) weights: [u8; LANES],
    /// Units of another character.
    pub(crate) other: [u8; LANES],
}

#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "for the vector code of WebAssembly"))]
pub(crate) static TABLES: Tables = MADE;

#[expect(clippy::indexing_slicing, reason = "a constant: it would not compile")]
const MADE: Tables = {
    let (mut by_low, mut weights) = ([0; LANES], [0; LANES]);
    let mut low = 0;
    while low < LANES {
        by_low[low] = CLASS
            | if low == 0 { IS_0 } else { NOT_0 }
            | if low > 9 { PAST_9 } else { 0 }
            | if low > 10 { PAST_10 } else { 0 };
        low += 1;
    }
    let other = units(b'!');
    weights[0] = 0_u8.wrapping_sub(other);
    weights[CONTROL as usize] = units(0).wrapping_sub(other);
    weights[SPACE as usize] = units(b' ').wrapping_sub(other);
    weights[DIGIT as usize] = units(b'0').wrapping_sub(other);
    weights[UPPER as usize] = units(b'A').wrapping_sub(other);
    weights[LOWER as usize] = units(b'a').wrapping_sub(other);
    let by_high = [
        CONTROL,
        CONTROL,
        SPACE | NOT_0,
        DIGIT | PAST_9,
        UPPER | IS_0,
        UPPER | PAST_10,
        LOWER | IS_0,
        LOWER | PAST_10,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    Tables { by_high, by_low, weights, other: [other; LANES] }
};

/// Units of 50 by the lower half of a byte that begins a longer character, for each upper half from C to F.
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "for the vector code of WebAssembly"))]
pub(crate) static LEADS: [[u8; LANES]; 4] = MADE_LEADS;

#[expect(clippy::indexing_slicing, reason = "a constant: it would not compile")]
#[expect(clippy::cast_possible_truncation, reason = "the proof below compares what comes of it")]
const MADE_LEADS: [[u8; LANES]; 4] = {
    let mut leads = [[0; LANES]; 4];
    let mut byte = 0xc0;
    while byte < 256 {
        leads[(byte - 0xc0) / LANES][byte % LANES] = (WEIGHTS[byte] as u64 / LEAD_UNIT) as u8;
        byte += 1;
    }
    leads
};

#[expect(clippy::cast_possible_truncation, reason = "the proof below compares what comes of it")]
const fn units(byte: u8) -> u8 {
    (weight(byte) / UNIT) as u8
}

/// What one byte weighs, for constants.
#[expect(clippy::indexing_slicing, reason = "a byte, and there are 256")]
pub(crate) const fn weight(byte: u8) -> u64 {
    WEIGHTS[byte as usize] as u64
}

/// That the tables say of every byte what [`WEIGHTS`] says: else this does not compile.
#[expect(clippy::indexing_slicing, reason = "a constant: it would not compile")]
const _: () = {
    let mut byte = 0;
    while byte < 256 {
        let class = (MADE.by_high[byte >> 4] & MADE.by_low[byte & 15]) as usize;
        let of_class = if class < LANES { MADE.weights[class] } else { 0 };
        let ascii = of_class.wrapping_add(MADE.other[0]) as u64 * UNIT;
        let lead = if byte < 0xc0 { 0 } else { MADE_LEADS[(byte - 0xc0) / LANES][byte % LANES] as u64 * LEAD_UNIT };
        assert!(ascii + lead == WEIGHTS[byte] as u64);
        byte += 1;
    }
};
