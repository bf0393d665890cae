//! Claim, read, acknowledge, give back: the statements of `store/claims.rs` and what `sync/perform.rs` makes of them.

use std::collections::BTreeSet;

use corpusd::store::claims::Ack;
use corpusd::store::claims::Back;
use corpusd::store::claims::Claimed;
use corpusd::store::claims::Group;
use corpusd::store::claims::Refused;
use corpusd::store::claims::Ticket;
use corpusd::store::claims::Truth;
use corpusd::sync::payload::ABSENT;
use corpusd::sync::perform::Claim;

use super::Broken;
use super::Key;
use super::Moment;
use super::Slot;
use super::Tables;
use super::jobs;
use super::open_doubt;
use super::unclaim;

const fn is_open(slot: &Slot) -> bool {
    slot.claim_token.is_none() && slot.quarantine.is_none()
}

impl Tables {
    pub fn due_groups(&self, now: i64) -> Vec<Group> {
        let due = self.slots.values().filter(|slot| is_open(slot) && slot.due_at.is_some_and(|due| due <= now));
        let groups: BTreeSet<(&str, &str)> = due.map(|slot| (slot.want.as_str(), slot.namespace.as_str())).collect();
        let group = |(want, namespace): (&str, &str)| Group { want: want.to_owned(), namespace: namespace.to_owned() };
        groups.into_iter().map(group).collect()
    }

    pub fn claim(&mut self, ticket: &Ticket, want: &str, limit: u32, at: Moment) -> Vec<Claimed> {
        let mut due: Vec<(i64, Key)> = Vec::new();
        for (key, slot) in &self.slots {
            let Some(due_at) = slot.due_at.filter(|due_at| *due_at <= at.now) else { continue };
            if slot.want == want && slot.namespace == ticket.namespace && is_open(slot) {
                due.push((due_at, key.clone()));
            }
        }
        due.sort();
        due.truncate(limit as usize);
        self.take(due.into_iter().map(|(_, key)| key).collect(), ticket, at)
    }

    pub fn claim_known(&mut self, ticket: &Ticket, at: Moment) -> Option<Claimed> {
        let known = self.slots.iter().find(|(key, slot)| {
            key.0 == ticket.namespace
                && slot.want == "present"
                && slot.due_at.is_none()
                && slot.dirty_epoch.is_none()
                && is_open(slot)
                && slot.acked_hash.is_some()
        });
        let key = known?.0.clone();
        self.take(vec![key], ticket, at).pop()
    }

    fn take(&mut self, mut keys: Vec<Key>, ticket: &Ticket, at: Moment) -> Vec<Claimed> {
        keys.sort();
        let epoch = self.epoch;
        let mut claimed = Vec::new();
        for key in keys {
            let Some(slot) = self.slots.get_mut(&key) else { continue };
            slot.claim_token = Some(ticket.token.clone());
            slot.claim_worker = Some(ticket.worker.clone());
            slot.claimed_at = Some(at.now);
            claimed.push(Claimed {
                vector_id: key.1,
                embedding_id: slot.embedding_id.clone(),
                document_id: slot.document_id.clone(),
                want_rev: slot.want_rev,
                epoch,
                dirty_epoch: slot.dirty_epoch,
            });
        }
        claimed
    }

    pub fn read(&self, ticket: &Ticket, vector_ids: &[String]) -> Vec<Truth> {
        let mut ids: Vec<&String> = vector_ids.iter().collect();
        ids.sort();
        let mut truths = Vec::new();
        for id in ids {
            let key = (ticket.namespace.clone(), id.clone());
            let Some(slot) = self.slots.get(&key) else { continue };
            if slot.claim_token.as_ref() != Some(&ticket.token) {
                continue;
            }
            truths.push(Truth {
                vector_id: id.clone(),
                acked_rev: slot.acked_rev,
                acked_hash: slot.acked_hash.clone(),
                acked_gen: slot.acked_gen,
                acked_from: slot.acked_from,
                acked_lsn: slot.acked_lsn,
                doubt_until: slot.doubt_until,
                attempts: slot.attempts,
                rows: self.rows(&key),
            });
        }
        truths
    }

