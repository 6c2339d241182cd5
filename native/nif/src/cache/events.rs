//! What happened to entries, for the processes that subscribed.

use super::clock;
use super::core::{Core, Terms};
use super::forms::{build_key, Form, DECODED};
use super::handle::with_core;
use super::keeper;
use super::options::Names;
use crate::atoms;
use cache_core::events::{Refused, Subscriber};
use cache_core::{Cause, Entry};
use rustler::sys::*;
use rustler::{Atom, Encoder, Env, LocalPid, Monitor, Resource, ResourceArc, Term};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;

pub struct Event {
    reason: Reason,
    form: u8,
    key: Box<[u8]>,
}

pub struct Subscription {
    pid: ErlNifPid,
    subscriber: ManuallyDrop<Box<Subscriber<Event>>>,
}

impl Drop for Subscription {
    /// In a destructor, on a scheduler; there may be 65,536 events.
    fn drop(&mut self) {
        // SAFETY: taken once, here.
        let subscriber = unsafe { ManuallyDrop::take(&mut self.subscriber) };
        keeper::discard(subscriber);
    }
}

#[rustler::resource_impl]
impl Resource for Subscription {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.subscriber.close();
    }
}

/// The cache's hold on a subscription.
pub struct Listener(ResourceArc<Subscription>);

impl AsRef<Subscriber<Event>> for Listener {
    fn as_ref(&self) -> &Subscriber<Event> {
        &self.0.subscriber
    }
}

pub type Hub = cache_core::events::Hub<Listener>;

const EVICTED: u8 = 1;
const EXPIRED: u8 = 2;
const REPLACED: u8 = 4;
const DELETED: u8 = 8;

fn kinds() -> [(Atom, u8); 4] {
    [
        (atoms::evicted(), EVICTED),
        (atoms::expired(), EXPIRED),
        (atoms::replaced(), REPLACED),
        (atoms::deleted(), DELETED),
    ]
}

/// Why an entry is no longer what it was, as subscribers are told.
#[derive(Clone, Copy)]
pub enum Reason {
    Size,
    Ttl,
    Idle,
    Put,
    Update,
    Explicit,
    Take,
    Tag,
    Dependency,
    Prefix,
    Pattern,
    Clear,
}

impl Reason {
    fn of(entry: &Entry<Terms>, cause: Cause) -> Self {
        match cause {
            Cause::Size => Reason::Size,
            Cause::Expired if entry.expires() > clock::now() => Reason::Idle,
            Cause::Expired => Reason::Ttl,
            Cause::Replaced => Reason::Put,
            Cause::Explicit => Reason::Explicit,
            Cause::Invalidated if is_invalid(entry, Names::Tags) => Reason::Tag,
            Cause::Invalidated => Reason::Dependency,
            Cause::Cleared => Reason::Clear,
        }
    }

    fn kind(self) -> u8 {
        match self {
            Reason::Size => EVICTED,
            Reason::Ttl | Reason::Idle => EXPIRED,
            Reason::Put | Reason::Update => REPLACED,
            _ => DELETED,
        }
    }

    fn name(self) -> Atom {
        match self {
            Reason::Size => atoms::size(),
            Reason::Ttl => atoms::ttl(),
            Reason::Idle => atoms::idle(),
            Reason::Put => atoms::put(),
            Reason::Update => atoms::update(),
            Reason::Explicit => atoms::explicit(),
            Reason::Take => atoms::take(),
            Reason::Tag => atoms::tag(),
            Reason::Dependency => atoms::dependency(),
            Reason::Prefix => atoms::prefix(),
            Reason::Pattern => atoms::pattern(),
            Reason::Clear => atoms::clear(),
        }
    }
}

/// Whether one of its names of this sort was invalidated.
fn is_invalid(entry: &Entry<Terms>, names: Names) -> bool {
    let tags = entry.extra().map_or(&[][..], |extra| &extra.tags);
    tags.iter()
        .any(|tag| tag.is_invalid() && tag.name().first() == Some(&(names as u8)))
}

