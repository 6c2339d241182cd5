//! `erlmcp_native_schema`.

mod term;

use bumpalo::Bump;
use rustler::codegen_runtime::c_int;
use rustler::sys::*;
use rustler::{Atom, Encoder, Env, NifResult, Resource, ResourceArc, Term};
use schema_core::bytes::{read, ReadError};
use schema_core::instance::{BuildError, Builder, Instance};
use schema_core::{compile, CompileError, Document, Limits, Options, Schema, Stop, Violation};
use std::mem::MaybeUninit;
use term::{Reader, TermError};

mod atoms {
    rustler::atoms! {
        ok, error,
        true_ = "true", false_ = "false", null,
        auto, draft4, draft6, draft7, draft2019_09, draft2020_12,
        term, large,
        instance_path, schema_path, keyword, message,
        invalid_json, invalid_utf8, unsupported_type, too_deep, too_large, too_complex,
        invalid_schema, unresolved_reference, no_thread,
        steps, stack, schema,
    }
}

/// A normal scheduler's share: these take well under 1 ms.
const NORMAL: Share = Share {
    nodes: 4_000,
    text: 128 << 10,
    big: 128 << 10,
    limits: Limits {
        steps: 30_000,
        stack: Some(128 << 10),
    },
};

/// A dirty scheduler's: about a second at most.
const DIRTY: Share = Share {
    nodes: 8_000_000,
    text: usize::MAX,
    big: usize::MAX,
    limits: Limits {
        steps: 40_000_000,
        stack: None,
    },
};

/// Steps that take about a hundredth of a scheduler's time slice of 1 ms.
const STEPS_PER_PERCENT: u64 = 1_000;

/// Bytes that hold the arguments of most calls, in one allocation.
const TYPICAL_INSTANCE: usize = 1500;

struct Share {
    nodes: usize,
    text: usize,
    /// Work on integers beyond 64 bits, see [`term::Reader`].
    big: usize,
    limits: Limits,
}

/// What `erlmcp_native_schema:compile/2` gives. Another part decodes it from a term as
/// `ResourceArc<SchemaResource>`.
pub struct SchemaResource {
    schema: Schema,
    max_depth: usize,
}

#[rustler::resource_impl]
impl Resource for SchemaResource {
    fn destructor(self, _env: Env<'_>) {
        self.schema.release();
    }
}

/// Why an instance cannot be checked.
enum Refusal {
    Term(TermError),
    Json(ReadError),
    Stop(Stop),
}

/// What `validate_source` has found.
enum Outcome {
    Fits,
    Violations(Vec<Violation>),
    Refused(Refusal),
    /// More than the share allows.
    TooMuch,
}

/// The JSON that an argument holds: a binary is text, `{term, T}` and all else a decoded term.
enum Source<'a> {
    Text(&'a [u8]),
    Term(ErlNifTerm),
}

impl<'a> Source<'a> {
    /// # Safety
    /// `env` must be the calling environment and outlive `'a`, `argument` a term of it.
    unsafe fn of(env: *mut ErlNifEnv, argument: ErlNifTerm) -> Self {
        // SAFETY: the caller's promise; the bytes live as long as the argument.
        unsafe {
            let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
            if enif_inspect_binary(env, argument, binary.as_mut_ptr()) != 0 {
                let binary = binary.assume_init();
                return Source::Text(match binary.size {
                    0 => &[],
                    size => std::slice::from_raw_parts(binary.data, size),
                });
            }
            let (mut arity, mut elements) = (0 as c_int, std::ptr::null());
            if enif_get_tuple(env, argument, &mut arity, &mut elements) != 0
                && arity == 2
                && *elements == atoms::term().as_c_arg()
            {
                return Source::Term(*elements.add(1));
            }
            Source::Term(argument)
        }
    }

