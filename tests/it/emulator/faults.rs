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
