//! A value as the flat list of its events: compared, built and dropped without recursion.

use json_core::{Error, Limits, Parser, Sink, Stop, Text};

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Null,
    Boolean(bool),
    Integer(i64),
    /// Outside 64 bits, as written.
    BigInteger(Vec<u8>),
    /// The bits, so that 0.0 and -0.0 differ.
    Float(u64),
    String(Vec<u8>),
    Key(Vec<u8>),
    BeginArray,
    EndArray,
    BeginObject,
    EndObject,
}

#[derive(Debug, Default, PartialEq)]
pub struct Tape(pub Vec<Event>);

impl Sink for Tape {
    fn null(&mut self) {
        self.0.push(Event::Null);
    }
    fn boolean(&mut self, value: bool) {
        self.0.push(Event::Boolean(value));
    }
    fn integer(&mut self, value: i64) {
        self.0.push(Event::Integer(value));
    }
    fn big_integer(&mut self, text: &[u8]) -> Result<(), Stop> {
        self.0.push(Event::BigInteger(text.to_vec()));
        Ok(())
    }
    fn float(&mut self, value: f64) {
        self.0.push(Event::Float(value.to_bits()));
    }
    fn string(&mut self, text: Text) {
        self.0.push(Event::String(text.bytes().to_vec()));
    }
    fn begin_array(&mut self) {
        self.0.push(Event::BeginArray);
    }
    fn end_array(&mut self) -> Result<(), Stop> {
        self.0.push(Event::EndArray);
        Ok(())
    }
    fn begin_object(&mut self) {
        self.0.push(Event::BeginObject);
    }
    fn key(&mut self, text: Text) -> Result<(), Stop> {
        self.0.push(Event::Key(text.bytes().to_vec()));
        Ok(())
    }
    fn end_object(&mut self) -> Result<(), Stop> {
        self.0.push(Event::EndObject);
        Ok(())
    }
}

/// A whole text: one value and white space.
pub fn parse(input: &[u8], limits: Limits) -> Result<Tape, Error> {
    let mut tape = Tape::default();
    let mut parser = Parser::new(input, limits);
    match parser.value(&mut tape).and_then(|()| parser.end()) {
        Ok(()) => Ok(tape),
        Err(Stop) => Err(parser.error()),
    }
}

/// The most containers open at once.
pub fn depth(events: &[Event]) -> usize {
    let (mut open, mut most) = (0, 0);
    for event in events {
        match event {
            Event::BeginArray | Event::BeginObject => open += 1,
            Event::EndArray | Event::EndObject => open -= 1,
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// The digits of the longest integer outside 64 bits, or 0.
pub fn digits(events: &[Event]) -> usize {
    let lengths = events.iter().map(|event| match event {
        Event::BigInteger(text) => text.iter().filter(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    });
    lengths.max().unwrap_or(0)
}

/// How many events the value that begins here has.
fn length(events: &[Event]) -> usize {
    let mut open = 0usize;
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::BeginArray | Event::BeginObject => open += 1,
            Event::EndArray | Event::EndObject => open -= 1,
            _ => {}
        }
        if open == 0 && !matches!(event, Event::Key(_)) {
            return at + 1;
        }
    }
    panic!("no whole value: {events:?}");
}

/// The elements of an array, or `None` for another value.
pub fn elements(value: &[Event]) -> Option<Vec<&[Event]>> {
    let (Event::BeginArray, mut rest) = value.split_first()? else {
        return None;
    };
    let mut elements = Vec::new();
    while rest[0] != Event::EndArray {
        let (element, more) = rest.split_at(length(rest));
        elements.push(element);
        rest = more;
    }
    Some(elements)
}

/// The members of an object in their order, or `None` for another value.
pub fn members(value: &[Event]) -> Option<Vec<(&[u8], &[Event])>> {
    let (Event::BeginObject, mut rest) = value.split_first()? else {
        return None;
    };
    let mut members = Vec::new();
    while let (Event::Key(key), value) = rest.split_first()? {
        let (value, more) = value.split_at(length(value));
        members.push((key.as_slice(), value));
        rest = more;
    }
    Some(members)
}

/// An object's first member of this name.
pub fn member<'a>(value: &'a [Event], key: &[u8]) -> Option<&'a [Event]> {
    let mut members = members(value)?.into_iter();
    members
        .find(|(other, _)| *other == key)
        .map(|found| found.1)
}
