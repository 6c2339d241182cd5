//! Histograms as Erlang holds them: integers, or the names of some.

use super::windows::Recent;
use crate::atoms;
use crate::boundary::{make_map, threads_foreseen};
use crate::registry::{Identified, Identity, Registry};
use crate::tried::{tried, Fault};
use histogram_core::histogram::Histogram;
use histogram_core::layout::Layout;
use histogram_core::snapshot::Snapshot;
use parking_lot::Mutex;
use rustler::sys::*;
use std::sync::Arc;
use sync_core::sections::Section;

/// What a handle leads to.
pub struct Live {
    pub histogram: Histogram,
    /// What had been recorded when it was last reset.
    base: Mutex<Option<Arc<Snapshot>>>,
    /// Its windows and what else is kept of the time that passes.
    pub recent: Option<Recent>,
    identity: Identity,
}

impl Identified for Live {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

pub static HISTOGRAMS: Registry<Live> = Registry::new(1, atoms::invalid_histogram);
/// Calls `body` with the histogram that a term stands for.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
#[inline(always)]
pub unsafe fn with_histogram<T>(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
    body: impl FnOnce(&Live, &Section) -> T,
) -> Result<T, Fault> {
    // SAFETY: the caller's promise.
    unsafe { HISTOGRAMS.with(env, term, body) }
}

/// More cells, and more buckets, than this are gone through on a dirty scheduler.
const MANY_CELLS: usize = 200_000;
pub const MANY_BUCKETS: usize = 8192;

/// Charges the process for having gone through so many buckets, bytes or the like, some nanoseconds
/// each: what reads takes longer than the reduction that each call costs.
///
/// # Safety
/// `env` must be the calling environment.
pub unsafe fn charge(env: *mut ErlNifEnv, items: usize) {
    /// A hundredth of a turn on a scheduler, which is a millisecond.
    const ITEMS_BY_PERCENT: usize = 4096;
    let percent = 1 + items / ITEMS_BY_PERCENT;
    // SAFETY: the caller's promise. On a dirty scheduler it does nothing.
    unsafe { enif_consume_timeslice(env, percent.min(100) as i32) };
}

impl Live {
    /// Everything since it was made.
    pub fn cumulative(&self, on_dirty: bool) -> Result<Snapshot, Fault> {
        if !on_dirty && self.histogram.cells() > MANY_CELLS {
            return Err(Fault::Large);
        }
        Ok(self.histogram.cumulative())
    }

    /// Everything since it was reset.
    pub fn snapshot(&self, on_dirty: bool) -> Result<Snapshot, Fault> {
        // Taken before what is counted, so that it is no more than that.
        let base = tried(|| self.base.try_lock())?.clone();
        let all = self.cumulative(on_dirty)?;
        Ok(match base {
            Some(base) => all.subtract(&base),
            None => all,
        })
    }

    fn reset(&self, on_dirty: bool) -> Result<(), Fault> {
        let mut base = tried(|| self.base.try_lock())?;
        *base = Some(Arc::new(self.cumulative(on_dirty)?));
        Ok(())
    }
}

/// What a histogram has recorded since it was last reset, or what a snapshot holds.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
pub unsafe fn snapshot_of(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
    on_dirty: bool,
) -> Result<Snapshot, Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(bytes) = crate::boundary::inspect_binary(env, term) {
            if !on_dirty && bytes.len() > crate::boundary::DIRTY_BYTES {
                return Err(Fault::Large);
            }
            let decoded = Snapshot::decode(bytes);
            let snapshot = decoded.map_err(|_| Fault::Wrong(atoms::invalid_snapshot()))?;
            charge(env, bytes.len() + snapshot.counts.len());
            return Ok(snapshot);
        }
        with_histogram(env, term, |live, _| {
            charge(env, live.histogram.cells());
            live.snapshot(on_dirty)
        })?
    }
}

/// The binary form of a snapshot.
///
/// # Safety
/// `env` must be the calling environment.
pub unsafe fn encoded(env: *mut ErlNifEnv, snapshot: &Snapshot) -> ErlNifTerm {
    let bytes = snapshot.encode();
    // SAFETY: the caller's promise.
    unsafe { crate::boundary::make_binary(env, &bytes) }
}

unsafe fn new(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 6],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let [precision, bits] = [args[0], args[1]].map(|term| {
            let mut number = 0;
            let is_number = enif_get_uint(env, term, &mut number) != 0;
            u8::try_from(number).ok().filter(|_| is_number)
        });
        let layout = precision
            .zip(bits)
            .and_then(|(precision, bits)| Layout::new(precision, bits));
        let (Some(layout), Some(identity), Some(asked)) = (
            layout,
            Identity::read(env, args[2], args[3], remove),
            super::windows::asked(env, args[4], args[5]),
        ) else {
            return Ok(enif_make_badarg(env));
        };
        let live = Live {
            histogram: Histogram::new(layout, threads_foreseen()),
            base: Mutex::new(None),
            recent: Recent::new(layout, asked)?,
            identity,
        };
        HISTOGRAMS.add(env, live)
    }
}
tried_nif!("histogram_new", 6, new);

/// Takes a histogram away; whether it was there.
fn remove(handle: u64) -> bool {
    HISTOGRAMS.remove(handle)
}

unsafe fn delete(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { HISTOGRAMS.delete(env, args[0]) }
}
tried_nif!("histogram_delete", 1, delete);

unsafe fn whereis(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { HISTOGRAMS.whereis(env, args[0]) }
}
tried_nif!("histogram_whereis", 1, whereis);

unsafe fn info(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        with_histogram(env, args[0], |live, _| {
            let layout = live.histogram.layout();
            let (name, owner) = live.identity.terms(env);
            let recent = match &live.recent {
                Some(recent) => recent.memory()?,
                None => 0,
            };
            let memory = (live.histogram.memory() + recent) as u64;
            let pairs = [
                (
                    atoms::precision(),
                    enif_make_uint(env, layout.precision().into()),
                ),
                (atoms::max(), enif_make_uint64(env, layout.max())),
                (atoms::name(), name),
                (atoms::owner(), owner),
                (atoms::memory(), enif_make_uint64(env, memory)),
            ];
            Ok(make_map(env, pairs))
        })?
    }
}
tried_nif!("histogram_info", 1, info);

/// What is read of a histogram, in its binary form.
///
/// # Safety
/// `env` must be the calling environment and `histogram` a term of it.
unsafe fn read(
    env: *mut ErlNifEnv,
    histogram: ErlNifTerm,
    what: impl FnOnce(&Live) -> Result<Snapshot, Fault>,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        let snapshot = with_histogram(env, histogram, |live, _| {
            charge(env, live.histogram.cells());
            what(live)
        })??;
        Ok(encoded(env, &snapshot))
    }
}

unsafe fn snapshot(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { read(env, args[0], |live| live.snapshot(on_dirty)) }
}
tried_nif!("histogram_snapshot", 1, snapshot);

unsafe fn cumulative(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { read(env, args[0], |live| live.cumulative(on_dirty)) }
}
tried_nif!("histogram_cumulative", 1, cumulative);

unsafe fn reset(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { with_histogram(env, args[0], |live, _| live.reset(on_dirty))?? };
    Ok(atoms::ok().as_c_arg())
}
tried_nif!("histogram_reset", 1, reset);
