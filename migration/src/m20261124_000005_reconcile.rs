//! What a check of the index against the rows remembers: its report and its place, findings that were seen once,
//! and when each scheduled check was taken last.

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
ALTER TABLE sync_jobs ADD COLUMN report TEXT;
ALTER TABLE sync_jobs ADD COLUMN place TEXT;
ALTER TABLE sync_targets ADD COLUMN corpus TEXT;
ALTER TABLE sync_findings ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sync_findings ADD COLUMN seen_rev BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sync_findings ADD COLUMN looks BIGINT NOT NULL DEFAULT 1;
ALTER TABLE sync_findings ADD COLUMN confirmed BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE sync_findings ADD COLUMN repaired BOOLEAN NOT NULL DEFAULT FALSE;
CREATE TABLE sync_checks (
  target_id BIGINT NOT NULL, name {text} NOT NULL, taken_at BIGINT NOT NULL, strikes BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (target_id, name))
",
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(
            manager,
            "DROP TABLE sync_checks;
             ALTER TABLE sync_findings DROP COLUMN repaired; ALTER TABLE sync_findings DROP COLUMN confirmed;
             ALTER TABLE sync_findings DROP COLUMN looks; ALTER TABLE sync_findings DROP COLUMN seen_rev; ALTER TABLE sync_findings DROP COLUMN seen_at;
             ALTER TABLE sync_targets DROP COLUMN corpus;
             ALTER TABLE sync_jobs DROP COLUMN place; ALTER TABLE sync_jobs DROP COLUMN report",
        )
        .await
    }
}
