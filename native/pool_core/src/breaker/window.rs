//! The calls of late: the last ones, or those of some time.

use super::settings::Span;

/// What has become of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub calls: u64,
    pub failures: u64,
    pub slow: u64,
}

impl Tally {
    pub fn add(&mut self, is_failure: bool, is_slow: bool) {
        self.calls += 1;
        self.failures += u64::from(is_failure);
        self.slow += u64::from(is_slow);
    }

    fn subtract(&mut self, other: Tally) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }

    /// The share of failures; 0 of no calls. Divided, not multiplied: the nearest number to 7 / 100
    /// is the one that is written 0.07.
    pub fn failure_rate(&self) -> f64 {
        self.failures as f64 / self.calls.max(1) as f64
    }

    pub fn slow_rate(&self) -> f64 {
        self.slow as f64 / self.calls.max(1) as f64
    }
}

#[derive(Clone, Debug)]
pub enum Window {
    Calls(Ring),
    Time(Box<Buckets>),
}

impl Window {
    pub fn new(span: Span) -> Self {
        match span {
            Span::Calls(calls) => Window::Calls(Ring::new(calls.get() as usize)),
            Span::Time(time) => Window::Time(Box::new(Buckets::new(time))),
        }
    }

    pub fn record(&mut self, now: u64, is_failure: bool, is_slow: bool) {
        match self {
            Window::Calls(ring) => ring.record(is_failure, is_slow),
            Window::Time(buckets) => buckets.record(now, is_failure, is_slow),
        }
    }

    pub fn total(&mut self, now: u64) -> Tally {
        match self {
            Window::Calls(ring) => ring.total,
            Window::Time(buckets) => {
                buckets.move_on(now);
                buckets.total
            }
        }
    }

    pub fn clear(&mut self) {
        match self {
            Window::Calls(ring) => {
                ring.total = Tally::default();
                ring.next = 0;
            }
            Window::Time(buckets) => {
                buckets.total = Tally::default();
                buckets.tallies = Default::default();
            }
        }
    }

    pub fn memory(&self) -> usize {
        match self {
            Window::Calls(ring) => ring.calls.len(),
            Window::Time(_) => size_of::<Buckets>(),
        }
    }
}

/// The last calls, each by two bits of a byte. Those beyond the total are of before it was cleared.
#[derive(Clone, Debug)]
pub struct Ring {
    calls: Box<[u8]>,
    next: usize,
    total: Tally,
}

impl Ring {
    fn new(length: usize) -> Self {
        Ring {
            calls: vec![0; length].into(),
            next: 0,
            total: Tally::default(),
        }
    }

    fn record(&mut self, is_failure: bool, is_slow: bool) {
        let place = &mut self.calls[self.next];
        let old = std::mem::replace(place, u8::from(is_failure) | u8::from(is_slow) << 1);
        self.next += 1;
        let length = self.calls.len();
        if self.next == length {
            self.next = 0;
        }
        if self.total.calls == length as u64 {
            self.total.subtract(Tally {
                calls: 1,
                failures: u64::from(old & 1),
                slow: u64::from(old >> 1),
            });
        }
        self.total.add(is_failure, is_slow);
    }
}

/// So many parts has a span of time: it is shorter by up to one of them than was asked for.
pub const BUCKETS: usize = 20;

/// The calls of some time, by the parts of it that they ended in.
#[derive(Clone, Debug)]
pub struct Buckets {
    width: u64,
    /// The number of the newest, counted from the beginning of time, and when it is over.
    newest: u64,
    end: u64,
    tallies: [Tally; BUCKETS],
    total: Tally,
}

impl Buckets {
    fn new(span: u64) -> Self {
        let width = width(span);
        Buckets {
            width,
            newest: 0,
            end: width,
            tallies: Default::default(),
            total: Tally::default(),
        }
    }

    fn move_on(&mut self, now: u64) {
        if now < self.end {
            return;
        }
        let newest = now / self.width;
        let passed = (newest - self.newest).min(BUCKETS as u64);
        for number in newest + 1 - passed..=newest {
            let tally = &mut self.tallies[(number % BUCKETS as u64) as usize];
            self.total.subtract(std::mem::take(tally));
        }
        self.newest = newest;
        self.end = (newest + 1).saturating_mul(self.width);
    }

    fn record(&mut self, now: u64, is_failure: bool, is_slow: bool) {
        self.move_on(now);
        let newest = (self.newest % BUCKETS as u64) as usize;
        self.tallies[newest].add(is_failure, is_slow);
        self.total.add(is_failure, is_slow);
    }
}

pub fn width(span: u64) -> u64 {
    span.div_ceil(BUCKETS as u64).max(1)
}
