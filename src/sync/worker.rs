//! The driver: claim, read, send, write down. The only loop of the engine.
//!
//! A turn does what is due now and ends. Nothing is remembered between turns that
//! the database does not know, except how fast the target may be driven and what
//! was seen of other workers: a worker that vanishes loses nothing.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::error::Result;
use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::IndexResult;
use crate::index::Written;
use crate::service::Ctx;
use crate::store::claims;
use crate::store::claims::Back;
use crate::store::claims::Claimed;
use crate::store::claims::Group;
use crate::store::claims::Ticket;
use crate::store::jobs;
use crate::store::jobs::JobState;
use crate::store::jobs::News;
use crate::store::targets;
use crate::store::targets::Look;
use crate::store::targets::TargetState;
use crate::store::workers;
use crate::sync::flight::Effect;
use crate::sync::flight::Facts;
use crate::sync::flight::Flight;
use crate::sync::flight::Probed;
use crate::sync::flight::Request;
use crate::sync::pace::Gate;
use crate::sync::pace::Pace;
use crate::sync::perform;
use crate::sync::perform::Claim;
use crate::sync::preflight;
use crate::sync::preflight::Rules;
use crate::sync::progress;
use crate::sync::progress::Visible;
use crate::sync::session::Observer;
use crate::sync::session::Session;

/// How often a paused target is looked at.
const LOOK_EVERY_MS: i64 = 60_000;
/// Slots that are claimed to see whether a paused target takes writes again.
const TRIAL: u32 = 8;
/// How far ahead a slot may be due, when the clock was set back.
const DUE_WITHIN_MS: i64 = 900_000;
/// How long tombstones, log entries and events are kept.
const KEEP_MS: i64 = 7 * 24 * 3_600_000;
/// How often old rows are removed.
const TIDY_EVERY: Duration = Duration::from_secs(3_600);
/// The shortest time between two progress events of a job.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// An acceptance that long ago still says that others succeed.
const LATELY_MS: i64 = 600_000;
/// Bytes of rows that are read at one time, roughly.
const READ_BYTES: usize = 4_000_000;

/// Which jobs are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// Those that nobody has taken up.
    Queued,
    /// Those of which nothing was told for a while.
    Due,
    /// All.
    All,
}

/// What a turn found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Something was done: there may be more.
    Worked,
    /// Nothing can be done now.
    Idle,
}

/// The engine of one process.
#[derive(Debug)]
pub struct Engine {
    cx: Ctx,
    session: Mutex<Option<Session>>,
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug)]
struct State {
    corpus: Option<String>,
    observer: Observer,
    observed: Option<Duration>,
    pace: Pace,
    rng: Rng,
    round: usize,
    accepted_at: Option<i64>,
    fault: Option<String>,
    verifying: HashMap<String, i64>,
    told: HashMap<String, Duration>,
    tidied: Option<Duration>,
}

/// An answer, or the fence: the request was not sent, because this worker may be dead.
type Sent = (Request, Option<IndexResult<Written>>);
type Sending<'a> = Pin<Box<dyn Future<Output = Sent> + Send + 'a>>;

impl Engine {
    /// An engine over the database and the index of `cx`.
    #[must_use]
    pub fn new(cx: Ctx) -> Self {
        let state = State {
            corpus: None,
            observer: Observer::default(),
            observed: None,
            pace: Pace::default(),
            rng: Rng::new(),
            round: 0,
            accepted_at: None,
            fault: None,
            verifying: HashMap::new(),
            told: HashMap::new(),
            tidied: None,
        };
        Self { cx, session: Mutex::default(), state: tokio::sync::Mutex::new(state) }
    }

    /// The context it works in.
    #[must_use]
    pub const fn cx(&self) -> &Ctx {
        &self.cx
    }

    fn doubt_ms(&self) -> i64 {
        i64::try_from(self.cx.config().sync.doubt.as_millis()).unwrap_or(i64::MAX)
    }

    fn now(&self) -> i64 {
        self.cx.db().clock().now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.cx.db().clock().monotonic()
    }

