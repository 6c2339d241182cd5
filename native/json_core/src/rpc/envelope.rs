//! The members of one message as they stand, before they are judged.

use crate::error::{Reason, Stop};
use crate::parse::{Parser, Sink, Text};

/// A member whose value belongs to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    Params,
    Result,
    ErrorData,
}

/// Reads the application's values: skips them, or builds them.
pub trait Payload {
    type Value;
    /// Reads exactly one value of the text.
    fn read(&mut self, parser: &mut Parser<'_>, member: Member) -> Result<Self::Value, Stop>;
}

/// A string of the envelope: its extent in the input, or its content where it had escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Str {
    Verbatim { start: usize, end: usize },
    Unescaped(Vec<u8>),
}

impl Str {
    #[inline(always)]
    pub fn bytes<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Str::Verbatim { start, end } => &input[*start..*end],
            Str::Unescaped(bytes) => bytes,
        }
    }
}

/// What stands as a message's id.
#[derive(Clone, Debug, PartialEq)]
pub enum RawId {
    Absent,
    Null,
    Integer(i64),
    /// Outside 64 bits: its digits are the extent.
    BigInteger,
    Float(f64),
    Text(Str),
    /// A boolean, an array or an object.
    Other,
}

#[derive(Debug, PartialEq)]
pub enum Name {
    Absent,
    Text(Str),
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Absent,
    Two,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Object,
    Array,
    Scalar,
}

/// The `error` member.
#[derive(Debug, PartialEq)]
pub struct ErrorObject<V> {
    pub code: Option<i64>,
    pub message: Option<Str>,
    pub data: Option<V>,
    /// False where it is no object.
    pub object: bool,
}

pub struct Envelope<V> {
    pub version: Version,
    pub id: RawId,
    /// Where the id stands, as written.
    pub id_extent: (usize, usize),
    pub method: Name,
    pub params: Option<(Shape, V)>,
    pub result: Option<(Shape, V)>,
    pub error: Option<ErrorObject<V>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Version,
    Id,
    Method,
    Params,
    Result,
    Error,
    Other,
}

#[inline(always)]
fn key(text: &[u8]) -> Key {
    match text {
        b"jsonrpc" => Key::Version,
        b"id" => Key::Id,
        b"method" => Key::Method,
        b"params" => Key::Params,
        b"result" => Key::Result,
        b"error" => Key::Error,
        _ => Key::Other,
    }
}

/// Reads the object that starts at the next byte. `depth` is how many levels it may open, itself
/// included. Of duplicate members the first counts, as in OTP's `json`.
#[inline(always)]
pub fn read<P: Payload>(
    parser: &mut Parser<'_>,
    payload: &mut P,
    depth: usize,
) -> Result<Envelope<P::Value>, Stop> {
    let mut envelope = Envelope {
        version: Version::Absent,
        id: RawId::Absent,
        id_extent: (0, 0),
        method: Name::Absent,
        params: None,
        result: None,
        error: None,
    };
    let inner = open(parser, depth)?;
    let mut first = true;
    while let Some(text) = parser.member(first)? {
        first = false;
        match key(text.bytes()) {
            Key::Version if envelope.version == Version::Absent => {
                envelope.version = version(parser)?;
            }
            Key::Id if envelope.id == RawId::Absent => {
                parser.next_byte();
                let start = parser.offset();
                envelope.id = id(parser)?;
                envelope.id_extent = (start, parser.offset());
            }
            Key::Method if envelope.method == Name::Absent => {
                envelope.method = match string(parser)? {
                    Some(text) => Name::Text(text),
                    None => Name::Other,
                };
            }
            Key::Params if envelope.params.is_none() => {
                let shape = shape(parser);
                envelope.params = Some((shape, payload.read(parser, Member::Params)?));
            }
            Key::Result if envelope.result.is_none() => {
                let shape = shape(parser);
                envelope.result = Some((shape, payload.read(parser, Member::Result)?));
            }
            Key::Error if envelope.error.is_none() => {
                envelope.error = Some(error_object(parser, payload, inner)?);
            }
            _ => {
                parser.skip_value()?;
            }
        }
    }
    parser.limit_depth(depth);
    Ok(envelope)
}

