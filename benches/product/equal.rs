//! What it costs to find out that nothing is to be done: a job over records that are all as they should be, and a
//! check that compares every one of them with its row.

use std::time::Duration;
use std::time::Instant;

use corpusd::app::App;
use corpusd::emulator::Emulator;
use corpusd::emulator::Options;
use corpusd::service::jobs;
use corpusd::service::jobs::Scope;
use corpusd::service::reconcile;
use corpusd::service::reconcile::Mode;

use crate::export;
use crate::median;
use crate::memory;

/// Numbers of a vector.
const WIDTH: usize = 256;
/// Jobs; the median counts.
const JOBS: usize = 5;

/// Exports `count` vectors to the emulator, and then asks whether all is well.
pub async fn measure(count: usize) {
    let emulator = Emulator::start(Options::default()).await.expect("the emulator starts");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = export::filled(&folder.path().join("equal.db"), &emulator.url(), WIDTH, count).await;
    export::send(&app, count).await;

    let (mut starts, mut wholes) = (Vec::new(), Vec::new());
    for _ in 0..JOBS {
        let (start, whole) = nothing(&app).await;
        starts.push(start.as_secs_f64() * 1_000.0);
        wholes.push(whole.as_secs_f64() * 1_000.0);
    }
    let (start, whole) = (median(starts), median(wholes));
    println!("| a job over {count} records that are there | {whole:.1} ms, {start:.1} ms of them its start | | | |");

    let idle = memory::resident();
    memory::forget_peak();
    let begin = Instant::now();
    let (job, _) = reconcile::start(app.cx(), Mode::Check, false).await.expect("a check");
    app.sync().run_until_idle().await.expect("the engine works");
    let seconds = begin.elapsed().as_secs_f64();
    let more = memory::peak().saturating_sub(idle) >> 20;
    let job = jobs::get(app.cx(), &job.id).await.expect("the job");
    let report = reconcile::report(&job).expect("a report");
    assert_eq!(job.state, "completed", "{report:?}");
    println!(
        "| a check of every one of {count} records of {WIDTH} numbers | {seconds:.1} s | | | {more} MiB more memory |"
    );
    app.close().await;
    emulator.shutdown().await;
}

/// How long a job that finds nothing to do takes: its start, and all of it.
async fn nothing(app: &App) -> (Duration, Duration) {
    let begin = Instant::now();
    let (job, _) = jobs::start(app.cx(), Scope::Unsynced).await.expect("a job");
    let start = begin.elapsed();
    app.sync().run_until_idle().await.expect("the engine works");
    let whole = begin.elapsed();
    let job = jobs::get(app.cx(), &job.id).await.expect("the job");
    assert_eq!((job.state.as_str(), job.total), ("completed", 0));
    (start, whole)
}
