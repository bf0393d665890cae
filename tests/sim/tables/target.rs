//! The target's row, the sweep of a new generation, and what is cleared away.

use corpusd::store::targets::Look;
use corpusd::store::targets::TargetState;
use serde_json::json;

use super::Key;
use super::Moment;
use super::Tables;
use super::jobs;
use super::touched;

/// How many slots or rows one page of a sweep touches.
const PAGE: usize = 500;

impl Tables {
    pub fn look(&self, now: i64) -> Look {
        let due = |due: i64| due <= now;
        let active = || self.jobs.values().filter(|job| jobs::is_active(job));
        Look {
            state: TargetState::from_name(&self.target.state).expect("a state"),
            reason: self.target.reason.clone(),
            generation: self.target.generation,
            sweeping: self.target.sweep_after.is_some(),
            dimension: self.target.dimension,
            due: self
                .slots
                .values()
                .any(|slot| slot.claim_token.is_none() && slot.quarantine.is_none() && slot.due_at.is_some_and(due)),
            jobs: active().next().is_some(),
            batch_size: active().filter_map(|job| job.batch_size).min(),
        }
    }

    pub fn take_look(&mut self, every_ms: i64, at: Moment) -> bool {
        let mine = self.target.checked_at.is_none_or(|seen| seen <= at.now - every_ms || seen > at.now);
        if mine {
            self.target.checked_at = Some(at.now);
        }
        mine
    }

    pub fn set_state(&mut self, state: TargetState, reason: Option<&str>, at: Moment) {
        self.target.checked_at = Some(at.now);
        state.name().clone_into(&mut self.target.state);
        self.target.reason = reason.map(str::to_owned);
    }

    /// `targets::configure` with another index.
    pub fn configure_another(&mut self) {
        self.target.generation += 1;
        self.target.sweep_after = Some(String::new());
        self.target.dimension = None;
        self.target.checked_at = None;
        self.target.reason = None;
        self.checking.corpus = None;
        TargetState::Active.name().clone_into(&mut self.target.state);
    }

    pub fn corpus_id(&mut self, fresh: &str) -> String {
        self.corpus_id.get_or_insert_with(|| fresh.to_owned()).clone()
    }

    pub fn sweep_page(&mut self, at: Moment) -> Option<u64> {
        let after = self.target.sweep_after.clone()?;
        let place: Vec<String> = serde_json::from_str(&after).unwrap_or_default();
        let (next, count) = match place.as_slice() {
            [embedding] => self.sweep_rows(embedding, at),
            [namespace, vector_id] => self.sweep_slots(&(namespace.clone(), vector_id.clone()), at),
            _ => self.sweep_slots(&(String::new(), String::new()), at),
        };
        self.target.sweep_after = next;
        Some(count)
    }

    fn sweep_slots(&mut self, after: &Key, at: Moment) -> (Option<String>, u64) {
        let epoch = self.epoch;
        let keys: Vec<Key> = self.slots.keys().filter(|key| *key > after).take(PAGE).cloned().collect();
        let Some(last) = keys.last() else { return (Some(json!([""]).to_string()), 0) };
        let next = json!([last.0, last.1]).to_string();
        for key in &keys {
            if let Some(slot) = self.slots.get_mut(key) {
                let want = slot.want.clone();
                touched(slot, &want, epoch, at);
                slot.acked_rev = 0;
                slot.acked_hash = None;
                slot.dirty_epoch = Some(0);
                slot.dirty_rev = Some(0);
            }
        }
        (Some(next), keys.len() as u64)
    }

    fn sweep_rows(&mut self, after: &str, at: Moment) -> (Option<String>, u64) {
        let ids: Vec<String> = self.embeddings.keys().filter(|id| id.as_str() > after).take(PAGE).cloned().collect();
        let Some(last) = ids.last() else { return (None, 0) };
        let next = json!([last]).to_string();
        let mut missing = Vec::new();
        for id in &ids {
            let embedding = &self.embeddings[id];
            let chunk = &self.chunks[&embedding.chunk];
            let document = &self.documents[&chunk.document];
            let key = (document.namespace.clone(), embedding.vector_id.clone());
            let there = self.slots.get(&key).is_some_and(|slot| slot.want == "present");
            if !there && !chunk.deleted && !document.deleted {
                missing.push(id.clone());
            }
        }
        self.touch_released(&missing, at);
        (Some(next), missing.len() as u64)
    }

    pub fn clamp(&mut self, due_ms: i64, doubt_ms: i64, at: Moment) {
        for slot in self.slots.values_mut() {
            let [due, doubt] = [at.now + due_ms, at.now + doubt_ms];
            let ahead = slot.due_at.is_some_and(|at| at > due) || slot.doubt_until > doubt;
            let later = |time: Option<i64>| time.is_some_and(|time| time > at.now);
            if ahead || slot.acked_from > at.now || later(slot.acked_at) || later(slot.claimed_at) {
                let open = slot.doubt_until > slot.acked_from;
                slot.due_at = slot.due_at.map(|at| at.min(due));
                slot.doubt_until = slot.doubt_until.min(if open { doubt } else { at.now });
                slot.acked_from = slot.acked_from.min(at.now);
                slot.acked_at = slot.acked_at.map(|acked| acked.min(at.now));
                slot.claimed_at = slot.claimed_at.map(|claimed| claimed.min(at.now));
            }
        }
    }

    pub fn tidy(&mut self, keep_ms: i64, at: Moment) {
        let before = at.now - keep_ms;
        self.slots.retain(|_, slot| {
            !(slot.want == "absent"
                && slot.due_at.is_none()
                && slot.dirty_epoch.is_none()
                && slot.claim_token.is_none()
                && slot.quarantine.is_none()
                && slot.acked_at.is_some_and(|acked| acked < before)
                && slot.doubt_until < at.now)
        });
        let ended: Vec<String> = self
            .jobs
            .values()
            .filter(|job| job.finished_at.is_some_and(|at| at < before))
            .map(|job| job.id.clone())
            .collect();
        self.events.retain(|(job, _), _| !ended.contains(job));
        self.named.retain(|(job, _)| !ended.contains(job));
    }
}
