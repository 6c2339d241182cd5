//! An entry: one block of memory with a header, the key's bytes and the value's. It never
//! changes once readers can see it, but for the atomics.

use crate::sync::{AtomicU64, AtomicU8, Ordering};
use crate::tags::Counted;
use std::alloc::{alloc, dealloc, handle_alloc_error, Layout};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// What the cache must know of its user's values: words and bytes, which any thread may read.
pub trait Host: 'static {
    /// Gives back what `word` of a value of this form stands for, if it stands for anything.
    ///
    /// # Safety
    /// To be called once for each value, on any thread.
    unsafe fn release(form: u8, word: u64);

    /// Bytes that `word` refers to, about.
    ///
    /// # Safety
    /// Not after [`Self::release`].
    unsafe fn outside(_form: u8, _word: u64) -> usize {
        0
    }
}

/// Why an entry left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Room was needed.
    Size,
    /// Its time to live or to idle was over.
    Expired,
    /// Another value was put.
    Replaced,
    /// It was deleted or taken.
    Explicit,
    /// One of its tags or dependencies was invalidated.
    Invalidated,
    /// The cache was cleared.
    Cleared,
}

/// Never, as a time.
pub const NEVER: u64 = u64::MAX;

/// Bytes that an entry costs beyond its key and its value, near enough: the header, its place in
/// the read table, in the policy's lists and among the policy's ghosts.
pub const OVERHEAD: usize = 96;

pub const MAX_KEY_BYTES: usize = u16::MAX as usize;
pub const MAX_INLINE_BYTES: usize = u16::MAX as usize;

/// Keys are equal when form and bytes are, whatever they stand for, or when `same` says so of
/// another's bytes in the same form: for forms in which one key has several.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub hash: u64,
    pub form: u8,
    pub bytes: &'a [u8],
    pub same: Option<Same<'a>>,
}

pub type Same<'a> = &'a dyn Fn(&[u8]) -> bool;

/// A value on its way in: released unless an entry takes it over.
pub struct Value<'a, H: Host> {
    form: u8,
    word: u64,
    bytes: &'a [u8],
    /// What the value holds elsewhere.
    outside: u64,
    _host: PhantomData<H>,
}

impl<'a, H: Host> Value<'a, H> {
    /// `bytes` are copied into the entry; `outside` is what the word refers to besides, in bytes.
    pub fn new(form: u8, word: u64, bytes: &'a [u8], outside: u64) -> Self {
        Value {
            form,
            word,
            bytes,
            outside,
            _host: PhantomData,
        }
    }

    pub fn bytes_held(&self) -> u64 {
        self.outside.saturating_add(self.bytes.len() as u64)
    }

    pub fn form(&self) -> u8 {
        self.form
    }
}

impl<H: Host> Drop for Value<'_, H> {
    fn drop(&mut self) {
        // SAFETY: `Entry::new` forgets the values that it takes over.
        unsafe { H::release(self.form, self.word) };
    }
}

/// What few entries have.
#[derive(Default)]
pub struct Extra {
    /// The time to idle, 0 for none, and when it was last used.
    pub idle: u64,
    pub used_at: AtomicU64,
    /// How long after its time to live the value may still be served while a new one is computed,
    /// and how long if computing fails.
    pub stale_for: u64,
    pub stale_if_error: u64,
    pub tags: Box<[Counted]>,
}

impl Extra {
    /// When its time to idle is over.
    pub fn idles_at(&self) -> u64 {
        match self.idle {
            0 => NEVER,
            idle => self.used_at.load(Ordering::Relaxed).saturating_add(idle),
        }
    }
}

impl Clone for Extra {
    fn clone(&self) -> Self {
        Extra {
            idle: self.idle,
            used_at: self.used_at.load(Ordering::Relaxed).into(),
            stale_for: self.stale_for,
            stale_if_error: self.stale_if_error,
            tags: self.tags.clone(),
        }
    }
}

#[repr(C)]
pub struct Entry<H: Host> {
    hash: u32,
    pub(crate) weight: u32,
    version: u64,
    expires: AtomicU64,
    pub(crate) id: u32,
    ttl: u32,
    key_len: u16,
    inline_len: u16,
    visits: AtomicU8,
    key_form: u8,
    form: u8,
    has_extra: bool,
    word: u64,
    _host: PhantomData<H>,
}

