//! Stands for `src/sections.rs`: loom's threads and statics for those of the system, and a fence
//! at every entry, since loom knows no membarrier(2).

use crate::readers::{Reader, Readers};
use loom::sync::atomic::{fence, Ordering};

loom::lazy_static! {
    pub static ref READERS: Readers = Readers::new(barrier);
}

loom::thread_local! {
    static OWN: &'static Reader = READERS.register(0);
}

fn barrier() -> bool {
    fence(Ordering::SeqCst);
    true
}

pub struct Section(&'static Reader);

pub fn enter() -> Section {
    let section = enter_unfenced();
    fence(Ordering::SeqCst);
    section
}

/// To show that the models notice.
pub fn enter_unfenced() -> Section {
    let reader = OWN.with(|reader| *reader);
    reader.enter();
    Section(reader)
}

impl Section {
    pub fn kept(&self, key: u64) -> *const () {
        self.0.kept.get(key, READERS.retired())
    }

    /// # Safety
    /// As in the library.
    pub unsafe fn keep<T>(&self, key: u64, value: &T) {
        self.0.kept.set(key, std::ptr::from_ref(value).cast());
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// # Safety
/// As in the library.
pub unsafe fn retire<T: Send + 'static>(garbage: *mut T) {
    // SAFETY: the caller's promise.
    unsafe { READERS.retire(garbage) };
}
