//! Keys of 128 bits from anything that is bytes: SipHash with one round a word and three at the end,
//! in its form with a result of 128 bits (Aumasson and Bernstein, SipHash: a fast short-input PRF,
//! 2012). Without the secret nobody can tell keys that collide, and of a million others the chance
//! is 1 to 10^27 that any two do.

/// A secret: hashes with another have nothing to do with these.
#[derive(Clone, Copy, Debug)]
pub struct Secret(pub [u64; 2]);

impl Secret {
    /// The key that bytes stand for; never 0.
    #[inline(always)]
    pub fn bytes(&self, bytes: &[u8]) -> u128 {
        key(hash::<1, 3>(self.0, bytes))
    }

    /// As [`Self::bytes`] of its eight bytes, the lowest first.
    #[inline(always)]
    pub fn word(&self, word: u64) -> u128 {
        self.bytes(&word.to_le_bytes())
    }
}

#[inline(always)]
fn key(hash: [u64; 2]) -> u128 {
    let hash = u128::from(hash[1]) << 64 | u128::from(hash[0]);
    hash.max(1)
}

#[inline(always)]
fn hash<const ROUNDS: usize, const LAST: usize>(secret: [u64; 2], bytes: &[u8]) -> [u64; 2] {
    let [low, high] = secret;
    let mut state = State([
        low ^ 0x736f_6d65_7073_6575,
        high ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        low ^ 0x6c79_6765_6e65_7261,
        high ^ 0x7465_6462_7974_6573,
    ]);
    let (words, rest) = bytes.as_chunks();
    for word in words {
        state.absorb::<ROUNDS>(u64::from_le_bytes(*word));
    }
    let mut last = (bytes.len() as u64) << 56;
    for (nth, &byte) in rest.iter().enumerate() {
        last |= u64::from(byte) << (8 * nth);
    }
    state.absorb::<ROUNDS>(last);
    state.0[2] ^= 0xee;
    state.rounds::<LAST>();
    let first = state.sum();
    state.0[1] ^= 0xdd;
    state.rounds::<LAST>();
    [first, state.sum()]
}

struct State([u64; 4]);

impl State {
    #[inline(always)]
    fn absorb<const ROUNDS: usize>(&mut self, word: u64) {
        self.0[3] ^= word;
        self.rounds::<ROUNDS>();
        self.0[0] ^= word;
    }

    #[inline(always)]
    fn rounds<const ROUNDS: usize>(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        for _ in 0..ROUNDS {
            a = a.wrapping_add(b);
            c = c.wrapping_add(d);
            b = b.rotate_left(13) ^ a;
            d = d.rotate_left(16) ^ c;
            a = a.rotate_left(32);
            c = c.wrapping_add(b);
            a = a.wrapping_add(d);
            b = b.rotate_left(17) ^ c;
            d = d.rotate_left(21) ^ a;
            c = c.rotate_left(32);
        }
        self.0 = [a, b, c, d];
    }

    #[inline(always)]
    fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, word| sum ^ word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first two of the reference implementation's for two rounds and four.
    #[test]
    fn as_published() {
        let bytes: Vec<u8> = (0..16).collect();
        let secret = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let published = |length: usize| {
            let [low, high] = hash::<2, 4>(secret, &bytes[..length]);
            let mut all = [0; 16];
            all[..8].copy_from_slice(&low.to_le_bytes());
            all[8..].copy_from_slice(&high.to_le_bytes());
            all
        };
        assert_eq!(
            published(0),
            [
                0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55,
                0x02, 0x93
            ]
        );
        assert_eq!(
            published(1),
            [
                0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22,
                0xfc, 0x45
            ]
        );
    }

    #[test]
    fn each_has_its_own() {
        let secrets = [Secret([1, 2]), Secret([1, 3])];
        let mut keys = std::collections::HashSet::new();
        let bytes = [0; 100];
        for secret in secrets {
            for length in 0..100 {
                assert!(keys.insert(secret.bytes(&bytes[..length])));
            }
            for word in 1..1000 {
                assert!(keys.insert(secret.word(word)));
                assert_eq!(secret.word(word), secret.bytes(&word.to_le_bytes()));
            }
        }
    }
}