    fn mine(&mut self, ticket: &Ticket, id: &str) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(&(ticket.namespace.clone(), id.to_owned()))?;
        (slot.claim_token.as_ref() == Some(&ticket.token)).then_some(slot)
    }

    /// The statement alone: gives, for each slot that was still claimed, its id and since which epoch it is dirty.
    pub fn acknowledge_slots(
        &mut self,
        ticket: &Ticket,
        claim_epoch: i64,
        generation: i64,
        acks: &[Ack],
        at: Moment,
    ) -> Vec<(String, Option<i64>)> {
        let (broken, epoch) = (self.broken, self.epoch);
        let other_generation = generation != self.target.generation;
        let mut acked = Vec::new();
        for ack in acks {
            let Some(slot) = self.mine(ticket, &ack.vector_id) else { continue };
            let claimed_at = slot.claimed_at.unwrap_or(0);
            let doubtful =
                slot.doubt_until > claimed_at && slot.doubt_hash.as_deref().unwrap_or("") != ack.hash.as_str();
            let newer = (slot.want_rev != ack.want_rev || other_generation) && broken != Some(Broken::Compare);
            let claim_epoch = if broken == Some(Broken::Epoch) { epoch } else { claim_epoch };
            slot.acked_rev = if broken == Some(Broken::Compare) { slot.want_rev } else { ack.want_rev };
            slot.acked_hash = Some(ack.hash.clone());
            slot.acked_gen = generation;
            slot.acked_from = claimed_at;
            slot.acked_at = Some(at.now);
            slot.acked_lsn = ack.lsn;
            slot.attempts = 0;
            slot.error_code = None;
            slot.error_text = None;
            slot.updated_at = at.now;
            slot.due_at = if newer {
                Some(at.now)
            } else if doubtful {
                Some(slot.doubt_until)
            } else {
                None
            };
            slot.dirty_epoch = if doubtful || (other_generation && newer) {
                Some(0)
            } else if newer {
                Some(claim_epoch)
            } else {
                None
            };
            slot.dirty_rev = (newer || doubtful).then_some(if other_generation { 0 } else { ticket.rev });
            unclaim(slot);
            acked.push((ack.vector_id.clone(), slot.dirty_epoch));
        }
        acked
    }

    /// The whole transaction: with the report on ourselves, the counters of jobs and the entries of the log.
    pub fn acknowledge(&mut self, claim: &Claim, acks: &[Ack], at: Moment) {
        let claim_epoch = claim.slots.values().next().map_or(0, |slot| slot.epoch);
        let acked = self.acknowledge_slots(&claim.ticket, claim_epoch, claim.generation, acks, at);
        let after = |id: &str| acked.iter().find(|(acked, _)| acked == id).map(|(_, dirty)| *dirty);
        let lost: Vec<String> = acks
            .iter()
            .filter(|ack| ack.sent && after(&ack.vector_id).is_none())
            .map(|ack| ack.vector_id.clone())
            .collect();
        self.self_report(&claim.ticket, claim.doubt_ms, &lost, at);
        self.count(claim, acks, &acked);
        let (mut others, mut synced) = (Vec::new(), 0);
        for ack in acks {
            let Some(dirty) = after(&ack.vector_id) else { continue };
            let slot = self.slots.get(&(claim.ticket.namespace.clone(), ack.vector_id.clone()));
            let known = slot.is_some_and(|slot| slot.embedding_id.is_some() && slot.document_id.is_some());
            if known && dirty.is_none() && ack.hash != ABSENT {
                synced += 1;
            } else {
                others.push(ack.vector_id.as_str());
            }
        }
        self.rev += synced;
        self.tell_documents(claim, others.into_iter());
    }

    fn count(&mut self, claim: &Claim, acks: &[Ack], acked: &[(String, Option<i64>)]) {
        let named = &self.named;
        for job in self.jobs.values_mut().filter(|job| jobs::is_active(job)) {
            for ack in acks.iter().filter(|ack| ack.sent) {
                let Some(before) = claim.slots.get(&ack.vector_id) else { continue };
                let Some((_, after)) = acked.iter().find(|(id, _)| *id == ack.vector_id) else { continue };
                let was_open = before.dirty_epoch.is_some_and(|epoch| epoch <= job.epoch);
                let is_open = after.is_some_and(|epoch| epoch <= job.epoch);
                let key = (claim.ticket.namespace.clone(), ack.vector_id.clone());
                if was_open && !is_open && jobs::covers(job, named, &key, before.document_id.as_deref()) {
                    if ack.hash == ABSENT {
                        job.deleted += 1;
                    } else {
                        job.upserted += 1;
                    }
                }
            }
        }
    }

    fn tell_documents<'a>(&mut self, claim: &Claim, ids: impl Iterator<Item = &'a str>) {
        let of = |id: &str| claim.slots.get(id).and_then(|slot| slot.document_id.clone());
        let documents: BTreeSet<String> = ids.filter_map(of).collect();
        self.rev += i64::try_from(documents.len()).expect("few documents");
    }

    pub fn release(&mut self, ticket: &Ticket, slots: &[Back], at: Moment) {
        for back in slots {
            let Some(slot) = self.mine(ticket, &back.vector_id) else { continue };
            given_back(slot, back, at);
        }
    }

    /// The statement alone: gives the ids that were still claimed.
    pub fn doubt_slots(
        &mut self,
        ticket: &Ticket,
        doubt_ms: i64,
        slots: &[(Back, String)],
        at: Moment,
    ) -> BTreeSet<String> {
        let (until, broken) = (self.doubt_end(doubt_ms, at), self.broken);
        let mut kept = BTreeSet::new();
        for (back, hash) in slots {
            let Some(slot) = self.mine(ticket, &back.vector_id) else { continue };
            slot.attempts += 1;
            let same = slot.doubt_until <= slot.acked_from || slot.doubt_hash.as_ref() == Some(hash);
            slot.doubt_hash = Some(if same { hash.clone() } else { "*".to_owned() });
            open_doubt(slot, until, broken, at);
            slot.dirty_epoch = Some(0);
            slot.dirty_rev = slot.dirty_rev.or(Some(ticket.rev));
            given_back(slot, back, at);
            kept.insert(back.vector_id.clone());
        }
        kept
    }

    pub fn doubt(&mut self, claim: &Claim, slots: &[(Back, String)], at: Moment) {
        let kept = self.doubt_slots(&claim.ticket, claim.doubt_ms, slots, at);
        let ids = slots.iter().map(|(slot, _)| &slot.vector_id);
        let lost: Vec<String> = ids.filter(|id| !kept.contains(*id)).cloned().collect();
        self.self_report(&claim.ticket, claim.doubt_ms, &lost, at);
        self.tell_documents(claim, slots.iter().map(|(slot, _)| slot.vector_id.as_str()));
    }

    pub fn self_report(&mut self, ticket: &Ticket, doubt_ms: i64, ids: &[String], at: Moment) {
        if self.broken == Some(Broken::SelfReport) {
            return;
        }
        let (until, broken) = (self.doubt_end(doubt_ms, at), self.broken);
        for id in ids {
            let Some(slot) = self.slots.get_mut(&(ticket.namespace.clone(), id.clone())) else { continue };
            slot.want_rev += 1;
            slot.quarantine = None;
            slot.due_at = Some(at.now);
            open_doubt(slot, until, broken, at);
            slot.doubt_hash = Some("*".to_owned());
            slot.dirty_epoch = Some(0);
            slot.dirty_rev = slot.dirty_rev.or(Some(ticket.rev));
            slot.updated_at = at.now;
        }
    }

    /// The statement alone: false when the claim was lost.
    pub fn quarantine_slot(&mut self, ticket: &Ticket, generation: i64, refused: &Refused, at: Moment) -> bool {
        let Some(slot) = self.mine(ticket, &refused.vector_id) else { return false };
        let same = slot.want_rev == refused.want_rev;
        slot.quarantine = same.then(|| refused.code.to_owned());
        slot.due_at = if same { None } else { Some(at.now) };
        slot.error_code = Some(refused.code.to_owned());
        slot.error_text = Some(refused.text.clone());
        slot.error_at = Some(at.now);
        if refused.deleted {
            slot.acked_hash = Some(ABSENT.to_owned());
            slot.acked_from = slot.claimed_at.unwrap_or(0);
            slot.acked_at = Some(at.now);
            slot.acked_gen = generation;
        }
        slot.updated_at = at.now;
        unclaim(slot);
        true
    }

    pub fn quarantine(&mut self, claim: &Claim, refused: &Refused, at: Moment) {
        let kept = self.quarantine_slot(&claim.ticket, claim.generation, refused, at);
        if !kept && refused.deleted {
            self.self_report(&claim.ticket, claim.doubt_ms, std::slice::from_ref(&refused.vector_id), at);
        }
        self.tell_documents(claim, std::iter::once(refused.vector_id.as_str()));
    }

    pub fn put_back(&mut self, ticket: &Ticket) {
        for (key, slot) in &mut self.slots {
            if key.0 == ticket.namespace && slot.claim_token.as_ref() == Some(&ticket.token) {
                unclaim(slot);
            }
        }
    }
}

fn given_back(slot: &mut Slot, back: &Back, at: Moment) {
    slot.due_at = Some(back.due_at);
    if let Some((code, text)) = &back.why {
        slot.error_code = Some((*code).to_owned());
        slot.error_text = Some(text.clone());
        slot.error_at = Some(at.now);
    }
    slot.updated_at = at.now;
    unclaim(slot);
}
