//! Drives the checks that are jobs, a page a turn.
//!
//! A page is listed, read, fetched and compared with no transaction open, and then
//! written down together with the place where the job goes on: whoever takes the job
//! up after a crash goes on there. A finding is looked at twice, one doubt window
//! apart at least, before it counts: a listing may be stale.

use std::collections::HashMap;
use std::time::Duration;

use crate::entity::sync_job::Model;
use crate::error::Result;
use crate::index::IdPage;
use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::IndexResult;
use crate::index::VectorRecord;
use crate::store::reconcile;
use crate::store::reconcile::Class;
use crate::store::reconcile::Place;
use crate::store::reconcile::findings::Seen;
use crate::store::reconcile::findings::Suspect;
use crate::store::reconcile::sweep;
use crate::store::targets::Look;
use crate::store::targets::TargetState;
use crate::sync::checks::Checks;
use crate::sync::checks::Step;
use crate::sync::checks::Stepped;
use crate::sync::pace;
use crate::sync::pace::Gate;
use crate::sync::preflight::Rules;
use crate::sync::reconcile as compare;
use crate::sync::reconcile::Facts;
use crate::sync::reconcile::Pair;
use crate::sync::reconcile::Verdict;
use crate::sync::session::Session;
use crate::sync::worker::Engine;
use crate::sync::worker::State;

/// Ids of one page: as many records with their rows are in memory at one time, twice.
pub const PAGE: usize = 200;
/// Ids of one fetch: they may travel in a URL.
const FETCH: usize = 100;
/// How often a record is looked at that is never the same.
const LOOKS: i64 = 5;
/// The shortest time between two progress events of a job.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Until when a check that the index did not answer waits, by the monotonic clock, and how often it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::sync) struct Retry {
    until: Duration,
    attempts: u32,
}

/// Why a step was not made.
enum Stopped {
    Index(IndexError),
    Error(crate::error::Error),
}

impl From<crate::error::Error> for Stopped {
    fn from(error: crate::error::Error) -> Self {
        Self::Error(error)
    }
}

impl From<IndexError> for Stopped {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl Engine {
    /// Makes one step of one check.
    pub(in crate::sync) async fn check_jobs(&self, state: &mut State, session: &Session, look: &Look) -> Result<bool> {
        let jobs = std::mem::take(&mut state.comparing);
        let Some(checks) = self.checks() else { return Ok(false) };
        state.retries.retain(|id, _| jobs.iter().any(|job| job.id == *id));
        let blocked = match look.state {
            TargetState::Active => None,
            TargetState::Paused | TargetState::Unreachable => {
                Some(look.reason.clone().unwrap_or_else(|| look.state.name().to_owned()))
            }
        };
        for job in jobs {
            let stands = job.blocked_reason == blocked && job.owner.as_ref() == Some(&session.id);
            if (!stands || job.cancel_requested != 0) && checks.block(&job.id, &session.id, blocked.as_deref()).await? {
                self.store().wake();
                return Ok(true);
            }
            let retry = state.retries.get(&job.id).copied().unwrap_or_default();
            // Everything is being sent again: what the index holds says nothing before that is over.
            let waits = look.sweeping || self.monotonic() < retry.until;
            if blocked.is_some() || waits || matches!(state.pace.gate(self.now()), Gate::Closed { .. }) {
                continue;
            }
            match self.step(checks, state, session, look, &job).await {
                Ok(None) => {}
                Ok(Some(step)) => {
                    state.retries.remove(&job.id);
                    if !matches!(step.from, Place::Rows { .. }) {
                        state.pace.answered();
                    }
                    if checks.step(step).await? == Stepped::Told {
                        state.told.insert(job.id, self.monotonic());
                        self.store().wake();
                    }
                    return Ok(true);
                }
                Err(Stopped::Error(error)) => return Err(error),
                Err(Stopped::Index(error)) => return self.stopped(checks, state, look, &job, retry, error).await,
            }
        }
        Ok(false)
    }

    /// The index did not do what a check asked it for.
    async fn stopped(
        &self,
        checks: &dyn Checks,
        state: &mut State,
        look: &Look,
        job: &Model,
        retry: Retry,
        error: IndexError,
    ) -> Result<bool> {
        tracing::debug!(%error, kind = ?error.kind, "the index did not answer a check");
        self.note_failure(state, &error);
        match error.kind {
            IndexErrorKind::Rejected | IndexErrorKind::TooLarge => {
                checks.fail(&job.id, &format!("the index refused to be read: {}", error.detail)).await?;
                self.store().wake();
                return Ok(true);
            }
            IndexErrorKind::TargetFault => state.fault = Some(error.detail),
            IndexErrorKind::NotApplied | IndexErrorKind::RateLimited | IndexErrorKind::InDoubt => {
                let pause = pace::backoff_ms(retry.attempts + 1, &mut state.rng).unsigned_abs();
                let until = self.monotonic() + Duration::from_millis(pause);
                state.retries.insert(job.id.clone(), Retry { until, attempts: retry.attempts + 1 });
            }
        }
        self.note_target(state, look, false).await?;
        state.fault = None;
        Ok(false)
    }

