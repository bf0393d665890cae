//! Comparing and mending the index as callers see it: both edges, the command line, and a restored backup.

#![expect(clippy::unwrap_used, reason = "the helpers belong to tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use corpusd::app::App;
use corpusd::clock::Clock;
use corpusd::config::Config;
use corpusd::index::VectorIndex;
use corpusd::index::VectorRecord;
use corpusd::index::memory::MemoryIndex;
use corpusd::service::Delete;
use corpusd::service::Patch;
use corpusd::service::documents;
use corpusd::service::documents::DocumentPatch;
use corpusd::service::embeddings;
use corpusd::service::jobs;
use corpusd::service::reconcile;
use corpusd::store::connect;
use corpusd::store::targets;
use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::START_US;
use crate::support::TestApp;
use crate::support::database_url;
use crate::support::process::Serving;
use crate::support::process::corpusd;
use crate::support::rows;

const DOUBT: Duration = Duration::from_secs(121);
const SETTLED: Duration = Duration::from_secs(601);

/// Documents `d0` … `d4` whose embeddings `e0` … `e4` are in the index for a while; then one record of each class is wrong.
async fn damaged(test: &TestApp) {
    let cx = test.cx();
    for i in 0..5 {
        let mut new = rows::nested();
        new.id = Some(format!("d{i}"));
        new.chunks[0].id = Some(format!("c{i}"));
        new.chunks[0].embeddings[0].id = Some(format!("e{i}"));
        documents::create(cx, new).await.unwrap();
    }
    test.sync_until_idle().await;
    let index = cx.index();
    let ids: Vec<String> = (0..5).map(|i| format!("e{i}")).collect();
    let records = index.fetch("default", &ids).await.unwrap();
    let record = |id: &str| records.iter().find(|record| record.id == id).unwrap().clone();
    embeddings::delete(cx, "e4").await.unwrap();
    test.sync_until_idle().await;
    test.clock.advance(SETTLED);
    test.sync_until_idle().await;
    index.delete("default", &["e0".to_owned()]).await.unwrap();
    let legacy = r#"{"embedding_id":"x","chunk_id":"y","document_id":"z"}"#.to_owned();
    let planted = vec![
        VectorRecord { values: vec![3.0, 4.0], ..record("e1") },
        VectorRecord { id: "orphan".to_owned(), ..record("e2") },
        record("e4"),
        VectorRecord { id: "foreign".to_owned(), metadata: "{}".to_owned(), ..record("e2") },
        VectorRecord { id: "legacy".to_owned(), metadata: legacy, ..record("e2") },
    ];
    index.upsert("default", planted).await.unwrap();
}

async fn ids(test: &TestApp) -> Vec<String> {
    test.cx().index().list("default", None, 100).await.unwrap().ids
}

/// Moves time behind the doubt window once a check has come to the end of its first look.
async fn doubt_ends(test: &TestApp) {
    loop {
        let suspects = corpusd::store::jobs::active(test.cx().read(), test.cx().target_id()).await.unwrap();
        if suspects.iter().any(|job| job.place.as_deref().is_some_and(|place| place.contains("suspects"))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    test.clock.advance(DOUBT);
    test.cx().db().wake();
    std::future::pending::<()>().await;
}

/// A REST request that waits for a check.
async fn rest_check(test: &TestApp, query: &str) -> Answer {
    let path = format!("/api/pinecone/reconcile{query}");
    tokio::select! {
        answer = test.rest("POST", &path, None) => answer,
        () = doubt_ends(test) => unreachable!(),
    }
}

const RECONCILE: &str = "mutation($input: ReconcileInput!) { reconcile(input: $input) { job { id kind state } } }";
const REPORT: &str = "query($id: ID!, $class: FindingClass, $first: Int, $after: String) { syncJob(id: $id) { state report {
    checked skipped missing stale orphaned resurrected foreign legacy repaired
    findings(class: $class, first: $first, after: $after) { totalCount nodes { class namespace vectorId detail } pageInfo { hasNextPage endCursor } } } } }";

