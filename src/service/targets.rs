//! The vector indexes, as they stand.

use crate::entity::sync_target::Model;
use crate::error::Result;
use crate::service::Ctx;
use crate::store::graph;
use crate::store::slots;
use crate::store::slots::SyncedThrough;
use crate::store::targets;
pub use crate::store::targets::Queued;

/// How far an index is in step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Freshness {
    /// Up to which revision it holds everything.
    pub through: SyncedThrough,
    /// Age of the oldest change that it does not hold, in seconds.
    pub lag_seconds: f64,
}

/// How far the index of a target is behind the rows.
///
/// # Errors
/// What the database says.
pub async fn freshness(cx: &Ctx, target_id: i64) -> Result<Freshness> {
    let through = slots::synced_through(cx.read(), target_id).await?;
    let lag_seconds = through.lag_seconds(cx.db().clock().now_ms());
    Ok(Freshness { through, lag_seconds })
}

/// How many numbers the vectors of a target have, once that is known: the index that is served may have learnt it.
#[must_use]
pub fn dimension(cx: &Ctx, row: &Model) -> Option<i64> {
    let served = row.id == cx.target_id();
    row.dimension.map(i64::from).or_else(|| served.then(|| cx.index().dimension().map(i64::from)).flatten())
}

/// A target and how far it is in step.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its row.
    pub row: Model,
    /// How many numbers its vectors have, once that is known.
    pub dimension: Option<i64>,
    /// How far it is in step.
    pub fresh: Freshness,
}

/// Every target, the first one first.
///
/// # Errors
/// What the database says.
pub async fn list(cx: &Ctx) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    for row in graph::sync::targets(cx.db()).await? {
        let (dimension, fresh) = (dimension(cx, &row), freshness(cx, row.id).await?);
        told.push(Told { row, dimension, fresh });
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
