//! Terms to words.

use super::words::{
    self, header, is_cell, is_header, is_immediate, word, Kind, BINARY, MAP, WORDS,
};
use super::{float_bits, NotFlat};
use rustler::sys::*;
use std::mem::MaybeUninit;

/// Where the words of a flat term are written.
pub struct Scratch {
    words: [MaybeUninit<u64>; WORDS],
}

impl Scratch {
    #[inline(always)]
    pub fn new() -> Self {
        Scratch {
            words: [const { MaybeUninit::uninit() }; WORDS],
        }
    }

    /// A single word's bytes.
    #[inline(always)]
    pub(super) fn word(&mut self, word: u64) -> &[u8] {
        self.words[0].write(word);
        // SAFETY: it was written just now.
        unsafe { self.bytes(1) }
    }

    /// # Safety
    /// So many words must have been written.
    #[inline(always)]
    unsafe fn bytes(&self, count: usize) -> &[u8] {
        // SAFETY: the caller's promise; every byte of an integer may be read.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), 8 * count) }
    }
}

/// What a term without parts has become, or what it is instead.
enum Leaf {
    Written,
    List,
    Map,
    Tuple(usize, *const ErlNifTerm),
}

struct Encoder<'s> {
    env: *mut ErlNifEnv,
    key: bool,
    scratch: &'s mut Scratch,
    written: usize,
    /// Terms yet to be written and, below the parts of each, its header; the next one last.
    pending: [MaybeUninit<u64>; WORDS],
    waiting: usize,
}

/// The words of a term that is no immediate.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
pub(super) unsafe fn encode(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
    key: bool,
    scratch: &mut Scratch,
) -> Result<&[u8], NotFlat> {
    let mut encoder = Encoder {
        env,
        key,
        scratch,
        written: 0,
        pending: [const { MaybeUninit::uninit() }; WORDS],
        waiting: 0,
    };
    // SAFETY: the caller's promise; what is written is counted.
    unsafe {
        encoder.run(term)?;
        let Encoder {
            scratch, written, ..
        } = encoder;
        Ok(scratch.bytes(written))
    }
}

