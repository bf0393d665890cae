//! Faults in an order written by hand (sync.md section 10), where the application's tests do not tell the same.

use std::time::Duration;

use corpusd::index::VectorRecord;

use crate::random::times;
use crate::remote::Call;
use crate::remote::Fate;
use crate::tables::Slot;
use crate::world::Mode;
use crate::world::Sim;

/// As many servers as wanted, all at one time of day, a document `d0` with two records, and an index that works.
fn scene(servers: usize) -> Sim {
    let sim = Sim::new(7, times(), servers);
    sim.world().listening = true;
    let foreign = VectorRecord { id: "foreign".to_owned(), values: vec![9.0, 9.0], metadata: "{}".to_owned() };
    sim.world().remote.records.insert(("m".to_owned(), "foreign".to_owned()), foreign);
    sim.edit(0, "create", |tables, at| tables.create("d0", 2, 1, at));
    sim
}

impl Sim {
    /// Everything that can go on does, and nothing waits for the time.
    pub fn go(&self) {
        loop {
            let next = self.world().ready().first().copied();
            let Some(id) = next else { return };
            self.grant(id, Mode::Go);
            self.well();
        }
    }

    /// A server goes on until it is about to do that, alone.
    pub fn until(&self, process: usize, label: &str) -> u64 {
        for _ in 0..1_000 {
            let ready = self.world().ready();
            let world = self.world();
            let mine: Vec<(u64, &str)> = world
                .ops
                .iter()
                .filter(|op| op.process == process && ready.contains(&op.id))
                .map(|op| (op.id, op.label))
                .collect();
            let found = mine.iter().find(|(_, name)| *name == label).map(|(id, _)| *id);
            if let Some(id) = found {
                return id;
            }
            let next = mine.first().map(|(id, _)| *id);
            drop(world);
            match next {
                Some(id) => self.grant(id, Mode::Go),
                None => {
                    let now = self.world().now;
                    self.advance(now + 500);
                }
            }
            self.well();
        }
        panic!("server {process} never comes to {label}: {}", self.story());
    }

    /// Time passes, and whoever can goes on.
    pub fn wait(&self, time: Duration) {
        let end = self.world().now + i64::try_from(time.as_millis()).expect("a short time");
        loop {
            self.go();
            let (now, next) = {
                let world = self.world();
                (world.now, world.next_moment())
            };
            if now >= end {
                return;
            }
            self.advance(next.unwrap_or(end).clamp(now + 1, end));
        }
    }

    fn story(&self) -> String {
        self.world().told.join("\n")
    }

    /// No invariant is hurt so far.
    fn well(&self) {
        let failure = self.world().failure.clone();
        assert!(failure.is_none(), "{}\n{}", self.story(), failure.unwrap_or_default());
    }

    fn slot(&self, id: &str) -> Slot {
        self.world().tables.slots.values().find(|slot| slot.vector_id == id).cloned().expect("a slot")
    }

    pub fn number(&self, id: &str) -> Option<f32> {
        self.world().remote.records.get(&("m".to_owned(), id.to_owned())).map(|record| record.values[0])
    }

    fn plan(&self, fates: impl IntoIterator<Item = Fate>) {
        self.world().remote.planned.extend(fates);
    }

    fn calls(&self) -> Vec<(String, Call)> {
        self.world().remote.calls.clone()
    }

    pub fn revector(&self, id: &str, number: f32) {
        self.edit(0, "vector", |tables, at| tables.revector(id, vec![number, 1.0], at));
    }

    /// Nothing more fails, and in the end the index is what the rows say.
    fn is_right(&self) {
        self.make_peace();
        self.well();
        self.end();
    }
}

/// The doubt of these times, and a moment more.
const DOUBT: Duration = Duration::from_secs(21);

#[test]
fn f1_a_crash_between_claim_and_send_is_found_after_a_lease_and_sent_once() {
    let sim = scene(2);
    sim.start(0);
    sim.until(0, "request");
    sim.kill(0);
    sim.world().remote.calls.clear();
    sim.start(1);
    sim.wait(Duration::from_secs(9));
    assert!(sim.calls().is_empty(), "the lease is not over");
    sim.wait(Duration::from_secs(12));
    assert_eq!(sim.calls().len(), 1);
    assert_eq!(sim.slot("ed00").doubt_hash.as_deref(), Some("*"));
    sim.is_right();
}

