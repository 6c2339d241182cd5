//! JSON-RPC messages, against a reading of the whole text by `serde_json`.

use json_core::rpc::{
    check_headers, error_reply, peek, read, Checked, Dialect, Failure, Fault, Field, Framing,
    Header, HeaderFault, Headers, Id, IdValue, Invalid, Member, Message, Name, Options, Payload,
    RawId, Target, INVALID_REQUEST,
};
use json_core::{Limits, Parser, Reason, Stop};

use crate::oracle::{judge, Verdict};
use crate::tape::{depth, digits, elements, member, parse, Event, Tape};

/// A value as its events.
type Value<'a> = &'a [Event];

/// The first two bytes choose dialect and limits.
pub fn rpc(input: &[u8]) {
    let Some((&[one, two], text)) = input.split_first_chunk() else {
        return;
    };
    let options = Options {
        dialect: if one & 1 == 0 {
            Dialect::JsonRpc
        } else {
            Dialect::Mcp
        },
        limits: Limits {
            depth: [512, 0, 1, 2, 3, 4, 5, usize::MAX][usize::from(one >> 1 & 7)],
            digits: [1000, 19, 20, usize::MAX][usize::from(one >> 4 & 3)],
            work: usize::MAX,
        },
        batch: [100, 0, 1, 2, 3, usize::MAX, 100, 100][usize::from(two & 7)],
    };
    let mut messages = Vec::new();
    let answer = read(text, &options, &mut Build, |_, message| {
        messages.push(message)
    });
    let events = match judge(text) {
        Verdict::Unknown => return peeks(text, &options, &answer, &messages, None),
        Verdict::Refused => None,
        Verdict::Accepted { events, overflow } => {
            let deep = depth(&events) > options.limits.depth;
            let long = digits(&events) > options.limits.digits;
            (!deep && !long && !overflow).then_some(events)
        }
    };
    peeks(text, &options, &answer, &messages, events.as_deref());
    let Some(events) = events else {
        match answer {
            Err(Failure::Text(error)) => {
                if let Reason::DepthLimit(limit) = error.reason {
                    assert_eq!(limit, options.limits.depth);
                }
                assert!(error.offset <= text.len());
            }
            // It stops there, whatever follows.
            Err(Failure::BatchLimit) => assert_eq!(messages.len(), options.batch),
            answer => panic!("{answer:?} where the text is unsound"),
        }
        return;
    };
    match elements(&events) {
        Some(batch) if batch.is_empty() => assert_eq!(answer, Err(Failure::EmptyBatch)),
        Some(batch) if batch.len() > options.batch => {
            assert_eq!(answer, Err(Failure::BatchLimit));
        }
        Some(batch) => {
            assert_eq!(answer, Ok(Framing::Batch));
            assert_eq!(messages.len(), batch.len());
            for (message, value) in messages.iter().zip(batch) {
                check(text, options.dialect, message, value);
            }
        }
        None => {
            assert_eq!(answer, Ok(Framing::Single));
            assert_eq!(messages.len(), 1);
            check(text, options.dialect, &messages[0], &events);
        }
    }
}

/// Builds what belongs to the application.
struct Build;

impl Payload for Build {
    type Value = Vec<Event>;

    fn read(&mut self, parser: &mut Parser<'_>, _member: Member) -> Result<Vec<Event>, Stop> {
        let mut tape = Tape::default();
        parser.value(&mut tape)?;
        Ok(tape.0)
    }
}

fn check(text: &[u8], dialect: Dialect, message: &Message<Vec<Event>>, value: Value) {
    let faults = faults(dialect, value);
    let written = member(value, b"id");
    let same = |built: &Option<Vec<Event>>, name: &[u8]| {
        assert_eq!(built.as_deref(), member(value, name));
    };
    match message {
        Message::Invalid(Invalid { id, fault, echo }) => {
            assert!(faults.contains(fault), "{fault:?} is none of {faults:?}");
            let response = member(value, b"result").or(member(value, b"error"));
            let object = value[0] == Event::BeginObject;
            assert_eq!(*echo, object && response.is_none());
            let readable = written.filter(|id| {
                !matches!(
                    id[0],
                    Event::Boolean(_) | Event::BeginArray | Event::BeginObject
                )
            });
            is_id(text, id, readable);
            refuses(text, id, *echo);
            return;
        }
        Message::Request { id, method, params } => {
            is_id(text, id, Some(written.expect("a request's id")));
            is_text(method.bytes(text), member(value, b"method"));
            same(params, b"params");
        }
        Message::Notification { method, params } => {
            assert_eq!(written, None);
            is_text(method.bytes(text), member(value, b"method"));
            same(params, b"params");
        }
        Message::Response { id, result } => {
            is_id(text, id, Some(written.expect("a response's id")));
            assert_eq!(Some(result.as_slice()), member(value, b"result"));
        }
        Message::ErrorResponse {
            id,
            code,
            message,
            data,
        } => {
            is_id(text, id, written);
            let error = member(value, b"error").expect("an error");
            assert_eq!(Some(*code), member(error, b"code").and_then(integer));
            is_text(message.bytes(text), member(error, b"message"));
            assert_eq!(data.as_deref(), member(error, b"data"));
        }
    }
    assert_eq!(faults, []);
}

