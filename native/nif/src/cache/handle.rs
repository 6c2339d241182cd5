//! A cache as Erlang holds it: found by its handle or its name, owned by a process.
//!
//! There is one resource object for each cache. The registry of names keeps it alive until the
//! cache is dropped, which its owner's death does too.

use super::core::Core;
use super::keeper;
use crate::atoms;
use crate::boundary::{immediate, make_resource_type, word};
use cache_core::index::{Index, Occupancy};
use cache_core::threads::{self, Pin};
use parking_lot::{Mutex, MutexGuard};
use rustler::sys::*;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::LazyLock;

/// The content of the resource object.
pub struct Handle {
    /// The name, an atom.
    name: ErlNifTerm,
    /// The pid of the owner.
    owner: AtomicU64,
    /// None once it was dropped.
    core: AtomicPtr<Core>,
}

static TYPE: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(ptr::null_mut());
static NAMES: LazyLock<Index<Handle>> = LazyLock::new(Index::default);
static NAMES_LOCK: Mutex<Occupancy> = Mutex::new(Occupancy::EMPTY);

/// # Safety
/// `env` must be the environment of the library's load.
pub unsafe fn load(env: *mut ErlNifEnv) -> bool {
    let name = c"erlmcp_native_cache";
    // SAFETY: the caller's promise.
    unsafe { make_resource_type(env, name, None, owner_down, &TYPE) }
}

#[inline(always)]
fn name_hash(name: ErlNifTerm) -> u64 {
    let hash = word(name).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash ^ hash >> 32
}

fn named(name: ErlNifTerm, _pin: &Pin) -> Option<&Handle> {
    // SAFETY: what `remove` takes out is released after the pins of its time.
    unsafe {
        NAMES
            .get(name_hash(name), |handle| handle.name == name)
            .map(|handle| handle.as_ref())
    }
}

/// The handle that a term is or names.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
#[inline(always)]
unsafe fn find(env: *mut ErlNifEnv, term: ErlNifTerm, pin: &Pin) -> Option<&Handle> {
    let mut object: *const c_void = ptr::null();
    // SAFETY: the caller's promise; an object lives as long as the term, which outlives the pin.
    unsafe {
        let kind = TYPE.load(Ordering::Relaxed);
        if enif_is_atom(env, term) != 0 {
            named(term, pin)
        } else if enif_get_resource(env, term, kind, &mut object) != 0 {
            Some(&*object.cast::<Handle>())
        } else {
            None
        }
    }
}

impl Handle {
    #[inline(always)]
    fn core<'p>(&self, _pin: &'p Pin) -> Option<&'p Core> {
        let core = self.core.load(Ordering::Acquire);
        // SAFETY: `end` defers freeing it until those who have pinned are done.
        unsafe { core.as_ref() }
    }
}

/// What a NIF that goes through a cache does: `badarg` where there is none.
///
/// # Safety
/// `env` must be the calling environment and `cache` a term of it.
#[inline(always)]
pub unsafe fn with_core<T>(
    env: *mut ErlNifEnv,
    cache: ErlNifTerm,
    body: impl FnOnce(&Core, &Pin) -> T,
) -> Option<T> {
    let pin = threads::pin();
    // SAFETY: the caller's promise.
    let core = unsafe { find(env, cache, &pin) }?.core(&pin)?;
    Some(body(core, &pin))
}

/// [`with_core`] for what changes entries: tells the subscribers afterwards.
///
/// # Safety
/// As for [`with_core`].
pub unsafe fn changing<T>(
    env: *mut ErlNifEnv,
    cache: ErlNifTerm,
    body: impl FnOnce(&Core, &Pin) -> T,
) -> Option<T> {
    // SAFETY: the caller's promise.
    unsafe {
        with_core(env, cache, |core, pin| {
            let answer = body(core, pin);
            super::events::announce(env, core);
            answer
        })
    }
}

/// A cache that something else than a term leads to.
pub struct Kept(NonNull<Handle>);

// SAFETY: a reference to the object, counted atomically; its content may be used by any thread.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

impl Kept {
    /// # Safety
    /// As for [`with_core`].
    pub unsafe fn new(env: *mut ErlNifEnv, cache: ErlNifTerm, pin: &Pin) -> Option<Kept> {
        // SAFETY: the caller's promise.
        unsafe {
            let handle = NonNull::from(find(env, cache, pin)?);
            enif_keep_resource(handle.as_ptr().cast());
            Some(Kept(handle))
        }
    }

    pub fn core<'p>(&self, pin: &'p Pin) -> Option<&'p Core> {
        // SAFETY: the object is kept.
        unsafe { self.0.as_ref() }.core(pin)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: kept by `new`, released once.
        unsafe { enif_release_resource(self.0.as_ptr().cast()) };
    }
}

/// Whether the name was free.
///
/// # Safety
/// `env` must be the calling environment, of a process.
pub unsafe fn create(
    env: *mut ErlNifEnv,
    name: ErlNifTerm,
    core: Core,
) -> Result<Option<ErlNifTerm>, cache_core::Busy> {
    let pin = threads::pin();
    let mut names = lock_names(false).ok_or(cache_core::Busy)?;
    if named(name, &pin).is_some() {
        return Ok(None);
    }
    let core = Box::new(core);
    // SAFETY: the caller's promise; the object is written before anyone can see it.
    unsafe {
        let kind = TYPE.load(Ordering::Relaxed);
        let object = enif_alloc_resource(kind, size_of::<Handle>()).cast::<Handle>();
        let mut owner = MaybeUninit::uninit();
        enif_self(env, owner.as_mut_ptr());
        let owner = owner.assume_init();
        object.write(Handle {
            name,
            owner: AtomicU64::new(word(enif_make_pid(env, owner))),
            core: AtomicPtr::new(Box::into_raw(core)),
        });
        let term = enif_make_resource(env, object.cast());
        // The reference from `enif_alloc_resource` is the registry's.
        let retired = NAMES.insert(
            &mut names,
            name_hash(name),
            NonNull::new_unchecked(object),
            |handle| name_hash(handle.name) as u32,
        );
        if let Some(table) = retired {
            pin.defer(move || table.free());
        }
        keeper::keep(object);
        if enif_monitor_process(env, object.cast(), &owner, ptr::null_mut()) != 0 {
            // It has been killed while this was at work, and `owner_down` is never called.
            keeper::end_later(object);
        }
        Ok(Some(term))
    }
}