/// A check over GraphQL from its start to its report.
async fn graphql_check(test: &TestApp, input: Value) -> Value {
    let answer = test.graphql(RECONCILE, json!({ "input": input })).await;
    let job = &answer["data"]["reconcile"]["job"];
    assert_eq!((&job["kind"], &job["state"]), (&json!("RECONCILE"), &json!("QUEUED")), "{answer}");
    assert!(answer["extensions"]["corpusRevision"].is_string());
    let id = job["id"].clone();
    test.sync_until_idle().await;
    test.clock.advance(DOUBT);
    test.sync_until_idle().await;
    let report = test.graphql(REPORT, json!({ "id": id })).await;
    assert_eq!(report["data"]["syncJob"]["state"], "COMPLETED", "{report}");
    report["data"]["syncJob"]["report"].clone()
}

/// The embedded index, and one in memory.
async fn both() -> [TestApp; 2] {
    let auto = |config: &mut Config| config.index.auto_export = true;
    let memory: Arc<dyn VectorIndex> = Arc::new(MemoryIndex::default());
    [TestApp::with(auto).await, TestApp::with_index(memory, auto).await]
}

#[tokio::test]
async fn each_class_is_found_and_mended_through_graphql() {
    for test in both().await {
        damaged(&test).await;
        let before = ids(&test).await;
        let report = graphql_check(&test, json!({})).await;
        let counts = |report: &Value| {
            ["missing", "stale", "orphaned", "resurrected", "foreign", "legacy"].map(|name| report[name].clone())
        };
        assert_eq!(counts(&report), [1, 1, 1, 1, 1, 1].map(Value::from));
        assert_eq!((&report["repaired"], &report["checked"]), (&json!(0), &json!(8)));
        let findings = report["findings"]["nodes"].as_array().unwrap();
        let told: Vec<(&str, &str)> =
            findings.iter().map(|node| (node["class"].as_str().unwrap(), node["vectorId"].as_str().unwrap())).collect();
        assert_eq!(
            told,
            [
                ("FOREIGN", "foreign"),
                ("LEGACY", "legacy"),
                ("MISSING", "e0"),
                ("ORPHANED", "orphan"),
                ("RESURRECTED", "e4"),
                ("STALE", "e1")
            ]
        );
        assert_eq!(findings[5]["detail"], "number 0 of the vector differs");
        assert_eq!(findings[5]["namespace"], "default");
        assert_eq!(ids(&test).await, before, "a check touches nothing");
        let report = graphql_check(&test, json!({ "mode": "REPAIR" })).await;
        assert_eq!(report["repaired"], 4);
        assert_eq!(ids(&test).await, ["e0", "e1", "e2", "e3", "foreign", "legacy"]);
        let report = graphql_check(&test, json!({ "mode": "REPAIR", "removeLegacy": true })).await;
        assert_eq!((&report["legacy"], &report["repaired"]), (&json!(1), &json!(1)));
        assert_eq!(ids(&test).await, ["e0", "e1", "e2", "e3", "foreign"]);
    }
}

#[tokio::test]
async fn each_class_is_found_and_mended_through_rest() {
    for test in both().await {
        damaged(&test).await;
        let answer = rest_check(&test, "?mode=check").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.headers.contains_key("x-corpus-revision"));
        let told = answer.json();
        assert_eq!((&told["status"], &told["mode"]), (&json!("different"), &json!("check")));
        for (class, id) in [
            ("missing", "e0"),
            ("stale", "e1"),
            ("orphaned", "orphan"),
            ("resurrected", "e4"),
            ("foreign", "foreign"),
            ("legacy", "legacy"),
        ] {
            assert_eq!(told[class]["count"], 1, "{class}: {told}");
            assert_eq!(told[class]["records"][0]["id"], id, "{told}");
        }
        let told = rest_check(&test, "?mode=repair&remove_legacy=true").await.json();
        assert_eq!((&told["status"], &told["repaired"]), (&json!("different"), &json!(5)));
        assert_eq!(ids(&test).await, ["e0", "e1", "e2", "e3", "foreign"]);
        test.clock.advance(SETTLED);
        let told = test.rest("POST", "/api/pinecone/reconcile", None).await.json();
        assert_eq!(
            (&told["status"], &told["checked"], &told["foreign"]["count"]),
            (&json!("equal"), &json!(8), &json!(1))
        );
    }
}

