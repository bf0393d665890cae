//! Every row of the tables of sync.md 4.4 and 5, by what a flight wants done.

use std::time::Duration;

use super::*;
use crate::index::IndexLimits;
use crate::store::record::Rows;
use crate::store::vector;
use crate::sync::flight::refused::Probed;

const NOW: i64 = 1_000_000;
const LIMITS: IndexLimits = IndexLimits {
    upsert_records: 10,
    upsert_bytes: 100_000,
    delete_ids: 10,
    metadata_bytes: 4_000,
    query_namespaces: None,
    rates: None,
};
const FACTS: Facts<'_> = Facts {
    namespace: "n",
    claimed_at: NOW - 10,
    generation: 1,
    rules: Rules { corpus: "corpus", limits: LIMITS, dimension: Some(2) },
    others_succeed: false,
};

fn rows(values: &[f32]) -> Rows {
    Rows { vector: vector::to_bytes(values), text: "Text".to_owned(), ..Rows::default() }
}

fn ready(id: &str) -> preflight::Ready {
    preflight::check(&rows(&[1.0, 2.0]), "n", id, 7, FACTS.rules).unwrap()
}

fn truth(id: &str) -> Truth {
    Truth {
        vector_id: id.to_owned(),
        acked_rev: 0,
        acked_hash: None,
        acked_gen: 0,
        acked_from: 0,
        acked_lsn: None,
        doubt_until: 0,
        attempts: 0,
        rows: Some(rows(&[1.0, 2.0])),
    }
}

/// A slot that was acknowledged, of a record that should be there.
fn known(id: &str) -> Truth {
    Truth { acked_rev: 6, acked_hash: Some("other".to_owned()), acked_gen: 1, acked_from: 500, ..truth(id) }
}

fn removed(id: &str) -> Truth {
    Truth { rows: None, ..known(id) }
}

/// A slot whose rows no index takes.
fn zero(truth: Truth) -> Truth {
    Truth { rows: Some(rows(&[0.0, 0.0])), ..truth }
}

fn begin(truths: Vec<Truth>, facts: Facts<'_>) -> (Flight, Vec<Effect>) {
    let claimed = |truth: &Truth| Claimed {
        vector_id: truth.vector_id.clone(),
        embedding_id: None,
        document_id: None,
        want_rev: 7,
        epoch: 1,
        dirty_epoch: Some(1),
    };
    let claimed: Vec<Claimed> = truths.iter().map(claimed).collect();
    Flight::begin(&claimed, truths, facts, NOW, &mut Rng::with_seed(1))
}

fn several(ids: &[&str]) -> Flight {
    let (flight, effects) = begin(ids.iter().map(|id| truth(id)).collect(), FACTS);
    assert_eq!(effects, []);
    flight
}

/// The requests that may go out now, by their ids.
fn requests(flight: &mut Flight) -> Vec<(Request, String)> {
    let all: Vec<Request> = std::iter::from_fn(|| flight.take_next()).collect();
    all.into_iter()
        .map(|request| {
            let (kind, numbers) = match &request {
                Request::Upsert(numbers) => ("put", numbers),
                Request::Delete(numbers) => ("delete", numbers),
            };
            let text = format!("{kind} {}", flight.ids(numbers).join(" "));
            (request, text)
        })
        .collect()
}

fn texts(flight: &mut Flight) -> Vec<String> {
    requests(flight).into_iter().map(|(_, text)| text).collect()
}

fn next(flight: &mut Flight, expected: &str) -> Request {
    let request = flight.take_next().unwrap();
    let (Request::Upsert(numbers) | Request::Delete(numbers)) = &request;
    assert_eq!(flight.ids(numbers).join(" "), expected);
    request
}

fn answer(flight: &mut Flight, request: Request, outcome: Result<Written, IndexError>) -> Vec<Effect> {
    flight.answered(request, outcome, NOW, &mut Rng::with_seed(1))
}

fn error(kind: IndexErrorKind) -> Result<Written, IndexError> {
    Err(IndexError::new(kind, "no"))
}

/// Sends the next request, and has it refused.
fn refuse(flight: &mut Flight, expected: &str) -> Vec<Effect> {
    let request = next(flight, expected);
    answer(flight, request, error(IndexErrorKind::Rejected))
}

fn acked(id: &str, hash: &str, lsn: Option<i64>, sent: bool) -> Ack {
    Ack { vector_id: id.to_owned(), want_rev: 7, hash: hash.to_owned(), lsn, sent }
}

