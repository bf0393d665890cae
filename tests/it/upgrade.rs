//! An upgrade: old and new replicas share a database that the newer version has migrated.
//!
//! No second version is at hand, so its migration is played: whatever a step may do (see `migration`), to every
//! table that there is. This version is the old one.

use corpusd::emulator::Options;
use serde_json::Value;
use serde_json::json;

use crate::support::database_url;
use crate::support::fleet::Client;
use crate::support::fleet::emulator;
use crate::support::fleet::held;
use crate::support::fleet::serve;
use crate::support::process::corpusd;
use crate::support::process::run;

/// Statements to a database of either kind, outside of any server.
enum Door {
    Sqlite(rusqlite::Connection),
    Postgres(sqlx::PgPool),
}

impl Door {
    async fn open(url: &str) -> Self {
        match url.strip_prefix("sqlite:") {
            Some(path) => {
                let conn = rusqlite::Connection::open(path).expect("it opens");
                conn.busy_timeout(std::time::Duration::from_secs(30)).expect("it waits");
                Self::Sqlite(conn)
            }
            None => Self::Postgres(sqlx::PgPool::connect(url).await.expect("it answers")),
        }
    }

    async fn run(&self, statements: &str) {
        match self {
            Self::Sqlite(conn) => conn.execute_batch(statements).expect(statements),
            Self::Postgres(pool) => {
                sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(pool).await.expect(statements);
            }
        }
    }

    async fn texts(&self, query: &str) -> Vec<String> {
        match self {
            Self::Sqlite(conn) => {
                let mut rows = conn.prepare(query).expect(query);
                rows.query_map([], |row| row.get(0)).expect(query).map(|text| text.expect("a text")).collect()
            }
            Self::Postgres(pool) => sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(pool).await.expect(query),
        }
    }

    /// What a newer version may do while this one runs: columns for every table, a table, an index, and its name.
    async fn migrate(&self) {
        let tables = match self {
            Self::Sqlite(_) => "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
            Self::Postgres(_) => {
                "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()"
            }
        };
        let tables = self.texts(tables).await;
        assert!(tables.len() > 10, "{tables:?}");
        for table in tables.iter().filter(|table| *table != "seaql_migrations") {
            self.run(&format!("ALTER TABLE {table} ADD COLUMN later_text TEXT")).await;
            self.run(&format!("ALTER TABLE {table} ADD COLUMN later_number BIGINT NOT NULL DEFAULT 7")).await;
        }
        self.run("CREATE TABLE later (id TEXT NOT NULL PRIMARY KEY, document_id TEXT)").await;
        self.run("CREATE INDEX later_titles ON documents (title, later_text)").await;
        self.named("m29990101_000001_later").await;
    }

