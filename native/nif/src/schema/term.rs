//! A decoded JSON term to an instance, without recursion.

use rustler::sys::*;
use schema_core::instance::{BuildError, Builder, Slot};
use std::mem::MaybeUninit;

/// Integers of more bytes are refused: writing them out in decimal takes quadratic time.
const MAX_INTEGER: usize = 4096;

pub enum TermError {
    /// This term has no JSON form.
    Unsupported(ErlNifTerm),
    /// This binary is not UTF-8.
    NotUtf8(ErlNifTerm),
    Build(BuildError),
    /// The strings together have more bytes than allowed.
    TooMuchText,
}

impl From<BuildError> for TermError {
    fn from(error: BuildError) -> Self {
        TermError::Build(error)
    }
}

pub struct Atoms {
    pub true_: ErlNifTerm,
    pub false_: ErlNifTerm,
    pub null: ErlNifTerm,
}

enum Frame {
    /// What is left of a list.
    List(ErlNifTerm),
    Map {
        pairs: MapIterator,
        /// Only binaries so far: keys of other types may come to read the same.
        distinct: bool,
    },
}

/// A map iterator that is released when it is dropped.
struct MapIterator {
    env: *mut ErlNifEnv,
    map: ErlNifTerm,
    raw: ErlNifMapIterator,
}

impl MapIterator {
    /// # Safety
    /// `env` must be the calling environment, `map` a map of it.
    unsafe fn new(env: *mut ErlNifEnv, map: ErlNifTerm) -> Option<Self> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: the caller's promise; on success `raw` is initialised.
        unsafe {
            let first = ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD;
            if enif_map_iterator_create(env, map, raw.as_mut_ptr(), first) == 0 {
                return None;
            }
            Some(MapIterator {
                env,
                map,
                raw: raw.assume_init(),
            })
        }
    }

    fn next(&mut self) -> Option<(ErlNifTerm, ErlNifTerm)> {
        let (mut key, mut value) = (self.map, self.map);
        // SAFETY: the iterator is live and its map belongs to `env`.
        unsafe {
            if enif_map_iterator_get_pair(self.env, &mut self.raw, &mut key, &mut value) == 0 {
                return None;
            }
            enif_map_iterator_next(self.env, &mut self.raw);
        }
        Some((key, value))
    }
}

impl Drop for MapIterator {
    fn drop(&mut self) {
        // SAFETY: created by `new`, released once.
        unsafe { enif_map_iterator_destroy(self.env, &mut self.raw) }
    }
}

pub struct Reader<'a, 'b> {
    env: *mut ErlNifEnv,
    atoms: Atoms,
    builder: &'b mut Builder<'a>,
    /// Bytes of strings still allowed.
    text: usize,
    /// Work on integers beyond 64 bits still allowed, in units of some 5 ns: their conversion is
    /// quadratic.
    big: usize,
}

/// What an integer beyond 64 bits takes at least, and more for each of its bytes.
const BIG_WORK: usize = 4096;
const BIG_WORK_PER_BYTE: usize = 24;

impl<'a, 'b> Reader<'a, 'b> {
    /// # Safety
    /// `env` must be the calling environment and outlive `'a`.
    pub unsafe fn new(
        env: *mut ErlNifEnv,
        atoms: Atoms,
        builder: &'b mut Builder<'a>,
        text: usize,
        big: usize,
    ) -> Self {
        Reader {
            env,
            atoms,
            builder,
            text,
            big,
        }
    }

    /// Reads `term` into the builder.
    ///
    /// # Safety
    /// `term` must belong to the environment given to `new`.
    pub unsafe fn read(&mut self, term: ErlNifTerm) -> Result<(), TermError> {
        // SAFETY: every term below is `term` or a part of it.
        unsafe {
            let mut frames: smallvec::SmallVec<[Frame; 4]> = smallvec::SmallVec::new();
            if let Some(frame) = self.value(term)? {
                frames.push(frame);
            }
            while let Some(frame) = frames.last_mut() {
                let next = match frame {
                    Frame::List(rest) => {
                        let (mut head, mut tail) = (*rest, *rest);
                        if enif_get_list_cell(self.env, *rest, &mut head, &mut tail) != 0 {
                            *rest = tail;
                            Some(head)
                        } else if enif_is_empty_list(self.env, *rest) != 0 {
                            None
                        } else {
                            return Err(TermError::Unsupported(*rest));
                        }
                    }
                    Frame::Map { pairs, distinct } => match pairs.next() {
                        Some((key, value)) => {
                            let (key, binary) = self.key(key)?;
                            *distinct &= binary;
                            self.builder.key(key);
                            Some(value)
                        }
                        None => None,
                    },
                };
                match next {
                    Some(term) => {
                        if let Some(frame) = self.value(term)? {
                            frames.push(frame);
                        }
                    }
                    None => match frames.pop() {
                        Some(Frame::Map { distinct: true, .. }) => {
                            self.builder.close_distinct();
                        }
                        _ => self.builder.close(),
                    },
                }
            }
            Ok(())
        }
    }

