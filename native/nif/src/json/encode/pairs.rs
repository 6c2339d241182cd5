//! Objects that are not written in the order of a map's iterator: property lists and sorted keys.

use super::terms;
use super::walk::{Kind, Stop, Walk};
use json_core::write::{Buffer, Heap};
use rustler::sys::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The pairs of an object by the bytes of their keys.
pub(super) struct Sorted {
    keys: Buffer<Heap>,
    pairs: Vec<(Range<usize>, ErlNifTerm)>,
}

/// In units of the budget.
const SORTED_PAIR: i64 = 200;

impl Walk {
    /// Whether a list is taken for an object: by its first element, or as `[{}]`.
    pub(super) unsafe fn begins_pairs(&self, list: ErlNifTerm) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let Some((head, tail)) = terms::cell(self.env, list) else {
                return false;
            };
            match terms::pair(self.env, head) {
                Some((key, _)) => {
                    let fragment =
                        self.options.fragments() && key == crate::atoms::json().as_c_arg();
                    !fragment && is_key(self.env, key)
                }
                None => tail == self.terms.nil && self.is_empty_tuple(head),
            }
        }
    }

    unsafe fn is_empty_tuple(&self, term: ErlNifTerm) -> bool {
        let (mut arity, mut elements) = (-1, std::ptr::null());
        // SAFETY: the caller's promise.
        unsafe { enif_get_tuple(self.env, term, &mut arity, &mut elements) != 0 && arity == 0 }
    }

    pub(super) unsafe fn property_list(&mut self, list: ErlNifTerm) -> Result<(), Stop> {
        // SAFETY: the caller's promise.
        unsafe {
            let list = match terms::cell(self.env, list) {
                Some((head, _)) if self.is_empty_tuple(head) => self.terms.nil,
                _ => list,
            };
            if self.options.sorted() {
                return self.sorted(list);
            }
            self.enter(list, Kind::Pairs, b'{');
        }
        Ok(())
    }

    /// Begins an object with sorted keys from a map or a property list.
    pub(super) unsafe fn sorted(&mut self, object: ErlNifTerm) -> Result<(), Stop> {
        let cost =
            |sorted: &Sorted| sorted.pairs.len() as i64 * SORTED_PAIR + sorted.keys.len() as i64;
        // SAFETY: the caller's promise.
        unsafe {
            match self.collect(object, self.budget.undivided())? {
                Some(sorted) => {
                    self.budget.spend(cost(&sorted));
                    self.sorted_pairs.push(sorted);
                    self.enter(object, Kind::Sorted, b'{');
                    Ok(())
                }
                None => {
                    self.budget.too_large = true;
                    self.later(object)
                }
            }
        }
    }

    /// The sorted pairs, unless they cost more than `limit`.
    pub(super) unsafe fn collect(
        &mut self,
        object: ErlNifTerm,
        limit: i64,
    ) -> Result<Option<Sorted>, Stop> {
        let mut sorted = Sorted {
            keys: Buffer::new(Heap::default()),
            pairs: Vec::new(),
        };
        let mut left = limit;
        // SAFETY: the caller's promise.
        unsafe {
            let mut size = 0;
            if enif_get_map_size(self.env, object, &mut size) != 0 {
                let mut iterator = MaybeUninit::uninit();
                terms::iterate(self.env, object, iterator.as_mut_ptr());
                let mut iterator = iterator.assume_init();
                let mut result = Ok(Some(()));
                while let Some((key, value)) = terms::next_pair(self.env, &mut iterator) {
                    result = sorted.add(self.env, key, value, &mut left);
                    if !matches!(result, Ok(Some(()))) {
                        break;
                    }
                }
                enif_map_iterator_destroy(self.env, &mut iterator);
                if result?.is_none() {
                    return Ok(None);
                }
            } else {
                let mut rest = object;
                while let Some((head, tail)) = terms::cell(self.env, rest) {
                    let (key, value) =
                        terms::pair(self.env, head).ok_or(Stop::Unsupported(head))?;
                    if sorted.add(self.env, key, value, &mut left)?.is_none() {
                        return Ok(None);
                    }
                    rest = tail;
                }
                if rest != self.terms.nil {
                    return Err(Stop::ImproperList(rest));
                }
            }
        }
        let Sorted { keys, pairs } = &mut sorted;
        let keys = keys.bytes();
        pairs.sort_by(|(a, _), (b, _)| keys[a.clone()].cmp(&keys[b.clone()]));
        Ok(Some(sorted))
    }

    /// Writes the key of the pair at `count`; its value, or `None` after the
    /// last, when the pairs are gone from the stack.
    pub(super) fn sorted_pair(&mut self, count: u32) -> Result<Option<ErlNifTerm>, Stop> {
        let Some(sorted) = self.sorted_pairs.pop() else {
            return Ok(None);
        };
        let Some((key, value)) = sorted.pairs.get(count as usize) else {
            return Ok(None);
        };
        let value = *value;
        self.separate::<false>(count);
        self.string::<false>(&sorted.keys.bytes()[key.clone()])?;
        self.colon::<false>();
        self.sorted_pairs.push(sorted);
        if let Some(top) = self.frames.last_mut() {
            top.count = count + 1;
        }
        Ok(Some(value))
    }
}

impl Sorted {
    unsafe fn add(
        &mut self,
        env: *mut ErlNifEnv,
        key: ErlNifTerm,
        value: ErlNifTerm,
        left: &mut i64,
    ) -> Result<Option<()>, Stop> {
        let start = self.keys.len();
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(bytes) = terms::binary(env, key) {
                *left -= bytes.len() as i64;
                if *left < 0 {
                    return Ok(None);
                }
                self.keys.extend(bytes);
            } else {
                self.other_key(env, key)?;
            }
        }
        *left -= SORTED_PAIR;
        self.pairs.push((start..self.keys.len(), value));
        Ok((*left >= 0).then_some(()))
    }

    unsafe fn other_key(&mut self, env: *mut ErlNifEnv, key: ErlNifTerm) -> Result<(), Stop> {
        let unsupported = Stop::Unsupported(key);
        // SAFETY: the caller's promise.
        unsafe {
            match enif_term_type(env, key) {
                ErlNifTermType::ERL_NIF_TERM_TYPE_ATOM => {
                    terms::atom_text(env, key, |text| self.keys.extend(text)).ok_or(unsupported)?;
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_INTEGER => {
                    let mut small = 0;
                    if enif_get_int64(env, key, &mut small) != 0 {
                        self.keys.integer(small);
                    } else {
                        let (negative, mut limbs) =
                            terms::big_integer(env, key).ok_or(unsupported)?;
                        self.keys.big_integer(negative, &mut limbs);
                    }
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_FLOAT => self.keys.float(terms::float(env, key)),
                _ => return Err(unsupported),
            }
        }
        Ok(())
    }
}

unsafe fn is_key(env: *mut ErlNifEnv, term: ErlNifTerm) -> bool {
    // SAFETY: the caller's promise.
    unsafe { enif_is_atom(env, term) != 0 || enif_is_binary(env, term) != 0 }
}
