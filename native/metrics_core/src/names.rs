//! Names that break no form.

/// The longest name.
pub const MAX: usize = 255;

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
pub fn is_metric(name: &[u8]) -> bool {
    is_made_of(name, |byte| byte == b':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`: what the labels of an exemplar may have.
pub fn is_word(name: &[u8]) -> bool {
    is_made_of(name, |_| false)
}

/// A word, but none that begins with `__`: those are Prometheus' own.
pub fn is_label(name: &[u8]) -> bool {
    is_word(name) && !name.starts_with(b"__")
}

#[inline(always)]
fn is_made_of(name: &[u8], is_more: impl Fn(u8) -> bool) -> bool {
    let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || is_more(byte);
    name.len() <= MAX
        && name.first().is_some_and(|&first| is_start(first))
        && name
            .iter()
            .all(|&byte| is_start(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["a", "_", "aZ_9", "a__b"] {
            assert!(
                is_metric(name.as_bytes()) && is_label(name.as_bytes()),
                "{name}"
            );
        }
        for name in ["a:b", ":", "__a"] {
            assert!(
                is_metric(name.as_bytes()) && !is_label(name.as_bytes()),
                "{name}"
            );
        }
        for name in ["", "9", "9a", "a b", "a-b", "é", "a\n", "a{", "a\"", "a.b"] {
            assert!(
                !is_metric(name.as_bytes()) && !is_label(name.as_bytes()),
                "{name}"
            );
        }
        assert!(is_word(b"__a") && !is_word(b"a:b"));
        assert!(is_metric(&[b'a'; MAX]) && !is_metric(&[b'a'; MAX + 1]));
    }
}