#[tokio::test]
async fn a_check_that_could_not_compare_everything_does_not_say_that_all_is_equal() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), rows::nested()).await.unwrap();
    test.sync_until_idle().await;
    let told = test.rest("POST", "/api/pinecone/reconcile", None).await.json();
    assert_eq!((&told["status"], &told["checked"], &told["skipped"]), (&json!("incomplete"), &json!(0), &json!(1)));
    test.clock.advance(SETTLED);
    let told = test.rest("POST", "/api/pinecone/reconcile", None).await.json();
    assert_eq!((&told["status"], &told["checked"], &told["skipped"]), (&json!("equal"), &json!(1), &json!(0)));
}

#[tokio::test]
async fn findings_are_paged_by_class() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), rows::nested()).await.unwrap();
    test.sync_until_idle().await;
    let foreign = |i: usize| VectorRecord { id: format!("f{i}"), values: vec![1.0, 2.0], metadata: "{}".to_owned() };
    test.cx().index().upsert("default", (0..5).map(foreign).collect()).await.unwrap();
    let answer = test.graphql(RECONCILE, json!({ "input": { "mode": "CHECK" } })).await;
    let id = answer["data"]["reconcile"]["job"]["id"].clone();
    test.sync_until_idle().await;
    let page = async |after: Value| {
        let variables = json!({ "id": id, "class": "FOREIGN", "first": 2, "after": after });
        test.graphql(REPORT, variables).await["data"]["syncJob"]["report"]["findings"].clone()
    };
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let findings = page(after).await;
        assert_eq!(findings["totalCount"], 5);
        seen.extend(findings["nodes"].as_array().unwrap().iter().map(|node| node["vectorId"].clone()));
        if findings["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = findings["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(seen, ["f0", "f1", "f2", "f3", "f4"]);
    let none = test.graphql(REPORT, json!({ "id": id, "class": "STALE" })).await;
    assert_eq!(none["data"]["syncJob"]["report"]["findings"]["totalCount"], 0);
    let refused = test.graphql(REPORT, json!({ "id": id, "after": "x" })).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_CURSOR");
}

#[tokio::test]
async fn an_export_has_no_report() {
    let test = TestApp::new().await;
    let start = "mutation { startSync(input: { scope: { unsynced: true } }) { job { report { checked } } } }";
    assert_eq!(test.graphql(start, Value::Null).await["data"]["startSync"]["job"]["report"], Value::Null);
}

#[tokio::test]
async fn quarantined_records_are_tried_again_through_graphql() {
    let index = Arc::new(MemoryIndex::default());
    let test = TestApp::with_index(index.clone(), |config| config.index.auto_export = true).await;
    index.poison("e");
    documents::create(test.cx(), rows::nested()).await.unwrap();
    // One more, so that the refusal is the record's and not the index's.
    let mut other = rows::nested();
    (other.id, other.chunks[0].id) = (Some("d2".to_owned()), Some("c2".to_owned()));
    other.chunks[0].embeddings[0].id = Some("e2".to_owned());
    documents::create(test.cx(), other).await.unwrap();
    test.sync_until_idle().await;
    let slots = "{ syncSlots(filter: { state: [QUARANTINED] }) { nodes { vectorId lastError { code } } } }";
    let answer = test.graphql(slots, Value::Null).await;
    assert_eq!(answer["data"]["syncSlots"]["nodes"][0]["vectorId"], "e", "{answer}");
    index.cure();
    let retry = "mutation($ids: [ID!]) { retryQuarantined(input: { vectorIds: $ids }) { count } }";
    let answer = test.graphql(retry, json!({ "ids": ["e2"] })).await;
    assert_eq!(answer["data"]["retryQuarantined"]["count"], 0);
    let answer = test.graphql("mutation { retryQuarantined(input: {}) { count } }", Value::Null).await;
    assert_eq!(answer["data"]["retryQuarantined"]["count"], 1, "{answer}");
    assert!(answer["extensions"]["corpusRevision"].is_string(), "{answer}");
    test.sync_until_idle().await;
    assert_eq!(test.graphql(slots, Value::Null).await["data"]["syncSlots"]["nodes"], json!([]));
    assert_eq!(ids(&test).await, ["e", "e2"]);
}

