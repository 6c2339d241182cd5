//! Shards against a map of meters without bounds, where it matters who is forgotten and who is shut
//! out.

use pool_core::limiter::bucket::{Bucket, Plan};
use pool_core::limiter::held::{self, Held};
use pool_core::limiter::shard::{Block, Outcome, Room, Rules, Shard, Tally};
use pool_core::limiter::{Ask, Meter, Verdict, NEVER};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A token each ten nanoseconds, three at once.
fn rules(max_keys: usize, block: Option<Block>) -> Rules<Plan> {
    Rules {
        plan: Plan::new(1, 10, 3).unwrap(),
        block,
        room: Room::new(max_keys),
    }
}

fn is_taken(outcome: Outcome) -> bool {
    matches!(outcome.verdict, Verdict::Taken { .. })
}

/// What there is to know of a key, and when all of it will be over.
#[derive(Clone, Copy, Default)]
struct Known {
    bucket: Bucket,
    violations: u32,
    ends: u64,
    is_blocked: bool,
}

impl Known {
    fn over(&self, rules: &Rules<Plan>) -> u128 {
        self.bucket.rank(&rules.plan).max(self.ends.into())
    }
}

struct Model {
    keys: BTreeMap<u128, Known>,
    max: usize,
    tally: Tally,
    /// They were shut out, and are no longer.
    lapsed: BTreeSet<u128>,
}

impl Model {
    fn take(&mut self, rules: &Rules<Plan>, now: u64, key: u128, ask: &Ask) -> Outcome {
        let mut known = self.keys.get(&key).copied().unwrap_or_default();
        if known.ends <= now {
            known = Known {
                bucket: known.bucket,
                ..Known::default()
            };
        }
        let mut verdict = known.bucket.take(&rules.plan, now, ask);
        let mut blocked = false;
        if known.is_blocked {
            let left = known.ends - now;
            known.bucket = self.keys[&key].bucket;
            verdict = match verdict {
                Verdict::Taken { .. } => Verdict::Refused { wait: left },
                Verdict::Refused { wait } => Verdict::Refused {
                    wait: wait.max(left),
                },
            };
        } else if let (Verdict::Refused { wait }, Some(block)) = (verdict, rules.block) {
            if known.violations == 0 {
                known.ends = now + block.within;
            }
            known.violations += 1;
            if known.violations >= block.violations {
                known.is_blocked = true;
                known.ends = now + block.duration;
                blocked = true;
                verdict = Verdict::Refused {
                    wait: wait.max(block.duration),
                };
            }
        }
        match verdict {
            Verdict::Taken { .. } => self.tally.allowed += 1,
            Verdict::Refused { .. } => self.tally.refused += 1,
        }
        self.tally.blocked += u64::from(blocked);
        self.keys.insert(key, known);
        Outcome {
            verdict,
            unblocked: false,
            blocked,
        }
    }
}

