//! From what stands in an envelope to what it is: request, notification, response, or invalid.

use super::envelope::{self, Envelope, ErrorObject, Name, Payload, RawId, Shape, Str, Version};
use super::reply::Fault;
use super::Dialect;
use crate::error::{Error, Reason, Stop};
use crate::parse::{Limits, Parser};

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub dialect: Dialect,
    /// Open arrays and objects, the message's own included; `digits` holds for ids too.
    pub limits: Limits,
    /// Messages in a batch.
    pub batch: usize,
}

/// An id that a message may have, and where it stands as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Id {
    pub value: IdValue,
    pub extent: (usize, usize),
}

#[derive(Clone, Debug, PartialEq)]
pub enum IdValue {
    Null,
    Integer(i64),
    /// Outside 64 bits: its digits are the extent.
    BigInteger,
    Float(f64),
    Text(Str),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Message<V> {
    Request {
        id: Id,
        method: Str,
        params: Option<V>,
    },
    Notification {
        method: Str,
        params: Option<V>,
    },
    Response {
        id: Id,
        result: V,
    },
    ErrorResponse {
        id: Id,
        code: i64,
        message: Str,
        data: Option<V>,
    },
    Invalid(Invalid),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Invalid {
    /// The id as far as it could be read; null else.
    pub id: Id,
    pub fault: Fault,
    /// Whether the reply bears that id. An answer to a broken *response* must not: its id is one
    /// of ours, and the peer would take the reply for the answer to a request of its own.
    pub echo: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Single,
    Batch,
}

/// The text as a whole is no message.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    Text(Error),
    EmptyBatch,
    /// More messages than `Options::batch`.
    BatchLimit,
}

impl Id {
    pub const NONE: Id = Id {
        value: IdValue::Null,
        extent: (0, 0),
    };

    /// The JSON text of the id.
    pub fn written<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        match self.extent {
            (start, end) if start < end => &input[start..end],
            _ => b"null",
        }
    }
}

/// Reads a text; `take` gets its messages in their order. After a failure what was taken before
/// is void: one failure answers the whole text.
#[inline(always)]
pub fn read<P: Payload>(
    input: &[u8],
    options: &Options,
    payload: &mut P,
    mut take: impl FnMut(&mut P, Message<P::Value>),
) -> Result<Framing, Failure> {
    let mut parser = Parser::new(input, options.limits);
    let framing = match parser.next_byte() {
        Some(b'{') => one(
            &mut parser,
            options,
            options.limits.depth,
            payload,
            &mut take,
        )
        .map(|()| Ok(Framing::Single)),
        Some(b'[') => batch(&mut parser, options, payload, &mut take),
        _ => other(&mut parser, payload, &mut take).map(|()| Ok(Framing::Single)),
    };
    let framing = match framing {
        Ok(Ok(framing)) => parser.end().map(|()| Ok(framing)),
        done => done,
    };
    framing.unwrap_or_else(|Stop| Err(Failure::Text(with_depth(parser.error(), options))))
}

/// The limit as configured, not what was left of it.
fn with_depth(mut error: Error, options: &Options) -> Error {
    if let Reason::DepthLimit(left) = &mut error.reason {
        *left = options.limits.depth;
    }
    error
}

#[inline(always)]
fn one<P: Payload>(
    parser: &mut Parser<'_>,
    options: &Options,
    depth: usize,
    payload: &mut P,
    take: &mut impl FnMut(&mut P, Message<P::Value>),
) -> Result<(), Stop> {
    let envelope = envelope::read(parser, payload, depth)?;
    take(payload, classify(envelope, options.dialect));
    Ok(())
}

/// What is no object.
fn other<P: Payload>(
    parser: &mut Parser<'_>,
    payload: &mut P,
    take: &mut impl FnMut(&mut P, Message<P::Value>),
) -> Result<(), Stop> {
    parser.skip_value()?;
    take(
        payload,
        Message::Invalid(Invalid {
            id: Id::NONE,
            fault: Fault::NotAnObject,
            echo: false,
        }),
    );
    Ok(())
}

fn batch<P: Payload>(
    parser: &mut Parser<'_>,
    options: &Options,
    payload: &mut P,
    take: &mut impl FnMut(&mut P, Message<P::Value>),
) -> Result<Result<Framing, Failure>, Stop> {
    let Some(depth) = options.limits.depth.checked_sub(1) else {
        return parser.refuse(Reason::DepthLimit(0));
    };
    parser.begin_array()?;
    parser.limit_depth(depth);
    let mut count = 0usize;
    while parser.element(count == 0)? {
        if count == options.batch {
            return Ok(Err(Failure::BatchLimit));
        }
        count += 1;
        if parser.next_byte() == Some(b'{') {
            one(parser, options, depth, payload, take)?;
        } else {
            other(parser, payload, take)?;
        }
    }
    if count == 0 {
        // Only where nothing but white space follows is it an empty batch.
        parser.end()?;
        return Ok(Err(Failure::EmptyBatch));
    }
    Ok(Ok(Framing::Batch))
}

