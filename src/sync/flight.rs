//! One claim from the truth that was read to the last of its slots: what to send, and what each answer means.
//!
//! Pure: [`Flight::begin`] and [`Flight::answered`] turn facts into [`Effect`]s; a
//! driver performs them and comes back with the next answer. This is sync.md 4.3
//! (no-op rule, packing), 4.4 (every row of the table) and 5 (bisect, quarantine).

pub mod refused;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use fastrand::Rng;

use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::VectorRecord;
use crate::index::Written;
use crate::store::claims::Ack;
use crate::store::claims::Back;
use crate::store::claims::Claimed;
use crate::store::claims::Refused;
use crate::store::claims::Truth;
use crate::sync::flight::refused::refused;
use crate::sync::pace;
use crate::sync::payload::ABSENT;
use crate::sync::plan;
use crate::sync::preflight;
use crate::sync::preflight::Refusal;
use crate::sync::preflight::Rules;
use crate::sync::rates::Load;
use crate::sync::rates::Operation;

/// After so many tries that ended in doubt a record is sent alone.
const ALONE_AFTER: i32 = 8;
/// After so many it is poison, while others succeed.
const POISON_AFTER: i32 = 20;

/// What is known when a flight begins.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The namespace of all its slots.
    pub namespace: &'a str,
    /// When its slots were claimed.
    pub claimed_at: i64,
    /// The target's generation.
    pub generation: i64,
    /// What the target takes.
    pub rules: Rules<'a>,
    /// Whether the target accepted something lately.
    pub others_succeed: bool,
}

/// A request to the index, by the numbers of its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Write these records.
    Upsert(Vec<usize>),
    /// Delete these ids.
    Delete(Vec<usize>),
}

/// What the driver does for a flight.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Record what the index has now.
    Acknowledge(Vec<Ack>),
    /// Give slots back of which nothing was applied.
    Release(Vec<Back>),
    /// Give slots back whose request may have been applied, with the payload it carried.
    Doubt(Vec<(Back, String)>),
    /// Try this record never again.
    Quarantine(Refused),
    /// Stop writing to the target, for this reason.
    Pause(String),
    /// Keep the dimension: a vector of it was accepted.
    LearnDimension(u32),
    /// Ask the target for a record that it is known to accept, then call [`Flight::probed`].
    Probe,
}

#[derive(Debug, Clone)]
enum Want {
    Put(VectorRecord),
    Remove,
    /// Delete what the index may have of it, then quarantine it.
    Condemn(Refusal),
}

#[derive(Debug, Clone)]
struct Item {
    want_rev: i64,
    truth: Truth,
    want: Want,
    hash: String,
    bytes: usize,
    /// Nothing is sent for it.
    done: bool,
}

/// A claim under way.
#[derive(Debug)]
pub struct Flight {
    items: Vec<Item>,
    queue: VecDeque<Request>,
    outstanding: usize,
    claimed_at: i64,
    generation: i64,
    delete_ids: usize,
    learn: Option<u32>,
    accepted: bool,
    proven: bool,
    probing: bool,
    /// The target is at fault: what is still under way says nothing about records any more.
    faulted: bool,
    suspects: Vec<(usize, String)>,
}

impl Flight {
    /// Looks at every slot: refuses, acknowledges what the index has already, and packs the rest.
    pub fn begin(
        claimed: &[Claimed],
        truths: Vec<Truth>,
        facts: Facts<'_>,
        now: i64,
        rng: &mut Rng,
    ) -> (Self, Vec<Effect>) {
        let mut flight = Self {
            items: Vec::with_capacity(truths.len()),
            queue: VecDeque::new(),
            outstanding: 0,
            claimed_at: facts.claimed_at,
            generation: facts.generation,
            delete_ids: facts.rules.limits.delete_ids.max(1),
            learn: None,
            accepted: false,
            proven: false,
            probing: false,
            faulted: false,
            suspects: Vec::new(),
        };
        let mut effects = Vec::new();
        let (mut known, mut back) = (Vec::new(), Vec::new());
        let mut rules = facts.rules;
        for truth in truths {
            let Some(slot) = claimed.iter().find(|slot| slot.vector_id == truth.vector_id) else { continue };
            let mut item = item(slot, truth, facts, rules);
            // The first vector of a target decides for its companions, and they wait until it was accepted.
            if let (None, Want::Put(record)) = (facts.rules.dimension, &item.want) {
                rules.dimension = rules.dimension.or_else(|| u32::try_from(record.values.len()).ok());
                flight.learn = rules.dimension;
            } else if facts.rules.dimension.is_none()
                && matches!(&item.want, Want::Condemn(refusal) if refusal.code == "dimension_mismatch")
            {
                item.done = true;
                back.push(Back {
                    vector_id: item.truth.vector_id.clone(),
                    due_at: now + pace::backoff_ms(0, rng),
                    why: None,
                });
            }
            let same = item.truth.acked_hash.as_deref() == Some(&item.hash)
                && item.truth.acked_gen == facts.generation
                && item.truth.doubt_until <= item.truth.acked_from;
            let has_it = match item.want {
                Want::Put(_) => same,
                // What no index takes as an id, no index has.
                Want::Remove => same || item.truth.vector_id.is_empty() || !item.truth.vector_id.is_ascii(),
                Want::Condemn(_) => false,
            };
            if has_it {
                item.done = true;
                known.push(ack(&item, item.truth.acked_lsn, false));
            }
            flight.items.push(item);
        }
        if !known.is_empty() {
            effects.push(Effect::Acknowledge(known));
        }
        if !back.is_empty() {
            effects.push(Effect::Release(back));
        }
        let condemned: Vec<usize> =
            flight.numbers(|item| !item.done && matches!(item.want, Want::Condemn(_))).collect();
        flight.condemn(&condemned, &mut effects);
        flight.pack(facts);
        (flight, effects)
    }

