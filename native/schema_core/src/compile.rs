//! From a schema document to a [`Schema`].

use crate::instance::{Instance, Slot};
use crate::number::Number;
use crate::stack::on_large_stack;
use crate::{Schema, Violation};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, Registry, ValidationError};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

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
    let registry = meta_schemas(&root, &documents.0)
        .into_iter()
        .try_fold(Registry::new().retriever(documents.clone()), |builder, (uri, contents)| {
            builder.add(uri, Draft::default().detect(contents).create_resource_ref(contents))
        })
        .and_then(|builder| builder.prepare())
        .map_err(|error| CompileError::Unresolved(error.to_string()))?;
    let mut builder = jsonschema::options_for::<crate::node::Tree>()
        .with_retriever(documents.clone())
        .with_registry(&registry);
    if let Some(draft) = options.draft {
        builder = builder.with_draft(draft);
    }
    if let Some(formats) = options.formats {
        builder = builder.should_validate_formats(formats);
    }
    let validator = builder.build(&root).map_err(CompileError::from)?;
    Ok(Schema {
        validator,
        max_errors: options.max_errors,
        size,
    })
}

/// The documents that the chain of `$schema`s from the root leads to: the crate wants those
/// before it can tell the draft.
fn meta_schemas<'a>(root: &Value, documents: &'a HashMap<String, Value>) -> Vec<(&'a str, &'a Value)> {
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
