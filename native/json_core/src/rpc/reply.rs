//! The replies that refuse a message.

/// What is wrong with a message that is JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    NotAnObject,
    MissingVersion,
    WrongVersion,
    InvalidId,
    MissingId,
    InvalidMethod,
    InvalidParams,
    InvalidResult,
    InvalidError,
    ResultAndError,
    RequestAndResponse,
    /// Neither method nor result nor error.
    UnknownMessage,
}

pub const PARSE_ERROR: (i64, &str) = (-32700, "Parse error");
pub const INVALID_REQUEST: (i64, &str) = (-32600, "Invalid Request");

/// An error response. `id` and `data` are JSON texts, `message` needs no escapes.
pub fn error_reply(id: &[u8], (code, message): (i64, &str), data: Option<&[u8]>) -> Vec<u8> {
    let mut reply = Vec::with_capacity(80 + id.len() + message.len() + data.map_or(0, <[u8]>::len));
    reply.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":");
    reply.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
    reply.extend_from_slice(b",\"message\":\"");
    reply.extend_from_slice(message.as_bytes());
    reply.push(b'"');
    if let Some(data) = data {
        reply.extend_from_slice(b",\"data\":");
        reply.extend_from_slice(data);
    }
    reply.extend_from_slice(b"},\"id\":");
    reply.extend_from_slice(id);
    reply.push(b'}');
    reply
}
