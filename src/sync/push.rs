//! Claims, reads, sends and hears the answers: one claim from what is due to the last of its slots.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::error::Error;
use crate::error::Result;
use crate::index::IndexError;
use crate::index::IndexResult;
use crate::index::Written;
use crate::store::claims::Back;
use crate::store::claims::Claimed;
use crate::store::claims::Group;
use crate::store::claims::Ticket;
use crate::store::targets::Look;
use crate::store::targets::TargetState;
use crate::sync::flight::Effect;
use crate::sync::flight::Facts;
use crate::sync::flight::Flight;
use crate::sync::flight::Request;
use crate::sync::pace::Gate;
use crate::sync::perform::Claim;
use crate::sync::preflight::Rules;
use crate::sync::session::Session;
use crate::sync::worker::Ending;
use crate::sync::worker::Engine;
use crate::sync::worker::State;

/// How often a paused target is looked at.
const LOOK_EVERY_MS: i64 = 60_000;
/// Slots that are claimed to see whether a paused target takes writes again.
const TRIAL: u32 = 8;
/// An acceptance that long ago still says that others succeed.
const LATELY: Duration = Duration::from_secs(600);
/// Bytes of rows that are read at one time, roughly.
const READ_BYTES: usize = 4_000_000;

/// An answer, or the fence: the request was not sent, because this worker may be dead.
type Sent = (Request, Option<IndexResult<Written>>);
type Sending<'a> = Pin<Box<dyn Future<Output = Sent> + Send + 'a>>;

impl Engine {
    /// Claims and sends, when there is something due and the target may be asked.
    pub(super) async fn push(&self, state: &mut State, session: &Session, look: &Look) -> Result<bool> {
        let size = self.setup.sync.claim_size;
        let limit = match (look.state, state.pace.gate(self.now())) {
            (_, Gate::Closed { .. }) => return Ok(false),
            (TargetState::Paused, Gate::Free | Gate::Probe) => {
                if !self.ask_paused(look).await? {
                    return Ok(false);
                }
                // Whoever mended it may have put another index in its place.
                state.welcomed = None;
                TRIAL
            }
            (TargetState::Active | TargetState::Unreachable, Gate::Probe) => 1,
            (TargetState::Active | TargetState::Unreachable, Gate::Free) => size,
        };
        if state.welcomed != Some(look.generation) && !self.welcome(state, look).await? {
            return Ok(false);
        }
        state.fault = None;
        if look.state == TargetState::Unreachable && !look.due {
            if !self.ask_paused(look).await? {
                return Ok(false);
            }
            state.pace.answered();
        }
        let before = state.accepted_at;
        let worked = if look.due { self.push_group(state, session, look, limit).await? } else { false };
        let accepted = state.accepted_at != before || !worked;
        self.note_target(state, look, accepted).await?;
        Ok(worked)
    }

    /// Whether a paused target says anything, once a minute among all workers.
    async fn ask_paused(&self, look: &Look) -> Result<bool> {
        if !self.store().take_look(LOOK_EVERY_MS).await? {
            return Ok(false);
        }
        let answers = self.ask(self.index().stats()).await.is_ok();
        if !answers {
            tracing::info!(reason = look.reason, "the target is still paused");
        }
        Ok(answers)
    }

    /// Keeps the target's row in step with what was found.
    pub(super) async fn note_target(&self, state: &State, look: &Look, accepted: bool) -> Result<()> {
        let (next, reason) = if let Some(fault) = &state.fault {
            (TargetState::Paused, Some(fault.clone()))
        } else if state.pace.is_open() {
            // What was said first stays, so that the row is not written again at every try.
            let first = Some(look).filter(|look| look.state == TargetState::Unreachable);
            let why = first.and_then(|look| look.reason.clone()).or_else(|| state.trouble.clone());
            (TargetState::Unreachable, why.or_else(|| Some("the index does not answer".to_owned())))
        } else if accepted {
            (TargetState::Active, None)
        } else {
            return Ok(());
        };
        if next == look.state && reason == look.reason {
            return Ok(());
        }
        tracing::info!(state = next.name(), reason, "the target's state changed");
        self.store().set_state(next, reason.as_deref()).await
    }

