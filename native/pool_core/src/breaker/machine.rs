//! A breaker as a state machine: it is told of each call when it begins and when it ends.
//!
//! Periods begin with each change of state, and what becomes of a call counts in the period that it
//! began in. Times are nanoseconds since the breaker was made.

use super::settings::Settings;
use super::window::{Tally, Window};
use fastrand::Rng;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateName {
    Closed,
    Open,
    HalfOpen,
    /// As closed, whatever becomes of calls.
    Disabled,
}

pub const STATES: usize = 4;

/// By so much the clocks of two cores may differ at the very most.
pub const SKEW: u64 = 1_000_000;

/// Why a state was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Failures,
    FailureRate,
    SlowRate,
    Waited,
    ProbesSucceeded,
    ProbesFailed,
    /// Somebody said so.
    Forced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub from: StateName,
    pub to: StateName,
    pub cause: Cause,
}

/// The answer to who wants to make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It may; when it began.
    Pass(u64),
    /// It may, and much depends on it; which probe it is.
    Probe(u64),
    /// It may not; after what time it may be worth asking again.
    Refused(Option<u64>),
}

/// What who made a call has to show: from an [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Pass(u64),
    Probe(u64),
}

/// What has become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    /// As if it had not been made.
    Ignored,
}

/// What has been made of what has become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Counted,
    /// It was of a period that is over, or has been told before.
    Stale,
    /// No such token can have been given out.
    Unknown,
}

/// What there has been since the breaker was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: Tally,
    pub ignored: u64,
    pub refused: u64,
    pub stale: u64,
    /// Probes that nobody told the end of.
    pub lost: u64,
    /// Changes into each state.
    pub changes: [u64; STATES],
}

/// What there is to say of a breaker at some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub state: StateName,
    /// For how long.
    pub age: u64,
    /// Failures since the last success.
    pub failures: u32,
    pub window: Option<Tally>,
    /// After what time a call may be admitted, where none is now: for ever by `None`.
    pub retry_after: Option<u64>,
    /// Probes that are under way, that have succeeded and that have failed.
    pub probes: [u32; 3],
    pub counts: Counts,
}

#[derive(Clone, Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Option<u64> },
    HalfOpen(Probes),
    Disabled,
}

#[derive(Clone, Debug, Default)]
struct Probes {
    /// When those began that are under way. The numbers rise, and so do the times.
    running: BTreeMap<u64, u64>,
    succeeded: u32,
    failed: u32,
}

#[derive(Clone, Debug)]
pub struct Machine {
    settings: Settings,
    state: State,
    window: Option<Window>,
    /// The time never goes back.
    now: u64,
    /// No call of this period began before; all of earlier ones did.
    since: u64,
    changed_at: u64,
    /// The next wait, before jitter.
    wait: f64,
    first_probe: u64,
    next_probe: u64,
    random: Rng,
    counts: Counts,
    changes: Vec<Change>,
}

