//! A growing array that begins in room lent to it, so that a small text allocates nothing. As
//! `SmallVec`, but where the elements are is found without asking which of the two they are in,
//! and it is small enough to be moved: a fifth fewer instructions in the builder.

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};

pub struct Stack<'r, T: Copy> {
    elements: *mut T,
    length: usize,
    capacity: usize,
    /// Holds the elements once the room is too small.
    heap: Vec<MaybeUninit<T>>,
    room: std::marker::PhantomData<&'r mut [MaybeUninit<T>]>,
}

impl<'r, T: Copy> Stack<'r, T> {
    #[inline(always)]
    pub fn new(room: &'r mut [MaybeUninit<T>]) -> Self {
        Stack {
            elements: room.as_mut_ptr().cast(),
            length: 0,
            capacity: room.len(),
            heap: Vec::new(),
            room: std::marker::PhantomData,
        }
    }

    #[inline(always)]
    pub fn push(&mut self, element: T) {
        if self.length == self.capacity {
            self.grow();
        }
        // SAFETY: the length is less than the capacity.
        unsafe { self.elements.add(self.length).write(element) };
        self.length += 1;
    }

    #[inline(always)]
    pub fn pop(&mut self) -> Option<T> {
        let last = self.length.checked_sub(1)?;
        self.length = last;
        // SAFETY: the elements below the length are written.
        Some(unsafe { self.elements.add(last).read() })
    }

    /// Keeps at most this many.
    #[inline(always)]
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let mut heap: Vec<MaybeUninit<T>> = Vec::with_capacity(2 * self.capacity);
        // SAFETY: elements that may be uninitialised need no writing.
        unsafe { heap.set_len(2 * self.capacity) };
        let elements: *mut T = heap.as_mut_ptr().cast();
        // SAFETY: both places hold at least `length` elements and do not overlap.
        unsafe { elements.copy_from_nonoverlapping(self.elements, self.length) };
        self.elements = elements;
        self.capacity = heap.len();
        self.heap = heap;
    }
}

impl<T: Copy> Deref for Stack<'_, T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the elements below the length are written.
        unsafe { std::slice::from_raw_parts(self.elements, self.length) }
    }
}

impl<T: Copy> DerefMut for Stack<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.elements, self.length) }
    }
}
