//! Compares what the index holds with what the rows would send now (sync.md section 7).
//!
//! Pure: a page of ids that the index listed, the slots of the same range with their
//! rows, and the records that were fetched, become a [`Verdict`] each. A label proves
//! nothing: a record is fine only when its numbers and its metadata are those of the
//! rows, whatever revision it says it has.

use std::cmp::Ordering;

use crate::index::VectorRecord;
use crate::json::Json;
use crate::json::Literals;
use crate::store::reconcile::Class;
use crate::store::reconcile::pages::Compared;
use crate::sync::preflight;
use crate::sync::preflight::Rules;

/// What the older exporter wrote with every record.
const LEGACY: [&str; 3] = ["embedding_id", "chunk_id", "document_id"];
/// What keys of ours begin with.
const OURS: &str = "_cd_";
/// Labels that say when and as what a record was sent, and not what it is.
const LABELS: [&str; 2] = ["_cd_hash", "_cd_rev"];

/// What a comparison needs to know beside the page.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The namespace of the page.
    pub namespace: &'a str,
    /// What the index takes, and whose records are ours.
    pub rules: Rules<'a>,
    /// Milliseconds since 1970.
    pub now: i64,
    /// What was acknowledged later than so long ago is passed over, in milliseconds.
    pub settled_ms: i64,
}

/// One id of a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<'a> {
    /// The id.
    pub id: &'a str,
    /// Whether the index listed it.
    pub listed: bool,
    /// Its slot.
    pub slot: Option<&'a Compared>,
}

/// What a comparison says of one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Index and rows agree.
    Fine,
    /// Something is on its way, or was a moment ago: it cannot be told.
    Skipped,
    /// They differ.
    Found(Class, Option<String>),
}

/// Everything that stands on one of two lists, both in bytewise order.
#[must_use]
pub fn merge<'a>(listed: &'a [String], slots: &'a [Compared]) -> Vec<Pair<'a>> {
    let mut pairs = Vec::with_capacity(listed.len().max(slots.len()));
    let (mut ids, mut slots) = (listed.iter().peekable(), slots.iter().peekable());
    loop {
        let order = match (ids.peek(), slots.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(id), Some(slot)) => id.as_bytes().cmp(slot.vector_id.as_bytes()),
        };
        let id = if order.is_le() { ids.next() } else { None };
        let slot = if order.is_ge() { slots.next() } else { None };
        let name = id.map(String::as_str).or_else(|| slot.map(|slot| slot.vector_id.as_str()));
        pairs.push(Pair { id: name.unwrap_or_default(), listed: id.is_some(), slot });
    }
}

/// Whether the record must be fetched to judge it.
#[must_use]
pub fn needs_record(pair: Pair<'_>, facts: Facts<'_>) -> bool {
    pair.listed && pair.slot.is_none_or(|slot| is_settled(slot, facts))
}

/// Whether nothing of a slot is on its way, nor was a moment ago. A clock that was set back counts as a moment.
fn is_settled(slot: &Compared, facts: Facts<'_>) -> bool {
    // A slot whose rows are gone is the inner sweep's.
    let consistent = slot.rows.is_some() || !slot.present;
    slot.clean && consistent && slot.acked_at.is_some_and(|at| at <= facts.now - facts.settled_ms)
}

/// What index and rows say of one id; `record` is what was fetched of it.
#[must_use]
pub fn judge(pair: Pair<'_>, record: Option<&VectorRecord>, facts: Facts<'_>) -> Verdict {
    let Some(slot) = pair.slot else {
        return match record {
            // Listed and not there: a deletion that the listing has not seen.
            None => Verdict::Fine,
            Some(record) => Verdict::Found(owner(record, facts.rules.corpus, Class::Orphaned), None),
        };
    };
    if !is_settled(slot, facts) {
        return Verdict::Skipped;
    }
    match (slot.present, record) {
        (true, None) => {
            let detail = pair.listed.then(|| "it is listed, and nothing is there".to_owned());
            Verdict::Found(Class::Missing, detail)
        }
        (true, Some(record)) => match differs(slot, record, facts) {
            Some(detail) => Verdict::Found(Class::Stale, Some(detail)),
            None => Verdict::Fine,
        },
        (false, None) => Verdict::Fine,
        // Somebody else's record under an id that was ours once is still somebody else's.
        (false, Some(record)) => Verdict::Found(owner(record, facts.rules.corpus, Class::Resurrected), None),
    }
}