#[test]
fn f4_a_crash_between_the_answer_and_its_acknowledgement_is_sent_again() {
    let sim = scene(2);
    sim.start(0);
    sim.until(0, "acknowledge");
    let now = sim.world().now;
    sim.world().processes[0].cut = now + 1;
    sim.kill(0);
    assert_eq!(sim.number("ed00"), Some(1.0));
    sim.start(1);
    sim.wait(Duration::from_secs(60));
    assert_eq!(sim.calls().len(), 3, "once more for the crash, and once more after the doubt");
    sim.is_right();
}

#[test]
fn f8_an_upsert_that_times_out_and_lands_after_the_delete_is_deleted_again() {
    let sim = scene(1);
    sim.plan([Fate::Late(15_000)]);
    sim.start(0);
    sim.wait(Duration::from_secs(6));
    sim.edit(0, "delete", |tables, at| tables.set_deleted("d0", true, at));
    let job = sim.job(0, "export all", |tables, job, at| Some(tables.start_unsynced(job, at))).expect("a job");
    sim.wait(Duration::from_secs(5));
    assert_eq!(sim.number("ed00"), None);
    assert_eq!(sim.world().tables.jobs[&job].state, "settling");
    sim.wait(Duration::from_secs(5));
    assert_eq!(sim.number("ed00"), Some(1.0), "the upsert landed");
    sim.wait(DOUBT);
    assert_eq!(sim.number("ed00"), None);
    assert_eq!(sim.world().tables.jobs[&job].state, "completed");
    sim.is_right();
}

#[test]
fn f11_an_assertion_that_was_claimed_in_the_doubt_and_answered_after_it_settles_nothing() {
    let sim = scene(1);
    sim.plan([Fate::Late(18_000)]);
    sim.start(0);
    sim.wait(Duration::from_secs(6));
    sim.revector("ed00", 2.0);
    // Claimed before the doubt ends; its answer comes when it is over.
    sim.wait(Duration::from_secs(1));
    let first = sim.slot("ed00");
    assert_eq!(first.due_at, Some(first.doubt_until), "acknowledged in the doubt: to be asserted again");
    let end = first.doubt_until;
    let now = sim.world().now;
    sim.wait(Duration::from_millis(u64::try_from(end - now - 1_000).expect("in the doubt")));
    sim.revector("ed00", 3.0);
    let request = sim.until(0, "request");
    let claimed = sim.slot("ed00").claimed_at.expect("claimed");
    assert!(claimed < end);
    sim.advance(end + 500);
    sim.grant(request, Mode::Go);
    sim.until(0, "look");
    let slot = sim.slot("ed00");
    assert_eq!((slot.due_at, slot.dirty_epoch), (Some(end), Some(0)), "asserted once more");
    sim.is_right();
}

#[test]
fn f12_a_process_that_slept_before_its_fence_does_not_send_and_registers_anew() {
    let sim = scene(2);
    sim.start(0);
    sim.until(0, "read");
    let now = sim.world().now;
    sim.suspend(0, now + 600_000);
    sim.start(1);
    sim.wait(Duration::from_secs(599));
    let sent = sim.calls().len();
    let workers: Vec<String> = sim.world().tables.workers.keys().cloned().collect();
    sim.wait(Duration::from_secs(10));
    assert_eq!(sim.calls().len(), sent, "nothing was sent");
    assert_eq!(sim.world().tables.workers.len(), 2);
    assert!(workers.iter().all(|id| id.starts_with("1-")), "it was buried");
    sim.is_right();
}

#[test]
fn f13_a_process_that_slept_between_its_fence_and_its_write_tells_what_it_did() {
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
    assert!(sim.slot("ed00").dirty_epoch.is_none(), "long settled");
    // It wakes, writes, and hears only then that it was dead.
    sim.advance(until);
    if sim.world().ops.iter().any(|op| op.id == request) {
        sim.grant(request, Mode::Go);
    }
    assert_eq!(sim.number("ed00"), Some(1.0), "the late write");
    sim.wait(Duration::from_secs(1));
    assert_eq!(sim.number("ed00"), Some(5.0), "asserted again");
    assert_eq!(sim.slot("ed00").doubt_hash.as_deref(), Some("*"));
    sim.is_right();
}

