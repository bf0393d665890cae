//! The rows, as the tables hold them: columns and relations, nothing else.
//!
//! Times of documents, chunks and embeddings are microseconds since 1970, those
//! of the sync tables milliseconds. No entity is ever serialized: an edge dresses
//! the row for its wire, so a new column stays private until someone shows it.

pub mod api_key;
pub mod chunk;
pub mod corpus_log;
pub mod document;
pub mod embedding;
pub mod sync_job;
pub mod sync_slot;
pub mod sync_target;
