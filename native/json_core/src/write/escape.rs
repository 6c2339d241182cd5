//! Strings: copied while they are scanned, with what must be escaped replaced.

use super::buffer::{Buffer, Storage};

/// The first byte that makes a string other than UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidUtf8 {
    Byte {
        byte: u8,
        at: usize,
    },
    /// The string ends within a character.
    End,
}

/// What is escaped beyond `"`, `\` and the control characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Escape {
    pub slash: bool,
    pub non_ascii: bool,
}

/// Scanning may write this many bytes beyond what it has copied.
const SLACK: usize = 32;
/// `\u` twice with four digits each.
const LONGEST: usize = 12;

/// From this length on a string is worth the wider vectors and the faster validation.
const LONG: usize = 64;

impl<S: Storage> Buffer<S> {
    /// `text` in quotes.
    #[inline(always)]
    pub fn string(&mut self, text: &[u8]) -> Result<(), InvalidUtf8> {
        self.reserve(text.len() + SLACK + 2);
        // SAFETY: there is room for the quote.
        unsafe {
            self.end().write(b'"');
            self.advance(1);
        }
        let non_ascii = self.escaped::<false, false>(text);
        self.byte(b'"');
        if non_ascii {
            return validate(text);
        }
        Ok(())
    }

    /// `text` in quotes, with more characters escaped than must be.
    pub fn string_escaping(&mut self, text: &[u8], escape: Escape) -> Result<(), InvalidUtf8> {
        validate(text)?;
        self.byte(b'"');
        match (escape.slash, escape.non_ascii) {
            (false, false) => self.escaped::<false, false>(text),
            (true, false) => self.escaped::<true, false>(text),
            (false, true) => self.escaped::<false, true>(text),
            (true, true) => self.escaped::<true, true>(text),
        };
        self.byte(b'"');
        Ok(())
    }

    /// Whether there was a byte beyond ASCII. With `NON_ASCII`, `text` must be UTF-8.
    #[inline(always)]
    fn escaped<const SLASH: bool, const NON_ASCII: bool>(&mut self, text: &[u8]) -> bool {
        let mut rest = text;
        let mut high = false;
        #[cfg(target_arch = "x86_64")]
        if !SLASH && !NON_ASCII && text.len() >= LONG && std::arch::is_x86_feature_detected!("avx2")
        {
            // SAFETY: the processor has AVX2.
            (rest, high) = unsafe { self.escaped_avx2(text) };
        }
        loop {
            self.reserve(rest.len() + SLACK);
            // SAFETY: there is room for the rest unescaped, and SLACK bytes.
            let (plain, seen) = unsafe {
                let (plain, seen) = plain_run::<SLASH, NON_ASCII>(rest, self.end());
                self.advance(plain);
                (plain, seen)
            };
            high |= seen;
            if plain == rest.len() {
                return high;
            }
            rest = self.escapes::<SLASH, NON_ASCII>(&rest[plain..]);
        }
    }

    /// Writes all but the last bytes, fewer than 64: the rest, and whether there was a byte
    /// beyond ASCII.
    ///
    /// # Safety
    /// The processor has AVX2.
    #[cfg(target_arch = "x86_64")]
    #[inline(never)]
    unsafe fn escaped_avx2<'a>(&mut self, text: &'a [u8]) -> (&'a [u8], bool) {
        let mut rest = text;
        let mut high = false;
        while rest.len() >= LONG {
            self.reserve(rest.len() + x86::ROOM);
            let room = self.room();
            // SAFETY: there is as much room, and the caller's promise.
            unsafe {
                let (read, written, seen) = x86::escape_avx2(rest, self.end(), room);
                self.advance(written);
                high |= seen;
                rest = &rest[read..];
            }
        }
        (rest, high)
    }

    /// Replaces the characters at the start of `text` that are special; the rest.
    #[inline(never)]
    fn escapes<'a, const SLASH: bool, const NON_ASCII: bool>(
        &mut self,
        mut text: &'a [u8],
    ) -> &'a [u8] {
        while let [byte, rest @ ..] = text {
            let escape = &ESCAPES[usize::from(*byte)];
            if escape[7] != 0 {
                self.reserve(8);
                // SAFETY: there is room for eight.
                unsafe {
                    self.end().copy_from_nonoverlapping(escape.as_ptr(), 8);
                    self.advance(usize::from(escape[7]));
                }
                text = rest;
            } else if SLASH && *byte == b'/' {
                self.extend(b"\\/");
                text = rest;
            } else if NON_ASCII && *byte >= 0x80 {
                text = self.code_units(text);
            } else {
                break;
            }
        }
        text
    }

    /// The character at the start of `text`, which is UTF-8, as one or two `\uXXXX`; the rest.
    fn code_units<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let [first, rest @ ..] = text else {
            return text;
        };
        let (more, mut character) = match first {
            0xF0.. => (3, u32::from(first & 0x07)),
            0xE0.. => (2, u32::from(first & 0x0F)),
            _ => (1, u32::from(first & 0x1F)),
        };
        let more = more.min(rest.len());
        for byte in &rest[..more] {
            character = character << 6 | u32::from(byte & 0x3F);
        }
        self.reserve(LONGEST);
        if character >= 0x1_0000 {
            let offset = character - 0x1_0000;
            self.code_unit(0xD800 | offset >> 10);
            self.code_unit(0xDC00 | offset & 0x3FF);
        } else {
            self.code_unit(character);
        }
        &rest[more..]
    }

    fn code_unit(&mut self, unit: u32) {
        let digit = |shift: u32| HEX[(unit >> shift & 0xF) as usize];
        self.extend(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
    }
}