fn lock_names(may_wait: bool) -> Option<MutexGuard<'static, Occupancy>> {
    if may_wait {
        return Some(NAMES_LOCK.lock());
    }
    sync_core::tried(|| NAMES_LOCK.try_lock())
}

/// Drops the cache; whether it was there. The name is free, and freeing the entries is the
/// keeper's.
pub fn end(handle: &Handle, may_wait: bool, pin: &Pin) -> Result<bool, cache_core::Busy> {
    let mut names = lock_names(may_wait).ok_or(cache_core::Busy)?;
    let core = handle.core.swap(ptr::null_mut(), Ordering::AcqRel);
    let Some(core) = NonNull::new(core) else {
        return Ok(false);
    };
    let hash = name_hash(handle.name);
    if let Some((place, _)) = NAMES.find(hash, |other| ptr::eq(other, handle)) {
        NAMES.remove(&mut names, place);
    }
    drop(names);
    let object = ptr::from_ref(handle) as usize;
    keeper::expect_garbage();
    // SAFETY: nobody finds core or handle any more. The keeper's queue may be added to on any
    // thread, and so may a resource be released.
    unsafe {
        let core = core.as_ptr() as usize;
        pin.defer(move || {
            keeper::free(core as *mut Core);
            enif_release_resource(object as *const c_void);
        });
    }
    pin.flush();
    Ok(true)
}

unsafe extern "C" fn owner_down(
    env: *mut ErlNifEnv,
    object: *mut c_void,
    pid: *const ErlNifPid,
    _monitor: *const ErlNifMonitor,
) {
    let body = || {
        // SAFETY: the VM passes an object of this type, alive during the call.
        let handle = unsafe { &*object.cast::<Handle>() };
        let pin = threads::pin();
        // SAFETY: as above.
        let died = unsafe { enif_make_pid(env, *pid) };
        let Some(core) = handle.core(&pin) else {
            return;
        };
        if word(died) != handle.owner.load(Ordering::Acquire) {
            return;
        }
        // SAFETY: `env` is the callback's.
        let inherited = core.heir().is_some_and(|heir| unsafe {
            handle
                .owner
                .store(word(enif_make_pid(env, heir)), Ordering::Release);
            enif_monitor_process(env, object, &heir, ptr::null_mut()) == 0
                && core.tell_heir(env, enif_make_resource(env, object), &heir, died)
        });
        if !inherited && end(handle, false, &pin).is_err() {
            keeper::end_later(object.cast());
        }
    };
    // A panic must not leave through the VM.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
}

unsafe fn cache_drop(env: *mut ErlNifEnv, args: &[ErlNifTerm; 1]) -> Option<ErlNifTerm> {
    let pin = threads::pin();
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        match find(env, args[0], &pin).map(|handle| end(handle, false, &pin)) {
            Some(Ok(true)) => Some(atoms::ok().as_c_arg()),
            Some(Err(_)) => None,
            Some(Ok(false)) | None => Some(enif_make_badarg(env)),
        }
    }
}
retried_nif!("cache_drop", 1, Normal, cache_drop);

unsafe fn cache_whereis(env: *mut ErlNifEnv, args: &[ErlNifTerm; 1]) -> ErlNifTerm {
    let pin = threads::pin();
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        if enif_is_atom(env, args[0]) == 0 {
            return enif_make_badarg(env);
        }
        match named(args[0], &pin) {
            Some(handle) => enif_make_resource(env, ptr::from_ref(handle).cast_mut().cast()),
            None => atoms::undefined().as_c_arg(),
        }
    }
}
nif!("cache_whereis", 1, Normal, cache_whereis);

/// On a dirty scheduler: there may be very many.
unsafe fn cache_names(env: *mut ErlNifEnv, _args: &[ErlNifTerm; 0]) -> ErlNifTerm {
    let _pin = threads::pin();
    // SAFETY: `env` is the calling environment; what is removed is released after the pins of its
    // time.
    unsafe {
        let mut names = enif_make_list_from_array(env, ptr::null(), 0);
        NAMES.each(|handle| names = enif_make_list_cell(env, handle.name, names));
        names
    }
}
nif!("cache_names", 0, DirtyCpu, cache_names);

/// Name and owner.
///
/// # Safety
/// As for [`with_core`].
pub unsafe fn identity(
    env: *mut ErlNifEnv,
    cache: ErlNifTerm,
    pin: &Pin,
) -> Option<(ErlNifTerm, ErlNifTerm)> {
    // SAFETY: the caller's promise.
    let handle = unsafe { find(env, cache, pin) }?;
    Some((handle.name, immediate(handle.owner.load(Ordering::Acquire))))
}

/// For the keeper: the core of a handle that it keeps.
///
/// # Safety
/// The keeper holds a reference to the object.
pub unsafe fn core_of(object: *const Handle, pin: &Pin) -> Option<&Core> {
    // SAFETY: the caller's promise.
    unsafe { &*object }.core(pin)
}
