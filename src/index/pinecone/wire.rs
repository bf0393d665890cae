//! Bodies of the data plane, and their bytes.
//!
//! What is large is written straight into one buffer: vectors from f32, each number
//! as the shortest text that reads back to it, and metadata as it was made.

use std::collections::BTreeMap;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::Metric;
use crate::filter::Filter;
use crate::filter::Scalar;
use crate::filter::Test;
use crate::index::VectorQuery;
use crate::index::VectorRecord;
use crate::json::Json;
use crate::json::write_string;

/// The answer to an upsert.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upserted {
    /// How many records were taken.
    pub upserted_count: u64,
}

/// An answer that says nothing.
#[derive(Debug, Deserialize)]
pub struct Nothing {}

/// The answer to a query.
#[derive(Debug, Deserialize)]
pub struct Matches {
    /// Best first.
    #[serde(default)]
    pub matches: Vec<Scored>,
}

/// One match.
#[derive(Debug, Deserialize)]
pub struct Scored {
    /// The record's id.
    pub id: String,
    /// How near it is, as the metric has it.
    #[serde(default)]
    pub score: f32,
    /// What was written with it.
    pub metadata: Option<Box<RawValue>>,
}

/// The answer to a fetch; absent ids are missing.
#[derive(Debug, Deserialize)]
pub struct Fetched {
    /// By id.
    #[serde(default)]
    pub vectors: HashMap<String, Vector>,
}

/// One record.
#[derive(Debug, Deserialize)]
pub struct Vector {
    /// Its numbers.
    #[serde(default)]
    pub values: Vec<f32>,
    /// What was written with it.
    pub metadata: Option<Box<RawValue>>,
}

/// A page of ids.
#[derive(Debug, Deserialize)]
pub struct Listed {
    /// In bytewise order.
    #[serde(default)]
    pub vectors: Vec<Named>,
    /// Where to go on; missing, null or empty on the last page.
    pub pagination: Option<Pagination>,
}

/// An id.
#[derive(Debug, Deserialize)]
pub struct Named {
    /// It.
    pub id: String,
}

/// Where to go on.
#[derive(Debug, Default, Deserialize)]
pub struct Pagination {
    /// The token of the next page.
    pub next: Option<String>,
}

/// What an index says of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Numbers of a vector; missing for sparse ones.
    pub dimension: Option<u32>,
    /// How it compares.
    pub metric: Option<String>,
    /// From 0 to 1.
    #[serde(default)]
    pub index_fullness: f64,
    /// By name.
    #[serde(default)]
    pub namespaces: BTreeMap<String, Summary>,
}

/// What one namespace holds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Records.
    #[serde(default)]
    pub vector_count: u64,
}

