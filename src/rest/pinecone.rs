//! `/api/pinecone`: exports that wait, removal of records, figures and search of the vector index.
//!
//! The paths keep the name of the first backend's index, whichever index it is.

use std::collections::BTreeMap;

use axum::http::HeaderValue;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::error::Error;
use crate::error::FieldError;
use crate::error::Rule;
use crate::error::Step;
use crate::index::IndexStats;
use crate::index::Match;
use crate::json::Json;
use crate::json::Literals;
use crate::rest::error::Failure;
use crate::rest::extract::Call;
use crate::rest::extract::Outcome;
use crate::rest::extract::json;
use crate::rest::fields::Flaw;
use crate::rest::fields::Read;
use crate::rest::fields::any;
use crate::rest::fields::integer;
use crate::rest::fields::list_or;
use crate::rest::fields::list_upto;
use crate::rest::fields::natural;
use crate::rest::fields::number;
use crate::rest::fields::object;
use crate::rest::fields::string;
use crate::rest::openapi::Refusal;
use crate::service;
use crate::service::documents::WHAT;
use crate::service::export::Exported;

/// What a search gives when it does not say how many.
const TOP_K: i64 = 10;
/// The header that tells up to which corpus revision the index holds every change.
pub const SYNCED_THROUGH: &str = "x-corpus-synced-through";
/// The header that tells the age of the oldest change that it does not, in seconds.
pub const LAG: &str = "x-corpus-lag-seconds";
/// What metadata keys of the sync engine start with.
const OURS: &str = "_cd_";

/// How an export or a removal went.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PineconeExportResponse)]
pub struct PineconeExportOut {
    status: &'static str,
    message: Option<String>,
    upserted_count: Option<i64>,
    updated_db_count: Option<i64>,
    error: Option<String>,
}

impl PineconeExportOut {
    /// `nothing` is the status of an export that had nothing to send.
    fn exported(outcome: Exported, nothing: &'static str) -> Self {
        let (status, upserted, refused) = match outcome {
            Exported::Success { upserted, refused } => ("success", Some(upserted), refused),
            Exported::Nothing => (nothing, None, 0),
            Exported::NoVectors => ("no_vectors", None, 0),
        };
        Self {
            status,
            message: Some(format!("Exported {} embeddings", upserted.unwrap_or(0))),
            upserted_count: upserted,
            updated_db_count: upserted,
            error: (refused > 0).then(|| format!("{refused} embeddings were refused")),
        }
    }
}

/// Which embeddings; a bare list of ids does as well.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EmbeddingIds {
    /// Under a name.
    Named {
        /// Their ids.
        embedding_ids: Vec<String>,
    },
    /// Bare.
    Bare(Vec<String>),
}

/// Which records of the index; a bare list of ids does as well.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum VectorIds {
    /// Under a name.
    Named {
        /// Their ids.
        vector_ids: Vec<String>,
    },
    /// Bare.
    Bare(Vec<String>),
}

/// What to look for; a bare list of numbers does as well.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum IndexQuery {
    /// Under a name, `vector` or `query_vector`.
    Named {
        /// Finite numbers, as many as the index's vectors have.
        vector: Vec<f32>,
        /// Matches at most (10).
        top_k: Option<u64>,
    },
    /// Bare.
    Bare(Vec<f32>),
}

/// The figures of the index.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PineconeIndexStats)]
pub struct IndexStatsOut {
    status: &'static str,
    stats: Option<StatsOut>,
    error: Option<String>,
}

/// What the index holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IndexFigures)]
pub struct StatsOut {
    dimension: u32,
    index_fullness: f64,
    namespaces: BTreeMap<String, NamespaceOut>,
    total_vector_count: u64,
}

/// What one namespace of the index holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NamespaceFigures)]
pub struct NamespaceOut {
    vector_count: u64,
}

