//! Well-known strings that are never built.
//!
//! A term made by a NIF lives on the caller's heap; a literal of an Erlang module does not. The
//! doors pass a literal tuple of binaries (`erlmcp_native_nif:vocabulary/0`) with each call, and
//! a string that is among them costs a comparison instead of an allocation.

use json_core::Word;
use rustler::sys::ErlNifTerm;
use rustler::types::tuple::get_tuple;
use rustler::{Binary, Term};
use std::sync::OnceLock;

/// Where in the tuple the terms stand that are not looked up by their text.
pub const EMPTY_BINARY: usize = 0;
pub const EMPTY_MAP: usize = 1;

const SLOTS: usize = 1024;

struct Table {
    words: Vec<Word<'static>>,
    /// Index into `words` plus one; open addressing.
    slots: [u16; SLOTS],
}

static TABLE: OnceLock<Table> = OnceLock::new();

/// Reads the texts, once, from the tuple given at load.
pub fn load(tuple: Term) -> bool {
    let Ok(terms) = get_tuple(tuple) else {
        return false;
    };
    if terms.len() > SLOTS / 2 {
        return false;
    }
    let mut table = Table {
        words: Vec::with_capacity(terms.len()),
        slots: [0; SLOTS],
    };
    for (index, term) in terms.iter().enumerate() {
        let bytes: &'static [u8] = match term.decode::<Binary>() {
            Ok(binary) => Vec::leak(binary.as_slice().to_vec()),
            Err(_) => &[],
        };
        let word = Word::new(bytes);
        table.words.push(word);
        if bytes.is_empty() {
            continue;
        }
        let mut at = word.hash() as usize % SLOTS;
        while table.slots[at] != 0 {
            at = (at + 1) % SLOTS;
        }
        table.slots[at] = index as u16 + 1;
    }
    TABLE.set(table).is_ok()
}

/// The tuple as one call got it.
#[derive(Clone, Copy)]
pub struct Vocabulary<'e> {
    terms: &'e [ErlNifTerm],
    table: &'static Table,
}

impl<'e> Vocabulary<'e> {
    /// `None` when the tuple is not the one given at load.
    pub fn new(terms: &'e [ErlNifTerm]) -> Option<Self> {
        let table = TABLE.get()?;
        (terms.len() == table.words.len()).then_some(Vocabulary { terms, table })
    }

    /// The term at a fixed place.
    #[inline(always)]
    pub fn term(&self, index: usize) -> ErlNifTerm {
        self.terms[index]
    }

    /// The term with this text, and the text where it stays.
    #[inline(always)]
    pub fn get(&self, word: &Word) -> Option<(ErlNifTerm, Word<'static>)> {
        let mut at = word.hash() as usize % SLOTS;
        loop {
            let index = usize::from(self.table.slots[at]).checked_sub(1)?;
            let known = &self.table.words[index];
            if known.equals(word) {
                return Some((self.terms[index], *known));
            }
            at = (at + 1) % SLOTS;
        }
    }
}
