//! A limit of uses in flight that follows what the other side can bear.
//!
//! The algorithm is Gradient2 of Netflix's concurrency-limits: the limit grows as long as the
//! latency of now stays within a tolerance of the latency of long, and shrinks by their ratio when
//! it does not. By itself it forgets what the latency was without a queue: under load that never
//! ends the latency of long comes to be the one with the queue, and the limit drifts up, within
//! minutes to many times what is good. Hence, as in Envoy's gradient controller, the limit is at
//! times lowered for a moment: what the latency is then is the latency of long.

/// A window has at least so many samples and takes twice the latency, so that the last change of
/// the limit shows in it; within these bounds, in nanoseconds.
const SAMPLES: u32 = 10;
const SHORTEST: f64 = 100_000_000.0;
const LONGEST: f64 = 10_000_000_000.0;

/// The latency of long: an exponential average over so many windows, of the first few the mean.
const LONG: u32 = 600;
const WARM_UP: u32 = 10;

/// Latency may be so many times that of long before the limit shrinks.
const TOLERANCE: f64 = 1.5;

/// The limit shrinks by at most so much in one step, of which `SMOOTHING` is taken.
const STEEPEST: f64 = 0.5;
const SMOOTHING: f64 = 0.2;

/// Room for a queue, without which the limit could not grow: so many uses, or the square root of
/// the limit where that is more.
const QUEUE: f64 = 4.0;

/// Every so many windows it is found out whether there is a queue, if latency is so many times
/// that without one.
const PROBE_AFTER: u32 = 100;
const SUSPICIOUS: f64 = 1.2;

/// By which the limit is divided meanwhile: by twice the tolerance, so that even the limit that
/// the tolerance lets grow is well below the capacity then.
const PROBED: f64 = 2.0 * TOLERANCE;

/// What a window is used for.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The limit is adapted; so many windows are left before a probe.
    Adapting(u32),
    /// The limit was lowered, and what began before that is still ending.
    Settling,
    /// The latency is that without a queue, or with much less of one.
    Probing,
}

#[derive(Clone, Debug)]
pub struct Gradient {
    min: f64,
    max: f64,
    /// What the limit is adapted to; while probing more than the limit.
    estimate: f64,
    limit: u32,
    phase: Phase,
    /// Nanoseconds; the average of so many windows, up to [`LONG`].
    long: f64,
    averaged: u32,
    /// The latency without a queue, as last found out.
    floor: Option<f64>,
    /// How long a window is.
    length: u64,
    window: Window,
}

/// The samples since the first one of the window.
#[derive(Clone, Debug, Default)]
struct Window {
    ends: u64,
    count: u32,
    total: f64,
    most_in_flight: u32,
}

impl Gradient {
    /// A limit from `min`, which is at least 1, to `max`.
    pub fn new(min: u32, max: u32, initial: u32) -> Self {
        debug_assert!(1 <= min && min <= initial && initial <= max);
        Gradient {
            min: f64::from(min),
            max: f64::from(max),
            estimate: f64::from(initial),
            limit: initial,
            phase: Phase::Adapting(WARM_UP),
            long: 0.0,
            averaged: 0,
            floor: None,
            length: SHORTEST as u64,
            window: Window::default(),
        }
    }

    /// So many uses may be in flight.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// A use has ended that took `rtt` nanoseconds; `in_flight` were so many with it.
    pub fn sample(&mut self, rtt: u64, in_flight: u32, now: u64) {
        let window = &mut self.window;
        if window.count == 0 {
            window.ends = now.saturating_add(self.length);
        }
        window.count = window.count.saturating_add(1);
        window.total += rtt as f64;
        window.most_in_flight = window.most_in_flight.max(in_flight);
        if now >= window.ends && window.count >= SAMPLES {
            self.end_window();
        }
    }

    #[cold]
    fn end_window(&mut self) {
        let window = std::mem::take(&mut self.window);
        // It is divided by, and a coarse clock may see no time at all.
        let short = (window.total / f64::from(window.count)).max(1.0);
        self.length = (2.0 * short).clamp(SHORTEST, LONGEST) as u64;
        let is_used = window.most_in_flight >= self.limit.div_ceil(2);
        self.phase = match self.phase {
            Phase::Adapting(left) => {
                self.adapt(short, is_used);
                if left > 1 {
                    Phase::Adapting(left - 1)
                } else if is_used && self.is_suspicious(short) {
                    Phase::Settling
                } else {
                    Phase::Adapting(PROBE_AFTER)
                }
            }
            Phase::Settling => Phase::Probing,
            Phase::Probing => {
                self.floor = Some(short);
                self.long = short;
                Phase::Adapting(PROBE_AFTER)
            }
        };
        let limit = match self.phase {
            Phase::Adapting(_) => self.estimate,
            Phase::Settling | Phase::Probing => (self.estimate / PROBED).max(self.min),
        };
        self.limit = limit as u32;
    }

    fn adapt(&mut self, short: f64, is_used: bool) {
        self.average(short);
        if self.long > 2.0 * short {
            // A slow time is over: it must not be the measure for long.
            self.long *= 0.95;
        }
        // What is not used says nothing about whether it could be.
        if !is_used {
            return;
        }
        let gradient = (TOLERANCE * self.long / short).clamp(STEEPEST, 1.0);
        let queue = self.estimate.sqrt().max(QUEUE);
        let wanted = self.estimate * gradient + queue;
        self.estimate += (wanted - self.estimate) * SMOOTHING;
        self.estimate = self.estimate.clamp(self.min, self.max);
    }

