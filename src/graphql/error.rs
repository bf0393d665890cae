//! What went wrong, as GraphQL tells it: `message`, `extensions.code`, `extensions.fields`.
//!
//! Resolvers use `?`; async-graphql keeps the original error as the source of its
//! own, and one pass over the finished response reads it back. A source that is
//! not ours becomes `INTERNAL`, so that no stray text of a database leaks.

use async_graphql::ErrorExtensionValues;
use async_graphql::ServerError;
use async_graphql::Value;
use async_graphql::indexmap::IndexMap;

use crate::error::Code;
use crate::error::Error;
use crate::error::FieldError;
use crate::error::Step;

/// The code of a document that does not fit the schema.
pub const VALIDATION_FAILED: &str = "GRAPHQL_VALIDATION_FAILED";
/// The code of a document that is no GraphQL.
pub const PARSE_FAILED: &str = "GRAPHQL_PARSE_FAILED";

/// Gives every error of a response its final message and extensions.
pub fn dress(errors: &mut [ServerError]) {
    for error in errors {
        dress_one(error);
    }
}

fn dress_one(error: &mut ServerError) {
    if error.extensions.as_ref().is_some_and(|extensions| extensions.get("code").is_some()) {
        return;
    }
    let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
    if error.source.is_none() {
        // A path tells that the document was fine and one of its inputs was not.
        let code = if error.path.is_empty() { VALIDATION_FAILED } else { Code::BadUserInput.row().name };
        extensions.set("code", code);
        return;
    }
    let ours = error.source.as_ref().and_then(|source| source.downcast_ref::<Error>());
    let Some(ours) = ours else {
        tracing::error!(message = error.message, path = ?error.path, "a resolver failed");
        Code::Internal.row().title.clone_into(&mut error.message);
        extensions.set("code", Code::Internal.row().name);
        return;
    };
    error.message = ours.to_string();
    extend(extensions, ours);
    if let Error::Internal(cause) = ours {
        tracing::error!(cause = format!("{cause:#}"), path = ?error.path, "a resolver failed");
    }
}

/// Adds what `error` tells besides its message.
pub fn extend(extensions: &mut ErrorExtensionValues, error: &Error) {
    extensions.set("code", error.code().row().name);
    match error {
        Error::Invalid(fields) => {
            extensions.set("fields", Value::List(fields.iter().map(field_value).collect()));
        }
        Error::BadCursor { field } => {
            let entry = entry((*field).to_owned(), "not a cursor of this list".to_owned(), "cursor");
            extensions.set("fields", Value::List(vec![entry]));
        }
        Error::Unavailable { retry_after, job_id, .. } => {
            if let Some(after) = retry_after {
                extensions.set("retryAfter", after.as_secs_f64());
            }
            if let Some(job) = job_id {
                extensions.set("jobId", job.as_str());
            }
        }
        Error::NotFound { .. }
        | Error::CursorExpired
        | Error::Conflict { .. }
        | Error::TooLarge { .. }
        | Error::Timeout
        | Error::Internal(_) => {}
    }
}

fn field_value(error: &FieldError) -> Value {
    let steps: Vec<String> = error
        .path
        .iter()
        .map(|step| match step {
            Step::Field(name) => camel(name),
            Step::Index(index) => index.to_string(),
        })
        .collect();
    entry(steps.join("."), error.rule.to_string(), error.rule.kind())
}

/// One entry of `extensions.fields`.
#[must_use]
pub fn entry(field: String, message: String, rule: &str) -> Value {
    let mut map = IndexMap::new();
    for (name, value) in [("field", field), ("message", message), ("type", rule.to_owned())] {
        map.insert(async_graphql::Name::new(name), Value::String(value));
    }
    Value::Object(map)
}

/// `chunk_index` as this edge spells it: `chunkIndex`.
#[must_use]
pub fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' && !out.is_empty() {
            upper = true;
        } else if upper {
            out.extend(c.to_uppercase());
            upper = false;
        } else {
            out.push(c);
        }
    }
    out
}
