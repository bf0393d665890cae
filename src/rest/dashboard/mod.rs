//! `/api/dashboard`: the corpus at a glance, one document in full, and what changed lately.

pub mod body;

use axum::http::StatusCode;

use crate::error::Rule;
use crate::rest::dashboard::body::ActivityOut;
use crate::rest::dashboard::body::BatchDeleteOut;
use crate::rest::dashboard::body::DocumentExportOut;
use crate::rest::dashboard::body::DocumentIds;
use crate::rest::dashboard::body::DocumentStatsOut;
use crate::rest::dashboard::body::DuplicateOut;
use crate::rest::dashboard::body::HitOut;
use crate::rest::dashboard::body::OverviewDocumentOut;
use crate::rest::dashboard::body::OverviewOut;
use crate::rest::dashboard::body::SearchOut;
use crate::rest::dashboard::body::SyncStatusOut;
use crate::rest::documents::delete_mode;
use crate::rest::error::Failure;
use crate::rest::extract::Call;
use crate::rest::extract::Form;
use crate::rest::extract::Outcome;
use crate::rest::extract::json;
use crate::rest::fields::any;
use crate::rest::fields::boolean;
use crate::rest::fields::integer;
use crate::rest::fields::list_or;
use crate::rest::fields::list_upto;
use crate::rest::fields::natural;
use crate::rest::fields::string;
use crate::rest::openapi::Refusal;
use crate::service;
use crate::service::documents::WHAT;
use crate::service::rules;
use crate::store::embeddings::Vectors;

/// The corpus at a glance.
#[utoipa::path(
    get, path = "/api/dashboard/overview", tag = "dashboard", operation_id = "get_dashboard_overview",
    responses((status = 200, description = "Totals, and at most 10,000 documents, oldest first", body = OverviewOut)),
)]
pub async fn overview(call: Call) -> Outcome {
    let now = call.cx().db().clock().now_us();
    let overview = service::dashboard::overview(call.cx()).await?;
    let documents: Vec<OverviewDocumentOut> = overview.documents.into_iter().map(Into::into).collect();
    let sync_status = SyncStatusOut::new(overview.totals, now);
    json(StatusCode::OK, &OverviewOut { sync_status, total_documents: documents.len(), documents })
}

/// How much of the corpus the index holds.
#[utoipa::path(
    get, path = "/api/dashboard/sync-status", tag = "dashboard", operation_id = "get_sync_status",
    responses((status = 200, description = "Totals", body = SyncStatusOut)),
)]
pub async fn sync_status(call: Call) -> Outcome {
    let now = call.cx().db().clock().now_us();
    let totals = service::dashboard::sync_status(call.cx()).await?;
    json(StatusCode::OK, &SyncStatusOut::new(totals, now))
}

/// The statistics of one document.
#[utoipa::path(
    get, path = "/api/dashboard/document/{doc_id}/stats", tag = "dashboard", operation_id = "get_document_stats",
    params(("doc_id" = String, Path, description = "The document")),
    responses((status = 200, description = "Its statistics", body = DocumentStatsOut)),
)]
pub async fn document_stats(call: Call) -> Outcome {
    let id = call.id("doc_id", WHAT)?;
    let (row, stats) = service::dashboard::document_stats(call.cx(), &id).await?;
    json(StatusCode::OK, &DocumentStatsOut::new(&row, stats))
}

/// One document with everything live below it.
#[utoipa::path(
    get, path = "/api/dashboard/document/{doc_id}/export", tag = "dashboard", operation_id = "export_document_json",
    params(
        ("doc_id" = String, Path, description = "The document"),
        ("include_vectors" = Option<bool>, Query, description = "With the vectors, so that it can be read back (false)"),
    ),
    responses((status = 200, description = "The document and everything live below it", body = DocumentExportOut)),
)]
pub async fn export_document(call: Call) -> Outcome {
    let id = call.id("doc_id", WHAT)?;
    let mut form = call.form();
    let vectors = form.query("include_vectors", boolean).unwrap_or_default();
    let vectors = form.finish(Some(if vectors { Vectors::Read } else { Vectors::Leave }))?;
    let export = service::dashboard::export_document(call.cx(), &id, vectors).await?;
    json(StatusCode::OK, &DocumentExportOut::from(export))
}

