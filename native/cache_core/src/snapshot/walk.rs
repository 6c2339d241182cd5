//! A live cache in the order in which it would evict, near enough: the order of each shard, and
//! all shards advancing together, so that a cache with other shards gets it too.

use crate::cache::Cache;
use crate::entry::{Entry, Host};
use crate::sync::Busy;
use crate::threads::pin;

/// Entries shown at once: a lock and a pin are held no longer.
const STEP: usize = 64;

/// Shows each entry that is there all the time once, the coldest first; of those that come and go
/// meanwhile, some. Holds four bytes for each entry.
pub struct Walk {
    /// The entries' numbers by shard, as they were at the start.
    orders: Vec<Vec<u32>>,
    round: usize,
    rounds: usize,
    shard: usize,
}

impl Walk {
    /// `Busy` only on a thread that may not wait.
    pub fn new<H: Host>(cache: &Cache<H>) -> Result<Self, Busy> {
        let mut orders = Vec::with_capacity(cache.shards());
        for shard in 0..cache.shards() {
            let pin = pin();
            cache.apply_all_reads(&pin);
            orders.push(cache.order(shard, &pin)?);
        }
        let longest = orders.iter().map(Vec::len).max().unwrap_or(0);
        Ok(Walk {
            orders,
            round: 0,
            rounds: longest.div_ceil(STEP),
            shard: 0,
        })
    }

    /// Shows the next few; false when there are no more.
    pub fn step<H: Host>(
        &mut self,
        cache: &Cache<H>,
        show: impl FnMut(&Entry<H>),
    ) -> Result<bool, Busy> {
        if self.round == self.rounds {
            return Ok(false);
        }
        let order = &self.orders[self.shard];
        let at = |round: usize| order.len() * round / self.rounds;
        let numbers = &order[at(self.round)..at(self.round + 1)];
        cache.show(self.shard, numbers, &pin(), show)?;
        self.shard += 1;
        if self.shard == self.orders.len() {
            self.shard = 0;
            self.round += 1;
        }
        Ok(true)
    }
}
