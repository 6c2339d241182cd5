//! `rpc_decode`: from bytes to a classified message.

use crate::atoms;
use crate::json::build::{Builder, Refusal};
use crate::json::decode::{
    charge, inspect_binary, reason, schedule_dirty, vocabulary, Call, DIRTY_BYTES,
};
use json_core::rpc::{
    self, error_reply, Dialect, Failure, Fault, Framing, Id, IdValue, Invalid, Member, Message,
    Options, Payload, Str, INVALID_REQUEST, PARSE_ERROR,
};
use json_core::{Limits, Parser, Sink, Stop, Text};
use rustler::sys::*;

/// `rpc_decode(Binary, Vocabulary, Flags | {Flags, MaxBatch, JsonOptions})`, see
/// `erlmcp_native_rpc`.
unsafe fn rpc_decode(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(input) = inspect_binary(env, args[0]) else {
            return enif_make_badarg(env);
        };
        if input.len() <= DIRTY_BYTES {
            if let Some(answer) = decode(env, args, input, false) {
                return answer;
            }
        }
        schedule_dirty(env, c"rpc_decode", rpc_decode_dirty, args)
    }
}
nif!("rpc_decode", 3, Normal, rpc_decode);

unsafe extern "C" fn rpc_decode_dirty(
    env: *mut ErlNifEnv,
    _argc: i32,
    argv: *const ErlNifTerm,
) -> ErlNifTerm {
    // SAFETY: scheduled by `rpc_decode` with its own three arguments.
    crate::boundary::guarded(env, || unsafe {
        let args = &*argv.cast::<[ErlNifTerm; 3]>();
        inspect_binary(env, args[0])
            .and_then(|input| decode(env, args, input, true))
            .unwrap_or_else(|| enif_make_badarg(env))
    })
}

pub struct Wanted {
    json: Call,
    pub envelope: Options,
    raw_params: bool,
    raw_result: bool,
}

impl Wanted {
    const RAW_PARAMS: u32 = 1;
    const RAW_RESULT: u32 = 2;
    const MCP: u32 = 4;

    /// What the flags alone stand for: `erlmcp_native_rpc` has the same defaults.
    #[inline(always)]
    fn by_flags(flags: u32) -> Wanted {
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
                },
                batch: 1000,
            },
            raw_params: flags & Self::RAW_PARAMS != 0,
            raw_result: flags & Self::RAW_RESULT != 0,
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
            if enif_get_tuple(env, term, &mut arity, &mut elements) == 0 || arity != 3 {
                return None;
            }
            let [flags, batch, json] = *elements.cast::<[ErlNifTerm; 3]>();
            let (mut bits, mut most) = (0, 0);
            if enif_get_uint(env, flags, &mut bits) == 0
                || enif_get_int64(env, batch, &mut most) == 0
            {
                return None;
            }
            let json = Call::read(env, json)?;
            let mut wanted = Wanted::by_flags(bits);
            wanted.envelope.limits = json.limits;
            wanted.envelope.batch = usize::try_from(most).unwrap_or(usize::MAX);
            wanted.json = json;
            Some(wanted)
        }
    }
}

/// Decodes one text. `None` asks for a dirty scheduler.
///
/// # Safety
/// `env` must be the calling environment, `args` those of `rpc_decode`, and `input` the bytes of
/// the first.
#[inline(always)]
unsafe fn decode(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    input: &[u8],
    on_dirty: bool,
) -> Option<ErlNifTerm> {
    // SAFETY: the caller's promise.
    let (vocabulary, wanted) = unsafe { (vocabulary(env, args[1]), Wanted::read(env, args[2])) };
    let (Some(vocabulary), Some(wanted)) = (vocabulary, wanted) else {
        // SAFETY: as above.
        return Some(unsafe { enif_make_badarg(env) });
    };
    // SAFETY: the caller's promise.
    let builder = unsafe {
        Builder::new(
            env,
            args[0],
            input.len(),
            &wanted.json.options,
            vocabulary,
            on_dirty,
        )
    };
    let mut terms = Terms {
        env,
        term: args[0],
        input,
        builder,
        raw_params: wanted.raw_params,
        raw_result: wanted.raw_result,
        refused: false,
        invalid_request: None,
        single: None,
        rest: Vec::new(),
    };
    let framing = rpc::read(input, &wanted.envelope, &mut terms, |terms, message| {
        let message = terms.message(message);
        if terms.single.is_none() {
            terms.single = Some(message);
        } else {
            terms.rest.push(message);
        }
    });
    charge(env, input.len());
    if terms.refused || matches!(terms.builder.refusal, Some(Refusal::NotHere)) {
        return None;
    }
    Some(match (framing, terms.single) {
        (Ok(Framing::Single), Some(message)) => message,
        (Ok(_), first) => terms.batch(first),
        (Err(failure), _) => terms.failure(&failure),
    })
}

