//! Several limits in one call: all take what is asked for, or none does.
//!
//! Locks are only tried: who does not get all of them lets go of those it has and comes back later.

use super::check::{make_refused, make_verdict, note, read_ask, with_events, Events};
use super::handle::{Kind, Limiter, Shards, LIMITERS};
use crate::atoms;
use crate::boundary::{cell, tuple};
use crate::clock::nanoseconds;
use crate::tried::Fault;
use parking_lot::MutexGuard;
use pool_core::limiter::bucket::Bucket;
use pool_core::limiter::shard::{Outcome, Shard};
use pool_core::limiter::window::{Counts, Log};
use pool_core::limiter::{Meter, Verdict, LARGEST};
use rustler::sys::*;
use smallvec::SmallVec;
use sync_core::sections;

/// More are refused: their locks are all held at once.
const MOST: usize = 16;

/// Longer keys, together, are hashed on a dirty scheduler.
const MOST_BYTES: usize = 128 * 1024;

struct Part<'a> {
    limiter: &'a Limiter,
    key: u128,
    /// Of those that are the same.
    cost: u64,
    /// Among the locks.
    lock: usize,
    /// Where it first stands.
    nth: usize,
}

/// A shard that is locked.
enum Lock<'a> {
    Bucket(&'a Shards<Bucket>, MutexGuard<'a, Shard<Bucket>>),
    Log(&'a Shards<Log>, MutexGuard<'a, Shard<Log>>),
    Counts(&'a Shards<Counts>, MutexGuard<'a, Shard<Counts>>),
}

impl<'a> Lock<'a> {
    fn new(limiter: &'a Limiter, key: u128) -> Result<Self, Fault> {
        Ok(match &limiter.kind {
            Kind::Bucket(shards) => Lock::Bucket(shards, shards.lock(key)?),
            Kind::Log(shards) => Lock::Log(shards, shards.lock(key)?),
            Kind::Counts(shards) => Lock::Counts(shards, shards.lock(key)?),
            Kind::Held(_) => return Err(Fault::Wrong(atoms::unsupported())),
        })
    }

    /// Whether it is the one that a key is in.
    fn is_of(&self, limiter: &Limiter, key: u128) -> bool {
        fn is<M: Meter>(
            held: &Shards<M>,
            shard: &MutexGuard<Shard<M>>,
            shards: &Shards<M>,
            key: u128,
        ) -> bool {
            std::ptr::eq(held, shards) && shards.is_at(key, MutexGuard::mutex(shard))
        }
        match (self, &limiter.kind) {
            (Lock::Bucket(held, shard), Kind::Bucket(shards)) => is(held, shard, shards, key),
            (Lock::Log(held, shard), Kind::Log(shards)) => is(held, shard, shards, key),
            (Lock::Counts(held, shard), Kind::Counts(shards)) => is(held, shard, shards, key),
            _ => false,
        }
    }

    fn look(&self, now: u64, part: &Part, priority: usize) -> Verdict {
        let ask = part.limiter.ask(part.cost, priority);
        match self {
            Lock::Bucket(shards, shard) => shard.look(&shards.rules, now, part.key, &ask),
            Lock::Log(shards, shard) => shard.look(&shards.rules, now, part.key, &ask),
            Lock::Counts(shards, shard) => shard.look(&shards.rules, now, part.key, &ask),
        }
    }

    fn take(&mut self, now: u64, part: &Part, priority: usize) -> Outcome {
        let ask = part.limiter.ask(part.cost, priority);
        match self {
            Lock::Bucket(shards, shard) => shard.take(&shards.rules, now, part.key, &ask),
            Lock::Log(shards, shard) => shard.take(&shards.rules, now, part.key, &ask),
            Lock::Counts(shards, shard) => shard.take(&shards.rules, now, part.key, &ask),
        }
    }
}

type Handles = SmallVec<[(u64, ErlNifTerm, ErlNifTerm); 4]>;

