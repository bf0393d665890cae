//! One deterministic world on one thread: processes that run the real engine, the time that passes for
//! them, and everything that is under way between them, the database and the index.
//!
//! Whatever an engine waits for is an [`Op`]. Nothing happens by itself: a driver picks the op that
//! is next, says how it ends, and the process that waited goes on to its next port. So a process can be
//! stopped at every port, for as long as the driver likes, and never see it again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Wake;
use std::task::Waker;

use corpusd::config::SyncConfig;
use corpusd::error::Error;
use corpusd::index::VectorRecord;
use corpusd::sync::worker::Ending;
use corpusd::sync::worker::Engine;
use corpusd::sync::worker::Setup;
use corpusd::sync::worker::run;
use fastrand::Rng;

use crate::checks::Checks;
use crate::checks::content;
use crate::clocks::Clocks;
use crate::ports::Port;
use crate::remote::Remote;
use crate::restore::Restore;
use crate::tables::Key;
use crate::tables::Moment;
use crate::tables::TARGET;
use crate::tables::Tables;

/// Where the clocks of the world begin, in milliseconds since 1970.
const BEGIN: i64 = 1_767_225_600_000;

/// How an operation on the database ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is done, and the caller hears of it.
    Go,
    /// It is not done, and the caller is told so.
    Refuse,
    /// It is done, but the caller hears that it failed.
    Lose,
}

/// What is done when an op goes on.
pub type Run = Box<dyn FnOnce(&mut World, Mode) + Send>;

/// What an op waits for.
pub enum What {
    /// The time.
    Timer(i64),
    /// The database.
    Store(Run),
    /// The index: the number of the request.
    Remote(u64),
    /// An answer that never comes.
    Silence(u64),
    /// The answer of something that is done: of a request of that number.
    Answer(Run, Option<u64>),
}

/// Something that a process waits for.
pub struct Op {
    pub id: u64,
    pub process: usize,
    pub label: &'static str,
    pub what: What,
    waker: Option<Waker>,
}

/// Whether a future has something to go on with.
#[derive(Default)]
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One server.
#[derive(Default)]
pub struct Process {
    alarm: Arc<Alarm>,
    future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pub engine: Option<Arc<Engine>>,
    /// How far its wall clock is from the world's time.
    pub wall: i64,
    /// It runs nothing until then.
    pub suspended: Option<i64>,
    /// It does not reach the database until then.
    pub cut: i64,
    /// It is started then.
    pub start_at: Option<i64>,
    /// Under which registration it claimed last.
    pub session: String,
    /// The corpus revision it has seen.
    pub seen: i64,
    wakes: u64,
    poked: bool,
    /// It is between two ports just now.
    pub running_now: bool,
    /// A write of its own landed after it was declared dead: it reports on itself before it may vanish.
    pub guilty: bool,
}

/// The world.
pub struct World {
    pub now: i64,
    pub rng: Rng,
    pub sync: SyncConfig,
    pub dimension: Option<u32>,
    pub tables: Tables,
    pub remote: Remote,
    pub processes: Vec<Process>,
    pub ops: Vec<Op>,
    pub checks: Checks,
    /// When the database took the last beat of each registration.
    pub beaten: BTreeMap<String, i64>,
    /// Keys that a dead process has written, of which nobody knows yet.
    pub tainted: BTreeMap<Key, usize>,
    /// Keys whose records somebody changed past everybody: what they hold proves nothing until a check has mended them.
    pub damaged: BTreeSet<Key>,
    /// The only server that is left at the end.
    pub alone: Option<usize>,
    /// No clock is set, and no backup is restored.
    pub steady: bool,
    /// Clocks that were set.
    pub clocks: Clocks,
    /// Backups, and what is left to do after one was restored.
    pub restore: Restore,
    /// The servers check the index, too.
    pub checking: bool,
    /// Something was written since the last inspection.
    pub changed: bool,
    pub failure: Option<String>,
    pub steps: u64,
    numbers: u64,
    hash: u64,
    pub listening: bool,
    pub told: Vec<String>,
    pub covered: BTreeMap<&'static str, u64>,
}

/// The world, shared by all that is in it.
#[derive(Clone)]
pub struct Sim(Arc<Mutex<World>>);

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sim")
    }
}

