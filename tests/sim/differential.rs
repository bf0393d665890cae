//! The tables of this world against the SQL of a real database: the same operations, the same rows after each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use corpusd::app::App;
use corpusd::clock::Clock;
use corpusd::config::Config;
use corpusd::entity::chunk;
use corpusd::entity::document;
use corpusd::entity::embedding;
use corpusd::entity::sync_job;
use corpusd::entity::sync_slot;
use corpusd::index::memory::MemoryIndex;
use corpusd::service::jobs as service;
use corpusd::service::jobs::Scope;
use corpusd::store::Tx;
use corpusd::store::claims::Ack;
use corpusd::store::claims::Back;
use corpusd::store::claims::Refused;
use corpusd::store::claims::Ticket;
use corpusd::store::connect;
use corpusd::store::coverage;
use corpusd::store::jobs::Remains;
use corpusd::store::log::Change;
use corpusd::store::log::ChangeKind;
use corpusd::store::slots;
use corpusd::store::slots::Extent;
use corpusd::store::sql::Sql;
use corpusd::store::targets;
use corpusd::store::targets::Configured;
use corpusd::store::targets::TargetState;
use corpusd::store::vector;
use corpusd::sync::database::Database;
use corpusd::sync::payload::ABSENT;
use corpusd::sync::perform::Claim;
use corpusd::sync::ports::Store;
use corpusd::sync::progress;
use corpusd::sync::progress::Visible;
use fastrand::Rng;
use sea_orm::EntityTrait as _;
use sea_orm::QueryOrder as _;
use sea_orm::Set;
use tempfile::TempDir;

use crate::database::database_url;
use crate::tables::Key;
use crate::tables::Moment;
use crate::tables::TARGET;
use crate::tables::Tables;
use crate::tables::corpus::Chunk;
use crate::tables::corpus::Document;
use crate::tables::corpus::Embedding;

/// Both, side by side.
struct Pair {
    app: App,
    store: Database,
    clock: Clock,
    tables: Tables,
    rng: Rng,
    claims: Vec<Arc<Claim>>,
    numbers: u32,
    generation: u32,
    _folder: TempDir,
}

