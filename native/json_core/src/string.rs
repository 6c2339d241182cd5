//! Escapes and UTF-8 inside strings, with the errors that OTP's `json` gives.

use crate::error::{Error, Reason};

/// Reads the escape whose backslash is at `at`: the character and the offset behind it.
pub fn escape(input: &[u8], at: usize) -> Result<(char, usize), Error> {
    let character = match input.get(at + 1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(input, at),
        Some(&byte) => return fail(Reason::InvalidByte(byte), at + 1),
        None => return fail(Reason::UnexpectedEnd, input.len()),
    };
    Ok((character, at + 2))
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
