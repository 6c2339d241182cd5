//! Names that many entries share and that invalidate them all at once, whatever their number: an
//! entry remembers the generation of each of its tags, and is good while all are current.

use crate::sync::{AtomicU64, Busy, Ordering};
use parking_lot::Mutex;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One of the names. The upper half of `state` is the generation, the lower the number of live
/// entries that carry it.
pub struct Tag {
    name: Box<[u8]>,
    state: AtomicU64,
    /// The clock of [`Tags`] at the last invalidation.
    invalidated_at: AtomicU64,
}

const GENERATION: u64 = 1 << 32;
const LIVE: u64 = GENERATION - 1;

impl Tag {
    fn new(name: &[u8]) -> Self {
        Tag {
            name: name.into(),
            state: AtomicU64::new(0),
            invalidated_at: AtomicU64::new(0),
        }
    }

    /// Makes every entry counted so far invalid and returns their number.
    fn invalidate(&self) -> u64 {
        // A generation that wraps after 2^32 invalidations could meet an entry as old: it would
        // have to be unread, unevicted and not swept for as long.
        let advance = |state: u64| Some((state & !LIVE).wrapping_add(GENERATION));
        // Acquire and release: whoever sees the new generation sees `invalidated_at`.
        match self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, advance)
        {
            Ok(state) | Err(state) => state & LIVE,
        }
    }
}

/// An entry's share in a tag.
pub struct Counted {
    tag: Arc<Tag>,
    /// The lowest bit is set once the entry has left.
    generation: AtomicU64,
}

const LEFT: u64 = 1;

impl Counted {
    fn new(tag: Arc<Tag>) -> Self {
        let state = tag.state.fetch_add(1, Ordering::AcqRel);
        Counted {
            generation: AtomicU64::new(state & !LIVE),
            tag,
        }
    }

    pub fn name(&self) -> &[u8] {
        &self.tag.name
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed) & !LIVE
    }

    #[inline]
    pub fn is_invalid(&self) -> bool {
        self.tag.state.load(Ordering::Acquire) & !LIVE != self.generation()
    }

    /// The entry is not to be counted any more, though readers may still see it.
    pub(crate) fn leave(&self) {
        let generation = self.generation.fetch_or(LEFT, Ordering::Relaxed);
        if generation & LEFT == 0 {
            // Those of an older generation are not counted anyway.
            let leave = |state: u64| (state & !LIVE == generation).then(|| state - 1);
            let _ = self
                .tag
                .state
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, leave);
        }
    }
}

impl Clone for Counted {
    /// Of the same generation, current or not.
    fn clone(&self) -> Self {
        let generation = self.generation();
        let join = |state: u64| (state & !LIVE == generation).then(|| state + 1);
        let _ = self
            .tag
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, join);
        Counted {
            tag: self.tag.clone(),
            generation: AtomicU64::new(generation),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A tag, found by its name.
#[derive(Clone)]
struct Named(Arc<Tag>);

impl Borrow<[u8]> for Named {
    fn borrow(&self) -> &[u8] {
        &self.0.name
    }
}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state); // as [u8] does
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Named {}

struct Names {
    tags: HashSet<Named>,
    /// Tags that no entry carries are removed when there are this many names.
    sweep_at: usize,
    /// The clock at the last invalidation of a name that was not here.
    unknown_invalidated_at: u64,
}

/// All tags of a cache.
pub struct Tags {
    names: Box<[Mutex<Names>]>,
    /// Counts invalidations, so that a value that was computed from what one made stale can be
    /// told.
    clock: AtomicU64,
}

const SWEEP_FROM: usize = 64;

impl Tags {
    pub fn new(shards: usize) -> Self {
        let names = || {
            Mutex::new(Names {
                tags: HashSet::new(),
                sweep_at: SWEEP_FROM,
                unknown_invalidated_at: 0,
            })
        };
        Tags {
            names: (0..shards.next_power_of_two()).map(|_| names()).collect(),
            clock: AtomicU64::new(1),
        }
    }

    pub fn clock(&self) -> u64 {
        self.clock.load(Ordering::Acquire)
    }

    fn names(&self, hash: u64) -> &Mutex<Names> {
        &self.names[hash as usize & (self.names.len() - 1)]
    }

