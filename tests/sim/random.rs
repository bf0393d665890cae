//! A run that a seed decides: faults for a while, then peace, then everything must be right.

use std::time::Duration;

use corpusd::config::ReconcileConfig;
use corpusd::config::SyncConfig;
use corpusd::index::VectorRecord;

use crate::tables::Broken;
use crate::world::Mode;
use crate::world::Sim;
use crate::world::What;

/// Peace lasts so long at most, in milliseconds: longer than the longest pause that a target may ask for.
const PEACE_MS: i64 = 45 * 60_000;

/// How a run went.
pub struct Outcome {
    pub failure: Option<String>,
    /// The same for the same seed.
    pub fingerprint: u64,
    /// Everything that happened, where somebody listened.
    pub told: Vec<String>,
    /// How often each thing happened.
    pub covered: Vec<(&'static str, u64)>,
    /// Jobs that completed.
    pub completed: u64,
}

/// Times short enough for many of everything, and in the proportions of the defaults.
pub fn times() -> SyncConfig {
    SyncConfig {
        heartbeat: Duration::from_secs(4),
        lease: Duration::from_secs(10),
        request_timeout: Duration::from_secs(5),
        doubt: Duration::from_secs(20),
        poll: Duration::from_secs(4),
        claim_size: 4,
        stop_wait: Duration::from_secs(1),
        // Checks come only when they are asked for.
        reconcile: ReconcileConfig {
            rows: Duration::from_secs(120),
            count: Duration::ZERO,
            full: Duration::ZERO,
            settled: Duration::from_secs(60),
        },
        ..SyncConfig::default()
    }
}

/// The same, and turns that nobody woke come less often: they find little.
fn random_times() -> SyncConfig {
    SyncConfig { poll: Duration::from_secs(8), ..times() }
}

/// The world of a seed before its servers start, and how many things happen in it.
pub fn prepare(seed: u64, sync: SyncConfig) -> (Sim, usize) {
    let sim = Sim::new(seed, sync, 2 + (seed % 2) as usize);
    let steps = {
        let mut world = sim.world();
        world.remote.trouble = [0, 10, 30, 60][world.rng.usize(0..4)];
        world.remote.behind = if world.rng.bool() { Some(0) } else { None };
        world.wind_clocks();
        let foreign = VectorRecord { id: "foreign".to_owned(), values: vec![9.0, 9.0], metadata: "{}".to_owned() };
        world.remote.records.insert(("m".to_owned(), "foreign".to_owned()), foreign);
        world.rng.usize(40..200)
    };
    for document in ["d0", "d1"] {
        sim.edit(0, "create", |tables, at| tables.create(document, 2, 1, at));
    }
    (sim, steps)
}

impl Sim {
    /// Starts all servers, and does so many steps, or as many as all is right.
    pub fn go_through(&self, steps: usize) {
        let processes = self.world().processes.len();
        for process in 0..processes {
            self.start(process);
        }
        for _ in 0..steps {
            self.step();
            if self.world().failure.is_some() {
                break;
            }
        }
    }
}

/// Runs a seed.
pub fn run(seed: u64, broken: Option<Broken>, listening: bool) -> Outcome {
    let (sim, steps) = prepare(seed, random_times());
    sim.world().listening = listening;
    sim.world().tables.broken = broken;
    sim.go_through(steps);
    if sim.world().failure.is_none() {
        sim.leave_one();
        sim.come_to_rest();
    }
    let (broken, damaged) = {
        let world = sim.world();
        (world.failure.is_some(), !world.damaged.is_empty())
    };
    match (broken, damaged) {
        (true, _) => {}
        (false, true) => sim.mend_what_outlived_its_doubt(),
        (false, false) => sim.compare(),
    }
    sim.end()
}

impl Sim {
    /// One thing happens.
    pub fn step(&self) {
        if self.world().rng.u32(0..60) == 0 {
            self.world().back_up();
        }
        self.rebase_when_due();
        let roll = self.world().rng.u32(0..100);
        match roll {
            0..10 => self.random_edit(),
            10..13 => self.random_job(),
            13..16 => {
                self.disturb();
                self.settle();
                self.world().inspect();
            }
            _ => self.go_on(),
        }
    }