impl World {
    /// Takes note of what happens: it is the fingerprint of the run, and its story where somebody listens.
    pub fn tell(&mut self, label: &'static str, number: i64, more: impl FnOnce() -> String) {
        for part in [self.now.unsigned_abs(), label.len() as u64, u64::from(label.as_bytes()[0]), number.unsigned_abs()]
        {
            self.hash = (self.hash ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        }
        *self.covered.entry(label).or_default() += 1;
        if self.listening {
            let at = self.now - BEGIN;
            self.told.push(format!("{:>4}.{:03}  {label} {number} {}", at / 1000, at % 1000, more()));
        }
    }

    pub const fn fingerprint(&self) -> u64 {
        self.hash
    }

    pub fn fail(&mut self, text: impl FnOnce() -> String) {
        if self.failure.is_none() {
            self.failure = Some(text());
        }
    }

    pub const fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub fn wall(&self, process: usize) -> i64 {
        self.now + self.processes[process].wall
    }

    /// A write of a process: its time, what it saw, and whom it wakes.
    pub fn transact<T>(&mut self, process: usize, work: impl FnOnce(&mut Tables, Moment) -> T) -> T {
        let at = Moment { now: self.wall(process), seen: self.processes[process].seen };
        let before = self.tables.rev;
        let made = work(&mut self.tables, at);
        self.changed = true;
        if self.tables.rev > before {
            self.processes[process].seen = self.tables.rev;
            self.wake(process);
        }
        made
    }

    /// Puts a record into the index, past everybody.
    pub fn plant(&mut self, key: &Key, record: VectorRecord) {
        self.damaged.insert(key.clone());
        self.remote.contents.insert(key.clone(), content(&record));
        self.remote.records.insert(key.clone(), record);
    }

    /// The records of the index as a reader sees them now.
    pub fn shown(&mut self) -> Cow<'_, BTreeMap<Key, VectorRecord>> {
        let behind = self.remote.reads_behind;
        let behind = if behind > 0 { self.rng.i64(0..behind) } else { 0 };
        self.remote.now = self.now;
        self.remote.shown(behind)
    }

    pub fn any_process(&mut self) -> usize {
        let count = self.processes.len();
        self.rng.usize(0..count)
    }

    pub fn wake(&mut self, process: usize) {
        self.processes[process].wakes += 1;
        self.processes[process].poked = true;
    }

    pub fn wakes(&self, process: usize) -> u64 {
        self.processes[process].wakes
    }

    pub fn is_up(&self, process: usize) -> bool {
        self.processes[process].future.is_some()
    }

    fn runs(&self, process: usize) -> bool {
        self.is_up(process) && self.processes[process].suspended.is_none()
    }

    /// The ops that may go on now: not those that wait for the time.
    pub fn ready(&self) -> Vec<u64> {
        let may = |op: &&Op| !matches!(op.what, What::Timer(_) | What::Silence(_)) && self.runs(op.process);
        self.ops.iter().filter(may).map(|op| op.id).collect()
    }

    /// The first of them.
    pub fn first_ready(&self) -> Option<u64> {
        let may = |op: &&Op| !matches!(op.what, What::Timer(_) | What::Silence(_)) && self.runs(op.process);
        self.ops.iter().find(may).map(|op| op.id)
    }

    /// When something happens by itself next.
    pub fn next_moment(&self) -> Option<i64> {
        let timers = self.ops.iter().filter(|op| self.runs(op.process)).filter_map(|op| match op.what {
            What::Timer(at) => Some(at),
            What::Store(_) | What::Remote(_) | What::Silence(_) | What::Answer(..) => None,
        });
        let processes = self.processes.iter().flat_map(|process| [process.start_at, process.suspended]).flatten();
        timers.chain(processes).chain(self.remote.next_landing()).min()
    }

    fn take(&mut self, id: u64) -> Option<Op> {
        let at = self.ops.iter().position(|op| op.id == id)?;
        Some(self.ops.remove(at))
    }

    pub fn add(&mut self, process: usize, label: &'static str, what: What) -> u64 {
        let id = self.number();
        self.ops.push(Op { id, process, label, what, waker: None });
        id
    }

    fn finish(&mut self, op: Op) {
        self.processes[op.process].poked = true;
        if let Some(waker) = op.waker {
            waker.wake();
        }
    }
}

