//! Wall clocks that are set: all of them at one time, as one clock that everybody reads, or that of one server alone.
//!
//! A leap back costs time and nothing else. A leap forward ends every doubt early, and servers whose clocks differ
//! do not agree when it ends: a write that is late then may land when nobody waits for it any more. Such a record
//! counts as damaged until a check of the index has mended it; everything else must hold all the same.

use crate::world::Sim;
use crate::world::World;

/// What was done to the clocks.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    /// How far each clock is from the others while nobody sets it alone.
    skew: Vec<i64>,
    /// How far all of them were set.
    common: i64,
    /// One of them was set alone, and is wrong until they are all put right.
    uneven: bool,
    /// Requests that were sent until then may land when their doubt is over.
    unsure_until: i64,
    /// Some clock was set at some time.
    pub set: bool,
}

impl World {
    /// Gives every server a clock that is nearly right.
    pub fn wind_clocks(&mut self) {
        for process in 0..self.processes.len() {
            let skew = self.rng.i64(-300..300);
            self.processes[process].wall = skew;
            self.clocks.skew.push(skew);
        }
    }

    /// Somebody sets a clock, or all of them, or puts them right.
    pub fn set_clocks(&mut self) {
        let far = match self.rng.u32(0..4) {
            0 => self.rng.i64(1_000..10_000),
            1 => self.rng.i64(10_000..120_000),
            2 => self.rng.i64(120_000..1_200_000),
            _ => self.rng.i64(1_200_000..18_000_000),
        };
        let by = if self.rng.u32(0..3) == 0 { far } else { -far };
        if self.clocks.uneven && self.rng.bool() {
            self.even_clocks();
        } else if self.rng.u32(0..3) == 0 {
            self.set_one(by);
        } else {
            self.set_all(by);
        }
    }

    /// All clocks are one, and it is set.
    pub fn set_all(&mut self, by: i64) {
        self.tell("all clocks", by, String::new);
        self.clocks.set = true;
        self.clocks.common += by;
        for process in &mut self.processes {
            process.wall += by;
        }
        if by > 0 {
            self.clocks.unsure_until = self.now;
        }
    }

    fn set_one(&mut self, by: i64) {
        let process = self.any_process();
        self.tell("one clock", by, || format!("of server {process}"));
        self.clocks.set = true;
        self.clocks.uneven = true;
        self.processes[process].wall += by;
    }

    /// Every clock is right again.
    pub fn even_clocks(&mut self) {
        if !self.clocks.uneven {
            return;
        }
        self.tell("clocks put right", 0, String::new);
        self.clocks.uneven = false;
        self.clocks.unsure_until = self.now;
        for process in 0..self.processes.len() {
            self.processes[process].wall = self.clocks.common + self.clocks.skew.get(process).copied().unwrap_or(0);
        }
    }

    /// The latest time that any server takes for now.
    pub fn latest_wall(&self) -> i64 {
        self.now + self.processes.iter().map(|process| process.wall).max().unwrap_or(0)
    }

    /// Whether a request that was sent then may land when its doubt is over.
    pub const fn outlives_doubt(&self, sent_at: i64) -> bool {
        self.clocks.uneven || sent_at <= self.clocks.unsure_until
    }
}

impl Sim {
    /// A write outlived its doubt: once the clocks are right and all is long settled, a check finds its record.
    pub fn mend_what_outlived_its_doubt(&self) {
        {
            let mut world = self.world();
            world.tell("mend", 0, String::new);
            world.even_clocks();
            world.checking = true;
        }
        self.settle_down();
        self.repair();
    }
}
