//! Who changed what: rows that each bear a hash over the one before, and the last hash beside the corpus revision.

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
ALTER TABLE corpus_clock ADD COLUMN audit_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE corpus_clock ADD COLUMN audit_hash {blob};
CREATE TABLE audit_log (
  seq BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, rev BIGINT, actor TEXT NOT NULL, key_id TEXT, key_name TEXT,
  deeds TEXT NOT NULL, hash {blob} NOT NULL)
",
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(
            manager,
            "DROP TABLE audit_log;
             ALTER TABLE corpus_clock DROP COLUMN audit_hash; ALTER TABLE corpus_clock DROP COLUMN audit_seq",
        )
        .await
    }
}
