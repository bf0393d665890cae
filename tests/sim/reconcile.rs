//! Checks of the index in this world: their port, what they find after a restored backup and a dead worker's
//! late write, and many seeds whose index somebody damaged.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use corpusd::error::Result;
use corpusd::index::VectorRecord;
use corpusd::store::reconcile;
use corpusd::store::reconcile::findings::Suspect;
use corpusd::store::reconcile::pages::Compared;
use corpusd::store::reconcile::repair::Known;
use corpusd::store::reconcile::schedule::Check;
use corpusd::store::reconcile::sweep;
use corpusd::sync::checks::Checks;
use corpusd::sync::checks::Step;
use corpusd::sync::checks::Stepped;

use crate::ports::Port;
use crate::random::prepare;
use crate::random::times;
use crate::remote::Fate;
use crate::tables::Key;
use crate::world::Mode;
use crate::world::Sim;

#[async_trait]
impl Checks for Port {
    async fn sweep_page(&self, place: &sweep::Place) -> Result<sweep::Page> {
        let place = place.clone();
        self.ask("rows page", move |world, _| world.tables.rows_page(&place)).await
    }

    async fn sweep_touch(&self, document_id: &str, embedding_ids: &[String]) -> Result<()> {
        let (document, ids) = (document_id.to_owned(), embedding_ids.to_vec());
        self.write("rows touch", move |tables, at| {
            tables.touch(&document, Some(&ids), at);
            tables.rev += 1;
        })
        .await
    }

    async fn next_namespace(&self, after: Option<&str>) -> Result<Option<String>> {
        let after = after.map(str::to_owned);
        self.ask("namespace", move |world, _| world.tables.next_namespace(after.as_deref())).await
    }

    async fn between(
        &self,
        namespace: &str,
        (after, upto): (Option<&str>, Option<&str>),
        limit: usize,
        _text_chars: i64,
    ) -> Result<Vec<Compared>> {
        let (name, after, upto) = (namespace.to_owned(), after.map(str::to_owned), upto.map(str::to_owned));
        self.ask("page", move |world, _| world.tables.between(&name, after.as_deref(), upto.as_deref(), limit)).await
    }

    async fn these(&self, namespace: &str, ids: &[&str], _text_chars: i64) -> Result<Vec<Compared>> {
        let (name, ids) = (namespace.to_owned(), owned(ids));
        self.ask("these", move |world, _| world.tables.these(&name, &ids)).await
    }

    async fn suspects(
        &self,
        job_id: &str,
        after: Option<&(String, String)>,
        before_ms: i64,
        limit: usize,
    ) -> Result<Vec<Suspect>> {
        let (job, after) = (job_id.to_owned(), after.cloned());
        self.ask("suspects", move |world, _| world.tables.suspects(&job, after.as_ref(), before_ms, limit)).await
    }

    async fn oldest_suspect(&self, job_id: &str) -> Result<Option<i64>> {
        let job = job_id.to_owned();
        self.ask("oldest suspect", move |world, _| world.tables.oldest_suspect(&job)).await
    }

    async fn step(&self, step: Step) -> Result<Stepped> {
        self.write("step", move |tables, at| tables.take_step(&step, at)).await
    }

    async fn block(&self, job_id: &str, worker: &str, reason: Option<&str>) -> Result<bool> {
        let (job, worker, reason) = (job_id.to_owned(), worker.to_owned(), reason.map(str::to_owned));
        self.write("block", move |tables, at| tables.block(&job, &worker, reason.as_deref(), at)).await
    }

    async fn fail(&self, job_id: &str, reason: &str) -> Result<()> {
        let (job, reason) = (job_id.to_owned(), reason.to_owned());
        self.write("fail", move |tables, at| tables.fail_check(&job, &reason, at)).await
    }

    async fn taken(&self) -> Result<Vec<(Check, i64)>> {
        self.ask("taken", |world, _| {
            let at = |check: Check| world.tables.checking.taken.get(check.name()).map(|(at, _)| (check, *at));
            Check::ALL.into_iter().filter_map(at).collect()
        })
        .await
    }

    async fn take(&self, check: Check, every_ms: i64) -> Result<bool> {
        self.write("take", move |tables, at| tables.take_check(check.name(), every_ms, at)).await
    }

    async fn strike(&self, check: Check, differs: bool) -> Result<i64> {
        self.write("strike", move |tables, _| tables.strike(check.name(), differs)).await
    }