    /// Prepares a start: clamps times, and (where this process holds the only lock) buries earlier workers.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open(&self, alone: bool) -> Result<()> {
        let (target, doubt_ms) = (self.cx.target_id(), self.doubt_ms());
        // An index in the same file dies with its process: nothing of it can land any more.
        let buried_doubt_ms = if self.cx.index().kind() == "local" { 0 } else { doubt_ms };
        self.cx
            .db()
            .write(move |tx| {
                Box::pin(async move {
                    targets::clamp(tx, target, DUE_WITHIN_MS, doubt_ms).await?;
                    if alone {
                        workers::bury_all(tx, buried_doubt_ms).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    fn session(&self) -> Option<Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Registers, or beats when it is time; a worker that was declared dead registers anew.
    ///
    /// # Errors
    /// What the database says.
    pub async fn beat(&self) -> Result<Session> {
        if let Some(session) = self.session() {
            if !session.is_due(self.monotonic(), &self.cx.config().sync) {
                return Ok(session);
            }
            if let Some(session) = self.force_beat(&session).await? {
                return Ok(session);
            }
            self.retire().await?;
        }
        let before = self.monotonic();
        let id = self.cx.db().clock().new_id();
        let own = id.clone();
        self.cx
            .db()
            .write(move |tx| {
                let id = own.clone();
                Box::pin(async move { Ok(workers::register(tx, &id).await?) })
            })
            .await?;
        let session = Session::new(id, before);
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
        Ok(session)
    }

    /// Beats now; nothing when this worker was declared dead.
    async fn force_beat(&self, session: &Session) -> Result<Option<Session>> {
        let before = self.monotonic();
        let id = session.id.clone();
        let alive = self
            .cx
            .db()
            .write(move |tx| {
                let id = id.clone();
                Box::pin(async move { Ok(workers::beat(tx, &id).await?) })
            })
            .await?
            .value;
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(slot.as_mut().filter(|own| alive && own.id == session.id).map(|own| {
            own.beaten(before);
            own.clone()
        }))
    }

    /// Gives back what this worker has claimed, as of a dead one, and takes its row away.
    ///
    /// # Errors
    /// What the database says.
    pub async fn retire(&self) -> Result<()> {
        let Some(session) = self.session() else { return Ok(()) };
        let doubt_ms = self.doubt_ms();
        self.cx
            .db()
            .write(move |tx| {
                let id = session.id.clone();
                Box::pin(async move {
                    let taken = workers::leave(tx, &id, doubt_ms).await?;
                    if taken > 0 {
                        tracing::warn!(worker = id, slots = taken, "claims were given back in doubt");
                    }
                    Ok(())
                })
            })
            .await?;
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// Whether a request may go out; a late worker asks the database first.
    async fn may_send(&self, worker: &str) -> bool {
        let Some(session) = self.session().filter(|session| session.id == worker) else { return false };
        if session.may_send(self.monotonic(), &self.cx.config().sync) {
            return true;
        }
        match self.force_beat(&session).await {
            Ok(Some(session)) => session.may_send(self.monotonic(), &self.cx.config().sync),
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%error, "no beat, so nothing is sent");
                false
            }
        }
    }

    /// Does what is due now: at most one claim, one page of a sweep, and the jobs.
    ///
    /// # Errors
    /// What the database says; what was claimed is then given back at the next turn.
    pub async fn turn(&self) -> Result<Turn> {
        let mut state = self.state.lock().await;
        let outcome = self.turn_once(&mut state).await;
        if outcome.is_err()
            && let Err(error) = self.retire().await
        {
            tracing::warn!(%error, "claims of an interrupted turn wait for the database");
        }
        outcome
    }

    async fn turn_once(&self, state: &mut State) -> Result<Turn> {
        let session = self.beat().await?;
        self.observe(state, &session).await?;
        self.tidy(state).await?;
        let look = targets::look(self.cx.read(), self.cx.target_id(), self.now()).await?;
        let mut worked = false;
        if look.sweeping {
            worked |= self.sweep().await?;
        }
        if look.jobs {
            worked |= self.advance_jobs(state, &session, Which::Queued).await?;
        }
        worked |= self.push(state, &session, &look).await?;
        if look.jobs {
            let which = if worked { Which::Due } else { Which::All };
            worked |= self.advance_jobs(state, &session, which).await?;
        }
        Ok(if worked { Turn::Worked } else { Turn::Idle })
    }

    /// Looks at other workers' beats, and buries those that stand still.
    async fn observe(&self, state: &mut State, session: &Session) -> Result<()> {
        let (now, sync) = (self.monotonic(), &self.cx.config().sync);
        if state.observed.is_some_and(|at| now.saturating_sub(at) < sync.heartbeat) {
            return Ok(());
        }
        state.observed = Some(now);
        let live = workers::live(self.cx.read()).await?;
        let doubt_ms = self.doubt_ms();
        for (id, beat) in state.observer.look(&live, &session.id, now, sync.lease) {
            tracing::warn!(worker = id, "a worker stands still: its claims are taken");
            self.cx
                .db()
                .write(move |tx| {
                    let id = id.clone();
                    Box::pin(async move { Ok(workers::bury(tx, &id, beat, doubt_ms).await?) })
                })
                .await?;
        }
        Ok(())
    }

    /// Removes what nobody needs any more.
    async fn tidy(&self, state: &mut State) -> Result<()> {
        let now = self.monotonic();
        if state.tidied.is_some_and(|at| now.saturating_sub(at) < TIDY_EVERY) {
            return Ok(());
        }
        state.tidied = Some(now);
        let target = self.cx.target_id();
        self.cx
            .db()
            .write(move |tx| {
                Box::pin(async move {
                    let before = tx.now_ms() - KEEP_MS;
                    while targets::bury_tombstones(tx, target, before).await? > 0 {}
                    while targets::prune_log(tx, before).await? > 0 {}
                    jobs::prune(tx, before).await?;
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    async fn sweep(&self) -> Result<bool> {
        let target = self.cx.target_id();
        let page =
            self.cx.db().write(move |tx| Box::pin(async move { Ok(targets::sweep_page(tx, target).await?) })).await?;
        if let Some(count) = page.value {
            tracing::info!(count, "touched for the new generation of the target");
        }
        Ok(page.value.is_some())
    }

    /// Claims and sends, when there is something due and the target may be asked.
    async fn push(&self, state: &mut State, session: &Session, look: &Look) -> Result<bool> {
        let size = self.cx.config().sync.claim_size;
        let limit = match (look.state, state.pace.gate(self.now())) {
            (_, Gate::Closed { .. }) => return Ok(false),
            (TargetState::Paused, Gate::Free | Gate::Probe) => {
                if !self.ask_paused(look).await? {
                    return Ok(false);
                }
                TRIAL
            }
            (TargetState::Active | TargetState::Unreachable, Gate::Probe) => 1,
            (TargetState::Active | TargetState::Unreachable, Gate::Free) => size,
        };
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
        let target = self.cx.target_id();
        let mine = self
            .cx
            .db()
            .write(move |tx| Box::pin(async move { Ok(targets::take_look(tx, target, LOOK_EVERY_MS).await?) }))
            .await?;
        if !mine.value {
            return Ok(false);
        }
        let stats = tokio::time::timeout(self.cx.config().sync.request_timeout, self.cx.index().stats()).await;
        let answers = matches!(stats, Ok(Ok(_)));
        if !answers {
            tracing::info!(reason = look.reason, "the target is still paused");
        }
        Ok(answers)
    }

    /// Keeps the target's row in step with what was found.
    async fn note_target(&self, state: &State, look: &Look, accepted: bool) -> Result<()> {
        let (next, reason) = if let Some(fault) = &state.fault {
            (TargetState::Paused, Some(fault.clone()))
        } else if state.pace.is_open() {
            (TargetState::Unreachable, Some("the index does not answer".to_owned()))
        } else if accepted {
            (TargetState::Active, None)
        } else {
            return Ok(());
        };
        if next == look.state && reason == look.reason {
            return Ok(());
        }
        tracing::info!(state = next.name(), reason, "the target's state changed");
        let target = self.cx.target_id();
        self.cx
            .db()
            .write(move |tx| {
                let reason = reason.clone();
                Box::pin(async move { Ok(targets::set_state(tx, target, next, reason.as_deref()).await?) })
            })
            .await?;
        Ok(())
    }

    async fn push_group(&self, state: &mut State, session: &Session, look: &Look, limit: u32) -> Result<bool> {
        let groups = claims::due_groups(self.cx.read(), self.cx.target_id(), self.now()).await?;
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
        let size = READ_BYTES / (4 * look.dimension.map_or(4_096, |d| usize::try_from(d).unwrap_or(0)) + 4_096);
        for page in claimed.chunks(size.clamp(16, 1_000)) {
            let closed = matches!(state.pace.gate(self.now()), Gate::Closed { .. });
            if closed || state.fault.is_some() {
                perform::release(self.cx.db(), &claim, give_back(page, self.now())).await?;
            } else {
                self.fly(state, &claim, page, look).await?;
            }
        }
        Ok(true)
    }

    async fn claim(
        &self,
        session: &Session,
        group: &Group,
        generation: i64,
        limit: u32,
    ) -> Result<Option<(Claim, Vec<Claimed>)>> {
        let ticket = self.ticket(session, &group.namespace);
        let (mine, want) = (ticket.clone(), group.want.clone());
        let (at, claimed) = self
            .cx
            .db()
            .write(move |tx| {
                let (ticket, want) = (mine.clone(), want.clone());
                Box::pin(async move { Ok((tx.now_ms(), claims::claim(tx, &ticket, &want, limit).await?)) })
            })
            .await?
            .value;
        if claimed.is_empty() {
            return Ok(None);
        }
        let slots = claimed.iter().map(|slot| (slot.vector_id.clone(), slot.clone())).collect();
        Ok(Some((Claim { ticket, at, generation, doubt_ms: self.doubt_ms(), slots }, claimed)))
    }

    fn ticket(&self, session: &Session, namespace: &str) -> Ticket {
        Ticket {
            target_id: self.cx.target_id(),
            namespace: namespace.to_owned(),
            token: self.cx.db().clock().new_id(),
            worker: session.id.clone(),
            rev: self.cx.db().seen_revision(),
        }
    }

    async fn corpus(&self, state: &mut State) -> Result<String> {
        if let Some(corpus) = &state.corpus {
            return Ok(corpus.clone());
        }
        let fresh = self.cx.db().clock().new_id();
        let made = self
            .cx
            .db()
            .write(move |tx| {
                let fresh = fresh.clone();
                Box::pin(async move { Ok(targets::corpus_id(tx, &fresh).await?) })
            })
            .await?;
        state.corpus = Some(made.value.clone());
        Ok(made.value)
    }

    /// One claim, from the truth to the last answer.
    async fn fly(&self, state: &mut State, claim: &Arc<Claim>, page: &[Claimed], look: &Look) -> Result<()> {
        let corpus = self.corpus(state).await?;
        let limits = self.cx.index().limits();
        let ids: Vec<String> = page.iter().map(|slot| slot.vector_id.clone()).collect();
        let chars = i64::try_from(limits.metadata_bytes).unwrap_or(i64::MAX);
        let truths = claims::read(self.cx.read(), &claim.ticket, &ids, chars).await?;
        let known = look.dimension.and_then(|dimension| u32::try_from(dimension).ok());
        let facts = Facts {
            namespace: &claim.ticket.namespace,
            claimed_at: claim.at,
            generation: claim.generation,
            rules: Rules { corpus: &corpus, limits, dimension: known.or_else(|| self.cx.index().dimension()) },
            others_succeed: state.accepted_at.is_some_and(|at| self.now() - at <= LATELY_MS),
        };
        let (mut flight, effects) = Flight::begin(page, truths, facts, self.now(), &mut state.rng);
        self.perform(state, claim, &mut flight, effects, &corpus).await?;
        let mut sending: FuturesUnordered<Sending<'_>> = FuturesUnordered::new();
        loop {
            while sending.len() < state.pace.concurrency() {
                if matches!(state.pace.gate(self.now()), Gate::Closed { .. }) {
                    let back = flight.abandon(self.now());
                    self.perform(state, claim, &mut flight, back.into_iter().collect(), &corpus).await?;
                    break;
                }
                let Some(request) = flight.take_next() else { break };
                sending.push(Box::pin(self.send(claim.clone(), &flight, request)));
            }
            let Some((request, answer)) = sending.next().await else { break };
            let Some(answer) = answer else {
                return Err(Error::Unavailable {
                    detail: "This worker may have been declared dead".to_owned(),
                    retry_after: None,
                    job_id: None,
                });
            };
            self.note_answer(state, &request, &answer);
            let effects = flight.answered(request, answer, self.now(), &mut state.rng);
            self.perform(state, claim, &mut flight, effects, &corpus).await?;
        }
        Ok(())
    }

    /// One request; the fence is looked at immediately before it.
    fn send(
        &self,
        claim: Arc<Claim>,
        flight: &Flight,
        request: Request,
    ) -> impl Future<Output = Sent> + Send + use<'_> {
        let (records, ids) = match &request {
            Request::Upsert(numbers) => (flight.records(numbers), Vec::new()),
            Request::Delete(numbers) => (Vec::new(), flight.ids(numbers)),
        };
        async move {
            if !self.may_send(&claim.ticket.worker).await {
                return (request, None);
            }
            let namespace = &claim.ticket.namespace;
            let exchange = async {
                match &request {
                    Request::Upsert(_) => self.cx.index().upsert(namespace, records).await,
                    Request::Delete(_) => self.cx.index().delete(namespace, &ids).await,
                }
            };
            let answer = tokio::time::timeout(self.cx.config().sync.request_timeout, exchange).await;
            let answer = answer
                .unwrap_or_else(|_| Err(IndexError::new(IndexErrorKind::InDoubt, "no answer within the time limit")));
            (request, Some(answer))
        }
    }

    fn note_answer(&self, state: &mut State, request: &Request, answer: &IndexResult<Written>) {
        match answer {
            Ok(_) => {
                state.pace.answered();
                match request {
                    Request::Upsert(_) | Request::Delete(_) => state.accepted_at = Some(self.now()),
                }
            }
            Err(error) => {
                tracing::debug!(%error, kind = ?error.kind, "the index did not take a request");
                state.pace.failed(error.kind, error.retry_after, self.now());
            }
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
        let db = self.cx.db();
        let mut queue: VecDeque<Effect> = effects.into();
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Acknowledge(acks) => perform::acknowledge(db, claim, acks).await?,
                Effect::Release(slots) => perform::release(db, claim, slots).await?,
                Effect::Doubt(slots) => perform::doubt(db, claim, slots).await?,
                Effect::Quarantine(slot) => perform::quarantine(db, claim, slot).await?,
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
        let target = self.cx.target_id();
        let dimension = i32::try_from(dimension).unwrap_or(i32::MAX);
        self.cx
            .db()
            .write(move |tx| Box::pin(async move { Ok(targets::learn_dimension(tx, target, dimension).await?) }))
            .await?;
        Ok(())
    }

    /// Sends a record again that the target has accepted before, under a claim of its own.
    async fn probe(&self, state: &mut State, claim: &Arc<Claim>, corpus: &str) -> Result<Probed> {
        let Some(session) = self.session() else { return Ok(Probed::Silent) };
        let ticket = self.ticket(&session, &claim.ticket.namespace);
        let mine = ticket.clone();
        let (at, known) = self
            .cx
            .db()
            .write(move |tx| {
                let ticket = mine.clone();
                Box::pin(async move { Ok((tx.now_ms(), claims::claim_known(tx, &ticket).await?)) })
            })
            .await?
            .value;
        let Some(slot) = known else { return Ok(Probed::Unknown) };
        let limits = self.cx.index().limits();
        let chars = i64::try_from(limits.metadata_bytes).unwrap_or(i64::MAX);
        let truth = claims::read(self.cx.read(), &ticket, std::slice::from_ref(&slot.vector_id), chars).await?;
        let rules = Rules { corpus, limits, dimension: None };
        let ready = truth
            .first()
            .and_then(|truth| truth.rows.as_ref())
            .and_then(|rows| preflight::check(rows, &ticket.namespace, &slot.vector_id, slot.want_rev, rules).ok());
        let slots = HashMap::from([(slot.vector_id.clone(), slot.clone())]);
        let probe = Arc::new(Claim { ticket, at, generation: claim.generation, doubt_ms: claim.doubt_ms, slots });
        let Some(ready) = ready else {
            self.put_back(&probe).await?;
            return Ok(Probed::Unknown);
        };
        if !self.may_send(&probe.ticket.worker).await {
            self.put_back(&probe).await?;
            return Ok(Probed::Silent);
        }
        let exchange = self.cx.index().upsert(&probe.ticket.namespace, vec![ready.record]);
        let answer = tokio::time::timeout(self.cx.config().sync.request_timeout, exchange).await;
        let answer =
            answer.unwrap_or_else(|_| Err(IndexError::new(IndexErrorKind::InDoubt, "no answer within the time limit")));
        let (vector_id, want_rev, hash) = (slot.vector_id, slot.want_rev, ready.hash);
        match answer {
            Ok(written) => {
                state.pace.answered();
                let ack = claims::Ack { vector_id, want_rev, hash, lsn: written.lsn, sent: true };
                perform::acknowledge(self.cx.db(), &probe, vec![ack]).await?;
                Ok(Probed::Accepted)
            }
            Err(error) => {
                state.pace.failed(error.kind, error.retry_after, self.now());
                match error.kind {
                    IndexErrorKind::InDoubt => {
                        let back = Back { vector_id, due_at: self.now(), why: None };
                        perform::doubt(self.cx.db(), &probe, vec![(back, hash)]).await?;
                        Ok(Probed::Silent)
                    }
                    IndexErrorKind::NotApplied | IndexErrorKind::RateLimited => {
                        self.put_back(&probe).await?;
                        Ok(Probed::Silent)
                    }
                    IndexErrorKind::Rejected | IndexErrorKind::TooLarge | IndexErrorKind::TargetFault => {
                        self.put_back(&probe).await?;
                        Ok(Probed::Refused(error.detail))
                    }
                }
            }
        }
    }

    async fn put_back(&self, probe: &Arc<Claim>) -> Result<()> {
        let probe = probe.clone();
        self.cx
            .db()
            .write(move |tx| {
                let probe = probe.clone();
                Box::pin(async move { Ok(claims::put_back(tx, &probe.ticket).await?) })
            })
            .await?;
        Ok(())
    }

    /// Moves every job on that this worker drives.
    async fn advance_jobs(&self, state: &mut State, session: &Session, which: Which) -> Result<bool> {
        let look = targets::look(self.cx.read(), self.cx.target_id(), self.now()).await?;
        let blocked = match look.state {
            TargetState::Active => None,
            TargetState::Paused | TargetState::Unreachable => {
                Some(look.reason.clone().unwrap_or_else(|| look.state.name().to_owned()))
            }
        };
        let active = jobs::active(self.cx.read(), self.cx.target_id()).await?;
        state.verifying.retain(|id, _| active.iter().any(|job| job.id == *id));
        state.told.retain(|id, _| active.iter().any(|job| job.id == *id));
        let mut moved = false;
        for job in active {
            let told = state.told.get(&job.id).copied();
            let wanted = match which {
                Which::Queued => jobs::state(&job) == JobState::Queued,
                // Counting what remains is not for every batch.
                Which::Due => told.is_none_or(|at| self.monotonic().saturating_sub(at) >= PROGRESS_EVERY),
                Which::All => true,
            };
            if !wanted {
                continue;
            }
            let others = match &job.owner {
                Some(owner) if *owner != session.id => {
                    workers::live(self.cx.read()).await?.iter().any(|(id, _)| id == owner)
                }
                Some(_) | None => false,
            };
            if !others {
                moved |= self.advance_job(state, session, job, blocked.clone(), look.sweeping).await?;
            }
        }
        if moved {
            self.cx.db().wake();
        }
        Ok(moved)
    }

    async fn advance_job(
        &self,
        state: &mut State,
        session: &Session,
        job: crate::entity::sync_job::Model,
        blocked: Option<String>,
        sweeping: bool,
    ) -> Result<bool> {
        let remains = jobs::remains(self.cx.read(), &job).await?;
        let verifying = jobs::state(&job) == JobState::Verifying;
        let now = self.now();
        let since = if verifying { *state.verifying.entry(job.id.clone()).or_insert(now) } else { now };
        let visible = if verifying && remains.open == 0 { self.visible(&job).await? } else { None };
        let facts = progress::Facts { remains, blocked, sweeping, visible, verifying_since: since, now };
        let told = state.told.get(&job.id).copied();
        let mono = self.monotonic();
        let quiet = told.is_some_and(|at| mono.saturating_sub(at) < PROGRESS_EVERY);
        match progress::advance(&mut job.clone(), &facts) {
            None if job.owner.as_ref() == Some(&session.id) => return Ok(false),
            Some(News::Progress) if quiet => return Ok(false),
            Some(News::Progress | News::State) | None => {}
        }
        let (facts, id, owner) = (Arc::new(facts), job.id.clone(), session.id.clone());
        let told = self
            .cx
            .db()
            .write(move |tx| {
                let (facts, id, owner) = (facts.clone(), id.clone(), owner.clone());
                Box::pin(async move {
                    let Some(mut job) = jobs::lock(tx, &id).await? else { return Ok(None) };
                    if jobs::state(&job).is_terminal() {
                        return Ok(None);
                    }
                    let facts = progress::Facts { remains: jobs::remains(tx, &job).await?, ..(*facts).clone() };
                    let news = progress::advance(&mut job, &facts);
                    let taken = job.owner.as_ref() != Some(&owner);
                    job.owner = Some(owner);
                    match news {
                        Some(news) => jobs::update(tx, &mut job, news, None).await?,
                        None if taken => jobs::save(tx, &job).await?,
                        None => {}
                    }
                    Ok(news)
                })
            })
            .await?
            .value;
        if told.is_some() {
            state.told.insert(job.id, mono);
        }
        Ok(told.is_some())
    }

    /// Whether queries of the index see what was acknowledged for a job.
    async fn visible(&self, job: &crate::entity::sync_job::Model) -> Result<Option<Visible>> {
        let acknowledged = jobs::acknowledged_lsn(self.cx.read(), job).await?;
        if acknowledged.is_empty() && job.total == 0 {
            return Ok(None);
        }
        let mut worst = if acknowledged.is_empty() { Visible::Unknown } else { Visible::Yes };
        for (namespace, lsn) in acknowledged {
            let asked = self.cx.index().visible_lsn(&namespace);
            let shown = match tokio::time::timeout(self.cx.config().sync.request_timeout, asked).await {
                Ok(Ok(visible)) => progress::shows(lsn, visible),
                Ok(Err(_)) | Err(_) => Visible::NotYet,
            };
            worst = match (worst, shown) {
                (Visible::NotYet, _) | (_, Visible::NotYet) => Visible::NotYet,
                (Visible::Unknown, _) | (_, Visible::Unknown) => Visible::Unknown,
                (Visible::Yes, Visible::Yes) => Visible::Yes,
            };
        }
        Ok(Some(worst))
    }
}

fn give_back(slots: &[Claimed], due_at: i64) -> Vec<Back> {
    slots.iter().map(|slot| Back { vector_id: slot.vector_id.clone(), due_at, why: None }).collect()
}

/// Works until `stop`: woken by commits, and by a poll that makes no promise depend on being woken.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    let sync = &engine.cx.config().sync;
    let beats = async {
        // A long request must not keep the beat waiting.
        loop {
            tokio::time::sleep(sync.heartbeat / 2).await;
            if let Err(error) = engine.beat().await {
                tracing::warn!(%error, "no beat");
            }
        }
    };
    let work = async {
        while !stop.is_cancelled() {
            let woken = engine.cx.db().woken();
            let pause = match engine.turn().await {
                Ok(Turn::Worked) => continue,
                Ok(Turn::Idle) => sync.poll.mul_f64(0.75 + fastrand::f64() / 2.0),
                Err(error) => {
                    tracing::error!(cause = ?error, "a turn of the sync engine failed");
                    sync.poll
                }
            };
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    };
    tokio::select! {
        () = beats => {}
        () = work => {}
    }
    if let Err(error) = engine.retire().await {
        tracing::warn!(%error, "the worker's row stays until others find it dead");
    }
}
