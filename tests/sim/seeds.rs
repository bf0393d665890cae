//! Many seeds, and the same seed again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::random::run;

/// The seeds of an ordinary run; `CORPUSD_SIM_SEEDS=first..last` runs others.
fn seeds() -> std::ops::Range<u64> {
    let Some(given) = std::env::var_os("CORPUSD_SIM_SEEDS") else { return 0..10_000 };
    let given = given.into_string().expect("first..last");
    let (first, last) = given.split_once("..").expect("first..last");
    first.parse().expect("a number")..last.parse().expect("a number")
}

/// What happened in one seed, told as a story.
fn tell(seed: u64) -> String {
    let outcome = run(seed, None, true);
    let failure = outcome.failure.unwrap_or_else(|| "nothing".to_owned());
    let last = outcome.told.len().saturating_sub(600);
    format!(
        "{}\nseed {seed} fails: {failure}\nagain: CORPUSD_SIM_SEEDS={seed}..{} cargo test --test sim every_seed",
        outcome.told[last..].join("\n"),
        seed + 1
    )
}

#[test]
fn every_seed_keeps_every_promise() {
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    let failed: Mutex<Vec<u64>> = Mutex::default();
    let covered: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    let completed = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = run(seed, None, false);
                    if outcome.failure.is_some() {
                        failed.lock().unwrap().push(seed);
                    }
                    completed.fetch_add(outcome.completed, Ordering::Relaxed);
                    let mut covered = covered.lock().unwrap();
                    for (label, count) in outcome.covered {
                        *covered.entry(label).or_default() += count;
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_unstable();
    println!("completed jobs: {}; {:?}", completed.into_inner(), covered.into_inner().unwrap());
    if let Some(seed) = failed.first() {
        panic!(
            "{}\n{} of {} seeds fail: {:?}",
            tell(*seed),
            failed.len(),
            seeds.end - seeds.start,
            &failed[..failed.len().min(20)]
        );
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..40 {
        let (one, two) = (run(seed, None, true), run(seed, None, true));
        assert_eq!(one.told, two.told, "seed {seed}");
        assert_eq!(one.fingerprint, two.fingerprint);
        assert_ne!(one.fingerprint, run(seed + 1, None, false).fingerprint);
    }
}