    async fn push_group(&self, state: &mut State, session: &Session, look: &Look, limit: u32) -> Result<bool> {
        let groups = self.store().due_groups(self.now()).await?;
        // Deletions first; then the namespaces in turn.
        let first = groups.first().map(|group| group.want.clone());
        let groups: Vec<Group> = groups.into_iter().filter(|group| Some(&group.want) == first.as_ref()).collect();
        if groups.is_empty() {
            return Ok(false);
        }
        state.round = state.round.wrapping_add(1);
        let group = &groups[state.round % groups.len()];
        let Some((claim, claimed)) = self.claim(session, group, look.generation, limit).await? else {
            return Ok(false);
        };
        let claim = Arc::new(claim);
        let dimension = look.dimension.and_then(|dimension| usize::try_from(dimension).ok()).unwrap_or(4_096);
        let size = READ_BYTES / (4 * dimension + 4_096);
        for page in claimed.chunks(size.max(16)) {
            if self.may_not_go_on(state) || state.fault.is_some() {
                self.store().release(&claim, give_back(page, self.now())).await?;
            } else {
                self.fly(state, &claim, page, look).await?;
            }
        }
        Ok(true)
    }

    /// Whether what was claimed and not sent goes back: the target is not to be asked now, or the engine ends.
    fn may_not_go_on(&self, state: &State) -> bool {
        self.ending() != Ending::No || matches!(state.pace.gate(self.now()), Gate::Closed { .. })
    }

    async fn claim(
        &self,
        session: &Session,
        group: &Group,
        generation: i64,
        limit: u32,
    ) -> Result<Option<(Claim, Vec<Claimed>)>> {
        let ticket = self.ticket(session, &group.namespace);
        let (at, claimed) = self.store().claim(&ticket, &group.want, limit).await?;
        if claimed.is_empty() {
            return Ok(None);
        }
        let slots = claimed.iter().map(|slot| (slot.vector_id.clone(), slot.clone())).collect();
        Ok(Some((Claim { ticket, at, generation, doubt_ms: self.doubt_ms(), slots }, claimed)))
    }

    pub(super) fn ticket(&self, session: &Session, namespace: &str) -> Ticket {
        Ticket {
            target_id: self.setup.target_id,
            namespace: namespace.to_owned(),
            token: self.setup.time.new_id(),
            worker: session.id.clone(),
            rev: self.store().seen_revision(),
        }
    }

    pub(super) async fn corpus(&self, state: &mut State) -> Result<String> {
        if let Some(corpus) = &state.corpus {
            return Ok(corpus.clone());
        }
        let made = self.store().corpus_id(&self.setup.time.new_id()).await?;
        state.corpus = Some(made.clone());
        Ok(made)
    }

    /// The dimension that the index takes, once it is known.
    pub(super) fn dimension(&self, look: &Look) -> Option<u32> {
        let known = look.dimension.and_then(|dimension| u32::try_from(dimension).ok());
        // The embedded index knows best: one that was emptied takes any dimension again.
        let own = self.setup.dimension.or_else(|| self.index().dimension());
        own.or(if self.index().kind() == "local" { None } else { known })
    }

    /// One claim, from the truth to the last answer.
    async fn fly(&self, state: &mut State, claim: &Arc<Claim>, page: &[Claimed], look: &Look) -> Result<()> {
        let corpus = self.corpus(state).await?;
        let mut limits = self.index().limits();
        if let Some(asked) = look.batch_size.and_then(|size| usize::try_from(size).ok()) {
            limits.upsert_records = limits.upsert_records.min(asked);
        }
        let ids: Vec<String> = page.iter().map(|slot| slot.vector_id.clone()).collect();
        let chars = i64::try_from(limits.metadata_bytes).unwrap_or(i64::MAX);
        let truths = self.store().read(&claim.ticket, &ids, chars).await?;
        let facts = Facts {
            namespace: &claim.ticket.namespace,
            claimed_at: claim.at,
            generation: claim.generation,
            rules: Rules { corpus: &corpus, limits, dimension: self.dimension(look) },
            others_succeed: state.accepted_at.is_some_and(|at| self.monotonic().saturating_sub(at) <= LATELY),
        };
        let (mut flight, effects) = Flight::begin(page, truths, facts, self.now(), &mut state.rng);
        self.perform(state, claim, &mut flight, effects, &corpus).await?;
        let mut sending: FuturesUnordered<Sending<'_>> = FuturesUnordered::new();
        let mut fenced = false;
        loop {
            while !fenced && sending.len() < state.pace.concurrency() {
                if self.may_not_go_on(state) {
                    let back = flight.abandon(self.now());
                    self.perform(state, claim, &mut flight, back.into_iter().collect(), &corpus).await?;
                    break;
                }
                let Some(request) = flight.take_next() else { break };
                let wait = limits.rates.map_or(Duration::ZERO, |rates| {
                    state.buckets.reserve(&claim.ticket.namespace, flight.load(&request), rates, self.monotonic())
                });
                sending.push(Box::pin(self.send(claim.clone(), &flight, request, wait)));
            }
            let Some((request, answer)) = sending.next().await else { break };
            let Some(answer) = answer else {
                // What has left is waited for all the same: if this worker is dead, only it knows of those writes.
                fenced = true;
                continue;
            };
            self.note_answer(state, &request, &answer);
            let effects = flight.answered(request, answer, self.now(), &mut state.rng);
            self.perform(state, claim, &mut flight, effects, &corpus).await?;
        }
        if fenced {
            return Err(Error::Unavailable {
                detail: "This worker may have been declared dead".to_owned(),
                retry_after: None,
                job_id: None,
            });
        }
        Ok(())
    }

