//! How many events there are in a second: now, and over each window.

use crate::decaying::decay;
use crate::sync::{AtomicU64, Ordering};
use crate::windows::{Windows, WINDOWS};
use sync_core::parts::Parts;

/// Counts events; each thread has a count of its own.
pub struct Meter(Parts<AtomicU64>);

impl Meter {
    /// `threads`: how many are expected to count; further ones share a count.
    pub fn new(threads: usize) -> Self {
        Meter(Parts::new(threads))
    }

    /// `thread`: the number of the calling thread, which no other living thread has.
    #[inline(always)]
    pub fn mark(&self, thread: usize, events: u64) {
        let (count, shared) = self.0.own(thread, || AtomicU64::new(0));
        if shared {
            count.fetch_add(events, Ordering::Relaxed);
        } else {
            // Nobody else writes it: no locked instruction is needed.
            let before = count.load(Ordering::Relaxed);
            count.store(before.wrapping_add(events), Ordering::Relaxed);
        }
    }

    /// All events since it was made, modulo 2^64.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |total, count| {
            total.wrapping_add(count.load(Ordering::Relaxed))
        })
    }
}

/// After this time what happened counts for half in the decaying rate, in milliseconds.
pub const HALF_LIFE: u64 = 60_000;

/// What has become of the totals of a [`Meter`] in time.
pub struct Rates {
    windows: Windows<u64>,
    decaying: DecayingRate,
}

/// Events and time, the older the less: their quotient is the rate, right from the start.
#[derive(Clone)]
struct DecayingRate {
    at: u64,
    total: u64,
    events: f64,
    time: f64,
}

impl DecayingRate {
    fn tick(&mut self, now: u64, total: u64) {
        let elapsed = now.saturating_sub(self.at);
        let (left, spread) = decay(elapsed, HALF_LIFE);
        let events = total.wrapping_sub(self.total);
        self.events = self.events * left + events as f64 * spread;
        self.time = self.time * left + elapsed as f64 * spread;
        self.at = self.at.max(now);
        self.total = total;
    }
}

/// Events a second.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub total: u64,
    /// Of each of [`WINDOWS`].
    pub windows: [f64; WINDOWS.len()],
    /// The mean of all time, the past counting the less the longer ago it is.
    pub decaying: f64,
}

fn per_second(events: f64, milliseconds: f64) -> f64 {
    if milliseconds > 0.0 {
        events * 1000.0 / milliseconds
    } else {
        0.0
    }
}

impl Rates {
    /// `now`: milliseconds of a clock that does not go back.
    pub fn new(now: u64) -> Self {
        Rates {
            windows: Windows::new(now, &0),
            decaying: DecayingRate {
                at: now,
                total: 0,
                events: 0.0,
                time: 0.0,
            },
        }
    }

    /// Takes note of the total by now. Should come every [`TICK`](crate::windows::TICK).
    pub fn tick(&mut self, now: u64, total: u64) {
        self.windows.tick(now, &total);
        self.decaying.tick(now, total);
    }

    pub fn read(&self, now: u64, total: u64) -> Reading {
        let mut decaying = self.decaying.clone();
        decaying.tick(now, total);
        let windows = self.windows.begin(now).read(&total);
        Reading {
            total,
            windows: windows.map(|(span, events)| per_second(events as f64, span as f64)),
            decaying: per_second(decaying.events, decaying.time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::TICK;

    #[test]
    fn threads_count_side_by_side() {
        let meter = Meter::new(2);
        std::thread::scope(|scope| {
            for thread in 0..5 {
                let meter = &meter;
                scope.spawn(move || (0..100_000).for_each(|_| meter.mark(thread, 3)));
            }
        });
        assert_eq!(meter.total(), 5 * 300_000);
        meter.mark(0, u64::MAX);
        assert_eq!(meter.total(), 5 * 300_000 - 1);
    }

    #[test]
    fn a_steady_rate_is_told_by_all_from_the_start() {
        let mut rates = Rates::new(1000);
        assert_eq!(
            rates.read(1000, 0),
            Reading {
                total: 0,
                windows: [0.0; 6],
                decaying: 0.0
            }
        );
        for tick in 1..=20_000 {
            // 40 events a second.
            rates.tick(1000 + tick * TICK, tick * 10);
            if tick % 97 == 0 {
                let reading = rates.read(1000 + tick * TICK, tick * 10);
                assert_eq!(reading.windows, [40.0; 6]);
                assert!((reading.decaying - 40.0).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn the_decaying_rate_halves_what_is_a_half_life_old() {
        let mut rates = Rates::new(0);
        for tick in 1..=100_000 {
            rates.tick(tick * TICK, tick * 25);
        }
        let stop = 100_000 * TICK;
        let total = 2_500_000;
        for half_lives in 1..=3 {
            let until = stop + half_lives * HALF_LIFE;
            // Late ticks change nothing.
            rates.tick(until, total);
            let is = rates.read(until, total).decaying;
            let expected = 100.0 / f64::from(1 << half_lives);
            assert!((is - expected).abs() < 0.001, "{is}");
        }
        let reading = rates.read(stop + 3 * HALF_LIFE, total);
        assert_eq!(reading.windows[..3], [0.0; 3]);
        assert!(reading.windows[4] > 0.0);
    }

    #[test]
    fn a_burst_leaves_one_window_after_the_other() {
        let mut rates = Rates::new(0);
        rates.tick(TICK, 1000);
        let mut last_seen = [0; WINDOWS.len()];
        for tick in 2..=(90_000_000 / TICK) {
            let now = tick * TICK;
            rates.tick(now, 1000);
            for (seen, rate) in last_seen.iter_mut().zip(rates.read(now, 1000).windows) {
                if rate > 0.0 {
                    *seen = now;
                }
            }
        }
        for (seen, (window, slot)) in last_seen.into_iter().zip([
            (1_000, 250),
            (10_000, 1_000),
            (60_000, 5_000),
            (300_000, 30_000),
            (3_600_000, 300_000),
            (86_400_000, 7_200_000),
        ]) {
            assert!(
                seen >= window && seen <= window + slot + TICK,
                "{window}: {seen}"
            );
        }
    }
}