impl Encoder<'_> {
    #[inline(always)]
    fn write(&mut self, word: u64) -> Result<(), NotFlat> {
        let place = self.scratch.words.get_mut(self.written).ok_or(NotFlat)?;
        place.write(word);
        self.written += 1;
        Ok(())
    }

    #[inline(always)]
    fn later(&mut self, word: u64) -> Result<(), NotFlat> {
        let place = self.pending.get_mut(self.waiting).ok_or(NotFlat)?;
        place.write(word);
        self.waiting += 1;
        Ok(())
    }

    /// # Safety
    /// `term` must be a term of the encoder's environment.
    unsafe fn run(&mut self, term: ErlNifTerm) -> Result<(), NotFlat> {
        // SAFETY: the caller's promise; the parts of a term are terms of its environment.
        unsafe {
            self.value(term)?;
            while let Some(top) = self.waiting.checked_sub(1) {
                self.waiting = top;
                // SAFETY: those below the number that waits are written.
                let next = self.pending[top].assume_init();
                if is_header(next) {
                    self.write(next)?;
                } else {
                    self.value(words::term(next))?;
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    unsafe fn value(&mut self, term: ErlNifTerm) -> Result<(), NotFlat> {
        // SAFETY: the caller's promise.
        unsafe {
            match self.leaf(term)? {
                Leaf::Written => Ok(()),
                Leaf::Tuple(arity, elements) => self.tuple(arity, elements),
                Leaf::List => self.list(term),
                Leaf::Map => self.map(term),
            }
        }
    }

    /// Writes a term that has no parts.
    #[inline(always)]
    unsafe fn leaf(&mut self, term: ErlNifTerm) -> Result<Leaf, NotFlat> {
        let word = word(term);
        if is_immediate(word) {
            self.write(word)?;
            return Ok(Leaf::Written);
        }
        if is_cell(word) {
            return Ok(Leaf::List);
        }
        // SAFETY: the caller's promise.
        unsafe {
            let (mut arity, mut elements) = (0, std::ptr::null());
            if enif_get_tuple(self.env, term, &mut arity, &mut elements) != 0 {
                return Ok(Leaf::Tuple(arity as usize, elements));
            }
            self.other_leaf(term)
        }
    }

    #[inline(always)]
    unsafe fn other_leaf(&mut self, term: ErlNifTerm) -> Result<Leaf, NotFlat> {
        // SAFETY: the caller's promise.
        match unsafe { crate::boundary::inspect_binary(self.env, term) } {
            Some(bytes) => {
                self.binary(bytes)?;
                Ok(Leaf::Written)
            }
            // SAFETY: the caller's promise.
            None => unsafe { self.number_or_map(term) },
        }
    }

    #[inline(always)]
    fn binary(&mut self, bytes: &[u8]) -> Result<(), NotFlat> {
        if bytes.len() > BINARY {
            return Err(NotFlat);
        }
        self.write(header(Kind::Binary, bytes.len()))?;
        let (whole, rest) = bytes.as_chunks();
        for chunk in whole {
            self.write(u64::from_ne_bytes(*chunk))?;
        }
        if !rest.is_empty() {
            let mut padded = [0; 8];
            padded[..rest.len()].copy_from_slice(rest);
            self.write(u64::from_ne_bytes(padded))?;
        }
        Ok(())
    }

    unsafe fn number_or_map(&mut self, term: ErlNifTerm) -> Result<Leaf, NotFlat> {
        // SAFETY: the caller's promise.
        unsafe {
            match enif_term_type(self.env, term) {
                ErlNifTermType::ERL_NIF_TERM_TYPE_MAP => return Ok(Leaf::Map),
                ErlNifTermType::ERL_NIF_TERM_TYPE_FLOAT => {
                    let mut value = 0.0;
                    enif_get_double(self.env, term, &mut value);
                    self.write(header(Kind::Float, 0))?;
                    self.write(float_bits(value, self.key))?;
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_INTEGER => {
                    let (mut signed, mut unsigned) = (0, 0);
                    if enif_get_int64(self.env, term, &mut signed) != 0 {
                        self.write(header(Kind::Integer, 0))?;
                        self.write(signed as u64)?;
                    } else if enif_get_uint64(self.env, term, &mut unsigned) != 0 {
                        self.write(header(Kind::Unsigned, 0))?;
                        self.write(unsigned)?;
                    } else {
                        return Err(NotFlat);
                    }
                }
                _ => return Err(NotFlat),
            }
        }
        Ok(Leaf::Written)
    }

    /// Writes a part at once while none that stands before it waits (`waiting` is what did before
    /// the whole), else later.
    #[inline(always)]
    unsafe fn part(&mut self, part: ErlNifTerm, waiting: usize) -> Result<(), NotFlat> {
        // SAFETY: the caller's promise.
        unsafe {
            if self.waiting != waiting || !matches!(self.leaf(part)?, Leaf::Written) {
                self.later(word(part))?;
            }
        }
        Ok(())
    }

    /// Closes a term whose parts have been seen: those that wait above the place kept for the
    /// header, at `place`, are turned, since the last is taken first.
    #[inline(always)]
    fn close(&mut self, place: usize, header: u64) -> Result<(), NotFlat> {
        if self.waiting == place + 1 {
            self.waiting = place;
            return self.write(header);
        }
        self.pending[place].write(header);
        self.pending[place + 1..self.waiting].reverse();
        Ok(())
    }

    unsafe fn tuple(&mut self, arity: usize, elements: *const ErlNifTerm) -> Result<(), NotFlat> {
        let place = self.waiting;
        self.later(0)?;
        if arity > WORDS {
            return Err(NotFlat);
        }
        for at in 0..arity {
            // SAFETY: a tuple has as many elements as its arity says.
            unsafe { self.part(*elements.add(at), place + 1)? };
        }
        self.close(place, header(Kind::Tuple, arity))
    }

    unsafe fn list(&mut self, list: ErlNifTerm) -> Result<(), NotFlat> {
        let place = self.waiting;
        self.later(0)?;
        let (mut rest, mut head, mut count) = (list, ErlNifTerm::default(), 0);
        // SAFETY: the caller's promise.
        unsafe {
            while is_cell(word(rest)) {
                let cell = rest;
                enif_get_list_cell(self.env, cell, &mut head, &mut rest);
                self.part(head, place + 1)?;
                count += 1;
            }
            if enif_is_empty_list(self.env, rest) != 0 {
                self.close(place, header(Kind::List, count))
            } else {
                self.part(rest, place + 1)?;
                self.close(place, header(Kind::Improper, count))
            }
        }
    }

    /// The keys stand first, and must have no parts; in a map of this size they are sorted, so
    /// that equal maps have the same words.
    unsafe fn map(&mut self, map: ErlNifTerm) -> Result<(), NotFlat> {
        let mut size = 0;
        // SAFETY: the caller's promise.
        unsafe { enif_get_map_size(self.env, map, &mut size) };
        if size > MAP {
            return Err(NotFlat);
        }
        let place = self.waiting;
        self.later(0)?;
        // SAFETY: the caller's promise; the iterator is created before it is used and destroyed
        // once.
        unsafe {
            let mut iterator = MaybeUninit::uninit();
            let head = ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD;
            if enif_map_iterator_create(self.env, map, iterator.as_mut_ptr(), head) == 0 {
                return Err(NotFlat);
            }
            let read = self.pairs(iterator.assume_init_mut());
            enif_map_iterator_destroy(self.env, iterator.as_mut_ptr());
            read?;
        }
        // The values wait in their order; those in front can be written now.
        let mut done = place + 1;
        while done < self.waiting {
            // SAFETY: those below the number that waits are written, by `pairs`.
            let written = unsafe { self.leaf(words::term(self.pending[done].assume_init()))? };
            if !matches!(written, Leaf::Written) {
                break;
            }
            done += 1;
        }
        self.pending.copy_within(done..self.waiting, place + 1);
        self.waiting -= done - (place + 1);
        self.close(place, header(Kind::Map, size))
    }

    /// Writes the keys and lets the values wait.
    unsafe fn pairs(&mut self, iterator: &mut ErlNifMapIterator) -> Result<(), NotFlat> {
        let (mut key, mut value) = Default::default();
        // SAFETY: the caller's promise.
        unsafe {
            while enif_map_iterator_get_pair(self.env, iterator, &mut key, &mut value) != 0 {
                if !matches!(self.leaf(key)?, Leaf::Written) {
                    return Err(NotFlat);
                }
                self.later(word(value))?;
                enif_map_iterator_next(self.env, iterator);
            }
        }
        Ok(())
    }
}
