//! What was recorded in the last second, ten seconds, minute, five minutes, hour and day.
//!
//! What is recorded is counted up for ever, so a window needs nothing but what had been counted
//! when it began: of each window so many such states are kept as it has slots, and reading one is
//! a difference. A state is taken at every tick that finds a slot of its window over. However late
//! ticks come, nothing is lost or counted twice; a window then covers more or less time than
//! its name says, and tells how much.

use crate::snapshot::Snapshot;
use std::collections::VecDeque;
use std::sync::Arc;

/// A window, and the slots that it moves on by, in milliseconds. With ticks on time it covers its
/// length, and up to a slot more: the part of a slot that is not over.
struct Scale {
    window: u64,
    slot: u64,
}

const fn scale(window: u64, slot: u64) -> Scale {
    Scale { window, slot }
}

const SCALES: [Scale; COUNT] = [
    scale(1_000, 250),
    scale(10_000, 1_000),
    scale(60_000, 5_000),
    scale(300_000, 30_000),
    scale(3_600_000, 300_000),
    scale(86_400_000, 7_200_000),
];

const COUNT: usize = 6;

/// The windows, in milliseconds.
pub const WINDOWS: [u64; COUNT] = {
    let mut windows = [0; COUNT];
    let mut at = 0;
    while at < COUNT {
        windows[at] = SCALES[at].window;
        at += 1;
    }
    windows
};

/// Ticks should come so often, in milliseconds, and soon after a multiple of it.
pub const TICK: u64 = SCALES[0].slot;

/// What is counted up for ever.
pub trait Cumulative {
    /// The form in which a state is kept.
    type State: Clone;
    fn state(&self) -> Self::State;
    /// What came since a state, which was `span` milliseconds ago.
    fn since(&self, state: &Self::State, span: u64) -> Self;
}

impl Cumulative for u64 {
    type State = u64;
    fn state(&self) -> u64 {
        *self
    }
    fn since(&self, state: &u64, _span: u64) -> u64 {
        self.wrapping_sub(*state)
    }
}

impl Cumulative for Snapshot {
    /// The binary form: a twentieth of the buckets.
    type State = Arc<[u8]>;
    fn state(&self) -> Arc<[u8]> {
        self.encode().into()
    }
    fn since(&self, state: &Arc<[u8]>, span: u64) -> Snapshot {
        let state = Snapshot::decode(state).expect("it was encoded here");
        let mut since = self.subtract(&state);
        since.span = span;
        since
    }
}

/// What had been counted at a moment.
#[derive(Clone, Debug)]
pub struct Mark<S> {
    at: u64,
    state: S,
}

/// The states by which the windows of something are told. At most 72 are kept: of each window one for
/// each slot, one for the slot that is not over and one from before; windows share them.
pub struct Windows<C: Cumulative> {
    /// The newest last; none is empty.
    rings: [VecDeque<Mark<C::State>>; COUNT],
    /// The time of the last tick.
    now: u64,
}

impl<C: Cumulative> Windows<C> {
    /// `now`: milliseconds of a clock that does not go back, as in all that follows; `counted`:
    /// what has been counted by then.
    pub fn new(now: u64, counted: &C) -> Self {
        let mark = Mark {
            at: now,
            state: counted.state(),
        };
        Windows {
            rings: std::array::from_fn(|_| VecDeque::from([mark.clone()])),
            now,
        }
    }

    /// Takes note of what has been counted by now; no less than what was said before.
    pub fn tick(&mut self, now: u64, counted: &C) {
        // A clock that goes back would make times negative; it is taken to stand.
        let now = now.max(self.now);
        self.now = now;
        let mut state = None;
        for (scale, ring) in SCALES.iter().zip(&mut self.rings) {
            let newest = ring.back().map_or(0, |mark| mark.at);
            if now / scale.slot == newest / scale.slot {
                continue;
            }
            let state = state.get_or_insert_with(|| counted.state()).clone();
            ring.push_back(Mark { at: now, state });
            while ring.len() > 1 && ring[1].at <= now.saturating_sub(scale.window) {
                ring.pop_front();
            }
        }
    }

    /// Where the windows begin that are read at a time, or now where that is later. Of what is counted
    /// after this, [`Begun::read`] tells the windows.
    pub fn begin(&self, now: u64) -> Begun<C> {
        let now = now.max(self.now);
        let marks = SCALES.each_ref().map(|scale| scale.window);
        let mut rings = self.rings.iter();
        let marks = marks.map(|window| {
            let ring = rings.next().expect("one for each");
            // The last that is not after the beginning, else the first there is.
            let after = ring.partition_point(|mark| mark.at <= now.saturating_sub(window));
            ring[after.saturating_sub(1)].clone()
        });
        Begun { now, marks }
    }

    fn marks(&self) -> impl Iterator<Item = &Mark<C::State>> {
        self.rings.iter().flatten()
    }
}

impl Windows<Snapshot> {
    /// The bytes of the states.
    pub fn memory(&self) -> usize {
        let mut states: Vec<_> = self.marks().map(|mark| &*mark.state).collect();
        states.sort_by_key(|state| state.as_ptr());
        states.dedup_by_key(|state| state.as_ptr());
        states.iter().map(|state| state.len()).sum()
    }
}

