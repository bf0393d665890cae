//! Documents, chunks, embeddings, and the numbered log of what happened to them.
//!
//! Every list has an index in its own order, and needs no statistics to be found:
//! live rows (partial indexes) and all rows are ordered separately. The folded
//! columns carry substring search and stand last, where lists do not read.

use sea_orm_migration::prelude::*;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All of the step or nothing, on SQLite too: a process may be killed at any moment.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(
            manager,
            "
CREATE TABLE documents (
  id {text} NOT NULL PRIMARY KEY, namespace {text} NOT NULL, title {text} NOT NULL, source TEXT, metadata TEXT,
  revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, deleted_at BIGINT,
  title_folded TEXT NOT NULL, source_folded TEXT NOT NULL);
CREATE INDEX documents_live_created ON documents (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX documents_live_updated ON documents (updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX documents_live_title ON documents (title, id) WHERE deleted_at IS NULL;
CREATE INDEX documents_gone_created ON documents (created_at, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX documents_gone_updated ON documents (updated_at, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX documents_gone_title ON documents (title, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX documents_all_created ON documents (created_at, id);
CREATE INDEX documents_all_updated ON documents (updated_at, id);
CREATE INDEX documents_all_title ON documents (title, id);
CREATE INDEX documents_namespace ON documents (namespace, created_at, id) WHERE deleted_at IS NULL;
CREATE TABLE chunks (
  id {text} NOT NULL PRIMARY KEY, document_id {text} NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
  chunk_index BIGINT NOT NULL, text TEXT NOT NULL, metadata TEXT,
  created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, deleted_at BIGINT,
  text_folded TEXT NOT NULL);
CREATE INDEX chunks_live_order ON chunks (document_id, chunk_index, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX chunks_all_order ON chunks (document_id, chunk_index, created_at, id);
CREATE INDEX chunks_live_updated ON chunks (updated_at, id) WHERE deleted_at IS NULL;
CREATE TABLE embeddings (
  id {text} NOT NULL PRIMARY KEY, chunk_id {text} NOT NULL REFERENCES chunks (id) ON DELETE CASCADE,
  document_id {text} NOT NULL, model TEXT, vector_id {text} NOT NULL UNIQUE, held BOOLEAN NOT NULL,
  dimension INTEGER NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
  vector {blob} NOT NULL);
CREATE INDEX embeddings_chunk ON embeddings (chunk_id, created_at, id);
CREATE INDEX embeddings_document ON embeddings (document_id, created_at, id);
CREATE INDEX embeddings_created ON embeddings (created_at, id);
CREATE INDEX embeddings_updated ON embeddings (updated_at, id);
CREATE INDEX embeddings_held ON embeddings (created_at, id) WHERE held;
CREATE TABLE corpus_clock (id INTEGER NOT NULL PRIMARY KEY, rev BIGINT NOT NULL);
INSERT INTO corpus_clock (id, rev) VALUES (1, 0);
CREATE TABLE corpus_log (
  rev BIGINT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, id {text} NOT NULL, document_id {text} NOT NULL, at BIGINT NOT NULL);
CREATE TABLE corpus_meta (name {text} NOT NULL PRIMARY KEY, value TEXT NOT NULL)
",
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(
            manager,
            "DROP TABLE corpus_meta; DROP TABLE corpus_log; DROP TABLE corpus_clock;
             DROP TABLE embeddings; DROP TABLE chunks; DROP TABLE documents",
        )
        .await
    }
}