    /// # Safety
    /// As for `of`, with the same `env`.
    unsafe fn build(
        &self,
        env: *mut ErlNifEnv,
        arena: &'a Bump,
        max_depth: usize,
        share: &Share,
    ) -> Result<Instance<'a>, Refusal> {
        let mut builder = Builder::new(arena, max_depth, share.nodes);
        match self {
            Source::Text(json) if json.len() > share.text => {
                return Err(Refusal::Term(TermError::TooMuchText))
            }
            Source::Text(json) => read(json, &mut builder).map_err(Refusal::Json)?,
            Source::Term(term) => {
                let atoms = term::Atoms {
                    true_: atoms::true_().as_c_arg(),
                    false_: atoms::false_().as_c_arg(),
                    null: atoms::null().as_c_arg(),
                };
                // SAFETY: the caller's promise.
                unsafe { Reader::new(env, atoms, &mut builder, share.text, share.big).read(*term) }
                    .map_err(Refusal::Term)?
            }
        }
        Ok(builder.finish())
    }
}

impl SchemaResource {
    /// # Safety
    /// As for [`Source::of`]; `source` must come from there.
    unsafe fn check(
        &self,
        env: *mut ErlNifEnv,
        source: &Source,
        explain: bool,
        share: &Share,
    ) -> Outcome {
        if share.limits.stack.is_some() && self.schema.is_heavy() {
            return Outcome::TooMuch;
        }
        let arena = Bump::with_capacity(TYPICAL_INSTANCE);
        // SAFETY: the caller's promise.
        let instance = match unsafe { source.build(env, &arena, self.max_depth, share) } {
            Ok(instance) => instance,
            Err(Refusal::Term(
                TermError::TooMuchText | TermError::Build(BuildError::TooManyNodes),
            ))
            | Err(Refusal::Json(ReadError::Build(BuildError::TooManyNodes))) => {
                return Outcome::TooMuch
            }
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let (result, steps) = if explain {
            let verdict = self.schema.violations(instance, share.limits);
            (verdict.result, verdict.steps)
        } else {
            let verdict = self.schema.is_valid(instance, share.limits);
            let found = verdict.result.map(|valid| match valid {
                true => None,
                false => Some(Vec::new()),
            });
            return self.outcome(env, found, verdict.steps + instance.nodes as u64, share);
        };
        let found = result.map(|violations| Some(violations).filter(|all| !all.is_empty()));
        self.outcome(env, found, steps + instance.nodes as u64, share)
    }

    fn outcome(
        &self,
        env: *mut ErlNifEnv,
        found: Result<Option<Vec<Violation>>, Stop>,
        steps: u64,
        share: &Share,
    ) -> Outcome {
        if share.limits.stack.is_some() && steps >= STEPS_PER_PERCENT {
            let percent = (steps / STEPS_PER_PERCENT).min(100) as c_int;
            // SAFETY: `env` is the calling environment.
            unsafe { enif_consume_timeslice(env, percent) };
        }
        match found {
            Ok(None) => Outcome::Fits,
            Ok(Some(violations)) => Outcome::Violations(violations),
            Err(_) if share.limits.stack.is_some() => Outcome::TooMuch,
            Err(stop) => Outcome::Refused(Refusal::Stop(stop)),
        }
    }
}

fn encode_violation<'a>(env: Env<'a>, violation: &Violation) -> Term<'a> {
    let keys = [
        atoms::instance_path().to_term(env),
        atoms::schema_path().to_term(env),
        atoms::keyword().to_term(env),
        atoms::message().to_term(env),
    ];
    let values = [
        violation.instance_path.encode(env),
        violation.schema_path.encode(env),
        violation.keyword.encode(env),
        violation.message.encode(env),
    ];
    Term::map_from_term_arrays(env, &keys, &values).unwrap_or_else(|_| atoms::error().to_term(env))
}

