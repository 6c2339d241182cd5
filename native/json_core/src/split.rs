//! Where the documents of a stream begin and end. The stream comes in chunks that are cut
//! anywhere; every byte is looked at once. Only extents are found here: whether a document is
//! sound is seen when it is decoded.

use crate::scan;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between documents.
    Outside,
    /// In a number or a literal.
    Scalar,
    /// In a string that is a document of its own, or in one of a container; `escaped` right
    /// behind a backslash.
    String {
        escaped: bool,
    },
    Container,
}

/// How documents follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// As JSON ends by itself; white space may stand between.
    Concatenated,
    /// One document a line; empty lines are passed over.
    Lines,
}

/// What a splitter knows at the end of a chunk, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splitter {
    framing: Framing,
    state: State,
    /// Open arrays and objects.
    depth: u64,
}

/// A document's part of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub start: usize,
    pub end: usize,
    /// The document ends here; else it goes on in the next chunk.
    pub complete: bool,
}

impl Splitter {
    pub fn new(framing: Framing) -> Self {
        Splitter {
            framing,
            state: State::Outside,
            depth: 0,
        }
    }

    /// The state as one number, for whoever keeps it from chunk to chunk.
    pub fn to_bits(self) -> u64 {
        let state = match self.state {
            State::Outside => 0,
            State::Scalar => 1,
            State::Container => 2,
            State::String { escaped: false } => 3,
            State::String { escaped: true } => 4,
        };
        self.depth << 4 | state << 1 | u64::from(self.framing == Framing::Lines)
    }

    /// `None` when the number is none that [`Splitter::to_bits`] gives.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let state = match bits >> 1 & 7 {
            0 => State::Outside,
            1 => State::Scalar,
            2 => State::Container,
            3 => State::String { escaped: false },
            4 => State::String { escaped: true },
            _ => return None,
        };
        let framing = if bits & 1 == 1 {
            Framing::Lines
        } else {
            Framing::Concatenated
        };
        let depth = bits >> 4;
        let possible = match state {
            State::Outside | State::Scalar => depth == 0,
            State::Container => depth != 0 && framing == Framing::Concatenated,
            State::String { .. } => framing == Framing::Concatenated,
        };
        // Half of what the shift keeps, so that more levels can be opened.
        (possible && depth < 1 << 59).then_some(Splitter {
            framing,
            state,
            depth,
        })
    }

    /// The next document, or part of one, from `from` on; `None` at the end of the chunk.
    pub fn next(&mut self, chunk: &[u8], from: usize) -> Option<Extent> {
        let mut start = from;
        if self.state == State::Outside {
            start = scan::skip_spaces(chunk, from);
        }
        if start == chunk.len() {
            return None;
        }
        let end = match self.framing {
            Framing::Lines => self.line_end(chunk, start),
            Framing::Concatenated => self.document_end(chunk, start),
        };
        Some(Extent {
            start,
            end: end.unwrap_or(chunk.len()),
            complete: end.is_some(),
        })
    }

    fn line_end(&mut self, chunk: &[u8], from: usize) -> Option<usize> {
        let end = memchr::memchr(b'\n', &chunk[from..]).map(|at| from + at + 1);
        self.state = if end.is_some() {
            State::Outside
        } else {
            State::Scalar
        };
        end
    }

    fn document_end(&mut self, chunk: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        while let Some(&byte) = chunk.get(at) {
            match self.state {
                State::Outside => match byte {
                    b'{' | b'[' => {
                        self.state = State::Container;
                        self.depth = 1;
                    }
                    b'"' => self.state = State::String { escaped: false },
                    // No document, but decoding it tells why.
                    b'}' | b']' | b',' | b':' => return Some(at + 1),
                    _ => self.state = State::Scalar,
                },
                State::Scalar => {
                    if scan::is_space(byte)
                        || matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"')
                    {
                        self.state = State::Outside;
                        return Some(at);
                    }
                }
                State::Container => match byte {
                    b'"' => self.state = State::String { escaped: false },
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth -= 1;
                        if self.depth == 0 {
                            self.state = State::Outside;
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                },
                State::String { escaped: true } => self.state = State::String { escaped: false },
                State::String { escaped: false } => match byte {
                    b'"' if self.depth == 0 => {
                        self.state = State::Outside;
                        return Some(at + 1);
                    }
                    b'"' => self.state = State::Container,
                    b'\\' => self.state = State::String { escaped: true },
                    _ => at = scan::find_special(chunk, at + 1) - 1,
                },
            }
            at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The documents of a text that comes in these chunks.
    fn split(framing: Framing, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::new(framing);
        let mut documents = Vec::new();
        let mut pending = Vec::new();
        for chunk in chunks {
            let mut from = 0;
            while let Some(extent) = splitter.next(chunk, from) {
                pending.extend_from_slice(&chunk[extent.start..extent.end]);
                if extent.complete {
                    documents.push(std::mem::take(&mut pending));
                }
                from = extent.end;
                splitter = Splitter::from_bits(splitter.to_bits()).unwrap();
            }
        }
        if !pending.is_empty() {
            documents.push(pending);
        }
        documents
    }

    fn whole(text: &str) -> Vec<String> {
        let documents = split(Framing::Concatenated, &[text.as_bytes()]);
        documents
            .into_iter()
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .collect()
    }

    #[test]
    fn documents_end_by_themselves() {
        assert_eq!(
            whole(r#"{"a":"}\""}[1,[2]]"x\\"12 true{}"#),
            [r#"{"a":"}\""}"#, "[1,[2]]", r#""x\\""#, "12", "true", "{}"]
        );
        assert_eq!(whole(" \n 1 \n\n 2"), ["1", "2"]);
        assert_eq!(whole("] 1"), ["]", "1"]);
        assert!(whole(" \n").is_empty());
    }

    #[test]
    fn lines_are_documents_whatever_they_hold() {
        let text = b"{\"a\":[\n\n {\"b\":1}\r\n7";
        let expected: [&[u8]; 3] = [b"{\"a\":[\n", b"{\"b\":1}\r\n", b"7"];
        assert_eq!(split(Framing::Lines, &[text]), expected);
    }

    #[test]
    fn bits_name_a_state_or_none() {
        for bits in 0..64 {
            if let Some(splitter) = Splitter::from_bits(bits) {
                assert_eq!(splitter.to_bits(), bits);
            }
        }
        assert_eq!(Splitter::from_bits(5 << 1), None);
        // A container of no level, one too deep to count on, a level around a scalar, one in lines.
        for bits in [
            2 << 1,
            u64::MAX << 4 | 2 << 1,
            1 << 4 | 1 << 1,
            1 << 4 | 2 << 1 | 1,
        ] {
            assert_eq!(Splitter::from_bits(bits), None, "{bits:b}");
        }
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(
            text in r#"([\[\]{},: \n"\\a1]|true|\[1,"a"\]|\{"a":"\\"\}){0,40}"#,
            cuts in proptest::collection::vec(0usize..200, 0..8),
            lines: bool,
        ) {
            let framing = if lines { Framing::Lines } else { Framing::Concatenated };
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut <= bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(framing, &chunks), split(framing, &[bytes]));
        }
    }
}
