//! Breakers: what opens and closes them, at one less, as many and one more.

use pool_core::breaker::{
    Cause, Change, Entry, Gate, Left, Machine, Outcome, Settings, Span, StateName, Token, Wait,
};
use std::num::NonZeroU32;
use Outcome::{Failure, Ignored, Success};
use StateName::{Closed, HalfOpen, Open};

const FIRST_PROBE: u64 = 77;

fn settings() -> Settings {
    Settings {
        failures: None,
        failure_rate: None,
        slow_rate: None,
        minimum_calls: 1,
        window: None,
        slow_call: None,
        wait: Wait {
            first: 1000,
            factor: 1.0,
            longest: u64::MAX,
            jitter: 0.0,
        },
        probes: 1,
        successes: 1,
        probe_timeout: None,
    }
}

fn calls(calls: u32) -> Option<Span> {
    Some(Span::Calls(NonZeroU32::new(calls).unwrap()))
}

fn machine(settings: Settings) -> Machine {
    Machine::new(settings, FIRST_PROBE, 5)
}

fn pass(machine: &mut Machine, now: u64) -> Token {
    match machine.enter(now) {
        Entry::Pass(began) => Token::Pass(began),
        other => panic!("{other:?}"),
    }
}

fn probe(machine: &mut Machine, now: u64) -> Token {
    match machine.enter(now) {
        Entry::Probe(number) => Token::Probe(number),
        other => panic!("{other:?}"),
    }
}

/// Calls one after another, each in no time.
fn run(machine: &mut Machine, now: u64, outcomes: &[Outcome]) {
    for &outcome in outcomes {
        let token = pass(machine, now);
        assert_eq!(machine.leave(token, outcome, now), Left::Counted);
    }
}

fn changed(machine: &mut Machine) -> Vec<(StateName, StateName, Cause)> {
    let changes = machine.take_changes().into_iter();
    changes
        .map(|Change { from, to, cause }| (from, to, cause))
        .collect()
}

#[test]
fn failures_in_a_row_open_it() {
    let failures = NonZeroU32::new(3);
    for before in [vec![], vec![Failure, Failure, Success], vec![Success; 9]] {
        let mut breaker = machine(Settings {
            failures,
            ..settings()
        });
        run(&mut breaker, 0, &before);
        run(&mut breaker, 0, &[Failure, Ignored, Failure]);
        assert_eq!(breaker.state(), Closed);
        assert!(changed(&mut breaker).is_empty());
        run(&mut breaker, 0, &[Failure]);
        assert_eq!(changed(&mut breaker), [(Closed, Open, Cause::Failures)]);
        assert_eq!(breaker.enter(0), Entry::Refused(Some(1000)));
        assert_eq!(breaker.report(0).counts.refused, 1);
    }
}

#[test]
fn rates_open_it_from_so_many_calls_on() {
    let mut breaker = machine(Settings {
        failure_rate: Some(0.5),
        window: calls(4),
        minimum_calls: 4,
        ..settings()
    });
    run(&mut breaker, 0, &[Failure, Failure, Failure]);
    assert_eq!(breaker.state(), Closed);
    // Not by a success, though it is the fourth call.
    run(&mut breaker, 0, &[Success]);
    assert_eq!(breaker.state(), Closed);
    run(&mut breaker, 0, &[Failure]);
    assert_eq!(changed(&mut breaker), [(Closed, Open, Cause::FailureRate)]);

    let mut breaker = machine(breaker.settings().clone());
    run(&mut breaker, 0, &[Failure, Success, Success, Success]);
    // The first failure is out of the window now.
    run(&mut breaker, 0, &[Failure, Success, Success]);
    assert_eq!(breaker.state(), Closed);
    run(&mut breaker, 0, &[Success, Failure, Ignored]);
    assert_eq!(breaker.state(), Closed);
    run(&mut breaker, 0, &[Failure]);
    assert_eq!(breaker.state(), Open);
}

