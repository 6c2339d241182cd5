//! The walk's state as terms, for the way from one scheduler to another.

use super::terms;
use super::walk::{Frame, Hole, Kind, Walk};
use rustler::sys::*;

/// The bits of a frame's integer that hold its kind.
const KIND: u32 = 3;

impl Walk {
    /// Frames and holes, each a list with the last one first, of `[Term | Integer]`.
    ///
    /// # Safety
    /// The walk's terms are alive.
    pub unsafe fn save(&mut self) -> (ErlNifTerm, ErlNifTerm) {
        let env = self.env;
        let mut frames = self.terms.nil;
        let mut holes = self.terms.nil;
        // SAFETY: the caller's promise.
        unsafe {
            for frame in &self.frames {
                let integer = u64::from(frame.count) << KIND | frame.kind as u64;
                let entry = enif_make_list_cell(env, frame.term, enif_make_uint64(env, integer));
                frames = enif_make_list_cell(env, entry, frames);
            }
            for hole in &self.holes {
                let at = enif_make_uint64(env, hole.at as u64);
                let entry = enif_make_list_cell(env, hole.term, at);
                holes = enif_make_list_cell(env, entry, holes);
            }
        }
        (frames, holes)
    }

    /// Takes up what `save` gave.
    ///
    /// # Safety
    /// The terms are those of `save`, alive in the walk's environment.
    pub unsafe fn restore(&mut self, frames: ErlNifTerm, holes: ErlNifTerm) {
        let env = self.env;
        // SAFETY: the caller's promise.
        unsafe {
            let mut rest = frames;
            while let Some((term, integer)) = entry(env, &mut rest) {
                self.frames.push(Frame {
                    term,
                    count: (integer >> KIND) as u32,
                    kind: Kind::from_integer(integer & ((1 << KIND) - 1)),
                });
            }
            self.frames.reverse();
            for frame in self.frames.clone() {
                match frame.kind {
                    Kind::Map => {
                        let mut iterator = terms::iterator(env, frame.term);
                        for _ in 0..frame.count {
                            enif_map_iterator_next(env, &mut iterator);
                        }
                        self.iterators.push(iterator);
                    }
                    Kind::Sorted => {
                        if let Ok(Some(sorted)) = self.collect(frame.term, i64::MAX) {
                            self.sorted_pairs.push(sorted);
                        }
                    }
                    Kind::List | Kind::Pairs => {}
                    Kind::Value | Kind::Text => continue,
                }
                self.level += 1;
            }
            let mut rest = holes;
            while let Some((term, at)) = entry(env, &mut rest) {
                self.holes.push(Hole {
                    at: at as usize,
                    term,
                });
            }
            self.holes.reverse();
        }
    }
}

/// The first `[Term | Integer]` of a list, which becomes the rest.
unsafe fn entry(env: *mut ErlNifEnv, list: &mut ErlNifTerm) -> Option<(ErlNifTerm, u64)> {
    // SAFETY: the caller's promise.
    unsafe {
        let (head, tail) = terms::cell(env, *list)?;
        let (term, integer) = terms::cell(env, head)?;
        let mut value = 0;
        enif_get_uint64(env, integer, &mut value);
        *list = tail;
        Some((term, value))
    }
}
