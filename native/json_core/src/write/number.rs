//! Numbers.

use super::buffer::{Buffer, Storage};

/// The longest: sign, 17 digits, point, `e-324`.
const FLOAT: usize = 32;
/// From here on a float has no fraction, and the plain layout would show digits it has not.
const WHOLE: f64 = 9_007_199_254_740_992.0;

impl<S: Storage> Buffer<S> {
    #[inline(always)]
    pub fn integer(&mut self, value: i64) {
        if let 0..=9 = value {
            return self.byte(b'0' + value as u8);
        }
        self.extend_short(itoa::Buffer::new().format(value).as_bytes());
    }

    #[inline(always)]
    pub fn unsigned(&mut self, value: u64) {
        self.extend_short(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A whole number of any size: its magnitude in 64-bit limbs, the least first, which are
    /// used up. The time is quadratic in their number.
    pub fn big_integer(&mut self, negative: bool, limbs: &mut [u64]) {
        const CHUNK: u64 = 1_000_000_000;
        const DIGITS: usize = 9;
        let mut chunks = Vec::with_capacity(limbs.len() * 15 / 7 + 1);
        let mut len = limbs.len();
        loop {
            while len > 0 && limbs[len - 1] == 0 {
                len -= 1;
            }
            if len == 0 {
                break;
            }
            let mut remainder = 0;
            for limb in limbs[..len].iter_mut().rev() {
                // By halves, so that the processor can divide.
                let high = remainder << 32 | *limb >> 32;
                let low = (high % CHUNK) << 32 | *limb & 0xFFFF_FFFF;
                *limb = ((high / CHUNK) << 32) | (low / CHUNK);
                remainder = low % CHUNK;
            }
            chunks.push(remainder);
        }
        if negative && !chunks.is_empty() {
            self.byte(b'-');
        }
        self.unsigned(chunks.pop().unwrap_or(0));
        while let Some(chunk) = chunks.pop() {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(chunk).as_bytes();
            self.extend(&[b'0'; DIGITS][digits.len()..]);
            self.extend(digits);
        }
    }

    /// The shortest text that reads back as `value`, which must be finite, in the layout of
    /// `float_to_binary(F, [short])`.
    #[inline(always)]
    pub fn float(&mut self, value: f64) {
        let size = value.abs();
        if size < WHOLE && (size as u64) as f64 == size {
            return self.whole(value, size as u64);
        }
        let mut shortest = zmij::Buffer::new();
        let shortest = shortest.format_finite(value).as_bytes();
        // Here both layouts are digits, point, digits.
        if (0.1..WHOLE).contains(&size) {
            return self.extend_short(shortest);
        }
        let mut block = [0; FLOAT];
        let (digits, point) = digits_of(shortest, &mut block);
        self.laid_out(value, digits, point);
    }

    /// A float that is a whole number: of those below `WHOLE` all digits are significant.
    #[inline(always)]
    fn whole(&mut self, value: f64, size: u64) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(size).as_bytes();
        if !digits.ends_with(b"00") {
            if value.is_sign_negative() {
                self.byte(b'-');
            }
            self.extend_short(digits);
            return self.extend(b".0");
        }
        let zeros = digits.iter().rev().take_while(|digit| **digit == b'0');
        let significant = digits.len() - zeros.count();
        self.laid_out(value, &digits[..significant], digits.len() as i32);
    }

    /// The significant digits, `point` of them before the point or fewer than none, plain or
    /// with an exponent.
    #[inline(never)]
    fn laid_out(&mut self, value: f64, digits: &[u8], point: i32) {
        let count = digits.len() as i32;
        if value.is_sign_negative() {
            self.byte(b'-');
        }
        // The plain layout is taken when it is no longer than the scientific one.
        let mut exponent = itoa::Buffer::new();
        let exponent = exponent.format(point - 1).as_bytes();
        let scientific = exponent.len() as i32 + 1 + if count == 1 { 2 } else { 1 };
        if point <= 0 && 2 - point <= scientific {
            self.extend(b"0.");
            self.zeros(-point);
            self.extend(digits);
        } else if point > 0 && point - count + 2 <= scientific && value.abs() < WHOLE {
            self.extend(digits);
            self.zeros(point - count);
            self.extend(b".0");
        } else {
            self.byte(digits[0]);
            self.byte(b'.');
            self.extend(if count == 1 { b"0" } else { &digits[1..] });
            self.byte(b'e');
            self.extend(exponent);
        }
    }

    fn zeros(&mut self, count: i32) {
        for _ in 0..count {
            self.byte(b'0');
        }
    }
}

/// The significant digits of a printed float, and how many of them stand before the point
/// (fewer than none: zeros after it).
fn digits_of<'a>(text: &[u8], block: &'a mut [u8; FLOAT]) -> (&'a [u8], i32) {
    let mut count = 0;
    let mut point = None;
    let mut exponent = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'-' if count == 0 => {}
            b'.' => point = Some(count as i32),
            b'e' => {
                let (negative, digits) = match &text[at + 1..] {
                    [b'-', digits @ ..] => (true, digits),
                    [b'+', digits @ ..] => (false, digits),
                    digits => (false, digits),
                };
                for digit in digits {
                    exponent = exponent * 10 + i32::from(digit - b'0');
                }
                if negative {
                    exponent = -exponent;
                }
                break;
            }
            digit => {
                block[count] = *digit;
                count += 1;
            }
        }
    }
    let mut point = point.unwrap_or(count as i32) + exponent;
    let digits = &block[..count];
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    point -= zeros as i32;
    let digits = &digits[zeros..];
    let end = digits
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(0, |last| last + 1);
    (&digits[..end], point)
}

