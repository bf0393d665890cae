//! What checks of the index read and write: the statements of `store/reconcile/`, over tables in memory.

use std::collections::BTreeMap;

use corpusd::store::jobs;
use corpusd::store::jobs::JobState;
use corpusd::store::jobs::News;
use corpusd::store::jobs::REBASE;
use corpusd::store::reconcile;
use corpusd::store::reconcile::Class;
use corpusd::store::reconcile::Mode;
use corpusd::store::reconcile::Place;
use corpusd::store::reconcile::Report;
use corpusd::store::reconcile::findings::Seen;
use corpusd::store::reconcile::findings::Suspect;
use corpusd::store::reconcile::pages::Compared;
use corpusd::store::reconcile::repair::Known;
use corpusd::store::reconcile::sweep;
use corpusd::sync::checks::Step;
use corpusd::sync::checks::Stepped;
use corpusd::sync::payload::ABSENT;

use super::Job;
use super::Key;
use super::Moment;
use super::TARGET;
use super::Tables;
use super::jobs::is_active;
use super::touched;

/// Slots or rows of one page of the inner sweep: few, so that there are several.
const PAGE: usize = 3;

/// One row of `sync_findings`.
#[derive(Debug, Clone)]
pub struct Finding {
    pub seen: Seen,
    pub at: i64,
    pub confirmed: bool,
}

/// What checks keep beside the job's row.
#[derive(Debug, Clone, Default)]
pub struct Checking {
    pub findings: BTreeMap<(String, Key, Class), Finding>,
    /// When each scheduled check was taken, and how often in a row it differed.
    pub taken: BTreeMap<&'static str, (i64, i64)>,
    pub corpus: Option<String>,
}

impl Tables {
    /// Whether slots and rows agree about an embedding.
    fn agrees(&self, id: &str) -> bool {
        let Some((key, _, chunk)) = self.embeddings.get(id).and_then(|embedding| self.place(embedding)) else {
            return true;
        };
        self.slots.get(&key).is_some_and(|slot| {
            slot.want == "present"
                && slot.embedding_id.as_deref() == Some(id)
                && slot.document_id.as_deref() == Some(chunk.document.as_str())
        })
    }

    pub fn rows_page(&self, place: &sweep::Place) -> sweep::Page {
        let mut page = sweep::Page::default();
        match place {
            sweep::Place::Slots(namespace, id) => {
                page.next = Some(sweep::Place::Rows(String::new()));
                let after = (namespace.clone(), id.clone());
                for (key, slot) in self.slots.iter().filter(|(key, _)| **key > after).take(PAGE) {
                    page.next = Some(sweep::Place::Slots(key.0.clone(), key.1.clone()));
                    if let (true, None, Some(document), Some(embedding)) =
                        (slot.want == "present", self.rows(key), &slot.document_id, &slot.embedding_id)
                    {
                        page.differ.entry(document.clone()).or_default().push(embedding.clone());
                    }
                }
            }
            sweep::Place::Rows(after) => {
                for (id, embedding) in self.embeddings.iter().filter(|(id, _)| *id > after).take(PAGE) {
                    page.next = Some(sweep::Place::Rows(id.clone()));
                    let document = self.chunks.get(&embedding.chunk).map(|chunk| chunk.document.clone());
                    if let (false, Some(document)) = (self.agrees(id), document) {
                        page.differ.entry(document).or_default().push(id.clone());
                    }
                }
            }
        }
        page
    }

    pub fn next_namespace(&self, after: Option<&str>) -> Option<String> {
        let names = self.slots.keys().map(|key| &key.0);
        names.filter(|name| after.is_none_or(|after| name.as_str() > after)).min().cloned()
    }

    fn compared(&self, key: &Key) -> Option<Compared> {
        let slot = self.slots.get(key)?;
        Some(Compared {
            vector_id: key.1.clone(),
            present: slot.want == "present",
            want_rev: slot.want_rev,
            clean: slot.claim_token.is_none() && self.is_clean(slot),
            acked_at: slot.acked_at,
            acked_hash: slot.acked_hash.clone(),
            rows: self.rows(key),
        })
    }

    pub fn between(&self, namespace: &str, after: Option<&str>, upto: Option<&str>, limit: usize) -> Vec<Compared> {
        let keys = self.slots.keys().filter(|key| {
            key.0 == namespace
                && after.is_none_or(|after| key.1.as_str() > after)
                && upto.is_none_or(|upto| key.1.as_str() <= upto)
        });
        keys.take(limit).filter_map(|key| self.compared(key)).collect()
    }

