//! Records that were refused: bisect, suspect, ask, condemn (sync.md section 5).
//!
//! A refusal may be the record's fault or the target's. Only when something else was
//! accepted, in this flight or by a probe, is a record quarantined for it.

use fastrand::Rng;

use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::store::claims::Back;
use crate::store::claims::Refused;
use crate::sync::flight::Effect;
use crate::sync::flight::Flight;
use crate::sync::flight::Item;
use crate::sync::flight::Request;
use crate::sync::flight::Want;
use crate::sync::flight::tries;
use crate::sync::pace;
use crate::sync::payload::ABSENT;
use crate::sync::plan;
use crate::sync::preflight::Refusal;

/// So many refused singles, and nothing accepted, put the target itself in question.
const SUSPECTS: usize = 4;

/// How a probe went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// Accepted: the refused records are at fault.
    Accepted,
    /// Refused too: the target is at fault.
    Refused(String),
    /// No answer that says anything.
    Silent,
    /// There is no record that is known to be accepted.
    Unknown,
}

impl Flight {
    pub(super) fn rejected(&mut self, request: &Request, error: &IndexError, effects: &mut Vec<Effect>) {
        let (Request::Upsert(numbers) | Request::Delete(numbers)) = request;
        if numbers.len() > 1 {
            let (left, right) = plan::halves(numbers);
            for half in [right, left] {
                self.queue.push_front(match request {
                    Request::Upsert(_) => Request::Upsert(half),
                    Request::Delete(_) => Request::Delete(half),
                });
            }
            return;
        }
        let Some(number) = numbers.first().copied() else { return };
        match (request, error.kind) {
            (Request::Delete(_), _) => {
                let item = &self.items[number];
                let refusal = match &item.want {
                    Want::Condemn(refusal) => refusal.clone(),
                    Want::Put(_) | Want::Remove => Refusal::new("target_rejected", error.detail.clone()),
                };
                effects.push(Effect::Quarantine(refused(item, refusal, false)));
            }
            (Request::Upsert(_), IndexErrorKind::TooLarge) => {
                self.items[number].want = Want::Condemn(Refusal::new("record_too_large", error.detail.clone()));
                self.condemn(&[number], effects);
            }
            (Request::Upsert(_), _) => self.suspects.push((number, error.detail.clone())),
        }
    }

    pub(super) fn look_at_suspects(&mut self, effects: &mut Vec<Effect>) {
        if self.suspects.is_empty() || self.probing {
            return;
        }
        if self.accepted || self.proven {
            self.condemn_suspects(effects);
        } else if self.suspects.len() >= SUSPECTS || (self.queue.is_empty() && self.outstanding == 0) {
            self.probing = true;
            effects.push(Effect::Probe);
        }
    }

    fn condemn_suspects(&mut self, effects: &mut Vec<Effect>) {
        let suspects = std::mem::take(&mut self.suspects);
        for (number, text) in &suspects {
            self.items[*number].want = Want::Condemn(Refusal::new("target_rejected", text.clone()));
        }
        let numbers: Vec<usize> = suspects.into_iter().map(|(number, _)| number).collect();
        self.condemn(&numbers, effects);
    }

    /// What a probe means for the records that were refused.
    pub fn probed(&mut self, outcome: Probed, now: i64, rng: &mut Rng) -> Vec<Effect> {
        self.probing = false;
        let mut effects = Vec::new();
        // An answer that came meanwhile says more than the probe.
        let outcome = if self.accepted { Probed::Accepted } else { outcome };
        match outcome {
            Probed::Accepted => {
                self.proven = true;
                self.condemn_suspects(&mut effects);
            }
            Probed::Refused(text) => self.fault(text, now, &mut effects),
            Probed::Unknown if self.suspects.len() >= SUSPECTS => {
                let text = self.suspects.first().map_or_else(String::new, |(_, text)| text.clone());
                self.fault(format!("every record is refused: {text}"), now, &mut effects);
            }
            Probed::Unknown => self.condemn_suspects(&mut effects),
            Probed::Silent => {
                let suspects = std::mem::take(&mut self.suspects);
                let back = suspects
                    .iter()
                    .map(|(number, text)| {
                        let item = &self.items[*number];
                        Back {
                            vector_id: item.truth.vector_id.clone(),
                            due_at: now + pace::backoff_ms(tries(item) + 4, rng),
                            why: Some(("target_rejected", text.clone())),
                        }
                    })
                    .collect();
                effects.push(Effect::Release(back));
            }
        }
        effects
    }

    /// The target is at fault: everything that is not under way goes back, nothing is quarantined.
    pub(super) fn fault(&mut self, reason: String, now: i64, effects: &mut Vec<Effect>) {
        self.queue.push_back(Request::Upsert(std::mem::take(&mut self.suspects).into_iter().map(|(n, _)| n).collect()));
        self.faulted = true;
        effects.push(Effect::Pause(reason));
        effects.extend(self.abandon(now));
    }

    /// Quarantines records of which the index has nothing, and sends a deletion for the others.
    pub(super) fn condemn(&mut self, numbers: &[usize], effects: &mut Vec<Effect>) {
        let mut doomed = Vec::new();
        for number in numbers {
            let item = &mut self.items[*number];
            let Want::Condemn(refusal) = &item.want else { continue };
            let refusal = refusal.clone();
            let truth = &item.truth;
            let settled = truth.doubt_until <= truth.acked_from;
            // A later generation forgets what was acknowledged; the index need not have forgotten the record.
            let never = self.generation == 1 && truth.acked_from == 0 && truth.doubt_until == 0;
            let gone = truth.acked_hash.as_deref() == Some(ABSENT) && settled;
            // Nothing of such an id was ever sent.
            let impossible = refusal.code == "bad_id";
            ABSENT.clone_into(&mut item.hash);
            if never || gone || impossible {
                effects.push(Effect::Quarantine(refused(item, refusal, false)));
            } else {
                doomed.push(*number);
            }
        }
        for some in doomed.chunks(self.delete_ids) {
            self.queue.push_front(Request::Delete(some.to_vec()));
        }
    }
}

pub(super) fn refused(item: &Item, refusal: Refusal, deleted: bool) -> Refused {
    Refused {
        vector_id: item.truth.vector_id.clone(),
        want_rev: item.want_rev,
        code: refusal.code,
        text: refusal.text,
        deleted,
    }
}
