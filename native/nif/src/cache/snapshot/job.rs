//! A thread for the time of a call. It is cancelled when the process that asked for it dies, and
//! answers that process `{Job, Answer}` in any case.

use super::answer::Answer;
use crate::atoms;
use crate::boundary::{inspect_binary, make_resource_type};
use crate::cache::core::Core;
use crate::cache::forms::Atoms;
use crate::cache::handle::Kept;
use crate::cache::held::Queue;
use crate::owned::Owned;
use cache_core::snapshot::{Control, Error};
use cache_core::threads::{self, Pin};
use crossbeam_queue::SegQueue;
use rustler::sys::*;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::OnceLock;
use std::thread::{self, Thread};
use std::time::Duration;

/// Calls at work at once; each has a few threads.
const MOST: usize = 16;

static TYPE: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(ptr::null_mut());
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// The content of a resource object.
pub struct Job {
    pub control: Control,
    /// The cache was dropped under way.
    is_gone: AtomicBool,
    caller: ErlNifPid,
    /// What the caller answered to the last question, and the thread that waits for it. No lock:
    /// the caller is on a scheduler.
    rows: Box<SegQueue<Vec<Option<Queue>>>>,
    thread: OnceLock<Thread>,
}

// The VM aligns objects no further.
const _: () = assert!(align_of::<Job>() <= 8);

impl Job {
    /// The cache, for as long as the pin: `None` once it was dropped, which ends the job too.
    pub fn core<'p>(&self, cache: &Kept, pin: &'p Pin) -> Option<&'p Core> {
        let core = cache.core(pin);
        if core.is_none() {
            self.is_gone.store(true, Ordering::Relaxed);
            self.control.cancel();
        }
        core
    }

    /// Asks the caller for values that are rows of a table, by `{Job, {rows, Table, Rows}}`: the
    /// external form of each, none where there is no such row. `None` once the job is cancelled.
    pub fn ask(&self, table: &Owned, rows: &[u64]) -> Option<Vec<Option<Queue>>> {
        self.question(|env| {
            // SAFETY: the environment is of the message that is made.
            unsafe {
                let numbers: Vec<ErlNifTerm> =
                    rows.iter().map(|row| enif_make_uint64(env, *row)).collect();
                let numbers =
                    enif_make_list_from_array(env, numbers.as_ptr(), numbers.len() as u32);
                let question = [atoms::rows().as_c_arg(), table.copy(env), numbers];
                enif_make_tuple_from_array(env, question.as_ptr(), 3)
            }
        })
    }

    /// Asks the caller to decode external forms, by `{Job, {decode, AnyAtoms, Binaries}}`: each
    /// comes back, none where it cannot be decoded. `None` once the job is cancelled.
    pub fn ask_decodable<'a>(
        &self,
        values: impl Iterator<Item = &'a [u8]>,
        atoms: Atoms,
    ) -> Option<Vec<Option<Queue>>> {
        let any = if atoms == Atoms::Any {
            atoms::r#true()
        } else {
            atoms::r#false()
        };
        self.question(|env| {
            // SAFETY: the environment is of the message that is made.
            unsafe {
                let values: Vec<ErlNifTerm> = values
                    .map(|bytes| {
                        let mut term = ErlNifTerm::default();
                        let room = enif_make_new_binary(env, bytes.len(), &mut term);
                        room.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                        term
                    })
                    .collect();
                let values = enif_make_list_from_array(env, values.as_ptr(), values.len() as u32);
                let question = [atoms::decode().as_c_arg(), any.as_c_arg(), values];
                enif_make_tuple_from_array(env, question.as_ptr(), 3)
            }
        })
    }

    /// Waits for the answer to a question. `None` once the job is cancelled.
    fn question(
        &self,
        content: impl FnOnce(*mut ErlNifEnv) -> ErlNifTerm,
    ) -> Option<Vec<Option<Queue>>> {
        /// How soon it is noticed that the job was cancelled.
        const PATIENCE: Duration = Duration::from_millis(20);
        self.thread.get_or_init(thread::current);
        self.send(content);
        loop {
            if self.control.is_cancelled() {
                return None;
            }
            match self.rows.pop() {
                Some(rows) => return Some(rows),
                None => thread::park_timeout(PATIENCE),
            }
        }
    }

    /// Sends the caller `{Job, Content}`, from a thread of ours.
    fn send(&self, content: impl FnOnce(*mut ErlNifEnv) -> ErlNifTerm) {
        // SAFETY: this is the content of the job's object; the message empties its environment,
        // which is this thread's until then.
        unsafe {
            let env = enif_alloc_env();
            let job = enif_make_resource(env, ptr::from_ref(self).cast());
            let parts = [job, content(env)];
            let message = enif_make_tuple_from_array(env, parts.as_ptr(), 2);
            enif_send(ptr::null_mut(), &self.caller, env, message);
            enif_free_env(env);
        }
    }

    /// What `error` means to the caller.
    pub fn failure(&self, error: Error) -> Answer {
        match error {
            Error::Cancelled if self.is_gone.load(Ordering::Relaxed) => Answer::NoCache,
            error => Answer::Failed(error),
        }
    }
}

/// A reference to a job.
struct Reference(*mut Job);

