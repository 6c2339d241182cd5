//! The order of an object's keys.
//!
//! A map of up to 32 keys holds them sorted, and the VM sorts by insertion with its general
//! comparison of terms: keys that arrive in order cost it a third. Objects of one array mostly
//! have the same keys, which the interner makes the same terms, so the order found for one
//! serves the next.

use json_core::Word;
use rustler::sys::ErlNifTerm;
use std::cmp::Ordering;

/// The most keys of a map that is kept as two tuples.
pub const FLAT_MAP_LIMIT: usize = 32;

/// Fewer keys are sorted sooner than looked up.
const WORTH_KEEPING: usize = 6;

const SLOTS: usize = 16;

/// How the keys of one object are put in order.
struct Shape {
    keys: Box<[ErlNifTerm]>,
    order: Order,
}

#[derive(Clone, Copy)]
pub struct Order {
    /// The places of the keys, smallest key first.
    pub places: [u8; FLAT_MAP_LIMIT],
    /// The keys arrived in order.
    pub sorted: bool,
}

/// Two keys are the same.
pub struct Duplicate;

/// Made at the first object that is worth it.
#[derive(Default)]
pub struct Shapes {
    slots: Option<Box<[Option<Shape>; SLOTS]>>,
}

impl Shapes {
    /// The order of up to [`FLAT_MAP_LIMIT`] keys, at least one.
    #[inline(always)]
    pub fn order(&mut self, keys: &[ErlNifTerm], words: &[Word]) -> Result<Order, Duplicate> {
        if keys.len() < WORTH_KEEPING {
            return sort(words);
        }
        let first = words[0].prefix;
        let place = keys.len() ^ (first >> 56) as usize ^ (first >> 47) as usize;
        let slot = &mut self.slots.get_or_insert_default()[place % SLOTS];
        match slot {
            Some(shape) if *shape.keys == *keys => Ok(shape.order),
            _ => {
                let order = sort(words)?;
                *slot = Some(Shape {
                    keys: keys.into(),
                    order,
                });
                Ok(order)
            }
        }
    }
}

#[inline(always)]
fn sort(words: &[Word]) -> Result<Order, Duplicate> {
    let mut order = Order {
        places: [0; FLAT_MAP_LIMIT],
        sorted: true,
    };
    for (index, word) in words.iter().enumerate() {
        let mut at = index;
        while at > 0 {
            let before = order.places[at - 1];
            match compare(word, &words[usize::from(before)]) {
                Ordering::Less => order.places[at] = before,
                Ordering::Equal => return Err(Duplicate),
                Ordering::Greater => break,
            }
            at -= 1;
        }
        order.sorted &= at == index;
        order.places[at] = index as u8;
    }
    Ok(order)
}

/// As Erlang orders binaries.
#[inline(always)]
fn compare(a: &Word, b: &Word) -> Ordering {
    a.prefix.cmp(&b.prefix).then_with(|| a.bytes.cmp(b.bytes))
}
