//! Things that Erlang holds by integers, or by the names of some, and that end with a process.

use crate::atoms;
use crate::boundary::{immediate, small, word};
use crate::owner::Owner;
use crate::tried::{tried, Fault};
use foldhash::fast::RandomState;
use parking_lot::RwLock;
use rustler::sys::*;
use rustler::types::atom::Atom;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::LazyLock;
use sync_core::handles::Handles;
use sync_core::sections::{self, Section};

/// Things of one kind.
pub struct Registry<T: 'static> {
    pub handles: Handles<T>,
    /// The handles of those that have a name. One whose handle leads nowhere is gone.
    names: LazyLock<RwLock<HashMap<u64, u64, RandomState>>>,
    /// What a term that stands for none is answered with.
    unknown: fn() -> Atom,
}

/// By what a thing is known, and whose it is.
pub struct Identity {
    /// An atom, or none.
    name: Option<u64>,
    /// Whether another may have the name.
    is_unnamed: AtomicBool,
    owner: Option<Owner>,
}

impl Identity {
    /// From a name, an atom or `undefined`, and an owner, a pid or `none`. `remove` takes a thing of
    /// this kind away.
    ///
    /// # Safety
    /// `env` must be the calling environment and the terms its.
    pub unsafe fn read(
        env: *mut ErlNifEnv,
        name: ErlNifTerm,
        owner: ErlNifTerm,
        remove: fn(u64) -> bool,
    ) -> Option<Self> {
        // SAFETY: the caller's promise.
        unsafe {
            if enif_is_atom(env, name) == 0 {
                return None;
            }
            let owner = Owner::read(env, owner, remove)?;
            let name = (name != atoms::undefined().as_c_arg()).then(|| word(name));
            Some(Identity {
                name,
                is_unnamed: AtomicBool::new(false),
                owner,
            })
        }
    }

    /// The name or `undefined`, the owner or `none`.
    ///
    /// # Safety
    /// `env` must be the calling environment.
    pub unsafe fn terms(&self, env: *mut ErlNifEnv) -> (ErlNifTerm, ErlNifTerm) {
        let name = self.name.map_or(atoms::undefined().as_c_arg(), immediate);
        let owner = match &self.owner {
            // SAFETY: the caller's promise.
            Some(owner) => unsafe { owner.pid(env) },
            None => atoms::none().as_c_arg(),
        };
        (name, owner)
    }
}

pub trait Identified {
    fn identity(&self) -> &Identity;
}

impl<T: Identified + Send + Sync> Registry<T> {
    /// Of several registries, each has a kind of its own, below 8.
    pub const fn new(kind: u64, unknown: fn() -> Atom) -> Self {
        Registry {
            handles: Handles::new(kind),
            names: LazyLock::new(RwLock::default),
            unknown,
        }
    }

    /// The handle that a term is, or that an atom names.
    ///
    /// # Safety
    /// `env` must be the calling environment and `term` a term of it.
    #[inline(always)]
    pub unsafe fn handle_of(&self, env: *mut ErlNifEnv, term: ErlNifTerm) -> Result<u64, Fault> {
        match small(term) {
            // A negative one is of nothing.
            Some(handle) => Ok(handle.cast_unsigned()),
            // SAFETY: the caller's promise.
            None => unsafe { self.named(env, term) },
        }
    }

    /// # Safety
    /// As for [`Self::handle_of`].
    #[cold]
    #[inline(never)]
    unsafe fn named(&self, env: *mut ErlNifEnv, name: ErlNifTerm) -> Result<u64, Fault> {
        // SAFETY: the caller's promise.
        if unsafe { enif_is_atom(env, name) } != 0 {
            let names = tried(|| self.names.try_read())?;
            if let Some(&handle) = names.get(&word(name)) {
                return Ok(handle);
            }
        }
        Err(Fault::Wrong((self.unknown)()))
    }

    /// Calls `body` with what a term stands for.
    ///
    /// # Safety
    /// `env` must be the calling environment and `term` a term of it.
    #[inline(always)]
    pub unsafe fn with<R>(
        &self,
        env: *mut ErlNifEnv,
        term: ErlNifTerm,
        body: impl FnOnce(&T, &Section) -> R,
    ) -> Result<R, Fault> {
        // SAFETY: the caller's promise.
        unsafe { self.with_handle(env, term, |_, value, section| body(value, section)) }
    }

    /// As [`Self::with`], with its handle.
    ///
    /// # Safety
    /// As for [`Self::with`].
    #[inline(always)]
    pub unsafe fn with_handle<R>(
        &self,
        env: *mut ErlNifEnv,
        term: ErlNifTerm,
        body: impl FnOnce(u64, &T, &Section) -> R,
    ) -> Result<R, Fault> {
        // SAFETY: the caller's promise.
        let handle = unsafe { self.handle_of(env, term) }?;
        let section = sections::enter();
        match self.handles.get(handle, &section) {
            Some(value) => Ok(body(handle, value, &section)),
            None => Err(Fault::Wrong((self.unknown)())),
        }
    }

