//! Adopting the databases of the older application: everything comes over, and what cannot is told.

use std::path::Path;
use std::path::PathBuf;

use corpusd::config::DatabaseConfig;
use corpusd::error::Code;
use corpusd::service::adopt;
use corpusd::service::adopt::Count;
use corpusd::service::adopt::Report;
use corpusd::store::connect::Location;
use corpusd::store::sql::Sql;
use corpusd::store::vector;
use sea_orm::TryGetable;
use serde_json::json;
use tempfile::TempDir;

use crate::support::START_US;
use crate::support::TestApp;
use crate::support::database_url;
use crate::support::process::run;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A copy of a fixture in a folder of its own.
fn copied(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("the fixture is as it is known");
    let file = folder.path().join("old.db");
    std::fs::copy(fixture(name), &file).expect("the fixture is as it is known");
    (folder, file)
}

async fn adopted(test: &TestApp, from: Location) -> Report {
    adopt::adopt(test.cx(), from, DatabaseConfig::default()).await.expect("the adoption goes through")
}

/// All values of a column, in the order of the ids.
async fn column<T: TryGetable>(test: &TestApp, table: &str, column: &str) -> Vec<T> {
    let mut sql = Sql::new(test.cx().read());
    sql.push(&format!("SELECT {column} FROM {table} ORDER BY id"));
    let rows = sql.all(test.cx().read()).await.expect("the rows are read");
    rows.iter().map(|row| row.try_get_by_index(0).expect("a value of that type")).collect()
}

/// All values of a column of a fixture, in the order of the ids.
fn old<T: rusqlite::types::FromSql>(file: &Path, table: &str, column: &str) -> Vec<T> {
    let conn = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
        .expect("the fixture is as it is known");
    let mut statement =
        conn.prepare(&format!("SELECT {column} FROM {table} ORDER BY id")).expect("the fixture is as it is known");
    statement
        .query_map([], |row| row.get(0))
        .expect("the fixture is as it is known")
        .collect::<Result<_, _>>()
        .expect("the fixture is as it is known")
}

/// The reverse of how times are stored now, in the old spelling.
fn old_time(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us)
        .expect("the fixture is as it is known")
        .format("%Y-%m-%d %H:%M:%S%.6f")
        .to_string()
}

/// Everything of the regular fixture is there, value by value.
async fn assert_regular(test: &TestApp, report: &Report, file: &Path) {
    assert_eq!(report.findings, []);
    assert_eq!(report.documents, Count { copied: 10, of: 10 });
    assert_eq!(report.chunks, Count { copied: 40, of: 40 });
    assert_eq!(report.embeddings, Count { copied: 40, of: 40 });
    for (table, name) in [
        ("documents", "id"),
        ("documents", "title"),
        ("chunks", "id"),
        ("chunks", "document_id"),
        ("chunks", "text"),
        ("embeddings", "id"),
        ("embeddings", "chunk_id"),
    ] {
        assert_eq!(column::<String>(test, table, name).await, old::<String>(file, table, name), "{table}.{name}");
    }
    assert_eq!(
        column::<Option<String>>(test, "documents", "source").await,
        old::<Option<String>>(file, "documents", "source")
    );
    assert_eq!(
        column::<Option<String>>(test, "embeddings", "model").await,
        old::<Option<String>>(file, "embeddings", "model")
    );
    assert_eq!(column::<i64>(test, "chunks", "chunk_index").await, old::<i64>(file, "chunks", "chunk_index"));
    for table in ["documents", "chunks", "embeddings"] {
        for name in ["created_at", "updated_at"] {
            let times: Vec<String> = column::<i64>(test, table, name).await.into_iter().map(old_time).collect();
            assert_eq!(times, old::<String>(file, table, name), "{table}.{name}");
        }
    }
    for table in ["documents", "chunks"] {
        let deleted: Vec<bool> =
            column::<Option<i64>>(test, table, "deleted_at").await.iter().map(Option::is_some).collect();
        assert_eq!(deleted, old::<bool>(file, table, "is_deleted"), "{table}");
    }
    for (table, name) in [("documents", "doc_metadata"), ("chunks", "chunk_metadata")] {
        let now = column::<String>(test, table, "metadata").await;
        for (now, old) in now.iter().zip(old::<String>(file, table, name)) {
            assert_eq!(meaning(now), meaning(&old));
        }
    }
    let wanted: Vec<String> = old::<String>(file, "embeddings", "coalesce(pinecone_id, id)");
    assert_eq!(column::<String>(test, "embeddings", "vector_id").await, wanted);
    let held: Vec<bool> = old::<bool>(file, "embeddings", "NOT is_synced");
    assert_eq!(column::<bool>(test, "embeddings", "held").await, held);
    let vectors: Vec<Vec<f32>> =
        column::<Vec<u8>>(test, "embeddings", "vector").await.iter().map(|bytes| vector::from_bytes(bytes)).collect();
    let old_vectors: Vec<Vec<f32>> = old::<String>(file, "embeddings", "vector")
        .iter()
        .map(|text| {
            serde_json::from_str::<Vec<f64>>(text)
                .expect("the fixture is as it is known")
                .into_iter()
                .map(|number| number as f32)
                .collect()
        })
        .collect();
    assert_eq!(vectors, old_vectors);
    assert_eq!(column::<i32>(test, "embeddings", "dimension").await, [8; 40]);
}

