//! Hints between the processes on one PostgreSQL: a commit here wakes whoever waits there.
//!
//! A hint carries the corpus revision and may be lost, late or missing altogether (a
//! database without LISTEN, a pooler between): every promise rests on polls. One
//! connection of its own hears and tells; what is told is gathered for a moment, so
//! that the path of a commit knows nothing of it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::postgres::PgNotification;
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;

use crate::store::Pulse;

/// Commits that are closer than this share one hint.
const GATHER: Duration = Duration::from_millis(20);
/// How long to leave a database alone that takes no hints.
const AGAIN: Duration = Duration::from_secs(30);

/// Hears and tells until `stop`.
pub(super) async fn exchange(url: String, pulse: Arc<Pulse>, own: String, stop: CancellationToken) {
    loop {
        let failed = tokio::select! {
            outcome = listen(&url, &pulse, &own) => outcome,
            () = stop.cancelled() => return,
        };
        if let Err(error) = failed {
            tracing::debug!(%error, "no hints from other processes for a while");
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn listen(url: &str, pulse: &Pulse, own: &str) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(AGAIN).connect(url).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    let schema: Option<String> = sqlx::query_scalar("SELECT current_schema()").fetch_one(&mut listener).await?;
    let channel = format!("corpusd {}", schema.unwrap_or_default());
    listener.listen(&channel).await?;
    // What was committed before anybody listened.
    pulse.wake_here();
    loop {
        tokio::select! {
            heard = listener.try_recv() => match heard? {
                Some(heard) => hear(&heard, pulse, own),
                // The connection was lost and made again: anything may have been missed.
                None => pulse.wake_here(),
            },
            () = pulse.to_tell() => {
                tokio::time::sleep(GATHER).await;
                let hint = format!("{own} {}", pulse.seen());
                sqlx::query("SELECT pg_notify($1, $2)").bind(&channel).bind(hint).execute(&mut listener).await?;
            }
        }
    }
}

fn hear(heard: &PgNotification, pulse: &Pulse, own: &str) {
    let (from, revision) = heard.payload().split_once(' ').unwrap_or_default();
    if from == own {
        return;
    }
    if let Ok(revision) = revision.parse() {
        pulse.saw(revision);
    }
    pulse.wake_here();
}