fn quarantined(id: &str, code: &'static str, text: &str, deleted: bool) -> Effect {
    Effect::Quarantine(Refused { vector_id: id.to_owned(), want_rev: 7, code, text: text.to_owned(), deleted })
}

/// Ids, delays and codes of what was given back.
fn backs(effect: &Effect) -> Vec<(String, i64, Option<&'static str>)> {
    let brief = |back: &Back| (back.vector_id.clone(), back.due_at - NOW, back.why.as_ref().map(|(code, _)| *code));
    if let Effect::Release(slots) = effect {
        return slots.iter().map(brief).collect();
    }
    let Effect::Doubt(slots) = effect else { panic!("{effect:?}") };
    slots.iter().map(|(back, _)| brief(back)).collect()
}

/// What was given back at once, because it was not sent.
fn unsent(ids: &[&str]) -> Vec<(String, i64, Option<&'static str>)> {
    ids.iter().map(|id| ((*id).to_owned(), 0, None)).collect()
}

#[test]
fn what_the_index_has_is_acknowledged_and_anything_else_is_sent() {
    let hash = ready("a").hash;
    let same = Truth { acked_hash: Some(hash.clone()), acked_lsn: Some(5), doubt_until: 500, ..known("a") };
    let (mut flight, effects) = begin(vec![same.clone()], FACTS);
    assert_eq!(effects, [Effect::Acknowledge(vec![acked("a", &hash, Some(5), false)])]);
    assert!(flight.is_over() && flight.take_next().is_none());
    for differs in [
        Truth { acked_hash: Some("other".to_owned()), ..same.clone() },
        Truth { acked_hash: None, ..same.clone() },
        Truth { acked_gen: 2, ..same.clone() },
        Truth { doubt_until: 501, ..same },
    ] {
        let (mut flight, effects) = begin(vec![differs], FACTS);
        assert_eq!(effects, []);
        assert!(!flight.is_over());
        assert_eq!(texts(&mut flight), ["put a"]);
        assert!(!flight.is_over());
    }
}

#[test]
fn what_is_not_there_is_not_deleted_and_no_index_has_an_id_that_none_takes() {
    let gone = Truth { acked_hash: Some(ABSENT.to_owned()), ..removed("a") };
    let (mut flight, effects) = begin(vec![gone, removed("é"), removed(""), removed("b")], FACTS);
    let all = ["a", "é", ""].map(|id| acked(id, ABSENT, None, false));
    assert_eq!(effects, [Effect::Acknowledge(all.to_vec())]);
    let [(request, text)] = &requests(&mut flight)[..] else { panic!() };
    assert_eq!(text, "delete b");
    let effects = answer(&mut flight, request.clone(), Ok(Written { lsn: Some(9) }));
    assert_eq!(effects, [Effect::Acknowledge(vec![acked("b", ABSENT, Some(9), true)])]);
    assert!(flight.is_over());
}

#[test]
fn a_slot_that_was_not_claimed_is_left_alone() {
    let (mut flight, effects) = Flight::begin(&[], vec![truth("a")], FACTS, NOW, &mut Rng::with_seed(1));
    assert_eq!(effects, []);
    assert!(flight.take_next().is_none());
}

#[test]
fn requests_are_packed_by_count_and_bytes_deletions_first_and_what_often_failed_goes_alone() {
    let mut facts = FACTS;
    facts.rules.limits.upsert_records = 2;
    facts.rules.limits.delete_ids = 3;
    let often = |id: &str, attempts| Truth { attempts, ..truth(id) };
    let mut truths: Vec<Truth> = ["a", "b", "c", "d"].map(removed).to_vec();
    truths.extend([often("e", 7), often("f", 7), often("g", 8), often("h", 0)]);
    let (mut flight, _) = begin(truths, facts);
    let all = requests(&mut flight);
    let told: Vec<&str> = all.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(told, ["delete a b c", "delete d", "put e f", "put g", "put h"]);
    assert_eq!(flight.load(&all[0].0), Load { operation: Operation::Delete, amount: 3 });
    assert_eq!(flight.load(&all[2].0), Load { operation: Operation::Upsert, amount: 2 * ready("e").bytes });
    // An id of two letters has five bytes in a list.
    facts.rules.limits.upsert_bytes = 10;
    let (mut flight, _) = begin(["aa", "bb", "cc"].map(removed).to_vec(), facts);
    assert_eq!(texts(&mut flight), ["delete aa bb", "delete cc"]);
    facts.rules.limits.upsert_bytes = 9;
    let (mut flight, _) = begin(["aa", "bb"].map(removed).to_vec(), facts);
    assert_eq!(texts(&mut flight), ["delete aa", "delete bb"]);
}

