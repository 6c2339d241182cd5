//! A pool and a naive one go through the same steps: whatever the one answers and tells, the other
//! does. And of the naive one, where it is easily seen, it is checked that it keeps what a pool
//! promises.

mod keeping;
mod naive;

use naive::{Lease, Naive, State, Told};
use pool_core::choice::Strategy;
use pool_core::pool::{Answer, Config, Effect, Mode, Pool, Shell, Want, WorkerState};
use proptest::prelude::Strategy as _;
use proptest::prelude::*;
use proptest::sample::Index;
use std::cell::Cell;
use std::collections::HashSet;
use sync_core::combining::Combine;

struct Test;

impl Shell for Test {
    type Worker = u32;
    type Message = u64;
    type Watch = u64;
}

const MS: u64 = 1_000_000;
const NEVER: u64 = u64::MAX;

type Checked = Result<(), TestCaseError>;

#[derive(Clone, Debug)]
enum Step {
    /// One of the owners, a priority, a key.
    Checkout(usize, u8, u64),
    /// And for how long.
    Wait(usize, u8, u64, u64),
    /// By somebody who has not been watched yet and is not alive any more.
    TooLate(bool),
    /// By one of those who have been told; else by any that is not settled.
    Claim(Index, bool),
    ClaimAny(Index, bool),
    Cancel(Index),
    Checkin(Index, bool),
    CheckinToReset(Index),
    /// A lease that has ended is claimed, cancelled and checked in.
    Stale(Index),
    Died(usize),
    Add(u64),
    Remove(Index),
    Retire(Index),
    TakeAway(Index),
    TakeIdle(Index, u64),
    BringBack(Index),
    Gone,
    Mode(Mode),
    Resize(u32),
    Demand,
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    let index = any::<Index>;
    let owner = || 0..OWNERS;
    let timeout = prop_oneof![Just(0), Just(MS), Just(50 * MS), Just(NEVER)];
    let most = prop_oneof![3 => Just(u64::MAX), 1 => 1..4u64];
    let mode = prop_oneof![
        6 => Just(Mode::Open),
        3 => Just(Mode::Suspended),
        2 => Just(Mode::Draining),
        1 => Just(Mode::Closed),
    ];
    let demands = prop_oneof![
        20 => (owner(), 0..4u8, 0..5u64).prop_map(|(o, p, k)| Step::Checkout(o, p, k)),
        30 => (owner(), 0..4u8, 0..5u64, timeout).prop_map(|(o, p, k, t)| Step::Wait(o, p, k, t)),
        2 => any::<bool>().prop_map(Step::TooLate),
        25 => (index(), prop::bool::weighted(0.9)).prop_map(|(i, m)| Step::Claim(i, m)),
        3 => (index(), any::<bool>()).prop_map(|(i, m)| Step::ClaimAny(i, m)),
        10 => index().prop_map(Step::Cancel),
        30 => (index(), prop::bool::weighted(0.1)).prop_map(|(i, b)| Step::Checkin(i, b)),
        3 => index().prop_map(Step::CheckinToReset),
        2 => index().prop_map(Step::Stale),
        4 => owner().prop_map(Step::Died),
    ];
    let workers = prop_oneof![
        15 => most.prop_map(Step::Add),
        3 => index().prop_map(Step::Remove),
        2 => index().prop_map(Step::Retire),
        3 => index().prop_map(Step::TakeAway),
        2 => (index(), 0..2 * MS).prop_map(|(i, l)| Step::TakeIdle(i, l)),
        20 => index().prop_map(Step::BringBack),
        1 => Just(Step::Gone),
        1 => mode.prop_map(Step::Mode),
        1 => (0..8u32).prop_map(Step::Resize),
        2 => Just(Step::Demand),
    ];
    prop_oneof![3 => demands, 1 => workers]
}

