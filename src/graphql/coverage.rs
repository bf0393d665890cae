//! How much of something the vector index holds.

use async_graphql::Enum;
use async_graphql::SimpleObject;

use crate::store::slots;

/// How much of a set of live embeddings the vector index holds in its current form.
#[derive(Debug, Clone, SimpleObject)]
pub struct SyncCoverage {
    /// The counts in one word.
    state: CoverageState,
    /// All of them.
    total: i64,
    /// Those that the index holds in their current form.
    synced: i64,
    /// Those that are to be sent, on their way, or in doubt.
    pending: i64,
    /// Those that wait for an explicit sync.
    held: i64,
    /// Those that were refused and are not tried again.
    quarantined: i64,
    /// Synced ones of a hundred; 0 when there is none.
    percentage: f64,
}

/// A coverage in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "slots::CoverageState")]
pub enum CoverageState {
    /// There is no live embedding.
    Empty,
    /// None is in the index.
    Unsynced,
    /// Some are in the index.
    Partial,
    /// All are in the index.
    Synced,
}

impl From<slots::Coverage> for SyncCoverage {
    fn from(coverage: slots::Coverage) -> Self {
        let slots::Coverage { total, synced, pending, held, quarantined } = coverage;
        Self {
            state: coverage.state().into(),
            total,
            synced,
            pending,
            held,
            quarantined,
            percentage: coverage.percentage(),
        }
    }
}
