//! Backups: the rows of an earlier moment take the place of today's, and the operator does what the manual says.
//!
//! All servers end, and a doubt window passes while the backup is restored: what they had sent has landed, or never
//! will. They start again, users go on, and some time later the operator runs a rebase. Until that job has ended,
//! what the index holds proves nothing; afterwards every promise holds again, about the rows that were restored.

use crate::checks::Checks;
use crate::tables::Tables;
use crate::tables::jobs::is_active;
use crate::world::Sim;
use crate::world::World;

/// Backups, and what is left to do after one was restored.
#[derive(Debug, Default)]
pub struct Restore {
    /// The last backup.
    backup: Option<Box<Tables>>,
    /// When the operator runs the rebase.
    rebase_at: Option<i64>,
    /// The rebase that is under way.
    job: Option<String>,
}

impl World {
    /// Somebody makes a backup.
    pub fn back_up(&mut self) {
        self.tell("backup", self.tables.rev, String::new);
        self.restore.backup = Some(Box::new(self.tables.clone()));
    }

    /// Whether the index knows more than the rows, or other things.
    pub const fn is_restored(&self) -> bool {
        self.restore.rebase_at.is_some() || self.restore.job.is_some()
    }

    /// Whether the operator has not run the rebase yet.
    pub const fn waits_for_rebase(&self) -> bool {
        self.restore.rebase_at.is_some()
    }

    /// Whether that job is the operator's: no user cancels it.
    pub fn is_rebase(&self, job: &str) -> bool {
        self.restore.job.as_deref() == Some(job)
    }

    /// Takes note that the rebase has ended: the index is what the rows say.
    pub fn note_rebase(&mut self) {
        let ended = |job: &String| self.tables.jobs.get(job).is_none_or(|job| !is_active(job));
        if !self.restore.job.as_ref().is_some_and(ended) {
            return;
        }
        let job = self.restore.job.take().unwrap_or_default();
        let state = self.tables.jobs.get(&job).map(|job| job.state.clone()).unwrap_or_default();
        self.tell("rebased", 0, || format!("{job} {state}"));
        if !state.starts_with("completed") {
            self.fail(|| format!("P2: the rebase {job} is {state}"));
        }
        self.checks.note(&self.tables);
    }
}

impl Sim {
    /// Every server ends, and the rows of the backup take the place of today's; they start again, and users go on.
    pub fn restore_backup(&self) {
        let Some(backup) = self.world().restore.backup.clone() else { return };
        let processes = self.world().processes.len();
        for process in 0..processes {
            self.kill(process);
            self.world().processes[process].start_at = None;
        }
        let restored = {
            let world = self.world();
            world.now + world.doubt_ms()
        };
        self.advance(restored);
        self.restore(*backup);
        let mut world = self.world();
        world.checking = true;
        let now = world.now;
        let rebase_at = now + world.rng.i64(0..20_000);
        world.restore.rebase_at = Some(rebase_at);
        for process in 0..processes {
            let after = world.rng.i64(0..5_000);
            world.processes[process].start_at = Some(now + after);
        }
    }

    /// The rows of an older day take the place of today's; what was promised since is forgotten with them.
    pub fn restore(&self, backup: Tables) {
        let mut world = self.world();
        world.tell("restore", backup.rev, String::new);
        world.tables = backup;
        world.tainted.clear();
        for process in &mut world.processes {
            process.guilty = false;
        }
        world.restore.rebase_at = Some(i64::MAX);
        world.restore.job = None;
        let completed = world.checks.completed;
        world.checks = Checks::of(&world.tables, completed);
    }

    /// The operator runs the rebase when its time has come.
    pub fn rebase_when_due(&self) {
        let now = self.world().now;
        if self.world().restore.rebase_at.is_some_and(|at| at <= now) {
            self.rebase();
        }
    }

    /// The operator runs `corpusd sync rebase`; gives its job.
    pub fn rebase(&self) -> String {
        let job = self.job(0, "rebase", |tables, job, at| Some(tables.rebase(job, at))).expect("a job");
        let mut world = self.world();
        world.restore.rebase_at = None;
        world.restore.job = Some(job.clone());
        job
    }
}
