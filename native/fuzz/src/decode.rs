//! Texts to values.

use std::mem::MaybeUninit;

use json_core::write::{Buffer, Heap};
use json_core::{
    line_and_column, Error, Extent, Framing, Interner, Limits, Parser, Reason, Splitter, Stop, Word,
};
use num_bigint::BigUint;

use crate::oracle::{judge, Verdict};
use crate::tape::{depth, digits, elements, member, members, parse, Event, Tape};

/// Big integers are quadratic, and the children of a value are each looked up from its start.
const MANY: usize = 16;

pub fn decode(input: &[u8]) {
    let ours = parse(input, Limits::default());
    match judge(input) {
        Verdict::Unknown => {}
        Verdict::Refused => assert!(ours.is_err(), "accepted what serde_json refuses"),
        Verdict::Accepted { overflow: true, .. } => {
            let error = ours
                .as_ref()
                .expect_err("accepted a number beyond the doubles");
            assert!(matches!(error.reason, Reason::UnexpectedSequence(_)));
        }
        Verdict::Accepted { events, .. } => {
            assert_eq!(ours.as_ref().expect("serde_json accepts it").0, events);
        }
    }
    skips_as_it_reads(input, &ours);
    match &ours {
        Ok(tape) => {
            limits_hold(input, &tape.0);
            finds_children(input, &tape.0);
            reads_what_it_writes(tape);
            one_document(input);
            words(&tape.0);
            big_integers(&tape.0);
        }
        Err(error) => {
            error_points_at(input, error);
            finds_the_error(input, error);
        }
    }
}

fn skips_as_it_reads(input: &[u8], ours: &Result<Tape, Error>) {
    let mut parser = Parser::new(input, Limits::default());
    let skipped = parser.skip_value().and_then(|extent| {
        let at = parser.offset();
        parser.end().map(|()| (extent, at))
    });
    match (skipped, ours) {
        (Ok((extent, at)), Ok(tape)) => {
            assert_eq!(extent.end, at);
            assert!(is_space(&input[..extent.start]) && is_space(&input[extent.end..]));
            let alone = parse(&input[extent], Limits::default());
            assert_eq!(alone.as_ref(), Ok(tape));
        }
        (Err(Stop), Err(error)) => assert_eq!(parser.error(), *error),
        (skipped, _) => panic!("skipped: {skipped:?}, read: {ours:?}"),
    }
}

fn is_space(text: &[u8]) -> bool {
    text.iter().all(|byte| b" \t\r\n".contains(byte))
}

/// What was read up to the error could have gone on, and the error names what stands there.
fn error_points_at(input: &[u8], error: &Error) {
    let offset = error.offset;
    let before = &input[..offset];
    match &error.reason {
        Reason::UnexpectedEnd => assert_eq!(offset, input.len()),
        Reason::InvalidByte(byte) => {
            assert_eq!(input.get(offset), Some(byte));
            match parse(before, Limits::default()) {
                Ok(_) => {}
                Err(shorter) => assert_eq!(shorter.reason, Reason::UnexpectedEnd),
            }
            if matches!(byte, 0x80..=0xbf) {
                // Nothing could follow that makes it the part of a character.
                let error = std::str::from_utf8(&input[..=offset]).unwrap_err();
                assert!(error.error_len().is_some());
            }
        }
        Reason::UnexpectedSequence(piece) => {
            // A float's exponent is named in OTP's own form.
            if piece.starts_with(b"\\") {
                assert!(input[offset..].starts_with(piece));
            } else {
                let value: f64 = std::str::from_utf8(piece).unwrap().parse().unwrap();
                assert!(value.is_infinite());
            }
        }
        reason => panic!("without limits: {reason:?}"),
    }
    let (line, column) = line_and_column(input, offset);
    let last = before.split(|&byte| byte == b'\n').next_back().unwrap();
    assert_eq!(line, before.split(|&byte| byte == b'\n').count());
    assert_eq!(column, last.len() + 1);
}

/// Who goes through the outermost container by hand meets the same error.
fn finds_the_error(input: &[u8], error: &Error) {
    // No key that is read is other than UTF-8. (Of any other the fuzzer makes a member.)
    let absent = b"\xff";
    let mut parser = Parser::new(input, Limits::default());
    let found = match parser.next_byte() {
        Some(b'[') => parser.find_element(u64::MAX),
        Some(b'{') => parser.find_member(absent),
        _ => return,
    };
    // Else the value is sound, and the error is what follows it.
    let end = found.and_then(|found| {
        assert!(!found);
        parser.end()
    });
    assert_eq!(end, Err(Stop));
    assert_eq!(parser.error(), *error);
}