    pub fn these(&self, namespace: &str, ids: &[String]) -> Vec<Compared> {
        let mut ids = ids.to_vec();
        ids.sort();
        ids.into_iter().filter_map(|id| self.compared(&(namespace.to_owned(), id))).collect()
    }

    pub fn suspects(&self, job: &str, after: Option<&Key>, before: i64, limit: usize) -> Vec<Suspect> {
        let mine = self.checking.findings.iter().filter(|((id, key, _), finding)| {
            id == job && !finding.confirmed && finding.at <= before && after.is_none_or(|after| key > after)
        });
        mine.take(limit).map(|(_, finding)| Suspect { seen: finding.seen.clone(), at: finding.at }).collect()
    }

    pub fn oldest_suspect(&self, job: &str) -> Option<i64> {
        let mine = self.checking.findings.iter().filter(|((id, ..), finding)| id == job && !finding.confirmed);
        mine.map(|(_, finding)| finding.at).min()
    }

    fn keep(&mut self, job: &str, seen: &Seen, confirmed: bool, at: Moment) {
        let key = (seen.namespace.clone(), seen.vector_id.clone());
        let finding = Finding { seen: seen.clone(), at: at.now, confirmed };
        self.checking.findings.insert((job.to_owned(), key, seen.class), finding);
    }

    fn mend(&mut self, seen: &Seen, at: Moment) -> bool {
        let key = (seen.namespace.clone(), seen.vector_id.clone());
        let epoch = self.epoch;
        if seen.rev == 0 {
            if self.slots.contains_key(&key) || self.rows(&key).is_some() {
                return false;
            }
            let mut slot = super::corpus::fresh(&key);
            touched(&mut slot, "absent", epoch, at);
            self.slots.insert(key, slot);
            return true;
        }
        let Some(slot) = self.slots.get_mut(&key) else { return false };
        if slot.want_rev != seen.rev || slot.due_at.is_some() || slot.claim_token.is_some() || slot.quarantine.is_some()
        {
            return false;
        }
        let want = slot.want.clone();
        touched(slot, &want, epoch, at);
        slot.acked_rev = 0;
        slot.acked_hash = None;
        self.rev += i64::from(slot.document_id.is_some());
        true
    }

    pub fn take_step(&mut self, step: &Step, at: Moment) -> Stepped {
        let Some(mut job) = self.jobs.get(&step.job_id).filter(|job| is_active(job)).cloned() else {
            return Stepped::Lost;
        };
        let Some(mut report) = reconcile::report(&job) else { return Stepped::Lost };
        if reconcile::place(&job).as_ref() != Some(&step.from) {
            return Stepped::Lost;
        }
        job.owner = Some(step.worker.clone());
        if job.cancel_requested != 0 {
            end(&mut job, JobState::Cancelled, at);
            self.update(job, News::State, at);
            return Stepped::Told;
        }
        if step.to.is_none() {
            self.epoch += 1;
        }
        for seen in &step.cleared {
            let key = (seen.namespace.clone(), seen.vector_id.clone());
            self.checking.findings.remove(&(job.id.clone(), key, seen.class));
        }
        for seen in &step.suspects {
            self.keep(&job.id, seen, false, at);
        }
        for seen in &step.confirmed {
            self.keep(&job.id, seen, true, at);
            report.add(seen.class, 1);
            if report.mends(seen.class) && self.mend(seen, at) {
                report.repaired += 1;
                let key = (seen.namespace.clone(), seen.vector_id.clone());
                self.named.insert((job.id.clone(), key));
            }
        }
        report.checked += step.checked;
        report.skipped += step.skipped;
        let began = job.state != JobState::Running.name() || job.blocked_reason.is_some();
        JobState::Running.name().clone_into(&mut job.state);
        job.blocked_reason = None;
        job.done += step.checked + step.skipped;
        job.total = job.total.max(job.done);
        let place = step.to.clone().unwrap_or(Place::Settling);
        reconcile::set(&mut job, &report, &place).expect("a report");
        if step.to.is_none() {
            job.epoch = self.epoch - 1;
            let rebase = job.scope_key == REBASE;
            let open = if rebase { self.remains(&job).open } else { report.repaired };
            job.total = job.total.max(job.done + open);
            if report.repaired == 0 && !rebase {
                job.done = job.total;
                "verified".clone_into(&mut job.visibility);
                end(&mut job, JobState::Completed, at);
            }
        }
        if step.to.is_none() || began || step.message.is_some() {
            self.update(job, News::State, at);
        } else if step.quiet {
            self.jobs.insert(job.id.clone(), job);
            return Stepped::Noted;
        } else {
            self.update(job, News::Progress, at);
        }
        Stepped::Told
    }

