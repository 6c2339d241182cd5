//! Short strings compared and hashed by their ends, and a table of those seen.

use std::mem::MaybeUninit;

/// A string with its first and last eight bytes at hand.
#[derive(Clone, Copy)]
pub struct Word<'a> {
    pub bytes: &'a [u8],
    /// The first eight bytes, padded with zeroes, as a big-endian number: orders as they do.
    pub prefix: u64,
    /// The last eight bytes likewise; with `prefix` and the length, all of up to 16 bytes.
    suffix: u64,
}

impl<'a> Word<'a> {
    #[inline(always)]
    pub fn new(bytes: &'a [u8]) -> Self {
        let prefix = prefix(bytes);
        let suffix = match bytes.last_chunk::<8>() {
            Some(last) => u64::from_be_bytes(*last),
            None => prefix,
        };
        Word {
            bytes,
            prefix,
            suffix,
        }
    }

    /// The same string, kept elsewhere.
    #[inline(always)]
    pub fn moved<'b>(self, bytes: &'b [u8]) -> Word<'b> {
        Word {
            bytes,
            prefix: self.prefix,
            suffix: self.suffix,
        }
    }

    #[inline(always)]
    pub fn hash(&self) -> u64 {
        // Two odd multipliers and the high bits, as in Fibonacci hashing.
        let mixed = (self.prefix ^ self.bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ self.suffix.wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ mixed >> 32
    }

    #[inline(always)]
    pub fn equals(&self, other: &Word) -> bool {
        self.prefix == other.prefix
            && self.suffix == other.suffix
            && self.bytes.len() == other.bytes.len()
            && (self.bytes.len() <= 16 || self.bytes == other.bytes)
    }
}

/// The first eight bytes, padded with zeroes.
#[inline(always)]
fn prefix(bytes: &[u8]) -> u64 {
    if let Some(first) = bytes.first_chunk::<8>() {
        return u64::from_be_bytes(*first);
    }
    let length = bytes.len();
    let shift = 8 * (8 - length as u32);
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // Where the two overlap they agree.
        u64::from(u32::from_be_bytes(*first)) << 32 | u64::from(u32::from_be_bytes(*last)) << shift
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<2>(), bytes.last_chunk::<2>()) {
        u64::from(u16::from_be_bytes(*first)) << 48 | u64::from(u16::from_be_bytes(*last)) << shift
    } else {
        bytes.first().map_or(0, |&byte| u64::from(byte) << 56)
    }
}

const SLOTS: usize = 256;

/// The strings seen in one text, with what was made of each: direct-mapped, so that a new
/// string displaces an older one and a hostile text costs no more than a long one.
pub struct Interner<'a, T: Copy> {
    slots: [MaybeUninit<(Word<'a>, T)>; SLOTS],
    occupied: [u64; SLOTS / 64],
}

impl<'a, T: Copy> Interner<'a, T> {
    /// An empty table in place: it is large, and nearly all of it stays untouched, so that
    /// moving it would be the dearest part of a small text.
    #[inline(always)]
    pub fn init(place: &mut MaybeUninit<Self>) -> &mut Self {
        let table = place.as_mut_ptr();
        // SAFETY: the place is writable; only `occupied` needs a value, as the slots may be
        // uninitialised.
        unsafe {
            (&raw mut (*table).occupied).write([0; SLOTS / 64]);
            place.assume_init_mut()
        }
    }

    #[inline(always)]
    pub fn get(&self, word: &Word) -> Option<(T, Word<'a>)> {
        let (at, bit) = Self::place(word);
        if self.occupied[at / 64] & bit == 0 {
            return None;
        }
        // SAFETY: its bit is set only once the slot is written.
        let (seen, value) = unsafe { self.slots[at].assume_init_ref() };
        seen.equals(word).then_some((*value, *seen))
    }

    #[inline(always)]
    pub fn insert(&mut self, word: Word<'a>, value: T) {
        let (at, bit) = Self::place(&word);
        self.slots[at].write((word, value));
        self.occupied[at / 64] |= bit;
    }

    #[inline(always)]
    fn place(word: &Word) -> (usize, u64) {
        let at = word.hash() as usize % SLOTS;
        (at, 1 << (at % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_compare_as_their_bytes(a: Vec<u8>, b: Vec<u8>) {
            for (a, b) in [(&a, &b), (&a, &a)] {
                let (x, y) = (Word::new(a), Word::new(b));
                prop_assert_eq!(x.equals(&y), a == b);
                if x.prefix != y.prefix {
                    prop_assert_eq!(x.prefix.cmp(&y.prefix), a.cmp(b));
                }
            }
        }

        #[test]
        fn near_words_differ(text in "[a-c]{0,24}", at in 0usize..24, byte: u8) {
            let mut other = text.clone().into_bytes();
            if at < other.len() && other[at] != byte {
                other[at] = byte;
                prop_assert!(!Word::new(text.as_bytes()).equals(&Word::new(&other)));
            }
        }
    }

    #[test]
    fn interner_never_gives_another_string_its_value() {
        let texts: Vec<String> = (0..5000).map(|n| format!("key{n}")).collect();
        let mut place = MaybeUninit::uninit();
        let interner = Interner::init(&mut place);
        for (n, text) in texts.iter().chain(&texts).enumerate() {
            let word = Word::new(text.as_bytes());
            if let Some((seen, _)) = interner.get(&word) {
                assert_eq!(seen, n % texts.len());
            }
            interner.insert(word, n % texts.len());
            assert_eq!(
                interner.get(&word).map(|(seen, _)| seen),
                Some(n % texts.len())
            );
        }
    }
}
