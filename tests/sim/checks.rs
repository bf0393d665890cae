//! What must be true: the invariants I1-I10 of sync.md, the promise of jobs (P3) and of `syncedThrough`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use corpusd::index::VectorRecord;
use corpusd::store::jobs::state;
use corpusd::sync::preflight;
use corpusd::sync::preflight::Rules;

use crate::ports::LIMITS;
use crate::tables::Job;
use crate::tables::Key;
use crate::tables::Tables;
use crate::tables::jobs;
use crate::tables::needs_settle;
use crate::world::World;

/// Since which corpus revision the index should hold what.
type State = (i64, Option<String>);

/// What was true before, to hold against what is true now.
#[derive(Default)]
pub struct Checks {
    /// What each key should have held, by corpus revision.
    history: BTreeMap<Key, Vec<State>>,
    /// What it should hold now.
    wanted: BTreeMap<Key, String>,
    revisions: BTreeMap<Key, i64>,
    counters: BTreeMap<String, [i64; 6]>,
    epoch: i64,
    /// The corpus revision when somebody last started each job.
    promised: BTreeMap<String, i64>,
    ended: BTreeSet<String>,
    /// Jobs that completed.
    pub completed: u64,
}

const fn counters(job: &Job) -> [i64; 6] {
    [job.total, job.done, job.failed, job.upserted, job.deleted, job.event_seq]
}

/// A record's content in few words: those of its rows that the driver changes.
pub fn content(record: &VectorRecord) -> String {
    let number = record.values.first().copied().unwrap_or(0.0);
    format!("{number}|{}|{}", text_of(&record.metadata, "document_title"), text_of(&record.metadata, "text"))
}

fn text_of<'a>(metadata: &'a str, name: &str) -> &'a str {
    let start = metadata.find(&format!("\"{name}\":\"")).map_or(metadata.len(), |at| at + name.len() + 4);
    let rest = metadata.get(start..).unwrap_or("");
    rest.split('"').next().unwrap_or("")
}

/// What the index should hold, by key.
pub fn wanted(tables: &Tables) -> BTreeMap<Key, String> {
    let one = |embedding: &crate::tables::corpus::Embedding| {
        let (key, document, chunk) = tables.place(embedding)?;
        let number = embedding.vector.first().copied().unwrap_or(0.0);
        Some((key, format!("{number}|{}|{}", document.title, chunk.text)))
    };
    tables.embeddings.values().filter_map(one).collect()
}

impl Checks {
    /// What is true of these rows, and nothing that was true before.
    pub fn of(tables: &Tables, completed: u64) -> Self {
        let mut checks = Self { epoch: tables.epoch, completed, ..Self::default() };
        checks.revisions = tables.slots.iter().map(|(key, slot)| (key.clone(), slot.want_rev)).collect();
        checks.counters = tables.jobs.values().map(|job| (job.id.clone(), counters(job))).collect();
        let ended = tables.jobs.values().filter(|job| !jobs::is_active(job));
        checks.ended = ended.map(|job| job.id.clone()).collect();
        checks.note(tables);
        checks
    }

    /// Whether that record was ever ours.
    pub fn knows(&self, key: &Key) -> bool {
        self.history.contains_key(key)
    }

    /// Takes note of what the rows say after an edit.
    pub fn note(&mut self, tables: &Tables) {
        let mut wanted = wanted(tables);
        self.wanted.clone_from(&wanted);
        for (key, states) in &mut self.history {
            let now = wanted.remove(key);
            if states.last().is_none_or(|(_, last)| *last != now) {
                states.push((tables.rev, now));
            }
        }
        for (key, now) in wanted {
            self.history.insert(key, vec![(0, None), (tables.rev, Some(now))]);
        }
        for key in tables.slots.keys() {
            self.history.entry(key.clone()).or_insert_with(|| vec![(0, None)]);
        }
    }

    /// Somebody started a job, or joined it: it promises what was written until now.
    pub fn promise(&mut self, job: &str, rev: i64) {
        self.promised.insert(job.to_owned(), rev);
    }
}

