//! Whose fault a refusal is: a record that the target has accepted before is sent once more.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::Result;
use crate::index::IndexErrorKind;
use crate::store::claims::Ack;
use crate::store::claims::Back;
use crate::sync::flight::refused::Probed;
use crate::sync::perform::Claim;
use crate::sync::preflight;
use crate::sync::preflight::Rules;
use crate::sync::worker::Engine;
use crate::sync::worker::State;

impl Engine {
    /// Sends a record again that the target has accepted before, under a claim of its own.
    pub(super) async fn probe(&self, state: &mut State, claim: &Arc<Claim>, corpus: &str) -> Result<Probed> {
        let Some(session) = self.session() else { return Ok(Probed::Silent) };
        let ticket = self.ticket(&session, &claim.ticket.namespace);
        let (at, known) = self.store().claim_known(&ticket).await?;
        let Some(slot) = known else { return Ok(Probed::Unknown) };
        let limits = self.index().limits();
        let chars = i64::try_from(limits.metadata_bytes).unwrap_or(i64::MAX);
        let truth = self.store().read(&ticket, std::slice::from_ref(&slot.vector_id), chars).await?;
        let rules = Rules { corpus, limits, dimension: None };
        let ready = truth
            .first()
            .and_then(|truth| truth.rows.as_ref())
            .and_then(|rows| preflight::check(rows, &ticket.namespace, &slot.vector_id, slot.want_rev, rules).ok());
        let slots = HashMap::from([(slot.vector_id.clone(), slot.clone())]);
        let probe = Arc::new(Claim { ticket, at, generation: claim.generation, doubt_ms: claim.doubt_ms, slots });
        let Some(ready) = ready else {
            self.store().put_back(&probe.ticket).await?;
            return Ok(Probed::Unknown);
        };
        if !self.may_send(&probe.ticket.worker).await {
            self.store().put_back(&probe.ticket).await?;
            return Ok(Probed::Silent);
        }
        let exchange = self.index().upsert(&probe.ticket.namespace, vec![ready.record]);
        let answer = self.ask(exchange).await;
        let (vector_id, want_rev, hash) = (slot.vector_id, slot.want_rev, ready.hash);
        match answer {
            Ok(written) => {
                state.pace.answered();
                let ack = Ack { vector_id, want_rev, hash, lsn: written.lsn, sent: true };
                self.store().acknowledge(&probe, vec![ack]).await?;
                Ok(Probed::Accepted)
            }
            Err(error) => {
                self.note_failure(state, &error);
                match error.kind {
                    IndexErrorKind::InDoubt => {
                        let back = Back { vector_id, due_at: self.now(), why: None };
                        self.store().doubt(&probe, vec![(back, hash)]).await?;
                        Ok(Probed::Silent)
                    }
                    IndexErrorKind::NotApplied | IndexErrorKind::RateLimited => {
                        self.store().put_back(&probe.ticket).await?;
                        Ok(Probed::Silent)
                    }
                    IndexErrorKind::Rejected | IndexErrorKind::TooLarge | IndexErrorKind::TargetFault => {
                        self.store().put_back(&probe.ticket).await?;
                        Ok(Probed::Refused(error.detail))
                    }
                }
            }
        }
    }
}
