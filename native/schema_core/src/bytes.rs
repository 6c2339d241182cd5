//! JSON text to an instance, without recursion.

use crate::instance::{BuildError, Builder, Slot};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Not JSON; the offset of the first byte that does not fit.
    Syntax(usize),
    Build(BuildError),
}

impl From<BuildError> for ReadError {
    fn from(error: BuildError) -> Self {
        ReadError::Build(error)
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// Reads the one JSON value that `json` holds into `builder`.
pub fn read<'a>(json: &'a [u8], builder: &mut Builder<'a>) -> Result<(), ReadError> {
    let text = std::str::from_utf8(json).map_err(|error| ReadError::Syntax(error.valid_up_to()))?;
    let mut reader = Reader { text, at: 0 };
    // For each open container: whether it is an object.
    let mut objects: Vec<bool> = Vec::new();
    loop {
        // A value is due.
        match reader.after_space() {
            Some(b'{') => {
                reader.at += 1;
                builder.open_object()?;
                if reader.after_space() == Some(b'}') {
                    reader.at += 1;
                    builder.close();
                } else {
                    objects.push(true);
                    reader.member_name(builder)?;
                    continue;
                }
            }
            Some(b'[') => {
                reader.at += 1;
                builder.open_array()?;
                if reader.after_space() == Some(b']') {
                    reader.at += 1;
                    builder.close();
                } else {
                    objects.push(false);
                    continue;
                }
            }
            Some(b'"') => {
                let string = reader.string(builder)?;
                builder.value(Slot::Str(string))?;
            }
            Some(b't') => reader.word("true", Slot::Bool(true), builder)?,
            Some(b'f') => reader.word("false", Slot::Bool(false), builder)?,
            Some(b'n') => reader.word("null", Slot::Null, builder)?,
            Some(b'-' | b'0'..=b'9') => {
                let number = reader.number()?;
                builder.value(number)?;
            }
            _ => return Err(reader.wrong()),
        }
        // A value has ended.
        loop {
            let next = reader.after_space();
            match (objects.last(), next) {
                (None, None) => return Ok(()),
                (Some(object), Some(b',')) => {
                    reader.at += 1;
                    if *object {
                        reader.after_space();
                        reader.member_name(builder)?;
                    }
                    break;
                }
                (Some(true), Some(b'}')) | (Some(false), Some(b']')) => {
                    reader.at += 1;
                    objects.pop();
                    builder.close();
                }
                _ => return Err(reader.wrong()),
            }
        }
    }
}

impl<'a> Reader<'a> {
    fn wrong(&self) -> ReadError {
        ReadError::Syntax(self.at)
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn after_space(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                next => return next,
            }
        }
    }

    fn member_name(&mut self, builder: &mut Builder<'a>) -> Result<(), ReadError> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong());
        }
        let key = self.string(builder)?;
        builder.key(key);
        if self.after_space() != Some(b':') {
            return Err(self.wrong());
        }
        self.at += 1;
        Ok(())
    }

    fn word(
        &mut self,
        word: &str,
        value: Slot<'a>,
        builder: &mut Builder<'a>,
    ) -> Result<(), ReadError> {
        let found = &self.text.as_bytes()[self.at..];
        let same = found
            .iter()
            .zip(word.as_bytes())
            .take_while(|(left, right)| left == right)
            .count();
        self.at += same;
        if same < word.len() {
            return Err(self.wrong());
        }
        Ok(builder.value(value)?)
    }

    fn digits(&mut self) -> Result<(), ReadError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.wrong());
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Slot<'a>, ReadError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut integer = true;
        if self.peek() == Some(b'.') {
            integer = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            integer = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        Ok(match text.parse() {
            Ok(int) if integer => Slot::Int(int),
            _ => Slot::Text(text),
        })
    }

    fn string(&mut self, builder: &Builder<'a>) -> Result<&'a str, ReadError> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at - 1]);
                }
                Some(b'\\') => return self.escaped(start, builder),
                Some(0x20..) => self.at += 1,
                _ => return Err(self.wrong()),
            }
        }
    }

    /// The rest of a string whose first escape is at `self.at`.
    fn escaped(&mut self, start: usize, builder: &Builder<'a>) -> Result<&'a str, ReadError> {
        let mut string =
            bumpalo::collections::String::from_str_in(&self.text[start..self.at], builder.arena());
        loop {
            let plain = self.at;
            while !matches!(self.peek(), Some(b'"' | b'\\' | 0..0x20) | None) {
                self.at += 1;
            }
            string.push_str(&self.text[plain..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(string.into_bump_str());
                }
                Some(b'\\') => {
                    self.at += 1;
                    string.push(self.escape()?);
                }
                _ => return Err(self.wrong()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ReadError> {
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.wrong()),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, ReadError> {
        let start = self.at;
        let high = self.hex()?;
        let code = if (0xD800..0xDC00).contains(&high) {
            if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                return Err(self.wrong());
            }
            self.at += 2;
            let low = self.hex()?;
            if !(0xDC00..0xE000).contains(&low) {
                return Err(ReadError::Syntax(start));
            }
            0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
        } else {
            high
        };
        char::from_u32(code).ok_or(ReadError::Syntax(start))
    }

    fn hex(&mut self) -> Result<u32, ReadError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self
                .peek()
                .and_then(|byte| char::from(byte).to_digit(16))
                .ok_or_else(|| self.wrong())?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}
