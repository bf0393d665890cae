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
