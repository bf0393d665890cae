//! The embedded index: its records, and the counter that orders their changes.
//!
//! A deleted record stays as a row without content until every replica has seen
//! the deletion. Codes stand before vectors, so that loading the codes does not
//! read the vectors.

use sea_orm_migration::prelude::*;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(
            manager,
            "
CREATE TABLE local_clock (id INTEGER NOT NULL PRIMARY KEY, rev BIGINT NOT NULL);
INSERT INTO local_clock (id, rev) VALUES (1, 0);
CREATE TABLE local_records (
  namespace {text} NOT NULL, vector_id {text} NOT NULL, rev BIGINT NOT NULL, changed_at BIGINT NOT NULL,
  deleted BOOLEAN NOT NULL, dimension INTEGER NOT NULL, code {blob}, metadata TEXT, vector {blob},
  PRIMARY KEY (namespace, vector_id));
CREATE INDEX local_records_rev ON local_records (rev)
",
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, "DROP TABLE local_records; DROP TABLE local_clock").await
    }
}
