//! Any run of calls against a model that keeps all that has been and works everything out anew.

use pool_core::breaker::{Entry, Left, Machine, Outcome, Settings, Span, StateName, Token, Wait};
use proptest::prelude::*;
use std::num::NonZeroU32;
use StateName::{Closed, Disabled, HalfOpen, Open};

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Enter,
    /// Of the tokens there have been, the nth from the end.
    Leave(usize, Outcome),
    Lose(usize),
    Reset,
    ForceOpen(Option<u64>),
    Disable,
}

/// A call, as the model knows it.
struct Call {
    token: Token,
    period: usize,
    began: u64,
    is_probe: bool,
    /// When it ended, and whether well.
    ended: Option<bool>,
}

struct Model {
    settings: Settings,
    now: u64,
    state: StateName,
    until: Option<u64>,
    /// How many periods there have been.
    period: usize,
    waits_in_a_row: u32,
    calls: Vec<Call>,
    /// The results of this period: when, whether a failure, whether slow.
    results: Vec<(u64, bool, bool)>,
    seen: Vec<StateName>,
}

impl Model {
    fn become_(&mut self, state: StateName) {
        if self.state != state {
            self.seen.push(state);
        }
        self.state = state;
        self.period += 1;
        self.results.clear();
    }

    fn open(&mut self, at: u64) {
        self.waits_in_a_row = match self.state {
            HalfOpen => self.waits_in_a_row + 1,
            _ => 0,
        };
        let wait = self.settings.wait;
        let grown = wait.first as f64 * wait.factor.powi(self.waits_in_a_row as i32);
        self.until = Some(at + grown.min(wait.longest as f64) as u64);
        self.become_(Open);
    }

    fn probes(&self) -> impl Iterator<Item = &Call> {
        let of_now = |call: &&Call| call.is_probe && call.period == self.period;
        self.calls.iter().filter(of_now)
    }

    fn decide(&mut self, at: u64) {
        let failed = self
            .probes()
            .filter(|call| call.ended == Some(false))
            .count() as u32;
        let succeeded = self
            .probes()
            .filter(|call| call.ended == Some(true))
            .count() as u32;
        if succeeded == self.settings.successes {
            self.waits_in_a_row = 0;
            self.become_(Closed);
        } else if self.settings.probes - failed < self.settings.successes {
            self.open(at);
        }
    }

    fn pass_time(&mut self, to: u64) {
        for now in self.now..=to {
            self.now = now;
            if self.state != HalfOpen {
                continue;
            }
            let (period, timeout) = (self.period, self.settings.probe_timeout);
            for nth in 0..self.calls.len() {
                let call = &mut self.calls[nth];
                let is_over = timeout.is_some_and(|timeout| call.began + timeout <= now);
                let is_running = call.is_probe && call.period == period && call.ended.is_none();
                if is_over && is_running && self.state == HalfOpen {
                    call.ended = Some(false);
                    self.decide(now);
                }
            }
        }
    }

    /// Whether a call is admitted.
    fn enter(&mut self) -> Option<bool> {
        if self.state == Open && self.until.is_some_and(|until| self.now >= until) {
            self.become_(HalfOpen);
        }
        match self.state {
            Closed | Disabled => Some(false),
            Open => None,
            HalfOpen => {
                // What was ignored is no longer among the calls.
                let admitted = self.probes().count() as u32;
                (admitted < self.settings.probes).then_some(true)
            }
        }
    }

    fn leave(&mut self, nth: usize, outcome: Outcome) -> Left {
        let call = &mut self.calls[nth];
        let is_of_now = call.period == self.period;
        if !is_of_now || call.is_probe && call.ended.is_some() {
            return Left::Stale;
        }
        let slow = self.settings.slow_call;
        let is_slow = slow.is_some_and(|most| self.now.saturating_sub(call.began) > most);
        let is_failure = outcome == Outcome::Failure;
        if outcome == Outcome::Ignored {
            if call.is_probe {
                // As if it had never been.
                call.period = usize::MAX;
            }
        } else if call.is_probe {
            call.ended = Some(!is_failure && !is_slow);
            self.decide(self.now);
        } else if self.state == Closed {
            self.results.push((self.now, is_failure, is_slow));
            if self.is_exceeded() {
                self.open(self.now);
            }
        }
        Left::Counted
    }

