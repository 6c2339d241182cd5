//! Builds terms from the parser's events: one call into the VM for each value.

use super::shapes::{Shapes, FLAT_MAP_LIMIT};
use super::stack::Stack;
use super::strings::{Policy, Strings};
use super::vocabulary::{Vocabulary, EMPTY_BINARY, EMPTY_MAP};
use crate::atoms;
use json_core::{Interner, Sink, Stop, Text, Word};
use num_bigint::BigUint;
use rustler::sys::*;
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;

/// Strings up to this length are looked for among those already built.
const INTERNED: usize = 32;

/// Keys of large maps that a normal scheduler may take, at some 150 ns each.
const LARGE_MAP_KEYS: usize = 2000;

/// So many misses end the looking for string values.
const VALUE_CREDIT: i32 = 12;

/// Digits of an integer that a normal scheduler may convert (a few microseconds).
const QUICK_DIGITS: usize = 1000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Objects {
    Map,
    /// `[{Key, Value}]`
    Proplist,
    /// `{[{Key, Value}]}`
    Tuple,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DuplicateKeys {
    First,
    Last,
    Error,
}

/// What the keys become.
pub enum Keys {
    Binary,
    /// An atom that exists, else a binary.
    ExistingAtom,
    /// An atom of the list, else a binary.
    Atoms(HashMap<Vec<u8>, ErlNifTerm>),
}

pub struct Options {
    pub keys: Keys,
    pub objects: Objects,
    pub null: ErlNifTerm,
    pub duplicate_keys: DuplicateKeys,
    pub strings: Policy,
}

impl Default for Options {
    /// As OTP's `json:decode/1`.
    fn default() -> Self {
        Options {
            keys: Keys::Binary,
            objects: Objects::Map,
            null: atoms::null().as_c_arg(),
            duplicate_keys: DuplicateKeys::First,
            strings: Policy::Auto,
        }
    }
}

/// Why the builder refused an event.
pub enum Refusal {
    DuplicateKey(ErlNifTerm),
    /// An integer whose conversion takes too long for a normal scheduler.
    NotHere,
}

/// A container that is open: where its values and keys begin.
#[derive(Clone, Copy)]
struct Frame {
    values: usize,
    keys: usize,
}

/// What the builder keeps beside itself, because it is too large to be moved.
pub struct Room<'e> {
    seen: MaybeUninit<Interner<'e, ErlNifTerm>>,
    values: [MaybeUninit<ErlNifTerm>; 64],
    keys: [MaybeUninit<ErlNifTerm>; 32],
    words: [MaybeUninit<Word<'e>>; 32],
    frames: [MaybeUninit<Frame>; 16],
}

impl Room<'_> {
    #[inline(always)]
    pub fn new() -> Self {
        Room {
            seen: MaybeUninit::uninit(),
            values: [const { MaybeUninit::uninit() }; 64],
            keys: [const { MaybeUninit::uninit() }; 32],
            words: [const { MaybeUninit::uninit() }; 32],
            frames: [const { MaybeUninit::uninit() }; 16],
        }
    }
}

/// `'e` is the call that the terms are made in, `'r` the borrow of the builder's room.
pub struct Builder<'r, 'e> {
    env: *mut ErlNifEnv,
    options: &'r Options,
    vocabulary: Vocabulary<'e>,
    on_dirty: bool,
    strings: Strings,
    /// How often looking for a string value paid, less how often it did not.
    value_credit: i32,
    /// Keys of the large maps made here.
    large_map_keys: usize,
    shapes: Shapes,
    seen: &'r mut Interner<'e, ErlNifTerm>,
    values: Stack<'r, ErlNifTerm>,
    keys: Stack<'r, ErlNifTerm>,
    /// The texts of `keys`.
    words: Stack<'r, Word<'e>>,
    frames: Stack<'r, Frame>,
    true_term: ErlNifTerm,
    false_term: ErlNifTerm,
    pub refusal: Option<Refusal>,
}