const HEX: [u8; 16] = *b"0123456789ABCDEF";

/// The escape of each byte that always has one, and in the last place its length.
static ESCAPES: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = [
            b'\\',
            b'u',
            b'0',
            b'0',
            b'0' + (byte >> 4) as u8,
            HEX[byte & 0xF],
            0,
            6,
        ];
        byte += 1;
    }
    let short = [
        (b'\x08', b'b'),
        (b'\t', b't'),
        (b'\n', b'n'),
        (b'\x0C', b'f'),
        (b'\r', b'r'),
        (b'"', b'"'),
        (b'\\', b'\\'),
    ];
    let mut at = 0;
    while at < short.len() {
        table[short[at].0 as usize] = [b'\\', short[at].1, 0, 0, 0, 0, 0, 2];
        at += 1;
    }
    table
};

fn validate(text: &[u8]) -> Result<(), InvalidUtf8> {
    let valid = if text.len() >= LONG {
        simdutf8::basic::from_utf8(text).is_ok()
    } else {
        std::str::from_utf8(text).is_ok()
    };
    if valid {
        Ok(())
    } else {
        Err(first_invalid(text))
    }
}

#[cold]
fn first_invalid(text: &[u8]) -> InvalidUtf8 {
    let Err(error) = std::str::from_utf8(text) else {
        return InvalidUtf8::End;
    };
    let start = error.valid_up_to();
    let Some(len) = error.error_len() else {
        return InvalidUtf8::End;
    };
    // `len` counts the bytes that could begin a character; the byte after them is the wrong
    // one, unless the first cannot begin any.
    let at = match text[start] {
        0xC2..=0xF4 => start + len,
        _ => start,
    };
    InvalidUtf8::Byte { byte: text[at], at }
}

/// Copies from `text` until a byte that must be escaped: how many, and whether one of the
/// bytes looked at is beyond ASCII.
///
/// # Safety
/// `to` has room for `text` and SLACK bytes more, and is not within it.
#[inline(always)]
unsafe fn plain_run<const SLASH: bool, const NON_ASCII: bool>(
    text: &[u8],
    to: *mut u8,
) -> (usize, bool) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise.
    unsafe {
        x86::run_sse2::<SLASH, NON_ASCII>(text, to)
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's promise.
    unsafe {
        portable::run::<SLASH, NON_ASCII>(text, to)
    }
}

