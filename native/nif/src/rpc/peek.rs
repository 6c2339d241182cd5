//! `rpc_peek` and `rpc_headers_match`: what needs no values.

use super::decode::Wanted;
use super::terms::Terms;
use crate::atoms;
use crate::boundary::inspect_binary;
use crate::json::build::{Builder, Options, Room};
use crate::json::decode::{charge, vocabulary, work};
use json_core::rpc::{
    self, Checked, Field, Header, HeaderFault, Headers, Message, Name, Str, Target, INVALID_REQUEST,
};
use rustler::sys::*;

text_nif!("rpc_peek", 2, texts: [0], peek);
text_nif!("rpc_headers_match", 5, texts: [0, 2, 3, 4], headers_match);

/// What makes terms of the parts of `text`.
unsafe fn terms<'r, 'e>(
    env: *mut ErlNifEnv,
    text: ErlNifTerm,
    words: ErlNifTerm,
    options: &'r Options,
    on_dirty: bool,
    room: &'r mut Room<'e>,
) -> Option<Terms<'r, 'e>> {
    // SAFETY: the caller's promise.
    unsafe {
        let input = inspect_binary(env, text)?;
        let words = vocabulary(env, words)?;
        let builder = Builder::new(env, (text, input.len()), options, words, on_dirty, room);
        Some(Terms::new(env, input, builder))
    }
}

/// `rpc_peek(Binary, Vocabulary)`: a map, or the tuple of an invalid message.
///
/// # Safety
/// `env` must be the calling environment and `args` terms of it.
unsafe fn peek(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2], on_dirty: bool) -> Option<ErlNifTerm> {
    let options = Options::default();
    let mut room = Room::new();
    // SAFETY: the caller's promise.
    let terms = unsafe { terms(env, args[0], args[1], &options, on_dirty, &mut room) };
    let Some(mut terms) = terms else {
        // SAFETY: as above.
        return Some(unsafe { enif_make_badarg(env) });
    };
    charge(env, terms.input.len());
    let mut envelope = Wanted::by_flags(0).envelope;
    envelope.limits.work = work(on_dirty);
    let answer = match rpc::peek(terms.input, &envelope) {
        Ok(peek) => route(&mut terms, &peek),
        Err(failure) => terms.failure(&failure),
    };
    (!terms.not_here()).then_some(answer)
}

/// A map with at most one of each key.
#[derive(Default)]
struct Route {
    keys: [ErlNifTerm; 6],
    values: [ErlNifTerm; 6],
    size: usize,
}

impl Route {
    fn put(&mut self, key: rustler::Atom, value: ErlNifTerm) {
        self.keys[self.size] = key.as_c_arg();
        self.values[self.size] = value;
        self.size += 1;
    }
}

fn route(terms: &mut Terms, peek: &rpc::Peek) -> ErlNifTerm {
    let mut route = Route::default();
    let (kind, id, method) = match &peek.message {
        None => (atoms::batch(), None, None),
        Some(Message::Request { id, method, .. }) => (atoms::request(), Some(id), Some(method)),
        Some(Message::Notification { method, .. }) => (atoms::notification(), None, Some(method)),
        Some(Message::Response { id, .. }) => (atoms::response(), Some(id), None),
        Some(Message::ErrorResponse { id, .. }) => (atoms::error_response(), Some(id), None),
        Some(Message::Invalid(invalid)) => return terms.invalid(invalid),
    };
    route.put(atoms::kind(), kind.as_c_arg());
    if let Some(id) = id {
        route.put(atoms::id(), terms.id(id));
    }
    if let Some(method) = method {
        route.put(atoms::method(), terms.string(method));
        about(terms, &mut route, method, &peek.params);
    }
    let mut map = ErlNifTerm::default();
    // SAFETY: the terms are of the calling environment, the keys distinct and at most 32.
    unsafe {
        enif_make_map_from_arrays(
            terms.env,
            route.keys.as_ptr(),
            route.values.as_ptr(),
            route.size,
            &mut map,
        );
    }
    map
}

