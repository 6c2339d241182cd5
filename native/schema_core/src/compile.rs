//! From a schema document to a [`Schema`].

use crate::branches::{self, Branches, MAX_LENGTH, MAX_PATHS, MAX_SCOPES, MAX_UNEVALUATED};
use crate::instance::{Instance, Slot};
use crate::number::Number;
use crate::pattern::Patterns;
use crate::stack::on_large_stack;
use crate::{Schema, Violation};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Registry, ValidationError};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Steps back in one match; some 50 ns each.
const BACKTRACKS: usize = 10_000;

/// Memory of one compiled pattern, and of what its matches cache.
const PATTERN_BYTES: usize = 1 << 20;
const PATTERN_CACHE: usize = 1 << 20;

/// Bytes of the locations of all values in a schema, which the compiled one keeps written out.
const MAX_LOCATIONS: usize = 64 << 20;

/// Of a schema that names no URI of its own.
const DEFAULT_BASE: &str = "json-schema:///";

#[derive(Clone, Debug)]
pub struct Options {
    /// `None`: what `$schema` says, else 2020-12.
    pub draft: Option<Draft>,
    /// Whether `format` asserts; `None`: what the draft says.
    pub formats: Option<bool>,
    /// How many errors one validation reports.
    pub max_errors: usize,
}

/// A further document that references may name.
pub struct Document<'a> {
    pub uri: &'a str,
    pub contents: Instance<'a>,
}

#[derive(Debug)]
pub enum CompileError {
    /// Not a schema of its draft.
    Invalid(Violation),
    /// A reference to what is neither in the schema nor among the documents, or a `$schema`
    /// that is not known.
    Unresolved(String),
    /// Its subschemas multiply beyond the limits in [`crate::branches`], or their locations
    /// together take too much memory.
    TooComplex,
    /// The system gave no thread to compile on.
    NoThread,
}

/// Compiles `schema`; takes as long as the schema is large.
pub fn compile(
    schema: Instance<'_>,
    documents: &[Document<'_>],
    options: &Options,
) -> Result<Schema, CompileError> {
    on_large_stack(|| compile_here(schema, documents, options))
        .unwrap_or(Err(CompileError::NoThread))
}

fn compile_here(
    schema: Instance<'_>,
    documents: &[Document<'_>],
    options: &Options,
) -> Result<Schema, CompileError> {
    let root = to_json(schema.root);
    let locations = documents
        .iter()
        .map(|document| document.contents)
        .chain([schema])
        .map(|instance| instance.nodes.saturating_mul(instance.longest_path))
        .fold(0, usize::saturating_add);
    let size = schema.nodes
        + documents
            .iter()
            .map(|document| document.contents.nodes)
            .sum::<usize>();
    let documents = Documents(Arc::new(
        documents
            .iter()
            .map(|document| {
                let uri = without_fragment(document.uri).to_owned();
                (uri, to_json(document.contents.root))
            })
            .collect(),
    ));
    let patterns = documents
        .0
        .values()
        .fold(Patterns::of(&root), |all, document| {
            all.join(Patterns::of(document))
        });
    let registry = meta_schemas(&root, &documents.0)
        .into_iter()
        .try_fold(
            Registry::new().retriever(documents.clone()),
            |builder, (uri, contents)| {
                builder.add(
                    uri,
                    Draft::default()
                        .detect(contents)
                        .create_resource_ref(contents),
                )
            },
        )
        .and_then(|builder| builder.prepare())
        .map_err(|error| CompileError::Unresolved(error.to_string()))?;
    let mut builder = jsonschema::options_for::<crate::node::Tree>()
        .with_retriever(documents.clone())
        .with_registry(&registry)
        // With limits every pattern is compiled now, none at its first use.
        .with_pattern_options(
            PatternOptions::fancy_regex()
                .backtrack_limit(BACKTRACKS)
                .size_limit(PATTERN_BYTES)
                .dfa_size_limit(PATTERN_CACHE),
        );
    if let Some(draft) = options.draft {
        builder = builder.with_draft(draft);
    }
    if let Some(formats) = options.formats {
        builder = builder.should_validate_formats(formats);
    }
    let branches = measure_branches(&root, &documents, options)?;
    if locations > MAX_LOCATIONS
        || branches.paths > MAX_PATHS
        || branches.length > MAX_LENGTH
        || branches.unevaluated > MAX_UNEVALUATED
        || branches.scopes > MAX_SCOPES
    {
        return Err(CompileError::TooComplex);
    }
    let validator = builder.build(&root).map_err(CompileError::from)?;
    Ok(Schema {
        validator,
        max_errors: options.max_errors,
        size,
        branches,
        patterns,
    })
}

fn measure_branches(
    root: &Value,
    documents: &Documents,
    options: &Options,
) -> Result<Branches, CompileError> {
    let draft = options
        .draft
        .unwrap_or_else(|| Draft::default().detect(root));
    let resource = draft.create_resource_ref(root);
    let base = resource.id().unwrap_or(DEFAULT_BASE).to_owned();
    let registry = Registry::new()
        .retriever(documents.clone())
        .draft(draft)
        .add(base.as_str(), resource)
        .and_then(|builder| builder.prepare())
        .map_err(|error| CompileError::Unresolved(error.to_string()))?;
    Ok(branches::measure(&registry, &base, root, draft))
}

/// The documents that the chain of `$schema`s from the root leads to: the crate wants those
/// before it can tell the draft.
fn meta_schemas<'a>(
    root: &Value,
    documents: &'a HashMap<String, Value>,
) -> Vec<(&'a str, &'a Value)> {
    let mut found: Vec<(&str, &Value)> = Vec::new();
    let mut current = root;
    while let Some((uri, contents)) = current
        .get("$schema")
        .and_then(Value::as_str)
        .and_then(|uri| documents.get_key_value(without_fragment(uri)))
    {
        if found.iter().any(|(seen, _)| seen == uri) {
            break;
        }
        found.push((uri, contents));
        current = contents;
    }
    found
}

fn without_fragment(uri: &str) -> &str {
    uri.split('#').next().unwrap_or(uri)
}

/// Serves the documents, and nothing else.
#[derive(Clone)]
struct Documents(Arc<HashMap<String, Value>>);

impl jsonschema::Retrieve for Documents {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        match self.0.get(without_fragment(uri.as_str())) {
            Some(contents) => Ok(contents.clone()),
            None => Err("it is not among the documents".into()),
        }
    }
}

impl From<ValidationError<'_>> for CompileError {
    fn from(error: ValidationError<'_>) -> Self {
        match error.kind() {
            ValidationErrorKind::Referencing(reason) => {
                CompileError::Unresolved(reason.to_string())
            }
            _ => CompileError::Invalid(Violation::new(&error)),
        }
    }
}

/// Recurses as deep as the document is nested, which its reader has bounded.
fn to_json(slot: &Slot<'_>) -> Value {
    match slot {
        Slot::Null => Value::Null,
        Slot::Bool(boolean) => Value::Bool(*boolean),
        Slot::Int(int) => Value::from(*int),
        Slot::Float(float) => Number::Float(*float).to_json(),
        Slot::Text(text) => Number::Text(text).to_json(),
        Slot::Str(string) => Value::String((*string).to_owned()),
        Slot::Array(items) => Value::Array(items.iter().map(to_json).collect()),
        Slot::Object(members) => Value::Object(
            members
                .iter()
                .map(|member| (member.key.to_owned(), to_json(&member.value)))
                .collect::<Map<_, _>>(),
        ),
    }
}
