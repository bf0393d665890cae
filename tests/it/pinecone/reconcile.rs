//! Checks of an index over real HTTP: pages of a hundred, numbers as the service keeps them, reads behind writes.

use corpusd::emulator::Fault;
use corpusd::emulator::Lag;
use corpusd::emulator::LagBy;
use corpusd::emulator::Operation;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use corpusd::service::reconcile;
use corpusd::service::reconcile::Class;
use corpusd::service::reconcile::Mode;
use corpusd::service::reconcile::Report;
use corpusd::store::reconcile::Place;

use super::lab::DOUBT;
use super::lab::Lab;
use super::*;
use crate::support::rows;

/// After that nothing was written a moment ago.
const SETTLED: Duration = Duration::from_secs(601);

async fn check(lab: &Lab, mode: Mode, remove_legacy: bool) -> Report {
    let (job, _) = reconcile::start(lab.test.cx(), mode, remove_legacy).await.expect("it starts");
    lab.settle().await;
    lab.wait(DOUBT).await;
    let job = lab.job(&job.id).await;
    assert_eq!(job.state, "completed", "{job:?}");
    reconcile::report(&job).expect("a report")
}

async fn settled(lab: &Lab) {
    lab.converged().await;
    lab.test.clock.advance(SETTLED);
    lab.settle().await;
}

fn counts(report: &Report) -> [i64; 6] {
    Class::ALL.map(|class| report.count(class))
}

#[tokio::test]
async fn an_index_that_took_everything_is_equal_whatever_it_made_of_the_numbers() {
    let lab = Lab::new().await;
    let metadata = r#"{"n":3,"half":0.1,"tiny":1e-7,"big":123456789012345678901,"neg":-0.0,"yes":true,"no":null,
        "list":["a","é"],"mixed":["a",1],"deep":{"k":[1,{"x":null}]},"text":"forged","Ünï":"\u0001\"\\"}"#;
    let new = NewDocument { metadata: Some(rows::json(metadata)), ..rows::nested() };
    documents::create(lab.test.cx(), new).await.unwrap();
    lab.document("p", 350).await;
    settled(&lab).await;
    let report = check(&lab, Mode::Check, false).await;
    assert_eq!((counts(&report), report.checked, report.skipped), ([0; 6], 351, 0));
    // Four pages of a hundred, and none twice.
    let listed = lab.requests(Operation::List).len();
    check(&lab, Mode::Check, false).await;
    assert_eq!(lab.requests(Operation::List).len() - listed, 4);
}

#[tokio::test]
async fn each_class_is_found_and_mended_over_http() {
    let lab = Lab::new().await;
    lab.document("d", 205).await;
    lab.converged().await;
    let index = lab.test.cx().index().clone();
    let ids = ["d1", "d2", "d3", "d4"].map(str::to_owned);
    let mut records = index.fetch("default", &ids).await.unwrap();
    records.sort_by(|a, b| a.id.cmp(&b.id));
    corpusd::service::embeddings::delete(lab.test.cx(), "d4").await.unwrap();
    settled(&lab).await;
    index.delete("default", &["d0".to_owned(), "d200".to_owned()]).await.unwrap();
    let legacy = r#"{"embedding_id":"x","chunk_id":"y","document_id":"z"}"#.to_owned();
    let planted = vec![
        VectorRecord { values: vec![9.0, 9.0], ..records[0].clone() },
        VectorRecord { metadata: records[1].metadata.replace("\"Title\"", "\"Older\""), ..records[1].clone() },
        VectorRecord { id: "orphan".to_owned(), ..records[2].clone() },
        records[3].clone(),
        VectorRecord { id: "foreign".to_owned(), metadata: "{\"n\":1}".to_owned(), ..records[0].clone() },
        VectorRecord { id: "legacy".to_owned(), metadata: legacy, ..records[0].clone() },
    ];
    index.upsert("default", planted).await.unwrap();
    index.upsert("elsewhere", vec![record("foreign", &[1.0, 1.0])]).await.unwrap();
    let found = [2, 2, 1, 1, 2, 1];
    assert_eq!(counts(&check(&lab, Mode::Check, false).await), found);
    let report = check(&lab, Mode::Repair, false).await;
    assert_eq!((counts(&report), report.repaired), (found, 6));
    assert!(lab.record("foreign").is_some() && lab.record("legacy").is_some() && lab.record("orphan").is_none());
    assert_eq!(check(&lab, Mode::Repair, true).await.repaired, 1);
    assert!(lab.record("foreign").is_some() && lab.record("legacy").is_none());
    index.delete("default", &["foreign".to_owned()]).await.unwrap();
    lab.converged().await;
    assert_eq!(lab.emulator.records(INDEX, "elsewhere").len(), 1);
}

#[tokio::test]
async fn f32_reads_that_are_behind_their_writes_cause_no_repair() {
    let lab = Lab::new().await;
    lab.document("d", 3).await;
    lab.converged().await;
    lab.emulator.faults().lag(Some(Lag { by: LagBy::Requests(1_000_000), operations: Vec::new() }));
    lab.document("n", 1).await;
    corpusd::service::embeddings::delete(lab.test.cx(), "d0").await.unwrap();
    lab.settle().await;
    lab.test.clock.advance(SETTLED);
    lab.settle().await;
    let slots = lab.slots().await;
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Repair, false).await.unwrap();
    lab.settle().await;
    assert!(lab.job(&job.id).await.finished_at.is_none(), "what differs is looked at once more");
    lab.emulator.heal();
    lab.wait(DOUBT).await;
    let job = lab.job(&job.id).await;
    let report = reconcile::report(&job).unwrap();
    assert_eq!((job.state.as_str(), counts(&report), report.repaired), ("completed", [0; 6], 0));
    assert_eq!(lab.slots().await, slots);
    lab.converged().await;
}

#[tokio::test]
async fn a_check_survives_a_service_that_stumbles_and_a_place_that_it_has_forgotten() {
    let lab = Lab::new().await;
    lab.document("d", 350).await;
    settled(&lab).await;
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Check, false).await.unwrap();
    let inside = |job: &corpusd::entity::sync_job::Model| {
        matches!(corpusd::store::reconcile::place(job), Some(Place::Inside { after: Some(_), page: Some(_), .. }))
    };
    while !inside(&lab.job(&job.id).await) {
        lab.test.app.sync().engine().turn().await.unwrap();
    }
    // What the service gave to go on with is good for a while only.
    let id = job.id.clone();
    lab.test
        .cx()
        .db()
        .write(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                let mut job = corpusd::store::jobs::lock(tx, &id).await?.unwrap();
                let report = reconcile::report(&job).unwrap();
                let Some(Place::Inside { namespace, after, .. }) = corpusd::store::reconcile::place(&job) else {
                    panic!("{job:?}")
                };
                let place = Place::Inside { namespace, after, page: Some("forgotten".to_owned()) };
                corpusd::store::reconcile::set(&mut job, &report, &place)?;
                Ok(corpusd::store::jobs::save(tx, &job).await?)
            })
        })
        .await
        .unwrap();
    lab.emulator.fault(Fault::on(Operation::Fetch).or_on(Operation::List).times(3).status(503));
    lab.wait(DOUBT).await;
    let job = lab.job(&job.id).await;
    let report = reconcile::report(&job).unwrap();
    assert_eq!((job.state.as_str(), counts(&report), report.checked), ("completed", [0; 6], 350));
}
