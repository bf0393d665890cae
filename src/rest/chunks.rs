//! Chunks: below `/api/documents/{doc_id}`, and by their own id under two paths.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::clock::naive_iso;
use crate::config::Limits;
use crate::entity::chunk;
use crate::error::Rule;
use crate::json::Json;
use crate::rest::documents::delete_mode;
use crate::rest::documents::metadata_mode;
use crate::rest::documents::window;
use crate::rest::extract::Call;
use crate::rest::extract::Outcome;
use crate::rest::extract::json;
use crate::rest::extract::no_content;
use crate::rest::extract::stored_json;
use crate::rest::fields::Fields;
use crate::rest::fields::Read;
use crate::rest::fields::integer;
use crate::rest::fields::keep_or;
use crate::rest::fields::list_or;
use crate::rest::fields::list_upto;
use crate::rest::fields::metadata;
use crate::rest::fields::object;
use crate::rest::fields::string;
use crate::rest::links::Listing;
use crate::service;
use crate::service::Patch;
use crate::service::chunks::ChunkPatch;
use crate::service::chunks::NewChunk;
use crate::service::chunks::WHAT;
use crate::service::documents;
use crate::service::rules;

/// A chunk.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChunkResponse, example = json!({
    "id": "019ab3c1-8a5e-7c3f-9d51-2f6b0a9c7e11", "document_id": "019ab3c1-8a5e-7c3f-9d51-2f6b0a9c7e10",
    "chunk_index": 0, "text": "The passage itself.", "metadata": { "page": 3 },
    "created_at": "2026-11-22T06:05:27.938024", "updated_at": "2026-11-22T06:05:27.938024", "is_deleted": false
}))]
pub struct ChunkOut {
    id: String,
    document_id: String,
    /// Its place in reading order.
    chunk_index: i64,
    text: String,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")]
    created_at: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")]
    updated_at: String,
    is_deleted: bool,
}

impl From<chunk::Model> for ChunkOut {
    fn from(row: chunk::Model) -> Self {
        let chunk::Model {
            id,
            document_id,
            chunk_index,
            text,
            metadata,
            created_at,
            updated_at,
            deleted_at,
            text_folded: _,
        } = row;
        Self {
            id,
            document_id,
            chunk_index,
            text,
            metadata: metadata.as_deref().and_then(stored_json),
            created_at: naive_iso(created_at),
            updated_at: naive_iso(updated_at),
            is_deleted: deleted_at.is_some(),
        }
    }
}

/// A chunk with its count of embeddings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChunkDetailResponse)]
pub struct ChunkDetailOut {
    #[serde(flatten)]
    chunk: ChunkOut,
    embedding_count: u64,
    has_embedding: bool,
}

/// A chunk to create. A `document_id` may be sent too, and is ignored: the path names the document.
#[derive(Debug, ToSchema)]
#[schema(example = json!({ "chunk_index": 0, "text": "The passage itself.", "metadata": { "page": 3 } }))]
pub struct ChunkCreate {
    /// Its place in reading order; several chunks may share one.
    #[schema(minimum = 0, maximum = 2_147_483_647)]
    pub chunk_index: i32,
    /// The passage.
    #[schema(min_length = 1)]
    pub text: String,
    /// Whatever belongs to the chunk.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<String>,
}

/// Chunks to create, all or none. The bare list is accepted too.
#[derive(Debug, ToSchema)]
pub struct BatchChunkCreate {
    /// The chunks.
    pub chunks: Vec<ChunkCreate>,
}

/// What to change of a chunk; what is absent or null stays.
#[derive(Debug, ToSchema)]
#[schema(example = json!({ "text": "The passage, corrected.", "metadata": { "page": 4 } }))]
pub struct ChunkUpdate {
    /// The passage.
    #[schema(min_length = 1)]
    pub text: Option<String>,
    /// Merged key by key at the top level, unless `metadata_mode=replace`.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<String>,
}

fn new_chunk(limits: &Limits) -> impl Fn(&Json) -> Read<NewChunk> {
    object(|fields| {
        let chunk_index = fields.required("chunk_index", integer(rules::chunk_index));
        let text = fields.required("text", string(|text| rules::text(text, limits)));
        let metadata = fields.optional("metadata", metadata(limits));
        Some(NewChunk { chunk_index: Some(chunk_index?), text: text?, metadata, ..NewChunk::default() })
    })
}

/// Add a chunk to a document.
#[utoipa::path(
    post, path = "/api/documents/{doc_id}/chunks", tag = "documents", operation_id = "create_chunk",
    params(("doc_id" = String, Path, description = "The document")),
    request_body = ChunkCreate,
    responses((status = 201, description = "Created", body = ChunkOut)),
)]
pub async fn create(call: Call) -> Outcome {
    let cx = call.cx();
    let document_id = call.id("doc_id", documents::WHAT)?;
    let mut form = call.form();
    let new = form.body(new_chunk(&cx.config().limits));
    let rows = service::chunks::create(cx, &document_id, vec![form.finish(new)?]).await?;
    json(StatusCode::CREATED, &rows.into_iter().next().map(ChunkOut::from))
}