fn config() -> impl proptest::strategy::Strategy<Value = Config> {
    let strategy = prop::sample::select(vec![
        Strategy::Fifo,
        Strategy::Lifo,
        Strategy::RoundRobin,
        Strategy::Random,
        Strategy::LeastLoaded,
        Strategy::P2c,
        Strategy::Hash,
    ]);
    let concurrency = prop_oneof![4 => Just(1), 3 => 2..5u32, 1 => Just(1_000_000)];
    let queue = prop_oneof![1 => 0..4u32, 3 => Just(u32::MAX)];
    let codel = prop_oneof![2 => Just(None), 1 => Just(Some((5 * MS, 20 * MS)))];
    let adaptive = prop_oneof![2 => Just(None), 1 => Just(Some((1, 6, 3)))];
    let barging = prop_oneof![Just(0), Just(MS)];
    let rest = (1..7u32, any::<bool>(), any::<u64>());
    (strategy, concurrency, queue, codel, adaptive, barging, rest).prop_map(
        |(strategy, concurrency, queue, codel, adaptive, barging, (max, resets, seed))| Config {
            strategy,
            concurrency,
            max,
            queue,
            barging,
            codel,
            adaptive,
            resets,
            latency_decay: 100 * MS,
            seed,
            ..Config::default()
        },
    )
}

/// How long a step comes after the one before; no two are at the same time.
fn pause() -> impl proptest::strategy::Strategy<Value = u64> {
    prop_oneof![
        10 => Just(1),
        10 => 1..MS / 4,
        3 => MS..2 * MS,
        2 => Just(MS),
        1 => Just(50 * MS),
        2 => 10 * MS..60 * MS,
    ]
}

const OWNERS: usize = 5;

struct Both {
    pool: Pool<Test>,
    naive: Naive,
    now: u64,
    /// Numbers of those that have not died.
    owners: [u64; OWNERS],
    next_owner: u64,
    next_message: u64,
    next_worker: u32,
    /// Leases and workers that there have ever been.
    seen: HashSet<u64>,
    ended: Vec<u64>,
    seen_workers: HashSet<u64>,
    gone: Vec<u64>,
}

impl Both {
    fn new(config: Config) -> Self {
        Both {
            naive: Naive::new(config.clone()),
            pool: Pool::new(config),
            now: 1_000 * MS,
            owners: std::array::from_fn(|owner| owner as u64),
            next_owner: OWNERS as u64,
            next_message: 0,
            next_worker: 0,
            seen: HashSet::new(),
            ended: Vec::new(),
            seen_workers: HashSet::new(),
            gone: Vec::new(),
        }
    }

    fn want(&self, owner: usize, priority: u8, key: u64) -> Want {
        Want {
            owner: self.owners[owner],
            priority,
            key,
        }
    }

    fn message(&mut self) -> u64 {
        self.next_message += 1;
        self.next_message
    }

    fn lease(&self, index: &Index, is_wanted: impl Fn(&Lease) -> bool) -> Option<Lease> {
        let wanted = self.naive.leases.iter().filter(|it| is_wanted(it));
        let wanted: Vec<Lease> = wanted.copied().collect();
        (!wanted.is_empty()).then(|| *index.get(&wanted))
    }

    fn worker(&self, index: &Index) -> Option<u64> {
        let workers = &self.naive.workers;
        (!workers.is_empty()).then(|| index.get(workers).number)
    }

    fn run(&mut self, pause: u64, step: Step) -> Checked {
        self.now += pause;
        let leases: Vec<u64> = self.naive.leases.iter().map(|it| it.number).collect();
        let workers: Vec<u64> = self.naive.workers.iter().map(|it| it.number).collect();
        self.step(step)?;
        let is_ended = |lease: &u64| self.naive.find(*lease).is_none();
        let ended: Vec<u64> = leases.into_iter().filter(is_ended).collect();
        self.ended.extend(ended);
        let is_gone = |worker: &u64| self.naive.find_worker(*worker).is_none();
        let gone: Vec<u64> = workers.into_iter().filter(is_gone).collect();
        self.gone.extend(gone);
        self.compare()?;
        self.is_sound()
    }

