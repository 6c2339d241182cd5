//! The meters of many keys, in bounded memory.
//!
//! A key that is not known has a new meter, so one whose meter is like a new one need not be: idle
//! keys are forgotten where room is needed. Where none is idle, the one goes that would be soonest.

use super::table::Table;
use super::{Ask, Meter, Verdict};
use std::sync::atomic::{AtomicUsize, Ordering};

/// For how many keys there is room, in several shards together.
#[derive(Debug)]
pub struct Room {
    keys: AtomicUsize,
    max: usize,
}

// Relaxed below: it is a number and orders nothing.
impl Room {
    pub fn new(max: usize) -> Self {
        let keys = AtomicUsize::new(0);
        Room { keys, max }
    }

    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    fn enter(&self) -> bool {
        let one_more = |keys| (keys < self.max).then_some(keys + 1);
        self.keys
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    fn enter_nonetheless(&self) {
        self.keys.fetch_add(1, Ordering::Relaxed);
    }

    fn leave(&self, count: usize) {
        self.keys.fetch_sub(count, Ordering::Relaxed);
    }
}

/// After how many refusals a key is shut out. Times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub violations: u32,
    /// From the first of them on. Then counting begins anew.
    pub within: u64,
    pub duration: u64,
}

/// What is remembered of a key that was refused.
#[derive(Clone, Copy, Debug, Default)]
struct Guard {
    violations: u32,
    /// When what was counted no longer counts, or when it is let in again.
    ends: u64,
    is_blocked: bool,
}

/// What all shards of a limit have in common.
#[derive(Debug)]
pub struct Rules<P> {
    pub plan: P,
    pub block: Option<Block>,
    pub room: Room,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub verdict: Verdict,
    /// The key had been shut out until a while ago.
    pub unblocked: bool,
    /// The key is shut out from now on.
    pub blocked: bool,
}

impl From<Verdict> for Outcome {
    #[inline(always)]
    fn from(verdict: Verdict) -> Self {
        Outcome {
            verdict,
            unblocked: false,
            blocked: false,
        }
    }
}

/// How often each has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub allowed: u64,
    pub refused: u64,
    /// Keys that were forgotten although there was something to remember.
    pub forgiven: u64,
    /// Keys that were shut out.
    pub blocked: u64,
}

pub struct Shard<M: Meter> {
    meters: Table<M>,
    /// Of some of the keys in `meters`.
    guards: Table<Guard>,
    /// Once somebody had to go.
    order: Option<Box<Order>>,
    pub tally: Tally,
}

/// Who goes next.
struct Order {
    /// Ranks and keys, the first at the end. Ranks may have grown since.
    candidates: Vec<(u128, u128)>,
    /// The ranks of all others are not below this one.
    bound: u128,
}

/// So many are looked for at once, and twice as many kept at most.
const CANDIDATES: usize = 64;

impl<M: Meter> Default for Shard<M> {
    fn default() -> Self {
        Shard {
            meters: Table::default(),
            guards: Table::default(),
            order: None,
            tally: Tally::default(),
        }
    }
}

impl<M: Meter> Shard<M> {
    /// Takes what is asked for, or says why not. Keys are hashes: see [`super::table`].
    #[inline(always)]
    pub fn take(&mut self, rules: &Rules<M::Plan>, now: u64, key: u128, ask: &Ask) -> Outcome {
        let outcome = if self.guards.is_empty() {
            self.take_unguarded(rules, now, key, ask)
        } else {
            self.take_guarded(rules, now, key, ask)
        };
        match outcome.verdict {
            Verdict::Taken { .. } => self.tally.allowed += 1,
            Verdict::Refused { .. } => self.tally.refused += 1,
        }
        outcome
    }

    #[inline(always)]
    fn take_unguarded(
        &mut self,
        rules: &Rules<M::Plan>,
        now: u64,
        key: u128,
        ask: &Ask,
    ) -> Outcome {
        let verdict = match self.meters.get_mut(key) {
            Some(meter) => meter.take(&rules.plan, now, ask),
            None => return self.take_new(rules, now, key, ask),
        };
        match verdict {
            Verdict::Taken { .. } => verdict.into(),
            Verdict::Refused { wait } => self.refused(rules, now, key, wait),
        }
    }

