//! Trusted documents: the manifest they come from, and whether they fit.

use std::collections::BTreeMap;

use async_graphql::Request;
use async_graphql::ServerError;
use async_graphql::Variables;
use async_graphql::parser::parse_query;

use crate::config::Config;
use crate::graphql::cost;
use crate::graphql::error;
use crate::graphql::guard;
use crate::graphql::persisted;
use crate::graphql::schema;
use crate::json::Json;
use crate::json::Literals;

/// What names the form of Apollo's manifests.
const APOLLO: &str = "apollo-persisted-query-manifest";

/// Reads a manifest: an object of documents by id, or Apollo's form. An id of 64 hexadecimal digits is a SHA-256.
///
/// # Errors
/// A sentence.
pub fn read(text: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let json = Json::parse(text, Literals::Strict).map_err(|error| format!("is no JSON: {error}"))?;
    let Json::Object(entries) = &json else { return Err("must be a JSON object".to_owned()) };
    let mut documents = BTreeMap::new();
    let mut put = |id: &str, text: &str| {
        if persisted::contradicts(id, text) {
            return Err(format!("the document of {id} has another SHA-256"));
        }
        match documents.insert(id.to_owned(), text.to_owned()) {
            Some(_) => Err(format!("the id {id} is there twice")),
            None => Ok(()),
        }
    };
    if let Some(format) = json.get("format") {
        let version = json.get("version").map(ToString::to_string);
        if *format != Json::String(APOLLO.to_owned()) || version.as_deref() != Some("1") {
            return Err(format!("the format must be \"{APOLLO}\" of version 1"));
        }
        let Some(Json::Array(operations)) = json.get("operations") else {
            return Err("operations: must be an array".to_owned());
        };
        for (at, operation) in operations.iter().enumerate() {
            let (Some(Json::String(id)), Some(Json::String(body))) = (operation.get("id"), operation.get("body"))
            else {
                return Err(format!("operations.{at}: must have an id and a body"));
            };
            put(id, body)?;
        }
    } else {
        for (id, document) in entries {
            let Json::String(text) = document else { return Err(format!("{id}: must be a document")) };
            put(id, text)?;
        }
    }
    Ok(documents)
}

/// Refuses documents that are over a limit of `config`, or do not fit the schema.
///
/// # Errors
/// A sentence that names the first of them.
pub async fn check(documents: &BTreeMap<String, String>, config: &Config) -> Result<(), String> {
    let schema = schema(&config.server);
    for (id, text) in documents {
        let wrong = |why: String| format!("the document of {id}: {why}");
        let limits = &config.limits;
        guard::text::check(text, &limits.graphql).map_err(|flaw| wrong(flaw.message))?;
        let document = parse_query(text).map_err(|error| wrong(error.to_string()))?;
        guard::document::check(&document, &limits.graphql).map_err(|flaw| wrong(flaw.message))?;
        let names: Vec<Option<String>> =
            document.operations.iter().map(|(name, _)| name.map(|name| name.as_str().to_owned())).collect();
        for name in names {
            // With no variables its pages have their defaults; what a request asks for is reckoned then.
            cost::check(&document, name.as_deref(), &Variables::default(), limits)
                .map_err(|flaw| wrong(flaw.message))?;
            // Nothing but the schema is asked, so that it is validated and nothing is read.
            let mut request = Request::new(text.clone()).only_introspection();
            request.operation_name = name;
            let mut answer = schema.execute(request).await;
            answer.errors.retain(|error| error.path.is_empty());
            error::dress(&mut answer.errors, text);
            let flaw = answer.errors.into_iter().find(|error| !is_of_transport(error));
            if let Some(flaw) = flaw {
                return Err(wrong(flaw.message));
            }
        }
    }
    Ok(())
}

/// A subscription that fits is refused only because it cannot be executed like this.
fn is_of_transport(error: &ServerError) -> bool {
    error.message.starts_with("Subscriptions are not supported")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn judge(text: &str) -> Result<Vec<String>, String> {
        let documents = read(text.as_bytes())?;
        check(&documents, &Config::default()).await?;
        Ok(documents.into_keys().collect())
    }

    #[tokio::test]
    async fn both_forms_of_a_manifest_are_read() {
        let plain = r#"{"a":"{ server { name } }","b":"query B($n: Int!) { documents(first: $n) { totalCount } }",
            "c":"mutation($i: DeleteDocumentInput!) { deleteDocument(input: $i) { id } }",
            "d":"subscription { corpusEvents { id } }","e":"query X { __typename } query Y { server { name } }"}"#;
        assert_eq!(judge(plain).await.unwrap(), ["a", "b", "c", "d", "e"]);
        let apollo = r#"{"format":"apollo-persisted-query-manifest","version":1,
            "operations":[{"id":"x","name":"A","type":"query","body":"query A { server { name } }"}]}"#;
        assert_eq!(judge(apollo).await.unwrap(), ["x"]);
        assert_eq!(judge("{}").await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_bad_manifest_says_what_is_wrong_with_it() {
        let zeros = "0".repeat(64);
        for (text, told) in [
            ("{".to_owned(), "is no JSON"),
            ("[]".to_owned(), "must be a JSON object"),
            (r#"{"a":1}"#.to_owned(), "a: must be a document"),
            (format!(r#"{{"{zeros}":"{{ server {{ name }} }}"}}"#), "has another SHA-256"),
            (r#"{"a":"{ server"}"#.to_owned(), "the document of a: "),
            (r#"{"a":"{ nothing }"}"#.to_owned(), "the document of a: Unknown field \"nothing\""),
            (r#"{"a":"mutation { nothing }"}"#.to_owned(), "the document of a: Unknown field \"nothing\""),
            (r#"{"a":"subscription { nothing }"}"#.to_owned(), "the document of a: Unknown field \"nothing\""),
            (r#"{"a":"query($v: Nothing) { server { name } }"}"#.to_owned(), "the document of a: "),
            (r#"{"format":"other","version":1,"operations":[]}"#.to_owned(), "the format must be"),
            (r#"{"format":"apollo-persisted-query-manifest","version":2}"#.to_owned(), "the format must be"),
            (r#"{"format":"apollo-persisted-query-manifest","version":1}"#.to_owned(), "operations: must be an array"),
            (
                r#"{"format":"apollo-persisted-query-manifest","version":1,"operations":[{"id":"x"}]}"#.to_owned(),
                "operations.0: must have an id and a body",
            ),
            (
                r#"{"format":"apollo-persisted-query-manifest","version":1,
                    "operations":[{"id":"x","body":"{ __typename }"},{"id":"x","body":"{ __typename }"}]}"#
                    .to_owned(),
                "the id x is there twice",
            ),
        ] {
            let wrong = judge(&text).await.unwrap_err();
            assert!(wrong.contains(told), "{text}: {wrong}");
        }
    }
}
