//! Documents, through the service.

use corpusd::error::Code;
use corpusd::service::Delete;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;

use crate::support::TestApp;

#[tokio::test]
async fn concurrent_writers_each_get_their_own_outcome() {
    let test = TestApp::new().await;
    let writes = (0..40).map(|i| {
        let cx = test.cx().for_request();
        async move {
            // Every fourth takes the same id.
            let id = if i % 4 == 0 { "same".to_owned() } else { format!("d{i}") };
            let new = NewDocument { id: Some(id), title: format!("Title {i}"), ..NewDocument::default() };
            let made = documents::create(&cx, new).await;
            (made.map_err(|error| error.code()), cx.committed())
        }
    });
    let outcomes = futures_util::future::join_all(writes).await;
    let conflicts = outcomes.iter().filter(|(made, _)| *made == Err(Code::Conflict)).count();
    assert_eq!(conflicts, 9);
    let mut revisions: Vec<i64> = outcomes.iter().filter_map(|(_, revision)| *revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=31).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_soft_deleted_document_is_not_found_and_a_hard_deleted_one_is_gone() {
    let test = TestApp::new().await;
    let new = NewDocument { title: "A".to_owned(), ..NewDocument::default() };
    let row = documents::create(test.cx(), new).await.unwrap();
    documents::delete(test.cx(), &row.id, Delete::Soft).await.unwrap();
    assert_eq!(documents::get(test.cx(), &row.id).await.unwrap_err().code(), Code::NotFound);
    documents::delete(test.cx(), &row.id, Delete::Hard).await.unwrap();
    let again = documents::delete(test.cx(), &row.id, Delete::Hard).await;
    assert_eq!(again.unwrap_err().code(), Code::NotFound);
}
