//! `corpusd backup`: a whole copy of one moment, or none.

use std::path::Path;
use std::process::Output;

use corpusd::app::App;
use corpusd::clock::Clock;
use corpusd::config::Config;
use serde_json::json;

use crate::support::fleet::Client;
use crate::support::process::Serving;
use crate::support::process::corpusd;

/// A file, whatever database the other tests use.
fn sqlite(folder: &Path, name: &str) -> String {
    format!("sqlite:///{}", folder.join(name).display())
}

async fn backup(folder: &Path, url: &str, file: &str) -> Output {
    corpusd(folder, &["backup", file, "--database-url", url]).output().await.expect("it runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn a_backup_beside_a_server_that_writes_is_one_moment_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = sqlite(folder.path(), "corpus.db");
    let serving = Serving::start(corpusd(folder.path(), &["serve", "--port", "0", "--database-url", &url])).await;
    let client = Client::new(&serving);
    let query = "mutation($i: CreateDocumentInput!) { createDocument(input: $i) { document { id } } }";
    let input = |number: usize| json!({ "id": format!("d{number}"), "title": "T", "chunks": [{ "text": "a" }, { "text": "b" }] });
    let writes = async {
        for number in 0..60 {
            let body = json!({ "query": query, "variables": { "i": input(number) } });
            let (status, answer) = client.send("POST", "/graphql", Some(&body)).await.expect("an answer");
            assert!(status == 200 && answer["errors"].is_null(), "{answer}");
        }
    };
    let copies = async {
        for number in 0..4 {
            let output = backup(folder.path(), &url, &format!("copy{number}.db")).await;
            assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        }
    };
    tokio::join!(writes, copies);
    assert_eq!(serving.stop().await.code(), Some(0));
    for number in 0..4 {
        let conn = rusqlite::Connection::open(folder.path().join(format!("copy{number}.db"))).expect("it opens");
        let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
        // A document and its chunks are one write, and each row of it has a number of its own.
        let (documents, chunks) = (count("SELECT count(*) FROM documents"), count("SELECT count(*) FROM chunks"));
        assert_eq!(chunks, 2 * documents);
        assert_eq!(count("SELECT rev FROM corpus_clock"), count("SELECT COALESCE(max(rev), 0) FROM corpus_log"));
    }
    // The copy is a database that serves.
    let mut config = Config::default();
    config.database.url = sqlite(folder.path(), "copy3.db");
    let app = App::open(config, &Clock::system()).await.expect("it opens");
    app.start_sync().await.expect("the engine starts");
    app.close().await;
}

#[tokio::test]
async fn what_is_no_whole_backup_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = sqlite(folder.path(), "corpus.db");
    let migrated = corpusd(folder.path(), &["migrate", "--database-url", &url]).output().await.expect("it runs");
    assert_eq!(migrated.status.code(), Some(0));
    let first = backup(folder.path(), &url, "copy.db").await;
    assert_eq!(first.status.code(), Some(0), "{}", told(&first));
    let bytes = std::fs::read(folder.path().join("copy.db")).expect("the copy");
    let again = backup(folder.path(), &url, "copy.db").await;
    assert_eq!(again.status.code(), Some(1), "{}", told(&again));
    assert!(told(&again).contains("never written over"), "{}", told(&again));
    assert_eq!(std::fs::read(folder.path().join("copy.db")).expect("the copy"), bytes);

    // A file of the name that the copy has while it is made may be anybody's.
    std::fs::write(folder.path().join("other-copy.db.part"), "mine").expect("written");
    let beside = backup(folder.path(), &url, "other-copy.db").await;
    assert_eq!(beside.status.code(), Some(1), "{}", told(&beside));
    let kept = std::fs::read(folder.path().join("other-copy.db.part")).expect("it is there");
    assert_eq!(kept, b"mine");
    std::fs::remove_file(folder.path().join("other-copy.db.part")).expect("removed");

    // Rows that point to nothing, and a file that is no database.
    let conn = rusqlite::Connection::open(folder.path().join("corpus.db")).expect("it opens");
    conn.pragma_update(None, "foreign_keys", false).expect("off");
    conn.execute(
        "INSERT INTO chunks (id, document_id, chunk_index, text, text_folded, metadata, created_at, updated_at) \
         VALUES ('c', 'nobody', 0, 't', 't', '{}', 0, 0)",
        [],
    )
    .expect("a row");
    drop(conn);
    std::fs::write(folder.path().join("other.db"), vec![7u8; 20_000]).expect("written");
    for (name, code) in [("corpus.db", 1), ("other.db", 1), ("none.db", 1)] {
        let refused = backup(folder.path(), &sqlite(folder.path(), name), "new.db").await;
        assert_eq!(refused.status.code(), Some(code), "{name}: {}", told(&refused));
        let there: Vec<_> = std::fs::read_dir(folder.path())
            .expect("read")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        assert!(!there.iter().any(|there| there.starts_with("new.db") || there.ends_with(".part")), "{there:?}");
    }
    let other = backup(folder.path(), "postgresql://127.0.0.1/none", "new.db").await;
    assert_eq!(other.status.code(), Some(2), "{}", told(&other));
}
