//! Indexes by which what was soft-deleted long ago is found: without them every chunk would be read for it.

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
            "CREATE INDEX documents_gone ON documents (deleted_at) WHERE deleted_at IS NOT NULL;
             CREATE INDEX chunks_gone ON chunks (deleted_at) WHERE deleted_at IS NOT NULL",
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, "DROP INDEX chunks_gone; DROP INDEX documents_gone").await
    }
}
