//! Meters against what they stand for, written plainly: a bucket of fluid in whole numbers as large
//! as need be, and a list of all that was let pass.

use pool_core::limiter::bucket::{self, Bucket};
use pool_core::limiter::held::{self, Held};
use pool_core::limiter::window::{Counts, CountsPlan, Log, LogPlan, LOGGED};
use pool_core::limiter::{Ask, Meter, Verdict, LARGEST, LONGEST, NEVER};
use proptest::prelude::*;

fn ask(cost: u64) -> Ask {
    Ask { cost, ..Ask::ONE }
}

fn left(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Taken { left, .. } => left,
        Verdict::Refused { wait } => panic!("refused for {wait} ns"),
    }
}

fn wait(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Taken { left, .. } => panic!("taken, {left} left"),
        Verdict::Refused { wait } => wait,
    }
}

const SOON: Verdict = Verdict::Refused { wait: 1 };

/// Holds `level / per` tokens, and gets `limit` of its units in each nanosecond.
struct Fluid {
    limit: u128,
    per: u128,
    capacity: u128,
    level: u128,
    time: u64,
}

impl Fluid {
    fn new(limit: u64, per: u64, burst: u64) -> Self {
        let capacity = u128::from(burst) * u128::from(per);
        Fluid {
            limit: limit.into(),
            per: per.into(),
            capacity,
            level: capacity,
            time: 0,
        }
    }

    fn take(&mut self, now: u64, ask: &Ask) -> Result<u64, u64> {
        self.level += u128::from(now - self.time) * self.limit;
        self.level = self.level.min(self.capacity);
        self.time = now;
        let floor = u128::from(ask.floor) * self.per;
        let cost = u128::from(ask.cost) * self.per;
        if self.level >= floor + cost {
            self.level -= cost;
        } else if ask.bypass {
            self.level = self.level.saturating_sub(cost);
        } else if floor + cost > self.capacity {
            return Err(NEVER);
        } else {
            let missing = floor + cost - self.level;
            return Err(missing.div_ceil(self.limit).min(u128::from(NEVER)) as u64);
        }
        Ok((self.level.saturating_sub(floor) / self.per) as u64)
    }
}

fn some_ask(most: u64) -> impl Strategy<Value = Ask> {
    (1..=most + 1, 0..=most, prop::bool::weighted(0.1)).prop_map(|(cost, floor, bypass)| Ask {
        cost,
        floor: if floor % 3 == 0 { floor / 2 } else { 0 },
        bypass,
    })
}

fn steps(most: u64, per: u64) -> impl Strategy<Value = Vec<(u64, Ask)>> {
    let step = prop_oneof![
        3 => Just(0),
        4 => 0..=per / most.max(1) + 1,
        1 => 0..=2 * per,
    ];
    let ask = prop_oneof![some_ask(most), some_ask(most.min(3))];
    prop::collection::vec((step, ask), 0..100)
}

