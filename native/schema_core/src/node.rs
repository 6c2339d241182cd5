//! The validator's view of an [`Instance`](crate::instance::Instance), through which all its
//! work is counted.

use crate::guard::Guard;
use crate::instance::{Member, Slot, SCANNED_MEMBERS};
use crate::number::Number;
use jsonschema::json::{self, cmp, Json, JsonNumber, NodeIdentity};
use jsonschema::JsonType;
use serde_json::Value;
use std::borrow::Cow;

/// Strings in error messages end after this many bytes.
const SHOWN_STRING: usize = 128;

/// Bytes of a string that count as one step.
const STRING_STEP: usize = 64;

/// What an exact comparison of two numbers costs, in steps.
const EXACT_STEPS: u64 = 50;

/// The representation that validators are compiled for.
pub struct Tree;

#[derive(Clone, Copy)]
pub struct Node<'a> {
    pub slot: &'a Slot<'a>,
    pub guard: &'a Guard,
}

#[derive(Clone, Copy)]
pub struct Members<'a> {
    members: &'a [Member<'a>],
    guard: &'a Guard,
}

#[derive(Clone, Copy)]
pub struct Items<'a> {
    items: &'a [Slot<'a>],
    guard: &'a Guard,
}

impl Json for Tree {
    type Node<'a> = Node<'a>;
    type PreparedKey = Box<str>;
    type StringBuffer = Guard;

    const KEYS_PER_LOOKUP: usize = 4;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>(guard: &mut Guard, string: &str, body: impl FnOnce(Node<'_>) -> T) -> T {
        body(Node {
            slot: &Slot::Str(string),
            guard,
        })
    }
}

impl<'a> Node<'a> {
    #[inline(always)]
    fn look(&self) -> &'a Slot<'a> {
        self.guard.step(1);
        self.slot
    }
}

impl<'a> json::Node<'a, Tree> for Node<'a> {
    type Object = Members<'a>;
    type Array = Items<'a>;
    type Number = Number<'a>;

    #[inline]
    fn as_object(&self) -> Option<Members<'a>> {
        match self.look() {
            Slot::Object(members) => Some(Members {
                members,
                guard: self.guard,
            }),
            _ => None,
        }
    }

    #[inline]
    fn as_array(&self) -> Option<Items<'a>> {
        match self.look() {
            Slot::Array(items) => Some(Items {
                items,
                guard: self.guard,
            }),
            _ => None,
        }
    }

    #[inline]
    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self.slot {
            Slot::Str(string) => {
                self.guard.text(string.len());
                Some(Cow::Borrowed(string))
            }
            _ => {
                self.guard.step(1);
                None
            }
        }
    }

    #[inline]
    fn as_number(&self) -> Option<Number<'a>> {
        match *self.look() {
            Slot::Int(int) => Some(Number::Int(int)),
            Slot::Float(float) => Some(Number::Float(float)),
            Slot::Text(text) => {
                self.guard.step((text.len() / STRING_STEP) as u64);
                Some(Number::Text(text))
            }
            _ => None,
        }
    }

    #[inline]
    fn as_boolean(&self) -> Option<bool> {
        match self.look() {
            Slot::Bool(boolean) => Some(*boolean),
            _ => None,
        }
    }

    #[inline]
    fn is_null(&self) -> bool {
        matches!(self.look(), Slot::Null)
    }

    #[inline]
    fn is_string(&self) -> bool {
        matches!(self.look(), Slot::Str(_))
    }

    #[inline]
    fn is_number(&self) -> bool {
        matches!(self.look(), Slot::Int(_) | Slot::Float(_) | Slot::Text(_))
    }

    #[inline]
    fn json_type(&self) -> JsonType {
        match self.look() {
            Slot::Null => JsonType::Null,
            Slot::Bool(_) => JsonType::Boolean,
            Slot::Int(_) | Slot::Float(_) | Slot::Text(_) => JsonType::Number,
            Slot::Str(_) => JsonType::String,
            Slot::Array(_) => JsonType::Array,
            Slot::Object(_) => JsonType::Object,
        }
    }

    fn string_length(&self) -> Option<u64> {
        let Slot::Str(string) = self.look() else {
            return None;
        };
        self.guard.step((string.len() / STRING_STEP) as u64);
        Some(code_points(string))
    }

    fn equals_value(&self, expected: &Value) -> bool {
        equals_value(self.slot, expected, self.guard)
    }

    /// Only error messages read this: arrays and objects are shown empty, long strings cut.
    fn to_value(&self) -> Cow<'a, Value> {
        self.guard.error();
        Cow::Owned(match self.slot {
            Slot::Null => Value::Null,
            Slot::Bool(boolean) => Value::Bool(*boolean),
            Slot::Int(int) => Value::from(*int),
            Slot::Float(float) => Number::Float(*float).to_json(),
            Slot::Text(text) if text.len() > SHOWN_STRING => {
                Value::String(cut(text, SHOWN_STRING).to_owned())
            }
            Slot::Text(text) => Number::Text(text).to_json(),
            Slot::Str(string) => Value::String(cut(string, SHOWN_STRING).to_owned()),
            Slot::Array(_) => Value::Array(Vec::new()),
            Slot::Object(_) => Value::Object(serde_json::Map::new()),
        })
    }

    #[inline]
    fn identity(&self) -> Option<NodeIdentity> {
        self.guard.step(1);
        Some(NodeIdentity::new(
            std::ptr::from_ref::<Slot>(self.slot) as usize
        ))
    }
}

