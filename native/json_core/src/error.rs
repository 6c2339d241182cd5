//! What can be wrong with a text, in the terms of OTP's `json` module.

use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    UnexpectedEnd,
    InvalidByte(u8),
    /// A well-delimited piece that means nothing: a lone surrogate, a number beyond a double.
    UnexpectedSequence(Vec<u8>),
    /// More than this many open arrays and objects.
    DepthLimit(usize),
    /// An integer of more than this many digits.
    DigitLimit(usize),
    /// More work than allowed in one call.
    WorkLimit,
    /// The sink did not take an event; it knows why.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub reason: Reason,
    /// Bytes from the start of the text.
    pub offset: usize,
}

/// The parser stopped; [`crate::Parser::error`] says why. Without fields, so that the results on
/// the hot path stay in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

/// Line and column (bytes, both from 1) of an offset.
pub fn line_and_column(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    let start = before
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |newline| newline + 1);
    (line, before.len() - start + 1)
}

/// OTP reads `1e400` as `1.0e400` and names that in the error.
pub(crate) fn float_token(text: &[u8]) -> Cow<'_, [u8]> {
    let exponent = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    match exponent {
        Some(at) if !text[..at].contains(&b'.') => {
            let mut token = text[..at].to_vec();
            token.extend_from_slice(b".0e");
            token.extend_from_slice(&text[at + 1..]);
            Cow::Owned(token)
        }
        _ => Cow::Borrowed(text),
    }
}
