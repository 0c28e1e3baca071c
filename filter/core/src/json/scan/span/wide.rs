//! The same with the vector instructions of WebAssembly, 64 bytes at a time. Where quotes and backslashes are is a number of 64 bits, so that
//! what is escaped comes of a few operations; what a byte weighs comes of its class, for sixteen bytes at once.

use core::{
    arch::wasm32::{
        i8x16_lt, i8x16_splat, u8x16, u8x16_add, u8x16_bitmask, u8x16_eq, u8x16_lt, u8x16_splat, u8x16_swizzle,
        u16x8_add, u16x8_extadd_pairwise_u8x16, u16x8_shr, u32x4_add, u32x4_extadd_pairwise_u16x8, u32x4_extract_lane,
        u32x4_splat, v128, v128_and, v128_or,
    },
    hint::black_box,
};

use super::{Span, narrow, unescaped};
use crate::usage::estimate::classes::{self, LANES, LEAD_UNIT, UNIT};

/// Bytes that are looked at together: as many as a mask has bits.
const BLOCK: usize = 64;

/// From so many bytes on there is a block.
pub(super) const WORTH: usize = BLOCK;

/// Blocks after which the sums of 32 bits are emptied, long before they could overflow.
const MOST: usize = 1 << 16;

type Vectors = [v128; BLOCK / LANES];

/// The tables in registers.
struct Tables {
    by_high: v128,
    by_low: v128,
    weights: v128,
    other: v128,
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
            weights: load(&tables.weights),
            other: load(&tables.other),
            nibble: load(black_box(&[15; LANES])),
            quote: load(black_box(&[b'"'; LANES])),
            backslash: load(black_box(&[b'\\'; LANES])),
        }
    }

    /// What each byte of ASCII weighs, in units. Others weigh nothing here.
    #[inline]
    fn weights(&self, bytes: v128) -> v128 {
        let (high, low) = self.halves(bytes);
        let class = v128_and(u8x16_swizzle(self.by_high, high), u8x16_swizzle(self.by_low, low));
        u8x16_add(u8x16_swizzle(self.weights, class), self.other)
    }

    #[inline]
    fn halves(&self, bytes: v128) -> (v128, v128) {
        (v128_and(u16x8_shr(bytes, 4), self.nibble), v128_and(bytes, self.nibble))
    }
}

#[inline]
fn load(bytes: &[u8; LANES]) -> v128 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
    u8x16(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
}

/// A bit for each byte that `is` says yes of.
#[inline]
fn bits(vectors: Vectors, is: impl Fn(v128) -> v128) -> u64 {
    let [a, b, c, d] = vectors.map(|vector| u64::from(u8x16_bitmask(is(vector))));
    a | b << 16 | c << 32 | d << 48
}

/// The bits below that place.
const fn below(place: u32) -> u64 {
    match 1_u64.checked_shl(place) {
        Some(bit) => bit.wrapping_sub(1),
        None => u64::MAX,
    }
}

/// The sum of four numbers.
fn sum(four: v128) -> u64 {
    let lanes = [
        u32x4_extract_lane::<0>(four),
        u32x4_extract_lane::<1>(four),
        u32x4_extract_lane::<2>(four),
        u32x4_extract_lane::<3>(four),
    ];
    lanes.into_iter().map(u64::from).sum()
}

/// Which bytes are escaped: those that follow a backslash that is not escaped itself. `first` says whether the block's first byte is, and
/// then whether the next block's is.
///
/// In a run of backslashes every other one is escaped. Added to the runs that begin at an odd place, their beginnings carry through them, and
/// the place where the carry comes out tells whether the run is of even length (Langdale and Lemire, "Parsing gigabytes of JSON per second").
#[inline]
const fn escaped(backslashes: u64, first: &mut u64) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let backslashes = backslashes & !*first;
    let follows = backslashes << 1 | *first;
    let (carried, overflows) = (backslashes & !EVEN & !follows).overflowing_add(backslashes);
    *first = overflows as u64;
    (EVEN ^ carried << 1) & follows
}

/// By the letter of an escape: what the escape weighs less, in both bytes, than the byte that it stands for, plus [`SHIFT`]; [`NONE`] if it is
/// not one that stands for a byte.
static CHANGES: [u64; 256] = {
    let mut changes = [NONE; 256];
    let mut letter = 0;
    while letter < 128_u8 {
        if let Some(byte) = unescaped(letter) {
            let stands = classes::weight(b'\\') + classes::weight(letter);
            #[expect(clippy::indexing_slicing, reason = "a constant: it would not compile")]
            {
                changes[letter as usize] = classes::weight(byte) + SHIFT - stands;
            }
        }
        letter += 1;
    }
    changes
};