/// Add several chunks to a document, all or none.
#[utoipa::path(
    post, path = "/api/documents/{doc_id}/chunks/batch", tag = "documents", operation_id = "batch_create_chunks",
    params(("doc_id" = String, Path, description = "The document")),
    request_body(
        content = BatchChunkCreate,
        example = json!({ "chunks": [{ "chunk_index": 0, "text": "First." }, { "chunk_index": 1, "text": "Second." }] }),
    ),
    responses((status = 201, description = "Created, in the request's order", body = Vec<ChunkOut>)),
)]
pub async fn create_batch(call: Call) -> Outcome {
    let cx = call.cx();
    let limits = &cx.config().limits;
    let document_id = call.id("doc_id", documents::WHAT)?;
    let mut form = call.form();
    let new = form.body(list_or("chunks", Rule::ModelAttributesType, list_upto(limits.batch, new_chunk(limits))));
    let rows = service::chunks::create(cx, &document_id, form.finish(new)?).await?;
    json(StatusCode::CREATED, &rows.into_iter().map(ChunkOut::from).collect::<Vec<_>>())
}

/// List a document's chunks in reading order.
#[utoipa::path(
    get, path = "/api/documents/{doc_id}/chunks", tag = "documents", operation_id = "list_document_chunks",
    params(
        ("doc_id" = String, Path, description = "The document"),
        ("skip" = Option<u64>, Query, description = "Chunks to pass over (0)", minimum = 0),
        ("limit" = Option<u64>, Query, description = "Chunks to give at most (1000)", minimum = 0),
    ),
    responses((status = 200, description = "Its live chunks", body = Vec<ChunkOut>, headers(
        ("X-Total-Count" = u64, description = "How many there are"),
        ("Link" = String, description = "Where the other pages are, when there are any"),
    ))),
)]
pub async fn list(call: Call) -> Outcome {
    let document_id = call.id("doc_id", documents::WHAT)?;
    let mut form = call.form();
    let window = window(&mut form, 1000);
    let listed = service::lists::chunks_of(call.cx(), &document_id, form.finish(Some(window))?).await?;
    let rows: Vec<ChunkOut> = listed.rows.into_iter().map(ChunkOut::from).collect();
    Listing::new(&call, listed.total).around(listed.window).answer(&rows)
}

/// Read a chunk.
#[utoipa::path(
    get, path = "/api/documents/chunks/{chunk_id}", tag = "documents", operation_id = "get_chunk",
    params(("chunk_id" = String, Path, description = "The chunk")),
    responses((status = 200, description = "The chunk", body = ChunkDetailOut)),
)]
pub async fn get(call: Call) -> Outcome {
    let id = call.id("chunk_id", WHAT)?;
    let (row, embedding_count) = service::lists::chunk(call.cx(), &id).await?;
    json(StatusCode::OK, &ChunkDetailOut { chunk: row.into(), embedding_count, has_embedding: embedding_count > 0 })
}

/// Change a chunk.
#[utoipa::path(
    put, path = "/api/documents/chunks/{chunk_id}", tag = "documents", operation_id = "update_chunk",
    params(
        ("chunk_id" = String, Path, description = "The chunk"),
        ("metadata_mode" = Option<String>, Query, description = "`merge` (the default) or `replace`"),
    ),
    request_body = ChunkUpdate,
    responses((status = 200, description = "The chunk as it is now", body = ChunkOut)),
)]
pub async fn update(call: Call) -> Outcome {
    let cx = call.cx();
    let limits = &cx.config().limits;
    let id = call.id("chunk_id", WHAT)?;
    let mut form = call.form();
    let metadata_mode = metadata_mode(&mut form);
    let patch = form.body(object(|fields: &mut Fields<'_>| {
        let text = fields.optional("text", string(|text| rules::text(text, limits)));
        let metadata = fields.optional("metadata", metadata(limits));
        Some(ChunkPatch { chunk_index: Patch::Keep, text: keep_or(text), metadata: keep_or(metadata), metadata_mode })
    }));
    let row = service::chunks::update(cx, &id, form.finish(patch)?).await?;
    json(StatusCode::OK, &ChunkOut::from(row))
}

/// Take a soft deletion back.
#[utoipa::path(
    post, path = "/api/documents/chunks/{chunk_id}/restore", tag = "documents", operation_id = "restore_chunk",
    params(("chunk_id" = String, Path, description = "The chunk")),
    responses((status = 200, description = "The chunk as it is now; a live one stays as it is", body = ChunkOut)),
)]
pub async fn restore(call: Call) -> Outcome {
    let id = call.id("chunk_id", WHAT)?;
    let row = service::chunks::restore(call.cx(), &id).await?;
    json(StatusCode::OK, &ChunkOut::from(row))
}

/// Delete a chunk.
#[utoipa::path(
    delete, path = "/api/documents/chunks/{chunk_id}", tag = "documents", operation_id = "delete_chunk",
    params(
        ("chunk_id" = String, Path, description = "The chunk"),
        ("hard_delete" = Option<bool>, Query, description = "Beyond restoring, with its embeddings (false)"),
    ),
    responses((status = 204, description = "Deleted, or it already was")),
)]
pub async fn delete(call: Call) -> Outcome {
    let id = call.id("chunk_id", WHAT)?;
    let mode = delete_mode(&call)?;
    service::chunks::delete(call.cx(), &id, mode).await?;
    Ok(no_content())
}
