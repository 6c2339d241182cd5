//! A stack that begins in a block lent by the caller: small terms need no allocation.

use std::mem::MaybeUninit;

/// Its items are given up without being dropped.
pub(super) struct Stack<T> {
    items: *mut MaybeUninit<T>,
    len: usize,
    capacity: usize,
    /// Where the items are once the block is too small.
    heap: Vec<MaybeUninit<T>>,
}

impl<T> Stack<T> {
    /// # Safety
    /// `block` outlives the stack and is used by nothing else.
    pub unsafe fn beginning_in(block: &mut [MaybeUninit<T>]) -> Self {
        Stack {
            items: block.as_mut_ptr(),
            len: 0,
            capacity: block.len(),
            heap: Vec::new(),
        }
    }

    pub fn items(&mut self) -> &mut [T] {
        // SAFETY: the first `len` items are initialised.
        unsafe { std::slice::from_raw_parts_mut(self.items.cast(), self.len) }
    }

    #[inline(always)]
    pub fn last_mut(&mut self) -> Option<&mut T> {
        // SAFETY: as above.
        (self.len > 0).then(|| unsafe { (*self.items.add(self.len - 1)).assume_init_mut() })
    }

    #[inline(always)]
    pub fn push(&mut self, item: T) {
        self.slot().write(item);
        self.len += 1;
    }

    /// Adds an item that `fill` makes in its place; it must initialise it.
    ///
    /// # Safety
    /// `fill` initialises the item.
    #[inline(always)]
    pub unsafe fn push_in_place(&mut self, fill: impl FnOnce(*mut T)) {
        fill(self.slot().as_mut_ptr());
        self.len += 1;
    }

    #[inline(always)]
    fn slot(&mut self) -> &mut MaybeUninit<T> {
        if self.len == self.capacity {
            self.grow();
        }
        // SAFETY: there is room for one more.
        unsafe { &mut *self.items.add(self.len) }
    }

    #[inline(always)]
    pub fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let capacity = (self.capacity * 2).max(64);
        let mut heap = Vec::with_capacity(capacity);
        // SAFETY: the items are moved; the old block forgets them. Items that may be
        // uninitialised need no initialisation.
        unsafe {
            self.items
                .copy_to_nonoverlapping(heap.as_mut_ptr(), self.len);
            heap.set_len(capacity);
        }
        self.heap = heap;
        self.items = self.heap.as_mut_ptr();
        self.capacity = capacity;
    }
}