    async fn expected(&self) -> Result<Vec<(String, i64)>> {
        self.ask("expected", |world, _| {
            let tables = &world.tables;
            let mut counts: Vec<(String, i64)> = Vec::new();
            let there = |slot: &crate::tables::Slot| slot.want == "present" && tables.is_clean(slot);
            for (key, _) in tables.slots.iter().filter(|(_, slot)| there(slot)) {
                match counts.last_mut() {
                    Some((name, count)) if *name == key.0 => *count += 1,
                    _ => counts.push((key.0.clone(), 1)),
                }
            }
            counts
        })
        .await
    }

    async fn strangers(&self) -> Result<HashMap<String, i64>> {
        Ok(HashMap::new())
    }

    async fn begin(&self) -> Result<()> {
        let id = format!("c{:06}", self.sim.world().number());
        self.write("begin check", move |tables, at| tables.begin_check(&id, "reconcile:repair", at)).await?;
        Ok(())
    }

    async fn welcomed(&self) -> Result<Option<String>> {
        self.ask("welcomed", |world, _| world.tables.checking.corpus.clone()).await
    }

    async fn welcome(&self, corpus: &str) -> Result<()> {
        let corpus = corpus.to_owned();
        self.write("welcome", move |tables, _| tables.checking.corpus = Some(corpus)).await
    }

    async fn lately(&self, limit: u64) -> Result<Vec<(String, String)>> {
        self.ask("lately", move |world, _| world.tables.lately(usize::try_from(limit).unwrap_or(0))).await
    }

    async fn known(&self, namespace: &str, ids: &[&str]) -> Result<Vec<Known>> {
        let (name, ids) = (namespace.to_owned(), owned(ids));
        self.ask("known", move |world, _| world.tables.known(&name, &ids)).await
    }
}

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

impl Sim {
    /// Somebody damages the index past everybody: what is known of these records is wrong until a check finds it.
    fn damage(&self) {
        let mut world = self.world();
        let keys: Vec<Key> = world.remote.records.keys().filter(|key| !key.1.starts_with("foreign")).cloned().collect();
        let absent: Vec<Key> = world
            .tables
            .slots
            .iter()
            .filter(|(_, slot)| slot.want == "absent" && slot.quarantine.is_none())
            .map(|(key, _)| key.clone())
            .collect();
        for key in &keys {
            let record = world.remote.records[key].clone();
            match world.rng.u32(0..6) {
                0 => {
                    world.remote.records.remove(key);
                    world.remote.contents.remove(key);
                }
                1 => {
                    let wrong = VectorRecord { values: vec![77.0, 7.0], ..record };
                    world.plant(key, wrong);
                }
                2 => {
                    let wrong =
                        VectorRecord { metadata: record.metadata.replace("\"text\":\"", "\"text\":\"not "), ..record };
                    world.plant(key, wrong);
                }
                3 => {
                    let orphan = (key.0.clone(), format!("orphan-{}", key.1));
                    world.plant(&orphan, VectorRecord { id: orphan.1.clone(), ..record });
                }
                4 if !absent.is_empty() => {
                    let at = world.rng.usize(0..absent.len());
                    let gone = absent[at].clone();
                    world.plant(&gone, VectorRecord { id: gone.1.clone(), ..record });
                }
                _ => {}
            }
        }
        for key in keys.iter().chain(&absent) {
            world.damaged.insert(key.clone());
        }
    }

    /// Time passes until what was written counts as written long ago; the last of it may have been asserted again
    /// one doubt after the peace.
    pub fn settle_down(&self) {
        let end = self.world().now + 90_000;
        while self.world().now < end {
            let next = self.world().ready().first().copied();
            match next {
                Some(id) => self.grant(id, Mode::Go),
                None => {
                    let next = self.world().next_moment().unwrap_or(end);
                    let now = self.world().now;
                    self.advance(next.clamp(now + 1, end));
                }
            }
            self.world().inspect();
        }
    }

    /// A check that mends, while anything may happen; gives how much it mended.
    fn troubled_repair(&self) -> i64 {
        let id = self.job(0, "check", |tables, job, at| Some(tables.begin_check(job, "reconcile:repair", at)));
        let id = id.expect("a job");
        self.world().remote.trouble = 30;
        for _ in 0..150 {
            self.step();
            if self.world().failure.is_some() {
                return 0;
            }
        }
        self.come_to_rest();
        reconcile::report(&self.world().tables.jobs[&id]).expect("a report").repaired
    }

    /// A check that mends, to its end; gives what it found.
    pub fn repair(&self) -> reconcile::Report {
        let id = self.job(0, "check", |tables, job, at| Some(tables.begin_check(job, "reconcile:repair", at)));
        let id = id.expect("a job");
        self.make_peace();
        reconcile::report(&self.world().tables.jobs[&id]).expect("a report")
    }
}

