//! The vector indexes, as they stand.

use crate::entity::sync_target::Model;
use crate::error::Result;
use crate::service::Ctx;
use crate::store::graph;
use crate::store::slots;
use crate::store::slots::SyncedThrough;
use crate::store::targets;
pub use crate::store::targets::Queued;

/// A target and how far it is in step.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its row.
    pub row: Model,
    /// How many numbers its vectors have, once that is known.
    pub dimension: Option<i64>,
    /// Up to which revision it holds everything.
    pub through: SyncedThrough,
    /// Age of the oldest change that it does not hold, in seconds.
    pub lag_seconds: f64,
}

/// Every target, the first one first.
///
/// # Errors
/// What the database says.
pub async fn list(cx: &Ctx) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    for row in graph::sync::targets(cx.db()).await? {
        let through = slots::synced_through(cx.read(), row.id).await?;
        let lag_seconds = through.lag_seconds(cx.db().clock().now_ms());
        let served = row.id == cx.target_id();
        let own = row.dimension.map(i64::from);
        let dimension = own.or_else(|| served.then(|| cx.index().dimension().map(i64::from)).flatten());
        told.push(Told { row, dimension, through, lag_seconds });
    }
    Ok(told)
}

/// What of each target is not settled.
///
/// # Errors
/// What the database says.
pub async fn queue(cx: &Ctx) -> Result<Vec<Queued>> {
    Ok(targets::queued(cx.read()).await?)
}