#[test]
fn f13_a_write_that_left_is_told_of_although_the_fence_holds_back_the_next_one() {
    let sim = scene(2);
    sim.edit(0, "create", |tables, at| tables.create("d1", 2, 1, at));
    let ids = ["ed00", "ed01", "ed10", "ed11"];
    sim.start(0);
    let read = sim.until(0, "read");
    // So late that each of its two requests asks the database whether it is alive.
    let now = sim.world().now;
    sim.world().processes[0].suspended = Some(now + 6_000);
    sim.advance(now + 6_000);
    let beats = || -> Vec<u64> {
        let world = sim.world();
        world.ops.iter().filter(|op| op.process == 0 && op.label == "beat").map(|op| op.id).collect()
    };
    let before = beats();
    sim.grant(read, Mode::Go);
    let asked: Vec<u64> = beats().into_iter().filter(|id| !before.contains(id)).collect();
    assert_eq!(asked.len(), 2, "{}", sim.story());
    sim.grant(asked[0], Mode::Go);
    let request = sim.world().ops.iter().find(|op| op.label == "request").map(|op| op.id).expect("a request");
    let until = sim.world().now + 60_000;
    sim.world().processes[0].suspended = Some(until);
    sim.start(1);
    sim.wait(Duration::from_secs(20));
    for id in ids {
        sim.revector(id, 5.0);
    }
    sim.wait(Duration::from_secs(39));
    assert_eq!(ids.map(|id| sim.number(id)), [Some(5.0); 4]);
    // It wakes: one write is on its way, and the other is held back.
    sim.world().processes[0].suspended = None;
    sim.grant(request, Mode::Go);
    assert!(ids.iter().any(|id| sim.number(id) == Some(1.0)), "the late write");
    sim.grant(asked[1], Mode::Go);
    sim.wait(Duration::from_secs(1));
    assert_eq!(ids.map(|id| sim.number(id)), [Some(5.0); 4], "asserted again");
    sim.is_right();
}

#[test]
fn f16_a_worker_cut_from_the_database_stops_sending_and_others_take_over() {
    let sim = scene(2);
    sim.start(0);
    sim.until(0, "request");
    let now = sim.world().now;
    sim.world().processes[0].cut = now + 120_000;
    sim.start(1);
    sim.revector("ed01", 4.0);
    sim.wait(Duration::from_secs(60));
    let workers: Vec<String> = sim.world().tables.workers.keys().cloned().collect();
    assert!(workers.len() == 1 && workers[0].starts_with("1-"), "{workers:?}");
    assert_eq!(sim.number("ed01"), Some(4.0));
    sim.wait(Duration::from_secs(70));
    assert_eq!(sim.world().tables.workers.len(), 2, "it is back");
    sim.is_right();
}

#[test]
fn f18_a_storm_of_rate_limits_quarantines_nothing_and_ends() {
    let sim = scene(2);
    for number in 0..40 {
        sim.plan(if number % 2 == 0 { [Fate::RateLimited(Some(Duration::from_secs(3)))] } else { [Fate::Apply] });
    }
    sim.start(0);
    sim.start(1);
    for round in 0..20 {
        sim.revector("ed00", 10.0 + round as f32);
        sim.wait(Duration::from_secs(30));
    }
    assert!(sim.world().tables.slots.values().all(|slot| slot.quarantine.is_none() && slot.attempts == 0));
    assert_eq!(sim.number("ed00"), Some(29.0));
    sim.is_right();
}

#[test]
fn f30_a_copy_of_a_document_that_is_being_edited_is_one_snapshot_with_ids_of_its_own() {
    let sim = scene(1);
    sim.start(0);
    sim.until(0, "request");
    sim.edit(0, "title", |tables, at| tables.retitle("d0", 2, at));
    sim.edit(0, "duplicate", |tables, at| tables.duplicate("d0", "d2", at));
    sim.edit(0, "title", |tables, at| tables.retitle("d0", 3, at));
    sim.wait(Duration::from_secs(10));
    let titles = |id: &str| {
        let world = sim.world();
        let record = &world.remote.records[&("m".to_owned(), id.to_owned())];
        crate::checks::content(record)
    };
    assert_eq!([titles("ed00"), titles("ed01")], ["1|t3|x1", "1|t3|x1"]);
    assert_eq!([titles("ed20"), titles("ed21")], ["1|t2|x1", "1|t2|x1"]);
    sim.is_right();
}

