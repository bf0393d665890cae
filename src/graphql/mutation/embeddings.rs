//! Mutations of embeddings.

use async_graphql::ID;
use async_graphql::InputObject;

use crate::graphql::scalars::Vector;
use crate::service::embeddings;

/// An embedding to create with its chunk.
#[derive(InputObject)]
pub struct NewEmbedding {
    /// Its id: 1 to 512 ASCII characters without control characters. Default: a new UUIDv7.
    id: Option<ID>,
    /// 1 to 20,000 finite numbers.
    vector: Vector,
    /// The model that made it: at most 100 characters.
    model: Option<String>,
    /// The id of its record in the vector index, unique in the corpus. Default: its own id.
    vector_id: Option<String>,
}

impl From<NewEmbedding> for embeddings::NewEmbedding {
    fn from(new: NewEmbedding) -> Self {
        Self { id: new.id.map(|id| id.0), vector: new.vector.numbers(), model: new.model, vector_id: new.vector_id }
    }
}
