//! Finding the next byte that matters, 16 or 32 bytes at a time.

/// A byte that ends a plain run inside a string: `"`, `\` or a control character.
#[inline(always)]
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

#[inline(always)]
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The offset at or after `from` of the first special byte, or the length.
#[inline(always)]
pub fn find_special(text: &[u8], from: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        x86::find_special(text, from)
    }
    #[cfg(target_arch = "aarch64")]
    {
        neon::find_special(text, from)
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        find_special_bytewise(text, from)
    }
}

/// Copies the plain run at `from` to the end of `out`; gives its end.
#[inline(always)]
pub fn copy_plain(text: &[u8], from: usize, out: &mut Vec<u8>) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        x86::copy_plain(text, from, out)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let end = find_special(text, from);
        out.extend_from_slice(&text[from..end]);
        end
    }
}

#[inline(always)]
fn find_special_bytewise(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.iter()
        .position(|&byte| is_special(byte))
        .map_or(text.len(), |at| from + at)
}

/// The offset at or after `from` of the first byte that is not white space, or the length.
#[inline(always)]
pub fn skip_spaces(text: &[u8], from: usize) -> usize {
    match text.get(from) {
        Some(&byte) if byte > b' ' => from,
        Some(_) => skip_run(text, from),
        None => text.len(),
    }
}

#[inline(never)]
fn skip_run(text: &[u8], from: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    let from = x86::skip_spaces(text, from);
    let rest = &text[from..];
    rest.iter()
        .position(|&byte| !is_space(byte))
        .map_or(text.len(), |at| from + at)
}

/// Whether the eight bytes (first in the lowest) are all ASCII digits.
#[inline(always)]
pub fn all_digits(word: u64) -> bool {
    let high = word & 0xf0f0_f0f0_f0f0_f0f0;
    let carried = word.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0;
    high == 0x3030_3030_3030_3030 && carried == 0x3030_3030_3030_3030
}

