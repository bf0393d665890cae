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