    fn numbers<'a>(&'a self, wanted: impl Fn(&Item) -> bool + 'a) -> impl Iterator<Item = usize> + 'a {
        self.items.iter().enumerate().filter(move |(_, item)| wanted(item)).map(|(number, _)| number)
    }

    fn pack(&mut self, facts: Facts<'_>) {
        let limits = facts.rules.limits;
        let deletes: Vec<usize> = self.numbers(|item| !item.done && matches!(item.want, Want::Remove)).collect();
        let puts: Vec<usize> = self.numbers(|item| !item.done && matches!(item.want, Want::Put(_))).collect();
        for (numbers, count, deletes) in [(deletes, limits.delete_ids, true), (puts, limits.upsert_records, false)] {
            let sizes: Vec<(usize, bool)> = numbers
                .iter()
                .map(|number| &self.items[*number])
                .map(|item| (item.bytes, item.truth.attempts >= ALONE_AFTER))
                .collect();
            for range in plan::pack(&sizes, count.max(1), limits.upsert_bytes) {
                let some = numbers[range].to_vec();
                self.queue.push_back(if deletes { Request::Delete(some) } else { Request::Upsert(some) });
            }
        }
    }

    /// The next request, when there is one; its answer goes to [`Flight::answered`].
    pub fn take_next(&mut self) -> Option<Request> {
        // While the target itself is in question nothing goes out.
        if self.probing {
            return None;
        }
        let next = self.queue.pop_front();
        self.outstanding += usize::from(next.is_some());
        next
    }

    /// The records of a request.
    #[must_use]
    pub fn records(&self, numbers: &[usize]) -> Vec<VectorRecord> {
        let record = |number: &usize| match &self.items[*number].want {
            Want::Put(record) => Some(record.clone()),
            Want::Remove | Want::Condemn(_) => None,
        };
        numbers.iter().filter_map(record).collect()
    }

    /// The ids of a request.
    #[must_use]
    pub fn ids(&self, numbers: &[usize]) -> Vec<String> {
        numbers.iter().map(|number| self.items[*number].truth.vector_id.clone()).collect()
    }

    /// What a request takes of its rate.
    #[must_use]
    pub fn load(&self, request: &Request) -> Load {
        match request {
            Request::Upsert(numbers) => {
                let amount = numbers.iter().map(|number| self.items[*number].bytes).sum();
                Load { operation: Operation::Upsert, amount }
            }
            Request::Delete(numbers) => Load { operation: Operation::Delete, amount: numbers.len() },
        }
    }

    /// What an answer means.
    pub fn answered(
        &mut self,
        request: Request,
        outcome: Result<Written, IndexError>,
        now: i64,
        rng: &mut Rng,
    ) -> Vec<Effect> {
        self.outstanding = self.outstanding.saturating_sub(1);
        let mut effects = Vec::new();
        match outcome {
            Ok(written) => self.applied(&request, written, &mut effects),
            Err(error) => match error.kind {
                IndexErrorKind::NotApplied => self.give_back(&request, "not_applied", &error, now, rng, &mut effects),
                IndexErrorKind::RateLimited => self.give_back(&request, "rate_limited", &error, now, rng, &mut effects),
                IndexErrorKind::InDoubt => self.doubted(&request, &error, now, rng, &mut effects),
                IndexErrorKind::Rejected | IndexErrorKind::TooLarge if self.faulted => {
                    self.queue.push_back(request);
                    effects.extend(self.abandon(now));
                }
                IndexErrorKind::Rejected | IndexErrorKind::TooLarge => self.rejected(&request, &error, &mut effects),
                IndexErrorKind::TargetFault => {
                    self.queue.push_back(request);
                    self.fault(error.detail, now, &mut effects);
                }
            },
        }
        self.look_at_suspects(&mut effects);
        effects
    }

