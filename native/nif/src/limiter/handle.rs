//! Limiters as Erlang holds them: integers, or the names of some.

use super::key::Secrets;
use super::permits::Permits;
use crate::atoms;
use crate::boundary::{make_map, tuple};
use crate::registry::{Identified, Identity, Registry};
use crate::tried::{tried, Fault};
use parking_lot::{Mutex, MutexGuard};
use pool_core::limiter::bucket::{self, Bucket};
use pool_core::limiter::held;
use pool_core::limiter::shard::{Block, Room, Rules, Shard, Tally};
use pool_core::limiter::window::{Counts, CountsPlan, Log, LogPlan, LOGGED};
use pool_core::limiter::{Ask, Meter, LARGEST, LONGEST};
use rustler::sys::*;
use rustler::types::atom::Atom;

/// What a handle leads to.
pub struct Limiter {
    pub secrets: Secrets,
    pub kind: Kind,
    /// By priority, the highest first.
    asks: [Ask; PRIORITIES],
    config: Config,
    identity: Identity,
}

impl Identified for Limiter {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

pub static LIMITERS: Registry<Limiter> = Registry::new(4, atoms::invalid_limiter);

pub const PRIORITIES: usize = 3;
pub const NORMAL: usize = 1;

/// The meters of all keys.
pub enum Kind {
    /// In leaky buckets also: see [`Config`].
    Bucket(Shards<Bucket>),
    Log(Shards<Log>),
    Counts(Shards<Counts>),
    Held(Box<Permits>),
}

/// Evaluates the body with the shards of whatever kind it is: one of rates.
macro_rules! with_shards {
    ($limiter:expr, $shards:ident => $body:expr) => {
        match &$limiter.kind {
            $crate::limiter::handle::Kind::Bucket($shards) => $body,
            $crate::limiter::handle::Kind::Log($shards) => $body,
            $crate::limiter::handle::Kind::Counts($shards) => $body,
            $crate::limiter::handle::Kind::Held(_) => {
                Err($crate::tried::Fault::Wrong($crate::atoms::unsupported()))
            }
        }
    };
}
pub(super) use with_shards;

/// A key's shard has a lock of its own.
pub struct Shards<M: Meter> {
    pub rules: Rules<M::Plan>,
    /// As many as a power of two.
    shards: Box<[Padded<M>]>,
}

/// Two lines, which are fetched together.
#[repr(align(128))]
struct Padded<M: Meter>(Mutex<Shard<M>>);

/// So many keys a shard is for: its table grows in some 50 us.
pub const KEYS_BY_SHARD: u64 = 2048;
/// With more keys, going through all shards is for a dirty scheduler.
const MANY_KEYS: u64 = 600 * KEYS_BY_SHARD;
/// With fewer keys there is one shard: which key goes next is told within a shard.
const FEW_KEYS: u64 = 512;

pub fn shards_for(max_keys: u64) -> usize {
    if max_keys < FEW_KEYS {
        return 1;
    }
    (max_keys / KEYS_BY_SHARD).next_power_of_two().max(8) as usize
}

impl<M: Meter> Shards<M> {
    fn new(plan: M::Plan, config: &Config) -> Self {
        let shards = (0..shards_for(config.max_keys)).map(|_| Padded(Mutex::default()));
        Shards {
            rules: config.rules(plan),
            shards: shards.collect(),
        }
    }

    #[inline(always)]
    fn shard(&self, key: u128) -> &Mutex<Shard<M>> {
        // The lower half is for the table.
        &self.shards[(key >> 64) as usize & (self.shards.len() - 1)].0
    }

    #[inline(always)]
    pub fn lock(&self, key: u128) -> Result<MutexGuard<'_, Shard<M>>, Fault> {
        let shard = self.shard(key);
        tried(|| shard.try_lock())
    }

    /// Whether a key is in this shard.
    pub fn is_at(&self, key: u128, shard: &Mutex<Shard<M>>) -> bool {
        std::ptr::eq(self.shard(key), shard)
    }

    fn totals(&self) -> Result<Totals, Fault> {
        let mut totals = Totals {
            memory: size_of_val(&*self.shards),
            ..Totals::default()
        };
        for shard in &self.shards {
            totals.add(&*tried(|| shard.0.try_lock())?);
        }
        Ok(totals)
    }
}

/// More keys are freed on a thread of their own.
pub const KEYS_TO_FREE: usize = 10_000;

impl<M: Meter> Drop for Shards<M> {
    fn drop(&mut self) {
        if self.rules.room.keys() > KEYS_TO_FREE {
            crate::keeper::drop_elsewhere("erlmcp_limiter", std::mem::take(&mut self.shards));
        }
    }
}