/// Multiplied, 0.07 * 100 would be more than 7.
#[test]
fn rates_are_what_they_are_written_as() {
    for percent in 1..=100 {
        let rate: f64 = format!("{}e-2", percent).parse().unwrap();
        let mut breaker = machine(Settings {
            failure_rate: Some(rate),
            window: calls(100),
            minimum_calls: 100,
            ..settings()
        });
        let mut outcomes = vec![Failure; percent - 1];
        outcomes.resize(100, Success);
        run(&mut breaker, 0, &outcomes);
        assert_eq!(breaker.state(), Closed, "{percent}");
        // In the place of as many, the oldest.
        run(&mut breaker, 0, &vec![Failure; percent - 1]);
        assert_eq!(breaker.state(), Closed, "{percent}");
        run(&mut breaker, 0, &[Failure]);
        assert_eq!(breaker.state(), Open, "{percent}");
    }
}

#[test]
fn time_takes_calls_out_of_the_window() {
    let settings = Settings {
        failure_rate: Some(1.0),
        window: Some(Span::Time(2000)),
        minimum_calls: 2,
        ..settings()
    };
    // A part is 100 long, so that a call of the first part is there up to the last of the 20th.
    for (second, expected) in [
        (0, Open),
        (1899, Open),
        (1999, Open),
        (2000, Closed),
        (9999, Closed),
    ] {
        let mut breaker = machine(settings.clone());
        run(&mut breaker, 99, &[Failure]);
        run(&mut breaker, second.max(99), &[Failure]);
        assert_eq!(breaker.state(), expected, "{second}");
    }
    let mut breaker = machine(settings);
    run(&mut breaker, 0, &[Success]);
    assert_eq!(breaker.report(1999).window.unwrap().calls, 1);
    assert_eq!(breaker.report(2000).window.unwrap().calls, 0);
    assert_eq!(breaker.report(u64::MAX).window.unwrap().calls, 0);
}

#[test]
fn slow_is_what_takes_longer() {
    for (took, expected) in [(0, Closed), (99, Closed), (100, Closed), (101, Open)] {
        let mut breaker = machine(Settings {
            slow_call: Some(100),
            slow_rate: Some(1.0),
            window: calls(10),
            ..settings()
        });
        let token = pass(&mut breaker, 1000);
        breaker.leave(token, Success, 1000 + took);
        assert_eq!(breaker.state(), expected, "{took}");
        let slow = u64::from(expected == Open);
        assert_eq!(breaker.report(0).counts.total.slow, slow);
    }
    // A failure may be slow too.
    let mut breaker = machine(Settings {
        slow_call: Some(100),
        slow_rate: Some(1.0),
        window: calls(10),
        ..settings()
    });
    let token = pass(&mut breaker, 0);
    breaker.leave(token, Failure, 101);
    assert_eq!(changed(&mut breaker), [(Closed, Open, Cause::SlowRate)]);
}

#[test]
fn the_first_call_after_the_wait_is_a_probe() {
    for (after, is_probe) in [(999, false), (1000, true), (1001, true)] {
        let mut breaker = opened(settings(), 10);
        let entry = breaker.enter(10 + after);
        assert_eq!(matches!(entry, Entry::Probe(_)), is_probe, "{after}");
        let expected: &[_] = match is_probe {
            true => &[(Open, HalfOpen, Cause::Waited)],
            false => &[],
        };
        assert_eq!(changed(&mut breaker), expected);
    }
    let mut breaker = opened(settings(), 10);
    // Nobody called: it stays open.
    assert_eq!(breaker.report(5000).state, Open);
    assert_eq!(breaker.report(5000).retry_after, Some(0));
}

fn opened(settings: Settings, now: u64) -> Machine {
    let mut breaker = machine(Settings {
        failures: NonZeroU32::new(1),
        ..settings
    });
    run(&mut breaker, now, &[Failure]);
    assert_eq!(changed(&mut breaker), [(Closed, Open, Cause::Failures)]);
    breaker
}