    fn applied(&mut self, request: &Request, written: Written, effects: &mut Vec<Effect>) {
        let (numbers, put) = match request {
            Request::Upsert(numbers) => (numbers, true),
            Request::Delete(numbers) => (numbers, false),
        };
        if put {
            self.accepted = true;
            if let Some(dimension) = self.learn.take() {
                effects.push(Effect::LearnDimension(dimension));
            }
        }
        let mut acks = Vec::new();
        for number in numbers {
            let item = &self.items[*number];
            match &item.want {
                Want::Put(_) | Want::Remove => acks.push(ack(item, written.lsn, true)),
                Want::Condemn(refusal) if item.truth.doubt_until > self.claimed_at => {
                    // An older write may still land behind this deletion: delete again when the doubt has ended.
                    effects.push(Effect::Release(vec![Back {
                        vector_id: item.truth.vector_id.clone(),
                        due_at: item.truth.doubt_until,
                        why: Some((refusal.code, refusal.text.clone())),
                    }]));
                }
                Want::Condemn(refusal) => effects.push(Effect::Quarantine(refused(item, refusal.clone(), true))),
            }
        }
        if !acks.is_empty() {
            effects.push(Effect::Acknowledge(acks));
        }
    }

    fn give_back(
        &self,
        request: &Request,
        code: &'static str,
        error: &IndexError,
        now: i64,
        rng: &mut Rng,
        effects: &mut Vec<Effect>,
    ) {
        let asked = error.retry_after.map_or(0, pace::clamp_retry_after);
        let back = self.each(request, |item| Back {
            vector_id: item.truth.vector_id.clone(),
            due_at: now + asked.max(pace::backoff_ms(tries(item), rng)),
            why: Some((code, error.detail.clone())),
        });
        effects.push(Effect::Release(back));
    }

    fn doubted(&self, request: &Request, error: &IndexError, now: i64, rng: &mut Rng, effects: &mut Vec<Effect>) {
        let asked = error.retry_after.map_or(0, pace::clamp_retry_after);
        let slots = self.each(request, |item| {
            let due_at = now + asked.max(pace::backoff_ms(tries(item) + 1, rng));
            let why = Some(("in_doubt", error.detail.clone()));
            (Back { vector_id: item.truth.vector_id.clone(), due_at, why }, item.hash.clone())
        });
        effects.push(Effect::Doubt(slots));
    }

    fn each<T>(&self, request: &Request, mut make: impl FnMut(&Item) -> T) -> Vec<T> {
        let (Request::Upsert(numbers) | Request::Delete(numbers)) = request;
        numbers.iter().map(|number| make(&self.items[*number])).collect()
    }

    /// Gives back whatever was not sent.
    pub fn abandon(&mut self, now: i64) -> Option<Effect> {
        let queue = std::mem::take(&mut self.queue);
        let mut back = Vec::new();
        for request in &queue {
            back.extend(self.each(request, |item| Back {
                vector_id: item.truth.vector_id.clone(),
                due_at: now,
                why: None,
            }));
        }
        (!back.is_empty()).then_some(Effect::Release(back))
    }

    /// Whether every slot has found its end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.outstanding == 0 && self.queue.is_empty() && self.suspects.is_empty() && !self.probing
    }
}

fn tries(item: &Item) -> u32 {
    u32::try_from(item.truth.attempts).unwrap_or(0)
}

fn ack(item: &Item, lsn: Option<i64>, sent: bool) -> Ack {
    Ack { vector_id: item.truth.vector_id.clone(), want_rev: item.want_rev, hash: item.hash.clone(), lsn, sent }
}

fn item(slot: &Claimed, truth: Truth, facts: Facts<'_>, rules: Rules<'_>) -> Item {
    let bytes = truth.vector_id.len() + 3;
    let (want, hash, bytes) = match &truth.rows {
        None => (Want::Remove, ABSENT.to_owned(), bytes),
        Some(_) if truth.attempts >= POISON_AFTER && facts.others_succeed => {
            let text = format!("{} requests with this record got no answer", truth.attempts);
            (Want::Condemn(Refusal::new("target_error", text)), ABSENT.to_owned(), bytes)
        }
        Some(rows) => match preflight::check(rows, facts.namespace, &truth.vector_id, slot.want_rev, rules) {
            Ok(ready) => (Want::Put(ready.record), ready.hash, ready.bytes),
            Err(refusal) => (Want::Condemn(refusal), ABSENT.to_owned(), bytes),
        },
    };
    Item { want_rev: slot.want_rev, truth, want, hash, bytes, done: false }
}
