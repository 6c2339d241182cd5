//! What pools, limits and breakers cost where many cores use one, counted instead of timed, in the
//! manner of `cache_lines`: pool_core as it is, whose memory is watched, and threads that are played
//! in turn by one. Each has a lock, whose line is written twice by an operation.
//!
//! Not counted: reads of what others wrote, and the lines by which handles are found.

pub mod arena;

use arena::{inside, Watch};
use erlmcp_bench_lines::{self as lines, Counts};
use pool_core::breaker::gate::Gate;
use pool_core::breaker::machine::{Entry, Machine, Outcome, Token};
use pool_core::breaker::settings::{Settings, Span, Wait};
use pool_core::choice::Strategy;
use pool_core::limiter::bucket::{Bucket, Plan};
use pool_core::limiter::shard::{Room, Rules, Shard};
use pool_core::limiter::{Ask, Verdict};
use pool_core::pool::{Answer, Config, Pool, Shell, Want};
use std::num::NonZeroU32;
use sync_core::combining::Combine;

#[repr(align(64))]
#[derive(Default)]
struct Lock(#[allow(dead_code)] u64);

impl Lock {
    fn with<T>(&self, body: impl FnOnce() -> T) -> T {
        lines::write(self);
        let result = body();
        lines::write(self);
        result
    }
}

/// Something that threads use together.
pub trait Target {
    /// What one thread does once; whether that ended an operation.
    fn step(&mut self, thread: usize, random: &mut Random) -> bool;
    fn watch(&mut self) -> &mut Watch;
}

struct Nothing;

impl Shell for Nothing {
    type Worker = u64;
    type Message = ();
    type Watch = ();
}

/// A checkout and, when the thread comes by again, the checkin.
struct OfPool {
    lock: Lock,
    pool: Box<Pool<Nothing>>,
    watch: Watch,
    held: Vec<Option<u64>>,
    now: u64,
}

impl OfPool {
    fn new(strategy: Strategy, workers: u32, threads: usize) -> Self {
        let config = Config {
            strategy,
            max: workers,
            seed: 1,
            ..Config::default()
        };
        let (mut pool, watch) = Watch::of(1 << 16, || {
            let mut pool = Box::new(Pool::new(config));
            for worker in 0..workers {
                assert!(pool.add(worker.into(), u64::MAX, 0).is_some());
            }
            pool
        });
        pool.effects().clear();
        OfPool {
            lock: Lock::default(),
            pool,
            watch,
            held: vec![None; threads],
            now: 0,
        }
    }
}

impl Target for OfPool {
    fn step(&mut self, thread: usize, random: &mut Random) -> bool {
        self.now += 100;
        let (pool, now) = (&mut self.pool, self.now);
        match self.held[thread].take() {
            None => {
                let want = Want {
                    owner: 1 + thread as u64,
                    priority: 1,
                    key: random.draw(),
                };
                let answer = self
                    .lock
                    .with(|| inside(|| pool.checkout(want, now, |_| Some(()))));
                let Answer::Granted { lease, .. } = answer else {
                    panic!("there are more workers than threads");
                };
                self.held[thread] = Some(lease);
                false
            }
            Some(lease) => {
                assert!(self
                    .lock
                    .with(|| inside(|| pool.checkin(lease, false, now))));
                true
            }
        }
    }

    fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }
}

/// A check of one of so many keys.
struct OfLimiter {
    shards: Box<[(Lock, Shard<Bucket>)]>,
    rules: Rules<Plan>,
    watch: Watch,
    keys: u64,
    now: u64,
}

impl OfLimiter {
    fn new(shards: usize, keys: u64) -> Self {
        let plan = Plan::new(1_000_000_000, 1_000_000_000, 1_000_000_000);
        let rules = Rules {
            plan: plan.expect("within its bounds"),
            block: None,
            room: Room::new(1 << 20),
        };
        let (shards, watch) = Watch::of(1 << 22, || {
            (0..shards).map(|_| Default::default()).collect()
        });
        let mut limiter = OfLimiter {
            shards,
            rules,
            watch,
            keys,
            now: 1,
        };
        (0..keys).for_each(|key| limiter.take(key));
        limiter
    }

    fn take(&mut self, key: u64) {
        // As a hash: the upper half chooses the shard.
        let hash = u128::from(Random(key).draw()) << 64 | u128::from(Random(!key).draw());
        let at = (hash >> 64) as usize & (self.shards.len() - 1);
        let (lock, shard) = &mut self.shards[at];
        let (rules, now) = (&self.rules, self.now);
        let outcome = lock.with(|| inside(|| shard.take(rules, now, hash, &Ask::ONE)));
        assert!(matches!(outcome.verdict, Verdict::Taken { .. }));
    }
}

