//! Terms of what the envelope of a message has.

use crate::atoms;
use crate::json::build::{Builder, Refusal};
use crate::json::decode::reason;
use json_core::rpc::{
    error_reply, Failure, Fault, Id, IdValue, Invalid, RawId, Str, INVALID_REQUEST, PARSE_ERROR,
};
use json_core::{Reason, Sink, Text};
use rustler::sys::*;

pub struct Terms<'r, 'e> {
    pub env: *mut ErlNifEnv,
    pub input: &'r [u8],
    pub builder: Builder<'r, 'e>,
    /// An id could not be built here, or the text takes too much work.
    pub refused: bool,
    /// The reply to an invalid request without an id: all of a batch have the same.
    invalid_request: Option<ErlNifTerm>,
}

impl<'r, 'e> Terms<'r, 'e> {
    /// # Safety
    /// `env` must be the calling environment and outlive the value.
    pub unsafe fn new(env: *mut ErlNifEnv, input: &'r [u8], builder: Builder<'r, 'e>) -> Self {
        Terms {
            env,
            input,
            builder,
            refused: false,
            invalid_request: None,
        }
    }

    /// Whether something asks for a dirty scheduler.
    pub fn not_here(&self) -> bool {
        self.refused || matches!(self.builder.refusal, Some(Refusal::NotHere))
    }

    #[inline(always)]
    pub fn tuple(&self, terms: &[ErlNifTerm]) -> ErlNifTerm {
        // SAFETY: the terms are of `env`, the calling environment.
        unsafe { enif_make_tuple_from_array(self.env, terms.as_ptr(), terms.len() as u32) }
    }

    #[inline(always)]
    pub fn string(&mut self, text: &Str) -> ErlNifTerm {
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
    pub fn id(&mut self, id: &Id) -> ErlNifTerm {
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

    /// A progress token: a string or a number.
    pub fn raw_id(&mut self, id: &RawId, extent: (usize, usize)) -> Option<ErlNifTerm> {
        let value = match id {
            RawId::Absent | RawId::Null | RawId::Other => return None,
            RawId::Integer(value) => IdValue::Integer(*value),
            RawId::BigInteger => IdValue::BigInteger,
            RawId::Float(value) => IdValue::Float(*value),
            RawId::Text(text) => IdValue::Text(text.clone()),
        };
        Some(self.id(&Id { value, extent }))
    }

    /// `{Tag, <<"text">>}`
    pub fn tagged(&self, tag: rustler::Atom, text: &str) -> ErlNifTerm {
        // SAFETY: `env` is the calling environment.
        let text = unsafe { binary(self.env, text.as_bytes()) };
        self.tuple(&[tag.as_c_arg(), text])
    }

    #[inline(always)]
    fn built(&mut self) -> ErlNifTerm {
        self.builder
            .take()
            .unwrap_or_else(|| atoms::null().as_c_arg())
    }

    #[cold]
    #[inline(never)]
    pub fn invalid(&mut self, invalid: &Invalid) -> ErlNifTerm {
        let id = self.id(&invalid.id);
        let written = invalid.id.written(self.input);
        let reply = if invalid.echo && written != b"null" {
            self.reply(written, INVALID_REQUEST)
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

    pub fn invalid_tuple(
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

    pub fn reply(&self, id: &[u8], error: (i64, &str)) -> ErlNifTerm {
        // SAFETY: `env` is the calling environment.
        unsafe { binary(self.env, &error_reply(id, error, None)) }
    }

    #[cold]
    #[inline(never)]
    pub fn failure(&mut self, failure: &Failure) -> ErlNifTerm {
        let out_of_work =
            matches!(failure, Failure::Text(error) if error.reason == Reason::WorkLimit);
        self.refused = out_of_work || self.not_here();
        let refusal = self.builder.refusal.take();
        // SAFETY: `env` is the calling environment.
        let (error, reason) = unsafe { failure_reason(self.env, failure, refusal) };
        let reply = self.reply(b"null", error);
        self.invalid_tuple(atoms::null().as_c_arg(), error.0, reason, reply)
    }
}

/// # Safety
/// `env` must be the calling environment.
unsafe fn failure_reason(
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

fn fault(fault: Fault) -> rustler::Atom {
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
unsafe fn binary(env: *mut ErlNifEnv, bytes: &[u8]) -> ErlNifTerm {
    let mut term = ErlNifTerm::default();
    // SAFETY: the new binary has as many bytes as are copied.
    unsafe {
        let place: *mut u8 = enif_make_new_binary(env, bytes.len(), &mut term).cast();
        place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
    }
    term
}
