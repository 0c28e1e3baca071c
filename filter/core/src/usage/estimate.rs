//! What to count when nobody says: tokens from bytes of text, without a tokenizer.

/// Tokens that so many bytes of text are likely to be, rounded up.
///
/// The priors: four ASCII bytes to a token (English prose in the current `OpenAI` and Anthropic vocabularies lies between 3.5 and 4.8), and
/// three bytes to a token for everything else, which is one token for a CJK character and less for Cyrillic or Greek.
#[must_use]
pub const fn tokens(ascii: u64, non_ascii: u64) -> u64 {
    ascii.div_ceil(4).saturating_add(non_ascii.div_ceil(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_something_is_never_nothing() {
        assert_eq!((tokens(0, 0), tokens(1, 0), tokens(0, 1), tokens(8, 6)), (0, 1, 1, 4));
        assert_eq!(tokens(u64::MAX, u64::MAX), u64::MAX / 4 + 1 + u64::MAX / 3);
    }
}
