//! How the sync engine keeps time (sync.md 4.2).

use std::time::Duration;

/// How the sync engine keeps time. See sync.md 4.2 for what the numbers mean.
#[derive(Debug, Clone)]
pub struct SyncConfig {
    /// `CORPUSD_SYNC_HEARTBEAT_S`
    pub heartbeat: Duration,
    /// `CORPUSD_SYNC_LEASE_S`
    pub lease: Duration,
    /// `CORPUSD_SYNC_TIMEOUT_S`: the whole exchange of one request to the target.
    pub request_timeout: Duration,
    /// `CORPUSD_SYNC_DOUBT_S`: how long an unanswered request may still land.
    pub doubt: Duration,
    /// How often a worker looks for due slots without being woken.
    pub poll: Duration,
    /// Slots of one claim.
    pub claim_size: u32,
    /// `CORPUSD_EXPORT_WAIT_S`: how long a REST export waits for its job.
    pub export_wait: Duration,
    /// How long a stop waits for the answers of requests to the target that are under way.
    pub stop_wait: Duration,
    /// When the index is compared with the rows.
    pub reconcile: ReconcileConfig,
    /// `CORPUSD_PURGE_AFTER_DAYS`: rows that were soft-deleted so long ago are removed for good; zero is never.
    pub purge_after: Duration,
}

/// When the index is compared with the rows by itself; zero is never.
#[derive(Debug, Clone)]
pub struct ReconcileConfig {
    /// `CORPUSD_RECONCILE_ROWS_S`: slots with rows.
    pub rows: Duration,
    /// `CORPUSD_RECONCILE_COUNT_S`: numbers of records.
    pub count: Duration,
    /// `CORPUSD_RECONCILE_FULL_S`: every record.
    pub full: Duration,
    /// `CORPUSD_RECONCILE_SETTLED_S`: a record that was written later than so long ago is passed over.
    pub settled: Duration,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(5),
            lease: Duration::from_secs(30),
            request_timeout: Duration::from_secs(20),
            doubt: Duration::from_secs(120),
            poll: Duration::from_secs(1),
            claim_size: 500,
            export_wait: Duration::from_secs(600),
            stop_wait: Duration::from_secs(2),
            reconcile: ReconcileConfig::default(),
            purge_after: Duration::ZERO,
        }
    }
}

impl Default for ReconcileConfig {
    fn default() -> Self {
        Self {
            rows: Duration::from_secs(3_600),
            count: Duration::from_secs(900),
            full: Duration::from_secs(86_400),
            settled: Duration::from_secs(600),
        }
    }
}