/// Keeps the changes from being negative.
const SHIFT: u64 = 1 << 16;
/// More than all changes of a block together.
const NONE: u64 = 1 << 32;

/// The sum of the changes of these letters; [`NONE`] or more if one of them is wrong.
#[inline]
fn changes(mut letters: u64, block: &[u8; BLOCK]) -> u64 {
    let mut change = 0_u64;
    while letters != 0 {
        let letter = block.get(letters.trailing_zeros() as usize & (BLOCK - 1)).copied().unwrap_or(0);
        change = change.wrapping_add(CHANGES.get(usize::from(letter)).copied().unwrap_or(NONE));
        letters &= letters.wrapping_sub(1);
    }
    change
}

/// The same where nearly all are these: they are counted, as a processor cannot foresee how often a loop turns.
#[inline]
fn common_changes(letters: u64, kinds: [(u8, u64); 3], block: &[u8; BLOCK]) -> u64 {
    let (mut change, mut rest) = (0_u64, letters);
    for (letter, places) in kinds {
        let count = u64::from((letters & places).count_ones());
        change = change.wrapping_add(count.wrapping_mul(CHANGES.get(usize::from(letter)).copied().unwrap_or(NONE)));
        rest &= !places;
    }
    if rest == 0 { change } else { change.wrapping_add(changes(rest, block)) }
}

/// What was passed so far.
struct Sums {
    /// What ASCII weighs, in units, since they were emptied last.
    units: v128,
    /// What else there is, and what escapes change: modulo 2^64, as less may come before more.
    weight: u64,
    chars: u64,
    escapes: u64,
}

impl Sums {
    fn empty(&mut self) {
        self.weight = self.weight.wrapping_add(sum(self.units).wrapping_mul(UNIT));
        self.units = u32x4_splat(0);
    }

    /// Weighs a block.
    #[inline]
    fn whole(&mut self, block: Vectors, tables: &Tables) {
        let [a, b, c, d] = block.map(|vector| u16x8_extadd_pairwise_u8x16(tables.weights(vector)));
        let units = u16x8_add(u16x8_add(a, b), u16x8_add(c, d));
        self.units = u32x4_add(self.units, u32x4_extadd_pairwise_u16x8(units));
        self.chars = self.chars.wrapping_add(BLOCK as u64);
        let [a, b, c, d] = block;
        if u8x16_bitmask(v128_or(v128_or(a, b), v128_or(c, d))) != 0 {
            block.into_iter().for_each(|vector| self.others(vector, tables));
        }
    }

