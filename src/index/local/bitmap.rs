//! A set of places.

/// Which places of a segment are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    /// All places below `length`, or none.
    #[must_use]
    pub fn filled(length: usize, all: bool) -> Self {
        let mut words = vec![if all { u64::MAX } else { 0 }; length.div_ceil(64)];
        if let (Some(last), true) = (words.last_mut(), !length.is_multiple_of(64)) {
            *last &= (1 << (length % 64)) - 1;
        }
        Self { words }
    }

    /// The places below `length` for which `is` holds.
    pub fn from_fn(length: usize, is: impl Fn(u32) -> bool) -> Self {
        let mut words = Vec::with_capacity(length.div_ceil(64));
        for start in (0..length).step_by(64) {
            let mut word = 0;
            for place in start..(start + 64).min(length) {
                word |= u64::from(is(u32::try_from(place).unwrap_or(u32::MAX))) << (place % 64);
            }
            words.push(word);
        }
        Self { words }
    }

    /// Takes a place in, or out.
    pub fn set(&mut self, place: u32, is: bool) {
        let (word, bit) = (place as usize / 64, 1 << (place % 64));
        if is {
            self.words[word] |= bit;
        } else {
            self.words[word] &= !bit;
        }
    }

    /// The places that are in both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
        self
    }

    /// The places that are in one of them.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
        self
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The places in their order.
    pub fn places(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.words).flat_map(|(at, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = if left == 0 { None } else { Some(left.trailing_zeros()) };
                left &= left.wrapping_sub(1);
                bit.map(|bit| at * 64 + bit)
            })
        })
    }
}
