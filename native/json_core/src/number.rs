//! Numbers: one pass finds the end and the value.

use crate::scan;

#[derive(Debug, PartialEq)]
pub enum Number {
    Integer(i64),
    /// Does not fit 64 bits: sign and digits as written.
    BigInteger,
    Float(f64),
    /// Well-formed, but no finite double.
    Overflow,
}

#[derive(Debug, PartialEq)]
pub enum Malformed {
    /// Something else should stand at this offset; at the end of the text, more is missing.
    At(usize),
}

/// Powers of ten that are exact as doubles.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Reads the number at `start`, where a digit or `-` stands; also gives its end.
#[inline(always)]
pub fn parse(text: &[u8], start: usize) -> Result<(Number, usize), Malformed> {
    let negative = text[start] == b'-';
    let first = start + usize::from(negative);
    let mut at = first;
    let mut mantissa = 0u64;
    match text.get(at) {
        Some(b'0') => at += 1,
        Some(b'1'..=b'9') => at = digits(text, at, &mut mantissa),
        _ => return Err(Malformed::At(at)),
    }
    let integer_end = at;
    if !matches!(text.get(at), Some(b'.' | b'e' | b'E')) {
        let number = match integer_end - first {
            // 10^18 - 1 is less than 2^63.
            0..=18 => Number::Integer(if negative {
                -(mantissa as i64)
            } else {
                mantissa as i64
            }),
            19 => match i64::try_from(i128::from(mantissa) * if negative { -1 } else { 1 }) {
                Ok(value) => Number::Integer(value),
                Err(_) => Number::BigInteger,
            },
            _ => Number::BigInteger,
        };
        return Ok((number, at));
    }
    let mut exponent = 0i64;
    if text[at] == b'.' {
        let fraction = at + 1;
        at = digits(text, fraction, &mut mantissa);
        if at == fraction {
            return Err(Malformed::At(at));
        }
        exponent = -((at - fraction) as i64);
    }
    let mantissa_digits = at - first - usize::from(at != integer_end);
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        let negative_exponent = text.get(at) == Some(&b'-');
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        let digits_start = at;
        let mut written = 0i64;
        while let Some(digit @ b'0'..=b'9') = text.get(at) {
            written = written
                .saturating_mul(10)
                .saturating_add(i64::from(digit - b'0'));
            at += 1;
        }
        if at == digits_start {
            return Err(Malformed::At(at));
        }
        exponent = exponent.saturating_add(if negative_exponent { -written } else { written });
    }
    // Clinger's fast path: both factors are exact, so one rounding gives the nearest double.
    let exact = mantissa_digits <= 19 && mantissa <= 1 << 53 && (-22..=22).contains(&exponent);
    let value = if exact {
        let power = EXACT_POWERS[exponent.unsigned_abs() as usize];
        let magnitude = mantissa as f64;
        let value = if exponent < 0 {
            magnitude / power
        } else {
            magnitude * power
        };
        if negative {
            -value
        } else {
            value
        }
    } else {
        match fast_float2::parse::<f64, _>(&text[start..at]) {
            Ok(value) => value,
            Err(_) => return Err(Malformed::At(start)),
        }
    };
    let number = if value.is_finite() {
        Number::Float(value)
    } else {
        Number::Overflow
    };
    Ok((number, at))
}

/// Adds the digits from `at` to `value` (which wraps beyond 19 of them); gives their end.
#[inline(always)]
fn digits(text: &[u8], mut at: usize, value: &mut u64) -> usize {
    while let Some(eight) = text.get(at..at + 8) {
        let word = u64::from_le_bytes([
            eight[0], eight[1], eight[2], eight[3], eight[4], eight[5], eight[6], eight[7],
        ]);
        if !scan::all_digits(word) {
            break;
        }
        *value = value
            .wrapping_mul(100_000_000)
            .wrapping_add(scan::eight_digits(word));
        at += 8;
    }
    while let Some(digit @ b'0'..=b'9') = text.get(at) {
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Number {
        let (number, end) = parse(text.as_bytes(), 0).unwrap();
        assert_eq!(end, text.len());
        number
    }

    #[test]
    fn integers_at_the_edges() {
        assert_eq!(whole("0"), Number::Integer(0));
        assert_eq!(whole("-0"), Number::Integer(0));
        assert_eq!(
            whole("999999999999999999"),
            Number::Integer(999_999_999_999_999_999)
        );
        assert_eq!(whole("9223372036854775807"), Number::Integer(i64::MAX));
        assert_eq!(whole("-9223372036854775808"), Number::Integer(i64::MIN));
        assert_eq!(whole("9223372036854775808"), Number::BigInteger);
        assert_eq!(whole("-9223372036854775809"), Number::BigInteger);
        assert_eq!(whole("9999999999999999999"), Number::BigInteger);
        assert_eq!(whole("18446744073709551617"), Number::BigInteger);
    }

    #[test]
    fn floats_at_the_edges() {
        assert_eq!(whole("1e400"), Number::Overflow);
        assert_eq!(whole("-1e400"), Number::Overflow);
        assert_eq!(whole("1e-400"), Number::Float(0.0));
        assert_eq!(whole("5e-324"), Number::Float(5e-324));
        assert_eq!(whole("1.7976931348623157e308"), Number::Float(f64::MAX));
        assert_eq!(whole("1e99999999999999999999"), Number::Overflow);
        assert_eq!(whole("0e99999999999999999999"), Number::Float(0.0));
        let Number::Float(zero) = whole("-0.0") else {
            panic!()
        };
        assert!(zero == 0.0 && zero.is_sign_negative());
    }

    #[test]
    fn malformed_says_where() {
        for (text, at) in [
            ("-", 1),
            ("1.", 2),
            ("1.e3", 2),
            ("1e", 2),
            ("1e+", 3),
            ("-x", 1),
        ] {
            assert_eq!(parse(text.as_bytes(), 0), Err(Malformed::At(at)), "{text}");
        }
        assert_eq!(parse(b"01", 0), Ok((Number::Integer(0), 1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn floats_are_the_nearest_double(text in "-?(0|[1-9][0-9]{0,25})\\.[0-9]{1,25}([eE][+-]?[0-9]{1,3})?") {
            let expected: f64 = text.parse().unwrap();
            match whole(&text) {
                Number::Float(value) => prop_assert_eq!(value.to_bits(), expected.to_bits()),
                other => prop_assert!(other == Number::Overflow && expected.is_infinite()),
            }
        }

        #[test]
        fn integers_are_exact(value: i64) {
            prop_assert_eq!(whole(&value.to_string()), Number::Integer(value));
        }

        #[test]
        fn every_double_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            if value.is_finite() {
                let Number::Float(read) = whole(&format!("{value:e}")) else {
                    // Shortest forms without a point or exponent are integers.
                    return Ok(());
                };
                prop_assert_eq!(read.to_bits(), bits);
            }
        }
    }
}