    fn is_exceeded(&self) -> bool {
        let settings = &self.settings;
        let in_a_row = self
            .results
            .iter()
            .rev()
            .take_while(|(_, is_failure, _)| *is_failure);
        if settings
            .failures
            .is_some_and(|most| in_a_row.count() as u32 >= most.get())
        {
            return true;
        }
        let window: Vec<_> = match settings.window {
            None => return false,
            Some(Span::Calls(calls)) => {
                let last = self.results.iter().rev().take(calls.get() as usize);
                last.collect()
            }
            Some(Span::Time(span)) => {
                let part = |at: u64| at / span.div_ceil(20);
                let is_in = |at: u64| part(at) + 20 > part(self.now);
                self.results.iter().filter(|(at, ..)| is_in(*at)).collect()
            }
        };
        let share = |of: usize, most: Option<f64>| {
            most.is_some_and(|most| of as f64 / window.len() as f64 >= most)
        };
        let (_, is_failure, is_slow) = *self.results.last().unwrap();
        let failures = window.iter().filter(|(_, is, _)| *is).count();
        let slow = window.iter().filter(|(.., is)| *is).count();
        window.len() as u32 >= settings.minimum_calls
            && (is_failure && share(failures, settings.failure_rate)
                || is_slow && share(slow, settings.slow_rate))
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    let window = prop_oneof![
        Just(None),
        (1..12u32).prop_map(|calls| Some(Span::Calls(NonZeroU32::new(calls).unwrap()))),
        (1..100u64).prop_map(|time| Some(Span::Time(time))),
    ];
    let rate = || {
        prop_oneof![
            Just(None),
            (1..=10u8).prop_map(|n| Some(f64::from(n) / 10.0))
        ]
    };
    let timeout = || prop_oneof![Just(None), (1..40u64).prop_map(Some)];
    let wait = (
        0..30u64,
        prop_oneof![Just(1.0), Just(1.5), Just(2.0)],
        30..80u64,
    );
    let probes = (1..6u32).prop_flat_map(|probes| (Just(probes), 1..=probes));
    let failures = (0..6u32).prop_map(NonZeroU32::new);
    (
        failures,
        rate(),
        rate(),
        1..8u32,
        window,
        timeout(),
        wait,
        probes,
        timeout(),
    )
        .prop_map(
            |(
                failures,
                failure_rate,
                slow_rate,
                minimum_calls,
                window,
                slow_call,
                wait,
                probes,
                probe_timeout,
            )| {
                let (first, factor, longest) = wait;
                let (probes, successes) = probes;
                Settings {
                    failures,
                    failure_rate,
                    slow_rate,
                    minimum_calls,
                    window,
                    slow_call,
                    wait: Wait {
                        first,
                        factor,
                        longest,
                        jitter: 0.0,
                    },
                    probes,
                    successes,
                    probe_timeout,
                }
            },
        )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = || {
        prop_oneof![
            3 => Just(Outcome::Success),
            3 => Just(Outcome::Failure),
            1 => Just(Outcome::Ignored)
        ]
    };
    let recent = || prop_oneof![3 => 0..3usize, 1 => 0..200usize];
    let step = prop_oneof![
        10 => (0..20u64).prop_map(Step::Pass),
        20 => Just(Step::Enter),
        20 => (recent(), outcome()).prop_map(|(nth, outcome)| Step::Leave(nth, outcome)),
        2 => recent().prop_map(Step::Lose),
        1 => prop_oneof![
            Just(Step::Reset),
            proptest::option::of(0..20u64).prop_map(Step::ForceOpen),
            Just(Step::Disable)
        ],
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_the_model(settings in settings(), steps in steps()) {
        let mut machine = Machine::new(settings.clone(), 1 << 30, 3);
        let mut model = Model {
            settings,
            now: 0,
            state: Closed,
            until: None,
            period: 0,
            waits_in_a_row: 0,
            calls: Vec::new(),
            results: Vec::new(),
            seen: Vec::new(),
        };
        for step in steps {
            let chosen = |nth: usize, model: &Model| model.calls.len().checked_sub(nth + 1);
            match step {
                Step::Pass(time) => {
                    let to = model.now + time;
                    model.pass_time(to);
                    // Time may be told by any call.
                    machine.report(to);
                }
                Step::Enter => {
                    let (now, expected) = (model.now, model.enter());
                    let token = match machine.enter(now) {
                        Entry::Pass(began) => Some(Token::Pass(began)),
                        Entry::Probe(number) => Some(Token::Probe(number)),
                        Entry::Refused(_) => None,
                    };
                    let is_probe = token.map(|token| matches!(token, Token::Probe(_)));
                    prop_assert_eq!(is_probe, expected);
                    if let Some(token) = token {
                        model.calls.push(Call {
                            token,
                            period: model.period,
                            // Later by the periods that have begun at this very time.
                            began: match token {
                                Token::Pass(began) => began,
                                Token::Probe(_) => now,
                            },
                            is_probe: matches!(token, Token::Probe(_)),
                            ended: None,
                        });
                    }
                }
                Step::Leave(nth, outcome) => {
                    if let Some(nth) = chosen(nth, &model) {
                        let left = machine.leave(model.calls[nth].token, outcome, model.now);
                        prop_assert_eq!(left, model.leave(nth, outcome));
                    }
                }
                Step::Lose(nth) => {
                    if let Some(nth) = chosen(nth, &model) {
                        if let Token::Probe(number) = model.calls[nth].token {
                            machine.lose(number, model.now);
                            let call = &mut model.calls[nth];
                            let is_running = call.period == model.period && call.ended.is_none();
                            if is_running && model.state == HalfOpen {
                                call.ended = Some(false);
                                model.decide(model.now);
                            }
                        }
                    }
                }
                Step::Reset => {
                    machine.reset(model.now);
                    model.waits_in_a_row = 0;
                    model.become_(Closed);
                }
                Step::ForceOpen(time) => {
                    machine.force_open(time, model.now);
                    model.until = time.map(|time| model.now + time);
                    model.become_(Open);
                }
                Step::Disable => {
                    machine.disable(model.now);
                    model.become_(Disabled);
                }
            }
            prop_assert_eq!(machine.state(), model.state);
            let seen: Vec<_> = machine.take_changes().iter().map(|change| change.to).collect();
            prop_assert_eq!(seen, std::mem::take(&mut model.seen));
            if model.state == Open {
                prop_assert_eq!(machine.open_until(), model.until);
            }
        }
    }
}