    /// Takes a scalar, or opens a list or map and returns what is to be walked.
    #[inline]
    unsafe fn value(&mut self, term: ErlNifTerm) -> Result<Option<Frame>, TermError> {
        // SAFETY: the caller passes a term of `self.env`.
        unsafe {
            let slot = match enif_term_type(self.env, term) {
                ErlNifTermType::ERL_NIF_TERM_TYPE_BITSTRING => Slot::Str(self.string(term)?),
                ErlNifTermType::ERL_NIF_TERM_TYPE_ATOM => {
                    if term == self.atoms.true_ {
                        Slot::Bool(true)
                    } else if term == self.atoms.false_ {
                        Slot::Bool(false)
                    } else if term == self.atoms.null {
                        Slot::Null
                    } else {
                        Slot::Str(self.atom(term)?)
                    }
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_INTEGER => self.integer(term)?,
                ErlNifTermType::ERL_NIF_TERM_TYPE_FLOAT => {
                    let mut float = 0.0;
                    enif_get_double(self.env, term, &mut float);
                    Slot::Float(float)
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_LIST => {
                    self.builder.open_array()?;
                    return Ok(Some(Frame::List(term)));
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_MAP => {
                    let pairs =
                        MapIterator::new(self.env, term).ok_or(TermError::Unsupported(term))?;
                    self.builder.open_object()?;
                    return Ok(Some(Frame::Map {
                        pairs,
                        distinct: true,
                    }));
                }
                _ => return Err(TermError::Unsupported(term)),
            };
            self.builder.value(slot)?;
            Ok(None)
        }
    }

    /// Keys as `json:encode/1` takes them, and whether this one is a binary.
    #[inline]
    unsafe fn key(&mut self, key: ErlNifTerm) -> Result<(&'a str, bool), TermError> {
        // SAFETY: the caller passes a term of `self.env`.
        unsafe {
            match enif_term_type(self.env, key) {
                ErlNifTermType::ERL_NIF_TERM_TYPE_BITSTRING => Ok((self.string(key)?, true)),
                ErlNifTermType::ERL_NIF_TERM_TYPE_ATOM => Ok((self.atom(key)?, false)),
                ErlNifTermType::ERL_NIF_TERM_TYPE_INTEGER => match self.integer(key)? {
                    Slot::Int(int) => Ok((self.builder.arena().alloc_str(&int.to_string()), false)),
                    Slot::Text(text) => Ok((text, false)),
                    _ => Err(TermError::Unsupported(key)),
                },
                _ => Err(TermError::Unsupported(key)),
            }
        }
    }

    #[inline]
    unsafe fn string(&mut self, term: ErlNifTerm) -> Result<&'a str, TermError> {
        let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
        // SAFETY: `term` is of `self.env`. The bytes are not copied: the caller's term keeps them
        // for the whole call, which outlives `'a`.
        let bytes: &'a [u8] = unsafe {
            if enif_inspect_binary(self.env, term, binary.as_mut_ptr()) == 0 {
                return Err(TermError::Unsupported(term));
            }
            let binary = binary.assume_init();
            if binary.size == 0 {
                return Ok("");
            }
            std::slice::from_raw_parts(binary.data, binary.size)
        };
        self.text = self
            .text
            .checked_sub(bytes.len())
            .ok_or(TermError::TooMuchText)?;
        std::str::from_utf8(bytes).map_err(|_| TermError::NotUtf8(term))
    }

    unsafe fn atom(&mut self, term: ErlNifTerm) -> Result<&'a str, TermError> {
        let mut latin1 = [0u8; 256];
        // SAFETY: the buffer's size is passed; an atom has at most 255 characters.
        let written = unsafe {
            enif_get_atom(
                self.env,
                term,
                latin1.as_mut_ptr().cast(),
                latin1.len() as u32,
                ErlNifCharEncoding::ERL_NIF_LATIN1,
            )
        };
        if written <= 0 {
            return Err(TermError::Unsupported(term));
        }
        let mut text = String::new();
        text.extend(
            latin1[..written as usize - 1]
                .iter()
                .map(|byte| *byte as char),
        );
        self.text = self
            .text
            .checked_sub(text.len())
            .ok_or(TermError::TooMuchText)?;
        Ok(self.builder.arena().alloc_str(&text))
    }

