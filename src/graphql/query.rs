//! The root of queries.

use async_graphql::Context;
use async_graphql::ID;
use async_graphql::Object;

use crate::error::Result;
use crate::graphql::audit::AuditEntry;
use crate::graphql::chunk::Chunk;
use crate::graphql::document::Document;
use crate::graphql::embedding::Embedding;
use crate::graphql::filters;
use crate::graphql::filters::OrderDirection;
use crate::graphql::key::ApiKey;
use crate::graphql::level::Level;
use crate::graphql::mutation::of_input;
use crate::graphql::node;
use crate::graphql::node::Node;
use crate::graphql::overview::Activity;
use crate::graphql::overview::Namespace;
use crate::graphql::overview::Overview;
use crate::graphql::page;
use crate::graphql::page::Connection;
use crate::graphql::page::Count;
use crate::graphql::search::SearchInput;
use crate::graphql::search::SearchResult;
use crate::graphql::slot::SyncSlot;
use crate::graphql::sync_job::SyncJob;
use crate::graphql::target::Server;
use crate::graphql::target::Target;
use crate::service;
use crate::service::Ctx;
use crate::store::audit;
use crate::store::filter::Deleted;
use crate::store::graph;
use crate::store::keys;

/// What can be asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query;

/// The context that came with the request.
#[must_use]
pub fn cx<'a>(ctx: &Context<'a>) -> &'a Ctx {
    ctx.data_unchecked::<Ctx>()
}

