//! Documents, through the service.

use std::time::Duration;

use corpusd::error::Code;
use corpusd::service::Delete;
use corpusd::service::MetadataMode;
use corpusd::service::Patch;
use corpusd::service::chunks;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents;
use corpusd::service::documents::DocumentPatch;
use corpusd::service::documents::NewDocument;
use corpusd::service::embeddings;
use corpusd::service::embeddings::NewEmbedding;

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

fn title(text: &str) -> DocumentPatch {
    DocumentPatch { title: Patch::Set(text.to_owned()), ..DocumentPatch::default() }
}

fn metadata(text: &str, metadata_mode: MetadataMode) -> DocumentPatch {
    DocumentPatch { metadata: Patch::Set(json(text)), metadata_mode, ..DocumentPatch::default() }
}

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
    documents::create(test.cx(), document("a")).await.unwrap();
    documents::delete(test.cx(), "a", Delete::Soft).await.unwrap();
    documents::delete(test.cx(), "a", Delete::Soft).await.unwrap();
    assert_eq!(code(documents::get(test.cx(), "a").await), Code::NotFound);
    assert_eq!(code(documents::update(test.cx(), "a", title("B")).await), Code::NotFound);
    documents::delete(test.cx(), "a", Delete::Hard).await.unwrap();
    assert_eq!(code(documents::delete(test.cx(), "a", Delete::Hard).await), Code::NotFound);
    assert_eq!(log(&test).await, ["DOCUMENT_CREATED a", "DOCUMENT_DELETED a", "DOCUMENT_DELETED a"]);
}

#[tokio::test]
async fn a_document_comes_with_its_chunks_and_their_embeddings_or_not_at_all() {
    let test = TestApp::new().await;
    documents::create(test.cx(), nested()).await.unwrap();
    assert_eq!(chunks::get(test.cx(), "c").await.unwrap().document_id, "d");
    let row = embeddings::get(test.cx(), "e").await.unwrap();
    assert_eq!((row.document_id.as_str(), row.vector_id.as_str(), row.dimension, row.held), ("d", "e", 2, true));
    assert_eq!(log(&test).await, ["DOCUMENT_CREATED d"]);

    let taken = NewEmbedding { vector_id: Some("e".to_owned()), ..embedding("e2") };
    let last = NewChunk { embeddings: vec![embedding("e1"), taken], ..chunk("c2") };
    let refused = documents::create(test.cx(), NewDocument { chunks: vec![chunk("c1"), last], ..document("d2") }).await;
    assert_eq!(refused.unwrap_err().to_string(), "chunks.1.embeddings.1.vector_id: already taken");
    assert_eq!(code(documents::get(test.cx(), "d2").await), Code::NotFound);
    assert_eq!(code(chunks::get(test.cx(), "c1").await), Code::NotFound);
    assert_eq!(log(&test).await, ["DOCUMENT_CREATED d"]);
}

#[tokio::test]
async fn the_statements_of_a_create_do_not_grow_with_its_chunks() {
    let test = TestApp::new().await;
    let mut counts = Vec::new();
    for size in [1, 20] {
        let new = NewDocument {
            title: "A".to_owned(),
            chunks: (0..size)
                .map(|_| NewChunk {
                    text: "text".to_owned(),
                    embeddings: vec![NewEmbedding { vector: vec![0.5; 1536], ..NewEmbedding::default() }],
                    ..NewChunk::default()
                })
                .collect(),
            ..NewDocument::default()
        };
        test.cx().db().statements().listen();
        documents::create(test.cx(), new).await.unwrap();
        counts.push(test.cx().db().statements().heard().len());
    }
    assert_eq!(counts[0], counts[1]);
    // Three of them write down who did it.
    assert!(counts[1] <= 8, "{counts:?}");
}

