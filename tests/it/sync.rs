//! The sync engine, driven by hand against an index that fails where a test planned it.
//!
//! Every test ends with [`Lab::converged`]: index and rows are the same, byte for byte.

#![expect(clippy::unwrap_used, reason = "the helpers belong to tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use corpusd::config::Config;
use corpusd::config::SyncConfig;
use corpusd::index::VectorIndex as _;
use corpusd::index::memory::Call;
use corpusd::index::memory::Fail;
use corpusd::index::memory::MemoryIndex;
use corpusd::service::Delete;
use corpusd::service::Patch;
use corpusd::service::chunks;
use corpusd::service::chunks::ChunkPatch;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents;
use corpusd::service::documents::DocumentPatch;
use corpusd::service::documents::NewDocument;
use corpusd::service::embeddings;
use corpusd::service::embeddings::EmbeddingPatch;
use corpusd::service::embeddings::NewEmbedding;
use corpusd::service::jobs;
use corpusd::service::jobs::JobState;
use corpusd::service::jobs::Scope;
use corpusd::service::jobs::Start;
use corpusd::store::Tx;
use corpusd::store::claims;
use corpusd::store::claims::Ticket;
use corpusd::store::coverage;
use corpusd::store::sql::Sql;
use corpusd::store::workers;
use corpusd::sync::worker::Engine;
use corpusd::sync::worker::Turn;
use futures_util::future::BoxFuture;
use sea_orm::ConnectionTrait as _;
use sea_orm::EntityTrait as _;
use sea_orm::QueryOrder as _;

use crate::support::TestApp;

mod checks;
mod database;
mod drive;
mod faults;
mod following;
mod probe;
mod races;
mod rates;
mod rows;
mod scheduled;
mod stopping;
mod targets;
mod turns;

/// An application over a memory index, and what its invariants were when they were last looked at.
pub struct Lab {
    test: TestApp,
    index: Arc<MemoryIndex>,
    seen: tokio::sync::Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    revisions: BTreeMap<(String, String), i64>,
    jobs: BTreeMap<String, [i64; 6]>,
    epoch: i64,
}

type Slot = corpusd::entity::sync_slot::Model;

/// The doubt window of the default configuration, and a moment more.
const DOUBT: Duration = Duration::from_secs(121);
/// The longest pause before a slot is tried again, and a moment more.
const PAUSE: Duration = Duration::from_secs(61);

impl Lab {
    async fn new() -> Self {
        Self::over(MemoryIndex::default()).await
    }

    async fn over(index: MemoryIndex) -> Self {
        Self::with(index, |_| {}).await
    }

    async fn with(index: MemoryIndex, change: impl FnOnce(&mut SyncConfig)) -> Self {
        let index = Arc::new(index);
        let change = |config: &mut Config| {
            config.index.auto_export = true;
            change(&mut config.sync);
        };
        let test = TestApp::with_index(index.clone(), change).await;
        Self { test, index, seen: tokio::sync::Mutex::default() }
    }

    fn engine(&self) -> &Engine {
        self.test.app.sync().engine()
    }

    /// Another worker on the same database and index.
    fn second(&self) -> Engine {
        Engine::new(self.test.cx())
    }

    /// A document `d` whose chunks `c0`, `c1` … have the embeddings `e0`, `e1` …
    async fn document(&self, embeddings: usize) {
        let chunks = (0..embeddings).map(|i| NewChunk {
            id: Some(format!("c{i}")),
            text: format!("Text {i}"),
            embeddings: vec![embedding(&format!("e{i}"), number(i))],
            ..NewChunk::default()
        });
        let new = NewDocument {
            id: Some("d".to_owned()),
            title: "Title".to_owned(),
            chunks: chunks.collect(),
            ..NewDocument::default()
        };
        documents::create(self.test.cx(), new).await.unwrap();
    }

    async fn retitle(&self, title: &str) {
        let patch = DocumentPatch { title: Patch::Set(title.to_owned()), ..DocumentPatch::default() };
        documents::update(self.test.cx(), "d", patch).await.unwrap();
    }

    async fn revector(&self, id: &str, first: f32) {
        let patch = EmbeddingPatch { vector: Patch::Set(vec![first, 1.0]), ..EmbeddingPatch::default() };
        embeddings::update(self.test.cx(), id, patch).await.unwrap();
    }

    async fn delete(&self, mode: Delete) {
        documents::delete(self.test.cx(), "d", mode).await.unwrap();
    }

