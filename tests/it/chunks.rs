//! Chunks, through the service.

use std::time::Duration;

use corpusd::error::Code;
use corpusd::service::Delete;
use corpusd::service::MetadataMode;
use corpusd::service::Patch;
use corpusd::service::chunks;
use corpusd::service::chunks::ChunkPatch;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use corpusd::service::embeddings;

use crate::support::TestApp;
use crate::support::rows::chunk;
use crate::support::rows::code;
use crate::support::rows::document;
use crate::support::rows::embedding;
use crate::support::rows::flaws;
use crate::support::rows::json;
use crate::support::rows::log;
use crate::support::rows::nested;
use crate::support::rows::slots;

async fn exporting() -> TestApp {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), nested()).await.expect("a document");
    test
}

async fn revision(test: &TestApp) -> i64 {
    documents::get(test.cx(), "d").await.expect("the document").revision
}

fn text(text: &str) -> ChunkPatch {
    ChunkPatch { text: Patch::Set(text.to_owned()), ..ChunkPatch::default() }
}

#[tokio::test]
async fn chunks_are_created_in_request_order_and_all_or_none() {
    let test = exporting().await;
    let new = vec![
        chunk("z"),
        NewChunk { chunk_index: Some(7), embeddings: vec![embedding("e2")], ..chunk("y") },
        NewChunk { metadata: Some(json(r#"{"b":1,"a":2}"#)), ..chunk("x") },
    ];
    let made = chunks::create(test.cx(), "d", new).await.unwrap();
    let told: Vec<_> = made.iter().map(|row| (row.id.as_str(), row.chunk_index)).collect();
    assert_eq!(told, [("z", 1), ("y", 7), ("x", 8)]);
    assert_eq!(made[2].metadata.as_deref(), Some(r#"{"b":1,"a":2}"#));
    assert_eq!(chunks::get(test.cx(), "x").await.unwrap(), made[2]);
    assert_eq!(slots(&test).await, ["default/e: present", "default/e2: present"]);
    assert_eq!(revision(&test).await, 2);
    assert_eq!(log(&test).await, ["DOCUMENT_CREATED d", "CHUNK_CREATED z", "CHUNK_CREATED y", "CHUNK_CREATED x"]);

    let refused = chunks::create(test.cx(), "d", vec![chunk("w"), chunk("z")]).await;
    assert_eq!(refused.unwrap_err().to_string(), "chunks.1.id: already taken");
    assert_eq!(code(chunks::get(test.cx(), "w").await), Code::NotFound);
    assert_eq!(chunks::create(test.cx(), "d", Vec::new()).await.unwrap().len(), 0);
    assert_eq!(revision(&test).await, 2);
}

#[tokio::test]
async fn there_is_no_place_after_the_greatest_index() {
    let test = exporting().await;
    let last = NewChunk { chunk_index: Some(i64::from(i32::MAX)), ..chunk("last") };
    let refused = chunks::create(test.cx(), "d", vec![last, chunk("after")]).await;
    assert_eq!(flaws(refused), ["chunks.1.chunk_index: Input should be less than or equal to 2147483647"]);
    assert_eq!(code(chunks::get(test.cx(), "last").await), Code::NotFound);
}

#[tokio::test]
async fn a_thousand_chunks_fit_into_one_command() {
    let test = TestApp::new().await;
    documents::create(test.cx(), document("d")).await.unwrap();
    let new = (0..1000)
        .map(|i| {
            let below = (0..4).map(|j| embedding(&format!("e{i}.{j}"))).collect();
            NewChunk { embeddings: below, ..chunk(&format!("c{i}")) }
        })
        .collect();
    let made = chunks::create(test.cx(), "d", new).await.unwrap();
    assert_eq!(made.last().map(|row| row.chunk_index), Some(999));
    assert_eq!(embeddings::get(test.cx(), "e999.3").await.unwrap().chunk_id, "c999");
}

#[tokio::test]
async fn a_changed_chunk_makes_its_records_due_and_an_unchanged_one_does_not() {
    let test = exporting().await;
    let before = chunks::get(test.cx(), "c").await.unwrap();
    test.clock.advance(Duration::from_secs(1));
    let patch = ChunkPatch {
        chunk_index: Patch::Set(3),
        metadata: Patch::Set(json(r#"{"a":null}"#)),
        metadata_mode: MetadataMode::Merge,
        ..text("GRO\u{df} new")
    };
    let after = chunks::update(test.cx(), "c", patch.clone()).await.unwrap();
    assert_eq!((after.chunk_index, after.text_folded.as_str()), (3, "gross new"));
    assert_eq!(after.metadata.as_deref(), Some(r#"{"a":null}"#));
    assert_eq!((after.created_at, after.updated_at - before.updated_at), (before.created_at, 1_000_000));
    assert_eq!(chunks::get(test.cx(), "c").await.unwrap(), after);
    let touched = wanted(&test).await;
    assert_eq!((touched, revision(&test).await), (2, 2));
    assert_eq!(chunks::update(test.cx(), "c", patch).await.unwrap(), after);
    assert_eq!((wanted(&test).await, revision(&test).await), (2, 2));
    assert_eq!(log(&test).await, ["DOCUMENT_CREATED d", "CHUNK_UPDATED c"]);
}

/// The revision that the one slot wants.
async fn wanted(test: &TestApp) -> i64 {
    use corpusd::entity::sync_slot;
    use sea_orm::EntityTrait;
    let rows = sync_slot::Entity::find().all(test.cx().read()).await.expect("the slots");
    assert_eq!(rows.len(), 1);
    rows[0].want_rev
}

#[tokio::test]
async fn what_a_chunk_must_have_cannot_be_cleared() {
    let test = exporting().await;
    let patch = ChunkPatch { chunk_index: Patch::Clear, text: Patch::Clear, ..ChunkPatch::default() };
    let refused = flaws(chunks::update(test.cx(), "c", patch).await);
    assert_eq!(refused, ["chunk_index: cannot be cleared", "text: cannot be cleared"]);
    let bad = ChunkPatch { chunk_index: Patch::Set(i64::MIN), metadata: Patch::Set(json("1")), ..text("a\0") };
    let told = [
        "chunk_index: Input should be greater than or equal to 0",
        "text: must not contain U+0000",
        "metadata: Input should be a valid dictionary",
    ];
    assert_eq!(flaws(chunks::update(test.cx(), "c", bad).await), told);
    let cleared = ChunkPatch { metadata: Patch::Clear, ..ChunkPatch::default() };
    assert_eq!(chunks::update(test.cx(), "c", cleared).await.unwrap().metadata.as_deref(), Some("{}"));
}

#[tokio::test]
async fn a_deleted_chunk_takes_its_records_along_and_brings_them_back() {
    let test = exporting().await;
    chunks::delete(test.cx(), "c", Delete::Soft).await.unwrap();
    chunks::delete(test.cx(), "c", Delete::Soft).await.unwrap();
    assert_eq!(slots(&test).await, ["default/e: absent"]);
    assert_eq!(code(chunks::get(test.cx(), "c").await), Code::NotFound);
    assert_eq!(code(chunks::update(test.cx(), "c", text("b")).await), Code::NotFound);
    assert_eq!(code(embeddings::get(test.cx(), "e").await), Code::NotFound);
    assert_eq!(revision(&test).await, 2);
    let row = chunks::restore(test.cx(), "c").await.unwrap();
    assert_eq!(chunks::restore(test.cx(), "c").await.unwrap(), row);
    assert_eq!(slots(&test).await, ["default/e: present"]);
    assert_eq!(revision(&test).await, 3);
    chunks::delete(test.cx(), "c", Delete::Hard).await.unwrap();
    assert_eq!(slots(&test).await, ["default/e: absent"]);
    assert_eq!(code(chunks::restore(test.cx(), "c").await), Code::NotFound);
    assert_eq!(code(chunks::delete(test.cx(), "c", Delete::Hard).await), Code::NotFound);
    let told = ["DOCUMENT_CREATED d", "CHUNK_DELETED c", "CHUNK_RESTORED c", "CHUNK_DELETED c"];
    assert_eq!(log(&test).await, told);
}

#[tokio::test]
async fn below_a_deleted_document_a_chunk_can_only_be_restored_or_deleted_for_good() {
    let test = exporting().await;
    chunks::create(test.cx(), "d", vec![chunk("other")]).await.unwrap();
    chunks::delete(test.cx(), "c", Delete::Soft).await.unwrap();
    documents::delete(test.cx(), "d", Delete::Soft).await.unwrap();
    assert_eq!(code(chunks::create(test.cx(), "d", vec![chunk("new")]).await), Code::NotFound);
    assert_eq!(code(chunks::create(test.cx(), "d", Vec::new()).await), Code::NotFound);
    assert_eq!(code(chunks::get(test.cx(), "other").await), Code::NotFound);
    assert_eq!(code(chunks::update(test.cx(), "other", text("b")).await), Code::NotFound);
    assert_eq!(code(chunks::delete(test.cx(), "other", Delete::Soft).await), Code::NotFound);
    chunks::delete(test.cx(), "other", Delete::Hard).await.unwrap();
    chunks::restore(test.cx(), "c").await.unwrap();
    assert_eq!(slots(&test).await, ["default/e: absent"]);
    documents::restore(test.cx(), "d").await.unwrap();
    assert_eq!(slots(&test).await, ["default/e: present"]);
}

#[tokio::test]
async fn an_id_with_a_nul_is_not_found() {
    let test = TestApp::new().await;
    let id = "a\0b";
    assert_eq!(code(chunks::get(test.cx(), id).await), Code::NotFound);
    assert_eq!(code(chunks::create(test.cx(), id, vec![chunk("c")]).await), Code::NotFound);
    assert_eq!(code(chunks::update(test.cx(), id, text("b")).await), Code::NotFound);
    assert_eq!(code(chunks::delete(test.cx(), id, Delete::Hard).await), Code::NotFound);
    assert_eq!(code(chunks::restore(test.cx(), id).await), Code::NotFound);
    assert_eq!(code(documents::get(test.cx(), id).await), Code::NotFound);
    assert_eq!(code(documents::restore(test.cx(), id).await), Code::NotFound);
    assert_eq!(code(documents::delete(test.cx(), id, Delete::Soft).await), Code::NotFound);
    assert_eq!(code(embeddings::get(test.cx(), id).await), Code::NotFound);
    assert_eq!(code(embeddings::delete(test.cx(), id).await), Code::NotFound);
    assert_eq!(code(embeddings::create(test.cx(), vec![(id.to_owned(), embedding("e"))]).await), Code::NotFound);
}

#[tokio::test]
async fn chunks_added_at_once_get_different_places() {
    let test = TestApp::new().await;
    documents::create(test.cx(), NewDocument { ..document("d") }).await.unwrap();
    let writes = (0..20).map(|i| chunks::create(test.cx(), "d", vec![chunk(&format!("c{i}"))]));
    let made = futures_util::future::join_all(writes).await;
    let mut places: Vec<i64> = made.into_iter().map(|made| made.unwrap()[0].chunk_index).collect();
    places.sort_unstable();
    assert_eq!(places, (0..20).collect::<Vec<i64>>());
    assert_eq!(revision(&test).await, 21);
}
