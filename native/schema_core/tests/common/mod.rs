//! Compiles and validates JSON texts.
#![allow(dead_code)]

use bumpalo::Bump;
use schema_core::bytes::read;
use schema_core::instance::Builder;
use schema_core::{CompileError, Document, Draft, Limits, Options, Schema, Stop, Violation};

pub const LARGE: Limits = Limits {
    steps: 40_000_000,
    stack: None,
};

pub const SMALL: Limits = Limits {
    steps: 1_000_000,
    stack: Some(128 << 10),
};

pub const DEPTH: usize = 1024;

pub fn options(draft: Option<Draft>) -> Options {
    Options {
        draft,
        formats: None,
        max_errors: 32,
    }
}

pub fn instance<'a>(arena: &'a Bump, json: &'a str) -> schema_core::instance::Instance<'a> {
    let mut builder = Builder::new(arena, DEPTH, usize::MAX);
    read(json.as_bytes(), &mut builder).unwrap_or_else(|error| panic!("{error:?} in {json:.200}"));
    builder.finish()
}

pub fn compile_with(
    schema: &str,
    documents: &[(String, String)],
    options: &Options,
) -> Result<Schema, CompileError> {
    let arena = Bump::new();
    let documents: Vec<Document> = documents
        .iter()
        .map(|(uri, text)| Document {
            uri,
            contents: instance(&arena, text),
        })
        .collect();
    schema_core::compile(instance(&arena, schema), &documents, options)
}

pub fn compile(schema: &str) -> Schema {
    compile_with(schema, &[], &options(None)).expect("a schema")
}

pub fn is_valid(schema: &Schema, json: &str) -> bool {
    let arena = Bump::new();
    schema
        .is_valid(instance(&arena, json), LARGE)
        .result
        .expect("within limits")
}

pub fn violations(schema: &Schema, json: &str, limits: Limits) -> Result<Vec<Violation>, Stop> {
    let arena = Bump::new();
    schema.violations(instance(&arena, json), limits).result
}
