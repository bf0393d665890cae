//! The checks can fail: with one rule taken out of the database, some seed soon finds an index that differs.
//!
//! The seeds begin near one that is known to notice, so that the wait is short; any thousand or two will do.

use std::ops::Range;

use crate::random::run;
use crate::tables::Broken;

/// Some seed notices, and not by the marks of a row: by what the index holds.
fn diverges(rule: Broken, seeds: Range<u64>, kinds: &[&str]) {
    let tells = |failure: &String| kinds.iter().any(|kind| failure.starts_with(kind));
    let noticed = seeds.clone().find(|seed| run(*seed, Some(rule), false).failure.as_ref().is_some_and(tells));
    println!("{rule:?}: {noticed:?}");
    assert!(noticed.is_some(), "{rule:?}: nobody notices in {seeds:?}");
}

/// The index is not what the rows say: in the end, for a job, or for `syncedThrough`.
const DIFFERS: [&str; 3] = ["P2:", "P3:", "syncedThrough"];

#[test]
fn without_the_doubt_window_the_index_differs() {
    diverges(Broken::Doubt, 0..400, &DIFFERS);
}

#[test]
fn without_the_compare_of_an_acknowledgement_the_index_differs() {
    diverges(Broken::Compare, 0..200, &DIFFERS);
}

#[test]
fn without_the_report_on_ourselves_the_index_differs() {
    diverges(Broken::SelfReport, 400..2_000, &DIFFERS);
}

#[test]
fn with_the_epoch_of_the_last_touch_a_job_completes_too_early() {
    diverges(Broken::Epoch, 800..3_000, &["P3:"]);
}

#[test]
fn when_an_acknowledgement_from_before_a_leap_back_settles_a_doubt_the_index_differs() {
    diverges(Broken::Leap, 1_800..5_000, &DIFFERS);
}
