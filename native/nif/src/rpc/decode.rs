//! `rpc_decode`: from bytes to a classified message.

use super::terms::Terms;
use crate::atoms;
use crate::boundary::inspect_binary;
use crate::json::build::{Builder, Room};
use crate::json::decode::{charge, vocabulary, work, Call};
use crate::schema::{check_text, Checked};
use json_core::rpc::{
    self, Dialect, Framing, Id, Member, Message, Name, Options, Params, Payload, Str,
};
use json_core::{Limits, Parser, Stop};
use rustler::sys::*;

text_nif!("rpc_decode", 3, texts: [0], decode);

pub struct Wanted {
    json: Call,
    pub envelope: Options,
    raw_params: bool,
    raw_result: bool,
    /// A map of schemas by the names of tools.
    schemas: Option<ErlNifTerm>,
}

impl Wanted {
    const RAW_PARAMS: u32 = 1;
    const RAW_RESULT: u32 = 2;
    const MCP: u32 = 4;

    /// The defaults, with the rules of MCP.
    pub fn mcp() -> Wanted {
        Wanted::by_flags(Self::MCP)
    }

    /// What the flags alone stand for: `erlmcp_native_rpc` has the same defaults.
    #[inline(always)]
    pub fn by_flags(flags: u32) -> Wanted {
        Wanted {
            json: Call::default(),
            envelope: Options {
                dialect: if flags & Self::MCP != 0 {
                    Dialect::Mcp
                } else {
                    Dialect::JsonRpc
                },
                limits: Limits {
                    depth: 512,
                    digits: 1000,
                    ..Limits::default()
                },
                batch: 1000,
            },
            raw_params: flags & Self::RAW_PARAMS != 0,
            raw_result: flags & Self::RAW_RESULT != 0,
            schemas: None,
        }
    }