#[test]
fn f31_an_index_that_was_made_anew_gets_everything_again() {
    let sim = scene(1);
    sim.start(0);
    sim.wait(Duration::from_secs(5));
    sim.world().remote.wipe();
    sim.edit(0, "configure", |tables, _| tables.configure_another());
    let job = sim.job(0, "export all", |tables, job, at| Some(tables.start_unsynced(job, at))).expect("a job");
    sim.wait(Duration::from_secs(20));
    assert_eq!(sim.world().tables.jobs[&job].state, "completed");
    assert_eq!(sim.number("ed01"), Some(1.0));
    sim.is_right();
}

#[test]
fn f31_what_the_old_index_acknowledged_behind_the_sweep_says_nothing_of_the_new_one() {
    let sim = scene(1);
    sim.start(0);
    let acknowledge = sim.until(0, "acknowledge");
    sim.world().remote.wipe();
    sim.edit(0, "configure", |tables, at| {
        tables.configure_another();
        while tables.sweep_page(at).is_some() {}
    });
    sim.grant(acknowledge, Mode::Go);
    let slot = sim.slot("ed00");
    assert_eq!((slot.dirty_epoch, slot.dirty_rev), (Some(0), Some(0)));
    sim.well();
    sim.is_right();
}

#[test]
fn f35_a_clock_that_leaps_back_stalls_nothing_for_longer_than_a_quarter_of_an_hour() {
    let sim = scene(1);
    sim.plan([Fate::NotApplied]);
    sim.start(0);
    sim.until(0, "release");
    sim.go();
    sim.world().processes[0].wall -= 3_600_000;
    sim.wait(Duration::from_secs(16 * 60));
    assert_eq!(sim.number("ed00"), Some(1.0));
    sim.is_right();
}

#[test]
fn f35_what_was_acknowledged_before_a_leap_back_hides_no_doubt_after_it() {
    let sim = scene(1);
    sim.start(0);
    sim.wait(Duration::from_secs(5));
    assert_eq!(sim.number("ed00"), Some(1.0));
    sim.world().processes[0].wall -= 3_600_000;
    sim.wait(Duration::from_secs(5));
    sim.plan([Fate::LateReset(15_000), Fate::LostReset]);
    sim.revector("ed00", 3.0);
    let request = sim.until(0, "request");
    sim.grant(request, Mode::Go);
    sim.until(0, "doubt");
    sim.go();
    sim.revector("ed00", 4.0);
    sim.wait(Duration::from_secs(5));
    assert_eq!(sim.number("ed00"), Some(4.0));
    assert_eq!(sim.slot("ed00").doubt_hash.as_deref(), Some("*"), "two payloads may land");
    sim.wait(Duration::from_secs(11));
    assert_eq!(sim.number("ed00"), Some(3.0), "the late write");
    sim.wait(DOUBT);
    assert_eq!(sim.number("ed00"), Some(4.0), "asserted again");
    sim.is_right();
}

#[test]
fn f35_a_leap_back_while_a_server_starts_is_noticed_at_its_first_turn() {
    let sim = scene(1);
    sim.plan([Fate::NotApplied]);
    sim.start(0);
    sim.until(0, "release");
    sim.go();
    sim.kill(0);
    sim.start(0);
    sim.until(0, "register");
    sim.world().processes[0].wall -= 3_600_000;
    sim.wait(Duration::from_secs(16 * 60));
    assert_eq!(sim.number("ed00"), Some(1.0));
    sim.is_right();
}

#[test]
fn f35_a_doubt_that_opens_in_the_turn_of_a_leap_back_is_not_taken_for_settled() {
    let sim = scene(1);
    sim.start(0);
    sim.wait(Duration::from_secs(5));
    sim.plan([Fate::LateReset(15_000)]);
    sim.revector("ed00", 3.0);
    sim.until(0, "doubt");
    sim.world().processes[0].wall -= 3_600_000;
    sim.go();
    sim.revector("ed00", 4.0);
    sim.wait(Duration::from_secs(5));
    assert_eq!(sim.number("ed00"), Some(4.0));
    sim.wait(Duration::from_secs(11));
    assert_eq!(sim.number("ed00"), Some(3.0), "the late write");
    sim.wait(DOUBT);
    assert_eq!(sim.number("ed00"), Some(4.0), "asserted again");
    sim.is_right();
}