impl From<IndexStats> for StatsOut {
    fn from(stats: IndexStats) -> Self {
        let IndexStats { dimension, fullness, namespaces } = stats;
        let total_vector_count = namespaces.iter().map(|(_, count)| count).sum();
        let namespaces = namespaces.into_iter().map(|(name, vector_count)| (name, NamespaceOut { vector_count }));
        Self { dimension, index_fullness: fullness, namespaces: namespaces.collect(), total_vector_count }
    }
}

/// What a search of the index found, best first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PineconeMatches)]
pub struct MatchesOut {
    status: &'static str,
    matches: Vec<MatchOut>,
    /// With `wait_for`: whether the index did not hold that revision in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<bool>,
}

/// One match.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PineconeMatch)]
pub struct MatchOut {
    id: String,
    score: f32,
    /// Always empty.
    #[schema(value_type = Vec<f32>)]
    values: [f32; 0],
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
}

impl From<Match> for MatchOut {
    fn from(found: Match) -> Self {
        let Match { namespace: _, id, score, metadata } = found;
        let metadata = match Json::parse(metadata.as_bytes(), Literals::Strict) {
            Ok(Json::Object(mut entries)) => {
                entries.retain(|(key, _)| !key.starts_with(OURS));
                RawValue::from_string(Json::Object(entries).to_string()).ok()
            }
            Ok(_) | Err(_) => None,
        };
        Self { id, score, values: [], metadata }
    }
}

/// Export a document.
#[utoipa::path(
    post, path = "/api/pinecone/export/document/{doc_id}", tag = "pinecone", operation_id = "export_document_embeddings",
    params(("doc_id" = String, Path, description = "The document")),
    responses(
        (status = 200, description = "`success`, `no_new_embeddings` or `no_vectors`", body = PineconeExportOut),
        (status = 503, description = "The index is paused or does not answer; the job goes on", body = Refusal),
    ),
)]
pub async fn export_document(call: Call) -> Outcome {
    let id = call.id("doc_id", WHAT)?;
    let outcome = service::export::document(call.cx(), &id).await?;
    json(StatusCode::OK, &PineconeExportOut::exported(outcome, "no_new_embeddings"))
}

/// Export everything that is not in the index as it should be.
#[utoipa::path(
    post, path = "/api/pinecone/export/unsynced", tag = "pinecone", operation_id = "export_unsynced_embeddings",
    params(("batch_size" = Option<u64>, Query, description = "Records of one request to the index at most; all are exported, and a smaller limit of the index still holds", minimum = 1)),
    responses(
        (status = 200, description = "`success`, `no_embeddings` or `no_vectors`", body = PineconeExportOut),
        (status = 503, description = "The index is paused or does not answer; the job goes on", body = Refusal),
    ),
)]
pub async fn export_unsynced(call: Call) -> Outcome {
    let mut form = call.form();
    let batch_size = form.query("batch_size", integer(positive));
    form.finish(Some(()))?;
    let outcome = service::export::unsynced(call.cx(), batch_size).await?;
    json(StatusCode::OK, &PineconeExportOut::exported(outcome, "no_embeddings"))
}

/// Export these embeddings, synced or not.
#[utoipa::path(
    post, path = "/api/pinecone/export/batch", tag = "pinecone", operation_id = "export_batch_embeddings",
    request_body(content = EmbeddingIds, example = json!({ "embedding_ids": ["one", "another"] })),
    responses(
        (status = 200, description = "`success`, `no_embeddings` or `no_vectors`", body = PineconeExportOut),
        (status = 404, description = "None of the ids is known", body = Refusal),
        (status = 503, description = "The index is paused or does not answer; the job goes on", body = Refusal),
    ),
)]
pub async fn export_batch(call: Call) -> Outcome {
    let mut form = call.form();
    let most = call.cx().config().limits.batch;
    let ids = form.body(list_or("embedding_ids", Rule::ListType, list_upto(most, string(any))));
    let ids = form.finish(ids)?;
    match service::export::embeddings(call.cx(), ids).await {
        Ok(outcome) => json(StatusCode::OK, &PineconeExportOut::exported(outcome, "no_embeddings")),
        Err(Error::NotFound { .. }) => Err(Failure::not_found("No embeddings found")),
        Err(error) => Err(error.into()),
    }
}

