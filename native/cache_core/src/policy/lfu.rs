//! W-TinyLFU (Einziger, Friedman and Manes, 2017): a window in the order of use, whose leavers
//! must have been asked for more often than the entry that would go for them, and a main part in
//! two segments. The window's size climbs towards what gives more hits.

use super::lists::Lists;
use super::random::next;
use super::{mix, Entries};
use crate::sketch::Sketch;

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

/// The protected segment's part of the main part.
const PROTECTED_PART: f64 = 0.8;
const WINDOW_LEAST: f64 = 0.01;
const WINDOW_MOST: f64 = 0.8;
/// The climber's steps, as parts of the whole: how large at first and after the hit ratio jumped,
/// by how much that is, and how the steps shrink.
const STEP: f64 = 0.0625;
const JUMP: f64 = 0.05;
const SHRINK: f64 = 0.98;
/// Requests per entry between two steps.
const SAMPLE: usize = 10;
/// Entries that one call may move from one segment to the next.
const MOVES: usize = 4;
/// A rejected key that is asked for this often gets in now and then, or else a known collision in
/// the sketch could keep it out for ever.
const WARM: u8 = 6;

pub struct Lfu {
    lists: Lists<3>,
    sketch: Sketch,
    /// The last to leave the window: it competes with the next victim.
    candidate: Option<u32>,
    /// The last to be put stays while there are others: it is what they make room for.
    newest: Option<u32>,
    climber: Climber,
    random: u64,
}

impl Lfu {
    pub(super) fn new() -> Self {
        Lfu {
            lists: Lists::new(),
            sketch: Sketch::new(),
            candidate: None,
            newest: None,
            climber: Climber::new(),
            random: 0,
        }
    }

    pub(super) fn insert(&mut self, id: u32, entries: &impl Entries) {
        let len = self.lists.total_len() + 1;
        self.sketch.fit(len);
        self.sketch.add(spread(entries.hash(id)), len);
        self.lists.push_front(WINDOW, id, entries.weight(id));
        self.newest = Some(id);
        self.climber.miss(len);
        self.spill(entries);
    }

    pub(super) fn access(&mut self, id: u32, entries: &impl Entries) {
        let Some(list) = self.lists.list_of(id) else {
            return;
        };
        let len = self.lists.total_len();
        self.sketch.add(spread(entries.hash(id)), len);
        self.climber.hit(len);
        let list = match list {
            WINDOW => WINDOW,
            _ => PROTECTED,
        };
        self.lists.move_to_front(list, id, entries.weight(id));
        for _ in 0..MOVES {
            let protected = self.lists.weight(PROTECTED);
            let main = protected + self.lists.weight(PROBATION);
            if protected as f64 <= main as f64 * PROTECTED_PART {
                break;
            }
            let Some(id) = self.lists.back(PROTECTED) else {
                break;
            };
            self.lists.move_to_front(PROBATION, id, entries.weight(id));
        }
    }

    pub(super) fn replace(&mut self, id: u32, old_weight: u32, entries: &impl Entries) {
        self.lists.reweigh(id, old_weight, entries.weight(id));
        self.newest = Some(id);
        self.access(id, entries);
    }

    pub(super) fn remove(&mut self, id: u32, weight: u32) {
        self.lists.unlink(id, weight);
        if self.candidate == Some(id) {
            self.candidate = None;
        }
    }

    pub(super) fn evict(&mut self, entries: &impl Entries) -> Option<u32> {
        self.spill(entries);
        let victim = [PROBATION, PROTECTED, WINDOW]
            .into_iter()
            .find_map(|list| self.lists.back_but(list, self.newest))
            .or(self.newest.filter(|&id| self.lists.list_of(id).is_some()))?;
        let candidate = self.candidate.take().filter(|&id| {
            self.lists.list_of(id) == Some(PROBATION) && id != victim && Some(id) != self.newest
        });
        let victim = match candidate {
            Some(id) if !self.admits(id, victim, entries) => id,
            _ => victim,
        };
        self.lists.unlink(victim, entries.weight(victim));
        Some(victim)
    }

    /// Whether the candidate may stay for the victim.
    fn admits(&mut self, candidate: u32, victim: u32, entries: &impl Entries) -> bool {
        let count = self.sketch.count(spread(entries.hash(candidate)));
        count > self.sketch.count(spread(entries.hash(victim)))
            || count >= WARM && next(&mut self.random) >> 57 == 0
    }

    /// What is too much for the window goes to the main part; the newest entry stays.
    fn spill(&mut self, entries: &impl Entries) {
        let target = self.lists.total_weight() as f64 * self.climber.window;
        for _ in 0..MOVES {
            if self.lists.weight(WINDOW) as f64 <= target || self.lists.len(WINDOW) < 2 {
                break;
            }
            let Some(id) = self.lists.back(WINDOW) else {
                break;
            };
            self.lists.move_to_front(PROBATION, id, entries.weight(id));
            self.candidate = Some(id);
        }
    }

    pub(super) fn order(&self) -> Vec<u32> {
        let probation = self.lists.back_to_front(PROBATION);
        probation
            .chain(self.lists.back_to_front(WINDOW))
            .chain(self.lists.back_to_front(PROTECTED))
            .collect()
    }

    pub(super) fn memory(&self) -> usize {
        self.lists.memory() + self.sketch.memory()
    }
}

fn spread(hash: u32) -> u64 {
    u64::from(mix(hash)) | u64::from(mix(hash ^ 0x5BD1_E995)) << 32
}

/// Moves the window's part as long as that gives more hits, and back when it gives fewer.
struct Climber {
    window: f64,
    step: f64,
    ratio: f64,
    hits: usize,
    requests: usize,
}

impl Climber {
    fn new() -> Self {
        Climber {
            window: WINDOW_LEAST,
            step: STEP,
            ratio: 0.0,
            hits: 0,
            requests: 0,
        }
    }

    fn hit(&mut self, entries: usize) {
        self.hits += 1;
        self.miss(entries);
    }

    fn miss(&mut self, entries: usize) {
        self.requests += 1;
        if self.requests < entries * SAMPLE {
            return;
        }
        let ratio = self.hits as f64 / self.requests as f64;
        let change = ratio - self.ratio;
        if change < 0.0 {
            self.step = -self.step;
        }
        self.window = (self.window + self.step).clamp(WINDOW_LEAST, WINDOW_MOST);
        self.step = match change.abs() >= JUMP {
            true => STEP.copysign(self.step),
            false => self.step * SHRINK,
        };
        self.ratio = ratio;
        self.hits = 0;
        self.requests = 0;
    }
}
