//! Jobs: the rows of `store/jobs.rs`, and the transactions of `service/jobs.rs` that start and cancel them.

use std::collections::BTreeSet;

use corpusd::service::jobs::recount;
use corpusd::store::jobs::DOCUMENT;
use corpusd::store::jobs::JobState;
use corpusd::store::jobs::News;
use corpusd::store::jobs::Remains;
use corpusd::store::jobs::UNSYNCED;
use corpusd::store::jobs::is_over_all;
use corpusd::store::jobs::new;
use corpusd::store::jobs::state;
use xxhash_rust::xxh3::xxh3_128;

use super::Event;
use super::Job;
use super::Key;
use super::Moment;
use super::TARGET;
use super::Tables;
use super::needs_settle;

/// Whether a job has not ended.
pub fn is_active(job: &Job) -> bool {
    !state(job).is_terminal()
}

/// Whether a slot is in a job's scope.
pub fn covers(job: &Job, named: &BTreeSet<(String, Key)>, key: &Key, document: Option<&str>) -> bool {
    if is_over_all(job) {
        return true;
    }
    match job.scope_key.strip_prefix(DOCUMENT) {
        Some(scope) => document == Some(scope),
        None => named.contains(&(job.id.clone(), key.clone())),
    }
}

fn list_key(kind: &str, ids: &[String]) -> String {
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    ids.sort_unstable();
    ids.dedup();
    format!("{kind}:{:032x}", xxh3_128(ids.join("\n").as_bytes()))
}

impl Tables {
    pub fn active_jobs(&self) -> Vec<Job> {
        let mut active: Vec<Job> = self.jobs.values().filter(|job| is_active(job)).cloned().collect();
        active.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        active
    }

    pub fn remains(&self, job: &Job) -> Remains {
        let mut remains = Remains::default();
        for (key, slot) in &self.slots {
            let open = slot.dirty_epoch.is_some_and(|epoch| epoch <= job.epoch);
            if !open || !covers(job, &self.named, key, slot.document_id.as_deref()) {
                continue;
            }
            if slot.quarantine.is_some() {
                remains.quarantined += 1;
                continue;
            }
            remains.open += 1;
            if slot.claim_token.is_some() {
                remains.in_flight += 1;
            } else if slot.acked_rev == slot.want_rev && slot.acked_gen == self.target.generation && needs_settle(slot)
            {
                remains.in_doubt += 1;
            }
        }
        remains
    }

    pub fn acknowledged_lsn(&self, job: &Job) -> Vec<(String, i64)> {
        let mut found: Vec<(String, i64)> = Vec::new();
        for (key, slot) in &self.slots {
            let Some(lsn) = slot.acked_lsn else { continue };
            if !covers(job, &self.named, key, slot.document_id.as_deref()) {
                continue;
            }
            match found.last_mut() {
                Some((namespace, most)) if *namespace == key.0 => *most = (*most).max(lsn),
                _ => found.push((key.0.clone(), lsn)),
            }
        }
        found
    }

    pub fn move_job(
        &mut self,
        id: &str,
        owner: &str,
        decide: &dyn Fn(&mut Job, Remains, bool) -> Option<News>,
        at: Moment,
    ) -> Option<News> {
        let mut job = self.jobs.get(id).filter(|job| is_active(job))?.clone();
        let remains = self.remains(&job);
        let news = decide(&mut job, remains, self.target.sweep_after.is_some());
        job.owner = Some(owner.to_owned());
        match news {
            Some(news) => self.update(job, news, at),
            None => {
                self.jobs.insert(id.to_owned(), job);
            }
        }
        news
    }

    pub(super) fn update(&mut self, mut job: Job, news: News, at: Moment) {
        job.event_seq += 1;
        let event = Event {
            kind: match news {
                News::State => "state",
                News::Progress => "progress",
            },
            state: job.state.clone(),
            counters: [job.total, job.done, job.failed, job.upserted, job.deleted],
            blocked: job.blocked_reason.clone(),
            visibility: job.visibility.clone(),
            at: at.now,
        };
        self.events.insert((job.id.clone(), job.event_seq), event);
        self.jobs.insert(job.id.clone(), job);
    }

    fn create_job(&mut self, id: &str, scope: String, named: Option<&[Key]>, at: Moment) -> String {
        self.epoch += 1;
        let epoch = self.epoch - 1;
        if let Some(job) = self.jobs.values().find(|job| is_active(job) && job.scope_key == scope).cloned() {
            return self.join(job, epoch, named, at);
        }
        let mut job = new(id.to_owned(), scope, TARGET, epoch, at.now);
        self.name_slots(id, named);
        let remains = self.remains(&job);
        job.total = remains.open + remains.quarantined;
        job.done = remains.quarantined;
        job.failed = remains.quarantined;
        self.update(job, News::State, at);
        id.to_owned()
    }

    fn name_slots(&mut self, id: &str, named: Option<&[Key]>) {
        self.named.extend(named.unwrap_or_default().iter().map(|key| (id.to_owned(), key.clone())));
    }

