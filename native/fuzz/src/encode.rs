//! Values to text.

use std::mem::MaybeUninit;

use arbitrary::Arbitrary;
use json_core::write::{Buffer, Escape, Heap, InvalidUtf8};
use json_core::Limits;
use num_bigint::BigUint;

use crate::tape::{parse, Event};

/// What is written one after the other.
#[derive(Arbitrary, Debug)]
pub struct Script {
    /// The size of the block that the text begins in.
    block: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    String(Vec<u8>),
    Escaping(Vec<u8>, bool, bool),
    Text(String, bool, bool),
    /// The same byte again and again, with another in its midst: long runs are rare else.
    Run(u8, u8, u8, u8),
    /// The same bytes again and again, escaped beyond need or not.
    Repeated(Vec<u8>, u8, bool),
    Integer(i64),
    Unsigned(u64),
    BigInteger(bool, Vec<u64>),
    Bits(u64),
    /// Digits and a power of ten: what people write.
    Decimal(i64, i8),
    Bytes(Vec<u8>),
    Byte(u8),
    Spaces(u8),
    Settle,
}

pub fn encode(script: &Script) {
    // On the heap, so that the sanitizer guards its ends.
    let mut block = vec![MaybeUninit::uninit(); usize::from(script.block)].into_boxed_slice();
    // SAFETY: the block outlives the buffer, and nothing else uses it.
    let mut buffer = unsafe { Buffer::beginning_in(&mut block, Heap::default()) };
    let mut expected = Vec::new();
    for step in &script.steps {
        let start = buffer.len();
        let plain = Escape::default();
        let written = match step {
            Step::String(text) => string(&mut buffer, &mut expected, text, None),
            Step::Escaping(text, slash, non_ascii) => {
                let escape = Escape {
                    slash: *slash,
                    non_ascii: *non_ascii,
                };
                string(&mut buffer, &mut expected, text, Some(escape))
            }
            Step::Text(text, slash, non_ascii) => {
                let escape = Escape {
                    slash: *slash,
                    non_ascii: *non_ascii,
                };
                let escape = (escape != plain).then_some(escape);
                string(&mut buffer, &mut expected, text.as_bytes(), escape)
            }
            Step::Run(byte, length, other, at) => {
                let mut text = vec![*byte; usize::from(*length)];
                if let Some(place) = text.get_mut(usize::from(*at)) {
                    *place = *other;
                }
                string(&mut buffer, &mut expected, &text, None)
            }
            Step::Repeated(bytes, times, slash) => {
                let text = bytes.repeat(usize::from(*times) % 64);
                let escape = slash.then_some(Escape {
                    slash: true,
                    non_ascii: false,
                });
                string(&mut buffer, &mut expected, &text, escape)
            }
            Step::Integer(value) => {
                buffer.integer(*value);
                expected.extend_from_slice(value.to_string().as_bytes());
                Some(Event::Integer(*value))
            }
            Step::Unsigned(value) => {
                buffer.unsigned(*value);
                expected.extend_from_slice(value.to_string().as_bytes());
                None
            }
            Step::BigInteger(negative, limbs) => {
                big_integer(&mut buffer, &mut expected, *negative, limbs);
                None
            }
            Step::Bits(bits) => float(&mut buffer, &mut expected, f64::from_bits(*bits)),
            Step::Decimal(digits, exponent) => {
                let value = format!("{digits}e{exponent}").parse().expect("a number");
                float(&mut buffer, &mut expected, value)
            }
            Step::Bytes(bytes) => {
                buffer.extend(bytes);
                expected.extend_from_slice(bytes);
                None
            }
            Step::Byte(byte) => {
                buffer.byte(*byte);
                expected.push(*byte);
                None
            }
            Step::Spaces(count) => {
                buffer.spaces(usize::from(*count));
                expected.resize(expected.len() + usize::from(*count), b' ');
                None
            }
            Step::Settle => {
                buffer.settle();
                None
            }
        };
        if buffer.len() != expected.len() {
            // A string was refused, and what is written of it means nothing.
            return;
        }
        assert_eq!(buffer.bytes(), expected);
        if let Some(event) = written {
            let tape = parse(&buffer.bytes()[start..], Limits::default());
            assert_eq!(tape.expect("was just written").0, [event]);
        }
    }
}