#[test]
fn a_target_that_takes_no_count_is_sent_single_records() {
    let mut facts = FACTS;
    (facts.rules.limits.upsert_records, facts.rules.limits.delete_ids) = (0, 0);
    let (mut flight, _) =
        begin(vec![removed("a"), removed("b"), truth("c"), truth("d"), zero(known("e")), zero(known("f"))], facts);
    assert_eq!(texts(&mut flight), ["delete f", "delete e", "delete a", "delete b", "put c", "put d"]);
}

#[test]
fn the_first_vector_decides_the_dimension_once_it_was_accepted() {
    let mut facts = FACTS;
    facts.rules.dimension = None;
    let wide = |id: &str| Truth { rows: Some(rows(&[1.0, 2.0, 3.0])), ..truth(id) };
    let (mut flight, effects) = begin(vec![truth("a"), wide("b"), truth("c")], facts);
    let [effect] = &effects[..] else { panic!("{effects:?}") };
    let back = &backs(effect)[..];
    assert!(matches!(back, [(id, 1..=250, None)] if id == "b"), "{back:?}");
    let request = next(&mut flight, "a c");
    let (Request::Upsert(numbers) | Request::Delete(numbers)) = &request;
    assert_eq!(flight.records(numbers), [ready("a").record, ready("c").record]);
    let effects = answer(&mut flight, request, Ok(Written::default()));
    let hashes = [("a", ready("a").hash), ("c", ready("c").hash)];
    let acks = hashes.map(|(id, hash)| acked(id, &hash, None, true)).to_vec();
    assert_eq!(effects, [Effect::LearnDimension(2), Effect::Acknowledge(acks)]);
    assert!(flight.is_over());
    // Once it is known, another is a record's fault.
    let (flight, effects) = begin(vec![wide("b")], FACTS);
    let text = "the vector has 3 numbers, those of the index have 2";
    assert_eq!(effects, [quarantined("b", "dimension_mismatch", text, false)]);
    assert!(flight.is_over());
}

#[test]
fn what_was_not_applied_comes_again_after_a_pause_or_when_the_target_says() {
    for (kind, code) in [(IndexErrorKind::NotApplied, "not_applied"), (IndexErrorKind::RateLimited, "rate_limited")] {
        let mut latest = 0;
        for seed in 0..100 {
            let (mut flight, _) = begin(vec![Truth { attempts: 1, ..truth("a") }], FACTS);
            let request = next(&mut flight, "a");
            let effects = flight.answered(request, error(kind), NOW, &mut Rng::with_seed(seed));
            assert!(flight.is_over() && effects.len() == 1);
            let back = &backs(&effects[0])[..];
            let [(_, delay @ 1..=500, Some(found))] = back else { panic!("{back:?}") };
            assert_eq!(*found, code);
            latest = latest.max(*delay);
        }
        assert!(latest > 250, "one try more, twice the pause");
        let mut flight = several(&["a"]);
        let request = next(&mut flight, "a");
        let asked = IndexError { retry_after: Some(Duration::from_secs(7)), ..IndexError::new(kind, "no") };
        let effects = answer(&mut flight, request, Err(asked));
        assert_eq!(backs(&effects[0]), [("a".to_owned(), 7_000, Some(code))]);
    }
}

#[test]
fn what_got_no_answer_is_in_doubt_with_what_it_carried() {
    let mut latest = 0;
    for seed in 0..100 {
        let mut flight = several(&["a"]);
        let request = next(&mut flight, "a");
        let outcome = error(IndexErrorKind::InDoubt);
        let effects = flight.answered(request, outcome, NOW, &mut Rng::with_seed(seed));
        assert!(flight.is_over());
        let [Effect::Doubt(slots)] = &effects[..] else { panic!("{effects:?}") };
        let [(back, hash)] = &slots[..] else { panic!() };
        assert_eq!((back.vector_id.as_str(), hash), ("a", &ready("a").hash));
        assert_eq!(back.why, Some(("in_doubt", "no".to_owned())));
        assert!((1..=500).contains(&(back.due_at - NOW)));
        latest = latest.max(back.due_at - NOW);
    }
    assert!(latest > 250, "the try that just failed counts");
    let mut flight = several(&["a"]);
    let request = next(&mut flight, "a");
    let asked =
        IndexError { retry_after: Some(Duration::from_secs(7)), ..IndexError::new(IndexErrorKind::InDoubt, "") };
    let effects = answer(&mut flight, request, Err(asked));
    assert_eq!(backs(&effects[0]), [("a".to_owned(), 7_000, Some("in_doubt"))]);
}

