//! Schemas and instances made to hang or crash a validator: each ends soon, with an answer or an
//! error. The tests run on threads with the stack of an Erlang scheduler.

mod common;

use common::{compile, compile_with, instance, is_valid, options, violations, LARGE, SMALL};
use schema_core::{CompileError, Stop};
use std::time::{Duration, Instant};

/// Generous for a loaded machine in a debug build; without the limits these take hours.
const SOON: Duration = Duration::from_secs(60);

fn soon<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let start = Instant::now();
    let result = std::thread::Builder::new()
        .stack_size(320 << 10)
        .spawn(body)
        .expect("a thread")
        .join()
        .expect("no panic");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    result
}

/// `count` definitions, each of which refers twice to the next: 2^count paths.
fn doubling(count: usize, keyword: &str, last: &str) -> String {
    let definitions: String = (0..count)
        .map(|i| {
            let next = format!(r##"{{"$ref":"#/$defs/a{}"}}"##, i + 1);
            format!(r#""a{i}":{{"{keyword}":[{next},{next}]}},"#)
        })
        .collect();
    format!(r##"{{"$defs":{{{definitions}"a{count}":{last}}},"$ref":"#/$defs/a0"}}"##)
}

fn refused(schema: String) {
    soon(move || match compile_with(&schema, &[], &options(None)) {
        Err(CompileError::TooComplex) => {}
        other => panic!("{:?}", other.map(|schema| schema.size())),
    });
}

#[test]
fn paths_that_double() {
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for last in ["{}", "true", "false", r#"{"type":"integer"}"#] {
            refused(doubling(40, keyword, last));
        }
    }
    refused(doubling(40, "allOf", "{}").replacen("{", r#"{"unevaluatedProperties":false,"#, 1));
}

#[test]
fn paths_up_to_the_limit() {
    // 1 + 2 * (1 + paths below): 2^10 + 2 * (2^10 - 1) and one for the reference at the root.
    let schema = doubling(10, "allOf", r#"{"type":"integer"}"#);
    soon(move || {
        let schema = compile(&schema);
        assert!(is_valid(&schema, "1"));
        assert!(!is_valid(&schema, r#""a""#));
        assert_eq!(
            violations(&schema, r#""a""#, LARGE).map(|all| all.len()),
            Ok(32)
        );
    });
    refused(doubling(11, "allOf", r#"{"type":"integer"}"#));
}

#[test]
fn alternatives_that_all_fail() {
    let schema = doubling(10, "anyOf", r#"{"type":"integer"}"#);
    soon(move || {
        let found = violations(&compile(&schema), r#""a""#, LARGE).expect("within limits");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].keyword, "anyOf");
    });
}

#[test]
fn references_in_circles() {
    for schema in [
        r##"{"$ref":"#"}"##,
        r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##,
        r##"{"allOf":[{"$ref":"#"},{"$ref":"#"}]}"##,
    ] {
        soon(move || assert!(is_valid(&compile(schema), "1")));
    }
}

#[test]
fn every_definition_refers_to_every_other() {
    let count = 12;
    let all: Vec<String> = (0..count)
        .map(|i| format!(r##"{{"$ref":"#/$defs/a{i}"}}"##))
        .collect();
    let definitions: Vec<String> = (0..count)
        .map(|i| format!(r#""a{i}":{{"allOf":[{}]}}"#, all.join(",")))
        .collect();
    refused(format!(
        r##"{{"$defs":{{{}}},"$ref":"#/$defs/a0"}}"##,
        definitions.join(",")
    ));
}

#[test]
fn every_resource_refers_to_every_other() {
    let count = 10;
    let all: Vec<String> = (0..count)
        .map(|i| format!(r#""p{i}":{{"$ref":"a{i}"}}"#))
        .collect();
    let definitions: Vec<String> = (0..count)
        .map(|i| {
            format!(
                r#""a{i}":{{"$id":"http://x/a{i}","properties":{{{}}}}}"#,
                all.join(",")
            )
        })
        .collect();
    refused(format!(
        r#"{{"$id":"http://x/","$defs":{{{}}},"$ref":"a0"}}"#,
        definitions.join(",")
    ));
}

#[test]
fn resources_that_double() {
    let count = 30;
    let mut definitions = String::new();
    for i in 0..count {
        for side in ["l", "r"] {
            definitions += &format!(
                r#""{side}{i}":{{"$id":"http://x/{side}{i}","properties":{{"l":{{"$ref":"l{0}"}},"r":{{"$ref":"r{0}"}}}}}},"#,
                i + 1
            );
        }
    }
    refused(format!(
        r#"{{"$id":"http://x/","$defs":{{{definitions}"l":{{"$id":"l{count}"}},"r":{{"$id":"r{count}"}}}},"$ref":"l0"}}"#
    ));
}

#[test]
fn a_long_chain_of_references() {
    let chain = |count: usize| {
        let definitions: String = (0..count)
            .map(|i| format!(r##""a{i}":{{"$ref":"#/$defs/a{}"}},"##, i + 1))
            .collect();
        format!(
            r##"{{"$defs":{{{definitions}"a{count}":{{"type":"integer"}}}},"$ref":"#/$defs/a0"}}"##
        )
    };
    let accepted = chain(1_000);
    soon(move || {
        let schema = compile(&accepted);
        assert!(schema.is_heavy());
        assert!(is_valid(&schema, "1"));
        assert_eq!(
            violations(&schema, r#""a""#, LARGE).map(|all| all.len()),
            Ok(1)
        );
        schema.release();
    });
    refused(chain(10_000));
}

#[test]
fn schemas_nested_as_deep_as_any() {
    for (open, close) in [
        (r#"{"not":"#, "}"),
        (r#"{"items":"#, "}"),
        (r#"{"properties":{"a":"#, "}}"),
        (r#"{"allOf":["#, "]}"),
        (r#"{"anyOf":["#, "]}"),
        (r#"{"oneOf":["#, "]}"),
        (r#"{"if":true,"then":"#, "}"),
        (r#"{"additionalProperties":"#, "}"),
        (r#"{"dependentSchemas":{"a":"#, "}}"),
        (r#"{"prefixItems":["#, "]}"),
        (r#"{"contains":"#, "}"),
        (r#"{"propertyNames":"#, "}"),
    ] {
        let levels = common::DEPTH / (open.matches(['{', '[']).count()) - 1;
        let schema = format!(
            "{}{{\"type\":\"string\"}}{}",
            open.repeat(levels),
            close.repeat(levels)
        );
        soon(move || match compile_with(&schema, &[], &options(None)) {
            Ok(schema) => {
                for json in ["1", "[1]", r#"{"a":1}"#] {
                    let found = violations(&schema, json, LARGE).expect("within limits");
                    assert_eq!(found.is_empty(), is_valid(&schema, json));
                }
                schema.release();
            }
            Err(error) => panic!("{error:?}"),
        });
    }
}

#[test]
fn an_instance_as_deep_as_any() {
    let schema =
        r##"{"items":{"$ref":"#"},"properties":{"a":{"$ref":"#"}},"type":["array","object"]}"##;
    let arrays = format!("{}{}", "[".repeat(common::DEPTH), "]".repeat(common::DEPTH));
    let objects = format!(
        "{}{{}}{}",
        r#"{"a":"#.repeat(common::DEPTH - 1),
        "}".repeat(common::DEPTH - 1)
    );
    soon(move || {
        let schema = compile(schema);
        for json in [&arrays, &objects] {
            assert!(is_valid(&schema, json));
            // On a scheduler's stack the guard stops in time.
            let small = violations(&schema, json, SMALL);
            assert!(matches!(small, Ok(_) | Err(Stop::Stack)), "{small:?}");
        }
        assert!(!is_valid(&schema, &arrays.replacen("[]", "[1]", 1)));
    });
}

#[test]
fn the_guard_sees_the_stack() {
    let schema = r##"{"items":{"anyOf":[{"$ref":"#"},{"type":"integer"}]}}"##;
    let json = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let result = soon(move || {
        let small = schema_core::Limits {
            steps: 1_000_000,
            stack: Some(32 << 10),
        };
        violations(&compile(schema), &json, small)
    });
    assert_eq!(result, Err(Stop::Stack));
}

#[test]
fn steps_end() {
    let schema = compile(r#"{"items":{"enum":["a","b",{"c":1}]}}"#);
    let json = format!("[{}1]", "1,".repeat(10_000));
    let small = schema_core::Limits {
        steps: 1_000,
        stack: Some(128 << 10),
    };
    assert_eq!(violations(&schema, &json, small), Err(Stop::Steps));
    let arena = bumpalo::Bump::new();
    let verdict = schema.is_valid(instance(&arena, &json), LARGE);
    assert_eq!(verdict.result, Ok(false));
}

#[test]
fn patterns() {
    for (pattern, subject) in [
        ("(a+)+$", "a".repeat(30_000) + "b"),
        ("(a|a)*b", "a".repeat(30_000)),
        ("(a|b)*a(a|b){200}", "ab".repeat(30_000)),
        ("(?=(a+)+b)a", "a".repeat(30_000)),
        ("^(?!x)(a*)*b$", "a".repeat(30_000)),
        ("(a*)*\\\\1b", "a".repeat(30_000)),
        ("(?<!a)(b+)+c", "b".repeat(30_000)),
        ("(a+)+$", "a".repeat(1_000_000) + "b"),
        ("(?=(a+)+b)a", "a".repeat(1_000_000)),
    ] {
        let schema =
            format!(r#"{{"pattern":"{pattern}","patternProperties":{{"{pattern}":true}}}}"#);
        soon(move || {
            let schema = compile(&schema);
            let _ = violations(&schema, &format!("{subject:?}"), LARGE);
            let _ = violations(&schema, &format!("{{{subject:?}:1}}"), LARGE);
        });
    }
    for pattern in [
        "((a{1,100}){1,100}){1,100}",
        "(\\\\p{L}{1,100}){1,50}",
        "(.{1,1000}){1,1000}",
    ] {
        let schema = format!(r#"{{"pattern":"{pattern}"}}"#);
        soon(move || match compile_with(&schema, &[], &options(None)) {
            Err(CompileError::Invalid(violation)) => {
                assert_eq!(violation.instance_path, "/pattern")
            }
            other => panic!("{:?}", other.map(|schema| schema.size())),
        });
    }
}

#[test]
fn backtracking_in_bounds_still_answers() {
    let schema = compile(r#"{"pattern":"^(?!.*--)[a-z-]+$"}"#);
    assert!(schema.is_heavy());
    assert!(is_valid(&schema, r#""some-name""#));
    assert!(!is_valid(&schema, r#""some--name""#));
}

#[test]
fn large_enums_and_arrays() {
    let numbers: Vec<String> = (0..50_000).map(|i| format!("{i}.5")).collect();
    let schema = format!(
        r#"{{"items":{{"enum":[{}]}},"uniqueItems":true}}"#,
        numbers.join(",")
    );
    let json = format!("[{}]", numbers.join(","));
    soon(move || {
        let schema = compile(&schema);
        assert!(is_valid(&schema, "[49999.5,1.5]"));
        assert!(!is_valid(&schema, "[1]"));
        // 50,000 times 50,000 comparisons.
        assert_eq!(violations(&schema, &json, LARGE), Err(Stop::Steps));
    });
}

#[test]
fn equal_hashes() {
    // All have the same nearest float.
    let numbers: Vec<String> = (0..5_000)
        .map(|i| format!("9007199254740993000000000000{i:04}"))
        .collect();
    let json = format!("[{}]", numbers.join(","));
    soon(move || {
        let result = violations(&compile(r#"{"uniqueItems":true}"#), &json, LARGE);
        assert_eq!(result, Err(Stop::Steps));
    });
}

#[test]
fn numbers_of_any_size() {
    let schema = compile(r#"{"multipleOf":0.01,"minimum":-1e400,"maximum":1e400}"#);
    let digits = "9".repeat(20_000);
    for json in [
        "19.99",
        "1e300",
        "123456789012345678901234567890",
        "1e400",
        "-1e400",
    ] {
        assert!(is_valid(&schema, json), "{json:.40}");
    }
    for json in [
        "19.995",
        "1e401",
        "1e999999999",
        "-1e999999999",
        "1e-999999999",
        &digits,
    ] {
        assert!(!is_valid(&schema, json), "{json:.40}");
    }
}

#[test]
fn many_errors() {
    let schema = compile(r#"{"items":{"type":"string","minLength":1}}"#);
    let json = format!("[{}1]", "1,".repeat(200_000));
    let found = soon(move || violations(&schema, &json, LARGE));
    // Too many to collect: the first one.
    assert_eq!(found.map(|all| all.len()), Ok(1));
}

#[test]
fn long_paths() {
    // Each error would hold a path of a megabyte.
    let key = "k".repeat(1_000_000);
    let json = format!(r#"{{"{key}":[{}1]}}"#, "1,".repeat(20_000));
    let schema = compile(r#"{"additionalProperties":{"items":{"type":"string"}}}"#);
    let found = soon(move || violations(&schema, &json, LARGE)).expect("within limits");
    assert_eq!(found.len(), 1);
    let nested = format!(
        r#"{{"properties":{{"{key}":{{"enum":[{}1]}}}}}}"#,
        "1,".repeat(1_000)
    );
    refused(nested);
}

#[test]
fn long_messages_are_cut() {
    let json = format!(
        "{{{}\"a\":1}}",
        (0..10_000)
            .map(|i| format!("\"é{i}\":1,"))
            .collect::<String>()
    );
    let schema = compile(r#"{"additionalProperties":false}"#);
    let found = violations(&schema, &json, LARGE).expect("within limits");
    assert_eq!(found.len(), 1);
    assert!(found[0].message.len() <= 1024);
}
