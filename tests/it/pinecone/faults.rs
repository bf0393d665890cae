//! What goes wrong between the engine and the service, over real HTTP.

use corpusd::app::App;
use corpusd::emulator::Fault;
use corpusd::emulator::Lag;
use corpusd::emulator::LagBy;
use corpusd::emulator::Operation;
use corpusd::error::Code;
use corpusd::service::Delete;
use corpusd::service::documents;
use corpusd::service::jobs;
use corpusd::service::jobs::Scope;
use reqwest::Method;

use super::lab::DOUBT;
use super::lab::Lab;
use super::lab::PAUSE;
use super::*;

/// A fault of everything that is asked, until it is taken back.
fn all(status: u16) -> Fault {
    Fault::any().always().status(status)
}

#[tokio::test]
async fn what_is_wanted_reaches_an_index_that_was_created_for_it_and_what_is_deleted_leaves_it() {
    let lab = Lab::new().await;
    lab.document("d", 3).await;
    lab.converged().await;
    assert_eq!(lab.target().await.dimension, Some(2));
    corpusd::service::documents::delete(lab.test.cx(), "d", corpusd::service::Delete::Soft).await.unwrap();
    lab.converged().await;
    assert!(lab.record("d0").is_none());
    corpusd::service::documents::restore(lab.test.cx(), "d").await.unwrap();
    lab.converged().await;
    assert_eq!(lab.emulator.records(INDEX, "default").len(), 3);
}

#[tokio::test]
async fn a_job_is_verified_when_queries_see_what_it_wrote() {
    let lab = Lab::new().await;
    lab.document("d", 2).await;
    lab.emulator.faults().lag(Some(Lag { by: LagBy::Requests(20), operations: Vec::new() }));
    let job = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    assert_eq!(lab.job(&job).await.state, "verifying");
    lab.wait(Duration::from_secs(300)).await;
    let job = lab.job(&job).await;
    assert_eq!((job.state.as_str(), job.visibility.as_str()), ("completed", "verified"));
}

#[tokio::test]
async fn f17_retry_after_is_waited_for_in_every_form_and_counts_no_attempt() {
    // The clock of the application stands at 2026-01-01T00:00:00Z.
    for (value, early, late) in [
        (Some("3"), 2, 2),
        (Some("3.5"), 3, 2),
        (Some("Thu, 01 Jan 2026 00:00:30 GMT"), 29, 2),
        (Some("315360000"), 890, 15),
        (Some("soon"), 0, 5),
        (None, 0, 5),
    ] {
        let lab = Lab::new().await;
        let fault = Fault::on(Operation::Upsert).status(429);
        lab.emulator.fault(value.into_iter().fold(fault, |fault, value| fault.header("retry-after", value)));
        lab.document("d", 1).await;
        lab.settle().await;
        assert_eq!(lab.slots().await[0].attempts, 0);
        lab.wait(Duration::from_secs(early)).await;
        assert_eq!(lab.requests(Operation::Upsert).len(), 1, "{value:?}");
        lab.wait(Duration::from_secs(late)).await;
        assert_eq!(lab.requests(Operation::Upsert).len(), 2, "{value:?}");
        lab.converged().await;
    }
}

#[tokio::test]
async fn f18_a_storm_of_429_is_waited_out_without_quarantine() {
    let lab = Lab::with(|config| config.sync.claim_size = 20).await;
    lab.emulator.fault(Fault::on(Operation::Upsert).or_on(Operation::Delete).chance(0.5, 7).status(429));
    for i in 0..10 {
        lab.document(&format!("d{i}"), 20).await;
    }
    lab.wait(Duration::from_secs(600)).await;
    assert_eq!(lab.slots().await.iter().map(|slot| slot.attempts).max(), Some(0));
    lab.converged().await;
}

