//! The walk's state as terms, for the way from one call to another.

use super::terms;
use super::walk::{Frame, Hole, Kind, Walk};
use rustler::sys::*;

/// The bits of a frame's integer that hold its kind.
const KIND: u32 = 3;

/// More than this would take a good part of the next call's time to take up.
const HEAVY: usize = 2_000;
/// Growing text beyond this may copy it, which takes a good part too.
const LARGEST: usize = 4 << 20;

impl Walk {
    /// Whether going on takes little preparation, and the next thing to do is small.
    pub fn is_light(&mut self) -> bool {
        let frames = self.frames.items();
        let counts = || frames.iter().map(|frame| frame.count as usize);
        !self.budget.too_large
            && self.text.len() < LARGEST
            && frames.len() + self.holes.len() < HEAVY
            && counts().sum::<usize>() < HEAVY
            && self.sorted_pairs.is_empty()
    }

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
            for frame in self.frames.items() {
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
            self.frames.items().reverse();
            for at in 0..self.frames.items().len() {
                let frame = self.frames.items()[at];
                match frame.kind {
                    Kind::Map => {
                        self.iterators.push_in_place(|iterator| {
                            terms::iterate(env, frame.term, iterator);
                            for _ in 0..frame.count {
                                enif_map_iterator_next(env, iterator);
                            }
                        });
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
