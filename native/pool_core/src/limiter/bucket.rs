//! Token and leaky buckets, as the generic cell rate algorithm in its form as virtual scheduling
//! (ITU-T I.371, annex A; ATM Forum, Traffic Management Specification 4.1): of a key only the theoretical
//! arrival time is kept. That is when its bucket will be full again, or the leaky one empty.

use super::{Ask, Meter, Verdict, LARGEST, LONGEST, NEVER};

/// A rate and a burst. Times are counted in units of which both a nanosecond and a token are whole
/// multiples, so that nothing is ever rounded: in `limit` by nanosecond, and `per` by token, both
/// divided by what divides both.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    units_by_nanosecond: u64,
    units_by_token: u64,
    /// Of a full bucket.
    capacity: u128,
}

impl Plan {
    /// `limit` in `per` nanoseconds, and `burst` at once.
    pub fn new(limit: u64, per: u64, burst: u64) -> Option<Self> {
        let fits = |number| (1..=LARGEST).contains(&number);
        if !fits(limit) || !fits(burst) || !(1..=LONGEST).contains(&per) {
            return None;
        }
        let divisor = greatest_common_divisor(limit, per);
        let units_by_token = per / divisor;
        Some(Plan {
            units_by_nanosecond: limit / divisor,
            units_by_token,
            capacity: u128::from(burst) * u128::from(units_by_token),
        })
    }

    /// The time that so many units are, rounded up.
    pub fn nanoseconds(&self, units: u128) -> u64 {
        let time = units.div_ceil(u128::from(self.units_by_nanosecond));
        u64::try_from(time).unwrap_or(NEVER)
    }

    fn units(&self, tokens: u64) -> u128 {
        u128::from(tokens) * u128::from(self.units_by_token)
    }

    fn tokens(&self, units: u128) -> u64 {
        let tokens = match u64::try_from(units) {
            // Much quicker, and nearly always so.
            Ok(units) => units / self.units_by_token,
            Err(_) => (units / u128::from(self.units_by_token)) as u64,
        };
        debug_assert!(tokens <= LARGEST);
        tokens
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A bucket. As tokens in one that is filled, or as room in one that leaks: that is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// In units, since time 0.
    arrival: u128,
}

impl Meter for Bucket {
    type Plan = Plan;
    const FORGETTABLE: bool = true;

    #[inline(always)]
    fn take(&mut self, plan: &Plan, now: u64, ask: &Ask) -> Verdict {
        let now = Self::rank_of(plan, now);
        let front = self.arrival.max(now);
        let cost = plan.units(ask.cost);
        let full = now + plan.capacity;
        let most = full - plan.units(ask.floor);
        let after = front + cost;
        if after > most {
            if !ask.bypass {
                let wait = if cost > most - now {
                    NEVER
                } else {
                    plan.nanoseconds(after - most)
                };
                return Verdict::Refused { wait };
            }
            // It takes what there is.
            self.arrival = front.max(after.min(full));
        } else {
            self.arrival = after;
        }
        Verdict::Taken {
            left: plan.tokens(most.saturating_sub(self.arrival)),
            ahead: front - now,
        }
    }

    fn rank(&self, _plan: &Plan) -> u128 {
        self.arrival
    }

    #[inline(always)]
    fn rank_of(plan: &Plan, time: u64) -> u128 {
        u128::from(time) * u128::from(plan.units_by_nanosecond)
    }
}
