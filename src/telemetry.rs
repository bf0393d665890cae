//! The log: on standard error, because standard output is for answers.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::Config;

/// Starts the log of this process; colours only where somebody looks at them.
///
/// A second call in one process changes nothing.
pub fn start(config: &Config) {
    let mut filter = EnvFilter::new(&config.log.filter);
    if config.database.echo
        && let Ok(statements) = "sqlx::query=debug".parse()
    {
        filter = filter.add_directive(statements);
    }
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
}