    /// One request, when its rate allows it; the fence is looked at immediately before it.
    fn send(
        &self,
        claim: Arc<Claim>,
        flight: &Flight,
        request: Request,
        wait: Duration,
    ) -> impl Future<Output = Sent> + Send + use<'_> {
        let (records, ids) = match &request {
            Request::Upsert(numbers) => (flight.records(numbers), Vec::new()),
            Request::Delete(numbers) => (Vec::new(), flight.ids(numbers)),
        };
        async move {
            if !wait.is_zero() {
                self.setup.time.sleep(wait).await;
            }
            if !self.may_send(&claim.ticket.worker).await {
                return (request, None);
            }
            let namespace = &claim.ticket.namespace;
            let exchange = async {
                match &request {
                    Request::Upsert(_) => self.index().upsert(namespace, records).await,
                    Request::Delete(_) => self.index().delete(namespace, &ids).await,
                }
            };
            let answer = self.ask(exchange).await;
            (request, Some(answer))
        }
    }

    fn note_answer(&self, state: &mut State, request: &Request, answer: &IndexResult<Written>) {
        match answer {
            Ok(_) => {
                state.pace.answered();
                match request {
                    Request::Upsert(_) | Request::Delete(_) => state.accepted_at = Some(self.monotonic()),
                }
            }
            Err(error) => {
                tracing::debug!(%error, kind = ?error.kind, "the index did not take a request");
                self.note_failure(state, error);
            }
        }
    }

    /// A request that this process cut says nothing about the target.
    pub(super) fn note_failure(&self, state: &mut State, error: &IndexError) {
        if self.ending() != Ending::Now {
            state.trouble = Some(error.detail.clone());
            state.pace.failed(error.kind, error.retry_after, self.now());
        }
    }

    async fn perform(
        &self,
        state: &mut State,
        claim: &Arc<Claim>,
        flight: &mut Flight,
        effects: Vec<Effect>,
        corpus: &str,
    ) -> Result<()> {
        let mut queue: VecDeque<Effect> = effects.into();
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Acknowledge(acks) => self.store().acknowledge(claim, acks).await?,
                Effect::Release(slots) => self.store().release(claim, slots).await?,
                Effect::Doubt(slots) => self.store().doubt(claim, slots).await?,
                Effect::Quarantine(slot) => self.store().quarantine(claim, slot).await?,
                Effect::Pause(reason) => state.fault = Some(reason),
                Effect::LearnDimension(dimension) => self.learn(dimension).await?,
                Effect::Probe => {
                    let outcome = self.probe(state, claim, corpus).await?;
                    queue.extend(flight.probed(outcome, self.now(), &mut state.rng));
                }
            }
        }
        Ok(())
    }

    async fn learn(&self, dimension: u32) -> Result<()> {
        self.store().learn_dimension(i32::try_from(dimension).unwrap_or(i32::MAX)).await
    }
}

fn give_back(slots: &[Claimed], due_at: i64) -> Vec<Back> {
    slots.iter().map(|slot| Back { vector_id: slot.vector_id.clone(), due_at, why: None }).collect()
}
