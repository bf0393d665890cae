//! The index: what it holds, what is on its way to it, and how it fails.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use corpusd::index::IndexError;
use corpusd::index::IndexErrorKind;
use corpusd::index::IndexResult;
use corpusd::index::VectorRecord;
use corpusd::index::Written;

use crate::checks::content;
use crate::tables::Key;
use crate::tables::needs_settle;
use crate::world::Run;
use crate::world::World;

/// What is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    Upsert(Vec<VectorRecord>),
    Delete(Vec<String>),
}

impl Call {
    pub fn ids(&self) -> Vec<&str> {
        match self {
            Self::Upsert(records) => records.iter().map(|record| record.id.as_str()).collect(),
            Self::Delete(ids) => ids.iter().map(String::as_str).collect(),
        }
    }
}

/// How a request ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Applied and answered.
    Apply,
    /// No connection.
    NotApplied,
    /// Asked to slow down.
    RateLimited(Option<Duration>),
    /// Never applied, never answered.
    Lost,
    /// Never applied; the connection breaks.
    LostReset,
    /// Applied, never answered.
    AppliedSilent,
    /// Applied; the connection breaks.
    AppliedReset,
    /// Applied so many milliseconds later, never answered.
    Late(i64),
    /// Applied so many milliseconds later; the connection breaks now.
    LateReset(i64),
    /// Refused for what is in it.
    Rejected,
    /// Refused for its size.
    TooLarge,
    /// The target is at fault.
    Fault,
}

type Outcome = Arc<Mutex<Option<IndexResult<Written>>>>;

/// A request whose sender waits.
pub struct Request {
    process: usize,
    session: String,
    namespace: String,
    call: Call,
    outcome: Outcome,
    sent_at: i64,
    arrived: bool,
}

/// A request whose sender has gone.
struct Landing {
    at: i64,
    process: usize,
    session: String,
    namespace: String,
    call: Call,
    sent_at: i64,
}

#[derive(Default)]
pub struct Remote {
    pub records: BTreeMap<Key, VectorRecord>,
    /// The same in few words, but for what is foreign.
    pub contents: BTreeMap<Key, String>,
    requests: BTreeMap<u64, Request>,
    landings: Vec<Landing>,
    /// What was sent, where somebody listens.
    pub calls: Vec<(String, Call)>,
    /// The next requests end so.
    pub planned: VecDeque<Fate>,
    /// Of a hundred requests so many fail.
    pub trouble: u32,
    /// No request gets through until then.
    pub down_until: i64,
    /// Every request meets a fault of the target until then.
    pub fault_until: i64,
    /// Every record is refused until then.
    pub refuse_until: i64,
    /// Records that were refused at some time.
    pub refused: BTreeSet<Key>,
    pub now: i64,
    lsn: i64,
    /// Queries are so many writes behind; none: it does not say.
    pub behind: Option<i64>,
    /// Listings and fetches show a state of so many milliseconds ago, or a newer one.
    pub reads_behind: i64,
    /// What records were before they were written: when, which, and what.
    past: Vec<(i64, Key, Option<VectorRecord>)>,
}

/// A vector that begins so is refused.
pub const POISON: f32 = 666.0;

impl Remote {
    pub fn is_down(&self) -> bool {
        self.now < self.down_until
    }

    pub fn visible(&self) -> Option<i64> {
        self.behind.map(|behind| self.lsn - behind)
    }

