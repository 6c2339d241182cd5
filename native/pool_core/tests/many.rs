//! What a random walk seldom comes to: many who wait, many leases, limits that meet.

use pool_core::choice::Strategy;
use pool_core::pool::{Answer, Config, Effect, Mode, Pool, Retired, Shell, Want, Why};
use std::collections::VecDeque;
use sync_core::combining::Combine;

struct Test;

impl Shell for Test {
    type Worker = u32;
    type Message = u64;
    type Watch = ();
}

const MS: u64 = 1_000_000;
const NEVER: u64 = u64::MAX;

/// A pool of so many workers, whose waiters use the numbers of their leases as messages would.
struct Fixture {
    pool: Pool<Test>,
    now: u64,
    workers: Vec<u64>,
    held: VecDeque<u64>,
    waiting: Vec<u64>,
    growths: usize,
}

fn config() -> Config {
    Config {
        max: 100,
        barging: MS,
        ..Config::default()
    }
}

fn want(owner: u64) -> Want {
    Want {
        owner,
        priority: 1,
        key: 0,
    }
}

impl Fixture {
    fn new(config: Config, workers: u32) -> Self {
        let mut pool = Pool::new(config);
        let workers = (0..workers).map(|worker| pool.add(worker, u64::MAX, 0).unwrap());
        let workers = workers.collect();
        Fixture {
            pool,
            now: MS,
            workers,
            held: VecDeque::new(),
            waiting: Vec::new(),
            growths: 0,
        }
    }

    fn take(&mut self, owner: u64) {
        match self.pool.checkout(want(owner), self.now, |_| Some(())) {
            Answer::Granted { lease, .. } => self.held.push_back(lease),
            answer => panic!("{answer:?}"),
        }
    }

    /// Waits, with the place in `waiting` as the message.
    fn wait(&mut self, owner: u64, deadline: u64) -> Answer<u32> {
        let message = self.waiting.len() as u64;
        let watch = |_| Some(());
        let answer = self
            .pool
            .wait(want(owner), message, deadline, self.now, watch);
        if let Answer::Waiting(lease) = answer {
            self.waiting.push(lease);
        }
        answer
    }

    fn give_back(&mut self) {
        let lease = self.held.pop_front().unwrap();
        assert!(self.pool.checkin(lease, false, self.now));
    }

    /// The leases of those told since the last time.
    fn told(&mut self) -> Vec<u64> {
        let mut told = Vec::new();
        for effect in self.pool.effects().drain(..) {
            match effect {
                Effect::Wake(message) => told.push(self.waiting[message as usize]),
                Effect::Grow => self.growths += 1,
                _ => (),
            }
        }
        told
    }

    /// All who are told come and claim, and give back what they get, until nobody is told any
    /// more; the answers, in order.
    fn follow(&mut self) -> Vec<Answer<u32>> {
        let mut answers = Vec::new();
        let mut told = VecDeque::from(self.told());
        while let Some(lease) = told.pop_front() {
            let answer = self.pool.claim(lease, None, self.now);
            if matches!(answer, Answer::Granted { .. }) {
                assert!(self.pool.checkin(lease, false, self.now));
            }
            answers.push(answer);
            told.extend(self.told());
        }
        answers
    }
}

/// However many there are before it whose time is over, one that waits is served as soon as they
/// have come to see it.
#[test]
fn many_out_of_time_hold_nobody_up() {
    let mut it = Fixture::new(config(), 1);
    it.take(0);
    for owner in 1..=1_000 {
        it.wait(owner, it.now + 20 * MS);
    }
    it.wait(2_000, NEVER);
    let last = it.waiting[1_000];
    it.now += 20 * MS;
    it.give_back();
    assert_eq!(it.told(), []);
    let mut cancelled = 0;
    let told = loop {
        let lease = it.waiting[cancelled];
        assert_eq!(it.pool.cancel(lease, it.now), Answer::Timeout);
        cancelled += 1;
        let told = it.told();
        if !told.is_empty() {
            break told;
        }
    };
    assert_eq!(told, [last]);
    assert!(cancelled < 20, "{cancelled}");
    let answer = it.pool.claim(last, None, it.now);
    let waited = Some(20 * MS);
    assert_eq!(
        answer,
        Answer::Granted {
            worker: 0,
            lease: last,
            waited
        }
    );
    for lease in it.waiting[cancelled..1_000].iter().copied() {
        assert_eq!(it.pool.cancel(lease, it.now), Answer::Timeout);
    }
    assert_eq!(it.pool.counts.timeouts, 1_000);
}