#[tokio::test]
async fn a_check_waits_for_no_paused_index() {
    let test = TestApp::new().await;
    test.cx()
        .db()
        .write(|tx| {
            Box::pin(async move {
                targets::set_state(tx, 1, targets::TargetState::Paused, Some("the key was revoked")).await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    let answer = test.rest("POST", "/api/pinecone/reconcile", None).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.json()["job_id"].is_string() && answer.text.contains("the key was revoked"), "{}", answer.text);
}

/// An application over a SQLite file, whatever database is under test otherwise.
async fn open(file: &Path, index: &Arc<MemoryIndex>, clock: &Clock) -> App {
    let mut config = Config::default();
    config.database.url = format!("sqlite:{}", file.display());
    config.index.auto_export = true;
    let db = connect::open(&config.database, clock).await.unwrap();
    App::assemble(config, db, index.clone()).await.unwrap()
}

async fn retitle(app: &App, id: &str, title: &str) {
    let patch = DocumentPatch { title: Patch::Set(title.to_owned()), ..DocumentPatch::default() };
    documents::update(app.cx(), id, patch).await.unwrap();
}

#[tokio::test]
async fn f34_after_restoring_yesterdays_file_a_rebase_makes_the_index_equal_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (file, backup) = (folder.path().join("corpus.db"), folder.path().join("backup.db"));
    let (index, clock) = (Arc::new(MemoryIndex::default()), Clock::frozen(START_US));
    let app = open(&file, &index, &clock).await;
    for i in 0..4 {
        let mut new = rows::nested();
        (new.id, new.chunks[0].id) = (Some(format!("d{i}")), Some(format!("c{i}")));
        new.chunks[0].embeddings[0].id = Some(format!("e{i}"));
        documents::create(app.cx(), new).await.unwrap();
    }
    app.sync().run_until_idle().await.unwrap();
    let yesterday = index.records();
    app.close().await;
    std::fs::copy(&file, &backup).unwrap();
    // Today: one changed twice, one deleted, one new.
    clock.advance(Duration::from_secs(3_600));
    let app = open(&file, &index, &clock).await;
    retitle(&app, "d0", "Changed").await;
    app.sync().run_until_idle().await.unwrap();
    retitle(&app, "d0", "Changed again").await;
    documents::delete(app.cx(), "d1", Delete::Hard).await.unwrap();
    let mut new = rows::nested();
    (new.id, new.chunks[0].id) = (Some("new".to_owned()), Some("cn".to_owned()));
    new.chunks[0].embeddings[0].id = Some("en".to_owned());
    documents::create(app.cx(), new).await.unwrap();
    app.sync().run_until_idle().await.unwrap();
    assert_ne!(index.records(), yesterday);
    app.close().await;
    // The disk is lost, and yesterday's file is put back.
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", file.display()));
    }
    std::fs::copy(&backup, &file).unwrap();
    clock.advance(Duration::from_secs(3_600));
    let app = open(&file, &index, &clock).await;
    let calls = index.calls().len();
    app.sync().run_until_idle().await.unwrap();
    let target = targets::find(app.cx().read(), 1).await.unwrap().unwrap();
    assert_eq!(target.state, "paused");
    assert!(target.reason.unwrap().contains("corpusd sync rebase"));
    assert_eq!(index.calls().len(), calls, "nothing was written");
    let job = reconcile::rebase(app.cx()).await.unwrap();
    for _ in 0..3 {
        app.sync().run_until_idle().await.unwrap();
        clock.advance(DOUBT);
    }
    let job = jobs::get(app.cx(), &job.id).await.unwrap();
    assert_eq!(job.state, "completed", "{job:?}");
    assert_eq!(reconcile::report(&job).unwrap().orphaned, 1);
    let content = |records: &std::collections::BTreeMap<(String, String), VectorRecord>| {
        let of = |record: &VectorRecord| {
            let mut metadata: Value = serde_json::from_str(&record.metadata).unwrap();
            metadata["_cd_rev"] = Value::Null;
            (record.values.clone(), metadata)
        };
        records.iter().map(|(key, record)| (key.clone(), of(record))).collect::<Vec<_>>()
    };
    assert_eq!(content(&index.records()), content(&yesterday));
    app.close().await;
}

/// The settings of a command that need not be waited for.
fn quick(folder: &Path, args: &[&str], url: &str) -> tokio::process::Command {
    let mut command = corpusd(folder, args);
    command.env("DATABASE_URL", url).env("CORPUSD_RECONCILE_SETTLED_S", "0");
    command.env("CORPUSD_SYNC_TIMEOUT_S", "0.5").env("CORPUSD_SYNC_DOUBT_S", "0.6");
    command
}

/// Ends with `code`; gives what was printed.
async fn ends(folder: &Path, args: &[&str], url: &str, code: i32) -> String {
    let output = quick(folder, args, url).output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
    out.into_owned()
}

/// Does something to the embedded index past the engine.
async fn with_index(url: &str, work: impl AsyncFnOnce(&dyn VectorIndex)) {
    let mut config = Config::default();
    config.database.url = url.to_owned();
    let app = App::open(config, &Clock::system()).await.unwrap();
    work(&**app.cx().index()).await;
    app.close().await;
}

#[tokio::test]
async fn the_command_tells_by_its_exit_code_whether_the_index_is_what_the_rows_say() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    for name in ["a.md", "b.md"] {
        std::fs::write(folder.path().join(name), format!("# Title\n\nThe text of {name}.\n")).unwrap();
    }
    ends(folder.path(), &["import", "a.md", "b.md", "--export"], &url, 0).await;
    let early = quick(folder.path(), &["reconcile"], &url).env("CORPUSD_RECONCILE_SETTLED_S", "600").output().await;
    let early = early.unwrap();
    assert_eq!(early.status.code(), Some(4), "what was written a moment ago is passed over: {early:?}");
    assert!(String::from_utf8_lossy(&early.stdout).starts_with("0 compared, 2 passed over, 0 mended"), "{early:?}");
    assert!(ends(folder.path(), &["reconcile"], &url, 0).await.starts_with("2 compared, 0 passed over, 0 mended"));
    with_index(&url, async |index| {
        let ids = index.list("default", None, 10).await.unwrap().ids;
        let mut records = index.fetch("default", &ids).await.unwrap();
        let mut orphan = records[0].clone();
        orphan.id = "orphan".to_owned();
        records[1].values[0] += 1.0;
        index.upsert("default", vec![orphan, records[1].clone()]).await.unwrap();
        index.delete("default", &ids[..1]).await.unwrap();
    })
    .await;
    let told = ends(folder.path(), &["reconcile"], &url, 3).await;
    assert!(told.contains("1 missing") && told.contains("1 stale") && told.contains("1 orphaned"), "{told}");
    let json: Value = serde_json::from_str(&ends(folder.path(), &["reconcile", "--json"], &url, 3).await).unwrap();
    assert_eq!((&json["status"], &json["orphaned"]["records"][0]["id"]), (&json!("different"), &json!("orphan")));
    assert!(ends(folder.path(), &["reconcile", "--repair"], &url, 3).await.contains("3 mended"));
    assert!(ends(folder.path(), &["reconcile"], &url, 0).await.contains("compared, 0 passed over, 0 mended"));
    ends(folder.path(), &["reconcile", "--remove-legacy"], &url, 2).await;
    assert!(ends(folder.path(), &["sync", "rebase"], &url, 0).await.contains("0 mended"));
    assert!(ends(folder.path(), &["reconcile"], &url, 0).await.contains("compared, 0 passed over, 0 mended"));
}

