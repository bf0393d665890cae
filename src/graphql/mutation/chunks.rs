//! Mutations of chunks.

use async_graphql::ID;
use async_graphql::InputObject;

use crate::graphql::mutation::embeddings::NewEmbedding;
use crate::graphql::scalars::Json;
use crate::service::chunks;

/// A chunk to create.
#[derive(InputObject)]
pub struct NewChunk {
    /// Its id: 1 to 512 bytes without control characters. Default: a new UUIDv7.
    id: Option<ID>,
    /// Its place in reading order, from 0. Default: after the last.
    chunk_index: Option<i64>,
    /// At least one character.
    text: String,
    /// Any JSON object; keys beginning with `_cd_` or `$` are reserved.
    metadata: Option<Json>,
    /// Its embeddings, created in the same transaction.
    embeddings: Option<Vec<NewEmbedding>>,
}

impl From<NewChunk> for chunks::NewChunk {
    fn from(new: NewChunk) -> Self {
        Self {
            id: new.id.map(|id| id.0),
            chunk_index: new.chunk_index,
            text: new.text,
            metadata: new.metadata.map(Json::given),
            embeddings: new.embeddings.unwrap_or_default().into_iter().map(Into::into).collect(),
        }
    }
}
