//! MCP 2026-07-28 repeats parts of a body in HTTP headers; a server must refuse a body that says
//! something else.

use super::classify::{Failure, Id, Invalid, Message, Options};
use super::envelope::Name;
use super::peek::{self, Params, Target};

/// A header of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header<'a> {
    Absent,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Header<'a> {
    pub fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Header::Absent => Header::Once(value),
            _ => Header::Repeated,
        };
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    /// `Mcp-Method`
    pub method: Header<'a>,
    /// `Mcp-Name`
    pub name: Header<'a>,
    /// `MCP-Protocol-Version`
    pub protocol_version: Header<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Method,
    Name,
    ProtocolVersion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    Missing,
    Repeated,
    /// Bytes that no header value may have, or base64 that is none.
    Malformed,
    Mismatch,
}

#[derive(Debug, PartialEq)]
pub enum Checked {
    Agree,
    Disagree {
        id: Id,
        field: Field,
        fault: HeaderFault,
    },
    /// A response or a batch: nothing that a client may post.
    NotARequest,
    Invalid(Invalid),
}

/// Compares the headers with the body. `Mcp-Method` must be there for every request, `Mcp-Name`
/// for the three methods that name something. `MCP-Protocol-Version` is compared where both the
/// header and `params._meta` have a version: whether it must be there depends on the revisions
/// that the server speaks.
pub fn check_headers(
    headers: &Headers,
    body: &[u8],
    options: &Options,
) -> Result<Checked, Failure> {
    let peek = peek::peek(body, options)?;
    let (id, fault) = match peek.message {
        Some(Message::Request { id, method, .. }) => {
            let method = method.bytes(body);
            (id, request(headers, body, method, &peek.params))
        }
        Some(Message::Notification { method, .. }) => {
            let fault = match headers.method {
                Header::Absent => Ok(()),
                header => equal(header, method.bytes(body), Plain),
            };
            (Id::NONE, fault.map_err(|fault| (Field::Method, fault)))
        }
        Some(Message::Invalid(invalid)) => return Ok(Checked::Invalid(invalid)),
        _ => return Ok(Checked::NotARequest),
    };
    Ok(match fault {
        Ok(()) => Checked::Agree,
        Err((field, fault)) => Checked::Disagree { id, field, fault },
    })
}

use Coding::{Plain, Sentinel};

/// Whether a value may come as `=?base64?...?=`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    Sentinel,
}

fn request(
    headers: &Headers,
    body: &[u8],
    method: &[u8],
    params: &Params,
) -> Result<(), (Field, HeaderFault)> {
    if let (header @ (Header::Once(_) | Header::Repeated), Name::Text(version)) =
        (headers.protocol_version, &params.protocol_version)
    {
        equal(header, version.bytes(body), Plain)
            .map_err(|fault| (Field::ProtocolVersion, fault))?;
    }
    equal(headers.method, method, Plain).map_err(|fault| (Field::Method, fault))?;
    let target = match method {
        b"tools/call" => Target::Tool,
        b"prompts/get" => Target::Prompt,
        b"resources/read" => Target::Resource,
        _ => return Ok(()),
    };
    match (params.target(target), headers.name) {
        (Name::Text(name), header) => equal(header, name.bytes(body), Sentinel),
        (_, Header::Absent) => Err(HeaderFault::Missing),
        (_, Header::Repeated) => Err(HeaderFault::Repeated),
        (_, Header::Once(_)) => Err(HeaderFault::Mismatch),
    }
    .map_err(|fault| (Field::Name, fault))
}

fn equal(header: Header, expected: &[u8], coding: Coding) -> Result<(), HeaderFault> {
    let value = match header {
        Header::Absent => return Err(HeaderFault::Missing),
        Header::Repeated => return Err(HeaderFault::Repeated),
        Header::Once(value) => value,
    };
    if !value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        return Err(HeaderFault::Malformed);
    }
    // The white space around a field's value is no part of it.
    let value = value.trim_ascii();
    let same = match value
        .strip_prefix(b"=?base64?")
        .and_then(|rest| rest.strip_suffix(b"?="))
    {
        Some(encoded) if coding == Sentinel => {
            base64(encoded).ok_or(HeaderFault::Malformed)? == expected
        }
        _ => value == expected,
    };
    if same {
        Ok(())
    } else {
        Err(HeaderFault::Mismatch)
    }
}

/// Decodes base64 with its padding; no other form is accepted.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] => digits,
        digits => digits,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.chunks(4) {
        let mut bits = 0u32;
        for &digit in group {
            bits = bits << 6 | u32::from(sextet(digit)?);
        }
        // What is left of 6, 12, 18 or 24 bits beyond whole bytes must be zero.
        let whole = group.len() * 6 / 8;
        let spare = group.len() * 6 - whole * 8;
        if group.len() == 1 || bits & ((1 << spare) - 1) != 0 {
            return None;
        }
        bytes.extend_from_slice(&(bits >> spare).to_be_bytes()[4 - whole..]);
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}