#[tokio::test]
async fn the_command_names_the_index_and_spells_out_what_would_move_the_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    std::fs::write(folder.path().join("a.md"), "# One\n\nA paragraph.\n").unwrap();
    ends(folder.path(), &["import", "a.md", "--export"], &url, 0).await;
    let odd = "nl\nx\u{1b}[31m";
    with_index(&url, async |index| {
        let ids = index.list("default", None, 10).await.unwrap().ids;
        let mut record = index.fetch("default", &ids).await.unwrap().remove(0);
        record.id = odd.to_owned();
        record.metadata = "{}".to_owned();
        index.upsert("default", vec![record]).await.unwrap();
    })
    .await;
    let told = quick(folder.path(), &["reconcile"], &url).output().await.unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.lines().any(|line| line == "compared with the local index, namespace default"), "{told}");
    assert!(told.contains(r"  nl\nx\u{1b}[31m in default") && !told.contains('\u{1b}'), "{told:?}");
    let json = quick(folder.path(), &["reconcile", "--json"], &url).output().await.unwrap();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let ids = ["foreign", "legacy", "orphaned"].map(|class| json[class]["records"][0]["id"].clone());
    assert!(ids.contains(&json!(odd)), "{json}");
    // The timings that its check keeps are its flags.
    let flags = ["reconcile", "--sync-timeout-s", "0.2", "--sync-doubt-s", "0.3", "--json"];
    let output = corpusd(folder.path(), &flags).env("DATABASE_URL", &url).output().await.unwrap();
    assert_ne!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn beside_a_server_the_command_queues_its_check_there() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    std::fs::write(folder.path().join("a.md"), "# One\n\nA paragraph.\n").unwrap();
    let serving = Serving::start(quick(folder.path(), &["serve", "--port", "0"], &url)).await;
    ends(folder.path(), &["import", "a.md", "--export"], &url, 0).await;
    assert!(ends(folder.path(), &["reconcile"], &url, 0).await.starts_with("1 compared"));
    assert_eq!(serving.stop().await.code(), Some(0));
}

