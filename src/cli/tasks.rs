//! Commands of a few lines: `migrate`.

use crate::cli::Failure;
use crate::cli::say;
use crate::clock::Clock;
use crate::config::Config;
use crate::store::connect;

/// Brings the tables up to date.
pub async fn migrate(config: &Config) -> Result<(), Failure> {
    let db = connect::open(&config.database, &Clock::system()).await?;
    db.close().await;
    say("the database is up to date");
    Ok(())
}
