//! Every strategy against a naive one.

use pool_core::choice::{Ready, Strategy, CELLS};
use proptest::prelude::Strategy as _;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::btree_map::{BTreeMap, Entry};

const STRATEGIES: [Strategy; 7] = [
    Strategy::Fifo,
    Strategy::Lifo,
    Strategy::RoundRobin,
    Strategy::Random,
    Strategy::LeastLoaded,
    Strategy::P2c,
    Strategy::Hash,
];

#[derive(Clone, Debug)]
enum Op {
    /// With so many in flight.
    Insert(u32, u32),
    /// The others take any cell in the set.
    Remove(prop::sample::Index),
    Taken(prop::sample::Index),
    Returned(prop::sample::Index),
    Pick(u64),
}

fn op() -> impl proptest::strategy::Strategy<Value = Op> {
    let cell = prop_oneof![6 => 0..12u32, 1 => 60..70u32, 1 => CELLS - 3..CELLS];
    let load = prop_oneof![6 => 0..3u32, 1 => 60..70u32, 1 => 999_000..999_010u32];
    prop_oneof![
        3 => (cell, load).prop_map(|(cell, load)| Op::Insert(cell, load)),
        1 => any::<prop::sample::Index>().prop_map(Op::Remove),
        2 => any::<prop::sample::Index>().prop_map(Op::Taken),
        2 => any::<prop::sample::Index>().prop_map(Op::Returned),
        3 => any::<u64>().prop_map(Op::Pick),
    ]
}

#[derive(Clone, Copy)]
struct Naive {
    load: u32,
    /// When it was inserted or taken last.
    used: usize,
    /// When its load changed last.
    changed: usize,
}

/// Any function of cells that is not one of their order.
fn score(cell: u32) -> u64 {
    u64::from(cell).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60
}

/// What the strategy chooses, where that is one.
fn naive_choice(
    strategy: Strategy,
    cells: &BTreeMap<u32, Naive>,
    chosen: Option<u32>,
) -> Option<u32> {
    let mut by_order: Vec<(u32, Naive)> =
        cells.iter().map(|(cell, naive)| (*cell, *naive)).collect();
    match strategy {
        Strategy::Fifo => by_order.sort_by_key(|(_, naive)| naive.used),
        Strategy::Lifo => by_order.sort_by_key(|(_, naive)| usize::MAX - naive.used),
        Strategy::RoundRobin => by_order.sort_by_key(|(cell, _)| (Some(*cell) <= chosen, *cell)),
        Strategy::LeastLoaded => by_order.sort_by_key(|(_, naive)| (naive.load, naive.changed)),
        Strategy::Random | Strategy::P2c | Strategy::Hash => return None,
    }
    by_order.first().map(|(cell, _)| *cell)
}

/// The other strategies: it is one of the cells, and which they may be.
fn check_choice(
    strategy: Strategy,
    cells: &BTreeMap<u32, Naive>,
    places: u32,
    (key, chosen): (u64, u32),
    scored: &[u32],
) -> Result<(), TestCaseError> {
    prop_assert!(cells.contains_key(&chosen));
    match strategy {
        Strategy::P2c if cells.len() > 1 => {
            prop_assert_eq!(scored.len(), 2);
            prop_assert_ne!(scored[0], scored[1]);
            prop_assert!(scored.iter().all(|cell| cells.contains_key(cell)));
            prop_assert!(scored.contains(&chosen));
            let best = scored.iter().map(|cell| score(*cell)).min();
            prop_assert_eq!(Some(score(chosen)), best);
        }
        // How the set came to be what it is makes no difference.
        Strategy::Hash => {
            let mut other = Ready::new(strategy, 0);
            other.insert(places - 1, 0);
            other.remove(places - 1);
            cells.keys().rev().for_each(|cell| other.insert(*cell, 0));
            prop_assert_eq!(other.pick(key, score), Some(chosen));
        }
        _ => (),
    }
    Ok(())
}