/// The body of an upsert.
#[must_use]
pub fn upsert(namespace: &str, records: &[VectorRecord]) -> Vec<u8> {
    let numbers: usize = records.iter().map(|record| record.values.len() * 13 + record.metadata.len() + 600).sum();
    let mut body = String::with_capacity(numbers);
    body.push_str("{\"namespace\":");
    write_string(namespace, &mut body);
    body.push_str(",\"vectors\":[");
    let mut body = body.into_bytes();
    for (i, record) in records.iter().enumerate() {
        let mut head = String::from(if i == 0 { "{\"id\":" } else { ",{\"id\":" });
        write_string(&record.id, &mut head);
        head.push_str(",\"values\":");
        body.extend_from_slice(head.as_bytes());
        write_numbers(&record.values, &mut body);
        body.extend_from_slice(b",\"metadata\":");
        body.extend_from_slice(record.metadata.as_bytes());
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    body
}

/// A list of f32 as JSON, each number in its shortest form.
fn write_numbers(numbers: &[f32], body: &mut Vec<u8>) {
    // A vector of bytes takes whatever is written to it, and f32 are written unless they are not finite.
    let written = serde_json::to_writer(&mut *body, numbers);
    debug_assert!(written.is_ok(), "numbers are written");
}

/// The body of a delete by ids.
#[must_use]
pub fn delete(namespace: &str, ids: &[String]) -> Vec<u8> {
    let ids = ids.iter().cloned().map(Json::String).collect();
    let body = vec![("namespace".to_owned(), Json::String(namespace.to_owned())), ("ids".to_owned(), Json::Array(ids))];
    Json::Object(body).to_string().into_bytes()
}

/// The body of a query of one namespace.
#[must_use]
pub fn query(namespace: &str, query: &VectorQuery) -> Vec<u8> {
    let mut body = String::from("{\"namespace\":");
    write_string(namespace, &mut body);
    body.push_str(&format!(",\"topK\":{},\"vector\":", query.top_k));
    let mut body = body.into_bytes();
    write_numbers(&query.vector, &mut body);
    body.extend_from_slice(b",\"includeValues\":false,\"includeMetadata\":");
    body.extend_from_slice(if query.metadata { b"true" } else { b"false" });
    if let Some(filter) = query.filter.as_ref().and_then(filter) {
        body.extend_from_slice(b",\"filter\":");
        body.extend_from_slice(filter.to_string().as_bytes());
    }
    body.push(b'}');
    body
}

/// A condition in the service's words; nothing for one that everything fulfils, which it does not take.
#[must_use]
pub fn filter(filter: &Filter) -> Option<Json> {
    let list = |word: &str, mut items: Vec<Json>| match items.len() {
        1 => items.remove(0),
        _ => Json::Object(vec![(word.to_owned(), Json::Array(items))]),
    };
    match filter {
        Filter::All(filters) => {
            let items: Vec<Json> = filters.iter().filter_map(self::filter).collect();
            (!items.is_empty()).then(|| list("$and", items))
        }
        Filter::Any(filters) => {
            let items: Vec<Json> = filters.iter().map(self::filter).collect::<Option<_>>()?;
            Some(list("$or", items))
        }
        Filter::Field { name, test } => {
            let one = |word: &str, operand: Json| {
                Json::Object(vec![(name.clone(), Json::Object(vec![(word.to_owned(), operand)]))])
            };
            let each = |word: &str, values: &[Scalar]| one(word, Json::Array(values.iter().map(scalar).collect()));
            Some(match test {
                Test::Eq(value) => one("$eq", scalar(value)),
                Test::Ne(value) => one("$ne", scalar(value)),
                Test::Gt(bound) => one("$gt", number(*bound)),
                Test::Gte(bound) => one("$gte", number(*bound)),
                Test::Lt(bound) => one("$lt", number(*bound)),
                Test::Lte(bound) => one("$lte", number(*bound)),
                Test::In(values) => each("$in", values),
                Test::NotIn(values) => each("$nin", values),
                Test::Exists(there) => one("$exists", Json::Bool(*there)),
            })
        }
    }
}

fn scalar(value: &Scalar) -> Json {
    match value {
        Scalar::Text(text) => Json::String(text.clone()),
        Scalar::Number(value) => number(*value),
        Scalar::Bool(value) => Json::Bool(*value),
    }
}

fn number(value: f64) -> Json {
    // A filter has finite numbers only.
    Json::Number(serde_json::to_string(&value).unwrap_or_else(|_| "0".to_owned()))
}

/// A score of the service as ours: the higher, the nearer. Its `euclidean` is the squared distance.
#[must_use]
pub fn score(metric: Metric, theirs: f32) -> f32 {
    match metric {
        Metric::Cosine | Metric::Dotproduct => theirs,
        Metric::Euclidean => 1.0 / (1.0 + theirs.max(0.0)),
    }
}

/// A name inside a query string.
#[must_use]
pub fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Literals;

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn an_upsert_has_the_shortest_numbers_and_the_metadata_as_it_is() {
        let record = |id: &str, values: &[f32], metadata: &str| VectorRecord {
            id: id.to_owned(),
            values: values.to_vec(),
            metadata: metadata.to_owned(),
        };
        let records =
            [record("a\"1", &[0.1, -2.0, 1e-7, 16_777_216.0], "{\"n\":1}"), record("b", &[0.333_333_34], "{}")];
        assert_eq!(
            text(upsert("kb", &records)),
            r#"{"namespace":"kb","vectors":[{"id":"a\"1","values":[0.1,-2.0,1e-7,16777216.0],"metadata":{"n":1}},{"id":"b","values":[0.33333334],"metadata":{}}]}"#
        );
    }

    #[test]
    fn a_query_asks_for_metadata_only_where_it_is_wanted() {
        let asked = VectorQuery {
            namespace: None,
            vector: vec![1.0],
            top_k: 3,
            filter: Some(Filter::All(Vec::new())),
            metadata: false,
        };
        assert_eq!(
            text(query("kb", &asked)),
            r#"{"namespace":"kb","topK":3,"vector":[1.0],"includeValues":false,"includeMetadata":false}"#
        );
        let asked = VectorQuery { filter: Some(read(r#"{"a":1}"#)), metadata: true, ..asked };
        assert_eq!(
            text(query("kb", &asked)),
            r#"{"namespace":"kb","topK":3,"vector":[1.0],"includeValues":false,"includeMetadata":true,"filter":{"a":{"$eq":1.0}}}"#
        );
    }

    fn read(text: &str) -> Filter {
        Filter::parse(&["filter"], &Json::parse(text.as_bytes(), Literals::Strict).unwrap()).unwrap()
    }

    #[test]
    fn a_filter_is_sent_in_the_words_of_the_service() {
        for (ours, theirs) in [
            (r#"{"a":"x"}"#, Some(r#"{"a":{"$eq":"x"}}"#)),
            (r#"{"a":{"$gte":1,"$lt":2.5}}"#, Some(r#"{"$and":[{"a":{"$gte":1.0}},{"a":{"$lt":2.5}}]}"#)),
            (
                r#"{"$or":[{"a":true},{"b":{"$exists":false}}]}"#,
                Some(r#"{"$or":[{"a":{"$eq":true}},{"b":{"$exists":false}}]}"#),
            ),
            (
                r#"{"a":{"$in":["x",1]},"b":{"$nin":["y"]}}"#,
                Some(r#"{"$and":[{"a":{"$in":["x",1.0]}},{"b":{"$nin":["y"]}}]}"#),
            ),
            (r#"{"$and":[{},{"a":1}]}"#, Some(r#"{"a":{"$eq":1.0}}"#)),
            (r#"{"$or":[{},{"a":1}]}"#, None),
            ("{}", None),
        ] {
            assert_eq!(filter(&read(ours)).map(|json| json.to_string()).as_deref(), theirs, "{ours}");
        }
    }

    #[test]
    fn a_distance_becomes_a_score_that_falls_with_it() {
        assert_eq!(score(Metric::Cosine, 0.5), 0.5);
        assert_eq!((score(Metric::Euclidean, 0.0), score(Metric::Euclidean, 3.0)), (1.0, 0.25));
    }

    #[test]
    fn answers_are_read_with_whatever_a_server_leaves_out() {
        let listed: Listed = serde_json::from_str(r#"{"vectors":[{"id":"a"}],"pagination":null}"#).unwrap();
        assert!(listed.pagination.is_none());
        let listed: Listed = serde_json::from_str(r#"{"pagination":{}}"#).unwrap();
        assert!(listed.vectors.is_empty() && listed.pagination.unwrap().next.is_none());
        let matches: Matches = serde_json::from_str(r#"{"matches":[{"id":"a","score":1,"metadata":null}]}"#).unwrap();
        assert_eq!(matches.matches[0].score, 1.0);
        let fetched: Fetched =
            serde_json::from_str(r#"{"vectors":{"a":{"values":[0.10000000149011612,1]}},"usage":{}}"#).unwrap();
        assert_eq!(fetched.vectors["a"].values, [0.1, 1.0]);
        assert!(serde_json::from_str::<Upserted>("{}").is_err());
        assert_eq!(encoded("a b#c/\u{7f}"), "a%20b%23c%2F%7F");
    }
}
