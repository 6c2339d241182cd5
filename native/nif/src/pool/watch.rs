//! One monitor for each process that has or wants something, for as long as it lives.
//!
//! A monitor for each thing would be set and taken away by messages that a process sends itself, and
//! that pile up as long as it does nothing else.

use crate::boundary::make_resource_type;
use rustler::sys::*;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// An object of the VM that watches a process. When it is dropped it does not any more.
pub struct Watch(NonNull<Watched>);

/// Called on whatever thread the process ends on, with its environment, the handle, and the
/// process's number.
pub type Down = unsafe fn(env: *mut ErlNifEnv, handle: u64, owner: u64);

struct Watched {
    down: Down,
    handle: u64,
    /// Another one each time that the object is used.
    owner: AtomicU64,
}

// SAFETY: the object may be released on any thread.
unsafe impl Send for Watch {}
// SAFETY: nothing of it changes but by an atomic.
unsafe impl Sync for Watch {}

static TYPE: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(ptr::null_mut());

/// # Safety
/// `env` must be the environment of the library's load.
pub unsafe fn load(env: *mut ErlNifEnv) -> bool {
    let name = c"erlmcp_native_watch";
    // SAFETY: the caller's promise.
    unsafe { make_resource_type(env, name, None, process_down, &TYPE) }
}

impl Watch {
    /// `None` where the process has ended already.
    ///
    /// # Safety
    /// `env` must be the calling environment.
    pub unsafe fn new(
        env: *mut ErlNifEnv,
        process: &ErlNifPid,
        down: Down,
        handle: u64,
        owner: u64,
    ) -> Option<Self> {
        // SAFETY: the object is written before anyone can see it.
        let watch = unsafe {
            let kind = TYPE.load(Ordering::Relaxed);
            let object = enif_alloc_resource(kind, size_of::<Watched>()).cast::<Watched>();
            object.write(Watched {
                down,
                handle,
                owner: AtomicU64::new(owner),
            });
            Watch(NonNull::new_unchecked(object))
        };
        // SAFETY: the caller's promise.
        unsafe { watch.again(env, process, owner) }
    }

    /// Watches another process, after the one that it watched has ended. `None` as for
    /// [`Self::new`].
    ///
    /// # Safety
    /// `env` must be the calling environment.
    pub unsafe fn again(
        self,
        env: *mut ErlNifEnv,
        process: &ErlNifPid,
        owner: u64,
    ) -> Option<Self> {
        // SAFETY: the caller's promise; the object lives as long as `self`.
        unsafe {
            self.0.as_ref().owner.store(owner, Ordering::Release);
            let object = self.0.as_ptr().cast();
            let failed = enif_monitor_process(env, object, process, ptr::null_mut());
            (failed == 0).then_some(self)
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: the reference is from `enif_alloc_resource`; the VM takes the monitor away with
        // the object.
        unsafe { enif_release_resource(self.0.as_ptr().cast()) };
    }
}

unsafe extern "C" fn process_down(
    env: *mut ErlNifEnv,
    object: *mut c_void,
    _pid: *const ErlNifPid,
    _monitor: *const ErlNifMonitor,
) {
    let body = || {
        // SAFETY: the VM passes an object of this type, alive during the call, and an environment.
        unsafe {
            let watched = &*object.cast::<Watched>();
            let owner = watched.owner.load(Ordering::Acquire);
            (watched.down)(env, watched.handle, owner);
        }
    };
    // A panic must not leave through the VM.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
}