    pub fn block(&mut self, id: &str, worker: &str, reason: Option<&str>, at: Moment) -> bool {
        let comparing = |job: &&Job| is_active(job) && reconcile::compares(job);
        let Some(mut job) = self.jobs.get(id).filter(comparing).cloned() else { return false };
        if job.cancel_requested != 0 {
            end(&mut job, JobState::Cancelled, at);
        } else if job.blocked_reason.as_deref() == reason && job.state == JobState::Running.name() {
            return false;
        } else {
            JobState::Running.name().clone_into(&mut job.state);
            job.blocked_reason = reason.map(str::to_owned);
        }
        job.owner = Some(worker.to_owned());
        self.update(job, News::State, at);
        true
    }

    pub fn fail_check(&mut self, id: &str, reason: &str, at: Moment) {
        let Some(mut job) = self.jobs.get(id).filter(|job| is_active(job)).cloned() else { return };
        end(&mut job, JobState::Failed, at);
        job.error_text = Some(reason.to_owned());
        self.update(job, News::State, at);
    }

    pub fn take_check(&mut self, name: &'static str, every_ms: i64, at: Moment) -> bool {
        let (taken, _) = self.checking.taken.entry(name).or_insert((at.now, 0));
        let mine = *taken <= at.now - every_ms || *taken > at.now;
        if mine {
            *taken = at.now;
        }
        mine
    }

    pub fn strike(&mut self, name: &'static str, differs: bool) -> i64 {
        let Some((_, strikes)) = self.checking.taken.get_mut(name) else { return 0 };
        *strikes = if differs { *strikes + 1 } else { 0 };
        *strikes
    }

    /// Starts a check that mends, or joins the running one.
    pub fn begin_check(&mut self, id: &str, key: &str, at: Moment) -> String {
        self.epoch += 1;
        if let Some(job) = self.jobs.values().find(|job| is_active(job) && job.scope_key == key) {
            return job.id.clone();
        }
        let mut job = jobs::new(id.to_owned(), key.to_owned(), TARGET, self.epoch - 1, at.now);
        reconcile::KIND.clone_into(&mut job.kind);
        job.total = i64::try_from(self.slots.len()).expect("few slots");
        let report = Report { mode: Mode::Repair, ..Report::default() };
        reconcile::set(&mut job, &report, &Place::start()).expect("a report");
        self.update(job, News::State, at);
        id.to_owned()
    }

    /// `corpusd sync rebase`.
    pub fn rebase(&mut self, id: &str, at: Moment) -> String {
        self.target.generation += 1;
        self.target.sweep_after = Some(String::new());
        "active".clone_into(&mut self.target.state);
        self.target.reason = None;
        let corpus = self.corpus_id(&format!("corpus of {id}"));
        self.checking.corpus = Some(corpus);
        let begun = self.begin_check(id, REBASE, at);
        if let Some(job) = self.jobs.get_mut(&begun) {
            let report = reconcile::report(job).unwrap_or_default();
            reconcile::set(job, &report, &Place::start()).expect("a report");
            job.cancel_requested = 0;
        }
        begun
    }

    pub fn known(&self, namespace: &str, ids: &[String]) -> Vec<Known> {
        let known = |id: &String| {
            let slot = self.slots.get(&(namespace.to_owned(), id.clone()))?;
            let acked = slot.acked_gen == self.target.generation && slot.acked_rev > 0;
            let held = slot.want == "present" && acked && slot.acked_hash.as_deref() != Some(ABSENT);
            Some(Known { vector_id: id.clone(), want_rev: slot.want_rev, held })
        };
        ids.iter().filter_map(known).collect()
    }

    /// Keys of slots that were acknowledged lately.
    pub fn lately(&self, limit: usize) -> Vec<Key> {
        let mut keys: Vec<(i64, Key)> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.want == "present")
            .filter_map(|(key, slot)| Some((-slot.acked_at?, key.clone())))
            .collect();
        keys.sort();
        keys.into_iter().map(|(_, key)| key).take(limit).collect()
    }
}

fn end(job: &mut Job, state: JobState, at: Moment) {
    state.name().clone_into(&mut job.state);
    job.finished_at = Some(at.now);
    job.blocked_reason = None;
}
