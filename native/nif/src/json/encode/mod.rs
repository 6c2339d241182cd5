//! Terms to JSON text.
//!
//! The walk keeps its own stack. When the budget of a call is used up it goes on in another: on
//! the same scheduler, after whoever else waits for it, while that is cheap; otherwise on a dirty
//! one, to the end. Between calls the text lives in a resource and the stack is a term, since
//! terms may move.
//!
//! What cannot be written here leaves a hole for the Erlang side: huge integers, fragments of
//! ready text, and terms for which the caller gave a fun.

mod budget;
mod pairs;
mod resume;
mod scalar;
mod stack;
mod storage;
mod terms;
mod walk;

use crate::boundary::schedule_dirty;
use budget::Budget;
use json_core::write::{Buffer, InvalidUtf8};
use rustler::sys::*;
use rustler::{Encoder, Env, Resource, ResourceArc, Term};
use std::mem::MaybeUninit;
use std::sync::Mutex;
use storage::VmBinary;
pub(crate) use walk::Piece;
use walk::{Blocks, Stop, Texts, Walk};

/// Text up to this size is built on the native stack and copied once.
const BLOCK: usize = 8 * 1024;

/// How to write; made by `erlmcp_native_json:encode/2` out of its options.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    flags: u32,
    /// Spaces for each level; 0 is all on one line.
    pub indent: u8,
    /// A term that is written as null.
    pub null: Option<ErlNifTerm>,
}

impl Options {
    pub const DEFAULT: Options = Options {
        flags: 0,
        indent: 0,
        null: None,
    };
    /// `{json, Text}` stands for ready text.
    pub const FRAGMENTS_ONLY: Options = Options {
        flags: Self::FRAGMENTS,
        ..Self::DEFAULT
    };
    const NON_ASCII: u32 = 1;
    const SLASH: u32 = 2;
    const SORT: u32 = 4;
    const PROPLISTS: u32 = 8;
    const FRAGMENTS: u32 = 16;
    const OTHER: u32 = 32;
    const NULL: u32 = 64;
    const INDENT: u32 = 8;

    fn new(integer: u32, null: ErlNifTerm) -> Self {
        Options {
            flags: integer,
            indent: (integer >> Self::INDENT) as u8,
            null: (integer & Self::NULL != 0).then_some(null),
        }
    }
    pub fn escape(&self) -> json_core::write::Escape {
        json_core::write::Escape {
            slash: self.flags & Self::SLASH != 0,
            non_ascii: self.flags & Self::NON_ASCII != 0,
        }
    }
    pub fn escapes_more(&self) -> bool {
        self.flags & (Self::SLASH | Self::NON_ASCII) != 0
    }
    pub fn sorted(&self) -> bool {
        self.flags & Self::SORT != 0
    }
    pub fn proplists(&self) -> bool {
        self.flags & Self::PROPLISTS != 0
    }
    pub fn fragments(&self) -> bool {
        self.flags & Self::FRAGMENTS != 0
    }
    pub fn other(&self) -> bool {
        self.flags & Self::OTHER != 0
    }
    fn plain(&self) -> bool {
        self.flags == 0
    }
}

/// Writes `pieces` one after the other. The answer is a binary, a list of binaries and holes,
/// or `{error, Reason, Position | none}`.
///
/// # Safety
/// `env` is the calling environment of a NIF on a normal scheduler, which returns the answer
/// at once; the terms are its.
pub(crate) unsafe fn encode(
    env: *mut ErlNifEnv,
    pieces: &[Piece],
    options: Options,
    depth: u32,
) -> ErlNifTerm {
    let mut block = [const { MaybeUninit::uninit() }; BLOCK];
    let mut blocks = Blocks::UNUSED;
    // SAFETY: the blocks are used only by the walk, which ends here: what goes on elsewhere has
    // left them before. The rest is the caller's promise.
    unsafe {
        let text = Buffer::beginning_in(&mut block, VmBinary::default());
        let mut walk = Walk::new(env, text, &mut blocks, options, depth, Budget::NORMAL);
        walk.start(pieces);
        go_on(walk)
    }
}