/// Bytes that do not continue a character.
fn code_points(string: &str) -> u64 {
    string
        .bytes()
        .filter(|byte| byte & 0b1100_0000 != 0b1000_0000)
        .count() as u64
}

/// The longest prefix of at most `limit` bytes that ends between characters.
pub fn cut(string: &str, limit: usize) -> &str {
    if string.len() <= limit {
        return string;
    }
    let mut end = limit;
    while !string.is_char_boundary(end) {
        end -= 1;
    }
    &string[..end]
}

fn equals_value(slot: &Slot<'_>, expected: &Value, guard: &Guard) -> bool {
    guard.step(1);
    match (slot, expected) {
        (Slot::Null, Value::Null) => true,
        (Slot::Bool(left), Value::Bool(right)) => left == right,
        (Slot::Str(left), Value::String(right)) => {
            left.len() == right.len() && {
                guard.step((left.len() / STRING_STEP) as u64);
                *left == right
            }
        }
        (Slot::Int(int), Value::Number(right)) => equal_numbers(Number::Int(*int), right, guard),
        (Slot::Float(float), Value::Number(right)) => {
            equal_numbers(Number::Float(*float), right, guard)
        }
        (Slot::Text(text), Value::Number(right)) => equal_numbers(Number::Text(text), right, guard),
        (Slot::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| equals_value(left, right, guard))
        }
        (Slot::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|member| {
                    right
                        .get(member.key)
                        .is_some_and(|value| equals_value(&member.value, value, guard))
                })
        }
        _ => false,
    }
}

/// The exact comparison is slow, and needed only between numbers with the same nearest float.
pub fn equal_numbers(left: Number<'_>, right: &serde_json::Number, guard: &Guard) -> bool {
    if let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) {
        if left != right {
            return false;
        }
    }
    guard.step(EXACT_STEPS);
    cmp::equal_numbers(&left, right)
}

pub fn find<'a>(members: &'a [Member<'a>], key: &str) -> Option<&'a Slot<'a>> {
    let member = if members.len() <= SCANNED_MEMBERS {
        members.iter().find(|member| member.key == key)?
    } else {
        &members[members
            .binary_search_by(|member| member.key.cmp(key))
            .ok()?]
    };
    Some(&member.value)
}

pub struct MembersIter<'a> {
    members: std::slice::Iter<'a, Member<'a>>,
    guard: &'a Guard,
}

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, Node<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let member = self.members.next()?;
        self.guard.text(member.key.len());
        Some((
            member.key,
            Node {
                slot: &member.value,
                guard: self.guard,
            },
        ))
    }
}

impl<'a> json::Object<'a, Tree> for Members<'a> {
    type Node = Node<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    #[inline]
    fn len(&self) -> usize {
        self.members.len()
    }

    #[inline]
    fn get(&self, key: &Box<str>) -> Option<Node<'a>> {
        self.guard.step(1);
        find(self.members, key).map(|slot| Node {
            slot,
            guard: self.guard,
        })
    }

    #[inline]
    fn members(&self) -> MembersIter<'a> {
        MembersIter {
            members: self.members.iter(),
            guard: self.guard,
        }
    }
}

pub struct ItemsIter<'a> {
    items: std::slice::Iter<'a, Slot<'a>>,
    guard: &'a Guard,
}

impl<'a> Iterator for ItemsIter<'a> {
    type Item = Node<'a>;

    #[inline]
    fn next(&mut self) -> Option<Node<'a>> {
        let slot = self.items.next()?;
        self.guard.step(1);
        Some(Node {
            slot,
            guard: self.guard,
        })
    }
}

impl<'a> json::Array<'a, Tree> for Items<'a> {
    type Node = Node<'a>;
    type ElementsIter = ItemsIter<'a>;

    #[inline]
    fn len(&self) -> usize {
        self.items.len()
    }

    #[inline]
    fn elements(&self) -> ItemsIter<'a> {
        ItemsIter {
            items: self.items.iter(),
            guard: self.guard,
        }
    }

    fn is_unique(&self) -> bool {
        crate::unique::is_unique(self.items, self.guard)
    }
}
