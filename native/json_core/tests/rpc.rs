//! The envelope against a naive judge that sees the whole text as a tree.

use json_core::rpc::{
    check_headers, peek, read, Checked, Dialect, Failure, Fault, Field, Framing, Header,
    HeaderFault, Headers, Id, IdValue, Member, Message, Name, Options, Payload, RawId,
};
use json_core::{Error, Limits, Parser, Reason, Stop};
use proptest::prelude::*;
use serde_json::Value;

/// Keeps where the values stand.
struct Extents;

impl Payload for Extents {
    type Value = (usize, usize);
    fn read(&mut self, parser: &mut Parser<'_>, _: Member) -> Result<(usize, usize), Stop> {
        let extent = parser.skip_value()?;
        Ok((extent.start, extent.end))
    }
}

type Seen = Message<(usize, usize)>;

fn options(dialect: Dialect) -> Options {
    Options {
        dialect,
        limits: Limits {
            depth: 512,
            digits: 1000,
            ..Limits::default()
        },
        batch: 1000,
    }
}

fn all(text: &str, options: &Options) -> Result<(Framing, Vec<Seen>), Failure> {
    let mut messages = Vec::new();
    let framing = read(text.as_bytes(), options, &mut Extents, |_, message| {
        messages.push(message);
    })?;
    Ok((framing, messages))
}

fn one(text: &str, dialect: Dialect) -> Seen {
    let (framing, mut messages) = all(text, &options(dialect)).unwrap();
    assert_eq!(framing, Framing::Single, "{text}");
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

fn fault(text: &str, dialect: Dialect) -> Option<Fault> {
    match one(text, dialect) {
        Message::Invalid(invalid) => Some(invalid.fault),
        _ => None,
    }
}

/// What JSON-RPC 2.0 and MCP say of a message, member by member.
fn judge(message: &Value, dialect: Dialect) -> &'static str {
    let mcp = dialect == Dialect::Mcp;
    let Some(members) = message.as_object() else {
        return "invalid";
    };
    let id = members.get("id");
    let integral = |value: &Value| {
        value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|float| float.fract() == 0.0)
    };
    let id_is_right = id.is_none_or(|id| match id {
        Value::Null => !mcp,
        Value::Number(_) => !mcp || integral(id),
        Value::String(_) => true,
        _ => false,
    });
    if members.get("jsonrpc") != Some(&Value::from("2.0")) {
        return "invalid";
    }
    let (method, result, error) = (
        members.get("method"),
        members.get("result"),
        members.get("error"),
    );
    match (method, result, error) {
        (Some(method), None, None) => {
            let params_are_right = members
                .get("params")
                .is_none_or(|params| params.is_object() || (params.is_array() && !mcp));
            match (method.is_string() && params_are_right && id_is_right, id) {
                (false, _) => "invalid",
                (true, None) => "notification",
                (true, Some(_)) => "request",
            }
        }
        (None, Some(result), None)
            if id.is_some() && id_is_right && (result.is_object() || !mcp) =>
        {
            "response"
        }
        (None, None, Some(error)) => {
            let id_is_right = match id {
                None => mcp,
                Some(Value::Null) => true,
                Some(_) => id_is_right,
            };
            let right = id_is_right
                && error.get("code").is_some_and(integral)
                && error.get("message").is_some_and(Value::is_string);
            if right {
                "error"
            } else {
                "invalid"
            }
        }
        _ => "invalid",
    }
}

fn kind(message: &Seen) -> &'static str {
    match message {
        Message::Request { .. } => "request",
        Message::Notification { .. } => "notification",
        Message::Response { .. } => "response",
        Message::ErrorResponse { .. } => "error",
        Message::Invalid(_) => "invalid",
    }
}