impl<'r, 'e> Builder<'r, 'e> {
    /// # Safety
    /// `env` must be the calling environment and outlive the value; `input` a binary of it and
    /// its size.
    #[inline(always)]
    pub unsafe fn new(
        env: *mut ErlNifEnv,
        input: (ErlNifTerm, usize),
        options: &'r Options,
        vocabulary: Vocabulary<'e>,
        on_dirty: bool,
        room: &'r mut Room<'e>,
    ) -> Self {
        Builder {
            env,
            options,
            vocabulary,
            on_dirty,
            // SAFETY: the caller's promise.
            strings: unsafe { Strings::new(env, input.0, input.1, options.strings) },
            value_credit: VALUE_CREDIT,
            large_map_keys: 0,
            shapes: Shapes::default(),
            seen: Interner::init(&mut room.seen),
            values: Stack::new(&mut room.values),
            keys: Stack::new(&mut room.keys),
            words: Stack::new(&mut room.words),
            frames: Stack::new(&mut room.frames),
            true_term: atoms::r#true().as_c_arg(),
            false_term: atoms::r#false().as_c_arg(),
            refusal: None,
        }
    }

    /// The value that was built last.
    #[inline(always)]
    pub fn take(&mut self) -> Option<ErlNifTerm> {
        self.values.pop()
    }

    #[inline(always)]
    fn open(&mut self) {
        self.frames.push(Frame {
            values: self.values.len(),
            keys: self.keys.len(),
        });
    }

    #[inline(always)]
    fn close(&mut self) -> Frame {
        self.frames.pop().unwrap_or(Frame { values: 0, keys: 0 })
    }

    fn refuse<T>(&mut self, refusal: Refusal) -> Result<T, Stop> {
        self.refusal = Some(refusal);
        Err(Stop)
    }

    /// A string that is likely to come again.
    #[inline(always)]
    fn interned(&mut self, bytes: &[u8]) -> (ErlNifTerm, Word<'e>, bool) {
        let word = Word::new(bytes);
        if let Some((term, word)) = self.vocabulary.get(&word) {
            return (term, word, true);
        }
        if let Some((term, word)) = self.seen.get(&word) {
            return (term, word, true);
        }
        let (term, stable) = self.strings.make_stable(bytes);
        let word = word.moved(stable);
        self.seen.insert(word, term);
        (term, word, false)
    }

    /// The atom that the options want for a key, if any.
    fn atom_key(&self, bytes: &[u8]) -> Option<ErlNifTerm> {
        match &self.options.keys {
            Keys::Binary => None,
            Keys::Atoms(atoms) => atoms.get(bytes).copied(),
            Keys::ExistingAtom => {
                let latin1 = latin1(bytes)?;
                let mut atom = ErlNifTerm::default();
                // SAFETY: `env` is the calling environment, the text is as long as said.
                let exists = unsafe {
                    enif_make_existing_atom_len(
                        self.env,
                        latin1.as_ptr().cast(),
                        latin1.len(),
                        &mut atom,
                        ErlNifCharEncoding::ERL_NIF_LATIN1,
                    )
                };
                (exists != 0).then_some(atom)
            }
        }
    }

    #[inline(always)]
    fn map(&mut self, keys: usize, values: usize) -> Result<ErlNifTerm, Stop> {
        let length = self.keys.len() - keys;
        if length == 0 {
            return Ok(self.vocabulary.term(EMPTY_MAP));
        }
        if length > FLAT_MAP_LIMIT {
            return self.large_map(keys, values);
        }
        let terms = &self.keys[keys..];
        let Ok(order) = self.shapes.order(terms, &self.words[keys..]) else {
            return self.map_with_duplicates(keys, values);
        };
        let values = &self.values[values..];
        let mut map = ErlNifTerm::default();
        // SAFETY: `env` is the calling environment; both arrays hold `length` terms of it.
        unsafe {
            if order.sorted {
                enif_make_map_from_arrays(
                    self.env,
                    terms.as_ptr(),
                    values.as_ptr(),
                    length,
                    &mut map,
                );
            } else {
                let mut sorted_terms = [ErlNifTerm::default(); FLAT_MAP_LIMIT];
                let mut sorted_values = [ErlNifTerm::default(); FLAT_MAP_LIMIT];
                for (at, &place) in order.places[..length].iter().enumerate() {
                    sorted_terms[at] = terms[usize::from(place)];
                    sorted_values[at] = values[usize::from(place)];
                }
                enif_make_map_from_arrays(
                    self.env,
                    sorted_terms.as_ptr(),
                    sorted_values.as_ptr(),
                    length,
                    &mut map,
                );
            }
        }
        Ok(map)
    }