    async fn turn(&self) -> Turn {
        let turn = self.engine().turn().await.unwrap();
        self.check().await;
        turn
    }

    async fn settle(&self) {
        while self.turn().await == Turn::Worked {}
    }

    /// Moves time, beat by beat: the worker stays alive.
    async fn wait(&self, time: Duration) {
        let step = Duration::from_secs(5);
        let mut left = time;
        while left > Duration::ZERO {
            self.test.clock.advance(step.min(left));
            left = left.saturating_sub(step);
            self.settle().await;
        }
    }

    async fn slots(&self) -> Vec<Slot> {
        corpusd::entity::sync_slot::Entity::find()
            .order_by_asc(corpusd::entity::sync_slot::Column::Namespace)
            .order_by_asc(corpusd::entity::sync_slot::Column::VectorId)
            .all(self.test.cx().read())
            .await
            .unwrap()
    }

    async fn slot(&self, id: &str) -> Slot {
        self.slots().await.into_iter().find(|slot| slot.vector_id == id).expect("a slot")
    }

    async fn job(&self, id: &str) -> corpusd::entity::sync_job::Model {
        jobs::get(self.test.cx(), id).await.unwrap()
    }

    async fn start(&self, scope: Scope) -> String {
        let (job, started) = jobs::start(self.test.cx(), scope).await.unwrap();
        assert!(started);
        job.id
    }

