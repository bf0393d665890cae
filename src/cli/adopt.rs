//! `corpusd adopt`: copy a database of the older FastAPI application, and say what came over.

use std::path::PathBuf;

use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::Command;

use crate::app::App;
use crate::cli::Failure;
use crate::cli::args;
use crate::cli::say;
use crate::cli::tell;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::settings;
use crate::service::adopt;
use crate::service::adopt::Report;
use crate::store::connect::Location;

/// The command's arguments.
pub fn command() -> Command {
    Command::new("adopt")
        .about("Copies a database of the older FastAPI application into a new one, and reports every odd row")
        .arg(Arg::new("from").long("from").required(true).value_name("URL").help("The old database; it is only read"))
        .arg(Arg::new("to").long("to").required(true).value_name("URL").help("The new database; it must be empty"))
        .arg(
            Arg::new("strict")
                .long("strict")
                .action(ArgAction::SetTrue)
                .help("End with 1 when a row was left out or changed; the others are copied all the same"),
        )
}

/// Copies, and prints the report.
pub async fn run(matches: &ArgMatches, mut config: Config) -> Result<(), Failure> {
    let url = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let (from, to) = (url("from"), url("to"));
    args::check_url("--from", &from)?;
    args::check_url("--to", &to)?;
    let source = Location::parse(&from).map_err(Failure::Usage)?;
    if Location::parse(&to).as_ref() == Ok(&source) {
        return Err(Failure::Usage("--from and --to are the same database".to_owned()));
    }
    if let Location::Sqlite(path) = &source
        && !path.is_file()
    {
        return Err(Failure::Failed(format!("--from: there is no file {}", path.display())));
    }
    config.database.url.clone_from(&to);
    let database = config.database.clone();
    let made = NewFile::of(&to);
    let app = App::open(config, &Clock::system()).await;
    let report = match app {
        Ok(app) => {
            let report = adopt::adopt(app.cx(), source, database).await;
            app.close().await;
            report.map_err(Failure::from)
        }
        Err(error) => Err(error.into()),
    };
    if report.is_err() {
        made.remove();
    }
    let report = report?;
    print(&report, &settings::redacted(&from), &settings::redacted(&to));
    match report.findings.len() {
        odd if odd > 0 && matches.get_flag("strict") => {
            Err(Failure::Failed(format!("{odd} findings, and --strict was asked for")))
        }
        _ => Ok(()),
    }
}

/// A SQLite file that was not there before.
struct NewFile(Option<PathBuf>);

impl NewFile {
    fn of(url: &str) -> Self {
        match Location::parse(url) {
            Ok(Location::Sqlite(path)) if path.symlink_metadata().is_err() => Self(Some(path)),
            Ok(Location::Sqlite(_) | Location::Postgres(_)) | Err(_) => Self(None),
        }
    }

    /// Leaves nothing of it.
    fn remove(self) {
        let Some(path) = self.0 else { return };
        for ending in ["", "-wal", "-shm", "-journal"] {
            let mut file = path.clone().into_os_string();
            file.push(ending);
            // Most of them are not there.
            let _ = std::fs::remove_file(file);
        }
    }
}

fn print(report: &Report, from: &str, to: &str) {
    tell(&format!("adopted {from} into {to}"));
    for (name, count) in [("documents", report.documents), ("chunks", report.chunks), ("embeddings", report.embeddings)]
    {
        say(&format!("  {name:<10} {} of {}", count.copied, count.of));
    }
    say("last_synced_at is told by the index here: it starts anew when a record has been sent");
    if report.findings.is_empty() {
        say("every row came over as it was");
        return;
    }
    say(&format!("{} findings:", report.findings.len()));
    for finding in &report.findings {
        tell(&format!("  {finding}"));
    }
}
