//! Embeddings: made below a chunk, then by their own id under two paths.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::naive_iso;
use crate::error::Error;
use crate::rest::extract::Call;
use crate::rest::extract::Outcome;
use crate::rest::extract::json;
use crate::rest::extract::no_content;
use crate::rest::fields::Fields;
use crate::rest::fields::boolean;
use crate::rest::fields::keep_or;
use crate::rest::fields::object;
use crate::rest::fields::string;
use crate::rest::fields::vector;
use crate::service;
use crate::service::Patch;
use crate::service::chunks;
use crate::service::embeddings::EmbeddingPatch;
use crate::service::embeddings::NewEmbedding;
use crate::service::embeddings::WHAT;
use crate::service::rules;
use crate::store::embeddings::Row;
use crate::store::embeddings::Vectors;
use crate::store::vector::from_bytes;

/// The model of an embedding that names none.
const DEFAULT_MODEL: &str = "text-embedding-ada-002";

/// An embedding.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EmbeddingResponse, example = json!({
    "id": "019ab3c1-8a5e-7c3f-9d51-2f6b0a9c7e12", "chunk_id": "019ab3c1-8a5e-7c3f-9d51-2f6b0a9c7e11",
    "model": "text-embedding-ada-002", "pinecone_id": null, "is_synced": false,
    "created_at": "2026-11-22T06:05:27.938024", "updated_at": "2026-11-22T06:05:27.938024", "last_synced_at": null
}))]
pub struct EmbeddingOut {
    id: String,
    chunk_id: String,
    model: Option<String>,
    /// The id of its record in the vector index: the one that was set, or the one it was exported under.
    pinecone_id: Option<String>,
    /// The vector index holds its current form.
    is_synced: bool,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")]
    created_at: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")]
    updated_at: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")]
    last_synced_at: Option<String>,
    /// Only with `include_vector=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    vector: Option<Vec<f32>>,
}

impl From<Row> for EmbeddingOut {
    fn from(row: Row) -> Self {
        let Row {
            id,
            chunk_id,
            document_id: _,
            model,
            vector_id,
            held: _,
            dimension: _,
            created_at,
            updated_at,
            synced,
            acked,
            synced_at_ms,
            vector,
        } = row;
        let shown = acked || vector_id != id;
        Self {
            pinecone_id: Some(vector_id).filter(|_| shown),
            id,
            chunk_id,
            model,
            is_synced: synced,
            created_at: naive_iso(created_at),
            updated_at: naive_iso(updated_at),
            last_synced_at: synced_at_ms.map(|ms| naive_iso(ms.saturating_mul(1000))),
            vector: vector.as_deref().map(from_bytes),
        }
    }
}

/// An embedding to create. A `chunk_id` may be sent too, and is ignored: the path names the chunk.
#[derive(Debug, ToSchema)]
#[schema(example = json!({ "vector": [0.1, 0.2, 0.3], "model": "text-embedding-ada-002" }))]
pub struct EmbeddingCreate {
    /// Finite numbers, kept as 32-bit floats.
    #[schema(min_items = 1)]
    pub vector: Vec<f32>,
    /// The model that made it; `text-embedding-ada-002` when absent, none when null.
    #[schema(max_length = 100, default = "text-embedding-ada-002")]
    pub model: Option<String>,
}

/// What to change of an embedding; what is absent or null stays.
#[derive(Debug, ToSchema)]
#[schema(example = json!({ "vector": [0.3, 0.2, 0.1] }))]
pub struct EmbeddingUpdate {
    /// Finite numbers, kept as 32-bit floats.
    #[schema(min_items = 1)]
    pub vector: Option<Vec<f32>>,
    /// The id of its record in the vector index; the empty string goes back to the embedding's own id.
    pub pinecone_id: Option<String>,
}