#[test]
fn f35_a_job_waits_no_longer_for_its_records_to_show_when_the_clock_leaps_back() {
    let sim = scene(1);
    sim.world().remote.behind = Some(3);
    sim.start(0);
    let job = sim.job(0, "export all", |tables, job, at| Some(tables.start_unsynced(job, at))).expect("a job");
    sim.wait(Duration::from_secs(30));
    assert_eq!(sim.world().tables.jobs[&job].state, "verifying");
    sim.world().processes[0].wall -= 3_600_000;
    sim.wait(Duration::from_secs(11 * 60));
    let ended = sim.world().tables.jobs[&job].clone();
    assert_eq!((ended.state.as_str(), ended.visibility.as_str()), ("completed", "timeout"));
    sim.is_right();
}

#[test]
fn f33_what_others_put_into_the_index_stays() {
    let sim = scene(1);
    sim.start(0);
    sim.wait(Duration::from_secs(5));
    sim.edit(0, "hard delete", |tables, at| tables.drop_document("d0", at));
    sim.wait(Duration::from_secs(5));
    let keys: Vec<String> = sim.world().remote.records.keys().map(|key| key.1.clone()).collect();
    assert_eq!(keys, ["foreign"]);
    sim.is_right();
}

#[test]
fn a_turn_that_loses_the_database_gives_its_claims_back_when_it_is_there_again() {
    let sim = scene(1);
    sim.start(0);
    sim.until(0, "acknowledge");
    let now = sim.world().now;
    sim.world().processes[0].cut = now + 3_000;
    sim.wait(Duration::from_secs(9));
    assert!(sim.slot("ed00").claim_token.is_none(), "no live worker keeps what it has forgotten");
    sim.is_right();
}

#[test]
fn a_claim_that_was_under_way_while_its_worker_was_buried_is_found() {
    let sim = scene(2);
    sim.start(0);
    let claim = sim.until(0, "claim");
    let now = sim.world().now;
    sim.world().processes[0].suspended = Some(now + 30_000);
    sim.start(1);
    sim.wait(Duration::from_secs(20));
    sim.advance(now + 30_000);
    sim.revector("ed00", 2.0);
    if sim.world().ops.iter().any(|op| op.id == claim) {
        sim.grant(claim, Mode::Go);
    }
    sim.kill(0);
    assert!(!sim.world().tables.ghosts().is_empty());
    sim.wait(Duration::from_secs(60));
    assert!(sim.world().tables.ghosts().is_empty());
    assert_eq!(sim.number("ed00"), Some(2.0));
    sim.is_right();
}

#[test]
fn a_worker_that_beats_before_it_is_buried_lives() {
    let sim = scene(2);
    sim.start(0);
    sim.wait(Duration::from_secs(5));
    let now = sim.world().now;
    sim.world().processes[0].suspended = Some(now + 600_000);
    sim.start(1);
    let burial = sim.until(1, "bury");
    sim.world().processes[0].suspended = None;
    let beat = sim.until(0, "beat");
    sim.grant(beat, Mode::Go);
    sim.grant(burial, Mode::Go);
    assert!(sim.world().tables.workers.iter().any(|(id, worker)| id.starts_with("0-") && worker.live));
    sim.is_right();
}

#[test]
fn f35_a_clock_that_falls_behind_by_a_second_has_not_leapt() {
    for (behind, leapt) in [(1_000, false), (1_001, true)] {
        let sim = scene(1);
        sim.start(0);
        sim.wait(Duration::from_secs(30));
        sim.revector("ed00", 2.0);
        let key = ("m".to_owned(), "ed00".to_owned());
        let now = sim.world().now;
        let far = Some(now + 3_600_000);
        let set = |due_at| sim.world().tables.slots.get_mut(&key).expect("a slot").due_at = due_at;
        set(far);
        sim.world().processes[0].wall -= behind;
        for _ in 0..2 {
            let look = sim.until(0, "look");
            sim.grant(look, Mode::Go);
        }
        assert_eq!(sim.slot("ed00").due_at != far, leapt, "behind by {behind} ms");
        set(Some(now));
        sim.is_right();
    }
}