    async fn step(
        &self,
        checks: &dyn Checks,
        state: &mut State,
        session: &Session,
        look: &Look,
        job: &Model,
    ) -> std::result::Result<Option<Step>, Stopped> {
        let Some(place) = reconcile::place(job) else {
            checks.fail(&job.id, "the place where it stood cannot be read").await?;
            return Ok(None);
        };
        let told = state.told.get(&job.id).copied();
        let quiet = told.is_some_and(|at| self.monotonic().saturating_sub(at) < PROGRESS_EVERY);
        let corpus = self.corpus(state).await?;
        let step = |to| Step { quiet, ..Step::new(job.id.clone(), session.id.clone(), place.clone(), to) };
        match &place {
            Place::Rows { sweep } => {
                let next = self.sweep_rows(checks, sweep).await?;
                let to = next.map_or(Place::Between { done: None }, |sweep| Place::Rows { sweep });
                Ok(Some(step(Some(to))))
            }
            Place::Between { done } => {
                let stats = self.ask(self.index().stats()).await?;
                let done = done.as_deref();
                let listed = stats.namespaces.into_iter().map(|(name, _)| name);
                let listed = listed.filter(|name| done.is_none_or(|done| name.as_str() > done)).min();
                let known = checks.next_namespace(done).await?;
                let next = [listed, known].into_iter().flatten().min();
                if let Some(namespace) = next {
                    return Ok(Some(step(Some(Place::Inside { namespace, after: None, page: None }))));
                }
                Ok(Some(self.towards_suspects(checks, job, step(None)).await?))
            }
            Place::Inside { namespace, after, page } => {
                let facts = Facts {
                    namespace,
                    rules: self.rules(&corpus, look),
                    now: self.now(),
                    settled_ms: self.settled_ms(),
                };
                Ok(Some(self.compare_page(checks, facts, after.as_deref(), page.clone(), step(None)).await?))
            }
            Place::Suspects { after } => {
                let before = self.now() - self.doubt_ms();
                let due = checks.suspects(&job.id, after.as_ref(), before, PAGE).await?;
                if due.is_empty() {
                    return Ok(match checks.oldest_suspect(&job.id).await? {
                        None => Some(step(None)),
                        Some(at) if at <= before => Some(step(Some(Place::Suspects { after: None }))),
                        Some(_) => None,
                    });
                }
                Ok(Some(self.look_again(checks, (&corpus, look), due, step(None)).await?))
            }
            Place::Settling => Ok(None),
        }
    }

    /// Every namespace is done: the findings are looked at once more, when there are any.
    async fn towards_suspects(&self, checks: &dyn Checks, job: &Model, step: Step) -> Result<Step> {
        if checks.oldest_suspect(&job.id).await?.is_none() {
            return Ok(step);
        }
        let seconds = self.doubt_ms() / 1000;
        let message = format!("What differs is looked at once more, {seconds} s after it was seen");
        Ok(Step { to: Some(Place::Suspects { after: None }), message: Some(message), ..step })
    }

    /// One page of the inner sweep: touches what differs, and gives where to go on.
    pub(in crate::sync) async fn sweep_rows(
        &self,
        checks: &dyn Checks,
        place: &sweep::Place,
    ) -> Result<Option<sweep::Place>> {
        let page = checks.sweep_page(place).await?;
        for (document, embeddings) in &page.differ {
            tracing::info!(document, count = embeddings.len(), "slots are not what their rows say, and are touched");
            checks.sweep_touch(document, embeddings).await?;
        }
        Ok(page.next)
    }

