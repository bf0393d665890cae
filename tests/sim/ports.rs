//! The engine's ports in this world: what it asks for becomes an op, and the driver answers it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use corpusd::config::Metric;
use corpusd::entity::sync_job;
use corpusd::error::Result;
use corpusd::index::IdPage;
use corpusd::index::IndexError;
use corpusd::index::IndexErrorKind;
use corpusd::index::IndexLimits;
use corpusd::index::IndexResult;
use corpusd::index::IndexStats;
use corpusd::index::Match;
use corpusd::index::Rates;
use corpusd::index::VectorIndex;
use corpusd::index::VectorQuery;
use corpusd::index::VectorRecord;
use corpusd::index::Written;
use corpusd::store::claims::Ack;
use corpusd::store::claims::Back;
use corpusd::store::claims::Claimed;
use corpusd::store::claims::Group;
use corpusd::store::claims::Refused;
use corpusd::store::claims::Ticket;
use corpusd::store::claims::Truth;
use corpusd::store::jobs::News;
use corpusd::store::jobs::Remains;
use corpusd::store::targets::Look;
use corpusd::store::targets::TargetState;
use corpusd::sync::checks::Checks;
use corpusd::sync::perform::Claim;
use corpusd::sync::ports::Decision;
use corpusd::sync::ports::Store;
use corpusd::sync::ports::Time;
use futures_util::future::BoxFuture;

use crate::remote::Call;
use crate::tables::Moment;
use crate::tables::Tables;
use crate::world::Mode;
use crate::world::Sim;
use crate::world::Sleep;
use crate::world::Waiting;
use crate::world::What;
use crate::world::World;
use crate::world::refused;

/// What one request holds: little, so that a claim takes several; and fast enough to wait now and then only.
pub const LIMITS: IndexLimits = IndexLimits {
    upsert_records: 3,
    upsert_bytes: 100_000,
    delete_ids: 2,
    metadata_bytes: 4_096,
    query_namespaces: None,
    rates: Some(Rates { requests: 10, upsert_bytes: 1_000_000, delete_ids: 1_000 }),
};

/// What one server sees of the world.
#[derive(Debug)]
pub struct Port {
    pub sim: Sim,
    pub process: usize,
}

impl Port {
    /// Asks the database.
    pub fn ask<T: Send + 'static>(
        &self,
        label: &'static str,
        work: impl FnOnce(&mut World, usize) -> T + Send + 'static,
    ) -> Waiting<Result<T>> {
        let outcome: Arc<Mutex<Option<Result<T>>>> = Arc::default();
        let (slot, process) = (outcome.clone(), self.process);
        let run = Box::new(move |world: &mut World, mode: Mode| {
            let answer = match mode {
                Mode::Refuse => Err(refused()),
                Mode::Go => Ok(work(world, process)),
                Mode::Lose => {
                    work(world, process);
                    Err(refused())
                }
            };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        });
        let id = self.sim.world().add(process, label, What::Store(run));
        Waiting::new(self.sim.clone(), id, outcome)
    }

    /// Asks the database for a write.
    pub fn write<T: Send + 'static>(
        &self,
        label: &'static str,
        work: impl FnOnce(&mut Tables, Moment) -> T + Send + 'static,
    ) -> Waiting<Result<T>> {
        self.ask(label, move |world, process| world.transact(process, work))
    }

    fn send(&self, namespace: &str, call: Call) -> Waiting<IndexResult<Written>> {
        let outcome: Arc<Mutex<Option<IndexResult<Written>>>> = Arc::default();
        let mut world = self.sim.world();
        let request = world.send(self.process, namespace, call, outcome.clone());
        let id = world.add(self.process, "request", What::Remote(request));
        drop(world);
        Waiting::new(self.sim.clone(), id, outcome)
    }

    /// Asks the index something that changes nothing.
    fn question<T: Send + 'static>(
        &self,
        label: &'static str,
        work: impl FnOnce(&mut World) -> IndexResult<T> + Send + 'static,
    ) -> Waiting<IndexResult<T>> {
        let outcome: Arc<Mutex<Option<IndexResult<T>>>> = Arc::default();
        let slot = outcome.clone();
        let run = Box::new(move |world: &mut World, _: Mode| {
            let answer = work(world);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        });
        let id = self.sim.world().add(self.process, label, What::Answer(run, None));
        Waiting::new(self.sim.clone(), id, outcome)
    }
}

#[async_trait]
impl Store for Port {
    async fn register(&self, worker: &str) -> Result<()> {
        let id = worker.to_owned();
        self.ask("register", move |world, _| {
            world.tables.register(&id);
            world.tell("registered", 0, || id.clone());
            world.beaten.insert(id, world.now);
        })
        .await
    }

    async fn beat(&self, worker: &str) -> Result<bool> {
        let id = worker.to_owned();
        self.ask("beat", move |world, _| {
            let alive = world.tables.beat(&id);
            world.tell("beaten", i64::from(alive), || id.clone());
            if alive {
                world.beaten.insert(id, world.now);
            }
            alive
        })
        .await
    }

