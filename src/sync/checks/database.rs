//! Checks over the database.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::store::Tx;
use crate::store::jobs;
use crate::store::jobs::JobState;
use crate::store::jobs::News;
use crate::store::reconcile;
use crate::store::reconcile::Place;
use crate::store::reconcile::Report;
use crate::store::reconcile::findings;
use crate::store::reconcile::findings::Seen;
use crate::store::reconcile::findings::Suspect;
use crate::store::reconcile::pages;
use crate::store::reconcile::pages::Compared;
use crate::store::reconcile::repair;
use crate::store::reconcile::repair::Known;
use crate::store::reconcile::schedule;
use crate::store::reconcile::schedule::Check;
use crate::store::reconcile::sweep;
use crate::sync::checks::Checks;
use crate::sync::checks::Step;
use crate::sync::checks::Stepped;
use crate::sync::database::Database;

#[async_trait]
impl Checks for Database {
    async fn sweep_page(&self, place: &sweep::Place) -> Result<sweep::Page> {
        Ok(sweep::page(self.db.read(), self.target_id, place).await?)
    }

    async fn sweep_touch(&self, document_id: &str, embedding_ids: &[String]) -> Result<()> {
        let (target, document, ids) = (self.target_id, document_id.to_owned(), embedding_ids.to_vec());
        self.write(move |tx| {
            let (document, ids) = (document.clone(), ids.clone());
            Box::pin(async move { Ok(sweep::touch(tx, target, &document, &ids).await?) })
        })
        .await?;
        Ok(())
    }

    async fn next_namespace(&self, after: Option<&str>) -> Result<Option<String>> {
        Ok(pages::next_namespace(self.db.read(), self.target_id, after).await?)
    }

    async fn between(
        &self,
        namespace: &str,
        range: (Option<&str>, Option<&str>),
        limit: usize,
        text_chars: i64,
    ) -> Result<Vec<Compared>> {
        Ok(pages::between(self.db.read(), self.target_id, namespace, range, limit, text_chars).await?)
    }

    async fn these(&self, namespace: &str, ids: &[&str], text_chars: i64) -> Result<Vec<Compared>> {
        Ok(pages::these(self.db.read(), self.target_id, namespace, ids, text_chars).await?)
    }

    async fn suspects(
        &self,
        job_id: &str,
        after: Option<&(String, String)>,
        before_ms: i64,
        limit: usize,
    ) -> Result<Vec<Suspect>> {
        Ok(findings::suspects(self.db.read(), job_id, after, before_ms, limit).await?)
    }

    async fn oldest_suspect(&self, job_id: &str) -> Result<Option<i64>> {
        Ok(findings::oldest_suspect(self.db.read(), job_id).await?)
    }

    async fn step(&self, step: Step) -> Result<Stepped> {
        let (target, step) = (self.target_id, Arc::new(step));
        let stepped = self
            .write(move |tx| {
                let step = step.clone();
                Box::pin(async move { write_step(tx, target, &step).await })
            })
            .await?;
        Ok(stepped)
    }

    async fn block(&self, job_id: &str, worker: &str, reason: Option<&str>) -> Result<bool> {
        let (id, worker, reason) = (job_id.to_owned(), worker.to_owned(), reason.map(str::to_owned));
        let said = self
            .write(move |tx| {
                let (id, worker, reason) = (id.clone(), worker.clone(), reason.clone());
                Box::pin(async move {
                    let job = jobs::lock(tx, &id).await?.filter(reconcile::compares);
                    let Some(mut job) = job.filter(|job| !jobs::state(job).is_terminal()) else { return Ok(false) };
                    if job.cancel_requested != 0 {
                        end(&mut job, JobState::Cancelled, tx.now_ms());
                    } else if job.blocked_reason == reason && job.state == JobState::Running.name() {
                        return Ok(false);
                    } else {
                        JobState::Running.name().clone_into(&mut job.state);
                        job.blocked_reason = reason;
                    }
                    job.owner = Some(worker);
                    jobs::update(tx, &mut job, News::State, None).await?;
                    Ok(true)
                })
            })
            .await?;
        Ok(said)
    }

    async fn fail(&self, job_id: &str, reason: &str) -> Result<()> {
        let (id, reason) = (job_id.to_owned(), reason.to_owned());
        self.write(move |tx| {
            let (id, reason) = (id.clone(), reason.clone());
            Box::pin(async move {
                let job = jobs::lock(tx, &id).await?.filter(|job| !jobs::state(job).is_terminal());
                let Some(mut job) = job else { return Ok(()) };
                end(&mut job, JobState::Failed, tx.now_ms());
                job.error_text = Some(reason);
                Ok(jobs::update(tx, &mut job, News::State, None).await?)
            })
        })
        .await?;
        Ok(())
    }

    async fn taken(&self) -> Result<Vec<(Check, i64)>> {
        Ok(schedule::taken(self.db.read(), self.target_id).await?)
    }

    async fn take(&self, check: Check, every_ms: i64) -> Result<bool> {
        let target = self.target_id;
        let taken = self
            .write(move |tx| Box::pin(async move { Ok(schedule::take(tx, target, check, every_ms).await?) }))
            .await?;
        Ok(taken)
    }

    async fn strike(&self, check: Check, differs: bool) -> Result<i64> {
        let target = self.target_id;
        let strikes = self
            .write(move |tx| Box::pin(async move { Ok(schedule::strike(tx, target, check, differs).await?) }))
            .await?;
        Ok(strikes)
    }

    async fn expected(&self) -> Result<Vec<(String, i64)>> {
        Ok(pages::expected(self.db.read(), self.target_id).await?)
    }

