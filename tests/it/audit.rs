//! The audit log: who changed what, in the transaction of the change, in a chain that shows what was tampered with.

use std::time::Duration;

use corpusd::error::Error;
use corpusd::service::Delete;
use corpusd::service::access::Scope;
use corpusd::service::documents;
use corpusd::store;
use corpusd::store::audit;
use corpusd::store::audit::Verdict;
use corpusd::store::sql::Sql;
use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::database_url;
use crate::support::keys::closed;
use crate::support::keys::graphql;
use crate::support::keys::made;
use crate::support::keys::send;
use crate::support::process::run;
use crate::support::rows;

/// The log as `actor key: deed ids`, oldest first.
async fn log(test: &TestApp) -> Vec<String> {
    let rows = audit::after(test.cx().db(), 0).await.expect("the log");
    let words = rows.iter().map(|row| {
        let deeds: Vec<String> =
            row.deeds().iter().map(|deed| format!("{} {}", deed.what, deed.ids.join(" "))).collect();
        format!("{} {}: {}", row.actor, row.key_name.as_deref().unwrap_or("-"), deeds.join(", "))
    });
    words.collect()
}

async fn verdict(test: &TestApp) -> Verdict {
    audit::verify(test.cx().db()).await.expect("the log is read")
}

/// Runs a statement as somebody would who has the database.
async fn tamper(test: &TestApp, statement: &'static str) {
    let done = test
        .cx()
        .db()
        .write(move |tx| Box::pin(async move { Ok(tx.execute_unprepared(statement).await.map(|_| ())?) }));
    done.await.expect("it is done");
}

#[tokio::test]
async fn whoever_changes_something_is_named_with_what_they_changed() {
    let test = TestApp::new().await;
    let (id, token) = made(&test, Scope::Sync).await;
    documents::create(test.cx(), rows::nested()).await.unwrap();
    test.graphql("mutation { updateDocument(input: { id: \"d\", title: \"B\" }) { document { id } } }", Value::Null)
        .await;
    let bearer = format!("Bearer {token}");
    send(&test, ("DELETE", "/api/documents/chunks/c"), Some(&bearer), &[], "").await;
    let job = graphql(
        &test,
        &token,
        "mutation { startSync(input: { scope: { unsynced: true } }) { job { id } } }",
        Value::Null,
    )
    .await;
    let job = job.json()["data"]["startSync"]["job"]["id"].as_str().expect("a job").to_owned();
    assert_eq!(
        log(&test).await,
        [
            format!("process -: API_KEY_CREATED {id}"),
            "process -: DOCUMENT_CREATED d".to_owned(),
            "anonymous -: DOCUMENT_UPDATED d".to_owned(),
            "key to sync: CHUNK_DELETED c".to_owned(),
            format!("key to sync: SYNC_STARTED {job}"),
        ]
    );
    let rows = audit::after(test.cx().db(), 0).await.unwrap();
    assert_eq!(rows[3].key_id.as_deref(), Some(id.as_str()));
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    // The revision is that of the last change; a key is no change of the corpus.
    let revision = store::log::revision(test.cx().read()).await.unwrap();
    assert_eq!((rows[0].rev, rows[1].rev, rows[3].rev), (None, Some(1), Some(revision)));
    // What the engine does by itself is not somebody's deed.
    test.sync_until_idle().await;
    assert_eq!(log(&test).await.len(), 5);
    assert!(matches!(verdict(&test).await, Verdict::Whole(5, _)));
}