    fn is_there(&self, handle: u64) -> bool {
        self.handles.get(handle, &sections::enter()).is_some()
    }

    /// The name that a thing has and nobody else may have.
    fn name_of(&self, handle: u64) -> Option<u64> {
        let section = sections::enter();
        let identity = self.handles.get(handle, &section)?.identity();
        let is_unnamed = identity.is_unnamed.load(Ordering::Acquire);
        identity.name.filter(|_| !is_unnamed)
    }

    /// The handle of a new thing, unless its name is taken.
    ///
    /// # Safety
    /// `env` must be the calling environment.
    pub unsafe fn add(&self, env: *mut ErlNifEnv, value: T) -> Result<ErlNifTerm, Fault> {
        let name = value.identity().name;
        let mut names = match name {
            Some(_) => Some(tried(|| self.names.try_write())?),
            None => None,
        };
        if let Some((names, name)) = names.as_ref().zip(name) {
            if names
                .get(&name)
                .is_some_and(|&handle| self.name_of(handle) == Some(name))
            {
                return Err(Fault::Wrong(atoms::exists()));
            }
        }
        let handle = self
            .handles
            .insert(|_| value)
            .ok_or(Fault::Wrong(atoms::system_limit()))?;
        if let Some((names, name)) = names.as_mut().zip(name) {
            names.insert(name, handle);
        }
        drop(names);
        let watch = |value: &T| match &value.identity().owner {
            // SAFETY: the caller's promise.
            Some(owner) => unsafe { owner.watch(env, handle) },
            None => true,
        };
        let is_owned = self
            .handles
            .get(handle, &sections::enter())
            .is_some_and(watch);
        if !is_owned {
            self.remove(handle);
        }
        // SAFETY: the caller's promise.
        Ok(unsafe { enif_make_uint64(env, handle) })
    }

    /// The names of those that have one.
    ///
    /// # Safety
    /// `env` must be the calling environment.
    pub unsafe fn names(&self, env: *mut ErlNifEnv) -> ErlNifTerm {
        // SAFETY: the caller's promise.
        let mut list = unsafe { enif_make_list_from_array(env, [].as_ptr(), 0) };
        for handle in self.handles.list() {
            if let Some(name) = self.name_of(handle) {
                // SAFETY: the caller's promise.
                list = unsafe { enif_make_list_cell(env, immediate(name), list) };
            }
        }
        list
    }

    /// Takes its name from a thing: another may have it.
    pub fn unname(&self, handle: u64) {
        let Some(name) = self.name_of(handle) else {
            return;
        };
        if let Some(value) = self.handles.get(handle, &sections::enter()) {
            value.identity().is_unnamed.store(true, Ordering::Release);
        }
        // Left behind at the worst: one that leads to what does not have it is free.
        if let Ok(mut names) = tried(|| self.names.try_write()) {
            if names.get(&name) == Some(&handle) {
                names.remove(&name);
            }
        }
    }

    /// Takes a thing away; whether it was there.
    pub fn remove(&self, handle: u64) -> bool {
        self.unname(handle);
        self.handles.remove(handle)
    }

    /// The body of the NIF that deletes one.
    ///
    /// # Safety
    /// `env` must be the calling environment and `term` a term of it.
    pub unsafe fn delete(
        &self,
        env: *mut ErlNifEnv,
        term: ErlNifTerm,
    ) -> Result<ErlNifTerm, Fault> {
        // SAFETY: the caller's promise.
        let removed = match unsafe { self.handle_of(env, term) } {
            Ok(handle) => self.remove(handle),
            Err(Fault::Wrong(_)) => false,
            Err(fault) => return Err(fault),
        };
        Ok(crate::boundary::boolean(removed))
    }

    /// The body of the NIF that looks a name up.
    ///
    /// # Safety
    /// `env` must be the calling environment and `name` a term of it.
    pub unsafe fn whereis(
        &self,
        env: *mut ErlNifEnv,
        name: ErlNifTerm,
    ) -> Result<ErlNifTerm, Fault> {
        // SAFETY: the caller's promise.
        unsafe {
            if enif_is_atom(env, name) == 0 {
                return Ok(enif_make_badarg(env));
            }
            let handle = match self.handle_of(env, name) {
                Err(Fault::Wrong(_)) => None,
                handle => Some(handle?),
            };
            Ok(match handle.filter(|&handle| self.is_there(handle)) {
                Some(handle) => enif_make_uint64(env, handle),
                None => atoms::undefined().as_c_arg(),
            })
        }
    }
}