/// Makes the terms.
struct Terms<'e> {
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
    input: &'e [u8],
    builder: Builder<'e>,
    raw_params: bool,
    raw_result: bool,
    /// An id could not be built here.
    refused: bool,
    /// The reply to an invalid request without an id: all of a batch have the same.
    invalid_request: Option<ErlNifTerm>,
    single: Option<ErlNifTerm>,
    rest: Vec<ErlNifTerm>,
}

impl Payload for Terms<'_> {
    type Value = ErlNifTerm;

    #[inline(never)]
    fn read(&mut self, parser: &mut Parser<'_>, member: Member) -> Result<ErlNifTerm, Stop> {
        let raw = match member {
            Member::Params => self.raw_params,
            Member::Result | Member::ErrorData => self.raw_result,
        };
        if raw {
            let extent = parser.skip_value()?;
            // SAFETY: the extent lies inside the input, which is a binary of `env`.
            return Ok(unsafe {
                enif_make_sub_binary(self.env, self.term, extent.start, extent.len())
            });
        }
        parser.value(&mut self.builder)?;
        self.builder.take().ok_or(Stop)
    }
}

impl Terms<'_> {
    #[inline(always)]
    fn message(&mut self, message: Message<ErlNifTerm>) -> ErlNifTerm {
        let undefined = atoms::undefined().as_c_arg();
        match message {
            Message::Request { id, method, params } => {
                let id = self.id(&id);
                let method = self.string(&method);
                let params = params.unwrap_or(undefined);
                self.tuple(&[atoms::request().as_c_arg(), id, method, params])
            }
            Message::Notification { method, params } => {
                let method = self.string(&method);
                let params = params.unwrap_or(undefined);
                self.tuple(&[atoms::notification().as_c_arg(), method, params])
            }
            Message::Response { id, result } => {
                let id = self.id(&id);
                self.tuple(&[atoms::response().as_c_arg(), id, result])
            }
            Message::ErrorResponse {
                id,
                code,
                message,
                data,
            } => {
                let id = self.id(&id);
                let message = self.string(&message);
                // SAFETY: `env` is the calling environment.
                let code = unsafe { enif_make_int64(self.env, code) };
                let data = data.unwrap_or(undefined);
                self.tuple(&[atoms::error_response().as_c_arg(), id, code, message, data])
            }
            Message::Invalid(invalid) => self.invalid(&invalid),
        }
    }

    #[inline(always)]
    fn tuple(&self, terms: &[ErlNifTerm]) -> ErlNifTerm {
        // SAFETY: the terms are of `env`, the calling environment.
        unsafe { enif_make_tuple_from_array(self.env, terms.as_ptr(), terms.len() as u32) }
    }

    #[inline(always)]
    fn string(&mut self, text: &Str) -> ErlNifTerm {
        self.builder.string(match text {
            Str::Verbatim { start, end } => Text::Verbatim {
                bytes: &self.input[*start..*end],
                offset: *start,
            },
            Str::Unescaped(bytes) => Text::Unescaped(bytes),
        });
        self.built()
    }

    #[inline(always)]
    fn id(&mut self, id: &Id) -> ErlNifTerm {
        match &id.value {
            IdValue::Integer(value) => self.builder.integer(*value),
            IdValue::Text(text) => return self.string(text),
            // Not the null of the options: an id's null has a meaning of its own.
            IdValue::Null => return atoms::null().as_c_arg(),
            IdValue::Float(value) => self.builder.float(*value),
            IdValue::BigInteger => {
                let digits = &self.input[id.extent.0..id.extent.1];
                if self.builder.big_integer(digits).is_err() {
                    self.refused = true;
                    return atoms::null().as_c_arg();
                }
            }
        }
        self.built()
    }

    #[inline(always)]
    fn built(&mut self) -> ErlNifTerm {
        self.builder
            .take()
            .unwrap_or_else(|| atoms::null().as_c_arg())
    }

    #[cold]
    #[inline(never)]
    fn invalid(&mut self, invalid: &Invalid) -> ErlNifTerm {
        let id = self.id(&invalid.id);
        let (start, end) = invalid.id.extent;
        let reply = if invalid.echo && end > start {
            self.reply(&self.input[start..end], INVALID_REQUEST)
        } else if let Some(reply) = self.invalid_request {
            reply
        } else {
            let reply = self.reply(b"null", INVALID_REQUEST);
            self.invalid_request = Some(reply);
            reply
        };
        let reason = fault(invalid.fault).as_c_arg();
        self.invalid_tuple(id, INVALID_REQUEST.0, reason, reply)
    }

    fn invalid_tuple(
        &self,
        id: ErlNifTerm,
        code: i64,
        reason: ErlNifTerm,
        reply: ErlNifTerm,
    ) -> ErlNifTerm {
        // SAFETY: `env` is the calling environment.
        let code = unsafe { enif_make_int64(self.env, code) };
        self.tuple(&[atoms::invalid().as_c_arg(), id, code, reason, reply])
    }

    fn reply(&self, id: &[u8], error: (i64, &str)) -> ErlNifTerm {
        // SAFETY: `env` is the calling environment.
        unsafe { binary(self.env, &error_reply(id, error, None)) }
    }

    fn batch(&mut self, first: Option<ErlNifTerm>) -> ErlNifTerm {
        // SAFETY: the terms are of `env`, the calling environment.
        let list = unsafe {
            let rest =
                enif_make_list_from_array(self.env, self.rest.as_ptr(), self.rest.len() as u32);
            first.map_or(rest, |first| enif_make_list_cell(self.env, first, rest))
        };
        self.tuple(&[atoms::batch().as_c_arg(), list])
    }

    #[cold]
    #[inline(never)]
    fn failure(&mut self, failure: &Failure) -> ErlNifTerm {
        let refusal = self.builder.refusal.take();
        // SAFETY: `env` is the calling environment.
        let (error, reason) = unsafe { failure_reason(self.env, failure, refusal) };
        let reply = self.reply(b"null", error);
        self.invalid_tuple(atoms::null().as_c_arg(), error.0, reason, reply)
    }
}