/// What an entry is made of, besides its key.
pub struct Parts<'a, H: Host> {
    pub value: Value<'a, H>,
    pub weight: u32,
    pub version: u64,
    pub id: u32,
    /// When it stops being served, and the time to live that says so (0 for none).
    pub expires: u64,
    pub ttl: u64,
    pub extra: Option<Box<Extra>>,
}

/// An entry in memory of its own.
pub type Pointer<H> = NonNull<Entry<H>>;

impl<H: Host> Entry<H> {
    const HEADER: usize = size_of::<Self>();

    fn layout(tail: usize) -> Layout {
        // Both lengths fit 16 bits.
        Layout::from_size_align(Self::HEADER + tail, align_of::<Self>()).expect("small")
    }

    /// What lies behind the header: the extra's pointer if there is one, the key, the value.
    fn tail_len(&self) -> usize {
        let extra = usize::from(self.has_extra) * size_of::<Box<Extra>>();
        extra + usize::from(self.key_len) + usize::from(self.inline_len)
    }

    /// Key and inline bytes must be no longer than the maxima above.
    pub(crate) fn new(key: Key, parts: Parts<H>) -> Pointer<H> {
        let value = std::mem::ManuallyDrop::new(parts.value);
        let key_len = u16::try_from(key.bytes.len()).expect("a short key");
        let inline_len = u16::try_from(value.bytes.len()).expect("short inline bytes");
        let header = Entry {
            hash: key.hash as u32,
            weight: parts.weight,
            version: parts.version,
            expires: AtomicU64::new(parts.expires),
            id: parts.id,
            // A longer one is as good as this: 49 days.
            ttl: u32::try_from(parts.ttl).unwrap_or(u32::MAX),
            key_len,
            inline_len,
            visits: AtomicU8::new(0),
            key_form: key.form,
            form: value.form,
            has_extra: parts.extra.is_some(),
            word: value.word,
            _host: PhantomData,
        };
        let layout = Self::layout(header.tail_len());
        // SAFETY: the layout is not empty; header, extra, key and value fit it in this order, and
        // behind the header a pointer is aligned.
        unsafe {
            let block = alloc(layout);
            let Some(entry) = NonNull::new(block.cast::<Self>()) else {
                handle_alloc_error(layout);
            };
            entry.write(header);
            let mut tail = block.add(Self::HEADER);
            if let Some(extra) = parts.extra {
                tail.cast::<Box<Extra>>().write(extra);
                tail = tail.add(size_of::<Box<Extra>>());
            }
            tail.copy_from_nonoverlapping(key.bytes.as_ptr(), key.bytes.len());
            tail.add(key.bytes.len())
                .copy_from_nonoverlapping(value.bytes.as_ptr(), value.bytes.len());
            entry
        }
    }

    /// # Safety
    /// The entry is out of everyone's reach and not used again.
    pub(crate) unsafe fn free(entry: Pointer<H>) {
        // SAFETY: the caller's promise; the layout is the one it was made with.
        unsafe {
            let (tail, form, word, has_extra) = {
                let entry = entry.as_ref();
                (entry.tail_len(), entry.form, entry.word, entry.has_extra)
            };
            H::release(form, word);
            if has_extra {
                entry.add(1).cast::<Box<Extra>>().drop_in_place();
            }
            dealloc(entry.as_ptr().cast(), Self::layout(tail));
        }
    }

    #[inline]
    fn tail(&self) -> *const u8 {
        std::ptr::from_ref(self).wrapping_add(1).cast()
    }

    #[inline]
    fn key_start(&self) -> *const u8 {
        let extra = usize::from(self.has_extra) * size_of::<Box<Extra>>();
        self.tail().wrapping_add(extra)
    }

    /// How much longer than others it takes to remove it: each tag is told, and whoever subscribed
    /// gets the key.
    pub(crate) fn effort(&self) -> usize {
        let tags = self.extra().map_or(0, |extra| extra.tags.len());
        1 + tags / 8 + usize::from(self.key_len) / 1024
    }

    #[inline]
    pub fn key_bytes(&self) -> &[u8] {
        // SAFETY: `new` wrote as many bytes there; entries exist only where it made them.
        unsafe { std::slice::from_raw_parts(self.key_start(), usize::from(self.key_len)) }
    }

    #[inline]
    pub fn key_form(&self) -> u8 {
        self.key_form
    }

    #[inline]
    pub fn form(&self) -> u8 {
        self.form
    }

    #[inline]
    pub fn word(&self) -> u64 {
        self.word
    }