/// # Safety
/// The walk's terms are alive, and `env` is the calling environment.
unsafe fn go_on(mut walk: Walk) -> ErlNifTerm {
    let env = walk.env;
    // SAFETY: the caller's promise.
    unsafe {
        let end = advance(&mut walk);
        walk.budget.charge(env);
        match end {
            Ok(()) => answer(walk),
            Err(Stop::Suspended) => suspend(walk),
            Err(stop) => error(env, stop),
        }
    }
}

/// # Safety
/// The walk's terms are alive.
unsafe fn advance(walk: &mut Walk) -> Result<(), Stop> {
    // SAFETY: the caller's promise.
    unsafe {
        if walk.options.plain() {
            walk.run::<true>()
        } else {
            walk.run::<false>()
        }
    }
}

/// What waits for the next call.
struct Suspended(Mutex<Option<State>>);

struct State {
    text: Buffer<VmBinary>,
    options: Options,
    depth: u32,
    texts: Texts,
}

// SAFETY: the binary is owned, and a mutex guards it; the term among the options is replaced
// before it is used.
unsafe impl Send for Suspended {}
// SAFETY: as above.
unsafe impl Sync for Suspended {}

#[rustler::resource_impl]
impl Resource for Suspended {}

/// # Safety
/// As `go_on`.
unsafe fn suspend(mut walk: Walk) -> ErlNifTerm {
    let env = walk.env;
    let lifetime = ();
    // SAFETY: `env` is the calling environment and the arguments are terms of it.
    unsafe {
        let light = walk.is_light();
        let (frames, holes) = walk.save();
        let null = walk.options.null.unwrap_or(frames);
        let state = State {
            text: walk.take_text(),
            options: walk.options,
            depth: walk.depth,
            texts: std::mem::take(&mut walk.texts),
        };
        let resource = ResourceArc::new(Suspended(Mutex::new(Some(state))));
        let resource = resource.encode(Env::new(&lifetime, env));
        let arguments = [resource.as_c_arg(), frames, holes, null];
        if light {
            let (name, normal) = (c"json_encode".as_ptr(), ERL_NIF_NORMAL_JOB as i32);
            let count = arguments.len() as i32;
            enif_schedule_nif(env, name, normal, resume, count, arguments.as_ptr())
        } else {
            schedule_dirty(env, c"json_encode", resume_dirty, &arguments)
        }
    }
}

unsafe extern "C" fn resume(
    env: *mut ErlNifEnv,
    _argc: i32,
    argv: *const ErlNifTerm,
) -> ErlNifTerm {
    #[cfg(feature = "call_time")]
    let _span = crate::call_time::Span::start(&RESUMED);
    // SAFETY: only `suspend` schedules this function.
    crate::boundary::guarded(env, || unsafe { resumed(env, argv, Budget::NORMAL) })
}

#[cfg(feature = "call_time")]
static RESUMED: crate::call_time::CallTime = crate::call_time::CallTime::new("json_encode/resumed");
#[cfg(feature = "call_time")]
rustler::codegen_runtime::inventory::submit!(crate::call_time::Counted(&RESUMED));

unsafe extern "C" fn resume_dirty(
    env: *mut ErlNifEnv,
    _argc: i32,
    argv: *const ErlNifTerm,
) -> ErlNifTerm {
    // SAFETY: only `suspend` schedules this function.
    crate::boundary::guarded(env, || unsafe { resumed(env, argv, Budget::DIRTY) })
}