fn shard_is_a_map(
    steps: &[(u64, u8, u128, u64)],
    block: Option<Block>,
    max_keys: usize,
) -> Result<(), TestCaseError> {
    let rules = rules(max_keys, block);
    let mut shard = Shard::<Bucket>::default();
    let mut model = Model {
        keys: BTreeMap::new(),
        max: max_keys,
        tally: Tally::default(),
        lapsed: BTreeSet::new(),
    };
    let mut now = 1000;
    for &(passes, step, key, cost) in steps {
        now += passes;
        let over = model
            .keys
            .iter()
            .filter(|(_, known)| known.is_blocked && known.ends <= now);
        model.lapsed.extend(over.map(|(&key, _)| key));
        let ask = Ask { cost, ..Ask::ONE };
        match step {
            0 => {
                model.lapsed.remove(&key);
                let was = model.keys.remove(&key);
                let was_blocked = was.is_some_and(|known| known.is_blocked && known.ends > now);
                prop_assert_eq!(shard.forget(&rules, now, key), was_blocked);
            }
            1 => {
                model.lapsed.remove(&key);
                let was_blocked = shard.blocked_for(now, key) > 0;
                prop_assert_eq!(shard.unblock(now, key), was_blocked);
                if let Some(known) = model.keys.get_mut(&key) {
                    *known = Known {
                        bucket: known.bucket,
                        ..Known::default()
                    };
                }
            }
            _ => {
                let looked = shard.look(&rules, now, key, &ask);
                let full = (model.keys.len() >= model.max && !model.keys.contains_key(&key))
                    .then(|| model.keys.clone());
                let outcome = shard.take(&rules, now, key, &ask);
                let expected = model.take(&rules, now, key, &ask);
                // One that was idle may have been forgotten, and with it that it was shut out.
                let lapsed = model.lapsed.remove(&key);
                prop_assert!(!outcome.unblocked || lapsed);
                let expected = Outcome {
                    unblocked: outcome.unblocked,
                    ..expected
                };
                prop_assert_eq!(outcome, expected);
                if !expected.blocked {
                    prop_assert_eq!(looked, outcome.verdict);
                }
                // The model forgets whom the shard had to: one of those that come first.
                if let Some(before) = full {
                    forgets_the_first(&rules, &shard, &mut model, before, now)?;
                }
            }
        }
        // What is idle may be forgotten at any time; it is as if it were not there.
        model
            .keys
            .retain(|_, known| known.over(&rules) > now.into());
        prop_assert!(shard.keys() <= max_keys);
        prop_assert_eq!(rules.room.keys(), shard.keys());
        for (&key, known) in &model.keys {
            let blocked = if known.is_blocked {
                known.ends.saturating_sub(now)
            } else {
                0
            };
            prop_assert_eq!(shard.blocked_for(now, key), blocked);
        }
        prop_assert_eq!(shard.tally, model.tally);
    }
    Ok(())
}