    async fn live_workers(&self) -> Result<Vec<(String, i64)>> {
        self.ask("live workers", |world, _| world.tables.live_workers()).await
    }

    async fn ghosts(&self) -> Result<Vec<String>> {
        self.ask("ghosts", |world, _| world.tables.ghosts()).await
    }

    async fn bury(&self, worker: &str, beat: i64, doubt_ms: i64) -> Result<bool> {
        let id = worker.to_owned();
        self.ask("bury", move |world, process| {
            world.tell("buried", process as i64, || format!("{id} at beat {beat}"));
            world.transact(process, |tables, at| tables.bury(&id, beat, doubt_ms, at))
        })
        .await
    }

    async fn leave(&self, worker: &str, doubt_ms: i64) -> Result<u64> {
        let id = worker.to_owned();
        self.write("leave", move |tables, at| tables.leave(&id, doubt_ms, at)).await
    }

    async fn clamp(&self, due_ms: i64, doubt_ms: i64) -> Result<()> {
        self.write("clamp", move |tables, at| tables.clamp(due_ms, doubt_ms, at)).await
    }

    async fn bury_all(&self, doubt_ms: i64) -> Result<()> {
        self.write("bury all", move |tables, at| {
            let ids: Vec<String> = tables.workers.keys().cloned().collect();
            for id in ids {
                tables.leave(&id, doubt_ms, at);
            }
        })
        .await
    }

    async fn look(&self, now_ms: i64) -> Result<Look> {
        self.ask("look", move |world, _| world.tables.look(now_ms)).await
    }

    async fn take_look(&self, every_ms: i64) -> Result<bool> {
        self.write("take look", move |tables, at| tables.take_look(every_ms, at)).await
    }

    async fn set_state(&self, state: TargetState, reason: Option<&str>) -> Result<()> {
        let reason = reason.map(str::to_owned);
        self.write("set state", move |tables, at| tables.set_state(state, reason.as_deref(), at)).await
    }

    async fn learn_dimension(&self, dimension: i32) -> Result<()> {
        self.write("learn dimension", move |tables, _| tables.target.dimension = Some(dimension)).await
    }

    async fn corpus_id(&self, fresh: &str) -> Result<String> {
        let fresh = fresh.to_owned();
        self.write("corpus id", move |tables, _| tables.corpus_id(&fresh)).await
    }

    async fn sweep_page(&self) -> Result<Option<u64>> {
        self.write("sweep", Tables::sweep_page).await
    }

    async fn tidy(&self, keep_ms: i64) -> Result<()> {
        self.write("tidy", move |tables, at| tables.tidy(keep_ms, at)).await
    }

    async fn due_groups(&self, now_ms: i64) -> Result<Vec<Group>> {
        self.ask("groups", move |world, _| world.tables.due_groups(now_ms)).await
    }

    async fn claim(&self, ticket: &Ticket, want: &str, limit: u32) -> Result<(i64, Vec<Claimed>)> {
        let (ticket, want) = (ticket.clone(), want.to_owned());
        self.ask("claim", move |world, process| {
            world.processes[process].session.clone_from(&ticket.worker);
            world.transact(process, |tables, at| (at.now, tables.claim(&ticket, &want, limit, at)))
        })
        .await
    }

    async fn claim_known(&self, ticket: &Ticket) -> Result<(i64, Option<Claimed>)> {
        let ticket = ticket.clone();
        self.write("claim known", move |tables, at| (at.now, tables.claim_known(&ticket, at))).await
    }

    async fn read(&self, ticket: &Ticket, vector_ids: &[String], _text_chars: i64) -> Result<Vec<Truth>> {
        let (ticket, ids) = (ticket.clone(), vector_ids.to_vec());
        self.ask("read", move |world, _| world.tables.read(&ticket, &ids)).await
    }

    async fn acknowledge(&self, claim: &Arc<Claim>, acks: Vec<Ack>) -> Result<()> {
        let claim = claim.clone();
        self.ask("acknowledge", move |world, process| {
            world.transact(process, |tables, at| tables.acknowledge(&claim, &acks, at));
            let ids: Vec<String> = acks.iter().map(|ack| ack.vector_id.clone()).collect();
            world.reported(process, &claim.ticket.namespace, &ids);
        })
        .await
    }

    async fn release(&self, claim: &Arc<Claim>, slots: Vec<Back>) -> Result<()> {
        let claim = claim.clone();
        self.write("release", move |tables, at| tables.release(&claim.ticket, &slots, at)).await
    }

    async fn doubt(&self, claim: &Arc<Claim>, slots: Vec<(Back, String)>) -> Result<()> {
        let claim = claim.clone();
        self.ask("doubt", move |world, process| {
            world.transact(process, |tables, at| tables.doubt(&claim, &slots, at));
            let ids: Vec<String> = slots.iter().map(|(slot, _)| slot.vector_id.clone()).collect();
            world.reported(process, &claim.ticket.namespace, &ids);
        })
        .await
    }

