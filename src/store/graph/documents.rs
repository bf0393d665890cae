//! Documents: a page of them, those of some ids, those above some chunks.

use sea_orm::DbErr;

use crate::entity::document;
use crate::store::Db;
use crate::store::filter::Deleted;
use crate::store::filter::DocumentFilter;
use crate::store::page::Kind;
use crate::store::page::List;
use crate::store::page::Page;
use crate::store::page::Part;
use crate::store::page::Window;
use crate::store::read;
use crate::store::read::Columns;
use crate::store::read::FromRow;
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

/// The columns of a [`DocumentRow`] in its order.
const COLUMNS: &str =
    "d.id, d.namespace, d.title, d.source, d.metadata, d.revision, d.created_at, d.updated_at, d.deleted_at";

impl FromRow for DocumentRow {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.text(at)?,
            namespace: row.text(at + 1)?,
            title: row.text(at + 2)?,
            source: row.text_or_null(at + 3)?,
            metadata: row.text_or_null(at + 4)?,
            revision: row.int(at + 5)?,
            created_at: row.int(at + 6)?,
            updated_at: row.int(at + 7)?,
            deleted_at: row.int_or_null(at + 8)?,
        })
    }
}

/// What documents can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderField {
    /// The time of creation.
    CreatedAt,
    /// The time of the last change.
    UpdatedAt,
    /// The title, bytewise.
    Title,
}

const CREATED: &[(&str, Kind)] = &[("d.created_at", Kind::Int), ("d.id", Kind::Text)];
const UPDATED: &[(&str, Kind)] = &[("d.updated_at", Kind::Int), ("d.id", Kind::Text)];
const TITLE: &[(&str, Kind)] = &[("d.title", Kind::Text), ("d.id", Kind::Text)];

static LISTS: [List; 6] = [
    List { name: "documents.created", columns: CREATED, descending: false },
    List { name: "documents.created.desc", columns: CREATED, descending: true },
    List { name: "documents.updated", columns: UPDATED, descending: false },
    List { name: "documents.updated.desc", columns: UPDATED, descending: true },
    List { name: "documents.title", columns: TITLE, descending: false },
    List { name: "documents.title.desc", columns: TITLE, descending: true },
];

/// The list of documents in an order.
#[must_use]
pub fn list(field: OrderField, descending: bool) -> &'static List {
    let field = match field {
        OrderField::CreatedAt => 0,
        OrderField::UpdatedAt => 2,
        OrderField::Title => 4,
    };
    &LISTS[field + usize::from(descending)]
}

/// The key of a document on one of the lists.
#[must_use]
pub fn key(row: &DocumentRow, list: &List) -> Vec<Part> {
    let first = match list.columns[0].0 {
        "d.created_at" => Part::Int(row.created_at),
        "d.updated_at" => Part::Int(row.updated_at),
        _ => Part::Text(row.title.clone()),
    };
    vec![first, Part::Text(row.id.clone())]
}

/// A page of the documents that match.
///
/// # Errors
/// What the database says.
pub async fn page(
    db: &Db,
    target_id: i64,
    filter: &DocumentFilter,
    window: &Window,
) -> Result<Page<DocumentRow>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT ").push(COLUMNS).push(" FROM documents d WHERE TRUE");
    filter.push(&mut sql, target_id, window.list().columns[0].0);
    window.bounds(&mut sql);
    window.order(&mut sql);
    Ok(window.page(read::rows(db, sql).await?))
}

/// How many documents match.
///
/// # Errors
/// What the database says.
pub async fn count(db: &Db, target_id: i64, filter: &DocumentFilter) -> Result<i64, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT count(*) FROM documents d WHERE TRUE");
    filter.push(&mut sql, target_id, "d.created_at");
    read::number(db, sql).await
}

/// The documents of these ids, in no order.
///
/// # Errors
/// What the database says.
pub async fn by_ids<S: AsRef<str>>(db: &Db, ids: &[S], deleted: Deleted) -> Result<Vec<DocumentRow>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT ").push(COLUMNS).push(" FROM documents d WHERE ").is_any("d.id", ids);
    deleted.push(&mut sql, "d.deleted_at");
    read::rows(db, sql).await
}