/// Where no key was idle, the one that would have been soonest has gone: of several, one of them.
fn forgets_the_first(
    rules: &Rules<Plan>,
    shard: &Shard<Bucket>,
    model: &mut Model,
    before: BTreeMap<u128, Known>,
    now: u64,
) -> Result<(), TestCaseError> {
    if shard.tally.forgiven == model.tally.forgiven {
        prop_assert!(
            before.values().any(|known| known.over(rules) <= now.into())
                || before.len() < model.max
        );
        return Ok(());
    }
    model.tally.forgiven += 1;
    let first = before
        .values()
        .map(|known| known.over(rules))
        .min()
        .unwrap();
    prop_assert!(first > now.into());
    let ask = Ask {
        cost: 3,
        ..Ask::ONE
    };
    let firsts = || {
        before
            .iter()
            .filter(|(_, known)| known.over(rules) == first)
    };
    // One that is not as it was, or that was only refused, which does not show.
    let is_gone = |&(&key, known): &(&u128, &Known)| {
        if known.is_blocked && known.ends > now {
            return shard.blocked_for(now, key) == 0;
        }
        let mut bucket = known.bucket;
        bucket.take(&rules.plan, now, &ask) != shard.look(rules, now, key, &ask)
    };
    let was_refused = |&(_, known): &(&u128, &Known)| {
        !known.is_blocked && known.bucket.rank(&rules.plan) <= now.into()
    };
    let gone = firsts()
        .find(is_gone)
        .or_else(|| firsts().find(was_refused));
    let gone = gone.map(|(&key, _)| key);
    prop_assert!(gone.is_some_and(|key| model.keys.remove(&key).is_some()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn is_a_map_of_buckets(
        steps in prop::collection::vec((0..25u64, 0..20u8, 1..30u128, 1..4u64), 0..300),
    ) {
        shard_is_a_map(&steps, None, 1000)?;
    }

    #[test]
    fn shuts_out_and_lets_in(
        steps in prop::collection::vec((0..9u64, 0..40u8, 1..6u128, 1..5u64), 0..300),
        violations in 1..5u32,
        within in 1..60u64,
        duration in 1..60u64,
    ) {
        let block = Block { violations, within, duration };
        shard_is_a_map(&steps, Some(block), 1000)?;
    }

    #[test]
    fn forgets_the_one_that_is_idle_soonest(
        steps in prop::collection::vec((0..3u64, 0..30u8, 1..200u128, 1..4u64), 0..600),
        max_keys in 1..150usize,
    ) {
        shard_is_a_map(&steps, None, max_keys)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn forgets_who_is_shut_out_last(
        steps in prop::collection::vec((1..4u64, 0..30u8, 1..20u128, 1..5u64), 0..300),
        max_keys in 1..10usize,
        violations in 1..4u32,
        within in 1..60u64,
        duration in 1..60u64,
    ) {
        let block = Block { violations, within, duration };
        shard_is_a_map(&steps, Some(block), max_keys)?;
    }
}

/// Each of as many keys as there are can do what it may, and none more, whatever else comes.
#[test]
fn strangers_push_one_another_out() {
    let rules = rules(1000, None);
    let mut shard = Shard::<Bucket>::default();
    let all = Ask {
        cost: 3,
        ..Ask::ONE
    };
    for key in 1..=900 {
        assert!(is_taken(shard.take(&rules, 0, key, &all)));
    }
    for stranger in 0..100_000 {
        assert!(is_taken(shard.take(
            &rules,
            1,
            10_000 + stranger,
            &Ask::ONE
        )));
        assert_eq!(shard.keys(), 1000.min(901 + stranger as usize));
    }
    assert_eq!(shard.tally.forgiven, 99_900);
    for key in 1..=900 {
        assert!(!is_taken(shard.take(&rules, 1, key, &Ask::ONE)));
    }
    let kept = shard.memory();
    assert!(kept <= 2048 * 32 + 129 * 32, "{kept}");
    // Idle ones go before any that is not.
    for key in 901..1000 {
        assert!(is_taken(shard.take(&rules, 1000, key, &all)));
    }
    for stranger in 0..901 {
        assert!(is_taken(shard.take(&rules, 1000, 10_000 + stranger, &all)));
    }
    assert_eq!((shard.keys(), shard.tally.forgiven), (1000, 99_900));
    for key in 901..1000 {
        assert!(!is_taken(shard.take(&rules, 1000, key, &Ask::ONE)));
    }
}

#[test]
fn memory_does_not_grow_with_idle_keys() {
    let rules = rules(1_000_000, None);
    let mut shard = Shard::<Bucket>::default();
    for nth in 0..200_000_u64 {
        // A hundred of them are active at any time.
        let key = u128::from(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15)) + 1;
        assert!(is_taken(shard.take(&rules, nth * 10 / 100, key, &Ask::ONE)));
        assert!(shard.keys() <= 400);
    }
    assert_eq!(shard.tally.forgiven, 0);
    assert!(shard.memory() <= 512 * 32);
}

#[test]
fn a_shard_without_keys_takes_one_in_nonetheless() {
    let rules = rules(1, None);
    let (mut one, mut other) = (Shard::<Bucket>::default(), Shard::<Bucket>::default());
    assert!(is_taken(one.take(&rules, 0, 1, &Ask::ONE)));
    assert!(is_taken(other.take(&rules, 0, 2, &Ask::ONE)));
    assert!(is_taken(other.take(&rules, 0, 3, &Ask::ONE)));
    assert_eq!((one.keys(), other.keys(), rules.room.keys()), (1, 1, 2));
}

/// What is held is never forgotten: rather nobody new is let in.
#[test]
fn what_is_held_is_remembered() {
    let rules = Rules {
        plan: held::Plan::new(2).unwrap(),
        block: None,
        room: Room::new(2),
    };
    let mut shard = Shard::<Held>::default();
    let full = Verdict::Refused { wait: 0 };
    for key in [1, 2, 1, 2] {
        assert!(is_taken(shard.take(&rules, 0, key, &Ask::ONE)));
    }
    for key in [1, 2, 3, 4] {
        assert_eq!(shard.take(&rules, 0, key, &Ask::ONE).verdict, full);
    }
    shard.update(&rules, 0, 1, |held| held.give_back(1));
    assert_eq!(shard.take(&rules, 0, 3, &Ask::ONE).verdict, full);
    shard.update(&rules, 0, 1, |held| held.give_back(1));
    assert_eq!(shard.keys(), 1);
    assert!(is_taken(shard.take(&rules, 0, 3, &Ask::ONE)));
    assert_eq!(shard.take(&rules, 0, 1, &Ask::ONE).verdict, full);
    let three = Ask {
        cost: 3,
        ..Ask::ONE
    };
    assert_eq!(
        shard.take(&rules, 0, 2, &three).verdict,
        Verdict::Refused { wait: NEVER }
    );
    assert_eq!(
        shard.tally,
        Tally {
            allowed: 5,
            refused: 7,
            forgiven: 0,
            blocked: 0
        }
    );
}
