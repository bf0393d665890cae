//! Nodes: objects by the one id they have.

use std::collections::HashMap;

use async_graphql::ID;
use async_graphql::Interface;

use crate::error::Error;
use crate::error::Result;
use crate::error::Rule;
use crate::graphql::chunk::Chunk;
use crate::graphql::document::Document;
use crate::graphql::embedding::Embedding;
use crate::graphql::level::Level;
use crate::graphql::sync_job::SyncJob;
use crate::service::Ctx;
use crate::store::filter::Deleted;
use crate::store::graph;

#[expect(clippy::large_enum_variant, reason = "one a looked-up id, and jobs are rare")]
/// An object with an id that no other object has.
#[derive(Clone, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The one id of this object, on both edges and in the database."))]
pub enum Node {
    /// A document.
    Document(Document),
    /// A chunk.
    Chunk(Chunk),
    /// An embedding.
    Embedding(Embedding),
    /// A sync job.
    SyncJob(SyncJob),
}

/// Refuses a list of more ids than a page may have.
///
/// # Errors
/// [`Error::Invalid`].
pub fn check_count(cx: &Ctx, count: usize) -> Result<()> {
    let (max, actual) = (cx.config().limits.graphql_page, count as u64);
    if actual > max { Err(Error::invalid("ids", Rule::TooLong { max, actual })) } else { Ok(()) }
}

/// The live objects of these ids, in their order: one statement for each kind.
///
/// # Errors
/// What the database says.
pub async fn find(cx: &Ctx, ids: &[ID]) -> Result<Vec<Option<Node>>> {
    let mut wanted: Vec<&str> = ids.iter().map(|id| id.as_str()).filter(|id| !id.contains('\0')).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut found: HashMap<String, Node> = HashMap::new();
    let rows = graph::documents::by_ids(cx.db(), &wanted, Deleted::Live).await?;
    for row in Level::new(cx, rows).all() {
        found.insert(row.id.clone(), Node::Document(Document(row)));
    }
    wanted.retain(|id| !found.contains_key(*id));
    if !wanted.is_empty() {
        let rows = graph::chunks::by_ids(cx.db(), &wanted).await?;
        for row in Level::new(cx, rows).all() {
            found.insert(row.id.clone(), Node::Chunk(Chunk(row)));
        }
        wanted.retain(|id| !found.contains_key(*id));
    }
    if !wanted.is_empty() {
        let rows = graph::embeddings::by_ids(cx.db(), cx.target_id(), &wanted).await?;
        for row in Level::new(cx, rows).all() {
            found.insert(row.id.clone(), Node::Embedding(Embedding(row)));
        }
        wanted.retain(|id| !found.contains_key(*id));
    }
    if !wanted.is_empty() {
        for row in graph::sync::jobs_by_ids(cx.db(), &wanted).await? {
            found.insert(row.id.clone(), Node::SyncJob(SyncJob(row)));
        }
    }
    Ok(ids.iter().map(|id| found.get(id.as_str()).cloned()).collect())
}