/// Whether a record was, since then, one that no index takes: a vector of zeros.
fn was_refused(states: &[State], rev: i64) -> bool {
    states.iter().any(|(at, state)| *at > rev && state.as_ref().is_some_and(|state| state.starts_with("0|")))
}

/// Whether the index may hold what it holds: a state that was right at `rev` or later.
fn shows(states: &[State], held: Option<&String>, rev: i64) -> bool {
    for (at, state) in states.iter().rev() {
        if state.as_ref() == held {
            return true;
        }
        if *at <= rev {
            return false;
        }
    }
    false
}

impl World {
    /// Looks at every invariant, when something has changed.
    pub fn inspect(&mut self) {
        if !self.changed || self.failure.is_some() {
            return;
        }
        self.changed = false;
        self.note_rebase();
        let mut checks = std::mem::take(&mut self.checks);
        let found = self.violation(&mut checks);
        self.checks = checks;
        if let Some(text) = found {
            self.fail(|| text);
        }
    }

    fn violation(&self, checks: &mut Checks) -> Option<String> {
        let tables = &self.tables;
        let sweeping = tables.target.sweep_after.is_some();
        let mut present = 0;
        for (key, slot) in &tables.slots {
            if slot.acked_rev > slot.want_rev {
                return Some(format!("I1: {slot:?}"));
            }
            if slot.quarantine.is_none() && slot.claim_token.is_none() {
                let marks = [slot.due_at.is_some(), slot.dirty_epoch.is_some(), slot.dirty_rev.is_some()];
                // Until its turn in the sweep, a slot of the last generation is unclean and does not know it.
                let unswept = sweeping && slot.acked_gen != tables.target.generation && marks == [false; 3];
                // A probe that got no answer may land as what is there already: it is sent again, and nobody need know why.
                let probed = slot.doubt_until > slot.acked_from && marks == [true; 3];
                if marks != [!tables.is_clean(slot); 3] && !unswept && !probed {
                    return Some(format!("I2: {slot:?}"));
                }
            }
            let claim = [slot.claim_token.is_some(), slot.claim_worker.is_some(), slot.claimed_at.is_some()];
            if claim != [claim[0]; 3] {
                return Some(format!("I3: {slot:?}"));
            }
            match checks.revisions.get_mut(key) {
                Some(before) if slot.want_rev < *before => {
                    return Some(format!("I6: the revision of {key:?} fell from {before}"));
                }
                Some(before) => *before = slot.want_rev,
                None => drop(checks.revisions.insert(key.clone(), slot.want_rev)),
            }
            if slot.want == "present" {
                present += 1;
                if !checks.wanted.contains_key(key) {
                    return Some(format!("I7: {key:?} has a slot and is not wanted"));
                }
            }
        }
        if checks.revisions.len() != tables.slots.len() {
            checks.revisions.retain(|key, _| tables.slots.contains_key(key));
        }
        if tables.epoch < checks.epoch {
            return Some("I6: the epoch fell".to_owned());
        }
        checks.epoch = tables.epoch;
        if present != checks.wanted.len() {
            let slotless = |key: &&Key| tables.slots.get(*key).is_none_or(|slot| slot.want != "present");
            return Some(format!("I7: {:?} is wanted and has no slot", checks.wanted.keys().find(slotless)));
        }
        self.broken_promise(checks)
    }

