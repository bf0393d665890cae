//! API keys. Of a token only its hash and its first characters are kept.

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
CREATE TABLE api_keys (
  id {text} NOT NULL PRIMARY KEY, name TEXT NOT NULL, shown {text} NOT NULL, hash {blob} NOT NULL, scope TEXT NOT NULL,
  namespaces TEXT, created_at BIGINT NOT NULL, expires_at BIGINT, revoked_at BIGINT);
CREATE INDEX api_keys_shown ON api_keys (shown);
CREATE INDEX api_keys_created ON api_keys (created_at, id)
",
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, "DROP TABLE api_keys").await
    }
}