#[test]
fn half_open_admits_so_many() {
    for probes in [1, 2, 3, 10] {
        let mut breaker = opened(
            Settings {
                probes,
                successes: probes,
                ..settings()
            },
            0,
        );
        let tokens: Vec<_> = (0..probes).map(|_| probe(&mut breaker, 1000)).collect();
        assert!(matches!(breaker.enter(1000), Entry::Refused(Some(_))));
        // A success makes no place.
        for (nth, &token) in tokens.iter().enumerate() {
            assert_eq!(breaker.state(), HalfOpen);
            if nth > 0 {
                assert!(matches!(breaker.enter(1001), Entry::Refused(_)));
            }
            assert_eq!(breaker.leave(token, Success, 1001), Left::Counted);
            assert_eq!(breaker.leave(token, Success, 1001), Left::Stale);
        }
        assert_eq!(breaker.state(), Closed);
        pass(&mut breaker, 1002);
    }
}

#[test]
fn as_many_as_needed_must_succeed() {
    // Of 5 probes 3: two may fail.
    let made = || {
        let mut breaker = opened(
            Settings {
                probes: 5,
                successes: 3,
                ..settings()
            },
            0,
        );
        let tokens: Vec<_> = (0..5).map(|_| probe(&mut breaker, 1000)).collect();
        changed(&mut breaker);
        (breaker, tokens)
    };
    let (mut breaker, tokens) = made();
    for (&token, outcome) in tokens.iter().zip([Failure, Success, Failure, Success]) {
        breaker.leave(token, outcome, 1000);
        assert_eq!(breaker.state(), HalfOpen);
    }
    breaker.leave(tokens[4], Success, 1000);
    assert_eq!(
        changed(&mut breaker),
        [(HalfOpen, Closed, Cause::ProbesSucceeded)]
    );

    let (mut breaker, tokens) = made();
    for &token in &tokens[..2] {
        breaker.leave(token, Failure, 1000);
        assert_eq!(breaker.state(), HalfOpen);
    }
    breaker.leave(tokens[2], Failure, 1000);
    assert_eq!(
        changed(&mut breaker),
        [(HalfOpen, Open, Cause::ProbesFailed)]
    );
    assert_eq!(breaker.leave(tokens[3], Success, 1000), Left::Stale);
    assert_eq!(breaker.enter(1500), Entry::Refused(Some(500)));

    // As soon as enough have, the others do not count.
    let (mut breaker, tokens) = made();
    for &token in &tokens[..3] {
        breaker.leave(token, Success, 1000);
    }
    assert_eq!(breaker.state(), Closed);
    assert_eq!(breaker.leave(tokens[3], Failure, 1000), Left::Stale);
    assert_eq!(breaker.state(), Closed);
}

#[test]
fn an_ignored_or_slow_probe() {
    let mut breaker = opened(
        Settings {
            slow_call: Some(100),
            ..settings()
        },
        0,
    );
    let token = probe(&mut breaker, 1000);
    assert_eq!(breaker.leave(token, Ignored, 1000), Left::Counted);
    assert_eq!(breaker.state(), HalfOpen);
    // Its place is free again.
    let token = probe(&mut breaker, 1000);
    assert!(matches!(breaker.enter(1000), Entry::Refused(_)));
    breaker.leave(token, Success, 1101);
    assert_eq!(breaker.state(), Open);
}

#[test]
fn a_probe_that_nobody_tells_the_end_of() {
    let timeout = Settings {
        probe_timeout: Some(50),
        probes: 2,
        successes: 1,
        ..settings()
    };
    let mut breaker = opened(timeout, 0);
    let first = probe(&mut breaker, 1000);
    let second = probe(&mut breaker, 1020);
    assert_eq!(breaker.enter(1049), Entry::Refused(Some(1)));
    assert_eq!(breaker.report(1049).probes, [2, 0, 0]);
    assert_eq!(breaker.report(1050).probes, [1, 0, 1]);
    assert_eq!(breaker.leave(first, Success, 1050), Left::Stale);
    assert_eq!(breaker.leave(second, Success, 1069), Left::Counted);
    assert_eq!(breaker.state(), Closed);

    // It opened when they were over, not when somebody asked; so the wait is over, too.
    let mut breaker = opened(breaker.settings().clone(), 0);
    probe(&mut breaker, 1000);
    probe(&mut breaker, 1020);
    changed(&mut breaker);
    assert_eq!(breaker.report(1070).state, Open);
    assert_eq!(breaker.report(1070).counts.lost, 2);
    assert_eq!(breaker.enter(2069), Entry::Refused(Some(1)));
    probe(&mut breaker, 2070);
    assert_eq!(
        changed(&mut breaker),
        [
            (HalfOpen, Open, Cause::ProbesFailed),
            (Open, HalfOpen, Cause::Waited)
        ]
    );
}

