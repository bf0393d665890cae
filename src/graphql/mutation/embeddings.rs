//! Mutations of embeddings.

use async_graphql::Context;
use async_graphql::ID;
use async_graphql::InputObject;
use async_graphql::MaybeUndefined;
use async_graphql::Object;
use async_graphql::SimpleObject;

use crate::error::Result;
use crate::graphql::embedding::Embedding;
use crate::graphql::mutation::of_input;
use crate::graphql::mutation::patch;
use crate::graphql::query::cx;
use crate::graphql::scalars::Vector;
use crate::service::embeddings;
use crate::service::embeddings::EmbeddingPatch;

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

/// An embedding to create of a chunk that exists.
#[derive(InputObject)]
struct NewChunkEmbedding {
    /// Its chunk.
    chunk_id: ID,
    /// Its id: 1 to 512 ASCII characters without control characters. Default: a new UUIDv7.
    id: Option<ID>,
    /// 1 to 20,000 finite numbers.
    vector: Vector,
    /// The model that made it: at most 100 characters.
    model: Option<String>,
    /// The id of its record in the vector index, unique in the corpus. Default: its own id.
    vector_id: Option<String>,
}

/// What `createEmbeddings` takes.
#[derive(InputObject)]
struct CreateEmbeddingsInput {
    /// The embeddings, of one chunk or of many.
    embeddings: Vec<NewChunkEmbedding>,
}

/// What `createEmbeddings` answers.
#[derive(SimpleObject)]
struct CreateEmbeddingsPayload {
    /// The embeddings, in the order of the request.
    embeddings: Vec<Embedding>,
}

/// What `updateEmbedding` takes. An omitted field stays, a null clears.
#[derive(InputObject)]
struct UpdateEmbeddingInput {
    /// The embedding.
    id: ID,
    /// Cannot be cleared.
    vector: MaybeUndefined<Vector>,
    /// The model that made it.
    model: MaybeUndefined<String>,
    /// Cleared to its own id.
    vector_id: MaybeUndefined<String>,
}

/// What `updateEmbedding` answers.
#[derive(SimpleObject)]
struct UpdateEmbeddingPayload {
    /// The embedding as it is now.
    embedding: Embedding,
}

/// What `deleteEmbedding` takes.
#[derive(InputObject)]
struct DeleteEmbeddingInput {
    /// The embedding.
    id: ID,
}

/// What `deleteEmbedding` answers.
#[derive(SimpleObject)]
struct DeleteEmbeddingPayload {
    /// The id of the deleted embedding.
    id: ID,
}

/// Mutations of embeddings.
#[derive(Default)]
pub struct EmbeddingMutations;

#[Object]
impl EmbeddingMutations {
    /// Creates embeddings, all or none.
    async fn create_embeddings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The embeddings.")] input: CreateEmbeddingsInput,
    ) -> Result<CreateEmbeddingsPayload> {
        let cx = cx(ctx);
        let new = input
            .embeddings
            .into_iter()
            .map(|new| {
                let NewChunkEmbedding { chunk_id, id, vector, model, vector_id } = new;
                (chunk_id.0, NewEmbedding { id, vector, model, vector_id }.into())
            })
            .collect();
        let rows = of_input(embeddings::create(cx, new).await)?;
        Ok(CreateEmbeddingsPayload { embeddings: Embedding::list(cx, rows) })
    }

    /// Changes fields of an embedding.
    async fn update_embedding(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The embedding and what to change.")] input: UpdateEmbeddingInput,
    ) -> Result<UpdateEmbeddingPayload> {
        let cx = cx(ctx);
        let change = EmbeddingPatch {
            vector: patch(input.vector, Vector::numbers),
            model: patch(input.model, |model| model),
            vector_id: patch(input.vector_id, |id| id),
        };
        let row = of_input(embeddings::update(cx, &input.id, change).await)?;
        Ok(UpdateEmbeddingPayload { embedding: Embedding::one(cx, row) })
    }

    /// Deletes an embedding, and its record in the index.
    async fn delete_embedding(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The embedding.")] input: DeleteEmbeddingInput,
    ) -> Result<DeleteEmbeddingPayload> {
        of_input(embeddings::delete(cx(ctx), &input.id).await)?;
        Ok(DeleteEmbeddingPayload { id: input.id })
    }
}
