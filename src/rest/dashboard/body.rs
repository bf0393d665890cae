//! The bodies of `/api/dashboard`; fields stand in the order of the wire.

use serde::Serialize;
use serde::Serializer;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::clock::naive_iso;
use crate::entity::document;
use crate::rest::extract::stored_json;
use crate::service;
use crate::store::dashboard::ChunkHit;
use crate::store::dashboard::DocumentHit;
use crate::store::embeddings;
use crate::store::stats::DocumentLine;
use crate::store::stats::DocumentStats;
use crate::store::stats::Recent;
use crate::store::stats::Totals;
use crate::store::vector;

/// How many characters of a chunk a search shows first.
const PREVIEW: usize = 200;

/// A mean or a percentage: a float, or the integer 0 where there is nothing to divide by.
#[derive(Debug)]
struct Mean(Option<f64>);

impl Serialize for Mean {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(value) => serializer.serialize_f64(value),
            None => serializer.serialize_u8(0),
        }
    }
}

/// How much of the corpus the index holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncStatus)]
pub struct SyncStatusOut {
    total_documents: i64,
    total_chunks: i64,
    total_embeddings: i64,
    synced_embeddings: i64,
    unsynced_embeddings: i64,
    #[schema(value_type = f64, example = 50.0)]
    sync_percentage: Mean,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$", example = "2026-11-22T06:05:27.938024")]
    last_updated: String,
}

impl SyncStatusOut {
    pub(super) fn new(totals: Totals, now_us: i64) -> Self {
        Self {
            total_documents: totals.documents,
            total_chunks: totals.chunks,
            total_embeddings: totals.embeddings,
            synced_embeddings: totals.synced,
            unsynced_embeddings: totals.unsynced(),
            sync_percentage: Mean(totals.sync_percentage()),
            last_updated: naive_iso(now_us),
        }
    }
}

/// One document of the overview.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OverviewDocument)]
pub struct OverviewDocumentOut {
    id: String,
    title: String,
    source: Option<String>,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$", example = "2026-11-22T06:05:27.938024")]
    created_at: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$", example = "2026-11-22T06:05:27.938024")]
    updated_at: String,
    chunks: i64,
    embeddings: i64,
    synced: i64,
    #[schema(example = "partial", pattern = "^(synced|partial|unsynced)$")]
    status: &'static str,
}

impl From<DocumentLine> for OverviewDocumentOut {
    fn from(line: DocumentLine) -> Self {
        let DocumentLine { id, title, source, created_at, updated_at, stats } = line;
        Self {
            id,
            title,
            source,
            created_at: naive_iso(created_at),
            updated_at: naive_iso(updated_at),
            chunks: stats.chunks,
            embeddings: stats.embeddings,
            synced: stats.synced,
            status: match (stats.synced, stats.unsynced()) {
                (0, _) => "unsynced",
                (_, 0) => "synced",
                _ => "partial",
            },
        }
    }
}

/// The corpus at a glance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Overview)]
pub struct OverviewOut {
    pub(super) sync_status: SyncStatusOut,
    pub(super) documents: Vec<OverviewDocumentOut>,
    pub(super) total_documents: usize,
}

/// The statistics of one document; lengths in characters.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DocumentStats)]
pub struct DocumentStatsOut {
    document_id: String,
    title: String,
    source: Option<String>,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$", example = "2026-11-22T06:05:27.938024")]
    created_at: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$", example = "2026-11-22T06:05:27.938024")]
    updated_at: String,
    chunk_count: i64,
    embedding_count: i64,
    synced_embeddings: i64,
    unsynced_embeddings: i64,
    total_text_length: i64,
    #[schema(value_type = f64, example = 50.0)]
    average_chunk_length: Mean,
    #[schema(value_type = f64, example = 50.0)]
    sync_percentage: Mean,
}

impl DocumentStatsOut {
    pub(super) fn new(row: &document::Model, stats: DocumentStats) -> Self {
        Self {
            document_id: row.id.clone(),
            title: row.title.clone(),
            source: row.source.clone(),
            created_at: naive_iso(row.created_at),
            updated_at: naive_iso(row.updated_at),
            chunk_count: stats.chunks,
            embedding_count: stats.embeddings,
            synced_embeddings: stats.synced,
            unsynced_embeddings: stats.unsynced(),
            total_text_length: stats.text_length,
            average_chunk_length: Mean(stats.average_chunk_length()),
            sync_percentage: Mean(stats.sync_percentage()),
        }
    }
}

/// A document with everything live below it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DocumentExport)]
pub struct DocumentExportOut {
    document: ExportedDocumentOut,
    chunks: Vec<ExportedChunkOut>,
    statistics: DocumentStatsOut,
}

/// The document of an export.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExportedDocument)]
pub struct ExportedDocumentOut {
    id: String,
    title: String,
    source: Option<String>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$", example = "2026-11-22T06:05:27.938024")]
    created_at: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$", example = "2026-11-22T06:05:27.938024")]
    updated_at: String,
}

/// One chunk of an export.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExportedChunk)]
pub struct ExportedChunkOut {
    id: String,
    index: i64,
    text: String,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    embeddings: Vec<ExportedEmbeddingOut>,
}

/// One embedding of an export.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExportedEmbedding)]
pub struct ExportedEmbeddingOut {
    id: String,
    model: Option<String>,
    pinecone_id: Option<String>,
    is_synced: bool,
    vector_length: i32,
    /// Only with `include_vectors=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    vector: Option<Vec<f32>>,
}

