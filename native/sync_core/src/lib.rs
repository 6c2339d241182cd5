//! What many threads share at no cost to the hot path: slots and parts by thread, sections that
//! keep what they see alive, handles that are integers, and a lock that nobody waits for.

pub mod combining;
pub mod handles;
mod kept;
pub mod parts;
mod readers;
pub mod sections;
pub mod slots;
mod sync;

/// Tries what a thread that must not wait may do with a lock, such as `|| lock.try_lock()`, for
/// longer than what is done under one mostly takes.
pub fn tried<G>(mut lock: impl FnMut() -> Option<G>) -> Option<G> {
    (0..100).find_map(|_| {
        let guard = lock();
        if guard.is_none() {
            std::hint::spin_loop();
        }
        guard
    })
}
