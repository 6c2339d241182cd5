//! Escapes and UTF-8 inside strings, with the errors that OTP's `json` gives.

use crate::error::{Error, Reason};

/// What a backslash and one further character stand for; zero where they are no such escape.
const SIMPLE: [u8; 256] = {
    let mut table = [0; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table[b'b' as usize] = 0x8;
    table[b'f' as usize] = 0xc;
    table[b'n' as usize] = b'\n';
    table[b'r' as usize] = b'\r';
    table[b't' as usize] = b'\t';
    table
};

/// The byte that the escape of two characters at `at` stands for, where it is one.
#[inline(always)]
pub fn simple_escape(input: &[u8], at: usize) -> Option<u8> {
    match SIMPLE[usize::from(*input.get(at + 1)?)] {
        0 => None,
        byte => Some(byte),
    }
}

/// Reads the escape at `at` that is not a simple one: the character and the offset behind it.
pub fn escape(input: &[u8], at: usize) -> Result<(char, usize), Error> {
    match input.get(at + 1) {
        Some(b'u') => unicode_escape(input, at),
        Some(&byte) => fail(Reason::InvalidByte(byte), at + 1),
        None => fail(Reason::UnexpectedEnd, input.len()),
    }
}

fn unicode_escape(input: &[u8], at: usize) -> Result<(char, usize), Error> {
    let Some(digits) = input.get(at + 2..at + 6) else {
        return fail(Reason::UnexpectedEnd, input.len());
    };
    let sequence = |length| {
        fail(
            Reason::UnexpectedSequence(input[at..at + length].to_vec()),
            at,
        )
    };
    let Some(first) = hexadecimal(digits) else {
        return sequence(6);
    };
    if !(0xd800..0xdc00).contains(&first) {
        // Fails for a lone low surrogate.
        return char::from_u32(first).map_or_else(|| sequence(6), |c| Ok((c, at + 6)));
    }
    match input.get(at + 6..at + 12) {
        Some([b'\\', b'u', digits @ ..]) => match hexadecimal(digits) {
            Some(second @ 0xdc00..0xe000) => {
                let code = 0x10000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
                char::from_u32(code).map_or_else(|| sequence(12), |c| Ok((c, at + 12)))
            }
            _ => sequence(12),
        },
        // OTP waits for a whole second escape before it looks at what is there.
        _ if input.len() <= at + 11 => fail(Reason::UnexpectedEnd, input.len()),
        _ => fail(Reason::InvalidByte(input[at + 6]), at + 6),
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| {
        Some(value << 4 | char::from(digit).to_digit(16)?)
    })
}

fn fail<T>(reason: Reason, offset: usize) -> Result<T, Error> {
    Err(Error { reason, offset })
}

pub fn push_utf8(out: &mut Vec<u8>, character: char) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Where a UTF-8 decoder that reads byte by byte gives up between `from` and `to`: at the first
/// byte that cannot follow, which may be the one at `to`.
pub fn invalid_utf8(input: &[u8], from: usize, to: usize) -> Option<usize> {
    let error = std::str::from_utf8(&input[from..to]).err()?;
    let start = from + error.valid_up_to();
    Some(match error.error_len() {
        None => to,
        Some(length) if matches!(input[start], 0xc2..=0xf4) => start + length,
        Some(_) => start,
    })
}