/// Counts with `count` when the total is selected.
pub fn counter<F, Fut>(cx: &Ctx, count: F) -> Count
where
    F: Fn(Ctx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<i64>> + Send + 'static,
{
    let cx = cx.clone();
    Box::new(move || Box::pin(count(cx.clone())))
}

/// What can be asked.
#[Object]
impl Query {
    /// The object of that id, whatever it is; null when there is none, or when it is deleted.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Node>> {
        Ok(node::find(cx(ctx), &[id]).await?.pop().flatten())
    }

    /// The objects of these ids, in their order, with null where there is none: at most 100.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Their ids.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        let cx = cx(ctx);
        node::check_count(cx, ids.len())?;
        node::find(cx, &ids).await
    }

    /// The document of that id; null when there is none, or when it was soft-deleted and `includeDeleted` is not set.
    async fn document(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
        #[graphql(desc = "Find it also when it was soft-deleted.", default_with = "Some(false)")]
        include_deleted: Option<bool>,
    ) -> Result<Option<Document>> {
        let cx = cx(ctx);
        let deleted = if include_deleted == Some(true) { Deleted::All } else { Deleted::Live };
        let found = graph::documents::by_ids(cx.db(), &[id.0], deleted).await?;
        Ok(found.into_iter().next().map(|row| Document::one(cx, row)))
    }

    /// Documents, in an order, narrowed by a filter.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn documents(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start: 1 to 100, 20 when neither `first` nor `last` is given.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only documents that match.")] filter: Option<filters::DocumentFilter>,
        #[graphql(desc = "By creation, oldest first, unless said otherwise.")] order_by: Option<filters::DocumentOrder>,
    ) -> Result<Connection<Document>> {
        let cx = cx(ctx);
        let args = page::args(cx, first, after, last, before)?;
        let order = order_by.unwrap_or_default();
        let list = graph::documents::list(order.field.into(), order.direction == OrderDirection::Desc);
        let filter = filter.map(filters::DocumentFilter::condition).transpose()?.unwrap_or_default();
        let page = graph::documents::page(cx.db(), cx.target_id(), &filter, &list.window(&args)?).await?;
        let count = counter(cx, move |cx| {
            let filter = filter.clone();
            async move { Ok(graph::documents::count(cx.db(), cx.target_id(), &filter).await?) }
        });
        Ok(Connection::new(cx, page, list, count))
    }

    /// The chunk of that id; null when there is none, or when it or its document is deleted.
    async fn chunk(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Chunk>> {
        let cx = cx(ctx);
        let found = graph::chunks::by_ids(cx.db(), &[id.0]).await?;
        Ok(found.into_iter().next().map(|row| Chunk::one(cx, row)))
    }

    /// The embedding of that id; null when there is none, or when its chunk or document is deleted.
    async fn embedding(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Embedding>> {
        let cx = cx(ctx);
        let found = graph::embeddings::by_ids(cx.db(), cx.target_id(), &[id.0]).await?;
        Ok(found.into_iter().next().map(|row| Embedding::one(cx, row)))
    }

    /// Embeddings, oldest first, narrowed by a filter.
    async fn embeddings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start: 1 to 100, 20 when neither `first` nor `last` is given.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only embeddings that match.")] filter: Option<filters::EmbeddingFilter>,
    ) -> Result<Connection<Embedding>> {
        let cx = cx(ctx);
        let args = page::args(cx, first, after, last, before)?;
        let list = &graph::embeddings::LIST;
        let filter = filter.unwrap_or_default().condition()?;
        let page = graph::embeddings::page(cx.db(), cx.target_id(), &filter, &list.window(&args)?).await?;
        let count = counter(cx, move |cx| {
            let filter = filter.clone();
            async move { Ok(graph::embeddings::count(cx.db(), cx.target_id(), &filter).await?) }
        });
        Ok(Connection::new(cx, page, list, count))
    }

    /// Chunks that fit a question, best first.
    async fn search(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The question.")] input: SearchInput,
    ) -> Result<SearchResult> {
        let cx = cx(ctx);
        let request = of_input(input.request())?;
        Ok(SearchResult::new(cx, of_input(service::search::search(cx, request).await)?))
    }

    /// Totals of the corpus and its coverage.
    async fn overview(&self, ctx: &Context<'_>) -> Overview {
        Overview::new(cx(ctx))
    }

    /// What changed lately, newest first. A sync is no change.
    #[expect(clippy::unused_async, reason = "a resolver is")]
    async fn activity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many days back: 1 to 365.", default_with = "Some(7)")] days: Option<i32>,
        #[graphql(desc = "At most so many of each kind: 1 to 100.", default_with = "Some(100)")] first: Option<i32>,
    ) -> Result<Activity> {
        Activity::new(cx(ctx), days, first)
    }

    /// The vector indexes the corpus is kept in step with.
    async fn targets(&self, ctx: &Context<'_>) -> Result<Vec<Target>> {
        let cx = cx(ctx);
        Ok(Level::new(cx, graph::sync::targets(cx.db()).await?).all().map(Target).collect())
    }

    /// The partitions of the corpus that hold live documents, by name.
    async fn namespaces(&self, ctx: &Context<'_>) -> Result<Vec<Namespace>> {
        let cx = cx(ctx);
        Ok(Level::new(cx, service::namespaces::list(cx).await?).all().map(Namespace).collect())
    }

    /// The job of that id; null when there is none.
    async fn sync_job(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<SyncJob>> {
        let found = graph::sync::jobs_by_ids(cx(ctx).db(), &[id.0]).await?;
        Ok(found.into_iter().next().map(SyncJob))
    }

    /// Jobs, newest first, narrowed by a filter.
    async fn sync_jobs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start: 1 to 100, 20 when neither `first` nor `last` is given.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only jobs that match.")] filter: Option<filters::SyncJobFilter>,
    ) -> Result<Connection<SyncJob>> {
        let cx = cx(ctx);
        let args = page::args(cx, first, after, last, before)?;
        let list = &graph::sync::JOBS;
        let filter = filter.unwrap_or_default().condition()?;
        let page = graph::sync::jobs(cx.db(), &filter, &list.window(&args)?).await?;
        let count = counter(cx, move |cx| {
            let filter = filter.clone();
            async move { Ok(graph::sync::count_jobs(cx.db(), &filter).await?) }
        });
        Ok(Connection::new(cx, page, list, count))
    }

    /// Records by state, for instance what is quarantined and why.
    async fn sync_slots(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start: 1 to 100, 20 when neither `first` nor `last` is given.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only records that match.")] filter: Option<filters::SyncSlotFilter>,
    ) -> Result<Connection<SyncSlot>> {
        let cx = cx(ctx);
        let args = page::args(cx, first, after, last, before)?;
        let list = &graph::sync::SLOTS;
        let filter = filter.unwrap_or_default().condition()?;
        let page = graph::sync::slots(cx.db(), cx.target_id(), &filter, &list.window(&args)?).await?;
        let count = counter(cx, move |cx| {
            let filter = filter.clone();
            async move { Ok(graph::sync::count_slots(cx.db(), cx.target_id(), &filter).await?) }
        });
        Ok(Connection::new(cx, page, list, count))
    }

    /// The keys that open the API, newest first. Needs the scope ADMIN.
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start: 1 to 100, 20 when neither `first` nor `last` is given.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<ApiKey>> {
        let cx = cx(ctx);
        let args = page::args(cx, first, after, last, before)?;
        let page = keys::page(cx.db(), &keys::KEYS.window(&args)?).await?;
        let count = counter(cx, async |cx| Ok(keys::count(cx.db()).await?));
        Ok(Connection::new(cx, page, &keys::KEYS, count))
    }

    /// Who changed what, newest first. Needs the scope ADMIN.
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start: 1 to 100, 20 when neither `first` nor `last` is given.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<AuditEntry>> {
        let cx = cx(ctx);
        let args = page::args(cx, first, after, last, before)?;
        let page = audit::page(cx.db(), &audit::ROWS_OF_AUDIT.window(&args)?).await?;
        let count = counter(cx, async |cx| Ok(audit::count(cx.db()).await?));
        Ok(Connection::new(cx, page, &audit::ROWS_OF_AUDIT, count))
    }

    /// This server.
    async fn server(&self, ctx: &Context<'_>) -> Server {
        Server::new(cx(ctx))
    }
}
