//! What the two text forms have in common: lines of a name, labels and a number.

use crate::histogram::Classic;
use crate::number::{self, Number};
use crate::{Family, Label, Series};
use histogram_core::snapshot::Snapshot;

#[derive(Default)]
pub struct Lines {
    pub out: Vec<u8>,
    /// Those of the series at hand, without braces.
    labels: Vec<u8>,
    /// The family's bounds and `+Inf` as labels.
    bounds: Vec<Vec<u8>>,
    classic: Classic,
}

impl Lines {
    pub fn open(&mut self, family: &Family) {
        self.classic.open(family);
        self.bounds.clear();
        for &bound in family.bounds.iter().chain([&f64::INFINITY]) {
            let mut label = b"le=\"".to_vec();
            number::write_bound(&mut label, bound);
            label.push(b'"');
            self.bounds.push(label);
        }
    }

    /// A line of `# HELP` or the like, but for its end.
    pub fn comment(&mut self, keyword: &str, name: &str, suffix: &str) {
        self.out.extend_from_slice(b"# ");
        self.text(keyword);
        self.out.push(b' ');
        self.text(name);
        self.text(suffix);
        self.out.push(b' ');
    }

    pub fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// The series whose lines follow.
    pub fn begin(&mut self, series: &Series) {
        self.labels.clear();
        write_labels(&mut self.labels, series.labels);
    }

    /// The name, the labels and what more is given as one, and a space.
    #[inline]
    fn name(&mut self, name: &str, suffix: &str, more: Option<usize>) {
        self.text(name);
        self.text(suffix);
        let more = more.map(|bound| &self.bounds[bound]);
        if more.is_some() || !self.labels.is_empty() {
            self.out.push(b'{');
            self.out.extend_from_slice(&self.labels);
            if let Some(more) = more {
                if !self.labels.is_empty() {
                    self.out.push(b',');
                }
                self.out.extend_from_slice(more);
            }
            self.out.push(b'}');
        }
        self.out.push(b' ');
    }

    /// A line but for its end.
    #[inline]
    pub fn sample(&mut self, name: &str, suffix: &str, value: Number) {
        self.name(name, suffix, None);
        number::write(&mut self.out, value);
    }

    pub fn end(&mut self) {
        self.out.push(b'\n');
    }

    /// The buckets, the count and the sum. `at_bucket` adds to the line of the bucket above its first
    /// argument and up to its second.
    pub fn histogram(
        &mut self,
        family: &Family,
        snapshot: &Snapshot,
        mut at_bucket: impl FnMut(&mut Vec<u8>, f64, f64),
    ) {
        let count = snapshot.count();
        let mut below = f64::NEG_INFINITY;
        self.classic.count(snapshot);
        for bucket in 0..self.bounds.len() {
            let (bound, counted) = match family.bounds.get(bucket) {
                Some(&bound) => (bound, self.classic.counts[bucket]),
                None => (f64::INFINITY, count),
            };
            self.name(family.name, "_bucket", Some(bucket));
            number::write_integer(&mut self.out, counted);
            at_bucket(&mut self.out, below, bound);
            self.end();
            below = bound;
        }
        let sum = family.scale.expose(snapshot.sum as f64);
        self.sample(family.name, "_sum", Number::Float(sum));
        self.end();
        self.sample(family.name, "_count", Number::Unsigned(count));
        self.end();
    }
}

/// `a="x",b="y"`
pub fn write_labels(out: &mut Vec<u8>, labels: &[Label]) {
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(label.name.as_bytes());
        out.extend_from_slice(b"=\"");
        write_escaped(out, &label.value);
        out.push(b'"');
    }
}

/// With `\\`, `\"` and `\n` for a backslash, a quote and a line's end.
pub fn write_escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr3(b'\\', b'"', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\\');
        out.push(if rest[at] == b'\n' { b'n' } else { rest[at] });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// The same but for quotes.
pub fn write_escaped_but_quotes(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr2(b'\\', b'\n', rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(if rest[at] == b'\n' { b"\\n" } else { b"\\\\" });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
