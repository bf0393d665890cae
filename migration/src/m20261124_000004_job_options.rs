//! How a job was asked for: records of one request, and the key that makes a start repeatable.

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
ALTER TABLE sync_jobs ADD COLUMN batch_size BIGINT;
CREATE TABLE sync_job_keys (
  idempotency_key {text} NOT NULL PRIMARY KEY, request TEXT NOT NULL, job_id {text} NOT NULL, at BIGINT NOT NULL);
CREATE INDEX sync_job_keys_at ON sync_job_keys (at)
",
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, "DROP TABLE sync_job_keys; ALTER TABLE sync_jobs DROP COLUMN batch_size").await
    }
}
