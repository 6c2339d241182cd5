//! A live cache in the order in which it would evict, near enough: the order of each shard, and
//! all shards advancing together, so that a cache with other shards gets it too.

use crate::cache::Cache;
use crate::entry::{Entry, Host};
use crate::sync::Busy;
use crate::threads::pin;

/// How far a shard goes before the next one's turn.
const STRIDE: usize = 64;

/// Shows each entry that is there all the time once, the coldest first; of those that come and go
/// meanwhile, some. Holds four bytes for each entry.
pub struct Walk {
    /// The entries' numbers by shard, as they were at the start.
    orders: Vec<Vec<u32>>,
    round: usize,
    rounds: usize,
    shard: usize,
    /// How many of this shard's turn were shown.
    shown: usize,
}

impl Walk {
    /// `Busy` only on a thread that may not wait.
    pub fn new<H: Host>(cache: &Cache<H>) -> Result<Self, Busy> {
        let mut orders = Vec::with_capacity(cache.shards());
        cache.apply_all_reads(&pin());
        for shard in 0..cache.shards() {
            orders.push(cache.order(shard, &pin())?);
        }
        let longest = orders.iter().map(Vec::len).max().unwrap_or(0);
        Ok(Walk {
            orders,
            round: 0,
            rounds: longest.div_ceil(STRIDE),
            shard: 0,
            shown: 0,
        })
    }

    /// Shows a few more, until `show` says that it is enough; false when there were no more. The
    /// entries are those of one moment, and no lock is held while they are shown.
    pub fn step<H: Host>(
        &mut self,
        cache: &Cache<H>,
        show: impl FnMut(&Entry<H>) -> bool,
    ) -> Result<bool, Busy> {
        if self.round == self.rounds {
            return Ok(false);
        }
        let order = &self.orders[self.shard];
        let at = |round: usize| order.len() * round / self.rounds;
        let numbers = &order[at(self.round)..at(self.round + 1)][self.shown..];
        let seen = cache.show(self.shard, numbers, &pin(), show)?;
        if seen < numbers.len() {
            self.shown += seen;
            return Ok(true);
        }
        self.shown = 0;
        self.shard += 1;
        if self.shard == self.orders.len() {
            self.shard = 0;
            self.round += 1;
        }
        Ok(true)
    }
}