/// What the parameters say of where a message belongs.
fn about(terms: &mut Terms, route: &mut Route, method: &Str, params: &rpc::Params) {
    let method = method.bytes(terms.input);
    if let Some(target) = Target::of(method) {
        if let Name::Text(name) = params.target(target) {
            let key = match target {
                Target::Tool => atoms::tool(),
                Target::Prompt => atoms::name(),
                Target::Resource => atoms::uri(),
            };
            route.put(key, terms.string(name));
        }
    }
    if let Some((token, extent)) = params.progress_token(method) {
        if let Some(token) = terms.raw_id(token, *extent) {
            route.put(atoms::progress_token(), token);
        }
    }
}

/// `rpc_headers_match(Binary, Vocabulary, Method, Name, ProtocolVersion)`, where a header is a
/// binary, `undefined` or `repeated`: `ok`, or the tuple of an invalid message.
///
/// # Safety
/// `env` must be the calling environment and `args` terms of it.
unsafe fn headers_match(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 5],
    on_dirty: bool,
) -> Option<ErlNifTerm> {
    let [text, words, method, name, protocol_version] = *args;
    let options = Options::default();
    let mut room = Room::new();
    // SAFETY: the caller's promise.
    let (terms, headers) = unsafe {
        let headers = header(env, method)
            .zip(header(env, name))
            .zip(header(env, protocol_version));
        (
            terms(env, text, words, &options, on_dirty, &mut room),
            headers,
        )
    };
    let (Some(mut terms), Some(((method, name), protocol_version))) = (terms, headers) else {
        // SAFETY: as above.
        return Some(unsafe { enif_make_badarg(env) });
    };
    let headers = Headers {
        method,
        name,
        protocol_version,
    };
    charge(env, terms.input.len());
    let mut envelope = Wanted::mcp().envelope;
    envelope.limits.work = work(on_dirty);
    let answer = match rpc::check_headers(&headers, terms.input, &envelope) {
        Ok(Checked::Agree) => atoms::ok().as_c_arg(),
        Ok(Checked::Disagree { id, field, fault }) => {
            let (header, reason, message) = mismatch(field, fault);
            let id_term = terms.id(&id);
            let reason = terms.tagged(reason, header);
            let reply = terms.reply(id.written(terms.input), (HEADER_MISMATCH, &message));
            terms.invalid_tuple(id_term, HEADER_MISMATCH, reason, reply)
        }
        Ok(Checked::NotARequest) => {
            let null = atoms::null().as_c_arg();
            let reply = terms.reply(b"null", INVALID_REQUEST);
            let reason = atoms::not_a_request().as_c_arg();
            terms.invalid_tuple(null, INVALID_REQUEST.0, reason, reply)
        }
        Ok(Checked::Invalid(invalid)) => terms.invalid(&invalid),
        Err(failure) => terms.failure(&failure),
    };
    (!terms.not_here()).then_some(answer)
}

const HEADER_MISMATCH: i64 = -32020;

/// # Safety
/// `env` must be the calling environment and `term` one of it.
unsafe fn header<'e>(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Header<'e>> {
    if term == atoms::undefined().as_c_arg() {
        Some(Header::Absent)
    } else if term == atoms::repeated().as_c_arg() {
        Some(Header::Repeated)
    } else {
        // SAFETY: the caller's promise.
        unsafe { inspect_binary(env, term) }.map(Header::Once)
    }
}

/// The header, the reason and the message of the error.
#[cold]
fn mismatch(field: Field, fault: HeaderFault) -> (&'static str, rustler::Atom, String) {
    let header = match field {
        Field::Method => "Mcp-Method",
        Field::Name => "Mcp-Name",
        Field::ProtocolVersion => "MCP-Protocol-Version",
    };
    let (reason, what) = match fault {
        HeaderFault::Missing => (atoms::missing_header(), "is missing"),
        HeaderFault::Repeated => (atoms::repeated_header(), "is repeated"),
        HeaderFault::Malformed => (atoms::malformed_header(), "has a malformed value"),
        HeaderFault::Mismatch => (
            atoms::mismatched_header(),
            "header value does not match body value",
        ),
    };
    (header, reason, format!("Header mismatch: {header} {what}"))
}