/// Of all shards.
#[derive(Default)]
pub struct Totals {
    keys: usize,
    memory: usize,
    tally: Tally,
}

impl Totals {
    pub fn add<M: Meter>(&mut self, shard: &Shard<M>) {
        self.keys += shard.keys();
        self.memory += shard.memory();
        self.tally.allowed += shard.tally.allowed;
        self.tally.refused += shard.tally.refused;
        self.tally.forgiven += shard.tally.forgiven;
        self.tally.blocked += shard.tally.blocked;
    }

    pub fn add_memory(&mut self, bytes: usize) {
        self.memory += bytes;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    TokenBucket,
    LeakyBucket,
    SlidingWindow,
    Concurrency,
}

impl Algorithm {
    fn atom(self) -> Atom {
        match self {
            Algorithm::TokenBucket => atoms::token_bucket(),
            Algorithm::LeakyBucket => atoms::leaky_bucket(),
            Algorithm::SlidingWindow => atoms::sliding_window(),
            Algorithm::Concurrency => atoms::concurrency(),
        }
    }

    fn read(term: ErlNifTerm) -> Option<Self> {
        use Algorithm::*;
        [TokenBucket, LeakyBucket, SlidingWindow, Concurrency]
            .into_iter()
            .find(|algorithm| algorithm.atom().as_c_arg() == term)
    }
}

/// What a limiter is made with. Times in nanoseconds.
pub struct Config {
    algorithm: Algorithm,
    limit: u64,
    per: u64,
    burst: u64,
    pub max_keys: u64,
    /// What must be left to higher priorities, the highest first.
    floors: [u64; PRIORITIES],
    /// Whether the highest always goes on.
    bypass: bool,
    block: Option<Block>,
}

const MOST_KEYS: u64 = 100_000_000;
const MILLISECOND: u64 = 1_000_000;

impl Config {
    /// From `{Algorithm, {Limit, Per, Burst}, MaxKeys, {High, Normal, Low}, Bypass, Block}`, block
    /// being `none` or `{Violations, Within, Duration}`, with times in milliseconds.
    ///
    /// # Safety
    /// `env` must be the calling environment and `term` a term of it.
    unsafe fn read(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Self> {
        // SAFETY: the caller's promise.
        unsafe {
            let [algorithm, rate, max_keys, floors, bypass, block] = tuple::<6>(env, term)?;
            let [limit, per, burst] = numbers(env, rate)?;
            let block = if block == atoms::none().as_c_arg() {
                None
            } else {
                let [violations, within, duration] = numbers(env, block)?;
                Some(Block {
                    violations: u32::try_from(violations).ok().filter(|&count| count > 0)?,
                    within: time(within)?,
                    duration: time(duration)?,
                })
            };
            let is_bypass = bypass == atoms::r#true().as_c_arg();
            if !is_bypass && bypass != atoms::r#false().as_c_arg() {
                return None;
            }
            let config = Config {
                algorithm: Algorithm::read(algorithm)?,
                limit,
                per: time(per)?,
                burst,
                max_keys: number(env, max_keys)?,
                floors: numbers(env, floors)?,
                bypass: is_bypass,
                block,
            };
            config.is_sound().then_some(config)
        }
    }

    fn is_sound(&self) -> bool {
        let fits = |number: u64| (1..=LARGEST).contains(&number);
        fits(self.limit)
            && fits(self.burst)
            && (1..=MOST_KEYS).contains(&self.max_keys)
            && self.floors.iter().all(|&floor| floor < self.most())
    }

    /// The most that can be taken at once.
    fn most(&self) -> u64 {
        match self.algorithm {
            Algorithm::TokenBucket | Algorithm::LeakyBucket => self.burst,
            Algorithm::SlidingWindow | Algorithm::Concurrency => self.limit,
        }
    }

    pub fn rules<P>(&self, plan: P) -> Rules<P> {
        Rules {
            plan,
            block: self.block,
            room: Room::new(self.max_keys as usize),
        }
    }

