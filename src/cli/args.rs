//! The arguments: commands by hand, settings from their table.

use std::ffi::OsString;
use std::path::Path;

use clap::Arg;
use clap::ArgMatches;
use clap::Command;

use crate::cli::Failure;
use crate::cli::adopt;
use crate::cli::audit;
use crate::cli::backup;
use crate::cli::dot_env;
use crate::cli::emulate;
use crate::cli::import;
use crate::cli::keys;
use crate::cli::reconcile;
use crate::config::Config;
use crate::config::settings;
use crate::config::settings::Setting;
use crate::config::settings::table::SETTINGS;
use crate::store::connect::Location;

/// Settings of commands that only open the database.
const DATABASE_ONLY: &[&str] = &["DATABASE_URL", "DB_ECHO", "CORPUSD_LOG"];

/// Settings of `import`.
const IMPORT: &[&str] = &["DATABASE_URL", "DB_ECHO", "CORPUSD_LOG", "PINECONE_NAMESPACE"];
/// Settings of `reconcile` and `sync rebase`.
const RECONCILE: &[&str] = &[
    "DATABASE_URL",
    "DB_ECHO",
    "CORPUSD_LOG",
    "CORPUSD_SYNC_TIMEOUT_S",
    "CORPUSD_SYNC_DOUBT_S",
    "CORPUSD_RECONCILE_SETTLED_S",
];
/// Settings of `demo`.
const DEMO: &[&str] =
    &["DATABASE_URL", "DB_ECHO", "CORPUSD_LOG", "CORPUSD_HOST", "CORPUSD_PORT", "CORPUSD_ALLOW_ANONYMOUS"];

/// Settings of `health`.
const HEALTH: &[&str] = &["CORPUSD_LOG", "CORPUSD_HOST", "CORPUSD_PORT"];

/// Settings of commands that name their databases themselves.
const LOG_ONLY: &[&str] = &["DB_ECHO", "CORPUSD_LOG"];

/// All commands.
pub fn command() -> Command {
    Command::new("corpusd")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Keeps documents, chunks and embeddings, and a vector index provably in step with them")
        .after_help(
            "Every setting is read from its flag, else from its variable in the environment, else from `.env` in the \
             current folder.\n`corpusd serve --help` lists all of them.\n\n\
             Exit codes: 0 done, 1 failed, 2 wrong usage, 3 differences found, 4 not everything could be compared.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .propagate_version(true)
        .subcommand(serve())
        .subcommand(
            Command::new("migrate")
                .about("Brings the tables of the database up to date, and ends")
                .args(flags(|setting| DATABASE_ONLY.contains(&setting.name))),
        )
        .subcommand(backup::command().args(flags(|setting| DATABASE_ONLY.contains(&setting.name))))
        .subcommand(
            Command::new("health")
                .about("Asks the server at that address whether it is ready; ends with 0 when it is, else with 1")
                .args(flags(|setting| HEALTH.contains(&setting.name))),
        )
        .subcommand(Command::new("schema").about("Prints the GraphQL schema"))
        .subcommand(import::command().args(flags(|setting| IMPORT.contains(&setting.name))))
        .subcommand(reconcile::command().args(flags(|setting| RECONCILE.contains(&setting.name))))
        .subcommand(reconcile::sync_command(flags(|setting| RECONCILE.contains(&setting.name))))
        .subcommand(
            Command::new("demo")
                .about("Loads a small corpus, exports it to the embedded index, and serves it: needs nothing at all")
                .args(flags(|setting| DEMO.contains(&setting.name))),
        )
        .subcommand(keys::command(|| flags(|setting| DATABASE_ONLY.contains(&setting.name))))
        .subcommand(audit::command(|| flags(|setting| DATABASE_ONLY.contains(&setting.name))))
        .subcommand(adopt::command().args(flags(|setting| LOG_ONLY.contains(&setting.name))))
        .subcommand(emulate::command().args(flags(|setting| setting.name == "CORPUSD_LOG")))
}

fn serve() -> Command {
    let environment_only: Vec<String> = SETTINGS
        .iter()
        .filter(|setting| setting.flag().is_none())
        .map(|setting| format!("  {}  {}", setting.name, setting.help))
        .collect();
    Command::new("serve")
        .about("Serves GraphQL and REST until it is asked to stop")
        .args(flags(|_| true))
        .after_help(format!("Only in the environment or in `.env`:\n{}", environment_only.join("\n")))
}

/// The flags of the settings that `wanted` picks.
fn flags(wanted: impl Fn(&Setting) -> bool) -> Vec<Arg> {
    SETTINGS.iter().filter(|setting| wanted(setting)).filter_map(flag).collect()
}

fn flag(setting: &'static Setting) -> Option<Arg> {
    let default = match setting.default_text() {
        text if text.is_empty() => "not set".to_owned(),
        text => text,
    };
    let arg = Arg::new(setting.name)
        .long(setting.flag()?)
        .help(format!("{}: {} [{}, default: {default}]", setting.help, setting.allowed, setting.name))
        .help_heading(setting.group.title())
        .value_name("VALUE")
        .value_parser(clap::value_parser!(OsString))
        .allow_negative_numbers(true);
    // `--db-echo` alone says yes.
    Some(if setting.is_switch() { arg.num_args(0..=1).require_equals(true).default_missing_value("true") } else { arg })
}

/// The configuration of this process: flags over environment over `.env` over defaults.
pub fn config(matches: &ArgMatches) -> Result<Config, Failure> {
    let file = dot_env::read(Path::new(".env"))?;
    let flag = |name: &str| matches.try_get_one::<OsString>(name).ok().flatten().cloned();
    // Whoever names no database must not be given another one.
    let unnamed = |value: Option<OsString>| value.is_some_and(|value| value.is_empty());
    if unnamed(flag("DATABASE_URL")) {
        return Err(Failure::Usage("--database-url: must not be empty".to_owned()));
    }
    if unnamed(std::env::var_os("DATABASE_URL").or_else(|| file.get("DATABASE_URL").cloned())) {
        return Err(Failure::Usage("DATABASE_URL: must not be empty".to_owned()));
    }
    let config = settings::read(|setting| {
        flag(setting.name).or_else(|| std::env::var_os(setting.name)).or_else(|| file.get(setting.name).cloned())
    });
    let config = config.map_err(|wrong| {
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        Failure::Usage(lines.join("\n         "))
    })?;
    check_url("DATABASE_URL", &config.database.url)?;
    Ok(config)
}

/// Refuses a URL that names no database, without showing what may be a password.
pub fn check_url(name: &str, url: &str) -> Result<(), Failure> {
    Location::parse(url).map(|_| ()).map_err(|reason| {
        let shown = settings::redacted(url);
        Failure::Usage(format!("{name}: \"{shown}\" is not allowed: it {reason}, such as sqlite:///./asktemoc.db"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_setting_is_in_the_help_of_serve_with_its_variable_and_its_default() {
        let help = serve().render_long_help().to_string().replace('\n', " ");
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for setting in SETTINGS {
            assert!(help.contains(setting.name), "{}", setting.name);
            if setting.flag().is_some() {
                let default = setting.default_text();
                let default = if default.is_empty() { "not set" } else { &default };
                assert!(help.contains(&format!("[{}, default: {default}]", setting.name)), "{}", setting.name);
            }
        }
    }

    #[test]
    fn a_flag_is_read_before_the_environment() {
        let matches = serve().try_get_matches_from(["serve", "--port", "9", "--db-echo"]).unwrap();
        let config = config(&matches).unwrap();
        assert_eq!((config.server.port, config.database.echo), (9, true));
    }
}