    fn average(&mut self, short: f64) {
        self.averaged = (self.averaged + 1).min(LONG);
        let weight = if self.averaged <= WARM_UP {
            1.0 / f64::from(self.averaged)
        } else {
            2.0 / f64::from(LONG + 1)
        };
        self.long += (short - self.long) * weight;
    }

    /// Could there be a queue?
    fn is_suspicious(&self, short: f64) -> bool {
        self.floor.is_none_or(|floor| short > SUSPICIOUS * floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;
    use proptest::prelude::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;
    const LIMITS: [u32; 3] = [1, 400, 20];

    /// Requests come as soon as the limit lets them, up to `callers`, and are served in order by
    /// `capacity` servers, each in about `service` nanoseconds.
    struct Server {
        gradient: Gradient,
        callers: u32,
        capacity: usize,
        service: u64,
        now: u64,
        rng: Rng,
        /// When servers are free.
        free: BinaryHeap<Reverse<u64>>,
        /// When requests end, and began.
        requests: BinaryHeap<Reverse<(u64, u64)>>,
        /// The limits after each request since the last look, and how many requests that were.
        limits: u64,
        ended: u64,
    }

    impl Server {
        fn new([min, max, initial]: [u32; 3], capacity: usize, service: u64) -> Self {
            Server {
                gradient: Gradient::new(min, max, initial),
                callers: u32::MAX,
                capacity,
                service,
                now: 0,
                rng: Rng::with_seed(42),
                free: (0..capacity).map(|_| Reverse(0)).collect(),
                requests: BinaryHeap::new(),
                limits: 0,
                ended: 0,
            }
        }

        fn run(&mut self, time: u64) {
            let until = self.now + time;
            (self.limits, self.ended) = (0, 0);
            while self.now < until {
                while self.requests.len() < self.gradient.limit().min(self.callers) as usize {
                    let Reverse(free) = self.free.pop().unwrap();
                    let service = self.rng.u64(self.service / 2..self.service * 3 / 2);
                    let ends = free.max(self.now) + service;
                    self.free.push(Reverse(ends));
                    self.requests.push(Reverse((ends, self.now)));
                }
                let in_flight = self.requests.len() as u32;
                let Reverse((now, began)) = self.requests.pop().unwrap();
                self.now = now;
                self.gradient.sample(now - began, in_flight, now);
                self.limits += u64::from(self.gradient.limit());
                self.ended += 1;
            }
        }

        /// Runs for a minute, in which the limit is to be near the capacity (what the tolerance and
        /// the room for a queue make of it) and the server used.
        fn is_near_the_capacity(&mut self) {
            self.run(60 * SECOND);
            let mean = self.limits / self.ended;
            let capacity = self.capacity as u64;
            assert!((capacity..=2 * capacity + 5).contains(&mean), "{mean}");
            let possible = 60 * SECOND / self.service * capacity;
            assert!(
                self.ended * 100 > possible * 97,
                "{} of {possible}",
                self.ended
            );
        }
    }

    #[test]
    fn it_finds_the_capacity_from_below_and_above_and_stays() {
        for capacity in [10, 40, 150] {
            for initial in [1, 20, 400] {
                let mut server = Server::new([1, 400, initial], capacity, 10 * MS);
                server.run(180 * SECOND);
                server.is_near_the_capacity();
                server.run(600 * SECOND);
                server.is_near_the_capacity();
            }
        }
    }

    #[test]
    fn it_shrinks_when_the_server_is_slow_and_recovers() {
        let mut server = Server::new(LIMITS, 40, 10 * MS);
        server.run(180 * SECOND);
        let before = server.gradient.limit();
        server.service *= 10;
        server.run(10 * SECOND);
        assert!(server.gradient.limit() < before / 2);
        server.service /= 10;
        server.run(60 * SECOND);
        server.is_near_the_capacity();
    }

    /// A server that is slower from now on is not taken for a full one for ever.
    #[test]
    fn a_slower_server_becomes_the_measure() {
        let mut server = Server::new(LIMITS, 40, 10 * MS);
        server.run(180 * SECOND);
        server.service *= 5;
        server.run(600 * SECOND);
        server.is_near_the_capacity();
    }

    /// Few callers say nothing about how many could be served, and are never held up.
    #[test]
    fn it_does_not_change_when_it_is_not_used() {
        let mut server = Server::new(LIMITS, 40, 10 * MS);
        server.callers = 9;
        server.run(600 * SECOND);
        assert_eq!(server.gradient.limit(), 20);
        server.callers = 35;
        server.run(60 * SECOND);
        assert!(server.gradient.limit() >= 35);
    }

    /// Where latency is that without a queue it is left alone, once that is known.
    #[test]
    fn it_is_not_lowered_without_a_reason() {
        let mut server = Server::new(LIMITS, 100, 10 * MS);
        server.callers = 80;
        server.run(60 * SECOND);
        for _ in 0..3_000 {
            server.run(SECOND / 10);
            assert!(server.gradient.limit() >= 80);
        }
    }

    proptest! {
        #[test]
        fn it_is_always_within_its_bounds(
            min in 1..50u32, more in 0..50u32, initial in 0..=100u32, seed: u64,
            steps in prop::collection::vec(
                (prop_oneof![any::<u64>(), 0..100 * MS], 0..200u32, 0..SECOND / 20), 0..2_000,
            ),
        ) {
            let max = min + more;
            let mut gradient = Gradient::new(min, max, min + initial * more / 100);
            let mut now = seed >> 1;
            for (rtt, in_flight, pause) in steps {
                now += pause;
                gradient.sample(rtt, in_flight, now);
                prop_assert!((min..=max).contains(&gradient.limit()));
            }
        }
    }
}