// SAFETY: objects may be used and released on any thread, and so may what is in a job.
unsafe impl Send for Reference {}

impl Reference {
    fn get(&self) -> &Job {
        // SAFETY: the reference keeps it alive, and it was written before this was made.
        unsafe { &*self.0 }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: it is the one from the allocation.
        unsafe { enif_release_resource(self.0.cast()) };
    }
}

/// Counts a job at work.
struct Place;

impl Place {
    fn take() -> Option<Place> {
        let more = |count| (count < MOST).then_some(count + 1);
        AT_WORK
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()
            .map(|_| Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::Relaxed);
    }
}

/// # Safety
/// `env` must be the environment of the library's load.
pub unsafe fn load(env: *mut ErlNifEnv) -> bool {
    let name = c"erlmcp_native_cache_job";
    // SAFETY: the caller's promise.
    unsafe { make_resource_type(env, name, Some(destroyed), caller_down, &TYPE) }
}

unsafe extern "C" fn destroyed(_env: *mut ErlNifEnv, object: *mut c_void) {
    // SAFETY: the VM passes an object of this type, which is not used again.
    unsafe { object.cast::<Job>().drop_in_place() };
}

unsafe extern "C" fn caller_down(
    _env: *mut ErlNifEnv,
    object: *mut c_void,
    _pid: *const ErlNifPid,
    _monitor: *const ErlNifMonitor,
) {
    // SAFETY: the VM passes an object of this type, alive during the call.
    unsafe { &*object.cast::<Job>() }.control.cancel();
}

/// Begins a job on a cache: `{ok, Job}`, or an error where the system has no room for more. What
/// `run` returns is the answer.
///
/// # Safety
/// `env` must be the calling environment, of a process, and `cache` a term of it.
pub unsafe fn begin(
    env: *mut ErlNifEnv,
    cache: ErlNifTerm,
    threads: usize,
    run: impl FnOnce(&Job, &Kept) -> Answer + Send + 'static,
) -> ErlNifTerm {
    // SAFETY: the caller's promise; the job is written before anyone else can see it.
    unsafe {
        let pin = threads::pin();
        let kept = Kept::new(env, cache, &pin).filter(|kept| kept.core(&pin).is_some());
        let Some(kept) = kept else {
            return enif_make_badarg(env);
        };
        let system_limit = crate::cache::error(env, atoms::system_limit());
        let Some(place) = Place::take() else {
            return system_limit;
        };
        let kind = TYPE.load(Ordering::Relaxed);
        let object = enif_alloc_resource(kind, size_of::<Job>()).cast::<Job>();
        let mut caller = MaybeUninit::uninit();
        enif_self(env, caller.as_mut_ptr());
        let caller = caller.assume_init();
        object.write(Job {
            control: Control::new(threads),
            is_gone: AtomicBool::new(false),
            caller,
            rows: Box::new(SegQueue::new()),
            thread: OnceLock::new(),
        });
        let job = Reference(object);
        let term = enif_make_resource(env, object.cast());
        // Of a caller that is being killed there is no one to be told.
        enif_monitor_process(env, object.cast(), &caller, ptr::null_mut());
        let body = move || {
            let _place = place;
            let answer = threads::as_own_thread(|| {
                catch_unwind(AssertUnwindSafe(|| run(job.get(), &kept))).unwrap_or(Answer::Panicked)
            });
            job.get().send(|env| answer.term(env));
        };
        let name = String::from("erlmcp_snapshot"); // the kernel keeps 15 bytes
        match thread::Builder::new().name(name).spawn(body) {
            Ok(_) => crate::cache::ok(env, term),
            Err(_) => system_limit,
        }
    }
}

/// # Safety
/// `env` must be the calling environment and the term its.
unsafe fn find<'a>(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<&'a Job> {
    let mut object: *const c_void = ptr::null();
    let kind = TYPE.load(Ordering::Relaxed);
    // SAFETY: the caller's promise; an object of this type is a job, and lives as long as the
    // call that its term was given to.
    unsafe {
        (enif_get_resource(env, term, kind, &mut object) != 0).then(|| &*object.cast::<Job>())
    }
}

unsafe fn cache_job_cancel(env: *mut ErlNifEnv, args: &[ErlNifTerm; 1]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(job) = find(env, args[0]) else {
            return enif_make_badarg(env);
        };
        job.control.cancel();
        atoms::ok().as_c_arg()
    }
}
nif!("cache_job_cancel", 1, Normal, cache_job_cancel);

/// Answers the question of a job. Arguments: job, a list with a binary or `gone` for each row.
unsafe fn cache_job_rows(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(job) = find(env, args[0]) else {
            return enif_make_badarg(env);
        };
        let mut rows = Vec::new();
        let (mut row, mut rest) = (ErlNifTerm::default(), args[1]);
        while enif_get_list_cell(env, rest, &mut row, &mut rest) != 0 {
            let is_binary = inspect_binary(env, row).is_some_and(|bytes| !bytes.is_empty());
            rows.push(is_binary.then(|| Queue::new(env, row)).flatten());
        }
        job.rows.push(rows);
        if let Some(thread) = job.thread.get() {
            thread.unpark();
        }
        atoms::ok().as_c_arg()
    }
}
nif!("cache_job_rows", 2, Normal, cache_job_rows);
