//! The dashboard: counts, activity, export, duplicate, batch delete and search.

use corpusd::service::activity;
use corpusd::service::dashboard;
use corpusd::service::namespaces;
use corpusd::store::stats::TextLength;
use sea_orm::ConnectionTrait as _;

use crate::support::START_US;
use crate::support::TestApp;

/// A live document with a live and a deleted chunk, and a deleted document with a chunk; every
/// chunk has an embedding that is on the index, and the live one has a second that is not.
async fn corpus() -> TestApp {
    let test = TestApp::new().await;
    let done = test.cx().write(|tx| {
        Box::pin(async move {
            let now = START_US;
            let mut sql = format!(
                "INSERT INTO sync_targets (id, name, kind, identity, state, metric)
                   VALUES (1, 'default', 'local', 'x', 'active', 'cosine') ON CONFLICT DO NOTHING;
                 INSERT INTO documents VALUES ('d1', 'default', 'One', NULL, '{{}}', 1, {now}, {now}, NULL, 'one', '');
                 INSERT INTO documents VALUES ('d2', 'other', 'Two', 'two.txt', '{{}}', 1, {now}, {now}, {now}, 'two', '');
                 INSERT INTO documents VALUES ('d3', 'other', 'Bare', NULL, '{{}}', 1, {now}, {now}, NULL, 'bare', '');
                 INSERT INTO chunks VALUES ('c1', 'd1', 0, 'Crème', '{{}}', {now}, {now}, NULL, 'crème');
                 INSERT INTO chunks VALUES ('c2', 'd1', 1, 'gone', '{{}}', {now}, {now}, {now}, 'gone');
                 INSERT INTO chunks VALUES ('c3', 'd2', 0, 'below', '{{}}', {now}, {now}, NULL, 'below');",
            );
            for (id, chunk, document) in [("e1", "c1", "d1"), ("e2", "c1", "d1"), ("e3", "c2", "d1"), ("e4", "c3", "d2")] {
                let postgres = tx.get_database_backend() == sea_orm::DbBackend::Postgres;
                let (vector, no) = if postgres { ("'\\x0000803f'", "FALSE") } else { ("x'0000803f'", "0") };
                sql.push_str(&format!(
                    "INSERT INTO embeddings VALUES ('{id}', '{chunk}', '{document}', NULL, '{id}', {no}, 1, {now}, {now}, {vector});"
                ));
            }
            for (id, document, namespace, want) in
                [("e1", "d1", "default", "present"), ("e3", "d1", "default", "absent"), ("e4", "d2", "other", "absent")]
            {
                sql.push_str(&format!(
                    "INSERT INTO sync_slots (target_id, namespace, vector_id, embedding_id, document_id, want, want_rev,
                       acked_rev, acked_hash, acked_gen, acked_at, updated_at)
                     VALUES (1, '{namespace}', '{id}', '{id}', '{document}', '{want}', 1, 1, 'h', 1, {now}, {now});"
                ));
            }
            for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
                tx.execute_unprepared(statement).await?;
            }
            Ok(())
        })
    });
    done.await.expect("the rows are written");
    test
}

#[tokio::test]
async fn counts_leave_out_what_is_deleted_or_below_something_deleted() {
    let test = corpus().await;
    let found =
        dashboard::document_stats_many(test.cx(), &["d1", "d2", "d3", "no"], TextLength::Measure).await.unwrap();
    assert_eq!(found.len(), 2);
    let one = found["d1"];
    assert_eq!((one.chunks, one.embeddings, one.synced, one.text_length), (1, 2, 1, 5));
    assert_eq!((one.average_chunk_length(), one.sync_percentage()), (Some(5.0), Some(50.0)));
    assert_eq!((found["d3"].average_chunk_length(), found["d3"].sync_percentage()), (None, None));
    let totals = dashboard::sync_status(test.cx()).await.unwrap();
    assert_eq!((totals.documents, totals.chunks, totals.embeddings, totals.synced), (2, 1, 2, 1));
    let spaces = namespaces::list(test.cx()).await.unwrap();
    let names: Vec<_> =
        spaces.iter().map(|(name, totals)| (name.as_str(), totals.documents, totals.embeddings)).collect();
    assert_eq!(names, [("default", 1, 2), ("other", 1, 0)]);
    let lately = activity::list(test.cx(), 1, 10).await.unwrap();
    let ids = |rows: &[corpusd::store::stats::Recent]| {
        rows.iter().map(|row| (row.id.clone(), row.synced)).collect::<Vec<_>>()
    };
    assert_eq!(ids(&lately.documents), [("d3".to_owned(), false), ("d1".to_owned(), false)]);
    assert_eq!(ids(&lately.chunks), [("c1".to_owned(), false)]);
    assert_eq!(ids(&lately.embeddings), [("e2".to_owned(), false), ("e1".to_owned(), true)]);
}