    /// A share in the tag for a new entry. None: the tag was invalidated after `since`, a moment
    /// of [`Tags::clock`].
    pub fn count(
        &self,
        hash: u64,
        name: &[u8],
        since: Option<u64>,
    ) -> Result<Option<Counted>, Busy> {
        let mut names = self.names(hash).try_lock().ok_or(Busy)?;
        let tag = match names.tags.get(name) {
            Some(Named(tag)) => tag.clone(),
            None => {
                if since.is_some_and(|since| names.unknown_invalidated_at > since) {
                    return Ok(None);
                }
                names.sweep();
                let tag = Arc::new(Tag::new(name));
                names.tags.insert(Named(tag.clone()));
                tag
            }
        };
        drop(names);
        let counted = Counted::new(tag);
        let invalidated_at = counted.tag.invalidated_at.load(Ordering::Acquire);
        Ok(Some(counted).filter(|_| since.is_none_or(|since| invalidated_at <= since)))
    }

    /// Returns how many entries it made invalid.
    pub fn invalidate(&self, hash: u64, name: &[u8]) -> Result<u64, Busy> {
        let mut names = self.names(hash).try_lock().ok_or(Busy)?;
        let now = self.clock.fetch_add(1, Ordering::AcqRel) + 1;
        let Some(Named(tag)) = names.tags.get(name).cloned() else {
            names.unknown_invalidated_at = now;
            return Ok(0);
        };
        drop(names);
        tag.invalidated_at.fetch_max(now, Ordering::AcqRel);
        Ok(tag.invalidate())
    }

    /// The names that there are, some of them perhaps of no entry any more.
    pub fn names_held(&self) -> usize {
        let count = |names: &Mutex<Names>| names.try_lock().map_or(0, |names| names.tags.len());
        self.names.iter().map(count).sum()
    }
}

impl Names {
    /// Before a name is added.
    fn sweep(&mut self) {
        if self.tags.len() < self.sweep_at {
            return;
        }
        let mut forgotten = 0;
        self.tags.retain(|Named(tag)| {
            let is_used = Arc::strong_count(tag) > 1;
            if !is_used {
                forgotten = forgotten.max(tag.invalidated_at.load(Ordering::Relaxed));
            }
            is_used
        });
        self.unknown_invalidated_at = self.unknown_invalidated_at.max(forgotten);
        self.sweep_at = SWEEP_FROM.max(self.tags.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_it_invalidates() {
        let tags = Tags::new(4);
        let share = || tags.count(7, b"a", None).unwrap().unwrap();
        let (one, two) = (share(), share());
        assert_eq!(one.name(), b"a");
        drop(share());
        assert!(!one.is_invalid());
        assert_eq!(tags.invalidate(7, b"a"), Ok(2));
        assert!(one.is_invalid() && two.is_invalid());
        let three = share();
        assert!(!three.is_invalid());
        drop((one, two));
        assert_eq!(tags.invalidate(7, b"a"), Ok(1));
        assert_eq!(tags.invalidate(7, b"a"), Ok(0));
        assert_eq!(tags.invalidate(7, b"b"), Ok(0));
    }

    #[test]
    fn refuses_what_was_computed_before_an_invalidation() {
        let tags = Tags::new(1);
        let before = tags.clock();
        assert!(tags.count(1, b"known", Some(before)).unwrap().is_some());
        tags.invalidate(1, b"known").unwrap();
        tags.invalidate(2, b"unknown").unwrap();
        assert!(tags.count(1, b"known", Some(before)).unwrap().is_none());
        assert!(tags.count(2, b"unknown", Some(before)).unwrap().is_none());
        let after = tags.clock();
        assert!(tags.count(1, b"known", Some(after)).unwrap().is_some());
        assert!(tags.count(2, b"unknown", Some(after)).unwrap().is_some());
    }

    #[test]
    fn forgets_the_names_of_no_entry() {
        let tags = Tags::new(1);
        let kept = tags.count(0, b"kept", None).unwrap();
        for name in 0..100_000_u32 {
            let share = tags.count(0, &name.to_le_bytes(), None).unwrap();
            drop(share);
        }
        assert!(tags.names_held() <= 2 * SWEEP_FROM);
        assert_eq!(tags.invalidate(0, b"kept"), Ok(1));
        drop(kept);
    }
}