/// The same if they die in place of coming.
#[test]
fn many_dead_hold_nobody_up() {
    let mut it = Fixture::new(config(), 1);
    it.take(0);
    for owner in 1..=1_000 {
        it.wait(owner, it.now + 20 * MS);
    }
    it.wait(2_000, NEVER);
    it.now += 20 * MS;
    it.give_back();
    (1..=1_000).for_each(|owner| it.pool.died(owner, it.now));
    assert_eq!(it.told(), it.waiting[1_000..]);
}

#[test]
fn all_are_told_that_it_is_closed() {
    let mut it = Fixture::new(config(), 0);
    (0..1_000).for_each(|owner| assert!(matches!(it.wait(owner, NEVER), Answer::Waiting(_))));
    it.pool.set_mode(Mode::Closed, it.now);
    let answers = it.follow();
    assert_eq!(answers.len(), 1_000);
    assert!(answers.iter().all(|answer| *answer == Answer::Closed));
    assert_eq!(it.wait(0, NEVER), Answer::Closed);
}

/// All are served in the order in which they came, whether they were told to look or got their
/// worker before.
#[test]
fn many_are_served_in_order() {
    for pause in [0, 2 * MS] {
        let mut it = Fixture::new(config(), 3);
        (0..3).for_each(|owner| it.take(owner));
        for owner in 10..1_010 {
            it.now += 1;
            it.wait(owner, NEVER);
        }
        it.now += pause;
        it.give_back();
        let mut order = Vec::new();
        while let [lease] = it.told()[..] {
            order.push(lease);
            let answer = it.pool.claim(lease, None, it.now);
            assert!(matches!(answer, Answer::Granted { .. }), "{answer:?}");
            it.now += 1;
            assert!(it.pool.checkin(lease, false, it.now));
        }
        assert_eq!(order, it.waiting);
        assert_eq!(it.growths, 1, "asked for once");
    }
}

/// Resumed, a pool whose many workers are free serves all who came meanwhile.
#[test]
fn all_are_served_after_a_pause() {
    let config = Config {
        strategy: Strategy::LeastLoaded,
        concurrency: 1_000,
        ..config()
    };
    let mut it = Fixture::new(config, 2);
    it.pool.set_mode(Mode::Suspended, it.now);
    (0..1_500).for_each(|owner| assert!(matches!(it.wait(owner, NEVER), Answer::Waiting(_))));
    assert_eq!(it.told(), []);
    it.pool.set_mode(Mode::Open, it.now);
    let answers = it.follow();
    assert_eq!(answers.len(), 1_500);
    assert!(answers
        .iter()
        .all(|answer| matches!(answer, Answer::Granted { .. })));
}

/// An owner's many leases are taken back in parts.
#[test]
fn many_leases_of_the_dead_come_back() {
    let config = Config {
        concurrency: 10_000,
        ..config()
    };
    let mut it = Fixture::new(config, 1);
    (0..10_000).for_each(|_| it.take(7));
    it.pool.died(7, it.now);
    let mut parts = 1;
    while let Some(Effect::More(owner)) = it.pool.effects().pop() {
        assert_eq!(owner, 7);
        it.pool.died(owner, it.now);
        parts += 1;
    }
    assert_eq!((it.pool.in_use(), it.pool.owners()), (0, 0));
    assert_eq!(it.pool.counts.reclaimed, 10_000);
    assert!(parts > 1);
}

/// What was kept of owners that have ended is for new ones, and not without bound.
#[test]
fn what_is_kept_of_the_dead_is_bounded() {
    let mut it = Fixture::new(
        Config {
            concurrency: 10_000,
            ..config()
        },
        1,
    );
    (0..1_000).for_each(|owner| it.take(owner));
    (0..1_000).for_each(|owner| it.pool.died(owner, it.now));
    let is_end = |effect: &Effect<Test>| matches!(effect, Effect::Ended(Some(()), None));
    let ended = it.pool.effects().drain(..).filter(is_end).count();
    let mut spare = 0;
    for owner in 1_000..2_000 {
        it.pool.checkout(want(owner), it.now, |kept| {
            spare += usize::from(kept.is_some());
            Some(())
        });
    }
    assert!(0 < spare && spare < 1_000);
    assert_eq!(ended + spare, 1_000);
}

