//! `corpusd keys`: make, list and revoke the keys of a database.
//!
//! A key is a row: it works at once for every server of the database, and no server needs to run. The index is
//! neither opened nor asked.

use std::time::Duration;

use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::Command;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::say;
use crate::cli::tell;
use crate::clock::Clock;
use crate::clock::rfc3339;
use crate::config::Config;
use crate::entity::api_key::Model;
use crate::error::Error;
use crate::service::access::Scope;
use crate::service::keys;
use crate::service::keys::KeyState;
use crate::service::keys::NewKey;
use crate::store;
use crate::store::Db;
use crate::store::connect;

/// The arguments of `keys`; each command has those of `settings`.
pub fn command(settings: impl Fn() -> Vec<Arg>) -> Command {
    let scopes = PossibleValuesParser::new(Scope::ALL.map(Scope::name));
    Command::new("keys")
        .about("Makes, lists and revokes API keys")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("create")
                .about("Makes a key and prints its token, once: nobody can tell it again")
                .long_about(
                    "Makes a key and prints its token, once: nobody can tell it again. The token alone is on standard \
                     output, everything else on standard error. A key opens what its scope says: `read` the corpus and \
                     the state of its index, `write` documents, chunks and embeddings too, `sync` also exports, checks and \
                     the removal of records from the index, `admin` everything.",
                )
                .arg(Arg::new("name").long("name").required(true).help("What it is for: 1 to 100 characters"))
                .arg(Arg::new("scope").long("scope").required(true).value_parser(scopes).help("What it opens"))
                .arg(
                    Arg::new("expires-in")
                        .long("expires-in")
                        .value_name("TIME")
                        .value_parser(length)
                        .help("How long it is valid: a number and s, m, h, d or w, such as 90d [default: for ever]"),
                )
                .args(settings()),
        )
        .subcommand(
            Command::new("list")
                .about("Lists the keys, newest first, without their tokens")
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print them as JSON"))
                .args(settings()),
        )
        .subcommand(
            Command::new("revoke")
                .about("Revokes a key: within five seconds no server lets it in")
                .arg(Arg::new("id").required(true).value_name("ID").help("The id of the key, as `list` prints it"))
                .args(settings()),
        )
}

/// A length of time as `90d`.
fn length(text: &str) -> Result<Duration, String> {
    let wrong = || "it is a number and s, m, h, d or w, such as 90d".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        Some('w') => 604_800,
        Some(_) | None => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let seconds = count.checked_mul(unit).filter(|seconds| (1..=100 * 366 * 86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "it is at least a second and at most a hundred years".to_owned())
}

/// Runs `keys create`, `keys list` or `keys revoke`.
pub async fn run(name: &str, matches: &ArgMatches, config: Config) -> Result<(), Failure> {
    let db = connect::open(&config.database, &Clock::system()).await?;
    let outcome = match name {
        "create" => create(&db, matches).await,
        "list" => list(&db, matches).await,
        _ => revoke(&db, matches).await,
    };
    db.close().await;
    outcome
}

async fn create(db: &Db, matches: &ArgMatches) -> Result<(), Failure> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let scope = Scope::from_name(&text("scope")).ok_or_else(|| Failure::Usage("no such scope".to_owned()))?;
    let length = matches.get_one::<Duration>("expires-in");
    let length = length.and_then(|length| i64::try_from(length.as_millis()).ok());
    let expires_at = length.map(|length| db.clock().now_ms().saturating_add(length));
    let created = keys::create_in(db, NewKey { name: text("name"), scope, expires_at }).await.map_err(|error| {
        // It names the field, which is an argument here.
        if let Error::Invalid(_) = error { Failure::Usage(format!("--{error}")) } else { error.into() }
    })?;
    let until = expires_at.map_or_else(|| "for ever".to_owned(), |end| format!("until {}", rfc3339(end * 1000)));
    eprintln!("corpusd: made the key {} with the scope {}, valid {until}", created.row.id, scope.name());
    eprintln!("corpusd: its token is printed now and never again; a client sends it as `Authorization: Bearer cd_…`");
    say(created.token.reveal());
    Ok(())
}

/// A key in one word.
fn state(row: &Model, now_ms: i64) -> &'static str {
    match keys::state(row, now_ms) {
        KeyState::Active => "active",
        KeyState::Expired => "expired",
        KeyState::Revoked => "revoked",
    }
}

async fn list(db: &Db, matches: &ArgMatches) -> Result<(), Failure> {
    let rows = store::keys::all(db.read()).await.map_err(Error::from)?;
    let now = db.clock().now_ms();
    let time = |ms: i64| rfc3339(ms.saturating_mul(1000));
    if matches.get_flag("json") {
        let entry = |row: &Model| {
            json!({
                "id": row.id, "name": row.name, "prefix": row.shown, "scope": row.scope, "state": state(row, now),
                "created_at": time(row.created_at), "expires_at": row.expires_at.map(time), "revoked_at": row.revoked_at.map(time),
            })
        };
        let entries: Vec<_> = rows.iter().map(entry).collect();
        say(&serde_json::to_string_pretty(&entries).map_err(|error| Failure::Failed(error.to_string()))?);
        return Ok(());
    }
    if rows.is_empty() {
        say("no keys: make one with `corpusd keys create --name NAME --scope admin`");
    }
    for row in &rows {
        let until = match (row.revoked_at, row.expires_at) {
            (Some(at), _) => format!("since {}", time(at)),
            (None, Some(at)) => format!("until {}", time(at)),
            (None, None) => String::new(),
        };
        let line =
            format!("{}  {}…  {:<5}  {:<7}  {}  {until}", row.id, row.shown, row.scope, state(row, now), row.name);
        tell(line.trim_end());
    }
    Ok(())
}

async fn revoke(db: &Db, matches: &ArgMatches) -> Result<(), Failure> {
    let id = matches.get_one::<String>("id").cloned().unwrap_or_default();
    let row = keys::revoke_in(db, &id).await?;
    tell(&format!("revoked: {} ({}…)", row.name, row.shown));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_number_and_a_unit() {
        for (text, seconds) in [("1s", 1), ("5m", 300), ("2h", 7_200), ("90d", 7_776_000), ("1w", 604_800)] {
            assert_eq!(length(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "d", "90", "0d", "-1d", "1.5d", "1y", "1é", "99999999999999999999d", "37000d"] {
            assert!(length(wrong).is_err(), "{wrong}");
        }
    }
}