    #[inline]
    pub fn value_bytes(&self) -> &[u8] {
        let after_key = self.key_start().wrapping_add(usize::from(self.key_len));
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(after_key, usize::from(self.inline_len)) }
    }

    #[inline]
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn weight(&self) -> u32 {
        self.weight
    }

    #[inline]
    pub(crate) fn hash(&self) -> u32 {
        self.hash
    }

    #[inline]
    pub(crate) fn is(&self, key: &Key) -> bool {
        self.key_form == key.form
            && self.hash == key.hash as u32
            && (self.key_bytes() == key.bytes
                || key.same.is_some_and(|same| same(self.key_bytes())))
    }

    #[inline]
    pub fn extra(&self) -> Option<&Extra> {
        let extra: *const Box<Extra> = self.tail().cast();
        // SAFETY: `new` wrote it there.
        self.has_extra.then(|| unsafe { &**extra })
    }

    /// When its time to live ends.
    pub fn expires(&self) -> u64 {
        self.expires.load(Ordering::Relaxed)
    }

    pub(crate) fn set_expires(&self, at: u64) {
        self.expires.store(at, Ordering::Relaxed);
    }

    /// The time to live that it was put with, 0 for none.
    pub fn ttl(&self) -> u64 {
        u64::from(self.ttl)
    }

    #[inline]
    pub fn visits(&self) -> u8 {
        self.visits.load(Ordering::Relaxed)
    }

    #[inline]
    pub fn set_visits(&self, visits: u8) {
        self.visits.store(visits, Ordering::Relaxed);
    }

    /// A hit that two threads count at once may count once: the policies want a hint, not a sum.
    #[inline]
    pub(crate) fn visit(&self) {
        let visits = self.visits();
        if visits < 3 {
            self.set_visits(visits + 1);
        }
    }

    /// May be served by an ordinary read.
    #[inline]
    pub fn is_fresh(&self, now: impl Fn() -> u64) -> bool {
        let expires = self.expires();
        if expires == NEVER && !self.has_extra {
            return true;
        }
        let now = now();
        now < expires && !self.is_idle_or_invalid(now)
    }

    /// Its time to idle has passed, or one of its tags was invalidated.
    fn is_idle_or_invalid(&self, now: u64) -> bool {
        self.extra().is_some_and(|extra| {
            extra.idle != 0
                && now
                    >= extra
                        .used_at
                        .load(Ordering::Relaxed)
                        .saturating_add(extra.idle)
                || extra.tags.iter().any(Counted::is_invalid)
        })
    }

    /// Past its time to live, but may be served while a new value is computed (or, where
    /// `failed`, since none could be computed).
    pub fn is_stale(&self, now: u64, failed: bool) -> bool {
        let expires = self.expires();
        let grace = self.extra().map_or(0, |extra| {
            if failed {
                extra.stale_if_error.max(extra.stale_for)
            } else {
                extra.stale_for
            }
        });
        now >= expires && now < expires.saturating_add(grace) && !self.is_idle_or_invalid(now)
    }

    /// Why it is of no more use to anyone, if so.
    pub(crate) fn end(&self, now: u64) -> Option<Cause> {
        if self
            .extra()
            .is_some_and(|extra| extra.tags.iter().any(Counted::is_invalid))
        {
            Some(Cause::Invalidated)
        } else {
            (now >= self.dead_at()).then_some(Cause::Expired)
        }
    }

    /// When it is of no more use if it is neither used nor touched.
    pub(crate) fn dead_at(&self) -> u64 {
        let expires = self.expires();
        match self.extra() {
            None => expires,
            Some(extra) => {
                let stale = extra.stale_for.max(extra.stale_if_error);
                let end = expires.saturating_add(stale);
                if extra.idle == 0 {
                    end
                } else {
                    end.min(
                        extra
                            .used_at
                            .load(Ordering::Relaxed)
                            .saturating_add(extra.idle),
                    )
                }
            }
        }
    }

    /// When an ordinary read no longer gets it, if it is neither used nor touched.
    pub fn unserved_at(&self) -> u64 {
        self.expires()
            .min(self.extra().map_or(NEVER, Extra::idles_at))
    }

    #[inline]
    pub(crate) fn use_at(&self, now: impl Fn() -> u64) {
        if let Some(extra) = self.extra().filter(|extra| extra.idle != 0) {
            extra.used_at.store(now(), Ordering::Relaxed);
        }
    }
}
