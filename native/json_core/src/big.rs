//! Integers beyond 64 bits.

/// The magnitude of an integer written in decimal (a sign is passed over), as little-endian
/// bytes without leading zeroes at the end. Schoolbook, so quadratic in the digits: callers
/// limit these.
pub fn magnitude(text: &[u8]) -> Vec<u8> {
    const CHUNK: usize = 19; // the most digits that fit 64 bits
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let mut limbs: Vec<u64> = Vec::with_capacity(digits.len() / CHUNK + 1);
    let (head, rest) = digits.split_at(digits.len() % CHUNK);
    for chunk in std::iter::once(head).chain(rest.chunks(CHUNK)) {
        let value = chunk
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let mut carry = value;
        let factor = u128::from(10u64.pow(chunk.len() as u32));
        for limb in &mut limbs {
            let product = u128::from(*limb) * factor + u128::from(carry);
            *limb = product as u64;
            carry = (product >> 64) as u64;
        }
        if carry != 0 {
            limbs.push(carry);
        }
    }
    let mut bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_power_of_two() {
        // 2^128
        let mut expected = vec![0; 16];
        expected.push(1);
        assert_eq!(
            magnitude(b"340282366920938463463374607431768211456"),
            expected
        );
    }

    proptest! {
        #[test]
        fn agrees_with_u128(value: u128) {
            let mut expected = value.to_le_bytes().to_vec();
            while expected.last() == Some(&0) {
                expected.pop();
            }
            prop_assert_eq!(magnitude(value.to_string().as_bytes()), expected.clone());
            prop_assert_eq!(magnitude(format!("-{value}").as_bytes()), expected);
        }

        #[test]
        fn one_digit_more_is_ten_times(value in "[1-9][0-9]{30,300}", digit in 0u8..10) {
            let mut longer = magnitude(value.as_bytes());
            let mut carry = u16::from(digit);
            for byte in &mut longer {
                let product = u16::from(*byte) * 10 + carry;
                *byte = product as u8;
                carry = product >> 8;
            }
            if carry != 0 {
                longer.push(carry as u8);
            }
            prop_assert_eq!(magnitude(format!("{value}{digit}").as_bytes()), longer);
        }
    }
}
