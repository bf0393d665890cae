//! Embeddings: a page of them, those of chunks, those of some ids, their vectors.

use std::sync::LazyLock;

use sea_orm::DbErr;

use crate::store::Db;
use crate::store::embeddings;
use crate::store::embeddings::Row;
use crate::store::embeddings::Vectors;
use crate::store::filter::EmbeddingFilter;
use crate::store::graph;
use crate::store::graph::Below;
use crate::store::page::Kind;
use crate::store::page::List;
use crate::store::page::Page;
use crate::store::page::PageArgs;
use crate::store::page::Part;
use crate::store::page::Window;
use crate::store::read;
use crate::store::read::Columns;
use crate::store::read::FromRow;
use crate::store::slots;
use crate::store::sql::Sql;

/// The columns of a [`Row`] in its order, and how many they are.
static COLUMNS: LazyLock<String> = LazyLock::new(embeddings::columns);
const WIDTH: usize = 12;

impl FromRow for Row {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.text(at)?,
            chunk_id: row.text(at + 1)?,
            document_id: row.text(at + 2)?,
            model: row.text_or_null(at + 3)?,
            vector_id: row.text(at + 4)?,
            held: row.flag(at + 5)?,
            dimension: row.short(at + 6)?,
            created_at: row.int(at + 7)?,
            updated_at: row.int(at + 8)?,
            synced: row.flag(at + 9)?,
            acked: row.flag(at + 10)?,
            synced_at_ms: row.int_or_null(at + 11)?,
            vector: None,
        })
    }
}

/// A row with its vector behind it.
struct WithVector(Row);

impl FromRow for WithVector {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        Ok(Self(Row { vector: Some(row.bytes(at + WIDTH)?), ..<Row as FromRow>::read(row, at)? }))
    }
}

/// All embeddings, oldest first.
pub static LIST: List =
    List { name: "embeddings", columns: &[("e.created_at", Kind::Int), ("e.id", Kind::Text)], descending: false };

/// The embeddings of a chunk, oldest first. The rows are those of the inner select, `x`.
static OF_CHUNK: List = List {
    name: "embeddings of a chunk",
    columns: &[("x.created_at", Kind::Int), ("x.id", Kind::Text)],
    descending: false,
};

/// The key of an embedding in [`LIST`].
#[must_use]
pub fn key(row: &Row) -> Vec<Part> {
    vec![Part::Int(row.created_at), Part::Text(row.id.clone())]
}

fn columns(sql: &mut Sql, vectors: Vectors) {
    sql.push(&COLUMNS);
    match vectors {
        Vectors::Leave => {}
        Vectors::Read => {
            sql.push(", e.vector");
        }
    }
}

/// Adds the slot `s` and its target `t` of the embedding `e` of the document `d`, where there are any.
fn with_slot(sql: &mut Sql, target_id: i64) {
    sql.push(slots::JOIN_SLOT.0).bind(target_id).push(slots::JOIN_SLOT.1);
}

/// The first embeddings of each of these chunks.
///
/// # Errors
/// What the database says.
pub async fn of_chunks<S: AsRef<str>>(
    db: &Db,
    target_id: i64,
    chunks: &[S],
    model: Option<&str>,
    first: u64,
    vectors: Vectors,
) -> Result<Below<Row>, DbErr> {
    let args = PageArgs { limit: first, backward: false, after: None, before: None };
    let window = OF_CHUNK.window(&args).map_err(|error| DbErr::Custom(error.to_string()))?;
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT p.key, ");
    columns(&mut sql, vectors);
    graph::from_parents(&mut sql, chunks);
    graph::children(&mut sql, "embeddings", "e", |sql| {
        sql.push("x.chunk_id = p.value");
        if let Some(model) = model {
            sql.push(" AND x.model = ").bind(model);
        }
        window.order(sql);
    });
    sql.push(" CROSS JOIN documents d");
    if sql.is_postgres() {
        with_slot(&mut sql, target_id);
        sql.push(" WHERE d.id = e.document_id");
    } else {
        sql.push(" ON d.id = e.document_id");
        with_slot(&mut sql, target_id);
    }
    let found: Vec<(i64, Row)> = match vectors {
        Vectors::Leave => read::rows(db, sql).await?,
        Vectors::Read => {
            read::rows::<(i64, WithVector)>(db, sql).await?.into_iter().map(|(parent, row)| (parent, row.0)).collect()
        }
    };
    graph::below(chunks.len(), found, &window, |a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)))
}

/// How many embeddings each of these chunks has, in the order of the chunks.
///
/// # Errors
/// What the database says.
pub async fn count_of_chunks<S: AsRef<str>>(db: &Db, chunks: &[S]) -> Result<Vec<i64>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT p.key, (SELECT count(*) FROM embeddings x WHERE x.chunk_id = p.value)");
    graph::from_parents(&mut sql, chunks);
    graph::numbers(chunks.len(), read::rows(db, sql).await?)
}

/// The embeddings of these ids whose chunk and document are live, in no order, without their vectors.
///
/// # Errors
/// What the database says.
pub async fn by_ids<S: AsRef<str>>(db: &Db, target_id: i64, ids: &[S]) -> Result<Vec<Row>, DbErr> {
    let mut sql = Sql::of(db.backend());
    embeddings::select(&mut sql, target_id, Vectors::Leave);
    sql.push(" WHERE ").is_any("e.id", ids).push(" AND ").push(embeddings::LIVE);
    read::rows(db, sql).await
}

/// The vectors of these embeddings, each with its place; one that is gone by now is left out.
///
/// # Errors
/// What the database says.
pub async fn vectors<S: AsRef<str>>(db: &Db, ids: &[S]) -> Result<Vec<(i64, Vec<u8>)>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT p.key, e.vector");
    graph::from_parents(&mut sql, ids);
    sql.push(" CROSS JOIN embeddings e WHERE e.id = p.value");
    read::rows(db, sql).await
}

fn from(sql: &mut Sql, target_id: i64, filter: &EmbeddingFilter, bounds: impl FnOnce(&mut Sql)) {
    sql.push(" FROM embeddings e CROSS JOIN chunks c CROSS JOIN documents d");
    with_slot(sql, target_id);
    sql.push(" WHERE c.id = e.chunk_id AND d.id = e.document_id AND ").push(embeddings::LIVE);
    filter.push(sql);
    bounds(sql);
}

/// A page of the embeddings that match, without their vectors.
///
/// # Errors
/// What the database says.
pub async fn page(db: &Db, target_id: i64, filter: &EmbeddingFilter, window: &Window) -> Result<Page<Row>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT ");
    columns(&mut sql, Vectors::Leave);
    from(&mut sql, target_id, filter, |sql| window.bounds(sql));
    window.order(&mut sql);
    Ok(window.page(read::rows(db, sql).await?))
}

/// How many embeddings match.
///
/// # Errors
/// What the database says.
pub async fn count(db: &Db, target_id: i64, filter: &EmbeddingFilter) -> Result<i64, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT count(*)");
    from(&mut sql, target_id, filter, |_| {});
    read::number(db, sql).await
}
