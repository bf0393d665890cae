//! `embeddings`: rows as lists read them (without the vector, with how their slots stand), and their writes.
//!
//! Whoever reads embeddings selects [`COLUMNS`] over [`FROM`], so that `synced`
//! means the same thing everywhere: the slot on the target is clean and wanted.

use std::collections::HashSet;

use sea_orm::ColumnTrait;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::EntityTrait;
use sea_orm::IntoActiveModel;
use sea_orm::QueryFilter;
use sea_orm::QueryResult;

use crate::entity::embedding::ActiveModel;
use crate::entity::embedding::Column;
use crate::entity::embedding::Entity;
use crate::entity::embedding::Model;
use crate::store::Tx;
use crate::store::slots;
use crate::store::sql;
use crate::store::sql::Sql;

/// An embedding without the columns that only its writers need, and what its slot tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// ASCII without control characters.
    pub id: String,
    /// Its chunk.
    pub chunk_id: String,
    /// The chunk's document.
    pub document_id: String,
    /// The model that made it.
    pub model: Option<String>,
    /// The id of its record in the index.
    pub vector_id: String,
    /// Waits for an explicit export.
    pub held: bool,
    /// How many numbers the vector has.
    pub dimension: i32,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
    /// The index holds its current form, and should.
    pub synced: bool,
    /// The index holds some form of it, and should: REST shows the record's id then.
    pub acked: bool,
    /// Milliseconds since 1970 of the acknowledgement, while `acked`.
    pub synced_at_ms: Option<i64>,
    /// Little-endian f32, when it was asked for.
    pub vector: Option<Vec<u8>>,
}

/// Whether a statement reads the vectors too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vectors {
    /// They stay where they are.
    Leave,
    /// They are read.
    Read,
}

/// The columns of a [`Row`] in its order, the vector left out: 12 of them.
///
/// `e` is the embedding, `s` its slot, `t` the slot's target.
#[must_use]
pub fn columns() -> String {
    format!(
        "e.id, e.chunk_id, e.document_id, e.model, e.vector_id, e.held, e.dimension, e.created_at, e.updated_at, \
         {synced} AS synced, {acked} AS acked, CASE WHEN {acked} THEN s.acked_at END AS synced_at_ms",
        synced = synced(),
        acked = ACKED
    )
}

/// The index holds the current form and should, as SQL that is never NULL.
#[must_use]
pub fn synced() -> String {
    format!("COALESCE(NOT e.held AND s.want = 'present' AND {}, FALSE)", slots::CLEAN)
}

/// The index holds some form of it and should, as SQL that is never NULL.
pub const ACKED: &str =
    "COALESCE(NOT e.held AND s.want = 'present' AND s.acked_rev > 0 AND COALESCE(s.acked_hash, '') <> 'absent', FALSE)";

/// Adds ` FROM embeddings e` with its chunk `c`, its document `d`, and its slot `s` and target `t` if there is one.
pub fn from(sql: &mut Sql, target_id: i64) {
    sql.push(
        " FROM embeddings e JOIN chunks c ON c.id = e.chunk_id JOIN documents d ON d.id = c.document_id \
         LEFT JOIN sync_slots s ON s.target_id = ",
    );
    sql.bind(target_id).push(
        " AND s.namespace = d.namespace AND s.vector_id = e.vector_id LEFT JOIN sync_targets t ON t.id = s.target_id",
    );
}

/// Adds `SELECT` of a [`Row`] and its `FROM`; a condition may follow.
pub fn select(sql: &mut Sql, target_id: i64, vectors: Vectors) {
    sql.push("SELECT ").push(&columns());
    match vectors {
        Vectors::Leave => {}
        Vectors::Read => {
            sql.push(", e.vector");
        }
    }
    from(sql, target_id);
}

/// The condition that chunk and document are live, wherever a statement comes to them by their ids.
///
/// Not `IS NULL`: without statistics PostgreSQL takes one row in two hundred to be that, begins at the two
/// documents it expects of a thousand, and looks up everything below every one of them. It expects a third of these.
pub const LIVE: &str = "COALESCE(c.deleted_at, d.deleted_at, -1) < 0";

impl Row {
    /// Reads a row of [`select`].
    ///
    /// # Errors
    /// When the columns are others.
    pub fn read(row: &QueryResult, vectors: Vectors) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.try_get_by_index(0)?,
            chunk_id: row.try_get_by_index(1)?,
            document_id: row.try_get_by_index(2)?,
            model: row.try_get_by_index(3)?,
            vector_id: row.try_get_by_index(4)?,
            held: row.try_get_by_index(5)?,
            dimension: row.try_get_by_index(6)?,
            created_at: row.try_get_by_index(7)?,
            updated_at: row.try_get_by_index(8)?,
            synced: row.try_get_by_index(9)?,
            acked: row.try_get_by_index(10)?,
            synced_at_ms: row.try_get_by_index(11)?,
            vector: match vectors {
                Vectors::Leave => None,
                Vectors::Read => Some(row.try_get_by_index(12)?),
            },
        })
    }
}

