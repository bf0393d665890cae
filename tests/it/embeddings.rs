//! Embeddings, through the service.

use corpusd::error::Code;
use corpusd::service::Delete;
use corpusd::service::Patch;
use corpusd::service::chunks;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use corpusd::service::embeddings;
use corpusd::service::embeddings::EmbeddingPatch;
use corpusd::service::embeddings::NewEmbedding;
use corpusd::store::embeddings::Vectors;
use corpusd::store::vector;

use crate::support::TestApp;
use crate::support::rows::chunk;
use crate::support::rows::code;
use crate::support::rows::document;
use crate::support::rows::embedding;
use crate::support::rows::flaws;
use crate::support::rows::log;
use crate::support::rows::nested;
use crate::support::rows::slots;

fn below(chunk_id: &str, new: NewEmbedding) -> (String, NewEmbedding) {
    (chunk_id.to_owned(), new)
}

fn vector_id(id: &str) -> EmbeddingPatch {
    EmbeddingPatch { vector_id: Patch::Set(id.to_owned()), ..EmbeddingPatch::default() }
}

#[tokio::test]
async fn embeddings_of_several_documents_are_created_together_in_request_order() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), nested()).await.unwrap();
    documents::create(test.cx(), NewDocument { chunks: vec![chunk("c2")], ..document("d2") }).await.unwrap();
    let own = NewEmbedding { vector_id: Some("v".to_owned()), model: Some("m".to_owned()), ..embedding("x") };
    let unnamed = NewEmbedding { vector: vec![0.25; 3], ..NewEmbedding::default() };
    let new = vec![below("c2", own), below("c", unnamed), below("c2", embedding("y"))];
    let made = embeddings::create(test.cx(), new).await.unwrap();
    let told: Vec<_> = made.iter().map(|row| (row.document_id.as_str(), row.chunk_id.as_str())).collect();
    assert_eq!(told, [("d2", "c2"), ("d", "c"), ("d2", "c2")]);
    assert_eq!((made[0].vector_id.as_str(), made[1].vector_id == made[1].id), ("v", true));
    for row in &made {
        assert_eq!(&embeddings::get(test.cx(), &row.id).await.unwrap(), row);
    }
    assert_eq!(slots(&test).await.len(), 4);
    for id in ["d", "d2"] {
        assert_eq!(documents::get(test.cx(), id).await.unwrap().revision, 2);
    }
    assert_eq!(log(&test).await[2..].len(), 3);
    assert_eq!(embeddings::create(test.cx(), Vec::new()).await.unwrap(), []);
}

#[tokio::test]
async fn a_new_embedding_is_held_until_it_is_exported() {
    let test = TestApp::new().await;
    documents::create(test.cx(), nested()).await.unwrap();
    let made = embeddings::create(test.cx(), vec![below("c", embedding("x"))]).await.unwrap();
    assert!(made[0].held);
    assert_eq!(slots(&test).await, Vec::<String>::new());
}

#[tokio::test]
async fn one_bad_embedding_refuses_all() {
    let test = TestApp::new().await;
    documents::create(test.cx(), nested()).await.unwrap();
    let bad = NewEmbedding { vector: vec![f32::NAN], vector_id: Some("\n".to_owned()), ..embedding("x") };
    let long = NewEmbedding { model: Some("m".repeat(101)), ..embedding("x") };
    let again = NewEmbedding { id: None, vector_id: Some("x".to_owned()), ..embedding("") };
    let refused = embeddings::create(test.cx(), vec![below("c", bad), below("c", long), below("c", again)]).await;
    assert_eq!(
        flaws(refused),
        [
            "embeddings.0.vector: Input should be a finite number",
            "embeddings.0.vector_id: must not contain control characters",
            "embeddings.1.model: String should have at most 100 characters",
            "embeddings.1.id: is given twice",
            "embeddings.2.vector_id: is given twice",
        ]
    );
    let missing = embeddings::create(test.cx(), vec![below("c", embedding("x")), below("none", embedding("y"))]).await;
    assert_eq!(missing.unwrap_err().to_string(), "Chunk not found");
    let taken = NewEmbedding { vector_id: Some("e".to_owned()), ..embedding("y") };
    let refused = embeddings::create(test.cx(), vec![below("c", embedding("x")), below("c", taken)]).await;
    assert_eq!(refused.unwrap_err().to_string(), "embeddings.1.vector_id: already taken");
    assert_eq!(code(embeddings::get(test.cx(), "x").await), Code::NotFound);
    assert_eq!(documents::get(test.cx(), "d").await.unwrap().revision, 1);
}