#[tokio::test]
async fn f19_answers_that_say_nothing_are_in_doubt_and_asserted_again() {
    for fault in [
        Fault::on(Operation::Upsert).status(500),
        Fault::on(Operation::Upsert).html(502),
        Fault::on(Operation::Upsert).status(503).header("retry-after", "2"),
        Fault::on(Operation::Upsert).status(504).applied(),
        Fault::on(Operation::Upsert).html(200),
        Fault::on(Operation::Upsert).html(200).applied(),
        Fault::on(Operation::Upsert).truncated(),
        Fault::on(Operation::Upsert).reset(),
        Fault::on(Operation::Upsert).reset().applied(),
        Fault::on(Operation::Upsert).status(408),
    ] {
        let lab = Lab::new().await;
        lab.emulator.fault(fault.clone());
        lab.document("d", 2).await;
        lab.settle().await;
        let slot = lab.slots().await.remove(0);
        assert_eq!((slot.attempts, slot.error_code.as_deref()), (1, Some("in_doubt")), "{fault:?} {slot:?}");
        assert!(slot.doubt_until > 0);
        lab.wait(DOUBT).await;
        lab.converged().await;
        assert!(lab.requests(Operation::Upsert).len() >= 2);
    }
}

#[tokio::test]
async fn a_request_without_an_answer_is_in_doubt_after_the_time_limit() {
    let lab = Lab::with(|config| config.sync.request_timeout = Duration::from_secs(2)).await;
    lab.emulator.create_index(INDEX, 2, corpusd::config::Metric::Cosine);
    lab.emulator.fault(Fault::on(Operation::Upsert).stall());
    lab.document("d", 1).await;
    lab.settle().await;
    assert_eq!(lab.slots().await[0].error_code.as_deref(), Some("in_doubt"));
    lab.emulator.faults().clear();
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn f20_a_target_that_is_down_leaves_the_api_as_it_is_and_the_backlog_drains_after() {
    let lab = Lab::new().await;
    lab.document("d", 3).await;
    lab.converged().await;
    lab.emulator.fault(Fault::any().always().reset());
    lab.document("e", 3).await;
    lab.wait(Duration::from_secs(300)).await;
    assert_eq!(lab.state().await.0, "unreachable");
    let before = lab.emulator.requests().len();
    let made = lab.test.rest("POST", "/api/documents", Some(json!({ "title": "while it is down" }))).await;
    assert_eq!(made.status, 201);
    assert_eq!(lab.test.rest("GET", "/api/documents", None).await.status, 200);
    let stats = lab.test.rest("GET", "/api/pinecone/index/stats", None).await;
    assert_eq!((stats.status, stats.json()["code"].as_str()), (503, Some("UNAVAILABLE")), "{}", stats.text);
    let told = lab.test.graphql("{ targets { kind state reason stats { dimension } } }", json!({})).await;
    assert_eq!(told["data"]["targets"][0]["state"], "UNREACHABLE", "{told}");
    assert_eq!(
        (&told["data"]["targets"][0]["kind"], &told["data"]["targets"][0]["stats"]),
        (&json!("PINECONE"), &json!(null))
    );
    assert!(before < 60, "the breaker holds requests back: {before}");
    lab.emulator.faults().clear();
    lab.wait(Duration::from_secs(320)).await;
    lab.wait(DOUBT).await;
    assert_eq!(lab.state().await, ("active".to_owned(), String::new()));
    lab.converged().await;
}

#[tokio::test]
async fn f21_a_revoked_key_pauses_with_its_reason_and_resumes_by_itself() {
    let lab = Lab::new().await;
    lab.document("d", 3).await;
    lab.converged().await;
    lab.document("e", 3).await;
    lab.emulator.fault(all(401));
    let job = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    let (state, reason) = lab.state().await;
    assert_eq!(state, "paused");
    assert!(reason.starts_with("Pinecone refuses the API key (401)"), "{reason}");
    assert!(lab.slots().await.iter().all(|slot| slot.quarantine.is_none() && slot.attempts == 0));
    let error = jobs::wait(lab.test.cx(), &job).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    lab.wait(PAUSE).await;
    assert_eq!(lab.state().await.0, "paused");
    lab.emulator.faults().clear();
    lab.wait(PAUSE).await;
    assert_eq!(lab.state().await, ("active".to_owned(), String::new()));
    assert!(lab.job(&job).await.state.starts_with("complet"), "{:?}", lab.job(&job).await);
    lab.converged().await;
}

#[tokio::test]
async fn f21_a_quota_of_the_month_pauses_for_a_quarter_of_an_hour_at_a_time() {
    let lab = Lab::new().await;
    let text = "You've reached your write unit limit for the current month (2000000). To continue, upgrade your plan.";
    let body = json!({"code":8,"message":text,"details":[]}).to_string();
    lab.emulator.fault(Fault::on(Operation::Upsert).always().status(429).body("application/json", &body));
    lab.document("d", 1).await;
    lab.settle().await;
    let (state, reason) = lab.state().await;
    assert!(state == "paused" && reason.contains("current month"), "{state} {reason}");
    lab.wait(Duration::from_secs(880)).await;
    assert_eq!(lab.requests(Operation::Upsert).len(), 1);
    lab.emulator.faults().clear();
    lab.wait(Duration::from_secs(60)).await;
    assert_eq!(lab.state().await.0, "active");
    lab.converged().await;
}

#[tokio::test]
async fn f31_an_index_that_was_deleted_is_not_made_again_and_one_in_its_place_is_filled_anew() {
    let lab = Lab::new().await;
    lab.document("d", 3).await;
    lab.converged().await;
    lab.console(Method::DELETE, "/indexes/asktemoc").await;
    lab.document("e", 1).await;
    lab.settle().await;
    let (state, reason) = lab.state().await;
    assert!(
        state == "paused" && reason.contains("is gone") && reason.contains("2 numbers, cosine"),
        "{state} {reason}"
    );
    lab.wait(PAUSE).await;
    assert_eq!((lab.state().await.0.as_str(), lab.target().await.generation), ("paused", 2));
    assert!(lab.requests(Operation::CreateIndex).len() == 1);
    // Another dimension is refused with both numbers.
    lab.emulator.create_index(INDEX, 3, corpusd::config::Metric::Cosine);
    lab.wait(PAUSE).await;
    let (state, reason) = lab.state().await;
    assert!(state == "paused" && reason.contains("3 numbers") && reason.contains("have 2"), "{state} {reason}");
    lab.console(Method::DELETE, "/indexes/asktemoc").await;
    lab.emulator.create_index(INDEX, 2, corpusd::config::Metric::Cosine);
    lab.wait(PAUSE).await;
    assert_eq!(lab.state().await, ("active".to_owned(), String::new()));
    lab.converged().await;
    assert_eq!(lab.emulator.records(INDEX, "default").len(), 4);
    assert!(lab.quarantined().await.is_empty());
}

#[tokio::test]
async fn an_index_is_created_after_deletions_of_what_it_never_had() {
    let lab = Lab::new().await;
    lab.document("d", 2).await;
    documents::delete(lab.test.cx(), "d", Delete::Hard).await.unwrap();
    lab.settle().await;
    assert!(lab.slots().await.iter().all(|slot| slot.acked_at.is_some()), "gone is gone, with or without an index");
    lab.document("e", 1).await;
    lab.settle().await;
    assert_eq!(lab.state().await, ("active".to_owned(), String::new()));
    lab.converged().await;
}

#[tokio::test]
async fn an_index_is_created_for_a_corpus_that_another_index_had() {
    let lab = Lab::new().await;
    let mut local = lab.test.cx().config().clone();
    local.index.pinecone.api_key = None;
    let index = index::open(&local, lab.test.cx().db()).await.unwrap();
    let before = App::assemble(local, lab.test.cx().db().clone(), index).await.unwrap();
    lab.document("d", 3).await;
    before.sync().run_until_idle().await.unwrap();
    let config = lab.test.cx().config().clone();
    let index = index::open(&config, lab.test.cx().db()).await.unwrap();
    let after = App::assemble(config, lab.test.cx().db().clone(), index).await.unwrap();
    after.sync().run_until_idle().await.unwrap();
    assert_eq!(lab.state().await, ("active".to_owned(), String::new()));
    assert_eq!(lab.emulator.records(INDEX, "default").len(), 3);
    lab.converged().await;
}

#[tokio::test]
async fn f31_an_index_that_vanished_while_nobody_looked_is_noticed_at_the_next_start() {
    let lab = Lab::new().await;
    lab.document("d", 2).await;
    lab.converged().await;
    lab.console(Method::DELETE, "/indexes/asktemoc").await;
    // Another server on the same database, which never saw the index.
    let config = lab.test.cx().config().clone();
    let index = index::open(&config, lab.test.cx().db()).await.unwrap();
    let other = App::assemble(config, lab.test.cx().db().clone(), index).await.unwrap();
    lab.document("e", 1).await;
    other.sync().run_until_idle().await.unwrap();
    let (state, reason) = lab.state().await;
    assert!(state == "paused" && reason.contains("is gone"), "{state} {reason}");
    assert_eq!(lab.target().await.generation, 2);
}

#[tokio::test]
async fn f22_three_poisoned_records_of_a_thousand_are_found_and_the_rest_is_there() {
    let lab = Lab::with(|config| config.sync.claim_size = 1_000).await;
    lab.emulator.fault(Fault::on(Operation::Upsert).ids(["d17", "d500", "d999"]).always().status(400));
    lab.document("d", 1_000).await;
    lab.settle().await;
    let found = lab.quarantined().await;
    let reason = |id: &str| (id.to_owned(), "target_rejected".to_owned());
    assert_eq!(found, [reason("d17"), reason("d500"), reason("d999")]);
    let requests = lab.requests(Operation::Upsert).len();
    assert!(requests <= 4 + 2 * 3 * 10, "{requests}");
    lab.converged().await;
    assert_eq!(lab.emulator.records(INDEX, "default").len(), 997);
}

#[tokio::test]
async fn f23_a_service_that_refuses_everything_is_at_fault_and_no_record_is() {
    let lab = Lab::new().await;
    lab.document("d", 20).await;
    let body = json!({"code":3,"message":"API version 2026-04 is not supported","details":[]}).to_string();
    lab.emulator.create_index(INDEX, 2, corpusd::config::Metric::Cosine);
    lab.emulator.fault(Fault::on(Operation::Upsert).always().status(400).body("application/json", &body));
    lab.settle().await;
    let (state, reason) = lab.state().await;
    assert!(state == "paused" && reason.contains("2026-04 is not supported"), "{state} {reason}");
    assert!(lab.quarantined().await.is_empty());
    lab.emulator.faults().clear();
    lab.wait(PAUSE).await;
    lab.converged().await;
}

#[tokio::test]
async fn f24_what_the_index_cannot_hold_is_refused_alone_before_anything_is_sent() {
    let lab = Lab::new().await;
    lab.document("d", 2).await;
    lab.converged().await;
    lab.document_of("odd", None, [vec![1.0, 2.0, 3.0], vec![0.0, 0.0], vec![5.0, 5.0]].into_iter()).await;
    let large = json!({ "title": "T", "id": "large", "metadata": { "much": "x".repeat(41_000) } });
    let made = lab.test.rest("POST", "/api/documents", Some(large)).await.json();
    let path = format!("/api/documents/{}/chunks", made["id"].as_str().unwrap());
    let chunk = lab.test.rest("POST", &path, Some(json!({ "chunk_index": 0, "text": "t" }))).await.json();
    let path = format!("/api/chunks/{}/embeddings", chunk["id"].as_str().unwrap());
    let embedding = lab.test.rest("POST", &path, Some(json!({ "vector": [1.0, 2.0] }))).await.json();
    lab.settle().await;
    let mut expected: Vec<(String, String)> = [
        (embedding["id"].as_str().unwrap(), "metadata_too_large"),
        ("odd0", "dimension_mismatch"),
        ("odd1", "vector_zero"),
    ]
    .map(|(id, why)| (id.to_owned(), why.to_owned()))
    .to_vec();
    expected.sort();
    assert_eq!(lab.quarantined().await, expected);
    let ids: Vec<String> = lab.requests(Operation::Upsert).into_iter().flat_map(|request| request.ids).collect();
    assert!(!ids.contains(&"odd0".to_owned()) && ids.contains(&"odd2".to_owned()), "{ids:?}");
    lab.converged().await;
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_split_and_nothing_of_it_quarantined() {
    let lab = Lab::new().await;
    lab.document("d", 8).await;
    lab.emulator.create_index(INDEX, 2, corpusd::config::Metric::Cosine);
    let old = json!({"code":11,"message":"message length too large: found 4194400 bytes, the limit is: 4194304 bytes"});
    lab.emulator.fault(Fault::on(Operation::Upsert).status(413));
    lab.emulator.fault(Fault::on(Operation::Upsert).skip(1).status(400).body("application/json", &old.to_string()));
    lab.settle().await;
    let sizes: Vec<usize> = lab.requests(Operation::Upsert).iter().map(|request| request.ids.len()).collect();
    assert_eq!(sizes.iter().copied().max(), Some(8));
    assert!(sizes.len() > 2, "{sizes:?}");
    assert!(lab.quarantined().await.is_empty());
    lab.converged().await;
}

#[tokio::test]
async fn requests_stay_below_the_size_that_the_service_takes() {
    let lab = Lab::with(|config| {
        config.sync.claim_size = 400;
        config.index.dimension = Some(1_536);
    })
    .await;
    let mut random = fastrand::Rng::with_seed(1);
    let vectors = (0..400).map(|_| (0..1_536).map(|_| random.f32() - 0.5).collect());
    lab.document_of("d", None, vectors).await;
    lab.settle().await;
    let bytes: Vec<usize> = lab.requests(Operation::Upsert).iter().map(|request| request.bytes).collect();
    assert!(bytes.iter().all(|bytes| *bytes <= 2_000_000), "{bytes:?}");
    assert!(bytes.len() <= 6, "and are filled: {bytes:?}");
    lab.converged().await;
}

#[tokio::test]
async fn metadata_arrives_as_the_index_can_keep_it() {
    let lab = Lab::new().await;
    let metadata =
        r#"{"big":9007199254740993,"small":7,"none":null,"deep":{"a":[1]},"tags":["x","y"],"mixed":["x",1]}"#;
    let body = json!({
        "title": "T",
        "metadata": serde_json::from_str::<serde_json::Value>(metadata).unwrap(),
    });
    let made = lab.test.rest("POST", "/api/documents", Some(body)).await.json();
    let id = made["id"].as_str().unwrap();
    let text = "long ".repeat(20_000);
    let chunk = json!({ "chunk_index": 0, "text": text });
    let chunk = lab.test.rest("POST", &format!("/api/documents/{id}/chunks"), Some(chunk)).await.json();
    let path = format!("/api/chunks/{}/embeddings", chunk["id"].as_str().unwrap());
    let embedding = lab.test.rest("POST", &path, Some(json!({ "vector": [1.0, 2.0] }))).await.json();
    lab.settle().await;
    let record = lab.record(embedding["id"].as_str().unwrap()).expect("a record");
    let stored: serde_json::Value = serde_json::from_str(&record.metadata.as_ref().unwrap().to_string()).unwrap();
    assert_eq!(
        (&stored["big"], &stored["deep"], &stored["mixed"]),
        (&json!("9007199254740993"), &json!("{\"a\":[1]}"), &json!("[\"x\",1]"))
    );
    assert_eq!((&stored["tags"], stored["small"].as_f64(), stored.get("none")), (&json!(["x", "y"]), Some(7.0), None));
    assert_eq!(stored["_cd_text_cut"], true);
}

#[tokio::test]
async fn a_server_starts_and_works_without_any_connection_to_its_target() {
    let test = TestApp::with(|config| {
        at(config, "http://127.0.0.1:1");
        config.index.auto_export = true;
    })
    .await;
    let made = test.rest("POST", "/api/documents", Some(json!({ "title": "T" }))).await;
    assert_eq!(made.status, 201);
    let path = format!("/api/documents/{}/chunks", made.json()["id"].as_str().unwrap());
    let chunk = test.rest("POST", &path, Some(json!({ "chunk_index": 0, "text": "t" }))).await.json();
    let path = format!("/api/chunks/{}/embeddings", chunk["id"].as_str().unwrap());
    assert_eq!(test.rest("POST", &path, Some(json!({ "vector": [1.0, 2.0] }))).await.status, 201);
    for _ in 0..12 {
        test.clock.advance(Duration::from_secs(5));
        test.sync_until_idle().await;
    }
    let told = test.graphql("{ targets { kind state reason } }", json!({})).await;
    assert_eq!(told["data"]["targets"][0]["kind"], "PINECONE");
    assert_eq!(told["data"]["targets"][0]["state"], "UNREACHABLE", "{told}");
}