/// Takes the opening of an object of which `depth` levels are left; gives how many remain inside,
/// which is also set as the parser's limit.
#[inline(always)]
pub fn open(parser: &mut Parser<'_>, depth: usize) -> Result<usize, Stop> {
    let Some(inner) = depth.checked_sub(1) else {
        parser.next_byte();
        return parser.refuse(Reason::DepthLimit(depth));
    };
    parser.begin_object()?;
    parser.limit_depth(inner);
    Ok(inner)
}

#[inline(always)]
fn shape(parser: &mut Parser<'_>) -> Shape {
    match parser.next_byte() {
        Some(b'{') => Shape::Object,
        Some(b'[') => Shape::Array,
        _ => Shape::Scalar,
    }
}

#[inline(always)]
fn version(parser: &mut Parser<'_>) -> Result<Version, Stop> {
    let two = match parser.try_string()? {
        Some(text) => text.bytes() == b"2.0",
        None => {
            parser.skip_value()?;
            false
        }
    };
    Ok(if two { Version::Two } else { Version::Other })
}

/// A string, or `None` for another value, which is passed over.
#[inline(always)]
pub fn string(parser: &mut Parser<'_>) -> Result<Option<Str>, Stop> {
    if let Some(text) = parser.try_string()? {
        return Ok(Some(Str::from(text)));
    }
    parser.skip_value()?;
    Ok(None)
}

impl From<Text<'_>> for Str {
    #[inline(always)]
    fn from(text: Text<'_>) -> Str {
        match text {
            Text::Verbatim { bytes, offset } => Str::Verbatim {
                start: offset,
                end: offset + bytes.len(),
            },
            Text::Unescaped(bytes) => Str::Unescaped(bytes.to_vec()),
        }
    }
}

/// An id, or a progress token.
#[inline(always)]
pub fn id(parser: &mut Parser<'_>) -> Result<RawId, Stop> {
    match parser.next_byte() {
        Some(b'"') => Ok(string(parser)?.map_or(RawId::Other, RawId::Text)),
        Some(b'-' | b'0'..=b'9') => {
            let mut read = OneNumber(RawId::Other);
            parser.number(&mut read)?;
            Ok(read.0)
        }
        first => {
            parser.skip_value()?;
            Ok(if first == Some(b'n') {
                RawId::Null
            } else {
                RawId::Other
            })
        }
    }
}

/// Reads the value of `error`, inside an object of which `depth` levels are left.
fn error_object<P: Payload>(
    parser: &mut Parser<'_>,
    payload: &mut P,
    depth: usize,
) -> Result<ErrorObject<P::Value>, Stop> {
    let mut error = ErrorObject {
        code: None,
        message: None,
        data: None,
        object: shape(parser) == Shape::Object,
    };
    if !error.object {
        parser.skip_value()?;
        return Ok(error);
    }
    open(parser, depth)?;
    // Of duplicates the first counts, be it of the wrong type.
    let (mut has_code, mut has_message) = (false, false);
    let mut first = true;
    while let Some(text) = parser.member(first)? {
        first = false;
        match text.bytes() {
            b"code" if !has_code => {
                has_code = true;
                error.code = match id(parser)? {
                    RawId::Integer(code) => Some(code),
                    // 2^53: beyond it a double does not tell integers apart.
                    RawId::Float(code)
                        if code.fract() == 0.0 && code.abs() <= 9007199254740992.0 =>
                    {
                        Some(code as i64)
                    }
                    _ => None,
                };
            }
            b"message" if !has_message => {
                has_message = true;
                error.message = string(parser)?;
            }
            b"data" if error.data.is_none() => {
                error.data = Some(payload.read(parser, Member::ErrorData)?);
            }
            _ => {
                parser.skip_value()?;
            }
        }
    }
    parser.limit_depth(depth);
    Ok(error)
}

/// Keeps a number.
struct OneNumber(RawId);

impl Sink for OneNumber {
    fn null(&mut self) {}
    fn boolean(&mut self, _value: bool) {}
    fn integer(&mut self, value: i64) {
        self.0 = RawId::Integer(value);
    }
    fn big_integer(&mut self, _text: &[u8]) -> Result<(), Stop> {
        self.0 = RawId::BigInteger;
        Ok(())
    }
    fn float(&mut self, value: f64) {
        self.0 = RawId::Float(value);
    }
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