/// JSON without its spaces and escapes, every digit of every number kept.
fn meaning(text: &str) -> String {
    corpusd::json::Json::parse(text.as_bytes(), corpusd::json::Literals::Strict)
        .expect("the fixture is as it is known")
        .to_string()
}

#[tokio::test]
async fn every_row_of_the_regular_database_comes_over_as_it_was() {
    let (folder, file) = copied("seed-asktemoc.db");
    let test = TestApp::new().await;
    let report = adopted(&test, Location::Sqlite(file.clone())).await;
    assert_regular(&test, &report, &file).await;
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(fixture("seed-asktemoc.db")).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the source");
    let numbers = test.rest("GET", "/api/documents/47c032f4-bccc-50ce-89bb-5aca28ee2111", None).await;
    assert_eq!(numbers.status, 200);
    assert!(
        numbers.text.contains(r#""int":12345678901234567890,"float":1e+300,"neg":-0.0,"zero":0"#),
        "{}",
        numbers.text
    );
    assert!(numbers.text.contains(r#""created_at":"2025-11-13T09:30:28.250000""#), "{}", numbers.text);
    let custom = test.rest("GET", "/api/documents/custom%2Fid%201", None).await;
    assert_eq!((custom.status, custom.json()["title"].clone()), (200, json!("Custom id")));
}

#[tokio::test]
async fn what_was_synced_is_due_once_and_the_rest_is_held() {
    let (_folder, file) = copied("seed-asktemoc.db");
    let test = TestApp::new().await;
    adopted(&test, Location::Sqlite(file.clone())).await;
    let mut sql = Sql::new(test.cx().read());
    sql.push("SELECT embedding_id FROM sync_slots WHERE want = 'present' AND due_at IS NOT NULL ORDER BY 1");
    let due: Vec<String> =
        sql.all(test.cx().read()).await.unwrap().iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    let mut live: Vec<String> = old(
        &file,
        "embeddings",
        "CASE WHEN is_synced = 1 AND chunk_id IN (SELECT c.id FROM chunks c JOIN documents d ON d.id = c.document_id \
         WHERE c.is_deleted = 0 AND d.is_deleted = 0) THEN id ELSE '' END",
    );
    live.retain(|id| !id.is_empty());
    assert_eq!(due, live);
    assert!(due.len() > 10, "{}", due.len());
}

#[tokio::test]
async fn odd_rows_are_told_one_by_one_and_none_is_dropped_silently() {
    let (_folder, file) = copied("seed-asktemoc-odd.db");
    let test = TestApp::new().await;
    let report = adopted(&test, Location::Sqlite(file)).await;
    assert_odd(&report);
    assert_eq!(column::<String>(&test, "documents", "id").await, ["bare", "odd"]);
    assert_eq!(column::<String>(&test, "chunks", "id").await, ["c0", "c1", "c2", "c3", "c4", "c5", "c90", "c91"]);
    assert_eq!(column::<String>(&test, "embeddings", "id").await, ["e-dim3", "e-dim4", "e-dup1", "e-dup2"]);
    assert_eq!(column::<String>(&test, "embeddings", "vector_id").await, ["e-dim3", "e-dim4", "same", "e-dup2"]);
    assert_eq!(column::<Option<String>>(&test, "documents", "metadata").await, [None, Some("{}".to_owned())]);
    let odd_us = 1_763_026_200_000_000;
    assert_eq!(column::<i64>(&test, "documents", "created_at").await, [START_US, odd_us]);
    assert_eq!(column::<i64>(&test, "documents", "updated_at").await, [START_US, odd_us]);
}

fn assert_odd(report: &Report) {
    assert_eq!(report.documents, Count { copied: 2, of: 2 });
    assert_eq!(report.chunks, Count { copied: 8, of: 9 });
    assert_eq!(report.embeddings, Count { copied: 4, of: 9 });
    let mut told: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    told.sort();
    assert_eq!(
        told,
        [
            r#"chunk "c-orphan" not copied: its document "no-such-document" does not exist"#,
            r#"chunk "c5" copied, but its is_deleted is null: taken as not deleted"#,
            r#"document "bare" copied, but created_at and updated_at are missing: taken from the time of the adoption"#,
            r#"document "bare" copied, but its is_deleted is null: taken as not deleted"#,
            r#"document "odd" copied, but updated_at is missing: taken from created_at"#,
            r#"embedding "e-dup2" copied, but another embedding has its vector id "same": it got "e-dup2""#,
            r#"embedding "e-inf" not copied: number 0 of its vector is not finite: Infinity"#,
            r#"embedding "e-json-null" not copied: its vector is a JSON null"#,
            r#"embedding "e-nan" not copied: number 0 of its vector is not finite: NaN"#,
            r#"embedding "e-orphan" not copied: its chunk "no-such-chunk" does not exist or was not copied"#,
            r#"embedding "e-sql-null" not copied: its vector is null"#,
        ]
    );
}

/// The old tables on the PostgreSQL server under test, with the rows of a fixture.
async fn on_postgres(name: &str) -> Option<Location> {
    std::env::var_os("CORPUSD_TEST_DATABASE_URL")?;
    let folder = tempfile::tempdir().expect("the fixture is as it is known");
    let url = database_url(&folder).await;
    let pool = sqlx::PgPool::connect(&url).await.expect("the fixture is as it is known");
    sqlx::raw_sql(
        "CREATE TABLE documents (id varchar PRIMARY KEY, title varchar(255) NOT NULL, source varchar(512), doc_metadata json,
           created_at timestamp, updated_at timestamp, is_deleted boolean);
         CREATE TABLE chunks (id varchar PRIMARY KEY, document_id varchar NOT NULL, chunk_index integer NOT NULL, text text NOT NULL,
           chunk_metadata json, created_at timestamp, updated_at timestamp, is_deleted boolean);
         CREATE TABLE embeddings (id varchar PRIMARY KEY, chunk_id varchar NOT NULL, vector json, model varchar(100), pinecone_id varchar(255),
           is_synced boolean, created_at timestamp, updated_at timestamp, last_synced_at timestamp)",
    )
    .execute(&pool)
    .await
    .expect("the fixture is as it is known");
    let conn = rusqlite::Connection::open(fixture(name)).expect("the fixture is as it is known");
    for table in ["documents", "chunks", "embeddings"] {
        let mut statement = conn.prepare(&format!("SELECT * FROM {table}")).expect("the fixture is as it is known");
        let columns: Vec<String> = statement.column_names().iter().map(ToString::to_string).collect();
        let cast = |column: &String| match column.as_str() {
            "doc_metadata" | "chunk_metadata" | "vector" => "json",
            "created_at" | "updated_at" | "last_synced_at" => "timestamp",
            "is_deleted" | "is_synced" => "boolean",
            "chunk_index" => "integer",
            _ => "varchar",
        };
        let marks: Vec<String> =
            columns.iter().enumerate().map(|(i, column)| format!("${}::text::{}", i + 1, cast(column))).collect();
        let insert = format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), marks.join(", "));
        let mut rows = statement.query([]).expect("the fixture is as it is known");
        while let Some(row) = rows.next().expect("the fixture is as it is known") {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(insert.clone()));
            for i in 0..columns.len() {
                query =
                    query.bind(match row.get::<_, rusqlite::types::Value>(i).expect("the fixture is as it is known") {
                        rusqlite::types::Value::Null => None,
                        rusqlite::types::Value::Integer(number) => Some(number.to_string()),
                        rusqlite::types::Value::Text(text) => Some(text),
                        rusqlite::types::Value::Real(_) | rusqlite::types::Value::Blob(_) => panic!("no such column"),
                    });
            }
            query.execute(&pool).await.expect("the fixture is as it is known");
        }
    }
    pool.close().await;
    Some(Location::parse(&url).expect("the fixture is as it is known"))
}

