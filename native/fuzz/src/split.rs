//! Streams to documents.

use json_core::{Framing, Limits, Parser, Splitter};

/// The first two bytes say how the rest is cut.
pub fn split(input: &[u8]) {
    let Some((&[low, high], text)) = input.split_first_chunk() else {
        return;
    };
    let seed = u16::from_le_bytes([low, high]);
    for framing in [Framing::Concatenated, Framing::Lines] {
        let whole = documents(framing, [text]);
        assert_eq!(whole, documents(framing, pieces(text, seed)));
        if text.len() <= 64 {
            assert_eq!(whole, documents(framing, text.chunks(1)));
        }
        match framing {
            Framing::Lines => assert_eq!(whole, lines(text)),
            Framing::Concatenated => as_the_parser_ends(text),
        }
        any_state(framing, seed, text);
    }
}

fn pieces(text: &[u8], seed: u16) -> Vec<&[u8]> {
    let mut random = u32::from(seed) | 0x10000;
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        // xorshift
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let length = random as usize % 40 % (rest.len() + 1);
        let (piece, more) = rest.split_at(length);
        pieces.push(piece);
        rest = more;
    }
    pieces
}

/// The documents, each with whether its end was seen.
fn documents<'a>(
    framing: Framing,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<(Vec<u8>, bool)> {
    let mut splitter = Splitter::new(framing);
    let mut documents = Vec::new();
    let mut pending = Vec::new();
    for chunk in chunks {
        // Where the sanitizer guards its ends.
        let chunk = chunk.to_vec();
        let mut from = 0;
        while let Some(extent) = splitter.next(&chunk, from) {
            assert!(from <= extent.start && extent.start <= extent.end);
            assert!(extent.complete || extent.end == chunk.len());
            pending.extend_from_slice(&chunk[extent.start..extent.end]);
            if extent.complete {
                documents.push((std::mem::take(&mut pending), true));
            }
            from = extent.end;
        }
        let kept = Splitter::from_bits(splitter.to_bits());
        assert_eq!(kept, Some(splitter));
    }
    if !pending.is_empty() {
        documents.push((pending, false));
    }
    documents
}

fn is_space(byte: &u8) -> bool {
    b" \t\r\n".contains(byte)
}

/// Lines by the book: white space before a document is passed over, empty lines with it.
fn lines(text: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let lines = text.split_inclusive(|&byte| byte == b'\n').map(|line| {
        let start = line.iter().position(|byte| !is_space(byte));
        let line = &line[start.unwrap_or(line.len())..];
        (line.to_vec(), line.ends_with(b"\n"))
    });
    lines.filter(|(line, _)| !line.is_empty()).collect()
}

/// As long as the documents are sound, the splitter ends them where the parser does.
fn as_the_parser_ends(text: &[u8]) {
    let mut splitter = Splitter::new(Framing::Concatenated);
    let mut from = 0;
    while let Some(extent) = splitter.next(text, from) {
        let mut parser = Parser::new(&text[from..], Limits::default());
        let Ok(value) = parser.skip_value() else {
            return;
        };
        let (start, end) = (from + value.start, from + value.end);
        assert_eq!(extent.start, start);
        if matches!(text[start], b'{' | b'[' | b'"') {
            assert!(extent.complete);
            assert_eq!(extent.end, end);
        } else if extent.end != end {
            // `1true`: a number or a literal ends only at what cannot be part of one.
            assert!(extent.end > end && !is_space(&text[end]));
            return;
        }
        from = extent.end;
    }
    assert!(text[from..].iter().all(is_space));
}

/// The number comes back from the caller: none of them may do harm.
fn any_state(framing: Framing, seed: u16, text: &[u8]) {
    let kind = u64::from(framing == Framing::Lines);
    for bits in [
        u64::from(seed) << 1 | kind,
        u64::from(seed).rotate_right(8) << 1 | kind,
        u64::MAX << 12 | u64::from(seed) << 1 | kind,
    ] {
        let Some(mut splitter) = Splitter::from_bits(bits) else {
            continue;
        };
        let mut from = 0;
        while let Some(extent) = splitter.next(text, from) {
            assert!(from <= extent.start && extent.start <= extent.end);
            assert!(extent.complete || extent.end == text.len());
            from = extent.end;
            let kept = Splitter::from_bits(splitter.to_bits());
            assert_eq!(kept, Some(splitter));
        }
    }
}
