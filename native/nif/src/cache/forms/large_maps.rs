//! External forms that only a scheduler's thread may decode.
//!
//! To build a map of more than 128 pairs the VM sorts them, for which it takes a random number
//! from the scheduler, and where there is none it crashes (`erts_qsort` in OTP 25 and later).

const MOST_PAIRS: usize = 128;

/// Whether a map that is too large may be in an external form, which begins with its version.
pub fn needs_scheduler(external: &[u8]) -> bool {
    let mut rest = external.get(1..).unwrap_or(&[]);
    // Terms yet to come.
    let mut terms = 1_usize;
    while terms > 0 {
        terms -= 1;
        match next(&mut rest) {
            Some(parts) => terms = terms.saturating_add(parts),
            None => return true,
        }
    }
    false
}

/// Takes a term but for its parts off; how many they are. `None` where it is too large a map, is
/// unknown here, or is cut off.
fn next(rest: &mut &[u8]) -> Option<usize> {
    let (tag, mut bytes) = rest.split_first()?;
    let mut parts = 0;
    let length = match *tag {
        // Integers, the empty list, floats.
        97 => 1,
        98 => 4,
        106 => 0,
        70 => 8,
        // Atoms.
        100 | 118 => number(&mut bytes, 2)?,
        115 | 119 => number(&mut bytes, 1)?,
        // Strings, binaries, bitstrings, large integers.
        107 => number(&mut bytes, 2)?,
        109 => number(&mut bytes, 4)?,
        77 | 111 => number(&mut bytes, 4)?.checked_add(1)?,
        110 => number(&mut bytes, 1)? + 1,
        // Tuples, lists with what stands in place of their end, maps.
        104 => {
            parts = number(&mut bytes, 1)?;
            0
        }
        105 => {
            parts = number(&mut bytes, 4)?;
            0
        }
        108 => {
            parts = number(&mut bytes, 4)? + 1;
            0
        }
        116 => {
            let pairs = number(&mut bytes, 4)?;
            if pairs > MOST_PAIRS {
                return None;
            }
            parts = 2 * pairs;
            0
        }
        // Pids, ports and references: the node's name, then numbers.
        88 | 120 => after_name(&mut bytes, 12)?,
        89 => after_name(&mut bytes, 8)?,
        90 => {
            let numbers = number(&mut bytes, 2)?;
            after_name(&mut bytes, 4 + 4 * numbers)?
        }
        // Funs: what they are, then names, numbers, the process and what they enclose.
        112 => {
            let mut enclosed = bytes.get(25..)?;
            parts = number(&mut enclosed, 4)?.checked_add(4)?;
            29
        }
        113 => {
            parts = 3;
            0
        }
        _ => return None,
    };
    *rest = bytes.get(length..)?;
    Some(parts)
}

/// An unsigned number of so many bytes.
fn number(bytes: &mut &[u8], width: usize) -> Option<usize> {
    let (digits, rest) = bytes.split_at_checked(width)?;
    *bytes = rest;
    let shift = |sum: usize, digit: &u8| sum << 8 | usize::from(*digit);
    Some(digits.iter().fold(0, shift))
}

/// Takes the atom off that comes first; what follows it has so many bytes.
fn after_name(bytes: &mut &[u8], length: usize) -> Option<usize> {
    let is_atom = matches!(bytes.first()?, 100 | 115 | 118 | 119);
    is_atom.then(|| next(bytes))??;
    Some(length)
}
