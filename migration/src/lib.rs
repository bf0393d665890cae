//! The database's past: one step a file, each with its way back.
//!
//! Depends on nothing of the server, because a migration describes what was.
//! The steps are SQL in the words that SQLite and PostgreSQL share; [`Dialect`]
//! holds the few that differ.
//!
//! A step only adds: tables, indexes, columns that may be null or have a default. Old and new replicas share a
//! database during a roll-out, and an old one that restarts must come up. What is no longer used is taken away
//! in a later release, by a step whose name ends with [`BREAKS_OLDER`]: a version that does not know it refuses
//! to start.

pub use sea_orm_migration::IntoSchemaManagerConnection;
pub use sea_orm_migration::MigratorTrait;
pub use sea_orm_migration::SchemaManager;
use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

mod m20261123_000001_corpus;
mod m20261123_000002_sync;
mod m20261123_000003_local_index;
mod m20261124_000004_job_options;
mod m20261124_000005_reconcile;
mod m20261124_000006_target_written;
mod m20261124_000007_api_keys;
mod m20261124_000008_audit;
mod m20261124_000009_gone;

/// The end of a step's name that takes away what older versions need.
pub const BREAKS_OLDER: &str = "_breaks_older";

/// The list of steps.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_corpus::Migration),
            Box::new(m20261123_000002_sync::Migration),
            Box::new(m20261123_000003_local_index::Migration),
            Box::new(m20261124_000004_job_options::Migration),
            Box::new(m20261124_000005_reconcile::Migration),
            Box::new(m20261124_000006_target_written::Migration),
            Box::new(m20261124_000007_api_keys::Migration),
            Box::new(m20261124_000008_audit::Migration),
            Box::new(m20261124_000009_gone::Migration),
        ]
    }
}

/// Runs statements written with `{text}` (a bytewise-ordered string), `{blob}` (bytes) and `{key}` (a 64-bit key
/// that is the row's own address where the database has such).
async fn run(manager: &SchemaManager<'_>, statements: &str) -> Result<(), DbErr> {
    let postgres = manager.get_database_backend() == DbBackend::Postgres;
    let text = if postgres { "TEXT COLLATE \"C\"" } else { "TEXT" };
    let blob = if postgres { "BYTEA" } else { "BLOB" };
    let key = if postgres { "BIGINT" } else { "INTEGER" };
    for statement in statements.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        let sql = statement.replace("{text}", text).replace("{blob}", blob).replace("{key}", key);
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}