    /// A map beyond the limit of sorted tuples. The VM is trusted to count the distinct keys,
    /// but not to build a sound map where some repeat (fixed in OTP in 2026 only).
    #[inline(never)]
    fn large_map(&mut self, keys: usize, values: usize) -> Result<ErlNifTerm, Stop> {
        let length = self.keys.len() - keys;
        self.large_map_keys += length;
        if self.large_map_keys > LARGE_MAP_KEYS && !self.on_dirty {
            return self.refuse(Refusal::NotHere);
        }
        let mut map = ErlNifTerm::default();
        let mut size = 0;
        // SAFETY: `env` is the calling environment; both arrays hold `length` terms of it.
        let sound = unsafe {
            enif_make_map_from_arrays(
                self.env,
                self.keys[keys..].as_ptr(),
                self.values[values..].as_ptr(),
                length,
                &mut map,
            ) != 0
                && enif_get_map_size(self.env, map, &mut size) != 0
                && size == length
        };
        if sound {
            Ok(map)
        } else {
            self.map_with_duplicates(keys, values)
        }
    }

    #[inline(never)]
    fn map_with_duplicates(&mut self, keys: usize, values: usize) -> Result<ErlNifTerm, Stop> {
        self.without_duplicates(keys, values)?;
        if self.keys.len() - keys > FLAT_MAP_LIMIT {
            self.large_map(keys, values)
        } else {
            self.map(keys, values)
        }
    }

    /// Leaves of equal keys of the innermost object the one that the options want.
    fn without_duplicates(&mut self, keys: usize, values: usize) -> Result<(), Stop> {
        let length = self.keys.len() - keys;
        let last_wins = self.options.duplicate_keys == DuplicateKeys::Last;
        let mut seen = HashSet::with_capacity(length);
        let mut keep = vec![false; length];
        for step in 0..length {
            let index = if last_wins { length - 1 - step } else { step };
            keep[index] = seen.insert(self.words[keys + index].bytes);
            if !keep[index] && self.options.duplicate_keys == DuplicateKeys::Error {
                return self.refuse(Refusal::DuplicateKey(self.keys[keys + index]));
            }
        }
        let mut kept = 0;
        for index in (0..length).filter(|&index| keep[index]) {
            self.keys[keys + kept] = self.keys[keys + index];
            self.words[keys + kept] = self.words[keys + index];
            self.values[values + kept] = self.values[values + index];
            kept += 1;
        }
        self.keys.truncate(keys + kept);
        self.words.truncate(keys + kept);
        self.values.truncate(values + kept);
        Ok(())
    }

    /// `[{Key, Value}]`, in the order of the text. Equal keys are kept unless they are an error:
    /// `proplists` take the first.
    fn pairs(&mut self, keys: usize, values: usize) -> Result<ErlNifTerm, Stop> {
        if self.options.duplicate_keys == DuplicateKeys::Error {
            self.without_duplicates(keys, values)?;
        }
        let mut pairs: SmallVec<[ErlNifTerm; 32]> = SmallVec::new();
        for (key, value) in self.keys[keys..].iter().zip(&self.values[values..]) {
            let pair = [*key, *value];
            // SAFETY: `env` is the calling environment, the array holds two terms of it.
            pairs.push(unsafe { enif_make_tuple_from_array(self.env, pair.as_ptr(), 2) });
        }
        // SAFETY: as above.
        Ok(unsafe { list(self.env, &pairs) })
    }
}

/// # Safety
/// The terms must be of `env`, the calling environment.
unsafe fn list(env: *mut ErlNifEnv, terms: &[ErlNifTerm]) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe { enif_make_list_from_array(env, terms.as_ptr(), terms.len() as u32) }
}

/// The text in Latin-1, in which this NIF version names atoms.
fn latin1(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars()
        .map(|character| u8::try_from(u32::from(character)).ok())
        .collect()
}

impl Sink for Builder<'_, '_> {
    #[inline(always)]
    fn null(&mut self) {
        self.values.push(self.options.null);
    }

