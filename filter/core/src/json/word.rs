//! Eight bytes at a time, without vectors: for texts so short that setting those up takes longer than what they save.

/// Eight bytes, the first one in the lowest bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word(u64);

/// The byte in each of eight places.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

impl Word {
    pub(crate) const fn new(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    /// Marks places where that byte stands. The first mark is right; those after it may be wrong, since a subtraction borrows.
    pub(crate) const fn equal(self, byte: u8) -> Marks {
        let differs = self.0 ^ each(byte);
        Marks(differs.wrapping_sub(each(1)) & !differs & each(0x80))
    }

    /// Marks places with less than `least`, which is at most 0x80; as right as [`Self::equal`].
    pub(crate) const fn below(self, least: u8) -> Marks {
        Marks(self.0.wrapping_sub(each(least)) & !self.0 & each(0x80))
    }
}

/// Places that something was found at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks(u64);

impl Marks {
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn is_any(self) -> bool {
        self.0 != 0
    }

    /// The first place.
    pub(crate) const fn first(self) -> Option<usize> {
        if self.is_any() { Some(self.0.trailing_zeros() as usize / 8) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Bytes around those that are looked for, more often than not.
        #[test]
        fn as_byte_by_byte(bytes in prop::array::uniform8(prop_oneof![Just(0x21_u8), Just(0x22), Just(0x23), Just(0x1f), Just(0x20), Just(0), any::<u8>()])) {
            let (word, first) = (Word::new(bytes), |is: &dyn Fn(u8) -> bool| bytes.iter().position(|byte| is(*byte)));
            prop_assert_eq!(word.equal(b'"').first(), first(&|byte| byte == b'"'));
            prop_assert_eq!(word.below(0x20).first(), first(&|byte| byte < 0x20));
            prop_assert_eq!(word.below(0x80).first(), first(&|byte| byte < 0x80));
            let either = word.equal(b'"').or(word.equal(0xff));
            prop_assert_eq!(either.first(), first(&|byte| matches!(byte, b'"' | 0xff)));
            prop_assert_eq!(either.is_any(), either.first().is_some());
        }
    }
}