/// Remove records from the index.
#[utoipa::path(
    delete, path = "/api/pinecone/vectors", tag = "pinecone", operation_id = "delete_vectors_from_pinecone",
    params(("vector_ids" = Option<Vec<String>>, Query, description = "The ids, repeated, for clients that send no body with DELETE")),
    request_body(content = Option<VectorIds>, example = json!({ "vector_ids": ["one", "another"] })),
    responses(
        (status = 200, description = "They are gone from the index", body = PineconeExportOut),
        (status = 400, description = "No ids were given", body = Refusal),
        (status = 503, description = "The index is paused or does not answer; the job goes on", body = Refusal),
    ),
)]
pub async fn delete_vectors(call: Call) -> Outcome {
    let rule = |text: &str| service::rules::ascii_id(text);
    let most = call.cx().config().limits.batch;
    let mut form = call.form();
    let ids = if call.query("vector_ids").is_some() && !call.has_body() {
        form.query_list("vector_ids", list_upto(most, string(rule)))
    } else {
        form.body(list_or("vector_ids", Rule::ListType, list_upto(most, string(rule))))
    };
    let ids = form.finish(ids)?;
    if ids.is_empty() {
        return Err(Failure::bad_request("No vector IDs provided"));
    }
    let count = service::export::delete_vectors(call.cx(), ids).await?;
    let message = Some(format!("Deleted {count} vectors"));
    let out =
        PineconeExportOut { status: "success", message, upserted_count: None, updated_db_count: None, error: None };
    json(StatusCode::OK, &out)
}

/// What the index holds.
#[utoipa::path(
    get, path = "/api/pinecone/index/stats", tag = "pinecone", operation_id = "get_index_statistics",
    responses(
        (status = 200, description = "What the index says of itself", body = IndexStatsOut, headers(
            ("x-corpus-synced-through" = i64, description = "Every change up to this corpus revision is in the index"),
            ("x-corpus-lag-seconds" = f64, description = "Age of the oldest change that is not; 0 when there is none"),
        )),
        (status = 503, description = "It does not answer", body = Refusal),
    ),
)]
pub async fn index_stats(call: Call) -> Outcome {
    let stats = service::export::index_stats(call.cx()).await?;
    let fresh = service::targets::freshness(call.cx(), call.cx().target_id()).await?;
    let mut response =
        json(StatusCode::OK, &IndexStatsOut { status: "success", stats: Some(stats.into()), error: None })?;
    let headers = response.headers_mut();
    headers.insert(SYNCED_THROUGH, HeaderValue::from(fresh.through.revision));
    // Digits and a point are visible ASCII.
    if let Ok(lag) = HeaderValue::from_str(&format!("{:.3}", fresh.lag_seconds)) {
        headers.insert(LAG, lag);
    }
    Ok(response)
}

