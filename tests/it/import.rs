//! Importing texts, and the demo: through the real binary and, for what the index is sent, the service.

use std::path::Path;

use corpusd::service::import;
use corpusd::service::import::Import;
use corpusd::service::import::Outcome;
use corpusd::store::sql::Sql;
use corpusd::text::Format;
use serde_json::json;

use crate::support::TestApp;
use crate::support::database_url;
use crate::support::process::Serving;
use crate::support::process::corpusd;
use crate::support::process::pipe;
use crate::support::process::run;

/// A paragraph that makes a chunk of its own.
fn paragraph(word: &str) -> String {
    format!("{word} and so on. ").repeat(40)
}

fn story(words: &[&str]) -> Import {
    let text: Vec<String> = words.iter().map(|word| paragraph(word)).collect();
    Import {
        id: "story".to_owned(),
        title: "Story".to_owned(),
        source: "story.txt".to_owned(),
        format: Format::Plain,
        text: text.join("\n\n"),
    }
}

/// One value of each row of a statement.
async fn column(test: &TestApp, statement: &str) -> Vec<String> {
    let mut sql = Sql::new(test.cx().read());
    sql.push(statement);
    let rows = sql.all(test.cx().read()).await.expect("the rows are read");
    rows.iter().map(|row| row.try_get_by_index(0).expect("text")).collect()
}

async fn imported(folder: &Path, url: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let mut args = vec!["import", "--database-url", url];
    args.extend(more);
    let output = run(folder, &args).await;
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code(), out, String::from_utf8(output.stderr).expect("UTF-8"))
}

#[tokio::test]
async fn a_changed_text_changes_its_document_and_leaves_the_other_chunks_alone() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    assert_eq!(import::put(test.cx(), story(&["one", "two", "three"])).await.unwrap(), Outcome::Created);
    let revision = column(&test, "SELECT CAST(rev AS TEXT) FROM corpus_clock").await;
    assert_eq!(import::put(test.cx(), story(&["one", "two", "three"])).await.unwrap(), Outcome::Unchanged);
    assert_eq!(column(&test, "SELECT CAST(rev AS TEXT) FROM corpus_clock").await, revision);
    let ids = column(&test, "SELECT id FROM chunks ORDER BY chunk_index").await;
    assert_eq!(import::put(test.cx(), story(&["one", "zwei", "three", "four"])).await.unwrap(), Outcome::Updated);
    let now = column(&test, "SELECT id FROM chunks ORDER BY chunk_index").await;
    assert_eq!((now.len(), &now[0], &now[2]), (4, &ids[0], &ids[2]));
    assert!(now[1] != ids[1]);
    // Slots: two untouched since they were made, one gone, two new.
    let touched = "SELECT want || ' ' || CAST(want_rev AS TEXT) FROM sync_slots ORDER BY 1";
    assert_eq!(column(&test, touched).await, ["absent 2", "present 1", "present 1", "present 1", "present 1"]);
    let models = column(&test, "SELECT DISTINCT model FROM embeddings").await;
    assert_eq!(models, ["lexical-256"]);
}

#[tokio::test]
async fn a_document_that_was_deleted_or_written_by_hand_is_left_alone() {
    let test = TestApp::new().await;
    import::put(test.cx(), story(&["one"])).await.unwrap();
    assert_eq!(test.rest("DELETE", "/api/documents/story", None).await.status, 204);
    let again = import::put(test.cx(), story(&["two"])).await.unwrap_err().to_string();
    assert!(again.contains("was deleted"), "{again}");
    assert_eq!(test.rest("DELETE", "/api/documents/story?hard_delete=true", None).await.status, 204);
    test.clock.advance(std::time::Duration::from_secs(1));
    let new = corpusd::service::documents::NewDocument {
        id: Some("story".to_owned()),
        title: "By hand".to_owned(),
        ..Default::default()
    };
    corpusd::service::documents::create(test.cx(), new).await.unwrap();
    let again = import::put(test.cx(), story(&["one"])).await.unwrap_err().to_string();
    assert!(again.contains("not imported"), "{again}");
}

#[tokio::test]
async fn files_become_documents_and_are_imported_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let texts = folder.path().join("texts");
    std::fs::create_dir_all(texts.join("below")).unwrap();
    std::fs::write(texts.join("a.md"), format!("# A heading\n\n{}", paragraph("first"))).unwrap();
    std::fs::write(texts.join("below/b.txt"), "plain\n").unwrap();
    std::fs::write(texts.join("c.pdf"), "no text").unwrap();
    let (code, out, told) = imported(folder.path(), &url, &["texts"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "2 new, 0 updated, 0 unchanged, 1 skipped, 0 failed\n"), "{told}");
    assert!(told.contains("skipped: texts/c.pdf"), "{told}");
    let (code, out, _) = imported(folder.path(), &url, &["texts", "texts/a.md"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "0 new, 0 updated, 2 unchanged, 1 skipped, 0 failed\n"));
    std::fs::write(texts.join("a.md"), "# Another heading\n").unwrap();
    std::fs::write(texts.join("bad.md"), b"good until \xff").unwrap();
    let (code, out, told) = imported(folder.path(), &url, &["texts", "none.md"]).await;
    assert_eq!((code, out.as_str()), (Some(1), "0 new, 1 updated, 1 unchanged, 1 skipped, 2 failed\n"));
    assert!(told.contains("texts/bad.md: no UTF-8 at byte 11") && told.contains("none.md"), "{told}");
    let serving = Serving::serve(folder.path(), &url).await;
    let (_, documents) = serving.get("/api/documents").await;
    let documents: Vec<serde_json::Value> = serde_json::from_str(&documents).unwrap();
    let shown: Vec<_> = documents.iter().map(|row| (&row["id"], &row["title"], &row["source"])).collect();
    assert_eq!(
        json!(shown),
        json!([["texts/a.md", "Another heading", "texts/a.md"], ["texts/below/b.txt", "b", "texts/below/b.txt"]])
    );
    assert_eq!(serving.stop().await.code(), Some(0));
}