/// Where windows begin.
pub struct Begun<C: Cumulative> {
    now: u64,
    marks: [Mark<C::State>; COUNT],
}

impl<C: Cumulative> Begun<C> {
    /// What was counted in each of [`WINDOWS`], and in how many milliseconds that was.
    pub fn read(&self, counted: &C) -> [(u64, C); COUNT] {
        self.marks.each_ref().map(|mark| {
            let span = self.now - mark.at;
            (span, counted.since(&mark.state, span))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;
    use crate::layout::Layout;
    use proptest::prelude::*;

    /// A history in short: how long each step takes, what is recorded in it, and whether a tick
    /// comes at its end.
    fn history() -> impl Strategy<Value = Vec<(u64, Vec<u64>, bool)>> {
        let elapsed = prop_oneof![
            10 => Just(TICK),
            5 => 0..2 * TICK,
            3 => 0..20_000u64,
            2 => 0..2_000_000u64,
            1 => 0..200_000_000u64,
        ];
        let values = prop::collection::vec(0..100_000u64, 0..4);
        prop::collection::vec((elapsed, values, prop::bool::weighted(0.8)), 1..300)
    }

    proptest! {
        #[test]
        fn each_window_holds_just_what_came_in_its_span(start in 0..10_000_000u64, steps in history()) {
            let layout = Layout::new(7, 42).unwrap();
            let histogram = Histogram::new(layout, 1);
            histogram.record(0, 123); // before there were windows
            let mut now = start;
            let mut windows = Windows::new(now, &histogram.cumulative());
            let mut recorded: Vec<u64> = Vec::new();
            // When ticks came, and how many values had been recorded by then.
            let mut ticks = vec![(start, 0)];
            for (elapsed, values, has_tick) in steps {
                now += elapsed;
                for value in values {
                    histogram.record(0, value);
                    recorded.push(value);
                }
                if has_tick {
                    windows.tick(now, &histogram.cumulative());
                    ticks.push((now, recorded.len()));
                }
            }
            let counted = histogram.cumulative();
            for ((span, is), scale) in windows.begin(now).read(&counted).into_iter().zip(&SCALES) {
                // The first tick of each slot is where a window may begin.
                let mut kept = vec![ticks[0]];
                for &tick in &ticks {
                    if tick.0 / scale.slot != kept[kept.len() - 1].0 / scale.slot {
                        kept.push(tick);
                    }
                }
                let begun = kept.iter().rfind(|(at, _)| *at <= now.saturating_sub(scale.window));
                let &(at, before) = begun.unwrap_or(&kept[0]);
                prop_assert_eq!(now - span, at, "window {}", scale.window);
                let within = &recorded[before..];
                let expected = Histogram::new(layout, 1);
                expected.record_all(0, within.iter().copied());
                let count = within.len() as u64;
                let sum = within.iter().copied().map(u128::from).sum::<u128>();
                let expected = expected.cumulative();
                prop_assert_eq!((is.count(), is.sum, is.span), (count, sum, span));
                prop_assert_eq!((is.first, &is.counts), (expected.first, &expected.counts));
            }
            prop_assert!(windows.marks().count() <= 72);
        }
    }

    /// Windows that follow one another without a gap tell everything once.
    #[test]
    fn ticks_on_time_make_windows_of_their_length() {
        let mut windows = Windows::new(0, &0u64);
        let mut now = 0;
        for tick in 1..=400_000u64 {
            now = tick * TICK + tick % 7;
            windows.tick(now, &tick);
            if tick % 1001 == 0 {
                let read = windows.begin(now).read(&tick);
                for ((span, count), scale) in read.into_iter().zip(&SCALES) {
                    assert!(span >= scale.window.min(now));
                    assert!(span <= scale.window + scale.slot + 14, "{span}");
                    assert!(count.abs_diff(span / TICK) <= 1, "{count} in {span}");
                }
            }
        }
        assert!(windows.marks().count() <= 72);
        // A clock that goes back stands.
        windows.tick(5, &400_001);
        assert_eq!(
            windows.begin(5).read(&400_001),
            windows.begin(now).read(&400_001)
        );
    }

    #[test]
    fn memory_is_bounded_when_every_bucket_is_full() {
        let layout = Layout::new(5, 64).unwrap();
        let histogram = Histogram::new(layout, 1);
        let mut windows = Windows::new(0, &histogram.cumulative());
        let mut most = 0;
        for tick in 1..=2000u64 {
            for index in 0..layout.len() {
                histogram.record_times(0, layout.middle(index), 1 << 40);
            }
            // Days go by: ticks come every two minutes.
            let now = tick * 120_000;
            windows.tick(now, &histogram.cumulative());
            most = most.max(windows.memory());
        }
        // A count of all is less than 2^56: eight bytes.
        assert!(most <= 72 * (8 * layout.len() + 64), "{most}");
        assert!(
            most >= 20 * 6 * layout.len(),
            "the test tests nothing: {most}"
        );
    }
}
