//! The parser: one value of a text becomes a series of events. It never recurses, and it reads
//! every byte once (once more where UTF-8 is checked, ahead, for the whole text).

use crate::error::{float_token, Error, Reason, Stop};
use crate::levels::Levels;
use crate::number::{self, Malformed, Number};
use crate::scan;
use crate::string;

/// Takes the events of a value. A method may refuse; the parser then stops with
/// [`Reason::Refused`].
pub trait Sink {
    /// False where only the extent of a value matters: numbers are then not converted and
    /// escapes not resolved, only checked.
    const WANTS_VALUES: bool = true;

    fn null(&mut self);
    fn boolean(&mut self, value: bool);
    fn integer(&mut self, value: i64);
    /// Sign and digits as written, of an integer outside 64 bits.
    fn big_integer(&mut self, text: &[u8]) -> Result<(), Stop>;
    fn float(&mut self, value: f64);
    fn string(&mut self, text: Text);
    fn begin_array(&mut self);
    fn end_array(&mut self) -> Result<(), Stop>;
    fn begin_object(&mut self);
    fn key(&mut self, text: Text) -> Result<(), Stop>;
    fn end_object(&mut self) -> Result<(), Stop>;
}

/// The content of a string.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// As it stands in the input, from this offset.
    Verbatim { bytes: &'a [u8], offset: usize },
    /// With its escapes resolved.
    Unescaped(&'a [u8]),
}

impl<'a> Text<'a> {
    #[inline(always)]
    pub fn bytes(&self) -> &'a [u8] {
        match self {
            Text::Verbatim { bytes, .. } | Text::Unescaped(bytes) => bytes,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open arrays and objects.
    pub depth: usize,
    /// Digits of an integer that does not fit 64 bits.
    pub digits: usize,
    /// Work, in units of about what a scalar takes; an object takes [`OBJECT_WORK`] more, a float
    /// of many digits [`FLOAT_WORK`] and more. For callers that must not be away for long.
    pub work: usize,
}

/// An object is a map to be built, mostly.
const OBJECT_WORK: usize = 8;

/// A float of more digits than fit 64 bits may lie half-way between two doubles, which takes
/// 10 us to find out, and 30 us where it has the 800 digits that matter.
const FLOAT_WORK: usize = 800;
const FLOAT_DIGIT_WORK: usize = 2;
const EXACT_DIGITS: usize = 19;
const MOST_DIGITS: usize = 800;

/// Room that is made for a string with escapes before its length is known.
const UNESCAPED_ROOM: usize = 64 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            depth: usize::MAX,
            digits: usize::MAX,
            work: usize::MAX,
        }
    }
}

pub struct Parser<'a> {
    input: &'a [u8],
    at: usize,
    limits: Limits,
    /// Checked ahead for the whole input; where it is false, strings are checked one by one, so
    /// that the first error in the order of the text is the one reported.
    utf8_valid: bool,
    unescaped: Vec<u8>,
    error: Option<Error>,
}

impl<'a> Parser<'a> {
    pub fn new(input: &'a [u8], limits: Limits) -> Self {
        Parser {
            input,
            at: 0,
            limits,
            utf8_valid: simdutf8::basic::from_utf8(input).is_ok(),
            unescaped: Vec::new(),
            error: None,
        }
    }

    /// How far the input is read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Why a call gave [`Stop`].
    pub fn error(self) -> Error {
        self.error.unwrap_or(Error {
            reason: Reason::Refused,
            offset: self.at,
        })
    }

    /// The end of the input is reached but for white space. As in OTP, what is reported else
    /// is the byte right behind the value, be it white space itself.
    pub fn end(&mut self) -> Result<(), Stop> {
        if scan::skip_spaces(self.input, self.at) == self.input.len() {
            Ok(())
        } else {
            self.unexpected(self.at)
        }
    }

