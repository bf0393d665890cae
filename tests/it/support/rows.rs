//! Commands with as little in them as a test needs, and what they left in the database.

use corpusd::entity::sync_slot;
use corpusd::error::Code;
use corpusd::error::Error;
use corpusd::error::Result;
use corpusd::json::Json;
use corpusd::json::Literals;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents::NewDocument;
use corpusd::service::embeddings::NewEmbedding;
use corpusd::store;
use corpusd::store::Db;
use corpusd::store::sql::Sql;
use sea_orm::ConnectionTrait as _;
use sea_orm::EntityTrait;
use sea_orm::QueryOrder;

use crate::support::TestApp;

pub fn document(id: &str) -> NewDocument {
    NewDocument { id: Some(id.to_owned()), title: format!("Title of {id}"), ..NewDocument::default() }
}

pub fn chunk(id: &str) -> NewChunk {
    NewChunk { id: Some(id.to_owned()), text: format!("Text of {id}"), ..NewChunk::default() }
}

pub fn embedding(id: &str) -> NewEmbedding {
    NewEmbedding { id: Some(id.to_owned()), vector: vec![1.0, 0.5], ..NewEmbedding::default() }
}

/// The document `d` with the chunk `c` with the embedding `e`.
pub fn nested() -> NewDocument {
    NewDocument { chunks: vec![NewChunk { embeddings: vec![embedding("e")], ..chunk("c") }], ..document("d") }
}

pub fn json(text: &str) -> Json {
    Json::parse(text.as_bytes(), Literals::Strict).expect("JSON")
}

/// The slots as `namespace/vector id: want`, in order.
pub async fn slots(test: &TestApp) -> Vec<String> {
    let rows = sync_slot::Entity::find()
        .order_by_asc(sync_slot::Column::Namespace)
        .order_by_asc(sync_slot::Column::VectorId)
        .all(test.cx().read())
        .await
        .expect("the slots");
    rows.into_iter().map(|row| format!("{}/{}: {}", row.namespace, row.vector_id, row.want)).collect()
}

/// The log as `KIND id`, oldest first.
pub async fn log(test: &TestApp) -> Vec<String> {
    let rows = store::log::after(test.cx().read(), 0, 1000).await.expect("the log");
    rows.into_iter().map(|row| format!("{} {}", row.kind, row.id)).collect()
}

/// The code of a failure.
pub fn code<T: std::fmt::Debug>(outcome: Result<T>) -> Code {
    outcome.expect_err("a failure").code()
}

/// The broken fields of a refused command, as `path: message`.
pub fn flaws<T: std::fmt::Debug>(outcome: Result<T>) -> Vec<String> {
    let refused = outcome.expect_err("a failure");
    let Error::Invalid(fields) = refused else { panic!("not about fields: {refused:?}") };
    fields.iter().map(|error| format!("{}: {}", error.field(), error.rule)).collect()
}

/// So many documents with twenty chunks each and an embedding `[1]` a chunk, held or free; without slots, and
/// without statistics.
pub async fn fill(db: &Db, documents: usize, held: bool) {
    fill_with(db, documents, 20, held).await;
}

/// The same with so many chunks each.
pub async fn fill_with(db: &Db, documents: usize, chunks: usize, held: bool) {
    let conn = db.read();
    let vector = if Sql::new(conn).is_postgres() { "'\\x0000803f'::bytea" } else { "x'0000803f'" };
    let count =
        |last: usize| format!("WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {last})");
    let statements = [
        format!(
            "INSERT INTO documents (id, namespace, title, revision, created_at, updated_at, title_folded, source_folded) \
             {} SELECT 'd' || (10000 + i), 'default', 'T' || i, 1, i, i, 't' || i, '' FROM n",
            count(documents - 1)
        ),
        format!(
            "INSERT INTO chunks (id, document_id, chunk_index, text, created_at, updated_at, text_folded) \
             {} SELECT d.id || 'c' || (10 + n.i), d.id, n.i, 'text', n.i, n.i, 'text' FROM documents d, n",
            count(chunks - 1)
        ),
        format!(
            "INSERT INTO embeddings (id, chunk_id, document_id, vector_id, held, dimension, created_at, updated_at, vector) \
             SELECT 'e' || id, id, document_id, 'e' || id, {held}, 1, created_at, updated_at, {vector} FROM chunks"
        ),
    ];
    for statement in statements {
        db.write(move |tx| {
            let statement = statement.clone();
            Box::pin(async move { Ok(tx.execute_unprepared(&statement).await.map(|_| ())?) })
        })
        .await
        .expect("filled");
    }
}