#[test]
fn a_lost_probe_counts_once() {
    let two = Settings {
        probes: 3,
        successes: 1,
        ..settings()
    };
    let mut breaker = opened(two, 0);
    let (Token::Probe(number), second) = (probe(&mut breaker, 1000), probe(&mut breaker, 1000))
    else {
        unreachable!()
    };
    assert!(breaker.is_running(number));
    breaker.lose(number, 1001);
    breaker.lose(number, 1001);
    assert!(!breaker.is_running(number));
    assert_eq!(breaker.report(1001).probes, [1, 0, 1]);
    assert_eq!(
        breaker.leave(Token::Probe(number), Success, 1001),
        Left::Stale
    );
    assert_eq!(breaker.leave(second, Failure, 1001), Left::Counted);
    let Token::Probe(last) = probe(&mut breaker, 1001) else {
        unreachable!()
    };
    breaker.lose(last, 1002);
    assert_eq!(breaker.state(), Open);
    assert_eq!(breaker.open_until(), Some(2002));
    // Nothing of a period that is over.
    breaker.lose(last, 1003);
    assert_eq!(breaker.report(1003).counts.lost, 2);
}

#[test]
fn what_began_in_an_earlier_period_does_not_count() {
    let mut breaker = opened(settings(), 0);
    let mut early = machine(breaker.settings().clone());
    let old = [
        pass(&mut early, 0),
        pass(&mut early, 0),
        pass(&mut early, 0),
    ];
    run(&mut early, 0, &[Failure]);
    assert_eq!(early.leave(old[0], Success, 0), Left::Stale);
    let token = probe(&mut early, 1000);
    assert_eq!(early.leave(old[1], Failure, 1000), Left::Stale);
    assert_eq!(early.state(), HalfOpen);
    early.leave(token, Success, 1000);
    assert_eq!(early.leave(old[2], Failure, 1000), Left::Stale);
    assert_eq!(early.state(), Closed);
    assert_eq!(early.report(1000).counts.stale, 3);

    // However the clock stands still.
    for _ in 0..3 {
        breaker.reset(5);
        let old = pass(&mut breaker, 5);
        breaker.force_open(Some(0), 5);
        breaker.reset(5);
        assert_eq!(breaker.leave(old, Failure, 5), Left::Stale);
        let new = pass(&mut breaker, 5);
        assert_eq!(breaker.leave(new, Failure, 5), Left::Counted);
        assert_eq!(breaker.state(), Open);
    }
}

#[test]
fn tokens_that_nobody_gave_out() {
    let mut breaker = opened(settings(), 0);
    let Token::Probe(number) = probe(&mut breaker, 1000) else {
        unreachable!()
    };
    for token in [
        Token::Pass(u64::MAX >> 2),
        Token::Pass(1 << 40),
        Token::Probe(number + 1),
        Token::Probe(number - 1),
        Token::Probe(0),
        Token::Probe(u64::MAX),
    ] {
        assert_eq!(breaker.leave(token, Failure, 1000), Left::Unknown);
    }
    assert_eq!(breaker.state(), HalfOpen);
    assert_eq!(breaker.report(1000).counts.stale, 0);
}

#[test]
fn waits_grow_up_to_a_bound() {
    let mut breaker = opened(
        Settings {
            wait: Wait {
                first: 100,
                factor: 2.0,
                longest: 350,
                jitter: 0.0,
            },
            ..settings()
        },
        0,
    );
    let mut now = 0;
    for wait in [100, 200, 350, 350] {
        assert_eq!(breaker.open_until(), Some(now + wait));
        now += wait;
        let token = probe(&mut breaker, now);
        breaker.leave(token, Failure, now);
    }
    // Once it was closed they begin anew.
    now += 350;
    let token = probe(&mut breaker, now);
    breaker.leave(token, Success, now);
    run(&mut breaker, now, &[Failure]);
    assert_eq!(breaker.open_until(), Some(now + 100));
    breaker.reset(now);
    run(&mut breaker, now, &[Failure]);
    assert_eq!(breaker.open_until(), Some(now + 100));
}

