//! Numbers: scaled from what was recorded to what is exposed, and written.

use std::io::Write as _;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Integer(i64),
    Unsigned(u64),
    Float(f64),
}

impl Number {
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Integer(value) => value as f64,
            Number::Unsigned(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

/// What a recorded value is multiplied by to be exposed. A factor such as 1.0e-9 is the inverse of
/// a whole number and divided by that, so that 1,500 ns are 1.5e-6 seconds to the last digit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    One,
    Times(f64),
    By(f64),
}

impl Scale {
    /// `None` unless the factor is positive and finite.
    pub fn new(factor: f64) -> Option<Self> {
        if factor == 1.0 {
            return Some(Scale::One);
        }
        let inverse = (1.0 / factor).round();
        let is_inverse = factor < 1.0 && 1.0 / inverse == factor;
        (factor.is_finite() && factor > 0.0).then_some(if is_inverse {
            Scale::By(inverse)
        } else {
            Scale::Times(factor)
        })
    }

    #[inline]
    pub fn expose(self, recorded: f64) -> f64 {
        match self {
            Scale::One => recorded,
            Scale::Times(factor) => recorded * factor,
            Scale::By(inverse) => recorded / inverse,
        }
    }

    /// The factor itself.
    pub fn factor(self) -> f64 {
        self.expose(1.0)
    }

    #[inline]
    pub fn expose_number(self, recorded: Number) -> Number {
        match self {
            Scale::One => recorded,
            _ => Number::Float(self.expose(recorded.as_f64())),
        }
    }

    /// The greatest recorded value that is at most an exposed one: `None` where there is none.
    pub fn at_most(self, exposed: f64) -> Option<u64> {
        let recorded = match self {
            Scale::One => exposed,
            Scale::Times(factor) => exposed / factor,
            Scale::By(inverse) => exposed * inverse,
        };
        // 0.07 s are 70,000,000 ns, although the product is a hair off.
        let nearest = recorded.round();
        let is_whole = (recorded - nearest).abs() <= nearest.abs() * 1e-12;
        let floor = if is_whole { nearest } else { recorded.floor() };
        // Saturates.
        (floor >= 0.0).then_some(floor as u64)
    }
}

pub fn write(out: &mut Vec<u8>, number: Number) {
    match number {
        Number::Integer(value) => write_integer(out, value),
        Number::Unsigned(value) => write_integer(out, value),
        Number::Float(value) => write_float(out, value),
    }
}

pub fn write_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub fn write_float(out: &mut Vec<u8>, value: f64) {
    /// Whole numbers up to here are written with all their digits.
    const WHOLE: f64 = 1e15;
    if value.abs() < WHOLE && value == (value as i64) as f64 {
        return write_integer(out, value as i64);
    }
    if write_special(out, value) {
        return;
    }
    out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
}

/// A bound as the label `le` has it, which is compared as text: the canonical form of OpenMetrics,
/// which is Go's `%g` with the fewest digits, and `.0` where that has neither point nor exponent.
pub fn write_bound(out: &mut Vec<u8>, value: f64) {
    if write_special(out, value) {
        return;
    }
    // The shortest digits that read back, as d.ddde±x.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count() as i32;
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a vector cannot fail.
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
    } else if digits <= exponent + 1 {
        let _ = write!(out, "{value:.1}");
    } else {
        let _ = write!(out, "{value}");
    }
}

fn write_special(out: &mut Vec<u8>, value: f64) -> bool {
    let special: &[u8] = match value {
        f64::INFINITY => b"+Inf",
        f64::NEG_INFINITY => b"-Inf",
        _ if value.is_nan() => b"NaN",
        _ => return false,
    };
    out.extend_from_slice(special);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bounds_are_canonical() {
        let bounds = [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.000025, "2.5e-05"),
            (2.5, "2.5"),
            (10.0, "10.0"),
            (100000.0, "100000.0"),
            (123456.0, "123456.0"),
            (123456.5, "123456.5"),
            (1e6, "1e+06"),
            (1234567.0, "1.234567e+06"),
            (1e22, "1e+22"),
            (1e-10, "1e-10"),
            (1.5e300, "1.5e+300"),
            (-0.5, "-0.5"),
            (f64::INFINITY, "+Inf"),
        ];
        for (bound, expected) in bounds {
            assert_eq!(text(|out| write_bound(out, bound)), expected);
        }
    }

    #[test]
    fn values() {
        let values = [
            (Number::Integer(i64::MIN), "-9223372036854775808"),
            (Number::Unsigned(u64::MAX), "18446744073709551615"),
            (Number::Float(0.0), "0"),
            (Number::Float(-0.0), "0"),
            (Number::Float(3.0), "3"),
            (Number::Float(-3.0), "-3"),
            (Number::Float(0.25), "0.25"),
            (Number::Float(1e14), "100000000000000"),
            (Number::Float(f64::NAN), "NaN"),
            (Number::Float(f64::INFINITY), "+Inf"),
            (Number::Float(f64::NEG_INFINITY), "-Inf"),
        ];
        for (value, expected) in values {
            assert_eq!(text(|out| write(out, value)), expected);
        }
        for value in [1e300, 5e-324, f64::MAX, 1.0 / 3.0, 1e15, -1e16, 1.5e-6] {
            let written = text(|out| write(out, Number::Float(value)));
            assert_eq!(written.parse::<f64>(), Ok(value), "{written}");
        }
    }

    #[test]
    fn scales() {
        let seconds = Scale::new(1e-9).unwrap();
        assert_eq!(seconds, Scale::By(1e9));
        assert_eq!(seconds.expose(1500.0), 1.5e-6);
        assert_eq!(seconds.factor(), 1e-9);
        assert_eq!(Scale::new(1.0), Some(Scale::One));
        assert_eq!(Scale::new(1000.0), Some(Scale::Times(1000.0)));
        assert_eq!(Scale::new(0.3), Some(Scale::Times(0.3)));
        assert_eq!(Scale::new(5e-324), Some(Scale::Times(5e-324)));
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Scale::new(factor), None, "{factor}");
        }
        assert_eq!(
            Scale::One.expose_number(Number::Unsigned(7)),
            Number::Unsigned(7)
        );
        assert_eq!(
            seconds.expose_number(Number::Integer(-2_000_000_000)),
            Number::Float(-2.0)
        );
    }

    #[test]
    fn bounds_as_recorded() {
        let seconds = Scale::new(1e-9).unwrap();
        for milliseconds in 0..100_000 {
            let bound = milliseconds as f64 / 1000.0;
            assert_eq!(seconds.at_most(bound), Some(milliseconds * 1_000_000));
        }
        assert_eq!(Scale::One.at_most(2.9), Some(2));
        assert_eq!(Scale::One.at_most(-0.1), None);
        assert_eq!(Scale::Times(1000.0).at_most(2500.0), Some(2));
        assert_eq!(Scale::One.at_most(1e300), Some(u64::MAX));
        assert_eq!(Scale::Times(5e-324).at_most(1.0), Some(u64::MAX));
    }
}