    async fn strangers(&self) -> Result<HashMap<String, i64>> {
        Ok(findings::strangers(self.db.read(), self.target_id).await?)
    }

    async fn begin(&self) -> Result<()> {
        let (target, id) = (self.target_id, self.db.clock().new_id());
        let total = pages::slot_count(self.db.read(), target).await?;
        let request = reconcile::Request { total, ..reconcile::Request::REPAIR };
        self.write(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                reconcile::begin(tx, target, id, request).await?;
                Ok(())
            })
        })
        .await?;
        Ok(())
    }

    async fn welcomed(&self) -> Result<Option<String>> {
        Ok(repair::welcomed(self.db.read(), self.target_id).await?)
    }

    async fn welcome(&self, corpus: &str) -> Result<()> {
        let (target, corpus) = (self.target_id, corpus.to_owned());
        self.write(move |tx| {
            let corpus = corpus.clone();
            Box::pin(async move { Ok(repair::welcome(tx, target, &corpus).await?) })
        })
        .await?;
        Ok(())
    }

    async fn lately(&self, limit: u64) -> Result<Vec<(String, String)>> {
        Ok(pages::lately(self.db.read(), self.target_id, limit).await?)
    }

    async fn known(&self, namespace: &str, ids: &[&str]) -> Result<Vec<Known>> {
        Ok(repair::known(self.db.read(), self.target_id, namespace, ids).await?)
    }
}

fn end(job: &mut crate::entity::sync_job::Model, state: JobState, now_ms: i64) {
    state.name().clone_into(&mut job.state);
    job.finished_at = Some(now_ms);
    job.blocked_reason = None;
}

async fn write_step(tx: &Tx, target_id: i64, step: &Step) -> Result<Stepped> {
    // The order of locks: the epoch, slots, the job.
    let epoch = if step.to.is_none() { Some(jobs::next_epoch(tx).await? - 1) } else { None };
    let Some(report) = jobs::find(tx, &step.job_id).await?.as_ref().and_then(reconcile::report) else {
        return Ok(Stepped::Lost);
    };
    let mends: Vec<Seen> = step.confirmed.iter().filter(|seen| report.mends(seen.class)).cloned().collect();
    repair::lock(tx, target_id, &mends).await?;
    let job = jobs::lock(tx, &step.job_id).await?;
    let Some(mut job) = job.filter(|job| !jobs::state(job).is_terminal()) else { return Ok(Stepped::Lost) };
    let Some(mut report) = reconcile::report(&job) else { return Ok(Stepped::Lost) };
    if reconcile::place(&job).as_ref() != Some(&step.from) {
        return Ok(Stepped::Lost);
    }
    job.owner = Some(step.worker.clone());
    if job.cancel_requested != 0 {
        end(&mut job, JobState::Cancelled, tx.now_ms());
        jobs::update(tx, &mut job, News::State, Some("Cancelled".to_owned())).await?;
        return Ok(Stepped::Told);
    }
    for seen in &step.cleared {
        findings::forget(tx, &job.id, seen).await?;
    }
    findings::keep(tx, &job.id, &step.suspects, false).await?;
    findings::keep(tx, &job.id, &step.confirmed, true).await?;
    let mut mended = Vec::new();
    for seen in &mends {
        if repair::mend(tx, target_id, seen).await? {
            findings::mended(tx, &job.id, seen).await?;
            mended.push((seen.namespace.clone(), seen.vector_id.clone()));
        }
    }
    jobs::name_slots(tx, &job.id, &mended).await?;
    for seen in &step.confirmed {
        report.add(seen.class, 1);
    }
    report.checked += step.checked;
    report.skipped += step.skipped;
    report.repaired += i64::try_from(mended.len()).unwrap_or(i64::MAX);
    let began = job.state != JobState::Running.name() || job.blocked_reason.is_some();
    JobState::Running.name().clone_into(&mut job.state);
    job.blocked_reason = None;
    job.done += step.checked + step.skipped;
    job.total = job.total.max(job.done);
    let place = step.to.clone().unwrap_or(Place::Settling);
    reconcile::set(&mut job, &report, &place)?;
    if let Some(epoch) = epoch {
        job.epoch = epoch;
        if job.scope_key == jobs::REBASE {
            // Everything is sent again, and some of it is still on its way.
            job.total = job.total.max(job.done + jobs::remains(tx, &job).await?.open);
        } else {
            finish(&mut job, &report, tx.now_ms());
        }
        tell(&job.id, &report);
    }
    if epoch.is_some() || began || step.message.is_some() {
        jobs::update(tx, &mut job, News::State, step.message.clone()).await?;
    } else if step.quiet {
        jobs::save(tx, &job).await?;
        return Ok(Stepped::Noted);
    } else {
        jobs::update(tx, &mut job, News::Progress, None).await?;
    }
    Ok(Stepped::Told)
}

/// All is compared: what was mended is still on its way, else the job is done.
fn finish(job: &mut crate::entity::sync_job::Model, report: &Report, now_ms: i64) {
    // Rows that were gone before their turn leave the total where it was: no counter falls.
    job.total = job.total.max(job.done + report.repaired);
    if report.repaired == 0 {
        job.done = job.total;
        // Nothing was written, so nothing has to show.
        "verified".clone_into(&mut job.visibility);
        end(job, JobState::Completed, now_ms);
    }
}

fn tell(job_id: &str, report: &Report) {
    let text = serde_json::to_string(report).unwrap_or_default();
    if report.differences() > 0 {
        tracing::warn!(job = job_id, report = text, "the index was not what the rows say");
    } else {
        tracing::info!(job = job_id, report = text, "the index is what the rows say");
    }
}
