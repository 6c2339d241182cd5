//! Prologue and frames: what is checked before anything is decoded.

use super::{codec, Error, VERSION};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};

pub const PROLOGUE_BYTES: u64 = 16;
const FRAME_BYTES: u64 = 24;
/// Neither text nor UTF-8, so that nothing that alters texts leaves it as it is.
const MAGIC: &[u8; 8] = b"\x89emcache";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Head = 1,
    Records = 2,
    End = 3,
}

/// What a frame carries, with its checksum.
pub struct Payload {
    pub bytes: Vec<u8>,
    pub checksum: u32,
}

impl Payload {
    pub fn new(bytes: Vec<u8>) -> Self {
        let checksum = crc32fast::hash(&bytes);
        Payload { bytes, checksum }
    }

    pub fn of<T: Serialize>(value: &T) -> Self {
        let mut bytes = Vec::new();
        codec::encode(value, &mut bytes);
        Payload::new(bytes)
    }
}

/// A frame read but not yet verified.
pub struct Frame {
    pub kind: Kind,
    /// Where it begins in the file.
    pub offset: u64,
    pub payload: Payload,
}

impl Frame {
    pub fn verified(&self) -> Result<&[u8], Error> {
        if crc32fast::hash(&self.payload.bytes) != self.payload.checksum {
            return Err(Error::Damaged(self.offset));
        }
        Ok(&self.payload.bytes)
    }

    /// The one value that it carries.
    pub fn value<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        match codec::decode(self.verified()?) {
            Some((value, [])) => Ok(value),
            _ => Err(Error::Damaged(self.offset)),
        }
    }
}

fn prologue(version: u32) -> [u8; PROLOGUE_BYTES as usize] {
    let mut bytes = [0; PROLOGUE_BYTES as usize];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

pub struct FrameWriter<W> {
    out: W,
    frames: u32,
    bytes: u64,
    checksums: crc32fast::Hasher,
}

impl<W: Write> FrameWriter<W> {
    pub fn new(mut out: W) -> Result<Self, Error> {
        out.write_all(&prologue(VERSION))?;
        Ok(FrameWriter {
            out,
            frames: 0,
            bytes: PROLOGUE_BYTES,
            checksums: crc32fast::Hasher::new(),
        })
    }

    pub fn push(&mut self, kind: Kind, payload: &Payload) -> Result<(), Error> {
        let mut head = [0; FRAME_BYTES as usize];
        head[..4].copy_from_slice(&(kind as u32).to_le_bytes());
        head[4..8].copy_from_slice(&self.frames.to_le_bytes());
        head[8..16].copy_from_slice(&(payload.bytes.len() as u64).to_le_bytes());
        head[16..20].copy_from_slice(&payload.checksum.to_le_bytes());
        let checksum = crc32fast::hash(&head[..20]);
        head[20..].copy_from_slice(&checksum.to_le_bytes());
        self.out.write_all(&head)?;
        self.out.write_all(&payload.bytes)?;
        self.checksums.update(&payload.checksum.to_le_bytes());
        self.bytes += FRAME_BYTES + payload.bytes.len() as u64;
        self.frames = self
            .frames
            .checked_add(1)
            .ok_or_else(|| std::io::Error::other("too many frames"))?;
        Ok(())
    }

    pub fn frames(&self) -> u32 {
        self.frames
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Of the checksums so far.
    pub fn checksum(&self) -> u32 {
        self.checksums.clone().finalize()
    }
}

pub struct FrameReader<R> {
    from: R,
    size: u64,
    offset: u64,
    frames: u32,
    checksums: crc32fast::Hasher,
}

impl<R: Read> FrameReader<R> {
    /// `size` is that of the whole, of which `from` stands at the start.
    pub fn new(mut from: R, size: u64) -> Result<Self, Error> {
        let mut bytes = Vec::with_capacity(PROLOGUE_BYTES as usize);
        from.by_ref().take(PROLOGUE_BYTES).read_to_end(&mut bytes)?;
        let start = bytes.len().min(MAGIC.len());
        if bytes[..start] != MAGIC[..start] {
            return Err(Error::Foreign);
        }
        let Some(version) = bytes.get(8..12).and_then(|field| field.try_into().ok()) else {
            return Err(Error::Truncated);
        };
        let version = u32::from_le_bytes(version);
        if bytes.len() < PROLOGUE_BYTES as usize {
            return Err(Error::Truncated);
        }
        if bytes != prologue(version) || version == 0 {
            return Err(Error::Damaged(0));
        }
        if version > VERSION {
            return Err(Error::Newer(version));
        }
        Ok(FrameReader {
            from,
            size,
            offset: PROLOGUE_BYTES,
            frames: 0,
            checksums: crc32fast::Hasher::new(),
        })
    }

    /// The next frame; its payload is not yet verified. At the end of the bytes: truncated.
    pub fn next(&mut self) -> Result<Frame, Error> {
        let offset = self.offset;
        let head = self.take(FRAME_BYTES)?;
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = u64::from(word(8)) | u64::from(word(12)) << 32;
        let kind = match word(0) {
            1 => Kind::Head,
            2 => Kind::Records,
            3 => Kind::End,
            _ => return Err(Error::Damaged(offset)),
        };
        if word(20) != crc32fast::hash(&head[..20]) || word(4) != self.frames {
            return Err(Error::Damaged(offset));
        }
        let payload = Payload {
            bytes: self.take(length)?,
            checksum: word(16),
        };
        // The last one is about those before.
        if kind != Kind::End {
            self.checksums.update(&payload.checksum.to_le_bytes());
            self.frames = self.frames.checked_add(1).ok_or(Error::Damaged(offset))?;
        }
        Ok(Frame {
            kind,
            offset,
            payload,
        })
    }

    /// Reserves no more than there is.
    fn take(&mut self, length: u64) -> Result<Vec<u8>, Error> {
        if length > self.size.saturating_sub(self.offset) {
            return Err(Error::Truncated);
        }
        let mut bytes = Vec::with_capacity(length as usize);
        self.from.by_ref().take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(Error::Truncated);
        }
        self.offset += length;
        Ok(bytes)
    }

    pub fn frames(&self) -> u32 {
        self.frames
    }

    pub fn checksum(&self) -> u32 {
        self.checksums.clone().finalize()
    }

    pub fn at_end(&self) -> bool {
        self.offset == self.size
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }
}
