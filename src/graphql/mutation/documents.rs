//! Mutations of documents.

use async_graphql::Context;
use async_graphql::ID;
use async_graphql::InputObject;
use async_graphql::MaybeUndefined;
use async_graphql::Object;
use async_graphql::SimpleObject;

use crate::error::Error;
use crate::error::Result;
use crate::graphql::document::Document;
use crate::graphql::mutation::DeleteMode;
use crate::graphql::mutation::MetadataMode;
use crate::graphql::mutation::chunks::NewChunk;
use crate::graphql::mutation::of_input;
use crate::graphql::mutation::patch;
use crate::graphql::query::cx;
use crate::graphql::scalars::Json;
use crate::service::documents;
use crate::service::documents::DocumentPatch;
use crate::service::documents::NewDocument;
use crate::service::duplicate;

/// What `createDocument` takes.
#[derive(InputObject)]
struct CreateDocumentInput {
    /// Its id: 1 to 512 bytes without control characters. Default: a new UUIDv7.
    id: Option<ID>,
    /// The partition. Default: the configured namespace.
    namespace: Option<String>,
    /// 1 to 255 characters.
    title: String,
    /// Where it came from: at most 512 characters.
    source: Option<String>,
    /// Any JSON object; keys beginning with `_cd_` or `$` are reserved.
    metadata: Option<Json>,
    /// Its chunks, created in the same transaction.
    chunks: Option<Vec<NewChunk>>,
}

/// What `createDocument` answers.
#[derive(SimpleObject)]
struct CreateDocumentPayload {
    /// The document.
    document: Document,
}

/// What `updateDocument` takes. An omitted field stays, a null clears.
#[derive(InputObject)]
struct UpdateDocumentInput {
    /// The document.
    id: ID,
    /// Another partition: its records move there. Cannot be cleared.
    namespace: MaybeUndefined<String>,
    /// Cannot be cleared.
    title: MaybeUndefined<String>,
    /// Where it came from.
    source: MaybeUndefined<String>,
    /// Cleared to `{}`.
    metadata: MaybeUndefined<Json>,
    /// How given metadata meets what is stored.
    #[graphql(default_with = "Some(MetadataMode::Merge)")]
    metadata_mode: Option<MetadataMode>,
    /// Refuse with CONFLICT unless the row is at this revision.
    if_revision: Option<i64>,
}

/// What `updateDocument` answers.
#[derive(SimpleObject)]
struct UpdateDocumentPayload {
    /// The document as it is now.
    document: Document,
}

/// What `deleteDocument` takes.
#[derive(InputObject)]
struct DeleteDocumentInput {
    /// The document.
    id: ID,
    /// How.
    #[graphql(default_with = "DeleteMode::Soft")]
    mode: DeleteMode,
}

/// What `deleteDocument` answers.
#[derive(SimpleObject)]
struct DeleteDocumentPayload {
    /// The id of the deleted document.
    id: ID,
    /// How it was deleted.
    mode: DeleteMode,
}

/// What `deleteDocuments` takes.
#[derive(InputObject)]
struct DeleteDocumentsInput {
    /// The documents. One named twice is deleted once.
    ids: Vec<ID>,
    /// How.
    #[graphql(default_with = "DeleteMode::Soft")]
    mode: DeleteMode,
}

/// What `deleteDocuments` answers.
#[derive(SimpleObject)]
struct DeleteDocumentsPayload {
    /// What became of each, in the order of the request.
    outcomes: Vec<DeleteOutcome>,
    /// How many were deleted.
    deleted_count: usize,
    /// How many were not.
    failed_count: usize,
}

/// What became of one document.
#[derive(SimpleObject)]
struct DeleteOutcome {
    /// Its id.
    id: ID,
    /// Why it was not deleted; null when it was.
    error: Option<ItemError>,
}

/// Why one item of a batch was not done.
#[derive(SimpleObject)]
struct ItemError {
    /// A name of the code table, `NOT_FOUND` for instance.
    code: &'static str,
    /// One sentence.
    message: String,
}

impl From<Error> for ItemError {
    fn from(error: Error) -> Self {
        Self { code: error.code().row().name, message: error.to_string() }
    }
}

