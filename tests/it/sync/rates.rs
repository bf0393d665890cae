//! A target that announces how fast it may be written to.

use std::sync::Mutex;

use corpusd::clock::Clock;
use corpusd::index::Rates;
use corpusd::sync::database::Database;
use corpusd::sync::ports::Time;
use corpusd::sync::worker::Setup;

use super::*;

/// A clock whose short sleeps are over at once, and are remembered. The long ones are time limits.
#[derive(Debug)]
struct Restless {
    clock: Clock,
    slept: Mutex<Vec<Duration>>,
}

impl Time for Restless {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn new_id(&self) -> String {
        self.clock.new_id()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        if time >= SyncConfig::default().request_timeout {
            return Box::pin(std::future::pending());
        }
        self.slept.lock().unwrap().push(time);
        Box::pin(std::future::ready(()))
    }
}

/// The pauses of an engine that sends eight records, one a request.
async fn pauses(rates: Option<Rates>) -> Vec<Duration> {
    let limits = corpusd::index::IndexLimits { upsert_records: 1, rates, ..MemoryIndex::default().limits() };
    let lab = Lab::over(MemoryIndex::new(limits)).await;
    lab.document(8).await;
    let cx = lab.test.cx();
    let time = Arc::new(Restless { clock: lab.test.clock.clone(), slept: Mutex::default() });
    let engine = Engine::over(Setup {
        store: Arc::new(Database::new(cx.db().clone(), cx.target_id())),
        index: cx.index().clone(),
        time: time.clone(),
        target_id: cx.target_id(),
        sync: cx.config().sync.clone(),
        dimension: None,
        seed: 1,
    });
    while engine.turn().await.unwrap() == Turn::Worked {}
    lab.converged().await;
    let slept = time.slept.lock().unwrap();
    slept.clone()
}

#[tokio::test]
async fn requests_wait_for_their_turn_where_a_target_announces_its_rates_and_nowhere_else() {
    let rates = Rates { requests: 10, upsert_bytes: 1_000_000, delete_ids: 1_000 };
    let waited: Vec<u128> = pauses(Some(rates)).await.iter().map(Duration::as_millis).collect();
    // Two and a half requests at once, then one every tenth of a second.
    assert_eq!(waited, [50, 150, 250, 350, 450]);
    assert!(pauses(None).await.is_empty());
}
