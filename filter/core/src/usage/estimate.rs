//! What to count when nobody says: tokens from text, without a tokenizer.
//!
//! Each byte of a text weighs a part of a token, by its script: the prior. What providers report teaches how their models differ from
//! it, and what they add to a request ([`learned`]).

pub(crate) mod classes;
mod curve;
pub mod learned;
pub mod memo;

/// Parts of a token in which text is weighed.
pub const PARTS: u64 = 1_000;

/// What one byte of JSON that the model reads as a whole weighs, such as a tool's schema: keys and brackets repeat, and are cheap.
pub const JSON_BYTE: u64 = 220;

/// What a message adds: role and separators. `OpenAI`'s own counting recipe says so.
pub const MESSAGE: u64 = 4 * PARTS;

/// What a conversation adds once, for the reply to begin. Same source.
pub const CONVERSATION: u64 = 3 * PARTS;

/// The prior: what each byte weighs, in thousandths of a token.
///
/// A character weighs what its first byte says. ASCII comes from a least-squares fit of what `cl100k_base` and `o200k_base` make of
/// prose, code and JSON; letters in the middle of a word are cheap, what begins a new token is dear. Random letters and digits (Base64,
/// hashes) so weigh half a token a byte; they are 0.7. Other scripts: between those two vocabularies, nearer to the newer one.
#[expect(clippy::indexing_slicing, reason = "a constant: it would not compile")]
const WEIGHTS: [u16; 256] = {
    let mut weights = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        weights[byte] = match byte {
            0x61..=0x7a => 165,
            0x41..=0x5a => 800,
            0x30..=0x39 => 500,
            0x20 => 170,
            0x00..=0x1f => 380,
            0x21..=0x7f => 520,
            // Continues a character.
            0x80..=0xbf => 0,
            // Latin with marks.
            0xc0..=0xcb => 500,
            // Greek, Cyrillic.
            0xcc..=0xd3 => 400,
            // Armenian, Hebrew, Arabic; Devanagari, Bengali, Tamil, Thai; Georgian, Vietnamese.
            0xd4..=0xe1 => 450,
            // Punctuation and symbols.
            0xe2 => 900,
            // Chinese, Japanese.
            0xe3..=0xe9 => 850,
            // Korean.
            0xea..=0xed => 650,
            // Full-width forms, emoji.
            _ => 1_400,
        };
        byte += 1;
    }
    weights
};

/// What a text weighs. Weights add up, however the text is cut.
#[must_use]
pub fn weigh(text: &[u8]) -> u64 {
    text.iter().map(|byte| weight_of(*byte)).sum()
}

/// What one byte weighs.
pub(crate) fn weight_of(byte: u8) -> u64 {
    static IN_MEMORY: [u16; 256] = WEIGHTS;
    IN_MEMORY.get(usize::from(byte)).copied().map_or(0, u64::from)
}

/// Tokens of that weight, rounded up.
#[must_use]
pub const fn tokens(weight: u64) -> u64 {
    weight.div_ceil(PARTS)
}

/// Tokens that an exchange is likely to have taken, as far as anything was seen of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Input.
    pub input: Option<u64>,
    /// Output that was delivered.
    pub output: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_something_is_never_nothing() {
        assert_eq!((tokens(0), tokens(1), tokens(PARTS), tokens(PARTS + 1)), (0, 1, 1, 2));
        assert_eq!(tokens(u64::MAX), u64::MAX / PARTS + 1);
        for byte in 0..=0x7f {
            assert!(weigh(&[byte]) > 0, "{byte}");
        }
    }

    /// Real counts: `o200k_base` and `cl100k_base` of the first article of the Universal Declaration of Human Rights, or its beginning.
    #[test]
    fn ok_each_script_lies_between_two_vocabularies_or_near() {
        let cases = [
            ("All human beings are born free and equal in dignity and rights.", 13, 13),
            ("Все люди рождаются свободными и равными в своём достоинстве и правах.", 18, 32),
            ("يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.", 16, 39),
            ("सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता", 18, 60),
            ("人人生而自由,在尊严和权利上一律平等。", 14, 21),
            ("모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.", 21, 38),
        ];
        for (text, new, old) in cases {
            let estimate = tokens(weigh(text.as_bytes()));
            assert!((new * 3 / 4..=old * 5 / 4).contains(&estimate), "{text}: {estimate} of {new} to {old}");
        }
    }
}
