//! What changed lately: documents, chunks and embeddings, each newest first.
//!
//! A sync moves no `updated_at`, so it is no activity; rows below a deleted parent are left out.

use crate::error::Result;
use crate::service::Ctx;
use crate::store::stats;
use crate::store::stats::Recent;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// What changed lately.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activity {
    /// Documents.
    pub documents: Vec<Recent>,
    /// Chunks.
    pub chunks: Vec<Recent>,
    /// Embeddings.
    pub embeddings: Vec<Recent>,
}

/// What changed in the last `days`, at most `limit` of each kind (and the configured page): three statements.
///
/// The entries tell which rows they are, not what is in them.
///
/// # Errors
/// What the database says.
pub async fn list(cx: &Ctx, days: i64, limit: i64) -> Result<Activity> {
    let since = cx.db().clock().now_us().saturating_sub(days.saturating_mul(DAY_US));
    let limit = limit.min(i64::try_from(cx.config().limits.rest_page).unwrap_or(i64::MAX));
    let conn = cx.read();
    Ok(Activity {
        documents: stats::recent_documents(conn, since, limit).await?,
        chunks: stats::recent_chunks(conn, since, limit).await?,
        embeddings: stats::recent_embeddings(conn, cx.target_id(), since, limit).await?,
    })
}
