//! Histograms as Erlang holds them: integers, or the names of some.

use super::owner::Owner;
use super::Fault;
use crate::atoms;
use crate::boundary::word;
use histogram_core::histogram::Histogram;
use histogram_core::layout::Layout;
use histogram_core::snapshot::Snapshot;
use parking_lot::{Mutex, RwLock};
use rustler::sys::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::LazyLock;
use sync_core::handles::Handles;
use sync_core::sections::{self, Section};

/// What a handle leads to.
pub struct Live {
    pub histogram: Histogram,
    /// What had been recorded when it was last reset.
    base: Mutex<Option<Snapshot>>,
    /// An atom, or none.
    name: Option<u64>,
    owner: Option<Owner>,
}

pub static HISTOGRAMS: Handles<Live> = Handles::new(1);
/// The handles of those that have a name. One whose handle leads nowhere is gone.
static NAMES: LazyLock<RwLock<HashMap<u64, u64>>> = LazyLock::new(RwLock::default);
/// The VM's threads that may record.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// # Safety
/// `env` must be the environment of the library's load.
pub unsafe fn load(env: *mut ErlNifEnv) -> bool {
    let mut info = std::mem::MaybeUninit::<ErlNifSysInfo>::zeroed();
    // SAFETY: the structure is there to be filled, up to the size given.
    let schedulers = unsafe {
        enif_system_info(info.as_mut_ptr(), size_of::<ErlNifSysInfo>());
        info.assume_init().scheduler_threads
    };
    // As many dirty ones for the processors, ten for input and output, and a few of ours.
    THREADS.store(2 * schedulers.max(1) as usize + 16, Ordering::Relaxed);
    // SAFETY: the caller's promise.
    unsafe { super::owner::load(env) }
}

/// The threads to expect.
pub fn threads() -> usize {
    THREADS.load(Ordering::Relaxed)
}

/// Tries a lock, which is never held for long.
fn tried<G>(lock: impl Fn() -> Option<G>) -> Result<G, Fault> {
    sync_core::tried(lock).ok_or(Fault::Busy)
}

/// The handle that a term is, or that an atom names.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
#[inline(always)]
unsafe fn handle_of(env: *mut ErlNifEnv, term: ErlNifTerm) -> Result<u64, Fault> {
    let mut handle = 0;
    // SAFETY: the caller's promise.
    unsafe {
        if enif_get_uint64(env, term, &mut handle) != 0 {
            return Ok(handle);
        }
        if enif_is_atom(env, term) != 0 {
            let names = tried(|| NAMES.try_read())?;
            if let Some(&handle) = names.get(&word(term)) {
                return Ok(handle);
            }
        }
    }
    Err(Fault::Wrong(atoms::invalid_histogram()))
}

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
    let handle = unsafe { handle_of(env, term) }?;
    let section = sections::enter();
    match HISTOGRAMS.get(handle, &section) {
        Some(live) => Ok(body(live, &section)),
        None => Err(Fault::Wrong(atoms::invalid_histogram())),
    }
}

/// More cells than this are read on a dirty scheduler.
const MANY_CELLS: usize = 200_000;

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
        let base = tried(|| self.base.try_lock())?;
        let all = self.cumulative(on_dirty)?;
        Ok(match &*base {
            Some(base) => all.subtract(base),
            None => all,
        })
    }

    fn reset(&self, on_dirty: bool) -> Result<(), Fault> {
        let mut base = tried(|| self.base.try_lock())?;
        *base = Some(self.cumulative(on_dirty)?);
        Ok(())
    }
}

