//! Slots: records the index should or should not hold.

use async_graphql::Enum;
use async_graphql::Object;
use async_graphql::SimpleObject;

use crate::graphql::level::At;
use crate::graphql::level::Row;
use crate::graphql::page::Listed;
use crate::graphql::scalars::DateTime;
use crate::service::Ctx;
use crate::store::graph;
use crate::store::graph::SlotRow;
use crate::store::page::List;
use crate::store::page::Part;
use crate::store::slots;

impl Row for SlotRow {
    type Memo = ();
}

/// One record that a vector index should or should not hold.
#[derive(Clone)]
pub struct SyncSlot(pub At<SlotRow>);

impl SyncSlot {
    /// A slot that is alone in its answer.
    #[must_use]
    pub fn one(cx: &Ctx, row: SlotRow) -> Self {
        Self(At::alone(cx, row))
    }
}

impl Listed for SyncSlot {
    type Row = SlotRow;
    const NAMES: (&'static str, &'static str) = ("SyncSlotConnection", "SyncSlotEdge");

    fn of(row: At<SlotRow>) -> Self {
        Self(row)
    }

    fn key(row: &SlotRow, _list: &List) -> Vec<Part> {
        graph::sync::slot_key(row)
    }
}

/// One record that a vector index should or should not hold.
#[Object]
impl SyncSlot {
    /// The name of the target: the index it is about.
    async fn target(&self) -> &str {
        self.0.target.as_deref().unwrap_or("default")
    }

    /// The record's namespace in the index.
    async fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// The record's id in the index.
    async fn vector_id(&self) -> &str {
        &self.0.vector_id
    }

    /// Where it stands.
    async fn state(&self) -> SlotState {
        self.0.state.into()
    }

    /// Grows with every change that the index has to follow; 0 before the first.
    async fn want_revision(&self) -> i64 {
        self.0.want_rev
    }

    /// The newest of those revisions that the index acknowledged.
    async fn acked_revision(&self) -> i64 {
        self.0.acked_rev
    }

    /// Failed tries since the last change or acknowledgement.
    async fn attempts(&self) -> i64 {
        self.0.attempts
    }

    /// When the engine looks at it next; null when there is nothing to do.
    async fn due_at(&self) -> Option<DateTime> {
        self.0.due_at.map(DateTime::of_ms)
    }

    /// When the index last acknowledged it.
    async fn acked_at(&self) -> Option<DateTime> {
        self.0.acked_at.map(DateTime::of_ms)
    }

    /// Why the last try failed, or why there is no other.
    async fn last_error(&self) -> Option<SyncError> {
        let code = self.0.error_code.clone().or_else(|| self.0.quarantine.clone())?;
        let message = self.0.error_text.clone().or_else(|| self.0.quarantine.clone()).unwrap_or_else(|| code.clone());
        Some(SyncError { code, message, at: DateTime::of_ms(self.0.error_at.unwrap_or(self.0.updated_at)) })
    }
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "slots::SlotState")]
pub enum SlotState {
    /// Waits for an explicit sync: never exported while automatic export is off, or removed from the index on request.
    Held,
    /// To be sent.
    Pending,
    /// Being sent.
    InFlight,
    /// An earlier request may still land; asserted again when the doubt ends.
    InDoubt,
    /// The index holds it as the rows say.
    Synced,
    /// Gone from the index, as wanted.
    Removed,
    /// Refused, and not tried again until it changes or somebody asks for it.
    Quarantined,
}

/// Why a record is not where it should be.
#[derive(Debug, Clone, SimpleObject)]
pub struct SyncError {
    /// The kind of failure.
    code: String,
    /// What the index, or the engine, said.
    message: String,
    /// When.
    at: DateTime,
}