#[test]
fn jitter_stays_within_its_bounds_and_spreads() {
    let mut breaker = opened(
        Settings {
            wait: Wait {
                first: 1000,
                factor: 1.0,
                longest: 1000,
                jitter: 0.2,
            },
            ..settings()
        },
        0,
    );
    let waits: Vec<_> = (0..200)
        .map(|_| {
            breaker.reset(0);
            run(&mut breaker, 0, &[Failure]);
            breaker.open_until().unwrap()
        })
        .collect();
    assert!(waits.iter().all(|wait| (800..=1200).contains(wait)));
    assert!(waits.iter().any(|&wait| wait < 900) && waits.iter().any(|&wait| wait > 1100));
}

#[test]
fn it_can_be_told() {
    let mut breaker = opened(settings(), 0);
    breaker.force_open(None, 10);
    assert!(changed(&mut breaker).is_empty());
    assert_eq!(breaker.enter(u64::MAX >> 3), Entry::Refused(None));
    assert_eq!(breaker.report(0).retry_after, None);
    let now = u64::MAX >> 3;
    breaker.force_open(Some(7), now);
    assert_eq!(breaker.enter(now + 6), Entry::Refused(Some(1)));
    probe(&mut breaker, now + 7);
    breaker.reset(now + 8);
    assert_eq!(
        changed(&mut breaker),
        [
            (Open, HalfOpen, Cause::Waited),
            (HalfOpen, Closed, Cause::Forced)
        ]
    );
    breaker.disable(now + 9);
    run(&mut breaker, now + 9, &[Failure; 5]);
    assert_eq!(breaker.state(), StateName::Disabled);
    let report = breaker.report(now + 10);
    assert_eq!((report.age, report.counts.total.failures), (1, 6));
    assert_eq!(report.counts.changes, [1, 1, 1, 1]);
    breaker.force_open(Some(u64::MAX), now + 10);
    assert_eq!(breaker.open_until(), Some(u64::MAX));
}

/// What the gate says without the lock is what the machine would say.
#[test]
fn the_gate_knows_when_to_ask() {
    let mut breaker = machine(Settings {
        failures: NonZeroU32::new(2),
        ..settings()
    });
    let gate = Gate::new(&breaker);
    assert_eq!(gate.enter(7), Some(Entry::Pass(7)));
    assert!(gate.is_nothing(7, 8));
    // From nobody, and from another period.
    assert!(!gate.is_nothing(1 << 50, 8));
    breaker.leave(Token::Pass(7), Failure, 8);
    gate.set(&breaker);
    assert_eq!(gate.enter(9), Some(Entry::Pass(9)));
    assert!(!gate.is_nothing(9, 9));
    breaker.leave(Token::Pass(9), Failure, 9);
    gate.set(&breaker);
    assert_eq!(gate.enter(1008), Some(Entry::Refused(Some(1))));
    assert_eq!(gate.enter(1009), None);
    let token = probe(&mut breaker, 1009);
    gate.set(&breaker);
    assert_eq!(gate.enter(1009), None);
    breaker.leave(token, Success, 1009);
    gate.set(&breaker);
    // Two periods have begun at once.
    assert_eq!(gate.enter(1009), Some(Entry::Pass(1011)));
    assert!(gate.is_nothing(1011, 1009));
    assert!(!gate.is_nothing(9, 1011));
    breaker.force_open(None, 1010);
    gate.set(&breaker);
    assert_eq!(gate.enter(u64::MAX), None);
    assert_eq!(gate.enter(u64::MAX - 1), Some(Entry::Refused(None)));
    breaker.disable(1011);
    gate.set(&breaker);
    assert!(gate.is_nothing(1013, 1011));
    // With a window every call must be told.
    let breaker = machine(Settings {
        window: calls(1),
        ..settings()
    });
    let gate = Gate::new(&breaker);
    assert_eq!(gate.enter(0), Some(Entry::Pass(0)));
    assert!(!gate.is_nothing(0, 0));
}