#[tokio::test]
async fn all_broken_rules_are_told_with_their_paths() {
    let test = TestApp::new().await;
    let bad = NewEmbedding { vector: vec![1.0, f32::INFINITY], model: Some("m\0".to_owned()), ..embedding("\u{e9}") };
    let empty = NewEmbedding { vector: Vec::new(), vector_id: Some(String::new()), ..NewEmbedding::default() };
    let long = NewEmbedding { vector: vec![0.0; 20_001], ..NewEmbedding::default() };
    let new = NewDocument {
        id: Some("a\u{7}".to_owned()),
        namespace: Some(String::new()),
        title: "t".repeat(256),
        source: Some("s\0".to_owned()),
        metadata: Some(json(r#"{"a":{"b":["\u0000"]}}"#)),
        chunks: vec![
            NewChunk { chunk_index: Some(-1), embeddings: vec![bad, empty, long], ..chunk(&"c".repeat(513)) },
            NewChunk { text: String::new(), chunk_index: Some(1 << 31), metadata: Some(json("[]")), ..chunk("") },
            NewChunk { metadata: Some(json(r#"{"n":1e400}"#)), ..chunk("twice") },
            NewChunk { metadata: Some(json(r#"{"$in":1}"#)), ..chunk("twice") },
        ],
    };
    assert_eq!(
        flaws(documents::create(test.cx(), new).await),
        [
            "id: must not contain control characters",
            "namespace: String should have at least 1 character",
            "title: String should have at most 255 characters",
            "source: must not contain U+0000",
            "metadata: must not contain U+0000",
            "chunks.0.id: must not be longer than 512 bytes",
            "chunks.0.chunk_index: Input should be greater than or equal to 0",
            "chunks.0.embeddings.0.id: must be ASCII",
            "chunks.0.embeddings.0.vector: Input should be a finite number",
            "chunks.0.embeddings.0.model: must not contain U+0000",
            "chunks.0.embeddings.1.vector: List should have at least 1 item after validation, not 0",
            "chunks.0.embeddings.1.vector_id: String should have at least 1 character",
            "chunks.0.embeddings.2.vector: List should have at most 20000 items after validation, not 20001",
            "chunks.1.id: String should have at least 1 character",
            "chunks.1.chunk_index: Input should be less than or equal to 2147483647",
            "chunks.1.text: String should have at least 1 character",
            "chunks.1.metadata: Input should be a valid dictionary",
            "chunks.2.metadata: Input should be a finite number",
            "chunks.3.metadata: keys starting with _cd_ or $ are reserved",
            "chunks.3.id: is given twice",
        ]
    );
    assert_eq!(log(&test).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_greatest_allowed_values_come_back_as_they_went_in() {
    let test = TestApp::new().await;
    let id = format!("{}\u{1f600}/%", "d".repeat(506));
    let vector = vec![f32::MAX; 20_000];
    let own = NewEmbedding { vector, model: Some("\u{e9}".repeat(100)), ..embedding(&"e".repeat(512)) };
    let new = NewDocument {
        id: Some(id.clone()),
        namespace: Some("n".repeat(512)),
        title: "\u{1f600}".repeat(255),
        source: Some("\u{e9}".repeat(512)),
        metadata: Some(json(r#"{"\u0007":"\u0007","n":123456789012345678901234567890}"#)),
        chunks: vec![NewChunk {
            chunk_index: Some(i64::from(i32::MAX)),
            text: "\u{1}\t\u{e9}".repeat(100),
            embeddings: vec![own],
            ..chunk("c")
        }],
    };
    let made = documents::create(test.cx(), new.clone()).await.unwrap();
    assert_eq!(documents::get(test.cx(), &id).await.unwrap(), made);
    assert_eq!((&made.title, &made.source), (&new.title, &new.source));
    assert_eq!(made.metadata, new.metadata.map(|metadata| metadata.to_string()));
    let row = chunks::get(test.cx(), "c").await.unwrap();
    assert_eq!((row.chunk_index, &row.text), (i64::from(i32::MAX), &new.chunks[0].text));
    assert_eq!(embeddings::get(test.cx(), &"e".repeat(512)).await.unwrap().dimension, 20_000);
}

#[tokio::test]
async fn names_that_the_index_keeps_for_itself_are_no_namespaces() {
    let test = TestApp::new().await;
    for (namespace, told) in [
        ("__default__", "namespace: must not be __default__"),
        ("n\u{e9}", "namespace: must be ASCII"),
        ("n\n", "namespace: must not contain control characters"),
    ] {
        let new = NewDocument { namespace: Some(namespace.to_owned()), ..document("d") };
        assert_eq!(flaws(documents::create(test.cx(), new).await), [told]);
    }
}

#[tokio::test]
async fn a_list_over_the_limit_is_refused_by_name() {
    let test = TestApp::with(|config| config.limits.batch = 2).await;
    let new = |below: usize, items: usize| NewDocument {
        chunks: (0..items)
            .map(|_| NewChunk {
                text: "text".to_owned(),
                embeddings: vec![NewEmbedding { vector: vec![1.0], ..NewEmbedding::default() }; below],
                ..NewChunk::default()
            })
            .collect(),
        ..document("d")
    };
    let many = "List should have at most 2 items after validation, not 3";
    assert_eq!(flaws(documents::create(test.cx(), new(0, 3)).await), [format!("chunks: {many}")]);
    assert_eq!(flaws(documents::create(test.cx(), new(3, 1)).await), [format!("chunks.0.embeddings: {many}")]);
    let ids = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    assert_eq!(flaws(documents::delete_many(test.cx(), ids, Delete::Soft).await), [format!("ids: {many}")]);
    documents::create(test.cx(), new(2, 2)).await.unwrap();
}

#[tokio::test]
async fn a_patch_that_changes_nothing_is_no_change() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), nested()).await.unwrap();
    documents::update(test.cx(), "d", metadata(r#"{"a":1}"#, MetadataMode::Merge)).await.unwrap();
    let before = documents::get(test.cx(), "d").await.unwrap();
    assert_eq!(before.revision, 2);
    test.clock.advance(Duration::from_secs(1));
    let cx = test.cx().for_request();
    let patch = DocumentPatch {
        namespace: Patch::Set("default".to_owned()),
        source: Patch::Clear,
        if_revision: Some(vec![2]),
        title: Patch::Set(before.title.clone()),
        ..metadata(r#"{"a":1}"#, MetadataMode::Merge)
    };
    let seen = cx.db().seen_revision();
    assert_eq!(documents::update(&cx, "d", patch).await.unwrap(), before);
    assert_eq!(documents::get(&cx, "d").await.unwrap(), before);
    assert_eq!(cx.committed(), Some(seen), "nothing new was committed");
    let changed = documents::update(&cx, "d", title("New")).await.unwrap();
    assert_eq!((changed.revision, changed.updated_at - before.updated_at), (3, 1_000_000));
    assert_eq!(changed.title_folded, "new");
    assert_eq!(cx.committed(), Some(3));
}

#[tokio::test]
async fn given_metadata_is_merged_key_by_key_or_replaces() {
    let test = TestApp::new().await;
    let given = Some(json(r#"{"z":123456789012345678901234567890,"a":{"deep":1}}"#));
    documents::create(test.cx(), NewDocument { metadata: given, ..document("d") }).await.unwrap();
    let merged = documents::update(test.cx(), "d", metadata(r#"{"b":2,"a":null}"#, MetadataMode::Merge)).await.unwrap();
    assert_eq!(merged.metadata.as_deref(), Some(r#"{"z":123456789012345678901234567890,"a":null,"b":2}"#));
    let replaced = documents::update(test.cx(), "d", metadata(r#"{"c":3}"#, MetadataMode::Replace)).await.unwrap();
    assert_eq!(replaced.metadata.as_deref(), Some(r#"{"c":3}"#));
    let clear = DocumentPatch { metadata: Patch::Clear, ..DocumentPatch::default() };
    assert_eq!(documents::update(test.cx(), "d", clear).await.unwrap().metadata.as_deref(), Some("{}"));
}

#[tokio::test]
async fn merged_metadata_has_the_size_limit_of_any_other() {
    let test = TestApp::with(|config| config.limits.metadata_bytes = 40).await;
    let part = |key: &str| metadata(&format!(r#"{{"{key}":"{}"}}"#, "x".repeat(20)), MetadataMode::Merge);
    documents::create(test.cx(), document("d")).await.unwrap();
    documents::update(test.cx(), "d", part("a")).await.unwrap();
    let refused = documents::update(test.cx(), "d", part("b")).await;
    assert_eq!(flaws(refused), ["metadata: must not be larger than 40 bytes"]);
    documents::update(test.cx(), "d", part("a")).await.unwrap();
}

#[tokio::test]
async fn what_a_document_must_have_cannot_be_cleared() {
    let test = TestApp::new().await;
    documents::create(test.cx(), document("d")).await.unwrap();
    let patch = DocumentPatch { namespace: Patch::Clear, title: Patch::Clear, ..DocumentPatch::default() };
    let refused = flaws(documents::update(test.cx(), "d", patch).await);
    assert_eq!(refused, ["namespace: cannot be cleared", "title: cannot be cleared"]);
}

#[tokio::test]
async fn a_change_meant_for_another_revision_is_a_conflict() {
    let test = TestApp::new().await;
    documents::create(test.cx(), document("d")).await.unwrap();
    let at = |if_revision: i64, text: &str| DocumentPatch { if_revision: Some(vec![if_revision]), ..title(text) };
    documents::update(test.cx(), "d", at(1, "B")).await.unwrap();
    let refused = documents::update(test.cx(), "d", at(1, "C")).await.unwrap_err();
    assert_eq!(refused.to_string(), "The document is at revision 2, not 1");
    assert_eq!(refused.code(), Code::Conflict);
    // Anything below counts too.
    chunks::create(test.cx(), "d", vec![chunk("c")]).await.unwrap();
    assert_eq!(documents::get(test.cx(), "d").await.unwrap().revision, 3);
}

#[tokio::test]
async fn deleting_many_tells_an_outcome_for_each() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), nested()).await.unwrap();
    documents::create(test.cx(), document("gone")).await.unwrap();
    documents::delete(test.cx(), "gone", Delete::Soft).await.unwrap();
    for mode in [Delete::Soft, Delete::Hard] {
        let ids = ["gone", "nul\0", "d", "none", "d"].map(str::to_owned).to_vec();
        let outcomes = documents::delete_many(test.cx(), ids, mode).await.unwrap();
        let told: Vec<_> = outcomes.iter().map(|(id, error)| (id.as_str(), error.as_ref().map(|e| e.code()))).collect();
        let missing = Some(Code::NotFound);
        assert_eq!(told, [("gone", None), ("nul\0", missing), ("d", None), ("none", missing)]);
    }
    assert_eq!(slots(&test).await, ["default/e: absent"]);
    let deletes: Vec<_> = log(&test).await.into_iter().filter(|entry| entry.starts_with("DOCUMENT_DELETED")).collect();
    assert_eq!(deletes.len(), 4, "{deletes:?}");
    assert_eq!(documents::delete_many(test.cx(), Vec::new(), Delete::Hard).await.unwrap().len(), 0);
}

#[tokio::test]
async fn restoring_takes_a_soft_delete_back_and_leaves_a_live_document_alone() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    let made = documents::create(test.cx(), nested()).await.unwrap();
    assert_eq!(documents::restore(test.cx(), "d").await.unwrap(), made);
    documents::delete(test.cx(), "d", Delete::Soft).await.unwrap();
    assert_eq!(slots(&test).await, ["default/e: absent"]);
    let row = documents::restore(test.cx(), "d").await.unwrap();
    assert_eq!((row.deleted_at, row.revision), (None, 3));
    assert_eq!(slots(&test).await, ["default/e: present"]);
    assert_eq!(code(documents::restore(test.cx(), "none").await), Code::NotFound);
    assert_eq!(log(&test).await, ["DOCUMENT_CREATED d", "DOCUMENT_DELETED d", "DOCUMENT_RESTORED d"]);
}

#[tokio::test]
async fn another_namespace_moves_the_records() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    documents::create(test.cx(), nested()).await.unwrap();
    let patch = DocumentPatch { namespace: Patch::Set("other".to_owned()), ..DocumentPatch::default() };
    documents::update(test.cx(), "d", patch).await.unwrap();
    assert_eq!(slots(&test).await, ["default/e: absent", "other/e: present"]);
}

#[tokio::test]
async fn an_id_names_one_row_of_the_whole_corpus() {
    let test = TestApp::new().await;
    documents::create(test.cx(), nested()).await.unwrap();
    for id in ["d", "c", "e"] {
        let refused = documents::create(test.cx(), document(id)).await.unwrap_err();
        assert_eq!((refused.code(), refused.to_string().as_str()), (Code::Conflict, "id: already taken"));
        let refused = chunks::create(test.cx(), "d", vec![chunk("free"), chunk(id)]).await.unwrap_err();
        assert_eq!(refused.to_string(), "chunks.1.id: already taken");
        let refused = embeddings::create(test.cx(), vec![("c".to_owned(), embedding(id))]).await.unwrap_err();
        assert_eq!(refused.to_string(), "embeddings.0.id: already taken");
    }
    // Deleted rows keep their ids.
    documents::delete(test.cx(), "d", Delete::Soft).await.unwrap();
    assert_eq!(code(documents::create(test.cx(), document("e")).await), Code::Conflict);
    documents::delete(test.cx(), "d", Delete::Hard).await.unwrap();
    documents::create(test.cx(), document("e")).await.unwrap();
}

#[tokio::test]
async fn two_kinds_that_take_one_id_at_once_do_not_both_get_it() {
    let test = TestApp::new().await;
    documents::create(test.cx(), document("d")).await.unwrap();
    for round in 0..20 {
        let id = format!("same{round}");
        let (made, other) =
            tokio::join!(documents::create(test.cx(), document(&id)), chunks::create(test.cx(), "d", vec![chunk(&id)]));
        assert_eq!(i32::from(made.is_ok()) + i32::from(other.is_ok()), 1, "{made:?} {other:?}");
        let refused = made.err().or(other.err()).map(|error| error.code());
        assert_eq!(refused, Some(Code::Conflict));
    }
}

#[tokio::test]
async fn an_embedding_added_while_its_document_is_deleted_ends_absent() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    for round in 0..20 {
        let (d, c, e) = (format!("d{round}"), format!("c{round}"), format!("e{round}"));
        documents::create(test.cx(), NewDocument { chunks: vec![chunk(&c)], ..document(&d) }).await.unwrap();
        let (added, deleted) = tokio::join!(
            embeddings::create(test.cx(), vec![(c, embedding(&e))]),
            documents::delete(test.cx(), &d, Delete::Soft)
        );
        deleted.unwrap();
        assert!(added.is_ok() || code(added) == Code::NotFound);
    }
    let slots = slots(&test).await;
    assert!(slots.iter().all(|slot| slot.ends_with(": absent")), "{slots:?}");
}
