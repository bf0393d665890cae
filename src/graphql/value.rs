//! A request's JSON as GraphQL values, without precision loss and without a detour.
//!
//! Numbers keep their value or are refused: whole numbers beyond 64 bits and
//! numbers beyond a double have no GraphQL value, and the refusal names the
//! variable. The key by which async-graphql recognises raw JSON never gets in.

use async_graphql::Name;
use async_graphql::Request;
use async_graphql::Value;
use async_graphql::Variables;
use async_graphql::indexmap::IndexMap;
use serde_json::Number;

use crate::graphql::persisted;
use crate::json;
use crate::json::Build;
use crate::json::Json;
use crate::json::Literals;

/// What a number that has no GraphQL value is told.
const BEYOND: &str = "Number beyond 64 bits";
/// What a key that async-graphql would take for raw JSON is told.
const RESERVED: &str = "Keys starting with $serde_json:: are reserved";

/// Why a request is none.
#[derive(Debug)]
pub enum Malformed {
    /// It cannot be read as a request at all.
    Request(String),
    /// One of its variables cannot be taken.
    Variable {
        /// Where: `variables.input.metadata.big`.
        path: String,
        /// Why, in a sentence without the path.
        reason: &'static str,
    },
}

/// Builds GraphQL values.
struct Values;

impl Build for Values {
    type Value = Value;
    type Entries = IndexMap<Name, Value>;

    fn null(&self) -> Value {
        Value::Null
    }

    fn bool(&self, value: bool) -> Value {
        Value::Boolean(value)
    }

    fn number(&self, digits: &str) -> Result<Value, &'static str> {
        number(digits).map(Value::Number).ok_or(BEYOND)
    }

    fn string(&self, text: String) -> Value {
        Value::String(text)
    }

    fn array(&self, items: Vec<Value>) -> Value {
        Value::List(items)
    }

    fn entry(&self, entries: &mut IndexMap<Name, Value>, key: String, value: Value) -> Result<(), &'static str> {
        if key.starts_with("$serde_json::") {
            return Err(RESERVED);
        }
        entries.insert(Name::new(key), value);
        Ok(())
    }

    fn object(&self, entries: IndexMap<Name, Value>) -> Value {
        Value::Object(entries)
    }
}

/// The number of those digits, when 64 bits hold it.
fn number(digits: &str) -> Option<Number> {
    if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && digits != "-0" {
        let signed = digits.parse::<i64>().map(Number::from);
        return signed.or_else(|_| digits.parse::<u64>().map(Number::from)).ok();
    }
    digits.parse::<f64>().ok().and_then(Number::from_f64)
}

/// Reads a request from the text of a JSON object with `query`, `variables`, `operationName`, `extensions`.
///
/// # Errors
/// [`Malformed`], with the offset where the text is no JSON.
pub fn request(text: &[u8]) -> Result<Request, Malformed> {
    from_value(value(text, "")?)
}

/// Reads any JSON text; `root` is how its root is called in the path of a refused number.
///
/// # Errors
/// [`Malformed`], with the offset where the text is no JSON.
pub fn value(text: &[u8], root: &str) -> Result<Value, Malformed> {
    json::build(text, Literals::Strict, &Values).map_err(|error| {
        let found = Json::parse(text, Literals::Strict).ok().and_then(|tree| refused(&tree, root));
        match found {
            Some((path, reason)) => Malformed::Variable { path, reason },
            None => Malformed::Request(format!("The text is no JSON: {error}")),
        }
    })
}

/// The path and the reason of the first value in `tree` that [`Values`] refuses.
fn refused(tree: &Json, path: &str) -> Option<(String, &'static str)> {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match tree {
        Json::Null | Json::Bool(_) | Json::String(_) => None,
        Json::Number(digits) => number(digits).is_none().then(|| {
            let whole = !digits.contains(['.', 'e', 'E']);
            let reason = if whole { "must be a whole number of at most 64 bits" } else { "must be a finite number" };
            (path.to_owned(), reason)
        }),
        Json::Array(items) => items.iter().enumerate().find_map(|(i, item)| refused(item, &below(&i.to_string()))),
        Json::Object(entries) => entries.iter().find_map(|(key, value)| {
            if key.starts_with("$serde_json::") {
                return Some((below(key), "is a reserved key"));
            }
            refused(value, &below(key))
        }),
    }
}