/// The handles and keys of `[{Limiter, Key}]`, and of each the external form that is at its place in
/// another list, if any.
///
/// # Safety
/// `env` must be the calling environment and the lists terms of it.
unsafe fn read(
    env: *mut ErlNifEnv,
    list: ErlNifTerm,
    externals: ErlNifTerm,
) -> Result<Handles, Fault> {
    let mut handles = Handles::new();
    let (mut list, mut externals) = (list, externals);
    // SAFETY: the caller's promise.
    unsafe {
        while let Some((head, tail)) = cell(env, list) {
            let [limiter, key] = tuple::<2>(env, head)
                .filter(|_| handles.len() < MOST)
                .ok_or(Fault::Wrong(atoms::invalid_value()))?;
            let external = cell(env, externals).map(|(external, rest)| {
                externals = rest;
                external
            });
            let external = external.unwrap_or(externals);
            handles.push((LIMITERS.handle_of(env, limiter)?, key, external));
            list = tail;
        }
        if handles.is_empty() || enif_is_empty_list(env, list) == 0 {
            return Err(Fault::Wrong(atoms::invalid_value()));
        }
    }
    Ok(handles)
}

unsafe fn check_all(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 4],
    is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (cost, priority) = read_ask(env, args[1], args[2])?;
        let handles = read(env, args[0], args[3])?;
        let section = sections::enter();
        let mut parts = SmallVec::<[Part; 4]>::new();
        let mut bytes = 0;
        for (nth, &(handle, key, external)) in handles.iter().enumerate() {
            let limiter = LIMITERS
                .handles
                .get(handle, &section)
                .ok_or(Fault::Wrong(atoms::invalid_limiter()))?;
            let (key, size) = limiter.secrets.key_and_size(env, key, external)?;
            bytes += size;
            if bytes > MOST_BYTES && !is_dirty {
                return Err(Fault::Large);
            }
            let same = |part: &&mut Part| std::ptr::eq(part.limiter, limiter) && part.key == key;
            if let Some(part) = parts.iter_mut().find(same) {
                part.cost = (part.cost + cost).min(LARGEST);
                continue;
            }
            parts.push(Part {
                limiter,
                key,
                cost,
                lock: 0,
                nth: nth + 1,
            });
        }
        // Not before all keys are hashed, since others wait meanwhile.
        let mut locks = SmallVec::<[Lock; 4]>::new();
        for part in &mut parts {
            let is_its = |lock: &Lock| lock.is_of(part.limiter, part.key);
            part.lock = match locks.iter().position(is_its) {
                Some(lock) => lock,
                None => {
                    locks.push(Lock::new(part.limiter, part.key)?);
                    locks.len() - 1
                }
            };
        }
        let now = nanoseconds();
        let is_refused = |part: &&Part| {
            let verdict = locks[part.lock].look(now, part, priority);
            matches!(verdict, Verdict::Refused { .. })
        };
        let refusing: SmallVec<[&Part; 4]> = parts.iter().filter(is_refused).collect();
        let mut events = Events::new();
        let answer = if refusing.is_empty() {
            let mut least = LARGEST;
            for part in &parts {
                let outcome = locks[part.lock].take(now, part, priority);
                note(&outcome, part.nth, &mut events);
                if let Verdict::Taken { left, .. } = outcome.verdict {
                    least = least.min(left);
                }
            }
            let verdict = Verdict::Taken {
                left: least,
                ahead: 0,
            };
            make_verdict(env, verdict)
        } else {
            let mut longest = 0;
            for part in refusing {
                // It is refused again, which is counted.
                let outcome = locks[part.lock].take(now, part, priority);
                note(&outcome, part.nth, &mut events);
                if let Verdict::Refused { wait } = outcome.verdict {
                    longest = longest.max(wait);
                }
            }
            make_refused(env, longest)
        };
        drop(locks);
        Ok(if events.is_empty() {
            answer
        } else {
            with_events(env, answer, &events)
        })
    }
}
tried_nif!("limiter_check_all", 4, check_all);