    /// Reads one value.
    #[inline(always)]
    pub fn value<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop> {
        let mut levels = Levels::default();
        'value: loop {
            self.work(1)?;
            match self.next_byte() {
                Some(b'"') => {
                    sink.string(self.string::<S>()?);
                }
                Some(b'{') => {
                    self.enter(&levels)?;
                    self.work(OBJECT_WORK)?;
                    sink.begin_object();
                    self.at += 1;
                    match self.next_byte() {
                        Some(b'"') => {
                            let taken = sink.key(self.string::<S>()?);
                            self.refusable(taken)?;
                            self.colon()?;
                            levels.push(true);
                            continue 'value;
                        }
                        Some(b'}') => {
                            self.at += 1;
                            self.refusable(sink.end_object())?;
                        }
                        _ => return self.unexpected(self.at),
                    }
                }
                Some(b'[') => {
                    self.enter(&levels)?;
                    sink.begin_array();
                    self.at += 1;
                    if self.next_byte() != Some(b']') {
                        levels.push(false);
                        continue 'value;
                    }
                    self.at += 1;
                    self.refusable(sink.end_array())?;
                }
                Some(b'-' | b'0'..=b'9') => self.number(sink)?,
                Some(b't') => {
                    self.literal(b"true")?;
                    sink.boolean(true);
                }
                Some(b'f') => {
                    self.literal(b"false")?;
                    sink.boolean(false);
                }
                Some(b'n') => {
                    self.literal(b"null")?;
                    sink.null();
                }
                _ => return self.unexpected(self.at),
            }
            // A value is complete: so may be the containers around it.
            loop {
                if levels.depth() == 0 {
                    return Ok(());
                }
                let next = self.next_byte();
                if levels.in_object() {
                    match next {
                        Some(b',') => {
                            self.at += 1;
                            if self.next_byte() != Some(b'"') {
                                return self.unexpected(self.at);
                            }
                            let taken = sink.key(self.string::<S>()?);
                            self.refusable(taken)?;
                            self.colon()?;
                            continue 'value;
                        }
                        Some(b'}') => {
                            self.at += 1;
                            levels.pop();
                            self.refusable(sink.end_object())?;
                        }
                        _ => return self.unexpected(self.at),
                    }
                } else {
                    match next {
                        Some(b',') => {
                            self.at += 1;
                            continue 'value;
                        }
                        Some(b']') => {
                            self.at += 1;
                            levels.pop();
                            self.refusable(sink.end_array())?;
                        }
                        _ => return self.unexpected(self.at),
                    }
                }
            }
        }
    }

    /// Passes over one value, checking it, and gives its extent.
    pub fn skip_value(&mut self) -> Result<std::ops::Range<usize>, Stop> {
        self.next_byte();
        let start = self.at;
        self.value(&mut Skip)?;
        Ok(start..self.at)
    }

    /// The next byte that is not white space, which is not taken.
    #[inline(always)]
    pub fn next_byte(&mut self) -> Option<u8> {
        self.at = scan::skip_spaces(self.input, self.at);
        self.input.get(self.at).copied()
    }

    /// Takes the opening of an object. Then [`Parser::member`] gives its keys.
    pub fn begin_object(&mut self) -> Result<(), Stop> {
        self.punctuation(b'{')
    }

    /// Takes the opening of an array. Then [`Parser::element`] tells of its elements.
    pub fn begin_array(&mut self) -> Result<(), Stop> {
        self.punctuation(b'[')
    }

    /// The key of the object's next member, up to and with the colon; `None` at its end.
    /// `first` tells that no member was taken yet.
    #[inline(always)]
    pub fn member(&mut self, first: bool) -> Result<Option<Text<'_>>, Stop> {
        match self.next_byte() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.next_byte();
            }
            Some(b'"') if first => {}
            _ => return self.unexpected(self.at),
        }
        if self.input.get(self.at) != Some(&b'"') {
            return self.unexpected(self.at);
        }
        let extent = self.string_extent::<true>()?;
        self.colon()?;
        Ok(Some(self.text(extent)))
    }

    /// Whether a further element of the array follows, where [`Parser::value`] then starts.
    #[inline(always)]
    pub fn element(&mut self, first: bool) -> Result<bool, Stop> {
        match self.next_byte() {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            _ => self.unexpected(self.at),
        }
    }

    /// The next value where it is a string, else `None` and nothing is taken.
    #[inline(always)]
    pub fn try_string(&mut self) -> Result<Option<Text<'_>>, Stop> {
        if self.next_byte() != Some(b'"') {
            return Ok(None);
        }
        let extent = self.string_extent::<true>()?;
        Ok(Some(self.text(extent)))
    }

    /// How many levels the values to come may open: for who walks the outer ones by hand.
    #[inline(always)]
    pub fn limit_depth(&mut self, depth: usize) {
        self.limits.depth = depth;
    }

    /// Goes back to an offset where a value starts, to read it once more.
    pub fn rewind(&mut self, offset: usize) {
        self.at = offset;
    }

    /// See [`Parser::limit_depth`].
    pub fn depth_limit(&self) -> usize {
        self.limits.depth
    }

    /// Stops at the current offset, for the walker's own reason.
    pub fn refuse<T>(&mut self, reason: Reason) -> Result<T, Stop> {
        self.fail(reason, self.at)
    }

    /// Goes to the value of an object's first member with this key. False where the next value
    /// is no object or has no such member.
    pub fn find_member(&mut self, key: &[u8]) -> Result<bool, Stop> {
        if self.next_byte() != Some(b'{') {
            return self.skip_value().map(|_| false);
        }
        self.begin_object()?;
        let mut first = true;
        while let Some(text) = self.member(first)? {
            if text.bytes() == key {
                return Ok(true);
            }
            self.skip_value()?;
            first = false;
        }
        Ok(false)
    }

    /// Goes to an array's element, counted from 0. False where the next value is no array or
    /// has fewer elements.
    pub fn find_element(&mut self, index: u64) -> Result<bool, Stop> {
        if self.next_byte() != Some(b'[') {
            return self.skip_value().map(|_| false);
        }
        self.begin_array()?;
        let mut at = 0;
        while self.element(at == 0)? {
            if at == index {
                return Ok(true);
            }
            self.skip_value()?;
            at += 1;
        }
        Ok(false)
    }

    fn punctuation(&mut self, byte: u8) -> Result<(), Stop> {
        if self.next_byte() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.unexpected(self.at)
        }
    }

    #[inline(always)]
    fn colon(&mut self) -> Result<(), Stop> {
        if self.next_byte() == Some(b':') {
            self.at += 1;
            Ok(())
        } else {
            self.unexpected(self.at)
        }
    }

    #[inline(always)]
    fn enter(&mut self, levels: &Levels) -> Result<(), Stop> {
        if levels.depth() < self.limits.depth {
            Ok(())
        } else {
            self.fail(Reason::DepthLimit(self.limits.depth), self.at)
        }
    }

    #[inline(always)]
    fn work(&mut self, units: usize) -> Result<(), Stop> {
        match self.limits.work.checked_sub(units) {
            Some(left) => {
                self.limits.work = left;
                Ok(())
            }
            None => self.fail(Reason::WorkLimit, self.at),
        }
    }

    #[inline(always)]
    fn literal(&mut self, literal: &'static [u8]) -> Result<(), Stop> {
        let end = self.at + literal.len();
        if self.input.get(self.at..end) == Some(literal) {
            self.at = end;
            Ok(())
        } else if self.input.len() <= end {
            // OTP waits for the rest before it looks at what is there.
            self.fail(Reason::UnexpectedEnd, self.input.len())
        } else {
            self.unexpected(self.at + 1)
        }
    }

    /// Reads the number whose first byte stands at the current offset.
    #[inline(always)]
    pub(crate) fn number<S: Sink>(&mut self, sink: &mut S) -> Result<(), Stop> {
        let start = self.at;
        let (number, end) = match number::parse(self.input, start) {
            Ok(read) => read,
            Err(Malformed::At(at)) => return self.unexpected(at),
        };
        self.at = end;
        match number {
            Number::Integer(value) => sink.integer(value),
            Number::Float(value) => {
                if end - start > EXACT_DIGITS {
                    self.float_work(start, end)?;
                }
                sink.float(value);
            }
            Number::BigInteger => {
                let text = &self.input[start..end];
                let digits = text.len() - usize::from(text[0] == b'-');
                if digits > self.limits.digits {
                    return self.fail(Reason::DigitLimit(self.limits.digits), start);
                }
                self.refusable(sink.big_integer(text))?;
            }
            Number::Overflow => {
                let token = float_token(&self.input[start..end]).into_owned();
                return self.fail(Reason::UnexpectedSequence(token), start);
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn float_work(&mut self, start: usize, end: usize) -> Result<(), Stop> {
        let text = self.input[start..end].iter();
        let mantissa = text.take_while(|byte| !matches!(byte, b'e' | b'E'));
        let digits = mantissa.filter(|byte| byte.is_ascii_digit()).count();
        if digits > EXACT_DIGITS {
            return self.work(FLOAT_WORK + FLOAT_DIGIT_WORK * digits.min(MOST_DIGITS));
        }
        Ok(())
    }

    #[inline(always)]
    fn string<S: Sink>(&mut self) -> Result<Text<'_>, Stop> {
        let extent = if S::WANTS_VALUES {
            self.string_extent::<true>()?
        } else {
            self.string_extent::<false>()?
        };
        Ok(self.text(extent))
    }

    #[inline(always)]
    fn text(&self, extent: Option<(usize, usize)>) -> Text<'_> {
        match extent {
            Some((start, end)) => Text::Verbatim {
                bytes: &self.input[start..end],
                offset: start,
            },
            None => Text::Unescaped(&self.unescaped),
        }
    }

    /// Reads the string whose quote stands at the current offset: its content's extent, or
    /// `None` where it had escapes, which are then resolved in `self.unescaped`.
    #[inline(always)]
    fn string_extent<const RESOLVE: bool>(&mut self) -> Result<Option<(usize, usize)>, Stop> {
        let start = self.at + 1;
        let end = scan::find_special(self.input, start);
        if self.input.get(end) == Some(&b'"') && self.utf8_valid {
            self.at = end + 1;
            return Ok(Some((start, end)));
        }
        self.string_slow::<RESOLVE>(start, end)
    }

    /// The rest of [`Parser::string_extent`]: escapes, invalid UTF-8, and errors.
    #[inline(never)]
    fn string_slow<const RESOLVE: bool>(
        &mut self,
        start: usize,
        mut end: usize,
    ) -> Result<Option<(usize, usize)>, Stop> {
        self.unescaped.clear();
        if RESOLVE {
            let longest = self.input.len() - start;
            self.unescaped.reserve(longest.min(UNESCAPED_ROOM));
            self.unescaped.extend_from_slice(&self.input[start..end]);
        }
        let mut run = start;
        loop {
            if !self.utf8_valid {
                if let Some(at) = string::invalid_utf8(self.input, run, end) {
                    return self.unexpected(at);
                }
            }
            match self.input.get(end) {
                Some(b'"') => {
                    self.at = end + 1;
                    return Ok((run == start).then_some((start, end)));
                }
                Some(b'\\') => {
                    run = match string::simple_escape(self.input, end) {
                        Some(byte) => {
                            if RESOLVE {
                                self.unescaped.push(byte);
                            }
                            end + 2
                        }
                        None => match string::escape(self.input, end) {
                            Ok((character, next)) => {
                                if RESOLVE {
                                    string::push_utf8(&mut self.unescaped, character);
                                }
                                next
                            }
                            Err(error) => return self.fail(error.reason, error.offset),
                        },
                    };
                    end = if RESOLVE {
                        scan::copy_plain(self.input, run, &mut self.unescaped)
                    } else {
                        scan::find_special(self.input, run)
                    };
                }
                _ => return self.unexpected(end),
            }
        }
    }

    #[inline(always)]
    fn refusable(&mut self, answer: Result<(), Stop>) -> Result<(), Stop> {
        match answer {
            Ok(()) => Ok(()),
            Err(Stop) => self.fail(Reason::Refused, self.at),
        }
    }

    #[cold]
    #[inline(never)]
    fn unexpected<T>(&mut self, at: usize) -> Result<T, Stop> {
        match self.input.get(at) {
            Some(&byte) => self.fail(Reason::InvalidByte(byte), at),
            None => self.fail(Reason::UnexpectedEnd, self.input.len()),
        }
    }

    #[cold]
    #[inline(never)]
    fn fail<T>(&mut self, reason: Reason, offset: usize) -> Result<T, Stop> {
        self.error = Some(Error { reason, offset });
        Err(Stop)
    }
}