#[tokio::test]
async fn the_overview_is_two_statements_that_read_no_text_and_no_vector() {
    let test = corpus().await;
    let statements = test.cx().db().statements();
    statements.listen();
    let overview = dashboard::overview(test.cx()).await.unwrap();
    let heard = statements.heard();
    assert_eq!(overview.documents.len(), 2);
    assert_eq!(heard.len(), 2, "{heard:?}");
    for text in heard {
        assert!(!text.contains("text") && !text.contains(".vector "), "{text}");
    }
}

#[tokio::test]
async fn the_overview_has_the_documented_body() {
    let test = corpus().await;
    let answer = test.rest("GET", "/api/dashboard/overview", None).await;
    assert_eq!(answer.status, 200);
    let status = r#"{"total_documents":2,"total_chunks":1,"total_embeddings":2,"synced_embeddings":1,"unsynced_embeddings":1,"sync_percentage":50.0,"last_updated":"2026-01-01T00:00:00"}"#;
    let times = r#""created_at":"2026-01-01T00:00:00","updated_at":"2026-01-01T00:00:00""#;
    assert_eq!(
        answer.text,
        format!(
            r#"{{"sync_status":{status},"documents":[{{"id":"d1","title":"One","source":null,{times},"chunks":1,"embeddings":2,"synced":1,"status":"partial"}},{{"id":"d3","title":"Bare","source":null,{times},"chunks":0,"embeddings":0,"synced":0,"status":"unsynced"}}],"total_documents":2}}"#
        )
    );
    assert_eq!(test.rest("GET", "/api/dashboard/sync-status/", None).await.text, status);
}