fn member() -> impl Strategy<Value = String> {
    let version = prop_oneof![8 => Just("\"2.0\""), 1 => Just("\"1.0\""), 1 => Just("2")];
    let any = prop_oneof![
        Just("null"),
        Just("true"),
        Just("7"),
        Just("-1.5"),
        Just("2.0"),
        Just("\"text\""),
        Just("\"\\u0061\""),
        Just("[1,{}]"),
        Just("{\"a\":[{}]}"),
        Just("{\"code\":-32000,\"message\":\"m\"}"),
        Just("{\"message\":\"m\",\"data\":[1],\"code\":1e2}"),
        Just("{\"code\":\"1\",\"message\":\"m\"}"),
    ];
    let key = prop_oneof![
        Just("id"),
        Just("method"),
        Just("params"),
        Just("result"),
        Just("error"),
        Just("other"),
        Just("m\\u0065thod"),
    ];
    prop_oneof![
        2 => version.prop_map(|value| format!("\"jsonrpc\":{value}")),
        5 => (key, any).prop_map(|(key, value)| format!("\"{key}\" : {value}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn members_in_any_order(
        members in proptest::collection::vec(member(), 0..7),
        mcp: bool,
        batch: bool,
    ) {
        let dialect = if mcp { Dialect::Mcp } else { Dialect::JsonRpc };
        let text = format!("{{{}}}", members.join(","));
        // Of duplicates serde_json takes the last: give it the first ones only.
        let mut first = serde_json::Map::new();
        for member in &members {
            let parsed: serde_json::Map<String, Value> =
                serde_json::from_str(&format!("{{{member}}}")).unwrap();
            for (key, value) in parsed {
                first.entry(key).or_insert(value);
            }
        }
        let expected = judge(&Value::Object(first), dialect);
        if batch {
            let text = format!(" [{text}, {text} ,1] ");
            let (framing, messages) = all(&text, &options(dialect)).unwrap();
            prop_assert_eq!(framing, Framing::Batch);
            let kinds: Vec<_> = messages.iter().map(kind).collect();
            prop_assert_eq!(kinds, vec![expected, expected, "invalid"]);
        } else {
            prop_assert_eq!(kind(&one(&text, dialect)), expected, "{}", text);
        }
    }

    /// Whatever the bytes are, a whole text is refused exactly where it is no JSON.
    #[test]
    fn never_accepts_what_is_no_json(cut in 0usize..200, at in 0usize..200, byte: u8) {
        let mut text = br#"[{"jsonrpc":"2.0","id":"a\n","method":"tools/call","params":{"name":"x","_meta":{"progressToken":[1,{}]}}},{"error":{"code":1,"message":"m","data":[null]},"id":1.5,"jsonrpc":"2.0"}]"#.to_vec();
        text.truncate(text.len() - cut.min(text.len()));
        if let Some(place) = text.get_mut(at) {
            *place = byte;
        }
        let json: Result<Value, _> = serde_json::from_slice(&text);
        let options = options(Dialect::JsonRpc);
        let answer = read(&text, &options, &mut Extents, |_, _| {});
        prop_assert_eq!(matches!(answer, Err(Failure::Text(_))), json.is_err());
        let peeked = peek(&text, &options);
        prop_assert_eq!(matches!(peeked, Err(Failure::Text(_))), json.is_err());
    }

    #[test]
    fn header_values_survive_their_encoding(name in "\\PC{0,12}") {
        let body = serde_json::json!({
            "jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": {"name": name},
        })
        .to_string();
        let encoded = format!("=?base64?{}?=", base64(name.as_bytes()));
        prop_assert_eq!(agree(&body, "prompts/get", Some(&encoded)), Checked::Agree);
        let other = format!("=?base64?{}?=", base64(format!("{name}.").as_bytes()));
        let answer = agree(&body, "prompts/get", Some(&other));
        prop_assert!(answer != Checked::Agree);
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (n, &byte)| {
            bits | u32::from(byte) << (16 - 8 * n)
        });
        for digit in 0..4 {
            text.push(if digit <= group.len() {
                DIGITS[(bits >> (18 - 6 * digit)) as usize & 63].into()
            } else {
                '='
            });
        }
    }
    text
}

fn agree(body: &str, method: &str, name: Option<&str>) -> Checked {
    let headers = Headers {
        method: Header::Once(method.as_bytes()),
        name: name.map_or(Header::Absent, |name| Header::Once(name.as_bytes())),
        protocol_version: Header::Absent,
    };
    check_headers(&headers, body.as_bytes(), &options(Dialect::Mcp)).unwrap()
}

#[test]
fn the_first_of_duplicates_counts() {
    let message = one(
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a","method":3,"params":[],"params":5}"#,
        Dialect::JsonRpc,
    );
    let Message::Request { id, method, params } = message else {
        panic!()
    };
    assert_eq!(id.value, IdValue::Integer(1));
    assert_eq!(
        method.bytes(br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a""#),
        b"a"
    );
    assert!(params.is_some());
    let first_is_wrong = r#"{"jsonrpc":"2.0","id":1,"method":3,"method":"a"}"#;
    assert_eq!(
        fault(first_is_wrong, Dialect::JsonRpc),
        Some(Fault::InvalidMethod)
    );
    let code = r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x","code":1,"message":"m"}}"#;
    assert_eq!(fault(code, Dialect::JsonRpc), Some(Fault::InvalidError));
}

#[test]
fn an_answer_to_a_response_never_bears_its_id() {
    for (text, echo) in [
        (r#"{"id":7,"method":"a"}"#, true),
        (r#"{"id":7,"result":1}"#, false),
        (r#"{"jsonrpc":"2.0","id":7,"result":1,"error":2}"#, false),
        (r#"{"jsonrpc":"2.0","id":7,"error":2}"#, false),
        (r#"{"jsonrpc":"2.0","id":7,"method":"a","result":1}"#, false),
        (r#"{"jsonrpc":"2.0","id":7,"method":"a","params":1}"#, true),
        (r#"{"jsonrpc":"2.0","id":7}"#, true),
    ] {
        let Message::Invalid(invalid) = one(text, Dialect::JsonRpc) else {
            panic!("{text}")
        };
        assert_eq!(invalid.id.value, IdValue::Integer(7));
        assert_eq!(invalid.echo, echo, "{text}");
    }
}

#[test]
fn limits_hold_at_every_level() {
    // The message, its params and `inner` further levels.
    let nested = |inner: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"a","params":[{}{}]}}"#,
            "[".repeat(inner),
            "]".repeat(inner)
        )
    };
    let in_error = |inner: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":1,"message":"","data":{}{}}}}}"#,
            "[".repeat(inner),
            "]".repeat(inner)
        )
    };
    let limited = |text: &str, depth: usize| {
        let mut options = options(Dialect::JsonRpc);
        options.limits.depth = depth;
        let answer = all(text, &options);
        match answer {
            Ok(_) => None,
            Err(Failure::Text(Error {
                reason: Reason::DepthLimit(limit),
                ..
            })) => Some(limit),
            Err(other) => panic!("{other:?}"),
        }
    };
    for (text, depth) in [
        (nested(0), 2),
        (nested(5), 7),
        (format!("[{}]", nested(5)), 8),
        (in_error(4), 6),
        (format!("[{}, {}]", in_error(1), nested(1)), 4),
        (format!("[{}, {}]", nested(1), in_error(4)), 7),
        ("{}".into(), 1),
        ("[{}]".into(), 2),
    ] {
        assert_eq!(limited(&text, depth), None, "{text}");
        assert_eq!(limited(&text, depth - 1), Some(depth - 1), "{text}");
    }
    let options = options(Dialect::JsonRpc);
    let deep = nested(1_000_000);
    assert!(matches!(all(&deep, &options), Err(Failure::Text(_))));
    assert!(matches!(
        peek(deep.as_bytes(), &options),
        Err(Failure::Text(_))
    ));
}

#[test]
fn batches_at_their_limit() {
    let mut options = options(Dialect::JsonRpc);
    for limit in 0..3 {
        options.batch = limit;
        for size in 1..5 {
            let text = format!("[{}]", vec!["1"; size].join(","));
            let answer = all(&text, &options).map(|(_, messages)| messages.len());
            let expected = if size <= limit {
                Ok(size)
            } else {
                Err(Failure::BatchLimit)
            };
            assert_eq!(answer, expected);
        }
    }
    assert_eq!(all(" [ ] ", &options), Err(Failure::EmptyBatch));
    assert!(matches!(all("[] x", &options), Err(Failure::Text(_))));
    assert!(matches!(all("[", &options), Err(Failure::Text(_))));
}

#[test]
fn numbers_obey_the_digit_limit_everywhere() {
    let mut options = options(Dialect::JsonRpc);
    options.limits.digits = 30;
    let digits = |count: usize| "9".repeat(count);
    for (count, fits) in [(29, true), (30, true), (31, false)] {
        for text in [
            format!(r#"{{"jsonrpc":"2.0","id":{},"method":"a"}}"#, digits(count)),
            format!(
                r#"{{"jsonrpc":"2.0","method":"a","params":[{}]}}"#,
                digits(count)
            ),
            format!(r#"{{"other":{}}}"#, digits(count)),
        ] {
            assert_eq!(all(&text, &options).is_ok(), fits, "{text}");
        }
    }
}

#[test]
fn peek_reads_what_routing_needs() {
    let text = r#"{"params":{"_meta":{"x":[{"progressToken":1}],"progressToken":"t"},"uri":"u:\u0031","name":"n","name":"other"},"method":"resources/read","id":0,"jsonrpc":"2.0"}"#;
    let peeked = peek(text.as_bytes(), &options(Dialect::Mcp)).unwrap();
    let Name::Text(uri) = &peeked.params.uri else {
        panic!()
    };
    assert_eq!(uri.bytes(text.as_bytes()), b"u:1");
    let Name::Text(name) = &peeked.params.name else {
        panic!()
    };
    assert_eq!(name.bytes(text.as_bytes()), b"n");
    let Some((RawId::Text(token), _)) = peeked.params.progress_token(b"resources/read") else {
        panic!()
    };
    assert_eq!(token.bytes(text.as_bytes()), b"t");
    assert_eq!(
        peeked.params.progress_token(b"notifications/progress"),
        None
    );
    let batch = peek(b"[1]", &options(Dialect::Mcp)).unwrap();
    assert_eq!(batch.message, None);
}

#[test]
fn headers_agree_or_say_why() {
    let body = |method: &str, params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
    };
    let fault = |field, fault| Checked::Disagree {
        id: Id {
            value: IdValue::Integer(1),
            extent: (22, 23),
        },
        field,
        fault,
    };
    let call = body("tools/call", r#"{"name":"a b"}"#);
    assert_eq!(agree(&call, "tools/call", Some("a b")), Checked::Agree);
    assert_eq!(agree(&call, " tools/call\t", Some(" a b ")), Checked::Agree);
    assert_eq!(
        agree(&call, "tools/list", Some("a b")),
        fault(Field::Method, HeaderFault::Mismatch)
    );
    assert_eq!(
        agree(&call, "Tools/call", Some("a b")),
        fault(Field::Method, HeaderFault::Mismatch)
    );
    assert_eq!(
        agree(&call, "tools/call", None),
        fault(Field::Name, HeaderFault::Missing)
    );
    assert_eq!(
        agree(&call, "tools/call", Some("a  b")),
        fault(Field::Name, HeaderFault::Mismatch)
    );
    for malformed in [
        "a b\n",
        "\u{fc}",
        "=?base64?YSB?=",
        "=?base64?YSBi=?=",
        "=?base64?YR==?=",
    ] {
        assert_eq!(
            agree(&call, "tools/call", Some(malformed)),
            fault(Field::Name, HeaderFault::Malformed),
            "{malformed}"
        );
    }
    // The method has no encoded form.
    assert_eq!(
        agree(&call, "=?base64?dG9vbHMvY2FsbA==?=", Some("a b")),
        fault(Field::Method, HeaderFault::Mismatch)
    );
    let read = body("resources/read", r#"{"name":"n","uri":"file:///x"}"#);
    assert_eq!(
        agree(&read, "resources/read", Some("file:///x")),
        Checked::Agree
    );
    assert_eq!(
        agree(&read, "resources/read", Some("n")),
        fault(Field::Name, HeaderFault::Mismatch)
    );
    let nameless = body("tools/call", "{\"name\":1}");
    assert_eq!(
        agree(&nameless, "tools/call", Some("1")),
        fault(Field::Name, HeaderFault::Mismatch)
    );
    let list = body("tools/list", "{}");
    assert_eq!(agree(&list, "tools/list", None), Checked::Agree);
    assert_eq!(
        agree(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "x", None),
        Checked::NotARequest
    );
    assert_eq!(agree("[1]", "x", None), Checked::NotARequest);
    assert!(matches!(agree("{}", "x", None), Checked::Invalid(_)));
}

#[test]
fn a_version_is_compared_where_both_sides_have_one() {
    let with = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let without = r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#;
    let check = |header, body: &str| {
        let headers = Headers {
            method: Header::Once(b"x"),
            name: Header::Absent,
            protocol_version: header,
        };
        match check_headers(&headers, body.as_bytes(), &options(Dialect::Mcp)) {
            Ok(Checked::Agree) => None,
            Ok(Checked::Disagree { field, fault, .. }) => Some((field, fault)),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(check(Header::Once(b"2026-07-28"), with), None);
    assert_eq!(check(Header::Absent, with), None);
    assert_eq!(check(Header::Once(b"2025-11-25"), without), None);
    let version = Field::ProtocolVersion;
    assert_eq!(
        check(Header::Once(b"2025-11-25"), with),
        Some((version, HeaderFault::Mismatch))
    );
    assert_eq!(
        check(Header::Repeated, with),
        Some((version, HeaderFault::Repeated))
    );
}
