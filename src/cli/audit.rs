//! `corpusd audit`: read the log of who changed what, and look whether it is as it was written.

use std::fmt::Write as _;

use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::Command;
use clap::value_parser;
use serde_json::Value;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::say;
use crate::cli::tell;
use crate::clock::Clock;
use crate::clock::rfc3339;
use crate::config::Config;
use crate::error::Error;
use crate::store::Db;
use crate::store::audit;
use crate::store::audit::AuditRow;
use crate::store::audit::Verdict;
use crate::store::connect;
use crate::store::page::PageArgs;

/// Rows that are listed when nothing is said.
const LISTED: u64 = 50;

/// The arguments of `audit`; each command has those of `settings`.
pub fn command(settings: impl Fn() -> Vec<Arg>) -> Command {
    let limit = Arg::new("limit").long("limit").value_name("COUNT").value_parser(value_parser!(u64).range(1..=100_000));
    Command::new("audit")
        .about("Reads the audit log, and looks whether it is as it was written")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("list")
                .about("Lists who changed what, newest first")
                .arg(limit.help("How many at most [default: 50]"))
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print a JSON object a line"))
                .args(settings()),
        )
        .subcommand(
            Command::new("export")
                .about("Prints the whole log, oldest first, as a JSON object a line")
                .arg(
                    Arg::new("after")
                        .long("after")
                        .value_name("SEQ")
                        .value_parser(value_parser!(i64).range(0..))
                        .help("Only what comes after this number"),
                )
                .args(settings()),
        )
        .subcommand(
            Command::new("verify")
                .about("Computes every hash anew: ends with 0 when the log is as it was written, with 3 when it is not")
                .args(settings()),
        )
}

/// Runs `audit list`, `audit export` or `audit verify`.
pub async fn run(name: &str, matches: &ArgMatches, config: Config) -> Result<(), Failure> {
    let db = connect::open(&config.database, &Clock::system()).await?;
    let outcome = match name {
        "list" => list(&db, matches).await,
        "export" => export(&db, matches).await,
        _ => verify(&db).await,
    };
    db.close().await;
    outcome
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn object(row: &AuditRow) -> Value {
    json!({
        "seq": row.seq, "at": rfc3339(row.at.saturating_mul(1000)), "corpus_revision": row.rev, "actor": row.actor,
        "key_id": row.key_id, "key_name": row.key_name, "deeds": row.deeds(), "hash": hex(&row.hash),
    })
}

async fn list(db: &Db, matches: &ArgMatches) -> Result<(), Failure> {
    let limit = matches.get_one::<u64>("limit").copied().unwrap_or(LISTED);
    let args = PageArgs { limit, backward: false, after: None, before: None };
    let page = audit::page(db, &audit::ROWS_OF_AUDIT.window(&args)?).await.map_err(Error::from)?;
    for row in &page.rows {
        if matches.get_flag("json") {
            say(&object(row).to_string());
            continue;
        }
        let deeds: Vec<String> = row
            .deeds()
            .iter()
            .map(|deed| {
                format!("{} {}{}", deed.what, deed.ids.join(" "), if deed.count > deed.ids.len() { " …" } else { "" })
            })
            .collect();
        let who = row.key_name.as_deref().map_or(row.actor.clone(), |name| format!("{} {name}", row.actor));
        let at = rfc3339(row.at.saturating_mul(1000));
        tell(&format!("{}  {at}  {who}  {}", row.seq, deeds.join(", ")));
    }
    Ok(())
}

async fn export(db: &Db, matches: &ArgMatches) -> Result<(), Failure> {
    let mut seq = matches.get_one::<i64>("after").copied().unwrap_or(0);
    loop {
        let rows = audit::after(db, seq).await.map_err(Error::from)?;
        let Some(last) = rows.last() else { return Ok(()) };
        seq = last.seq;
        rows.iter().for_each(|row| say(&object(row).to_string()));
    }
}

async fn verify(db: &Db) -> Result<(), Failure> {
    match audit::verify(db).await.map_err(Error::from)? {
        Verdict::Whole(rows, hash) => {
            say(&format!("{rows} rows, as they were written; the last hash is {}", hex(&hash)));
            Ok(())
        }
        Verdict::Broken(seq) => Err(Failure::Differs(format!("the audit log is not as it was written from {seq} on"))),
    }
}