    fn kind(&self) -> Option<Kind> {
        Some(match self.algorithm {
            Algorithm::TokenBucket | Algorithm::LeakyBucket => {
                let plan = bucket::Plan::new(self.limit, self.per, self.burst)?;
                Kind::Bucket(Shards::new(plan, self))
            }
            Algorithm::SlidingWindow if self.limit <= LOGGED as u64 => {
                Kind::Log(Shards::new(LogPlan::new(self.limit, self.per)?, self))
            }
            Algorithm::SlidingWindow => {
                Kind::Counts(Shards::new(CountsPlan::new(self.limit, self.per)?, self))
            }
            Algorithm::Concurrency => {
                let permits = Permits::new(held::Plan::new(self.limit)?, self);
                Kind::Held(Box::new(permits))
            }
        })
    }
}

fn time(milliseconds: u64) -> Option<u64> {
    let time = milliseconds.checked_mul(MILLISECOND)?;
    (1..=LONGEST).contains(&time).then_some(time)
}

/// # Safety
/// `env` must be the calling environment and `term` a term of it.
pub unsafe fn number(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<u64> {
    let mut number = 0;
    // SAFETY: the caller's promise.
    let is_number = unsafe { enif_get_uint64(env, term, &mut number) != 0 };
    is_number.then_some(number)
}

/// # Safety
/// As for [`number`].
unsafe fn numbers(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<[u64; 3]> {
    // SAFETY: the caller's promise.
    unsafe {
        let [first, second, third] = tuple::<3>(env, term)?;
        Some([
            number(env, first)?,
            number(env, second)?,
            number(env, third)?,
        ])
    }
}

impl Limiter {
    /// What one of a priority asks for.
    #[inline(always)]
    pub fn ask(&self, cost: u64, priority: usize) -> Ask {
        Ask {
            cost,
            ..self.asks[priority]
        }
    }

    /// Its leaky buckets, if it has any.
    pub fn leaky(&self) -> Result<&Shards<Bucket>, Fault> {
        match &self.kind {
            Kind::Bucket(shards) if self.config.algorithm == Algorithm::LeakyBucket => Ok(shards),
            _ => Err(Fault::Wrong(atoms::unsupported())),
        }
    }

    fn totals(&self) -> Result<Totals, Fault> {
        match &self.kind {
            Kind::Bucket(shards) => shards.totals(),
            Kind::Log(shards) => shards.totals(),
            Kind::Counts(shards) => shards.totals(),
            Kind::Held(permits) => permits.totals(),
        }
    }
}

unsafe fn limiter_new(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (Some(config), Some(identity)) = (
            Config::read(env, args[2]),
            Identity::read(env, args[0], args[1], remove),
        ) else {
            return Ok(enif_make_badarg(env));
        };
        if !on_dirty && config.max_keys > MANY_KEYS {
            return Err(Fault::Large);
        }
        let Some(kind) = config.kind() else {
            return Ok(enif_make_badarg(env));
        };
        let limiter = Limiter {
            secrets: Secrets::new(),
            kind,
            asks: std::array::from_fn(|priority| Ask {
                cost: 1,
                floor: config.floors[priority],
                bypass: config.bypass && priority == 0,
            }),
            config,
            identity,
        };
        LIMITERS.add(env, limiter)
    }
}
tried_nif!("limiter_new", 3, limiter_new);

fn remove(handle: u64) -> bool {
    LIMITERS.remove(handle)
}

unsafe fn limiter_delete(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { LIMITERS.delete(env, args[0]) }
}
tried_nif!("limiter_delete", 1, limiter_delete);

unsafe fn limiter_whereis(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { LIMITERS.whereis(env, args[0]) }
}
tried_nif!("limiter_whereis", 1, limiter_whereis);

unsafe fn limiter_names(env: *mut ErlNifEnv, _args: &[ErlNifTerm; 0]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment.
    unsafe { LIMITERS.names(env) }
}
nif!("limiter_names", 0, DirtyCpu, limiter_names);

unsafe fn limiter_info(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        LIMITERS.with(env, args[0], |limiter, _| {
            let config = &limiter.config;
            if !on_dirty && config.max_keys > MANY_KEYS {
                return Err(Fault::Large);
            }
            let totals = limiter.totals()?;
            let (name, owner) = limiter.identity.terms(env);
            let number = |number: u64| enif_make_uint64(env, number);
            let pairs = [
                (atoms::name(), name),
                (atoms::owner(), owner),
                (atoms::algorithm(), config.algorithm.atom().as_c_arg()),
                (atoms::limit(), number(config.limit)),
                (atoms::per(), number(config.per / MILLISECOND)),
                (atoms::burst(), number(config.burst)),
                (atoms::max_keys(), number(config.max_keys)),
                (atoms::keys(), number(totals.keys as u64)),
                (atoms::memory(), number(totals.memory as u64)),
                (atoms::allowed(), number(totals.tally.allowed)),
                (atoms::refused(), number(totals.tally.refused)),
                (atoms::forgiven(), number(totals.tally.forgiven)),
                (atoms::blocked(), number(totals.tally.blocked)),
            ];
            Ok(make_map(env, pairs))
        })?
    }
}
tried_nif!("limiter_info", 1, limiter_info);
