//! The walk over a term, with a stack of its own.

use super::budget::Budget;
use super::pairs::Sorted;
use super::stack::Stack;
use super::storage::VmBinary;
use super::terms::{self, Terms};
use super::Options;
use json_core::write::{Buffer, InvalidUtf8};
use rustler::sys::*;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// What to write.
#[derive(Clone, Copy)]
pub(crate) enum Piece {
    Text(&'static str),
    Value(ErlNifTerm),
}

/// Why the walk ends before all is written.
pub(crate) enum Stop {
    /// The budget is used up.
    Suspended,
    Utf8(InvalidUtf8),
    Unsupported(ErlNifTerm),
    /// What stands in place of the end.
    ImproperList(ErlNifTerm),
}

impl From<InvalidUtf8> for Stop {
    fn from(invalid: InvalidUtf8) -> Self {
        Stop::Utf8(invalid)
    }
}

/// What is left to be written.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    /// The rest of a list, a map, or a value.
    pub term: ErlNifTerm,
    /// How many pairs are written (of lists only whether any element is), or the number of a
    /// text.
    pub count: u32,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    List,
    /// A map whose iterator is the last one.
    Map,
    /// A map or a property list whose sorted pairs are the last ones.
    Sorted,
    /// A property list.
    Pairs,
    Value,
    Text,
}

impl Kind {
    pub fn from_integer(integer: u64) -> Kind {
        match integer {
            0 => Kind::List,
            1 => Kind::Map,
            2 => Kind::Sorted,
            3 => Kind::Pairs,
            4 => Kind::Value,
            _ => Kind::Text,
        }
    }
}

/// A place in the text where the Erlang side has something to fill in.
pub(super) struct Hole {
    pub at: usize,
    pub term: ErlNifTerm,
}

/// Costs in units of the budget.
const NODE: i64 = 20;
const PUSH: i64 = 40;
/// Indentation grows no further, since it would make the text quadratic in the depth.
const WIDEST: usize = 256;

/// What the stacks of a walk begin in.
pub(super) struct Blocks {
    frames: [MaybeUninit<Frame>; 16],
    iterators: [MaybeUninit<ErlNifMapIterator>; 8],
}

impl Blocks {
    pub const UNUSED: Blocks = Blocks {
        frames: [const { MaybeUninit::uninit() }; 16],
        iterators: [const { MaybeUninit::uninit() }; 8],
    };
}