#[tokio::test]
async fn a_vector_id_may_be_another_embeddings_id_when_that_one_chose_another() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), nested()).await.unwrap();
    embeddings::update(test.cx(), "e", vector_id("v")).await.unwrap();
    assert_eq!(slots(&test).await, ["default/e: absent", "default/v: present"]);
    let other = NewEmbedding { vector_id: Some("e".to_owned()), ..embedding("x") };
    embeddings::create(test.cx(), vec![below("c", other)]).await.unwrap();
    assert_eq!(slots(&test).await, ["default/e: present", "default/v: present"]);
    // Its own id is not free any more.
    let clear = EmbeddingPatch { vector_id: Patch::Clear, ..EmbeddingPatch::default() };
    let refused = embeddings::update(test.cx(), "e", clear.clone()).await.unwrap_err();
    assert_eq!((refused.code(), refused.to_string().as_str()), (Code::Conflict, "vector_id: already taken"));
    embeddings::delete(test.cx(), "x").await.unwrap();
    assert_eq!(embeddings::update(test.cx(), "e", clear).await.unwrap().vector_id, "e");
    assert_eq!(slots(&test).await, ["default/e: present", "default/v: absent"]);
}

#[tokio::test]
async fn a_changed_embedding_is_one_change_and_an_unchanged_one_is_none() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), nested()).await.unwrap();
    let patch = EmbeddingPatch {
        vector: Patch::Set(vec![2.0, 3.0, 4.0]),
        model: Patch::Set("m".to_owned()),
        ..EmbeddingPatch::default()
    };
    let cx = test.cx().for_request();
    let row = embeddings::update(&cx, "e", patch.clone()).await.unwrap();
    assert_eq!((row.dimension, row.model.as_deref(), row.held), (3, Some("m"), false));
    assert_eq!(cx.committed(), Some(2));
    let stored = corpusd::store::embeddings::find(cx.read(), cx.target_id(), "e", Vectors::Read).await.unwrap();
    let bytes = stored.and_then(|row| row.vector).expect("a vector");
    assert_eq!(vector::from_bytes(&bytes), [2.0, 3.0, 4.0]);
    let cx = test.cx().for_request();
    let seen = cx.db().seen_revision();
    assert_eq!(embeddings::update(&cx, "e", patch).await.unwrap(), row);
    assert_eq!(embeddings::update(&cx, "e", vector_id("e")).await.unwrap(), row);
    assert_eq!(cx.committed(), Some(seen), "nothing new was committed");
    let clear = EmbeddingPatch { model: Patch::Clear, ..EmbeddingPatch::default() };
    assert_eq!(embeddings::update(&cx, "e", clear).await.unwrap().model, None);
    assert_eq!(documents::get(&cx, "d").await.unwrap().revision, 3);
    assert_eq!(log(&test).await, ["DOCUMENT_CREATED d", "EMBEDDING_UPDATED e", "EMBEDDING_UPDATED e"]);
}

#[tokio::test]
async fn what_an_embedding_must_have_is_checked_on_change_too() {
    let test = TestApp::new().await;
    documents::create(test.cx(), nested()).await.unwrap();
    let none = EmbeddingPatch { vector: Patch::Clear, ..vector_id("") };
    assert_eq!(
        flaws(embeddings::update(test.cx(), "e", none).await),
        ["vector: cannot be cleared", "vector_id: String should have at least 1 character"]
    );
    let empty = EmbeddingPatch { vector: Patch::Set(Vec::new()), ..EmbeddingPatch::default() };
    let told = ["vector: List should have at least 1 item after validation, not 0"];
    assert_eq!(flaws(embeddings::update(test.cx(), "e", empty).await), told);
}

#[tokio::test]
async fn a_deleted_embedding_leaves_an_absent_record() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), nested()).await.unwrap();
    embeddings::delete(test.cx(), "e").await.unwrap();
    assert_eq!(code(embeddings::delete(test.cx(), "e").await), Code::NotFound);
    assert_eq!(slots(&test).await, ["default/e: absent"]);
    assert_eq!(documents::get(test.cx(), "d").await.unwrap().revision, 2);
    // Its ids are free again, and the new content wins over the old removal.
    embeddings::create(test.cx(), vec![below("c", embedding("e"))]).await.unwrap();
    assert_eq!(slots(&test).await, ["default/e: present"]);
}

#[tokio::test]
async fn below_a_deleted_parent_an_embedding_can_only_be_deleted() {
    let test = TestApp::new().await;
    documents::create(test.cx(), nested()).await.unwrap();
    embeddings::create(test.cx(), vec![below("c", embedding("x"))]).await.unwrap();
    chunks::delete(test.cx(), "c", Delete::Soft).await.unwrap();
    for id in ["e", "x"] {
        let refused = embeddings::create(test.cx(), vec![below("c", embedding("y"))]).await;
        assert_eq!(refused.unwrap_err().to_string(), "Chunk not found");
        assert_eq!(code(embeddings::get(test.cx(), id).await), Code::NotFound);
        assert_eq!(code(embeddings::update(test.cx(), id, vector_id("v")).await), Code::NotFound);
        embeddings::delete(test.cx(), id).await.unwrap();
        let _ = chunks::restore(test.cx(), "c").await.unwrap();
        let _ = documents::delete(test.cx(), "d", Delete::Soft).await;
    }
}