/// All that is wrong with a message, in no order.
fn faults(dialect: Dialect, value: Value) -> Vec<Fault> {
    if value[0] != Event::BeginObject {
        return vec![Fault::NotAnObject];
    }
    let mcp = dialect == Dialect::Mcp;
    let get = |name: &[u8]| member(value, name).map(|value| &value[0]);
    let (id, method, params) = (get(b"id"), get(b"method"), get(b"params"));
    let (result, error) = (get(b"result"), get(b"error"));
    let error_only = error.is_some() && result.is_none() && method.is_none();
    let request = matches!(method, Some(Event::String(_))) && result.or(error).is_none();
    let id_is_wrong = match id {
        Some(Event::Boolean(_) | Event::BeginArray | Event::BeginObject) => true,
        Some(Event::Null) => mcp && !error_only,
        Some(Event::Float(bits)) => mcp && f64::from_bits(*bits).fract() != 0.0,
        _ => false,
    };
    let params_are_wrong = match params {
        None | Some(Event::BeginObject) => false,
        Some(Event::BeginArray) => mcp,
        Some(_) => true,
    };
    let error_is_wrong = member(value, b"error").is_some_and(|error| {
        let code = member(error, b"code").and_then(integer);
        let message = member(error, b"message").map(|message| &message[0]);
        code.is_none() || !matches!(message, Some(Event::String(_)))
    });
    let two = Event::String(b"2.0".to_vec());
    let method_is_wrong = method.is_some_and(|method| !matches!(method, Event::String(_)));
    [
        (Fault::MissingVersion, get(b"jsonrpc").is_none()),
        (
            Fault::WrongVersion,
            get(b"jsonrpc").is_some_and(|version| *version != two),
        ),
        (Fault::InvalidId, id_is_wrong),
        (
            Fault::MissingId,
            id.is_none() && (result.is_some() || error_only && !mcp),
        ),
        (Fault::InvalidMethod, method_is_wrong),
        (Fault::InvalidParams, request && params_are_wrong),
        (
            Fault::InvalidResult,
            mcp && result.is_some_and(|result| *result != Event::BeginObject),
        ),
        (Fault::InvalidError, error_is_wrong),
        (Fault::ResultAndError, result.is_some() && error.is_some()),
        (
            Fault::RequestAndResponse,
            method.is_some() && result.or(error).is_some(),
        ),
        (Fault::UnknownMessage, method.or(result).or(error).is_none()),
    ]
    .into_iter()
    .filter_map(|(fault, holds)| holds.then_some(fault))
    .collect()
}

/// An error's code: a whole number that both an `i64` and a double hold.
fn integer(value: Value) -> Option<i64> {
    match value[0] {
        Event::Integer(code) => Some(code),
        Event::Float(bits) => {
            let code = f64::from_bits(bits);
            (code.fract() == 0.0 && code.abs() <= 2f64.powi(53)).then_some(code as i64)
        }
        _ => None,
    }
}

fn is_text(text: &[u8], value: Option<Value>) {
    assert_eq!(value, Some(&[Event::String(text.to_vec())][..]));
}

fn is_id(text: &[u8], id: &Id, value: Option<Value>) {
    let Some(value) = value else {
        return assert_eq!(*id, Id::NONE);
    };
    let written = &text[id.extent.0..id.extent.1];
    assert_eq!(parse(written, Limits::default()).unwrap().0, value);
    let event = match &id.value {
        IdValue::Null => Event::Null,
        IdValue::Integer(value) => Event::Integer(*value),
        IdValue::BigInteger => Event::BigInteger(written.to_vec()),
        IdValue::Float(value) => Event::Float(value.to_bits()),
        IdValue::Text(value) => Event::String(value.bytes(text).to_vec()),
    };
    assert_eq!(event, value[0]);
}

/// The reply to an invalid message is a sound error response with its id.
fn refuses(text: &[u8], id: &Id, echo: bool) {
    let id = match (echo, id.extent) {
        (true, (start, end)) if start < end => &text[start..end],
        _ => b"null",
    };
    let reply = error_reply(id, INVALID_REQUEST, Some(b"{\"a\":[]}"));
    let Verdict::Accepted { events, .. } = judge(&reply) else {
        panic!("not JSON: {reply:?}");
    };
    assert_eq!(faults(Dialect::JsonRpc, &events), []);
    let id = parse(id, Limits::default()).unwrap();
    assert_eq!(member(&events, b"id"), Some(&id.0[..]));
}

