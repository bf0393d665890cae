//! Copies of documents.

use corpusd::entity::chunk;
use corpusd::entity::embedding;
use corpusd::error::Code;
use corpusd::service::Delete;
use corpusd::service::Patch;
use corpusd::service::chunks;
use corpusd::service::chunks::ChunkPatch;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents;
use corpusd::service::documents::DocumentPatch;
use corpusd::service::documents::NewDocument;
use corpusd::service::duplicate::duplicate;
use corpusd::service::embeddings::NewEmbedding;
use sea_orm::ColumnTrait;
use sea_orm::EntityTrait;
use sea_orm::QueryFilter;
use sea_orm::QueryOrder;

use crate::support::TestApp;
use crate::support::rows;
use crate::support::rows::code;
use crate::support::rows::flaws;
use crate::support::rows::json;
use crate::support::rows::log;
use crate::support::rows::slots;

async fn chunks_of(test: &TestApp, document_id: &str) -> Vec<chunk::Model> {
    chunk::Entity::with_deleted()
        .filter(chunk::Column::DocumentId.eq(document_id))
        .order_by_asc(chunk::Column::ChunkIndex)
        .order_by_asc(chunk::Column::Id)
        .all(test.cx().read())
        .await
        .expect("the rows")
}

async fn embeddings_of(test: &TestApp, document_id: &str) -> Vec<embedding::Model> {
    embedding::Entity::find()
        .filter(embedding::Column::DocumentId.eq(document_id))
        .order_by_asc(embedding::Column::CreatedAt)
        .order_by_asc(embedding::Column::Id)
        .all(test.cx().read())
        .await
        .expect("the rows")
}

fn original() -> NewDocument {
    let vectors = |ids: &[&str]| {
        ids.iter()
            .map(|id| NewEmbedding {
                vector_id: Some(format!("v{id}")),
                model: Some("m".to_owned()),
                ..rows::embedding(id)
            })
            .collect()
    };
    NewDocument {
        namespace: Some("n".to_owned()),
        source: Some("S".to_owned()),
        metadata: Some(json(r#"{"b":1,"a":2}"#)),
        chunks: vec![
            NewChunk { metadata: Some(json(r#"{"k":1}"#)), embeddings: vectors(&["e1", "e2"]), ..rows::chunk("c\"1") },
            NewChunk { embeddings: vectors(&["gone"]), ..rows::chunk("gone chunk") },
            NewChunk { embeddings: vectors(&["e3"]), ..rows::chunk("c\\u0041") },
        ],
        ..rows::document("d")
    }
}

#[tokio::test]
async fn a_copy_has_everything_live_under_new_ids_and_waits_for_an_export() {
    let test = TestApp::new().await;
    documents::create(test.cx(), original()).await.unwrap();
    chunks::delete(test.cx(), "gone chunk", Delete::Soft).await.unwrap();
    test.clock.advance(std::time::Duration::from_secs(5));
    let (copy, kept) = duplicate(test.cx(), "d", None).await.unwrap();
    assert_eq!(kept, documents::get(test.cx(), "d").await.unwrap());
    assert_eq!(copy, documents::get(test.cx(), &copy.id).await.unwrap());
    assert_eq!(copy.title, "Title of d (Copy)");
    assert_eq!(copy.title_folded, "title of d (copy)");
    assert_eq!((copy.namespace.as_str(), copy.source.as_deref(), copy.revision), ("n", Some("S"), 1));
    assert_eq!(copy.metadata, kept.metadata);
    assert_eq!(copy.created_at - kept.created_at, 5_000_000);

    let (old, new) = (chunks_of(&test, "d").await, chunks_of(&test, &copy.id).await);
    let old: Vec<_> = old.into_iter().filter(|row| row.deleted_at.is_none()).collect();
    assert_eq!(new.len(), 2);
    for (old, new) in old.iter().zip(&new) {
        let expected = chunk::Model {
            id: new.id.clone(),
            document_id: copy.id.clone(),
            created_at: copy.created_at,
            updated_at: copy.created_at,
            ..old.clone()
        };
        assert_eq!(*new, expected);
    }
    let (old, new) = (embeddings_of(&test, "d").await, embeddings_of(&test, &copy.id).await);
    let old: Vec<_> = old.into_iter().filter(|row| row.id != "gone").collect();
    assert_eq!(new.len(), 3);
    for (old, new) in old.iter().zip(&new) {
        assert!(new.held && new.vector_id == new.id && new.id != old.id);
        assert_eq!((&new.vector, &new.model, new.dimension), (&old.vector, &old.model, old.dimension));
        assert_eq!(new.created_at, copy.created_at);
    }
    assert_eq!(slots(&test).await, Vec::<String>::new());
    assert_eq!(log(&test).await.last(), Some(&format!("DOCUMENT_CREATED {}", copy.id)));
}

#[tokio::test]
async fn copies_are_exported_by_themselves_where_everything_is() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), rows::nested()).await.unwrap();
    let (copy, _) = duplicate(test.cx(), "d", Some("Other".to_owned())).await.unwrap();
    assert_eq!(copy.title, "Other");
    let id = embeddings_of(&test, &copy.id).await[0].id.clone();
    let mut expected = vec!["default/e: present".to_owned(), format!("default/{id}: present")];
    expected.sort_unstable();
    assert_eq!(slots(&test).await, expected);
}

#[tokio::test]
async fn the_default_title_is_cut_to_255_characters() {
    let test = TestApp::new().await;
    documents::create(test.cx(), NewDocument { title: "\u{e9}".repeat(250), ..rows::document("d") }).await.unwrap();
    let (copy, _) = duplicate(test.cx(), "d", None).await.unwrap();
    assert_eq!(copy.title, format!("{} (Cop", "\u{e9}".repeat(250)));
    let refused = duplicate(test.cx(), "d", Some("t".repeat(256))).await;
    assert_eq!(flaws(refused), ["title: String should have at most 255 characters"]);
    documents::delete(test.cx(), "d", Delete::Soft).await.unwrap();
    assert_eq!(code(duplicate(test.cx(), "d", None).await), Code::NotFound);
}

#[tokio::test]
async fn a_copy_of_a_document_that_is_edited_meanwhile_is_of_one_moment() {
    let test = TestApp::new().await;
    let new = NewDocument { chunks: vec![rows::chunk("c")], ..rows::document("d") };
    documents::create(test.cx(), new).await.unwrap();
    let edit = async {
        for round in 0..20 {
            let text = format!("{round}");
            let title = DocumentPatch { title: Patch::Set(text.clone()), ..DocumentPatch::default() };
            documents::update(test.cx(), "d", title).await.unwrap();
            let text = ChunkPatch { text: Patch::Set(text), ..ChunkPatch::default() };
            chunks::update(test.cx(), "c", text).await.unwrap();
        }
    };
    let copies = async {
        for _ in 0..20 {
            let (copy, original) = duplicate(test.cx(), "d", None).await.unwrap();
            let rows = chunks_of(&test, &copy.id).await;
            // An even revision follows a change of the title, an odd one that of the text.
            let title: i64 = original.title.parse().unwrap_or(-1);
            let text: i64 = rows[0].text.parse().unwrap_or(-1);
            assert_eq!(text, if original.revision % 2 == 0 { title - 1 } else { title }, "{original:?} {rows:?}");
        }
    };
    tokio::join!(edit, copies);
}
