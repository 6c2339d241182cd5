//! Sliding windows: never more than the limit in any stretch of the time it is for.
//!
//! A small limit is kept as the time of each one: [`Log`]. Otherwise they are counted by slice of
//! the time, and a slice of which a part lies in the window counts in full: [`Counts`].

use super::{Ask, Meter, Verdict, LARGEST, LONGEST, NEVER};

/// The most that a log holds.
pub const LOGGED: usize = 16;

/// The slices of which a window can see a part. A window is as long as all but one.
const SLICES: usize = 16;

fn is_plan(limit: u64, per: u64) -> bool {
    (1..=LARGEST).contains(&limit) && (1..=LONGEST).contains(&per)
}

/// What is asked for, of a window in which so many were counted.
fn room(limit: u64, counted: u64, ask: &Ask) -> (u64, Option<u64>) {
    let most = limit.saturating_sub(ask.floor);
    let excess = (counted + ask.cost).saturating_sub(most);
    (most, (excess > 0 && !ask.bypass).then_some(excess))
}

#[derive(Clone, Copy, Debug)]
pub struct LogPlan {
    limit: u64,
    /// Nanoseconds by tick: 1 for a time of up to two seconds.
    tick: u64,
    /// In ticks.
    per: u64,
}

impl LogPlan {
    pub fn new(limit: u64, per: u64) -> Option<Self> {
        if !is_plan(limit, per) || limit > LOGGED as u64 {
            return None;
        }
        let tick = per.div_ceil(1 << 31);
        Some(LogPlan {
            limit,
            tick,
            per: per.div_ceil(tick),
        })
    }
}

/// When each was, in ticks rounded up: so it leaves no sooner than it should, and later by three
/// ticks at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    base: u64,
    /// Since `base`, the oldest first.
    times: [u32; LOGGED],
    len: u8,
}

impl Log {
    fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// When one leaves.
    fn leaves(&self, plan: &LogPlan, nth: usize) -> u64 {
        self.base + u64::from(self.times[nth]) + plan.per
    }

    fn drop_oldest(&mut self, count: usize) {
        let len = self.len();
        self.times.copy_within(count..len, 0);
        self.len -= count as u8;
    }

    fn push(&mut self, time: u64) {
        let mut time = time;
        match self.len().checked_sub(1) {
            None => self.base = time,
            Some(last) => time = time.max(self.base + u64::from(self.times[last])),
        }
        if u32::try_from(time - self.base).is_err() {
            // What is left is not older than the window, which has fewer ticks.
            let (by, len) = (self.times[0], self.len());
            self.times[..len].iter_mut().for_each(|time| *time -= by);
            self.base += u64::from(by);
        }
        self.times[self.len()] = u32::try_from(time - self.base).unwrap_or(u32::MAX);
        self.len += 1;
    }
}

impl Meter for Log {
    type Plan = LogPlan;
    const FORGETTABLE: bool = true;

    fn take(&mut self, plan: &LogPlan, now: u64, ask: &Ask) -> Verdict {
        let tick = now / plan.tick;
        let gone = (0..self.len())
            .take_while(|&nth| self.leaves(plan, nth) <= tick)
            .count();
        self.drop_oldest(gone);
        let (most, excess) = room(plan.limit, self.len.into(), ask);
        if let Some(excess) = excess {
            let wait = if ask.cost > most {
                NEVER
            } else {
                self.leaves(plan, excess as usize - 1) * plan.tick - now
            };
            return Verdict::Refused { wait };
        }
        // More than the limit need not be known.
        let cost = ask.cost.min(plan.limit) as usize;
        let excess = (self.len() + cost).saturating_sub(plan.limit as usize);
        self.drop_oldest(excess);
        for _ in 0..cost {
            self.push(now.div_ceil(plan.tick));
        }
        Verdict::Taken {
            left: most.saturating_sub(self.len.into()),
            ahead: 0,
        }
    }

    fn rank(&self, plan: &LogPlan) -> u128 {
        match self.len().checked_sub(1) {
            Some(last) => u128::from(self.leaves(plan, last)) * u128::from(plan.tick),
            None => 0,
        }
    }

    fn rank_of(_plan: &LogPlan, time: u64) -> u128 {
        u128::from(time)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct CountsPlan {
    limit: u64,
    /// Nanoseconds.
    slice: u64,
}

impl CountsPlan {
    pub fn new(limit: u64, per: u64) -> Option<Self> {
        is_plan(limit, per).then(|| CountsPlan {
            limit,
            slice: per.div_ceil(SLICES as u64 - 1),
        })
    }
}

/// How many there were in each of the last slices of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The newest slice, and of how many slices it is the last since time 0.
    slice: u64,
    /// By a slice's number modulo how many there are.
    counts: [u32; SLICES],
    /// Of all.
    sum: u32,
}

impl Counts {
    fn advance(&mut self, slice: u64) {
        if slice.saturating_sub(self.slice) >= SLICES as u64 {
            *self = Counts {
                slice,
                ..Counts::default()
            };
            return;
        }
        while self.slice < slice {
            self.slice += 1;
            let count = &mut self.counts[self.slice as usize % SLICES];
            self.sum -= *count;
            *count = 0;
        }
    }

    fn drop_oldest(&mut self, count: u32) {
        let mut left = count;
        // From the newest on they come round to the oldest.
        for nth in 1..=SLICES {
            let count = &mut self.counts[(self.slice as usize + nth) % SLICES];
            let dropped = left.min(*count);
            *count -= dropped;
            left -= dropped;
        }
        self.sum -= count - left;
    }

    /// The slices, the oldest first, and how many there were in each.
    fn slices(&self) -> impl DoubleEndedIterator<Item = (u64, u32)> + '_ {
        let first = (self.slice + 1).saturating_sub(SLICES as u64);
        (first..=self.slice).map(|slice| (slice, self.counts[slice as usize % SLICES]))
    }
}

impl Meter for Counts {
    type Plan = CountsPlan;
    const FORGETTABLE: bool = true;

    fn take(&mut self, plan: &CountsPlan, now: u64, ask: &Ask) -> Verdict {
        self.advance(now / plan.slice);
        let (most, excess) = room(plan.limit, self.sum.into(), ask);
        if let Some(excess) = excess {
            if ask.cost > most {
                return Verdict::Refused { wait: NEVER };
            }
            let mut left = excess;
            let leaves = self.slices().find_map(|(slice, count)| {
                left = left.saturating_sub(count.into());
                (left == 0).then(|| (slice + SLICES as u64) * plan.slice)
            });
            let wait = leaves.map_or(NEVER, |at| at.saturating_sub(now));
            return Verdict::Refused { wait };
        }
        // More than the limit need not be known.
        let counted = ask.cost.min(plan.limit) as u32;
        let excess = (self.sum + counted).saturating_sub(plan.limit as u32);
        if excess > 0 {
            self.drop_oldest(excess);
        }
        self.counts[self.slice as usize % SLICES] += counted;
        self.sum += counted;
        Verdict::Taken {
            left: most.saturating_sub(self.sum.into()),
            ahead: 0,
        }
    }

    fn rank(&self, plan: &CountsPlan) -> u128 {
        self.slices()
            .rev()
            .find(|&(_, count)| count > 0)
            .map_or(0, |(slice, _)| {
                u128::from(slice + SLICES as u64) * u128::from(plan.slice)
            })
    }

    fn rank_of(_plan: &CountsPlan, time: u64) -> u128 {
        u128::from(time)
    }
}