#[tokio::test]
async fn a_rest_client_reads_its_writes() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), rows::nested()).await.unwrap();
    test.sync_until_idle().await;
    let revision = async |method: &str, path: &str, body: Option<Value>| {
        let answer = test.rest(method, path, body).await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.text);
        let header = answer.headers.get("x-corpus-revision").unwrap_or_else(|| panic!("{method} {path}"));
        header.to_str().unwrap().parse::<i64>().unwrap()
    };
    let mut last = 0;
    for (method, path, body) in [
        ("POST", "/api/documents", json!({ "title": "T" })),
        ("PUT", "/api/documents/d", json!({ "title": "U" })),
        ("POST", "/api/documents/d/chunks", json!({ "chunk_index": 7, "text": "t" })),
        ("POST", "/api/documents/d/chunks/batch", json!([{ "chunk_index": 8, "text": "t" }])),
        ("PUT", "/api/chunks/c", json!({ "text": "u" })),
        ("POST", "/api/chunks/c/embeddings", json!({ "vector": [1.0, 3.0] })),
        ("PUT", "/api/embeddings/e", json!({ "vector": [1.0, 2.0] })),
        ("POST", "/api/dashboard/document/d/duplicate", Value::Null),
        ("POST", "/api/pinecone/export/document/d", Value::Null),
        ("POST", "/api/pinecone/export/unsynced", Value::Null),
        ("POST", "/api/pinecone/export/batch", json!(["e"])),
        ("DELETE", "/api/pinecone/vectors", json!(["e"])),
        ("POST", "/api/pinecone/reconcile", Value::Null),
        ("DELETE", "/api/embeddings/e", Value::Null),
        ("DELETE", "/api/chunks/c", Value::Null),
        ("POST", "/api/dashboard/documents/batch-delete", json!(["d"])),
    ] {
        let told = revision(method, path, Some(body).filter(|body| !body.is_null())).await;
        assert!(told >= last && told > 0, "{method} {path}: {told} after {last}");
        last = told;
    }
    // Behind its own write, the index says so; once it has it, the search does not miss it.
    let document = test.rest("POST", "/api/documents", Some(json!({ "title": "V" }))).await.json();
    let path = format!("/api/documents/{}/chunks", document["id"].as_str().unwrap());
    let chunk = test.rest("POST", &path, Some(json!({ "chunk_index": 0, "text": "t" }))).await.json();
    let path = format!("/api/chunks/{}/embeddings", chunk["id"].as_str().unwrap());
    let made = test.rest("POST", &path, Some(json!({ "vector": [0.5, 0.5] }))).await;
    let now: i64 = made.headers["x-corpus-revision"].to_str().unwrap().parse().unwrap();
    let asked = json!({ "vector": [0.5, 0.5] });
    // Without an engine nothing comes: it waits as long as it was told, and says that it is behind.
    let request = axum::http::Request::builder()
        .method("POST")
        .uri(format!("/api/pinecone/search?wait_for={now}&wait_ms=0"))
        .header("content-type", "application/json")
        .body(axum::body::Body::from(asked.to_string()))
        .unwrap();
    let behind = tower::ServiceExt::oneshot(corpusd::server::router(test.app.clone()), request).await.unwrap();
    let behind = axum::body::to_bytes(behind.into_body(), usize::MAX).await.unwrap();
    let behind: Value = serde_json::from_slice(&behind).unwrap();
    assert_eq!(behind["stale"], true, "{behind}");
    let fresh = test.rest("POST", &format!("/api/pinecone/search?wait_for={now}"), Some(asked.clone())).await.json();
    assert_eq!((&fresh["stale"], &fresh["matches"][0]["id"]), (&json!(false), &made.json()["id"]), "{fresh}");
    let plain = test.rest("POST", "/api/pinecone/search", Some(asked.clone())).await.json();
    assert_eq!(plain.get("stale"), None);
    let stats = test.rest("GET", "/api/pinecone/index/stats", None).await;
    let header = |name: &str| stats.headers[name].to_str().unwrap().to_owned();
    assert!(header("x-corpus-synced-through").parse::<i64>().unwrap() >= now);
    assert_eq!(header("x-corpus-lag-seconds"), "0.000");
    for (query, field) in [("wait_for=-1", "wait_for"), ("wait_for=x", "wait_for"), ("wait_ms=60001", "wait_ms")] {
        let refused = test.rest("POST", &format!("/api/pinecone/search?{query}"), Some(asked.clone())).await;
        assert_eq!((refused.status, &refused.json()["detail"][0]["loc"]), (422, &json!(["query", field])));
    }
}

