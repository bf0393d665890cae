//! Writes down what a flight decided: one transaction for each effect, with its entries in the corpus log
//! and the counters of the jobs it belongs to.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use crate::entity::sync_job;
use crate::error::Result;
use crate::store::Db;
use crate::store::Tx;
use crate::store::claims;
use crate::store::claims::Ack;
use crate::store::claims::Acked;
use crate::store::claims::Back;
use crate::store::claims::Claimed;
use crate::store::claims::Refused;
use crate::store::claims::Ticket;
use crate::store::jobs;
use crate::store::log::Change;
use crate::store::log::ChangeKind;

/// A claim and what its slots were when it was made.
#[derive(Debug)]
pub struct Claim {
    /// Under what it was made.
    pub ticket: Ticket,
    /// When.
    pub at: i64,
    /// The target's generation.
    pub generation: i64,
    /// How long an unanswered request may still land, in milliseconds.
    pub doubt_ms: i64,
    /// Its slots by record id.
    pub slots: HashMap<String, Claimed>,
}

impl Claim {
    /// The epoch of the claim.
    fn epoch(&self) -> i64 {
        self.slots.values().next().map_or(0, |slot| slot.epoch)
    }

    /// One entry of the log for each document of these slots.
    fn tell_documents<'a>(&self, tx: &Tx, vector_ids: impl Iterator<Item = &'a str>) {
        let documents: BTreeSet<&str> =
            vector_ids.filter_map(|id| self.slots.get(id)).filter_map(|slot| slot.document_id.as_deref()).collect();
        for document in documents {
            tx.record(Change::new(ChangeKind::SyncChanged, document, document));
        }
    }
}

/// Acknowledges slots; reports on ourselves where somebody else has taken one that was written.
///
/// # Errors
/// What the database says.
pub async fn acknowledge(db: &Db, claim: &Arc<Claim>, acks: Vec<Ack>) -> Result<()> {
    let (claim, acks) = (claim.clone(), Arc::new(acks));
    db.write(move |tx| {
        let (claim, acks) = (claim.clone(), acks.clone());
        Box::pin(async move {
            let acked = claims::acknowledge(tx, &claim.ticket, claim.epoch(), claim.generation, &acks).await?;
            let by_id: HashMap<&str, &Acked> = acked.iter().map(|slot| (slot.vector_id.as_str(), slot)).collect();
            let lost: Vec<String> = acks
                .iter()
                .filter(|ack| ack.sent && !by_id.contains_key(ack.vector_id.as_str()))
                .map(|ack| ack.vector_id.clone())
                .collect();
            if !lost.is_empty() {
                claims::self_report(tx, &claim.ticket, claim.doubt_ms, &lost).await?;
            }
            count(tx, &claim, &acks, &by_id).await?;
            let mut others = Vec::new();
            for ack in acks.iter() {
                let Some(slot) = by_id.get(ack.vector_id.as_str()) else { continue };
                match (&slot.embedding_id, &slot.document_id) {
                    (Some(embedding), Some(document))
                        if slot.dirty_epoch.is_none() && ack.hash != crate::sync::payload::ABSENT =>
                    {
                        tx.record(Change::new(ChangeKind::EmbeddingSynced, embedding, document));
                    }
                    _ => others.push(ack.vector_id.as_str()),
                }
            }
            claim.tell_documents(tx, others.into_iter());
            Ok(())
        })
    })
    .await?;
    Ok(())
}

/// Adds to the counters of every job for which a written slot was open and is no longer.
async fn count(tx: &Tx, claim: &Claim, acks: &[Ack], after: &HashMap<&str, &Acked>) -> Result<()> {
    for job in jobs::active(tx, claim.ticket.target_id).await? {
        let closed = |ack: &&Ack| {
            let (Some(before), Some(after)) = (claim.slots.get(&ack.vector_id), after.get(ack.vector_id.as_str()))
            else {
                return false;
            };
            ack.sent
                && before.dirty_epoch.is_some_and(|epoch| epoch <= job.epoch)
                && after.dirty_epoch.is_none_or(|epoch| epoch > job.epoch)
        };
        let closed: Vec<&Ack> = acks.iter().filter(closed).collect();
        let mine = in_scope(tx, claim, &job, &closed).await?;
        let deleted = mine.iter().filter(|ack| ack.hash == crate::sync::payload::ABSENT).count();
        if !mine.is_empty() {
            let deleted = i64::try_from(deleted).unwrap_or(i64::MAX);
            let all = i64::try_from(mine.len()).unwrap_or(i64::MAX);
            jobs::count(tx, &job.id, all - deleted, deleted).await?;
        }
    }
    Ok(())
}