    /// The records as somebody sees them who reads `behind` milliseconds late.
    pub fn shown(&self, behind: i64) -> Cow<'_, BTreeMap<Key, VectorRecord>> {
        let late = |at: i64| at > self.now - behind;
        if behind == 0 || !self.past.last().is_some_and(|(at, ..)| late(*at)) {
            return Cow::Borrowed(&self.records);
        }
        let mut records = self.records.clone();
        for (_, key, before) in self.past.iter().rev().take_while(|(at, ..)| late(*at)) {
            match before {
                Some(record) => records.insert(key.clone(), record.clone()),
                None => records.remove(key),
            };
        }
        Cow::Owned(records)
    }

    fn put(&mut self, key: Key, record: Option<VectorRecord>) {
        match &record {
            Some(record) => self.contents.insert(key.clone(), content(record)),
            None => self.contents.remove(&key),
        };
        if self.reads_behind == 0 {
            match record {
                Some(record) => self.records.insert(key, record),
                None => self.records.remove(&key),
            };
            return;
        }
        let before = match record {
            Some(record) => self.records.insert(key.clone(), record),
            None => self.records.remove(&key),
        };
        self.past.push((self.now, key, before));
    }

    pub fn next_landing(&self) -> Option<i64> {
        self.landings.iter().map(|landing| landing.at).min()
    }

    /// Whether nothing is on its way.
    pub fn is_still(&self) -> bool {
        self.requests.is_empty() && self.landings.is_empty()
    }

    /// Somebody makes the index anew; what is foreign is put there again.
    pub fn wipe(&mut self) {
        self.contents.clear();
        self.records.retain(|key, _| key.1 == "foreign");
    }

    /// Peace: nothing fails any more.
    pub fn mend(&mut self) {
        self.trouble = 0;
        self.planned.clear();
        self.down_until = 0;
        self.fault_until = 0;
        self.refuse_until = 0;
        self.behind = self.behind.map(|_| 0);
    }
}

fn refusal(fate: &Fate) -> IndexError {
    let (kind, text) = match fate {
        Fate::NotApplied => (IndexErrorKind::NotApplied, "no connection"),
        Fate::RateLimited(_) => (IndexErrorKind::RateLimited, "too many requests"),
        Fate::Rejected => (IndexErrorKind::Rejected, "refused"),
        Fate::TooLarge => (IndexErrorKind::TooLarge, "too large"),
        Fate::Fault => (IndexErrorKind::TargetFault, "the key was revoked"),
        Fate::Apply
        | Fate::Lost
        | Fate::LostReset
        | Fate::AppliedSilent
        | Fate::AppliedReset
        | Fate::Late(_)
        | Fate::LateReset(_) => (IndexErrorKind::InDoubt, "the connection broke"),
    };
    let retry_after = if let Fate::RateLimited(after) = fate { *after } else { None };
    IndexError { retry_after, ..IndexError::new(kind, text) }
}

impl World {
    /// A request is handed to the network. Its sender has just looked at its fence.
    pub fn send(&mut self, process: usize, namespace: &str, call: Call, outcome: Outcome) -> u64 {
        let number = self.number();
        let session = self.processes[process].session.clone();
        self.tell("send", process as i64, || format!("{namespace} {}", show(&call)));
        let live = |session: &str| self.tables.workers.get(session).is_some_and(|worker| worker.live);
        let late = self.now - self.beaten.get(&session).copied().unwrap_or(0);
        if !live(&session) || late > i64::try_from(self.sync.lease.as_millis() / 2).unwrap_or(0) {
            self.fail(|| format!("I5: a request of {session}, whose last beat was {late} ms ago"));
        }
        let live = |session: &str| self.tables.workers.get(session).is_some_and(|worker| worker.live);
        let ids = call.ids();
        let twice = self.remote.requests.values().find(|other| {
            other.namespace == namespace && live(&other.session) && other.call.ids().iter().any(|id| ids.contains(id))
        });
        if let Some(other) = twice {
            let text = format!("I4: {session} and {} write {namespace} {ids:?} at one time", other.session);
            self.fail(|| text);
        }
        if self.listening {
            self.remote.calls.push((namespace.to_owned(), call.clone()));
        }
        let (namespace, sent_at) = (namespace.to_owned(), self.now);
        let request = Request { process, session, namespace, call, outcome, sent_at, arrived: false };
        self.remote.requests.insert(number, request);
        number
    }