/// Under the lock of the entry's shard.
#[inline]
pub fn publish(hub: &Hub, entry: &Entry<Terms>, cause: Cause) {
    let kind = match cause {
        Cause::Size => EVICTED,
        Cause::Expired => EXPIRED,
        Cause::Replaced => REPLACED,
        Cause::Explicit | Cause::Invalidated | Cause::Cleared => DELETED,
    };
    if hub.wants(kind) {
        publish_reason(hub, entry, Reason::of(entry, cause));
    }
}

/// Under the lock of the entry's shard, where the reason is known better.
#[inline]
pub fn publish_reason(hub: &Hub, entry: &Entry<Terms>, reason: Reason) {
    let kind = reason.kind();
    if hub.wants(kind) {
        let key = entry.key_bytes();
        hub.publish(kind, key.len(), || Event {
            reason,
            form: entry.key_form(),
            key: key.into(),
        });
    }
}

/// Wakes up the subscribers whose queues have been empty, from a NIF or a callback.
///
/// # Safety
/// `env` must be the calling environment.
#[inline]
pub unsafe fn announce(env: *mut ErlNifEnv, core: &Core) {
    core.hub.collect(|listener: &Listener| {
        // SAFETY: the caller's promise.
        unsafe {
            let message = wake_up(env, listener);
            enif_send(env, &listener.0.pid, ptr::null_mut(), message);
        }
    });
}

/// From a thread of ours: the same, and takes out the subscribers that are no more.
pub fn care(core: &Core) {
    core.hub.collect(|listener: &Listener| {
        // SAFETY: an environment of its own, freed here; the message is its term.
        unsafe {
            let env = enif_alloc_env();
            if !env.is_null() {
                let message = wake_up(env, listener);
                enif_send(ptr::null_mut(), &listener.0.pid, env, message);
                enif_free_env(env);
            }
        }
    });
    // Busy: next time.
    let _ = core.hub.sweep();
}

/// `{erlmcp_native_cache, Subscription, ready}`.
unsafe fn wake_up(env: *mut ErlNifEnv, listener: &Listener) -> ErlNifTerm {
    let lifetime = ();
    // SAFETY: the caller's promise: an environment to make terms in.
    unsafe {
        let subscription = listener.0.encode(Env::new(&lifetime, env));
        let parts = [
            atoms::erlmcp_native_cache().as_c_arg(),
            subscription.as_c_arg(),
            atoms::ready().as_c_arg(),
        ];
        enif_make_tuple_from_array(env, parts.as_ptr(), 3)
    }
}

/// The kinds in a list of their names; `None` if it is something else or empty.
unsafe fn wanted(env: *mut ErlNifEnv, list: ErlNifTerm) -> Option<u8> {
    let (mut rest, mut name) = (list, ErlNifTerm::default());
    let mut wanted = 0;
    // SAFETY: the caller's promise: the calling environment and its terms.
    while unsafe { enif_get_list_cell(env, rest, &mut name, &mut rest) } != 0 {
        let kinds = kinds();
        wanted |= kinds.iter().find(|(kind, _)| kind.as_c_arg() == name)?.1;
    }
    // SAFETY: as above.
    let is_proper = unsafe { enif_is_empty_list(env, rest) } != 0;
    Some(wanted).filter(|wanted| is_proper && *wanted != 0)
}

/// Arguments: cache, kinds, capacity of the queue. The caller is the subscriber.
unsafe fn cache_subscribe(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> Option<ErlNifTerm> {
    const LARGEST: u64 = 1 << 16;
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let mut capacity = 0;
        let is_right =
            enif_get_uint64(env, args[2], &mut capacity) != 0 && (1..=LARGEST).contains(&capacity);
        let Some(kinds) = wanted(env, args[1]).filter(|_| is_right) else {
            return Some(enif_make_badarg(env));
        };
        with_core(env, args[0], |core, _| {
            subscribe(env, core, kinds, capacity as usize)
        })
        .unwrap_or_else(|| Some(enif_make_badarg(env)))
    }
}
// To make a large queue takes long.
retried_nif!("cache_subscribe", 3, DirtyCpu, cache_subscribe);