#[tokio::test]
async fn what_is_no_regular_file_fails_and_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let texts = folder.path().join("texts");
    std::fs::create_dir(&texts).unwrap();
    std::fs::write(texts.join("a.md"), "# A\n").unwrap();
    std::os::unix::fs::symlink(texts.join("a.md"), texts.join("link.md")).unwrap();
    std::os::unix::fs::symlink("nowhere", texts.join("broken.md")).unwrap();
    pipe(&texts.join("pipe.md")).await;
    pipe(&texts.join("named.md")).await;
    let (code, out, told) = imported(folder.path(), &url, &["texts", "texts/named.md"]).await;
    assert_eq!((code, out.as_str()), (Some(1), "2 new, 0 updated, 0 unchanged, 0 skipped, 4 failed\n"), "{told}");
    assert!(told.contains("failed: texts/pipe.md: no regular file"), "{told}");
}

#[tokio::test]
async fn a_file_name_cannot_write_to_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    for name in ["nl\nx\u{1b}[31m.md", "\u{202e}dm.exe"] {
        std::fs::write(folder.path().join(name), b"\xff").unwrap();
    }
    let (code, _, told) = imported(folder.path(), &url, &["nl\nx\u{1b}[31m.md", "\u{202e}dm.exe"]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains(r"nl\nx\u{1b}[31m.md") && told.contains(r"\u{202e}dm.exe"), "{told:?}");
    assert!(!told.contains('\u{1b}') && !told.contains('\u{202e}'), "{told:?}");
}

#[tokio::test]
async fn an_export_works_without_a_server_and_beside_one() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    std::fs::write(folder.path().join("a.txt"), "some words\n").unwrap();
    std::fs::write(folder.path().join("b.txt"), "other words\n").unwrap();
    let (code, out, told) = imported(folder.path(), &url, &["a.txt", "--export"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(out.starts_with("exported 1 embeddings, 0 refused\n1 new"), "{out}");
    let serving = Serving::serve(folder.path(), &url).await;
    let (code, out, told) = imported(folder.path(), &url, &["a.txt", "b.txt", "--export"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(out.starts_with("exported 1 embeddings, 0 refused\n1 new, 0 updated, 1 unchanged"), "{out}");
    let (_, status) = serving.get("/api/dashboard/sync-status").await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!((&status["total_embeddings"], &status["synced_embeddings"]), (&json!(2), &json!(2)), "{status}");
    assert_eq!(serving.stop().await.code(), Some(0));
}

#[tokio::test]
async fn the_demo_fills_an_empty_folder_once_and_serves_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = None;
    for _ in 0..2 {
        let serving = Serving::start(corpusd(folder.path(), &["demo", "--port", "0"])).await;
        assert!(serving.printed.iter().any(|line| line.contains("/graphiql")), "{:?}", serving.printed);
        let (_, overview) = serving.get("/api/dashboard/overview").await;
        let overview: serde_json::Value = serde_json::from_str(&overview).unwrap();
        let status = &overview["sync_status"];
        assert_eq!(status["total_documents"], json!(4));
        assert!(status["total_chunks"].as_i64() > Some(30), "{status}");
        assert_eq!(status["synced_embeddings"], status["total_embeddings"], "{status}");
        let (_, documents) = serving.get("/api/documents").await;
        assert_eq!(serving.stop().await.code(), Some(0));
        assert_eq!(*first.get_or_insert(documents.clone()), documents);
    }
}

#[tokio::test]
async fn the_demo_leaves_other_databases_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "mine").unwrap();
    let (code, _, told) = imported(folder.path(), "sqlite:///./asktemoc.db", &["a.txt"]).await;
    assert_eq!(code, Some(0), "{told}");
    let output = run(folder.path(), &["demo", "--port", "0"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("holds other documents"));
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/seed-asktemoc.db");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(&seed, folder.path().join("asktemoc.db")).unwrap();
    let output = run(folder.path(), &["demo", "--port", "0"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read(folder.path().join("asktemoc.db")).unwrap(), std::fs::read(&seed).unwrap());
}

#[tokio::test]
async fn a_second_server_on_one_sqlite_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::serve(folder.path(), "sqlite:///a.db").await;
    let output = run(folder.path(), &["serve", "--port", "0", "--database-url", "sqlite:///a.db"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another corpusd"), "{output:?}");
    assert_eq!(serving.stop().await.code(), Some(0));
}