    /// Runs a write past the service.
    async fn write<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a Tx) -> BoxFuture<'a, corpusd::error::Result<T>> + Send + Sync + 'static,
    {
        self.test.cx().db().write(work).await.unwrap().value
    }

    /// Runs a statement past the store.
    async fn raw(&self, statement: &'static str) {
        self.write(move |tx| {
            Box::pin(async move {
                tx.execute_unprepared(statement).await?;
                Ok(())
            })
        })
        .await;
    }

    /// A worker that claims everything, and then is never heard of again.
    async fn claim_by_a_ghost(&self) {
        let claimed = self
            .write(|tx| {
                Box::pin(async move {
                    workers::register(tx, "ghost").await?;
                    let ticket = Ticket {
                        target_id: 1,
                        namespace: "default".to_owned(),
                        token: "ghost".to_owned(),
                        worker: "ghost".to_owned(),
                        rev: 0,
                    };
                    Ok(claims::claim(tx, &ticket, "present", 100).await?)
                })
            })
            .await;
        assert!(!claimed.is_empty());
    }

    /// A worker that vanishes while its request is under way.
    async fn vanish(&self) {
        let doomed = self.second();
        self.index.hold();
        tokio::select! {
            turn = doomed.turn() => panic!("{turn:?}"),
            () = self.index.held() => {}
        }
        self.index.resume();
    }

    /// Does something while a request is under way, which then is applied and answered.
    async fn while_held(&self, work: impl Future<Output = ()>) {
        self.index.hold();
        let (turn, ()) = tokio::join!(self.engine().turn(), async {
            self.index.held().await;
            work.await;
            self.index.resume();
        });
        turn.unwrap();
        self.check().await;
    }

    fn first_number(&self, id: &str) -> Option<f32> {
        self.index.records().values().find(|record| record.id == id).map(|record| record.values[0])
    }

    /// Titles of the records in the index.
    fn titles(&self) -> Vec<String> {
        let title = |metadata: &str| {
            let read: serde_json::Value = serde_json::from_str(metadata).unwrap();
            read["document_title"].as_str().unwrap().to_owned()
        };
        self.index.records().values().map(|record| title(&record.metadata)).collect()
    }

    /// The invariants I1, I2, I3, I6, I7 and I8 of sync.md.
    async fn check(&self) {
        let cx = self.test.cx();
        let target = corpusd::store::targets::find(cx.read(), 1).await.unwrap().unwrap();
        let slots = self.slots().await;
        let mut seen = self.seen.lock().await;
        for slot in &slots {
            assert!(slot.acked_rev <= slot.want_rev, "I1 {slot:?}");
            let settle = slot.doubt_until > slot.acked_from && slot.doubt_hash != slot.acked_hash;
            let clean = slot.acked_rev == slot.want_rev && slot.acked_gen == target.generation && !settle;
            if slot.quarantine.is_none() && slot.claim_token.is_none() {
                let quiet = slot.due_at.is_none() && slot.dirty_epoch.is_none() && slot.dirty_rev.is_none();
                let busy = slot.due_at.is_some() && slot.dirty_epoch.is_some() && slot.dirty_rev.is_some();
                assert!(if clean { quiet } else { busy }, "I2 {slot:?}");
            }
            let claim = [slot.claim_token.is_some(), slot.claim_worker.is_some(), slot.claimed_at.is_some()];
            assert!(claim == [true; 3] || claim == [false; 3], "I3 {slot:?}");
            let key = (slot.namespace.clone(), slot.vector_id.clone());
            let before = seen.revisions.insert(key, slot.want_rev).unwrap_or(0);
            assert!(slot.want_rev >= before, "I6 {slot:?}");
        }
        for job in corpusd::entity::sync_job::Entity::find().all(cx.read()).await.unwrap() {
            let now = [job.total, job.done, job.failed, job.upserted, job.deleted, job.event_seq];
            let before = seen.jobs.insert(job.id.clone(), now).unwrap_or_default();
            assert!(now.iter().zip(before).all(|(now, before)| *now >= before), "I6 {before:?} {job:?}");
            if job.state.starts_with("completed") && job.finished_at == Some(cx.db().clock().now_ms()) {
                let remains = corpusd::store::jobs::remains(cx.read(), &job).await.unwrap();
                assert_eq!(remains.open, 0, "I8 {job:?}");
            }
        }
        let epoch = self.number("SELECT epoch FROM sync_clock").await;
        assert!(epoch >= seen.epoch, "I6");
        seen.epoch = epoch;
        drop(seen);
        let wanted = "FROM embeddings e JOIN chunks c ON c.id = e.chunk_id JOIN documents d ON d.id = c.document_id \
                      LEFT JOIN sync_slots s ON s.vector_id = e.vector_id AND s.namespace = d.namespace \
                      WHERE NOT e.held AND c.deleted_at IS NULL AND d.deleted_at IS NULL";
        let without =
            self.number(&format!("SELECT count(*) {wanted} AND (s.want IS NULL OR s.want <> 'present')")).await;
        assert_eq!(without, 0, "I7: a wanted embedding without a slot");
        let present = self.number("SELECT count(*) FROM sync_slots WHERE want = 'present'").await;
        assert_eq!(present, self.number(&format!("SELECT count(*) {wanted}")).await, "I7: a slot without an embedding");
    }

    async fn number(&self, statement: &str) -> i64 {
        let mut sql = Sql::new(self.test.cx().read());
        sql.push(statement);
        sql.one(self.test.cx().read()).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }

    /// P2: everything is clean, and the index holds one record for each wanted slot with the content of its rows.
    async fn converged(&self) {
        self.settle().await;
        for slot in self.slots().await {
            assert!(slot.due_at.is_none() && slot.dirty_epoch.is_none(), "{slot:?}");
        }
        let mut rows = Sql::new(self.test.cx().read());
        rows.push(
            "SELECT d.namespace, e.vector_id, e.vector, d.title, c.text, s.want_rev FROM embeddings e \
             JOIN chunks c ON c.id = e.chunk_id JOIN documents d ON d.id = c.document_id \
             JOIN sync_slots s ON s.vector_id = e.vector_id AND s.namespace = d.namespace \
             WHERE NOT e.held AND c.deleted_at IS NULL AND d.deleted_at IS NULL AND s.quarantine IS NULL",
        );
        let rows = rows.all(self.test.cx().read()).await.unwrap();
        let records = self.index.records();
        assert_eq!(rows.len(), records.len(), "{:?}", records.keys());
        for row in rows {
            let key: (String, String) = (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
            let vector: Vec<u8> = row.try_get_by_index(2).unwrap();
            let title: String = row.try_get_by_index(3).unwrap();
            let text: String = row.try_get_by_index(4).unwrap();
            let record = &records[&key];
            assert_eq!(corpusd::store::vector::to_bytes(&record.values), vector);
            let metadata: serde_json::Value = serde_json::from_str(&record.metadata).unwrap();
            assert_eq!(
                (metadata["document_title"].as_str(), metadata["text"].as_str()),
                (Some(title.as_str()), Some(text.as_str()))
            );
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn number(i: usize) -> f32 {
    i as f32 + 1.0
}

fn embedding(id: &str, first: f32) -> NewEmbedding {
    NewEmbedding { id: Some(id.to_owned()), vector: vec![first, 1.0], ..NewEmbedding::default() }
}
