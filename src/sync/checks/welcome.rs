//! Whose records does the index hold? Asked before a process writes to it first, and after every pause.
//!
//! Two mistakes are found here that would otherwise destroy something quietly: an index
//! that another corpus writes to, and a database that was restored from a backup, whose
//! slots know less than the index holds. A handful of records is looked at; the target
//! is paused with the command that helps, and the API goes on.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::error::Result;
use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::VectorRecord;
use crate::store::reconcile::repair::Known;
use crate::store::targets::Look;
use crate::store::targets::TargetState;
use crate::sync::checks::Checks;
use crate::sync::reconcile::Mark;
use crate::sync::reconcile::mark;
use crate::sync::reconcile::revision;
use crate::sync::worker::Engine;
use crate::sync::worker::State;

/// Namespaces that are looked into.
const NAMESPACES: usize = 4;
/// Records of each that are listed, and slots that were acknowledged lately.
const RECORDS: usize = 25;

/// A record that was looked at, and its slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What the index holds.
    pub record: VectorRecord,
    /// What the slot says.
    pub slot: Option<Known>,
}

/// What a handful of records say of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Welcome {
    /// It may be written to.
    Ours,
    /// It holds the records of this other corpus.
    Theirs(String),
    /// It holds newer revisions than the slots.
    Newer,
}

/// Decides by a handful of records; `known` says that this index was found to be ours, or free, before.
#[must_use]
pub fn decide(samples: &[Sample], corpus: &str, known: bool) -> Welcome {
    let mut ours = false;
    let mut theirs = None;
    for Sample { record, slot } in samples {
        match mark(record) {
            Mark::Corpus(mark) if mark == corpus => {
                ours = true;
                let newer = |slot: &Known| slot.held && revision(record).is_some_and(|rev| rev > slot.want_rev);
                if slot.as_ref().is_some_and(newer) {
                    return Welcome::Newer;
                }
            }
            // The index acknowledged a record of ours here.
            Mark::Corpus(other) if slot.as_ref().is_some_and(|slot| slot.held) => return Welcome::Theirs(other),
            Mark::Corpus(other) => theirs = theirs.or(Some(other)),
            Mark::Older | Mark::None => {}
        }
    }
    match theirs {
        Some(other) if !ours && !known => Welcome::Theirs(other),
        Some(_) | None => Welcome::Ours,
    }
}

impl Engine {
    /// Whether the index may be written to; else the target is paused, or could not be asked.
    pub(in crate::sync) async fn welcome(&self, state: &mut State, look: &Look) -> Result<bool> {
        let Some(checks) = self.checks() else { return Ok(true) };
        let corpus = self.corpus(state).await?;
        let samples = match self.samples(checks).await? {
            Ok(samples) => samples,
            Err(error) => {
                tracing::debug!(%error, "the index did not tell whose records it holds");
                self.note_failure(state, &error);
                if error.kind == IndexErrorKind::TargetFault {
                    state.fault = Some(error.detail);
                }
                self.note_target(state, look, false).await?;
                state.fault = None;
                return Ok(false);
            }
        };
        let known = checks.welcomed().await?.as_deref() == Some(&corpus);
        let reason = match decide(&samples, &corpus, known) {
            Welcome::Ours => {
                if !known {
                    checks.welcome(&corpus).await?;
                }
                state.welcomed = Some(look.generation);
                return Ok(true);
            }
            Welcome::Theirs(other) => {
                let other: String = other.chars().take(64).collect();
                format!(
                    "the index holds records of another corpus ({other}): use another index, or run \
                     `corpusd sync rebase` to write this corpus into it beside them"
                )
            }
            Welcome::Newer => "the index holds newer revisions than this database knows, as after restoring a backup: \
                 run `corpusd sync rebase` to bring the index to what this database says"
                .to_owned(),
        };
        if look.state != TargetState::Paused || look.reason.as_ref() != Some(&reason) {
            tracing::error!(reason, "nothing is written to the index");
        }
        self.store().set_state(TargetState::Paused, Some(&reason)).await?;
        Ok(false)
    }

    async fn samples(&self, checks: &dyn Checks) -> Result<std::result::Result<Vec<Sample>, IndexError>> {
        let index = self.index();
        let stats = match self.ask(index.stats()).await {
            Ok(stats) => stats,
            Err(error) => return Ok(Err(error)),
        };
        let mut names = stats.namespaces;
        names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        names.truncate(NAMESPACES);
        let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (namespace, id) in checks.lately(RECORDS as u64).await? {
            keys.entry(namespace).or_default().insert(id);
        }
        for (name, _) in names {
            match self.ask(index.list(&name, None, RECORDS)).await {
                Ok(page) => keys.entry(name).or_default().extend(page.ids),
                Err(error) => return Ok(Err(error)),
            }
        }
        let mut samples = Vec::new();
        for (namespace, ids) in keys {
            let ids: Vec<String> = ids.into_iter().collect();
            let records = match self.ask(index.fetch(&namespace, &ids)).await {
                Ok(records) => records,
                Err(error) => return Ok(Err(error)),
            };
            let named: Vec<&str> = ids.iter().map(String::as_str).collect();
            let slots = checks.known(&namespace, &named).await?;
            samples.extend(records.into_iter().map(|record| {
                let slot = slots.iter().find(|slot| slot.vector_id == record.id).cloned();
                Sample { record, slot }
            }));
        }
        Ok(Ok(samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(metadata: &str, slot: Option<(i64, bool)>) -> Sample {
        let record = VectorRecord { id: "e".to_owned(), values: vec![1.0], metadata: metadata.to_owned() };
        let slot = slot.map(|(want_rev, held)| Known { vector_id: "e".to_owned(), want_rev, held });
        Sample { record, slot }
    }

    const OURS: &str = r#"{"_cd_corpus":"ours","_cd_rev":7}"#;
    const THEIRS: &str = r#"{"_cd_corpus":"theirs","_cd_rev":7}"#;

    #[test]
    fn an_empty_index_and_one_of_strangers_without_a_mark_are_free() {
        assert_eq!(decide(&[], "ours", false), Welcome::Ours);
        assert_eq!(decide(&[sample("{}", None)], "ours", false), Welcome::Ours);
    }

    #[test]
    fn an_index_of_another_corpus_is_refused_until_somebody_says_it_is_fine() {
        let theirs = Welcome::Theirs("theirs".to_owned());
        assert_eq!(decide(&[sample(THEIRS, None)], "ours", false), theirs);
        assert_eq!(decide(&[sample(THEIRS, None)], "ours", true), Welcome::Ours);
        assert_eq!(decide(&[sample(OURS, None), sample(THEIRS, None)], "ours", false), Welcome::Ours);
    }

    #[test]
    fn another_corpus_that_writes_over_records_of_ours_is_refused_in_any_case() {
        assert_eq!(decide(&[sample(THEIRS, Some((7, true)))], "ours", true), Welcome::Theirs("theirs".to_owned()));
        assert_eq!(decide(&[sample(THEIRS, Some((7, false)))], "ours", true), Welcome::Ours);
    }

    #[test]
    fn a_revision_that_no_slot_has_reached_tells_of_a_restored_database() {
        assert_eq!(decide(&[sample(OURS, Some((6, true)))], "ours", true), Welcome::Newer);
        assert_eq!(decide(&[sample(OURS, Some((7, true)))], "ours", true), Welcome::Ours);
        // A new generation sends everything again, whatever is there.
        assert_eq!(decide(&[sample(OURS, Some((6, false)))], "ours", true), Welcome::Ours);
        assert_eq!(decide(&[sample(OURS, None)], "ours", true), Welcome::Ours);
    }
}
