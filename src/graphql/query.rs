//! The root of queries.

use async_graphql::Context;
use async_graphql::ID;
use async_graphql::Object;

use crate::error::Result;
use crate::graphql::document::Document;
use crate::service::Ctx;
use crate::store::graph;

/// What can be asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query;

/// The context that came with the request.
pub fn cx<'a>(ctx: &Context<'a>) -> &'a Ctx {
    ctx.data_unchecked::<Ctx>()
}

/// What can be asked.
#[Object]
impl Query {
    /// The document of that id; null when there is none, or when it was soft-deleted and `includeDeleted` is not set.
    async fn document(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
        #[graphql(desc = "Find it also when it was soft-deleted.", default = false)] include_deleted: bool,
    ) -> Result<Option<Document>> {
        let cx = cx(ctx);
        let found = graph::documents(cx.db(), &[id.0], include_deleted).await?;
        Ok(found.into_iter().next().map(|row| Document::one(cx, row)))
    }
}
