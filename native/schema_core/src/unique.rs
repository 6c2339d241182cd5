//! `uniqueItems`: all pairs of a short array, equal hashes of a long one.

use crate::guard::Guard;
use crate::instance::Slot;
use crate::number::Number;
use jsonschema::json::JsonNumber;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

const PAIRWISE: usize = 16;

pub fn is_unique(items: &[Slot<'_>], guard: &Guard) -> bool {
    if items.len() <= PAIRWISE {
        return all_differ(items.iter(), guard);
    }
    let state = RandomState::new();
    let mut hashed: Vec<(u64, &Slot)> = items
        .iter()
        .map(|item| {
            let mut hasher = state.build_hasher();
            hash(item, &mut hasher, &state, guard);
            (hasher.finish(), item)
        })
        .collect();
    hashed.sort_unstable_by_key(|(hash, _)| *hash);
    hashed
        .chunk_by(|left, right| left.0 == right.0)
        .all(|same| all_differ(same.iter().map(|(_, item)| *item), guard))
}

fn all_differ<'s, 'a: 's>(
    mut items: impl Iterator<Item = &'s Slot<'a>> + Clone,
    guard: &Guard,
) -> bool {
    while let Some(item) = items.next() {
        if items.clone().any(|other| equal(item, other, guard)) {
            return false;
        }
    }
    true
}

fn as_number<'a>(slot: &Slot<'a>) -> Option<Number<'a>> {
    match *slot {
        Slot::Int(int) => Some(Number::Int(int)),
        Slot::Float(float) => Some(Number::Float(float)),
        Slot::Text(text) => Some(Number::Text(text)),
        _ => None,
    }
}

/// JSON Schema equality: numbers by value, objects without regard to order.
fn equal(left: &Slot<'_>, right: &Slot<'_>, guard: &Guard) -> bool {
    guard.step(1);
    match (left, right) {
        (Slot::Null, Slot::Null) => true,
        (Slot::Bool(left), Slot::Bool(right)) => left == right,
        (Slot::Int(left), Slot::Int(right)) => left == right,
        (Slot::Str(left), Slot::Str(right)) => left == right,
        (Slot::Array(left), Slot::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(*right)
                    .all(|(left, right)| equal(left, right, guard))
        }
        (Slot::Object(left), Slot::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|member| {
                    crate::node::find(right, member.key)
                        .is_some_and(|value| equal(&member.value, value, guard))
                })
        }
        _ => match (as_number(left), as_number(right)) {
            (Some(left), Some(right)) => {
                crate::node::equal_numbers(left, &right.to_number(), guard)
            }
            _ => false,
        },
    }
}

/// Equal values hash alike; numbers therefore by the nearest float.
fn hash(slot: &Slot<'_>, hasher: &mut impl Hasher, state: &RandomState, guard: &Guard) {
    guard.step(1);
    match slot {
        Slot::Null => hasher.write_u8(0),
        Slot::Bool(boolean) => boolean.hash(hasher),
        Slot::Str(string) => string.hash(hasher),
        Slot::Array(items) => {
            for item in *items {
                hash(item, hasher, state, guard);
            }
        }
        Slot::Object(members) => {
            // Order does not count.
            let sum = members.iter().fold(0u64, |sum, member| {
                let mut hasher = state.build_hasher();
                member.key.hash(&mut hasher);
                hash(&member.value, &mut hasher, state, guard);
                sum.wrapping_add(hasher.finish())
            });
            hasher.write_u64(sum);
        }
        _ => {
            let float = as_number(slot).and_then(|number| number.as_f64());
            // 0.0 and -0.0 are equal.
            hasher.write_u64(float.map_or(1, |float| (float + 0.0).to_bits()));
        }
    }
}