/// Wants nothing.
struct Skip;

impl Sink for Skip {
    const WANTS_VALUES: bool = false;

    fn null(&mut self) {}
    fn boolean(&mut self, _value: bool) {}
    fn integer(&mut self, _value: i64) {}
    fn big_integer(&mut self, _text: &[u8]) -> Result<(), Stop> {
        Ok(())
    }
    fn float(&mut self, _value: f64) {}
    fn string(&mut self, _text: Text) {}
    fn begin_array(&mut self) {}
    fn end_array(&mut self) -> Result<(), Stop> {
        Ok(())
    }
    fn begin_object(&mut self) {}
    fn key(&mut self, _text: Text) -> Result<(), Stop> {
        Ok(())
    }
    fn end_object(&mut self) -> Result<(), Stop> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_floats_take_more_work() {
        let read = |text: &str| {
            let work = FLOAT_WORK;
            let limits = Limits {
                work,
                ..Limits::default()
            };
            let mut parser = Parser::new(text.as_bytes(), limits);
            parser.skip_value().map_err(|_| parser.error().reason)
        };
        let (nineteen, twenty) = ("1.234567890123456789", "1.2345678901234567891");
        for exponent in ["", "e-300", "E+3"] {
            assert!(read(&format!("-{nineteen}{exponent}")).is_ok());
            let long = read(&format!("{twenty}{exponent}"));
            assert_eq!(long, Err(Reason::WorkLimit));
        }
    }
}
