//! From a schema document to a [`Schema`].

use crate::instance::{Instance, Slot};
use crate::number::Number;
use crate::stack::on_large_stack;
use crate::{Schema, Violation};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, Registry, ValidationError};
use serde_json::{Map, Value};

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
    let registry = registry(documents, options)?;
    let mut builder = jsonschema::options_for::<crate::node::Tree>()
        .offline()
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

fn registry(
    documents: &[Document<'_>],
    options: &Options,
) -> Result<Registry<'static>, CompileError> {
    let unresolved =
        |error: jsonschema::ReferencingError| CompileError::Unresolved(error.to_string());
    let draft = options.draft.unwrap_or_default();
    let mut builder = Registry::new().draft(draft).retriever(Offline);
    for document in documents {
        let contents = to_json(document.contents.root);
        let resource = draft.detect(&contents).create_resource(contents);
        builder = builder.add(document.uri, resource).map_err(unresolved)?;
    }
    builder.prepare().map_err(unresolved)
}

struct Offline;

impl jsonschema::Retrieve for Offline {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} is not among the documents").into())
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
