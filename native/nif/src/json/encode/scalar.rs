//! Terms without parts, and those that have no JSON form.

use super::terms;
use super::walk::{Hole, Stop, Walk};
use json_core::write::InvalidUtf8;
use rustler::sys::*;

/// In units of the budget.
const ATOM: i64 = 400;
const BIG_INTEGER: i64 = 2_000;
const HOLE: i64 = 100;

impl Walk {
    #[inline(always)]
    pub(super) unsafe fn integer(&mut self, term: ErlNifTerm) -> Result<(), Stop> {
        let mut value = 0;
        // SAFETY: the caller's promise.
        unsafe {
            if enif_get_int64(self.env, term, &mut value) != 0 {
                self.text.integer(value);
                return Ok(());
            }
            self.large_integer(term)
        }
    }

    #[inline(never)]
    unsafe fn large_integer(&mut self, term: ErlNifTerm) -> Result<(), Stop> {
        let mut value = 0;
        // SAFETY: the caller's promise.
        unsafe {
            if enif_get_uint64(self.env, term, &mut value) != 0 {
                self.text.unsigned(value);
                return Ok(());
            }
            self.budget.spend(BIG_INTEGER);
            match terms::big_integer(self.env, term) {
                Some((negative, mut limbs)) => self.text.big_integer(negative, &mut limbs),
                None => self.hole(crate::atoms::integer(), term),
            }
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) unsafe fn atom<const PLAIN: bool>(&mut self, atom: ErlNifTerm) -> Result<(), Stop> {
        if atom == self.terms.r#true {
            self.text.extend(b"true");
        } else if atom == self.terms.r#false {
            self.text.extend(b"false");
        } else if atom == self.terms.null {
            self.text.extend(b"null");
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.atom_text::<PLAIN>(atom)? };
        }
        Ok(())
    }

    /// An atom's text as a string.
    #[inline(never)]
    pub(super) unsafe fn atom_text<const PLAIN: bool>(
        &mut self,
        atom: ErlNifTerm,
    ) -> Result<(), Stop> {
        self.budget.spend(ATOM);
        let env = self.env;
        // SAFETY: the caller's promise.
        let written: Option<Result<(), InvalidUtf8>> =
            unsafe { terms::atom_text(env, atom, |text| self.string::<PLAIN>(text)) };
        written.ok_or(Stop::Unsupported(atom))?.map_err(Stop::Utf8)
    }

    /// Whether this is the term that the caller wants as null.
    pub(super) unsafe fn is_null(&self, term: ErlNifTerm) -> bool {
        match self.options.null {
            None => false,
            // SAFETY: the caller's promise.
            Some(null) => term == null || unsafe { enif_is_identical(term, null) } != 0,
        }
    }

    /// A term without a JSON form, unless the options give it one.
    #[inline(never)]
    pub(super) unsafe fn other<const PLAIN: bool>(&mut self, term: ErlNifTerm) -> Result<(), Stop> {
        // SAFETY: the caller's promise.
        unsafe {
            if !PLAIN && self.options.fragments() {
                if let Some((tag, _)) = terms::pair(self.env, term) {
                    if tag == crate::atoms::json().as_c_arg() {
                        self.hole_at(term);
                        return Ok(());
                    }
                }
            }
            if !PLAIN && self.options.proplists() {
                if let Some([list]) = terms::tuple(self.env, term) {
                    if *list == self.terms.nil || terms::cell(self.env, *list).is_some() {
                        return self.property_list(*list);
                    }
                }
            }
            if !PLAIN && self.options.other() {
                self.hole(crate::atoms::other(), term);
                return Ok(());
            }
        }
        Err(Stop::Unsupported(term))
    }

    /// A hole for `{Tag, Term}`; for other terms their level is added.
    unsafe fn hole(&mut self, tag: rustler::Atom, term: ErlNifTerm) {
        // SAFETY: the caller's promise.
        let filler = unsafe {
            let parts = [tag.as_c_arg(), term, enif_make_uint(self.env, self.level)];
            enif_make_tuple_from_array(self.env, parts.as_ptr(), 3)
        };
        self.hole_at(filler);
    }

    fn hole_at(&mut self, term: ErlNifTerm) {
        self.budget.spend(HOLE);
        self.holes.push(Hole {
            at: self.text.len(),
            term,
        });
    }
}
