//! Bringing the tables up to date, one process at a time, and beside other versions.
//!
//! SQLite takes all steps or none, in one transaction that others wait for. Servers have a lease row: not all of
//! them undo a change of the schema.
//!
//! During a roll-out old and new replicas share a database, and an old one may restart after a new one has
//! migrated. It comes up: steps only add, so what it needs is still there. A step that takes something away says
//! so in its name ([`migration::BREAKS_OLDER`]), and then an older version refuses to start.

use std::collections::BTreeSet;
use std::time::Duration;

use migration::BREAKS_OLDER;
use migration::IntoSchemaManagerConnection;
use migration::Migrator;
use migration::MigratorTrait as _;
use sea_orm::ConnectionTrait;
use sea_orm::DatabaseConnection;
use sea_orm::DbBackend;
use sea_orm::DbErr;
use sea_orm::SqliteTransactionMode;
use sea_orm::TransactionOptions;
use sea_orm::TransactionTrait as _;

use crate::clock::Clock;
use crate::store::connect::OpenError;
use crate::store::sql::Sql;
use crate::store::writer::may_retry;

/// How long a lease is good for without being renewed.
const LEASE_MS: i64 = 60_000;
/// How often a SQLite file that somebody writes to is tried.
const TRIES: u32 = 12;

/// How the steps of a database compare with those of this version.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// It has all of them, and perhaps some of a newer version, named here.
    Ready(Vec<String>),
    /// It lacks some.
    Behind,
}

/// Runs what is missing, one process at a time: sea-orm-migration takes no lock, and replicas start together.
pub(super) async fn run(conn: &DatabaseConnection, clock: &Clock) -> Result<(), OpenError> {
    // Nothing to do is the usual case, and takes no lock.
    if let Standing::Ready(newer) = look(conn).await? {
        tell(&newer);
        return Ok(());
    }
    if conn.get_database_backend() == DbBackend::Sqlite {
        in_one_step(conn).await
    } else {
        under_lease(conn, clock).await
    }
}

/// A process that is killed meanwhile leaves nothing behind, and nobody waits for it.
async fn in_one_step(conn: &DatabaseConnection) -> Result<(), OpenError> {
    let mut tried = 1;
    let tx = loop {
        let mode = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: mode, ..TransactionOptions::default() };
        match conn.begin_with_options(options).await {
            Ok(tx) => break tx,
            // Each try waits for as long as a connection does.
            Err(error) if tried < TRIES && may_retry(&error) => {
                tracing::info!("another process writes to the database: waiting");
                tried += 1;
            }
            Err(error) => return Err(error.into()),
        }
    };
    up(&tx).await?;
    Ok(tx.commit().await?)
}

async fn under_lease(conn: &DatabaseConnection, clock: &Clock) -> Result<(), OpenError> {
    // Two replicas may create the table at the same instant: the loser sees a unique violation and goes on.
    let made = conn
        .execute_unprepared("CREATE TABLE IF NOT EXISTS corpusd_lease (name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, until BIGINT NOT NULL)")
        .await;
    if let Err(error) = made {
        tracing::debug!(%error, "somebody else is making the lease table");
    }
    let holder = clock.new_id();
    while !take_lease(conn, &holder, wall_ms()).await? {
        tracing::info!("another process is migrating the database: waiting");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let migrated = up(conn).await;
    let mut sql = Sql::new(conn);
    sql.push("DELETE FROM corpusd_lease WHERE name = 'migration' AND holder = ").bind(holder);
    sql.run(conn).await?;
    migrated
}

/// What is still to be done now that nobody else does it: whoever did before may have been a newer version.
async fn up<'c, C>(conn: &'c C) -> Result<(), OpenError>
where
    C: ConnectionTrait,
    &'c C: IntoSchemaManagerConnection<'c>,
{
    match look(conn).await? {
        Standing::Ready(newer) => tell(&newer),
        Standing::Behind => Migrator::up(conn, None).await?,
    }
    Ok(())
}

fn tell(newer: &[String]) {
    if !newer.is_empty() {
        tracing::info!(
            steps = newer.join(", "),
            "a newer version has added to this database: this one goes on with what it knows"
        );
    }
}

async fn look(conn: &impl ConnectionTrait) -> Result<Standing, OpenError> {
    let own: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    if !is_known(conn, "seaql_migrations").await? {
        return Ok(Standing::Behind);
    }
    let mut sql = Sql::new(conn);
    sql.push("SELECT version FROM seaql_migrations");
    let applied = sql.all(conn).await?.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
    compare(&own.into_iter().collect(), &applied)
}

fn compare(own: &BTreeSet<String>, applied: &BTreeSet<String>) -> Result<Standing, OpenError> {
    let unknown: Vec<String> = applied.difference(own).cloned().collect();
    let missing: Vec<String> = own.difference(applied).cloned().collect();
    if let Some(step) = unknown.iter().find(|step| step.ends_with(BREAKS_OLDER)) {
        return Err(OpenError::Newer(step.clone()));
    }
    match (unknown.is_empty(), missing.is_empty()) {
        (_, true) => Ok(Standing::Ready(unknown)),
        (true, false) => Ok(Standing::Behind),
        (false, false) => Err(OpenError::Diverged { unknown: unknown.join(", "), missing: missing.join(", ") }),
    }
}

/// Whether there is a table of that name.
pub(super) async fn is_known(conn: &impl ConnectionTrait, table: &str) -> Result<bool, DbErr> {
    let mut sql = Sql::new(conn);
    if sql.is_postgres() {
        sql.push("SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = ");
    } else {
        sql.push("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ");
    }
    sql.bind(table);
    Ok(sql.one(conn).await?.is_some())
}

async fn take_lease(conn: &DatabaseConnection, holder: &str, now: i64) -> Result<bool, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("INSERT INTO corpusd_lease (name, holder, until) VALUES ('migration', ").bind(holder);
    sql.push(", ").bind(now + LEASE_MS);
    sql.push(") ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE corpusd_lease.until < ");
    sql.bind(now);
    Ok(sql.run(conn).await? == 1)
}

/// A lease is between processes: a test's frozen clock has no part in it.
fn wall_ms() -> i64 {
    Clock::system().now_ms()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn steps_that_only_add_stop_nobody_and_others_stop_every_older_version() {
        let own = names(&["m1", "m2"]);
        let standing = |applied: &[&str]| compare(&own, &names(applied)).map_err(|error| error.to_string());
        assert_eq!(standing(&[]), Ok(Standing::Behind));
        assert_eq!(standing(&["m1"]), Ok(Standing::Behind));
        assert_eq!(standing(&["m1", "m2"]), Ok(Standing::Ready(Vec::new())));
        assert_eq!(standing(&["m1", "m2", "m3"]), Ok(Standing::Ready(vec!["m3".to_owned()])));
        assert!(standing(&["m1", "m2", "m3", "m4_breaks_older"]).is_err_and(|told| told.contains("(m4_breaks_older)")));
        assert!(standing(&["m1", "m3"]).is_err_and(|told| told.contains("(m3)") && told.contains("(m2)")));
    }
}
