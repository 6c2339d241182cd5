//! What the patterns of a schema may cost, told from their text before they are compiled.

use serde_json::Value;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    /// Positions in the largest pattern with its counted repetitions written out. A match takes
    /// at most that many operations for each byte.
    pub size: u64,
    /// Whether one has look-around, a back-reference or the like, for which the engine
    /// backtracks.
    pub backtrack: bool,
}

impl Patterns {
    /// Of all that might be patterns in `document`.
    pub fn of(document: &Value) -> Self {
        let mut found = Patterns::default();
        let mut pending = vec![document];
        while let Some(value) = pending.pop() {
            match value {
                Value::Array(items) => pending.extend(items),
                Value::Object(fields) => {
                    if let Some(pattern) = fields.get("pattern").and_then(Value::as_str) {
                        found.add(pattern);
                    }
                    let by_name = fields.get("patternProperties").and_then(Value::as_object);
                    for pattern in by_name.into_iter().flat_map(|by_name| by_name.keys()) {
                        found.add(pattern);
                    }
                    pending.extend(fields.values());
                }
                _ => {}
            }
        }
        found
    }

    pub fn join(self, other: Self) -> Self {
        Patterns {
            size: self.size.max(other.size),
            backtrack: self.backtrack || other.backtrack,
        }
    }

    fn add(&mut self, pattern: &str) {
        *self = self.join(Patterns {
            size: size(pattern),
            backtrack: backtracks(pattern),
        });
    }
}

fn backtracks(pattern: &str) -> bool {
    let bytes = pattern.as_bytes();
    bytes
        .windows(3)
        .any(|three| three[..2] == *b"(?" && three[2] != b':')
        || bytes.windows(2).any(|two| {
            // Of a pair of backslashes the second may be taken for an escape's first: too many
            // patterns are then held for slow, never too few.
            matches!(two, [b'\\', b'1'..=b'9' | b'k' | b'K' | b'G'])
                || matches!(two, [b'+' | b'*' | b'?', b'+'])
        })
        || bytes
            .windows(3)
            .any(|three| matches!(three, [b'0'..=b'9' | b',', b'}', b'+']))
}

/// An upper bound of a Unicode class; ECMA's own classes are ASCII.
const UNICODE_CLASS: u64 = 256;

fn size(pattern: &str) -> u64 {
    let mut rest = pattern.as_bytes();
    // The sizes of the groups around, and of what of this one is behind its last atom.
    let mut groups: Vec<u64> = Vec::new();
    let (mut group, mut atom) = (0u64, 0u64);
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'{' => {
                let counts = rest.split(|byte| *byte == b'}').next().unwrap_or_default();
                let most = counts
                    .split(|byte| *byte == b',')
                    .filter_map(|count| std::str::from_utf8(count).ok()?.parse::<u64>().ok())
                    .max();
                atom = atom.saturating_mul(most.unwrap_or(1).max(1));
                if most.is_some() {
                    rest = rest.get(counts.len() + 1..).unwrap_or_default();
                }
                continue;
            }
            b'(' => {
                groups.push(group.saturating_add(atom));
                (group, atom) = (0, 0);
                continue;
            }
            b')' => {
                atom = group.saturating_add(atom);
                group = groups.pop().unwrap_or(0);
                continue;
            }
            _ => {}
        }
        group = group.saturating_add(atom);
        atom = 1;
        match byte {
            b'[' => {
                let mut escaped = false;
                while let [byte, after @ ..] = rest {
                    rest = after;
                    if escaped && matches!(byte, b'p' | b'P') {
                        atom += UNICODE_CLASS;
                    }
                    if *byte == b']' && !escaped {
                        break;
                    }
                    escaped = *byte == b'\\' && !escaped;
                }
            }
            b'\\' => {
                if let [byte, after @ ..] = rest {
                    rest = after;
                    if matches!(byte, b'p' | b'P') {
                        atom = UNICODE_CLASS;
                        let name = rest.iter().position(|byte| *byte == b'}');
                        rest = rest
                            .get(name.map_or(0, |end| end + 1)..)
                            .unwrap_or_default();
                    }
                }
            }
            _ => {}
        }
    }
    groups
        .into_iter()
        .fold(group.saturating_add(atom), u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (pattern, expected) in [
            ("", 0),
            ("abc", 3),
            ("^[0-9a-f]{8}-[0-9a-f]{4}$", 15),
            ("(ab){3}", 6),
            ("((a{1,100}){1,100}){2,100}", 1_000_000),
            ("[\\]a]{5}", 5),
            ("a{3,}", 3),
            ("\\p{L}{2}", 2 * UNICODE_CLASS),
            ("(((((", 0),
            ("a{99999999999999999999}", 22),
        ] {
            assert_eq!(size(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn which_backtrack() {
        for pattern in ["(?=a)b", "(?!a)", "(?<=a)b", "(a)\\1", "a++b", "(?>a)"] {
            assert!(backtracks(pattern), "{pattern}");
        }
        for pattern in ["^(?:a|b)+$", "^\\d{4}$", "(a+)+$", "\\p{L}+", "a+b?"] {
            assert!(!backtracks(pattern), "{pattern}");
        }
    }
}