/// What a histogram has recorded since it was last reset, or what a snapshot holds.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
#[allow(dead_code)] // until a NIF reads one
pub unsafe fn snapshot_of(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
    on_dirty: bool,
) -> Result<Snapshot, Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(bytes) = crate::boundary::inspect_binary(env, term) {
            return Snapshot::decode(bytes).map_err(|_| Fault::Wrong(atoms::invalid_snapshot()));
        }
        with_histogram(env, term, |live, _| live.snapshot(on_dirty))?
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
    args: &[ErlNifTerm; 4],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (mut precision, mut bits) = (0, 0);
        let numbers = enif_get_uint(env, args[0], &mut precision) != 0
            && enif_get_uint(env, args[1], &mut bits) != 0;
        let layout = u8::try_from(precision)
            .ok()
            .zip(u8::try_from(bits).ok())
            .and_then(|(precision, bits)| Layout::new(precision, bits));
        let Some(layout) = layout.filter(|_| numbers && enif_is_atom(env, args[2]) != 0) else {
            return Ok(enif_make_badarg(env));
        };
        let name = (args[2] != atoms::undefined().as_c_arg()).then(|| word(args[2]));
        let Some(owner) = Owner::read(env, args[3], remove) else {
            return Ok(enif_make_badarg(env));
        };
        let mut names = match name {
            Some(_) => Some(tried(|| NAMES.try_write())?),
            None => None,
        };
        if let Some((names, name)) = names.as_ref().zip(name) {
            let section = sections::enter();
            let taken = names.get(&name).copied();
            if taken.is_some_and(|handle| HISTOGRAMS.get(handle, &section).is_some()) {
                return Err(Fault::Wrong(atoms::exists()));
            }
        }
        let live = Live {
            histogram: Histogram::new(layout, threads()),
            base: Mutex::new(None),
            name,
            owner,
        };
        let handle = HISTOGRAMS
            .insert(|_| live)
            .ok_or(Fault::Wrong(atoms::system_limit()))?;
        if let Some((names, name)) = names.as_mut().zip(name) {
            names.insert(name, handle);
        }
        drop(names);
        let watch = |live: &Live| match &live.owner {
            Some(owner) => owner.watch(env, handle),
            None => true,
        };
        let is_alive = HISTOGRAMS
            .get(handle, &sections::enter())
            .is_some_and(watch);
        if !is_alive {
            remove(handle);
        }
        Ok(enif_make_uint64(env, handle))
    }
}
reading_nif!("histogram_new", 4, new);

/// Takes a histogram away; whether it was there.
fn remove(handle: u64) -> bool {
    let name = HISTOGRAMS
        .get(handle, &sections::enter())
        .and_then(|live| live.name);
    if let Some(name) = name {
        // Left behind at the worst: a name that leads nowhere is free.
        if let Ok(mut names) = tried(|| NAMES.try_write()) {
            if names.get(&name) == Some(&handle) {
                names.remove(&name);
            }
        }
    }
    let was_there = HISTOGRAMS.remove(handle);
    sections::reclaim();
    was_there
}

unsafe fn delete(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    let removed = match unsafe { handle_of(env, args[0]) } {
        Ok(handle) => remove(handle),
        Err(Fault::Wrong(_)) => false,
        Err(fault) => return Err(fault),
    };
    Ok(crate::boundary::boolean(removed))
}
reading_nif!("histogram_delete", 1, delete);

unsafe fn whereis(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        if enif_is_atom(env, args[0]) == 0 {
            return Ok(enif_make_badarg(env));
        }
        let handle = match handle_of(env, args[0]) {
            Err(Fault::Wrong(_)) => None,
            handle => Some(handle?),
        };
        let found = handle.filter(|&handle| HISTOGRAMS.get(handle, &sections::enter()).is_some());
        Ok(match found {
            Some(handle) => enif_make_uint64(env, handle),
            None => atoms::undefined().as_c_arg(),
        })
    }
}
reading_nif!("histogram_whereis", 1, whereis);

unsafe fn info(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        with_histogram(env, args[0], |live, _| {
            let layout = live.histogram.layout();
            let keys = [
                atoms::precision(),
                atoms::max(),
                atoms::name(),
                atoms::owner(),
                atoms::memory(),
            ];
            let mut values = [
                enif_make_uint(env, layout.precision().into()),
                enif_make_uint64(env, layout.max()),
                live.name
                    .map_or(atoms::undefined().as_c_arg(), crate::boundary::immediate),
                match &live.owner {
                    Some(owner) => owner.pid(env),
                    None => atoms::none().as_c_arg(),
                },
                enif_make_uint64(env, live.histogram.memory() as u64),
            ];
            let mut keys = keys.map(|key| key.as_c_arg());
            let mut map = std::mem::MaybeUninit::uninit();
            enif_make_map_from_arrays(
                env,
                keys.as_mut_ptr(),
                values.as_mut_ptr(),
                keys.len(),
                map.as_mut_ptr(),
            );
            map.assume_init()
        })
    }
}
reading_nif!("histogram_info", 1, info);

unsafe fn snapshot(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let snapshot = with_histogram(env, args[0], |live, _| live.snapshot(on_dirty))??;
        Ok(encoded(env, &snapshot))
    }
}
reading_nif!("histogram_snapshot", 1, snapshot);

unsafe fn cumulative(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let snapshot = with_histogram(env, args[0], |live, _| live.cumulative(on_dirty))??;
        Ok(encoded(env, &snapshot))
    }
}
reading_nif!("histogram_cumulative", 1, cumulative);

unsafe fn reset(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { with_histogram(env, args[0], |live, _| live.reset(on_dirty))?? };
    Ok(atoms::ok().as_c_arg())
}
reading_nif!("histogram_reset", 1, reset);