impl Pair {
    async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.database.url = database_url(&folder).await;
        config.sync.export_wait = Duration::ZERO;
        let clock = Clock::frozen(1_767_225_600_000_000);
        let db = connect::open(&config.database, &clock).await.expect("a database");
        let app = App::assemble(config, db, Arc::new(MemoryIndex::default())).await.expect("an application");
        let store = Database::new(app.cx().db().clone(), TARGET);
        let rng = Rng::with_seed(seed);
        let tables = Tables::default();
        Self { app, store, clock, tables, rng, claims: Vec::new(), numbers: 0, generation: 0, _folder: folder }
    }

    fn at(&self) -> Moment {
        Moment { now: self.clock.now_ms(), seen: self.app.cx().db().seen_revision() }
    }

    fn next(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.rng.usize(0..of.len())].clone()) }
    }

    /// Changes rows of the corpus in both, and touches the same of the same document.
    async fn edit(&mut self, change: impl FnOnce(&mut Tables) -> Option<(String, Option<Vec<String>>)>) {
        let Some((document, only)) = change(&mut self.tables) else { return };
        let at = self.at();
        let rows = Arc::new((self.tables.clone(), document.clone(), only.clone()));
        let write = self.app.cx().db().write(move |tx| {
            let rows = rows.clone();
            Box::pin(async move {
                let (tables, document, only) = &*rows;
                put_corpus(tx, tables).await?;
                let extent = only.as_deref().map_or(Extent::Document, Extent::Embeddings);
                slots::touch(tx, TARGET, document, extent).await?;
                tx.record(Change::new(ChangeKind::DocumentUpdated, document, document));
                Ok(())
            })
        });
        write.await.expect("an edit");
        self.tables.touch(&document, only.as_deref(), at);
        self.tables.rev += 1;
    }

    async fn random_edit(&mut self) {
        let number = self.next();
        let roll = self.rng.u32(0..14);
        let coin = self.rng.bool();
        let documents: Vec<String> = self.tables.documents.keys().cloned().collect();
        let chunks: Vec<String> = self.tables.chunks.keys().cloned().collect();
        let embeddings: Vec<String> = self.tables.embeddings.keys().cloned().collect();
        let (d, c, e) = (self.pick(&documents), self.pick(&chunks), self.pick(&embeddings));
        let missing = ["d0", "d1", "d2"].into_iter().find(|id| !documents.iter().any(|known| known == id));
        self.edit(|tables| match (roll, d, c, e) {
            (0..3, _, _, Some(id)) => {
                tables.embeddings.get_mut(&id)?.vector = vec![number as f32, 1.0];
                of_embedding(tables, &id)
            }
            (3, _, _, Some(id)) => {
                tables.embeddings.get_mut(&id)?.vector_id = format!("v{number}");
                of_embedding(tables, &id)
            }
            (4, _, _, Some(id)) => {
                tables.embeddings.get_mut(&id)?.held = coin;
                of_embedding(tables, &id)
            }
            (5, _, _, Some(id)) => {
                let found = of_embedding(tables, &id);
                tables.embeddings.remove(&id);
                found
            }
            (6, _, Some(id), _) => {
                let chunk = tables.chunks.get_mut(&id)?;
                chunk.deleted = !chunk.deleted;
                let document = chunk.document.clone();
                let of = tables.embeddings.iter().filter(|(_, embedding)| embedding.chunk == id);
                Some((document, Some(of.map(|(id, _)| id.clone()).collect())))
            }
            (7, Some(id), ..) => {
                tables.documents.get_mut(&id)?.title = format!("t{number}");
                Some((id, None))
            }
            (8..10, Some(id), ..) => {
                let document = tables.documents.get_mut(&id)?;
                document.deleted = !document.deleted;
                Some((id, None))
            }
            (10, Some(id), ..) => {
                tables.documents.get_mut(&id)?.namespace = if coin { "m" } else { "n" }.to_owned();
                Some((id, None))
            }
            (11, Some(id), ..) if coin => {
                tables.documents.remove(&id);
                let chunks = &mut tables.chunks;
                let of = |chunks: &BTreeMap<String, Chunk>, chunk: &str| chunks[chunk].document == id;
                tables.embeddings.retain(|_, embedding| !of(chunks, &embedding.chunk));
                chunks.retain(|_, chunk| chunk.document != id);
                Some((id, None))
            }
            _ => {
                let id = missing?.to_owned();
                let one = Document { namespace: "m".to_owned(), title: format!("t{number}"), deleted: false };
                tables.documents.insert(id.clone(), one);
                for place in 0..2 {
                    let chunk = format!("c{id}{place}");
                    let one = Chunk { document: id.clone(), text: format!("x{number}"), deleted: false };
                    tables.chunks.insert(chunk.clone(), one);
                    let name = format!("e{id}{place}");
                    let held = place == 1 && coin;
                    let one = Embedding { chunk, vector_id: name.clone(), held, vector: vec![number as f32, 1.0] };
                    tables.embeddings.insert(name, one);
                }
                Some((id, None))
            }
        })
        .await;
    }

    async fn random_job(&mut self) {
        let documents: Vec<String> = self.tables.documents.keys().cloned().collect();
        let embeddings: Vec<String> = self.tables.embeddings.keys().cloned().collect();
        let vectors: Vec<String> = self.tables.embeddings.values().map(|e| e.vector_id.clone()).collect();
        let active: Vec<String> = self.tables.active_jobs().into_iter().map(|job| job.id).collect();
        let (d, e, v, j) = (self.pick(&documents), self.pick(&embeddings), self.pick(&vectors), self.pick(&active));
        let roll = self.rng.u32(0..6);
        let at = self.at();
        let cx = self.app.cx().clone();
        match (roll, d, e, v, j) {
            (0, Some(id), ..) => {
                if let Ok((job, _)) = service::start(&cx, Scope::Document(id.clone())).await {
                    assert_eq!(self.tables.start_document(&job.id, &id, at), Some(job.id));
                } else {
                    assert_eq!(self.tables.start_document("none", &id, at), None);
                }
            }
            (1, _, Some(id), ..) => {
                let ids = [id];
                if let Ok((job, _)) = service::start(&cx, Scope::Embeddings(ids.to_vec())).await {
                    assert_eq!(self.tables.start_embeddings(&job.id, &ids, at), Some(job.id));
                } else {
                    assert_eq!(self.tables.start_embeddings("none", &ids, at), None);
                }
            }
            (2, _, _, Some(id), _) => {
                let ids = vec![id, "strange".to_owned()];
                // It does not wait for the end of its job here.
                let _ = service::delete_vectors(&cx, ids.clone()).await;
                let known = sync_job::Entity::find().all(cx.read()).await.expect("jobs");
                let new = known.into_iter().find(|job| !self.tables.jobs.contains_key(&job.id));
                let namespace = cx.config().index.namespace.clone();
                self.tables.delete_vectors(&new.map_or_else(String::new, |job| job.id), &namespace, &ids, at);
            }
            (3, .., Some(id)) => {
                service::cancel(&cx, &id).await.expect("cancelled");
                self.tables.cancel(&id, at);
            }
            (4, .., Some(id)) => self.move_job(&id).await,
            _ => {
                let (job, _) = service::start(&cx, Scope::Unsynced).await.expect("started");
                assert_eq!(self.tables.start_unsynced(&job.id, at), job.id);
            }
        }
    }

    async fn move_job(&mut self, id: &str) {
        let owner = self.worker();
        let at = self.at();
        let visible = if self.rng.bool() { Some(Visible::Yes) } else { None };
        let blocked = if self.rng.bool() { Some("why".to_owned()) } else { None };
        let decide = move |job: &mut sync_job::Model, remains: Remains, sweeping: bool| {
            let blocked = blocked.clone();
            let facts =
                progress::Facts { remains, blocked, sweeping, visible, verified_for: Duration::ZERO, now: at.now };
            progress::advance(job, &facts)
        };
        let news = self.tables.move_job(id, &owner, &decide, at);
        assert_eq!(self.store.move_job(id, &owner, Arc::new(decide)).await.expect("moved"), news);
    }

    fn worker(&mut self) -> String {
        ["a", "b", "c"][self.rng.usize(0..3)].to_owned()
    }

    async fn claim(&mut self) {
        let number = self.next();
        let want = if self.rng.u32(0..3) == 0 { "absent" } else { "present" };
        let namespace = if self.rng.bool() { "m" } else { "n" }.to_owned();
        let at = self.at();
        let ticket =
            Ticket { target_id: TARGET, namespace, token: format!("k{number}"), worker: self.worker(), rev: at.seen };
        let (when, claimed) = if self.rng.u32(0..6) == 0 {
            let (when, known) = self.store.claim_known(&ticket).await.expect("claimed");
            assert_eq!(self.tables.claim_known(&ticket, at), known);
            (when, known.into_iter().collect())
        } else {
            let limit = self.rng.u32(1..4);
            let (when, claimed) = self.store.claim(&ticket, want, limit).await.expect("claimed");
            assert_eq!(self.tables.claim(&ticket, want, limit, at), claimed);
            (when, claimed)
        };
        assert_eq!(when, at.now);
        if claimed.is_empty() {
            return;
        }
        let ids: Vec<String> = claimed.iter().map(|slot| slot.vector_id.clone()).collect();
        let truths = self.store.read(&ticket, &ids, 1_000).await.expect("read");
        assert_eq!(self.tables.read(&ticket, &ids), truths);
        let slots = claimed.into_iter().map(|slot| (slot.vector_id.clone(), slot)).collect();
        // Some are from before the target's last change.
        let generation = self.tables.target.generation - i64::from(self.rng.u32(0..8) == 0);
        self.claims.push(Arc::new(Claim { ticket, at: at.now, generation, doubt_ms: 120_000, slots }));
    }

    async fn answer(&mut self) {
        let Some(claim) = self.pick(&self.claims.clone()) else { return };
        let at = self.at();
        let mut ids: Vec<&String> = claim.slots.keys().collect();
        ids.sort();
        ids.truncate(self.rng.usize(1..=ids.len()));
        let ids: Vec<String> = ids.into_iter().cloned().collect();
        let why = self.rng.bool().then(|| ("in_doubt", "no answer".to_owned()));
        let due_at = at.now + self.rng.i64(0..5_000);
        let back = |id: &String| Back { vector_id: id.clone(), due_at, why: why.clone() };
        let hash = [ABSENT, "h1", "h2"][self.rng.usize(0..3)].to_owned();
        match self.rng.u32(0..10) {
            0..5 => {
                let (sent, lsn) = (self.rng.u32(0..5) > 0, self.rng.bool().then(|| self.rng.i64(1..100)));
                let ack = |id: &String| Ack {
                    vector_id: id.clone(),
                    want_rev: claim.slots[id].want_rev,
                    hash: hash.clone(),
                    lsn,
                    sent,
                };
                let acks: Vec<Ack> = ids.iter().map(ack).collect();
                self.tables.acknowledge(&claim, &acks, at);
                self.store.acknowledge(&claim, acks).await.expect("acknowledged");
            }
            5..7 => {
                let slots: Vec<(Back, String)> = ids.iter().map(|id| (back(id), hash.clone())).collect();
                self.tables.doubt(&claim, &slots, at);
                self.store.doubt(&claim, slots).await.expect("doubted");
            }
            7 => {
                let slots: Vec<Back> = ids.iter().map(back).collect();
                self.tables.release(&claim.ticket, &slots, at);
                self.store.release(&claim, slots).await.expect("released");
            }
            8 => {
                let refused = Refused {
                    vector_id: ids[0].clone(),
                    want_rev: claim.slots[&ids[0]].want_rev,
                    code: "target_rejected",
                    text: "refused".to_owned(),
                    deleted: self.rng.bool(),
                };
                self.tables.quarantine(&claim, &refused, at);
                self.store.quarantine(&claim, refused).await.expect("quarantined");
            }
            _ => {
                self.tables.put_back(&claim.ticket);
                self.store.put_back(&claim.ticket).await.expect("put back");
            }
        }
        if self.rng.bool() {
            self.claims.retain(|other| other.ticket.token != claim.ticket.token);
        }
    }

    async fn membership(&mut self) {
        let worker = self.worker();
        let at = self.at();
        let live = self.store.live_workers().await.expect("live");
        assert_eq!(self.tables.live_workers(), live);
        assert_eq!(self.tables.ghosts(), self.store.ghosts().await.expect("ghosts"));
        match self.rng.u32(0..5) {
            0..2 if live.iter().all(|(id, _)| *id != worker) => {
                self.store.register(&worker).await.expect("registered");
                self.tables.register(&worker);
            }
            2 => assert_eq!(self.tables.beat(&worker), self.store.beat(&worker).await.expect("beaten")),
            3 => {
                let beat = self.rng.i64(0..3);
                let buried = self.store.bury(&worker, beat, 120_000).await.expect("buried");
                assert_eq!(self.tables.bury(&worker, beat, 120_000, at), buried);
            }
            _ => {
                let taken = self.store.leave(&worker, 120_000).await.expect("left");
                assert_eq!(self.tables.leave(&worker, 120_000, at), taken);
            }
        }
    }

    async fn target(&mut self) {
        let at = self.at();
        match self.rng.u32(0..12) {
            0 => {
                self.generation += 1;
                let identity = format!("index {}", self.generation);
                let new = Arc::new(Configured {
                    name: "asktemoc".to_owned(),
                    kind: "local".to_owned(),
                    identity,
                    dimension: None,
                    metric: "cosine".to_owned(),
                });
                let write = self.app.cx().db().write(move |tx| {
                    let new = new.clone();
                    Box::pin(async move { Ok(targets::configure(tx, TARGET, &new).await?) })
                });
                write.await.expect("configured");
                self.tables.configure_another();
            }
            1..6 => assert_eq!(self.store.sweep_page().await.expect("swept"), self.tables.sweep_page(at)),
            6 => {
                let (due, doubt) = (self.rng.i64(0..60_000), self.rng.i64(0..60_000));
                self.store.clamp(due, doubt).await.expect("clamped");
                self.tables.clamp(due, doubt, at);
            }
            7 => {
                let mine = self.store.take_look(60_000).await.expect("taken");
                assert_eq!(self.tables.take_look(60_000, at), mine);
            }
            8 => {
                let (state, reason) =
                    if self.rng.bool() { (TargetState::Paused, Some("why")) } else { (TargetState::Active, None) };
                self.store.set_state(state, reason).await.expect("set");
                self.tables.set_state(state, reason, at);
            }
            9 => {
                self.store.learn_dimension(2).await.expect("learned");
                self.tables.target.dimension = Some(2);
            }
            10 => {
                let keep = self.rng.i64(0..300_000);
                self.store.tidy(keep).await.expect("tidied");
                self.tables.tidy(keep, at);
            }
            _ => {
                let fresh = self.next().to_string();
                assert_eq!(self.store.corpus_id(&fresh).await.expect("an id"), self.tables.corpus_id(&fresh));
            }
        }
    }

    async fn step(&mut self) -> u32 {
        self.clock.advance(Duration::from_millis(self.rng.u64(0..20_000)));
        if self.rng.u32(0..16) == 0 {
            self.clock.set_back(Duration::from_millis(self.rng.u64(0..600_000)));
        }
        let roll = self.rng.u32(0..100);
        match roll {
            0..25 => self.random_edit().await,
            25..50 => self.claim().await,
            50..75 => self.answer().await,
            75..85 => self.random_job().await,
            85..93 => self.membership().await,
            _ => self.target().await,
        }
        roll
    }

    /// All rows are the same, and all questions have the same answers.
    async fn compare(&self, step: usize, roll: u32) {
        let conn = self.app.cx().read();
        let slots = sync_slot::Entity::find().all(conn).await.expect("slots");
        let slots: BTreeMap<Key, _> =
            slots.into_iter().map(|slot| ((slot.namespace.clone(), slot.vector_id.clone()), slot)).collect();
        assert_eq!(slots.keys().collect::<Vec<_>>(), self.tables.slots.keys().collect::<Vec<_>>(), "{step}: {roll}");
        for (key, slot) in &slots {
            assert_eq!(*slot, self.tables.slots[key], "step {step}, roll {roll}");
        }
        let jobs = sync_job::Entity::find().order_by_asc(sync_job::Column::Id).all(conn).await.expect("jobs");
        assert_eq!(jobs.iter().collect::<Vec<_>>(), self.tables.jobs.values().collect::<Vec<_>>(), "{step}: {roll}");
        self.compare_events(step).await;
        let one = async |statement: &str| -> i64 {
            let mut sql = Sql::new(conn);
            sql.push(statement);
            sql.one(conn).await.expect("a row").expect("one").try_get_by_index(0).expect("a number")
        };
        assert_eq!(one("SELECT epoch FROM sync_clock").await, self.tables.epoch);
        assert_eq!(one("SELECT rev FROM corpus_clock").await, self.tables.rev, "step {step}, roll {roll}");
        let through = coverage::synced_through(conn, TARGET).await.expect("through");
        assert_eq!(through.revision, self.tables.synced_through());
        let target = targets::find(conn, TARGET).await.expect("a target").expect("one");
        let same = crate::tables::Target {
            generation: target.generation,
            sweep_after: target.sweep_after,
            state: target.state,
            reason: target.reason,
            dimension: target.dimension,
            checked_at: target.checked_at,
        };
        assert_eq!(same, self.tables.target, "step {step}, roll {roll}");
        let now = self.clock.now_ms();
        assert_eq!(self.store.look(now).await.expect("a look"), self.tables.look(now));
        assert_eq!(self.store.due_groups(now).await.expect("groups"), self.tables.due_groups(now));
        let active = self.store.active_jobs().await.expect("jobs");
        assert_eq!(active, self.tables.active_jobs());
        for job in active {
            assert_eq!(self.store.remains(&job).await.expect("remains"), self.tables.remains(&job));
            assert_eq!(self.store.acknowledged_lsn(&job).await.expect("numbers"), self.tables.acknowledged_lsn(&job));
        }
    }

    async fn compare_events(&self, step: usize) {
        let conn = self.app.cx().read();
        let mut sql = Sql::new(conn);
        sql.push("SELECT job_id, seq, kind, body, at FROM sync_events ORDER BY job_id, seq");
        let rows = sql.all(conn).await.expect("events");
        assert_eq!(rows.len(), self.tables.events.len(), "step {step}");
        for (row, (key, event)) in rows.iter().zip(&self.tables.events) {
            let found: (String, i64) =
                (row.try_get_by_index(0).expect("a job"), row.try_get_by_index(1).expect("a number"));
            let kind: String = row.try_get_by_index(2).expect("a kind");
            let body: String = row.try_get_by_index(3).expect("a body");
            let at: i64 = row.try_get_by_index(4).expect("a time");
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            let number = |name: &str| body[name].as_i64().expect("a number");
            let told = crate::tables::Event {
                kind: if kind == "state" { "state" } else { "progress" },
                state: body["state"].as_str().expect("a state").to_owned(),
                counters: ["total", "done", "failed", "upserted", "deleted"].map(number),
                blocked: body["blocked"].as_str().map(str::to_owned),
                visibility: body["visibility"].as_str().expect("a visibility").to_owned(),
                at,
            };
            assert_eq!((&found, &told), (key, event), "step {step}");
        }
    }
}