async fn in_scope<'a>(tx: &Tx, claim: &Claim, job: &sync_job::Model, acks: &[&'a Ack]) -> Result<Vec<&'a Ack>> {
    if acks.is_empty() || jobs::is_over_all(job) {
        return Ok(acks.to_vec());
    }
    if let Some(document) = job.scope_key.strip_prefix(jobs::DOCUMENT) {
        let of_document = |ack: &&&Ack| {
            claim.slots.get(&ack.vector_id).is_some_and(|slot| slot.document_id.as_deref() == Some(document))
        };
        return Ok(acks.iter().filter(of_document).copied().collect());
    }
    let ids: Vec<&str> = acks.iter().map(|ack| ack.vector_id.as_str()).collect();
    let named = jobs::named(tx, &job.id, &claim.ticket.namespace, &ids).await?;
    Ok(acks.iter().filter(|ack| named.contains(&ack.vector_id)).copied().collect())
}

/// Gives slots back of which nothing was applied.
///
/// # Errors
/// What the database says.
pub async fn release(db: &Db, claim: &Arc<Claim>, slots: Vec<Back>) -> Result<()> {
    let (claim, slots) = (claim.clone(), Arc::new(slots));
    db.write(move |tx| {
        let (claim, slots) = (claim.clone(), slots.clone());
        Box::pin(async move { Ok(claims::release(tx, &claim.ticket, &slots).await?) })
    })
    .await?;
    Ok(())
}

/// Gives slots back whose request may land later; reports on ourselves where a claim was lost.
///
/// # Errors
/// What the database says.
pub async fn doubt(db: &Db, claim: &Arc<Claim>, slots: Vec<(Back, String)>) -> Result<()> {
    let (claim, slots) = (claim.clone(), Arc::new(slots));
    db.write(move |tx| {
        let (claim, slots) = (claim.clone(), slots.clone());
        Box::pin(async move {
            let kept = claims::doubt(tx, &claim.ticket, claim.doubt_ms, &slots).await?;
            let lost: Vec<String> =
                slots.iter().map(|(slot, _)| &slot.vector_id).filter(|id| !kept.contains(id)).cloned().collect();
            if !lost.is_empty() {
                claims::self_report(tx, &claim.ticket, claim.doubt_ms, &lost).await?;
            }
            claim.tell_documents(tx, slots.iter().map(|(slot, _)| slot.vector_id.as_str()));
            Ok(())
        })
    })
    .await?;
    Ok(())
}

/// Quarantines a slot; reports on ourselves when its claim was lost after a deletion.
///
/// # Errors
/// What the database says.
pub async fn quarantine(db: &Db, claim: &Arc<Claim>, slot: Refused) -> Result<()> {
    tracing::warn!(id = slot.vector_id, code = slot.code, reason = slot.text, "a record is quarantined");
    let (claim, slot) = (claim.clone(), Arc::new(slot));
    db.write(move |tx| {
        let (claim, slot) = (claim.clone(), slot.clone());
        Box::pin(async move {
            let kept = claims::quarantine(tx, &claim.ticket, claim.generation, &slot).await?;
            if !kept && slot.deleted {
                let lost = [slot.vector_id.clone()];
                claims::self_report(tx, &claim.ticket, claim.doubt_ms, &lost).await?;
            }
            claim.tell_documents(tx, std::iter::once(slot.vector_id.as_str()));
            Ok(())
        })
    })
    .await?;
    Ok(())
}