impl Machine {
    /// Closed, at time 0. `first_probe`: the number of the first probe, below 2^40.
    pub fn new(settings: Settings, first_probe: u64, seed: u64) -> Self {
        Machine {
            window: settings.window.map(Window::new),
            wait: settings.wait.first as f64,
            settings,
            state: State::Closed { failures: 0 },
            now: 0,
            since: 0,
            changed_at: 0,
            first_probe,
            next_probe: first_probe,
            random: Rng::with_seed(seed),
            counts: Counts::default(),
            changes: Vec::new(),
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn state(&self) -> StateName {
        match self.state {
            State::Closed { .. } => StateName::Closed,
            State::Open { .. } => StateName::Open,
            State::HalfOpen(_) => StateName::HalfOpen,
            State::Disabled => StateName::Disabled,
        }
    }

    pub fn since(&self) -> u64 {
        self.since
    }

    /// None: until somebody says so.
    pub fn open_until(&self) -> Option<u64> {
        match self.state {
            State::Open { until } => until,
            _ => None,
        }
    }

    /// Whether a success that is not slow changes nothing but a count.
    pub fn is_calm(&self) -> bool {
        match self.state {
            State::Closed { failures } => failures == 0 && self.window.is_none(),
            State::Disabled => true,
            _ => false,
        }
    }

    /// What has changed since this was last asked.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Someone wants to make a call.
    pub fn enter(&mut self, now: u64) -> Entry {
        self.pass_time(now);
        if self.open_until().is_some_and(|until| self.now >= until) {
            let half_open = State::HalfOpen(Probes::default());
            self.change(half_open, Cause::Waited, self.now);
        }
        let settings = &self.settings;
        match &mut self.state {
            State::Closed { .. } | State::Disabled => return Entry::Pass(self.now.max(self.since)),
            State::HalfOpen(probes) if probes.places(settings) > 0 => {
                let number = self.next_probe;
                self.next_probe += 1;
                probes.running.insert(number, self.now);
                return Entry::Probe(number);
            }
            State::HalfOpen(_) | State::Open { .. } => {}
        }
        self.counts.refused += 1;
        Entry::Refused(self.retry_after())
    }

    /// Someone has made a call.
    pub fn leave(&mut self, token: Token, outcome: Outcome, now: u64) -> Left {
        self.pass_time(now);
        let left = match token {
            Token::Pass(began) => self.leave_pass(began, outcome),
            Token::Probe(number) => self.leave_probe(number, outcome),
        };
        self.counts.stale += u64::from(left == Left::Stale);
        left
    }

    /// Nobody will tell the end of a probe, at that time or, where it is past, now.
    pub fn lose(&mut self, number: u64, at: u64) {
        self.pass_time(at);
        if let State::HalfOpen(probes) = &mut self.state {
            if probes.running.remove(&number).is_some() {
                self.counts.lost += 1;
                self.failed_probe(self.now);
            }
        }
    }

    /// Whether a probe has not ended in any way, as far as was told.
    pub fn is_running(&self, number: u64) -> bool {
        match &self.state {
            State::HalfOpen(probes) => probes.running.contains_key(&number),
            _ => false,
        }
    }

    /// How many probes have not.
    pub fn running(&self) -> usize {
        match &self.state {
            State::HalfOpen(probes) => probes.running.len(),
            _ => 0,
        }
    }

    /// Closes it, and forgets what has been, but for the counts.
    pub fn reset(&mut self, now: u64) {
        self.pass_time(now);
        self.wait = self.settings.wait.first as f64;
        self.change(State::Closed { failures: 0 }, Cause::Forced, self.now);
    }

    /// Opens it for that time, or until it is told otherwise.
    pub fn force_open(&mut self, time: Option<u64>, now: u64) {
        self.pass_time(now);
        let until = time.map(|time| self.now.saturating_add(time));
        self.change(State::Open { until }, Cause::Forced, self.now);
    }

    pub fn disable(&mut self, now: u64) {
        self.pass_time(now);
        self.change(State::Disabled, Cause::Forced, self.now);
    }

    pub fn report(&mut self, now: u64) -> Report {
        self.pass_time(now);
        let probes = match &self.state {
            State::HalfOpen(probes) => [probes.running(), probes.succeeded, probes.failed],
            _ => [0; 3],
        };
        Report {
            state: self.state(),
            age: self.now - self.changed_at,
            failures: match self.state {
                State::Closed { failures } => failures,
                _ => 0,
            },
            window: self.window.as_mut().map(|window| window.total(self.now)),
            retry_after: self.retry_after(),
            probes,
            counts: self.counts,
        }
    }

    pub fn memory(&self) -> usize {
        let probes = match &self.state {
            State::HalfOpen(probes) => probes.running.len() * 2 * size_of::<u64>(),
            _ => 0,
        };
        let window = self.window.as_ref().map_or(0, Window::memory);
        size_of::<Self>() + window + probes
    }

    /// What comes of time alone: probes that have had theirs have failed.
    fn pass_time(&mut self, now: u64) {
        while let (State::HalfOpen(probes), Some(timeout)) =
            (&mut self.state, self.settings.probe_timeout)
        {
            let Some(oldest) = probes.running.first_entry() else {
                break;
            };
            let end = oldest.get().saturating_add(timeout);
            if end > now {
                break;
            }
            oldest.remove();
            self.counts.lost += 1;
            self.now = self.now.max(end);
            self.failed_probe(self.now);
        }
        self.now = self.now.max(now);
    }

    fn change(&mut self, to: State, cause: Cause, at: u64) {
        let from = self.state();
        self.state = to;
        let to = self.state();
        self.since = at.max(self.since) + 1;
        if let Some(window) = &mut self.window {
            window.clear();
        }
        if from != to {
            self.changed_at = at;
            self.counts.changes[to as usize] += 1;
            self.changes.push(Change { from, to, cause });
        }
    }

    fn open(&mut self, cause: Cause, at: u64) {
        let wait = self.settings.wait;
        if self.state() == StateName::HalfOpen {
            self.wait = (self.wait * wait.factor).min(wait.longest as f64);
        } else {
            self.wait = wait.first as f64;
        }
        let spread = 1.0 + wait.jitter * (2.0 * self.random.f64() - 1.0);
        let until = Some(at.saturating_add((self.wait * spread) as u64));
        self.change(State::Open { until }, cause, at);
    }

    fn leave_pass(&mut self, began: u64, outcome: Outcome) -> Left {
        if began > self.now.max(self.since) + SKEW {
            return Left::Unknown;
        }
        let is_of_now = began >= self.since;
        if !is_of_now || !matches!(self.state, State::Closed { .. } | State::Disabled) {
            return Left::Stale;
        }
        if outcome == Outcome::Ignored {
            self.counts.ignored += 1;
            return Left::Counted;
        }
        let is_failure = outcome == Outcome::Failure;
        let is_slow = self.is_slow(began);
        self.counts.total.add(is_failure, is_slow);
        if let State::Closed { failures } = &mut self.state {
            *failures = if is_failure {
                failures.saturating_add(1)
            } else {
                0
            };
            let failures = *failures;
            if let Some(cause) = self.exceeded(failures, is_failure, is_slow) {
                self.open(cause, self.now);
            }
        }
        Left::Counted
    }

    fn is_slow(&self, began: u64) -> bool {
        let took = self.now.saturating_sub(began);
        self.settings.slow_call.is_some_and(|most| took > most)
    }

    /// What is too much with one more call. Only a failure is a failure too many, and only a slow
    /// call a slow one.
    fn exceeded(&mut self, failures: u32, is_failure: bool, is_slow: bool) -> Option<Cause> {
        let settings = &self.settings;
        let tally = self.window.as_mut().map(|window| {
            window.record(self.now, is_failure, is_slow);
            window.total(self.now)
        });
        if settings.failures.is_some_and(|most| failures >= most.get()) {
            return Some(Cause::Failures);
        }
        let tally = tally.filter(|tally| tally.calls >= u64::from(settings.minimum_calls))?;
        let is_above = |rate: f64, most: Option<f64>| most.is_some_and(|most| rate >= most);
        if is_failure && is_above(tally.failure_rate(), settings.failure_rate) {
            Some(Cause::FailureRate)
        } else if is_slow && is_above(tally.slow_rate(), settings.slow_rate) {
            Some(Cause::SlowRate)
        } else {
            None
        }
    }

    fn leave_probe(&mut self, number: u64, outcome: Outcome) -> Left {
        if !(self.first_probe..self.next_probe).contains(&number) {
            return Left::Unknown;
        }
        let State::HalfOpen(probes) = &mut self.state else {
            return Left::Stale;
        };
        let Some(began) = probes.running.remove(&number) else {
            return Left::Stale;
        };
        if outcome == Outcome::Ignored {
            self.counts.ignored += 1;
            return Left::Counted;
        }
        let is_slow = self.is_slow(began);
        let is_failure = outcome == Outcome::Failure;
        self.counts.total.add(is_failure, is_slow);
        if is_failure || is_slow {
            self.failed_probe(self.now);
        } else if let State::HalfOpen(probes) = &mut self.state {
            probes.succeeded += 1;
            if probes.succeeded >= self.settings.successes {
                self.wait = self.settings.wait.first as f64;
                let closed = State::Closed { failures: 0 };
                self.change(closed, Cause::ProbesSucceeded, self.now);
            }
        }
        Left::Counted
    }

    /// One more of those that are no longer under way. It opens as soon as no more than too few can
    /// succeed.
    fn failed_probe(&mut self, at: u64) {
        if let State::HalfOpen(probes) = &mut self.state {
            probes.failed += 1;
            if probes.failed > self.settings.probes - self.settings.successes {
                self.open(Cause::ProbesFailed, at);
            }
        }
    }

    /// After what time a call may be admitted, unless one is now.
    fn retry_after(&self) -> Option<u64> {
        match &self.state {
            State::Closed { .. } | State::Disabled => Some(0),
            State::Open { until } => until.map(|until| until.saturating_sub(self.now)),
            State::HalfOpen(probes) if probes.places(&self.settings) > 0 => Some(0),
            // Nobody knows when the probes end: at the worst by their timeout.
            State::HalfOpen(probes) => {
                let first = self.settings.wait.first;
                let oldest = probes.running.first_key_value();
                let timeout = self.settings.probe_timeout;
                Some(oldest.zip(timeout).map_or(first, |((_, began), timeout)| {
                    first.min(began.saturating_add(timeout) - self.now)
                }))
            }
        }
    }
}

impl Probes {
    fn running(&self) -> u32 {
        self.running.len() as u32
    }

    /// For how many more there is a place.
    fn places(&self, settings: &Settings) -> u32 {
        settings.probes - (self.running() + self.succeeded + self.failed)
    }
}