    fn join(&mut self, mut job: Job, epoch: i64, named: Option<&[Key]>, at: Moment) -> String {
        let id = job.id.clone();
        let before = self.remains(&job);
        self.name_slots(&id, named);
        job.epoch = job.epoch.max(epoch);
        let more = (self.remains(&job).open - before.open).max(0);
        job.total += more;
        if more > 0 && state(&job) == JobState::Verifying {
            JobState::Running.name().clone_into(&mut job.state);
            self.update(job, News::State, at);
        } else if more > 0 {
            self.update(job, News::Progress, at);
        } else {
            self.jobs.insert(id.clone(), job);
        }
        id
    }

    /// Starts a job over everything, or joins the running one; gives its id.
    pub fn start_unsynced(&mut self, id: &str, at: Moment) -> String {
        let held: Vec<String> = self.embeddings.iter().filter(|(_, e)| e.held).map(|(id, _)| id.clone()).collect();
        let released = self.release_hold(&held);
        self.touch_released(&released, at);
        self.rev += self.documents_of(&released);
        self.create_job(id, UNSYNCED.to_owned(), None, at)
    }

    /// Starts a job over a live document.
    pub fn start_document(&mut self, id: &str, document: &str, at: Moment) -> Option<String> {
        self.documents.get(document).filter(|document| !document.deleted)?;
        let of = |chunk: &str| self.chunks.get(chunk).is_some_and(|chunk| chunk.document == document && !chunk.deleted);
        let held: Vec<String> =
            self.embeddings.iter().filter(|(_, e)| e.held && of(&e.chunk)).map(|(id, _)| id.clone()).collect();
        let released = self.release_hold(&held);
        if !released.is_empty() {
            self.touch(document, Some(&released), at);
            self.rev += 1;
        }
        Some(self.create_job(id, format!("{DOCUMENT}{document}"), None, at))
    }

    /// Starts a job over live embeddings, which are sent again.
    pub fn start_embeddings(&mut self, id: &str, ids: &[String], at: Moment) -> Option<String> {
        let found: Vec<String> = ids.iter().filter(|id| self.is_live(id)).cloned().collect();
        if found.is_empty() {
            return None;
        }
        let key = list_key("embeddings", &found);
        let released = self.release_hold(&found);
        if self.jobs.values().any(|job| is_active(job) && job.scope_key == key) {
            self.touch_released(&released, at);
            self.rev += self.documents_of(&released);
        } else {
            self.touch_released(&found, at);
            self.forget_hash(&found);
            self.rev += self.documents_of(&found);
        }
        let of = |slot: &super::Slot| slot.embedding_id.as_ref().is_some_and(|id| found.contains(id));
        let keys: Vec<Key> = self.slots.iter().filter(|(_, slot)| of(slot)).map(|(key, _)| key.clone()).collect();
        Some(self.create_job(id, key, Some(&keys), at))
    }

    /// Holds embeddings and starts a job that deletes their records.
    pub fn delete_vectors(&mut self, id: &str, namespace: &str, vector_ids: &[String], at: Moment) -> String {
        let mut ids = vector_ids.to_vec();
        ids.sort();
        ids.dedup();
        let mut held = Vec::new();
        for (embedding_id, embedding) in &mut self.embeddings {
            if !embedding.held && ids.contains(&embedding.vector_id) {
                embedding.held = true;
                held.push(embedding_id.clone());
            }
        }
        let keys = self.want_absent(namespace, &ids, at);
        self.rev += self.documents_of(&held);
        self.create_job(id, list_key("delete", &ids), Some(&keys), at)
    }

    pub fn cancel(&mut self, id: &str, at: Moment) {
        let Some(mut job) = self.jobs.get(id).cloned() else { return };
        if !is_active(&job) || job.cancel_requested != 0 {
            return;
        }
        job.cancel_requested = 1;
        let remains = self.remains(&job);
        if remains.in_flight == 0 {
            recount(&mut job, remains);
            job.state = JobState::Cancelled.name().to_owned();
            job.finished_at = Some(at.now);
            self.update(job, News::State, at);
        } else {
            self.jobs.insert(job.id.clone(), job);
        }
    }

    fn is_live(&self, id: &str) -> bool {
        let chunk = self.embeddings.get(id).and_then(|embedding| self.chunks.get(&embedding.chunk));
        let document = chunk.and_then(|chunk| self.documents.get(&chunk.document));
        chunk.is_some_and(|chunk| !chunk.deleted) && document.is_some_and(|document| !document.deleted)
    }

    /// Lifts the hold of those that are live and held, and gives them.
    fn release_hold(&mut self, ids: &[String]) -> Vec<String> {
        let mut released: Vec<String> = ids
            .iter()
            .filter(|id| self.embeddings.get(*id).is_some_and(|e| e.held) && self.is_live(id))
            .cloned()
            .collect();
        released.sort();
        for id in &released {
            if let Some(embedding) = self.embeddings.get_mut(id) {
                embedding.held = false;
            }
        }
        released
    }

    fn documents_of(&self, ids: &[String]) -> i64 {
        let document = |id: &String| self.chunks.get(&self.embeddings.get(id)?.chunk).map(|chunk| &chunk.document);
        let documents: BTreeSet<&String> = ids.iter().filter_map(document).collect();
        i64::try_from(documents.len()).expect("few documents")
    }
}