/// What `restoreDocument` takes.
#[derive(InputObject)]
struct RestoreDocumentInput {
    /// The document.
    id: ID,
}

/// What `restoreDocument` answers.
#[derive(SimpleObject)]
struct RestoreDocumentPayload {
    /// The document, live.
    document: Document,
}

/// What `duplicateDocument` takes.
#[derive(InputObject)]
struct DuplicateDocumentInput {
    /// The document to copy.
    id: ID,
    /// The title of the copy. Default: the original's with "(copy)" behind it.
    title: Option<String>,
}

/// What `duplicateDocument` answers.
#[derive(SimpleObject)]
struct DuplicateDocumentPayload {
    /// The copy: new ids all through, never exported.
    document: Document,
    /// What it was copied from.
    original: Document,
}

/// Mutations of documents.
#[derive(Default)]
pub struct DocumentMutations;

#[Object]
impl DocumentMutations {
    /// One transaction: the document and, when given, its chunks and their embeddings.
    async fn create_document(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The document.")] input: CreateDocumentInput,
    ) -> Result<CreateDocumentPayload> {
        let cx = cx(ctx);
        let new = NewDocument {
            id: input.id.map(|id| id.0),
            namespace: input.namespace,
            title: input.title,
            source: input.source,
            metadata: input.metadata.map(Json::given),
            chunks: input.chunks.unwrap_or_default().into_iter().map(Into::into).collect(),
        };
        let row = of_input(documents::create(cx, new).await)?;
        Ok(CreateDocumentPayload { document: Document::one(cx, row) })
    }

    /// Changes fields of a document.
    async fn update_document(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The document and what to change.")] input: UpdateDocumentInput,
    ) -> Result<UpdateDocumentPayload> {
        let cx = cx(ctx);
        let change = DocumentPatch {
            namespace: patch(input.namespace, |namespace| namespace),
            title: patch(input.title, |title| title),
            source: patch(input.source, |source| source),
            metadata: patch(input.metadata, Json::given),
            metadata_mode: input.metadata_mode.unwrap_or(MetadataMode::Merge).into(),
            if_revision: input.if_revision.map(|revision| vec![revision]),
        };
        let row = of_input(documents::update(cx, &input.id, change).await)?;
        Ok(UpdateDocumentPayload { document: Document::one(cx, row) })
    }

    /// Deletes a document with everything below it.
    async fn delete_document(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The document.")] input: DeleteDocumentInput,
    ) -> Result<DeleteDocumentPayload> {
        of_input(documents::delete(cx(ctx), &input.id, input.mode.into()).await)?;
        Ok(DeleteDocumentPayload { id: input.id, mode: input.mode })
    }

    /// Deletes documents, each by itself: some may fail, the others are deleted.
    async fn delete_documents(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The documents.")] input: DeleteDocumentsInput,
    ) -> Result<DeleteDocumentsPayload> {
        let ids = input.ids.into_iter().map(|id| id.0).collect();
        let outcomes: Vec<DeleteOutcome> = of_input(documents::delete_many(cx(ctx), ids, input.mode.into()).await)?
            .into_iter()
            .map(|(id, error)| DeleteOutcome { id: ID(id), error: error.map(Into::into) })
            .collect();
        let failed_count = outcomes.iter().filter(|outcome| outcome.error.is_some()).count();
        Ok(DeleteDocumentsPayload { deleted_count: outcomes.len() - failed_count, failed_count, outcomes })
    }

    /// Takes back a soft deletion. Chunks that were deleted by themselves stay deleted.
    async fn restore_document(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The document.")] input: RestoreDocumentInput,
    ) -> Result<RestoreDocumentPayload> {
        let cx = cx(ctx);
        let row = of_input(documents::restore(cx, &input.id).await)?;
        Ok(RestoreDocumentPayload { document: Document::one(cx, row) })
    }

    /// Copies a document with its live chunks and their embeddings.
    async fn duplicate_document(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The document, and the title of its copy.")] input: DuplicateDocumentInput,
    ) -> Result<DuplicateDocumentPayload> {
        let cx = cx(ctx);
        let (copy, original) = of_input(duplicate::duplicate(cx, &input.id, input.title).await)?;
        Ok(DuplicateDocumentPayload { document: Document::one(cx, copy), original: Document::one(cx, original) })
    }
}
