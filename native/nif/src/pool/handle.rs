//! Pools as Erlang holds them: integers, or the names of some.

use super::checkout::milliseconds;
use super::effects::{self, Message};
use super::manager::Failure;
use super::watch::Watch;
use super::worker::Worker;
use crate::atoms;
use crate::boundary::{boolean, small, tuple};
use crate::clock::nanoseconds;
use crate::registry::{Identified, Identity, Registry};
use crate::tried::Fault;
use pool_core::choice::{Strategy, CELLS, LOAD};
use pool_core::pool::{Config, Deferred, Mode, Pool, Shell};
use rustler::sys::*;
use rustler::types::atom::Atom;
use std::hash::{BuildHasher, RandomState};
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use sync_core::combining::Combining;

/// What pools are used by here.
pub struct Vm;

impl Shell for Vm {
    type Worker = Worker;
    type Message = Message;
    type Watch = Watch;
}

/// What a handle leads to.
pub struct Live {
    pub pool: Combining<Pool<Vm>>,
    manager: ErlNifPid,
    /// Of the manager, with which the pool ends.
    watch: OnceLock<Watch>,
    /// In which the times of those who waited are recorded.
    pub wait_histogram: Option<u64>,
    pub failure: Failure,
    identity: Identity,
}

// SAFETY: the pid is a number; all else may be shared.
unsafe impl Sync for Live {}
// SAFETY: as above.
unsafe impl Send for Live {}

impl Live {
    pub fn manager(&self) -> ErlNifPid {
        self.manager
    }
}

impl Identified for Live {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

pub static POOLS: Registry<Live> = Registry::new(3, atoms::invalid_pool);

/// Calls `body` with the pool that a term stands for, unless it is locked.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
#[inline(always)]
pub unsafe fn with_pool<R>(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
    body: impl FnOnce(&mut Pool<Vm>, u64) -> R,
) -> Result<R, Fault> {
    // SAFETY: the caller's promise.
    unsafe { with_pool_and_sender(env, env, term, body) }
}

/// As [`with_pool`]; `sender` is the environment in which messages are sent, or null.
///
/// # Safety
/// As for [`with_pool`].
#[inline(always)]
pub unsafe fn with_pool_and_sender<R>(
    env: *mut ErlNifEnv,
    sender: *mut ErlNifEnv,
    term: ErlNifTerm,
    body: impl FnOnce(&mut Pool<Vm>, u64) -> R,
) -> Result<R, Fault> {
    let mut body = Some(body);
    // SAFETY: the caller's promise.
    let (handle, result) = unsafe {
        POOLS.with_handle(env, term, |handle, live, _| {
            let mut locked = |pool: &mut Pool<Vm>| body.take().map(|body| body(pool, handle));
            (handle, sync_core::tried(|| live.pool.try_with(&mut locked)))
        })?
    };
    let (result, effects) = result.ok_or(Fault::Busy)?;
    if !effects.is_empty() {
        /// What a process is charged a hundredth of its time for.
        const EACH: usize = 20;
        let percent = (effects.len() / EACH).min(100);
        // SAFETY: the caller's promise; the section is over.
        unsafe {
            effects::run(sender, handle, effects);
            if percent > 0 {
                enif_consume_timeslice(env, percent as i32);
            }
        }
    }
    result.ok_or(Fault::Busy)
}

/// A pool's options, as a map with all keys.
struct Options {
    env: *mut ErlNifEnv,
    map: ErlNifTerm,
}

impl Options {
    fn get(&self, key: Atom) -> Option<ErlNifTerm> {
        let mut value = MaybeUninit::uninit();
        // SAFETY: both terms are of the calling environment.
        unsafe {
            let found =
                enif_get_map_value(self.env, self.map, key.as_c_arg(), value.as_mut_ptr()) != 0;
            found.then(|| value.assume_init())
        }
    }

    fn within(&self, term: ErlNifTerm, least: u64, most: u64) -> Option<u64> {
        let number = u64::try_from(small(term)?).ok()?;
        (least..=most).contains(&number).then_some(number)
    }

    fn number(&self, key: Atom, least: u64, most: u64) -> Option<u64> {
        self.within(self.get(key)?, least, most)
    }

    /// In nanoseconds.
    fn milliseconds(&self, key: Atom) -> Option<u64> {
        Some(self.number(key, 0, MOST_MS)? * MS)
    }

    fn numbers<const N: usize>(&self, key: Atom, most: u64) -> Option<Option<[u64; N]>> {
        let value = self.get(key)?;
        if value == atoms::none().as_c_arg() {
            return Some(None);
        }
        // SAFETY: the term is of the calling environment.
        let terms: [ErlNifTerm; N] = unsafe { tuple(self.env, value) }?;
        let mut numbers = [0; N];
        for (number, term) in numbers.iter_mut().zip(terms) {
            *number = self.within(term, 1, most)?;
        }
        Some(Some(numbers))
    }

