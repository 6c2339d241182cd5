//! Limits on what is in use at once.

use super::{Ask, Meter, Verdict, LARGEST, NEVER};

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    limit: u64,
}

impl Plan {
    pub fn new(limit: u64) -> Option<Self> {
        (1..=LARGEST).contains(&limit).then_some(Plan { limit })
    }
}

/// A rank.
const LATER_THAN_ANY: u128 = u128::MAX - 1;

/// What is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    held: u64,
}

impl Held {
    pub fn give_back(&mut self, cost: u64) {
        debug_assert!(self.held >= cost);
        self.held = self.held.saturating_sub(cost);
    }
}

impl Meter for Held {
    type Plan = Plan;
    /// What is given back must be known.
    const FORGETTABLE: bool = false;

    fn take(&mut self, plan: &Plan, _now: u64, ask: &Ask) -> Verdict {
        let most = plan.limit.saturating_sub(ask.floor);
        if self.held + ask.cost > most && !ask.bypass {
            // Nobody knows when something is given back.
            let wait = if ask.cost > most { NEVER } else { 0 };
            return Verdict::Refused { wait };
        }
        self.held += ask.cost;
        Verdict::Taken {
            left: most.saturating_sub(self.held),
            ahead: 0,
        }
    }

    fn rank(&self, _plan: &Plan) -> u128 {
        if self.held > 0 {
            LATER_THAN_ANY
        } else {
            0
        }
    }

    fn rank_of(_plan: &Plan, time: u64) -> u128 {
        u128::from(time)
    }
}