pub(super) type Texts = SmallVec<[&'static str; 4]>;

pub(crate) struct Walk {
    pub env: *mut ErlNifEnv,
    pub(super) text: Buffer<VmBinary>,
    pub options: Options,
    /// The level of the outermost value.
    pub depth: u32,
    pub budget: Budget,
    pub(super) frames: Stack<Frame>,
    pub(super) iterators: Stack<ErlNifMapIterator>,
    pub(super) sorted_pairs: Vec<Sorted>,
    pub(super) holes: Vec<Hole>,
    pub(super) texts: Texts,
    pub(super) level: u32,
    pub(super) terms: &'static Terms,
}

impl Drop for Walk {
    fn drop(&mut self) {
        for iterator in self.iterators.items() {
            // SAFETY: those in the list are created and not yet destroyed.
            unsafe { enif_map_iterator_destroy(self.env, iterator) };
        }
    }
}

impl Walk {
    /// # Safety
    /// `env` is the calling environment; `blocks` outlive the walk.
    pub unsafe fn new(
        env: *mut ErlNifEnv,
        text: Buffer<VmBinary>,
        blocks: &mut Blocks,
        options: Options,
        depth: u32,
        budget: Budget,
    ) -> Self {
        // SAFETY: the caller's promise; nothing else has the blocks meanwhile.
        let (frames, iterators) = unsafe {
            (
                Stack::beginning_in(&mut blocks.frames),
                Stack::beginning_in(&mut blocks.iterators),
            )
        };
        Walk {
            env,
            text,
            options,
            depth,
            budget,
            frames,
            iterators,
            sorted_pairs: Vec::new(),
            holes: Vec::new(),
            texts: SmallVec::new(),
            level: depth,
            // SAFETY: the caller's promise.
            terms: unsafe { Terms::get(env) },
        }
    }

    /// The text so far, outside of the block it began in.
    pub fn take_text(&mut self) -> Buffer<VmBinary> {
        let mut text = std::mem::replace(&mut self.text, Buffer::new(VmBinary::default()));
        if text.storage().is_empty() {
            text.settle();
        }
        text
    }

    pub fn start(&mut self, pieces: &[Piece]) {
        for piece in pieces.iter().rev() {
            self.frames.push(match piece {
                Piece::Text(text) => {
                    self.texts.push(text);
                    Frame {
                        term: self.terms.nil,
                        count: self.texts.len() as u32,
                        kind: Kind::Text,
                    }
                }
                Piece::Value(term) => Frame {
                    term: *term,
                    count: 0,
                    kind: Kind::Value,
                },
            });
        }
    }

    /// Goes on until all is written.
    ///
    /// # Safety
    /// The terms of the frames, of the holes and of the options are alive.
    pub unsafe fn run<const PLAIN: bool>(&mut self) -> Result<(), Stop> {
        // SAFETY: the caller's promise; every further term is part of one of these.
        unsafe {
            while let Some(value) = self.next::<PLAIN>()? {
                if !self.budget.suffices() {
                    return self.later(value);
                }
                self.budget.spend(NODE);
                self.value::<PLAIN>(value)?;
            }
        }
        Ok(())
    }

    #[cold]
    pub(super) fn later(&mut self, value: ErlNifTerm) -> Result<(), Stop> {
        self.frames.push(Frame {
            term: value,
            count: 0,
            kind: Kind::Value,
        });
        Err(Stop::Suspended)
    }

    #[inline(always)]
    pub(super) fn enter(&mut self, term: ErlNifTerm, kind: Kind, opening: u8) {
        self.budget.spend(PUSH);
        self.level += 1;
        self.text.byte(opening);
        self.frames.push(Frame {
            term,
            count: 0,
            kind,
        });
    }

    /// Writes a value; of a list or a map only the beginning.
    #[inline(always)]
    unsafe fn value<const PLAIN: bool>(&mut self, value: ErlNifTerm) -> Result<(), Stop> {
        // SAFETY: the caller's promise.
        unsafe {
            if !PLAIN && self.is_null(value) {
                self.text.extend(b"null");
                return Ok(());
            }
            match enif_term_type(self.env, value) {
                ErlNifTermType::ERL_NIF_TERM_TYPE_BITSTRING => {
                    let Some(bytes) = terms::binary(self.env, value) else {
                        return self.other::<PLAIN>(value);
                    };
                    if !self.budget.string(bytes.len() * if PLAIN { 1 } else { 3 }) {
                        return self.later(value);
                    }
                    self.string::<PLAIN>(bytes)?;
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_MAP => {
                    if !PLAIN && self.options.sorted() {
                        return self.sorted(value);
                    }
                    self.iterators
                        .push_in_place(|iterator| terms::iterate(self.env, value, iterator));
                    self.enter(value, Kind::Map, b'{');
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_INTEGER => self.integer(value)?,
                ErlNifTermType::ERL_NIF_TERM_TYPE_LIST => {
                    if !PLAIN && self.options.proplists() && self.begins_pairs(value) {
                        return self.property_list(value);
                    }
                    self.enter(value, Kind::List, b'[');
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_ATOM => self.atom::<PLAIN>(value)?,
                ErlNifTermType::ERL_NIF_TERM_TYPE_FLOAT => {
                    self.budget.spend(NODE);
                    self.text.float(terms::float(self.env, value));
                }
                _ => return self.other::<PLAIN>(value),
            }
        }
        Ok(())
    }

    /// The next value to be written, after the text that stands before it.
    #[inline(always)]
    unsafe fn next<const PLAIN: bool>(&mut self) -> Result<Option<ErlNifTerm>, Stop> {
        // SAFETY: the caller's promise.
        unsafe {
            loop {
                let Some(top) = self.frames.last_mut() else {
                    return Ok(None);
                };
                let count = top.count;
                let closing = match top.kind {
                    Kind::List => {
                        if let Some((head, tail)) = terms::cell(self.env, top.term) {
                            top.term = tail;
                            top.count = 1;
                            self.separate::<PLAIN>(count);
                            return Ok(Some(head));
                        }
                        if top.term != self.terms.nil {
                            return Err(Stop::ImproperList(top.term));
                        }
                        b']'
                    }
                    Kind::Map => {
                        let pair = match self.iterators.last_mut() {
                            Some(iterator) => terms::next_pair(self.env, iterator),
                            None => None,
                        };
                        if let Some((key, value)) = pair {
                            self.key::<PLAIN>(key, count)?;
                            if let Some(top) = self.frames.last_mut() {
                                top.count = count + 1;
                            }
                            return Ok(Some(value));
                        }
                        if let Some(iterator) = self.iterators.last_mut() {
                            enif_map_iterator_destroy(self.env, iterator);
                        }
                        self.iterators.pop();
                        b'}'
                    }
                    Kind::Sorted => {
                        if let Some(value) = self.sorted_pair(count)? {
                            return Ok(Some(value));
                        }
                        b'}'
                    }
                    Kind::Pairs => {
                        if let Some((head, tail)) = terms::cell(self.env, top.term) {
                            let (key, value) =
                                terms::pair(self.env, head).ok_or(Stop::Unsupported(head))?;
                            self.key::<PLAIN>(key, count)?;
                            if let Some(top) = self.frames.last_mut() {
                                top.term = tail;
                                top.count = 1;
                            }
                            return Ok(Some(value));
                        }
                        if top.term != self.terms.nil {
                            return Err(Stop::ImproperList(top.term));
                        }
                        b'}'
                    }
                    Kind::Value => {
                        let value = top.term;
                        self.frames.pop();
                        return Ok(Some(value));
                    }
                    Kind::Text => {
                        self.frames.pop();
                        if let Some(text) = self.texts.get(count as usize - 1) {
                            self.text.extend(text.as_bytes());
                        }
                        continue;
                    }
                };
                self.frames.pop();
                self.level -= 1;
                if count > 0 {
                    self.new_line::<PLAIN>();
                }
                self.text.byte(closing);
            }
        }
    }

    /// What stands before an element or a pair.
    #[inline(always)]
    pub(super) fn separate<const PLAIN: bool>(&mut self, count: u32) {
        if count > 0 {
            self.text.byte(b',');
        }
        self.new_line::<PLAIN>();
    }

    #[inline(always)]
    pub(super) fn new_line<const PLAIN: bool>(&mut self) {
        if !PLAIN && self.options.indent != 0 {
            let width = usize::from(self.options.indent) * self.level as usize;
            self.text.byte(b'\n');
            self.text.spaces(width.min(WIDEST));
        }
    }

    #[inline(always)]
    pub(super) fn colon<const PLAIN: bool>(&mut self) {
        self.text.byte(b':');
        if !PLAIN && self.options.indent != 0 {
            self.text.byte(b' ');
        }
    }

    #[inline(always)]
    pub(super) fn string<const PLAIN: bool>(&mut self, bytes: &[u8]) -> Result<(), InvalidUtf8> {
        if PLAIN || !self.options.escapes_more() {
            self.text.string(bytes)
        } else {
            self.text.string_escaping(bytes, self.options.escape())
        }
    }

    /// A key after `count` others, and the colon.
    #[inline(always)]
    unsafe fn key<const PLAIN: bool>(&mut self, key: ErlNifTerm, count: u32) -> Result<(), Stop> {
        // SAFETY: the caller's promise.
        unsafe {
            match terms::binary(self.env, key) {
                Some(bytes) => {
                    if !self.budget.string(bytes.len() * if PLAIN { 1 } else { 3 }) {
                        return Err(Stop::Suspended);
                    }
                    self.separate::<PLAIN>(count);
                    self.string::<PLAIN>(bytes)?;
                }
                None => {
                    self.separate::<PLAIN>(count);
                    self.other_key::<PLAIN>(key)?;
                }
            }
        }
        self.colon::<PLAIN>();
        Ok(())
    }

    #[inline(never)]
    unsafe fn other_key<const PLAIN: bool>(&mut self, key: ErlNifTerm) -> Result<(), Stop> {
        self.budget.spend(NODE);
        // SAFETY: the caller's promise.
        unsafe {
            match enif_term_type(self.env, key) {
                ErlNifTermType::ERL_NIF_TERM_TYPE_ATOM => self.atom_text::<PLAIN>(key)?,
                ErlNifTermType::ERL_NIF_TERM_TYPE_INTEGER => {
                    self.text.byte(b'"');
                    self.integer(key)?;
                    self.text.byte(b'"');
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_FLOAT => {
                    self.text.byte(b'"');
                    self.text.float(terms::float(self.env, key));
                    self.text.byte(b'"');
                }
                _ => return Err(Stop::Unsupported(key)),
            }
        }
        Ok(())
    }
}