impl From<service::dashboard::Export> for DocumentExportOut {
    fn from(export: service::dashboard::Export) -> Self {
        let service::dashboard::Export { document, chunks, stats } = export;
        let statistics = DocumentStatsOut::new(&document, stats);
        let document = ExportedDocumentOut {
            id: document.id,
            title: document.title,
            source: document.source,
            metadata: document.metadata.as_deref().and_then(stored_json),
            created_at: naive_iso(document.created_at),
            updated_at: naive_iso(document.updated_at),
        };
        let chunks = chunks
            .into_iter()
            .map(|(chunk, embeddings)| ExportedChunkOut {
                id: chunk.id,
                index: chunk.chunk_index,
                text: chunk.text,
                metadata: chunk.metadata.as_deref().and_then(stored_json),
                embeddings: embeddings.into_iter().map(ExportedEmbeddingOut::from).collect(),
            })
            .collect();
        Self { document, chunks, statistics }
    }
}

impl From<embeddings::Row> for ExportedEmbeddingOut {
    fn from(row: embeddings::Row) -> Self {
        let pinecone_id = (row.acked || row.vector_id != row.id).then_some(row.vector_id);
        Self {
            id: row.id,
            model: row.model,
            pinecone_id,
            is_synced: row.synced,
            vector_length: row.dimension,
            vector: row.vector.map(|bytes| vector::from_bytes(&bytes)),
        }
    }
}

/// A copy that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Duplicate)]
pub struct DuplicateOut {
    pub(super) status: &'static str,
    pub(super) original_id: String,
    pub(super) duplicate_id: String,
    pub(super) duplicate_title: String,
}

/// Which documents; a bare list of ids does as well.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum DocumentIds {
    /// Under a name.
    Named {
        /// Their ids.
        doc_ids: Vec<String>,
    },
    /// Bare.
    Bare(Vec<String>),
}

/// What became of a batch of deletes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchDelete)]
pub struct BatchDeleteOut {
    pub(super) deleted_count: usize,
    pub(super) failed_count: usize,
    pub(super) failed_ids: Vec<String>,
    pub(super) total: usize,
}

/// What a search found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DashboardSearchResponse)]
pub struct SearchOut {
    pub(super) query: String,
    pub(super) result_count: usize,
    pub(super) results: Vec<HitOut>,
}

/// One find: chunks come first, then documents.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
#[schema(as = DashboardHit)]
pub enum HitOut {
    /// A chunk whose text holds the query.
    Chunk {
        /// Its document.
        document_id: String,
        /// The document's title.
        document_title: String,
        /// Its id.
        chunk_id: String,
        /// Its place in reading order.
        chunk_index: i64,
        /// The beginning of its text.
        text_preview: String,
        /// Its text.
        full_text: String,
    },
    /// A document whose title or source holds the query.
    Document {
        /// Its id.
        document_id: String,
        /// Its title.
        document_title: String,
        /// Its source.
        source: Option<String>,
    },
}

impl From<ChunkHit> for HitOut {
    fn from(hit: ChunkHit) -> Self {
        let ChunkHit { document_id, document_title, chunk_id, chunk_index, text } = hit;
        let text_preview = text.chars().take(PREVIEW).collect();
        Self::Chunk { document_id, document_title, chunk_id, chunk_index, text_preview, full_text: text }
    }
}

impl From<DocumentHit> for HitOut {
    fn from(hit: DocumentHit) -> Self {
        let DocumentHit { id, title, source } = hit;
        Self::Document { document_id: id, document_title: title, source }
    }
}

/// What changed lately, each list newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Activity)]
pub struct ActivityOut {
    documents: Vec<DocumentActivityOut>,
    chunks: Vec<ChunkActivityOut>,
    embeddings: Vec<EmbeddingActivityOut>,
}

/// A document that changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DocumentActivity)]
pub struct DocumentActivityOut {
    id: String,
    title: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$", example = "2026-11-22T06:05:27.938024")]
    updated_at: String,
}

/// A chunk that changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChunkActivity)]
pub struct ChunkActivityOut {
    id: String,
    document_id: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$", example = "2026-11-22T06:05:27.938024")]
    updated_at: String,
}

/// An embedding that changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EmbeddingActivity)]
pub struct EmbeddingActivityOut {
    id: String,
    chunk_id: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$", example = "2026-11-22T06:05:27.938024")]
    updated_at: String,
    is_synced: bool,
}

impl From<service::activity::Activity> for ActivityOut {
    fn from(activity: service::activity::Activity) -> Self {
        let service::activity::Activity { documents, chunks, embeddings } = activity;
        let document = |Recent { id, about, updated_at, .. }| DocumentActivityOut {
            id,
            title: about,
            updated_at: naive_iso(updated_at),
        };
        let chunk = |Recent { id, about, updated_at, .. }| ChunkActivityOut {
            id,
            document_id: about,
            updated_at: naive_iso(updated_at),
        };
        let embedding = |Recent { id, about, updated_at, synced }| EmbeddingActivityOut {
            id,
            chunk_id: about,
            updated_at: naive_iso(updated_at),
            is_synced: synced,
        };
        Self {
            documents: documents.into_iter().map(document).collect(),
            chunks: chunks.into_iter().map(chunk).collect(),
            embeddings: embeddings.into_iter().map(embedding).collect(),
        }
    }
}
