//! A smoothed latency that believes the worst at once.
//!
//! The peak EWMA of Finagle's load balancer: what took longer than the average is the new average,
//! what took less draws it down, by e^(-t/tau) after a time t. So one slow answer is enough to
//! send the next request elsewhere, and time, rather than the number of answers, forgives.

use std::f32::consts::LOG2_E;

/// The score of what has been chosen, but has not answered for the first time yet: more than any
/// latency makes, or all would go to one who never answers.
const UNKNOWN: u64 = 1 << 62;

#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// Nanoseconds; 0 as long as nothing was observed.
    value: f32,
    /// When it was that.
    at: u64,
}

impl Latency {
    /// Something has taken `rtt` nanoseconds; `tau` nanoseconds is how quickly that is forgotten.
    pub fn observe(&mut self, now: u64, rtt: u64, tau: u64) {
        let rtt = rtt.max(1) as f32;
        self.value = if rtt >= self.value {
            rtt
        } else {
            rtt + (self.value - rtt) * self.remaining(now, tau)
        };
        self.at = self.at.max(now);
    }

    /// Nanoseconds: what was observed, less what has been forgotten since.
    pub fn value(&self, now: u64, tau: u64) -> u64 {
        (self.value * self.remaining(now, tau)) as u64
    }

    /// What choosing it would cost, for comparison: the latency times the uses in flight with this
    /// one. At first nothing, so that it is tried, and then much, until the first has ended.
    pub fn score(&self, now: u64, tau: u64, in_flight: u32) -> u64 {
        let uses = u64::from(in_flight);
        if self.value == 0.0 && in_flight > 0 {
            return UNKNOWN + uses;
        }
        // No more than 36 minutes, so that a million of it are still below.
        let latency = self.value(now, tau).min(1 << 41);
        (latency + 1) * (uses + 1)
    }

    /// The part that is left of a value.
    fn remaining(&self, now: u64, tau: u64) -> f32 {
        let elapsed = now.saturating_sub(self.at) as f32;
        halved(elapsed / tau.max(1) as f32 * LOG2_E)
    }
}

/// 2^-x for x that is not negative, to 1 in 5,000: a tenth of the time of the exact one.
fn halved(x: f32) -> f32 {
    if x >= 100.0 {
        return 0.0;
    }
    let whole = x as u32;
    let part = x - whole as f32;
    // Exact at 0 and 1, so that it falls without steps.
    let of_part = 1.0 + part * (-0.690_844_4 + part * (0.228_716_55 - 0.037_872_16 * part));
    f32::from_bits((127 - whole) << 23) * of_part
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const TAU: u64 = 10_000 * MS;

    fn is_near(value: u64, expected: f64) -> bool {
        (value as f64 - expected).abs() <= expected * 0.001 + 1.0
    }

    proptest! {
        #[test]
        fn powers_of_two(x in prop_oneof![0.0..4.0f32, 0.0..101.0f32]) {
            let expected = (-f64::from(x)).exp2();
            let error = (f64::from(halved(x)) - expected).abs();
            prop_assert!(error <= expected / 5_000.0 + 1e-30, "{error}");
        }

        #[test]
        fn as_the_formula(steps in prop::collection::vec((0..30_000u64, 1..100_000u64), 1..30)) {
            let mut latency = Latency::default();
            let (mut now, mut at, mut expected) = (0, 0, 0.0f64);
            for (pause, rtt) in steps {
                now += pause * MS;
                let rtt = rtt * 1_000;
                latency.observe(now, rtt, TAU);
                let weight = (-((now - at) as f64) / TAU as f64).exp();
                let rtt = rtt as f64;
                expected = if rtt >= expected {
                    rtt
                } else {
                    expected * weight + rtt * (1.0 - weight)
                };
                at = now;
                prop_assert!(is_near(latency.value(now, TAU), expected));
            }
        }

        /// Whatever the numbers, the score is one, and grows with the uses in flight.
        #[test]
        fn scores_compare(
            seen in prop::option::of((any::<u64>(), any::<u64>())), now: u64, tau: u64,
            in_flight in 0..999_999u32,
        ) {
            let mut latency = Latency::default();
            if let Some((at, rtt)) = seen {
                latency.observe(at, rtt, tau);
            }
            let more = latency.score(now, tau, in_flight + 1);
            prop_assert!(latency.score(now, tau, in_flight) < more);
            prop_assert!(more > 1);
        }
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_with_time() {
        let mut latency = Latency::default();
        latency.observe(0, 2 * MS, TAU);
        latency.observe(MS, 80 * MS, TAU);
        assert!(is_near(latency.value(MS, TAU), 80.0 * MS as f64));
        // Many quick ones at one time do not hide it.
        for _ in 0..1_000 {
            latency.observe(2 * MS, 2 * MS, TAU);
        }
        assert!(latency.value(2 * MS, TAU) > 79 * MS);
        for round in 0..70 {
            latency.observe((1 + round) * 1_000 * MS, 2 * MS, TAU);
        }
        assert!(latency.value(70_000 * MS, TAU) < 3 * MS);
    }

    #[test]
    fn it_is_forgotten_when_nothing_comes() {
        let mut latency = Latency::default();
        latency.observe(5, 100 * MS, TAU);
        let after = |time| latency.value(5 + time, TAU) as f64;
        assert!(is_near(latency.value(0, TAU), 100.0 * MS as f64));
        assert!((after(TAU) / MS as f64 - 36.79).abs() < 0.05);
        assert_eq!(after(200 * TAU), 0.0);
    }

    /// A new one is tried before any other, once; who has not answered comes last.
    #[test]
    fn one_of_unknown_latency_is_tried_once() {
        let mut known = Latency::default();
        known.observe(0, MS, TAU);
        let unknown = Latency::default();
        assert!(unknown.score(0, TAU, 0) < known.score(0, TAU, 0));
        let mut slow = Latency::default();
        slow.observe(0, u64::MAX, TAU);
        assert!(unknown.score(0, TAU, 1) > slow.score(0, TAU, 1_000_000));
        // Having taken no time that the clock can tell is known too.
        let mut quick = Latency::default();
        quick.observe(0, 0, TAU);
        assert!(quick.score(0, TAU, 5) < known.score(0, TAU, 0));
    }
}
