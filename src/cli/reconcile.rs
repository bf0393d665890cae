//! `corpusd reconcile` and `corpusd sync rebase`: compare the index with the rows, and bring it to them.
//!
//! Both queue a job and follow it; the engine runs here only when no server does.

use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::Command;

use crate::app::App;
use crate::cli::Failure;
use crate::cli::follow;
use crate::cli::follow::Engine;
use crate::cli::say;
use crate::cli::tell;
use crate::clock::Clock;
use crate::config::Config;
use crate::entity::sync_job::Model;
use crate::error::Error;
use crate::rest::reconcile::ReconcileOut;
use crate::service::jobs;
use crate::service::jobs::JobState;
use crate::service::reconcile;
use crate::service::reconcile::Class;
use crate::service::reconcile::Mode;
use crate::service::reconcile::Outcome;
use crate::service::reconcile::Report;
use crate::store::slots;

/// Findings of each class that are printed.
const SHOWN: u64 = 10;
/// Namespaces that are named.
const NAMESPACES: usize = 10;

/// The arguments of `reconcile`.
pub fn command() -> Command {
    let switch =
        |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("reconcile")
        .about("Compares every record of the index with the rows, and mends what differs when asked to")
        .long_about(
            "Compares every record of the index with what the rows would send now. Ends with 0 when they are equal, \
             with 3 when differences were found (mended or not), with 4 when nothing differs of what was compared and \
             some records were passed over, with 1 when the check failed. A difference counts when \
             it was seen twice, one doubt window (CORPUSD_SYNC_DOUBT_S) apart, so finding some takes as long. Records \
             that are on their way, or were written within CORPUSD_RECONCILE_SETTLED_S, are passed over and counted. \
             What others wrote into the index is told and never touched. Beside a running server the command \
             queues the check there.",
        )
        .arg(switch("repair", "Mend the differences: send what is missing or stale, delete what no row wants"))
        .arg(
            switch("remove-legacy", "With --repair: also delete what an older exporter left, without a mark of ours")
                .requires("repair"),
        )
        .arg(switch("json", "Print the report as JSON, with the first hundred findings of each class"))
}

/// The arguments of `sync`.
pub fn sync_command(settings: Vec<Arg>) -> Command {
    Command::new("sync").about("Care for the index").subcommand_required(true).arg_required_else_help(true).subcommand(
        Command::new("rebase")
            .about("Sends everything to the index again and deletes what no row wants: after restoring a backup")
            .args(settings),
    )
}

/// Compares, and prints what was found.
pub async fn run(matches: &ArgMatches, config: Config) -> Result<(), Failure> {
    let app = App::open(config, &Clock::system()).await?;
    let outcome = check(&app, matches).await;
    app.close().await;
    outcome
}

async fn check(app: &App, matches: &ArgMatches) -> Result<(), Failure> {
    let mode = if matches.get_flag("repair") { Mode::Repair } else { Mode::Check };
    let (job, _) = reconcile::start(app.cx(), mode, matches.get_flag("remove-legacy")).await?;
    let outcome = follow_check(app, &job).await?;
    if matches.get_flag("json") {
        let body = ReconcileOut::of(app.cx(), outcome.clone()).await?;
        say(&serde_json::to_string_pretty(&body).map_err(|error| Failure::Failed(error.to_string()))?);
    } else {
        print(app, &outcome).await?;
    }
    match (outcome.report.differences(), outcome.report.skipped) {
        (0, 0) => Ok(()),
        (0, passed) => Err(Failure::Incomplete(format!("{passed} records could not be compared yet"))),
        (count, _) => Err(Failure::Differs(format!("{count} differences found"))),
    }
}

/// Sends everything again, and prints what was deleted.
pub async fn rebase(config: Config) -> Result<(), Failure> {
    let app = App::open(config, &Clock::system()).await?;
    let outcome = async {
        let job = reconcile::rebase(app.cx()).await?;
        let outcome = follow_check(&app, &job).await?;
        print(&app, &outcome).await
    };
    let outcome = outcome.await;
    app.close().await;
    outcome
}

async fn follow_check(app: &App, job: &Model) -> Result<Outcome, Failure> {
    let job = follow::job(app, &job.id, "comparing", Engine::Alone).await?;
    let report = reconcile::report(&job).unwrap_or_default();
    match jobs::state(&job) {
        JobState::Completed => Ok(Outcome { job, report }),
        JobState::CompletedWithErrors => {
            eprintln!("corpusd: {} records were refused by the index: syncSlots over GraphQL tells why", job.failed);
            Ok(Outcome { job, report })
        }
        JobState::Cancelled => Err(Failure::Failed("the check was cancelled".to_owned())),
        JobState::Failed | JobState::Queued | JobState::Running | JobState::Settling | JobState::Verifying => {
            let reason = job.error_text.unwrap_or_else(|| job.state.clone());
            Err(Failure::Failed(format!("the check failed: {reason}")))
        }
    }
}

/// Which index this is about.
async fn compared(app: &App) -> Result<String, Failure> {
    let (cx, index) = (app.cx(), app.cx().index());
    let named = match index.place() {
        Some(place) => format!("the {} index {} at {place}", index.kind(), cx.config().index.name),
        None => format!("the {} index", index.kind()),
    };
    let mut namespaces = slots::namespaces(cx.read(), cx.target_id(), NAMESPACES + 1).await.map_err(Error::from)?;
    let more = if namespaces.len() > NAMESPACES { ", …" } else { "" };
    namespaces.truncate(NAMESPACES);
    Ok(match namespaces.as_slice() {
        [] => format!("compared with {named}"),
        [one] => format!("compared with {named}, namespace {one}"),
        several => format!("compared with {named}, namespaces {}{more}", several.join(", ")),
    })
}

async fn print(app: &App, outcome: &Outcome) -> Result<(), Failure> {
    let Outcome { job, report } = outcome;
    let Report { checked, skipped, repaired, .. } = report;
    say(&format!("{checked} compared, {skipped} passed over, {repaired} mended"));
    tell(&compared(app).await?);
    for class in Class::ALL {
        let count = report.count(class);
        if count == 0 {
            continue;
        }
        say(&format!("{count} {}", class.name()));
        let rows = reconcile::first_findings(app.cx(), &job.id, class, SHOWN).await?;
        for row in &rows {
            let detail = row.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
            tell(&format!("  {} in {}{detail}", row.vector_id, row.namespace));
        }
        let more = count - i64::try_from(rows.len()).unwrap_or(i64::MAX);
        if more > 0 {
            say(&format!("  and {more} more: syncJob(id: \"{}\") over GraphQL pages them", job.id));
        }
    }
    Ok(())
}