/// A seed whose index is damaged once all is at rest, or at least read late.
fn run_damaged(seed: u64, damaged: bool, listening: bool) -> (crate::random::Outcome, i64) {
    let (sim, steps) = prepare(seed, times());
    {
        let mut world = sim.world();
        world.checking = true;
        world.steady = true;
        world.listening = listening;
        // What is compared was written more than a minute ago: that an index shows.
        world.remote.reads_behind = if damaged { [0, 50_000][usize::from(seed % 4 > 1)] } else { 50_000 };
    }
    sim.go_through(steps);
    if sim.world().failure.is_none() {
        sim.make_peace();
    }
    let mut repaired = 0;
    if sim.world().failure.is_none() {
        sim.settle_down();
        if damaged {
            sim.damage();
            // Until the damage shows, too.
            sim.settle_down();
        }
        // Every other seed, the first check meets everything that can go wrong; what it passed over is the second's.
        if seed % 2 == 1 {
            repaired += sim.troubled_repair();
            sim.settle_down();
        }
        repaired += sim.repair().repaired;
    }
    (sim.end(), repaired)
}

#[test]
fn a_check_mends_whatever_somebody_did_to_the_index() {
    let mut repaired = 0;
    for seed in 0..200 {
        repaired += checked(seed, true);
    }
    assert!(repaired > 200, "{repaired} repairs in 200 seeds");
}

/// What was mended in a seed that ends well.
fn checked(seed: u64, damaged: bool) -> i64 {
    let (outcome, repaired) = run_damaged(seed, damaged, false);
    if let Some(failure) = outcome.failure {
        let told = run_damaged(seed, damaged, true).0.told;
        panic!("{}\nseed {seed}: {failure}", told[told.len().saturating_sub(900)..].join("\n"));
    }
    repaired
}

#[test]
fn an_index_that_is_read_late_is_never_mended_where_it_is_right() {
    for seed in 0..100 {
        assert_eq!(checked(seed, false), 0, "seed {seed}");
    }
}

/// Servers with checks, a document with two records, all at rest and long settled.
fn scene(servers: usize) -> Sim {
    let sim = Sim::new(7, times(), servers);
    {
        let mut world = sim.world();
        world.checking = true;
        world.listening = true;
        let foreign = VectorRecord { id: "foreign".to_owned(), values: vec![9.0, 9.0], metadata: "{}".to_owned() };
        world.remote.records.insert(("m".to_owned(), "foreign".to_owned()), foreign);
    }
    sim.edit(0, "create", |tables, at| tables.create("d0", 2, 1, at));
    sim
}

fn is_right(sim: &Sim) {
    let told = sim.world().told.join("\n");
    let failure = sim.end().failure;
    assert!(failure.is_none(), "{told}\n{}", failure.unwrap_or_default());
}

#[test]
fn f14_a_late_write_of_a_process_that_died_is_found_by_a_check_and_mended() {
    let sim = scene(2);
    sim.start(0);
    let request = sim.until(0, "request");
    let until = sim.world().now + 60_000;
    sim.world().processes[0].suspended = Some(until);
    sim.start(1);
    sim.wait(Duration::from_secs(20));
    sim.revector("ed00", 5.0);
    sim.wait(Duration::from_secs(39));
    assert_eq!(sim.number("ed00"), Some(5.0));
    // It wakes, writes, and dies before it can hear that it was dead.
    sim.advance(until);
    sim.grant(request, Mode::Go);
    assert_eq!(sim.number("ed00"), Some(1.0), "the late write");
    sim.world().processes[0].cut = until + 1;
    sim.kill(0);
    let tainted: Vec<Key> = sim.world().tainted.keys().cloned().collect();
    sim.world().tainted.clear();
    sim.world().damaged.extend(tainted);
    sim.settle_down();
    assert_eq!(sim.number("ed00"), Some(1.0), "nobody knows of it");
    assert!(sim.repair().stale > 0);
    assert_eq!(sim.number("ed00"), Some(5.0));
    is_right(&sim);
}