unsafe fn subscribe(
    env: *mut ErlNifEnv,
    core: &Core,
    kinds: u8,
    capacity: usize,
) -> Option<ErlNifTerm> {
    let lifetime = ();
    // SAFETY: the caller's promise: the calling environment, of a process.
    unsafe {
        let mut pid = MaybeUninit::uninit();
        enif_self(env, pid.as_mut_ptr());
        let subscription = ResourceArc::new(Subscription {
            pid: pid.assume_init(),
            subscriber: ManuallyDrop::new(Box::new(core.hub.subscriber(kinds, capacity))),
        });
        match core.hub.add(Listener(subscription.clone())) {
            Ok(()) => {}
            Err(Refused::Busy) => return None,
            Err(Refused::Full) => return Some(super::error(env, atoms::system_limit())),
        }
        let rustler_env = Env::new(&lifetime, env);
        if subscription
            .monitor(Some(rustler_env), &rustler_env.pid())
            .is_none()
        {
            // It is being killed.
            subscription.subscriber.close();
        }
        Some(super::ok(env, subscription.encode(rustler_env).as_c_arg()))
    }
}

unsafe fn read(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<ResourceArc<Subscription>> {
    let lifetime = ();
    // SAFETY: the caller's promise: the calling environment and its term.
    unsafe { Term::new(Env::new(&lifetime, env), term) }
        .decode()
        .ok()
}

/// Arguments: cache, subscription.
unsafe fn cache_unsubscribe(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(subscription) = read(env, args[1]) else {
            return enif_make_badarg(env);
        };
        with_core(env, args[0], |core, _| {
            subscription.subscriber.close();
            // Busy: the keeper's next round does it.
            let _ = core.hub.sweep();
            atoms::ok().as_c_arg()
        })
        .unwrap_or_else(|| enif_make_badarg(env))
    }
}
nif!("cache_unsubscribe", 2, Normal, cache_unsubscribe);

/// `{Events, Dropped, more | empty}`. Arguments: subscription, how many at most.
unsafe fn cache_events(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> ErlNifTerm {
    const MOST: u64 = 1000;
    /// Bytes of keys after which a call ends; those in the external form take longest by far.
    const BYTES: usize = 64 * 1024;
    const EXTERNAL: usize = 8;
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let mut most = 0;
        let is_right = enif_get_uint64(env, args[1], &mut most) != 0 && most > 0;
        let Some(subscription) = read(env, args[0]).filter(|_| is_right) else {
            return enif_make_badarg(env);
        };
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut more = true;
        while more && bytes < BYTES && (events.len() as u64) < most.min(MOST) {
            more = subscription.subscriber.pull(1, |event| {
                let is_external = event.form == Form::External as u8;
                bytes += event.key.len() * if is_external { EXTERNAL } else { 1 };
                events.push(term(env, &event));
            });
        }
        enif_consume_timeslice(env, (events.len() / 50 + bytes / 4096).clamp(1, 100) as i32);
        let rest = if more { atoms::more() } else { atoms::empty() };
        let parts = [
            enif_make_list_from_array(env, events.as_ptr(), events.len() as u32),
            enif_make_uint64(env, subscription.subscriber.take_dropped()),
            rest.as_c_arg(),
        ];
        enif_make_tuple_from_array(env, parts.as_ptr(), 3)
    }
}
nif!("cache_events", 2, Normal, cache_events);

/// `{Kind, Key, Cause}`, or `{Kind, Cause, external, Binary}` for a key that the door decodes.
unsafe fn term(env: *mut ErlNifEnv, event: &Event) -> ErlNifTerm {
    let kinds = kinds();
    let kind = kinds.iter().find(|(_, kind)| *kind == event.reason.kind());
    let kind = kind.map_or(atoms::deleted(), |(name, _)| *name).as_c_arg();
    let cause = event.reason.name().as_c_arg();
    let form = Form::from_number(event.form);
    // SAFETY: the caller's promise: the calling environment; form and bytes are a key's.
    unsafe {
        if form == Form::External && event.key.len() > DECODED {
            let binary = build_key(env, Form::Binary, &event.key);
            let parts = [kind, cause, atoms::external().as_c_arg(), binary];
            enif_make_tuple_from_array(env, parts.as_ptr(), 4)
        } else {
            let parts = [kind, build_key(env, form, &event.key), cause];
            enif_make_tuple_from_array(env, parts.as_ptr(), 3)
        }
    }
}
