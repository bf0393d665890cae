//! Edits that meet a claim at every moment, and workers that meet each other.

use std::collections::BTreeSet;

use corpusd::store::claims;
use corpusd::store::claims::Ticket;
use corpusd::store::workers;
use corpusd::sync::preflight;
use corpusd::sync::preflight::Rules;

use super::*;

fn ticket(worker: &str, token: &str) -> Ticket {
    Ticket { target_id: 1, namespace: "default".to_owned(), token: token.to_owned(), worker: worker.to_owned(), rev: 0 }
}

#[tokio::test]
async fn f5_an_edit_while_the_request_is_under_way_is_sent_afterwards() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.while_held(lab.retitle("Newer")).await;
    assert!(lab.slot("e0").await.due_at.is_some());
    lab.converged().await;
    assert_eq!(lab.titles(), ["Newer", "Newer"]);
    assert_eq!(lab.index.calls().len(), 2);
}

#[tokio::test]
async fn f6_an_edit_between_claim_and_read_is_sent_once_and_then_only_acknowledged() {
    let lab = Lab::new().await;
    lab.document(1).await;
    let claimed = lab
        .write(|tx| {
            Box::pin(async move {
                workers::register(tx, "w").await?;
                Ok(claims::claim(tx, &ticket("w", "t"), "present", 10).await?)
            })
        })
        .await;
    lab.retitle("Newer").await;
    let truth = claims::read(lab.test.cx().read(), &ticket("w", "t"), &["e0".to_owned()], 1_000).await.unwrap();
    let rules = Rules { corpus: "c", limits: lab.index.limits(), dimension: None };
    let rows = truth[0].rows.as_ref().unwrap();
    assert_eq!(rows.title, "Newer");
    let ready = preflight::check(rows, "default", "e0", claimed[0].want_rev, rules).unwrap();
    lab.index.upsert("default", vec![ready.record]).await.unwrap();
    let ack = claims::Ack {
        vector_id: "e0".to_owned(),
        want_rev: claimed[0].want_rev,
        hash: ready.hash,
        lsn: None,
        sent: true,
    };
    let epoch = claimed[0].epoch;
    lab.write(move |tx| {
        let ack = ack.clone();
        Box::pin(async move { Ok(claims::acknowledge(tx, &ticket("w", "t"), epoch, 1, &[ack]).await?) })
    })
    .await;
    assert!(lab.slot("e0").await.due_at.is_some(), "the edit raised the revision");
    lab.raw("INSERT INTO corpus_meta (name, value) VALUES ('corpus_id', 'c')").await;
    lab.converged().await;
    assert_eq!(lab.index.calls().len(), 1, "the second acknowledgement sent nothing");
}

#[tokio::test]
async fn f7_a_deletion_while_the_upsert_is_under_way_wins() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.while_held(lab.delete(Delete::Soft)).await;
    lab.converged().await;
    assert!(lab.index.records().is_empty());
}

#[tokio::test]
async fn f28_a_restore_while_the_deletion_is_under_way_wins() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.converged().await;
    lab.delete(Delete::Soft).await;
    let restore = async {
        documents::restore(lab.test.cx(), "d").await.unwrap();
    };
    lab.while_held(restore).await;
    assert!(lab.index.records().is_empty(), "the deletion was applied");
    lab.converged().await;
    assert_eq!(lab.index.records().len(), 2);
}

#[tokio::test]
async fn f26_a_document_deleted_while_a_chunk_is_added_leaves_nothing_wanted() {
    for _ in 0..5 {
        let lab = Lab::new().await;
        lab.document(1).await;
        let new = NewChunk { text: "More".to_owned(), embeddings: vec![embedding("more", 3.0)], ..NewChunk::default() };
        let (_, made) = tokio::join!(lab.delete(Delete::Soft), chunks::create(lab.test.cx(), "d", vec![new]));
        drop(made);
        lab.converged().await;
        assert!(lab.slots().await.iter().all(|slot| slot.want == "absent"));
        assert!(lab.index.records().is_empty());
    }
}

#[tokio::test]
async fn f27_ids_that_are_used_again_after_a_hard_delete_have_the_new_content() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.settle().await;
    lab.delete(Delete::Hard).await;
    lab.document(2).await;
    lab.revector("e1", 77.0).await;
    lab.converged().await;
    assert_eq!(lab.first_number("e1"), Some(77.0));
    lab.delete(Delete::Hard).await;
    lab.settle().await;
    assert!(lab.index.records().is_empty());
    lab.document(2).await;
    lab.converged().await;
    assert_eq!(lab.index.records().len(), 2);
}

#[tokio::test]
async fn f29_a_record_that_moves_leaves_its_old_place() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.converged().await;
    let patch = DocumentPatch { namespace: Patch::Set("other".to_owned()), ..DocumentPatch::default() };
    documents::update(lab.test.cx(), "d", patch).await.unwrap();
    let patch = EmbeddingPatch { vector_id: Patch::Set("chosen".to_owned()), ..EmbeddingPatch::default() };
    embeddings::update(lab.test.cx(), "e0", patch).await.unwrap();
    let patch = EmbeddingPatch { model: Patch::Set("another".to_owned()), ..EmbeddingPatch::default() };
    embeddings::update(lab.test.cx(), "e1", patch).await.unwrap();
    lab.converged().await;
    let keys: Vec<(String, String)> = lab.index.records().into_keys().collect();
    let key = |id: &str| ("other".to_owned(), id.to_owned());
    assert_eq!(keys, [key("chosen"), key("e1")]);
}

#[tokio::test]
async fn f15_two_workers_claim_each_of_20_000_slots_once() {
    let lab = Lab::new().await;
    lab.raw(
        "INSERT INTO sync_slots (target_id, namespace, vector_id, want, want_rev, due_at, dirty_epoch, dirty_rev, updated_at) \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         SELECT 1, 'default', 'v' || i, 'absent', 1, 0, 1, 0, 0 FROM n",
    )
    .await;
    let claim_all = |worker: &'static str| {
        let lab = &lab;
        async move {
            let mut mine: Vec<String> = Vec::new();
            for round in 0.. {
                let page = lab
                    .write(move |tx| {
                        let ticket = ticket(worker, &format!("{worker}{round}"));
                        Box::pin(async move { Ok(claims::claim(tx, &ticket, "absent", 500).await?) })
                    })
                    .await;
                if page.is_empty() {
                    break;
                }
                assert!(page.len() <= 500);
                mine.extend(page.into_iter().map(|slot| slot.vector_id));
            }
            mine
        }
    };
    let (a, b) = tokio::join!(claim_all("a"), claim_all("b"));
    assert!(!a.is_empty() && !b.is_empty());
    assert_eq!(a.len() + b.len(), 20_000);
    let all: BTreeSet<String> = a.into_iter().chain(b).collect();
    assert_eq!(all.len(), 20_000);
}

#[tokio::test]
async fn two_engines_share_the_work_without_sending_anything_twice() {
    let lab = Lab::new().await;
    lab.document(200).await;
    let other = lab.second();
    loop {
        let (a, b) = tokio::join!(lab.engine().turn(), other.turn());
        if (a.unwrap(), b.unwrap()) == (Turn::Idle, Turn::Idle) {
            break;
        }
    }
    let sent: Vec<String> = lab.index.calls().iter().flat_map(Call::ids).collect();
    assert_eq!(sent.len(), 200);
    lab.converged().await;
}