    async fn quarantine(&self, claim: &Arc<Claim>, slot: Refused) -> Result<()> {
        let claim = claim.clone();
        self.ask("quarantine", move |world, process| {
            world.transact(process, |tables, at| tables.quarantine(&claim, &slot, at));
            world.reported(process, &claim.ticket.namespace, std::slice::from_ref(&slot.vector_id));
        })
        .await
    }

    async fn put_back(&self, ticket: &Ticket) -> Result<()> {
        let ticket = ticket.clone();
        self.write("put back", move |tables, _| tables.put_back(&ticket)).await
    }

    async fn active_jobs(&self) -> Result<Vec<sync_job::Model>> {
        self.ask("jobs", |world, _| world.tables.active_jobs()).await
    }

    async fn remains(&self, job: &sync_job::Model) -> Result<Remains> {
        let job = job.clone();
        self.ask("remains", move |world, _| world.tables.remains(&job)).await
    }

    async fn acknowledged_lsn(&self, job: &sync_job::Model) -> Result<Vec<(String, i64)>> {
        let job = job.clone();
        self.ask("acknowledged", move |world, _| world.tables.acknowledged_lsn(&job)).await
    }

    async fn move_job(&self, id: &str, owner: &str, decide: Decision) -> Result<Option<News>> {
        let (id, owner) = (id.to_owned(), owner.to_owned());
        self.write("move job", move |tables, at| tables.move_job(&id, &owner, &*decide, at)).await
    }

    fn seen_revision(&self) -> i64 {
        self.sim.world().processes[self.process].seen
    }

    fn woken(&self) -> BoxFuture<'_, ()> {
        let before = self.sim.world().wakes(self.process);
        Box::pin(std::future::poll_fn(move |_| {
            if self.sim.world().wakes(self.process) == before {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(())
            }
        }))
    }

    fn wake(&self) {
        self.sim.world().wake(self.process);
    }

    fn checks(&self) -> Option<&dyn Checks> {
        if self.sim.world().checking { Some(self) } else { None }
    }
}

impl Time for Port {
    fn now_ms(&self) -> i64 {
        self.sim.world().wall(self.process)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.sim.world().now.unsigned_abs())
    }

    fn new_id(&self) -> String {
        let mut world = self.sim.world();
        format!("{}-{}", self.process, world.number())
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Box::pin(Sleep::new(&self.sim, self.process, ms))
    }
}

impl VectorIndex for Port {
    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn limits(&self) -> IndexLimits {
        LIMITS
    }

    fn metric(&self) -> Metric {
        Metric::Cosine
    }

    fn dimension(&self) -> Option<u32> {
        None
    }

    fn upsert<'a>(&'a self, namespace: &'a str, records: Vec<VectorRecord>) -> BoxFuture<'a, IndexResult<Written>> {
        Box::pin(async move { self.send(namespace, Call::Upsert(records)).await })
    }

    fn delete<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Written>> {
        Box::pin(async move { self.send(namespace, Call::Delete(ids.to_vec())).await })
    }

    fn query(&self, _query: VectorQuery) -> BoxFuture<'_, IndexResult<Vec<Match>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn fetch<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Vec<VectorRecord>>> {
        let (namespace, ids) = (namespace.to_owned(), ids.to_vec());
        Box::pin(async move {
            self.question("fetch", move |world| {
                let shown = world.shown();
                let get = |id: &String| shown.get(&(namespace.clone(), id.clone())).cloned();
                Ok(ids.iter().filter_map(get).collect())
            })
            .await
        })
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, IndexResult<IdPage>> {
        let (namespace, after) = (namespace.to_owned(), after.map(str::to_owned));
        Box::pin(async move {
            self.question("list", move |world| {
                let shown = world.shown();
                let of = shown.keys().filter(|key| key.0 == namespace).map(|key| &key.1);
                let ids = of.filter(|id| after.as_ref().is_none_or(|after| *id > after)).take(limit).cloned().collect();
                Ok(IdPage::behind_last(ids, limit))
            })
            .await
        })
    }

    fn stats(&self) -> BoxFuture<'_, IndexResult<IndexStats>> {
        Box::pin(async move {
            self.question("stats", |world| {
                world.remote.now = world.now;
                if world.remote.is_down() {
                    return Err(IndexError::new(IndexErrorKind::NotApplied, "no connection"));
                }
                let mut counts: BTreeMap<String, u64> = BTreeMap::new();
                for (namespace, _) in world.remote.records.keys() {
                    *counts.entry(namespace.clone()).or_default() += 1;
                }
                Ok(IndexStats { dimension: 2, fullness: 0.0, namespaces: counts.into_iter().collect() })
            })
            .await
        })
    }

    fn visible_lsn<'a>(&'a self, _namespace: &'a str) -> BoxFuture<'a, IndexResult<Option<i64>>> {
        Box::pin(async move { self.question("visible", |world| Ok(world.remote.visible())).await })
    }
}
