//! Migrations: up, down and up again, and two processes at one time.

use corpusd::clock::Clock;
use corpusd::config::DatabaseConfig;
use corpusd::store::connect;
use migration::Migrator;
use migration::MigratorTrait as _;
use migration::SchemaManager;

use crate::support::database_url;

const TABLES: [&str; 6] = ["documents", "chunks", "embeddings", "corpus_log", "sync_slots", "local_records"];

async fn tables(manager: &SchemaManager<'_>) -> Vec<&'static str> {
    let mut found = Vec::new();
    for table in TABLES {
        if manager.has_table(table).await.expect("the schema is read") {
            found.push(table);
        }
    }
    found
}

#[tokio::test]
async fn every_step_goes_up_down_and_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let url = if url.starts_with("sqlite:") { format!("{url}?mode=rwc") } else { url };
    let conn = sea_orm::Database::connect(&url).await.unwrap();
    let manager = SchemaManager::new(&conn);
    for _ in 0..2 {
        Migrator::up(&conn, None).await.unwrap();
        assert_eq!(tables(&manager).await, TABLES);
        assert!(Migrator::get_pending_migrations(&conn).await.unwrap().is_empty());
        Migrator::down(&conn, None).await.unwrap();
        assert_eq!(tables(&manager).await, [""; 0]);
    }
    // One step at a time, too.
    let steps = Migrator::get_pending_migrations(&conn).await.unwrap().len();
    for done in 1..=steps {
        Migrator::up(&conn, Some(1)).await.unwrap();
        assert_eq!(Migrator::get_pending_migrations(&conn).await.unwrap().len(), steps - done);
    }
    assert_eq!(tables(&manager).await, TABLES);
}

#[tokio::test]
async fn a_sqlite_file_is_migrated_whole_or_not_at_all_and_leaves_no_lock_behind() {
    let folder = tempfile::tempdir().unwrap();
    let config = DatabaseConfig { url: database_url(&folder).await, ..DatabaseConfig::default() };
    if !config.url.starts_with("sqlite:") {
        return;
    }
    // In the way of a later step, so that the first ones would be left alone.
    let conn = rusqlite::Connection::open(folder.path().join("corpus.db")).unwrap();
    conn.execute_batch("CREATE TABLE corpusd_lease (name TEXT); CREATE TABLE sync_slots (name TEXT)").unwrap();
    let refused = connect::open(&config, &Clock::system()).await.unwrap_err();
    assert!(refused.to_string().contains("sync_slots"), "{refused}");
    let tables: Vec<String> = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .and_then(|mut names| names.query_map([], |row| row.get(0))?.collect())
        .unwrap();
    assert_eq!(tables, ["corpusd_lease", "sync_slots"]);
    conn.execute_batch("DROP TABLE sync_slots").unwrap();
    connect::open(&config, &Clock::system()).await.unwrap().close().await;
}

#[tokio::test]
async fn replicas_that_start_together_migrate_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = DatabaseConfig { url: database_url(&folder).await, pool_size: 2, ..DatabaseConfig::default() };
    let opened = (0..4).map(|_| {
        let config = config.clone();
        async move { connect::open(&config, &Clock::system()).await }
    });
    for db in futures_util::future::join_all(opened).await {
        let db = db.expect("each of them opens the database");
        assert_eq!(corpusd::store::log::revision(db.read()).await.unwrap(), 0);
        db.close().await;
    }
}
