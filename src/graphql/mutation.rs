//! The root of mutations: one module a noun, one input and one payload a mutation.
//!
//! In inputs an omitted field leaves, a null clears. What a rule refuses is named
//! as the caller wrote it: `input.chunks.3.chunkIndex`.

mod chunks;
mod documents;
mod embeddings;
mod keys;
mod sync;

use async_graphql::Enum;
use async_graphql::MaybeUndefined;
use async_graphql::MergedObject;

use crate::error::Error;
use crate::error::Result;
use crate::error::Step;
use crate::graphql::error::camel;
use crate::service;
use crate::service::Patch;

/// What can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(
    documents::DocumentMutations,
    chunks::ChunkMutations,
    embeddings::EmbeddingMutations,
    sync::SyncMutations,
    keys::KeyMutations,
);

impl std::fmt::Debug for Mutation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mutation")
    }
}

/// How a row is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "service::Delete")]
pub enum DeleteMode {
    /// Marked as deleted: left out of lists and of the index, and restorable.
    Soft,
    /// Gone, with everything below it.
    Hard,
}

/// How given metadata meets what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "service::MetadataMode")]
pub enum MetadataMode {
    /// Key by key at the top level; a null is stored as null.
    Merge,
    /// Instead of it.
    Replace,
}

/// Omitted leaves, null clears.
fn patch<T, U>(value: MaybeUndefined<T>, convert: impl FnOnce(T) -> U) -> Patch<U> {
    match value {
        MaybeUndefined::Undefined => Patch::Keep,
        MaybeUndefined::Null => Patch::Clear,
        MaybeUndefined::Value(value) => Patch::Set(convert(value)),
    }
}

/// The outcome of a command, its broken rules named as the caller of `input` wrote them.
///
/// # Errors
/// Those of the command.
pub fn of_input<T>(outcome: Result<T>) -> Result<T> {
    outcome.map_err(|error| match error {
        Error::Invalid(mut fields) => {
            for field in &mut fields {
                for step in &mut field.path {
                    if let Step::Field(name) = step {
                        *name = camel(name);
                    }
                }
                field.path.insert(0, Step::Field("input".to_owned()));
            }
            Error::Invalid(fields)
        }
        // The sentence begins with the place.
        Error::Conflict { detail } => Error::Conflict { detail: detail.replace("vector_id:", "vectorId:") },
        other @ (Error::NotFound { .. }
        | Error::Unauthenticated { .. }
        | Error::Forbidden { .. }
        | Error::BadCursor { .. }
        | Error::CursorExpired
        | Error::TooLarge { .. }
        | Error::Unavailable { .. }
        | Error::RateLimited { .. }
        | Error::Timeout
        | Error::Internal(_)) => other,
    })
}