fn limits_hold(input: &[u8], events: &[Event]) {
    let (depth, digits) = (depth(events), digits(events));
    let values = events
        .iter()
        .filter(|event| !matches!(event, Event::Key(_) | Event::EndArray | Event::EndObject));
    let values = values.count();
    let exact = Limits {
        depth,
        digits,
        // The most that a value counts for: a float of 800 digits.
        work: values * 2_401,
    };
    assert!(parse(input, exact).is_ok());
    let work = values - 1;
    let error = parse(input, Limits { work, ..exact }).unwrap_err();
    assert_eq!(error.reason, Reason::WorkLimit);
    if let Some(depth) = depth.checked_sub(1) {
        let error = parse(input, Limits { depth, ..exact }).unwrap_err();
        assert_eq!(error.reason, Reason::DepthLimit(depth));
        assert!(matches!(input[error.offset], b'[' | b'{'));
    }
    if let Some(digits) = digits.checked_sub(1) {
        let error = parse(input, Limits { digits, ..exact }).unwrap_err();
        assert_eq!(error.reason, Reason::DigitLimit(digits));
        assert!(matches!(input[error.offset], b'-' | b'1'..=b'9'));
    }
}

fn finds_children(input: &[u8], value: &[Event]) {
    let found = |find: &dyn Fn(&mut Parser) -> Result<bool, Stop>| {
        let mut parser = Parser::new(input, Limits::default());
        if !find(&mut parser).expect("the text is sound") {
            return None;
        }
        let mut tape = Tape::default();
        parser.value(&mut tape).expect("the text is sound");
        Some(tape.0)
    };
    let by_key = |key: &[u8]| found(&|parser| parser.find_member(key));
    let by_index = |index: u64| found(&|parser| parser.find_element(index));
    let elements = elements(value).unwrap_or_default();
    for (at, element) in elements.iter().enumerate().take(MANY) {
        assert_eq!(by_index(at as u64).as_deref(), Some(*element));
    }
    assert_eq!(by_index(elements.len() as u64), None);
    assert_eq!(by_index(u64::MAX), None);
    let members = members(value).unwrap_or_default();
    for (key, _) in members.iter().take(MANY) {
        // Of duplicates the first.
        assert_eq!(by_key(key).as_deref(), member(value, key));
        let longer = [key, &b"'"[..]].concat();
        assert_eq!(by_key(&longer).as_deref(), member(value, &longer));
    }
}

fn reads_what_it_writes(tape: &Tape) {
    let mut buffer = Buffer::new(Heap::default());
    let mut after_value = false;
    for event in &tape.0 {
        if after_value && !matches!(event, Event::EndArray | Event::EndObject) {
            buffer.byte(b',');
        }
        after_value = true;
        match event {
            Event::Null => buffer.extend(b"null"),
            Event::Boolean(true) => buffer.extend(b"true"),
            Event::Boolean(false) => buffer.extend(b"false"),
            Event::Integer(value) => buffer.integer(*value),
            Event::BigInteger(text) => buffer.extend(text),
            Event::Float(bits) => buffer.float(f64::from_bits(*bits)),
            Event::String(text) => buffer.string(text).expect("was read as UTF-8"),
            Event::Key(text) => {
                buffer.string(text).expect("was read as UTF-8");
                buffer.byte(b':');
                after_value = false;
            }
            Event::BeginArray | Event::BeginObject => {
                buffer.byte(if *event == Event::BeginArray {
                    b'['
                } else {
                    b'{'
                });
                after_value = false;
            }
            Event::EndArray => buffer.byte(b']'),
            Event::EndObject => buffer.byte(b'}'),
        }
    }
    assert_eq!(parse(buffer.bytes(), Limits::default()).as_ref(), Ok(tape));
}

/// A sound text is one document of a stream.
fn one_document(input: &[u8]) {
    let mut splitter = Splitter::new(Framing::Concatenated);
    let Extent { start, end, .. } = splitter.next(input, 0).expect("there is a value");
    assert!(is_space(&input[..start]) && is_space(&input[end..]));
    assert_eq!(splitter.next(input, end), None);
}

fn words(events: &[Event]) {
    let mut place = MaybeUninit::uninit();
    let interner = Interner::init(&mut place);
    for event in events {
        if let Event::Key(text) | Event::String(text) = event {
            let word = Word::new(text);
            if let Some((seen, kept)) = interner.get(&word) {
                assert_eq!((seen, kept.bytes), (text.as_slice(), text.as_slice()));
            }
            interner.insert(word, text.as_slice());
        }
    }
}

fn big_integers(events: &[Event]) {
    for event in events.iter().take(MANY) {
        if let Event::BigInteger(text) = event {
            let digits = text.strip_prefix(b"-").unwrap_or(text);
            let value = BigUint::parse_bytes(digits, 10).expect("digits");
            let mut limbs: Vec<u64> = value.to_u64_digits();
            let mut buffer = Buffer::new(Heap::default());
            buffer.big_integer(text[0] == b'-', &mut limbs);
            assert_eq!(buffer.bytes(), text);
        }
    }
}
