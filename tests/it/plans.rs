//! Plans: every list is served by an index in its order, on a database without statistics.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;

use corpusd::service::jobs;
use corpusd::service::jobs::Scope;
use corpusd::store::claims::Ack;
use corpusd::store::claims::Ticket;
use corpusd::store::sql::Sql;
use corpusd::sync::database::Database;
use corpusd::sync::perform::Claim;
use corpusd::sync::ports::Store as _;
use sea_orm::ConnectionTrait as _;

use crate::graph::data;
use crate::graph::fill;
use crate::support::TestApp;
use crate::support::rows;

/// The statements of a query, by their texts.
async fn heard(test: &TestApp, query: &str, variables: &Value) -> Vec<String> {
    test.cx().db().statements().listen();
    data(test, query, variables.clone()).await;
    test.cx().db().statements().heard()
}

/// What PostgreSQL's planner may do. SQLite's has no choice that depends on the rows, without statistics.
#[derive(Clone, Copy, PartialEq)]
enum Planner {
    /// A small table is cheapest to scan: here it must be shown that an index can serve the statement, whatever
    /// its values are.
    Bound,
    /// What it likes best. A join may hash the documents, which are fifteen pages here; nothing that holds twenty
    /// times as many rows is read whole, and nothing is sorted.
    Free,
}

/// The plan of a statement whose values are not known: one line a step.
async fn plan(test: &TestApp, sql: &str, planner: Planner) -> Vec<String> {
    let conn = test.cx().read();
    let mut explain = Sql::new(conn);
    if explain.is_postgres() {
        let values = (1..=60).rev().find(|place| sql.contains(&format!("${place}"))).unwrap_or(0);
        let arguments = if values == 0 { String::new() } else { format!("({})", vec!["NULL"; values].join(", ")) };
        let bound = match planner {
            Planner::Bound => {
                "SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off; \
                 SET enable_hashjoin = off; SET enable_mergejoin = off;"
            }
            Planner::Free => "",
        };
        let setup = format!("{bound} SET plan_cache_mode = force_generic_plan; PREPARE stated AS {sql}");
        let mut connection =
            conn.pool().expect("PostgreSQL").get_postgres_connection_pool().acquire().await.expect("a connection");
        sqlx::raw_sql(sqlx::AssertSqlSafe(setup)).execute(&mut *connection).await.expect("settings");
        let rows: Vec<(String,)> = sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN EXECUTE stated{arguments}")))
            .fetch_all(&mut *connection)
            .await
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
        connection.close().await.expect("closed");
        rows.into_iter().map(|row| row.0).collect()
    } else {
        explain.push("EXPLAIN QUERY PLAN ").push(sql);
        let rows = conn.query_all_raw(explain.statement()).await.expect("a plan");
        rows.iter().map(|row| row.try_get_by_index::<String>(3).expect("a step")).collect()
    }
}

/// Whether a step reads a whole table, or sorts.
fn is_refused(step: &str) -> bool {
    let sqlite_scan = step.starts_with("SCAN ")
        && !step.contains("USING INDEX")
        && !step.contains("USING COVERING INDEX")
        && !step.contains("VIRTUAL TABLE")
        && !step.contains("CONSTANT ROW");
    let postgres_scan = step.contains("Seq Scan on") && !step.contains("sync_targets");
    sqlite_scan || step.contains("TEMP B-TREE FOR ORDER BY") || postgres_scan || step.contains("Sort ")
}

async fn check(test: &TestApp, query: &str, variables: Value) {
    check_with(test, query, variables, Planner::Bound).await;
}

async fn check_with(test: &TestApp, query: &str, variables: Value, planner: Planner) {
    for sql in heard(test, query, &variables).await {
        let plan = plan(test, &sql, planner).await;
        let hashed = |step: &str| planner == Planner::Free && step.contains("Seq Scan on documents");
        let refused: Vec<&String> = plan.iter().filter(|step| is_refused(step) && !hashed(step)).collect();
        assert!(refused.is_empty(), "{variables}\n{sql}\n{plan:#?}");
    }
}