/// `peek` says the same as `read`, and what it says of `params` is in `value`.
fn peeks(
    text: &[u8],
    options: &Options,
    answer: &Result<Framing, Failure>,
    messages: &[Message<Vec<Event>>],
    value: Option<Value>,
) {
    let peeked = peek(text, options);
    let framing = match (&peeked, answer) {
        (Ok(_), Ok(framing)) => framing,
        (Err(peeked), Err(answer)) => return assert_eq!(peeked, answer),
        _ => panic!("peek: {peeked:?}, read: {answer:?}"),
    };
    let peeked = peeked.expect("just seen");
    let Framing::Single = framing else {
        return assert_eq!(peeked.message, None);
    };
    assert_eq!(peeked.message, Some(without_values(&messages[0])));
    let Some(value) = value else {
        return;
    };
    let params = member(value, b"params").unwrap_or_default();
    let name = |name: &Name, value: Option<Value>| match (name, value) {
        (Name::Absent, None) => {}
        (Name::Text(name), Some(_)) => is_text(name.bytes(text), value),
        (Name::Other, Some(value)) => assert!(!matches!(value[0], Event::String(_))),
        (name, value) => panic!("{name:?} for {value:?}"),
    };
    let arguments = peeked.params.arguments.map(|(start, end)| {
        let tape = parse(&text[start..end], Limits::default());
        tape.expect("the text is sound").0
    });
    assert_eq!(arguments.as_deref(), member(params, b"arguments"));
    let meta = member(params, b"_meta").unwrap_or_default();
    let version = b"io.modelcontextprotocol/protocolVersion";
    name(peeked.params.target(Target::Tool), member(params, b"name"));
    name(
        peeked.params.target(Target::Resource),
        member(params, b"uri"),
    );
    name(&peeked.params.protocol_version, member(meta, version));
    for (method, token) in [
        (
            &b"notifications/progress"[..],
            member(params, b"progressToken"),
        ),
        (b"tools/call", member(meta, b"progressToken")),
    ] {
        let read = peeked.params.progress_token(method);
        assert_eq!(read.is_some(), token.is_some());
        if let (Some((read, extent)), Some(token)) = (read, token) {
            let written = &text[extent.0..extent.1];
            assert_eq!(parse(written, Limits::default()).unwrap().0, token);
            let event = match read {
                RawId::Null => Event::Null,
                RawId::Integer(value) => Event::Integer(*value),
                RawId::BigInteger => Event::BigInteger(written.to_vec()),
                RawId::Float(value) => Event::Float(value.to_bits()),
                RawId::Text(value) => Event::String(value.bytes(text).to_vec()),
                RawId::Absent => panic!("it is there"),
                RawId::Other => continue,
            };
            assert_eq!(event, token[0]);
        }
    }
    headers_agree(text, options, &messages[0], params);
}

fn without_values(message: &Message<Vec<Event>>) -> Message<()> {
    match message.clone() {
        Message::Request { id, method, params } => Message::Request {
            id,
            method,
            params: params.map(|_| ()),
        },
        Message::Notification { method, params } => Message::Notification {
            method,
            params: params.map(|_| ()),
        },
        Message::Response { id, .. } => Message::Response { id, result: () },
        Message::ErrorResponse {
            id,
            code,
            message,
            data,
        } => Message::ErrorResponse {
            id,
            code,
            message,
            data: data.map(|_| ()),
        },
        Message::Invalid(invalid) => Message::Invalid(invalid),
    }
}

/// Headers made from the body agree with it, others do not.
fn headers_agree(text: &[u8], options: &Options, message: &Message<Vec<Event>>, params: Value) {
    let mut headers = Headers {
        method: Header::Absent,
        name: Header::Absent,
        protocol_version: Header::Absent,
    };
    let checked = |headers: &Headers| check_headers(headers, text, options).expect("sound");
    let (Message::Request { method, .. } | Message::Notification { method, .. }) = message else {
        let checked = checked(&headers);
        return assert!(matches!(
            checked,
            Checked::NotARequest | Checked::Invalid(_)
        ));
    };
    let method = method.bytes(text);
    let visible = method.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if !visible || method.trim_ascii() != method {
        return;
    }
    headers.method.add(method);
    let target = match method {
        b"tools/call" | b"prompts/get" => member(params, b"name"),
        b"resources/read" => member(params, b"uri"),
        _ => None,
    };
    let name = match target {
        Some([Event::String(name)]) => [b"=?base64?", &base64(name)[..], b"?="].concat(),
        _ => Vec::new(),
    };
    if !name.is_empty() {
        headers.name.add(&name);
    }
    let named = matches!(method, b"tools/call" | b"prompts/get" | b"resources/read")
        && matches!(message, Message::Request { .. });
    if named && name.is_empty() {
        assert!(matches!(
            checked(&headers),
            Checked::Disagree {
                field: Field::Name,
                ..
            }
        ));
        return;
    }
    assert_eq!(checked(&headers), Checked::Agree);
    let other = [method, b"/"].concat();
    headers.method = Header::Once(&other);
    let Checked::Disagree { field, fault, .. } = checked(&headers) else {
        panic!("another method");
    };
    assert_eq!((field, fault), (Field::Method, HeaderFault::Mismatch));
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | usize::from(group.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            text.push(if at <= group.len() {
                DIGITS[bits >> (18 - 6 * at) & 63]
            } else {
                b'='
            });
        }
    }
    text
}
