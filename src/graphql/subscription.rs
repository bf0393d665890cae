//! The root of subscriptions: streams of the service, dressed.

use async_graphql::Context;
use async_graphql::Enum;
use async_graphql::ID;
use async_graphql::Object;
use async_graphql::SimpleObject;
use async_graphql::Subscription as Root;
use futures_util::Stream;
use futures_util::StreamExt as _;

use crate::error::Result;
use crate::graphql::coverage::SyncCoverage;
use crate::graphql::node;
use crate::graphql::node::Node;
use crate::graphql::query::cx;
use crate::graphql::scalars::DateTime;
use crate::graphql::sync_job::SyncJob;
use crate::service::events;
use crate::service::events::ChangeKind;

/// What can be watched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subscription;

/// One event of a job.
#[derive(SimpleObject)]
struct SyncProgress {
    /// Its number: dense, in the order of the commits.
    seq: i64,
    /// The job as it was then.
    job: SyncJob,
    /// One sentence, where there is something to say.
    message: Option<String>,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
enum CorpusEventKind {
    /// A document was created.
    DocumentCreated,
    /// A document was changed.
    DocumentUpdated,
    /// A document was deleted, softly or for good.
    DocumentDeleted,
    /// A soft deletion of a document was taken back.
    DocumentRestored,
    /// A chunk was created.
    ChunkCreated,
    /// A chunk was changed.
    ChunkUpdated,
    /// A chunk was deleted, softly or for good.
    ChunkDeleted,
    /// A soft deletion of a chunk was taken back.
    ChunkRestored,
    /// An embedding was created.
    EmbeddingCreated,
    /// An embedding was changed.
    EmbeddingUpdated,
    /// An embedding was deleted.
    EmbeddingDeleted,
    /// The index took an embedding in its current form.
    EmbeddingSynced,
}

impl CorpusEventKind {
    /// The kind of an entry of the log; what is internal to the engine has none.
    const fn of(kind: ChangeKind) -> Option<Self> {
        match kind {
            ChangeKind::DocumentCreated => Some(Self::DocumentCreated),
            ChangeKind::DocumentUpdated => Some(Self::DocumentUpdated),
            ChangeKind::DocumentDeleted => Some(Self::DocumentDeleted),
            ChangeKind::DocumentRestored => Some(Self::DocumentRestored),
            ChangeKind::ChunkCreated => Some(Self::ChunkCreated),
            ChangeKind::ChunkUpdated => Some(Self::ChunkUpdated),
            ChangeKind::ChunkDeleted => Some(Self::ChunkDeleted),
            ChangeKind::ChunkRestored => Some(Self::ChunkRestored),
            ChangeKind::EmbeddingCreated => Some(Self::EmbeddingCreated),
            ChangeKind::EmbeddingUpdated => Some(Self::EmbeddingUpdated),
            ChangeKind::EmbeddingDeleted => Some(Self::EmbeddingDeleted),
            ChangeKind::EmbeddingSynced => Some(Self::EmbeddingSynced),
            ChangeKind::SyncChanged => None,
        }
    }
}

/// One change of the corpus.
struct CorpusEvent {
    kind: CorpusEventKind,
    event: events::CorpusEvent,
}

/// One change of the corpus.
#[Object]
impl CorpusEvent {
    /// Where to go on from: give it as `after`.
    async fn cursor(&self) -> &str {
        &self.event.cursor
    }

    /// What happened.
    async fn kind(&self) -> CorpusEventKind {
        self.kind
    }

    /// The row as it is now; null when it was deleted since.
    async fn node(&self, ctx: &Context<'_>) -> Result<Option<Node>> {
        Ok(node::find(cx(ctx), &[ID(self.event.id.clone())]).await?.pop().flatten())
    }

    /// The row it happened to.
    async fn id(&self) -> ID {
        ID(self.event.id.clone())
    }

    /// When.
    async fn at(&self) -> DateTime {
        DateTime::of_ms(self.event.at_ms)
    }
}

/// What can be watched.
#[Root]
impl Subscription {
    /// The present state first, then every change until the job ends. `after` resumes behind a number already seen.
    async fn sync_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job.")] job_id: ID,
        #[graphql(desc = "A number already seen.")] after: Option<i64>,
    ) -> Result<impl Stream<Item = Result<SyncProgress>> + use<>> {
        let told = events::job(cx(ctx), &job_id, after).await?;
        Ok(told.map(|event| {
            event.map(|event| SyncProgress { seq: event.seq, job: SyncJob(event.job), message: event.message })
        }))
    }

    /// The coverage of one document now, then at least one event for every commit that touched the document or its
    /// records, also when the figures are the same; commits less than 100 ms apart may share one, the last state is
    /// always told.
    async fn document_sync(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The document.")] id: ID,
    ) -> Result<impl Stream<Item = Result<SyncCoverage>> + use<>> {
        let told = events::document(cx(ctx), &id).await?;
        Ok(told.map(|coverage| coverage.map(Into::into)))
    }

    /// Changes of the corpus in commit order, from `after` on, or from now.
    async fn corpus_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The cursor of an event already seen.")] after: Option<String>,
    ) -> Result<impl Stream<Item = Result<CorpusEvent>> + use<>> {
        let told = events::corpus(cx(ctx), after.as_deref()).await?;
        Ok(told.filter_map(|event| {
            std::future::ready(match event {
                Ok(event) => CorpusEventKind::of(event.kind).map(|kind| Ok(CorpusEvent { kind, event })),
                Err(error) => Some(Err(error)),
            })
        }))
    }
}