    fn step(&mut self, step: Step) -> Checked {
        let now = self.now;
        let given = Cell::new(None);
        self.naive.given = None;
        match step {
            Step::Checkout(owner, priority, key) => {
                let want = self.want(owner, priority, key);
                let others_may_be_passed = self.naive.waiting() == 0 || self.naive.may_pass(now);
                let answer = self.pool.checkout(want, now, |spare| {
                    given.set(spare);
                    Some(want.owner)
                });
                let lease = self.new_lease(&answer)?;
                if matches!(answer, Answer::Granted { .. }) {
                    prop_assert!(others_may_be_passed);
                }
                prop_assert_eq!(answer, self.naive.checkout(want, now, true, lease));
            }
            Step::Wait(owner, priority, key, timeout) => {
                let want = self.want(owner, priority, key);
                let (message, deadline) = (self.message(), now.saturating_add(timeout));
                let watch = |spare| {
                    given.set(spare);
                    Some(want.owner)
                };
                let answer = self.pool.wait(want, message, deadline, now, watch);
                let lease = self.new_lease(&answer)?;
                let waits = (message, deadline);
                prop_assert_eq!(answer, self.naive.wait(want, waits, now, true, lease));
            }
            Step::TooLate(waits) => {
                let want = Want {
                    owner: u64::MAX,
                    priority: 0,
                    key: 0,
                };
                let watch = |spare| {
                    given.set(spare);
                    None
                };
                let (answer, expected) = if waits {
                    let answer = self.pool.wait(want, 0, NEVER, now, watch);
                    (answer, self.naive.wait(want, (0, NEVER), now, false, 0))
                } else {
                    let answer = self.pool.checkout(want, now, watch);
                    (answer, self.naive.checkout(want, now, false, 0))
                };
                prop_assert_eq!(answer, expected);
            }
            Step::Claim(index, waits_on) => {
                let is_told =
                    |it: &Lease| matches!(it.state, State::Woken | State::Granted | State::Dropped);
                self.claim(self.lease(&index, is_told), waits_on)?;
            }
            Step::ClaimAny(index, waits_on) => {
                self.claim(self.lease(&index, |_| true), waits_on)?;
            }
            Step::Cancel(index) => {
                if let Some(lease) = self.lease(&index, |_| true) {
                    let answer = self.pool.cancel(lease.number, now);
                    prop_assert_eq!(answer, self.naive.cancel(lease.number, now));
                }
            }
            Step::Checkin(index, is_broken) => {
                let held = self.lease(&index, |it| it.state == State::Held);
                if let Some(lease) = held.or(self.lease(&index, |_| true)) {
                    let was_held = self.pool.checkin(lease.number, is_broken, now);
                    prop_assert_eq!(was_held, held.is_some());
                    prop_assert_eq!(self.naive.checkin(lease.number, is_broken, now), was_held);
                }
            }
            Step::CheckinToReset(index) => {
                if let Some(lease) = self.lease(&index, |_| true) {
                    let was_held = self.pool.checkin_to_reset(lease.number, now);
                    prop_assert_eq!(was_held, lease.state == State::Held);
                    let expected = self.naive.checkin_to_reset(lease.number, now);
                    prop_assert_eq!(was_held, expected);
                }
            }
            Step::Stale(index) => {
                if !self.ended.is_empty() {
                    let lease = *index.get(&self.ended);
                    prop_assert_eq!(self.pool.claim(lease, Some(0), now), Answer::Stale);
                    prop_assert_eq!(self.pool.cancel(lease, now), Answer::Stale);
                    prop_assert!(!self.pool.checkin(lease, true, now));
                }
            }
            Step::Died(owner) => {
                let owner = std::mem::replace(&mut self.owners[owner], self.next_owner);
                self.next_owner += 1;
                self.pool.died(owner, now);
                self.naive.died(owner, now);
            }
            Step::Add(most_uses) => {
                let worker = self.next_worker;
                self.next_worker += 1;
                let number = self.pool.add(worker, most_uses, now);
                if let Some(number) = number {
                    prop_assert!(self.seen_workers.insert(number));
                }
                let added = self.naive.add(worker, most_uses, now, number.unwrap_or(0));
                prop_assert_eq!(number.is_some(), added);
            }
            Step::Remove(index) => {
                if let Some(number) = self.worker(&index) {
                    let was_there = self.pool.remove(number, now);
                    prop_assert_eq!(was_there, self.naive.remove(number, now));
                }
            }
            Step::Retire(index) => {
                if let Some(number) = self.worker(&index) {
                    let retired = self.pool.retire(number, now);
                    prop_assert_eq!(retired, self.naive.retire(number, now));
                }
            }
            Step::TakeAway(index) => {
                if let Some(number) = self.worker(&index) {
                    let taken = self.pool.take_away(number);
                    prop_assert_eq!(taken, self.naive.take_away(number));
                }
            }
            Step::TakeIdle(index, longer) => {
                if let Some(number) = self.worker(&index) {
                    let taken = self.pool.take_away_if_idle(number, longer, now);
                    prop_assert_eq!(taken, self.naive.take_away_if_idle(number, longer, now));
                }
            }
            Step::BringBack(index) => {
                // Mostly one that is away.
                let away = self.naive.workers.iter().filter(|it| it.is_away);
                let away: Vec<u64> = away.map(|it| it.number).collect();
                let number = match &*away {
                    [] => self.worker(&index),
                    away => Some(*index.get(away)),
                };
                if let Some(number) = number {
                    prop_assert!(self.pool.bring_back(number, now));
                    self.naive.bring_back(number, now);
                }
            }
            Step::Gone => {
                if let Some(&number) = self.gone.last() {
                    prop_assert!(!self.pool.remove(number, now));
                    prop_assert!(!self.pool.bring_back(number, now));
                    prop_assert_eq!(self.pool.retire(number, now), None);
                    prop_assert_eq!(self.pool.take_away(number), None);
                    prop_assert!(!self.pool.take_away_if_idle(number, 0, now));
                }
            }
            Step::Mode(mode) => {
                self.pool.set_mode(mode, now);
                self.naive.set_mode(mode, now);
            }
            Step::Resize(max) => {
                self.pool.resize(max);
                self.naive.resize(max);
            }
            Step::Demand => prop_assert_eq!(self.pool.demand(), self.naive.demand()),
        }
        prop_assert_eq!(given.get(), self.naive.given);
        Ok(())
    }