    fn fate(&mut self, call: &Call) -> Fate {
        if let Some(planned) = self.remote.planned.pop_front() {
            return planned;
        }
        if self.now < self.remote.down_until {
            return if self.rng.bool() { Fate::NotApplied } else { Fate::Lost };
        }
        if self.now < self.remote.fault_until {
            return Fate::Fault;
        }
        let upsert = matches!(call, Call::Upsert(_));
        if upsert && self.now < self.remote.refuse_until {
            return Fate::Rejected;
        }
        if self.remote.trouble > 0 && self.rng.u32(0..100) < self.remote.trouble {
            // A request that nobody waits for any more may land as long as its doubt lasts, less what clocks differ.
            let late = self.rng.i64(1..self.doubt_ms() - 2_000);
            let asked = match self.rng.u32(0..40) {
                0 => Some(Duration::from_secs(315_360_000)),
                1..=9 => Some(Duration::ZERO),
                10..=19 => Some(Duration::from_secs(3)),
                _ => None,
            };
            return match self.rng.u32(0..20) {
                0..=3 => Fate::Late(late),
                4..=6 => Fate::LateReset(late),
                7..=8 => Fate::Lost,
                9 => Fate::LostReset,
                10..=11 => Fate::AppliedSilent,
                12..=13 => Fate::AppliedReset,
                14 => Fate::NotApplied,
                15..=16 => Fate::RateLimited(asked),
                17 if upsert => Fate::TooLarge,
                18 if upsert && self.rng.u32(0..4) == 0 => Fate::Rejected,
                _ => Fate::Apply,
            };
        }
        match call {
            Call::Upsert(records) if records.iter().any(|record| record.values.first() == Some(&POISON)) => {
                Fate::Rejected
            }
            Call::Upsert(_) | Call::Delete(_) => Fate::Apply,
        }
    }

    pub fn doubt_ms(&self) -> i64 {
        i64::try_from(self.sync.doubt.as_millis()).unwrap_or(i64::MAX)
    }

    /// A request arrives. Gives how it is answered; nothing when it never is.
    pub fn arrive(&mut self, number: u64) -> Option<Run> {
        self.remote.now = self.now;
        let request = self.remote.requests.get_mut(&number)?;
        request.arrived = true;
        let (process, sent_at, outcome) = (request.process, request.sent_at, request.outcome.clone());
        let (session, namespace, call) = (request.session.clone(), request.namespace.clone(), request.call.clone());
        let fate = self.fate(&call);
        self.tell("arrive", process as i64, || format!("{namespace} {} {fate:?}", show(&call)));
        if matches!(fate, Fate::Rejected | Fate::TooLarge) {
            self.remote.refused.extend(call.ids().into_iter().map(|id| (namespace.clone(), id.to_owned())));
        }
        let land = |world: &mut Self, after: i64| {
            let (session, namespace, call) = (session.clone(), namespace.clone(), call.clone());
            let at = world.now + after;
            world.remote.landings.push(Landing { at, process, session, namespace, call, sent_at });
        };
        let answer = match &fate {
            Fate::Apply => {
                self.apply(process, &session, &namespace, &call);
                Ok(Written { lsn: self.remote.behind.map(|_| self.remote.lsn) })
            }
            Fate::Lost => return None,
            Fate::AppliedSilent => {
                self.apply(process, &session, &namespace, &call);
                return None;
            }
            Fate::AppliedReset => {
                self.apply(process, &session, &namespace, &call);
                Err(refusal(&fate))
            }
            Fate::Late(after) => {
                land(self, *after);
                return None;
            }
            Fate::LateReset(after) => {
                land(self, *after);
                Err(refusal(&fate))
            }
            Fate::NotApplied
            | Fate::RateLimited(_)
            | Fate::LostReset
            | Fate::Rejected
            | Fate::TooLarge
            | Fate::Fault => Err(refusal(&fate)),
        };
        Some(Box::new(move |world: &mut Self, _| {
            world.remote.requests.remove(&number);
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        }))
    }

