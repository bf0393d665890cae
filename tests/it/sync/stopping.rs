//! A stop while the index has a request: whatever it says, no claim is left behind.

use corpusd::index::IndexLimits;

use super::*;

/// Longer than any test may take.
const NEVER: Duration = Duration::from_secs(3_600);

/// Six records, of which four are being sent alone when the fifth and the sixth wait for their turn.
async fn sending(stop_wait: Duration) -> Lab {
    let limits = IndexLimits { upsert_records: 1, ..MemoryIndex::default().limits() };
    let lab = Lab::with(MemoryIndex::new(limits), |sync| {
        sync.request_timeout = NEVER;
        sync.stop_wait = stop_wait;
    })
    .await;
    lab.index.hold();
    lab.document(6).await;
    lab.test.start_sync().await;
    while lab.index.calls().len() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(lab.number("SELECT count(*) FROM sync_slots WHERE claim_token IS NOT NULL").await, 6);
    lab
}

/// How many slots are in doubt; none is claimed, and no worker is left.
async fn in_doubt(lab: &Lab) -> usize {
    lab.check().await;
    let slots = lab.slots().await;
    assert!(slots.iter().all(|slot| slot.claim_token.is_none()));
    assert_eq!(lab.number("SELECT count(*) FROM sync_workers").await, 0);
    slots.iter().filter(|slot| slot.doubt_until > slot.acked_from).count()
}

#[tokio::test]
async fn f44_a_stop_does_not_wait_for_an_index_that_does_not_answer() {
    let lab = sending(Duration::ZERO).await;
    lab.test.app.sync().stop().await;
    assert_eq!(in_doubt(&lab).await, 4, "those that were sent");
    let target = corpusd::store::targets::find(lab.test.cx().read(), 1).await.unwrap().unwrap();
    assert_eq!(target.state, "active", "a request that was cut says nothing about the target");
    lab.index.resume();
    lab.wait(DOUBT).await;
    lab.converged().await;
    assert_eq!(lab.index.records().len(), 6);
}

#[tokio::test]
async fn f44_a_stop_takes_answers_that_come_in_time_and_sends_nothing_new() {
    let lab = sending(NEVER).await;
    futures_util::future::join(lab.test.app.sync().stop(), async { lab.index.resume() }).await;
    assert_eq!(lab.index.calls().len(), 4);
    assert_eq!(in_doubt(&lab).await, 0);
    assert_eq!(lab.number("SELECT count(*) FROM sync_slots WHERE acked_rev = want_rev").await, 4);
    lab.converged().await;
    assert_eq!(lab.index.calls().len(), 6);
}