fn string(
    buffer: &mut Buffer<Heap>,
    expected: &mut Vec<u8>,
    text: &[u8],
    escape: Option<Escape>,
) -> Option<Event> {
    let start = buffer.len();
    let written = match escape {
        None => buffer.string(text),
        Some(escape) => buffer.string_escaping(text, escape),
    };
    match std::str::from_utf8(text) {
        Ok(text) => {
            assert_eq!(written, Ok(()));
            let read = serde_json::from_slice::<String>(&buffer.bytes()[start..]);
            assert_eq!(read.expect("was just written"), text);
            naive(expected, text, escape.unwrap_or_default());
            Some(Event::String(text.as_bytes().to_vec()))
        }
        Err(error) => {
            assert_eq!(written, Err(first_wrong(text, error.valid_up_to())));
            // Makes the lengths differ.
            expected.resize(buffer.len() + 1, 0);
            None
        }
    }
}

fn naive(out: &mut Vec<u8>, text: &str, escape: Escape) {
    out.push(b'"');
    for character in text.chars() {
        let short = match character {
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{c}' => 'f',
            '\r' => 'r',
            '"' | '\\' => character,
            '/' if escape.slash => '/',
            ' '..='\u{7f}' => {
                out.push(character as u8);
                continue;
            }
            '\u{80}'.. if !escape.non_ascii => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
                }
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short as u8]);
    }
    out.push(b'"');
}

/// The last byte of the shortest part that no character's rest could make valid.
fn first_wrong(text: &[u8], valid: usize) -> InvalidUtf8 {
    for end in valid + 1..=text.len() {
        let part = std::str::from_utf8(&text[valid..end]);
        if part.is_err_and(|error| error.error_len().is_some()) {
            let at = end - 1;
            return InvalidUtf8::Byte { byte: text[at], at };
        }
    }
    InvalidUtf8::End
}

fn big_integer(buffer: &mut Buffer<Heap>, expected: &mut Vec<u8>, negative: bool, limbs: &[u64]) {
    let bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    let value = BigUint::from_bytes_le(&bytes).to_string();
    if negative && value != "0" {
        expected.push(b'-');
    }
    expected.extend_from_slice(value.as_bytes());
    buffer.big_integer(negative, &mut limbs.to_vec());
}

/// In OTP's layout: the shorter of the plain and the scientific, from 2^53 on the latter.
fn float(buffer: &mut Buffer<Heap>, expected: &mut Vec<u8>, value: f64) -> Option<Event> {
    if !value.is_finite() {
        return None;
    }
    let start = buffer.len();
    buffer.float(value);
    let text = std::str::from_utf8(&buffer.bytes()[start..]).expect("ASCII");
    assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
    let mut shortest = format!("{value:e}");
    // Of two that are as short and as near, std takes the upper, OTP (by Ryu) the even one.
    let digits = shortest.bytes().take_while(|byte| *byte != b'e');
    let digits = digits.filter(u8::is_ascii_digit).count();
    let even = format!("{value:.*e}", digits - 1);
    if even.parse() == Ok(value) {
        shortest = even;
    }
    let (mantissa, exponent) = shortest.split_once('e').expect("an exponent");
    let mantissa = if mantissa.contains('.') {
        mantissa.to_string()
    } else {
        format!("{mantissa}.0")
    };
    let scientific = format!("{mantissa}e{exponent}");
    let plain = plain(&mantissa.replace(['-', '.'], ""), exponent.parse().unwrap());
    let plain = format!(
        "{}{plain}",
        if mantissa.starts_with('-') { "-" } else { "" }
    );
    let big = value.abs() >= 2f64.powi(53);
    let layout = if big || scientific.len() < plain.len() {
        scientific
    } else {
        plain
    };
    assert_eq!(text, layout);
    expected.extend_from_slice(layout.as_bytes());
    Some(Event::Float(value.to_bits()))
}

/// `D.DDD` times a power of ten, without an exponent.
fn plain(digits: &str, exponent: i32) -> String {
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    let point = exponent + 1;
    if point <= 0 {
        return format!("0.{}{digits}", "0".repeat(-point as usize));
    }
    let padded = format!("{digits:0<width$}", width = point as usize + 1);
    let (whole, fraction) = padded.split_at(point as usize);
    format!("{whole}.{fraction}")
}
