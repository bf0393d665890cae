//! The embedded index: its records, and the counter that orders their changes.
//!
//! A deleted record stays as a row without content until every replica has seen
//! the deletion; `pruned` is the newest revision whose tombstones are gone. What
//! a replica loads at start (codes, what filters read) stands apart from what a
//! query reads of a few records (metadata, vector).

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
CREATE TABLE local_clock (
  id INTEGER NOT NULL PRIMARY KEY, rev BIGINT NOT NULL, pruned BIGINT NOT NULL, dimension INTEGER);
INSERT INTO local_clock (id, rev, pruned) VALUES (1, 0, 0);
CREATE TABLE local_records (
  number {key} NOT NULL PRIMARY KEY, namespace {text} NOT NULL, vector_id {text} NOT NULL,
  rev BIGINT NOT NULL, changed_at BIGINT NOT NULL, deleted BOOLEAN NOT NULL, code {blob}, facets {blob},
  UNIQUE (namespace, vector_id));
CREATE INDEX local_records_rev ON local_records (rev, number);
CREATE INDEX local_records_live ON local_records (namespace, vector_id) WHERE NOT deleted;
CREATE INDEX local_records_gone ON local_records (changed_at) WHERE deleted;
CREATE TABLE local_contents (number {key} NOT NULL PRIMARY KEY, metadata TEXT NOT NULL, vector {blob} NOT NULL)
",
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, "DROP TABLE local_contents; DROP TABLE local_records; DROP TABLE local_clock").await
    }
}
