//! The bytes of a value and back: the only place that names bincode. The format is bincode's
//! "standard": little endian, integers of variable length, lengths before what they count.
//! bincode is no longer maintained; `wincode` reads and writes the same bytes and would go here.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Appends `value`. Fails only for types of which bincode cannot know the length beforehand, of
/// which a snapshot has none.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> bool {
    bincode::serde::encode_into_std_write(value, out, bincode::config::standard()).is_ok()
}

/// The value at the start of `bytes` and what follows it. What is borrowed is never copied, and a
/// length that `bytes` does not hold reserves nothing.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Option<(T, &'de [u8])> {
    let (value, used) =
        bincode::serde::borrow_decode_from_slice(bytes, bincode::config::standard()).ok()?;
    Some((value, bytes.get(used..)?))
}

/// Bytes taken and given in one piece; serde would take `&[u8]` for a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> serde::de::Visitor<'de> for Borrowed {
            type Value = Bytes<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_bytes(Borrowed)
    }
}