fn limits() -> impl Strategy<Value = (u64, u64, u64, Vec<(u64, Ask)>)> {
    let limit = prop_oneof![1..=20_u64, 1..=LARGEST];
    let per = prop_oneof![1..=20_u64, 1..=2_000_000_000_u64, 1..=1_u64 << 56];
    (limit, per, prop_oneof![1..=20_u64, 1..=LARGEST]).prop_flat_map(|(limit, per, burst)| {
        (Just(limit), Just(per), Just(burst), steps(burst, per))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn bucket_is_one_of_fluid((limit, per, burst, steps) in limits()) {
        let plan = bucket::Plan::new(limit, per, burst).unwrap();
        let (mut bucket, mut fluid, mut now) = (Bucket::default(), Fluid::new(limit, per, burst), 0);
        for (passes, ask) in steps {
            now += passes;
            let missing = fluid.capacity - fluid.level;
            match (bucket.take(&plan, now, &ask), fluid.take(now, &ask)) {
                (Verdict::Taken { left, ahead }, Ok(expected)) => {
                    prop_assert_eq!(left, expected);
                    let before = missing.saturating_sub(u128::from(passes) * u128::from(limit));
                    prop_assert_eq!(
                        u128::from(plan.nanoseconds(ahead)),
                        before.div_ceil(u128::from(limit)).min(u128::from(NEVER))
                    );
                }
                (Verdict::Refused { wait }, Err(expected)) => {
                    prop_assert_eq!(wait, expected);
                    // It is exact: a nanosecond before it is not yet so.
                    if let Some(then) = now.checked_add(wait).filter(|_| wait != NEVER) {
                        let mut early = bucket;
                        let verdict = early.take(&plan, then - 1, &ask);
                        prop_assert_eq!(verdict, SOON);
                        let mut later = bucket;
                        left(later.take(&plan, then, &ask));
                    }
                }
                (verdict, expected) => prop_assert!(false, "{verdict:?} {expected:?}"),
            }
            let is_full = fluid.level == fluid.capacity;
            prop_assert_eq!(bucket.rank(&plan) <= Bucket::rank_of(&plan, now), is_full);
        }
    }

    #[test]
    fn log_is_one(
        (limit, per, steps) in (1..=LOGGED as u64, prop_oneof![1..=40_u64, 1..=1_u64 << 31])
            .prop_flat_map(|(limit, per)| (Just(limit), Just(per), steps(limit, per)))
    ) {
        let plan = LogPlan::new(limit, per).unwrap();
        let (mut log, mut all, mut now) = (Log::default(), Vec::<u64>::new(), 1 << 40);
        for (passes, ask) in steps {
            now += passes;
            let mut recent: Vec<u64> = all.iter().copied().filter(|time| time + per > now).collect();
            // Those that were let pass beside the limit push the oldest out.
            recent.drain(..recent.len().saturating_sub(limit as usize));
            let most = limit.saturating_sub(ask.floor);
            match log.take(&plan, now, &ask) {
                Verdict::Taken { left, .. } => {
                    let counted = recent.len() as u64 + ask.cost;
                    prop_assert!(ask.bypass || counted <= most);
                    prop_assert_eq!(left, most.saturating_sub(counted));
                    all.extend((0..ask.cost).map(|_| now));
                }
                Verdict::Refused { wait } => {
                    prop_assert!(!ask.bypass && recent.len() as u64 + ask.cost > most);
                    if wait == NEVER {
                        prop_assert!(ask.cost > most);
                        continue;
                    }
                    let mut early = log;
                    let verdict = early.take(&plan, now + wait - 1, &ask);
                    prop_assert_eq!(verdict, SOON);
                    let mut later = log;
                    left(later.take(&plan, now + wait, &ask));
                }
            }
            let is_idle = all.iter().all(|time| time + per <= now);
            prop_assert_eq!(log.rank(&plan) <= Log::rank_of(&plan, now), is_idle);
        }
    }

    /// Of coarse ticks and of slices: what is let pass a log would have let pass, and what is
    /// refused a log over a somewhat longer window would have refused.
    #[test]
    fn windows_are_never_exceeded(
        is_log: bool,
        (limit, per, steps) in (1..=40_u64, prop_oneof![1..=100_u64, 1..=1_u64 << 31, 1..=1_u64 << 56])
            .prop_flat_map(|(limit, per)| (Just(limit), Just(per), steps(limit, per)))
    ) {
        if is_log {
            let limit = limit.min(LOGGED as u64);
            let plan = LogPlan::new(limit, per).unwrap();
            never_exceeded::<Log>(&plan, limit, per, 3 * (per.div_ceil(1 << 31) - 1), &steps)?;
        } else {
            let plan = CountsPlan::new(limit, per).unwrap();
            never_exceeded::<Counts>(&plan, limit, per, per.div_ceil(15) + 14, &steps)?;
        }
    }

    #[test]
    fn held_is_a_number(
        limit in 1..50_u64,
        steps in prop::collection::vec((any::<bool>(), some_ask(50)), 0..100)
    ) {
        let plan = held::Plan::new(limit).unwrap();
        let (mut held, mut permits) = (Held::default(), Vec::new());
        for (takes, ask) in steps {
            let sum: u64 = permits.iter().sum();
            let most = limit.saturating_sub(ask.floor);
            if !takes {
                if let Some(cost) = permits.pop() {
                    held.give_back(cost);
                }
            } else if ask.bypass || sum + ask.cost <= most {
                let room = most.saturating_sub(sum + ask.cost);
                prop_assert_eq!(left(held.take(&plan, 0, &ask)), room);
                permits.push(ask.cost);
            } else {
                let expected = if ask.cost > most { NEVER } else { 0 };
                prop_assert_eq!(wait(held.take(&plan, 0, &ask)), expected);
            }
            prop_assert_eq!(held.rank(&plan) == 0, permits.is_empty());
        }
    }
}

fn never_exceeded<M: Meter>(
    plan: &M::Plan,
    limit: u64,
    per: u64,
    late: u64,
    steps: &[(u64, Ask)],
) -> Result<(), TestCaseError> {
    let (mut meter, mut all, mut now) = (M::default(), Vec::<u64>::new(), 7);
    let count = |all: &[u64], per: u64, now: u64| {
        all.iter().filter(|&&time| time + per > now).count() as u64
    };
    for (passes, ask) in steps {
        now += passes;
        let ask = Ask {
            bypass: false,
            ..*ask
        };
        let most = limit.saturating_sub(ask.floor);
        let before = meter;
        match meter.take(plan, now, &ask) {
            Verdict::Taken { left, .. } => {
                all.extend((0..ask.cost).map(|_| now));
                let exact = count(&all, per, now);
                prop_assert!(exact <= most);
                prop_assert!(left <= most - exact);
            }
            Verdict::Refused { wait } => {
                prop_assert!(count(&all, per + late, now) + ask.cost > most);
                prop_assert_eq!(wait == NEVER, ask.cost > most);
                if wait != NEVER {
                    let mut early = before;
                    let verdict = early.take(plan, now + wait - 1, &ask);
                    prop_assert_eq!(verdict, SOON);
                    let mut later = before;
                    left(later.take(plan, now + wait, &ask));
                }
            }
        }
        let is_idle = meter.rank(plan) <= M::rank_of(plan, now);
        prop_assert!(!is_idle || count(&all, per, now) == 0);
        prop_assert!(is_idle || count(&all, per + late, now) > 0);
    }
    Ok(())
}

#[test]
fn as_many_as_the_limit_and_no_more() {
    for limit in [1, 2, 3, 15, 16, 17, 1000] {
        let second = 1_000_000_000;
        let plan = bucket::Plan::new(limit, second, limit).unwrap();
        let mut bucket = Bucket::default();
        let counts_plan = CountsPlan::new(limit, second).unwrap();
        let mut counts = Counts::default();
        for taken in 1..=limit {
            assert_eq!(left(bucket.take(&plan, 5, &Ask::ONE)), limit - taken);
            assert_eq!(left(counts.take(&counts_plan, 5, &Ask::ONE)), limit - taken);
        }
        assert_eq!(
            wait(bucket.take(&plan, 5, &Ask::ONE)),
            second.div_ceil(limit)
        );
        let slice = second.div_ceil(15);
        assert_eq!(
            wait(counts.take(&counts_plan, 5, &Ask::ONE)),
            16 * slice - 5
        );
    }
}

#[test]
fn time_that_goes_back_allows_nothing_more() {
    let plan = bucket::Plan::new(10, 1000, 1).unwrap();
    let mut bucket = Bucket::default();
    left(bucket.take(&plan, 5000, &Ask::ONE));
    assert_eq!(wait(bucket.take(&plan, 4990, &Ask::ONE)), 110);
    let plan = LogPlan::new(2, 1000).unwrap();
    let mut log = Log::default();
    left(log.take(&plan, 5000, &Ask::ONE));
    left(log.take(&plan, 4990, &Ask::ONE));
    assert_eq!(wait(log.take(&plan, 5999, &Ask::ONE)), 1);
    let plan = CountsPlan::new(2, 150).unwrap();
    let mut counts = Counts::default();
    left(counts.take(&plan, 5000, &Ask::ONE));
    left(counts.take(&plan, 4980, &Ask::ONE));
    assert_eq!(wait(counts.take(&plan, 4980, &Ask::ONE)), 180);
}

#[test]
fn after_years_a_window_is_empty() {
    let day = 86_400_000_000_000;
    let plan = LogPlan::new(3, 1000).unwrap();
    let mut log = Log::default();
    for at in [0, 10_000 * day, 20_000 * day] {
        assert_eq!(left(log.take(&plan, at, &ask(2))), 1);
        assert_eq!(left(log.take(&plan, at + 999, &Ask::ONE)), 0);
        assert_eq!(wait(log.take(&plan, at + 999, &Ask::ONE)), 1);
    }
    let plan = CountsPlan::new(3, 1000).unwrap();
    let mut counts = Counts::default();
    for at in [0, 10_000 * day, 20_000 * day] {
        assert_eq!(left(counts.take(&plan, at, &ask(3))), 0);
    }
}

/// Never all of it goes, so that the times are counted from further and further back.
#[test]
fn log_lasts() {
    let per = 1 << 31;
    let plan = LogPlan::new(16, per).unwrap();
    let mut log = Log::default();
    for nth in 0..1000 {
        assert_eq!(
            wait_or_left(log.take(&plan, nth * (per / 16), &Ask::ONE)),
            15 - nth.min(15)
        );
    }
}

fn wait_or_left(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Taken { left, .. } => left,
        Verdict::Refused { wait } => 1000 + wait,
    }
}

#[test]
fn bypasses_are_counted_in_place_of_the_oldest() {
    let bypass = Ask {
        bypass: true,
        ..Ask::ONE
    };
    let plan = CountsPlan::new(20, 150).unwrap();
    let mut counts = Counts::default();
    left(counts.take(&plan, 0, &ask(20)));
    for now in 100..115 {
        assert_eq!(left(counts.take(&plan, now, &bypass)), 0);
    }
    // Of the first, five are left; they have gone at 160.
    assert_eq!(wait(counts.take(&plan, 159, &Ask::ONE)), 1);
    assert_eq!(left(counts.take(&plan, 160, &ask(5))), 0);
    assert_eq!(wait(counts.take(&plan, 160, &Ask::ONE)), 100);
}

#[test]
fn limits_have_limits() {
    let good = |limit, per, burst| {
        assert!(bucket::Plan::new(limit, per, burst).is_some());
        assert!(CountsPlan::new(limit, per).is_some());
    };
    let bad = |limit, per| {
        assert!(bucket::Plan::new(limit, per, 1).is_none());
        assert!(CountsPlan::new(limit, per).is_none());
        assert!(LogPlan::new(limit, per).is_none());
    };
    good(1, 1, 1);
    good(LARGEST, LONGEST, LARGEST);
    for (limit, per) in [(0, 1), (1, 0), (LARGEST + 1, 1), (1, LONGEST + 1)] {
        bad(limit, per);
    }
    assert!(bucket::Plan::new(1, 1, 0).is_none());
    assert!(bucket::Plan::new(1, 1, LARGEST + 1).is_none());
    assert!(LogPlan::new(17, 1).is_none());
    assert!(held::Plan::new(0).is_none() && held::Plan::new(LARGEST + 1).is_none());
}

/// At the edge of all that is allowed, nothing overflows.
#[test]
fn largest_numbers() {
    let now = u64::MAX >> 1;
    let plan = bucket::Plan::new(LARGEST - 1, LONGEST, LARGEST).unwrap();
    let mut bucket = Bucket::default();
    assert_eq!(left(bucket.take(&plan, now, &ask(LARGEST))), 0);
    assert!(wait(bucket.take(&plan, now, &ask(LARGEST))) > LONGEST);
    let plan = CountsPlan::new(LARGEST, LONGEST).unwrap();
    let mut counts = Counts::default();
    assert_eq!(left(counts.take(&plan, now, &ask(LARGEST))), 0);
    assert!(wait(counts.take(&plan, now, &ask(LARGEST))) >= LONGEST);
    let plan = LogPlan::new(16, LONGEST).unwrap();
    let mut log = Log::default();
    assert_eq!(left(log.take(&plan, now, &ask(16))), 0);
    assert!(wait(log.take(&plan, now, &ask(16))) >= LONGEST);
}