/// Reads a request from an object that was read already.
///
/// # Errors
/// [`Malformed::Request`], naming the member that has the wrong type.
pub fn from_value(value: Value) -> Result<Request, Malformed> {
    let wrong = |text: &str| Err(Malformed::Request(text.to_owned()));
    let mut members = match value {
        Value::Object(members) => members,
        Value::List(_) => return wrong("Batches of requests are not taken: send one object"),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Boolean(_) | Value::Binary(_) | Value::Enum(_) => {
            return wrong("A request is a JSON object with a query");
        }
    };
    let named = match members.swap_remove("extensions") {
        None | Some(Value::Null) => None,
        Some(Value::Object(mut extensions)) => extensions.swap_remove(persisted::EXTENSION),
        Some(_) => return wrong("extensions: must be an object"),
    };
    let query = match members.swap_remove("query") {
        Some(Value::String(query)) => query,
        None | Some(Value::Null) if named.is_some() => String::new(),
        None | Some(Value::Null) => return wrong("query: Field required"),
        Some(_) => return wrong("query: must be a string"),
    };
    let mut request = Request::new(query);
    match members.swap_remove("operationName") {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) => request = request.operation_name(name),
        Some(_) => return wrong("operationName: must be a string"),
    }
    match members.swap_remove("variables") {
        None | Some(Value::Null) => {}
        Some(variables @ Value::Object(_)) => request = request.variables(Variables::from_value(variables)),
        Some(_) => return wrong("variables: must be an object"),
    }
    if let Some(named) = named {
        request.extensions.insert(persisted::EXTENSION.to_owned(), named);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(text: &str) -> String {
        match value(text.as_bytes(), "") {
            Ok(value) => panic!("taken: {value}"),
            Err(Malformed::Request(reason)) => reason,
            Err(Malformed::Variable { path, reason }) => format!("{path}: {reason}"),
        }
    }

    #[test]
    fn numbers_keep_their_value_or_are_refused_with_their_path() {
        let taken = value(b"[18446744073709551615, -9223372036854775808, 0.1, 1e-7, -0]", "").unwrap();
        assert_eq!(taken.to_string(), "[18446744073709551615, -9223372036854775808, 0.1, 1e-7, -0.0]");
        assert_eq!(
            path_of(r#"{"variables":{"input":{"metadata":{"big":18446744073709551616}}}}"#),
            "variables.input.metadata.big: must be a whole number of at most 64 bits"
        );
        assert_eq!(path_of(r#"{"variables":{"v":[1,1e400]}}"#), "variables.v.1: must be a finite number");
        assert_eq!(
            path_of(r#"{"variables":{"m":{"$serde_json::private::RawValue":"{"}}}"#),
            "variables.m.$serde_json::private::RawValue: is a reserved key"
        );
    }

    #[test]
    fn what_is_no_request_says_why() {
        for (text, reason) in [
            ("[]", "Batches of requests are not taken: send one object"),
            ("1", "A request is a JSON object with a query"),
            ("{}", "query: Field required"),
            (r#"{"query":1}"#, "query: must be a string"),
            (r#"{"query":"{a}","variables":[]}"#, "variables: must be an object"),
            (r#"{"query":"{a}","operationName":{}}"#, "operationName: must be a string"),
            (r#"{"query":"{a}","extensions":1}"#, "extensions: must be an object"),
            (r#"{"query":"{a}""#, "The text is no JSON: Expecting ',' delimiter at offset 14"),
            (r#"{"query":"\ud800"}"#, "The text is no JSON: Lone surrogate at offset 10"),
        ] {
            match request(text.as_bytes()) {
                Err(Malformed::Request(told)) => assert_eq!(told, reason),
                other => panic!("{text}: {other:?}"),
            }
        }
        let deep = format!(r#"{{"query":"{{a}}","variables":{{"v":{}1{}}}}}"#, "[".repeat(1000), "]".repeat(1000));
        assert!(matches!(request(deep.as_bytes()), Err(Malformed::Request(told)) if told.contains("Nested too deep")));
    }
}