    fn config(&self) -> Option<Config> {
        let strategies = [
            (atoms::fifo(), Strategy::Fifo),
            (atoms::lifo(), Strategy::Lifo),
            (atoms::round_robin(), Strategy::RoundRobin),
            (atoms::random(), Strategy::Random),
            (atoms::least_loaded(), Strategy::LeastLoaded),
            (atoms::p2c(), Strategy::P2c),
            (atoms::hash(), Strategy::Hash),
        ];
        let strategy = self.get(atoms::strategy())?;
        let is_it = |(name, _): &&(Atom, Strategy)| name.as_c_arg() == strategy;
        let (_, strategy) = *strategies.iter().find(is_it)?;
        let queue = self.get(atoms::queue())?;
        let queue = if queue == atoms::infinity().as_c_arg() {
            u32::MAX.into()
        } else {
            self.within(queue, 0, u32::MAX.into())?
        };
        let adaptive = self.numbers::<3>(atoms::adaptive(), u32::MAX.into())?;
        let is_ordered = |[min, max, initial]: [u64; 3]| min <= initial && initial <= max;
        if adaptive.is_some_and(|limits| !is_ordered(limits)) {
            return None;
        }
        let codel = self.numbers::<2>(atoms::codel(), MOST_MS)?;
        let resets = self.get(atoms::reset())?;
        if resets != boolean(true) && resets != boolean(false) {
            return None;
        }
        Some(Config {
            strategy,
            concurrency: self.number(atoms::concurrency(), 1, LOAD.into())? as u32,
            max: self.number(atoms::max(), 0, CELLS.into())? as u32,
            queue: queue as u32,
            barging: self.milliseconds(atoms::barging())?,
            codel: codel.map(|[target, interval]| (target * MS, interval * MS)),
            adaptive: adaptive.map(|limits| {
                let [min, max, initial] = limits.map(|limit| limit as u32);
                (min, max, initial)
            }),
            resets: resets == boolean(true),
            latency_decay: self.milliseconds(atoms::latency_decay())?,
            checkout_timeout: milliseconds(self.get(atoms::checkout_timeout())?)?,
            seed: RandomState::new().hash_one(0),
        })
    }

    fn wait_histogram(&self) -> Option<Option<u64>> {
        let handle = self.get(atoms::wait_histogram())?;
        if handle == atoms::none().as_c_arg() {
            return Some(None);
        }
        Some(Some(u64::try_from(small(handle)?).ok()?))
    }
}

pub const MS: u64 = 1_000_000;
/// A hundred years.
pub const MOST_MS: u64 = 100 * 366 * 24 * 3600 * 1000;

unsafe fn new(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let options = Options { env, map: args[2] };
        let Some(manager) = local_pid(env, args[1]) else {
            return Ok(enif_make_badarg(env));
        };
        let none = atoms::none().as_c_arg();
        let identity = Identity::read(env, args[0], none, |_| false);
        let (Some(identity), Some(config), Some(wait_histogram)) =
            (identity, options.config(), options.wait_histogram())
        else {
            return Ok(enif_make_badarg(env));
        };
        let live = Live {
            pool: Combining::new(Pool::new(config)),
            manager,
            watch: OnceLock::new(),
            wait_histogram,
            failure: Failure::default(),
            identity,
        };
        let added = POOLS.add(env, live)?;
        let is_watched = POOLS.with_handle(env, added, |handle, live, _| {
            let watch = Watch::new(env, &manager, manager_down, handle, 0);
            watch.is_some_and(|watch| live.watch.set(watch).is_ok())
        })?;
        if !is_watched {
            POOLS.delete(env, added)?;
        }
        Ok(added)
    }
}
tried_nif!("pool_new", 3, new);

/// A process of this node.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
pub unsafe fn local_pid(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<ErlNifPid> {
    let mut pid = MaybeUninit::uninit();
    // SAFETY: the caller's promise.
    unsafe { (enif_get_local_pid(env, term, pid.as_mut_ptr()) != 0).then(|| pid.assume_init()) }
}

/// # Safety
/// As for [`super::watch::Down`].
unsafe fn manager_down(env: *mut ErlNifEnv, handle: u64, _owner: u64) {
    // SAFETY: `env` is the environment of this call.
    unsafe { close(env, handle) };
}

/// Closes a pool for good. It goes when nobody waits for it any more.
///
/// # Safety
/// `env` must be the calling environment.
unsafe fn close(env: *mut ErlNifEnv, handle: u64) {
    POOLS.unname(handle);
    let now = nanoseconds();
    let effects = effects::defer(handle, Deferred::Close { now });
    // SAFETY: the caller's promise.
    unsafe { effects::run(env, handle, effects) };
}

unsafe fn delete(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let was_closed = |pool: &mut Pool<Vm>, handle| (handle, pool.mode() == Mode::Closed);
        let (handle, was_closed) = match with_pool(env, args[0], was_closed) {
            Err(Fault::Wrong(_)) => return Ok(boolean(false)),
            found => found?,
        };
        close(env, handle);
        Ok(boolean(!was_closed))
    }
}
tried_nif!("pool_delete", 1, delete);

unsafe fn whereis(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { POOLS.whereis(env, args[0]) }
}
tried_nif!("pool_whereis", 1, whereis);

impl Drop for Live {
    /// What is left of a large one is freed on a thread of its own.
    fn drop(&mut self) {
        const MANY: u32 = 2_000;
        let size = |pool: &mut Pool<Vm>| pool.owners() + pool.size();
        let size = self.pool.try_with(size).map(|(size, _)| size);
        if size.is_none_or(|size| size > MANY) {
            let nothing = Combining::new(Pool::new(Config::default()));
            let pool = std::mem::replace(&mut self.pool, nothing);
            crate::keeper::drop_elsewhere("erlmcp_pool", pool);
        }
    }
}