#[inline(always)]
fn classify<V>(envelope: Envelope<V>, dialect: Dialect) -> Message<V> {
    let response = envelope.result.is_some() || envelope.error.is_some();
    let (id, mut fault) = judge_id(envelope.id, envelope.id_extent);
    match envelope.version {
        Version::Two => {}
        Version::Absent => fault = Some(Fault::MissingVersion),
        Version::Other => fault = Some(Fault::WrongVersion),
    }
    if let Some(fault) = fault {
        let echo = !response;
        return invalid(id, fault, echo);
    }
    let params = envelope.params;
    match (envelope.method, envelope.result, envelope.error) {
        (Name::Text(method), None, None) => request(id, method, params, dialect),
        (Name::Absent, None, None) => invalid(id, Fault::UnknownMessage, true),
        (Name::Other, None, None) => invalid(id, Fault::InvalidMethod, true),
        (Name::Absent, Some((shape, result)), None) => {
            let Some(id) = id else {
                return invalid(id, Fault::MissingId, false);
            };
            if dialect == Dialect::Mcp {
                if !mcp_id(&id) {
                    return invalid(Some(id), Fault::InvalidId, false);
                }
                if shape != Shape::Object {
                    return invalid(Some(id), Fault::InvalidResult, false);
                }
            }
            Message::Response { id, result }
        }
        (Name::Absent, None, Some(error)) => error_response(id, error, dialect),
        (Name::Absent, Some(_), Some(_)) => invalid(id, Fault::ResultAndError, false),
        (_, _, _) => invalid(id, Fault::RequestAndResponse, false),
    }
}

#[inline(always)]
fn request<V>(
    id: Option<Id>,
    method: Str,
    params: Option<(Shape, V)>,
    dialect: Dialect,
) -> Message<V> {
    let params = match params {
        None => None,
        Some((Shape::Object, value)) => Some(value),
        Some((Shape::Array, value)) if dialect == Dialect::JsonRpc => Some(value),
        Some(_) => return invalid(id, Fault::InvalidParams, true),
    };
    match id {
        None => Message::Notification { method, params },
        Some(id) if dialect == Dialect::Mcp && !mcp_id(&id) => {
            invalid(Some(id), Fault::InvalidId, true)
        }
        Some(id) => Message::Request { id, method, params },
    }
}

fn error_response<V>(id: Option<Id>, error: ErrorObject<V>, dialect: Dialect) -> Message<V> {
    let id = match id {
        Some(id) if dialect == Dialect::Mcp && id.value != IdValue::Null && !mcp_id(&id) => {
            return invalid(Some(id), Fault::InvalidId, false)
        }
        Some(id) => id,
        None if dialect == Dialect::Mcp => Id::NONE,
        None => return invalid(None, Fault::MissingId, false),
    };
    match (error.code, error.message) {
        (Some(code), Some(message)) if error.object => Message::ErrorResponse {
            id,
            code,
            message,
            data: error.data,
        },
        _ => invalid(Some(id), Fault::InvalidError, false),
    }
}

/// The id, absent where the message has none or none that can be read, and the fault of the
/// latter.
#[inline(always)]
fn judge_id(id: RawId, extent: (usize, usize)) -> (Option<Id>, Option<Fault>) {
    let value = match id {
        RawId::Absent => return (None, None),
        RawId::Other => return (None, Some(Fault::InvalidId)),
        RawId::Null => IdValue::Null,
        RawId::Integer(value) => IdValue::Integer(value),
        RawId::BigInteger => IdValue::BigInteger,
        RawId::Float(value) => IdValue::Float(value),
        RawId::Text(text) => IdValue::Text(text),
    };
    (Some(Id { value, extent }), None)
}

/// A string or an integer.
#[inline(always)]
fn mcp_id(id: &Id) -> bool {
    match id.value {
        IdValue::Null => false,
        IdValue::Float(value) => value.fract() == 0.0,
        IdValue::Integer(_) | IdValue::BigInteger | IdValue::Text(_) => true,
    }
}

#[cold]
#[inline(never)]
fn invalid<V>(id: Option<Id>, fault: Fault, echo: bool) -> Message<V> {
    Message::Invalid(Invalid {
        id: id.unwrap_or(Id::NONE),
        fault,
        echo,
    })
}
