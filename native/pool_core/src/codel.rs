//! CoDel: which waiters to turn away so that the rest wait not much longer than a target.
//!
//! The algorithm of RFC 8289 ("Controlled Delay Active Queue Management"), section 5, for waiters
//! in place of packets. A queue that empties at times is a good one, however long it gets: it
//! takes up a burst. One where even the least wait of an interval is above the target stands, and
//! is shortened from its head, at first by one waiter in an interval, then by more and more (by the
//! square root of how many it were) until waits are below the target.

/// When so many intervals have gone by since waiters were last turned away, the rate begins anew.
const FORGETS_AFTER: u64 = 16;

/// All in nanoseconds.
#[derive(Clone, Debug)]
pub struct Codel {
    target: u64,
    interval: u64,
    /// From when on waits may be called too long: an interval after the first that was above the
    /// target, none since having been below.
    too_long_from: Option<u64>,
    dropping: bool,
    /// When the next waiter is turned away, or would have been.
    drop_next: u64,
    /// How many were turned away since `dropping`, as far as it counts for the rate.
    count: u32,
    /// What `count` began with.
    began_with: u32,
}

impl Codel {
    pub fn new(target: u64, interval: u64) -> Self {
        Codel {
            target,
            interval,
            too_long_from: None,
            dropping: false,
            drop_next: 0,
            count: 0,
            began_with: 0,
        }
    }

    /// Is the waiter at the head to be turned away, who has `waited`, and could be served now? To be
    /// asked once for each who gets there, and anew for whoever comes after one turned away; for
    /// the last in the queue there is [`Self::emptied`] instead, as turning it away helps nobody.
    pub fn drops(&mut self, waited: u64, now: u64) -> bool {
        let too_long = self.is_too_long(waited, now);
        if !self.dropping {
            if too_long {
                self.begin(now);
            }
            return too_long;
        }
        self.dropping = too_long;
        if !too_long || now < self.drop_next {
            return false;
        }
        self.count = self.count.saturating_add(1);
        self.drop_next = self.after(self.drop_next);
        true
    }

    /// Nobody waits any more, or only the one who is being served.
    pub fn emptied(&mut self) {
        self.too_long_from = None;
        self.dropping = false;
    }

    fn is_too_long(&mut self, waited: u64, now: u64) -> bool {
        if waited < self.target {
            self.too_long_from = None;
            return false;
        }
        let from = *self
            .too_long_from
            .get_or_insert(now.saturating_add(self.interval));
        now >= from
    }

    /// Begins to turn away; where it ended lately, about at the rate that was needed then.
    fn begin(&mut self, now: u64) {
        let since = self.count - self.began_with;
        let is_lately =
            now.saturating_sub(self.drop_next) < self.interval.saturating_mul(FORGETS_AFTER);
        self.dropping = true;
        self.count = if since > 1 && is_lately { since } else { 1 };
        self.began_with = self.count;
        self.drop_next = self.after(now);
    }

    /// The control law: the time between two falls with the square root of how many it were.
    fn after(&self, time: u64) -> u64 {
        let pause = self.interval as f64 / f64::from(self.count).sqrt();
        time.saturating_add(pause as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const TARGET: u64 = 5 * MS;
    const INTERVAL: u64 = 100 * MS;

    fn codel() -> Codel {
        Codel::new(TARGET, INTERVAL)
    }

    /// The times in ms, of those from `from` to before `to`, at which a waiter is turned away when
    /// one who waited so long comes every ms.
    fn drops(codel: &mut Codel, waited: u64, from: u64, to: u64) -> Vec<u64> {
        (from..to)
            .filter(|now| codel.drops(waited, now * MS))
            .collect()
    }

    #[test]
    fn nobody_is_turned_away_below_the_target() {
        assert_eq!(drops(&mut codel(), TARGET - 1, 0, 5_000), []);
    }

    #[test]
    fn the_first_is_turned_away_after_an_interval_above() {
        assert_eq!(drops(&mut codel(), TARGET, 7, 150), [107]);
    }

    #[test]
    fn one_wait_below_the_target_in_each_interval_is_enough() {
        let mut codel = codel();
        for now in 0..5_000 {
            let waited = if now % 100 == 99 { 0 } else { 50 * TARGET };
            assert!(!codel.drops(waited, now * MS));
        }
    }

    #[test]
    fn an_empty_queue_is_enough() {
        let mut codel = codel();
        for round in 0..50 {
            let from = round * 100;
            assert_eq!(drops(&mut codel, 50 * TARGET, from, from + 100), []);
            codel.emptied();
        }
    }

    /// 100, then 100 / sqrt(1) later, then 100 / sqrt(2), 100 / sqrt(3)...
    #[test]
    fn the_rate_grows_with_the_square_root() {
        let mut expected = vec![100.0];
        let mut at = 100.0_f64;
        for count in 1..40 {
            at += 100.0 / f64::from(count).sqrt();
            expected.push(at);
        }
        let drops = drops(&mut codel(), 2 * TARGET, 0, 1_200);
        assert!(drops.len() >= 30);
        for (drop, expected) in drops.into_iter().zip(expected) {
            let late = drop as f64 - expected;
            assert!((0.0..=1.0).contains(&late), "{drop} for {expected}");
        }
    }

    /// A drop for which nobody came in time is made up for.
    #[test]
    fn drops_are_made_up_for() {
        let mut codel = codel();
        assert_eq!(drops(&mut codel, TARGET, 0, 101), [100]);
        // Due by 400: 200, 270, 328, 378.
        let asked = (0..10).map(|_| codel.drops(TARGET, 400 * MS));
        assert_eq!(asked.filter(|is_dropped| *is_dropped).count(), 4);
    }

    #[test]
    fn it_ends_at_the_first_wait_below() {
        let mut codel = codel();
        assert!(!drops(&mut codel, TARGET, 0, 1_000).is_empty());
        assert!(!codel.drops(TARGET - 1, 1_000 * MS));
        // An interval above is needed again.
        assert_eq!(drops(&mut codel, TARGET, 1_001, 1_110), [1_101]);
    }

    #[test]
    fn the_rate_is_taken_up_again_soon_after() {
        let rate_after = |pause: u64| {
            let mut codel = codel();
            drops(&mut codel, TARGET, 0, 2_000);
            assert!(!codel.drops(0, 2_000 * MS));
            let from = 2_000 + pause;
            drops(&mut codel, TARGET, from, from + 400).len()
        };
        assert!(rate_after(100) > 3 * rate_after(10_000));
        assert_eq!(rate_after(10_000), rate_after(100_000));
    }

    #[test]
    fn any_numbers_do() {
        let mut codel = Codel::new(0, u64::MAX);
        assert!(!codel.drops(u64::MAX, u64::MAX - 1));
        assert!(codel.drops(0, u64::MAX));
        let mut codel = Codel::new(0, 0);
        for now in [0, 5, 5, u64::MAX, u64::MAX] {
            assert!(codel.drops(0, now));
        }
    }
}
