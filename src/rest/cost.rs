//! What an operation costs, in the points that GraphQL counts in: a row is one, a search a hundred.

/// What a write costs: rows, slots and the log.
const WRITE: u64 = 10;
/// What a search costs, because it may look at every chunk.
const SEARCH: u64 = 100;
/// What an operation costs that goes through the corpus.
const SWEEP: u64 = 1_000;

/// The points of an operation whose query parameter `limit` says this; `most` is the longest page.
#[must_use]
pub fn of(method: &str, path: &str, limit: Option<u64>, most: u64) -> u64 {
    let page = |usual: u64| limit.unwrap_or(usual).clamp(1, most);
    match (method, path) {
        ("GET", "/api/documents" | "/api/events" | "/api/sync/jobs" | "/api/dashboard/activity") => page(100),
        ("GET", "/api/documents/{doc_id}/chunks" | "/api/dashboard/document/{doc_id}/export") => page(1_000),
        ("GET" | "POST", "/api/pinecone/search") | ("POST", "/api/documents/search") => SEARCH,
        ("GET", "/api/dashboard/search") => SEARCH,
        ("POST", "/api/pinecone/export/unsynced" | "/api/pinecone/reconcile") => SWEEP,
        ("POST", "/api/documents/{doc_id}/chunks/batch" | "/api/dashboard/document/{doc_id}/duplicate") => SEARCH,
        ("POST", "/api/dashboard/documents/batch-delete" | "/api/pinecone/export/batch") => SEARCH,
        ("GET", _) => 1,
        _ => WRITE,
    }
}