/// Search the index by vector.
#[utoipa::path(
    get, path = "/api/pinecone/search", tag = "pinecone", operation_id = "search_pinecone",
    params(
        ("top_k" = Option<u64>, Query, description = "Matches at most (10)", minimum = 1),
        ("query_vector" = Option<Vec<f32>>, Query, description = "The vector, repeated, for clients that send no body with GET"),
        ("wait_for" = Option<u64>, Query, description = "Wait until the index holds everything up to this corpus revision, as writes answer it in `X-Corpus-Revision`; `stale` then says whether it came in time", minimum = 0),
        ("wait_ms" = Option<u64>, Query, description = "How long at most, in milliseconds: up to 60,000 (5,000)", minimum = 0),
    ),
    request_body(content = Option<IndexQuery>, example = json!([0.1, 0.2, 0.3])),
    responses(
        (status = 200, description = "The best matches, best first", body = MatchesOut),
        (status = 400, description = "The vector is empty", body = Refusal),
        (status = 503, description = "The index does not answer", body = Refusal),
    ),
)]
pub async fn search(call: Call) -> Outcome {
    let numbers = |value: &Json| list_upto(call.cx().config().limits.dimension, number)(value);
    let mut form = call.form();
    let top_k = form.query("top_k", integer(positive));
    let wait_for = form.query("wait_for", integer(natural));
    let wait_ms = form.query("wait_ms", integer(service::search::wait_ms));
    let in_query = call.query("query_vector").is_some() && !call.has_body();
    let asked = if in_query {
        form.query_list("query_vector", numbers).map(|vector| (vector, None))
    } else {
        form.body(question(numbers))
    };
    let (vector, also) = form.finish(asked)?;
    if vector.is_empty() {
        return Err(Failure::bad_request("Query vector required"));
    }
    let top_k = usize::try_from(top_k.or(also).unwrap_or(TOP_K)).unwrap_or(usize::MAX);
    let stale = match wait_for {
        Some(revision) => Some(service::search::misses(call.cx(), revision, wait_ms).await?),
        None => None,
    };
    let found = service::export::search(call.cx(), vector, top_k).await;
    let matches = found.map_err(|error| at_the_vector(&call, in_query, error))?;
    let matches = matches.into_iter().map(MatchOut::from).collect();
    json(StatusCode::OK, &MatchesOut { status: "success", matches, stale })
}

/// A flaw of the vector, at the place where the request has it.
fn at_the_vector(call: &Call, in_query: bool, error: Error) -> Failure {
    let Error::Invalid(fields) = error else { return error.into() };
    let names: &[&str] = match call.json() {
        _ if in_query => &["query", "query_vector"],
        Ok(body) if body.get("query_vector").is_some() => &["body", "query_vector"],
        Ok(Json::Object(_)) => &["body", "vector"],
        Ok(_) | Err(_) => &["body"],
    };
    let at: Vec<Step> = names.iter().map(|name| Step::Field((*name).to_owned())).collect();
    let flaw = |field: FieldError| Flaw { at: at.clone(), rule: field.rule, input: Json::Null };
    Failure::Request(fields.into_iter().map(flaw).collect())
}

/// Search the index by vector, with a method that takes a body everywhere.
#[utoipa::path(
    post, path = "/api/pinecone/search", tag = "pinecone", operation_id = "search_pinecone",
    params(
        ("top_k" = Option<u64>, Query, description = "Matches at most (10)", minimum = 1),
        ("wait_for" = Option<u64>, Query, description = "Wait until the index holds everything up to this corpus revision, as writes answer it in `X-Corpus-Revision`; `stale` then says whether it came in time", minimum = 0),
        ("wait_ms" = Option<u64>, Query, description = "How long at most, in milliseconds: up to 60,000 (5,000)", minimum = 0),
    ),
    request_body(content = IndexQuery, example = json!([0.1, 0.2, 0.3])),
    responses(
        (status = 200, description = "The best matches, best first", body = MatchesOut),
        (status = 400, description = "The vector is empty", body = Refusal),
        (status = 503, description = "The index does not answer", body = Refusal),
    ),
)]
pub async fn search_posted(call: Call) -> Outcome {
    search(call).await
}

/// A vector that is the body itself, or stands in it under `vector` or `query_vector`, with `top_k`.
fn question(numbers: impl Fn(&Json) -> Read<Vec<f32>>) -> impl Fn(&Json) -> Read<(Vec<f32>, Option<i64>)> {
    move |value| match value {
        Json::Object(_) => object(|fields| {
            let name = if fields.has("query_vector") { "query_vector" } else { "vector" };
            let vector = fields.required(name, &numbers);
            let top_k = fields.optional("top_k", integer(positive));
            Some((vector?, top_k))
        })(value),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            numbers(value).map(|vector| (vector, None))
        }
    }
}

/// A whole number from 1.
const fn positive(number: i64) -> Result<(), Rule> {
    if number < 1 { Err(Rule::GreaterThanEqual(1)) } else { Ok(()) }
}
