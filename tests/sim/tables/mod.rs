//! The engine's database in memory: what the SQL of `store/` does to rows, said once more in Rust.
//!
//! Every public function is one transaction. `differential` holds them against the SQL of real
//! databases, operation by operation; nothing here knows of workers, networks or faults.

pub mod claims;
pub mod corpus;
pub mod findings;
pub mod jobs;
pub mod target;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use corpusd::entity::sync_job;
use corpusd::entity::sync_slot;

use self::corpus::Chunk;
use self::corpus::Document;
use self::corpus::Embedding;
use self::findings::Checking;

/// The one target.
pub const TARGET: i64 = 1;

pub type Slot = sync_slot::Model;
pub type Job = sync_job::Model;
/// A namespace and a record's id.
pub type Key = (String, String);

/// When a transaction ran, and what its process had seen committed.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Milliseconds since 1970, by the process's wall clock.
    pub now: i64,
    /// A corpus revision that was committed before.
    pub seen: i64,
}

/// Rules that a test takes out, to see that the checks would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// An unanswered request opens no doubt.
    Doubt,
    /// An acknowledgement does not compare revisions.
    Compare,
    /// A worker that lost its claim tells nobody.
    SelfReport,
    /// An acknowledgement leaves the epoch of the last touch, not that of its claim.
    Epoch,
    /// What was acknowledged before a clock was set back settles the doubts that open behind it.
    Leap,
}

/// What the rows of `sync_events` tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: &'static str,
    pub state: String,
    pub counters: [i64; 5],
    pub blocked: Option<String>,
    pub visibility: String,
    pub at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub generation: i64,
    pub sweep_after: Option<String>,
    pub state: String,
    pub reason: Option<String>,
    pub dimension: Option<i32>,
    pub checked_at: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct Worker {
    pub beat: i64,
    pub live: bool,
}

/// All tables that the engine reads or writes.
#[derive(Debug, Clone)]
pub struct Tables {
    pub documents: BTreeMap<String, Document>,
    pub chunks: BTreeMap<String, Chunk>,
    pub embeddings: BTreeMap<String, Embedding>,
    pub slots: BTreeMap<Key, Slot>,
    pub workers: BTreeMap<String, Worker>,
    pub epoch: i64,
    pub rev: i64,
    pub target: Target,
    pub jobs: BTreeMap<String, Job>,
    pub named: BTreeSet<(String, Key)>,
    pub events: BTreeMap<(String, i64), Event>,
    pub corpus_id: Option<String>,
    pub checking: Checking,
    pub broken: Option<Broken>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            documents: BTreeMap::new(),
            chunks: BTreeMap::new(),
            embeddings: BTreeMap::new(),
            slots: BTreeMap::new(),
            workers: BTreeMap::new(),
            epoch: 1,
            rev: 0,
            target: Target {
                generation: 1,
                sweep_after: None,
                state: "active".to_owned(),
                reason: None,
                dimension: None,
                checked_at: None,
            },
            jobs: BTreeMap::new(),
            named: BTreeSet::new(),
            events: BTreeMap::new(),
            corpus_id: None,
            checking: Checking::default(),
            broken: None,
        }
    }
}

/// Whether an earlier request may still change a slot.
pub fn needs_settle(slot: &Slot) -> bool {
    slot.doubt_until > slot.acked_from
        && slot.doubt_hash.as_deref().unwrap_or("") != slot.acked_hash.as_deref().unwrap_or("")
}

impl Tables {
    /// Whether the index is known to hold what the rows say.
    pub fn is_clean(&self, slot: &Slot) -> bool {
        slot.acked_rev == slot.want_rev
            && slot.acked_gen == self.target.generation
            && slot.quarantine.is_none()
            && !needs_settle(slot)
    }

