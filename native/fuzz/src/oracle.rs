//! What `serde_json` makes of a text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::tape::Event;

/// `serde_json` recurses; with the address sanitizer's frames this many levels fit the stack.
const LEVELS: usize = 300;

/// How `serde_json` hands over a number as written: an object of one member of this name.
const NUMBER: &str = "$serde_json::private::Number";

pub enum Verdict {
    Refused,
    Accepted {
        events: Vec<Event>,
        /// A number is beyond the doubles. `serde_json` keeps its text; OTP, and so we, refuse it.
        overflow: bool,
    },
    /// Too deep for it, or an object that looks like a number of its own.
    Unknown,
}

pub fn judge(input: &[u8]) -> Verdict {
    let openings = input.iter().filter(|byte| matches!(byte, b'[' | b'{'));
    let named = input
        .windows(NUMBER.len())
        .any(|part| part == NUMBER.as_bytes());
    if named || openings.count() > LEVELS {
        return Verdict::Unknown;
    }
    let mut build = Build::default();
    let mut reader = serde_json::Deserializer::from_slice(input);
    reader.disable_recursion_limit();
    let read = Value(&mut build)
        .deserialize(&mut reader)
        .and_then(|()| reader.end());
    match read {
        _ if build.ambiguous => Verdict::Unknown,
        Err(_) => Verdict::Refused,
        Ok(()) => Verdict::Accepted {
            events: build.events,
            overflow: build.overflow,
        },
    }
}

#[derive(Default)]
struct Build {
    events: Vec<Event>,
    overflow: bool,
    ambiguous: bool,
}

impl Build {
    fn number(&mut self, text: &str) {
        let event = if text.contains(['.', 'e', 'E']) {
            let value: f64 = text.parse().expect("a number");
            self.overflow |= value.is_infinite();
            Event::Float(value.to_bits())
        } else {
            match text.parse() {
                Ok(value) => Event::Integer(value),
                Err(_) => Event::BigInteger(text.as_bytes().to_vec()),
            }
        };
        self.events.push(event);
    }
}

struct Value<'a>(&'a mut Build);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.events.push(Event::Null);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.events.push(Event::Boolean(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.number(&value.to_string());
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0.number(&value.to_string());
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.events.push(Event::String(text.as_bytes().to_vec()));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        self.0.events.push(Event::BeginArray);
        while array.next_element_seed(Value(self.0))?.is_some() {}
        self.0.events.push(Event::EndArray);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut key = object.next_key::<String>()?;
        if key.as_deref() == Some(NUMBER) {
            match object.next_value::<String>() {
                Ok(text)
                    if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) =>
                {
                    self.0.number(&text);
                    return Ok(());
                }
                _ => {
                    self.0.ambiguous = true;
                    return Err(A::Error::custom("ambiguous"));
                }
            }
        }
        self.0.events.push(Event::BeginObject);
        while let Some(name) = key {
            self.0.events.push(Event::Key(name.into_bytes()));
            object.next_value_seed(Value(self.0))?;
            key = object.next_key()?;
        }
        self.0.events.push(Event::EndObject);
        Ok(())
    }
}