#[cfg(test)]
mod tests {
    use super::super::Heap;
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Buffer<Heap>)) -> String {
        let mut buffer = Buffer::new(Heap::default());
        write(&mut buffer);
        String::from_utf8(buffer.bytes().to_vec()).unwrap()
    }

    #[test]
    fn floats_as_the_vm_prints_them() {
        for expected in [
            "0.0",
            "-0.0",
            "1.0",
            "-1.0",
            "10.0",
            "100.0",
            "1.0e3",
            "1.2e3",
            "1.0e10",
            "1.2e4",
            "120.0",
            "0.1",
            "0.01",
            "0.001",
            "0.0001",
            "1.0e-5",
            "0.0015",
            "1.5e-4",
            "0.12345",
            "123.456",
            "3.141592653589793",
            "9007199254740991.0",
            "9.007199254740992e15",
            "1.0e22",
            "1.7976931348623157e308",
            "5.0e-324",
            "2.2250738585072014e-308",
            "123456789.0",
            "1234567890120.0",
            "1234567890123456.0",
            "0.30000000000000004",
            "-1.5e300",
            "4503599627370495.5",
        ] {
            let value: f64 = expected.parse().unwrap();
            assert_eq!(text(|buffer| buffer.float(value)), expected);
        }
    }

    #[test]
    fn integers_at_the_edges() {
        let powers = (0..19).map(|digits| 10i64.pow(digits));
        for power in powers.chain([i64::MAX, i64::MIN, 0]) {
            for value in [power, power.wrapping_sub(1), power.wrapping_neg()] {
                assert_eq!(text(|buffer| buffer.integer(value)), value.to_string());
            }
        }
        assert_eq!(
            text(|buffer| buffer.unsigned(u64::MAX)),
            u64::MAX.to_string()
        );
    }

    proptest! {
        #[test]
        fn floats_read_back(bits in any::<u64>(), whole in any::<i64>(), scale in 0..18u32) {
            for value in [f64::from_bits(bits), whole as f64 / 10f64.powi(scale as i32)] {
                if value.is_finite() {
                    let text = text(|buffer| buffer.float(value));
                    prop_assert!(text.contains('.'));
                    prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
                    prop_assert!(serde_json::from_str::<f64>(&text).is_ok());
                }
            }
        }

        #[test]
        fn big_integers_as_the_hardware_prints_them(low in any::<u64>(), high in any::<u64>(), negative: bool) {
            let expected = (u128::from(high) << 64 | u128::from(low)).to_string();
            let sign = if negative && expected != "0" { "-" } else { "" };
            let written = text(|buffer| buffer.big_integer(negative, &mut [low, high, 0]));
            prop_assert_eq!(written, format!("{sign}{expected}"));
        }
    }
}