impl Target for OfLimiter {
    fn step(&mut self, _: usize, random: &mut Random) -> bool {
        self.now += 100;
        let key = random.draw() % self.keys;
        self.take(key);
        true
    }

    fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }
}

/// A call that succeeds.
struct OfBreaker {
    lock: Lock,
    gate: Box<Gate>,
    machine: Box<Machine>,
    watch: Watch,
    now: u64,
}

impl OfBreaker {
    fn new(window: Option<Span>) -> Self {
        let settings = Settings {
            failures: NonZeroU32::new(5),
            failure_rate: window.map(|_| 0.5),
            slow_rate: None,
            minimum_calls: 10,
            window,
            slow_call: None,
            wait: Wait {
                first: 60_000_000_000,
                factor: 1.0,
                longest: u64::MAX,
                jitter: 0.0,
            },
            probes: 1,
            successes: 1,
            probe_timeout: None,
        };
        let ((gate, machine), watch) = Watch::of(1 << 16, || {
            let machine = Box::new(Machine::new(settings, 1, 1));
            (Box::new(Gate::new(&machine)), machine)
        });
        OfBreaker {
            lock: Lock::default(),
            gate,
            machine,
            watch,
            now: 1,
        }
    }
}

impl Target for OfBreaker {
    fn step(&mut self, _: usize, _: &mut Random) -> bool {
        self.now += 100;
        let Some(Entry::Pass(began)) = self.gate.enter(self.now) else {
            panic!("it is closed");
        };
        if !self.gate.is_nothing(began, self.now) {
            let (gate, machine, now) = (&self.gate, &mut self.machine, self.now);
            self.lock.with(|| {
                inside(|| machine.leave(Token::Pass(began), Outcome::Success, now));
                gate.set(machine);
            });
        }
        true
    }

    fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }
}

pub struct Kind {
    pub name: &'static str,
    /// Nanoseconds that an operation takes one thread alone in the VM, near enough.
    pub alone_ns: f64,
    /// Whether all is under one lock, so that nobody goes on while a line of it moves.
    pub is_serial: bool,
    /// For so many threads.
    pub make: fn(usize) -> Box<dyn Target>,
}

const fn pool(name: &'static str, make: fn(usize) -> Box<dyn Target>) -> Kind {
    Kind {
        name,
        alone_ns: 140.0,
        is_serial: true,
        make,
    }
}

pub const WORKERS: u32 = 256;

pub const KINDS: [Kind; 9] = [
    pool("pool, lifo", |threads| {
        Box::new(OfPool::new(Strategy::Lifo, WORKERS, threads))
    }),
    pool("pool, fifo", |threads| {
        Box::new(OfPool::new(Strategy::Fifo, WORKERS, threads))
    }),
    pool("pool, least_loaded", |threads| {
        Box::new(OfPool::new(Strategy::LeastLoaded, WORKERS, threads))
    }),
    pool("pool, p2c", |threads| {
        Box::new(OfPool::new(Strategy::P2c, WORKERS, threads))
    }),
    pool("pool, hash", |threads| {
        Box::new(OfPool::new(Strategy::Hash, WORKERS, threads))
    }),
    Kind {
        name: "limiter, one key",
        alone_ns: 60.0,
        is_serial: true,
        make: |_| Box::new(OfLimiter::new(1, 1)),
    },
    Kind {
        name: "limiter, 65,536 keys",
        alone_ns: 110.0,
        is_serial: false,
        make: |_| Box::new(OfLimiter::new(32, 1 << 16)),
    },
    Kind {
        name: "breaker, failures in a row",
        alone_ns: 60.0,
        is_serial: false,
        make: |_| Box::new(OfBreaker::new(None)),
    },
    Kind {
        name: "breaker, last 100 calls",
        alone_ns: 80.0,
        is_serial: true,
        make: |_| Box::new(OfBreaker::new(NonZeroU32::new(100).map(Span::Calls))),
    },
];

/// From a fixed seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }
}

/// Operations by threads in random order, counted once every thread has met most lines.
pub fn count(target: &mut dyn Target, threads: usize, operations: usize) -> Counts {
    let mut random = Random(1);
    let mut run = |operations: usize| {
        let mut done = 0;
        while done < operations {
            let thread = (random.draw() % threads as u64) as usize;
            lines::switch_to(thread);
            done += usize::from(target.step(thread, &mut random));
            target.watch().tell();
        }
    };
    run(operations.min(64 * threads));
    lines::start();
    run(operations);
    lines::stop()
}