/// # Safety
/// `argv` is what `suspend` scheduled, and `env` the calling environment.
unsafe fn resumed(env: *mut ErlNifEnv, argv: *const ErlNifTerm, budget: Budget) -> ErlNifTerm {
    let lifetime = ();
    // SAFETY: the caller's promise.
    unsafe {
        let [resource, frames, holes, null] = *argv.cast::<[ErlNifTerm; 4]>();
        let suspended: Option<ResourceArc<Suspended>> =
            Term::new(Env::new(&lifetime, env), resource).decode().ok();
        let state = suspended.and_then(|suspended| suspended.0.lock().ok()?.take());
        let Some(State {
            text,
            mut options,
            depth,
            texts,
        }) = state
        else {
            return enif_make_badarg(env);
        };
        options.null = options.null.map(|_| null);
        let mut blocks = Blocks::UNUSED;
        let mut walk = Walk::new(env, text, &mut blocks, options, depth, budget);
        walk.texts = texts;
        walk.restore(frames, holes);
        go_on(walk)
    }
}

unsafe fn answer(mut walk: Walk) -> ErlNifTerm {
    let env = walk.env;
    let holes = std::mem::take(&mut walk.holes);
    let len = walk.text.len();
    // SAFETY: the terms are alive and the sub-binaries are within the binary.
    unsafe {
        let whole = VmBinary::finish(env, &mut walk.text);
        if holes.is_empty() {
            return whole;
        }
        let mut list = enif_make_list_from_array(env, std::ptr::null(), 0);
        let mut end = len;
        for hole in holes.iter().rev() {
            if hole.at < end {
                let part = enif_make_sub_binary(env, whole, hole.at, end - hole.at);
                list = enif_make_list_cell(env, part, list);
            }
            list = enif_make_list_cell(env, hole.term, list);
            end = hole.at;
        }
        if end > 0 {
            list = enif_make_list_cell(env, enif_make_sub_binary(env, whole, 0, end), list);
        }
        list
    }
}

unsafe fn error(env: *mut ErlNifEnv, stop: Stop) -> ErlNifTerm {
    use crate::atoms;
    let none = atoms::none().as_c_arg();
    // SAFETY: `env` is the calling environment and the terms are its.
    unsafe {
        let pair = |tag: rustler::Atom, value| {
            enif_make_tuple_from_array(env, [tag.as_c_arg(), value].as_ptr(), 2)
        };
        let (reason, position) = match stop {
            Stop::Utf8(InvalidUtf8::End) => (atoms::unexpected_end().as_c_arg(), none),
            Stop::Utf8(InvalidUtf8::Byte { byte, at }) => (
                pair(atoms::invalid_byte(), enif_make_uint(env, u32::from(byte))),
                enif_make_uint64(env, at as u64),
            ),
            Stop::Unsupported(term) => (pair(atoms::unsupported_type(), term), none),
            Stop::ImproperList(tail) => (pair(atoms::improper_list(), tail), none),
            Stop::Suspended => return enif_make_badarg(env),
        };
        let answer = [atoms::error().as_c_arg(), reason, position];
        enif_make_tuple_from_array(env, answer.as_ptr(), 3)
    }
}

unsafe fn json_encode(env: *mut ErlNifEnv, [term]: &[ErlNifTerm; 1]) -> ErlNifTerm {
    // SAFETY: a NIF's environment and argument.
    unsafe { encode(env, &[Piece::Value(*term)], Options::DEFAULT, 0) }
}
nif!("json_encode", 1, Normal, json_encode);

/// `json_encode(Term, Options, Null, Depth)`.
unsafe fn json_encode_with(env: *mut ErlNifEnv, args: &[ErlNifTerm; 4]) -> ErlNifTerm {
    let [term, integer, null, level] = *args;
    let (mut options, mut depth) = (0, 0);
    // SAFETY: a NIF's environment and arguments.
    unsafe {
        if enif_get_uint(env, integer, &mut options) == 0
            || enif_get_uint(env, level, &mut depth) == 0
        {
            return enif_make_badarg(env);
        }
        encode(
            env,
            &[Piece::Value(term)],
            Options::new(options, null),
            depth,
        )
    }
}
nif!("json_encode", 4, Normal, json_encode_with);