#[tokio::test]
async fn what_is_read_refused_or_undone_leaves_no_row() {
    let test = TestApp::new().await;
    documents::create(test.cx(), rows::document("d")).await.unwrap();
    let before = log(&test).await;
    test.graphql("{ documents { nodes { id } } }", Value::Null).await;
    test.graphql(
        "mutation { createDocument(input: { id: \"d\", title: \"again\" }) { document { id } } }",
        Value::Null,
    )
    .await;
    test.graphql("mutation { createDocument(input: { title: \"\" }) { document { id } } }", Value::Null).await;
    // It fails after it has changed something, alone and beside others that do not.
    let fails = || async {
        let outcome = test.cx().write(|tx| {
            Box::pin(async move {
                tx.execute_unprepared("UPDATE documents SET title = 'X'").await?;
                tx.record(store::log::Change::new(store::log::ChangeKind::DocumentUpdated, "d", "d"));
                Err::<(), _>(Error::conflict("on purpose"))
            })
        });
        assert!(outcome.await.is_err());
    };
    fails().await;
    assert_eq!(log(&test).await, before);
    let (_, made, _) = tokio::join!(fails(), documents::create(test.cx(), rows::document("other")), fails());
    made.unwrap();
    assert_eq!(log(&test).await[1..], ["process -: DOCUMENT_CREATED other"]);
    assert!(matches!(verdict(&test).await, Verdict::Whole(2, _)));
}

#[tokio::test]
async fn writes_that_share_a_commit_or_meet_make_one_chain() {
    let test = TestApp::new().await;
    let create = |number: usize| {
        let test = &test;
        async move { documents::create(test.cx(), rows::document(&format!("d{number}"))).await }
    };
    let made = futures_util::future::join_all((0..40).map(create)).await;
    assert!(made.iter().all(Result::is_ok));
    assert!(matches!(verdict(&test).await, Verdict::Whole(40, _)));
    let rows = audit::after(test.cx().db(), 0).await.unwrap();
    let revisions: Vec<Option<i64>> = rows.iter().map(|row| row.rev).collect();
    assert_eq!(revisions, (1..=40).map(Some).collect::<Vec<_>>());
    for row in rows {
        let changed = store::log::after(test.cx().read(), row.rev.unwrap() - 1, 1).await.unwrap();
        assert_eq!(row.deeds()[0].ids, [changed[0].id.clone()]);
    }
}

#[tokio::test]
async fn whatever_is_changed_removed_or_slipped_in_is_found() {
    for (statement, broken) in [
        ("UPDATE audit_log SET actor = 'anonymous' WHERE seq = 2", 2),
        ("UPDATE audit_log SET at = at + 1 WHERE seq = 3", 3),
        ("UPDATE audit_log SET rev = NULL WHERE seq = 1", 1),
        ("UPDATE audit_log SET key_name = 'x' WHERE seq = 2", 2),
        ("UPDATE audit_log SET deeds = '[]' WHERE seq = 4", 4),
        ("UPDATE audit_log SET hash = (SELECT b.hash FROM audit_log b WHERE b.seq = 1) WHERE seq = 2", 2),
        ("DELETE FROM audit_log WHERE seq = 1", 1),
        ("DELETE FROM audit_log WHERE seq = 3", 3),
        ("DELETE FROM audit_log WHERE seq = 4", 4),
        ("DELETE FROM audit_log", 1),
        ("UPDATE corpus_clock SET audit_seq = 5", 5),
        ("UPDATE corpus_clock SET audit_hash = NULL", 4),
    ] {
        let test = TestApp::new().await;
        for id in ["a", "b", "c"] {
            documents::create(test.cx(), rows::document(id)).await.unwrap();
            test.clock.advance(Duration::from_secs(1));
        }
        documents::delete(test.cx(), "a", Delete::Hard).await.unwrap();
        assert!(matches!(verdict(&test).await, Verdict::Whole(4, _)));
        tamper(&test, statement).await;
        assert_eq!(verdict(&test).await, Verdict::Broken(broken), "{statement}");
    }
}

