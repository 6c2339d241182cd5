//! Reading: everything in a file is taken for hostile until it is verified, and its sizes even
//! then.

use super::frame::{Frame, FrameReader, Kind};
use super::{codec, pool, Control, End, Error, Head, Record};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

/// Payloads held at once are at most this, or one.
const HELD_BYTES: usize = 32 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    pub head: Head,
    pub records: u64,
}

/// The records of a chunk.
pub struct Chunk<'a> {
    rest: &'a [u8],
    count: u64,
    is_damaged: bool,
}

impl<'a> Iterator for Chunk<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.rest.is_empty() || self.is_damaged {
            return None;
        }
        let Some((record, rest)) = codec::decode(self.rest) else {
            self.is_damaged = true;
            return None;
        };
        self.rest = rest;
        self.count += 1;
        Some(record)
    }
}

/// Verifies the whole file, then gives its chunks to `decode`, on threads of the call's own, and
/// what that made of them to `accept`, on the caller's thread and in their order. The second pass
/// verifies again, so that a file which is altered meanwhile ends it with an error.
pub fn read<T: Send>(
    path: &Path,
    control: &Control,
    decode: impl Fn(&Head, &mut Chunk) -> T + Sync,
    accept: impl FnMut(T),
) -> Result<Read, Error> {
    // Before it is opened, since to open a pipe may wait for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::Foreign);
    }
    let file = File::open(path)?;
    pool::with_pool(control, |pool| {
        let checked = pass(&file, control, pool, |_, _| (), drop)?;
        let read = pass(&file, control, pool, decode, accept)?;
        if read != checked {
            return Err(Error::Damaged(0));
        }
        Ok(read)
    })
}

/// From the first byte to the last.
fn pass<T: Send>(
    file: &File,
    control: &Control,
    pool: &rayon::ThreadPool,
    decode: impl Fn(&Head, &mut Chunk) -> T + Sync,
    mut accept: impl FnMut(T),
) -> Result<Read, Error> {
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    let mut frames = FrameReader::new(file, file.metadata()?.len())?;
    let first = frames.next()?;
    if first.kind != Kind::Head {
        return Err(Error::Damaged(first.offset));
    }
    let head: Head = first.value()?;
    let mut ready: Vec<Result<(T, u64), Error>> = Vec::new();
    let mut records = 0;
    let mut group = gather(&mut frames, control)?;
    while !(group.frames.is_empty() && ready.is_empty()) {
        control.check()?;
        let mut slots: Vec<Option<Result<(T, u64), Error>>> =
            group.frames.iter().map(|_| None).collect();
        let end = group.end.take();
        // While the pool decodes these, the ones before are accepted and others read.
        group = pool.in_place_scope(|scope| {
            for (frame, slot) in group.frames.into_iter().zip(&mut slots) {
                let (decode, head) = (&decode, &head);
                scope.spawn(move |_| *slot = Some(decode_frame(&frame, head, decode)));
            }
            for made in ready.drain(..) {
                let (made, count) = made?;
                records += count;
                accept(made);
            }
            match end {
                Some(end) => Ok(Group {
                    frames: Vec::new(),
                    end: Some(end),
                }),
                None => gather(&mut frames, control),
            }
        })?;
        ready = slots.into_iter().flatten().collect();
    }
    let Some(last) = group.end else {
        return Err(Error::Truncated);
    };
    let end: End = last.value()?;
    let whole = end.frames == frames.frames()
        && end.records == records
        && end.checksum == frames.checksum();
    if !whole {
        return Err(Error::Damaged(last.offset));
    }
    if !frames.at_end() {
        return Err(Error::Damaged(frames.offset()));
    }
    Ok(Read { head, records })
}

/// Frames of records, and the last frame once it is met.
struct Group {
    frames: Vec<Frame>,
    end: Option<Frame>,
}

fn gather(frames: &mut FrameReader<&File>, control: &Control) -> Result<Group, Error> {
    let mut group = Group {
        frames: Vec::new(),
        end: None,
    };
    let mut held = 0;
    while group.frames.len() < control.width() && held < HELD_BYTES {
        let frame = frames.next()?;
        match frame.kind {
            Kind::Head => return Err(Error::Damaged(frame.offset)),
            Kind::Records => {
                held += frame.payload.bytes.len();
                group.frames.push(frame);
            }
            Kind::End => {
                group.end = Some(frame);
                break;
            }
        }
    }
    Ok(group)
}

/// What `decode` makes of the records, and their number.
fn decode_frame<T>(
    frame: &Frame,
    head: &Head,
    decode: impl Fn(&Head, &mut Chunk) -> T,
) -> Result<(T, u64), Error> {
    let mut chunk = Chunk {
        rest: frame.verified()?,
        count: 0,
        is_damaged: false,
    };
    let made = decode(head, &mut chunk);
    chunk.by_ref().for_each(drop);
    if chunk.is_damaged {
        return Err(Error::Damaged(frame.offset));
    }
    Ok((made, chunk.count))
}