/// Copy a document with everything live below it.
#[utoipa::path(
    post, path = "/api/dashboard/document/{doc_id}/duplicate", tag = "dashboard", operation_id = "duplicate_document",
    params(
        ("doc_id" = String, Path, description = "The document"),
        ("new_title" = Option<String>, Query, description = "Its title (the original's, followed by ` (Copy)`)", max_length = 255),
    ),
    responses((status = 200, description = "The copy was made", body = DuplicateOut)),
)]
pub async fn duplicate(call: Call) -> Outcome {
    let id = call.id("doc_id", WHAT)?;
    let mut form = call.form();
    // An empty one is none, as in the first backend.
    let rule = |text: &str| if text.is_empty() { Ok(()) } else { rules::title(text) };
    let title = form.query("new_title", string(rule)).filter(|title| !title.is_empty());
    let title = form.finish(Some(title))?;
    let (copy, original) = service::duplicate::duplicate(call.cx(), &id, title).await?;
    let made = DuplicateOut {
        status: "success",
        original_id: original.id,
        duplicate_id: copy.id,
        duplicate_title: copy.title,
    };
    json(StatusCode::OK, &made)
}

/// Delete many documents.
#[utoipa::path(
    post, path = "/api/dashboard/documents/batch-delete", tag = "dashboard", operation_id = "batch_delete_documents",
    params(("hard_delete" = Option<bool>, Query, description = "Beyond restoring, with everything below them (false)")),
    request_body(content = DocumentIds, example = json!({ "doc_ids": ["one", "another"] })),
    responses(
        (status = 200, description = "What became of each", body = BatchDeleteOut),
        (status = 400, description = "No ids were given", body = Refusal),
    ),
)]
pub async fn batch_delete(call: Call) -> Outcome {
    let mode = delete_mode(&call)?;
    let most = call.cx().config().limits.batch;
    let mut form = call.form();
    let ids = form.body(list_or("doc_ids", Rule::ListType, list_upto(most, string(any))));
    let ids = form.finish(ids)?;
    if ids.is_empty() {
        return Err(Failure::bad_request("No document IDs provided"));
    }
    let outcomes = service::documents::delete_many(call.cx(), ids, mode).await?;
    let total = outcomes.len();
    let failed_ids: Vec<String> = outcomes.into_iter().filter(|(_, error)| error.is_some()).map(|(id, _)| id).collect();
    let failed_count = failed_ids.len();
    json(StatusCode::OK, &BatchDeleteOut { deleted_count: total - failed_count, failed_count, failed_ids, total })
}

/// Search chunks and documents by the letters in them.
#[utoipa::path(
    get, path = "/api/dashboard/search", tag = "dashboard", operation_id = "search_content",
    params(
        ("query" = String, Query, description = "What to look for, in any case; every character stands for itself"),
        ("limit" = Option<u64>, Query, description = "Chunks at most, and documents at most (100)", minimum = 0),
    ),
    responses(
        (status = 200, description = "Chunks, then documents", body = SearchOut),
        (status = 400, description = "The query is empty", body = Refusal),
    ),
)]
pub async fn search(call: Call) -> Outcome {
    let mut form = call.form();
    // An empty query is a 400 of its own, so it must pass here.
    let rule = |text: &str| if text.is_empty() { Ok(()) } else { rules::search(text) };
    let query = form.query_required("query", string(rule));
    let limit = limit(&mut form);
    let query = form.finish(query)?;
    if query.is_empty() {
        return Err(Failure::bad_request("Search query required"));
    }
    let found = service::dashboard::search(call.cx(), &query, limit).await?;
    let chunks = found.chunks.into_iter().map(HitOut::from);
    let results: Vec<HitOut> = chunks.chain(found.documents.into_iter().map(HitOut::from)).collect();
    json(StatusCode::OK, &SearchOut { query, result_count: results.len(), results })
}

/// What changed lately.
#[utoipa::path(
    get, path = "/api/dashboard/activity", tag = "dashboard", operation_id = "get_recent_activity",
    params(
        ("days" = Option<u64>, Query, description = "How far to look back (7)", minimum = 0),
        ("limit" = Option<u64>, Query, description = "Rows of each kind at most (100)", minimum = 0),
    ),
    responses((status = 200, description = "What changed, newest first", body = ActivityOut)),
)]
pub async fn activity(call: Call) -> Outcome {
    let mut form = call.form();
    let days = form.query("days", integer(natural)).unwrap_or(7);
    let limit = limit(&mut form);
    let days = form.finish(Some(days))?;
    let activity = service::activity::list(call.cx(), days, limit).await?;
    json(StatusCode::OK, &ActivityOut::from(activity))
}

fn limit(form: &mut Form<'_>) -> i64 {
    form.query("limit", integer(natural)).unwrap_or(100)
}