/// Eight bytes at a time, in a form that compilers turn into vector instructions for long text.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;

    /// A set high bit marks a special byte; the lowest mark is always right, those above it may
    /// be wrong.
    #[inline(always)]
    pub fn special<const SLASH: bool, const NON_ASCII: bool>(word: u64) -> u64 {
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let mut marks = word.wrapping_sub(ONES * 0x20) & !word
            | zero(word ^ (ONES * b'"' as u64))
            | zero(word ^ (ONES * b'\\' as u64));
        if SLASH {
            marks |= zero(word ^ (ONES * b'/' as u64));
        }
        if NON_ASCII {
            marks |= word;
        }
        marks & HIGH
    }

    /// # Safety
    /// As `plain_run`.
    #[inline(always)]
    pub unsafe fn run<const SLASH: bool, const NON_ASCII: bool>(
        text: &[u8],
        to: *mut u8,
    ) -> (usize, bool) {
        let mut high = 0;
        let mut at = 0;
        let mut words = text.chunks_exact(8);
        for word in &mut words {
            let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
            // SAFETY: `at` is below the text's length, and there are 32 bytes more.
            unsafe { to.add(at).cast::<[u8; 8]>().write(word.to_le_bytes()) };
            high |= word;
            let marks = special::<SLASH, NON_ASCII>(word);
            if marks != 0 {
                return (at + marks.trailing_zeros() as usize / 8, high & HIGH != 0);
            }
            at += 8;
        }
        for byte in words.remainder() {
            if special::<SLASH, NON_ASCII>(u64::from(*byte) | (ONES * b' ' as u64) << 8) != 0 {
                break;
            }
            high |= u64::from(*byte);
            // SAFETY: as above.
            unsafe { to.add(at).write(*byte) };
            at += 1;
        }
        (at, high & HIGH != 0)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::ESCAPES;
    use std::arch::x86_64::*;

    /// Marks of the special bytes and of those beyond ASCII.
    #[inline(always)]
    fn marks_16<const SLASH: bool, const NON_ASCII: bool>(bytes: __m128i) -> (u32, u32) {
        // SAFETY: SSE2 is part of x86_64.
        unsafe {
            let mut special = _mm_or_si128(
                _mm_or_si128(
                    _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8)),
                    _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8)),
                ),
                _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes),
            );
            if SLASH {
                special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'/' as i8)));
            }
            if NON_ASCII {
                special = _mm_or_si128(special, bytes);
            }
            (
                _mm_movemask_epi8(special) as u32,
                _mm_movemask_epi8(bytes) as u32,
            )
        }
    }

    /// # Safety
    /// As `plain_run`.
    #[inline(always)]
    pub unsafe fn run_sse2<const SLASH: bool, const NON_ASCII: bool>(
        text: &[u8],
        to: *mut u8,
    ) -> (usize, bool) {
        let from = text.as_ptr();
        let len = text.len();
        let mut high = 0;
        let mut at = 0;
        // SAFETY: every load is within the text, every store within it and 16 bytes beyond.
        unsafe {
            while at + 16 <= len {
                let bytes = _mm_loadu_si128(from.add(at).cast());
                _mm_storeu_si128(to.add(at).cast(), bytes);
                let (special, beyond) = marks_16::<SLASH, NON_ASCII>(bytes);
                high |= beyond;
                if special != 0 {
                    return (at + special.trailing_zeros() as usize, high != 0);
                }
                at += 16;
            }
            let rest = len - at;
            if rest == 0 {
                return (len, high != 0);
            }
            let bytes = tail(from.add(at), rest);
            _mm_storeu_si128(to.add(at).cast(), bytes);
            let (special, beyond) = marks_16::<SLASH, NON_ASCII>(bytes);
            let special = special | 1 << rest;
            high |= beyond & ((1 << rest) - 1);
            (at + special.trailing_zeros() as usize, high != 0)
        }
    }

    /// The 1 to 15 bytes at `from`, filled up with anything.
    ///
    /// # Safety
    /// `len` bytes can be read.
    #[inline(always)]
    unsafe fn tail(from: *const u8, len: usize) -> __m128i {
        // SAFETY: the two loads of each case cover exactly `len` bytes.
        unsafe {
            if len >= 8 {
                let low = from.cast::<u64>().read_unaligned();
                let high = from.add(len - 8).cast::<u64>().read_unaligned();
                let high = if len == 8 {
                    0
                } else {
                    high >> ((16 - len) * 8)
                };
                _mm_set_epi64x(high as i64, low as i64)
            } else {
                let word = if len >= 4 {
                    let low = u64::from(from.cast::<u32>().read_unaligned());
                    let high = u64::from(from.add(len - 4).cast::<u32>().read_unaligned());
                    low | high << ((len - 4) * 8)
                } else {
                    let first = u64::from(*from);
                    let middle = u64::from(*from.add(len / 2));
                    let last = u64::from(*from.add(len - 1));
                    first | middle << (len / 2 * 8) | last << ((len - 1) * 8)
                };
                _mm_cvtsi64_si128(word as i64)
            }
        }
    }

    /// What must be free beyond the text's own length: one vector of escapes, and what is
    /// written beyond the end.
    pub const ROOM: usize = 32 * 6 + 64;

    /// Writes text while 64 bytes of it are left and `room` suffices: how many bytes are read,
    /// how many written, and whether one was beyond ASCII.
    ///
    /// # Safety
    /// `to` has `room` bytes and is not within `text`; the processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub unsafe fn escape_avx2(text: &[u8], to: *mut u8, room: usize) -> (usize, usize, bool) {
        let from = text.as_ptr();
        let len = text.len();
        let mut high = 0;
        let (mut at, mut put) = (0, 0);
        // SAFETY: a load begins at most 32 bytes beyond `at`, of which 64 are left; one turn
        // writes at most ROOM bytes beyond `put`.
        unsafe {
            while at + 64 <= len && put + (len - at) + ROOM <= room {
                let bytes = _mm256_loadu_si256(from.add(at).cast());
                _mm256_storeu_si256(to.add(put).cast(), bytes);
                let special = _mm256_or_si256(
                    _mm256_or_si256(
                        _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8)),
                        _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\' as i8)),
                    ),
                    _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1F)), bytes),
                );
                high |= _mm256_movemask_epi8(bytes);
                let mut special = _mm256_movemask_epi8(special) as u32;
                let next = at + 32;
                while special != 0 {
                    let plain = special.trailing_zeros() as usize;
                    let escape = &ESCAPES[usize::from(*from.add(at + plain))];
                    put += plain;
                    to.add(put).cast::<[u8; 8]>().write(*escape);
                    put += usize::from(escape[7]);
                    at += plain + 1;
                    // The rest of the vector, to where it belongs now.
                    let bytes = _mm256_loadu_si256(from.add(at).cast());
                    _mm256_storeu_si256(to.add(put).cast(), bytes);
                    special = special >> plain >> 1;
                }
                put += next - at;
                at = next;
            }
        }
        (at, put, high != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Heap;
    use super::*;
    use proptest::prelude::*;

    fn naive(text: &str, escape: Escape) -> String {
        let mut out = String::from("\"");
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '/' if escape.slash => out.push_str("\\/"),
                '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04X}", character as u32)),
                '\u{80}'.. if escape.non_ascii => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04X}"));
                    }
                }
                _ => out.push(character),
            }
        }
        out.push('"');
        out
    }

    fn written(text: &[u8], escape: Option<Escape>) -> Result<String, InvalidUtf8> {
        let mut buffer = Buffer::new(Heap::default());
        match escape {
            None => buffer.string(text)?,
            Some(escape) => buffer.string_escaping(text, escape)?,
        }
        Ok(String::from_utf8(buffer.bytes().to_vec()).unwrap())
    }

    const ALL: [Escape; 4] = [
        Escape {
            slash: false,
            non_ascii: false,
        },
        Escape {
            slash: true,
            non_ascii: false,
        },
        Escape {
            slash: false,
            non_ascii: true,
        },
        Escape {
            slash: true,
            non_ascii: true,
        },
    ];

    #[test]
    fn every_byte_at_every_place_of_every_length() {
        for len in 1..=70 {
            for at in 0..len {
                for byte in 0..0x80 {
                    let mut text = vec![b'a'; len];
                    text[at] = byte;
                    let text = String::from_utf8(text).unwrap();
                    let expected = naive(&text, ALL[0]);
                    assert_eq!(written(text.as_bytes(), None).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn wrong_utf8_is_reported_where_it_begins_to_be_wrong() {
        let byte = |byte, at| Err(InvalidUtf8::Byte { byte, at });
        for prefix in [0, 3, 15, 16, 17, 64, 100] {
            let check = |bytes: &[u8], expected: Result<String, InvalidUtf8>| {
                let mut text = vec![b'x'; prefix];
                text.extend_from_slice(bytes);
                for escape in [None, Some(ALL[0]), Some(ALL[3])] {
                    assert_eq!(written(&text, escape), expected, "{text:?}");
                }
            };
            check(b"\x80", byte(0x80, prefix));
            check(b"\xFF\"", byte(0xFF, prefix));
            check(b"\xC0\x80", byte(0xC0, prefix));
            check(b"\xC3a", byte(b'a', prefix + 1));
            check(b"\xE0\x80\x80", byte(0x80, prefix + 1));
            check(b"\xE2\x82a", byte(b'a', prefix + 2));
            check(b"\xED\xA0\x80", byte(0xA0, prefix + 1));
            check(b"\xF0\x9F\x98\"", byte(b'"', prefix + 3));
            check(b"\xF4\x90\x80\x80", byte(0x90, prefix + 1));
            check(b"\xF5\x80\x80\x80", byte(0xF5, prefix));
            for cut in [&b"\xC3"[..], b"\xE2", b"\xE2\x82", b"\xF0", b"\xF0\x9F\x98"] {
                check(cut, Err(InvalidUtf8::End));
            }
        }
    }

    proptest! {
        #[test]
        fn same_as_the_naive_writer(text in "(?s)[a-z/\u{0}-\u{ff}\u{fff0}-\u{10fff}\\\\\"]{0,200}|(?s).{0,90}") {
            prop_assert_eq!(&written(text.as_bytes(), None).unwrap(), &naive(&text, ALL[0]));
            for escape in ALL {
                let text = written(text.as_bytes(), Some(escape)).unwrap() == naive(&text, escape);
                prop_assert!(text);
            }
        }

        #[test]
        fn bytes_are_taken_or_refused_as_utf8(text in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(written(&text, None).is_ok(), std::str::from_utf8(&text).is_ok());
        }

        #[test]
        fn words_as_vectors(text in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut to = vec![0; text.len() + SLACK];
            // SAFETY: there is room.
            let run = unsafe { portable::run::<true, false>(&text, to.as_mut_ptr()) };
            let first = text.iter().position(|b| *b < 0x20 || b"\"\\/".contains(b));
            prop_assert_eq!(run.0, first.unwrap_or(text.len()));
            prop_assert_eq!(&to[..run.0], &text[..run.0]);
            prop_assert!(run.1 || text[..run.0].is_ascii());
        }
    }
}
