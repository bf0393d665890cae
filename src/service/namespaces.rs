//! The namespaces: partitions of the corpus, by the names their documents give them.

use crate::error::Result;
use crate::service::Ctx;
use crate::store::stats;
use crate::store::stats::Totals;

/// Every namespace that has a live document, by name, with its totals.
///
/// # Errors
/// What the database says.
pub async fn list(cx: &Ctx) -> Result<Vec<(String, Totals)>> {
    Ok(stats::namespaces(cx.read(), cx.target_id()).await?)
}
