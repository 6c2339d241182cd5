//! Work that recurses deeper than the VM's threads allow, on a thread of ours.

use std::thread;

/// Address space, not memory: pages are taken as the stack grows.
pub const LARGE_STACK: usize = 256 << 20;

/// What of [`LARGE_STACK`] a guarded validation may use.
pub const LARGE_STACK_USE: usize = LARGE_STACK - (32 << 20);

/// Runs `body` on a new thread with [`LARGE_STACK`] and waits for it. `None` when the system
/// gives no thread.
pub fn on_large_stack<T: Send>(body: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("schema".into())
            .stack_size(LARGE_STACK)
            .spawn_scoped(scope, body)
            .ok()?;
        match thread.join() {
            Ok(value) => Some(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Drops `value` on a thread of its own, for what is too large to be freed on the caller's.
pub fn drop_elsewhere<T: Send + 'static>(value: T) {
    // Without a thread the closure, and with it the value, is dropped here.
    let _ = thread::Builder::new()
        .name("schema".into())
        .stack_size(LARGE_STACK)
        .spawn(move || drop(value));
}