    /// Weighs the first bytes of a block.
    #[inline]
    fn part(&mut self, block: Vectors, len: usize, tables: &Tables) {
        const PLACES: [u8; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let mut left = u8::try_from(len).unwrap_or(u8::MAX);
        for vector in block {
            if left == 0 {
                break;
            }
            let is_in = u8x16_lt(load(&PLACES), u8x16_splat(left));
            let units = u16x8_extadd_pairwise_u8x16(v128_and(tables.weights(vector), is_in));
            self.units = u32x4_add(self.units, u32x4_extadd_pairwise_u16x8(units));
            self.others(v128_and(vector, is_in), tables);
            left = left.saturating_sub(16);
        }
        self.chars = self.chars.wrapping_add(len as u64);
    }

    /// Weighs what is no ASCII: a character weighs what its first byte says, and the bytes that continue it are no characters.
    #[inline]
    fn others(&mut self, bytes: v128, tables: &Tables) {
        if u8x16_bitmask(bytes) == 0 {
            return;
        }
        let (high, low) = tables.halves(bytes);
        let [c, d, e, f] = [0, 1, 2, 3].map(|nth| {
            let row = classes::LEADS.get(nth).map_or(u8x16_splat(0), load);
            #[expect(clippy::cast_possible_truncation, reason = "it is less than 16")]
            v128_and(u8x16_swizzle(row, low), u8x16_eq(high, u8x16_splat(0xc + nth as u8)))
        });
        let leads = u16x8_extadd_pairwise_u8x16(v128_or(v128_or(c, d), v128_or(e, f)));
        let leads = sum(u32x4_extadd_pairwise_u16x8(leads));
        self.weight = self.weight.wrapping_add(leads.wrapping_mul(LEAD_UNIT));
        let continuing = u8x16_bitmask(i8x16_lt(bytes, i8x16_splat(-64)));
        self.chars = self.chars.wrapping_sub(continuing.count_ones().into());
    }

    /// A backslash that was weighed belongs to what comes next.
    fn take_back(&mut self) {
        self.weight = self.weight.wrapping_sub(const { classes::weight(b'\\') });
        self.chars = self.chars.wrapping_sub(1);
    }

    /// Takes escapes that were weighed as they stand.
    #[inline]
    fn escape(&mut self, letters: u64, change: u64) {
        let count = u64::from(letters.count_ones());
        self.escapes = self.escapes.wrapping_add(count);
        self.weight = self.weight.wrapping_add(change).wrapping_sub(count.wrapping_mul(SHIFT));
    }

    /// Takes the block in which the text ends at `end`, or before it at an escape whose letter is wrong.
    fn last(
        mut self,
        (block, vectors): (&[u8; BLOCK], Vectors),
        (mut letters, mut change): (u64, u64),
        mut end: u32,
        at: usize,
        weighs: bool,
        tables: &Tables,
    ) -> Span {
        if change >= NONE {
            let is_wrong = |place: &u32| changes(letters & 1 << place, block) >= NONE;
            let wrong = (0..u64::BITS).find(is_wrong).unwrap_or(0);
            letters &= below(wrong);
            change = changes(letters, block);
            let Some(backslash) = wrong.checked_sub(1) else {
                // It is the last byte of the block before.
                self.take_back();
                return self.span(at.saturating_sub(1), weighs);
            };
            end = backslash;
        }
        self.escape(letters, change);
        let len = end as usize;
        if weighs {
            self.part(vectors, len, tables);
        }
        self.span(at.saturating_add(len), weighs)
    }

    fn span(mut self, len: usize, weighs: bool) -> Span {
        self.empty();
        Span {
            len,
            bytes: (len as u64).saturating_sub(self.escapes),
            chars: if weighs { self.chars.saturating_sub(self.escapes) } else { 0 },
            weight: if weighs { self.weight } else { 0 },
        }
    }
}

/// The text, if it ends within the first bytes and nothing in it is escaped: many do, and the tables are not worth loading for them.
#[inline]
fn short(bytes: &[u8], weighs: bool) -> Option<Span> {
    let first = load(bytes.first_chunk()?);
    let ends = u8x16_bitmask(u8x16_eq(first, u8x16_splat(b'"')));
    let backslashes = u8x16_bitmask(u8x16_eq(first, u8x16_splat(b'\\')));
    let len = ends.trailing_zeros() as usize;
    if ends == 0 || backslashes.trailing_zeros() < ends.trailing_zeros() {
        return None;
    }
    let mut span = Span { len, ..Span::default() };
    span.add(bytes.get(..len)?, weighs);
    Some(span)
}

pub(super) fn pass(bytes: &[u8], weighs: bool) -> Span {
    if let Some(span) = short(bytes, weighs) {
        return span;
    }
    let tables = Tables::load();
    let mut sums = Sums { units: u32x4_splat(0), weight: 0, chars: 0, escapes: 0 };
    let (mut at, mut first) = (0_usize, 0);
    for blocks in bytes.as_chunks::<BLOCK>().0.chunks(MOST) {
        for block in blocks {
            let vectors = [0, 1, 2, 3].map(|nth| block.as_chunks::<LANES>().0.get(nth).map_or(u8x16_splat(0), load));
            let quotes = bits(vectors, |vector| u8x16_eq(vector, tables.quote));
            let backslashes = bits(vectors, |vector| u8x16_eq(vector, tables.backslash));
            if quotes | backslashes | first != 0 {
                let letters = escaped(backslashes, &mut first);
                let end = (quotes & !letters).trailing_zeros();
                let letters = letters & below(end);
                let lines = bits(vectors, |vector| u8x16_eq(vector, u8x16_splat(b'n')));
                let kinds = [(b'"', quotes), (b'\\', backslashes), (b'n', lines)];
                let change = common_changes(letters, kinds, block);
                if end < u64::BITS || change >= NONE {
                    return sums.last((block, vectors), (letters, change), end, at, weighs, &tables);
                }
                sums.escape(letters, change);
            }
            if weighs {
                sums.whole(vectors, &tables);
            }
            at = at.saturating_add(BLOCK);
        }
        sums.empty();
    }
    if first != 0 {
        sums.take_back();
        at = at.saturating_sub(1);
    }
    let seen = sums.span(at, weighs);
    let rest = narrow(bytes.get(at..).unwrap_or_default(), weighs);
    Span {
        len: seen.len.saturating_add(rest.len),
        bytes: seen.bytes.saturating_add(rest.bytes),
        chars: seen.chars.saturating_add(rest.chars),
        weight: seen.weight.saturating_add(rest.weight),
    }
}