fn follow(strategy: Strategy, seed: u64, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut ready = Ready::new(strategy, seed);
    let mut cells: BTreeMap<u32, Naive> = BTreeMap::new();
    let mut last = None;
    let mut places = 0;
    for (now, op) in ops.into_iter().enumerate() {
        let any = |index: prop::sample::Index| {
            let keys: Vec<u32> = cells.keys().copied().collect();
            (!keys.is_empty()).then(|| *index.get(&keys))
        };
        match op {
            Op::Insert(cell, load) => {
                if let Entry::Vacant(entry) = cells.entry(cell) {
                    ready.insert(cell, load);
                    let (used, changed) = (now, now);
                    entry.insert(Naive {
                        load,
                        used,
                        changed,
                    });
                    places = places.max(cell + 1);
                }
            }
            Op::Remove(index) => {
                if let Some(cell) = any(index) {
                    ready.remove(cell);
                    cells.remove(&cell);
                }
            }
            Op::Taken(index) => {
                if let Some(cell) = any(index) {
                    let naive = cells.get_mut(&cell).unwrap();
                    naive.load += 1;
                    (naive.used, naive.changed) = (now, now);
                    ready.taken(cell, naive.load);
                }
            }
            Op::Returned(index) => {
                let cell = any(index).filter(|cell| cells[cell].load > 0);
                if let Some(cell) = cell {
                    let naive = cells.get_mut(&cell).unwrap();
                    naive.load -= 1;
                    naive.changed = now;
                    ready.returned(cell, naive.load);
                }
            }
            Op::Pick(key) => {
                let scored = RefCell::new(Vec::new());
                let chosen = ready.pick(key, |cell| {
                    scored.borrow_mut().push(cell);
                    score(cell)
                });
                prop_assert_eq!(chosen.is_some(), !cells.is_empty());
                if let Some(expected) = naive_choice(strategy, &cells, last) {
                    prop_assert_eq!(chosen, Some(expected));
                } else if let Some(chosen) = chosen {
                    let scored = scored.into_inner();
                    check_choice(strategy, &cells, places, (key, chosen), &scored)?;
                }
                last = chosen.or(last);
            }
        }
        prop_assert_eq!(ready.len(), cells.len());
        prop_assert_eq!(ready.is_empty(), cells.is_empty());
        for cell in (0..72).chain([CELLS - 1]) {
            prop_assert_eq!(ready.contains(cell), cells.contains_key(&cell));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn as_the_naive_one(
        strategy in prop::sample::select(&STRATEGIES), seed: u64,
        ops in prop::collection::vec(op(), 1..300),
    ) {
        follow(strategy, seed, ops)?;
    }

    /// Each time round, all are chosen that were there all the time.
    #[test]
    fn round_robin_skips_none_that_stays(
        present in prop::collection::btree_set(0..200u32, 1..50),
        ops in prop::collection::vec((0..200u32, 0..4usize), 1..400),
    ) {
        let mut ready = Ready::new(Strategy::RoundRobin, 0);
        present.iter().for_each(|cell| ready.insert(*cell, 0));
        let mut last = None;
        let mut staying = present;
        for (cell, picks) in ops {
            if ready.contains(cell) {
                ready.remove(cell);
                staying.remove(&cell);
            } else {
                ready.insert(cell, 0);
            }
            for _ in 0..picks.min(ready.len()) {
                let chosen = ready.pick(0, score).unwrap();
                if Some(chosen) <= last {
                    prop_assert_eq!(staying.first(), None);
                    staying = (0..200).filter(|cell| ready.contains(*cell)).collect();
                }
                last = Some(chosen);
                staying.remove(&chosen);
            }
        }
    }
}

/// A set that has seen some change: of the cells below `count`, reached by detours.
fn changed(strategy: Strategy, count: u32) -> Ready {
    let mut ready = Ready::new(strategy, 4242);
    (0..2 * count).rev().for_each(|cell| ready.insert(cell, 0));
    (0..count / 2).for_each(|cell| ready.remove(2 * cell));
    (count..2 * count).for_each(|cell| ready.remove(cell));
    (0..count / 2).for_each(|cell| ready.insert(2 * cell, 0));
    ready
}

/// Pearson's statistic of counts that should be alike.
fn chi_square(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    let squares = counts
        .iter()
        .map(|count| (f64::from(*count) - expected).powi(2));
    squares.sum::<f64>() / expected
}

/// What 1 in 1,000 evenly chosen ones go beyond, with 9 and with 44 degrees of freedom.
const CRITICAL_9: f64 = 27.88;
const CRITICAL_44: f64 = 78.75;

#[test]
fn random_is_uniform() {
    let mut ready = changed(Strategy::Random, 10);
    let mut counts = [0; 10];
    for _ in 0..200_000 {
        counts[ready.pick(0, score).unwrap() as usize] += 1;
    }
    assert!(chi_square(&counts) < CRITICAL_9, "{counts:?}");
}

#[test]
fn two_choices_are_any_two() {
    let mut ready = changed(Strategy::P2c, 10);
    let mut pairs = BTreeMap::new();
    for _ in 0..200_000 {
        let pair = RefCell::new(Vec::new());
        ready.pick(0, |cell| {
            pair.borrow_mut().push(cell);
            0
        });
        let mut pair = pair.into_inner();
        pair.sort_unstable();
        *pairs.entry(pair).or_insert(0) += 1;
    }
    let counts: Vec<u32> = pairs.into_values().collect();
    assert_eq!(counts.len(), 45);
    assert!(chi_square(&counts) < CRITICAL_44, "{counts:?}");
}

/// With equal scores neither of two is preferred.
#[test]
fn two_equal_choices_are_chosen_alike() {
    let mut ready = changed(Strategy::P2c, 10);
    let mut counts = [0; 10];
    for _ in 0..200_000 {
        counts[ready.pick(0, |_| 7).unwrap() as usize] += 1;
    }
    assert!(chi_square(&counts) < CRITICAL_9, "{counts:?}");
}

/// The best of 10 is chosen whenever it is one of the two, which is in a fifth; the worst never.
#[test]
fn two_choices_prefer_the_better() {
    let mut ready = changed(Strategy::P2c, 10);
    let mut counts = [0; 10];
    for _ in 0..90_000 {
        counts[ready.pick(0, u64::from).unwrap() as usize] += 1;
    }
    for (cell, count) in counts.into_iter().enumerate() {
        let expected = (9 - cell as i32) * 2_000;
        assert!((count - expected).abs() < 600, "{counts:?}");
    }
    assert_eq!(counts[9], 0);
}

/// Uses come and go among many cells without a byte more.
#[test]
fn steady_use_takes_no_memory() {
    for strategy in STRATEGIES {
        let mut ready = changed(strategy, 1_000);
        let mut loads = vec![0u32; 1_000];
        let mut rng = fastrand::Rng::with_seed(1);
        let mut use_some = |ready: &mut Ready, times: u32| {
            for _ in 0..times {
                let cell = ready.pick(rng.u64(..), score).unwrap();
                loads[cell as usize] += 1;
                ready.taken(cell, loads[cell as usize]);
                let cell = rng.u32(..1_000);
                ready.remove(cell);
                ready.insert(cell, 0);
                loads[cell as usize] = 0;
            }
        };
        use_some(&mut ready, 1_000);
        ready.insert(1_000, 1_000_000);
        ready.remove(1_000);
        let memory = ready.memory();
        use_some(&mut ready, 50_000);
        assert_eq!(ready.memory(), memory, "{strategy:?}");
        assert!(memory < 64 * 1_000 + 8 * 1_000_000);
    }
}