    /// The sender of a request waits no more: it timed out, or is gone.
    pub fn desert(&mut self, number: u64) {
        let Some(request) = self.remote.requests.remove(&number) else { return };
        if request.arrived {
            return;
        }
        let Request { process, session, namespace, call, sent_at, .. } = request;
        let live = self.tables.workers.get(&session).is_some_and(|worker| worker.live);
        let fate = self.rng.u32(0..3);
        if !live && !self.is_up(process) && !self.processes[process].running_now {
            // The one hole of a dead worker's late write is left to the full check (sync.md 4.6).
            return;
        }
        if fate == 1 {
            self.tell("deserted, applied", process as i64, || format!("{namespace} {}", show(&call)));
            self.apply(process, &session, &namespace, &call);
        } else if fate == 2 && live {
            let at = self.now + self.rng.i64(1..self.doubt_ms() - 2_000);
            self.remote.landings.push(Landing { at, process, session, namespace, call, sent_at });
        }
    }

    /// Applies one write that is late and due; false when there is none.
    pub fn land_due(&mut self) -> bool {
        self.remote.now = self.now;
        let Some(next) = self.remote.landings.iter().position(|landing| landing.at <= self.now) else { return false };
        let Landing { process, session, namespace, call, sent_at, .. } = self.remote.landings.remove(next);
        self.tell("land", process as i64, || format!("{namespace} {}", show(&call)));
        if self.outlives_doubt(sent_at) {
            let keys = call.ids().into_iter().map(|id| (namespace.clone(), id.to_owned()));
            self.damaged.extend(keys);
        }
        self.apply(process, &session, &namespace, &call);
        self.inspect();
        true
    }

    /// Whatever is late lands now.
    pub fn land_all(&mut self) {
        for landing in &mut self.remote.landings {
            landing.at = landing.at.min(self.now);
        }
        while self.land_due() {}
    }

    fn apply(&mut self, process: usize, session: &str, namespace: &str, call: &Call) {
        self.changed = true;
        self.remote.lsn += 1;
        match call {
            Call::Upsert(records) => {
                for record in records {
                    self.remote.put((namespace.to_owned(), record.id.clone()), Some(record.clone()));
                }
            }
            Call::Delete(ids) => {
                for id in ids {
                    let key = (namespace.to_owned(), id.clone());
                    let orphan = self.is_restored() && !id.starts_with("foreign");
                    if !(orphan || self.checks.knows(&key) || self.damaged.contains(&key)) {
                        self.fail(|| format!("I9: {key:?} is deleted, and was never ours"));
                    }
                    self.remote.put(key, None);
                }
            }
        }
        if self.tables.workers.get(session).is_some_and(|worker| worker.live) {
            return;
        }
        for id in call.ids() {
            let key = (namespace.to_owned(), id.to_owned());
            if !self.is_in_doubt(&key) && !self.damaged.contains(&key) {
                self.tell("tainted", process as i64, || format!("{key:?}"));
                self.tainted.insert(key, process);
                self.processes[process].guilty = true;
                self.processes[process].cut = 0;
            }
        }
    }

    /// Whether that record will be asserted again, whatever lands now.
    fn is_in_doubt(&self, key: &Key) -> bool {
        let Some(slot) = self.tables.slots.get(key) else { return false };
        // A claim from behind the doubt settles it, and what it sends may be there already.
        let settling = slot.claimed_at.is_some_and(|at| at >= slot.doubt_until);
        slot.doubt_until > self.latest_wall() || (needs_settle(slot) && !settling)
    }

    /// A process has told the database about these records.
    pub fn reported(&mut self, process: usize, namespace: &str, ids: &[String]) {
        for id in ids {
            self.tainted.remove(&(namespace.to_owned(), id.clone()));
        }
        self.processes[process].guilty = self.tainted.values().any(|guilty| *guilty == process);
    }
}

pub fn show(call: &Call) -> String {
    match call {
        Call::Upsert(records) => {
            let one = |record: &VectorRecord| format!("{}={}", record.id, content(record));
            records.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Call::Delete(ids) => format!("-{}", ids.join(" -")),
    }
}