    fn rules<'a>(&self, corpus: &'a str, look: &Look) -> Rules<'a> {
        Rules { corpus, limits: self.index().limits(), dimension: self.dimension(look) }
    }

    fn settled_ms(&self) -> i64 {
        i64::try_from(self.setup.sync.reconcile.settled.as_millis()).unwrap_or(i64::MAX)
    }

    fn text_chars(&self) -> i64 {
        i64::try_from(self.index().limits().metadata_bytes).unwrap_or(i64::MAX)
    }

    /// A page of the ids that the index lists; a listing whose place the index no longer knows begins anew.
    async fn list(&self, namespace: &str, page: Option<&str>) -> IndexResult<IdPage> {
        match (self.ask(self.index().list(namespace, page, PAGE)).await, page) {
            (Err(error), Some(_)) if error.kind == IndexErrorKind::Rejected => {
                self.ask(self.index().list(namespace, None, PAGE)).await
            }
            (listed, _) => listed,
        }
    }

    async fn fetch(&self, namespace: &str, ids: &[String]) -> IndexResult<HashMap<String, VectorRecord>> {
        let mut records = HashMap::with_capacity(ids.len());
        for some in ids.chunks(FETCH) {
            let found = self.ask(self.index().fetch(namespace, some)).await?;
            records.extend(found.into_iter().map(|record| (record.id.clone(), record)));
        }
        Ok(records)
    }

    /// Compares one page of a namespace. Listed first and read afterwards: what was listed had its slot by then.
    async fn compare_page(
        &self,
        checks: &dyn Checks,
        facts: Facts<'_>,
        after: Option<&str>,
        asked: Option<String>,
        step: Step,
    ) -> std::result::Result<Step, Stopped> {
        let namespace = facts.namespace;
        let mut listed = self.list(namespace, asked.as_deref()).await?;
        // A listing that began anew comes to where this check stands once more.
        listed.ids.retain(|id| after.is_none_or(|after| id.as_str() > after));
        if listed.ids.is_empty() && listed.next.is_some() {
            let (namespace, after) = (namespace.to_owned(), after.map(str::to_owned));
            return Ok(Step { to: Some(Place::Inside { namespace, after, page: listed.next }), ..step });
        }
        let mut next = listed.next.is_some().then(|| listed.ids.last().cloned()).flatten();
        let range = (after, next.as_deref());
        let slots = checks.between(namespace, range, PAGE, self.text_chars()).await?;
        let mut page = listed.next;
        if slots.len() == PAGE && slots.last().map(|slot| &slot.vector_id) != next.as_ref() {
            // More slots than ids: the rest of the ids comes again.
            next = slots.last().map(|slot| slot.vector_id.clone());
            listed.ids.retain(|id| Some(id) <= next.as_ref());
            page = asked;
        }
        let listed = listed.ids;
        let pairs = compare::merge(&listed, &slots);
        let wanted: Vec<String> =
            pairs.iter().filter(|pair| compare::needs_record(**pair, facts)).map(|pair| pair.id.to_owned()).collect();
        let records = self.fetch(namespace, &wanted).await?;
        let mut step = step;
        for pair in pairs {
            match compare::judge(pair, records.get(pair.id), facts) {
                Verdict::Fine => step.checked += 1,
                Verdict::Skipped => step.skipped += 1,
                Verdict::Found(class, detail) => {
                    step.checked += 1;
                    let seen = seen(namespace, pair, class, detail, 1);
                    // Nothing is ever done about it, so one look is enough.
                    if class == Class::Foreign { step.confirmed.push(seen) } else { step.suspects.push(seen) }
                }
            }
        }
        let namespace = namespace.to_owned();
        step.to = Some(match next {
            None => Place::Between { done: Some(namespace) },
            Some(after) => Place::Inside { namespace, after: Some(after), page },
        });
        Ok(step)
    }

    /// Looks at suspects of one namespace once more.
    async fn look_again(
        &self,
        checks: &dyn Checks,
        (corpus, look): (&str, &Look),
        due: Vec<Suspect>,
        step: Step,
    ) -> std::result::Result<Step, Stopped> {
        let mut step = step;
        let namespace = due.first().map(|suspect| suspect.seen.namespace.clone()).unwrap_or_default();
        let due: Vec<Suspect> = due.into_iter().take_while(|suspect| suspect.seen.namespace == namespace).collect();
        let ids: Vec<String> = due.iter().map(|suspect| suspect.seen.vector_id.clone()).collect();
        let records = self.fetch(&namespace, &ids).await?;
        // Read behind the fetch: a slot that moved meanwhile is not clean, or was written a moment ago.
        let named: Vec<&str> = ids.iter().map(String::as_str).collect();
        let slots = checks.these(&namespace, &named, self.text_chars()).await?;
        let facts = Facts {
            namespace: &namespace,
            rules: self.rules(corpus, look),
            now: self.now(),
            settled_ms: self.settled_ms(),
        };
        for suspect in due {
            let old = suspect.seen;
            let record = records.get(&old.vector_id);
            let slot = slots.iter().find(|slot| slot.vector_id == old.vector_id);
            let pair = Pair { id: &old.vector_id, listed: record.is_some(), slot };
            step.to = Some(Place::Suspects { after: Some((namespace.clone(), old.vector_id.clone())) });
            match compare::judge(pair, record, facts) {
                Verdict::Fine => step.cleared.push(old),
                Verdict::Skipped => {
                    step.skipped += 1;
                    step.cleared.push(old);
                }
                Verdict::Found(class, detail) => {
                    let detail = detail.or_else(|| old.detail.clone());
                    let new = seen(&namespace, pair, class, detail, old.looks + 1);
                    if (new.class, new.rev) == (old.class, old.rev) {
                        step.confirmed.push(new);
                    } else {
                        // Not what it was: this is a first sight of something else.
                        if new.looks < LOOKS {
                            step.suspects.push(new)
                        } else {
                            step.skipped += 1
                        }
                        step.cleared.push(old);
                    }
                }
            }
        }
        Ok(step)
    }
}

fn seen(namespace: &str, pair: Pair<'_>, class: Class, detail: Option<String>, looks: i64) -> Seen {
    Seen {
        class,
        namespace: namespace.to_owned(),
        vector_id: pair.id.to_owned(),
        rev: pair.slot.map_or(0, |slot| slot.want_rev),
        detail,
        looks,
    }
}
