//! What routing needs to know of a message, without its values.

use super::classify::{self, Failure, Framing, Message, Options};
use super::envelope::{self, Member, Name, Payload, RawId};
use crate::error::Stop;
use crate::parse::Parser;

/// The members of `params` that tell where a message belongs.
#[derive(Debug, PartialEq)]
pub struct Params {
    /// Where `arguments` stand.
    pub arguments: Option<(usize, usize)>,
    pub name: Name,
    pub uri: Name,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]`.
    pub protocol_version: Name,
    /// `_meta.progressToken`, with its extent: what a request asks for.
    meta_token: Option<(RawId, (usize, usize))>,
    /// `progressToken`: what a progress notification is about.
    token: Option<(RawId, (usize, usize))>,
    meta: bool,
}

#[derive(Debug, PartialEq)]
pub struct Peek {
    /// `None` for a batch.
    pub message: Option<Message<()>>,
    pub params: Params,
}

/// Which member of `params` names what a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Tool,
    Prompt,
    Resource,
}

impl Target {
    pub fn of(method: &[u8]) -> Option<Target> {
        match method {
            b"tools/call" => Some(Target::Tool),
            b"prompts/get" => Some(Target::Prompt),
            b"resources/read" | b"resources/subscribe" | b"resources/unsubscribe" => {
                Some(Target::Resource)
            }
            _ => None,
        }
    }
}

impl Default for Params {
    fn default() -> Params {
        Params {
            arguments: None,
            name: Name::Absent,
            uri: Name::Absent,
            protocol_version: Name::Absent,
            meta_token: None,
            token: None,
            meta: false,
        }
    }
}

impl Params {
    pub fn target(&self, target: Target) -> &Name {
        match target {
            Target::Tool | Target::Prompt => &self.name,
            Target::Resource => &self.uri,
        }
    }

    pub fn progress_token(&self, method: &[u8]) -> Option<&(RawId, (usize, usize))> {
        if method == b"notifications/progress" {
            self.token.as_ref()
        } else {
            self.meta_token.as_ref()
        }
    }

    fn read_params(&mut self, parser: &mut Parser<'_>) -> Result<(), Stop> {
        let depth = parser.depth_limit();
        let inner = envelope::open(parser, depth)?;
        let mut first = true;
        while let Some(text) = parser.member(first)? {
            first = false;
            match text.bytes() {
                b"name" if self.name == Name::Absent => self.name = name(parser)?,
                b"uri" if self.uri == Name::Absent => self.uri = name(parser)?,
                b"arguments" if self.arguments.is_none() => {
                    let extent = parser.skip_value()?;
                    self.arguments = Some((extent.start, extent.end));
                }
                b"progressToken" if self.token.is_none() => self.token = Some(token(parser)?),
                b"_meta" if !self.meta => {
                    self.meta = true;
                    if parser.next_byte() == Some(b'{') {
                        self.read_meta(parser, inner)?;
                    } else {
                        parser.skip_value()?;
                    }
                }
                _ => {
                    parser.skip_value()?;
                }
            }
        }
        parser.limit_depth(depth);
        Ok(())
    }

    fn read_meta(&mut self, parser: &mut Parser<'_>, depth: usize) -> Result<(), Stop> {
        envelope::open(parser, depth)?;
        let mut first = true;
        while let Some(text) = parser.member(first)? {
            first = false;
            match text.bytes() {
                b"progressToken" if self.meta_token.is_none() => {
                    self.meta_token = Some(token(parser)?);
                }
                b"io.modelcontextprotocol/protocolVersion"
                    if self.protocol_version == Name::Absent =>
                {
                    self.protocol_version = name(parser)?;
                }
                _ => {
                    parser.skip_value()?;
                }
            }
        }
        parser.limit_depth(depth);
        Ok(())
    }
}

impl Payload for Params {
    type Value = ();

    fn read(&mut self, parser: &mut Parser<'_>, member: Member) -> Result<(), Stop> {
        if member == Member::Params && parser.next_byte() == Some(b'{') {
            self.read_params(parser)
        } else {
            parser.skip_value().map(|_| ())
        }
    }
}

fn name(parser: &mut Parser<'_>) -> Result<Name, Stop> {
    Ok(envelope::string(parser)?.map_or(Name::Other, Name::Text))
}

fn token(parser: &mut Parser<'_>) -> Result<(RawId, (usize, usize)), Stop> {
    parser.next_byte();
    let start = parser.offset();
    let token = envelope::id(parser)?;
    Ok((token, (start, parser.offset())))
}

/// Reads a text and keeps only what [`Peek`] has. The whole of it is checked.
pub fn peek(input: &[u8], options: &Options) -> Result<Peek, Failure> {
    let mut params = Params::default();
    let mut last = None;
    let framing = classify::read(input, options, &mut params, |_, message| {
        last = Some(message);
    })?;
    Ok(Peek {
        message: last.filter(|_| framing == Framing::Single),
        params,
    })
}