#[test]
fn a_refused_request_is_halved_until_one_record_is_left_and_condemned_where_others_succeed() {
    let mut flight = several(&["a", "b", "c", "d", "e"]);
    assert_eq!(refuse(&mut flight, "a b c d e"), []);
    assert_eq!(refuse(&mut flight, "a b c"), []);
    let request = next(&mut flight, "a b");
    answer(&mut flight, request, Ok(Written::default()));
    assert_eq!(refuse(&mut flight, "c"), [quarantined("c", "target_rejected", "no", false)]);
    assert_eq!(texts(&mut flight), ["put d e"]);
    let (mut flight, _) = begin(vec![removed("a"), removed("b")], FACTS);
    assert_eq!(refuse(&mut flight, "a b"), []);
    assert_eq!(texts(&mut flight), ["delete a", "delete b"]);
}

#[test]
fn a_deletion_that_is_refused_is_quarantined_and_keeps_its_reason() {
    let (mut flight, _) = begin(vec![removed("a")], FACTS);
    assert_eq!(refuse(&mut flight, "a"), [quarantined("a", "target_rejected", "no", false)]);
    assert!(flight.is_over());
    let (mut flight, _) = begin(vec![zero(known("a"))], FACTS);
    let text = "every number of the vector is zero";
    assert_eq!(refuse(&mut flight, "a"), [quarantined("a", "vector_zero", text, false)]);
    assert!(flight.is_over());
}

#[test]
fn a_deletion_that_is_taken_says_nothing_of_what_is_written() {
    let (mut flight, _) = begin(vec![removed("a"), truth("b")], FACTS);
    let request = next(&mut flight, "a");
    answer(&mut flight, request, Ok(Written::default()));
    assert_eq!(refuse(&mut flight, "b"), [Effect::Probe]);
}