#[tokio::test]
async fn the_statistics_of_a_document_have_the_documented_body() {
    let test = corpus().await;
    let times = r#""created_at":"2026-01-01T00:00:00","updated_at":"2026-01-01T00:00:00""#;
    assert_eq!(
        test.rest("GET", "/api/dashboard/document/d1/stats", None).await.text,
        format!(
            r#"{{"document_id":"d1","title":"One","source":null,{times},"chunk_count":1,"embedding_count":2,"synced_embeddings":1,"unsynced_embeddings":1,"total_text_length":5,"average_chunk_length":5.0,"sync_percentage":50.0}}"#
        )
    );
    let bare = test.rest("GET", "/api/dashboard/document/d3/stats", None).await;
    assert!(
        bare.text.ends_with(r#""total_text_length":0,"average_chunk_length":0,"sync_percentage":0}"#),
        "{}",
        bare.text
    );
    let gone = test.rest("GET", "/api/dashboard/document/d2/stats", None).await;
    assert_eq!((gone.status, gone.json()["detail"].as_str()), (404, Some("Document not found")));
}

#[tokio::test]
async fn an_exported_document_has_its_vectors_when_they_are_asked_for() {
    let test = corpus().await;
    let times = r#""created_at":"2026-01-01T00:00:00","updated_at":"2026-01-01T00:00:00""#;
    let body = |vector: &str| {
        format!(
            r#"{{"document":{{"id":"d1","title":"One","source":null,"metadata":{{}},{times}}},"chunks":[{{"id":"c1","index":0,"text":"Crème","metadata":{{}},"embeddings":[{{"id":"e1","model":null,"pinecone_id":"e1","is_synced":true,"vector_length":1{vector}}},{{"id":"e2","model":null,"pinecone_id":null,"is_synced":false,"vector_length":1{vector}}}]}}],"statistics":{{"document_id":"d1","title":"One","source":null,{times},"chunk_count":1,"embedding_count":2,"synced_embeddings":1,"unsynced_embeddings":1,"total_text_length":5,"average_chunk_length":5.0,"sync_percentage":50.0}}}}"#
        )
    };
    assert_eq!(test.rest("GET", "/api/dashboard/document/d1/export", None).await.text, body(""));
    let with = test.rest("GET", "/api/dashboard/document/d1/export?include_vectors=true", None).await;
    assert_eq!(with.text, body(r#","vector":[1.0]"#));
}

#[tokio::test]
async fn a_search_takes_letters_as_they_are_and_limits_each_list() {
    let test = corpus().await;
    let found = test.rest("GET", "/api/dashboard/search?query=CR%C3%88ME", None).await;
    assert_eq!(
        found.text,
        r#"{"query":"CRÈME","result_count":1,"results":[{"type":"chunk","document_id":"d1","document_title":"One","chunk_id":"c1","chunk_index":0,"text_preview":"Crème","full_text":"Crème"}]}"#
    );
    for wild in ["%25", "_", "gone", "below", "two"] {
        let found = test.rest("GET", &format!("/api/dashboard/search?query={wild}"), None).await;
        assert_eq!(found.json()["result_count"], 0, "{wild}");
    }
    let both = test.rest("GET", "/api/dashboard/search?query=e&limit=1", None).await;
    let kinds: Vec<_> =
        both.json()["results"].as_array().expect("hits").iter().map(|hit| hit["type"].clone()).collect();
    assert_eq!(kinds, ["chunk", "document"]);
    let empty = test.rest("GET", "/api/dashboard/search?query=", None).await;
    assert_eq!((empty.status, empty.json()["detail"].as_str()), (400, Some("Search query required")));
    let missing = test.rest("GET", "/api/dashboard/search?limit=-1", None).await;
    assert_eq!(missing.status, 422);
    let loc: Vec<_> =
        missing.json()["detail"].as_array().expect("a list").iter().map(|item| item["loc"][1].clone()).collect();
    assert_eq!(loc, ["query", "limit"]);
}

#[tokio::test]
async fn activity_has_each_kind_newest_first_within_the_days() {
    let test = corpus().await;
    let lately = test.rest("GET", "/api/dashboard/activity?limit=1", None).await;
    assert_eq!(
        lately.text,
        r#"{"documents":[{"id":"d3","title":"Bare","updated_at":"2026-01-01T00:00:00"}],"chunks":[{"id":"c1","document_id":"d1","updated_at":"2026-01-01T00:00:00"}],"embeddings":[{"id":"e2","chunk_id":"c1","updated_at":"2026-01-01T00:00:00","is_synced":false}]}"#
    );
    test.clock.advance(std::time::Duration::from_secs(2 * 86_400));
    let later = test.rest("GET", "/api/dashboard/activity?days=1", None).await;
    assert_eq!(later.text, r#"{"documents":[],"chunks":[],"embeddings":[]}"#);
    let ever = test.rest("GET", "/api/dashboard/activity?days=9223372036854775807", None).await;
    assert_eq!(ever.json()["documents"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_copy_has_the_live_chunks_and_embeddings_as_new_rows_that_are_not_on_the_index() {
    let test = corpus().await;
    let made = test.rest("POST", "/api/dashboard/document/d1/duplicate", None).await;
    let body = made.json();
    let copy = body["duplicate_id"].as_str().expect("an id");
    assert_eq!(
        (made.status, made.text.as_str()),
        (
            200,
            format!(
                r#"{{"status":"success","original_id":"d1","duplicate_id":"{copy}","duplicate_title":"One (Copy)"}}"#
            )
            .as_str()
        )
    );
    let export =
        test.rest("GET", &format!("/api/dashboard/document/{copy}/export?include_vectors=1"), None).await.json();
    assert_eq!(export["chunks"].as_array().map(Vec::len), Some(1));
    assert_eq!(export["chunks"][0]["text"], "Crème");
    for embedding in export["chunks"][0]["embeddings"].as_array().expect("embeddings") {
        assert_eq!((&embedding["pinecone_id"], &embedding["is_synced"]), (&serde_json::Value::Null, &false.into()));
        assert_eq!(embedding["vector"], serde_json::json!([1.0]));
    }
    assert_eq!(export["statistics"]["embedding_count"], 2);
    let empty = test.rest("POST", "/api/dashboard/document/d3/duplicate?new_title=", None).await;
    assert_eq!(empty.json()["duplicate_title"], "Bare (Copy)");
    let long = format!("/api/dashboard/document/d3/duplicate?new_title={}", "x".repeat(256));
    let long = test.rest("POST", &long, None).await;
    assert_eq!((long.status, &long.json()["detail"][0]["loc"]), (422, &serde_json::json!(["query", "new_title"])));
    let gone = test.rest("POST", "/api/dashboard/document/d2/duplicate", None).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn a_copy_of_the_longest_title_is_cut() {
    let test = TestApp::new().await;
    let made = test.rest("POST", "/api/documents", Some(serde_json::json!({ "title": "é".repeat(255) }))).await;
    let path = format!("/api/dashboard/document/{}/duplicate", made.json()["id"].as_str().expect("an id"));
    let copy = test.rest("POST", &path, None).await.json();
    let title = copy["duplicate_title"].as_str().expect("a title");
    assert!(title.chars().count() <= 255 && title.starts_with('é'), "{title}");
}

#[tokio::test]
async fn a_batch_of_deletes_tells_which_ids_failed() {
    let test = corpus().await;
    let body = serde_json::json!({ "doc_ids": ["d1", "no", "d1", "nul\0"] });
    let first = test.rest("POST", "/api/dashboard/documents/batch-delete", Some(body)).await;
    assert_eq!(first.text, r#"{"deleted_count":1,"failed_count":2,"failed_ids":["no","nul\u0000"],"total":3}"#);
    let second = test
        .rest("POST", "/api/dashboard/documents/batch-delete?hard_delete=true", Some(serde_json::json!(["d1", "d3"])))
        .await;
    assert_eq!(second.text, r#"{"deleted_count":2,"failed_count":0,"failed_ids":[],"total":2}"#);
    assert_eq!(
        test.rest("GET", "/api/documents?include_deleted=true", None).await.json().as_array().map(Vec::len),
        Some(1)
    );
}