/// # Safety
/// `env` must be the calling environment.
pub unsafe fn failure_reason(
    env: *mut ErlNifEnv,
    failure: &Failure,
    refusal: Option<Refusal>,
) -> ((i64, &'static str), ErlNifTerm) {
    match failure {
        Failure::EmptyBatch => (INVALID_REQUEST, atoms::empty_batch().as_c_arg()),
        Failure::BatchLimit => (INVALID_REQUEST, atoms::max_batch().as_c_arg()),
        Failure::Text(error) => {
            // SAFETY: the caller's promise.
            let reason = unsafe {
                let parts = [
                    atoms::parse_error().as_c_arg(),
                    reason(env, error, refusal),
                    enif_make_uint64(env, error.offset as u64),
                ];
                enif_make_tuple_from_array(env, parts.as_ptr(), 3)
            };
            (PARSE_ERROR, reason)
        }
    }
}

pub fn fault(fault: Fault) -> rustler::Atom {
    match fault {
        Fault::NotAnObject => atoms::not_an_object(),
        Fault::MissingVersion => atoms::missing_jsonrpc(),
        Fault::WrongVersion => atoms::wrong_version(),
        Fault::InvalidId => atoms::invalid_id(),
        Fault::MissingId => atoms::missing_id(),
        Fault::InvalidMethod => atoms::invalid_method(),
        Fault::InvalidParams => atoms::invalid_params(),
        Fault::InvalidResult => atoms::invalid_result(),
        Fault::InvalidError => atoms::invalid_error(),
        Fault::ResultAndError => atoms::result_and_error(),
        Fault::RequestAndResponse => atoms::request_and_response(),
        Fault::UnknownMessage => atoms::unknown_message(),
    }
}

/// A binary that is a copy of the bytes.
///
/// # Safety
/// `env` must be the calling environment.
pub unsafe fn binary(env: *mut ErlNifEnv, bytes: &[u8]) -> ErlNifTerm {
    let mut term = ErlNifTerm::default();
    // SAFETY: the new binary has as many bytes as are copied.
    unsafe {
        let place: *mut u8 = enif_make_new_binary(env, bytes.len(), &mut term).cast();
        place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
    }
    term
}
