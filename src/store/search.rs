//! What a search reads: chunks by a substring of their text, and the live rows behind hits.

use sea_orm::ColumnTrait;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::QueryFilter;
use sea_orm::QueryResult;

use crate::entity::chunk;
use crate::entity::document;
use crate::store::embeddings::LIVE;
use crate::store::sql::Sql;

/// Where a search looks.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// These documents, or all.
    pub document_ids: Option<Vec<String>>,
    /// Embeddings of this model, or of any.
    pub model: Option<String>,
}

/// What of a chunk a metadata filter may look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// The chunk's metadata.
    pub chunk_metadata: Option<String>,
    /// Its document's.
    pub document_metadata: Option<String>,
    /// Its document.
    pub document_id: String,
    /// The document's title.
    pub document_title: String,
    /// The document's source.
    pub document_source: Option<String>,
    /// Place in reading order.
    pub chunk_index: i64,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// The text, when it was asked for.
    pub text: Option<String>,
}

/// A chunk that holds the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextMatch {
    /// The chunk.
    pub chunk_id: String,
    /// How often it holds them, without overlaps.
    pub occurrences: i64,
    /// When they were asked for.
    pub attributes: Option<Attributes>,
}

/// What a text search reads beside ids and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Nothing.
    Ids,
    /// What a filter looks at.
    Attributes,
    /// The same, with the text.
    AttributesAndText,
}

/// A part of an ordered answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How many to pass over.
    pub offset: i64,
    /// How many to give.
    pub limit: i64,
}

impl Scope {
    /// Adds the conditions on the document `d`, and that it and its chunk `c` are live.
    fn documents(&self, sql: &mut Sql) {
        sql.push(" AND ").push(LIVE);
        if let Some(namespace) = &self.namespace {
            sql.push(" AND d.namespace = ").bind(namespace.as_str());
        }
        if let Some(ids) = &self.document_ids {
            sql.push(" AND ").is_any("d.id", ids);
        }
    }
}

/// Live chunks whose folded text holds `folded`: those that hold it most often first, then those that begin
/// with it earliest, then by age of the document and reading order.
///
/// # Errors
/// What the database says.
pub async fn text(
    conn: &impl ConnectionTrait,
    folded: &str,
    scope: &Scope,
    read: Read,
    window: Window,
) -> Result<Vec<TextMatch>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT c.id, CAST((length(c.text_folded) - length(replace(c.text_folded, ").bind(folded);
    sql.push(", ''))) / length(").bind(folded).push(") AS BIGINT) AS occurrences");
    match read {
        Read::Ids => {}
        Read::Attributes | Read::AttributesAndText => {
            sql.push(", c.metadata, d.metadata, d.id, d.title, d.source, c.chunk_index, c.created_at");
        }
    }
    if read == Read::AttributesAndText {
        sql.push(", c.text");
    }
    sql.push(" FROM chunks c JOIN documents d ON d.id = c.document_id WHERE ");
    sql.contains("c.text_folded", folded);
    scope.documents(&mut sql);
    if let Some(model) = &scope.model {
        sql.push(" AND EXISTS (SELECT 1 FROM embeddings e WHERE e.chunk_id = c.id AND e.model = ");
        sql.bind(model.as_str()).push(")");
    }
    let place = if sql.is_postgres() { "strpos" } else { "instr" };
    sql.push(" ORDER BY occurrences DESC, ").push(place);
    sql.push("(c.text_folded, ").bind(folded).push("), d.created_at, d.id, c.chunk_index, c.created_at, c.id LIMIT ");
    sql.bind(window.limit).push(" OFFSET ").bind(window.offset);
    let attributes = |row: &QueryResult| {
        Ok::<_, DbErr>(Attributes {
            chunk_metadata: row.try_get_by_index(2)?,
            document_metadata: row.try_get_by_index(3)?,
            document_id: row.try_get_by_index(4)?,
            document_title: row.try_get_by_index(5)?,
            document_source: row.try_get_by_index(6)?,
            chunk_index: row.try_get_by_index(7)?,
            created_at: row.try_get_by_index(8)?,
            text: if read == Read::AttributesAndText { Some(row.try_get_by_index(9)?) } else { None },
        })
    };
    let found = |row: QueryResult| {
        Ok(TextMatch {
            chunk_id: row.try_get_by_index(0)?,
            occurrences: row.try_get_by_index(1)?,
            attributes: if read == Read::Ids { None } else { Some(attributes(&row)?) },
        })
    };
    sql.all(conn).await?.into_iter().map(found).collect()
}

/// A live embedding behind a record of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveEmbedding {
    /// The embedding.
    pub id: String,
    /// The id of its record.
    pub vector_id: String,
    /// The namespace its record belongs in.
    pub namespace: String,
    /// Its chunk.
    pub chunk_id: String,
}

/// The embeddings of these records whose chunks and documents are live and in `scope`, in no order.
///
/// # Errors
/// What the database says.
pub async fn embeddings(
    conn: &impl ConnectionTrait,
    vector_ids: &[&str],
    scope: &Scope,
) -> Result<Vec<LiveEmbedding>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push(
        "SELECT e.id, e.vector_id, d.namespace, c.id FROM embeddings e JOIN chunks c ON c.id = e.chunk_id \
         JOIN documents d ON d.id = c.document_id WHERE ",
    );
    sql.is_any("e.vector_id", vector_ids);
    scope.documents(&mut sql);
    if let Some(model) = &scope.model {
        sql.push(" AND e.model = ").bind(model.as_str());
    }
    let found = |row: QueryResult| {
        Ok(LiveEmbedding {
            id: row.try_get_by_index(0)?,
            vector_id: row.try_get_by_index(1)?,
            namespace: row.try_get_by_index(2)?,
            chunk_id: row.try_get_by_index(3)?,
        })
    };
    sql.all(conn).await?.into_iter().map(found).collect()
}

/// The live chunks of these ids with their live documents, in no order.
///
/// # Errors
/// What the database says.
pub async fn rows(
    conn: &impl ConnectionTrait,
    chunk_ids: &[&str],
) -> Result<Vec<(chunk::Model, document::Model)>, DbErr> {
    let found = chunk::Entity::live()
        .filter(chunk::Column::Id.is_in(chunk_ids.iter().copied()))
        .find_also_related(document::Entity)
        .filter(document::Column::DeletedAt.is_null())
        .all(conn)
        .await?;
    Ok(found.into_iter().filter_map(|(chunk, document)| Some((chunk, document?))).collect())
}

/// The namespaces of these documents, at most `limit`.
///
/// # Errors
/// What the database says.
pub async fn namespaces_of(
    conn: &impl ConnectionTrait,
    documents: &[String],
    limit: usize,
) -> Result<Vec<String>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT DISTINCT namespace FROM documents WHERE id IN ").bind_ids(documents);
    sql.push(" ORDER BY namespace LIMIT ").bind(i64::try_from(limit).unwrap_or(i64::MAX));
    sql.all(conn).await?.into_iter().map(|row| row.try_get_by_index(0)).collect()
}