#[tokio::test]
async fn a_row_names_ten_of_many_and_counts_all() {
    let test = TestApp::new().await;
    documents::create(test.cx(), rows::document("d")).await.unwrap();
    let many = (0..25).map(|at| rows::chunk(&format!("c{at}"))).collect();
    corpusd::service::chunks::create(test.cx(), "d", many).await.unwrap();
    let row = audit::after(test.cx().db(), 1).await.unwrap().remove(0);
    let chunks = row.deeds().into_iter().find(|deed| deed.what == "CHUNK_CREATED").expect("chunks");
    assert_eq!((chunks.count, chunks.ids.len()), (25, 10));
}

#[tokio::test]
async fn admins_page_through_the_log() {
    let test = closed().await;
    let (id, admin) = made(&test, Scope::Admin).await;
    for title in ["A", "B"] {
        let create = "mutation($t: String!) { createDocument(input: { title: $t }) { document { id } } }";
        graphql(&test, &admin, create, json!({ "t": title })).await;
    }
    let query = "query($a: String) { auditLog(first: 2, after: $a) { totalCount nodes { seq at corpusRevision actor keyId keyName deeds { name count ids } hash } pageInfo { hasNextPage endCursor } } }";
    let page = graphql(&test, &admin, query, Value::Null).await.json()["data"]["auditLog"].clone();
    assert_eq!((&page["totalCount"], &page["pageInfo"]["hasNextPage"]), (&json!(3), &json!(true)));
    let newest = &page["nodes"][0];
    assert_eq!((&newest["seq"], &newest["corpusRevision"], &newest["actor"]), (&json!(3), &json!("2"), &json!("KEY")));
    assert_eq!((&newest["keyId"], &newest["keyName"]), (&json!(id), &json!("to admin")));
    assert_eq!((&newest["deeds"][0]["name"], &newest["deeds"][0]["count"]), (&json!("DOCUMENT_CREATED"), &json!(1)));
    assert_eq!(newest["hash"].as_str().map(str::len), Some(64));
    let rest = graphql(&test, &admin, query, json!({ "a": page["pageInfo"]["endCursor"] })).await.json();
    let oldest = &rest["data"]["auditLog"]["nodes"][0];
    assert_eq!((&oldest["actor"], &oldest["deeds"][0]["name"]), (&json!("PROCESS"), &json!("API_KEY_CREATED")));
}

#[tokio::test]
async fn the_command_line_lists_exports_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let cli = async |args: &[&str]| {
        let args: Vec<&str> = args.iter().chain(&["--database-url", &url]).copied().collect();
        let output = run(folder.path(), &args).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for name in ["one", "two"] {
        assert_eq!(cli(&["keys", "create", "--name", name, "--scope", "read"]).await.0, Some(0));
    }
    let (exit, list, _) = cli(&["audit", "list"]).await;
    assert_eq!((exit, list.lines().count()), (Some(0), 2));
    assert!(list.starts_with("2  ") && list.contains("process  API_KEY_CREATED "), "{list}");
    let (_, export, _) = cli(&["audit", "export", "--after", "1"]).await;
    let row: Value = serde_json::from_str(&export).expect("one JSON object");
    assert_eq!((&row["seq"], &row["deeds"][0]["what"]), (&json!(2), &json!("API_KEY_CREATED")));
    let (exit, verdict, _) = cli(&["audit", "verify"]).await;
    assert_eq!(exit, Some(0));
    assert!(verdict.contains("2 rows") && verdict.contains(row["hash"].as_str().unwrap()), "{verdict}");
    let config = corpusd::config::DatabaseConfig { url: url.clone(), ..Default::default() };
    let db = store::connect::open(&config, &corpusd::clock::Clock::system()).await.unwrap();
    let changed = db.write(|tx| {
        let mut sql = Sql::new(tx);
        sql.push("UPDATE audit_log SET key_name = 'x' WHERE seq = 1");
        Box::pin(async move { Ok(sql.run(tx).await?) })
    });
    changed.await.unwrap();
    db.close().await;
    let (exit, _, log) = cli(&["audit", "verify"]).await;
    assert_eq!((exit, log.as_str()), (Some(3), "corpusd: the audit log is not as it was written from 1 on"));
}
