//! The process that something belongs to: when it ends, so does what it owns.

use crate::atoms;
use crate::boundary::make_resource_type;
use rustler::sys::*;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// An object of the VM that watches the process.
pub struct Owner {
    object: NonNull<Watched>,
    pid: ErlNifPid,
}

struct Watched {
    handle: AtomicU64,
    /// Takes what the handle leads to away.
    remove: fn(u64) -> bool,
}

// SAFETY: the object may be released on any thread, and the pid is a number.
unsafe impl Send for Owner {}
// SAFETY: nothing of it changes but by atomics.
unsafe impl Sync for Owner {}

static TYPE: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(ptr::null_mut());

/// # Safety
/// `env` must be the environment of the library's load.
pub unsafe fn load(env: *mut ErlNifEnv) -> bool {
    let name = c"erlmcp_native_owner";
    // SAFETY: the caller's promise.
    unsafe { make_resource_type(env, name, None, owner_down, &TYPE) }
}

impl Owner {
    /// Who a term says is the owner: a process of this node, or `none`. No answer where it is
    /// something else.
    ///
    /// # Safety
    /// `env` must be the calling environment and `term` a term of it.
    pub unsafe fn read(
        env: *mut ErlNifEnv,
        term: ErlNifTerm,
        remove: fn(u64) -> bool,
    ) -> Option<Option<Self>> {
        if term == atoms::none().as_c_arg() {
            return Some(None);
        }
        let mut pid = MaybeUninit::uninit();
        // SAFETY: the caller's promise; the object is written before anyone can see it.
        unsafe {
            if enif_get_local_pid(env, term, pid.as_mut_ptr()) == 0 {
                return None;
            }
            let kind = TYPE.load(Ordering::Relaxed);
            let object = enif_alloc_resource(kind, size_of::<Watched>()).cast::<Watched>();
            object.write(Watched {
                handle: AtomicU64::new(0),
                remove,
            });
            Some(Some(Owner {
                object: NonNull::new_unchecked(object),
                pid: pid.assume_init(),
            }))
        }
    }

    /// Its pid.
    ///
    /// # Safety
    /// `env` must be the calling environment.
    pub unsafe fn pid(&self, env: *mut ErlNifEnv) -> ErlNifTerm {
        // SAFETY: the caller's promise.
        unsafe { enif_make_pid(env, self.pid) }
    }

    /// From now on the handle ends with the process; false where that has ended already.
    ///
    /// # Safety
    /// `env` must be the calling environment.
    pub unsafe fn watch(&self, env: *mut ErlNifEnv, handle: u64) -> bool {
        // SAFETY: the caller's promise; the object lives as long as `self`.
        unsafe {
            let object = self.object.as_ref();
            object.handle.store(handle, Ordering::Release);
            let object = self.object.as_ptr().cast();
            enif_monitor_process(env, object, &self.pid, ptr::null_mut()) == 0
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: the reference is from `enif_alloc_resource`; the VM takes the monitor away with
        // the object.
        unsafe { enif_release_resource(self.object.as_ptr().cast()) };
    }
}

unsafe extern "C" fn owner_down(
    _env: *mut ErlNifEnv,
    object: *mut c_void,
    _pid: *const ErlNifPid,
    _monitor: *const ErlNifMonitor,
) {
    let body = || {
        // SAFETY: the VM passes an object of this type, alive during the call.
        let watched = unsafe { &*object.cast::<Watched>() };
        (watched.remove)(watched.handle.load(Ordering::Acquire));
    };
    // A panic must not leave through the VM.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
}
