//! Documents.

use async_graphql::ID;
use async_graphql::Object;

use crate::graphql::level::At;
use crate::graphql::level::Row;
use crate::graphql::scalars::DateTime;
use crate::graphql::scalars::Json;
use crate::service::Ctx;
use crate::store::graph;

/// What the level of documents remembers.
#[derive(Default)]
pub struct DocumentMemo {}

impl Row for graph::DocumentRow {
    type Memo = DocumentMemo;
}

/// A document: the root of its chunks.
#[derive(Clone)]
pub struct Document(pub At<graph::DocumentRow>);

impl Document {
    /// A document that is alone in its answer.
    #[must_use]
    pub fn one(cx: &Ctx, row: impl Into<graph::DocumentRow>) -> Self {
        Self(At::alone(cx, row.into()))
    }
}

/// A document: the root of its chunks.
#[Object]
impl Document {
    /// The one id of this document, on both edges and in the database.
    pub async fn id(&self) -> ID {
        ID(self.0.id.clone())
    }

    /// The partition it belongs to; also its namespace in the vector index.
    async fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Its title.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// Where it came from.
    async fn source(&self) -> Option<&str> {
        self.0.source.as_deref()
    }

    /// What its owner noted about it.
    async fn metadata(&self) -> Json {
        Json::Stored(self.0.metadata.clone())
    }

    /// Grows by one with every change of the document or anything below it.
    async fn revision(&self) -> i64 {
        self.0.revision
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Set when the document was soft-deleted.
    async fn deleted_at(&self) -> Option<DateTime> {
        self.0.deleted_at.map(DateTime)
    }
}