    /// The least `dirty_rev` of unclean slots, else the current revision; nothing while a sweep has not seen all.
    pub fn synced_through(&self) -> i64 {
        if self.target.sweep_after.is_some() {
            return 0;
        }
        let behind = self.slots.values().filter(|slot| slot.dirty_epoch.is_some()).filter_map(|slot| slot.dirty_rev);
        behind.min().map_or(self.rev, |behind| behind.min(self.rev))
    }

    pub fn register(&mut self, id: &str) {
        self.workers.insert(id.to_owned(), Worker { beat: 0, live: true });
    }

    pub fn beat(&mut self, id: &str) -> bool {
        match self.workers.get_mut(id) {
            Some(worker) if worker.live => {
                worker.beat += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    pub fn live_workers(&self) -> Vec<(String, i64)> {
        let live = self.workers.iter().filter(|(_, worker)| worker.live);
        live.map(|(id, worker)| (id.clone(), worker.beat)).collect()
    }

    pub fn ghosts(&self) -> Vec<String> {
        let holders = self.slots.values().filter_map(|slot| slot.claim_worker.as_ref());
        let ghosts: BTreeSet<&String> = holders.filter(|id| !self.workers.contains_key(*id)).collect();
        ghosts.into_iter().cloned().collect()
    }

    pub fn bury(&mut self, id: &str, beat: i64, doubt_ms: i64, at: Moment) -> bool {
        match self.workers.get_mut(id) {
            Some(worker) if worker.live && worker.beat == beat => worker.live = false,
            Some(_) | None => return false,
        }
        self.leave(id, doubt_ms, at);
        true
    }

    pub fn leave(&mut self, id: &str, doubt_ms: i64, at: Moment) -> u64 {
        let taken = self.reap(id, doubt_ms, at);
        for job in self.jobs.values_mut().filter(|job| job.owner.as_deref() == Some(id)) {
            if jobs::is_active(job) {
                job.owner = None;
            }
        }
        self.workers.remove(id);
        taken
    }

    /// Until when an unanswered request may land.
    fn doubt_end(&self, doubt_ms: i64, at: Moment) -> i64 {
        if self.broken == Some(Broken::Doubt) { 0 } else { at.now + doubt_ms }
    }

    fn reap(&mut self, id: &str, doubt_ms: i64, at: Moment) -> u64 {
        let (until, broken) = (self.doubt_end(doubt_ms, at), self.broken);
        let mut taken = 0;
        for slot in self.slots.values_mut().filter(|slot| slot.claim_worker.as_deref() == Some(id)) {
            unclaim(slot);
            slot.due_at = Some(at.now);
            open_doubt(slot, until, broken, at);
            slot.doubt_hash = Some("*".to_owned());
            slot.dirty_epoch = Some(0);
            slot.dirty_rev = slot.dirty_rev.or(Some(at.seen));
            slot.updated_at = at.now;
            taken += 1;
        }
        taken
    }
}

/// Opens a doubt until then, or makes an open one longer; what was acknowledged counts as claimed now, at the latest.
fn open_doubt(slot: &mut Slot, until: i64, broken: Option<Broken>, at: Moment) {
    if slot.doubt_until <= slot.acked_from || slot.doubt_until <= until {
        slot.doubt_until = until;
    }
    if broken != Some(Broken::Leap) {
        slot.acked_from = slot.acked_from.min(at.now);
    }
}

fn unclaim(slot: &mut Slot) {
    slot.claim_token = None;
    slot.claim_worker = None;
    slot.claimed_at = None;
}

/// What a touch does to a slot, whatever it is to say.
fn touched(slot: &mut Slot, want: &str, epoch: i64, at: Moment) {
    want.clone_into(&mut slot.want);
    slot.want_rev += 1;
    slot.due_at = Some(at.now);
    slot.dirty_epoch = slot.dirty_epoch.or(Some(epoch));
    slot.dirty_rev = slot.dirty_rev.or(Some(at.seen));
    slot.attempts = 0;
    slot.quarantine = None;
    slot.error_code = None;
    slot.error_text = None;
    slot.error_at = None;
    slot.updated_at = at.now;
}
