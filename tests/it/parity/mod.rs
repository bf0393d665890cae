//! Every operation through both edges: the same answer, the same refusal, the same rows afterwards.
//!
//! Two applications begin with the same rows, ids and times. One is asked over REST,
//! the other over GraphQL; then the tables of both are compared row by row, made ids
//! standing for each other in the order in which they appear.

mod cases;

use std::collections::BTreeSet;
use std::collections::HashMap;

use corpusd::entity::chunk;
use corpusd::entity::corpus_log;
use corpusd::entity::document;
use corpusd::entity::embedding;
use corpusd::entity::sync_slot;
use corpusd::json::Json;
use corpusd::json::Literals;
use corpusd::service::Delete;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use corpusd::service::embeddings::NewEmbedding;
use sea_orm::EntityTrait as _;
use sea_orm::QueryOrder as _;
use serde_json::Value;

use crate::support::Answer;
use crate::support::TestApp;

/// One operation, as each edge spells it.
pub struct Case {
    /// What is done.
    pub name: &'static str,
    /// Method, path and body; a null body is none.
    pub rest: (&'static str, &'static str, Value),
    /// Document and variables.
    pub graphql: (&'static str, Value),
    /// What both must say.
    pub same: Same,
}

/// What both edges must say.
pub enum Same {
    /// It is done: the values at these places are equal. `*` stands for every item of a list.
    Done(&'static [(&'static str, &'static str)]),
    /// It is refused with this code, about this field.
    Refused(&'static str, Option<&'static str>),
    /// REST says 404, GraphQL null at this place.
    Absent(&'static str),
}

/// Rows enough for every case.
pub async fn world() -> TestApp {
    let test = TestApp::new().await;
    fill(&test).await;
    test
}

/// Makes the rows of [`world`].
pub async fn fill(test: &TestApp) {
    let embedding = |id: &str, vector: [f32; 2]| NewEmbedding {
        id: Some(id.to_owned()),
        vector: vector.to_vec(),
        model: Some("m".to_owned()),
        vector_id: None,
    };
    let chunk = |id: &str, index: i64, text: &str, embeddings: Vec<NewEmbedding>| NewChunk {
        id: Some(id.to_owned()),
        chunk_index: Some(index),
        text: text.to_owned(),
        metadata: Json::parse(br#"{"page":1}"#, Literals::Strict).ok(),
        embeddings,
    };
    let document = |id: &str, title: &str, chunks: Vec<NewChunk>| NewDocument {
        id: Some(id.to_owned()),
        namespace: None,
        title: title.to_owned(),
        source: Some(format!("{id}.txt")),
        metadata: Json::parse(br#"{"a":1,"b":{"c":[12345678901234567,1.5]}}"#, Literals::Strict).ok(),
        chunks,
    };
    let full = vec![
        chunk("c1", 0, "The first Passage", vec![embedding("e1", [1.0, 0.0])]),
        chunk("c2", 1, "100% of the second", vec![embedding("e2", [0.0, 1.0]), embedding("e3", [0.5, 0.5])]),
    ];
    let gone = vec![chunk("c9", 0, "Passage of a deleted one", vec![embedding("e9", [1.0, 1.0])])];
    for new in [document("d1", "One", full), document("d2", "Bare", Vec::new()), document("d9", "Gone", gone)] {
        documents::create(test.cx(), new).await.expect("a document is made");
        test.clock.advance(std::time::Duration::from_millis(1500));
    }
    documents::delete(test.cx(), "d9", Delete::Soft).await.expect("a document is deleted");
    test.clock.advance(std::time::Duration::from_secs(1));
}

/// Every row of the corpus and of its slots, in words, with made ids replaced.
pub async fn rows(test: &TestApp) -> Vec<String> {
    let conn = test.cx().read();
    let mut found: Vec<String> = Vec::new();
    let mut add = |rows: Vec<String>| found.extend(rows);
    let words = |row: &dyn std::fmt::Debug| format!("{row:?}");
    let documents = document::Entity::find().order_by_asc(document::Column::Id).all(conn).await.expect("documents");
    add(documents.iter().map(|row| words(row)).collect());
    let chunks = chunk::Entity::find().order_by_asc(chunk::Column::Id).all(conn).await.expect("chunks");
    add(chunks.iter().map(|row| words(row)).collect());
    let embeddings = embedding::Entity::find().order_by_asc(embedding::Column::Id).all(conn).await.expect("embeddings");
    add(embeddings.iter().map(|row| words(row)).collect());
    let slots = sync_slot::Entity::find().order_by_asc(sync_slot::Column::VectorId).all(conn).await.expect("slots");
    // The hash of a record is another one in another corpus.
    let alike = |row: &sync_slot::Model| sync_slot::Model {
        acked_hash: row.acked_hash.as_ref().map(|_| "a hash".to_owned()),
        ..row.clone()
    };
    add(slots.iter().map(|row| words(&alike(row))).collect());
    let log = corpus_log::Entity::find().order_by_asc(corpus_log::Column::Rev).all(conn).await.expect("the log");
    add(log.iter().map(|row| words(row)).collect());
    Made::default().all(&found)
}

/// Ids that the server made, each with the number of its first appearance.
#[derive(Default)]
struct Made {
    seen: HashMap<String, usize>,
}

impl Made {
    fn all(mut self, texts: &[String]) -> Vec<String> {
        texts.iter().map(|text| self.in_text(text)).collect()
    }

    fn in_text(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.char_indices().map(|(at, _)| at).find(|at| is_uuid(&rest[*at..])) {
            let next = self.seen.len();
            let number = *self.seen.entry(rest[at..at + 36].to_owned()).or_insert(next);
            out.push_str(&rest[..at]);
            out.push_str(&format!("#{number}"));
            rest = &rest[at + 36..];
        }
        out + rest
    }
}

fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 36
        && bytes[..36].iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The value at a place: `/a/*/b` gives a list of the `b` of every item of `a`.
fn at(value: &Value, place: &str) -> Value {
    let Some((step, rest)) = place.strip_prefix('/').map(|place| place.split_once('/').unwrap_or((place, ""))) else {
        return plain(value);
    };
    let rest = if rest.is_empty() { String::new() } else { format!("/{rest}") };
    match step {
        "*" => value.as_array().map_or(Value::Null, |items| items.iter().map(|item| at(item, &rest)).collect()),
        _ => value
            .pointer(&format!("/{step}"))
            .map_or(Value::String(format!("nothing at {step}")), |value| at(value, &rest)),
    }
}

/// A value as both edges mean it: times without a zone, numbers without a type.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::String(text) if text.len() > 19 && text.as_bytes()[10] == b'T' && text.ends_with('Z') => {
            Value::from(&text[..text.len() - 1])
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

fn made_ids(value: &Value) -> String {
    Made::default().in_text(&value.to_string())
}

/// What a case says of two answers; nothing when they agree.
fn differs(same: &Same, rest: &Answer, graphql: &Value) -> Option<String> {
    let both = || format!("\n  REST {} {}\n  GraphQL {graphql}", rest.status, rest.text);
    let error = &graphql["errors"][0];
    match same {
        Same::Done(places) => {
            if !(200..300).contains(&rest.status) || !error.is_null() {
                return Some(format!("is refused{}", both()));
            }
            let body: Value = if rest.text.is_empty() { Value::Null } else { rest.json() };
            places.iter().find_map(|(left, right)| {
                let (left, right) = (made_ids(&at(&body, left)), made_ids(&at(&graphql["data"], right)));
                (left != right).then(|| format!("says {left} and {right}{}", both()))
            })
        }
        Same::Refused(code, field) => {
            let body: Value = if rest.text.is_empty() { Value::Null } else { rest.json() };
            if body["code"] != *code || error["extensions"]["code"] != *code {
                return Some(format!("is not refused with {code}{}", both()));
            }
            let field = (*field)?;
            let loc =
                body["detail"][0]["loc"].as_array().and_then(|loc| loc.iter().rev().find(|step| step.is_string()));
            let named = error["extensions"]["fields"][0]["field"].as_str().unwrap_or_default().to_owned();
            let snake: String = named
                .chars()
                .flat_map(|c| if c.is_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] })
                .collect();
            let last =
                snake.split('.').rev().find(|step| step.parse::<usize>().is_err()).unwrap_or_default().to_owned();
            let said = (loc.and_then(Value::as_str).unwrap_or_default(), last.as_str());
            let means = |name: &str| name == field || (field == "vector_id" && name == "pinecone_id");
            (!means(said.0) || !means(said.1)).then(|| format!("names {said:?}, not {field}{}", both()))
        }
        Same::Absent(place) => {
            let null = graphql["data"].pointer(place).is_some_and(Value::is_null) && error.is_null();
            (rest.status != 404 || !null).then(|| format!("is not absent{}", both()))
        }
    }
}

/// Does each case through both edges, on rows of its own, and brings the index up to date afterwards.
async fn check(cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for case in cases {
        let (one, other) = (world().await, world().await);
        let (method, path, body) = &case.rest;
        let body = Some(body.clone()).filter(|body| !body.is_null());
        let rest = one.while_syncing(one.rest(method, path, body)).await;
        let graphql = other.while_syncing(other.graphql(case.graphql.0, case.graphql.1.clone())).await;
        one.sync_until_idle().await;
        other.sync_until_idle().await;
        if let Some(difference) = differs(&case.same, &rest, &graphql) {
            wrong.push(format!("{} {difference}", case.name));
        }
        let (left, right) = (rows(&one).await, rows(&other).await);
        for (left, right) in left.iter().zip(&right).filter(|(left, right)| left != right) {
            wrong.push(format!("{} leaves other rows:\n  {left}\n  {right}", case.name));
        }
        if left.len() != right.len() {
            wrong.push(format!("{} leaves {} rows and {}", case.name, left.len(), right.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn documents_are_the_same_through_both_edges() {
    check(cases::documents()).await;
}

#[tokio::test]
async fn chunks_are_the_same_through_both_edges() {
    check(cases::chunks()).await;
}

#[tokio::test]
async fn embeddings_are_the_same_through_both_edges() {
    check(cases::embeddings()).await;
}

#[tokio::test]
async fn the_dashboard_is_the_same_through_both_edges() {
    check(cases::dashboard()).await;
}

#[tokio::test]
async fn the_vector_index_is_the_same_through_both_edges() {
    check(cases::index()).await;
}

/// Root fields that REST has nothing like.
const GRAPHQL_ONLY: [(&str, &str); 11] = [
    ("apiKeys", "REST does not manage keys"),
    ("auditLog", "REST does not show who changed what"),
    ("createApiKey", "REST does not manage keys"),
    ("embeddings", "REST lists no embeddings"),
    ("namespaces", "REST knows no namespaces"),
    ("node", "REST has a path for each kind"),
    ("nodes", "REST reads one row at a time"),
    ("retryQuarantined", "REST shows no slots"),
    ("revokeApiKey", "REST does not manage keys"),
    ("server", "REST tells its version in /openapi.json"),
    ("syncSlots", "REST shows no slots"),
];

/// Paths that GraphQL has no query or mutation for.
const REST_ONLY: [(&str, &str); 1] = [("/api/events", "GraphQL has a subscription for it")];

/// Whether a path is one of the operation that the template names.
fn matches(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    template.split('/').count() == path.split('/').count()
        && template.split('/').zip(path.split('/')).all(|(step, given)| step.starts_with('{') || step == given)
}

/// The one spelling of a path that has two.
fn canonical(path: &str) -> String {
    ["chunks", "embeddings"].iter().fold(path.to_owned(), |path, noun| {
        path.replacen(&format!("/api/{noun}/"), &format!("/api/documents/{noun}/"), 1)
    })
}

#[tokio::test]
async fn every_operation_of_both_edges_is_compared() {
    let test = TestApp::new().await;
    let cases: Vec<Case> =
        [cases::documents(), cases::chunks(), cases::embeddings(), cases::dashboard(), cases::index()]
            .into_iter()
            .flatten()
            .collect();
    let fields = "{ __schema { queryType { fields { name } } mutationType { fields { name } } } }";
    let fields = test.graphql(fields, Value::Null).await;
    let fields = ["queryType", "mutationType"].map(|root| fields["data"]["__schema"][root]["fields"].clone());
    let asked: BTreeSet<&str> = cases
        .iter()
        .filter_map(|case| case.graphql.0.split_once('{')?.1.trim_start().split([' ', '(']).next())
        .chain(GRAPHQL_ONLY.map(|(name, _)| name))
        .collect();
    let mut missing: Vec<String> = fields
        .iter()
        .flat_map(|root| root.as_array().expect("fields"))
        .map(|field| field["name"].as_str().expect("a name").to_owned())
        .filter(|name| !asked.contains(name.as_str()))
        .collect();
    let described = test.rest("GET", "/openapi.json", None).await.json();
    for (template, methods) in described["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys().map(|method| method.to_uppercase()) {
            let template = canonical(template);
            let found = cases.iter().any(|case| case.rest.0 == method && matches(&template, &canonical(case.rest.1)));
            let alone = REST_ONLY.iter().any(|(path, _)| *path == template);
            if template.starts_with("/api/") && !found && !alone {
                missing.push(format!("{method} {template}"));
            }
        }
    }
    assert!(missing.is_empty(), "not compared: {missing:?}");
}