/// The error of a database that is not reached.
pub fn refused() -> Error {
    Error::Unavailable { detail: "no database".to_owned(), retry_after: None, job_id: None }
}

impl Sim {
    /// A world with so many servers, none of them running.
    pub fn new(seed: u64, sync: SyncConfig, processes: usize) -> Self {
        let world = World {
            now: BEGIN,
            rng: Rng::with_seed(seed),
            sync,
            dimension: Some(2),
            tables: Tables::default(),
            remote: Remote::default(),
            processes: (0..processes).map(|_| Process::default()).collect(),
            ops: Vec::new(),
            checks: Checks::default(),
            beaten: BTreeMap::new(),
            tainted: BTreeMap::new(),
            damaged: BTreeSet::new(),
            alone: None,
            steady: false,
            clocks: Clocks::default(),
            restore: Restore::default(),
            checking: false,
            changed: false,
            failure: None,
            steps: 0,
            numbers: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            listening: false,
            told: Vec::new(),
            covered: BTreeMap::new(),
        };
        Self(Arc::new(Mutex::new(world)))
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a server.
    pub fn start(&self, process: usize) {
        let mut world = self.world();
        world.tell("start", process as i64, String::new);
        let port = Arc::new(Port { sim: self.clone(), process });
        let setup = Setup {
            store: port.clone(),
            index: port.clone(),
            time: port,
            target_id: TARGET,
            sync: world.sync.clone(),
            dimension: world.dimension,
            seed: world.rng.u64(..),
        };
        let engine = Arc::new(Engine::over(setup));
        let rev = world.tables.rev;
        let one = &mut world.processes[process];
        one.start_at = None;
        one.suspended = None;
        one.session.clear();
        one.seen = rev;
        one.guilty = false;
        one.engine = Some(engine.clone());
        one.future = Some(Box::pin(async move {
            if engine.open(false).await.is_ok() {
                run(&engine).await;
            }
        }));
        one.poked = true;
        drop(world);
        self.settle();
    }

    /// Kills a server: it runs no further, and whatever it sent goes its own way.
    pub fn kill(&self, process: usize) {
        let future = {
            let mut world = self.world();
            world.tell("kill", process as i64, String::new);
            world.processes[process].engine = None;
            world.processes[process].suspended = None;
            world.processes[process].future.take()
        };
        drop(future);
        let mut world = self.world();
        world.processes[process].session.clear();
        world.processes[process].poked = false;
    }

    /// Asks a server to end.
    pub fn stop(&self, process: usize) {
        let engine = self.world().processes[process].engine.clone();
        if let Some(engine) = engine {
            self.world().tell("stop", process as i64, String::new);
            engine.end(Ending::Soon);
            self.world().processes[process].poked = true;
            self.settle();
        }
    }

    /// Lets every server go on that has something to go on with.
    pub fn settle(&self) {
        loop {
            let mut world = self.world();
            let next = (0..world.processes.len()).find(|process| {
                let one = &world.processes[*process];
                (one.poked || one.alarm.0.load(Ordering::Relaxed)) && world.runs(*process)
            });
            let Some(process) = next else { return };
            let alarm = world.processes[process].alarm.clone();
            alarm.0.store(false, Ordering::Relaxed);
            world.processes[process].poked = false;
            let Some(mut future) = world.processes[process].future.take() else { continue };
            world.processes[process].running_now = true;
            drop(world);
            let waker = Waker::from(alarm);
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            self.world().processes[process].running_now = false;
            match polled {
                Poll::Pending => self.world().processes[process].future = Some(future),
                Poll::Ready(()) => {
                    drop(future);
                    let mut world = self.world();
                    world.tell("ended", process as i64, String::new);
                    world.processes[process].engine = None;
                    world.processes[process].session.clear();
                    let again = world.now + 3_000;
                    world.processes[process].start_at = Some(again);
                }
            }
        }
    }

    /// Moves time forward, and does everything that was to happen until then.
    pub fn advance(&self, to: i64) {
        loop {
            let mut world = self.world();
            let Some(moment) = world.next_moment().filter(|moment| *moment <= to) else {
                world.now = world.now.max(to);
                return;
            };
            world.now = world.now.max(moment);
            let now = world.now;
            if world.land_due() {
                continue;
            }
            let due = |at: &Option<i64>| at.is_some_and(|at| at <= now);
            if let Some(process) = (0..world.processes.len()).find(|i| due(&world.processes[*i].suspended)) {
                world.tell("resume", process as i64, String::new);
                world.processes[process].suspended = None;
                world.processes[process].poked = true;
                drop(world);
                self.settle();
                continue;
            }
            if let Some(process) = (0..world.processes.len()).find(|i| due(&world.processes[*i].start_at)) {
                drop(world);
                self.start(process);
                continue;
            }
            let timer = world.ops.iter().filter(|op| world.runs(op.process)).find_map(|op| match op.what {
                What::Timer(at) if at <= now => Some(op.id),
                What::Timer(_) | What::Store(_) | What::Remote(_) | What::Silence(_) | What::Answer(..) => None,
            });
            let Some(op) = timer.and_then(|id| world.take(id)) else { return };
            world.finish(op);
            drop(world);
            self.settle();
        }
    }

    /// Lets one op go on.
    pub fn grant(&self, id: u64, mode: Mode) {
        let mut world = self.world();
        let Some(op) = world.take(id) else { return };
        world.steps += 1;
        let process = op.process;
        match op.what {
            What::Store(run) => {
                let now = world.now;
                let mode = if world.processes[process].cut > now { Mode::Refuse } else { mode };
                let how = match mode {
                    Mode::Go => "",
                    Mode::Refuse => "refused",
                    Mode::Lose => "done, but not heard of",
                };
                world.tell(op.label, process as i64, || how.to_owned());
                run(&mut world, mode);
                world.finish(Op { what: What::Timer(0), ..op });
            }
            What::Answer(run, _) => {
                world.tell("answer", process as i64, String::new);
                run(&mut world, Mode::Go);
                world.finish(Op { what: What::Timer(0), ..op });
            }
            What::Remote(request) => {
                let what = match world.arrive(request) {
                    Some(answer) => What::Answer(answer, Some(request)),
                    None => What::Silence(request),
                };
                world.ops.push(Op { what, ..op });
            }
            What::Timer(_) | What::Silence(_) => world.finish(op),
        }
        drop(world);
        self.settle();
        self.world().inspect();
    }

    /// The database hears of a write whose process does not wait any more.
    fn orphan(world: &mut World, op: Op) {
        match op.what {
            What::Store(run) => {
                let cut = world.processes[op.process].cut > world.now;
                if !cut && world.rng.bool() {
                    world.tell("orphaned write", op.process as i64, || op.label.to_owned());
                    run(world, Mode::Go);
                    world.inspect();
                }
            }
            What::Remote(request) | What::Silence(request) | What::Answer(_, Some(request)) => world.desert(request),
            What::Timer(_) | What::Answer(_, None) => {}
        }
    }
}

/// Something a process waits for, and where its outcome will be.
pub struct Waiting<T> {
    sim: Sim,
    id: u64,
    outcome: Arc<Mutex<Option<T>>>,
    over: bool,
}

impl<T> Waiting<T> {
    pub const fn new(sim: Sim, id: u64, outcome: Arc<Mutex<Option<T>>>) -> Self {
        Self { sim, id, outcome, over: false }
    }
}

impl<T> Future for Waiting<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(outcome) = outcome {
            self.over = true;
            return Poll::Ready(outcome);
        }
        let mut world = self.sim.world();
        if let Some(op) = world.ops.iter_mut().find(|op| op.id == self.id) {
            op.waker = Some(context.waker().clone());
        }
        drop(world);
        Poll::Pending
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        if !self.over {
            let mut world = self.sim.world();
            if let Some(op) = world.take(self.id) {
                Sim::orphan(&mut world, op);
            }
        }
    }
}

/// A pause until some time.
pub struct Sleep {
    sim: Sim,
    id: u64,
}

impl Sleep {
    pub fn new(sim: &Sim, process: usize, ms: i64) -> Self {
        let mut world = sim.world();
        let at = world.now.saturating_add(ms);
        let id = world.add(process, "timer", What::Timer(at));
        drop(world);
        Self { sim: sim.clone(), id }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut world = self.sim.world();
        match world.ops.iter_mut().find(|op| op.id == self.id) {
            Some(op) => {
                op.waker = Some(context.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.sim.world().take(self.id);
    }
}