    #[inline(never)]
    fn take_new(&mut self, rules: &Rules<M::Plan>, now: u64, key: u128, ask: &Ask) -> Outcome {
        let mut meter = M::default();
        let verdict = meter.take(&rules.plan, now, ask);
        let is_taken = matches!(verdict, Verdict::Taken { .. });
        if !is_taken && rules.block.is_none() {
            return verdict.into();
        }
        if !self.insert(rules, now, key, meter) {
            return Verdict::Refused { wait: 0 }.into();
        }
        match verdict {
            Verdict::Taken { .. } => verdict.into(),
            Verdict::Refused { wait } => self.refused(rules, now, key, wait),
        }
    }

    #[inline(never)]
    fn take_guarded(&mut self, rules: &Rules<M::Plan>, now: u64, key: u128, ask: &Ask) -> Outcome {
        let Some(&guard) = self.guards.get(key) else {
            return self.take_unguarded(rules, now, key, ask);
        };
        if now < guard.ends {
            if guard.is_blocked {
                return self.look(rules, now, key, ask).into();
            }
            return self.take_unguarded(rules, now, key, ask);
        }
        // It had ended, so the key was idle or is as active as its meter: the order holds.
        self.guards.remove(key);
        Outcome {
            unblocked: guard.is_blocked,
            ..self.take_unguarded(rules, now, key, ask)
        }
    }

    /// Counts a refusal.
    #[inline(never)]
    fn refused(&mut self, rules: &Rules<M::Plan>, now: u64, key: u128, wait: u64) -> Outcome {
        let refused = Outcome::from(Verdict::Refused { wait });
        let Some(block) = &rules.block else {
            return refused;
        };
        if self.guards.get(key).is_none() {
            let ends = now.saturating_add(block.within);
            let guard = Guard {
                ends,
                ..Guard::default()
            };
            self.guards.insert(key, guard);
        }
        let Some(guard) = self.guards.get_mut(key) else {
            return refused;
        };
        guard.violations += 1;
        if guard.violations < block.violations {
            return refused;
        }
        guard.is_blocked = true;
        guard.ends = now.saturating_add(block.duration);
        self.tally.blocked += 1;
        // Where counting would have ended later.
        self.order = None;
        Outcome {
            verdict: Verdict::Refused {
                wait: wait.max(block.duration),
            },
            unblocked: false,
            blocked: true,
        }
    }

    /// What would be answered, without taking.
    pub fn look(&self, rules: &Rules<M::Plan>, now: u64, key: u128, ask: &Ask) -> Verdict {
        let mut meter = self.meters.get(key).copied().unwrap_or_default();
        let verdict = meter.take(&rules.plan, now, ask);
        match (self.blocked_for(now, key), verdict) {
            (0, verdict) => verdict,
            (blocked, Verdict::Taken { .. }) => Verdict::Refused { wait: blocked },
            (blocked, Verdict::Refused { wait }) => Verdict::Refused {
                wait: wait.max(blocked),
            },
        }
    }

    /// For how long a key is shut out.
    pub fn blocked_for(&self, now: u64, key: u128) -> u64 {
        match self.guards.get(key) {
            Some(guard) if guard.is_blocked => guard.ends.saturating_sub(now),
            _ => 0,
        }
    }

    /// Lets a key in again, and counts its refusals anew. Whether it was shut out.
    pub fn unblock(&mut self, now: u64, key: u128) -> bool {
        let was_blocked = self.blocked_for(now, key) > 0;
        if self.guards.remove(key).is_some() {
            self.order = None;
        }
        was_blocked
    }

    /// Forgets a key. Whether it was shut out.
    pub fn forget(&mut self, rules: &Rules<M::Plan>, now: u64, key: u128) -> bool {
        let was_blocked = self.unblock(now, key);
        if self.meters.remove(key).is_some() {
            rules.room.leave(1);
        }
        was_blocked
    }

    /// Changes a key's meter, if there is one, and forgets it where nothing is to be remembered
    /// then.
    pub fn update(
        &mut self,
        rules: &Rules<M::Plan>,
        now: u64,
        key: u128,
        change: impl FnOnce(&mut M),
    ) {
        let Some(meter) = self.meters.get_mut(key) else {
            return;
        };
        change(meter);
        let rank = self.rank(rules, key);
        if rank <= M::rank_of(&rules.plan, now) {
            self.forget(rules, now, key);
        } else if self.order.as_ref().is_some_and(|order| rank < order.bound) {
            self.order = None;
        }
    }

