//! The command line: parse arguments, load the configuration, call one function.
//!
//! Answers go to standard output, everything else to standard error. Exit codes:
//! 0 done, 1 failed, 2 wrong usage, 3 differences found.

mod adopt;
mod args;
mod audit;
mod backup;
mod demo;
mod dot_env;
mod emulate;
mod export;
mod follow;
mod health;
mod import;
mod keys;
mod progress;
mod reconcile;
mod serve;
mod tasks;

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use sea_orm::DbErr;

use crate::config::Config;
use crate::config::LogConfig;
use crate::store::connect;
use crate::store::connect::OpenError;
use crate::telemetry;

/// Why a command did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Something went wrong: exit code 1.
    Failed(String),
    /// The command cannot be meant like this: exit code 2.
    Usage(String),
    /// The index is not what the rows say: exit code 3.
    Differs(String),
    /// Nothing differs of what could be compared, and not everything could be: exit code 4.
    Incomplete(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) | Self::Usage(text) | Self::Differs(text) | Self::Incomplete(text) => f.write_str(text),
        }
    }
}

impl Failure {
    fn code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Differs(_) => ExitCode::from(3),
            Self::Incomplete(_) => ExitCode::from(4),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<crate::error::Error> for Failure {
    fn from(error: crate::error::Error) -> Self {
        // The person at the terminal owns the database: the cause is theirs to see.
        if let crate::error::Error::Internal(cause) = &error {
            let database = cause.downcast_ref::<DbErr>().map(connect::told);
            return Self::Failed(database.unwrap_or_else(|| format!("{cause:#}")));
        }
        Self::Failed(error.to_string())
    }
}

/// Runs the command of this process and gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let matches = match args::command().try_get_matches() {
        Ok(matches) => matches,
        Err(help_or_error) => {
            // Help on a closed pipe has nobody to tell.
            let _ = help_or_error.print();
            return ExitCode::from(u8::try_from(help_or_error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::Failed(format!("no threads to run on: {error}"))),
    };
    let outcome = runtime.block_on(run(&matches));
    runtime.shutdown_timeout(Duration::from_millis(500));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    let lines: Vec<String> = failure.to_string().split('\n').map(printable).collect();
    eprintln!("corpusd: {}", lines.join("\n"));
    failure.code()
}

async fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((name, matches)) = matches.subcommand() else {
        return Err(Failure::Usage("no command".to_owned()));
    };
    let outer = name;
    let (name, matches) = match matches.subcommand() {
        Some((inner, matches)) if ["sync", "keys", "audit"].contains(&name) => (inner, matches),
        Some(_) | None => (name, matches),
    };
    let mut config = args::config(matches)?;
    if ["demo", "import", "reconcile", "sync", "keys", "audit"].contains(&outer) {
        quieten(&mut config);
    }
    telemetry::start(&config);
    if ["serve", "demo"].contains(&name) {
        serve::trust(&mut config).await?;
    }
    match name {
        _ if outer == "keys" => keys::run(name, matches, config).await,
        _ if outer == "audit" => audit::run(name, matches, config).await,
        "serve" => serve::run(config).await,
        "demo" => demo::run(config).await,
        "import" => import::run(matches, config).await,
        "reconcile" => reconcile::run(matches, config).await,
        "rebase" => reconcile::rebase(config).await,
        "adopt" => adopt::run(matches, config).await,
        "emulate-pinecone" => emulate::run(matches).await,
        "schema" => {
            tasks::schema();
            Ok(())
        }
        "backup" => backup::run(matches, config).await,
        "health" => health::run(config).await,
        "migrate" => tasks::migrate(&config).await,
        other => Err(Failure::Usage(format!("no command {other}"))),
    }
}

/// Beside a progress bar, and unless something else was asked for, only warnings are logged.
fn quieten(config: &mut Config) {
    if config.log.filter == LogConfig::default().filter {
        "warn".clone_into(&mut config.log.filter);
    }
}

/// A text that others wrote, as a terminal may be told it: what moves the cursor, breaks the line or turns the
/// direction of reading is spelt out.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_unicode())
            }
            _ if c.is_control() => out.extend(c.escape_default()),
            _ => out.push(c),
        }
    }
    out
}

/// One line with texts of others on standard output.
fn tell(line: &str) {
    say(&printable(line));
}

/// One line on standard output; a reader that went away is no failure.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
