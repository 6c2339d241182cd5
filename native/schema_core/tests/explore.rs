mod common;
use std::time::Instant;

fn try_one(name: &str, schema: &str, instances: &[&str]) {
    let start = Instant::now();
    let compiled = common::compile_with(schema, &[], &common::options(None));
    println!(
        "{name}: compile {:?} {}",
        start.elapsed(),
        match &compiled {
            Ok(_) => "ok".into(),
            Err(e) => format!("{e:?}").chars().take(200).collect::<String>(),
        }
    );
    if let Ok(c) = compiled {
        for i in instances {
            let start = Instant::now();
            let arena = bumpalo::Bump::new();
            let inst = common::instance(&arena, i);
            let v = c.is_valid(inst, common::LARGE);
            println!(
                "   {:.30}: valid {:?} {:?} steps {}",
                i,
                v.result,
                start.elapsed(),
                v.steps
            );
            let start = Instant::now();
            let v = c.violations(inst, common::LARGE);
            println!(
                "   {:.30}: violations {:?} {:?} steps {}",
                i,
                v.result.map(|v| v.len()),
                start.elapsed(),
                v.steps
            );
        }
        let start = Instant::now();
        drop(c);
        println!("   drop {:?}", start.elapsed());
    }
}

fn doubling(n: usize, op: &str, leaf: &str) -> String {
    let mut defs = String::new();
    for i in 0..n {
        defs += &format!(
            r##""a{i}":{{"{op}":[{{"$ref":"#/$defs/a{0}"}},{{"$ref":"#/$defs/a{0}"}}]}},"##,
            i + 1
        );
    }
    format!(r##"{{"$defs":{{{defs}"a{n}":{leaf}}},"$ref":"#/$defs/a0"}}"##)
}

#[test]
fn explore() {
    let n: usize = std::env::var("N").map_or(20, |n| n.parse().unwrap());
    try_one("allOf silent", &doubling(n, "allOf", "{}"), &["1", "{}"]);
    try_one("anyOf silent false", &doubling(n, "anyOf", "false"), &["1"]);
    try_one(
        "allOf type",
        &doubling(n, "allOf", r#"{"type":"integer"}"#),
        &["1", "\"a\""],
    );
    try_one(
        "anyOf type",
        &doubling(n, "anyOf", r#"{"type":"integer"}"#),
        &["1", "\"a\"", "{}"],
    );
    // chain of refs
    let mut defs = String::new();
    for i in 0..10000 {
        defs += &format!(r##""a{i}":{{"$ref":"#/$defs/a{}"}},"##, i + 1);
    }
    try_one(
        "ref chain",
        &format!(r##"{{"$defs":{{{defs}"a10000":{{"type":"integer"}}}},"$ref":"#/$defs/a0"}}"##),
        &["1", "\"a\""],
    );
    try_one("self ref", r##"{"$ref":"#"}"##, &["1"]);
    try_one(
        "cycle",
        r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##,
        &["1"],
    );
    try_one(
        "cycle allOf",
        r##"{"$defs":{"a":{"allOf":[{"$ref":"#/$defs/b"},{"$ref":"#/$defs/b"}]},"b":{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]}},"$ref":"#/$defs/a"}"##,
        &["1"],
    );
    // fully connected cycle
    let k = 12;
    let mut defs = Vec::new();
    for i in 0..k {
        let refs: Vec<String> = (0..k)
            .map(|j| format!(r##"{{"$ref":"#/$defs/a{j}"}}"##))
            .collect();
        defs.push(format!(r##""a{i}":{{"allOf":[{}]}}"##, refs.join(",")));
    }
    try_one(
        "clique",
        &format!(
            r##"{{"$defs":{{{}}},"$ref":"#/$defs/a0"}}"##,
            defs.join(",")
        ),
        &["1"],
    );
    // enum
    let e: Vec<String> = (0..50000).map(|i| format!("{i}.5")).collect();
    try_one(
        "enum",
        &format!(r#"{{"items":{{"enum":[{}]}}}}"#, e.join(",")),
        &["[1,2,3]", "[4.5,1,2,3,4,5,6,7]"],
    );
    // nested
    for d in [100, 300] {
        try_one(
            "nested not",
            &format!("{}true{}", "{\"not\":".repeat(d), "}".repeat(d)),
            &["1"],
        );
        try_one(
            "nested properties",
            &format!(
                "{}true{}",
                "{\"properties\":{\"a\":".repeat(d / 2),
                "}}".repeat(d / 2)
            ),
            &["1"],
        );
        try_one(
            "nested allOf",
            &format!("{}true{}", "{\"allOf\":[".repeat(d / 2), "]}".repeat(d / 2)),
            &["1"],
        );
        try_one(
            "nested oneOf",
            &format!(
                "{}{{\"type\":\"string\"}}{}",
                "{\"oneOf\":[".repeat(d / 2),
                "]}".repeat(d / 2)
            ),
            &["1"],
        );
    }
    // dynamic scopes
    let m: usize = std::env::var("M").map_or(10, |n| n.parse().unwrap());
    let mut defs = String::new();
    for i in 0..m {
        for side in ["l", "r"] {
            defs += &format!(
                r##""{side}{i}":{{"$id":"http://x/{side}{i}","properties":{{"l":{{"$ref":"l{0}"}},"r":{{"$ref":"r{0}"}}}}}},"##,
                i + 1
            );
        }
    }
    try_one(
        "scopes",
        &format!(
            r##"{{"$id":"http://x/root","$defs":{{{defs}"l":{{"$id":"l{m}"}},"r":{{"$id":"r{m}"}}}},"$ref":"l0"}}"##
        ),
        &["1"],
    );
    // unevaluated
    let mut s = String::from("true");
    for _ in 0..m {
        s = format!(
            r#"{{"unevaluatedProperties":{s},"anyOf":[{{"properties":{{"a":{s}}}}},{{"properties":{{"b":true}}}}]}}"#
        );
        if s.len() > 200000 {
            break;
        }
    }
    try_one("unevaluated", &s, &[r#"{"a":{"a":{"c":1}}}"#]);
    try_one(
        "unevaluated doubling",
        &doubling(n, "allOf", "{}").replacen(
            "\"$ref\"",
            "\"unevaluatedProperties\":false,\"$ref\"",
            usize::MAX,
        ),
        &["{\"a\":1}"],
    );
    for p in [
        "(a+)+$",
        "(a|a)*b",
        "(?=(a+)+b)a",
        "^(?!x)(a*)*b$",
        "(.*){1,1000}",
        "((a{1,100}){1,100}){1,100}",
        "(\\\\p{L}{1,100}){1,50}b",
        "(a*)*\\\\1b",
    ] {
        try_one(
            p,
            &format!(r#"{{"pattern":"{p}"}}"#),
            &[
                &format!("\"{}\"", "a".repeat(40)),
                &format!("\"{}\"", "a".repeat(20000)),
                "\"x\"",
            ],
        );
    }
}