    pub fn keys(&self) -> usize {
        self.meters.len()
    }

    /// In bytes.
    pub fn memory(&self) -> usize {
        let candidates = self
            .order
            .as_ref()
            .map_or(0, |order| order.candidates.capacity());
        self.meters.memory() + self.guards.memory() + candidates * size_of::<(u128, u128)>()
    }

    /// When nothing will have to be remembered of a key.
    fn rank(&self, rules: &Rules<M::Plan>, key: u128) -> u128 {
        let meter = self
            .meters
            .get(key)
            .map_or(0, |meter| meter.rank(&rules.plan));
        self.guarded_rank(rules, key, meter)
    }

    fn guarded_rank(&self, rules: &Rules<M::Plan>, key: u128, rank: u128) -> u128 {
        if self.guards.is_empty() {
            return rank;
        }
        let guard = self.guards.get(key);
        guard.map_or(rank, |guard| rank.max(M::rank_of(&rules.plan, guard.ends)))
    }

    /// Whether there was room.
    fn insert(&mut self, rules: &Rules<M::Plan>, now: u64, key: u128, meter: M) -> bool {
        if !rules.room.enter() {
            match self.evict(rules, now) {
                Evicted::One => {}
                Evicted::None if M::FORGETTABLE => rules.room.enter_nonetheless(),
                Evicted::None => return false,
            }
        }
        if self.meters.is_full() {
            self.purge(rules, now);
        }
        self.meters.insert(key, meter);
        if let Some(order) = &mut self.order {
            order.consider(meter.rank(&rules.plan), key);
        }
        true
    }

    /// Forgets all idle keys.
    fn purge(&mut self, rules: &Rules<M::Plan>, now: u64) {
        let idle = M::rank_of(&rules.plan, now);
        let before = self.meters.len();
        let mut meters = std::mem::take(&mut self.meters);
        meters.rebuild(|key, meter| self.guarded_rank(rules, key, meter.rank(&rules.plan)) > idle);
        self.meters = meters;
        if !self.guards.is_empty() {
            let kept = &self.meters;
            self.guards.rebuild(|key, _| kept.get(key).is_some());
        }
        rules.room.leave(before - self.meters.len());
    }

    /// Forgets the key that is idle, or would be soonest.
    fn evict(&mut self, rules: &Rules<M::Plan>, now: u64) -> Evicted {
        loop {
            let candidate = self.order.as_mut().and_then(|order| order.candidates.pop());
            let Some((then, key)) = candidate else {
                let order = self.find_order(rules);
                if order.candidates.is_empty() {
                    return Evicted::None;
                }
                self.order = Some(Box::new(order));
                continue;
            };
            if self.meters.get(key).is_none() {
                continue;
            }
            let rank = self.rank(rules, key);
            let is_idle = rank <= M::rank_of(&rules.plan, now);
            if rank > then || !is_idle && !M::FORGETTABLE {
                // It was used since, or must stay.
                if let Some(order) = &mut self.order {
                    order.consider(rank, key);
                }
                if rank > then {
                    continue;
                }
                return Evicted::None;
            }
            self.meters.remove(key);
            self.guards.remove(key);
            self.tally.forgiven += u64::from(!is_idle);
            return Evicted::One;
        }
    }

    fn find_order(&self, rules: &Rules<M::Plan>) -> Order {
        let mut order = Order {
            candidates: Vec::with_capacity(2 * CANDIDATES + 1),
            bound: u128::MAX,
        };
        for (key, meter) in self.meters.iter() {
            let rank = self.guarded_rank(rules, key, meter.rank(&rules.plan));
            order.consider(rank, key);
            if order.candidates.len() > CANDIDATES {
                order.drop_last();
            }
        }
        order
    }
}

impl Order {
    fn consider(&mut self, rank: u128, key: u128) {
        if rank < self.bound {
            let at = self.candidates.partition_point(|&(other, _)| other > rank);
            self.candidates.insert(at, (rank, key));
            if self.candidates.len() > 2 * CANDIDATES {
                self.drop_last();
            }
        }
    }

    fn drop_last(&mut self) {
        self.bound = self.candidates.remove(0).0;
    }
}

enum Evicted {
    One,
    None,
}