fn of_embedding(tables: &Tables, id: &str) -> Option<(String, Option<Vec<String>>)> {
    let chunk = &tables.embeddings.get(id)?.chunk;
    Some((tables.chunks.get(chunk)?.document.clone(), Some(vec![id.to_owned()])))
}

/// The rows of the corpus become those of `tables`.
async fn put_corpus(tx: &Tx, tables: &Tables) -> Result<(), sea_orm::DbErr> {
    for table in ["embeddings", "chunks", "documents"] {
        let mut sql = Sql::new(tx);
        sql.push("DELETE FROM ").push(table);
        sql.run(tx).await?;
    }
    for (id, row) in &tables.documents {
        let row = document::ActiveModel {
            id: Set(id.clone()),
            namespace: Set(row.namespace.clone()),
            title: Set(row.title.clone()),
            source: Set(None),
            metadata: Set(None),
            revision: Set(1),
            created_at: Set(0),
            updated_at: Set(0),
            deleted_at: Set(row.deleted.then_some(1)),
            title_folded: Set(String::new()),
            source_folded: Set(String::new()),
        };
        document::Entity::insert(row).exec_without_returning(tx).await?;
    }
    for (id, row) in &tables.chunks {
        let row = chunk::ActiveModel {
            id: Set(id.clone()),
            document_id: Set(row.document.clone()),
            chunk_index: Set(0),
            text: Set(row.text.clone()),
            metadata: Set(None),
            created_at: Set(0),
            updated_at: Set(0),
            deleted_at: Set(row.deleted.then_some(1)),
            text_folded: Set(String::new()),
        };
        chunk::Entity::insert(row).exec_without_returning(tx).await?;
    }
    for (id, row) in &tables.embeddings {
        let row = embedding::ActiveModel {
            id: Set(id.clone()),
            chunk_id: Set(row.chunk.clone()),
            document_id: Set(tables.chunks[&row.chunk].document.clone()),
            model: Set(None),
            vector_id: Set(row.vector_id.clone()),
            held: Set(row.held),
            dimension: Set(2),
            created_at: Set(0),
            updated_at: Set(0),
            vector: Set(vector::to_bytes(&row.vector)),
        };
        embedding::Entity::insert(row).exec_without_returning(tx).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_sql_does_to_rows_what_the_tables_of_the_simulator_do() {
    for seed in 0..4 {
        let mut pair = Pair::new(seed).await;
        for step in 0..250 {
            let roll = pair.step().await;
            pair.compare(step, roll).await;
        }
        pair.app.close().await;
    }
}