#[tokio::test]
async fn a_postgresql_database_is_adopted_as_a_file_is() {
    let Some(from) = on_postgres("seed-asktemoc.db").await else { return };
    let test = TestApp::new().await;
    let report = adopted(&test, from).await;
    assert_regular(&test, &report, &fixture("seed-asktemoc.db")).await;
}

#[tokio::test]
async fn ids_that_clash_across_kinds_are_told_and_the_document_wins() {
    let (_folder, file) = copied("seed-asktemoc-odd.db");
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute_batch(
            "PRAGMA foreign_keys = OFF;
             DELETE FROM embeddings WHERE id NOT IN ('e-dim3', 'e-dup1'); DELETE FROM chunks WHERE id NOT IN ('c2', 'c3');
             UPDATE chunks SET id = 'odd' WHERE id = 'c2'; UPDATE embeddings SET chunk_id = 'odd' WHERE id = 'e-dim3';
             UPDATE embeddings SET id = 'bare' WHERE id = 'e-dup1';
             UPDATE documents SET created_at = '2025-01-01', doc_metadata = '{\"a\": NaN}'",
        )
        .unwrap();
    let test = TestApp::new().await;
    let report = adopted(&test, Location::Sqlite(file)).await;
    assert_eq!(column::<String>(&test, "documents", "id").await, ["bare", "odd"]);
    assert_eq!((report.chunks.copied, report.embeddings.copied), (2, 2));
    assert_eq!(column::<String>(&test, "documents", "metadata").await, [r#"{"a":"NaN"}"#; 2]);
    let told: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    for wanted in [
        r#"chunk "odd" copied, but a document has its id"#,
        r#"chunk "odd" copied, but its id is now "#,
        r#"embedding "bare" copied, but a document or a chunk has its id"#,
        r#"document "odd" copied, but the number NaN in its metadata"#,
        r#"document "odd" copied, but its created_at "2025-01-01" is no time"#,
    ] {
        assert!(told.iter().any(|line| line.starts_with(wanted)), "{wanted}: {told:#?}");
    }
}

#[tokio::test]
async fn a_destination_with_rows_is_refused_and_stays_as_it_is() {
    let (_folder, file) = copied("seed-asktemoc.db");
    let test = TestApp::new().await;
    adopted(&test, Location::Sqlite(file.clone())).await;
    let again = adopt::adopt(test.cx(), Location::Sqlite(file), DatabaseConfig::default()).await;
    assert_eq!(again.unwrap_err().code(), Code::Conflict);
    assert_eq!(column::<String>(&test, "documents", "id").await.len(), 10);
}

#[tokio::test]
async fn an_adoption_that_fails_leaves_the_destination_empty() {
    let (_folder, file) = copied("seed-asktemoc.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch("DROP TABLE embeddings").unwrap();
    let test = TestApp::new().await;
    assert!(adopt::adopt(test.cx(), Location::Sqlite(file), DatabaseConfig::default()).await.is_err());
    assert!(column::<String>(&test, "documents", "id").await.is_empty());
}

#[tokio::test]
async fn the_command_prints_the_report_and_strict_ends_with_1() {
    for (name, flags, code, line) in [
        ("seed-asktemoc.db", &["--strict"][..], 0, "every row came over as it was"),
        ("seed-asktemoc-odd.db", &[], 0, "11 findings:"),
        ("seed-asktemoc-odd.db", &["--strict"], 1, "  embeddings 4 of 9"),
    ] {
        let (folder, file) = copied(name);
        let to = database_url(&tempfile::tempdir().unwrap()).await;
        let to = if to.starts_with("sqlite:") { "sqlite:///new.db".to_owned() } else { to };
        let mut args = vec!["adopt", "--from", "sqlite:///old.db", "--to", &to];
        args.extend(flags);
        let output = run(folder.path(), &args).await;
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{out} {}", String::from_utf8_lossy(&output.stderr));
        assert!(out.lines().any(|told| told == line), "{out}");
        assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(fixture(name)).unwrap());
    }
    let (folder, _file) = copied("seed-asktemoc.db");
    for (from, to, code) in [
        ("sqlite:///old.db", "sqlite:///old.db", 2),
        ("sqlite:///none.db", "sqlite:///a.db", 1),
        ("oracle:x", "sqlite:b.db", 2),
    ] {
        let output = run(folder.path(), &["adopt", "--from", from, "--to", to]).await;
        assert_eq!(output.status.code(), Some(code), "{from}");
    }
}

#[tokio::test]
async fn a_failed_adoption_leaves_no_file_behind_and_names_what_it_read() {
    let (folder, file) = copied("seed-asktemoc.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch("DROP TABLE embeddings").unwrap();
    std::fs::write(folder.path().join("junk.db"), "no database at all, and longer than the head of one. ".repeat(20))
        .unwrap();
    let there = |folder: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = there(folder.path());
    for from in ["old.db", "junk.db"] {
        let url = format!("sqlite:///{from}");
        let output = run(folder.path(), &["adopt", "--from", &url, "--to", "sqlite:///new.db"]).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(!told.contains("Custom Error"), "{told}");
        assert_eq!(there(folder.path()), before, "{told}");
    }
    // One that was there stays.
    std::fs::write(folder.path().join("mine.db"), "").unwrap();
    run(folder.path(), &["adopt", "--from", "sqlite:///junk.db", "--to", "sqlite:///mine.db"]).await;
    assert!(folder.path().join("mine.db").exists());
}
