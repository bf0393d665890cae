//! The audit log, as admins read it.

use async_graphql::Enum;
use async_graphql::ID;
use async_graphql::Object;
use async_graphql::SimpleObject;

use crate::error::Error;
use crate::error::Result;
use crate::graphql::level::At;
use crate::graphql::level::Row;
use crate::graphql::page::Listed;
use crate::graphql::scalars::DateTime;
use crate::store::audit;
use crate::store::audit::ActorKind;
use crate::store::audit::AuditRow;
use crate::store::audit::Deed;
use crate::store::page::List;
use crate::store::page::Part;

/// One transaction that changed something, and who asked for it.
#[derive(Debug, Clone)]
pub struct AuditEntry(pub AuditRow);

impl Row for AuditRow {
    type Memo = ();
}

impl Listed for AuditEntry {
    type Row = AuditRow;
    const NAMES: (&'static str, &'static str) = ("AuditEntryConnection", "AuditEntryEdge");

    fn of(row: At<AuditRow>) -> Self {
        Self(AuditRow::clone(&row))
    }

    fn key(row: &AuditRow, _list: &List) -> Vec<Part> {
        audit::key_of(row)
    }
}

/// Which kind of one changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "ActorKind")]
pub enum AuditActor {
    /// The command line, or the server by itself.
    Process,
    /// Somebody without a key.
    Anonymous,
    /// The holder of a key.
    Key,
}

/// One kind of thing that was done in a transaction.
#[derive(Debug, Clone, SimpleObject)]
struct AuditDeed {
    /// Its name, such as DOCUMENT_CREATED.
    name: String,
    /// To how many rows, jobs or records.
    count: usize,
    /// The first ten of them.
    ids: Vec<ID>,
}

impl From<Deed> for AuditDeed {
    fn from(deed: Deed) -> Self {
        let Deed { what, count, ids } = deed;
        Self { name: what, count, ids: ids.into_iter().map(ID).collect() }
    }
}

/// One transaction that changed something, and who asked for it.
#[Object]
impl AuditEntry {
    /// Its number: dense, in the order of the commits.
    async fn seq(&self) -> i64 {
        self.0.seq
    }

    /// When.
    async fn at(&self) -> DateTime {
        DateTime::of_ms(self.0.at)
    }

    /// The corpus revision it made; null when no row of the corpus changed.
    async fn corpus_revision(&self) -> Option<String> {
        self.0.rev.map(|revision| revision.to_string())
    }

    /// Which kind of one asked for it.
    #[expect(clippy::unused_async, reason = "a resolver is")]
    async fn actor(&self) -> Result<AuditActor> {
        let actor = ActorKind::from_name(&self.0.actor).map(Into::into);
        actor.ok_or_else(|| Error::internal(anyhow::anyhow!("the audit log has the actor {}", self.0.actor)))
    }

    /// The id of their key.
    async fn key_id(&self) -> Option<ID> {
        self.0.key_id.clone().map(ID)
    }

    /// The name of their key.
    async fn key_name(&self) -> Option<&str> {
        self.0.key_name.as_deref()
    }

    /// What was done.
    async fn deeds(&self) -> Vec<AuditDeed> {
        self.0.deeds().into_iter().map(Into::into).collect()
    }

    /// SHA-256 over the entry before and this one, in hexadecimal digits.
    async fn hash(&self) -> String {
        self.0.hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