/// The value of eight ASCII digits, in three multiplications
/// (Lemire, "Quickly parsing eight digits", 2018).
#[inline(always)]
pub fn eight_digits(word: u64) -> u64 {
    let word = word - 0x3030_3030_3030_3030;
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    low.wrapping_add(high) >> 32
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// From here on a string counts as long and AVX2 is asked for.
    const LONG: usize = 64;

    #[inline(always)]
    pub fn find_special(text: &[u8], from: usize) -> usize {
        let mut at = from;
        while at + 16 <= text.len() {
            // SAFETY: SSE2 is part of x86_64, and 16 bytes from `at` are inside the text.
            let mask = unsafe { special_mask(text.as_ptr().add(at)) };
            if mask != 0 {
                return at + mask.trailing_zeros() as usize;
            }
            at += 16;
            if at - from == LONG && is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                return unsafe { find_special_avx2(text, at) };
            }
        }
        find_special_last(text, at)
    }

    /// Among the last bytes, fewer than 16: a block that ends with the text holds them.
    #[inline(always)]
    fn find_special_last(text: &[u8], at: usize) -> usize {
        let Some(block) = text.len().checked_sub(16).filter(|&block| block <= at) else {
            return super::find_special_bytewise(text, at);
        };
        // SAFETY: the 16 bytes from `block` end with the text.
        let mask = unsafe { special_mask(text.as_ptr().add(block)) } >> (at - block).min(16);
        match mask {
            0 => text.len(),
            _ => at + mask.trailing_zeros() as usize,
        }
    }

    #[inline(always)]
    pub fn copy_plain(text: &[u8], from: usize, out: &mut Vec<u8>) -> usize {
        let mut at = from;
        out.reserve(LONG);
        while at + 16 <= text.len() && at - from < LONG {
            // SAFETY: 16 bytes from `at` are inside the text, and there is room for as many at
            // the end of `out`; of these only the plain ones are counted in.
            unsafe {
                let start = text.as_ptr().add(at);
                let end = out.as_mut_ptr().add(out.len());
                end.copy_from_nonoverlapping(start, 16);
                let mask = special_mask(start);
                let plain = if mask == 0 {
                    16
                } else {
                    mask.trailing_zeros() as usize
                };
                out.set_len(out.len() + plain);
                at += plain;
                if mask != 0 {
                    return at;
                }
            }
        }
        let end = find_special(text, at);
        out.extend_from_slice(&text[at..end]);
        end
    }

    /// # Safety
    /// 16 bytes from `start` must be readable.
    #[inline(always)]
    unsafe fn special_mask(start: *const u8) -> u32 {
        // SAFETY: the caller's promise.
        unsafe {
            let bytes = _mm_loadu_si128(start.cast());
            let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
            let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
            let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
            _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control)) as u32
        }
    }

    #[target_feature(enable = "avx2")]
    fn find_special_avx2(text: &[u8], from: usize) -> usize {
        let quotes = _mm256_set1_epi8(b'"' as i8);
        let backslashes = _mm256_set1_epi8(b'\\' as i8);
        let last_control = _mm256_set1_epi8(0x1f);
        let mut at = from;
        while at + 32 <= text.len() {
            // SAFETY: 32 bytes from `at` are inside the text.
            let bytes = unsafe { _mm256_loadu_si256(text.as_ptr().add(at).cast()) };
            let quote = _mm256_cmpeq_epi8(bytes, quotes);
            let backslash = _mm256_cmpeq_epi8(bytes, backslashes);
            let control = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, last_control), bytes);
            let any = _mm256_or_si256(_mm256_or_si256(quote, backslash), control);
            let mask = _mm256_movemask_epi8(any) as u32;
            if mask != 0 {
                return at + mask.trailing_zeros() as usize;
            }
            at += 32;
        }
        super::find_special_bytewise(text, at)
    }

    /// Skips whole blocks of white space; stops at or before the first other byte.
    #[inline(always)]
    pub fn skip_spaces(text: &[u8], from: usize) -> usize {
        let mut at = from;
        while at + 16 <= text.len() {
            // SAFETY: SSE2 is part of x86_64, and 16 bytes from `at` are inside the text.
            let mask = unsafe {
                let bytes = _mm_loadu_si128(text.as_ptr().add(at).cast());
                let space = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b' ' as i8));
                let newline = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\n' as i8));
                let r#return = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\r' as i8));
                let tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\t' as i8));
                let any = _mm_or_si128(_mm_or_si128(space, newline), _mm_or_si128(r#return, tab));
                _mm_movemask_epi8(any) as u32
            };
            if mask != 0xffff {
                return at + (!mask).trailing_zeros() as usize;
            }
            at += 16;
        }
        at
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::*;

    #[inline(always)]
    pub fn find_special(text: &[u8], from: usize) -> usize {
        let mut at = from;
        while at + 16 <= text.len() {
            // SAFETY: NEON is part of aarch64, and 16 bytes from `at` are inside the text.
            let mask = unsafe {
                let bytes = vld1q_u8(text.as_ptr().add(at));
                let quote = vceqq_u8(bytes, vdupq_n_u8(b'"'));
                let backslash = vceqq_u8(bytes, vdupq_n_u8(b'\\'));
                let control = vcltq_u8(bytes, vdupq_n_u8(0x20));
                let any = vorrq_u8(vorrq_u8(quote, backslash), control);
                // Four bits a byte: NEON has no movemask.
                let nibbles = vshrn_n_u16(vreinterpretq_u16_u8(any), 4);
                vget_lane_u64(vreinterpret_u64_u8(nibbles), 0)
            };
            if mask != 0 {
                return at + (mask.trailing_zeros() / 4) as usize;
            }
            at += 16;
        }
        super::find_special_bytewise(text, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_special_at_each_distance() {
        for special in [b'"', b'\\', 0x00, 0x1f, b'\n'] {
            for length in 0..150 {
                for at in 0..length {
                    let mut text = vec![b'a'; length];
                    text[at] = special;
                    for from in [0, 1, at / 2, at] {
                        if from <= at {
                            assert_eq!(find_special(&text, from), at);
                        }
                    }
                    assert_eq!(find_special(&text, at + 1), length);
                }
            }
        }
    }

    #[test]
    fn copies_up_to_the_special() {
        for length in 0..80 {
            for at in 0..=length {
                let mut text: Vec<u8> = (0..length).map(|n| b'a' + (n % 26) as u8).collect();
                if at < length {
                    text[at] = b'\\';
                }
                let mut out = b"x".to_vec();
                assert_eq!(copy_plain(&text, 0, &mut out), at);
                assert_eq!(out, [b"x", &text[..at]].concat());
            }
        }
    }

    #[test]
    fn passes_over_bytes_that_only_look_special() {
        let text: Vec<u8> = (0x20..=0xff)
            .filter(|b| !matches!(b, b'"' | b'\\'))
            .collect();
        assert_eq!(find_special(&text, 0), text.len());
    }

    #[test]
    fn reads_eight_digits() {
        for text in [b"00000000", b"12345678", b"99999999", b"10203040"] {
            let word = u64::from_le_bytes(*text);
            assert!(all_digits(word));
            let expected: u64 = std::str::from_utf8(text).unwrap().parse().unwrap();
            assert_eq!(eight_digits(word), expected);
        }
        for at in 0..8 {
            for other in [b'/', b':', b'.', 0, 0xff, b'0' | 0x80] {
                let mut text = *b"12345678";
                text[at] = other;
                assert!(!all_digits(u64::from_le_bytes(text)));
            }
        }
    }

    #[test]
    fn skips_white_space_only() {
        for length in 0..80 {
            let mut text: Vec<u8> = b" \n\r\t".iter().copied().cycle().take(length).collect();
            assert_eq!(skip_spaces(&text, 0), length);
            for other in [b'a', 0x0b, 0x0c, 0xa0, 0] {
                text.push(other);
                text.push(b' ');
                assert_eq!(skip_spaces(&text, 0), length);
                text.truncate(length);
            }
        }
    }
}