/// Room under the limit is room, also where a worker's end made it.
#[test]
fn the_end_of_a_worker_is_room_under_the_limit() {
    let config = Config {
        adaptive: Some((2, 2, 2)),
        ..config()
    };
    let mut it = Fixture::new(config, 1);
    it.take(0);
    it.wait(1, NEVER);
    it.wait(2, NEVER);
    it.now += 2 * MS;
    assert!(it.pool.add(1, u64::MAX, it.now).is_some());
    assert_eq!(it.told(), it.waiting[..1]);
    assert!(it.pool.add(2, u64::MAX, it.now).is_some());
    assert_eq!(it.told(), [], "a worker is free, but two are used");
    assert_eq!(it.wait(3, NEVER), Answer::Overloaded, "at once");
    assert!(it.pool.remove(it.workers[0], it.now));
    assert_eq!(it.told(), it.waiting[1..]);
}

/// A worker that was to retire goes, although its next user has died before having it.
#[test]
fn a_use_that_never_began_does_not_keep_a_worker() {
    let mut it = Fixture::new(config(), 1);
    it.take(0);
    it.wait(1, NEVER);
    it.now += 2 * MS;
    it.give_back();
    assert_eq!(it.told(), it.waiting);
    let retired = it.pool.retire(it.workers[0], it.now);
    assert_eq!(retired, Some(Retired::Retiring));
    it.pool.died(1, it.now);
    let is_told = |effect: &Effect<Test>| matches!(effect, Effect::Keeper(0, _, Why::Retire));
    assert!(it.pool.effects().iter().any(is_told));
    assert_eq!((it.pool.away(), it.pool.in_use()), (1, 0));
}

/// Nor does it count as one of the uses that a worker has.
#[test]
fn a_use_that_never_began_does_not_count() {
    let mut it = Fixture::new(config(), 0);
    it.wait(1, NEVER);
    it.now += 2 * MS;
    it.pool.add(0, 1, it.now);
    assert_eq!(it.told(), it.waiting);
    it.pool.died(1, it.now);
    it.take(2);
    it.give_back();
    assert_eq!(it.pool.away(), 1, "it is used up");
}

/// Those above the target are turned away, and not the last one.
#[test]
fn codel_shortens_a_standing_queue() {
    let config = Config {
        codel: Some((5 * MS, 100 * MS)),
        ..config()
    };
    let mut it = Fixture::new(config, 1);
    it.take(0);
    let mut served = 0;
    // Three come for two that can be served.
    for step in 0..3_000u64 {
        it.now += 5 * MS;
        if step % 3 != 2 {
            it.wait(step, NEVER);
            it.wait(step, NEVER);
        }
        if step % 2 == 0 {
            if let Some(lease) = it.held.pop_front() {
                assert!(it.pool.checkin(lease, false, it.now));
            }
        }
        for lease in it.told() {
            match it.pool.claim(lease, None, it.now) {
                Answer::Granted { lease, .. } => {
                    served += 1;
                    it.held.push_back(lease);
                }
                answer => assert_eq!(answer, Answer::Overloaded),
            }
        }
    }
    let counts = it.pool.counts;
    assert_eq!(served, 1_500, "never idle");
    assert!(counts.dropped > 1_000, "{counts:?}");
    assert!(it.pool.waiting() < 500, "{}", it.pool.waiting());
}

#[test]
fn a_lease_is_one_of_its_pool_only() {
    let fixture = |seed| Fixture::new(Config { seed, ..config() }, 1);
    let (mut one, mut other) = (fixture(1), fixture(2));
    one.take(0);
    other.take(0);
    assert!(!other.pool.checkin(one.held[0], false, MS));
    other.give_back();
    assert!(!other.pool.checkin(one.held[0], false, MS));
    one.give_back();
}