/// Add an embedding to a chunk.
#[utoipa::path(
    post, path = "/api/documents/chunks/{chunk_id}/embeddings", tag = "documents", operation_id = "create_embedding",
    params(("chunk_id" = String, Path, description = "The chunk")),
    request_body = EmbeddingCreate,
    responses((status = 201, description = "Created", body = EmbeddingOut)),
)]
pub async fn create(call: Call) -> Outcome {
    let cx = call.cx();
    let chunk_id = call.id("chunk_id", chunks::WHAT)?;
    let mut form = call.form();
    let new = form.body(object(|fields: &mut Fields<'_>| {
        let vector = fields.required("vector", vector(&cx.config().limits));
        let model = if fields.has("model") {
            fields.optional("model", string(rules::model))
        } else {
            Some(DEFAULT_MODEL.to_owned())
        };
        Some(NewEmbedding { id: None, vector: vector?, model, vector_id: None })
    }));
    let rows = service::embeddings::create(cx, vec![(chunk_id, form.finish(new)?)]).await?;
    json(StatusCode::CREATED, &rows.into_iter().next().map(EmbeddingOut::from))
}

/// Read an embedding.
#[utoipa::path(
    get, path = "/api/documents/embeddings/{embedding_id}", tag = "documents", operation_id = "get_embedding",
    params(
        ("embedding_id" = String, Path, description = "The embedding"),
        ("include_vector" = Option<bool>, Query, description = "With its vector (false)"),
    ),
    responses((status = 200, description = "The embedding", body = EmbeddingOut)),
)]
pub async fn get(call: Call) -> Outcome {
    let id = call.id("embedding_id", WHAT)?;
    let mut form = call.form();
    let with_vector = form.query("include_vector", boolean).unwrap_or_default();
    let vectors = form.finish(Some(if with_vector { Vectors::Read } else { Vectors::Leave }))?;
    let row = service::lists::embedding(call.cx(), &id, vectors).await?;
    json(StatusCode::OK, &EmbeddingOut::from(row))
}

/// Change an embedding; a change marks it unsynced.
#[utoipa::path(
    put, path = "/api/documents/embeddings/{embedding_id}", tag = "documents", operation_id = "update_embedding",
    params(("embedding_id" = String, Path, description = "The embedding")),
    request_body = EmbeddingUpdate,
    responses((status = 200, description = "The embedding as it is now", body = EmbeddingOut)),
)]
pub async fn update(call: Call) -> Outcome {
    let cx = call.cx();
    let id = call.id("embedding_id", WHAT)?;
    let mut form = call.form();
    let patch = form.body(object(|fields: &mut Fields<'_>| {
        let vector = fields.optional("vector", vector(&cx.config().limits));
        let vector_id = fields.optional("pinecone_id", string(vector_id));
        let vector_id = match vector_id {
            Some(id) if id.is_empty() => Patch::Clear,
            other => keep_or(other),
        };
        Some(EmbeddingPatch { vector: keep_or(vector), model: Patch::Keep, vector_id })
    }));
    let row = service::embeddings::update(cx, &id, form.finish(patch)?).await.map_err(in_words_of_rest)?;
    json(StatusCode::OK, &EmbeddingOut::from(row))
}

/// A conflict about a record's id, under the name that it has here.
fn in_words_of_rest(error: Error) -> Error {
    if let Error::Conflict { detail } = &error {
        return Error::conflict(detail.replacen("vector_id", "pinecone_id", 1));
    }
    error
}

/// A record's id, or the empty string for the embedding's own.
fn vector_id(text: &str) -> Result<(), crate::error::Rule> {
    if text.is_empty() { Ok(()) } else { rules::ascii_id(text) }
}

/// Delete an embedding.
#[utoipa::path(
    delete, path = "/api/documents/embeddings/{embedding_id}", tag = "documents", operation_id = "delete_embedding",
    params(("embedding_id" = String, Path, description = "The embedding")),
    responses((status = 204, description = "Deleted")),
)]
pub async fn delete(call: Call) -> Outcome {
    let id = call.id("embedding_id", WHAT)?;
    service::embeddings::delete(call.cx(), &id).await?;
    Ok(no_content())
}
