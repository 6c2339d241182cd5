//! The process that makes a probe: when it ends, nobody will tell what has become of the call.

use crate::boundary::make_resource_type;
use rustler::sys::*;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// An object of the VM that watches the process as long as this lives.
pub struct Watch(NonNull<Watched>);

/// When the process ended.
struct Watched(AtomicU64);

const LIVES: u64 = u64::MAX;

// SAFETY: the object may be released on any thread.
unsafe impl Send for Watch {}

static TYPE: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(ptr::null_mut());

/// # Safety
/// `env` must be the environment of the library's load.
pub unsafe fn load(env: *mut ErlNifEnv) -> bool {
    let name = c"erlmcp_native_probe";
    // SAFETY: the caller's promise.
    unsafe { make_resource_type(env, name, None, down, &TYPE) }
}

impl Watch {
    /// # Safety
    /// `env` must be the calling environment.
    pub unsafe fn new(env: *mut ErlNifEnv, pid: &ErlNifPid) -> Self {
        // SAFETY: the caller's promise; the object is written before anyone can see it.
        unsafe {
            let kind = TYPE.load(Ordering::Relaxed);
            let object = enif_alloc_resource(kind, size_of::<Watched>()).cast::<Watched>();
            object.write(Watched(AtomicU64::new(LIVES)));
            if enif_monitor_process(env, object.cast(), pid, ptr::null_mut()) != 0 {
                (*object).end();
            }
            Watch(NonNull::new_unchecked(object))
        }
    }

    /// When the process ended, by [`crate::clock::nanoseconds`].
    pub fn ended(&self) -> Option<u64> {
        // SAFETY: the object lives as long as `self`.
        let at = unsafe { self.0.as_ref() }.0.load(Ordering::Relaxed);
        (at != LIVES).then_some(at)
    }
}

impl Watched {
    fn end(&self) {
        self.0.store(crate::clock::nanoseconds(), Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: the reference is from `enif_alloc_resource`; the VM takes the monitor away with
        // the object.
        unsafe { enif_release_resource(self.0.as_ptr().cast()) };
    }
}

unsafe extern "C" fn down(
    _env: *mut ErlNifEnv,
    object: *mut c_void,
    _pid: *const ErlNifPid,
    _monitor: *const ErlNifMonitor,
) {
    // SAFETY: the VM passes an object of this type, alive during the call.
    unsafe { &*object.cast::<Watched>() }.end();
}