    /// Some op goes on, or time passes.
    fn go_on(&self) {
        let mut world = self.world();
        let ready = world.ready();
        let by = match world.rng.u32(0..100) {
            0..60 => 0,
            60..92 => world.rng.i64(0..60),
            92..98 => world.rng.i64(0..2_500),
            _ => world.rng.i64(0..8_000),
        };
        let now = world.now;
        if ready.is_empty() {
            let to = world.next_moment().unwrap_or(now).min(now + 10_000);
            drop(world);
            self.advance(to.max(now + 1));
            self.world().inspect();
            return;
        }
        let id = ready[world.rng.usize(0..ready.len())];
        let (process, label) = world.ops.iter().find(|op| op.id == id).map_or((0, ""), |op| (op.process, op.label));
        // Rather a leap than none, when a doubt is about to be written down.
        if label == "doubt" && !world.steady && world.rng.u32(0..12) == 0 {
            let by = world.rng.i64(22_000..60_000);
            world.set_all(-by);
        }
        let sure = world.processes[process].guilty || world.remote.trouble == 0;
        let mode = match if sure { 99 } else { world.rng.u32(0..100) } {
            0 => Mode::Refuse,
            1 => Mode::Lose,
            _ => Mode::Go,
        };
        drop(world);
        if by > 0 {
            self.advance(now + by);
        }
        self.grant(id, mode);
    }

    /// Something goes wrong.
    fn disturb(&self) {
        let mut world = self.world();
        let process = world.any_process();
        let (roll, long) = (world.rng.u32(0..106), world.rng.i64(500..40_000));
        let until = world.now + long;
        let innocent = world.is_up(process) && !world.processes[process].guilty;
        match roll {
            0..25 if innocent => {
                world.processes[process].start_at = Some(world.now + long / 2);
                drop(world);
                self.kill(process);
            }
            25..32 if innocent => {
                drop(world);
                self.stop(process);
            }
            32..55 if innocent && world.processes[process].suspended.is_none() => {
                // Rather one that has looked at its fence and not yet written.
                let writes = world.ops.iter().find(|op| matches!(op.what, What::Remote(_))).map(|op| op.process);
                let writes = writes.filter(|process| {
                    let process = &world.processes[*process];
                    process.suspended.is_none() && !process.guilty
                });
                let process = writes.unwrap_or(process);
                // Long enough, now and then, for others to bury it and settle what it had claimed.
                let until = if world.rng.u32(0..3) == 0 { until + 60_000 } else { until };
                drop(world);
                self.suspend(process, until);
            }
            55..68 if innocent => {
                world.tell("cut", process as i64, || format!("for {long} ms"));
                world.processes[process].cut = world.now + long / 2;
            }
            68..76 => {
                let trouble = [0, 10, 30, 60, 95][world.rng.usize(0..5)];
                world.tell("trouble", i64::from(trouble), String::new);
                world.remote.trouble = trouble;
            }
            76..82 => {
                world.tell("down", long, String::new);
                world.remote.down_until = until;
            }
            82..87 => {
                world.tell("fault", long, String::new);
                world.remote.fault_until = until;
            }
            87..90 => {
                world.tell("refuse", long, String::new);
                world.remote.refuse_until = until;
            }
            90..93 => {
                world.tell("lag", long, String::new);
                world.remote.behind = world.remote.behind.map(|behind| 3 - behind.min(3));
            }
            93..96 => {
                let wiped = world.rng.bool();
                world.tell("another index", process as i64, || format!("wiped: {wiped}"));
                if wiped {
                    world.remote.wipe();
                }
                drop(world);
                self.edit(process, "configure", |tables, _| tables.configure_another());
            }
            100..103 if !world.steady => world.set_clocks(),
            103..106 if !world.steady => {
                drop(world);
                self.restore_backup();
            }
            _ => {
                world.tell("land", -1, String::new);
                world.land_all();
            }
        }
    }