#[test]
fn f34_after_a_restored_backup_nothing_is_written_until_a_rebase_and_then_all_is_right() {
    let sim = scene(1);
    sim.start(0);
    sim.wait(Duration::from_secs(30));
    sim.kill(0);
    let backup = sim.world().tables.clone();
    sim.start(0);
    sim.revector("ed00", 3.0);
    sim.edit(0, "create", |tables, at| tables.create("d1", 2, 1, at));
    sim.wait(Duration::from_secs(60));
    sim.kill(0);
    sim.restore(backup);
    let sent = sim.world().remote.calls.len();
    sim.start(0);
    sim.revector("ed01", 6.0);
    sim.wait(Duration::from_secs(100));
    assert_eq!(sim.world().remote.calls.len(), sent, "nothing was written");
    let reason = sim.world().tables.target.reason.clone().unwrap_or_default();
    assert!(reason.contains("corpusd sync rebase"), "{reason}");
    let job = sim.rebase();
    sim.make_peace();
    let report = reconcile::report(&sim.world().tables.jobs[&job]).expect("a report");
    assert_eq!(report.orphaned, 2);
    assert_eq!((sim.number("ed00"), sim.number("ed01"), sim.number("ed10")), (Some(1.0), Some(6.0), None));
    is_right(&sim);
}

#[test]
fn f34_a_backup_from_before_the_first_write_knows_the_records_that_came_after_it() {
    let sim = scene(1);
    sim.start(0);
    sim.until(0, "claim");
    let backup = sim.world().tables.clone();
    sim.edit(0, "create", |tables, at| tables.create("d1", 2, 1, at));
    sim.wait(Duration::from_secs(60));
    assert_eq!(sim.number("ed10"), Some(1.0));
    sim.kill(0);
    sim.restore(backup);
    sim.start(0);
    sim.rebase();
    sim.make_peace();
    assert_eq!((sim.number("ed00"), sim.number("ed10")), (Some(1.0), None));
    is_right(&sim);
}

#[test]
fn f34_a_rebase_ends_when_all_that_it_sends_again_has_settled() {
    let sim = scene(1);
    sim.start(0);
    sim.wait(Duration::from_secs(30));
    sim.world().remote.planned.push_back(Fate::LateReset(15_000));
    sim.revector("ed00", 3.0);
    sim.until(0, "doubt");
    sim.go();
    sim.kill(0);
    let backup = sim.world().tables.clone();
    sim.restore(backup);
    sim.revector("ed00", 4.0);
    sim.start(0);
    let job = sim.rebase();
    sim.wait(Duration::from_secs(8));
    // All is compared, and the doubt of the one record goes on.
    let (state, open) = {
        let world = sim.world();
        let job = world.tables.jobs[&job].clone();
        (job.state.clone(), job.total - job.done)
    };
    assert_eq!((state.as_str(), open), ("settling", 1));
    sim.wait(Duration::from_secs(20));
    assert_eq!(sim.world().tables.jobs[&job].state, "completed");
    sim.make_peace();
    assert_eq!(sim.number("ed00"), Some(4.0));
    is_right(&sim);
}

#[test]
fn f34_a_rebase_that_is_asked_for_again_while_it_is_cancelled_goes_on() {
    let sim = scene(1);
    sim.start(0);
    sim.wait(Duration::from_secs(30));
    let job = sim.rebase();
    sim.until(0, "request");
    sim.edit(0, "cancel", |tables, at| tables.cancel(&job, at));
    assert_eq!(sim.world().tables.jobs[&job].cancel_requested, 1, "a request is under way");
    assert_eq!(sim.rebase(), job);
    sim.make_peace();
    assert_eq!(sim.world().tables.jobs[&job].state, "completed");
    is_right(&sim);
}

#[test]
fn f35_a_check_looks_at_what_was_acknowledged_before_the_clock_leapt_back() {
    let sim = scene(1);
    sim.start(0);
    sim.wait(Duration::from_secs(30));
    let wrong = sim.world().remote.records[&("m".to_owned(), "ed00".to_owned())].clone();
    let wrong = VectorRecord { values: vec![77.0, 7.0], ..wrong };
    sim.world().plant(&("m".to_owned(), "ed00".to_owned()), wrong);
    sim.world().processes[0].wall -= 3_600_000;
    sim.wait(Duration::from_secs(90));
    assert_eq!(sim.repair().stale, 1);
    assert_eq!(sim.number("ed00"), Some(1.0));
    is_right(&sim);
}

#[test]
fn f35_a_check_that_waits_for_an_index_out_of_reach_goes_on_after_a_leap_back() {
    let sim = scene(1);
    sim.start(0);
    sim.wait(Duration::from_secs(90));
    let job = sim.job(0, "check", |tables, job, at| Some(tables.begin_check(job, "reconcile:repair", at)));
    let job = job.expect("a job");
    let down = sim.world().now + 3_000;
    sim.world().remote.down_until = down;
    sim.wait(Duration::from_secs(2));
    sim.world().processes[0].wall -= 3_600_000;
    sim.wait(Duration::from_secs(300));
    assert_eq!(sim.world().tables.jobs[&job].state, "completed");
    is_right(&sim);
}