    #[inline(always)]
    fn boolean(&mut self, value: bool) {
        self.values.push(if value {
            self.true_term
        } else {
            self.false_term
        });
    }

    #[inline(always)]
    fn integer(&mut self, value: i64) {
        // SAFETY: `env` is the calling environment.
        self.values
            .push(unsafe { enif_make_int64(self.env, value) });
    }

    #[inline(never)]
    fn big_integer(&mut self, text: &[u8]) -> Result<(), Stop> {
        if text.len() > QUICK_DIGITS && !self.on_dirty {
            return self.refuse(Refusal::NotHere);
        }
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let Some(magnitude) = BigUint::parse_bytes(digits, 10) else {
            return Err(Stop);
        };
        let magnitude = magnitude.to_bytes_le();
        // The external term format has what the NIF interface lacks.
        let mut external = vec![131];
        match u8::try_from(magnitude.len()) {
            Ok(length) => external.extend([110, length]),
            Err(_) => {
                external.push(111);
                external.extend((magnitude.len() as u32).to_be_bytes());
            }
        }
        external.push(u8::from(text[0] == b'-'));
        external.extend(magnitude);
        let mut term = ErlNifTerm::default();
        // SAFETY: `env` is the calling environment, the buffer as long as said.
        let read = unsafe {
            enif_binary_to_term(
                self.env,
                external.as_ptr().cast_mut(),
                external.len(),
                &mut term,
                0,
            )
        };
        if read == 0 {
            return Err(Stop);
        }
        self.values.push(term);
        Ok(())
    }

    #[inline(always)]
    fn float(&mut self, value: f64) {
        // SAFETY: `env` is the calling environment; the parser gives finite values only.
        self.values
            .push(unsafe { enif_make_double(self.env, value) });
    }

    #[inline(always)]
    fn string(&mut self, text: Text) {
        let bytes = text.bytes();
        let term = if bytes.is_empty() {
            self.vocabulary.term(EMPTY_BINARY)
        } else if bytes.len() <= INTERNED && self.value_credit > 0 {
            let (term, _, known) = self.interned(bytes);
            self.value_credit += if known { 4 } else { -1 };
            self.value_credit = self.value_credit.min(64);
            term
        } else {
            let offset = match text {
                Text::Verbatim { offset, .. } => Some(offset),
                Text::Unescaped(_) => None,
            };
            self.strings.make(bytes, offset)
        };
        self.values.push(term);
    }

    #[inline(always)]
    fn begin_array(&mut self) {
        self.open();
    }

    #[inline(always)]
    fn end_array(&mut self) -> Result<(), Stop> {
        let frame = self.close();
        // SAFETY: `env` is the calling environment, the values are terms of it.
        let term = unsafe { list(self.env, &self.values[frame.values..]) };
        self.values.truncate(frame.values);
        self.values.push(term);
        Ok(())
    }

    #[inline(always)]
    fn begin_object(&mut self) {
        self.open();
    }

    #[inline(always)]
    fn key(&mut self, text: Text) -> Result<(), Stop> {
        let bytes = text.bytes();
        let (binary, word) = if bytes.len() <= INTERNED {
            let (term, word, _) = self.interned(bytes);
            (term, word)
        } else {
            let (term, stable) = self.strings.make_stable(bytes);
            (term, Word::new(stable))
        };
        let term = match self.options.keys {
            Keys::Binary => binary,
            _ => self.atom_key(bytes).unwrap_or(binary),
        };
        self.keys.push(term);
        self.words.push(word);
        Ok(())
    }

    #[inline(always)]
    fn end_object(&mut self) -> Result<(), Stop> {
        let frame = self.close();
        let term = match self.options.objects {
            Objects::Map => self.map(frame.keys, frame.values)?,
            Objects::Proplist => self.pairs(frame.keys, frame.values)?,
            Objects::Tuple => {
                let pairs = self.pairs(frame.keys, frame.values)?;
                // SAFETY: `env` is the calling environment, the array holds one term of it.
                unsafe { enif_make_tuple_from_array(self.env, [pairs].as_ptr(), 1) }
            }
        };
        self.keys.truncate(frame.keys);
        self.words.truncate(frame.keys);
        self.values.truncate(frame.values);
        self.values.push(term);
        Ok(())
    }
}