#[tokio::test]
async fn every_list_is_read_by_an_index_in_its_order() {
    let test = TestApp::new().await;
    fill(&test, 3, 2).await;
    let documents = "query($first: Int, $after: String, $last: Int, $before: String, $filter: DocumentFilter, $order: DocumentOrder) {
        documents(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $order) {
            nodes { id } pageInfo { startCursor } } }";
    for field in ["CREATED_AT", "UPDATED_AT", "TITLE"] {
        for direction in ["ASC", "DESC"] {
            for deleted in ["LIVE", "DELETED", "ALL"] {
                let order = json!({"field": field, "direction": direction});
                let start = data(&test, documents, json!({"order": order})).await;
                let cursor = start["documents"]["pageInfo"]["startCursor"].clone();
                for page in [json!({}), json!({"first": 5, "after": cursor}), json!({"last": 5, "before": cursor})] {
                    for narrow in [
                        json!({}),
                        json!({"namespace": {"eq": "default"}}),
                        json!({"namespace": {"in": ["a", "b"]}}),
                        json!({"createdAt": {"gte": "2026-01-01T00:00:00Z"}}),
                        json!({"updatedAt": {"lt": "2026-01-01T00:00:00Z"}, "title": {"eq": "x"}}),
                        json!({"not": {"id": {"in": ["a"]}}, "sync": ["UNSYNCED"]}),
                        json!({"metadata": {"a": 1, "b": {"$ne": "x"}}}),
                        json!({"anyChunk": {"chunkIndex": {"eq": 1}}}),
                    ] {
                        let (mut variables, mut filter) = (page.clone(), narrow);
                        filter["deleted"] = json!(deleted);
                        variables["filter"] = filter;
                        variables["order"] = order.clone();
                        check(&test, documents, variables).await;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn everything_below_a_list_is_read_by_indexes() {
    let test = TestApp::new().await;
    fill(&test, 3, 3).await;
    let below = "query($first: Int, $after: String, $last: Int, $before: String, $filter: ChunkFilter) { documents(first: 3) { nodes {
        chunks(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
            totalCount pageInfo { startCursor } nodes {
                document { id } previous { id } next { id } embeddingCount
                a: embeddings { id vector } b: embeddings(model: \"odd\") { id sync { state } chunk { id } }
            } } sync { total } stats { chunkCount } } } }";
    let one = below.replace("documents(first: 3)", "documents(first: 1)");
    let start = data(&test, &one, json!({})).await;
    let cursor = start["documents"]["nodes"][0]["chunks"]["pageInfo"]["startCursor"].clone();
    for page in [json!({}), json!({"first": 5, "after": cursor}), json!({"last": 5, "before": cursor})] {
        // A cursor belongs to one document.
        let below = if page == json!({}) { below } else { one.as_str() };
        for filter in [json!({}), json!({"deleted": "ALL"}), json!({"chunkIndex": {"gte": 1}})] {
            let mut variables = page.clone();
            variables["filter"] = filter;
            check(&test, below, variables).await;
        }
    }
    let embeddings = "query($first: Int, $after: String, $last: Int, $before: String, $filter: EmbeddingFilter) {
        embeddings(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
            nodes { id vector } pageInfo { startCursor } } }";
    let start = data(&test, embeddings, json!({})).await;
    let cursor = start["embeddings"]["pageInfo"]["startCursor"].clone();
    for page in [json!({}), json!({"first": 5, "after": cursor}), json!({"last": 5, "before": cursor})] {
        for filter in [
            json!({}),
            json!({"documentId": "d00"}),
            json!({"chunkId": "d00c00"}),
            json!({"documentId": "d00", "chunkId": "d00c00", "model": "odd"}),
            json!({"synced": false}),
            json!({"state": "HELD"}),
        ] {
            let mut variables = page.clone();
            variables["filter"] = filter;
            check(&test, embeddings, variables).await;
        }
    }
    check(&test, "{ nodes(ids: [\"d00\", \"d00c00\", \"d00e00\", \"x\"]) { id } chunk(id: \"d00c00\") { id } embedding(id: \"d00e00\") { id } }", json!({})).await;
    for filter in [
        json!({}),
        json!({"documentId": "d00"}),
        json!({"state": ["QUARANTINED"]}),
        json!({"state": ["PENDING", "IN_FLIGHT"]}),
    ] {
        check(
            &test,
            "query($f: SyncSlotFilter) { syncSlots(filter: $f) { nodes { vectorId } } }",
            json!({"f": filter}),
        )
        .await;
    }
    for filter in [json!({}), json!({"state": ["RUNNING"], "kind": "EXPORT"})] {
        check(&test, "query($f: SyncJobFilter) { syncJobs(filter: $f) { nodes { id } } }", json!({"f": filter})).await;
    }
}

#[tokio::test]
async fn with_a_thousand_documents_the_planner_picks_those_indexes_by_itself() {
    let test = TestApp::new().await;
    rows::fill(test.cx().db(), 1000, false).await;
    let page = "query($after: String, $order: DocumentOrder, $filter: DocumentFilter) {
        documents(first: 20, after: $after, orderBy: $order, filter: $filter) { nodes { id } pageInfo { endCursor } } }";
    for field in ["CREATED_AT", "UPDATED_AT", "TITLE"] {
        for direction in ["ASC", "DESC"] {
            let order = json!({"field": field, "direction": direction});
            let start = data(&test, page, json!({"order": order})).await;
            let after = start["documents"]["pageInfo"]["endCursor"].clone();
            for variables in [json!({"order": order}), json!({"order": order, "after": after})] {
                check_with(&test, page, variables, Planner::Free).await;
            }
        }
    }
    let filter = json!({"namespace": {"eq": "default"}});
    check_with(&test, page, json!({"filter": filter}), Planner::Free).await;
    for query in [
        "{ documents(first: 20) { nodes { id title chunks(first: 10) { nodes { id chunkIndex text embeddings { id model isSynced } } } } } }",
        "{ document(id: \"d10500\") { id title chunks(first: 10, filter: { chunkIndex: { gte: 3 } }) { nodes { id } } } }",
        "{ embeddings(first: 20) { nodes { id } } }",
        "{ embeddings(first: 20, filter: { documentId: \"d10500\" }) { nodes { id } } }",
        "{ syncSlots(first: 20) { nodes { vectorId } } }",
        "{ syncJobs(first: 20) { nodes { id } } }",
    ] {
        check_with(&test, query, json!({}), Planner::Free).await;
    }
}

#[tokio::test]
async fn what_an_export_of_everything_touches_is_found_by_its_ids() {
    let test = TestApp::new().await;
    rows::fill(test.cx().db(), 1000, true).await;
    let statements = test.cx().db().statements();
    statements.listen();
    jobs::start(test.cx(), Scope::Unsynced).await.expect("started");
    let heard = statements.heard();
    // What is held is looked for first, of which there is little or nothing: not what all chunks hold.
    let (releases, others): (Vec<&String>, Vec<&String>) =
        heard.iter().partition(|sql| sql.contains("UPDATE embeddings SET held"));
    assert_eq!(releases.len(), 1);
    for sql in releases {
        let plan = plan(&test, sql, Planner::Bound).await;
        let all = |step: &String| step.starts_with("SCAN c ") || step.starts_with("SCAN d ");
        assert!(!plan.iter().any(all), "{sql}\n{plan:#?}");
        assert!(plan.iter().any(|step| step.contains("embeddings_held")), "{sql}\n{plan:#?}");
    }
    let touches: Vec<&String> = others.into_iter().filter(|sql| sql.starts_with("INSERT INTO sync_slots")).collect();
    assert!(!touches.is_empty());
    for sql in touches {
        let plan = plan(&test, sql, Planner::Free).await;
        let by_ids =
            plan.iter().any(|step| step.contains("embeddings_pkey") || step.contains("sqlite_autoindex_embeddings_1"));
        assert!(by_ids && !plan.iter().any(|step| is_refused(step) && step.contains("Scan")), "{sql}\n{plan:#?}");
    }
}

/// So many slots that are due, and no statistics.
async fn due(test: &TestApp, count: u32) {
    let fill = format!(
        "INSERT INTO sync_slots (target_id, namespace, vector_id, want, want_rev, due_at, dirty_epoch, dirty_rev, updated_at) \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
         SELECT 1, 'default', 'v' || i, 'absent', 1, i, 1, 0, 0 FROM n"
    );
    let fill = Arc::new(fill);
    let write = test.cx().db().write(move |tx| {
        let fill = fill.clone();
        Box::pin(async move {
            tx.execute_unprepared(&fill).await?;
            Ok(())
        })
    });
    write.await.expect("filled");
}

/// One claim of 1,000 slots, acknowledged; gives how long each took.
async fn round(test: &TestApp, number: u32) -> [Duration; 2] {
    let store = Database::new(test.cx().db().clone(), 1);
    let ticket = Ticket {
        target_id: 1,
        namespace: "default".to_owned(),
        token: format!("t{number}"),
        worker: "w".to_owned(),
        rev: 0,
    };
    let begin = Instant::now();
    let (at, claimed) = store.claim(&ticket, "absent", 1_000).await.expect("claimed");
    let claiming = begin.elapsed();
    assert_eq!(claimed.len(), 1_000);
    let ids: Vec<String> = claimed.iter().map(|slot| slot.vector_id.clone()).collect();
    assert_eq!(store.read(&ticket, &ids, 100).await.expect("read").len(), 1_000);
    let ack = |vector_id: &String| Ack {
        vector_id: vector_id.clone(),
        want_rev: 1,
        hash: "absent".to_owned(),
        lsn: None,
        sent: true,
    };
    let acks = ids.iter().map(ack).collect();
    let slots = claimed.into_iter().map(|slot| (slot.vector_id.clone(), slot)).collect();
    let claim = Arc::new(Claim { ticket, at, generation: 1, doubt_ms: 0, slots });
    let begin = Instant::now();
    store.acknowledge(&claim, acks).await.expect("acknowledged");
    [claiming, begin.elapsed()]
}

#[tokio::test]
async fn what_is_claimed_and_acknowledged_of_100_000_due_slots_is_found_by_indexes() {
    let test = TestApp::new().await;
    due(&test, 100_000).await;
    let statements = test.cx().db().statements();
    statements.listen();
    round(&test, 0).await;
    let heard: Vec<String> = statements.heard().into_iter().filter(|sql| sql.contains("sync_slots")).collect();
    assert!(heard.len() >= 3, "{heard:#?}");
    for sql in heard {
        let plan = plan(&test, &sql, Planner::Free).await;
        let whole = |step: &String| {
            step.contains("Seq Scan on sync_slots")
                || (step.starts_with("SCAN ") && step.contains("sync_slots"))
                || step.starts_with("SCAN s ")
        };
        assert!(!plan.iter().any(whole), "{sql}\n{plan:#?}");
        // Each slot by its whole key, not all of the namespace.
        let by_key = |step: &String| {
            step.contains("target_id=? AND namespace=? AND vector_id=?")
                || (step.contains("Index Cond") && step.contains("vector_id = "))
        };
        assert!(plan.iter().any(by_key), "{sql}\n{plan:#?}");
        let due = |step: &String| step.contains("sync_slots_due");
        assert!(!sql.contains("WITH due") || plan.iter().any(due), "{sql}\n{plan:#?}");
    }
}

/// For docs/testing.md: `cargo test --test it how_long_claims -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "measures, and asserts nothing"]
async fn how_long_claims_and_acknowledgements_of_100_000_due_slots_take() {
    let test = TestApp::new().await;
    due(&test, 100_000).await;
    let mut took = Vec::new();
    for number in 0..20 {
        took.push(round(&test, number).await);
    }
    for (what, place) in [("claim", 0), ("acknowledge", 1)] {
        let mut times: Vec<Duration> = took.iter().map(|times| times[place]).collect();
        times.sort_unstable();
        println!("{what} of 1,000: median {:?}, slowest {:?}", times[times.len() / 2], times[times.len() - 1]);
    }
}