#[tokio::test]
async fn every_mutation_answers_with_a_revision() {
    let test = TestApp::new().await;
    documents::create(test.cx(), rows::nested()).await.unwrap();
    for mutation in [
        "createDocument(input: { title: \"T\" }) { document { id } }",
        "updateDocument(input: { id: \"d\", title: \"U\" }) { document { id } }",
        "updateDocument(input: { id: \"d\" }) { document { id } }",
        "duplicateDocument(input: { id: \"d\" }) { document { id } }",
        "createChunks(input: { documentId: \"d\", chunks: [{ text: \"t\" }] }) { chunks { id } }",
        "updateChunk(input: { id: \"c\", text: \"u\" }) { chunk { id } }",
        "createEmbeddings(input: { embeddings: [{ chunkId: \"c\", vector: [1, 2] }] }) { embeddings { id } }",
        "updateEmbedding(input: { id: \"e\", vector: [2, 1] }) { embedding { id } }",
        "startSync(input: { scope: { unsynced: true } }) { started }",
        "reconcile(input: {}) { job { id } }",
        "retryQuarantined(input: {}) { count }",
        "deleteVectors(input: { vectorIds: [\"e\"] }) { deletedCount }",
        "deleteEmbedding(input: { id: \"e\" }) { id }",
        "deleteChunk(input: { id: \"c\" }) { id }",
        "restoreChunk(input: { id: \"c\" }) { chunk { id } }",
        "deleteDocument(input: { id: \"d\" }) { id }",
        "restoreDocument(input: { id: \"d\" }) { document { id } }",
        "deleteDocuments(input: { ids: [\"d\"] }) { deletedCount }",
    ] {
        let answer = test.graphql(&format!("mutation {{ {mutation} }}"), Value::Null).await;
        assert!(answer["errors"].is_null(), "{mutation}: {answer}");
        let revision =
            answer["extensions"]["corpusRevision"].as_str().unwrap_or_else(|| panic!("{mutation}: {answer}"));
        assert!(revision.parse::<i64>().unwrap() > 0, "{mutation}: {answer}");
    }
}
