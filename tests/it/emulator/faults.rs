//! Faults: each kind, over a real connection.

use std::time::Duration;

use corpusd::emulator::Fault;
use corpusd::emulator::Operation;
use serde_json::Value;
use serde_json::json;

use crate::support::pinecone::Bench;

fn one(id: &str) -> Value {
    json!({"namespace": "a", "vectors": [{"id": id, "values": [1, 0, 0]}]})
}

fn ids(bench: &Bench) -> Vec<String> {
    bench.emulator.records("kb", "a").into_keys().collect()
}

/// Whether the connection was reset by the other side, and not politely closed.
fn is_reset(error: &reqwest::Error) -> bool {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::ConnectionReset;
        }
        source = error.source();
    }
    false
}

#[tokio::test]
async fn a_reset_is_a_real_one_before_the_write_or_after_it() {
    let bench = Bench::with_index("cosine").await;
    bench.emulator.fault(Fault::on(Operation::Upsert).reset());
    let error = bench.try_kb("/vectors/upsert", &one("lost")).await.unwrap_err();
    assert!(is_reset(&error), "{error:?}");
    assert_eq!(ids(&bench), [""; 0]);
    bench.emulator.fault(Fault::on(Operation::Upsert).reset().applied());
    let error = bench.try_kb("/vectors/upsert", &one("kept")).await.unwrap_err();
    assert!(is_reset(&error), "{error:?}");
    assert_eq!(ids(&bench), ["kept"]);
    assert_eq!(bench.try_kb("/vectors/upsert", &one("more")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_write_lands_late_whatever_the_client_heard() {
    let bench = Bench::with_index("cosine").await;
    bench.emulator.fault(Fault::on(Operation::Upsert).reset().late(Duration::from_secs(5)));
    assert!(bench.try_kb("/vectors/upsert", &one("late")).await.is_err());
    bench.kb("/vectors/delete", &json!({"namespace": "a", "ids": ["late"]})).await;
    assert_eq!(bench.listed("namespace=a").await, [""; 0]);
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(bench.listed("namespace=a").await, ["late"]);
    bench.emulator.fault(Fault::on(Operation::Upsert).status(504).late(Duration::from_secs(5)));
    assert_eq!(bench.kb("/vectors/upsert", &one("later")).await.status, 504);
    assert_eq!(bench.emulator.late(), 1);
    bench.emulator.land_late();
    assert_eq!(ids(&bench), ["late", "later"]);
}

#[tokio::test]
async fn a_status_comes_in_the_dress_of_its_plane_or_as_it_was_given() {
    let bench = Bench::with_index("cosine").await;
    bench.emulator.fault(Fault::any().status(503).header("retry-after", "7").times(2));
    let data = bench.kb("/query", &json!({"topK": 1, "id": "x"})).await;
    assert_eq!(
        (data.status, &data.headers["retry-after"], &data.json()["code"]),
        (503, &"7".parse().unwrap(), &json!(14))
    );
    let control = bench.get("/indexes").await;
    assert_eq!((control.status, &control.json()["error"]["code"]), (503, &json!("UNAVAILABLE")));
    bench.emulator.fault(Fault::on(Operation::Query).html(502));
    let page = bench.kb("/query", &json!({"topK": 1, "id": "x"})).await;
    assert_eq!((page.status, &page.headers["content-type"]), (502, &"text/html".parse().unwrap()));
    assert!(page.text.starts_with("<html>"));
    // Even a yes may be a page of somebody else.
    bench.emulator.fault(Fault::on(Operation::Upsert).html(200).applied());
    assert_eq!(bench.kb("/vectors/upsert", &one("x")).await.status, 200);
    assert_eq!(ids(&bench), ["x"]);
}

#[tokio::test]
async fn half_an_answer_comes_and_then_the_end() {
    let bench = Bench::with_index("cosine").await;
    bench.emulator.fault(Fault::on(Operation::Upsert).truncated());
    let answer = bench.try_kb("/vectors/upsert", &one("x")).await;
    assert!(answer.is_err_and(|error| error.is_body() || error.is_decode()), "the head came, the body did not");
    assert_eq!(ids(&bench), ["x"]);
}

#[tokio::test]
async fn a_call_that_waits_is_let_go_when_its_fault_is_taken_back() {
    let bench = Bench::with_index("cosine").await;
    bench.emulator.fault(Fault::on(Operation::Upsert).stall().applied());
    let arrived =
        bench.emulator.until(|requests| requests.iter().any(|request| request.operation == Operation::Upsert));
    let body = one("x");
    let waits = bench.try_kb("/vectors/upsert", &body);
    tokio::pin!(waits);
    tokio::select! {
        _ = &mut waits => panic!("it was answered"),
        () = arrived => {}
    }
    bench.emulator.faults().clear();
    assert!(waits.await.is_err());
    assert_eq!(ids(&bench), ["x"]);
    // One that would wait twice is let go once.
    for (id, fault) in [("y", Fault::any()), ("z", Fault::any().stall())] {
        bench.emulator.fault(fault.delay(Duration::from_secs(3600)));
        let arrived = bench.emulator.until(|requests| requests.iter().any(|request| request.ids == [id]));
        let body = one(id);
        let waits = bench.try_kb("/vectors/upsert", &body);
        tokio::pin!(waits);
        tokio::select! {
            _ = &mut waits => panic!("it was answered"),
            () = arrived => {}
        }
        assert!(!ids(&bench).contains(&id.to_owned()));
        bench.emulator.faults().clear();
        assert_eq!(waits.await.is_ok(), id == "y");
    }
    assert_eq!(ids(&bench), ["x", "y"]);
}

#[tokio::test]
async fn a_fault_meets_only_what_it_is_for_and_as_often_as_it_says() {
    let bench = Bench::with_index("cosine").await;
    let fault = Fault::on(Operation::Upsert).or_on(Operation::Delete).index("kb").namespace("a").status(500);
    let number = bench.emulator.fault(fault.skip(1).times(2));
    let delete = json!({"namespace": "a", "ids": ["x"]});
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(bench.kb("/vectors/upsert", &one("x")).await.status);
        told.push(bench.kb("/vectors/upsert", &json!({"vectors": [{"id": "x", "values": [1, 0, 0]}]})).await.status);
        told.push(bench.kb("/vectors/delete", &delete).await.status);
    }
    assert_eq!(told, [200, 200, 500, 500, 200, 200]);
    assert_eq!(bench.emulator.faults().happened(number), 2);
}

#[tokio::test]
async fn single_records_can_be_rejected_and_the_whole_batch_with_them() {
    let bench = Bench::with_index("cosine").await;
    let number = bench.emulator.fault(Fault::on(Operation::Upsert).ids(["bad", "worse"]).status(400).always());
    let batch = |ids: &[&str]| {
        let vectors: Vec<Value> = ids.iter().map(|id| json!({"id": id, "values": [1, 0, 0]})).collect();
        json!({"namespace": "a", "vectors": vectors})
    };
    for (sent, status) in [(&["x", "bad"][..], 400), (&["worse"], 400), (&["x", "y"], 200), (&["bad"], 400)] {
        assert_eq!(bench.kb("/vectors/upsert", &batch(sent)).await.status, status, "{sent:?}");
    }
    assert_eq!(ids(&bench), ["x", "y"]);
    bench.emulator.faults().remove(number);
    assert_eq!(bench.kb("/vectors/upsert", &batch(&["bad"])).await.status, 200);
}

#[tokio::test]
async fn chance_meets_the_same_calls_for_the_same_seed() {
    let bench = Bench::with_index("cosine").await;
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        bench.emulator.faults().clear();
        bench.emulator.fault(Fault::on(Operation::ListIndexes).status(500).chance(0.5, seed));
        let mut run = Vec::new();
        for _ in 0..32 {
            run.push(bench.get("/indexes").await.status);
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    let failed = runs[0].iter().filter(|status| **status == 500).count();
    assert!((4..=28).contains(&failed), "{failed} of 32");
}

#[tokio::test]
async fn calls_that_come_too_fast_are_told_to_wait() {
    let bench = Bench::with_index("cosine").await;
    bench.emulator.fault(Fault::on(Operation::ListIndexes).over(0.5, 2.0, true));
    let ask = || async {
        let answer = bench.get("/indexes").await;
        (answer.status, answer.headers.get("retry-after").map(|value| value.to_str().unwrap().to_owned()))
    };
    assert_eq!(ask().await, (200, None));
    assert_eq!(ask().await, (200, None));
    let (status, after) = ask().await;
    assert_eq!(status, 429);
    bench.clock.advance(Duration::from_secs(after.unwrap().parse().unwrap()));
    assert_eq!(ask().await.0, 200);
    assert_eq!(ask().await.0, 429);
}

#[tokio::test]
async fn faults_are_asked_for_shown_and_taken_back_over_http() {
    let bench = Bench::with_index("cosine").await;
    let plan = json!({
        "faults": [
            {"operation": ["upsert", "delete"], "namespace": "a", "times": 2, "answer": "reset", "late_ms": 50},
            {"path": "/i/kb/*", "always": true, "status": 429, "headers": {"retry-after": 3}, "body": {"code": 8}},
        ],
        "lag": {"ms": 100, "operations": ["list"]}, "ready_after_ms": 5, "large_body_status": 400,
    });
    let added = bench.post("/_faults", &plan).await;
    assert_eq!((added.status, added.json()), (200, json!({"added": [1, 2]})));
    let limited = bench.kb("/query", &json!({})).await;
    assert_eq!(
        (limited.status, &limited.headers["retry-after"], limited.text.as_str()),
        (429, &"3".parse().unwrap(), r#"{"code":8}"#)
    );
    let shown = bench.get("/_faults").await.json();
    assert_eq!(shown["faults"][0]["operation"], json!(["upsert", "delete"]));
    assert_eq!((&shown["faults"][1]["met"], &shown["faults"][1]["happened"]), (&json!(1), &json!(1)));
    assert_eq!(shown["lag"], json!({"ms": 100, "operations": ["list"]}));
    bench.delete("/_faults").await;
    let shown = bench.get("/_faults").await.json();
    assert_eq!(shown, json!({"faults": [], "lag": null, "ready_after_ms": 0, "large_body_status": 413}));
    for (wrong, part) in [
        (json!({"operation": "upset"}), "no operation 'upset'"),
        (json!({"opration": "upsert"}), "opration: no such setting"),
        (json!({"answer": "shrug"}), "answer must be"),
        (json!({"status": 99}), "status must be"),
        (json!({"lag": {}}), "lag must have ms or requests"),
        (json!({"status": 503, "headers": {"Content-Length": "1"}}), "Content-Length is the server's own"),
        (json!({"delay_ms": -1}), "delay_ms must not be negative"),
        (json!([]), "must be a JSON object"),
    ] {
        let answer = bench.post("/_faults", &wrong).await;
        assert!(answer.status == 400 && answer.text.contains(part), "{part}: {}", answer.text);
    }
    let late = json!({"operation": "upsert", "status": 504, "late_ms": 60_000});
    bench.post("/_faults", &late).await;
    bench.kb("/vectors/upsert", &one("x")).await;
    assert_eq!(ids(&bench), [""; 0]);
    assert_eq!(bench.post("/_faults/land", &json!({})).await.status, 200);
    assert_eq!(ids(&bench), ["x"]);
}

#[tokio::test]
async fn the_request_log_tells_batches_attempts_and_order_without_the_key() {
    let bench = Bench::with_index("cosine").await;
    bench.delete("/_requests").await;
    bench.emulator.fault(Fault::on(Operation::Upsert).reset());
    assert!(bench.try_kb("/vectors/upsert", &one("x")).await.is_err());
    let body =
        json!({"namespace": "a", "vectors": [{"id": "x", "values": [1, 0, 0]}, {"id": "y", "values": [1, 0, 0]}]});
    bench.kb("/vectors/upsert", &body).await;
    bench.get("/i/kb/vectors/fetch?ids=x&ids=y&ids=z").await;
    let shown = bench.get("/_requests").await;
    assert!(!shown.text.contains("pclocal"), "{}", shown.text);
    let requests = shown.json()["requests"].as_array().unwrap().clone();
    let told = |name: &str| requests.iter().map(|request| request[name].clone()).collect::<Vec<_>>();
    assert_eq!(told("operation"), ["upsert", "upsert", "fetch"]);
    assert_eq!(told("path")[0], "/i/kb/vectors/upsert");
    assert_eq!(told("records"), [1, 2, 3]);
    assert_eq!(told("status"), [Value::Null, json!(200), json!(200)]);
    assert_eq!(told("fault"), [json!(1), Value::Null, Value::Null]);
    assert_eq!(told("bytes")[1], body.to_string().len());
    assert_eq!(told("namespace"), ["a", "a", "__default__"]);
}

#[tokio::test]
async fn a_fault_that_cannot_be_meant_is_refused_by_the_name_of_its_field() {
    let bench = Bench::with_index("cosine").await;
    for (body, field) in [
        (r#"{"probability": 1e400}"#, "probability"),
        (r#"{"probability": -0.1}"#, "probability"),
        (r#"{"probability": 2}"#, "probability"),
        (r#"{"probability": "1"}"#, "probability"),
        (r#"{"per_second": 1e400}"#, "per_second"),
        (r#"{"per_second": 0}"#, "per_second"),
        (r#"{"per_second": 1, "burst": 1e400}"#, "burst"),
        (r#"{"per_second": 1, "burst": 0}"#, "burst"),
        (r#"{"per_second": 1, "retry_after": 1}"#, "retry_after"),
        (r#"{"probability": 1, "per_second": 1}"#, "probability"),
        (r#"{"probability": 1, "seed": -1}"#, "seed"),
        (r#"{"seed": "x"}"#, "seed"),
        (r#"{"seed": 1}"#, "seed"),
        (r#"{"burst": 5}"#, "burst"),
        (r#"{"burst": {}}"#, "burst"),
        (r#"{"retry_after": true}"#, "retry_after"),
        (r#"{"retry_after": "soon"}"#, "retry_after"),
        (r#"{"probability": 1, "skip": "x"}"#, "skip"),
        (r#"{"status": 503, "headers": {"a b": "c"}}"#, "headers"),
        (r#"{"status": 503, "headers": {"": "c"}}"#, "headers"),
        (r#"{"status": 503, "headers": {"a\r\nb": "c"}}"#, "headers"),
        (r#"{"status": 503, "headers": {"x-odd": "c\r\nd: e"}}"#, "headers.x-odd"),
        (r#"{"status": 503, "body": "b", "content_type": "\r\n"}"#, "content_type"),
        (r#"{"status": 503, "body": "b", "content_type": ""}"#, "content_type"),
        (r#"{"status": 503, "content_type": "text/plain"}"#, "content_type"),
    ] {
        let answer = bench.send("POST", "/_faults", &[], Some(body.as_bytes().to_vec())).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        assert!(answer.text.contains(field), "{body}: {}", answer.text);
        assert_eq!(bench.get("/_faults").await.json()["faults"], json!([]), "{body}");
    }
    let good = r#"{"faults": [{"probability": 0.5, "seed": 7}, {"per_second": 0.5, "burst": 2, "retry_after": true}]}"#;
    assert_eq!(bench.send("POST", "/_faults", &[], Some(good.as_bytes().to_vec())).await.status, 200);
}

#[tokio::test]
async fn the_request_log_is_bounded_by_bytes() {
    let bench = Bench::with_index("cosine").await;
    let long = "x".repeat(50_000);
    for _ in 0..900 {
        bench.get(&format!("/i/kb/vectors/list?namespace={long}")).await;
    }
    let kept = bench.emulator.requests();
    let last = kept.last().expect("the newest is kept").number;
    // Each names a namespace of 50 kB.
    assert!(kept.len() < 800 && kept.len() > 500, "{}", kept.len());
    assert_eq!(last - kept[0].number + 1, kept.len() as u64, "the oldest are forgotten first");
}

#[tokio::test]
async fn a_spec_that_is_none_and_odd_metadata_are_refused_by_their_names() {
    let bench = Bench::with_index("cosine").await;
    for (body, field) in [
        (json!({"spec": "\u{0}"}), "spec"),
        (json!({"spec": 7}), "spec"),
        (json!({"spec": {"serverless": []}}), "spec.serverless"),
    ] {
        let body = body.to_string().into_bytes();
        let answer = bench.send("PATCH", "/indexes/kb", &[], Some(body)).await;
        assert!((400..500).contains(&answer.status) && answer.text.contains(field), "{}", answer.text);
    }
    let answer = bench.kb("/vectors/update", &json!({"id": "x", "setMetadata": 7})).await;
    assert!(answer.status == 400 && answer.text.contains("setMetadata"), "{}", answer.text);
}
