//! Limits on what is in use at once: permits, which end with the process that has them.

use super::check::{make_ok, make_refused, note, read_ask, with_events, Events};
use super::handle::{shards_for, Config, Kind, Totals, KEYS_TO_FREE, LIMITERS};
use crate::atoms;
use crate::boundary::{small, word};
use crate::clock::nanoseconds;
use crate::pool::watch::Watch;
use crate::tried::{tried, Fault};
use pool_core::leases::Leases;
use pool_core::limiter::held::{Held, Plan};
use pool_core::limiter::shard::{Outcome, Rules, Shard};
use pool_core::limiter::{Ask, Verdict};
use rustler::sys::*;
use std::hash::{BuildHasher, RandomState};
use std::mem::MaybeUninit;
use sync_core::combining::{Combine, Combining};
use sync_core::sections;

pub struct Permits {
    lock: Combining<Uses>,
}

/// What is in use, by key and by process.
struct Uses {
    rules: Rules<Plan>,
    shards: Box<[Shard<Held>]>,
    leases: Leases<Permit, Watch>,
    /// Processes that have ended, and of which there may still be permits.
    dying: Vec<u64>,
    /// Of processes of which there are none any more.
    ended: Vec<Watch>,
}

/// So many permits of processes that have ended are given back at once: some 50 us.
const AT_ONCE: usize = 1_000;

#[derive(Clone, Copy, Default)]
struct Permit {
    key: u128,
    cost: u64,
}

impl Combine for Uses {
    /// A process, which has ended.
    type Deferred = u64;
    type Effect = Watch;

    fn apply(&mut self, owner: u64) {
        self.dying.push(owner);
        self.take_back();
    }

    fn effects(&mut self) -> &mut Vec<Watch> {
        &mut self.ended
    }
}

impl Uses {
    /// Whether everything that processes had when they ended has been given back.
    fn take_back(&mut self) -> bool {
        for _ in 0..AT_ONCE {
            let Some(&owner) = self.dying.last() else {
                return true;
            };
            match self.leases.first_of(owner) {
                Some(permit) => self.give_back(permit),
                None => {
                    self.dying.pop();
                    self.ended.extend(self.leases.leave(owner));
                }
            }
        }
        self.dying.is_empty()
    }

    fn shard(&self, key: u128) -> usize {
        (key >> 64) as usize & (self.shards.len() - 1)
    }

    fn give_back(&mut self, permit: u32) {
        let Permit { key, cost } = self.leases[permit];
        self.leases.end(permit);
        let shard = self.shard(key);
        self.shards[shard].update(&self.rules, nanoseconds(), key, |held| held.give_back(cost));
    }

    fn acquire(
        &mut self,
        key: u128,
        ask: &Ask,
        owner: u64,
        watch: impl FnOnce() -> Option<Watch>,
    ) -> Acquired {
        let now = nanoseconds();
        // First, so that what is taken has an owner.
        let Some(permit) = self.leases.take(owner, watch) else {
            return Acquired::TooMany;
        };
        let shard = self.shard(key);
        let outcome = self.shards[shard].take(&self.rules, now, key, ask);
        if let Verdict::Refused { .. } = outcome.verdict {
            self.leases.end(permit);
            return Acquired::Answer(outcome, 0);
        }
        self.leases[permit] = Permit {
            key,
            cost: ask.cost,
        };
        Acquired::Answer(outcome, self.leases.number(permit))
    }
}

enum Acquired {
    Answer(Outcome, u64),
    TooMany,
}

impl Permits {
    pub fn new(plan: Plan, config: &Config) -> Self {
        let shards = (0..shards_for(config.max_keys)).map(|_| Shard::default());
        let seed = RandomState::new().hash_one(0) as u32;
        Permits {
            lock: Combining::new(Uses {
                rules: config.rules(plan),
                shards: shards.collect(),
                leases: Leases::new(seed),
                dying: Vec::new(),
                ended: Vec::new(),
            }),
        }
    }

    /// Calls `body` under the lock. Where a process has ended that had very much, whoever comes gives some
    /// of it back, and comes again: so all is as if it had been given back at once.
    fn with<R>(&self, body: impl Fn(&mut Uses) -> R) -> Result<R, Fault> {
        let body = |uses: &mut Uses| uses.take_back().then(|| body(uses));
        let (answer, ended) = tried(|| self.lock.try_with(body))?;
        drop(ended);
        answer.ok_or(Fault::Busy)
    }

