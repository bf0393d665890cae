//! The statements of the nested graph: one for each level and field.
//!
//! Everything a GraphQL query reads below its roots is read here, for all parents
//! at once. Parents travel as one JSON list; children are limited for each parent
//! by themselves, so that no set is sorted or numbered as a whole.

use sea_orm::DbErr;
use sea_orm::QueryResult;

use crate::entity::document;
use crate::store::Db;
use crate::store::sql::Sql;

/// A document as lists read it: without the folded columns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of entity::document")]
pub struct DocumentRow {
    pub id: String,
    pub namespace: String,
    pub title: String,
    pub source: Option<String>,
    pub metadata: Option<String>,
    pub revision: i64,
    pub created_at: i64,
    pub updated_at: i64,
    pub deleted_at: Option<i64>,
}

impl From<document::Model> for DocumentRow {
    fn from(row: document::Model) -> Self {
        let document::Model {
            id,
            namespace,
            title,
            source,
            metadata,
            revision,
            created_at,
            updated_at,
            deleted_at,
            title_folded: _,
            source_folded: _,
        } = row;
        Self { id, namespace, title, source, metadata, revision, created_at, updated_at, deleted_at }
    }
}

const DOCUMENT: &str =
    "d.id, d.namespace, d.title, d.source, d.metadata, d.revision, d.created_at, d.updated_at, d.deleted_at";

fn document(row: &QueryResult) -> Result<DocumentRow, DbErr> {
    Ok(DocumentRow {
        id: row.try_get_by_index(0)?,
        namespace: row.try_get_by_index(1)?,
        title: row.try_get_by_index(2)?,
        source: row.try_get_by_index(3)?,
        metadata: row.try_get_by_index(4)?,
        revision: row.try_get_by_index(5)?,
        created_at: row.try_get_by_index(6)?,
        updated_at: row.try_get_by_index(7)?,
        deleted_at: row.try_get_by_index(8)?,
    })
}

/// The documents of these ids, in no order; soft-deleted ones only `with_deleted`.
///
/// # Errors
/// What the database says.
pub async fn documents<S: AsRef<str>>(db: &Db, ids: &[S], with_deleted: bool) -> Result<Vec<DocumentRow>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT ").push(DOCUMENT).push(" FROM documents d WHERE ").is_any("d.id", ids);
    if !with_deleted {
        sql.push(" AND d.deleted_at IS NULL");
    }
    sql.all(db.read()).await?.iter().map(document).collect()
}