#[test]
fn a_deletion_of_what_was_refused_is_in_doubt_as_a_deletion() {
    let mut facts = FACTS;
    facts.rules.limits.upsert_records = 1;
    let (mut flight, _) = begin(vec![truth("a"), known("b")], facts);
    let request = next(&mut flight, "a");
    answer(&mut flight, request, Ok(Written::default()));
    assert_eq!(refuse(&mut flight, "b"), []);
    let request = next(&mut flight, "b");
    assert!(matches!(request, Request::Delete(_)));
    let effects = answer(&mut flight, request, error(IndexErrorKind::InDoubt));
    let [Effect::Doubt(slots)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(slots.iter().map(|(_, hash)| hash.as_str()).collect::<Vec<_>>(), [ABSENT]);
}

#[test]
fn a_record_that_is_too_large_alone_is_condemned_at_once() {
    let mut flight = several(&["a", "b"]);
    let request = next(&mut flight, "a b");
    assert_eq!(answer(&mut flight, request, error(IndexErrorKind::TooLarge)), []);
    let request = next(&mut flight, "a");
    let effects = answer(&mut flight, request, error(IndexErrorKind::TooLarge));
    assert_eq!(effects, [quarantined("a", "record_too_large", "no", false)]);
}

#[test]
fn what_cannot_be_sent_is_quarantined_when_the_index_has_nothing_of_it() {
    let text = "every number of the vector is zero";
    let plain = || vec![quarantined("a", "vector_zero", text, false)];
    let gone = || Truth { acked_hash: Some(ABSENT.to_owned()), ..known("a") };
    let later = Facts { generation: 2, ..FACTS };
    for (truth, facts) in
        [(truth("a"), FACTS), (gone(), FACTS), (gone(), later), (Truth { doubt_until: 500, ..gone() }, FACTS)]
    {
        let (mut flight, effects) = begin(vec![zero(truth)], facts);
        assert_eq!(effects, plain());
        assert!(flight.is_over() && flight.take_next().is_none());
    }
    for (truth, facts) in [
        (known("a"), FACTS),
        (truth("a"), later),
        (Truth { doubt_until: 1, ..truth("a") }, FACTS),
        (Truth { doubt_until: 501, ..gone() }, FACTS),
    ] {
        let (mut flight, effects) = begin(vec![zero(truth)], facts);
        assert_eq!(effects, []);
        let request = next(&mut flight, "a");
        assert!(matches!(request, Request::Delete(_)));
        let effects = answer(&mut flight, request, Ok(Written::default()));
        assert_eq!(effects, [quarantined("a", "vector_zero", text, true)]);
        assert!(flight.is_over());
    }
    // Nothing of such an id was ever sent.
    let (flight, effects) = begin(vec![known("é")], FACTS);
    let text = "the id must be 1 to 512 ASCII characters";
    assert_eq!(effects, [quarantined("é", "bad_id", text, false)]);
    assert!(flight.is_over());
}

#[test]
fn a_condemned_record_is_deleted_again_when_an_older_write_may_still_land() {
    for (doubt_until, again) in [(FACTS.claimed_at, false), (FACTS.claimed_at + 1, true)] {
        let (mut flight, _) = begin(vec![zero(Truth { doubt_until, ..known("a") })], FACTS);
        let request = next(&mut flight, "a");
        let effects = answer(&mut flight, request, Ok(Written::default()));
        if again {
            assert_eq!(backs(&effects[0]), [("a".to_owned(), doubt_until - NOW, Some("vector_zero"))]);
            assert_eq!(effects.len(), 1);
        } else {
            assert_eq!(effects, [quarantined("a", "vector_zero", "every number of the vector is zero", true)]);
        }
        assert!(flight.is_over());
    }
}

#[test]
fn deletions_of_condemned_records_go_first_in_requests_of_their_own() {
    let mut facts = FACTS;
    facts.rules.limits.delete_ids = 2;
    let (mut flight, _) = begin(vec![truth("a"), zero(known("b")), zero(known("c")), zero(known("d"))], facts);
    assert_eq!(texts(&mut flight), ["delete d", "delete b c", "put a"]);
}

#[test]
fn a_record_that_ends_in_doubt_again_and_again_is_poison_while_others_succeed() {
    let often = |attempts| Truth { attempts, ..truth("a") };
    let others = Facts { others_succeed: true, ..FACTS };
    let (_, effects) = begin(vec![often(20)], others);
    assert_eq!(effects, [quarantined("a", "target_error", "20 requests with this record got no answer", false)]);
    for (truth, facts) in [(often(19), others), (often(20), FACTS)] {
        let (mut flight, effects) = begin(vec![truth], facts);
        assert_eq!(effects, []);
        assert_eq!(texts(&mut flight), ["put a"]);
    }
}

/// A flight of so many single records.
fn singles(ids: &[&str]) -> Flight {
    let mut facts = FACTS;
    facts.rules.limits.upsert_records = 1;
    begin(ids.iter().map(|id| truth(id)).collect(), facts).0
}

/// A flight of which four records were refused, and one is not sent.
fn suspicious() -> Flight {
    let mut flight = singles(&["a", "b", "c", "d", "e"]);
    for id in ["a", "b", "c"] {
        assert_eq!(refuse(&mut flight, id), []);
    }
    assert_eq!(refuse(&mut flight, "d"), [Effect::Probe]);
    assert!(flight.take_next().is_none() && !flight.is_over());
    flight
}

fn probed(flight: &mut Flight, outcome: Probed) -> Vec<Effect> {
    flight.probed(outcome, NOW, &mut Rng::with_seed(1))
}

#[test]
fn four_refused_records_put_the_target_in_question_and_a_probe_that_it_takes_condemns_them() {
    let mut flight = suspicious();
    let effects = probed(&mut flight, Probed::Accepted);
    assert_eq!(effects, ["a", "b", "c", "d"].map(|id| quarantined(id, "target_rejected", "no", false)));
    // Another is condemned without a question.
    assert_eq!(refuse(&mut flight, "e"), [quarantined("e", "target_rejected", "no", false)]);
    assert!(flight.is_over());
}

#[test]
fn a_probe_that_is_refused_too_pauses_the_target_and_quarantines_nothing() {
    let mut flight = suspicious();
    let effects = probed(&mut flight, Probed::Refused("revoked".to_owned()));
    let [Effect::Pause(reason), back] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(reason, "revoked");
    assert_eq!(backs(back), unsent(&["e", "a", "b", "c", "d"]));
    assert!(flight.is_over());
}

#[test]
fn without_a_record_to_probe_with_four_are_the_targets_fault_and_fewer_their_own() {
    let mut flight = suspicious();
    let effects = probed(&mut flight, Probed::Unknown);
    let [Effect::Pause(reason), back] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(reason, "every record is refused: no");
    assert_eq!(backs(back), unsent(&["e", "a", "b", "c", "d"]));
    let mut flight = singles(&["a", "b", "c"]);
    assert_eq!(refuse(&mut flight, "a"), []);
    assert_eq!(refuse(&mut flight, "b"), []);
    assert_eq!(refuse(&mut flight, "c"), [Effect::Probe]);
    let effects = probed(&mut flight, Probed::Unknown);
    assert_eq!(effects, ["a", "b", "c"].map(|id| quarantined(id, "target_rejected", "no", false)));
    assert!(flight.is_over());
}

#[test]
fn a_probe_without_an_answer_gives_the_suspects_back_for_a_while() {
    let mut latest = 0;
    for seed in 0..100 {
        let mut flight = suspicious();
        let effects = flight.probed(Probed::Silent, NOW, &mut Rng::with_seed(seed));
        assert_eq!(effects.len(), 1);
        let all = backs(&effects[0]);
        assert_eq!(all.iter().map(|(id, ..)| id.as_str()).collect::<String>(), "abcd");
        for (_, delay, why) in all {
            assert!((1..=4_000).contains(&delay) && why == Some("target_rejected"), "{delay} {why:?}");
            latest = latest.max(delay);
        }
        assert_eq!(texts(&mut flight), ["put e"]);
    }
    assert!(latest > 2_000);
}

#[test]
fn nothing_is_asked_while_an_answer_may_still_say_that_others_succeed() {
    let mut flight = singles(&["a", "b"]);
    let (one, two) = (next(&mut flight, "a"), next(&mut flight, "b"));
    assert_eq!(answer(&mut flight, one, error(IndexErrorKind::Rejected)), []);
    assert!(!flight.is_over());
    let effects = answer(&mut flight, two, Ok(Written { lsn: Some(3) }));
    let ack = Effect::Acknowledge(vec![acked("b", &ready("b").hash, Some(3), true)]);
    assert_eq!(effects, [ack, quarantined("a", "target_rejected", "no", false)]);
    assert!(flight.is_over());
}

#[test]
fn an_answer_that_comes_during_a_probe_says_more_than_the_probe() {
    let mut flight = singles(&["a", "b", "c", "d", "e"]);
    let last = (0..4).map(|_| flight.take_next().unwrap()).collect::<Vec<_>>();
    let late = flight.take_next().unwrap();
    for request in last {
        answer(&mut flight, request, error(IndexErrorKind::Rejected));
    }
    let effects = answer(&mut flight, late, Ok(Written::default()));
    assert_eq!(effects, [Effect::Acknowledge(vec![acked("e", &ready("e").hash, None, true)])]);
    let effects = probed(&mut flight, Probed::Refused("revoked".to_owned()));
    assert_eq!(effects, ["a", "b", "c", "d"].map(|id| quarantined(id, "target_rejected", "no", false)));
    assert!(flight.is_over());
}

#[test]
fn a_target_at_fault_is_paused_and_what_it_refuses_afterwards_says_nothing() {
    let mut flight = singles(&["a", "b", "c", "d"]);
    let (one, two, three) = (next(&mut flight, "a"), next(&mut flight, "b"), next(&mut flight, "c"));
    assert_eq!(answer(&mut flight, one, error(IndexErrorKind::Rejected)), []);
    let effects = answer(&mut flight, two, error(IndexErrorKind::TargetFault));
    let [Effect::Pause(reason), back] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(reason, "no");
    assert_eq!(backs(back), unsent(&["d", "b", "a"]));
    assert!(!flight.is_over());
    let effects = answer(&mut flight, three, error(IndexErrorKind::Rejected));
    assert_eq!(effects.len(), 1);
    assert_eq!(backs(&effects[0]), unsent(&["c"]));
    assert!(flight.is_over());
}

#[test]
fn what_was_not_sent_is_given_back_at_once() {
    let mut flight = singles(&["a", "b", "c"]);
    let sent = next(&mut flight, "a");
    let back = flight.abandon(NOW).unwrap();
    assert_eq!(backs(&back), unsent(&["b", "c"]));
    assert_eq!(flight.abandon(NOW), None);
    assert!(!flight.is_over());
    answer(&mut flight, sent, Ok(Written::default()));
    assert!(flight.is_over());
}