    #[inline]
    unsafe fn integer(&mut self, term: ErlNifTerm) -> Result<Slot<'a>, TermError> {
        let mut small = 0i64;
        // SAFETY: the caller passes an integer of `self.env`.
        unsafe {
            if enif_get_int64(self.env, term, &mut small) != 0 {
                return Ok(Slot::Int(small));
            }
            self.big(term)
        }
    }

    /// An integer beyond 64 bits, by way of its external form: there is no other access to it.
    unsafe fn big(&mut self, term: ErlNifTerm) -> Result<Slot<'a>, TermError> {
        self.big_work(BIG_WORK)?;
        let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
        // SAFETY: the caller passes a term of `self.env`; on success `binary` is initialised and
        // ours to release.
        unsafe {
            if self.is_huge(term) {
                return Err(TermError::Unsupported(term));
            }
            if enif_term_to_binary(self.env, term, binary.as_mut_ptr()) == 0 {
                return Err(TermError::Unsupported(term));
            }
            let mut binary = binary.assume_init();
            let external = std::slice::from_raw_parts(binary.data, binary.size);
            let decimal = self
                .big_work(BIG_WORK_PER_BYTE * external.len())
                .map(|()| decimal(external));
            enif_release_binary(&mut binary);
            let decimal = decimal?;
            let decimal = decimal.ok_or(TermError::Unsupported(term))?;
            Ok(Slot::Text(self.builder.arena().alloc_str(&decimal)))
        }
    }

    fn big_work(&mut self, work: usize) -> Result<(), TermError> {
        self.big = self.big.checked_sub(work).ok_or(TermError::TooMuchText)?;
        Ok(())
    }

    /// Whether an integer has more than [`MAX_INTEGER`] bytes, told without writing it out.
    unsafe fn is_huge(&self, term: ErlNifTerm) -> bool {
        // LARGE_BIG_EXT of 2^(8 * MAX_INTEGER), positive or negative.
        let mut limit = [0u8; 7 + MAX_INTEGER + 1];
        limit[..2].copy_from_slice(&[131, 111]);
        limit[2..6].copy_from_slice(&(MAX_INTEGER as u32 + 1).to_be_bytes());
        limit[7 + MAX_INTEGER] = 1;
        let mut edge = term;
        [0, 1].into_iter().any(|sign| {
            limit[6] = sign;
            // SAFETY: the buffer is passed with its size, and both terms are of `self.env`.
            let order = unsafe {
                if enif_binary_to_term(self.env, limit.as_mut_ptr(), limit.len(), &mut edge, 0) == 0
                {
                    return true;
                }
                enif_compare(term, edge)
            };
            if sign == 0 {
                order >= 0
            } else {
                order <= 0
            }
        })
    }
}

/// The decimal digits of a SMALL_BIG_EXT or LARGE_BIG_EXT.
fn decimal(external: &[u8]) -> Option<String> {
    let (sign, magnitude) = match external {
        [131, 110, _, sign, magnitude @ ..] => (*sign, magnitude),
        [131, 111, _, _, _, _, sign, magnitude @ ..] => (*sign, magnitude),
        _ => return None,
    };
    if magnitude.len() > MAX_INTEGER {
        return None;
    }
    let sign = if sign == 0 {
        num_bigint::Sign::Plus
    } else {
        num_bigint::Sign::Minus
    };
    Some(num_bigint::BigInt::from_bytes_le(sign, magnitude).to_string())
}
