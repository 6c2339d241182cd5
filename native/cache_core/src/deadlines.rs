//! Which entries of a shard die when, soonest first. An item whose entry has been given more
//! time, or is another one by now, is put right when it comes up; of too many such the shard
//! rids itself by building the heap anew.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Times are kept in units of this many milliseconds, rounded up, so that an item fits 64 bits.
const TICK: u64 = 16;
/// What lies beyond this tick, two years ahead, comes up there and is pushed again.
const LAST: u64 = u32::MAX as u64;

#[derive(Default)]
pub struct Deadlines {
    /// Tick and number of an entry.
    heap: BinaryHeap<Reverse<(u32, u32)>>,
    /// Ticks count from here.
    origin: u64,
}

impl Deadlines {
    pub fn new(origin: u64) -> Self {
        Deadlines {
            heap: BinaryHeap::new(),
            origin,
        }
    }

    fn tick(&self, at: u64) -> u32 {
        at.saturating_sub(self.origin).div_ceil(TICK).min(LAST) as u32
    }

    pub fn push(&mut self, at: u64, id: u32) {
        let tick = self.tick(at);
        self.heap.push(Reverse((tick, id)));
    }

    /// The number of an entry that may have died by now.
    pub fn pop(&mut self, now: u64) -> Option<u32> {
        let mut now = now.saturating_sub(self.origin) / TICK;
        if now > LAST / 2 {
            self.move_origin(now);
            now = 0;
        }
        let Reverse((tick, _)) = *self.heap.peek()?;
        if u64::from(tick) > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, id))| id)
    }

    /// Once a year: ticks count from this one, so that the last stays ahead.
    fn move_origin(&mut self, by: u64) {
        self.origin += by * TICK;
        let by = u32::try_from(by).unwrap_or(u32::MAX);
        let moved =
            |Reverse((tick, id)): Reverse<(u32, u32)>| Reverse((tick.saturating_sub(by), id));
        let heap = std::mem::take(&mut self.heap);
        self.heap = heap.into_iter().map(moved).collect();
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Starts again with these.
    pub fn rebuild(&mut self, items: impl Iterator<Item = (u64, u32)>) {
        let items: Vec<_> = items.map(|(at, id)| Reverse((self.tick(at), id))).collect();
        self.heap = items.into();
    }

    pub fn memory(&self) -> usize {
        self.heap.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_up_once_it_is_due_and_not_before() {
        let mut deadlines = Deadlines::new(1000);
        deadlines.push(1050, 1);
        deadlines.push(1010, 2);
        for now in 1000..1010 {
            assert_eq!(deadlines.pop(now), None);
        }
        assert_eq!(deadlines.pop(1010 + TICK), Some(2));
        assert_eq!(deadlines.pop(1049), None);
        assert_eq!(deadlines.pop(1050 + TICK), Some(1));
        assert_eq!(deadlines.pop(u64::MAX), None);
    }

    #[test]
    fn tells_times_after_years() {
        let mut deadlines = Deadlines::new(0);
        let now = 1000 * 60 * 60 * 24 * 365 * 3;
        deadlines.push(now / 3, 1);
        deadlines.push(now * 2, 2);
        assert_eq!(deadlines.pop(now / 2), Some(1));
        // Comes up at the last tick and is put right.
        assert_eq!(deadlines.pop(now), Some(2));
        deadlines.push(now * 2, 2);
        deadlines.push(now + 1000, 3);
        assert_eq!(deadlines.pop(now), None);
        assert_eq!(deadlines.pop(now + 1000 + TICK), Some(3));
        assert_eq!(deadlines.pop(now * 2), Some(2));
    }

    #[test]
    fn keeps_what_is_years_ahead() {
        let mut deadlines = Deadlines::new(0);
        deadlines.push(u64::MAX, 7);
        assert_eq!(deadlines.pop(1 << 35), None);
        assert_eq!(deadlines.pop(u64::MAX), Some(7));
    }
}