/// The embedding of that id, if its chunk and document are live.
///
/// # Errors
/// What the database says.
pub async fn find(
    conn: &impl ConnectionTrait,
    target_id: i64,
    id: &str,
    vectors: Vectors,
) -> Result<Option<Row>, DbErr> {
    let mut sql = Sql::new(conn);
    select(&mut sql, target_id, vectors);
    sql.push(" WHERE e.id = ").bind(id).push(" AND ").push(LIVE);
    sql.one(conn).await?.map(|row| Row::read(&row, vectors)).transpose()
}

/// The ids of a chunk's embeddings.
///
/// # Errors
/// What the database says.
pub async fn ids_of_chunk(conn: &impl ConnectionTrait, chunk_id: &str) -> Result<Vec<String>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT id FROM embeddings WHERE chunk_id = ").bind(chunk_id).push(" ORDER BY created_at, id");
    sql.all(conn).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// The embeddings of a document's live chunks, oldest first: pairs of embedding and chunk id.
///
/// # Errors
/// What the database says.
pub async fn live_ids(conn: &impl ConnectionTrait, document_id: &str) -> Result<Vec<(String, String)>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT e.id, e.chunk_id FROM embeddings e JOIN chunks c ON c.id = e.chunk_id WHERE e.document_id = ");
    sql.bind(document_id).push(" AND c.deleted_at IS NULL ORDER BY e.created_at, e.id");
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// Which of these vector ids a row has: pairs of vector and embedding id.
///
/// # Errors
/// What the database says.
pub async fn vector_ids<S: AsRef<str>>(
    conn: &impl ConnectionTrait,
    vector_ids: &[S],
) -> Result<Vec<(String, String)>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT vector_id, id FROM embeddings WHERE ").is_any("vector_id", vector_ids);
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// Inserts rows, many a statement.
///
/// # Errors
/// What the database says; a taken id or vector id is a unique violation.
pub async fn insert(tx: &Tx, rows: Vec<Model>) -> Result<(), DbErr> {
    let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model).peekable();
    while rows.peek().is_some() {
        let page: Vec<_> = rows.by_ref().take(sql::rows_of(10)).collect();
        Entity::insert_many(page).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// An embedding to copy, and what the copy is.
#[derive(Debug, Clone)]
pub struct Copy {
    /// The one to copy.
    pub from: String,
    /// The copy's id, and its vector id.
    pub id: String,
    /// The copy's chunk.
    pub chunk_id: String,
}

/// Copies rows below another document, as new ones of this transaction; no vector passes through the server.
///
/// # Errors
/// What the database says.
pub async fn copy(tx: &Tx, document_id: &str, copies: &[Copy], held: bool) -> Result<(), DbErr> {
    for page in copies.chunks(sql::COPIES) {
        let mut sql = Sql::new(tx);
        sql.push(
            "INSERT INTO embeddings (id, chunk_id, document_id, model, vector_id, held, dimension, created_at, \
             updated_at, vector) SELECT ",
        );
        sql.push_nth("m", 1).push(", ").push_nth("m", 2).push(", ").bind(document_id).push(", e.model, ");
        sql.push_nth("m", 1).push(", ").bind(held).push(", e.dimension, ");
        sql.bind(tx.now_us()).push(", ").bind(tx.now_us()).push(", e.vector FROM ");
        let lists: Vec<[&str; 3]> =
            page.iter().map(|copy| [copy.from.as_str(), copy.id.as_str(), copy.chunk_id.as_str()]).collect();
        sql.bind_lists(&lists, "m").push(" CROSS JOIN embeddings e WHERE e.id = ").push_nth("m", 0);
        sql.run(tx).await?;
    }
    Ok(())
}

/// Writes those columns of a row that are given; whether it is held is not for this function.
///
/// # Errors
/// What the database says; a taken vector id is a unique violation.
pub async fn update(tx: &Tx, id: &str, row: ActiveModel) -> Result<(), DbErr> {
    Entity::update_many().set(row).filter(Column::Id.eq(id)).exec(tx).await?;
    Ok(())
}

/// Deletes the row of a document; gives how many there were.
///
/// # Errors
/// What the database says.
pub async fn delete(tx: &Tx, document_id: &str, id: &str) -> Result<u64, DbErr> {
    let row = Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::DocumentId.eq(document_id));
    Ok(row.exec(tx).await?.rows_affected)
}

/// Which of these records of a namespace belong there: their embedding is live and not held.
///
/// # Errors
/// What the database says.
pub async fn live_records<S: AsRef<str>>(
    conn: &impl ConnectionTrait,
    namespace: &str,
    vector_ids: &[S],
) -> Result<HashSet<String>, DbErr> {
    if vector_ids.is_empty() {
        return Ok(HashSet::new());
    }
    let mut sql = Sql::new(conn);
    sql.push("SELECT e.vector_id FROM embeddings e JOIN chunks c ON c.id = e.chunk_id JOIN documents d ON d.id = c.document_id WHERE ");
    sql.is_any("e.vector_id", vector_ids).push(" AND NOT e.held AND ").push(LIVE);
    sql.push(" AND d.namespace = ").bind(namespace);
    sql.all(conn).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}