/// Whose record it is: `ours` when it bears this corpus's mark.
fn owner(record: &VectorRecord, corpus: &str, ours: Class) -> Class {
    match mark(record) {
        Mark::Corpus(other) if other == corpus => ours,
        Mark::Older => Class::Legacy,
        Mark::Corpus(_) | Mark::None => Class::Foreign,
    }
}

/// What a record says of its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A corpus wrote it.
    Corpus(String),
    /// The older exporter wrote it.
    Older,
    /// It does not say.
    None,
}

/// What a record says of its origin.
#[must_use]
pub fn mark(record: &VectorRecord) -> Mark {
    let entries = entries(&record.metadata);
    let text = |name: &str| entries.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.as_str());
    if let Some(corpus) = text("_cd_corpus") {
        return Mark::Corpus(corpus.to_owned());
    }
    let marked = entries.iter().any(|(key, _)| key.starts_with(OURS));
    if !marked && LEGACY.iter().all(|key| text(key).is_some()) { Mark::Older } else { Mark::None }
}

/// The revision of its slot when a record was sent, as it says itself.
#[must_use]
pub fn revision(record: &VectorRecord) -> Option<i64> {
    let entries = entries(&record.metadata);
    match entries.into_iter().find(|(key, _)| key == "_cd_rev") {
        // An index may keep numbers as f64.
        Some((_, Json::Number(digits))) => digits.split('.').next().and_then(|whole| whole.parse().ok()),
        Some(_) | None => None,
    }
}

