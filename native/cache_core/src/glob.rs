//! Patterns for keys: `*` stands for any bytes, `?` for one.

/// A pattern, split at its stars. Matching takes at most the product of the lengths of key and
/// pattern, since each part is sought once, from the left.
pub struct Glob {
    parts: Vec<Box<[u8]>>,
}

/// Longer patterns are refused.
const LONGEST: usize = 256;

impl Glob {
    pub fn new(pattern: &[u8]) -> Option<Self> {
        let parts = pattern.split(|byte| *byte == b'*').map(Into::into);
        (pattern.len() <= LONGEST).then(|| Glob {
            parts: parts.collect(),
        })
    }

    pub fn matches(&self, key: &[u8]) -> bool {
        let (first, rest) = self
            .parts
            .split_first()
            .expect("a split gives one part at least");
        let Some((last, middle)) = rest.split_last() else {
            return first.len() == key.len() && fits(first, key);
        };
        if key.len() < first.len() + last.len() {
            return false;
        }
        let (head, key) = key.split_at(first.len());
        let (mut key, tail) = key.split_at(key.len() - last.len());
        if !fits(first, head) || !fits(last, tail) {
            return false;
        }
        for part in middle.iter().filter(|part| !part.is_empty()) {
            match key
                .windows(part.len())
                .position(|window| fits(part, window))
            {
                Some(at) => key = &key[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

/// Of equal lengths.
fn fits(part: &[u8], bytes: &[u8]) -> bool {
    part.iter()
        .zip(bytes)
        .all(|(part, byte)| *part == b'?' || part == byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the definition.
    fn naive(pattern: &[u8], key: &[u8]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                naive(rest, key) || !key.is_empty() && naive(pattern, &key[1..])
            }
            (Some((b'?', rest)), Some((_, key))) => naive(rest, key),
            (Some((one, rest)), Some((byte, key))) => one == byte && naive(rest, key),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matches_by_the_definition(pattern in "[ab*?]{0,8}", key in "[ab]{0,12}") {
            let glob = Glob::new(pattern.as_bytes()).unwrap();
            prop_assert_eq!(glob.matches(key.as_bytes()), naive(pattern.as_bytes(), key.as_bytes()));
        }
    }

    #[test]
    fn refuses_long_patterns() {
        assert!(Glob::new(&[b'a'; 256]).is_some());
        assert!(Glob::new(&[b'a'; 257]).is_none());
    }
}