    fn claim(&mut self, lease: Option<Lease>, waits_on: bool) -> Checked {
        if let Some(lease) = lease {
            let message = waits_on.then(|| self.message());
            let answer = self.pool.claim(lease.number, message, self.now);
            let is_settled = matches!(answer, Answer::Granted { .. });
            if let (true, State::Woken, Some(index)) =
                (is_settled, lease.state, self.naive.find(lease.number))
            {
                prop_assert!(!self.naive.is_behind(index, self.now), "out of order");
            }
            let expected = self.naive.claim(lease.number, message, self.now);
            prop_assert_eq!(answer, expected);
        }
        Ok(())
    }

    /// The number of the lease that was given, which is a new one.
    fn new_lease(&mut self, answer: &Answer<u32>) -> Result<u64, TestCaseError> {
        match answer {
            Answer::Granted { lease, .. } | Answer::Waiting(lease) => {
                prop_assert!(self.seen.insert(*lease), "given before");
                Ok(*lease)
            }
            _ => Ok(0),
        }
    }

    fn compare(&mut self) -> Checked {
        let (pool, naive) = (&mut self.pool, &mut self.naive);
        let mut told: Vec<Told> = pool.effects().drain(..).flat_map(told).collect();
        let mut expected = std::mem::take(&mut naive.told);
        told.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(told, expected);
        prop_assert_eq!(pool.mode(), naive.mode);
        prop_assert_eq!(pool.size() as usize, naive.workers.len());
        prop_assert_eq!(pool.in_use(), naive.in_use());
        let idle = naive.workers.iter().filter(|it| it.is_idle()).count();
        prop_assert_eq!(pool.idle() as usize, idle);
        let away = naive.workers.iter().filter(|it| it.is_away).count();
        prop_assert_eq!(pool.away() as usize, away);
        prop_assert_eq!(pool.waiting() as usize, naive.waiting());
        prop_assert_eq!(pool.owners() as usize, naive.owners.len());
        let limit = naive.adaptive.as_ref().map(|it| it.limit());
        prop_assert_eq!(pool.limit(), limit);
        let counts = format!("{:?}", naive.counts);
        prop_assert_eq!(format!("{:?}", pool.counts), counts);
        self.compare_listings()
    }

    fn compare_listings(&self) -> Checked {
        let (pool, naive, now) = (&self.pool, &self.naive, self.now);
        let workers = pool.workers(0, now);
        prop_assert!(workers.next.is_none());
        prop_assert_eq!(workers.items.len(), naive.workers.len());
        for info in workers.items {
            let worker = naive.find_worker(info.number);
            let worker = &naive.workers[worker.expect("it is there")];
            let state = match worker {
                it if it.is_away => WorkerState::Away,
                it if it.is_retiring => WorkerState::Retiring,
                it if it.in_use > 0 => WorkerState::InUse,
                _ => WorkerState::Idle,
            };
            let expected = (worker.worker, state, worker.uses, worker.in_use);
            prop_assert_eq!((info.worker, info.state, info.uses, info.in_use), expected);
            if naive.config.strategy == Strategy::P2c {
                let latency = worker.latency.value(now, naive.config.latency_decay);
                prop_assert_eq!(info.latency, latency);
            }
        }
        for longer in [0, MS] {
            let held = pool.held(0, longer, now).items;
            let held = held
                .into_iter()
                .map(|it| (it.lease, it.owner, it.worker, it.held));
            let held: HashSet<_> = held.collect();
            let expected = naive.leases.iter().filter_map(|it| {
                let worker = naive.find_worker(it.worker)?;
                let is_one = it.state == State::Held && now - it.since > longer;
                let worker = naive.workers[worker].worker;
                is_one.then_some((it.number, it.owner, worker, now - it.since))
            });
            prop_assert_eq!(held, expected.collect::<HashSet<_>>());
        }
        Ok(())
    }

