//! The inner sweep: slots against rows, both ways, page by page; what differs is touched.
//!
//! This is how rows that another program wrote come to the index, and how those it
//! removed leave it.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use serde::Deserialize;
use serde::Serialize;

use crate::store::Tx;
use crate::store::documents;
use crate::store::log::Change;
use crate::store::log::ChangeKind;
use crate::store::slots;
use crate::store::slots::Extent;
use crate::store::sql::Sql;

/// Slots or rows of one page.
const PAGE: usize = 500;

/// Where a sweep stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Among the slots, behind this key.
    Slots(String, String),
    /// Among the embeddings, behind this id.
    Rows(String),
}

impl Place {
    /// The beginning.
    pub const START: Self = Self::Slots(String::new(), String::new());
}

/// What a page found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Embeddings whose slots are not what their rows say, by document.
    pub differ: BTreeMap<String, Vec<String>>,
    /// Where to go on; nothing at the end.
    pub next: Option<Place>,
}

/// Reads the next page.
///
/// # Errors
/// What the database says.
pub async fn page(conn: &impl ConnectionTrait, target_id: i64, place: &Place) -> Result<Page, DbErr> {
    match place {
        Place::Slots(namespace, vector_id) => of_slots(conn, target_id, namespace, vector_id).await,
        Place::Rows(after) => of_rows(conn, target_id, after).await,
    }
}

async fn of_slots(
    conn: &impl ConnectionTrait,
    target_id: i64,
    namespace: &str,
    vector_id: &str,
) -> Result<Page, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT p.namespace, p.vector_id, p.document_id, p.embedding_id, p.want = 'present' AND NOT EXISTS (SELECT 1 FROM embeddings e JOIN chunks c ON c.id = e.chunk_id JOIN documents d ON d.id = c.document_id WHERE e.id = p.embedding_id AND e.vector_id = p.vector_id AND d.namespace = p.namespace AND d.deleted_at IS NULL AND c.deleted_at IS NULL AND NOT e.held) FROM (SELECT namespace, vector_id, document_id, embedding_id, want FROM sync_slots WHERE target_id = ");
    sql.bind(target_id).push(" AND (namespace, vector_id) > (").bind(namespace).push(", ").bind(vector_id);
    sql.push(") ORDER BY namespace, vector_id LIMIT ").bind(i64::try_from(PAGE).unwrap_or(i64::MAX));
    sql.push(") p ORDER BY p.namespace, p.vector_id");
    let rows = sql.all(conn).await?;
    let mut page = Page { differ: BTreeMap::new(), next: Some(Place::Rows(String::new())) };
    for row in &rows {
        page.next = Some(Place::Slots(row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        let (document, embedding): (Option<String>, Option<String>) =
            (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
        let differs: bool = row.try_get_by_index(4)?;
        if let (true, Some(document), Some(embedding)) = (differs, document, embedding) {
            page.differ.entry(document).or_default().push(embedding);
        }
    }
    Ok(page)
}

async fn of_rows(conn: &impl ConnectionTrait, target_id: i64, after: &str) -> Result<Page, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT e.id, d.id, NOT e.held AND c.deleted_at IS NULL AND d.deleted_at IS NULL AND (s.vector_id IS NULL OR s.want <> 'present' OR COALESCE(s.embedding_id, '') <> e.id OR COALESCE(s.document_id, '') <> d.id) FROM (SELECT id, chunk_id, vector_id, held FROM embeddings WHERE id > ");
    sql.bind(after).push(" ORDER BY id LIMIT ").bind(i64::try_from(PAGE).unwrap_or(i64::MAX));
    sql.push(") e JOIN chunks c ON c.id = e.chunk_id JOIN documents d ON d.id = c.document_id");
    sql.push(" LEFT JOIN sync_slots s ON s.target_id = ").bind(target_id);
    sql.push(" AND s.namespace = d.namespace AND s.vector_id = e.vector_id ORDER BY e.id");
    let rows = sql.all(conn).await?;
    let mut page = Page::default();
    for row in &rows {
        let embedding: String = row.try_get_by_index(0)?;
        let document: String = row.try_get_by_index(1)?;
        let differs: bool = row.try_get_by_index(2)?;
        page.next = Some(Place::Rows(embedding.clone()));
        if differs {
            page.differ.entry(document).or_default().push(embedding);
        }
    }
    Ok(page)
}

/// Touches the embeddings of one document.
///
/// # Errors
/// What the database says.
pub async fn touch(tx: &Tx, target_id: i64, document_id: &str, embedding_ids: &[String]) -> Result<(), DbErr> {
    // It may be gone: then nothing of it is wanted.
    documents::lock(tx, document_id).await?;
    slots::touch(tx, target_id, document_id, Extent::Embeddings(embedding_ids)).await?;
    tx.record(Change::new(ChangeKind::SyncChanged, document_id, document_id));
    Ok(())
}