    /// # Safety
    /// `env` must be the calling environment and `term` one of it.
    #[inline(always)]
    pub unsafe fn read(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Wanted> {
        let mut flags = 0;
        // SAFETY: the caller's promise.
        unsafe {
            if enif_get_uint(env, term, &mut flags) != 0 {
                return Some(Wanted::by_flags(flags));
            }
            Wanted::read_tuple(env, term)
        }
    }

    #[inline(never)]
    unsafe fn read_tuple(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Wanted> {
        let mut arity = 0;
        let mut elements = std::ptr::null();
        // SAFETY: the caller's promise; on success `elements` points to `arity` terms.
        unsafe {
            if enif_get_tuple(env, term, &mut arity, &mut elements) == 0 || arity != 4 {
                return None;
            }
            let [flags, batch, json, schemas] = *elements.cast::<[ErlNifTerm; 4]>();
            let (mut bits, mut most) = (0, 0);
            if enif_get_uint(env, flags, &mut bits) == 0
                || enif_get_int64(env, batch, &mut most) == 0
            {
                return None;
            }
            let mut wanted = Wanted::by_flags(bits);
            wanted.envelope.batch = usize::try_from(most).unwrap_or(usize::MAX);
            // The default limits of this door are not those of JSON alone.
            if json != atoms::default().as_c_arg() {
                wanted.json = Call::read(env, json)?;
                wanted.envelope.limits = wanted.json.limits;
            }
            wanted.schemas = (enif_is_map(env, schemas) != 0).then_some(schemas);
            Some(wanted)
        }
    }
}

/// `rpc_decode(Binary, Vocabulary, Flags | {Flags, MaxBatch, JsonOptions, Schemas})`, see
/// `erlmcp_native_rpc`. `None` asks for a dirty scheduler.
///
/// # Safety
/// `env` must be the calling environment and `args` those of `rpc_decode`.
unsafe fn decode(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    on_dirty: bool,
) -> Option<ErlNifTerm> {
    // SAFETY: the caller's promise.
    let (input, vocabulary, wanted) = unsafe {
        (
            inspect_binary(env, args[0]),
            vocabulary(env, args[1]),
            Wanted::read(env, args[2]),
        )
    };
    let (Some(input), Some(vocabulary), Some(mut wanted)) = (input, vocabulary, wanted) else {
        // SAFETY: as above.
        return Some(unsafe { enif_make_badarg(env) });
    };
    wanted.envelope.limits.work = work(on_dirty);
    let mut room = Room::new();
    let text = (args[0], input.len());
    let options = &wanted.json.options;
    // SAFETY: the caller's promise.
    let builder = unsafe { Builder::new(env, text, options, vocabulary, on_dirty, &mut room) };
    let mut values = Values {
        // SAFETY: as above.
        terms: unsafe { Terms::new(env, input, builder) },
        term: args[0],
        raw_params: wanted.raw_params,
        raw_result: wanted.raw_result,
        on_dirty,
        schemas: wanted.schemas,
        call: None,
        checked: false,
        no_schema: false,
        first: None,
        rest: Vec::new(),
    };
    let framing = rpc::read(input, &wanted.envelope, &mut values, |values, message| {
        let message = values.message(message);
        if values.first.is_none() {
            values.first = Some(message);
        } else {
            values.rest.push(message);
        }
    });
    charge(env, input.len());
    if values.no_schema && !values.terms.not_here() {
        // SAFETY: the caller's promise.
        return Some(unsafe { enif_make_badarg(env) });
    }
    let answer = match (framing, values.first) {
        (Ok(Framing::Single), Some(message)) => message,
        (Ok(_), first) => values.batch(first),
        (Err(failure), _) => values.terms.failure(&failure),
    };
    (!values.terms.not_here()).then_some(answer)
}

const INVALID_PARAMS: i64 = -32602;

/// Makes the values and the messages.
struct Values<'r, 'e> {
    terms: Terms<'r, 'e>,
    term: ErlNifTerm,
    raw_params: bool,
    raw_result: bool,
    on_dirty: bool,
    schemas: Option<ErlNifTerm>,
    /// What the parameters of the message at hand say of a tool, where there are schemas.
    call: Option<Box<Params>>,
    /// A schema was applied: one is what a normal scheduler has time for.
    checked: bool,
    /// What stands for a tool in the map is no schema.
    no_schema: bool,
    first: Option<ErlNifTerm>,
    rest: Vec<ErlNifTerm>,
}

impl Payload for Values<'_, '_> {
    type Value = ErlNifTerm;

    #[inline(never)]
    fn read(&mut self, parser: &mut Parser<'_>, member: Member) -> Result<ErlNifTerm, Stop> {
        let raw = match member {
            Member::Params => self.raw_params,
            Member::Result | Member::ErrorData => self.raw_result,
        };
        if member == Member::Params && self.schemas.is_some() {
            self.call = self.read_call(parser)?;
        }
        if raw {
            let extent = parser.skip_value()?;
            // SAFETY: the extent lies inside the input, which is a binary of `env`.
            return Ok(unsafe {
                enif_make_sub_binary(self.terms.env, self.term, extent.start, extent.len())
            });
        }
        parser.value(&mut self.terms.builder)?;
        self.terms.builder.take().ok_or(Stop)
    }
}

impl Values<'_, '_> {
    /// Walks over an object of parameters and goes back to its start.
    #[inline(never)]
    fn read_call(&self, parser: &mut Parser<'_>) -> Result<Option<Box<Params>>, Stop> {
        if parser.next_byte() != Some(b'{') {
            return Ok(None);
        }
        let start = parser.offset();
        let mut call = Box::<Params>::default();
        call.read(parser, Member::Params)?;
        parser.rewind(start);
        Ok(Some(call))
    }

    /// An invalid message in place of the call of a tool whose arguments do not fit. The door
    /// makes the reply.
    #[inline(never)]
    fn check(&mut self, call: &Params, id: &Id, method: &Str) -> Option<ErlNifTerm> {
        if method.bytes(self.terms.input) != b"tools/call" {
            return None;
        }
        let Name::Text(name) = &call.name else {
            return None;
        };
        let (env, name) = (self.terms.env, self.terms.string(name));
        let mut schema = ErlNifTerm::default();
        // SAFETY: the terms are of `env`, the calling environment.
        if unsafe { enif_get_map_value(env, self.schemas?, name, &mut schema) } == 0 {
            return None;
        }
        if self.checked && !self.on_dirty {
            self.terms.refused = true;
            return None;
        }
        self.checked = true;
        let arguments = match call.arguments {
            Some((start, end)) => &self.terms.input[start..end],
            None => b"{}",
        };
        // SAFETY: as above.
        match unsafe { check_text(env, schema, arguments, self.on_dirty) } {
            Checked::Fits => {}
            Checked::Fails(why) => {
                let tag = atoms::invalid_arguments().as_c_arg();
                let reason = self.terms.tuple(&[tag, why]);
                let id = self.terms.id(id);
                let no_reply = atoms::undefined().as_c_arg();
                return Some(
                    self.terms
                        .invalid_tuple(id, INVALID_PARAMS, reason, no_reply),
                );
            }
            Checked::NotHere => self.terms.refused = true,
            Checked::NoSchema => self.no_schema = true,
        }
        None
    }

    #[inline(always)]
    fn message(&mut self, message: Message<ErlNifTerm>) -> ErlNifTerm {
        let undefined = atoms::undefined().as_c_arg();
        // Also that of a message that turned out to be none.
        let call = self.call.take();
        match message {
            Message::Request { id, method, params } => {
                if let Some(invalid) = call.and_then(|call| self.check(&call, &id, &method)) {
                    return invalid;
                }
                let id = self.terms.id(&id);
                let method = self.terms.string(&method);
                let params = params.unwrap_or(undefined);
                self.terms
                    .tuple(&[atoms::request().as_c_arg(), id, method, params])
            }
            Message::Notification { method, params } => {
                let method = self.terms.string(&method);
                let params = params.unwrap_or(undefined);
                self.terms
                    .tuple(&[atoms::notification().as_c_arg(), method, params])
            }
            Message::Response { id, result } => {
                let id = self.terms.id(&id);
                self.terms
                    .tuple(&[atoms::response().as_c_arg(), id, result])
            }
            Message::ErrorResponse {
                id,
                code,
                message,
                data,
            } => {
                let id = self.terms.id(&id);
                let message = self.terms.string(&message);
                // SAFETY: `env` is the calling environment.
                let code = unsafe { enif_make_int64(self.terms.env, code) };
                let data = data.unwrap_or(undefined);
                self.terms
                    .tuple(&[atoms::error_response().as_c_arg(), id, code, message, data])
            }
            Message::Invalid(invalid) => self.terms.invalid(&invalid),
        }
    }

    fn batch(&mut self, first: Option<ErlNifTerm>) -> ErlNifTerm {
        // SAFETY: the terms are of `env`, the calling environment.
        let list = unsafe {
            let rest = enif_make_list_from_array(
                self.terms.env,
                self.rest.as_ptr(),
                self.rest.len() as u32,
            );
            first.map_or(rest, |first| {
                enif_make_list_cell(self.terms.env, first, rest)
            })
        };
        self.terms.tuple(&[atoms::batch().as_c_arg(), list])
    }
}
