//! JSON-RPC 2.0, with what MCP narrows: a text is read once into classified messages.

mod classify;
mod envelope;
mod headers;
mod peek;
mod reply;

pub use classify::{read, Failure, Framing, Id, IdValue, Invalid, Message, Options};
pub use envelope::{Member, Name, Payload, RawId, Str};
pub use headers::{check_headers, Checked, Field, Header, HeaderFault, Headers};
pub use peek::{peek, Params, Peek, Target};
pub use reply::{error_reply, Fault, INVALID_REQUEST, PARSE_ERROR};

/// Whose rules apply where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    JsonRpc,
    /// Ids are strings or integers, params and results objects; an error response may lack an id.
    Mcp,
}
