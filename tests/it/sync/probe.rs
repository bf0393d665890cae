//! Whose fault a refusal is: what becomes of the record that is sent once more to find out.

use super::turns::active;
use super::turns::named;
use super::*;

impl Lab {
    /// Buries the one worker that there is, as another process would.
    async fn bury_worker(&self) {
        let (id, beat) = workers::live(self.test.cx().read()).await.unwrap().remove(0);
        self.write(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                assert!(workers::bury(tx, &id, beat, 120_000).await?);
                Ok(())
            })
        })
        .await;
    }

    /// Calls behind the first so many, as their ids.
    fn sent_after(&self, calls: usize) -> Vec<Vec<String>> {
        self.index.calls()[calls..].iter().map(Call::ids).collect()
    }
}

/// Three records that the index has, one of them with another vector that it will refuse.
async fn refused() -> Lab {
    let lab = Lab::new().await;
    lab.document(3).await;
    lab.converged().await;
    lab.index.fail_next(1, Fail::Rejected);
    lab.revector("e2", 9.0).await;
    lab
}

#[tokio::test]
async fn a_record_that_was_sent_once_more_to_find_out_rests_as_before_whatever_the_answer() {
    let paused = |reason: &str| named("paused", reason);
    for (answer, code, state) in [
        (None, Some("target_rejected"), active()),
        (Some(Fail::NotApplied), None, active()),
        (Some(Fail::RateLimited(None)), None, active()),
        (Some(Fail::Rejected), None, paused("refused")),
        (Some(Fail::TooLarge), None, paused("too large")),
        (Some(Fail::Fault("revoked".to_owned())), None, paused("revoked")),
    ] {
        let lab = refused().await;
        let calls = lab.index.calls().len();
        if let Some(answer) = &answer {
            lab.index.fail_next(2, answer.clone());
        }
        lab.turn().await;
        assert_eq!(lab.sent_after(calls)[..2], [["e2"], ["e0"]], "{answer:?}");
        let known = lab.slot("e0").await;
        assert_eq!((known.claim_token, known.due_at, known.doubt_until), (None, None, 0), "{answer:?}");
        assert_eq!(lab.slot("e2").await.quarantine.as_deref(), code, "{answer:?}");
        assert_eq!(lab.state().await, state, "{answer:?}");
        lab.wait(PAUSE).await;
        if code.is_none() {
            lab.converged().await;
        } else {
            assert_eq!(lab.first_number("e2"), None);
        }
    }
}

#[tokio::test]
async fn a_record_that_was_sent_once_more_without_an_answer_is_in_doubt_and_sent_again() {
    let lab = refused().await;
    let calls = lab.index.calls().len();
    lab.index.fail_next(2, Fail::Lost);
    // It may land as what is there already, and is due all the same: the one exception from I2.
    lab.engine().turn().await.unwrap();
    assert_eq!(lab.sent_after(calls), [["e2"], ["e0"]]);
    let (known, now) = (lab.slot("e0").await, lab.test.cx().db().clock().now_ms());
    assert_eq!((known.claim_token, known.due_at, known.doubt_until), (None, Some(now), now + 120_000));
    assert_eq!(lab.slot("e2").await.quarantine, None, "nothing is known of it");
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn what_a_target_says_to_the_record_that_is_sent_once_more_counts_for_the_others() {
    let lab = refused().await;
    lab.index.fail_next(2, Fail::RateLimited(Some(Duration::from_secs(30))));
    lab.turn().await;
    let calls = lab.index.calls().len();
    lab.wait(Duration::from_secs(25)).await;
    assert_eq!(lab.index.calls().len(), calls, "it asked for half a minute");
    lab.wait(Duration::from_secs(10)).await;
    assert!(lab.index.calls().len() > calls);
    lab.converged().await;
}

#[tokio::test]
async fn a_worker_that_may_be_dead_sends_nothing_once_more_and_keeps_no_claim() {
    let lab = refused().await;
    let calls = lab.index.calls().len();
    lab.while_held(async {
        lab.bury_worker().await;
        lab.test.clock.advance(Duration::from_secs(600));
    })
    .await;
    assert_eq!(lab.sent_after(calls), [["e2"]]);
    assert_eq!(lab.slot("e0").await.claim_token, None);
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn a_worker_that_was_buried_while_it_sent_something_once_more_reports_it() {
    let lab = refused().await;
    let before = lab.slot("e0").await.want_rev;
    lab.index.hold();
    let (turn, ()) = tokio::join!(lab.engine().turn(), async {
        lab.index.held().await;
        // The refusal comes, and the next one is held.
        lab.index.hold();
        lab.index.held().await;
        lab.bury_worker().await;
        lab.index.resume();
    });
    turn.unwrap();
    let known = lab.slot("e0").await;
    assert_eq!((known.want_rev, known.doubt_hash.as_deref()), (before + 1, Some("*")));
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn a_record_whose_rows_no_index_takes_any_more_is_not_sent_once_more() {
    let lab = refused().await;
    let calls = lab.index.calls().len();
    lab.raw(if lab.test.cx().db().kind() == "sqlite" {
        "UPDATE embeddings SET vector = zeroblob(8) WHERE id = 'e0'"
    } else {
        "UPDATE embeddings SET vector = '\\x0000000000000000' WHERE id = 'e0'"
    })
    .await;
    lab.turn().await;
    assert!(lab.sent_after(calls).iter().all(|ids| ids == &["e2"]));
    assert_eq!(lab.slot("e0").await.claim_token, None);
    assert_eq!(lab.slot("e2").await.quarantine.as_deref(), Some("target_rejected"));
}
