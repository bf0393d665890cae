//! What went wrong, as GraphQL tells it: `message`, `extensions.code`, `extensions.fields`.
//!
//! Resolvers use `?`; async-graphql keeps the original error as the source of its
//! own, and one pass over the finished response reads it back. A source that is
//! not ours becomes `INTERNAL`, so that no stray text of a database leaks.

use std::cmp::Ordering;

use async_graphql::ErrorExtensionValues;
use async_graphql::Pos;
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

/// Characters of a word or a line that an error repeats, and of the path of a field.
const MAX_QUOTED: usize = 200;
/// Characters of a message.
const MAX_MESSAGE: usize = 1000;

/// Keeps the first errors of an answer; the last of them says how many were left out.
pub fn at_most(errors: &mut Vec<ServerError>, most: usize) {
    let left_out = errors.len().saturating_sub(most);
    errors.truncate(most);
    if let Some(last) = errors.last_mut().filter(|_| left_out > 0) {
        last.extensions.get_or_insert_default().set("omitted", left_out as u64);
    }
}

/// An error of that code, with what it repeats cut.
#[must_use]
pub fn coded(mut error: ServerError, code: &str) -> ServerError {
    error.extensions.get_or_insert_default().set("code", code);
    shorten(&mut error);
    error
}

/// The code of an error that has one.
#[must_use]
pub fn code(error: &ServerError) -> Option<&str> {
    let code = error.extensions.as_ref()?.get("code")?;
    if let Value::String(code) = code { Some(code) } else { None }
}

/// Takes similar names out of the messages: those of arguments of directives are told in any case.
pub fn forget_suggestions(errors: &mut [ServerError]) {
    for error in errors.iter_mut().filter(|error| error.path.is_empty()) {
        if let Some(at) = error.message.find(" Did you mean \"") {
            error.message.truncate(at);
        }
    }
}

/// Gives every error of a response to `query` its final message and extensions.
pub fn dress(errors: &mut [ServerError], query: &str) {
    for error in errors {
        dress_one(error, query);
        shorten(error);
    }
}

/// Whether an error was given this code.
#[must_use]
pub fn is_coded(error: &ServerError, code: Code) -> bool {
    let given = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    given == Some(&Value::from(code.row().name))
}

/// Cuts what an error repeats of the request: it may be megabytes.
pub fn shorten(error: &mut ServerError) {
    error.message = told(&error.message);
    let Some(extensions) = &mut error.extensions else { return };
    let Some(Value::List(mut entries)) = extensions.get("fields").cloned() else { return };
    for entry in &mut entries {
        let Value::Object(members) = entry else { continue };
        for (name, member) in members {
            if let Value::String(text) = member {
                *text = if name == "field" { cut(text, MAX_QUOTED) } else { told(text) };
            }
        }
    }
    extensions.set("fields", Value::List(entries));
}

/// A message as it is told: short words and lines, and no more than a screen of them.
fn told(message: &str) -> String {
    if message.len() <= MAX_QUOTED {
        return message.to_owned();
    }
    // Several lines show a place of the document, with a mark below it.
    let longest = if message.contains('\n') { MAX_QUOTED } else { MAX_MESSAGE };
    let lines: Vec<String> = message.split('\n').map(|line| cut(&short_words(line), longest)).collect();
    cut(&lines.join("\n"), MAX_MESSAGE)
}

/// The same with every word, quoted or not, cut.
fn short_words(line: &str) -> String {
    let mut out = String::new();
    let mut length = 0;
    for c in line.chars() {
        length = if c.is_whitespace() || c == '"' { 0 } else { length + 1 };
        match length.cmp(&(MAX_QUOTED + 1)) {
            Ordering::Less => out.push(c),
            Ordering::Equal => out.push('…'),
            Ordering::Greater => {}
        }
    }
    out
}

