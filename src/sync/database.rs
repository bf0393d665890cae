//! The engine's rows in a database: each function of [`Store`] is one transaction over `store::*`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::entity::sync_job;
use crate::error::Result;
use crate::store::Db;
use crate::store::Tx;
use crate::store::claims;
use crate::store::claims::Ack;
use crate::store::claims::Back;
use crate::store::claims::Claimed;
use crate::store::claims::Group;
use crate::store::claims::Refused;
use crate::store::claims::Ticket;
use crate::store::claims::Truth;
use crate::store::jobs;
use crate::store::jobs::News;
use crate::store::jobs::Remains;
use crate::store::purge;
use crate::store::targets;
use crate::store::targets::Look;
use crate::store::targets::TargetState;
use crate::store::workers;
use crate::sync::checks::Checks;
use crate::sync::perform;
use crate::sync::perform::Claim;
use crate::sync::ports::Decision;
use crate::sync::ports::Store;

/// One target's rows.
#[derive(Debug, Clone)]
pub struct Database {
    pub(super) db: Db,
    pub(super) target_id: i64,
}

impl Database {
    /// The rows of the target `target_id`.
    #[must_use]
    pub const fn new(db: Db, target_id: i64) -> Self {
        Self { db, target_id }
    }

    pub(super) async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a Tx) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
    {
        Ok(self.db.write(work).await?.value)
    }

    /// Does `page` until it finds nothing more to do, each time in a transaction of its own: writers have their turn
    /// between them. Gives how much was done.
    async fn page_by_page<F>(&self, page: F) -> Result<u64>
    where
        F: for<'a> Fn(&'a Tx) -> BoxFuture<'a, Result<u64>> + Clone + Send + Sync + 'static,
    {
        let mut all = 0;
        loop {
            let done = self.write(page.clone()).await?;
            all += done;
            if done == 0 {
                return Ok(all);
            }
        }
    }
}

#[async_trait]
impl Store for Database {
    async fn register(&self, worker: &str) -> Result<()> {
        let id = worker.to_owned();
        self.write(move |tx| {
            let id = id.clone();
            Box::pin(async move { Ok(workers::register(tx, &id).await?) })
        })
        .await
    }

    async fn beat(&self, worker: &str) -> Result<bool> {
        let id = worker.to_owned();
        self.write(move |tx| {
            let id = id.clone();
            Box::pin(async move { Ok(workers::beat(tx, &id).await?) })
        })
        .await
    }

    async fn live_workers(&self) -> Result<Vec<(String, i64)>> {
        Ok(workers::live(self.db.read()).await?)
    }

    async fn ghosts(&self) -> Result<Vec<String>> {
        Ok(workers::ghosts(self.db.read()).await?)
    }

    async fn bury(&self, worker: &str, beat: i64, doubt_ms: i64) -> Result<bool> {
        let id = worker.to_owned();
        self.write(move |tx| {
            let id = id.clone();
            Box::pin(async move { Ok(workers::bury(tx, &id, beat, doubt_ms).await?) })
        })
        .await
    }

    async fn leave(&self, worker: &str, doubt_ms: i64) -> Result<u64> {
        let id = worker.to_owned();
        self.write(move |tx| {
            let id = id.clone();
            Box::pin(async move { Ok(workers::leave(tx, &id, doubt_ms).await?) })
        })
        .await
    }

    async fn clamp(&self, due_ms: i64, doubt_ms: i64) -> Result<()> {
        let target = self.target_id;
        self.write(move |tx| Box::pin(async move { Ok(targets::clamp(tx, target, due_ms, doubt_ms).await?) })).await
    }

    async fn bury_all(&self, doubt_ms: i64) -> Result<()> {
        self.write(move |tx| Box::pin(async move { Ok(workers::bury_all(tx, doubt_ms).await?) })).await
    }

    async fn look(&self, now_ms: i64) -> Result<Look> {
        Ok(targets::look(self.db.read(), self.target_id, now_ms).await?)
    }

    async fn take_look(&self, every_ms: i64) -> Result<bool> {
        let target = self.target_id;
        self.write(move |tx| Box::pin(async move { Ok(targets::take_look(tx, target, every_ms).await?) })).await
    }

    async fn set_state(&self, state: TargetState, reason: Option<&str>) -> Result<()> {
        let (target, reason) = (self.target_id, reason.map(str::to_owned));
        self.write(move |tx| {
            let reason = reason.clone();
            Box::pin(async move {
                targets::set_state(tx, target, state, reason.as_deref()).await?;
                Ok(())
            })
        })
        .await
    }

    async fn learn_dimension(&self, dimension: i32) -> Result<()> {
        let target = self.target_id;
        self.write(move |tx| Box::pin(async move { Ok(targets::learn_dimension(tx, target, dimension).await?) })).await
    }

    async fn corpus_id(&self, fresh: &str) -> Result<String> {
        let fresh = fresh.to_owned();
        self.write(move |tx| {
            let fresh = fresh.clone();
            Box::pin(async move { Ok(targets::corpus_id(tx, &fresh).await?) })
        })
        .await
    }

    async fn sweep_page(&self) -> Result<Option<u64>> {
        let target = self.target_id;
        self.write(move |tx| Box::pin(async move { Ok(targets::sweep_page(tx, target).await?) })).await
    }