    /// What a pool promises.
    fn is_sound(&self) -> Checked {
        let naive = &self.naive;
        // No worker is used by more than it may be, and none is used that nobody has.
        for worker in &naive.workers {
            let has_it = |it: &&Lease| {
                matches!(it.state, State::Held | State::Granted) && it.worker == worker.number
            };
            let users = naive.leases.iter().filter(has_it).count();
            prop_assert_eq!(users, worker.in_use as usize);
            prop_assert!(worker.in_use <= naive.config.concurrency);
            prop_assert!(worker.uses <= worker.most_uses);
        }
        // No worker is free while somebody waits who has not been told, unless there are those who
        // were told, or whose time is over, and will go on with it.
        let is_serving = !matches!(naive.mode, Mode::Suspended);
        let is_free = naive.mode == Mode::Closed || naive.room() > naive.count(State::Woken) as u64;
        if is_serving && is_free && naive.head().is_some() {
            let go_on = naive.unsettled() - naive.count(State::Waiting);
            prop_assert!(go_on >= naive::AT_ONCE, "forgotten");
        }
        Ok(())
    }

    /// All do what they are to do. Then nobody waits in vain, and everything comes back.
    fn come_to_rest(&mut self, any: Index) -> Checked {
        self.run(1, Step::Resize(100))?;
        self.run(1, Step::Add(u64::MAX))?;
        self.run(1, Step::Mode(Mode::Open))?;
        for _ in 0..10_000 {
            let told =
                |it: &Lease| matches!(it.state, State::Woken | State::Granted | State::Dropped);
            let is_over = |it: &Lease| it.state == State::Expired || it.deadline < self.now;
            let step = if self.naive.leases.iter().any(told) {
                Step::Claim(any, true)
            } else if self.naive.count(State::Held) > 0 {
                Step::Checkin(any, false)
            } else if self.naive.leases.iter().any(is_over) {
                let lease = self.lease(&any, is_over).expect("there is one");
                let answer = self.pool.cancel(lease.number, self.now);
                prop_assert_eq!(&answer, &Answer::Timeout);
                prop_assert_eq!(answer, self.naive.cancel(lease.number, self.now));
                Step::Demand
            } else if self.naive.workers.iter().any(|it| it.is_away) {
                Step::BringBack(any)
            } else {
                break;
            };
            self.run(1, step)?;
        }
        prop_assert_eq!(self.naive.leases.len(), 0, "in vain");
        for owner in 0..OWNERS {
            self.run(1, Step::Died(owner))?;
        }
        prop_assert_eq!(self.pool.owners(), 0);
        prop_assert_eq!(self.pool.in_use(), 0);
        Ok(())
    }
}

fn told(effect: Effect<Test>) -> Vec<Told> {
    match effect {
        Effect::Wake(message) => vec![Told::Wake(message)],
        Effect::Keeper(worker, number, why) => vec![Told::Keeper(worker, number, naive::why(why))],
        Effect::Grow => vec![Told::Grow],
        Effect::Drained => vec![Told::Drained],
        Effect::Unused => vec![Told::Unused],
        Effect::Ended(watch, worker) => {
            assert_eq!(watch, None, "kept for others");
            worker.map(Told::Ended).into_iter().collect()
        }
        Effect::More(_) => unreachable!("no owner has so many"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_the_naive_one(
        config in config(),
        workers in 0..5usize,
        steps in prop::collection::vec((pause(), step()), 1..400),
        any: Index,
    ) {
        let mut both = Both::new(config);
        for _ in 0..workers {
            both.run(1, Step::Add(u64::MAX))?;
        }
        for (pause, step) in steps {
            both.run(pause, step)?;
        }
        both.come_to_rest(any)?;
    }
}