fn entries(metadata: &str) -> Vec<(String, Json)> {
    match Json::parse(metadata.as_bytes(), Literals::Python) {
        Ok(Json::Object(entries)) => entries,
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// What differs between a record and what the rows would send now, in words that show no content.
fn differs(slot: &Compared, record: &VectorRecord, facts: Facts<'_>) -> Option<String> {
    let rows = slot.rows.as_ref()?;
    let wanted = match preflight::check(rows, facts.namespace, &slot.vector_id, slot.want_rev, facts.rules) {
        Ok(wanted) => wanted.record,
        // It would be refused now: sent again, it is taken out and quarantined.
        Err(refusal) => return Some(format!("the rows would be refused: {}", refusal.code)),
    };
    if let Some(detail) = differing_numbers(&wanted.values, &record.values) {
        return Some(detail);
    }
    let (wanted, found) = (entries(&wanted.metadata), entries(&record.metadata));
    if let Some(detail) = differing_entries(&wanted, &found) {
        return Some(detail);
    }
    let label = found.iter().find(|(key, _)| key == "_cd_hash").and_then(|(_, value)| value.as_str());
    (label != slot.acked_hash.as_deref()).then(|| "its label is not the one that was acknowledged".to_owned())
}

fn differing_numbers(wanted: &[f32], found: &[f32]) -> Option<String> {
    if wanted.len() != found.len() {
        return Some(format!("it has {} numbers, and the vector has {}", found.len(), wanted.len()));
    }
    let at = wanted.iter().zip(found).position(|(wanted, found)| wanted != found)?;
    Some(format!("number {at} of the vector differs"))
}

fn differing_entries(wanted: &[(String, Json)], found: &[(String, Json)]) -> Option<String> {
    let is_label = |key: &str| LABELS.contains(&key);
    for (key, value) in wanted.iter().filter(|(key, _)| !is_label(key)) {
        match found.iter().find(|(name, _)| name == key) {
            None => return Some(format!("metadata has no {key}")),
            Some((_, other)) if !same(value, other) => return Some(format!("metadata: {key} differs")),
            Some(_) => {}
        }
    }
    let extra = found.iter().find(|(key, _)| !is_label(key) && !wanted.iter().any(|(name, _)| name == key))?;
    Some(format!("metadata has a {} that nobody wrote", extra.0))
}

/// Whether two values mean the same to an index: numbers as f64, keys in any order.
fn same(wanted: &Json, found: &Json) -> bool {
    match (wanted, found) {
        (Json::Null, Json::Null) => true,
        (Json::Bool(a), Json::Bool(b)) => a == b,
        (Json::String(a), Json::String(b)) => a == b,
        (Json::Number(a), Json::Number(b)) => {
            a == b
                || matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if a.total_cmp(&b).is_eq() || (a == 0.0 && b == 0.0))
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            let there = |(key, value): &(String, Json)| {
                b.iter().find(|(name, _)| name == key).is_some_and(|(_, other)| same(value, other))
            };
            a.len() == b.len() && a.iter().all(there)
        }
        (
            Json::Null | Json::Bool(_) | Json::String(_) | Json::Number(_) | Json::Array(_) | Json::Object(_),
            Json::Null | Json::Bool(_) | Json::String(_) | Json::Number(_) | Json::Array(_) | Json::Object(_),
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::IndexLimits;
    use crate::store::record::Rows;
    use crate::store::vector;

    const LIMITS: IndexLimits = IndexLimits {
        upsert_records: 10,
        upsert_bytes: 100_000,
        delete_ids: 10,
        metadata_bytes: 40_960,
        query_namespaces: None,
        rates: None,
    };
    const FACTS: Facts<'_> = Facts {
        namespace: "n",
        rules: Rules { corpus: "ours", limits: LIMITS, dimension: None },
        now: 1_000_000,
        settled_ms: 600_000,
    };

    fn rows() -> Rows {
        Rows {
            embedding_id: "e".to_owned(),
            vector: vector::to_bytes(&[1.0, 0.1]),
            chunk_id: "c".to_owned(),
            chunk_index: 3,
            text: "Text".to_owned(),
            document_id: "d".to_owned(),
            title: "Title".to_owned(),
            document_metadata: Some(r#"{"big":123456789012345678901,"list":["a","b"],"half":0.5}"#.to_owned()),
            ..Rows::default()
        }
    }

    fn sent() -> VectorRecord {
        preflight::check(&rows(), "n", "e", 2, FACTS.rules).unwrap().record
    }

    fn slot() -> Compared {
        Compared {
            vector_id: "e".to_owned(),
            present: true,
            want_rev: 2,
            clean: true,
            acked_at: Some(0),
            acked_hash: Some(preflight::check(&rows(), "n", "e", 2, FACTS.rules).unwrap().hash),
            rows: Some(rows()),
        }
    }

    fn gone() -> Compared {
        Compared { present: false, acked_hash: Some("absent".to_owned()), rows: None, ..slot() }
    }

    fn record(metadata: &str) -> VectorRecord {
        VectorRecord { id: "e".to_owned(), values: vec![1.0, 0.1], metadata: metadata.to_owned() }
    }

    fn verdict(slot: Option<&Compared>, record: Option<&VectorRecord>) -> Verdict {
        judge(Pair { id: "e", listed: record.is_some(), slot }, record, FACTS)
    }

    fn class(slot: Option<&Compared>, record: &VectorRecord) -> Option<Class> {
        match verdict(slot, Some(record)) {
            Verdict::Found(class, _) => Some(class),
            Verdict::Fine | Verdict::Skipped => None,
        }
    }

    #[test]
    fn two_lists_merge_bytewise() {
        let listed = ["B", "a", "b", "é"].map(str::to_owned);
        let slots = ["A", "B", "b", "z", "é"].map(|id| Compared { vector_id: id.to_owned(), ..slot() });
        let merged: Vec<(&str, bool, bool)> =
            merge(&listed, &slots).into_iter().map(|pair| (pair.id, pair.listed, pair.slot.is_some())).collect();
        assert_eq!(
            merged,
            [
                ("A", false, true),
                ("B", true, true),
                ("a", true, false),
                ("b", true, true),
                ("z", false, true),
                ("é", true, true)
            ]
        );
        assert!(merge(&[], &[]).is_empty());
    }

    #[test]
    fn every_row_of_the_table_has_its_class() {
        let ours = record(r#"{"_cd_corpus":"ours"}"#);
        let legacy = record(r#"{"embedding_id":"e","chunk_id":"c","document_id":"d","text":"t"}"#);
        assert_eq!(verdict(Some(&slot()), None), Verdict::Found(Class::Missing, None));
        assert_eq!(verdict(Some(&slot()), Some(&sent())), Verdict::Fine);
        assert_eq!(class(Some(&slot()), &ours), Some(Class::Stale));
        assert_eq!(class(Some(&slot()), &legacy), Some(Class::Stale));
        assert_eq!(verdict(Some(&gone()), None), Verdict::Fine);
        assert_eq!(class(Some(&gone()), &ours), Some(Class::Resurrected));
        assert_eq!(class(None, &ours), Some(Class::Orphaned));
        assert_eq!(class(None, &record(r#"{"_cd_corpus":"theirs"}"#)), Some(Class::Foreign));
        assert_eq!(class(None, &record("{}")), Some(Class::Foreign));
        assert_eq!(class(None, &legacy), Some(Class::Legacy));
        assert_eq!(verdict(None, None), Verdict::Fine);
    }

    #[test]
    fn what_others_wrote_under_an_id_of_ours_that_is_gone_is_theirs() {
        assert_eq!(class(Some(&gone()), &record("{}")), Some(Class::Foreign));
        let marked = record(r#"{"embedding_id":"e","chunk_id":"c","document_id":"d","_cd_doc":"d"}"#);
        assert_eq!(class(Some(&gone()), &marked), Some(Class::Foreign));
    }

    #[test]
    fn slots_that_are_not_clean_or_were_written_a_moment_ago_are_passed_over() {
        for slot in [
            Compared { clean: false, ..slot() },
            Compared { acked_at: Some(FACTS.now - FACTS.settled_ms + 1), ..slot() },
            Compared { acked_at: Some(FACTS.now + 1), ..slot() },
            Compared { rows: None, ..slot() },
        ] {
            for found in [None, Some(&sent())] {
                assert_eq!(verdict(Some(&slot), found), Verdict::Skipped);
            }
            assert!(!needs_record(Pair { id: "e", listed: true, slot: Some(&slot) }, FACTS));
        }
        assert_eq!(
            verdict(Some(&Compared { acked_at: Some(FACTS.now - FACTS.settled_ms), ..slot() }), Some(&sent())),
            Verdict::Fine
        );
    }

    #[test]
    fn a_label_proves_nothing() {
        let told = |record: &VectorRecord| {
            let verdict = verdict(Some(&slot()), Some(record));
            let Verdict::Found(Class::Stale, Some(detail)) = verdict else { panic!("{verdict:?}") };
            detail
        };
        let sent = sent();
        let with = |old: &str, new: &str| {
            assert!(sent.metadata.contains(old), "{}", sent.metadata);
            VectorRecord { metadata: sent.metadata.replace(old, new), ..sent.clone() }
        };
        assert_eq!(
            told(&VectorRecord { values: vec![1.0, 0.100_000_01], ..sent.clone() }),
            "number 1 of the vector differs"
        );
        assert_eq!(told(&VectorRecord { values: vec![1.0], ..sent.clone() }), "it has 1 numbers, and the vector has 2");
        assert_eq!(told(&with("\"Title\"", "\"Old\"")), "metadata: document_title differs");
        assert_eq!(told(&with("[\"a\",\"b\"]", "[\"b\",\"a\"]")), "metadata: list differs");
        assert_eq!(told(&with("\"half\":0.5,", "")), "metadata has no half");
        assert_eq!(told(&with("\"half\":0.5,", "\"half\":0.5,\"more\":1,")), "metadata has a more that nobody wrote");
        let hash = slot().acked_hash.unwrap();
        assert_eq!(told(&with(&hash, "0")), "its label is not the one that was acknowledged");
    }

    #[test]
    fn numbers_compare_as_an_index_keeps_them_and_revisions_do_not_count() {
        let sent = sent();
        let as_kept = sent
            .metadata
            .replace("\"half\":0.5", "\"half\":5e-1")
            .replace("\"chunk_index\":3", "\"chunk_index\":3.0")
            .replace("\"_cd_rev\":2", "\"_cd_rev\":1.0");
        assert_ne!(as_kept, sent.metadata);
        let kept = VectorRecord { metadata: as_kept, ..sent };
        assert_eq!(verdict(Some(&slot()), Some(&kept)), Verdict::Fine);
        assert_eq!(revision(&kept), Some(1));
    }

    #[test]
    fn keys_may_come_in_any_order() {
        let mut turned = entries(&sent().metadata);
        turned.reverse();
        let turned = record(&Json::Object(turned).to_string());
        assert_eq!(verdict(Some(&slot()), Some(&turned)), Verdict::Fine);
    }

    #[test]
    fn a_record_is_fetched_when_it_is_listed_and_nothing_of_it_is_on_its_way() {
        let slot = slot();
        let pair = |listed, slot| Pair { id: "e", listed, slot };
        assert!(needs_record(pair(true, Some(&slot)), FACTS));
        assert!(needs_record(pair(true, None), FACTS));
        assert!(!needs_record(pair(false, Some(&slot)), FACTS));
    }

    #[test]
    fn values_are_the_same_by_what_they_mean() {
        let json = |text: &str| Json::parse(text.as_bytes(), Literals::Python).unwrap();
        for (one, other) in [
            ("null", "null"),
            ("true", "true"),
            ("10", "1e1"),
            ("0", "-0.0"),
            ("[1,[\"a\"]]", "[1.0,[\"a\"]]"),
            ("{\"a\":1,\"b\":{}}", "{\"b\":{},\"a\":1.0}"),
        ] {
            assert!(same(&json(one), &json(other)), "{one} {other}");
        }
        for (one, other) in [
            ("null", "false"),
            ("true", "false"),
            ("\"1\"", "1"),
            ("1", "2"),
            ("[1]", "[1,2]"),
            ("[1,2]", "[1]"),
            ("[1,2]", "[2,1]"),
            ("{\"a\":1}", "{\"a\":2}"),
            ("{\"a\":1}", "{\"b\":1}"),
            ("{\"a\":1}", "{\"a\":1,\"b\":1}"),
            ("{\"a\":1,\"b\":1}", "{\"a\":1}"),
            ("[]", "{}"),
        ] {
            assert!(!same(&json(one), &json(other)), "{one} {other}");
        }
    }

    #[test]
    fn rows_that_would_be_refused_now_are_stale() {
        let refused = Compared { rows: Some(Rows { vector: vector::to_bytes(&[0.0, 0.0]), ..rows() }), ..slot() };
        let detail = Some("the rows would be refused: vector_zero".to_owned());
        assert_eq!(verdict(Some(&refused), Some(&sent())), Verdict::Found(Class::Stale, detail));
    }

    proptest::proptest! {
        #[test]
        fn a_merge_has_everything_once_and_in_order(
            listed in proptest::collection::btree_set("[a-c]{1,3}", 0..12),
            slots in proptest::collection::btree_set("[a-c]{1,3}", 0..12),
        ) {
            let ids: Vec<String> = listed.iter().cloned().collect();
            let compared: Vec<Compared> =
                slots.iter().map(|id| Compared { vector_id: id.clone(), ..Compared::default() }).collect();
            let merged = merge(&ids, &compared);
            let all: Vec<&str> = listed.union(&slots).map(String::as_str).collect();
            proptest::prop_assert_eq!(merged.iter().map(|pair| pair.id).collect::<Vec<_>>(), all);
            for pair in merged {
                proptest::prop_assert_eq!(pair.listed, listed.contains(pair.id));
                proptest::prop_assert_eq!(pair.slot.is_some(), slots.contains(pair.id));
            }
        }
    }
}
