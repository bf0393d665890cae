//! `corpusd backup`: a copy of the SQLite file, also while a server has it.

use std::path::PathBuf;

use clap::Arg;
use clap::ArgMatches;
use clap::Command;
use clap::value_parser;

use crate::cli::Failure;
use crate::cli::tell;
use crate::config::Config;
use crate::store::backup;
use crate::store::backup::Backup;
use crate::store::connect::Location;

/// The arguments of `backup`.
pub fn command() -> Command {
    Command::new("backup")
        .about("Copies the SQLite database to a file, also while a server has it, and checks the copy")
        .long_about(
            "Copies the SQLite database as it is at one moment, with the embedded index that lives in it. A server may \
             run, and writes go on. The copy is checked (integrity, and that no row points to nothing) and synced to \
             the disk before it gets its name: a file of that name is a whole backup, or there is none. To restore, \
             stop the server and put the copy in the place of its file; where the index is another one, run \
             `corpusd sync rebase` then. For PostgreSQL use its own tools.",
        )
        .arg(
            Arg::new("file")
                .required(true)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Where to; nothing may be there"),
        )
}

/// Copies, and tells what the copy holds.
pub async fn run(matches: &ArgMatches, config: Config) -> Result<(), Failure> {
    let target = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let source = match Location::parse(&config.database.url) {
        Ok(Location::Sqlite(source)) => source,
        Ok(Location::Postgres(_)) => {
            return Err(Failure::Usage("backup copies SQLite files; use pg_dump for PostgreSQL".to_owned()));
        }
        Err(reason) => return Err(Failure::Usage(format!("DATABASE_URL {reason}"))),
    };
    let shown = target.display().to_string();
    let copied = tokio::task::spawn_blocking(move || backup::copy(&source, &target)).await;
    let copied = copied.map_err(|error| Failure::Failed(error.to_string()))?;
    let Backup { revision, documents, chunks, embeddings, bytes } =
        copied.map_err(|error| Failure::Failed(error.to_string()))?;
    tell(&format!(
        "{shown}: corpus revision {revision}, {documents} documents, {chunks} chunks, {embeddings} embeddings, \
         {bytes} bytes, checked"
    ));
    Ok(())
}