    async fn tidy(&self, keep_ms: i64) -> Result<()> {
        let target = self.target_id;
        self.page_by_page(move |tx| {
            Box::pin(async move { Ok(targets::bury_tombstones(tx, target, tx.now_ms() - keep_ms).await?) })
        })
        .await?;
        self.page_by_page(move |tx| Box::pin(async move { Ok(targets::prune_log(tx, tx.now_ms() - keep_ms).await?) }))
            .await?;
        self.write(move |tx| Box::pin(async move { Ok(jobs::prune(tx, tx.now_ms() - keep_ms).await?) })).await
    }

    async fn purge(&self, after: Duration) -> Result<u64> {
        let target = self.target_id;
        let after_us = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
        // A page whose rows were all restored meanwhile ends it, too: an hour later it goes on.
        let documents = self.page_by_page(move |tx| {
            Box::pin(async move { Ok(purge::documents(tx, target, tx.now_us().saturating_sub(after_us)).await?) })
        });
        let documents = documents.await?;
        let chunks = self.page_by_page(move |tx| {
            Box::pin(async move { Ok(purge::chunks(tx, target, tx.now_us().saturating_sub(after_us)).await?) })
        });
        Ok(documents + chunks.await?)
    }

    async fn due_groups(&self, now_ms: i64) -> Result<Vec<Group>> {
        Ok(claims::due_groups(self.db.read(), self.target_id, now_ms).await?)
    }

    async fn claim(&self, ticket: &Ticket, want: &str, limit: u32) -> Result<(i64, Vec<Claimed>)> {
        let (ticket, want) = (ticket.clone(), want.to_owned());
        self.write(move |tx| {
            let (ticket, want) = (ticket.clone(), want.clone());
            Box::pin(async move { Ok((tx.now_ms(), claims::claim(tx, &ticket, &want, limit).await?)) })
        })
        .await
    }

    async fn claim_known(&self, ticket: &Ticket) -> Result<(i64, Option<Claimed>)> {
        let ticket = ticket.clone();
        self.write(move |tx| {
            let ticket = ticket.clone();
            Box::pin(async move { Ok((tx.now_ms(), claims::claim_known(tx, &ticket).await?)) })
        })
        .await
    }

    async fn read(&self, ticket: &Ticket, vector_ids: &[String], text_chars: i64) -> Result<Vec<Truth>> {
        Ok(claims::read(self.db.read(), ticket, vector_ids, text_chars).await?)
    }

    async fn acknowledge(&self, claim: &Arc<Claim>, acks: Vec<Ack>) -> Result<()> {
        perform::acknowledge(&self.db, claim, acks).await
    }

    async fn release(&self, claim: &Arc<Claim>, slots: Vec<Back>) -> Result<()> {
        perform::release(&self.db, claim, slots).await
    }

    async fn doubt(&self, claim: &Arc<Claim>, slots: Vec<(Back, String)>) -> Result<()> {
        perform::doubt(&self.db, claim, slots).await
    }

    async fn quarantine(&self, claim: &Arc<Claim>, slot: Refused) -> Result<()> {
        perform::quarantine(&self.db, claim, slot).await
    }

    async fn put_back(&self, ticket: &Ticket) -> Result<()> {
        let ticket = ticket.clone();
        self.write(move |tx| {
            let ticket = ticket.clone();
            Box::pin(async move { Ok(claims::put_back(tx, &ticket).await?) })
        })
        .await
    }

    async fn active_jobs(&self) -> Result<Vec<sync_job::Model>> {
        Ok(jobs::active(self.db.read(), self.target_id).await?)
    }

    async fn remains(&self, job: &sync_job::Model) -> Result<Remains> {
        Ok(jobs::remains(self.db.read(), job).await?)
    }

    async fn acknowledged_lsn(&self, job: &sync_job::Model) -> Result<Vec<(String, i64)>> {
        Ok(jobs::acknowledged_lsn(self.db.read(), job).await?)
    }

    async fn move_job(&self, id: &str, owner: &str, decide: Decision) -> Result<Option<News>> {
        let (target, id, owner) = (self.target_id, id.to_owned(), owner.to_owned());
        self.write(move |tx| {
            let (id, owner, decide) = (id.clone(), owner.clone(), decide.clone());
            Box::pin(async move {
                let Some(mut job) = jobs::lock(tx, &id).await? else { return Ok(None) };
                if jobs::state(&job).is_terminal() {
                    return Ok(None);
                }
                let remains = jobs::remains(tx, &job).await?;
                // Read here: one that began since the worker looked keeps every job open.
                let sweeping = targets::is_sweeping(tx, target).await?;
                let news = decide(&mut job, remains, sweeping);
                let taken = job.owner.as_ref() != Some(&owner);
                job.owner = Some(owner);
                match news {
                    Some(news) => jobs::update(tx, &mut job, news, None).await?,
                    None if taken => jobs::save(tx, &job).await?,
                    None => {}
                }
                Ok(news)
            })
        })
        .await
    }

    fn seen_revision(&self) -> i64 {
        self.db.seen_revision()
    }

    fn woken(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.db.woken())
    }

    fn wake(&self) {
        self.db.wake();
    }

    fn checks(&self) -> Option<&dyn Checks> {
        Some(self)
    }
}