    fn broken_promise(&self, checks: &mut Checks) -> Option<String> {
        let tables = &self.tables;
        for job in tables.jobs.values() {
            let now = counters(job);
            let before = checks.counters.get(&job.id).copied().unwrap_or_default();
            if now.iter().zip(before).any(|(now, before)| *now < before) {
                return Some(format!("I6: counters of {} fell from {before:?} to {now:?}", job.id));
            }
            if before != now {
                let next = before[5] + i64::from(before[5] < now[5]);
                if now[5] > next || (now[5] > 0 && !tables.events.contains_key(&(job.id.clone(), now[5]))) {
                    return Some(format!("P9: the events of {} are not dense", job.id));
                }
                checks.counters.insert(job.id.clone(), now);
            }
            if state(job).is_terminal() && checks.ended.insert(job.id.clone()) && job.state.starts_with("completed") {
                checks.completed += 1;
                let remains = tables.remains(job);
                if remains.open > 0 || tables.target.sweep_after.is_some() {
                    return Some(format!("I8: {} is {} and has open slots: {remains:?}", job.id, job.state));
                }
                let rev = checks.promised.get(&job.id).copied().unwrap_or(0);
                let scope = |key: &&Key| {
                    let slot = tables.slots.get(*key);
                    let document = slot.and_then(|slot| slot.document_id.as_deref());
                    jobs::covers(job, &tables.named, key, document)
                };
                for (key, states) in checks.history.iter().filter(|(key, _)| scope(key)) {
                    if let Some(text) = self.lags(key, states, rev) {
                        return Some(format!("P3: {} is {}, but {text}", job.id, job.state));
                    }
                }
            }
        }
        if tables.slots.values().any(needs_settle) {
            return None;
        }
        let through = tables.synced_through();
        for (key, states) in &checks.history {
            if let Some(text) = self.lags(key, states, through) {
                return Some(format!("syncedThrough says {through}, but {text}"));
            }
        }
        None
    }

    fn lags(&self, key: &Key, states: &[State], rev: i64) -> Option<String> {
        let held = self.remote.contents.get(key);
        if shows(states, held, rev) {
            return None;
        }
        let excused = self.is_restored()
            || self.tainted.contains_key(key)
            || self.damaged.contains(key)
            || self.tables.slots.get(key).is_some_and(|slot| slot.quarantine.is_some());
        // What is about to be quarantined is deleted first: nothing wrong may answer.
        let gone = held.is_none() && (self.remote.refused.contains(key) || was_refused(states, rev));
        if excused || gone {
            return None;
        }
        Some(format!("the index has {held:?} for {key:?}, older than revision {rev}: {states:?}"))
    }

    /// Whether there is nothing more to do.
    pub fn is_quiet(&self) -> bool {
        let tables = &self.tables;
        let open = |slot: &crate::tables::Slot| slot.quarantine.is_none() && !tables.is_clean(slot);
        tables.target.sweep_after.is_none()
            && !tables.slots.values().any(|slot| open(slot) || slot.claim_token.is_some())
            && !tables.jobs.values().any(jobs::is_active)
    }

    /// I10, P2: the index holds what the rows say, byte for byte, and nothing else of ours.
    pub fn difference(&self) -> Option<String> {
        let tables = &self.tables;
        let corpus = tables.corpus_id.clone().unwrap_or_default();
        let rules = Rules { corpus: &corpus, limits: LIMITS, dimension: None };
        let mut expected = BTreeMap::new();
        for (key, slot) in tables.slots.iter().filter(|(_, slot)| slot.quarantine.is_none()) {
            if let Some(rows) = tables.rows(key) {
                match preflight::check(&rows, &key.0, &key.1, slot.want_rev, rules) {
                    Ok(ready) => expected.insert(key.clone(), ready.record),
                    Err(refusal) => return Some(format!("{key:?} is not quarantined: {refusal:?}")),
                };
            }
        }
        let foreign = |key: &&Key| key.1.starts_with("foreign");
        // No check mends what is quarantined: a later write of it was late.
        let condemned = |key: &Key| {
            self.damaged.contains(key) && tables.slots.get(key).is_some_and(|slot| slot.quarantine.is_some())
        };
        for key in self.remote.records.keys().filter(|key| !foreign(key) && !condemned(key)) {
            if !expected.contains_key(key) {
                return Some(format!("the index holds {key:?}, which is not wanted: {:?}", tables.slots.get(key)));
            }
        }
        for (key, record) in &expected {
            let unlabelled = |metadata: &str| metadata.split(",\"_cd_rev\":").next().unwrap_or("").to_owned();
            let same = self.remote.records.get(key).is_some_and(|held| {
                held.values == record.values && unlabelled(&held.metadata) == unlabelled(&record.metadata)
            });
            if !same {
                let held = self.remote.records.get(key);
                return Some(format!("{key:?} should be {record:?}, and is {held:?}: {:?}", tables.slots.get(key)));
            }
        }
        (self.remote.records.keys().filter(foreign).count() != 1).then(|| "I9: a foreign record is gone".to_owned())
    }
}