fn encode_build_error(env: Env<'_>, error: BuildError, max_depth: usize) -> Term<'_> {
    match error {
        BuildError::TooDeep => (atoms::too_deep(), max_depth).encode(env),
        BuildError::TooManyNodes => atoms::too_large().to_term(env),
    }
}

fn encode_refusal(env: Env<'_>, refusal: Refusal, max_depth: usize) -> Term<'_> {
    // SAFETY: the terms in a refusal are parts of the arguments.
    let given = |term| unsafe { Term::new(env, term) };
    match refusal {
        Refusal::Term(TermError::Unsupported(term)) => {
            (atoms::unsupported_type(), given(term)).encode(env)
        }
        Refusal::Term(TermError::NotUtf8(term)) => (atoms::invalid_utf8(), given(term)).encode(env),
        Refusal::Term(TermError::TooMuchText) => atoms::too_large().to_term(env),
        Refusal::Term(TermError::Build(error)) | Refusal::Json(ReadError::Build(error)) => {
            encode_build_error(env, error, max_depth)
        }
        Refusal::Json(ReadError::Syntax(offset)) => (atoms::invalid_json(), offset).encode(env),
        Refusal::Stop(Stop::Stack) => (atoms::too_complex(), atoms::stack()).encode(env),
        Refusal::Stop(_) => (atoms::too_complex(), atoms::steps()).encode(env),
    }
}

/// Why an instance does not fit: the violations, or the reason that there is no answer.
fn encode_reason(env: Env<'_>, outcome: Outcome, max_depth: usize) -> Term<'_> {
    match outcome {
        Outcome::Fits => atoms::ok().to_term(env),
        Outcome::TooMuch => atoms::too_large().to_term(env),
        Outcome::Refused(refusal) => encode_refusal(env, refusal, max_depth),
        Outcome::Violations(violations) => violations
            .iter()
            .map(|violation| encode_violation(env, violation))
            .collect::<Vec<Term>>()
            .encode(env),
    }
}

/// `schema_validate(Schema, Instance, Explain)`: `ok`, `{error, Violations | Reason}`, or `large`
/// when it is to be called again on a dirty scheduler. Without `Explain`, `{error, []}`.
unsafe fn validate(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3], on_dirty: bool) -> ErlNifTerm {
    let share = if on_dirty { &DIRTY } else { &NORMAL };
    // SAFETY: the caller passes the calling environment and its terms.
    unsafe {
        crate::boundary::with_terms(env, args, |safe_env, [schema, _, explain]| {
            let schema: ResourceArc<SchemaResource> = schema.decode()?;
            let explain: bool = explain.decode()?;
            let source = Source::of(env, args[1]);
            Ok(match schema.check(env, &source, explain, share) {
                Outcome::Fits => atoms::ok().to_term(safe_env),
                Outcome::TooMuch if !on_dirty => atoms::large().to_term(safe_env),
                outcome => {
                    let reason = encode_reason(safe_env, outcome, schema.max_depth);
                    (atoms::error(), reason).encode(safe_env)
                }
            })
        })
    }
}

/// What [`check_text`] has found.
pub enum Checked {
    Fits,
    /// The violations, or why there is no answer: the reason that `schema_validate` gives.
    Fails(ErlNifTerm),
    /// More than a normal scheduler may do.
    NotHere,
    NoSchema,
}

/// Validates JSON text, for the other parts.
///
/// # Safety
/// `env` must be the calling environment and `schema` a term of it.
pub unsafe fn check_text(
    env: *mut ErlNifEnv,
    schema: ErlNifTerm,
    text: &[u8],
    on_dirty: bool,
) -> Checked {
    let lifetime = ();
    // SAFETY: the caller's promise.
    unsafe {
        let safe_env = Env::new(&lifetime, env);
        let Ok(schema) = Term::new(safe_env, schema).decode::<ResourceArc<SchemaResource>>() else {
            return Checked::NoSchema;
        };
        let share = if on_dirty { &DIRTY } else { &NORMAL };
        match schema.check(env, &Source::Text(text), true, share) {
            Outcome::Fits => Checked::Fits,
            Outcome::TooMuch if !on_dirty => Checked::NotHere,
            outcome => {
                let reason = encode_reason(safe_env, outcome, schema.max_depth);
                Checked::Fails(reason.as_c_arg())
            }
        }
    }
}

unsafe fn schema_validate(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> ErlNifTerm {
    // SAFETY: as given.
    unsafe { validate(env, args, false) }
}
nif!("schema_validate", 3, Normal, schema_validate);

unsafe fn schema_validate_large(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> ErlNifTerm {
    // SAFETY: as given.
    unsafe { validate(env, args, true) }
}
nif!("schema_validate_large", 3, DirtyCpu, schema_validate_large);

type CompileOptions<'a> = (Atom, Atom, usize, usize, usize, Vec<(&'a str, Term<'a>)>);

/// `schema_compile(Schema, {Draft, Formats, MaxErrors, MaxDepth, MaxSize, [{Uri, Document}]})`.
unsafe fn schema_compile(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        crate::boundary::with_terms(env, args, |safe_env, [schema, options]| {
            let options: CompileOptions = options.decode()?;
            Ok(match compile_source(safe_env, schema, options)? {
                Ok(resource) => (atoms::ok(), ResourceArc::new(resource)).encode(safe_env),
                Err(reason) => (atoms::error(), reason).encode(safe_env),
            })
        })
    }
}
nif!("schema_compile", 2, DirtyCpu, schema_compile);

fn compile_source<'a>(
    env: Env<'a>,
    schema: Term<'a>,
    (draft, formats, max_errors, max_depth, max_size, documents): CompileOptions<'a>,
) -> NifResult<Result<SchemaResource, Term<'a>>> {
    let options = Options {
        draft: decode_draft(draft)?,
        formats: decode_formats(formats)?,
        max_errors,
    };
    let share = Share {
        nodes: max_size,
        text: max_size,
        big: usize::MAX,
        limits: DIRTY.limits,
    };
    let arena = Bump::new();
    let build = |term: Term<'a>| {
        // SAFETY: `term` is one of the arguments or a part of one.
        unsafe {
            Source::of(env.as_c_arg(), term.as_c_arg()).build(
                env.as_c_arg(),
                &arena,
                max_depth,
                &share,
            )
        }
        .map_err(|refusal| encode_refusal(env, refusal, max_depth))
    };
    let root = match build(schema) {
        Ok(root) => root,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut further = Vec::with_capacity(documents.len());
    for (uri, document) in documents {
        match build(document) {
            Ok(contents) => further.push(Document { uri, contents }),
            Err(reason) => return Ok(Err(reason)),
        }
    }
    Ok(match compile(root, &further, &options) {
        Ok(schema) => Ok(SchemaResource { schema, max_depth }),
        Err(CompileError::Invalid(violation)) => {
            Err((atoms::invalid_schema(), encode_violation(env, &violation)).encode(env))
        }
        Err(CompileError::Unresolved(message)) => {
            Err((atoms::unresolved_reference(), message).encode(env))
        }
        Err(CompileError::TooComplex) => Err((atoms::too_complex(), atoms::schema()).encode(env)),
        Err(CompileError::NoThread) => Err(atoms::no_thread().to_term(env)),
    })
}

fn decode_draft(draft: Atom) -> NifResult<Option<schema_core::Draft>> {
    use schema_core::Draft;
    let known = [
        (atoms::draft4(), Draft::Draft4),
        (atoms::draft6(), Draft::Draft6),
        (atoms::draft7(), Draft::Draft7),
        (atoms::draft2019_09(), Draft::Draft201909),
        (atoms::draft2020_12(), Draft::Draft202012),
    ];
    if draft == atoms::auto() {
        return Ok(None);
    }
    known
        .iter()
        .find(|(name, _)| *name == draft)
        .map(|(_, draft)| Some(*draft))
        .ok_or(rustler::Error::BadArg)
}

/// `auto`: as the draft says.
fn decode_formats(formats: Atom) -> NifResult<Option<bool>> {
    if formats == atoms::auto() {
        Ok(None)
    } else if formats == atoms::true_() {
        Ok(Some(true))
    } else if formats == atoms::false_() {
        Ok(Some(false))
    } else {
        Err(rustler::Error::BadArg)
    }
}
