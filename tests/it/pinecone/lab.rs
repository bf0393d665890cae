//! An application whose index is a Pinecone over HTTP: the project's own emulator, on a port of its own.

#![expect(clippy::unwrap_used, reason = "the helpers belong to tests")]

use std::sync::Arc;
use std::time::Duration;

use corpusd::config::Config;
use corpusd::config::Secret;
use corpusd::emulator::Emulator;
use corpusd::emulator::Logged;
use corpusd::emulator::Operation;
use corpusd::emulator::Options;
use corpusd::emulator::Record;
use corpusd::entity::sync_job;
use corpusd::entity::sync_slot;
use corpusd::entity::sync_target;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use corpusd::service::embeddings::NewEmbedding;
use corpusd::service::jobs;
use corpusd::service::jobs::Scope;
use corpusd::store::sql::Sql;
use corpusd::store::targets;
use corpusd::store::vector;
use corpusd::sync::worker::Turn;
use sea_orm::EntityTrait as _;
use sea_orm::QueryOrder as _;

use super::INDEX;
use super::KEY;
use super::at;
use crate::support::TestApp;

/// The doubt window of the default configuration, and a moment more.
pub const DOUBT: Duration = Duration::from_secs(121);
/// How often a paused target is looked at, and a moment more.
pub const PAUSE: Duration = Duration::from_secs(61);

/// The application and the service.
pub struct Lab {
    pub test: TestApp,
    pub emulator: Emulator,
}

impl Lab {
    /// New embeddings travel by themselves; there is no index yet.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With a configuration that `change` made.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let options = Options { api_key: Some(Secret::new(KEY)), ..Options::default() };
        let emulator = Emulator::start(options).await.unwrap();
        let test = TestApp::with(|config| {
            at(config, &emulator.url());
            config.index.auto_export = true;
            change(config);
        })
        .await;
        Self { test, emulator }
    }

    /// A document whose chunks have an embedding each, `ID0` and so on.
    pub async fn document(&self, id: &str, embeddings: usize) {
        let vectors = (0..embeddings).map(|i| vec![number(i), 1.0]);
        self.document_of(id, None, vectors).await;
    }

    /// A document in a namespace, one chunk and embedding for each vector.
    pub async fn document_of(&self, id: &str, namespace: Option<&str>, vectors: impl Iterator<Item = Vec<f32>>) {
        let chunks = vectors.enumerate().map(|(i, vector)| NewChunk {
            text: format!("Text {i}"),
            embeddings: vec![NewEmbedding { id: Some(format!("{id}{i}")), vector, ..NewEmbedding::default() }],
            ..NewChunk::default()
        });
        let new = NewDocument {
            id: Some(id.to_owned()),
            title: "Title".to_owned(),
            namespace: namespace.map(str::to_owned),
            chunks: chunks.collect(),
            ..NewDocument::default()
        };
        documents::create(self.test.cx(), new).await.unwrap();
    }

    /// Does whatever is due now.
    pub async fn settle(&self) {
        while self.test.app.sync().engine().turn().await.unwrap() == Turn::Worked {}
    }

    /// Moves time, beat by beat: the worker stays alive.
    pub async fn wait(&self, time: Duration) {
        let step = Duration::from_secs(5);
        let mut left = time;
        while left > Duration::ZERO {
            self.test.clock.advance(step.min(left));
            left = left.saturating_sub(step);
            self.settle().await;
        }
    }

    pub async fn slots(&self) -> Vec<sync_slot::Model> {
        sync_slot::Entity::find()
            .order_by_asc(sync_slot::Column::Namespace)
            .order_by_asc(sync_slot::Column::VectorId)
            .all(self.test.cx().read())
            .await
            .unwrap()
    }

    /// The quarantined records, with their reasons.
    pub async fn quarantined(&self) -> Vec<(String, String)> {
        let slots = self.slots().await.into_iter();
        slots.filter_map(|slot| slot.quarantine.map(|why| (slot.vector_id, why))).collect()
    }

    pub async fn target(&self) -> sync_target::Model {
        targets::find(self.test.cx().read(), 1).await.unwrap().unwrap()
    }

    /// State and reason of the target.
    pub async fn state(&self) -> (String, String) {
        let target = self.target().await;
        (target.state, target.reason.unwrap_or_default())
    }

    pub async fn start(&self, scope: Scope) -> String {
        jobs::start(self.test.cx(), scope).await.unwrap().0.id
    }

    pub async fn job(&self, id: &str) -> sync_job::Model {
        jobs::get(self.test.cx(), id).await.unwrap()
    }

    /// A record as the service has it.
    pub fn record(&self, id: &str) -> Option<Arc<Record>> {
        self.emulator.records(INDEX, "default").get(id).cloned()
    }

    /// The requests of one kind since they were last forgotten.
    pub fn requests(&self, operation: Operation) -> Vec<Logged> {
        self.emulator.requests().into_iter().filter(|request| request.operation == operation).collect()
    }

    /// Sends a request to the control plane, as its owner at a console would.
    pub async fn console(&self, method: reqwest::Method, path: &str) {
        let request = crate::support::http().build().unwrap().request(method, format!("{}{path}", self.emulator.url()));
        let answer = request.header("api-key", KEY).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// P2: everything is clean, and the service has one record for each wanted slot, with the content of its rows.
    pub async fn converged(&self) {
        self.settle().await;
        for slot in self.slots().await.iter().filter(|slot| slot.quarantine.is_none()) {
            assert!(slot.due_at.is_none() && slot.dirty_epoch.is_none(), "{slot:?}");
        }
        let cx = self.test.cx();
        let mut rows = Sql::new(cx.read());
        rows.push(
            "SELECT d.namespace, e.vector_id, e.vector, d.title, c.text, s.acked_hash FROM embeddings e \
             JOIN chunks c ON c.id = e.chunk_id JOIN documents d ON d.id = c.document_id \
             JOIN sync_slots s ON s.vector_id = e.vector_id AND s.namespace = d.namespace \
             WHERE NOT e.held AND c.deleted_at IS NULL AND d.deleted_at IS NULL AND s.quarantine IS NULL",
        );
        let rows = rows.all(cx.read()).await.unwrap();
        let mut expected = 0;
        for row in &rows {
            let text = |at: usize| -> String { row.try_get_by_index(at).unwrap() };
            let vector: Vec<u8> = row.try_get_by_index(2).unwrap();
            let records = self.emulator.records(INDEX, &text(0));
            let record = records.get(&text(1)).unwrap_or_else(|| panic!("{} is not there", text(1)));
            assert_eq!(record.values, vector::from_bytes(&vector));
            let metadata = record.metadata.as_ref().unwrap();
            for (key, value) in [("document_title", text(3)), ("text", text(4)), ("_cd_hash", text(5))] {
                assert_eq!(metadata.get(key).and_then(|found| found.as_str()), Some(value.as_str()), "{key}");
            }
            expected += 1;
        }
        let mut namespaces: Vec<String> = self.slots().await.into_iter().map(|slot| slot.namespace).collect();
        namespaces.dedup();
        let held: usize = namespaces.iter().map(|name| self.emulator.records(INDEX, name).len()).sum();
        assert_eq!(held, expected);
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn number(i: usize) -> f32 {
    i as f32 + 1.0
}
