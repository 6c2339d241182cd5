//! Text that grows: first in a block lent by the caller (on its stack), then in a storage.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// Where text lives once it is too large for the block it began in.
///
/// # Safety
/// `grow` (where `capacity` is at least the length of `text`) returns a block of at least `capacity` writable bytes whose first `text.len()` bytes
/// are those of `text`; it stays where it is until the next call of `grow`.
pub unsafe trait Storage {
    /// `text` is either in the block that `grow` returned last, or outside of the storage.
    fn grow(&mut self, text: &[u8], capacity: usize) -> (NonNull<u8>, usize);
}

/// The global allocator's storage.
#[derive(Default)]
pub struct Heap(Vec<u8>);

// SAFETY: a vector's block has its capacity and moves only when the vector is changed.
unsafe impl Storage for Heap {
    fn grow(&mut self, text: &[u8], capacity: usize) -> (NonNull<u8>, usize) {
        if self.0.as_ptr() == text.as_ptr() {
            // SAFETY: the vector's first bytes are those of `text`, which are written.
            unsafe { self.0.set_len(text.len()) };
            self.0.reserve_exact(capacity - text.len());
        } else {
            self.0.clear();
            self.0.reserve_exact(capacity);
            self.0.extend_from_slice(text);
        }
        let capacity = self.0.capacity();
        // SAFETY: a vector's pointer is never null.
        (
            unsafe { NonNull::new_unchecked(self.0.as_mut_ptr()) },
            capacity,
        )
    }
}

pub struct Buffer<S> {
    start: NonNull<u8>,
    len: usize,
    capacity: usize,
    storage: S,
}

impl<S: Storage> Buffer<S> {
    /// A buffer that begins in `block`, which must outlive it.
    ///
    /// # Safety
    /// `block` is used by nothing else while the buffer lives or has not yet grown.
    pub unsafe fn beginning_in(block: &mut [MaybeUninit<u8>], storage: S) -> Self {
        Buffer {
            start: NonNull::from(&mut *block).cast(),
            len: 0,
            capacity: block.len(),
            storage,
        }
    }

    pub fn new(storage: S) -> Self {
        Buffer {
            start: NonNull::dangling(),
            len: 0,
            capacity: 0,
            storage,
        }
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the first `len` bytes have been written.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Moves the text into the storage, if it is not there, in a block of just its size.
    pub fn settle(&mut self) {
        // SAFETY: the first `len` bytes have been written.
        let text = unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) };
        (self.start, self.capacity) = self.storage.grow(text, self.len);
    }

    pub fn storage(&mut self) -> &mut S {
        &mut self.storage
    }

    /// Room for `additional` more bytes.
    #[inline(always)]
    pub fn reserve(&mut self, additional: usize) {
        if self.capacity - self.len < additional {
            self.grow(additional);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, additional: usize) {
        let needed = self.len.checked_add(additional).expect("text too large");
        let capacity = needed.max(self.capacity.saturating_mul(2)).max(64);
        // SAFETY: the first `len` bytes have been written.
        let text = unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) };
        (self.start, self.capacity) = self.storage.grow(text, capacity);
    }

    #[inline(always)]
    pub fn byte(&mut self, byte: u8) {
        self.reserve(1);
        // SAFETY: there is room for one.
        unsafe {
            self.end().write(byte);
            self.advance(1);
        }
    }

    #[inline(always)]
    pub fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        // SAFETY: there is room, and the buffer is not `bytes`.
        unsafe {
            self.end()
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            self.advance(bytes.len());
        }
    }

    /// As `extend` for at most 32 bytes, without a call.
    #[inline(always)]
    pub(super) fn extend_short(&mut self, bytes: &[u8]) {
        /// The first and the last `N` bytes, which together are all.
        #[inline(always)]
        unsafe fn both_ends<const N: usize>(bytes: &[u8], to: *mut u8) {
            let last = bytes.len() - N;
            // SAFETY: `bytes` has N to 2 N bytes, and `to` has room for them.
            unsafe {
                let from = bytes.as_ptr();
                to.cast::<[u8; N]>().write(from.cast::<[u8; N]>().read());
                let tail = from.add(last).cast::<[u8; N]>().read();
                to.add(last).cast::<[u8; N]>().write(tail);
            }
        }
        self.reserve(bytes.len());
        let to = self.end();
        // SAFETY: there is room for the bytes.
        unsafe {
            match bytes.len() {
                16..=32 => both_ends::<16>(bytes, to),
                8..=15 => both_ends::<8>(bytes, to),
                4..=7 => both_ends::<4>(bytes, to),
                2..=3 => both_ends::<2>(bytes, to),
                _ => return self.extend(bytes),
            }
            self.advance(bytes.len());
        }
    }

    pub fn spaces(&mut self, count: usize) {
        self.reserve(count);
        // SAFETY: there is room.
        unsafe {
            self.end().write_bytes(b' ', count);
            self.advance(count);
        }
    }

    /// Where the next byte goes.
    #[inline(always)]
    pub(super) fn end(&mut self) -> *mut u8 {
        // SAFETY: `len` is within the block, or both are 0.
        unsafe { self.start.as_ptr().add(self.len) }
    }

    /// How many bytes may be written at the end.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn room(&self) -> usize {
        self.capacity - self.len
    }

    /// # Safety
    /// `count` bytes beyond the end have been written.
    #[inline(always)]
    pub(super) unsafe fn advance(&mut self, count: usize) {
        self.len += count;
    }
}
