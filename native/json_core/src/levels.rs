//! The kinds of the open containers, one bit each: a million levels take 125 KB.

#[derive(Default)]
pub struct Levels {
    /// The innermost up to 64 levels, the innermost in bit 0; a set bit is an object.
    word: u64,
    outer: Vec<u64>,
    depth: usize,
}

impl Levels {
    #[inline(always)]
    pub fn depth(&self) -> usize {
        self.depth
    }

    #[inline(always)]
    pub fn push(&mut self, object: bool) {
        if self.depth != 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.word);
        }
        self.word = self.word << 1 | u64::from(object);
        self.depth += 1;
    }

    #[inline(always)]
    pub fn pop(&mut self) {
        self.depth -= 1;
        self.word >>= 1;
        if self.depth != 0 && self.depth.is_multiple_of(64) {
            self.word = self.outer.pop().unwrap_or_default();
        }
    }

    /// Whether the innermost container is an object.
    #[inline(always)]
    pub fn in_object(&self) -> bool {
        self.word & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_every_level() {
        let kinds: Vec<bool> = (0..1000u32).map(|n| n.count_ones() % 2 == 0).collect();
        let mut levels = Levels::default();
        for &kind in &kinds {
            levels.push(kind);
        }
        for &kind in kinds.iter().rev() {
            assert_eq!(levels.in_object(), kind);
            levels.pop();
        }
        assert_eq!(levels.depth(), 0);
    }
}