    pub fn look(&self, key: u128, ask: &Ask) -> Result<Verdict, Fault> {
        self.with(|uses| {
            let shard = &uses.shards[uses.shard(key)];
            shard.look(&uses.rules, nanoseconds(), key, ask)
        })
    }

    pub fn unblock(&self, key: u128) -> Result<bool, Fault> {
        self.with(|uses| {
            let shard = uses.shard(key);
            uses.shards[shard].unblock(nanoseconds(), key)
        })
    }

    pub fn blocked_for(&self, key: u128) -> Result<u64, Fault> {
        self.with(|uses| uses.shards[uses.shard(key)].blocked_for(nanoseconds(), key))
    }

    pub fn totals(&self) -> Result<Totals, Fault> {
        self.with(|uses| {
            let mut totals = Totals::default();
            totals.add_memory(size_of_val(&*uses.shards) + uses.leases.memory());
            uses.shards.iter().for_each(|shard| totals.add(shard));
            totals
        })
    }
}

impl Drop for Permits {
    /// What is left of many is freed on a thread of its own.
    fn drop(&mut self) {
        let left = self.lock.try_with(|uses| {
            let is_large = uses.leases.count() as usize + uses.rules.room.keys() > KEYS_TO_FREE;
            is_large.then(|| {
                let leases = std::mem::replace(&mut uses.leases, Leases::new(0));
                (leases, std::mem::take(&mut uses.shards))
            })
        });
        if let Some((Some(large), _)) = left {
            crate::keeper::drop_elsewhere("erlmcp_limiter", large);
        }
    }
}

unsafe fn acquire(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 5],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (cost, priority) = read_ask(env, args[2], args[3])?;
        let mut process = MaybeUninit::uninit();
        if enif_self(env, process.as_mut_ptr()).is_null() {
            return Ok(enif_make_badarg(env));
        }
        let process = process.assume_init();
        let owner = word(enif_make_pid(env, process));
        LIMITERS.with_handle(env, args[0], |handle, limiter, _| {
            let Kind::Held(permits) = &limiter.kind else {
                return Err(Fault::Wrong(atoms::unsupported()));
            };
            let key = limiter.secrets.key(env, args[1], args[4])?;
            let ask = limiter.ask(cost, priority);
            let watch = || Watch::new(env, &process, ended, handle, owner);
            let acquired = permits.with(|uses| uses.acquire(key, &ask, owner, watch))?;
            let Acquired::Answer(outcome, permit) = acquired else {
                return Err(Fault::Wrong(atoms::system_limit()));
            };
            let answer = match outcome.verdict {
                Verdict::Taken { .. } => make_ok(env, enif_make_uint64(env, permit)),
                Verdict::Refused { wait } => make_refused(env, wait),
            };
            let mut events = Events::new();
            note(&outcome, 1, &mut events);
            Ok(if events.is_empty() {
                answer
            } else {
                with_events(env, answer, &events)
            })
        })?
    }
}
tried_nif!("limiter_acquire", 5, acquire);

/// A process has ended.
unsafe fn ended(_env: *mut ErlNifEnv, handle: u64, owner: u64) {
    let section = sections::enter();
    let Some(limiter) = LIMITERS.handles.get(handle, &section) else {
        return;
    };
    if let Kind::Held(permits) = &limiter.kind {
        drop(permits.lock.defer(owner));
    }
}

unsafe fn release(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let number = small(args[1]).map(i64::cast_unsigned);
        LIMITERS.with(env, args[0], |limiter, _| {
            let Kind::Held(permits) = &limiter.kind else {
                return Err(Fault::Wrong(atoms::unsupported()));
            };
            let Some(number) = number else {
                return Err(Fault::Wrong(atoms::invalid_value()));
            };
            let is_released = permits.with(|uses| {
                let permit = uses.leases.find(number);
                permit.is_some_and(|permit| {
                    uses.give_back(permit);
                    true
                })
            })?;
            let answer = if is_released {
                atoms::ok()
            } else {
                atoms::stale()
            };
            Ok(answer.as_c_arg())
        })?
    }
}
tried_nif!("limiter_release", 2, release);
