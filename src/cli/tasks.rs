//! Commands of a few lines: `migrate` and `schema`.

use crate::cli::Failure;
use crate::cli::say;
use crate::clock::Clock;
use crate::config::Config;
use crate::graphql;
use crate::store::connect;

/// Brings the tables up to date.
pub async fn migrate(config: &Config) -> Result<(), Failure> {
    let db = connect::open(&config.database, &Clock::system()).await?;
    db.close().await;
    say("the database is up to date");
    Ok(())
}

/// Prints the GraphQL schema.
pub fn schema() {
    say(graphql::sdl().trim_end());
}