    async fn named(&self, step: &str) {
        self.run(&format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{step}', 0)")).await;
    }
}

/// Everything that is done with a corpus, and then nothing is left to do; gives the ids of what stays.
async fn work(client: &Client, name: &str) -> Vec<String> {
    let ok = async |method: &str, path: &str, body: Option<Value>| {
        let (status, answer) = client.send(method, path, body.as_ref()).await.expect("an answer");
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    };
    let chunk = |at: u32| json!({ "chunkIndex": at, "text": format!("{name} part {at}"), "embeddings": [{ "vector": [1, at] }] });
    let mut ids = Vec::new();
    for number in 0..3 {
        let query = "mutation($i: CreateDocumentInput!) { createDocument(input: $i) { document { id chunks(first: 1) \
                     { nodes { id embeddings(first: 1) { id } } } } } }";
        let input = json!({ "title": format!("{name} {number}"), "source": "s", "chunks": [chunk(0), chunk(1)] });
        let body = json!({ "query": query, "variables": { "i": input } });
        let made = ok("POST", "/graphql", Some(body)).await;
        assert!(made["errors"].is_null(), "{made}");
        let document = &made["data"]["createDocument"]["document"];
        let id = document["id"].as_str().expect("an id").to_owned();
        let chunk = document["chunks"]["nodes"][0].clone();
        let (chunk_id, embedding) =
            (chunk["id"].as_str().expect("an id"), chunk["embeddings"][0]["id"].as_str().expect("an id"));
        ok("PUT", &format!("/api/documents/{id}"), Some(json!({ "title": format!("{name} {number} again") }))).await;
        ok("PUT", &format!("/api/documents/chunks/{chunk_id}"), Some(json!({ "text": "another text" }))).await;
        ok("PUT", &format!("/api/documents/embeddings/{embedding}"), Some(json!({ "vector": [3, 4] }))).await;
        ok("POST", &format!("/api/documents/{id}/chunks"), Some(json!({ "chunk_index": 2, "text": "a third" }))).await;
        ok("GET", &format!("/api/documents/{id}"), None).await;
        ok("GET", &format!("/api/documents/{id}/chunks"), None).await;
        ok("GET", &format!("/api/documents/embeddings/{embedding}"), None).await;
        ok("GET", &format!("/api/dashboard/document/{id}/stats"), None).await;
        let copy = format!(
            "mutation {{ duplicateDocument(input: {{ id: \"{id}\", title: \"{name} copy\" }}) {{ document {{ id }} }} }}"
        );
        client.graphql(&copy).await;
        ids.push(id);
    }
    ok("DELETE", &format!("/api/documents/{}", ids[0]), None).await;
    client
        .graphql(&format!("mutation {{ restoreDocument(input: {{ id: \"{}\" }}) {{ document {{ id }} }} }}", ids[0]))
        .await;
    ok("DELETE", &format!("/api/documents/{}?hard_delete=true", ids.pop().expect("three")), None).await;
    for path in ["/api/documents", "/api/dashboard/overview", "/api/dashboard/sync-status", "/api/dashboard/activity"] {
        ok("GET", path, None).await;
    }
    ok("GET", "/api/dashboard/search?query=again", None).await;
    for query in [
        "{ documents(first: 5) { nodes { title chunks(first: 5) { nodes { text embeddings(first: 2) { id vector } } } } } }",
        "{ search(input: { text: \"part\", mode: TEXT }) { hits { score } } }",
        "{ search(input: { vector: [1, 1], mode: VECTOR }) { hits { score } } }",
        "{ overview { documents } activity { documents { id } } namespaces { name } }",
        "{ syncJobs(first: 5) { nodes { id state } } }",
    ] {
        client.graphql(query).await;
    }
    ok("POST", "/api/pinecone/export/unsynced", None).await;
    let checked = ok("POST", "/api/pinecone/reconcile?mode=repair", None).await;
    assert!(checked["status"].is_string(), "{checked}");
    client.settled().await;
    ids
}

#[tokio::test]
async fn f45_old_replicas_go_on_and_come_up_again_beside_a_newer_version_and_index_and_rows_agree() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let emulator = emulator(Options::default()).await;
    // Few connections, so that each has met every statement before and meets it again.
    let settings = [("CORPUSD_AUTO_EXPORT", "true"), ("CORPUSD_POOL_SIZE", "2")];
    let old = serve(folder.path(), &url, &emulator.url(), &settings).await;
    // A SQLite file has one server.
    let other = if url.starts_with("sqlite:") {
        None
    } else {
        Some(serve(folder.path(), &url, &emulator.url(), &settings).await)
    };
    let clients: Vec<Client> = std::iter::once(&old).chain(&other).map(Client::new).collect();
    let mut ids = Vec::new();
    for round in 0..3 {
        for (place, client) in clients.iter().enumerate() {
            ids.extend(work(client, &format!("before {round} {place}")).await);
        }
    }
    let door = Door::open(&url).await;
    door.migrate().await;
    door.run("UPDATE documents SET later_text = 'by the newer'").await;
    for round in 0..3 {
        for (place, client) in clients.iter().enumerate() {
            work(client, &format!("after {round} {place}")).await;
        }
    }
    assert_eq!(old.stop().await.code(), Some(0));
    let again = serve(folder.path(), &url, &emulator.url(), &settings).await;
    let client = Client::new(&again);
    work(&client, "again").await;
    // What an old version does to a row leaves alone what it does not know.
    for id in &ids {
        let (status, answer) = client
            .send("PUT", &format!("/api/documents/{id}"), Some(&json!({ "source": "old" })))
            .await
            .expect("an answer");
        assert_eq!(status, 200, "{answer}");
    }
    let kept = door.texts("SELECT id FROM documents WHERE later_text = 'by the newer' AND later_number = 7 AND source = 'old' ORDER BY id").await;
    ids.sort();
    assert_eq!(kept, ids);
    client.settled().await;
    assert_eq!(held(&emulator), client.rows().await);
    let migrated = run(folder.path(), &["migrate", "--database-url", &url]).await;
    assert_eq!(migrated.status.code(), Some(0), "{migrated:?}");
    for serving in std::iter::once(again).chain(other) {
        assert_eq!(serving.stop().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_database_that_a_newer_version_has_taken_something_from_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    assert_eq!(run(folder.path(), &["migrate", "--database-url", &url]).await.status.code(), Some(0));
    let door = Door::open(&url).await;
    door.named("m29990101_000001_sources_breaks_older").await;
    for command in [&["serve", "--port", "0"][..], &["migrate"]] {
        let output = corpusd(folder.path(), command).env("DATABASE_URL", &url).output().await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("m29990101_000001_sources_breaks_older") && told.contains("a later one"), "{told}");
    }
}

#[tokio::test]
async fn a_database_of_another_line_of_versions_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    assert_eq!(run(folder.path(), &["migrate", "--database-url", &url]).await.status.code(), Some(0));
    let door = Door::open(&url).await;
    door.named("m29990101_000001_later").await;
    door.run("DELETE FROM seaql_migrations WHERE version LIKE '%_target_written'").await;
    let output = run(folder.path(), &["migrate", "--database-url", &url]).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("m29990101_000001_later") && told.contains("_target_written"), "{told}");
}
