//! The faults in force: the first one that meets a call and happens decides.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::emulator::call::Call;
use crate::emulator::fault::Answer;
use crate::emulator::fault::Apply;
use crate::emulator::fault::Fault;
use crate::emulator::fault::When;
use crate::emulator::operation::Operation;
use crate::emulator::reply::Reply;

/// How reads lag behind writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// How long.
    pub by: LagBy,
    /// Which operations lag; empty for all reads of the data plane.
    pub operations: Vec<Operation>,
}

/// How long a write stays hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagBy {
    /// For a time.
    Time(Duration),
    /// For so many requests to the index.
    Requests(u64),
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The number of the fault that met it.
    pub fault: Option<u64>,
    /// How long it waits.
    pub delay: Duration,
    /// Whether it is applied.
    pub apply: Apply,
    /// What the client hears.
    pub answer: Answer,
}

/// A fault in force.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its number.
    pub number: u64,
    /// What it is.
    pub fault: Fault,
    /// How many calls it met, those that it let through included.
    pub met: u64,
    /// How often it happened.
    pub happened: u64,
    rng: Rng,
    tokens: f64,
    filled_at: Duration,
}

impl Standing {
    /// Counts a call that the fault meets; tells whether it happens, and after how many seconds to ask again.
    fn count(&mut self, now: Duration) -> Option<Option<u64>> {
        self.met += 1;
        let happens = match self.fault.when {
            When::Calls { skip, times } => {
                (self.met > skip && times.is_none_or(|times| self.happened < times)).then_some(None)
            }
            When::Chance { probability, .. } => (self.rng.f64() < probability).then_some(None),
            When::Over { per_second, burst, retry_after } => {
                let filled = now.saturating_sub(self.filled_at).as_secs_f64() * per_second;
                self.tokens = (self.tokens + filled).min(burst);
                self.filled_at = now;
                if self.tokens >= 1.0 {
                    self.tokens -= 1.0;
                    None
                } else {
                    let wait = Duration::try_from_secs_f64((1.0 - self.tokens) / per_second).unwrap_or(Duration::MAX);
                    Some(retry_after.then(|| wait.as_secs().saturating_add(1)))
                }
            }
        };
        self.happened += u64::from(happens.is_some());
        happens
    }
}

#[derive(Debug, Default)]
struct Plan {
    added: u64,
    standing: Vec<Standing>,
    lag: Option<Lag>,
    ready_after: Duration,
    large_is_400: bool,
}

/// All faults of a server.
#[derive(Debug)]
pub struct Faults {
    clock: Clock,
    plan: Mutex<Plan>,
    /// Counts how often calls that wait were let go.
    released: watch::Sender<u64>,
}

impl Faults {
    /// None.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), plan: Mutex::default(), released: watch::Sender::new(0) }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one; gives its number.
    pub fn add(&self, fault: Fault) -> u64 {
        let mut plan = self.plan();
        plan.added += 1;
        let seed = if let When::Chance { seed, .. } = fault.when { seed } else { 0 };
        let tokens = if let When::Over { burst, .. } = fault.when { burst } else { 0.0 };
        let number = plan.added;
        let filled_at = self.clock.monotonic();
        let rng = Rng::with_seed(seed);
        plan.standing.push(Standing { number, fault, met: 0, happened: 0, rng, tokens, filled_at });
        number
    }

    /// Takes one back.
    pub fn remove(&self, number: u64) {
        self.plan().standing.retain(|standing| standing.number != number);
        self.release();
    }

    /// How often the fault of that number happened, while it is in force.
    #[must_use]
    pub fn happened(&self, number: u64) -> u64 {
        let plan = self.plan();
        plan.standing.iter().find(|standing| standing.number == number).map_or(0, |standing| standing.happened)
    }

    /// Makes reads lag behind the writes that come from now on.
    pub fn lag(&self, lag: Option<Lag>) {
        self.plan().lag = lag;
    }

    /// How long a new index takes to be ready.
    pub fn ready_after(&self, after: Duration) {
        self.plan().ready_after = after;
    }

    /// Whether a body that is too large is answered with 400, as it once was, and not with 413.
    pub fn large_is_400(&self, old: bool) {
        self.plan().large_is_400 = old;
    }

    /// Takes everything back, and answers the calls that wait. What is hidden from reads that lag stays so.
    pub fn clear(&self) {
        let mut plan = self.plan();
        *plan = Plan { added: plan.added, ..Plan::default() };
        drop(plan);
        self.release();
    }

    /// Answers the calls that wait.
    pub fn release(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    /// Ends when the calls that wait are let go.
    pub fn released(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut released = self.released.subscribe();
        released.mark_unchanged();
        async move {
            let _ = released.changed().await;
        }
    }

    /// The faults in force.
    #[must_use]
    pub fn standing(&self) -> Vec<Standing> {
        self.plan().standing.clone()
    }

    /// What is set beside the faults: the lag, the time to be ready, and whether a large body is a 400.
    #[must_use]
    pub fn settings(&self) -> (Option<Lag>, Duration, bool) {
        let plan = self.plan();
        (plan.lag.clone(), plan.ready_after, plan.large_is_400)
    }

    /// What becomes of a call.
    #[must_use]
    pub fn judge(&self, call: &Call) -> Verdict {
        let now = self.clock.monotonic();
        let mut plan = self.plan();
        for standing in &mut plan.standing {
            if !standing.fault.meets(call) {
                continue;
            }
            if let Some(retry_after) = standing.count(now) {
                let fault = &standing.fault;
                let mut answer = fault.answer.clone();
                if let (Some(seconds), Answer::Status { headers, .. } | Answer::Canned(Reply { headers, .. })) =
                    (retry_after, &mut answer)
                {
                    headers.push(("retry-after".to_owned(), seconds.to_string()));
                }
                let fault_number = Some(standing.number);
                return Verdict { fault: fault_number, delay: fault.delay, apply: fault.applies(), answer };
            }
        }
        Verdict { fault: None, delay: Duration::ZERO, apply: Apply::Now, answer: Answer::Own }
    }
}