    /// A process runs nothing for a while; what it has handed to the network goes on.
    pub fn suspend(&self, process: usize, until: i64) {
        let mut world = self.world();
        world.tell("suspend", process as i64, || format!("until {until}"));
        let ops: Vec<u64> = world.ready();
        let mine = |op: &&crate::world::Op| op.process == process && ops.contains(&op.id);
        let ops: Vec<u64> = world.ops.iter().filter(mine).map(|op| op.id).collect();
        world.processes[process].suspended = Some(until);
        for id in ops {
            if world.rng.bool() {
                drop(world);
                self.grant(id, Mode::Go);
                world = self.world();
            }
        }
    }

    /// Nothing fails any more: everything comes to rest, and is right.
    pub fn make_peace(&self) {
        self.come_to_rest();
        self.compare();
    }

    /// The index is what the rows say.
    pub fn compare(&self) {
        let mut world = self.world();
        if world.failure.is_none()
            && let Some(text) = world.difference()
        {
            world.fail(|| format!("P2: {text}"));
        }
    }

    /// In most runs one server is left at the end, and the others are gone for good: it finds what they left.
    fn leave_one(&self) {
        let mut world = self.world();
        // Times that a clock left ahead are pulled in by the next start.
        if world.clocks.set || world.rng.u32(0..4) == 0 {
            return;
        }
        let left = world.any_process();
        world.alone = Some(left);
        let others = (0..world.processes.len()).filter(|process| *process != left);
        let gone: Vec<usize> = others.filter(|process| !world.processes[*process].guilty).collect();
        drop(world);
        for process in gone {
            self.kill(process);
            self.world().processes[process].start_at = None;
        }
    }

    /// Nothing fails any more, and everything comes to rest.
    pub fn come_to_rest(&self) {
        let mut world = self.world();
        world.tell("peace", 0, String::new);
        world.remote.mend();
        let begin = world.now;
        for process in 0..world.processes.len() {
            world.processes[process].cut = 0;
            let starts = !world.is_up(process) && world.alone.is_none_or(|left| left == process);
            world.processes[process].start_at = starts.then_some(begin);
        }
        let rebase = world.waits_for_rebase();
        drop(world);
        if rebase {
            self.rebase();
        }
        loop {
            let world = self.world();
            let now = world.now;
            if world.failure.is_some() {
                return;
            }
            let asleep = world.processes.iter().any(|process| process.suspended.is_some());
            if !asleep && world.tainted.is_empty() && world.remote.is_still() && world.is_quiet() {
                break;
            }
            if now - begin > PEACE_MS {
                let open: Vec<_> =
                    world.tables.slots.values().filter(|slot| slot.dirty_epoch.is_some()).cloned().collect();
                let jobs = world.tables.active_jobs();
                let more = format!(
                    "asleep: {asleep}, tainted: {:?}, still: {}, sweep: {:?}",
                    world.tainted,
                    world.remote.is_still(),
                    world.tables.target.sweep_after
                );
                drop(world);
                self.world().fail(|| format!("I10: no rest: {open:?} {jobs:?} {more}"));
                return;
            }
            match world.first_ready() {
                Some(id) => {
                    drop(world);
                    self.grant(id, Mode::Go);
                }
                None => {
                    let next = world.next_moment();
                    drop(world);
                    self.advance(next.unwrap_or(now + 1_000).max(now));
                    self.world().inspect();
                }
            }
        }
    }

    /// The end of the world.
    pub fn end(&self) -> Outcome {
        let processes = self.world().processes.len();
        let mut world = self.world();
        let outcome = Outcome {
            failure: world.failure.take(),
            fingerprint: world.fingerprint(),
            told: std::mem::take(&mut world.told),
            covered: std::mem::take(&mut world.covered).into_iter().collect(),
            completed: world.checks.completed,
        };
        drop(world);
        // Futures and the world hold each other.
        for process in 0..processes {
            self.kill(process);
        }
        outcome
    }
}