/// The first `most` characters.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn dress_one(error: &mut ServerError, query: &str) {
    if error.extensions.as_ref().is_some_and(|extensions| extensions.get("code").is_some()) {
        return;
    }
    let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
    if error.source.is_none() {
        // A path tells that the document was fine and one of its inputs was not.
        let input = if error.path.is_empty() {
            refused_value(&error.message)
        } else {
            let place = error.locations.first();
            match metadata_of(&error.message) {
                Some(told) => Some(told),
                None => place.and_then(|place| argument_at(query, *place)).map(|field| (field, error.message.clone())),
            }
        };
        if input.is_none() && error.path.is_empty() {
            extensions.set("code", VALIDATION_FAILED);
            return;
        }
        extensions.set("code", Code::BadUserInput.row().name);
        if let Some((field, why)) = input {
            error.message = format!("{field}: {why}");
            extensions.set("fields", Value::List(vec![entry(field, why, "value_error")]));
        }
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

/// The field and the reason when `message` is async-graphql's about a value that its type does not take.
fn refused_value(message: &str) -> Option<(String, String)> {
    let quoted = |text: &str| Some(text.split_once('"')?.1.split_once('"')?.0.to_owned());
    if let Some(told) = message.strip_prefix("Field ") {
        let argument = told.strip_suffix(" is required but not provided")?.split_once(" argument ")?.1;
        return Some((quoted(argument)?, "Field required".to_owned()));
    }
    let (path, reason) = message.strip_prefix("Invalid value for argument \"")?.split_once("\", ")?;
    if let Some(name) = reason.strip_prefix("expected type ") {
        return Some((path.to_owned(), expected(name.trim_matches('"'))));
    }
    if let Some(field) = reason.strip_suffix(" is required but not provided") {
        return Some((format!("{path}.{}", quoted(field)?), "Field required".to_owned()));
    }
    // A name that the schema does not have is a flaw of the document, and stays one.
    if reason.starts_with("unknown field ") {
        return None;
    }
    Some((path.to_owned(), reason.to_owned()))
}

/// The metadata of a filter and the reason, when `message` is async-graphql's about a literal it could not read there.
fn metadata_of(message: &str) -> Option<(String, String)> {
    let (why, within) = message.strip_prefix("Failed to parse \"JSON\": ")?.split_once(" (occurred while parsing ")?;
    let field = if within.contains("\"SearchFilter\"") {
        "input.filter.metadata"
    } else if within.contains("\"DocumentFilter\"") {
        "filter.metadata"
    } else {
        return None;
    };
    Some((field.to_owned(), why.to_owned()))
}

/// What a value of the type must be.
fn expected(name: &str) -> String {
    match name {
        "JSON" => "must be a JSON object whose whole numbers have at most 64 bits",
        "Vector" => "must be an array of numbers, or base64 of little-endian f32",
        "DateTime" => "must be an RFC 3339 time with an offset",
        "String" => "must be a string",
        "Int" => "must be a whole number",
        "Float" => "must be a number",
        "Boolean" => "must be true or false",
        "ID" => "must be an id",
        other => return format!("must be a value of {other}"),
    }
    .to_owned()
}

/// The argument of `query` whose value begins at `place`.
fn argument_at(query: &str, place: Pos) -> Option<String> {
    let line = place.line.checked_sub(1)?;
    let start: usize = query.split_inclusive('\n').take(line).map(str::len).sum();
    let column = place.column.checked_sub(1)?;
    let before = query.get(start..)?.char_indices().nth(column).map_or(query, |(at, _)| &query[..start + at]);
    let name = before.trim_end().strip_suffix(':')?.trim_end();
    let begin = name.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    Some(name[begin..].to_owned()).filter(|name| !name.is_empty())
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
        Error::RateLimited { retry_after } => extensions.set("retryAfter", retry_after.as_secs_f64()),
        Error::NotFound { .. }
        | Error::CursorExpired
        | Error::Unauthenticated { .. }
        | Error::Forbidden { .. }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_value_is_named_with_its_path() {
        for (message, field, why) in [
            (
                r#"Invalid value for argument "input.metadata", expected type "JSON""#,
                "input.metadata",
                "must be a JSON object whose whole numbers have at most 64 bits",
            ),
            (r#"Invalid value for argument "first", expected type "Int""#, "first", "must be a whole number"),
            (
                r#"Invalid value for argument "input", field "title" of type "String!" is required but not provided"#,
                "input.title",
                "Field required",
            ),
            (
                r#"Field "search" argument "input" of type "SearchInput!" is required but not provided"#,
                "input",
                "Field required",
            ),
        ] {
            assert_eq!(refused_value(message), Some((field.to_owned(), why.to_owned())), "{message}");
        }
        let unknown = r#"Invalid value for argument "input.chunks.0", unknown field "a" of type "NewChunk""#;
        assert_eq!(refused_value(unknown), None);
        assert_eq!(refused_value(r#"Unknown field "nothing" on type "Query"."#), None);
    }

    #[test]
    fn what_a_message_repeats_is_cut_and_its_reason_is_not() {
        let long = "é".repeat(300_000);
        let cut = format!("{}…", "é".repeat(200));
        for (message, short) in [
            (
                format!("Unknown field \"{long}\" on type \"Query\"."),
                format!("Unknown field \"{cut}\" on type \"Query\"."),
            ),
            (format!("input.{long}: must be a string"), format!("input.{}… must be a string", "é".repeat(194))),
            (" --> 1:3\n1 | ".to_owned() + &"y ".repeat(1000) + "\n= expected a name", {
                format!(" --> 1:3\n1 | {}…\n= expected a name", "y ".repeat(98))
            }),
            ("y ".repeat(1000), "y ".repeat(500) + "…"),
        ] {
            assert_eq!(told(&message), short);
        }
    }

    #[test]
    fn an_argument_is_found_by_the_place_of_its_value() {
        let query = "{\n  ö: documents(first :  1, after:\n\"x\") { totalCount }\n}";
        let at = |line, column| argument_at(query, Pos { line, column });
        assert_eq!(at(2, 25).as_deref(), Some("first"));
        assert_eq!(at(3, 1).as_deref(), Some("after"));
        assert_eq!((at(1, 1), at(2, 3), at(0, 0), at(99, 99)), (None, None, None, None));
    }
}
